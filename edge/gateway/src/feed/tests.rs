use super::*;
use crate::control_time::ControlTime;
use crate::upstream::Upstreams;
use proctor_model::signed::Signer;
use proctor_runtime::admin::Readiness;
use proctor_runtime::nats::{NatsSettings, connect};
use std::path::Path;

fn platform() -> Signer {
    Signer::from_seed(&[1; 32]).unwrap()
}

/// An edge's feed that starts on this directory, and hears nothing.
async fn feed(dir: &Path, shutdown: &CancellationToken) -> Arc<Feed> {
    let nowhere = NatsSettings::from_url("nats://127.0.0.1:1");
    let upstreams = Upstreams::new(None, shutdown.clone()).unwrap();
    let feed = Feed::new(
        Arc::new(Identity::of(&platform())),
        Arc::new(Tenants::new(upstreams, ControlTime::default())),
        Clock::system(),
        connect(&nowhere, "test").await.unwrap(),
        dir.to_owned(),
        Readiness::default().part("assignment"),
        Arc::default(),
    );
    feed.recall(shutdown);
    feed
}

fn assignment(version: u64, tenants: &[&str], certificate: &str) -> String {
    let assignment = Assignment {
        edge: "edge_1".parse().unwrap(),
        version,
        deployment: "test".parse().unwrap(),
        tenants: tenants
            .iter()
            .map(|tenant| tenant.parse().unwrap())
            .collect(),
        certificate: certificate.to_owned(),
        ledger_keys: Vec::new(),
        approvals_key: None,
        counters: Vec::new(),
    };
    platform().sign(&assignment).unwrap()
}

fn certificate(feed: &Feed, tenant: &str) -> Option<String> {
    let tenant: TenantId = tenant.parse().unwrap();
    feed.assigned.load().certificates.get(&tenant).cloned()
}

#[tokio::test]
async fn what_is_left_of_a_tenant_that_was_taken_away_can_be_sent_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let shutdown = CancellationToken::new();
    let first = feed(dir.path(), &shutdown).await;
    for (version, tenants, name) in [
        (1, &["acme", "zoo"][..], "first"),
        (2, &["acme", "zoo"][..], "second"),
        (3, &["acme"][..], "third"),
    ] {
        let news = assignment(version, tenants, name);
        first.assign(&news, &shutdown).unwrap();
    }
    assert_eq!(certificate(&first, "zoo").as_deref(), Some("second"));
    drop(first);
    let again = feed(dir.path(), &shutdown).await;
    assert_eq!(certificate(&again, "zoo").as_deref(), Some("second"));
    assert_eq!(certificate(&again, "acme").as_deref(), Some("third"));
    // It is served again: the newest counts.
    let news = assignment(4, &["acme", "zoo"], "fourth");
    again.assign(&news, &shutdown).unwrap();
    assert_eq!(certificate(&again, "zoo").as_deref(), Some("fourth"));
    shutdown.cancel();
}

#[tokio::test]
async fn an_end_amid_an_assignment_leaves_the_certificates_that_it_takes_away() {
    let dir = tempfile::tempdir().unwrap();
    let shutdown = CancellationToken::new();
    let first = feed(dir.path(), &shutdown).await;
    let news = assignment(1, &["acme", "zoo"], "first");
    first.assign(&news, &shutdown).unwrap();
    // It gets no further than to what is kept of the tenant.
    std::fs::create_dir(dir.path().join("certificate-zoo.new")).unwrap();
    let news = assignment(2, &["acme"], "second");
    let failed = first.assign(&news, &shutdown);
    assert!(matches!(failed, Err(Refused::Disk(_))));
    drop(first);
    std::fs::remove_dir(dir.path().join("certificate-zoo.new")).unwrap();
    let again = feed(dir.path(), &shutdown).await;
    again.assign(&news, &shutdown).unwrap();
    assert_eq!(certificate(&again, "zoo").as_deref(), Some("first"));
    assert_eq!(certificate(&again, "acme").as_deref(), Some("second"));
    shutdown.cancel();
}

//! Edges and control speak TLS to the counter, where its `[tls]` is set: with nodes of the authority that they were told,
//! and with no others.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use proctor_loadtest::cluster::Options;
use proctor_loadtest::fleet::{Fleet, Tls};
use proctor_loadtest::load;
use proctor_loadtest::upstream::Upstream;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_secs(60);
const LIMIT: u64 = 20;

/// A new authority, and a certificate of it for this machine; the files are in `dir`.
fn certificate(dir: &Path) -> Tls {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = dir.join("ca.pem");
    std::fs::write(&ca, params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = rcgen::Issuer::new(params, key);
    let own = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (dir.join("node.pem"), dir.join("node.key"));
    std::fs::write(&cert, params.signed_by(&own, &issuer).unwrap().pem()).unwrap();
    std::fs::write(&key, own.serialize_pem()).unwrap();
    Tls { cert, key, ca }
}

async fn start(edges: usize, tls: Tls) -> (Fleet, Upstream, String) {
    let options = Options {
        counter_tls: Some(tls),
        ..Options::default()
    };
    let fleet = Fleet::start_with(1, edges, options, None).await.unwrap();
    let upstream = Upstream::start(Duration::ZERO).await.unwrap();
    let token = load::prepare(&fleet.cluster, &upstream).await.unwrap();
    let rule = json!({ "scope": "tenant", "meter": "calls", "window": "lifetime", "limit": LIMIT });
    let limits = json!({ "rules": [rule] });
    let put = fleet
        .cluster
        .acme(Method::PUT, "budgets/limits", Some(limits));
    put.await.unwrap();
    (fleet, upstream, token)
}

/// Calls at an edge until one is refused for this.
async fn becomes(url: &str, token: &str, reason: &str) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = json!({ "tool": "worker/work", "arguments": { "id": "1", "amount": 1 } });
    let started = Instant::now();
    loop {
        let call = http.post(format!("{url}/v1/tool-call")).bearer_auth(token);
        let answer: Value = call.json(&body).send().await.unwrap().json().await.unwrap();
        if answer["error"]["data"]["reason"] == reason {
            return;
        }
        assert!(started.elapsed() < WAIT, "not {reason}: {answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_kept_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let (fleet, _upstream, token) = start(2, certificate(dir.path())).await;
    for url in fleet.edge_urls() {
        becomes(&url, &token, "budget_exhausted").await;
    }
    let started = Instant::now();
    loop {
        let accounts = fleet.usage("tenant").await.unwrap();
        if accounts[0]["spent"] == LIMIT && accounts[0]["leased"] == 0 {
            break;
        }
        assert!(started.elapsed() < WAIT, "{accounts:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_another_authority_are_not_believed() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tls = Tls {
        ca: certificate(other.path()).ca,
        ..certificate(dir.path())
    };
    let (fleet, _upstream, token) = start(1, tls).await;
    let told = fleet.usage("tenant").await;
    assert!(told.is_err(), "{told:?}");
    becomes(&fleet.cluster.edge_url, &token, "budget_unavailable").await;
    fleet.stop().await;
}

//! What control publishes and ships when something is bad, doubled, over or gone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use async_nats::jetstream::{self, Context};
use futures::StreamExt;
use proctor_control::JoinRole;
use proctor_model::audit::{Batch, EntryHash, Receipt};
use proctor_model::config::{Assignment, EdgeCertificate, Heartbeat, TenantConfig};
use proctor_model::signed::{Signer, Verifier};
use proctor_model::{EdgeId, TenantId};
use proctor_proto::v1::{self, enrolment_client::EnrolmentClient};
use proctor_runtime::nats::{NatsSettings, connect};
use proctor_runtime::seal::Opener;
use proctor_runtime::subjects::{self, ConfigSubject};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use std::time::{Duration, Instant};
use support::{Control, object};
use tonic::Code;

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// A look at what lies behind control.
struct Behind {
    database: PgConnection,
    nats: async_nats::Client,
    jetstream: Context,
    platform: Verifier,
}

impl Behind {
    async fn of(control: &Control) -> Self {
        let settings = NatsSettings::from_url(control.stack.nats_url().to_owned());
        let nats = connect(&settings, "test").await.unwrap();
        Self {
            database: PgConnection::connect(control.stack.postgres_url())
                .await
                .unwrap(),
            jetstream: jetstream::new(nats.clone()),
            nats,
            platform: Verifier::new(&control.handle.platform_keys).unwrap(),
        }
    }

    /// What lies on a subject now.
    async fn last(&self, subject: &ConfigSubject) -> Option<String> {
        let stream = self.jetstream.get_stream_no_info("CONFIG").await.ok()?;
        let subject = subject.to_string();
        let message = stream.get_last_raw_message_by_subject(&subject).await;
        Some(String::from_utf8(message.ok()?.payload.to_vec()).unwrap())
    }

    /// The number of what lies on a subject, in the order of the stream.
    async fn sequence(&self, subject: &ConfigSubject) -> u64 {
        let stream = self.jetstream.get_stream_no_info("CONFIG").await.unwrap();
        let subject = subject.to_string();
        let message = stream.get_last_raw_message_by_subject(&subject).await;
        message.unwrap().sequence
    }

    /// Waits for what lies on a subject to be as it should be.
    async fn until(&self, subject: &ConfigSubject, good: impl Fn(Option<&str>) -> bool) {
        let wait = async {
            while !good(self.last(subject).await.as_deref()) {
                tokio::time::sleep(POLL).await;
            }
        };
        let came = tokio::time::timeout(PATIENCE, wait).await;
        assert!(came.is_ok(), "{subject} is not as it should be");
    }

    async fn until_config(&self, tenant: &str, good: impl Fn(&TenantConfig) -> bool) {
        let subject = ConfigSubject::Config(tenant.parse().unwrap());
        let verify = |text: &str| self.platform.verify(text).unwrap();
        self.until(&subject, |text| {
            text.is_some_and(|text| good(&verify(text)))
        })
        .await;
    }

    async fn count(&mut self, query: &'static str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&mut self.database)
            .await
            .unwrap()
    }

    async fn until_count(&mut self, query: &'static str, wanted: i64) {
        let began = Instant::now();
        while self.count(query).await != wanted {
            assert!(began.elapsed() < PATIENCE, "{query}");
            tokio::time::sleep(POLL).await;
        }
    }
}

async fn join_token(control: &Control, tenants: &[&str]) -> Result<String, tonic::Status> {
    let request = v1::CreateJoinTokenRequest {
        role: "edge".into(),
        tenants: tenants.iter().map(|&tenant| tenant.into()).collect(),
        region: "local".into(),
    };
    let request = control.admin.request(request);
    let made = control
        .admin
        .client
        .clone()
        .create_join_token(request)
        .await?;
    Ok(made.into_inner().join_token)
}

fn enrolment(control: &Control) -> EnrolmentClient<tonic::transport::Channel> {
    let address = format!("http://{}", control.handle.grpc_addr);
    EnrolmentClient::new(proctor_runtime::grpc::channel(&address).unwrap())
}

async fn enrol(control: &Control, tenants: &[&str]) -> EdgeId {
    let request = v1::EnrolRequest {
        join_token: join_token(control, tenants).await.unwrap(),
        signing_key: vec![3; 32],
        sealing_key: Opener::from_private_key(&[1; 32]).public_key().to_vec(),
    };
    let edge = enrolment(control).enrol(request).await.unwrap();
    edge.into_inner().edge.parse().unwrap()
}

/// Empties the stream; a process that starts publishes everything anew.
async fn empty_the_stream(behind: &Behind) {
    let stream = behind.jetstream.get_stream("CONFIG").await.unwrap();
    stream.purge().await.unwrap();
}

fn tenant(text: &str) -> TenantId {
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_sealed_to_does_not_join_and_leaves_the_token_good() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let mut request = v1::EnrolRequest {
        join_token: join_token(&control, &["acme"]).await.unwrap(),
        signing_key: vec![3; 32],
        sealing_key: vec![0; 32],
    };
    let refused = enrolment(&control)
        .enrol(request.clone())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("sealing_key"), "{refused:?}");
    request.sealing_key = Opener::from_private_key(&[1; 32]).public_key().to_vec();
    assert!(enrolment(&control).enrol(request).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_published_keeps_nobody_else_waiting() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let mut behind = Behind::of(&control).await;
    // An edge from before keys were tried, a damaged intent, a damaged id, and all of it in front of the others.
    behind
        .database
        .execute(
            "insert into control.edges (id, region, tenants, signing_key, sealing_key)
                 values ('edge_bad', 'local', '{acme}', '\\x03', decode(repeat('00', 32), 'hex'));
             insert into control.intents (tenant, id, document, expires_at)
                 values ('acme', 'int_bad', '{}', now() + interval '1 hour');
             insert into control.outbox (tenant, kind, object)
                 values ('acme', 'keys', ''), ('acme', 'intent', 'int_bad'), ('NO TENANT', 'config', ''),
                        ('_platform', 'assignment', 'NO EDGE')",
        )
        .await
        .unwrap();
    let good = enrol(&control, &["acme"]).await;
    control.tenant("other").await;
    for id in ["acme", "other"] {
        let agent = json!({ "id": "helper" });
        control.admin.put_agent(id, "helper", &agent).await.unwrap();
        behind
            .until_config(id, |config| config.agents.len() == 1)
            .await;
    }
    let keys = ConfigSubject::Keys(tenant("acme"), good);
    behind.until(&keys, |text| text.is_some()).await;
    behind
        .until_count("select count(*) from control.outbox", 0)
        .await;
    // And so it is when everything is published anew.
    empty_the_stream(&behind).await;
    let (_handle, _caller, _stop) = control.another().await;
    behind
        .until_config("other", |config| config.agents.len() == 1)
        .await;
    behind.until(&keys, |text| text.is_some()).await;
    let heartbeat = ConfigSubject::Heartbeat(tenant("acme"));
    behind.until(&heartbeat, |text| text.is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_behind_one_tenants_changes() {
    let control = Control::start().await;
    for tenant in ["busy", "calm"] {
        control.tenant(tenant).await;
    }
    let mut behind = Behind::of(&control).await;
    behind
        .until_count("select count(*) from control.outbox", 0)
        .await;
    // Nobody publishes for a while ("proctor" as a number is the publisher's lock).
    let lock = i64::from_be_bytes(*b"\0proctor");
    sqlx::query("select pg_advisory_lock($1)")
        .bind(lock)
        .execute(&mut behind.database)
        .await
        .unwrap();
    behind
        .database
        .execute(
            "insert into control.outbox (tenant, kind, object)
                 select 'busy', 'intent', 'int_' || n from generate_series(1, 300) n;
             insert into control.outbox (tenant, kind)
                 select 'busy', 'config' from generate_series(1, 50);
             insert into control.outbox (tenant, kind) values ('calm', 'config')",
        )
        .await
        .unwrap();
    let request = v1::RevokeRequest {
        tenant: "calm".into(),
        revocation_id: "ab".repeat(32),
        ..Default::default()
    };
    let request = control.admin.request(request);
    control.admin.client.clone().revoke(request).await.unwrap();
    let before = behind
        .sequence(&ConfigSubject::Config(tenant("busy")))
        .await;
    sqlx::query("select pg_advisory_unlock($1)")
        .bind(lock)
        .execute(&mut behind.database)
        .await
        .unwrap();
    behind
        .until_count("select count(*) from control.outbox", 0)
        .await;
    let busy = behind
        .sequence(&ConfigSubject::Config(tenant("busy")))
        .await;
    let calm = behind
        .sequence(&ConfigSubject::Config(tenant("calm")))
        .await;
    let revoked = behind
        .sequence(&ConfigSubject::Revocation(tenant("calm"), 1))
        .await;
    assert!(
        before < revoked && revoked < calm && calm < busy,
        "{before} {revoked} {calm} {busy}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_one_publishes_at_a_time() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let (_handle, second, _stop) = control.another().await;
    let mut behind = Behind::of(&control).await;
    for n in 0..40 {
        let agent = json!({ "id": "helper", "display_name": n.to_string() });
        let caller = if n % 2 == 0 { &control.admin } else { &second };
        caller.put_agent("acme", "helper", &agent).await.unwrap();
    }
    behind
        .until_count("select count(*) from control.outbox", 0)
        .await;
    let version = control
        .admin
        .get_tenant("acme")
        .await
        .unwrap()
        .config_version;
    behind
        .until_config("acme", |config| config.version == version)
        .await;
    // Whoever holds the lock keeps both from publishing: they ask for it.
    let lock = 0x70_72_6f_63_74_6f_72_i64;
    sqlx::query("select pg_advisory_lock($1)")
        .bind(lock)
        .execute(&mut behind.database)
        .await
        .unwrap();
    let agent = json!({ "id": "helper", "display_name": "last" });
    second.put_agent("acme", "helper", &agent).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    behind
        .until_config("acme", |config| config.version == version)
        .await;
    sqlx::query("select pg_advisory_unlock($1)")
        .bind(lock)
        .execute(&mut behind.database)
        .await
        .unwrap();
    behind
        .until_config("acme", |config| config.version == version + 1)
        .await;
    let heartbeat = ConfigSubject::Heartbeat(tenant("acme"));
    let reached = |text: &str| {
        let heartbeat: Heartbeat = behind.platform.verify(text).unwrap();
        heartbeat.config_version == version + 1
    };
    behind
        .until(&heartbeat, |text| text.is_some_and(reached))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_purged_but_the_last_revocation_stays() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let mut behind = Behind::of(&control).await;
    for n in 1..=4 {
        let request = v1::RevokeRequest {
            tenant: "acme".into(),
            revocation_id: format!("{n:064}"),
            token: String::new(),
        };
        let request = control.admin.request(request);
        control.admin.client.clone().revoke(request).await.unwrap();
    }
    let agent = json!({ "id": "helper" });
    control
        .admin
        .put_agent("acme", "helper", &agent)
        .await
        .unwrap();
    let declaration = json!({
        "agent": "helper", "goal": "read", "expires_in_s": 600,
        "actions": [{ "tool": "files/read" }],
    });
    let request = v1::DeclareIntentRequest {
        tenant: "acme".into(),
        declaration: declaration.to_string().into_bytes(),
    };
    let request = control.admin.request(request);
    let declared = control.admin.client.clone().declare_intent(request).await;
    let intent = declared.unwrap().into_inner().id;
    let intent = ConfigSubject::Intent(tenant("acme"), intent.parse().unwrap());
    behind.until(&intent, |text| text.is_some()).await;
    let number = |n| ConfigSubject::Revocation(tenant("acme"), n);
    for n in 1..=4 {
        behind.until(&number(n), |text| text.is_some()).await;
    }
    behind
        .database
        .execute(
            "update control.revocations set until = now() - interval '1 hour' where seq <> 2;
             update control.intents set expires_at = now() - interval '1 hour'",
        )
        .await
        .unwrap();
    // A process purges when it starts, and then each minute.
    let (second, _caller, stop) = control.another().await;
    for gone in [&intent, &number(1), &number(3)] {
        behind.until(gone, |text| text.is_none()).await;
    }
    behind
        .until_count("select count(*) from control.revocations", 2)
        .await;
    behind
        .until_count("select count(*) from control.intents", 0)
        .await;
    drop(stop);
    second.stopped().await;
    // An edge that starts on a fresh stream learns that it is at number 4.
    empty_the_stream(&behind).await;
    let (_handle, _caller, _stop) = control.another().await;
    for stays in [2, 4] {
        behind.until(&number(stays), |text| text.is_some()).await;
    }
    assert!(behind.last(&number(1)).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_loses_what_it_may_no_longer_have() {
    let control = Control::start().await;
    control.tenant("acme").await;
    control.tenant("other").await;
    let behind = Behind::of(&control).await;
    let edge = enrol(&control, &["acme", "other"]).await;
    let keys = |text: &str| ConfigSubject::Keys(tenant(text), edge.clone());
    for id in ["acme", "other"] {
        behind.until(&keys(id), |text| text.is_some()).await;
    }
    let request = v1::AssignEdgeRequest {
        id: edge.to_string(),
        tenants: vec!["other".into()],
    };
    let request = control.admin.request(request);
    control
        .admin
        .client
        .clone()
        .assign_edge(request)
        .await
        .unwrap();
    behind.until(&keys("acme"), |text| text.is_none()).await;
    assert!(behind.last(&keys("other")).await.is_some());
    let request = control.admin.request(object("", edge.as_str(), 0));
    control
        .admin
        .client
        .clone()
        .remove_edge(request)
        .await
        .unwrap();
    behind.until(&keys("other"), |text| text.is_none()).await;
    let assignment = ConfigSubject::Assignment(edge.clone());
    let serves_nobody = |text: &str| {
        let assignment: Assignment = behind.platform.verify(text).unwrap();
        let certificate: EdgeCertificate = behind.platform.verify(&assignment.certificate).unwrap();
        assignment.tenants.is_empty() && certificate.tenants.is_empty()
    };
    behind
        .until(&assignment, |text| text.is_some_and(serves_nobody))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edges_serve_only_tenants_that_exist() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let edge = enrol(&control, &["acme"]).await;
    for (bad, code) in [
        ("_platform", Code::InvalidArgument),
        ("NO", Code::InvalidArgument),
        ("nobody", Code::NotFound),
    ] {
        let refused = join_token(&control, &["acme", bad]).await.unwrap_err();
        assert_eq!(refused.code(), code, "{bad}");
        let request = v1::AssignEdgeRequest {
            id: edge.to_string(),
            tenants: vec![bad.into()],
        };
        let request = control.admin.request(request);
        let refused = control.admin.client.clone().assign_edge(request).await;
        assert_eq!(refused.unwrap_err().code(), code, "{bad}");
    }
}

/// Less than it takes until what has no receipt is sent again.
const AT_ONCE: Duration = Duration::from_millis(1_900);

/// The first two events of a new tenant, each in a batch of its own, and those that follow; none where the machine was so slow
/// that they may have been sent again meanwhile.
async fn first_two(
    control: &Control,
    behind: &Behind,
    tenant: &str,
) -> Option<(Instant, [Batch; 2], async_nats::Subscriber)> {
    let subject = format!("audit.{tenant}.control");
    let mut batches = behind.nats.subscribe(subject).await.unwrap();
    behind.nats.flush().await.unwrap();
    let began = Instant::now();
    control.tenant(tenant).await;
    let first = next_batch(&mut batches).await;
    if began.elapsed() >= AT_ONCE {
        return None;
    }
    assert_eq!((first.events.len(), first.edge_seq), (1, 1));
    // Nothing but the new in the turns after it.
    let agent = json!({ "id": "helper" });
    let put = control.admin.put_agent(tenant, "helper", &agent).await;
    put.unwrap();
    let second = next_batch(&mut batches).await;
    if began.elapsed() >= AT_ONCE {
        return None;
    }
    assert_eq!((second.events.len(), second.edge_seq), (1, 2));
    Some((began, [first, second], batches))
}

async fn next_batch(batches: &mut async_nats::Subscriber) -> Batch {
    let next = tokio::time::timeout(PATIENCE, batches.next()).await;
    serde_json::from_slice(&next.unwrap().unwrap().payload).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_events_go_out_at_once_and_again_only_for_want_of_a_receipt() {
    let control = Control::start().await;
    let mut behind = Behind::of(&control).await;
    // A ledger that control believes.
    let ledger = Signer::from_seed(&[9; 32]).unwrap();
    let token = control.handle.join_token(JoinRole::Ledger).await.unwrap();
    let key = base64::Engine::decode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        ledger.public_key().key,
    );
    let register = v1::RegisterLedgerRequest {
        join_token: token.expose().to_owned(),
        signing_key: key.unwrap(),
    };
    enrolment(&control).register_ledger(register).await.unwrap();
    let mut names = (1..=5).map(|n| format!("acme{n}"));
    let (acme, (began, [first, second], mut batches)) = loop {
        let name = names.next().expect("events go out at once");
        if let Some(sent) = first_two(&control, &behind, &name).await {
            break (tenant(&name), sent);
        }
    };
    // Without a receipt both come again, together.
    let again = next_batch(&mut batches).await;
    assert!(began.elapsed() > AT_ONCE);
    assert_eq!((again.events.len(), again.edge_seq), (2, 2));

    let receipt = |edge_seq, edge_hash| {
        let receipt = Receipt {
            tenant: acme.clone(),
            edge: EdgeId::control(),
            edge_seq,
            edge_hash,
        };
        ledger.sign(&receipt).unwrap()
    };
    // Of the last tenant.
    let waiting = "select count(*) from control.audit_outbox
         where tenant = (select max(tenant) from control.tenants)";
    let to = subjects::receipts(&EdgeId::control());
    // A receipt for another event, for one that was never made, and of somebody else: nothing is forgotten.
    let stranger = Signer::from_seed(&[8; 32]).unwrap();
    let forged = Receipt {
        tenant: acme.clone(),
        edge: EdgeId::control(),
        edge_seq: 2,
        edge_hash: second.edge_hash,
    };
    for bad in [
        receipt(2, EntryHash::ZERO),
        receipt(2, first.edge_hash),
        receipt(9, second.edge_hash),
        stranger.sign(&forged).unwrap(),
    ] {
        behind.nats.publish(to.clone(), bad.into()).await.unwrap();
    }
    behind.nats.flush().await.unwrap();
    let next = tokio::time::timeout(PATIENCE, batches.next()).await;
    assert!(next.is_ok(), "it is sent again");
    assert_eq!(behind.count(waiting).await, 2);
    let good = receipt(1, first.edge_hash);
    behind.nats.publish(to.clone(), good.into()).await.unwrap();
    behind.until_count(waiting, 1).await;
    let good = receipt(2, second.edge_hash);
    behind.nats.publish(to, good.into()).await.unwrap();
    behind.until_count(waiting, 0).await;
}

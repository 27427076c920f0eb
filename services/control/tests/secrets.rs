//! Credentials for upstreams: written, sealed to the tenant's edges, never read back.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't be set up fails"
)]

#[path = "support/mod.rs"]
mod support;

use proctor_model::config::{SealedKeys, TokenKeys};
use proctor_model::signed::Verifier;
use proctor_proto::v1;
use proctor_proto::v1::enrolment_client::EnrolmentClient;
use proctor_runtime::seal::{Opener, TOKEN_KEYS_INFO, token_keys_aad};
use proctor_runtime::subjects::ConfigSubject;
use proctor_runtime::{grpc, nats};
use std::time::{Duration, Instant};
use support::{Caller, Control, list, object};
use tonic::{Code, Status};

const VALUE: &str = "s3cret-of-acme";
const PATIENCE: Duration = Duration::from_secs(60);

async fn put(
    caller: &Caller,
    name: &str,
    hosts: &[&str],
    value: &str,
) -> Result<v1::SecretInfo, Status> {
    let request = v1::PutSecretRequest {
        tenant: "acme".into(),
        name: name.into(),
        hosts: hosts.iter().map(ToString::to_string).collect(),
        value: value.into(),
    };
    let answer = caller
        .client
        .clone()
        .put_secret(caller.request(request))
        .await?;
    Ok(answer.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_credential_is_refused_and_changes_nothing() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let admin = &control.admin;
    let long = "x".repeat(8 * 1024 + 1);
    for (name, hosts, value, says) in [
        ("Crm", &["crm.example"][..], VALUE, "name"),
        ("crm", &[][..], VALUE, "hosts"),
        ("crm", &["https://crm.example"][..], VALUE, "hosts"),
        ("crm", &["*.example"][..], VALUE, "hosts"),
        ("crm", &["user@crm.example"][..], VALUE, "hosts"),
        ("crm", &["crm.example/x"][..], VALUE, "hosts"),
        ("crm", &["crm.example"][..], "", "value"),
        ("crm", &["crm.example"][..], "a\u{0}b", "value"),
        ("crm", &["crm.example"][..], &long, "value"),
    ] {
        let refused = put(admin, name, hosts, value).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{name} {hosts:?}");
        assert!(refused.message().starts_with(says), "{}", refused.message());
        assert!(!refused.message().contains(VALUE));
    }
    for number in 0..64 {
        put(admin, &format!("n{number}"), &["crm.example"], VALUE)
            .await
            .unwrap();
    }
    let refused = put(admin, "one-more", &["crm.example"], VALUE)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let listed = admin
        .client
        .clone()
        .list_secrets(admin.request(list("acme")))
        .await
        .unwrap();
    assert_eq!(listed.into_inner().secrets.len(), 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_administrator_writes_them_and_nobody_reads_them() {
    let control = Control::start().await;
    control.tenant("acme").await;
    for role in [
        "viewer",
        "operator",
        "policy-admin",
        "auditor",
        "intent-issuer",
    ] {
        let caller = control.caller("acme", role).await;
        let refused = put(&caller, "crm", &["crm.example"], VALUE)
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{role}");
    }
    let admin = control.caller("acme", "tenant-admin").await;
    let info = put(&admin, "crm", &["crm.example"], VALUE).await.unwrap();
    assert!(!format!("{info:?}").contains(VALUE));
    // At rest it is not what it is.
    let pool = sqlx::PgPool::connect(control.stack.postgres_url())
        .await
        .unwrap();
    let stored: Vec<u8> = sqlx::query_scalar("select value from control.secrets")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(
        !stored
            .windows(VALUE.len())
            .any(|part| part == VALUE.as_bytes())
    );
    let events: Vec<Vec<u8>> = sqlx::query_scalar("select body from control.audit_outbox")
        .fetch_all(&pool)
        .await
        .unwrap();
    for event in events {
        assert!(!String::from_utf8(event).unwrap().contains(VALUE));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tenants_edges_have_it_and_lose_it_again() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let admin = &control.admin;
    let own = Opener::from_private_key(&[1; 32]);
    let edge = enrol(&control, &own).await;
    put(admin, "crm", &["crm.example", "[::1]:8443"], VALUE)
        .await
        .unwrap();
    let keys = sealed(&control, &own, &edge, |keys| !keys.secrets.is_empty()).await;
    let secret = &keys.secrets[0];
    assert_eq!(
        (secret.name.as_str(), secret.value.as_str()),
        ("crm", VALUE)
    );
    assert!(secret.may_go_to("CRM.example", Some(443)) && secret.may_go_to("[::1]", Some(8443)));
    assert!(
        !secret.may_go_to("[::1]", Some(80)) && !secret.may_go_to("evil.crm.example", Some(443))
    );
    assert!(!format!("{keys:?}").contains(VALUE));
    delete(admin).await.unwrap();
    sealed(&control, &own, &edge, |keys| keys.secrets.is_empty()).await;
    assert_eq!(delete(admin).await.unwrap_err().code(), Code::NotFound);
}

async fn delete(caller: &Caller) -> Result<(), Status> {
    let request = caller.request(object("acme", "crm", 0));
    caller.client.clone().delete_secret(request).await.map(drop)
}

async fn enrol(control: &Control, own: &Opener) -> String {
    let admin = &control.admin;
    let request = v1::CreateJoinTokenRequest {
        role: "edge".to_owned(),
        tenants: vec!["acme".to_owned()],
        region: "eu-west".to_owned(),
    };
    let token = admin
        .client
        .clone()
        .create_join_token(admin.request(request))
        .await
        .unwrap();
    let channel = grpc::channel(&format!("http://{}", control.handle.grpc_addr)).unwrap();
    let enrolled = EnrolmentClient::new(channel)
        .enrol(v1::EnrolRequest {
            join_token: token.into_inner().join_token,
            signing_key: vec![3; 32],
            sealing_key: own.public_key().to_vec(),
        })
        .await
        .unwrap();
    enrolled.into_inner().edge
}

/// Waits until what is sealed to the edge is as expected.
async fn sealed(
    control: &Control,
    own: &Opener,
    edge: &str,
    expected: impl Fn(&TokenKeys) -> bool,
) -> TokenKeys {
    let url = control.stack.nats_url().to_owned();
    let client = nats::connect(&nats::NatsSettings::from_url(url), "test")
        .await
        .unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let (tenant, edge) = ("acme".parse().unwrap(), edge.parse().unwrap());
    let subject = ConfigSubject::Keys(
        proctor_model::TenantId::clone(&tenant),
        proctor_model::EdgeId::clone(&edge),
    );
    let subject = subject.to_string();
    let verifier = Verifier::new(&control.handle.platform_keys).unwrap();
    let began = Instant::now();
    loop {
        // The stream is made beside the first calls.
        let published = match jetstream.get_stream_no_info("CONFIG").await {
            Ok(stream) => stream.get_last_raw_message_by_subject(&subject).await.ok(),
            Err(_) => None,
        };
        if let Some(message) = published {
            let document: SealedKeys = verifier
                .verify(std::str::from_utf8(&message.payload).unwrap())
                .unwrap();
            let decode = |text: &str| {
                base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, text)
                    .unwrap()
            };
            let bytes = [decode(&document.enc), decode(&document.ciphertext)].concat();
            let aad = token_keys_aad(&tenant, &edge);
            let clear = own.open(TOKEN_KEYS_INFO, &aad, &bytes).unwrap();
            let keys: TokenKeys = serde_json::from_slice(&clear).unwrap();
            if expected(&keys) {
                return keys;
            }
        }
        assert!(began.elapsed() < PATIENCE, "it was not published");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

//! Hostile news: somebody who can write to NATS can't make an edge believe anything that control did not sign, nor
//! anything older than it has seen.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

use async_nats::jetstream::{self, Context};
use nix::sys::signal::Signal;
use proctor_loadtest::cluster::{Cluster, Options};
use proctor_loadtest::load::prepare;
use proctor_loadtest::upstream::Upstream;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const CONFIG: &str = "config.acme.config";
/// How long news may travel, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn jetstream(cluster: &Cluster) -> Context {
    let (user, password) = cluster.nats.user_and_password();
    let options = async_nats::ConnectOptions::with_user_and_password(user, password);
    jetstream::new(
        options
            .connect(format!("127.0.0.1:{}", cluster.nats.port()))
            .await
            .unwrap(),
    )
}

async fn current(jetstream: &Context) -> Vec<u8> {
    let stream = jetstream.get_stream("CONFIG").await.unwrap();
    stream
        .get_last_raw_message_by_subject(CONFIG)
        .await
        .unwrap()
        .payload
        .to_vec()
}

async fn reason(cluster: &Cluster, token: &str) -> String {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = json!({ "tool": "worker/work", "arguments": { "id": "1", "amount": 1 } });
    let request = http
        .post(format!("{}/v1/tool-call", cluster.edge_url))
        .bearer_auth(token)
        .json(&body);
    let Ok(response) = request.send().await else {
        return "gone".into();
    };
    let answer: Value = response.json().await.unwrap();
    answer["error"]["data"]["reason"]
        .as_str()
        .unwrap_or("allowed")
        .to_owned()
}

async fn becomes(cluster: &Cluster, token: &str, wanted: &str) {
    let started = Instant::now();
    loop {
        let reason = reason(cluster, token).await;
        if reason == wanted {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "still {reason}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// For a while nothing else than this is answered.
async fn stays(cluster: &Cluster, token: &str, wanted: &str) {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(1) {
        assert_eq!(reason(cluster, token).await, wanted);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn older_or_badly_signed_configuration_is_refused() {
    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    let upstream = Upstream::start(Duration::ZERO).await.unwrap();
    let token = prepare(&cluster, &upstream).await.unwrap();
    let jetstream = jetstream(&cluster).await;
    let publish = async |payload: Vec<u8>| {
        jetstream
            .publish(CONFIG, payload.into())
            .await
            .unwrap()
            .await
            .unwrap();
    };
    becomes(&cluster, &token, "allowed").await;
    let lenient = current(&jetstream).await;
    let disabled = json!({ "status": "disabled" });
    cluster
        .acme(Method::PUT, "agents/worker", Some(disabled))
        .await
        .unwrap();
    becomes(&cluster, &token, "agent_disabled").await;
    let strict = current(&jetstream).await;

    publish(lenient.clone()).await;
    stays(&cluster, &token, "agent_disabled").await;
    for damaged in [
        b"{}".to_vec(),
        Vec::new(),
        vec![0xff; 100],
        vec![b'x'; 900_000],
    ] {
        publish(damaged).await;
    }
    // The strict version's header and signature around the lenient version's payload.
    let part = |jws: &[u8], index: usize| {
        String::from_utf8_lossy(jws)
            .split('.')
            .nth(index)
            .unwrap()
            .to_owned()
    };
    let mixed = format!(
        "{}.{}.{}",
        part(&strict, 0),
        part(&lenient, 1),
        part(&strict, 2)
    );
    publish(mixed.into_bytes()).await;
    stays(&cluster, &token, "agent_disabled").await;

    // Not even an edge that starts anew takes the older one.
    publish(lenient).await;
    cluster.edge.end(Signal::SIGKILL).await.unwrap();
    cluster.start_edge().await.unwrap();
    stays(&cluster, &token, "not_ready").await;
    // Control's next change brings it back.
    cluster
        .acme(
            Method::PUT,
            "agents/worker",
            Some(json!({ "status": "active" })),
        )
        .await
        .unwrap();
    becomes(&cluster, &token, "allowed").await;
    cluster.stop().await;
}

//! D13 for tokens: an edge whose clock jumps while it runs refuses what it can't judge, makes nothing good that is over,
//! used up or revoked, and goes on when its clock is right again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use nix::sys::signal::Signal;
use proctor_devstack::skipped;
use proctor_loadtest::clocks::{Hand, RIGHT, may_fake_time};
use proctor_loadtest::cluster::{Cluster, Options};
use proctor_loadtest::load::{in_secs, prepare, token};
use proctor_loadtest::upstream::Upstream;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long news may travel, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Agent {
    http: reqwest::Client,
    url: String,
}

impl Agent {
    /// `allowed`, or why not.
    async fn call(&self, token: &str) -> String {
        let body = json!({ "tool": "worker/work", "arguments": { "id": "1", "amount": 1 } });
        let request = self.http.post(&self.url).bearer_auth(token).json(&body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        let reason = answer["error"]["data"]["reason"].as_str();
        reason.unwrap_or("allowed").to_owned()
    }

    async fn becomes(&self, token: &str, wanted: &[&str]) {
        let started = Instant::now();
        loop {
            let now = self.call(token).await;
            if wanted.contains(&now.as_str()) {
                return;
            }
            let waited = started.elapsed();
            assert!(waited < PATIENCE, "{now}, not {wanted:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_of_an_edges_clock_makes_no_token_good() {
    if !may_fake_time() {
        skipped("no libfaketime");
        return;
    }
    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    let upstream = Upstream::start(Duration::ZERO).await.unwrap();
    let good = prepare(&cluster, &upstream).await.unwrap();
    let hand = Hand::new(cluster.dir.path(), "edge").unwrap();
    cluster.edge.end(Signal::SIGKILL).await.unwrap();
    cluster.start_edge_with(&hand.env()).await.unwrap();
    let agent = Agent {
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
        url: format!("{}/v1/tool-call", cluster.edge_url),
    };
    let soon = format!("time < {}", in_secs(4).unwrap());
    let over = token(&cluster, &[soon]).await.unwrap();
    let used_up = token(&cluster, &["calls <= 1".to_owned()]).await.unwrap();
    let revoked = token(&cluster, &[]).await.unwrap();
    agent.becomes(&used_up, &["allowed"]).await;
    let revoke = Some(json!({ "token": revoked }));
    cluster
        .acme(Method::POST, "revocations", revoke)
        .await
        .unwrap();
    let bad = [
        (&over, "token_expired"),
        (&used_up, "calls_exhausted"),
        (&revoked, "token_revoked"),
    ];
    agent.becomes(&good, &["allowed"]).await;
    for (token, reason) in bad {
        agent.becomes(token, &[reason]).await;
    }
    for (how, wanted) in [
        ("-1h", &["stale_config"][..]),
        ("-10y", &["stale_config"]),
        ("+1h", &["stale_config", "token_expired"]),
        ("+10y", &["stale_config", "token_expired"]),
        ("+0 x2", &["allowed"]),
    ] {
        // Heartbeats come in the meantime: what they let this edge forget would be forgotten now.
        hand.set(how).await.unwrap();
        agent.becomes(&good, wanted).await;
        for (token, reason) in bad {
            assert_ne!(agent.call(token).await, "allowed", "{how}: {reason}");
        }
        hand.set(RIGHT).await.unwrap();
        // At once, as long as what it heard before counts.
        for (token, reason) in bad {
            assert_ne!(agent.call(token).await, "allowed", "{how} and back");
            agent.becomes(token, &[reason]).await;
        }
        agent.becomes(&good, &["allowed"]).await;
    }
    assert!(cluster.edge.pid().is_some());
    cluster.stop().await;
}

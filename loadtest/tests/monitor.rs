//! A policy that only watches: what it would have refused is done, and the audit event says so.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use proctor_loadtest::cluster::{Cluster, Options};
use proctor_loadtest::load::prepare;
use proctor_loadtest::upstream::Upstream;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What an edge tells the ledger may have to be sent again, the fourth time half a minute after the first.
const WAIT: Duration = Duration::from_secs(90);

/// The newest events of calls that were authorized.
async fn authorized(cluster: &Cluster) -> Vec<Value> {
    let path = "audit/events?kind=authorized&limit=1000";
    let page = cluster.acme(Method::GET, path, None).await.unwrap();
    let entries = page["entries"].as_array().unwrap();
    entries.iter().map(|entry| entry["event"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_watching_policy_would_refuse_is_done_and_marked() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let upstream = Upstream::start(Duration::ZERO).await.unwrap();
    let token = prepare(&cluster, &upstream).await.unwrap();
    let source = "package proctor.policy\n\ndecision := {\"effect\": \"deny\", \"reasons\": [\"watched\"]}\n";
    let policy = json!({ "modules": [{ "name": "p.rego", "source": source }] });
    let made = cluster.acme(Method::PUT, "policies/watch", Some(policy));
    let version = made.await.unwrap()["version"].clone();
    let path = format!("policies/watch/versions/{version}/activate");
    let monitor = json!({ "mode": "monitor" });
    cluster
        .acme(Method::POST, &path, Some(monitor))
        .await
        .unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let started = Instant::now();
    let event = loop {
        let body = json!({ "tool": "worker/work", "arguments": { "id": "1", "amount": 1 } });
        let request = http.post(format!("{}/v1/tool-call", cluster.edge_url));
        let answer = request.bearer_auth(&token).json(&body).send().await;
        let answer: Value = answer.unwrap().json().await.unwrap();
        assert!(answer["result"].is_object(), "it binds nobody: {answer}");
        let events = authorized(&cluster).await;
        if let Some(event) = events.iter().find(|event| event["mode"] == "monitor") {
            break event.clone();
        }
        let absent = |event: &Value| event["mode"].is_null();
        assert!(events.iter().all(absent), "no other mode is recorded");
        assert!(started.elapsed() < WAIT, "no event has it: {events:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(event["effect"], "allow", "{event}");
    let policies = event["policy"].as_array().unwrap();
    let watch = policies.iter().find(|policy| policy["id"] == "watch");
    let watch = watch.unwrap();
    assert_eq!(
        (&watch["mode"], &watch["effect"]),
        (&json!("monitor"), &json!("deny"))
    );
    assert_eq!(watch["rules"], json!(["watched"]));
    // What binds has passed.
    for control in ["capability", "intent", "policy", "budget"] {
        assert_eq!(event["verdicts"][control], "passed", "{event}");
    }
    cluster.stop().await;
}

//! Kill switches: effective on every edge within a second, also on calls under way, also after a restart.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

use async_nats::jetstream;
use nix::sys::signal::Signal;
use proctor_loadtest::cluster::{Cluster, Options};
use proctor_loadtest::load::{AGENT, prepare};
use proctor_loadtest::oracle;
use proctor_loadtest::upstream::Upstream;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long news may travel where it is not measured, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Agent {
    http: reqwest::Client,
    token: String,
}

impl Agent {
    async fn call(&self, url: &str) -> String {
        let body = json!({ "tool": "worker/work", "arguments": { "id": "1", "amount": 1 } });
        let request = self.http.post(format!("{url}/v1/tool-call"));
        match request.bearer_auth(&self.token).json(&body).send().await {
            Err(_) => "gone".to_owned(),
            Ok(answer) => {
                let answer: Value = answer.json().await.unwrap();
                let reason = answer["error"]["data"]["reason"].as_str();
                reason.unwrap_or("allowed").to_owned()
            }
        }
    }

    /// Discovery, in the stateless revision: the reason, or the names of the tools.
    async fn list(&self, url: &str) -> String {
        let meta = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": { "_meta": meta } });
        let request = self.http.post(format!("{url}/v1/mcp"));
        let request = request
            .bearer_auth(&self.token)
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/list")
            .header("accept", "application/json, text/event-stream")
            .json(&body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        match answer["result"]["tools"].as_array() {
            Some(tools) => tools
                .iter()
                .map(|tool| tool["name"].as_str().unwrap())
                .collect(),
            None => answer["error"]["data"]["reason"]
                .as_str()
                .unwrap()
                .to_owned(),
        }
    }

    async fn becomes(&self, url: &str, wanted: &str) -> Duration {
        let started = Instant::now();
        loop {
            let now = self.call(url).await;
            if now == wanted {
                return started.elapsed();
            }
            assert!(started.elapsed() < PATIENCE, "{now}, not {wanted}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stopped_stops_on_every_edge_within_a_second() {
    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    let upstream = Upstream::start(Duration::ZERO).await.unwrap();
    let token = prepare(&cluster, &upstream).await.unwrap();
    let (mut second, second_url) = cluster.another_edge().await.unwrap();
    let agent = Agent {
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
        token,
    };
    let urls = [cluster.edge_url.clone(), second_url];
    for url in &urls {
        agent.becomes(url, "allowed").await;
    }
    let targets = [
        (
            "/v1/tenants/acme/kill-switches",
            json!({ "scope": "agent", "object": AGENT }),
            "killed_agent",
        ),
        (
            "/v1/tenants/acme/kill-switches",
            json!({ "scope": "tool", "object": "worker/work" }),
            "killed_tool",
        ),
        (
            "/v1/tenants/acme/kill-switches",
            json!({ "scope": "tenant" }),
            "killed_tenant",
        ),
        ("/v1/kill-switch", json!({}), "killed_platform"),
    ];
    for (path, body, reason) in &targets {
        // A machine that stands still for a moment says nothing of the edges: one of three tries has to take less than a second.
        let mut took = Duration::MAX;
        for _ in 0..3 {
            let started = Instant::now();
            cluster
                .api(Method::POST, path, Some(body.clone()))
                .await
                .unwrap();
            for url in &urls {
                agent.becomes(url, reason).await;
            }
            took = took.min(started.elapsed());
            println!("{reason} on two edges after {took:?}");
            let shown = agent.list(&urls[1]).await;
            let expected = if *reason == "killed_tool" { "" } else { reason };
            assert_eq!(shown, expected, "discovery");
            match body["scope"].is_null() {
                true => cluster.api(Method::DELETE, path, None).await.unwrap(),
                false => cluster
                    .api(Method::POST, &format!("{path}/release"), Some(body.clone()))
                    .await
                    .unwrap(),
            };
            for url in &urls {
                agent.becomes(url, "allowed").await;
            }
            if took < Duration::from_secs(1) {
                break;
            }
        }
        assert!(took < Duration::from_secs(1), "{reason}: {took:?}");
    }

    // What control said before, played back by somebody who can write to NATS, changes nothing.
    let (user, password) = cluster.nats.user_and_password();
    let options = async_nats::ConnectOptions::with_user_and_password(user, password);
    let nats = options
        .connect(format!("127.0.0.1:{}", cluster.nats.port()))
        .await
        .unwrap();
    let bus = jetstream::new(nats);
    let stream = bus.get_stream("CONFIG").await.unwrap();
    let released = stream
        .get_last_raw_message_by_subject("config.acme.kill")
        .await
        .unwrap();

    // A restart forgets nothing, not even while there is no control, and not if the switch is taken out of the stream.
    let body = json!({ "scope": "agent", "object": AGENT, "note": "misbehaves" });
    cluster
        .acme(Method::POST, "kill-switches", Some(body))
        .await
        .unwrap();
    for url in &urls {
        agent.becomes(url, "killed_agent").await;
    }
    bus.publish("config.acme.kill", released.payload.clone())
        .await
        .unwrap()
        .await
        .unwrap();
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(500) {
        for url in &urls {
            assert_eq!(agent.call(url).await, "killed_agent");
        }
    }
    let listed = cluster
        .acme(Method::GET, "kill-switches", None)
        .await
        .unwrap();
    assert_eq!(listed["kill_switches"][0]["note"], "misbehaves");
    cluster.control.end(Signal::SIGKILL).await.unwrap();
    stream.purge().filter("config.acme.kill").await.unwrap();
    cluster.edge.end(Signal::SIGKILL).await.unwrap();
    cluster.start_edge().await.unwrap();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(2) {
        assert_eq!(
            agent.call(&urls[0]).await,
            "not_ready",
            "a switch that it must have is missing"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cluster.start_control().await.unwrap();
    agent.becomes(&urls[0], "killed_agent").await;

    oracle::settled(&cluster, Duration::from_secs(20))
        .await
        .unwrap();
    let events = cluster
        .acme(Method::GET, "audit/events?limit=500", None)
        .await
        .unwrap();
    let text = events.to_string();
    for told in [
        "kill.engage",
        "kill.release",
        "killed_agent",
        "killed_tool",
        "killed_tenant",
        "killed_platform",
    ] {
        assert!(text.contains(told), "{told}");
    }
    second.end(Signal::SIGTERM).await.unwrap();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_under_way_is_cancelled() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let upstream = Upstream::start(Duration::from_secs(20)).await.unwrap();
    let token = prepare(&cluster, &upstream).await.unwrap();
    let agent = Agent {
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
        token,
    };
    let call = agent.call(&cluster.edge_url);
    let stop = async {
        while upstream.journal.all().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let body = json!({ "scope": "tool", "object": "worker/work" });
        cluster
            .acme(Method::POST, "kill-switches", Some(body))
            .await
            .unwrap();
        Instant::now()
    };
    let (told, stopped) = tokio::join!(call, stop);
    assert_eq!(told, "killed_tool");
    assert!(
        stopped.elapsed() < Duration::from_secs(1),
        "{:?}",
        stopped.elapsed()
    );
    oracle::settled(&cluster, Duration::from_secs(20))
        .await
        .unwrap();
    let events = cluster
        .acme(Method::GET, "audit/events?limit=100", None)
        .await
        .unwrap();
    assert!(events.to_string().contains("\"cancelled\""));
    cluster.stop().await;
}

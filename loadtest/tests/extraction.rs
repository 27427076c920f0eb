//! The intent extraction plug-in: a proposal is validated and shown, never declared.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use axum::response::{IntoResponse, Redirect, Response};
use axum::{Json, extract::Path};
use proctor_loadtest::cluster::{Cluster, Options, free_port};
use proctor_loadtest::load::{AGENT, register};
use proctor_loadtest::upstream::Upstream;
use reqwest::Method;
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long an extractor may take: the good ones do not, on however busy a machine.
const TIMEOUT_MS: u64 = 5_000;
/// Nothing else takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Extractors that misbehave, each in its own way.
async fn hostile(Path(way): Path<String>, Json(request): Json<Value>) -> Response {
    let mut proposal = json!({
        "agent": request["agent"], "goal": request["goal"], "expires_in_s": 60,
        "actions": [{ "tool": "worker/work" }],
    });
    match way.as_str() {
        "redirect" => return Redirect::temporary("/good").into_response(),
        "error" => return axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        "slow" => tokio::time::sleep(2 * PATIENCE).await,
        "large" => proposal["goal"] = "x".repeat(100_000).into(),
        "twice" => return r#"{"agent":"worker","agent":"worker"}"#.into_response(),
        "goal" => proposal["goal"] = "Do something else".into(),
        "agent" => proposal["agent"] = "other".into(),
        "user" => proposal["user"] = "mallory".into(),
        "parent" => proposal["parent"] = "int_1".into(),
        "tool" => proposal["actions"][0]["tool"] = "bank/send_money".into(),
        "schema" => proposal["actions"][0]["args"] = json!({ "$ref": "https://evil.example/x" }),
        "life" => proposal["expires_in_s"] = 1_000_000.into(),
        "more" => proposal["approved"] = true.into(),
        _ => {}
    }
    Json(proposal).into_response()
}

async fn set(cluster: &Cluster, url: &str) {
    let settings = json!({ "extractor": { "url": url, "timeout_ms": TIMEOUT_MS } });
    let body = json!({ "display_name": "Acme", "settings": settings });
    cluster
        .api(Method::PUT, "/v1/tenants/acme", Some(body))
        .await
        .unwrap();
}

async fn extract(cluster: &Cluster) -> Result<Value, String> {
    let body = json!({ "agent": AGENT, "goal": "Do a piece of work" });
    let proposed = cluster
        .acme(Method::POST, "intents/extract", Some(body))
        .await;
    proposed.map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_is_checked_and_never_declared() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let upstream = Upstream::start(Duration::ZERO).await.unwrap();
    cluster
        .acme(Method::PUT, &format!("agents/{AGENT}"), Some(json!({})))
        .await
        .unwrap();
    register(&cluster, &upstream).await.unwrap();
    assert!(
        extract(&cluster)
            .await
            .unwrap_err()
            .contains("no extractor")
    );

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/{way}", axum::routing::post(hostile));
    tokio::spawn(async move { axum::serve(listener, router).await });
    for way in [
        "redirect", "error", "slow", "large", "twice", "goal", "agent", "user", "parent", "tool",
        "schema", "life", "more",
    ] {
        set(&cluster, &format!("{base}/{way}")).await;
        let started = Instant::now();
        let refused = extract(&cluster).await.expect_err(way);
        assert!(
            refused.contains("409") && !refused.contains("evil.example"),
            "{way}: {refused}"
        );
        assert!(started.elapsed() < PATIENCE, "{way}");
    }
    set(&cluster, &format!("{base}/good")).await;
    let proposal = extract(&cluster).await.unwrap();
    assert_eq!(
        proposal["actions"],
        json!([{ "tool": "worker/work", "on_violation": "deny" }])
    );
    // It is a declaration that is taken as it is; until then there is none.
    let declared = cluster
        .acme(Method::POST, "intents", Some(proposal))
        .await
        .unwrap();
    assert_eq!(declared["declaration"]["goal"], "Do a piece of work");
    let audit = async || {
        cluster
            .acme(Method::GET, "audit/events?limit=500", None)
            .await
            .unwrap()
            .to_string()
    };
    // What control records waits in its outbox for a moment.
    let deadline = Instant::now() + PATIENCE;
    while !audit().await.contains("intent.declare") {
        assert!(Instant::now() < deadline, "{}", audit().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(audit().await.matches("intent.declare").count(), 1);

    // A tenant's own administrator does not choose whom control speaks to.
    let admin = cluster.key("tenant-admin").await.unwrap();
    let change = async |url: &str| {
        let settings = json!({ "extractor": { "url": url, "timeout_ms": TIMEOUT_MS } });
        let body = json!({ "display_name": "Acme", "settings": settings });
        cluster
            .api_as(&admin, Method::PUT, "/v1/tenants/acme", Some(body))
            .await
    };
    assert!(
        change("http://127.0.0.1:1/")
            .await
            .unwrap_err()
            .to_string()
            .contains("403")
    );
    change(&format!("{base}/good"))
        .await
        .expect("what it was before");

    // The example of the documentation.
    let port = free_port().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/extractor.py");
    let example = Command::new("python3")
        .arg(script)
        .arg(port.to_string())
        .stdout(Stdio::null())
        .spawn();
    if let Ok(mut example) = example {
        set(&cluster, &format!("http://127.0.0.1:{port}/")).await;
        let started = Instant::now();
        let proposal = loop {
            match extract(&cluster).await {
                Ok(proposal) => break proposal,
                Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert!(
            proposal["actions"].to_string().contains("worker/work"),
            "{proposal}"
        );
        example.kill().unwrap();
        example.wait().unwrap();
    }
    cluster.stop().await;
}

//! Two tenants on one installation: nothing of one is visible to the other.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

use proctor_loadtest::cluster::{Cluster, Options};
use proctor_loadtest::load::{AGENT, prepare};
use proctor_loadtest::upstream::Upstream;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long an edge may take to hear of another tenant, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn one_tenant_sees_nothing_of_another() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let upstream = Upstream::start(Duration::ZERO).await.unwrap();
    let token = prepare(&cluster, &upstream).await.unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let call = async |token: &str, tool: &str| -> Value {
        let body = json!({ "tool": tool, "arguments": { "id": "1", "amount": 1 } });
        let request = http
            .post(format!("{}/v1/tool-call", cluster.edge_url))
            .bearer_auth(token)
            .json(&body);
        request.send().await.unwrap().json().await.unwrap()
    };
    assert!(call(&token, "worker/work").await["result"].is_object());

    // Another tenant, whose administrator tries everything.
    cluster
        .api(
            Method::POST,
            "/v1/tenants",
            Some(json!({ "tenant": "zoo" })),
        )
        .await
        .unwrap();
    let new = json!({ "name": "zoo's own", "roles": ["tenant-admin", "auditor"] });
    let key = cluster
        .api(Method::POST, "/v1/tenants/zoo/api-keys", Some(new))
        .await
        .unwrap();
    let key = key["key"].as_str().unwrap();
    let ask = async |method: Method, path: &str, body: Option<Value>| -> (u16, String) {
        let mut request = http
            .request(method, format!("{}{path}", cluster.api_url))
            .bearer_auth(key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let (status, _) = ask(Method::GET, "/v1/tenants/zoo/agents", None).await;
    assert_eq!(status, 200, "its own it sees");
    let document: Value = http
        .get(format!("{}/openapi.json", cluster.api_url))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let mut tried = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| *key != "parameters")
        {
            let method: Method = method.to_uppercase().parse().unwrap();
            let fill = |tenant: &str| {
                path.replace("{tenant}", tenant)
                    .replace("{version}", "1")
                    .replace("{id}", AGENT)
            };
            let body = (method == Method::POST || method == Method::PUT).then(|| json!({}));
            let (status, text) = ask(method.clone(), &fill("acme"), body.clone()).await;
            // Bodies are looked at first; what is asked without one, or with a good one, is not found or not allowed.
            assert!(
                [400, 401, 403, 404].contains(&status),
                "{method} {path}: {status} {text}"
            );
            assert!(!text.contains("worker"), "{method} {path} tells: {text}");
            if path.contains("{tenant}") && body.is_none() {
                let (absent, absent_text) = ask(method.clone(), &fill("nobody"), None).await;
                assert_eq!(
                    (status, text),
                    (absent, absent_text),
                    "{method} {path}: acme looks unlike an absent tenant"
                );
            }
            tried += 1;
        }
    }
    assert!(tried > 30, "only {tried} operations were tried");

    // At the edge: it serves acme alone, then both; a token of one never reaches the other's tools.
    cluster
        .api(
            Method::PUT,
            "/v1/tenants/zoo/agents/worker",
            Some(json!({})),
        )
        .await
        .unwrap();
    let minted = json!({ "agent": "worker", "caveats": [
        format!("time < {}", proctor_loadtest::load::in_secs(600).unwrap()), "tool in */*",
    ] });
    let foreign = cluster
        .api(Method::POST, "/v1/tenants/zoo/tokens", Some(minted))
        .await
        .unwrap();
    let foreign = foreign["token"].as_str().unwrap();
    assert_eq!(
        call(foreign, "worker/work").await["error"]["data"]["reason"],
        "tenant_not_served"
    );
    let both = json!({ "tenants": ["acme", "zoo"] });
    cluster
        .api(
            Method::PUT,
            &format!("/v1/edges/{}", cluster.edge_id()),
            Some(both),
        )
        .await
        .unwrap();
    let started = Instant::now();
    loop {
        let last = call(foreign, "worker/work").await;
        if last["error"]["data"]["reason"] == "unknown_tool" {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{last}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert!(call(&token, "worker/work").await["result"].is_object());
    assert_eq!(upstream.journal.all().len(), 2);

    // In the chains: zoo's has nothing of acme.
    proctor_loadtest::oracle::settled(&cluster, PATIENCE)
        .await
        .unwrap();
    let (status, text) = ask(Method::GET, "/v1/tenants/zoo/audit/events?limit=1000", None).await;
    assert_eq!(status, 200);
    assert!(
        text.contains("unknown_tool") && !text.contains("acme"),
        "{text}"
    );
    let (status, _) = ask(Method::GET, "/v1/tenants/_platform/audit/events", None).await;
    assert_eq!(
        status, 404,
        "the platform's chain is not a tenant's to read"
    );
    cluster.stop().await;
}

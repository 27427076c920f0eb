//! Each revision that begins with `initialize`: a handshake and a call, as a client of that time makes them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use proctor_loadtest::cluster::{Cluster, Options};
use proctor_loadtest::load::prepare;
use proctor_loadtest::mcp::Client;
use proctor_loadtest::upstream::Upstream;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn each_older_revision_shakes_hands_and_calls() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let upstream = Upstream::start(Duration::ZERO).await.unwrap();
    let token = prepare(&cluster, &upstream).await.unwrap();
    let client = Client::new(&format!("{}/v1/mcp/worker", cluster.edge_url), &token).unwrap();
    for (asked, given) in [
        ("2025-11-25", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("2025-03-26", "2025-03-26"),
        // Not one of ours: the newest with a handshake is offered, and the client decides.
        ("2024-11-05", "2025-11-25"),
    ] {
        let (session, said) = client.initialize(asked).await.unwrap();
        assert_eq!(said["protocolVersion"], given, "{said}");
        assert_eq!(said["capabilities"]["tools"]["listChanged"], true, "{said}");
        // Tasks came with 2025-11-25.
        let tasks = said["capabilities"]["tasks"].is_object();
        assert_eq!(tasks, given == "2025-11-25", "{said}");
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let taken = client.legacy(given, Some(&session), &initialized).send();
        assert_eq!(taken.await.unwrap().status(), StatusCode::ACCEPTED);

        let ask = async |method: &str, params: Value| -> Value {
            let message =
                json!({ "jsonrpc": "2.0", "id": method, "method": method, "params": params });
            let request = client.legacy(given, Some(&session), &message);
            let answer: Value = request.send().await.unwrap().json().await.unwrap();
            assert_eq!(answer["id"], method, "{answer}");
            answer
        };
        let list = ask("tools/list", json!({})).await;
        assert_eq!(list["result"]["tools"][0]["name"], "work", "{list}");
        let arguments = json!({ "id": asked, "amount": 1 });
        let call = json!({ "name": "work", "arguments": arguments });
        let called = ask("tools/call", call).await;
        let result = &called["result"];
        assert_eq!(result["structuredContent"]["done"], asked, "{called}");
        // A member of the stateless revision.
        assert!(result.get("resultType").is_none(), "{called}");
        let executed = upstream.journal.all();
        assert_eq!(executed.last().unwrap().arguments, arguments);
        // Within the session another revision is none.
        let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
        let other = client.legacy("1999-01-01", Some(&session), &ping).send();
        assert_eq!(other.await.unwrap().status(), StatusCode::BAD_REQUEST);
    }
    assert_eq!(upstream.journal.all().len(), 4);
    cluster.stop().await;
}

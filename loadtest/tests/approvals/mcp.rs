//! Approvals over MCP, in both families of revisions.

use super::system::System;
use proctor_loadtest::mcp::{Client, LEGACY};
use serde_json::{Value, json};

/// The answer to one JSON-RPC request in either family of revisions.
async fn rpc(system: &System, token: &str, headers: &[(&str, &str)], body: Value) -> Value {
    let request = system.http.post(format!("{}/v1/mcp", system.urls[0]));
    let mut request = request
        .bearer_auth(token)
        .header("accept", "application/json, text/event-stream");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.json(&body).send().await.unwrap();
    response.json().await.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_families_of_mcp_take_an_approval() {
    let system = System::start(json!({ "denials": "error" })).await;
    let token = system.token(json!({}), &[]).await;
    let client = Client::new(&format!("{}/v1/mcp", system.urls[0]), &token).unwrap();
    let (session, _) = client.initialize(LEGACY).await.unwrap();
    let old = [
        ("mcp-session-id", session.as_str()),
        ("mcp-protocol-version", LEGACY),
    ];
    let new = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "worker__work"),
    ];
    for (headers, code, amount) in [(&old[..], -32019, 801), (&new[..], -31019, 802)] {
        let call = |approval: Option<&Value>| {
            let mut meta = json!({});
            if code == -31019 {
                meta["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
                meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
            }
            if let Some(approval) = approval {
                meta["dev.proctor/approval"] = approval.clone();
            }
            json!({
                "jsonrpc": "2.0", "id": amount, "method": "tools/call",
                "params": { "name": "worker__work", "arguments": { "id": "1", "amount": amount }, "_meta": meta },
            })
        };
        let waits = rpc(&system, &token, headers, call(None)).await;
        assert_eq!(waits["error"]["code"], code, "{waits}");
        let id = &waits["error"]["data"]["approval_id"];
        system
            .decide(&system.approver, id.as_str().unwrap(), "approve")
            .await
            .unwrap();
        let done = rpc(&system, &token, headers, call(Some(id))).await;
        assert!(done["result"].is_object(), "{done}");
        let used = rpc(&system, &token, headers, call(Some(id))).await;
        assert_eq!(used["error"]["data"]["reason"], "approval_used", "{used}");
        assert_eq!(system.executed(amount), 1);
    }
    system.stop().await;
}

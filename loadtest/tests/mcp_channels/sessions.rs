//! Sessions of the older revisions: whom they answer.

use super::{System, reason};
use proctor_loadtest::mcp::LEGACY;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);

fn request(id: u64, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

/// The client wants this request to be cancelled.
fn cancelled(id: u64) -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } })
}

impl System {
    /// A request of a session, but for what it is.
    fn of_session(&self, method: Method, token: &str, session: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}/v1/mcp/s", self.cluster.edge_url))
            .bearer_auth(token)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", LEGACY)
            .header("mcp-session-id", session)
    }

    fn post(&self, token: &str, session: &str, message: &Value) -> RequestBuilder {
        self.of_session(Method::POST, token, session).json(message)
    }

    /// Begins a session of a client that can be asked.
    async fn open(&self, token: &str) -> String {
        let params = json!({
            "protocolVersion": LEGACY, "capabilities": { "elicitation": {} }, "clientInfo": { "name": "x", "version": "1" },
        });
        let response = self
            .http
            .post(format!("{}/v1/mcp/s", self.cluster.edge_url))
            .bearer_auth(token)
            .json(&request(1, "initialize", params))
            .send();
        let response = response.await.unwrap();
        response.headers()["mcp-session-id"]
            .to_str()
            .unwrap()
            .to_owned()
    }

    /// Sends it until it is refused for this reason; the status of that.
    async fn refused(&self, send: impl Fn() -> RequestBuilder, wanted: &str) -> StatusCode {
        let started = Instant::now();
        loop {
            let response = send().send().await.unwrap();
            let (status, text) = (response.status(), response.text().await.unwrap());
            let answer: Value = serde_json::from_str(&text).unwrap_or_default();
            if reason(&answer) == wanted {
                return status;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "{status} {text}, not {wanted}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_answers_nobody_whose_right_is_over() {
    let system = System::start().await;
    let token = system.token(&["tool in s/*"]).await;
    let session = system.open(&token).await;
    let revoke = Some(json!({ "token": token }));
    system
        .cluster
        .acme(Method::POST, "revocations", revoke)
        .await
        .unwrap();
    let ping = request(2, "ping", json!({}));
    let refused = system.refused(|| system.post(&token, &session, &ping), "token_revoked");
    assert_eq!(refused.await, StatusCode::UNAUTHORIZED);
    let messages = [
        request(3, "logging/setLevel", json!({ "level": "debug" })),
        request(4, "resources/unsubscribe", json!({ "uri": "docs://open" })),
        request(5, "tasks/list", json!({})),
        cancelled(2),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        json!({ "jsonrpc": "2.0", "id": 1, "result": {} }),
    ];
    let posts = messages
        .iter()
        .map(|message| system.post(&token, &session, message));
    let end = system.of_session(Method::DELETE, &token, &session);
    for sent in posts.chain([end]) {
        let response = sent.send().await.unwrap();
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert_eq!(reason(&answer), "token_revoked", "{answer}");
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");
    }
    system.cluster.stop().await;
}

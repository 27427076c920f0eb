//! What the edge tells a tool server of the stateless revision in headers is what it tells it in the body: after a content
//! rule changed an argument, and after a name was made shorter.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proctor_loadtest::acme;
use proctor_loadtest::cluster::Cluster;
use proctor_loadtest::load::{AGENT, digest};
use proctor_loadtest::mcp::Client;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// Headers and body of each call.
type Came = Arc<Mutex<Vec<(HeaderMap, Value)>>>;

fn tool() -> Value {
    let text = |header: &str| json!({ "type": "string", "x-mcp-header": header });
    json!({ "name": "send", "description": "Sends a message", "inputSchema": {
        "type": "object",
        "properties": { "to": text("To"), "about": text("About"), "text": { "type": "string" } },
    } })
}

async fn serve(
    State(came): State<Came>,
    headers: HeaderMap,
    Json(request): Json<Value>,
) -> Response {
    let result = match request["method"].as_str().unwrap_or_default() {
        "server/discover" => json!({ "supportedVersions": ["2026-07-28"], "capabilities": {} }),
        "tools/list" => json!({ "tools": [tool()] }),
        "tools/call" => {
            came.lock().unwrap().push((headers, request.clone()));
            json!({ "content": [{ "type": "text", "text": "sent" }] })
        }
        _ => {
            let error = json!({ "code": -32601, "message": "no such method" });
            let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "error": error });
            return Json(answer).into_response();
        }
    };
    Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
}

struct System {
    cluster: Cluster,
    came: Came,
    token: String,
}

impl System {
    async fn start() -> Self {
        let cluster = acme::start().await.unwrap();
        let came = Came::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let router = axum::Router::new()
            .route("/mcp", axum::routing::post(serve))
            .with_state(Arc::clone(&came));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let tool = tool();
        let definition = json!({
            "name": tool["name"], "description": tool["description"], "input_schema": tool["inputSchema"],
        });
        let entry = json!({ "definition": definition, "definition_digest": digest(&tool) });
        let server = json!({ "upstream": { "kind": "mcp-http", "url": url }, "tools": [entry] });
        let rules = json!({ "rules": [
            { "classes": ["email"], "direction": "outbound", "action": "redact" },
        ] });
        for (path, body) in [("content-rules", rules), ("tool-servers/s", server)] {
            cluster.acme(Method::PUT, path, Some(body)).await.unwrap();
        }
        let token = acme::mint(&cluster, 3600, &["tool in s/*"]).await.unwrap();
        cluster
            .wait_allowed(&token, AGENT, "s/send", json!({}))
            .await
            .unwrap();
        Self {
            cluster,
            came,
            token,
        }
    }

    fn client(&self, path: &str) -> Client {
        Client::new(&format!("{}{path}", self.cluster.edge_url), &self.token).unwrap()
    }

    fn last(&self) -> (HeaderMap, Value) {
        self.came.lock().unwrap().last().unwrap().clone()
    }
}

/// A header's text, as the specification writes it.
fn written(text: &str) -> String {
    match text.is_ascii() {
        true => text.to_owned(),
        false => format!("=?base64?{}?=", STANDARD.encode(text)),
    }
}

fn read(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut all = headers.get_all(name).iter();
    let value = all.next()?.to_str().unwrap();
    assert!(all.next().is_none(), "{name} is there twice");
    let encoded = value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="));
    Some(match encoded {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap(),
        None => value.to_owned(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_body_agree_after_a_content_rule() {
    let system = System::start().await;
    let client = system.client("/v1/mcp/s");
    for (sent, got) in [
        ("bob@example.org", "[EMAIL]"),
        ("schön für bob@example.org", "schön für [EMAIL]"),
        ("nobody", "nobody"),
    ] {
        let arguments = json!({ "to": sent, "text": sent });
        let params = json!({ "name": "send", "arguments": arguments });
        let request = client
            .modern("tools/call", params)
            .header("mcp-param-to", written(sent));
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(
            answer["result"]["content"][0]["text"], "sent",
            "{sent}: {answer}"
        );
        let (headers, body) = system.last();
        let arguments = &body["params"]["arguments"];
        assert_eq!(*arguments, json!({ "to": got, "text": got }));
        assert_eq!(
            read(&headers, "mcp-param-to").as_deref(),
            Some(got),
            "{sent}"
        );
        assert_eq!(
            read(&headers, "mcp-param-about"),
            None,
            "an argument that is not there has no header"
        );
        for (name, value) in &headers {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            assert!(!value.contains("bob@"), "{name}: {value}");
        }
    }

    // A client whose own headers say something else is not heard at all.
    let before = system.came.lock().unwrap().len();
    for header in [
        Some(("mcp-param-to", "carol")),
        Some(("mcp-param-text", "x")),
        None,
    ] {
        let params = json!({ "name": "send", "arguments": { "to": "bob", "text": "x" } });
        let mut request = client.modern("tools/call", params);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 400, "{header:?}");
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["error"]["code"], -32020, "{header:?}: {answer}");
    }
    assert_eq!(system.came.lock().unwrap().len(), before);
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_tool_has_its_own_name_at_its_server() {
    let system = System::start().await;
    let client = system.client("/v1/mcp");
    for name in ["s__send", "s/send", "send"] {
        let params = json!({ "name": name, "arguments": { "to": "bob@example.org" } });
        let request = client
            .modern("tools/call", params)
            .header("mcp-param-to", "bob@example.org");
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        let said = &answer["result"]["content"][0]["text"];
        assert_eq!(*said, "sent", "{name}: {answer}");
        let (headers, body) = system.last();
        assert_eq!(body["params"]["name"], "send");
        for (header, value) in [
            ("mcp-name", "send"),
            ("mcp-method", "tools/call"),
            ("mcp-param-to", "[EMAIL]"),
        ] {
            assert_eq!(read(&headers, header).as_deref(), Some(value), "{header}");
        }
    }
    assert_eq!(system.came.lock().unwrap().len(), 3);
    // Where the server is named by the path, the joined name is none.
    let params = json!({ "name": "s__send", "arguments": {} });
    let request = system.client("/v1/mcp/s").modern("tools/call", params);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(
        answer["error"]["data"]["reason"], "unknown_tool",
        "{answer}"
    );
    system.cluster.stop().await;
}

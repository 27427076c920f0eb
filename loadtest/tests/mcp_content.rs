//! The content rules at both ends of a call: what the tool server got, byte for byte, and what the agent got. The server is
//! made with the official Rust SDK; before it stands only who notes the bytes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use proctor_loadtest::cluster::{Cluster, Options, proctor_binary};
use proctor_loadtest::load::{AGENT, allow_all, in_secs};
use reqwest::Method;
use rmcp::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ErrorData, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Map, Value, json};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SSN: &str = "536-90-4399";
const KEY: &str = "AKIAQWERTYUIOP234567";

/// What the server answers next, and what it got.
#[derive(Clone, Default)]
struct Desk {
    answer: Arc<Mutex<Value>>,
    bodies: Arc<Mutex<Vec<Bytes>>>,
}

#[derive(Clone)]
struct Notes(Desk);

impl ServerHandler for Notes {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema = Arc::new(Map::from_iter([("type".to_owned(), json!("object"))]));
        let tool = |name: &'static str, text: String| Tool::new(name, text, Arc::clone(&schema));
        Ok(ListToolsResult::with_all_items(vec![
            tool("note", format!("Takes a note; the key is {KEY}")),
            tool("vault", "May see numbers".to_owned()),
        ]))
    }

    async fn call_tool(
        &self,
        _request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let answer = self.0.answer.lock().unwrap().clone();
        match answer.get("error") {
            Some(error) => Err(ErrorData::internal_error(
                error.as_str().unwrap().to_owned(),
                Some(answer.clone()),
            )),
            None => {
                let result: CallToolResult = serde_json::from_value(answer).unwrap();
                Ok(CallToolResponse::Complete(result))
            }
        }
    }
}

async fn noted(State(desk): State<Desk>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    desk.bodies.lock().unwrap().push(bytes.clone());
    next.run(Request::from_parts(parts, Body::from(bytes)))
        .await
}

struct System {
    cluster: Cluster,
    desk: Desk,
    http: reqwest::Client,
    token: String,
}

impl System {
    async fn start(rules: Value) -> Self {
        let options = Options {
            settings: json!({ "intent": "when_declared" }),
            ..Options::default()
        };
        let cluster = Cluster::start(options).await.unwrap();
        let desk = Desk::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let notes = Notes(desk.clone());
        let config = StreamableHttpServerConfig::default().with_json_response(true);
        let service: StreamableHttpService<Notes, LocalSessionManager> =
            StreamableHttpService::new(move || Ok(notes.clone()), Arc::default(), config);
        let router = axum::Router::new()
            .nest_service("/mcp", service)
            .layer(from_fn_with_state(desk.clone(), noted));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let agent = format!("agents/{AGENT}");
        for (path, body) in [(agent.as_str(), json!({})), ("content-rules", rules)] {
            cluster.acme(Method::PUT, path, Some(body)).await.unwrap();
        }
        allow_all(&cluster).await.unwrap();
        let mut import = tokio::process::Command::new(proctor_binary().unwrap());
        import
            .args(["server", "import", "s", "--url", &url])
            .env("PROCTOR_API_URL", &cluster.api_url)
            .env("PROCTOR_TENANT", "acme")
            .env("PROCTOR_ADMIN_KEY", cluster.admin_key())
            .stdout(Stdio::null());
        assert!(import.status().await.unwrap().success());
        let caveats = json!([format!("time < {}", in_secs(3600).unwrap()), "tool in s/*"]);
        let body = json!({ "agent": AGENT, "caveats": caveats });
        let minted = cluster.acme(Method::POST, "tokens", Some(body)).await;
        let token = minted.unwrap()["token"].as_str().unwrap().to_owned();
        cluster
            .wait_allowed(&token, AGENT, "s/note", json!({}))
            .await
            .unwrap();
        let system = Self {
            cluster,
            desk,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            token,
        };
        // Calls go through once the edge has compared the server with what was approved.
        let started = Instant::now();
        system.answers(json!({ "content": [] }));
        while !system
            .call("note", json!({}))
            .await
            .contains(r#""content""#)
        {
            assert!(started.elapsed() < Duration::from_secs(60));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        system
    }

    fn answers(&self, answer: Value) {
        *self.desk.answer.lock().unwrap() = answer;
    }

    /// One request of the stateless revision, and the answer as it comes.
    async fn ask(&self, method: &str, mut params: Value) -> String {
        let name = params["name"].as_str().unwrap_or_default().to_owned();
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        let request = self
            .http
            .post(format!("{}/v1/mcp/s", self.cluster.edge_url))
            .bearer_auth(&self.token)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method);
        let request = match name.is_empty() {
            true => request,
            false => request.header("mcp-name", name),
        };
        request
            .json(&body)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    }

    async fn call(&self, tool: &str, arguments: Value) -> String {
        let params = json!({ "name": tool, "arguments": arguments });
        self.ask("tools/call", params).await
    }

    /// The body of the last call that the server got.
    fn last_call(&self) -> String {
        let bodies = self.desk.bodies.lock().unwrap();
        let texts = bodies.iter().map(|body| String::from_utf8_lossy(body));
        let calls = texts.filter(|text| text.contains(r#""tools/call""#));
        calls.last().unwrap().into_owned()
    }

    /// Checks that a call with these arguments reaches the server with those, to the byte.
    async fn reaches(&self, tool: &str, sent: &Value, got: &Value) {
        let answer = self.call(tool, sent.clone()).await;
        assert!(answer.contains(r#""result""#), "{answer}");
        let body = self.last_call();
        let wanted = format!(r#""arguments":{got}"#);
        assert!(body.contains(&wanted), "{sent}\nbecame {body}\nnot {got}");
    }
}

fn result(answer: &str) -> Value {
    let answer: Value = serde_json::from_str(answer).unwrap();
    answer["result"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_redacted_is_what_the_server_gets_byte_for_byte() {
    let system = System::start(json!({ "rules": [
        { "classes": ["email", "payment_card"], "direction": "outbound", "action": "redact" },
        { "classes": ["us_ssn"], "direction": "outbound", "action": "mask" },
    ] }))
    .await;
    for (sent, got) in [
        (json!("to bob@example.org now"), json!("to [EMAIL] now")),
        (
            json!({ "bob@example.org": [1, "x"] }),
            json!({ "[EMAIL]": [1, "x"] }),
        ),
        (
            json!([{ "card": 4_111_111_111_111_111_u64 }]),
            json!([{ "card": "[CARD]" }]),
        ),
        (json!(format!("SSN {SSN}.")), json!("SSN ***-**-4399.")),
        // JSON in a text, twice; percent-encoding; base64; full width; no width.
        (
            json!(r#"{"to":"bob\u0040example.org"}"#),
            json!(r#"{"to":"[EMAIL]"}"#),
        ),
        (
            json!(r#"{"a":"{\"to\":\"bob@example.org\"}"}"#),
            json!(r#"{"a":"{\"to\":\"[EMAIL]\"}"}"#),
        ),
        (json!("x=bob%40example.org&y=1"), json!("x=%5BEMAIL%5D&y=1")),
        (
            json!("bWFpbCBib2JAZXhhbXBsZS5vcmcgb2s="),
            json!("bWFpbCBbRU1BSUxdIG9r"),
        ),
        (
            json!("to \u{ff42}\u{ff4f}\u{ff42}@example.org."),
            json!("to [EMAIL]."),
        ),
        (
            json!("to b\u{200b}ob@exam\u{2060}ple.org."),
            json!("to [EMAIL]."),
        ),
        // Nothing to find: nothing changes.
        (
            json!("order 4111111111111112, v1.2.3"),
            json!("order 4111111111111112, v1.2.3"),
        ),
    ] {
        let within = |value: &Value| json!({ "note": value, "other": { "deep": [value] } });
        system.reaches("note", &within(&sent), &within(&got)).await;
    }
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_is_redacted_on_every_channel() {
    let system = System::start(json!({ "rules": [
        { "classes": ["email"], "direction": "inbound", "action": "redact" },
    ] }))
    .await;
    let text = format!("mail bob@example.org, key {KEY}");
    let clean = "mail [EMAIL], key [AWS_KEY]";
    let of = |text: &str| {
        json!({
            "content": [
                { "type": "text", "text": text },
                { "type": "resource", "resource": { "uri": "docs://a", "mimeType": "text/plain", "text": text } },
            ],
            "structuredContent": { "all": [{ "said": text, "n": 7 }] },
            "isError": false,
        })
    };
    system.answers(of(&text));
    let answer = system.call("note", json!({})).await;
    let (came, wanted) = (result(&answer), of(clean));
    for member in ["content", "structuredContent"] {
        assert_eq!(came[member], wanted[member], "{answer}");
    }
    let mut failed = of(&text);
    failed["isError"] = json!(true);
    system.answers(failed);
    let failure = system.call("note", json!({})).await;
    assert_eq!(result(&failure)["content"], wanted["content"], "{failure}");
    system.answers(json!({ "error": text, "more": { "bob@example.org": text } }));
    let error = system.call("note", json!({})).await;
    assert!(error.contains(clean), "{error}");
    let list = system.ask("tools/list", json!({})).await;
    assert!(
        list.contains("Takes a note; the key is [AWS_KEY]"),
        "{list}"
    );
    for seen in [answer, failure, error, list] {
        assert!(!seen.contains(KEY) && !seen.contains("bob@"), "{seen}");
    }
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_placeholder_stands_for_its_value_only_where_it_may_be_seen() {
    let system = System::start(json!({
        "rules": [{ "classes": ["us_ssn"], "direction": "inbound", "action": "tokenise" }],
        "reveal": [{ "classes": ["us_ssn"], "tools": ["s/vault"] }],
    }))
    .await;
    system.answers(json!({ "content": [{ "type": "text", "text": format!("SSN {SSN} of Ann") }] }));
    let answer = system.call("note", json!({})).await;
    let said = result(&answer)["content"][0]["text"].clone();
    let said = said.as_str().unwrap();
    let placeholder = said.strip_prefix("SSN ").unwrap();
    let placeholder = placeholder.strip_suffix(" of Ann").unwrap();
    assert_ne!(placeholder, SSN);
    let form = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "0");
    assert_eq!(form(placeholder), form(SSN), "the form stays");
    let again = system.call("note", json!({})).await;
    assert_eq!(
        result(&again)["content"][0]["text"],
        said,
        "always the same one"
    );
    let holding = |value: &str| json!({ "text": format!("SSN {value} of Ann") });
    let as_it_is = holding(placeholder);
    system.reaches("note", &as_it_is, &as_it_is).await;
    system.reaches("vault", &as_it_is, &holding(SSN)).await;
    system.cluster.stop().await;
}

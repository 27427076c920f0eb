//! A tool server that fails again and again is left alone for a while: a 5xx without an answer counts, a 4xx does not, and
//! what one tenant's calls come to says nothing about another's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use proctor_loadtest::cluster::{Cluster, Options};
use proctor_loadtest::load::{allow_all_of, digest, in_secs};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const AGENT: &str = "client";
/// Faults in a row that a server may have (`edge/gateway/src/upstream/breaker.rs`).
const FAULTS_MAX: usize = 8;
const WAIT: Duration = Duration::from_secs(60);

/// How often the tool was called.
type Calls = Arc<AtomicUsize>;

fn tool() -> Value {
    json!({ "name": "work", "description": "Works", "inputSchema": { "type": "object" } })
}

/// Answers as it is asked to.
fn answers(status: &str, body: Value) -> Response {
    let status: u16 = status.parse().unwrap();
    let status = StatusCode::from_u16(status).unwrap();
    match body {
        Value::Null => (status, "no answer").into_response(),
        body => (status, Json(body)).into_response(),
    }
}

async fn api(State(calls): State<Calls>, Query(asked): Query<HashMap<String, String>>) -> Response {
    calls.fetch_add(1, Ordering::SeqCst);
    answers(&asked["status"], Value::Null)
}

async fn mcp(State(calls): State<Calls>, Json(request): Json<Value>) -> Response {
    let id = &request["id"];
    let result = match request["method"].as_str() {
        Some("initialize") => json!({
            "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
            "serverInfo": { "name": "x", "version": "1" },
        }),
        Some("tools/list") => json!({ "tools": [tool()] }),
        Some("tools/call") => {
            calls.fetch_add(1, Ordering::SeqCst);
            let asked = &request["params"]["arguments"];
            let body = match asked["body"].as_str() {
                Some("rpc") => {
                    let error = json!({ "code": -32000, "message": "out of order" });
                    json!({ "jsonrpc": "2.0", "id": id, "error": error })
                }
                Some("json") => json!({ "message": "Internal server error" }),
                _ if asked["status"] == "200" => {
                    let text = json!({ "type": "text", "text": "done" });
                    json!({ "jsonrpc": "2.0", "id": id, "result": { "content": [text] } })
                }
                _ => Value::Null,
            };
            return answers(asked["status"].as_str().unwrap(), body);
        }
        _ if id.is_null() => return StatusCode::ACCEPTED.into_response(),
        _ => {
            let error = json!({ "code": -32601, "message": "no such method" });
            return Json(json!({ "jsonrpc": "2.0", "id": id, "error": error })).into_response();
        }
    };
    let answer = json!({ "jsonrpc": "2.0", "id": id, "result": result });
    // With a session: a 404 then says that it is lost.
    ([("mcp-session-id", "s")], Json(answer)).into_response()
}

struct System {
    cluster: Cluster,
    calls: Calls,
    address: String,
    http: reqwest::Client,
}

impl System {
    async fn start() -> Self {
        let calls = Calls::default();
        let router = Router::new()
            .route("/mcp", axum::routing::post(mcp))
            .route("/work", axum::routing::get(api))
            .with_state(Arc::clone(&calls));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let options = Options {
            settings: json!({ "intent": "when_declared" }),
            ..Options::default()
        };
        let system = Self {
            cluster: Cluster::start(options).await.unwrap(),
            calls,
            address,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        let zoo = json!({ "tenant": "zoo", "settings": { "intent": "when_declared" } });
        let made = system.cluster.api(Method::POST, "/v1/tenants", Some(zoo));
        made.await.unwrap();
        let both = json!({ "tenants": ["acme", "zoo"] });
        let edge = format!("/v1/edges/{}", system.cluster.edge_id());
        let assigned = system.cluster.api(Method::PUT, &edge, Some(both));
        assigned.await.unwrap();
        system
    }

    /// A tenant with both servers, at the same address as everybody's, and a token for them.
    async fn tenant(&self, tenant: &str) -> String {
        let put = async |path: &str, body: Value| {
            let path = format!("/v1/tenants/{tenant}/{path}");
            let put = self.cluster.api(Method::PUT, &path, Some(body)).await;
            put.unwrap();
        };
        put(&format!("agents/{AGENT}"), json!({})).await;
        allow_all_of(&self.cluster, tenant).await.unwrap();
        let mut entry = json!({
            "definition": { "name": "work", "description": "Works", "input_schema": { "type": "object" } },
            "definition_digest": digest(&tool()), "consequential": [],
        });
        let upstream = json!({ "kind": "mcp-http", "url": format!("{}/mcp", self.address) });
        let server = json!({ "upstream": upstream, "tools": [entry.clone()] });
        put("tool-servers/mcp", server).await;
        let status = json!({ "argument": "status", "name": "status", "place": "query" });
        entry["http"] = json!({ "method": "GET", "path": "/work", "parameters": [status] });
        let upstream = json!({ "kind": "http", "url": self.address, "private_addresses": true });
        put(
            "tool-servers/api",
            json!({ "upstream": upstream, "tools": [entry] }),
        )
        .await;
        let caveats = [
            format!("time < {}", in_secs(3600).unwrap()),
            "tool in mcp/*,api/*".to_owned(),
        ];
        let body = json!({ "agent": AGENT, "caveats": caveats });
        let tokens = format!("/v1/tenants/{tenant}/tokens");
        let minted = self.cluster.api(Method::POST, &tokens, Some(body)).await;
        let token = minted.unwrap()["token"].as_str().unwrap().to_owned();
        for tool in ["mcp/work", "api/work"] {
            let arguments = json!({ "status": "200" });
            let allowed = self.cluster.wait_allowed(&token, AGENT, tool, arguments);
            allowed.await.unwrap();
        }
        for server in ["mcp", "api"] {
            self.comes_back(&token, server).await;
        }
        token
    }

    /// Calls a server, which answers with this status and body; whether it was called, and the reason of a refusal.
    async fn call(
        &self,
        token: &str,
        server: &str,
        status: &str,
        body: &str,
    ) -> (bool, Option<String>) {
        let before = self.calls.load(Ordering::SeqCst);
        let arguments = json!({ "status": status, "body": body });
        let call = json!({ "tool": format!("{server}/work"), "arguments": arguments });
        let request = self
            .http
            .post(format!("{}/v1/tool-call", self.cluster.edge_url))
            .bearer_auth(token)
            .json(&call);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        let reason = answer["error"]["data"]["reason"].as_str();
        let called = self.calls.load(Ordering::SeqCst) > before;
        (called, reason.map(str::to_owned))
    }

    /// Calls until the server is tried again.
    async fn comes_back(&self, token: &str, server: &str) {
        let started = Instant::now();
        loop {
            let (called, reason) = self.call(token, server, "200", "").await;
            if called && reason.is_none() {
                return;
            }
            assert!(started.elapsed() < WAIT, "{server}: {reason:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether calls are refused for what happened before.
    async fn is_open(&self, token: &str, server: &str) -> bool {
        let (called, reason) = self.call(token, server, "200", "").await;
        let open = reason.as_deref() == Some("circuit_open");
        assert_ne!(called, open, "{server}: {reason:?}");
        open
    }

    /// Has a server fail so often that it is left alone. That is for a second: who looks too late has it tried, and it begins
    /// anew with the faults.
    async fn opens(&self, token: &str, server: &str, fails: impl AsyncFn()) {
        let started = Instant::now();
        loop {
            fails().await;
            if self.is_open(token, server).await {
                return;
            }
            assert!(started.elapsed() < WAIT, "{server}: it is called still");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_faults_of_the_server_count_and_only_for_this_tenant() {
    let system = System::start().await;
    let (acme, zoo) = (system.tenant("acme").await, system.tenant("zoo").await);
    for server in ["mcp", "api"] {
        // What a call does wrong is not the server's fault.
        for status in ["400", "403", "404", "409", "422", "429"].repeat(2) {
            let (called, reason) = system.call(&acme, server, status, "").await;
            assert!(called, "{server}: {status}: {reason:?}");
        }
        assert!(!system.is_open(&acme, server).await, "{server}: 4xx");

        let fails = async || {
            for status in ["500", "502", "503", "504"].repeat(2) {
                let (called, reason) = system.call(&acme, server, status, "").await;
                assert!(called, "{server}: {status}: {reason:?}");
            }
        };
        system.opens(&acme, server, fails).await;
        assert!(
            !system.is_open(&zoo, server).await,
            "{server}: of another tenant"
        );
        system.comes_back(&acme, server).await;
    }
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_5xx_with_an_answer_in_it_is_an_answer() {
    let system = System::start().await;
    let acme = system.tenant("acme").await;
    for _ in 0..FAULTS_MAX + 2 {
        let (called, _) = system.call(&acme, "mcp", "500", "rpc").await;
        assert!(called);
    }
    assert!(!system.is_open(&acme, "mcp").await);
    // JSON of something in front of the server is none.
    let fails = async || {
        for _ in 0..FAULTS_MAX {
            let (called, reason) = system.call(&acme, "mcp", "502", "json").await;
            assert!(called);
            assert_eq!(reason.as_deref(), Some("upstream_unavailable"));
        }
    };
    system.opens(&acme, "mcp", fails).await;
    assert!(
        !system.is_open(&acme, "api").await,
        "another server at the same address"
    );
    system.cluster.stop().await;
}

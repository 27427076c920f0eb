//! An installation with tool servers of the stateless revision whose lists the test changes.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use proctor_loadtest::acme;
use proctor_loadtest::cluster::Cluster;
use proctor_loadtest::load::{AGENT, digest};
use proctor_loadtest::mcp::Client;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a server shows as its tools.
pub(crate) type Shown = Arc<Mutex<Vec<Value>>>;

pub(crate) fn tool(name: &str, description: &str) -> Value {
    json!({ "name": name, "description": description, "inputSchema": { "type": "object" } })
}

async fn serve(State(shown): State<Shown>, Json(request): Json<Value>) -> Response {
    let result = match request["method"].as_str().unwrap_or_default() {
        "server/discover" => json!({ "supportedVersions": ["2026-07-28"], "capabilities": {} }),
        "tools/list" => json!({ "tools": *shown.lock().unwrap() }),
        "tools/call" if request["params"]["name"] == "endless" => return endless(&request),
        "tools/call" => json!({ "content": [{ "type": "text", "text": "done" }] }),
        _ => {
            let error = json!({ "code": -32601, "message": "no such method" });
            let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "error": error });
            return Json(answer).into_response();
        }
    };
    Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
}

/// Says ten times a second that it goes on, and never answers.
fn endless(request: &Value) -> Response {
    let token = request["params"]["_meta"]["progressToken"].clone();
    let events = futures::stream::unfold(0_u64, move |progress| {
        let params = json!({ "progressToken": token, "progress": progress });
        let note =
            json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params });
        async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let event = Ok::<_, std::io::Error>(format!("data: {note}\n\n"));
            Some((event, progress + 1))
        }
    });
    let body = axum::body::Body::from_stream(events);
    ([("content-type", "text/event-stream")], body).into_response()
}

pub(crate) struct System {
    pub(crate) cluster: Cluster,
}

impl System {
    pub(crate) async fn start() -> Self {
        let cluster = acme::start().await.unwrap();
        Self { cluster }
    }

    /// Starts a server that shows these tools, and registers it with all of them approved.
    pub(crate) async fn server(&self, id: &str, tools: Vec<Value>) -> (Shown, String) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let shown = Shown::new(Mutex::new(tools.clone()));
        let router = axum::Router::new()
            .route("/mcp", axum::routing::post(serve))
            .with_state(Arc::clone(&shown));
        tokio::spawn(async move { axum::serve(listener, router).await });
        self.approve(id, &url, &tools).await;
        (shown, url)
    }

    /// Makes these tools the server's catalogue.
    pub(crate) async fn approve(&self, id: &str, url: &str, tools: &[Value]) {
        let entry = |tool: &Value| {
            let definition = json!({
                "name": tool["name"], "description": tool["description"], "input_schema": tool["inputSchema"],
            });
            json!({ "definition": definition, "definition_digest": digest(tool), "consequential": [] })
        };
        let tools: Vec<Value> = tools.iter().map(entry).collect();
        let server = json!({ "upstream": { "kind": "mcp-http", "url": url }, "tools": tools });
        self.cluster
            .acme(Method::PUT, &format!("tool-servers/{id}"), Some(server))
            .await
            .unwrap();
    }

    /// A token that is good for so long, once the edge allows `tool` with it.
    pub(crate) async fn token(&self, secs: u64, caveats: &[&str], tool: &str) -> String {
        let token = acme::mint(&self.cluster, secs, caveats).await.unwrap();
        self.cluster
            .wait_allowed(&token, AGENT, tool, json!({}))
            .await
            .unwrap();
        token
    }

    /// A client of one server's endpoint.
    pub(crate) fn client(&self, server: &str, token: &str) -> Client {
        let url = format!("{}/v1/mcp/{server}", self.cluster.edge_url);
        Client::new(&url, token).unwrap()
    }
}

//! The tool server of this bench: stateless MCP 2026-07-28 with one tool that streams and one that answers at once. It
//! counts the connections that it takes.

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A running server.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

/// What a streamed answer says on its way, in each event: about what tools report.
const LINE: &str = "Read a part of the ledger for the third quarter, compared it with the plan and noted the differences";

impl Server {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let listener = listener.tap_io(move |stream| {
            counted.fetch_add(1, Ordering::Relaxed);
            let _ = stream.set_nodelay(true);
        });
        let router = Router::new().route("/mcp", post(answer)).with_state(());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self {
            address,
            connections,
        })
    }

    /// Connections that were made to it so far.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Its tools, as they are listed.
pub(super) fn tools() -> [Value; 2] {
    let number = json!({ "type": "integer" });
    [
        json!({
            "name": "stream", "description": "Reports so many times before it answers",
            "inputSchema": { "type": "object", "required": ["events", "pause_ms"],
                             "properties": { "events": number, "pause_ms": number } },
        }),
        json!({
            "name": "echo", "description": "Gives back its text",
            "inputSchema": { "type": "object", "required": ["text"],
                             "properties": { "text": { "type": "string" } } },
        }),
    ]
}

async fn answer(State(()): State<()>, Json(request): Json<Value>) -> Response {
    let (id, params) = (&request["id"], &request["params"]);
    let result = match request["method"].as_str() {
        Some("server/discover") => json!({
            "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} },
            "serverInfo": { "name": "bench", "version": "1" }, "ttlMs": 0, "cacheScope": "private",
        }),
        Some("tools/list") => {
            json!({ "resultType": "complete", "tools": tools(), "ttlMs": 0, "cacheScope": "private" })
        }
        Some("tools/call") if params["name"] == "stream" => return streamed(&request),
        Some("tools/call") => complete(&params["arguments"]["text"]),
        // It has nothing to tell about itself.
        _ => {
            let error = json!({ "code": -32601, "message": "no such method" });
            let body = json!({ "jsonrpc": "2.0", "id": id, "error": error });
            return (StatusCode::NOT_FOUND, Json(body)).into_response();
        }
    };
    Json(json!({ "jsonrpc": "2.0", "id": id, "result": result })).into_response()
}

fn complete(text: &Value) -> Value {
    json!({ "resultType": "complete", "content": [{ "type": "text", "text": text }] })
}

/// So many events, the last of which is the answer. Each is written by itself, as SDKs do.
fn streamed(request: &Value) -> Response {
    let arguments = &request["params"]["arguments"];
    let events = arguments["events"].as_u64().unwrap_or(1).max(1);
    let pause = Duration::from_millis(arguments["pause_ms"].as_u64().unwrap_or_default());
    let token = request["params"]["_meta"]["progressToken"].clone();
    let last = json!({ "jsonrpc": "2.0", "id": request["id"], "result": complete(&json!("done")) });
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    tokio::spawn(async move {
        for number in 1..events {
            let said = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": {
                "progressToken": token, "progress": number, "total": events, "message": LINE,
            } });
            if sender.send(event(&said)).await.is_err() {
                return;
            }
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
        // A client that is gone needs no answer.
        let _ = sender.send(event(&last)).await;
    });
    let events = futures::stream::unfold(receiver, async |mut receiver| {
        let event = receiver.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(event), receiver))
    });
    let headers = [("content-type", "text/event-stream")];
    (headers, Body::from_stream(events)).into_response()
}

fn event(message: &Value) -> Bytes {
    format!("event: message\ndata: {message}\n\n").into()
}

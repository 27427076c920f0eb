//! A server of the older revisions that takes a question back, and says on its session's own stream when a person is done.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::StreamExt;
use futures::stream;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::{Notify, broadcast};

const EVENTS: [(&str, &str); 1] = [("content-type", "text/event-stream")];

#[derive(Clone)]
pub(crate) struct Old {
    said: broadcast::Sender<Value>,
    goes_on: Arc<Notify>,
}

impl Old {
    /// Starts; its address.
    pub(crate) async fn start() -> (Self, String) {
        let old = Self {
            said: broadcast::channel(64).0,
            goes_on: Arc::default(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let router = axum::Router::new()
            .route("/mcp", post(serve).get(session))
            .with_state(old.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (old, url)
    }

    /// Says that a person has done what they were sent to do.
    pub(crate) fn done(&self, elicitation: &str) {
        let params = json!({ "elicitationId": elicitation });
        let method = "notifications/elicitation/complete";
        // Nobody may listen yet.
        let _ = self
            .said
            .send(json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// Goes on with the call that asked.
    pub(crate) fn go_on(&self) {
        self.goes_on.notify_one();
    }

    /// Asks, takes it back, and answers, each when it is told to go on.
    fn asks(&self, id: &Value) -> Response {
        let params = json!({ "message": "Your name?", "requestedSchema": { "type": "object" },
            "_meta": { "progressToken": 5 } });
        let asked = json!({ "jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": params });
        let back = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": "q" } });
        let content = json!({ "content": [{ "type": "text", "text": "without" }] });
        let answer = json!({ "jsonrpc": "2.0", "id": id, "result": content });
        let goes_on = Arc::clone(&self.goes_on);
        let waits = stream::iter([back, answer]).then(move |message| {
            let goes_on = Arc::clone(&goes_on);
            async move {
                goes_on.notified().await;
                message
            }
        });
        (EVENTS, events(stream::iter([asked]).chain(waits))).into_response()
    }
}

fn events(messages: impl futures::Stream<Item = Value> + Send + 'static) -> Body {
    Body::from_stream(
        messages.map(|message| Ok::<_, std::io::Error>(format!("data: {message}\n\n"))),
    )
}

async fn session(State(old): State<Old>) -> Response {
    let said = stream::unfold(old.said.subscribe(), |mut said| async {
        let next = said.recv().await.ok()?;
        Some((next, said))
    });
    (EVENTS, events(said)).into_response()
}

async fn serve(State(old): State<Old>, Json(request): Json<Value>) -> Response {
    let id = &request["id"];
    let answered = |member: &str, value: Value| {
        Json(json!({ "jsonrpc": "2.0", "id": id, member: value })).into_response()
    };
    let tool = |name: &str| json!({ "name": name, "inputSchema": { "type": "object" } });
    match request["method"].as_str().unwrap_or_default() {
        "initialize" => {
            let info = json!({ "name": "x", "version": "1" });
            let begun = json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {} }, "serverInfo": info });
            ([("mcp-session-id", "s")], answered("result", begun)).into_response()
        }
        "tools/list" => answered("result", json!({ "tools": (["ask", "gate"].map(tool)) })),
        "tools/call" if request["params"]["name"] == "ask" => old.asks(id),
        "tools/call" => {
            let page = json!({ "mode": "url", "elicitationId": "e1", "url": "https://bank.example/", "message": "sign in" });
            let data = json!({ "elicitations": [page] });
            answered(
                "error",
                json!({ "code": -32042, "message": "sign in", "data": data }),
            )
        }
        _ if id.is_null() => StatusCode::ACCEPTED.into_response(),
        _ => answered(
            "error",
            json!({ "code": -32601, "message": "no such method" }),
        ),
    }
}

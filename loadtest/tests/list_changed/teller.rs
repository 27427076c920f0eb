//! A tool server of the stateless revision with a tool, resources and prompts, which tells of itself what the test has it tell.

use super::PATIENCE;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};

#[derive(Clone)]
pub(crate) struct Teller {
    says: broadcast::Sender<String>,
    /// What the stream that was opened last is to tell of; none before there was one.
    asked_for: watch::Sender<Option<Vec<String>>>,
}

fn event(method: &str, params: &Value) -> String {
    let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
    format!("data: {message}\n\n")
}

async fn serve(State(teller): State<Teller>, Json(request): Json<Value>) -> Response {
    let result = match request["method"].as_str().unwrap_or_default() {
        "subscriptions/listen" => return teller.listen(&request["params"]["notifications"]),
        "server/discover" => json!({ "supportedVersions": ["2026-07-28"], "capabilities": {} }),
        "tools/list" => {
            json!({ "tools": [{ "name": "plain", "inputSchema": { "type": "object" } }] })
        }
        "resources/list" => json!({ "resources": [
            { "uri": "docs://open", "name": "open" }, { "uri": "docs://other", "name": "other" },
        ] }),
        "resources/templates/list" => {
            json!({ "resourceTemplates": [{ "uriTemplate": "docs://pub/{id}", "name": "page" }] })
        }
        "prompts/list" => json!({ "prompts": [{ "name": "draft" }, { "name": "review" }] }),
        _ => {
            let error = json!({ "code": -32601, "message": "no such method" });
            let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "error": error });
            return Json(answer).into_response();
        }
    };
    Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
}

impl Teller {
    /// Starts it; with its address.
    pub(crate) async fn start() -> (Self, String) {
        let teller = Self {
            says: broadcast::channel(64).0,
            asked_for: watch::channel(None).0,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let router = axum::Router::new()
            .route("/mcp", axum::routing::post(serve))
            .with_state(teller.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (teller, url)
    }

    fn listen(&self, wanted: &Value) -> Response {
        // From here on, so that nothing is missed that is said once the test knows of this stream.
        let said = self.says.subscribe();
        let uris = wanted["resourceSubscriptions"].as_array().into_iter();
        let uris = uris.flatten().filter_map(Value::as_str);
        let mut uris: Vec<String> = uris.map(str::to_owned).collect();
        uris.sort_unstable();
        self.asked_for.send_replace(Some(uris));
        let agreed = event(
            "notifications/subscriptions/acknowledged",
            &json!({ "notifications": wanted }),
        );
        let agreed = stream::once(async move { Ok::<_, std::io::Error>(agreed) });
        let said = stream::unfold(said, |mut said| async move {
            let event = said.recv().await.ok()?;
            Some((Ok::<_, std::io::Error>(event), said))
        });
        let body = Body::from_stream(agreed.chain(said));
        ([("content-type", "text/event-stream")], body).into_response()
    }

    /// Waits until the edge listens, and has asked to be told of these resources and no others.
    pub(crate) async fn is_asked_for(&self, uris: &[&str]) {
        let mut asked = self.asked_for.subscribe();
        let wanted = |now: &Option<Vec<String>>| now.as_ref().is_some_and(|now| now == uris);
        let waited = tokio::time::timeout(PATIENCE, asked.wait_for(wanted)).await;
        let asked = matches!(waited, Ok(Ok(_)));
        drop(waited);
        let last = self.asked_for.borrow().clone();
        assert!(asked, "asked for {last:?} instead of {uris:?}");
    }

    /// Tells of itself, on each stream that is open.
    pub(crate) fn says(&self, method: &str, params: &Value) {
        // Nobody listens: the test will miss it.
        let _ = self.says.send(event(method, params));
    }

    /// Tells that a resource is another than it was.
    pub(crate) fn updated(&self, uri: &str) {
        self.says("notifications/resources/updated", &json!({ "uri": uri }));
    }
}

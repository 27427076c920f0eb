//! A tool server of either family of revisions that tells of its tasks by itself, and would not be asked after them for minutes.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::StreamExt;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::broadcast;

#[derive(Clone)]
pub(crate) struct Teller(Arc<Inner>);

struct Inner {
    /// Each task's state, by its number.
    tasks: Mutex<Vec<Value>>,
    /// What is said when one begins, if anything is.
    greeting: Mutex<Value>,
    /// Methods that were asked for.
    asked: Mutex<Vec<String>>,
    told: broadcast::Sender<Value>,
}

fn state(id: &str, status: &str) -> Value {
    let time = "2026-07-28T10:00:00Z";
    json!({ "taskId": id, "status": status, "createdAt": time, "lastUpdatedAt": time, "ttl": 600_000, "ttlMs": 600_000,
        "pollInterval": 300_000, "pollIntervalMs": 300_000 })
}

impl Teller {
    /// Starts; its address, to which `modern` or `legacy` is added.
    pub(crate) async fn start() -> (Self, String) {
        let teller = Self(Arc::new(Inner {
            tasks: Mutex::default(),
            greeting: Mutex::default(),
            asked: Mutex::default(),
            told: broadcast::channel(64).0,
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new()
            .route("/{family}", post(serve).get(stream))
            .with_state(teller.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (teller, format!("http://{address}"))
    }

    /// Ends a task with these words, and tells so until `heard` is done: an edge that has just come to watch a task may not
    /// listen yet. What it tells with that is not so: nobody is to believe it.
    pub(crate) async fn end<T>(
        &self,
        number: usize,
        words: &str,
        heard: impl Future<Output = T>,
    ) -> T {
        let id = format!("theirs-{number}");
        let mut ended = state(&id, "completed");
        ended["result"] = json!({ "content": [{ "type": "text", "text": words }] });
        self.0.tasks.lock().unwrap()[number] = ended;
        let mut told = state(&id, "completed");
        told["statusMessage"] = "pushed words".into();
        told["result"] = json!({ "content": [{ "type": "text", "text": "pushed words" }] });
        let mut heard = std::pin::pin!(heard);
        loop {
            // Nobody may listen yet.
            let _ = self.0.told.send(told.clone());
            let soon = tokio::time::timeout(Duration::from_millis(100), heard.as_mut());
            if let Ok(heard) = soon.await {
                return heard;
            }
        }
    }

    /// What it says from now on when a task begins.
    pub(crate) fn greet(&self, words: &str) {
        *self.0.greeting.lock().unwrap() = words.into();
    }

    /// What it says of a task from now on, beside a state.
    pub(crate) fn say(&self, number: usize, status: &str, said: &Value) {
        let mut task = state(&format!("theirs-{number}"), status);
        let said = said.as_object().unwrap().clone();
        task.as_object_mut().unwrap().extend(said);
        self.0.tasks.lock().unwrap()[number] = task;
    }

    /// How often this was asked for.
    pub(crate) fn count(&self, method: &str) -> usize {
        let asked = self.0.asked.lock().unwrap();
        asked.iter().filter(|asked| *asked == method).count()
    }

    fn events(&self, first: Option<Value>, method: &'static str) -> Response {
        let told = futures::stream::unfold(self.0.told.subscribe(), |mut told| async {
            let next = told.recv().await.ok()?;
            Some((next, told))
        });
        let told =
            told.map(move |params| json!({ "jsonrpc": "2.0", "method": method, "params": params }));
        let all = futures::stream::iter(first).chain(told);
        let events = all.map(|message| Ok::<_, std::io::Error>(format!("data: {message}\n\n")));
        let kind = [("content-type", "text/event-stream")];
        (kind, Body::from_stream(events)).into_response()
    }

    fn called(&self, modern: bool) -> Value {
        let mut tasks = self.0.tasks.lock().unwrap();
        let mut begun = state(&format!("theirs-{}", tasks.len()), "working");
        begun["statusMessage"] = self.0.greeting.lock().unwrap().clone();
        tasks.push(begun.clone());
        if modern {
            begun["resultType"] = "task".into();
            return begun;
        }
        json!({ "task": begun })
    }

    fn task(&self, request: &Value, modern: bool) -> Value {
        let tasks = self.0.tasks.lock().unwrap();
        let id = &request["params"]["taskId"];
        let mut task = tasks
            .iter()
            .find(|task| task["taskId"] == *id)
            .unwrap()
            .clone();
        if request["method"] == "tasks/result" {
            return task["result"].take();
        }
        if !modern {
            task.as_object_mut().unwrap().remove("result");
        }
        task
    }
}

/// The stream of a session.
async fn stream(State(teller): State<Teller>, Path(family): Path<String>) -> Response {
    match family.as_str() {
        "legacy" => teller.events(None, "notifications/tasks/status"),
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

async fn serve(
    State(teller): State<Teller>,
    Path(family): Path<String>,
    Json(request): Json<Value>,
) -> Response {
    let modern = family == "modern";
    let id = &request["id"];
    let method = request["method"].as_str().unwrap_or_default().to_owned();
    teller.0.asked.lock().unwrap().push(method.clone());
    let answered = |result: Value| {
        Json(json!({ "jsonrpc": "2.0", "id": id, "result": result })).into_response()
    };
    match method.as_str() {
        "server/discover" if modern => {
            let tasks = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
            answered(json!({ "supportedVersions": ["2026-07-28"], "capabilities": tasks }))
        }
        "initialize" if !modern => {
            let info = json!({ "name": "x", "version": "1" });
            let tasks = json!({ "tasks": { "requests": { "tools": { "call": {} } } } });
            let begun = json!({ "protocolVersion": "2025-11-25", "capabilities": tasks, "serverInfo": info });
            ([("mcp-session-id", "s")], answered(begun)).into_response()
        }
        "tools/list" => answered(json!({ "tools": [{ "name": "work", "description": "Works",
            "inputSchema": { "type": "object" }, "execution": { "taskSupport": "required" } }] })),
        "tools/call" => answered(teller.called(modern)),
        "tasks/get" | "tasks/result" => answered(teller.task(&request, modern)),
        "subscriptions/listen" if modern => {
            let wanted = &request["params"]["notifications"]["taskIds"];
            let agreed = json!({ "notifications": { "taskIds": wanted } });
            let method = "notifications/subscriptions/acknowledged";
            let agreed = json!({ "jsonrpc": "2.0", "method": method, "params": agreed });
            match wanted.is_array() {
                true => teller.events(Some(agreed), "notifications/tasks"),
                false => ([("content-type", "text/event-stream")], "data: {}\n\n").into_response(),
            }
        }
        _ if id.is_null() => StatusCode::ACCEPTED.into_response(),
        _ => {
            let error = json!({ "code": -32601, "message": "no such method" });
            Json(json!({ "jsonrpc": "2.0", "id": id, "error": error })).into_response()
        }
    }
}

//! A tool server of either family of revisions that answers by whatever channel it is told to, with whatever text.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use futures::stream;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// What the server heard, and what it keeps.
#[derive(Clone, Default)]
pub(crate) struct Server {
    /// Whole requests, headers included, as text.
    pub(crate) heard: Arc<Mutex<Vec<String>>>,
    /// The arguments of calls that became tasks, by the id.
    tasks: Arc<Mutex<HashMap<String, Map<String, Value>>>>,
    /// Descriptions as they are shown now, of tools, resources and prompts.
    pub(crate) description: Arc<Mutex<String>>,
    /// Which text stands for what is planted.
    pub(crate) plants: Arc<Mutex<HashMap<String, String>>>,
    /// Told of replies to questions.
    replied: Arc<Notify>,
}

fn time() -> &'static str {
    "2026-07-28T10:00:00Z"
}

fn rpc(id: &Value, result: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

fn block(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

fn elicitation(text: &str) -> Value {
    json!({ "message": text, "requestedSchema": { "type": "object", "properties": {} } })
}

/// A file as MCP sends files. A vector picture, a play list and a text are bytes with words in them.
fn file(kind: &str, text: &str) -> String {
    STANDARD.encode(match kind {
        "picture" => format!("<svg xmlns=\"http://www.w3.org/2000/svg\"><text>{text}</text></svg>"),
        "sound" => format!("#EXTM3U\n#EXTINF:1, {text}\na.mp3\n"),
        _ => format!("Gr\u{fc}\u{df}e \u{2602}\n{text}\n"),
    })
}

/// The result of a call that says this by that channel; the error, if it is one.
fn answer(channel: &str, text: &str) -> Result<Value, Value> {
    let content = |block: Value| Ok(json!({ "content": [block] }));
    match channel {
        "text" => content(block(text)),
        "image" => content(
            json!({ "type": "image", "data": file("picture", text), "mimeType": "image/svg+xml" }),
        ),
        "audio" => content(
            json!({ "type": "audio", "data": file("sound", text), "mimeType": "audio/x-mpegurl" }),
        ),
        "link" => content(
            json!({ "type": "resource_link", "uri": "a:b", "name": "x", "description": text }),
        ),
        "embedded text" => {
            content(json!({ "type": "resource", "resource": { "uri": "a:b", "text": text } }))
        }
        "embedded blob" => content(
            json!({ "type": "resource", "resource": { "uri": "a:b", "blob": file("text", text) } }),
        ),
        "unknown block" => content(json!({ "type": "hologram", "beam": { "of": [text] } })),
        "structured" => Ok(json!({ "content": [], "structuredContent": { "a": { "b": [text] } } })),
        "key" => Ok(json!({ "content": [], "structuredContent": { text: 1 } })),
        "meta" => Ok(json!({ "content": [], "_meta": { "x": text } })),
        "unknown member" => Ok(json!({ "content": [], "aside": text })),
        "tool error" => Ok(json!({ "content": [block(text)], "isError": true })),
        "error message" => Err(json!({ "code": -32000, "message": text })),
        "error data" => Err(json!({ "code": -32000, "message": "no", "data": { "why": [text] } })),
        _ => content(block("nothing by this channel")),
    }
}

/// Notes before the answer, and questions of the older revisions.
fn before(channel: &str, text: &str, request: &Value, task: Option<&str>) -> Option<Value> {
    let token = &request["params"]["_meta"]["progressToken"];
    let note = |method: &str, params: Value| Some(json!({ "method": method, "params": params }));
    match channel {
        "progress" => note(
            "notifications/progress",
            json!({ "progressToken": token, "progress": 1, "message": text }),
        ),
        "log" => note(
            "notifications/message",
            json!({ "level": "error", "logger": "x", "data": { "line": text } }),
        ),
        "logger" => note(
            "notifications/message",
            json!({ "level": "error", "logger": text, "data": "x" }),
        ),
        "list changed" => note(
            "notifications/tools/list_changed",
            json!({ "why": text, "_meta": { "x": text } }),
        ),
        "task notification" => {
            let mut state = state(task?, "working");
            state["statusMessage"] = text.into();
            note("notifications/tasks/status", state)
        }
        _ => None,
    }
}

fn state(id: &str, status: &str) -> Value {
    json!({ "taskId": id, "status": status, "createdAt": time(), "lastUpdatedAt": time(), "ttl": 60_000, "ttlMs": 60_000 })
}

/// What a task of this channel is when it is asked for.
fn task(id: &str, channel: &str, text: &str, modern: bool) -> Value {
    let mut task = match channel {
        "task result" | "task structured" | "task error" => state(id, "completed"),
        "task question" => state(id, "input_required"),
        _ => state(id, "working"),
    };
    match channel {
        "task status" => task["statusMessage"] = text.into(),
        "task notification" if modern => task["statusMessage"] = text.into(),
        "task meta" => task["_meta"] = json!({ "x": text }),
        "task id" => task["taskId"] = text.into(),
        "task result" if modern => task["result"] = json!({ "content": [block(text)] }),
        "task structured" if modern => {
            task["result"] = json!({ "content": [], "structuredContent": { "a": text } });
        }
        "task error" if modern => {
            task["status"] = "failed".into();
            task["error"] = json!({ "code": -32000, "message": text });
        }
        "task question" => {
            task["inputRequests"] =
                json!({ "q": { "method": "elicitation/create", "params": elicitation(text) } });
        }
        _ => {}
    }
    if modern {
        task["resultType"] = "complete".into();
    }
    task
}

impl Server {
    fn text(&self, arguments: &Map<String, Value>) -> String {
        let plant = arguments["plant"].as_str().unwrap_or_default();
        self.plants.lock().unwrap()[plant].clone()
    }

    fn tools(&self) -> Value {
        let description = self.description.lock().unwrap().clone();
        let schema = json!({ "type": "object", "properties": {
            "region": { "type": "string", "x-mcp-header": "Region" },
        } });
        json!({ "tools": [
            { "name": "say", "description": "Says", "inputSchema": { "type": "object" }, "execution": { "taskSupport": "optional" } },
            { "name": "shown", "description": description, "inputSchema": { "type": "object" } },
            { "name": "take", "description": "Takes", "inputSchema": schema },
        ] })
    }

    fn call(&self, id: &Value, request: &Value, modern: bool) -> Response {
        let params = &request["params"];
        let empty = Map::new();
        let arguments = params["arguments"].as_object().unwrap_or(&empty);
        if params["name"] != "say" {
            return Json(rpc(id, &json!({ "content": [block("taken")] }))).into_response();
        }
        let (channel, text) = (arguments["channel"].as_str().unwrap(), self.text(arguments));
        if channel == "input_required" {
            let asked = json!({ "resultType": "input_required", "requestState": "s",
                "inputRequests": { "q": { "method": "elicitation/create", "params": elicitation(&text) } } });
            return Json(rpc(id, &asked)).into_response();
        }
        if channel.starts_with("task") {
            let name = format!("theirs-{}", self.tasks.lock().unwrap().len());
            self.tasks
                .lock()
                .unwrap()
                .insert(name.clone(), arguments.clone());
            let mut begun = state(&name, "working");
            if channel == "task begun" {
                begun["statusMessage"] = text.into();
            }
            let result = match modern {
                true => {
                    begun["resultType"] = "task".into();
                    begun
                }
                false => json!({ "task": begun }),
            };
            return Json(rpc(id, &result)).into_response();
        }
        if channel == "stream question" {
            return self.asks(id, &text);
        }
        told(
            id,
            before(channel, &text, request, None),
            answer(channel, &text),
            channel,
            &text,
        )
    }

    /// A question, and the answer once it has its reply: one that is answered without is shown to nobody.
    fn asks(&self, id: &Value, text: &str) -> Response {
        let question = json!({ "jsonrpc": "2.0", "id": 77, "method": "elicitation/create", "params": elicitation(text) });
        let answered = rpc(
            id,
            &json!({ "content": [block("nothing by this channel")] }),
        );
        let replied = Arc::clone(&self.replied);
        let event = |message: &Value| Ok::<_, Infallible>(format!("data: {message}\n\n"));
        let (question, answered) = (event(&question), event(&answered));
        let answered = async move {
            replied.notified().await;
            answered
        };
        let events = stream::once(async move { question }).chain(stream::once(answered));
        let body = axum::body::Body::from_stream(events);
        ([("content-type", "text/event-stream")], body).into_response()
    }

    fn of_task(&self, id: &Value, request: &Value, modern: bool) -> Response {
        let name = request["params"]["taskId"].as_str().unwrap();
        let tasks = self.tasks.lock().unwrap();
        let Some(arguments) = tasks.get(name) else {
            let error = json!({ "code": -32602, "message": "no such task" });
            return Json(json!({ "jsonrpc": "2.0", "id": id, "error": error })).into_response();
        };
        let (channel, text) = (arguments["channel"].as_str().unwrap(), self.text(arguments));
        if request["method"] == "tasks/result" {
            let result = match channel {
                "task result" => answer("text", &text),
                "task structured" => answer("structured", &text),
                "task error" => answer("error message", &text),
                _ => answer("", ""),
            };
            let before = before(channel, &text, request, Some(name));
            return told(id, before, result, channel, &text);
        }
        Json(rpc(id, &task(name, channel, &text, modern))).into_response()
    }
}

/// The answer alone, or behind what comes before it on a stream; in one case in a header as well.
fn told(
    id: &Value,
    before: Option<Value>,
    answer: Result<Value, Value>,
    channel: &str,
    text: &str,
) -> Response {
    let answer = match answer {
        Ok(result) => rpc(id, &result),
        Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error }),
    };
    let Some(mut before) = before else {
        let mut response = Json(answer).into_response();
        if let (true, Ok(value)) = (channel == "header", text.parse()) {
            response.headers_mut().insert("x-said", value);
        }
        return response;
    };
    before["jsonrpc"] = "2.0".into();
    let events = format!("data: {before}\n\ndata: {answer}\n\n");
    ([("content-type", "text/event-stream")], events).into_response()
}

pub(crate) async fn serve(
    State(server): State<Server>,
    Path(family): Path<String>,
    headers: HeaderMap,
    Json(request): Json<Value>,
) -> Response {
    let modern = family == "modern";
    let (id, method) = (
        request["id"].clone(),
        request["method"].as_str().unwrap_or_default(),
    );
    if method == "tools/call" {
        let heard = format!("{headers:?} {request}");
        server.heard.lock().unwrap().push(heard);
    }
    let plant = |key: &str| {
        let name = request["params"][key].as_str().unwrap_or_default();
        let name = name.rsplit('/').next().unwrap_or_default();
        server
            .plants
            .lock()
            .unwrap()
            .get(name)
            .cloned()
            .unwrap_or_default()
    };
    let result = |result: Value| Json(rpc(&id, &result)).into_response();
    match method {
        "server/discover" if modern => {
            result(json!({ "supportedVersions": ["2026-07-28"], "capabilities": {} }))
        }
        "initialize" if !modern => {
            let answer = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": { "name": "x", "version": "1" } });
            ([("mcp-session-id", "s")], result(answer)).into_response()
        }
        "tools/list" => result(server.tools()),
        "resources/list" => result(json!({ "resources": [] })),
        "resources/templates/list" => {
            let description = server.description.lock().unwrap().clone();
            let template = |uri: &str, name: &str| json!({ "uriTemplate": uri, "name": name, "description": description });
            result(json!({ "resourceTemplates": [
                template("said://by/{plant}", "said"), template("said://in/{plant}", "sealed"),
            ] }))
        }
        "prompts/list" => {
            let description = server.description.lock().unwrap().clone();
            let prompts = ["redact", "block", "large", "seen"]
                .map(|name| json!({ "name": name, "description": description }));
            result(json!({ "prompts": prompts }))
        }
        "resources/read" => {
            let (uri, text) = (&request["params"]["uri"], plant("uri"));
            let bytes = uri
                .as_str()
                .is_some_and(|uri| uri.starts_with("said://in/"));
            let contents = match bytes {
                true => json!({ "uri": uri, "blob": file("text", &text) }),
                false => json!({ "uri": uri, "text": text }),
            };
            result(json!({ "contents": [contents] }))
        }
        "prompts/get" => {
            result(json!({ "messages": [{ "role": "user", "content": block(&plant("name")) }] }))
        }
        "completion/complete" => {
            let name = request["params"]["ref"]["name"]
                .as_str()
                .unwrap_or_default();
            let text = server.plants.lock().unwrap()[name].clone();
            result(json!({ "completion": { "values": [text] } }))
        }
        "tools/call" => server.call(&id, &request, modern),
        "tasks/get" | "tasks/result" | "tasks/cancel" => server.of_task(&id, &request, modern),
        _ if request.get("method").is_none() => {
            server.replied.notify_one();
            axum::http::StatusCode::ACCEPTED.into_response()
        }
        _ if id.is_null() => axum::http::StatusCode::ACCEPTED.into_response(),
        _ => {
            let error = json!({ "code": -32601, "message": "no such method" });
            Json(json!({ "jsonrpc": "2.0", "id": id, "error": error })).into_response()
        }
    }
}

//! A stand-in for LLM providers, after their public API descriptions: chat completions, responses, embeddings and
//! messages, whole and as streams of events. It notes what it gets, byte for byte.
//!
//! What it answers is in the model's name: `echo` repeats the last text of the user, `runaway` never stops, `caller` asks
//! for a tool, `leaky` tells a key, `broken` fails, `busy` wants to be asked later, once; `silent` is an echo that says
//! nothing of its usage, `cut` breaks off.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::stream;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The key that it wants to see.
pub const PROVIDER_KEY: &str = "provider-key-of-the-tenant";
/// What `leaky` tells.
pub const LEAKED: &str = "AKIAQWERTYUIOP234567";

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The path.
    pub path: String,
    /// Names and values of its headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Asked {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

#[derive(Default)]
struct Desk {
    asked: Mutex<Vec<Asked>>,
    /// Pieces that went into streams.
    pieces: AtomicU64,
    /// When.
    written: Mutex<Vec<Instant>>,
    /// Streams that are read by somebody.
    open: AtomicU64,
    busy: AtomicU32,
    pause: Duration,
}

/// A running stand-in.
pub struct Provider {
    /// Its address, without a path.
    pub url: String,
    desk: Arc<Desk>,
    stop: CancellationToken,
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Provider {
    /// Serves; a pause stands before each piece of a stream.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn start(pause: Duration) -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let desk = Arc::new(Desk {
            pause,
            ..Desk::default()
        });
        let router = Router::new()
            .route("/v1/chat/completions", post(chat))
            .route("/v1/responses", post(responses))
            .route("/v1/embeddings", post(embeddings))
            .route("/v1/messages", post(messages))
            .with_state(Arc::clone(&desk));
        let stop = CancellationToken::new();
        let ended = stop.clone().cancelled_owned();
        tokio::spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(ended)
                .await
        });
        Ok(Self { url, desk, stop })
    }

    /// All requests so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        let asked = self.desk.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When pieces went into streams.
    #[must_use]
    pub fn written(&self) -> Vec<Instant> {
        let written = self.desk.written.lock();
        written.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many pieces went into streams so far.
    #[must_use]
    pub fn pieces(&self) -> u64 {
        self.desk.pieces.load(Ordering::Relaxed)
    }

    /// How many streams somebody is reading.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.desk.open.load(Ordering::Acquire)
    }
}

/// Which API was asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Api {
    Chat,
    Responses,
    Messages,
}

impl Desk {
    fn note(&self, path: &str, headers: &HeaderMap, body: &Bytes) {
        let text = |value: &axum::http::HeaderValue| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        let headers = headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)));
        let asked = Asked {
            path: path.to_owned(),
            headers: headers.collect(),
            body: body.clone(),
        };
        let mut all = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(asked);
    }
}

async fn chat(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> Response {
    desk.note("/v1/chat/completions", &headers, &body);
    openai(&desk, Api::Chat, &headers, &body)
}

async fn responses(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> Response {
    desk.note("/v1/responses", &headers, &body);
    openai(&desk, Api::Responses, &headers, &body)
}

async fn messages(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> Response {
    desk.note("/v1/messages", &headers, &body);
    let key = headers
        .get("x-api-key")
        .is_some_and(|key| key == PROVIDER_KEY);
    if !key || !headers.contains_key("anthropic-version") {
        return error(
            Api::Messages,
            StatusCode::UNAUTHORIZED,
            "authentication_error",
            "invalid x-api-key",
        );
    }
    answer(&desk, Api::Messages, &body)
}

async fn embeddings(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> Response {
    desk.note("/v1/embeddings", &headers, &body);
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let texts = match &request["input"] {
        Value::Array(texts) => texts.len(),
        _ => 1,
    };
    let data: Vec<_> = (0..texts)
        .map(|index| json!({"object": "embedding", "index": index, "embedding": [0.0023, -0.0093, 0.0155]}))
        .collect();
    axum::Json(
        json!({"object": "list", "data": data, "model": request["model"],
        "usage": {"prompt_tokens": 8, "total_tokens": 8}}),
    )
    .into_response()
}

fn openai(desk: &Arc<Desk>, api: Api, headers: &HeaderMap, body: &Bytes) -> Response {
    let expected = format!("Bearer {PROVIDER_KEY}");
    let key = headers
        .get(header::AUTHORIZATION)
        .is_some_and(|key| *key == *expected);
    match key {
        true => answer(desk, api, body),
        false => error(
            api,
            StatusCode::UNAUTHORIZED,
            "invalid_request_error",
            "Incorrect API key provided",
        ),
    }
}

fn error(api: Api, status: StatusCode, kind: &str, message: &str) -> Response {
    let body = match api {
        Api::Messages => json!({"type": "error", "error": {"type": kind, "message": message}}),
        _ => json!({"error": {"message": message, "type": kind, "param": null, "code": null}}),
    };
    (status, axum::Json(body)).into_response()
}

/// What is answered.
#[derive(Clone)]
struct Said {
    text: String,
    /// A tool that is asked for.
    call: Option<(&'static str, Value)>,
    usage: bool,
    endless: bool,
    cut: bool,
    model: String,
}

fn answer(desk: &Arc<Desk>, api: Api, body: &Bytes) -> Response {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return error(
            api,
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            "We could not parse the JSON body of your request.",
        );
    };
    let model = request["model"].as_str().unwrap_or_default().to_owned();
    let behaviour = model.split('-').next().unwrap_or_default();
    match behaviour {
        "broken" => {
            return error(
                api,
                StatusCode::INTERNAL_SERVER_ERROR,
                "api_error",
                "The server had an error",
            );
        }
        "wrong" => {
            return error(
                api,
                StatusCode::BAD_REQUEST,
                "invalid_request_error",
                "Unsupported value: 'temperature'",
            );
        }
        "busy" if desk.busy.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) => {
            let mut busy = error(
                api,
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limit_error",
                "Rate limit reached",
            );
            busy.headers_mut().insert(
                header::RETRY_AFTER,
                axum::http::HeaderValue::from_static("1"),
            );
            return busy;
        }
        _ => {}
    }
    let mut said = Said {
        text: last_text(&request),
        call: None,
        usage: behaviour != "silent",
        endless: behaviour == "runaway",
        cut: behaviour == "cut",
        model: model.clone(),
    };
    match behaviour {
        "leaky" => said.text = format!("the key is {LEAKED}, keep it well"),
        "runaway" => said.text = " word".repeat(4096),
        "caller" => {
            said.text = "I will look.".to_owned();
            said.call = Some((
                "get_weather",
                json!({"city": "Utrecht", "contact": "bob@example.org"}),
            ));
        }
        _ => {}
    }
    let streamed = request["stream"] == true;
    let include_usage = request["stream_options"]["include_usage"] == true;
    match (api, streamed) {
        (Api::Chat, false) => axum::Json(chat_whole(&said)).into_response(),
        (Api::Chat, true) => events(desk, chat_events(&said, include_usage), &said),
        (Api::Responses, false) => axum::Json(response_object(&said, "completed")).into_response(),
        (Api::Responses, true) => events(desk, response_events(&said), &said),
        (Api::Messages, false) => axum::Json(message_whole(&said)).into_response(),
        (Api::Messages, true) => events(desk, message_events(&said), &said),
    }
}

/// The last text of the user, in either form.
fn last_text(request: &Value) -> String {
    let input = match &request["input"] {
        Value::String(text) => return text.clone(),
        Value::Array(items) => items,
        _ => match &request["messages"] {
            Value::Array(messages) => messages,
            _ => return String::new(),
        },
    };
    match &input.last().unwrap_or(&Value::Null)["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        _ => String::new(),
    }
}

/// Pieces of three characters: no word, key or number comes whole.
fn pieces(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    letters
        .chunks(3)
        .map(|piece| piece.iter().collect())
        .collect()
}

fn words(said: &Said) -> Vec<String> {
    match said.endless {
        true => said
            .text
            .split_whitespace()
            .map(|word| format!(" {word}"))
            .collect(),
        false => pieces(&said.text),
    }
}

fn chat_usage() -> Value {
    json!({"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0}})
}

fn chat_whole(said: &Said) -> Value {
    let mut message =
        json!({"role": "assistant", "content": said.text, "refusal": null, "annotations": []});
    if let Some((name, arguments)) = &said.call {
        message["tool_calls"] = json!([{"id": "call_abc123", "type": "function",
            "function": {"name": name, "arguments": arguments.to_string()}}]);
    }
    let finish = if said.call.is_some() {
        "tool_calls"
    } else {
        "stop"
    };
    let mut body = json!({"id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "object": "chat.completion", "created": 1_741_569_952,
        "model": said.model, "service_tier": "default", "system_fingerprint": "fp_50cad350e4",
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}]});
    if said.usage {
        body["usage"] = chat_usage();
    }
    body
}

type Events = Vec<(&'static str, Value)>;

fn chat_events(said: &Said, include_usage: bool) -> Events {
    let chunk = |delta: Value, finish: Value| {
        json!({"id": "chatcmpl-123", "object": "chat.completion.chunk", "created": 1_694_268_190, "model": said.model,
            "system_fingerprint": "fp_44709d6fcb", "usage": null,
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]})
    };
    let mut events = vec![(
        "",
        chunk(json!({"role": "assistant", "content": ""}), Value::Null),
    )];
    let text = words(said).into_iter();
    events.extend(text.map(|piece| ("", chunk(json!({"content": piece}), Value::Null))));
    if let Some((name, arguments)) = &said.call {
        let start = json!({"tool_calls": [{"index": 0, "id": "call_abc123", "type": "function",
            "function": {"name": name, "arguments": ""}}]});
        events.push(("", chunk(start, Value::Null)));
        for piece in pieces(&arguments.to_string()) {
            let more = json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]});
            events.push(("", chunk(more, Value::Null)));
        }
    }
    let finish = if said.call.is_some() {
        "tool_calls"
    } else {
        "stop"
    };
    events.push(("", chunk(json!({}), finish.into())));
    if include_usage && said.usage {
        let mut last = chunk(json!({}), Value::Null);
        last["choices"] = json!([]);
        last["usage"] = chat_usage();
        events.push(("", last));
    }
    events
}

fn response_output(said: &Said) -> Value {
    let mut output = vec![
        json!({"type": "message", "id": "msg_67ccd2bf17f0819081ff3bb2cf6508e60bb6a6b452d3795b",
        "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}]}),
    ];
    if let Some((name, arguments)) = &said.call {
        output.push(json!({"type": "function_call", "id": "fc_67ca09c6bedc8190a7abfec07b1a1332096610f474011cc0",
            "call_id": "call_unLAR8MvFNptuiZK6K6HCy5k", "name": name, "arguments": arguments.to_string(), "status": "completed"}));
    }
    Value::Array(output)
}

fn response_object(said: &Said, status: &str) -> Value {
    let done = status == "completed";
    let usage = json!({"input_tokens": 36, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 87,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 123});
    json!({"id": "resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41", "object": "response", "created_at": 1_741_476_777,
        "status": status, "error": null, "incomplete_details": null, "instructions": null, "max_output_tokens": null,
        "model": said.model, "output": if done { response_output(said) } else { json!([]) }, "parallel_tool_calls": true,
        "previous_response_id": null, "reasoning": {"effort": null, "summary": null}, "store": true, "temperature": 1.0,
        "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": 1.0, "truncation": "disabled",
        "usage": if done && said.usage { usage } else { Value::Null }, "user": null, "metadata": {}})
}

fn response_events(said: &Said) -> Events {
    let id = "msg_67c9fdcf37fc8190ba82116e33fb28c507b8b0ad4e5eb654";
    let item = |status: &str, content: Value| json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": content});
    let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
    let at = json!({"item_id": id, "output_index": 0, "content_index": 0});
    let with = |more: Value| {
        let mut event = at.clone();
        if let (Some(event), Some(more)) = (event.as_object_mut(), more.as_object()) {
            event.extend(more.clone());
        }
        event
    };
    let mut events: Events = vec![
        (
            "response.created",
            json!({"response": response_object(said, "in_progress")}),
        ),
        (
            "response.in_progress",
            json!({"response": response_object(said, "in_progress")}),
        ),
        (
            "response.output_item.added",
            json!({"output_index": 0, "item": item("in_progress", json!([]))}),
        ),
        (
            "response.content_part.added",
            with(json!({"part": part("")})),
        ),
    ];
    let deltas = words(said).into_iter();
    events.extend(deltas.map(|piece| {
        (
            "response.output_text.delta",
            with(json!({"delta": piece, "logprobs": []})),
        )
    }));
    events.push((
        "response.output_text.done",
        with(json!({"text": said.text, "logprobs": []})),
    ));
    events.push((
        "response.content_part.done",
        with(json!({"part": part(&said.text)})),
    ));
    let whole = item("completed", json!([part(&said.text)]));
    events.push((
        "response.output_item.done",
        json!({"output_index": 0, "item": whole}),
    ));
    if let Some((name, arguments)) = &said.call {
        let call = |arguments: &str, status: &str| json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": name, "arguments": arguments, "status": status});
        let text = arguments.to_string();
        events.push((
            "response.output_item.added",
            json!({"output_index": 1, "item": call("", "in_progress")}),
        ));
        for piece in pieces(&text) {
            events.push((
                "response.function_call_arguments.delta",
                json!({"item_id": "fc_1", "output_index": 1, "delta": piece}),
            ));
        }
        events.push((
            "response.function_call_arguments.done",
            json!({"item_id": "fc_1", "output_index": 1, "arguments": text}),
        ));
        events.push((
            "response.output_item.done",
            json!({"output_index": 1, "item": call(&text, "completed")}),
        ));
    }
    events.push((
        "response.completed",
        json!({"response": response_object(said, "completed")}),
    ));
    for (number, (kind, event)) in events.iter_mut().enumerate() {
        event["type"] = (*kind).into();
        event["sequence_number"] = number.into();
    }
    events
}

fn message_whole(said: &Said) -> Value {
    let mut content = vec![json!({"type": "text", "text": said.text})];
    if let Some((name, input)) = &said.call {
        content.push(json!({"type": "tool_use", "id": "toolu_01D7FLrfh4GYq7yT1ULFeyMV", "name": name, "input": input}));
    }
    let stop = if said.call.is_some() {
        "tool_use"
    } else {
        "end_turn"
    };
    json!({"id": "msg_013Zva2CMHLNnXjNJJKqJ2EF", "type": "message", "role": "assistant", "model": said.model, "content": content,
        "stop_reason": stop, "stop_sequence": null, "usage": {"input_tokens": 25, "output_tokens": 15}})
}

fn message_events(said: &Said) -> Events {
    let stop = if said.call.is_some() {
        "tool_use"
    } else {
        "end_turn"
    };
    let mut events: Events = vec![
        (
            "message_start",
            json!({"type": "message_start", "message": {"id": "msg_1nZdL29xx5MUA1yADyHTEsnR8uuvGzszyY", "type": "message",
            "role": "assistant", "content": [], "model": said.model, "stop_reason": null, "stop_sequence": null,
            "usage": {"input_tokens": 25, "output_tokens": 1}}}),
        ),
        (
            "content_block_start",
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        ),
        ("ping", json!({"type": "ping"})),
    ];
    events.extend(words(said).into_iter().map(|piece| {
        let delta = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}});
        ("content_block_delta", delta)
    }));
    events.push((
        "content_block_stop",
        json!({"type": "content_block_stop", "index": 0}),
    ));
    if let Some((name, input)) = &said.call {
        events.push(("content_block_start", json!({"type": "content_block_start", "index": 1,
            "content_block": {"type": "tool_use", "id": "toolu_01T1x1fJ34qAmk2tNTrN7Up6", "name": name, "input": {}}})));
        for piece in pieces(&input.to_string()) {
            events.push((
                "content_block_delta",
                json!({"type": "content_block_delta", "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": piece}}),
            ));
        }
        events.push((
            "content_block_stop",
            json!({"type": "content_block_stop", "index": 1}),
        ));
    }
    events.push((
        "message_delta",
        json!({"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": null},
        "usage": {"output_tokens": 15}}),
    ));
    events.push(("message_stop", json!({"type": "message_stop"})));
    events
}

/// A stream that somebody reads, until its connection is closed or it is through.
struct Open(Arc<Desk>);

impl Open {
    fn new(desk: &Arc<Desk>) -> Self {
        desk.open.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(desk))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Sends events, with a pause before each; a runaway begins anew when it is through.
fn events(desk: &Arc<Desk>, events: Events, said: &Said) -> Response {
    let is_chat = events.first().is_some_and(|(name, _)| name.is_empty());
    let mut pieces: Vec<String> = events
        .iter()
        .map(|(name, data)| match *name {
            "" => format!("data: {data}\n\n"),
            name => format!("event: {name}\ndata: {data}\n\n"),
        })
        .collect();
    if said.cut {
        pieces.truncate(pieces.len() / 2);
    } else if is_chat {
        pieces.push("data: [DONE]\n\n".to_owned());
    }
    let (open, endless) = (Open::new(desk), said.endless);
    let body = stream::unfold((open, pieces, 0_usize), move |(open, pieces, at)| {
        async move {
            let desk = Arc::clone(&open.0);
            // The texts of a runaway stand between its beginning and its end.
            let at = if endless && at + 4 >= pieces.len() {
                4
            } else {
                at
            };
            let piece = pieces.get(at)?.clone();
            tokio::time::sleep(desk.pause).await;
            desk.pieces.fetch_add(1, Ordering::Relaxed);
            let mut written = desk.written.lock().unwrap_or_else(PoisonError::into_inner);
            written.push(Instant::now());
            drop(written);
            Some((Ok::<_, Infallible>(piece), (open, pieces, at + 1)))
        }
    });
    (
        [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")],
        Body::from_stream(body),
    )
        .into_response()
}

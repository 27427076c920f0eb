//! MCP up to 2025-11-25: a session that begins with `initialize`.

use super::about::Hearer;
use super::known::Begins;
use super::owner::Owner;
use super::session::{Found, InWork, Session, WATCHED_MAX, locked};
use super::stream::Stream;
use super::{
    Context, Form, Message, VERSIONS, ask, follow, headers, lists, message, server_info, task,
};
use crate::enforce::{Asked, Outcome, Refused, Running};
use crate::frontend::error::{self, Dialect};
use crate::tasks::Family;
use crate::upstream::talk::{Answers, WORDS_WAITING, Word};
use crate::upstream::task::{Request, Wish};
use crate::upstream::{Reply, Talk};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proctor_model::{EntryKind, Reason};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tokio::sync::mpsc;

const SESSION_ID: &str = "mcp-session-id";
const LAST_EVENT_ID: &str = "last-event-id";

impl Context<'_> {
    /// The session that a request names, if it is the caller's own.
    fn session(&self) -> Result<Arc<Session>, Reason> {
        let id = self
            .headers
            .get(SESSION_ID)
            .ok_or(Reason::InvalidTransport)?;
        let id = id.to_str().map_err(|_| Reason::UnknownSession)?;
        let session = self.endpoint.sessions.get(&self.caller.tenant.id, id);
        session
            .filter(|session| session.owner.is(&self.caller, self.scope))
            .ok_or(Reason::UnknownSession)
    }
}

fn plain(reason: Reason) -> Response {
    let status = StatusCode::from_u16(reason.http_status()).unwrap_or(StatusCode::NOT_FOUND);
    error::plain_status(status, reason.message())
}

/// `DELETE`: the client is done.
pub(super) async fn end(context: &Context<'_>) -> Response {
    let session = match context.session() {
        Ok(session) => session,
        Err(reason) => return plain(reason),
    };
    if let Err(response) = context.admit(&Value::Null).await {
        return response;
    }
    context.endpoint.sessions.end(&session);
    StatusCode::NO_CONTENT.into_response()
}

/// `GET`: the stream for what belongs to no call, or one that broke off.
pub(super) async fn stream(context: &Context<'_>) -> Response {
    let session = match context.session() {
        Ok(session) => session,
        Err(reason) => return plain(reason),
    };
    if let Err(response) = context.admit(&Value::Null).await {
        return response;
    }
    if !headers::accepts_events(context.headers) {
        return error::plain_status(StatusCode::NOT_ACCEPTABLE, "this is a stream of events");
    }
    let last = context.headers.get(LAST_EVENT_ID).map(|id| id.to_str());
    let found = match last {
        None => Some(session.general_from_now()),
        Some(id) => id.ok().and_then(|id| session.stream_of(id)),
    };
    let Some(Found {
        stream,
        after,
        call,
    }) = found
    else {
        // A client takes 404 for the end of its session, which goes on.
        return error::plain_status(StatusCode::BAD_REQUEST, "there is no such event any more");
    };
    // Who reads it again may be covered for less than who made the call, and its tool may be stopped by now.
    if let Some(call) = &call
        && let Err(reason) = context.endpoint.gateway.may_hear(&context.caller, call)
    {
        return context.refuse(&Value::Null, reason).await;
    }
    let begins = match context.headers.contains_key(LAST_EVENT_ID) {
        true => Begins::GoesOn,
        false => Begins::Anew,
    };
    // Its connection is lost, whether that was noticed here or not.
    if begins == Begins::GoesOn {
        stream.dismiss(stream.reader());
    }
    // What belongs to no call is about several things: each is judged as it is read.
    let response = match &call {
        None => {
            let gateway = &context.endpoint.gateway;
            let hearer = Hearer::of(gateway, &context.caller, context.scope);
            stream.respond_to(after, hearer)
        }
        Some(_) => stream.respond(after),
    };
    let Some(response) = response else {
        return error::plain_status(StatusCode::CONFLICT, "this stream is read already");
    };
    let gateway = Arc::clone(&context.endpoint.gateway);
    let (caller, scope) = (context.caller.clone(), context.scope.clone());
    // Now, while the response is here: by the time a task runs another may read.
    let reader = stream.reader();
    match call {
        None => {
            let reads = (reader, begins);
            tokio::spawn(follow::session(gateway, caller, scope, session, reads));
        }
        Some(call) => {
            tokio::spawn(follow::resumed(gateway, caller, call, stream, reader));
        }
    }
    response
}

/// A client's reply to a question.
pub(super) async fn replied(context: &Context<'_>, id: &Value, reply: Reply) -> Response {
    match context.session() {
        Ok(session) => {
            // It goes to a tool server: whoever may not be here any more does not get it there.
            if let Err(response) = context.admit(&Value::Null).await {
                return response;
            }
            // Nor does who is not covered for what the question is about.
            if let Some(call) = session.asking(id)
                && let Err(reason) = context.endpoint.gateway.may_hear(&context.caller, &call)
            {
                return context.refuse(&Value::Null, reason).await;
            }
            session.replied(id, reply);
            StatusCode::ACCEPTED.into_response()
        }
        Err(reason) => context.refuse(&Value::Null, reason).await,
    }
}

pub(super) async fn serve(context: &Context<'_>, message: Message) -> Response {
    let Message { id, method, params } = message;
    if let Some(version) = headers::version(context.headers)
        && !VERSIONS.contains(&version)
        && method != "initialize"
    {
        return context
            .refuse(&id.unwrap_or_default(), Reason::UnsupportedVersion)
            .await;
    }
    let Some(id) = id else {
        return notified(context, &method, &params).await;
    };
    if method == "initialize" {
        return initialize(context, &id, &params).await;
    }
    let session = match context.session() {
        Ok(session) => session,
        Err(reason) => return context.refuse(&id, reason).await,
    };
    if ask::is_one(&method) {
        return forward(context, &session, &id, &method, params).await;
    }
    if let Some(asked) = task::asked_by(Family::Legacy, &method) {
        return ask_task(context, &session, &id, asked, params).await;
    }
    if let Some(listed) = lists::asked_by(&method) {
        let known = Some(&*session.known);
        return match context.list_to(known, &id, listed, &params).await {
            Ok(list) => context.result(&id, list.into()),
            Err(response) => response,
        };
    }
    // What follows is for the most part no decision by itself.
    if let Err(response) = context.admit(&id).await {
        return response;
    }
    match method.as_str() {
        "tasks/list" => context.list_tasks(&id, &params).await,
        "ping" => context.result(&id, json!({})),
        "logging/setLevel" => set_level(context, &session, &id, params.get("level")).await,
        "resources/subscribe" => watch(context, &session, &id, params.get("uri")).await,
        "resources/unsubscribe" => match params.get("uri").and_then(Value::as_str) {
            Some(uri) => {
                locked(&session.watched).remove(uri);
                context.result(&id, json!({}))
            }
            None => context.refuse(&id, Reason::InvalidParams).await,
        },
        _ => context.refuse(&id, Reason::UnknownMethod).await,
    }
}

async fn initialize(context: &Context<'_>, id: &Value, params: &Map<String, Value>) -> Response {
    let Some(asked) = params.get("protocolVersion").and_then(Value::as_str) else {
        return context.refuse(id, Reason::InvalidParams).await;
    };
    if let Err(response) = context.admit(id).await {
        return response;
    }
    // A revision that is not ours is answered with the newest that has an `initialize`.
    let [_, newest, ..] = VERSIONS;
    let version = VERSIONS
        .into_iter()
        .skip(1)
        .find(|version| *version == asked)
        .unwrap_or(newest);
    let Ok(bytes) = context.endpoint.gateway.random.array::<32>() else {
        return context.refuse(id, Reason::Internal).await;
    };
    let session_id: Arc<str> = URL_SAFE_NO_PAD.encode(bytes).into();
    let askable = Talk::askable(params.get("capabilities"));
    let owner = Owner::of(&context.caller, context.scope);
    let sessions = &context.endpoint.sessions;
    sessions.open(Arc::clone(&session_id), owner, askable);
    let mut capabilities = lists::capabilities();
    if let Some(members) = capabilities.as_object_mut() {
        members.insert("logging".into(), json!({}));
        if version == newest {
            members.insert("tasks".into(), tasks());
        }
    }
    let mut response = context.result(
        id,
        json!({ "protocolVersion": version, "capabilities": capabilities, "serverInfo": server_info() }),
    );
    if let Ok(value) = HeaderValue::from_str(&session_id) {
        response.headers_mut().insert(SESSION_ID, value);
    }
    response
}

/// Of calls alone, as 2025-11-25 has them.
fn tasks() -> Value {
    json!({ "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } })
}

async fn notified(context: &Context<'_>, method: &str, params: &Map<String, Value>) -> Response {
    let session = match context.session() {
        Ok(session) => session,
        Err(reason) => return context.refuse(&Value::Null, reason).await,
    };
    if let Err(response) = context.admit(&Value::Null).await {
        return response;
    }
    // Other notifications make nothing happen.
    if method == "notifications/cancelled"
        && let Some(request) = params.get("requestId")
    {
        session.cancel(request);
    }
    StatusCode::ACCEPTED.into_response()
}

async fn set_level(
    context: &Context<'_>,
    session: &Session,
    id: &Value,
    level: Option<&Value>,
) -> Response {
    let level = level.and_then(Value::as_str);
    let Some(level) = level.filter(|level| crate::upstream::talk::is_level(level)) else {
        return context.refuse(id, Reason::InvalidParams).await;
    };
    *locked(&session.log_level) = Some(level.to_owned());
    context.result(id, json!({}))
}

/// To watch a resource is decided on as reading it is.
async fn watch(
    context: &Context<'_>,
    session: &Session,
    id: &Value,
    uri: Option<&Value>,
) -> Response {
    let Some(uri) = uri.and_then(Value::as_str) else {
        return context.refuse(id, Reason::InvalidParams).await;
    };
    if locked(&session.watched).len() >= WATCHED_MAX {
        return context.refuse(id, Reason::Overloaded).await;
    }
    let tool = ask::of_kind(context.scope, EntryKind::Resource, uri);
    let arguments = Map::from_iter([("uri".to_owned(), uri.into())]);
    let asked = Asked::plain(
        &context.caller,
        tool.clone(),
        arguments,
        context.trace_id.clone(),
    );
    let gateway = &context.endpoint.gateway;
    if let Err(refused) = gateway.evaluate(&context.caller, asked).await {
        return context.refused(id, &refused);
    }
    if let Some(watched) = gateway.watch_resource(&context.caller, &tool, uri) {
        locked(&session.watched).insert(uri.to_owned(), watched);
    }
    context.result(id, json!({}))
}

/// A request that goes on to a tool server.
async fn forward(
    context: &Context<'_>,
    session: &Arc<Session>,
    id: &Value,
    method: &str,
    params: Map<String, Value>,
) -> Response {
    let request = match read(context, method, params).await {
        Ok(request) => request,
        Err(reason) => return context.refuse(id, reason).await,
    };
    let Some(call) = InWork::new(session, id) else {
        return context.refuse(id, Reason::InvalidRequest).await;
    };
    let (words, said) = mpsc::channel(WORDS_WAITING);
    let talk = Talk {
        progress: request.meta.get("progressToken").cloned(),
        tasks: request.tasks,
        ..talk(context, session, words)
    };
    let asked = Asked {
        tool: request.tool,
        arguments: request.arguments,
        purpose: request.purpose,
        approval: request.approval,
        goes_on: None,
        talk,
        trace_id: context.trace_id.clone(),
    };
    let gateway = &context.endpoint.gateway;
    // A lost connection does not cancel in these revisions; a notification does.
    let running = gateway
        .start(context.caller.clone(), asked, call.cancel.clone())
        .await;
    let form = Form::of(method, finish);
    go_through(context, session, id, form, call, said, running).await
}

async fn read(
    context: &Context<'_>,
    method: &str,
    mut params: Map<String, Value>,
) -> Result<ask::Request, Reason> {
    // Where no task is offered, to ask for one says nothing: the official client does so in every request about a task.
    let task = match method {
        "tools/call" => task::asked_for(&mut params)?,
        _ => params.remove("task").and(None),
    };
    let mut request = ask::read(method, context.scope, params)?;
    if request.inputs.is_some() {
        return Err(Reason::InvalidParams);
    }
    if let Some(wish) = task {
        context.may_ask(&request.tool).await?;
        request.tasks = wish;
    }
    Ok(request)
}

fn talk(context: &Context<'_>, session: &Session, words: mpsc::Sender<Word>) -> Talk {
    Talk {
        who: session.who(&context.caller).into(),
        capabilities: session.capabilities.clone(),
        progress: None,
        log_level: locked(&session.log_level).clone(),
        inputs: None,
        tasks: Wish::Never,
        answers: Answers::OnItsStream,
        words: Some(words),
    }
}

/// A request about a task: its server may talk to the client before it answers, as before the answer of a call.
async fn ask_task(
    context: &Context<'_>,
    session: &Arc<Session>,
    id: &Value,
    request: Request,
    mut params: Map<String, Value>,
) -> Response {
    params.remove("task");
    let read = match task::read(request, params) {
        Ok(read) => read,
        Err(reason) => return context.refuse(id, reason).await,
    };
    let Some(call) = InWork::new(session, id) else {
        return context.refuse(id, Reason::InvalidRequest).await;
    };
    let (words, said) = mpsc::channel(WORDS_WAITING);
    let talk = Talk {
        // It is a task already: nothing else is made of it.
        tasks: Wish::Offered { needed: false },
        ..talk(context, session, words)
    };
    let asked = context.asked_task(Family::Legacy, request, read, talk);
    let gateway = &context.endpoint.gateway;
    let running = gateway
        .start_task(context.caller.clone(), asked, call.cancel.clone())
        .await;
    let form = Form::of(request.method(), finish);
    go_through(context, session, id, form, call, said, running).await
}

async fn go_through(
    context: &Context<'_>,
    session: &Arc<Session>,
    id: &Value,
    form: Form,
    call: InWork,
    said: mpsc::Receiver<Word>,
    running: Result<Running, Refused>,
) -> Response {
    let running = match running {
        Ok(running) => running,
        Err(refused) => return context.outcome(id, Outcome::Refused(refused), form),
    };
    let dialogue = Dialogue {
        session: Arc::clone(session),
        call,
        id: id.clone(),
        form,
        said,
        running,
    };
    dialogue.respond(context).await
}

pub(super) fn finish(mut result: Map<String, Value>) -> Map<String, Value> {
    result.remove("resultType");
    result
}

/// A call whose client may hear of it before it is answered.
struct Dialogue {
    session: Arc<Session>,
    call: InWork,
    id: Value,
    form: Form,
    said: mpsc::Receiver<Word>,
    running: Running,
}

impl Dialogue {
    /// JSON if the answer comes first, else a stream.
    async fn respond(mut self, context: &Context<'_>) -> Response {
        let gateway = Arc::clone(&context.endpoint.gateway);
        let first = tokio::select! {
            biased;
            Some(word) = self.said.recv() => word,
            ended = &mut self.running.outcome => {
                return context.outcome(&self.id, gateway.outcome(ended), self.form);
            }
        };
        let call = Arc::clone(&self.running.permitted);
        let stream = self.session.open_stream(call);
        let tenant = &context.caller.tenant.id;
        context.endpoint.sessions.bound(tenant);
        let Some(response) = stream.respond(0) else {
            return context.refuse(&self.id, Reason::Internal).await;
        };
        tokio::spawn(async move {
            self.tell(&stream, first).await;
            let outcome = loop {
                tokio::select! {
                    biased;
                    Some(word) = self.said.recv() => self.tell(&stream, word).await,
                    ended = &mut self.running.outcome => break gateway.outcome(ended),
                }
            };
            // Before the answer is out: whoever has read it may use the id again.
            drop(self.call);
            stream
                .push(&message(Dialect::Legacy, &self.id, outcome, self.form))
                .await;
            stream.finish();
        });
        response
    }

    async fn tell(&self, stream: &Stream, word: Word) {
        let message = match word {
            Word::Note(said) => {
                json!({ "jsonrpc": "2.0", "method": said.method, "params": said.params })
            }
            Word::Question(said, reply) => {
                let id = self.session.ask(Arc::clone(&self.running.permitted), reply);
                json!({ "jsonrpc": "2.0", "id": id, "method": said.method, "params": said.params })
            }
            Word::Withdrawn => {
                for id in self.session.withdrawn() {
                    stream.push(&cancelled(id)).await;
                }
                return;
            }
        };
        stream.push(&message).await;
    }
}

/// A question of ours that nobody waits for an answer to any more.
fn cancelled(id: u64) -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } })
}

//! MCP 2026-07-28: stateless; every request says all about itself.

mod telling;

use super::ask::{self, Request};
use super::asker::Asker;
use super::held::{HeldCall, Pending};
use super::state::Subject;
use super::{
    Context, Form, META_VERSION, Message, VERSIONS, follow, headers, lists, message, server_info,
    task,
};
use crate::enforce::{Asked, Gateway, Outcome, Permitted, Running};
use crate::frontend::error::{self, Dialect};
use crate::tasks::Family;
use crate::upstream::talk::{Answers, Inputs, Said, WORDS_WAITING, Word, is_level};
use crate::upstream::{self, Reply, Talk};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use proctor_engine::Purpose;
use proctor_model::Reason;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long a client may keep what it was given, in milliseconds: revocation and policy may change it at any time.
const TTL_MS: u64 = 0;
pub(super) const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const META_LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";

/// Whether a message is of this revision: it says so in its body, or in its headers.
pub(super) fn is_meant(headers: &HeaderMap, message: &Message) -> bool {
    let versioned = said(&message.params, META_VERSION).is_some()
        || headers::version(headers) == Some(VERSIONS[0]);
    match message.method.as_str() {
        // A client of the older revisions begins so; what else it says beside is not this revision's.
        "initialize" => versioned,
        "server/discover" => true,
        _ => versioned || headers.contains_key("mcp-method"),
    }
}

fn said<'a>(params: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    params.get("_meta").and_then(|meta| meta.get(key))
}

/// Body and headers say the same.
fn agree(context: &Context<'_>, message: &Message) -> Result<(), Reason> {
    let version = said(&message.params, META_VERSION).ok_or(Reason::InvalidParams)?;
    let version = version.as_str().ok_or(Reason::InvalidParams)?;
    let capabilities = said(&message.params, META_CAPABILITIES);
    if message.id.is_some() && !capabilities.is_some_and(Value::is_object) {
        return Err(Reason::InvalidParams);
    }
    if headers::version(context.headers) != Some(version) {
        return Err(Reason::HeaderMismatch);
    }
    if version != VERSIONS[0] {
        return Err(Reason::UnsupportedVersion);
    }
    let method = headers::text(context.headers, "mcp-method");
    if method.as_deref() != Some(message.method.as_str()) {
        return Err(Reason::HeaderMismatch);
    }
    let (name, needed) = match message.method.as_str() {
        "tools/call" | "prompts/get" => (message.params.get("name"), true),
        "resources/read" => (message.params.get("uri"), true),
        method if task::asked_by(Family::Modern, method).is_some() => {
            (message.params.get("taskId"), true)
        }
        _ => (message.params.get("name"), false),
    };
    let named = headers::text(context.headers, "mcp-name");
    if (needed || context.headers.contains_key("mcp-name"))
        && named.as_deref() != name.and_then(Value::as_str)
    {
        return Err(Reason::HeaderMismatch);
    }
    Ok(())
}

/// The tool's own headers agree with its arguments. A tool that is not there is the decision's to refuse.
fn params_agree(context: &Context<'_>, request: &Request) -> bool {
    let Some(loaded) = context.caller.tenant.loaded() else {
        return true;
    };
    match loaded.tenant.catalogue().find(&request.tool) {
        Ok(tool) if request.purpose == Purpose::Use => {
            let arguments = Value::Object(request.arguments.clone());
            let schema = &tool.entry().definition.input_schema;
            headers::params_agree(context.headers, schema, Some(&arguments))
        }
        _ => true,
    }
}

pub(super) async fn serve(context: &Context<'_>, message: Message) -> Response {
    let id = message.id.clone().unwrap_or_default();
    match agree(context, &message) {
        Ok(()) => {}
        Err(Reason::UnsupportedVersion) => {
            let gateway = &context.endpoint.gateway;
            let refused = gateway
                .refuse(
                    &context.caller,
                    Reason::UnsupportedVersion,
                    context.trace_id.clone(),
                )
                .await;
            let requested = said(&message.params, META_VERSION)
                .cloned()
                .unwrap_or_default();
            return error::rpc_with(context.dialect, &id, &refused, ("requested", requested));
        }
        Err(reason) => return context.refuse(&id, reason).await,
    }
    let Message {
        id: Some(id),
        method,
        params,
    } = message
    else {
        return StatusCode::ACCEPTED.into_response();
    };
    if ask::is_one(&method) {
        return forward(context, &id, &method, params).await;
    }
    if let Some(asked) = task::asked_by(Family::Modern, &method) {
        return ask_task(context, &id, asked, params).await;
    }
    if let Some(listed) = lists::asked_by(&method) {
        return match context.list(&id, listed, &params).await {
            Ok(list) => context.result(&id, cacheable(list).into()),
            Err(response) => response,
        };
    }
    match method.as_str() {
        "server/discover" => match context.admit(&id).await {
            Ok(()) => context.result(&id, cacheable(discovered()).into()),
            Err(response) => response,
        },
        "subscriptions/listen" => follow::listen(context, &id, &params).await,
        _ => context.refuse(&id, Reason::UnknownMethod).await,
    }
}

fn cacheable(mut result: Map<String, Value>) -> Map<String, Value> {
    result.insert("resultType".into(), "complete".into());
    result.insert("ttlMs".into(), TTL_MS.into());
    result.insert("cacheScope".into(), "private".into());
    result
}

fn discovered() -> Map<String, Value> {
    let mut capabilities = lists::capabilities();
    if let (Value::Object(members), Value::Object(tasks)) =
        (&mut capabilities, upstream::task::capability())
    {
        members.extend(tasks);
    }
    let discovered = json!({
        "supportedVersions": VERSIONS,
        "capabilities": capabilities,
        "serverInfo": server_info(),
        "_meta": { "io.modelcontextprotocol/serverInfo": server_info() },
    });
    discovered.as_object().cloned().unwrap_or_default()
}

pub(super) fn finish(mut result: Map<String, Value>) -> Map<String, Value> {
    result
        .entry("resultType")
        .or_insert_with(|| "complete".into());
    // What was read may be kept as little as a list: the server's word on that is for whoever reads without us.
    if result.contains_key("contents") {
        return cacheable(result);
    }
    result
}

/// A request that goes on to a tool server.
async fn forward(
    context: &Context<'_>,
    id: &Value,
    method: &str,
    params: Map<String, Value>,
) -> Response {
    let mut request = match ask::read(method, context.scope, params) {
        Ok(request) => request,
        Err(reason) => return context.refuse(id, reason).await,
    };
    if method == "tools/call" {
        let declared = request.meta.get(META_CAPABILITIES);
        request.tasks = context.offered(declared, &request.tool);
    }
    if !params_agree(context, &request) {
        return context.refuse(id, Reason::HeaderMismatch).await;
    }
    let subject = match Subject::new(&context.caller, &request.tool, &request.arguments) {
        Ok(subject) => subject,
        Err(reason) => return context.refuse(id, reason).await,
    };
    let level = request.meta.get(META_LOG_LEVEL);
    if level.is_some_and(|level| !level.as_str().is_some_and(is_level)) {
        return context.refuse(id, Reason::InvalidParams).await;
    }
    let form = Form::of(method, finish);
    let mut goes_on = None;
    if let Some(inputs) = &mut request.inputs {
        let opened = match opened(context, &subject, inputs) {
            Ok(opened) => opened,
            Err(reason) => return context.refuse(id, reason).await,
        };
        let tenant = &context.caller.tenant.id;
        match context.endpoint.held.take(tenant, opened) {
            Some(Pending::Held(held)) => {
                return go_on(context, id, form, subject, request, *held).await;
            }
            Some(Pending::Counted(permitted)) => {
                // Never a completion: none has inputs.
                request.purpose = Purpose::Continue;
                goes_on = Some(permitted);
            }
            // Used before, or given out by another edge: a request like any other.
            None => {}
        }
    }
    begin(context, id, form, subject, request, goes_on).await
}

/// Takes what a client gave back apart: the server's own state, and replies to what was asked, nothing else. A reply to
/// nothing that was asked through this edge goes nowhere. Returns the number of the state.
fn opened(context: &Context<'_>, subject: &Subject, inputs: &mut Inputs) -> Result<u128, Reason> {
    let state = inputs.state.as_deref().ok_or(Reason::StateRefused)?;
    let opened = subject.open(state, context.endpoint.gateway.clock.now())?;
    inputs.state = opened.state;
    if let Some(responses) = &mut inputs.responses {
        responses.retain(|name, _| opened.asked.contains(name));
    }
    Ok(opened.number)
}

/// A request about a task. Its server says nothing before it answers, and asks by its state alone.
async fn ask_task(
    context: &Context<'_>,
    id: &Value,
    request: upstream::task::Request,
    params: Map<String, Value>,
) -> Response {
    if !upstream::task::declared(said(&params, META_CAPABILITIES)) {
        return context.refuse_undeclared(id).await;
    }
    let read = match task::read(request, params) {
        Ok(read) => read,
        Err(reason) => return context.refuse(id, reason).await,
    };
    let talk = task::silent(&context.caller);
    let asked = context.asked_task(Family::Modern, request, read, talk);
    let gateway = &context.endpoint.gateway;
    let outcome = gateway.ask_task(context.caller.clone(), asked).await;
    context.outcome(id, outcome, Form::of(request.method(), finish))
}

fn talk(context: &Context<'_>, request: &Request, words: mpsc::Sender<Word>) -> Talk {
    Talk {
        who: context.caller.who().into(),
        capabilities: Talk::askable(request.meta.get(META_CAPABILITIES)),
        progress: request.meta.get("progressToken").cloned(),
        log_level: request
            .meta
            .get(META_LOG_LEVEL)
            .and_then(Value::as_str)
            .map(str::to_owned),
        inputs: request.inputs.clone(),
        tasks: request.tasks,
        answers: Answers::InANewRequest,
        words: Some(words),
    }
}

async fn begin(
    context: &Context<'_>,
    id: &Value,
    form: Form,
    subject: Subject,
    request: Request,
    goes_on: Option<Arc<Permitted>>,
) -> Response {
    let (words, said) = mpsc::channel(WORDS_WAITING);
    let asked = Asked {
        talk: talk(context, &request, words),
        tool: request.tool,
        arguments: request.arguments,
        purpose: request.purpose,
        approval: request.approval,
        goes_on,
        trace_id: context.trace_id.clone(),
    };
    let cancel = CancellationToken::new();
    let guard = cancel.clone().drop_guard();
    let started = context
        .endpoint
        .gateway
        .start(context.caller.clone(), asked, cancel)
        .await;
    match started {
        Ok(running) => {
            let dialogue = Dialogue {
                id: id.clone(),
                form,
                asker: Asker::new(context, subject),
                said,
                running,
                guard,
                uri: request.uri,
            };
            dialogue.respond(context).await
        }
        Err(refused) => context.outcome(id, Outcome::Refused(refused), form),
    }
}

/// Gives the replies to the server that waits for them. Whether the call may still be made is decided anew.
async fn go_on(
    context: &Context<'_>,
    id: &Value,
    form: Form,
    subject: Subject,
    request: Request,
    held: HeldCall,
) -> Response {
    let gateway = &context.endpoint.gateway;
    let mut asked = Asked::plain(
        &context.caller,
        request.tool,
        request.arguments,
        context.trace_id.clone(),
    );
    asked.purpose = Purpose::Continue;
    asked.goes_on = Some(Arc::clone(&held.running.permitted));
    if let Err(refused) = gateway.evaluate(&context.caller, asked).await {
        // The held call is dropped, and with it cancelled.
        return context.outcome(id, Outcome::Refused(refused), form);
    }
    let responses = request.inputs.and_then(|inputs| inputs.responses);
    let reply = responses.and_then(|mut responses| match responses.remove(QUESTION) {
        Some(Value::Object(reply)) => Some(Reply::Result(reply)),
        _ => None,
    });
    let reply =
        reply.unwrap_or_else(|| crate::upstream::talk::declined(-32603, "there was no answer"));
    // A server that does not wait any more ends the call by itself.
    let _ = held.reply.send(reply);
    let dialogue = Dialogue {
        id: id.clone(),
        form,
        asker: Asker::new(context, subject),
        said: held.said,
        running: held.running,
        guard: held.cancel,
        uri: None,
    };
    dialogue.respond(context).await
}

/// Under which name a question of an older server is asked.
const QUESTION: &str = "question";

/// A call whose client may hear of it before it is answered.
struct Dialogue {
    id: Value,
    form: Form,
    asker: Asker,
    said: mpsc::Receiver<Word>,
    running: Running,
    /// In this revision a client that closes the stream cancels.
    guard: DropGuard,
    uri: Option<String>,
}

/// What happens next in a call.
enum Next {
    Note(Said),
    Last(Last),
}

/// What nothing comes after.
enum Last {
    Question(Said, oneshot::Sender<Reply>),
    Outcome(Outcome),
}

impl Dialogue {
    async fn next(&mut self, gateway: &Gateway) -> Next {
        loop {
            tokio::select! {
                biased;
                Some(word) = self.said.recv() => match word {
                    Word::Note(said) => return Next::Note(said),
                    Word::Question(said, reply) => return Next::Last(Last::Question(said, reply)),
                    // It was a result; who comes back with the reply gets what the call came to.
                    Word::Withdrawn => {}
                },
                ended = &mut self.running.outcome => return Next::Last(Last::Outcome(gateway.outcome(ended))),
            }
        }
    }

    /// JSON if the answer comes first, else a stream.
    async fn respond(mut self, context: &Context<'_>) -> Response {
        let endpoint = Arc::clone(context.endpoint);
        let first = match self.next(&endpoint.gateway).await {
            Next::Note(said) => said,
            Next::Last(Last::Question(said, reply)) => {
                let (id, form) = (self.id.clone(), self.form);
                let outcome = self.hold(&endpoint, said, reply).await;
                return context.outcome(&id, outcome, form);
            }
            Next::Last(Last::Outcome(outcome)) => {
                self.guard.disarm();
                if let (Outcome::Refused(refused), Some(uri)) = (&outcome, &self.uri)
                    && refused.reason == Reason::UnknownResource
                {
                    let uri = ("uri", Value::from(uri.as_str()));
                    return error::rpc_with(context.dialect, &self.id, refused, uri);
                }
                let permitted = &self.running.permitted;
                let outcome = self.asker.sealed(&endpoint, permitted, outcome).await;
                return context.outcome(&self.id, outcome, self.form);
            }
        };
        telling::response(self, endpoint, first)
    }

    /// What was said meanwhile, if anything was.
    fn said(&mut self) -> Option<Next> {
        loop {
            match self.said.try_recv().ok()? {
                Word::Note(said) => return Some(Next::Note(said)),
                Word::Question(said, reply) => {
                    return Some(Next::Last(Last::Question(said, reply)));
                }
                Word::Withdrawn => {}
            }
        }
    }

    /// The message that ends the stream.
    async fn end(self, endpoint: &super::Endpoint, last: Last) -> Value {
        let (id, form) = (self.id.clone(), self.form);
        let outcome = match last {
            Last::Question(said, reply) => self.hold(endpoint, said, reply).await,
            Last::Outcome(outcome) => {
                self.guard.disarm();
                let permitted = &self.running.permitted;
                self.asker.sealed(endpoint, permitted, outcome).await
            }
        };
        message(Dialect::Modern, &id, outcome, form)
    }

    /// A server of the older revisions asks: the call is held, and the question is the result.
    async fn hold(
        self,
        endpoint: &super::Endpoint,
        said: Said,
        reply: oneshot::Sender<Reply>,
    ) -> Outcome {
        let asked = json!({
            "resultType": "input_required",
            "inputRequests": { QUESTION: { "method": said.method, "params": said.params } },
        });
        let asked = asked.as_object().cloned().unwrap_or_default();
        let held = HeldCall {
            running: self.running,
            said: self.said,
            reply,
            cancel: self.guard,
        };
        let pending = Pending::Held(Box::new(held));
        self.asker.question(endpoint, asked, pending).await
    }
}

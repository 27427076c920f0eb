//! MCP over streamable HTTP. One endpoint speaks both families of revisions: each message says which it is of.

mod about;
mod ask;
mod asker;
mod follow;
mod headers;
mod held;
mod known;
mod legacy;
mod listeners;
mod lists;
mod modern;
mod owner;
mod session;
mod state;
mod stream;
mod task;

use super::error::{self, Dialect};
use super::request;
use super::resource::Challenge;
use crate::enforce::{Caller, Gateway, Outcome, Refused};
use crate::jws;
use crate::upstream::Reply;
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use proctor_engine::ToolQuery;
use proctor_engine::json::{JsonError, Limits, is_id, parse, request_id};
use proctor_model::{Reason, ServerId};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The revisions that clients may speak, newest first.
pub(super) const VERSIONS: [&str; 4] = ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26"];

const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// The MCP endpoint: the gateway, and what lasts longer than a request.
pub(super) struct Endpoint {
    gateway: Arc<Gateway>,
    sessions: session::Sessions,
    held: held::HeldCalls,
    listeners: listeners::Listeners,
}

impl Endpoint {
    pub(super) fn new(gateway: Arc<Gateway>) -> Self {
        Self {
            gateway,
            sessions: session::Sessions::default(),
            held: held::HeldCalls::default(),
            listeners: listeners::Listeners::default(),
        }
    }
}

/// Which tools an endpoint is about.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Scope {
    All,
    One(ServerId),
}

impl Scope {
    fn query(&self, name: String) -> ToolQuery {
        match self {
            Self::All => ToolQuery::Any(name),
            Self::One(server) => ToolQuery::On(server.clone(), name),
        }
    }

    /// The server that it is about alone.
    fn only_server(&self) -> Option<ServerId> {
        match self {
            Self::All => None,
            Self::One(server) => Some(server.clone()),
        }
    }
}

/// A message that asks for an answer, or not.
struct Message {
    /// None for a notification.
    id: Option<Value>,
    method: String,
    params: Map<String, Value>,
}

/// What a client sends.
enum Received {
    Message(Message),
    /// Its reply to a question of ours, by the question's id.
    Reply(Value, Reply),
}

/// A message that is refused before anything is decided about it.
struct Unread {
    /// The request's id, so that who sent it hears of that; none where no request is to be seen.
    id: Option<Value>,
    reason: Reason,
}

impl From<Reason> for Unread {
    fn from(reason: Reason) -> Self {
        Self { id: None, reason }
    }
}

/// A request in work: by whom, about what.
struct Context<'a> {
    endpoint: &'a Arc<Endpoint>,
    scope: &'a Scope,
    caller: Caller,
    headers: &'a HeaderMap,
    trace_id: Option<String>,
    dialect: Dialect,
}

pub(super) async fn all_servers(
    State(endpoint): State<Arc<Endpoint>>,
    request: Request,
) -> Response {
    serve(&endpoint, &Scope::All, request).await
}

pub(super) async fn one_server(
    State(endpoint): State<Arc<Endpoint>>,
    Path(server): Path<String>,
    request: Request,
) -> Response {
    match server.parse() {
        Ok(server) => serve(&endpoint, &Scope::One(server), request).await,
        Err(_) => error::plain_status(StatusCode::NOT_FOUND, "this is no id of a tool server"),
    }
}

async fn serve(endpoint: &Arc<Endpoint>, scope: &Scope, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let trace_id = request::trace_id(headers);
    let said = headers::version(headers);
    let dialect = if said == Some(VERSIONS[0]) {
        Dialect::Modern
    } else {
        Dialect::Legacy
    };
    let presented = request::presented(&parts);
    let logged_in = presented.token.is_some_and(jws::has_its_form);
    let caller = match endpoint
        .gateway
        .authenticate_or_log_in(presented, trace_id.clone())
        .await
    {
        Ok(caller) => caller,
        Err(refused) if logged_in => return error::not_logged_in(dialect, &refused),
        Err(refused) => return error::rpc(dialect, &Value::Null, &refused),
    };
    let mut context = Context {
        endpoint,
        scope,
        caller,
        headers,
        trace_id,
        dialect,
    };
    match parts.method {
        Method::POST => {}
        Method::DELETE if dialect == Dialect::Legacy => return legacy::end(&context).await,
        Method::GET if dialect == Dialect::Legacy => return legacy::stream(&context).await,
        _ => return not_allowed(dialect),
    }
    let body = request::body(headers, body).await;
    let message = match body.map_err(Unread::from).and_then(|body| read(&body)) {
        Ok(Received::Message(message)) => message,
        Ok(Received::Reply(id, reply)) if dialect == Dialect::Legacy => {
            return legacy::replied(&context, &id, reply).await;
        }
        Ok(Received::Reply(..)) => {
            return context.refuse(&Value::Null, Reason::InvalidRequest).await;
        }
        Err(Unread { id, reason }) => {
            return context.refuse(&id.unwrap_or_default(), reason).await;
        }
    };
    if modern::is_meant(headers, &message) {
        context.dialect = Dialect::Modern;
        return modern::serve(&context, message).await;
    }
    context.dialect = Dialect::Legacy;
    legacy::serve(&context, message).await
}

/// Another method of HTTP than this family of revisions has.
fn not_allowed(dialect: Dialect) -> Response {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let (allowed, sentence) = match dialect {
        Dialect::Modern => ("POST", "this endpoint takes POST"),
        Dialect::Legacy | Dialect::Plain => (
            "POST, GET, DELETE",
            "this endpoint takes POST, GET and DELETE",
        ),
    };
    let mut response = error::plain_status(status, sentence);
    let allowed = HeaderValue::from_static(allowed);
    response.headers_mut().insert(header::ALLOW, allowed);
    response
}

/// One JSON-RPC message.
fn read(body: &[u8]) -> Result<Received, Unread> {
    let members = match parse(body, &Limits::json_rpc()) {
        Ok(Value::Object(members)) => members,
        Ok(_) => return Err(Reason::InvalidRequest.into()),
        Err(JsonError::Invalid) => return Err(Reason::InvalidJson.into()),
        Err(error) => {
            return Err(Unread {
                id: request_id(body),
                reason: error.into(),
            });
        }
    };
    let asks = members.contains_key("method");
    let id = members.get("id").filter(|id| asks && is_id(id));
    let id = id.cloned();
    understand(members).map_err(|reason| Unread { id, reason })
}

fn understand(mut members: Map<String, Value>) -> Result<Received, Reason> {
    if members
        .remove("jsonrpc")
        .is_none_or(|version| version != "2.0")
    {
        return Err(Reason::InvalidRequest);
    }
    let id = members.remove("id");
    if id.as_ref().is_some_and(|id| !is_id(id)) {
        return Err(Reason::InvalidRequest);
    }
    let Some(method) = members.remove("method") else {
        let reply = match (members.remove("result"), members.remove("error")) {
            (Some(Value::Object(result)), None) => Reply::Result(result),
            (None, Some(Value::Object(error))) => Reply::Error(error),
            _ => return Err(Reason::InvalidRequest),
        };
        return match id {
            Some(id) if members.is_empty() => Ok(Received::Reply(id, reply)),
            _ => Err(Reason::InvalidRequest),
        };
    };
    let Value::String(method) = method else {
        return Err(Reason::InvalidRequest);
    };
    let params = match members.remove("params") {
        None => Map::new(),
        Some(Value::Object(params)) => params,
        Some(_) => return Err(Reason::InvalidParams),
    };
    if members.is_empty() {
        Ok(Received::Message(Message { id, method, params }))
    } else {
        Err(Reason::InvalidRequest)
    }
}

impl Context<'_> {
    async fn refuse(&self, id: &Value, reason: Reason) -> Response {
        let refused = self
            .endpoint
            .gateway
            .refuse(&self.caller, reason, self.trace_id.clone())
            .await;
        error::rpc(self.dialect, id, &refused)
    }

    /// A refusal of what was decided on, in HTTP. Who logged in is sent to ask for more in both families of revisions.
    fn refused(&self, id: &Value, refused: &Refused) -> Response {
        match self.caller.token.is_of_login() && refused.reason == Reason::ToolNotInToken {
            true => {
                let challenge = Challenge::of_login(&self.caller.tenant);
                error::step_up(self.dialect, id, refused, challenge)
            }
            false => error::rpc(self.dialect, id, refused),
        }
    }

    /// A result, as JSON or, if the client takes nothing else, as a stream of one event.
    fn result(&self, id: &Value, result: Value) -> Response {
        self.answer(json!({ "jsonrpc": "2.0", "id": id, "result": result }))
    }

    fn answer(&self, message: Value) -> Response {
        if headers::accepts_json(self.headers) {
            return Json(message).into_response();
        }
        let event = format!("event: message\ndata: {message}\n\n");
        (
            [
                (header::CONTENT_TYPE, "text/event-stream"),
                (header::CACHE_CONTROL, "no-store"),
            ],
            event,
        )
            .into_response()
    }

    /// Whether the caller may be here at all: asked before anything that is not itself a decision.
    async fn admit(&self, id: &Value) -> Result<(), Response> {
        match self.endpoint.gateway.admitted(&self.caller) {
            Ok(()) => Ok(()),
            Err(reason) => Err(self.refuse(id, reason).await),
        }
    }

    /// The answer to a request that went to a tool server, in HTTP.
    fn outcome(&self, id: &Value, outcome: Outcome, form: Form) -> Response {
        match outcome {
            Outcome::Refused(refused) if form.result_of(&refused).is_none() => {
                self.refused(id, &refused)
            }
            Outcome::Error(error) => {
                let status = error::upstream_status(self.dialect, &error);
                let mut response =
                    self.answer(json!({ "jsonrpc": "2.0", "id": id, "error": error }));
                *response.status_mut() = status;
                response
            }
            outcome => self.answer(message(self.dialect, id, outcome, form)),
        }
    }
}

/// Makes a result fit its revision.
type Finish = fn(Map<String, Value>) -> Map<String, Value>;

/// How the answer to a request that goes to a tool server is written.
#[derive(Clone, Copy)]
struct Form {
    finish: Finish,
    refusals: Refusals,
}

/// What a refusal may be written as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refusals {
    /// A tool's result, where the tenant wants that.
    ToolResults,
    /// An error of JSON-RPC. What is no call of a tool has results of another form.
    Errors,
}

impl Form {
    fn of(method: &str, finish: Finish) -> Self {
        let refusals = match method {
            "tools/call" => Refusals::ToolResults,
            _ => Refusals::Errors,
        };
        Self { finish, refusals }
    }

    /// A refusal as a result, if it is to be one.
    fn result_of(self, refused: &Refused) -> Option<Value> {
        match self.refusals {
            Refusals::ToolResults => error::as_tool_result(refused),
            Refusals::Errors => None,
        }
    }
}

/// The answer to a request that went to a tool server, as a message.
fn message(dialect: Dialect, id: &Value, outcome: Outcome, form: Form) -> Value {
    let finish = form.finish;
    match outcome {
        Outcome::Result(result) => json!({ "jsonrpc": "2.0", "id": id, "result": finish(result) }),
        Outcome::Question(asked) => json!({ "jsonrpc": "2.0", "id": id, "result": asked }),
        Outcome::Task(task) => {
            json!({ "jsonrpc": "2.0", "id": id, "result": task::written(dialect, *task) })
        }
        Outcome::Error(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error }),
        Outcome::Refused(refused) => match form.result_of(&refused) {
            Some(Value::Object(result)) => {
                json!({ "jsonrpc": "2.0", "id": id, "result": finish(result) })
            }
            _ => error::rpc_body(dialect, id, &refused),
        },
    }
}

fn server_info() -> Value {
    json!({ "name": "proctor", "title": "Proctor", "version": env!("CARGO_PKG_VERSION") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_model::config::Denials;

    fn refused(reason: Reason, denials: Denials) -> Outcome {
        Outcome::Refused(Refused {
            decision_id: uuid::Uuid::nil().into(),
            reason,
            message: reason.message().to_owned(),
            denials,
            approval: None,
            retry_after: None,
            lacks: None,
        })
    }

    #[test]
    fn a_request_that_is_refused_is_told_so_by_its_id() {
        for (text, told, reason) in [
            (
                r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t","arguments":{"user":1234567890123456789}}}"#,
                json!(7),
                Reason::UnsafeNumber,
            ),
            (
                r#"{"jsonrpc":"2.0","id":"a","method":"x","params":{"a":1,"A":2}}"#,
                json!("a"),
                Reason::AmbiguousKey,
            ),
            (
                r#"{"jsonrpc":"2.0","id":7,"method":"x","params":[]}"#,
                json!(7),
                Reason::InvalidParams,
            ),
            (
                r#"{"jsonrpc":"2.0","id":7,"method":"x","more":1}"#,
                json!(7),
                Reason::InvalidRequest,
            ),
            (r#"{"id":7,"method":"x"}"#, json!(7), Reason::InvalidRequest),
            (
                r#"{"jsonrpc":"2.0","id":[],"method":"x"}"#,
                Value::Null,
                Reason::InvalidRequest,
            ),
            // The id of a reply is that of a question of ours: the client may have a request of its own by the same.
            (
                r#"{"jsonrpc":"2.0","id":7,"result":[]}"#,
                Value::Null,
                Reason::InvalidRequest,
            ),
            (
                r#"{"jsonrpc":"2.0","id":7,"result":{"a":1,"a":1}}"#,
                Value::Null,
                Reason::DuplicateKey,
            ),
            (
                r#"{"jsonrpc":"2.0","id":7,"method":"x""#,
                Value::Null,
                Reason::InvalidJson,
            ),
            ("[]", Value::Null, Reason::InvalidRequest),
        ] {
            let unread = read(text.as_bytes()).err().unwrap();
            let got = (unread.id.unwrap_or_default(), unread.reason);
            assert_eq!(got, (told, reason), "{text}");
        }
    }

    #[test]
    fn who_uses_another_method_is_told_which_there_are() {
        for (dialect, allowed) in [
            (Dialect::Modern, "POST"),
            (Dialect::Legacy, "POST, GET, DELETE"),
        ] {
            let answer = not_allowed(dialect);
            assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(answer.headers()[header::ALLOW], allowed, "{dialect:?}");
        }
    }

    #[test]
    fn only_a_call_of_a_tool_is_refused_by_a_result() {
        let (wanted, id) = (Denials::ToolResult, Value::from(7));
        for (dialect, finish) in [
            (Dialect::Legacy, legacy::finish as Finish),
            (Dialect::Modern, modern::finish as Finish),
        ] {
            let say = |method: &str, reason, denials| {
                let form = Form::of(method, finish);
                message(dialect, &id, refused(reason, denials), form)
            };
            let result = say("tools/call", Reason::ToolNotInToken, wanted);
            assert_eq!(result["result"]["isError"], true, "{result}");
            for method in [
                "resources/read",
                "prompts/get",
                "completion/complete",
                "tasks/get",
                "tasks/result",
            ] {
                let error = say(method, Reason::ToolNotInToken, wanted);
                let told = &error["error"]["data"]["reason"];
                assert_eq!(*told, "tool_not_in_token", "{method}: {error}");
            }
            let error = say("tools/call", Reason::ToolNotInToken, Denials::Error);
            assert!(error["error"].is_object(), "{error}");
            let error = say("tools/call", Reason::InvalidArguments, wanted);
            assert!(error["error"].is_object(), "{error}");
        }
    }
}

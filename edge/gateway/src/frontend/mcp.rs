//! MCP over streamable HTTP. One endpoint speaks both families of revisions: each message says which it is of.

mod headers;
mod legacy;
mod modern;

use super::error::{self, Dialect};
use super::request;
use crate::enforce::{Asked, Caller, Gateway, Outcome};
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use proctor_engine::json::{Limits, parse};
use proctor_engine::{ToolQuery, visible_tools};
use proctor_model::{Reason, ServerId};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The revisions that clients may speak, newest first.
pub(super) const VERSIONS: [&str; 4] = ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26"];

const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// The MCP endpoint: the gateway and the sessions of the older revisions.
pub(super) struct Endpoint {
    gateway: Arc<Gateway>,
    sessions: legacy::Sessions,
}

impl Endpoint {
    pub(super) fn new(gateway: Arc<Gateway>) -> Self {
        Self {
            gateway,
            sessions: legacy::Sessions::new(),
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
}

/// A message that asks for an answer, or not.
struct Message {
    /// None for a notification.
    id: Option<Value>,
    method: String,
    params: Map<String, Value>,
}

/// A request in work: by whom, about what.
struct Context<'a> {
    endpoint: &'a Endpoint,
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

async fn serve(endpoint: &Endpoint, scope: &Scope, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let trace_id = request::trace_id(headers);
    let said = headers::version(headers);
    let dialect = if said == Some(VERSIONS[0]) {
        Dialect::Modern
    } else {
        Dialect::Legacy
    };
    let caller = match endpoint
        .gateway
        .authenticate(request::bearer(headers), trace_id.clone())
        .await
    {
        Ok(caller) => caller,
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
        Method::DELETE if dialect == Dialect::Legacy => return legacy::end(&context),
        // No stream of its own for what a server sends unasked: the specification lets a server answer so.
        _ => {
            return error::plain_status(StatusCode::METHOD_NOT_ALLOWED, "this endpoint takes POST");
        }
    }
    let message = match request::body(headers, body)
        .await
        .and_then(|body| read(&body))
    {
        Ok(Some(message)) => message,
        // A client's answer to a question that nobody asked.
        Ok(None) if dialect == Dialect::Legacy => return StatusCode::ACCEPTED.into_response(),
        Ok(None) => return context.refuse(&Value::Null, Reason::InvalidRequest).await,
        Err(reason) => return context.refuse(&Value::Null, reason).await,
    };
    if message.method != "initialize" && modern::is_meant(headers, &message) {
        context.dialect = Dialect::Modern;
        return modern::serve(&context, message).await;
    }
    context.dialect = Dialect::Legacy;
    legacy::serve(&context, message).await
}

/// One JSON-RPC message; `None` for a response.
fn read(body: &[u8]) -> Result<Option<Message>, Reason> {
    let Value::Object(mut members) = parse(body, &Limits::json_rpc())? else {
        return Err(Reason::InvalidRequest);
    };
    if members
        .remove("jsonrpc")
        .is_none_or(|version| version != "2.0")
    {
        return Err(Reason::InvalidRequest);
    }
    let id = members.remove("id");
    if id
        .as_ref()
        .is_some_and(|id| !(id.is_string() || id.is_i64() || id.is_u64()))
    {
        return Err(Reason::InvalidRequest);
    }
    let Some(method) = members.remove("method") else {
        let response =
            id.is_some() && (members.contains_key("result") || members.contains_key("error"));
        return if response {
            Ok(None)
        } else {
            Err(Reason::InvalidRequest)
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
        Ok(Some(Message { id, method, params }))
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
        let judged = self.endpoint.gateway.judge(&self.caller, |world, _| {
            proctor_engine::admit(&self.caller.token, world)
        });
        match judged
            .map(|(admitted, _)| admitted)
            .and_then(|admitted| admitted)
        {
            Ok(()) => Ok(()),
            Err(reason) => Err(self.refuse(id, reason).await),
        }
    }

    /// `tools` of a `tools/list` result: what token and intent allow, by their pinned definitions, in order of name.
    async fn tools(&self, id: &Value) -> Result<Vec<Value>, Response> {
        let judged = self.endpoint.gateway.judge(&self.caller, |world, _| {
            let tools = visible_tools(&self.caller.token, world)?;
            let here = tools.into_iter().filter_map(|tool| match self.scope {
                Scope::All => Some(tool.entry().definition.to_mcp(&tool.joined_name())),
                Scope::One(server) if tool.reference().server == *server => Some(
                    tool.entry()
                        .definition
                        .to_mcp(tool.reference().name.as_str()),
                ),
                Scope::One(_) => None,
            });
            Ok(here.collect())
        });
        match judged.map(|(tools, _)| tools).and_then(|tools| tools) {
            Ok(tools) => Ok(tools),
            Err(reason) => Err(self.refuse(id, reason).await),
        }
    }

    /// A `tools/call`. `finish` makes the result fit the revision.
    async fn call(
        &self,
        id: &Value,
        mut params: Map<String, Value>,
        cancel: CancellationToken,
        cancel_with_client: bool,
        finish: impl Fn(Map<String, Value>) -> Value,
    ) -> Response {
        let Some(Value::String(name)) = params.remove("name") else {
            return self.refuse(id, Reason::InvalidParams).await;
        };
        let arguments = match params.remove("arguments") {
            None => Map::new(),
            Some(Value::Object(arguments)) => arguments,
            Some(_) => return self.refuse(id, Reason::InvalidParams).await,
        };
        let approval = match request::approval(params.remove("_meta")) {
            Ok(approval) => approval,
            Err(reason) => return self.refuse(id, reason).await,
        };
        // A task, an answer to a question, or something that is not known: never ignored.
        if !params.is_empty() {
            return self.refuse(id, Reason::InvalidParams).await;
        }
        let asked = Asked {
            tool: self.scope.query(name),
            arguments,
            approval,
            trace_id: self.trace_id.clone(),
        };
        match self
            .endpoint
            .gateway
            .call(self.caller.clone(), asked, cancel, cancel_with_client)
            .await
        {
            Outcome::Result(result) => self.result(id, finish(result)),
            Outcome::Error(error) => {
                self.answer(json!({ "jsonrpc": "2.0", "id": id, "error": error }))
            }
            Outcome::Refused(refused) => match error::as_tool_result(&refused) {
                Some(Value::Object(result)) => self.result(id, finish(result)),
                _ => error::rpc(self.dialect, id, &refused),
            },
        }
    }
}

fn server_info() -> Value {
    json!({ "name": "proctor", "title": "Proctor", "version": env!("CARGO_PKG_VERSION") })
}

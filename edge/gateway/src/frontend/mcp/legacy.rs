//! MCP up to 2025-11-25: a session that begins with `initialize`.

use super::{Context, Message, Scope, VERSIONS, headers, server_info};
use crate::frontend::error;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moka::sync::Cache;
use proctor_model::{AgentId, Reason, TenantId};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const SESSION_ID: &str = "mcp-session-id";
/// Sessions at once; the longest unused one makes room.
const SESSIONS_MAX: u64 = 100_000;
/// A session that is not used for so long is over.
const SESSION_IDLE: Duration = Duration::from_secs(3600);

/// A session, bound to whom it was opened for.
struct Session {
    tenant: TenantId,
    agent: AgentId,
    scope: Scope,
    /// Calls in work by their request id, so that the client can cancel them.
    calls: Mutex<HashMap<String, CancellationToken>>,
}

/// All sessions.
pub(super) struct Sessions(Cache<String, Arc<Session>>);

impl Sessions {
    pub(super) fn new() -> Self {
        Self(
            Cache::builder()
                .max_capacity(SESSIONS_MAX)
                .time_to_idle(SESSION_IDLE)
                .build(),
        )
    }
}

impl Context<'_> {
    /// The session that a request names, if it is the caller's own.
    fn session(&self) -> Result<(String, Arc<Session>), Reason> {
        let id = self
            .headers
            .get(SESSION_ID)
            .ok_or(Reason::InvalidTransport)?;
        let id = id.to_str().map_err(|_| Reason::UnknownSession)?;
        let session = self
            .endpoint
            .sessions
            .0
            .get(id)
            .ok_or(Reason::UnknownSession)?;
        let same = session.tenant == self.caller.tenant.id
            && session.agent == *self.caller.token.agent()
            && session.scope == *self.scope;
        if same {
            Ok((id.to_owned(), session))
        } else {
            Err(Reason::UnknownSession)
        }
    }
}

/// `DELETE`: the client is done.
pub(super) fn end(context: &Context<'_>) -> Response {
    match context.session() {
        Ok((id, _)) => {
            context.endpoint.sessions.0.invalidate(&id);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(reason) => {
            let status =
                StatusCode::from_u16(reason.http_status()).unwrap_or(StatusCode::NOT_FOUND);
            error::plain_status(status, reason.message())
        }
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
        return initialize(context, &id, params.get("protocolVersion")).await;
    }
    let session = match context.session() {
        Ok((_, session)) => session,
        Err(reason) => return context.refuse(&id, reason).await,
    };
    match method.as_str() {
        "ping" => context.result(&id, json!({})),
        "tools/list" if params.contains_key("cursor") => {
            context.refuse(&id, Reason::InvalidParams).await
        }
        "tools/list" => match context.tools(&id).await {
            Ok(tools) => context.result(&id, json!({ "tools": tools })),
            Err(response) => response,
        },
        "tools/call" => {
            let Some(call) = InWork::new(&session, &id) else {
                return context.refuse(&id, Reason::InvalidRequest).await;
            };
            // A lost connection does not cancel in these revisions; a notification does.
            let finish = |mut result: Map<String, Value>| {
                result.remove("resultType");
                Value::Object(result)
            };
            context
                .call(&id, params, call.cancel.clone(), false, finish)
                .await
        }
        _ => context.refuse(&id, Reason::UnknownMethod).await,
    }
}

async fn initialize(context: &Context<'_>, id: &Value, asked: Option<&Value>) -> Response {
    let Some(asked) = asked.and_then(Value::as_str) else {
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
    let session_id = URL_SAFE_NO_PAD.encode(bytes);
    let session = Session {
        tenant: context.caller.tenant.id.clone(),
        agent: context.caller.token.agent().clone(),
        scope: context.scope.clone(),
        calls: Mutex::default(),
    };
    context
        .endpoint
        .sessions
        .0
        .insert(session_id.clone(), Arc::new(session));
    let mut response = context.result(
        id,
        json!({ "protocolVersion": version, "capabilities": { "tools": {} }, "serverInfo": server_info() }),
    );
    if let Ok(value) = HeaderValue::from_str(&session_id) {
        response.headers_mut().insert(SESSION_ID, value);
    }
    response
}

async fn notified(context: &Context<'_>, method: &str, params: &Map<String, Value>) -> Response {
    let session = match context.session() {
        Ok((_, session)) => session,
        Err(reason) => return context.refuse(&Value::Null, reason).await,
    };
    if method == "notifications/cancelled"
        && let Some(request) = params.get("requestId")
    {
        let calls = session.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cancel) = calls.get(&request.to_string()) {
            cancel.cancel();
        }
    }
    StatusCode::ACCEPTED.into_response()
}

/// A call in the list of its session, for as long as it is in work.
struct InWork {
    session: Arc<Session>,
    id: String,
    cancel: CancellationToken,
}

impl InWork {
    /// None if a call of this id is in work already.
    fn new(session: &Arc<Session>, id: &Value) -> Option<Self> {
        let cancel = CancellationToken::new();
        let id = id.to_string();
        let mut calls = session.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.contains_key(&id) {
            return None;
        }
        calls.insert(id.clone(), cancel.clone());
        drop(calls);
        Some(Self {
            session: Arc::clone(session),
            id,
            cancel,
        })
    }
}

impl Drop for InWork {
    fn drop(&mut self) {
        self.session
            .calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.id);
    }
}

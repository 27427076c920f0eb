//! `/v1/llm/{provider}/…`: what the official clients of LLM providers send, with a capability token for a key.

use super::{error, request};
use crate::enforce::{Caller, Completion, Gateway, Note, Prompted, Refused};
use crate::proof::Presented;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use proctor_engine::json::{Limits, parse};
use proctor_engine::limits::PROMPT_BYTES_MAX;
use proctor_engine::llm::{Api, Prompt};
use proctor_engine::{Tool, visible_models};
use proctor_model::catalogue::{LlmDialect, llm_tool_name};
use proctor_model::{ApprovalId, Reason, ServerId};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use tokio_stream::wrappers::ReceiverStream;

/// Where Anthropic's clients send their key.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// What Anthropic's clients want of an API that is not settled yet.
const BETA: HeaderName = HeaderName::from_static("anthropic-beta");
/// Names the approval of a prompt that a person had to agree to.
const APPROVAL: HeaderName = HeaderName::from_static("x-proctor-approval");
/// Names the decision in each answer.
const DECISION: HeaderName = HeaderName::from_static("x-proctor-decision");
/// The model that answers, `<provider>/<model>`: it may be one that stands in.
const MODEL: HeaderName = HeaderName::from_static("x-proctor-model");
/// Tells the official clients that asking again does not help.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// One prompt. A client that goes away cancels it: nobody else could take the answer.
pub(super) async fn prompt(
    State(gateway): State<Arc<Gateway>>,
    Path((provider, path)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let api = Api::from_path(&path);
    let dialect = api.map_or_else(|| spoken(&parts), Api::dialect);
    let trace_id = request::trace_id(&parts.headers);
    let caller = match authenticated(&gateway, &parts, trace_id.clone()).await {
        Ok(caller) => caller,
        Err(refused) => return refusal(dialect, &refused),
    };
    let read = read(&caller, api, &provider, &parts, body).await;
    let prompted = match read {
        Ok(prompted) => prompted,
        Err((reason, detail)) => {
            let mut refused = gateway.refuse(&caller, reason, trace_id).await;
            if let Some(detail) = detail.filter(|_| refused.reason == reason) {
                refused.message = format!("{} ({detail})", refused.message);
            }
            return refusal(dialect, &refused);
        }
    };
    match gateway.prompt(caller, prompted).await {
        Completion::Refused(refused) => refusal(dialect, &refused),
        Completion::Whole {
            note,
            status,
            body,
            retry_after,
        } => {
            let mut response = noted((status, Json(body)).into_response(), &note);
            if let Some(after) = retry_after.filter(|_| !status.is_success()) {
                response.headers_mut().insert(header::RETRY_AFTER, after);
            }
            response
        }
        Completion::Stream { note, pieces } => {
            let pieces = ReceiverStream::new(pieces).map(Ok::<_, Infallible>);
            let kind = [
                (header::CONTENT_TYPE, "text/event-stream"),
                (header::CACHE_CONTROL, "no-store"),
            ];
            noted((kind, Body::from_stream(pieces)).into_response(), &note)
        }
    }
}

/// `models`: those of a provider that the caller may ask, as the provider would list its own. Nothing else can be got.
pub(super) async fn models(
    State(gateway): State<Arc<Gateway>>,
    Path((provider, path)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let dialect = spoken(&parts);
    let trace_id = request::trace_id(&parts.headers);
    let caller = match authenticated(&gateway, &parts, trace_id.clone()).await {
        Ok(caller) => caller,
        Err(refused) => return refusal(dialect, &refused),
    };
    match listed(&gateway, &caller, &provider, &path) {
        Ok(list) => Json(list).into_response(),
        Err(reason) => refusal(dialect, &gateway.refuse(&caller, reason, trace_id).await),
    }
}

fn listed(gateway: &Gateway, caller: &Caller, provider: &str, path: &str) -> Result<Value, Reason> {
    if path.strip_prefix("v1/").unwrap_or(path) != "models" {
        return Err(Reason::UnknownMethod);
    }
    let id: ServerId = provider.parse().map_err(|_| Reason::UnknownTool)?;
    let loaded = caller.tenant.loaded().ok_or(Reason::NotReady)?;
    let known = loaded.servers.providers().get(provider);
    let dialect = known.ok_or(Reason::UnknownTool)?.spec().dialect;
    let (names, _) = gateway.judge(caller, |world, _| {
        let models = visible_models(&caller.token, world)?;
        let names = models.into_iter().filter_map(|tool| asked_as(tool, &id));
        Ok::<Vec<String>, Reason>(names.collect())
    })?;
    let names = names?;
    // Of a provider that it may ask nothing an agent knows no more than of one that there is not.
    match names.is_empty() {
        true => Err(Reason::UnknownTool),
        false => Ok(provider_list(dialect, provider, &names)),
    }
}

/// What an agent calls a model of this provider.
fn asked_as(model: &Tool, provider: &ServerId) -> Option<String> {
    let name = &model.reference().name;
    let (of, own) = name.as_str().split_once('/')?;
    if of != provider.as_str() {
        return None;
    }
    // As the provider spells it, where that leads to this one.
    let spelled = model.model()?.name_of(name);
    let leads_here = llm_tool_name(provider, spelled).as_ref() == Some(name);
    Some(if leads_here { spelled } else { own }.to_owned())
}

/// A list of models in the form of a provider.
fn provider_list(dialect: LlmDialect, provider: &str, names: &[String]) -> Value {
    let models = names.iter().map(|name| match dialect {
        LlmDialect::Openai => {
            json!({ "id": name, "object": "model", "created": 0, "owned_by": provider })
        }
        LlmDialect::Anthropic => json!({ "type": "model", "id": name, "display_name": name,
            "created_at": "1970-01-01T00:00:00Z" }),
    });
    let models: Vec<Value> = models.collect();
    match dialect {
        LlmDialect::Openai => json!({ "object": "list", "data": models }),
        LlmDialect::Anthropic => json!({ "data": models, "has_more": false,
            "first_id": names.first(), "last_id": names.last() }),
    }
}

/// Whose clients send such a request, where its path does not say so.
fn spoken(parts: &Parts) -> LlmDialect {
    match parts.headers.contains_key(&API_KEY) {
        true => LlmDialect::Anthropic,
        false => LlmDialect::Openai,
    }
}

async fn authenticated(
    gateway: &Gateway,
    parts: &Parts,
    trace_id: Option<String>,
) -> Result<Caller, Refused> {
    match presented(parts) {
        Ok(presented) => gateway.authenticate(presented, trace_id).await,
        Err(reason) => Err(gateway.turn_away(None, reason, trace_id).await),
    }
}

/// The token: as a bearer, or as Anthropic's clients send a key; not two different ones.
fn presented(parts: &Parts) -> Result<Presented<'_>, Reason> {
    let presented = request::presented(parts);
    let key = parts.headers.get(&API_KEY);
    let key = key.and_then(|key| key.to_str().ok());
    match (presented.token, key) {
        (Some(token), Some(key)) if token != key => Err(Reason::InvalidTransport),
        (token, key) => Ok(Presented {
            token: token.or(key),
            ..presented
        }),
    }
}

async fn read(
    caller: &Caller,
    api: Option<Api>,
    provider: &str,
    parts: &Parts,
    body: Body,
) -> Result<Prompted, (Reason, Option<Cow<'static, str>>)> {
    let plain = |reason: Reason| (reason, None);
    let api = api.ok_or(plain(Reason::UnknownMethod))?;
    let provider: ServerId = provider.parse().map_err(|_| plain(Reason::UnknownTool))?;
    let loaded = caller.tenant.loaded().ok_or(plain(Reason::NotReady))?;
    let known = loaded.servers.providers().get(provider.as_str());
    let known = known.ok_or(plain(Reason::UnknownTool))?;
    if known.spec().dialect != api.dialect() {
        return Err(plain(Reason::UnknownMethod));
    }
    let approval = approval(&parts.headers).map_err(plain)?;
    let body = request::body_within(&parts.headers, body, PROMPT_BYTES_MAX).await;
    let limits = Limits::prompt();
    let body = body.and_then(|body| parse(&body, &limits).map_err(Reason::from));
    let Value::Object(members) = body.map_err(plain)? else {
        return Err(plain(Reason::InvalidRequest));
    };
    let hosted = known.spec().hosted;
    let betas = parts.headers.get_all(&BETA).iter();
    let betas: Result<Vec<&str>, _> = betas.map(HeaderValue::to_str).collect();
    let betas = betas.map_err(|_| plain(Reason::InvalidTransport))?;
    let prompt = Prompt::read(api, members, hosted);
    let prompt = prompt.and_then(|prompt| prompt.with_betas(&betas, hosted));
    Ok(Prompted {
        provider,
        prompt: prompt.map_err(|misfit| (misfit.reason, Some(misfit.detail)))?,
        approval,
        trace_id: request::trace_id(&parts.headers),
    })
}

fn approval(headers: &HeaderMap) -> Result<Option<ApprovalId>, Reason> {
    let Some(named) = headers.get(&APPROVAL) else {
        return Ok(None);
    };
    let named = named.to_str().map_err(|_| Reason::InvalidTransport)?;
    named
        .parse()
        .map(Some)
        .map_err(|_| Reason::InvalidTransport)
}

fn noted(mut response: Response, note: &Note) -> Response {
    let headers = [
        (DECISION, note.decision_id.as_str()),
        (MODEL, note.model.as_str()),
    ];
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// A refusal in the words of a provider, so that its clients raise the error that they always raise.
fn refusal(dialect: LlmDialect, refused: &Refused) -> Response {
    let error = provider_error(dialect, refused);
    let body = match dialect {
        LlmDialect::Openai => json!({ "error": error }),
        LlmDialect::Anthropic => json!({ "type": "error", "error": error }),
    };
    let mut response = (status(refused.reason), Json(body)).into_response();
    let retry = HeaderValue::from_static(match refused.reason.http_status() {
        503 => "true",
        _ => "false",
    });
    response.headers_mut().insert(SHOULD_RETRY, retry);
    error::challenged(response, refused)
}

/// One that waits for a person is no success: a client would take it for an answer.
fn status(reason: Reason) -> StatusCode {
    match StatusCode::from_u16(reason.http_status()) {
        Ok(status) if status.is_success() => StatusCode::FORBIDDEN,
        Ok(status) => status,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// `error` in the words of a provider.
pub(crate) fn provider_error(dialect: LlmDialect, refused: &Refused) -> Value {
    let kind = match (dialect, status(refused.reason).as_u16()) {
        (_, 400 | 404) => "invalid_request_error",
        (_, 401) => "authentication_error",
        (_, 403) => "permission_error",
        (_, 413) => "request_too_large",
        (_, 429) => "rate_limit_error",
        (LlmDialect::Anthropic, 503) => "overloaded_error",
        _ => "api_error",
    };
    let data = error::data(refused);
    match dialect {
        LlmDialect::Openai => json!({ "message": refused.message, "type": kind, "param": null,
            "code": refused.reason.code(), "data": data }),
        LlmDialect::Anthropic => json!({ "type": kind, "message": refused.message, "data": data }),
    }
}

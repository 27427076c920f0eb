//! `/access/v1/evaluation` and `/access/v1/evaluations`: decisions without a call (OpenID AuthZEN Authorization
//! API 1.0, sections 6 and 7).
//!
//! The subject is whom the capability token in the `Authorization` header speaks for; a request that names another one
//! is denied. The resource is `{"type": "tool", "id": "server/tool", "properties": {"arguments": {…}}}`, the action
//! `{"name": "call"}`. Denials are answers, not errors: HTTP 200 with `"decision": false`.

use super::{error, request};
use crate::enforce::{Asked, Caller, Gateway, Refused};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::future::join_all;
use proctor_engine::ToolQuery;
use proctor_engine::json::{Limits, parse};
use proctor_model::Reason;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Most evaluations in one request.
const EVALUATIONS_MAX: usize = 64;
/// Of them, those that are under way at once: no request fills the spool's queue by itself.
const AT_ONCE: usize = 16;

/// A caller with the body that it sent.
async fn enter(
    gateway: &Gateway,
    request: Request,
) -> Result<(Caller, Map<String, Value>, Option<String>), Response> {
    let (parts, body) = request.into_parts();
    let trace_id = request::trace_id(&parts.headers);
    let caller = gateway
        .authenticate(request::presented(&parts), trace_id.clone())
        .await;
    let caller = caller.map_err(|refused| error::plain(&refused))?;
    let read = |body: Bytes| match parse(&body, &Limits::default())? {
        Value::Object(members) => Ok(members),
        _ => Err(Reason::InvalidRequest),
    };
    match request::body(&parts.headers, body).await.and_then(read) {
        Ok(members) => Ok((caller, members, trace_id)),
        Err(reason) => Err(error::plain(
            &gateway.refuse(&caller, reason, trace_id).await,
        )),
    }
}

pub(super) async fn evaluation(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (caller, members, trace_id) = match enter(&gateway, request).await {
        Ok(entered) => entered,
        Err(response) => return response,
    };
    match read(&caller, members) {
        Ok((tool, arguments)) => Json(
            answer(
                &gateway,
                &caller,
                Asked::plain(&caller, tool, arguments, trace_id),
            )
            .await,
        )
        .into_response(),
        Err(reason) => {
            let refused = gateway.refuse(&caller, reason, trace_id).await;
            match reason {
                // Asking for somebody else is a question with an answer: no.
                Reason::TokenWrongContext => Json(denied(&refused)).into_response(),
                _ => error::plain(&refused),
            }
        }
    }
}

pub(super) async fn evaluations(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (caller, mut members, trace_id) = match enter(&gateway, request).await {
        Ok(entered) => entered,
        Err(response) => return response,
    };
    let items = members.remove("evaluations");
    let options = members.remove("options");
    let stop_on = match options
        .as_ref()
        .and_then(|options| options.get("evaluations_semantic"))
    {
        None => None,
        Some(semantic) => match semantic.as_str() {
            Some("execute_all") => None,
            Some("deny_on_first_deny") => Some(false),
            Some("permit_on_first_permit") => Some(true),
            _ => {
                return error::plain(
                    &gateway
                        .refuse(&caller, Reason::InvalidParams, trace_id)
                        .await,
                );
            }
        },
    };
    let items: Option<Vec<_>> = match items {
        // Without a list it is one evaluation (section 7.1).
        None => Some(vec![members]),
        Some(Value::Array(items)) if items.len() <= EVALUATIONS_MAX => items
            .into_iter()
            .map(|item| with_defaults(item, &members))
            .collect(),
        Some(_) => None,
    };
    let read = |item| read(&caller, item);
    let asked: Result<Vec<_>, Reason> = items
        .ok_or(Reason::InvalidParams)
        .and_then(|items| items.into_iter().map(read).collect());
    let asked = match asked {
        Ok(asked) => asked,
        Err(reason) => return error::plain(&gateway.refuse(&caller, reason, trace_id).await),
    };
    // Where none depends on the one before, their events go to disk together.
    let at_once = if stop_on.is_some() { 1 } else { AT_ONCE };
    let mut answers = Vec::with_capacity(asked.len());
    let mut asked = asked.into_iter();
    loop {
        let some = asked.by_ref().take(at_once).map(|(tool, arguments)| {
            let asked = Asked::plain(&caller, tool, arguments, trace_id.clone());
            answer(&gateway, &caller, asked)
        });
        let some: Vec<_> = some.collect();
        if some.is_empty() {
            break;
        }
        answers.extend(join_all(some).await);
        let decision = answers.last().and_then(|answer| answer.get("decision"));
        if stop_on.is_some() && decision.and_then(Value::as_bool) == stop_on {
            break;
        }
    }
    Json(json!({ "evaluations": answers })).into_response()
}

fn with_defaults(item: Value, defaults: &Map<String, Value>) -> Option<Map<String, Value>> {
    let Value::Object(item) = item else {
        return None;
    };
    let mut whole = defaults.clone();
    whole.extend(item);
    Some(whole)
}

async fn answer(gateway: &Gateway, caller: &Caller, asked: Asked) -> Value {
    match gateway.evaluate(caller, asked).await {
        Ok(decision_id) => {
            json!({ "decision": true, "context": { "decision_id": decision_id.to_string() } })
        }
        Err(refused) => denied(&refused),
    }
}

fn denied(refused: &Refused) -> Value {
    json!({ "decision": false, "context": error::data(refused) })
}

/// The tool and the arguments that a request is about.
fn read(
    caller: &Caller,
    mut members: Map<String, Value>,
) -> Result<(ToolQuery, Map<String, Value>), Reason> {
    let text =
        |member: &Value, key: &str| member.get(key).and_then(Value::as_str).map(str::to_owned);
    let subject = members.remove("subject").ok_or(Reason::InvalidParams)?;
    let action = members.remove("action").ok_or(Reason::InvalidParams)?;
    let mut resource = members.remove("resource").ok_or(Reason::InvalidParams)?;
    let kind = text(&subject, "type").ok_or(Reason::InvalidParams)?;
    let id = text(&subject, "id").ok_or(Reason::InvalidParams)?;
    if kind != "agent" || id != caller.token.agent().as_str() {
        return Err(Reason::TokenWrongContext);
    }
    let call = text(&action, "name").as_deref() == Some("call");
    let tool = text(&resource, "id").filter(|_| text(&resource, "type").as_deref() == Some("tool"));
    let (true, Some(tool)) = (call, tool) else {
        return Err(Reason::InvalidParams);
    };
    let arguments = match resource
        .pointer_mut("/properties/arguments")
        .map(Value::take)
    {
        None => Map::new(),
        Some(Value::Object(arguments)) => arguments,
        Some(_) => return Err(Reason::InvalidParams),
    };
    Ok((ToolQuery::Any(tool), arguments))
}

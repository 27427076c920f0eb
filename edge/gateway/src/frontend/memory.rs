//! `POST /v1/memory/{write,verify,lineage}`: memory provenance for stores that are not proxied. Each is a call of a tool,
//! `memory/<store>/write` and so on, with all that belongs to one: token, intent, policy, record.

use super::{error, request};
use crate::enforce::{Asked, Gateway, Outcome};
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use proctor_engine::ToolQuery;
use proctor_engine::json::{Limits, parse};
use proctor_engine::memory::Direct;
use proctor_model::{ApprovalId, Reason, ServerId};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Id of the tool server that stands for such stores.
const SERVER: &str = "memory";

pub(super) async fn call(
    State(gateway): State<Arc<Gateway>>,
    Path(operation): Path<String>,
    request: Request,
) -> Response {
    let Some(direct) = Direct::ALL
        .into_iter()
        .find(|direct| direct.as_str() == operation)
    else {
        return error::plain_status(StatusCode::NOT_FOUND, "there is nothing at this path");
    };
    let (parts, body) = request.into_parts();
    let trace_id = request::trace_id(&parts.headers);
    let caller = gateway
        .authenticate(request::presented(&parts), trace_id.clone())
        .await;
    let caller = match caller {
        Ok(caller) => caller,
        Err(refused) => return error::plain(&refused),
    };
    let read = request::body(&parts.headers, body)
        .await
        .and_then(|body| read(&body, direct));
    let (tool, arguments, approval) = match read {
        Ok(read) => read,
        Err(reason) => return error::plain(&gateway.refuse(&caller, reason, trace_id).await),
    };
    let keys = keys_of(&arguments);
    let asked = Asked {
        approval,
        ..Asked::plain(&caller, tool, arguments, trace_id)
    };
    match gateway.call(caller, asked).await {
        Outcome::Result(result) | Outcome::Question(result) => {
            Json(worded(direct, result, &keys)).into_response()
        }
        Outcome::Error(error) => {
            let body = json!({ "error": error });
            (StatusCode::BAD_GATEWAY, Json(body)).into_response()
        }
        // None is asked for here.
        Outcome::Task(_) => error::plain_status(
            axum::http::StatusCode::BAD_GATEWAY,
            "the tool server answered with a task",
        ),
        Outcome::Refused(refused) => error::plain(&refused),
    }
}

type Read = (ToolQuery, Map<String, Value>, Option<ApprovalId>);

/// The tool of the store, the rest as its arguments, and the approval that it is made with.
fn read(body: &[u8], direct: Direct) -> Result<Read, Reason> {
    let Value::Object(mut members) = parse(body, &Limits::tool_call())? else {
        return Err(Reason::InvalidRequest);
    };
    let Some(Value::String(store)) = members.remove("store") else {
        return Err(Reason::InvalidParams);
    };
    let store: ServerId = store.parse().map_err(|_| Reason::InvalidParams)?;
    let approval = request::approval(members.remove("_meta"))?;
    let server = SERVER.parse().map_err(|_| Reason::Internal)?;
    let tool = ToolQuery::On(server, format!("{store}/{}", direct.as_str()));
    Ok((tool, members, approval))
}

fn keys_of(arguments: &Map<String, Value>) -> Vec<Value> {
    let items = arguments.get("items").and_then(Value::as_array);
    let items = items.into_iter().flatten();
    items
        .map(|item| item.get("key").cloned().unwrap_or_default())
        .collect()
}

/// What the operation promises, with the decision.
fn worded(direct: Direct, mut result: Map<String, Value>, keys: &[Value]) -> Value {
    let mut meta = result.remove("_meta").unwrap_or_default();
    let decision = meta
        .get_mut("dev.proctor/decision")
        .map(Value::take)
        .unwrap_or_default();
    let mut answer = match direct {
        Direct::Write | Direct::Lineage => result
            .remove("structuredContent")
            .unwrap_or_else(|| json!({})),
        Direct::Verify => {
            let memory = meta.get("dev.proctor/memory");
            let labels = memory.and_then(|memory| memory.get("labels"));
            let standing = |at: usize| {
                let pointer = format!("/items/{at}/content");
                let labels = labels.and_then(Value::as_array).into_iter().flatten();
                let mut labels = labels.filter(|label| label.get("at") == Some(&json!(pointer)));
                labels
                    .next()
                    .and_then(|label| label.get("standing").cloned())
            };
            let items: Vec<Value> = keys
                .iter()
                .enumerate()
                .map(|(at, key)| json!({ "key": key, "standing": standing(at) }))
                .collect();
            json!({ "items": items, "summary": memory.and_then(|memory| memory.get("summary")) })
        }
    };
    if let Value::Object(members) = &mut answer {
        members.insert("decision".into(), decision);
    }
    answer
}

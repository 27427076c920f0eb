//! `POST /v1/tool-call`: `{tool, arguments, _meta?}` for clients without MCP.

use super::{error, request};
use crate::enforce::{Asked, Gateway, Outcome};
use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use proctor_engine::ToolQuery;
use proctor_engine::json::{Limits, parse};
use proctor_model::{ApprovalId, Reason};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// One call. A client that goes away cancels it: nobody else could take the answer.
pub(super) async fn call(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let trace_id = request::trace_id(&parts.headers);
    let caller = match gateway
        .authenticate(request::presented(&parts), trace_id.clone())
        .await
    {
        Ok(caller) => caller,
        Err(refused) => return error::plain(&refused),
    };
    let asked = match request::body(&parts.headers, body)
        .await
        .and_then(|body| read(&body))
    {
        Ok((tool, arguments, approval)) => Asked {
            approval,
            ..Asked::plain(&caller, tool, arguments, trace_id)
        },
        Err(reason) => return error::plain(&gateway.refuse(&caller, reason, trace_id).await),
    };
    match gateway.call(caller, asked).await {
        // Nobody can be asked here, so that nothing is: a question is a result like any other.
        Outcome::Result(result) | Outcome::Question(result) => {
            Json(json!({ "result": result })).into_response()
        }
        Outcome::Error(error) => {
            let body = json!({ "error": error });
            (axum::http::StatusCode::BAD_GATEWAY, Json(body)).into_response()
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

fn read(body: &[u8]) -> Result<Read, Reason> {
    let Value::Object(mut members) = parse(body, &Limits::tool_call())? else {
        return Err(Reason::InvalidRequest);
    };
    let Some(Value::String(tool)) = members.remove("tool") else {
        return Err(Reason::InvalidParams);
    };
    let arguments = match members.remove("arguments") {
        Some(Value::Object(arguments)) => arguments,
        None => Map::new(),
        Some(_) => return Err(Reason::InvalidParams),
    };
    let approval = request::approval(members.remove("_meta"))?;
    if !members.is_empty() {
        return Err(Reason::InvalidParams);
    }
    Ok((ToolQuery::Any(tool), arguments, approval))
}

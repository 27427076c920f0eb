//! MCP 2026-07-28: stateless; every request says all about itself.

use super::{Context, META_VERSION, Message, VERSIONS, headers, server_info};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use proctor_model::Reason;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

/// How long a client may keep a list, in milliseconds: revocation and policy may change it at any time.
const LIST_TTL_MS: u64 = 0;

/// Whether a message is of this revision: it says so in its body, or in its headers.
pub(super) fn is_meant(headers: &HeaderMap, message: &Message) -> bool {
    message.method == "server/discover"
        || said(&message.params).is_some()
        || headers.contains_key("mcp-method")
        || headers::version(headers) == Some(VERSIONS[0])
}

fn said(params: &Map<String, Value>) -> Option<&Value> {
    params.get("_meta").and_then(|meta| meta.get(META_VERSION))
}

/// Body and headers say the same.
fn agree(context: &Context<'_>, message: &Message) -> Result<(), Reason> {
    let version = said(&message.params).ok_or(Reason::InvalidParams)?;
    let version = version.as_str().ok_or(Reason::InvalidParams)?;
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
    let name = message.params.get("name").and_then(Value::as_str);
    let named = headers::text(context.headers, "mcp-name");
    let needed = message.method == "tools/call";
    if (needed || context.headers.contains_key("mcp-name")) && named.as_deref() != name {
        return Err(Reason::HeaderMismatch);
    }
    Ok(())
}

/// The tool's own headers agree with its arguments. A tool that is not there is the decision's to refuse.
fn params_agree(context: &Context<'_>, params: &Map<String, Value>) -> bool {
    let Some(name) = params.get("name").and_then(Value::as_str) else {
        return true;
    };
    let Some(loaded) = context.caller.tenant.loaded() else {
        return true;
    };
    match loaded
        .tenant
        .catalogue()
        .find(&context.scope.query(name.to_owned()))
    {
        Ok(tool) => headers::params_agree(
            context.headers,
            &tool.entry().definition.input_schema,
            params.get("arguments"),
        ),
        Err(_) => true,
    }
}

pub(super) async fn serve(context: &Context<'_>, message: Message) -> Response {
    let id = message.id.clone().unwrap_or_default();
    if let Err(reason) = agree(context, &message) {
        return context.refuse(&id, reason).await;
    }
    let Message {
        id: Some(id),
        method,
        params,
    } = message
    else {
        return StatusCode::ACCEPTED.into_response();
    };
    match method.as_str() {
        "server/discover" => match context.admit(&id).await {
            Ok(()) => context.result(&id, discovered()),
            Err(response) => response,
        },
        "tools/list" if params.contains_key("cursor") => {
            context.refuse(&id, Reason::InvalidParams).await
        }
        "tools/list" => match context.tools(&id).await {
            Ok(tools) => {
                let list = json!({
                    "resultType": "complete", "tools": tools, "ttlMs": LIST_TTL_MS, "cacheScope": "private",
                });
                context.result(&id, list)
            }
            Err(response) => response,
        },
        "tools/call" if !params_agree(context, &params) => {
            context.refuse(&id, Reason::HeaderMismatch).await
        }
        "tools/call" => {
            let finish = |mut result: Map<String, Value>| {
                result
                    .entry("resultType")
                    .or_insert_with(|| "complete".into());
                Value::Object(result)
            };
            // In this revision a client that closes the stream cancels.
            context
                .call(&id, params, CancellationToken::new(), true, finish)
                .await
        }
        _ => context.refuse(&id, Reason::UnknownMethod).await,
    }
}

fn discovered() -> Value {
    json!({
        "resultType": "complete",
        "supportedVersions": VERSIONS,
        "capabilities": { "tools": {} },
        "serverInfo": server_info(),
        "ttlMs": LIST_TTL_MS,
        "cacheScope": "private",
    })
}

//! How a refusal is worded, in each dialect. The words are the same everywhere: `control`, `reason`, `message`.

use super::request;
use super::resource::Challenge;
use crate::enforce::Refused;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use proctor_model::config::Denials;
use proctor_model::{Control, Reason};
use serde_json::{Value, json};

/// Which protocol is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dialect {
    /// HTTP with JSON.
    Plain,
    /// MCP up to 2025-11-25.
    Legacy,
    /// MCP 2026-07-28.
    Modern,
}

/// `data` of an error.
pub(super) fn data(refused: &Refused) -> Value {
    let mut data = json!({
        "decision_id": refused.decision_id.to_string(),
        "control": refused.reason.control().as_str(),
        "reason": refused.reason.code(),
        "message": refused.message,
    });
    if let (Some(approval), Some(members)) = (&refused.approval, data.as_object_mut()) {
        members.insert("approval_id".into(), json!(approval.id));
        members.insert("expires_at".into(), json!(approval.expires_at));
        if waits(refused) {
            let meta = json!({ "_meta": { request::APPROVAL: approval.id } });
            members.insert("retry_with".into(), meta);
        }
    }
    if let (Some(after), Some(members)) = (refused.retry_after, data.as_object_mut()) {
        let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        members.insert("retry_after_ms".into(), after.max(1).into());
    }
    data
}

/// Whether the call may come again, once a person has approved it.
fn waits(refused: &Refused) -> bool {
    matches!(
        refused.reason,
        Reason::ApprovalRequired | Reason::ApprovalPending
    )
}

fn error(dialect: Dialect, refused: &Refused) -> Value {
    let code = match dialect {
        Dialect::Plain | Dialect::Legacy => refused.reason.rpc_code(),
        Dialect::Modern => refused.reason.rpc_code_2026(),
    };
    let mut data = data(refused);
    if refused.reason == Reason::UnsupportedVersion
        && let Some(members) = data.as_object_mut()
    {
        members.insert("supported".into(), json!(super::mcp::VERSIONS));
    }
    json!({ "code": code, "message": refused.message, "data": data })
}

fn exact(reason: Reason) -> StatusCode {
    StatusCode::from_u16(reason.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn status(dialect: Dialect, reason: Reason) -> StatusCode {
    let exact = exact(reason);
    // Whatever is wrong with a token: a client gets itself another one where HTTP says so (RFC 6750, section 3.1).
    let token = reason.http_status() == StatusCode::UNAUTHORIZED.as_u16();
    let http = matches!(
        reason,
        Reason::InvalidTransport | Reason::TooLarge | Reason::UnknownSession
    );
    match dialect {
        Dialect::Plain => exact,
        Dialect::Legacy if token || http || reason == Reason::UnsupportedVersion => exact,
        // MCP's authorization: who shows too little for a tool may ask for more (RFC 6750, section 3.1).
        Dialect::Modern if token || reason == Reason::ToolNotInToken => exact,
        Dialect::Modern if reason.control() == Control::Protocol => exact,
        // An MCP client reads a JSON-RPC error only where HTTP says that all is well.
        Dialect::Legacy | Dialect::Modern => StatusCode::OK,
    }
}

fn respond(status: StatusCode, body: Value) -> Response {
    (status, Json(body)).into_response()
}

/// Notes what would have to be shown instead, for the header that says so (`resource::challenge`).
pub(super) fn challenged(mut response: Response, refused: &Refused) -> Response {
    if let Some(challenge) = Challenge::of(refused) {
        response.extensions_mut().insert(challenge);
    }
    response
}

/// A refusal outside MCP: `{"error": {code, message, data}}`.
pub(super) fn plain(refused: &Refused) -> Response {
    let status = status(Dialect::Plain, refused.reason);
    let body = json!({ "error": error(Dialect::Plain, refused) });
    challenged(respond(status, body), refused)
}

/// A refusal of an MCP message.
pub(super) fn rpc(dialect: Dialect, id: &Value, refused: &Refused) -> Response {
    let status = match id {
        // No request is answered, so that no client waits for this: it hears of it from HTTP, or not at all.
        Value::Null => exact(refused.reason),
        _ => status(dialect, refused.reason),
    };
    challenged(respond(status, rpc_body(dialect, id, refused)), refused)
}

/// A refusal of who shows an identity provider's access token. Whatever is wrong with it, its client is to get another one; where
/// nothing is wrong with it, to wait.
pub(super) fn not_logged_in(dialect: Dialect, refused: &Refused) -> Response {
    let status = match refused.reason.control() {
        Control::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::UNAUTHORIZED,
    };
    let body = rpc_body(dialect, &Value::Null, refused);
    challenged(respond(status, body), refused)
}

/// A refusal that sends its client to ask for more, in either family of revisions.
pub(super) fn step_up(
    dialect: Dialect,
    id: &Value,
    refused: &Refused,
    challenge: Challenge,
) -> Response {
    let mut response = respond(StatusCode::FORBIDDEN, rpc_body(dialect, id, refused));
    response.extensions_mut().insert(challenge);
    response
}

/// The same as a message, for a stream that is open already.
pub(super) fn rpc_body(dialect: Dialect, id: &Value, refused: &Refused) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": error(dialect, refused) })
}

/// A refusal with what its revision wants in `data` beside: the client's own words, given back to it alone.
pub(super) fn rpc_with(
    dialect: Dialect,
    id: &Value,
    refused: &Refused,
    more: (&str, Value),
) -> Response {
    let mut body = rpc_body(dialect, id, refused);
    if let Some(data) = body
        .pointer_mut("/error/data")
        .and_then(Value::as_object_mut)
    {
        data.insert(more.0.to_owned(), more.1);
    }
    respond(status(dialect, refused.reason), body)
}

/// A tool server's error in HTTP: what the specification itself gives a status.
pub(super) fn upstream_status(
    dialect: Dialect,
    error: &serde_json::Map<String, Value>,
) -> StatusCode {
    match (dialect, error.get("code").and_then(Value::as_i64)) {
        (Dialect::Modern, Some(-32021)) => StatusCode::BAD_REQUEST,
        (Dialect::Modern, Some(-32601)) => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    }
}

/// A refused tool call as a tool result, where the tenant wants that and a model can make something of it.
pub(super) fn as_tool_result(refused: &Refused) -> Option<Value> {
    let readable = !matches!(
        refused.reason.control(),
        Control::Protocol | Control::Tenant
    ) && refused.reason.http_status() != 401;
    let data = data(refused);
    let effect = match waits(refused) {
        true => "escalate",
        false => "deny",
    };
    (refused.denials == Denials::ToolResult && readable).then(|| {
        json!({
            "content": [{ "type": "text", "text": refused.message }],
            "structuredContent": data,
            "isError": true,
            "_meta": { "dev.proctor/decision": { "decision_id": refused.decision_id.to_string(), "effect": effect } },
        })
    })
}

/// An error of HTTP itself, before anything was asked.
pub(super) fn plain_status(status: StatusCode, sentence: &str) -> Response {
    let reason = Reason::InvalidTransport;
    let data = json!({ "control": reason.control().as_str(), "reason": reason.code(), "message": sentence });
    let error = json!({ "code": reason.rpc_code(), "message": sentence, "data": data });
    // A JSON-RPC body, so that an MCP client of two families does not take this for an old server.
    respond(
        status,
        json!({ "jsonrpc": "2.0", "id": null, "error": error }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_error_has_the_status_that_its_revision_gives_it() {
        for (code, modern) in [(-32601, 404), (-32021, 400), (-32000, 200)] {
            let error = serde_json::Map::from_iter([("code".to_owned(), json!(code))]);
            let status = |dialect| upstream_status(dialect, &error).as_u16();
            assert_eq!(status(Dialect::Modern), modern, "{code}");
            assert_eq!(status(Dialect::Legacy), 200, "{code}");
        }
    }

    fn refused(reason: Reason) -> Refused {
        Refused {
            decision_id: uuid::Uuid::nil().into(),
            reason,
            message: reason.message().to_owned(),
            denials: Denials::default(),
            approval: None,
            retry_after: None,
            lacks: Some("worker/danger".to_owned()),
        }
    }

    #[test]
    fn who_shows_too_little_is_told_so_where_clients_look_for_it() {
        let lacking = refused(Reason::ToolNotInToken);
        let id = Value::from(1);
        for (dialect, status) in [
            (Dialect::Plain, StatusCode::FORBIDDEN),
            (Dialect::Modern, StatusCode::FORBIDDEN),
            // Clients of these revisions read the body of a 200 alone; one that logged in reads the header.
            (Dialect::Legacy, StatusCode::OK),
        ] {
            assert_eq!(rpc(dialect, &id, &lacking).status(), status, "{dialect:?}");
            let asked = step_up(dialect, &id, &lacking, Challenge::Scope(None));
            assert_eq!(asked.status(), StatusCode::FORBIDDEN, "{dialect:?}");
            assert!(asked.extensions().get::<Challenge>().is_some());
        }
        let denied = rpc(Dialect::Modern, &id, &refused(Reason::PolicyDenied));
        assert_eq!(denied.status(), StatusCode::OK, "nothing to ask for");
    }

    #[test]
    fn what_answers_no_request_is_an_error_of_http() {
        for dialect in [Dialect::Legacy, Dialect::Modern] {
            for (reason, status) in [
                (Reason::DuplicateKey, StatusCode::BAD_REQUEST),
                (Reason::KilledAgent, StatusCode::FORBIDDEN),
                (Reason::StaleConfig, StatusCode::SERVICE_UNAVAILABLE),
                (Reason::TokenExpired, StatusCode::UNAUTHORIZED),
            ] {
                let answer = rpc(dialect, &Value::Null, &refused(reason));
                assert_eq!(answer.status(), status, "{dialect:?} {reason:?}");
            }
        }
        let answer = rpc(
            Dialect::Legacy,
            &Value::from(7),
            &refused(Reason::DuplicateKey),
        );
        assert_eq!(
            answer.status(),
            StatusCode::OK,
            "a client reads it by its id"
        );
    }

    #[test]
    fn whatever_is_wrong_with_a_login_is_401_and_what_is_not_there_503() {
        for dialect in [Dialect::Legacy, Dialect::Modern] {
            for (reason, status) in [
                (Reason::LoginNotAdmitted, StatusCode::UNAUTHORIZED),
                (Reason::LoginIssuerUnknown, StatusCode::UNAUTHORIZED),
                (Reason::AgentDisabled, StatusCode::UNAUTHORIZED),
                (
                    Reason::LoginKeysUnavailable,
                    StatusCode::SERVICE_UNAVAILABLE,
                ),
                (Reason::StaleConfig, StatusCode::SERVICE_UNAVAILABLE),
                (Reason::Overloaded, StatusCode::SERVICE_UNAVAILABLE),
            ] {
                let answer = not_logged_in(dialect, &refused(reason));
                assert_eq!(answer.status(), status, "{dialect:?} {reason:?}");
            }
        }
    }
}

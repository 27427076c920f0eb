//! What a tool server answered: whether it may be passed on, how it is recorded, and how it is worded.

use crate::upstream::{Answer, Failure, Reply};
use crate::world::Loaded;
use proctor_engine::{Facts, Permit, response};
use proctor_model::audit::{AuditEvent, EventResult, EventUpstream, Kind};
use serde_json::{Map, Value, json};

/// An answer that may be passed on.
pub(super) struct Checked {
    /// The word for the upstream's part of the outcome event.
    pub(super) status: &'static str,
    pub(super) rows: u64,
    pub(super) answer: Answer,
}

/// Holds an answer against what was permitted.
pub(super) fn check(permit: &Permit, loaded: &Loaded, answer: Answer) -> Result<Checked, Failure> {
    let status = status(permit, loaded, &answer)?;
    let rows = match (&answer.reply, loaded.tenant.catalogue().get(permit.tool())) {
        (Reply::Result(result), Some(tool)) => response::rows(tool, result),
        _ => 0,
    };
    if permit.limits().rows.is_some_and(|most| rows > most) {
        return Err(Failure::TooManyRows);
    }
    Ok(Checked {
        status,
        rows,
        answer,
    })
}

fn status(permit: &Permit, loaded: &Loaded, answer: &Answer) -> Result<&'static str, Failure> {
    let Reply::Result(result) = &answer.reply else {
        return Ok("rpc_error");
    };
    // Questions back to the user and tasks are answers that nothing here controls yet: they are not passed on.
    if result
        .get("resultType")
        .is_some_and(|kind| kind != "complete")
    {
        return Err(Failure::Invalid);
    }
    if result
        .get("content")
        .is_some_and(|content| !content.is_array())
    {
        return Err(Failure::Invalid);
    }
    if result.get("isError") == Some(&Value::Bool(true)) {
        return Ok("tool_error");
    }
    if let Some(schema) = loaded.outputs.get(permit.tool())
        && !result
            .get("structuredContent")
            .is_some_and(|content| schema.fits(content))
    {
        return Err(Failure::Invalid);
    }
    Ok("ok")
}

pub(super) fn describe(
    event: &mut AuditEvent,
    checked: &Result<Checked, Failure>,
    latency_us: u64,
) {
    let status = match checked {
        Ok(Checked {
            status,
            rows,
            answer,
        }) => {
            event.kind = Kind::Completed;
            event.result = Some(EventResult {
                digest: None,
                bytes: answer.bytes,
                rows: (*rows > 0).then_some(*rows),
            });
            status
        }
        Err(failure) => {
            event.kind = match failure {
                Failure::Cancelled => Kind::Cancelled,
                Failure::Invalid | Failure::TooLarge | Failure::TooManyRows => Kind::Withheld,
                Failure::Unreachable | Failure::Overloaded => Kind::Failed,
                // It was sent: whether the tool did it is not known.
                Failure::Broken | Failure::Timeout => Kind::Unknown,
            };
            if *failure != Failure::Cancelled {
                event.reason = Some(failure.reason());
                event.control = Some(failure.reason().control());
            }
            failure.as_str()
        }
    };
    event.upstream = Some(EventUpstream {
        status: status.to_owned(),
        latency_us,
    });
}

/// A tool server's JSON-RPC error, so that it can't be taken for one of ours: not our codes, its data under its own key.
pub(super) fn upstream_error(mut error: Map<String, Value>, facts: &Facts) -> Map<String, Value> {
    let code = error.get("code").and_then(Value::as_i64);
    let code =
        code.filter(|code| !(-32019..=-32010).contains(code) && !(-31019..=-31010).contains(code));
    let message = match error.remove("message") {
        Some(Value::String(message)) => message,
        _ => "the tool server answered with an error".to_owned(),
    };
    let mut data = Map::new();
    data.insert("decision_id".into(), facts.decision_id.to_string().into());
    data.extend(
        error
            .remove("data")
            .map(|theirs| ("upstream".to_owned(), theirs)),
    );
    let mut ours = Map::new();
    ours.insert("code".into(), code.unwrap_or(-32603).into());
    ours.insert("message".into(), message.into());
    ours.insert("data".into(), Value::Object(data));
    ours
}

/// The result with the decision in its `_meta`.
pub(super) fn noted(mut result: Map<String, Value>, facts: &Facts) -> Map<String, Value> {
    let note = json!({ "decision_id": facts.decision_id.to_string(), "effect": "allow" });
    match result.get_mut("_meta") {
        Some(Value::Object(meta)) => drop(meta.insert("dev.proctor/decision".into(), note)),
        _ => drop(result.insert("_meta".into(), json!({ "dev.proctor/decision": note }))),
    }
    result
}

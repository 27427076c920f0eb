//! Requests that go on to a tool server: what they ask for, in the words of a decision.

use super::Scope;
use crate::frontend::request;
use crate::upstream::talk::Inputs;
use crate::upstream::task::Wish;
use proctor_engine::{Purpose, ToolQuery};
use proctor_model::{ApprovalId, EntryKind, Reason};
use serde_json::{Map, Value};

/// A request, read.
pub(super) struct Request {
    pub(super) tool: ToolQuery,
    pub(super) arguments: Map<String, Value>,
    pub(super) purpose: Purpose,
    pub(super) meta: Map<String, Value>,
    /// The approval that it names.
    pub(super) approval: Option<ApprovalId>,
    /// Whether the call may become a task.
    pub(super) tasks: Wish,
    /// Replies to what an earlier answer asked (MCP 2026-07-28).
    pub(super) inputs: Option<Inputs>,
    /// The resource that is asked for, to be named in the refusal.
    pub(super) uri: Option<String>,
}

/// Whether a method is one of these.
pub(super) fn is_one(method: &str) -> bool {
    matches!(
        method,
        "tools/call" | "resources/read" | "prompts/get" | "completion/complete"
    )
}

/// Reads one. What is not known is refused: a task, say, is never ignored; those of 2025-11-25 are read before.
pub(super) fn read(
    method: &str,
    scope: &Scope,
    mut params: Map<String, Value>,
) -> Result<Request, Reason> {
    let meta = object(params.remove("_meta"))?.unwrap_or_default();
    let approval = request::approval(Some(Value::Object(meta.clone())))?;
    let inputs = inputs(&mut params)?;
    let mut uri = None;
    let (tool, arguments, purpose) = match method {
        "tools/call" => {
            let name = text(&mut params, "name")?;
            // Resources and prompts have methods of their own.
            if name.contains(':') {
                return Err(Reason::UnknownTool);
            }
            let arguments = object(params.remove("arguments"))?.unwrap_or_default();
            (scope.query(name), arguments, Purpose::Use)
        }
        "resources/read" => {
            let named = text(&mut params, "uri")?;
            uri = Some(named.clone());
            let tool = of_kind(scope, EntryKind::Resource, &named);
            (
                tool,
                Map::from_iter([("uri".to_owned(), named.into())]),
                Purpose::Use,
            )
        }
        "prompts/get" => {
            let name = text(&mut params, "name")?;
            let arguments = object(params.remove("arguments"))?.unwrap_or_default();
            (
                of_kind(scope, EntryKind::Prompt, &name),
                arguments,
                Purpose::Use,
            )
        }
        // Its result is never a question, so that there is nothing to reply to.
        _ if inputs.is_some() => return Err(Reason::InvalidParams),
        _ => complete(scope, &mut params)?,
    };
    if !params.is_empty() {
        return Err(Reason::InvalidParams);
    }
    Ok(Request {
        tool,
        arguments,
        purpose,
        meta,
        approval,
        tasks: Wish::Never,
        inputs,
        uri,
    })
}

/// `{ref, argument: {name, value}, context?}`
fn complete(
    scope: &Scope,
    params: &mut Map<String, Value>,
) -> Result<(ToolQuery, Map<String, Value>, Purpose), Reason> {
    let mut of = object(params.remove("ref"))?.ok_or(Reason::InvalidParams)?;
    let tool = match text(&mut of, "type")?.as_str() {
        "ref/prompt" => of_kind(scope, EntryKind::Prompt, &text(&mut of, "name")?),
        "ref/resource" => of_kind(scope, EntryKind::Resource, &text(&mut of, "uri")?),
        _ => return Err(Reason::InvalidParams),
    };
    let argument = object(params.remove("argument"))?.ok_or(Reason::InvalidParams)?;
    let mut arguments = Map::from_iter([("argument".to_owned(), Value::Object(argument))]);
    if let Some(context) = object(params.remove("context"))? {
        arguments.insert("context".into(), context.into());
    }
    Ok((tool, arguments, Purpose::Complete))
}

pub(super) fn of_kind(scope: &Scope, kind: EntryKind, name: &str) -> ToolQuery {
    scope.query(format!("{}{name}", kind.prefix()))
}

fn text(params: &mut Map<String, Value>, name: &str) -> Result<String, Reason> {
    match params.remove(name) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(Reason::InvalidParams),
    }
}

fn object(value: Option<Value>) -> Result<Option<Map<String, Value>>, Reason> {
    match value {
        None => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(Reason::InvalidParams),
    }
}

fn inputs(params: &mut Map<String, Value>) -> Result<Option<Inputs>, Reason> {
    let responses = object(params.remove("inputResponses"))?;
    // Each reply is an object, whatever it is a reply to.
    if responses
        .iter()
        .flatten()
        .any(|(_, reply)| !reply.is_object())
    {
        return Err(Reason::InvalidParams);
    }
    let state = match params.remove("requestState") {
        None => None,
        Some(Value::String(state)) => Some(state),
        Some(_) => return Err(Reason::InvalidParams),
    };
    let given = responses.is_some() || state.is_some();
    Ok(given.then_some(Inputs { responses, state }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ask(method: &str, params: Value) -> Result<ToolQuery, Reason> {
        read(method, &Scope::All, params.as_object().unwrap().clone()).map(|request| request.tool)
    }

    #[test]
    fn what_is_asked_for_is_of_the_methods_own_kind() {
        let any = |name: &str| ToolQuery::Any(name.to_owned());
        assert_eq!(ask("tools/call", json!({ "name": "a" })).unwrap(), any("a"));
        assert_eq!(
            ask("resources/read", json!({ "uri": "a:b" })).unwrap(),
            any("resource:a:b")
        );
        assert_eq!(
            ask("prompts/get", json!({ "name": "s__p" })).unwrap(),
            any("prompt:s__p")
        );
        for name in ["resource:a:b", "prompt:p", "s/prompt:p"] {
            assert_eq!(
                ask("tools/call", json!({ "name": name })).unwrap_err(),
                Reason::UnknownTool
            );
        }
    }

    #[test]
    fn nothing_is_ignored() {
        for (method, params) in [
            ("tools/call", json!({ "name": "a", "task": {} })),
            ("tools/call", json!({ "name": "a", "inputResponses": null })),
            (
                "tools/call",
                json!({ "name": "a", "inputResponses": { "x": 5 } }),
            ),
            ("tools/call", json!({ "name": "a", "requestState": 5 })),
            ("resources/read", json!({ "uri": "a:b", "arguments": {} })),
            ("prompts/get", json!({})),
            (
                "completion/complete",
                json!({ "ref": { "type": "ref/tool", "name": "a" }, "argument": {} }),
            ),
            (
                "completion/complete",
                json!({ "ref": { "type": "ref/prompt", "name": "a" }, "argument": {}, "requestState": "x" }),
            ),
        ] {
            assert_eq!(
                ask(method, params.clone()).unwrap_err(),
                Reason::InvalidParams,
                "{params}"
            );
        }
    }
}

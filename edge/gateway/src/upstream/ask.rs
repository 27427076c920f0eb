//! What a permitted request is in the words of MCP: written anew from what was decided.

use proctor_engine::Purpose;
use proctor_model::{EntryKind, ToolName};
use serde_json::{Map, Value, json};

pub(super) fn method(purpose: Purpose, kind: EntryKind) -> &'static str {
    match (purpose, kind) {
        (Purpose::Complete, _) => "completion/complete",
        (_, EntryKind::Tool) => "tools/call",
        (_, EntryKind::Resource) => "resources/read",
        (_, EntryKind::Prompt) => "prompts/get",
    }
}

pub(super) fn params(
    purpose: Purpose,
    tool: &ToolName,
    arguments: &Map<String, Value>,
) -> Map<String, Value> {
    let own = tool.own();
    let params = match (purpose, tool.kind()) {
        (Purpose::Complete, EntryKind::Resource) => {
            completed(json!({ "type": "ref/resource", "uri": own }), arguments)
        }
        (Purpose::Complete, _) => {
            completed(json!({ "type": "ref/prompt", "name": own }), arguments)
        }
        (_, EntryKind::Resource) => json!({ "uri": uri(tool, arguments) }),
        (_, EntryKind::Tool | EntryKind::Prompt) => json!({ "name": own, "arguments": arguments }),
    };
    match params {
        Value::Object(params) => params,
        _ => Map::new(),
    }
}

/// What is asked of a task: by its server's own name for it, with what the client answers.
pub(super) fn of_task(id: &str, replies: Option<&Map<String, Value>>) -> Map<String, Value> {
    let mut params = Map::from_iter([("taskId".to_owned(), id.into())]);
    let replies = replies.cloned();
    params.extend(replies.map(|replies| ("inputResponses".to_owned(), replies.into())));
    params
}

/// What `Mcp-Name` says.
pub(super) fn name<'a>(
    purpose: Purpose,
    tool: &'a ToolName,
    arguments: &'a Map<String, Value>,
) -> Option<&'a str> {
    match (purpose, tool.kind()) {
        (Purpose::Complete, _) => None,
        (_, EntryKind::Resource) => Some(uri(tool, arguments)),
        (_, EntryKind::Tool | EntryKind::Prompt) => Some(tool.own()),
    }
}

/// The resource that was decided on: of a template, the one that the arguments name.
fn uri<'a>(tool: &'a ToolName, arguments: &'a Map<String, Value>) -> &'a str {
    arguments
        .get("uri")
        .and_then(Value::as_str)
        .unwrap_or(tool.own())
}

fn completed(of: Value, arguments: &Map<String, Value>) -> Value {
    let mut params = arguments.clone();
    params.insert("ref".into(), of);
    Value::Object(params)
}

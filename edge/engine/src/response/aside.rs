//! What a server puts beside MCP's own members: in `_meta`, or in members that MCP does not have. It reaches the agent as all else
//! does, so what is to be taken out is taken out of it, too.

use super::documents::{Place, is_document};
use crate::limits::JSON_DEPTH_MAX;
use crate::respond::Channel;
use serde_json::{Map, Value};

/// Members of any revision of MCP with one value each.
const VALUES: &[&str] = &[
    "blob",
    "code",
    "data",
    "description",
    "elicitationId",
    "id",
    "includeContext",
    "isError",
    "lastModified",
    "level",
    "logger",
    "maxTokens",
    "message",
    "method",
    "mimeType",
    "mode",
    "name",
    "nextCursor",
    "priority",
    "progress",
    "progressToken",
    "reason",
    "requestId",
    "requestState",
    "resultType",
    "role",
    "size",
    "statusMessage",
    "systemPrompt",
    "temperature",
    "text",
    "title",
    "toolUseId",
    "total",
    "type",
    "uri",
    "url",
];
/// Members of it that have a form of their own, which a redaction would break.
const FORMS: &[&str] = &[
    "audience",
    "completion",
    "icons",
    "modelPreferences",
    "requestedSchema",
    "stopSequences",
    "toolChoice",
    "tools",
];
/// Members of it that have more of its members.
const AROUND: &[&str] = &["annotations", "content", "contents", "messages", "resource"];

/// Shows each object and list that stands beside MCP's members to `edit`, a single value as the one member of an object.
pub(super) fn each(
    channel: Channel,
    body: &mut Map<String, Value>,
    edit: &mut dyn FnMut(&mut Value, Place) -> bool,
) {
    for (name, value) in body {
        if channel == Channel::Question && name == "inputRequests" {
            questions(value, edit);
        } else if !is_document(channel, name) {
            member(name, value, 0, edit);
        }
    }
}

/// Names here are the server's.
fn questions(questions: &mut Value, edit: &mut dyn FnMut(&mut Value, Place) -> bool) {
    let questions = questions.as_object_mut().into_iter().flatten();
    for (_, question) in questions {
        if let Some(params) = question.get_mut("params") {
            around(params, 0, edit);
        }
    }
}

/// A value that has MCP's members, or several of them.
fn around(value: &mut Value, depth: usize, edit: &mut dyn FnMut(&mut Value, Place) -> bool) {
    let deeper = depth.saturating_add(1);
    match value {
        // Of what is deeper nothing is vouched for by anybody.
        _ if depth > JSON_DEPTH_MAX => {}
        Value::Array(elements) => elements
            .iter_mut()
            .for_each(|element| around(element, deeper, edit)),
        Value::Object(members) => members
            .iter_mut()
            .for_each(|(name, value)| member(name, value, deeper, edit)),
        _ => {}
    }
}

fn member(
    name: &str,
    value: &mut Value,
    depth: usize,
    edit: &mut dyn FnMut(&mut Value, Place) -> bool,
) {
    let nested = value.is_object() || value.is_array();
    match name {
        "_meta" | "metadata" if nested => {
            edit(value, Place::Aside);
            let members = value.as_object_mut().into_iter().flatten();
            members.for_each(|(_, value)| whole(value, edit));
        }
        _ if AROUND.contains(&name) && nested => around(value, depth, edit),
        _ if FORMS.contains(&name) || (VALUES.contains(&name) && !nested) => {}
        _ => {
            alone(name, value, edit);
            whole(value, edit);
        }
    }
}

/// Pointers begin at a value that can have members.
fn whole(value: &mut Value, edit: &mut dyn FnMut(&mut Value, Place) -> bool) {
    if value.is_object() || value.is_array() {
        edit(value, Place::Aside);
    }
}

/// Pointers begin at its name.
fn alone(name: &str, value: &mut Value, edit: &mut dyn FnMut(&mut Value, Place) -> bool) {
    let mut single = Map::new();
    single.insert(name.to_owned(), std::mem::take(value));
    let mut single = Value::Object(single);
    edit(&mut single, Place::Aside);
    *value = match single {
        Value::Object(mut members) => members.remove(name).unwrap_or_default(),
        other => other,
    };
}

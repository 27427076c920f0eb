//! Rows in a result: what a ceiling on bulk reads counts.

use crate::catalogue::Tool;
use crate::limits::JSON_DEPTH_MAX;
use crate::respond::Channel;
use serde_json::{Map, Value};

/// Rows of what came back: the elements of the array that the catalogue's `rows` points to; else, and where nothing is
/// there, of the largest array of objects or arrays anywhere in it. `structuredContent` and JSON in text blocks and
/// embedded resources are looked at alike, as is all else; what has most counts.
#[must_use]
pub fn rows(tool: &Tool, channel: Channel, body: &Map<String, Value>) -> u64 {
    let pointer = tool.entry().rows.as_deref();
    let of = |(key, value): (&String, &Value)| match (channel, key.as_str(), value) {
        (Channel::Result, "structuredContent", value) => count(value, pointer),
        (Channel::Result, "content", Value::Array(blocks)) => {
            let blocks = blocks.iter().map(|block| of_block(block, pointer));
            blocks.max().unwrap_or(0)
        }
        (_, _, value) => largest(value, 0),
    };
    body.iter().map(of).max().unwrap_or(0)
}

/// A block of `content`: its text, or that of its resource, is where documents stand.
fn of_block(block: &Value, pointer: Option<&str>) -> u64 {
    let Value::Object(members) = block else {
        return largest(block, 0);
    };
    let of = |(key, value): (&String, &Value)| match (key.as_str(), value) {
        ("text", Value::String(text)) => of_text(text, pointer),
        ("resource", resource @ Value::Object(_)) => of_block(resource, pointer),
        (_, value) => largest(value, 0),
    };
    members.iter().map(of).max().unwrap_or(0)
}

fn of_text(text: &str, pointer: Option<&str>) -> u64 {
    if !text.trim_start().starts_with(['{', '[', '"']) {
        return 0;
    }
    serde_json::from_str(text).map_or(0, |value: Value| count(&value, pointer))
}

fn count(value: &Value, pointer: Option<&str>) -> u64 {
    let at = pointer.and_then(|pointer| value.pointer(pointer));
    match at {
        Some(Value::Array(rows)) => length(rows),
        _ => largest(value, 0),
    }
}

fn length(rows: &[Value]) -> u64 {
    u64::try_from(rows.len()).unwrap_or(u64::MAX)
}

fn largest(value: &Value, depth: usize) -> u64 {
    if depth > JSON_DEPTH_MAX {
        return u64::MAX; // Nothing below can be vouched for.
    }
    let deeper = depth.saturating_add(1);
    match value {
        Value::Array(elements) => {
            let records = elements.iter().any(|e| e.is_object() || e.is_array());
            let own = if records { length(elements) } else { 0 };
            let below = elements.iter().map(|element| largest(element, deeper));
            below.max().unwrap_or(0).max(own)
        }
        Value::Object(members) => {
            let below = members.values().map(|member| largest(member, deeper));
            below.max().unwrap_or(0)
        }
        // JSON once more, inside a text.
        Value::String(text) if text.trim_start().starts_with(['{', '[']) => {
            serde_json::from_str(text).map_or(0, |inner: Value| largest(&inner, deeper))
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_model::catalogue::{CatalogueEntry, ToolServer};
    use serde_json::json;

    fn counted(pointer: Option<&str>, result: &Value) -> u64 {
        let mut entry: CatalogueEntry = serde_json::from_value(json!({
            "definition": {"name": "list", "input_schema": {"type": "object"}},
            "rows": pointer,
        }))
        .unwrap();
        entry.definition_digest = Some(entry.definition.digest());
        let server: ToolServer = serde_json::from_value(json!({
            "id": "crm", "upstream": {"kind": "mcp-http", "url": "http://127.0.0.1:1/"}, "tools": [entry],
        }))
        .unwrap();
        let catalogue = crate::Catalogue::compile(&[server]);
        let tool = catalogue.get(&"crm/list".parse().unwrap()).unwrap();
        rows(tool, Channel::Result, result.as_object().unwrap())
    }

    #[test]
    fn rows_are_counted_on_every_channel() {
        let text = |text: &str| json!({"content": [{"type": "text", "text": text}]});
        let records = r#"{"page": 1, "items": [{"id": 1}, {"id": 2}, {"id": 3}]}"#;
        let quoted = serde_json::to_string(records).unwrap();
        for result in [
            json!({"structuredContent": {"items": [{"a": 1}, {"a": 2}, {"a": 3}]}}),
            json!({"structuredContent": {"data": {"matrix": [[1], [2], [3]]}}}),
            json!({"content": [{"type": "resource", "resource": {"uri": "a:b", "text": records}}]}),
            json!({"structuredContent": {"items": []}, "content": [{"type": "text", "text": records}]}),
            json!({"structuredContent": {"body": records}}),
            text(records),
            text(&quoted),
            json!({"content": [], "_meta": {"all": [[1], [2], [3]]}}),
            json!({"content": [{"type": "text", "text": "none", "annotations": {"all": [[1], [2], [3]]}}]}),
        ] {
            assert_eq!(counted(None, &result), 3, "{result}");
        }
        assert_eq!(counted(None, &text("three lines\nof\ntext")), 0);
        assert_eq!(
            counted(None, &json!({"structuredContent": {"tags": ["a", "b"]}})),
            0
        );
    }

    #[test]
    fn the_catalogue_says_which_array_counts() {
        let result = json!({"structuredContent": {"hits": ["a", "b"], "facets": [{"n": 1}, {"n": 2}, {"n": 3}]}});
        assert_eq!(counted(Some("/hits"), &result), 2);
        // Where nothing is there, the largest counts: leaving the array out must not be a way around.
        assert_eq!(counted(Some("/other"), &result), 3);
    }
}

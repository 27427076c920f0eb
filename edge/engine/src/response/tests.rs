//! What counts as rows, wherever it stands.

use super::*;
use crate::respond::Channel;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
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
    rows(
        tool,
        Channel::Result,
        &mut result.as_object().unwrap().clone(),
    )
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
        json!({"content": [{"type": "resource", "resource": {"uri": "a:b", "blob": BASE64_STANDARD.encode(records)}}]}),
        json!({"content": [{"type": "resource", "resource": {"uri": "a:b", "blob": BASE64_URL_SAFE_NO_PAD.encode(records)}}]}),
        json!({"content": [{"type": "resource", "resource": {"uri": "a:b", "blob": BASE64_STANDARD.encode(records).replacen('e', "e\r\n", 3)}}]}),
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

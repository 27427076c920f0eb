//! What counts as rows, wherever it stands.

use super::*;
use crate::respond::{Answer, Channel, Findings};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use proctor_model::catalogue::{CatalogueEntry, ToolServer};
use serde_json::json;

/// A tool whose rows are where the catalogue says.
fn with_tool<R>(pointer: Option<&str>, act: impl FnOnce(&Tool) -> R) -> R {
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
    act(catalogue.get(&"crm/list".parse().unwrap()).unwrap())
}

fn counted(pointer: Option<&str>, result: &Value) -> u64 {
    let mut body = result.as_object().unwrap().clone();
    with_tool(pointer, |tool| rows(tool, Channel::Result, &mut body))
}

fn trimmed(most: u64, result: &Value) -> Value {
    let mut body = result.as_object().unwrap().clone();
    with_tool(None, |tool| trim(tool, Channel::Result, &mut body, most));
    Value::Object(body)
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
        json!({"structuredContent": {"by_id": {"a1": {"n": 1}, "a2": {"n": 2, "x": 1}, "a3": {"n": 3}}}}),
        json!({"structuredContent": {"csv": "id,name\n1,a\n2,b\n3,c\n"}}),
        text(r#"{"a1": {"n": 1}, "a2": {"n": 2}, "a3": {"n": 3}}"#),
        text(
            "All of them:\n\n| id | name |\n|----|------|\n| 1 | a |\n| 2 | b |\n| 3 | c |\n\n(see [1])",
        ),
        text("id\tname\n1\ta\n2\tb\n3\tc"),
        json!({"content": [{"type": "resource", "resource": {"uri": "a:b", "blob": BASE64_STANDARD.encode("id,name\n1,a\n2,b\n3,c\n")}}]}),
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
fn a_name_that_is_there_twice_hides_no_rows() {
    for (text, expected) in [
        (r#"{"a":1,"a":2}"#, 1),
        (r#"Hi, see {"a":1,"a":2} and {"b":1}"#, 2),
        (r#"{"items":[{"a":1},{"a":2},{"a":3}],"items":[]}"#, 4),
        (
            r#"{"items":[{"a":1},{"a":2}],"items":[{"a":3},{"a":4}]}"#,
            4,
        ),
        (r#"{"r":{"n":1},"r":{"n":2},"r":{"n":3}}"#, 3),
        (r#"{"hits":["a","b"],"hits":["c","d"]}"#, 4),
        (r#"{"x":"[[1],[2],[3]]","x":""}"#, 3),
    ] {
        let result = json!({"content": [{"type": "text", "text": text}]});
        assert_eq!(counted(None, &result), expected, "{text}");
        assert_eq!(counted(Some("/hits"), &result), expected, "{text}");
        assert!(counted(None, &trimmed(1, &result)) <= 1, "{text}");
    }
}

#[test]
fn what_is_nested_is_one_record() {
    for content in [
        json!({"name": "A", "address": {"street": "x"}, "contact": {"street": "y"}}),
        json!({"address": {"street": "x"}}),
        json!({"address": {"street": "x"}, "contact": {"email": "y"}}),
        json!({"address": {"street": "x"}, "tags": ["a"]}),
        json!({}),
    ] {
        let result = json!({"structuredContent": content});
        assert_eq!(counted(None, &result), 0, "{result}");
        assert_eq!(trimmed(1, &result), result);
    }
}

#[test]
fn maps_and_tables_are_cut_as_lists_are() {
    let came = json!({
        "structuredContent": {"by_id": {"b": {"n": 1}, "a": {"n": 2}, "c": {"n": 3}}, "total": 3},
        "content": [
            {"type": "text", "text": "Found:\nid,name\n1,a\n2,b\n3,c\nand no more [1]"},
            {"type": "text", "text": "no table, no list"},
        ],
    });
    let passed = json!({
        "structuredContent": {"by_id": {"b": {"n": 1}, "a": {"n": 2}}, "total": 3},
        "content": [
            {"type": "text", "text": "Found:\nid,name\n1,a\n2,b\nand no more [1]"},
            {"type": "text", "text": "no table, no list"},
        ],
    });
    assert_eq!(trimmed(2, &came), passed);
    assert_eq!(counted(None, &passed), 2);
}

#[test]
fn the_catalogue_says_which_array_counts() {
    let result = json!({"structuredContent": {"hits": ["a", "b"], "facets": [{"n": 1}, {"n": 2}, {"n": 3}]}});
    assert_eq!(counted(Some("/hits"), &result), 2);
    // Where nothing is there, the largest counts: leaving the array out must not be a way around.
    assert_eq!(counted(Some("/other"), &result), 3);
}

/// One answer that nothing is known of is not more than a session may read in all its life.
#[test]
fn a_session_counts_no_more_rows_than_an_answer_has_room_for() {
    let answer = Answer {
        channel: Channel::Result,
        body: Map::new(),
        bytes: 1_000,
    };
    let mut findings = Findings::of(&answer);
    for (rows, expected) in [(0, 0), (7, 7), (u64::MAX, 500)] {
        findings.rows = rows;
        assert_eq!(findings.rows_at_most(), expected);
    }
}

//! What a value is compared with, beside its subschemas: with the entries of an `enum`, and its elements with each other.

use super::load::Load;
use serde_json::Value;

/// How many subschemas take as long as looking through a list once for elements that are there twice: each is written anew, and a
/// list that does not fit is copied into what is said of it.
const VISITS_OF_UNIQUE: u64 = 32;
/// How many times longer that takes where lists in lists are without end: the innermost is looked through by each.
const NESTED: u64 = 8;
/// Entries of an `enum` that a value is compared with in the time of one subschema.
const ENTRIES_OF_VISIT: usize = 16;
/// Longest text that is compared at once.
const SHORT_BYTES_MAX: usize = 256;

/// The time that a keyword takes beside what it does with texts, in subschemas.
pub(super) fn visits(keyword: &str, value: &Value) -> u64 {
    match (keyword, value) {
        ("uniqueItems", Value::Bool(true)) => VISITS_OF_UNIQUE,
        ("enum", Value::Array(entries)) if !are_texts(entries) => {
            count(entries.len().checked_div(ENTRIES_OF_VISIT))
        }
        _ => 0,
    }
}

/// What looking for elements that are there twice takes in addition where lists in lists are without end.
pub(super) fn nested(times: u64) -> Load {
    let states = times.saturating_mul(NESTED);
    Load {
        weight: states.saturating_mul(VISITS_OF_UNIQUE),
        states,
        ..Load::default()
    }
}

/// How many entries of an `enum` a text may be compared with from its beginning to its end. A list or an object may have some inside.
pub(super) fn long_entries(entries: &[Value]) -> u64 {
    let is_long = |entry: &&Value| match entry {
        Value::String(text) => text.len() > SHORT_BYTES_MAX,
        entry => entry.is_array() || entry.is_object(),
    };
    count(Some(entries.iter().filter(is_long).count()))
}

/// Whether a value is looked up among the entries, instead of being compared with each.
fn are_texts(entries: &[Value]) -> bool {
    entries
        .iter()
        .all(|entry| entry.is_string() || entry.is_null())
}

fn count(some: Option<usize>) -> u64 {
    let some = some.unwrap_or_default();
    u64::try_from(some).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use crate::schema::{Schema, SchemaError};
    use serde_json::{Value, json};

    const TOO_LARGE: Option<&str> = Some("/: too large for its schema");

    #[test]
    fn a_value_is_compared_with_so_many_entries_only() {
        let numbers = Value::from_iter(1..=20_000);
        let one = json!({ "properties": { "a": { "items": { "enum": numbers } } } });
        let one = Schema::compile(&one).unwrap();
        let told = |value: f64, count: usize| one.misfit(&json!({ "a": vec![value; count] }));
        assert_eq!(told(20_000.0, 2_000), None);
        assert_eq!(told(0.5, 2_000).as_deref(), Some("/a/0: enum"));
        assert_eq!(told(20_000.0, 131_000).as_deref(), TOO_LARGE);
        let reference = json!({ "$ref": "#/$defs/e" });
        let each = json!({ "allOf": vec![reference; 600] });
        let many = json!({ "$defs": { "e": { "enum": numbers } }, "items": each });
        let refused = Schema::compile(&many).err();
        assert_eq!(refused, Some(SchemaError::Reference));
    }

    #[test]
    fn usual_lists_of_values_hold_large_results() {
        let levels = Value::from_iter(0..400);
        let names = Value::from_iter((0..2_000).map(|i| format!("name {i}")));
        let record = json!({ "properties": {
            "level": { "enum": levels },
            "next": { "anyOf": [{ "enum": levels }, { "type": "null" }] },
            "name": { "enum": names },
            "kind": { "enum": ["a", 1, null, { "of": [] }] },
        } });
        let schema = Schema::compile(&json!({ "items": record })).unwrap();
        let value = json!({ "level": 399.0, "next": null, "name": "name 7", "kind": { "of": [] } });
        let records = json!(vec![value; 20_000]);
        assert!(schema.fits(&records));
    }

    #[test]
    fn a_long_text_is_compared_with_so_many_entries_only() {
        let text = |last: usize| format!("{}{last}", "a".repeat(1_000));
        let reference = json!({ "$ref": "#/$defs/e" });
        let each = json!({ "allOf": vec![reference; 300] });
        let objects = (0..100).map(|i| json!({ "a": i, "b": i }));
        for entries in [
            Value::from_iter((0..100).map(text)),
            Value::from_iter(objects),
        ] {
            let schema = json!({ "$defs": { "e": { "not": { "enum": entries } } }, "items": each });
            let schema = Schema::compile(&schema).unwrap();
            assert!(schema.fits(&json!([text(100)])));
            let long = json!(vec![text(100); 100]);
            assert_eq!(schema.misfit(&long).as_deref(), TOO_LARGE);
        }
    }

    #[test]
    fn a_long_text_is_measured_so_often_only() {
        for limit in [
            json!({ "minLength": 9 }),
            json!({ "maxLength": 90_000_000 }),
        ] {
            let one = Schema::compile(&limit).unwrap();
            let many = Schema::compile(&json!({ "allOf": vec![limit; 2_000] })).unwrap();
            let long = json!("a".repeat(600_000));
            assert_eq!(one.misfit(&long), None);
            assert_eq!(many.misfit(&json!("a".repeat(100_000))), None);
            assert_eq!(many.misfit(&long).as_deref(), TOO_LARGE);
        }
    }
}

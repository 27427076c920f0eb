//! What it takes to say where a value doesn't fit. The validator notes everything that is wrong with a value before the first of it
//! is told, each with its whole place; and of alternatives, of which none fits, each with a copy of what it is about. Whoever
//! writes a value could have that be gigabytes.

use serde_json::Value;

/// Bytes of one error, beside its place and what it is about.
const ERROR_BYTES: u64 = 400;
/// Bytes of one value, beside the texts in it.
const VALUE_BYTES: u64 = 100;
/// Bytes of a step to an element of a list.
const INDEX_BYTES: u64 = 8;

/// Keywords that say nothing of a value themselves.
const SILENT: [&str; 18] = [
    "$comment",
    "$defs",
    "$id",
    "$ref",
    "$schema",
    "allOf",
    "default",
    "definitions",
    "description",
    "else",
    "examples",
    "if",
    "items",
    "patternProperties",
    "prefixItems",
    "properties",
    "then",
    "title",
];

/// Most errors that one subschema makes of one value, beside what is inside of it; one with a long text of its own counts as several.
pub(super) fn errors(schema: &Value) -> u64 {
    let Value::Object(members) = schema else {
        return 1;
    };
    let of_keyword = |keyword: &str, value: &Value| match (keyword, value) {
        (keyword, _) if SILENT.contains(&keyword) => 0,
        // One for each name that is missing.
        ("required", Value::Array(names)) => count(names.len()),
        ("dependentRequired" | "dependencies", Value::Object(lists)) => lists
            .values()
            .map(|names| count(names.as_array().map_or(1, Vec::len)))
            .fold(0, u64::saturating_add),
        // What a value is not to be is in the error.
        ("not" | "pattern", value) => {
            let size = noted(value, 0, &mut 0).checked_div(ERROR_BYTES);
            size.unwrap_or_default().saturating_add(1)
        }
        _ => 1,
    };
    members
        .iter()
        .map(|(keyword, value)| of_keyword(keyword, value))
        .fold(0, u64::saturating_add)
}

/// Bytes that one error at each part of a value takes.
pub(super) fn bytes(value: &Value) -> u64 {
    let mut bytes = 0;
    noted(value, 0, &mut bytes);
    bytes
}

/// Adds an error at each part of a value, to which a place of so many bytes leads. Returns what the value itself takes.
fn noted(value: &Value, place: u64, bytes: &mut u64) -> u64 {
    let mut size = VALUE_BYTES;
    match value {
        Value::String(text) => size = size.saturating_add(count(text.len())),
        Value::Array(elements) => {
            let place = place.saturating_add(INDEX_BYTES);
            for element in elements {
                size = size.saturating_add(noted(element, place, bytes));
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                let name = count(name.len());
                let place = place.saturating_add(name).saturating_add(1);
                let member = noted(member, place, bytes);
                size = size.saturating_add(name).saturating_add(member);
            }
        }
        _ => {}
    }
    let error = ERROR_BYTES.saturating_add(place).saturating_add(size);
    *bytes = bytes.saturating_add(error);
    size
}

/// Whether there are alternatives in a schema. Without them the first error is found before there is any other.
pub(super) fn has_alternatives(schema: &Value) -> bool {
    match schema {
        Value::Array(elements) => elements.iter().any(has_alternatives),
        Value::Object(members) => members.iter().any(|(name, inner)| {
            let is_choice = matches!(name.as_str(), "anyOf" | "oneOf") && inner.is_array();
            is_choice || has_alternatives(inner)
        }),
        _ => false,
    }
}

fn count(some: usize) -> u64 {
    u64::try_from(some).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::errors;
    use crate::schema::Schema;
    use serde_json::{Map, Value, json};

    fn check(schema: &Value, value: &Value, told: &[&str]) {
        let schema = Schema::compile(schema).unwrap();
        let misfits: Vec<String> = schema.misfits(value).map(|misfit| misfit.text).collect();
        assert_eq!(misfits, told);
        assert_eq!(schema.misfit(value), misfits.first().cloned());
        assert_eq!(schema.fits(value), told.is_empty());
    }

    fn names(count: usize) -> Value {
        Value::from_iter((0..count).map(|i| format!("name{i}")))
    }

    #[test]
    fn of_a_large_value_only_the_first_misfit_is_told() {
        let rows = json!({ "items": { "required": names(20) } });
        let row = json!({ "required": ["a"] });
        check(
            &json!({ "items": row }),
            &json!([{}, { "a": 1 }, {}]),
            &["/0: required", "/2: required"],
        );
        check(&rows, &json!([]), &[]);
        let many = json!(vec![json!({}); 50_000]);
        check(&rows, &many, &["/0: required", "perhaps others"]);
        // Each place would have the whole name in it.
        let lists = json!({ "additionalProperties": { "items": { "type": "string" } } });
        let lists = Schema::compile(&lists).unwrap();
        let name = "a".repeat(500_000);
        let long = json!({ name: vec![1; 1_000] });
        let told: Vec<_> = lists.misfits(&long).map(|misfit| misfit.text).collect();
        assert_eq!(told.len(), 2);
        assert!(told[0].ends_with(": type") && told[1] == "perhaps others");
    }

    /// For each name that one of them misses there would be a copy of all of it.
    #[test]
    fn of_a_large_value_no_alternative_is_told() {
        let alternative = json!({ "required": names(10) });
        let union = json!({ "oneOf": vec![alternative; 30] });
        let members = (0..50_000).map(|i| (format!("a{i}"), json!(i)));
        let large = Value::Object(members.collect::<Map<_, _>>());
        check(&union, &json!({}), &["/: oneOf"]);
        check(&union, &large, &["/: too much to say where"]);
    }

    /// A value of a few levels meets no more of a recursive schema.
    #[test]
    fn of_a_small_value_everything_is_told() {
        let block = |i: usize| {
            let kind = format!("kind{i}");
            json!({
                "properties": { "type": { "const": kind }, kind.as_str(): { "$ref": "#/$defs/content" } },
                "required": ["type", kind],
                "additionalProperties": false,
            })
        };
        let schema = json!({
            "$defs": {
                "content": { "properties": { "text": { "type": "string" }, "children": { "$ref": "#/$defs/list" } } },
                "list": { "items": { "oneOf": Value::from_iter((0..30).map(block)) } },
            },
            "properties": { "children": { "$ref": "#/$defs/list" } },
        });
        let inner = json!({ "type": "kind1", "kind1": { "text": 1 } });
        let block = json!({ "type": "kind2", "kind2": { "text": "so", "children": [inner] } });
        let value = json!({ "children": [block, { "type": "other" }] });
        check(
            &schema,
            &value,
            &["/children/0: oneOf", "/children/1: oneOf"],
        );
    }

    #[test]
    fn errors_of_one_subschema() {
        let dependent = json!({ "a": ["b", "c"], "d": ["e"] });
        for (schema, most) in [
            (json!(false), 1),
            (json!({ "properties": {}, "description": "so" }), 0),
            (json!({ "type": "string", "maxLength": 5 }), 2),
            (json!({ "required": ["a", "b", "c"] }), 3),
            (json!({ "dependentRequired": dependent }), 3),
            (json!({ "not": { "const": "a".repeat(4_000) } }), 11),
        ] {
            assert_eq!(errors(&schema), most, "{schema}");
        }
    }
}

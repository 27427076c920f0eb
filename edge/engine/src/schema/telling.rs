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
        ("required", names) => each(names),
        ("dependentRequired" | "dependencies", Value::Object(lists)) => {
            lists.values().map(each).fold(0, u64::saturating_add)
        }
        // What a value is not to be is in the error.
        ("not" | "pattern", value) => with(value),
        _ => 1,
    };
    members
        .iter()
        .map(|(keyword, value)| of_keyword(keyword, value))
        .fold(0, u64::saturating_add)
}

/// Errors with one of these names each.
fn each(names: &Value) -> u64 {
    let names = names.as_array();
    names.map_or(1, |names| {
        names.iter().map(with).fold(0, u64::saturating_add)
    })
}

/// An error with this in it.
fn with(value: &Value) -> u64 {
    let size = Noting::default().noted(value, 0, 0, &mut 0);
    let more = size.checked_div(ERROR_BYTES);
    more.unwrap_or_default().saturating_add(1)
}

/// What errors take that come of a schema.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Noting {
    /// There are alternatives in it. Without them the first error is found before there is any other, and none has a copy of
    /// anything.
    pub(super) has_alternatives: bool,
    /// An error of a name has a copy of the whole object.
    copies_objects: bool,
    /// Bytes of the longest way through the schema, as which an error says how it came about: about once for each level of a value.
    way: u64,
}

impl Noting {
    pub(super) fn of(schema: &Value) -> Self {
        let is_choice =
            |name: &str, inner: &Value| matches!(name, "anyOf" | "oneOf") && inner.is_array();
        let has_alternatives = has(schema, &is_choice);
        Self {
            has_alternatives,
            copies_objects: has_alternatives && has(schema, &|name, _| name == "propertyNames"),
            // Without references it is the schema's own text, and no copy.
            way: match has(schema, &|name, _| name == "$ref") {
                true => way(schema),
                false => 0,
            },
        }
    }

    /// Bytes that one error at each part of a value of so many levels takes.
    pub(super) fn bytes(self, value: &Value, levels: u64) -> u64 {
        let error = ERROR_BYTES.saturating_add(self.way.saturating_mul(levels));
        let mut bytes = 0;
        self.noted(value, error, 0, &mut bytes);
        bytes
    }

    /// Adds an error of so many bytes at each part of a value, to which a place of so many leads. Returns what the value itself
    /// takes.
    fn noted(self, value: &Value, error: u64, place: u64, bytes: &mut u64) -> u64 {
        let mut size = VALUE_BYTES;
        let mut errors = 1;
        match value {
            Value::String(text) => size = size.saturating_add(count(text.len())),
            Value::Array(elements) => {
                let place = place.saturating_add(INDEX_BYTES);
                for element in elements {
                    size = size.saturating_add(self.noted(element, error, place, bytes));
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    let name = count(name.len());
                    let place = place.saturating_add(name).saturating_add(1);
                    let member = self.noted(member, error, place, bytes);
                    size = size.saturating_add(name).saturating_add(member);
                }
                if self.copies_objects {
                    errors = count(members.len()).saturating_add(1);
                }
            }
            _ => {}
        }
        let error = error.saturating_add(place).saturating_add(size);
        *bytes = bytes.saturating_add(error.saturating_mul(errors));
        size
    }
}

/// Whether a member of a schema, or of what is in it, is such.
fn has(schema: &Value, is: &dyn Fn(&str, &Value) -> bool) -> bool {
    match schema {
        Value::Array(elements) => elements.iter().any(|inner| has(inner, is)),
        Value::Object(members) => members
            .iter()
            .any(|(name, inner)| is(name, inner) || has(inner, is)),
        _ => false,
    }
}

/// Bytes of the longest way into a schema.
fn way(schema: &Value) -> u64 {
    let longest = match schema {
        Value::Array(elements) => {
            let inner = elements.iter().map(way).max();
            inner.map(|inner| inner.saturating_add(INDEX_BYTES))
        }
        Value::Object(members) => {
            let steps = members.iter().map(|(name, inner)| {
                let name = count(name.len()).saturating_add(1);
                name.saturating_add(way(inner))
            });
            steps.max()
        }
        _ => None,
    };
    longest.unwrap_or_default()
}

fn count(some: usize) -> u64 {
    u64::try_from(some).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Noting, errors};
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

    /// Of each name that does not fit there would be a copy of the whole object.
    #[test]
    fn of_a_large_object_no_alternative_is_told_that_has_to_do_with_names() {
        let record = json!({ "type": "object", "propertyNames": { "pattern": "^[a-z]+$" } });
        let union = json!({ "anyOf": [record, { "type": "null" }] });
        let object = |count: usize| {
            let members = (0..count).map(|i| (format!("a{i}"), json!(i)));
            Value::Object(members.collect::<Map<_, _>>())
        };
        check(&union, &object(3), &["/: anyOf"]);
        check(&union, &object(2_000), &["/: too much to say where"]);
    }

    #[test]
    fn long_names_in_a_schema_count_where_references_lead_to_them() {
        let long = "a".repeat(1_000);
        let row = json!({ "patternProperties": { long: { "type": "string" } } });
        let plain = json!({ "items": row });
        let referred = json!({ "$defs": { "row": row }, "items": { "$ref": "#/$defs/row" } });
        let bytes = |schema: &Value| Noting::of(schema).bytes(&json!(1), 1);
        assert!(bytes(&plain) < 1_000);
        assert!(bytes(&referred) > 1_000);
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
            (json!({ "required": ["a", "b".repeat(4_000)] }), 12),
            (json!({ "dependentRequired": dependent }), 3),
            (json!({ "not": { "const": "a".repeat(4_000) } }), 11),
        ] {
            assert_eq!(errors(&schema), most, "{schema}");
        }
    }
}

//! JSON Schema, compiled once: no network, no files, linear-time patterns.

use crate::limits::{SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX, SCHEMA_PATTERN_BYTES_MAX};
use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

/// A compiled schema.
#[derive(Debug)]
pub struct Schema(Validator);

/// Why a schema is not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SchemaError {
    /// Too large, or nested too deeply.
    #[error("the schema is larger or deeper than allowed")]
    TooLarge,
    /// Its `$ref`s lead out of the document, in a circle at one place, or multiply.
    #[error("$ref: within the document only, not in a circle, not multiplying")]
    Reference,
    /// Not a valid schema; says where.
    #[error("not a valid JSON Schema: {0}")]
    Invalid(String),
}

impl Schema {
    /// Compiles a schema; without `$schema` it is read as 2020-12.
    ///
    /// # Errors
    /// See [`SchemaError`].
    pub fn compile(schema: &Value) -> Result<Self, SchemaError> {
        if depth(schema) > SCHEMA_DEPTH_MAX || schema.to_string().len() > SCHEMA_BYTES_MAX {
            return Err(SchemaError::TooLarge);
        }
        References::check(schema)?;
        let patterns = PatternOptions::regex()
            .size_limit(SCHEMA_PATTERN_BYTES_MAX)
            .dfa_size_limit(SCHEMA_PATTERN_BYTES_MAX);
        let mut options = jsonschema::options()
            .with_pattern_options(patterns)
            .offline();
        if schema.get("$schema").is_none() {
            options = options.with_draft(Draft::Draft202012);
        }
        options.build(schema).map(Self).map_err(|error| {
            SchemaError::Invalid(format!("at {:?}", error.instance_path().to_string()))
        })
    }

    /// Whether the value fits.
    #[must_use]
    pub fn fits(&self, value: &Value) -> bool {
        self.0.is_valid(value)
    }

    /// Where the value doesn't fit and by which keyword, without the value: `/amount: maximum`.
    #[must_use]
    pub fn misfit(&self, value: &Value) -> Option<String> {
        let error = self.0.validate(value).err()?;
        let place = error.instance_path().to_string();
        let place = if place.is_empty() { "/" } else { &place };
        let place: String = place.chars().take(96).collect();
        Some(format!("{place}: {}", error.kind().keyword()))
    }
}

fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Array(elements) => elements.iter().map(depth).max(),
        Value::Object(members) => members.values().map(depth).max(),
        _ => None,
    };
    inner.map_or(0, |inner| inner.saturating_add(1))
}

/// Most subschemas that one value may be held against at one place, references followed.
const EXPANSION_MAX: u64 = 4_096;

/// Keywords whose subschemas apply to the same value, so that a circle through them never ends.
const IN_PLACE: [&str; 9] = [
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "dependencies",
];

/// Checks that following `$ref` at one place ends soon.
struct References<'a> {
    root: &'a Value,
    spent: u64,
}

impl<'a> References<'a> {
    fn check(root: &'a Value) -> Result<(), SchemaError> {
        let mut pending = vec![root];
        let mut budget = Self { root, spent: 0 };
        while let Some(schema) = pending.pop() {
            budget.spent = 0;
            let renamed = |key| schema.get(key).is_some_and(Value::is_string);
            if !std::ptr::eq(schema, root) && (renamed("$id") || renamed("id")) {
                return Err(SchemaError::Reference); // It would move what '#' means.
            }
            budget.follow(schema, 0)?;
            match schema {
                Value::Array(elements) => pending.extend(elements),
                Value::Object(members) => pending.extend(members.values()),
                _ => {}
            }
        }
        Ok(())
    }

    fn follow(&mut self, schema: &'a Value, circle: usize) -> Result<(), SchemaError> {
        self.spent = self.spent.saturating_add(1);
        if self.spent > EXPANSION_MAX || circle > 64 {
            return Err(SchemaError::Reference);
        }
        let Value::Object(members) = schema else {
            return Ok(());
        };
        if members.contains_key("$dynamicRef") || members.contains_key("$recursiveRef") {
            return Err(SchemaError::Reference);
        }
        if let Some(Value::String(target)) = members.get("$ref") {
            let pointer = target.strip_prefix('#').ok_or(SchemaError::Reference)?;
            let target = self.root.pointer(pointer).ok_or(SchemaError::Reference)?;
            self.follow(target, circle.saturating_add(1))?;
        }
        for keyword in IN_PLACE {
            let nested: Vec<&Value> = match members.get(keyword) {
                Some(Value::Array(elements)) => elements.iter().collect(),
                Some(Value::Object(inner)) if keyword.starts_with("depend") => {
                    inner.values().collect()
                }
                Some(inner) => vec![inner],
                None => continue,
            };
            for inner in nested {
                self.follow(inner, circle.saturating_add(1))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn schemas_stay_at_home_and_end() {
        let laugh: serde_json::Map<_, _> = (0..40)
            .map(|i| {
                let next = format!("#/$defs/d{}", i + 1);
                (
                    format!("d{i}"),
                    json!({"allOf": [{"$ref": next}, {"$ref": next}]}),
                )
            })
            .chain([("d40".to_owned(), json!(true))])
            .collect();
        for bad in [
            json!({"$ref": "https://example.com/schema.json"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"$ref": "#"}),
            json!({"allOf": [{"$ref": "#"}]}),
            json!({"properties": {"a": {"anyOf": [{"$ref": "#/properties/a"}]}}}),
            json!({"$ref": "#/nowhere"}),
            json!({"$dynamicRef": "#x"}),
            json!({"$defs": {"a": {"$id": "urn:x", "$ref": "#"}}, "properties": {}}),
            json!({"$defs": laugh, "$ref": "#/$defs/d0"}),
            json!({"type": 5}),
            json!({"pattern": "(a"}),
            json!({"pattern": "(?=a)b"}),
            json!({"pattern": "(a{1000}){1000}"}),
            json!(7),
        ] {
            assert!(Schema::compile(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn trees_are_fine_and_misfits_name_the_place_only() {
        let tree = json!({"type": "object", "properties": {"children": {"items": {"$ref": "#"}}, "n": {"maximum": 3}}});
        let schema = Schema::compile(&tree).unwrap();
        assert!(schema.fits(&json!({"children": [{"children": [{"n": 1}]}]})));
        let value = json!({"children": [{"n": 4242}]});
        assert_eq!(
            schema.misfit(&value).as_deref(),
            Some("/children/0/n: maximum")
        );
    }
}

//! Schemas of a document as JSON Schema 2020-12.

use super::{Document, Unfit};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Deepest schema that is taken.
const DEPTH_MAX: usize = 32;

impl Document<'_> {
    /// A schema as JSON Schema 2020-12, its references turned to `$defs`.
    pub(super) fn schema(&self, schema: &Value, depth: usize) -> Result<Value, Unfit> {
        if depth > DEPTH_MAX {
            return Err(Unfit::Wrong("a schema that is nested too deeply"));
        }
        let below = |value: &Value| self.schema(value, depth.saturating_add(1));
        match schema {
            Value::Object(members) => {
                let mut out = Map::new();
                for (key, value) in members {
                    match key.as_str() {
                        "$ref" => {
                            let name = value
                                .as_str()
                                .and_then(|text| text.strip_prefix("#/components/schemas/"))
                                .ok_or(Unfit::Wrong(
                                    "a schema that is not in components/schemas",
                                ))?;
                            out.insert(key.clone(), format!("#/$defs/{name}").into());
                        }
                        // Names in here are the API's own, not keywords.
                        "properties" | "patternProperties" | "$defs" | "dependentSchemas" => {
                            let named = value.as_object().into_iter().flatten();
                            let named: Result<Map<_, _>, _> = named
                                .map(|(name, value)| Ok((name.clone(), below(value)?)))
                                .collect();
                            out.insert(key.clone(), Value::Object(named?));
                        }
                        "enum" | "const" | "default" => {
                            drop(out.insert(key.clone(), value.clone()))
                        }
                        // Examples, and OpenAPI's own words, say nothing about what is valid.
                        "example" | "examples" | "xml" | "externalDocs" | "discriminator" => {}
                        _ => drop(out.insert(key.clone(), below(value)?)),
                    }
                }
                if self.nullable {
                    modernize(&mut out);
                }
                Ok(Value::Object(out))
            }
            Value::Array(items) => items
                .iter()
                .map(below)
                .collect::<Result<_, _>>()
                .map(Value::Array),
            plain => Ok(plain.clone()),
        }
    }

    /// Puts all schemas that are referred to, directly or not, into `$defs`.
    pub(super) fn add_definitions(&self, schema: &mut Value) -> Result<(), Unfit> {
        let mut wanted = BTreeSet::new();
        references(schema, &mut wanted);
        let mut definitions = Map::new();
        while let Some(name) = wanted.pop_first() {
            if definitions.contains_key(&name) {
                continue;
            }
            let components = self.root.pointer("/components/schemas");
            let found = components
                .and_then(|schemas| schemas.get(name.replace("~1", "/").replace("~0", "~")))
                .ok_or(Unfit::Wrong("a reference to a schema that is not there"))?;
            let definition = self.schema(found, 0)?;
            references(&definition, &mut wanted);
            definitions.insert(name, definition);
        }
        if let (false, Some(members)) = (definitions.is_empty(), schema.as_object_mut()) {
            members.insert("$defs".into(), Value::Object(definitions));
        }
        Ok(())
    }
}

fn references(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(name) = members
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|text| text.strip_prefix("#/$defs/"))
            {
                found.insert(name.to_owned());
            }
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// OpenAPI 3.0's `nullable` and boolean `exclusiveMinimum`, as JSON Schema 2020-12 says it.
fn modernize(schema: &mut Map<String, Value>) {
    if schema.remove("nullable") == Some(Value::Bool(true))
        && let Some(Value::String(kind)) = schema.get("type")
    {
        let kinds = json!([kind, "null"]);
        schema.insert("type".into(), kinds);
        if let Some(Value::Array(values)) = schema.get_mut("enum")
            && !values.contains(&Value::Null)
        {
            values.push(Value::Null);
        }
    }
    for (exclusive, inclusive) in [
        ("exclusiveMinimum", "minimum"),
        ("exclusiveMaximum", "maximum"),
    ] {
        match schema.get(exclusive) {
            Some(Value::Bool(true)) => match schema.remove(inclusive) {
                Some(bound) => drop(schema.insert(exclusive.into(), bound)),
                None => drop(schema.remove(exclusive)),
            },
            Some(Value::Bool(false)) => drop(schema.remove(exclusive)),
            _ => {}
        }
    }
}

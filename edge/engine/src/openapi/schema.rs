//! Schemas as JSON Schema 2020-12 has them, with all that they refer to.

use super::{Document, Unfit};
use crate::schema::decoded;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Longest chain of references that is followed.
const REFERENCES_MAX: usize = 16;
/// Deepest schema that is taken.
const DEPTH_MAX: usize = 32;
/// Says which property names the schema of a list that is meant.
const DISCRIMINATOR: &str = "discriminator";
/// Where schemas usually are.
const SCHEMAS: &str = "/components/schemas/";

impl Document<'_> {
    /// What a reference within the document stands for.
    pub(super) fn resolved<'v>(&'v self, value: &'v Value) -> Result<&'v Value, Unfit> {
        let mut value = value;
        for _ in 0..REFERENCES_MAX {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
                return Ok(value);
            };
            self.take(reference.len())?;
            value = self.at(&pointer(reference)?)?;
        }
        Err(Unfit::Wrong("references in a circle"))
    }

    fn at(&self, pointer: &str) -> Result<&Value, Unfit> {
        let found = self.root.pointer(pointer);
        found.ok_or(Unfit::Wrong("a reference to nothing"))
    }

    /// A schema as JSON Schema 2020-12, its references turned to `$defs`.
    pub(super) fn schema(&self, schema: &Value, depth: usize) -> Result<Value, Unfit> {
        self.part(schema, depth, &BTreeSet::new())
    }

    /// The same of one that is part of another (`allOf`), which knows of properties that are not said here.
    fn part(&self, schema: &Value, depth: usize, unsaid: &BTreeSet<&str>) -> Result<Value, Unfit> {
        if depth > DEPTH_MAX {
            return Err(Unfit::Wrong("a schema that is nested too deeply"));
        }
        match schema {
            Value::Object(members) => self
                .object_schema(members, depth, unsaid)
                .map(Value::Object),
            Value::Array(items) => {
                self.take(0)?;
                items
                    .iter()
                    .map(|item| self.schema(item, depth.saturating_add(1)))
                    .collect::<Result<_, _>>()
                    .map(Value::Array)
            }
            plain => self.copied(plain),
        }
    }

    /// A value as it is.
    fn copied(&self, value: &Value) -> Result<Value, Unfit> {
        self.weigh(value)?;
        Ok(value.clone())
    }

    fn weigh(&self, value: &Value) -> Result<(), Unfit> {
        match value {
            Value::String(text) => self.take(text.len()),
            Value::Array(items) => {
                self.take(0)?;
                items.iter().try_for_each(|item| self.weigh(item))
            }
            Value::Object(members) => {
                self.take(0)?;
                members.iter().try_for_each(|(name, value)| {
                    self.take(name.len())?;
                    self.weigh(value)
                })
            }
            _ => self.take(0),
        }
    }

    fn object_schema(
        &self,
        members: &Map<String, Value>,
        depth: usize,
        unsaid_above: &BTreeSet<&str>,
    ) -> Result<Map<String, Value>, Unfit> {
        let below = |value: &Value| self.schema(value, depth.saturating_add(1));
        self.take(0)?;
        let mut unsaid = self.unsaid(members)?;
        unsaid.extend(unsaid_above);
        let mut out = Map::new();
        for (key, value) in members {
            self.take(key.len())?;
            let value: Value = match (key.as_str(), value) {
                ("$ref", value) => {
                    let reference = value.as_str().unwrap_or_default();
                    self.take(reference.len())?;
                    let name = definition_name(&pointer(reference)?);
                    format!("#/$defs/{name}").into()
                }
                // Names in here are the API's own, not keywords.
                ("properties" | "patternProperties" | "$defs" | "dependentSchemas", value) => {
                    let named = value.as_object().into_iter().flatten();
                    let own = key == "properties";
                    let named = named.filter(|(name, _)| !own || !unsaid.contains(name.as_str()));
                    let named: Result<Map<_, _>, _> = named
                        .map(|(name, value)| {
                            self.take(name.len())?;
                            Ok((name.clone(), below(value)?))
                        })
                        .collect();
                    Value::Object(named?)
                }
                ("required", Value::Array(names)) => {
                    let is_unsaid =
                        |name: &Value| name.as_str().is_some_and(|name| unsaid.contains(name));
                    let said = names.iter().filter(|name| !is_unsaid(name));
                    Value::Array(
                        said.map(|name| self.copied(name))
                            .collect::<Result<_, _>>()?,
                    )
                }
                ("allOf", Value::Array(parts)) => {
                    self.take(0)?;
                    let part = |part| self.part(part, depth.saturating_add(2), &unsaid);
                    Value::Array(parts.iter().map(part).collect::<Result<_, _>>()?)
                }
                ("enum" | "const" | "default", value) => self.copied(value)?,
                // Examples, and OpenAPI's own words, say nothing about what is valid.
                ("example" | "examples" | "xml" | "externalDocs" | DISCRIMINATOR, _) => continue,
                // As draft 3 said it of one property. It is nothing now.
                ("required", Value::Bool(_)) => continue,
                (_, value) => below(value)?,
            };
            out.insert(key.clone(), value);
        }
        if self.are_told_apart(members)? {
            take_any(&mut out);
        }
        if self.nullable {
            modernize(&mut out);
        }
        Ok(out)
    }

    /// Whether a property says which schema of `oneOf` is meant: here, or in what each of them is made of, as base classes do.
    fn are_told_apart(&self, members: &Map<String, Value>) -> Result<bool, Unfit> {
        let Some(list) = members.get("oneOf").and_then(Value::as_array) else {
            return Ok(false);
        };
        if members.contains_key(DISCRIMINATOR) {
            return Ok(true);
        }
        for schema in list {
            let schema = self.led_to(schema)?.and_then(Value::as_object);
            let parts = match schema {
                Some(schema) => self.parts(schema)?,
                None => Vec::new(),
            };
            if !parts.iter().any(|part| part.contains_key(DISCRIMINATOR)) {
                return Ok(false);
            }
        }
        Ok(!list.is_empty())
    }

    /// The properties that are not said here, as only answers have them (or only requests): its own, and those of the schemas that
    /// it is made of (`allOf`), which may say so of what is required here.
    fn unsaid<'v>(&'v self, members: &'v Map<String, Value>) -> Result<BTreeSet<&'v str>, Unfit> {
        let mut names = BTreeSet::new();
        for members in self.parts(members)? {
            let properties = members.get("properties").and_then(Value::as_object);
            for (name, schema) in properties.into_iter().flatten() {
                self.take(name.len())?;
                let is_unsaid =
                    |schema: &Value| schema.get(self.unsaid) == Some(&Value::Bool(true));
                if is_unsaid(schema) || self.led_to(schema)?.is_some_and(is_unsaid) {
                    names.insert(name.as_str());
                }
            }
        }
        Ok(names)
    }

    /// A schema, and those that it is made of (`allOf`).
    fn parts<'v>(
        &'v self,
        members: &'v Map<String, Value>,
    ) -> Result<Vec<&'v Map<String, Value>>, Unfit> {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        let mut left = vec![members];
        while let Some(members) = left.pop() {
            // One may be a part of itself.
            if !seen.insert(std::ptr::from_ref(members)) {
                continue;
            }
            found.push(members);
            let all = members.get("allOf").and_then(Value::as_array);
            for part in all.into_iter().flatten() {
                self.take(0)?;
                left.extend(self.led_to(part)?.and_then(Value::as_object));
            }
        }
        Ok(found)
    }

    /// The same as [`Self::resolved`], and nothing where a reference leads nowhere: that is found where it is copied.
    fn led_to<'v>(&'v self, schema: &'v Value) -> Result<Option<&'v Value>, Unfit> {
        match self.resolved(schema) {
            Ok(schema) => Ok(Some(schema)),
            Err(Unfit::TooMuch) => Err(Unfit::TooMuch),
            Err(Unfit::LeaveOut(_) | Unfit::Wrong(_)) => Ok(None),
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
            let pointer = pointer_of(&name).ok_or(Unfit::Wrong("a reference to nothing"))?;
            let definition = self.schema(self.at(&pointer)?, 0)?;
            references(&definition, &mut wanted);
            definitions.insert(name, definition);
        }
        if let (false, Some(members)) = (definitions.is_empty(), schema.as_object_mut()) {
            members.insert("$defs".into(), Value::Object(definitions));
        }
        Ok(())
    }
}

/// Where a reference leads within the document (RFC 6901, section 6).
fn pointer(reference: &str) -> Result<String, Unfit> {
    let fragment = reference.strip_prefix('#').ok_or(Unfit::LeaveOut(
        "a reference out of the document is not followed",
    ))?;
    let pointer = decoded(fragment, b'%').filter(|pointer| pointer.starts_with('/'));
    pointer.ok_or(Unfit::LeaveOut(
        "a reference that is no path in the document",
    ))
}

/// The name under `$defs` of what a pointer leads to: a schema's own among the components, and else one that none of those may
/// have (<https://spec.openapis.org/oas/v3.1.0#components-object>), from which the pointer can be read again.
fn definition_name(pointer: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let own = pointer.strip_prefix(SCHEMAS);
    if let Some(own) = own.filter(|own| !own.is_empty() && own.bytes().all(is_plain)) {
        return own.to_owned();
    }
    let mut name = String::new();
    for byte in pointer.bytes() {
        match byte {
            b'/' => name.push(':'),
            byte if is_plain(byte) => name.push(char::from(byte)),
            // Writing to a string does not fail.
            byte => {
                let _ = write!(name, "@{byte:02x}");
            }
        }
    }
    name
}

fn pointer_of(name: &str) -> Option<String> {
    match name.starts_with(':') {
        true => decoded(&name.replace(':', "/"), b'@'),
        false => Some(format!("{SCHEMAS}{name}")),
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

/// Has a value fit one of the schemas of `oneOf`, or more of them. Where a property says which is meant, the schemas need not
/// exclude each other, and as generators write them they seldom do.
fn take_any(schema: &mut Map<String, Value>) {
    let Some(list) = schema.remove("oneOf") else {
        return;
    };
    if !schema.contains_key("anyOf") {
        schema.insert("anyOf".into(), list);
        return;
    }
    // One that is there already is to fit as well. What is no list is no schema, which is found where it is compiled.
    let all = schema.entry("allOf").or_insert_with(|| json!([]));
    if let Some(all) = all.as_array_mut() {
        all.push(json!({ "anyOf": list }));
    }
}

/// OpenAPI 3.0's `nullable` and boolean `exclusiveMinimum`, as JSON Schema 2020-12 says it.
fn modernize(schema: &mut Map<String, Value>) {
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
    if schema.remove("nullable") == Some(Value::Bool(true)) {
        take_null(schema);
    }
}

/// Has null fit as well. Beside a reference, or a list of schemas, `nullable` does nothing by the letter of OpenAPI 3.0.3; but that
/// is how generators write that what a reference leads to may be null.
fn take_null(schema: &mut Map<String, Value>) {
    const OTHERS: [&str; 4] = ["$ref", "allOf", "anyOf", "oneOf"];
    if OTHERS.iter().any(|key| schema.contains_key(*key)) {
        let mut own = std::mem::take(schema);
        for said in ["title", "description", "default"] {
            schema.extend(own.remove_entry(said));
        }
        schema.insert("anyOf".into(), json!([own, { "type": "null" }]));
        return;
    }
    if let Some(Value::String(kind)) = schema.get("type") {
        let kinds = json!([kind, "null"]);
        schema.insert("type".into(), kinds);
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
}

#[cfg(test)]
mod tests;

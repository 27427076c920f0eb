//! JSON Schema, compiled once: no network, no files, linear-time patterns.

mod holds;
mod loosen;
mod pattern;

use crate::limits::{SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX, SCHEMA_PATTERN_BYTES_MAX};
use holds::Holds;
use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, Validator};
use pattern::Beyond;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

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
    /// Compiles the schema of a definition; without `$schema` it is read as 2020-12. A `pattern` that no linear time is enough for
    /// (look-around inside of it, a reference back) is left to its server, which wrote it, with a `not`, `if` or `oneOf` around it:
    /// all else still holds.
    ///
    /// # Errors
    /// See [`SchemaError`].
    pub fn compile(schema: &Value) -> Result<Self, SchemaError> {
        Self::build(schema, Beyond::Dropped)
    }

    /// Compiles a schema that bounds what an agent may do: every `pattern` of it holds, or it is not taken.
    ///
    /// # Errors
    /// See [`SchemaError`].
    pub fn compile_whole(schema: &Value) -> Result<Self, SchemaError> {
        Self::build(schema, Beyond::Kept)
    }

    fn build(schema: &Value, beyond: Beyond) -> Result<Self, SchemaError> {
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
        let mut schema = schema.clone();
        pattern::rewrite(&mut schema, beyond);
        options.build(&schema).map(Self).map_err(|error| {
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
        Some(Misfit::of(&error).text)
    }

    /// All places where it doesn't fit.
    pub(crate) fn misfits<'v>(&'v self, value: &'v Value) -> impl Iterator<Item = Misfit> + 'v {
        self.0.iter_errors(value).map(|error| Misfit::of(&error))
    }
}

/// Where a value doesn't fit a schema.
pub(crate) struct Misfit {
    /// The place and the keyword, without the value.
    pub(crate) text: String,
    /// The place as it is.
    pub(crate) pointer: String,
}

impl Misfit {
    fn of(error: &jsonschema::ValidationError<'_>) -> Self {
        let pointer = error.instance_path().to_string();
        // Agents write the names of members.
        let mut shown = crate::provenance::shown_pointer(&pointer);
        if shown.is_empty() {
            shown.push('/');
        }
        let shown: String = shown.chars().take(96).collect();
        let keyword = match error.kind() {
            ValidationErrorKind::Not { schema } if pattern::is_part(schema) => "pattern",
            kind => kind.keyword(),
        };
        Self {
            text: format!("{shown}: {keyword}"),
            pointer,
        }
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

/// Keywords whose subschemas apply to elements of an array.
const ELEMENTS: [&str; 5] = [
    "items",
    "prefixItems",
    "contains",
    "additionalItems",
    "unevaluatedItems",
];
/// Keywords whose subschemas may apply to any member of an object.
const ANY_MEMBER: [&str; 4] = [
    "patternProperties",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
];
/// Longest way through references and nesting that is followed.
const WAY_MAX: usize = 512;

/// Checks that following `$ref` at one place ends soon, and that a recursive schema holds each part of a value
/// against itself once at most: else its cost grows with a power of the value's depth.
struct References<'a> {
    root: &'a Value,
    spent: u64,
    /// By a node's address, and what it is looked at as: whether recursion can be reached from it. None while it is being found out.
    recursive: HashMap<(usize, Holds), Option<bool>>,
    /// How often one place of one value meets recursive subschemas: for elements, any member, each member.
    slots: HashMap<&'a str, u32>,
}

fn address(node: &Value) -> usize {
    std::ptr::from_ref(node).addr()
}

impl<'a> References<'a> {
    fn check(root: &'a Value) -> Result<(), SchemaError> {
        let mut references = Self {
            root,
            spent: 0,
            recursive: HashMap::new(),
            slots: HashMap::new(),
        };
        let renames: &[&str] = match is_of_draft_4(root) {
            true => &["$id", "id"],
            false => &["$id"],
        };
        let mut pending = vec![(root, Holds::Schema)];
        let mut seen = HashSet::new();
        while let Some((node, holds)) = pending.pop() {
            if !seen.insert((address(node), holds)) {
                continue;
            }
            if holds == Holds::Schema {
                let renamed = |key: &&str| node.get(key).is_some_and(Value::is_string);
                if !std::ptr::eq(node, root) && renames.iter().any(renamed) {
                    return Err(SchemaError::Reference); // It would move what '#' means.
                }
                references.check_one(node)?;
            }
            pending.extend(references.below(node, holds));
        }
        Ok(())
    }

    fn check_one(&mut self, schema: &'a Value) -> Result<(), SchemaError> {
        self.spent = 0;
        self.slots.clear();
        self.follow(schema, 0)?;
        let any = self.slots.get(ANY).copied().unwrap_or(0);
        let each = |(slot, count): (&&str, &u32)| match *slot {
            ANY | ELEMENT => *count,
            _ => count.saturating_add(any),
        };
        match self.slots.iter().map(each).any(|count| count > 1) {
            true => Err(SchemaError::Reference),
            false => Ok(()),
        }
    }

    /// What may be schemas right inside of a node, and what it refers to: that is one wherever it stands.
    fn below(&self, node: &'a Value, holds: Holds) -> Vec<(&'a Value, Holds)> {
        let mut below: Vec<_> = match node {
            Value::Array(elements) => {
                let elements = elements.iter();
                elements.map(|inner| (inner, holds.element())).collect()
            }
            Value::Object(members) => {
                let members = members.iter();
                members
                    .map(|(name, inner)| (inner, holds.member(name)))
                    .collect()
            }
            _ => Vec::new(),
        };
        below.retain(|(_, holds)| *holds != Holds::Data);
        if holds == Holds::Schema {
            let target = node.get("$ref").and_then(Value::as_str);
            let target = target.and_then(|target| self.root.pointer(target.strip_prefix('#')?));
            below.extend(target.map(|target| (target, Holds::Schema)));
        }
        below
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
        self.note_slots(members)?;
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

    /// Notes which parts of a value meet recursive subschemas of this one.
    fn note_slots(&mut self, members: &'a Map<String, Value>) -> Result<(), SchemaError> {
        let mut met = Vec::new();
        for (slot, keywords) in [(ELEMENT, ELEMENTS.as_slice()), (ANY, ANY_MEMBER.as_slice())] {
            for keyword in keywords {
                let inner = members.get(*keyword);
                met.extend(inner.map(|inner| (slot, inner, Holds::of(keyword))));
            }
        }
        if let Some(Value::Object(properties)) = members.get("properties") {
            met.extend(
                properties
                    .iter()
                    .map(|(name, inner)| (name.as_str(), inner, Holds::Schema)),
            );
        }
        for (slot, inner, holds) in met {
            if self.is_recursive(inner, holds, 0)? {
                let count = self.slots.entry(slot).or_default();
                *count = count.saturating_add(1);
            }
        }
        Ok(())
    }

    /// Whether following everything from here comes back to a node on the way.
    fn is_recursive(
        &mut self,
        node: &'a Value,
        holds: Holds,
        way: usize,
    ) -> Result<bool, SchemaError> {
        if way > WAY_MAX {
            return Err(SchemaError::Reference);
        }
        if !(node.is_array() || node.is_object()) {
            return Ok(false);
        }
        let key = (address(node), holds);
        match self.recursive.get(&key) {
            Some(Some(known)) => return Ok(*known),
            Some(None) => return Ok(true),
            None => {}
        }
        self.recursive.insert(key, None);
        let mut found = false;
        for (inner, holds) in self.below(node, holds) {
            found |= self.is_recursive(inner, holds, way.saturating_add(1))?;
        }
        self.recursive.insert(key, Some(found));
        Ok(found)
    }
}

/// Whether a part of it is of draft 4, where `id` does what `$id` does later.
fn is_of_draft_4(schema: &Value) -> bool {
    let is = |uri: &str| Draft::from_schema_uri(uri) == Draft::Draft4;
    match schema {
        Value::Array(elements) => elements.iter().any(is_of_draft_4),
        Value::Object(members) => {
            let said = members.get("$schema").and_then(Value::as_str);
            said.is_some_and(is) || members.values().any(is_of_draft_4)
        }
        _ => false,
    }
}

/// The slot of elements, and of any member: no property has these names in a schema that is checked by them.
const ELEMENT: &str = "\u{0}element";
const ANY: &str = "\u{0}any";

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
            json!({"$schema": "http://json-schema.org/draft-04/schema#", "properties": {"a": {"id": "http://x.example/y", "$ref": "#"}}}),
            json!({"$defs": laugh, "$ref": "#/$defs/d0"}),
            json!({"$ref": "#/examples/0", "examples": [{"anyOf": [{"$ref": "#/examples/0"}]}]}),
            json!({"$ref": "#/x-a", "x-a": {"properties": {"b": {"$ref": "#/const"}}}, "const": {"items": {"$ref": "https://example.com/x"}}}),
            json!({"$defs": {"a": {"items": {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}}}, "$ref": "#/$defs/a"}),
            json!({"items": {"$ref": "#"}, "contains": {"$ref": "#"}}),
            json!({"properties": {"a": {"$ref": "#"}}, "additionalProperties": true, "patternProperties": {"a": {"$ref": "#"}}}),
            json!({"allOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}]}),
            json!({"type": 5}),
            json!({"pattern": "(a"}),
            json!({"patternProperties": {"(?=a)b": {}}}),
            json!({"pattern": "(a{1000}){1000}"}),
            json!(7),
        ] {
            assert!(Schema::compile(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn data_in_a_schema_is_no_schema() {
        let record = json!({"id": "u1", "$id": "u2", "name": "Ann", "$ref": "https://example.com/ann", "allOf": [{"$ref": "#"}]});
        let user = json!({
            "type": "object", "examples": [record], "example": record, "default": record, "x-sample": record,
            "properties": {"id": {"enum": ["u1", record]}, "$ref": {"const": record}, "default": {"type": "string"}},
        });
        let schema = Schema::compile(
            &json!({"type": "object", "properties": {"user": user}, "id": "users"}),
        );
        let schema = schema.unwrap();
        assert!(schema.fits(&json!({"user": {"id": "u1", "default": "x"}})));
        assert!(!schema.fits(&json!({"user": {"id": "u2"}})));
        assert!(!schema.fits(&json!({"user": {"default": 1}})));
        // No keyword of this draft.
        let inner = json!({"properties": {"a": {"id": "a", "$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string"}}});
        assert!(Schema::compile(&inner).is_ok());
    }

    #[test]
    fn trees_are_fine_and_misfits_name_the_place_only() {
        let tree = json!({"type": "object", "properties": {"children": {"items": {"$ref": "#"}}, "n": {"maximum": 3}}});
        let schema = Schema::compile(&tree).unwrap();
        assert!(schema.fits(&json!({"children": [{"children": [{"n": 1}]}]})));
        let json_like =
            json!({"anyOf": [{"items": {"$ref": "#"}}, {"additionalProperties": {"$ref": "#"}}]});
        assert!(Schema::compile(&json_like).is_ok());
        let binary = json!({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}});
        assert!(Schema::compile(&binary).is_ok());
        let value = json!({"children": [{"n": 4242}]});
        assert_eq!(
            schema.misfit(&value).as_deref(),
            Some("/children/0/n: maximum")
        );
    }
}

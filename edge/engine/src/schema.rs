//! JSON Schema, compiled once: no network, no files, linear-time patterns.

mod compared;
mod holds;
mod load;
mod loosen;
mod pattern;
mod pointer;
mod references;
mod states;
mod telling;
mod unique;

pub(crate) use pointer::{decoded, target};

use crate::limits::{
    SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX, SCHEMA_PATTERN_BYTES_MAX, SCHEMA_PATTERN_STEPS_MAX,
    SCHEMA_PATTERNS_BYTES_MAX, SCHEMA_PATTERNS_MAX, SCHEMA_REGEX_BYTES_MAX,
    SCHEMA_TELLING_BYTES_MAX, SCHEMA_VISITS_MAX,
};
use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, Validator};
use pattern::Beyond;
use references::References;
use serde_json::Value;
use std::collections::HashSet;
use telling::Noting;
use unique::UniqueItems;

/// A compiled schema.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
    /// Most subschemas that one part of a value is held against.
    weight: u64,
    /// Most states of patterns that one text of it is held against, and of what else reads it.
    states: u64,
    /// Most errors that are made of one part of it on one level of recursion, and on how many levels.
    errors: u64,
    levels: u64,
    noting: Noting,
}

/// How much is said of where a value doesn't fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Telling {
    /// It fits.
    Nothing,
    /// It is too large to be held against the schema.
    TooLarge,
    /// That it doesn't fit.
    NoPlace,
    First,
    All,
}

/// Why a schema is not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SchemaError {
    /// Too large, or nested too deeply.
    #[error("the schema is larger or deeper than allowed")]
    TooLarge,
    /// Its `$ref`s lead out of the document, in a circle at one place, or multiply; or its subschemas do, level by level.
    #[error("$ref: within the document only, not in a circle, not multiplying")]
    Reference,
    /// More different patterns than an edge has the memory for.
    #[error("more than {} different patterns", SCHEMA_PATTERNS_MAX)]
    Patterns,
    /// Not a valid schema, or a pattern that is too large; says where.
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
        let mut schema = schema.clone();
        pattern::rewrite(&mut schema, beyond);
        // What is compiled is looked at: a pattern that was taken apart is many.
        let load = References::check(&schema)?;
        let pattern_bytes_max = pattern_bytes_max(&schema)?;
        let patterns = PatternOptions::regex()
            .size_limit(pattern_bytes_max)
            .dfa_size_limit(pattern_bytes_max);
        let mut options = jsonschema::options()
            .with_pattern_options(patterns)
            .with_format("regex", is_regex)
            .with_keyword("uniqueItems", |_, value, _| Ok(UniqueItems::keyword(value)))
            .offline();
        if schema.get("$schema").is_none() {
            options = options.with_draft(Draft::Draft202012);
        }
        let validator = options.build(&schema).map_err(|error| {
            SchemaError::Invalid(format!("at {:?}", error.instance_path().to_string()))
        })?;
        Ok(Self {
            validator,
            weight: load.weight,
            states: load.states,
            errors: load.errors,
            levels: load.levels,
            noting: Noting::of(&schema),
        })
    }

    /// Whether the value fits.
    #[must_use]
    pub fn fits(&self, value: &Value) -> bool {
        self.affords(value) && self.validator.is_valid(value)
    }

    /// Where the value doesn't fit and by which keyword, without the value: `/amount: maximum`.
    #[must_use]
    pub fn misfit(&self, value: &Value) -> Option<String> {
        let misfit = match self.telling(value) {
            Telling::Nothing => return None,
            Telling::TooLarge => Misfit::too_large(),
            Telling::NoPlace => Misfit::without_place(),
            Telling::First | Telling::All => self.first(value),
        };
        Some(misfit.text)
    }

    /// All places where it doesn't fit; of a large value the first, or none.
    pub(crate) fn misfits<'v>(&'v self, value: &'v Value) -> impl Iterator<Item = Misfit> + 'v {
        let telling = self.telling(value);
        let some = match telling {
            Telling::Nothing | Telling::All => Vec::new(),
            Telling::TooLarge => vec![Misfit::too_large()],
            Telling::NoPlace => vec![Misfit::without_place()],
            Telling::First => vec![self.first(value), Misfit::others()],
        };
        let errors = (telling == Telling::All).then(|| self.validator.iter_errors(value));
        let all = errors.into_iter().flatten();
        some.into_iter().chain(all.map(|error| Misfit::of(&error)))
    }

    /// How much can be said of a value. Whether it fits takes the validator hardly any memory.
    fn telling(&self, value: &Value) -> Telling {
        if !self.affords(value) {
            return Telling::TooLarge;
        }
        if self.validator.is_valid(value) {
            return Telling::Nothing;
        }
        let levels = u64::try_from(depth(value)).unwrap_or(u64::MAX);
        let levels = levels.saturating_add(1);
        let errors = self.errors.saturating_mul(levels.min(self.levels));
        let bytes = self.noting.bytes(value, levels);
        match bytes.saturating_mul(errors) <= SCHEMA_TELLING_BYTES_MAX {
            true => Telling::All,
            // Of alternatives everything is noted, whatever is asked for.
            false if self.noting.has_alternatives => Telling::NoPlace,
            false => Telling::First,
        }
    }

    /// The first place where a value doesn't fit that is known not to.
    fn first(&self, value: &Value) -> Misfit {
        match self.validator.validate(value) {
            Err(error) => Misfit::of(&error),
            Ok(()) => Misfit::without_place(),
        }
    }

    /// Whether the value is small enough for what this schema holds each part of it, and each text, against. For all but the
    /// heaviest schemas every value of a call is, but results may have more parts, and texts of many MiB.
    fn affords(&self, value: &Value) -> bool {
        let nodes_max = quotient(SCHEMA_VISITS_MAX, self.weight);
        let bytes_max = quotient(SCHEMA_PATTERN_STEPS_MAX, self.states);
        nodes(value) <= nodes_max && (bytes_max == usize::MAX || text_bytes(value) <= bytes_max)
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
    /// Of a value that is not held against a schema, as that would take too long.
    fn too_large() -> Self {
        Self {
            text: "/: too large for its schema".to_owned(),
            pointer: String::new(),
        }
    }

    /// Of a value that doesn't fit, where it would take too much memory to say where.
    fn without_place() -> Self {
        Self {
            text: "/: too much to say where".to_owned(),
            pointer: String::new(),
        }
    }

    /// Of all that would have to be looked for behind the first.
    fn others() -> Self {
        Self {
            text: "perhaps others".to_owned(),
            pointer: String::new(),
        }
    }

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

/// Whether a text is a regular expression. Of all formats this one alone takes more time than in proportion.
fn is_regex(text: &str) -> bool {
    text.len() <= SCHEMA_REGEX_BYTES_MAX && jsonschema_regex::is_valid_ecma_regex(text)
}

/// What each compiled pattern may take: the less, the more different ones there are.
fn pattern_bytes_max(schema: &Value) -> Result<usize, SchemaError> {
    let mut found = HashSet::new();
    patterns(schema, &mut found);
    if found.len() > SCHEMA_PATTERNS_MAX {
        return Err(SchemaError::Patterns);
    }
    let part = SCHEMA_PATTERNS_BYTES_MAX.checked_div(found.len());
    Ok(part.map_or(SCHEMA_PATTERN_BYTES_MAX, |part| {
        part.min(SCHEMA_PATTERN_BYTES_MAX)
    }))
}

/// All that may be compiled as a pattern: what looks like data counts, too, as a reference may lead there.
fn patterns<'s>(schema: &'s Value, found: &mut HashSet<&'s str>) {
    match schema {
        Value::Array(elements) => {
            for inner in elements {
                patterns(inner, found);
            }
        }
        Value::Object(members) => {
            for (name, inner) in members {
                match (name.as_str(), inner) {
                    ("pattern", Value::String(pattern)) => {
                        found.insert(pattern);
                    }
                    ("patternProperties", Value::Object(named)) => {
                        found.extend(named.keys().map(String::as_str));
                    }
                    _ => {}
                }
                patterns(inner, found);
            }
        }
        _ => {}
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

/// How many there may be, if each costs so much.
fn quotient(most: u64, each: u64) -> usize {
    let quotient = most.checked_div(each);
    quotient.map_or(usize::MAX, |most| {
        usize::try_from(most).unwrap_or(usize::MAX)
    })
}

/// How many values a value is made of.
pub(crate) fn nodes(value: &Value) -> usize {
    let inner: usize = match value {
        Value::Array(elements) => elements.iter().map(nodes).sum(),
        Value::Object(members) => members.values().map(nodes).sum(),
        _ => 0,
    };
    inner.saturating_add(1)
}

/// The bytes of all its texts and names, with one more for each: its beginning is held against a pattern, too.
fn text_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len().saturating_add(1),
        Value::Array(elements) => elements.iter().map(text_bytes).sum(),
        Value::Object(members) => {
            let names = members.keys().map(|name| name.len().saturating_add(1));
            names.chain(members.values().map(text_bytes)).sum()
        }
        _ => 0,
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
    fn references_lead_where_the_validator_finds_them() {
        // Decoys stand under the names as they are written.
        let refers = |i: usize| json!({"$ref": format!("#/$defs/%64{i}")});
        let laugh = (0..40).map(|i| {
            let next = refers(i + 1);
            (format!("d{i}"), json!({"allOf": [next, next]}))
        });
        let decoys = (0..41).map(|i| (format!("%64{i}"), json!(true)));
        let end = [("d40".to_owned(), json!(true))];
        let laugh: serde_json::Map<_, _> = laugh.chain(decoys).chain(end).collect();
        let twice = json!({"allOf": [{"$ref": "#/$defs/%61"}, {"$ref": "#/$defs/%61"}]});
        for bad in [
            json!({"$defs": laugh, "properties": {"a": refers(0)}}),
            json!({"$defs": {"%61": true, "a": {"properties": {"a": twice}}}, "$ref": "#/$defs/a"}),
            json!({"$defs": {"%61": true, "a": {"allOf": [{"$ref": "#/$defs/%61"}]}}}),
            json!({"$defs": {"~~01": true, "~~1": true}, "$ref": "#/$defs/~~01"}),
            json!({"$defs": {"a": true}, "$ref": "#%2F$defs%2Fa"}),
            json!({"$defs": {"%6": true}, "$ref": "#/$defs/%6"}),
            json!({"$defs": {"%FF": true}, "$ref": "#/$defs/%FF"}),
        ] {
            let error = Schema::compile(&bad).err();
            assert_eq!(error, Some(SchemaError::Reference), "{bad}");
        }
        for (written, name) in [
            ("Foo%3CBar%3E", "Foo<Bar>"),
            ("List%5bItem%5D", "List[Item]"),
            ("caf%C3%A9", "caf\u{e9}"),
            ("a~1b~0c", "a/b~c"),
            ("a%7E1b", "a/b"),
            ("~01", "~1"),
            ("a~2", "a~2"),
            ("100%25", "100%"),
            ("%2561", "%61"),
        ] {
            let reference = format!("#/definitions/{written}");
            let named = json!({ name: {"type": "string"} });
            let schema = json!({"properties": {"a": {"$ref": reference}}, "definitions": named});
            let schema = Schema::compile(&schema).expect(written);
            assert!(schema.fits(&json!({"a": "x"})), "{written}");
            assert!(!schema.fits(&json!({"a": 1})), "{written}");
        }
    }

    #[test]
    fn patterns_have_a_bound_together() {
        fn schema(count: usize, pattern: impl Fn(usize) -> String) -> Value {
            Value::from_iter((0..count).map(|i| json!({"pattern": pattern(i)})))
        }
        // Some 40 kB for each letter.
        let letters = |i: usize| format!(r"^(?:\p{{L}}{{4}}|-)k{i}$");
        let short = |i: usize| format!("^(?:[a-z]{{10}}|-)k{i}$");
        let ahead: String = (0..SCHEMA_PATTERNS_MAX)
            .map(|i| format!("(?=.*k{i})"))
            .collect();
        let names = (0..=SCHEMA_PATTERNS_MAX).map(|i| (short(i), json!(true)));
        let names: serde_json::Map<_, _> = names.collect();
        let many = schema(SCHEMA_PATTERNS_MAX + 1, short);
        for good in [
            json!({"prefixItems": schema(1, letters)}),
            json!({"prefixItems": schema(10, letters)}),
            json!({"prefixItems": schema(SCHEMA_PATTERNS_MAX, short)}),
            json!({"prefixItems": schema(2_000, |_| short(1))}),
            json!({"pattern": "^(?=.*a)(?!b)[a-z]+$"}),
        ] {
            assert_eq!(Schema::compile(&good).err(), None, "{good}");
        }
        for bad in [
            json!({"prefixItems": many}),
            json!({"patternProperties": names}),
            json!({"pattern": format!("^{ahead}k")}),
            json!({"$ref": "#/examples/0", "examples": [{"prefixItems": many}]}),
        ] {
            let error = Schema::compile(&bad).err();
            assert_eq!(error, Some(SchemaError::Patterns), "{bad}");
        }
        let large = Schema::compile(&json!({"prefixItems": schema(SCHEMA_PATTERNS_MAX, letters)}));
        assert!(matches!(large, Err(SchemaError::Invalid(_))));
    }

    #[test]
    fn a_long_text_is_no_regular_expression() {
        let schema = json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "properties": {"p": {"type": "string", "format": "regex"}},
        });
        let schema = Schema::compile(&schema).unwrap();
        let groups =
            |count: usize| -> String { (0..count).map(|i| format!("(?<g{i}>)")).collect() };
        for (text, misfit) in [
            ("^(?<year>[0-9]{4})-".to_owned(), None),
            (groups(400), None),
            ("(a".to_owned(), Some("/p: format")),
            ("(?<a>)(?<a>)".to_owned(), Some("/p: format")),
            ("a".repeat(SCHEMA_REGEX_BYTES_MAX), None),
            ("a".repeat(SCHEMA_REGEX_BYTES_MAX + 1), Some("/p: format")),
            // Billions of comparisons of names.
            (groups(90_000), Some("/p: format")),
        ] {
            let value = json!({ "p": text });
            assert_eq!(schema.misfit(&value).as_deref(), misfit);
            assert_eq!(schema.fits(&value), misfit.is_none());
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

//! Constants in the schema of an action: words of the intent, each for the argument that it stands at.

use super::choice;
use super::fingerprint::Fingerprinter;
use super::index::Index;
use super::note::put_whole;
use super::query::{Query, Spelled};
use super::value::Kind;
use crate::limits::{INTENT_SUBSCHEMAS_MAX, JSON_DEPTH_MAX, ORIGINS_TEXT_BYTES_MAX};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, VecDeque};

/// What the schema of one action says that its arguments may be. A constant proves a value where it stands, and nowhere
/// else: who allows to read one file has named nobody to send money to.
#[derive(Debug)]
pub(crate) struct Constants {
    keyed: Fingerprinter,
    places: Vec<Pinned>,
}

/// The constants at one place.
#[derive(Debug)]
struct Pinned {
    what: What,
    /// Steps to the place; `None` stands for any one.
    at: Vec<Option<String>>,
    values: Index,
    /// The booleans among them: no text and no number.
    flags: Vec<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum What {
    /// What stands there.
    Value,
    /// The last step itself: the name of a member.
    Name,
}

/// Steps to a place in a schema's instances.
type Steps<'s> = Vec<Option<&'s str>>;

impl Constants {
    /// Of an action's schema, if it has one; `key` as for the goal.
    pub(crate) fn of(key: &[u8; 16], schema: Option<&Value>) -> Self {
        let keyed = Fingerprinter::new(key);
        let found = schema.map(collect).unwrap_or_default();
        let pinned = |((what, at), constants): ((What, Steps<'_>), Vec<Value>)| {
            let mut values = Index::new(usize::MAX);
            for constant in &constants {
                put_whole(&mut values, constant, 0, &keyed);
            }
            Pinned {
                what,
                at: at.into_iter().map(|step| step.map(str::to_owned)).collect(),
                values,
                flags: constants.iter().filter_map(Value::as_bool).collect(),
            }
        };
        let places = found.into_iter().map(pinned).collect();
        Self { keyed, places }
    }

    /// Whether a value is one of those for its place.
    pub(super) fn has(&self, path: &[&str], value: &Spelled, exact: bool) -> bool {
        self.proves(path, exact, || value.query(&self.keyed))
    }

    /// The same of a value of a known kind.
    pub(super) fn has_typed(&self, path: &[&str], kind: Kind, canonical: &str) -> bool {
        self.proves(path, false, || Query::typed(kind, canonical, &self.keyed))
    }

    /// The same of a boolean.
    pub(super) fn has_flag(&self, path: &[&str], flag: bool) -> bool {
        let mut pinned = self.at(What::Value, path);
        pinned.any(|pinned| pinned.flags.contains(&flag))
    }

    fn proves(&self, path: &[&str], exact: bool, query: impl FnOnce() -> Query) -> bool {
        let mut pinned = self.at(What::Value, path).peekable();
        // Most places have none.
        if pinned.peek().is_none() {
            return false;
        }
        let query = query();
        pinned.any(|pinned| pinned.values.proofs(&query, exact).next().is_some())
    }

    /// Whether the name of a member is one of those for its place.
    pub(super) fn has_name(&self, path: &[&str], name: &str) -> bool {
        let key = || self.keyed.of(Kind::Exact, name);
        self.at(What::Name, path)
            .any(|pinned| pinned.values.has(key()))
    }

    fn at(&self, what: What, path: &[&str]) -> impl Iterator<Item = &Pinned> {
        let stands = move |pinned: &&Pinned| {
            let mut steps = pinned.at.iter().zip(path);
            pinned.what == what
                && pinned.at.len() == path.len()
                && steps.all(|(step, here)| step.as_deref().is_none_or(|step| step == *here))
        };
        self.places.iter().filter(stands)
    }

    /// Adds the origin `goal` to those of each argument that is one of the constants for its place.
    pub(crate) fn mark(&self, arguments: &Value, origins: &mut BTreeMap<String, Vec<String>>) {
        if self.places.is_empty() {
            return;
        }
        for (pointer, noted) in origins {
            let Some((path, scalar)) = way(arguments, pointer) else {
                continue;
            };
            let long = |text: &str| text.len() > ORIGINS_TEXT_BYTES_MAX;
            if self.at(What::Value, &path).next().is_none() || scalar.as_str().is_some_and(long) {
                continue;
            }
            let pinned = Spelled::of(scalar).is_some_and(|value| self.has(&path, &value, false));
            if pinned && noted.iter().all(|origin| origin != "goal") {
                noted.insert(0, "goal".to_owned());
            }
        }
    }
}

/// The steps of a pointer as rules see them, and what stands at its end.
fn way<'v>(arguments: &'v Value, pointer: &str) -> Option<(Vec<&'v str>, &'v Value)> {
    let mut path = Vec::new();
    let mut value = arguments;
    for step in pointer.split('/').skip(1) {
        match value {
            Value::Array(elements) => {
                path.push("*");
                value = elements.get(step.parse::<usize>().ok()?)?;
            }
            Value::Object(members) => {
                let name = step.replace("~1", "/").replace("~0", "~");
                let (name, member) = members.get_key_value(&name)?;
                path.push(name.as_str());
                value = member;
            }
            _ => return None,
        }
    }
    Some((path, value))
}

/// Keywords with a schema, or a list of them, for what is any one step below.
const ANY_STEP: [&str; 6] = [
    "items",
    "prefixItems",
    "additionalItems",
    "unevaluatedItems",
    "additionalProperties",
    "unevaluatedProperties",
];

/// Most constants of one schema, at all places of a recursive one together. Those beyond prove nothing.
const CONSTANTS_MAX: usize = 65_536;

/// The constants of a schema by their places. Only those that arguments may have: what stands under `not`, `if` or
/// `contains` is there to be kept out, or to tell cases apart.
fn collect(root: &Value) -> BTreeMap<(What, Steps<'_>), Vec<Value>> {
    let mut found = BTreeMap::new();
    let mut left = CONSTANTS_MAX;
    let mut pending = VecDeque::from([(root, What::Value, Steps::new())]);
    // A recursive schema has places without end: the nearest come first.
    for _ in 0..INTENT_SUBSCHEMAS_MAX {
        let Some((schema, what, at)) = pending.pop_front() else {
            break;
        };
        let Some(members) = schema.as_object() else {
            continue;
        };
        let listed = members.get("enum").and_then(Value::as_array);
        for constant in members
            .get("const")
            .into_iter()
            .chain(listed.into_iter().flatten())
        {
            take(constant, what, &at, &mut left, &mut found);
        }
        // What would never be looked at does not wait either.
        let room = |pending: &VecDeque<_>| INTENT_SUBSCHEMAS_MAX.saturating_sub(pending.len());
        let same = same_place(root, members).into_iter().take(room(&pending));
        pending.extend(same.map(|schema| (schema, what, at.clone())));
        if what == What::Name || at.len() >= JSON_DEPTH_MAX {
            continue;
        }
        let below = |step| -> Steps<'_> { at.iter().copied().chain([step]).collect() };
        let names = members
            .get("propertyNames")
            .into_iter()
            .take(room(&pending));
        pending.extend(names.map(|schema| (schema, What::Name, below(None))));
        let parts = one_below(members).into_iter().take(room(&pending));
        pending.extend(parts.map(|(step, schema)| (schema, What::Value, below(step))));
    }
    found
}

/// Notes the texts, numbers and booleans of a constant.
fn take<'s>(
    constant: &'s Value,
    what: What,
    at: &[Option<&'s str>],
    left: &mut usize,
    found: &mut BTreeMap<(What, Steps<'s>), Vec<Value>>,
) {
    let mut below = |step: Option<&'s str>, constant: &'s Value| {
        let at: Steps<'s> = at.iter().copied().chain([step]).collect();
        take(constant, what, &at, left, found);
    };
    match constant {
        Value::Array(elements) => elements.iter().for_each(|element| below(None, element)),
        Value::Object(members) => {
            for (name, member) in members {
                below(Some(name.as_str()), member);
            }
        }
        Value::String(_) | Value::Number(_) | Value::Bool(_) => {
            let Some(rest) = left.checked_sub(1) else {
                return;
            };
            *left = rest;
            let values: &mut Vec<Value> = found.entry((what, at.to_vec())).or_default();
            values.push(constant.clone());
        }
        Value::Null => {}
    }
}

/// Subschemas that speak of the same value.
fn same_place<'s>(root: &'s Value, members: &'s Map<String, Value>) -> Vec<&'s Value> {
    let mut schemas: Vec<&'s Value> = Vec::new();
    for keyword in ["then", "else", "$ref"] {
        schemas.extend(members.get(keyword).and_then(|schema| match schema {
            // Constants behind a long one prove nothing.
            Value::String(reference) => choice::near(root, reference),
            schema => Some(schema),
        }));
    }
    for keyword in ["allOf", "anyOf", "oneOf"] {
        let each = members.get(keyword).and_then(Value::as_array);
        schemas.extend(each.into_iter().flatten());
    }
    let dependent = members.get("dependentSchemas").and_then(Value::as_object);
    schemas.extend(dependent.into_iter().flat_map(|schemas| schemas.values()));
    schemas
}

/// Subschemas that speak of what is one step below, each with the step.
fn one_below(members: &Map<String, Value>) -> Vec<(Option<&str>, &Value)> {
    let mut schemas: Vec<(Option<&str>, &Value)> = Vec::new();
    for keyword in ANY_STEP {
        match members.get(keyword) {
            Some(Value::Array(each)) => schemas.extend(each.iter().map(|schema| (None, schema))),
            Some(schema) => schemas.push((None, schema)),
            None => {}
        }
    }
    let patterns = members.get("patternProperties").and_then(Value::as_object);
    for schema in patterns.into_iter().flat_map(|schemas| schemas.values()) {
        schemas.push((None, schema));
    }
    let properties = members.get("properties").and_then(Value::as_object);
    for (name, schema) in properties.into_iter().flatten() {
        schemas.push((Some(name.as_str()), schema));
    }
    schemas
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_constant_stands_at_its_place_alone() {
        let constants = Constants::of(
            &[1; 16],
            Some(&json!({
                "properties": {
                    "to": {"$ref": "#/$defs/payee"},
                    "cc": {"items": {"$ref": "#/$defs/payee"}},
                    "bcc": {"$ref": "#/$defs/Payee%3Clate%3E"},
                    "payments": {"prefixItems": [{"properties": {"amount": {"const": 5}}}]},
                    "list": {"const": ["one", {"two": "three"}]},
                    "by_name": {"propertyNames": {"enum": ["bob"]}, "additionalProperties": {"const": 7}},
                    "public": {"const": false},
                    "not_this": {"not": {"const": "eve"}, "contains": {"const": "eve"}, "if": {"const": "eve"}},
                },
                "then": {"properties": {"note": {"enum": ["rent"]}}},
                "$defs": {
                    "payee": {"anyOf": [{"const": "alice"}, {"enum": ["carol"]}]},
                    "Payee<late>": {"const": "dave"},
                },
            })),
        );
        let has = |path: &[&str], value: Value| {
            let value = Spelled::of(&value);
            value.is_some_and(|value| constants.has(path, &value, false))
        };
        for (path, value) in [
            (&["to"][..], json!("alice")),
            (&["to"], json!("Carol")),
            (&["cc", "*"], json!("alice")),
            (&["bcc"], json!("dave")),
            (&["payments", "*", "amount"], json!(5.0)),
            (&["list", "*"], json!("one")),
            (&["list", "*", "two"], json!("three")),
            (&["by_name", "anybody"], json!(7)),
            (&["note"], json!("rent")),
        ] {
            assert!(has(path, value.clone()), "{path:?} {value}");
        }
        for (path, value) in [
            (&["subject"][..], json!("alice")),
            (&["cc"], json!("alice")),
            (&["payments", "*", "number"], json!(5)),
            (&["amount"], json!(5)),
            (&["not_this"], json!("eve")),
            (&["by_name", "anybody"], json!("bob")),
            (&["to"], json!("rent")),
        ] {
            assert!(!has(path, value.clone()), "{path:?} {value}");
        }
        assert!(constants.has_flag(&["public"], false));
        assert!(!constants.has_flag(&["public"], true));
        assert!(!constants.has_flag(&["private"], false));
        assert!(constants.has_name(&["by_name", "bob"], "bob"));
        assert!(!constants.has_name(&["by_name", "eve"], "eve"));
        assert!(!constants.has_name(&["to"], "alice"));
    }

    /// It would be read as a whole for each of thousands of schemas.
    #[test]
    fn a_long_reference_leads_nowhere() {
        for (bytes, leads) in [(1_000, true), (1_100, false), (60_000, false)] {
            let name = "a".repeat(bytes);
            let reference = json!({"$ref": format!("#/$defs/{name}")});
            let schema =
                json!({"properties": {"to": reference}, "$defs": {name: {"const": "alice"}}});
            let constants = Constants::of(&[1; 16], Some(&schema));
            let alice = Spelled::text("alice".to_owned());
            assert_eq!(constants.has(&["to"], &alice, true), leads, "{bytes}");
        }
    }

    /// Each level has two of the next, without end.
    #[test]
    fn a_recursive_schema_ends() {
        let schema = json!({"properties": {
            "left": {"$ref": "#"}, "right": {"$ref": "#"}, "name": {"const": "alice"},
        }});
        let constants = Constants::of(&[1; 16], Some(&schema));
        let alice = Spelled::text("alice".to_owned());
        assert!(constants.has(&["left", "right", "name"], &alice, true));
        assert!(constants.places.len() <= INTENT_SUBSCHEMAS_MAX);
    }
}

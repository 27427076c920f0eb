//! What becomes of the keywords around a `pattern` that is dropped. Most ask for less then, which is what is meant. Some ask for
//! more: what is not to match, or to match once, matches too often. Those are given up together with the pattern.

use super::holds::Holds;
use super::pattern::is_dropped;
use super::pointer::{path, target};
use super::references::address;
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// Keywords that ask for more when what is in them asks for less; `contains` by the `maxContains` beside it.
const CONTRARY: [&str; 4] = ["not", "oneOf", "if", "contains"];
/// Most subschemas and bytes of patterns that are looked at, over and over for keywords within keywords: some milliseconds.
/// Beyond, a keyword is taken for one that has such a pattern in it.
const STEPS_MAX: usize = 1 << 20;

/// Gives up what would ask for more without the patterns that are dropped.
pub(super) fn loosen(schema: &mut Value) {
    for (place, keyword) in places(schema) {
        if let Some(Value::Object(members)) = schema.pointer_mut(&place) {
            ask_less(members, keyword);
        }
    }
}

fn ask_less(members: &mut Map<String, Value>, keyword: &str) {
    match keyword {
        // One of them at least still has to match, and says which members are known.
        "oneOf" => {
            if let Some(branches) = members.remove("oneOf") {
                let all = members.entry("allOf").or_insert_with(|| json!([]));
                if let Value::Array(all) = all {
                    all.push(json!({ "anyOf": branches }));
                }
            }
        }
        "contains" => drop(members.remove("maxContains")),
        // `then` and `else` mean nothing without their `if`.
        keyword => drop(members.remove(keyword)),
    }
}

/// The schemas that have such a keyword, by JSON Pointer: of keywords within keywords, the outermost.
fn places(root: &Value) -> Vec<(String, &'static str)> {
    let mut search = Search {
        root,
        left: STEPS_MAX,
    };
    let mut places = Vec::new();
    if !search.leads_to_dropped(root) {
        return places;
    }
    let referred = references(root);
    let mut pending = vec![(root, Holds::Schema, String::new())];
    while let Some((node, holds, place)) = pending.pop() {
        let members = match node {
            Value::Array(elements) => {
                let elements = elements.iter().enumerate();
                pending.extend(
                    elements.map(|(at, inner)| (inner, holds.element(), format!("{place}/{at}"))),
                );
                continue;
            }
            Value::Object(members) if holds != Holds::Data => members,
            _ => continue,
        };
        for (name, inner) in members {
            let within = format!("{place}/{}", escaped(name));
            let keyword = CONTRARY.into_iter().find(|keyword| keyword == name);
            let keyword = keyword.filter(|_| holds == Holds::Schema);
            let counts = members.contains_key("maxContains");
            if let Some(keyword) = keyword
                && (keyword != "contains" || counts)
                // What is referred to has to stay where it is.
                && !is_referred_to(&referred, &within)
                && search.leads_to_dropped(inner)
            {
                places.push((place.clone(), keyword));
                if keyword != "contains" {
                    continue;
                }
            }
            pending.push((inner, holds.member(name), within));
        }
    }
    places
}

/// A name as a step of a JSON Pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// What all references lead to, wherever they stand, by JSON Pointer.
fn references(root: &Value) -> Vec<String> {
    let (mut found, mut pending) = (Vec::new(), vec![root]);
    while let Some(node) = pending.pop() {
        match node {
            Value::Array(elements) => pending.extend(elements),
            Value::Object(members) => {
                let reference = members.get("$ref").and_then(Value::as_str);
                found.extend(reference.and_then(path).map(|path| plain(&path)));
                pending.extend(members.values());
            }
            _ => {}
        }
    }
    found
}

/// A JSON Pointer as `places` writes it: `~2` is a name like any other, whose `~` may be escaped.
fn plain(pointer: &str) -> String {
    let names = pointer.split('/').map(|step| {
        let name = step.replace("~1", "/").replace("~0", "~");
        escaped(&name)
    });
    names.collect::<Vec<_>>().join("/")
}

fn is_referred_to(references: &[String], place: &str) -> bool {
    references.iter().any(|pointer| {
        let below = pointer.strip_prefix(place);
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    })
}

struct Search<'a> {
    root: &'a Value,
    left: usize,
}

impl<'a> Search<'a> {
    /// Whether a pattern that is dropped is below a schema, references followed.
    fn leads_to_dropped(&mut self, schema: &'a Value) -> bool {
        let mut seen = HashSet::new();
        let mut pending = vec![(schema, Holds::Schema)];
        while let Some((node, holds)) = pending.pop() {
            if self.left == 0 {
                return true;
            }
            self.left = self.left.saturating_sub(1);
            if holds == Holds::Data || !seen.insert((address(node), holds)) {
                continue;
            }
            match node {
                Value::Array(elements) => {
                    pending.extend(elements.iter().map(|inner| (inner, holds.element())));
                }
                Value::Object(members) => {
                    if holds == Holds::Schema {
                        if self.has_dropped(members) {
                            return true;
                        }
                        pending.extend(self.target(members).map(|to| (to, Holds::Schema)));
                    }
                    let members = members.iter();
                    pending.extend(members.map(|(name, inner)| (inner, holds.member(name))));
                }
                _ => {}
            }
        }
        false
    }

    fn has_dropped(&mut self, members: &Map<String, Value>) -> bool {
        let Some(Value::String(pattern)) = members.get("pattern") else {
            return false;
        };
        self.left = self.left.saturating_sub(pattern.len());
        is_dropped(pattern)
    }

    fn target(&self, members: &'a Map<String, Value>) -> Option<&'a Value> {
        target(self.root, members.get("$ref")?.as_str()?)
    }
}

#[cfg(test)]
mod tests {
    use crate::schema::Schema;
    use serde_json::{Value, json};

    fn check(schema: &Value, fits: &[Value], misfits: &[Value]) {
        let compiled = Schema::compile(schema).unwrap();
        for value in fits {
            assert!(compiled.fits(value), "{schema} {value}");
        }
        for value in misfits {
            assert!(!compiled.fits(value), "{schema} {value}");
        }
    }

    #[test]
    fn what_would_ask_for_more_without_a_pattern_is_given_up_with_it() {
        let beyond = json!({ "pattern": "(?<=a)b" });
        let text = json!({ "type": "string", "pattern": "(?<=a)b" });
        let b = json!({ "type": "string", "pattern": "^b" });
        for (schema, fits, misfits) in [
            (
                json!({ "not": beyond, "maxLength": 3 }),
                vec![json!("x"), json!("ab"), json!(5)],
                vec![json!("long")],
            ),
            (
                json!({ "oneOf": [text, b], "maxLength": 3 }),
                vec![json!("b"), json!("ab"), json!("x")],
                vec![json!("long"), json!(5)],
            ),
            (
                json!({ "if": beyond, "then": { "maxLength": 1 }, "else": { "minLength": 3 }, "type": "string" }),
                vec![json!("ab"), json!("x"), json!("long")],
                vec![json!(5)],
            ),
            (
                json!({ "contains": beyond, "maxContains": 1, "minContains": 1 }),
                vec![json!(["ab", "x", "y"])],
                vec![json!([])],
            ),
            // Wherever it is below, and by a reference.
            (
                json!({ "properties": { "v": { "not": { "anyOf": [{ "properties": { "w": beyond } }] } } } }),
                vec![json!({ "v": { "w": "x" } }), json!({ "v": 1 })],
                vec![],
            ),
            (
                json!({ "$defs": { "t": text }, "oneOf": [{ "$ref": "#/$defs/t" }, b] }),
                vec![json!("b"), json!("ab")],
                vec![json!(5)],
            ),
            // However that is written.
            (
                json!({
                    "definitions": {
                        "Id<A>": text,
                        "Id<B>": { "type": "string", "pattern": "(?<=b)a" },
                    },
                    "oneOf": [
                        { "$ref": "#/definitions/Id%3CA%3E" },
                        { "$ref": "#/definitions/Id%3CB%3E" },
                    ],
                }),
                vec![json!("x"), json!("ab")],
                vec![json!(5)],
            ),
            (
                json!({ "$defs": { "a b": beyond }, "not": { "$ref": "#/$defs/a%20b" }, "maxLength": 3 }),
                vec![json!("x"), json!("ab")],
                vec![json!("long")],
            ),
            (
                json!({ "not": { "not": beyond } }),
                vec![json!("x"), json!("ab")],
                vec![],
            ),
            // What is beside it holds.
            (
                json!({ "allOf": [{ "minLength": 1 }], "oneOf": [text, b], "not": { "const": "x" } }),
                vec![json!("b"), json!("ab")],
                vec![json!(""), json!("x")],
            ),
            (
                json!({
                    "oneOf": [
                        { "properties": { "a": text }, "required": ["a"] },
                        { "properties": { "b": {} }, "required": ["b"] },
                    ],
                    "unevaluatedProperties": false,
                }),
                vec![json!({ "a": "ab" }), json!({ "b": 1 })],
                vec![json!({ "c": 1 }), json!({ "b": 1, "c": 1 })],
            ),
        ] {
            check(&schema, &fits, &misfits);
        }
    }

    #[test]
    fn what_has_no_such_pattern_holds() {
        let ahead = json!({ "pattern": "^(?!con)[a-z]+$" });
        let constant = json!({ "pattern": "(?<=a)b" });
        for (schema, fits, misfits) in [
            (
                json!({ "not": ahead }),
                vec![json!("con")],
                vec![json!("x")],
            ),
            (
                json!({ "oneOf": [{ "pattern": "^a" }, { "pattern": "b$" }] }),
                vec![json!("a"), json!("b")],
                vec![json!("ab"), json!("c")],
            ),
            (
                json!({ "not": { "const": constant }, "properties": { "v": { "pattern": "(?<=a)b" } } }),
                vec![json!({ "v": "x" })],
                vec![constant.clone()],
            ),
            (
                json!({ "if": { "type": "string" }, "then": { "pattern": "(?<=a)b" }, "else": { "maximum": 3 } }),
                vec![json!("x"), json!(3)],
                vec![json!(4)],
            ),
            (
                json!({ "anyOf": [{ "pattern": "(?<=a)b" }, { "type": "null" }], "oneOf": [{ "type": "string" }, { "type": "null" }] }),
                vec![json!("x"), json!(null)],
                vec![json!(5)],
            ),
            // A member of that name is no keyword.
            (
                json!({ "properties": { "not": { "pattern": "(?<=a)b", "maxLength": 2 } } }),
                vec![json!({ "not": "x" })],
                vec![json!({ "not": "long" })],
            ),
        ] {
            check(&schema, &fits, &misfits);
        }
    }

    #[test]
    fn what_is_referred_to_stays_where_it_is() {
        let text = json!({ "type": "string", "pattern": "(?<=a)b" });
        for (name, written) in [
            ("v", "v"),
            ("List<T>", "List%3CT%3E"),
            ("a b", "a%20b"),
            ("a/b~", "a~1b%7E0"),
            ("a~2", "a~2"),
        ] {
            let schema = json!({ "properties": {
                name: { "oneOf": [text, { "type": "null" }] },
                "w": { "$ref": format!("#/properties/{written}/oneOf/0") },
            } });
            check(
                &schema,
                &[json!({ name: "x", "w": "y" }), json!({ name: null })],
                &[json!({ "w": null }), json!({ name: 5 })],
            );
        }
    }

    #[test]
    fn what_bounds_an_agent_is_not_loosened() {
        let schema = json!({ "not": { "pattern": "(?<=a)b" } });
        assert!(Schema::compile_whole(&schema).is_err());
    }
}

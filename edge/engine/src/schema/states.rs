//! How many states the automaton of a `pattern` has: that is what one byte of a text may cost. In the worst case each byte meets
//! every state, as the engine keeps no more than a few of the many sets of states that a count makes. What else reads a whole text
//! is counted in states that take as long.

use super::compared;
use jsonschema_regex::Search;
use regex_syntax::hir::{Class, Hir, HirKind};
use serde_json::Value;
use std::slice;

/// Ranges of a class that a byte is compared with in the time of one state.
const RANGES_OF_STATE: usize = 8;
/// Most ranges that a byte is compared with: of large classes each byte has its own.
const RANGES_MAX: usize = 64;

/// Of a `format` or a `contentEncoding`.
const STATES_OF_FORMAT: u64 = 1;
/// Of a text that is read as JSON.
const STATES_OF_JSON: u64 = 8;
/// Of a text that is read as a regular expression of the greatest length.
const STATES_OF_REGEX: u64 = 64;

/// All that may read the whole of a text, or of the names of members.
pub(super) const KEYWORDS: [&str; 10] = [
    "pattern",
    "patternProperties",
    "format",
    "contentEncoding",
    "contentMediaType",
    "minLength",
    "maxLength",
    "uniqueItems",
    "enum",
    "const",
];

/// Of what one of these keywords has.
pub(super) fn of_keyword(keyword: &str, value: &Value) -> u64 {
    match (keyword, value) {
        ("pattern", Value::String(pattern)) => of(pattern),
        ("patternProperties", Value::Object(named)) => named
            .keys()
            .map(|pattern| of(pattern))
            .fold(0, u64::saturating_add),
        ("format", Value::String(format)) if format == "regex" => STATES_OF_REGEX,
        ("format" | "contentEncoding", _) => STATES_OF_FORMAT,
        ("contentMediaType", _) => STATES_OF_JSON,
        // Characters are counted, and elements written anew: one state is enough.
        ("minLength" | "maxLength", _) | ("uniqueItems", Value::Bool(true)) => 1,
        ("enum", Value::Array(entries)) => compared::long_entries(entries),
        ("const", entry) => compared::long_entries(slice::from_ref(entry)),
        _ => 0,
    }
}

/// Of one pattern, as the validator compiles it. What can't be compiled meets no text.
fn of(pattern: &str) -> u64 {
    let Ok(translated) = jsonschema_regex::to_rust_regex(pattern) else {
        return 0;
    };
    let parsed = match jsonschema_regex::search_form(pattern, &translated) {
        // `^.{1,5000}$`: characters are counted, and there is no automaton.
        Some(Search::RepeatedClass(_)) => return 1,
        Some(Search::Collapsed(shorter)) => regex_syntax::parse(&shorter),
        None => regex_syntax::parse(&translated),
    };
    parsed.map_or(0, |parsed| of_parsed(&parsed))
}

fn of_parsed(parsed: &Hir) -> u64 {
    match parsed.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => count(literal.0.len()),
        HirKind::Class(class) => of_class(class),
        HirKind::Repetition(repetition) => {
            let least = u64::from(repetition.min);
            let most = repetition.max.map(u64::from);
            let copies = most.unwrap_or(least).max(1);
            let forks = most.map_or(1, |most| most.saturating_sub(least));
            let inner = of_parsed(&repetition.sub);
            inner.saturating_mul(copies).saturating_add(forks)
        }
        HirKind::Capture(capture) => of_parsed(&capture.sub).saturating_add(2),
        HirKind::Concat(parts) => of_parts(parts),
        HirKind::Alternation(parts) => of_parts(parts).saturating_add(count(parts.len())),
    }
}

fn of_parts(parts: &[Hir]) -> u64 {
    parts.iter().map(of_parsed).fold(0, u64::saturating_add)
}

/// However many bytes its characters have, a text is at one of them at a time.
fn of_class(class: &Class) -> u64 {
    let ranges = match class {
        Class::Unicode(class) => class.ranges().len(),
        Class::Bytes(class) => class.ranges().len(),
    };
    let more = ranges.min(RANGES_MAX).checked_div(RANGES_OF_STATE);
    count(more.unwrap_or_default()).saturating_add(1)
}

fn count(some: usize) -> u64 {
    u64::try_from(some).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::of;
    use crate::schema::Schema;
    use serde_json::{Value, json};

    const UUID: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";
    const EMAIL: &str = r"^[\p{L}0-9._%+-]+@[\p{L}0-9.-]+\.\p{L}{2,}$";

    #[test]
    fn counts_are_multiplied_out() {
        for (pattern, least, most) in [
            (UUID, 36, 50),
            (r"^\d{4}-\d{2}-\d{2}$", 10, 20),
            (EMAIL, 7, 60),
            ("^.{1,5000}$", 1, 1),
            (r"^[\s\S]{0,10000}$", 1, 1),
            // Who begins anywhere needs to find no more than the least.
            (r"[\s\S]{0,10000}", 0, 5),
            ("^(?:AED|AFN|ALL)$", 5, 20),
            ("a[ab]{10000}[c-z]", 10_000, 10_010),
            ("x(?:[ab]{100}){100}y", 10_000, 10_300),
            ("x(?:[ab]{0,100}c){0,100}y", 20_000, 21_000),
            ("x(?:a?){1000}y", 2_000, 2_100),
            // No pattern that any text is held against.
            ("(a", 0, 0),
            ("(?=a)b", 0, 0),
        ] {
            let states = of(pattern);
            assert!((least..=most).contains(&states), "{pattern}: {states}");
        }
    }

    fn check(schema: &Value, value: &Value, expected: Option<&str>) {
        let schema = Schema::compile(schema).unwrap();
        assert_eq!(schema.misfit(value).as_deref(), expected);
        assert_eq!(schema.fits(value), expected.is_none());
        let first = schema.misfits(value).next().map(|misfit| misfit.text);
        assert_eq!(first.as_deref(), expected);
    }

    #[test]
    fn a_long_text_is_not_held_against_large_automata() {
        let refused = Some("/: too large for its schema");
        let counts =
            |count: usize| json!({ "not": { "pattern": format!("a[ab]{{{count}}}[c-z]") } });
        let one = json!({ "properties": { "a": counts(10_000) } });
        let many = json!({ "allOf": Value::from_iter((500..700).map(counts)) });
        let reference = json!({ "$ref": "#/$defs/p" });
        let same = json!({ "$defs": { "p": counts(1_000) }, "allOf": vec![reference; 200] });
        let names = json!({ "patternProperties": { "a[ab]{10000}[c-z]": false } });
        let below = json!({ "items": { "$ref": "#" } });
        let tree = json!({ "properties": { "all": below, "name": counts(3_000) } });
        let marked = json!({
            "allOf": [{ "properties": { "all": below } }],
            "properties": { "name": counts(3_000) },
            "unevaluatedProperties": false,
        });
        let text = |bytes: usize| "ab".repeat(bytes / 2);
        let texts = vec![text(9_000); 100];
        for (schema, small, large) in [
            (
                &one,
                json!({ "a": text(2_000) }),
                json!({ "a": text(900_000) }),
            ),
            // Many texts cost what a long one does.
            (&one, json!({ "b": texts.get(..9) }), json!({ "b": texts })),
            (&many, json!(text(100)), json!(text(20_000))),
            (&same, json!(text(100)), json!(text(20_000))),
            (
                &names,
                json!({ (text(20)): 1 }),
                json!({ (text(900_000)): 1 }),
            ),
            (
                &tree,
                json!({ "all": [{ "name": text(100) }] }),
                json!({ "all": [{ "name": text(200_000) }] }),
            ),
            // All levels may be met twice as often as the one above.
            (
                &marked,
                json!({ "all": [{ "name": text(100) }] }),
                json!({ "all": [{ "name": text(20_000) }] }),
            ),
        ] {
            check(schema, &small, None);
            check(schema, &large, refused);
        }
    }

    /// However deep a tree is, each text of it meets its pattern once.
    #[test]
    fn large_trees_are_held_against_usual_patterns() {
        // As zod writes it.
        let any = "00000000-0000-0000-0000-000000000000|ffffffff-ffff-ffff-ffff-ffffffffffff";
        let hex = "[0-9a-fA-F]";
        let id = format!("{hex}{{8}}-{hex}{{4}}-[1-8]{hex}{{3}}-[89abAB]{hex}{{3}}-{hex}{{12}}");
        let author = json!({ "properties": { "id": { "$ref": "#/properties/id" } } });
        let schema = json!({
            "properties": {
                "id": { "type": "string", "pattern": format!("^({id}|{any})$") },
                "author": author,
                "children": { "items": { "$ref": "#" } },
            },
        });
        let comment = |children: Vec<Value>| {
            let id = "0a1b2c3d-0a1b-4a1b-8a1b-0a1b2c3d4e5f";
            let text = "ab ".repeat(300);
            json!({ "id": id, "author": { "id": id }, "text": text, "children": children })
        };
        let answer = comment(vec![comment(vec![]); 1_000]);
        let mut tree = comment(vec![answer; 2]);
        check(&schema, &tree, None);
        tree["children"][1]["children"][999]["id"] = json!("0a1b");
        check(&schema, &tree, Some("/children/1/children/999/id: pattern"));
    }

    #[test]
    fn a_long_text_is_not_read_by_thousands_of_formats() {
        let refused = Some("/: too large for its schema");
        let link = |bytes: usize| format!("https://acme.example/{}", "a".repeat(bytes));
        let list = |elements: usize| format!("[{}0]", "0,".repeat(elements));
        for (keyword, what, small, large) in [
            ("format", "uri", link(1_000), link(600_000)),
            ("format", "regex", "a".repeat(1_000), "a".repeat(10_000)),
            (
                "contentEncoding",
                "base64",
                "a".repeat(1_000),
                "a".repeat(600_000),
            ),
            (
                "contentMediaType",
                "application/json",
                list(1_000),
                list(50_000),
            ),
        ] {
            let draft = "http://json-schema.org/draft-07/schema#";
            let each = json!({ keyword: what });
            let one = json!({ "$schema": draft, "allOf": [each] });
            let many = json!({ "$schema": draft, "allOf": vec![each; 2_000] });
            let large = json!(large);
            check(&many, &json!(small), None);
            check(&many, &large, refused);
            let one = Schema::compile(&one).unwrap();
            assert_ne!(one.misfit(&large).as_deref(), refused, "{what}");
        }
    }

    #[test]
    fn usual_patterns_hold_texts_of_any_length() {
        let (characters, anything) = ("^.{1,5000}$", r"^[\s\S]{0,10000}$");
        let mut properties: serde_json::Map<String, Value> = (0..40)
            .map(|i| {
                (
                    format!("id{i}"),
                    json!({ "type": "string", "pattern": UUID }),
                )
            })
            .collect();
        for (name, pattern) in [
            ("email", EMAIL),
            ("note", characters),
            ("all", anything),
            ("any", r"[\s\S]{0,10000}"),
            ("body", r"^\s*\S"),
        ] {
            properties.insert(name.to_owned(), json!({ "pattern": pattern }));
        }
        let schema =
            json!({ "type": "object", "properties": properties, "additionalProperties": false });
        let id = "0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f";
        for (value, expected) in [
            (
                json!({ "id0": id, "id39": id, "body": "ab ".repeat(300_000) }),
                None,
            ),
            (json!({ "email": "ann@m\u{fc}ller.example" }), None),
            (json!({ "note": "x".repeat(5_000) }), None),
            (json!({ "all": "x\n".repeat(5_000) }), None),
            (json!({ "any": "x\n".repeat(400_000) }), None),
            (json!({ "id1": "0a1b" }), Some("/id1: pattern")),
            (json!({ "email": "ann" }), Some("/email: pattern")),
            (json!({ "note": "x".repeat(5_001) }), Some("/note: pattern")),
            (json!({ "all": "x".repeat(10_001) }), Some("/all: pattern")),
        ] {
            check(&schema, &value, expected);
        }
    }
}

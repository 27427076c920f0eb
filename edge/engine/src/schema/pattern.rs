//! A `pattern` with look-ahead, in linear time. Of what generators write (`^(?!…)(?=…)…`) each look-ahead at the beginning of a text
//! is a pattern of its own, which is to match or not to match. An engine that tries and goes back would do for all of ECMA-262, but
//! its time is not bounded by what a text and a pattern are long: on an edge, one tenant's pattern would stop another's calls.

use super::holds::Holds;
use super::loosen::loosen;
use serde_json::{Map, Value, json};

/// What becomes of a `pattern` that can't be held in linear time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Beyond {
    /// The value isn't held to it, nor to what would hold it to more without it.
    Dropped,
    /// It stays, and the schema is not taken.
    Kept,
}

/// Takes the patterns of a schema apart that no linear engine takes as they are.
pub(super) fn rewrite(schema: &mut Value, beyond: Beyond) {
    if beyond == Beyond::Dropped {
        loosen(schema);
    }
    rewrite_node(schema, Holds::Schema, beyond);
}

fn rewrite_node(node: &mut Value, holds: Holds, beyond: Beyond) {
    match node {
        Value::Array(elements) => {
            for element in elements {
                rewrite_node(element, holds.element(), beyond);
            }
        }
        Value::Object(members) if holds != Holds::Data => {
            if holds == Holds::Schema {
                take_apart(members, beyond);
            }
            for (name, inner) in members.iter_mut() {
                rewrite_node(inner, holds.member(name), beyond);
            }
        }
        _ => {}
    }
}

fn take_apart(members: &mut Map<String, Value>, beyond: Beyond) {
    let Some(Value::String(pattern)) = members.get("pattern") else {
        return;
    };
    if !is_beyond(pattern) {
        return;
    }
    let Some(parts) = parts(pattern) else {
        if beyond == Beyond::Dropped {
            members.remove("pattern");
        }
        return;
    };
    // At the end: what is there already keeps its pointers.
    let all = members.entry("allOf").or_insert_with(|| json!([]));
    if let Value::Array(all) = all {
        all.extend(parts);
        members.remove("pattern");
    }
}

/// The pattern as schemas that all hold: each look-ahead at its beginning, and what follows them. `None` if it is of another form.
fn parts(pattern: &str) -> Option<Vec<Value>> {
    let mut rest = pattern.strip_prefix('^')?;
    let mut parts = Vec::new();
    loop {
        let (wanted, after) = match (rest.strip_prefix("(?="), rest.strip_prefix("(?!")) {
            (Some(after), _) => (true, after),
            (None, Some(after)) => (false, after),
            (None, None) => break,
        };
        let end = group_end(after)?;
        parts.push(part(after.get(..end)?, wanted)?);
        rest = after.get(end.checked_add(1)?..)?;
        if rest.starts_with(['*', '+', '?', '{']) {
            return None;
        }
    }
    // An alternative beside the anchor would not be at the beginning.
    if group_end(rest).is_some() || has_alternatives(rest) {
        return None;
    }
    parts.push(part(rest, true)?);
    Some(parts)
}

/// By this its owner knows a part again, in what is said of a misfit.
const PART: &str = "part of a pattern";

fn part(pattern: &str, wanted: bool) -> Option<Value> {
    let pattern = Some(pattern).filter(|pattern| !is_beyond(pattern))?;
    let pattern = format!("^(?:{pattern})");
    Some(match wanted {
        true => json!({ "pattern": pattern }),
        // What is no text is no match for any pattern, but may be there.
        false => json!({ "not": { "$comment": PART, "type": "string", "pattern": pattern } }),
    })
}

/// Whether this is what a part of a pattern must not be.
pub(super) fn is_part(negated: &Value) -> bool {
    negated.get("$comment").and_then(Value::as_str) == Some(PART)
}

/// Whether it can't be held in linear time, however it is taken apart.
pub(super) fn is_dropped(pattern: &str) -> bool {
    is_beyond(pattern) && parts(pattern).is_none()
}

/// Whether it looks around, or back at what matched.
fn is_beyond(pattern: &str) -> bool {
    structure(pattern).any(|(at, _)| {
        let rest = pattern.get(at..).unwrap_or_default();
        let around = ["(?=", "(?!", "(?<=", "(?<!", "\\k<"];
        let back = rest
            .strip_prefix('\\')
            .is_some_and(|rest| rest.starts_with(|digit: char| matches!(digit, '1'..='9')));
        back || around.into_iter().any(|start| rest.starts_with(start))
    })
}

/// The characters that have a meaning, with their places: nothing of a class, and of an escape the `\` alone.
fn structure(pattern: &str) -> impl Iterator<Item = (usize, char)> {
    let (mut in_class, mut escaped) = (false, false);
    pattern.char_indices().filter(move |&(_, character)| {
        if escaped {
            escaped = false;
            return false;
        }
        match character {
            '\\' => {
                escaped = true;
                !in_class
            }
            '[' if !in_class => {
                in_class = true;
                false
            }
            ']' if in_class => {
                in_class = false;
                false
            }
            _ => !in_class,
        }
    })
}

/// Where the group ends whose beginning was just passed.
fn group_end(body: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, character) in structure(body) {
        match (character, depth) {
            (')', 0) => return Some(at),
            (')', _) => depth = depth.saturating_sub(1),
            ('(', _) => depth = depth.saturating_add(1),
            _ => {}
        }
    }
    None
}

/// Whether there is a `|` outside of all groups.
fn has_alternatives(pattern: &str) -> bool {
    let mut depth = 0_usize;
    structure(pattern).any(|(_, character)| {
        match character {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == '|' && depth == 0
    })
}

#[cfg(test)]
mod tests {
    use crate::schema::Schema;
    use serde_json::{Value, json};

    /// Pydantic's `Decimal`, zod's `z.email()`, a password, and one where the look-ahead stands before a group.
    const DECIMAL: &str = r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$";
    const EMAIL: &str = r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$";
    const PASSWORD: &str = r"^(?=.*[A-Z])(?=.*[)\]])[\s\S]{8,}$";
    const EITHER: &str = r"^(?!con|nul)(?:[a-z]+|[0-9]+)$";

    #[test]
    fn look_ahead_at_the_beginning_holds() {
        for (pattern, good, bad) in [
            (
                DECIMAL,
                vec!["12.50", "-3", "+.5"],
                vec!["", "-", "+.", "1e5", "12a"],
            ),
            (
                EMAIL,
                vec!["ann.miller@acme.example"],
                vec![
                    ".ann@acme.example",
                    "ann..m@acme.example",
                    "ann@acme",
                    "ann",
                ],
            ),
            (
                PASSWORD,
                vec!["Abcdefg)", "a]bcdefG\n"],
                vec!["abcdefg)", "Abcdefgh", "A)"],
            ),
            (
                EITHER,
                vec!["printer", "42"],
                vec!["console", "nul", "a1", ""],
            ),
        ] {
            let property = json!({ "type": "string", "pattern": pattern });
            let schema = json!({ "properties": { "value": property } });
            for compiled in [Schema::compile(&schema), Schema::compile_whole(&schema)] {
                let compiled = compiled.unwrap();
                let misfit = |text: &str| compiled.misfit(&json!({ "value": text }));
                for text in &good {
                    assert_eq!(misfit(text), None, "{pattern} {text:?}");
                }
                for text in &bad {
                    let told = misfit(text);
                    assert_eq!(
                        told.as_deref(),
                        Some("/value: pattern"),
                        "{pattern} {text:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_other_way_round_it_holds_too_and_what_is_no_text_is_not_meant() {
        let schema = Schema::compile_whole(&json!({ "not": { "pattern": EITHER } })).unwrap();
        assert!(schema.fits(&json!("console")));
        assert!(!schema.fits(&json!("printer")));
        let schema =
            Schema::compile_whole(&json!({ "pattern": EITHER, "allOf": [{ "maxLength": 9 }] }));
        let schema = schema.unwrap();
        for fits in [json!(7), json!(null), json!(["con"]), json!("printer")] {
            assert!(schema.fits(&fits), "{fits}");
        }
        assert!(!schema.fits(&json!("lineprinter")));
    }

    #[test]
    fn what_linear_time_is_not_enough_for_is_left_to_the_server_but_bounds_no_agent() {
        for pattern in [
            r"^P(?:(\d+W)|(?!.*W)(?=\d|T\d)(\d+Y)?)$", // zod's duration: inside of a group
            r"(?=.*\d)[a-z]+",
            r"^(?=a)b|c",
            r"^(?=a)*b",
            r"^(?=(?!b)a)c",
            r"(?<=a)b",
            r#"^(["']).*\1$"#,
            r"^(?<q>x)\k<q>$",
        ] {
            let schema =
                json!({ "properties": { "value": { "pattern": pattern, "maxLength": 5 } } });
            let compiled = Schema::compile(&schema).unwrap();
            assert!(compiled.fits(&json!({ "value": "-" })), "{pattern}");
            assert!(!compiled.fits(&json!({ "value": "------" })), "{pattern}");
            assert!(Schema::compile_whole(&schema).is_err(), "{pattern}");
        }
    }

    #[test]
    fn only_patterns_are_taken_apart() {
        let constant = json!({ "pattern": "(?=a)b" });
        let schema = json!({ "properties": {
            "pattern": { "const": constant, "x-ui": { "pattern": "(?=a)b" } },
            "enum": { "pattern": DECIMAL },
        } });
        let schema = Schema::compile_whole(&schema).unwrap();
        assert!(schema.fits(&json!({ "pattern": constant })));
        assert!(!schema.fits(&json!({ "pattern": {} })));
        assert!(!schema.fits(&json!({ "enum": "-" })));
        // No look-around: in a class, or escaped.
        for pattern in [r"^[(?=]+$", r"^\(?=x$"] {
            let told = Schema::compile_whole(&Value::from_iter([("pattern", pattern)]));
            assert!(told.is_ok(), "{pattern}");
        }
    }
}

//! JSON that stands in a text, and texts that say structured content once more.

use serde_json::Value;
use std::cell::OnceCell;
use std::collections::HashSet;

/// Most texts in one another that are opened.
pub(super) const TEXTS_MAX: usize = 4;

/// Whether a text is to be looked at: an object or a list.
pub(super) fn may_be_document(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

/// The object or the list that a text is as a whole. None where two members have one name: the first would be lost.
pub(super) fn document_in(text: &str) -> Option<Value> {
    if !may_be_document(text) {
        return None;
    }
    let document = serde_json::from_str(text).ok()?;
    (members_of(&document) == colons_in(text)).then_some(document)
}

fn members_of(value: &Value) -> usize {
    match value {
        Value::Array(elements) => elements.iter().map(members_of).sum(),
        Value::Object(members) => {
            let below: usize = members.values().map(members_of).sum();
            below.saturating_add(members.len())
        }
        _ => 0,
    }
}

/// Colons outside of strings: in JSON each member has one.
fn colons_in(json: &str) -> usize {
    let mut rest = json.as_bytes();
    let (mut colons, mut inside) = (0_usize, false);
    while let Some(at) = memchr::memchr3(b'"', b':', b'\\', rest) {
        let behind = rest.get(at..).unwrap_or_default();
        let length = match behind.first() {
            Some(b'"') => {
                inside = !inside;
                1
            }
            // It says that the sign behind it does not count.
            Some(b'\\') => 2,
            _ => {
                colons = colons.saturating_add(usize::from(!inside));
                1
            }
        };
        rest = behind.get(length..).unwrap_or_default();
    }
    colons
}

/// Structured content, and what of it a text of the same result may say once more: the whole, as the specification asks for, a
/// member that the server has wrapped the answer in, or an element of such a list.
pub(super) struct Said<'d> {
    document: &'d Value,
    /// Its members and their elements.
    parts: OnceCell<HashSet<&'d Value>>,
}

impl<'d> Said<'d> {
    pub(super) fn new(document: &'d Value) -> Self {
        Self {
            document,
            parts: OnceCell::new(),
        }
    }

    /// Whether a text, or the document that it is, stands there.
    pub(super) fn has(&self, text: &str, document: Option<&Value>) -> bool {
        if document == Some(self.document) {
            return true;
        }
        self.has_part(&Value::String(text.to_owned()))
            || match document {
                Some(document) => self.has_part(document),
                None => scalar_in(text).is_some_and(|scalar| self.has_part(&scalar)),
            }
    }

    /// Whether a value stands there as less than the whole.
    pub(super) fn has_part(&self, value: &Value) -> bool {
        let parts = self.parts.get_or_init(|| parts_of(self.document));
        parts.contains(value)
    }

    /// The member and the text of structured content that is nothing but one.
    pub(super) fn only_text(&self) -> Option<(&'d str, &'d str)> {
        let members = self.document.as_object()?;
        let (name, value) = members.iter().next().filter(|_| members.len() == 1)?;
        Some((name.as_str(), value.as_str()?))
    }
}

/// The texts of content blocks, and of resources embedded in them.
pub(super) fn texts_of(content: Option<&Value>) -> impl Iterator<Item = &str> {
    let blocks = content.and_then(Value::as_array).into_iter().flatten();
    let holders = blocks.flat_map(|block| [Some(block), block.get("resource")]);
    let holders = holders.flatten();
    holders.filter_map(|holder| holder.get("text")?.as_str())
}

/// What of a path stands behind a member of the whole, and behind an element of that member: see [`Said`].
pub(super) fn parts_around(path: &str) -> impl Iterator<Item = &str> {
    let member = behind_step(path);
    let element = member.filter(|path| *path == "/*" || path.starts_with("/*/"));
    member.into_iter().chain(element.and_then(behind_step))
}

/// A path without its first step.
fn behind_step(path: &str) -> Option<&str> {
    let steps = path.strip_prefix('/')?;
    let next = steps.find('/').unwrap_or(steps.len());
    steps.get(next..)
}

/// The number, or the like, that a text is as a whole.
fn scalar_in(text: &str) -> Option<Value> {
    let scalar: Value = serde_json::from_str(text).ok()?;
    (!scalar.is_object() && !scalar.is_array()).then_some(scalar)
}

fn parts_of(document: &Value) -> HashSet<&Value> {
    let members = document.as_object().into_iter();
    let members: Vec<&Value> = members.flat_map(|members| members.values()).collect();
    let lists = members.iter().copied().chain([document]);
    let elements = lists.filter_map(Value::as_array).flatten();
    elements.chain(members.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    proptest! {
        /// Whatever signs are in its texts.
        #[test]
        fn what_is_written_as_json_is_a_document(name in "[a:\"\\\\{\\[]{0,6}", text in "[a:\"\\\\é]{0,6}") {
            let document = json!({"of": {name.clone(): [text]}, "x": {"y": {}}});
            prop_assert_eq!(document_in(&document.to_string()), Some(document));
            let name = json!(name);
            let twice = format!("{{{name}: 1, {name}: 2}}");
            prop_assert_eq!(document_in(&twice), None);
        }
    }

    #[test]
    fn a_text_is_a_document_as_a_whole_and_with_all_its_members() {
        for text in [
            r#"{}"#,
            r#" [1, "a:b", {"c\":": {"d": "\\"}, "e": []}]"#,
            "[]",
        ] {
            assert!(document_in(text).is_some(), "{text}");
        }
        for text in [
            "5",
            "\"{}\"",
            "{} x",
            "see {}",
            r#"{"a": 1, "a": 2}"#,
            r#"[{"b": {"a": ":", "a": ":"}}]"#,
        ] {
            assert!(document_in(text).is_none(), "{text}");
        }
    }

    #[test]
    fn what_stands_behind_the_wrapping() {
        for (path, parts) in [
            ("/result", &[""][..]),
            ("", &[]),
            ("/result/name", &["/name"]),
            ("/result/*", &["/*", ""]),
            ("/result/*/name", &["/*/name", "/name"]),
            ("/*/name", &["/name"]),
            ("/result/*name/x", &["/*name/x"]),
        ] {
            assert_eq!(parts_around(path).collect::<Vec<_>>(), parts, "{path}");
        }
    }

    #[test]
    fn the_same_once_more() {
        let document = json!({"result": ["x", {"a": 1}, 5], "note": "{\"b\": 2}", "n": 7});
        let said = Said::new(&document);
        let has = |text: &str| said.has(text, document_in(text).as_ref());
        for text in [
            "{\"note\": \"{\\\"b\\\": 2}\", \"n\": 7, \"result\": [\"x\", {\"a\": 1}, 5]}",
            "[\"x\", {\"a\": 1}, 5]",
            "x",
            "{ \"a\": 1 }",
            "5",
            "{\"b\": 2}",
            "7",
        ] {
            assert!(has(text), "{text}");
        }
        for text in ["y", "{\"a\": 2}", "6", "1", "{\"b\":2}", "x ", ""] {
            assert!(!has(text), "{text}");
        }
        assert_eq!(said.only_text(), None);
        let wrapped = json!({"result": "x"});
        assert_eq!(Said::new(&wrapped).only_text(), Some(("result", "x")));
    }
}

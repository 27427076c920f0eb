//! A text taken apart: words, and the JSON amid them.

use super::documents::Unvouched;
use crate::limits::JSON_SCAN_BYTES_MAX;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;

/// A piece of a text.
pub(super) enum Part<'t> {
    /// What is no JSON.
    Words(Cow<'t, str>),
    /// An object or a list, as it stands in the text and as it reads; the latter is taken out while it is looked at.
    Json {
        /// As it stands there.
        source: &'t str,
        /// As it reads.
        value: Value,
    },
}

impl Part<'_> {
    pub(super) fn take(&mut self) -> Option<Value> {
        match self {
            Part::Words(_) => None,
            Part::Json { value, .. } => Some(std::mem::take(value)),
        }
    }

    /// Whether it is a document, and no mere mark.
    pub(super) fn is_document(&self) -> bool {
        matches!(self, Part::Json { value, .. } if !is_mark(value))
    }
}

/// Whether this may be a reference or a box in prose: `[1]`, `[ ]`.
pub(super) fn is_mark(value: &Value) -> bool {
    match value.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([number]) => number.is_u64(),
        _ => false,
    }
}

/// Takes a text apart. Only objects and arrays are documents. With the parts come the values that another one of the same name
/// stands behind: most readers see the last one alone, and a model reads all of them.
pub(super) fn parts(text: &str) -> Result<(Vec<Part<'_>>, Vec<Value>), Unvouched> {
    let (mut parts, mut all_hidden) = (Vec::new(), Vec::new());
    let (mut rest, mut words, mut wasted) = (text, 0_usize, 0_usize);
    loop {
        let ahead = rest.get(words..).unwrap_or_default();
        let Some(at) = ahead.find(['{', '[']) else {
            break;
        };
        let start = words.saturating_add(at);
        let candidate = rest.get(start..).unwrap_or_default();
        let mut stream = serde_json::Deserializer::from_str(candidate).into_iter::<Read>();
        match stream.next() {
            Some(Ok(Read { value, mut hidden })) => {
                all_hidden.append(&mut hidden);
                let (source, behind) = candidate
                    .split_at_checked(stream.byte_offset())
                    .unwrap_or((candidate, ""));
                parts.push(Part::Words(rest.get(..start).unwrap_or_default().into()));
                parts.push(Part::Json { source, value });
                rest = behind;
                words = 0;
            }
            Some(Err(error)) => {
                wasted = wasted.saturating_add(read_until(candidate, &error));
                if wasted > JSON_SCAN_BYTES_MAX {
                    return Err(Unvouched);
                }
                words = start.saturating_add(1);
            }
            None => break,
        }
    }
    parts.push(Part::Words(rest.into()));
    Ok((parts, all_hidden))
}

/// How many bytes were read before an error.
fn read_until(text: &str, error: &serde_json::Error) -> usize {
    let lines = text.split_inclusive('\n');
    let before = lines.take(error.line().saturating_sub(1)).map(str::len);
    before.sum::<usize>().saturating_add(error.column())
}

/// The pieces with these documents in their places; those that are no more are left out.
pub(super) fn join(parts: &[Part<'_>], documents: Vec<Value>) -> String {
    let mut text = String::new();
    let mut documents = documents.into_iter();
    for part in parts {
        match part {
            Part::Words(words) => text.push_str(words),
            Part::Json { .. } => {
                if let Some(document) = documents.next() {
                    text.push_str(&document.to_string());
                }
            }
        }
    }
    text
}

/// JSON as it reads.
struct Read {
    value: Value,
    /// Values in it that another one of the same name, in the same object, stands behind.
    hidden: Vec<Value>,
}

impl Read {
    fn scalar(value: impl Into<Value>) -> Self {
        Self {
            value: value.into(),
            hidden: Vec::new(),
        }
    }
}

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Read;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Read, E> {
        Ok(Read::scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Read, E> {
        Ok(Read::scalar(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Read, E> {
        Ok(Read::scalar(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Read, E> {
        Ok(Read::scalar(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Read, E> {
        Ok(Read::scalar(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Read, E> {
        Ok(Read::scalar(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Read, E> {
        Ok(Read::scalar(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Read, A::Error> {
        let (mut elements, mut all_hidden) = (Vec::new(), Vec::new());
        while let Some(Read { value, mut hidden }) = access.next_element()? {
            elements.push(value);
            all_hidden.append(&mut hidden);
        }
        Ok(Read {
            value: Value::Array(elements),
            hidden: all_hidden,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Read, A::Error> {
        let (mut members, mut all_hidden) = (Map::new(), Vec::new());
        while let Some((name, read)) = access.next_entry::<String, Read>()? {
            let Read { value, mut hidden } = read;
            all_hidden.append(&mut hidden);
            all_hidden.extend(members.insert(name, value));
        }
        Ok(Read {
            value: Value::Object(members),
            hidden: all_hidden,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_there_twice_is_noticed() {
        for (text, hidden) in [
            (r#"{"a":1,"a":1}"#, "[1]"),
            (r#"{"a":1,"a":2,"a":3}"#, "[1,2]"),
            (r#"so: {"c":{"email":"x"},"c":{}}."#, r#"[{"email":"x"}]"#),
            (r#"[1] {"a":[{"b":{"x":1,"y":2,"x":3}}]}"#, "[1]"),
            (r#"{"a":{"b":1,"b":2},"a":3}"#, r#"[1,{"b":2}]"#),
            (r#"{"a":1,"\u0061":2}"#, "[1]"),
            (r#"{broken {"a":1,"a":2}"#, "[1]"),
            ("{\"a\":1}\n{\"a\":1,\"a\":2}", "[1]"),
        ] {
            let (_, found) = parts(text).unwrap();
            assert_eq!(Value::Array(found).to_string(), hidden, "{text}");
        }
        for text in [
            r#"{"a":1,"A":1}"#,
            r#"[{"a":1},{"a":1}]"#,
            r#"{"a":{"a":{"a":1}}}"#,
            "{\"a\":1}\n{\"a\":2}",
            r#"{"a":"{\"b\":1,\"b\":2}"}"#,
            r#"{"a":1,"a":2"#,
            "{a: 1, a: 2}",
        ] {
            assert!(parts(text).unwrap().1.is_empty(), "{text}");
        }
    }

    #[test]
    fn what_is_read_is_what_stands_there() {
        let document = r#"{"$serde_json::private::RawValue":"[]","n":[null,true,-1,18446744073709551615,1.5,"é",{}]}"#;
        let read: Read = serde_json::from_str(document).unwrap();
        assert!(read.hidden.is_empty());
        assert_eq!(read.value.to_string(), document);
        let (taken, _) = parts(" a [1] b ").unwrap();
        assert_eq!(join(&taken, vec![Value::Null]), " a null b ");
        assert_eq!(join(&taken, Vec::new()), " a  b ");
    }
}

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

/// Takes a text apart. Only objects and arrays are documents. Of one in which a name is there twice nothing can be said: what
/// is found of it would be what one reader sees, and a model reads the other one, too.
pub(super) fn parts(text: &str) -> Result<Vec<Part<'_>>, Unvouched> {
    let mut parts = Vec::new();
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
            Some(Ok(Read { twice: true, .. })) => return Err(Unvouched),
            Some(Ok(Read { value, .. })) => {
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
    Ok(parts)
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
    /// Whether a name is there twice in one of its objects.
    twice: bool,
}

impl Read {
    fn scalar(value: impl Into<Value>) -> Self {
        Self {
            value: value.into(),
            twice: false,
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
        let (mut elements, mut any) = (Vec::new(), false);
        while let Some(Read { value, twice }) = access.next_element()? {
            elements.push(value);
            any |= twice;
        }
        Ok(Read {
            value: Value::Array(elements),
            twice: any,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Read, A::Error> {
        let (mut members, mut any) = (Map::new(), false);
        while let Some((name, Read { value, twice })) = access.next_entry::<String, Read>()? {
            any |= members.insert(name, value).is_some() | twice;
        }
        Ok(Read {
            value: Value::Object(members),
            twice: any,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_there_twice_is_noticed() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"so: {"c":{"email":"x"},"c":{}}."#,
            r#"[1] {"a":[{"b":{"x":1,"y":2,"x":3}}]}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{broken {"a":1,"a":2}"#,
            "{\"a\":1}\n{\"a\":1,\"a\":2}",
        ] {
            assert_eq!(parts(text).err(), Some(Unvouched), "{text}");
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
            assert!(parts(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_read_is_what_stands_there() {
        let document = r#"{"$serde_json::private::RawValue":"[]","n":[null,true,-1,18446744073709551615,1.5,"é",{}]}"#;
        let read: Read = serde_json::from_str(document).unwrap();
        assert!(!read.twice);
        assert_eq!(read.value.to_string(), document);
        let taken = parts(" a [1] b ").unwrap();
        assert_eq!(join(&taken, vec![Value::Null]), " a null b ");
        assert_eq!(join(&taken, Vec::new()), " a  b ");
    }
}

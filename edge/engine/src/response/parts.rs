//! A text taken apart: words, and the JSON amid them.

use super::documents::Unvouched;
use crate::limits::JSON_SCAN_BYTES_MAX;
use serde_json::Value;
use std::borrow::Cow;

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

/// Takes a text apart. Only objects and arrays are documents.
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
        let mut stream = serde_json::Deserializer::from_str(candidate).into_iter::<Value>();
        match stream.next() {
            Some(Ok(value)) => {
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

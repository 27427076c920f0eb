//! The documents of an answer: structured content, and JSON that stands in any text of it, at any depth, alone, line by
//! line, or amid prose; and tables in text. Whatever is counted, trimmed, redacted or held against the tenant sees the same
//! documents.

use super::table::each_table;
use crate::limits::{JSON_DEPTH_MAX, JSON_SCAN_BYTES_MAX};
use crate::respond::Channel;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use base64::{Engine as _, alphabet};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// What a visitor is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// A document: pointers of catalogue and policies begin here.
    Document,
    /// MCP's own members around it.
    Envelope,
    /// A table in a text, of which nothing is shown but how many rows it has: a list of empty lists, to be cut.
    Table,
}

/// Something is nested too deeply, or made to be read over and over: nothing can be said about what is below.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unvouched;

/// Shows each document of a body to `edit`, which says whether it changed it; a text with a changed document is written
/// anew. Texts inside a document are looked into after it.
pub(crate) fn each_document(
    channel: Channel,
    body: &mut Map<String, Value>,
    edit: &mut dyn FnMut(&mut Value, Place) -> bool,
) -> Result<(), Unvouched> {
    for (key, value) in body {
        match (channel, key.as_str(), value) {
            (Channel::Result, "content", Value::Array(blocks)) => {
                for block in blocks {
                    visit(block, Place::Envelope, 0, edit)?;
                }
            }
            (Channel::Result, "structuredContent", value) | (Channel::Error, "data", value) => {
                visit(value, Place::Document, 0, edit)?;
            }
            (_, _, value) => drop(visit(value, Place::Envelope, 0, edit)?),
        }
    }
    Ok(())
}

/// Whether anything changed.
fn visit(
    value: &mut Value,
    place: Place,
    depth: usize,
    edit: &mut dyn FnMut(&mut Value, Place) -> bool,
) -> Result<bool, Unvouched> {
    let changed = edit(value, place);
    Ok(texts(value, depth, edit)? | changed)
}

/// Looks into each text below a value.
fn texts(
    value: &mut Value,
    depth: usize,
    edit: &mut dyn FnMut(&mut Value, Place) -> bool,
) -> Result<bool, Unvouched> {
    if depth > JSON_DEPTH_MAX {
        return Err(Unvouched);
    }
    let deeper = depth.saturating_add(1);
    let mut changed = false;
    match value {
        Value::Array(elements) => {
            for element in elements {
                changed |= texts(element, deeper, edit)?;
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                changed |= match member {
                    Value::String(text) if name == "blob" => blob(text, deeper, edit)?,
                    member => texts(member, deeper, edit)?,
                };
            }
        }
        Value::String(text) => {
            if let Some(written) = text_of(text, deeper, edit)? {
                *text = written;
                changed = true;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(changed)
}

/// As lenient as any client: in lines or not, of either alphabet, padded or not.
fn decoded(encoded: &str) -> Option<Vec<u8>> {
    let lenient = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let bytes: Vec<u8> = encoded
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    [alphabet::STANDARD, alphabet::URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, lenient).decode(&bytes).ok())
}

/// Looks into an embedded file, if it is text in base64; whether a document in it was changed, and it is written anew.
fn blob(
    encoded: &mut String,
    depth: usize,
    edit: &mut dyn FnMut(&mut Value, Place) -> bool,
) -> Result<bool, Unvouched> {
    let inner = decoded(encoded).and_then(|bytes| String::from_utf8(bytes).ok());
    let anew = text_of(inner.as_deref().unwrap_or(encoded), depth, edit)?;
    let Some(anew) = anew else { return Ok(false) };
    *encoded = match inner {
        Some(_) => BASE64_STANDARD.encode(anew),
        None => anew,
    };
    Ok(true)
}

/// The text anew, if a document in it was changed.
fn text_of(
    text: &str,
    depth: usize,
    edit: &mut dyn FnMut(&mut Value, Place) -> bool,
) -> Result<Option<String>, Unvouched> {
    if text.trim_start().starts_with('"') {
        // A text in quotes once more.
        if let Ok(mut inner) = serde_json::from_str::<Value>(text) {
            let changed = texts(&mut inner, depth, edit)?;
            return Ok(changed.then(|| inner.to_string()));
        }
    }
    if !text.contains(['{', '[']) {
        return Ok(each_table(text, edit));
    }
    let mut parts = parts(text)?;
    let mut cut = false;
    for part in &mut parts {
        let Part::Words(words) = part else { continue };
        if let Some(left) = each_table(words, edit) {
            *words = Cow::Owned(left);
            cut = true;
        }
    }
    // Several documents in one text are the rows of a list.
    let mut list: Vec<Value> = parts.iter_mut().filter_map(Part::take).collect();
    let changed = match list.as_mut_slice() {
        [] => false,
        [only] => visit(only, Place::Document, depth, edit)?,
        _ => {
            let mut rows = Value::Array(std::mem::take(&mut list));
            let changed = visit(&mut rows, Place::Document, depth, edit)?;
            list = match rows {
                Value::Array(rows) => rows,
                other => vec![other],
            };
            changed
        }
    };
    Ok((changed || cut).then(|| join(&parts, list)))
}

/// A piece of a text.
enum Part<'t> {
    Words(Cow<'t, str>),
    /// A document; taken out while it is looked at.
    Json(Option<Value>),
}

impl Part<'_> {
    fn take(&mut self) -> Option<Value> {
        match self {
            Part::Words(_) => None,
            Part::Json(value) => value.take(),
        }
    }
}

/// Takes a text apart. Only objects and arrays are documents.
fn parts(text: &str) -> Result<Vec<Part<'_>>, Unvouched> {
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
                parts.push(Part::Words(rest.get(..start).unwrap_or_default().into()));
                parts.push(Part::Json(Some(value)));
                rest = candidate.get(stream.byte_offset()..).unwrap_or_default();
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
fn join(parts: &[Part<'_>], documents: Vec<Value>) -> String {
    let mut text = String::new();
    let mut documents = documents.into_iter();
    for part in parts {
        match part {
            Part::Words(words) => text.push_str(words),
            Part::Json(_) => {
                if let Some(document) = documents.next() {
                    text.push_str(&document.to_string());
                }
            }
        }
    }
    text
}

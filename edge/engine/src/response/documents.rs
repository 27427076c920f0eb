//! The documents of an answer: structured content, and JSON that stands in any text of it, at any depth, alone, line by
//! line, or amid prose; and tables in text. Whatever is counted, trimmed, redacted or held against the tenant sees the same
//! documents.

use super::parts::{Part, is_mark, join, parts};
use super::table::each_table;
use crate::limits::JSON_DEPTH_MAX;
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
    /// The same, one of several in a text. What can only be told of all of them together is told at [`Place::Several`].
    Part,
    /// All documents of a text that has several, as the rows of a list: pointers begin here as well.
    Several,
    /// A reference or a box (`[1]`, `[ ]`) in a text that has documents, too. Pointers begin here, but it is no row of theirs.
    Mark,
    /// What a server put beside MCP's own members. Pointers begin here; it is part of an envelope, which is shown as well.
    Aside,
    /// All that is read in a text in which a name is there twice, as a list: what stands before another of its name, and then
    /// the documents as they read without it. Who changes documents has it left out: they are written anew then.
    Readings,
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
    super::aside::each(channel, body, edit);
    for (key, value) in body {
        match (channel, key.as_str(), value) {
            (Channel::Result, "content", Value::Array(blocks)) => {
                for block in blocks {
                    visit(block, Place::Envelope, 0, edit)?;
                }
            }
            (_, key, value) => {
                let place = match is_document(channel, key) {
                    true => Place::Document,
                    false => Place::Envelope,
                };
                visit(value, place, 0, edit)?;
            }
        }
    }
    Ok(())
}

/// Whether a member of what came by this channel is a document: the server's own data, in a place that MCP has for it.
pub(super) fn is_document(channel: Channel, member: &str) -> bool {
    match channel {
        Channel::Result => member == "structuredContent",
        // The data of an error, or of a line of a log.
        Channel::Error | Channel::Note => member == "data",
        Channel::Question | Channel::Task => false,
    }
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
    let (mut parts, hidden) = parts(text)?;
    let mut changed = words(&mut parts, edit);
    let mut list: Vec<Value> = parts.iter_mut().filter_map(Part::take).collect();
    if !hidden.is_empty() {
        changed |= readings(hidden, &mut list, depth, edit)?;
    }
    let edited = match list.as_mut_slice() {
        [] => false,
        [only] => visit(only, Place::Document, depth, edit)?,
        _ => several(&mut list, depth, edit)?,
    };
    Ok((changed || edited).then(|| join(&parts, list)))
}

/// Shows what names that are there twice hide, beside the documents. Whether it is to be left out.
fn readings(
    hidden: Vec<Value>,
    list: &mut Vec<Value>,
    depth: usize,
    edit: &mut dyn FnMut(&mut Value, Place) -> bool,
) -> Result<bool, Unvouched> {
    let many = hidden.len();
    let mut all = hidden;
    all.append(list);
    let mut all = Value::Array(all);
    let left_out = edit(&mut all, Place::Readings);
    if let Value::Array(all) = &mut all {
        *list = all.split_off(many.min(all.len()));
    }
    // The texts of the documents are looked into with them.
    Ok(left_out || texts(&mut all, depth, edit)?)
}

/// Looks into what is no document of its own: tables, and marks beside documents. Whether any was changed.
fn words(parts: &mut [Part<'_>], edit: &mut dyn FnMut(&mut Value, Place) -> bool) -> bool {
    let beside = parts.iter().any(Part::is_document);
    let mut changed = false;
    for part in parts {
        let anew = match part {
            Part::Words(words) => each_table(words, edit),
            Part::Json { value, source } if beside && is_mark(value) => {
                let mut mark = std::mem::take(value);
                let edited = edit(&mut mark, Place::Mark);
                let source = *source;
                *part = Part::Words(Cow::Borrowed(source));
                edited.then(|| mark.to_string())
            }
            Part::Json { .. } => None,
        };
        if let Some(anew) = anew {
            *part = Part::Words(Cow::Owned(anew));
            changed = true;
        }
    }
    changed
}

/// Several documents in one text: each of them, and all as the rows of a list, of which some may be gone then.
fn several(
    list: &mut Vec<Value>,
    depth: usize,
    edit: &mut dyn FnMut(&mut Value, Place) -> bool,
) -> Result<bool, Unvouched> {
    let mut changed = false;
    for part in &mut *list {
        changed |= edit(part, Place::Part);
    }
    let mut rows = Value::Array(std::mem::take(list));
    changed |= visit(&mut rows, Place::Several, depth, edit)?;
    *list = match rows {
        Value::Array(rows) => rows,
        other => vec![other],
    };
    Ok(changed)
}

//! Where a reference within a document leads.

use serde_json::Value;

/// What a reference leads to within a document.
pub(crate) fn target<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    root.pointer(&path(reference)?)
}

/// The JSON Pointer of what a reference leads to. The validator has to find the same by it: what can be read in two ways leads
/// nowhere.
pub(super) fn path(reference: &str) -> Option<String> {
    let fragment = reference.strip_prefix('#')?;
    // RFC 6901, section 6: a path in a URI is percent-encoded, but for the '/' that it begins with.
    let is_path = fragment.is_empty() || fragment.starts_with('/');
    // What the second of two escapes in a row is, is not agreed upon.
    decoded(fragment, b'%').filter(|path| is_path && !path.contains("~~"))
}

/// A text in which some bytes stand as two hexadecimal digits behind a sign: `%` in a reference.
pub(crate) fn decoded(text: &str, sign: u8) -> Option<String> {
    let (mut bytes, mut decoded) = (text.bytes(), Vec::new());
    while let Some(byte) = bytes.next() {
        match byte == sign {
            true => decoded.extend(hex::decode([bytes.next()?, bytes.next()?]).ok()?),
            false => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).ok()
}

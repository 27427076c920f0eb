//! One strict JSON parser for everything that is decided on.
//!
//! Two JSON parsers that read one text differently are how a gateway checks one call and forwards another.
//! So a text passes only where no reasonable parser could disagree: no duplicate key, no two keys that fold
//! onto each other, no number that a double cannot hold, no lone surrogate, nothing after the end. What is
//! forwarded is the parsed value, written anew.

mod request_id;

pub use request_id::{is_id, request_id};

use crate::limits::{
    JSON_BYTES_MAX, JSON_DEPTH_MAX, JSON_DIGITS_MAX, JSON_FLOAT_END, JSON_NODES_MAX,
};
use proctor_model::Reason;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;
use unicode_normalization::UnicodeNormalization;

/// Bounds of a text, and the keys that have a meaning to its reader.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest text, in bytes.
    pub bytes_max: usize,
    /// Deepest nesting; a scalar alone has depth 0.
    pub depth_max: usize,
    /// Most keys and array elements together.
    pub nodes_max: usize,
    /// Keys of the envelope. In the outermost `envelope_depth` objects another key that folds onto one of
    /// these is refused (`Method` beside `method`).
    pub envelope: &'static [&'static str],
    /// How many levels of objects belong to the envelope (JSON-RPC with `params`: 2).
    pub envelope_depth: usize,
    /// How many levels, from the outermost, may have no two keys that fold onto each other. Where readers fold at all, it is the
    /// names that they know; in what lies deeper `http_proxy` beside `HTTP_PROXY` may be meant.
    pub fold_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: JSON_BYTES_MAX,
            depth_max: JSON_DEPTH_MAX,
            nodes_max: JSON_NODES_MAX,
            envelope: &[],
            envelope_depth: 0,
            fold_depth: usize::MAX,
        }
    }
}

impl Limits {
    /// For a JSON-RPC message of MCP.
    #[must_use]
    pub fn json_rpc() -> Self {
        Self {
            envelope: &[
                "jsonrpc",
                "id",
                "method",
                "params",
                "result",
                "error",
                "name",
                "arguments",
                "_meta",
                "uri",
                "cursor",
                "task",
            ],
            envelope_depth: 2,
            ..Self::default()
        }
    }

    /// For a request to an LLM provider.
    #[must_use]
    pub fn prompt() -> Self {
        Self {
            bytes_max: crate::limits::PROMPT_BYTES_MAX,
            envelope: &[
                "api",
                "model",
                "messages",
                "input",
                "stream",
                "stream_options",
                "system",
                "instructions",
                "tools",
            ],
            envelope_depth: 1,
            ..Self::default()
        }
    }

    /// For the plain call endpoint: `{tool, arguments, _meta?}`.
    #[must_use]
    pub fn tool_call() -> Self {
        Self {
            envelope: &["tool", "arguments", "_meta"],
            envelope_depth: 1,
            ..Self::default()
        }
    }
}

/// Why a text is refused. Holds nothing of the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JsonError {
    /// Not one UTF-8 JSON text, or a NUL in a key.
    #[error("not one valid JSON text")]
    Invalid,
    /// The same key twice in one object.
    #[error("an object has a key twice")]
    DuplicateKey,
    /// Two keys of one object fold onto each other, or one onto a key of the envelope.
    #[error("a key differs from another one only by case or Unicode form")]
    AmbiguousKey,
    /// A number beyond 2^53 - 1, with more than 17 digits, a negative zero, or too small.
    #[error("a number cannot be represented exactly")]
    UnsafeNumber,
    /// Nested too deeply.
    #[error("nested too deeply")]
    TooDeep,
    /// Too many bytes, keys or elements.
    #[error("too large")]
    TooLarge,
}

impl From<JsonError> for Reason {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Invalid => Self::InvalidJson,
            JsonError::DuplicateKey => Self::DuplicateKey,
            JsonError::AmbiguousKey => Self::AmbiguousKey,
            JsonError::UnsafeNumber => Self::UnsafeNumber,
            JsonError::TooDeep => Self::TooDeep,
            JsonError::TooLarge => Self::TooLarge,
        }
    }
}

/// The value of one strict JSON text. Time is linear in its length (keys of one object: n log n).
///
/// # Errors
/// See [`JsonError`].
pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Value, JsonError> {
    if bytes.len() > limits.bytes_max {
        return Err(JsonError::TooLarge);
    }
    let numbers = scan(bytes, limits)?;
    let refusal = Cell::new(None);
    let seed = Strict {
        limits,
        level: 0,
        refusal: &refusal,
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = seed
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    match (value, refusal.get(), numbers) {
        (_, Some(refusal), _) => Err(refusal),
        (Ok(value), None, Numbers::Safe) => Ok(value),
        (Ok(_), None, _) | (Err(_), None, Numbers::Overflow) => Err(JsonError::UnsafeNumber),
        (Err(_), None, _) => Err(JsonError::Invalid),
    }
}

/// What the number tokens of a text are like, the worst of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Numbers {
    Safe,
    Unsafe,
    /// Beyond a double: the structural parser stumbles over these.
    Overflow,
}

/// One pass over the bytes outside of strings, before anything is built: depth, count, number tokens.
fn scan(bytes: &[u8], limits: &Limits) -> Result<Numbers, JsonError> {
    let mut worst = Numbers::Safe;
    let mut depth = 0_usize;
    let mut nodes = 1_usize;
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'"' => rest = after_string(tail),
            b'{' | b'[' => {
                depth = depth.saturating_add(1);
                if depth > limits.depth_max {
                    return Err(JsonError::TooDeep);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' | b':' => {
                nodes = nodes.saturating_add(1);
                if nodes > limits.nodes_max {
                    return Err(JsonError::TooLarge);
                }
            }
            b'-' | b'0'..=b'9' => {
                let more = tail
                    .iter()
                    .take_while(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
                    .count();
                let start = bytes.len().saturating_sub(tail.len()).saturating_sub(1);
                let end = start.saturating_add(more).saturating_add(1);
                worst = worst.max(number(bytes.get(start..end).unwrap_or_default()));
                rest = tail.get(more..).unwrap_or_default();
            }
            _ => {}
        }
    }
    Ok(worst)
}

/// What follows the string whose opening quote was just passed.
fn after_string(mut rest: &[u8]) -> &[u8] {
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'"' => return rest,
            b'\\' => rest = tail.get(1..).unwrap_or_default(),
            _ => {}
        }
    }
    rest
}

fn number(token: &[u8]) -> Numbers {
    let mantissa = token
        .split(|b| matches!(b, b'e' | b'E'))
        .next()
        .unwrap_or_default();
    let digits = mantissa.iter().filter(|b| b.is_ascii_digit());
    let significant = digits.clone().skip_while(|b| **b == b'0').count();
    let Some(value) = std::str::from_utf8(token)
        .ok()
        .and_then(|token| token.parse::<f64>().ok())
    else {
        return Numbers::Safe; // No number at all: the structural parser says so.
    };
    if !value.is_finite() {
        return Numbers::Overflow;
    }
    let too_large = value.abs() >= JSON_FLOAT_END;
    let negative_zero = value == 0.0 && token.first() == Some(&b'-');
    let too_small = significant > 0 && !value.is_normal();
    if too_large || too_small || negative_zero || significant > JSON_DIGITS_MAX {
        Numbers::Unsafe
    } else {
        Numbers::Safe
    }
}

/// Builds the value and refuses keys that are there twice or could be taken for another.
#[derive(Clone, Copy)]
struct Strict<'a> {
    limits: &'a Limits,
    /// Objects and arrays around this value.
    level: usize,
    refusal: &'a Cell<Option<JsonError>>,
}

impl Strict<'_> {
    fn inside(self) -> Self {
        Self {
            level: self.level.saturating_add(1),
            ..self
        }
    }

    fn refuse<E: serde::de::Error>(self, error: JsonError) -> E {
        self.refusal.set(Some(error));
        E::custom(error)
    }

    fn check_keys(self, members: &Map<String, Value>) -> Result<(), JsonError> {
        let envelope = if self.level < self.limits.envelope_depth {
            self.limits.envelope
        } else {
            &[]
        };
        let folds = self.level < self.limits.fold_depth;
        let mut seen = BTreeSet::new();
        for key in members.keys() {
            let folded = fold(key);
            let known = |name: &&str| **name == *folded && *name != key.as_str();
            if envelope.iter().any(known) || (folds && !seen.insert(folded)) {
                return Err(JsonError::AmbiguousKey);
            }
        }
        Ok(())
    }
}

/// The key without the differences that a lenient parser may overlook: compatibility forms and case.
fn fold(key: &str) -> Cow<'_, str> {
    if key.is_ascii() {
        if key.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(key.to_ascii_lowercase())
        } else {
            Cow::Borrowed(key)
        }
    } else {
        let caseless: String = key
            .nfkc()
            .flat_map(char::to_uppercase)
            .flat_map(char::to_lowercase)
            .collect();
        Cow::Owned(caseless.nfkc().collect())
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| self.refuse(JsonError::UnsafeNumber))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = access.next_element_seed(self.inside())? {
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if key.contains('\0') {
                return Err(self.refuse(JsonError::Invalid));
            }
            if members.contains_key(&key) {
                return Err(self.refuse(JsonError::DuplicateKey));
            }
            let value = access.next_value_seed(self.inside())?;
            members.insert(key, value);
        }
        self.check_keys(&members)
            .map_err(|error| self.refuse::<A::Error>(error))?;
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests;

//! The value of a JSON or YAML text, in bounded memory: a few bytes of YAML may stand for any number of values, as an
//! alias stands for all that its anchor has.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::Cell;
use std::fmt;

/// Most values and keys of a document, aliases followed.
const VALUES_MAX: usize = 250_000;
/// Most bytes of its texts, aliases followed.
const TEXT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A text that is neither JSON nor YAML, or more than can be held. It says where.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TextError(#[from] serde_yaml_ng::Error);

/// The value of a text. JSON is YAML, but for texts in it with characters beyond U+FFFF, which it may write as two halves: what
/// looks like JSON is read as that first.
pub(super) fn parse(text: &str) -> Result<Value, TextError> {
    if text.trim_start().starts_with('{')
        && let Some(value) = json(text)
    {
        return Ok(value);
    }
    let room = Room::default();
    Ok(Bounded(&room).deserialize(serde_yaml_ng::Deserializer::from_str(text))?)
}

/// The value of a text in JSON. What is wrong with one that is none, the other reader says.
fn json(text: &str) -> Option<Value> {
    let (room, mut json) = (Room::default(), serde_json::Deserializer::from_str(text));
    let value = Bounded(&room).deserialize(&mut json).ok()?;
    json.end().ok()?;
    Some(value)
}

/// What may still come.
struct Room {
    values: Cell<usize>,
    bytes: Cell<usize>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            values: Cell::new(VALUES_MAX),
            bytes: Cell::new(TEXT_BYTES_MAX),
        }
    }
}

impl Room {
    fn take<E: Error>(&self, bytes: usize) -> Result<(), E> {
        let values = self.values.get().checked_sub(1);
        let bytes = self.bytes.get().checked_sub(bytes);
        let (Some(values), Some(bytes)) = (values, bytes) else {
            return Err(E::custom("more values than can be held"));
        };
        self.values.set(values);
        self.bytes.set(bytes);
        Ok(())
    }
}

/// The next value, as long as there is room for it.
#[derive(Clone, Copy)]
struct Bounded<'r>(&'r Room);

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.0.take(0)?;
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.0.take(0)?;
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.0.take(0)?;
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.0.take(0)?;
        Ok(value.into())
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Value, E> {
        self.visit_f64(near(&value)?)
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Value, E> {
        self.visit_f64(near(&value)?)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.0.take(0)?;
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number that JSON has not"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.0.take(value.len())?;
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        self.0.take(0)?;
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element_seed(self)? {
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        self.0.take(0)?;
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            self.0.take(key.len())?;
            let value = map.next_value_seed(self)?;
            // Which of the two was meant is not ours to guess.
            if members.contains_key(&key) {
                return Err(A::Error::custom(format!("the key {key:?} is there twice")));
            }
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

/// An integer of more than 64 bits, as near as a number in JSON comes to it here.
fn near<E: Error>(integer: &impl ToString) -> Result<f64, E> {
    integer.to_string().parse().map_err(E::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_and_yaml_have_one_value() {
        let same = json!({ "a": [1, -2, 3.5, true, null, "x"], "200": { "b": "é" } });
        let yaml = "a: [1, -2, 3.5, true, null, x]\n200: &one\n  b: é\n";
        assert_eq!(parse(yaml).unwrap(), same);
        assert_eq!(parse(&same.to_string()).unwrap(), same);
        // A character as JSON may write it, and not YAML.
        assert_eq!(parse(r#"{"a": "\ud83d\ude80"}"#).unwrap()["a"], "🚀");
        assert_eq!(parse("{a: 1}").unwrap(), json!({ "a": 1 }));
        let alias = parse("a: &one { b: 1 }\nc: *one\n").unwrap();
        assert_eq!(alias["c"], json!({ "b": 1 }));
        // Neither has integers of more than 64 bits.
        for wide in ["20000000000000000000", "-9223372036854775809"] {
            let value = parse(&format!("a: {wide}\n")).unwrap();
            assert_eq!(value["a"].as_f64(), wide.parse().ok(), "{wide}");
            assert_eq!(parse(&format!("{{\"a\": {wide}}}")).unwrap(), value);
        }
        for bad in [
            "a: 1\na: 2\n",
            "{",
            r#"{"a": 1, "a": 2}"#,
            "a: .inf\n",
            "a: 1\n---\nb: 2\n",
            "",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn aliases_do_not_stand_for_more_than_can_be_held() {
        let many = vec!["*a"; 1_000].join(", ");
        let values = format!("a: &a [{}]\nb: [{many}]\n", vec!["0"; 1_000].join(", "));
        let bytes = format!("a: &a {}\nb: [{many}]\n", "x".repeat(10_000));
        for bomb in [values, bytes] {
            let refused = parse(&bomb).unwrap_err().to_string();
            assert!(refused.contains("more values"), "{refused}");
        }
    }
}

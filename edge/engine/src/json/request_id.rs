//! The id of a request that is refused for its text.

use super::{Limits, fold, parse};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;

/// The id of a JSON-RPC request that [`parse`] refuses, so that who sent it hears of that. Nothing else of such a text is read. `None`
/// where two readers could see two ids, or no request at all: a reply has the id of somebody else's question.
#[must_use]
pub fn request_id(bytes: &[u8]) -> Option<Value> {
    let limits = Limits::json_rpc();
    if bytes.len() > limits.bytes_max {
        return None;
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let id = deserializer.deserialize_map(Envelope).ok()??;
    deserializer.end().ok()?;
    let id = parse(id.get().as_bytes(), &limits).ok()?;
    is_id(&id).then_some(id)
}

/// Whether a request may have this id: a text or a whole number (MCP, "Requests").
#[must_use]
pub fn is_id(id: &Value) -> bool {
    id.is_string() || id.is_i64() || id.is_u64()
}

/// The members of a request. Values are passed over without a step per level of nesting, and without looking at their numbers.
struct Envelope;

impl<'de> Visitor<'de> for Envelope {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON-RPC request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let (mut id, mut ids, mut asks) = (None, 0_usize, false);
        while let Some(key) = access.next_key::<String>()? {
            asks |= key == "method";
            if fold(&key) == "id" {
                ids = ids.saturating_add(1);
                id = Some(access.next_value::<&RawValue>()?).filter(|_| key == "id");
            } else {
                access.next_value::<IgnoredAny>()?;
            }
        }
        Ok(id.filter(|_| ids == 1 && asks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_asks_hears_of_a_refusal_and_nobody_else() {
        let call = |members: &str| format!(r#"{{"jsonrpc":"2.0",{members}}}"#);
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let deep = format!(r#""id":-1,"method":"x","params":{deep}"#);
        for (members, id) in [
            (
                r#""id":7,"method":"x","params":{"user":1234567890123456789}"#,
                json!(7),
            ),
            (r#""id":7,"method":"x","params":{"a":1,"A":2}"#, json!(7)),
            (r#""id":7,"method":"x","method":"y""#, json!(7)),
            (r#""id":7,"method":"x","Method":"y""#, json!(7)),
            (
                r#""params":{"n":1e999,"n":-0},"method":"x","id":"a\u0062""#,
                json!("ab"),
            ),
            (deep.as_str(), json!(-1)),
        ] {
            let text = call(members);
            assert!(parse(text.as_bytes(), &Limits::json_rpc()).is_err());
            assert_eq!(request_id(text.as_bytes()), Some(id));
        }
        for members in [
            // Two ids, or one that some readers take for one.
            r#""id":7,"id":7,"method":"x""#,
            r#""id":7,"ID":8,"method":"x""#,
            "\"id\":7,\"\u{ff49}d\":8,\"method\":\"x\"",
            r#""Id":7,"method":"x""#,
            // None that a request may have, or that can be told as it is.
            r#""id":9007199254740993,"method":"x""#,
            r#""id":1e999,"method":"x""#,
            r#""id":1.5,"method":"x""#,
            r#""id":-0,"method":"x""#,
            r#""id":null,"method":"x""#,
            r#""id":{"a":1},"method":"x""#,
            r#""id":"\ud800","method":"x""#,
            // No request.
            r#""id":7,"result":{"a":1,"a":2}"#,
            r#""method":"x","params":{"id":7}"#,
            // No JSON.
            r#""id":7,"method":"x",}"#,
            r#""id":7,"method":"x"} {"a":1"#,
            r#""id":7,"method":"x","params":[[["#,
        ] {
            assert_eq!(request_id(call(members).as_bytes()), None, "{members}");
        }
        for text in [r#"[{"id":7,"method":"x"}]"#, "7", "", "{"] {
            assert_eq!(request_id(text.as_bytes()), None, "{text}");
        }
    }
}

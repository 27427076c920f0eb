//! Header values of MCP: plain, or `=?base64?…?=` where a plain header could not hold them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use proctor_engine::definition::ParamHeaders;
use serde_json::{Map, Number, Value};

/// Below this each integer is a number of its own (2^53).
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A text as a header value.
pub(crate) fn written(text: &str) -> HeaderValue {
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && text.trim() == text
        && !(text.starts_with("=?base64?") && text.ends_with("?="));
    let encoded = || format!("=?base64?{}?=", STANDARD.encode(text));
    let value = if plain { text.to_owned() } else { encoded() };
    HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static(""))
}

/// The text of a header value; `None` if it is not well formed.
pub(crate) fn read(value: &str) -> Option<String> {
    match value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="))
    {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}

/// The arguments that a tool's input schema wants in headers, by `x-mcp-header`: each with its path and the header.
pub(crate) fn declared(schema: &Value) -> Vec<(Vec<String>, HeaderName)> {
    let declared = ParamHeaders::of(schema).declared.into_iter();
    declared
        .filter_map(|(path, name)| {
            let header = HeaderName::from_bytes(format!("mcp-param-{name}").as_bytes());
            Some((path, header.ok()?))
        })
        .collect()
}

/// What the header of an argument says; `None` where the argument is not there, or is no text, number or truth.
pub(crate) fn said(path: &[String], arguments: &Map<String, Value>) -> Option<String> {
    scalar(path, arguments).map(|value| match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => plain(number),
        other => other.to_string(),
    })
}

/// Whether a header's text says what the argument says, or is absent where it is. A number is the same however it is written.
pub(crate) fn agrees(text: Option<&str>, path: &[String], arguments: &Map<String, Value>) -> bool {
    let number = match scalar(path, arguments) {
        Some(Value::Number(number)) => Some(number),
        _ => None,
    };
    match (text, number) {
        (Some(text), Some(number)) => {
            serde_json::from_str(text).is_ok_and(|said: Number| plain(&said) == plain(number))
        }
        (text, _) => text == said(path, arguments).as_deref(),
    }
}

fn scalar<'a>(path: &[String], arguments: &'a Map<String, Value>) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let value = rest
        .iter()
        .try_fold(arguments.get(first)?, |value, step| value.get(step))?;
    matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_)).then_some(value)
}

/// A number as most write it: one without a fraction has no point.
pub(crate) fn plain(number: &Number) -> String {
    match number.as_f64() {
        // No `-0`.
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT => {
            format!("{:.0}", float + 0.0)
        }
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn any_text_survives_a_header() {
        for text in [
            "plain",
            "",
            " led",
            "eü",
            "a\r\nX: b",
            "=?base64?eA==?=",
            "a,b; c",
        ] {
            let value = written(text);
            assert_eq!(
                read(value.to_str().unwrap()).as_deref(),
                Some(text),
                "{text:?}"
            );
        }
        assert_eq!(read("=?base64?!?="), None);
    }

    #[test]
    fn arguments_are_found_by_the_schema() {
        let schema = json!({ "properties": {
            "region": { "type": "string", "x-mcp-header": "Region" },
            "at": { "properties": { "zone": { "type": "integer", "x-mcp-header": "Zone" } } },
        } });
        let arguments = json!({ "region": "eu", "at": { "zone": 3 } });
        let mut said: Vec<_> = declared(&schema)
            .into_iter()
            .map(|(path, header)| {
                (
                    header.to_string(),
                    said(&path, arguments.as_object().unwrap()),
                )
            })
            .collect();
        said.sort();
        assert_eq!(
            said,
            [
                ("mcp-param-region".to_owned(), Some("eu".to_owned())),
                ("mcp-param-zone".to_owned(), Some("3".to_owned())),
            ]
        );
    }

    #[test]
    fn a_number_is_the_same_however_it_is_written() {
        let path = ["a".to_owned()];
        for (argument, written) in [
            ("42", "42"),
            ("42.0", "42"),
            ("4.2e1", "42"),
            ("-0.0", "0"),
            ("1.5", "1.5"),
            ("9007199254740993", "9007199254740993"),
        ] {
            let arguments: Map<String, Value> =
                serde_json::from_str(&format!(r#"{{"a":{argument}}}"#)).unwrap();
            assert_eq!(said(&path, &arguments).as_deref(), Some(written));
            for same in [argument, written] {
                assert!(agrees(Some(same), &path, &arguments), "{argument} {same}");
            }
            for other in [None, Some("41"), Some("x"), Some("")] {
                assert!(!agrees(other, &path, &arguments), "{argument} {other:?}");
            }
        }
        let text = Map::from_iter([("a".to_owned(), "42.0".into())]);
        assert!(!agrees(Some("42"), &path, &text), "a text is no number");
        assert!(agrees(None, &path, &Map::new()));
    }
}

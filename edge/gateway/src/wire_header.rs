//! Header values of MCP: plain, or `=?base64?…?=` where a plain header could not hold them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use proctor_engine::definition::ParamHeaders;
use serde_json::{Map, Value};

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
    let (first, rest) = path.split_first()?;
    let value = rest
        .iter()
        .try_fold(arguments.get(first)?, |value, step| value.get(step))?;
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
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
}

//! The HTTP headers of MCP. The body decides; headers are claims that have to agree with it.

use crate::wire_header;
use axum::http::{HeaderMap, HeaderName, header};
use serde_json::{Map, Value};

/// `MCP-Protocol-Version`.
pub(super) fn version(headers: &HeaderMap) -> Option<&str> {
    headers.get("mcp-protocol-version")?.to_str().ok()
}

/// A header's value, decoded where it is written as `=?base64?…?=`.
pub(super) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    wire_header::read(headers.get(name)?.to_str().ok()?)
}

/// Whether the client takes a JSON answer. One that says nothing does.
pub(super) fn accepts_json(headers: &HeaderMap) -> bool {
    accepts(headers, "application/json", "application/*")
}

/// Whether the client takes a stream of events. One that says nothing does.
pub(super) fn accepts_events(headers: &HeaderMap) -> bool {
    accepts(headers, "text/event-stream", "text/*")
}

fn accepts(headers: &HeaderMap, exact: &str, family: &str) -> bool {
    let mut kinds = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|kind| {
            kind.split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase()
        })
        .peekable();
    kinds.peek().is_none() || kinds.any(|kind| kind == exact || kind == family || kind == "*/*")
}

/// Whether the `Mcp-Param-*` headers say what the arguments say, by the `x-mcp-header` annotations of the tool's input
/// schema: each that is there is declared and equal, none that is declared is missing where the argument is there.
pub(super) fn params_agree(headers: &HeaderMap, schema: &Value, arguments: Option<&Value>) -> bool {
    let none = Map::new();
    let arguments = arguments.and_then(Value::as_object).unwrap_or(&none);
    let declared = wire_header::declared(schema);
    let known = |name: &str| declared.iter().any(|(_, header)| header == name);
    let no_other = headers
        .keys()
        .all(|name| !name.as_str().starts_with("mcp-param-") || known(name.as_str()));
    let once = declared
        .iter()
        .all(|(_, header)| headers.get_all(header).iter().nth(1).is_none());
    let agrees = |(path, header): &(Vec<String>, HeaderName)| {
        let text = text(headers, header.as_str());
        wire_header::agrees(text.as_deref(), path, arguments)
    };
    no_other && once && declared.iter().all(agrees)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use serde_json::json;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        headers
    }

    #[test]
    fn json_is_given_to_who_takes_it() {
        for (accept, json) in [
            ("application/json, text/event-stream", true),
            ("*/*", true),
            ("application/*;q=0.5", true),
            ("APPLICATION/JSON", true),
            ("text/event-stream", false),
            ("text/html", false),
        ] {
            assert_eq!(
                accepts_json(&headers(&[("accept", accept)])),
                json,
                "{accept}"
            );
        }
        assert!(accepts_json(&HeaderMap::new()));
    }

    #[test]
    fn headers_of_arguments_say_what_the_arguments_say() {
        let schema = json!({ "properties": {
            "region": { "type": "string", "x-mcp-header": "Region" },
            "size": { "type": "integer", "x-mcp-header": "Size" },
            "text": { "type": "string" },
        } });
        let arguments = json!({ "region": "eü", "size": 3, "text": "x" });
        let agree = |pairs: &[(&'static str, &'static str)]| {
            params_agree(&headers(pairs), &schema, Some(&arguments))
        };
        let region = ("mcp-param-region", "=?base64?ZcO8?=");
        assert!(agree(&[region, ("mcp-param-size", "3")]));
        assert!(agree(&[region, ("mcp-param-size", "3.0")]));
        assert!(!agree(&[region]), "a declared one is missing");
        assert!(!agree(&[region, ("mcp-param-size", "4")]), "another value");
        assert!(
            !agree(&[region, ("mcp-param-size", "3"), ("mcp-param-text", "x")]),
            "not declared"
        );
        assert!(
            !agree(&[region, ("mcp-param-size", "3"), ("mcp-param-size", "3")]),
            "twice"
        );
        assert!(
            !agree(&[
                ("mcp-param-region", "=?base64?!?="),
                ("mcp-param-size", "3")
            ]),
            "not base64"
        );
        assert!(params_agree(&HeaderMap::new(), &schema, None));
    }
}

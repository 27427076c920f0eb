//! Questions of a tool server to the client of a call: which there are, and which are no trap.

use proctor_model::Reason;
use serde_json::{Map, Value};
use url::Url;

/// Most questions at once.
const QUESTIONS_MAX: usize = 16;
/// Longest state that a server may hand out, in bytes.
const STATE_BYTES_MAX: usize = 64 * 1024;

/// Checks `{inputRequests, requestState}`.
pub(crate) fn check(body: &Map<String, Value>) -> Result<(), Reason> {
    let state = match body.get("requestState") {
        None => true,
        Some(state) => state
            .as_str()
            .is_some_and(|state| state.len() <= STATE_BYTES_MAX),
    };
    let questions = match body.get("inputRequests") {
        None => body.contains_key("requestState"),
        Some(questions) => questions.as_object().is_some_and(|questions| {
            (1..=QUESTIONS_MAX).contains(&questions.len()) && questions.values().all(good)
        }),
    };
    if state && questions {
        Ok(())
    } else {
        Err(Reason::OutputInvalid)
    }
}

fn good(question: &Value) -> bool {
    let params = question.get("params");
    let object = params.is_none_or(Value::is_object);
    let known = match question.get("method").and_then(Value::as_str) {
        Some("sampling/createMessage" | "roots/list") => true,
        Some("elicitation/create") => params.is_some_and(elicitation),
        _ => false,
    };
    object && known
}

/// A person may be sent to a page, but not to one that hides where it is, and not over a wire that others read.
fn elicitation(params: &Value) -> bool {
    let mode = params.get("mode").and_then(Value::as_str).unwrap_or("form");
    match (mode, params.get("url").and_then(Value::as_str)) {
        ("form", None) => true,
        ("url", Some(url)) => Url::parse(url).is_ok_and(|url| {
            let open = url.username().is_empty() && url.password().is_none();
            let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
            open && (url.scheme() == "https" || (url.scheme() == "http" && local))
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ask(method: &str, params: Value) -> Result<(), Reason> {
        let body = json!({ "inputRequests": { "q": { "method": method, "params": params } } });
        check(body.as_object().unwrap())
    }

    #[test]
    fn only_the_three_kinds_of_questions_pass() {
        assert!(ask("sampling/createMessage", json!({ "messages": [] })).is_ok());
        assert!(ask("roots/list", json!({})).is_ok());
        assert!(ask("elicitation/create", json!({ "message": "?" })).is_ok());
        for method in ["tools/call", "tasks/get", "", "elicitation/Create"] {
            assert!(ask(method, json!({})).is_err(), "{method}");
        }
        assert!(ask("roots/list", json!([])).is_err());
        assert!(check(&Map::new()).is_err());
        let many: Map<_, _> = (0..17)
            .map(|n| (n.to_string(), json!({ "method": "roots/list" })))
            .collect();
        assert!(check(json!({ "inputRequests": many }).as_object().unwrap()).is_err());
        let state = "x".repeat(STATE_BYTES_MAX + 1);
        assert!(check(json!({ "requestState": state }).as_object().unwrap()).is_err());
    }

    #[test]
    fn a_person_is_not_sent_to_a_page_in_disguise() {
        let url = |url: &str| {
            ask(
                "elicitation/create",
                json!({ "mode": "url", "url": url, "message": "?" }),
            )
        };
        assert!(url("https://bank.example/confirm").is_ok());
        assert!(url("http://localhost:3000/x").is_ok());
        for bad in [
            "http://bank.example/",
            "https://bank.example@evil.example/",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "not a url",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
        assert!(ask("elicitation/create", json!({ "url": "https://x.example/" })).is_err());
    }
}

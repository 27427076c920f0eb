//! Questions of a tool server to the client of a call: which there are, and which are no trap. An error that sends a person
//! to a page is one, too.

use proctor_model::Reason;
use serde_json::{Map, Value};
use url::Url;

/// Most questions at once.
const QUESTIONS_MAX: usize = 16;
/// Longest state that a server may hand out, in bytes.
const STATE_BYTES_MAX: usize = 64 * 1024;

/// The error of a server that does what it was asked when a person has been to a page (MCP 2025-11-25).
pub const ELICITATION_REQUIRED: i64 = -32042;

/// Checks the members of a JSON-RPC error: the pages that it sends a person to are those of questions.
pub(crate) fn check_error(error: &Map<String, Value>) -> Result<(), Reason> {
    if error.get("code").and_then(Value::as_i64) != Some(ELICITATION_REQUIRED) {
        return Ok(());
    }
    let pages = error.get("data").and_then(|data| data.get("elicitations"));
    let good = pages.is_none_or(|pages| {
        pages.as_array().is_some_and(|pages| {
            pages.len() <= QUESTIONS_MAX && pages.iter().all(|page| page.is_object() && sends(page))
        })
    });
    good.then_some(()).ok_or(Reason::OutputInvalid)
}

/// Whether this sends a person to a page, and to one that they may be sent to.
fn sends(page: &Value) -> bool {
    page.get("mode").is_some_and(|mode| mode == "url") && elicitation(page)
}

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

    #[test]
    fn nor_by_an_error() {
        let error = |code: i64, elicitations: Value| {
            let error =
                json!({ "code": code, "message": "?", "data": { "elicitations": elicitations } });
            check_error(error.as_object().unwrap())
        };
        let page =
            |url: &str| json!({ "mode": "url", "elicitationId": "e", "url": url, "message": "?" });
        let good = page("https://bank.example/confirm");
        assert!(error(ELICITATION_REQUIRED, json!([good])).is_ok());
        assert!(error(ELICITATION_REQUIRED, json!([])).is_ok());
        let evil = page("https://bank.example@evil.example/");
        for bad in [
            json!([good, evil]),
            json!([{ "mode": "form", "message": "?" }]),
            json!([{ "url": "https://bank.example/" }]),
            json!({ "0": good }),
            json!(["https://bank.example/"]),
            json!(vec![good.clone(); QUESTIONS_MAX + 1]),
        ] {
            assert!(error(ELICITATION_REQUIRED, bad.clone()).is_err(), "{bad}");
        }
        assert!(error(-32000, json!([evil])).is_ok(), "no client acts on it");
        let none = json!({ "code": ELICITATION_REQUIRED, "message": "?" });
        assert!(check_error(none.as_object().unwrap()).is_ok());
    }
}

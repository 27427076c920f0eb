//! The tool calls that a model asks for, as policies see them: `{name, arguments}`.

use super::Api;
use crate::json::{self, JsonError, Limits};
use proctor_model::Reason;
use serde_json::{Map, Value, json};

/// One call, or why nobody can say what it asks for.
pub(super) type Read = Result<Value, Reason>;

/// The kind of an output item of OpenAI's responses that calls a `custom` tool.
pub(super) const CUSTOM_CALL: &str = "custom_tool_call";

/// What a tool takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Takes {
    /// Parameters by their names, in JSON.
    Parameters,
    /// Any text (OpenAI's `custom` tools). It may happen to be JSON.
    Text,
}

impl Takes {
    /// The answer that the arguments are in is bounded already. Keys that fold onto each other could be the names of parameters
    /// in the outermost object alone, and where there are parameters.
    fn limits(self) -> Limits {
        Limits {
            bytes_max: usize::MAX,
            depth_max: usize::MAX,
            nodes_max: usize::MAX,
            envelope: &[],
            envelope_depth: 0,
            fold_depth: match self {
                Self::Parameters => 1,
                Self::Text => 0,
            },
        }
    }
}

/// One call. Arguments that are JSON in a text are read; others stay the text that they are.
pub(super) fn call(name: &str, arguments: &Value, takes: Takes) -> Read {
    let read = match arguments {
        Value::String(text) => read(text, takes)?,
        _ => None,
    };
    let arguments = read.unwrap_or_else(|| arguments.clone());
    Ok(json!({ "name": name, "arguments": arguments }))
}

/// What a text says that is JSON, if it is. The text goes on as it came: one that its reader may read otherwise, by another
/// of two keys that are the same (or of two parameters that look so), is refused.
pub(super) fn read(text: &str, takes: Takes) -> Result<Option<Value>, Reason> {
    let lenient = || serde_json::from_str(text).ok();
    match json::parse(text.as_bytes(), &takes.limits()) {
        Ok(value) => Ok(Some(value)),
        // Numbers are as near as a reader gets.
        Err(JsonError::UnsafeNumber) => Ok(lenient()),
        Err(_) if lenient().is_some() => Err(Reason::OutputInvalid),
        Err(_) => Ok(None),
    }
}

/// All calls in an answer that came whole.
pub(super) fn of_whole(api: Api, body: &Map<String, Value>) -> Result<Vec<Value>, Reason> {
    let list = |name: &str| {
        body.get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    match api {
        Api::Embeddings => Ok(Vec::new()),
        Api::Messages => list("content").filter_map(of_block).collect(),
        Api::Responses => list("output").filter_map(of_item).collect(),
        Api::ChatCompletions => {
            let messages = list("choices").filter_map(|choice| choice.get("message"));
            messages.flat_map(of_message).collect()
        }
    }
}

fn of_message(message: &Value) -> Vec<Read> {
    let calls = message.get("tool_calls").and_then(Value::as_array);
    let calls = calls.into_iter().flatten().filter_map(|call| {
        let function = call.get("function");
        let function = function.and_then(|function| named(function, Takes::Parameters));
        function.or_else(|| named(call.get("custom")?, Takes::Text))
    });
    let old = message.get("function_call");
    let old = old.and_then(|function| named(function, Takes::Parameters));
    calls.chain(old).collect()
}

fn named(function: &Value, takes: Takes) -> Option<Read> {
    let name = function.get("name")?.as_str()?;
    let arguments = function.get("arguments").or_else(|| function.get("input"));
    Some(call(name, arguments.unwrap_or(&Value::Null), takes))
}

/// A content block of Anthropic's messages, if it asks for a tool.
fn of_block(block: &Value) -> Option<Read> {
    let asks = block.get("type")?.as_str()?.ends_with("tool_use");
    asks.then(|| named(block, Takes::Parameters)).flatten()
}

/// An output item of OpenAI's responses, if it asks for a tool.
pub(super) fn of_item(item: &Value) -> Option<Read> {
    let kind = item.get("type")?.as_str()?;
    if !kind.ends_with("_call") {
        return None;
    }
    let takes = match kind {
        CUSTOM_CALL => Takes::Text,
        _ => Takes::Parameters,
    };
    // Those that a provider makes up itself (`local_shell_call`, `computer_call`) go by their kind, all of them being what
    // is asked for.
    named(item, takes).or_else(|| Some(call(kind, item, takes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(api: Api, body: &Value, expect: &Value) {
        let calls = of_whole(api, body.as_object().unwrap()).unwrap();
        assert_eq!(Value::Array(calls), *expect);
    }

    #[test]
    fn calls_are_found_in_every_dialect() {
        let expect = json!([{"name": "send", "arguments": {"to": "x"}}]);
        let function = json!({"name": "send", "arguments": "{\"to\":\"x\"}"});
        check(
            Api::ChatCompletions,
            &json!({"choices": [{"message": {"tool_calls": [{"id": "c", "type": "function", "function": function}]}}]}),
            &expect,
        );
        check(
            Api::ChatCompletions,
            &json!({"choices": [{"message": {"function_call": function}}]}),
            &expect,
        );
        check(
            Api::Messages,
            &json!({"content": [{"type": "text", "text": "ok"}, {"type": "tool_use", "id": "t", "name": "send", "input": {"to": "x"}}]}),
            &expect,
        );
        check(
            Api::Responses,
            &json!({"output": [{"type": "message"}, {"type": "function_call", "name": "send", "arguments": "{\"to\":\"x\"}"}]}),
            &expect,
        );
        check(
            Api::Responses,
            &json!({"output": [{"type": "custom_tool_call", "name": "run", "input": "not json"}]}),
            &json!([{"name": "run", "arguments": "not json"}]),
        );
        let shell = json!({"type": "local_shell_call", "action": {"command": ["rm", "-r", "/"]}});
        check(
            Api::Responses,
            &json!({"output": [shell]}),
            &json!([{"name": "local_shell_call", "arguments": shell}]),
        );
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for ambiguous in [
            r#"{"to": "you", "to": "me"}"#,
            r#"{"to": "you", "\u0074o": "me"}"#,
            r#"{"a": [{"to": 1, "to": 1}], "n": 9007199254740993}"#,
            r#"{"To": "you", "to": "me"}"#,
            r#"{"x\u0000": 1, "to": "you", "to": "me"}"#,
            r#"{"a": {"x\u0000": 1}}"#,
            r#"{"\uff54o": "you", "to": "me"}"#,
            // What is the same is found behind what looks so.
            r#"{"env": {"A": 1, "a": 2}, "x": {"to": 1, "to": 2}}"#,
            r#"{"env": {"A": 1, "a": 2, "\u0061": 3}}"#,
            r#"{"env": {"A": 1, "a": 2}, "To": "you", "to": "me"}"#,
        ] {
            let read = read(ambiguous, Takes::Parameters);
            assert_eq!(read, Err(Reason::OutputInvalid), "{ambiguous}");
        }
        for (plain, value) in [
            (
                r#"{"to": "me", "cc": {"to": "me"}}"#,
                json!({"to": "me", "cc": {"to": "me"}}),
            ),
            (r#"[{"to": 1}, {"to": 1}]"#, json!([{"to": 1}, {"to": 1}])),
            // Data, not the names of parameters.
            (
                r#"{"command": "curl x", "env": {"http_proxy": "p", "HTTP_PROXY": "q"}}"#,
                json!({"command": "curl x", "env": {"http_proxy": "p", "HTTP_PROXY": "q"}}),
            ),
            (
                r#"[{"may": "can", "May": "a month"}]"#,
                json!([{"may": "can", "May": "a month"}]),
            ),
            (
                r#"{"env": {"A": 1, "a": 9007199254740993}}"#,
                json!({"env": {"A": 1, "a": 9_007_199_254_740_993_u64}}),
            ),
            // Not what a call of an agent may have, but nothing that has two meanings here.
            (
                r#"{"id": 9007199254740993}"#,
                json!({"id": 9_007_199_254_740_993_u64}),
            ),
            ("7", json!(7)),
        ] {
            let read = read(plain, Takes::Parameters);
            assert_eq!(read, Ok(Some(value)), "{plain}");
        }
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(read(&deep, Takes::Parameters).unwrap().is_some());
        for text in [
            "",
            "not json",
            r#"{"to": "you", "to": "me"} x"#,
            r#"{"to": 1e999}"#,
        ] {
            assert_eq!(read(text, Takes::Parameters), Ok(None), "{text}");
        }
    }

    #[test]
    fn what_is_called_what_in_a_text_is_no_name_of_a_parameter() {
        let text = r#"{"Polish":"polski","polish":"polieren"}"#;
        let expect =
            json!([{"name": "look_up", "arguments": {"Polish": "polski", "polish": "polieren"}}]);
        let custom = json!({"name": "look_up", "input": text});
        check(
            Api::ChatCompletions,
            &json!({"choices": [{"message": {"tool_calls": [{"id": "c", "type": "custom", "function": null, "custom": custom}]}}]}),
            &expect,
        );
        check(
            Api::Responses,
            &json!({"output": [{"type": "custom_tool_call", "name": "look_up", "input": text}]}),
            &expect,
        );
        // Of two that are the same a policy would see one.
        let twice = r#"{"to":"you","to":"me"}"#;
        for (text, takes) in [
            (text, Takes::Parameters),
            (twice, Takes::Parameters),
            (twice, Takes::Text),
        ] {
            let read = read(text, takes);
            assert_eq!(read, Err(Reason::OutputInvalid), "{text} {takes:?}");
        }
    }

    #[test]
    fn a_call_that_can_be_read_in_two_ways_is_refused_in_every_dialect() {
        let function = json!({"name": "send", "arguments": r#"{"to":"you","to":"me"}"#});
        let item = json!({"type": "function_call", "name": "send", "arguments": r#"{"to":"you","to":"me"}"#});
        let block =
            json!({"type": "tool_use", "name": "send", "input": r#"{"to":"you","to":"me"}"#});
        for (api, body) in [
            (
                Api::ChatCompletions,
                json!({"choices": [{"message": {"tool_calls": [{"function": function}]}}]}),
            ),
            (
                Api::ChatCompletions,
                json!({"choices": [{"message": {"function_call": function}}]}),
            ),
            (
                Api::Responses,
                json!({"output": [{"type": "message"}, item]}),
            ),
            (Api::Messages, json!({"content": [block]})),
        ] {
            let read = of_whole(api, body.as_object().unwrap());
            assert_eq!(read, Err(Reason::OutputInvalid), "{body}");
        }
    }
}

//! The tool calls that a model asks for, as policies see them: `{name, arguments}`.

use super::{Api, Stop};
use crate::json::{self, JsonError, Limits};
use crate::step::No;
use proctor_model::Reason;
use serde_json::{Map, Value, json};

/// One call, or why nobody can say what it asks for.
pub(super) type Read = Result<Value, Unclear>;

/// Why nobody can say what a call asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Unclear {
    /// Its readers may read it in different ways.
    #[error("arguments of a tool call: {0}")]
    Json(JsonError),
    /// It ends before it is whole.
    #[error("arguments of a tool call: they end too early, as where `max_tokens` is reached")]
    Cut,
}

impl Unclear {
    /// Of a text that is no JSON.
    fn of(refusal: JsonError, error: &serde_json::Error) -> Self {
        match refusal {
            JsonError::Invalid if error.is_eof() => Self::Cut,
            _ => Self::Json(refusal),
        }
    }
}

impl From<Unclear> for Stop {
    fn from(unclear: Unclear) -> Self {
        Self {
            reason: Reason::OutputInvalid,
            detail: Some(unclear.to_string()),
        }
    }
}

impl From<Unclear> for No {
    fn from(unclear: Unclear) -> Self {
        Self(Reason::OutputInvalid, Some(unclear.to_string()))
    }
}

/// What a tool takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Takes {
    /// Parameters by their names, in JSON.
    Parameters,
    /// Any text (OpenAI's `custom` tools). It may happen to be JSON.
    Text,
}

impl Takes {
    /// What an output item of OpenAI's responses calls, by its kind.
    pub(super) fn of_item(kind: &str) -> Self {
        match kind {
            "custom_tool_call" => Self::Text,
            _ => Self::Parameters,
        }
    }

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
/// of two keys that are the same (or of two parameters that look so), is refused. So are parameters that only some readers read.
pub(super) fn read(text: &str, takes: Takes) -> Result<Option<Value>, Unclear> {
    let refusal = match json::parse(text.as_bytes(), &takes.limits()) {
        Ok(value) => return Ok(Some(value)),
        Err(refusal) => refusal,
    };
    match serde_json::from_str::<Value>(text) {
        // Numbers are as near as a reader gets.
        Ok(value) if refusal == JsonError::UnsafeNumber => Ok(Some(value)),
        Ok(_) => Err(Unclear::Json(refusal)),
        Err(error) => match takes {
            Takes::Parameters if is_read_by_some(text) => Err(Unclear::of(refusal, &error)),
            Takes::Parameters | Takes::Text => Ok(None),
        },
    }
}

/// Whether a text that is no JSON here is an object or a list to some reader: one that takes half of a character
/// (`"\ud800"`), a number without bounds, a line's end in a string, or one that passes over what stands before it and completes
/// what ends too early, as clients of streams do. No policy could tell what that reads.
fn is_read_by_some(text: &str) -> bool {
    text.contains(['{', '['])
}

/// All calls in an answer that came whole.
pub(super) fn of_whole(api: Api, body: &Map<String, Value>) -> Result<Vec<Value>, Unclear> {
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
    let takes = Takes::of_item(kind);
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

    /// What an agent is told of a text that is refused.
    fn told(text: &str, takes: Takes) -> Option<String> {
        let stop = Stop::from(read(text, takes).err()?);
        assert_eq!(stop.reason, Reason::OutputInvalid, "{text}");
        stop.detail
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
            assert!(told(ambiguous, Takes::Parameters).is_some(), "{ambiguous}");
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
    }

    #[test]
    fn what_is_json_to_some_readers_alone_is_refused() {
        let invalid = "arguments of a tool call: not one valid JSON text";
        let twice = "arguments of a tool call: an object has a key twice";
        let alike =
            "arguments of a tool call: a key differs from another one only by case or Unicode form";
        let number = "arguments of a tool call: a number cannot be represented exactly";
        let early =
            "arguments of a tool call: they end too early, as where `max_tokens` is reached";
        let (open, close) = ("[".repeat(130), "]".repeat(130));
        let deep = format!(r#"{{"to": "me", "x": {open}{close}}}"#);
        for (text, why) in [
            (r#"{"to": "you", "to": "me", "x": "\ud800"}"#, twice),
            (r#"{"to": "you", "to": "me", "x": "cut of"#, twice),
            (r#"{"to": "you", "to": "me"} x"#, twice),
            (r#"{"To": "you", "to": "me"} x"#, alike),
            (r#"{"to": "me", "x": "\ud800"}"#, invalid),
            (r#"[{"to": "me", "x": "\udc00\ud800"}]"#, invalid),
            (r#"{"to": "me", "x": "\ud800", "y": "cut of"#, invalid),
            (r#"{"to": 1e999}"#, number),
            (r#"{"to": "me", "x": NaN}"#, invalid),
            ("{\"to\": \"me\", \"x\": \"a\tb\"}", invalid),
            (r#"{"to": "me",}"#, invalid),
            (r#"{to: "me"}"#, invalid),
            (r#"{"to": "me"}{"to": "you"}"#, invalid),
            ("\u{feff} {\"to\": \"me\"}", invalid),
            (deep.as_str(), invalid),
            (r#"x {"to": "you"}"#, invalid),
            ("```json\n[\"you\"]\n```", invalid),
            ("{", early),
            ("[1,", early),
            (r#"{"to": "me","#, early),
            (r#"{"to": "cut of"#, early),
            (r#"{"to": "\ud8"#, early),
            (r#"{"to": "\ud83d\u"#, early),
            (r#"{"to": -"#, early),
            (r#"{"to": 1."#, early),
            (r#"{"to": tru"#, early),
        ] {
            let told = told(text, Takes::Parameters);
            assert_eq!(told.as_deref(), Some(why), "{text}");
        }
        // What nobody can take for an object or a list.
        for text in ["", " ", "not json", r#""cut of"#, "tru"] {
            assert_eq!(read(text, Takes::Parameters), Ok(None), "{text}");
        }
        for text in [
            "{not json}",
            r#"{"to": 1e999}"#,
            r#"{"to": "me", "x": "\ud800"}"#,
            r#"{"to": "you", "to": "me"} x"#,
            r#"{"to": "cut of"#,
        ] {
            assert_eq!(read(text, Takes::Text), Ok(None), "{text}");
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
            assert!(told(text, takes).is_some(), "{text} {takes:?}");
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
            assert_eq!(read, Err(Unclear::Json(JsonError::DuplicateKey)), "{body}");
        }
    }
}

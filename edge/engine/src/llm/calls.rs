//! The tool calls that a model asks for, as policies see them: `{name, arguments}`.

use super::Api;
use serde_json::{Map, Value, json};

/// One call. Arguments that are JSON in a text are read; others stay the text that they are.
pub(super) fn call(name: &str, arguments: &Value) -> Value {
    let arguments = match arguments {
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| arguments.clone()),
        other => other.clone(),
    };
    json!({ "name": name, "arguments": arguments })
}

/// All calls in an answer that came whole.
pub(super) fn of_whole(api: Api, body: &Map<String, Value>) -> Vec<Value> {
    let list = |name: &str| {
        body.get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    match api {
        Api::Embeddings => Vec::new(),
        Api::Messages => list("content").filter_map(of_block).collect(),
        Api::Responses => list("output").filter_map(of_item).collect(),
        Api::ChatCompletions => {
            let messages = list("choices").filter_map(|choice| choice.get("message"));
            messages.flat_map(of_message).collect()
        }
    }
}

fn of_message(message: &Value) -> Vec<Value> {
    let calls = message.get("tool_calls").and_then(Value::as_array);
    let calls = calls.into_iter().flatten().filter_map(|call| {
        let function = call.get("function").or_else(|| call.get("custom"))?;
        named(function)
    });
    let old = message.get("function_call").and_then(named);
    calls.chain(old).collect()
}

fn named(function: &Value) -> Option<Value> {
    let name = function.get("name")?.as_str()?;
    let arguments = function.get("arguments").or_else(|| function.get("input"));
    Some(call(name, arguments.unwrap_or(&Value::Null)))
}

/// A content block of Anthropic's messages, if it asks for a tool.
fn of_block(block: &Value) -> Option<Value> {
    let asks = block.get("type")?.as_str()?.ends_with("tool_use");
    asks.then(|| named(block)).flatten()
}

/// An output item of OpenAI's responses, if it asks for a tool.
pub(super) fn of_item(item: &Value) -> Option<Value> {
    let kind = item.get("type")?.as_str()?;
    if !kind.ends_with("_call") {
        return None;
    }
    // Those that a provider makes up itself (`local_shell_call`, `computer_call`) go by their kind, all of them being what
    // is asked for.
    named(item).or_else(|| Some(call(kind, item)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(api: Api, body: &Value, expect: &Value) {
        let calls = of_whole(api, body.as_object().unwrap());
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
}

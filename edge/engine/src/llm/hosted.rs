//! What a provider would do by itself, out of sight of whoever decides: fetch, look up what it keeps, ask others. Only a
//! provider that is registered for it is asked for such things.

mod tools;

use super::Api;
use super::prompt::{Misfit, misfit};
use serde_json::{Map, Value};

/// Longest name of a member that an error repeats, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Members by which a part says where its content is to be had.
const BY_ADDRESS: [&str; 6] = [
    "image_url",
    "file_url",
    "video_url",
    "audio_url",
    "file_uri",
    "fileUri",
];

/// Why a provider is not asked to make a conversation shorter by a summary of it.
pub(super) const SUMS_UP: &str =
    "the provider would sum the conversation up in an answer of its own, which no ceiling holds";

/// What changes in a conversation that gets too long are called that leave things out of it, and do nothing else.
const LEAVES_OUT: &str = "clear_";

/// Members with schemas and labels: names in there are the agent's own, and nothing in there is a part of a message.
const NO_PARTS: [&str; 6] = [
    "tools",
    "functions",
    "response_format",
    "text",
    "output_config",
    "metadata",
];

/// Members of a request that say something about the one answer of the one model, by the providers' public descriptions of
/// their APIs. A list of what is known: what a provider adds, or one that speaks a dialect of it, may search, ask another
/// model, or go by what it keeps.
fn known(api: Api) -> &'static [&'static str] {
    match api {
        Api::ChatCompletions => &[
            "audio",
            "frequency_penalty",
            "function_call",
            "functions",
            "logit_bias",
            "logprobs",
            "max_completion_tokens",
            "max_tokens",
            "messages",
            "metadata",
            "modalities",
            "model",
            "n",
            "parallel_tool_calls",
            "prediction",
            "presence_penalty",
            "prompt_cache_key",
            "prompt_cache_options",
            "prompt_cache_retention",
            "reasoning_effort",
            "response_format",
            "safety_identifier",
            "seed",
            "service_tier",
            "stop",
            "store",
            "stream",
            "stream_options",
            "temperature",
            "tool_choice",
            "tools",
            "top_logprobs",
            "top_p",
            "user",
            "verbosity",
        ],
        Api::Responses => &[
            "access_programs",
            "context_management",
            "image",
            "include",
            "input",
            "instructions",
            "max_output_tokens",
            "max_tool_calls",
            "metadata",
            "model",
            "parallel_tool_calls",
            "prompt_cache_key",
            "prompt_cache_options",
            "prompt_cache_retention",
            "reasoning",
            "safety_identifier",
            "service_tier",
            "store",
            "stream",
            "stream_options",
            "temperature",
            "text",
            "tool_choice",
            "tools",
            "top_logprobs",
            "top_p",
            "truncation",
            "user",
        ],
        Api::Embeddings => &["dimensions", "encoding_format", "input", "model", "user"],
        Api::Messages => &[
            "cache_control",
            "context_management",
            "inference_geo",
            "max_tokens",
            "messages",
            "metadata",
            "model",
            "output_config",
            "service_tier",
            "speed",
            "stop_sequences",
            "stream",
            "system",
            "temperature",
            "thinking",
            "tool_choice",
            "tools",
            "top_k",
            "top_p",
        ],
    }
}

/// Nothing that the provider would do by itself, out of sight.
pub(super) fn check(api: Api, body: &Map<String, Value>) -> Result<(), Misfit> {
    for (name, value) in body {
        let unset = matches!(value, Value::Null | Value::Bool(false));
        if !unset && !known(api).contains(&name.as_str()) {
            return Err(foreign(name));
        }
    }
    let parts = body
        .iter()
        .filter(|(name, _)| !NO_PARTS.contains(&name.as_str()));
    for (name, value) in parts {
        if refers(api, name, value) {
            return Err(misfit("an item that the provider keeps: send it"));
        }
        if fetches(api, value) {
            return Err(misfit(
                "a picture or a file by its address or its id: send it (the provider would fetch it)",
            ));
        }
    }
    check_management(api, body.get("context_management"))?;
    tools::check(api, body.get("tools"))
}

fn foreign(name: &str) -> Misfit {
    let shown = shown(name);
    misfit(format!(
        "{shown}: not through here (a provider might search, ask another model or use what it keeps)"
    ))
}

/// A name in an error: it is the agent's own word, but not of any length.
fn shown(name: &str) -> String {
    let most = name.get(..name.floor_char_boundary(NAME_BYTES_MAX));
    let shown = most.unwrap_or_default().chars();
    shown.filter(|char| !char.is_control()).collect()
}

/// What a provider does about a conversation that gets too long: leave things out, as the messages API knows it. The
/// responses API knows nothing but to sum it up.
fn check_management(api: Api, management: Option<&Value>) -> Result<(), Misfit> {
    let is_unset = |value: &&Value| matches!(value, Value::Null | Value::Bool(false));
    let management = management.filter(|management| !is_unset(management));
    let (steps, known) = match (api, management) {
        (_, None) => return Ok(()),
        (Api::Messages, Some(Value::Object(management))) => {
            let edits = management.get("edits");
            (edits.filter(|edits| !is_unset(edits)), Some(LEAVES_OUT))
        }
        (Api::Messages, Some(_)) => return Err(misfit("context_management: an object")),
        (_, steps) => (steps, None),
    };
    let steps = match steps {
        None => return Ok(()),
        Some(Value::Array(steps)) => steps,
        Some(_) => return Err(misfit("context_management: a list")),
    };
    let mut kinds = steps.iter().map(|step| {
        let kind = step.get("type").and_then(Value::as_str);
        kind.unwrap_or_default()
    });
    let is_foreign = |kind: &&str| known.is_none_or(|known| !kind.starts_with(known));
    match kinds.find(is_foreign) {
        None => Ok(()),
        Some(kind) => Err(misfit(format!(
            "context_management: {}: not through here ({SUMS_UP})",
            shown(kind)
        ))),
    }
}

/// Whether an item of the conversation is there by its id alone.
fn refers(api: Api, name: &str, value: &Value) -> bool {
    let is_set = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
    let items = value.as_array().map_or(&[][..], Vec::as_slice);
    items.iter().any(|item| match (api, name) {
        // The type of a reference may be left out; only a message may do without one, too, and that has a role.
        (Api::Responses, "input") => match item.get("type").and_then(Value::as_str) {
            Some(kind) => kind == "item_reference",
            None => item.is_object() && !is_set(item.get("role")),
        },
        // What a model has said aloud.
        (Api::ChatCompletions, "messages") => item
            .get("audio")
            .is_some_and(|audio| is_set(audio.get("id"))),
        _ => false,
    })
}

/// Whether anything in there would be fetched by the provider, from anywhere, or is what it keeps: neither was decided on.
fn fetches(api: Api, value: &Value) -> bool {
    match value {
        Value::Array(elements) => elements.iter().any(|element| fetches(api, element)),
        Value::Object(members) => {
            is_by_reference(members)
                || members
                    .iter()
                    .filter(|(name, _)| api != Api::Messages || !is_argument(members, name))
                    .any(|(_, member)| fetches(api, member))
        }
        _ => false,
    }
}

fn is_by_reference(part: &Map<String, Value>) -> bool {
    let is_set = |value: &&Value| !value.is_null();
    let elsewhere = |value: &Value| {
        let address = value.as_str().or_else(|| value.get("url")?.as_str());
        address.is_none_or(|address| !address.trim_start().starts_with("data:"))
    };
    let by_address = |name: &str| part.get(name).filter(is_set).is_some_and(elsewhere);
    BY_ADDRESS.iter().any(|name| by_address(name))
        || part.get("file_id").filter(is_set).is_some()
        || part
            .get("source")
            .is_some_and(|source| source.get("url").filter(is_set).is_some())
}

/// The arguments of a tool call in a conversation are data, whatever their names.
pub(super) fn is_argument(part: &Map<String, Value>, name: &str) -> bool {
    let kind = part.get("type").and_then(Value::as_str);
    kind == Some("tool_use") && name == "input"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn checked(api: Api, body: &Value) -> Result<(), String> {
        check(api, body.as_object().unwrap()).map_err(|misfit| misfit.detail.into_owned())
    }

    fn messages(content: &Value) -> Value {
        json!({"model": "m", "messages": [{"role": "user", "content": content}]})
    }

    fn input(item: &Value) -> Value {
        json!({"model": "m", "input": [item]})
    }

    const EVIL: &str = "https://evil.example/?d=x";

    #[test]
    fn what_a_provider_would_fetch_is_refused_however_deep() {
        let image = json!({"type": "image", "source": {"type": "url", "url": EVIL}});
        let document =
            json!({"type": "document", "source": {"type": "content", "content": [image]}});
        let result = json!({"type": "tool_result", "tool_use_id": "t", "content": [document]});
        for part in [
            image,
            document.clone(),
            result,
            json!({"type": "document", "source": {"type": "file", "file_id": "f"}}),
            json!({"type": "container_upload", "file_id": "f"}),
        ] {
            let body = messages(&json!([part]));
            assert!(checked(Api::Messages, &body).is_err(), "{body}");
            let system = json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "system": [part]});
            assert!(checked(Api::Messages, &system).is_err(), "{system}");
        }
        for part in [
            json!({"type": "image_url", "image_url": {"url": EVIL}}),
            json!({"type": "image_url", "image_url": EVIL}),
            json!({"type": "image_url", "image_url": {"url": [EVIL]}}),
            json!({"type": "file", "file": {"file_id": "file-1"}}),
        ] {
            let body = messages(&json!([part]));
            assert!(checked(Api::ChatCompletions, &body).is_err(), "{body}");
            let predicted = json!({"model": "m", "messages": [{"role": "user", "content": "x"}],
                "prediction": {"type": "content", "content": [part]}});
            assert!(
                checked(Api::ChatCompletions, &predicted).is_err(),
                "{predicted}"
            );
        }
        let output =
            |part: Value| json!({"type": "function_call_output", "call_id": "c", "output": part});
        for item in [
            json!({"role": "user", "content": [{"type": "input_file", "file_url": EVIL}]}),
            json!({"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}),
            output(json!([{"type": "input_image", "image_url": EVIL}])),
            output(json!([{"type": "input_file", "file_id": "f"}])),
            json!({"type": "computer_call_output", "call_id": "c",
                "output": {"type": "computer_screenshot", "image_url": EVIL}}),
        ] {
            let body = input(&item);
            assert!(checked(Api::Responses, &body).is_err(), "{body}");
        }
    }

    #[test]
    fn what_is_there_is_no_reference() {
        let inline = "data:image/png;base64,AAAA";
        for part in [
            json!({"type": "image_url", "image_url": {"url": inline}}),
            json!({"type": "file", "file": {"file_data": inline, "filename": "a.pdf", "file_id": null}}),
            // Words about an address are words.
            json!({"type": "text", "text": EVIL}),
        ] {
            let body = messages(&json!([part]));
            assert_eq!(checked(Api::ChatCompletions, &body), Ok(()));
        }
        let source = json!({"type": "base64", "media_type": "image/png", "data": "AAAA"});
        for part in [
            json!({"type": "image", "source": source}),
            json!({"type": "search_result", "source": EVIL, "title": "t", "content": [{"type": "text", "text": "x"}]}),
            // The agent's tool has such an argument.
            json!({"type": "tool_use", "id": "t", "name": "publish", "input": {"image_url": EVIL, "file_id": 7}}),
        ] {
            let body = messages(&json!([part]));
            assert_eq!(checked(Api::Messages, &body), Ok(()));
        }
        let properties = json!({"image_url": {"type": "string"}, "file_id": {"type": "string"}});
        let tool = json!({"name": "publish", "input_schema": {"type": "object", "properties": properties}});
        let body =
            json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": [tool]});
        assert_eq!(checked(Api::Messages, &body), Ok(()));
    }

    #[test]
    fn an_item_that_the_provider_keeps_has_to_be_sent() {
        for item in [
            json!({"type": "item_reference", "id": "x"}),
            json!({"id": "msg_1"}),
            json!({"id": "msg_1", "type": null}),
        ] {
            assert!(checked(Api::Responses, &input(&item)).is_err(), "{item}");
        }
        for item in [
            json!({"role": "user", "content": "x"}),
            json!({"id": "rs_1", "type": "reasoning", "summary": []}),
            json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{\"file_id\": 1}"}),
        ] {
            assert_eq!(checked(Api::Responses, &input(&item)), Ok(()));
        }
        let spoken =
            json!({"model": "m", "messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]});
        assert!(checked(Api::ChatCompletions, &spoken).is_err());
        let silent = json!({"model": "m", "messages": [{"role": "assistant", "content": "x", "audio": null}]});
        assert_eq!(checked(Api::ChatCompletions, &silent), Ok(()));
    }

    #[test]
    fn a_member_that_is_not_known_is_named() {
        let message = json!([{"role": "user", "content": "x"}]);
        for name in [
            "fallbacks",
            "preset",
            "provider",
            "enable_search",
            "plugins",
            "models",
            "route",
            "data_sources",
            "search_parameters",
            "web_search_options",
            "moderation",
        ] {
            let body = json!({"model": "m", "messages": message, name: {"any": 1}});
            let why = checked(Api::ChatCompletions, &body).unwrap_err();
            assert!(why.starts_with(&format!("{name}: ")), "{why}");
        }
        for name in ["mcp_servers", "container", "fallbacks", "thread"] {
            let body = json!({"model": "m", "max_tokens": 1, "messages": message, name: [{}]});
            let why = checked(Api::Messages, &body).unwrap_err();
            assert!(why.starts_with(&format!("{name}: ")), "{why}");
        }
        for name in ["previous_response_id", "conversation", "prompt"] {
            let body = json!({"model": "m", "input": "x", name: "r"});
            assert!(checked(Api::Responses, &body).is_err(), "{name}");
        }
        let unset = json!({"model": "m", "input": "x", "background": false, "prompt": null});
        assert_eq!(checked(Api::Responses, &unset), Ok(()));
        let long = "n".repeat(500);
        let body = json!({"model": "m", "input": "x", long: 1});
        assert!(checked(Api::Embeddings, &body).unwrap_err().len() < 200);
    }

    #[test]
    fn a_conversation_is_made_shorter_by_leaving_out_alone() {
        let with = |api, management: Value| {
            let said = json!([{"role": "user", "content": "x"}]);
            let body = json!({"model": "m", "messages": said, "input": "x", "context_management": management});
            let mut body = body.as_object().unwrap().clone();
            body.retain(|name, _| known(api).contains(&name.as_str()));
            check(api, &body).map_err(|misfit| misfit.detail.into_owned())
        };
        let edits = |kinds: &[&str]| {
            let edits: Value = kinds.iter().map(|kind| json!({"type": kind})).collect();
            with(Api::Messages, json!({"edits": edits}))
        };
        let clear = ["clear_tool_uses_20250919", "clear_thinking_20251015"];
        assert_eq!(edits(&clear), Ok(()));
        assert_eq!(edits(&[]), Ok(()));
        for unset in [json!(null), json!({}), json!({"edits": null})] {
            assert_eq!(with(Api::Messages, unset), Ok(()));
        }
        let why = edits(&["clear_thinking_20251015", "compact_20260112"]).unwrap_err();
        assert!(
            why.contains("compact_20260112") && why.contains(SUMS_UP),
            "{why}"
        );
        for odd in [
            json!({"edits": [{}]}),
            json!({"edits": ["compact_20260112"]}),
            json!({"edits": [{"type": "new_kind"}]}),
            json!({"edits": {"type": "compact_20260112"}}),
        ] {
            assert!(with(Api::Messages, odd.clone()).is_err(), "{odd}");
        }
        // The other API's member of that name: a summary is all that it knows.
        for unset in [json!(null), json!([])] {
            assert_eq!(with(Api::Responses, unset), Ok(()));
        }
        let compaction = json!([{"type": "compaction", "compact_threshold": 9}]);
        let why = with(Api::Responses, compaction.clone()).unwrap_err();
        assert!(why.contains("compaction") && why.contains(SUMS_UP), "{why}");
        for odd in [
            json!([{}]),
            json!(["compaction"]),
            json!([{"type": "new_kind"}]),
            json!({"type": "compaction"}),
            json!({"edits": [{"type": "clear_thinking_20251015"}]}),
            json!([{"type": "clear_thinking_20251015"}]),
        ] {
            assert!(with(Api::Responses, odd.clone()).is_err(), "{odd}");
        }
        assert!(with(Api::Messages, compaction).is_err());
    }
}

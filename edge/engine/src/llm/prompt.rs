//! What an agent asks of a model: read strictly, decided on as the arguments of a tool, written anew for the provider.

use super::Api;
use proctor_model::Reason;
use serde_json::{Map, Value, json};

/// The argument that says which API was asked; no provider gets it.
pub const API_ARGUMENT: &str = "api";

/// A request to a provider.
#[derive(Clone, PartialEq, Debug)]
pub struct Prompt {
    /// What was asked.
    pub api: Api,
    /// The model, as the agent names it.
    pub model: String,
    /// Whether the answer is to come as a stream of events.
    pub streamed: bool,
    /// Whether the agent wants to read the usage at the end of a stream of chat completions.
    pub wants_usage: bool,
    /// What is decided on: the request's members, and `api`.
    pub arguments: Map<String, Value>,
}

/// Why a request is none that can be decided on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Misfit {
    /// The reason.
    pub reason: Reason,
    /// What is wrong, without any value.
    pub detail: &'static str,
}

fn misfit(detail: &'static str) -> Misfit {
    Misfit {
        reason: Reason::InvalidParams,
        detail,
    }
}

/// Members by which a provider would use what it keeps, out of sight of whoever decides.
const KEPT: [&str; 4] = [
    "previous_response_id",
    "conversation",
    "prompt",
    "background",
];

impl Prompt {
    /// Reads a request. `hosted`: tools that the provider runs itself, and what it keeps of earlier answers, may be used.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(api: Api, mut body: Map<String, Value>, hosted: bool) -> Result<Self, Misfit> {
        if body.contains_key(API_ARGUMENT) {
            return Err(misfit("api: no provider knows it"));
        }
        let model = match body.get("model") {
            Some(Value::String(model)) if !model.is_empty() => model.clone(),
            _ => return Err(misfit("model: a text")),
        };
        let streamed = match body.get("stream") {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Bool(true)) if api != Api::Embeddings => true,
            Some(_) => return Err(misfit("stream: true or false")),
        };
        let options = body
            .get("stream_options")
            .filter(|options| !options.is_null());
        if options.is_some_and(|options| !options.is_object()) {
            return Err(misfit("stream_options: an object"));
        }
        let wants_usage =
            options.is_some_and(|options| options.get("include_usage") == Some(&json!(true)));
        check_content(api, &body)?;
        if !hosted {
            check_hosted(&body)?;
        }
        body.insert(API_ARGUMENT.to_owned(), api.as_str().into());
        Ok(Self {
            api,
            model,
            streamed,
            wants_usage,
            arguments: body,
        })
    }

    /// What goes to the provider: the arguments that were decided on, with the model's name there. A whole answer is
    /// asked to be no longer than its ceiling; a stream is cut.
    #[must_use]
    pub fn forwarded(
        &self,
        decided: &Map<String, Value>,
        model: &str,
        tokens_max: Option<u64>,
    ) -> Map<String, Value> {
        let mut body = decided.clone();
        body.shift_remove(API_ARGUMENT);
        body.insert("model".to_owned(), model.into());
        if body.contains_key("stream") {
            body.insert("stream".to_owned(), self.streamed.into());
        }
        if self.streamed && self.api == Api::ChatCompletions {
            // Without it a stream never says what it used.
            let options = body.entry("stream_options").or_insert_with(|| json!({}));
            if !options.is_object() {
                *options = json!({});
            }
            if let Some(options) = options.as_object_mut() {
                options.insert("include_usage".to_owned(), true.into());
            }
        }
        if let Some(most) = tokens_max.filter(|_| !self.streamed) {
            self.limit(&mut body, most);
        }
        body
    }

    fn limit(&self, body: &mut Map<String, Value>, most: u64) {
        let names: &[&str] = match self.api {
            Api::ChatCompletions => &["max_completion_tokens", "max_tokens"],
            Api::Responses => &["max_output_tokens"],
            Api::Messages => &["max_tokens"],
            Api::Embeddings => return,
        };
        let mut known = false;
        for name in names {
            if let Some(asked) = body.get_mut(*name).filter(|asked| !asked.is_null()) {
                known = true;
                if asked.as_u64().is_none_or(|asked| asked > most) {
                    *asked = most.into();
                }
            }
        }
        if let Some(name) = names.first().filter(|_| !known) {
            body.insert((*name).to_owned(), most.into());
        }
    }
}

/// What can be read by whoever decides: texts, not numbers that stand for them.
fn check_content(api: Api, body: &Map<String, Value>) -> Result<(), Misfit> {
    match api {
        Api::ChatCompletions | Api::Messages => match body.get("messages") {
            Some(Value::Array(messages)) if !messages.is_empty() => Ok(()),
            _ => Err(misfit("messages: a list")),
        },
        Api::Responses => match body.get("input") {
            Some(Value::String(_) | Value::Array(_)) => Ok(()),
            _ => Err(misfit("input: a text or a list")),
        },
        Api::Embeddings => match body.get("input") {
            Some(Value::String(_)) => Ok(()),
            Some(Value::Array(texts)) if texts.iter().all(Value::is_string) => Ok(()),
            _ => Err(misfit("input: a text or a list of texts, no token numbers")),
        },
    }
}

/// Nothing that the provider would do by itself, out of sight.
fn check_hosted(body: &Map<String, Value>) -> Result<(), Misfit> {
    let set = |value: &Value| !matches!(value, Value::Null | Value::Bool(false));
    if KEPT.iter().any(|name| body.get(*name).is_some_and(set)) {
        return Err(misfit(
            "previous_response_id, conversation, prompt, background: send what is meant",
        ));
    }
    // The last five are those of providers that speak OpenAI's dialect: other models than the one that was decided on, and
    // searches of their own.
    let by_others = [
        "mcp_servers",
        "container",
        "web_search_options",
        "plugins",
        "models",
        "route",
        "data_sources",
        "search_parameters",
    ];
    if by_others
        .iter()
        .any(|name| body.get(*name).is_some_and(set))
    {
        return Err(misfit(
            "mcp_servers, container, web_search_options, plugins, models, route, data_sources, search_parameters: not through here",
        ));
    }
    let items = body.get("input").and_then(Value::as_array);
    let refers = |item: &Value| item.get("type") == Some(&json!("item_reference"));
    if items.is_some_and(|items| items.iter().any(refers)) {
        return Err(misfit("input: an item that the provider keeps: send it"));
    }
    if ["messages", "input", "system"]
        .iter()
        .filter_map(|name| body.get(*name))
        .any(fetches)
    {
        return Err(misfit(
            "a picture or a file by its address or its id: send it (the provider would fetch it)",
        ));
    }
    let tools = match body.get("tools") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(tools)) => tools,
        Some(_) => return Err(misfit("tools: a list")),
    };
    let own = |tool: &Value| match tool.get("type") {
        None => tool.get("name").is_some() || tool.get("function").is_some(),
        Some(kind) => kind == "function" || kind == "custom",
    };
    match tools.iter().all(own) {
        true => Ok(()),
        false => Err(misfit("tools: one that the provider runs itself")),
    }
}

fn parts(message: &Value) -> &[Value] {
    let nested = message.get("content").unwrap_or(message);
    nested.as_array().map_or(&[], Vec::as_slice)
}

/// Whether a message has a part that its provider would fetch, from anywhere, or that it keeps: neither was decided on.
fn fetches(messages: &Value) -> bool {
    let address = |value: &Value| {
        let address = value.as_str().or_else(|| value.get("url")?.as_str());
        address.is_some_and(|address| !address.trim_start().starts_with("data:"))
    };
    let part = |part: &Value| {
        let by_address = ["image_url", "file_url", "video_url", "audio_url"];
        let by_address = by_address
            .iter()
            .any(|name| part.get(*name).is_some_and(address));
        let holders = [Some(part), part.get("source"), part.get("file")];
        let by_id = holders.into_iter().flatten().any(|holder| {
            holder.get("file_id").is_some_and(|id| !id.is_null())
                || holder
                    .get("url")
                    .is_some_and(|_| Some(holder) == part.get("source"))
        });
        by_address || by_id
    };
    let within = |message: &Value| {
        parts(message).iter().any(|outer| {
            // A tool's result has parts of its own.
            part(outer) || parts(outer).iter().any(part)
        })
    };
    match messages {
        Value::Array(messages) => messages.iter().any(|one| part(one) || within(one)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_would_fetch_is_refused() {
        let part = |part: Value| json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": [part]}]});
        let chat = Api::ChatCompletions;
        for (api, body) in [
            (
                chat,
                part(json!({"type": "image_url", "image_url": {"url": "https://a.example/x"}})),
            ),
            (
                chat,
                part(json!({"type": "file", "file": {"file_id": "file-1"}})),
            ),
            (
                Api::Messages,
                part(
                    json!({"type": "image", "source": {"type": "url", "url": "https://a.example/x"}}),
                ),
            ),
            (
                Api::Messages,
                part(json!({"type": "document", "source": {"type": "file", "file_id": "f"}})),
            ),
            (
                Api::Messages,
                part(
                    json!({"type": "tool_result", "tool_use_id": "t", "content": [
                {"type": "image", "source": {"type": "url", "url": "https://a.example/x"}}]}),
                ),
            ),
            (
                Api::Responses,
                json!({"model": "m", "input": [{"role": "user", "content": [
                {"type": "input_file", "file_url": "https://a.example/?q=secret"}]}]}),
            ),
            (
                Api::Responses,
                json!({"model": "m", "input": [{"role": "user", "content": [
                {"type": "input_image", "file_id": "file-1"}]}]}),
            ),
            (
                chat,
                json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "plugins": [{"id": "web"}]}),
            ),
            (
                chat,
                json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "models": ["other"]}),
            ),
        ] {
            assert!(read(api, &body).is_err(), "{body}");
        }
        let inline = json!({"url": "data:image/png;base64,AAAA"});
        read(
            chat,
            &part(json!({"type": "image_url", "image_url": inline})),
        )
        .unwrap();
        let source = json!({"type": "base64", "media_type": "image/png", "data": "AAAA"});
        read(
            Api::Messages,
            &part(json!({"type": "image", "source": source})),
        )
        .unwrap();
        // Words about an address are words.
        read(
            chat,
            &part(json!({"type": "text", "text": "https://a.example/x"})),
        )
        .unwrap();
    }

    fn read(api: Api, body: &Value) -> Result<Prompt, &'static str> {
        Prompt::read(api, body.as_object().unwrap().clone(), false).map_err(|misfit| misfit.detail)
    }

    #[test]
    fn what_was_decided_is_what_goes_out() {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5, "stream": true});
        let prompt = read(Api::ChatCompletions, &body).unwrap();
        assert!(prompt.streamed && !prompt.wants_usage);
        assert_eq!(prompt.arguments["api"], "chat_completions");
        let mut decided = prompt.arguments.clone();
        decided["messages"][0]["content"] = "[EMAIL]".into();
        let sent = prompt.forwarded(&decided, "real-name", Some(5));
        assert_eq!(
            Value::Object(sent),
            json!({"model": "real-name", "messages": [{"role": "user", "content": "[EMAIL]"}], "temperature": 0.5,
                "stream": true, "stream_options": {"include_usage": true}})
        );
    }

    #[test]
    fn a_whole_answer_is_asked_to_keep_to_its_ceiling() {
        let limited = |api, body: Value, name: &str| {
            let prompt = read(api, &body).unwrap();
            prompt.forwarded(&prompt.arguments, "m", Some(10))[name].clone()
        };
        let chat = |more: Value| {
            let mut body = json!({"model": "m", "messages": [{}]});
            body.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            body
        };
        assert_eq!(
            limited(
                Api::ChatCompletions,
                chat(json!({})),
                "max_completion_tokens"
            ),
            10
        );
        assert_eq!(
            limited(
                Api::ChatCompletions,
                chat(json!({"max_tokens": 99})),
                "max_tokens"
            ),
            10
        );
        assert_eq!(
            limited(
                Api::ChatCompletions,
                chat(json!({"max_tokens": 3})),
                "max_tokens"
            ),
            3
        );
        assert_eq!(
            limited(
                Api::Messages,
                chat(json!({"max_tokens": "x"})),
                "max_tokens"
            ),
            10
        );
        let response = json!({"model": "m", "input": "x"});
        assert_eq!(limited(Api::Responses, response, "max_output_tokens"), 10);
    }

    #[test]
    fn what_nobody_here_could_see_is_refused() {
        for (api, body) in [
            (Api::ChatCompletions, json!({"messages": [{}]})),
            (Api::ChatCompletions, json!({"model": "m", "messages": []})),
            (
                Api::ChatCompletions,
                json!({"model": "m", "messages": [{}], "api": "x"}),
            ),
            (
                Api::ChatCompletions,
                json!({"model": "m", "messages": [{}], "stream": "yes"}),
            ),
            (
                Api::ChatCompletions,
                json!({"model": "m", "messages": [{}], "web_search_options": {}}),
            ),
            (Api::Embeddings, json!({"model": "m", "input": [1, 2]})),
            (Api::Embeddings, json!({"model": "m", "input": [[1, 2]]})),
            (
                Api::Embeddings,
                json!({"model": "m", "input": "x", "stream": true}),
            ),
            (
                Api::Responses,
                json!({"model": "m", "input": "x", "previous_response_id": "r"}),
            ),
            (
                Api::Responses,
                json!({"model": "m", "input": "x", "background": true}),
            ),
            (
                Api::Responses,
                json!({"model": "m", "input": [{"type": "item_reference", "id": "x"}]}),
            ),
            (
                Api::Responses,
                json!({"model": "m", "input": "x", "tools": [{"type": "mcp", "server_url": "http://x"}]}),
            ),
            (
                Api::Messages,
                json!({"model": "m", "messages": [{}], "mcp_servers": [{}]}),
            ),
            (
                Api::Messages,
                json!({"model": "m", "messages": [{}], "tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
            ),
        ] {
            assert!(read(api, &body).is_err(), "{body}");
        }
        let own = json!({"model": "m", "input": "x", "background": false, "previous_response_id": null,
            "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "g"}]});
        assert!(read(Api::Responses, &own).is_ok());
        let own =
            json!({"model": "m", "messages": [{}], "tools": [{"name": "f", "input_schema": {}}]});
        assert!(read(Api::Messages, &own).is_ok());
        let hosted = json!({"model": "m", "input": "x", "previous_response_id": "r"});
        assert!(Prompt::read(Api::Responses, hosted.as_object().unwrap().clone(), true).is_ok());
    }
}

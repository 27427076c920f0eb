//! What an agent asks of a model: read strictly, decided on as the arguments of a tool, written anew for the provider.

use super::{Api, beta, hosted};
use proctor_model::Reason;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// The argument that says which API was asked; no provider gets it.
pub const API_ARGUMENT: &str = "api";

/// Members that say how long an answer may be, in tokens.
const LENGTHS: [&str; 3] = ["max_completion_tokens", "max_tokens", "max_output_tokens"];
/// The member of a messages model that says whether it is to think, and in there how many tokens.
const THINKING: &str = "thinking";
const THOUGHT: &str = "budget_tokens";
/// The member that says how many answers are wanted.
const ANSWERS: &str = "n";

/// Least of a messages model's tokens for thinking that is taken, by the public description of the API.
const THINKING_LEAST: u64 = 1_024;

/// How many answers a prompt asks for.
pub(crate) fn answers(arguments: &Map<String, Value>) -> u64 {
    let asked = arguments.get(ANSWERS).and_then(Value::as_u64);
    asked.unwrap_or(1).max(1)
}

/// Tokens that each answer may have, as far as the prompt says so: the most of what it says.
pub(crate) fn output_asked(arguments: &Map<String, Value>) -> Option<u64> {
    let lengths = LENGTHS.iter();
    lengths
        .filter_map(|name| arguments.get(*name)?.as_u64())
        .max()
}

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
    /// What is wanted of an API that is not settled yet (`anthropic-beta`), by its names.
    pub betas: Vec<String>,
}

/// Why a request is none that can be decided on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misfit {
    /// The reason.
    pub reason: Reason,
    /// What is wrong: names at most, never a value.
    pub detail: Cow<'static, str>,
}

pub(super) fn misfit(detail: impl Into<Cow<'static, str>>) -> Misfit {
    Misfit {
        reason: Reason::InvalidParams,
        detail: detail.into(),
    }
}

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
        check_numbers(&body)?;
        if !hosted {
            hosted::check(api, &body)?;
        }
        body.insert(API_ARGUMENT.to_owned(), api.as_str().into());
        Ok(Self {
            api,
            model,
            streamed,
            wants_usage,
            arguments: body,
            betas: Vec::new(),
        })
    }

    /// The same with the values of the header `anthropic-beta`. No other API than that of messages has it.
    ///
    /// # Errors
    /// One that is not known to leave the provider at what it is asked, unless it is `hosted`.
    pub fn with_betas(mut self, values: &[&str], hosted: bool) -> Result<Self, Misfit> {
        if self.api == Api::Messages {
            self.betas = beta::read(values)?;
            if !hosted {
                beta::check(&self.betas)?;
            }
        }
        Ok(self)
    }

    /// What goes to the provider: the arguments that were decided on, with the model's name there. A whole answer is
    /// asked to be no longer than its ceiling. A stream is asked for one token more, as it is cut here: without that, what
    /// a model thinks would have no end, as none of it is seen here. But for no more than the model `takes`, as a provider
    /// refuses that.
    #[must_use]
    pub fn forwarded(
        &self,
        decided: &Map<String, Value>,
        model: &str,
        tokens_max: Option<u64>,
        takes: Option<u64>,
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
        if let Some(most) = tokens_max {
            let each = most.checked_div(answers(&body)).unwrap_or(most).max(1);
            let each = each.saturating_add(self.streamed.into());
            self.limit(&mut body, takes.map_or(each, |takes| each.min(takes)));
        }
        body
    }

    /// Whether a provider that is registered for nothing of its own may be sent this ([`Prompt::forwarded`]): one that
    /// stands in for another is not the one that the prompt was read for.
    #[must_use]
    pub fn is_plain(&self, forwarded: &Map<String, Value>) -> bool {
        hosted::check(self.api, forwarded).is_ok() && beta::check(&self.betas).is_ok()
    }

    /// Whether the ceiling leaves a model no room to think as it was asked to ([`Prompt::forwarded`]): a provider refuses that.
    #[must_use]
    pub fn is_kept_from_thinking(&self, forwarded: &Map<String, Value>) -> bool {
        let lacks_room = |body: &Map<String, Value>| {
            let most = body.get("max_tokens").and_then(Value::as_u64);
            let thought = body
                .get(THINKING)
                .and_then(|said| said.get(THOUGHT)?.as_u64());
            thought
                .zip(most)
                .is_some_and(|(thought, most)| thought >= most)
        };
        self.api == Api::Messages && lacks_room(forwarded) && !lacks_room(&self.arguments)
    }

    fn limit(&self, body: &mut Map<String, Value>, most: u64) {
        let names: &[&str] = match self.api {
            Api::ChatCompletions => &["max_completion_tokens", "max_tokens"],
            Api::Responses => &["max_output_tokens"],
            Api::Messages => &["max_tokens"],
            Api::Embeddings => return,
        };
        let (mut known, mut lowered) = (false, false);
        for name in names {
            if let Some(asked) = body.get_mut(*name).filter(|asked| !asked.is_null()) {
                known = true;
                if asked.as_u64().is_none_or(|asked| asked > most) {
                    *asked = most.into();
                    lowered = true;
                }
            }
        }
        if lowered && self.api == Api::Messages {
            limit_thinking(body, most);
        }
        if let Some(name) = names.first().filter(|_| !known) {
            body.insert((*name).to_owned(), most.into());
        }
    }
}

/// What a model may think is part of its answer, and has to be less than that.
fn limit_thinking(body: &mut Map<String, Value>, most: u64) {
    let thinking = body.get_mut(THINKING);
    let Some(thought) = thinking.and_then(|said| said.get_mut(THOUGHT)) else {
        return;
    };
    let too_much = thought.as_u64().is_some_and(|thought| thought >= most);
    if too_much && most > THINKING_LEAST {
        *thought = most.saturating_sub(1).into();
    }
}

/// Figures that ceilings and reservations go by: none in a form that a provider might read and nobody here.
fn check_numbers(body: &Map<String, Value>) -> Result<(), Misfit> {
    let odd = |name: &&str| {
        let figure = body.get(*name).filter(|figure| !figure.is_null());
        figure.is_some_and(|figure| !figure.is_u64())
    };
    let mut figures = LENGTHS.into_iter().chain([ANSWERS]);
    match figures.find(odd) {
        None => Ok(()),
        Some(name) => Err(misfit(format!("{name}: a whole number, not less than 0"))),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(api: Api, body: &Value) -> Result<Prompt, Cow<'static, str>> {
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
        let sent = prompt.forwarded(&decided, "real-name", Some(5), None);
        assert_eq!(
            Value::Object(sent),
            json!({"model": "real-name", "messages": [{"role": "user", "content": "[EMAIL]"}], "temperature": 0.5,
                "stream": true, "stream_options": {"include_usage": true}, "max_completion_tokens": 6})
        );
    }

    #[test]
    fn a_whole_answer_is_asked_to_keep_to_its_ceiling() {
        let limited = |api, body: Value, name: &str| {
            let prompt = read(api, &body).unwrap();
            prompt.forwarded(&prompt.arguments, "m", Some(10), None)[name].clone()
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
        let long = json!({"max_tokens": 99});
        assert_eq!(limited(Api::Messages, chat(long), "max_tokens"), 10);
        let response = json!({"model": "m", "input": "x"});
        assert_eq!(limited(Api::Responses, response, "max_output_tokens"), 10);
        // The ceiling is for all answers together.
        for (answers, each) in [(2, 5), (4, 2), (100, 1)] {
            let body = chat(json!({"n": answers, "max_completion_tokens": 9}));
            let limited = limited(Api::ChatCompletions, body, "max_completion_tokens");
            assert_eq!(limited, each, "{answers}");
        }
    }

    #[test]
    fn a_stream_is_asked_to_end_behind_its_ceiling() {
        for (api, member) in [
            (Api::ChatCompletions, "max_completion_tokens"),
            (Api::Responses, "max_output_tokens"),
            (Api::Messages, "max_tokens"),
        ] {
            let body = json!({"model": "m", "messages": [{}], "input": "x", "stream": true});
            let prompt = Prompt::read(api, body.as_object().unwrap().clone(), true).unwrap();
            let sent = |most, takes| prompt.forwarded(&prompt.arguments, "m", most, takes);
            assert_eq!(sent(Some(1_000), None)[member], 1_001, "{api:?}");
            assert_eq!(sent(Some(1_000), Some(9_000))[member], 1_001, "{api:?}");
            assert_eq!(sent(Some(1_000), Some(1_000))[member], 1_000, "{api:?}");
            assert_eq!(sent(None, Some(9_000)).get(member), None, "{api:?}");
        }
    }

    #[test]
    fn what_a_model_may_think_is_less_than_it_may_answer() {
        for (asked, ceiling, sent, fits) in [
            ((8_000, 4_000), 9_000, 4_000, true),
            ((8_000, 4_000), 5_000, 4_000, true),
            ((8_000, 4_000), 4_000, 3_999, true),
            ((8_000, 4_000), 1_025, 1_024, true),
            // A provider would take no less.
            ((8_000, 4_000), 1_024, 4_000, false),
            // The agent's own doing, which some take.
            ((8_000, 9_000), 9_000, 9_000, true),
        ] {
            let (most, thought) = asked;
            let body = json!({"model": "m", "messages": [{}], "max_tokens": most,
                "thinking": {"type": "enabled", "budget_tokens": thought}});
            let prompt = read(Api::Messages, &body).unwrap();
            let body = prompt.forwarded(&prompt.arguments, "m", Some(ceiling), None);
            assert_eq!(body["thinking"]["budget_tokens"], sent, "{ceiling}");
            assert_eq!(prompt.is_kept_from_thinking(&body), !fits, "{ceiling}");
        }
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
            (
                Api::ChatCompletions,
                json!({"model": "m", "messages": [{}], "n": 100.0}),
            ),
            (
                Api::Messages,
                json!({"model": "m", "messages": [{}], "max_tokens": "9"}),
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

    #[test]
    fn what_one_provider_may_do_no_other_is_asked_for() {
        let plain = |api, body: Value| {
            let prompt = Prompt::read(api, body.as_object().unwrap().clone(), true).unwrap();
            let sent = prompt.forwarded(&prompt.arguments, "other", Some(9), None);
            prompt.is_plain(&sent)
        };
        let chat = json!({"model": "m", "messages": [{}], "stream": true});
        assert!(plain(Api::ChatCompletions, chat));
        let response = json!({"model": "m", "input": "x"});
        assert!(plain(Api::Responses, response));
        for more in [
            json!({"previous_response_id": "r"}),
            json!({"tools": [{"type": "web_search"}]}),
        ] {
            let mut body = json!({"model": "m", "input": "x"});
            body.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            assert!(!plain(Api::Responses, body), "{more}");
        }
        let message = json!({"model": "m", "max_tokens": 1, "messages": [{}]});
        let with = |api, beta: &str, hosted| {
            let prompt = Prompt::read(api, message.as_object().unwrap().clone(), hosted).unwrap();
            prompt.with_betas(&[beta], hosted)
        };
        let one = "files-api-2025-04-14";
        assert!(with(Api::Messages, one, false).is_err());
        assert!(
            !with(Api::Messages, one, true)
                .unwrap()
                .is_plain(&Map::new())
        );
        let other = with(Api::Messages, "effort-2025-11-24", false).unwrap();
        assert!(other.is_plain(&Map::new()) && other.betas == ["effort-2025-11-24"]);
        let chat = with(Api::ChatCompletions, one, false).unwrap();
        assert_eq!(chat.betas, Vec::<String>::new());
    }
}

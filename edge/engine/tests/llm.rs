//! Prompts and completions in the pipeline: what is decided on, what a whole answer becomes, what a stream becomes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "this is a test"
)]

#[path = "llm/own_tools.rs"]
mod own_tools;
#[path = "llm/parts.rs"]
mod parts;
#[path = "fixture/scenario.rs"]
mod scenario;
#[path = "llm/streams.rs"]
mod streams;

use proctor_engine::llm::sse::{Event, Reader};
use proctor_engine::llm::{Api, Ending, Gate, Prompt, Relay, Stop, complete};
use proctor_engine::{Decision, Evaluator, Permit, Response, ToolQuery};
use proctor_model::Reason;
use proptest::prelude::*;
use scenario::{Given, Scenario};
use serde_json::{Map, Value, json};

const KEY: &str = "AKIAQWERTYUIOP234567";
const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\nVJTUt9Us8cKjMzEfYyjiWA4R4\n-----END PRIVATE KEY-----";

const ALLOW: &str = "package proctor.policy\ndecision := {\"effect\": \"allow\"}\n";

fn scenario(policies: &[&str], content: Value) -> Scenario {
    // Without the standard library: what it says is not asked here, and takes its time.
    let policies = if policies.is_empty() {
        &[ALLOW]
    } else {
        policies
    };
    let policies: Vec<_> = policies
        .iter()
        .map(|rego| json!({ "rego": rego }))
        .collect();
    let given: Given = serde_json::from_value(json!({
        "intent": null,
        "settings": {"intent": "when_declared"},
        "policy_mode": "none",
        "policies": policies,
        "content": content,
    }))
    .unwrap();
    Scenario::new(&given)
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn prompt(api: Api, more: Value) -> Prompt {
    let mut body = match api {
        Api::Responses => json!({"model": "gpt", "input": "hi"}),
        Api::Embeddings => json!({"model": "gpt", "input": ["hi"]}),
        Api::ChatCompletions => {
            json!({"model": "gpt", "messages": [{"role": "user", "content": "hi"}]})
        }
        Api::Messages => {
            json!({"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]})
        }
    };
    body.as_object_mut().unwrap().extend(map(more));
    Prompt::read(api, map(body), false).unwrap()
}

fn decided(scenario: &Scenario, prompt: &Prompt) -> Decision {
    let tool = match prompt.api {
        Api::Messages => "anthropic/claude",
        _ => "openai/gpt",
    };
    let query = ToolQuery::On("llm".parse().unwrap(), tool.to_owned());
    scenario.decide(query, prompt.arguments.clone())
}

fn permit(scenario: &Scenario, prompt: &Prompt) -> Box<Permit> {
    match decided(scenario, prompt) {
        Decision::Permit(permit) => permit,
        Decision::Refusal(refusal) => panic!("{:?} {:?}", refusal.reason, refusal.detail),
    }
}

fn reason(decision: Decision) -> Reason {
    match decision {
        Decision::Permit(_) => panic!("permitted"),
        Decision::Refusal(refusal) => refusal.reason,
    }
}

/// A stream through a relay: what the agent gets, and how it ended.
fn relayed(scenario: &Scenario, prompt: &Prompt, events: &[(&str, Value)]) -> (Vec<Event>, Ending) {
    relayed_by(scenario, prompt, &permit(scenario, prompt), events)
}

fn relayed_by(
    scenario: &Scenario,
    prompt: &Prompt,
    permit: &Permit,
    events: &[(&str, Value)],
) -> (Vec<Event>, Ending) {
    let relay = Relay::new(prompt, permit.limits().tokens);
    relayed_through(relay, scenario, permit, events)
}

fn relayed_through(
    mut relay: Relay,
    scenario: &Scenario,
    permit: &Permit,
    events: &[(&str, Value)],
) -> (Vec<Event>, Ending) {
    let world = scenario.world();
    let mut evaluator = Evaluator::new();
    let mut gate = Gate {
        permit,
        world: &world,
        evaluator: &mut evaluator,
    };
    let mut out = Vec::new();
    let mut ending = None;
    for (name, data) in events {
        let data = match data {
            Value::String(text) => text.clone(),
            data => data.to_string(),
        };
        let name = (*name).to_owned();
        ending = relay.take(&Event { name, data }, &mut gate);
        out.extend(relay.drain());
        if ending.is_some() {
            break;
        }
    }
    let ending = ending.unwrap_or_else(|| relay.hang_up(&mut gate));
    out.extend(relay.drain());
    (Reader::default().push(&out).unwrap(), ending)
}

fn chat_piece(delta: Value) -> (&'static str, Value) {
    (
        "",
        json!({"id": "c", "object": "chat.completion.chunk", "created": 1_741_569_952, "model": "gpt",
        "choices": [{"index": 0, "delta": delta, "finish_reason": null}]}),
    )
}

fn chat_end(reason: &str) -> [(&'static str, Value); 2] {
    let last = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]});
    [("", last), ("", json!("[DONE]"))]
}

fn message_piece(text: &str) -> (&'static str, Value) {
    let delta = json!({"type": "text_delta", "text": text});
    (
        "content_block_delta",
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
    )
}

fn response_piece(text: &str) -> (&'static str, Value) {
    let event = json!({"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": text});
    ("response.output_text.delta", event)
}

/// A stream of text in these pieces.
fn streamed(api: Api, pieces: &[&str]) -> Vec<(&'static str, Value)> {
    let whole = pieces.concat();
    match api {
        Api::ChatCompletions | Api::Embeddings => {
            let pieces = pieces
                .iter()
                .map(|piece| chat_piece(json!({"content": piece})));
            pieces.chain(chat_end("stop")).collect()
        }
        Api::Messages => {
            let start = json!({"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "content": [],
                "model": "claude", "usage": {"input_tokens": 3, "output_tokens": 1}}});
            let block = json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}});
            let mut events = vec![("message_start", start), ("content_block_start", block)];
            events.extend(pieces.iter().map(|piece| message_piece(piece)));
            events.push((
                "content_block_stop",
                json!({"type": "content_block_stop", "index": 0}),
            ));
            events.push(("message_delta", json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}})));
            events.push(("message_stop", json!({"type": "message_stop"})));
            events
        }
        Api::Responses => {
            let mut events: Vec<_> = pieces.iter().map(|piece| response_piece(piece)).collect();
            let done = json!({"type": "response.output_text.done", "item_id": "m", "output_index": 0, "content_index": 0, "text": whole});
            let output = json!([{"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": whole}]}]);
            events.push(("response.output_text.done", done));
            events.push((
                "response.completed",
                json!({"type": "response.completed", "response": {"id": "r", "output": output,
                "usage": {"input_tokens": 3, "output_tokens": 5}}}),
            ));
            events
        }
    }
}

/// The text that an agent makes of what it gets.
fn text_of(api: Api, events: &[Event]) -> String {
    let data = events
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(&event.data).ok());
    let piece = |data: Value| {
        let piece = match api {
            Api::ChatCompletions | Api::Embeddings => &data["choices"][0]["delta"]["content"],
            Api::Messages => &data["delta"]["text"],
            Api::Responses if data["type"] == "response.output_text.delta" => &data["delta"],
            Api::Responses => &Value::Null,
        };
        piece.as_str().unwrap_or_default().to_owned()
    };
    data.map(piece).collect()
}

const STREAMED: [Api; 3] = [Api::ChatCompletions, Api::Responses, Api::Messages];

/// Prompts with their permits, made once: what is tried many times is the stream.
struct Asked {
    scenario: Scenario,
    by_api: Vec<(Prompt, Box<Permit>)>,
}

impl Asked {
    fn new() -> Self {
        let scenario = scenario(&[], json!({}));
        let asked = STREAMED.map(|api| {
            let prompt = prompt(api, json!({"stream": true}));
            let permit = permit(&scenario, &prompt);
            (prompt, permit)
        });
        let by_api = asked.into();
        Self { scenario, by_api }
    }

    fn relayed(&self, at: usize, pieces: &[&str]) -> (Vec<Event>, Ending) {
        let (prompt, permit) = &self.by_api[at];
        let events = streamed(prompt.api, pieces);
        relayed_by(&self.scenario, prompt, permit, &events)
    }

    fn caught(&self, at: usize, pieces: &[&str], secret: &str) {
        let (events, ending) = self.relayed(at, pieces);
        assert_eq!(ending, Ending::Done, "{at} {pieces:?}");
        let whole: String = events.iter().map(|event| event.data.as_str()).collect();
        let text = text_of(STREAMED[at], &events);
        assert!(
            !text.contains(secret) && !whole.contains(secret),
            "{at} {pieces:?}: {text}"
        );
        assert!(
            text.starts_with("it is ") && text.ends_with(" , so"),
            "{at} {pieces:?}: {text:?}"
        );
    }
}

static ASKED: std::sync::LazyLock<Asked> = std::sync::LazyLock::new(Asked::new);

#[test]
fn a_secret_split_anywhere_over_two_events_is_caught() {
    for api in 0..STREAMED.len() {
        for secret in [KEY, PEM, "ghp_R4nd0mT0kenV4lue1234567890abcdEFGH12"] {
            let whole = format!("it is {secret} , so");
            for at in (0..=whole.len()).filter(|at| whole.is_char_boundary(*at)) {
                let line = secret.lines().nth(1).unwrap_or(secret);
                ASKED.caught(api, &[&whole[..at], &whole[at..]], line);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_secret_cut_into_pieces_is_caught(cuts in prop::collection::vec(0_usize..64, 0..12), api in 0_usize..3) {
        let whole = format!("it is {KEY} , so");
        let mut at: Vec<usize> = cuts.into_iter().map(|cut| cut.min(whole.len())).collect();
        at.extend([0, whole.len()]);
        at.sort_unstable();
        let pieces: Vec<&str> = at.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
        ASKED.caught(api, &pieces, KEY);
    }

    /// Letters of the secret written as JSON escapes, in the text of a text, split over two events.
    #[test]
    fn a_secret_in_escapes_is_caught(escaped in prop::collection::vec(any::<bool>(), KEY.len()), at in 0_usize..200) {
        let letters = KEY.chars().zip(escaped).map(|(letter, escape)| match escape {
            true => format!("\\u{:04x}", u32::from(letter)),
            false => letter.to_string(),
        });
        let letters: String = letters.collect();
        let whole = format!("it is {{\"k\": \"{letters}\"}} , so");
        let at = at.min(whole.len());
        let pieces = [&whole[..at], &whole[at..]];
        let (events, _) = ASKED.relayed(0, &pieces);
        let text = text_of(Api::ChatCompletions, &events);
        prop_assert!(!text.contains(&letters), "{}", text);
        prop_assert!(text.contains("[AWS_KEY]"), "{}", text);
    }
}

#[test]
fn a_secret_split_anywhere_over_two_escapes_is_caught() {
    let escape = |text: &str| {
        text.chars()
            .map(|c| format!("\\u{:04x}", u32::from(c)))
            .collect::<String>()
    };
    for at in 0..=KEY.len() {
        for whole in [
            format!(
                "it is {{\"k\": \"{}{}\"}} , so",
                escape(&KEY[..at]),
                &KEY[at..]
            ),
            format!(
                "it is {{\"k\": \"{}{}\"}} , so",
                &KEY[..at],
                escape(&KEY[at..])
            ),
        ] {
            for cut in 0..=whole.len() {
                let pieces = [&whole[..cut], &whole[cut..]];
                let (events, _) = ASKED.relayed(0, &pieces);
                let text = text_of(Api::ChatCompletions, &events);
                assert!(text.contains("[AWS_KEY]"), "{whole} at {cut}: {text}");
            }
        }
    }
}

#[test]
fn a_stream_passes_as_it_is_where_nothing_is_in_it() {
    let scenario = scenario(&[], json!({}));
    for api in STREAMED {
        let prompt = prompt(api, json!({"stream": true}));
        let events = streamed(api, &["Good mor", "ning, it is 12:3", "0 now.", ""]);
        let (events, ending) = relayed(&scenario, &prompt, &events);
        assert_eq!(ending, Ending::Done);
        assert_eq!(text_of(api, &events), "Good morning, it is 12:30 now.");
    }
}

#[test]
fn a_blocked_word_ends_a_stream_before_it() {
    let rules =
        json!({"rules": [{"classes": ["email"], "direction": "inbound", "action": "block"}]});
    let scenario = scenario(&[], rules);
    for api in STREAMED {
        let prompt = prompt(api, json!({"stream": true}));
        let events = streamed(api, &["write to bob@exa", "mple.org , then ", "more"]);
        let (events, ending) = relayed(&scenario, &prompt, &events);
        let Ending::Stopped(stop) = ending else {
            panic!("{api:?}: {ending:?}")
        };
        assert_eq!(
            (stop.reason, stop.detail.as_deref()),
            (Reason::ContentBlocked, Some("email: 1")),
            "{api:?}"
        );
        assert_eq!(text_of(api, &events), "write to ", "{api:?}");
    }
}

#[test]
fn a_stream_is_cut_at_the_token_that_its_budget_ends_with() {
    let scenario = scenario(&[], json!({}));
    for api in STREAMED {
        let prompt = prompt(api, json!({"stream": true}));
        let permit = permit(&scenario, &prompt);
        let short = Stop {
            reason: Reason::BudgetExhausted,
            detail: Some("tenant tokens day".to_owned()),
        };
        let mut relay = Relay::new(&prompt, None);
        relay.fund(4, None);
        relay.fund(7, Some(short.clone()));
        let words = vec![" one two three"; 50];
        let events = streamed(api, &words);
        let (events, ending) = relayed_through(relay, &scenario, &permit, &events);
        assert_eq!(ending, Ending::Stopped(short), "{api:?}");
        let expect = " one two three one two three one";
        assert_eq!(text_of(api, &events), expect, "{api:?}");
    }
}

#[test]
fn a_stream_is_cut_at_the_token_that_reaches_its_ceiling() {
    let limit = "package proctor.policy\ndecision := {\"effect\": \"allow\", \"limits\": {\"tokens\": 7}}\n";
    let scenario = scenario(&[limit], json!({}));
    for api in STREAMED {
        let prompt = prompt(api, json!({"stream": true}));
        let words = vec![" one two three"; 50];
        let (events, ending) = relayed(&scenario, &prompt, &streamed(api, &words));
        assert_eq!(
            ending,
            Ending::Stopped(Reason::TokensExhausted.into()),
            "{api:?}"
        );
        assert_eq!(
            text_of(api, &events),
            " one two three one two three one",
            "{api:?}"
        );
    }
}

const NO_MAIL: &str = "package proctor.policy
default decision := {\"effect\": \"allow\"}
decision := {\"effect\": \"deny\", \"reasons\": [\"no mail\"]} if {
    input.phase == \"response\"
    some call in input.result.tool_calls
    call.name == \"send_mail\"
    call.arguments.to != \"me\"
}
";

fn tool_call(api: Api, to: &str) -> Vec<(&'static str, Value)> {
    let arguments = json!({"to": to}).to_string();
    let (one, two) = arguments.split_at(5);
    match api {
        Api::ChatCompletions | Api::Embeddings => {
            let begin = json!({"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "send_mail", "arguments": one}}]});
            let more = json!({"tool_calls": [{"index": 0, "function": {"arguments": two}}]});
            let mut events = vec![chat_piece(begin), chat_piece(more)];
            events.extend(chat_end("tool_calls"));
            events
        }
        Api::Messages => {
            let block = json!({"type": "tool_use", "id": "t", "name": "send_mail", "input": {}});
            let delta = |part: &str| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": part}});
            vec![
                (
                    "content_block_start",
                    json!({"type": "content_block_start", "index": 0, "content_block": block}),
                ),
                ("content_block_delta", delta(one)),
                ("content_block_delta", delta(two)),
                (
                    "content_block_stop",
                    json!({"type": "content_block_stop", "index": 0}),
                ),
                ("message_stop", json!({"type": "message_stop"})),
            ]
        }
        Api::Responses => {
            let item = |arguments: &str| json!({"type": "function_call", "id": "f", "call_id": "c", "name": "send_mail", "arguments": arguments});
            let delta = |part: &str| json!({"type": "response.function_call_arguments.delta", "item_id": "f", "output_index": 0, "delta": part});
            vec![
                (
                    "response.output_item.added",
                    json!({"type": "response.output_item.added", "output_index": 0, "item": item("")}),
                ),
                ("x", delta(one)),
                ("x", delta(two)),
                (
                    "x",
                    json!({"type": "response.output_item.done", "output_index": 0, "item": item(&arguments)}),
                ),
                (
                    "x",
                    json!({"type": "response.completed", "response": {"output": [item(&arguments)]}}),
                ),
            ]
        }
    }
}

/// The ceiling of an answer's size is about what it says: the events of a long one are many times as large.
#[test]
fn what_an_answer_is_wrapped_in_is_not_its_size() {
    let scenario = scenario(&[], json!({}));
    for api in STREAMED {
        let prompt = prompt(api, json!({"stream": true}));
        let permit = permit(&scenario, &prompt);
        let pieces = usize::try_from(permit.limits().bytes / 5).unwrap();
        let through = |pieces: usize| {
            let events = streamed(api, &vec![" word"; pieces]);
            relayed_through(Relay::new(&prompt, None), &scenario, &permit, &events)
        };
        let (events, ending) = through(pieces);
        assert_eq!(ending, Ending::Done, "{api:?}");
        assert_eq!(text_of(api, &events).len(), pieces * 5, "{api:?}");
        let (_, ending) = through(pieces + 1);
        assert!(
            matches!(&ending, Ending::Stopped(stop) if stop.reason == Reason::OutputTooLarge),
            "{api:?}: {ending:?}"
        );
    }
}

#[test]
fn a_secret_in_the_name_or_id_of_a_tool_call_is_caught() {
    let scenario = scenario(
        &[],
        json!({"rules": [{"classes": ["aws_key"], "action": "redact"}]}),
    );
    let prompt = prompt(Api::ChatCompletions, json!({"stream": true}));
    let function = json!({"name": KEY, "arguments": "{}"});
    for delta in [
        json!({"tool_calls": [{"index": 0, "id": KEY, "type": "function", "function": function}]}),
        json!({"function_call": function}),
        json!({"role": KEY}),
        json!({KEY: "x"}),
    ] {
        let mut events = vec![chat_piece(delta.clone())];
        events.extend(chat_end("stop"));
        let (events, _) = relayed(&scenario, &prompt, &events);
        let all: String = events.iter().map(|event| event.data.as_str()).collect();
        assert!(!all.contains(KEY), "{delta}: {all}");
    }
}

#[test]
fn a_tool_call_of_the_model_goes_on_only_where_policies_agree() {
    let scenario = scenario(&[NO_MAIL], json!({}));
    for api in STREAMED {
        let prompt = prompt(api, json!({"stream": true}));
        let (events, ending) = relayed(&scenario, &prompt, &tool_call(api, "you"));
        assert!(
            matches!(&ending, Ending::Stopped(stop) if stop.reason == Reason::PolicyDenied),
            "{api:?}: {ending:?}"
        );
        let all: String = events.iter().map(|event| event.data.as_str()).collect();
        assert!(
            !all.contains("send_mail") && !all.contains("you"),
            "{api:?}: {all}"
        );
        let (events, ending) = relayed(&scenario, &prompt, &tool_call(api, "me"));
        assert_eq!(ending, Ending::Done, "{api:?}");
        let all: String = events.iter().map(|event| event.data.as_str()).collect();
        assert!(
            all.contains("send_mail") && all.contains(r#"{\"to\":\"me\"}"#),
            "{api:?}: {all}"
        );
    }
}

#[test]
fn arguments_of_a_tool_call_are_looked_at_as_what_they_say() {
    let rules = json!({"rules": [{"classes": ["email"], "action": "redact"}]});
    let scenario = scenario(&[], rules);
    for api in STREAMED {
        let prompt = prompt(api, json!({"stream": true}));
        let (events, ending) = relayed(&scenario, &prompt, &tool_call(api, "bob@example.org"));
        assert_eq!(ending, Ending::Done, "{api:?}");
        let all: String = events.iter().map(|event| event.data.as_str()).collect();
        assert!(
            !all.contains("bob@") && all.contains("[EMAIL]"),
            "{api:?}: {all}"
        );
    }
}

#[test]
fn a_stream_that_breaks_off_is_no_answer() {
    let scenario = scenario(&[], json!({}));
    for api in STREAMED {
        let prompt = prompt(api, json!({"stream": true}));
        let mut events = streamed(api, &["Good mor", "ning"]);
        events.truncate(2);
        let (_, ending) = relayed(&scenario, &prompt, &events);
        assert_eq!(
            ending,
            Ending::Stopped(Reason::UpstreamUnavailable.into()),
            "{api:?}"
        );
    }
    // Not every provider says that it is done.
    let chat = prompt(Api::ChatCompletions, json!({"stream": true}));
    let mut events = streamed(Api::ChatCompletions, &["Good mor", "ning"]);
    events.pop();
    let (events, ending) = relayed(&scenario, &chat, &events);
    assert_eq!(ending, Ending::Done);
    assert_eq!(text_of(Api::ChatCompletions, &events), "Good morning");
}

#[test]
fn what_is_not_known_does_not_pass() {
    let scenario = scenario(&[], json!({}));
    let chat = prompt(Api::ChatCompletions, json!({"stream": true}));
    let audio = chat_piece(json!({"audio": {"data": KEY}, "content": "hi "}));
    let mut events = vec![audio];
    events.extend(chat_end("stop"));
    let (events, _) = relayed(&scenario, &chat, &events);
    let all: String = events.iter().map(|event| event.data.as_str()).collect();
    assert!(!all.contains(KEY) && all.contains("hi"));
    let messages = prompt(Api::Messages, json!({"stream": true}));
    let mut events = streamed(Api::Messages, &["hi"]);
    events.insert(1, ("new_kind", json!({"type": "new_kind", "text": KEY})));
    let (events, ending) = relayed(&scenario, &messages, &events);
    assert_eq!(ending, Ending::Done);
    let all: String = events.iter().map(|event| event.data.as_str()).collect();
    assert!(!all.contains(KEY));
    for (api, beside) in beside_the_text() {
        let prompt = prompt(api, json!({"stream": true}));
        let (events, ending) = relayed(&scenario, &prompt, &beside);
        assert_eq!(ending, Ending::Done, "{beside:?}");
        assert_eq!(text_of(api, &events), "hi", "{beside:?}");
        let all: String = events.iter().map(|event| event.data.as_str()).collect();
        assert!(!all.contains(KEY), "{all}");
        assert!(!all.contains("UIOP234567"), "{all}");
    }
    let garbage = relayed(&scenario, &messages, &[("x", json!("no json"))]);
    assert_eq!(garbage.1, Ending::Stopped(Reason::OutputInvalid.into()));
}

/// Streams that say `hi`, with a key beside the text of one event.
fn beside_the_text() -> Vec<(Api, Vec<(&'static str, Value)>)> {
    let with = |api, at: usize, path: &str, name: &str, value: Value| {
        let mut events = streamed(api, &["hi"]);
        let members = events[at].1.pointer_mut(path).unwrap();
        members.as_object_mut().unwrap().insert(name.into(), value);
        (api, events)
    };
    let cited = json!([{"type": "char_location", "cited_text": KEY}]);
    let mut thinks = streamed(Api::Messages, &["hi"]);
    let block = json!({"type": "thinking", "thinking": "", "note": KEY});
    let start = json!({"type": "content_block_start", "index": 1, "content_block": block});
    let stop = json!({"type": "content_block_stop", "index": 1});
    thinks.splice(1..1, [("", start), ("", stop)]);
    let mut calls = streamed(Api::Responses, &["hi"]);
    let item =
        json!({"type": "function_call", "id": "f", "call_id": "c", "name": "f", "arguments": "{}"});
    let added = json!({"type": "response.output_item.added", "output_index": 1, "item": item});
    let done =
        json!({"type": "response.output_item.done", "output_index": 1, "item": item, "note": KEY});
    calls.splice(0..0, [("", added), ("", done)]);
    let mut probable = streamed(Api::Responses, &["hi"]);
    let pieces = json!([{"token": "AKIAQWERTY"}, {"token": "UIOP234567"}]);
    let content = json!([{"type": "output_text", "text": "hi", "logprobs": pieces, "note": KEY}]);
    let item = json!({"type": "message", "id": "m", "role": "assistant", "content": content});
    let done = json!({"type": "response.output_item.done", "output_index": 0, "item": item});
    probable.insert(2, ("", done));
    vec![
        (Api::Responses, probable),
        with(Api::Messages, 1, "/content_block", "citations", cited),
        (Api::Messages, thinks),
        with(Api::Responses, 0, "", "note", KEY.into()),
        with(Api::Responses, 0, "", "item_id", KEY.into()),
        with(Api::Responses, 0, "", "obfuscation", json!({"x": KEY})),
        with(Api::Responses, 1, "", "note", KEY.into()),
        (Api::Responses, calls),
    ]
}

fn completed(scenario: &Scenario, api: Api, body: Value) -> Response {
    let prompt = prompt(api, json!({}));
    let permit = permit(scenario, &prompt);
    let done = complete(
        &permit,
        api,
        map(body),
        100,
        &scenario.world(),
        &mut Evaluator::new(),
    );
    done.response
}

#[test]
fn a_whole_answer_is_judged_as_what_it_is() {
    let scenario = scenario(&[NO_MAIL], json!({}));
    let chat = |message: Value| {
        json!({"id": "c", "created": 1_741_569_952, "choices": [{"index": 0, "message": message, "finish_reason": "stop",
        "logprobs": {"content": [{"token": "AKIA"}]}}], "usage": {"prompt_tokens": 4_111_111_111_111_111_u64, "completion_tokens": 5}})
    };
    let leaky = chat(json!({"role": "assistant", "content": format!("it is {KEY}")}));
    match completed(&scenario, Api::ChatCompletions, leaky) {
        Response::Release(release) => {
            let body = Value::Object(release.into_body());
            assert_eq!(body["choices"][0]["message"]["content"], "it is [AWS_KEY]");
            assert_eq!(body["choices"][0].get("logprobs"), None);
            assert_eq!(body["created"], 1_741_569_952);
            assert!(body["usage"]["prompt_tokens"].is_number());
        }
        Response::Withhold(withheld) => panic!("{:?}", withheld.reason),
    }
    let call = json!({"id": "x", "type": "function", "function": {"name": "send_mail", "arguments": "{\"to\":\"you\"}"}});
    let asks = chat(json!({"role": "assistant", "content": null, "tool_calls": [call]}));
    match completed(&scenario, Api::ChatCompletions, asks) {
        Response::Withhold(withheld) => assert_eq!(withheld.reason, Reason::PolicyDenied),
        Response::Release(_) => panic!("released"),
    }
    for (api, no_answer) in [
        (Api::ChatCompletions, json!({"choices": "x"})),
        (Api::Messages, json!({"choices": []})),
        (
            Api::Embeddings,
            json!({"data": [{"embedding": "not base64!"}]}),
        ),
        (
            Api::Embeddings,
            json!({"data": [{"embedding": [{"text": KEY}]}]}),
        ),
    ] {
        match completed(&scenario, api, no_answer) {
            Response::Withhold(withheld) => assert_eq!(withheld.reason, Reason::OutputInvalid),
            Response::Release(_) => panic!("{api:?}"),
        }
    }
    let vectors = json!({"object": "list", "data": [{"embedding": [0.1, -4_111_111_111_111_111.0]}], "usage": {"prompt_tokens": 1}});
    match completed(&scenario, Api::Embeddings, vectors.clone()) {
        Response::Release(release) => assert_eq!(Value::Object(release.into_body()), vectors),
        Response::Withhold(withheld) => panic!("{:?}", withheld.reason),
    }
}

#[test]
fn what_stands_beside_a_vector_is_looked_at() {
    let scenario = scenario(&[], json!({}));
    let embeddings = |text: &str| {
        let told =
            json!({"object": "embedding", "index": 0, "embedding": "AKIAAAAA", "text": text});
        json!({"object": "list", "data": [told, {"embedding": [-4_111_111_111_111_111.0], "index": 1}]})
    };
    match completed(&scenario, Api::Embeddings, embeddings(KEY)) {
        Response::Release(release) => {
            let body = Value::Object(release.into_body());
            assert_eq!(body, embeddings("[AWS_KEY]"));
        }
        Response::Withhold(withheld) => panic!("{:?}", withheld.reason),
    }
}

#[test]
fn a_prompt_is_decided_like_any_call() {
    let rules =
        json!({"rules": [{"classes": ["email"], "direction": "outbound", "action": "redact"}]});
    let with_rules = scenario(&[], rules);
    let mail = json!({"messages": [{"role": "user", "content": "ask bob@example.org"}]});
    let asked = prompt(Api::ChatCompletions, mail);
    let permit = permit(&with_rules, &asked);
    assert_eq!(permit.arguments()["messages"][0]["content"], "ask [EMAIL]");
    let secret = json!({"messages": [{"role": "user", "content": KEY}]});
    let secret = prompt(Api::ChatCompletions, secret);
    assert_eq!(
        reason(decided(&with_rules, &secret)),
        Reason::ContentBlocked
    );
    let small = "package proctor.policy
default decision := {\"effect\": \"deny\"}
decision := {\"effect\": \"allow\"} if { input.args.api == \"embeddings\" }
";
    let only_embeddings = scenario(&[small], json!({}));
    let chat = prompt(Api::ChatCompletions, json!({}));
    assert_eq!(
        reason(decided(&only_embeddings, &chat)),
        Reason::PolicyDenied
    );
    let embeddings = prompt(Api::Embeddings, json!({}));
    assert!(matches!(
        decided(&only_embeddings, &embeddings),
        Decision::Permit(_)
    ));
}

#[test]
fn what_a_policy_takes_out_that_looks_at_no_phase_it_takes_out_of_answers() {
    let both =
        "package proctor.policy\ndecision := {\"effect\": \"modify\", \"redact\": [\"email\"]}\n";
    let asked = "package proctor.policy
import rego.v1
decision := {\"effect\": \"modify\", \"redact\": [\"email\"]} if { input.phase == \"request\" } else := {\"effect\": \"allow\"}
";
    let mail =
        json!({"messages": [{"role": "user", "content": "ask bob@example.org"}], "stream": true});
    let prompt = prompt(Api::ChatCompletions, mail);
    let events = streamed(Api::ChatCompletions, &["ask bob@example.org", " then"]);
    for (policy, out) in [(both, "[EMAIL]"), (asked, "bob@example.org")] {
        let scenario = scenario(&[policy], json!({}));
        let permit = permit(&scenario, &prompt);
        assert_eq!(permit.arguments()["messages"][0]["content"], "ask [EMAIL]");
        let message = json!({"role": "assistant", "content": "ask bob@example.org"});
        let whole = json!({"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
        match completed(&scenario, Api::ChatCompletions, whole) {
            Response::Release(release) => {
                let body = Value::Object(release.into_body());
                let content = &body["choices"][0]["message"]["content"];
                assert_eq!(content, &format!("ask {out}"));
            }
            Response::Withhold(withheld) => panic!("{:?}", withheld.reason),
        }
        // Of a stream it may have gone on already.
        let (_, ending) = relayed(&scenario, &prompt, &events);
        match out {
            "[EMAIL]" => assert!(
                matches!(&ending, Ending::Stopped(stop) if stop.reason == Reason::PolicyUnenforceable),
                "{ending:?}"
            ),
            _ => assert_eq!(ending, Ending::Done),
        }
    }
}

#[test]
fn tokens_are_a_limit_for_models_alone() {
    let limit = "package proctor.policy\ndecision := {\"effect\": \"allow\", \"limits\": {\"tokens\": 7}}\n";
    let scenario = scenario(&[limit], json!({}));
    let chat = prompt(Api::ChatCompletions, json!({}));
    assert_eq!(permit(&scenario, &chat).limits().tokens, Some(7));
    let other = scenario.decide(ToolQuery::Any("mail__inbox".into()), Map::new());
    assert_eq!(reason(other), Reason::PolicyUnenforceable);
}

#[test]
fn what_a_stream_used_is_heard_when_nobody_reads_it_any_more() {
    let scenario = scenario(&[], json!([]));
    let chunk = |choices: Value, usage: Value| {
        (
            Api::ChatCompletions,
            json!({"id": "c", "choices": choices, "usage": usage}),
        )
    };
    let piece = |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
    let told = json!({"prompt_tokens": 7, "completion_tokens": 500});
    let chat = [
        chunk(piece(json!({"content": "hi"}), Value::Null), Value::Null),
        chunk(piece(json!({}), "stop".into()), Value::Null),
        chunk(json!([]), told),
    ];
    let message = |data: Value| (Api::Messages, data);
    let started = json!({"role": "assistant", "content": [], "usage": {"input_tokens": 7, "output_tokens": 1}});
    let messages = [
        message(json!({"type": "message_start", "message": started})),
        message(
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        ),
        message(json!({"type": "content_block_stop", "index": 0})),
        message(
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 500}}),
        ),
    ];
    let response = |data: Value| (Api::Responses, data);
    let item = json!({"type": "message", "id": "m", "role": "assistant", "content": []});
    let responses = [
        response(json!({"type": "response.output_item.added", "output_index": 0, "item": item})),
        response(json!({"type": "response.output_item.done", "output_index": 0, "item": item})),
        response(
            json!({"type": "response.completed", "response": {"output": [item], "usage": {"input_tokens": 7, "output_tokens": 500}}}),
        ),
    ];
    for events in [&chat[..], &messages, &responses] {
        let api = events[0].0;
        let prompt = prompt(api, json!({}));
        let permit = permit(&scenario, &prompt);
        let mut relay = Relay::new(&prompt, None);
        let (last, before) = events.split_last().unwrap();
        let event = |data: &Value| Event {
            name: String::new(),
            data: data.to_string(),
        };
        let world = scenario.world();
        let mut evaluator = Evaluator::new();
        let mut gate = Gate {
            permit: &permit,
            world: &world,
            evaluator: &mut evaluator,
        };
        for (at, (_, data)) in before.iter().enumerate() {
            assert!(!relay.nears_end(), "{api:?} {at}");
            assert_eq!(relay.take(&event(data), &mut gate), None, "{api:?} {at}");
        }
        assert!(relay.nears_end() && !relay.is_accounted(), "{api:?}");
        let _ = relay.drain();
        // A text that comes late is nobody's.
        relay.overhear(&event(
            &json!({"choices": [{"delta": {"content": "more"}}], "type": "x"}),
        ));
        assert!(!relay.is_accounted(), "{api:?}");
        relay.overhear(&event(&last.1));
        assert!(relay.is_accounted() && !relay.nears_end(), "{api:?}");
        assert_eq!(relay.drain(), b"", "{api:?}");
        let usage = relay.usage(&permit, true);
        assert_eq!(
            (usage.output_tokens, usage.estimated),
            (500, false),
            "{api:?}"
        );
        assert_eq!(usage.input_tokens, 7, "{api:?}");
    }
}

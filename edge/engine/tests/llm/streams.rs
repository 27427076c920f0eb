//! What a stream is said to have used, and the tool calls that are in it.

use super::*;
use proctor_engine::llm::Usage;

/// What is charged for a stream, and whether its provider has said so.
fn charged(api: Api, events: &[(&str, Value)]) -> (Usage, bool) {
    let scenario = scenario(&[], json!({}));
    let prompt = prompt(api, json!({"stream": true}));
    let permit = permit(&scenario, &prompt);
    let world = scenario.world();
    let mut evaluator = Evaluator::new();
    let mut gate = Gate {
        permit: &permit,
        world: &world,
        evaluator: &mut evaluator,
    };
    let mut relay = Relay::new(&prompt, None);
    for (name, data) in events {
        let data = data
            .as_str()
            .map_or_else(|| data.to_string(), str::to_owned);
        let name = (*name).to_owned();
        relay.take(&Event { name, data }, &mut gate);
    }
    (relay.usage(&permit, true), relay.is_accounted())
}

/// A stream of five words at whose end a provider says this of its usage.
fn saying(api: Api, usage: &Value) -> Vec<(&'static str, Value)> {
    let mut events = streamed(api, &["one two three", " four five"]);
    let last = events.len() - 1;
    match api {
        Api::Messages => events[last - 1].1["usage"] = usage.clone(),
        Api::Responses => events[last].1["response"]["usage"] = usage.clone(),
        Api::ChatCompletions | Api::Embeddings => {
            let told = json!({"choices": [], "usage": usage});
            events.insert(last, ("", told));
        }
    }
    events
}

#[test]
fn a_stream_costs_what_came_where_its_provider_does_not_say() {
    for api in STREAMED {
        for silent in [json!(null), json!({}), json!({"output_tokens": "9"})] {
            let (usage, accounted) = charged(api, &saying(api, &silent));
            assert_eq!(usage.output_tokens, 5, "{api:?} {silent}");
            assert!(usage.estimated && !accounted, "{api:?} {silent}");
        }
        let said = match api {
            Api::ChatCompletions => json!({"prompt_tokens": 7, "completion_tokens": 9}),
            _ => json!({"input_tokens": 7, "output_tokens": 9}),
        };
        let (usage, accounted) = charged(api, &saying(api, &said));
        assert_eq!((usage.input_tokens, usage.output_tokens), (7, 9), "{api:?}");
        assert!(!usage.estimated && accounted, "{api:?}");
    }
}

#[test]
fn what_a_provider_had_in_its_cache_stays_counted() {
    let mut events = saying(
        Api::Messages,
        &json!({"input_tokens": 3, "output_tokens": 9}),
    );
    let first = json!({"input_tokens": 3, "cache_read_input_tokens": 9_000, "output_tokens": 1});
    events[0].1["message"]["usage"] = first;
    let (usage, _) = charged(Api::Messages, &events);
    assert_eq!((usage.input_tokens, usage.output_tokens), (9_003, 9));
}

const NO_SHELL: &str = "package proctor.policy
default decision := {\"effect\": \"allow\"}
decision := {\"effect\": \"deny\", \"reasons\": [\"no shell\"]} if {
    input.phase == \"response\"
    some call in input.result.tool_calls
    call.name == \"local_shell_call\"
    call.arguments.action.command[0] == \"rm\"
}
";

#[test]
fn a_call_without_a_name_is_judged_before_it_goes_on() {
    let scenario = scenario(&[NO_SHELL], json!({}));
    let prompt = prompt(Api::Responses, json!({"stream": true}));
    let through = |command: &str| {
        let item = json!({"type": "local_shell_call", "id": "l", "call_id": "c",
            "action": {"type": "exec", "command": [command, KEY]}});
        let at = |kind: &str| json!({"type": kind, "output_index": 0, "item": item});
        let events = [
            ("", at("response.output_item.added")),
            ("", at("response.output_item.done")),
            (
                "",
                json!({"type": "response.completed", "response": {"output": [item]}}),
            ),
        ];
        let (events, ending) = relayed(&scenario, &prompt, &events);
        let all: String = events.iter().map(|event| event.data.as_str()).collect();
        (all, ending)
    };
    let (all, ending) = through("rm");
    assert!(
        matches!(&ending, Ending::Stopped(stop) if stop.reason == Reason::PolicyDenied),
        "{ending:?}"
    );
    assert!(!all.contains("local_shell_call"), "{all}");
    let (all, ending) = through("ls");
    assert_eq!(ending, Ending::Done);
    assert!(all.contains("[AWS_KEY]") && !all.contains(KEY), "{all}");
}

#[test]
fn a_call_without_a_name_has_tokens() {
    let limit = "package proctor.policy\ndecision := {\"effect\": \"allow\", \"limits\": {\"tokens\": 7}}\n";
    let scenario = scenario(&[limit], json!({}));
    let prompt = prompt(Api::Responses, json!({"stream": true}));
    let through = |kind: &str, said: &str| {
        let item = json!({"type": kind, "id": "an id of many words that nobody chose", "call_id": "c",
            "status": "completed", "result": said});
        let at = |kind: &str| json!({"type": kind, "output_index": 0, "item": item});
        let events = [
            ("", at("response.output_item.added")),
            ("", at("response.output_item.done")),
            (
                "",
                json!({"type": "response.completed", "response": {"output": []}}),
            ),
        ];
        relayed(&scenario, &prompt, &events).1
    };
    assert_eq!(through("local_shell_call", "one two three"), Ending::Done);
    let long = " one two three".repeat(50);
    assert_eq!(
        through("local_shell_call", &long),
        Ending::Stopped(Reason::TokensExhausted.into())
    );
    let picture = "iVBORw0KGgo".repeat(100);
    assert_eq!(through("image_generation_call", &picture), Ending::Done);
}

#[test]
fn calls_that_a_provider_does_not_number_stay_apart() {
    let scenario = scenario(&[], json!({}));
    let prompt = prompt(Api::ChatCompletions, json!({"stream": true}));
    let piece = |index: Option<u64>, id: &str, name: &str, arguments: &str| {
        let mut call = json!({"function": {"arguments": arguments}});
        for (member, text) in [("/id", id), ("/function/name", name)] {
            let (path, member) = member.rsplit_once('/').unwrap();
            if !text.is_empty() {
                call.pointer_mut(path).unwrap()[member] = text.into();
            }
        }
        if let Some(index) = index {
            call["index"] = index.into();
        }
        chat_piece(json!({"tool_calls": [call]}))
    };
    let two = json!([["send", "{\"to\":1}"], ["get", "{}"]]);
    for pieces in [
        // Whole calls, one after the other: without a number, with the same number, without an id.
        vec![
            piece(None, "a", "send", "{\"to\":1}"),
            piece(None, "b", "get", "{}"),
        ],
        vec![
            piece(Some(0), "a", "send", "{\"to\":1}"),
            piece(Some(0), "b", "get", "{}"),
        ],
        vec![
            piece(None, "", "send", "{\"to\":1}"),
            piece(None, "", "get", "{}"),
        ],
        // In pieces: by their number, by their id, with an id that is new each time.
        vec![
            piece(Some(0), "a", "send", "{\"to\""),
            piece(Some(1), "b", "get", "{"),
            piece(Some(0), "", "", ":1}"),
            piece(Some(1), "", "", "}"),
        ],
        vec![
            piece(None, "a", "send", "{\"to\""),
            piece(None, "b", "get", "{}"),
            piece(None, "a", "", ":1}"),
        ],
        vec![
            piece(Some(0), "a", "send", "{\"to\""),
            piece(Some(0), "x", "", ":1}"),
            piece(Some(1), "b", "get", "{}"),
        ],
    ] {
        let mut events = pieces.clone();
        events.extend(chat_end("tool_calls"));
        let (events, ending) = relayed(&scenario, &prompt, &events);
        assert_eq!(ending, Ending::Done, "{pieces:?}");
        let calls = events.iter().find_map(|event| {
            let chunk: Value = serde_json::from_str(&event.data).ok()?;
            let calls = &chunk["choices"][0]["delta"]["tool_calls"];
            calls.as_array().cloned()
        });
        let calls = calls.unwrap();
        let numbers: Vec<_> = calls.iter().map(|call| call["index"].as_u64()).collect();
        assert_eq!(numbers, [Some(0), Some(1)], "{pieces:?}");
        let said = calls.iter().map(|call| {
            let function = &call["function"];
            json!([function["name"], function["arguments"]])
        });
        assert_eq!(said.collect::<Value>(), two, "{pieces:?}");
    }
}

#[test]
fn an_id_is_no_token_of_the_answer() {
    let call = json!({"index": 0, "id": "call_of_a_long_id_that_the_provider_made_up_by_itself", "type": "function",
        "function": {"name": "one", "arguments": "two"}});
    let mut events = vec![chat_piece(json!({"tool_calls": [call]}))];
    events.extend(chat_end("tool_calls"));
    let (usage, _) = charged(Api::ChatCompletions, &events);
    assert_eq!(usage.output_tokens, 2);
}

/// A stream as Azure sends it: what its own filter says comes in chunks without a choice, or with one that has no `delta`,
/// and those have an envelope with nothing in it.
fn annotated(last: Value) -> Vec<(&'static str, Value)> {
    let chunk = |choices: Value| json!({"id": "", "object": "", "created": 0, "model": "", "choices": choices});
    let mut first = chunk(json!([]));
    first["prompt_filter_results"] =
        json!([{"prompt_index": 0, "content_filter_results": {"note": KEY}}]);
    let offsets = json!({"index": 0, "finish_reason": null, "content_filter_results": {"note": KEY},
        "content_filter_offsets": {"check_offset": 44, "start_offset": 44, "end_offset": 198}});
    vec![
        ("", first),
        chat_piece(json!({"role": "assistant", "content": ""})),
        chat_piece(json!({"content": "Good mor"})),
        ("", chunk(json!([offsets]))),
        chat_piece(json!({"content": "ning"})),
        ("", chunk(json!([last]))),
        ("", json!("[DONE]")),
    ]
}

#[test]
fn chunks_about_a_choice_without_any_of_it_pass() {
    let scenario = scenario(&[], json!({}));
    let prompt = prompt(Api::ChatCompletions, json!({"stream": true}));
    for (last, reason) in [
        (
            json!({"index": 0, "delta": {}, "finish_reason": "stop"}),
            "stop",
        ),
        (
            json!({"index": 0, "finish_reason": "content_filter", "content_filter_results": {}}),
            "content_filter",
        ),
        (
            json!({"index": 0, "delta": null, "finish_reason": "stop"}),
            "stop",
        ),
    ] {
        let (events, ending) = relayed(&scenario, &prompt, &annotated(last));
        assert_eq!(ending, Ending::Done, "{reason}");
        assert_eq!(text_of(Api::ChatCompletions, &events), "Good morning");
        let all: String = events.iter().map(|event| event.data.as_str()).collect();
        assert!(!all.contains(KEY), "{all}");
        let (done, chunks) = events.split_last().unwrap();
        assert_eq!(done.data, "[DONE]");
        let chunks = chunks.iter().map(|event| event.data.parse::<Value>());
        let chunks: Vec<Value> = chunks.map(Result::unwrap).collect();
        for chunk in &chunks {
            let envelope = json!([
                chunk["id"],
                chunk["object"],
                chunk["created"],
                chunk["model"]
            ]);
            let expect = json!(["c", "chat.completion.chunk", 1_741_569_952, "gpt"]);
            assert_eq!(envelope, expect, "{chunk}");
        }
        let reasons = chunks
            .iter()
            .map(|chunk| &chunk["choices"][0]["finish_reason"]);
        let reasons: Vec<_> = reasons.filter(|reason| !reason.is_null()).collect();
        assert_eq!(reasons, [reason]);
    }
}

/// What a later chunk says of the answer counts; what is no chunk at all still ends the stream.
#[test]
fn the_envelope_is_what_was_said_last() {
    let scenario = scenario(&[], json!({}));
    let prompt = prompt(Api::ChatCompletions, json!({"stream": true}));
    let mut later = chat_piece(json!({"content": " two"}));
    later.1["model"] = "gpt-dated".into();
    let mut events = vec![chat_piece(json!({"content": "one"})), later];
    events.extend(chat_end("stop"));
    let (events, ending) = relayed(&scenario, &prompt, &events);
    assert_eq!(ending, Ending::Done);
    let last = events.iter().nth_back(1).unwrap();
    let last: Value = last.data.parse().unwrap();
    assert_eq!(
        (&last["model"], &last["id"]),
        (&json!("gpt-dated"), &json!("c"))
    );
    let message = json!({"role": "assistant", "content": "hi"});
    for odd in [
        json!({"index": 0, "delta": "text", "finish_reason": null}),
        json!({"index": 0, "delta": [], "finish_reason": null}),
        json!({"index": 0, "delta": 1, "finish_reason": null}),
        // Some of the answer, where only one that comes whole, or one of the older API, has it.
        json!({"index": 0, "message": message, "finish_reason": "stop"}),
        json!({"index": 0, "delta": null, "message": message}),
        json!({"index": 0, "text": "hi", "finish_reason": null}),
    ] {
        let chunk = json!({"choices": [odd]});
        let (_, ending) = relayed(&scenario, &prompt, &[("", chunk)]);
        let expect = Ending::Stopped(Reason::OutputInvalid.into());
        assert_eq!(ending, expect, "{odd}");
    }
    // Nothing in there, or beside a delta: that has not been an end before.
    for last in [
        json!({"index": 0, "message": null, "text": "", "finish_reason": "stop"}),
        json!({"index": 0, "delta": {}, "message": message, "finish_reason": "stop"}),
    ] {
        let (events, ending) = relayed(&scenario, &prompt, &annotated(last));
        assert_eq!(ending, Ending::Done);
        assert_eq!(text_of(Api::ChatCompletions, &events), "Good morning");
    }
}

/// Of two keys that are the same policies would see one, and the agent's reader may take the other.
#[test]
fn a_tool_call_that_can_be_read_in_two_ways_does_not_pass() {
    let scenario = scenario(&[NO_MAIL], json!({}));
    let call = |api, arguments: &str| -> Vec<(&'static str, Value)> {
        let with = |event: Value| {
            let text = event.to_string().replace(r#":\"me\"}"#, arguments);
            text.parse::<Value>().unwrap()
        };
        let events = tool_call(api, "me").into_iter();
        events.map(|(name, event)| (name, with(event))).collect()
    };
    let early = "they end too early, as where `max_tokens` is reached";
    for api in STREAMED {
        let prompt = prompt(api, json!({"stream": true}));
        for (arguments, why) in [
            (r#":\"you\",\"to\":\"me\"}"#, "an object has a key twice"),
            (r#":\"you\",\"x\":\"\\ud800\"}"#, "not one valid JSON text"),
            (r#":\"you\",\"x\":\""#, early),
        ] {
            let (events, ending) = relayed(&scenario, &prompt, &call(api, arguments));
            let expect = Ending::Stopped(Stop {
                reason: Reason::OutputInvalid,
                detail: Some(format!("arguments of a tool call: {why}")),
            });
            assert_eq!(ending, expect, "{api:?}");
            let all: String = events.iter().map(|event| event.data.as_str()).collect();
            assert!(!all.contains("send_mail") && !all.contains("you"), "{all}");
        }
        let once = call(api, r#":\"me\",\"cc\":\"me\"}"#);
        let (events, ending) = relayed(&scenario, &prompt, &once);
        assert_eq!(ending, Ending::Done, "{api:?}");
        let all: String = events.iter().map(|event| event.data.as_str()).collect();
        assert!(all.contains("send_mail"), "{api:?}: {all}");
    }
}

#[test]
fn a_whole_answer_with_a_call_that_can_be_read_in_two_ways_is_withheld() {
    let scenario = scenario(&[NO_MAIL], json!({}));
    for (arguments, is_read) in [
        (r#"{"to":"you","to":"me"}"#, false),
        (r#"{"to":"you","x":"\ud800"}"#, false),
        (r#"{"to":"you","x":""#, false),
        (r#"{"to":"me","cc":"me"}"#, true),
    ] {
        let call = json!({"id": "x", "type": "function", "function": {"name": "send_mail", "arguments": arguments}});
        let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
        let body = json!({"choices": [{"index": 0, "message": message}]});
        match completed(&scenario, Api::ChatCompletions, body) {
            Response::Withhold(withheld) => {
                assert!(!is_read, "{:?}", withheld.reason);
                assert_eq!(withheld.reason, Reason::OutputInvalid);
                let detail = withheld.detail.unwrap_or_default();
                assert!(detail.starts_with("arguments of a tool call: "), "{detail}");
            }
            Response::Release(_) => assert!(is_read, "{arguments}"),
        }
    }
}

/// What a tool with no parameters is asked, as a text of any kind.
#[test]
fn a_text_for_a_custom_tool_goes_on_whatever_it_looks_like() {
    let scenario = scenario(&[], json!({}));
    let text = r#"{"Polish":"polski","polish":"polieren"}"#;
    let custom = json!({"index": 0, "id": "c", "type": "custom", "custom": {"name": "look_up", "input": text}});
    let mut chat = vec![chat_piece(json!({"tool_calls": [custom]}))];
    chat.extend(chat_end("tool_calls"));
    let item = json!({"type": "custom_tool_call", "id": "i", "call_id": "c", "name": "look_up", "input": text});
    let event = |kind: &str| json!({"type": kind, "output_index": 0, "item": item});
    let responses = vec![
        ("", event("response.output_item.added")),
        ("", event("response.output_item.done")),
        (
            "",
            json!({"type": "response.completed", "response": {"output": [item]}}),
        ),
    ];
    for (api, events) in [(Api::ChatCompletions, chat), (Api::Responses, responses)] {
        let prompt = prompt(api, json!({"stream": true}));
        let (events, ending) = relayed(&scenario, &prompt, &events);
        assert_eq!(ending, Ending::Done, "{api:?}");
        let all: String = events.iter().map(|event| event.data.as_str()).collect();
        let whole = json!({ "input": text }).to_string();
        let whole = whole.trim_matches(['{', '}']);
        assert!(all.contains(whole), "{api:?}: {all}");
    }
}

//! Values that stand over the end of a text's part, in what comes whole and in streams.

use super::*;
use std::collections::BTreeMap;

/// A key in two parts, between other words.
const TEXTS: [&str; 2] = ["it is AKIAQWERTY", "UIOP234567 , so"];
/// The same as the rules leave it.
const CLEAN: [&str; 2] = ["it is [AWS_KEY]", " , so"];

fn parts(kind: &str, texts: [&str; 2]) -> Value {
    texts
        .iter()
        .map(|text| json!({"type": kind, "text": text}))
        .collect()
}

/// A prompt with a text of two parts, and where they are in it.
fn asked(api: Api) -> (Value, &'static str) {
    let message = |kind| json!([{"role": "user", "content": parts(kind, TEXTS)}]);
    match api {
        Api::Responses => (json!({"input": message("input_text")}), "/input/0/content"),
        _ => (json!({"messages": message("text")}), "/messages/0/content"),
    }
}

#[test]
fn a_secret_over_two_parts_of_a_prompt_does_not_go_out() {
    let by_default = scenario(&[], json!({}));
    let rules =
        json!({"rules": [{"classes": ["aws_key"], "direction": "outbound", "action": "mask"}]});
    let masked = scenario(&[], rules);
    for api in STREAMED {
        let (body, place) = asked(api);
        let prompt = prompt(api, body);
        assert_eq!(
            reason(decided(&by_default, &prompt)),
            Reason::ContentBlocked,
            "{api:?}"
        );
        let permit = permit(&masked, &prompt);
        let sent = Value::Object(permit.arguments().clone());
        let kind = sent.pointer(place).unwrap()[0]["type"].as_str().unwrap();
        assert_eq!(sent.pointer(place), Some(&parts(kind, CLEAN)), "{api:?}");
        let found = &permit.facts().content;
        let found: Vec<_> = found.iter().map(|f| (f.class.as_str(), f.count)).collect();
        assert!(found.contains(&("aws_key", 1)), "{api:?}: {found:?}");
    }
}

#[test]
fn a_long_part_may_end_one_secret_and_begin_another() {
    let rules =
        json!({"rules": [{"classes": ["aws_key"], "direction": "outbound", "action": "redact"}]});
    let masked = scenario(&[], rules);
    let between = "some words, ".repeat(3000);
    let long = format!("UIOP234567 {between} AKIAQWERTY");
    let texts = |texts: [&str; 3]| -> Value {
        let parts = texts.map(|text| json!({"type": "text", "text": text}));
        json!([{"role": "user", "content": parts}])
    };
    let asked = json!({"messages": texts(["it is AKIAQWERTY", &long, "UIOP234567 , so"])});
    let permit = permit(&masked, &prompt(Api::Messages, asked));
    let clean = format!(" {between} [AWS_KEY]");
    let sent = permit.arguments().get("messages");
    assert_eq!(sent, Some(&texts(["it is [AWS_KEY]", &clean, " , so"])));
}

#[test]
fn a_secret_over_two_parts_of_an_answer_is_replaced() {
    let scenario = scenario(&[], json!({}));
    for (api, body, place) in [
        (
            Api::Messages,
            json!({"content": parts("text", TEXTS)}),
            "/content",
        ),
        (
            Api::Responses,
            json!({"output": [{"type": "message", "content": parts("output_text", TEXTS)}]}),
            "/output/0/content",
        ),
        (
            Api::ChatCompletions,
            json!({"choices": [{"message": {"content": parts("text", TEXTS)}}]}),
            "/choices/0/message/content",
        ),
    ] {
        match completed(&scenario, api, body) {
            Response::Release(release) => {
                let body = Value::Object(release.into_body());
                let left = body.pointer(place).unwrap();
                let kind = left[0]["type"].as_str().unwrap();
                assert_eq!(*left, parts(kind, CLEAN), "{api:?}");
            }
            Response::Withhold(withheld) => panic!("{:?}", withheld.reason),
        }
    }
}

/// Lines of a private key that nothing tells from other base64.
const LINES: [&str; 3] = [
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj",
    "MzEfYyjiWA4R4aM2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu",
    "NMoSfm76oqFvAp8Gy0iz5sxjZmSnXyCdPEovGhLa0VzMaQ8s",
];
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// Parts of an answer with a private key in them, as they come out whole and streamed.
fn check_key(parts: &[String]) {
    let pieces: Vec<Vec<&str>> = parts.iter().map(|part| vec![part.as_str()]).collect();
    for (at, api) in STREAMED.into_iter().enumerate() {
        if api == Api::ChatCompletions {
            continue;
        }
        let out = whole(api, &pieces);
        for line in LINES {
            assert!(!out.concat().contains(line), "{api:?} {parts:?}: {out:?}");
        }
        assert!(out[0].contains("[PRIVATE_KEY]"), "{parts:?}: {out:?}");
        let (prompt, permit) = &ASKED.by_api[at];
        let events = events_of(api, &pieces);
        let (events, ending) = relayed_by(&ASKED.scenario, prompt, permit, &events);
        assert_eq!(ending, Ending::Done, "{api:?} {parts:?}");
        assert_eq!(parts_of(api, &events), out, "{api:?} {parts:?}");
        // Nor in the events that repeat the parts.
        let all: String = events.iter().map(|event| event.data.as_str()).collect();
        for line in LINES {
            assert!(!all.contains(line), "{api:?} {parts:?}");
        }
    }
}

#[test]
fn a_private_key_that_begins_in_one_part_goes_on_in_the_next() {
    let [one, two, three] = LINES;
    let parts = |parts: &[&str]| {
        parts
            .iter()
            .map(|part| (*part).to_owned())
            .collect::<Vec<_>>()
    };
    let first = format!("it is {BEGIN}\n{one}\n");
    // With its end in the next part, or the one behind it, or nowhere.
    let ended = format!("{two}\n{three}\n{END} , so");
    check_key(&parts(&[&first, &ended]));
    let last = format!("{three}\n{END} , so");
    check_key(&parts(&[&first, &format!("{two}\n"), &last]));
    check_key(&parts(&[&first, &format!("{two}\n{three}")]));
    check_key(&parts(&[
        &first,
        "",
        &format!("{two}\n{three}. And so on."),
    ]));
    // Where a line breaks, and within one.
    check_key(&parts(&[
        &format!("it is {BEGIN}"),
        &format!("\n{one}\n{two}\n{END}"),
    ]));
    let (half, rest) = one.split_at(20);
    let begun = format!("it is {BEGIN}\n{half}");
    check_key(&parts(&[&begun, &format!("{rest}\n{two}\n{END} , so")]));
    // A key that is whole says nothing of the base64 in the next part.
    let key = format!("it is {BEGIN}\n{one}\n{END}\n");
    let after = vec!["see ", two];
    let alone = whole(Api::Messages, std::slice::from_ref(&after)).concat();
    let out = whole(Api::Messages, &[vec![key.as_str()], after]);
    assert_eq!(out, ["it is [PRIVATE_KEY]\n", alone.as_str()]);
}

#[test]
fn a_private_key_split_anywhere_over_two_parts_is_gone() {
    let [one, two, _] = LINES;
    let text = format!("it is {BEGIN}\n{one}\n{two}\n{END} , so");
    let (start, end) = ("it is ".len(), text.len() - " , so".len());
    for at in start + 1..end {
        let pieces = [vec![&text[..at]], vec![&text[at..]]];
        let clean = ["it is [PRIVATE_KEY]", " , so"];
        assert_eq!(whole(Api::Messages, &pieces), clean, "{at}");
    }
}

/// Half of a value that looks like a whole one: all of both goes, and counts once.
#[test]
fn a_value_that_goes_on_in_the_next_part_goes_as_one() {
    let rules = json!({"standard": false, "rules": [
        {"classes": ["private_key"], "direction": "outbound", "action": "redact"}]});
    let scenario = scenario(&[], rules);
    let [one, two, _] = LINES;
    let texts = [format!("{BEGIN}\n{one}\n"), format!("{two}\n{END} , so")];
    let content = |texts: &[&str]| -> Value {
        let parts = texts
            .iter()
            .map(|text| json!({"type": "text", "text": text}));
        parts.collect()
    };
    let said = content(&[&texts[0], &texts[1]]);
    let asked = json!({"messages": [{"role": "user", "content": said}]});
    let permit = permit(&scenario, &prompt(Api::Messages, asked));
    let sent = Value::Object(permit.arguments().clone());
    let expect = content(&["[PRIVATE_KEY]", " , so"]);
    assert_eq!(sent.pointer("/messages/0/content"), Some(&expect));
    let found = &permit.facts().content;
    let found: Vec<_> = found.iter().map(|f| (f.class.as_str(), f.count)).collect();
    assert_eq!(found, [("private_key", 1)]);
}

/// A secret key of AWS, which is one by its name alone.
const NAMELESS: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

#[test]
fn a_value_does_not_go_out_where_the_part_before_names_it() {
    let rules = json!({"standard": false, "rules": [
        {"classes": ["credentials"], "direction": "outbound", "action": "mask"}]});
    let (masked, by_default) = (scenario(&[], rules), scenario(&[], json!({})));
    for (texts, label) in [
        (["aws_secret_access_key=", NAMELESS], "[AWS_KEY]"),
        (["password: ", "hunter2!x"], "[SECRET]"),
    ] {
        let content = |texts: [&str; 2]| json!([{"role": "user", "content": parts("text", texts)}]);
        let prompt = prompt(Api::Messages, json!({"messages": content(texts)}));
        let refused = reason(decided(&by_default, &prompt));
        assert_eq!(refused, Reason::ContentBlocked, "{texts:?}");
        let permit = permit(&masked, &prompt);
        let clean = content([texts[0], label]);
        assert_eq!(permit.arguments().get("messages"), Some(&clean));
        let found = &permit.facts().content;
        let found: Vec<_> = found.iter().map(|f| f.count).collect();
        assert_eq!(found, [1], "{texts:?}");
    }
    for texts in [["see ", NAMELESS], ["the password: ", "please"]] {
        let said = json!([{"role": "user", "content": parts("text", texts)}]);
        let prompt = prompt(Api::Messages, json!({"messages": said}));
        let permit = permit(&by_default, &prompt);
        assert_eq!(permit.arguments().get("messages"), Some(&said));
    }
}

#[test]
fn a_value_that_the_part_before_names_is_replaced_in_answers() {
    for (parts, expect) in [
        (
            vec!["aws_secret_access_key=", NAMELESS],
            vec!["aws_secret_access_key=", "[AWS_KEY]"],
        ),
        (
            vec!["so, password: ", "", "hunter2!x , so"],
            vec!["so, password: ", "", "[SECRET] , so"],
        ),
        (vec!["see ", NAMELESS], vec!["see ", NAMELESS]),
        // What a part tells by itself goes as it would alone.
        (
            vec!["so ", "password: hunter2!x and more"],
            vec!["so ", "password: [SECRET] and more"],
        ),
    ] {
        let pieces: Vec<Vec<&str>> = parts.iter().map(|part| vec![*part]).collect();
        for (at, api) in STREAMED.into_iter().enumerate() {
            if api == Api::ChatCompletions {
                continue;
            }
            assert_eq!(whole(api, &pieces), expect, "{api:?}");
            let (prompt, permit) = &ASKED.by_api[at];
            let events = events_of(api, &pieces);
            let (events, ending) = relayed_by(&ASKED.scenario, prompt, permit, &events);
            assert_eq!(ending, Ending::Done, "{api:?} {parts:?}");
            assert_eq!(parts_of(api, &events), expect, "{api:?}");
        }
    }
}

/// What is blocked inside of a value over two parts is not lost with it, and nothing is counted twice.
#[test]
fn what_is_blocked_is_blocked_inside_of_another_value() {
    let rules = |of_keys: &str| {
        json!({"standard": false, "rules": [
            {"classes": ["aws_key"], "direction": "outbound", "action": "block"},
            {"classes": ["private_key"], "direction": "outbound", "action": of_keys}]})
    };
    let said = |inside: &str| {
        let (begun, ended) = (
            format!("{BEGIN}\n{}\n", LINES[0]),
            format!("x {inside} \n{END} , so"),
        );
        let content = parts("text", [&begun, &ended]);
        let said = json!({"messages": [{"role": "user", "content": content}]});
        prompt(Api::Messages, said)
    };
    for (of_keys, inside, blocked) in [
        ("redact", KEY, Some("aws_key: 1")),
        ("block", "something", Some("private_key: 1")),
        ("redact", "something", None),
    ] {
        match (
            decided(&scenario(&[], rules(of_keys)), &said(inside)),
            blocked,
        ) {
            (Decision::Refusal(refusal), Some(classes)) => {
                assert_eq!(refusal.reason, Reason::ContentBlocked, "{inside}");
                assert_eq!(refusal.detail.as_deref(), Some(classes), "{inside}");
            }
            (Decision::Permit(permit), None) => {
                let sent = Value::Object(permit.arguments().clone());
                let expect = parts("text", ["[PRIVATE_KEY]", " , so"]);
                assert_eq!(sent.pointer("/messages/0/content"), Some(&expect));
            }
            (Decision::Refusal(refusal), None) => panic!("{:?}", refusal.detail),
            (Decision::Permit(_), Some(classes)) => panic!("permitted: {classes}"),
        }
    }
}

/// Events of a stream of text parts, each in its pieces.
fn events_of(api: Api, parts: &[Vec<&str>]) -> Vec<(&'static str, Value)> {
    match api {
        Api::Messages => messages_of(parts),
        _ => responses_of(parts),
    }
}

fn messages_of(parts: &[Vec<&str>]) -> Vec<(&'static str, Value)> {
    let mut events = streamed(Api::Messages, &[]);
    let last = events.split_off(3);
    events.truncate(1);
    for (index, pieces) in parts.iter().enumerate() {
        let block = json!({"type": "text", "text": ""});
        events.push((
            "",
            json!({"type": "content_block_start", "index": index, "content_block": block}),
        ));
        events.extend(pieces.iter().map(|piece| {
            let delta = json!({"type": "text_delta", "text": piece});
            (
                "",
                json!({"type": "content_block_delta", "index": index, "delta": delta}),
            )
        }));
        events.push(("", json!({"type": "content_block_stop", "index": index})));
    }
    events.extend(last);
    events
}

fn responses_of(parts: &[Vec<&str>]) -> Vec<(&'static str, Value)> {
    let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
    let content: Value = parts.iter().map(|pieces| part(&pieces.concat())).collect();
    let item = |content: Value| json!({"type": "message", "id": "m", "role": "assistant", "content": content});
    let mut events = vec![
        json!({"type": "response.output_item.added", "output_index": 0, "item": item(json!([]))}),
    ];
    for (index, pieces) in parts.iter().enumerate() {
        let event = |kind: &str, name: &str, value: Value| json!({"type": kind, "item_id": "m", "output_index": 0, "content_index": index, name: value});
        let whole = pieces.concat();
        events.push(event("response.content_part.added", "part", part("")));
        let piece = |piece: &&str| event("response.output_text.delta", "delta", json!(piece));
        events.extend(pieces.iter().map(piece));
        events.push(event("response.output_text.done", "text", json!(whole)));
        events.push(event("response.content_part.done", "part", part(&whole)));
    }
    let whole = item(content);
    events.push(json!({"type": "response.output_item.done", "output_index": 0, "item": whole}));
    events.push(
        json!({"type": "response.completed", "response": {"id": "r", "output": [whole],
        "usage": {"input_tokens": 3, "output_tokens": 5}}}),
    );
    events.into_iter().map(|event| ("", event)).collect()
}

/// What an agent makes of the parts of a stream, in which each has to begin before its text and to end behind it, one after
/// the other.
fn parts_of(api: Api, events: &[Event]) -> Vec<String> {
    let (begins, piece, ends) = match api {
        Api::Messages => (
            "content_block_start",
            ("content_block_delta", "/delta/text"),
            "content_block_stop",
        ),
        _ => (
            "response.content_part.added",
            ("response.output_text.delta", "/delta"),
            "response.content_part.done",
        ),
    };
    let index_of = |data: &Value| data["index"].as_u64().or(data["content_index"].as_u64());
    let (mut parts, mut open) = (BTreeMap::<u64, String>::new(), None);
    for event in events {
        let data: Value = serde_json::from_str(&event.data).unwrap();
        let kind = data["type"].as_str().unwrap();
        if kind == begins {
            assert_eq!(open, None, "{data}");
            open = index_of(&data);
            assert_eq!(open, u64::try_from(parts.len()).ok(), "{data}");
            parts.insert(open.unwrap(), String::new());
        } else if kind == piece.0 {
            assert_eq!(open, index_of(&data), "{data}");
            let text = data.pointer(piece.1).unwrap().as_str().unwrap();
            parts.get_mut(&open.unwrap()).unwrap().push_str(text);
        } else if kind == ends {
            assert_eq!(open, index_of(&data), "{data}");
            open = None;
        }
        // Events that repeat a text say what came of it.
        if kind == "response.output_text.done" {
            assert_eq!(data["text"], parts[&open.unwrap()].as_str(), "{data}");
        }
        if kind == "response.content_part.done" {
            let index = index_of(&data).unwrap();
            assert_eq!(data["part"]["text"], parts[&index].as_str(), "{data}");
        }
    }
    assert_eq!(open, None);
    parts.into_values().collect()
}

/// A text cut into parts at these places, and those into pieces at others.
fn cut<'t>(text: &'t str, ends: &[usize], cuts: &[usize]) -> Vec<Vec<&'t str>> {
    let mut ends: Vec<usize> = ends.iter().map(|end| end % (text.len() + 1)).collect();
    ends.extend([0, text.len()]);
    ends.sort_unstable();
    let part = |part: &[usize]| {
        let inside = |cut: &usize| (part[0]..part[1]).contains(cut);
        let mut cuts: Vec<usize> = cuts.iter().copied().filter(inside).collect();
        cuts.extend(part);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|piece| &text[piece[0]..piece[1]]);
        pieces.filter(|piece| !piece.is_empty()).collect()
    };
    ends.windows(2).map(part).collect()
}

/// The same parts as a whole answer of a model has them.
fn whole(api: Api, parts: &[Vec<&str>]) -> Vec<String> {
    let texts = parts.iter().map(|pieces| pieces.concat());
    let (body, place) = match api {
        Api::Messages => {
            let content: Value = texts
                .map(|text| json!({"type": "text", "text": text}))
                .collect();
            (json!({"content": content}), "/content")
        }
        _ => {
            let content: Value = texts
                .map(|text| json!({"type": "output_text", "text": text}))
                .collect();
            let output = json!([{"type": "message", "content": content}]);
            (json!({"output": output}), "/output/0/content")
        }
    };
    let Response::Release(release) = completed(&ASKED.scenario, api, body) else {
        panic!("withheld")
    };
    let body = Value::Object(release.into_body());
    let parts = body.pointer(place).unwrap().as_array().unwrap();
    let texts = parts.iter().map(|part| part["text"].as_str().unwrap());
    texts.map(str::to_owned).collect()
}

/// Streams of parts in pieces come out as the parts would in a whole answer.
fn check(text: &str, ends: &[usize], cuts: &[usize]) {
    for (at, api) in STREAMED.into_iter().enumerate() {
        if api == Api::ChatCompletions {
            continue;
        }
        let parts = cut(text, ends, cuts);
        let (prompt, permit) = &ASKED.by_api[at];
        let events = events_of(api, &parts);
        let (events, ending) = relayed_by(&ASKED.scenario, prompt, permit, &events);
        assert_eq!(ending, Ending::Done, "{api:?} {parts:?}");
        let all: String = events.iter().map(|event| event.data.as_str()).collect();
        assert!(!all.contains(KEY), "{api:?} {parts:?}");
        let said = parts_of(api, &events);
        assert!(!said.concat().contains(KEY), "{api:?} {parts:?}");
        assert_eq!(said, whole(api, &parts), "{api:?} {parts:?}");
    }
}

#[test]
fn a_secret_split_anywhere_over_two_parts_of_a_stream_is_caught() {
    let text = format!("it is {KEY} , so");
    for end in 0..=text.len() {
        let each: Vec<usize> = (0..text.len()).collect();
        check(&text, &[end], &[]);
        check(&text, &[end], &each);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn parts_of_a_stream_come_out_as_those_of_a_whole_answer(
        words in prop::collection::vec("[bcdfghl]{1,8}", 0..5),
        keys in 0_usize..3,
        ends in prop::collection::vec(0_usize..200, 0..6),
        cuts in prop::collection::vec(0_usize..200, 0..10),
    ) {
        let mut text = words.join(" ");
        for _ in 0..keys {
            text = format!("{text} {KEY} {text}");
            text.truncate(200);
        }
        check(&text, &ends, &cuts);
    }
}

#[test]
fn what_stands_between_parts_of_a_stream_keeps_them_apart() {
    let (prompt, permit) = &ASKED.by_api[2];
    let halves = [vec!["it is AKIAQWERTY"], vec!["UIOP234567 , so"]];
    let mut events = messages_of(&halves);
    let block = json!({"type": "redacted_thinking", "data": "x"});
    let start = json!({"type": "content_block_start", "index": 1, "content_block": block});
    let stop = json!({"type": "content_block_stop", "index": 1});
    for event in &mut events[4..7] {
        event.1["index"] = 2.into();
    }
    events.splice(4..4, [("", start), ("", stop)]);
    let (events, ending) = relayed_by(&ASKED.scenario, prompt, permit, &events);
    assert_eq!(ending, Ending::Done);
    assert_eq!(
        parts_of(Api::Messages, &events),
        [halves[0][0], "", halves[1][0]]
    );
}

/// Of two text blocks at once nobody knows what is read behind what.
#[test]
fn text_blocks_at_the_same_time_do_not_pass() {
    let (prompt, permit) = &ASKED.by_api[2];
    let mut events = messages_of(&[vec!["it is AKIAQWERTY"], vec!["UIOP234567 , so"]]);
    // The first block's end, behind the second's beginning.
    events.swap(3, 4);
    let (_, ending) = relayed_by(&ASKED.scenario, prompt, permit, &events);
    assert_eq!(ending, Ending::Stopped(Reason::OutputInvalid.into()));
}

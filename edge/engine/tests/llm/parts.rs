//! Values that stand over the end of a text's part.

use super::*;

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
    let between = "some words, ".repeat(1000);
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

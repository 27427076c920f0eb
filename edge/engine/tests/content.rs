//! Content rules in the pipeline: what is decided on, what goes out, what comes back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

#[path = "fixture/scenario.rs"]
mod scenario;

use proctor_engine::respond::respond;
use proctor_engine::{
    Answer, Channel, Decision, Evaluator, Permit, Reading, Response, ToolQuery, decision,
};
use proctor_model::content::{ContentAction, ContentRules, Direction};
use proctor_model::{Control, Reason};
use scenario::{Given, Scenario};
use serde_json::{Map, Value, json};

fn scenario(content: Value) -> Scenario {
    let content: ContentRules = serde_json::from_value(content).unwrap();
    let given = Given {
        intent: None,
        settings: serde_json::from_value(json!({"intent": "when_declared"})).unwrap(),
        content,
        ..Given::default()
    };
    Scenario::new(&given)
}

fn decide(scenario: &Scenario, tool: &str, arguments: Value) -> Decision {
    let arguments = arguments.as_object().unwrap().clone();
    scenario.decide(ToolQuery::Any(tool.into()), arguments)
}

fn permit(decision: Decision) -> Box<Permit> {
    match decision {
        Decision::Permit(permit) => permit,
        Decision::Refusal(refusal) => panic!("{:?} {:?}", refusal.reason, refusal.detail),
    }
}

fn answer(scenario: &Scenario, permit: &Permit, channel: Channel, body: Value) -> Response {
    let body = body.as_object().unwrap().clone();
    let answer = Answer {
        channel,
        body,
        bytes: 100,
    };
    respond(permit, answer, &scenario.world(), &mut Evaluator::new())
}

const KEY: &str = "AKIAQWERTYUIOP234567";

#[test]
fn what_is_redacted_is_what_is_forwarded_and_digested() {
    let scenario = scenario(
        json!({"rules": [{"classes": ["email"], "tools": ["mail/note"], "action": "redact"}]}),
    );
    let permit = permit(decide(
        &scenario,
        "mail__note",
        json!({"text": "of bob@example.org", "n": 3}),
    ));
    let expect = json!({"text": "of [EMAIL]", "n": 3})
        .as_object()
        .unwrap()
        .clone();
    assert_eq!(permit.arguments(), &expect);
    let digest = decision::args_digest(&expect, &[9; 32]);
    assert_eq!(permit.facts().args_digest, digest);
    let found = &permit.facts().content;
    assert_eq!(
        (
            found.len(),
            found[0].class.as_str(),
            found[0].action,
            found[0].direction,
            found[0].count
        ),
        (1, "email", ContentAction::Redact, Direction::Outbound, 1)
    );
    assert!(!format!("{:?}", permit.facts()).contains("bob@"));
    assert!(
        permit
            .facts()
            .steps
            .iter()
            .any(|step| step.control == Control::Content)
    );
}

#[test]
fn keys_do_not_leave_and_mail_still_goes() {
    let scenario = scenario(json!({}));
    let _ = permit(decide(
        &scenario,
        "mail__send",
        json!({"to": "bob@partner.example", "body": "hello"}),
    ));
    for body in [
        KEY.to_owned(),
        format!("{{\"k\": \"\\u0041{}\"}}", &KEY[1..]),
        "４１１１１１１１１１１１１１１１".to_owned(),
    ] {
        let Decision::Refusal(refusal) = decide(
            &scenario,
            "mail__send",
            json!({"to": "bob@partner.example", "body": body}),
        ) else {
            panic!("{body}");
        };
        assert_eq!(refusal.reason, Reason::ContentBlocked, "{body}");
        assert!(!refusal.message().contains(KEY) && !format!("{:?}", refusal.facts).contains(KEY));
    }
    // A card number goes to a payment, not to people.
    let _ = permit(decide(
        &scenario,
        "mail__note",
        json!({"text": "4111111111111111"}),
    ));
}

#[test]
fn a_person_is_asked_and_what_no_longer_fits_is_refused() {
    let scenario = scenario(json!({"rules": [
        {"classes": ["iban"], "direction": "outbound", "action": "escalate"},
        {"classes": ["payment_card"], "direction": "outbound", "action": "redact"},
    ]}));
    let reason = |arguments: Value| match decide(&scenario, "bank__send_money", arguments) {
        Decision::Refusal(refusal) => refusal.reason,
        Decision::Permit(_) => panic!("permitted"),
    };
    assert_eq!(
        reason(json!({"amount": 3, "recipient": "GB29NWBK60161331926819"})),
        Reason::ApprovalRequired
    );
    assert_eq!(
        reason(json!({"amount": 4_111_111_111_111_111_u64, "recipient": "x"})),
        Reason::ContentUnfit
    );
}

#[test]
fn policies_see_counts() {
    let mut given = Given {
        intent: None,
        settings: serde_json::from_value(json!({"intent": "when_declared"})).unwrap(),
        ..Given::default()
    };
    let rego = "package proctor.policy\nimport rego.v1\ndefault decision := {\"effect\": \"allow\"}\ndecision := {\"effect\": \"deny\", \"reasons\": [\"many\"]} if input.content.email > 2";
    given.policies = vec![serde_json::from_value(json!({"rego": rego})).unwrap()];
    let scenario = Scenario::new(&given);
    let _ = permit(decide(
        &scenario,
        "mail__note",
        json!({"t": "a@x.org b@x.org"}),
    ));
    let Decision::Refusal(refusal) = decide(
        &scenario,
        "mail__note",
        json!({"t": "a@x.org b@x.org c@x.org"}),
    ) else {
        panic!("permitted");
    };
    assert_eq!(refusal.reason, Reason::PolicyDenied);
}

#[test]
fn every_member_that_comes_back_is_cleaned() {
    let scenario = scenario(
        json!({"rules": [{"classes": ["us_ssn"], "direction": "inbound", "action": "block"}]}),
    );
    let permit = permit(decide(&scenario, "mail__inbox", json!({})));
    let body = json!({
        "content": [{"type": "text", "text": format!("a {KEY} b")}, {"type": "resource", "resource": {"uri": "a:b", "text": KEY}}],
        "structuredContent": {"deep": [{KEY: KEY}]},
        "_meta": {"note": KEY},
    });
    for channel in [Channel::Result, Channel::Error] {
        let Response::Release(release) = answer(&scenario, &permit, channel, body.clone()) else {
            panic!("withheld");
        };
        let text = Value::Object(release.body().clone()).to_string();
        assert!(
            !text.contains(KEY) && text.matches("[AWS_KEY]").count() == 5,
            "{text}"
        );
        assert_eq!(release.findings().content[0].count, 5);
        assert_eq!(
            release.original().map(|map| Value::Object(map.clone())),
            Some(body.clone())
        );
    }
    let texts = |texts: [&str; 2]| {
        let parts = texts.map(|text| json!({"type": "text", "text": text}));
        json!({"content": parts})
    };
    let split = texts(["a AKIAQWERTY", "UIOP234567 b"]);
    let Response::Release(release) = answer(&scenario, &permit, Channel::Result, split) else {
        panic!("withheld");
    };
    let body = Value::Object(release.body().clone());
    assert_eq!(body, texts(["a [AWS_KEY]", " b"]));
    let error = json!({"code": -32000, "message": "no row for SSN 536-90-4399"});
    let Response::Withhold(withheld) = answer(&scenario, &permit, Channel::Error, error) else {
        panic!("released");
    };
    assert_eq!(withheld.reason, Reason::ContentBlocked);
    assert_eq!(withheld.detail.as_deref(), Some("us_ssn: 1"));
    let clean = json!({"content": [{"type": "text", "text": "nothing"}]});
    let Response::Release(release) = answer(&scenario, &permit, Channel::Result, clean) else {
        panic!("withheld");
    };
    assert!(release.original().is_none());
}

/// A placeholder goes where it may be seen as what it stands for, has its origin, and stays one elsewhere.
#[test]
fn a_placeholder_has_the_origin_of_its_value() {
    let content = json!({
        "rules": [{"classes": ["iban"], "direction": "inbound", "action": "tokenise"}],
        "reveal": [{"classes": ["iban"], "tools": ["bank/*"]}],
    });
    let mut given = Given {
        content: serde_json::from_value(content).unwrap(),
        ..Given::default()
    };
    given.intent = serde_json::from_value(json!({
        "agent": "copilot", "user": "alice@acme.example", "goal": "Pay the open bill", "expires_in_s": 900,
        "actions": [{"tool": "bank/balance"}, {"tool": "bank/send_money", "origins": {"/recipient": ["trusted"]}}, {"tool": "mail/note"}],
    }))
    .unwrap();
    let mut scenario = Scenario::new(&given);
    let read = permit(decide(&scenario, "bank__balance", json!({})));
    let body = json!({"structuredContent": {"owed_to": "GB29NWBK60161331926819"}});
    let Response::Release(release) = answer(&scenario, &read, Channel::Result, body) else {
        panic!("withheld");
    };
    let tool = scenario.tenant.catalogue().get(read.tool()).unwrap();
    let arguments = Map::new();
    let reading = Reading {
        tool,
        arguments: &arguments,
        intent: scenario.intent.as_ref(),
        result: release.body(),
        rows: 0,
        error: false,
        memory: None,
    };
    scenario.read.read(&reading);
    scenario.read.see(&Reading {
        result: release.original().unwrap(),
        ..reading
    });
    let shown = release.body()["structuredContent"]["owed_to"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        shown.starts_with("GB") && shown.len() == 22 && !shown.contains("NWBK60161331926819"),
        "{shown}"
    );

    let paid = permit(decide(
        &scenario,
        "bank__send_money",
        json!({"amount": 3, "recipient": shown}),
    ));
    assert_eq!(paid.arguments()["recipient"], "GB29NWBK60161331926819");
    let other = decide(
        &scenario,
        "bank__send_money",
        json!({"amount": 3, "recipient": "DE89370400440532013000"}),
    );
    assert!(
        matches!(other, Decision::Refusal(refusal) if refusal.reason == Reason::OriginNotAccepted)
    );
    let note = decide(&scenario, "mail__note", json!({"text": shown}));
    if let Decision::Permit(note) = note {
        assert_eq!(note.arguments()["text"], shown.as_str());
    }
}

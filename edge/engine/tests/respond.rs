//! What comes back, as data: `responses/*.yaml`, each case a world, a call, an answer, and what becomes of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

#[path = "fixture/scenario.rs"]
mod scenario;

use proctor_engine::{
    Answer, Channel, Decision, Evaluator, Permit, Response, ToolQuery, decide, respond,
};
use proptest::prelude::*;
use scenario::{Given, Scenario};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    given: Given,
    tool: String,
    #[serde(default)]
    args: Map<String, Value>,
    /// The result, or
    #[serde(default)]
    result: Option<Map<String, Value>>,
    /// the JSON-RPC error.
    #[serde(default)]
    error: Option<Map<String, Value>>,
    /// Its size in bytes.
    #[serde(default)]
    bytes: Option<u64>,
    /// `release`, or the reason's code.
    expect: String,
    /// What the agent gets; none: what came.
    #[serde(default)]
    released: Option<Map<String, Value>>,
    #[serde(default)]
    rows: Option<u64>,
    /// What the policies are to say: `id effect rule …`.
    #[serde(default)]
    policies: Option<Vec<String>>,
    /// The detail of a withheld answer.
    #[serde(default)]
    detail: Option<String>,
}

fn permit(scenario: &Scenario, tool: &str, args: Map<String, Value>) -> Box<Permit> {
    let call = scenario.call(ToolQuery::Any(tool.into()), args);
    match decide(call, &scenario.world(), &mut Evaluator::new()) {
        Decision::Permit(permit) => permit,
        Decision::Refusal(refusal) => panic!("{}", refusal.message()),
    }
}

/// A world without intents, unless the case has one.
fn given(case: &Case) -> Given {
    let mut given = case.given.clone();
    given.intent = None;
    given.settings = serde_json::from_value(json!({"intent": "when_declared"})).unwrap();
    given
}

fn answer(result: Option<Map<String, Value>>, error: Option<Map<String, Value>>) -> Answer {
    let (channel, body) = match (result, error) {
        (Some(result), None) => (Channel::Result, result),
        (None, Some(error)) => (Channel::Error, error),
        other => panic!("{other:?}"),
    };
    let bytes = u64::try_from(Value::Object(body.clone()).to_string().len()).unwrap();
    Answer {
        channel,
        body,
        bytes,
    }
}

fn check(file: &str, case: &Case) {
    let name = format!("{file}: {}", case.name);
    let scenario = Scenario::new(&given(case));
    let permit = permit(&scenario, &case.tool, case.args.clone());
    let mut came = answer(case.result.clone(), case.error.clone());
    came.bytes = case.bytes.unwrap_or(came.bytes);
    let body = came.body.clone();
    let response = respond(&permit, came, &scenario.world(), &mut Evaluator::new());
    let (got, findings) = match &response {
        Response::Release(release) => ("release", release.findings()),
        Response::Withhold(withheld) => (withheld.reason.code(), &withheld.findings),
    };
    assert_eq!(got, case.expect, "{name}");
    if case.rows.is_some() {
        assert_eq!(Some(findings.rows), case.rows, "{name}");
    }
    if let Some(expected) = &case.policies {
        let said = findings.policies.iter().map(|policy| {
            let rules = policy.rules.iter().map(String::as_str);
            let words = [policy.id.as_str(), &policy.effect]
                .into_iter()
                .chain(rules);
            words.collect::<Vec<_>>().join(" ")
        });
        assert_eq!(said.collect::<Vec<_>>(), *expected, "{name}");
    }
    match response {
        Response::Release(release) => {
            assert_eq!(
                Value::Object(release.into_body()),
                Value::Object(case.released.clone().unwrap_or(body)),
                "{name}"
            );
        }
        Response::Withhold(withheld) => {
            if case.detail.is_some() {
                assert_eq!(withheld.detail, case.detail, "{name}");
            }
        }
    }
}

#[test]
fn cases() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/responses");
    let (mut count, mut failed) = (0, 0);
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let cases: Vec<Case> = serde_yaml_ng::from_str(&std::fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        for case in &cases {
            let judged = std::panic::catch_unwind(|| check(&file, case));
            failed += usize::from(judged.is_err());
        }
        count += cases.len();
    }
    assert_eq!(failed, 0, "of {count} cases");
    assert!(count > 30, "{count} cases");
}

/// JSON of any shape, with texts that hold JSON.
fn shape() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z\\[\\]{}\",: \\\\]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map("[a-c]", inner.clone(), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
            inner
                .clone()
                .prop_map(|inner| Value::from(inner.to_string())),
            inner.prop_map(|inner| Value::from(format!("Found [1]: {inner} and no more"))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Whatever comes back: an answer is withheld or has no more rows than the policy lets through, and none of what is to
    /// be taken out.
    #[test]
    fn a_limit_holds_for_any_shape(structured in shape(), text in shape(), most in 0_u64..4) {
        let given: Given = serde_json::from_value(json!({
            "intent": null, "settings": {"intent": "when_declared"},
            "policy_data": {"rows": {"max": most, "over": "trim"}, "redact": {"bank/balance": ["/a", "/*/b"]}},
        })).unwrap();
        let scenario = Scenario::new(&given);
        let permit = permit(&scenario, "bank__balance", Map::new());
        let body = json!({"structuredContent": structured, "content": [{"type": "text", "text": text.to_string()}]});
        let came = answer(body.as_object().cloned(), None);
        let response = respond(&permit, came, &scenario.world(), &mut Evaluator::new());
        if let Response::Release(release) = response {
            prop_assert!(release.findings().rows <= most);
            let again = answer(Some(release.into_body()), None);
            let Response::Release(again) = respond(&permit, again, &scenario.world(), &mut Evaluator::new()) else {
                panic!("a released answer is released again");
            };
            prop_assert_eq!(again.findings().changes, proctor_engine::Changes::default());
        }
    }

    /// A policy that sees no difference between the phases says the same in both: not asking it again loses nothing.
    #[test]
    fn an_answer_without_rules_passes_as_it_came(structured in shape()) {
        let given: Given = serde_json::from_value(json!({
            "intent": null, "settings": {"intent": "when_declared"}, "policy_mode": "none",
            "policies": [{"rego": "package proctor.policy\nimport rego.v1\ndecision := {\"effect\": \"allow\"} if input.tool.verb == \"read\""}],
        })).unwrap();
        let scenario = Scenario::new(&given);
        let permit = permit(&scenario, "bank__balance", Map::new());
        let body = json!({"structuredContent": structured});
        let came = answer(body.as_object().cloned(), None);
        let Response::Release(release) = respond(&permit, came, &scenario.world(), &mut Evaluator::new()) else {
            panic!("it is released");
        };
        prop_assert!(release.findings().policies.is_empty());
        prop_assert_eq!(Value::Object(release.into_body()), body);
    }
}

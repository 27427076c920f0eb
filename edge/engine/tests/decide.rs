//! Decisions as data: `cases/*.yaml`, each case a world, a call, and what is to come out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

#[path = "fixture/scenario.rs"]
mod scenario;

use proctor_engine::{Decision, Evaluator, ToolQuery, admit, decide, visible_tools};
use proptest::prelude::*;
use scenario::{Given, Scenario, reason};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    given: Given,
    /// The tool as the agent names it.
    tool: String,
    /// The endpoint's server, if it isn't the one over all servers.
    #[serde(default)]
    on: Option<String>,
    #[serde(default)]
    args: Map<String, Value>,
    /// `allow`, or the reason's code.
    expect: String,
    /// The refusal's detail.
    #[serde(default)]
    detail: Option<String>,
    /// The intent's action that is to match.
    #[serde(default)]
    action: Option<u32>,
    /// What the policies are to say: `id effect rule …`.
    #[serde(default)]
    policies: Option<Vec<String>>,
}

fn query(tool: &str, on: Option<&str>) -> ToolQuery {
    match on {
        Some(server) => ToolQuery::On(server.parse().unwrap(), tool.into()),
        None => ToolQuery::Any(tool.into()),
    }
}

fn check(file: &str, case: &Case) {
    let scenario = Scenario::new(&case.given);
    let decision = scenario.decide(query(&case.tool, case.on.as_deref()), case.args.clone());
    let name = format!("{file}: {}", case.name);
    let got = reason(&decision).map_or("allow", |reason| reason.code());
    assert_eq!(got, case.expect, "{name}");
    let facts = decision.facts();
    if case.action.is_some() {
        let action = facts.intent.as_ref().and_then(|intent| intent.action);
        assert_eq!(action, case.action, "{name}");
    }
    if let Some(expected) = &case.policies {
        let said: Vec<_> = facts
            .policies
            .iter()
            .map(|policy| {
                let rules = policy.rules.iter().map(String::as_str);
                [policy.id.as_str(), &policy.effect]
                    .into_iter()
                    .chain(rules)
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect();
        assert_eq!(said, *expected, "{name}");
    }
    match &decision {
        Decision::Permit(permit) => assert_eq!(*permit.arguments(), case.args, "{name}"),
        Decision::Refusal(refusal) => {
            if case.detail.is_some() {
                assert_eq!(refusal.detail, case.detail, "{name}");
            }
            // No value of the call in what an outsider or the audit chain gets to see.
            let shown = format!("{} {facts:?}", refusal.message());
            for value in case.args.values().filter_map(Value::as_str) {
                assert!(value.len() < 4 || !shown.contains(value), "{name}: {shown}");
            }
        }
    }
}

#[test]
fn cases() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");
    let mut count = 0;
    let mut failed = 0;
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
    assert!(count > 60, "{count} cases");
}

#[test]
fn the_listing_shows_what_token_and_intent_allow() {
    let listing = |given: Value| {
        let scenario = Scenario::new(&serde_json::from_value(given).unwrap());
        visible_tools(&scenario.token, &scenario.world())
            .map(|tools| {
                tools
                    .iter()
                    .map(|tool| tool.joined_name())
                    .collect::<Vec<_>>()
            })
            .map_err(|reason| reason.code())
    };
    let all_of_intent = ["bank__send_money", "files__read_file", "mail__send"];
    assert_eq!(listing(json!({})).unwrap(), all_of_intent);
    assert_eq!(
        listing(json!({"caveats": ["tool in files/*,mail/*"]})).unwrap(),
        all_of_intent[1..]
    );
    assert_eq!(
        listing(json!({"caveats": ["verb in read"]})).unwrap(),
        ["files__read_file"]
    );
    assert_eq!(
        listing(json!({"changed": ["mail/send"]})).unwrap(),
        all_of_intent[..2]
    );
    assert_eq!(
        listing(json!({"intent_known": false})),
        Err("intent_unknown")
    );
    assert_eq!(listing(json!({"intent": null})), Err("intent_missing"));
    assert_eq!(listing(json!({"freshness": "stale"})), Err("stale_config"));
    assert_eq!(
        listing(json!({"now": "2026-11-23T20:30:00Z"})),
        Err("intent_expired")
    );
    let free = json!({"intent": null, "settings": {"intent": "when_declared"}});
    let shown = listing(free).unwrap();
    assert_eq!(shown.len(), 13, "{shown:?}");
    for hidden in ["new_tool", "altered_tool", "broken"] {
        assert!(!shown.iter().any(|name| name.contains(hidden)));
    }
}

#[test]
fn a_permit_holds_the_charges_and_the_limit() {
    let given: Given = serde_json::from_value(json!({
        "caveats": ["calls <= 5", "calls <= 3"],
        "policies": [{"rego": "package proctor.policy\nimport rego.v1\ndecision := {\"effect\": \"modify\", \"limits\": {\"bytes\": 4096}}"}],
    }))
    .unwrap();
    let scenario = Scenario::new(&given);
    let args = json!({"path": "bill.txt"});
    let decision = scenario.decide(
        query("files/read_file", None),
        args.as_object().unwrap().clone(),
    );
    let Decision::Permit(permit) = decision else {
        panic!("{decision:?}");
    };
    let most: Vec<_> = permit.charges().iter().map(|charge| charge.most).collect();
    assert_eq!(most, [2, 5, 3]);
    assert_eq!(permit.limits().bytes, 4096);
    assert_eq!(permit.facts().arg_names, ["path"]);
    assert!(
        permit
            .facts()
            .args_digest
            .as_ref()
            .unwrap()
            .starts_with("hmac-sha256:")
    );
    let refusal = permit.refuse(proctor_model::Reason::CallsExhausted);
    assert_eq!(refusal.facts.effect, proctor_model::audit::Effect::Deny);
}

#[test]
fn another_tenants_token_is_not_admitted() {
    let scenario = Scenario::new(&Given::default());
    let mut config = serde_json::from_value::<proctor_model::config::TenantConfig>(json!({
        "v": 1, "tenant": "other", "version": 1, "issued_at": "2026-11-23T20:00:00Z", "settings": {},
        "agents": [{"id": "copilot"}], "servers": [], "policies": [], "key_ids": ["k1"],
    }))
    .unwrap();
    let other = proctor_engine::CompiledTenant::compile(&config).unwrap();
    let mut world = scenario.world();
    world.tenant = &other;
    assert_eq!(
        admit(&scenario.token, &world),
        Err(proctor_model::Reason::TenantNotServed)
    );
    config.v = 2;
    assert!(proctor_engine::CompiledTenant::compile(&config).is_err());
}

fn narrowings() -> Vec<String> {
    [
        "tool in files/*",
        "tool not in bank/*",
        "verb in read",
        "calls <= 1",
        "region in us-east",
        "session = s",
        "arg bank/send_money /amount <= 50",
        "arg files/* /path matches ^b",
        "time < 2026-11-23T19:00:00Z",
        "time >= 2026-11-23T19:00:00Z",
        "edge = edge_1",
        "agent = copilot",
        "delegate = sub",
    ]
    .map(String::from)
    .to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    /// Narrowing the token or the intent never turns a refusal into a permit.
    #[test]
    fn narrowing_never_permits(
        first in prop::sample::subsequence(narrowings(), 0..3),
        more in prop::sample::subsequence(narrowings(), 1..3),
        dropped in prop::option::of(0_usize..3),
        tighter in any::<bool>(),
        tool in prop::sample::select(vec!["files/read_file", "bank/send_money", "mail/send", "bank/balance"]),
        amount in 0..120,
        calls in 0_u64..3,
    ) {
        let wide = Given { caveats: first.clone(), token_calls: calls, ..Given::default() };
        let mut narrow = wide.clone();
        narrow.caveats.extend(more);
        if let Some(declaration) = &mut narrow.intent {
            if let Some(index) = dropped {
                declaration.actions.remove(index);
            }
            if tighter {
                for action in &mut declaration.actions {
                    action.args = Some(json!({"properties": {"amount": {"maximum": 60}, "path": {"const": "bill.txt"}}}));
                    action.max_calls = Some(1);
                }
            }
        }
        let args = json!({"path": "bill.txt", "amount": amount, "recipient": "GB29NWBK60161331926819"});
        let args: Map<String, Value> = match tool {
            "files/read_file" => [("path".to_owned(), json!("bill.txt"))].into_iter().collect(),
            _ => args.as_object().unwrap().clone(),
        };
        let permitted = |given: &Given| {
            let scenario = Scenario::new(given);
            let call = scenario.call(query(tool, None), args.clone());
            matches!(decide(call, &scenario.world(), &mut Evaluator::new()), Decision::Permit(_))
        };
        prop_assert!(permitted(&wide) || !permitted(&narrow));
    }
}

//! Decisions as data: `cases/*.yaml`, each case a world, a call, and what is to come out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

#[path = "fixture/scenario.rs"]
mod scenario;

use proctor_engine::approval::Asked;
use proctor_engine::decision::args_digest;
use proctor_engine::respond::respond;
use proctor_engine::{
    Answer, Channel, Continued, Decision, Escalation, Evaluator, Grant, Reading, Response, Ruling,
    ToolQuery, admit, decide_continued, decide_granted, visible_tools,
};
use proctor_model::approval::{ApprovalAnswer, ApprovalOutcome};
use proctor_model::intent::{IntentDeclaration, OnViolation};
use proctor_model::signed::{Signer, Verifier};
use proptest::prelude::*;
use scenario::{Given, Read, Scenario, reason};
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
    /// The arguments that are forwarded; none: those of the call.
    #[serde(default)]
    forwarded: Option<Map<String, Value>>,
    /// The refusal's detail.
    #[serde(default)]
    detail: Option<String>,
    /// The intent's action that is to match.
    #[serde(default)]
    action: Option<u32>,
    /// What an approval would have to cover; in place of a digest, which ends one, only its `~`.
    #[serde(default)]
    covers: Option<Vec<String>>,
    /// What an approver is to be asked.
    #[serde(default)]
    question: Option<String>,
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
        Decision::Permit(permit) => {
            let forwarded = case.forwarded.as_ref().unwrap_or(&case.args);
            assert_eq!(permit.arguments(), forwarded, "{name}");
            // What is recorded is what is forwarded.
            let digest = args_digest(permit.arguments(), &[9; 32]);
            assert_eq!(facts.args_digest, digest, "{name}");
        }
        Decision::Refusal(refusal) => {
            if case.detail.is_some() {
                assert_eq!(refusal.detail, case.detail, "{name}");
            }
            let escalation = refusal.escalation.as_ref();
            assert_eq!(
                escalation.is_some(),
                got == "approval_required",
                "{name}: only what a person may approve is handed on"
            );
            if let Some(covers) = &case.covers {
                let mut shown: Vec<String> = escalation
                    .unwrap()
                    .covers()
                    .iter()
                    .map(|key| match key.split_once('~') {
                        Some((shown, _)) => format!("{shown}~"),
                        None => key.clone(),
                    })
                    .collect();
                shown.dedup();
                assert_eq!(shown, *covers, "{name}");
            }
            if let Some(question) = &case.question {
                assert_eq!(escalation.unwrap().question(), question, "{name}");
            }
            // No value of the call in what an outsider or the audit chain gets to see.
            let question = escalation.map(|escalation| escalation.question());
            let shown = format!("{} {refusal:?} {question:?}", refusal.message());
            // A resource's URI is its name in the catalogue: no secret. What was filled into a template is one.
            let listed = facts.tool.as_ref().map(|tool| tool.name.to_string());
            let listed = listed.unwrap_or_default();
            for value in case.args.values().filter_map(Value::as_str) {
                let secret = value.len() >= 4 && !listed.contains(value);
                assert!(!secret || !shown.contains(value), "{name}: {shown}");
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
    assert_eq!(
        listing(json!({"killed": ["mail/send"]})).unwrap(),
        all_of_intent[..2]
    );
    assert_eq!(listing(json!({"killed": ["copilot"]})), Err("killed_agent"));
    let outer = json!([{"agent": "copilot", "goal": "x", "actions": [{"tool": "mail/send"}], "expires_in_s": 60}]);
    assert_eq!(
        listing(json!({"parents": outer})).unwrap(),
        all_of_intent[2..]
    );
    assert_eq!(listing(json!({"freshness": "stale"})), Err("stale_config"));
    assert_eq!(
        listing(json!({"now": "2026-11-23T20:30:00Z"})),
        Err("intent_expired")
    );
    let free = json!({"intent": null, "settings": {"intent": "when_declared"}});
    let shown = listing(free).unwrap();
    assert_eq!(shown.len(), 28, "{shown:?}");
    for hidden in ["new_tool", "altered_tool", "broken", "mute"] {
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

/// Refused, for a person to decide, permitted.
fn rank(decision: &Decision) -> u8 {
    match decision {
        Decision::Permit(_) => 2,
        Decision::Refusal(refusal) => u8::from(refusal.escalation.is_some()),
    }
}

/// Values that constants, arguments and results are drawn from alike.
const POOL: [&str; 5] = [
    "bob@partner.example",
    "eve@evil.example",
    "GB29NWBK60161331926819",
    "bill.txt",
    "98",
];
const TOOLS: [&str; 3] = ["files/read_file", "bank/send_money", "mail/send"];

fn declaration() -> impl Strategy<Value = IntentDeclaration> {
    let origins = ["", "goal", "trusted", "trusted goal", "goal any", "any"];
    let action = (
        prop::sample::select(TOOLS.to_vec()),
        prop::option::of(prop::sample::select(vec![50, 100])),
        prop::option::of(1_u32..3),
        prop::sample::select(origins.to_vec()),
        any::<(bool, bool, bool)>(),
    );
    let goal = prop::sample::select(vec!["mail bob@partner.example 98", "mail eve@evil.example"]);
    (goal, prop::collection::vec(action, 1..4)).prop_map(|(goal, actions)| {
        let tools: Vec<&str> = actions.iter().map(|(tool, ..)| *tool).collect();
        let actions: Vec<Value> = actions
            .into_iter()
            .map(|(tool, amount, most, origins, (total, later, escalate))| {
                let mut action = json!({ "tool": tool });
                if let Some(amount) = amount {
                    action["args"] = json!({"properties": {"amount": {"maximum": amount}}});
                }
                if let Some(most) = most {
                    action["max_calls"] = most.into();
                }
                if !origins.is_empty() {
                    let origins: Vec<&str> = origins.split(' ').collect();
                    action["origins"] =
                        json!({"/recipient": origins, "/to": origins, "/amount": origins});
                }
                if total {
                    action["totals"] = json!({"/amount": 100});
                }
                if later {
                    let first = tools.iter().find(|first| **first != tool);
                    action["after"] = json!(first.into_iter().collect::<Vec<_>>());
                }
                if escalate {
                    action["on_violation"] = "escalate".into();
                }
                action
            })
            .collect();
        let declared =
            json!({"agent": "copilot", "goal": goal, "actions": actions, "expires_in_s": 60});
        serde_json::from_value(declared).unwrap()
    })
}

/// One way to narrow an intent; what it says of an action is for the one at this index, counted round.
#[derive(Clone, Debug)]
enum Narrowing {
    Drop(usize),
    /// One more constant, for an argument of this name.
    Constant(usize, &'static str, Value),
    /// The last of several accepted origins is accepted no more.
    FewerOrigins(usize),
    MostCalls(usize),
    Total(usize),
    /// One more tool has to come first.
    After(usize),
    NobodyIsAsked(usize),
}

fn narrowing() -> impl Strategy<Value = Narrowing> {
    let text = prop::sample::select(POOL.to_vec()).prop_map(Value::from);
    let number = prop::sample::select(vec![10, 98, 120]).prop_map(Value::from);
    let names = prop::sample::select(vec!["path", "recipient", "to", "subject"]);
    prop_oneof![
        (0_usize..4).prop_map(Narrowing::Drop),
        (0_usize..4, names, text)
            .prop_map(|(at, name, value)| Narrowing::Constant(at, name, value)),
        (0_usize..4, number).prop_map(|(at, value)| Narrowing::Constant(at, "amount", value)),
        (0_usize..4).prop_map(Narrowing::FewerOrigins),
        (0_usize..4).prop_map(Narrowing::MostCalls),
        (0_usize..4).prop_map(Narrowing::Total),
        (0_usize..4).prop_map(Narrowing::After),
        (0_usize..4).prop_map(Narrowing::NobodyIsAsked),
    ]
}

fn narrow(declaration: &mut IntentDeclaration, narrowing: &Narrowing) {
    let count = declaration.actions.len();
    let tools: Vec<_> = declaration
        .actions
        .iter()
        .map(|action| action.tool.clone())
        .collect();
    let at = |index: &usize| index % count;
    match narrowing {
        Narrowing::Drop(index) => {
            let mut rest = declaration.actions.clone();
            let gone = rest.remove(at(index)).tool;
            // What has to come first can't be left out.
            let needed = rest.iter().any(|action| action.after.contains(&gone));
            if !rest.is_empty() && (!needed || rest.iter().any(|action| action.tool == gone)) {
                declaration.actions = rest;
            }
        }
        Narrowing::Constant(index, name, value) => {
            let args = &mut declaration.actions[at(index)].args;
            let args = args.get_or_insert_with(|| json!({}));
            args["properties"][*name]["const"] = value.clone();
        }
        Narrowing::FewerOrigins(index) => {
            for origins in declaration.actions[at(index)].origins.values_mut() {
                origins.truncate(1);
            }
        }
        Narrowing::MostCalls(index) => declaration.actions[at(index)].max_calls = Some(1),
        Narrowing::Total(index) => {
            let totals = &mut declaration.actions[at(index)].totals;
            totals.insert("/amount".to_owned(), 60.into());
        }
        Narrowing::After(index) => {
            let action = &mut declaration.actions[at(index)];
            let first = tools.into_iter().find(|first| *first != action.tool);
            action.after.extend(first);
        }
        Narrowing::NobodyIsAsked(index) => {
            declaration.actions[at(index)].on_violation = OnViolation::Deny;
        }
    }
}

/// Whether an action has one of the arguments as its constant. That is the declarer's word for it, not a narrower one.
fn is_declared(intent: &IntentDeclaration, tool: &str, args: &Map<String, Value>) -> bool {
    let constant = |(name, value): (&String, &Value), schema: &Value| {
        schema.pointer(&format!("/properties/{name}/const")) == Some(value)
    };
    intent.actions.iter().any(|action| {
        let schema = action.args.as_ref();
        action.tool.to_string() == tool
            && schema.is_some_and(|schema| args.iter().any(|arg| constant(arg, schema)))
    })
}

/// Results that an agent may have read, with the calls that asked for them.
fn reads() -> impl Strategy<Value = Vec<Read>> {
    let tools = prop::sample::select(vec![
        "bank/balance",
        "mail/inbox",
        "bank/echo",
        "files/read_file",
    ]);
    let values = prop::sample::select(POOL.to_vec());
    let read = (tools, values.clone(), values).prop_map(|(tool, asked, text)| Read {
        tool: tool.parse().unwrap(),
        args: Map::from_iter([("path".to_owned(), asked.into())]),
        text: Some(text.to_owned()),
        structured: None,
        rows: 0,
    });
    prop::collection::vec(read, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    /// A sub-intent never allows what the intent refuses that it narrows, nor what it would refuse alone.
    #[test]
    fn a_sub_intent_only_narrows(
        outer in declaration(), inner in declaration(), most in declaration(),
        tool in prop::sample::select(vec!["files/read_file", "bank/send_money", "mail/send"]),
        amount in prop::sample::select(vec![10, 98, 120]),
        recipient in prop::sample::select(vec!["bob@partner.example", "eve@evil.example"]),
    ) {
        let args = json!({"path": "bill.txt", "amount": amount, "recipient": recipient, "to": recipient});
        let wanted: &[&str] = match tool {
            "files/read_file" => &["path"],
            "mail/send" => &["to"],
            _ => &["amount", "recipient"],
        };
        let args: Map<String, Value> = wanted.iter().map(|key| ((*key).to_owned(), args[*key].clone())).collect();
        let judged = |parents: &[&IntentDeclaration], intent: &IntentDeclaration| {
            let parents = parents.iter().map(|parent| (*parent).clone()).collect();
            let scenario = Scenario::new(&Given { parents, intent: Some(intent.clone()), ..Given::default() });
            scenario.decide(query(tool, None), args.clone())
        };
        let nested = judged(&[&most, &outer], &inner);
        for alone in [&most, &outer, &inner] {
            let alone = judged(&[], alone);
            prop_assert!(rank(&nested) <= rank(&alone), "{nested:?} {alone:?}");
        }
        let pair = judged(&[&most], &outer);
        prop_assert!(rank(&nested) <= rank(&pair));
    }

    /// Narrowing the token or the intent never turns a refusal into a question or a permit, nor a question into a permit.
    #[test]
    fn narrowing_never_permits(
        first in prop::sample::subsequence(narrowings(), 0..3),
        more in prop::sample::subsequence(narrowings(), 0..3),
        declared in declaration(),
        ways in prop::collection::vec(narrowing(), 0..4),
        read in reads(),
        tool in prop::sample::select(["files/read_file", "bank/send_money", "mail/send", "bank/balance"].to_vec()),
        values in (prop::sample::select(POOL.to_vec()), prop::sample::select(POOL.to_vec())),
        amount in prop::sample::select(vec![10, 98, 120]),
        calls in 0_u64..3,
    ) {
        let wide = Given { caveats: first, token_calls: calls, read, intent: Some(declared), ..Given::default() };
        let mut narrower = wide.clone();
        narrower.caveats.extend(more);
        let intent = narrower.intent.as_mut().unwrap();
        for way in &ways {
            narrow(intent, way);
        }
        let (value, text) = values;
        let args = match tool {
            "files/read_file" => json!({"path": value}),
            "mail/send" => json!({"to": value, "subject": text}),
            "bank/send_money" => json!({"amount": amount, "recipient": value, "subject": text}),
            _ => json!({"amount": amount}),
        };
        let args = args.as_object().unwrap();
        let declared = is_declared(intent, tool, args);
        let judged = |given: &Given| Scenario::new(given).decide(query(tool, None), args.clone());
        let (before, after) = (judged(&wide), judged(&narrower));
        prop_assert!(declared || rank(&after) <= rank(&before), "{before:?} {after:?}");
    }
}

/// The answer of control to a call that was escalated, signed by the platform.
fn grant(
    scenario: &Scenario,
    escalation: &Escalation,
    change: impl Fn(&mut ApprovalAnswer),
) -> Grant {
    let signer = Signer::from_seed(&[5; 32]).unwrap();
    let platform = Verifier::new([&signer.public_key()]).unwrap();
    let world = scenario.world();
    let mut answer = ApprovalAnswer {
        tenant: world.tenant.id().clone(),
        edge: world.edge.clone(),
        decision_id: uuid::Uuid::nil().into(),
        binding: escalation.binding().to_owned(),
        outcome: ApprovalOutcome::Granted,
        approval: Some("apr_1".parse().unwrap()),
        expires_at: Some(world.now.plus_secs(60)),
        covers: escalation.covers().to_vec(),
    };
    change(&mut answer);
    let asked = Asked {
        tenant: &answer.tenant,
        edge: &answer.edge,
        decision_id: answer.decision_id,
        binding: &answer.binding,
    };
    match Ruling::read(&signer.sign(&answer).unwrap(), &platform, asked) {
        Ok(Ruling::Granted(grant)) => grant,
        other => panic!("{other:?}"),
    }
}

fn escalating() -> Given {
    serde_json::from_value(json!({
        "caveats": ["calls <= 5"],
        "intent": {
            "agent": "copilot", "goal": "pay 10 to somebody", "expires_in_s": 60,
            "actions": [{ "tool": "bank/send_money", "max_calls": 1, "on_violation": "escalate" }],
        },
    }))
    .unwrap()
}

fn escalated(given: &Given, args: &Value) -> (Scenario, Box<Escalation>) {
    let scenario = Scenario::new(given);
    let args = args.as_object().unwrap().clone();
    match scenario.decide(query("bank/send_money", None), args) {
        Decision::Refusal(refusal) => (scenario, refusal.escalation.unwrap()),
        Decision::Permit(_) => panic!("permitted"),
    }
}

fn granted(scenario: &Scenario, args: &Value, grant: Grant) -> Decision {
    let call = scenario.call(
        query("bank/send_money", None),
        args.as_object().unwrap().clone(),
    );
    decide_granted(call, grant, &scenario.world(), &mut Evaluator::new())
}

#[test]
fn a_grant_is_good_for_exactly_the_call_that_was_approved() {
    let args = json!({"amount": 10, "recipient": "GB29NWBK60161331926819"});
    let (scenario, escalation) = escalated(&escalating(), &args);
    let allowed = granted(&scenario, &args, grant(&scenario, &escalation, |_| {}));
    let Decision::Permit(permit) = allowed else {
        panic!("{allowed:?}");
    };
    assert_eq!(
        permit.facts().approval.as_ref().unwrap().id.as_str(),
        "apr_1"
    );
    let most: Vec<_> = permit.charges().iter().map(|charge| charge.most).collect();
    assert_eq!(
        most,
        [1, 5],
        "it counts as any other, to the intent's ceiling"
    );

    let refused = |scenario: &Scenario, args: &Value, grant: Grant| {
        reason(&granted(scenario, args, grant)).map(|reason| reason.code())
    };
    for (args, what) in [
        (
            json!({"amount": 11, "recipient": "GB29NWBK60161331926819"}),
            "another amount",
        ),
        (
            json!({"amount": 10, "recipient": "DE89370400440532013000"}),
            "another target",
        ),
        (
            json!({"amount": 10, "recipient": "GB29NWBK60161331926819", "note": ""}),
            "one more",
        ),
    ] {
        let grant = grant(&scenario, &escalation, |_| {});
        assert_eq!(
            refused(&scenario, &args, grant),
            Some("approval_mismatch"),
            "{what}"
        );
    }
    type Change = fn(&mut ApprovalAnswer);
    let changes: [(&str, Change); 4] = [
        ("tenant", |answer| answer.tenant = "other".parse().unwrap()),
        ("edge", |answer| answer.edge = "edge_2".parse().unwrap()),
        ("decision", |answer| {
            answer.decision_id = uuid::Uuid::max().into()
        }),
        ("other reasons", |answer| {
            answer.covers = vec!["policy:x:".into()]
        }),
    ];
    for (what, change) in changes {
        let grant = grant(&scenario, &escalation, change);
        assert_eq!(
            refused(&scenario, &args, grant),
            Some("approval_mismatch"),
            "{what}"
        );
    }
    let mut worlds: Vec<(&str, Given)> = Vec::new();
    let mut other = |what: &'static str, change: fn(&mut Given)| {
        let mut given = escalating();
        change(&mut given);
        worlds.push((what, given));
    };
    other("approval_mismatch", |given| {
        given.caveats.push("delegate = sub".into())
    });
    other("approval_mismatch", |given| {
        given.caveats.push("session = s-2".into())
    });
    other("approval_mismatch", |given| {
        given.policy_data = json!({"rows_max": 7})
    });
    other("token_revoked", |given| given.revoked.push(0));
    other("killed_agent", |given| given.killed.push("copilot".into()));
    other("killed_tool", |given| {
        given.killed.push("bank/send_money".into())
    });
    other("intent_expired", |given| {
        given.now = "2026-11-23T20:30:00Z".parse().unwrap()
    });
    other("calls_exhausted", |given| given.token_calls = 5);
    other("policy_denied", |given| {
        let rego = "package proctor.policy\nimport rego.v1\ndecision := {\"effect\": \"deny\"}";
        given.policies = serde_json::from_value(json!([{"rego": rego}])).unwrap();
    });
    for (expected, given) in worlds {
        let now = Scenario::new(&given);
        let grant = grant(&scenario, &escalation, |_| {});
        assert_eq!(refused(&now, &args, grant), Some(expected));
    }
}

/// Two payments were approved after something untrusted was read; when the first is made, the second is not the first any
/// more. A reason that nobody was asked about stays in the way.
#[test]
fn a_grant_outlives_a_reason_and_is_good_for_none_that_is_new() {
    let asked = |read: Value, past: Value| {
        let guard = json!({"untrusted_then_outbound": true, "first_financial": true});
        let given = json!({"policy_data": {"sequence": guard}, "read": read, "past": past});
        let args = json!({"amount": 98.7, "recipient": "GB29NWBK60161331926819"});
        let (scenario, escalation) = escalated(&serde_json::from_value(given).unwrap(), &args);
        (args, scenario, escalation)
    };
    let read = json!([{"tool": "mail/inbox", "text": "hello"}]);
    let (args, early, both) = asked(read.clone(), json!([]));
    let (_, late, fewer) = asked(read, json!(["bank/send_money"]));
    assert!(fewer.covers().len() < both.covers().len());
    let allowed = granted(&late, &args, grant(&late, &both, |_| {}));
    assert!(matches!(allowed, Decision::Permit(_)), "{allowed:?}");
    let refused = granted(&early, &args, grant(&early, &fewer, |_| {}));
    let refused = reason(&refused).map(|reason| reason.code());
    assert_eq!(refused, Some("approval_mismatch"));
}

/// What a policy computed is not shown, and is another reason all the same when it is another text.
#[test]
fn a_grant_is_for_the_computed_reason_that_was_approved() {
    let asked = |past: Value| {
        let rego = "package proctor.policy\nimport rego.v1\nsaid := \"LARGE\" if input.history.calls == 0\nelse := \"NEW COUNTRY\"\ndecision := {\"effect\": \"escalate\", \"reasons\": [lower(said)]}";
        let given = json!({"policies": [{"rego": rego}], "past": past});
        let args = json!({"amount": 98.7, "recipient": "GB29NWBK60161331926819"});
        let (scenario, escalation) = escalated(&serde_json::from_value(given).unwrap(), &args);
        (args, scenario, escalation)
    };
    let (args, early, large) = asked(json!([]));
    let (_, late, other) = asked(json!(["files/read_file"]));
    assert_eq!(large.question(), other.question());
    let allowed = granted(&early, &args, grant(&early, &large, |_| {}));
    assert!(matches!(allowed, Decision::Permit(_)), "{allowed:?}");
    let refused = granted(&late, &args, grant(&late, &large, |_| {}));
    let refused = reason(&refused).map(|reason| reason.code());
    assert_eq!(refused, Some("approval_mismatch"));
}

/// Approved was a recipient that was not seen anywhere. A mail that has the amount makes that one suspect too, and about it
/// nobody was asked. What was in the way and is not any more does not matter.
#[test]
fn a_grant_is_for_the_places_that_were_in_question() {
    let args = json!({"amount": 5000, "recipient": "DE89370400440532013000"});
    let (early, one) = escalated(&escalating(), &args);
    let mut given = escalating();
    given.read =
        serde_json::from_value(json!([{"tool": "mail/inbox", "text": "send 5000"}])).unwrap();
    let (late, both) = escalated(&given, &args);
    assert_eq!(
        one.covers(),
        ["intent:int_1:origin_not_accepted:/recipient"]
    );
    let amount = "intent:int_1:origin_not_accepted:/amount";
    assert_eq!(both.covers(), [amount, one.covers()[0].as_str()]);
    let refused = granted(&late, &args, grant(&late, &one, |_| {}));
    let refused = reason(&refused).map(|reason| reason.code());
    assert_eq!(refused, Some("approval_mismatch"));
    for (scenario, escalation) in [(&late, &both), (&early, &one), (&early, &both)] {
        let allowed = granted(scenario, &args, grant(scenario, escalation, |_| {}));
        assert!(matches!(allowed, Decision::Permit(_)), "{allowed:?}");
    }
}

fn overhear(scenario: &mut Scenario, tool: &str, text: &str) {
    let tool = tool.parse().unwrap();
    let words = json!({ "message": text });
    scenario.read.overhear(&Reading {
        tool: scenario.tenant.catalogue().get(&tool).unwrap(),
        arguments: &Map::new(),
        intent: None,
        result: words.as_object().unwrap(),
        rows: 0,
        error: false,
        memory: None,
    });
}

/// A call whose server asks something is in its session's history by then, and so is what its server said. Neither is in its
/// way when it goes on; what else the session did meanwhile is.
#[test]
fn a_call_that_goes_on_is_not_in_its_own_way() {
    let guards = json!({"untrusted_then_outbound": true, "destructive_max": 1, "effect": "deny"});
    let data = json!({"sequence": guards, "destructive": {"allow": ["files/delete_file"]}});
    let deleting = json!({
        "agent": "copilot", "goal": "delete a.txt", "expires_in_s": 60,
        "actions": [{"tool": "files/delete_file"}],
    });
    for (given, tool, args) in [
        (
            json!({ "policy_data": data }),
            "mail/send",
            json!({"to": "bob@partner.example"}),
        ),
        (
            json!({ "policy_data": data, "intent": deleting }),
            "files/delete_file",
            json!({"path": "a.txt"}),
        ),
    ] {
        let mut scenario = Scenario::new(&serde_json::from_value(given).unwrap());
        let args = args.as_object().unwrap().clone();
        let first = scenario.decide(query(tool, None), args.clone());
        assert!(matches!(first, Decision::Permit(_)), "{tool}: {first:?}");
        let begin = |scenario: &mut Scenario| {
            let named = tool.parse().unwrap();
            let tool = scenario.tenant.catalogue().get(&named).unwrap();
            let now = "2026-11-23T20:00:00Z".parse().unwrap();
            scenario.read.note_call(tool, &args, None, now);
        };
        begin(&mut scenario);
        let began = scenario.read.history.reads();
        overhear(&mut scenario, tool, "Really?");
        let said = scenario.read.history.reads().since(began);
        let go_on = |scenario: &Scenario, said| {
            let call = scenario.call(query(tool, None), args.clone());
            let continued = Continued {
                granted: None,
                said,
            };
            decide_continued(call, continued, &scenario.world(), &mut Evaluator::new())
        };
        let gone_on = go_on(&scenario, Some(said));
        assert!(
            matches!(gone_on, Decision::Permit(_)),
            "{tool}: {gone_on:?}"
        );
        // To another call it is, and in a session that it is not in the history of.
        assert!(matches!(go_on(&scenario, None), Decision::Refusal(_)));
        let other = scenario.decide(query(tool, None), args.clone());
        assert_eq!(
            reason(&other).map(|reason| reason.code()),
            Some("policy_denied")
        );
        begin(&mut scenario);
        overhear(&mut scenario, "mail/inbox", "hello");
        let late = go_on(&scenario, Some(said));
        assert_eq!(
            reason(&late).map(|reason| reason.code()),
            Some("policy_denied")
        );
    }
}

/// A placeholder and its value are one call: the approval is for the value, and its record has the value's digest.
#[test]
fn a_call_with_a_placeholder_can_be_approved() {
    let mut given = escalating();
    given.content = serde_json::from_value(json!({
        "rules": [{"classes": ["iban"], "direction": "inbound", "action": "tokenise"}],
        "reveal": [{"classes": ["iban"], "tools": ["bank/*"]}],
    }))
    .unwrap();
    let reading = given.intent.as_mut().unwrap();
    reading
        .actions
        .push(serde_json::from_value(json!({"tool": "bank/balance"})).unwrap());
    let scenario = Scenario::new(&given);
    let Decision::Permit(read) = scenario.decide(query("bank/balance", None), Map::new()) else {
        panic!("refused");
    };
    let iban = "GB29NWBK60161331926819";
    let body = json!({"structuredContent": {"owed_to": iban}});
    let answer = Answer {
        channel: Channel::Result,
        body: body.as_object().unwrap().clone(),
        bytes: 100,
    };
    let answered = respond(&read, answer, &scenario.world(), &mut Evaluator::new());
    let Response::Release(release) = answered else {
        panic!("withheld");
    };
    let shown = &release.body()["structuredContent"]["owed_to"];
    assert_ne!(shown, iban);
    let args = json!({"amount": 10, "recipient": shown});
    let first = scenario.decide(
        query("bank/send_money", None),
        args.as_object().unwrap().clone(),
    );
    let Decision::Refusal(refusal) = first else {
        panic!("permitted");
    };
    let meant = json!({"amount": 10, "recipient": iban});
    let digest = args_digest(meant.as_object().unwrap(), &[9; 32]);
    assert_eq!(refusal.facts.args_digest, digest);
    let escalation = refusal.escalation.unwrap();
    // By the values that stood in for the placeholder when it was asked, and by the placeholder itself.
    for args in [Value::Object(escalation.arguments().clone()), args] {
        let allowed = granted(&scenario, &args, grant(&scenario, &escalation, |_| {}));
        let Decision::Permit(permit) = allowed else {
            panic!("{allowed:?}");
        };
        assert_eq!(permit.arguments()["recipient"], iban);
        assert_eq!(permit.facts().args_digest, digest);
        assert!(!permit.facts().changed, "no control changed it");
    }
}

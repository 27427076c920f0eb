use super::{ALL_STEPS_MAX, Dead, Known};
use crate::policy::{CompiledPolicy, Evaluator, stdlib};
use proctor_model::config::{Policy, PolicyMode, RegoModule};
use proptest::prelude::*;
use regorus::Value;
use serde_json::{Map, json};

/// How many definitions a rule has in the whole program and in the one that knows its settings.
fn definitions(policy: &Policy, rule: &str) -> [usize; 2] {
    let name = format!("data.proctor.policy.{rule}");
    let whole = CompiledPolicy::whole(policy).unwrap();
    let special = CompiledPolicy::compile(policy).unwrap();
    let rules = &whole.program.rule_infos;
    let at = rules.iter().position(|info| info.name == name);
    let at = at.unwrap_or_else(|| panic!("no rule {name}"));
    [&whole, &special].map(|policy| policy.program.rule_infos[at].definitions.len())
}

/// What either program says, the whole one and the one that knows its settings.
fn check(policy: &Policy, inputs: &[serde_json::Value]) {
    let whole = CompiledPolicy::whole(policy).unwrap();
    let special = CompiledPolicy::compile(policy).unwrap();
    let mut evaluator = Evaluator::new();
    for input in inputs {
        let [whole, special] =
            [&whole, &special].map(|policy| evaluator.ask(policy, Value::from(input.clone())));
        assert_eq!(
            format!("{whole:?}"),
            format!("{special:?}"),
            "{policy:?} {input}"
        );
    }
}

fn own(source: &str, data: serde_json::Value) -> Policy {
    Policy {
        id: "p".parse().unwrap(),
        version: 1,
        mode: PolicyMode::Enforce,
        modules: vec![RegoModule {
            name: "p.rego".into(),
            source: format!("package proctor.policy\nimport rego.v1\n{source}"),
        }],
        data,
    }
}

#[test]
fn what_has_no_settings_is_left_out() {
    let [before, after] = definitions(&stdlib::baseline(), "deny");
    assert!(before > 25, "{before}");
    assert!(after < 8, "{after} of {before}");
    // Still a set, an empty one.
    assert_eq!(definitions(&stdlib::baseline(), "memory_rules")[1], 1);
}

/// How many definitions are found to be dead in so many steps.
fn dead_within(policy: &Policy, most: u32) -> usize {
    let whole = CompiledPolicy::whole(policy).unwrap();
    let found = Dead::find(&whole.program, &whole.data, most);
    let definitions = found.definitions.iter().flatten();
    definitions.filter(|dead| **dead).count()
}

/// Whoever writes a policy may have each pass find one definition more.
#[test]
fn looking_comes_to_an_end() {
    // Each rule hangs on one that comes behind it.
    let link = |at: u32| format!("r{at} if r{}\n", at + 1);
    let chain: String = (100..125).map(link).collect();
    let source = format!(
        "decision := {{\"effect\": \"deny\", \"reasons\": deny}} if count(deny) > 0\n\
        deny contains \"x\" if r100\n{chain}r125 if data.settings.nothing"
    );
    let chain = own(&source, json!({}));
    for policy in [stdlib::baseline(), chain] {
        let all = dead_within(&policy, ALL_STEPS_MAX);
        assert!(all > 15, "{all}");
        assert_eq!(dead_within(&policy, 0), 0);
        let mut found = (0..12).map(|most| dead_within(&policy, 1 << most));
        assert!(found.any(|some| (1..all).contains(&some)), "{all}");
    }
}

#[test]
fn what_a_turn_wrote_is_not_known_behind_it() {
    let value = |number: u64| Some(Value::from(number));
    let mut known = Known::default();
    known.set(1, value(1));
    known.set(2, value(2));
    let mut turn = known.turn();
    // A turn of a loop within it, and what is as it was in the end.
    let mut inner = turn.turn();
    inner.set(1, value(3));
    inner.set(1, value(1));
    turn.forget_written(&inner);
    turn.set(1, value(1));
    known.forget_written(&turn);
    assert_eq!(known.get(1), None);
    assert_eq!(known.get(2), value(2).as_ref());
}

#[test]
fn only_what_is_certain_is_left_out() {
    let grounds = "decision := {\"effect\": \"deny\", \"reasons\": deny} if count(deny) > 0\nelse := {\"effect\": \"allow\"}\n";
    for (source, deny) in [
        // Settings that are there, and say no.
        ("deny contains \"x\" if data.settings.list", 1),
        ("deny contains \"x\" if not data.settings.nothing", 1),
        ("deny contains \"x\" if data.settings.off == false", 1),
        // A default counts as a value.
        (
            "default limit := 5\nlimit := 6 if data.settings.nothing\ndeny contains \"x\" if limit",
            1,
        ),
        // Of several definitions, and of several ways to one, the dead ones only.
        (
            "deny contains \"x\" if data.settings.nothing\ndeny contains \"y\" if input.a\ndeny contains \"z\" if data.settings.nothing.at.all",
            1,
        ),
        (
            "one := 1 if data.settings.nothing\nelse := 2 if input.a\nelse := 3\ndeny contains \"x\" if one == 3",
            1,
        ),
        (
            "f(x) if { data.settings.nothing; x }\nf(x) if x\ndeny contains \"x\" if f(input.a)",
            1,
        ),
        // Settings that are as they should be, one by one.
        (
            "deny contains \"x\" if { some item in data.settings.list; not is_string(item) }\ndeny contains \"y\" if input.a",
            1,
        ),
        (
            "deny contains \"x\" if { some name in {\"list\", \"off\"}; not object.get(data.settings, name, 0) in {[\"a\"], false} }\ndeny contains \"y\" if input.a",
            1,
        ),
        (
            "deny contains \"x\" if { some item in data.settings.list; not startswith(item, \"a\") }\ndeny contains \"y\" if { some item in data.settings.list; contains(item, \"/\") }\ndeny contains \"z\" if input.a",
            1,
        ),
        (
            "deny contains \"x\" if { some item in data.settings.list; startswith(item, \"a\") }\ndeny contains \"y\" if { some item in data.settings.list; contains(input.a, item) }",
            2,
        ),
        (
            "deny contains \"x\" if { some item in data.settings.list; item == input.a }\ndeny contains \"y\" if data.settings.nothing",
            1,
        ),
        // An error before the condition refuses as it did.
        (
            "deny contains \"x\" if { to_number(input.text) > 1; data.settings.nothing }",
            1,
        ),
        // Rules that depend on rules without a chance.
        (
            "some_list contains x if some x in data.settings.nothing\ndeny contains \"x\" if { some x in some_list; x == input.a }\ndeny contains \"y\" if input.a",
            1,
        ),
        (
            "some_list contains x if some x in data.settings.nothing\ndeny contains \"y\" if count(some_list) == 0",
            1,
        ),
        (
            "every_one if every x in data.settings.nothing { x == 1 }\ndeny contains \"y\" if every_one",
            1,
        ),
        (
            "listed := [x | some x in data.settings.nothing]\ndeny contains \"y\" if count(listed) == 0",
            1,
        ),
    ] {
        let policy = own(
            &format!("{grounds}{source}"),
            json!({"list": ["a"], "off": false}),
        );
        assert_eq!(definitions(&policy, "deny")[1], deny, "{source}");
        let inputs = [
            json!({"a": 1, "text": "7"}),
            json!({"a": "a", "text": "no number"}),
            json!({}),
        ];
        check(&policy, &inputs);
    }
}

/// Some settings of the library, each as it should be, malformed or missing.
fn settings() -> impl Strategy<Value = serde_json::Value> {
    let sound = [
        ("financial", json!({"max_amount": 50})),
        (
            "destinations",
            json!({"approved": ["bob", "@acme.example"]}),
        ),
        (
            "hours",
            json!({"from": 8, "to": 18, "days": ["Monday"], "verbs": ["financial"]}),
        ),
        (
            "rows",
            json!({"max": 10, "tools": {"crm/list": 5}, "over": "trim"}),
        ),
        ("bytes", json!({"max": 1000})),
        (
            "memory",
            json!({"required": [{"verbs": ["financial"], "roles": ["target"], "trust": "verified"}], "write_trust": "agent", "effect": "escalate"}),
        ),
        (
            "origins",
            json!({"verbs": ["outbound"], "roles": ["target"]}),
        ),
        (
            "sequence",
            json!({"untrusted_then_outbound": true, "rows_then_outbound": 10, "destructive_max": 1, "first_financial": true}),
        ),
        ("mass", json!({"max_items": 1})),
        ("redact", json!({"crm/list": ["/email"]})),
        ("destructive", json!({"allow": ["crm/list"]})),
    ];
    let choices = proptest::collection::vec(0_u8..5, sound.len());
    choices.prop_map(move |choices| {
        let chosen = sound.iter().zip(choices);
        let settings = chosen.filter_map(|((name, value), choice)| {
            let value = match choice {
                0 | 1 => return None,
                2 => json!("no such thing"),
                _ => value.clone(),
            };
            Some(((*name).to_owned(), value))
        });
        serde_json::Value::Object(settings.collect::<Map<_, _>>())
    })
}

fn inputs() -> impl Strategy<Value = serde_json::Value> {
    let verbs = [
        "read",
        "write",
        "destructive",
        "financial",
        "outbound",
        "execute",
        "?",
    ];
    let phases = ["request", "request", "response", "?"];
    let (verbs, phases) = (
        prop::sample::select(verbs.to_vec()),
        prop::sample::select(phases.to_vec()),
    );
    let values = prop::sample::select(vec![
        json!(3),
        json!(99),
        json!("bob"),
        json!("eve@acme.example"),
        json!([1, 2, 3]),
        json!(null),
    ]);
    let origins = prop::sample::select(vec!["goal", "trusted", "untrusted", "memory:verified"]);
    (verbs, phases, values.clone(), values, origins, 0..3_u8, any::<bool>()).prop_map(
        |(verb, phase, amount, to, origin, history, answered)| {
            let mut input = json!({
                "phase": phase, "time": "2026-11-23T21:00:00Z",
                "tool": {"server": "crm", "name": "list", "verb": verb, "roles": {"/amount": "amount", "/to": "target"}},
                "args": {"amount": amount, "to": to},
                "origins": {"/amount": [origin], "/to": [origin]},
            });
            if history > 0 {
                input["history"] = json!({"untrusted_reads": history - 1, "rows": 20, "by_verb": {"destructive": 1}});
            }
            if answered {
                input["result"] = json!({"rows": 20, "bytes": 5000, "error": false});
                input["memory"] = json!({"use": "write", "trust": "untrusted"});
            }
            input
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_decision_changes(settings in settings(), inputs in proptest::collection::vec(inputs(), 12)) {
        let policy = Policy { data: settings, ..stdlib::baseline() };
        check(&policy, &inputs);
    }
}

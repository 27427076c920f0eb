use super::*;
use proctor_model::Reason;
use proctor_model::config::{Policy, PolicyMode, RegoModule};
use regorus::Value;
use serde_json::json;
use std::time::{Duration, Instant};

fn policy(source: &str) -> Policy {
    Policy {
        id: "p".parse().unwrap(),
        version: 1,
        mode: PolicyMode::Enforce,
        modules: vec![RegoModule {
            name: "p.rego".into(),
            source: format!("package proctor.policy\nimport rego.v1\n{source}"),
        }],
        data: json!({"list": ["a", "b"]}),
    }
}

fn ask(source: &str, input: serde_json::Value) -> Result<PolicyDecision, Reason> {
    let compiled = CompiledPolicy::compile(&policy(source)).unwrap();
    Evaluator::new().ask(&compiled, Value::from(input))
}

#[test]
fn the_standard_library_passes_its_tests() {
    let mut modules = stdlib::modules();
    modules.extend(stdlib::test_modules());
    let outcomes = run_tests(&modules, &json!({})).unwrap();
    assert!(outcomes.len() >= 20, "{outcomes:?}");
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.passed).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    validate(&stdlib::baseline()).unwrap();
}

#[test]
fn decisions_are_read_strictly() {
    for (source, expect) in [
        (r#"decision := {"effect": "allow"}"#, Ok(Effect::Allow)),
        (
            r#"decision := {"effect": "deny", "reasons": ["x"]}"#,
            Ok(Effect::Deny),
        ),
        (
            r#"decision := {"effect": "escalate", "reasons": {"x"}}"#,
            Ok(Effect::Escalate),
        ),
        (r#"decision := {"effect": "defer"}"#, Ok(Effect::Defer)),
        (
            r#"decision := {"effect": "modify", "limits": {"bytes": 10}}"#,
            Ok(Effect::Modify),
        ),
        (
            r#"decision := {"effect": "permit"}"#,
            Err(Reason::PolicyError),
        ),
        (
            r#"decision := {"effect": "allow", "reason": "x"}"#,
            Err(Reason::PolicyError),
        ),
        (r#"decision := {"reasons": []}"#, Err(Reason::PolicyError)),
        (
            r#"decision := {"effect": "allow", "reasons": "x"}"#,
            Err(Reason::PolicyError),
        ),
        (
            r#"decision := {"effect": "allow", "limits": {"bytes": -1}}"#,
            Err(Reason::PolicyError),
        ),
        (
            r#"decision := {"effect": "allow", "limits": {"cows": 1}}"#,
            Err(Reason::PolicyError),
        ),
        ("decision := true", Err(Reason::PolicyError)),
        (r#"decision := "allow""#, Err(Reason::PolicyError)),
        (
            r#"decision := {"effect": "allow"} if input.nothing"#,
            Err(Reason::PolicyError),
        ),
        // Two results for one rule: a conflict.
        (
            "decision := {\"effect\": \"allow\"} if input.a\ndecision := {\"effect\": \"deny\"} if input.a",
            Err(Reason::PolicyError),
        ),
        // A built-in that fails must not count as undefined.
        (
            "default decision := {\"effect\": \"allow\"}\ndecision := {\"effect\": \"deny\"} if to_number(input.text) > 1",
            Err(Reason::PolicyError),
        ),
        (
            "decision := {\"effect\": \"allow\"} if count(deny) == 0\ndeny contains \"x\" if split(input.a, \"b\")[0] == \"\"",
            Err(Reason::PolicyError),
        ),
        (
            "decision := {\"effect\": \"allow\"} if not big\nbig if input.text > 5",
            Err(Reason::PolicyError),
        ),
        (
            "decision := {\"effect\": \"allow\"} if not big\nbig if input.text + 1 == 5",
            Err(Reason::PolicyError),
        ),
        (
            "decision := {\"effect\": \"allow\"} if not big\nbig if 1 / (count(input) - 2) == 5",
            Err(Reason::PolicyError),
        ),
        (
            "decision := {\"effect\": \"allow\"} if not big\nf(x) := x * x\nbig if f(f(f(f(f(f(f(10))))))) > 5",
            Err(Reason::PolicyError),
        ),
        (
            "decision := {\"effect\": \"allow\"} if 7 % 4 + 1.5 * 2 - 10 / 5 == 4",
            Ok(Effect::Allow),
        ),
        (
            "default decision := {\"effect\": \"allow\"}\ndecision := {\"effect\": \"deny\"} if time.parse_rfc3339_ns(input.text) > 1",
            Err(Reason::PolicyError),
        ),
    ] {
        let got = ask(source, json!({"a": true, "text": "abc"})).map(|decision| decision.effect);
        assert_eq!(got, expect, "{source}");
    }
}

#[test]
fn obligations_that_cannot_be_enforced_are_noticed() {
    let decision = ask(
        r#"decision := {"effect": "modify", "redact": ["/a"]}"#,
        json!({}),
    )
    .unwrap();
    assert_eq!(
        (decision.redact.len(), decision.redact_classes.len()),
        (1, 0)
    );
    let decision = ask(
        r#"decision := {"effect": "allow", "redact": [], "limits": {"bytes": 5, "rows": 7}}"#,
        json!({}),
    )
    .unwrap();
    assert!(decision.redact.is_empty());
    assert_eq!((decision.bytes_max, decision.rows_max), (Some(5), Some(7)));
}

#[test]
fn reasons_hold_what_the_author_wrote_and_nothing_of_the_call() {
    let source = r#"decision := {"effect": "deny", "reasons": ["fixed", input.secret]}"#;
    let decision = ask(source, json!({"secret": "4111111111111111"})).unwrap();
    assert_eq!(decision.reasons, ["fixed", "(computed)"]);
}

#[test]
fn problems_name_the_place() {
    let problem = validate(&policy("decision := {")).unwrap_err();
    assert_eq!(
        (problem.module.as_str(), problem.line),
        ("p.rego", 3),
        "{problem:?}"
    );
    let problem = validate(&policy("decision := {\"effect\": unknown_name}")).unwrap_err();
    assert_eq!(
        (problem.module.as_str(), problem.line),
        ("p.rego", 3),
        "{problem:?}"
    );
    for bad in [
        "allow := true",
        "decision := {\"effect\": \"allow\"} if no_such_function(1)",
        "decision := x if { x := decision }",
        "n := 1 if input.a\nn := 2 if input.b\ndecision := {\"effect\": \"allow\"} if n == 1",
        "f(x) := f(x)\ndecision := f(1)",
    ] {
        assert!(validate(&policy(bad)).is_err(), "{bad}");
    }
    let mut other = policy("decision := {\"effect\": \"allow\"}");
    other.modules[0].source = "package proctor.policyx\nimport rego.v1\ndecision := {}".into();
    assert!(validate(&other).is_err());
    other.modules[0].source = "x".repeat(100_000);
    assert!(validate(&other).is_err());
    other.modules[0].source = format!("package proctor.policy\ndecision := {}1", "[".repeat(900));
    assert!(validate(&other).is_err());
    other.modules.clear();
    assert!(validate(&other).is_err());
}

/// The library knows every verb and every role: a setting that names one is not malformed.
#[test]
fn the_library_takes_every_verb_and_role() {
    use proctor_model::catalogue::{Role, Verb};
    let verbs = [
        Verb::Read,
        Verb::Write,
        Verb::Destructive,
        Verb::Financial,
        Verb::Outbound,
        Verb::Execute,
    ];
    let roles = [
        Role::Target,
        Role::Command,
        Role::Credential,
        Role::Selector,
        Role::Amount,
        Role::Currency,
        Role::RowLimit,
        Role::Content,
        Role::Tenant,
        Role::MemoryKey,
        Role::Control,
    ];
    let rule = json!({"verbs": verbs, "roles": roles, "trust": "agent"});
    let baseline = Policy {
        data: json!({
            "hours": {"from": 0, "to": 24, "days": ["Monday"], "verbs": verbs},
            "mass": {"max_items": 9, "verbs": verbs},
            "origins": {"verbs": verbs, "roles": roles},
            "memory": {"required": [rule]},
        }),
        ..stdlib::baseline()
    };
    let baseline = CompiledPolicy::compile(&baseline).unwrap();
    let input = json!({
        "phase": "request", "time": "2026-11-23T21:00:00Z",
        "tool": {"server": "crm", "name": "list", "verb": "read", "roles": {"/id": "selector"}},
        "args": {"id": "a"}, "origins": {"/id": ["goal"]}, "history": {},
    });
    let said = Evaluator::new().ask(&baseline, Value::from(input)).unwrap();
    assert_eq!(said.reasons, ["memory_not_trusted"]);
}

/// As many values as a policy gets to see, each behind a role with `*`, in the machine that decides calls: within its budget.
#[test]
fn what_memory_has_to_vouch_for_is_found_among_many_values() {
    let places = || ["a", "b", "c", "d", "e"].into_iter();
    let roles: serde_json::Map<_, _> = places()
        .map(|place| (format!("/{place}/*/to"), json!("target")))
        .collect();
    let pointers = places().flat_map(|place| (0..12).map(move |at| format!("/{place}/{at}/to")));
    let origins: serde_json::Map<_, _> = pointers
        .map(|pointer| (pointer, json!(["memory:verified"])))
        .collect();
    let required = json!([{"verbs": ["financial"], "roles": ["target"], "trust": "verified"}]);
    let baseline = Policy {
        data: json!({"memory": {"required": required}}),
        ..stdlib::baseline()
    };
    let baseline = CompiledPolicy::compile(&baseline).unwrap();
    let mut evaluator = Evaluator::new();
    let mut check = |origins: &serde_json::Map<_, _>, expected| {
        let input = json!({
            "phase": "request",
            "tool": {"server": "bank", "name": "pay", "verb": "financial", "roles": roles},
            "args": {}, "origins": origins, "history": {},
        });
        let said = evaluator.ask(&baseline, Value::from(input)).unwrap();
        assert_eq!((said.effect, said.reasons.join(" ")), expected);
    };
    check(&origins, (Effect::Allow, String::new()));
    let mut one_less = origins.clone();
    one_less.insert("/e/11/to".to_owned(), json!(["trusted"]));
    let missing = "memory_not_trusted".to_owned();
    check(&one_less, (Effect::Deny, missing));
}

/// D21: each is refused at upload, or ends soon with a refusal, and the worker goes on.
#[test]
fn hostile_policies_are_refused_or_bounded() {
    const FORBIDDEN: &[&str] = &[
        "x := numbers.range(1, 10000000)",
        "x := concat(\"\", [input.text, input.text])",
        "x := sprintf(\"%1000000d\", [1])",
        "x := replace(input.text, \"a\", \"aaaaaaaa\")",
        "x := json.patch({}, [])",
        "x := http.send({\"method\": \"get\", \"url\": \"http://127.0.0.1/\"})",
        "x := bits.lsh(1, 1000000000)",
        "x := product([1, 2])",
        "x := json.marshal(input)",
        "x := array.concat([1], [2])",
        "x := rand.intn(\"a\", 10)",
        "x := time.now_ns()",
        "x := opa.runtime()",
        "x := net.cidr_expand(\"10.0.0.0/8\")",
        "x := units.parse(\"1G\")",
        "x := glob.match(\"*\", [], \"a\")",
        "x := regex.replace(\"a\", \"b\", \"c\")",
        "x := [v | walk(input, [_, v])]",
        "x := base64.encode(input.text)",
        "x := trace(\"a\")",
        "x := object.union({}, {})",
    ];
    for body in FORBIDDEN {
        let source = format!(
            "decision := {{\"effect\": \"allow\", \"reasons\": [y]}} if {{ {body}; y := x }}"
        );
        assert!(validate(&policy(&source)).is_err(), "{body}");
    }
    let doubled: String = (1..60)
        .map(|i| format!("x{i} := [x{p}, x{p}]; y{i} := [y{p}, y{p}]\n", p = i - 1))
        .collect();
    let circle: String = (0..200).map(|i| format!("r{i} := r{}\n", i + 1)).collect();
    for source in [
        format!("decision := {{\"effect\": \"allow\"}} if {{ x0 := [input.a]; y0 := [input.a]\n{doubled} x59 == y59 }}"),
        "f(x) := {\"a\": x, \"b\": x}\ndecision := {\"effect\": \"allow\"} if f(f(f(1))) == f(f(f(input.a)))".into(),
        format!("{circle}r200 := 1\ndecision := {{\"effect\": \"allow\"}} if r0 == 1"),
        "a := b\nb := c\nc := a\ndecision := {\"effect\": \"allow\"} if a".into(),
        "decision := {\"effect\": \"allow\"} if data.proctor.policy[input.name]".into(),
    ] {
        assert!(validate(&policy(&source)).is_err(), "{source}");
    }
    let bounded: Vec<String> = vec![
        // Loops.
        "count([1 | some a in input.many; some b in input.many; some c in input.many]) > 0".into(),
        "every a in input.many { every b in input.many { every c in input.many { a + b + c >= 0 } } }".into(),
        "count({[a, b] | some a in input.many; some b in input.many}) > 0".into(),
        "count([p | some p; input.many[p]; some q; input.many[q]; some r; input.many[r]]) > 0".into(),
        // Patterns: large ones do not compile, the others are linear.
        "regex.match(\"(a{100}){100}\", input.text)".into(),
        "regex.match(\"(.*a){20}$\", input.text)".into(),
        "count([1 | some a in input.many; regex.match(\"(x+x+)+y\", input.text)]) > 0".into(),
        "count([1 | some a in input.many; count(split(input.text, \"\")) > 1]) > 0".into(),
        "count([1 | some a in input.many; count(sort(input.many)) > 1]) > 0".into(),
    ];
    let input =
        Value::from(json!({"many": (0..2000).collect::<Vec<_>>(), "text": "x".repeat(60_000)}));
    let mut evaluator = Evaluator::new();
    for body in bounded {
        let source = format!("decision := {{\"effect\": \"allow\"}} if {{ {body} }}");
        let Ok(compiled) = CompiledPolicy::compile(&policy(&source)) else {
            continue;
        };
        // 5 ms in a release build on an idle machine; this one may be neither, and may stand still for a moment: what has no
        // bound takes long each time. The limit by the clock is a backstop: see there.
        let is_bounded = (0..3).any(|_| {
            let start = Instant::now();
            let result = evaluator.ask(&compiled, input.clone());
            let took = start.elapsed();
            assert!(result.is_err(), "{body}: {result:?}");
            took < Duration::from_millis(500)
        });
        assert!(is_bounded, "{body} takes long");
    }
    let good = CompiledPolicy::compile(&policy("decision := {\"effect\": \"allow\"}")).unwrap();
    assert!(evaluator.ask(&good, input).is_ok());
}

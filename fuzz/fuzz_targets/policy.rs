//! Policies from any text: compiled, or refused with a reason, in bounded time and stack; and what compiles says the same
//! each time it is asked the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proctor_engine::Evaluator;
use proctor_engine::policy::CompiledPolicy;
use proctor_model::Reason;
use proctor_model::config::{Policy, PolicyMode, RegoModule};

fuzz_target!(|source: &str| {
    let policy = Policy {
        id: "fuzz".parse().expect("an id"),
        version: 1,
        mode: PolicyMode::Enforce,
        modules: vec![RegoModule {
            name: "fuzz.rego".into(),
            source: format!("package proctor.policy\n{source}"),
        }],
        data: serde_json::json!({"most": 5, "names": ["a", "b"]}),
    };
    let Ok(compiled) = CompiledPolicy::compile(&policy) else {
        return;
    };
    let input = serde_json::json!({
        "tool": {"name": "send", "server": "mail"}, "args": {"to": "a", "n": 3, "list": [1, "2"]},
    });
    let ask = || Evaluator::new().ask(&compiled, input.clone().into());
    let (first, second) = (ask(), ask());
    // Only the clock may tell one from the other.
    if [&first, &second]
        .iter()
        .all(|said| !matches!(said, Err(Reason::PolicyTimeout)))
    {
        assert_eq!(first, second);
    }
});

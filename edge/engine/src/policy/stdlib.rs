//! The standard library: Rego modules that ship with Proctor, with their tests. They hold to plain Rego v1, so
//! that the reference OPA runs them too.

use proctor_model::config::{Policy, PolicyMode, RegoModule};

macro_rules! modules {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../policies/", $name)))),+]
    };
}

const MODULES: &[(&str, &str)] = modules![
    "baseline.rego",
    "pointers.rego",
    "destructive.rego",
    "thresholds.rego",
    "destinations.rego",
    "hours.rego",
    "limits.rego",
    "memory.rego",
    "origins.rego",
    "sequence.rego",
    "mass.rego",
    "response.rego",
];

const TESTS: &[(&str, &str)] = modules![
    "baseline_test.rego",
    "destructive_test.rego",
    "thresholds_test.rego",
    "destinations_test.rego",
    "hours_test.rego",
    "limits_test.rego",
    "memory_test.rego",
    "origins_test.rego",
    "sequence_test.rego",
    "mass_test.rego",
    "response_test.rego",
];

fn owned(modules: &[(&str, &str)]) -> Vec<RegoModule> {
    modules
        .iter()
        .map(|(name, source)| RegoModule {
            name: (*name).to_owned(),
            source: (*source).to_owned(),
        })
        .collect()
}

/// The library's modules. `baseline.rego` has the decision; each of the others adds grounds for a refusal, and
/// those that need settings are silent without them.
#[must_use]
pub fn modules() -> Vec<RegoModule> {
    owned(MODULES)
}

/// The library's tests.
#[must_use]
pub fn test_modules() -> Vec<RegoModule> {
    owned(TESTS)
}

/// The policy that a new tenant starts with: the whole library, without settings.
#[must_use]
pub fn baseline() -> Policy {
    #[expect(
        clippy::expect_used,
        reason = "a constant within a policy id's alphabet"
    )]
    let id = "baseline".parse().expect("a policy id");
    Policy {
        id,
        version: 1,
        mode: PolicyMode::Enforce,
        modules: modules(),
        data: serde_json::json!({}),
    }
}

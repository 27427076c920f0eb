//! Running a policy's own tests: rules named `test_*`, as `opa test` does.

use super::compile::{PolicyProblem, data_document, engine_with};
use proctor_model::config::RegoModule;
use regorus::utils::limits::ExecutionTimerConfig;
use std::num::NonZeroU32;
use std::time::Duration;

/// How one test went.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct TestOutcome {
    /// Its full name (`data.proctor.policy_test.test_denies`).
    pub name: String,
    /// Whether it is true.
    pub passed: bool,
    /// The error, if it ended with one.
    pub error: Option<String>,
}

/// Runs all `test_*` rules of these modules, in order of their names. (With the interpreter, which knows
/// `with`; the machine that decides calls is held against it in this crate's tests.)
///
/// # Errors
/// If the modules do not compile.
pub fn run_tests(
    modules: &[RegoModule],
    data: &serde_json::Value,
) -> Result<Vec<TestOutcome>, PolicyProblem> {
    let modules: Vec<_> = modules.iter().collect();
    let mut engine = engine_with(&modules, data_document(data)?)?;
    engine.set_execution_timer_config(ExecutionTimerConfig {
        limit: Duration::from_secs(1),
        check_interval: NonZeroU32::new(16).unwrap_or(NonZeroU32::MIN),
    });
    let compiled = engine
        .compile_with_entrypoint(&super::ENTRY_POINT.into())
        .map_err(|error| PolicyProblem::from_text(&error.to_string()))?;
    let is_test = |name: &&String| {
        name.rsplit('.')
            .next()
            .is_some_and(|n| n.starts_with("test_"))
    };
    let mut names: Vec<String> = compiled
        .get_rules()
        .keys()
        .filter(is_test)
        .cloned()
        .collect();
    names.sort();
    let run = |name: String| match engine.eval_rule(name.clone()) {
        Ok(value) => TestOutcome {
            name,
            passed: value == regorus::Value::Bool(true),
            error: None,
        },
        Err(error) => TestOutcome {
            name,
            passed: false,
            error: Some(PolicyProblem::from_text(&error.to_string()).message),
        },
    };
    Ok(names.into_iter().map(run).collect())
}

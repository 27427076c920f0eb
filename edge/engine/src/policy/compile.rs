//! From Rego source to a program, with everything refused that can be refused before a call is decided.

use super::builtins;
use super::{ENTRY_POINT, flow, harden, phase, shape, specialise};
use crate::limits::{
    MODULE_BYTES_MAX, MODULES_MAX, POLICIES_MAX, POLICY_DATA_BYTES_MAX, POLICY_PARSE_COST_MAX,
};
use crate::world::TenantProblem;
use proctor_model::PolicyId;
use proctor_model::config::{Policy, PolicyMode, RegoModule};
use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::Instruction;
use regorus::rvm::program::Program;
use regorus::{Engine, Value};
use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;

/// Where a policy is wrong. For its author: it may quote names of the policy, never its input.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error, serde::Serialize)]
#[error("{module}:{line}:{col}: {message}")]
pub struct PolicyProblem {
    /// The module's name, or empty if it is about the policy as a whole.
    pub module: String,
    /// Line, from 1; 0 if unknown.
    pub line: u32,
    /// Column, from 1; 0 if unknown.
    pub col: u32,
    /// What is wrong.
    pub message: String,
}

impl PolicyProblem {
    pub(super) fn whole(message: impl Into<String>) -> Self {
        Self {
            module: String::new(),
            line: 0,
            col: 0,
            message: message.into(),
        }
    }

    /// At the source of an instruction.
    fn at(program: &Program, instruction: Option<usize>, message: String) -> Self {
        let place = instruction.and_then(|instruction| {
            let span = program.get_instruction_span(instruction)?;
            Some(Self {
                module: program.get_source_name(span.source_index)?.to_owned(),
                line: u32::try_from(span.line).ok()?,
                col: u32::try_from(span.column).ok()?,
                message: message.clone(),
            })
        });
        place.unwrap_or_else(|| Self::whole(message))
    }

    /// From the text of a regorus error: `--> file:line:col`, the source line, `error: message`.
    pub(super) fn from_text(text: &str) -> Self {
        let place = text
            .lines()
            .find_map(|line| line.strip_prefix("--> "))
            .and_then(|place| {
                let (rest, col) = place.rsplit_once(':')?;
                let (file, line) = rest.rsplit_once(':')?;
                Some((file.to_owned(), line.parse().ok()?, col.parse().ok()?))
            });
        let mut lines = text
            .lines()
            .map(|line| line.trim_start_matches("error: ").trim());
        let is_message = |line: &&str| {
            let noise = line.is_empty() || line.starts_with("--> ") || line.ends_with("error:");
            !noise && !line.starts_with('|') && !line.starts_with(|c: char| c.is_ascii_digit())
        };
        let message = lines.rfind(is_message).unwrap_or("not valid Rego");
        let (module, line, col) = place.unwrap_or_default();
        Self {
            module,
            line,
            col,
            message: message.chars().take(400).collect(),
        }
    }
}

/// A policy ready to run.
#[derive(Debug)]
pub struct CompiledPolicy {
    pub(super) id: PolicyId,
    pub(super) version: u32,
    pub(super) mode: PolicyMode,
    pub(super) program: Arc<Program>,
    pub(super) policy: regorus::CompiledPolicy,
    pub(super) data: Value,
    /// Every string that its author wrote: the reasons it may give.
    pub(super) literals: BTreeSet<Box<str>>,
    /// Whether it may tell the response phase from the request phase.
    pub(super) sees_answers: bool,
}

/// The active policies of a tenant.
#[derive(Debug, Default)]
pub struct CompiledPolicySet {
    pub(super) policies: Vec<CompiledPolicy>,
    digest: String,
}

impl CompiledPolicySet {
    pub(crate) fn compile(policies: &[Policy]) -> Result<Self, TenantProblem> {
        let problem = |policy: &str, problem| TenantProblem::Policy {
            policy: policy.to_owned(),
            problem,
        };
        if policies.len() > POLICIES_MAX {
            let whole = PolicyProblem::whole(format!("at most {POLICIES_MAX} active policies"));
            return Err(problem("", whole));
        }
        let compile = |policy: &Policy| {
            CompiledPolicy::compile(policy).map_err(|error| problem(policy.id.as_str(), error))
        };
        Ok(Self {
            policies: policies.iter().map(compile).collect::<Result<_, _>>()?,
            digest: proctor_model::audit::digest_of(&policies),
        })
    }

    /// `sha256:` and hex digits: over ids, versions, modes, modules and data of all of them.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// Whether a policy may be activated.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn validate(policy: &Policy) -> Result<(), PolicyProblem> {
    CompiledPolicy::compile(policy).map(|_| ())
}

impl CompiledPolicy {
    /// Compiles a policy. Test modules (`*_test.rego`) are left out.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn compile(policy: &Policy) -> Result<Self, PolicyProblem> {
        let mut whole = Self::whole(policy)?;
        specialise::specialise(Arc::make_mut(&mut whole.program), &whole.data);
        Ok(whole)
    }

    /// Compiles a policy with all of its rules, those too that can't hold with its settings.
    pub(super) fn whole(policy: &Policy) -> Result<Self, PolicyProblem> {
        let modules: Vec<_> = policy.modules.iter().filter(|m| !is_test(m)).collect();
        let data = data_document(&policy.data)?;
        let mut engine = engine_with(&modules, data.clone())?;
        let compiled = engine
            .compile_with_entrypoint(&ENTRY_POINT.into())
            .map_err(|error| match error.to_string() {
                text if text == "not a valid rule path" => {
                    PolicyProblem::whole("no rule 'decision' in package proctor.policy")
                }
                text => PolicyProblem::from_text(&text),
            })?;
        let program = Compiler::compile_from_policy(&compiled, &[ENTRY_POINT])
            .map_err(|error| PolicyProblem::from_text(&format!("{error:#}")))?;
        program.validate_limits().map_err(PolicyProblem::whole)?;
        check_builtins(&program)?;
        flow::check(&program)?;
        let program = Arc::new(harden::harden(&program)?);
        Ok(Self {
            id: policy.id.clone(),
            version: policy.version,
            mode: policy.mode,
            literals: literals(&program),
            sees_answers: modules.iter().any(|module| phase::shows(&module.source)),
            program,
            policy: compiled,
            data,
        })
    }
}

/// Whether a module holds tests.
pub(super) fn is_test(module: &RegoModule) -> bool {
    module.name.ends_with("_test.rego")
}

/// `data` of a policy: its data document under `settings`.
pub(super) fn data_document(data: &serde_json::Value) -> Result<Value, PolicyProblem> {
    let data = match data {
        serde_json::Value::Null => serde_json::json!({}),
        serde_json::Value::Object(_) => data.clone(),
        _ => return Err(PolicyProblem::whole("data: a JSON object")),
    };
    if data.to_string().len() > POLICY_DATA_BYTES_MAX {
        return Err(PolicyProblem::whole("data: too large"));
    }
    Ok(Value::from(serde_json::json!({ "settings": data })))
}

/// An engine with these modules, checked for size and package.
pub(super) fn engine_with(modules: &[&RegoModule], data: Value) -> Result<Engine, PolicyProblem> {
    if modules.is_empty() || modules.len() > MODULES_MAX {
        return Err(PolicyProblem::whole(format!("1 to {MODULES_MAX} modules")));
    }
    let mut engine = Engine::new();
    engine.set_rego_v0(false);
    engine.set_strict_builtin_errors(true);
    engine.set_policy_length_config(regorus::PolicyLengthConfig {
        max_col: NonZeroU32::new(1024).unwrap_or(NonZeroU32::MIN),
        max_file_bytes: NonZeroUsize::new(MODULE_BYTES_MAX).unwrap_or(NonZeroUsize::MIN),
        max_lines: NonZeroUsize::new(4096).unwrap_or(NonZeroUsize::MIN),
    });
    let mut costs = 0_u64;
    for module in modules {
        let at = |message: String| PolicyProblem {
            module: module.name.clone(),
            ..PolicyProblem::whole(message)
        };
        if module.source.len() > MODULE_BYTES_MAX {
            return Err(at(format!("a module is at most {MODULE_BYTES_MAX} bytes")));
        }
        let cost = shape::cost(&module.source).map_err(|problem| at(problem.into()))?;
        // Who runs tests waits for them himself.
        if !is_test(module) {
            costs = costs.saturating_add(cost);
        }
        if costs > POLICY_PARSE_COST_MAX {
            return Err(at("too many brackets within brackets".into()));
        }
        let package = engine
            .add_policy(module.name.clone(), module.source.clone())
            .map_err(|error| PolicyProblem::from_text(&error.to_string()))?;
        let ours = package
            .strip_prefix("data.proctor.policy")
            .is_some_and(|rest| match is_test(module) {
                true => rest.is_empty() || rest.starts_with(['.', '_']),
                false => rest.is_empty() || rest.starts_with('.'),
            });
        if !ours {
            return Err(at("the package is proctor.policy or below".into()));
        }
    }
    engine
        .add_data(data)
        .map_err(|error| PolicyProblem::from_text(&error.to_string()))?;
    Ok(engine)
}

/// Built-ins that are not on the list are refused.
fn check_builtins(program: &Program) -> Result<(), PolicyProblem> {
    if program.has_host_await {
        return Err(PolicyProblem::whole("host calls are not allowed"));
    }
    let calls = |instruction: &Instruction, index: usize| match *instruction {
        Instruction::BuiltinCall { params_index } => program
            .instruction_data
            .get_builtin_call_params(params_index)
            .is_some_and(|params| usize::from(params.builtin_index) == index),
        _ => false,
    };
    for (index, builtin) in program.builtin_info_table.iter().enumerate() {
        if builtins::cost(&builtin.name).is_none() {
            let message = format!("the built-in {} is not allowed here", builtin.name);
            let call = program.instructions.iter().position(|i| calls(i, index));
            return Err(PolicyProblem::at(program, call, message));
        }
    }
    Ok(())
}

fn literals(program: &Program) -> BTreeSet<Box<str>> {
    let mut found = BTreeSet::new();
    let mut pending: Vec<&Value> = program.literals.iter().collect();
    while let Some(value) = pending.pop() {
        match value {
            Value::String(text) => {
                found.insert(Box::from(&**text));
            }
            Value::Array(elements) => pending.extend(elements.iter()),
            Value::Set(elements) => pending.extend(elements.iter()),
            Value::Object(members) => {
                pending.extend(members.iter().flat_map(|(key, value)| [key, value]));
            }
            _ => {}
        }
    }
    found
}

//! Running policies. One evaluator per worker: it keeps a warm machine for each policy it has seen.

use super::ENTRY_POINT;
use super::compile::CompiledPolicy;
use super::harden;
use super::verdict::{Ask, Effect, PolicyDecision};
use super::view::Subject;
use crate::decision::Redact;
use crate::limits::{EVALUATOR_MACHINES_MAX, POLICY_INSTRUCTIONS_MAX, POLICY_TIME_US_MAX};
use crate::world::World;
use proctor_model::Reason;
use proctor_model::audit::EventPolicy;
use proctor_model::config::PolicyMode;
use regorus::Value;
use regorus::rvm::vm::{RegoVM, VmError};
use regorus::utils::limits::ExecutionTimerConfig;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Runs policies for one worker.
#[derive(Default)]
pub struct Evaluator {
    /// By the program's address; each machine keeps its program alive, so that no address is used twice.
    machines: HashMap<usize, RegoVM>,
}

impl std::fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Evaluator({} machines)", self.machines.len())
    }
}

/// What all policies together say about a call.
#[derive(Debug, Default)]
pub struct Judgement {
    /// The refusal of the first enforcing policy that doesn't allow, with its reasons.
    pub refusal: Option<(Reason, Option<String>)>,
    /// The least of the policies' limits on the answer, in bytes.
    pub bytes_max: Option<u64>,
    /// The least of the policies' limits on its rows.
    pub rows_max: Option<u64>,
    /// The least of the policies' limits on the tokens of a model's answer.
    pub tokens_max: Option<u64>,
    /// JSON Pointers to what is to be taken out.
    pub redact: Vec<String>,
    /// Classes of content, and groups of them, that are to be taken out.
    pub redact_classes: Vec<String>,
    /// The same, of those policies alone that are not asked again when the answer is there: they say the same of it.
    pub lasting: Redact,
    /// What the enforcing policies ask a person for.
    pub(crate) asks: Vec<Ask>,
    /// What each policy said, for audit.
    pub events: Vec<EventPolicy>,
    /// Whether a policy in monitor mode would have refused.
    pub monitored: bool,
}

impl Evaluator {
    /// An evaluator without machines.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks every policy of the world's tenant. All are asked, so that audit shows all of them.
    #[must_use]
    pub fn judge(&mut self, subject: &Subject<'_>, world: &World<'_>) -> Judgement {
        let history = world.read.history.policy_view.clone();
        self.judge_after(history, subject, world)
    }

    /// The same, where the session is to have done something else than it has.
    pub(crate) fn judge_after(
        &mut self,
        history: Value,
        subject: &Subject<'_>,
        world: &World<'_>,
    ) -> Judgement {
        let policies = &world.tenant.policies().policies;
        let mut judgement = Judgement::default();
        if !policies
            .iter()
            .any(|policy| policy.mode == PolicyMode::Enforce)
        {
            // Monitoring alone is no policy: something has to say yes.
            judgement.refusal = Some((Reason::PolicyMissing, None));
        }
        let input = subject.input_after(history, world);
        for policy in policies {
            let said = self.ask(policy, input.clone());
            judgement.add(policy, said);
        }
        judgement
    }

    /// Asks every policy that may say something else about an answer than it said about the call: one that looks at
    /// none of `input.phase`, `input.result` and `input.memory` can't tell them apart, and has been asked: what it wants taken out is
    /// in the permit, as its limits are.
    #[must_use]
    pub fn judge_answer(&mut self, subject: &Subject<'_>, world: &World<'_>) -> Judgement {
        let mut judgement = Judgement::default();
        let policies = world.tenant.policies().policies.iter();
        let mut asked = policies.filter(|policy| policy.sees_answers).peekable();
        if asked.peek().is_some() {
            let input = subject.input(world);
            for policy in asked {
                let said = self.ask(policy, input.clone());
                judgement.add(policy, said);
            }
        }
        judgement
    }

    /// One policy's decision about one input.
    ///
    /// # Errors
    /// [`Reason::PolicyError`] or [`Reason::PolicyTimeout`].
    pub fn ask(&mut self, policy: &CompiledPolicy, input: Value) -> Result<PolicyDecision, Reason> {
        let key = Arc::as_ptr(&policy.program).addr();
        if !self.machines.contains_key(&key) && self.machines.len() >= EVALUATOR_MACHINES_MAX {
            self.machines.clear(); // Old configurations pile up slowly; starting over costs microseconds.
        }
        let machine = match self.machines.entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => entry.insert(machine(policy)?),
        };
        machine.set_input(input);
        harden::start();
        let result = machine
            .execute_entry_point_by_name(ENTRY_POINT)
            .map_err(|error| reason(&error))
            .and_then(|value| PolicyDecision::read(&value, policy));
        if result.is_err() {
            self.machines.remove(&key); // Whatever state the error left behind goes with it.
        }
        result
    }
}

fn machine(policy: &CompiledPolicy) -> Result<RegoVM, Reason> {
    let mut machine = RegoVM::new_with_policy(policy.policy.clone());
    machine.set_max_instructions(POLICY_INSTRUCTIONS_MAX);
    machine.set_strict_builtin_errors(true);
    machine.set_execution_timer_config(Some(ExecutionTimerConfig {
        limit: Duration::from_micros(POLICY_TIME_US_MAX),
        check_interval: NonZeroU32::new(32).unwrap_or(NonZeroU32::MIN),
    }));
    machine.load_program(Arc::clone(&policy.program));
    machine
        .set_data(policy.data.clone())
        .map_err(|_| Reason::PolicyError)?;
    Ok(machine)
}

fn reason(error: &VmError) -> Reason {
    match error {
        VmError::InstructionLimitExceeded { .. }
        | VmError::TimeLimitExceeded { .. }
        | VmError::MemoryLimitExceeded { .. }
        | VmError::MemoryBudgetExceeded { .. } => Reason::PolicyTimeout,
        _ => Reason::PolicyError,
    }
}

/// The lower of two limits, either of which may be absent.
fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

impl Judgement {
    fn add(&mut self, policy: &CompiledPolicy, said: Result<PolicyDecision, Reason>) {
        if let (PolicyMode::Enforce, Ok(decision)) = (policy.mode, &said) {
            self.asks.extend(decision.asks(&policy.id));
        }
        let (effect, rules, limits, redact, refusal) = match said {
            Err(reason) => (
                "error",
                Vec::new(),
                [None; 3],
                Default::default(),
                Some(reason),
            ),
            Ok(decision) => {
                let refusal = match decision.effect {
                    Effect::Deny => Some(Reason::PolicyDenied),
                    Effect::Escalate => Some(Reason::ApprovalRequired),
                    Effect::Defer => Some(Reason::PolicyDeferred),
                    Effect::Allow | Effect::Modify => None,
                };
                let effect = decision.effect.as_str();
                let limits = [decision.bytes_max, decision.rows_max, decision.tokens_max];
                let redact = (decision.redact, decision.redact_classes);
                (effect, decision.reasons, limits, redact, refusal)
            }
        };
        match policy.mode {
            PolicyMode::Monitor => self.monitored |= refusal.is_some(),
            PolicyMode::Enforce => {
                self.refuse(refusal, &rules);
                let [bytes, rows, tokens] = limits;
                self.bytes_max = least(self.bytes_max, bytes);
                self.rows_max = least(self.rows_max, rows);
                self.tokens_max = least(self.tokens_max, tokens);
                let (pointers, classes) = redact;
                if !policy.sees_answers {
                    self.lasting.pointers.extend_from_slice(&pointers);
                    self.lasting.classes.extend_from_slice(&classes);
                }
                self.redact.extend(pointers);
                self.redact_classes.extend(classes);
            }
        }
        self.events.push(EventPolicy {
            id: policy.id.to_string(),
            version: policy.version,
            mode: policy.mode,
            effect: effect.to_owned(),
            rules,
        });
    }

    /// A denial outweighs a wish to wait, and that an escalation: what one policy forbids, or not yet allows, no person may
    /// approve for another.
    fn refuse(&mut self, refusal: Option<Reason>, rules: &[String]) {
        let weight = |reason: Reason| match reason {
            Reason::ApprovalRequired => 1,
            Reason::PolicyDeferred => 2,
            _ => 3,
        };
        let before = self
            .refusal
            .as_ref()
            .map_or(0, |(reason, _)| weight(*reason));
        if let Some(reason) = refusal.filter(|reason| weight(*reason) > before) {
            let detail = (!rules.is_empty()).then(|| rules.join(", "));
            self.refusal = Some((reason, detail));
        }
    }
}

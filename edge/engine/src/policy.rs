//! Rego policies (contracts.md, section 6), compiled to regorus' register machine once per configuration.
//!
//! Each policy is compiled by itself; all that are in `enforce` mode have to allow a call. A policy that errs, is
//! undefined, says something malformed, runs too long or asks for what can't be enforced refuses the call: it
//! never counts as absent.
//!
//! The machine by itself takes an error inside a rule for "this rule does not hold", so that a ground for refusal
//! would vanish with the error. Each program is therefore rewritten before it runs (`harden`): an error anywhere
//! ends the evaluation.
//!
//! Policies are written by tenants, so they are bounded: size of source and data, an allow-list of built-ins,
//! instructions and time per decision (see [`limits`](crate::limits)).

mod builtins;
mod compile;
mod evaluator;
mod flow;

mod harden;
mod phase;
mod shape;
mod specialise;
pub mod stdlib;
mod suite;
mod verdict;
mod view;

pub use compile::{CompiledPolicy, CompiledPolicySet, PolicyProblem, validate};
pub use evaluator::{Evaluator, Judgement};
pub use suite::{TestOutcome, run_tests};
pub(crate) use verdict::Ask;
pub use verdict::{Effect, PolicyDecision};
pub use view::{ResultView, Subject};
pub(crate) use view::{history_view, intent_view, token_view, tool_view, view_call, view_reads};

/// The rule that each policy has to define.
pub const ENTRY_POINT: &str = "data.proctor.policy.decision";

#[cfg(test)]
mod tests;

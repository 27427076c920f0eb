//! One control's part in judging a call or what came back for it: its verdict and its time.

use crate::world::World;
use proctor_model::audit::EventVerdict;
use proctor_model::{Control, Reason};
use std::collections::BTreeMap;

/// How one control judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It let the call pass.
    Passed,
    /// It asks for a person.
    Escalated,
    /// It refused the call.
    Refused(Reason),
}

/// One control's part in a decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// The control.
    pub control: Control,
    /// How it judged.
    pub verdict: Verdict,
    /// How long it took, in microseconds of the world's stopwatch.
    pub took_us: u64,
}

/// Why a control refuses: the reason, and where it failed (no values).
pub(crate) struct No(pub(crate) Reason, pub(crate) Option<String>);

impl From<Reason> for No {
    fn from(reason: Reason) -> Self {
        Self(reason, None)
    }
}

/// What keeps the steps that were taken.
pub(crate) trait Steps {
    fn steps(&mut self) -> &mut Vec<Step>;
}

/// Runs one control and notes its verdict and its time.
pub(crate) fn step<S: Steps, T>(
    noted: &mut S,
    world: &World<'_>,
    control: Control,
    judge: impl FnOnce(&mut S) -> Result<T, No>,
) -> Result<T, No> {
    let start = (world.stopwatch)();
    let result = judge(noted);
    noted.steps().push(Step {
        control,
        verdict: match &result {
            Ok(_) => Verdict::Passed,
            Err(No(reason, _)) => Verdict::Refused(*reason),
        },
        took_us: (world.stopwatch)().saturating_sub(start),
    });
    result
}

/// Microseconds by control, for `timings_us` of an audit event.
pub(crate) fn timings_us(steps: &[Step]) -> BTreeMap<String, u64> {
    let mut timings = BTreeMap::new();
    for step in steps {
        let sum: &mut u64 = timings.entry(step.control.as_str().to_owned()).or_default();
        *sum = sum.saturating_add(step.took_us);
    }
    timings
}

/// How each control judged, for `verdicts` of an audit event: of one that judged more than once, the strictest.
pub(crate) fn verdicts(steps: &[Step]) -> BTreeMap<String, EventVerdict> {
    let mut verdicts = BTreeMap::new();
    for step in steps {
        let verdict = match step.verdict {
            Verdict::Passed => EventVerdict::Passed,
            Verdict::Escalated => EventVerdict::Escalated,
            Verdict::Refused(_) => EventVerdict::Refused,
        };
        let strictest = verdicts
            .entry(step.control.as_str().to_owned())
            .or_insert(verdict);
        *strictest = verdict.max(*strictest);
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_control_that_judged_twice_the_stricter_verdict_is_recorded() {
        let step = |control, verdict| Step {
            control,
            verdict,
            took_us: 1,
        };
        let verdicts = verdicts(&[
            step(Control::Capability, Verdict::Passed),
            step(Control::Capability, Verdict::Passed),
            step(Control::Intent, Verdict::Escalated),
            step(Control::Policy, Verdict::Refused(Reason::PolicyDenied)),
            step(Control::Policy, Verdict::Passed),
        ]);
        let expected = [
            ("capability", EventVerdict::Passed),
            ("intent", EventVerdict::Escalated),
            ("policy", EventVerdict::Refused),
        ];
        let expected = expected.map(|(control, verdict)| (control.to_owned(), verdict));
        assert_eq!(verdicts, BTreeMap::from(expected));
    }
}

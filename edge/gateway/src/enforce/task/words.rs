//! What a task says of itself, beside what comes of it. Where that has too many rows by now, or a policy denies it, it is not
//! passed on, and neither its state nor what comes of it is lost with it.

use super::of_task;
use crate::enforce::Gateway;
use crate::enforce::answer::Ended;
use crate::enforce::dialogue::Exchange;
use crate::upstream::talk::Said;
use crate::upstream::task;
use proctor_engine::{Channel, Findings, Release, Withhold};
use proctor_model::Reason;
use serde_json::{Map, Value};

/// The words of a task, judged.
pub(in crate::enforce) struct Words {
    /// What is passed on.
    pub(in crate::enforce) said: Box<Release>,
    /// What its server said, if nothing of it is.
    left_out: Option<Box<Withhold>>,
}

impl Words {
    /// For audit.
    pub(super) fn findings(&self) -> Findings {
        let mut findings = self.said.findings().clone();
        if let Some(withheld) = &self.left_out {
            add(&mut findings, &withheld.findings);
        }
        findings
    }

    /// For audit, where something else came with them: adds to what was found in that.
    pub(super) fn add_to(&self, findings: &mut Findings) {
        add(findings, &self.findings());
    }
}

impl From<Box<Release>> for Words {
    fn from(said: Box<Release>) -> Self {
        let left_out = None;
        Self { said, left_out }
    }
}

impl Gateway {
    /// Judges the words that come with a state.
    pub(super) async fn words(
        &self,
        exchange: &Exchange<'_>,
        said: Map<String, Value>,
        bytes: u64,
    ) -> Result<Words, Ended> {
        let withheld = match self.judged(exchange, of_task(said, bytes)).await {
            Ended::Released(said) => return Ok(said.into()),
            Ended::Withheld(withheld) if are_left_out(withheld.reason) => withheld,
            ended => return Err(ended),
        };
        let reason = withheld.reason;
        metrics::counter!("proctor_edge_words_withheld_total", "reason" => reason.code())
            .increment(1);
        match self.judged(exchange, of_task(Map::new(), bytes)).await {
            Ended::Released(said) => Ok(Words {
                said,
                left_out: Some(withheld),
            }),
            Ended::Withheld(mut nothing) => {
                add(&mut nothing.findings, &withheld.findings);
                Err(Ended::Withheld(nothing))
            }
            ended => Err(ended),
        }
    }

    /// The same of what a server tells while its answer is waited for: what of that is heard; none if not even the state may be.
    pub(super) fn words_told(
        &self,
        exchange: &Exchange<'_>,
        said: Map<String, Value>,
    ) -> Option<Map<String, Value>> {
        let heard = match self.heard(exchange, Channel::Task, said) {
            Err(reason) if are_left_out(reason) => self.heard(exchange, Channel::Task, Map::new()),
            heard => heard,
        };
        heard.ok()
    }

    /// A server tells of a task: passed on if it is the one that is asked after.
    pub(in crate::enforce) fn status(
        &self,
        exchange: &Exchange<'_>,
        params: Map<String, Value>,
    ) -> Option<Said> {
        let (task, _) = exchange.task?;
        let told = task::read(params).ok()?;
        if told.state.id != task.upstream_id {
            return None;
        }
        task.note(&told.state);
        let said = self.words_told(exchange, told.said)?;
        let mut params = told.state.legacy(&task.id);
        params.extend(said);
        Some(Said {
            method: task::STATUS.to_owned(),
            params,
        })
    }
}

/// Whether a task goes on without words that are withheld for this. A ceiling may be written as a policy that withholds.
fn are_left_out(reason: Reason) -> bool {
    matches!(reason, Reason::OutputTooManyRows | Reason::PolicyDenied)
}

/// What was found in another part of what a server says of a task. What a policy says of both is noted once.
fn add(findings: &mut Findings, more: &Findings) {
    findings.content.extend(more.content.iter().cloned());
    for policy in &more.policies {
        if !findings.policies.contains(policy) {
            findings.policies.push(policy.clone());
        }
    }
    findings.monitored |= more.monitored;
    findings.steps.extend_from_slice(&more.steps);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_engine::{Step, Verdict};
    use proctor_model::Control;
    use proctor_model::audit::{EventPolicy, EventVerdict};
    use proctor_model::config::PolicyMode;
    use proctor_model::content::{ContentAction, ContentFinding, Direction};

    fn found(policies: &[(&str, &str)], verdict: Verdict) -> Findings {
        let policies = policies.iter().map(|(id, effect)| EventPolicy {
            effect: (*effect).to_owned(),
            id: (*id).to_owned(),
            mode: PolicyMode::Enforce,
            rules: Vec::new(),
            version: 1,
        });
        let step = Step {
            control: Control::Policy,
            verdict,
            took_us: 2,
        };
        Findings {
            policies: policies.collect(),
            steps: vec![step],
            ..Findings::of(&of_task(Map::new(), 7))
        }
    }

    #[test]
    fn what_was_left_out_is_found_beside_what_was_not() {
        let mut findings = found(&[("all", "allow"), ("rows", "allow")], Verdict::Passed);
        let refused = Verdict::Refused(Reason::PolicyDenied);
        let mut more = found(&[("all", "allow"), ("rows", "deny")], refused);
        more.content = vec![ContentFinding {
            action: ContentAction::Count,
            class: "email".to_owned(),
            count: 3,
            direction: Direction::Inbound,
        }];
        add(&mut findings, &more);
        let said = findings.policies.iter();
        let said: Vec<_> = said
            .map(|one| (one.id.as_str(), one.effect.as_str()))
            .collect();
        let expected = [("all", "allow"), ("rows", "allow"), ("rows", "deny")];
        assert_eq!(said, expected);
        assert_eq!(findings.content, more.content);
        assert_eq!(findings.verdicts()["policy"], EventVerdict::Refused);
        assert_eq!(findings.timings_us()["policy"], 4);
        assert_eq!(findings.bytes, 7);
    }
}

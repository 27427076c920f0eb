//! Escalation to a person: what an approval is bound to, and the grant that lets the call through.
//!
//! An escalated call is refused with an [`Escalation`]: what an approver is asked, and the digest of everything that the
//! answer is for. When the identical call comes again with an approval, control uses the approval up and answers with a
//! signed grant; only [`Ruling::read`] makes a [`Grant`] of it, and only [`decide_granted`](crate::decide_granted) takes
//! one. It decides everything anew: a grant waves escalations through, never a refusal.

mod cause;
mod view;

pub(crate) use cause::Cause;

use crate::catalogue::Tool;
use crate::decision::{ApprovalNote, Facts};
use crate::token::VerifiedToken;
use crate::world::World;
use proctor_model::approval::{ApprovalAnswer, ApprovalOutcome};
use proctor_model::audit::digest_of;
use proctor_model::signed::Verifier;
use proctor_model::{ApprovalId, DecisionId, EdgeId, Reason, TenantId, Timestamp, ToolRef};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// An escalated call, as it goes to control. Holds values of the call: they are for the approver alone.
#[derive(Clone, PartialEq)]
pub struct Escalation {
    tool: ToolRef,
    arguments: Map<String, Value>,
    binding: String,
    covers: Vec<String>,
    question: String,
    view: Value,
    until: Timestamp,
}

impl std::fmt::Debug for Escalation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Escalation({}, {})", self.tool, self.binding)
    }
}

impl Escalation {
    /// The tool, by its full name.
    #[must_use]
    pub fn tool(&self) -> &ToolRef {
        &self.tool
    }

    /// The arguments, as they were decided on.
    #[must_use]
    pub fn arguments(&self) -> &Map<String, Value> {
        &self.arguments
    }

    /// `sha256:` and hex digits: digest over tenant, tool with its approved labels, arguments, token, intent, session
    /// and active policies. An approval of this call is good for no other.
    #[must_use]
    pub fn binding(&self) -> &str {
        &self.binding
    }

    /// The reasons that an approval has to cover, by identifier.
    #[must_use]
    pub fn covers(&self) -> &[String] {
        &self.covers
    }

    /// The question in one sentence. No value of the call.
    #[must_use]
    pub fn question(&self) -> &str {
        &self.question
    }

    /// The arguments as an approver is to see them: credentials and recognisable secrets masked, long texts cut.
    #[must_use]
    pub fn view(&self) -> &Value {
        &self.view
    }

    /// When the token or the intent is over, whichever is first.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.until
    }
}

/// Control's leave for one decision. Nothing but [`Ruling::read`] makes one, and it can't be copied:
///
/// ```compile_fail
/// fn copy(grant: &proctor_engine::Grant) -> proctor_engine::Grant {
///     grant.clone()
/// }
/// ```
/// ```compile_fail
/// fn forge(answer: proctor_model::approval::ApprovalAnswer) -> proctor_engine::Grant {
///     proctor_engine::Grant { answer }
/// }
/// ```
#[derive(Debug)]
#[must_use]
pub struct Grant {
    tenant: TenantId,
    edge: EdgeId,
    decision_id: DecisionId,
    binding: String,
    covers: Vec<String>,
    note: ApprovalNote,
}

/// What a grant was used for. The call that it let through may be interrupted by a question of its server; this lets that
/// same call go on ([`decide_continued`](crate::decide_continued)), and nothing else. Nothing but a used [`Grant`] makes one:
///
/// ```compile_fail
/// fn forge(covers: Vec<String>) -> proctor_engine::Granted {
///     proctor_engine::Granted { covers }
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Granted {
    tenant: TenantId,
    binding: String,
    covers: Vec<String>,
    note: ApprovalNote,
}

/// Why escalations do not stand in the way of a call.
pub(crate) enum Leave {
    /// An approval, used for this decision.
    Grant(Grant),
    /// An approval that was used when the call began.
    Granted(Granted),
}

/// What control said about an approval.
#[derive(Debug)]
#[must_use]
pub enum Ruling {
    /// It waits: for a person, or for the call to come again.
    Waiting(ApprovalNote),
    /// It is used up, for this decision.
    Granted(Grant),
    /// No, and why.
    Refused(Reason, Option<ApprovalNote>),
}

/// The question that an answer has to belong to.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The edge that asked.
    pub edge: &'a EdgeId,
    /// The decision that it asked for.
    pub decision_id: DecisionId,
    /// What it asked about ([`Escalation::binding`]).
    pub binding: &'a str,
}

impl Ruling {
    /// Reads a `proctor.approval+jws`.
    ///
    /// # Errors
    /// [`Reason::ApprovalUnavailable`] if the platform did not sign it, or it answers another question.
    pub fn read(text: &str, platform: &Verifier, asked: Asked<'_>) -> Result<Self, Reason> {
        let unusable = Reason::ApprovalUnavailable;
        let answer: ApprovalAnswer = platform.verify(text).map_err(|_| unusable)?;
        let ApprovalAnswer {
            tenant,
            edge,
            decision_id,
            binding,
            outcome,
            approval,
            expires_at,
            covers,
        } = answer;
        let ours = tenant == *asked.tenant
            && edge == *asked.edge
            && decision_id == asked.decision_id
            && binding == asked.binding;
        if !ours {
            return Err(unusable);
        }
        let note = approval
            .zip(expires_at)
            .map(|(id, expires_at)| ApprovalNote { id, expires_at });
        match (outcome, note) {
            (ApprovalOutcome::Waiting, Some(note)) => Ok(Self::Waiting(note)),
            (ApprovalOutcome::Granted, Some(note)) => Ok(Self::Granted(Grant {
                tenant,
                edge,
                decision_id,
                binding,
                covers,
                note,
            })),
            (ApprovalOutcome::Refused(reason), note) => Ok(Self::Refused(reason, note)),
            (ApprovalOutcome::Waiting | ApprovalOutcome::Granted, None) => Err(unusable),
        }
    }
}

impl Grant {
    /// The approval that was used.
    #[must_use]
    pub fn approval(&self) -> &ApprovalId {
        &self.note.id
    }

    /// Uses the grant for the call at hand.
    fn redeem(
        self,
        causes: &[Cause],
        binding: &str,
        facts: &Facts,
        world: &World<'_>,
    ) -> Result<Granted, Reason> {
        if self.edge != *world.edge || self.decision_id != facts.decision_id {
            return Err(Reason::ApprovalMismatch);
        }
        let granted = Granted {
            tenant: self.tenant,
            binding: self.binding,
            covers: self.covers,
            note: self.note,
        };
        granted.good_for(causes, binding, world)
    }
}

impl Granted {
    /// The approval that was used.
    #[must_use]
    pub fn approval(&self) -> &ApprovalId {
        &self.note.id
    }

    /// What it was used for ([`Escalation::binding`]).
    #[must_use]
    pub fn binding(&self) -> &str {
        &self.binding
    }

    /// Itself, if it is for this call and for all that stands in its way.
    fn good_for(self, causes: &[Cause], binding: &str, world: &World<'_>) -> Result<Self, Reason> {
        let same = self.tenant == *world.tenant.id() && self.binding == binding;
        let mut keys = causes.iter().flat_map(|cause| &cause.keys);
        if same && keys.all(|key| self.covers.contains(key)) {
            Ok(self)
        } else {
            Err(Reason::ApprovalMismatch)
        }
    }
}

/// Where a call stands that nothing but these causes is in the way of; with the grant that clears them, if one does.
pub(crate) fn settle(
    causes: &[Cause],
    leave: Option<Leave>,
    token: &VerifiedToken,
    tool: &Tool,
    arguments: &Value,
    facts: &mut Facts,
    world: &World<'_>,
) -> Result<Option<Granted>, (Reason, Option<Box<Escalation>>)> {
    if causes.is_empty() {
        return Ok(None);
    }
    let binding = binding(tool, facts, world).ok_or((Reason::Internal, None))?;
    let granted = match leave {
        None => None,
        Some(Leave::Grant(grant)) => Some(grant.redeem(causes, &binding, facts, world)),
        Some(Leave::Granted(granted)) => Some(granted.good_for(causes, &binding, world)),
    };
    if let Some(granted) = granted {
        let granted = granted.map_err(|reason| (reason, None))?;
        facts.approval = Some(granted.note.clone());
        return Ok(Some(granted));
    }
    let Some(view) = view::of(arguments, tool.entry(), causes) else {
        // Nobody approves what nobody sees.
        let first = causes.first().map(|cause| cause.reason);
        return Err((first.unwrap_or(Reason::Internal), None));
    };
    let intent_end = world.intent.map(|intent| intent.intent().expires_at);
    let escalation = Escalation {
        tool: tool.reference().clone(),
        arguments: arguments.as_object().cloned().unwrap_or_default(),
        covers: covers(causes),
        question: question(causes, tool, facts),
        view,
        until: intent_end.map_or(token.expires_at(), |end| end.min(token.expires_at())),
        binding,
    };
    Err((Reason::ApprovalRequired, Some(Box::new(escalation))))
}

/// What an approval has to cover, each once.
fn covers(causes: &[Cause]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let keys = causes.iter().flat_map(|cause| &cause.keys);
    keys.filter(|key| seen.insert(*key)).cloned().collect()
}

/// None if a part of it is missing: then it would bind to less than it says.
fn binding(tool: &Tool, facts: &Facts, world: &World<'_>) -> Option<String> {
    let args_digest = facts.args_digest.as_ref()?;
    let token_id = facts.token_id.as_ref()?;
    Some(digest_of(&json!({
        "v": "proctor.approval/1",
        "tenant": world.tenant.id(),
        "tool": tool.reference(),
        "labels": digest_of(tool.entry()),
        "args": args_digest,
        "token": token_id,
        "intent": facts.intent.as_ref().map(|intent| &intent.id),
        "session": facts.session,
        "policies": world.tenant.policies().digest(),
    })))
}

fn question(causes: &[Cause], tool: &Tool, facts: &Facts) -> String {
    let agent = std::iter::once(facts.agent.as_str())
        .chain(facts.delegation.iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join("/");
    let user = facts.user.as_ref();
    let user = user.map(|user| format!(" for {user}")).unwrap_or_default();
    let why: Vec<&str> = causes.iter().map(|cause| cause.text.as_str()).collect();
    format!(
        "{agent} wants {}{user}: {}",
        tool.reference(),
        why.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_model::signed::Signer;

    fn answer(outcome: ApprovalOutcome) -> ApprovalAnswer {
        ApprovalAnswer {
            tenant: "acme".parse().unwrap(),
            edge: "edge_1".parse().unwrap(),
            decision_id: uuid::Uuid::nil().into(),
            binding: "sha256:00".to_owned(),
            outcome,
            approval: Some("apr_1".parse().unwrap()),
            expires_at: Some(Timestamp::from_secs(1_700_000_000)),
            covers: vec!["policy:p:x".to_owned()],
        }
    }

    #[test]
    fn only_the_platforms_answer_to_this_question_counts() {
        let signer = Signer::from_seed(&[7; 32]).unwrap();
        let platform = Verifier::new([&signer.public_key()]).unwrap();
        let (tenant, edge) = ("acme".parse().unwrap(), "edge_1".parse().unwrap());
        let asked = Asked {
            tenant: &tenant,
            edge: &edge,
            decision_id: uuid::Uuid::nil().into(),
            binding: "sha256:00",
        };
        let read = |answer: &ApprovalAnswer, signer: &Signer| {
            Ruling::read(&signer.sign(answer).unwrap(), &platform, asked)
        };
        let granted = answer(ApprovalOutcome::Granted);
        assert!(matches!(read(&granted, &signer), Ok(Ruling::Granted(_))));
        let stranger = Signer::from_seed(&[8; 32]).unwrap();
        assert!(read(&granted, &stranger).is_err());
        let foreign: [fn(&mut ApprovalAnswer); 5] = [
            |answer| answer.tenant = "other".parse().unwrap(),
            |answer| answer.edge = "edge_2".parse().unwrap(),
            |answer| answer.decision_id = uuid::Uuid::max().into(),
            |answer| answer.binding = "sha256:01".to_owned(),
            |answer| answer.approval = None,
        ];
        for change in foreign {
            let mut changed = granted.clone();
            change(&mut changed);
            assert!(read(&changed, &signer).is_err(), "{changed:?}");
        }
        let waiting = read(&answer(ApprovalOutcome::Waiting), &signer);
        assert!(matches!(waiting, Ok(Ruling::Waiting(_))));
        let used = ApprovalOutcome::Refused(Reason::ApprovalUsed);
        let used = read(&answer(used), &signer);
        assert!(matches!(
            used,
            Ok(Ruling::Refused(Reason::ApprovalUsed, Some(_)))
        ));
    }
}

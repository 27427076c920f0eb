//! What comes out: a permit, or a refusal with its reason; both with the facts for audit.

use crate::approval::{Escalation, Granted};
use crate::call::Call;
use crate::memory::Writing;
use crate::step::{Step, Steps};
use crate::token::VerifiedToken;
use crate::world::CountKey;
use proctor_model::audit::{Effect, EventIntent, EventPolicy, EventTask, EventTool, EventVerdict};
use proctor_model::config::PolicyMode;
use proctor_model::content::ContentFinding;
use proctor_model::{
    AgentId, ApprovalId, Control, DecisionId, Reason, RevocationId, SessionId, TenantId, Timestamp,
    ToolRef, UserId,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The decision about one call.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// The call may be forwarded, once its event is durable.
    Permit(Box<Permit>),
    /// It may not.
    Refusal(Box<Refusal>),
}

impl Decision {
    /// The facts for audit.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        match self {
            Self::Permit(permit) => &permit.facts,
            Self::Refusal(refusal) => &refusal.facts,
        }
    }
}

/// Leave to make exactly one call. Only [`decide`](crate::decide()) and, of a task, [`follow`](crate::follow()) make one, and it can't be copied:
///
/// ```compile_fail
/// fn forge(facts: proctor_engine::Facts) -> proctor_engine::Permit {
///     proctor_engine::Permit { facts }
/// }
/// ```
/// ```compile_fail
/// fn copy(permit: &proctor_engine::Permit) -> proctor_engine::Permit {
///     permit.clone()
/// }
/// ```
/// ```compile_fail
/// fn make() -> proctor_engine::Permit {
///     Default::default()
/// }
/// ```
#[derive(Debug)]
#[must_use]
pub struct Permit {
    facts: Facts,
    tool: ToolRef,
    arguments: Map<String, Value>,
    charges: Vec<Charge>,
    limits: ResultLimits,
    redact: Redact,
    token: Arc<VerifiedToken>,
    memory: Option<Writing>,
    replies: Option<Map<String, Value>>,
    granted: Option<Granted>,
}

/// Obligation: an answer beyond these is withheld.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResultLimits {
    /// Largest size in bytes: the least of the server's limit and the policies'.
    pub bytes: u64,
    /// Most rows ([`crate::response::rows`]), if a policy says so.
    pub rows: Option<u64>,
    /// Most tokens of a model's answer, if its catalogue entry or a policy says so.
    pub tokens: Option<u64>,
}

/// Obligation: what is to be taken out of an answer, by policies that were asked about the call alone.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redact {
    /// JSON Pointers, `*` for any one step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pointers: Vec<String>,
    /// Classes of content, and groups of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
}

impl Redact {
    /// Whether there is nothing to take out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pointers.is_empty() && self.classes.is_empty()
    }

    /// This, and what policies want that were asked about the answer.
    pub(crate) fn and(&self, pointers: Vec<String>, classes: Vec<String>) -> Self {
        let mut all = self.clone();
        all.pointers.extend(pointers);
        all.classes.extend(classes);
        all
    }
}

/// Units drawn on a count. The edge draws all charges of a permit at once, before it records it; if one has
/// reached its ceiling in the meantime, the permit becomes a refusal ([`Permit::refuse`]).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Charge {
    /// The count.
    pub key: CountKey,
    /// From then on nothing can draw on the count, and it may be forgotten; none: never.
    pub until: Option<Timestamp>,
    /// Its ceiling: the charge is good if the count does not exceed it afterwards.
    pub most: u64,
    /// The reason if it was not.
    pub reason: Reason,
    /// Units to draw: 1 for calls.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub units: u64,
    /// Units to give back: what an earlier charge reserved and its call did not use.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub back: u64,
}

fn one() -> u64 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_one(units: &u64) -> bool {
    *units == 1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(units: &u64) -> bool {
    *units == 0
}

impl Charge {
    /// One call more on a count.
    #[must_use]
    pub fn call(key: CountKey, until: Option<Timestamp>, most: u64, reason: Reason) -> Self {
        Self {
            key,
            until,
            most,
            reason,
            units: 1,
            back: 0,
        }
    }
}

impl Permit {
    pub(crate) fn new(
        facts: Facts,
        tool: ToolRef,
        arguments: Map<String, Value>,
        charges: Vec<Charge>,
        limits: ResultLimits,
        token: Arc<VerifiedToken>,
    ) -> Self {
        Self {
            facts,
            tool,
            arguments,
            charges,
            limits,
            redact: Redact::default(),
            token,
            memory: None,
            replies: None,
            granted: None,
        }
    }

    /// With what the client answers to the questions of a task.
    pub(crate) fn replying(mut self, replies: Option<Map<String, Value>>) -> Self {
        self.replies = replies;
        self
    }

    /// What the client answers to the questions of a task: these, written anew, are what goes upstream.
    #[must_use]
    pub fn replies(&self) -> Option<&Map<String, Value>> {
        self.replies.as_ref()
    }

    /// Notes the grant that cleared what was in the way.
    pub(crate) fn granted_by(mut self, granted: Option<Granted>) -> Self {
        self.granted = granted;
        self
    }

    /// What a person's approval was used for, if it took one: with it the call may go on after a question of its server.
    #[must_use]
    pub fn granted(&self) -> Option<&Granted> {
        self.granted.as_ref()
    }

    /// Obliges the edge to take this out of the answer.
    pub(crate) fn redacting(mut self, redact: Redact) -> Self {
        self.redact = redact;
        self
    }

    /// What is to be taken out of the answer, whatever else is said of it.
    #[must_use]
    pub fn redact(&self) -> &Redact {
        &self.redact
    }

    /// Obliges the edge to sign what the call writes to memory.
    pub(crate) fn writing(mut self, memory: Option<Writing>) -> Self {
        self.memory = memory;
        self
    }

    /// Obligation: what the call writes to memory has to be signed, and durable, before it is forwarded.
    #[must_use]
    pub fn memory(&self) -> Option<&Writing> {
        self.memory.as_ref()
    }

    /// The facts for audit.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The tool that may be called.
    #[must_use]
    pub fn tool(&self) -> &ToolRef {
        &self.tool
    }

    /// The arguments that were checked. These, written anew, are what goes upstream.
    #[must_use]
    pub fn arguments(&self) -> &Map<String, Value> {
        &self.arguments
    }

    /// What to count.
    #[must_use]
    pub fn charges(&self) -> &[Charge] {
        &self.charges
    }

    /// What the answer may be.
    #[must_use]
    pub fn limits(&self) -> ResultLimits {
        self.limits
    }

    /// The token of the call.
    pub(crate) fn token(&self) -> &VerifiedToken {
        &self.token
    }

    /// The same, to be kept when the permit is gone.
    pub(crate) fn kept_token(&self) -> Arc<VerifiedToken> {
        Arc::clone(&self.token)
    }

    /// Gives the permit up: something needed after the decision failed.
    pub fn refuse(self, reason: Reason) -> Refusal {
        let mut refusal = Refusal::new(self.facts, reason);
        refusal.facts.effect = Effect::Deny;
        refusal
    }
}

/// A refused call.
#[derive(Clone, PartialEq, Debug)]
#[must_use]
pub struct Refusal {
    /// The facts for audit.
    pub facts: Facts,
    /// The reason.
    pub reason: Reason,
    /// Where it failed (`/amount: maximum`): names of the call at most, never values.
    pub detail: Option<String>,
    /// What a person is to be asked, if nothing else is in the way.
    pub escalation: Option<Box<Escalation>>,
}

impl Refusal {
    /// A refusal for a reason.
    pub fn new(facts: Facts, reason: Reason) -> Self {
        Self {
            facts,
            reason,
            detail: None,
            escalation: None,
        }
    }

    /// The control that refused.
    #[must_use]
    pub fn control(&self) -> Control {
        self.reason.control()
    }

    /// A sentence for the developer: the reason's, and where it failed.
    #[must_use]
    pub fn message(&self) -> String {
        match &self.detail {
            Some(detail) => format!("{} ({detail})", self.reason.message()),
            None => self.reason.message().to_owned(),
        }
    }
}

/// An approval of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApprovalNote {
    /// Its id.
    pub id: ApprovalId,
    /// When it expires, by control's clock.
    pub expires_at: Timestamp,
}

/// What a decision was about and how it came about, without any value of the call.
#[derive(Clone, PartialEq, Debug)]
pub struct Facts {
    /// The decision.
    pub decision_id: DecisionId,
    /// The tenant.
    pub tenant: TenantId,
    /// What was decided.
    pub effect: Effect,
    /// The agent.
    pub agent: AgentId,
    /// The user it acts for, from the intent.
    pub user: Option<UserId>,
    /// The session the token is bound to.
    pub session: Option<SessionId>,
    /// Sub-agents the token was handed on to.
    pub delegation: Vec<String>,
    /// The token.
    pub token_id: Option<RevocationId>,
    /// The intent, and the action that matched.
    pub intent: Option<EventIntent>,
    /// The tool, once it was found.
    pub tool: Option<EventTool>,
    /// Top-level names of the arguments, at most 64, each cut to 64 bytes.
    pub arg_names: Vec<String>,
    /// Keyed digest of the arguments: `hmac-sha256:` and hex.
    pub args_digest: Option<String>,
    /// Whether a policy changed the arguments: names and digest are those of what is forwarded.
    pub changed: bool,
    /// Where each text and number among the arguments was seen, by JSON Pointer (see
    /// [`provenance`](crate::provenance)).
    pub origins: BTreeMap<String, Vec<String>>,
    /// What each policy said.
    pub policies: Vec<EventPolicy>,
    /// What the content filter found in the arguments.
    pub content: Vec<ContentFinding>,
    /// `monitor` if a policy in monitor mode would have refused.
    pub mode: PolicyMode,
    /// The approval that it waits for, or that was used for it.
    pub approval: Option<ApprovalNote>,
    /// The task that is asked after, if this is no call.
    pub task: Option<EventTask>,
    /// Version of the configuration.
    pub config_version: u64,
    /// The controls that judged, in order.
    pub steps: Vec<Step>,
}

impl Facts {
    pub(crate) fn of(call: &Call, config_version: u64, digest_key: &[u8; 32]) -> Self {
        let token = &call.token;
        Self {
            decision_id: call.decision_id,
            tenant: token.tenant().clone(),
            effect: Effect::Deny,
            agent: token.agent().clone(),
            user: None,
            session: token.session().cloned(),
            delegation: token.delegation().iter().map(ToString::to_string).collect(),
            token_id: token.id().cloned(),
            intent: token.intent().map(|id| EventIntent {
                id: id.clone(),
                action: None,
            }),
            tool: None,
            arg_names: arg_names(&call.arguments),
            args_digest: args_digest(&call.arguments, digest_key),
            changed: false,
            origins: BTreeMap::new(),
            policies: Vec::new(),
            content: Vec::new(),
            mode: PolicyMode::Enforce,
            approval: None,
            task: None,
            config_version,
            steps: Vec::new(),
        }
    }

    /// Takes note of changed arguments: what is named and digested is what is forwarded.
    pub(crate) fn note_changed(&mut self, arguments: &Value, digest_key: &[u8; 32]) {
        self.changed = true;
        self.note_arguments(arguments, digest_key);
    }

    /// Takes note of what the arguments are: what is named and digested is what is decided on.
    pub(crate) fn note_arguments(&mut self, arguments: &Value, digest_key: &[u8; 32]) {
        if let Value::Object(arguments) = arguments {
            self.args_digest = args_digest(arguments, digest_key);
            self.arg_names = arg_names(arguments);
        }
    }

    /// Microseconds by control, for `timings_us` of the audit event.
    #[must_use]
    pub fn timings_us(&self) -> BTreeMap<String, u64> {
        crate::step::timings_us(&self.steps)
    }

    /// How each control judged, for `verdicts` of the audit event.
    #[must_use]
    pub fn verdicts(&self) -> BTreeMap<String, EventVerdict> {
        crate::step::verdicts(&self.steps)
    }
}

impl Steps for Facts {
    fn steps(&mut self) -> &mut Vec<Step> {
        &mut self.steps
    }
}

pub(crate) fn arg_names(arguments: &Map<String, Value>) -> Vec<String> {
    use crate::limits::{ARG_NAME_BYTES_MAX, ARG_NAMES_MAX};
    let cut = |name: &String| {
        let end = name.floor_char_boundary(ARG_NAME_BYTES_MAX);
        name.get(..end).unwrap_or_default().to_owned()
    };
    arguments.keys().take(ARG_NAMES_MAX).map(cut).collect()
}

/// `hmac-sha256:` and the hex HMAC of the arguments' canonical JSON (RFC 8785) under the tenant's digest key, so
/// that few possible values can't be tried out by a reader of the audit chain.
#[must_use]
pub fn args_digest(arguments: &Map<String, Value>, key: &[u8; 32]) -> Option<String> {
    let bytes = serde_json_canonicalizer::to_vec(arguments).ok()?;
    let tag = crate::token::keyed_digest(key, &bytes);
    Some(format!("hmac-sha256:{}", hex::encode(tag)))
}

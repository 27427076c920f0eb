//! An event in edge form.

use super::parts::{exact, exact_each, exact_if_any};
use super::{
    AuditError, Effect, EntryHash, EventAdmin, EventBudget, EventIntent, EventLane, EventPolicy,
    EventResult, EventSeal, EventTask, EventTool, EventUpstream, EventUsage, EventVerdict, Kind,
    SCHEMA, canonical,
};
use crate::config::PolicyMode;
use crate::content::ContentFinding;
use crate::ids::{
    AgentId, ApprovalId, DecisionId, EdgeId, EventId, RevocationId, SessionId, TenantId, UserId,
};
use crate::reason::{Control, Reason};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Room for an event in canonical form: most have some 700 bytes.
const EVENT_BYTES: usize = 1024;

/// An audit event in edge form.
///
/// Its members, and those of what it holds, are declared in the order of canonical JSON: most events are written in that
/// form as they stand, without being sorted.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditEvent {
    /// A change on the control plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<EventAdmin>,
    /// The agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// The approval that the call waits for, or was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<ApprovalId>,
    /// Names of the top-level arguments that the tool declares; others are counted as `+n`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arg_names: Vec<String>,
    /// HMAC-SHA256 of the canonical arguments under the tenant's digest key, `hmac:` and hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args_digest: Option<String>,
    /// Units on each budget: reserved with the authorized event, settled with its outcome.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budget: Vec<EventBudget>,
    /// Version of the tenant's config that it was decided under.
    #[serde(
        serialize_with = "exact_if_any",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub config_version: Option<u64>,
    /// What the content filter found, and did about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content: Vec<ContentFinding>,
    /// The control that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    /// The decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<DecisionId>,
    /// Sub-agents, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delegation: Vec<String>,
    /// Who made it.
    pub edge: EdgeId,
    /// Hash of the lane's previous event in edge form; zeros for the first.
    pub edge_prev: EntryHash,
    /// Number on the lane (edge, tenant), from 1.
    #[serde(serialize_with = "exact")]
    pub edge_seq: u64,
    /// What was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// Its id.
    pub event_id: EventId,
    /// The intent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<EventIntent>,
    /// What happened.
    pub kind: Kind,
    /// A lane that is not as it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<EventLane>,
    /// What it wrote to memory, or read from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<crate::memory::EventMemory>,
    /// Whether a monitoring policy would have decided otherwise (`monitor`), else absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<PolicyMode>,
    /// The event that this one completes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<EventId>,
    /// Origins of arguments, by JSON Pointer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub origins: BTreeMap<String, Vec<String>>,
    /// The policies that judged it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy: Vec<EventPolicy>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<EventResult>,
    /// A checkpoint of a tenant's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<EventSeal>,
    /// The session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The task that is asked after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<EventTask>,
    /// The tenant whose chain it belongs to.
    pub tenant: TenantId,
    /// When the edge made it.
    pub time: Timestamp,
    /// Time that each control took, in microseconds.
    #[serde(
        serialize_with = "exact_each",
        default,
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub timings_us: BTreeMap<String, u64>,
    /// The token, by the revocation id of its last prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<RevocationId>,
    /// The tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<EventTool>,
    /// W3C trace id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// What the upstream did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<EventUpstream>,
    /// What a model used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<EventUsage>,
    /// The user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// [`SCHEMA`].
    pub v: String,
    /// How each control judged that was asked; those that come after a refusal are not.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub verdicts: BTreeMap<String, EventVerdict>,
}

impl AuditEvent {
    /// An event with its identity and nothing else; the lane fields are set by whoever owns the lane.
    #[must_use]
    pub fn new(
        tenant: TenantId,
        edge: EdgeId,
        event_id: EventId,
        time: Timestamp,
        kind: Kind,
    ) -> Self {
        Self {
            v: SCHEMA.into(),
            tenant,
            event_id,
            time,
            kind,
            of: None,
            edge,
            edge_seq: 0,
            edge_prev: EntryHash::ZERO,
            decision_id: None,
            effect: None,
            control: None,
            reason: None,
            mode: None,
            agent: None,
            user: None,
            session: None,
            delegation: Vec::new(),
            token_id: None,
            intent: None,
            tool: None,
            args_digest: None,
            arg_names: Vec::new(),
            origins: BTreeMap::new(),
            policy: Vec::new(),
            content: Vec::new(),
            config_version: None,
            budget: Vec::new(),
            upstream: None,
            result: None,
            usage: None,
            approval_id: None,
            memory: None,
            task: None,
            admin: None,
            lane: None,
            sealed: None,
            trace_id: None,
            timings_us: BTreeMap::new(),
            verdicts: BTreeMap::new(),
        }
    }

    /// The canonical bytes in edge form.
    ///
    /// # Errors
    /// If it can't be written (it always can).
    pub fn to_canonical(&self) -> Result<Vec<u8>, AuditError> {
        // RFC 8785 sorts keys by UTF-16 units, a `BTreeMap` by bytes: the same for ASCII.
        let sorted = self.memory.is_none() && self.origins.keys().all(|key| key.is_ascii());
        if !sorted {
            return Ok(canonical(self)?);
        }
        let mut bytes = Vec::with_capacity(EVENT_BYTES);
        serde_json::to_writer(&mut bytes, self)?;
        debug_assert_eq!(canonical(self).ok().as_ref(), Some(&bytes));
        Ok(bytes)
    }

    /// Parses canonical bytes in edge form.
    ///
    /// # Errors
    /// If they are no event, or not canonical.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, AuditError> {
        let event: Self = serde_json::from_slice(bytes)?;
        if event.v != SCHEMA || event.to_canonical()? != bytes {
            return Err(AuditError::Form);
        }
        Ok(event)
    }
}

//! Audit events and the bytes that are hashed (contracts.md, section 7).
//!
//! An event is made by an edge (or by control) on its **lane**, one per (edge, tenant), numbered from 1 and
//! chained by hash: the *edge form*. The ledger appends it to the tenant's chain and adds `seq` and `prev`:
//! the *ledger form*. Both are JSON in RFC 8785 canonical form, both hash as an RFC 6962 leaf,
//! SHA-256(0x00 ‖ bytes), and the hashed bytes are the stored bytes.

use crate::budget::{AccountKey, Meter, Scope, Window};
use crate::catalogue::Verb;
use crate::config::PolicyMode;
use crate::content::ContentFinding;
use crate::ids::{
    AgentId, ApprovalId, DecisionId, EdgeId, EventId, IntentId, KeyId, RevocationId, ServerId,
    SessionId, TenantId, ToolName, UserId,
};
use crate::reason::{Control, Reason};
use crate::signed::{SignedError, Signer, Verifier};
use crate::time::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The schema's name, member `v` of each event.
pub const SCHEMA: &str = "proctor.audit/1";

/// SHA-256 of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// `sha256:` and the hex SHA-256 of a value's canonical JSON (RFC 8785).
#[must_use]
pub fn digest_of(value: &impl Serialize) -> String {
    // A value that can't be written can't be equal to any other either: its digest is that of nothing.
    let bytes = canonical(value).unwrap_or_default();
    format!("sha256:{}", hex::encode(sha256(&bytes)))
}

/// Canonical JSON (RFC 8785).
///
/// # Errors
/// If the value can't be written as JSON.
pub fn canonical(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    serde_json_canonicalizer::to_vec(value)
}

/// Hash of an event: SHA-256(0x00 ‖ bytes), the RFC 6962 leaf hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryHash([u8; 32]);

impl EntryHash {
    /// What the first event of a chain or lane names as its predecessor: 32 zero bytes.
    pub const ZERO: Self = Self([0; 32]);

    /// The hash of these canonical bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(
            Sha256::new()
                .chain_update([0])
                .chain_update(bytes)
                .finalize()
                .into(),
        )
    }

    /// From 32 bytes as stored.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryHash({self})")
    }
}

impl FromStr for EntryHash {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| AuditError::Form)?;
        Ok(Self(bytes))
    }
}

impl Serialize for EntryHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EntryHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What an event says happened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A call was allowed and is about to be forwarded.
    Authorized,
    /// A call was refused.
    Refused,
    /// A decision without a call was asked for (`/access/v1/evaluation`); the effect says how it went.
    Evaluated,
    /// The authorized call was answered.
    Completed,
    /// The authorized call was answered, and the answer was withheld.
    Withheld,
    /// The client went away.
    Cancelled,
    /// The upstream failed.
    Failed,
    /// The edge stopped in between: whether the tool ran isn't known.
    Unknown,
    /// A change on the control plane.
    Admin,
    /// (of the ledger) An edge's lane has a hole, or came in two versions.
    Integrity,
    /// (of the ledger, in the platform's chain) A tenant's log was sealed.
    Sealed,
}

impl Kind {
    /// Name as in the event.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authorized => "authorized",
            Self::Refused => "refused",
            Self::Evaluated => "evaluated",
            Self::Completed => "completed",
            Self::Withheld => "withheld",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Admin => "admin",
            Self::Integrity => "integrity",
            Self::Sealed => "sealed",
        }
    }

    /// Whether it closes an authorized call.
    #[must_use]
    pub fn is_outcome(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Withheld | Self::Cancelled | Self::Failed | Self::Unknown
        )
    }
}

/// What was decided.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Effect {
    Allow,
    Deny,
    Escalate,
}

/// The tool of an event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventTool {
    /// Tool server.
    pub server: ServerId,
    /// Tool.
    pub name: ToolName,
    /// Its verb, if it is in the catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verb: Option<Verb>,
}

/// One policy that judged the call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventPolicy {
    /// Policy id.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// Whether it binds.
    pub mode: PolicyMode,
    /// What it said.
    pub effect: String,
    /// Its reasons: identifiers that the policy's author wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
}

/// The intent's part of an event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventIntent {
    /// The intent.
    pub id: IntentId,
    /// Index of the action that the call matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<u32>,
}

/// A figure that came from outside, cut down to what JSON numbers hold exactly (RFC 8785, 3.2.2.3): canonical JSON rounds a
/// greater one, which nobody could read back.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn exact<S: serde::Serializer>(figure: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64((*figure).min(crate::budget::UNITS_MAX))
}

/// One account's part in a call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventBudget {
    /// Whose account.
    pub scope: Scope,
    /// Which one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// What is counted.
    pub meter: Meter,
    /// For how long.
    pub window: Window,
    /// Units reserved (authorized) or really used (outcomes).
    #[serde(serialize_with = "exact")]
    pub units: u64,
}

impl EventBudget {
    /// So many units on this account.
    #[must_use]
    pub fn new(account: &AccountKey, units: u64) -> Self {
        Self {
            scope: account.scope,
            id: account.id.clone(),
            meter: account.meter,
            window: account.window,
            units,
        }
    }
}

/// What the upstream did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventUpstream {
    /// `ok`, `tool_error`, `rpc_error`, `unreachable`, `timeout`, `invalid`.
    pub status: String,
    /// From forwarding to the end of the answer, in microseconds.
    pub latency_us: u64,
}

/// The answer, without its values.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventResult {
    /// Keyed digest of the canonical answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Its size in bytes.
    #[serde(serialize_with = "exact")]
    pub bytes: u64,
    /// Rows, where the catalogue says how to count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

/// Tokens of a model's answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventUsage {
    /// Of the prompt.
    #[serde(serialize_with = "exact")]
    pub input_tokens: u64,
    /// Of the answer.
    #[serde(serialize_with = "exact")]
    pub output_tokens: u64,
    /// Whether they were estimated, as the provider did not say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

/// A request about a call that became a task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventTask {
    /// The decision that the call was made by.
    pub of: DecisionId,
    /// `get`, `result`, `update`, `cancel`.
    pub request: String,
}

/// A change on the control plane.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventAdmin {
    /// `token.mint`, `policy.activate`, …
    pub action: String,
    /// What it was done to (an id).
    pub object: String,
    /// Who did it (principal id).
    pub principal: String,
}

/// What is wrong with a lane.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneFault {
    /// Events between the committed ones and the next that the edge sends are nowhere.
    LaneGap,
    /// The edge signed events that do not follow from those that it signed before.
    LaneFork,
}

impl LaneFault {
    /// Name as in the event.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LaneGap => "lane_gap",
            Self::LaneFork => "lane_fork",
        }
    }
}

/// A lane that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventLane {
    /// The edge.
    pub edge: EdgeId,
    /// What is wrong.
    pub fault: LaneFault,
    /// The last number of the lane that is committed.
    pub edge_seq: u64,
}

/// A checkpoint of a tenant's log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventSeal {
    /// The tenant.
    pub tenant: TenantId,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: EntryHash,
}

/// An audit event in edge form.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditEvent {
    /// [`SCHEMA`].
    pub v: String,
    /// The tenant whose chain it belongs to.
    pub tenant: TenantId,
    /// Its id.
    pub event_id: EventId,
    /// When the edge made it.
    pub time: Timestamp,
    /// What happened.
    pub kind: Kind,
    /// The event that this one completes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<EventId>,
    /// Who made it.
    pub edge: EdgeId,
    /// Number on the lane (edge, tenant), from 1.
    pub edge_seq: u64,
    /// Hash of the lane's previous event in edge form; zeros for the first.
    pub edge_prev: EntryHash,
    /// The decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<DecisionId>,
    /// What was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// The control that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Whether a monitoring policy would have decided otherwise (`monitor`), else absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<PolicyMode>,
    /// The agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// The user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// The session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// Sub-agents, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delegation: Vec<String>,
    /// The token, by the revocation id of its last prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<RevocationId>,
    /// The intent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<EventIntent>,
    /// The tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<EventTool>,
    /// HMAC-SHA256 of the canonical arguments under the tenant's digest key, `hmac:` and hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args_digest: Option<String>,
    /// Names of the top-level arguments that the tool declares; others are counted as `+n`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arg_names: Vec<String>,
    /// Origins of arguments, by JSON Pointer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub origins: BTreeMap<String, Vec<String>>,
    /// The policies that judged it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy: Vec<EventPolicy>,
    /// What the content filter found, and did about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content: Vec<ContentFinding>,
    /// Version of the tenant's config that it was decided under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_version: Option<u64>,
    /// Units on each budget: reserved with the authorized event, settled with its outcome.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budget: Vec<EventBudget>,
    /// What the upstream did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<EventUpstream>,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<EventResult>,
    /// What a model used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<EventUsage>,
    /// The approval that the call waits for, or was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<ApprovalId>,
    /// What it wrote to memory, or read from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<crate::memory::EventMemory>,
    /// The task that is asked after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<EventTask>,
    /// A change on the control plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<EventAdmin>,
    /// A lane that is not as it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<EventLane>,
    /// A checkpoint of a tenant's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<EventSeal>,
    /// W3C trace id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Time that each control took, in microseconds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub timings_us: BTreeMap<String, u64>,
}

/// Why bytes are no audit event of ours.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Not JSON, or not an event.
    #[error("not an audit event")]
    Json(#[from] serde_json::Error),
    /// JSON, but not canonical, or a member is wrong.
    #[error("not an audit event in canonical form")]
    Form,
    /// The batch is not signed as it should be.
    #[error("the batch's signature")]
    Signature(#[from] SignedError),
    /// The batch's events don't follow from each other.
    #[error("the batch's events do not chain")]
    Chain,
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
        }
    }

    /// The canonical bytes in edge form.
    ///
    /// # Errors
    /// If it can't be written (it always can).
    pub fn to_canonical(&self) -> Result<Vec<u8>, AuditError> {
        Ok(canonical(self)?)
    }

    /// Parses canonical bytes in edge form.
    ///
    /// # Errors
    /// If they are no event, or not canonical.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, AuditError> {
        let event: Self = serde_json::from_slice(bytes)?;
        if event.v != SCHEMA || canonical(&event)? != bytes {
            return Err(AuditError::Form);
        }
        Ok(event)
    }
}

/// An entry of a tenant's chain.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// Number on the chain, from 1.
    pub seq: u64,
    /// Hash of the previous entry; zeros for the first.
    pub prev: EntryHash,
    /// The event.
    pub event: AuditEvent,
}

impl Entry {
    /// The canonical bytes in ledger form: what is hashed and stored.
    ///
    /// # Errors
    /// If it can't be written (it always can).
    pub fn to_canonical(&self) -> Result<Vec<u8>, AuditError> {
        let mut value = serde_json::to_value(&self.event)?;
        let members = value.as_object_mut().ok_or(AuditError::Form)?;
        members.insert("seq".into(), self.seq.into());
        members.insert("prev".into(), self.prev.to_string().into());
        Ok(canonical(&value)?)
    }

    /// Parses stored bytes.
    ///
    /// # Errors
    /// If they are no entry, or not canonical.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, AuditError> {
        let mut value: serde_json::Value = serde_json::from_slice(bytes)?;
        if canonical(&value)? != bytes {
            return Err(AuditError::Form);
        }
        let members = value.as_object_mut().ok_or(AuditError::Form)?;
        let seq = members
            .remove("seq")
            .and_then(|seq| seq.as_u64())
            .ok_or(AuditError::Form)?;
        let prev = members.remove("prev").ok_or(AuditError::Form)?;
        let prev = prev.as_str().ok_or(AuditError::Form)?.parse()?;
        let event: AuditEvent = serde_json::from_value(value)?;
        if event.v == SCHEMA {
            Ok(Self { seq, prev, event })
        } else {
            Err(AuditError::Form)
        }
    }
}

/// Some consecutive events of one lane on their way to the ledger: one NATS message on `audit.{tenant}.{edge}`.
///
/// The lane is a hash chain, so a signature over its last number and hash covers all of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Format version, 1.
    pub v: u8,
    /// The lane's tenant.
    pub tenant: TenantId,
    /// The lane's edge.
    pub edge: EdgeId,
    /// The edge's certificate (`proctor.edge-cert+jws`).
    pub certificate: String,
    /// The events' canonical bytes, in order, without a gap.
    pub events: Vec<Box<RawValue>>,
    /// `edge_seq` of the last event.
    pub edge_seq: u64,
    /// Hash of the last event.
    pub edge_hash: EntryHash,
    /// Id of the edge's key.
    pub kid: KeyId,
    /// Ed25519 over `proctor-lane-v1|{tenant}|{edge}|{edge_seq}|{edge_hash}`, base64url.
    pub signature: String,
}

fn lane_message(tenant: &TenantId, edge: &EdgeId, edge_seq: u64, edge_hash: EntryHash) -> Vec<u8> {
    format!("proctor-lane-v1|{tenant}|{edge}|{edge_seq}|{edge_hash}").into_bytes()
}

impl Batch {
    /// Makes and signs a batch of canonical events (edge form), which must be consecutive.
    ///
    /// # Errors
    /// If there is none, or one is no JSON.
    pub fn seal(
        tenant: TenantId,
        edge: EdgeId,
        certificate: String,
        events: &[impl AsRef<[u8]>],
        last_seq: u64,
        signer: &Signer,
    ) -> Result<Self, AuditError> {
        let last = events.last().ok_or(AuditError::Chain)?;
        let edge_hash = EntryHash::of(last.as_ref());
        let raw = |bytes: &[u8]| -> Result<Box<RawValue>, AuditError> {
            let text = std::str::from_utf8(bytes).map_err(|_| AuditError::Form)?;
            Ok(RawValue::from_string(text.to_owned())?)
        };
        let events = events
            .iter()
            .map(|bytes| raw(bytes.as_ref()))
            .collect::<Result<_, _>>()?;
        let signature =
            B64.encode(signer.sign_raw(&lane_message(&tenant, &edge, last_seq, edge_hash)));
        Ok(Self {
            v: 1,
            tenant,
            edge,
            certificate,
            events,
            edge_seq: last_seq,
            edge_hash,
            kid: signer.kid().clone(),
            signature,
        })
    }

    /// Checks signature and chain and gives the events with their canonical bytes.
    ///
    /// `keys` holds the key of the edge's verified certificate. Continuity with what came before the batch
    /// is the ledger's to check.
    ///
    /// # Errors
    /// If anything about the batch is wrong; then none of it may be used.
    pub fn open(&self, keys: &Verifier) -> Result<Vec<(AuditEvent, &[u8])>, AuditError> {
        let signature = B64.decode(&self.signature).map_err(|_| AuditError::Form)?;
        let message = lane_message(&self.tenant, &self.edge, self.edge_seq, self.edge_hash);
        keys.verify_raw(&self.kid, &message, &signature)?;
        let mut opened: Vec<(AuditEvent, &[u8])> = Vec::with_capacity(self.events.len());
        for raw in &self.events {
            let bytes = raw.get().as_bytes();
            let event = AuditEvent::from_canonical(bytes)?;
            let follows = opened.last().is_none_or(|(before, before_bytes)| {
                event.edge_seq == before.edge_seq.saturating_add(1)
                    && event.edge_prev == EntryHash::of(before_bytes)
            });
            if !follows || event.tenant != self.tenant || event.edge != self.edge {
                return Err(AuditError::Chain);
            }
            opened.push((event, bytes));
        }
        match opened.last() {
            Some((last, bytes))
                if last.edge_seq == self.edge_seq && EntryHash::of(bytes) == self.edge_hash =>
            {
                Ok(opened)
            }
            _ => Err(AuditError::Chain),
        }
    }
}

/// The ledger's word that a lane is committed to Postgres up to here: payload of `proctor.receipt+jws`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The lane's tenant.
    pub tenant: TenantId,
    /// The lane's edge.
    pub edge: EdgeId,
    /// The last committed number of the lane; 0: none.
    pub edge_seq: u64,
    /// Its hash; zeros for none.
    pub edge_hash: EntryHash,
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn event(edge_seq: u64, edge_prev: EntryHash) -> AuditEvent {
        let id = EventId::from(Uuid::from_u128(u128::from(edge_seq)));
        let at = Timestamp::from_secs(1_700_000_000);
        let mut event = AuditEvent::new(
            "acme".parse().unwrap(),
            "edge_1".parse().unwrap(),
            id,
            at,
            Kind::Refused,
        );
        event.edge_seq = edge_seq;
        event.edge_prev = edge_prev;
        event.reason = Some(Reason::TokenExpired);
        event
    }

    #[test]
    fn the_canonical_bytes_are_golden() {
        let bytes = event(1, EntryHash::ZERO).to_canonical().unwrap();
        let zeros = "0".repeat(64);
        assert_eq!(
            String::from_utf8(bytes.clone()).unwrap(),
            format!(
                r#"{{"edge":"edge_1","edge_prev":"{zeros}","edge_seq":1,"event_id":"00000000-0000-0000-0000-000000000001","kind":"refused","reason":"token_expired","tenant":"acme","time":"2023-11-14T22:13:20Z","v":"proctor.audit/1"}}"#
            )
        );
        assert_eq!(
            AuditEvent::from_canonical(&bytes).unwrap(),
            event(1, EntryHash::ZERO)
        );
        let entry = Entry {
            seq: 9,
            prev: EntryHash::of(b"x"),
            event: event(1, EntryHash::ZERO),
        };
        assert_eq!(
            Entry::from_canonical(&entry.to_canonical().unwrap()).unwrap(),
            entry
        );
        let spaced = String::from_utf8(bytes).unwrap().replace(':', ": ");
        assert!(AuditEvent::from_canonical(spaced.as_bytes()).is_err());
    }

    /// One that can't be read back would stop its edge and its ledger.
    #[test]
    fn figures_beyond_what_json_holds_are_cut_down() {
        let mut event = event(1, EntryHash::ZERO);
        event.usage = Some(EventUsage {
            input_tokens: u64::MAX,
            output_tokens: 1 << 60,
            estimated: false,
        });
        event.budget = vec![EventBudget {
            scope: Scope::Tenant,
            id: String::new(),
            meter: Meter::Cost,
            window: Window::Lifetime,
            units: u64::MAX,
        }];
        let back = AuditEvent::from_canonical(&event.to_canonical().unwrap()).unwrap();
        let usage = back.usage.unwrap();
        let most = crate::budget::UNITS_MAX;
        let figures = [
            usage.input_tokens,
            usage.output_tokens,
            back.budget[0].units,
        ];
        assert_eq!(figures, [most; 3]);
    }

    #[test]
    fn a_batch_opens_only_whole_and_in_order() {
        let signer = Signer::from_seed(&[1; 32]).unwrap();
        let keys = Verifier::new([&signer.public_key()]).unwrap();
        let first = event(1, EntryHash::ZERO).to_canonical().unwrap();
        let second = event(2, EntryHash::of(&first)).to_canonical().unwrap();
        let seal = |events: &[&Vec<u8>], last| {
            Batch::seal(
                "acme".parse().unwrap(),
                "edge_1".parse().unwrap(),
                String::new(),
                events,
                last,
                &signer,
            )
            .unwrap()
        };
        assert_eq!(seal(&[&first, &second], 2).open(&keys).unwrap().len(), 2);
        let wire = serde_json::to_vec(&seal(&[&first, &second], 2)).unwrap();
        assert_eq!(
            serde_json::from_slice::<Batch>(&wire)
                .unwrap()
                .open(&keys)
                .unwrap()[1]
                .1,
            &second[..]
        );
        assert!(seal(&[&second, &first], 1).open(&keys).is_err());
        assert!(seal(&[&first, &second], 3).open(&keys).is_err());
        let mut cut = seal(&[&first, &second], 2);
        cut.events.pop();
        assert!(cut.open(&keys).is_err());
        let other = Verifier::new([&Signer::from_seed(&[2; 32]).unwrap().public_key()]).unwrap();
        assert!(seal(&[&first], 1).open(&other).is_err());
    }
}

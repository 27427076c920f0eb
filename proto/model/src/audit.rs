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
use form::ledger_form;
pub use form::members;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

mod form;

/// Room for an event in canonical form: most have some 700 bytes.
const EVENT_BYTES: usize = 1024;

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
    /// Tool.
    pub name: ToolName,
    /// Tool server.
    pub server: ServerId,
    /// Its verb, if it is in the catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verb: Option<Verb>,
}

/// One policy that judged the call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventPolicy {
    /// What it said.
    pub effect: String,
    /// Policy id.
    pub id: String,
    /// Whether it binds.
    pub mode: PolicyMode,
    /// Its reasons: identifiers that the policy's author wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// Its version.
    pub version: u32,
}

/// The intent's part of an event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventIntent {
    /// Index of the action that the call matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<u32>,
    /// The intent.
    pub id: IntentId,
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

#[expect(clippy::ref_option, reason = "serde passes a reference")]
fn exact_if_any<S: serde::Serializer>(
    figure: &Option<u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match figure {
        Some(figure) => exact(figure, serializer),
        None => serializer.serialize_none(),
    }
}

fn exact_each<S: serde::Serializer>(
    figures: &BTreeMap<String, u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let most = crate::budget::UNITS_MAX;
    serializer.collect_map(
        figures
            .iter()
            .map(|(name, figure)| (name, most.min(*figure))),
    )
}

/// One account's part in a call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventBudget {
    /// Which one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// What is counted.
    pub meter: Meter,
    /// Whose account.
    pub scope: Scope,
    /// Units reserved (authorized) or really used (outcomes).
    #[serde(serialize_with = "exact")]
    pub units: u64,
    /// For how long.
    pub window: Window,
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
    /// From forwarding to the end of the answer, in microseconds.
    #[serde(serialize_with = "exact")]
    pub latency_us: u64,
    /// `ok`, `tool_error`, `rpc_error`, `unreachable`, `timeout`, `invalid`.
    pub status: String,
}

/// The answer, without its values.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventResult {
    /// Its size in bytes.
    #[serde(serialize_with = "exact")]
    pub bytes: u64,
    /// Keyed digest of the canonical answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Rows, where the catalogue says how to count them.
    #[serde(
        serialize_with = "exact_if_any",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub rows: Option<u64>,
}

/// Tokens of a model's answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventUsage {
    /// Whether they were estimated, as the provider did not say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// Of the prompt.
    #[serde(serialize_with = "exact")]
    pub input_tokens: u64,
    /// Of the answer.
    #[serde(serialize_with = "exact")]
    pub output_tokens: u64,
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
    /// The last number of the lane that is committed.
    #[serde(serialize_with = "exact")]
    pub edge_seq: u64,
    /// What is wrong.
    pub fault: LaneFault,
}

/// A checkpoint of a tenant's log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventSeal {
    /// Root of the tree over them.
    pub root: EntryHash,
    /// Number of entries.
    #[serde(serialize_with = "exact")]
    pub size: u64,
    /// The tenant.
    pub tenant: TenantId,
}

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
        let edge_form = self.event.to_canonical()?;
        ledger_form(&edge_form, self.seq, &self.prev).ok_or(AuditError::Form)
    }

    /// Parses stored bytes.
    ///
    /// # Errors
    /// If they are no entry, or not canonical.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, AuditError> {
        let mut edge_form = Vec::with_capacity(bytes.len());
        let (mut seq, mut prev) = (None, None);
        members(bytes, &mut edge_form, |key, value| {
            match key {
                "seq" => seq = value.parse().ok(),
                "prev" => prev = value.trim_matches('"').parse().ok(),
                _ => {}
            }
            Some(())
        })
        .ok_or(AuditError::Form)?;
        let event = AuditEvent::from_canonical(&edge_form)?;
        let (Some(seq), Some(prev)) = (seq, prev) else {
            return Err(AuditError::Form);
        };
        let entry = Self { seq, prev, event };
        // One spelling only, also of what was cut out.
        if entry.to_canonical()? == bytes {
            Ok(entry)
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

    /// An event with all of its members, their texts from `texts`, their figures from `figures`.
    fn full(texts: &[String], figures: &[u64]) -> AuditEvent {
        let (mut texts, mut figures) = (texts.iter().cycle(), figures.iter().cycle());
        let mut text = || texts.next().unwrap().clone();
        let mut figure = || *figures.next().unwrap();
        let mut event = event(1, EntryHash::ZERO);
        event.of = Some(EventId::from(Uuid::from_u128(7)));
        event.effect = Some(Effect::Allow);
        event.control = Some(Control::Policy);
        event.mode = Some(PolicyMode::Monitor);
        event.delegation = vec![text(), text()];
        event.intent = Some(EventIntent {
            action: Some(3),
            id: "int_1".parse().unwrap(),
        });
        event.tool = Some(EventTool {
            name: "send_money".parse().unwrap(),
            server: "bank".parse().unwrap(),
            verb: Some(Verb::Financial),
        });
        event.args_digest = Some(text());
        event.arg_names = vec![text(), text()];
        event.origins = [(text(), vec![text()]), (text(), Vec::new())].into();
        event.policy = vec![EventPolicy {
            effect: text(),
            id: text(),
            mode: PolicyMode::Enforce,
            rules: vec![text()],
            version: 3,
        }];
        event.content = vec![ContentFinding {
            action: crate::content::ContentAction::Redact,
            class: text(),
            count: 2,
            direction: crate::content::Direction::Outbound,
        }];
        event.config_version = Some(figure());
        event.budget = vec![EventBudget {
            id: text(),
            meter: Meter::Cost,
            scope: Scope::Tenant,
            units: figure(),
            window: Window::Lifetime,
        }];
        event.upstream = Some(EventUpstream {
            latency_us: figure(),
            status: text(),
        });
        event.result = Some(EventResult {
            bytes: figure(),
            digest: Some(text()),
            rows: Some(figure()),
        });
        event.usage = Some(EventUsage {
            estimated: true,
            input_tokens: figure(),
            output_tokens: figure(),
        });
        event.admin = Some(EventAdmin {
            action: text(),
            object: text(),
            principal: text(),
        });
        event.lane = Some(EventLane {
            edge: "edge_2".parse().unwrap(),
            edge_seq: figure(),
            fault: LaneFault::LaneGap,
        });
        event.sealed = Some(EventSeal {
            root: EntryHash::of(b"root"),
            size: figure(),
            tenant: "acme".parse().unwrap(),
        });
        event.task = Some(EventTask {
            of: DecisionId::from(Uuid::from_u128(8)),
            request: text(),
        });
        event.trace_id = Some(text());
        event.timings_us = [
            ("policy".to_owned(), figure()),
            ("budget".to_owned(), figure()),
        ]
        .into();
        event
    }

    proptest::proptest! {
        /// Whoever checks our bytes sorts them as RFC 8785 says, and reads numbers as it says.
        #[test]
        fn both_forms_are_canonical(
            texts in proptest::collection::vec(proptest::prelude::any::<String>(), 1..40),
            figures in proptest::collection::vec(proptest::prelude::any::<u64>(), 1..12),
            seq in 0..=crate::budget::UNITS_MAX,
        ) {
            let event = full(&texts, &figures);
            let bytes = event.to_canonical().unwrap();
            let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(canonical(&value).unwrap(), bytes);
            let read = AuditEvent::from_canonical(&bytes).unwrap();
            assert_eq!(read.to_canonical().unwrap(), bytes);

            let entry = Entry { seq, prev: EntryHash::of(&bytes), event: read };
            let stored = entry.to_canonical().unwrap();
            let mut value: serde_json::Value = serde_json::from_slice(&stored).unwrap();
            assert_eq!(canonical(&value).unwrap(), stored);
            assert_eq!(Entry::from_canonical(&stored).unwrap(), entry);
            assert_eq!(value["seq"], seq);
            let cut = value.as_object_mut().unwrap();
            cut.remove("seq");
            cut.remove("prev");
            assert_eq!(canonical(&value).unwrap(), bytes);
        }
    }

    #[test]
    fn what_is_not_canonical_is_no_entry() {
        let entry = Entry {
            seq: 9,
            prev: EntryHash::of(b"x"),
            event: event(1, EntryHash::ZERO),
        };
        let stored = String::from_utf8(entry.to_canonical().unwrap()).unwrap();
        let prev = format!(r#","prev":"{}""#, entry.prev);
        for (from, to) in [
            (r#","seq":9"#, ""),
            (r#","seq":9"#, r#","seq":09"#),
            (r#","seq":9"#, r#","seq":9.0"#),
            (r#","seq":9"#, r#","seq":"9""#),
            (r#","seq":9"#, r#","seq":9,"seq":9"#),
            (r#","seq":9"#, r#", "seq":9"#),
            (&prev, ""),
            (&prev, &prev.to_uppercase().replace("PREV", "prev")),
            (&prev, &prev.replace('"', "")),
            (r#""kind":"refused""#, r#""kind":"ref\u0075sed""#),
            (r#""edge_seq":1"#, r#""edge_seq":1e0"#),
            (r#"{"edge""#, r#"{"zz":1,"edge""#),
        ] {
            assert!(stored.contains(from), "{from}");
            let bad = stored.replacen(from, to, 1);
            assert!(Entry::from_canonical(bad.as_bytes()).is_err(), "{bad}");
        }
        for cut in 0..stored.len() {
            assert!(Entry::from_canonical(&stored.as_bytes()[..cut]).is_err());
        }
    }
}

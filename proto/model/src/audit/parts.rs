//! What an event holds. Members are declared in the order of canonical JSON: see [`AuditEvent`](super::AuditEvent).

use super::EntryHash;
use crate::budget::{AccountKey, Meter, Scope, Window};
use crate::catalogue::Verb;
use crate::config::PolicyMode;
use crate::ids::{DecisionId, EdgeId, IntentId, KeyId, ServerId, TenantId, ToolName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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

/// How one control judged. In order: of several judgements of one control the last word here counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventVerdict {
    /// It let the call, or its answer, pass.
    Passed,
    /// It asked for a person.
    Escalated,
    /// It refused.
    Refused,
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
pub(super) fn exact<S: serde::Serializer>(figure: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64((*figure).min(crate::budget::UNITS_MAX))
}

#[expect(clippy::ref_option, reason = "serde passes a reference")]
pub(super) fn exact_if_any<S: serde::Serializer>(
    figure: &Option<u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match figure {
        Some(figure) => exact(figure, serializer),
        None => serializer.serialize_none(),
    }
}

pub(super) fn exact_each<S: serde::Serializer>(
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
    /// Of a fork: what the edge signed of its other history, so that nobody has to take the ledger's word for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Box<LaneHead>>,
}

/// An edge's word for its lane up to some event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaneHead {
    /// Hash of that event.
    pub edge_hash: EntryHash,
    /// Its number.
    #[serde(serialize_with = "exact")]
    pub edge_seq: u64,
    /// Id of the edge's key.
    pub kid: KeyId,
    /// The signature of the [`Batch`](super::Batch) that ends there.
    pub signature: String,
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

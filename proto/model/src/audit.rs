//! Audit events and the bytes that are hashed (contracts.md, section 7).
//!
//! An event is made by an edge (or by control) on its **lane**, one per (edge, tenant), numbered from 1 and
//! chained by hash: the *edge form*. The ledger appends it to the tenant's chain and adds `seq` and `prev`:
//! the *ledger form*. Both are JSON in RFC 8785 canonical form, both hash as an RFC 6962 leaf,
//! SHA-256(0x00 ‖ bytes), and the hashed bytes are the stored bytes.

mod batch;
mod entry;
mod event;
mod form;
mod parts;

pub use batch::{Batch, LaneEvent, Receipt};
pub use entry::Entry;
pub use event::AuditEvent;
pub use form::members;
pub use parts::{
    Effect, EventAdmin, EventBudget, EventIntent, EventLane, EventPolicy, EventResult, EventSeal,
    EventTask, EventTool, EventUpstream, EventUsage, EventVerdict, Kind, LaneFault, LaneHead,
};

use crate::signed::SignedError;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
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

#[cfg(test)]
mod tests;

//! An event in ledger form.

use super::form::ledger_form;
use super::{AuditError, AuditEvent, EntryHash, members};

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

//! Events on their way from an edge to the ledger, and the ledger's word for them.

use super::form::ledger_form;
use super::{AuditError, AuditEvent, EntryHash, LaneHead};
use crate::ids::{EdgeId, KeyId, TenantId};
use crate::signed::{Signer, Verifier};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

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

    /// The edge's word for the lane up to its last event.
    #[must_use]
    pub fn head(&self) -> LaneHead {
        LaneHead {
            edge_hash: self.edge_hash,
            edge_seq: self.edge_seq,
            kid: self.kid.clone(),
            signature: self.signature.clone(),
        }
    }

    /// Checks signature and chain and gives the events.
    ///
    /// `keys` holds the key of the edge's verified certificate. Continuity with what came before the batch
    /// is the ledger's to check.
    ///
    /// # Errors
    /// If anything about the batch is wrong; then none of it may be used.
    pub fn open(self, keys: &Verifier) -> Result<Vec<LaneEvent>, AuditError> {
        self.head().verify(&self.tenant, &self.edge, keys)?;
        let mut opened: Vec<LaneEvent> = Vec::with_capacity(self.events.len());
        for raw in self.events {
            let lane_event = LaneEvent::parse(raw.into())?;
            let event = &lane_event.event;
            let follows = opened.last().is_none_or(|before| {
                event.edge_seq == before.event.edge_seq.saturating_add(1)
                    && event.edge_prev == before.hash
            });
            if !follows || event.tenant != self.tenant || event.edge != self.edge {
                return Err(AuditError::Chain);
            }
            opened.push(lane_event);
        }
        match opened.last() {
            Some(last) if last.event.edge_seq == self.edge_seq && last.hash == self.edge_hash => {
                Ok(opened)
            }
            _ => Err(AuditError::Chain),
        }
    }
}

impl LaneHead {
    /// Checks that the edge said so of its lane of this tenant; `keys` as for [`Batch::open`].
    ///
    /// # Errors
    /// If it did not.
    pub fn verify(
        &self,
        tenant: &TenantId,
        edge: &EdgeId,
        keys: &Verifier,
    ) -> Result<(), AuditError> {
        let signature = B64.decode(&self.signature).map_err(|_| AuditError::Form)?;
        let message = lane_message(tenant, edge, self.edge_seq, self.edge_hash);
        keys.verify_raw(&self.kid, &message, &signature)?;
        Ok(())
    }
}

/// An event of a lane, with what it is made of.
#[derive(Clone, Debug)]
pub struct LaneEvent {
    /// The event.
    pub event: AuditEvent,
    /// Its canonical form (edge form).
    pub text: Box<str>,
    /// The hash of that.
    pub hash: EntryHash,
}

impl LaneEvent {
    /// Reads an event in canonical form.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: Box<str>) -> Result<Self, AuditError> {
        let event = AuditEvent::from_canonical(text.as_bytes())?;
        let hash = EntryHash::of(text.as_bytes());
        Ok(Self { event, text, hash })
    }

    /// Writes an event in canonical form.
    ///
    /// # Errors
    /// If it can't be written (it always can).
    pub fn write(event: AuditEvent) -> Result<Self, AuditError> {
        let bytes = event.to_canonical()?;
        let hash = EntryHash::of(&bytes);
        let text = String::from_utf8(bytes).map_err(|_| AuditError::Form)?;
        let text = text.into_boxed_str();
        Ok(Self { event, text, hash })
    }

    /// The bytes of an entry with this event, in ledger form: what is hashed and stored.
    ///
    /// # Errors
    /// If `text` is not canonical.
    pub fn entry(&self, seq: u64, prev: &EntryHash) -> Result<Vec<u8>, AuditError> {
        ledger_form(self.text.as_bytes(), seq, prev).ok_or(AuditError::Form)
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

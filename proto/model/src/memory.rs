//! Signed records of what was written to memory: who wrote it, when, from which sources (`docs/memory.md`).
//!
//! An **item** is one thing in a store, under a key (an entity of a knowledge graph, a row of a key-value store). Its
//! content is a set of **facts**. Each write makes one record per item; the records of an item are numbered and
//! each names the one before it. A record holds keyed digests, never a key or a content in clear: that *this*
//! content belongs to a record can be checked only with the tenant's digest key, that the record is genuine by anybody
//! who has the platform's public key.

use crate::audit::{canonical, sha256};
use crate::budget::UNITS_MAX;
use crate::catalogue::{MemoryChange, MemoryTrust};
use crate::config::{EdgeCertificate, PublicKey};
use crate::ids::{
    AgentId, DecisionId, EdgeId, IntentId, KeyId, RevocationId, SessionId, StoreId, TenantId,
    ToolRef, UserId,
};
use crate::signed::{SignedError, Signer, Verifier};
use crate::time::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The schema's name, member `v` of each record.
pub const SCHEMA: &str = "proctor.memory/1";
/// What stands before the canonical record where it is hashed and signed.
const RECORD_PREFIX: &[u8] = b"proctor-memory-v1|";
/// What stands before the canonical question where it is signed.
const QUESTION_PREFIX: &[u8] = b"proctor-memory-ask-v1|";

macro_rules! digests {
    ($($(#[$doc:meta])* $name:ident;)+) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// From 32 bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = MemoryError;

            fn from_str(text: &str) -> Result<Self, MemoryError> {
                let mut bytes = [0; 32];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| MemoryError::Form)?;
                // One spelling only.
                if hex::encode(bytes) == text { Ok(Self(bytes)) } else { Err(MemoryError::Form) }
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+ };
}

digests! {
    /// Names an item: HMAC-SHA256 of its store, kind and key under the tenant's memory key.
    ItemId;
    /// Names a fact of an item: HMAC-SHA256 of item, field and canonical value under the tenant's memory key.
    FactDigest;
    /// Hash of a record: SHA-256(`proctor-memory-v1|` ‖ canonical JSON).
    RecordHash;
}

impl RecordHash {
    /// What the first record of an item names as its predecessor: 32 zero bytes.
    pub const ZERO: Self = Self([0; 32]);
}

/// Bytes that are no record, question or answer of ours, or that nobody we trust signed.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// Not of the right form.
    #[error("not a memory record of a known form")]
    Form,
    /// JSON that can't be read or written.
    #[error("not a memory record")]
    Json(#[from] serde_json::Error),
    /// The signature, or the certificate's.
    #[error("the record's signature")]
    Signature(#[from] SignedError),
    /// Signed by an edge that may not write for the tenant, or names another edge.
    #[error("the record's edge is not certified for its tenant")]
    Foreign,
}

/// How far the text of a fact was proved when it was written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proved {
    /// As it stands.
    Whole,
    /// What stands behind `: ` in it; the label before it is the agent's own.
    Value,
}

/// One fact that a write put, or took away.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// Its keyed digest.
    pub digest: FactDigest,
    /// Where its values had been seen in the session: `goal`, `trusted`, `memory:…`, `tool:<server/tool>`; empty:
    /// nowhere, they are the agent's own words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// What that makes of it.
    pub trust: MemoryTrust,
    /// For a verified text: how far it was proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved: Option<Proved>,
}

/// On whose behalf something was written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Writer {
    /// The agent.
    pub agent: AgentId,
    /// The user it acted for, from the intent.
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
    pub intent_id: Option<IntentId>,
}

/// One write to one item.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryRecord {
    /// [`SCHEMA`].
    pub v: String,
    /// The tenant whose memory it is.
    pub tenant: TenantId,
    /// The store: a tool server's id, or `memory/<name>` for one that is not proxied.
    pub store: StoreId,
    /// What kind of item it is, in the catalogue's words.
    pub kind: String,
    /// The item.
    pub item: ItemId,
    /// Number of this version of the item, from 1. Two edges that write at once may make the same number: both stand.
    pub version: u64,
    /// The item's previous record that the writing edge knew of; zeros for the first.
    pub prev: RecordHash,
    /// What the write does to the facts that were there.
    pub change: MemoryChange,
    /// The facts it puts or takes away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Fact>,
    /// Who wrote.
    pub writer: Writer,
    /// The tool that wrote.
    pub tool: ToolRef,
    /// Records that the session had read before, latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<RecordHash>,
    /// Whether the session had read anything untrusted before it wrote (or may have).
    pub exposed: bool,
    /// When.
    pub time: Timestamp,
    /// The edge.
    pub edge: EdgeId,
    /// The decision that allowed it.
    pub decision_id: DecisionId,
}

impl MemoryRecord {
    /// What is hashed and signed.
    fn message(&self) -> Result<Vec<u8>, MemoryError> {
        // Canonical JSON rounds a greater number: two records would have one hash.
        if self.version > UNITS_MAX {
            return Err(MemoryError::Form);
        }
        let mut message = RECORD_PREFIX.to_vec();
        message.extend(canonical(self)?);
        Ok(message)
    }

    /// Its hash.
    ///
    /// # Errors
    /// If its version is beyond 2^53 - 1, which JSON numbers do not hold exactly.
    pub fn hash(&self) -> Result<RecordHash, MemoryError> {
        Ok(RecordHash(sha256(&self.message()?)))
    }
}

/// A record with its edge's signature.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRecord {
    /// The record.
    pub record: MemoryRecord,
    /// Id of the edge's key.
    pub kid: KeyId,
    /// Ed25519 over `proctor-memory-v1|` ‖ canonical JSON of the record, base64url.
    pub signature: String,
}

impl SignedRecord {
    /// Signs a record.
    ///
    /// # Errors
    /// As [`MemoryRecord::hash`].
    pub fn sign(record: MemoryRecord, signer: &Signer) -> Result<Self, MemoryError> {
        let signature = B64.encode(signer.sign_raw(&record.message()?));
        Ok(Self {
            record,
            kid: signer.kid().clone(),
            signature,
        })
    }

    /// Checks the record by itself: its edge's certificate under the platform's keys, and its signature. Gives its hash.
    ///
    /// # Errors
    /// If the certificate or the signature is wrong, or the edge may not write for the record's tenant.
    pub fn verify(
        &self,
        certificate: &str,
        platform: &Verifier,
    ) -> Result<RecordHash, MemoryError> {
        let certificate: EdgeCertificate = platform.verify(certificate)?;
        self.verify_with(&certificate)
    }

    /// The same with a certificate that was verified already.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verify_with(&self, certificate: &EdgeCertificate) -> Result<RecordHash, MemoryError> {
        let record = &self.record;
        if record.v != SCHEMA {
            return Err(MemoryError::Form);
        }
        if certificate.edge != record.edge || !certificate.tenants.contains(&record.tenant) {
            return Err(MemoryError::Foreign);
        }
        let message = record.message()?;
        let key = PublicKey {
            kid: self.kid.clone(),
            key: certificate.signing_key.clone(),
        };
        let signature = B64.decode(&self.signature).map_err(|_| MemoryError::Form)?;
        Verifier::new([&key])?.verify_raw(&self.kid, &message, &signature)?;
        Ok(RecordHash(sha256(&message)))
    }
}

/// What is asked about one item.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemQuestion {
    /// The item.
    pub item: ItemId,
    /// Facts of it that were seen.
    #[serde(default)]
    pub facts: Vec<FactDigest>,
}

/// What an edge wants to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// How the items stand now.
    State,
    /// All records of the first item, and those that they come from.
    Lineage,
}

/// An edge's question to the ledger.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryQuestion {
    /// Format version, 1.
    pub v: u8,
    /// The tenant.
    pub tenant: TenantId,
    /// Who asks.
    pub edge: EdgeId,
    /// 16 random bytes, hex: an answer to another question is none.
    pub nonce: String,
    /// What is asked.
    pub ask: Ask,
    /// About what.
    pub items: Vec<ItemQuestion>,
}

/// A question with its edge's signature: nobody else learns how a tenant's memory stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedQuestion {
    /// The question.
    pub question: MemoryQuestion,
    /// The edge's certificate (`proctor.edge-cert+jws`).
    pub certificate: String,
    /// Id of the edge's key.
    pub kid: KeyId,
    /// Ed25519 over `proctor-memory-ask-v1|` ‖ canonical JSON of the question, base64url.
    pub signature: String,
}

impl SignedQuestion {
    /// Signs a question.
    ///
    /// # Errors
    /// If it can't be written as JSON (it always can).
    pub fn sign(
        question: MemoryQuestion,
        certificate: String,
        signer: &Signer,
    ) -> Result<Self, MemoryError> {
        let signature = B64.encode(signer.sign_raw(&question_message(&question)?));
        Ok(Self {
            question,
            certificate,
            kid: signer.kid().clone(),
            signature,
        })
    }

    /// The question, if an edge asks that serves the tenant.
    ///
    /// # Errors
    /// As [`SignedRecord::verify`].
    pub fn open(self, platform: &Verifier) -> Result<MemoryQuestion, MemoryError> {
        let certificate: EdgeCertificate = platform.verify(&self.certificate)?;
        let question = self.question;
        if question.v != 1 {
            return Err(MemoryError::Form);
        }
        if certificate.edge != question.edge || !certificate.tenants.contains(&question.tenant) {
            return Err(MemoryError::Foreign);
        }
        let key = PublicKey {
            kid: self.kid.clone(),
            key: certificate.signing_key,
        };
        let signature = B64.decode(&self.signature).map_err(|_| MemoryError::Form)?;
        Verifier::new([&key])?.verify_raw(&self.kid, &question_message(&question)?, &signature)?;
        Ok(question)
    }
}

fn question_message(question: &MemoryQuestion) -> Result<Vec<u8>, MemoryError> {
    let mut message = QUESTION_PREFIX.to_vec();
    message.extend(canonical(question)?);
    Ok(message)
}

/// How one fact stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactState {
    /// The fact.
    pub digest: FactDigest,
    /// Whether it stands; else it was replaced or taken away.
    pub live: bool,
    /// The version of the item that last put it or took it away.
    pub version: u64,
    /// The record that last put it.
    pub record: RecordHash,
    /// The last version that may have taken it away, if its tool did not say that it went well: a fact of this version or
    /// an older one is worth no more than untrusted content. 0: there is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub doubt: u64,
}

/// An edge of before takes an answer without doubts.
fn is_zero(version: &u64) -> bool {
    *version == 0
}

/// How one item stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemState {
    /// The item.
    pub item: ItemId,
    /// Its last version; 0: there is none.
    pub version: u64,
    /// Hash of its last record; zeros for none.
    pub head: RecordHash,
    /// The last version that replaced or took away all that was there: facts of older versions do not stand.
    #[serde(default)]
    pub floor: u64,
    /// The last version that may have replaced or taken away all that was there, if its tool did not say that it went well:
    /// facts of older versions are worth no more than untrusted content. 0: there is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub doubt: u64,
    /// Those of the facts asked about that it has, or had.
    #[serde(default)]
    pub facts: Vec<FactState>,
    /// For `state` the records that put these facts, for `lineage` all (at most
    /// [`LINEAGE_RECORDS_MAX`](crate::limits::LINEAGE_RECORDS_MAX)), oldest first.
    #[serde(default)]
    pub records: Vec<SignedRecord>,
}

/// Payload of `proctor.memory-answer+jws`: the ledger's word on how items stand.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryAnswer {
    /// The tenant.
    pub tenant: TenantId,
    /// The question's.
    pub nonce: String,
    /// The items, in the question's order.
    pub items: Vec<ItemState>,
    /// Certificates of the edges that signed the records (`proctor.edge-cert+jws`).
    #[serde(default)]
    pub certificates: Vec<String>,
}

/// The memory's part of an audit event: what a call wrote, or what it read and how that stood.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventMemory {
    /// Records of what the call is about to write (`authorized`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<SignedRecord>,
    /// How many of them the tool says went well (`completed`): what they replace is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<u64>,
    /// What came back (outcomes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<MemorySummary>,
}

/// How what was read stood, in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemorySummary {
    /// Items found in the answer.
    pub items: u64,
    /// Facts that stand as signed, of trust `verified`.
    pub verified: u64,
    /// The same, of trust `agent`.
    pub agent: u64,
    /// The same, of trust `untrusted`.
    pub untrusted: u64,
    /// Facts, and texts outside of items, that nobody signed.
    pub unsigned: u64,
    /// Facts of a signed item that were never signed.
    pub altered: u64,
    /// Facts that stood once and were replaced or taken away.
    pub rolled_back: u64,
    /// Facts that are another tenant's.
    pub foreign: u64,
    /// How many of all these were not passed on.
    pub dropped: u64,
}

#[cfg(test)]
#[path = "memory/tests.rs"]
mod tests;

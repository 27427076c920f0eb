//! Signed documents: compact JWS (RFC 7515) with EdDSA (RFC 8037) and nothing else.
//!
//! The header is exactly `{"alg":"EdDSA","kid":…,"typ":…}`; `typ` separates the kinds of document, so that
//! a signature on one is never good for another.

use crate::config::{
    Assignment, EdgeCertificate, EdgeProof, Heartbeat, PublicKey, Revocation, SealedKeys,
    TenantConfig,
};
use crate::ids::KeyId;
use crate::intent::Intent;
use crate::limits::SIGNED_BYTES_MAX;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A kind of document that is signed.
pub trait Document: Serialize + DeserializeOwned {
    /// `typ` of the JWS header.
    const TYP: &'static str;
}

macro_rules! documents {
    ($($name:ty = $typ:literal,)+) => { $(impl Document for $name { const TYP: &'static str = $typ; })+ };
}

documents! {
    TenantConfig = "proctor.config+jws",
    SealedKeys = "proctor.keys+jws",
    Intent = "proctor.intent+jws",
    Revocation = "proctor.revocation+jws",
    Heartbeat = "proctor.heartbeat+jws",
    EdgeCertificate = "proctor.edge-cert+jws",
    EdgeProof = "proctor.edge-proof+jws",
    Assignment = "proctor.assignment+jws",
    crate::audit::Receipt = "proctor.receipt+jws",
    crate::kill::KillSwitches = "proctor.kill+jws",
    crate::approval::ApprovalRequest = "proctor.approval-request+jws",
    crate::approval::ApprovalUse = "proctor.approval-use+jws",
    crate::approval::ApprovalRelease = "proctor.approval-release+jws",
    crate::approval::ApprovalAnswer = "proctor.approval+jws",
    crate::memory::MemoryAnswer = "proctor.memory-answer+jws",
    crate::sighting::Sighting = "proctor.sighting+jws",
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: KeyId,
    typ: String,
}

/// Why a signed document is not believed.
#[derive(Debug, thiserror::Error)]
pub enum SignedError {
    /// Not a compact JWS of ours.
    #[error("not a compact JWS with an EdDSA header")]
    Malformed,
    /// Another kind of document.
    #[error("another kind of document than expected")]
    WrongType,
    /// No such key.
    #[error("signed with a key that is not trusted here")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the signature does not verify")]
    BadSignature,
    /// Signed, but not a document of this version.
    #[error("the signed payload is not a document of a known form")]
    Payload(#[source] serde_json::Error),
    /// Larger than allowed.
    #[error("the document is larger than {SIGNED_BYTES_MAX} bytes")]
    TooLarge,
    /// Bytes that are no key.
    #[error("not an Ed25519 key")]
    BadKey,
}

/// Signs documents with one Ed25519 key.
pub struct Signer {
    kid: KeyId,
    pair: Ed25519KeyPair,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.kid)
    }
}

impl Signer {
    /// From the 32-byte seed of an Ed25519 key.
    ///
    /// # Errors
    /// If the seed has another length.
    pub fn from_seed(seed: &[u8]) -> Result<Self, SignedError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| SignedError::BadKey)?;
        let kid = key_id(pair.public_key().as_ref());
        Ok(Self { kid, pair })
    }

    /// Id of the key: `ed_` and the first 16 hex digits of the public key's SHA-256.
    #[must_use]
    pub fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// The public key with its id.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey {
            kid: self.kid.clone(),
            key: B64.encode(self.pair.public_key().as_ref()),
        }
    }

    /// A raw Ed25519 signature (64 bytes). The caller gives each use its own prefix.
    #[must_use]
    pub fn sign_raw(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }

    /// The document as compact JWS.
    ///
    /// # Errors
    /// If it is too large, or can't be written as JSON.
    pub fn sign<D: Document>(&self, document: &D) -> Result<String, SignedError> {
        let header = Header {
            alg: "EdDSA".into(),
            kid: self.kid.clone(),
            typ: D::TYP.into(),
        };
        let header = serde_json::to_vec(&header).map_err(SignedError::Payload)?;
        let payload = serde_json::to_vec(document).map_err(SignedError::Payload)?;
        let mut text = format!("{}.{}", B64.encode(header), B64.encode(payload));
        let signature = self.pair.sign(text.as_bytes());
        text.push('.');
        text.push_str(&B64.encode(signature.as_ref()));
        if text.len() > SIGNED_BYTES_MAX {
            Err(SignedError::TooLarge)
        } else {
            Ok(text)
        }
    }
}

/// Id of an Ed25519 public key: `ed_` and the first 16 hex digits of its SHA-256.
#[must_use]
pub fn key_id(public_key: &[u8]) -> KeyId {
    let digest = hex::encode(crate::audit::sha256(public_key));
    let short = digest.get(..16).unwrap_or(&digest);
    #[expect(
        clippy::expect_used,
        reason = "'ed_' and hex digits are within a key id's alphabet"
    )]
    format!("ed_{short}").parse().expect("a key id")
}

/// Verifies documents against a set of trusted public keys.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    keys: Vec<(KeyId, [u8; 32])>,
}

impl Verifier {
    /// Trusts these keys.
    ///
    /// # Errors
    /// If one of them is no Ed25519 public key.
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a PublicKey>) -> Result<Self, SignedError> {
        let parse = |key: &PublicKey| {
            let bytes = B64.decode(&key.key).map_err(|_| SignedError::BadKey)?;
            Ok((
                key.kid.clone(),
                <[u8; 32]>::try_from(bytes).map_err(|_| SignedError::BadKey)?,
            ))
        };
        Ok(Self {
            keys: keys
                .into_iter()
                .map(parse)
                .collect::<Result<_, SignedError>>()?,
        })
    }

    /// The document, if one of the trusted keys signed it.
    ///
    /// # Errors
    /// If it is malformed, of another kind, signed by another key, or altered.
    pub fn verify<D: Document>(&self, text: &str) -> Result<D, SignedError> {
        if text.len() > SIGNED_BYTES_MAX {
            return Err(SignedError::TooLarge);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(SignedError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(SignedError::Malformed)?;
        let header: Header =
            serde_json::from_slice(&decode(header)?).map_err(|_| SignedError::Malformed)?;
        if header.alg != "EdDSA" {
            return Err(SignedError::Malformed);
        }
        if header.typ != D::TYP {
            return Err(SignedError::WrongType);
        }
        self.verify_raw(&header.kid, signed.as_bytes(), &decode(signature)?)?;
        serde_json::from_slice(&decode(payload)?).map_err(SignedError::Payload)
    }

    /// Checks a raw Ed25519 signature by the key `kid`.
    ///
    /// # Errors
    /// If the key isn't trusted, or the signature is wrong.
    pub fn verify_raw(
        &self,
        kid: &KeyId,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignedError> {
        let (_, key) = self
            .keys
            .iter()
            .find(|(id, _)| id == kid)
            .ok_or(SignedError::UnknownKey)?;
        UnparsedPublicKey::new(&ED25519, key)
            .verify(message, signature)
            .map_err(|_| SignedError::BadSignature)
    }
}

fn decode(part: &str) -> Result<Vec<u8>, SignedError> {
    B64.decode(part).map_err(|_| SignedError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn heartbeat() -> Heartbeat {
        Heartbeat {
            tenant: "acme".parse().unwrap(),
            at: Timestamp::from_secs(1_700_000_000),
            config_version: 3,
            revocation_seq: 1,
            revocations: 0,
            kill_version: 0,
            platform_kill_version: 0,
        }
    }

    #[test]
    fn a_signed_document_verifies_and_nothing_else_does() {
        let signer = Signer::from_seed(&[7; 32]).unwrap();
        let other = Signer::from_seed(&[8; 32]).unwrap();
        let verifier = Verifier::new([&signer.public_key()]).unwrap();
        let text = signer.sign(&heartbeat()).unwrap();
        assert_eq!(verifier.verify::<Heartbeat>(&text).unwrap(), heartbeat());
        assert!(matches!(
            verifier.verify::<Revocation>(&text),
            Err(SignedError::WrongType)
        ));
        let foreign = other.sign(&heartbeat()).unwrap();
        assert!(matches!(
            verifier.verify::<Heartbeat>(&foreign),
            Err(SignedError::UnknownKey)
        ));
        for index in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[index] ^= 1;
            if let Ok(altered) = String::from_utf8(bytes) {
                assert!(
                    verifier.verify::<Heartbeat>(&altered).is_err(),
                    "flip at {index}"
                );
            }
        }
    }
}

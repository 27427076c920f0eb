//! Capability tokens: macaroons in libmacaroons' v2 binary format (contracts.md, section 3).
//!
//! ```text
//! tag_0 = HMAC(root key, identifier)      root key = HMAC("macaroons-key-generator", tenant's key)
//! tag_i = HMAC(tag_{i-1}, caveat_i)       the token holds the last tag only
//! ```
//! Whoever holds a token can append caveats, nobody can take one away. Each prefix has a revocation id,
//! a hash of its tag: revoking a prefix revokes all that was derived from it.
//!
//! A caveat that is not understood makes the token invalid, and is refused at minting and at attenuation. One of them is
//! enforced by who receives the token, not by [`decide`](crate::decide()): `cnf` ([`VerifiedToken::is_bound`]).

mod argument;
mod binary;
mod caveat;
mod glob;
mod identifier;
mod key;
mod mint;
mod verified;
mod verify;

pub use argument::{ArgCaveat, ArgTest};
pub use caveat::{Caveat, CaveatError};
pub use glob::ToolGlob;
pub use identifier::Identifier;
pub use key::KeyRing;
pub use mint::{MintRequest, attenuate, mint};
pub use verified::VerifiedToken;
pub use verify::verify;

use crate::limits::TOKEN_BYTES_MAX;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proctor_model::{Reason, RevocationId, TenantId, Timestamp};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// What the text form begins with.
pub const PREFIX: &str = "pct_";

/// Why a text is no valid token. Holds nothing of it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenError {
    /// Not a macaroon of ours; says which part is wrong.
    #[error("not a capability token: {0}")]
    Malformed(&'static str),
    /// Made with a key that isn't held, or of another tenant.
    #[error("made with a key that is unknown here")]
    UnknownKey,
    /// The HMAC chain doesn't verify.
    #[error("the HMAC chain does not verify")]
    Forged,
    /// A caveat that is unknown, unparsable, or can't be enforced.
    #[error("caveat {0} is refused")]
    Caveat(usize, #[source] CaveatError),
    /// A caveat that each token needs is missing.
    #[error("a caveat that each token needs is missing: {0}")]
    Incomplete(&'static str),
    /// Delegated more often than a `depth` caveat allows.
    #[error("delegated more often than its depth caveat allows")]
    TooDeep,
}

impl From<&TokenError> for Reason {
    fn from(error: &TokenError) -> Self {
        match error {
            TokenError::Malformed(_) => Self::TokenMalformed,
            TokenError::UnknownKey => Self::TokenUnknownKey,
            TokenError::Forged => Self::TokenForged,
            TokenError::Caveat(..) => Self::TokenUnknownCaveat,
            TokenError::Incomplete(_) => Self::TokenIncomplete,
            TokenError::TooDeep => Self::DelegationTooDeep,
        }
    }
}

/// A token that was read but **not verified**: good for routing, showing and attenuating, for nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    identifier: Identifier,
    identifier_bytes: Vec<u8>,
    caveats: Vec<Vec<u8>>,
    tag: [u8; 32],
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({}, …)", self.id())
    }
}

impl Token {
    /// Its caveats, read.
    fn read_caveats(&self) -> Result<Vec<Caveat>, TokenError> {
        let read = |(index, bytes): (usize, &Vec<u8>)| {
            Caveat::from_bytes(bytes).map_err(|error| TokenError::Caveat(index, error))
        };
        self.caveats.iter().enumerate().map(read).collect()
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`TokenError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let body = text
            .strip_prefix(PREFIX)
            .ok_or(TokenError::Malformed("it begins with pct_"))?;
        if body.len() > TOKEN_BYTES_MAX.saturating_mul(2) {
            return Err(TokenError::Malformed("too large"));
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(body)
            .map_err(|_| TokenError::Malformed("base64url without padding"))?;
        Self::from_bytes(&bytes)
    }

    /// Reads the binary form.
    ///
    /// # Errors
    /// [`TokenError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenError> {
        let raw = binary::decode(bytes)?;
        let identifier = Identifier::decode(&raw.identifier)?;
        if raw.location != identifier.tenant.as_str().as_bytes() {
            return Err(TokenError::Malformed("its location is the tenant id"));
        }
        Ok(Self {
            identifier,
            identifier_bytes: raw.identifier,
            caveats: raw.caveats,
            tag: raw.tag,
        })
    }

    /// The binary form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        binary::encode(
            self.identifier.tenant.as_str().as_bytes(),
            &self.identifier_bytes,
            &self.caveats,
            &self.tag,
        )
    }

    /// The text form.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.to_bytes()))
    }

    /// The tenant it claims to be of.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.identifier.tenant
    }

    /// What it claims to be.
    #[must_use]
    pub fn identifier(&self) -> &Identifier {
        &self.identifier
    }

    /// Id of this token: the revocation id of its last prefix.
    #[must_use]
    pub fn id(&self) -> RevocationId {
        revocation_id(&self.tag)
    }

    /// Its caveats as text, in order. Unverified, and maybe not even known ones.
    #[must_use]
    pub fn caveats(&self) -> Vec<String> {
        self.caveats
            .iter()
            .map(|caveat| String::from_utf8_lossy(caveat).into_owned())
            .collect()
    }

    /// What it says, for people.
    #[must_use]
    pub fn inspect(&self) -> Inspection {
        Inspection {
            token_id: self.id(),
            tenant: self.identifier.tenant.clone(),
            agent: self.identifier.agent.to_string(),
            key: self.identifier.kid.to_string(),
            issued_at: self.identifier.iat,
            caveats: self.caveats(),
            problems: self
                .caveats
                .iter()
                .enumerate()
                .filter_map(|(index, caveat)| {
                    let problem = Caveat::from_bytes(caveat).err()?;
                    Some(format!("caveat {index}: {problem}"))
                })
                .collect(),
        }
    }
}

/// Reads the text form of a token without verifying it (that takes the tenant's key).
///
/// # Errors
/// [`TokenError::Malformed`].
pub fn inspect(text: &str) -> Result<Inspection, TokenError> {
    Token::parse(text).map(|token| token.inspect())
}

/// What a token says about itself; nothing of it is verified.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Inspection {
    /// Its id, by which it can be revoked.
    pub token_id: RevocationId,
    /// Tenant.
    pub tenant: TenantId,
    /// Agent.
    pub agent: String,
    /// Id of the key it was minted with.
    pub key: String,
    /// When it was minted.
    pub issued_at: Timestamp,
    /// Its caveats in order.
    pub caveats: Vec<String>,
    /// Caveats that make it unusable, with the reason.
    pub problems: Vec<String>,
}

/// Revocation id of the prefix that ends with `tag`.
fn revocation_id(tag: &[u8; 32]) -> RevocationId {
    let digest = Sha256::new()
        .chain_update(b"proctor-revocation-v1")
        .chain_update(tag)
        .finalize();
    #[expect(
        clippy::expect_used,
        reason = "64 lower-case hex digits are what a revocation id is"
    )]
    hex::encode(digest).parse().expect("a revocation id")
}

/// SHA-256 of a token's text form: what a cache of verified tokens is keyed by.
#[must_use]
pub fn cache_key(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

pub use key::{is_nonce_of, login_nonce, nonce_of, request_state_key};
pub(crate) use key::{keyed_digest, login_line};

#[cfg(test)]
mod tests;

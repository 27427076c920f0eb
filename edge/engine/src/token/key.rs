//! The keys that verify tokens of one tenant.

use super::mint::mint_under;
use super::{MintRequest, Token, TokenError, revocation_id};
use hmac::{Hmac, KeyInit, Mac};
use proctor_model::config::TokenKeys;
use proctor_model::{KeyId, RevocationId, TenantId, Timestamp};
use sha2::Sha256;
use zeroize::Zeroizing;

/// A tag of the HMAC chain, or the key of its next link.
pub(super) type Tag = [u8; 32];

/// One link of the chain: HMAC-SHA256.
pub(super) fn link(key: &Tag, message: &[u8]) -> Tag {
    mac(key, message)
}

/// HMAC-SHA256 of a message.
pub(crate) fn keyed_digest(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    mac(key, message)
}

/// Seals what a client of MCP has to give back (`requestState`); the same at all edges of a tenant.
#[must_use]
pub fn request_state_key(digest_key: &[u8; 32]) -> [u8; 32] {
    keyed_digest(digest_key, b"proctor request state")
}

/// The nonce of the capability token that an access token of an identity provider stands for: it is the same at all edges of a
/// tenant, each time, so that one that was revoked is not made good by showing the access token once more.
#[must_use]
pub fn login_nonce(digest_key: &[u8; 32], access_token: &str) -> [u8; 16] {
    // A signature can be written in more than one way (of ECDSA, with `s` or with `n - s`); what is signed can't.
    let signed = access_token.rsplit_once('.');
    let signed = signed.map_or(access_token, |(signed, _)| signed);
    let key = keyed_digest(digest_key, b"proctor login nonce");
    let digest = keyed_digest(&key, signed.as_bytes());
    digest.first_chunk().copied().unwrap_or_default()
}

/// The nonce of a capability token that is given for a login: half of it is chance, half says who logged in, to whoever has
/// the tenant's digest key and asks about one user ([`is_nonce_of`]). The token itself names nobody.
#[must_use]
pub fn nonce_of(digest_key: &[u8; 32], chance: [u8; 8], user: &str) -> [u8; 16] {
    let mut nonce = [0; 16];
    let mark = login_mark(digest_key, chance, user);
    for (to, from) in nonce.iter_mut().zip(chance.into_iter().chain(mark)) {
        *to = from;
    }
    nonce
}

/// Whether a token with this nonce was given for a login of this user; upper and lower case are the same. Of one that was given
/// for none it says so by an accident of 2^-64.
#[must_use]
pub fn is_nonce_of(digest_key: &[u8; 32], nonce: &[u8; 16], user: &str) -> bool {
    let chance = nonce.first_chunk().copied().unwrap_or_default();
    nonce_of(digest_key, chance, user) == *nonce
}

fn login_mark(digest_key: &[u8; 32], chance: [u8; 8], user: &str) -> [u8; 8] {
    let key = keyed_digest(digest_key, b"proctor login user");
    let key = keyed_digest(&key, &chance);
    let mark = keyed_digest(&key, user.to_ascii_lowercase().as_bytes());
    mark.first_chunk().copied().unwrap_or_default()
}

/// The line that the logins of one principal are of, whose sessions go on from one to the next.
pub(crate) fn login_line(digest_key: &[u8; 32], principal: &str) -> RevocationId {
    let key = keyed_digest(digest_key, b"proctor login line");
    revocation_id(&keyed_digest(&key, principal.as_bytes()))
}

fn mac(key: &[u8], message: &[u8]) -> Tag {
    #[expect(
        clippy::expect_used,
        reason = "HMAC takes a key of any length, the type says otherwise"
    )]
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// The root key as macaroon libraries derive it from a secret.
pub(super) fn root(secret: &[u8; 32]) -> Zeroizing<Tag> {
    Zeroizing::new(mac(b"macaroons-key-generator", secret))
}

struct Key {
    kid: KeyId,
    root: Zeroizing<Tag>,
    not_after: Option<Timestamp>,
}

/// The keys of one tenant, ready for use.
pub struct KeyRing {
    tenant: TenantId,
    keys: Vec<Key>,
}

impl KeyRing {
    /// From the tenant's keys as they lie inside the seal.
    #[must_use]
    pub fn new(tenant: TenantId, keys: &TokenKeys) -> Self {
        let key = |key: &proctor_model::config::TokenKey| Key {
            kid: key.kid.clone(),
            root: root(&key.key),
            not_after: key.not_after,
        };
        Self {
            tenant,
            keys: keys.keys.iter().map(key).collect(),
        }
    }

    /// The tenant whose tokens these keys verify.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// A new token, made with the tenant's active key. `nonce` must be fresh random bytes.
    ///
    /// # Errors
    /// As [`mint`](super::mint()); [`TokenError::UnknownKey`] without an active key.
    pub fn mint(
        &self,
        request: &MintRequest,
        nonce: [u8; 16],
        iat: Timestamp,
    ) -> Result<Token, TokenError> {
        let active = self.keys.iter().find(|key| key.not_after.is_none());
        let active = active.filter(|_| request.tenant == self.tenant);
        let active = active.ok_or(TokenError::UnknownKey)?;
        mint_under(request, &active.kid, &active.root, nonce, iat)
    }

    pub(super) fn find(&self, kid: &KeyId) -> Option<(&Tag, Option<Timestamp>)> {
        self.keys
            .iter()
            .find(|key| key.kid == *kid)
            .map(|key| (&*key.root, key.not_after))
    }
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyRing({}, {} keys)", self.tenant, self.keys.len())
    }
}

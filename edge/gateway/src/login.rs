//! The keys of identity providers, so that their access tokens can be exchanged: [`Keys::find`] gives those that a token may
//! have been signed with.

mod source;

use crate::jws::Jws;
use crate::world::Tenants;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use moka::sync::Cache;
use proctor_model::login::{IssuerKeys, JwsAlgorithm, PRIVATE_MEMBERS, TrustedIssuer};
use proctor_model::{Reason, TenantId};
use proctor_runtime::Clock;
use serde_json::Value;
use source::Source;
use std::sync::Arc;
use std::time::Duration;

/// Addresses of key sets that are known at once.
const SOURCES_MAX: u64 = 10_000;
/// How long one is known that nobody asks for.
const SOURCE_IDLE: Duration = Duration::from_secs(24 * 3600);
/// Keys of a set that are looked at.
const KEYS_MAX: usize = 64;
/// Keys of one id that are tried.
const TRIED_MAX: usize = 4;

/// The key sets of all tenants. Nothing is shared between tenants: one can't make another's logins wait.
pub(crate) struct Keys {
    sources: Cache<(TenantId, String), Arc<Source>>,
    tenants: Arc<Tenants>,
    clock: Clock,
}

impl Keys {
    pub(crate) fn new(tenants: Arc<Tenants>, clock: Clock) -> Self {
        let sources = Cache::builder()
            .max_capacity(SOURCES_MAX)
            .time_to_idle(SOURCE_IDLE)
            .build();
        Self {
            sources,
            tenants,
            clock,
        }
    }

    /// The keys of an issuer that a token may have been signed with.
    ///
    /// # Errors
    /// [`Reason::LoginKeysUnavailable`]; [`Reason::LoginTokenInvalid`] if there is no such key.
    pub(crate) async fn find(
        &self,
        tenant: &TenantId,
        issuer: &TrustedIssuer,
        jws: &Jws<'_>,
        algorithm: JwsAlgorithm,
    ) -> Result<Vec<Jwk>, Reason> {
        let found = match &issuer.keys {
            IssuerKeys::Inline { jwks } => fitting(&public_keys(jwks), jws.kid(), algorithm),
            IssuerKeys::Fetched {
                jwks_uri,
                private_addresses,
            } => {
                let key = (tenant.clone(), jwks_uri.clone());
                let source = self.sources.get_with(key, || {
                    Arc::new(Source::new(
                        jwks_uri.clone(),
                        *private_addresses,
                        self.clock.clone(),
                    ))
                });
                source
                    .find(&self.tenants, |keys| fitting(keys, jws.kid(), algorithm))
                    .await?
            }
        };
        match found.is_empty() {
            false => Ok(found),
            true => Err(Reason::LoginTokenInvalid),
        }
    }
}

/// The public keys of a set. What is not understood is left out, as RFC 7517, section 5, wants it.
fn public_keys(jwks: &Value) -> Vec<Jwk> {
    let keys = jwks.get("keys").and_then(Value::as_array);
    let public = |key: &&Value| PRIVATE_MEMBERS.iter().all(|name| key.get(name).is_none());
    keys.into_iter()
        .flatten()
        .filter(public)
        .filter_map(|key| serde_json::from_value(key.clone()).ok())
        .take(KEYS_MAX)
        .collect()
}

/// Those of them that a token of this key id and algorithm may have been signed with. A token that names no key is taken
/// where there is one key that it can be.
fn fitting(keys: &[Jwk], kid: Option<&str>, algorithm: JwsAlgorithm) -> Vec<Jwk> {
    let signs = |key: &&Jwk| {
        !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption))
            && key
                .common
                .key_algorithm
                .is_none_or(|said| said.to_string() == algorithm.as_str())
    };
    let named = |key: &&Jwk| kid.is_none() || key.common.key_id.as_deref() == kid;
    let mut found: Vec<Jwk> = keys.iter().filter(signs).filter(named).cloned().collect();
    match kid {
        None if found.len() > 1 => found.clear(),
        _ => found.truncate(TRIED_MAX),
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ed(more: &Value) -> Value {
        let mut key = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
        let members = key.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        key
    }

    #[test]
    fn a_token_is_held_against_the_keys_that_it_can_be_of() {
        let count = |set: &[Value], kid, algorithm| {
            let keys = public_keys(&json!({ "keys": set }));
            fitting(&keys, kid, algorithm).len()
        };
        let eddsa = JwsAlgorithm::EdDSA;
        let two = [ed(&json!({ "kid": "a" })), ed(&json!({ "kid": "b" }))];
        assert_eq!(count(&two, Some("a"), eddsa), 1);
        assert_eq!(count(&two, Some("c"), eddsa), 0);
        assert_eq!(count(&two, None, eddsa), 0, "which of the two?");
        assert_eq!(count(&two[..1], None, eddsa), 1);
        for left_out in [
            ed(&json!({ "kid": "a", "use": "enc" })),
            ed(&json!({ "kid": "a", "alg": "RS256" })),
            ed(&json!({ "kid": "a", "d": "AA" })),
            json!({ "kid": "a", "kty": "oct", "k": "AAAA" }),
            json!({ "kid": "a" }),
            json!("a"),
        ] {
            let found = count(std::slice::from_ref(&left_out), Some("a"), eddsa);
            // One of unknown kind is no key: it verifies nothing.
            assert!(found == 0 || left_out.get("kty").is_none(), "{left_out}");
        }
    }
}

//! Proof of possession (DPoP, RFC 9449): that who sends a token that is bound to a key (`cnf`) has that key.
//!
//! A proof is good for one request: its method and address, its token, a minute around its time, once. The address is the one
//! by which this edge knows itself, whatever the request's `Host` says.

use crate::jws::Jws;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, HeaderValue, Method};
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use proctor_engine::token::cache_key;
use proctor_model::login::{JwsAlgorithm, PRIVATE_MEMBERS};
use proctor_model::{KeyThumbprint, Reason, Timestamp};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use url::{Host, Url};

/// The header that a proof comes in.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("dpop");
/// Algorithms of proofs. None with a shared secret: the key is in the proof.
pub(crate) const ALGORITHMS: [JwsAlgorithm; 5] = [
    JwsAlgorithm::ES256,
    JwsAlgorithm::EdDSA,
    JwsAlgorithm::ES384,
    JwsAlgorithm::PS256,
    JwsAlgorithm::RS256,
];
/// How far the time of a proof may be from ours, either way, in seconds.
const WINDOW_S: i64 = 60;
/// A proof that was used is remembered at least so long: as long as it could be good.
const REMEMBERED: Duration = Duration::from_secs(2 * 60 + 1);
/// Proofs that are remembered for one tenant in that time, 16 bytes each. Beyond it none is taken: one that is forgotten could
/// be used again.
const USED_MAX: usize = 1_000_000;
/// Longest `jti`, in bytes.
const JTI_BYTES_MAX: usize = 256;

/// How a token was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scheme {
    /// `Authorization: Bearer`, or as an API key.
    Bearer,
    /// `Authorization: DPoP`.
    Dpop,
}

/// What a request shows of its sender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Presented<'a> {
    pub(crate) token: Option<&'a str>,
    pub(crate) scheme: Scheme,
    pub(crate) proof: Option<&'a HeaderValue>,
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
}

/// By which addresses this edge is known.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    listen: SocketAddr,
    public: Option<Url>,
}

impl Place {
    /// With a public address that one alone; else where it listens, as loopback names or that very address.
    pub(crate) fn new(listen: SocketAddr, public: Option<Url>) -> Self {
        Self { listen, public }
    }

    /// Whether `htu` is this path here; query and fragment don't count (RFC 9449, section 4.3).
    fn is_named_by(&self, htu: &str, path: &str) -> bool {
        let Ok(url) = htu.parse::<Url>() else {
            return false;
        };
        let here = match &self.public {
            Some(public) => url.origin() == public.origin(),
            None => {
                let listen = self.listen.ip();
                let host = match url.host() {
                    Some(Host::Domain(name)) => name == "localhost" && listen.is_loopback(),
                    Some(Host::Ipv4(ip)) => listen == ip,
                    Some(Host::Ipv6(ip)) => listen == ip,
                    None => false,
                };
                let port = url.port_or_known_default() == Some(self.listen.port());
                url.scheme() == "http" && host && port
            }
        };
        let anonymous = url.username().is_empty() && url.password().is_none();
        here && anonymous && url.path() == path
    }
}

/// The key that a request proves to have, if it is a right one. What is proved with another is not remembered: who has no
/// such key must not fill the memory.
///
/// # Errors
/// [`Reason::ProofMissing`], [`Reason::ProofInvalid`].
pub(crate) fn check(
    presented: &Presented<'_>,
    place: &Place,
    used: &Used,
    now: (Timestamp, Duration),
    is_right: impl Fn(&KeyThumbprint) -> bool,
) -> Result<KeyThumbprint, Reason> {
    let proof = presented.proof.ok_or(Reason::ProofMissing)?;
    let text = proof.to_str().map_err(|_| Reason::ProofInvalid)?;
    let proven = prove(text, presented, place, now.0).ok_or(Reason::ProofInvalid)?;
    match is_right(&proven.key) && used.first(&proven, now.1) {
        true => Ok(proven.key),
        false => Err(Reason::ProofInvalid),
    }
}

/// A proof that holds, and may have been used before.
struct Proven {
    key: KeyThumbprint,
    jti: String,
}

/// RFC 9449, section 4.3; by its numbers.
fn prove(text: &str, presented: &Presented<'_>, place: &Place, now: Timestamp) -> Option<Proven> {
    let jws = Jws::read(text)?; // 2
    jws.typ()
        .filter(|typ| typ.eq_ignore_ascii_case("dpop+jwt"))?; // 4
    let algorithm = jws.algorithm(&ALGORITHMS)?; // 5
    let key = jws.header("jwk")?;
    if PRIVATE_MEMBERS.iter().any(|name| key.get(name).is_some()) {
        return None; // 7
    }
    let key: Jwk = serde_json::from_value(key.clone()).ok()?;
    let claims = jws.verify(&key, algorithm)?; // 6
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let issued_at = claims.get("iat").and_then(Value::as_f64)?;
    let age = now.as_secs() as f64 - issued_at;
    let jti = text("jti").filter(|jti| (1..=JTI_BYTES_MAX).contains(&jti.len()))?; // 3
    let holds = text("htm")? == presented.method.as_str() // 8
        && place.is_named_by(text("htu")?, presented.path) // 9
        && age.abs() <= WINDOW_S as f64 // 11
        && is_for(&claims, presented.token); // 12
    holds.then_some(())?;
    Some(Proven {
        key: key.thumbprint(ThumbprintHash::SHA256).ok()?.parse().ok()?,
        jti: jti.to_owned(),
    })
}

/// Whether a proof is for this token; one that comes without a token says nothing of one.
fn is_for(claims: &Map<String, Value>, token: Option<&str>) -> bool {
    let said = claims.get("ath").map(Value::as_str);
    match token {
        Some(token) => {
            let digest = URL_SAFE_NO_PAD.encode(cache_key(token));
            said == Some(Some(digest.as_str()))
        }
        None => said.is_none(),
    }
}

/// Proofs that were used, of one tenant: exact, unlike a cache that makes room by forgetting.
#[derive(Default)]
pub(crate) struct Used(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    /// When the present one began, on the monotonic clock.
    begun: Duration,
    present: HashSet<[u8; 16]>,
    before: HashSet<[u8; 16]>,
}

impl Used {
    /// Whether it is used for the first time; from then on it was.
    fn first(&self, proven: &Proven, now: Duration) -> bool {
        let digest = Sha256::new()
            .chain_update(proven.key.as_str())
            .chain_update(&proven.jti)
            .finalize();
        let mut name = [0; 16];
        name.copy_from_slice(digest.get(..16).unwrap_or(&[0; 16]));
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.saturating_sub(used.begun);
        if age >= REMEMBERED {
            // What is older than two of them is good for nothing any more.
            used.before = match age < REMEMBERED.saturating_mul(2) {
                true => std::mem::take(&mut used.present),
                false => HashSet::new(),
            };
            used.present.clear();
            used.begun = now;
        }
        !used.before.contains(&name) && used.present.len() < USED_MAX && used.present.insert(name)
    }
}

#[cfg(test)]
mod tests;

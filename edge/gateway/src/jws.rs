//! Signed tokens of others (JWS, RFC 7515, compact form): read strictly, verified with an algorithm that was allowed before.
//!
//! What a token says about itself chooses among what is allowed, and never widens it: a key comes from who is trusted, and
//! `none` and shared secrets are no algorithms here (RFC 8725).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey};
use proctor_engine::json::{Limits, parse};
use proctor_model::login::JwsAlgorithm;
use serde_json::{Map, Value};

/// Largest token, in bytes: it comes in a header or a form.
pub(crate) const BYTES_MAX: usize = 16 * 1024;

/// Whether a text looks like such a token, and is to be read as one: three parts between dots. None of our own has a dot.
pub(crate) fn has_its_form(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// A token whose signature nobody has checked yet.
pub(crate) struct Jws<'a> {
    header: Map<String, Value>,
    /// What is signed.
    message: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Jws<'a> {
    /// Reads a token; `None`: it is none, or asks for what is not understood here (`crit`).
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let (message, signature) = text.rsplit_once('.').filter(|_| text.len() <= BYTES_MAX)?;
        let (header, payload) = message.split_once('.')?;
        let header = object(header)?;
        if payload.contains('.') || header.contains_key("crit") || header.contains_key("b64") {
            return None;
        }
        Some(Self {
            header,
            message,
            payload,
            signature,
        })
    }

    fn text(&self, member: &str) -> Option<&str> {
        self.header.get(member).and_then(Value::as_str)
    }

    /// What it says it is.
    pub(crate) fn typ(&self) -> Option<&str> {
        self.text("typ")
    }

    /// The key that it says it was signed with.
    pub(crate) fn kid(&self) -> Option<&str> {
        self.text("kid")
    }

    /// A member of its header.
    pub(crate) fn header(&self, member: &str) -> Option<&Value> {
        self.header.get(member)
    }

    /// The algorithm that it says it was signed with, if that is one of these.
    pub(crate) fn algorithm(&self, allowed: &[JwsAlgorithm]) -> Option<JwsAlgorithm> {
        let said = self.text("alg")?;
        let mut allowed = allowed.iter().copied();
        allowed.find(|algorithm| algorithm.as_str() == said)
    }

    /// What it claims, **unverified**: good for finding out who would have to have signed it, for nothing else.
    pub(crate) fn unverified(&self) -> Option<Map<String, Value>> {
        object(self.payload)
    }

    /// What it claims, if this key signed it.
    pub(crate) fn verify(&self, key: &Jwk, algorithm: JwsAlgorithm) -> Option<Map<String, Value>> {
        let key = DecodingKey::from_jwk(key).ok()?;
        // A key of another family than the algorithm's is an error of the library's, not a match.
        let algorithm = known(algorithm);
        jsonwebtoken::crypto::verify(self.signature, self.message.as_bytes(), &key, algorithm)
            .ok()
            .filter(|good| *good)?;
        self.unverified()
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    match parse(&bytes, &Limits::default()).ok()? {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

fn known(algorithm: JwsAlgorithm) -> Algorithm {
    match algorithm {
        JwsAlgorithm::RS256 => Algorithm::RS256,
        JwsAlgorithm::RS384 => Algorithm::RS384,
        JwsAlgorithm::RS512 => Algorithm::RS512,
        JwsAlgorithm::PS256 => Algorithm::PS256,
        JwsAlgorithm::PS384 => Algorithm::PS384,
        JwsAlgorithm::PS512 => Algorithm::PS512,
        JwsAlgorithm::ES256 => Algorithm::ES256,
        JwsAlgorithm::ES384 => Algorithm::ES384,
        JwsAlgorithm::EdDSA => Algorithm::EdDSA,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    // RFC 8037, appendix A.4: EdDSA with the key of A.2.
    const SIGNED: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

    fn key() -> Jwk {
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
        serde_json::from_value(key).unwrap()
    }

    #[test]
    fn a_published_signature_verifies_and_its_like_does_not() {
        let good = |text: &str| {
            let (message, signature) = text.rsplit_once('.').unwrap();
            let key = DecodingKey::from_jwk(&key()).unwrap();
            let algorithm = Algorithm::EdDSA;
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, algorithm)
                .unwrap_or(false)
        };
        assert!(good(SIGNED));
        assert!(!good(&SIGNED.replacen("RXh", "RXi", 1)));
        // Its payload is a text, no object of claims.
        let jws = Jws::read(SIGNED).unwrap();
        assert!(jws.verify(&key(), JwsAlgorithm::EdDSA).is_none());
        assert_eq!(jws.algorithm(&JwsAlgorithm::ALL), Some(JwsAlgorithm::EdDSA));
        assert_eq!(jws.algorithm(&[JwsAlgorithm::ES256]), None);
    }

    #[test]
    fn what_is_no_plain_token_is_not_read() {
        let token = |header: &Value, parts: &str| {
            format!("{}.{parts}", URL_SAFE_NO_PAD.encode(header.to_string()))
        };
        assert!(Jws::read(&token(&json!({ "alg": "RS256" }), "e30.AA")).is_some());
        for bad in [
            String::new(),
            "a.b".to_owned(),
            "a.b.c".to_owned(),
            token(&json!({ "alg": "RS256" }), "e30"),
            token(&json!({ "alg": "RS256" }), "e30.AA.AA"),
            token(&json!({ "alg": "RS256", "crit": ["exp"] }), "e30.AA"),
            token(&json!({ "alg": "RS256", "b64": false }), "e30.AA"),
            token(&json!([]), "e30.AA"),
            token(
                &json!({ "alg": "RS256", "kid": "x".repeat(BYTES_MAX) }),
                "e30.AA",
            ),
        ] {
            assert!(Jws::read(&bad).is_none(), "{bad:.80}");
        }
        for text in ["a.b.c", "..", SIGNED] {
            assert!(has_its_form(text), "{text}");
        }
        for text in ["", "a", "a.b", "a.b.c.d", "pct_AAAA-_"] {
            assert!(!has_its_form(text), "{text}");
        }
        for algorithm in ["none", "HS256", "rs256", ""] {
            let text = token(&json!({ "alg": algorithm }), "e30.AA");
            let jws = Jws::read(&text).unwrap();
            assert_eq!(jws.algorithm(&JwsAlgorithm::ALL), None, "{algorithm}");
        }
    }
}

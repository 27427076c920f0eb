//! A small identity provider: keys, tokens signed with them, and the address of the key set; and a client's own key.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
};
use axum::Json;
use axum::Router;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use time::UtcDateTime;

/// Seconds of the epoch.
pub(crate) fn now() -> i64 {
    UtcDateTime::now().unix_timestamp()
}

enum Pair {
    Rsa(rsa::KeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// A key pair.
pub(crate) struct Key {
    kid: String,
    pair: Pair,
}

impl Key {
    pub(crate) fn rsa(kid: &str) -> Self {
        let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        Self {
            kid: kid.to_owned(),
            pair: Pair::Rsa(pair),
        }
    }

    pub(crate) fn ec(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self {
            kid: kid.to_owned(),
            pair: Pair::Ec(pair),
        }
    }

    pub(crate) fn ed(kid: &str) -> Self {
        Self {
            kid: kid.to_owned(),
            pair: Pair::Ed(Ed25519KeyPair::generate().unwrap()),
        }
    }

    fn alg(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ec(_) => "ES256",
            Pair::Ed(_) => "EdDSA",
        }
    }

    /// The public key, with the members that a thumbprint is made of.
    pub(crate) fn public(&self) -> Value {
        match &self.pair {
            Pair::Rsa(pair) => {
                let key = pair.public_key();
                let (n, e) = (key.modulus(), key.exponent());
                json!({ "e": B64.encode(e.big_endian_without_leading_zero()), "kty": "RSA",
                    "n": B64.encode(n.big_endian_without_leading_zero()) })
            }
            Pair::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({ "crv": "P-256", "kty": "EC", "x": B64.encode(x), "y": B64.encode(y) })
            }
            Pair::Ed(pair) => {
                json!({ "crv": "Ed25519", "kty": "OKP", "x": B64.encode(pair.public_key().as_ref()) })
            }
        }
    }

    /// RFC 7638: the members above in the order of their names, hashed.
    pub(crate) fn thumbprint(&self) -> String {
        let canonical = serde_json_canonicalizer::to_vec(&self.public()).unwrap();
        B64.encode(Sha256::digest(canonical))
    }

    /// As a key set has it.
    pub(crate) fn jwk(&self) -> Value {
        let mut key = self.public();
        key["kid"] = json!(self.kid);
        key["alg"] = json!(self.alg());
        key["use"] = json!("sig");
        key
    }

    /// A token with these members in its header beside the usual ones.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let mut all = json!({ "alg": self.alg(), "kid": self.kid });
        let members = all.as_object_mut().unwrap();
        members.extend(header.as_object().unwrap().clone());
        let message = message(&all, claims);
        let random = SystemRandom::new();
        let bytes = message.as_bytes();
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, bytes, &mut signature)
                    .unwrap();
                signature
            }
            Pair::Ec(pair) => pair.sign(&random, bytes).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(bytes).as_ref().to_vec(),
        };
        format!("{message}.{}", B64.encode(signature))
    }

    /// What a client proves to have when it sends this request.
    pub(crate) fn proof(&self, method: &str, url: &str, token: Option<&str>, jti: &str) -> String {
        let mut claims = json!({ "jti": jti, "htm": method, "htu": url, "iat": now() });
        if let Some(token) = token {
            claims["ath"] = json!(B64.encode(Sha256::digest(token.as_bytes())));
        }
        let header = json!({ "typ": "dpop+jwt", "jwk": self.public() });
        self.sign(&header, &claims)
    }
}

fn message(header: &Value, claims: &Value) -> String {
    format!(
        "{}.{}",
        B64.encode(header.to_string()),
        B64.encode(claims.to_string())
    )
}

/// A token that is signed with the public key for a secret: what a verifier that believes `alg` takes for good.
pub(crate) fn signed_with_public(key: &Key, claims: &Value) -> String {
    let message = message(&json!({ "alg": "HS256", "kid": key.kid }), claims);
    let public = key.public().to_string();
    let secret = hmac::Key::new(hmac::HMAC_SHA256, public.as_bytes());
    let tag = hmac::sign(&secret, message.as_bytes());
    format!("{message}.{}", B64.encode(tag.as_ref()))
}

/// A token that nobody signed.
pub(crate) fn unsigned(claims: &Value) -> String {
    format!("{}.", message(&json!({ "alg": "none" }), claims))
}

/// An identity provider that shows its keys.
pub(crate) struct Provider {
    /// Also its name, `iss`.
    pub(crate) url: String,
    shown: Arc<Mutex<Vec<Value>>>,
    asked: Arc<AtomicUsize>,
}

impl Provider {
    pub(crate) async fn start(keys: &[&Key]) -> Self {
        Self::start_with(keys, |_| Router::new()).await
    }

    /// One that does more than showing its keys, at its address.
    pub(crate) async fn start_with(keys: &[&Key], more: impl FnOnce(&str) -> Router) -> Self {
        let shown: Arc<Mutex<Vec<Value>>> = Arc::default();
        let asked: Arc<AtomicUsize> = Arc::default();
        let (keys_of, counted) = (Arc::clone(&shown), Arc::clone(&asked));
        let route = get(move || async move {
            counted.fetch_add(1, Ordering::SeqCst);
            Json(json!({ "keys": *keys_of.lock().unwrap() }))
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/keys", route).merge(more(&url));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let provider = Self { url, shown, asked };
        provider.show(keys);
        provider
    }

    /// From now on these are its keys.
    pub(crate) fn show(&self, keys: &[&Key]) {
        *self.shown.lock().unwrap() = keys.iter().map(|key| key.jwk()).collect();
    }

    /// How often somebody asked for them.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Claims of a good token, with these in place of others; null: left out.
    pub(crate) fn claims(&self, audience: &str, more: &Value) -> Value {
        let mut claims = json!({
            "iss": self.url, "aud": audience, "sub": "alice@acme.example", "azp": "cursor",
            "iat": now(), "exp": now() + 600, "scope": "openid mcp:tools",
        });
        let members = claims.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        members.retain(|_, value| !value.is_null());
        claims
    }
}

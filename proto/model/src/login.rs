//! Who vouches for a tenant's users: identity providers whose access tokens (JWT, RFC 9068) edges exchange for capability
//! tokens (RFC 8693), and what such a token gives.

use crate::ids::{AgentId, IssuerId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Longest text of an issuer, an audience, a claim or a scope, in bytes.
const TEXT_BYTES_MAX: usize = 512;
/// Most keys in a set that is given inline.
const KEYS_MAX: usize = 32;
/// Most clients that stand for agents.
const CLIENTS_MAX: usize = 256;
/// Most scopes that are asked for, and most further caveats.
const LIST_MAX: usize = 16;
/// Life of a capability token, in seconds: shorter is no use, longer than a working day is no login.
const TTL_S: std::ops::RangeInclusive<u32> = 60..=86_400;

/// Members of a JWK that are nobody else's business (RFC 7518, section 6): a set with one of them is no public one.
pub const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A signature algorithm (RFC 7518, section 3.1; RFC 8037) with a public key: nothing else vouches for a user, least of all
/// `none` or a shared secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the registry's")]
pub enum JwsAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl JwsAlgorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    /// As `alg` says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }
}

/// Where an issuer's public keys are.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum IssuerKeys {
    /// In the document.
    Inline {
        /// A JWK set (RFC 7517) of public keys.
        jwks: Value,
    },
    /// At an address that edges ask in the background, and again when a token names a key that they don't know.
    Fetched {
        /// `https`; `http` on loopback alone, with `private_addresses`.
        jwks_uri: String,
        /// Whether it may be in the edge's own network; registered with a platform key.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        private_addresses: bool,
    },
}

/// Which agent a login acts as.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum AgentRule {
    /// Always this one.
    Fixed {
        /// The agent.
        id: AgentId,
    },
    /// The one that stands for the client that the token was given to; a client that is not in the map gets nothing.
    Claim {
        /// The claim that names the client (`azp`, `client_id`).
        claim: String,
        /// The claim's value, and the agent.
        map: BTreeMap<String, AgentId>,
    },
}

/// An identity provider of a tenant, and what a login through it gives.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedIssuer {
    /// Its id.
    pub id: IssuerId,
    /// `iss` of its tokens, to the letter.
    pub issuer: String,
    /// What has to be among `aud`: a name for this gateway alone, never the client's own (a client's ID tokens have that).
    pub audience: String,
    /// Algorithms that are taken.
    #[serde(default = "rs256")]
    pub algorithms: Vec<JwsAlgorithm>,
    /// Its keys.
    pub keys: IssuerKeys,
    /// The claim that says who the user is.
    #[serde(default = "sub")]
    pub user_claim: String,
    /// Scopes that a token must have, all of them (`scope`, or `scp`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Which agent the login acts as.
    pub agent: AgentRule,
    /// Tools that the capability token covers, patterns as in `tool in`.
    pub tools: Vec<String>,
    /// Further caveats of the capability token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caveats: Vec<String>,
    /// Longest life of the capability token, in seconds; it never outlives the token that it was exchanged for.
    #[serde(default = "hour")]
    pub ttl_max_s: u32,
    /// Whether the client has to prove a key of its own (DPoP), to which the capability token is then bound.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub proof_required: bool,
    /// Whether a client of MCP may send the access token itself in place of a capability token: the edge then exchanges it.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub mcp_bearer: bool,
}

fn rs256() -> Vec<JwsAlgorithm> {
    vec![JwsAlgorithm::RS256]
}

fn sub() -> String {
    "sub".to_owned()
}

fn hour() -> u32 {
    3_600
}

fn yes() -> bool {
    true
}

fn is_yes(said: &bool) -> bool {
    *said
}

/// What is wrong with a [`TrustedIssuer`]: the member, and the rule that it breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{member}: {rule}")]
pub struct IssuerError {
    /// The member.
    pub member: &'static str,
    /// The rule.
    pub rule: &'static str,
}

impl TrustedIssuer {
    /// Checks what types don't. Addresses, patterns and caveats are checked by who uses them.
    ///
    /// # Errors
    /// The first member that breaks its rule.
    pub fn check(&self) -> Result<(), IssuerError> {
        let fails = |member, rule| Err(IssuerError { member, rule });
        let text = |text: &str| {
            (1..=TEXT_BYTES_MAX).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !text(&self.issuer) {
            return fails("issuer", "1 to 512 printable ASCII, as `iss` has it");
        }
        if !text(&self.audience) {
            return fails("audience", "1 to 512 printable ASCII, as in `aud`");
        }
        if self.algorithms.is_empty() {
            return fails("algorithms", "at least one");
        }
        if !text(&self.user_claim) {
            return fails("user_claim", "the name of a claim");
        }
        if self.scopes.len() > LIST_MAX || !self.scopes.iter().all(|scope| text(scope)) {
            return fails("scopes", "at most 16, printable ASCII without blanks");
        }
        if self.caveats.len() > LIST_MAX {
            return fails("caveats", "at most 16");
        }
        if !TTL_S.contains(&self.ttl_max_s) {
            return fails("ttl_max_s", "60 to 86400");
        }
        if let AgentRule::Claim { claim, map } = &self.agent
            && (!text(claim) || map.is_empty() || map.len() > CLIENTS_MAX)
        {
            return fails("agent", "the name of a claim, and 1 to 256 clients");
        }
        match &self.keys {
            IssuerKeys::Inline { jwks } if !are_public(jwks) => {
                fails("keys.jwks", "a JWK set of 1 to 32 public keys")
            }
            _ => Ok(()),
        }
    }
}

fn are_public(jwks: &Value) -> bool {
    let keys = jwks.get("keys").and_then(Value::as_array);
    keys.is_some_and(|keys| {
        let public = |key: &Value| {
            key.get("kty").is_some_and(Value::is_string)
                && PRIVATE_MEMBERS.iter().all(|name| key.get(name).is_none())
        };
        (1..=KEYS_MAX).contains(&keys.len()) && keys.iter().all(public)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document() -> Value {
        json!({
            "id": "corp", "issuer": "https://login.example", "audience": "https://edge.example",
            "keys": { "kind": "inline", "jwks": { "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "AA" }] } },
            "agent": { "kind": "fixed", "id": "copilot" }, "tools": ["files/*"],
        })
    }

    #[test]
    fn only_public_keys_and_asymmetric_algorithms_vouch_for_anybody() {
        let read = |document: Value| serde_json::from_value::<TrustedIssuer>(document);
        let good = read(document()).unwrap();
        assert_eq!(good.check(), Ok(()));
        assert_eq!((good.user_claim.as_str(), good.ttl_max_s), ("sub", 3_600));
        // Edges that do not know it refuse a document that has it: there it is only where somebody wants it.
        assert!(good.mcp_bearer && json!(good).get("mcp_bearer").is_none());
        let mut without = document();
        without["mcp_bearer"] = json!(false);
        let without = read(without).unwrap();
        assert!(!without.mcp_bearer && json!(without)["mcp_bearer"] == false);
        for algorithm in ["none", "HS256", "HS512", "rs256", "ES512"] {
            let mut bad = document();
            bad["algorithms"] = json!([algorithm]);
            assert!(read(bad).is_err(), "{algorithm}");
        }
        for (member, value) in [
            ("issuer", json!("")),
            ("audience", json!("a b")),
            ("algorithms", json!([])),
            ("ttl_max_s", json!(0)),
            ("ttl_max_s", json!(90_000)),
            ("scopes", json!(["a b"])),
            (
                "agent",
                json!({ "kind": "claim", "claim": "azp", "map": {} }),
            ),
            ("keys", json!({ "kind": "inline", "jwks": { "keys": [] } })),
            (
                "keys",
                json!({ "kind": "inline", "jwks": { "keys": [{ "kty": "oct", "k": "AA" }] } }),
            ),
            (
                "keys",
                json!({ "kind": "inline", "jwks": { "keys": [{ "kty": "EC", "d": "AA" }] } }),
            ),
        ] {
            let mut bad = document();
            bad[member] = value;
            assert!(read(bad).unwrap().check().is_err(), "{member}");
        }
        let mut unknown = document();
        unknown["keys"]["more"] = json!(1);
        assert!(read(unknown).is_err());
    }

    #[test]
    fn an_algorithm_is_called_what_the_registry_calls_it() {
        for algorithm in JwsAlgorithm::ALL {
            assert_eq!(json!(algorithm), algorithm.as_str());
        }
    }
}

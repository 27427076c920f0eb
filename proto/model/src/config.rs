//! What control publishes to the edges: the payloads of its signed documents.

use crate::approval::ApprovalSettings;
use crate::budget::{Limits, Prices, Versioned};
use crate::catalogue::{MemoryRule, ToolServer};
use crate::content::ContentRules;
use crate::ids::{
    AgentId, DeploymentId, EdgeId, KeyId, PolicyId, Region, RevocationId, SecretName, TenantId,
};
use crate::login::TrustedIssuer;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// How the edge words a refusal to an MCP client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Denials {
    /// As a JSON-RPC error.
    #[default]
    Error,
    /// As a tool result with `isError`, so that a model can read it and go on.
    ToolResult,
}

/// Whether calls need a declared intent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum IntentRule {
    /// A token without an `intent` caveat makes no call. The default.
    #[default]
    Required,
    /// A token without an `intent` caveat is held to its other caveats and to policy alone.
    WhenDeclared,
}

/// Where the calls of one session may come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum SessionRule {
    /// One edge for as long as the session lasts: what it read is known where it is asked for. The default.
    #[default]
    OneEdge,
    /// Any edge: what a session read is not known wherever it goes on, unless its token is pinned to one edge.
    AnyEdge,
}

impl SessionRule {
    /// Whether it is the default.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A tenant's settings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantSettings {
    /// Seconds without news from control after which an edge refuses.
    pub max_staleness_s: u32,
    /// Form of refusals.
    pub denials: Denials,
    /// Whether an intent is needed.
    pub intent: IntentRule,
    /// How escalated calls are approved.
    #[serde(skip_serializing_if = "ApprovalSettings::is_default")]
    pub approvals: ApprovalSettings,
    /// Turns a request in free text into a proposed intent, when the application asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extractor: Option<Extractor>,
    /// How memory that is read is judged.
    #[serde(skip_serializing_if = "MemoryRule::is_default")]
    pub memory: MemoryRule,
    /// Whether a session stays at one edge.
    #[serde(skip_serializing_if = "SessionRule::is_default")]
    pub sessions: SessionRule,
}

/// The intent extraction plug-in of a tenant: an HTTP endpoint. Never asked per call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extractor {
    /// Where it listens, `http` or `https`.
    pub url: String,
    /// How long it may take, in milliseconds.
    #[serde(default = "Extractor::default_timeout_ms")]
    pub timeout_ms: u32,
}

impl Extractor {
    fn default_timeout_ms() -> u32 {
        10_000
    }
}

impl Default for TenantSettings {
    fn default() -> Self {
        Self {
            max_staleness_s: 300,
            denials: Denials::default(),
            intent: IntentRule::default(),
            approvals: ApprovalSettings::default(),
            extractor: None,
            memory: MemoryRule::default(),
            sessions: SessionRule::default(),
        }
    }
}

/// Whether an agent may act.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum AgentStatus {
    /// May act.
    #[default]
    Active,
    /// May not.
    Disabled,
}

/// An agent of a tenant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// Name for people.
    #[serde(default)]
    pub display_name: String,
    /// Whether it may act.
    #[serde(default)]
    pub status: AgentStatus,
}

/// Whether a policy's verdict binds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum PolicyMode {
    /// It binds.
    #[default]
    Enforce,
    /// Decided and recorded, not enforced; visible in each audit event.
    Monitor,
}

/// One Rego module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegoModule {
    /// File name, for messages.
    pub name: String,
    /// Rego v1 source.
    pub source: String,
}

/// An active policy version.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its id.
    pub id: PolicyId,
    /// Version, from 1.
    pub version: u32,
    /// Whether it binds.
    #[serde(default)]
    pub mode: PolicyMode,
    /// Its modules, in package `proctor.policy` or below.
    pub modules: Vec<RegoModule>,
    /// Its data document (`data.settings` in Rego).
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub data: serde_json::Value,
}

impl Policy {
    /// SHA-256 of modules and data, as `sha256:` and hex digits.
    #[must_use]
    pub fn digest(&self) -> String {
        crate::audit::digest_of(&serde_json::json!({ "modules": self.modules, "data": self.data }))
    }
}

/// A tenant's configuration: payload of `proctor.config+jws`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantConfig {
    /// Format version, 1.
    pub v: u8,
    /// The tenant.
    pub tenant: TenantId,
    /// Version, from 1, one more with each change.
    pub version: u64,
    /// When control made it.
    pub issued_at: Timestamp,
    /// Settings.
    pub settings: TenantSettings,
    /// Agents.
    pub agents: Vec<Agent>,
    /// Tool servers with their catalogues.
    pub servers: Vec<ToolServer>,
    /// Active policies; all of them have to allow a call.
    pub policies: Vec<Policy>,
    /// What the content filter does; absent: the standard rules.
    #[serde(default, skip_serializing_if = "ContentRules::is_default")]
    pub content: ContentRules,
    /// Ids of the token keys that verify (the active one and those in their overlap window).
    pub key_ids: Vec<KeyId>,
    /// Ceilings, if the tenant has any: calls draw on leases of their accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Versioned<Limits>>,
    /// Prices, if the tenant has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Versioned<Prices>>,
    /// Identity providers whose access tokens are exchanged for capability tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<TrustedIssuer>,
}

/// Payload of `proctor.heartbeat+jws`: all that came before it on the stream is all there was.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// The tenant.
    pub tenant: TenantId,
    /// When control made it.
    pub at: Timestamp,
    /// The config version that an edge must have.
    pub config_version: u64,
    /// Number of the last revocation.
    pub revocation_seq: u64,
    /// How many revocations up to that number were alive (`until` after `at`): an edge must have as many, so that
    /// not even one that was deleted on the way can be missed.
    pub revocations: u64,
    /// Version of the tenant's kill switches that an edge must have; 0: there never was one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub kill_version: u64,
    /// Version of the platform's kill switch that an edge must have.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub platform_kill_version: u64,
}

/// An edge that knows nothing of kill switches goes on for as long as there is none.
fn is_zero(version: &u64) -> bool {
    *version == 0
}

/// Payload of `proctor.revocation+jws`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// The tenant.
    pub tenant: TenantId,
    /// Number within the tenant, from 1 without gaps; those that are over are purged.
    pub seq: u64,
    /// The token prefix that is revoked with all its descendants.
    pub revocation_id: RevocationId,
    /// When.
    pub revoked_at: Timestamp,
    /// After this no token with that prefix can be alive: the edge may forget it.
    pub until: Timestamp,
}

/// Token keys of a tenant as they lie inside the seal.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
pub struct TokenKeys {
    /// The keys that verify tokens.
    pub keys: Vec<TokenKey>,
    /// Keys the digests of arguments in audit events, so that few possible values can't be tried out. 32 bytes.
    pub digest_key: [u8; 32],
    /// Credentials that the edge presents to upstreams in the tenant's name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<UpstreamSecret>,
}

/// A credential of the tenant for its tool servers or LLM providers.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
pub struct UpstreamSecret {
    /// By which servers and providers refer to it.
    #[zeroize(skip)]
    pub name: SecretName,
    /// The hosts (`host` or `host:port`) that it may be sent to: who registers a server can't send it elsewhere.
    #[zeroize(skip)]
    pub hosts: Vec<String>,
    /// The credential.
    pub value: String,
}

impl UpstreamSecret {
    /// Whether it may be sent to the origin of this address.
    #[must_use]
    pub fn may_go_to(&self, host: &str, port: Option<u16>) -> bool {
        self.hosts.iter().any(|allowed| {
            match allowed.rsplit_once(':').filter(|(_, digits)| {
                !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
            }) {
                Some((name, digits)) => {
                    name.eq_ignore_ascii_case(host) && digits.parse().ok() == port
                }
                None => allowed.eq_ignore_ascii_case(host),
            }
        })
    }
}

impl fmt::Debug for UpstreamSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpstreamSecret({}, …)", self.name)
    }
}

/// One token key.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
pub struct TokenKey {
    /// Its id.
    #[zeroize(skip)]
    pub kid: KeyId,
    /// 32 bytes.
    pub key: [u8; 32],
    /// Tokens of this key are refused from then on. Absent: the active key.
    #[zeroize(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({}, …)", self.kid)
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKeys")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// Payload of `proctor.keys+jws`: [`TokenKeys`] as JSON, sealed to one edge.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedKeys {
    /// The tenant.
    pub tenant: TenantId,
    /// The edge that can open it.
    pub edge: EdgeId,
    /// Grows with each change; an older one is refused.
    pub version: u64,
    /// HPKE encapsulated key, base64url.
    pub enc: String,
    /// HPKE ciphertext, base64url. Associated data: `{tenant}|{edge}`; info: `proctor-token-keys-v1`.
    pub ciphertext: String,
}

/// Payload of `proctor.edge-cert+jws`: control vouches for an edge's keys.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeCertificate {
    /// The edge.
    pub edge: EdgeId,
    /// Ed25519 public key, base64url.
    pub signing_key: String,
    /// X25519 public key, base64url.
    pub sealing_key: String,
    /// Where it stands.
    pub region: Region,
    /// Tenants whose chains it may write to.
    pub tenants: Vec<TenantId>,
    /// When control made it.
    pub issued_at: Timestamp,
}

/// `audience` of an edge's proof to the counter.
pub const COUNTER_AUDIENCE: &str = "counter";
/// How far `issued_at` of a proof may be from the reader's clock, either way, in seconds.
pub const EDGE_PROOF_LIFE_S: i64 = 300;
/// gRPC metadata: the edge's certificate (`proctor.edge-cert+jws`).
pub const EDGE_CERTIFICATE_METADATA: &str = "proctor-edge-certificate";
/// gRPC metadata: the edge's proof (`proctor.edge-proof+jws`).
pub const EDGE_PROOF_METADATA: &str = "proctor-edge-proof";

/// Payload of `proctor.edge-proof+jws`, signed by the edge: that who sends its certificate has its key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeProof {
    /// The edge.
    pub edge: EdgeId,
    /// Whom it is for, so that no other service can use it.
    pub audience: String,
    /// When it was made; see [`EDGE_PROOF_LIFE_S`].
    pub issued_at: Timestamp,
}

/// Payload of `proctor.assignment+jws`: whom an edge serves and whose receipts it believes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// The edge.
    pub edge: EdgeId,
    /// Grows with each change.
    pub version: u64,
    /// The installation.
    pub deployment: DeploymentId,
    /// Tenants it serves.
    pub tenants: Vec<TenantId>,
    /// The edge's current certificate (`proctor.edge-cert+jws`).
    pub certificate: String,
    /// Public keys (id, Ed25519 key in base64url) of the ledgers whose receipts count.
    pub ledger_keys: Vec<PublicKey>,
    /// X25519 public key of control, base64url: what approvers are to see is sealed to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals_key: Option<String>,
    /// Nodes of the counter (`http://host:port` or `https://host:port`), where leases are had. None: the installation has
    /// no counter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counters: Vec<String>,
}

/// A public Ed25519 key with its id.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicKey {
    /// Its id.
    pub kid: KeyId,
    /// 32 bytes, base64url.
    pub key: String,
}

//! The snapshot of the world that a call is decided against. The gateway fills it in; nothing here looks
//! anything up by itself.

use crate::budget::{CompiledBudget, Remaining};
use crate::catalogue::Catalogue;
use crate::filter::{ContentProblem, Rules};
use crate::intent::CompiledIntent;
use crate::login::CompiledIssuer;
use crate::memory::MemoryView;
use crate::policy::{CompiledPolicySet, PolicyProblem};
use crate::provenance::Tracker;
use proctor_model::config::{AgentStatus, TenantConfig, TenantSettings};
use proctor_model::{
    AgentId, EdgeId, IntentId, KeyId, Reason, Region, RevocationId, TenantId, Timestamp, ToolRef,
};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// What a count of calls is kept under.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CountKey {
    /// Calls with tokens that derive from this prefix (`calls <= n`).
    Token(RevocationId),
    /// Micro-units of calls with tokens that derive from this prefix (`cost <= n`).
    TokenCost(RevocationId),
    /// Calls that matched this action of an intent (`max_calls`).
    Action {
        /// The intent.
        intent: IntentId,
        /// Index of the action in the declaration.
        action: u32,
    },
    /// Millionths of an amount of calls that matched this action of an intent (`totals`).
    Total {
        /// The intent.
        intent: IntentId,
        /// Index of the action in the declaration.
        action: u32,
        /// JSON Pointer to the amount in the arguments.
        amount: String,
    },
    /// Units drawn on a lease of the counter.
    Lease(u64),
}

/// Which token prefixes are revoked.
pub trait Revocations {
    /// Whether this prefix, and with it all that derives from it, is revoked.
    fn is_revoked(&self, id: &RevocationId) -> bool;
}

impl Revocations for HashSet<RevocationId> {
    fn is_revoked(&self, id: &RevocationId) -> bool {
        self.contains(id)
    }
}

/// How often calls were authorized so far (calls in flight included).
pub trait SessionView {
    /// Calls (for `cost <=`: micro-units, for `totals`: millionths) counted under this key.
    fn calls(&self, key: &CountKey) -> u64;

    /// Whether so many units more are known not to be had, whatever was counted here: of a ceiling that is kept elsewhere.
    fn is_short_of(&self, _key: &CountKey, _units: u64) -> bool {
        false
    }
}

impl SessionView for HashMap<CountKey, u64> {
    fn calls(&self, key: &CountKey) -> u64 {
        self.get(key).copied().unwrap_or(0)
    }
}

/// What operators have stopped: the platform's switches and the tenant's together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Killed {
    /// The whole platform.
    pub platform: bool,
    /// The tenant.
    pub tenant: bool,
    /// Agents of the tenant.
    pub agents: HashSet<AgentId>,
    /// Tools of the tenant.
    pub tools: HashSet<ToolRef>,
}

impl Killed {
    /// Whether this agent may call anything.
    ///
    /// # Errors
    /// [`Reason::KilledPlatform`], [`Reason::KilledTenant`], [`Reason::KilledAgent`].
    pub fn check_agent(&self, agent: &AgentId) -> Result<(), Reason> {
        match (self.platform, self.tenant, self.agents.contains(agent)) {
            (true, ..) => Err(Reason::KilledPlatform),
            (_, true, _) => Err(Reason::KilledTenant),
            (.., true) => Err(Reason::KilledAgent),
            (false, false, false) => Ok(()),
        }
    }

    /// Whether this tool may be called.
    ///
    /// # Errors
    /// [`Reason::KilledTool`].
    pub fn check_tool(&self, tool: &ToolRef) -> Result<(), Reason> {
        match self.tools.contains(tool) {
            true => Err(Reason::KilledTool),
            false => Ok(()),
        }
    }
}

/// What the tool servers show right now.
pub trait LiveDefinitions {
    /// Whether the server now describes this tool differently from what was approved (a rug pull).
    fn differs(&self, tool: &ToolRef) -> bool;
}

impl LiveDefinitions for HashSet<ToolRef> {
    fn differs(&self, tool: &ToolRef) -> bool {
        self.contains(tool)
    }
}

/// Whether the edge may rely on what it has heard from control.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Freshness {
    /// It may.
    Fresh,
    /// Not everything has arrived yet.
    Loading,
    /// The last news are older than the tenant's `max_staleness_s`.
    Stale,
}

/// A tenant's configuration, compiled once per version.
#[derive(Debug)]
pub struct CompiledTenant {
    id: TenantId,
    version: u64,
    settings: TenantSettings,
    agents: HashMap<AgentId, AgentStatus>,
    key_ids: HashSet<KeyId>,
    catalogue: Catalogue,
    policies: CompiledPolicySet,
    content: Rules,
    budget: CompiledBudget,
    issuers: Vec<CompiledIssuer>,
}

/// Why a configuration can't be used as a whole: the last good one serves on.
#[derive(Debug, thiserror::Error)]
pub enum TenantProblem {
    /// Of a form that this version does not know.
    #[error("configuration format {0} is not known")]
    Format(u8),
    /// A policy does not compile.
    #[error("policy {policy} does not compile")]
    Policy {
        /// Which.
        policy: String,
        /// Why.
        #[source]
        problem: PolicyProblem,
    },
    /// The content rules do not compile.
    #[error("the content rules do not compile")]
    Content(#[from] ContentProblem),
}

impl CompiledTenant {
    /// Compiles a configuration. A tool with a schema that does not compile is held back by itself (see
    /// [`Catalogue::problems`]); a policy that does not compile refuses the whole; an issuer that does not is trusted by nobody.
    ///
    /// # Errors
    /// See [`TenantProblem`].
    pub fn compile(config: &TenantConfig) -> Result<Self, TenantProblem> {
        if config.v != 1 {
            return Err(TenantProblem::Format(config.v));
        }
        let content = Rules::compile(&config.content)?;
        Ok(Self {
            id: config.tenant.clone(),
            version: config.version,
            settings: config.settings.clone(),
            agents: config
                .agents
                .iter()
                .map(|agent| (agent.id.clone(), agent.status))
                .collect(),
            key_ids: config.key_ids.iter().cloned().collect(),
            catalogue: Catalogue::compile(&config.servers).shown_under(&content),
            policies: CompiledPolicySet::compile(&config.policies)?,
            content,
            budget: CompiledBudget::compile(config.limits.as_ref(), config.prices.as_ref()),
            issuers: config
                .issuers
                .iter()
                .filter_map(|issuer| CompiledIssuer::compile(issuer).ok())
                .collect(),
        })
    }

    /// The tenant.
    #[must_use]
    pub fn id(&self) -> &TenantId {
        &self.id
    }

    /// Version of the configuration.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Settings.
    #[must_use]
    pub fn settings(&self) -> &TenantSettings {
        &self.settings
    }

    /// Whether the agent is registered and enabled.
    #[must_use]
    pub fn has_active(&self, agent: &AgentId) -> bool {
        self.agents.get(agent) == Some(&AgentStatus::Active)
    }

    /// Whether tokens of this key are (still) accepted.
    #[must_use]
    pub fn has_key(&self, kid: &KeyId) -> bool {
        self.key_ids.contains(kid)
    }

    /// The tools.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The content rules.
    #[must_use]
    pub fn content(&self) -> &Rules {
        &self.content
    }

    /// Ceilings and prices.
    #[must_use]
    pub fn budget(&self) -> &CompiledBudget {
        &self.budget
    }

    /// Identity providers whose tokens are taken in exchange.
    #[must_use]
    pub fn issuers(&self) -> &[CompiledIssuer] {
        &self.issuers
    }

    /// The policies.
    #[must_use]
    pub fn policies(&self) -> &CompiledPolicySet {
        &self.policies
    }
}

/// Everything a decision depends on, besides the call.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The tenant of the token.
    pub tenant: &'a CompiledTenant,
    /// The time.
    pub now: Timestamp,
    /// This edge.
    pub edge: &'a EdgeId,
    /// Where it stands.
    pub region: &'a Region,
    /// Whether the configuration may be relied on.
    pub freshness: Freshness,
    /// Revoked token prefixes.
    pub revocations: &'a dyn Revocations,
    /// What operators have stopped.
    pub killed: &'a Killed,
    /// The intent that the token names, if this edge has it.
    pub intent: Option<&'a CompiledIntent>,
    /// Counts of calls.
    pub session: &'a dyn SessionView,
    /// What is left of the budgets that the call draws on, for policies; none: nothing limits it, or it is not known yet.
    pub remaining: &'a [Remaining],
    /// What the session has read.
    pub read: &'a Tracker,
    /// What the tool servers show now.
    pub live: &'a dyn LiveDefinitions,
    /// How the memory items of an answer stand, when one is judged. An item that is missing is one that nobody signed.
    pub memory: Option<&'a MemoryView>,
    /// Keys the digest of the arguments ([`TokenKeys::digest_key`](proctor_model::config::TokenKeys)).
    pub digest_key: &'a [u8; 32],
    /// A monotonic stopwatch, in microseconds from any start: for the timings of the controls only, no
    /// verdict depends on it.
    pub stopwatch: &'a dyn Fn() -> u64,
}

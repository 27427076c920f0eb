//! Kill switches: what an operator has stopped at once, on every edge.

use crate::ids::{AgentId, TenantId, ToolRef};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Payload of `proctor.kill+jws`: everything that is stopped in a tenant, or the platform as a whole.
///
/// Each change makes a new version that says all of it, so that a missed one does no harm once a later one is here. A
/// [`Heartbeat`](crate::config::Heartbeat) names the version that an edge must have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KillSwitches {
    /// The tenant; `_platform`: all of them.
    pub tenant: TenantId,
    /// Grows with each change; an older one is refused.
    pub version: u64,
    /// When control made it.
    pub at: Timestamp,
    /// Whether nothing at all may be called.
    pub everything: bool,
    /// Agents that may call nothing.
    pub agents: Vec<AgentId>,
    /// Tools that nobody may call.
    pub tools: Vec<ToolRef>,
}

/// What one switch stops.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum KillTarget {
    /// Every call of every tenant.
    Platform,
    /// Every call of the tenant.
    Tenant,
    /// Every call of an agent, its sub-agents included.
    Agent(AgentId),
    /// Every call of a tool.
    Tool(ToolRef),
}

impl KillTarget {
    /// Its scope, as the admin API names it: `platform`, `tenant`, `agent`, `tool`.
    #[must_use]
    pub fn scope(&self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Tenant => "tenant",
            Self::Agent(_) => "agent",
            Self::Tool(_) => "tool",
        }
    }

    /// The agent's or tool's id; empty where the scope says it all.
    #[must_use]
    pub fn object(&self) -> String {
        match self {
            Self::Platform | Self::Tenant => String::new(),
            Self::Agent(agent) => agent.to_string(),
            Self::Tool(tool) => tool.to_string(),
        }
    }

    /// The target of this scope and object.
    ///
    /// # Errors
    /// A sentence that begins with the member that is wrong.
    pub fn parse(scope: &str, object: &str) -> Result<Self, String> {
        let wrong = |error: crate::ids::IdError| format!("object: {error}");
        match (scope, object) {
            ("platform", "") => Ok(Self::Platform),
            ("tenant", "") => Ok(Self::Tenant),
            ("platform" | "tenant", _) => Err("object: this scope has none".to_owned()),
            ("agent", agent) => agent.parse().map(Self::Agent).map_err(wrong),
            ("tool", tool) => tool.parse().map(Self::Tool).map_err(wrong),
            _ => Err("scope: platform, tenant, agent or tool".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_they_are_written() {
        for (scope, object) in [
            ("platform", ""),
            ("tenant", ""),
            ("agent", "copilot"),
            ("tool", "bank/send_money"),
        ] {
            let target = KillTarget::parse(scope, object).unwrap();
            assert_eq!((target.scope(), target.object().as_str()), (scope, object));
        }
        for (scope, object) in [
            ("tenant", "acme"),
            ("agent", ""),
            ("tool", "bank"),
            ("edge", "edge_1"),
        ] {
            assert!(
                KillTarget::parse(scope, object).is_err(),
                "{scope} {object}"
            );
        }
    }
}

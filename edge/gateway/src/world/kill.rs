//! What is stopped: the kill switches of a tenant and of the platform.

use super::{Heard, TenantState};
use proctor_engine::Killed;
use proctor_model::kill::KillSwitches;
use proctor_model::{AgentId, Reason, ToolRef};
use std::sync::{Arc, PoisonError};

/// The newest kill switches of either kind.
#[derive(Default)]
pub(super) struct Switches {
    tenant: Option<KillSwitches>,
    platform: Option<KillSwitches>,
}

impl Switches {
    fn versions(&self) -> (u64, u64) {
        let version =
            |switches: &Option<KillSwitches>| switches.as_ref().map_or(0, |one| one.version);
        (version(&self.tenant), version(&self.platform))
    }

    fn killed(&self) -> Killed {
        let everything =
            |switches: &Option<KillSwitches>| switches.as_ref().is_some_and(|one| one.everything);
        let tenant = self.tenant.as_ref();
        Killed {
            platform: everything(&self.platform),
            tenant: everything(&self.tenant),
            agents: tenant
                .into_iter()
                .flat_map(|one| one.agents.clone())
                .collect(),
            tools: tenant
                .into_iter()
                .flat_map(|one| one.tools.clone())
                .collect(),
        }
    }
}

impl TenantState {
    /// What is stopped, of this tenant and of the platform.
    pub(crate) fn killed(&self) -> Arc<Killed> {
        Arc::clone(&self.killed.borrow())
    }

    /// Waits until this agent or tool is stopped; gives the reason.
    pub(crate) async fn until_killed(&self, agent: &AgentId, tool: &ToolRef) -> Reason {
        let mut killed = self.killed.subscribe();
        loop {
            let now = Arc::clone(&killed.borrow_and_update());
            let stopped = now.check_agent(agent).and_then(|()| now.check_tool(tool));
            if let Err(reason) = stopped {
                return reason;
            }
            if killed.changed().await.is_err() {
                // Its sender is in `self`: never.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Takes new kill switches, the tenant's or the platform's. An older version changes nothing.
    pub(crate) fn set_kill(&self, switches: KillSwitches) {
        let mut known = self.switches.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = match switches.tenant.is_platform() {
            true => &mut known.platform,
            false => &mut known.tenant,
        };
        if kind
            .as_ref()
            .is_some_and(|one| one.version >= switches.version)
        {
            return;
        }
        *kind = Some(switches);
        self.killed.send_replace(Arc::new(known.killed()));
        drop(known);
        self.review();
    }

    /// Whether all kill switches that a heartbeat counts are here.
    pub(super) fn has_kills(&self, heard: &Heard) -> bool {
        let switches = self.switches.lock().unwrap_or_else(PoisonError::into_inner);
        let (tenant, platform) = switches.versions();
        tenant >= heard.kill_version && platform >= heard.platform_kill_version
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{hear_kill, keys, loaded, state};
    use super::*;
    use proctor_engine::Freshness;
    use proctor_model::Timestamp;

    fn switches(tenant: &str, version: u64, everything: bool) -> KillSwitches {
        KillSwitches {
            tenant: tenant.parse().unwrap(),
            version,
            at: Timestamp::from_secs(1_700_000_000),
            everything,
            agents: Vec::new(),
            tools: Vec::new(),
        }
    }

    #[test]
    fn kill_switches_that_a_heartbeat_counts_have_to_be_here() {
        let (state, _hand) = state();
        state.set_keys(keys());
        state.set_loaded(loaded(1));
        hear_kill(&state, 1, 0, 0, [2, 1]);
        assert_eq!(state.freshness(), Freshness::Loading, "both are missing");
        state.set_kill(switches("acme", 1, false));
        state.set_kill(switches("_platform", 1, false));
        assert_eq!(state.freshness(), Freshness::Loading, "an older version");
        state.set_kill(switches("acme", 2, true));
        assert_eq!(state.freshness(), Freshness::Fresh);
        state.set_kill(switches("acme", 1, false));
        assert!(state.killed().tenant, "an older one changes nothing");
        state.set_kill(switches("_platform", 2, true));
        assert!(state.killed().platform && state.killed().tenant);
        state.set_kill(switches("acme", 3, false));
        assert!(state.killed().platform && !state.killed().tenant);
    }
}

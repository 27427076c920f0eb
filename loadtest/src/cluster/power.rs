//! The end of all processes at once, and the start of all.

use super::{Cluster, Role};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

impl Cluster {
    /// Kills every process at once, the servers too, and starts all again.
    ///
    /// # Errors
    /// If one does not come up.
    pub async fn power_cut(&mut self) -> anyhow::Result<()> {
        self.kill_all().await?;
        self.start_all().await
    }

    /// Has every process stand still, the servers' too. They are to be killed then.
    pub(crate) fn halt_all(&self) {
        let roles = self.roles().filter_map(Role::pid);
        let servers = self.postgres.pids().into_iter().chain(self.nats.pid());
        let servers = servers.filter_map(|pid| i32::try_from(pid).ok());
        for pid in roles.chain(servers.map(Pid::from_raw)) {
            // One of Postgres' may have come to its end meanwhile.
            let _ = kill(pid, Signal::SIGSTOP);
        }
    }

    pub(crate) async fn kill_all(&mut self) -> anyhow::Result<()> {
        for pid in self.roles().filter_map(Role::pid) {
            kill(pid, Signal::SIGKILL)?;
        }
        tokio::join!(self.postgres.kill9_all(), self.nats.kill9());
        let roles = [
            &mut self.edge,
            &mut self.ledger,
            &mut self.control,
            &mut self.web_api,
        ];
        for role in roles.into_iter().chain(&mut self.ledger_2) {
            if let Some(mut child) = role.child.take() {
                child.wait().await?;
            }
        }
        Ok(())
    }

    pub(crate) async fn start_all(&mut self) -> anyhow::Result<()> {
        self.postgres.restart().await?;
        self.nats.restart().await?;
        self.start_control().await?;
        self.start_web_api().await?;
        self.start_ledger().await?;
        if self.ledger_2.is_some() {
            self.start_ledger_2().await?;
        }
        self.start_edge().await
    }

    fn roles(&self) -> impl Iterator<Item = &Role> {
        let roles = [&self.edge, &self.ledger, &self.control, &self.web_api];
        roles.into_iter().chain(&self.ledger_2)
    }
}

//! The beginning of an epoch: what earlier processes of this edge left is settled by what the spool says.

use super::Leases;
use proctor_engine::CountKey;
use proctor_model::TenantId;
use proctor_model::budget::UNITS_MAX;
use proctor_proto::v1;
use std::collections::{HashMap, HashSet};
use std::io::Write;

/// Most settlements in one request.
pub(super) const SETTLE_MAX: usize = 256;

impl Leases {
    /// Begins an epoch and settles what earlier ones left.
    pub(super) async fn open(&self) -> bool {
        let known = self.known_epoch();
        loop {
            let Some(request_id) = self.counter.request_id() else {
                return false;
            };
            let opened = match self.counter.open(v1::OpenRequest { request_id }).await {
                Ok(opened) => opened,
                Err(status) => {
                    tracing::warn!(code = ?status.code(), "the counter opens no epoch");
                    return false;
                }
            };
            let settled = self.settle_held(&opened, known).await;
            if settled && opened.more {
                continue;
            }
            if !opened.more {
                self.forget_closed(&opened).await;
            }
            // On disk before anything is drawn in it: a spool that does not know an epoch has lost its counts.
            if let Err(error) = self.keep_epoch(opened.epoch) {
                tracing::error!(%error, "the epoch can't be kept on disk: no budget can be had");
                return false;
            }
            self.epoch.send_replace(opened.epoch);
            return true;
        }
    }

    /// Says of each lease that an earlier process left what was spent of it, by the spool; the rest goes back. Whether
    /// there was any.
    async fn settle_held(&self, opened: &v1::OpenResponse, known: u64) -> bool {
        let mut by_tenant: HashMap<TenantId, Vec<&v1::LeaseInfo>> = HashMap::new();
        let ours = self.held_here();
        for held in &opened.held {
            let Ok(tenant) = held.tenant.parse::<TenantId>() else {
                continue;
            };
            if ours.contains(&held.lease) {
                continue;
            }
            if held.epoch > known {
                tracing::error!(%tenant, lease = held.lease, "the spool does not know of this lease's time: it stays charged, \
                    write it off when it is known what was spent");
                continue;
            }
            by_tenant.entry(tenant).or_default().push(held);
        }
        let mut any = false;
        for (tenant, held) in by_tenant {
            for held in held.chunks(SETTLE_MAX) {
                let settlements = held.iter().map(|held| self.recalled(&tenant, held));
                let request = v1::SettleRequest {
                    request_id: self.counter.request_id().unwrap_or_default(),
                    epoch: opened.epoch,
                    tenant: tenant.to_string(),
                    settle: settlements.collect(),
                };
                match self.counter.settle(request).await {
                    Ok(_) => any = true,
                    Err(status) => {
                        tracing::warn!(%tenant, code = ?status.code(), "what an earlier start left can't be settled");
                        continue;
                    }
                }
                let keys = held.iter().map(|held| CountKey::Lease(held.lease));
                self.spool.forget(tenant.clone(), keys.collect()).await;
            }
            tracing::info!(%tenant, leases = held.len(), "leases of an earlier start are settled");
        }
        any
    }

    /// Forgets what was drawn on leases that the counter has closed since the spool last counted on them: it brings them
    /// back from its records at each start.
    async fn forget_closed(&self, opened: &v1::OpenResponse) {
        let mut open: HashSet<u64> = opened.held.iter().map(|held| held.lease).collect();
        open.extend(self.held_here());
        let mut closed: HashMap<TenantId, Vec<CountKey>> = HashMap::new();
        for (tenant, lease) in self.spool.counts().leases() {
            if !open.contains(&lease) {
                closed
                    .entry(tenant)
                    .or_default()
                    .push(CountKey::Lease(lease));
            }
        }
        for (tenant, keys) in closed {
            self.spool.forget(tenant, keys).await;
        }
    }

    fn recalled(&self, tenant: &TenantId, held: &v1::LeaseInfo) -> v1::Settlement {
        let key = CountKey::Lease(held.lease);
        let counted = self.spool.counts().get(tenant, &key);
        closing(held, counted)
    }

    fn held_here(&self) -> Vec<u64> {
        let purses = self.all_purses().into_iter();
        let accounts = purses.flat_map(|(_, purse)| purse.all());
        accounts
            .flat_map(|account| {
                let grants = account.grants();
                grants.iter().map(|grant| grant.lease()).collect::<Vec<_>>()
            })
            .collect()
    }

    /// The newest epoch that this spool was there for.
    fn known_epoch(&self) -> u64 {
        let text = std::fs::read_to_string(&self.epoch_file).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    fn keep_epoch(&self, epoch: u64) -> std::io::Result<()> {
        let new = self.epoch_file.with_extension("new");
        let mut file = std::fs::File::create(&new)?;
        file.write_all(epoch.to_string().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, &self.epoch_file)?;
        match self.epoch_file.parent() {
            Some(dir) => std::fs::File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    }
}

/// Closes a lease of which so much was drawn in all, by the spool's records. All of that is charged, no less and no more:
/// from the grant, as far as the counter has not taken it back already, and the rest beyond it.
pub(super) fn closing(held: &v1::LeaseInfo, counted: u64) -> v1::Settlement {
    let spend = |account: &v1::LeaseAccount| {
        if account.unlimited {
            return v1::Spend::default();
        }
        let most = account.granted.saturating_sub(account.returned);
        let spent = counted
            .saturating_sub(account.overrun)
            .min(most)
            .max(account.spent);
        v1::Spend {
            spent,
            returned: account.granted.saturating_sub(spent),
            overrun: counted
                .saturating_sub(spent)
                .max(account.overrun)
                .min(UNITS_MAX),
        }
    };
    v1::Settlement {
        lease: held.lease,
        spends: held.accounts.iter().map(spend).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `told`: spent, returned and overrun, as the counter was told before the crash.
    fn check(granted: u64, told: [u64; 3], counted: u64, expect: [u64; 3]) {
        let [spent, returned, overrun] = told;
        let held = v1::LeaseInfo {
            lease: 7,
            accounts: vec![v1::LeaseAccount {
                granted,
                spent,
                returned,
                overrun,
                ..v1::LeaseAccount::default()
            }],
            ..v1::LeaseInfo::default()
        };
        let spend = closing(&held, counted).spends[0];
        let said = [spend.spent, spend.returned, spend.overrun];
        assert_eq!(said, expect, "{told:?} {counted}");
        assert_eq!(spend.spent + spend.returned, granted, "it is closed");
        if counted >= told[0] + told[2] {
            assert_eq!(spend.spent + spend.overrun, counted, "{told:?}");
        }
    }

    #[test]
    fn what_the_spool_counted_is_charged_to_the_unit() {
        check(100, [0, 0, 0], 0, [0, 100, 0]);
        check(100, [0, 0, 0], 60, [60, 40, 0]);
        check(100, [30, 0, 0], 60, [60, 40, 0]);
        check(100, [0, 0, 0], 130, [100, 0, 30]);
        // Part of it went back before a call came to more than was left.
        check(100, [10, 20, 0], 95, [80, 20, 15]);
        // An overrun was told, and then another call used less than it had.
        check(100, [50, 0, 20], 80, [60, 40, 20]);
        check(100, [50, 40, 20], 80, [60, 40, 20]);
    }

    #[test]
    fn what_was_told_stays_told() {
        check(100, [70, 10, 5], 60, [70, 30, 5]);
    }
}

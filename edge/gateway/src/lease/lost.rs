//! Leases that the counter granted and whose answer never came. They stay charged whatever becomes of them, and this edge
//! alone may say that they were not used: it asks now and then what the counter holds for it.

use super::Leases;
use super::epoch::{SETTLE_MAX, closing};
use proctor_engine::CountKey;
use proctor_model::TenantId;
use proctor_model::budget::AccountKey;
use proctor_proto::v1;
use std::collections::HashMap;
use std::sync::PoisonError;

impl Leases {
    /// Settles as unused what the counter holds for this epoch and nobody here can draw on.
    pub(super) async fn reconcile(&self) {
        let epoch = self.epoch();
        if epoch == 0 {
            return;
        }
        let mut after = 0;
        loop {
            let request = v1::HeldRequest { epoch, after };
            let answer = match self.counter.held(request).await {
                Ok(answer) => answer,
                Err(status) => {
                    tracing::warn!(code = ?status.code(), "the counter does not say what this edge holds");
                    return;
                }
            };
            if answer.fenced {
                return self.lost_epoch();
            }
            self.settle_lost(epoch, &answer.leases).await;
            after = answer.next;
            if after == 0 {
                return;
            }
        }
    }

    async fn settle_lost(&self, epoch: u64, held: &[v1::LeaseInfo]) {
        let mut lost: HashMap<TenantId, Vec<v1::Settlement>> = HashMap::new();
        for held in held.iter().filter(|held| held.epoch == epoch) {
            let Ok(tenant) = held.tenant.parse::<TenantId>() else {
                continue;
            };
            if self.is_lost(&tenant, held) {
                lost.entry(tenant).or_default().push(closing(held, 0));
            }
        }
        for (tenant, settle) in lost {
            for settle in settle.chunks(SETTLE_MAX) {
                // In the epoch of the question: should there be a newer one, this changes nothing.
                let Some(settled) = self.send_in(epoch, &tenant, settle.to_vec()).await else {
                    continue;
                };
                for settled in settled {
                    match settled.state() {
                        v1::settled::State::Closed => {
                            metrics::counter!("proctor_edge_leases_lost_total").increment(1);
                            tracing::warn!(%tenant, lease = settled.lease, "a lease never reached this edge: all of it goes back");
                        }
                        v1::settled::State::Fenced => self.lost_epoch(),
                        _ => {}
                    }
                }
            }
        }
    }

    /// Whether nobody can draw on a lease of the present epoch. The order matters: a lease whose answer is on its way is
    /// asked for until it is in the purse, and one that was asked for later than the counter was is not in its answer.
    fn is_lost(&self, tenant: &TenantId, held: &v1::LeaseInfo) -> bool {
        let accounts = held.accounts.iter();
        let accounts = accounts.map(|held| held.account.as_ref().map(AccountKey::try_from));
        let Some(accounts) = accounts
            .map(|account| account.and_then(Result::ok))
            .collect::<Option<Vec<_>>>()
        else {
            return false;
        };
        if accounts
            .iter()
            .any(|account| self.is_asking(tenant, account))
        {
            return false;
        }
        let purse = self.purse(tenant);
        let is_held = |account: &AccountKey| {
            let grants = purse.get(account).map(|account| account.grants());
            grants.is_some_and(|grants| grants.iter().any(|grant| grant.lease() == held.lease))
        };
        let disowned = self.disowned.lock().unwrap_or_else(PoisonError::into_inner);
        let left_alone = disowned.contains(&held.lease);
        drop(disowned);
        let counted = self
            .spool
            .counts()
            .get(tenant, &CountKey::Lease(held.lease));
        !accounts.iter().any(is_held) && !left_alone && counted == 0
    }
}

//! What goes on in the background: an epoch is opened, more is fetched before it is needed, spent units are reported, what
//! is idle or over goes back, and what was lost on its way is settled.

use super::epoch::SETTLE_MAX;
use super::{Leases, Queue, Watched};
use proctor_engine::CountKey;
use proctor_engine::budget::purse::{Account, Report};
use proctor_model::TenantId;
use proctor_proto::v1;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked at what is held.
const TURN: Duration = Duration::from_millis(100);
/// Units that nobody has drawn on for so long go back.
const IDLE: Duration = Duration::from_secs(2);
/// The same where little is left for others.
const IDLE_SCARCE: Duration = Duration::from_millis(200);
/// What was spent is told at least so often.
const TELL: Duration = Duration::from_secs(1);
/// An account that holds nothing and was not used for so long is forgotten.
const FORGET: Duration = Duration::from_secs(60);
/// How often the counter is asked what it holds for this edge.
const RECONCILE: Duration = Duration::from_secs(10);
/// How long the last settlements may take when the edge stops.
const FAREWELL: Duration = Duration::from_secs(3);

impl Leases {
    /// Until `shutdown`; then what is held goes back.
    pub(crate) async fn run(self: Arc<Self>, mut queue: Queue, shutdown: CancellationToken) {
        let mut tick = tokio::time::interval(TURN);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut told_at, mut reconciled_at) = (Duration::ZERO, self.clock.monotonic());
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                wanted = queue.0.recv() => {
                    if let Some(wanted) = wanted {
                        let _asking = self.begin(wanted);
                    }
                }
                _ = tick.tick() => {
                    if !self.counter.exists() {
                        continue;
                    }
                    let now = self.clock.monotonic();
                    let tell = now.saturating_sub(told_at) >= TELL;
                    if tell {
                        told_at = now;
                    }
                    let reconcile = now.saturating_sub(reconciled_at) >= RECONCILE;
                    if reconcile {
                        reconciled_at = now;
                    }
                    let turn = async {
                        self.turn(now, tell).await;
                        if reconcile {
                            self.reconcile().await;
                        }
                    };
                    tokio::select! {
                        () = shutdown.cancelled() => break,
                        () = turn => {}
                    }
                }
            }
        }
        let farewell = tokio::time::timeout(FAREWELL, self.give_all_back());
        if self.epoch() > 0 && farewell.await.is_err() {
            tracing::warn!(
                "the counter was not told what this edge gives back: the next start does"
            );
        }
    }

    async fn turn(&self, now: Duration, tell: bool) {
        if self.epoch() == 0 && !self.open().await {
            return;
        }
        for (tenant, purse) in self.all_purses() {
            let mut due = Vec::new();
            for account in purse.all() {
                let idle = self.review(&tenant, &account, now);
                due.extend(self.reports(&tenant, &account, tell));
                if idle > FORGET
                    && account.grants().is_empty()
                    && !self.is_asking(&tenant, account.key())
                {
                    purse.forget(account.key());
                    let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
                    watched.remove(&(tenant.clone(), account.key().clone()));
                }
            }
            self.settle(&tenant, due).await;
        }
    }

    pub(super) fn all_purses(&self) -> Vec<(TenantId, Arc<proctor_engine::budget::purse::Purse>)> {
        let purses = self.purses.read().unwrap_or_else(PoisonError::into_inner);
        let cloned = |(tenant, purse): (&TenantId, &Arc<_>)| (tenant.clone(), Arc::clone(purse));
        purses.iter().map(cloned).collect()
    }

    /// Retires what is over or idle; how long the account was not used.
    fn review(&self, tenant: &TenantId, account: &Account, now: Duration) -> Duration {
        let mut all = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let watched = all
            .entry((tenant.clone(), account.key().clone()))
            .or_insert_with(|| Watched {
                used_at: now,
                ..Watched::default()
            });
        if account.drawn() != watched.drawn {
            (watched.drawn, watched.used_at) = (account.drawn(), now);
        }
        let idle = now.saturating_sub(watched.used_at.max(watched.asked_at));
        drop(all);
        let scarce = account.left() < account.free(now).saturating_mul(8);
        let patience = if scarce { IDLE_SCARCE } else { IDLE };
        for grant in account.grants().iter() {
            if grant.until() <= now || idle >= patience {
                if grant.is_unlimited() {
                    account.remove(grant.lease());
                } else {
                    grant.retire();
                }
            }
        }
        idle
    }

    /// What the counter is to be told of an account's leases: at once what closes one, the rest now and then.
    fn reports(&self, tenant: &TenantId, account: &Arc<Account>, tell: bool) -> Vec<Due> {
        let all = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let told = all
            .get(&(tenant.clone(), account.key().clone()))
            .map(|watched| &watched.told);
        let due = |grant: &Arc<proctor_engine::budget::purse::Grant>| {
            let report = grant.report();
            let before = told
                .and_then(|told| told.get(&grant.lease()))
                .copied()
                .unwrap_or_default();
            let closes = grant.is_closed_by(&report);
            let gives_back = report.returned > before.returned;
            let news = closes || gives_back || (tell && report != before);
            (news && !grant.is_unlimited()).then(|| Due {
                account: Arc::clone(account),
                lease: grant.lease(),
                report,
            })
        };
        account.grants().iter().filter_map(due).collect()
    }

    async fn settle(&self, tenant: &TenantId, due: Vec<Due>) {
        // The counter hears nothing that a crash could make this edge forget.
        if !due.is_empty() && !self.spool.flush().await {
            return;
        }
        for due in due.chunks(SETTLE_MAX) {
            let settlements = due.iter().map(|due| settlement(due.lease, due.report));
            let Some(settled) = self.send(tenant, settlements.collect()).await else {
                return;
            };
            for settled in settled {
                let Some(due) = due.iter().find(|due| due.lease == settled.lease) else {
                    continue;
                };
                self.take_in(tenant, due, settled.state()).await;
            }
        }
    }

    async fn take_in(&self, tenant: &TenantId, due: &Due, state: v1::settled::State) {
        use v1::settled::State;
        match state {
            State::Open => {
                let mut all = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
                let key = (tenant.clone(), due.account.key().clone());
                all.entry(key)
                    .or_default()
                    .told
                    .insert(due.lease, due.report);
            }
            State::Closed | State::Gone => {
                due.account.remove(due.lease);
                self.untell(tenant, due);
                self.spool
                    .forget(tenant.clone(), vec![CountKey::Lease(due.lease)])
                    .await;
            }
            State::Fenced => self.lost_epoch(),
            State::Invalid | State::Unspecified => {
                // Kept in the spool: the next start settles it anew.
                let mut disowned = self.disowned.lock().unwrap_or_else(PoisonError::into_inner);
                disowned.insert(due.lease);
                drop(disowned);
                due.account.remove(due.lease);
                tracing::error!(%tenant, lease = due.lease, "the counter does not take a settlement");
                metrics::counter!("proctor_edge_settlements_refused_total").increment(1);
            }
        }
    }

    fn untell(&self, tenant: &TenantId, due: &Due) {
        let mut all = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watched) = all.get_mut(&(tenant.clone(), due.account.key().clone())) {
            watched.told.remove(&due.lease);
        }
    }

    /// `None`: it is not known what became of it; the same figures are sent again later.
    async fn send(
        &self,
        tenant: &TenantId,
        settle: Vec<v1::Settlement>,
    ) -> Option<Vec<v1::Settled>> {
        self.send_in(self.epoch(), tenant, settle).await
    }

    pub(super) async fn send_in(
        &self,
        epoch: u64,
        tenant: &TenantId,
        settle: Vec<v1::Settlement>,
    ) -> Option<Vec<v1::Settled>> {
        let request = v1::SettleRequest {
            request_id: self.counter.request_id()?,
            epoch,
            tenant: tenant.to_string(),
            settle,
        };
        match self.counter.settle(request).await {
            Ok(answer) => Some(answer.settled),
            Err(status) => {
                tracing::warn!(%tenant, code = ?status.code(), "the counter refused a settlement");
                None
            }
        }
    }

    /// Another process of this edge, or this one's lost request, has begun an epoch: nothing may be drawn until there is
    /// a new one.
    pub(super) fn lost_epoch(&self) {
        if self.epoch.send_replace(0) > 0 {
            tracing::warn!("this edge's epoch at the counter is over: it opens a new one");
        }
        for (_, purse) in self.all_purses() {
            for account in purse.all() {
                account.grants().iter().for_each(|grant| grant.retire());
            }
        }
    }

    async fn give_all_back(&self) {
        for (tenant, purse) in self.all_purses() {
            let mut due = Vec::new();
            for account in purse.all() {
                account.grants().iter().for_each(|grant| grant.retire());
                due.extend(self.reports(&tenant, &account, true));
            }
            self.settle(&tenant, due).await;
        }
    }
}

/// A report that the counter is to get.
struct Due {
    account: Arc<Account>,
    lease: u64,
    report: Report,
}

fn settlement(lease: u64, report: Report) -> v1::Settlement {
    let Report {
        spent,
        returned,
        overrun,
    } = report;
    v1::Settlement {
        lease,
        spends: vec![v1::Spend {
            spent,
            returned,
            overrun,
        }],
    }
}

//! What goes on in the background: an epoch is opened, what earlier ones left is settled, more is fetched before it is
//! needed, spent units are reported, and what is idle or over goes back.

use super::{Leases, Queue, Watched};
use proctor_engine::CountKey;
use proctor_engine::budget::purse::{Account, Report};
use proctor_model::TenantId;
use proctor_model::budget::UNITS_MAX;
use proctor_proto::v1;
use std::collections::{HashMap, HashSet};
use std::io::Write;
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
/// Most settlements in one request.
const SETTLE_MAX: usize = 256;
/// How long the last settlements may take when the edge stops.
const FAREWELL: Duration = Duration::from_secs(3);

impl Leases {
    /// Until `shutdown`; then what is held goes back.
    pub(crate) async fn run(self: Arc<Self>, mut queue: Queue, shutdown: CancellationToken) {
        let mut tick = tokio::time::interval(TURN);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut told_at = Duration::ZERO;
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
                    tokio::select! {
                        () = shutdown.cancelled() => break,
                        () = self.turn(now, tell) => {}
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

    fn all_purses(&self) -> Vec<(TenantId, Arc<proctor_engine::budget::purse::Purse>)> {
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
        let request = v1::SettleRequest {
            request_id: self.counter.request_id()?,
            epoch: self.epoch(),
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

    /// Begins an epoch and settles what earlier ones left.
    async fn open(&self) -> bool {
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
        let counted = self
            .spool
            .counts()
            .get(tenant, &CountKey::Lease(held.lease));
        let spend = |account: &v1::LeaseAccount| {
            if account.unlimited {
                return v1::Spend::default();
            }
            let spent = counted
                .min(account.granted.saturating_sub(account.returned))
                .max(account.spent);
            v1::Spend {
                spent,
                returned: account.granted.saturating_sub(spent),
                overrun: counted.saturating_sub(account.granted).min(UNITS_MAX),
            }
        };
        v1::Settlement {
            lease: held.lease,
            spends: held.accounts.iter().map(spend).collect(),
        }
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

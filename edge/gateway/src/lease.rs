//! The leases that this edge holds: had ahead of need, sized by recent use, given back when idle.
//!
//! A lease is escrow: what it grants is gone from the account at the counter, whatever becomes of this edge. Here its
//! units sit in a [`Purse`], where a call takes them without waiting. Each lease is on one account, so that it can be given
//! back by itself. What was drawn on a lease is counted in the spool, in the same record as the `authorized` event, what a
//! stream takes in addition in records of its own: after a crash the counter says which leases it still has out for this edge, the spool says what was spent of them, and the
//! rest goes back.
//!
//! Reading order: `call` (one call's part), `grow` (more for it while it goes on), `ask` (one lease), `keep` (what goes on in
//! the background), `epoch` (what earlier processes left), `lost` (leases whose answer never came).

mod ask;
mod call;
mod epoch;
mod grow;
mod keep;
mod lost;

pub(crate) use call::{Funds, Settled, Spent};
pub(crate) use grow::NotGrown;

use crate::counter::Counter;
use crate::spool::Spool;
use proctor_engine::budget::purse::{Account, Purse, Report, Reservation};
use proctor_engine::budget::{Demand, Remaining};
use proctor_engine::{CountKey, SessionView};
use proctor_model::budget::AccountKey;
use proctor_model::{Reason, TenantId};
use proctor_runtime::Clock;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How long a call waits for a lease: long enough for the counter to elect a new leader.
const WAIT: Duration = Duration::from_secs(2);
/// `retry_after_ms` where the counter does not answer.
const RETRY: Duration = Duration::from_secs(1);
/// Accounts whose need is announced and not looked at yet.
const QUEUE: usize = 4_096;

/// A call that can't have its budget.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NoBudget {
    pub(crate) reason: Reason,
    /// The account that has not enough.
    pub(crate) account: AccountKey,
    /// Whether and when it may help to ask again.
    pub(crate) retry_after: Option<Duration>,
}

/// What one lease request came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    Granted,
    /// The account has nothing (left), and for how long that is taken to be so.
    Dry,
    /// No answer that helps.
    Failed,
}

type Asking = watch::Receiver<Option<Asked>>;

/// More is wanted of an account.
struct Wanted {
    tenant: TenantId,
    demand: Demand,
    /// Less than this is of no use.
    minimum: u64,
    limits_version: u64,
}

/// What the background knows of an account.
#[derive(Default)]
struct Watched {
    drawn: u64,
    /// When it was last drawn on, by the monotonic clock.
    used_at: Duration,
    /// When a lease was last asked for, and what was drawn until then.
    asked_at: Duration,
    drawn_when_asked: u64,
    /// What the counter was last told, by lease.
    told: HashMap<u64, Report>,
}

/// All that this edge holds.
pub(crate) struct Leases {
    counter: Counter,
    spool: Spool,
    clock: Clock,
    /// Keeps the last epoch, beside the spool's segments: whoever has these has this.
    epoch_file: PathBuf,
    /// 0 until the counter has opened one.
    epoch: watch::Sender<u64>,
    purses: RwLock<HashMap<TenantId, Arc<Purse>>>,
    asking: Mutex<HashMap<(TenantId, AccountKey), Asking>>,
    /// Leases whose settlement the counter does not take: they are left as they are until the next start.
    disowned: Mutex<HashSet<u64>>,
    watched: Mutex<HashMap<(TenantId, AccountKey), Watched>>,
    wanted: mpsc::Sender<Wanted>,
}

impl Leases {
    /// The background's part of the queue goes to [`Leases::run`].
    pub(crate) fn new(
        counter: Counter,
        spool: Spool,
        clock: Clock,
        epoch_file: PathBuf,
    ) -> (Arc<Self>, Queue) {
        // Those that should stay 0 are there from the start: nobody can watch what is absent.
        metrics::counter!("proctor_edge_settlements_refused_total").increment(0);
        metrics::counter!("proctor_edge_leases_lost_total").increment(0);
        let (wanted, queue) = mpsc::channel(QUEUE);
        let leases = Self {
            counter,
            spool,
            clock,
            epoch_file,
            epoch: watch::Sender::new(0),
            purses: RwLock::default(),
            asking: Mutex::default(),
            disowned: Mutex::default(),
            watched: Mutex::default(),
            wanted,
        };
        (Arc::new(leases), Queue(queue))
    }

    /// Whether tokens' and intents' ceilings are the counter's to keep: else each edge counts for itself.
    pub(crate) fn are_shared(&self) -> bool {
        self.counter.exists()
    }

    fn purse(&self, tenant: &TenantId) -> Arc<Purse> {
        let purses = self.purses.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(purse) = purses.get(tenant) {
            return Arc::clone(purse);
        }
        drop(purses);
        let mut purses = self.purses.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(purses.entry(tenant.clone()).or_default())
    }

    /// Reserves all demands, or nothing; waits a while for a lease where none is held.
    pub(crate) async fn reserve(
        self: &Arc<Self>,
        tenant: &TenantId,
        demands: &[Demand],
        limits_version: u64,
    ) -> Result<Reservation, NoBudget> {
        let purse = self.purse(tenant);
        let deadline = self.clock.monotonic().saturating_add(WAIT);
        loop {
            let now = self.clock.monotonic();
            let short = match purse.reserve(demands, now) {
                Ok(reservation) => {
                    let low = reservation.low().iter();
                    let low = low.filter_map(|low| demands.get(*low));
                    let low = low.map(|demand| (demand, demand.units));
                    self.announce(tenant, &purse, low, limits_version);
                    return Ok(reservation);
                }
                Err(short) => short,
            };
            let Some(demand) = demands.get(short.demand) else {
                continue;
            };
            let wanted = Wanted {
                tenant: tenant.clone(),
                demand: Demand {
                    units: short.missing,
                    ..demand.clone()
                },
                minimum: short.missing,
                limits_version,
            };
            self.wait_for(wanted, &purse, deadline).await?;
        }
    }

    /// Waits for a lease that is needed now.
    async fn wait_for(
        self: &Arc<Self>,
        wanted: Wanted,
        purse: &Purse,
        deadline: Duration,
    ) -> Result<(), NoBudget> {
        let demand = wanted.demand.clone();
        let now = self.clock.monotonic();
        let account = purse.account(&demand.account);
        let dry = account.is_dry(now);
        // Another call may have wanted more than there is; this one may do with that.
        if let Some(until) = dry.filter(|_| account.left() < wanted.minimum) {
            let wait = until.saturating_sub(now);
            return Err(refused(&demand, demand.reason, Some(wait)));
        }
        let unavailable = || refused(&demand, Reason::BudgetUnavailable, Some(RETRY));
        let left = deadline.saturating_sub(now);
        if !self.counter.exists() || left.is_zero() || self.counter.silent_for() > WAIT {
            return Err(unavailable());
        }
        match tokio::time::timeout(left, self.ask(wanted)).await {
            Ok(Asked::Granted | Asked::Dry) => Ok(()),
            Ok(Asked::Failed) | Err(_) => Err(unavailable()),
        }
    }

    /// Has more fetched before it is needed: of each account, with the least that is of use.
    fn announce<'d>(
        &self,
        tenant: &TenantId,
        purse: &Purse,
        low: impl Iterator<Item = (&'d Demand, u64)>,
        limits_version: u64,
    ) {
        let now = self.clock.monotonic();
        for (demand, minimum) in low {
            let dry = |account: Arc<Account>| account.is_dry(now).is_some();
            if self.is_asking(tenant, &demand.account)
                || purse.get(&demand.account).is_some_and(dry)
            {
                continue;
            }
            // If so many are waiting, a later call announces it again.
            let _ = self.wanted.try_send(Wanted {
                tenant: tenant.clone(),
                demand: demand.clone(),
                minimum,
                limits_version,
            });
        }
    }

    fn is_asking(&self, tenant: &TenantId, account: &AccountKey) -> bool {
        let asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        asking.contains_key(&(tenant.clone(), account.clone()))
    }

    /// What is left of these accounts, as far as it is known here.
    pub(crate) fn remaining(&self, tenant: &TenantId, demands: &[Demand]) -> Vec<Remaining> {
        let (purse, now) = (self.purse(tenant), self.clock.monotonic());
        let known = |demand: &Demand| {
            let units = purse.get(&demand.account)?.remaining(now)?;
            Some(Remaining {
                account: demand.account.clone(),
                units,
            })
        };
        demands.iter().filter_map(known).collect()
    }

    fn epoch(&self) -> u64 {
        *self.epoch.borrow()
    }
}

/// What is wanted, on its way to the background.
pub(crate) struct Queue(mpsc::Receiver<Wanted>);

fn refused(demand: &Demand, reason: Reason, retry_after: Option<Duration>) -> NoBudget {
    metrics::counter!("proctor_edge_budget_refusals_total",
        "meter" => demand.account.meter.as_str(), "scope" => demand.account.scope.as_str(), "reason" => reason.code())
    .increment(1);
    NoBudget {
        reason,
        account: demand.account.clone(),
        retry_after,
    }
}

/// Counts of calls: this edge's own, and what is known of ceilings that are kept at the counter.
pub(crate) struct Counted<'a, S> {
    pub(crate) own: S,
    pub(crate) purse: Option<&'a Purse>,
    pub(crate) now: Duration,
}

impl<S: SessionView> SessionView for Counted<'_, S> {
    fn calls(&self, key: &CountKey) -> u64 {
        self.own.calls(key)
    }

    fn is_short_of(&self, key: &CountKey, units: u64) -> bool {
        let shared = self
            .purse
            .zip(proctor_engine::budget::account_of(key))
            .and_then(|(purse, account)| purse.get(&account));
        // The counter had less a moment ago. What it has left may do for a smaller amount.
        shared.is_some_and(|account| {
            let known = account.left().saturating_add(account.free(self.now));
            account.is_dry(self.now).is_some() && known < units
        })
    }
}

impl Leases {
    /// The accounts of a tenant, for decisions; none where ceilings are not shared.
    pub(crate) fn shared_purse(&self, tenant: &TenantId) -> Option<Arc<Purse>> {
        self.are_shared().then(|| self.purse(tenant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_engine::budget::account_of;

    #[test]
    fn what_the_counter_has_left_may_do_for_a_smaller_amount() {
        let key = CountKey::Total {
            intent: "int_1".parse().unwrap(),
            action: 0,
            amount: "/amount".into(),
        };
        let now = Duration::from_secs(10);
        let purse = Purse::default();
        let account = purse.account(&account_of(&key).unwrap());
        let at = |now| Counted {
            own: HashMap::<CountKey, u64>::new(),
            purse: Some(&purse),
            now,
        };
        assert!(!at(now).is_short_of(&key, u64::MAX), "nothing is known");
        account.dry(now * 2, 40);
        assert!(!at(now).is_short_of(&key, 40));
        assert!(at(now).is_short_of(&key, 41));
        assert!(
            !at(now * 3).is_short_of(&key, 41),
            "it may have more by now"
        );
    }
}

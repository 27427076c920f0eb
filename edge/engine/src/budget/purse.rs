//! What an edge holds: units of leases, taken and given back with atomics alone.
//!
//! ```text
//! reserve ──▶ Reservation ──(the authorized event is durable)──▶ Charged ──(the outcome is written)──▶ settle
//!                 │ dropped: all units go back                     │ ▲ grow: while a stream goes on
//!                                                                  │ dropped: all units stay spent
//! ```
//!
//! A grant's units are at each moment: free, reserved, spent, or returned. Nothing ever makes units: they come with a
//! [`Grant`], and `spent + returned` never exceeds it. What a call really used beyond what could be had is its
//! `overrun`, which the counter charges to the account.

mod charged;
mod grant;

pub use charged::{Charged, Correction};
pub use grant::{Grant, Report};

use super::Demand;
use arc_swap::ArcSwap;
use proctor_model::budget::{AccountKey, Meter};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Parts that the accounts are spread over, so that threads that look up different ones don't meet.
const SHARDS: usize = 16;

/// Microseconds of the edge's monotonic clock.
fn micros(at: Duration) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(u64::MAX)
}

/// One account, as far as this edge holds anything of it.
#[derive(Debug)]
pub struct Account {
    key: AccountKey,
    /// Oldest first.
    grants: ArcSwap<Vec<Arc<Grant>>>,
    /// Units reserved since ever: how busy it is.
    drawn: AtomicU64,
    /// Below so many free units it is time for more.
    low_water: AtomicU64,
    /// Until then (monotonic) it is known to have nothing.
    dry_until_us: AtomicU64,
    /// Left for others when the counter was last asked.
    left: AtomicU64,
}

impl Account {
    fn new(key: AccountKey) -> Self {
        Self {
            key,
            grants: ArcSwap::default(),
            drawn: AtomicU64::new(0),
            low_water: AtomicU64::new(0),
            dry_until_us: AtomicU64::new(0),
            left: AtomicU64::new(u64::MAX),
        }
    }

    /// Which account it is.
    #[must_use]
    pub fn key(&self) -> &AccountKey {
        &self.key
    }

    /// Its grants, oldest first.
    #[must_use]
    pub fn grants(&self) -> Arc<Vec<Arc<Grant>>> {
        self.grants.load_full()
    }

    /// Adds a grant, and says below which number of free units more is wanted.
    pub fn add(&self, grant: Arc<Grant>, low_water: u64, left: u64) {
        self.low_water.store(low_water, Ordering::Relaxed);
        self.left.store(left, Ordering::Relaxed);
        self.dry_until_us.store(0, Ordering::Relaxed);
        self.grants.rcu(|grants| {
            let mut grants = Vec::clone(grants);
            grants.push(Arc::clone(&grant));
            grants
        });
    }

    /// Forgets a grant that is closed at the counter.
    pub fn remove(&self, lease: u64) {
        self.grants.rcu(|grants| {
            let kept = grants.iter().filter(|grant| grant.lease != lease);
            kept.cloned().collect::<Vec<_>>()
        });
    }

    /// It is known to have nothing until then.
    pub fn dry(&self, until: Duration, left: u64) {
        self.left.store(left, Ordering::Relaxed);
        self.dry_until_us.store(micros(until), Ordering::Relaxed);
    }

    /// Until when it is known to have nothing, if that is still to come.
    #[must_use]
    pub fn is_dry(&self, now: Duration) -> Option<Duration> {
        let until = self.dry_until_us.load(Ordering::Relaxed);
        (micros(now) < until).then(|| Duration::from_micros(until))
    }

    /// Units that can be reserved at this moment.
    #[must_use]
    pub fn free(&self, now: Duration) -> u64 {
        let grants = self.grants.load();
        grants
            .iter()
            .fold(0, |sum: u64, grant| sum.saturating_add(grant.free(now)))
    }

    /// Free here and, when the counter was last asked, left for others; none: it was never asked.
    #[must_use]
    pub fn remaining(&self, now: Duration) -> Option<u64> {
        match self.left.load(Ordering::Relaxed) {
            u64::MAX => None,
            left => Some(left.saturating_add(self.free(now))),
        }
    }

    /// Whether it is time for more.
    #[must_use]
    pub fn is_low(&self, now: Duration) -> bool {
        self.free(now) < self.low_water.load(Ordering::Relaxed)
    }

    /// Left for others when the counter was last asked.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// Units reserved since ever.
    #[must_use]
    pub fn drawn(&self) -> u64 {
        self.drawn.load(Ordering::Relaxed)
    }

    /// Takes units, oldest grant first; what can't be had is returned as the error, and then nothing is taken.
    fn take(
        &self,
        units: u64,
        now: Duration,
        demand: usize,
        parts: &mut Vec<Part>,
    ) -> Result<u64, u64> {
        let (before, mut missing) = (parts.len(), units);
        let grants = self.grants.load();
        for grant in grants.iter() {
            if missing == 0 {
                break;
            }
            if micros(now) >= grant.until_us {
                continue;
            }
            let taken = grant.take(missing);
            if taken > 0 {
                missing = missing.saturating_sub(taken);
                parts.push(Part {
                    grant: Arc::clone(grant),
                    demand,
                    meter: self.key.meter,
                    units: taken,
                    recorded: taken,
                });
            }
        }
        if missing > 0 {
            parts.drain(before..).for_each(|part| part.put_back());
            return Err(missing);
        }
        self.drawn.fetch_add(units, Ordering::Relaxed);
        let free = grants
            .iter()
            .fold(0, |sum: u64, grant| sum.saturating_add(grant.free(now)));
        Ok(free)
    }
}

/// Units of one grant within a reservation.
#[derive(Debug)]
struct Part {
    grant: Arc<Grant>,
    demand: usize,
    meter: Meter,
    units: u64,
    /// Of these, the units that a record counts.
    recorded: u64,
}

impl Part {
    fn put_back(&self) {
        self.grant.put_back(self.units);
    }
}

/// A demand that can't be met right now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Short {
    /// Which demand.
    pub demand: usize,
    /// Units that are missing.
    pub missing: u64,
}

/// Units taken for one call that is not yet sure to be made. Dropped, it gives all of them back.
#[derive(Debug, Default)]
#[must_use]
pub struct Reservation {
    parts: Vec<Part>,
    /// Demands whose account is low: more should be had before it is needed.
    low: Vec<usize>,
}

impl Reservation {
    /// The leases drawn on, with their units and what was granted.
    pub fn draws(&self) -> impl Iterator<Item = Draw> + '_ {
        draws(&self.parts, |part| part.units)
    }

    /// Demands whose account is low.
    #[must_use]
    pub fn low(&self) -> &[usize] {
        &self.low
    }

    /// The call's event is durable: from here on the units are spent unless it says otherwise.
    pub fn charge(mut self) -> Charged {
        Charged::new(std::mem::take(&mut self.parts))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.parts.iter().for_each(Part::put_back);
    }
}

/// Units drawn on one lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Draw {
    /// Index of the demand.
    pub demand: usize,
    /// The lease.
    pub lease: u64,
    /// Units.
    pub units: u64,
    /// All that the lease grants on the account.
    pub granted: u64,
}

fn draws(parts: &[Part], units: impl Fn(&Part) -> u64) -> impl Iterator<Item = Draw> {
    let counted = parts.iter().filter(|part| !part.grant.unlimited);
    counted.map(move |part| Draw {
        demand: part.demand,
        lease: part.grant.lease,
        units: units(part),
        granted: part.grant.units,
    })
}

/// A tenant's accounts at this edge.
#[derive(Debug, Default)]
pub struct Purse {
    shards: [RwLock<HashMap<AccountKey, Arc<Account>>>; SHARDS],
    hasher: RandomState,
}

impl Purse {
    fn shard(&self, key: &AccountKey) -> &RwLock<HashMap<AccountKey, Arc<Account>>> {
        let hash = self.hasher.hash_one(key);
        let index = usize::try_from(hash % 16).unwrap_or(0);
        // There are as many shards as remainders.
        self.shards.get(index).unwrap_or(&self.shards[0])
    }

    /// An account, if anything is known of it here.
    #[must_use]
    pub fn get(&self, key: &AccountKey) -> Option<Arc<Account>> {
        let shard = self
            .shard(key)
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        shard.get(key).cloned()
    }

    /// An account; made if need be.
    #[must_use]
    pub fn account(&self, key: &AccountKey) -> Arc<Account> {
        if let Some(account) = self.get(key) {
            return account;
        }
        let mut shard = self
            .shard(key)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let account = shard
            .entry(key.clone())
            .or_insert_with(|| Arc::new(Account::new(key.clone())));
        Arc::clone(account)
    }

    /// Reserves all demands, or nothing.
    ///
    /// # Errors
    /// The first demand that can't be met with what is held.
    pub fn reserve(&self, demands: &[Demand], now: Duration) -> Result<Reservation, Short> {
        let mut reservation = Reservation {
            parts: Vec::with_capacity(demands.len()),
            low: Vec::new(),
        };
        for (demand, Demand { account, units, .. }) in demands.iter().enumerate() {
            let short = |missing| Short { demand, missing };
            let account = self.get(account).ok_or(short(*units))?;
            let free = account
                .take(*units, now, demand, &mut reservation.parts)
                .map_err(short)?;
            if free < account.low_water.load(Ordering::Relaxed) {
                reservation.low.push(demand);
            }
        }
        Ok(reservation)
    }

    /// All accounts.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Account>> {
        let shards = self.shards.iter();
        let read = |shard: &RwLock<HashMap<AccountKey, Arc<Account>>>| {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            shard.values().cloned().collect::<Vec<_>>()
        };
        shards.flat_map(read).collect()
    }

    /// Forgets an account that holds nothing.
    pub fn forget(&self, key: &AccountKey) {
        let mut shard = self
            .shard(key)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if shard
            .get(key)
            .is_some_and(|account| account.grants.load().is_empty())
        {
            shard.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;

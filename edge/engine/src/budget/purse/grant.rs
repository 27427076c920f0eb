//! Units of one lease, and what became of them.

use super::micros;
use proctor_model::budget::UNITS_MAX;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Units of one account under one lease.
#[derive(Debug)]
pub struct Grant {
    pub(super) lease: u64,
    pub(super) units: u64,
    pub(super) until_us: u64,
    /// No lease stands behind it: the account is not limited (any more), nothing is counted.
    pub(super) unlimited: bool,
    free: AtomicU64,
    /// Spent by calls that are over.
    pub(super) spent: AtomicU64,
    returned: AtomicU64,
    overrun: AtomicU64,
}

/// What a grant came to so far, as it is reported to the counter: each only grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Spent from it.
    pub spent: u64,
    /// Given back.
    pub returned: u64,
    /// Spent beyond it.
    pub overrun: u64,
}

impl Grant {
    /// Units of a lease that may be spent until `until` of the edge's monotonic clock.
    #[must_use]
    pub fn new(lease: u64, units: u64, until: Duration) -> Self {
        Self {
            lease,
            units,
            until_us: micros(until),
            unlimited: false,
            free: AtomicU64::new(units),
            spent: AtomicU64::new(0),
            returned: AtomicU64::new(0),
            overrun: AtomicU64::new(0),
        }
    }

    /// Units without end, for an account that no rule limits any more, until the edge has heard so from control.
    #[must_use]
    pub fn unlimited(lease: u64, until: Duration) -> Self {
        Self {
            unlimited: true,
            ..Self::new(lease, u64::MAX, until)
        }
    }

    /// The lease.
    #[must_use]
    pub fn lease(&self) -> u64 {
        self.lease
    }

    /// What was granted.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.units
    }

    /// Whether nothing is counted.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.unlimited
    }

    /// Units that can be reserved at this moment.
    #[must_use]
    pub fn free(&self, now: Duration) -> u64 {
        if micros(now) < self.until_us {
            self.free.load(Ordering::Relaxed)
        } else {
            0
        }
    }

    /// From then on nothing can be reserved.
    #[must_use]
    pub fn until(&self) -> Duration {
        Duration::from_micros(self.until_us)
    }

    /// Takes at most so many.
    pub(super) fn take(&self, most: u64) -> u64 {
        let mut taken = 0;
        let take = |free: u64| {
            taken = free.min(most);
            (taken > 0).then(|| free.saturating_sub(taken))
        };
        match self
            .free
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, take)
        {
            Ok(_) => taken,
            Err(_) => 0,
        }
    }

    /// Notes what was spent beyond the lease, up to what an account holds.
    pub(super) fn overrun(&self, units: u64) {
        if units > 0 {
            let more = |before: u64| Some(before.saturating_add(units).min(UNITS_MAX));
            // It always has a next value.
            let _ = self
                .overrun
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        }
    }

    /// Units that were reserved and not used. Where the lease was overrun they go back to the account, which was charged
    /// for that: else they would be spent here twice.
    pub(super) fn put_back(&self, units: u64) {
        let to = match self.overrun.load(Ordering::Acquire) {
            0 => &self.free,
            _ => &self.returned,
        };
        to.fetch_add(units, Ordering::AcqRel);
    }

    /// Gives up what is free: it can't be reserved any more, and is returned with the next report.
    pub fn retire(&self) {
        let free = self.free.swap(0, Ordering::AcqRel);
        self.returned.fetch_add(free, Ordering::AcqRel);
    }

    /// What it came to so far.
    #[must_use]
    pub fn report(&self) -> Report {
        Report {
            spent: self.spent.load(Ordering::Acquire),
            returned: self.returned.load(Ordering::Acquire),
            overrun: self.overrun.load(Ordering::Acquire),
        }
    }

    /// Whether a report accounts for all of it.
    #[must_use]
    pub fn is_closed_by(&self, report: &Report) -> bool {
        report.spent.saturating_add(report.returned) >= self.units
    }
}

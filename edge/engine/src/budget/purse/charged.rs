//! Units of a call that was made, until it has said what it used.

use super::{Account, Draw, Grant, Part, draws, micros};
use crate::budget::measure::Used;
use proctor_model::budget::Meter;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Units of a call that was made. Dropped without a figure, all of them are spent.
#[derive(Debug, Default)]
#[must_use]
pub struct Charged {
    /// Those of one demand are together.
    parts: Vec<Part>,
}

/// How much more or less than recorded a lease was charged in the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Correction {
    /// The lease.
    pub lease: u64,
    /// Units that came in addition.
    pub more: u64,
    /// Units that were not used.
    pub less: u64,
}

impl Charged {
    pub(super) fn new(parts: Vec<Part>) -> Self {
        Self { parts }
    }

    /// Units that are held for a demand.
    #[must_use]
    pub fn held(&self, demand: usize) -> u64 {
        let parts = self.parts.iter().filter(|part| part.demand == demand);
        parts.fold(0, |sum, part| sum.saturating_add(part.units))
    }

    /// Of these, what a record counts: no crash forgets that.
    #[must_use]
    pub fn recorded(&self, demand: usize) -> u64 {
        let parts = self.parts.iter().filter(|part| part.demand == demand);
        parts.fold(0, |sum, part| sum.saturating_add(part.recorded))
    }

    /// What was taken since the last record, to be counted by another one.
    pub fn unrecorded(&self) -> impl Iterator<Item = Draw> + '_ {
        let new = |draw: &Draw| draw.units > 0;
        draws(&self.parts, |part| part.units.saturating_sub(part.recorded)).filter(new)
    }

    /// A record counts all that is held.
    pub fn note_recorded(&mut self) {
        for part in &mut self.parts {
            part.recorded = part.units;
        }
    }

    /// Takes at most so many more units for a demand out of the leases in hand, oldest first; how many it could. They are in
    /// no record yet: see [`Self::unrecorded`] and [`Self::corrections`].
    pub fn grow(&mut self, account: &Account, demand: usize, most: u64, now: Duration) -> u64 {
        let mut missing = most;
        let grants = account.grants.load();
        for grant in grants.iter().filter(|grant| micros(now) < grant.until_us) {
            let taken = grant.take(missing);
            missing = missing.saturating_sub(taken);
            if taken > 0 {
                self.add(grant, demand, account.key.meter, taken);
            }
        }
        let taken = most.saturating_sub(missing);
        account.drawn.fetch_add(taken, Ordering::Relaxed);
        taken
    }

    fn add(&mut self, grant: &Arc<Grant>, demand: usize, meter: Meter, units: u64) {
        let same = |part: &&mut Part| part.demand == demand && Arc::ptr_eq(&part.grant, grant);
        if let Some(part) = self.parts.iter_mut().find(same) {
            part.units = part.units.saturating_add(units);
            return;
        }
        let last = self.parts.iter().rposition(|part| part.demand == demand);
        let at = last.map_or(self.parts.len(), |last| last.saturating_add(1));
        self.parts.insert(
            at,
            Part {
                grant: Arc::clone(grant),
                demand,
                meter,
                units,
                recorded: 0,
            },
        );
    }

    /// What each part is charged of the real figure: a demand's parts in order, its last one all that is left.
    fn shares(&self, used: &Used) -> Vec<u64> {
        let (mut before, mut left) = (None, 0_u64);
        let mut shares = Vec::with_capacity(self.parts.len());
        let mut parts = self.parts.iter().peekable();
        while let Some(part) = parts.next() {
            if before != Some(part.demand) {
                let held = self.held(part.demand);
                (before, left) = (Some(part.demand), used.settled(part.meter, held));
            }
            let last = parts.peek().is_none_or(|next| next.demand != part.demand);
            let share = if last { left } else { left.min(part.units) };
            left = left.saturating_sub(share);
            shares.push(share);
        }
        shares
    }

    /// What the outcome's record is to say, with what was really used: on each account the units of its meter. Nothing
    /// moves by it: units that come free before the record of it would be drawn twice in the records.
    #[must_use]
    pub fn corrections(&self, used: &Used) -> Vec<Correction> {
        let counted = |(part, share): (&Part, u64)| {
            let (more, less) = (
                share.saturating_sub(part.recorded),
                part.recorded.saturating_sub(share),
            );
            let counted = !part.grant.unlimited && (more > 0 || less > 0);
            counted.then_some(Correction {
                lease: part.grant.lease,
                more,
                less,
            })
        };
        self.parts
            .iter()
            .zip(self.shares(used))
            .filter_map(counted)
            .collect()
    }

    /// Settles with what was really used.
    pub fn settle(mut self, used: &Used) {
        let shares = self.shares(used);
        for (part, share) in std::mem::take(&mut self.parts).iter().zip(shares) {
            settle_part(part, share);
        }
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        for part in &self.parts {
            part.grant.spent.fetch_add(part.units, Ordering::AcqRel);
        }
    }
}

fn settle_part(part: &Part, used: u64) {
    let grant = &part.grant;
    let more = used.saturating_sub(part.units);
    let from_free = grant.take(more);
    grant.overrun(more.saturating_sub(from_free));
    let spent = used.min(part.units).saturating_add(from_free);
    grant.spent.fetch_add(spent, Ordering::AcqRel);
    grant.put_back(part.units.saturating_sub(used));
}

//! One account: what is spent and leased of a limit, in one window. Pure.

use crate::limits::{ACCOUNT_IDLE_US, CEILING_KEEP_US, SETTLE_GRACE_US, UNITS_MAX};
use crate::window::{LogTime, Window};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Whose budget it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Scope {
    /// All of the tenant; the id is empty.
    Tenant,
    /// One agent.
    Agent,
    /// One session.
    Session,
    /// A ceiling in a token.
    Token,
    /// A ceiling in an intent.
    Intent,
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Meter {
    /// Calls of tools.
    Calls,
    /// Tokens of language models.
    Tokens,
    /// Micro-units of a currency.
    Cost,
    /// Millionths of an amount in the arguments of calls. (Last: the log has these by number.)
    Amount,
}

impl Meter {
    /// As metrics name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Tokens => "tokens",
            Self::Cost => "cost",
            Self::Amount => "amount",
        }
    }
}

/// Names an account within its tenant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct AccountKey {
    /// Whose.
    pub scope: Scope,
    /// Which one of these.
    pub id: String,
    /// Of what.
    pub meter: Meter,
    /// Over what time.
    pub window: Window,
}

impl AccountKey {
    /// Whether a ceiling limits it, which comes with the lease, rather than a rule of the tenant.
    #[must_use]
    pub fn has_ceiling(&self) -> bool {
        matches!(self.scope, Scope::Token | Scope::Intent)
    }
}

/// What a token or an intent says that may be spent on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ceiling {
    /// Units.
    pub limit: u64,
    /// From then on nothing valid draws on it.
    pub over_at: LogTime,
}

/// Sums since the account was made: `granted == settled + returned + leased`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Granted in leases.
    pub granted: u64,
    /// Settled as spent, of what was granted.
    pub settled: u64,
    /// Given back by settlements and write-offs.
    pub returned: u64,
    /// Spent beyond what was granted.
    pub overrun: u64,
    /// Charged by operators; negative: credited.
    pub adjusted: i64,
}

/// What a settlement adds to what was settled of one lease before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Units of the grant that were spent.
    pub spent: u64,
    /// Units of the grant that come back.
    pub returned: u64,
    /// Units spent beyond the grant.
    pub overrun: u64,
}

/// An adjustment that would leave less than nothing spent, or more than can be counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfRange;

/// An account. All methods that take `now` want the time of the log entry that is applied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Account {
    /// Begin of the present calendar window.
    window_start: LogTime,
    /// Spent in the present window.
    spent: u64,
    /// Granted, not settled: of this window or an earlier one.
    leased: u64,
    /// Rolling windows: what was spent per slice (its number since 1970), oldest first; sums up to `spent`.
    slices: VecDeque<(i64, u64)>,
    ceiling: Option<Ceiling>,
    used_at: LogTime,
    totals: Totals,
}

impl Account {
    /// An account on which nothing was spent.
    #[must_use]
    pub fn new(window: Window, now: LogTime) -> Self {
        Self {
            window_start: window.span(now).map_or(LogTime(0), |(start, _)| start),
            spent: 0,
            leased: 0,
            slices: VecDeque::new(),
            ceiling: None,
            used_at: now,
            totals: Totals::default(),
        }
    }

    /// Spent in the window that the account was last brought to.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.spent
    }

    /// Granted and not settled.
    #[must_use]
    pub fn leased(&self) -> u64 {
        self.leased
    }

    /// Begin of the calendar window that the account was last brought to.
    #[must_use]
    pub fn window_start(&self) -> LogTime {
        self.window_start
    }

    /// Sums since the account was made.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The least ceiling that was ever said, with the latest end.
    #[must_use]
    pub fn ceiling(&self) -> Option<Ceiling> {
        self.ceiling
    }

    /// What may still be granted.
    #[must_use]
    pub fn left(&self, limit: u64) -> u64 {
        limit.saturating_sub(self.spent.saturating_add(self.leased))
    }

    /// Brings the account to the window of `now`. What is leased stays charged until it is settled, whatever the
    /// window: its edge may be asleep and spend it later.
    pub fn roll(&mut self, window: Window, now: LogTime) {
        if let Some((start, _)) = window.span(now)
            && start > self.window_start
        {
            self.window_start = start;
            self.spent = 0;
        }
        if let Window::Rolling(secs) = window {
            while let Some(&(slice, units)) = self.slices.front()
                && slice_end(secs, slice) <= now
            {
                self.spent = self.spent.saturating_sub(units);
                self.slices.pop_front();
            }
        }
    }

    /// Takes units for a lease. The caller has seen that they are left.
    pub fn grant(&mut self, units: u64, now: LogTime) {
        self.leased = self.leased.saturating_add(units);
        self.totals.granted = self.totals.granted.saturating_add(units);
        self.used_at = now;
    }

    /// Takes a ceiling into account: the least limit and the latest end count.
    pub fn bind(&mut self, ceiling: Ceiling) {
        let old = self.ceiling.unwrap_or(ceiling);
        self.ceiling = Some(Ceiling {
            limit: old.limit.min(ceiling.limit),
            over_at: old.over_at.max(ceiling.over_at),
        });
    }

    /// Takes a settlement of a lease that was granted in the calendar window that began at `granted_in`.
    /// The caller has seen that it is within what was granted.
    pub fn settle(
        &mut self,
        window: Window,
        granted_in: LogTime,
        progress: Progress,
        now: LogTime,
    ) {
        self.roll(window, now);
        let Progress {
            spent,
            returned,
            overrun,
        } = progress;
        self.leased = self.leased.saturating_sub(spent.saturating_add(returned));
        self.totals.settled = self.totals.settled.saturating_add(spent);
        self.totals.returned = self.totals.returned.saturating_add(returned);
        self.totals.overrun = self.totals.overrun.saturating_add(overrun);
        if !self.belongs_to_the_past(window, granted_in, now) {
            self.charge(window, spent.saturating_add(overrun), now);
        }
        self.used_at = now;
    }

    /// Adds to what is spent.
    ///
    /// # Errors
    /// [`OutOfRange`]: nothing is changed then.
    pub fn adjust(&mut self, window: Window, units: i64, now: LogTime) -> Result<(), OutOfRange> {
        self.roll(window, now);
        let spent = self.spent.checked_add_signed(units).ok_or(OutOfRange)?;
        let adjusted = self.totals.adjusted.checked_add(units).ok_or(OutOfRange)?;
        if spent > UNITS_MAX {
            return Err(OutOfRange);
        }
        self.totals.adjusted = adjusted;
        if units > 0 {
            self.charge(window, units.unsigned_abs(), now);
        } else {
            self.credit(units.unsigned_abs());
        }
        self.used_at = now;
        Ok(())
    }

    /// When `minimum` units may be had under `limit` if nobody takes or returns any: none if never.
    #[must_use]
    pub fn free_at(
        &self,
        window: Window,
        limit: u64,
        minimum: u64,
        now: LogTime,
    ) -> Option<LogTime> {
        let room = limit.checked_sub(minimum)?.checked_sub(self.leased)?;
        if let Some((_, end)) = window.span(now) {
            return Some(end);
        }
        let Window::Rolling(secs) = window else {
            return (self.spent <= room).then_some(now);
        };
        let mut spent = self.spent;
        let mut at = now;
        for &(slice, units) in &self.slices {
            if spent <= room {
                break;
            }
            spent = spent.saturating_sub(units);
            at = slice_end(secs, slice);
        }
        Some(at)
    }

    /// Whether the account can be forgotten: one that is made anew would be the same, or nobody can draw on it.
    #[must_use]
    pub fn is_over(&self, key: &AccountKey, has_rule: bool, now: LogTime) -> bool {
        if self.leased > 0 {
            return false;
        }
        let idle = now >= self.used_at.plus(ACCOUNT_IDLE_US);
        match (key.window, self.ceiling) {
            // A ceiling's account outlives its windows: the least limit that was said has to be remembered.
            (_, Some(ceiling)) => now >= ceiling.over_at.plus(CEILING_KEEP_US),
            (Window::Lifetime, None) => idle && !(has_rule && key.scope != Scope::Session),
            (Window::Rolling(secs), None) => {
                let last = self.slices.back();
                last.is_none_or(|&(slice, _)| slice_end(secs, slice) <= now)
            }
            (window, None) => window
                .span(now)
                .is_some_and(|(start, _)| start > self.window_start),
        }
    }

    fn belongs_to_the_past(&self, window: Window, granted_in: LogTime, now: LogTime) -> bool {
        granted_in < self.window_start
            && window
                .span(granted_in)
                .is_some_and(|(_, end)| now <= end.plus(SETTLE_GRACE_US))
    }

    fn charge(&mut self, window: Window, units: u64, now: LogTime) {
        self.spent = self.spent.saturating_add(units);
        let Window::Rolling(secs) = window else {
            return;
        };
        if units == 0 {
            return;
        }
        let slice = now.0.div_euclid(Window::slice_us(secs));
        match self.slices.back_mut() {
            Some((last, sum)) if *last >= slice => *sum = sum.saturating_add(units),
            _ => self.slices.push_back((slice, units)),
        }
    }

    /// A credit is taken off the newest slices first: what stays is the rest that counts for the shortest time.
    fn credit(&mut self, units: u64) {
        self.spent = self.spent.saturating_sub(units);
        let mut rest = units;
        while rest > 0
            && let Some((_, sum)) = self.slices.back_mut()
        {
            let part = rest.min(*sum);
            *sum = sum.saturating_sub(part);
            rest = rest.saturating_sub(part);
            if *sum == 0 {
                self.slices.pop_back();
            }
        }
    }
}

/// When a slice of a rolling window stops to count.
fn slice_end(secs: u32, slice: i64) -> LogTime {
    let end = slice
        .saturating_add(1)
        .saturating_mul(Window::slice_us(secs));
    LogTime(end).plus(i64::from(secs).saturating_mul(1_000_000))
}

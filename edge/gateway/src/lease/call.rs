//! One call's part: what it is to draw, what it drew, what it really used.

use proctor_engine::budget::Demand;
use proctor_engine::budget::measure::Used;
use proctor_engine::budget::purse::{Charged, Reservation};
use proctor_engine::{Charge, CountKey};
use proctor_model::audit::EventBudget;
use proctor_model::budget::Meter;

/// What a call is to draw: units of leases, and this edge's own counts. Dropped, the leases have their units back.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Funds {
    demands: Vec<Demand>,
    reservation: Reservation,
    own: Vec<Charge>,
}

impl Funds {
    /// `reservation` is for `demands`; `own` is counted here alone.
    pub(crate) fn new(demands: Vec<Demand>, reservation: Reservation, own: Vec<Charge>) -> Self {
        Self {
            demands,
            reservation,
            own,
        }
    }

    /// All that the spool is to count, in the write that makes the `authorized` event durable.
    pub(crate) fn charges(&self) -> Vec<Charge> {
        let leases = self.reservation.draws().filter_map(|draw| {
            let demand = self.demands.get(draw.demand)?;
            Some(Charge {
                units: draw.units,
                ..Charge::call(
                    CountKey::Lease(draw.lease),
                    None,
                    draw.granted,
                    demand.reason,
                )
            })
        });
        leases.chain(self.own.iter().cloned()).collect()
    }

    /// For the event: units reserved on each account.
    pub(crate) fn noted(&self) -> Vec<EventBudget> {
        let noted = |demand: &Demand| EventBudget::new(&demand.account, demand.units);
        self.demands.iter().map(noted).collect()
    }

    /// The event is durable: the call is made.
    pub(crate) fn spend(self) -> Spent {
        Spent {
            demands: self.demands,
            charged: self.reservation.charge(),
            own: self.own,
        }
    }
}

/// What a call that was made has drawn. Dropped, all of it stays spent.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Spent {
    demands: Vec<Demand>,
    charged: Charged,
    own: Vec<Charge>,
}

/// What a call came to.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// For the outcome event: units used on each account.
    pub(crate) noted: Vec<EventBudget>,
    /// What the spool is to correct with it.
    pub(crate) corrections: Vec<Charge>,
}

impl Spent {
    /// Settles with the real figures.
    pub(crate) fn settle(self, used: &Used) -> Settled {
        let noted =
            |demand: &Demand| EventBudget::new(&demand.account, used.of(demand.account.meter));
        let noted = self.demands.iter().map(noted).collect();
        let leases = self.charged.settle(used).into_iter().map(|correction| {
            corrected(
                CountKey::Lease(correction.lease),
                correction.more,
                correction.less,
            )
        });
        let own = self.own.iter().filter_map(|charge| {
            let used = match charge.key {
                CountKey::TokenCost(_) => used.of(Meter::Cost),
                _ => return None,
            };
            let (more, less) = (
                used.saturating_sub(charge.units),
                charge.units.saturating_sub(used),
            );
            (more > 0 || less > 0).then(|| Charge {
                until: charge.until,
                ..corrected(charge.key.clone(), more, less)
            })
        });
        Settled {
            noted,
            corrections: leases.chain(own).collect(),
        }
    }
}

/// A correction is never refused: it has no ceiling.
fn corrected(key: CountKey, more: u64, less: u64) -> Charge {
    Charge {
        units: more,
        back: less,
        ..Charge::call(key, None, u64::MAX, proctor_model::Reason::BudgetExhausted)
    }
}

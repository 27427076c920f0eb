//! One call's part: what it is to draw, what it drew, what it really used.

use proctor_engine::budget::Demand;
use proctor_engine::budget::measure::Used;
use proctor_engine::budget::purse::{Charged, Draw, Purse, Reservation};
use proctor_engine::{Charge, CountKey};
use proctor_model::audit::EventBudget;
use proctor_model::budget::Meter;
use std::time::Duration;

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
        let draws = self.reservation.draws();
        let leases = draws.filter_map(|draw| charge(&self.demands, draw));
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

/// What more a call could have.
#[derive(Debug, Default)]
pub(super) struct Grown {
    /// Accounts of which more should be had before it is needed.
    pub(super) low: Vec<Demand>,
    /// The first account that has less in hand than is needed, with what is wanted of it.
    pub(super) short: Option<Demand>,
}

impl Spent {
    /// Units that a record counts for a meter, on the account that has the fewest; none: it is on no account.
    pub(crate) fn recorded(&self, meter: Meter) -> Option<u64> {
        let demands = self.demands.iter().enumerate();
        let recorded = demands
            .filter(|(_, demand)| demand.account.meter == meter)
            .map(|(index, _)| self.charged.recorded(index));
        recorded.min()
    }

    /// What was taken since the last record.
    pub(super) fn unrecorded(&self) -> Vec<Charge> {
        let draws = self.charged.unrecorded();
        draws
            .filter_map(|draw| charge(&self.demands, draw))
            .collect()
    }

    /// A record counts all that is held.
    pub(super) fn note_recorded(&mut self) {
        self.charged.note_recorded();
    }

    /// Takes more out of the leases in hand, up to `wanted`; at least `least` is needed. However it ends, what could be
    /// had is held.
    pub(super) fn grow(
        &mut self,
        purse: &Purse,
        least: &Used,
        wanted: &Used,
        now: Duration,
    ) -> Grown {
        let mut grown = Grown::default();
        for (index, demand) in self.demands.iter().enumerate() {
            let meter = demand.account.meter;
            let missing = wanted.of(meter).saturating_sub(self.charged.held(index));
            // A call is one call, whatever it goes on to use.
            if meter == Meter::Calls || missing == 0 {
                continue;
            }
            let account = purse.account(&demand.account);
            let taken = self.charged.grow(&account, index, missing, now);
            let units = missing.saturating_sub(taken);
            let wanting = || Demand {
                units: units.max(1),
                ..demand.clone()
            };
            if self.charged.held(index) < least.of(meter) {
                grown.short.get_or_insert_with(wanting);
            } else if units > 0 || account.is_low(now) {
                grown.low.push(wanting());
            }
        }
        grown
    }

    /// What the real figures come to. Nothing is given back before [`Settled::finish`].
    pub(crate) fn settle(self, used: &Used) -> Settled {
        let noted = |demand: &Demand| {
            let units = used.settled(demand.account.meter, demand.units);
            EventBudget::new(&demand.account, units)
        };
        let noted = self.demands.iter().map(noted).collect();
        let corrections = self.charged.corrections(used);
        let leases = corrections.into_iter().map(|correction| {
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
            charged: self.charged,
            used: *used,
        }
    }
}

/// What a call came to. Dropped before it is finished, all that it drew stays spent: so the spool has it too.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Settled {
    /// For the outcome event: units used on each account.
    pub(crate) noted: Vec<EventBudget>,
    /// What the spool is to correct with it.
    pub(crate) corrections: Vec<Charge>,
    charged: Charged,
    used: Used,
}

impl Settled {
    /// The outcome is on its way to the spool: what was not used can be drawn again. Were it free before, another call's
    /// draw could come to the spool first, and be one too many there.
    pub(crate) fn finish(self) {
        self.charged.settle(&self.used);
    }
}

/// A draw as the spool counts it.
fn charge(demands: &[Demand], draw: Draw) -> Option<Charge> {
    let demand = demands.get(draw.demand)?;
    let lease = CountKey::Lease(draw.lease);
    Some(Charge {
        units: draw.units,
        ..Charge::call(lease, None, draw.granted, demand.reason)
    })
}

/// A correction is never refused: it has no ceiling.
fn corrected(key: CountKey, more: u64, less: u64) -> Charge {
    Charge {
        units: more,
        back: less,
        ..Charge::call(key, None, u64::MAX, proctor_model::Reason::BudgetExhausted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_engine::budget::purse::Grant;
    use proctor_model::Reason;
    use proctor_model::budget::{AccountKey, Scope, Window};
    use std::sync::Arc;

    const NOW: Duration = Duration::from_secs(10);

    fn demand(scope: Scope, meter: Meter, units: u64) -> Demand {
        let account = AccountKey {
            scope,
            id: String::new(),
            meter,
            window: Window::Day,
        };
        Demand {
            account,
            units,
            ceiling: None,
            reason: Reason::BudgetExhausted,
        }
    }

    fn used(tokens: u64, cost: u64) -> Used {
        Used {
            calls: 1,
            tokens,
            cost,
        }
    }

    #[test]
    fn a_stream_takes_what_there_is_on_each_account_and_says_which_is_short() {
        let demands = vec![
            demand(Scope::Tenant, Meter::Calls, 1),
            demand(Scope::Tenant, Meter::Tokens, 10),
            demand(Scope::Agent, Meter::Tokens, 10),
            demand(Scope::Tenant, Meter::Cost, 20),
        ];
        let purse = Purse::default();
        for ((lease, units), demand) in [(1, 9), (2, 100), (3, 50), (4, 400)].iter().zip(&demands) {
            let grant = Grant::new(*lease, *units, NOW * 2);
            purse.account(&demand.account).add(Arc::new(grant), 5, 0);
        }
        let reservation = purse.reserve(&demands, NOW).unwrap();
        let funds = Funds::new(demands, reservation, Vec::new());
        let mut spent = funds.spend();
        assert_eq!(spent.recorded(Meter::Tokens), Some(10));
        assert!(spent.unrecorded().is_empty());

        let grown = spent.grow(&purse, &used(20, 40), &used(40, 80), NOW);
        assert!(grown.short.is_none());
        assert!(grown.low.is_empty(), "{grown:?}");
        assert_eq!(
            spent.recorded(Meter::Tokens),
            Some(10),
            "it may not go on yet"
        );
        let growth = |spent: &Spent| {
            let charges = spent.unrecorded();
            let one = |charge: &Charge| (charge.key.clone(), charge.units, charge.back);
            charges.iter().map(one).collect::<Vec<_>>()
        };
        assert_eq!(
            growth(&spent),
            [
                (CountKey::Lease(2), 30, 0),
                (CountKey::Lease(3), 30, 0),
                (CountKey::Lease(4), 60, 0)
            ]
        );
        spent.note_recorded();
        assert_eq!(growth(&spent), []);
        assert_eq!(spent.recorded(Meter::Tokens), Some(40));
        assert_eq!(spent.recorded(Meter::Cost), Some(80));

        // The agent's account has 50 in all; what could be had is held.
        let grown = spent.grow(&purse, &used(60, 40), &used(80, 80), NOW);
        let short = grown.short.unwrap();
        assert_eq!((short.account.scope, short.units), (Scope::Agent, 30));
        let growth = growth(&spent);
        assert_eq!(
            growth,
            [(CountKey::Lease(2), 40, 0), (CountKey::Lease(3), 10, 0)]
        );
        assert_eq!(spent.recorded(Meter::Calls), Some(1), "it stays one call");

        // With the real figure, by the records: the last growth is in none.
        let settled = spent.settle(&used(50, 60));
        let corrections: Vec<_> = settled
            .corrections
            .iter()
            .map(|charge| (charge.key.clone(), charge.units, charge.back))
            .collect();
        assert_eq!(
            corrections,
            [
                (CountKey::Lease(2), 10, 0),
                (CountKey::Lease(3), 10, 0),
                (CountKey::Lease(4), 0, 20)
            ]
        );
        settled.finish();
        let free = |demand: Demand| purse.account(&demand.account).free(NOW);
        assert_eq!(free(demand(Scope::Tenant, Meter::Tokens, 0)), 50);
        assert_eq!(free(demand(Scope::Tenant, Meter::Cost, 0)), 340);
    }

    #[test]
    fn what_is_not_finished_stays_spent() {
        let demands = vec![demand(Scope::Tenant, Meter::Tokens, 10)];
        let purse = Purse::default();
        let grant = Arc::new(Grant::new(1, 50, NOW * 2));
        purse
            .account(&demands[0].account)
            .add(Arc::clone(&grant), 5, 0);
        let reservation = purse.reserve(&demands, NOW).unwrap();
        let spent = Funds::new(demands, reservation, Vec::new()).spend();
        let settled = spent.settle(&used(3, 0));
        assert_eq!((grant.report().spent, grant.free(NOW)), (0, 40));
        drop(settled);
        assert_eq!((grant.report().spent, grant.free(NOW)), (10, 40));
    }
}

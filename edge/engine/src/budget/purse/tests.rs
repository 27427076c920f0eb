use super::*;
use crate::budget::measure::Used;
use proctor_model::Reason;
use proctor_model::budget::{Scope, Window};
use proptest::prelude::*;

const NOW: Duration = Duration::from_secs(10);
const UNTIL: Duration = Duration::from_secs(20);

fn key(id: &str, meter: Meter) -> AccountKey {
    AccountKey {
        scope: Scope::Agent,
        id: id.into(),
        meter,
        window: Window::Day,
    }
}

fn demand(id: &str, meter: Meter, units: u64) -> Demand {
    Demand {
        account: key(id, meter),
        units,
        ceiling: None,
        reason: Reason::BudgetExhausted,
    }
}

fn give(purse: &Purse, id: &str, meter: Meter, lease: u64, units: u64) -> Arc<Grant> {
    let grant = Arc::new(Grant::new(lease, units, UNTIL));
    purse
        .account(&key(id, meter))
        .add(Arc::clone(&grant), 1, 100);
    grant
}

/// What the outcome's record says, and then the units move.
fn settle(charged: Charged, used: &Used) -> Vec<Correction> {
    let corrections = charged.corrections(used);
    charged.settle(used);
    corrections
}

fn tokens(tokens: u64) -> Used {
    Used {
        calls: 1,
        tokens,
        cost: 0,
    }
}

#[test]
fn all_or_nothing() {
    let purse = Purse::default();
    let rich = give(&purse, "rich", Meter::Calls, 1, 5);
    give(&purse, "poor", Meter::Calls, 2, 1);
    let both = [
        demand("rich", Meter::Calls, 1),
        demand("poor", Meter::Calls, 2),
    ];
    assert_eq!(
        purse.reserve(&both, NOW).unwrap_err(),
        Short {
            demand: 1,
            missing: 1
        }
    );
    assert_eq!(rich.free(NOW), 5, "what was taken before is back");
    assert_eq!(purse.get(&key("poor", Meter::Calls)).unwrap().free(NOW), 1);
    let unknown = [demand("nobody", Meter::Calls, 1)];
    assert_eq!(purse.reserve(&unknown, NOW).unwrap_err().missing, 1);
}

#[test]
fn a_reservation_that_is_dropped_frees_and_a_charge_that_is_dropped_does_not() {
    let purse = Purse::default();
    let grant = give(&purse, "a", Meter::Calls, 1, 5);
    drop(purse.reserve(&[demand("a", Meter::Calls, 3)], NOW).unwrap());
    assert_eq!(grant.free(NOW), 5);
    drop(
        purse
            .reserve(&[demand("a", Meter::Calls, 3)], NOW)
            .unwrap()
            .charge(),
    );
    assert_eq!(grant.free(NOW), 2);
    assert_eq!(grant.report().spent, 3);
}

#[test]
fn time_only_reduces() {
    let purse = Purse::default();
    let grant = give(&purse, "a", Meter::Calls, 1, 5);
    assert!(
        purse
            .reserve(&[demand("a", Meter::Calls, 1)], UNTIL)
            .is_err()
    );
    assert_eq!(grant.free(UNTIL), 0);
    assert_eq!(
        grant.report(),
        Report::default(),
        "and nothing comes back by it"
    );
}

#[test]
fn real_figures_are_settled_over_several_leases() {
    let purse = Purse::default();
    let first = give(&purse, "a", Meter::Tokens, 1, 30);
    let second = give(&purse, "a", Meter::Tokens, 2, 100);
    let reserve = |units| {
        purse
            .reserve(&[demand("a", Meter::Tokens, units)], NOW)
            .unwrap()
    };
    // 30 of the first, 20 of the second; 40 were used.
    let corrections = settle(reserve(50).charge(), &tokens(40));
    assert_eq!(
        corrections,
        vec![Correction {
            lease: 2,
            more: 0,
            less: 10
        }]
    );
    assert_eq!((first.report().spent, second.report().spent), (30, 10));
    // 10 reserved, 50 used: from what is free.
    let corrections = settle(reserve(10).charge(), &tokens(50));
    assert_eq!(
        corrections,
        vec![Correction {
            lease: 2,
            more: 40,
            less: 0
        }]
    );
    assert_eq!(
        second.report(),
        Report {
            spent: 60,
            returned: 0,
            overrun: 0
        }
    );
    // 40 left, 10 reserved, 100 used: the rest is beyond the grant.
    reserve(10).charge().settle(&tokens(100));
    assert_eq!(
        second.report(),
        Report {
            spent: 100,
            returned: 0,
            overrun: 60
        }
    );
    assert!(second.is_closed_by(&second.report()));
}

#[test]
fn a_retired_grant_closes_when_its_calls_are_over() {
    let purse = Purse::default();
    let grant = give(&purse, "a", Meter::Tokens, 1, 100);
    let charged = purse
        .reserve(&[demand("a", Meter::Tokens, 40)], NOW)
        .unwrap()
        .charge();
    assert_eq!((charged.held(0), charged.held(1)), (40, 0));
    grant.retire();
    assert_eq!(grant.report().returned, 60);
    assert!(!grant.is_closed_by(&grant.report()));
    assert!(
        purse
            .reserve(&[demand("a", Meter::Tokens, 1)], NOW)
            .is_err()
    );
    charged.settle(&tokens(25));
    grant.retire();
    assert_eq!(
        grant.report(),
        Report {
            spent: 25,
            returned: 75,
            overrun: 0
        }
    );
    assert!(grant.is_closed_by(&grant.report()));
}

#[test]
fn what_a_stream_took_in_addition_is_in_the_outcomes_record() {
    let purse = Purse::default();
    let first = give(&purse, "a", Meter::Tokens, 1, 30);
    let second = give(&purse, "a", Meter::Tokens, 2, 50);
    let demands = [
        demand("a", Meter::Tokens, 20),
        demand("b", Meter::Tokens, 5),
    ];
    let other = give(&purse, "b", Meter::Tokens, 3, 40);
    let mut charged = purse.reserve(&demands, NOW).unwrap().charge();
    let (a, b) = (
        purse.account(&demands[0].account),
        purse.account(&demands[1].account),
    );
    assert_eq!(
        charged.grow(&a, 0, 25, NOW),
        25,
        "10 of the first, 15 of the second"
    );
    assert_eq!(charged.grow(&b, 1, 60, NOW), 35, "there is no more");
    assert_eq!(charged.grow(&a, 0, 9, UNTIL), 0, "time only takes");
    assert_eq!((charged.held(0), charged.held(1)), (45, 40));
    assert_eq!(
        (first.free(NOW), second.free(NOW), other.free(NOW)),
        (0, 35, 0)
    );
    let corrections = settle(charged, &tokens(40));
    let correction = |lease, more| Correction {
        lease,
        more,
        less: 0,
    };
    // By the records: 20 and 5 before.
    assert_eq!(
        corrections,
        [correction(1, 10), correction(2, 10), correction(3, 35)]
    );
    let spent = [&first, &second, &other].map(|grant| grant.report().spent);
    assert_eq!(spent, [30, 10, 40]);
    assert_eq!((second.free(NOW), other.free(NOW)), (40, 0));
}

proptest! {
    /// However a call grows, whatever of it is recorded before the end: its records add up to what it used.
    #[test]
    fn the_records_of_a_call_add_up_to_what_it_used(
        reserved in 0..40_u64,
        growth in prop::collection::vec((1..40_u64, prop::bool::ANY), 0..8),
        used in 0..250_u64,
    ) {
        let purse = Purse::default();
        let grants = [(1, 40), (2, 30), (3, 60)].map(|(lease, units)| give(&purse, "a", Meter::Tokens, lease, units));
        let demands = [demand("a", Meter::Tokens, reserved)];
        let reservation = purse.reserve(&demands, NOW).unwrap();
        let mut records = reservation.draws().map(|draw| draw.units).sum::<u64>();
        let mut charged = reservation.charge();
        let account = purse.account(&demands[0].account);
        for (units, is_recorded) in growth {
            charged.grow(&account, 0, units, NOW);
            if is_recorded {
                records += charged.unrecorded().map(|draw| draw.units).sum::<u64>();
                charged.note_recorded();
                prop_assert_eq!(records, charged.held(0));
                prop_assert_eq!(charged.recorded(0), charged.held(0));
            }
        }
        for correction in settle(charged, &tokens(used)) {
            records = records + correction.more - correction.less;
        }
        // On an account of which nothing is held, nothing can be charged.
        prop_assert!(records == used || (reserved == 0 && records == 0));
        let charged_for = |grant: &Arc<Grant>| grant.report().spent + grant.report().overrun;
        prop_assert_eq!(grants.iter().map(charged_for).sum::<u64>(), records);
    }
}

#[test]
fn an_unlimited_grant_is_not_recorded() {
    let purse = Purse::default();
    let grant = Arc::new(Grant::unlimited(9, UNTIL));
    purse
        .account(&key("a", Meter::Calls))
        .add(grant, 0, u64::MAX);
    let reservation = purse.reserve(&[demand("a", Meter::Calls, 3)], NOW).unwrap();
    assert_eq!(reservation.draws().count(), 0);
    assert_eq!(settle(reservation.charge(), &tokens(0)), []);
}

#[test]
fn an_amount_stays_as_it_was_reserved() {
    let purse = Purse::default();
    let grants =
        [(1, 30), (2, 50)].map(|(lease, units)| give(&purse, "a", Meter::Amount, lease, units));
    let demands = [demand("a", Meter::Amount, 40)];
    let reservation = purse.reserve(&demands, NOW).unwrap();
    assert_eq!(settle(reservation.charge(), &tokens(7)), []);
    assert_eq!(grants.map(|grant| grant.report().spent), [30, 10]);
}

#[derive(Clone, Debug)]
enum Step {
    Give(u8, u64),
    Reserve(u8, u64),
    DropReservation,
    Charge,
    DropCharge,
    /// For the first demand of the newest charge.
    Grow(u8, u64),
    Settle(u64),
    Retire(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..2_u8, 0..50_u64).prop_map(|(account, units)| Step::Give(account, units)),
        (0..2_u8, 1..20_u64).prop_map(|(account, units)| Step::Reserve(account, units)),
        Just(Step::DropReservation),
        Just(Step::Charge),
        Just(Step::DropCharge),
        (0..2_u8, 1..20_u64).prop_map(|(account, units)| Step::Grow(account, units)),
        (0..40_u64).prop_map(Step::Settle),
        (0..2_u8).prop_map(Step::Retire),
    ]
}

proptest! {
    /// In whatever order: what is spent (and not overrun) and returned never exceeds what was granted, and what was
    /// ever free, reserved, spent or returned is exactly what was granted.
    #[test]
    fn never_more_than_is_held(steps in prop::collection::vec(step(), 1..120)) {
        let purse = Purse::default();
        let (mut grants, mut reservations, mut charges) = (Vec::new(), Vec::new(), Vec::new());
        let mut beyond = 0_u64;
        for step in steps {
            match step {
                Step::Give(account, units) => {
                    let lease = u64::try_from(grants.len()).unwrap();
                    grants.push(give(&purse, &account.to_string(), Meter::Tokens, lease, units));
                }
                Step::Reserve(account, units) => {
                    let demands = [
                        demand(&account.to_string(), Meter::Tokens, units),
                        demand("0", Meter::Tokens, 1),
                    ];
                    reservations.extend(purse.reserve(&demands, NOW).ok());
                }
                Step::DropReservation => drop(reservations.pop()),
                Step::Charge => charges.extend(reservations.pop().map(Reservation::charge)),
                Step::DropCharge => drop(charges.pop()),
                Step::Grow(account, units) => {
                    if let Some(charge) = charges.last_mut() {
                        let account = purse.account(&key(&account.to_string(), Meter::Tokens));
                        let before = charge.held(0);
                        let taken = charge.grow(&account, 0, units, NOW);
                        prop_assert!(taken <= units);
                        prop_assert_eq!(charge.held(0), before + taken);
                    }
                }
                Step::Settle(used) => {
                    if let Some(charge) = charges.pop() {
                        let corrections = settle(charge, &tokens(used));
                        beyond += corrections.iter().map(|correction| correction.more).sum::<u64>();
                    }
                }
                Step::Retire(account) => {
                    for grant in purse.account(&key(&account.to_string(), Meter::Tokens)).grants().iter() {
                        grant.retire();
                    }
                }
            }
            for grant in &grants {
                let report = grant.report();
                prop_assert!(report.spent + report.returned + grant.free(NOW) <= grant.units());
                prop_assert!(report.overrun <= beyond);
            }
        }
        drop((reservations, charges));
        for grant in &grants {
            grant.retire();
            let report = grant.report();
            prop_assert_eq!(report.spent + report.returned, grant.units());
        }
    }
}

/// Four threads on one account: each unit is had once.
#[test]
fn threads_do_not_overspend() {
    let purse = Purse::default();
    give(&purse, "a", Meter::Calls, 1, 10_000);
    let won: usize = std::thread::scope(|scope| {
        let work = || {
            let demands = [demand("a", Meter::Calls, 1)];
            let mut won = 0;
            for turn in 0..5_000 {
                match purse.reserve(&demands, NOW) {
                    Ok(reservation) if turn % 3 == 0 => drop(reservation),
                    Ok(reservation) => {
                        won += 1;
                        drop(reservation.charge());
                    }
                    Err(_) => {}
                }
            }
            won
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    let grant = Arc::clone(&purse.account(&key("a", Meter::Calls)).grants()[0]);
    assert_eq!(grant.report().spent, u64::try_from(won).unwrap());
    assert!(won <= 10_000, "{won}");
    assert_eq!(grant.report().spent + grant.free(NOW), 10_000);
}

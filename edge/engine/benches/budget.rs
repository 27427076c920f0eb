//! The hot path of budgets: reserve and settle with leases held, on one and two threads, next to a bare atomic.
//!
//! `cargo bench -p proctor-engine --bench budget`. The bar: reserve plus settle under 1 µs, and two threads on accounts of
//! their own as fast as one.

#![allow(clippy::unwrap_used, reason = "this is a benchmark")]

use divan::{Bencher, black_box};
use proctor_engine::budget::Demand;
use proctor_engine::budget::measure::Used;
use proctor_engine::budget::purse::{Grant, Purse};
use proctor_model::Reason;
use proctor_model::budget::{AccountKey, Meter, Scope, Window};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

fn main() {
    divan::main();
}

const NOW: Duration = Duration::from_secs(1);
const USED: Used = Used {
    calls: 1,
    tokens: 900,
    cost: 900,
};

fn demand(scope: Scope, id: &str, meter: Meter, units: u64) -> Demand {
    Demand {
        account: AccountKey {
            scope,
            id: id.into(),
            meter,
            window: Window::Day,
        },
        units,
        ceiling: None,
        reason: Reason::BudgetExhausted,
    }
}

/// Calls of tenant, agent and session.
fn three(own: &str) -> Vec<Demand> {
    vec![
        demand(Scope::Tenant, own, Meter::Calls, 1),
        demand(Scope::Agent, own, Meter::Calls, 1),
        demand(Scope::Session, own, Meter::Tokens, 1_000),
    ]
}

fn filled(all: &[Vec<Demand>]) -> Purse {
    let purse = Purse::default();
    for (lease, demand) in all.iter().flatten().enumerate() {
        let grant = Grant::new(
            u64::try_from(lease).unwrap(),
            u64::MAX >> 1,
            Duration::from_secs(9_999),
        );
        purse.account(&demand.account).add(Arc::new(grant), 0, 0);
    }
    purse
}

fn call(purse: &Purse, demands: &[Demand]) {
    let charged = purse.reserve(demands, NOW).unwrap().charge();
    black_box(charged.corrections(&USED));
    charged.settle(&USED);
}

/// The baseline: what any shared count costs.
#[divan::bench(threads = [1, 2])]
fn one_shared_atomic(bencher: Bencher<'_, '_>) {
    let count = AtomicU64::new(0);
    bencher.bench(|| black_box(&count).fetch_add(1, Ordering::AcqRel));
}

/// Each thread has a tenant of its own.
#[divan::bench(threads = [1, 2])]
fn three_accounts(bencher: Bencher<'_, '_>) {
    let own: Vec<_> = ["a", "b", "c", "d"].iter().map(|own| three(own)).collect();
    let purse = filled(&own);
    let next = AtomicUsize::new(0);
    thread_local! { static MINE: std::cell::Cell<Option<usize>> = const { std::cell::Cell::new(None) }; }
    bencher.bench(|| {
        let mine = MINE.get().unwrap_or_else(|| {
            let mine = next.fetch_add(1, Ordering::Relaxed) % own.len();
            MINE.set(Some(mine));
            mine
        });
        call(&purse, &own[mine]);
    });
}

/// All threads on the same three accounts.
#[divan::bench(threads = [1, 2])]
fn three_shared_accounts(bencher: Bencher<'_, '_>) {
    let shared = three("shared");
    let purse = filled(std::slice::from_ref(&shared));
    bencher.bench(|| call(&purse, &shared));
}

//! A budget that many fight over, a few seeds. Many more: `proctor-loadtest budget --seeds 20`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

use proctor_devstack::skipped;
use proctor_loadtest::budget::{Ceiling, Fault, Plan, run};
use proctor_loadtest::clocks::may_fake_time;

async fn fight(ceiling: Ceiling, fault: Fault, seed: u64) {
    let plan = Plan {
        limit: 2_000,
        kills: 4,
        fault,
        ceiling,
        ..Plan::default()
    };
    match run(plan, seed).await {
        Ok(report) => println!("{ceiling:?} {fault:?} seed {seed}: {report:?}"),
        Err(error) => panic!("{ceiling:?} {fault:?} seed {seed}: {error:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_spent_to_the_unit_while_processes_are_killed() {
    fight(Ceiling::Tenant, Fault::Kill, 1).await;
    fight(Ceiling::Tenant, Fault::Kill, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ceiling_of_a_token_holds_over_edges_and_sub_agents() {
    fight(Ceiling::Token, Fault::Kill, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_asleep_spends_nothing_that_is_not_its_own() {
    fight(Ceiling::Tenant, Fault::Sleep, 4).await;
}

/// D23, small. At full size: `proctor-loadtest budget --limit 10000 --clients 200 --edges 3 --kills 0`.
#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_have_exactly_what_is_allowed_done() {
    for (ceiling, seed) in [(Ceiling::Tenant, 6), (Ceiling::Token, 7)] {
        let plan = Plan {
            limit: 1_000,
            clients: 60,
            edges: 3,
            kills: 0,
            ceiling,
            ..Plan::default()
        };
        match run(plan, seed).await {
            Ok(report) => assert_eq!(report.executed, 1_000, "{ceiling:?}: {report:?}"),
            Err(error) => panic!("{ceiling:?}: {error:?}"),
        }
    }
}

async fn fight_time(fault: Fault, seed: u64) {
    if may_fake_time() {
        fight(Ceiling::Tenant, fault, seed).await;
    } else {
        skipped("no libfaketime");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_an_hour_off_makes_no_unit() {
    fight_time(Fault::Clock, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_makes_no_unit() {
    fight_time(Fault::Jump, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_passes_too_fast_makes_no_unit() {
    fight_time(Fault::Fast, 9).await;
}

//! A budget that many fight over, a few seeds. Many more: `proctor-loadtest budget --seeds 20`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

use proctor_loadtest::budget::{Ceiling, Fault, Plan, may_fake_time, run};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_an_hour_off_makes_no_unit() {
    if !may_fake_time() {
        println!("no libfaketime");
        return;
    }
    fight(Ceiling::Tenant, Fault::Clock, 5).await;
}

//! A budget that many fight over, three seeds. Many more: `proctor-loadtest budget --seeds 20`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

use proctor_loadtest::budget::{Ceiling, Plan, run};

async fn fight(ceiling: Ceiling, seed: u64) {
    let plan = Plan {
        limit: 2_000,
        kills: 4,
        ceiling,
        ..Plan::default()
    };
    match run(plan, seed).await {
        Ok(report) => println!("{ceiling:?} seed {seed}: {report:?}"),
        Err(error) => panic!("{ceiling:?} seed {seed}: {error:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_spent_to_the_unit_while_processes_are_killed() {
    fight(Ceiling::Tenant, 1).await;
    fight(Ceiling::Tenant, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ceiling_of_a_token_holds_over_edges_and_sub_agents() {
    fight(Ceiling::Token, 3).await;
}

//! Fault drills with their oracle, three seeds each. Many more: `proctor-loadtest drill d1 --seeds 200`. Two take more than a
//! minute of waiting and are run by hand alone: `d9` and `outage`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

use proctor_devstack::skipped;
use proctor_loadtest::drill::{Drill, may_loop, may_mount, may_trace, run};

async fn three(drill: Drill) {
    seeds(drill, 3).await;
}

async fn seeds(drill: Drill, last: u64) {
    for seed in 1..=last {
        match run(drill, seed).await {
            Ok(report) => println!("{drill:?} seed {seed}: {report:?}"),
            Err(error) => panic!("{drill:?} seed {seed}: {error:?}"),
        }
    }
}

/// A drill that can't be run here is left out on somebody's own machine. Where `CI` is set, nobody would notice: it fails.
#[track_caller]
fn can(possible: bool, why_not: &str) -> bool {
    if !possible {
        let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
        assert!(!ci, "this drill can't be run: {why_not}");
        skipped(why_not);
    }
    possible
}

#[tokio::test(flavor = "multi_thread")]
async fn d1_the_edge_is_killed_in_the_middle_of_requests() {
    three(Drill::D1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d2_ledgers_are_killed() {
    three(Drill::D2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d3_nats_is_killed_and_loses_everything() {
    three(Drill::D3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d4_postgres_is_killed() {
    three(Drill::D4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_away_for_longer_than_the_spool_has_room() {
    seeds(Drill::FullSpool, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d10_the_disk_of_the_edge_is_full() {
    if !can(may_mount(), "mounting a small tmpfs takes root") {
        return;
    }
    three(Drill::D10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_of_postgres_is_full() {
    if !can(may_mount(), "mounting a small tmpfs takes root") {
        return;
    }
    seeds(Drill::LedgerDisk, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d11_the_disk_of_the_edge_fails_once() {
    if !can(may_trace(), "strace is absent, or may not attach") {
        return;
    }
    three(Drill::D11).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_of_the_edge_is_slow() {
    if !can(may_trace(), "strace is absent, or may not attach") {
        return;
    }
    seeds(Drill::SlowDisk, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d12_bits_of_the_spool_flip() {
    three(Drill::D12).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d27_everything_is_killed_at_once() {
    three(Drill::D27).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d27_the_disk_has_only_what_had_reached_it() {
    // Root in a container has no loop devices as a rule: that is no fault of the machine's, even where `CI` is set.
    if !may_loop() {
        skipped("mounting a file takes root and loop devices");
        return;
    }
    seeds(Drill::CrashImage, 1).await;
}

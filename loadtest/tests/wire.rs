//! Drills over raw sockets, small. In full: `proctor-loadtest wire d14` to `d20`, with a release build (`docs/benchmarks.md`).

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

use proctor_loadtest::wire::{bombs, forwarded, frames, malformed, slow, smuggle, upstreams};
use std::time::Duration;

/// What a debug build among other tests may add to anybody's p99.
const JITTER: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn d14_faulty_tool_servers_are_given_up_and_others_go_on() {
    // As for the other drills: what a debug build takes says nothing of the bar, which is for a full run.
    let plan = upstreams::Plan {
        calls: 3,
        good: 10,
        percent: 200,
        jitter: JITTER,
        timeout_ms: 6_000,
    };
    println!("{:?}", upstreams::run(plan).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn d15_slow_clients_leave_room_and_time_for_others() {
    let plan = slow::Plan {
        connections: 700,
        files_max: Some(1_200),
        calls: 50,
        jitter: JITTER,
    };
    let report = slow::run(plan, 1).await.unwrap();
    println!("{report:?}");
    // More than 450 of one address are not let in: the attack was one.
    assert!(report.held > 300, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn d16_malformed_input_is_answered_or_closed() {
    let plan = malformed::Plan {
        inputs: 3_000,
        patience: Duration::from_secs(20),
    };
    println!("{:?}", malformed::run(plan, 1).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn d17_what_was_decided_is_what_is_forwarded() {
    let plan = forwarded::Plan { calls: 2_000 };
    println!("{:?}", forwarded::run(plan, 1).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn d18_no_request_hides_in_another() {
    println!("{} cases", smuggle::run().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn d19_floods_of_http2_frames_are_ended() {
    // One: a debug build takes a hundred times as long for a frame as its sender, and more would be a test of that.
    let plan = frames::Plan {
        connections: 1,
        requests: 100,
        jitter: JITTER,
    };
    println!("{:?}", frames::run(plan).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn d20_bombs_cost_little() {
    // A debug build takes some ten times as long as what is run.
    let plan = bombs::Plan {
        cpu_per_kb: Duration::from_millis(10),
        times: 1,
    };
    for cost in bombs::run(plan).await.unwrap() {
        println!("{cost:?}");
    }
}

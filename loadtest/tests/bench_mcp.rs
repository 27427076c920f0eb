//! The bench of MCP in small: what of it does not depend on how the binary was built.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

use proctor_loadtest::bench_mcp::{Plan, run};

#[tokio::test(flavor = "multi_thread")]
async fn idle_streams_take_little_memory_and_connections_to_a_server_are_reused() {
    let plan = Plan {
        rounds: 1,
        events: 100,
        streams: 200,
        calls: 2_000,
        in_flight: 64,
    };
    let report = run(plan).await.unwrap();
    println!("{report}");
    report.judge_resources().unwrap();
}

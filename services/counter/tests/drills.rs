//! Three nodes as processes of their own: killed, stopped, restarted, cut off.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

#[path = "drills/kills.rs"]
mod kills;
#[path = "drills/load.rs"]
mod load;
#[path = "drills/net.rs"]
mod net;
#[path = "drills/partition.rs"]
mod partition;
#[path = "drills/process.rs"]
mod process;
#[path = "drills/sleep.rs"]
mod sleep;
mod support;

use process::{NODE, Spec};
use proctor_counter::start;
use proctor_runtime::{Clock, shutdown};

/// Not a test of its own: the drills start this program again as a node.
#[tokio::test(flavor = "multi_thread")]
async fn node_process() {
    let Ok(spec) = std::env::var(NODE) else {
        return;
    };
    let spec: Spec = serde_json::from_str(&spec).unwrap();
    let handle = start(
        spec.config(),
        Clock::system(),
        shutdown::on_signals().unwrap(),
    )
    .await
    .unwrap();
    handle.stopped().await.unwrap();
}

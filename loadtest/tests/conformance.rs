//! The MCP conformance suite through a running edge: every scenario that a revision requires of a server.
//!
//! Skipped, and listed as such, only where npm is absent.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

use proctor_devstack::skipped;
use proctor_loadtest::conformance;

#[tokio::test(flavor = "multi_thread")]
async fn every_required_scenario_passes_in_both_eras() {
    let npm = std::process::Command::new("npm").arg("--version").output();
    if !npm.is_ok_and(|npm| npm.status.success()) {
        skipped("npm is absent");
        return;
    }
    println!("{}", conformance::all().await.unwrap());
}

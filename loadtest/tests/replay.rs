//! What the replays of benchmarks have in common: the examples in their own files.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use proctor_devstack::skipped;
use std::process::Command;

#[test]
fn intents_are_declared_as_their_examples_say() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/replay/intents.py");
    let mut python = Command::new("python3");
    let Ok(output) = python.args(["-m", "doctest", file]).output() else {
        return skipped("python3 is absent: the examples of the replays are not tried");
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
}

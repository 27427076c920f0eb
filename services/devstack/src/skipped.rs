//! Tests that can't be run where they are: listed, so that nobody takes them for passed.

use std::fs::OpenOptions;
use std::io::Write;
use std::panic::Location;

/// Names the file that [`skipped`] adds lines to. `make test` sets it, and prints the file in the end.
const FILE_VARIABLE: &str = "PROCTOR_TEST_SKIPPED";

/// Says that a test is skipped, or a part of it, where in the code and why.
///
/// # Panics
/// If the list can't be written.
#[track_caller]
#[expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "for tests, which say what they leave out, and fail by panicking"
)]
pub fn skipped(why: &str) {
    let place = Location::caller();
    let line = format!("{}:{}: {why}\n", place.file(), place.line());
    print!("skipped: {line}");
    let Some(path) = std::env::var_os(FILE_VARIABLE) else {
        return;
    };
    let list = OpenOptions::new().create(true).append(true).open(path);
    // At once: tests of other processes write to it as well.
    list.and_then(|mut list| list.write_all(line.as_bytes()))
        .expect("a list of skipped tests that can be written");
}

//! The book's time never goes back.

use proctor_counter::window::LogTime;

pub fn check(before: LogTime, after: LogTime) {
    assert!(after >= before, "from {before:?} to {after:?}");
}

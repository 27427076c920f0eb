//! Time, handed in as a value.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proctor_model::Timestamp;

/// Tells the time: the machine's, or one that a test sets.
///
/// Two kinds of time: [`Clock::now`] is the wall clock, which people and documents use and which
/// may jump; [`Clock::monotonic`] only moves forward and measures how long something took.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System { start: Instant },
    Test(Arc<TestTime>),
}

#[derive(Debug)]
struct TestTime {
    wall_micros: AtomicI64,
    monotonic_micros: AtomicU64,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System {
            start: Instant::now(),
        })
    }

    /// A clock that stands at `now` until its handle moves it.
    #[must_use]
    pub fn at(now: Timestamp) -> (Self, TestClock) {
        let time = Arc::new(TestTime {
            wall_micros: AtomicI64::new(now.as_micros()),
            monotonic_micros: AtomicU64::new(0),
        });
        (Self(Source::Test(Arc::clone(&time))), TestClock(time))
    }

    /// The wall clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { .. } => Timestamp::from_micros(micros_since_1970()),
            Source::Test(time) => Timestamp::from_micros(time.wall_micros.load(Ordering::Acquire)),
        }
    }

    /// Time since this clock was made; never goes back.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Source::System { start } => start.elapsed(),
            Source::Test(time) => {
                Duration::from_micros(time.monotonic_micros.load(Ordering::Acquire))
            }
        }
    }
}

/// Moves the clock of a test.
#[derive(Debug, Clone)]
pub struct TestClock(Arc<TestTime>);

impl TestClock {
    /// Time passes: both clocks move forward.
    pub fn advance(&self, by: Duration) {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        self.0.monotonic_micros.fetch_add(micros, Ordering::AcqRel);
        self.0
            .wall_micros
            .fetch_add(i64::try_from(micros).unwrap_or(i64::MAX), Ordering::AcqRel);
    }

    /// Somebody sets the wall clock; no time passes.
    pub fn set_wall(&self, now: Timestamp) {
        self.0.wall_micros.store(now.as_micros(), Ordering::Release);
    }
}

/// Before 1970 counts as 1970: such a clock is broken, and everything it signs is long over.
fn micros_since_1970() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_clock_moves_only_when_told() {
        let start: Timestamp = "2026-11-23T21:00:00Z".parse().unwrap();
        let (clock, hand) = Clock::at(start);
        assert_eq!((clock.now(), clock.monotonic()), (start, Duration::ZERO));
        hand.advance(Duration::from_secs(5));
        assert_eq!(
            (clock.now(), clock.monotonic()),
            (start.plus_secs(5), Duration::from_secs(5))
        );
        hand.set_wall(start.plus_secs(-3600));
        assert_eq!(
            (clock.now(), clock.monotonic()),
            (start.plus_secs(-3600), Duration::from_secs(5))
        );
    }

    #[test]
    fn the_systems_clock_is_of_this_century() {
        let clock = Clock::system();
        assert!(clock.now() > "2025-01-01T00:00:00Z".parse().unwrap());
        let before = clock.monotonic();
        assert!(clock.monotonic() >= before);
    }
}

//! The time that an account counts over.

use crate::limits::ROLLING_SLICES;
use proctor_model::Timestamp;
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, Time};

const SECOND: i64 = 1_000_000;

/// Microseconds since 1970, as the leader wrote them into the log. No node's clock is ever compared with it.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct LogTime(pub i64);

impl LogTime {
    /// This time moved by `micros`.
    #[must_use]
    pub fn plus(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Milliseconds from now to this time, rounded up; 0 if it is past.
    #[must_use]
    pub fn ms_from(self, now: Self) -> u64 {
        let micros = self.0.saturating_sub(now.0).max(0);
        u64::try_from(micros).unwrap_or(0).div_ceil(1_000)
    }
}

impl From<Timestamp> for LogTime {
    fn from(at: Timestamp) -> Self {
        Self(at.as_micros())
    }
}

impl From<LogTime> for Timestamp {
    fn from(at: LogTime) -> Self {
        Self::from_micros(at.0)
    }
}

/// The window of an account. Calendar windows are in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Window {
    /// From the first unit on, for ever.
    Lifetime,
    /// A calendar minute.
    Minute,
    /// A calendar hour.
    Hour,
    /// A calendar day.
    Day,
    /// A calendar month.
    Month,
    /// The last so many seconds.
    Rolling(u32),
}

impl Window {
    /// Begin (inclusive) and end (exclusive) of the calendar window around `now`; none for the other kinds.
    #[must_use]
    pub fn span(self, now: LogTime) -> Option<(LogTime, LogTime)> {
        let fixed = |secs: i64| {
            let micros = secs.saturating_mul(SECOND);
            let start = now.0.saturating_sub(now.0.rem_euclid(micros));
            (LogTime(start), LogTime(start.saturating_add(micros)))
        };
        match self {
            Self::Lifetime | Self::Rolling(_) => None,
            Self::Minute => Some(fixed(60)),
            Self::Hour => Some(fixed(3_600)),
            Self::Day => Some(fixed(86_400)),
            Self::Month => Some(month(now)),
        }
    }

    /// Microseconds of a slice of a rolling window.
    pub(crate) fn slice_us(secs: u32) -> i64 {
        i64::from((secs / ROLLING_SLICES).max(1)).saturating_mul(SECOND)
    }
}

/// A month that can't be computed (the log's time is clamped to 1970 … 9999) is taken as never ending: a window
/// that does not reset refuses, it never overspends.
fn month(now: LogTime) -> (LogTime, LogTime) {
    let first = OffsetDateTime::from_unix_timestamp_nanos(i128::from(now.0) * 1_000)
        .and_then(|at| Ok(at.replace_day(1)?.replace_time(Time::MIDNIGHT)));
    let micros = |at: OffsetDateTime| i64::try_from(at.unix_timestamp_nanos() / 1_000).ok();
    let Some((first, start)) = first.ok().and_then(|at| Some((at, micros(at)?))) else {
        return (LogTime(0), LogTime(i64::MAX));
    };
    // Day 1 plus 31 days is in the next month, whatever month it is.
    let end = first
        .checked_add(time::Duration::days(31))
        .and_then(|at| at.replace_day(1).ok())
        .and_then(micros);
    (LogTime(start), LogTime(end.unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> LogTime {
        text.parse::<Timestamp>().unwrap().into()
    }

    #[test]
    fn calendar_windows_begin_and_end_where_the_calendar_says() {
        for (window, now, start, end) in [
            (
                Window::Minute,
                "2026-11-23T21:00:59.999999Z",
                "2026-11-23T21:00:00Z",
                "2026-11-23T21:01:00Z",
            ),
            (
                Window::Minute,
                "2026-11-23T21:01:00Z",
                "2026-11-23T21:01:00Z",
                "2026-11-23T21:02:00Z",
            ),
            (
                Window::Hour,
                "2026-11-23T21:59:59Z",
                "2026-11-23T21:00:00Z",
                "2026-11-23T22:00:00Z",
            ),
            (
                Window::Day,
                "2026-12-31T23:59:59Z",
                "2026-12-31T00:00:00Z",
                "2027-01-01T00:00:00Z",
            ),
            (
                Window::Month,
                "2026-12-31T23:59:59Z",
                "2026-12-01T00:00:00Z",
                "2027-01-01T00:00:00Z",
            ),
            (
                Window::Month,
                "2028-02-29T12:00:00Z",
                "2028-02-01T00:00:00Z",
                "2028-03-01T00:00:00Z",
            ),
            (
                Window::Month,
                "2026-04-01T00:00:00Z",
                "2026-04-01T00:00:00Z",
                "2026-05-01T00:00:00Z",
            ),
            (
                Window::Month,
                "1970-01-01T00:00:00Z",
                "1970-01-01T00:00:00Z",
                "1970-02-01T00:00:00Z",
            ),
        ] {
            assert_eq!(
                window.span(at(now)),
                Some((at(start), at(end))),
                "{window:?} {now}"
            );
        }
        assert_eq!(Window::Lifetime.span(at("2026-04-01T00:00:00Z")), None);
        assert_eq!(Window::Rolling(5).span(at("2026-04-01T00:00:00Z")), None);
        // The last month of the calendar has no end that could be computed.
        let (_, end) = Window::Month.span(at("9999-12-15T00:00:00Z")).unwrap();
        assert!(end > at("9999-12-31T23:59:59Z"));
    }
}

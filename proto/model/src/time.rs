//! Points in time as the documents carry them.

use ::time::format_description::well_known::Rfc3339;
use ::time::{OffsetDateTime, UtcOffset};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Microseconds since the Unix epoch, written as RFC 3339 in UTC (`2026-11-23T21:00:00Z`,
/// with a fraction only where it isn't zero).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timestamp(i64);

/// A text that is no RFC 3339 time in a year from 1970 to 9999.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an RFC 3339 time between 1970 and 9999")]
pub struct TimestampError;

/// 9999-12-31T23:59:59.999999Z, the last time RFC 3339 can write.
const MICROS_MAX: i64 = 253_402_300_799_999_999;

impl Timestamp {
    /// From microseconds since the Unix epoch; out of range is clamped to 1970 … 9999.
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(0, MICROS_MAX))
    }

    /// From whole seconds since the Unix epoch; clamped like [`Self::from_micros`].
    #[must_use]
    pub fn from_secs(secs: i64) -> Self {
        Self::from_micros(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub fn as_secs(self) -> i64 {
        self.0 / 1_000_000
    }

    /// This time moved by `secs`, clamped to the range.
    #[must_use]
    pub fn plus_secs(self, secs: i64) -> Self {
        Self::from_micros(self.0.saturating_add(secs.saturating_mul(1_000_000)))
    }

    /// Microseconds from `earlier` to this time (negative if it is later).
    #[must_use]
    pub fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1000)
            .ok()
            .and_then(|at| at.format(&Rfc3339).ok())
            .ok_or(fmt::Error)?;
        f.write_str(&text)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimestampError)?;
        let micros = at.to_offset(UtcOffset::UTC).unix_timestamp_nanos() / 1000;
        match i64::try_from(micros) {
            Ok(micros) if (0..=MICROS_MAX).contains(&micros) => Ok(Self(micros)),
            _ => Err(TimestampError),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_normalises_to_utc() {
        for (text, expect) in [
            ("2026-11-23T21:00:00Z", "2026-11-23T21:00:00Z"),
            ("2026-11-23T22:00:00+01:00", "2026-11-23T21:00:00Z"),
            ("1970-01-01T00:00:00.000001Z", "1970-01-01T00:00:00.000001Z"),
            ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), expect);
        }
        for bad in [
            "",
            "2026-11-23",
            "2026-11-23T21:00:00",
            "1969-12-31T23:59:59Z",
            "x",
        ] {
            assert_eq!(bad.parse::<Timestamp>(), Err(TimestampError), "{bad}");
        }
    }
}

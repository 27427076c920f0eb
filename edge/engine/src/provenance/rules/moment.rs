//! Times of day, alone or behind a day: whatever writing they are known in.

use super::{Evidence, Origin};
use crate::provenance::calendar::spelled_part;
use crate::provenance::clock::{Clock, two_digits};
use crate::provenance::quantity::numeric_date;
use crate::provenance::query::Spelled;
use crate::provenance::text::with_ascii_digits;
use crate::provenance::value::Kind;

/// A date with a time of day, as programs write it.
struct Moment<'t> {
    day: &'t str,
    clock: Clock,
    /// It is universal time, or nothing says which.
    plain: bool,
}

impl<'t> Moment<'t> {
    fn of(text: &'t str) -> Option<Self> {
        let (day, rest) = text.trim().split_at_checked(10)?;
        numeric_date(day)?;
        let rest = rest.strip_prefix(['T', 't', ' '])?;
        let end = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
        let (clock, zone) = rest.split_at_checked(end)?;
        let mut parts = clock.split(':');
        let mut part = || {
            let part = parts.next()?;
            two_digits(part.split_once('.').map_or(part, |(whole, _)| whole))
        };
        let clock = Clock {
            hour: part()?,
            minute: part()?,
            second: part().unwrap_or(0),
        };
        Some(Self {
            day,
            clock,
            plain: zone.is_empty() || zone.eq_ignore_ascii_case("z"),
        })
    }

    /// Day and time together, as they begin in whatever such writing.
    fn begun(&self) -> [String; 2] {
        let Self { day, clock, .. } = self;
        ["t", " "].map(|sign| format!("{day}{sign}{:02}:{:02}", clock.hour, clock.minute))
    }

    /// Day and time together, in the ways in which programs write them.
    fn wholes(&self) -> Vec<String> {
        let mut wholes = Vec::new();
        let Clock {
            hour,
            minute,
            second,
        } = self.clock;
        let day = self.day;
        let clock = format!("{hour:02}:{minute:02}");
        let mut clocks = vec![
            format!("{clock}:{second:02}"),
            format!("{clock}:{second:02}.000"),
        ];
        if second == 0 {
            clocks.push(clock);
        }
        for clock in clocks.iter().filter(|_| self.plain) {
            for sign in ["T", " "] {
                wholes.extend(["", "Z"].map(|zone| format!("{day}{sign}{clock}{zone}")));
            }
        }
        wholes
    }
}

impl Evidence<'_> {
    /// Whether a time of day by itself comes from an accepted origin, in whatever writing: `7 pm` is `19:00`.
    pub(super) fn is_known_time(
        &self,
        scalar: &Spelled,
        accepted: &[Origin],
        path: &[&str],
    ) -> bool {
        let known = |clock| self.has_clock(clock, accepted, path);
        scalar.clock.is_some_and(known)
    }

    /// Whether the time of day in a date comes from an accepted origin as well: together with the day, or for itself. The day
    /// alone is proof of its beginning at most.
    pub(super) fn has_time(
        &self,
        text: &str,
        spelled: &Spelled,
        accepted: &[Origin],
        path: &[&str],
    ) -> bool {
        // As a day it was read in whatever writing, and so is its time.
        let plain = with_ascii_digits(spelled.normal());
        let Some(moment) = Moment::of(&plain) else {
            return true;
        };
        let has =
            |text: &str| self.has_origin(&Spelled::text(text.to_owned()), true, accepted, path);
        moment.clock.is_midnight()
            || has(text)
            || (accepted.contains(&Origin::Goal) && self.goal.has_exactly(text))
            || moment.wholes().iter().any(|whole| has(whole))
            || self.has_clock(moment.clock, accepted, path)
    }

    /// Whether untrusted content may have chosen the time of day in a date, or its year, where an accepted origin has no more
    /// than the day: it has that day and the time, or the day in that year.
    pub(super) fn is_dictated_moment(
        &self,
        spelled: &Spelled,
        accepted: &[Origin],
        path: &[&str],
    ) -> bool {
        let timed = || self.has_time(spelled.as_written(), spelled, accepted, path);
        (self.is_dictated_time(spelled) && !timed())
            || self.is_dictated_year(spelled, accepted, path)
    }

    fn is_dictated_time(&self, spelled: &Spelled) -> bool {
        let plain = with_ascii_digits(spelled.normal());
        let Some(moment) = Moment::of(&plain) else {
            return false;
        };
        let day = || self.session.suspect(&self.session.query(spelled));
        let together = || {
            let mut begun = moment.begun().into_iter();
            begun.any(|begun| self.session.suspect_words(&begun).is_some())
        };
        let time = || self.session.suspect_time(moment.clock);
        !self.session.knows_all() || (day().is_some() && (together() || time().is_some()))
    }

    /// Whether the year of a date is untrusted content's own: who says `May 20` means one near, unless he says which.
    pub(super) fn is_dictated_year(
        &self,
        spelled: &Spelled,
        accepted: &[Origin],
        path: &[&str],
    ) -> bool {
        let Some(date) = spelled.day() else {
            return false;
        };
        let year = date.split('-').next().unwrap_or_default();
        let seen = || {
            let query = self.session.typed_query(Kind::Date, date);
            self.session.suspect(&query).is_some()
        };
        let dictated = match self.is_near(year) {
            Some(true) => false,
            Some(false) => seen() || !self.session.knows_all(),
            // Nothing was called here before.
            None => seen(),
        };
        let named = || {
            let part = spelled_part("year", year);
            let mut named = [
                (Kind::Date, date),
                (Kind::Number, year),
                (Kind::PartOfDate, part.as_str()),
            ]
            .into_iter();
            named.any(|(kind, text)| self.has_typed_origin(kind, text, accepted, path))
        };
        dictated && !named()
    }

    /// Whether a year is that of the session's latest call, or one beside it.
    fn is_near(&self, year: &str) -> Option<bool> {
        let now = self.session.history.last.back()?.at.to_string();
        let now: u32 = now.get(..4)?.parse().ok()?;
        let year: u32 = year.parse().ok()?;
        Some(now.abs_diff(year) <= 1)
    }

    fn has_clock(&self, clock: Clock, accepted: &[Origin], path: &[&str]) -> bool {
        let has =
            |text: &String| self.has_origin(&Spelled::text(text.clone()), false, accepted, path);
        // A bare figure is an hour to whoever said it, and anything in a record. One of a date or of another time is none.
        let named = || {
            self.goal.has_typed(Kind::PartOfDate, &clock.part())
                || clock
                    .hours()
                    .iter()
                    .any(|hour| self.goal.has_typed(Kind::Number, hour))
        };
        clock.written().iter().any(has) || (accepted.contains(&Origin::Goal) && named())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_and_its_time() {
        let moment = |text| Moment::of(text).unwrap();
        let three = moment("2024-05-15T15:00");
        for whole in ["2024-05-15 15:00", "2024-05-15T15:00:00Z"] {
            assert!(three.wholes().iter().any(|known| known == whole), "{whole}");
        }
        assert_eq!(three.begun(), ["2024-05-15t15:00", "2024-05-15 15:00"]);
        let half = moment("2024-05-15 09:30:00+02:00");
        assert_eq!((half.clock.hour, half.clock.minute), (9, 30));
        assert_eq!(half.wholes(), [""; 0]);
        assert!(moment("2024-05-15T00:00:00.000Z").clock.is_midnight());
        for text in [
            "2024-05-15",
            "2024-05-15 noon",
            "15:00",
            "2024-99-15T10:00",
            "päääääää T",
        ] {
            assert!(Moment::of(text).is_none(), "{text}");
        }
    }
}

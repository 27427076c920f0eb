//! Times of day, alone or behind a day: whatever writing they are known in.

use super::{Evidence, Origin};
use crate::provenance::calendar::spelled_part;
use crate::provenance::clock::{Clock, two_digits};
use crate::provenance::quantity::{numeric_date, whole_date};
use crate::provenance::query::{DAY_BYTES, Spelled};
use crate::provenance::text::with_ascii_digits;
use crate::provenance::tracker::Tracker;
use crate::provenance::value::Kind;
use proctor_model::ToolRef;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// A date with a time of day, in figures.
struct Moment<'t> {
    /// As programs write it, if it can be read in one way only.
    day: Cow<'t, str>,
    clock: Clock,
    /// It is universal time, or nothing says which.
    plain: bool,
}

impl<'t> Moment<'t> {
    fn of(text: &'t str) -> Option<Self> {
        let (day, rest) = text.trim().split_at_checked(DAY_BYTES)?;
        numeric_date(day)?;
        let rest = rest.strip_prefix(['T', 't', ' '])?;
        let day = whole_date(day).map_or(Cow::Borrowed(day), Cow::Owned);
        if let Some(clock) = Clock::of(rest) {
            let plain = true;
            return Some(Self { day, clock, plain });
        }
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
        let day = &self.day;
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
        let has = |text: &str| self.has_typed_origin(Kind::Exact, text, accepted, path);
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
        let time = || self.time_told(moment.clock);
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

    /// Whether a time of day comes from an accepted origin. It is noted under one name wherever it is believed; in what an intent
    /// delegates to, it may stand amid other words.
    fn has_clock(&self, clock: Clock, accepted: &[Origin], path: &[&str]) -> bool {
        self.has_typed_origin(Kind::PartOfDate, &clock.whole(), accepted, path)
            || accepted.iter().any(|origin| match origin {
                Origin::Tool(tool, field) => {
                    let sources = self.times.written(clock, self.session);
                    let mut sources = sources.iter();
                    sources.any(|it| self.session.is_of_tool(*it, tool, field.as_deref()))
                }
                Origin::File(name) => {
                    let sources = self.times.written(clock, self.session);
                    sources.iter().any(|it| self.session.is_of_file(*it, name))
                }
                _ => false,
            })
    }

    /// The untrusted tool that showed a time of day, in whatever writing, if one did.
    pub(super) fn time_told(&self, clock: Clock) -> Option<&ToolRef> {
        let source = self.times.told(clock, self.session)?;
        self.session.shown_by(source)
    }
}

/// What was looked up of times of day while a call is judged. Each may be written in many ways, and a call may have as many
/// times as values.
#[derive(Debug, Default)]
pub(crate) struct Times {
    told: RefCell<HashMap<Clock, Option<u16>>>,
    written: RefCell<HashMap<Clock, Rc<[u16]>>>,
}

impl Times {
    /// The untrusted source that has the time, in whatever words.
    fn told(&self, clock: Clock, session: &Tracker) -> Option<u16> {
        let known = self.told.borrow().get(&clock).copied();
        known.unwrap_or_else(|| {
            let told = session.time_told(clock);
            self.told.borrow_mut().insert(clock, told);
            told
        })
    }

    /// The untrusted sources that have the time as it is written, whatever stands around it.
    fn written(&self, clock: Clock, session: &Tracker) -> Rc<[u16]> {
        let known = self.written.borrow().get(&clock).cloned();
        known.unwrap_or_else(|| {
            let written: Rc<[u16]> = session.time_written(clock).into();
            self.written.borrow_mut().insert(clock, Rc::clone(&written));
            written
        })
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
            "05/16/2024 19:00",
            "16.05.2024 7 pm",
            "2024-05-16 7:00 p.m.",
        ] {
            assert_eq!(moment(text).begun()[1], "2024-05-16 19:00", "{text}");
        }
        for text in [
            "2024-05-15",
            "2024-05-15 soon",
            "15:00",
            "2024-99-15T10:00",
            "päääääää T",
        ] {
            assert!(Moment::of(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_time_is_looked_up_once_for_each_call() {
        let (times, session) = (Times::default(), Tracker::new(&[1; 16], false));
        for text in ["19:00", "7 pm", "19:00"] {
            let clock = Clock::of(text).unwrap();
            assert_eq!(times.told(clock, &session), None);
            assert!(times.written(clock, &session).is_empty());
        }
        assert_eq!(times.told.borrow().len(), 1);
        assert_eq!(times.written.borrow().len(), 1);
    }
}

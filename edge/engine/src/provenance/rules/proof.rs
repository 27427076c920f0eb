//! Whether a value has an accepted origin.

use super::{Broken, Evidence, Origin, broken};
use crate::provenance::calendar::{part_named, spelled_part};
use crate::provenance::join::Known;
use crate::provenance::plan::Need;
use crate::provenance::quantity::{canonical_number, numeric_date};
use crate::provenance::query::Spelled;
use crate::provenance::text::with_ascii_digits;
use crate::provenance::value::Kind;
use serde_json::Value;

impl Evidence<'_> {
    /// A yes or a no stands in no text: the action has it for this argument, or nothing proves it.
    pub(super) fn flag(
        &self,
        flag: bool,
        accepted: &[Origin],
        path: &[&str],
    ) -> Result<(), Broken> {
        match accepted.contains(&Origin::Goal) && self.constants.has_flag(path, flag) {
            true => Ok(()),
            false => Err(broken(path, "its value", None)),
        }
    }

    pub(super) fn proved(
        &self,
        scalar: &Value,
        need: Need,
        accepted: &[Origin],
        path: &[&str],
    ) -> Result<(), Broken> {
        let Some(spelled) = Spelled::of(scalar) else {
            return Err(broken(path, "its value", None));
        };
        let good = match (scalar, need) {
            (Value::String(text), Need::Proved) => {
                self.says_known(text, &spelled, accepted, path)
                    || self.joins(text, accepted, path)
                    || self.is_part_of_date(&spelled, accepted, path)
            }
            // A part of a password is another one; a part of a command is worse.
            (Value::String(text), Need::Credential)
                if accepted.contains(&Origin::Goal) && self.goal.has_exactly(text) =>
            {
                true
            }
            _ => {
                self.has_origin(&spelled, need != Need::Proved, accepted, path)
                    || (need == Need::Proved && self.is_part_of_date(&spelled, accepted, path))
            }
        };
        match good {
            true => Ok(()),
            false => Err(self.unproved(&spelled, path)),
        }
    }

    /// Whether a figure is the part of one of the goal's dates or times that its argument is by its name.
    pub(super) fn is_part_of_date(
        &self,
        scalar: &Spelled,
        accepted: &[Origin],
        path: &[&str],
    ) -> bool {
        let name = path.iter().rfind(|step| **step != "*");
        let Some(part) = name.and_then(|name| part_named(name)) else {
            return false;
        };
        let part = || canonical_number(scalar.as_written()).map(|it| spelled_part(part, &it));
        accepted.contains(&Origin::Goal)
            && part().is_some_and(|part| self.goal.has_typed(Kind::PartOfDate, &part))
    }

    /// Put together of parts: good if each of them is.
    fn joins(&self, text: &str, accepted: &[Origin], path: &[&str]) -> bool {
        let others = accepted.iter().filter(|origin| **origin != Origin::Goal);
        let records: Vec<Origin> = others.cloned().collect();
        let known = Known {
            proved: &|part| self.has_text_origin(part, accepted, path),
            recorded: &|part| self.has_text_origin(part, &records, path),
            dictated: &|part| {
                let part = Spelled::text(part.to_owned());
                let seen = self.session.suspect(&self.session.query(&part));
                seen.is_some() || !self.session.knows_all()
            },
            named: &|part| {
                accepted.contains(&Origin::Goal)
                    && self.goal.has(&Spelled::text(part.to_owned()), false)
            },
        };
        known.joins(text)
    }

    pub(super) fn has_text_origin(&self, text: &str, accepted: &[Origin], path: &[&str]) -> bool {
        self.says_known(text, &Spelled::text(text.to_owned()), accepted, path)
    }

    /// Whether a text comes from an accepted origin, with all that it says: a date with its time of day. The sign in front of
    /// an id (`#W2378156`) may be missing in the goal.
    fn says_known(
        &self,
        text: &str,
        spelled: &Spelled,
        accepted: &[Origin],
        path: &[&str],
    ) -> bool {
        if self.has_origin(spelled, false, accepted, path) {
            return self.has_time(text, spelled, accepted, path);
        }
        let bare = without_sign(text).filter(|_| accepted.contains(&Origin::Goal));
        bare.is_some_and(|bare| self.goal.has(&Spelled::text(bare.to_owned()), false))
    }

    pub(super) fn has_origin(
        &self,
        scalar: &Spelled,
        exact: bool,
        accepted: &[Origin],
        path: &[&str],
    ) -> bool {
        let declared = || self.goal.has(scalar, exact) || self.constants.has(path, scalar, exact);
        if accepted.contains(&Origin::Goal) && declared() {
            return true;
        }
        let query = self.session.query(scalar);
        accepted.iter().any(|origin| match origin {
            Origin::Any => true,
            Origin::Trusted => self.session.proves(&query, exact),
            Origin::Memory(least) => self.session.proved_by_memory(&query, exact, *least),
            Origin::Tool(tool, field) => {
                self.session
                    .proved_by_tool(&query, exact, tool, field.as_deref())
            }
            Origin::File(name) => self.session.proved_by_file(&query, exact, name),
            Origin::Goal | Origin::Unprovable => false,
        })
    }

    fn unproved(&self, scalar: &Spelled, path: &[&str]) -> Broken {
        let seen = self.session.suspect(&self.session.query(scalar));
        broken(path, "its value", seen)
    }

    /// Whether the time of day in a date comes from an accepted origin as well: together with the day, or for itself. The day
    /// alone is proof of its beginning at most.
    fn has_time(&self, text: &str, spelled: &Spelled, accepted: &[Origin], path: &[&str]) -> bool {
        // As a day it was read in whatever writing, and so is its time.
        let plain = with_ascii_digits(spelled.normal());
        let Some(moment) = Moment::of(&plain) else {
            return true;
        };
        let has = |text: &str, exact: bool| {
            self.has_origin(&Spelled::text(text.to_owned()), exact, accepted, path)
        };
        let goal = accepted.contains(&Origin::Goal);
        moment.is_midnight()
            || has(text, true)
            || (goal && self.goal.has_exactly(text))
            || moment.wholes().iter().any(|whole| has(whole, true))
            || moment.clocks().iter().any(|clock| has(clock, false))
            // A bare figure is an hour to whoever said it, and anything in a record. One of a date or of another time is none.
            || (goal && moment.hours().iter().any(|hour| self.goal.has_typed(Kind::Number, hour)))
    }
}

/// Fewest letters and digits of an id.
const ID_MIN: usize = 4;

/// An id without the sign in front of it.
fn without_sign(text: &str) -> Option<&str> {
    let bare = text.strip_prefix(['#', '@'])?;
    let word = bare
        .chars()
        .all(|c| c.is_alphanumeric() || "-_".contains(c));
    let letters = bare.chars().filter(|c| c.is_alphanumeric()).count();
    let id = word && letters >= ID_MIN && bare.contains(|c: char| c.is_ascii_digit());
    id.then_some(bare)
}

/// A date with a time of day, as programs write it.
struct Moment<'t> {
    day: &'t str,
    hour: u32,
    minute: u32,
    second: u32,
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
            let part = part.split_once('.').map_or(part, |(whole, _)| whole);
            (part.len() == 2)
                .then(|| part.parse::<u32>().ok())
                .flatten()
        };
        let (hour, minute, second) = (part()?, part()?, part().unwrap_or(0));
        Some(Self {
            day,
            hour,
            minute,
            second,
            plain: zone.is_empty() || zone.eq_ignore_ascii_case("z"),
        })
    }

    fn is_midnight(&self) -> bool {
        (self.hour, self.minute, self.second) == (0, 0, 0)
    }

    /// Day and time together, in the ways in which programs write them.
    fn wholes(&self) -> Vec<String> {
        let mut wholes = Vec::new();
        let Self { day, second, .. } = self;
        let clock = format!("{:02}:{:02}", self.hour, self.minute);
        let mut clocks = vec![
            format!("{clock}:{second:02}"),
            format!("{clock}:{second:02}.000"),
        ];
        if *second == 0 {
            clocks.push(clock);
        }
        for clock in clocks.iter().filter(|_| self.plain) {
            for sign in ["T", " "] {
                wholes.extend(["", "Z"].map(|zone| format!("{day}{sign}{clock}{zone}")));
            }
        }
        wholes
    }

    /// The time as people write it, and programs beside a date.
    fn clocks(&self) -> Vec<String> {
        let Self {
            hour,
            minute,
            second,
            ..
        } = self;
        let mut clocks = vec![format!("{hour:02}:{minute:02}:{second:02}")];
        if *second > 0 {
            return clocks;
        }
        clocks.extend([
            format!("{hour:02}:{minute:02}"),
            format!("{hour}:{minute:02}"),
        ]);
        let half = if *hour < 12 { "am" } else { "pm" };
        let hour = self.hour_of_twelve();
        for blank in ["", " "] {
            clocks.push(format!("{hour}:{minute:02}{blank}{half}"));
            if *minute == 0 {
                clocks.push(format!("{hour}{blank}{half}"));
            }
        }
        let spoken = ["o'clock", "uhr"].map(|word| format!(" {word}"));
        let signs = ["点", "點", "時", "时", "시"].map(str::to_owned);
        for word in spoken.iter().chain(&signs).filter(|_| *minute == 0) {
            clocks.extend([self.hour, hour].map(|hour| format!("{hour}{word}")));
        }
        if (self.hour, *minute) == (12, 0) {
            clocks.push("noon".to_owned());
        }
        clocks
    }

    /// A full hour as a bare figure: `from 10 to 11`.
    fn hours(&self) -> Vec<String> {
        let full = (self.minute, self.second) == (0, 0);
        let hours = [self.hour.to_string(), self.hour_of_twelve().to_string()];
        hours.into_iter().filter(|_| full).collect()
    }

    fn hour_of_twelve(&self) -> u32 {
        match self.hour.checked_rem(12) {
            Some(hour) if hour > 0 => hour,
            _ => 12,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_many_ways() {
        let moment = |text| Moment::of(text).unwrap();
        let three = moment("2024-05-15T15:00");
        for clock in [
            "15:00",
            "3 pm",
            "3pm",
            "3:00 pm",
            "15:00:00",
            "15 uhr",
            "3 o'clock",
        ] {
            assert!(three.clocks().iter().any(|known| known == clock), "{clock}");
        }
        assert!(three.hours().iter().any(|hour| hour == "3"));
        for whole in ["2024-05-15 15:00", "2024-05-15T15:00:00Z"] {
            assert!(three.wholes().iter().any(|known| known == whole), "{whole}");
        }
        let half = moment("2024-05-15 09:30:00+02:00");
        assert!(half.clocks().iter().any(|known| known == "9:30"));
        assert_eq!(half.hours(), [""; 0]);
        assert_eq!(half.wholes(), [""; 0]);
        assert!(moment("2024-05-15T00:00:00.000Z").is_midnight());
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

    #[test]
    fn the_sign_before_an_id_is_none_of_it() {
        for (text, bare) in [
            ("#W2378156", Some("W2378156")),
            ("@alice99", Some("alice99")),
            ("#general", None),
            ("#12", None),
            ("#W23 78156", None),
            ("W2378156", None),
        ] {
            assert_eq!(without_sign(text), bare, "{text}");
        }
    }
}

//! Values in the forms in which they are noted and looked up.

use super::account::DIGITS;
use super::clock::Clock;
use super::file::is_file_name;
use super::fingerprint::Fingerprinter;
use super::quantity::{canonical_number, whole_date};
use super::script::is_telling;
use super::text::{Cut, folded, normal, with_ids, words};
use super::value::{Kind, recognise_in, whole_of};
use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

/// Fewest letters and digits of a text that is suspect because untrusted content has it too: one letter (`r` for
/// "read") stands everywhere.
const TELLING_MIN: usize = 3;

/// A value to look up, in the forms that it may have been seen in.
pub(super) struct Query {
    pub(super) exact: u64,
    /// If the value is of one kind as a whole, only that counts.
    pub(super) typed: Option<u64>,
    /// Else: its normal form as a whole, or its words one after the other.
    pub(super) whole: u64,
    pub(super) phrase: Vec<(u64, u64)>,
    /// Nothing stands around the first and the last word, and the normal form says all that the value says.
    pub(super) clean: bool,
    /// It has blanks at an end: to the letter, or not at all.
    pub(super) ragged: bool,
    /// Month and day, for a date that was given without a year.
    pub(super) yearless: Option<u64>,
    /// The same value in another form: digits in other groups, a file without its path.
    pub(super) others: Vec<u64>,
    /// Everything recognised in it.
    pub(super) parts: Vec<u64>,
    /// Long enough that the same words elsewhere are no accident.
    pub(super) telling: bool,
}

/// A text or a number in the forms in which it is noted and looked up, before any key: made once, and fingerprinted for
/// each index.
pub(super) struct Spelled {
    pub(super) text: String,
    normal: String,
    /// See [`folded`]: what proves the value has this form, or
    folded: Option<String>,
    /// the last of these, see [`with_ids`].
    with_ids: Vec<String>,
    /// A number, in its canonical form.
    pub(super) number: bool,
    /// Everything recognised in a text.
    found: Vec<(Kind, String)>,
    /// It is a day, with or without a time of day, and nothing else.
    pub(super) date: bool,
    /// It is a time of day, and nothing else.
    pub(super) clock: Option<Clock>,
}

impl Spelled {
    /// `None`: neither a text nor a number.
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::text(text.clone())),
            Value::Number(number) => {
                let text = canonical_number(&number.to_string())?;
                Some(Self {
                    normal: text.clone(),
                    folded: None,
                    with_ids: Vec::new(),
                    text,
                    number: true,
                    found: Vec::new(),
                    date: false,
                    clock: None,
                })
            }
            _ => None,
        }
    }

    pub(super) fn text(text: String) -> Self {
        let normal = normal(&text);
        let cut = Cut::new(&normal);
        let mut found = Vec::new();
        recognise_in(&text, &normal, &cut, &mut |kind, canonical| {
            found.push((kind, canonical.to_owned()));
        });
        Self {
            date: is_date(&normal) || is_day(&normal, &found) || is_timed_day(&normal),
            // What only looks like one is something else.
            clock: Some(&normal)
                .filter(|_| text.is_ascii())
                .and_then(|it| Clock::of(it)),
            folded: folded(&text, &normal),
            with_ids: with_ids(&text),
            text,
            normal,
            number: false,
            found,
        }
    }

    /// Of one kind as a whole: the value of that kind.
    fn whole(&self) -> Option<(Kind, &str)> {
        if self.number {
            return Some((Kind::Number, &self.text));
        }
        let date = |found: &(Kind, &str)| self.date && found.0 == Kind::Date;
        let last_date = self.values().filter(date).last();
        last_date.or_else(|| whole_of(&self.text, self.values()))
    }

    /// The day, if it is one as a whole, with or without a time.
    pub(super) fn day(&self) -> Option<&str> {
        let whole = self.whole().filter(|(kind, _)| *kind == Kind::Date);
        whole.map(|(_, day)| day)
    }

    /// The digits, if it has nothing else: of a card, an account or a telephone number.
    pub(super) fn digits(&self) -> Option<&str> {
        let text = self.text.trim();
        let all = || text.bytes().filter(u8::is_ascii_digit);
        let grouped = text
            .bytes()
            .all(|b| b.is_ascii_digit() || b" -()./".contains(&b));
        let mut known = self.values().filter(|(kind, _)| *kind == Kind::Digits);
        let known = known.find(|(_, digits)| grouped && all().eq(digits.bytes()));
        match self.number {
            true => Some(text).filter(|text| {
                DIGITS.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
            }),
            false => known.map(|(_, digits)| digits),
        }
    }

    /// The name of a file, if it is nothing else.
    fn file(&self) -> Option<&str> {
        let name = self.form();
        (!self.number && !name.contains('/') && is_file_name(name)).then_some(name)
    }

    /// What the same value may look like elsewhere.
    pub(super) fn form(&self) -> &str {
        let folded = self.with_ids.last().or(self.folded.as_ref());
        folded.unwrap_or(&self.normal)
    }

    /// What it proves as a whole.
    pub(super) fn proving(&self) -> impl Iterator<Item = &String> {
        let plain = Some(&self.normal).filter(|_| self.with_ids.is_empty());
        let folded = self.folded.as_ref().filter(|_| self.with_ids.is_empty());
        plain.into_iter().chain(folded).chain(&self.with_ids)
    }

    pub(super) fn as_written(&self) -> &str {
        &self.text
    }

    pub(super) fn normal(&self) -> &str {
        &self.normal
    }

    /// Whether anything is recognised in it: a number is not looked at.
    pub(super) fn is_recognised(&self) -> bool {
        !self.found.is_empty()
    }

    /// Whether it is of one kind as a whole.
    pub(super) fn is_typed(&self) -> bool {
        self.whole().is_some()
    }

    /// What leads out in it, or may, and the digits of cards and accounts.
    pub(super) fn leads(&self) -> impl Iterator<Item = (Kind, &str)> {
        let noted = self.values().map(|(kind, text)| (kind.noted(), text));
        let digits = self.digits().map(|digits| (Kind::Digits, digits));
        noted
            .filter(|(kind, _)| kind.leads_out() || *kind == Kind::Digits)
            .chain(digits)
    }

    /// What the value is known by as a whole: its normal form, where it leads, its digits in whatever groups, and its time of day.
    pub(super) fn marks(&self, keyed: &Fingerprinter) -> impl Iterator<Item = u64> {
        let leads = self.whole().filter(|(kind, _)| kind.leads_out());
        let digits = self.digits().map(|digits| (Kind::Digits, digits));
        let known = leads.into_iter().chain(digits);
        let known = known.map(move |(kind, canonical)| keyed.of(kind, canonical));
        let times = self.clocks();
        let times = times.map(move |clock| keyed.of(Kind::Whole, &clock.part()));
        std::iter::once(keyed.of(Kind::Whole, &self.normal))
            .chain(known)
            .chain(times)
    }

    /// The times of day that it may mean, if it is nothing else: of `7 o'clock` two.
    pub(super) fn clocks(&self) -> impl Iterator<Item = Clock> + use<> {
        let hours = Clock::hour_in(&self.normal);
        let hours = hours.into_iter().flat_map(Clock::full_hours);
        self.clock.into_iter().chain(hours)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = (Kind, &str)> {
        self.found.iter().map(|(kind, text)| (*kind, text.as_str()))
    }

    /// What to look for in an index with this key.
    pub(super) fn query(&self, keyed: &Fingerprinter) -> Query {
        let mut yearless = None;
        let mut parts = Vec::new();
        for (kind, canonical) in &self.found {
            match kind {
                Kind::Date => {}
                Kind::MonthDay => {
                    parts.push(keyed.of(*kind, canonical));
                    yearless = Some(keyed.of(Kind::Yearless, canonical));
                }
                // The figures of a date, or of a time, are no numbers of their own.
                Kind::Number | Kind::Meant if self.date || self.clock.is_some() => {}
                Kind::Meant => parts.push(keyed.of(Kind::Number, canonical)),
                _ => parts.push(keyed.of(kind.noted(), canonical)),
            }
        }
        let whole = self.whole();
        let typed = whole.map(|(kind, canonical)| keyed.of(kind, canonical));
        parts.extend(typed.filter(|_| self.number));
        let is_date = whole.is_some_and(|(kind, _)| kind == Kind::Date);
        let digits = self.digits().map(|digits| keyed.of(Kind::Digits, digits));
        let file = self.file().filter(|_| typed.is_none());
        // Case is a matter of proof alone.
        parts.extend(file.map(|_| keyed.of(Kind::File, &self.normal)));
        let file = file.map(|name| keyed.of(Kind::File, name));
        let mut cut = words(&self.normal);
        let mut clean = !self.normal.is_empty() && self.folded.is_none();
        let mut phrase = Vec::new();
        for word in cut.by_ref() {
            clean &= !phrase.is_empty() || word.gap.is_empty();
            phrase.push(keyed.word(&word));
        }
        clean &= cut.rest().is_empty();
        Query {
            exact: keyed.of(Kind::Exact, &self.text),
            typed,
            whole: keyed.of(Kind::Whole, self.form()),
            phrase,
            clean,
            ragged: self.text.trim().len() < self.text.len(),
            yearless: yearless.filter(|_| is_date),
            others: digits.into_iter().chain(file).collect(),
            parts,
            telling: is_telling(&self.normal, TELLING_MIN),
        }
    }
}

impl Query {
    /// Whether the value is words and nothing that is known by more than them.
    pub(super) fn is_words(&self) -> bool {
        self.typed.is_none() && self.parts.is_empty() && self.others.is_empty()
    }

    /// Of one recognised value.
    pub(super) fn typed(kind: Kind, canonical: &str, keyed: &Fingerprinter) -> Self {
        let key = keyed.of(kind, canonical);
        let digits = (kind == Kind::Phone).then(|| keyed.of(Kind::Digits, canonical));
        Self {
            exact: 0,
            typed: Some(key),
            whole: 0,
            phrase: Vec::new(),
            clean: false,
            ragged: false,
            yearless: None,
            others: digits.into_iter().collect(),
            parts: vec![key],
            telling: false,
        }
    }
}

/// Whether a text is a day in whatever writing that can be read in one way, and nothing else.
fn is_day(normal: &str, found: &[(Kind, String)]) -> bool {
    found.iter().any(|(kind, _)| *kind == Kind::Date) && whole_date(normal).is_some()
}

/// A day in figures that can be read in one way only, with a time of day: `05/16/2024 19:00`, `16.05.2024 7 pm`.
fn is_timed_day(normal: &str) -> bool {
    let Some((day, rest)) = normal.split_at_checked(DAY_BYTES) else {
        return false;
    };
    let figures = |b: u8| b.is_ascii_digit() || b"-/.".contains(&b);
    let time = rest.strip_prefix(' ').filter(|_| day.bytes().all(figures));
    time.is_some_and(|time| Clock::of(time).is_some() && whole_date(day).is_some())
}

/// Length of a day in figures.
pub(super) const DAY_BYTES: usize = 10;

/// An ISO date with or without a time of day, and nothing else.
fn is_date(normal: &str) -> bool {
    static DATE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r"^\d{4}-\d{2}-\d{2}([ t]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(z|[+-]\d{2}:\d{2})?)?$",
        )
        .ok()
    });
    (10..=40).contains(&normal.len()) && DATE.as_ref().is_some_and(|date| date.is_match(normal))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of each of them its time is looked for, beside the day.
    #[test]
    fn a_day_in_figures_with_a_time() {
        for text in [
            "05/16/2024 19:00",
            "16.05.2024 7 pm",
            "2024-05-16 7:30 p.m.",
        ] {
            assert!(is_timed_day(text), "{text}");
        }
        for text in [
            "05/06/2024 19:00",
            "may 1 2024 7 pm",
            "1 may 2024 19:00",
            "05/16/2024 19",
            "05/16/2024",
            "05/16/2024 19:00 at last",
        ] {
            assert!(!is_timed_day(text), "{text}");
        }
    }
}

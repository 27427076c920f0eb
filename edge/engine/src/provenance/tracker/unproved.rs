//! What the agent wrote into a store without proof: a trusted tool that shows it in a later call vouches for nothing.

use super::Tracker;
use super::arguments::Arguments;
use super::echoes::proved;
use crate::limits::PROVENANCE_UNPROVED_MAX;
use crate::provenance::clock::Clock;
use crate::provenance::fingerprint::{AsIs, Fingerprinter};
use crate::provenance::join::LIST_SIGNS;
use crate::provenance::lines::lines;
use crate::provenance::passage::Passage;
use crate::provenance::quantity::{canonical_number, whole_date};
use crate::provenance::query::Spelled;
use crate::provenance::script::is_telling;
use crate::provenance::text::normal;
use crate::provenance::value::Kind;
use serde_json::Value;
use std::collections::HashSet;
use std::hash::BuildHasherDefault;

/// Longest text in which it is looked for what leads out, in bytes: of a longer one no field of a record is made.
const VALUE_BYTES_MAX: usize = 256;
/// What stands around a list.
const BRACKETS: [char; 6] = ['[', ']', '(', ')', '{', '}'];
/// Most arguments of a call that are tried with each other, and their longest text in bytes.
const PARTS_MAX: usize = 8;
const PART_BYTES_MAX: usize = 128;
/// Most arguments in a row that make one value.
const ROW_MAX: usize = 4;
/// Fewest letters and digits of a value that is remembered, and fewest digits of a number: what is shorter stands everywhere.
const TELLING_MIN: usize = 3;
const TELLING_DIGITS_MIN: usize = 4;

/// Such values, as keyed fingerprints of the forms in which a tool may show them.
#[derive(Debug, Default)]
pub(super) struct Unproved {
    marks: HashSet<u64, BuildHasherDefault<AsIs>>,
    full: bool,
}

impl Unproved {
    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    pub(super) fn note(&mut self, marks: Vec<u64>) {
        for mark in marks {
            if self.marks.len() < PROVENANCE_UNPROVED_MAX {
                self.marks.insert(mark);
            } else {
                self.full |= !self.marks.contains(&mark);
            }
        }
    }

    /// Whether a value is one of them. Once they are too many to be kept nobody can tell: it is.
    pub(super) fn has(&self, value: &Spelled, keyed: &Fingerprinter) -> bool {
        let known = || value.marks(keyed).any(|mark| self.marks.contains(&mark));
        self.full || (!self.marks.is_empty() && known())
    }
}

/// The marks of all that a tool may show of those arguments that have no proof.
pub(super) fn marks_of(
    tracker: &Tracker,
    goal: Option<&Passage>,
    arguments: &Arguments<'_>,
) -> Vec<u64> {
    let mut marks = Marks {
        keyed: &tracker.keyed,
        found: Vec::new(),
    };
    let mut parts = Vec::new();
    // A tool may show what a JSON text says field by field.
    for scalar in arguments.scalars() {
        let own = !proved(tracker, goal, scalar);
        if own {
            marks.value(scalar);
        }
        parts.extend(part(scalar, own));
    }
    let unproved = |name: &&Value| !proved(tracker, goal, name);
    for name in arguments.names().iter().filter(unproved) {
        marks.value(name);
    }
    marks.joined(parts.get(..PARTS_MAX).unwrap_or(&parts));
    marks.found
}

/// A short argument in its normal form.
struct Part {
    text: String,
    /// It has no proof.
    own: bool,
}

fn part(scalar: &Value, own: bool) -> Option<Part> {
    let text = match scalar {
        Value::String(text) if text.len() <= PART_BYTES_MAX => normal(text),
        Value::Number(number) => canonical_number(&number.to_string())?,
        _ => return None,
    };
    Some(Part { text, own })
}

struct Marks<'k> {
    keyed: &'k Fingerprinter,
    found: Vec<u64>,
}

impl Marks<'_> {
    /// Of a value as a whole, of what leads out in it, and of its lines and parts.
    fn value(&mut self, value: &Value) {
        let Value::String(text) = value else {
            if let Some(number) = Spelled::of(value) {
                self.form(number.normal());
                self.leads(&number);
            }
            return;
        };
        if text.len() <= VALUE_BYTES_MAX {
            let spelled = Spelled::text(text.clone());
            self.text(spelled.normal());
            self.leads(&spelled);
        } else {
            self.text(&normal(text));
        }
        // A tool may take a list apart, and show each element in a line of its own.
        let elements = text.split(LIST_SIGNS).map(str::trim);
        let elements = elements.flat_map(|element| {
            let bare = element.trim_matches(BRACKETS);
            [element, bare].into_iter().chain(lines(bare))
        });
        for piece in lines(text).chain(elements) {
            if piece.len() < text.len() {
                self.text(&normal(piece));
            }
        }
    }

    fn leads(&mut self, value: &Spelled) {
        let keyed = self.keyed;
        let leads = value.leads();
        self.found
            .extend(leads.map(|(kind, canonical)| keyed.of(kind, canonical)));
    }

    /// Of arguments that a tool may put together: each two, and some in a row.
    fn joined(&mut self, parts: &[Part]) {
        for (at, first) in parts.iter().enumerate() {
            let others = parts.iter().enumerate();
            for (_, second) in others.filter(|(other, _)| *other != at) {
                self.row(&[first, second]);
            }
            for length in 3..=ROW_MAX {
                let row = parts.get(at..at.saturating_add(length));
                self.row(&row.unwrap_or_default().iter().collect::<Vec<_>>());
            }
        }
    }

    fn row(&mut self, parts: &[&Part]) {
        if parts.iter().any(|part| part.own) {
            let texts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
            self.form(&texts.concat());
            self.form(&texts.join(" "));
        }
    }

    /// Of a text, and of the day or the time that it names in whatever writing.
    fn text(&mut self, normal: &str) {
        self.form(normal);
        if let Some(date) = whole_date(normal) {
            self.form(&date);
        }
        for clock in Clock::readings(normal) {
            self.form(&clock.part());
        }
    }

    fn form(&mut self, normal: &str) {
        let figures = |c: char| c.is_ascii_digit() || ".,-".contains(c);
        let least = match normal.chars().all(figures) {
            true => TELLING_DIGITS_MIN,
            false => TELLING_MIN,
        };
        if is_telling(normal, least) {
            self.found.push(self.keyed.of(Kind::Whole, normal));
        }
    }
}

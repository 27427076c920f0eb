//! What the agent itself put into a call: a tool that gives it back vouches for nothing.

use super::Tracker;
use super::arguments::Arguments;
use crate::limits::PROVENANCE_UNTRUSTED_MAX;
use crate::provenance::account::DIGITS;
use crate::provenance::clock::Clock;
use crate::provenance::decode::decoded_parts;
use crate::provenance::fingerprint::Fingerprinter;
use crate::provenance::index::Index;
use crate::provenance::join::LIST_SIGNS;
use crate::provenance::passage::Passage;
use crate::provenance::quantity::{canonical_number, whole_date};
use crate::provenance::query::Spelled;
use crate::provenance::script::words_in;
use crate::provenance::text::{Word, normal};
use crate::provenance::value::{Kind, recognise, whole};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashSet;

/// Most words of a line that are held against what the agent wrote.
const PASSAGE_WORDS_MAX: usize = 64;
/// Most arguments of a call that a value is taken apart into.
const PIECES_MAX: usize = 32;
/// Longest value that is taken apart, and longest argument that is tried, in bytes.
const JOINED_BYTES_MAX: usize = 256;
/// Fewest digits of a number that is taken apart: shorter ones are made of any others.
const JOINED_DIGITS_MIN: usize = 8;

/// Values that the agent put into the call without proof.
pub(super) struct Echoes {
    /// In the forms in which they are believed.
    forms: HashSet<String>,
    /// Word for word: a line or a field that is a run of them is no word of the tool's.
    words: Index,
    /// All short arguments: a field that is made of nothing else is no word of the tool's either.
    pieces: Vec<Piece>,
}

/// An argument that a tool may put together with others.
struct Piece {
    /// In its normal form.
    text: String,
    /// It has no proof.
    own: bool,
}

impl Piece {
    fn of(value: &Value, own: bool) -> Option<Self> {
        let text = match value {
            Value::String(text) if text.len() <= JOINED_BYTES_MAX => normal(text),
            Value::Number(number) => canonical_number(&number.to_string())?,
            _ => return None,
        };
        (!text.is_empty()).then_some(Self { text, own })
    }
}

/// An argument, and what it says if it is encoded.
fn sayings(value: &Value) -> impl Iterator<Item = Cow<'_, Value>> {
    let encoded = value.as_str().unwrap_or_default();
    let decoded = decoded_parts(encoded).map(|text| Cow::Owned(Value::String(text)));
    std::iter::once(Cow::Borrowed(value)).chain(decoded)
}

impl Echoes {
    pub(super) fn none() -> Self {
        Self {
            forms: HashSet::new(),
            words: Index::new(PROVENANCE_UNTRUSTED_MAX),
            pieces: Vec::new(),
        }
    }

    /// Of the arguments of a call.
    pub(super) fn new(
        tracker: &Tracker,
        goal: Option<&Passage>,
        arguments: &Arguments<'_>,
    ) -> Self {
        let mut echoes = Self::none();
        for scalar in arguments.scalars() {
            let own = !proved(tracker, goal, scalar);
            for said in sayings(scalar) {
                if own {
                    echoes.note(&tracker.keyed, &said);
                }
                if echoes.pieces.len() < PIECES_MAX {
                    echoes.pieces.extend(Piece::of(&said, own));
                }
            }
        }
        for said in arguments.names().iter().flat_map(sayings) {
            echoes.note(&tracker.keyed, &said);
        }
        echoes
    }

    /// Notes what the agent said without proof.
    fn note(&mut self, keyed: &Fingerprinter, value: &Value) {
        self.forms.extend(echoes_of(value));
        if let Some(text) = value.as_str() {
            let normal = normal(text);
            self.words.put_words(bare_words(&normal), 0, 0, keyed);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// Whether a scalar is one of them.
    pub(super) fn has(&self, keyed: &Fingerprinter, scalar: &Value) -> bool {
        if self.is_empty() {
            return false;
        }
        let forms = forms_of(scalar);
        let normal = forms.first().filter(|_| scalar.is_string());
        // Of an address or an account, a sign between the pieces may be the tool's.
        let sign = |byte: u8| byte == b' ' || byte.is_ascii_punctuation();
        let mut forms = forms.iter();
        forms.clone().any(|form| self.forms.contains(form))
            || normal.is_some_and(|normal| self.has_run(keyed, normal))
            || forms
                .next()
                .is_some_and(|form| self.is_joined(form, |_| false))
            || forms.any(|canonical| self.is_joined(canonical, sign))
    }

    /// Whether a text is put together of nothing but arguments, one at least without proof, and such signs between them.
    fn is_joined(&self, text: &str, sign: impl Fn(u8) -> bool) -> bool {
        let bytes = text.as_bytes();
        let figures = bytes
            .iter()
            .all(|b| b.is_ascii_digit() || b".,-".contains(b));
        let short = figures && bytes.len() < JOINED_DIGITS_MIN;
        let begins = |piece: &Piece| text.starts_with(&piece.text);
        if short || bytes.len() > JOINED_BYTES_MAX || !self.pieces.iter().any(begins) {
            return false;
        }
        // How far one comes with pieces, and whether with one that has no proof.
        let mut reached = vec![None; bytes.len().saturating_add(1)];
        if let Some(start) = reached.first_mut() {
            *start = Some(false);
        }
        for (at, byte) in bytes.iter().enumerate() {
            let Some(own) = reached.get(at).copied().flatten() else {
                continue;
            };
            let rest = bytes.get(at..).unwrap_or_default();
            let pieces = self.pieces.iter();
            let fitting = pieces.filter(|piece| rest.starts_with(piece.text.as_bytes()));
            let steps = fitting.map(|piece| (piece.text.len(), own || piece.own));
            for (step, own) in steps.chain(sign(*byte).then_some((1, own))) {
                if let Some(end) = reached.get_mut(at.saturating_add(step)) {
                    *end = (*end).max(Some(own));
                }
            }
        }
        reached.last() == Some(&Some(true))
    }

    /// Whether a text is nothing but a run of words that the agent itself put into the call, whatever stands around it
    /// there.
    fn has_run(&self, keyed: &Fingerprinter, normal: &str) -> bool {
        if self.words.len() == 0 {
            return false;
        }
        let words: Vec<(u64, u64)> = bare_words(normal)
            .take(PASSAGE_WORDS_MAX)
            .map(|word| keyed.word(&word))
            .collect();
        self.words.has_words(&words).is_some()
    }
}

/// Words of a normal text without any sign between them: a tool that takes `a/b` apart gives back `b`.
fn bare_words(normal: &str) -> impl Iterator<Item = Word<'_>> {
    normal
        .split(|c: char| !c.is_alphanumeric())
        .flat_map(words_in)
        .map(|word| Word { gap: " ", word })
}

/// Whether the goal or a trusted result has a value to the letter: what differs in case only may be another password.
pub(super) fn proved(tracker: &Tracker, goal: Option<&Passage>, value: &Value) -> bool {
    let has = |text: &str| {
        goal.is_some_and(|goal| goal.has_exactly(text)) || tracker.proves_exactly(text)
    };
    match value {
        Value::String(text) => has(text),
        Value::Number(number) => {
            canonical_number(&number.to_string()).is_some_and(|text| has(&text))
        }
        _ => false,
    }
}

/// A scalar in the forms in which it is believed.
fn forms_of(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => {
            let typed = whole(text).map(|(_, canonical)| canonical);
            let digits = text.bytes().filter(u8::is_ascii_digit).count();
            let digits = (digits >= *DIGITS.start()).then(|| Spelled::of(value));
            let digits = digits.flatten();
            let digits = digits.iter().filter_map(Spelled::digits);
            let digits = digits.map(str::to_owned);
            let normal = normal(text);
            let date = whole_date(&normal);
            let times = Clock::readings(&normal).map(Clock::part);
            std::iter::once(normal)
                .chain(typed)
                .chain(digits)
                .chain(date)
                .chain(times)
                .collect()
        }
        Value::Number(number) => canonical_number(&number.to_string()).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// What a tool may give back of an argument: itself, the parts of a list in it, and what is recognised in it.
fn echoes_of(value: &Value) -> Vec<String> {
    let mut echoes = forms_of(value);
    if let Value::String(text) = value {
        echoes.extend(text.split(LIST_SIGNS).map(normal));
        recognise(text, &mut |kind, canonical| {
            echoes.push(match kind {
                Kind::Date => padded(canonical),
                _ => canonical.to_owned(),
            });
        });
    }
    echoes
}

/// A day as [`whole_date`] writes it.
fn padded(date: &str) -> String {
    let figures = date.split('-').map(|part| format!("{part:0>2}"));
    figures.collect::<Vec<_>>().join("-")
}

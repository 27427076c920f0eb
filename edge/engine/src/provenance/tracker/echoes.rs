//! What the agent itself put into a call: a tool that gives it back vouches for nothing.

use super::{Reading, Tracker};
use crate::intent::CompiledIntent;
use crate::limits::PROVENANCE_UNTRUSTED_MAX;
use crate::provenance::account::DIGITS;
use crate::provenance::index::{Fingerprinter, Index, Passage, Spelled};
use crate::provenance::quantity::canonical_number;
use crate::provenance::script::words_in;
use crate::provenance::text::{Word, normal};
use crate::provenance::value::{recognise, whole};
use serde_json::Value;
use std::collections::HashSet;

/// Most words of a line that are held against what the agent wrote.
const PASSAGE_WORDS_MAX: usize = 64;

/// Values that the agent put into the call without proof.
pub(super) struct Echoes {
    /// In the forms in which they are believed.
    forms: HashSet<String>,
    /// Word for word: a line or a field that is a run of them is no word of the tool's.
    words: Index,
}

impl Echoes {
    /// Of the arguments of a call, whose scalars these are.
    pub(super) fn new(tracker: &Tracker, reading: &Reading<'_>, scalars: &[&Value]) -> Self {
        let goal = reading.intent.map(CompiledIntent::passage);
        let unproved = |value: &&&Value| !proved(tracker, goal, value);
        let mut keys = Vec::new();
        for value in reading.arguments.values() {
            keys_of(value, &mut keys);
        }
        let mut echoes = Self {
            forms: HashSet::new(),
            words: Index::new(PROVENANCE_UNTRUSTED_MAX),
        };
        let unproved = scalars.iter().filter(unproved).copied();
        for value in unproved.chain(&keys) {
            echoes.forms.extend(echoes_of(value));
            if let Some(text) = value.as_str() {
                let normal = normal(text);
                let words = bare_words(&normal);
                echoes.words.put_words(words, 0, 0, &tracker.keyed);
            }
        }
        echoes
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
        forms.iter().any(|form| self.forms.contains(form))
            || normal.is_some_and(|normal| self.has_run(keyed, normal))
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

fn proved(tracker: &Tracker, goal: Option<&Passage>, value: &Value) -> bool {
    // To the letter: what differs in case only may be another password.
    Spelled::of(value).is_some_and(|value| {
        goal.is_some_and(|goal| goal.has(&value, true))
            || tracker.proves(&tracker.query(&value), true)
    })
}

/// Names of members at any depth.
fn keys_of(value: &Value, keys: &mut Vec<Value>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|v| keys_of(v, keys)),
        Value::Object(members) => {
            for (key, member) in members {
                keys.push(Value::String(key.clone()));
                keys_of(member, keys);
            }
        }
        _ => {}
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
            std::iter::once(normal(text))
                .chain(typed)
                .chain(digits)
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
        echoes.extend(text.split([',', ';']).map(normal));
        recognise(text, &mut |_, canonical| echoes.push(canonical.to_owned()));
    }
    echoes
}

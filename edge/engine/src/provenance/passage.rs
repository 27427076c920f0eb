//! The goal of an intent: a text that is believed word for word.

use super::address::ascii_addresses;
use super::calendar::{parts_of_date, parts_of_times};
use super::clock::Clock;
use super::currency::Currencies;
use super::file::file_names;
use super::fingerprint::Fingerprinter;
use super::free::{free_amounts, free_figures, number_behind};
use super::index::{Index, PHRASE_WORDS_MAX};
use super::note::put_value;
use super::query::{Query, Spelled};
use super::text::{Cut, Span, folded, normal, quoted_and_chunks, spans, with_ids};
use super::times::{bare_hours, times_in};
use super::value::{Kind, recognise, recognise_in};
use std::collections::HashSet;

/// A text that is believed word for word: the goal of an intent.
#[derive(Debug)]
pub(crate) struct Passage {
    keyed: Fingerprinter,
    index: Index,
    /// The text in normal form, and folded where that is another one.
    forms: Vec<Form>,
    /// The text as it is.
    text: String,
    /// Whether it names a currency.
    currency: bool,
    /// Numbers that things are named by (`#15`), and that it does not have otherwise.
    names: HashSet<String>,
}

/// A text in which runs of whole words are looked for.
#[derive(Debug)]
struct Form {
    text: String,
    words: Vec<Span>,
}

impl Form {
    fn new(text: String) -> Self {
        Self {
            words: spans(&text),
            text,
        }
    }

    /// Whether the value stands here, with no word of the text cut in two.
    fn has(&self, value: &str) -> bool {
        let between = |at: usize| {
            let at = u32::try_from(at).unwrap_or(u32::MAX);
            let next = self.words.partition_point(|(start, _)| *start < at);
            let word = next.checked_sub(1).and_then(|word| self.words.get(word));
            word.is_none_or(|(_, end)| *end <= at)
        };
        let mut places = self.text.match_indices(value);
        places.any(|(at, _)| between(at) && between(at.saturating_add(value.len())))
    }
}

impl Passage {
    /// Of a text.
    pub(crate) fn new(key: &[u8; 16], text: &str) -> Self {
        let keyed = Fingerprinter::new(key);
        let mut index = Index::new(usize::MAX);
        let normal_text = normal(text);
        let cut = Cut::new(&normal_text);
        for word in cut.words() {
            index.put(keyed.of(Kind::Word, word), 0);
            if let Some(number) = number_behind(word) {
                index.put(keyed.of(Kind::Whole, number), 0);
            }
        }
        let currencies = Currencies::of(&normal_text, &cut);
        for code in &currencies.codes {
            index.put(keyed.of(Kind::Currency, code), 0);
        }
        // Figures inside a date, an account or an id are no numbers that anybody named.
        let free = free_figures(&normal_text);
        let mut names = numbers_in(&free);
        for number in &names {
            put_value(&mut index, Kind::Number, number, 0, &keyed);
        }
        for amount in numbers_in(&free_amounts(&normal_text)) {
            names.remove(&amount);
        }
        let mut parts = Vec::new();
        let mut told = |kind: Kind, canonical: &str| {
            if kind != Kind::Number {
                put_value(&mut index, kind, canonical, 0, &keyed);
            }
            parts_of_date(kind, canonical, &mut |part| parts.push(part.to_owned()));
        };
        recognise_in(text, &normal_text, &cut, &mut told);
        ascii_addresses(text, &mut told);
        parts_of_times(&normal_text, &mut |part| told(Kind::PartOfDate, part));
        let forms = forms_of(text, normal_text);
        for form in &forms {
            file_names(form, &mut told);
        }
        let mut time = |clock: Clock| parts.push(clock.whole());
        for form in &forms {
            times_in(form, &mut time);
        }
        // A bare figure is an hour only where people put one.
        bare_hours(&free, &mut time);
        for part in parts {
            index.put(keyed.of(Kind::PartOfDate, &part), 0);
        }
        for chunk in quoted_and_chunks(text) {
            index.put(keyed.of(Kind::Exact, chunk), 0);
            for form in forms_of(chunk, normal(chunk)) {
                index.put(keyed.of(Kind::Whole, &form), 0);
            }
        }
        Self {
            keyed,
            index,
            forms: forms.into_iter().map(Form::new).collect(),
            text: text.to_owned(),
            currency: currencies.any,
            names,
        }
    }

    /// Whether the text says in which currency an amount is meant.
    pub(super) fn names_currency(&self) -> bool {
        self.currency
    }

    /// Whether the text has a number as the name of something alone: it is no amount.
    pub(super) fn only_names_by(&self, number: &str) -> bool {
        self.names.contains(number)
    }

    pub(super) fn has(&self, value: &Spelled, exact: bool) -> bool {
        let query = value.query(&self.keyed);
        self.index.proofs(&query, exact).next().is_some() || (!exact && self.has_run(value, &query))
    }

    /// Whether the value is a run of whole words of the text.
    fn has_run(&self, value: &Spelled, query: &Query) -> bool {
        let Some((first, _)) = query.phrase.first() else {
            return false;
        };
        !query.ragged
            && query.typed.is_none()
            && query.phrase.len() <= PHRASE_WORDS_MAX
            && self.index.has(*first)
            && self.forms.iter().any(|form| form.has(value.form()))
    }

    /// Whether the text has this, byte for byte, as one of its words, in quotation marks or as a run of whole words.
    pub(super) fn has_exactly(&self, text: &str) -> bool {
        self.index.has(self.keyed.of(Kind::Exact, text)) || has_exact_run(&self.text, text)
    }

    pub(super) fn has_typed(&self, kind: Kind, canonical: &str) -> bool {
        let query = Query::typed(kind, canonical, &self.keyed);
        self.index.proofs(&query, false).next().is_some()
    }
}

fn numbers_in(free: &str) -> HashSet<String> {
    let mut numbers = HashSet::new();
    recognise(free, &mut |kind, canonical| {
        if kind == Kind::Number {
            numbers.insert(canonical.to_owned());
        }
    });
    numbers
}

/// Whether words of a text, with the blanks between them, are a value byte for byte. Only blanks part words here: what stands
/// in front of a colon in a password is another one. One word alone is found elsewhere.
fn has_exact_run(text: &str, value: &str) -> bool {
    const QUOTES: [char; 7] = ['"', '\'', '`', '“', '”', '(', ')'];
    let several = value.contains(char::is_whitespace) && value.trim().len() == value.len();
    let begins = |before: &str| {
        let before = before.trim_end_matches(QUOTES);
        before.is_empty() || before.ends_with(char::is_whitespace)
    };
    let ends = |behind: &str| {
        let behind = behind.trim_start_matches(QUOTES);
        let behind = behind.trim_start_matches(['.', ',', ';', ':', '!', '?']);
        behind.is_empty() || behind.starts_with(char::is_whitespace)
    };
    several
        && text.match_indices(value).any(|(at, _)| {
            let end = at.saturating_add(value.len());
            text.get(..at).is_some_and(begins) && text.get(end..).is_some_and(ends)
        })
}

/// The forms of a text in which runs of its words prove a value.
fn forms_of(text: &str, normal: String) -> Vec<String> {
    let with_ids = with_ids(text);
    if !with_ids.is_empty() {
        return with_ids;
    }
    let folded = folded(text, &normal);
    std::iter::once(normal).chain(folded).collect()
}

//! Where values were seen, by keyed fingerprint: no value is kept in clear.

use super::account::DIGITS;
use super::address::{ascii_addresses, host_of};
use super::calendar::{parts_of_date, parts_of_times};
use super::decode::decoded_parts;
use super::file::{file_names, is_file_name};
use super::free::free_figures;
use super::quantity::canonical_number;
use super::script::is_telling;
use super::text::{
    Cut, Span, Word, folded, normal, quoted_and_chunks, spans, visible, with_ids,
    with_latin_letters, without_entities, words,
};
use super::value::{Kind, recognise, recognise_in, whole_of};
use crate::limits::{PASSAGE_STEPS_MAX, PROVENANCE_TEXT_BYTES_MAX};
use regex::Regex;
use serde_json::Value;
use siphasher::sip::SipHasher13;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

/// Makes fingerprints that nobody without the key can make. Each kind has a key of its own.
#[derive(Clone, Debug)]
pub(super) struct Fingerprinter {
    kinds: [SipHasher13; Kind::COUNT],
    /// Of the most common gap between words.
    blank: u64,
}

impl Fingerprinter {
    pub(super) fn new(key: &[u8; 16]) -> Self {
        let root = SipHasher13::new_with_key(key);
        let half =
            |kind: usize, half: u8| root.hash(&[kind.to_le_bytes().as_slice(), &[half]].concat());
        let kind = |kind| SipHasher13::new_with_keys(half(kind, 0), half(kind, 1));
        let mut keyed = Self {
            kinds: std::array::from_fn(kind),
            blank: 0,
        };
        keyed.blank = keyed.of(Kind::Gap, " ");
        keyed
    }

    /// Of a word, and of the word together with what stands before it.
    pub(super) fn word(&self, word: &Word<'_>) -> (u64, u64) {
        let own = self.of(Kind::Word, word.word);
        let gap = match word.gap {
            " " => self.blank,
            gap => self.of(Kind::Gap, gap),
        };
        (own, Self::join(own, gap))
    }

    /// A word together with what stands before it.
    fn join(word: u64, gap: u64) -> u64 {
        word.rotate_left(1) ^ gap
    }

    pub(super) fn of(&self, kind: Kind, text: &str) -> u64 {
        let [.., last] = &self.kinds;
        self.kinds
            .get(kind.index())
            .unwrap_or(last)
            .hash(text.as_bytes())
    }
}

/// Fingerprints are evenly spread already, and their key is not known outside.
#[derive(Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// One place where a value or a word was seen.
#[derive(Clone, Copy, Debug)]
struct Sighting {
    key: u64,
    /// The word together with what stands before it.
    joined: u64,
    /// The sighting of the same key before this one, plus one; 0: none.
    earlier: u32,
    source: u16,
}

/// Sightings, up to a limit.
#[derive(Debug, Default)]
pub(super) struct Index {
    latest: HashMap<u64, u32, BuildHasherDefault<AsIs>>,
    sightings: Vec<Sighting>,
    most: usize,
    pub(super) full: bool,
}

/// Most words of a phrase that are compared: a longer text is never proved word by word, and suspect by its beginning.
const PHRASE_WORDS_MAX: usize = 64;
/// Most words of a phrase that are tried for one that was not seen too often.
const ANCHORS_MAX: usize = 8;
/// Fewest letters and digits of a text that is suspect because untrusted content has it too: one letter (`r` for
/// "read") stands everywhere.
const TELLING_MIN: usize = 3;

/// A value to look up, in the forms that it may have been seen in.
pub(super) struct Query {
    exact: u64,
    /// If the value is of one kind as a whole, only that counts.
    typed: Option<u64>,
    /// Else: its normal form as a whole, or its words one after the other.
    whole: u64,
    phrase: Vec<(u64, u64)>,
    /// Nothing stands around the first and the last word, and the normal form says all that the value says.
    clean: bool,
    /// It has blanks at an end: to the letter, or not at all.
    ragged: bool,
    /// Month and day, for a date that was given without a year.
    yearless: Option<u64>,
    /// The same value in another form: digits in other groups, a file without its path.
    others: Vec<u64>,
    /// Everything recognised in it.
    parts: Vec<u64>,
    /// Long enough that the same words elsewhere are no accident.
    telling: bool,
}

/// A text or a number in the forms in which it is noted and looked up, before any key: made once, and fingerprinted for
/// each index.
pub(super) struct Spelled {
    text: String,
    normal: String,
    /// See [`folded`]: what proves the value has this form, or
    folded: Option<String>,
    /// the last of these, see [`with_ids`].
    with_ids: Vec<String>,
    /// A number, in its canonical form.
    number: bool,
    /// Everything recognised in a text.
    found: Vec<(Kind, String)>,
    date: bool,
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
            date: is_date(&normal),
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
    fn form(&self) -> &str {
        let folded = self.with_ids.last().or(self.folded.as_ref());
        folded.unwrap_or(&self.normal)
    }

    /// What it proves as a whole.
    fn proving(&self) -> impl Iterator<Item = &String> {
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

    /// What the value is known by as a whole: its normal form, where it leads, and its digits in whatever groups.
    pub(super) fn marks(&self, keyed: &Fingerprinter) -> impl Iterator<Item = u64> {
        let leads = self.whole().filter(|(kind, _)| kind.leads_out());
        let digits = self.digits().map(|digits| (Kind::Digits, digits));
        let known = leads.into_iter().chain(digits);
        let known = known.map(move |(kind, canonical)| keyed.of(kind, canonical));
        std::iter::once(keyed.of(Kind::Whole, &self.normal)).chain(known)
    }

    fn values(&self) -> impl Iterator<Item = (Kind, &str)> {
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
                // The figures of a date are no numbers of their own.
                Kind::Number | Kind::Meant if self.date => {}
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

impl Index {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            ..Self::default()
        }
    }

    pub(super) fn len(&self) -> usize {
        self.sightings.len()
    }

    fn push(&mut self, key: u64, joined: u64, source: u16) {
        if self.sightings.len() >= self.most {
            self.full = true;
            return;
        }
        let Ok(number) = u32::try_from(self.sightings.len().saturating_add(1)) else {
            self.full = true;
            return;
        };
        let earlier = self.latest.insert(key, number).unwrap_or(0);
        self.sightings.push(Sighting {
            key,
            joined,
            earlier,
            source,
        });
    }

    /// Notes a value, once for each source.
    pub(super) fn put(&mut self, key: u64, source: u16) {
        let known = self.latest.get(&key).and_then(|at| self.at(*at));
        if known.is_none_or(|known| known.source != source) {
            self.push(key, 0, source);
        }
    }

    /// Notes the words of a text, about so many, and where one stands beside the other.
    pub(super) fn put_words<'t>(
        &mut self,
        words: impl Iterator<Item = Word<'t>>,
        count: usize,
        source: u16,
        keyed: &Fingerprinter,
    ) {
        let room = self.most.saturating_sub(self.sightings.len());
        self.sightings.reserve(count.saturating_add(1).min(room));
        // Between words there is a blank, or the same comma as before.
        let mut known = ("", 0);
        for Word { gap, word } in words {
            let gap_print = match gap {
                " " => keyed.blank,
                gap if gap == known.0 => known.1,
                gap => {
                    known = (gap, keyed.of(Kind::Gap, gap));
                    known.1
                }
            };
            let own = keyed.of(Kind::Word, word);
            self.push(own, Fingerprinter::join(own, gap_print), source);
        }
        // No phrase runs from one text into the next.
        self.push(0, 0, source);
    }

    /// A sighting by its number, from one.
    fn at(&self, number: u32) -> Option<&Sighting> {
        self.sightings
            .get(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    /// Sightings of a key, latest first, each with its number; at most [`PASSAGE_STEPS_MAX`].
    fn sightings(&self, key: u64) -> impl Iterator<Item = (u32, &Sighting)> {
        let first = self.latest.get(&key).copied();
        let numbers = std::iter::successors(first, |number| {
            self.at(*number)
                .map(|sighting| sighting.earlier)
                .filter(|earlier| *earlier > 0)
        });
        numbers
            .take(PASSAGE_STEPS_MAX)
            .filter_map(|number| Some((number, self.at(number)?)))
    }

    /// Sources that have the phrase, with the same gaps between its words.
    fn phrase<'q>(&'q self, phrase: &'q [(u64, u64)]) -> impl Iterator<Item = u16> + 'q {
        let bounded = match phrase.len() > PHRASE_WORDS_MAX {
            true => &[],
            false => phrase,
        };
        let (first, rest) = match bounded.split_first() {
            Some((first, rest)) => (first.0, rest),
            None => (u64::MAX, bounded),
        };
        self.sightings(first).filter_map(move |(number, sighting)| {
            let mut next = number;
            let follows = rest.iter().all(|(word, joined)| {
                next = next.saturating_add(1);
                self.at(next)
                    .is_some_and(|at| at.key == *word && at.joined == *joined)
            });
            follows.then_some(sighting.source)
        })
    }

    /// A source that has the words one after the other, whatever stands between them. Where each of them was seen too
    /// often to look everywhere, the latest that has the first: nobody hides a phrase among its own words.
    pub(super) fn has_words(&self, phrase: &[(u64, u64)]) -> Option<u16> {
        let words = phrase.get(..PHRASE_WORDS_MAX).unwrap_or(phrase);
        let first = words.first()?.0;
        let mut rare = None;
        for (offset, (word, _)) in (0_u32..).zip(words).take(ANCHORS_MAX) {
            match self.sightings(*word).count() {
                0 => return None,
                seen if seen < PASSAGE_STEPS_MAX => {
                    rare = Some((offset, *word));
                    break;
                }
                _ => {}
            }
        }
        let (offset, anchor) = rare.unwrap_or((0, first));
        let mut places = self.sightings(anchor);
        let found = places.find(|(number, _)| {
            let start = number.checked_sub(offset);
            start.is_some_and(|start| {
                let seen = |(at, (word, _)): (u32, &(u64, u64))| {
                    let at = self.at(start.saturating_add(at));
                    at.is_some_and(|at| at.key == *word)
                };
                (0_u32..).zip(words).all(seen)
            })
        });
        let flooded = || self.sightings(first).next().filter(|_| rare.is_none());
        found.or_else(flooded).map(|(_, sighting)| sighting.source)
    }

    /// A source that has the word of the query among others; as a value by itself a record has it in a field of its own.
    pub(super) fn has_amid(&self, query: &Query) -> Option<u16> {
        let [(word, _)] = query.phrase.as_slice() else {
            return None;
        };
        // What is no word, and the end of a text, is joined to nothing.
        let is_word = |number: u32| self.at(number).is_some_and(|at| at.joined != 0);
        let mut seen = 0_usize;
        for (number, sighting) in self.sightings(*word) {
            if is_word(number.saturating_sub(1)) || is_word(number.saturating_add(1)) {
                return Some(sighting.source);
            }
            seen = seen.saturating_add(1);
        }
        // Nobody hides a sentence behind its own words.
        let mut latest = self.keyed(*word);
        latest.next().filter(|_| seen >= PASSAGE_STEPS_MAX)
    }

    /// Whether the key was seen at all.
    pub(super) fn has(&self, key: u64) -> bool {
        self.latest.contains_key(&key)
    }

    fn keyed(&self, key: u64) -> impl Iterator<Item = u16> {
        self.sightings(key).map(|(_, sighting)| sighting.source)
    }

    /// Sources that prove the value.
    pub(super) fn proofs<'q>(
        &'q self,
        query: &'q Query,
        exact: bool,
    ) -> impl Iterator<Item = u16> + 'q {
        let some = |key: Option<u64>| key.into_iter().flat_map(|key| self.keyed(key));
        let exact = exact || query.ragged;
        let free = !exact && query.typed.is_none();
        some(exact.then_some(query.exact))
            .chain(some(query.typed.filter(|_| !exact)))
            .chain(some(query.yearless.filter(|_| !exact)))
            .chain(
                query
                    .others
                    .iter()
                    .filter(move |_| !exact)
                    .flat_map(move |key| self.keyed(*key)),
            )
            .chain(some(free.then_some(query.whole)))
    }

    /// The same, and those that have its words one after the other, in whatever case: who writes a text that is believed in
    /// this way chooses the value.
    pub(super) fn mentions<'q>(
        &'q self,
        query: &'q Query,
        exact: bool,
    ) -> impl Iterator<Item = u16> + 'q {
        let free = !exact && !query.ragged && query.typed.is_none();
        let phrase = match (free && query.clean).then_some(query.phrase.as_slice()) {
            Some(phrase) => self.phrase(phrase),
            None => self.phrase(&[]),
        };
        self.proofs(query, exact).chain(phrase)
    }

    /// A source that the value, or anything recognised in it, stands in, in whatever spelling.
    pub(super) fn suspect(&self, query: &Query) -> Option<u16> {
        let parts = query.parts.iter().flat_map(|key| self.keyed(*key));
        let words = || self.has_words(&query.phrase).filter(|_| query.telling);
        let others = query.typed.iter().chain(&query.others);
        parts
            .chain(others.flat_map(|key| self.keyed(*key)))
            .next()
            .or_else(words)
    }
}

/// A text that is believed word for word: the goal of an intent.
#[derive(Debug)]
pub(crate) struct Passage {
    keyed: Fingerprinter,
    index: Index,
    /// The text in normal form, and folded where that is another one.
    forms: Vec<Form>,
    /// The text as it is.
    text: String,
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
        }
        // Figures inside a date, an account or an id are no numbers that anybody named.
        let free = free_figures(&normal_text);
        recognise(&free, &mut |kind, canonical| {
            if kind == Kind::Number {
                put_value(&mut index, kind, canonical, 0, &keyed);
            }
        });
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
        }
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

/// Notes a scalar that is believed as a whole, and as nothing less.
pub(super) fn put_whole(index: &mut Index, value: &Value, source: u16, keyed: &Fingerprinter) {
    if let Some(spelled) = Spelled::of(value) {
        put_spelled(index, &spelled, source, keyed);
    }
}

/// The same, where its forms are at hand.
pub(super) fn put_spelled(
    index: &mut Index,
    spelled: &Spelled,
    source: u16,
    keyed: &Fingerprinter,
) {
    let text = &spelled.text;
    index.put(keyed.of(Kind::Exact, text), source);
    for form in spelled.proving() {
        index.put(keyed.of(Kind::Whole, form), source);
    }
    if let Some((kind, canonical)) = whole_of(text, spelled.values()).filter(|_| !spelled.number) {
        index.put(keyed.of(kind, canonical), source);
    }
    if let Some(digits) = spelled.digits() {
        index.put(keyed.of(Kind::Digits, digits), source);
    }
    let dates = spelled
        .values()
        .filter(|(kind, _)| spelled.date && *kind == Kind::Date);
    for (kind, canonical) in dates {
        index.put(keyed.of(kind, canonical), source);
    }
    if spelled.number {
        index.put(keyed.of(Kind::Number, text), source);
    } else if text.len() <= 15
        && let Some(number) = canonical_number(text)
        && (number == *text || text.contains('.'))
    {
        // A number in quotes; but no bank account, no telephone number and no code with zeros in front.
        index.put(keyed.of(Kind::Number, &number), source);
    }
}

/// Notes everything in a text that is not believed, and in what it says once decoded.
pub(super) fn put_suspect(index: &mut Index, text: &str, source: u16, keyed: &Fingerprinter) {
    let end = text.floor_char_boundary(PROVENANCE_TEXT_BYTES_MAX);
    index.full |= end < text.len();
    let text = visible(text.get(..end).unwrap_or_default());
    put_plain(index, &text, source, keyed);
    if let Some(decoded) = without_entities(&text) {
        put_plain(index, &visible(&decoded), source, keyed);
    }
    if let Some(latin) = with_latin_letters(&text) {
        put_plain(index, &latin, source, keyed);
    }
    for once in decoded_parts(&text) {
        for twice in decoded_parts(&once) {
            put_plain(index, &twice, source, keyed);
        }
        put_plain(index, &once, source, keyed);
    }
}

fn put_plain(index: &mut Index, text: &str, source: u16, keyed: &Fingerprinter) {
    let normal = normal(text);
    let cut = Cut::new(&normal);
    index.put_words(cut.iter(), cut.len(), source, keyed);
    let mut told = |kind: Kind, canonical: &str| {
        // Whoever dictates an amount may write it as he likes.
        let kind = match kind {
            Kind::Meant => Kind::Number,
            kind => kind,
        };
        put_value(index, kind, canonical, source, keyed);
    };
    recognise_in(text, &normal, &cut, &mut told);
    ascii_addresses(text, &mut told);
    file_names(&normal, &mut told);
}

/// Notes a value that was recognised in a text, and of a link its host.
fn put_value(index: &mut Index, kind: Kind, canonical: &str, source: u16, keyed: &Fingerprinter) {
    index.put(keyed.of(kind.noted(), canonical), source);
    if let Some(host) = host_of(canonical).filter(|_| kind == Kind::Url) {
        index.put(keyed.of(Kind::Url, host), source);
    }
}

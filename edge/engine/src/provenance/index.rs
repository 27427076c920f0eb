//! Where values were seen, by keyed fingerprint.

use super::fingerprint::{AsIs, Fingerprinter};
use super::query::Query;
use super::text::Word;
use super::value::Kind;
use crate::limits::PASSAGE_STEPS_MAX;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;

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
pub(super) const PHRASE_WORDS_MAX: usize = 64;
/// Most words of a phrase that are tried for one that was not seen too often.
const ANCHORS_MAX: usize = 8;

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

    /// Whether nothing more can be noted, and that is known.
    pub(super) fn is_closed(&self) -> bool {
        self.full && self.sightings.len() >= self.most
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

    /// Notes a value of which only that it was seen is asked.
    pub(super) fn put_once(&mut self, key: u64, source: u16) {
        if !self.has(key) {
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
        // And for what is recognised in it: else all of a long text is copied for that.
        let about = count.saturating_add(count / 4).saturating_add(1);
        self.sightings.reserve(about.min(room));
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
    pub(super) fn phrase<'q>(&'q self, phrase: &'q [(u64, u64)]) -> impl Iterator<Item = u16> + 'q {
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

    /// A source that has the words of the query among others, or by themselves where it does not say the same of another thing
    /// (`own`): a record has its word in a field of its own.
    pub(super) fn has_amid(&self, query: &Query, mut own: impl FnMut(u16) -> bool) -> Option<u16> {
        let words = query.phrase.get(..PHRASE_WORDS_MAX);
        let words = words.unwrap_or(&query.phrase);
        let ((first, _), rest) = words.split_first()?;
        // What is no word, and the end of a text, is joined to nothing.
        let is_word = |number: u32| self.at(number).is_some_and(|at| at.joined != 0);
        let mut seen = 0_usize;
        for (number, sighting) in self.sightings(*first) {
            seen = seen.saturating_add(1);
            let mut end = number;
            let follows = rest.iter().all(|(word, _)| {
                end = end.saturating_add(1);
                self.at(end).is_some_and(|at| at.key == *word)
            });
            let amid = || is_word(number.saturating_sub(1)) || is_word(end.saturating_add(1));
            if follows && (amid() || !own(sighting.source)) {
                return Some(sighting.source);
            }
        }
        // Nobody hides a sentence behind its own words.
        let mut latest = self.keyed(*first);
        latest.next().filter(|_| seen >= PASSAGE_STEPS_MAX)
    }

    /// Whether the words of a phrase stand near one of `others` in one text, each of which says how near.
    pub(super) fn has_near(&self, phrase: &[(u64, u64)], others: &[(u64, u8)]) -> bool {
        let Some((last, _)) = phrase.last() else {
            return false;
        };
        // What is no word, and the end of a text, is joined to nothing.
        let word = |number: u32| self.at(number).filter(|at| at.joined != 0);
        let reach = others.iter().map(|(_, reach)| u32::from(*reach)).max();
        let steps = 1..=reach.unwrap_or(0);
        let says = |(step, at): (u32, &Sighting)| {
            let mut others = others.iter();
            others.any(|(key, reach)| at.key == *key && step <= u32::from(*reach))
        };
        let mut seen = 0_usize;
        for (end, _) in self.sightings(*last) {
            seen = seen.saturating_add(1);
            let mut start = end.saturating_add(1);
            let whole = phrase.iter().rev().all(|(key, _)| {
                start = start.saturating_sub(1);
                word(start).is_some_and(|at| at.key == *key)
            });
            let before = |step: u32| Some((step, word(start.saturating_sub(step))?));
            let behind = |step: u32| Some((step, word(end.saturating_add(step))?));
            let mut around = steps.clone().map_while(before);
            let mut after = steps.clone().map_while(behind);
            if whole && (around.any(says) || after.any(says)) {
                return true;
            }
        }
        // What stands everywhere is looked for from where the other words stand.
        let beside = |other: &(u64, u8)| self.has_beside(phrase, *other);
        seen >= PASSAGE_STEPS_MAX && others.iter().any(beside)
    }

    /// Whether a word has a phrase near it in one text, or stands everywhere itself: nobody hides a sentence behind its own words.
    fn has_beside(&self, phrase: &[(u64, u64)], (other, reach): (u64, u8)) -> bool {
        // What is no word, and the end of a text, is joined to nothing.
        let word = |number: u32| self.at(number).filter(|at| at.joined != 0);
        let holds = |words: &[u64]| {
            let mut stretches = words.windows(phrase.len());
            stretches.any(|stretch| stretch.iter().eq(phrase.iter().map(|(key, _)| key)))
        };
        let rest = u32::try_from(phrase.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let most = u32::from(reach).saturating_add(rest);
        let mut seen = 0_usize;
        for (place, _) in self.sightings(other) {
            seen = seen.saturating_add(1);
            let behind = (1..=most).map_while(|step| word(place.saturating_add(step)));
            let behind: Vec<u64> = behind.map(|at| at.key).collect();
            let before = (1..=most).map_while(|step| word(place.saturating_sub(step)));
            let mut before: Vec<u64> = before.map(|at| at.key).collect();
            before.reverse();
            if holds(&behind) || holds(&before) {
                return true;
            }
        }
        seen >= PASSAGE_STEPS_MAX
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provenance::text::words;

    fn has_count_near_1000(text: &str) -> bool {
        let keyed = Fingerprinter::new(&[7; 16]);
        let mut index = Index::new(100_000);
        index.put_words(words(text), 0, 0, &keyed);
        let phrase = words("1,000").map(|word| keyed.word(&word));
        let phrase: Vec<(u64, u64)> = phrase.collect();
        index.has_near(&phrase, &[(keyed.of(Kind::Word, "count"), 3)])
    }

    #[test]
    fn an_index_is_closed_once_there_was_no_room_for_something() {
        let mut index = Index::new(1);
        index.full = true;
        assert!(!index.is_closed());
        index.full = false;
        index.put_once(1, 0);
        assert!(!index.is_closed());
        index.put_once(2, 0);
        assert!(index.is_closed() && index.full);
    }

    #[test]
    fn a_number_that_stands_everywhere_is_found_near_the_word() {
        let bills = "of 1,000 eur. ".repeat(PASSAGE_STEPS_MAX);
        for text in ["count 1,000", "a count of the 1,000", "1,000 is the count"] {
            assert!(has_count_near_1000(text), "{text}");
            assert!(has_count_near_1000(&format!("{text} {bills}")), "{text}");
        }
        for text in ["", "count of all the 1,000", "1,000 is what we count"] {
            assert!(!has_count_near_1000(text), "{text}");
            let flooded = format!("{text} and all {bills}");
            assert!(!has_count_near_1000(&flooded), "{text}");
        }
        let counts = "count ".repeat(PASSAGE_STEPS_MAX);
        let both = format!("{bills} and all of it {counts}");
        assert!(has_count_near_1000(&both));
    }
}

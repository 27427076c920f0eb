//! A tenant's own patterns and word lists.

use super::rules::ContentProblem;
use super::text::alnum;
use super::view;
use crate::limits::{
    CONTENT_NAME_BYTES_MAX, CONTENT_PATTERN_BYTES_MAX, CONTENT_PATTERN_COMPILED_MAX,
    CONTENT_PATTERNS_MAX, CONTENT_WORD_BYTES_MAX, CONTENT_WORDS_MAX, STREAM_PATTERN_BYTES,
};
use aho_corasick::{AhoCorasick, MatchKind};
use proctor_model::content::{ContentClass, ContentPattern, ContentRules, ContentWords};
use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use std::collections::HashSet;

/// Compiled; each pattern and list is a class, patterns first.
#[derive(Debug, Default)]
pub(super) struct Custom {
    names: Vec<String>,
    patterns: Vec<Pattern>,
    /// Which of the patterns are worth a search of their own.
    any: Option<RegexSet>,
    words: Option<AhoCorasick>,
    /// The class of each word.
    lists: Vec<u16>,
    /// Whether there are words with letters that are not ASCII: they are looked for in a text that is folded as they are.
    is_folded: bool,
    /// Longest word.
    longest: usize,
}

#[derive(Debug)]
struct Pattern {
    regex: Regex,
    context: Option<AhoCorasick>,
}

/// How far around a match of a pattern its words count, in bytes.
const CONTEXT_BYTES: usize = 64;
/// Longest match of a pattern that is surely found as a whole, in bytes.
const MATCH_BYTES: usize = 512;
/// How far a search for one match looks, in bytes. Without a bound, a pattern that has to read to the end before it is
/// content with one letter (`.*[^A-Z]|[A-Z]`) reads the rest of the text for each letter.
const WINDOW_BYTES: usize = 2 * MATCH_BYTES;

impl Custom {
    pub(super) fn compile(rules: &ContentRules) -> Result<Self, ContentProblem> {
        let count = rules.patterns.len().saturating_add(rules.words.len());
        if count > CONTENT_PATTERNS_MAX {
            return Err(ContentProblem::TooMany("patterns and word lists"));
        }
        let mut names = Vec::with_capacity(count);
        let mut seen = HashSet::new();
        let all = rules
            .patterns
            .iter()
            .map(|p| &p.name)
            .chain(rules.words.iter().map(|w| &w.name));
        for name in all {
            if !plausible(name) || !seen.insert(name) {
                return Err(ContentProblem::Name(
                    name.chars().take(CONTENT_NAME_BYTES_MAX).collect(),
                ));
            }
            names.push(name.clone());
        }
        let patterns = rules
            .patterns
            .iter()
            .map(pattern)
            .collect::<Result<Vec<_>, _>>()?;
        let any = match rules.patterns.is_empty() {
            true => None,
            false => Some(set(rules)?),
        };
        let (words, lists) = words(&rules.words, rules.patterns.len())?;
        let all = || rules.words.iter().flat_map(|list| &list.words);
        let longest = all().map(|word| folded(word).len().max(word.len())).max();
        Ok(Self {
            names,
            patterns,
            any,
            words,
            lists,
            is_folded: all().any(|word| !word.is_ascii()),
            longest: longest.unwrap_or(0),
        })
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn name(&self, at: u16) -> &str {
        self.names
            .get(usize::from(at))
            .map_or("custom", String::as_str)
    }

    /// How long a match can be that a stream has to wait for, in bytes: words are known, a pattern's matches are
    /// taken to be no longer than [`STREAM_PATTERN_BYTES`].
    pub(super) fn reach(&self) -> usize {
        let patterns = if self.patterns.is_empty() {
            0
        } else {
            STREAM_PATTERN_BYTES
        };
        self.longest.max(patterns)
    }

    pub(super) fn scan(&self, text: &str, key: &str, found: &mut dyn FnMut(usize, usize, u16)) {
        if let Some(any) = &self.any {
            for at in any.matches(text) {
                let (Some(pattern), Ok(class)) = (self.patterns.get(at), u16::try_from(at)) else {
                    continue;
                };
                matches(&pattern.regex, text, &mut |start, end| {
                    if pattern.speaks(text, key, start, end) {
                        found(start, end, class);
                    }
                });
            }
        }
        if self.is_folded && !text.is_ascii() {
            let view = view::folded(text);
            self.words_in(&view.text, &mut |start, end, class| {
                let (start, end) = view.original(start, end);
                found(start, end, class);
            });
        } else {
            self.words_in(text, found);
        }
    }

    fn words_in(&self, text: &str, found: &mut dyn FnMut(usize, usize, u16)) {
        if let Some(words) = &self.words {
            let bytes = text.as_bytes();
            for hit in words.find_iter(text) {
                let before = text
                    .get(..hit.start())
                    .and_then(|text| text.chars().next_back());
                let behind = text.get(hit.end()..).and_then(|text| text.chars().next());
                // Quotation marks of most languages are no letters: `„Reiher“`.
                let inside = |c: Option<char>| c.is_some_and(is_of_word);
                let edge = |at: usize| bytes.get(at).is_some_and(|b| alnum(*b));
                let begins_inside = inside(before) && edge(hit.start());
                let ends_inside = inside(behind) && edge(hit.end().saturating_sub(1));
                let whole = !begins_inside && !ends_inside;
                if let (true, Some(class)) = (whole, self.lists.get(hit.pattern().as_usize())) {
                    found(hit.start(), hit.end(), *class);
                }
            }
        }
    }
}

/// A letter, a digit, or a mark that stands on the letter before it.
fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || ('\u{300}'..='\u{36f}').contains(&c)
}

/// Tells of each match that is not empty, in order. One that is longer than a window may be told in pieces.
fn matches(regex: &Regex, text: &str, found: &mut dyn FnMut(usize, usize)) {
    let mut at = 0;
    while at < text.len() {
        let end = text.ceil_char_boundary(at.saturating_add(WINDOW_BYTES).min(text.len()));
        let Some(window) = text.get(..end) else {
            return;
        };
        let is_last = end == text.len();
        let Some(hit) = regex.find_at(window, at) else {
            if is_last {
                return;
            }
            // What begins further on may end beyond this window.
            at = text.floor_char_boundary(end.saturating_sub(MATCH_BYTES));
            continue;
        };
        // It may go on, or it took the end of the window for that of the text: seen again from where it begins.
        if !is_last && hit.end() == end && hit.start() > at {
            at = hit.start();
            continue;
        }
        at = hit.end();
        if hit.is_empty() {
            at = text.ceil_char_boundary(at.saturating_add(1).min(text.len()));
        } else {
            found(hit.start(), hit.end());
        }
    }
}

impl Pattern {
    fn speaks(&self, text: &str, key: &str, start: usize, end: usize) -> bool {
        let Some(context) = &self.context else {
            return true;
        };
        let from = text.floor_char_boundary(start.saturating_sub(CONTEXT_BYTES));
        let to = text.ceil_char_boundary(end.saturating_add(CONTEXT_BYTES).min(text.len()));
        context.is_match(key)
            || text
                .get(from..to)
                .is_some_and(|around| context.is_match(around))
    }
}

fn plausible(name: &str) -> bool {
    let plain = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let taken = ContentClass::from_name(name).is_some()
        || ["personal", "credentials", "custom", "all"].contains(&name);
    (1..=CONTENT_NAME_BYTES_MAX).contains(&name.len()) && plain && !taken
}

fn pattern(pattern: &ContentPattern) -> Result<Pattern, ContentProblem> {
    let problem = |why: &str| ContentProblem::Pattern(pattern.name.clone(), why.to_owned());
    if pattern.regex.len() > CONTENT_PATTERN_BYTES_MAX {
        return Err(problem("is too long"));
    }
    let regex = RegexBuilder::new(&pattern.regex)
        .size_limit(CONTENT_PATTERN_COMPILED_MAX)
        .dfa_size_limit(CONTENT_PATTERN_COMPILED_MAX)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => problem("is too large once it is compiled"),
            _ => problem("is no regular expression of this syntax"),
        })?;
    if regex.is_match("") {
        return Err(problem("matches the empty text"));
    }
    let context = match pattern.context.is_empty() {
        true => None,
        false => Some(
            automaton(pattern.context.iter())
                .ok_or_else(|| problem("has unusable context words"))?,
        ),
    };
    Ok(Pattern { regex, context })
}

fn set(rules: &ContentRules) -> Result<RegexSet, ContentProblem> {
    let limit = CONTENT_PATTERN_COMPILED_MAX.saturating_mul(CONTENT_PATTERNS_MAX);
    RegexSetBuilder::new(rules.patterns.iter().map(|pattern| &pattern.regex))
        .size_limit(limit)
        .dfa_size_limit(limit)
        .build()
        .map_err(|_| ContentProblem::TooMany("patterns"))
}

fn words(
    lists: &[ContentWords],
    before: usize,
) -> Result<(Option<AhoCorasick>, Vec<u16>), ContentProblem> {
    let total: usize = lists.iter().map(|list| list.words.len()).sum();
    if total > CONTENT_WORDS_MAX {
        return Err(ContentProblem::TooMany("words"));
    }
    let mut classes = Vec::with_capacity(total);
    for (at, list) in lists.iter().enumerate() {
        let class = u16::try_from(at.saturating_add(before))
            .map_err(|_| ContentProblem::TooMany("word lists"))?;
        classes.extend(list.words.iter().map(|_| class));
    }
    if total == 0 {
        return Ok((None, classes));
    }
    let all = || lists.iter().flat_map(|list| &list.words);
    if !are_sound(all()) {
        return Err(ContentProblem::Word);
    }
    let automaton = search(all().map(|word| folded(word))).ok_or(ContentProblem::Word)?;
    Ok((Some(automaton), classes))
}

/// A word as [`view::folded`] has it in a text.
fn folded(word: &str) -> String {
    match word.is_ascii() {
        true => word.to_owned(),
        false => view::folded(word).text,
    }
}

fn automaton<'w>(words: impl Iterator<Item = &'w String> + Clone) -> Option<AhoCorasick> {
    are_sound(words.clone()).then(|| search(words)).flatten()
}

fn are_sound<'w>(mut words: impl Iterator<Item = &'w String> + Clone) -> bool {
    let sound = |word: &String| !word.trim().is_empty() && word.len() <= CONTENT_WORD_BYTES_MAX;
    words.clone().count() <= CONTENT_WORDS_MAX && words.all(sound)
}

fn search(words: impl Iterator<Item = impl AsRef<[u8]>>) -> Option<AhoCorasick> {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .build(words)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(regex: &str, text: &str) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        matches(&Regex::new(regex).unwrap(), text, &mut |start, end| {
            found.push((start, end));
        });
        found
    }

    #[test]
    fn a_match_is_found_wherever_it_stands() {
        for before in [0, 1, 500, 511, 512, 513, 1020, 1023, 1024, 1025, 5000] {
            for filler in ["x", " ", "é"] {
                let before = filler.repeat(before);
                let text = format!("{before} C-123456 {}", filler.repeat(600));
                let at = before.len() + 1;
                assert_eq!(found(r"\bC-[0-9]{6}\b", &text), [(at, at + 8)]);
                assert_eq!(found(r"\bC-[0-9]+\b", &text), [(at, at + 8)]);
                assert!(found(r"C-[0-9]+$", &text).is_empty());
                let end = &text[..at + 8];
                assert_eq!(found(r"C-[0-9]+$", end), [(at, at + 8)]);
            }
        }
        // Longer than any window: in pieces, but all of it.
        let long = "a".repeat(3000);
        let pieces = found("a+", &long);
        assert_eq!(pieces.iter().map(|(a, b)| b - a).sum::<usize>(), 3000);
        assert!(found(r"\b", "a b").is_empty());
    }

    proptest! {
        /// Short matches are those of a plain search.
        #[test]
        fn windows_are_not_seen(text in "([a-c]{1,9}|[0-9]{1,4}|[ é.]|-{200,300}){0,60}") {
            for regex in ["[a-b]+", r"\b[0-9]{2,3}\b", "c.?|[ab]", "é[0-9]*"] {
                let plain = Regex::new(regex).unwrap();
                let plain: Vec<_> = plain.find_iter(&text).map(|hit| (hit.start(), hit.end())).collect();
                prop_assert_eq!(found(regex, &text), plain);
            }
        }
    }
}

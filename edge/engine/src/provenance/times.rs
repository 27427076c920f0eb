//! Times of day that a goal names: in whatever writing, and full hours as bare figures (`from 10 to 11`).

use super::clock::Clock;
use super::text::{Cut, Word, spans};

/// Most words of a time: `3:45:00 p.m.`
const WORDS_MAX: usize = 4;
/// Words that make an afternoon's time of `7:30`.
const LATE: [&str; 4] = ["afternoon", "evening", "night", "tonight"];

/// The times in a normal text: each run of words that is one, and no part of a longer one.
pub(super) fn times_in(normal: &str, found: &mut dyn FnMut(Clock)) {
    let spans = spans(normal);
    let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
    let between = |start: u32, end: u32| normal.get(place(start)..place(end)).unwrap_or_default();
    let late = spans
        .iter()
        .any(|(start, end)| LATE.contains(&between(*start, *end)));
    let mut rest = spans.as_slice();
    while let Some(((start, _), behind)) = rest.split_first() {
        rest = behind;
        let words = spans_from(&spans, behind);
        for (length, (_, end)) in words.iter().enumerate().rev() {
            if time(between(*start, *end), late, found) {
                rest = behind.get(length..).unwrap_or_default();
                break;
            }
        }
    }
}

/// The words that a time may have which begins with the one before these.
fn spans_from<'s>(spans: &'s [(u32, u32)], behind: &[(u32, u32)]) -> &'s [(u32, u32)] {
    let at = spans.len().saturating_sub(behind.len()).saturating_sub(1);
    let words = spans.get(at..).unwrap_or_default();
    words.get(..WORDS_MAX).unwrap_or(words)
}

/// Tells the time that a text is, or the two that it may be. Returns whether it is one.
fn time(text: &str, late: bool, found: &mut dyn FnMut(Clock)) -> bool {
    if let Some(hour) = Clock::hour_in(text) {
        Clock::full_hours(hour).for_each(found);
        return true;
    }
    let Some(clock) = Clock::of(text) else {
        return false;
    };
    found(clock);
    let figures = text.bytes().all(|b| b.is_ascii_digit() || b == b':');
    if late && figures && !text.starts_with('0') && (1..=11).contains(&clock.hour) {
        found(Clock {
            hour: clock.hour.saturating_add(12),
            ..clock
        });
    }
    true
}

/// Words before the hour of a day. `for` is none: a table for seven is for seven people.
const BEFORE: &[&str] = &[
    "at",
    "from",
    "to",
    "by",
    "until",
    "till",
    "between",
    "around",
    "before",
    "after",
    "past",
    "time",
    "start",
    "starts",
    "starting",
    "begins",
    "end",
    "ends",
    "ending",
    "today",
    "tomorrow",
    "tonight",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "um",
    "ab",
    "von",
    "bis",
    "gegen",
    "zwischen",
    "kl",
    "om",
    "van",
    "tot",
    "à",
    "vers",
    "entre",
    "las",
    "às",
    "alle",
    "dalle",
    "h",
];
/// Words behind it that name nothing which could be counted.
const BEHIND: &[&str] = &[
    "on",
    "in",
    "at",
    "for",
    "the",
    "this",
    "that",
    "today",
    "tomorrow",
    "tonight",
    "with",
    "and",
    "or",
    "to",
    "till",
    "until",
    "sharp",
    "please",
    "next",
    "every",
    "each",
    "if",
    "so",
    "as",
    "but",
    "then",
    "when",
    "where",
    "because",
    "before",
    "after",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "h",
    "hours",
    "und",
    "bis",
    "tot",
    "morgen",
    "heute",
    "mit",
    "für",
    "con",
    "para",
    "avec",
    "pour",
    "met",
    "voor",
    "-",
    "titled",
    "entitled",
    "called",
    "named",
    "about",
    "regarding",
    "via",
    "by",
    "from",
    "near",
    "under",
    "over",
    "without",
    "including",
    "inviting",
    "using",
    "once",
    "since",
    "is",
    "are",
    "was",
    "will",
    "should",
    "must",
    "can",
    "which",
    "who",
    "whose",
    "while",
    "not",
    "also",
    "both",
    "daily",
    "weekly",
    "there",
    "here",
    "again",
    "instead",
    "exactly",
    "local",
    "utc",
    "gmt",
    "cet",
    "cest",
    "est",
    "edt",
    "pst",
    "pdt",
    "et",
    "pt",
    "my",
    "our",
    "your",
    "his",
    "her",
    "their",
    "its",
    "it",
    "we",
    "i",
    "you",
    "he",
    "she",
    "they",
    "mon",
    "tue",
    "wed",
    "thu",
    "fri",
    "sat",
    "sun",
    "title",
    "unless",
];
/// Those of them that a second hour may follow.
const LINKS: &[&str] = &["and", "or", "to", "till", "until", "und", "bis", "tot", "-"];
/// Signs by which a figure is an amount, a part of one, or the number of something.
const AMOUNTS: [char; 7] = ['$', '€', '£', '¥', '%', '#', '+'];

/// The full hours in what of a normal text is no part of anything else (see [`super::free::free_figures`]): figures that stand
/// where people put a time. A number of guests is none.
pub(super) fn bare_hours(free: &str, found: &mut dyn FnMut(Clock)) {
    let free = free.replace('–', "-");
    let cut = Cut::new(&free);
    let words: Vec<Word<'_>> = cut.iter().collect();
    let ending = endings(&free, &words);
    let mut named = vec![false; words.len()];
    for (at, word) in words.iter().enumerate() {
        let figures = figures(word.word);
        let ends = ending.get(at).copied().unwrap_or(false);
        let before = |offset: usize| at.checked_sub(offset);
        let after_hour = || {
            let link = before(1).and_then(|at| words.get(at));
            let hour = before(2).and_then(|at| named.get(at)).copied();
            link.is_some_and(|link| LINKS.contains(&link.word)) && hour == Some(true)
        };
        let is_hour = !figures.is_empty()
            && ((ends && (begins(&words, at) || after_hour() || is_range(&words, at)))
                || has_daytime(&words, at));
        if let Some(named) = named.get_mut(at).filter(|_| is_hour) {
            *named = true;
            let hours = figures.into_iter().flat_map(Clock::full_hours);
            hours.for_each(&mut *found);
        }
    }
}

/// The hour that a word is, or both of `10-11`.
fn figures(word: &str) -> Vec<u32> {
    let hour = |text: &str| -> Option<u32> {
        let text = text.strip_suffix('h').unwrap_or(text);
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let hour = digits.then(|| text.parse::<u32>().ok()).flatten();
        hour.filter(|hour| *hour < 24)
    };
    let hours: Option<Vec<u32>> = word.split(['-', '–']).map(hour).collect();
    hours.filter(|hours| hours.len() <= 2).unwrap_or_default()
}

/// For each word whether nothing behind it is counted by it.
fn endings(free: &str, words: &[Word<'_>]) -> Vec<bool> {
    let mut ending = vec![true; words.len()];
    let last = !free.trim_end().ends_with(AMOUNTS);
    for at in (0..words.len()).rev() {
        let next = words.get(at.saturating_add(1));
        let second = at.saturating_add(2);
        let ends = match next {
            None => last,
            Some(next) if next.gap.contains(AMOUNTS) => false,
            Some(next) if LINKS.contains(&next.word) && is_figure(words, second) => {
                ending.get(second).copied().unwrap_or(false)
            }
            // A sign, or figures that were left out.
            Some(next) => !matches!(next.gap, "" | " ") || BEHIND.contains(&next.word),
        };
        if let Some(ending) = ending.get_mut(at) {
            *ending = ends;
        }
    }
    ending
}

fn is_figure(words: &[Word<'_>], at: usize) -> bool {
    words
        .get(at)
        .is_some_and(|word| !figures(word.word).is_empty())
}

/// Whether a word stands behind one for a time, or behind a date that was left out.
fn begins(words: &[Word<'_>], at: usize) -> bool {
    let Some(gap) = words.get(at).map(|word| word.gap) else {
        return false;
    };
    let before = at.checked_sub(1).and_then(|at| words.get(at));
    let left_out = gap.len() > 1 && gap.bytes().all(|b| b == b' ');
    !gap.contains(AMOUNTS)
        && (gap.contains('@')
            || before.is_some_and(|before| left_out || BEFORE.contains(&before.word)))
}

/// Whether a second hour follows, as in `10 to 11`, and no more than hours are meant.
fn is_range(words: &[Word<'_>], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|at| words.get(at));
    let link = words.get(at.saturating_add(1));
    let to =
        link.is_some_and(|link| matches!(link.word, "to" | "till" | "until" | "bis" | "tot" | "-"));
    let amount = words.get(at).is_none_or(|word| word.gap.contains(AMOUNTS));
    let counted = before.is_some_and(|before| matches!(before.word, "for" | "für" | "pour"));
    to && !amount && !counted && is_figure(words, at.saturating_add(2))
}

/// `10 in the morning`, `10 at night`.
fn has_daytime(words: &[Word<'_>], at: usize) -> bool {
    let word = |offset: usize| words.get(at.saturating_add(offset)).map(|word| word.word);
    match (word(1), word(2), word(3)) {
        (Some("in"), Some("the"), Some(time)) => {
            matches!(time, "morning" | "afternoon" | "evening")
        }
        (Some("at"), Some("night"), _) => true,
        (Some("this"), Some(time), _) => LATE.contains(&time) || time == "morning",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::free::free_figures;
    use super::super::text::normal;
    use super::*;

    fn times(text: &str) -> Vec<String> {
        let normal = normal(text);
        let mut all = Vec::new();
        let mut note = |clock: Clock| all.push(clock.whole().replace("time ", ""));
        times_in(&normal, &mut note);
        bare_hours(&free_figures(&normal), &mut note);
        all
    }

    #[test]
    fn times_in_whatever_writing() {
        for (text, named) in [
            ("at 19:00, please", &["19:00"][..]),
            ("at 3:45 p.m.", &["15:45"]),
            ("(10:30:00)", &["10:30"]),
            ("10:30:15 pm", &["22:30:15"]),
            ("time=10:30,11:30", &["10:30", "11:30"]),
            ("on 2024-05-15 09:30", &["9:30"]),
            ("at noon", &["12:00"]),
            ("at 7 o'clock", &["7:00", "19:00"]),
            ("um 19 Uhr", &["19:00"]),
            ("7:30 this evening", &["7:30", "19:30"]),
            ("07:30, no evening", &["7:30"]),
            ("score 16:9", &[]),
        ] {
            assert_eq!(times(text), named, "{text}");
        }
    }

    #[test]
    fn hours_as_bare_figures() {
        for (text, hours) in [
            ("from 10 to 11", &[10, 22, 11, 23][..]),
            ("at 10", &[10, 22]),
            ("between 10 and 11.", &[10, 22, 11, 23]),
            ("between 13 and 15", &[13, 15]),
            ("on 2024-05-15 from 14 to 15", &[14, 15]),
            ("on 2024-05-15 14 to 15", &[14, 15]),
            ("on 2024-05-15, 14 to 15", &[14, 15]),
            ("tomorrow 14-15", &[14, 15]),
            ("from 14-15 on Monday", &[14, 15]),
            ("at 13 and 15", &[13, 15]),
            ("at 13, with Bob", &[13]),
            ("at 13 on May 15", &[13]),
            ("lunch @ 13", &[13]),
            ("from 13 to 14 titled 'Lunch'", &[13, 14]),
            ("at 13 UTC", &[13]),
            ("starts at 13 and we leave by 15", &[13, 15]),
            ("move it to 13", &[13]),
            ("3 in the afternoon", &[15, 3]),
            ("tomorrow 14–15", &[14, 15]),
            ("um 14 für alle", &[14]),
            ("von 14 bis 16", &[14, 16]),
            ("à 14h", &[14]),
            ("a las 15 con Ana", &[15]),
            ("at 13 for 2 people", &[13]),
        ] {
            let named: Vec<String> = hours.iter().map(|hour| format!("{hour}:00")).collect();
            let found = times(text);
            assert!(
                named.iter().all(|hour| found.contains(hour)),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn other_figures_are_no_hours() {
        for text in [
            "Book a table for 7",
            "for 7, and soon",
            "for 7 to 8 people",
            "4 people",
            "from 4 to 6 people",
            "between 7 and 9 guests",
            "at $9",
            "at 9€",
            "at 9 EUR",
            "at 9%",
            "PR#12",
            "at #12",
            "No.7",
            "the 3 of them",
            "room 12",
            "on 2024-05-15",
            "at 10 Downing Street",
            "at 9 per person",
            "from 9 a month",
            "to 30",
        ] {
            assert_eq!(times(text), [""; 0], "{text}");
        }
    }
}

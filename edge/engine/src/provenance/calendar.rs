//! Parts of dates and times, as tools take them one by one: `{"year": 2024, "month": 5}`. By itself none of them is a number that
//! anybody named.

use super::plan::{is_index, words_of};
use super::value::Kind;

const PARTS: [&str; 5] = ["year", "month", "day", "hour", "minute"];

/// The part that an argument is by its name: `start_hour`, but not `days`.
pub(super) fn part_named(name: &str) -> Option<&'static str> {
    let words: Vec<String> = words_of(name).collect();
    let mut named = PARTS
        .into_iter()
        .filter(|part| words.iter().any(|word| word == part));
    match (named.next(), named.next()) {
        (Some(part), None) if !name.ends_with(['s', 'S']) => Some(part),
        _ => None,
    }
}

/// Words in the names of fields that say when something was, or will be.
const TIMES: [&str; 33] = [
    "at",
    "begin",
    "changed",
    "closed",
    "completed",
    "created",
    "date",
    "datetime",
    "day",
    "deadline",
    "due",
    "edited",
    "end",
    "expire",
    "expiry",
    "finished",
    "modified",
    "now",
    "opened",
    "posted",
    "published",
    "received",
    "seen",
    "sent",
    "since",
    "start",
    "started",
    "time",
    "timestamp",
    "until",
    "updated",
    "uploaded",
    "when",
];

/// Whether the field at a path of a record says when something was, by its name: `created_at`, `startTime`, `/slots/*/start`.
pub(super) fn says_when(path: &str) -> bool {
    let mut names = path.rsplit('/').filter(|step| !is_index(step));
    names.next().is_some_and(|name| {
        let mut words = words_of(name);
        words.any(|word| TIMES.contains(&word.as_str()))
    })
}

/// What a part is noted and looked up as.
pub(super) fn spelled_part(part: &str, figure: &str) -> String {
    format!("{part} {figure}")
}

/// The parts of a date that was recognised.
pub(super) fn parts_of_date(kind: Kind, canonical: &str, found: &mut dyn FnMut(&str)) {
    let parts: &[&str] = match kind {
        Kind::Date => &["year", "month", "day"],
        Kind::MonthDay => &["month", "day"],
        _ => return,
    };
    for (part, figure) in parts.iter().zip(canonical.split('-')) {
        found(&spelled_part(part, figure));
    }
}

/// Signs around a time.
const SIGNS: [char; 9] = ['.', ',', ';', '!', '?', '(', ')', '"', '\''];

/// The parts of the times of day in a normal text: `10:30`, `3 pm`, `11 uhr`.
pub(super) fn parts_of_times(normal: &str, found: &mut dyn FnMut(&str)) {
    let words = normal.split(' ').map(|word| word.trim_matches(SIGNS));
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        let next = words.peek().copied().unwrap_or_default();
        if let Some((hour, minute)) = time(word, next) {
            found(&spelled_part("hour", &hour.to_string()));
            found(&spelled_part("minute", &minute.to_string()));
        }
    }
}

/// The hour of 24 and the minute that a word says, with the word behind it.
fn time(word: &str, next: &str) -> Option<(u32, u32)> {
    // Behind a date: `2024-05-15t10:30`.
    let word = match word.split_once('t') {
        Some((date, time)) if date.starts_with(|c: char| c.is_ascii_digit()) => time,
        _ => word,
    };
    let half = |text: &str| match text {
        "am" | "a.m" => Some(0),
        "pm" | "p.m" => Some(12),
        _ => None,
    };
    let letters = word.find(|c: char| c.is_ascii_alphabetic());
    let (clock, behind) = word.split_at_checked(letters.unwrap_or(word.len()))?;
    let half = half(behind).or_else(|| half(next));
    let spoken = half.is_some() || matches!(next, "uhr" | "o'clock");
    let mut figures = clock.split(':');
    let hour = figures.next()?;
    let minute = match figures.next() {
        None if spoken => "0",
        minute => minute?,
    };
    let figure = |text: &str, end: u32| {
        let digits = text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit());
        let figure = digits.then(|| text.parse::<u32>().ok()).flatten();
        figure.filter(|figure| *figure < end)
    };
    let (hour, minute) = (figure(hour, 24)?, figure(minute, 60)?);
    let hour = match half {
        Some(half) if (1..=12).contains(&hour) => hour.checked_rem(12)?.saturating_add(half),
        _ => hour,
    };
    Some((hour, minute))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_which_part_is_meant() {
        for (name, part) in [
            ("year", Some("year")),
            ("start_hour", Some("hour")),
            ("dueDay", Some("day")),
            ("days", None),
            ("birthday", None),
            ("amount", None),
        ] {
            assert_eq!(part_named(name), part, "{name}");
        }
    }

    #[test]
    fn fields_say_when_something_was() {
        for (path, when) in [
            ("/received", true),
            ("/mails/*/createdAt", true),
            ("/slots/*/start_time", true),
            ("/dates/*", true),
            ("/subject", false),
            ("/free/*", false),
            ("/time/subject", false),
            ("", false),
            ("#", false),
        ] {
            assert_eq!(says_when(path), when, "{path}");
        }
    }

    #[test]
    fn times_have_an_hour_and_a_minute() {
        for (text, time) in [
            ("at 10:30.", Some((10, 30))),
            ("at 3 pm", Some((15, 0))),
            ("at 3:45pm,", Some((15, 45))),
            ("at 12 am", Some((0, 0))),
            ("2024-05-15t10:30:00z", Some((10, 30))),
            ("um 11 uhr", Some((11, 0))),
            ("from 10 to 11", None),
            ("25:10", None),
            ("1:2:x", Some((1, 2))),
            ("a:b", None),
        ] {
            let mut parts = Vec::new();
            parts_of_times(text, &mut |part| parts.push(part.to_owned()));
            let expected = time.map(|(hour, minute): (u32, u32)| {
                [format!("hour {hour}"), format!("minute {minute}")]
            });
            assert_eq!(
                parts,
                expected.into_iter().flatten().collect::<Vec<_>>(),
                "{text}"
            );
        }
    }
}

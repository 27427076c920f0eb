//! Dates, as far as one could be of birth.

use super::text::{Text, alnum};

/// Names of months, by their first letters.
const MONTHS: &[&str] = &[
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "mär",
    "mai", "okt", "dez", "fév", "fev", "avr", "juin", "juil", "aoû", "aou", "déc", "ene", "abr",
    "ago", "dic", "gen", "mag", "giu", "lug", "set", "ott", "maa", "mei", "sty", "lut", "kwi",
    "maj", "cze", "lip", "sie", "wrz", "paź", "lis", "gru", "out",
];

/// The range of a date of which the digits at `start` are a part.
pub(super) fn date(text: Text<'_>, start: usize) -> Option<(usize, usize)> {
    let first = text.run(start, 5, |b| b.is_ascii_digit());
    let digits = first.saturating_sub(start);
    let value: u32 = text.slice(start, first).parse().ok()?;
    match (digits, text.at(first)) {
        (1 | 2, b'/' | b'-' | b'.') if (1..=31).contains(&value) => {
            numeric(text, start, first, value).or_else(|| worded(text, start, first))
        }
        (4, b'/' | b'-' | b'.') if plausible(value) => year_first(text, start, first),
        (1 | 2, _) if (1..=31).contains(&value) => worded(text, start, first),
        _ => None,
    }
}

fn plausible(year: u32) -> bool {
    (1900..=2030).contains(&year)
}

/// One or two digits behind the separator at `at`: their value and end.
fn part(text: Text<'_>, at: usize, most: usize) -> Option<(u32, usize)> {
    let from = at.saturating_add(1);
    let to = text.run(from, most.saturating_add(1), |b| b.is_ascii_digit());
    let length = to.saturating_sub(from);
    (1..=most).contains(&length).then_some(())?;
    Some((text.slice(from, to).parse().ok()?, to))
}

fn numeric(text: Text<'_>, start: usize, first: usize, value: u32) -> Option<(usize, usize)> {
    let (second, end) = part(text, first, 2)?;
    if text.at(end) != text.at(first) || !(1..=31).contains(&second) || (value > 12 && second > 12)
    {
        return None;
    }
    let (year, last) = part(text, end, 4)?;
    let digits = last.saturating_sub(end).saturating_sub(1);
    let written = (digits == 4 && plausible(year)) || digits == 2;
    (written && !is_part(text, start, last, text.at(first))).then_some((start, last))
}

/// Whether what looks like a date is a part of something longer, whose parts have the same sign between them:
/// `06.12.34.56.78` is a telephone number, `12-03-45-AB-CD-EF` the address of a network card.
fn is_part(text: Text<'_>, start: usize, end: usize, sign: u8) -> bool {
    let next = text.at(end.saturating_add(1));
    let pair = next.is_ascii_digit() || (sign == b'-' && next.is_ascii_hexdigit());
    let goes_on = text.at(end) == sign && pair;
    let begins =
        text.before(start) == sign && text.before(start.saturating_sub(1)).is_ascii_digit();
    goes_on || begins
}

fn year_first(text: Text<'_>, start: usize, first: usize) -> Option<(usize, usize)> {
    let (month, end) = part(text, first, 2)?;
    let (day, last) = part(text, end, 2)?;
    let sign = text.at(first);
    let written = text.at(end) == sign && (1..=12).contains(&month) && (1..=31).contains(&day);
    (written && !is_part(text, start, last, sign)).then_some((start, last))
}

/// `12 March 1985`, `12th of March, 1985`, `March 12, 1985`.
fn worded(text: Text<'_>, start: usize, first: usize) -> Option<(usize, usize)> {
    let mut at = first;
    for suffix in ["st", "nd", "rd", "th", "."] {
        if text.from(at).starts_with(suffix) {
            at = at.saturating_add(suffix.len());
            break;
        }
    }
    let blank = |at: usize| text.run(at, 3, |b| matches!(b, b' ' | b',' | b'-'));
    let behind = blank(at);
    if text.at(behind).is_ascii_digit() && behind > at {
        // The month stands before the day.
        let end = text.run_back(start, 2, |b| b == b' ');
        let from = text.run_back(end, 12, |b| {
            b.is_ascii_alphabetic() || b >= 0x80 || b == b'.'
        });
        return match month(text.slice(from, end)) {
            true => year(text, behind, from),
            false => None,
        };
    }
    let word = match text.from(behind) {
        rest if rest.starts_with("of ") => behind.saturating_add(3),
        rest if rest.starts_with("de ") => behind.saturating_add(3),
        _ => behind,
    };
    let end = text.run(word, 14, |b| b.is_ascii_alphabetic() || b >= 0x80);
    if !month(text.slice(word, end)) {
        return None;
    }
    let mut next = text.run(end, 3, |b| matches!(b, b' ' | b',' | b'.' | b'-'));
    if text.from(next).starts_with("de ") {
        next = next.saturating_add(3);
    }
    year(text, next, start)
}

/// The last part of a date in words.
fn year(text: Text<'_>, at: usize, start: usize) -> Option<(usize, usize)> {
    let end = text.run(at, 5, |b| b.is_ascii_digit());
    let year: u32 = text.slice(at, end).parse().ok()?;
    (plausible(year) && !alnum(text.at(end))).then_some((start, end))
}

fn month(word: &str) -> bool {
    if !word.is_ascii() {
        let lower = word.to_lowercase();
        return MONTHS.iter().any(|month| lower.starts_with(month));
    }
    MONTHS.iter().any(|month| {
        let start = word.get(..month.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(month))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_found_from_their_first_digits() {
        for (text, at, expect) in [
            ("12/03/1985", 0, Some("12/03/1985")),
            ("1985-03-12", 0, Some("1985-03-12")),
            ("12.03.85 x", 0, Some("12.03.85")),
            ("12 March 1985", 0, Some("12 March 1985")),
            ("12th of March, 1985", 0, Some("12th of March, 1985")),
            ("on March 12, 1985.", 9, Some("March 12, 1985")),
            ("12. März 1985", 0, Some("12. März 1985")),
            ("31/31/1985", 0, None),
            ("1.2.3", 0, None),
            ("12 apples 1985", 0, None),
            ("06.12.34.56.78", 0, None),
            ("06-12-34-56-78", 0, None),
            ("12-03-45-67-89-ab", 0, None),
            ("12-03-45-ab-cd-ef", 0, None),
            ("2024-01-15-20", 0, None),
            ("2024-01-15-20", 5, None),
            ("(12.03.1885-14.05.1985)", 12, Some("14.05.1985")),
            ("12.03.85. Then", 0, Some("12.03.85")),
            ("12.03.85.Dann", 0, Some("12.03.85")),
            ("1985-03-12T10:00", 0, Some("1985-03-12")),
        ] {
            let text_ = Text { text, key: "" };
            assert_eq!(date(text_, at).map(|(a, b)| &text[a..b]), expect, "{text}");
        }
    }
}

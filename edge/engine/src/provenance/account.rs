//! Bank accounts and telephone numbers inside text.

use super::quantity::numeric_date;
use super::script::unspaced;
use super::value::Kind;
use crate::filter::is_card;

/// Accounts, behind whatever is no letter and no digit (`IBAN/GB29…`, `_GB29…_`) or behind the word `iban`.
pub(super) fn ibans(normal: &str, found: &mut dyn FnMut(Kind, &str)) {
    for (at, four) in normal.as_bytes().windows(4).enumerate() {
        if !starts(four) {
            continue;
        }
        let (before, text) = normal.split_at_checked(at).unwrap_or_default();
        let named = before.strip_suffix("iban").is_some_and(begins_piece);
        if named || begins_piece(before) {
            iban(text, found);
        }
    }
}

/// Two letters for the country, two digits for the check.
fn starts(four: &[u8]) -> bool {
    let [a, b, c, d] = four else { return false };
    c.is_ascii_digit() && d.is_ascii_digit() && a.is_ascii_lowercase() && b.is_ascii_lowercase()
}

/// Whether what comes behind this text is not the middle of a run of letters and digits.
fn begins_piece(before: &str) -> bool {
    !before.ends_with(|c: char| c.is_alphanumeric() && !unspaced(c))
}

/// The one that a text begins with: in one piece, or in groups of four as banks print it.
fn iban(text: &str, found: &mut dyn FnMut(Kind, &str)) {
    let mut pieces = text
        .split(|c: char| !c.is_alphanumeric() || unspaced(c))
        .filter(|piece| !piece.is_empty());
    let Some(first) = pieces.next() else { return };
    if first.len() >= 15 {
        if is_iban(first) {
            found(Kind::Iban, first);
        }
    } else if first.len() == 4 {
        let mut joined = first.to_owned();
        for group in pieces.take(8) {
            if group.len() > 4 || !group.chars().all(|c| c.is_ascii_alphanumeric()) {
                break;
            }
            joined.push_str(group);
            if joined.len() >= 15 && is_iban(&joined) {
                found(Kind::Iban, &joined);
                break;
            }
        }
    }
}

/// ISO 13616: moved by four, letters as numbers, modulo 97 is 1.
fn is_iban(text: &str) -> bool {
    if !(15..=34).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return false;
    }
    let (head, body) = text.split_at(4);
    let rest = body.chars().chain(head.chars()).fold(0_u32, |rest, c| {
        let value = c.to_digit(36).unwrap_or(0);
        let shift = if value > 9 { 100_u32 } else { 10 };
        rest.wrapping_mul(shift)
            .wrapping_add(value)
            .checked_rem(97)
            .unwrap_or(0)
    });
    rest == 1
}

/// Telephone numbers, in runs of digits and of what stands between the digits of one.
pub(super) fn phones(normal: &str, found: &mut dyn FnMut(Kind, &str)) {
    let mut rest = normal;
    while let Some(start) = rest.bytes().position(|b| b == b'+' || b.is_ascii_digit()) {
        let (before, from) = rest.split_at_checked(start).unwrap_or_default();
        let end = from
            .find(|c: char| {
                !c.is_ascii_digit() && !matches!(c, '+' | '-' | '(' | ')' | ' ' | '.' | '/')
            })
            .unwrap_or(from.len());
        let run = from.get(..end).unwrap_or_default();
        rest = from.get(end.max(1)..).unwrap_or_default();
        if run.len() < 8 {
            continue;
        }
        // Each plus sign begins a number, whatever stands before it.
        let (first, international) = match run.split_once('+') {
            Some((first, rest)) => (first, Some(rest)),
            None => (run, None),
        };
        let first = groups(first);
        national(&first, found);
        announced(before, run, &first, found);
        digits(&first, found);
        for segment in international.into_iter().flat_map(|rest| rest.split('+')) {
            let groups = groups(segment);
            let rest = after_plus(&groups, found);
            national(rest, found);
        }
    }
}

/// Fewest digits of an international number that are one by themselves: what stands behind a blank is another matter.
const WHOLE_DIGITS: usize = 10;
/// Most digits of an international number (E.164).
const PHONE_DIGITS_MAX: usize = 15;

/// The groups of digits of a segment; a date in it is none.
fn groups(segment: &str) -> Vec<&str> {
    segment
        .split(' ')
        .filter(|word| numeric_date(word).is_none())
        .flat_map(|word| word.split(|c: char| !c.is_ascii_digit()))
        .filter(|group| !group.is_empty())
        .collect()
}

/// One number behind a plus sign (or `00`); returns the groups that are not a part of it.
fn after_plus<'g, 't>(groups: &'g [&'t str], found: &mut dyn FnMut(Kind, &str)) -> &'g [&'t str] {
    let mut digits = String::new();
    let mut taken = 0_usize;
    for group in groups {
        let length = digits.len().saturating_add(group.len());
        if length > PHONE_DIGITS_MAX.saturating_add(2)
            || (taken == 1 && digits.len() >= WHOLE_DIGITS)
        {
            break;
        }
        digits.push_str(group);
        taken = taken.saturating_add(1);
    }
    let canonical = digits.trim_start_matches('0');
    if (8..=PHONE_DIGITS_MAX.saturating_add(2)).contains(&canonical.len()) {
        found(Kind::Phone, &format!("+{canonical}"));
    }
    groups.get(taken.max(1)..).unwrap_or_default()
}

/// Numbers without a plus sign: with a zero in front, or in groups of three, three and four.
fn national(groups: &[&str], found: &mut dyn FnMut(Kind, &str)) {
    let length = groups.iter().map(|group| group.len()).sum::<usize>();
    let starts = |zeros: &str| groups.first().is_some_and(|group| group.starts_with(zeros));
    if starts("00") && length >= WHOLE_DIGITS {
        after_plus(groups, found);
    } else if starts("0") && (9..=11).contains(&length) {
        found(Kind::Phone, &groups.concat());
    } else {
        let lone = groups
            .iter()
            .filter(|group| group.starts_with('0') && (9..=11).contains(&group.len()));
        lone.for_each(|group| found(Kind::Phone, group));
        // An area code at the start and what follows it, whatever comes after: further inside it is a part of an account.
        let code = groups.first().filter(|group| !group.starts_with("00"));
        if code.is_some_and(|group| group.starts_with('0') && (3..=8).contains(&group.len())) {
            let mut digits = String::new();
            for next in groups {
                if digits.len().saturating_add(next.len()) > 11 {
                    break;
                }
                digits.push_str(next);
            }
            if digits.len() >= 9 {
                found(Kind::Phone, &digits);
            }
        }
    }
    for grouped in groups.windows(3) {
        if let [a, b, c] = grouped
            && (a.len(), b.len(), c.len()) == (3, 3, 4)
            && !(starts("0") && (9..=11).contains(&length))
        {
            found(Kind::Phone, &grouped.concat());
        }
    }
}

/// Numbers as most countries without a zero in front write them: behind a word that says what they are, or with the area code in
/// brackets. Any other digits may be anything.
fn announced(before: &str, run: &str, groups: &[&str], found: &mut dyn FnMut(Kind, &str)) {
    let length = groups.iter().map(|group| group.len()).sum::<usize>();
    let Some(first) = groups.first().filter(|first| !first.starts_with('0')) else {
        return;
    };
    let behind = run.strip_prefix(*first);
    let bracket = before.ends_with('(') && behind.is_some_and(|behind| behind.starts_with(')'));
    let area_code = bracket && (7..=12).contains(&length);
    if area_code || ((8..=12).contains(&length) && announces(before)) {
        found(Kind::Phone, &groups.concat());
    }
}

/// Fewest digits of an account that is recognised by its digits alone, and most (of a card).
pub(super) const DIGITS: std::ops::RangeInclusive<usize> = 9..=19;

/// Digits that are the same account, card or telephone number in other groups: in one piece, as North American numbers are
/// written, or as a card's are.
fn digits(groups: &[&str], found: &mut dyn FnMut(Kind, &str)) {
    for group in groups.iter().filter(|group| DIGITS.contains(&group.len())) {
        found(Kind::Digits, group);
    }
    for grouped in groups.windows(3) {
        let joined = || grouped.concat();
        match grouped {
            [a, b, c] if (a.len(), b.len(), c.len()) == (3, 3, 4) => found(Kind::Digits, &joined()),
            [a, b, c]
                if (a.len(), b.len()) == (4, 6)
                    && matches!(c.len(), 4 | 5)
                    && is_card(&joined()) =>
            {
                found(Kind::Digits, &joined());
            }
            _ => {}
        }
    }
    for grouped in groups.windows(4) {
        if grouped.iter().all(|group| group.len() == 4) && is_card(&grouped.concat()) {
            found(Kind::Digits, &grouped.concat());
        }
    }
}

/// Words that a telephone number stands behind, in texts whose words have blanks between them and in those that have none.
const WORDS_FOR_PHONES: [&str; 16] = [
    "tel",
    "telephone",
    "telefon",
    "telefono",
    "phone",
    "call",
    "calling",
    "mobile",
    "cell",
    "whatsapp",
    "sms",
    "fax",
    "text",
    "ring",
    "dial",
    "handy",
];
const SIGNS_FOR_PHONES: [&str; 7] = ["电话", "電話", "手机", "手機", "携帯", "전화", "โทร"];
/// How far before a number, in bytes and in words, such a word may stand: `call us at`.
const ANNOUNCEMENT_BYTES: usize = 32;
const ANNOUNCEMENT_WORDS: usize = 4;

fn announces(before: &str) -> bool {
    let start = before.len().saturating_sub(ANNOUNCEMENT_BYTES);
    let near = before
        .get(before.floor_char_boundary(start)..)
        .unwrap_or_default();
    let near = near.trim_end_matches([' ', ':', '.', '(']);
    let words = near.rsplit(|c: char| !c.is_alphanumeric());
    let mut words = words
        .filter(|word| !word.is_empty())
        .take(ANNOUNCEMENT_WORDS);
    words.any(|word| WORDS_FOR_PHONES.contains(&word))
        || SIGNS_FOR_PHONES.iter().any(|sign| near.ends_with(sign))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    /// What looks like the beginning of an account at every step is as much work as it is long. Measured by growth: load
    /// only makes a time longer, so the shortest of some is near the truth.
    #[test]
    fn a_text_full_of_beginnings_takes_time_in_proportion() {
        for unit in ["éab12", "ibangb12", "ab12 ", "iban ab12"] {
            let time = |repeats: usize| -> Duration {
                let text = unit.repeat(repeats);
                let start = Instant::now();
                ibans(&text, &mut |_, _| {});
                start.elapsed()
            };
            let grows = (0..20).any(|_| {
                let best = |repeats| (0..3).map(|_| time(repeats)).min().unwrap_or_default();
                best(40_000) < 10 * best(10_000)
            });
            assert!(grows, "{unit}");
        }
    }
}

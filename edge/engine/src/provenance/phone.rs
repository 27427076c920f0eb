//! Telephone numbers inside text, and the digits of cards and accounts in groups.

use super::account::DIGITS;
use super::quantity::{numeric_date, year};
use super::value::Kind;
use crate::filter::is_card;

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
        let all = groups(first, |_| false);
        match first.contains('.') && !announces(before) {
            // `0.00125000` is an amount.
            true => {
                let coded = has_area_code(first, &all);
                let decimal = |word: &str| is_decimal(word) || (!coded && is_price(word));
                national(&groups(first, decimal), found);
            }
            false => national(&all, found),
        }
        announced(before, run, &all, found);
        digits(&all, found);
        for segment in international.into_iter().flat_map(|rest| rest.split('+')) {
            // No country's code begins with a zero; `+1.2125551234` is a number of a registry.
            let groups = groups(segment, |word| word.starts_with("0.") && is_decimal(word));
            let rest = after_plus(&groups, found);
            national(rest, found);
        }
    }
}

/// Fewest digits of an international number that are one by themselves: what stands behind a blank is another matter.
const WHOLE_DIGITS: usize = 10;
/// Most digits of an international number (E.164).
const PHONE_DIGITS_MAX: usize = 15;

/// A run of digits, and what stands between it and the one before.
#[derive(Clone, Copy)]
struct Group<'t> {
    gap: &'t str,
    digits: &'t str,
}

impl<'t> Group<'t> {
    fn length(&self) -> usize {
        self.digits.len()
    }

    /// What stands before it, but for blanks and brackets.
    fn sign(&self) -> &'t str {
        self.gap.trim_matches([' ', '(', ')'])
    }
}

fn joined(groups: &[Group<'_>]) -> String {
    groups.iter().map(|group| group.digits).collect()
}

/// The groups of digits of a segment; a date in it is none, nor is what is left `out`.
fn groups(segment: &str, out: impl Fn(&str) -> bool) -> Vec<Group<'_>> {
    let mut groups = Vec::new();
    let (mut start, mut last) = (0_usize, 0_usize);
    for word in segment.split(' ') {
        let next = start.saturating_add(word.len()).saturating_add(1);
        if numeric_date(word).is_none() && !out(word) {
            // All that stands between digits has one byte.
            for digits in word.split(|c: char| !c.is_ascii_digit()) {
                let end = start.saturating_add(digits.len());
                if !digits.is_empty() {
                    let gap = segment.get(last..start).unwrap_or_default();
                    groups.push(Group { gap, digits });
                    last = end;
                }
                start = end.saturating_add(1);
            }
        }
        start = next;
    }
    groups
}

/// The two parts of a word that may be one number with a point.
fn parts_of_decimal(word: &str) -> Option<(&str, &str)> {
    let word = word.trim_matches(['(', ')', '.', '-', '/']);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let parts = word.split_once('.');
    parts.filter(|parts| digits(parts.0) && digits(parts.1))
}

/// Whether a word is one number with a point, by itself: `0.84729183`. What has a zero before other digits there is an area code,
/// and any other may be two groups (`020 7946.0958`), unless the second would be a telephone number of its own.
fn is_decimal(word: &str) -> bool {
    parts_of_decimal(word).is_some_and(|(whole, fraction)| {
        let lone = fraction.starts_with('0') && LONE.contains(&fraction.len());
        whole == "0" || (lone && !whole.starts_with('0'))
    })
}

/// Whether a word is a price: `12500.00`.
fn is_price(word: &str) -> bool {
    let parts = parts_of_decimal(word);
    parts.is_some_and(|(whole, fraction)| fraction.len() <= 2 && !whole.starts_with('0'))
}

/// Whether groups begin with an area code, or are pairs as in France (`01 23 45 67.89`): then a point is one between groups.
fn has_area_code(run: &str, groups: &[Group<'_>]) -> bool {
    let first = groups.first().map_or("", |group| group.digits);
    let code = first.len() >= 3 && !first.starts_with("00");
    let pairs = groups.len() == 5 && groups.iter().all(|group| group.length() == 2);
    first.starts_with('0') && (code || (pairs && run.matches('.').count() == 1))
}

/// One number behind a plus sign (or `00`); returns the groups that are not a part of it.
fn after_plus<'g, 't>(
    groups: &'g [Group<'t>],
    found: &mut dyn FnMut(Kind, &str),
) -> &'g [Group<'t>] {
    let mut digits = String::new();
    let mut taken = 0_usize;
    for group in groups {
        let length = digits.len().saturating_add(group.length());
        if length > PHONE_DIGITS_MAX.saturating_add(2)
            || (taken == 1 && digits.len() >= WHOLE_DIGITS)
        {
            break;
        }
        digits.push_str(group.digits);
        taken = taken.saturating_add(1);
    }
    let canonical = digits.trim_start_matches('0');
    if (8..=PHONE_DIGITS_MAX.saturating_add(2)).contains(&canonical.len()) {
        found(Kind::Phone, &format!("+{canonical}"));
    }
    groups.get(taken.max(1)..).unwrap_or_default()
}

/// Digits of a number with a zero in front, all of them.
const LONE: std::ops::RangeInclusive<usize> = 9..=11;

/// Numbers without a plus sign: with a zero in front, or in groups of three, three and four.
fn national(groups: &[Group<'_>], found: &mut dyn FnMut(Kind, &str)) {
    let length = groups.iter().map(Group::length).sum::<usize>();
    let first = groups.first().map_or("", |group| group.digits);
    let whole = first.starts_with('0') && LONE.contains(&length);
    if first.starts_with("00") && length >= WHOLE_DIGITS {
        after_plus(groups, found);
    } else if whole {
        found(Kind::Phone, &joined(groups));
    } else {
        let lone = groups
            .iter()
            .filter(|group| group.digits.starts_with('0') && LONE.contains(&group.length()));
        lone.for_each(|group| found(Kind::Phone, group.digits));
        // An area code at the start and what follows it, whatever comes after: further inside it is a part of an account.
        let code = first.starts_with('0') && !first.starts_with("00");
        if code && (3..=8).contains(&first.len()) {
            let mut digits = String::new();
            for next in groups {
                if digits.len().saturating_add(next.length()) > 11 {
                    break;
                }
                digits.push_str(next.digits);
            }
            if digits.len() >= 9 {
                found(Kind::Phone, &digits);
            }
        }
    }
    let grouped = groups.windows(3).enumerate().filter(|_| !whole);
    for (at, grouped) in grouped {
        if is_american(grouped, is_in_table(groups, at)) {
            found(Kind::Phone, &joined(grouped));
        }
    }
}

/// Whether the three groups from one on have others beside them that are no less than they: `24/7` is.
fn is_in_table(groups: &[Group<'_>], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|at| groups.get(at));
    let behind = groups.get(at.saturating_add(3));
    let mut beside = before.into_iter().chain(behind);
    beside.any(|group| group.length() >= 3)
}

/// Whether groups are of three, three and four digits, as North Americans write a number: with a hyphen or dots in it, or the
/// area code in brackets. Blanks are between the figures of a table, too, and one dot may be a decimal point: there the area has
/// to be one that is given to people (none begins with 0 or 1). The last may be a year in a table, or where people have no such
/// number: there the exchange does not begin so either.
fn is_american(groups: &[Group<'_>], in_table: bool) -> bool {
    let [area, exchange, last] = groups else {
        return false;
    };
    if (area.length(), exchange.length(), last.length()) != (3, 3, 4) {
        return false;
    }
    let hyphen = |sign: &str| !sign.is_empty() && sign.chars().all(|c| matches!(c, '-' | '.'));
    let given = |group: &Group<'_>| !group.digits.starts_with(['0', '1']);
    match (exchange.sign(), last.sign()) {
        ("", "" | ".") | (".", "") => {
            let year = (in_table || !given(exchange)) && year(last.digits).is_some();
            exchange.gap.contains(')') || (given(area) && !year)
        }
        ("" | "/", second) => hyphen(second),
        (first, second) => hyphen(first) && (second.is_empty() || hyphen(second)),
    }
}

/// Numbers as most countries without a zero in front write them: behind a word that says what they are, or with the area code in
/// brackets. Any other digits may be anything.
fn announced(before: &str, run: &str, groups: &[Group<'_>], found: &mut dyn FnMut(Kind, &str)) {
    let length = groups.iter().map(Group::length).sum::<usize>();
    let first = groups.first().map(|group| group.digits);
    let Some(first) = first.filter(|first| !first.starts_with('0')) else {
        return;
    };
    let behind = run.strip_prefix(first);
    let bracket = before.ends_with('(') && behind.is_some_and(|behind| behind.starts_with(')'));
    let area_code = bracket && (7..=12).contains(&length);
    if area_code || ((8..=12).contains(&length) && announces(before)) {
        found(Kind::Phone, &joined(groups));
    }
}

/// Digits that are the same account, card or telephone number in other groups: in one piece, as North American numbers are
/// written, or as a card's are.
fn digits(groups: &[Group<'_>], found: &mut dyn FnMut(Kind, &str)) {
    for group in groups
        .iter()
        .filter(|group| DIGITS.contains(&group.length()))
    {
        found(Kind::Digits, group.digits);
    }
    for grouped in groups.windows(3) {
        let [a, b, c] = grouped else { continue };
        let one = match (a.length(), b.length(), c.length()) {
            (3, 3, 4) => true,
            (4, 6, 4 | 5) => is_card(&joined(grouped)),
            _ => false,
        };
        if one {
            found(Kind::Digits, &joined(grouped));
        }
    }
    for grouped in groups.windows(4) {
        if grouped.iter().all(|group| group.length() == 4) && is_card(&joined(grouped)) {
            found(Kind::Digits, &joined(grouped));
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

/// Whether a word says that what stands behind it is a telephone number.
pub(super) fn is_word_for_phones(word: &str) -> bool {
    WORDS_FOR_PHONES.contains(&word) || SIGNS_FOR_PHONES.iter().any(|sign| word.contains(sign))
}

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
    use proptest::prelude::*;

    fn all(of: Kind, text: &str) -> Vec<String> {
        let mut all = Vec::new();
        phones(text, &mut |kind, number| {
            if kind == of {
                all.push(number.to_owned());
            }
        });
        all
    }

    #[test]
    fn figures_of_a_table_are_no_telephone_numbers() {
        for text in [
            "0.84729183",
            "0.00125000 btc, or +0.84729183",
            "(0.084729183)",
            "1.0123456789",
            "0.25 0.50 0.75",
            "100/250/1000",
            "101 250 2024",
            "299 150 2024",
            "102 310 299 350 2024",
            "299 350 2024 400",
            "101 250 4100",
            "101 250.4100",
            "101.250 4100",
            "05 12500.00 99.95",
            "01 25.00 50.00",
        ] {
            assert_eq!(all(Kind::Phone, text), [""; 0], "{text}");
        }
        for (text, number) in [
            ("0.5 030 1234567", "0301234567"),
            ("030.12345678", "03012345678"),
            ("tel 0.84729183", "084729183"),
            ("+1.2125551234", "+12125551234"),
            ("+49.30123456", "+4930123456"),
            ("555-123-4567", "5551234567"),
            ("555.123.4567", "5551234567"),
            ("555/123-4567", "5551234567"),
            ("555-123 4567", "5551234567"),
            ("555 123 4567 24/7", "5551234567"),
            ("101 - 250-2024", "1012502024"),
            ("call 101 250 2024", "1012502024"),
            ("on 020 7946.0958", "02079460958"),
            ("on (020) 7946.0958", "02079460958"),
            ("on 020 79460.958", "02079460958"),
            ("on 0800 123.456", "0800123456"),
            ("on 0800 1234.56", "0800123456"),
            ("on 01 23 45 67.89", "0123456789"),
            ("on 212 555.1234", "2125551234"),
            ("on 212.555 1234", "2125551234"),
            ("our hotline 212 555 1984", "2125551984"),
            ("our hotline 212 555 1984 (24/7)", "2125551984"),
            ("our hotline 1 212 555 1984", "2125551984"),
        ] {
            assert_eq!(all(Kind::Phone, text), [number], "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_amount_is_no_telephone_number(amount in "(0|[1-9][0-9]{0,3})\\.[0-9]{1,12}", sign in "[(+-]?") {
            prop_assert_eq!(all(Kind::Phone, &format!("costs {amount} or {amount}.")), [""; 0]);
            // Behind a plus sign only what no country has.
            if amount.starts_with("0.") {
                prop_assert_eq!(all(Kind::Phone, &format!("by {sign}{amount})")), [""; 0]);
            }
        }
    }
}

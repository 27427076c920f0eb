//! Bank accounts inside text.

use super::quantity::first_digit;
use super::script::unspaced;
use super::value::Kind;

/// Accounts, behind whatever is no letter and no digit (`IBAN/GB29…`, `_GB29…_`) or behind the word `iban`: in one piece, or in
/// groups of whatever size (`GB 29 NWBK 601613 31926819`).
pub(super) fn ibans(normal: &str, found: &mut dyn FnMut(Kind, &str)) {
    let mut at = 0_usize;
    while let Some(offset) = normal.get(at..).and_then(first_digit) {
        let check = at.saturating_add(offset);
        let (before, from) = normal.split_at_checked(check).unwrap_or_default();
        if let Some(country) = country_before(before) {
            iban(normal.get(country..).unwrap_or_default(), found);
        }
        let digits = from.bytes().take_while(u8::is_ascii_digit).count();
        at = check.saturating_add(digits.max(1));
    }
}

/// Where the two letters for a country begin that stand before the digits of the check.
fn country_before(check: &str) -> Option<usize> {
    let letters = check.trim_end_matches(|c: char| !c.is_alphanumeric());
    let at = letters.len().checked_sub(2)?;
    let country = letters.as_bytes().get(at..)?;
    if !country.iter().all(u8::is_ascii_lowercase) {
        return None;
    }
    let before = letters.get(..at)?;
    let named = || before.strip_suffix("iban").is_some_and(begins_piece);
    (begins_piece(before) || named()).then_some(at)
}

/// Whether what comes behind this text is not the middle of a run of letters and digits.
fn begins_piece(before: &str) -> bool {
    !before.ends_with(|c: char| c.is_alphanumeric() && !unspaced(c))
}

/// Fewest letters and digits of an account (Norway's), and most (ISO 13616).
const IBAN_BYTES: std::ops::RangeInclusive<usize> = 15..=34;
/// Most groups behind the first of one that is printed in groups of four.
const PRINTED_MAX: usize = 8;

/// The one that a text begins with.
fn iban(text: &str, found: &mut dyn FnMut(Kind, &str)) {
    if !may_be_iban(text) {
        return;
    }
    let pieces = text.split(|c: char| !c.is_alphanumeric() || unspaced(c));
    let pieces = pieces.filter(|piece| !piece.is_empty());
    let (mut account, mut printed) = (String::new(), true);
    for (at, piece) in pieces.enumerate() {
        let length = account.len().saturating_add(piece.len());
        let plain = piece.bytes().all(|b| b.is_ascii_alphanumeric());
        if !plain || length > *IBAN_BYTES.end() {
            break;
        }
        printed &= match at {
            0 => piece.len() == 4,
            _ => piece.len() <= 4 && at <= PRINTED_MAX,
        };
        account.push_str(piece);
        // `no 4006381333931` is an article.
        let article =
            at == 1 && account.starts_with("no") && length == piece.len().saturating_add(2);
        if article || !is_iban(&account) {
            continue;
        }
        // In one piece or as banks print it, whatever the country, if of what comes first only the bank has letters; words and
        // figures of a sentence get the check digits right by accident sooner or later, but not a country's form as well. Some
        // have letters for the branch and the account, too: `RO16BTRLRONCRT0123456701`.
        let dense = has_figures(account.bytes().skip(4).take(BANK_BYTES));
        let whole = dense && (at == 0 || printed);
        let of_country = || crate::filter::is_iban(&account.to_ascii_uppercase());
        if whole || (has_figures(account.bytes().skip(4)) && of_country()) {
            found(Kind::Iban, &account);
            break;
        }
    }
}

/// Fewest digits of an account behind the check.
const FIGURES_MIN: usize = 6;
/// Letters and digits behind the check that name little more than the bank.
const BANK_BYTES: usize = 11;

fn has_figures(bytes: impl Iterator<Item = u8>) -> bool {
    let mut digits = bytes.filter(u8::is_ascii_digit);
    digits.nth(FIGURES_MIN.saturating_sub(1)).is_some()
}

/// Whether a text may begin with an account: the check has two digits, and enough of what may be its rest is figures.
fn may_be_iban(text: &str) -> bool {
    let mut bytes = text.bytes().filter(u8::is_ascii_alphanumeric);
    let mut check = bytes.by_ref().skip(2).take(2);
    let checked = check.all(|b| b.is_ascii_digit());
    checked && has_figures(bytes.take(IBAN_BYTES.end().saturating_sub(4)))
}

/// ISO 13616: moved by four, letters as numbers, modulo 97 is 1.
fn is_iban(text: &str) -> bool {
    if !IBAN_BYTES.contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
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

/// Fewest digits of an account that is recognised by its digits alone, and most (of a card).
pub(super) const DIGITS: std::ops::RangeInclusive<usize> = 9..=19;

#[cfg(test)]
mod tests {
    use super::super::text::normal;
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    /// What looks like the beginning of an account at every step is as much work as it is long. Measured by growth: load
    /// only makes a time longer, so the shortest of some is near the truth.
    #[test]
    fn a_text_full_of_beginnings_takes_time_in_proportion() {
        for unit in [
            "éab12",
            "ibangb12",
            "ab12 ",
            "iban ab12",
            "gb 2911 ",
            "no 9-",
            "gb1111 ",
            "1---",
        ] {
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

    fn accounts(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        ibans(&normal(text), &mut |_, account| {
            all.push(account.to_owned())
        });
        all
    }

    #[test]
    fn accounts_in_whatever_groups() {
        for text in [
            "GB29 NWBK 6016 1331 9268 19",
            "GB29 NWBK 601613 31926819",
            "GB29 NWBK60161331926819",
            "GB29NWBK60161331 926819",
            "GB29NWBK 60161331926819",
            "GB 29 NWBK 60161331926819",
            "GB: 29-NWBK-60-16-13-31926819",
            "GB2 9NWBK 6 0 1 6 1 3 3 1 9 2 6 8 1 9 17 18",
            "IBAN GB 29NWBK60161331926819",
            "转到GB 29 NWBK 60161331926819谢谢",
        ] {
            assert_eq!(accounts(text), ["gb29nwbk60161331926819"], "{text}");
        }
        for text in [
            "GB28 NWBK 601613 31926819",
            "xGB29 NWBK 601613 31926819",
            "US20 300000 0121212121212",
            "at 10:30, 11:30, 12:30 and 13:30 on 2024-05-15",
            "flight LH45 for 2 pax at 300 EUR of 2024-05-15 10:30:00",
            "article no 9386011117947 of 5",
        ] {
            assert_eq!(accounts(text), [""; 0], "{text}");
        }
        for (text, account) in [
            ("NO 9386 011 1179 47", "no9386011117947"),
            ("NO93 86011117947", "no9386011117947"),
            ("US20 3000 0001 2121 2121 212", "us203000000121212121212"),
        ] {
            assert_eq!(accounts(text), [account], "{text}");
        }
    }

    /// The country's form says where letters are: behind the check there may be fewer figures than letters.
    #[test]
    fn accounts_with_letters_for_the_branch() {
        for account in [
            "RO16BTRLRONCRT0123456701",
            "RO02BRDE410SV20460954100",
            "RO93CECEB31530RON1234567",
        ] {
            let groups: Vec<&[u8]> = account.as_bytes().chunks(4).collect();
            let printed = String::from_utf8(groups.join(&b' ')).unwrap();
            let (start, end) = account.split_at(9);
            for text in [account, &printed, &format!("{start} {end}")] {
                let text = format!("New account: {text}, in use from 2024");
                assert_eq!(accounts(&text), [account.to_lowercase()], "{text}");
            }
            let wrong = format!("RO97{}", account.get(4..).unwrap());
            assert_eq!(accounts(&wrong), [""; 0], "{wrong}");
        }
    }

    proptest! {
        /// However an account is cut, its letters and digits make it one.
        #[test]
        fn no_cut_hides_an_account(
            account in prop::sample::select(vec![
                "GB29NWBK60161331926819",
                "DE89370400440532013000",
                "FR1420041010050500013M02606",
                "MT84MALT011000012345MTLCAST001S",
                "MA64011519000001205000534921",
                "RO16BTRLRONCRT0123456701",
                "RO02BRDE410SV20460954100",
                "RO93CECEB31530RON1234567",
            ]),
            cuts in prop::collection::btree_set(2..31_usize, 0..12),
            sign in "[ .-]|, ",
        ) {
            let mut text = "pay ".to_owned();
            for (at, c) in account.char_indices() {
                if cuts.contains(&at) {
                    text.push_str(&sign);
                }
                text.push(c);
            }
            text.push_str(" of 2024");
            prop_assert_eq!(accounts(&text), [account.to_lowercase()]);
        }
    }
}

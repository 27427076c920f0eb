//! IBANs that the register's forms do not cover: of countries that are not in it but have them, and those with a blank
//! behind the country (`NO 9386011117947`, `ME 25 5050 …`).

use super::context::Said;
use super::payment::{IBAN_LEAST, IBAN_MAX, iban};
use super::text::{Text, alnum};
use proctor_model::content::{Confidence, ContentClass as Class};
use std::str::FromStr as _;

/// Countries that are not in the register, or not in every edition of it, and the lengths of their IBANs: some of Africa's
/// and Iran; what belongs to France, to the British Crown and to Finland.
const UNREGISTERED: &[(&[&str], &[usize])] = &[
    (&["AO", "CV", "GW", "MZ"], &[25]),
    (&["DZ"], &[24, 26]),
    (&["IR"], &[26]),
    (&["CF", "CG", "CM", "GA", "GQ", "KM", "MG", "TD"], &[27]),
    (&["BF"], &[27, 28]),
    (&["BJ", "CI", "HN", "MA", "ML", "NE", "SN", "TG"], &[28]),
    (
        &[
            "BL", "GF", "GP", "MF", "MQ", "NC", "PF", "PM", "RE", "TF", "WF", "YT",
        ],
        &[27],
    ),
    (&["GG", "IM", "JE"], &[22]),
    (&["AX"], &[18]),
];

/// Those that are shorter are told by their form alone too often: `NO` is a word.
const TELLING: usize = 20;

/// The account number of which the word at `from` is the first with a digit.
pub(super) fn account(
    text: Text<'_>,
    from: usize,
    said: &mut dyn FnMut(usize, usize) -> Said,
) -> Option<(usize, usize, Class, Confidence)> {
    let start = beginning(text, from)?;
    let mut compact = String::with_capacity(IBAN_MAX);
    let mut at = start;
    loop {
        let end = text.run(at, IBAN_MAX.saturating_add(1), alnum);
        compact.push_str(&text.slice(at, end).to_ascii_uppercase());
        if end == at || compact.len() > IBAN_MAX {
            return None;
        }
        if compact.len() >= IBAN_LEAST {
            let spoken = || said(start, end).speaks_for(Class::Iban);
            if let Some(sure) = judge(&compact, spoken) {
                return Some((start, end, Class::Iban, sure));
            }
        }
        at = match text.at(end) {
            b' ' | b'-' => end.saturating_add(1),
            0xc2 if text.at(end.saturating_add(1)) == 0xa0 => end.saturating_add(2),
            _ => return None,
        };
    }
}

/// Where the country stands: at `from` with its check digits, or before the blank in front of them.
fn beginning(text: Text<'_>, from: usize) -> Option<usize> {
    let digits =
        |at: usize| text.at(at).is_ascii_digit() && text.at(at.saturating_add(1)).is_ascii_digit();
    let letters = |at: usize| {
        let country = text.bytes(at, at.saturating_add(2));
        country.len() == 2 && country.iter().all(u8::is_ascii_uppercase)
    };
    if letters(from) && digits(from.saturating_add(2)) {
        return Some(from);
    }
    let before = from.checked_sub(3)?;
    let parted = text.before(from) == b' ' && !alnum(text.before(before));
    (digits(from) && parted && letters(before)).then_some(before)
}

/// How sure letters and digits are an IBAN.
fn judge(compact: &str, spoken: impl FnOnce() -> bool) -> Option<Confidence> {
    // The check digits first: hardly anything else has them right.
    iban::BaseIban::from_str(compact).ok()?;
    if iban(compact) || is_pakistani(compact) {
        return match spoken() {
            true => Some(Confidence::High),
            false => (compact.len() >= TELLING).then_some(Confidence::Medium),
        };
    }
    (is_unregistered(compact) && spoken()).then_some(Confidence::High)
}

/// Whether letters and digits are an IBAN in a form that some country has.
pub(super) fn is_known(compact: &str) -> bool {
    let checked = iban::BaseIban::from_str(compact).is_ok();
    checked && (iban(compact) || is_pakistani(compact) || is_unregistered(compact))
}

fn is_unregistered(compact: &str) -> bool {
    UNREGISTERED.iter().any(|(countries, lens)| {
        let country = compact.get(..2).unwrap_or_default();
        countries.contains(&country) && lens.contains(&compact.len())
    })
}

/// Registered, with four letters for the bank.
fn is_pakistani(compact: &str) -> bool {
    let bank = compact.as_bytes().get(4..8);
    compact.starts_with("PK")
        && compact.len() == 24
        && bank.is_some_and(|bank| bank.iter().all(u8::is_ascii_uppercase))
}

#[cfg(test)]
mod tests {
    use super::super::context::Ear;
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let whole = Text { text, key: "" };
        let begins = |at: &usize| alnum(whole.at(*at)) && !alnum(whole.before(*at));
        let has_digit = |at: &usize| {
            let end = whole.run(*at, text.len(), alnum);
            whole.bytes(*at, end).iter().any(u8::is_ascii_digit)
        };
        (0..text.len())
            .filter(|at| begins(at) && has_digit(at))
            .find_map(|at| {
                let mut ear = Ear::new(whole);
                let (start, end, ..) = account(whole, at, &mut |a, b| ear.near(a, b))?;
                Some(&text[start..end])
            })
    }

    #[test]
    fn the_word_or_the_register_makes_it_one() {
        for (text, value) in [
            ("IBAN: NO 9386011117947", "NO 9386011117947"),
            ("to NO 93 8601 1117 947 at the bank", "NO 93 8601 1117 947"),
            (
                "to GB 29 NWBK 6016 1331 9268 19.",
                "GB 29 NWBK 6016 1331 9268 19",
            ),
            ("to DE 89370400440532013000.", "DE 89370400440532013000"),
            ("to PK36SCBL0000001123456702.", "PK36SCBL0000001123456702"),
            (
                "IBAN AO06004400006729503010102",
                "AO06004400006729503010102",
            ),
            (
                "IBAN: MA64 0115 1900 0001 2050 0053 4921",
                "MA64 0115 1900 0001 2050 0053 4921",
            ),
        ] {
            assert_eq!(found(text), Some(value), "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "order NO 9386011117947",
            "IBAN: NO 9386011117948",
            "to GB 28 NWBK 6016 1331 9268 19.",
            "to AO06004400006729503010102",
            "IBAN: AO07004400006729503010102",
            "IBAN: AO0600440000672950301010",
            "IBAN: US08004400006729503010102",
            "to xDE 89370400440532013000.",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}

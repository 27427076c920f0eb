//! VAT numbers of EU member states (Directive 2006/112/EC, article 215; check digits as each state publishes them).

use super::national::mod_11_10;
use super::payment::luhn;
use super::text::{digits_of, weighted};
use proctor_model::content::Confidence;

/// How sure a word is of being a VAT number: sure only where check digits are right.
pub(super) fn vat(id: &[u8]) -> Option<Confidence> {
    let (country, rest) = id.split_at_checked(2)?;
    let digits = |count: usize| rest.len() == count && rest.iter().all(u8::is_ascii_digit);
    let (sound, checked) = match country {
        b"AT" => (
            rest.first() == Some(&b'U') && rest.len() == 9 && numeric(rest, 1, 9),
            at(rest),
        ),
        b"BE" => (
            // Once without the nought before it.
            digits(9) || digits(10) && rest.first().is_some_and(|b| b"01".contains(b)),
            mod_97(rest, rest.len().saturating_sub(2)),
        ),
        b"DE" => (digits(9) && rest.first() != Some(&b'0'), mod_11_10(rest)),
        b"DK" => (
            digits(8),
            weighted(digits_of(rest), &[2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11),
        ),
        b"FI" => (
            digits(8),
            weighted(digits_of(rest), &[7, 9, 10, 5, 8, 4, 2, 1]).is_multiple_of(11),
        ),
        b"FR" => (rest.len() == 11 && numeric(rest, 2, 11), fr(rest)),
        b"IT" => (digits(11), luhn(rest)),
        b"LU" => (digits(8), lu(rest)),
        b"NL" => (nl_form(rest), nl(id)),
        b"PL" => (digits(10), mod_11_last(rest, &[6, 5, 7, 2, 3, 4, 5, 6, 7])),
        b"PT" => (digits(9), pt(rest)),
        b"SE" => (
            digits(12) && rest.ends_with(b"01"),
            luhn(rest.get(..10).unwrap_or_default()),
        ),
        b"EL" => (digits(9), el(rest)),
        b"HU" => (
            digits(8),
            weighted(digits_of(rest), &[9, 7, 3, 1, 9, 7, 3, 1]).is_multiple_of(10),
        ),
        b"MT" => (
            digits(8),
            weighted(digits_of(rest), &[3, 4, 6, 7, 8, 9, 10, 1]).is_multiple_of(37),
        ),
        b"EE" => (
            digits(9),
            weighted(digits_of(rest), &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10),
        ),
        b"SI" => (digits(8), si(rest)),
        b"HR" => (digits(11), mod_11_10(rest)),
        // Northern Ireland, as the United Kingdom's.
        b"XI" => (digits(9), xi(rest)),
        // Of these the form alone is looked at.
        b"BG" => (digits(9) || digits(10), false),
        b"CY" => (
            rest.len() == 9
                && numeric(rest, 0, 8)
                && rest.last().is_some_and(u8::is_ascii_uppercase),
            false,
        ),
        b"CZ" => (digits(8) || digits(9) || digits(10), false),
        b"ES" => (rest.len() == 9 && numeric(rest, 1, 8), false),
        b"IE" => (
            (8..=9).contains(&rest.len())
                && numeric(rest, 0, 7)
                && rest.last().is_some_and(u8::is_ascii_uppercase)
                // The old form.
                || rest.len() == 8
                    && rest.first().is_some_and(u8::is_ascii_digit)
                    && numeric(rest, 2, 7)
                    && rest.last().is_some_and(u8::is_ascii_uppercase),
            false,
        ),
        b"LT" => (digits(9) || digits(12), false),
        b"LV" => (digits(11), false),
        b"RO" => (
            (2..=10).contains(&rest.len()) && numeric(rest, 0, rest.len()),
            false,
        ),
        b"SK" => (digits(10), false),
        _ => (false, false),
    };
    match (sound, checked) {
        (true, true) => Some(Confidence::Medium),
        (true, false) => Some(Confidence::Low),
        (false, _) => None,
    }
}

fn numeric(bytes: &[u8], from: usize, to: usize) -> bool {
    bytes
        .get(from..to)
        .is_some_and(|part| part.iter().all(u8::is_ascii_digit))
}

fn value(digits: &[u8]) -> u64 {
    digits_of(digits).fold(0, |sum, digit| {
        sum.saturating_mul(10).saturating_add(digit.into())
    })
}

fn last(digits: &[u8]) -> u32 {
    digits_of(digits).next_back().unwrap_or(10)
}

fn mod_97(digits: &[u8], body: usize) -> bool {
    let (body, check) = digits.split_at_checked(body).unwrap_or_default();
    97_u64.saturating_sub(value(body) % 97) == value(check)
}

fn mod_11_last(digits: &[u8], weights: &[u32]) -> bool {
    weighted(digits_of(digits), weights) % 11 == last(digits)
}

fn doubled(digit: u32) -> u32 {
    let twice = digit.saturating_mul(2);
    if twice > 9 {
        twice.saturating_sub(9)
    } else {
        twice
    }
}

fn at(rest: &[u8]) -> bool {
    let digits = digits_of(rest).take(7).enumerate();
    let sum: u32 = digits
        .map(|(at, digit)| if at % 2 == 1 { doubled(digit) } else { digit })
        .sum();
    96_u32.saturating_sub(sum) % 10 == last(rest)
}

fn fr(rest: &[u8]) -> bool {
    let (key, siren) = rest.split_at_checked(2).unwrap_or_default();
    let expect = value(siren) % 97;
    let expect = expect.saturating_mul(3).saturating_add(12) % 97;
    luhn(siren) && (!key.iter().all(u8::is_ascii_digit) || value(key) == expect)
}

fn lu(rest: &[u8]) -> bool {
    let (body, check) = rest.split_at_checked(6).unwrap_or_default();
    value(body) % 89 == value(check)
}

/// Nine digits, `B` and two more; noughts before them are sometimes left out.
fn nl_form(rest: &[u8]) -> bool {
    let body = rest.len().saturating_sub(3);
    let short = body == 9 || (7..9).contains(&body) && numeric(rest, 0, body);
    short && rest.get(body) == Some(&b'B') && numeric(rest, body.saturating_add(1), rest.len())
}

/// The old form checks by eleven, the one of sole traders by 97 over all of it.
fn nl(id: &[u8]) -> bool {
    let rest = id.get(2..).unwrap_or_default();
    let body = rest.get(..rest.len().saturating_sub(3)).unwrap_or_default();
    let weights: &[u32] = &[9, 8, 7, 6, 5, 4, 3, 2];
    let weights = weights.get(9_usize.saturating_sub(body.len())..);
    let old = mod_11_last(body, weights.unwrap_or_default());
    let over_all = id.iter().fold(0_u64, |rest, b| match b {
        b'0'..=b'9' => {
            rest.saturating_mul(10)
                .saturating_add(b.wrapping_sub(b'0').into())
                % 97
        }
        _ => {
            rest.saturating_mul(100)
                .saturating_add(b.wrapping_sub(b'A').saturating_add(10).into())
                % 97
        }
    });
    old || over_all == 1
}

fn pt(rest: &[u8]) -> bool {
    let sum = weighted(digits_of(rest), &[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    let check = if sum < 2 {
        0
    } else {
        11_u32.saturating_sub(sum)
    };
    check == last(rest)
}

fn el(rest: &[u8]) -> bool {
    let sum = weighted(digits_of(rest), &[256, 128, 64, 32, 16, 8, 4, 2]);
    sum % 11 % 10 == last(rest)
}

fn si(rest: &[u8]) -> bool {
    let sum = weighted(digits_of(rest), &[8, 7, 6, 5, 4, 3, 2]) % 11;
    11_u32.saturating_sub(sum) % 10 == last(rest) && sum != 0
}

/// Two check digits by 97, of old and of new numbers.
fn xi(rest: &[u8]) -> bool {
    let sum = weighted(digits_of(rest), &[8, 7, 6, 5, 4, 3, 2]);
    let check = value(rest.get(7..).unwrap_or_default());
    let sum = u64::from(sum).saturating_add(check);
    sum.is_multiple_of(97) || sum.saturating_add(55).is_multiple_of(97)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_examples_are_sure() {
        for id in [
            "ATU13585627",
            "BE0428759497",
            "BE428759497",
            "DE136695976",
            "DK13585628",
            "FI20774740",
            "FR40303265045",
            "IT00743110157",
            "LU15027442",
            "NL004495445B01",
            "NL4495445B01",
            "PL8567346215",
            "PT501964843",
            "SE123456789701",
            "EL094259216",
            "HU12892312",
            "MT11679112",
            "EE100931558",
            "SI50223054",
            "HR33392005961",
            "XI980780684",
        ] {
            assert_eq!(vat(id.as_bytes()), Some(Confidence::Medium), "{id}");
        }
        assert_eq!(vat(b"DE136695975"), Some(Confidence::Low));
        assert_eq!(vat(b"US136695976"), None);
        assert_eq!(vat(b"DE1366959"), None);
        assert_eq!(vat(b"IE8Z49289F"), Some(Confidence::Low));
        assert_eq!(vat(b"NL495445B01"), None);
        assert_eq!(vat(b"BE42875949"), None);
    }
}

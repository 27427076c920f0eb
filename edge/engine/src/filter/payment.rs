//! Payment cards and bank accounts.

use super::national::monotonous;
use super::text::digits_of;

/// Whether digits are a card number: an issuer's range, a length of that issuer's, and Luhn.
pub(super) fn card(digits: &[u8]) -> bool {
    issuer(digits) && luhn(digits) && !monotonous(digits)
}

/// Ranges of the first four digits, and the lengths that are issued there.
const RANGES: &[(u32, u32, &[usize])] = &[
    (4000, 4999, &[13, 16, 19]),
    (5100, 5599, &[16]),
    (2221, 2720, &[16]),
    (3400, 3499, &[15]),
    (3700, 3799, &[15]),
    (6011, 6011, &[16, 17, 18, 19]),
    (6440, 6599, &[16, 17, 18, 19]),
    (3000, 3059, &[14, 16, 19]),
    (3095, 3095, &[14, 16, 19]),
    (3600, 3699, &[14, 16, 19]),
    (3800, 3999, &[14, 16, 19]),
    (3528, 3589, &[16, 17, 18, 19]),
    // Beside JCB's own: nobody else's.
    (3500, 3599, &[16]),
    (2131, 2131, &[15]),
    (1800, 1800, &[15]),
    (6200, 6299, &[16, 17, 18, 19]),
    (8100, 8171, &[16, 17, 18, 19]),
    (2200, 2204, &[16, 17, 18, 19]),
    (5018, 5018, &[12, 13, 14, 15, 16, 17, 18, 19]),
    (5020, 5020, &[12, 13, 14, 15, 16, 17, 18, 19]),
    (5038, 5038, &[12, 13, 14, 15, 16, 17, 18, 19]),
    (5600, 5899, &[12, 13, 14, 15, 16, 17, 18, 19]),
    (6304, 6304, &[12, 13, 14, 15, 16, 17, 18, 19]),
    (6390, 6390, &[12, 13, 14, 15, 16, 17, 18, 19]),
    // With a zero at its front.
    (604, 604, &[12, 13, 14, 15, 16, 17, 18, 19]),
    (6759, 6763, &[12, 13, 14, 15, 16, 17, 18, 19]),
    (6060, 6099, &[16]),
    (5060, 5080, &[16, 19]),
    (6500, 6550, &[16]),
    (9792, 9792, &[16]),
];

fn issuer(digits: &[u8]) -> bool {
    let head = digits_of(digits).take(4).fold(0_u32, |sum, digit| {
        sum.saturating_mul(10).saturating_add(digit)
    });
    RANGES
        .iter()
        .any(|(from, to, lens)| (*from..=*to).contains(&head) && lens.contains(&digits.len()))
}

/// The Luhn check (ISO/IEC 7812-1).
pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits_of(digits)
        .rev()
        .enumerate()
        .map(|(at, digit)| match at % 2 {
            0 => digit,
            _ if digit > 4 => digit.saturating_mul(2).saturating_sub(9),
            _ => digit.saturating_mul(2),
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether thirteen digits are the number of an article (EAN-13, GS1): those of Germany begin as cards of thirteen
/// digits did.
pub(super) fn is_article(digits: &[u8]) -> bool {
    let weights = [1, 3].into_iter().cycle();
    let sum: u32 = digits_of(digits)
        .zip(weights)
        .map(|(digit, weight)| digit.saturating_mul(weight))
        .sum();
    digits.len() == 13 && sum.is_multiple_of(10)
}

/// Whether a card number has a length that hardly any card has, and ids of services often have.
pub(super) fn is_rare(digits: &[u8]) -> bool {
    matches!(digits.len(), 17 | 18)
}

/// Layouts of card numbers in groups.
pub(super) const CARD_LAYOUTS: &[&[u8]] = &[
    &[4, 4, 4, 4],
    &[4, 6, 5],
    &[4, 6, 4],
    &[4, 4, 4, 4, 3],
    &[4, 4, 4, 3],
    &[6, 13],
    &[4, 4, 5],
    &[4, 4, 4, 1],
    &[8, 8],
];

/// Shortest IBAN, without blanks (Norway's).
pub(super) const IBAN_LEAST: usize = 15;
/// Longest IBAN, without blanks.
pub(super) const IBAN_MAX: usize = 34;

/// Whether letters and digits (no blanks) are an IBAN of a country that has them, right to its check digits.
pub(super) fn iban(compact: &str) -> bool {
    use std::str::FromStr as _;
    iban::Iban::from_str(compact).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_need_range_length_and_luhn() {
        for card_number in [
            "4111111111111111",
            "378282246310005",
            "5555555555554444",
            "6011111111111117",
            "30569309025904",
            "3530111333300000",
            "2223003122003222",
        ] {
            assert!(card(card_number.as_bytes()), "{card_number}");
        }
        for no in [
            "4111111111111112",
            "1234567812345670",
            "0000000000000000",
            "41111111111111",
            "9999999999999995",
        ] {
            assert!(!card(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn articles_are_told_by_their_check_digit() {
        assert!(is_article(b"4006381333931") && is_article(b"4059803150715"));
        assert!(!is_article(b"4006381333932") && !is_article(b"400638133393"));
    }

    #[test]
    fn ibans_need_their_country_and_check_digits() {
        assert!(
            iban("GB29NWBK60161331926819")
                && iban("DE89370400440532013000")
                && iban("NL91ABNA0417164300")
        );
        assert!(
            !iban("GB28NWBK60161331926819")
                && !iban("XX29NWBK60161331926819")
                && !iban("DE8937040044053201300")
        );
    }
}

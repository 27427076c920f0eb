//! Numbers by which states know people: how they are grouped, and their check digits.

use super::payment::luhn;
use super::text::{digits_of, weighted};
use proctor_model::content::{Confidence, ContentClass as Class};

/// An id of digits only.
pub(super) struct Id {
    pub(super) class: Class,
    /// Ways to write it in groups, and the separators between them; digits in one run are always read.
    pub(super) layouts: &'static [(&'static [u8], &'static [u8])],
    pub(super) digits: usize,
    /// Whether check digits and fixed parts are right.
    pub(super) valid: fn(&[u8]) -> bool,
    /// Taken by its name and length where the check digits are wrong: many of those that go around are.
    pub(super) by_name: bool,
    /// How sure in one run.
    pub(super) plain: Confidence,
    /// How sure in its own groups.
    pub(super) grouped: Confidence,
}

const BLANK: &[u8] = &[b' ', b'-', 0xc2];

pub(super) const IDS: &[Id] = &[
    Id {
        class: Class::UsSsn,
        layouts: &[(&[3, 2, 4], &[b'-', b' ', b'.', 0xc2])],
        digits: 9,
        valid: us_ssn,
        by_name: false,
        plain: Confidence::Low,
        grouped: Confidence::Medium,
    },
    Id {
        class: Class::NlBsn,
        layouts: &[(&[4, 2, 3], b"."), (&[3, 3, 3], &[b' ', b'.', 0xc2])],
        digits: 9,
        valid: nl_bsn,
        by_name: false,
        plain: Confidence::Low,
        grouped: Confidence::Low,
    },
    Id {
        class: Class::BrCpf,
        // The last separator differs: see `brazilian`.
        layouts: &[],
        digits: 11,
        valid: br_cpf,
        by_name: false,
        plain: Confidence::Medium,
        grouped: Confidence::High,
    },
    Id {
        class: Class::DeTaxId,
        layouts: &[(&[2, 3, 3, 3], &[b' ', b'/', 0xc2])],
        digits: 11,
        valid: de_tax_id,
        by_name: false,
        plain: Confidence::Medium,
        grouped: Confidence::High,
    },
    Id {
        class: Class::PlPesel,
        layouts: &[],
        digits: 11,
        valid: pl_pesel,
        by_name: false,
        plain: Confidence::Medium,
        grouped: Confidence::Medium,
    },
    Id {
        class: Class::InAadhaar,
        layouts: &[(&[4, 4, 4], BLANK)],
        digits: 12,
        valid: in_aadhaar,
        by_name: true,
        plain: Confidence::Low,
        grouped: Confidence::Medium,
    },
    Id {
        class: Class::FrNir,
        layouts: &[
            (&[1, 2, 2, 2, 3, 3, 2], BLANK),
            (&[13, 2], BLANK),
            (&[1, 2, 2, 5, 3, 2], BLANK),
        ],
        digits: 15,
        valid: fr_nir,
        by_name: false,
        plain: Confidence::Medium,
        grouped: Confidence::High,
    },
    // Italy's VAT number without its country, which its name has to stand by.
    Id {
        class: Class::EuVat,
        layouts: &[],
        digits: 11,
        valid: it_vat,
        by_name: false,
        plain: Confidence::Low,
        grouped: Confidence::Low,
    },
];

/// `123.456.789-09`.
pub(super) const BRAZILIAN: &[u8] = &[3, 3, 3, 2];

fn number(digits: &[u8]) -> u64 {
    digits_of(digits).fold(0, |sum, digit| {
        sum.saturating_mul(10).saturating_add(digit.into())
    })
}

fn part(digits: &[u8], from: usize, to: usize) -> u64 {
    number(digits.get(from..to).unwrap_or_default())
}

fn us_ssn(digits: &[u8]) -> bool {
    let area = part(digits, 0, 3);
    area != 0 && area != 666 && area < 900 && part(digits, 3, 5) != 0 && part(digits, 5, 9) != 0
}

fn nl_bsn(digits: &[u8]) -> bool {
    let sum = weighted(digits_of(digits), &[9, 8, 7, 6, 5, 4, 3, 2, 0]);
    let last = digits_of(digits).next_back().unwrap_or(0);
    sum != 0 && sum % 11 == last && !monotonous(digits)
}

fn br_cpf(digits: &[u8]) -> bool {
    let check = |upto: usize| {
        let count = u32::try_from(upto).unwrap_or(0).saturating_add(1);
        let weights = (2..=count).rev();
        let sum: u32 = digits_of(digits)
            .zip(weights)
            .map(|(d, w)| d.saturating_mul(w))
            .sum();
        let rest = sum.saturating_mul(10) % 11 % 10;
        digits_of(digits).nth(upto) == Some(rest)
    };
    !monotonous(digits) && check(9) && check(10)
}

/// ISO 7064 MOD 11,10 over all digits but the last.
pub(super) fn mod_11_10(digits: &[u8]) -> bool {
    let mut digits = digits_of(digits);
    let last = digits.next_back();
    let product = digits.fold(10_u32, |product, digit| {
        let sum = match digit.saturating_add(product) % 10 {
            0 => 10,
            sum => sum,
        };
        sum.saturating_mul(2) % 11
    });
    last == Some(11_u32.saturating_sub(product) % 10)
}

/// Of the first ten digits one comes twice or three times, the others at most once.
fn de_tax_id(digits: &[u8]) -> bool {
    let mut counts = [0_u8; 10];
    for digit in digits_of(digits).take(10) {
        let at = usize::try_from(digit).unwrap_or(0);
        if let Some(count) = counts.get_mut(at) {
            *count = count.saturating_add(1);
        }
    }
    let repeated = counts.iter().filter(|count| **count > 1).count();
    let most = counts.iter().max().copied().unwrap_or(0);
    digits.first() != Some(&b'0') && repeated == 1 && most <= 3 && mod_11_10(digits)
}

fn pl_pesel(digits: &[u8]) -> bool {
    let sum = weighted(digits_of(digits), &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]);
    let month = part(digits, 2, 4) % 20;
    let day = part(digits, 4, 6);
    sum.is_multiple_of(10)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && !monotonous(digits)
}

const VERHOEFF: [[u8; 10]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
    [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
    [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
    [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
    [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
    [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
    [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
    [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
    [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
];
const VERHOEFF_STEPS: [[u8; 10]; 8] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
    [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
    [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
    [9, 4, 5, 3, 1, 2, 6, 8, 7, 0],
    [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
    [2, 7, 9, 3, 8, 0, 6, 4, 1, 5],
    [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
];

fn in_aadhaar(digits: &[u8]) -> bool {
    let look = |row: Option<&[u8; 10]>, at: u32| {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        row.and_then(|row| row.get(at))
            .copied()
            .map_or(10, u32::from)
    };
    let check = digits_of(digits)
        .rev()
        .enumerate()
        .fold(0_u32, |check, (at, digit)| {
            let stepped = look(VERHOEFF_STEPS.get(at % 8), digit);
            look(
                VERHOEFF.get(usize::try_from(check).unwrap_or(usize::MAX)),
                stepped,
            )
        });
    check == 0 && digits.first().is_some_and(|b| *b >= b'2') && !monotonous(digits)
}

fn it_vat(digits: &[u8]) -> bool {
    luhn(digits) && !digits.starts_with(b"0000000") && !monotonous(digits)
}

fn fr_nir(digits: &[u8]) -> bool {
    fr_parts(digits)
        && number(digits.get(..13).unwrap_or_default())
            .wrapping_add(part(digits, 13, 15))
            .is_multiple_of(97)
}

fn fr_parts(digits: &[u8]) -> bool {
    let month = part(digits, 3, 5);
    let plausible =
        (1..=12).contains(&month) || (20..=42).contains(&month) || (50..=99).contains(&month);
    digits.len() == 15 && digits.first().is_some_and(|b| b"123478".contains(b)) && plausible
}

/// The Corsican form: `2A` or `2B` as department.
pub(super) fn fr_nir_corsican(id: &[u8]) -> bool {
    let mut digits = [0_u8; 15];
    if id.len() != 15 {
        return false;
    }
    digits.copy_from_slice(id);
    let Some(letter) = digits.get_mut(6) else {
        return false;
    };
    let less = match letter {
        b'A' => 1_000_000,
        b'B' => 2_000_000,
        _ => return false,
    };
    *letter = b'0';
    if !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let body = number(digits.get(..13).unwrap_or_default()).saturating_sub(less);
    fr_parts(&digits) && body.wrapping_add(part(&digits, 13, 15)).is_multiple_of(97)
}

/// Eight digits and their letter, or `X`, `Y`, `Z` with seven (NIE).
pub(super) fn es_dni(id: &[u8]) -> bool {
    let Some((letter, rest)) = id.split_last() else {
        return false;
    };
    let (lead, digits) = match rest.split_first() {
        Some((first @ (b'X' | b'Y' | b'Z'), digits)) => {
            (u64::from(first.wrapping_sub(b'X')), digits)
        }
        Some(_) if rest.len() == 8 => (0, rest),
        _ => return false,
    };
    let sound = digits.iter().all(u8::is_ascii_digit) && (digits.len() == 7 || digits.len() == 8);
    let value = match digits.len() {
        7 => lead
            .saturating_mul(10_000_000)
            .saturating_add(number(digits)),
        _ => number(digits),
    };
    let at = usize::try_from(value % 23).unwrap_or(usize::MAX);
    sound && b"TRWAGMYFPDXBNJZSQVHLCKE".get(at) == Some(letter)
}

/// Two letters, six digits, a suffix of `A` to `D`.
pub(super) fn uk_nino(id: &[u8]) -> bool {
    let [first, second, digits @ .., suffix] = id else {
        return false;
    };
    let forbidden = |b: &u8| b"DFIQUV".contains(b);
    let administrative = matches!(
        (first, second),
        (b'B', b'G')
            | (b'G', b'B')
            | (b'N', b'K')
            | (b'K', b'N')
            | (b'T', b'N')
            | (b'N', b'T')
            | (b'Z', b'Z')
    );
    id.len() == 9
        && first.is_ascii_uppercase()
        && second.is_ascii_uppercase()
        && !forbidden(first)
        && !forbidden(second)
        && *second != b'O'
        && !administrative
        && digits.iter().all(u8::is_ascii_digit)
        && (b'A'..=b'D').contains(suffix)
}

/// Two letters, six digits, a letter.
pub(super) fn is_like_nino(id: &[u8]) -> bool {
    let [first, second, digits @ .., suffix] = id else {
        return false;
    };
    digits.len() == 6
        && digits.iter().all(u8::is_ascii_digit)
        && [first, second, suffix]
            .iter()
            .all(|b| b.is_ascii_uppercase())
}

/// Values of letters and digits at odd places.
const ODD: [u32; 36] = [
    1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6,
    8, 12, 14, 16, 10, 22, 25, 24, 23,
];

/// Sixteen letters and digits; the last letter checks the others.
pub(super) fn it_codice_fiscale(id: &[u8]) -> bool {
    const LETTERS: &[u8] = b"LLLLLLDDLDDLDDDL";
    // Where two people would have the same one, digits become letters (omocodia).
    let fits = |(b, form): (&u8, &u8)| match form {
        b'L' => b.is_ascii_uppercase(),
        _ => b.is_ascii_digit() || b"LMNPQRSTUV".contains(b),
    };
    if id.len() != 16
        || !id.iter().zip(LETTERS).all(fits)
        || !id.get(8).is_some_and(|b| b"ABCDEHLMPRST".contains(b))
    {
        return false;
    }
    let value = |b: u8| match b {
        b'0'..=b'9' => b.wrapping_sub(b'0'),
        _ => b.wrapping_sub(b'A'),
    };
    let sum: u32 = id
        .iter()
        .take(15)
        .enumerate()
        .map(|(at, b)| match at % 2 {
            0 => {
                let shift = if b.is_ascii_digit() { 0 } else { 10 };
                ODD.get(usize::from(value(*b)).saturating_add(shift))
                    .copied()
                    .unwrap_or(0)
            }
            _ => u32::from(value(*b)),
        })
        .sum();
    id.get(15).map(|b| u32::from(b.wrapping_sub(b'A'))) == Some(sum % 26)
}

/// Nobody's number: `111…`, `1234…`.
pub(super) fn monotonous(digits: &[u8]) -> bool {
    let mut pairs = digits.iter().zip(digits.iter().skip(1));
    pairs.clone().all(|(a, b)| a == b)
        || pairs.all(|(a, b)| a.wrapping_add(1) == *b || (*a == b'9' && *b == b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_examples_pass_and_a_changed_digit_does_not() {
        for (valid, example) in [
            (nl_bsn as fn(&[u8]) -> bool, "111222333"),
            (br_cpf, "52998224725"),
            (de_tax_id, "36574261809"),
            (pl_pesel, "44051401359"),
            (in_aadhaar, "234123412346"),
            (fr_nir, "255081416802538"),
            (es_dni, "12345678Z"),
            (es_dni, "X1234567L"),
            (it_codice_fiscale, "RSSMRA85T10A562S"),
            (mod_11_10, "136695976"),
        ] {
            assert!(valid(example.as_bytes()), "{example}");
            for at in 0..example.len() {
                let mut changed = example.as_bytes().to_vec();
                let b = changed[at];
                if b.is_ascii_digit() {
                    changed[at] = b'0' + (b - b'0' + 1) % 10;
                    assert!(!valid(&changed), "{example} at {at}");
                }
            }
        }
        assert!(
            us_ssn(b"536904399")
                && !us_ssn(b"000904399")
                && !us_ssn(b"666904399")
                && !us_ssn(b"900904399")
        );
        assert!(
            uk_nino(b"AB123456C")
                && !uk_nino(b"BG123456C")
                && !uk_nino(b"AB123456E")
                && !uk_nino(b"DA123456C")
        );
    }
}

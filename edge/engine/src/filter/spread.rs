//! Ids that are written with blanks, dots or dashes between their parts, some of which are letters: `DE 136 695 976`,
//! `12.345.678-Z`, `AB-12-34-56-C`, `RSS MRA 85T10 A562S`, `1 85 05 2A 004 123 56`, `NO 9386011117947`; and those in small
//! letters.

use super::context::Said;
use super::text::{Text, alnum};
use super::{account, birth, national, vat};
use proctor_model::content::{Confidence, ContentClass as Class};

/// Letters and digits of the longest of them, with one to spare.
const MOST: usize = 17;

/// Range, class and confidence.
type Hit = (usize, usize, Class, Confidence);

/// Letters and digits from a place on, as capitals, without what stands between them.
struct Compact {
    chars: [u8; MOST],
    ends: [usize; MOST],
    length: usize,
    /// One bit for each length at which a group ends.
    closed: u32,
}

impl Compact {
    fn read(text: Text<'_>, start: usize) -> Self {
        Self::parted(text, start, start, start)
    }

    /// What stands in `start..end`, and what begins at `body`.
    fn parted(text: Text<'_>, start: usize, end: usize, body: usize) -> Self {
        let mut compact = Self {
            chars: [0; MOST],
            ends: [0; MOST],
            length: 0,
            closed: 0,
        };
        for at in start..end {
            compact.push(text, at);
        }
        let mut at = body;
        loop {
            if alnum(text.at(at)) {
                if !compact.push(text, at) {
                    return compact;
                }
                at = at.saturating_add(1);
                continue;
            }
            // `BE (0)468…`
            let bracketed = text.at(at) == b')' && compact.chars.starts_with(b"BE");
            let sign = match bracketed && compact.length == 3 {
                true => 1,
                false => separator(text, at),
            };
            let next = at.saturating_add(sign);
            if next == at || !alnum(text.at(next)) {
                return compact;
            }
            at = next;
        }
    }

    fn push(&mut self, text: Text<'_>, at: usize) -> bool {
        let end = at.saturating_add(1);
        let (Some(slot), Some(slot_end)) = (
            self.chars.get_mut(self.length),
            self.ends.get_mut(self.length),
        ) else {
            return false;
        };
        *slot = text.at(at).to_ascii_uppercase();
        *slot_end = end;
        self.length = self.length.saturating_add(1);
        if !alnum(text.at(end)) {
            self.closed |= bit(self.length);
        }
        true
    }

    /// The first so many characters, if a group ends with them, and where that is.
    fn first(&self, length: usize) -> Option<(&[u8], usize)> {
        let closed = length <= self.length && self.closed & bit(length) != 0;
        let end = *self.ends.get(length.checked_sub(1)?)?;
        let chars = self.chars.get(..length)?;
        closed.then_some((chars, end))
    }
}

fn bit(length: usize) -> u32 {
    let shift = u32::try_from(length).unwrap_or(u32::BITS);
    1_u32.checked_shl(shift).unwrap_or(0)
}

/// Bytes of the separator that stands here.
fn separator(text: Text<'_>, at: usize) -> usize {
    match text.at(at) {
        b' ' | b'-' | b'.' => 1,
        0xc2 if text.at(at.saturating_add(1)) == 0xa0 => 2,
        _ => 0,
    }
}

/// Where the letters begin that end before the separator before `at`; there are at most `most` of them.
fn letters_before(text: Text<'_>, at: usize, most: usize) -> Option<usize> {
    let end = match (text.before(at), at.checked_sub(2)) {
        (b' ' | b'-' | b'.', _) => at.saturating_sub(1),
        (0xa0, Some(two)) if text.at(two) == 0xc2 => two,
        _ => return None,
    };
    let start = text.run_back(end, most.saturating_add(1), |b| b.is_ascii_alphabetic());
    let letters = end.saturating_sub(start);
    ((1..=most).contains(&letters) && !alnum(text.before(start))).then_some(start)
}

/// The id of which a word with a digit begins at `from`, the first that has one.
pub(super) fn spread(
    text: Text<'_>,
    from: usize,
    said: &mut dyn FnMut(usize, usize) -> Said,
) -> Option<Hit> {
    if let Some(hit) = account::account(text, from, said) {
        return Some(hit);
    }
    if let Some(start) = letters_before(text, from, 3) {
        let hit = match letters(text, start) {
            1 => dni(text, start, from).or_else(|| nie(text, start, said)),
            2 => nino(text, start, said).or_else(|| vat_number(text, start, said)),
            _ => fiscal_code(text, start).or_else(|| vat_number(text, start, said)),
        };
        if hit.is_some() {
            return hit;
        }
    }
    if let Some(hit) = vat_apart(text, from, said) {
        return Some(hit);
    }
    if text.at(from).is_ascii_alphabetic() {
        let country = text.at(from.saturating_add(1)).is_ascii_alphabetic()
            && text.at(from.saturating_add(2)).is_ascii_digit();
        if !country {
            return None;
        }
        return nino(text, from, said).or_else(|| vat_number(text, from, said));
    }
    dni(text, from, from).or_else(|| corsican(text, from))
}

fn letters(text: Text<'_>, start: usize) -> usize {
    text.run(start, 4, |b| b.is_ascii_alphabetic())
        .saturating_sub(start)
}

/// With dots, and with the letter behind them, or before them as foreigners have it.
fn dni(text: Text<'_>, start: usize, digits: usize) -> Option<Hit> {
    let first = text.run(digits, 3, |b| b.is_ascii_digit());
    if text.at(first) != b'.' {
        return None;
    }
    let compact = Compact::read(text, start);
    let (id, end) = compact.first(9)?;
    national::es_dni(id).then_some((start, end, Class::EsDni, Confidence::High))
}

/// `X-1234567L`: a foreigner's. In small letters only where its name stands by it.
fn nie(text: Text<'_>, start: usize, said: &mut dyn FnMut(usize, usize) -> Said) -> Option<Hit> {
    if !matches!(text.at(start) | 0x20, b'x' | b'y' | b'z') {
        return None;
    }
    let compact = Compact::read(text, start);
    let (_, end) = compact.first(9).filter(|(id, _)| national::es_dni(id))?;
    // `X 1234567 L` is much else.
    let likely = text.at(start).is_ascii_uppercase() && !text.bytes(start, end).contains(&b' ');
    let said = said(start, end);
    let sure = match said.speaks_for(Class::EsDni) {
        true => Confidence::High,
        false if likely && !said.speaks_against(Class::EsDni) => Confidence::Medium,
        false => return None,
    };
    Some((start, end, Class::EsDni, sure))
}

/// A man or a woman, born on the island: `1` or `2`, and blanks from there on.
fn corsican(text: Text<'_>, start: usize) -> Option<Hit> {
    let alone =
        matches!(text.at(start), b'1' | b'2') && separator(text, start.saturating_add(1)) > 0;
    if !alone {
        return None;
    }
    let compact = Compact::read(text, start);
    let (id, end) = compact.first(15)?;
    national::fr_nir_corsican(id).then_some((start, end, Class::FrNir, Confidence::High))
}

/// Two letters, six digits, a letter. In small letters only where its name stands by it.
fn nino(text: Text<'_>, start: usize, said: &mut dyn FnMut(usize, usize) -> Said) -> Option<Hit> {
    let compact = Compact::read(text, start);
    let (id, end) = compact.first(9)?;
    if !national::is_like_nino(id) {
        return None;
    }
    let capitals = text.at(start).is_ascii_uppercase();
    let issued = national::uk_nino(id);
    let context = said(start, end);
    let sure = match (issued && capitals, context.speaks_for(Class::UkNino)) {
        (true, _) if context.speaks_against(Class::UkNino) => return None,
        (true, _) => Confidence::High,
        (false, true) => Confidence::Medium,
        (false, false) => return None,
    };
    Some((start, end, Class::UkNino, sure))
}

/// The second three letters begin at `second`.
fn fiscal_code(text: Text<'_>, second: usize) -> Option<Hit> {
    let start = letters_before(text, second, 3)?;
    let compact = Compact::read(text, start);
    let (id, end) = compact.first(16)?;
    national::it_codice_fiscale(id).then_some((
        start,
        end,
        Class::ItCodiceFiscale,
        Confidence::High,
    ))
}

/// Where a VAT number ends, and how sure its form is: by check digits, else by its length. Digits in groups make several
/// lengths; of what has no check digits, the shortest that is nearly as long as such numbers are.
fn vat_end(compact: &Compact) -> Option<(usize, Confidence)> {
    let fits = |length: usize| {
        let (id, end) = compact.first(length)?;
        Some((end, vat::vat(id)?))
    };
    let checked = |length: usize| fits(length).filter(|(_, sure)| *sure == Confidence::Medium);
    (10..=14)
        .find_map(checked)
        .or_else(|| (9..=14).find_map(fits))
        .or_else(|| fits(8))
}

/// Whether digits are written as a date is, or as nobody writes those of a VAT number: `HU 2024-03-31`.
fn is_otherwise_written(text: Text<'_>, digits: usize, end: usize) -> bool {
    text.bytes(digits, end).contains(&b'-') || birth::date(text, digits).is_some()
}

/// With its country before it. In small letters, or behind a dash, only where its name stands by it: `de` is a word. So
/// also where no check digits are known.
fn vat_number(
    text: Text<'_>,
    start: usize,
    said: &mut dyn FnMut(usize, usize) -> Said,
) -> Option<Hit> {
    let (end, form) = vat_end(&Compact::read(text, start))?;
    let country = text.bytes(start, start.saturating_add(2));
    let capitals = country.iter().all(u8::is_ascii_uppercase);
    let plain = capitals && !text.bytes(start, end).contains(&b'-');
    let checked = form == Confidence::Medium;
    if !checked && !capitals {
        return None;
    }
    let digits = text.run(start, 4, |b| !b.is_ascii_digit());
    if !checked && is_otherwise_written(text, digits, end) {
        return None;
    }
    let said = said(start, end);
    let sure = match said.speaks_for(Class::EuVat) {
        true if checked => Confidence::High,
        true => Confidence::Medium,
        false if checked && plain && !said.speaks_against(Class::EuVat) => Confidence::Medium,
        false => return None,
    };
    Some((start, end, Class::EuVat, sure))
}

/// With signs between the country and the number, or in front of its last letters: `DE - 113866163`, `IT: 00743110157`,
/// `BE (0)468.561.072`, `ES B-58378431`. Only where its name stands by it.
fn vat_apart(
    text: Text<'_>,
    from: usize,
    said: &mut dyn FnMut(usize, usize) -> Said,
) -> Option<Hit> {
    let gap = |b: u8| matches!(b, b' ' | b'-' | b'.' | b':' | b'(');
    if !gap(text.before(from)) {
        return None;
    }
    // Letters of the number, which may stand apart from its digits.
    let own = text.run_back(from, 1, |b| matches!(b, b' ' | b'-'));
    let own = text.run_back(own, 2, |b| b.is_ascii_uppercase());
    for body in [from, own] {
        let country_end = text.run_back(body, 3, gap);
        let start = text.run_back(country_end, 3, |b| b.is_ascii_uppercase());
        let country = country_end.saturating_sub(start) == 2 && country_end < body;
        if !country || alnum(text.before(start)) {
            continue;
        }
        let compact = Compact::parted(text, start, country_end, body);
        if let Some((end, form)) = vat_end(&compact)
            && said(start, end).speaks_for(Class::EuVat)
        {
            let checked = form == Confidence::Medium;
            if !checked && is_otherwise_written(text, from, end) {
                continue;
            }
            let sure = if checked {
                Confidence::High
            } else {
                Confidence::Medium
            };
            return Some((start, end, Class::EuVat, sure));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::context::Ear;
    use super::*;

    fn found(text: &str) -> Option<(&str, Class)> {
        let whole = Text { text, key: "" };
        let starts = |at: &usize| {
            alnum(whole.at(*at)) && !alnum(whole.before(*at)) && {
                let end = whole.run(*at, text.len(), alnum);
                whole.bytes(*at, end).iter().any(u8::is_ascii_digit)
            }
        };
        (0..text.len()).filter(starts).find_map(|at| {
            let mut ear = Ear::new(whole);
            let (start, end, class, _) = spread(whole, at, &mut |a, b| ear.near(a, b))?;
            Some((&text[start..end], class))
        })
    }

    #[test]
    fn parts_are_put_together() {
        for (text, id, class) in [
            ("from DE 136 695 976 on", "DE 136 695 976", Class::EuVat),
            ("from BE 0428.759.497 on", "BE 0428.759.497", Class::EuVat),
            ("VAT no de136695976 on", "de136695976", Class::EuVat),
            ("from ATU 1358 5627 on", "ATU 1358 5627", Class::EuVat),
            ("VAT: RO 21996566 on", "RO 21996566", Class::EuVat),
            ("VAT: RO 185 472 90 on", "RO 185 472 90", Class::EuVat),
            ("VAT: IE 6433435F on", "IE 6433435F", Class::EuVat),
            ("VAT: ES B-58378431 on", "ES B-58378431", Class::EuVat),
            ("VAT: CZ 25123891 on", "CZ 25123891", Class::EuVat),
            ("VAT: DE - 136695976 on", "DE - 136695976", Class::EuVat),
            ("VAT IT: 00743110157 on", "IT: 00743110157", Class::EuVat),
            (
                "VAT: BE (0)428.759.497 on",
                "BE (0)428.759.497",
                Class::EuVat,
            ),
            ("NIE x-1234567l on", "x-1234567l", Class::EsDni),
            ("is X-1234567L on", "X-1234567L", Class::EsDni),
            ("is AB-12-34-56-C on", "AB-12-34-56-C", Class::UkNino),
            (
                "is AB\u{a0}12\u{a0}34\u{a0}56\u{a0}C on",
                "AB\u{a0}12\u{a0}34\u{a0}56\u{a0}C",
                Class::UkNino,
            ),
            (
                "national insurance ab123456c on",
                "ab123456c",
                Class::UkNino,
            ),
            ("is 12.345.678-Z on", "12.345.678-Z", Class::EsDni),
            ("is X-1.234.567-L on", "X-1.234.567-L", Class::EsDni),
            (
                "is RSS MRA 85T10 A562S on",
                "RSS MRA 85T10 A562S",
                Class::ItCodiceFiscale,
            ),
            (
                "is 1 85 05 2A 004 123 56 on",
                "1 85 05 2A 004 123 56",
                Class::FrNir,
            ),
        ] {
            assert_eq!(found(text), Some((id, class)), "{text}");
        }
    }

    #[test]
    fn what_is_nearly_one_is_none() {
        for text in [
            "from DE 136 695 975 on",
            "invoice DE 136 695 976 on",
            "le prix de 136 695 976 euros",
            "order ab123456c on",
            "from RO 21996566 on",
            "from DE - 136695976 on",
            "from IT: 00743110157 on",
            "VAT of 21 996 566 on",
            "VAT return HU 2024-03-31 on",
            "VAT return HU 31.03.2024 on",
            "size X 1234567 L on",
            "VAT ro 21996566 on",
            "VAT: US 21996566 on",
            "is x-1234567l on",
            "NIE x-1234567a on",
            "is AB-12-34-56-E on",
            "is 12.345.678-A on",
            "is RSS MRA 85T10 A562T on",
            "is 1 85 05 2A 004 123 57 on",
            "in 2024 we had 12 or 13",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}

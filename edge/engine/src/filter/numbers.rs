//! Numbers and words with digits in them: what each of them may be, the surest first.

use super::context::{self, Ear, Said};
use super::number::Number;
use super::phone::Regions;
use super::scan::Found;
use super::text::{Text, alnum};
use super::{birth, crypto, national, network, payment, phone, spread, vat, version};
use proctor_model::content::{Confidence, ContentClass as Class};

/// What has no four digits within so many bytes is no number that is looked for; the longest way to write four is a date
/// in words.
const LONE_WITHIN: usize = 40;

/// Words with digits that are shorter have nothing to do with numbers if no other digits are near, in bytes.
const SHORT: usize = 8;

/// Longest whole part of a decimal that is looked at, in digits.
const WHOLE_DIGITS_MAX: usize = 24;

/// Longest word that may be joined to a number, and longest number that it may be joined to, in characters.
const GLUED_MAX: usize = 20;

/// Numbers and ids with digits in them, from the beginning of a text to its end.
pub(super) struct Numbers<'t> {
    pub(super) text: Text<'t>,
    regions: &'t Regions,
    /// What lies before was looked at.
    pub(super) after: usize,
    /// For the words around a place.
    ear: Ear<'t>,
}

impl<'t> Numbers<'t> {
    pub(super) fn new(text: Text<'t>, regions: &'t Regions) -> Self {
        Self {
            text,
            regions,
            after: 0,
            ear: Ear::new(text),
        }
    }
}

impl Numbers<'_> {
    /// What words say near a place.
    pub(super) fn said(&mut self, start: usize, end: usize) -> Said {
        self.ear.near(start, end)
    }

    /// Everything in a run of letters, digits and what joins them.
    pub(super) fn in_run(&mut self, start: usize, end: usize, found: &mut Found<'_>) {
        let mut at = start;
        while at < end {
            let from = at;
            let bytes = self.text.bytes(from, end).iter();
            let (mut length, mut digits) = (0_usize, 0_usize);
            for b in bytes.take_while(|b| alnum(**b)) {
                length = length.saturating_add(1);
                digits = digits.saturating_add(b.is_ascii_digit().into());
            }
            let to = from.saturating_add(length);
            // Of a time, or of a machine's address, which was found by its colons.
            let in_colons = length <= 4
                && self.text.at(to) == b':'
                && self.text.at(to.saturating_add(1)).is_ascii_hexdigit();
            if digits > 0 && !in_colons && from >= self.after {
                let taken = if digits == length {
                    self.number(from, to, found)
                } else {
                    self.mixed(from, to, found)
                };
                self.after = taken.unwrap_or(self.after);
            }
            at = to.max(from.saturating_add(1));
        }
    }

    /// A word of letters and digits.
    fn mixed(&mut self, from: usize, to: usize, found: &mut Found<'_>) -> Option<usize> {
        let text = self.text;
        let word = text.slice(from, to);
        let bytes = word.as_bytes();
        // `q3`, `x86`: of what has so few digits near only the address of a card is written with dots.
        let dotted = text.at(to) == b'.' || text.before(from) == b'.';
        if bytes.len() < SHORT && !dotted && self.is_lone(from) {
            return None;
        }
        // `1.23456789e-05`
        if bytes.first().is_some_and(u8::is_ascii_digit) && self.is_fraction(from) {
            return None;
        }
        if let Some(end) = self.iban(from) {
            found(from, end, Class::Iban, Confidence::High);
            return Some(end);
        }
        let id = match bytes.len() {
            16 => it(word).then_some((Class::ItCodiceFiscale, Confidence::High)),
            15 if national::fr_nir_corsican(bytes) => Some((Class::FrNir, Confidence::High)),
            9 => self.nino(bytes, from, to).map(|sure| (Class::UkNino, sure)),
            14 | 17..=crypto::WORD_MAX if crypto::address(word) => {
                Some((Class::CryptoAddress, Confidence::High))
            }
            12 if network::mac(&dashes(word), '-')
                && self.said(from, to).speaks_for(Class::MacAddress) =>
            {
                Some((Class::MacAddress, Confidence::Medium))
            }
            _ => None,
        };
        let dni = bytes.len() == 9 && national::es_dni(&upper(bytes));
        let dni = dni && id.is_none() && !self.said(from, to).speaks_against(Class::EsDni);
        let id = id.or(dni.then_some((Class::EsDni, Confidence::Medium)));
        if let Some((class, sure)) = id {
            found(from, to, class, sure);
            return Some(to);
        }
        let taken = self.mac(from, found);
        if let Some(end) = taken.or_else(|| self.spread(from, found)) {
            return Some(end);
        }
        if (8..=14).contains(&bytes.len())
            && let Some(sure) = vat::vat(bytes)
        {
            let said = self.said(from, to);
            let sure = if said.speaks_for(Class::EuVat) {
                Confidence::High
            } else {
                sure
            };
            if sure > Confidence::Low && !said.speaks_against(Class::EuVat) {
                found(from, to, Class::EuVat, sure);
                return Some(to);
            }
        }
        self.suffixed(from, to, found)
            .or_else(|| self.birth(from, found))
            .or_else(|| self.glued(from, to, found))
    }

    /// A number whose last digits a letter follows at once.
    fn suffixed(&mut self, from: usize, to: usize, found: &mut Found<'_>) -> Option<usize> {
        let text = self.text;
        // An extension: `5551234x99`.
        let digits = text.run(from, 20, |b| b.is_ascii_digit());
        let extended = matches!(text.at(digits), b'x' | b'X')
            && text
                .bytes(digits.saturating_add(1), to)
                .iter()
                .all(u8::is_ascii_digit);
        if extended && digits > from {
            return self.phone(from, found);
        }
        None
    }

    /// `x4111111111111111`: a card number and a letter that is joined to it, or a word that says what it is. Not one of
    /// fewer than fifteen digits: too many of those are something else.
    fn glued(&mut self, from: usize, to: usize, found: &mut Found<'_>) -> Option<usize> {
        let text = self.text;
        let start = text.run(from, GLUED_MAX, |b| b.is_ascii_alphabetic());
        let end = text.run(start, GLUED_MAX, |b| b.is_ascii_digit());
        let behind = text.run(end, GLUED_MAX, |b| b.is_ascii_alphabetic());
        let (before, behind) = (start.saturating_sub(from), behind.saturating_sub(end));
        if end == start || end.saturating_add(behind) != to {
            return None;
        }
        let digits = text.bytes(start, end);
        let whole = (15..=19).contains(&digits.len()) && payment::card(digits);
        let number = Number::read(text, start);
        let grouped =
            behind == 0 && digits.len() < 12 && (15..=19).any(|digits| number.may_have(digits));
        if !whole && !grouped {
            return None;
        }
        let said = self.said(start, end);
        let known = said.speaks_for(Class::PaymentCard);
        if !known && (before > 1 || behind > 1) {
            return None;
        }
        if grouped {
            return self.card(start, &number, found);
        }
        let sure = match known {
            true => Confidence::High,
            false if said.speaks_against(Class::PaymentCard) => Confidence::Low,
            false => Confidence::Medium,
        };
        found(start, end, Class::PaymentCard, sure);
        Some(to)
    }

    /// Digits, and further groups of digits behind.
    fn number(&mut self, from: usize, to: usize, found: &mut Found<'_>) -> Option<usize> {
        let text = self.text;
        if self.is_lone(from) || self.is_alone(from, to) {
            return None;
        }
        let number = Number::read(text, from);
        // Digits that follow behind a dot are a part of it, behind another sign they are none: `10.0.0.0/24`.
        let groups = number.lens().len();
        let four = groups == 4 || (groups > 4 && number.separator_at(3) != b'.');
        if number.separator(4) == Some(b'.') && four {
            let (_, end) = number.first(4)?;
            if network::ipv4(text.slice(from, end)) {
                return self.ipv4(from, end, found);
            }
        }
        if let Some(end) = self.spread(from, found) {
            return Some(end);
        }
        if let Some(end) = self.birth(from, found) {
            return Some(end);
        }
        if let Some(end) = self.card(from, &number, found) {
            return Some(end);
        }
        if let Some(end) = self.id(from, &number, found) {
            return Some(end);
        }
        if let Some((start, end, class, sure)) = self.apart(from, to) {
            found(start, end, class, sure);
            return Some(end);
        }
        self.mac(from, found).or_else(|| self.phone(from, found))
    }

    /// Whether so few digits stand here that they are nothing: not even an IPv4 address or a date. The commonest numbers.
    fn is_lone(&self, from: usize) -> bool {
        let near = self.text.bytes(from, from.saturating_add(LONE_WITHIN));
        // What is looked for has no quotation mark inside: in JSON most numbers are soon known to be alone.
        let length = memchr::memchr(b'"', near).unwrap_or(near.len());
        let near = near.get(..length).unwrap_or_default();
        // A byte counts them all: no register is wider than it has to be.
        let digits = near.iter().fold(0_u8, |digits, b| {
            digits.wrapping_add(b.is_ascii_digit().into())
        });
        digits < 4 && self.text.at(from.saturating_add(2)) != b'-'
    }

    /// Whether three to six digits have nothing beside them that another part of a number could be joined by: `1482,`.
    /// Nothing that is looked for is so short.
    fn is_alone(&self, from: usize, to: usize) -> bool {
        let joins = |b: u8| {
            alnum(b) || matches!(b, b' ' | b'-' | b'.' | b'/' | b'(' | b')' | b'+') || b >= 0x80
        };
        let few = (3..=6).contains(&to.saturating_sub(from));
        few && !joins(self.text.at(to)) && self.text.before(from) != b'.'
    }

    /// Whether the digits at `from` stand behind a decimal point: of random ones, every fiftieth row of sixteen is a card
    /// number by its form. Behind a comma only if a lone zero stands before it: in tables it parts columns.
    pub(super) fn is_fraction(&self, from: usize) -> bool {
        let text = self.text;
        let Some(point) = from.checked_sub(1) else {
            return false;
        };
        if !matches!(text.at(point), b'.' | b',') || !text.before(point).is_ascii_digit() {
            return false;
        }
        let whole = text.run_back(point, WHOLE_DIGITS_MAX, |b| b.is_ascii_digit());
        let outside = text.before(whole);
        let columns =
            text.at(point) == b',' && (outside == b',' || text.bytes(whole, point) != b"0");
        !alnum(outside) && !columns
    }

    fn ipv4(&mut self, from: usize, end: usize, found: &mut Found<'_>) -> Option<usize> {
        let text = self.text;
        let joined = matches!(text.before(from), b'.' | b'v' | b'V' | b'_')
            || (text.at(end) == b'.' && text.at(end.saturating_add(1)).is_ascii_digit());
        let said = self.said(from, end);
        let called = said.speaks_for(Class::IpAddress);
        let other = version::is_version(text, from, end, called)
            || (!called && network::is_object_id(text.slice(from, end)));
        if joined || other {
            return Some(end);
        }
        let sure = match said.speaks_against(Class::IpAddress) {
            true => Confidence::Low,
            false => Confidence::High,
        };
        found(from, end, Class::IpAddress, sure);
        Some(end)
    }

    fn birth(&mut self, from: usize, found: &mut Found<'_>) -> Option<usize> {
        let (start, end) = birth::date(self.text, from)?;
        if self.said(start, end).speaks_for(Class::DateOfBirth) {
            found(start, end, Class::DateOfBirth, Confidence::High);
            return Some(end);
        }
        // Of no birth: it is passed over, but for what could be a telephone number in pairs.
        let pairs = Number::read(self.text, from).lens() == [2, 2, 2, 2, 2];
        (!pairs).then_some(end)
    }

    fn card(&mut self, from: usize, number: &Number, found: &mut Found<'_>) -> Option<usize> {
        if !(12..=19).any(|digits| number.may_have(digits)) {
            return None;
        }
        let bounded = |end: usize| {
            let goes_on =
                self.text.at(end) == b'-' && self.text.at(end.saturating_add(1)).is_ascii_digit();
            !alnum(self.text.at(end)) && !goes_on
        };
        let whole = number.first(1).filter(|(digits, end)| {
            (12..=19).contains(&digits.len())
                && bounded(*end)
                && payment::card(digits)
                && !self.is_fraction(from)
        });
        let grouped = || {
            payment::CARD_LAYOUTS.iter().find_map(|layout| {
                let (digits, end) = number.first(layout.len())?;
                // People mix them: `4111-1111 1111-1111`.
                let uniform = (1..layout.len()).all(|group| {
                    let between = number.separator_at(group.saturating_sub(1));
                    matches!(between, b' ' | b'-' | b'.' | 0xc2)
                });
                let fits = number.lens().starts_with(layout);
                (fits && uniform && !alnum(self.text.at(end)) && payment::card(digits))
                    .then_some((end, Confidence::High))
            })
        };
        let rare =
            |(digits, _): (&[u8], usize)| payment::is_article(digits) || payment::is_rare(digits);
        let rare = whole.is_some_and(rare);
        let (end, sure) = whole
            .map(|(_, end)| (end, Confidence::Medium))
            .or_else(grouped)?;
        let said = self.said(from, end);
        if said.speaks_for(Class::InAadhaar) && number.first(1).is_some_and(|(d, _)| d.len() == 12)
        {
            return None;
        }
        let sure = match sure {
            _ if said.speaks_for(Class::PaymentCard) => Confidence::High,
            Confidence::Medium if rare || said.speaks_against(Class::PaymentCard) => {
                Confidence::Low
            }
            sure => sure,
        };
        found(from, end, Class::PaymentCard, sure);
        Some(end)
    }

    fn phone(&mut self, from: usize, found: &mut Found<'_>) -> Option<usize> {
        let text = self.text;
        let before = text.before(from);
        let code = text.run(from, 4, |b| b.is_ascii_digit());
        let start = match before {
            b'+' => from.saturating_sub(1),
            b'(' if text.before(from.saturating_sub(1)) == b'+' => from.saturating_sub(2),
            b'(' => from.saturating_sub(1),
            _ => from,
        };
        let start = match text.before(start) {
            b'+' if text.at(start) == b'(' => start.saturating_sub(1),
            // `(+44) 20 7946 0958`, but not what stands in brackets as a whole.
            b'(' if text.at(start) == b'+' && text.at(code) == b')' => start.saturating_sub(1),
            _ => start,
        };
        let outside = text.before(start);
        let decimal = start == from && text.bytes(from, from.saturating_add(2)) == b"0.";
        // `47.6205,-122.3493`: the second of a place's two.
        let coordinate = outside == b'-'
            && text.before(start.saturating_sub(1)) == b','
            && text.at(code) == b'.';
        // Part of a word, a decimal, a path, an amount.
        if decimal
            || coordinate
            || alnum(outside)
            || matches!(outside, b'.' | b'/' | b'$' | b'_' | b'#')
            || (outside == b'-' && alnum(text.before(start.saturating_sub(1))))
        {
            return None;
        }
        let regions = self.regions;
        let (end, sure) = phone::phone(text, start, regions, &mut |end| self.said(start, end))?;
        let next = text.at(end.saturating_add(1));
        // `…-Office` says whose it is, `…-A7` that it goes on.
        let labelled = text.at(end) == b'-'
            && next.is_ascii_alphabetic()
            && context::at(text, end.saturating_add(1)).speaks_for(Class::Phone);
        let goes_on = matches!(text.at(end), b'-' | b'/' | b'_' | b'%') && alnum(next);
        if alnum(text.at(end)) || (goes_on && !labelled) {
            return None;
        }
        found(start, end, Class::Phone, sure);
        (sure > Confidence::Low).then_some(end)
    }

    fn spread(&mut self, from: usize, found: &mut Found<'_>) -> Option<usize> {
        let text = self.text;
        let (start, end, class, sure) =
            spread::spread(text, from, &mut |start, end| self.said(start, end))?;
        found(start, end, class, sure);
        Some(end)
    }

    /// The address of a network card that is not written with colons, one of whose parts begins at `from`.
    fn mac(&self, from: usize, found: &mut Found<'_>) -> Option<usize> {
        let dashed = self.mac_with_dashes(from).map(|end| (from, end));
        let (start, end) = dashed.or_else(|| network::dots(self.text, from))?;
        found(start, end, Class::MacAddress, Confidence::High);
        Some(end)
    }

    /// `00-1B-44-11-3A-B7`
    fn mac_with_dashes(&self, from: usize) -> Option<usize> {
        let end = from.saturating_add(17);
        let bounded = !alnum(self.text.at(end))
            && self.text.at(end) != b'-'
            && self.text.before(from) != b'-';
        (self.text.at(from.saturating_add(2)) == b'-'
            && bounded
            && network::mac(self.text.slice(from, end), '-'))
        .then_some(end)
    }
}

fn upper(bytes: &[u8]) -> Vec<u8> {
    bytes.to_ascii_uppercase()
}

fn it(word: &str) -> bool {
    national::it_codice_fiscale(&word.to_ascii_uppercase().into_bytes())
}

/// Twelve hexadecimal digits as pairs with dashes.
fn dashes(word: &str) -> String {
    let pairs: Vec<String> = word
        .as_bytes()
        .chunks(2)
        .map(|pair| String::from_utf8_lossy(pair).into_owned())
        .collect();
    pairs.join("-")
}

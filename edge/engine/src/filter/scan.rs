//! One pass over a plain text: signs that a match may be near, then what stands around them.
//!
//! The time is linear: each sign is looked at with bounded look-ahead and look-back, and what was found is not
//! looked at again.

use super::context::{self, Ear, Said};
use super::national::{BRAZILIAN, IDS};
use super::number::Number;
use super::phone::Regions;
use super::runs::{LONG, runs};
use super::text::{Text, alnum};
use super::{
    assigned, birth, crypto, email, entries, jwk, mrz, named, national, network, options, pairs,
    parted, payment, phone, provider, spread, told, vat,
};
use memchr::memmem::Finder;
use memchr::{memchr_iter, memchr2_iter};
use proctor_model::content::{Confidence, ContentClass as Class};
use std::sync::LazyLock;

/// What has no four digits within so many bytes is no number that is looked for; the longest way to write four is a date
/// in words.
const LONE_WITHIN: usize = 40;

/// Longest whole part of a decimal that is looked at, in digits.
const WHOLE_DIGITS_MAX: usize = 24;

/// Longest word that may be joined to a number, and longest number that it may be joined to, in characters.
const GLUED_MAX: usize = 20;

static ARMOUR: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("-----BEGIN "));
static ARMOURS: LazyLock<[(Finder<'_>, &str); 2]> =
    LazyLock::new(|| provider::ARMOURS.map(|(first, last)| (Finder::new(first), last)));
static FILLERS: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("<<"));
static ESCAPED_FILLERS: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("&lt;&lt;"));

/// Told of each match: range, class, confidence.
pub(super) type Found<'f> = dyn FnMut(usize, usize, Class, Confidence) + 'f;

/// Everything the built-in classes find in a plain text. Matches may overlap.
pub(super) fn scan(text: Text<'_>, regions: &Regions, found: &mut Found<'_>) {
    let bytes = text.text.as_bytes();
    for at in memchr_iter(b'@', bytes) {
        if let Some((start, end)) = email::address(text, at) {
            found(start, end, Class::Email, Confidence::High);
        }
    }
    signs(text, found);
    options::options(text, found);
    if let Some((start, end, class, sure)) = jwk::keyed(text) {
        found(start, end, class, sure);
    }
    if let Some((start, end, class, sure)) = assigned::keyed(text).or_else(|| named::keyed(text)) {
        found(start, end, class, sure);
    }
    let mut after = 0;
    for at in ARMOUR.find_iter(bytes) {
        if at >= after
            && let Some(end) = provider::pem(text, at)
        {
            found(at, end, Class::PrivateKey, Confidence::High);
            after = end;
        }
    }
    for (first, last) in ARMOURS.iter() {
        let mut after = 0;
        for at in first.find_iter(bytes) {
            if at >= after
                && let Some(end) = provider::armoured(text, at, last)
            {
                found(at, end, Class::PrivateKey, Confidence::High);
                after = end;
            }
        }
    }
    let mut after = 0;
    for at in FILLERS.find_iter(bytes) {
        if at >= after {
            // A row of fillers is looked at once.
            after = text.run(at, 46, |b| b == b'<');
            if let Some((start, end)) = mrz::zone(text, at) {
                found(start, end, Class::PassportMrz, Confidence::High);
                after = end;
            }
        }
    }
    let mut after = 0;
    for at in ESCAPED_FILLERS.find_iter(bytes) {
        if at >= after {
            let (zone, line) = mrz::escaped(text, at);
            after = line;
            if let Some((start, end)) = zone {
                found(start, end, Class::PassportMrz, Confidence::High);
                after = after.max(end);
            }
        }
    }
    words(text, regions, found);
}

/// What stands around colons and equals signs: assignments, URLs with passwords, addresses of machines.
fn signs(text: Text<'_>, found: &mut Found<'_>) {
    let mut after = 0;
    let mut hex_after = 0;
    for at in memchr2_iter(b':', b'=', text.text.as_bytes()) {
        if at >= after
            && let Some((start, end, class, sure)) = assigned::assigned(text, at)
                .or_else(|| named::named(text, at))
                .or_else(|| entries::entry(text, at))
                .or_else(|| jwk::member(text, at))
                .or_else(|| pairs::pair(text, at))
        {
            found(start, end, class, sure);
            after = end;
        }
        if text.at(at) != b':' {
            continue;
        }
        if text.from(at).starts_with("://")
            && let Some((start, end, sure)) = assigned::url(text, at)
        {
            found(start, end, Class::UrlCredentials, sure);
        }
        let beside = text.before(at).is_ascii_hexdigit()
            || text.before(at) == b':'
            || at == 0
            || text.at(at.saturating_add(1)) == b':';
        if at >= hex_after && beside {
            hex_after = text.run(at, 46, |b| b.is_ascii_hexdigit() || b == b':');
            if let Some((start, end, mac)) = network::colons(text, at) {
                let class = if mac {
                    Class::MacAddress
                } else {
                    Class::IpAddress
                };
                found(start, end, class, Confidence::High);
            }
        }
    }
}

/// Runs of letters, digits and what joins them: long ones may be keys, ones with digits numbers and ids.
fn words(text: Text<'_>, regions: &Regions, found: &mut Found<'_>) {
    let mut numbers = Numbers {
        text,
        regions,
        after: 0,
        ear: Ear::new(text),
    };
    runs(text.text.as_bytes(), |start, end| {
        let run = text.bytes(start, end);
        if run.len() >= LONG && run.iter().any(u8::is_ascii_alphabetic) {
            if let Some((from, to, class, sure)) = parted::hexes(text, start, end) {
                found(from, to, class, sure);
            }
            let mut after = 0;
            provider::keys(text, start, end, &mut |from, to, class, sure| {
                found(from, to, class, sure);
                after = after.max(to);
            });
            numbers.after = numbers.after.max(after);
        }
        if run.iter().any(u8::is_ascii_digit) {
            if let Some((from, to, class, sure)) = told::told(text, start, end) {
                found(from, to, class, sure);
            }
            numbers.in_run(start, end, found);
        }
    });
}

/// Numbers and ids with digits in them.
struct Numbers<'t> {
    text: Text<'t>,
    regions: &'t Regions,
    /// What lies before was looked at.
    after: usize,
    /// For the words around a place.
    ear: Ear<'t>,
}

impl Numbers<'_> {
    fn said(&mut self, start: usize, end: usize) -> Said {
        self.ear.near(start, end)
    }

    fn in_run(&mut self, start: usize, end: usize, found: &mut Found<'_>) {
        let mut at = start;
        while at < end {
            let from = at;
            let bytes = self.text.bytes(from, end);
            let length = bytes.iter().take_while(|b| alnum(**b)).count();
            let to = from.saturating_add(length);
            let has_digit = self.text.bytes(from, to).iter().any(u8::is_ascii_digit);
            // Of a time, or of a machine's address, which was found by its colons.
            let in_colons = length <= 4
                && self.text.at(to) == b':'
                && self.text.at(to.saturating_add(1)).is_ascii_hexdigit();
            if has_digit && !in_colons && from >= self.after {
                let all = self.text.bytes(from, to).iter().all(u8::is_ascii_digit);
                let taken = if all {
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
        if let Some(end) = self.mac_with_dashes(from) {
            found(from, end, Class::MacAddress, Confidence::High);
            return Some(end);
        }
        if let Some((start, end)) = network::dots(text, from) {
            found(start, end, Class::MacAddress, Confidence::High);
            return Some(end);
        }
        if let Some((start, end, class, sure)) =
            spread::spread(text, from, &mut |start, end| self.said(start, end))
        {
            found(start, end, class, sure);
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

    /// `12345678-Z`, `X-1234567-L`, `AB 12 34 56 C`: ids whose letters stand apart from their digits.
    fn apart(&mut self, from: usize, to: usize) -> Option<(usize, usize, Class, Confidence)> {
        let text = self.text;
        let mut id = [0_u8; 9];
        let digits = to.saturating_sub(from);
        if self.is_fraction(from) {
            return None;
        }
        if digits == 8 || digits == 7 {
            let letter_at = match text.at(to) {
                b'-' | b' ' => to.saturating_add(1),
                _ => to,
            };
            let letter = text.at(letter_at).to_ascii_uppercase();
            let lead = from
                .checked_sub(2)
                .filter(|_| digits == 7 && text.before(from) == b'-');
            let start = if digits == 8 { Some(from) } else { lead };
            let start = start?;
            if alnum(text.before(start)) || alnum(text.at(letter_at.saturating_add(1))) {
                return None;
            }
            let body = text.bytes(from, to);
            let first = (digits == 7).then(|| text.at(start).to_ascii_uppercase());
            let letters = first
                .into_iter()
                .chain(body.iter().copied())
                .chain([letter]);
            id.iter_mut().zip(letters).for_each(|(slot, b)| *slot = b);
            let end = letter_at.saturating_add(1);
            let fits = national::es_dni(&id) && !self.said(start, end).speaks_against(Class::EsDni);
            return fits.then_some((start, end, Class::EsDni, Confidence::High));
        }
        let blanks: &[usize] = match digits {
            2 => &[2, 5, 8, 11],
            6 => &[2, 9],
            _ => return None,
        };
        let start = from.checked_sub(3).filter(|_| text.before(from) == b' ')?;
        let end = start.saturating_add(9).saturating_add(blanks.len());
        let written = text.bytes(start, end);
        let compact = written.iter().filter(|b| **b != b' ').copied();
        id.iter_mut().zip(compact).for_each(|(slot, b)| *slot = b);
        let fits = blanks.iter().all(|at| written.get(*at) == Some(&b' '));
        if !fits || alnum(text.before(start)) || alnum(text.at(end)) {
            return None;
        }
        let sure = self.nino(&id, start, end)?;
        Some((start, end, Class::UkNino, sure))
    }

    /// How sure nine characters are a National Insurance number: by the letters that are issued, or by its name.
    fn nino(&mut self, id: &[u8], start: usize, end: usize) -> Option<Confidence> {
        let issued = national::uk_nino(id);
        if !issued && !national::is_like_nino(id) {
            return None;
        }
        let said = self.said(start, end);
        match issued {
            true => (!said.speaks_against(Class::UkNino)).then_some(Confidence::High),
            false => said.speaks_for(Class::UkNino).then_some(Confidence::Medium),
        }
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
        if self.is_lone(from) {
            return None;
        }
        let number = Number::read(text, from);
        if number.separator(4) == Some(b'.') && number.lens().len() == 4 {
            let (_, end) = number.first(4)?;
            if network::ipv4(text.slice(from, end)) {
                return self.ipv4(from, end, found);
            }
        }
        if let Some((start, end, class, sure)) =
            spread::spread(text, from, &mut |start, end| self.said(start, end))
        {
            found(start, end, class, sure);
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
        if let Some(end) = self.mac_with_dashes(from) {
            found(from, end, Class::MacAddress, Confidence::High);
            return Some(end);
        }
        if let Some((start, end)) = network::dots(text, from) {
            found(start, end, Class::MacAddress, Confidence::High);
            return Some(end);
        }
        self.phone(from, found)
    }

    /// Whether so few digits stand here that they are nothing: not even an IPv4 address or a date. The commonest numbers.
    fn is_lone(&self, from: usize) -> bool {
        let near = self.text.bytes(from, from.saturating_add(LONE_WITHIN));
        // A byte counts them all: no register is wider than it has to be.
        let digits = near.iter().fold(0_u8, |digits, b| {
            digits.wrapping_add(b.is_ascii_digit().into())
        });
        digits < 4 && self.text.at(from.saturating_add(2)) != b'-'
    }

    /// Whether the digits at `from` stand behind a decimal point: of random ones, every fiftieth row of sixteen is a card
    /// number by its form. Behind a comma only if a lone zero stands before it: in tables it parts columns.
    fn is_fraction(&self, from: usize) -> bool {
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
        let other =
            network::is_version(text, from, end) || (!called && network::is_other(text, from, end));
        if joined || other || said.speaks_against(Class::IpAddress) {
            return Some(end);
        }
        found(from, end, Class::IpAddress, Confidence::High);
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
        let article = whole.is_some_and(|(digits, _)| payment::is_article(digits));
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
            Confidence::Medium if article || said.speaks_against(Class::PaymentCard) => {
                Confidence::Low
            }
            sure => sure,
        };
        found(from, end, Class::PaymentCard, sure);
        Some(end)
    }

    /// Of the states' ids that fit, the one that words speak for, else the one that is most sure.
    fn id(&mut self, from: usize, number: &Number, found: &mut Found<'_>) -> Option<usize> {
        let mut best: Option<(bool, Confidence, usize, Class)> = None;
        let fraction = self.is_fraction(from);
        for id in IDS.iter().filter(|id| number.may_have(id.digits)) {
            let plain = number
                .first(1)
                .filter(|(digits, _)| digits.len() == id.digits && !fraction)
                .map(|(digits, end)| (digits, end, id.plain));
            let grouped = id.layouts.iter().find_map(|(layout, separators)| {
                let uniform = separators.contains(&number.separator(layout.len())?);
                let (digits, end) = number.first(layout.len())?;
                (uniform && number.lens().starts_with(layout)).then_some((digits, end, id.grouped))
            });
            let brazilian = || {
                let (digits, end) = number.first(4)?;
                let dots = number.separator_at(0) == b'.'
                    && number.separator_at(1) == b'.'
                    && number.separator_at(2) == b'-';
                (id.class == Class::BrCpf && dots && number.lens().starts_with(BRAZILIAN))
                    .then_some((digits, end, id.grouped))
            };
            let in_one_run = plain.is_some();
            let Some((digits, end, sure)) = plain.or(grouped).or_else(brazilian) else {
                continue;
            };
            let goes_on = self.text.at(end) == b'-' && alnum(self.text.at(end.saturating_add(1)));
            let valid = (id.valid)(digits);
            if alnum(self.text.at(end)) || goes_on || !(valid || id.by_name) {
                continue;
            }
            let said = self.said(from, end);
            let spoken_for = said.speaks_for(id.class);
            let other =
                said.speaks_against(id.class) || (in_one_run && said.speaks_for(Class::Phone));
            let sure = match sure {
                _ if !valid && !spoken_for => continue,
                _ if !valid => Confidence::Medium,
                Confidence::Low if spoken_for => Confidence::Medium,
                _ if spoken_for => Confidence::High,
                _ if other => Confidence::Low,
                sure => sure,
            };
            let better =
                best.is_none_or(|(spoken, known, ..)| (spoken_for, sure) > (spoken, known));
            if better {
                best = Some((spoken_for, sure, end, id.class));
            }
        }
        let (_, sure, end, class) = best?;
        found(from, end, class, sure);
        // What is unsure may be something else as well.
        (sure > Confidence::Low).then_some(end)
    }

    fn phone(&mut self, from: usize, found: &mut Found<'_>) -> Option<usize> {
        let text = self.text;
        let before = text.before(from);
        let start = match before {
            b'+' => from.saturating_sub(1),
            b'(' if text.before(from.saturating_sub(1)) == b'+' => from.saturating_sub(2),
            b'(' => from.saturating_sub(1),
            _ => from,
        };
        let start = match text.before(start) {
            b'+' if text.at(start) == b'(' => start.saturating_sub(1),
            _ => start,
        };
        let outside = text.before(start);
        let decimal = start == from && text.bytes(from, from.saturating_add(2)) == b"0.";
        // Part of a word, a decimal, a path, an amount.
        if decimal
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

    /// The IBAN that begins with the word at `from`, in one run or in groups of four.
    fn iban(&self, from: usize) -> Option<usize> {
        let head = self.text.bytes(from, from.saturating_add(4));
        let [a, b, c, d] = head else { return None };
        if !a.is_ascii_alphabetic()
            || !b.is_ascii_alphabetic()
            || !c.is_ascii_digit()
            || !d.is_ascii_digit()
        {
            return None;
        }
        let mut compact = String::with_capacity(payment::IBAN_MAX);
        let mut ends = [0_usize; 12];
        let mut groups = 0_usize;
        let mut at = from;
        loop {
            let end = self
                .text
                .run(at, payment::IBAN_MAX.saturating_add(1), alnum);
            compact.push_str(&self.text.slice(at, end).to_ascii_uppercase());
            if compact.len() > payment::IBAN_MAX || end == at {
                break;
            }
            let Some(slot) = ends.get_mut(groups) else {
                break;
            };
            *slot = end;
            groups = groups.saturating_add(1);
            if compact.len() >= payment::IBAN_LEAST && payment::iban(&compact) {
                return Some(end);
            }
            at = match self.text.at(end) {
                b' ' | b'-' => end.saturating_add(1),
                0xc2 if self.text.at(end.saturating_add(1)) == 0xa0 => end.saturating_add(2),
                _ => break,
            };
        }
        None
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

//! One pass over a plain text: signs that a match may be near, then what stands around them.
//!
//! The time is linear: each sign is looked at with bounded look-ahead and look-back, and what was found is not
//! looked at again.

use super::numbers::Numbers;
use super::phone::Regions;
use super::runs::{LONG, runs};
use super::text::Text;
use super::{
    assigned, email, entries, jwk, mrz, named, network, options, pairs, parted, pem, provider,
    told, url,
};
use memchr::memmem::Finder;
use memchr::{memchr_iter, memchr2_iter};
use proctor_model::content::{Confidence, ContentClass as Class};
use std::sync::LazyLock;

static ARMOUR: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(pem::BEGIN));
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
            && let Some(end) = pem::pem(text, at)
        {
            found(at, end, Class::PrivateKey, Confidence::High);
            after = end;
        }
    }
    for (first, last) in ARMOURS.iter() {
        let mut after = 0;
        for at in first.find_iter(bytes) {
            if at >= after
                && let Some(end) = provider::armoured(text, at, first, last)
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
                .or_else(|| url::oracle(text, at))
        {
            found(start, end, class, sure);
            after = end;
        }
        if text.at(at) != b':' {
            continue;
        }
        if text.from(at).starts_with("://")
            && let Some((start, end, sure)) = url::url(text, at)
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
    let mut numbers = Numbers::new(text, regions);
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

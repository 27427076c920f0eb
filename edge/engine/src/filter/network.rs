//! Addresses of machines.

use super::context;
use super::text::{Text, alnum};
use proctor_model::content::ContentClass as Class;
use std::net::Ipv6Addr;

/// Whether four groups of digits with dots between are an IPv4 address that may say where somebody is.
pub(super) fn ipv4(written: &str) -> bool {
    let mut octets = [0_u8; 4];
    let mut parts = written.split('.');
    for octet in &mut octets {
        match parts.next().map(str::parse) {
            Some(Ok(value)) => *octet = value,
            _ => return false,
        }
    }
    let padded = written
        .split('.')
        .any(|part| part.len() > 1 && part.starts_with('0'));
    // The own machine, no address, and masks are nobody's.
    !padded && parts.next().is_none() && !matches!(octets, [0 | 127, ..] | [255, 255, ..])
}

/// Endings of files whose names have a version in them.
const PACKAGES: [&[u8]; 20] = [
    b"7z", b"apk", b"bz2", b"deb", b"dll", b"dmg", b"egg", b"exe", b"gem", b"gz", b"iso", b"jar",
    b"msi", b"nupkg", b"rpm", b"so", b"tar", b"tgz", b"whl", b"zip",
];

/// Whether four numbers are a version by what stands around them, whatever the words near them say: `Chrome/120.0.0.0`,
/// `pkg-1.2.3.4`, `1.2.3.4.tar.gz`.
pub(super) fn is_version(text: Text<'_>, start: usize, end: usize) -> bool {
    let ending = end.saturating_add(1);
    let ending = text.bytes(ending, text.run(ending, 8, alnum));
    (text.at(end) == b'.' && PACKAGES.contains(&ending)) || is_named(text, start, end)
}

/// Whether a word is joined to the numbers that names a product.
fn is_named(text: Text<'_>, start: usize, end: usize) -> bool {
    let Some(joint) = start.checked_sub(1) else {
        return false;
    };
    let word = text.run_back(joint, 32, |b| alnum(b) || b == b'-' || b == b'_');
    let last = text.run_back(joint, 32, alnum);
    let address = |at: usize| context::at(text, at).speaks_for(Class::IpAddress);
    if address(word) || address(last) {
        return false;
    }
    match text.at(joint) {
        b'-' => text.before(joint).is_ascii_alphabetic(),
        // In a path, behind the name of a host, and before a port it is an address.
        b'/' => {
            let outside = text.before(word);
            let begins =
                outside == 0 || outside.is_ascii_whitespace() || b"\"'(,;".contains(&outside);
            begins && text.at(word).is_ascii_uppercase() && text.at(end) != b':'
        }
        _ => false,
    }
}

/// Whether four numbers are more likely something else than an address where no word calls them one: a version that is
/// asked for (`==4.8.1.78`), an attribute or extension of X.509 (`2.5.4.3`).
pub(super) fn is_other(text: Text<'_>, start: usize, end: usize) -> bool {
    let sign = text.run_back(start, 2, |b| b == b' ');
    let compared =
        text.before(sign) == b'=' && b"=<>~!".contains(&text.before(sign.saturating_sub(1)));
    let written = text.slice(start, end);
    compared || written.starts_with("2.5.4.") || written.starts_with("2.5.29.")
}

/// The IPv6 or MAC address around a colon at `at`: its range, and whether it is a MAC address.
pub(super) fn colons(text: Text<'_>, at: usize) -> Option<(usize, usize, bool)> {
    let part = |b: u8| b.is_ascii_hexdigit() || b == b':' || b == b'.';
    let start = text.run_back(at, 40, part);
    let mut end = text.run(at, 46, part);
    while matches!(text.before(end), b'.' | b':') && !text.slice(start, end).ends_with("::") {
        end = end.saturating_sub(1);
    }
    let joins = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80;
    if joins(text.before(start)) || joins(text.at(end)) {
        return None;
    }
    let written = text.slice(start, end);
    if mac(written, ':') {
        return Some((start, end, true));
    }
    // A name in a storage network (`50:06:01:60:47:20:1d:3a`): nobody fills the groups of an address up to two digits.
    if written.len() == 23 && written.split(':').all(|group| group.len() == 2) {
        return None;
    }
    let groups = written.split(':').filter(|group| !group.is_empty()).count();
    let digits = written.bytes().any(|b| b.is_ascii_digit());
    let address: Ipv6Addr = written.parse().ok()?;
    let own = address.is_loopback() || address.is_unspecified();
    let enough = groups >= 3 || (groups == 2 && is_short(written));
    (!own && enough && digits).then_some((start, end, false))
}

/// `2a00::1`, `fe80::1`, `2001:db8::`: two groups, of which the first is of the ranges that are in use. Names of code have
/// colons like these.
fn is_short(written: &str) -> bool {
    let first = written.split(':').next().unwrap_or_default();
    let lower = first.to_ascii_lowercase();
    let global = matches!(lower.as_bytes().first(), Some(b'2' | b'3'));
    let local = ["fe8", "fe9", "fea", "feb", "fc", "fd"]
        .iter()
        .any(|range| lower.starts_with(range));
    first.len() == 4 && written.contains("::") && (global || local)
}

/// `001b.4411.3ab7`, one of whose words begins at `at`: its range.
pub(super) fn dots(text: Text<'_>, at: usize) -> Option<(usize, usize)> {
    [0_usize, 5, 10].into_iter().find_map(|back| {
        let start = at.checked_sub(back)?;
        let end = start.saturating_add(14);
        let written = text.bytes(start, end);
        let fits = written.len() == 14
            && written.iter().enumerate().all(|(at, b)| match at {
                4 | 9 => *b == b'.',
                _ => b.is_ascii_hexdigit(),
            });
        let joins = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
        // A full stop may follow, digits behind it may not.
        let goes_on = joins(text.at(end))
            && (text.at(end) != b'.' || text.at(end.saturating_add(1)).is_ascii_alphanumeric());
        let mixed = written.iter().any(u8::is_ascii_alphabetic)
            && written.iter().filter(|b| b.is_ascii_digit()).count() >= 3;
        (fits && mixed && !joins(text.before(start)) && !goes_on).then_some((start, end))
    })
}

/// Six pairs of hexadecimal digits, not all alike.
pub(super) fn mac(written: &str, separator: char) -> bool {
    let mut pairs = 0_usize;
    for pair in written.split(separator) {
        pairs = pairs.saturating_add(1);
        if pair.len() != 2 || !pair.bytes().all(|b| b.is_ascii_hexdigit()) {
            return false;
        }
    }
    let first = written.get(..2).unwrap_or_default();
    pairs == 6 && !written.split(separator).all(|pair| pair == first)
}

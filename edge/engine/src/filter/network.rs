//! Addresses of machines.

use super::text::Text;
use std::net::Ipv6Addr;

/// Four groups of digits with dots between, each of which fits into a byte.
pub(super) fn octets(written: &str) -> Option<[u8; 4]> {
    let mut octets = [0_u8; 4];
    let mut parts = written.split('.');
    for octet in &mut octets {
        *octet = parts.next()?.parse().ok()?;
    }
    parts.next().is_none().then_some(octets)
}

/// Whether four groups of digits with dots between are an IPv4 address that may say where somebody is.
pub(super) fn ipv4(written: &str) -> bool {
    let mut parts = written.as_bytes().split(|b| *b == b'.');
    let padded = parts.any(|part| part.len() > 1 && part.starts_with(b"0"));
    // The own machine, no address, and masks are nobody's.
    let nobodys = |octets: [u8; 4]| matches!(octets, [0 | 127, ..] | [255, 255, ..]);
    !padded && octets(written).is_some_and(|octets| !nobodys(octets))
}

/// Whether four numbers are an attribute or an extension of X.509 (`2.5.4.3`), where no word calls them an address.
pub(super) fn is_object_id(written: &str) -> bool {
    written.starts_with("2.5.4.") || written.starts_with("2.5.29.")
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
        let dot = |place: usize| text.at(start.saturating_add(place)) == b'.';
        if !dot(4) || !dot(9) {
            return None;
        }
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
    let fits = written.len() == 17
        && written.chars().enumerate().all(|(at, c)| match at % 3 {
            2 => c == separator,
            _ => c.is_ascii_hexdigit(),
        });
    let first = written.get(..2).unwrap_or_default();
    fits && !written.split(separator).all(|pair| pair == first)
}

//! E-mail addresses.

use super::text::{Text, alnum};
use super::url;
use crate::provenance::is_top_level;

/// The address around an at sign: its range.
pub(super) fn address(text: Text<'_>, at: usize) -> Option<(usize, usize)> {
    let local = |b: u8| alnum(b) || b"._%+-!#$&'*/=?^`{|}~".contains(&b) || b >= 0x80;
    let mut start = text.run_back(at, 64, local);
    // What surrounds an address in texts, rather than what may be in one by the letter of the standard.
    let common = |b: u8| alnum(b) || b"._%+-".contains(&b) || b >= 0x80;
    let plain = text.run_back(at, 64, common);
    if plain < at {
        start = plain;
    }
    while matches!(text.at(start), b'.' | b'-' | b'%') && start < at {
        start = start.saturating_add(1);
    }
    let from = at.saturating_add(1);
    let mut end = text.run(from, 253, |b| {
        alnum(b) || b == b'.' || b == b'-' || b >= 0x80
    });
    while matches!(text.before(end), b'.' | b'-') && end > from {
        end = end.saturating_sub(1);
    }
    // A byte that is part of a character which is no letter belongs to the text around.
    let domain = text.text.get(from..end)?;
    let ends = |c: char| !c.is_alphanumeric() && !matches!(c, '.' | '-');
    let cut = (!domain.is_ascii()).then(|| domain.find(ends)).flatten();
    let domain = domain
        .get(..cut.unwrap_or(domain.len()))?
        .trim_end_matches(['.', '-']);
    let domain = host(domain)?;
    let end = from.saturating_add(domain.len());
    let local = text.text.get(start..at)?;
    if is_remote(text, end, local) {
        return None;
    }
    let begins = |c: char| !c.is_alphanumeric() && !c.is_ascii();
    let skip = (!local.is_ascii()).then(|| local.rfind(begins)).flatten();
    if let Some(skip) = skip {
        let width = local
            .get(skip..)
            .and_then(|rest| rest.chars().next())
            .map_or(0, char::len_utf8);
        start = start.saturating_add(skip).saturating_add(width);
    }
    let whole = start < at && !text.slice(start, at).ends_with('.');
    let of_url = is_password(text, start) || is_user(text, at) || url::is_in_url(text, at);
    (whole && !of_url).then_some((start, end))
}

/// Longest path of a repository that is read, in bytes.
const PATH_MAX: usize = 128;

/// Whether a path on a machine follows, as `git@github.com:acme/app.git` has it: whoever the user is called, if it is the
/// path of a repository.
fn is_remote(text: Text<'_>, end: usize, local: &str) -> bool {
    let path = end.saturating_add(1);
    if text.at(end) != b':' || text.at(path) <= b' ' {
        return false;
    }
    let part = |b: u8| alnum(b) || b"/._-~".contains(&b);
    let last = text.run(path, PATH_MAX, part);
    let path = text.bytes(path, last);
    local == "git" || path.strip_suffix(b".").unwrap_or(path).ends_with(b".git")
}

/// Schemes behind which an address of a person stands, with or without slashes.
const OF_PEOPLE: [&str; 8] = [
    "acct", "email", "im", "mail", "mailto", "sip", "sips", "xmpp",
];
/// Longest part of a URL before its host that is read, in bytes.
const USER_MAX: usize = 256;

/// Whether what stands before the at sign at `at` is the user of a URL: `ssh://git@github.com/acme/app`. If another at sign
/// stands before the host, then it is an address all the same, by which the user is called.
fn is_user(text: Text<'_>, at: usize) -> bool {
    let part = |b: u8| !b.is_ascii_whitespace() && !b"/?#\"'<>`,;|()\\".contains(&b);
    let from = text.run_back(at, USER_MAX, part);
    let written = text.bytes(from.saturating_sub(5), from);
    let Some(front) = written
        .strip_suffix(b"://")
        // As JSON may have it.
        .or_else(|| written.strip_suffix(br":\/\/"))
    else {
        return false;
    };
    let slashes = written.len().saturating_sub(front.len());
    let colon = from.saturating_sub(slashes);
    let scheme = text.run_back(colon, 24, |b| alnum(b) || b"+-.".contains(&b));
    let host = at.saturating_add(1);
    let authority = text.bytes(host, text.run(host, USER_MAX, part));
    let of_people = OF_PEOPLE
        .iter()
        .any(|name| name.eq_ignore_ascii_case(text.slice(scheme, colon)));
    scheme < colon && !of_people && !authority.contains(&b'@')
}

/// Whether what begins at `start` is the password of a URL: `scheme://user:password@host`.
fn is_password(text: Text<'_>, start: usize) -> bool {
    let user = |b: u8| !b.is_ascii_whitespace() && !matches!(b, b'/' | b'"' | b'\'' | b'<' | b'>');
    text.before(start) == b':' && {
        let authority = text.run_back(start, 128, user);
        text.bytes(authority.saturating_sub(3), authority) == b"://"
    }
}

/// Endings of names that hold within one network.
const INTERNAL: [&str; 9] = [
    "corp",
    "home",
    "internal",
    "intranet",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "private",
];

/// A domain up to its last label.
fn host(domain: &str) -> Option<&str> {
    let (rest, last) = domain.rsplit_once('.')?;
    let last = top_level(last)?;
    let labels = !rest.is_empty()
        && rest
            .split('.')
            .all(|label| !label.is_empty() && !label.starts_with('-'));
    // `clip@2x.mov`: a picture for finer screens.
    let scale = |scale: &str| !scale.is_empty() && scale.bytes().all(|b| b.is_ascii_digit());
    let scaled = rest.strip_suffix('x').is_some_and(scale);
    let other = scaled || is_version(domain);
    let end = rest.len().saturating_add(1).saturating_add(last.len());
    domain.get(..end).filter(|_| labels && !other)
}

/// Whether a domain begins as versions do: `18.3.0-canary.eu`, `1.2.3.zip`, `v2.0.sh`.
fn is_version(domain: &str) -> bool {
    let digits = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit());
    let mut labels = domain.split('.');
    let first = labels.next().unwrap_or_default();
    let second = labels.next().unwrap_or_default();
    let second = second.split('-').next().unwrap_or_default();
    digits(first.strip_prefix('v').unwrap_or(first)) && digits(second)
}

/// The label that a domain ends in, without what follows it at once: letters of another script, a word with a capital.
fn top_level(label: &str) -> Option<&str> {
    if label.starts_with("xn--") || is_ending(label) {
        return Some(label);
    }
    let mut before = 'A';
    let (next, _) = label.char_indices().find(|(_, c)| {
        let apart = !c.is_ascii() || (before.is_ascii_lowercase() && c.is_ascii_uppercase());
        before = *c;
        apart
    })?;
    label.get(..next).filter(|label| is_ending(label))
}

fn is_ending(label: &str) -> bool {
    label.len() >= 2
        && label.chars().all(char::is_alphabetic)
        && (is_top_level(label) || INTERNAL.iter().any(|name| label.eq_ignore_ascii_case(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_end_where_they_end() {
        for (text, expect) in [
            ("mail bob@example.org.", Some("bob@example.org")),
            (
                "<bob.x+tag@mail.example.co.uk>",
                Some("bob.x+tag@mail.example.co.uk"),
            ),
            ("mailto:bob@example.org?subject", Some("bob@example.org")),
            ("to=bob@example.org&x", Some("bob@example.org")),
            ("jürgen@müller.de,", Some("jürgen@müller.de")),
            ("请联系bob@example.org。谢谢", Some("请联系bob@example.org")),
            ("postgres://app:Xy12zz@db.internal:5432/app", None),
            ("mailto://x, cc:bob@example.org", Some("bob@example.org")),
            ("user@host", None),
            ("@decorator.name", None),
            ("a @ b.com", None),
            ("pkg@1.2.3", None),
            ("icon@2x.png", None),
            ("clip@2x.mov", None),
            ("clone git@github.com:acme/app.git", None),
            ("mail git@github.com: now", Some("git@github.com")),
            ("clone gitea@git.example.org:acme/app.git.", None),
            ("clone org-7@github.com:acme/app.git", None),
            ("to bob@example.org:please", Some("bob@example.org")),
            ("pip install git+ssh://git@github.com/o/r.git", None),
            ("ssh://git@github.com:22/o/r", None),
            ("ssh://deploy@example.org", None),
            ("(sftp://bob.smith@example.org)", None),
            ("https://$TOKEN@github.com/o/r.git", None),
            ("https://${TOKEN}@github.com/o/r.git", None),
            ("https://x-access-token@github.com/o/r.git", None),
            (r"https:\/\/bob@github.com\/o", None),
            // The user's name is an address.
            (
                "ftp://bob@example.org@ftp.example.com/",
                Some("bob@example.org"),
            ),
            ("mailto://bob@example.org", Some("bob@example.org")),
            ("MAILTO:bob@example.org", Some("bob@example.org")),
            ("xmpp:bob@example.org", Some("bob@example.org")),
            ("sip://bob@example.org", Some("bob@example.org")),
            ("//bob@example.org", Some("bob@example.org")),
            ("Contact: bob@example.org", Some("bob@example.org")),
            (
                "https://example.com/list/bob@example.org",
                Some("bob@example.org"),
            ),
            (
                "https://example.com?to=bob@example.org",
                Some("bob@example.org"),
            ),
            (
                "https://example.com,bob@example.org",
                Some("bob@example.org"),
            ),
            ("npm install react@18.3.0-canary.eu", None),
            ("npm install lodash@4.17.21", None),
            ("get tool@1.2.3.zip", None),
            ("get tool@v2.0.sh", None),
            ("bob@163.com", Some("bob@163.com")),
            ("bob@1.fm", Some("bob@1.fm")),
            ("node@sha256:9f86d081884c7d659a2feaa0c55ad015", None),
            ("ghcr.io/o/node.js@sha256:9f86d081884c7d65", None),
            ("getty@tty1.service", None),
            ("bob@db1.corp.internal", Some("bob@db1.corp.internal")),
            ("BOB@EXAMPLE.ORG", Some("BOB@EXAMPLE.ORG")),
            ("bob@example.orgTel: 5", Some("bob@example.org")),
            ("bob@example.org谢谢", Some("bob@example.org")),
            ("иван@пример.рф", Some("иван@пример.рф")),
        ] {
            let at = text.find('@').unwrap();
            let text_ = Text { text, key: "" };
            assert_eq!(
                address(text_, at).map(|(a, b)| &text[a..b]),
                expect,
                "{text}"
            );
        }
    }
}

//! E-mail addresses.

use super::assigned;
use super::text::{Text, alnum};

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
    let end = from.saturating_add(domain.len());
    let local = text.text.get(start..at)?;
    let begins = |c: char| !c.is_alphanumeric() && !c.is_ascii();
    let skip = (!local.is_ascii()).then(|| local.rfind(begins)).flatten();
    if let Some(skip) = skip {
        let width = local
            .get(skip..)
            .and_then(|rest| rest.chars().next())
            .map_or(0, char::len_utf8);
        start = start.saturating_add(skip).saturating_add(width);
    }
    let whole = start < at && !text.slice(start, at).ends_with('.') && host(domain);
    (whole && !is_password(text, start) && !assigned::is_in_url(text, at)).then_some((start, end))
}

/// Whether what begins at `start` is the password of a URL: `scheme://user:password@host`.
fn is_password(text: Text<'_>, start: usize) -> bool {
    let user = |b: u8| !b.is_ascii_whitespace() && !matches!(b, b'/' | b'"' | b'\'' | b'<' | b'>');
    text.before(start) == b':' && {
        let authority = text.run_back(start, 128, user);
        text.bytes(authority.saturating_sub(3), authority) == b"://"
    }
}

fn host(domain: &str) -> bool {
    let Some((rest, top)) = domain.rsplit_once('.') else {
        return false;
    };
    let letters = top.chars().count() >= 2
        && (top.chars().all(char::is_alphabetic) || top.starts_with("xn--"));
    letters
        && !rest.is_empty()
        && rest
            .split('.')
            .all(|label| !label.is_empty() && !label.starts_with('-'))
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

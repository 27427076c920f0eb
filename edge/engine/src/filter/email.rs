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

/// Schemes of machines, behind which a user stands before the host: whole ones, or what is joined to another by a plus
/// (`git+https`, `mongodb+srv`). Behind any other a person's address may stand, as it is typed where an address of a page
/// is asked for.
const OF_MACHINES: [&str; 32] = [
    "afp",
    "amqp",
    "amqps",
    "bzr",
    "cifs",
    "docker",
    "ftp",
    "ftps",
    "git",
    "hg",
    "ldap",
    "ldaps",
    "mariadb",
    "mongodb",
    "mqtt",
    "mqtts",
    "mysql",
    "nfs",
    "postgres",
    "postgresql",
    "rdp",
    "redis",
    "rediss",
    "rsync",
    "scp",
    "sftp",
    "smb",
    "ssh",
    "svn",
    "telnet",
    "vnc",
    "webdav",
];
/// Users of repositories by HTTP, besides what a variable holds.
const OF_REPOSITORIES: [&str; 6] = [
    "git",
    "gitlab-ci-token",
    "oauth2",
    "x-access-token",
    "x-oauth-basic",
    "x-token-auth",
];
/// Hosts of repositories.
const REPOSITORIES: [&str; 5] = [
    "bitbucket.org",
    "codeberg.org",
    "dev.azure.com",
    "github.com",
    "gitlab.com",
];
/// Where people have their mail, and nobody logs in to a machine: the names before the last part.
const MAILBOXES: [&str; 14] = [
    "aol",
    "fastmail",
    "gmail",
    "gmx",
    "googlemail",
    "hotmail",
    "icloud",
    "live",
    "mail",
    "outlook",
    "proton",
    "protonmail",
    "qq",
    "yahoo",
];
/// Longest ending behind such a name, in bytes: `com.br`. What is longer is the name of somebody else's network.
const ENDING_MAX: usize = 6;
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
    let end = text.run(host, USER_MAX, part);
    let authority = text.slice(host, end);
    if authority.contains('@') {
        return false;
    }
    let scheme = text.slice(scheme, colon);
    match is_one_of(scheme, &["http", "https"]) {
        true => is_of_repository(text, text.slice(from, at), authority, end),
        false => is_of_machine(scheme, authority),
    }
}

fn is_one_of(part: &str, known: &[&str]) -> bool {
    known.iter().any(|known| known.eq_ignore_ascii_case(part))
}

/// Whether a scheme is one of [`OF_MACHINES`], and the host not where people have their mail.
fn is_of_machine(scheme: &str, authority: &str) -> bool {
    let host = authority.split(':').next().unwrap_or_default();
    let (name, ending) = host.split_once('.').unwrap_or((host, ""));
    let is_mail = is_one_of(name, &MAILBOXES) && ending.len() <= ENDING_MAX;
    let mut parts = scheme.split('+');
    parts.any(|part| is_one_of(part, &OF_MACHINES)) && !is_mail
}

/// Whether a user before a host, with what stands behind it from `end` on, is one of a repository by HTTP.
fn is_of_repository(text: Text<'_>, user: &str, authority: &str, end: usize) -> bool {
    let last = text.run(end, PATH_MAX, |b| alnum(b) || br"/\._-~".contains(&b));
    let path = text.bytes(end, last);
    let path = path.strip_suffix(b".").unwrap_or(path);
    let host = authority.split(':').next().unwrap_or_default();
    user.starts_with(['$', '{', '%'])
        || is_one_of(user, &OF_REPOSITORIES)
        || path.ends_with(b".git")
        || (path.len() > 1 && is_one_of(host, &REPOSITORIES))
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
            ("https://bob@dev.azure.com/o/p/_git/r", None),
            ("https://bob@git.example.org:8443/o/r.git.", None),
            ("https://gitlab-ci-token@git.example.org/o/r", None),
            ("git+https://bob@git.example.org/o/r", None),
            ("svn+ssh://bob@svn.example.org/r", None),
            ("postgresql+asyncpg://app@db.example.com/app", None),
            ("MONGODB+SRV://app@db.example.com/app", None),
            // What people write where the address of a page is asked for, and what only looks like a machine's.
            ("https://bob@example.org", Some("bob@example.org")),
            ("http://bob.x@example.org/", Some("bob.x@example.org")),
            ("https://bob@example.org/me", Some("bob@example.org")),
            ("https://bob@github.com", Some("bob@github.com")),
            (r"https:\/\/bob@example.org\/", Some("bob@example.org")),
            ("facetime://bob@icloud.com", Some("bob@icloud.com")),
            ("smtp://bob@gmail.com", Some("bob@gmail.com")),
            ("imap://bob@example.org/", Some("bob@example.org")),
            ("x://bob@example.org", Some("bob@example.org")),
            ("://bob@example.org", Some("bob@example.org")),
            ("ssh://bob@gmail.com", Some("bob@gmail.com")),
            ("ssh://bob@gmail.com:22/", Some("bob@gmail.com")),
            ("ssh://bob@mail.example.org", None),
            ("ftp://bob@yahoo.co.uk", Some("bob@yahoo.co.uk")),
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

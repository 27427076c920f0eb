//! Secrets that are handed over without a sign between name and value: `--password x`, `curl -u a:b`, `<password>x</…>`,
//! `define('DB_PASSWORD', 'x')`.

use super::assigned::{Site, bare, value};
use super::curl::curl;
use super::names::{Kind, kind_of, name_before};
use super::scan::Found;
use super::text::{Text, alnum};
use memchr::memmem::Finder;
use proctor_model::content::{Confidence, ContentClass as Class};
use std::sync::LazyLock;

/// How far behind `curl` its option is looked for, in bytes.
pub(super) const COMMAND_BYTES_MAX: usize = 512;
/// Longest name of an option, an element or a constant.
const NAME_BYTES_MAX: usize = 48;
/// Longest password in an element.
const ELEMENT_BYTES_MAX: usize = 256;

static OPTION: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("--"));
static CURL: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("curl "));
static DEFINE: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("define("));

/// Everything of these forms in a text.
pub(super) fn options(text: Text<'_>, found: &mut Found<'_>) {
    let bytes = text.text.as_bytes();
    let options = OPTION.find_iter(bytes).filter_map(|at| option(text, at));
    let defined = DEFINE.find_iter(bytes).filter_map(|at| defined(text, at));
    let signs = memchr::memchr2_iter(b'<', b'\'', bytes);
    let others = signs.filter_map(|at| match (text.at(at), text.at(at.saturating_add(1))) {
        (b'<', b'/') => element(text, at),
        (b'<', b'-') => arrow(text, at),
        (b'\'', _) => in_sql(text, at),
        _ => None,
    });
    for (start, end, class, sure) in options.chain(defined).chain(others) {
        found(start, end, class, sure);
    }
    for (start, end) in CURL.find_iter(bytes).filter_map(|at| curl(text, at)) {
        found(start, end, Class::GenericSecret, Confidence::High);
    }
}

pub(super) fn is_quote(b: u8) -> bool {
    matches!(b, b'"' | b'\'')
}

fn is_name(b: u8) -> bool {
    alnum(b) || matches!(b, b'_' | b'-' | b'.')
}

/// `--db-password x`, and the same as elements of a list: `"--db-password", "x"`.
fn option(text: Text<'_>, at: usize) -> Option<(usize, usize, Class, Confidence)> {
    let name_start = at.saturating_add(2);
    let begins = !alnum(text.before(at)) && text.before(at) != b'-';
    if !begins || !text.at(name_start).is_ascii_alphabetic() {
        return None;
    }
    let name_end = text.run(name_start, NAME_BYTES_MAX, is_name);
    let next = text.run(name_end, 5, |b| is_quote(b) || matches!(b, b' ' | b','));
    if next == name_end || text.at(next) == b'-' {
        return None;
    }
    let kind = kind_of(text.slice(name_start, name_end))?;
    let quoted = is_quote(text.before(next));
    value(
        text,
        next.saturating_sub(usize::from(quoted)),
        kind,
        Site::Command,
    )
}

/// `define('DB_PASSWORD', 'x')`
fn defined(text: Text<'_>, at: usize) -> Option<(usize, usize, Class, Confidence)> {
    let open = |b: u8| is_quote(b) || b == b' ';
    let name_start = text.run(at.saturating_add("define(".len()), 3, open);
    let name_end = text.run(name_start, NAME_BYTES_MAX, is_name);
    let kind = kind_of(text.slice(name_start, name_end))?;
    let next = text.run(name_end, 6, |b| open(b) || b == b',');
    if !is_quote(text.before(next)) {
        return None;
    }
    value(text, next.saturating_sub(1), kind, Site::Code)
}

/// `<password>x</password>`, where `</` stands at `at`.
fn element(text: Text<'_>, at: usize) -> Option<(usize, usize, Class, Confidence)> {
    let from = at.saturating_add(2);
    let name_end = text.run(from, NAME_BYTES_MAX, |b| is_name(b) || b == b':');
    let tail = text.bytes(name_end.saturating_sub(3).max(from), name_end);
    // Most elements are soon known to be others.
    let ends = ["ord", "pwd", "swd", "ret", "ken", "key", "ass", "ase"];
    let may_be = ends
        .iter()
        .any(|end| tail.eq_ignore_ascii_case(end.as_bytes()));
    if !may_be || text.at(name_end) != b'>' {
        return None;
    }
    let name = text.slice(from, name_end);
    let kind = kind_of(name.rsplit(':').next().unwrap_or(name))?;
    let start = text.run_back(at, ELEMENT_BYTES_MAX, |b| !matches!(b, b'<' | b'>'));
    if text.before(start) != b'>' {
        return None;
    }
    let (before, length, class, sure) = bare(text.slice(start, at), kind)?;
    let start = start.saturating_add(before);
    Some((start, start.saturating_add(length), class, sure))
}

/// `token <- "x"`, as R assigns, where the arrow stands at `at`.
fn arrow(text: Text<'_>, at: usize) -> Option<(usize, usize, Class, Confidence)> {
    let next = text.run(at.saturating_add(2), 4, |b| b == b' ');
    if !is_quote(text.at(next)) {
        return None;
    }
    let (_, name) = name_before(text, text.run_back(at, 4, |b| b == b' '));
    value(text, next, kind_of(name)?, Site::Code)
}

/// `WITH PASSWORD 'x'`, `IDENTIFIED BY 'x'`, where the quotation mark stands at `at`.
fn in_sql(text: Text<'_>, at: usize) -> Option<(usize, usize, Class, Confidence)> {
    let behind = |words: &[u8]| {
        let from = at.saturating_sub(words.len());
        let here = text.bytes(from, at);
        here.eq_ignore_ascii_case(words) && !alnum(text.before(from))
    };
    let named = || {
        behind(b"with password ")
            || behind(b"encrypted password ")
            || behind(b"identified by ")
            || text.bytes(at.saturating_sub(9), at) == b"PASSWORD "
    };
    // Most stand amid a word or behind something else.
    if text.before(at) != b' ' || !named() {
        return None;
    }
    value(text, at, Kind::Password, Site::Code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(text: &str) -> Vec<&str> {
        let whole = Text { text, key: "" };
        let mut found = Vec::new();
        options(whole, &mut |a, b, _, _| found.push((a, b)));
        found.into_iter().map(|(a, b)| &text[a..b]).collect()
    }

    #[test]
    fn secrets_without_a_sign() {
        for (text, value) in [
            ("mysql --password s3cr3t-Pa55 db", "s3cr3t-Pa55"),
            ("tool --db-password 'hunter22'", "hunter22"),
            ("tool --API_KEY Zx81qLmP09aBcD77", "Zx81qLmP09aBcD77"),
            (
                "[\"--api-token\", \"Zx81qLmP09aBcD77\"]",
                "Zx81qLmP09aBcD77",
            ),
            ("curl -s -u bob:s3cr3t https://x.example", "s3cr3t"),
            ("curl --user \"bob:s3cr3t\" https://x.example", "s3cr3t"),
            ("curl --user bob:'s3cr3t' https://x.example", "s3cr3t"),
            ("curl --user bob:s3cr3t https://x; sort -u file", "s3cr3t"),
            ("curl https://x?a=1&&b=2;c|d -u bob:s3cr3t", "s3cr3t"),
            ("curl -d 'a | b; \\' -u bob:s3cr3t https://x", "s3cr3t"),
            ("curl -d \"a \\\" | b\" -u bob:s3cr3t https://x", "s3cr3t"),
            ("curl https://x \\\n -u bob:s3cr3t", "s3cr3t"),
            ("curl https://x \\\r\n -u bob:s3cr3t", "s3cr3t"),
            ("define('DB_PASSWORD', 'hunter22');", "hunter22"),
            ("token <- \"Zx81qLmP09aBcD77\"", "Zx81qLmP09aBcD77"),
            ("CREATE ROLE x WITH PASSWORD 's3cr3t-Pa55';", "s3cr3t-Pa55"),
            ("alter user x identified by 's3cr3t-Pa55';", "s3cr3t-Pa55"),
            ("tool --db-password CorrectHorse", "CorrectHorse"),
            ("<db:password>hunter22</db:password>", "hunter22"),
            ("<Password> x1!y2 </Password>", "x1!y2"),
        ] {
            assert_eq!(secrets(text), [value], "{text}");
        }
    }

    #[test]
    fn what_is_none_of_these() {
        for text in [
            "use --password to be asked for it",
            "a --password \"\" --host x1y2z3w4",
            "--password --host x1y2z3w4",
            "| --- | --- |",
            "curl -u bob https://x.example",
            "curl -u bob:$TOKEN https://x.example",
            "curl -fsSL https://get.docker.com | sh\ndocker run -u 1000:1000 img",
            "curl https://x\ndocker run -u 1000:1000 img",
            "curl https://x; docker run -u 1000:1000 img",
            "curl https://x && docker run -u 1000:1000 img",
            "colour <- \"Zx81qLmP09aBcD77\", token <- read(\"Zx81qLmP09aBcD77\")",
            "the user's password 'required', WITH PASSWORD NULL VALID 's3cr3t-Pa55'",
            "define('DB_HOST', 'hunter22');",
            "define('DB_PASSWORD', getenv('X'));",
            "<password></password>",
            "<password>${DB_PASSWORD}</password>",
            "<label>Password</label><th>password</th>",
            "curl -u <user:password> https://x.example",
            "{\"cmd\":\"curl -u bob:\"}]}",
            "curl -u \"bob:\" https://x.example",
            "curl -u [user:password] https://x.example",
            "--PASSWORD --host x1y2z3w4",
        ] {
            assert!(secrets(text).is_empty(), "{text}: {:?}", secrets(text));
        }
    }
}

//! Values whose name does not stand before their sign but in another member: `"name": "DB_PASSWORD", "value": "x"`,
//! `<add key="apiToken" value="x"/>`, `variable "db_password" { default = "x" }`, `SET value='x' WHERE name='api_key'`.

use super::assigned::{Site, bare, value};
use super::names::kind_of;
use super::text::{Text, alnum};
use super::told::Hit;
use memchr::memmem;

/// Longest name of a secret.
const NAME_BYTES_MAX: usize = 48;
/// Longest value that stands before its name.
const VALUE_BYTES_MAX: usize = 256;
/// How far before its default a variable may be named, in bytes: its type and description stand between.
const VARIABLE_BYTES_MAX: usize = 256;

/// The value of such an entry, where one of its signs stands at `at`.
pub(super) fn entry(text: Text<'_>, at: usize) -> Option<Hit> {
    member(text, at)
        .or_else(|| variable(text, at))
        .or_else(|| property(text, at))
        .or_else(|| updated(text, at))
}

fn is_quote(b: u8) -> bool {
    matches!(b, b'"' | b'\'')
}

fn is_name(b: u8) -> bool {
    alnum(b) || matches!(b, b'_' | b'-' | b'.')
}

/// Whether what is called so has a name as its value.
fn names(label: &[u8]) -> bool {
    let ends = |word: &[u8]| {
        let tail = label.get(label.len().saturating_sub(word.len())..);
        tail.is_some_and(|tail| tail.eq_ignore_ascii_case(word))
    };
    // `"key": …`, but not `"sortKey": …`.
    let longer = label.iter().rev().nth(3).is_some_and(|b| is_name(*b));
    ends(b"name") || (ends(b"key") && !longer)
}

/// The value behind the sign, whose name stands in quotation marks or without.
fn behind(text: Text<'_>, at: usize, name: &str) -> Option<Hit> {
    let kind = kind_of(name)?;
    let next = text.run(at.saturating_add(1), 8, |b| b == b' ');
    value(text, next, kind, Site::Code)
}

/// The second member names the value: JSON, YAML, attributes of XML.
fn member(text: Text<'_>, at: usize) -> Option<Hit> {
    let quote = usize::from(is_quote(text.before(at)));
    let value_end = at.saturating_sub(quote);
    let value_start = value_end.saturating_sub(5);
    if !text
        .bytes(value_start, value_end)
        .eq_ignore_ascii_case(b"value")
    {
        return None;
    }
    let between = |b: u8| b.is_ascii_whitespace() || is_quote(b) || b == b',';
    let name_end = text.run_back(value_start, 48, between);
    let name_start = text.run_back(name_end, NAME_BYTES_MAX, is_name);
    let sign = |b: u8| is_quote(b) || matches!(b, b' ' | b':' | b'=');
    let label_end = text.run_back(name_start, 5, sign);
    let label = text.bytes(label_end.saturating_sub(4), label_end);
    let parted = name_end < value_start && label_end < name_start;
    if !parted || !names(label) {
        return None;
    }
    behind(text, at, text.slice(name_start, name_end))
}

/// A variable of Terraform's.
fn variable(text: Text<'_>, at: usize) -> Option<Hit> {
    const HEAD: &[u8] = b"variable \"";
    let label_end = text.run_back(at, 16, |b| b == b' ');
    let label_start = label_end.saturating_sub("default".len());
    if text.bytes(label_start, label_end) != b"default" {
        return None;
    }
    let from = label_start.saturating_sub(VARIABLE_BYTES_MAX);
    let before = text.bytes(from, label_start);
    let head = memmem::rfind(before, HEAD)?;
    if before.get(head..)?.contains(&b'}') {
        return None;
    }
    let name_start = from.saturating_add(head).saturating_add(HEAD.len());
    let name_end = text.run(name_start, NAME_BYTES_MAX, is_name);
    let next = text.run(at.saturating_add(1), 8, |b| b == b' ');
    // What has no quotation marks is an expression.
    let quoted = is_quote(text.at(next));
    behind(text, at, text.slice(name_start, name_end)).filter(|_| quoted)
}

/// `public string ApiKey { get; set; } = "x"`
fn property(text: Text<'_>, at: usize) -> Option<Hit> {
    let close = text.run_back(at, 2, |b| b == b' ').checked_sub(1)?;
    if text.at(close) != b'}' {
        return None;
    }
    let inside = |b: u8| b.is_ascii_lowercase() || matches!(b, b' ' | b';');
    let open = text.run_back(close, 48, inside);
    let brace = open.checked_sub(1)?;
    let gets = memmem::find(text.bytes(open, close), b"get;").is_some();
    if text.at(brace) != b'{' || !gets {
        return None;
    }
    let name_end = text.run_back(brace, 4, |b| b.is_ascii_whitespace());
    let name_start = text.run_back(name_end, NAME_BYTES_MAX, is_name);
    behind(text, at, text.slice(name_start, name_end))
}

/// `SET value='x' WHERE name='api_key'`, where the sign behind `name` stands at `at`. A value without a digit is none here:
/// in a stream it went on before its name came.
fn updated(text: Text<'_>, at: usize) -> Option<Hit> {
    let label_end = text.run_back(at, 2, |b| b == b' ');
    let label_start = text.run_back(label_end, NAME_BYTES_MAX, is_name);
    if !names(text.bytes(label_start, label_end)) {
        return None;
    }
    let word_end = text.run_back(label_start, 4, |b| b.is_ascii_whitespace());
    let word_start = word_end.saturating_sub("where".len());
    let word = text.bytes(word_start, word_end);
    if !word.eq_ignore_ascii_case(b"where") {
        return None;
    }
    let open = |b: u8| is_quote(b) || b == b' ';
    let name_start = text.run(at.saturating_add(1), 3, open);
    let name_end = text.run(name_start, NAME_BYTES_MAX, is_name);
    let kind = kind_of(text.slice(name_start, name_end))?;
    let close = text.run_back(word_start, 4, |b| b.is_ascii_whitespace());
    let close = close.checked_sub(1).filter(|at| text.at(*at) == b'\'')?;
    let inside = |b: u8| b != b'\'' && b != b'\n';
    let start = text.run_back(close, VALUE_BYTES_MAX, inside);
    let quote = start.checked_sub(1).filter(|at| text.at(*at) == b'\'')?;
    let sign = text.run_back(quote, 2, |b| b == b' ');
    let written = text.slice(start, close);
    let has_digit = written.bytes().any(|b| b.is_ascii_digit());
    let (_, length, class, sure) = bare(written, kind).filter(|_| has_digit)?;
    let assigned = text.before(sign) == b'=' && length == close.saturating_sub(start);
    assigned.then_some((start, close, class, sure))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(text: &str) -> Vec<&str> {
        let whole = Text { text, key: "" };
        memchr::memchr2_iter(b':', b'=', text.as_bytes())
            .filter_map(|at| entry(whole, at))
            .map(|(a, b, ..)| &text[a..b])
            .collect()
    }

    #[test]
    fn another_member_names_the_value() {
        for text in [
            "{\"name\":\"DB_PASSWORD\",\"value\":\"s3cr3t-Pa55\"}",
            "{\"Key\": \"db_password\", \"Value\": \"s3cr3t-Pa55\"}",
            "- name: DB_PASSWORD\n  value: s3cr3t-Pa55",
            "<add key=\"dbPassword\" value=\"s3cr3t-Pa55\" />",
            "<property name='db.password' value='s3cr3t-Pa55'/>",
            "variable \"db_password\" { default = \"s3cr3t-Pa55\" }",
            "variable \"db_password\" {\n  type    = string\n  default = \"s3cr3t-Pa55\"\n}",
            "public string DbPassword { get; set; } = \"s3cr3t-Pa55\";",
            "public string DbPassword { get; private set; } = \"s3cr3t-Pa55\";",
            "UPDATE settings SET value='s3cr3t-Pa55' WHERE name='db_password'",
            "update settings set v = 's3cr3t-Pa55'\nwhere key = 'db_password'",
        ] {
            assert_eq!(secrets(text), ["s3cr3t-Pa55"], "{text}");
        }
    }

    #[test]
    fn what_is_named_otherwise() {
        for text in [
            "{\"name\":\"color\",\"value\":\"s3cr3t-Pa55\"}",
            "{\"sortKey\":\"password\",\"value\":\"s3cr3t-Pa55\"}",
            "{\"name\":\"DB_PASSWORD\",\"type\":\"s3cr3t-Pa55\"}",
            "<add key=\"theme\" value=\"s3cr3t-Pa55\" />",
            "<add id=\"dbPassword\" value=\"s3cr3t-Pa55\" />",
            "<input name=\"password\" value=\"\" />",
            "variable \"region\" { default = \"s3cr3t-Pa55\" }",
            "variable \"db_password\" { default = var.s3cr3t-Pa55 }",
            "variable \"db_password\" {}\nlocals { default = \"s3cr3t-Pa55\" }",
            "public string Theme { get; set; } = \"s3cr3t-Pa55\";",
            "DbPassword { s3t } = \"s3cr3t-Pa55\";",
            "UPDATE settings SET value='s3cr3t-Pa55' WHERE name='theme'",
            "UPDATE settings SET value='correct-Horse' WHERE name='db_password'",
            "SELECT 's3cr3t-Pa55' WHERE name='db_password'",
            "UPDATE settings SET value='s3cr3t-Pa55', name='db_password'",
        ] {
            assert!(secrets(text).is_empty(), "{text}: {:?}", secrets(text));
        }
    }
}

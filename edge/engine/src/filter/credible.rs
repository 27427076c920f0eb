//! Values behind names that speak of secrets: which are credible ones, and which only stand where one goes.

use super::called::is_called;
use super::label::is_label;
use super::names::Kind;
use super::text::{alnum, entropy};
use proctor_model::content::Confidence;

/// Begins as what is put in place of a secret.
pub(super) fn stands_in(lower: &str) -> bool {
    let starts = [
        "${", "$(", "#{", "{{", "<", "%(", "[", "****", "....", "xxxx", "your",
    ];
    starts.iter().any(|start| lower.starts_with(start)) || is_template(lower)
}

/// `{token}`: what is filled in later. Without quotation marks, a value ends before the second bracket.
fn is_template(value: &str) -> bool {
    let name = value
        .strip_prefix('{')
        .map(|name| name.trim_end_matches('}'));
    name.is_some_and(|name| name.bytes().all(|b| alnum(b) || matches!(b, b'_' | b'.')))
}

/// Stands where a secret goes, but is none.
pub(super) fn placeholder(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let starts = [
        "my-",
        "my_",
        "os.environ",
        "process.env",
        "env.",
        "getenv",
        "self.",
        "this.",
        "function",
        "config.",
        "settings.",
        // What a form asks of a field.
        "required|",
        "nullable|",
        "request.",
    ];
    let whole = [
        "null",
        "none",
        "nil",
        "true",
        "false",
        "undefined",
        "changeme",
        "password",
        "passwd",
        "secret",
        "token",
        "example",
        "required",
        "optional",
        "string",
        "str",
        "bytes",
        "redacted",
        "hidden",
        "empty",
        "invalid",
        "expired",
        "missing",
        "bearer",
        "basic",
        "test",
        "todo",
        "default",
        "reset",
        "forgot",
        "is",
        "the",
        "yes",
        "no",
        "unknown",
        "value",
        "object",
        "text",
        "n/a",
    ];
    let all_one = value
        .bytes()
        .zip(value.bytes().skip(1))
        .all(|(a, b)| a == b);
    value.is_empty()
        || all_one
        || is_called(value)
        || stands_in(&lower)
        || starts.iter().any(|start| lower.starts_with(start))
        || whole.contains(&lower.as_str())
        || (value.ends_with(')') && value.contains('('))
        || (value.starts_with('$') && value.bytes().skip(1).all(|b| alnum(b) || b == b'_'))
        || (value.starts_with('/') && value.bytes().filter(|b| *b == b'/').count() > 1)
        || value.contains("://")
}

/// What stands for a value that whoever copies a file of settings has to put in.
const TO_BE_FILLED: [&str; 11] = [
    "change",
    "dummy",
    "enter",
    "example",
    "fake",
    "fill",
    "here",
    "insert",
    "placeholder",
    "replace",
    "sample",
];

/// How a password is asked for, and whether there is one.
const HOW: [&str; 5] = ["always", "disabled", "enabled", "never", "prompt"];

/// Whether a password in a file of settings is one of words: nobody has a word there that is not meant as it stands.
pub(super) fn is_words(value: &str, kind: Kind) -> bool {
    kind == Kind::Password
        && value.len() >= 6
        && is_small(value)
        && !value.contains('.')
        && !HOW.contains(&value)
        && !TO_BE_FILLED.iter().any(|word| value.contains(word))
}

/// Small letters and what joins words.
fn is_small(value: &str) -> bool {
    let small = |b: u8| b.is_ascii_lowercase() || matches!(b, b'-' | b'_' | b'.');
    value.bytes().all(small)
}

/// Whether a value that is no placeholder has enough of a secret of this kind. `quoted`: it stands in quotation marks, or is
/// all there is.
pub(super) fn credible(value: &str, kind: Kind, quoted: bool) -> bool {
    let bytes = value.as_bytes();
    let chosen = matches!(kind, Kind::Password | Kind::Pass | Kind::Connection);
    if chosen && is_label(value) {
        return false;
    }
    let words = |b: &u8| b.is_ascii_alphabetic() || matches!(b, b'-' | b'_' | b'.');
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
    let letters = bytes.iter().filter(|b| b.is_ascii_alphabetic()).count();
    let others = bytes.len().saturating_sub(digits).saturating_sub(letters);
    let mixed = digits > 0 && letters > 0
        || (others > 0 && (letters > 0 || digits > 0))
        || upper_and_lower(bytes);
    match kind {
        Kind::Aws => bytes.len() == 40 && entropy(bytes) >= 3.5,
        Kind::Npm => bytes.len() >= 20 && entropy(bytes) >= 2.9,
        Kind::Azure => bytes.len() >= 40 && entropy(bytes) >= 3.5,
        Kind::Pass if letters == 0 || bytes.iter().all(words) => false,
        Kind::Password | Kind::Pass | Kind::Connection if quoted => {
            bytes.len() >= 4 && (mixed || bytes.len() >= 6) && !value.contains(' ')
        }
        Kind::Password | Kind::Pass | Kind::Connection => {
            bytes.len() >= 6 && mixed && plain_word(value).is_none()
        }
        Kind::Key | Kind::Header => {
            bytes.len() >= 10
                && entropy(bytes) >= 2.9
                && !value.contains(' ')
                && (digits > 0 || bytes.len() >= 20 && upper_and_lower(bytes))
                && plain_word(value).is_none()
                && !is_scope(value)
        }
    }
}

/// Longest name of a region or a service of AWS, in bytes.
const PLACE_BYTES_MAX: usize = 24;

/// Whether a value says what a request to AWS was signed with: the id of a key, the day, the region and the service. That
/// gives no more away than the id, which has a class of its own.
pub(super) fn is_scope(value: &str) -> bool {
    // In addresses the signs between are encoded.
    let (front, sign) = match value.strip_suffix("/aws4_request") {
        Some(front) => (Some(front), "/"),
        None => (value.strip_suffix("%2Faws4_request"), "%2F"),
    };
    let Some(front) = front else { return false };
    let mut parts = front.split(sign);
    let id = parts.next().unwrap_or_default().as_bytes();
    let day = parts.next().unwrap_or_default().as_bytes();
    let places: Vec<&str> = parts.take(3).collect();
    let is_id = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit();
    id.len() == 20
        && id.starts_with(b"A")
        && id.iter().all(is_id)
        && day.len() == 8
        && day.iter().all(u8::is_ascii_digit)
        && places.len() == 2
        && places.iter().all(|place| place.len() <= PLACE_BYTES_MAX)
}

fn upper_and_lower(bytes: &[u8]) -> bool {
    // `Hello` is a word; `hEllo` is not.
    bytes.iter().skip(1).any(u8::is_ascii_uppercase) && bytes.iter().any(u8::is_ascii_lowercase)
}

/// A version, a number, a date, a UUID, words with dashes: said of a thing, and no secret.
fn plain_word(value: &str) -> Option<()> {
    let bytes = value.as_bytes();
    let words = is_small(value);
    let number = bytes
        .iter()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b':' | b'/' | b'T' | b'Z' | b'+'));
    (words || number || is_uuid(value)).then_some(())
}

/// Has the length and the dashes of a UUID.
pub(super) fn is_uuid(value: &str) -> bool {
    value.len() == 36 && value.bytes().filter(|b| *b == b'-').count() == 4
}

/// How sure it is, of a credible value.
pub(super) fn sure(value: &str, kind: Kind, quoted: bool) -> Confidence {
    let random = || entropy(value.as_bytes());
    match kind {
        Kind::Password if !quoted && is_small(value) => Confidence::Medium,
        Kind::Aws | Kind::Azure | Kind::Connection | Kind::Npm => Confidence::High,
        Kind::Password | Kind::Pass if quoted || random() >= 2.8 => Confidence::High,
        Kind::Key | Kind::Header if value.len() >= 16 && random() >= 3.2 => Confidence::High,
        _ => Confidence::Medium,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_a_secret_is_none() {
        for value in [
            "",
            "xxxxxxxx",
            "********",
            "${DB_PASSWORD}",
            "#{api_key2}",
            "{token}",
            "$password",
            "YOUR-KEY",
            "changeme",
            "Passwort:",
            "process.env.KEY",
            "get_key()",
            "/run/secrets/key",
            "https://example.org",
        ] {
            assert!(placeholder(value), "{value}");
        }
        for value in ["hunter22", "Passwort1", "{a b}", "Pa$$word", "/x"] {
            assert!(!placeholder(value), "{value}");
        }
    }

    #[test]
    fn what_is_credible_depends_on_the_kind() {
        let random = "Zx81qLmP09aBcD77tR4w";
        assert!(credible(random, Kind::Key, false));
        assert!(!credible("correct-horse-battery", Kind::Key, true));
        assert!(!credible("1.22.333-4", Kind::Key, true));
        assert!(credible("hunter22", Kind::Password, false));
        assert!(!credible("hunter", Kind::Password, false));
        assert!(credible("hunter", Kind::Password, true));
        assert!(!credible("auto-approved", Kind::Pass, true));
        assert!(!credible("hashed", Kind::Password, true));
        assert!(!credible("/forgot-password", Kind::Password, false));
        assert!(!credible("סיסמה", Kind::Connection, true));
        assert!(!credible(random, Kind::Aws, true));
        let scope = "AKIAIOSFODNN7EXAMPLE/20241129/us-east-1/s3/aws4_request";
        assert!(!credible(scope, Kind::Key, true) && is_scope(&scope.replace('/', "%2F")));
        assert!(!is_scope(&scope.replace("s3", "s3/x")));
        assert!(!is_scope(&scope.replace("AKIA", "akia")) && !is_scope(random));
        assert!(is_words("correcthorse", Kind::Password));
        assert!(!is_words("changethis", Kind::Password));
        assert!(!is_words("correcthorse", Kind::Key));
        assert_eq!(sure(random, Kind::Key, false), Confidence::High);
        assert_eq!(
            sure("correcthorse", Kind::Password, false),
            Confidence::Medium
        );
    }
}

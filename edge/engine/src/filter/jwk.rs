//! Private keys as JSON (RFC 7517): the member that has the key in it.

use super::text::{Text, alnum, entropy};
use proctor_model::content::{Confidence, ContentClass as Class};

/// How far around a member the type of its key may stand, in bytes.
const NEAR: usize = 1024;

fn base64url(b: u8) -> bool {
    alnum(b) || matches!(b, b'-' | b'_')
}

/// Whether a text has the length of a private exponent or scalar (P-256 and the curves of 25519, P-384, P-521, RSA).
fn is_key(value: &str) -> bool {
    let bytes = value.as_bytes();
    matches!(bytes.len(), 43 | 64 | 86..=88 | 300..=1400)
        && bytes.iter().all(|b| base64url(*b))
        && bytes.iter().any(u8::is_ascii_uppercase)
        && entropy(bytes) >= 4.0
}

/// The value behind the colon at `at`, where `"d"` of a key stands before it, or `"k"` of a symmetric one.
pub(super) fn member(text: Text<'_>, at: usize) -> Option<(usize, usize, Class, Confidence)> {
    let kind: &[u8] = match text.bytes(at.saturating_sub(3), at) {
        b"\"d\"" => b"\"kty\"",
        b"\"k\"" => b"\"oct\"",
        _ => return None,
    };
    let quote = text.run(at.saturating_add(1), 4, |b| b == b' ');
    let start = quote.saturating_add(1);
    let end = text.run(start, 1401, base64url);
    let around = text.bytes(at.saturating_sub(NEAR), end.saturating_add(NEAR));
    let quoted = text.at(quote) == b'"' && text.at(end) == b'"';
    let long = match kind {
        b"\"kty\"" => is_key(text.slice(start, end)),
        _ => end.saturating_sub(start) >= 22,
    };
    (quoted && long && memchr::memmem::find(around, kind).is_some()).then_some((
        start,
        end,
        Class::PrivateKey,
        Confidence::High,
    ))
}

/// The whole text as the value of a member that is called `d`.
pub(super) fn keyed(text: Text<'_>) -> Option<(usize, usize, Class, Confidence)> {
    let found = text.key == "d" && is_key(text.text);
    found.then_some((0, text.len(), Class::PrivateKey, Confidence::High))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_private_part_of_a_key() {
        let d = "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE";
        let find = |text: &str| {
            memchr::memchr_iter(b':', text.as_bytes())
                .find_map(|at| member(Text { text, key: "" }, at))
                .map(|(a, b, ..)| text[a..b].to_owned())
        };
        let jwk = format!(r#"{{"kty":"EC","crv":"P-256","d":"{d}"}}"#);
        assert_eq!(find(&jwk).as_deref(), Some(d));
        let behind = format!(r#"{{"d": "{d}", "kty": "EC"}}"#);
        assert_eq!(find(&behind).as_deref(), Some(d));
        assert_eq!(find(&format!(r#"{{"d":"{d}"}}"#)), None);
        assert_eq!(find(&format!(r#"{{"kty":"EC","x":"{d}"}}"#)), None);
        assert!(keyed(Text { text: d, key: "d" }).is_some());
        assert!(keyed(Text { text: d, key: "x" }).is_none());
        assert!(
            keyed(Text {
                text: "short",
                key: "d"
            })
            .is_none()
        );
    }
}

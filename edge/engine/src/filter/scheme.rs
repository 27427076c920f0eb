//! Schemes in headers of HTTP: `Authorization: ApiKey x`.
//!
//! Any word may be one (RFC 9110, section 11.4), so that what stands behind one that is not known has to look like a key
//! by itself.

use super::armoured::decode_base64;
use super::code::is_type;
use super::credible::{credible, is_uuid};
use super::names::Kind;
use super::told::is_term;

/// Longest name of a scheme, in bytes.
const NAME_BYTES_MAX: usize = 32;
/// Most blanks behind it, in bytes.
const BLANKS_MAX: usize = 4;
/// Longest part of the name of a scheme, in bytes: `HMAC`, `SHA256`.
const PART_BYTES_MAX: usize = 12;

/// What may stand before a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Nothing, or a name that everybody uses, behind any name of a secret.
    Known,
    /// Any word, in a header.
    Other,
}

/// Bytes of the names that begin a value, and whether what stands behind them is a key as it stands, and no expression.
pub(super) fn behind_known(value: &str) -> (usize, bool) {
    let (mut length, mut proves) = (0_usize, false);
    for scheme in ["Bearer ", "bearer ", "Basic ", "basic ", "token ", "Token "] {
        let rest = value.get(length..).unwrap_or_default();
        if let Some(behind) = rest.strip_prefix(scheme) {
            let more = behind.bytes().take(BLANKS_MAX);
            let more = more.take_while(|b| matches!(b, b' ' | b'\t')).count();
            length = length.saturating_add(scheme.len()).saturating_add(more);
            proves = !scheme.eq_ignore_ascii_case("token ");
        }
    }
    (length, proves)
}

/// Bytes of the word and the blanks that begin a value, if it goes on behind them.
pub(super) fn behind_other(value: &str) -> Option<usize> {
    let bytes = value.as_bytes();
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let name = bytes.iter().take(NAME_BYTES_MAX);
    let name = name.take_while(|b| is_name(b)).count();
    let behind = bytes.get(name..)?.iter().take(BLANKS_MAX);
    let blanks = behind.take_while(|b| matches!(b, b' ' | b'\t')).count();
    let end = name.saturating_add(blanks);
    let begins = bytes.first().is_some_and(u8::is_ascii_alphabetic);
    let goes_on = bytes.get(end).is_some_and(u8::is_ascii_graphic);
    (begins && blanks > 0 && goes_on).then_some(end)
}

/// Bytes of what stands before the key in a text that is the value of a header and nothing else, and what that is.
pub(super) fn behind_any(value: &str) -> (usize, Scheme) {
    match behind_known(value) {
        (0, _) => behind_other(value).map_or((0, Scheme::Known), |end| (end, Scheme::Other)),
        (end, _) => (end, Scheme::Known),
    }
}

/// Whether the value that `text` begins with is the name of a scheme that has digits in it, `AWS4-HMAC-SHA256`, and no key:
/// more stands behind it. Keys that people call something (`tok_live_99887766`) have parts of digits alone, or are the last.
pub(super) fn is_scheme(value: &str, text: &str) -> bool {
    let is_part = |part: &str| {
        part.len() <= PART_BYTES_MAX && !part.starts_with(|c: char| c.is_ascii_digit())
    };
    value.bytes().any(|b| b.is_ascii_digit())
        && behind_other(text).is_some()
        && value.split(['-', '_']).all(is_part)
        && is_term(value)
}

/// Whether a value is a key behind whatever word: random, a UUID, and no parameter (`Digest username=…`), term, type or call.
pub(super) fn may_follow(value: &str) -> bool {
    let name = value
        .bytes()
        .take_while(|b| b.is_ascii_alphabetic() || matches!(b, b'-' | b'_'));
    let behind = value.as_bytes().get(name.count()..).unwrap_or_default();
    let is_parameter = matches!(behind, [b'=', next, ..] if *next != b'=');
    let is_key = || credible(value, Kind::Key, true) && !is_term(value) && !is_type(value);
    !is_parameter && !value.contains('(') && (is_uuid(value) || is_key())
}

/// Whether a value is a user and a password in base64, if the scheme is `Basic`: short ones are no keys by their looks.
pub(super) fn is_login(scheme: &str, value: &str) -> bool {
    if !scheme.trim_ascii_end().eq_ignore_ascii_case("basic") {
        return false;
    }
    let decoded = decode_base64(value).unwrap_or_default();
    let parts = decoded.split_once(':');
    let both = parts.is_some_and(|(user, password)| !user.is_empty() && !password.is_empty());
    both && !decoded.contains(char::is_control)
}

/// What begins sentences behind the word "authorization", and is the name of no scheme.
const OF_SENTENCES: [&str; 22] = [
    "and",
    "approved",
    "by",
    "case",
    "for",
    "from",
    "id",
    "in",
    "is",
    "no",
    "number",
    "of",
    "on",
    "pending",
    "ref",
    "reference",
    "request",
    "see",
    "the",
    "uses",
    "via",
    "with",
];

/// Whether the word that a value begins with is one of a sentence: "Prior authorization: number PO20241129XYZ".
pub(super) fn is_of_sentence(value: &str) -> bool {
    let word = value.split([' ', '\t']).next().unwrap_or_default();
    let mut words = OF_SENTENCES.iter();
    words.any(|known| word.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::super::assigned::{assigned, keyed};
    use super::super::text::Text;
    use super::*;

    #[test]
    fn any_word_is_a_scheme() {
        for (value, length) in [
            ("ApiKey x", Some(7)),
            ("SSWS  x", Some(6)),
            ("sso-key x:y", Some(8)),
            ("AWS4-HMAC-SHA256 x", Some(17)),
            ("ApiKey", None),
            ("ApiKey ", None),
            ("ApiKey \n", None),
            ("x,y z", None),
            ("4x y", None),
            ("", None),
            (" x", None),
        ] {
            assert_eq!(behind_other(value), length, "{value}");
        }
        assert_eq!(behind_known("Bearer token x"), (13, false));
        assert_eq!(behind_known("Bearer x"), (7, true));
        assert_eq!(behind_known("ApiKey x"), (0, false));
        assert_eq!(behind_known("Bearer  x"), (8, true));
        assert!(behind_any("Bearer x") == (7, Scheme::Known));
        assert!(behind_any("ApiKey x") == (7, Scheme::Other));
        assert!(behind_any("x") == (0, Scheme::Known));
    }

    #[test]
    fn a_scheme_may_have_digits() {
        for (text, yes) in [
            ("AWS4-HMAC-SHA256 Credential=x", true),
            ("OAuth2 x", true),
            // Nothing follows.
            ("AWS4-HMAC-SHA256", false),
            ("supersecretkey1", false),
            ("Zx81qLmP09aBcD77 x", false),
            ("CorrectHorseBatteryStaple x", false),
            ("AbCdEfGhIjKlMnOpQrSt5 x", false),
            ("tok_live_99887766 is new", false),
            ("1234-abcd-5678-efgh x", false),
        ] {
            let value = text.split(' ').next().unwrap_or_default();
            assert_eq!(is_scheme(value, text), yes, "{text}");
        }
    }

    #[test]
    fn a_login_is_told_by_what_it_encodes() {
        // user:pass, bob:hush, a user alone, a word.
        for (scheme, value, yes) in [
            ("Basic ", "dXNlcjpwYXNz", true),
            ("basic  ", "Ym9iOmh1c2g=", true),
            ("Basic ", "dXNlcjo=", false),
            ("Basic ", "authentication", false),
            ("Basic ", "", false),
            ("Bearer ", "dXNlcjpwYXNz", false),
            ("", "dXNlcjpwYXNz", false),
        ] {
            assert_eq!(is_login(scheme, value), yes, "{scheme}{value}");
        }
    }

    #[test]
    fn a_key_is_no_parameter_and_no_term() {
        for yes in [
            "Zx81qLmP09aBcD77",
            "Zx81qLmP09aBcD77==",
            "abc-Zx81qLmP09aBcD77=",
            "eb243592-faa2-4ba2-a551-1afdf565c889",
        ] {
            assert!(may_follow(yes), "{yes}");
        }
        for no in [
            "token=Zx81qLmP09aBcD77",
            "Credential=20241129/us-east-1/s3/aws4_request",
            "RFC7235-section-4.2",
            "OAuth2AuthorizationCodeFlow",
            "oauth2Client.accessToken",
            "Zx81qLmP09aBcD77(x",
            "base64-encoded",
            "required",
            "2024-11-29",
            "",
        ] {
            assert!(!may_follow(no), "{no}");
        }
    }

    #[test]
    fn keys_in_headers_are_found() {
        let secret = |text: &str| {
            let whole = Text { text, key: "" };
            let mut signs = memchr::memchr2_iter(b'=', b':', text.as_bytes());
            let hit = signs.find_map(|at| assigned(whole, at));
            hit.map(|(start, end, ..)| text[start..end].to_owned())
        };
        for (text, expect) in [
            (
                "Authorization: Bearer abc123def456ghi789",
                Some("abc123def456ghi789"),
            ),
            (
                "Authorization: ApiKey Zx81qLmP09aBcD77",
                Some("Zx81qLmP09aBcD77"),
            ),
            (
                "Proxy-Authorization:  SSWS  00Zx81qLmP09aBcD77-tR4w",
                Some("00Zx81qLmP09aBcD77-tR4w"),
            ),
            (
                "authorization: GenieKey eb243592-faa2-4ba2-a551-1afdf565c889",
                Some("eb243592-faa2-4ba2-a551-1afdf565c889"),
            ),
            (
                "\"Authorization\": \"Splunk Zx81qLmP09aBcD77tR4w\",",
                Some("Zx81qLmP09aBcD77tR4w"),
            ),
            (
                "headers['Authorization'] = 'sso-key Zx81qLmP09:aBcD77tR4w'",
                Some("Zx81qLmP09:aBcD77tR4w"),
            ),
            (
                r#"{\"Authorization\": \"Bot Zx81qLmP09aBcD77\"}"#,
                Some("Zx81qLmP09aBcD77"),
            ),
            (
                "curl -H \"Authorization: Key Zx81qLmP09aBcD77\" https://x",
                Some("Zx81qLmP09aBcD77"),
            ),
            (
                "Authorization: Zx81qLmP09aBcD77 is new",
                Some("Zx81qLmP09aBcD77"),
            ),
            ("Authorization: ApiKey ${API_KEY_2}", None),
            ("Authorization: ApiKey {api_key_v2}", None),
            ("\"Authorization\": \"ApiKey #{api_key_v2}\"", None),
            ("\"Authorization\": \"ApiKey \" + key2ForThis", None),
            ("Authorization: Digest username=\"bob1848\"", None),
            (
                "Authorization: AWS4-HMAC-SHA256 SignedHeaders=host;x-amz-date",
                None,
            ),
            (
                "Authorization: Bearer 1234-abcd-5678-efgh",
                Some("1234-abcd-5678-efgh"),
            ),
            (
                "Authorization: Bearer dev-token-123456",
                Some("dev-token-123456"),
            ),
            (
                "Authorization: Bearer svc_acme_prod_8841290347, x",
                Some("svc_acme_prod_8841290347"),
            ),
            (
                "Authorization: Bearer AbCdEfGhIjKlMnOpQrSt5",
                Some("AbCdEfGhIjKlMnOpQrSt5"),
            ),
            (
                "Authorization: tok_live_99887766",
                Some("tok_live_99887766"),
            ),
            (
                "\"Authorization\": \"Basic QWxpY2U1OkJvYjE5\"",
                Some("QWxpY2U1OkJvYjE5"),
            ),
            ("Authorization: Basic dXNlcjpwYXNz", Some("dXNlcjpwYXNz")),
            (
                "curl -H \"Authorization: Basic Ym9iOmh1c2g=\" https://x",
                Some("Ym9iOmh1c2g="),
            ),
            ("Authorization: Basic authentication", None),
            ("Authorization: see RFC7235-section-4.2", None),
            ("Authorization: uses OAuth2AuthorizationCodeFlow", None),
            ("Authorization: uses OAuth2AuthorizationCodeFlow, and", None),
            (
                "\"Authorization\": \"uses OAuth2AuthorizationCodeFlow\"",
                None,
            ),
            ("Prior authorization: number PO20241129XYZ", None),
            ("The authorization: ticket PO20241129XYZ is old", None),
            (
                "const authorization = await oauth2Client.getToken(code)",
                None,
            ),
            ("authorization = await s3Client.signRequest(req)", None),
            ("authorization = await client20241129.token", None),
            ("{ authorization: await s3Client.signed, x }", None),
            ("authorization = new OAuth2Authorization(cfg)", None),
            ("Authorization: ApiKey 20241129abcdef, x", None),
            (
                "Authorization: ApiKey 20241129abcdef\r\nHost: x",
                Some("20241129abcdef"),
            ),
            (
                "-H 'Authorization: ApiKey 20241129abcdef' https://x",
                Some("20241129abcdef"),
            ),
            (
                "{Authorization=ApiKey Zx81qLmP09aBcD77, Host=x}",
                Some("Zx81qLmP09aBcD77"),
            ),
            (
                "[authorization: ApiKey Zx81qLmP09aBcD77]",
                Some("Zx81qLmP09aBcD77"),
            ),
            ("Authorization: the header is sent by 2 clients", None),
            (
                "Authorization: Bearer CorrectHorseBatteryStaple",
                Some("CorrectHorseBatteryStaple"),
            ),
            ("\"Authorization\": \"Bearer {access_token_v2}\"", None),
        ] {
            assert_eq!(secret(text).as_deref(), expect, "{text}");
        }
    }

    #[test]
    fn the_member_of_a_header_has_a_scheme() {
        let found = |key: &str, text: &str| {
            let hit = keyed(Text { text, key });
            hit.map(|(start, end, ..)| text[start..end].to_owned())
        };
        let key = "Zx81qLmP09aBcD77";
        for scheme in ["", "Bearer ", "ApiKey ", "SSWS  ", " token "] {
            let text = format!("{scheme}{key}");
            let hit = found("Authorization", &text);
            assert_eq!(hit.as_deref(), Some(key), "{text}");
        }
        for (text, value) in [
            ("Bearer dev-token-123456", "dev-token-123456"),
            ("Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
            ("token 1234-abcd-5678-efgh", "1234-abcd-5678-efgh"),
            ("tok_live_99887766", "tok_live_99887766"),
        ] {
            let hit = found("Authorization", text);
            assert_eq!(hit.as_deref(), Some(value), "{text}");
        }
        for text in [
            "ApiKey {key}",
            "Bearer {access_token_v2}",
            "AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host",
            "Bearer the-usual-one",
            "the usual one of 2024",
        ] {
            assert_eq!(found("proxy_authorization", text), None, "{text}");
        }
        assert_eq!(found("token", "ApiKey Zx81qLmP09aBcD77"), None);
    }
}

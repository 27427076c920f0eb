//! What is said in another writing: percent- and base64-encoded text, one level deep at a time; embedded files.

use super::class::class;
use crate::limits::PROVENANCE_TEXT_BYTES_MAX;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};

/// Fewest letters of a chunk that is taken for base64, whatever it says.
const BASE64_BYTES_MIN: usize = 8;
/// Fewest letters of one that says an amount.
const AMOUNT_BYTES_MIN: usize = 3;
/// What base64 of a digit, a `$` or a `£` begins with.
const AMOUNT_STARTS: [char; 5] = ['M', 'N', 'O', 'J', 'w'];

class!(ENCODED, ends_encoded);

/// What nothing encoded has inside.
const fn ends_encoded(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '"' | '\'' | '<' | '>' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | ',' | ';' | '`'
        )
}

/// What the parts of a text say that are percent- or base64-encoded.
pub(super) fn decoded_parts(text: &str) -> impl Iterator<Item = String> {
    ENCODED.split(text).flat_map(decoded)
}

/// Fewest letters of an encoded chunk that may lead somewhere: `a.tk` has eight in base64, and nine as `a%2Etk%2F`.
const LEAD_BYTES_MIN: usize = 8;

/// What a text says once somebody decodes it, chunk by chunk or, in lines, as a whole; `judged`: those percent-encoded chunks
/// that lead somewhere as they are.
pub(super) fn decoded_leads(
    text: &str,
    judged: impl Fn(&str) -> bool,
) -> impl Iterator<Item = String> {
    let chunks = ENCODED.split(text);
    let chunks = chunks.filter(|chunk| chunk.len() >= LEAD_BYTES_MIN);
    chunks
        .filter(move |chunk| !(chunk.contains('%') && judged(chunk)))
        .flat_map(decoded)
        .chain(unfolded(text))
}

/// What a text says that is base64 in lines.
fn unfolded(text: &str) -> Option<String> {
    let folded = text.bytes().any(|b| b.is_ascii_whitespace());
    let encoded = |b: u8| is_base64(b) || b == b'=' || b.is_ascii_whitespace();
    if !folded || !text.bytes().all(encoded) {
        return None;
    }
    whole(&text.split_ascii_whitespace().collect::<String>())
}

/// What a chunk says that is percent- or base64-encoded as a whole or behind its last colon or equals sign.
fn decoded(chunk: &str) -> impl Iterator<Item = String> {
    let signs = memchr::memchr3(b'%', b':', b'=', chunk.as_bytes()).is_some();
    let chunk = Some(chunk).filter(|chunk| signs || may_be_base64(chunk));
    chunk.into_iter().flat_map(spellings)
}

/// Whether a chunk of letters, digits and the like may be a text in base64, by its length and by what it begins with: hardly
/// any word may.
fn may_be_base64(chunk: &str) -> bool {
    let long = chunk.len() >= BASE64_BYTES_MIN;
    let amount = chunk.len() >= AMOUNT_BYTES_MIN && chunk.starts_with(AMOUNT_STARTS);
    // One letter over has not even one byte in it.
    let sound = (chunk.len() & 3) != 1;
    let [a, b, c, ..] = chunk.as_bytes() else {
        return false;
    };
    let (Some(a), Some(b), Some(c)) = (sextet(*a), sextet(*b), sextet(*c)) else {
        return false;
    };
    let first = a.wrapping_shl(2) | b.wrapping_shr(4);
    let second = b.wrapping_shl(4) | c.wrapping_shr(2);
    let begins_text = match first {
        b'\t'..=b'\r' | b' '..=b'~' => matches!(second, b'\t'..=b'\r' | b' '..=b'~' | 0xc2..=0xf4),
        0xc2..=0xf4 => matches!(second, 0x80..=0xbf),
        _ => false,
    };
    (long || amount) && sound && begins_text
}

/// The value of a digit of base64, of either alphabet.
fn sextet(digit: u8) -> Option<u8> {
    Some(match digit {
        b'A'..=b'Z' => digit.wrapping_sub(b'A'),
        b'a'..=b'z' => digit.wrapping_sub(b'a').wrapping_add(26),
        b'0'..=b'9' => digit.wrapping_sub(b'0').wrapping_add(52),
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

fn spellings(chunk: &str) -> impl Iterator<Item = String> {
    let bare = chunk.trim_end_matches('=');
    let value = bare.rfind([':', '=']);
    let value = value.and_then(|at| chunk.get(at.saturating_add(1)..));
    [Some(chunk), value].into_iter().flatten().filter_map(whole)
}

fn whole(chunk: &str) -> Option<String> {
    use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
    if chunk.contains('%') {
        let decoded = percent_decoded(chunk)?;
        return (decoded != chunk).then_some(decoded);
    }
    let bare = chunk.trim_end_matches('=');
    let short = bare.len() < BASE64_BYTES_MIN;
    if short && !(bare.len() >= AMOUNT_BYTES_MIN && bare.starts_with(AMOUNT_STARTS)) {
        return None;
    }
    if bare.len() > PROVENANCE_TEXT_BYTES_MAX || !bare.bytes().all(is_base64) {
        return None;
    }
    let bytes = BASE64_STANDARD_NO_PAD
        .decode(bare)
        .or_else(|_| BASE64_URL_SAFE_NO_PAD.decode(bare))
        .ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let readable = !text.contains(|c: char| c.is_control() && !c.is_whitespace());
    (readable && (!short || is_amount(&text))).then_some(text)
}

/// Whether a byte is a digit of base64, of either alphabet.
fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte)
}

/// Whether a short text is an amount: nearly any word of a few letters can be read as base64 of something.
fn is_amount(text: &str) -> bool {
    let part = |c: char| c.is_ascii_digit() || ".,'+-$£€ ".contains(c);
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    digits >= 2 && text.chars().all(part)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let digits = || -> Option<u8> {
            let high = char::from(ahead.next()?).to_digit(16)?;
            let low = char::from(ahead.next()?).to_digit(16)?;
            u8::try_from(high.checked_mul(16)?.checked_add(low)?).ok()
        };
        match (byte == b'%').then(digits).flatten() {
            Some(decoded) => {
                bytes.push(decoded);
                rest.nth(1);
            }
            None => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

/// As lenient as any client.
static ALPHABETS: [GeneralPurpose; 2] = [
    GeneralPurpose::new(&alphabet::STANDARD, LENIENT),
    GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT),
];

/// What an embedded file says that came in base64, in lines or not. `None`: it is no text, or no base64.
pub(super) fn embedded(encoded: &str) -> Option<String> {
    let bytes: Vec<u8> = encoded
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let mut decoded = ALPHABETS
        .iter()
        .filter_map(|alphabet| alphabet.decode(&bytes).ok());
    text_of(&decoded.next()?)
}

/// A text in the encodings that files are written in.
fn text_of(bytes: &[u8]) -> Option<String> {
    let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let readable = |text: &String| !text.contains(|c: char| c.is_control() && !c.is_whitespace());
    utf8(bytes)
        .filter(readable)
        .or_else(|| utf16(bytes).filter(readable))
        .or_else(|| Some(latin1(bytes)).filter(readable))
}

/// UTF-16 by its byte order mark, or in Latin letters alone: nearly anything else could be read as some UTF-16.
fn utf16(bytes: &[u8]) -> Option<String> {
    let (little, bytes, marked) = match bytes {
        [0xff, 0xfe, rest @ ..] => (true, rest, true),
        [0xfe, 0xff, rest @ ..] => (false, rest, true),
        [_, 0, ..] => (true, bytes, false),
        [0, ..] => (false, bytes, false),
        _ => return None,
    };
    let pairs = bytes.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    let units = pairs.filter_map(|pair| {
        let pair = <[u8; 2]>::try_from(pair).ok()?;
        Some(match little {
            true => u16::from_le_bytes(pair),
            false => u16::from_be_bytes(pair),
        })
    });
    let text: String = char::decode_utf16(units).collect::<Result<_, _>>().ok()?;
    (marked || text.chars().all(|c| c <= '\u{ff}')).then_some(text)
}

/// Latin-1; of what Windows has in addition nothing is a letter or a digit.
fn latin1(bytes: &[u8]) -> String {
    let letter = |byte: &u8| match byte {
        0x80..=0x9f => ' ',
        byte => char::from(*byte),
    };
    bytes.iter().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What is not looked at says nothing.
        #[test]
        fn no_encoded_text_is_missed(text in "\\PC{0,8}|[0-9$£., -]{0,8}", junk in "[a-zA-Z0-9+/_:=%-]{0,12}") {
            use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
            let encoded = [BASE64_STANDARD_NO_PAD.encode(&text), BASE64_URL_SAFE_NO_PAD.encode(&text)];
            for chunk in encoded.into_iter().chain([junk]) {
                let all: Vec<String> = spellings(&chunk).collect();
                prop_assert_eq!(decoded(&chunk).collect::<Vec<_>>(), all);
            }
        }
    }

    #[test]
    fn what_is_written_in_another_way_is_read() {
        let all = |chunk: &str| decoded(chunk).collect::<Vec<_>>();
        for (chunk, says) in [
            ("NTAwMA==", "5000"),
            ("OTAw", "900"),
            ("JDkwMA", "$900"),
            ("wqM5MDA=", "£900"),
            ("pay:NTAwMA==", "5000"),
            ("amount=OTAw", "900"),
            ("to=ZXZlQGV2aWwuZXhhbXBsZQ", "eve@evil.example"),
            ("eve%40evil.example", "eve@evil.example"),
            ("to:eve%40evil.example", "eve@evil.example"),
        ] {
            assert!(
                all(chunk).contains(&says.to_owned()),
                "{chunk}: {:?}",
                all(chunk)
            );
        }
        for word in [
            "Mail",
            "Note",
            "OK",
            "Java",
            "wait",
            "hello",
            "https://a.example/x",
        ] {
            assert_eq!(all(word), [""; 0], "{word}");
        }
    }

    #[test]
    fn embedded_files_are_read_if_they_are_text() {
        use base64::prelude::BASE64_STANDARD;
        let utf16: Vec<u8> = "pay £5000"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let marked = [&[0xff, 0xfe][..], &utf16].concat();
        let latin1 = b"zahle \x80 5000 an M\xfcller\r\n".to_vec();
        for (bytes, says) in [
            ("pay £5000".as_bytes(), Some("pay £5000")),
            (&utf16[..], Some("pay £5000")),
            (&marked[..], Some("pay £5000")),
            (&latin1[..], Some("zahle   5000 an Müller\r\n")),
            (b"", Some("")),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", None),
            (b"%PDF-1.7\n\x01\xe2\xe3\xcf\xd3", None),
            (b"\0\x01\0\x02", None),
        ] {
            let encoded = BASE64_STANDARD.encode(bytes);
            assert_eq!(embedded(&encoded).as_deref(), says, "{encoded}");
        }
        assert_eq!(embedded("cGF5\r\nIDUw\nMDA").as_deref(), Some("pay 5000"));
        assert_eq!(embedded("no base64!"), None);
    }
}

//! What is said in another writing: percent- and base64-encoded text, escapes of JSON and quoted-printable, one level deep at
//! a time; embedded files.

use super::class::class;
use crate::limits::PROVENANCE_TEXT_BYTES_MAX;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};
use std::borrow::Cow;

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

class!(SIGNED, ends_unsigned);

/// What says that something is encoded.
const fn is_sign(c: char) -> bool {
    matches!(c, '%' | ':' | '=' | '\\')
}

const fn ends_unsigned(c: char) -> bool {
    ends_encoded(c) || is_sign(c)
}

/// What the parts of a text say that are percent- or base64-encoded.
pub(super) fn decoded_parts(text: &str) -> impl Iterator<Item = String> {
    // Hardly any chunk is: most are passed by before anything is made for them.
    encoded_chunks(text).flat_map(spellings)
}

/// The chunks of a text that [`may_be_encoded`]. For the end of a chunk and for the signs in it it is looked at once.
fn encoded_chunks(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let unsigned = SIGNED.find(rest).unwrap_or(rest.len());
            let (before, from) = rest.split_at_checked(unsigned)?;
            let signed = from.starts_with(is_sign);
            let chunk = match signed {
                true => rest.get(..ENCODED.find(rest).unwrap_or(rest.len()))?,
                false => before,
            };
            let mut behind = rest.get(chunk.len()..)?.chars();
            behind.next();
            rest = behind.as_str();
            if signed || may_be_base64(chunk) {
                return Some(chunk);
            }
        }
        None
    })
}

/// Fewest letters of an encoded chunk that may lead somewhere: `a.tk` has eight in base64, and nine as `a%2Etk%2F`.
const LEAD_BYTES_MIN: usize = 8;

/// How often what leads somewhere may be encoded: the text of a mail is in a part, and the mail in an argument.
const LEVELS: usize = 2;
/// Most bytes of what one text says once decoded, at all levels together.
const DECODED_BYTES_MAX: usize = 4 * PROVENANCE_TEXT_BYTES_MAX;

/// Reads what a text says once somebody decodes it, on two levels; `judged`: those chunks that lead somewhere as they are, in
/// spite of a sign of an encoding. Returns whether it could be read to the end.
pub(super) fn read_decoded(
    text: &str,
    judged: &dyn Fn(&str, char) -> bool,
    read: &mut dyn FnMut(&str),
) -> bool {
    let mut left = DECODED_BYTES_MAX;
    let mut level = vec![Cow::Borrowed(text)];
    for _ in 0..LEVELS {
        let mut next = Vec::new();
        for text in &level {
            for decoded in decodings(text, judged) {
                let Some(rest) = left.checked_sub(decoded.len()) else {
                    return false;
                };
                left = rest;
                read(&decoded);
                next.push(Cow::Owned(decoded));
            }
        }
        level = next;
    }
    true
}

/// What a text says once decoded, chunk by chunk or, in lines, as a whole.
fn decodings(text: &str, judged: &dyn Fn(&str, char) -> bool) -> Vec<String> {
    let mut found: Vec<String> = unfolded(text).collect();
    let mut read = |text: &str, soft_breaks: bool| {
        let chunks = ENCODED.split(text);
        for chunk in chunks.filter(|chunk| chunk.len() >= LEAD_BYTES_MIN) {
            if !(chunk.contains('%') && judged(chunk, '%')) {
                found.extend(decoded(chunk));
            }
            let quoted = quoted_printable(chunk, soft_breaks).filter(|_| !judged(chunk, '='));
            found.extend(quoted);
        }
    };
    read(text, false);
    if let Some(joined) = without_soft_breaks(text) {
        read(&joined, true);
        found.push(joined);
    }
    found
}

/// What a chunk says in quoted-printable: `evil=2Eexample`. One code alone (`site=4chan.org`) is a value by its name, unless it
/// is a sign that an address has or (`sure`) a line of the text was broken as that encoding does.
fn quoted_printable(chunk: &str, sure: bool) -> Option<String> {
    memchr::memchr(b'=', chunk.as_bytes())?;
    let behind = chunk.as_bytes().split(|byte| *byte == b'=').skip(1);
    let codes = behind.filter_map(|behind| hex_byte(behind.get(..2)?));
    let codes: Vec<u8> = codes.collect();
    if !sure && codes.len() < 2 && !codes.iter().any(|code| b"./:@".contains(code)) {
        return None;
    }
    let decoded = hex_decoded(chunk, b'=');
    (decoded != chunk).then_some(decoded)
}

/// A text in quoted-printable without the line breaks that are none.
fn without_soft_breaks(text: &str) -> Option<String> {
    let soft = |sign: &str| text.contains(sign);
    (soft("=\n") || soft("=\r\n")).then(|| text.replace("=\r\n", "").replace("=\n", ""))
}

/// What a text says that is base64 in lines: as a whole, and each run of such lines.
fn unfolded(text: &str) -> impl Iterator<Item = String> {
    let folded = text.bytes().any(|b| b.is_ascii_whitespace());
    let encoded = |b: u8| is_base64(b) || b == b'=' || b.is_ascii_whitespace();
    let all = folded && text.bytes().all(encoded);
    let joined = all.then(|| text.split_ascii_whitespace().collect::<String>());
    let runs = (folded && !all).then(|| runs_of_lines(text));
    let runs = runs.into_iter().flatten();
    joined.into_iter().chain(runs).filter_map(|run| whole(&run))
}

/// The lines of base64 that stand one below the other in a text, as the parts of a mail have them.
fn runs_of_lines(text: &str) -> Vec<String> {
    let (mut runs, mut run, mut lines) = (Vec::new(), String::new(), 0_usize);
    for line in text.lines().chain([""]) {
        let line = line.trim();
        let bare = line.trim_end_matches('=');
        if !bare.is_empty() && bare.bytes().all(is_base64) {
            run.push_str(line);
            lines = lines.saturating_add(1);
            continue;
        }
        let ended = std::mem::take(&mut run);
        // One line alone is a chunk.
        if std::mem::take(&mut lines) > 1 {
            runs.push(ended);
        }
    }
    runs
}

/// What a chunk says that is percent- or base64-encoded as a whole or behind its last colon or equals sign, or that has
/// escapes.
fn decoded(chunk: &str) -> impl Iterator<Item = String> {
    let chunk = Some(chunk).filter(|chunk| may_be_encoded(chunk));
    chunk.into_iter().flat_map(spellings)
}

fn may_be_encoded(chunk: &str) -> bool {
    chunk.contains(is_sign) || may_be_base64(chunk)
}

/// Whether a chunk of letters, digits and the like may be a text in base64, by its length and by what it begins with: hardly
/// any word may.
fn may_be_base64(chunk: &str) -> bool {
    let long = chunk.len() >= BASE64_BYTES_MIN;
    let amount = || chunk.len() >= AMOUNT_BYTES_MIN && chunk.starts_with(AMOUNT_STARTS);
    // One letter over has not even one byte in it.
    let sound = (chunk.len() & 3) != 1;
    // Most words are too short, and are not read.
    let enough = sound && (long || amount());
    if !enough {
        return false;
    }
    let [a, b, c, ..] = chunk.as_bytes() else {
        return false;
    };
    let (Some(a), Some(b), Some(c)) = (sextet(*a), sextet(*b), sextet(*c)) else {
        return false;
    };
    let first = a.wrapping_shl(2) | b.wrapping_shr(4);
    let second = b.wrapping_shl(4) | c.wrapping_shr(2);
    match first {
        b'\t'..=b'\r' | b' '..=b'~' => matches!(second, b'\t'..=b'\r' | b' '..=b'~' | 0xc2..=0xf4),
        0xc2..=0xf4 => matches!(second, 0x80..=0xbf),
        _ => false,
    }
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
    let encoded = [Some(chunk), value].into_iter().flatten();
    encoded.filter_map(whole).chain(unescaped(chunk))
}

/// What a chunk says with escapes as JSON and programs have them: `\u002e`, `\x2e`, `\/`, and `\\` of a text in a text.
fn unescaped(chunk: &str) -> Option<String> {
    memchr::memchr(b'\\', chunk.as_bytes())?;
    let mut plain = String::with_capacity(chunk.len());
    let (mut rest, mut any) = (chunk, false);
    while let Some((before, from)) = rest.split_once('\\') {
        plain.push_str(before);
        match escape(from) {
            Some((c, length)) => {
                any = true;
                plain.push(c);
                rest = from.get(length..).unwrap_or_default();
            }
            None => {
                plain.push('\\');
                rest = from;
            }
        }
    }
    plain.push_str(rest);
    any.then_some(plain)
}

/// The character of an escape behind its backslash, and how many bytes say it there.
fn escape(behind: &str) -> Option<(char, usize)> {
    let digits = match behind.as_bytes().first()? {
        b'\\' => return Some(('\\', 1)),
        b'/' => return Some(('/', 1)),
        b'u' => 4_usize,
        b'x' => 2,
        _ => return None,
    };
    let end = digits.saturating_add(1);
    let code = behind.get(1..end)?;
    let hex = code.bytes().all(|b| b.is_ascii_hexdigit());
    let code = hex.then(|| u32::from_str_radix(code, 16).ok()).flatten()?;
    // Half of a pair is no letter of an address.
    Some((char::from_u32(code)?, end))
}

fn whole(chunk: &str) -> Option<String> {
    use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
    if chunk.contains('%') {
        let decoded = hex_decoded(chunk, b'%');
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

/// A text with each byte that is written in two hexadecimal digits behind a sign. If that is no text, those in ASCII alone:
/// one byte of junk hides no other.
fn hex_decoded(text: &str, sign: u8) -> String {
    let decode = |keep: fn(u8) -> bool| {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((byte, behind)) = rest.split_first() {
            let code = (*byte == sign).then(|| behind.get(..2)).flatten();
            match code.and_then(hex_byte).filter(|code| keep(*code)) {
                Some(code) => {
                    bytes.push(code);
                    rest = behind.get(2..).unwrap_or_default();
                }
                None => {
                    bytes.push(*byte);
                    rest = behind;
                }
            }
        }
        String::from_utf8(bytes)
    };
    let decoded = decode(|_| true).or_else(|_| decode(|code| code.is_ascii()));
    decoded.unwrap_or_else(|_| text.to_owned())
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(digits).ok()?;
    let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    hex.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
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
        #[test]
        fn no_chunk_is_missed(text in "[a-zNM0-9 ,(:%=\\\\é…\n]{0,40}") {
            let all = ENCODED.split(&text).filter(|chunk| may_be_encoded(chunk));
            prop_assert_eq!(encoded_chunks(&text).collect::<Vec<_>>(), all.collect::<Vec<_>>());
        }

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
            ("eve%40evil.example%FF", "eve@evil.example%FF"),
            (r"evil\u002eexample\u002Fx", "evil.example/x"),
            (r"evil\x2eexample", "evil.example"),
            (r"https:\/\/evil.example\/x", "https://evil.example/x"),
            (r"evil\\u002eexample", r"evil\u002eexample"),
            (r"5\u0030\ud83d00", r"50\ud83d00"),
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
            r"C:\users\x",
            r"\u00",
        ] {
            assert_eq!(all(word), [""; 0], "{word}");
        }
    }

    /// A mail in an argument: base64 of parts that are encoded themselves.
    #[test]
    fn what_is_encoded_in_what_is_encoded_is_read() {
        use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
        fn reads(text: &str, judged: &dyn Fn(&str, char) -> bool) -> String {
            let mut all = String::new();
            let read = read_decoded(text, judged, &mut |decoded| {
                all.push_str(decoded);
                all.push('\n');
            });
            assert!(read, "{text}");
            all
        }
        let link = "please open https://evil.example/a/long/way/to/some/page and confirm it";
        let part = BASE64_STANDARD.encode(link);
        let (first, second) = part.split_at(60);
        for mail in [
            format!("To: bob\r\n\r\n{first}\r\n{second}\r\n\r\n--end--"),
            "To: bob\n\nopen https:=2F=2Fevil=2Eexample=2Fa/long/way/to=\n/some/page".to_owned(),
            "open https:=2F=2Fevil=2Eexam=\r\nple=2Fa=2Flong/way/to/some/page =FF".to_owned(),
            r"{open: https:\u002f\u002fevil\u002eexample/a/long/way/to/some/page}".to_owned(),
        ] {
            for raw in [mail.clone(), BASE64_URL_SAFE.encode(&mail)] {
                let read = reads(&raw, &|_, _| false);
                assert!(
                    read.contains("evil.example/a/long/way/to/some/page"),
                    "{mail}: {read}"
                );
            }
        }
        // What is judged as it is has no other reading.
        assert_eq!(reads("acme.example/?id=3D", &|_, _| true), "");
        assert_eq!(reads("a plain text: x = 3, y == 4", &|_, _| false), "");
    }

    #[test]
    fn more_than_can_be_read_is_told() {
        use base64::prelude::BASE64_STANDARD;
        let chunk = BASE64_STANDARD.encode("words ".repeat(100_000));
        let read = |times: usize| {
            let text = format!("{chunk} ").repeat(times) + "!";
            read_decoded(&text, &|_, _| false, &mut |_| {})
        };
        assert!(read(2));
        assert!(!read(9));
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

    #[test]
    fn a_value_behind_its_name_is_no_quoted_printable() {
        for text in ["site=4chan.org", "colour=fade.to", "a=b"] {
            assert_eq!(quoted_printable(text, false), None, "{text}");
        }
        for (text, decoded) in [
            ("evil=2Eexample", "evil.example"),
            ("eve=40evil.example", "eve@evil.example"),
            ("=65vil=2eexample", "evil.example"),
        ] {
            assert_eq!(
                quoted_printable(text, false).as_deref(),
                Some(decoded),
                "{text}"
            );
        }
        assert_eq!(quoted_printable("ev=69l", true).as_deref(), Some("evil"));
    }
}

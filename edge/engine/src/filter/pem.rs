//! Private keys in PEM: their armour, and the key that has to stand in it.
//!
//! Whoever writes about keys, or a program that reads them, has the first and the last line without anything between.

use super::provider::base64;
use super::text::{Text, alnum};

/// What the first line begins with.
const BEGIN: &str = "-----BEGIN ";
/// What the last line begins with.
const END: &str = "-----END ";
/// What both end with.
const DASHES: &str = "-----";
/// Longest first line, in bytes.
const FIRST_BYTES_MAX: usize = 96;
/// How far its end is looked for, in bytes: four times the longest RSA key.
const PEM_BYTES_MAX: usize = 64 * 1024;
/// Most lines between the first one and the key: `Proc-Type: 4,ENCRYPTED`.
const HEADERS_MAX: usize = 8;
/// Longest of them, in bytes.
const HEADER_BYTES_MAX: usize = 256;
/// Most bytes between two lines: indentation, quotation marks, numbers.
const GAP_BYTES_MAX: usize = 128;
/// Least and most bytes by which a line is known as one of a key.
const LINE_BYTES: (usize, usize) = (12, 64);
/// From so many bytes on a row of letters and digits is no name in a program.
const LONG_BYTES: usize = 32;

/// The private key whose armour begins at `start`. One whose end is missing goes as far as characters of its kind do.
pub(super) fn pem(text: Text<'_>, start: usize) -> Option<usize> {
    let near = text.from(start);
    let first = near.get(..near.floor_char_boundary(FIRST_BYTES_MAX))?;
    let name = first.strip_prefix(BEGIN)?;
    let name = name.get(..name.find(DASHES)?)?;
    if !name.ends_with("PRIVATE KEY") && name != "PGP PRIVATE KEY BLOCK" {
        return None;
    }
    let around = BEGIN.len().saturating_add(DASHES.len());
    let body = start.saturating_add(name.len()).saturating_add(around);
    // Asked first: the end may be far away.
    let line = first_line(text, body)?;
    let armour = |b: u8| {
        alnum(b)
            || b.is_ascii_whitespace()
            || matches!(b, b'+' | b'/' | b'=' | b'-' | b':' | b',' | b'\\')
    };
    Some(last_line(text, body).unwrap_or_else(|| text.run(line, text.len(), armour)))
}

/// Where the last line ends of the key whose first line ends at `body`. Another first line before it is of another key.
fn last_line(text: Text<'_>, body: usize) -> Option<usize> {
    let near = text.from(body);
    let near = near.get(..near.floor_char_boundary(PEM_BYTES_MAX))?;
    let at = near.find(DASHES)?;
    let name = near.get(at..)?.strip_prefix(END)?;
    let length = at
        .saturating_add(END.len())
        .saturating_add(name.find(DASHES)?);
    Some(body.saturating_add(length).saturating_add(DASHES.len()))
}

/// How far the key goes at least whose armour's first line ends at `body`: to the end of a line of base64, or amid a long
/// one. Nothing stands before that but lines that say how it is encrypted or who made it.
fn first_line(text: Text<'_>, body: usize) -> Option<usize> {
    // With blanks for the ends of lines.
    let is_one_line = text.at(body) == b' ';
    let mut at = body;
    for _ in 0..=HEADERS_MAX {
        at = gap(text, at);
        let end = text.run(at, LINE_BYTES.1, base64);
        if is_line(text.bytes(at, end)) {
            return (text.at(end) != b'(').then_some(end);
        }
        at = header(text, at, is_one_line)?;
    }
    None
}

/// Whether this is the beginning of a line of base64: names in programs are shorter, or have few capitals.
fn is_line(line: &[u8]) -> bool {
    let count = |is: fn(&u8) -> bool| line.iter().filter(|b| is(b)).count();
    let capitals = count(u8::is_ascii_uppercase);
    let small = count(u8::is_ascii_lowercase);
    let is_long = line.len() >= LONG_BYTES && count(u8::is_ascii_digit) > 0;
    let has_capitals = capitals.saturating_mul(4) >= capitals.saturating_add(small);
    line.len() >= LINE_BYTES.0 && capitals > 0 && small > 0 && (is_long || has_capitals)
}

/// Behind what may stand between two lines: their end as it is or escaped, the marks of texts in a program that puts them
/// together, of quotations, comments and lists, the number of a line.
fn gap(text: Text<'_>, start: usize) -> usize {
    let most = start.saturating_add(GAP_BYTES_MAX);
    let mut at = start;
    while at < most {
        let next = text.at(at.saturating_add(1));
        let length = match text.at(at) {
            b'\\' if matches!(next, b'n' | b'r' | b't') => 2,
            b'-' if next != b'-' => 1,
            b'/' if matches!(next, b'/' | b' ') => 1,
            b'<' => line_break(text, at),
            b if b.is_ascii_digit() => number(text, at),
            // `b"…"`: of what kind a text in a program is.
            b if b.is_ascii_alphabetic() && matches!(next, b'"' | b'\'') => 1,
            b if b.is_ascii_whitespace() || b >= 0x80 => 1,
            b if b"\\\"'`+,.|>#*&".contains(&b) => 1,
            _ => 0,
        };
        if length == 0 {
            return at;
        }
        at = at.saturating_add(length);
    }
    at
}

/// Bytes of the line break of HTML that stands here.
fn line_break(text: Text<'_>, at: usize) -> usize {
    let breaks = ["<br>", "<br/>", "<br />"];
    let here = breaks.iter().find(|tag| text.from(at).starts_with(*tag));
    here.map_or(0, |tag| tag.len())
}

/// Bytes of the number of a line that stands here, with the sign behind it.
fn number(text: Text<'_>, at: usize) -> usize {
    let end = text.run(at, 6, |b| b.is_ascii_digit());
    match base64(text.at(end)) {
        true => 0,
        false => end.saturating_sub(at).saturating_add(1),
    }
}

/// Behind the line `Name: value` that stands here.
fn header(text: Text<'_>, at: usize, is_one_line: bool) -> Option<usize> {
    let name = text.run(at, 24, |b| b.is_ascii_alphabetic() || b == b'-');
    if name == at || text.at(name) != b':' {
        return None;
    }
    let value = text.run(name.saturating_add(1), 2, |b| b == b' ');
    let inside = |b: u8| !matches!(b, b'\n' | b'\\' | b'"' | b'<') && !(is_one_line && b == b' ');
    Some(text.run(value, HEADER_BYTES_MAX, inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";

    /// The armour is put together here, so that nobody who looks for keys in source code finds one.
    fn found(text: &str) -> Option<String> {
        let text = text
            .replace("BEGIN!", "-----BEGIN ")
            .replace("END!", "-----END ");
        let at = text.find(BEGIN)?;
        let end = pem(
            Text {
                text: &text,
                key: "",
            },
            at,
        )?;
        Some(text[at..end].to_owned())
    }

    #[test]
    fn a_key_has_a_body() {
        for text in [
            format!("BEGIN!PRIVATE KEY-----\n{LINE}\nEND!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----\r\n{LINE}\r\nEND!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----\\n{LINE}\\nEND!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----\\\\n{LINE}\\\\nEND!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY----- {LINE} END!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----{LINE}END!PRIVATE KEY-----"),
            format!("BEGIN!EC PRIVATE KEY-----\n    {LINE}\n    END!EC PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----\\n\" +\n  \"{LINE}\\n\" +\n  \"END!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----\", \"{LINE}\", \"END!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----\\n\"\n  b\"{LINE}\\n\"\n  b\"END!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----\n> {LINE}\n> END!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----\n+{LINE}\n+END!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----\n  2\t{LINE}\n  3\tEND!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----<br/>{LINE}<br/>END!PRIVATE KEY-----"),
            format!(
                "BEGIN!RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123456789ABCDEF\n\n{LINE}\nEND!RSA PRIVATE KEY-----"
            ),
            format!(
                "BEGIN!RSA PRIVATE KEY----- Proc-Type: 4,ENCRYPTED DEK-Info: AES-128-CBC,0123456789ABCDEF {LINE} END!RSA PRIVATE KEY-----"
            ),
            format!(
                "BEGIN!PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2.0.22 (GNU/Linux)\nComment: a b c\n\n{LINE}\n=aB3d\nEND!PGP PRIVATE KEY BLOCK-----"
            ),
        ] {
            let whole = text
                .replace("BEGIN!", "-----BEGIN ")
                .replace("END!", "-----END ");
            assert_eq!(found(&format!("{text} and more")), Some(whole), "{text}");
        }
    }

    #[test]
    fn a_key_may_be_cut_off() {
        for length in [14, 20, 64] {
            let line = &LINE[..length];
            let text = format!("BEGIN!PRIVATE KEY-----\n{line}");
            let whole = text.replace("BEGIN!", "-----BEGIN ");
            assert_eq!(found(&text), Some(whole), "{text}");
        }
        let text = format!("BEGIN!PRIVATE KEY-----\\n\" +\n  \"{LINE}{LINE}\" and more");
        let hit = found(&text).unwrap_or_default();
        assert!(hit.ends_with(&format!("{LINE}{LINE}")), "{hit}");
    }

    #[test]
    fn who_writes_of_keys_has_none() {
        for text in [
            "BEGIN!PRIVATE KEY-----",
            "BEGIN!PRIVATE KEY-----\nEND!PRIVATE KEY-----",
            "BEGIN!PRIVATE KEY-----\n...\nEND!PRIVATE KEY-----",
            "BEGIN!PRIVATE KEY-----\nMIIE...\nEND!PRIVATE KEY-----",
            "BEGIN!PRIVATE KEY-----\nYOUR_PRIVATE_KEY\nEND!PRIVATE KEY-----",
            "BEGIN!PRIVATE KEY-----\n<your key>\nEND!PRIVATE KEY-----",
            "BEGIN!PRIVATE KEY-----\nbase64-encoded-key-data\nEND!PRIVATE KEY-----",
            "if pem.startswith(\"BEGIN!PRIVATE KEY-----\") and pem.endswith(\"END!PRIVATE KEY-----\"):",
            "key.replace(\"BEGIN!PRIVATE KEY-----\", \"\").replaceAll(\"\\\\n\", \"\").replace(\"END!PRIVATE KEY-----\", \"\"); new PKCS8EncodedKeySpec(x)",
            "\"BEGIN!PRIVATE KEY-----\\n\" + base64Encode(key) + \"\\nEND!PRIVATE KEY-----\"",
            "\"BEGIN!PRIVATE KEY-----\\n\" + privateKeyInBase64 + \"\\nEND!PRIVATE KEY-----\"",
            "[\"BEGIN!PRIVATE KEY-----\", \"BEGIN!RSA PRIVATE KEY-----\"]",
            "A key begins with BEGIN!PRIVATE KEY----- and ends with END!PRIVATE KEY-----.",
            "BEGIN!PRIVATE KEY-----: a line that comes before the key, which says what it is",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
        let public = format!("BEGIN!PUBLIC KEY-----\n{LINE}\nEND!PUBLIC KEY-----");
        assert_eq!(found(&public), None);
    }
}

//! Runs of base64: what they say, whatever is glued to them or stands amid it.
//!
//! A run that is the encoding of a text is decoded, cleaned and encoded again, over several lines too. Of any other, what
//! can be read in it is looked at: rows of plain characters amid other bytes, UTF-16, and what is encoded behind letters
//! that are glued to its front. If something is found there, all of the run goes.

use super::runs::{LONG, runs};
use super::text::Text;
use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::{
    BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD,
};

/// Shortest run in which more is looked for than a text, in characters: most shorter ones are words.
const TELLING: usize = 16;
/// Shortest run in front of which something may be glued, in characters.
const MISALIGNED: usize = 24;
/// Shortest row of plain characters amid others, in bytes: what is random seldom has one.
const ROW: usize = 8;

/// What a run of base64 says.
pub(super) struct Armoured {
    /// Where the run stands.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) text: String,
    /// Whether it is the encoding of this text, so that another text can be encoded in its place.
    pub(super) is_exact: bool,
}

type Found<'f> = dyn FnMut(Armoured) + 'f;

/// Every run of base64 (either alphabet) in a text in which something can be read.
pub(super) fn base64(text: &str, found: &mut Found<'_>) {
    let text = Text { text, key: "" };
    let mut lines = Lines::default();
    runs(text.text.as_bytes(), |start, end| {
        let mut at = start;
        while end.saturating_sub(at) >= LONG {
            let stop = text.run(at, end.saturating_sub(at), is_base64);
            if stop.saturating_sub(at) >= LONG {
                lines.push(text, at, stop, found);
            }
            at = stop.saturating_add(1);
        }
    });
    lines.flush(text, found);
}

fn is_base64(b: u8) -> bool {
    is_standard(b) || matches!(b, b'-' | b'_')
}

fn is_standard(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/')
}

/// Runs on lines of their own, one below the other, each as long as the first, but for the last.
#[derive(Default)]
struct Lines {
    runs: Vec<(usize, usize)>,
}

impl Lines {
    fn push(&mut self, text: Text<'_>, start: usize, end: usize, found: &mut Found<'_>) {
        if !self.goes_on(text, start, end) {
            self.flush(text, found);
        }
        self.runs.push((start, end));
    }

    fn goes_on(&self, text: Text<'_>, start: usize, end: usize) -> bool {
        let (Some(first), Some(last)) = (self.runs.first(), self.runs.last()) else {
            return false;
        };
        let width = length(*first);
        length(*last) == width
            && length((start, end)) <= width
            && next_line(text, last.1) == Some(start)
    }

    fn flush(&mut self, text: Text<'_>, found: &mut Found<'_>) {
        // What several lines say together need not be said by any of them.
        let is_one = self.runs.len() > 1 && self.block(text, found);
        if !is_one {
            for (start, end) in &self.runs {
                run(text, *start, *end, found);
            }
        }
        self.runs.clear();
    }

    /// Reads the lines as one run. Whether they are one: the encoding of a text.
    fn block(&self, text: Text<'_>, found: &mut Found<'_>) -> bool {
        let (Some(first), Some(last)) = (self.runs.first(), self.runs.last()) else {
            return false;
        };
        let width = length(*first);
        let next = next_line(text, last.1).filter(|_| length(*last) == width);
        let before = self.runs.len().saturating_mul(width);
        let end = next.and_then(|next| last_line(text, next, width, before));
        let end = text.run(end.unwrap_or(last.1), 2, |b| b == b'=');
        let joined: String = text.slice(first.0, end).split(['\r', '\n']).collect();
        let mut is_one = false;
        readings(&joined, &mut |offset, reading| {
            let is_exact = reading.is_text && offset == 0;
            is_one |= is_exact;
            found(Armoured {
                start: first.0,
                end,
                text: reading.text,
                is_exact,
            });
        });
        is_one
    }
}

fn length((start, end): (usize, usize)) -> usize {
    end.saturating_sub(start)
}

/// Where the next line begins, if one ends at `at`.
fn next_line(text: Text<'_>, at: usize) -> Option<usize> {
    match (text.at(at), text.at(at.saturating_add(1))) {
        (b'\n', _) => Some(at.saturating_add(1)),
        (b'\r', b'\n') => Some(at.saturating_add(2)),
        _ => None,
    }
}

/// The end of a last line that is too short to be told of as a run. It may be a word of what follows, unless it is padded
/// or makes the number of characters, `before` of which stand in the lines above, one of whole groups.
fn last_line(text: Text<'_>, start: usize, width: usize, before: usize) -> Option<usize> {
    let end = text.run(start, width, is_base64);
    let whole = before
        .saturating_add(end.saturating_sub(start))
        .is_multiple_of(4);
    let ends = match text.at(end) {
        b'=' => true,
        b'\n' | b'\r' | b'"' | 0 => whole,
        _ => false,
    };
    (end > start && ends).then_some(end)
}

/// Reads a run on one line.
fn run(text: Text<'_>, start: usize, end: usize, found: &mut Found<'_>) {
    let written = text.bytes(start, end);
    let both = written.iter().any(|b| matches!(b, b'-' | b'_'))
        && written.iter().any(|b| matches!(b, b'+' | b'/'));
    if !both {
        return one(text, start, end, found);
    }
    // No alphabet has all of these: the dashes stand between runs.
    let mut at = start;
    while at < end {
        let stop = text.run(at, end.saturating_sub(at), is_standard);
        if stop.saturating_sub(at) >= LONG {
            one(text, at, stop, found);
        }
        at = stop.saturating_add(1);
    }
}

/// Reads a run of one alphabet.
fn one(text: Text<'_>, start: usize, end: usize, found: &mut Found<'_>) {
    let end = text.run(end, 2, |b| b == b'=');
    let mut is_exact = true;
    readings(text.slice(start, end), &mut |offset, reading| {
        // Where there is more in a run than one text, no text alone takes its place.
        is_exact &= reading.is_text;
        found(Armoured {
            start: match is_exact {
                true => start.saturating_add(offset),
                false => start,
            },
            end,
            text: reading.text,
            is_exact,
        });
    });
}

/// What can be read in a run.
struct Reading {
    text: String,
    /// It is a text as a whole.
    is_text: bool,
}

/// Tells of what can be read in a run from each of its first four characters, up to the first from which it is a text.
fn readings(run: &str, tell: &mut dyn FnMut(usize, Reading)) {
    if !is_telling(run) {
        if let Some(reading) = plain(run) {
            tell(0, reading);
        }
        return;
    }
    let offsets = if run.len() < MISALIGNED { 1 } else { 4 };
    for offset in 0..offsets {
        let Some(reading) = run.get(offset..).and_then(reading) else {
            continue;
        };
        let is_text = reading.is_text;
        tell(offset, reading);
        if is_text {
            return;
        }
    }
}

/// Whether a run is worth more than a look at its first bytes: words, hashes and numbers are of one case.
fn is_telling(run: &str) -> bool {
    let bytes = run.as_bytes();
    bytes.len() >= TELLING
        && bytes.iter().any(u8::is_ascii_uppercase)
        && bytes.iter().any(u8::is_ascii_lowercase)
}

/// A run that is the encoding of a text.
fn plain(run: &str) -> Option<Reading> {
    // Most runs are words and hashes: the first bytes show it.
    if !bytes_of(run.get(..8)?)?.iter().copied().all(is_printable) {
        return None;
    }
    let text = String::from_utf8(bytes_of(run)?).ok()?;
    let is_text = text.bytes().all(is_printable);
    is_text.then_some(Reading { text, is_text })
}

fn reading(run: &str) -> Option<Reading> {
    let mut bytes = bytes_of(run)?;
    let nuls = memchr::memchr_iter(0, &bytes).count();
    // UTF-16, whichever way round: every other byte of what matters here.
    if nuls > 0 && nuls.saturating_mul(4) >= bytes.len() {
        bytes.retain(|b| *b != 0);
        return rows(&bytes);
    }
    match String::from_utf8(bytes) {
        Ok(text) => {
            let odd = text.bytes().filter(|b| !is_printable(*b)).count();
            match odd.saturating_mul(8) <= text.len() {
                true => Some(Reading {
                    text,
                    is_text: true,
                }),
                false => rows(text.as_bytes()),
            }
        }
        Err(error) => rows(error.as_bytes()),
    }
}

/// The rows of plain characters among some bytes.
fn rows(bytes: &[u8]) -> Option<Reading> {
    let mut text = String::new();
    let plain = |b: &u8| b.is_ascii() && is_printable(*b);
    for row in bytes.split(|b| !plain(b)).filter(|row| row.len() >= ROW) {
        text.extend(row.iter().map(|b| char::from(*b)));
        text.push('\n');
    }
    (!text.is_empty()).then_some(Reading {
        text,
        is_text: false,
    })
}

fn is_printable(b: u8) -> bool {
    matches!(b, b'\t' | b'\n' | b'\r' | 0x20..=0x7e) || b >= 0x80
}

/// Padding or none, and a last character that is cut off: whoever reads it may be as lenient.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
static OF_STANDARD: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
static OF_URLS: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

fn bytes_of(run: &str) -> Option<Vec<u8>> {
    let bare = run.trim_end_matches('=');
    let whole = match bare.len() % 4 {
        1 => bare.get(..bare.len().saturating_sub(1))?,
        _ => bare,
    };
    match bare.contains(['-', '_']) {
        true => OF_URLS.decode(whole).ok(),
        false => OF_STANDARD.decode(whole).ok(),
    }
}

/// The text that a run, over one or more lines, is the encoding of.
pub(super) fn decode_base64(run: &str) -> Option<String> {
    let bytes = match run.contains('\n') {
        true => bytes_of(&run.split(['\r', '\n']).collect::<String>()),
        false => bytes_of(run),
    };
    String::from_utf8(bytes?).ok()
}

/// Text as base64 in the alphabet, with the padding, and in lines as long as those of a run.
pub(super) fn encode_base64_like(run: &str, text: &str) -> String {
    let url = run.contains(['-', '_']);
    let breaks = run.bytes().filter(|b| matches!(b, b'\r' | b'\n')).count();
    let padded = run.len().saturating_sub(breaks).is_multiple_of(4);
    let encoded = match (url, padded) {
        (true, true) => BASE64_URL_SAFE.encode(text),
        (true, false) => BASE64_URL_SAFE_NO_PAD.encode(text),
        (false, true) => BASE64_STANDARD.encode(text),
        (false, false) => BASE64_STANDARD_NO_PAD.encode(text),
    };
    let Some(width) = run.find(['\r', '\n']) else {
        return encoded;
    };
    let line_break = match run.contains('\r') {
        true => "\r\n",
        false => "\n",
    };
    let lines = encoded.as_bytes().chunks(width.max(1));
    let lines: Vec<_> = lines.map(String::from_utf8_lossy).collect();
    lines.join(line_break)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, bool)> {
        let mut all = Vec::new();
        base64(text, &mut |run| all.push((run.text, run.is_exact)));
        all
    }

    fn texts(text: &str) -> Vec<String> {
        read(text).into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn runs_that_are_texts_are_told_and_words_are_not() {
        assert_eq!(
            texts("x aGVsbG8gd29ybGQ= y c29tZS1vbmUtZWxzZQ deadbeefdeadbeef"),
            ["hello world", "some-one-else"]
        );
        for words in [
            "internationalization",
            "getElementsByClassName and setAttributeForWhatever",
            "/usr/share/Documents/SomeThing/other-file_2",
            "3f2a9c81d4e5b6a7089f1e2d3c4b5a6978877665",
        ] {
            assert!(read(words).iter().all(|(_, exact)| !exact), "{words}");
        }
        assert_eq!(encode_base64_like("aGVsbG8gd29ybGQ=", "hello"), "aGVsbG8=");
    }

    #[test]
    fn what_is_no_plain_text_is_read_all_the_same() {
        let encode = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
        let wide = |text: &str, low: bool| -> Vec<u8> {
            text.encode_utf16()
                .flat_map(|unit| match low {
                    true => unit.to_le_bytes(),
                    false => unit.to_be_bytes(),
                })
                .collect()
        };
        for bytes in [
            b"\xffsecret of mine\xfe\x00".to_vec(),
            wide("secret of mine", true),
            wide("secret of mine", false),
        ] {
            let read = read(&encode(&bytes));
            let said = |(text, exact): &(String, bool)| text.contains("secret of mine") && !exact;
            assert!(read.iter().any(said), "{bytes:?}: {read:?}");
        }
        let exact = ("\u{1}secret of mine".to_owned(), true);
        assert_eq!(read(&encode(exact.0.as_bytes())), [exact]);
    }

    #[test]
    fn letters_in_front_do_not_hide_a_text() {
        let encoded = BASE64_STANDARD.encode("the secret of mine");
        for front in ["", "x", "xY", "xYz", "a-"] {
            let run = format!("{front}{encoded}");
            let read = read(&run);
            assert!(
                read.iter().any(|(text, _)| text.contains("secret of mine")),
                "{run}: {read:?}"
            );
        }
    }

    #[test]
    fn lines_are_read_together() {
        let secret = "a line, and a secret of mine over the end of the first line.";
        for width in [12, 15, 20, 22] {
            for line_break in ["\n", "\r\n"] {
                let wrapped =
                    encode_base64_like(&format!("{}{line_break}x", "A".repeat(width)), secret);
                let found = texts(&format!("see\n{wrapped}\nand so on"));
                assert!(found.iter().any(|text| text == secret), "{wrapped}");
                assert_eq!(decode_base64(&wrapped).as_deref(), Some(secret));
            }
        }
    }
}

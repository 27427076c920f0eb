//! A text in another spelling, with the way back: what a reader makes of it in the end.
//!
//! A match in a view is removed from the original: each stretch of a view knows which bytes it stands for.

use super::text::{Text, alnum};
use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfkc_quick};

/// A decoded text, and where its parts come from.
pub(super) struct View {
    pub(super) text: String,
    parts: Vec<Part>,
}

/// A stretch of a view. Byte for byte the original's, or as a whole the decoding of `from..to`.
#[derive(Clone, Copy)]
struct Part {
    at: usize,
    from: usize,
    to: usize,
    verbatim: bool,
}

impl View {
    fn with_capacity(bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            parts: Vec::new(),
        }
    }

    fn verbatim(&mut self, text: &str, from: usize) {
        let at = self.text.len();
        let to = from.saturating_add(text.len());
        self.text.push_str(text);
        match self.parts.last_mut() {
            Some(last) if last.verbatim && last.to == from => last.to = to,
            _ => self.parts.push(Part {
                at,
                from,
                to,
                verbatim: true,
            }),
        }
    }

    fn decoded(&mut self, text: &str, from: usize, to: usize) {
        let at = self.text.len();
        self.text.push_str(text);
        self.parts.push(Part {
            at,
            from,
            to,
            verbatim: false,
        });
    }

    /// A word with blanks for its plus signs, apart from what follows.
    fn spaced(&mut self, word: &str, from: usize) {
        let mut at = from;
        for part in word.split('+') {
            if at > from {
                self.decoded(" ", at.saturating_sub(1), at);
            }
            self.verbatim(part, at);
            at = at.saturating_add(part.len()).saturating_add(1);
        }
        let end = from.saturating_add(word.len());
        self.decoded("\n", end, end);
    }

    fn part(&self, position: usize) -> Option<&Part> {
        let behind = self.parts.partition_point(|part| part.at <= position);
        self.parts.get(behind.checked_sub(1)?)
    }

    /// The range of the original that a range of this view stands for.
    pub(super) fn original(&self, start: usize, end: usize) -> (usize, usize) {
        let first = self.part(start).map_or(0, |part| match part.verbatim {
            true => part.from.saturating_add(start.saturating_sub(part.at)),
            false => part.from,
        });
        let last = end.saturating_sub(1);
        let behind = self.part(last).map_or(first, |part| match part.verbatim {
            true => part.from.saturating_add(end.saturating_sub(part.at)),
            false => part.to,
        });
        (first, behind.max(first))
    }
}

/// The text as it looks: full-width and other compatibility forms as plain ones, digits of any script as `0` to `9`,
/// tag characters as what they repeat, nothing that is invisible. `None` if that is the text itself.
pub(super) fn visible(text: &str) -> Option<View> {
    if text.is_ascii() || !text.chars().any(disguise) {
        return None;
    }
    let mut view = View::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let to = at.saturating_add(c.len_utf8());
        if c.is_ascii() {
            view.verbatim(text.get(at..to).unwrap_or_default(), at);
        } else if let Some(plain) = tag(c).or_else(|| digit(c)).or_else(|| dash(c)) {
            view.decoded(plain.encode_utf8(&mut [0; 4]), at, to);
        } else if !hidden(c) {
            let plain: String = std::iter::once(c).nfkc().collect();
            let same = text.get(at..to) == Some(plain.as_str());
            match same {
                true => view.verbatim(&plain, at),
                false => view.decoded(&plain, at, to),
            }
        }
    }
    Some(view)
}

fn disguise(c: char) -> bool {
    !c.is_ascii() && !letter(c) && (hidden(c) || is_other(c))
}

/// Letters of the scripts that most is written in, which look like what they are.
fn letter(c: char) -> bool {
    matches!(c, 'À'..='ÿ' | 'Α'..='Ρ' | 'α'..='ώ' | 'Ѐ'..='ҁ' | 'א'..='ת' | 'ء'..='ي' | 'ぁ'..='ゖ' | 'ァ'..='ヺ' | '一'..='鿋' | '가'..='힣')
}

fn is_other(c: char) -> bool {
    let normal = is_nfkc_quick(std::iter::once(c)) != IsNormalized::No;
    !normal || tag(c).is_some() || digit(c).is_some() || dash(c).is_some()
}

fn hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e001f}' | '\u{e007f}'..='\u{e0fff}')
}

/// Tag characters repeat ASCII, unseen.
fn tag(c: char) -> Option<char> {
    let ascii = u32::from(c).checked_sub(0xe0000)?;
    matches!(ascii, 0x20..=0x7e)
        .then(|| char::from_u32(ascii))
        .flatten()
}

/// First digits of scripts whose ten digits follow each other.
const ZEROS: &[char] = &[
    '\u{660}',
    '\u{6f0}',
    '\u{7c0}',
    '\u{966}',
    '\u{9e6}',
    '\u{a66}',
    '\u{ae6}',
    '\u{b66}',
    '\u{be6}',
    '\u{c66}',
    '\u{ce6}',
    '\u{d66}',
    '\u{de6}',
    '\u{e50}',
    '\u{ed0}',
    '\u{f20}',
    '\u{1040}',
    '\u{17e0}',
    '\u{1810}',
    '\u{1d7ce}',
    '\u{1d7d8}',
    '\u{1d7e2}',
    '\u{1d7ec}',
    '\u{1d7f6}',
    '\u{1fbf0}',
];

fn digit(c: char) -> Option<char> {
    let value = ZEROS.iter().find_map(|zero| {
        let value = u32::from(c).checked_sub(u32::from(*zero))?;
        (value < 10).then_some(value)
    })?;
    char::from_digit(value, 10)
}

/// What looks like `-`.
fn dash(c: char) -> Option<char> {
    matches!(
        c,
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}'
    )
    .then_some('-')
}

/// With the marks of letters apart from them, and what is not ASCII in small letters: however somebody writes `Ü`, it is
/// the same here.
pub(super) fn folded(text: &str) -> View {
    let mut view = View::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let to = at.saturating_add(c.len_utf8());
        let whole = text.get(at..to).unwrap_or_default();
        if c.is_ascii() {
            view.verbatim(whole, at);
            continue;
        }
        let plain: String = c.to_lowercase().nfd().collect();
        match plain == whole {
            true => view.verbatim(whole, at),
            false => view.decoded(&plain, at, to),
        }
    }
    view
}

/// Without the backslashes of JSON, where there are any: JSON that stands in a text.
pub(super) fn unescaped(text: &str) -> Option<View> {
    let first = memchr::memchr(b'\\', text.as_bytes())?;
    let mut view = View::with_capacity(text.len());
    view.verbatim(text.get(..first)?, 0);
    let mut at = first;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let plain = memchr::memchr(b'\\', rest.as_bytes()).unwrap_or(rest.len());
        view.verbatim(rest.get(..plain).unwrap_or_default(), at);
        at = at.saturating_add(plain);
        let Some(escape) = rest.get(plain..).filter(|rest| !rest.is_empty()) else {
            break;
        };
        let (decoded, width) = escaped(escape);
        let to = at.saturating_add(width);
        match decoded {
            Some(c) => view.decoded(c.encode_utf8(&mut [0; 4]), at, to),
            None => view.verbatim(escape.get(..width).unwrap_or_default(), at),
        }
        at = to;
    }
    Some(view)
}

/// The character of a JSON escape, and its length in bytes. What is no escape stands for itself.
fn escaped(rest: &str) -> (Option<char>, usize) {
    let bytes = rest.as_bytes();
    let simple = match bytes.get(1) {
        Some(b @ (b'"' | b'\\' | b'/')) => char::from(*b),
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'u') => {
            let Some(unit) = unit(bytes, 2) else {
                return (None, 1);
            };
            let low = || {
                (bytes.get(6..8) == Some(b"\\u"))
                    .then(|| unit_at(bytes, 8))
                    .flatten()
            };
            let decoded = char::from_u32(unit).map(|c| (c, 6)).or_else(|| {
                let pair = [u16::try_from(unit).ok()?, u16::try_from(low()?).ok()?];
                let c = char::decode_utf16(pair).next()?.ok()?;
                Some((c, 12))
            });
            return decoded.map_or((None, 1), |(c, width)| (Some(c), width));
        }
        Some(b'x') => return of_bytes(bytes).map_or((None, 1), |(c, width)| (Some(c), width)),
        _ => return (None, 1),
    };
    (Some(simple), 2)
}

/// The character of `\x41`, which is none of JSON's, or of a row of such escapes that are one in UTF-8.
fn of_bytes(escapes: &[u8]) -> Option<(char, usize)> {
    let byte = |at: usize| {
        let escape = escapes.get(at..at.saturating_add(4))?;
        let [b'\\', b'x', high, low] = escape else {
            return None;
        };
        let high = char::from(*high).to_digit(16)?;
        let low = char::from(*low).to_digit(16)?;
        u8::try_from(high.saturating_mul(16).saturating_add(low)).ok()
    };
    let first = byte(0)?;
    let length: usize = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    let row: Option<Vec<u8>> = (0..length).map(|at| byte(at.saturating_mul(4))).collect();
    let row = row.unwrap_or_default();
    let wide = std::str::from_utf8(&row).ok();
    match wide.and_then(|text| text.chars().next()) {
        Some(c) => Some((c, length.saturating_mul(4))),
        None => Some((char::from(first), 4)),
    }
}

/// Where the JSON escape begins that `at` stands inside of: behind its backslash, and before its end.
pub(super) fn escape_around(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    // `\uXXXX` is the longest.
    let mut before = (at.saturating_sub(5)..at).rev();
    let start = before.find(|at| bytes.get(*at) == Some(&b'\\'))?;
    let first = Text { text, key: "" }.run_back(start, BACKSLASHES_MAX, |b| b == b'\\');
    // The second of two stands for itself.
    if !start.saturating_sub(first).is_multiple_of(2) {
        return None;
    }
    let width = match bytes.get(start.saturating_add(1)) {
        Some(b'u') if unit(bytes, start.saturating_add(2)).is_some() => 6,
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
        _ => 1,
    };
    (at < start.saturating_add(width)).then_some(start)
}

/// Most backslashes in a row that are counted.
const BACKSLASHES_MAX: usize = 64;

fn unit(bytes: &[u8], at: usize) -> Option<u32> {
    unit_at(bytes, at)
}

fn unit_at(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at.saturating_add(4))?;
    digits.iter().try_fold(0_u32, |sum, b| {
        let digit = char::from(*b).to_digit(16)?;
        Some(sum.saturating_mul(16).saturating_add(digit))
    })
}

/// With `%41` and the like decoded, where there are any.
pub(super) fn percent_decoded(text: &str) -> Option<View> {
    let first = memchr::memchr(b'%', text.as_bytes())?;
    let bytes = text.as_bytes();
    let byte = |at: usize| -> Option<u8> {
        let digits = bytes.get(at.saturating_add(1)..at.saturating_add(3))?;
        let [high, low] = digits else { return None };
        let high = char::from(*high).to_digit(16)?;
        let low = char::from(*low).to_digit(16)?;
        (bytes.get(at) == Some(&b'%')).then_some(())?;
        u8::try_from(high.saturating_mul(16).saturating_add(low)).ok()
    };
    let mut view = View::with_capacity(text.len());
    view.verbatim(text.get(..first)?, 0);
    let mut any = false;
    let mut at = first;
    while at < bytes.len() {
        let mut run = Vec::new();
        let mut to = at;
        // One character takes up to four of them.
        while run.len() < 4
            && let Some(decoded) = byte(to)
        {
            run.push(decoded);
            to = to.saturating_add(3);
            if std::str::from_utf8(&run).is_ok() {
                break;
            }
        }
        match std::str::from_utf8(&run) {
            Ok(decoded) if !decoded.is_empty() => {
                any = true;
                view.decoded(decoded, at, to);
                at = to;
            }
            _ => {
                let rest = text.get(at..)?;
                let next = memchr::memchr(b'%', rest.get(1..).unwrap_or_default().as_bytes());
                let end = next.map_or(rest.len(), |next| next.saturating_add(1));
                let end = rest.ceil_char_boundary(end);
                view.verbatim(rest.get(..end)?, at);
                at = at.saturating_add(end);
            }
        }
    }
    any.then_some(view)
}

/// What a text has of the body of a form (`card=4111+1111+…`), with blanks for its plus signs.
pub(super) fn form(text: &str) -> Option<View> {
    let whole = Text { text, key: "" };
    let ends = |b: u8| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'<' | b'>');
    let mut view = View::with_capacity(0);
    let mut at = 0;
    while let Some(plus) = memchr::memchr(b'+', text.as_bytes().get(at..)?) {
        let plus = at.saturating_add(plus);
        let start = whole.run_back(plus, plus.saturating_sub(at), |b| !ends(b));
        let end = whole.run(plus, text.len(), |b| !ends(b));
        let word = text.get(start..end)?;
        if is_form(word) {
            view.spaced(word, start);
        }
        at = end;
    }
    (!view.text.is_empty()).then_some(view)
}

/// Whether the plus signs of a word stand for blanks: one between two letters is in many words.
fn is_form(word: &str) -> bool {
    let bytes = word.as_bytes();
    let joins = |at: &usize| {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        let behind = bytes.get(at.saturating_add(1));
        before.is_some_and(|b| alnum(*b)) && behind.is_some_and(|b| alnum(*b) || *b == b'%')
    };
    let count = memchr::memchr_iter(b'+', bytes)
        .filter(joins)
        .take(2)
        .count();
    count == 2 || (count == 1 && word.contains('%'))
}

/// Longest name of an entity that is known here.
const ENTITY_NAME_MAX: usize = 14;
/// What can stand inside of a match, or around one.
const ENTITIES: [(&str, char); 25] = [
    ("NewLine", '\n'),
    ("Tab", '\t'),
    ("ZeroWidthSpace", '\u{200b}'),
    ("amp", '&'),
    ("apos", '\''),
    ("ast", '*'),
    ("bsol", '\\'),
    ("colon", ':'),
    ("comma", ','),
    ("commat", '@'),
    ("dash", '-'),
    ("equals", '='),
    ("excl", '!'),
    ("hyphen", '-'),
    ("lowbar", '_'),
    ("lpar", '('),
    ("nbsp", ' '),
    ("num", '#'),
    ("percnt", '%'),
    ("period", '.'),
    ("plus", '+'),
    ("quot", '"'),
    ("rpar", ')'),
    ("shy", '\u{ad}'),
    ("sol", '/'),
];

/// With the entities of HTML (`&#64;`, `&commat;`) as what they stand for, where one of them may matter.
pub(super) fn entities(text: &str) -> Option<View> {
    let bytes = text.as_bytes();
    let signs = || memchr::memchr_iter(b'&', bytes);
    let at_sign = |sign: usize| entity(bytes.get(sign..)?);
    // These are in every page, and in no match.
    let telling = |(c, _): (char, usize)| !matches!(c, '&' | '<' | '>');
    if !signs().any(|sign| at_sign(sign).is_some_and(telling)) {
        return None;
    }
    let mut view = View::with_capacity(text.len());
    let mut at = 0;
    for sign in signs() {
        let Some((c, width)) = at_sign(sign) else {
            continue;
        };
        view.verbatim(text.get(at..sign)?, at);
        at = sign.saturating_add(width);
        view.decoded(c.encode_utf8(&mut [0; 4]), sign, at);
    }
    view.verbatim(text.get(at..)?, at);
    Some(view)
}

/// The entity that a text begins with, and its length in bytes.
fn entity(text: &[u8]) -> Option<(char, usize)> {
    let name = text.get(1..)?;
    if name.first() == Some(&b'#') {
        return numbered(text);
    }
    let near = name.get(..ENTITY_NAME_MAX.saturating_add(1));
    let length = memchr::memchr(b';', near.unwrap_or(name))?;
    let name = name.get(..length)?;
    let known = ENTITIES.iter().find(|(known, _)| known.as_bytes() == name);
    known.map(|(_, c)| (*c, length.saturating_add(2)))
}

/// `&#64;`, `&#x40;`; the semicolon may be missing.
fn numbered(text: &[u8]) -> Option<(char, usize)> {
    let (from, radix) = match text.get(2) {
        Some(b'x' | b'X') => (3_usize, 16),
        _ => (2, 10),
    };
    let digits = text.get(from..)?.iter().take(8);
    let digits = digits.map_while(|b| char::from(*b).to_digit(radix));
    let (count, value) = digits.fold((0_usize, 0_u32), |(count, value), digit| {
        let value = value.saturating_mul(radix).saturating_add(digit);
        (count.saturating_add(1), value)
    });
    let c = char::from_u32(value).filter(|_| count > 0)?;
    let end = from.saturating_add(count);
    let closed = usize::from(text.get(end) == Some(&b';'));
    Some((c, end.saturating_add(closed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_decoding_knows_the_way_back() {
        type Decode = fn(&str) -> Option<View>;
        for (decode, text, expect, needle, original) in [
            (
                visible as Decode,
                "a 𝟒１１1 ٠ z",
                "a 4111 0 z",
                "4111 0",
                "𝟒１１1 ٠",
            ),
            (
                visible,
                "b\u{200b}ob\u{2060}@x.org",
                "bob@x.org",
                "bob@x.org",
                "b\u{200b}ob\u{2060}@x.org",
            ),
            (
                visible,
                "x\u{e0062}\u{e006f}y",
                "xboy",
                "bo",
                "\u{e0062}\u{e006f}",
            ),
            (
                unescaped,
                r#"{\"a\":\"\u0062o\/\"}"#,
                r#"{"a":"bo/"}"#,
                "bo/",
                r"\u0062o\/",
            ),
            (
                unescaped,
                r"\ud83d\ude00x\q",
                "😀x\\q",
                "😀",
                r"\ud83d\ude00",
            ),
            (
                percent_decoded,
                "a%20b%40c%zz%C3%A9",
                "a b@c%zzé",
                "b@c",
                "b%40c",
            ),
            (
                unescaped,
                r"\x62ob\x40c \xc3\xa9\xe9\xz",
                "bob@c éé\\xz",
                "bob@c",
                r"\x62ob\x40c",
            ),
            (form, "to a+b+c d+e", "a b c\n", "b c", "b+c"),
            (
                form,
                "n=4+1+%2B &x=5+6+7",
                "n=4 1 %2B\n&x=5 6 7\n",
                "5 6 7",
                "5+6+7",
            ),
            (
                entities,
                "a &amp; b&#64;c&#x2e;d&commat;&#46 &lt;",
                "a & b@c.d@. &lt;",
                "b@c.d",
                "b&#64;c&#x2e;d",
            ),
        ] {
            let view = decode(text).unwrap();
            assert_eq!(view.text, expect);
            let at = view.text.find(needle).unwrap();
            let (start, end) = view.original(at, at + needle.len());
            assert_eq!(&text[start..end], original);
        }
        assert!(visible("plain").is_none() && visible("naïve").is_none());
        assert!(unescaped("plain").is_none() && percent_decoded("100% sure").is_none());
        assert!(form("a+b 2024-01-15T12:34:56+01:00 c++ + + +").is_none());
        assert!(entities("a &amp; b &lt; c & d; &; &#; &#x; &unknown; &#1114112;").is_none());
    }

    #[test]
    fn escapes_are_known_by_what_stands_before() {
        for (text, at, expect) in [
            (r"Hi,\nbob", 4, Some(3)),
            (r"Hi,\nbob", 5, None),
            (r"Hi,\nbob", 3, None),
            (r"Hi,\\nbob", 5, None),
            (r"Hi,\\nbob", 4, Some(3)),
            (r"Hi,\\\nbob", 6, Some(5)),
            (r"x\u00e9y", 2, Some(1)),
            (r"x\u00e9y", 6, Some(1)),
            (r"x\u00e9y", 7, None),
            (r"C:\4111", 3, None),
            ("plain", 3, None),
            ("", 0, None),
        ] {
            assert_eq!(escape_around(text, at), expect, "{text} at {at}");
        }
    }

    #[test]
    fn letters_that_pass_at_once_look_like_what_they_are() {
        for c in (0..=0x0011_0000)
            .filter_map(char::from_u32)
            .filter(|c| letter(*c))
        {
            assert!(!hidden(c) && !is_other(c), "{c:?}");
        }
    }
}

//! Text in its normal form, cut into words.

use super::class::class;
use super::script::{separates, unspaced};
use unicode_normalization::UnicodeNormalization;

class!(ENDS, ends);
class!(STARTS, starts);

/// Compatibility form (NFKC), lower case, each run of white space as one space, none at the ends.
pub(super) fn normal(text: &str) -> String {
    if text.is_ascii() {
        return ascii_normal(text);
    }
    any_normal(text)
}

fn any_normal(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    let mut blank = true;
    for c in text.nfkc().flat_map(char::to_lowercase) {
        if !c.is_whitespace() {
            normal.push(c);
            blank = false;
        } else if !blank {
            normal.push(' ');
            blank = true;
        }
    }
    if normal.ends_with(' ') {
        normal.pop();
    }
    normal
}

/// In loops that the compiler turns into those over many bytes at once, as long as no two blanks stand side by side.
fn ascii_normal(text: &str) -> String {
    let blank = |byte: u8| matches!(byte, b'\t'..=b'\r' | b' ');
    let text = text.trim();
    let pairs = text.bytes().zip(text.bytes().skip(1));
    let doubled = pairs.fold(false, |found, (a, b)| found | (blank(a) & blank(b)));
    let lower = |byte: u8| match blank(byte) {
        true => b' ',
        false => byte.to_ascii_lowercase(),
    };
    let mut bytes: Vec<u8> = text.bytes().map(lower).collect();
    if doubled {
        bytes.dedup_by(|b, a| *a == b' ' && *b == b' ');
    }
    // It is ASCII as the text was.
    String::from_utf8(bytes).unwrap_or_default()
}

/// Lower case and each run of blanks as one space, and nothing else: what differs in more than that may name another
/// thing. `None` if that is the [`normal`] form.
pub(super) fn folded(text: &str, normal: &str) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let mut folded = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_ascii_whitespace() => {
                if !folded.ends_with(' ') {
                    folded.push(' ');
                }
            }
            c if c.is_ascii() => folded.push(c.to_ascii_lowercase()),
            // Not the sign of the kelvin, which is no letter `k`.
            c if c.to_lowercase().any(|c| c.is_ascii()) => folded.push(c),
            c => folded.extend(c.to_lowercase()),
        }
    }
    (folded.trim_matches(' ') != normal).then_some(folded)
}

/// The [`normal`] and the [`folded`] form of a text in which words with a digit and letters of both cases are left as they
/// are: two that differ in case are two ids. None if it has no such word.
pub(super) fn with_ids(text: &str) -> Vec<String> {
    // Hardly any text has one.
    if !may_be_id(text) {
        return Vec::new();
    }
    let mut chunks = text.split_whitespace().filter(|chunk| may_be_id(chunk));
    if !chunks.any(|chunk| words(chunk).any(|word| may_be_id(word.word))) {
        return Vec::new();
    }
    let lower = |text: &str| {
        text.chars()
            .flat_map(char::to_lowercase)
            .collect::<String>()
    };
    if text.is_ascii() {
        return vec![keeping_ids(text.split_ascii_whitespace(), lower)];
    }
    let compatible: String = text.nfkc().collect();
    let fold = |piece: &str| match folded(piece, "") {
        Some(folded) => folded,
        None => piece.to_ascii_lowercase(),
    };
    vec![
        keeping_ids(compatible.split_whitespace(), lower),
        keeping_ids(text.split_ascii_whitespace(), fold),
    ]
}

fn may_be_id(text: &str) -> bool {
    let has = |is: fn(&u8) -> bool| text.as_bytes().iter().any(is);
    has(u8::is_ascii_digit) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase)
}

fn keeping_ids<'t>(
    chunks: impl Iterator<Item = &'t str>,
    lower: impl Fn(&str) -> String,
) -> String {
    let mut kept = String::new();
    for chunk in chunks {
        if !kept.is_empty() {
            kept.push(' ');
        }
        let mut rest = words(chunk);
        for Word { gap, word } in rest.by_ref() {
            kept.push_str(&lower(gap));
            match may_be_id(word) {
                true => kept.push_str(word),
                false => kept.push_str(&lower(word)),
            }
        }
        kept.push_str(&lower(rest.rest()));
    }
    kept
}

/// The text without characters that nobody sees (zero-width, joiners, bidi controls, tags, soft hyphen).
pub(super) fn visible(text: &str) -> std::borrow::Cow<'_, str> {
    let hidden = |c: char| {
        matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
    };
    if text.is_ascii() || !text.contains(hidden) {
        text.into()
    } else {
        text.replace(hidden, "").into()
    }
}

/// The text with what pages write for a character (`&colon;`, `&#58;`) replaced by it; `None` if there is none.
pub(super) fn without_entities(text: &str) -> Option<String> {
    // Hardly any text has one, and none is copied for that.
    memchr::memchr(b'&', text.as_bytes())?;
    let mut decoded = String::new();
    let mut rest = text;
    let mut any = false;
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        let (before, from) = rest.split_at_checked(at)?;
        decoded.push_str(before);
        let end = from.bytes().take(ENTITY_BYTES_MAX).position(|b| b == b';');
        let name = end.and_then(|end| from.get(1..end));
        if let (Some(name), Some(end)) = (name, end)
            && let Some(c) = entity(name)
        {
            any = true;
            decoded.push(c);
            rest = from.get(end.saturating_add(1)..)?;
        } else {
            decoded.push('&');
            rest = from.get(1..)?;
        }
    }
    decoded.push_str(rest);
    any.then_some(decoded)
}

/// Longest entity that is looked at, with its signs.
const ENTITY_BYTES_MAX: usize = 24;

fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let hex = number.strip_prefix(['x', 'X']);
        let code = match hex {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        return char::from_u32(code.ok()?);
    }
    // Letters in another type: `&lscr;` is a script `l`, and `l` to whoever resolves a host.
    let letter = ["scr", "fr", "opf"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .and_then(|letter| letter.parse::<char>().ok());
    letter.or_else(|| named(name))
}

/// Signs that addresses, numbers and words are made of or end at.
fn named(name: &str) -> Option<char> {
    Some(match name {
        "colon" => ':',
        "sol" => '/',
        "period" => '.',
        "commat" => '@',
        "num" => '#',
        "quest" => '?',
        "equals" => '=',
        "amp" | "AMP" => '&',
        "lowbar" | "UnderBar" => '_',
        "hyphen" | "dash" => '-',
        "plus" => '+',
        "percnt" => '%',
        "comma" => ',',
        "semi" => ';',
        "excl" => '!',
        "ast" | "midast" => '*',
        "dollar" => '$',
        "bsol" => '\\',
        "lt" | "LT" => '<',
        "gt" | "GT" => '>',
        "quot" | "QUOT" => '"',
        "apos" => '\'',
        "lpar" => '(',
        "rpar" => ')',
        "lbrack" | "lsqb" => '[',
        "rbrack" | "rsqb" => ']',
        "lbrace" | "lcub" => '{',
        "rbrace" | "rcub" => '}',
        "vert" | "verbar" | "VerticalLine" => '|',
        "grave" | "DiacriticalGrave" => '`',
        "nbsp" | "NonBreakingSpace" | "ensp" | "emsp" | "thinsp" => ' ',
        // A browser reads over these in a link.
        "Tab" => '\t',
        "NewLine" => '\n',
        "ZeroWidthSpace" | "zwnj" | "zwj" | "shy" | "NoBreak" | "ic" | "it" | "lrm" | "rlm" => {
            '\u{200b}'
        }
        "ell" => 'l',
        "inodot" | "imath" => 'ı',
        _ => return None,
    })
}

/// The text with the digits of all scripts as those of ASCII.
pub(super) fn with_ascii_digits(text: &str) -> std::borrow::Cow<'_, str> {
    let is = |c: char| !c.is_ascii() && digit(c).is_some();
    if text.is_ascii() || !text.contains(is) {
        return text.into();
    }
    let plain = text.chars().map(|c| digit(c).unwrap_or(c));
    plain.collect::<String>().into()
}

/// Where Unicode's decimal digits begin, those left out that the compatibility form turns into ASCII.
const ZEROS: [u32; 37] = [
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6,
    0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50,
    0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0x104a0,
    0x11066,
];

fn digit(c: char) -> Option<char> {
    let code = u32::from(c);
    let digit = ZEROS
        .iter()
        .filter_map(|zero| code.checked_sub(*zero))
        .find(|digit| *digit < 10)?;
    char::from_digit(digit, 10)
}

/// The text with those words in Latin letters that are spelled in Cyrillic or Greek ones that look the same, as a whole or
/// in part; `None` if there is none. Whoever reads such a word types it in Latin letters.
pub(super) fn with_latin_letters(text: &str) -> Option<String> {
    if text.is_ascii() || !text.contains(|c| latin(c).is_some()) {
        return None;
    }
    let (mut plain, mut any) = (String::with_capacity(text.len()), false);
    for word in text.split_inclusive(|c: char| !c.is_alphanumeric()) {
        let plainer = |c: char| latin(c).or((c.is_ascii() || !c.is_alphanumeric()).then_some(c));
        match word.chars().map(plainer).collect::<Option<String>>() {
            Some(latin) => {
                any |= latin != word;
                plain.push_str(&latin);
            }
            None => plain.push_str(word),
        }
    }
    any.then_some(plain)
}

/// The Latin letter that a letter of another script looks like.
fn latin(c: char) -> Option<char> {
    const LOOK_ALIKE: [(&str, &str); 4] = [
        ("аеорсухіјѕһԁԛԝкмтнвг", "aeopcyxijshdqwkmthbr"),
        ("АЕОРСУХІЈЅҺԀԚԜКМТНВ", "AEOPCYXIJSHDQWKMTHB"),
        ("αονρτυικεηγχω", "aovptuikenyxw"),
        ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX"),
    ];
    if c.is_ascii() {
        return None;
    }
    LOOK_ALIKE.iter().find_map(|(others, latin)| {
        let at = others.chars().position(|other| other == c)?;
        latin.chars().nth(at)
    })
}

/// Between words, whatever stands around it.
const fn parts(c: char) -> bool {
    matches!(
        c,
        ' ' | '"'
            | '\''
            | '`'
            | '<'
            | '>'
            | '('
            | ')'
            | '['
            | ']'
            | '{'
            | '}'
            | '|'
            | ','
            | ';'
            | ':'
            | '='
            | '\\'
    ) || separates(c)
}

/// Where a word ends at the latest.
const fn ends(c: char) -> bool {
    parts(c) || unspaced(c)
}

/// Not at the start or the end of a word.
const fn trims(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '*' | '€' | '£' | '$' | '¥' | '…')
}

/// Where a word begins: `#general` and `@alice` are the channel and the person without the sign.
const fn starts(c: char) -> bool {
    !parts(c) && !trims(c) && !matches!(c, '#' | '@')
}

/// A word of a normal text, and what stands between it and the word before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Word<'t> {
    pub(super) gap: &'t str,
    pub(super) word: &'t str,
}

/// The words of a [`normal`] text.
pub(super) struct Words<'t> {
    rest: &'t str,
}

pub(super) fn words(normal: &str) -> Words<'_> {
    Words { rest: normal }
}

impl<'t> Words<'t> {
    /// What follows the last word.
    pub(super) fn rest(&self) -> &'t str {
        self.rest
    }
}

impl<'t> Iterator for Words<'t> {
    type Item = Word<'t>;

    fn next(&mut self) -> Option<Word<'t>> {
        let start = STARTS.find(self.rest)?;
        let (gap, from) = self.rest.split_at_checked(start)?;
        let first = from.chars().next()?;
        let end = match unspaced(first) {
            true => first.len_utf8(),
            false => ENDS.find(from).unwrap_or(from.len()),
        };
        let mut word = from.get(..end)?;
        if !word.ends_with(|c: char| c.is_ascii_alphanumeric()) {
            word = word.trim_end_matches(trims);
        }
        self.rest = from.get(word.len()..)?;
        Some(Word { gap, word })
    }
}

/// A [`normal`] text with its words, cut once for all who look at them.
pub(super) struct Cut<'t> {
    text: &'t str,
    spans: Vec<Span>,
}

/// Where a word begins and ends, in bytes. Texts are far shorter than 4 GiB.
pub(super) type Span = (u32, u32);

/// Bytes of a text per word, at least nearly always: for the first guess of how many there are.
const WORD_BYTES: usize = 5;

/// The places of the words of a normal text.
pub(super) fn spans(normal: &str) -> Vec<Span> {
    let mut spans = Vec::with_capacity(normal.len().checked_div(WORD_BYTES).unwrap_or(0));
    let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let mut tell = |start: usize, end: usize| spans.push((place(start), place(end)));
    if normal.is_ascii() {
        ascii_spans(normal.as_bytes(), &mut tell);
        return spans;
    }
    let mut at = 0_usize;
    for Word { gap, word } in words(normal) {
        let start = at.saturating_add(gap.len());
        at = start.saturating_add(word.len());
        tell(start, at);
    }
    spans
}

/// The same where each byte is a character, as in most texts.
fn ascii_spans(normal: &[u8], tell: &mut impl FnMut(usize, usize)) {
    let mut at = 0_usize;
    while let Some(start) = STARTS.find_ascii(normal, at) {
        let end = ENDS.find_ascii(normal, start).unwrap_or(normal.len());
        let word = normal.get(start..end).unwrap_or_default();
        let trimmed = word.iter().rev().take_while(|b| trims(char::from(**b)));
        at = end.saturating_sub(trimmed.count());
        tell(start, at);
    }
}

impl<'t> Cut<'t> {
    pub(super) fn new(normal: &'t str) -> Self {
        Self {
            text: normal,
            spans: spans(normal),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether a word has so many bytes or more.
    pub(super) fn has_word_of(&self, bytes: usize) -> bool {
        let length = |(start, end): &Span| usize::try_from(end.saturating_sub(*start));
        self.spans
            .iter()
            .any(|span| length(span).is_ok_and(|length| length >= bytes))
    }

    pub(super) fn get(&self, at: usize) -> Option<&'t str> {
        self.spans.get(at).map(|span| self.between(span.0, span.1))
    }

    /// The words.
    pub(super) fn words(&self) -> impl Iterator<Item = &'t str> {
        self.spans.iter().map(|span| self.between(span.0, span.1))
    }

    /// Of each word, whether it has one of two signs in it. They are looked for in the whole text: most words have none.
    pub(super) fn having(&self, one: u8, other: u8) -> impl Iterator<Item = bool> {
        let signs = memchr::memchr2_iter(one, other, self.text.as_bytes());
        let mut signs = signs.map_while(|at| u32::try_from(at).ok()).peekable();
        self.spans.iter().map(move |(start, end)| {
            while signs.next_if(|at| at < start).is_some() {}
            signs.peek().is_some_and(|at| at < end)
        })
    }

    /// What stands before a word.
    pub(super) fn gap(&self, at: usize) -> &'t str {
        let before = at.checked_sub(1).and_then(|before| self.spans.get(before));
        let end = before.map_or(0, |(_, end)| *end);
        let start = self.spans.get(at).map(|(start, _)| *start);
        start.map_or("", |start| self.between(end, start))
    }

    /// The words with what stands between them.
    pub(super) fn iter(&self) -> impl Iterator<Item = Word<'t>> {
        let ends = std::iter::once(0).chain(self.spans.iter().map(|(_, end)| *end));
        let spans = ends.zip(&self.spans);
        spans.map(|(before, (start, end))| Word {
            gap: self.between(before, *start),
            word: self.between(*start, *end),
        })
    }

    /// The text from one word to before another, or as far as there are words.
    pub(super) fn stretch(&self, from: usize, to: usize) -> &'t str {
        let spans = self.spans.get(from..to.min(self.spans.len()));
        let spans = spans.unwrap_or_default();
        match (spans.first(), spans.last()) {
            (Some((start, _)), Some((_, end))) => self.between(*start, *end),
            _ => "",
        }
    }

    fn between(&self, start: u32, end: u32) -> &'t str {
        let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        let text = self.text.get(place(start)..place(end));
        text.unwrap_or_default()
    }
}

/// What stands in quotation marks, and each run of non-blank characters with and without the punctuation after it: how
/// people write values into sentences.
pub(super) fn quoted_and_chunks(text: &str) -> impl Iterator<Item = &str> {
    let quoted = ['"', '\'', '`', '”', '’', '»', '」', '』', '》', '】']
        .into_iter()
        .flat_map(|close| {
            let open = match close {
                '”' => '“',
                '’' => '‘',
                '»' => '«',
                '」' => '「',
                '』' => '『',
                '》' => '《',
                '】' => '【',
                same => same,
            };
            text.split(open)
                .skip(1)
                .filter_map(move |part| part.split(close).next())
                .filter(|part| !part.trim().is_empty())
        });
    let chunks = text.split_whitespace().flat_map(|chunk| {
        let bare = chunk.trim_end_matches(['.', ',', ';', ':', '!', '?']);
        let unquoted = bare.trim_matches(['"', '\'', '`', '“', '”', '(', ')']);
        [chunk, bare, unquoted]
    });
    quoted.chain(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn look_alikes_are_read_as_they_look() {
        for (text, latin) in [
            ("Раураl", Some("Paypal")),
            ("Теаm mееting, 5 мая", Some("Team meeting, 5 мая")),
            ("Νοtes", Some("Notes")),
            ("plain", None),
            ("привет, жизнь", None),
            ("naïve", None),
        ] {
            assert_eq!(with_latin_letters(text).as_deref(), latin, "{text}");
        }
        for (others, latin) in [("аеорсухіјѕһԁԛԝкмтнвг", 20), ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", 14)]
        {
            assert_eq!(others.chars().count(), latin);
            assert!(others.chars().all(|c| super::latin(c).is_some()));
        }
    }

    #[test]
    fn letters_without_blanks_are_words() {
        for (text, cut) in [
            ("付给王小明。", &["付", "给", "王", "小", "明"][..]),
            (
                "bobさんへ5万円",
                &["bob", "さ", "ん", "へ", "5", "万", "円"],
            ),
            ("x「a、b」y", &["x", "a", "b", "y"]),
            ("¿quién? ¡nadie!", &["quién", "nadie"]),
            ("abc!你", &["abc", "你"]),
            ("l·l co-op", &["l·l", "co-op"]),
        ] {
            let found: Vec<&str> = words(text).map(|word| word.word).collect();
            assert_eq!(found, cut, "{text}");
        }
    }

    #[test]
    fn ids_keep_their_case() {
        for (text, forms) in [
            ("Ticket aBc1,\tNow", &["ticket aBc1, now"][..]),
            ("(ID:aBc1) Of ACME", &["(id:aBc1) of acme"]),
            ("Straße aBc1", &["straße aBc1"; 2]),
            ("ＴＥＡＭ aBc1", &["team aBc1", "ｔｅａｍ aBc1"]),
            (
                "Acme\u{a0}Ltd aBc1",
                &["acme ltd aBc1", "acme\u{a0}ltd aBc1"],
            ),
            ("Elm Street 5", &[]),
            ("GB29NWBK", &[]),
        ] {
            assert_eq!(with_ids(text), forms, "{text}");
        }
    }

    proptest! {
        /// Where there is an id, all else is as in the forms without one.
        #[test]
        fn other_words_have_the_forms_that_they_have_elsewhere(text in "[ \\ta-zA-Z“”é\u{a0}Ｔ.,:]{0,20}") {
            let whole = format!("{text} x1X");
            let plain = normal(&whole);
            let folded = folded(&whole, &plain).unwrap_or_else(|| plain.clone());
            let kept: Vec<String> = with_ids(&whole).iter().map(|form| form.replace("x1X", "x1x")).collect();
            prop_assert_eq!(kept.last().map(String::as_str), Some(folded.trim_matches(' ')));
            prop_assert_eq!(kept.first(), Some(&plain));
        }

        #[test]
        fn ascii_has_one_normal_form(text in "[\\x00-\\x7f]{0,40}|[ a-zA-Z\\t\\n]{0,40}") {
            prop_assert_eq!(ascii_normal(&text), any_normal(&text));
        }

        #[test]
        fn a_text_is_its_words_and_what_stands_between_them(text in "[ -~é„…王はไ。」]{0,40}|[ -~]{0,40}") {
            let cut: Vec<Word<'_>> = words(&text).collect();
            let again = Cut::new(&text);
            prop_assert_eq!(again.iter().collect::<Vec<_>>(), cut.clone());
            prop_assert_eq!(again.words().collect::<Vec<_>>(), cut.iter().map(|word| word.word).collect::<Vec<_>>());
            let joined: String = cut.iter().flat_map(|word| [word.gap, word.word]).collect();
            prop_assert!(text.starts_with(&joined));
        }
    }
}

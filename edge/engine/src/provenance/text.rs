//! Text in its normal form, cut into words.

use unicode_normalization::UnicodeNormalization;

/// Compatibility form (NFKC), lower case, each run of white space as one space, none at the ends.
pub(super) fn normal(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    let mut blank = true;
    let mut push = |c: char| {
        if !c.is_whitespace() {
            normal.push(c);
            blank = false;
        } else if !blank {
            normal.push(' ');
            blank = true;
        }
    };
    if text.is_ascii() {
        text.chars()
            .map(|c| c.to_ascii_lowercase())
            .for_each(&mut push);
    } else {
        text.nfkc().flat_map(char::to_lowercase).for_each(&mut push);
    }
    if normal.ends_with(' ') {
        normal.pop();
    }
    normal
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
    let mut decoded = String::new();
    let mut rest = text;
    let mut any = false;
    while let Some(at) = rest.find('&') {
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
        "nbsp" | "NonBreakingSpace" | "ensp" | "emsp" | "thinsp" | "Tab" | "NewLine" => ' ',
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

/// Where a word ends, whatever stands around it.
fn parts(c: char) -> bool {
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
            | '“'
            | '”'
            | '„'
            | '‘'
            | '’'
            | '«'
            | '»'
    )
}

/// Not at the start or the end of a word.
fn trims(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '*' | '€' | '£' | '$' | '¥' | '…')
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
        // `#general` and `@alice` are the channel and the person without the sign.
        let start = position(self.rest, |c| {
            !parts(c) && !trims(c) && !matches!(c, '#' | '@')
        })?;
        let (gap, from) = self.rest.split_at_checked(start)?;
        let end = position(from, parts).unwrap_or(from.len());
        let word = from.get(..end)?.trim_end_matches(trims);
        self.rest = from.get(word.len()..)?;
        Some(Word { gap, word })
    }
}

/// As `text.find(is)`, but without decoding what is ASCII.
fn position(text: &str, is: impl Fn(char) -> bool) -> Option<usize> {
    let ascii = text
        .bytes()
        .position(|b| !b.is_ascii() || is(char::from(b)))?;
    let rest = text.get(ascii..)?;
    if rest.starts_with(|c: char| c.is_ascii()) {
        return Some(ascii);
    }
    rest.find(is)?.checked_add(ascii)
}

/// What stands in quotation marks, and each run of non-blank characters with and without the punctuation after it: how
/// people write values into sentences.
pub(super) fn quoted_and_chunks(text: &str) -> impl Iterator<Item = &str> {
    let quoted = ['"', '\'', '`', '”', '’', '»']
        .into_iter()
        .flat_map(|close| {
            let open = match close {
                '”' => '“',
                '’' => '‘',
                '»' => '«',
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

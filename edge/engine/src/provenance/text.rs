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
        let start = position(self.rest, |c| !parts(c) && !trims(c))?;
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

//! Classes of characters, with a table for ASCII: texts are long, and hardly any of them has anything else.

/// Characters that texts are cut at.
pub(super) struct Class {
    /// By byte: whether that ASCII character is one; `true` for the bytes of all others, which have to be looked at.
    pub(super) bytes: [bool; 256],
    pub(super) is: fn(char) -> bool,
}

/// `class!(NAME, is)`: the characters for which the `const fn` `is` holds.
macro_rules! class {
    ($(#[$doc:meta])* $name:ident, $is:path) => {
        $(#[$doc])*
        static $name: $crate::provenance::class::Class = $crate::provenance::class::Class {
            bytes: {
                let mut bytes = [true; 256];
                let mut byte = 0_u8;
                while byte.is_ascii() {
                    #[expect(
                        clippy::as_conversions,
                        clippy::indexing_slicing,
                        reason = "a constant, and never out of bounds"
                    )]
                    {
                        bytes[byte as usize] = $is(byte as char);
                    }
                    byte += 1;
                }
                bytes
            },
            is: $is,
        };
    };
}
pub(super) use class;

impl Class {
    /// As `text.find(is)`.
    pub(super) fn find(&self, text: &str) -> Option<usize> {
        let marked = |byte: u8| self.bytes.get(usize::from(byte)) == Some(&true);
        let at = text.bytes().position(marked)?;
        let rest = text.get(at..)?;
        if rest.starts_with(|c: char| c.is_ascii()) {
            return Some(at);
        }
        rest.find(self.is)?.checked_add(at)
    }

    /// The same in a text of ASCII alone, from a place on.
    pub(super) fn find_ascii(&self, text: &[u8], from: usize) -> Option<usize> {
        let marked = |byte: &u8| self.bytes.get(usize::from(*byte)) == Some(&true);
        let offset = text.get(from..)?.iter().position(marked)?;
        offset.checked_add(from)
    }

    /// As `text.split(is)`.
    pub(super) fn split<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        let mut rest = Some(text);
        std::iter::from_fn(move || {
            let text = rest?;
            let Some(at) = self.find(text) else {
                rest = None;
                return Some(text);
            };
            let (piece, from) = text.split_at_checked(at)?;
            let mut chars = from.chars();
            chars.next();
            rest = Some(chars.as_str());
            Some(piece)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    const fn ends(c: char) -> bool {
        matches!(c, ' ' | '<' | '»' | '…') || c.is_whitespace()
    }

    class!(ENDS, ends);

    proptest! {
        #[test]
        fn it_finds_and_splits_as_the_predicate_does(text in "[ a<>»…é\u{2003}\u{0}-\u{7f}]{0,24}|[ a<>]{0,24}") {
            prop_assert_eq!(ENDS.find(&text), text.find(ends));
            for from in (0..=text.len()).filter(|_| text.is_ascii()) {
                let found = text[from..].find(ends).map(|at| from + at);
                prop_assert_eq!(ENDS.find_ascii(text.as_bytes(), from), found);
            }
            let pieces: Vec<&str> = ENDS.split(&text).collect();
            prop_assert_eq!(pieces, text.split(ends).collect::<Vec<_>>());
        }
    }
}

//! What some words look like, so that of most others it is known at once that they are none of them.

/// The lengths of some words by their first and last letters.
pub(super) struct Shapes([u32; 1_024]);

impl Shapes {
    pub(super) fn of<'w>(words: impl Iterator<Item = &'w str>) -> Self {
        let mut lengths = [0_u32; 1_024];
        for word in words {
            if let Some(of_ends) = lengths.get_mut(ends_of(word)) {
                *of_ends |= length_of(word);
            }
        }
        Self(lengths)
    }

    /// Whether a word may be one of them.
    pub(super) fn may_have(&self, word: &str) -> bool {
        let of_ends = self.0.get(ends_of(word)).copied();
        of_ends.unwrap_or(0) & length_of(word) != 0
    }
}

/// A number below 1,024 for the first and the last letter: it is the same in capital letters, and for some other signs.
fn ends_of(word: &str) -> usize {
    let letter = |byte: Option<&u8>| usize::from(byte.copied().unwrap_or(0) & 31);
    let bytes = word.as_bytes();
    letter(bytes.first()).wrapping_shl(5) | letter(bytes.last())
}

/// A bit for the length, which all have in common that are long.
fn length_of(word: &str) -> u32 {
    let length = u32::try_from(word.len()).unwrap_or(u32::MAX);
    1_u32.wrapping_shl(length.min(31))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_word_of_these_ends_and_this_length_may_be_one() {
        let shapes = Shapes::of(["first", "top", "a", "größe"].into_iter());
        for word in ["first", "top", "a", "größe", "feast", "tip"] {
            assert!(shapes.may_have(word), "{word}");
        }
        let long = "f".repeat(32);
        for word in ["", "to", "tops", "stop", "the", "fast", "aa", &long] {
            assert!(!shapes.may_have(word), "{word}");
        }
    }

    proptest! {
        /// Whatever its letters, its case and its length: what is asked for by this is asked for letter by letter then.
        #[test]
        fn none_of_the_words_is_missed(words in prop::collection::vec("\\PC{0,8}|[a-cA-C]{0,3}|[İſé\u{212a}Ａ٣\u{301}]{0,12}|[a-z]{28,36}", 0..6)) {
            let shapes = Shapes::of(words.iter().map(String::as_str));
            for word in &words {
                prop_assert!(shapes.may_have(word), "{word}");
            }
        }
    }
}

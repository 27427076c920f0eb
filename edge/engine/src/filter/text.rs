//! A text under scrutiny, by its bytes.

/// Borrowed text; whatever is read beyond its ends is NUL, which is part of no match.
#[derive(Clone, Copy)]
pub(super) struct Text<'t> {
    pub(super) text: &'t str,
    /// What the text is called where it stands: the key of a JSON member. Context, like the words around a match.
    pub(super) key: &'t str,
}

impl<'t> Text<'t> {
    pub(super) fn len(self) -> usize {
        self.text.len()
    }

    pub(super) fn at(self, index: usize) -> u8 {
        self.text.as_bytes().get(index).copied().unwrap_or(0)
    }

    /// The byte before `index`.
    pub(super) fn before(self, index: usize) -> u8 {
        match index.checked_sub(1) {
            Some(index) => self.at(index),
            None => 0,
        }
    }

    /// The bytes of a range, cut at the ends of the text.
    pub(super) fn bytes(self, start: usize, end: usize) -> &'t [u8] {
        let end = end.min(self.len());
        self.text.as_bytes().get(start..end).unwrap_or_default()
    }

    /// A range as text; empty if it does not begin and end between characters.
    pub(super) fn slice(self, start: usize, end: usize) -> &'t str {
        self.text
            .get(start..end.min(self.len()))
            .unwrap_or_default()
    }

    /// From `start` to the end, or empty.
    pub(super) fn from(self, start: usize) -> &'t str {
        self.text.get(start..).unwrap_or_default()
    }

    /// Where the run of such bytes that begins at `start` ends, at most `most` bytes on.
    pub(super) fn run(self, start: usize, most: usize, is: impl Fn(u8) -> bool) -> usize {
        let bytes = self.bytes(start, start.saturating_add(most));
        let length = bytes.iter().take_while(|b| is(**b)).count();
        start.saturating_add(length)
    }

    /// Where the run of such bytes that ends at `end` begins, at most `most` bytes back.
    pub(super) fn run_back(self, end: usize, most: usize, is: impl Fn(u8) -> bool) -> usize {
        let bytes = self.bytes(end.saturating_sub(most), end);
        let length = bytes.iter().rev().take_while(|b| is(**b)).count();
        end.saturating_sub(length)
    }
}

/// Letters and digits of ASCII.
pub(super) fn alnum(b: u8) -> bool {
    b.is_ascii_alphanumeric()
}

/// Kinds of characters.
fn kind(b: u8) -> u8 {
    match b {
        b'0'..=b'9' => 0,
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        _ => 3,
    }
}

/// Neighbours of different kinds: a digit, a small letter, a capital, anything else. What machines make has many.
pub(super) fn turns(bytes: &[u8]) -> impl Iterator<Item = (u8, u8)> + '_ {
    let next = bytes.iter().skip(1).copied();
    let pairs = bytes.iter().copied().zip(next);
    pairs.filter(|(a, b)| kind(*a) != kind(*b))
}

/// The digits among some bytes, by value.
pub(super) fn digits_of(bytes: &[u8]) -> impl DoubleEndedIterator<Item = u32> + Clone + '_ {
    bytes
        .iter()
        .filter(|b| b.is_ascii_digit())
        .map(|b| u32::from(b.wrapping_sub(b'0')))
}

/// Sum of digits times weights.
pub(super) fn weighted(digits: impl Iterator<Item = u32>, weights: &[u32]) -> u32 {
    digits
        .zip(weights)
        .map(|(digit, weight)| digit.saturating_mul(*weight))
        .sum()
}

/// Shannon entropy in bits per character.
pub(super) fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for b in bytes {
        if let Some(count) = counts.get_mut(usize::from(*b)) {
            *count = count.saturating_add(1);
        }
    }
    let total = f64::from(u32::try_from(bytes.len()).unwrap_or(u32::MAX).max(1));
    // What occurs once adds nothing to the sum: most of what is random.
    let repeated: f64 = counts
        .iter()
        .filter(|count| **count > 1)
        .map(|count| f64::from(*count) * f64::from(*count).log2())
        .sum();
    total.log2() - repeated / total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_where_one_kind_of_character_follows_another() {
        for (text, count) in [("", 0), ("a", 0), ("abc", 0), ("aB3-_x", 4), ("1a1a", 3)] {
            assert_eq!(turns(text.as_bytes()).count(), count, "{text}");
        }
    }
}

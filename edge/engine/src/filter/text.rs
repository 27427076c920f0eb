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

//! Runs of the characters that tokens are made of: the one pass that looks at every byte of a text.
//!
//! Sixty-four bytes at a time become bits, and of those only what may matter is looked at further: runs with a digit, and
//! runs as long as a key. In ordinary prose there are few.

/// Bytes that are looked at together: one bit each.
const BLOCK: usize = 64;
/// Shortest run without digits that matters: shorter ones hold no key, and no address in base64.
pub(super) const LONG: usize = 12;

/// Tells of each run of letters, digits and what joins them in tokens (`_-./+~`) that has a digit in it or is [`LONG`].
pub(super) fn runs(bytes: &[u8], found: impl FnMut(usize, usize)) {
    let mut runs = Runs {
        bytes,
        open: None,
        found,
    };
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let mut base = 0_usize;
    for block in blocks {
        runs.block(base, Bits::of(block));
        base = base.saturating_add(BLOCK);
    }
    runs.block(base, Bits::of_few(rest));
}

struct Runs<'t, F> {
    bytes: &'t [u8],
    /// Where the run began that the last block ended in.
    open: Option<usize>,
    found: F,
}

impl<F: FnMut(usize, usize)> Runs<'_, F> {
    fn block(&mut self, base: usize, mut bits: Bits) {
        if let Some(from) = self.open {
            let ones = bits.token.trailing_ones();
            if ones == u64::BITS {
                return;
            }
            self.open = None;
            self.across(from, place(base, ones));
            bits = bits.and(!low(ones));
        }
        let tail = u64::BITS.saturating_sub(bits.token.leading_ones());
        if tail < u64::BITS {
            self.open = Some(place(base, tail));
            bits = bits.and(low(tail));
        }
        let mut seeds = bits.digit | twelfth(bits.token);
        while seeds != 0 {
            let at = seeds.trailing_zeros();
            let before = !bits.token & low(at);
            let start = u64::BITS.saturating_sub(before.leading_zeros());
            let more = bits.token.wrapping_shr(at).trailing_ones();
            let end = at.saturating_add(more);
            (self.found)(place(base, start), place(base, end));
            seeds &= !low(end);
        }
    }

    /// A run that began in another block than it ends in.
    fn across(&mut self, from: usize, to: usize) {
        let run = self.bytes.get(from..to).unwrap_or_default();
        if run.len() >= LONG || run.iter().any(u8::is_ascii_digit) {
            (self.found)(from, to);
        }
    }
}

/// What the bytes of a block are: the first byte is the lowest bit.
#[derive(Clone, Copy, Default)]
struct Bits {
    token: u64,
    digit: u64,
}

impl Bits {
    /// Written so that the compiler looks at many bytes with one instruction.
    fn of(block: &[u8; BLOCK]) -> Self {
        let (mut token, mut digit) = ([0_u8; BLOCK], [0_u8; BLOCK]);
        for ((b, token), digit) in block.iter().zip(&mut token).zip(&mut digit) {
            *token = u8::from(is_token(*b));
            *digit = u8::from(b.is_ascii_digit());
        }
        let any = digit.iter().fold(0, |any, digit| any | digit);
        Self {
            token: packed(&token),
            digit: if any == 0 { 0 } else { packed(&digit) },
        }
    }

    /// Of the rest of a text; no bytes are no tokens.
    fn of_few(rest: &[u8]) -> Self {
        let backwards = rest.iter().rev();
        backwards.fold(Self::default(), |bits, b| Self {
            token: bits.token << 1 | u64::from(is_token(*b)),
            digit: bits.digit << 1 | u64::from(b.is_ascii_digit()),
        })
    }

    fn and(self, mask: u64) -> Self {
        Self {
            token: self.token & mask,
            digit: self.digit & mask,
        }
    }
}

fn is_token(b: u8) -> bool {
    (b | 0x20).is_ascii_lowercase() | matches!(b, b'-'..=b'9') | matches!(b, b'_' | b'+' | b'~')
}

/// Bytes that are 0 or 1 as bits.
fn packed(flags: &[u8; BLOCK]) -> u64 {
    let (eights, _) = flags.as_chunks::<8>();
    eights.iter().rev().fold(0, |bits, eight| {
        // The multiplication moves each byte's bit to a place of its own in the highest byte.
        let gathered = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        bits << 8 | gathered
    })
}

/// The `count` lowest bits.
fn low(count: u32) -> u64 {
    u64::MAX.checked_shl(count).map_or(u64::MAX, |high| !high)
}

/// The bits that have eleven others before them without a gap: where a run becomes [`LONG`].
fn twelfth(bits: u64) -> u64 {
    let two = bits & bits << 1;
    let four = two & two << 2;
    let eight = four & four << 4;
    eight & four << 8
}

fn place(base: usize, bit: u32) -> usize {
    base.saturating_add(usize::try_from(bit).unwrap_or(BLOCK))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(text: &str) -> Vec<&str> {
        let mut all = Vec::new();
        runs(text.as_bytes(), |a, b| all.push(&text[a..b]));
        all
    }

    #[test]
    fn only_what_may_matter_is_told() {
        let prose = "a plain sentence, and nothing in it (really): no.";
        assert!(found(prose).is_empty());
        assert_eq!(
            found("see 4.2, x-ray7; twelve-chars or so"),
            ["4.2", "x-ray7", "twelve-chars"]
        );
        let long = "x".repeat(200);
        assert_eq!(found(&long), [long.as_str()]);
        assert_eq!(found(&"7".repeat(64)), ["7".repeat(64)]);
    }

    proptest! {
        /// Wherever the blocks' borders fall.
        #[test]
        fn it_is_what_a_plain_loop_finds(text in "([a-z]{1,14}|[0-9]{1,3}|[ .:@é-]|[a-z]{60,70}){0,60}") {
            let plain: Vec<&str> = text
                .split(|c: char| !c.is_ascii() || !is_token(c as u8))
                .filter(|run| run.len() >= LONG || run.bytes().any(|b| b.is_ascii_digit()))
                .collect();
            prop_assert_eq!(found(&text), plain);
        }
    }
}

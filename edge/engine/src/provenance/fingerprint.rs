//! Keyed fingerprints: no value is kept in clear.

use super::text::Word;
use super::value::Kind;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// Makes fingerprints that nobody without the key can make. Each kind has a key of its own.
#[derive(Clone, Debug)]
pub(super) struct Fingerprinter {
    kinds: [SipHasher13; Kind::COUNT],
    /// Of the most common gap between words.
    pub(super) blank: u64,
}

impl Fingerprinter {
    pub(super) fn new(key: &[u8; 16]) -> Self {
        let root = SipHasher13::new_with_key(key);
        let half =
            |kind: usize, half: u8| root.hash(&[kind.to_le_bytes().as_slice(), &[half]].concat());
        let kind = |kind| SipHasher13::new_with_keys(half(kind, 0), half(kind, 1));
        let mut keyed = Self {
            kinds: std::array::from_fn(kind),
            blank: 0,
        };
        keyed.blank = keyed.of(Kind::Gap, " ");
        keyed
    }

    /// Of a word, and of the word together with what stands before it.
    pub(super) fn word(&self, word: &Word<'_>) -> (u64, u64) {
        let own = self.of(Kind::Word, word.word);
        let gap = match word.gap {
            " " => self.blank,
            gap => self.of(Kind::Gap, gap),
        };
        (own, Self::join(own, gap))
    }

    /// A word together with what stands before it.
    pub(super) fn join(word: u64, gap: u64) -> u64 {
        word.rotate_left(1) ^ gap
    }

    pub(super) fn of(&self, kind: Kind, text: &str) -> u64 {
        let [.., last] = &self.kinds;
        self.kinds
            .get(kind.index())
            .unwrap_or(last)
            .hash(text.as_bytes())
    }
}

/// Fingerprints are evenly spread already, and their key is not known outside.
#[derive(Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

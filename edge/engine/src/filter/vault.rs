//! Placeholders of one session: what stands in for a value, and the way back.
//!
//! A placeholder has the form of what it stands for, so that schemas and models take it for one. The values are kept in
//! memory alone, encrypted under random bytes that are nowhere but in the vault: with the session the vault is gone, and
//! the way back with it. What a placeholder looks like is another matter: it comes from the tenant's digest key and what
//! the session is called ([`vault_key`]), so a session of the same name gives a value the same placeholder again.

use super::back;
use super::{Class, Filter};
use crate::limits::{CONTENT_VAULT_MAX, CONTENT_VAULT_VALUE_BYTES_MAX};
use crate::token::keyed_digest;
use aho_corasick::{AhoCorasick, Input, MatchKind};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce};
use proctor_model::content::{Confidence, ContentClass};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

/// What decides on the placeholders of a session, from the tenant's digest key and the session's name.
#[must_use]
pub fn vault_key(digest_key: &[u8; 32], session: &str) -> [u8; 32] {
    keyed_digest(digest_key, format!("proctor vault|{session}").as_bytes())
}

/// A session's placeholders.
pub struct Vault {
    /// Decides on the placeholders.
    names: Zeroizing<[u8; 32]>,
    /// Encrypts the values; without it none is kept.
    seal: Option<Zeroizing<[u8; 32]>>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Placeholders by the keyed digest of class and value.
    by_value: HashMap<[u8; 32], String>,
    sealed: HashMap<String, Sealed>,
    /// Finds the placeholders in a text; made anew after one was added.
    finder: Option<(AhoCorasick, Vec<String>)>,
}

struct Sealed {
    class: String,
    nonce: u64,
    ciphertext: Vec<u8>,
}

/// Tries for a placeholder that the filter takes for one of the class: check digits of 97 values are the rarest.
const TRIES: u32 = 600;

impl Vault {
    /// An empty one; `names` is of this session alone ([`vault_key`]), `seal` are random bytes of this vault alone: its
    /// nonces count from zero.
    #[must_use]
    pub fn new(names: [u8; 32], seal: [u8; 32]) -> Self {
        Self {
            names: Zeroizing::new(names),
            seal: Some(Zeroizing::new(seal)),
            kept: Mutex::default(),
        }
    }

    /// One that keeps nothing: what would be replaced by a placeholder is redacted.
    #[must_use]
    pub fn shut() -> Self {
        Self {
            names: Zeroizing::new([0; 32]),
            seal: None,
            kept: Mutex::default(),
        }
    }

    /// Whether nothing was ever replaced.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().sealed.is_empty()
    }

    /// Whether a text is a placeholder of this session.
    pub(super) fn made(&self, text: &str) -> bool {
        let kept = self.lock();
        !kept.sealed.is_empty() && kept.sealed.contains_key(text)
    }

    /// The placeholder for a value, the same one each time; `None` if there is no room for more.
    pub(super) fn stand_in(
        &self,
        filter: &Filter,
        class: Class,
        value: &str,
        key: &str,
    ) -> Option<String> {
        if self.seal.is_none() || value.len() > CONTENT_VAULT_VALUE_BYTES_MAX {
            return None;
        }
        let name = filter.name(class).to_owned();
        let digest = keyed_digest(&self.names, format!("value|{name}|{value}").as_bytes());
        if let Some(known) = self.lock().by_value.get(&digest) {
            return Some(known.clone());
        }
        let placeholder = self.invent(filter, class, value, key, &digest)?;
        let mut kept = self.lock();
        let nonce = u64::try_from(kept.sealed.len()).ok()?;
        if kept.sealed.len() >= CONTENT_VAULT_MAX || kept.sealed.contains_key(&placeholder) {
            return kept.by_value.get(&digest).cloned();
        }
        let ciphertext = self.seal(nonce, &placeholder, value)?;
        kept.sealed.insert(
            placeholder.clone(),
            Sealed {
                class: name,
                nonce,
                ciphertext,
            },
        );
        kept.by_value.insert(digest, placeholder.clone());
        kept.finder = None;
        Some(placeholder)
    }

    /// The text with the placeholders that may be seen put back; `None` if there are none.
    pub(super) fn put_back(&self, text: &str, may: &dyn Fn(&str) -> bool) -> Option<String> {
        let mut kept = self.lock();
        if kept.finder.is_none() {
            let placeholders: Vec<String> = kept.sealed.keys().cloned().collect();
            let finder = AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .build(&placeholders)
                .ok()?;
            kept.finder = Some((finder, placeholders));
        }
        let kept = &*kept;
        back::put_back(text, &|text: &str, told: &mut back::Told<'_>| {
            self.look(kept, text, may, told);
        })
    }

    /// Tells of the placeholders in a text that may be seen.
    fn look(&self, kept: &Kept, text: &str, may: &dyn Fn(&str) -> bool, told: &mut back::Told<'_>) {
        let Some((finder, placeholders)) = &kept.finder else {
            return;
        };
        let mut at = 0;
        while let Some(hit) = finder.find(Input::new(text).range(at..)) {
            if !back::is_whole(text, hit.start(), hit.end()) {
                // Another may begin inside of it.
                at = hit.start().saturating_add(1);
                continue;
            }
            at = hit.end();
            let placeholder = placeholders.get(hit.pattern().as_usize());
            let sealed = placeholder.and_then(|placeholder| {
                let sealed = kept.sealed.get(placeholder)?;
                may(&sealed.class).then(|| self.open(sealed, placeholder))?
            });
            if let Some(value) = sealed {
                told(hit.start(), hit.end(), value);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A text of the value's form that is not in use.
    fn invent(
        &self,
        filter: &Filter,
        class: Class,
        value: &str,
        key: &str,
        digest: &[u8; 32],
    ) -> Option<String> {
        if class == Class::Known(ContentClass::Email) {
            // To a domain that can't exist, so that nothing sent there arrives.
            let name: String = hex::encode(digest.get(..6)?);
            return Some(format!("{name}@placeholder.invalid"));
        }
        let keep = kept_of(class);
        let mut fallback = None;
        for attempt in 0..TRIES {
            let stream = Stream::new(&self.names, digest, attempt);
            let candidate = reshaped(value, keep, stream);
            if candidate == value || self.made(&candidate) {
                continue;
            }
            let looks = filter.find(&candidate, key).iter().any(|hit| {
                hit.class == class
                    && hit.range.len() == candidate.len()
                    && hit.confidence >= Confidence::Low
            });
            if looks {
                return Some(candidate);
            }
            fallback.get_or_insert(candidate);
        }
        // Found in its context only, or of a form that is not hit by chance.
        fallback
    }

    fn cipher(&self) -> Option<ChaCha20Poly1305> {
        let seal = self.seal.as_ref()?;
        Some(ChaCha20Poly1305::new(&Key::from(**seal)))
    }

    fn seal(&self, nonce: u64, placeholder: &str, value: &str) -> Option<Vec<u8>> {
        let payload = Payload {
            msg: value.as_bytes(),
            aad: placeholder.as_bytes(),
        };
        self.cipher()?.encrypt(&nonce_of(nonce), payload).ok()
    }

    fn open(&self, sealed: &Sealed, placeholder: &str) -> Option<String> {
        let payload = Payload {
            msg: &sealed.ciphertext,
            aad: placeholder.as_bytes(),
        };
        let plain = self
            .cipher()?
            .decrypt(&nonce_of(sealed.nonce), payload)
            .ok()?;
        String::from_utf8(plain).ok()
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault")
    }
}

fn nonce_of(number: u64) -> Nonce {
    let mut nonce = [0_u8; 12];
    nonce
        .iter_mut()
        .zip(number.to_be_bytes())
        .for_each(|(to, from)| *to = from);
    Nonce::from(nonce)
}

/// How many of the first characters say only what kind of a value it is.
fn kept_of(class: Class) -> usize {
    match class {
        Class::Known(ContentClass::PaymentCard) => 4,
        Class::Known(ContentClass::Iban | ContentClass::EuVat | ContentClass::CryptoAddress) => 2,
        Class::Known(ContentClass::FrNir | ContentClass::InAadhaar) => 1,
        _ => 0,
    }
}

/// Each digit another digit, each letter another letter, the rest as it is.
fn reshaped(value: &str, keep: usize, mut stream: Stream<'_>) -> String {
    let pick = |from: u8, of: u8, random: u8| {
        let step = random.checked_rem(of).unwrap_or(0);
        char::from(from.saturating_add(step))
    };
    value
        .chars()
        .enumerate()
        .map(|(at, c)| match c {
            _ if at < keep => c,
            '0'..='9' => pick(b'0', 10, stream.next()),
            'a'..='z' => pick(b'a', 26, stream.next()),
            'A'..='Z' => pick(b'A', 26, stream.next()),
            _ if c.is_alphanumeric() => pick(b'a', 26, stream.next()),
            _ => c,
        })
        .collect()
}

/// Bytes that only the key of the session's placeholders gives.
struct Stream<'k> {
    key: &'k [u8; 32],
    seed: [u8; 36],
    block: u32,
    bytes: Vec<u8>,
}

impl<'k> Stream<'k> {
    fn new(key: &'k [u8; 32], digest: &[u8; 32], attempt: u32) -> Self {
        let mut seed = [0_u8; 36];
        let parts = digest
            .iter()
            .chain(attempt.to_be_bytes().iter())
            .copied()
            .collect::<Vec<_>>();
        seed.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        Self {
            key,
            seed,
            block: 0,
            bytes: Vec::new(),
        }
    }

    fn next(&mut self) -> u8 {
        if let Some(byte) = self.bytes.pop() {
            return byte;
        }
        let mut input = self.seed.to_vec();
        input.extend(self.block.to_be_bytes());
        self.block = self.block.saturating_add(1);
        self.bytes = keyed_digest(self.key, &input).to_vec();
        self.bytes.pop().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_placeholder_is_sealed_anew_in_each_vault() {
        let filter = Filter::default();
        let email = Class::Known(ContentClass::Email);
        let stand_in = |vault: &Vault| vault.stand_in(&filter, email, "bob@example.org", "");
        let (first, second) = (Vault::new([7; 32], [1; 32]), Vault::new([7; 32], [2; 32]));
        let placeholder = stand_in(&first).unwrap();
        assert_eq!(stand_in(&second).unwrap(), placeholder);
        let (first_kept, second_kept) = (first.lock(), second.lock());
        let (one, other) = (
            &first_kept.sealed[&placeholder],
            &second_kept.sealed[&placeholder],
        );
        // Under the same key and nonce the one would tell of the other.
        assert_eq!(one.nonce, other.nonce);
        assert_ne!(one.ciphertext, other.ciphertext);
        assert_eq!(first.open(one, &placeholder).unwrap(), "bob@example.org");
        assert_eq!(second.open(one, &placeholder), None);
        assert_eq!(stand_in(&Vault::shut()), None);
    }
}

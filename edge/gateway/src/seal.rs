//! What a client holds for us: sealed, so that it can neither be read nor used by anybody, or for anything, but what it was
//! sealed for.

use aws_lc_rs::aead::{AES_256_GCM, Aad, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proctor_model::Reason;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest sealed text that is looked at, in bytes: a server's own state may be in it, in JSON and in base64.
const SEALED_BYTES_MAX: usize = 256 * 1024;

/// Seals for one purpose, and opens nothing else.
pub(crate) struct Seal {
    key: [u8; 32],
    bound: Vec<u8>,
}

impl Seal {
    /// `bound` says for whom and for what: it is not in the text, and whoever opens it has to say the same.
    pub(crate) fn new(key: [u8; 32], bound: &impl Serialize) -> Result<Self, Reason> {
        let bound = serde_json::to_vec(bound).map_err(|_| Reason::Internal)?;
        Ok(Self { key, bound })
    }

    pub(crate) fn close(&self, what: &impl Serialize) -> Result<String, Reason> {
        let mut bytes = serde_json::to_vec(what).map_err(|_| Reason::Internal)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &self.key).map_err(|_| Reason::Internal)?;
        let nonce = key
            .seal_in_place_append_tag(Aad::from(&self.bound), &mut bytes)
            .map_err(|_| Reason::Internal)?;
        let mut text = nonce.as_ref().to_vec();
        text.append(&mut bytes);
        Ok(URL_SAFE_NO_PAD.encode(text))
    }

    /// None if it was not sealed for this.
    pub(crate) fn open<T: DeserializeOwned>(&self, text: &str) -> Option<T> {
        if text.len() > SEALED_BYTES_MAX {
            return None;
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(12)?;
        let nonce: &[u8; 12] = (&*nonce).try_into().ok()?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &self.key).ok()?;
        let opened = key
            .open_in_place(nonce.into(), Aad::from(&self.bound), sealed)
            .ok()?;
        serde_json::from_slice(opened).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_for_what_it_was_sealed_for_alone() {
        let seal = |key: u8, bound: &str| Seal::new([key; 32], &bound).unwrap();
        let sealed = seal(7, "a").close(&"theirs").unwrap();
        assert!(!sealed.contains("theirs"));
        let open = |seal: &Seal, text: &str| seal.open::<String>(text);
        assert_eq!(open(&seal(7, "a"), &sealed).as_deref(), Some("theirs"));
        assert_eq!(open(&seal(7, "b"), &sealed), None, "for something else");
        assert_eq!(open(&seal(8, "a"), &sealed), None, "another tenant's");
        for bad in ["", "x", &format!("{sealed}-TAMPERED"), &sealed[1..]] {
            assert_eq!(open(&seal(7, "a"), bad), None, "{bad}");
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            let text = URL_SAFE_NO_PAD.encode(&bytes);
            assert_eq!(open(&seal(7, "a"), &text), None, "byte {at}");
            bytes[at] ^= 1;
        }
    }
}

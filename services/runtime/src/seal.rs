//! Sealing small secrets to one receiver: HPKE (RFC 9180), base mode.
//!
//! Suite: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305. A sealed message is the 32
//! bytes of the encapsulated key and then the ciphertext. It says nothing about its sender: what
//! is sealed travels inside a signed document.

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use proctor_model::ids::{EdgeId, TenantId};
use zeroize::Zeroizing;

/// Separates sealed token keys from any other use of an edge's key.
pub const TOKEN_KEYS_INFO: &[u8] = b"proctor-token-keys-v1";

/// Separates what an approver is to see from any other use of control's key.
pub const APPROVAL_VIEW_INFO: &[u8] = b"proctor-approval-view-v1";

/// Length of the encapsulated key in front of the ciphertext, bytes.
const ENCAPSULATED_BYTES: usize = 32;

/// A message could not be sealed or opened. It does not say why: the difference would only help
/// somebody who tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not an X25519 public key that can be sealed to.
    #[error("not a public key that can be sealed to")]
    PublicKey,
    /// Not sealed to this key for this purpose, or changed on the way.
    #[error("a sealed message cannot be opened")]
    Open,
}

/// The additional data that ties sealed token keys to one tenant and one edge: `{tenant}|{edge}`.
#[must_use]
pub fn token_keys_aad(tenant: &TenantId, edge: &EdgeId) -> Vec<u8> {
    format!("{tenant}|{edge}").into_bytes()
}

/// The additional data that ties an approver's view to one call: `{tenant}|{edge}|{binding}`.
#[must_use]
pub fn approval_view_aad(tenant: &TenantId, edge: &EdgeId, binding: &str) -> Vec<u8> {
    format!("{tenant}|{edge}|{binding}").into_bytes()
}

/// Seals `plaintext` so that only the holder of `public_key`'s private half, given the same `info`
/// and `aad`, can open it.
///
/// # Errors
/// [`SealError::PublicKey`] if the key is not a usable X25519 key.
pub fn seal(
    public_key: &[u8],
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, SealError> {
    let public_key = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(public_key)
        .map_err(|_| SealError::PublicKey)?;
    let (encapsulated, ciphertext) = hpke::single_shot_seal::<
        ChaCha20Poly1305,
        HkdfSha256,
        X25519HkdfSha256,
    >(&OpModeS::Base, &public_key, info, plaintext, aad)
    .map_err(|_| SealError::PublicKey)?;
    let mut sealed = encapsulated.to_bytes().to_vec();
    sealed.extend(ciphertext);
    Ok(sealed)
}

/// Opens what was sealed to one key.
pub struct Opener {
    private_key: <X25519HkdfSha256 as Kem>::PrivateKey,
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opener")
    }
}

impl Opener {
    /// From an X25519 private key: any 32 random bytes.
    #[must_use]
    pub fn from_private_key(private_key: &[u8; 32]) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "every 32 bytes are an X25519 private key (RFC 7748, section 5)"
        )]
        let private_key =
            <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(private_key).expect("32 bytes");
        Self { private_key }
    }

    /// The public half, to be given to senders.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        X25519HkdfSha256::sk_to_pk(&self.private_key)
            .to_bytes()
            .into()
    }

    /// Opens a message sealed with the same `info` and `aad`. The plaintext is wiped on drop.
    ///
    /// # Errors
    /// [`SealError::Open`] for anything else.
    pub fn open(
        &self,
        info: &[u8],
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (encapsulated, ciphertext) = sealed
            .split_at_checked(ENCAPSULATED_BYTES)
            .ok_or(SealError::Open)?;
        let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated)
            .map_err(|_| SealError::Open)?;
        hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.private_key,
            &encapsulated,
            info,
            ciphertext,
            aad,
        )
        .map(Zeroizing::new)
        .map_err(|_| SealError::Open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex_text: &str) -> Vec<u8> {
        hex::decode(hex_text).unwrap()
    }

    fn key(fill: u8) -> Opener {
        Opener::from_private_key(&[fill; 32])
    }

    /// RFC 9180, appendix A.2.1, encryption with sequence number 0.
    #[test]
    fn opens_the_vector_of_the_standard() {
        let private: [u8; 32] =
            bytes("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb")
                .try_into()
                .unwrap();
        let opener = Opener::from_private_key(&private);
        let public = "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a";
        assert_eq!(hex::encode(opener.public_key()), public);
        let sealed = bytes(concat!(
            "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a",
            "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
        ));
        let info = bytes("4f6465206f6e2061204772656369616e2055726e");
        let plaintext = opener.open(&info, b"Count-0", &sealed).unwrap();
        assert_eq!(plaintext.as_slice(), b"Beauty is truth, truth beauty");
    }

    #[test]
    fn only_the_receiver_opens_it_and_only_as_it_was_sealed() {
        let opener = key(7);
        let sealed = seal(
            &opener.public_key(),
            TOKEN_KEYS_INFO,
            b"acme|edge_1",
            b"secret",
        )
        .unwrap();
        assert_eq!(
            opener
                .open(TOKEN_KEYS_INFO, b"acme|edge_1", &sealed)
                .unwrap()
                .as_slice(),
            b"secret"
        );
        assert_eq!(
            opener.open(TOKEN_KEYS_INFO, b"other|edge_1", &sealed),
            Err(SealError::Open)
        );
        assert_eq!(
            opener.open(b"other", b"acme|edge_1", &sealed),
            Err(SealError::Open)
        );
        assert_eq!(
            key(8).open(TOKEN_KEYS_INFO, b"acme|edge_1", &sealed),
            Err(SealError::Open)
        );
        for at in 0..sealed.len() {
            let mut tampered = sealed.clone();
            tampered[at] ^= 1;
            assert_eq!(
                opener.open(TOKEN_KEYS_INFO, b"acme|edge_1", &tampered),
                Err(SealError::Open),
                "{at}"
            );
            assert_eq!(
                opener.open(TOKEN_KEYS_INFO, b"acme|edge_1", &sealed[..at]),
                Err(SealError::Open),
                "{at}"
            );
        }
    }

    #[test]
    fn sealing_twice_gives_different_bytes() {
        let public = key(1).public_key();
        assert_ne!(
            seal(&public, b"i", b"a", b"p"),
            seal(&public, b"i", b"a", b"p")
        );
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        for bad in [&[][..], &[1; 31], &[1; 33], &[0; 32]] {
            assert_eq!(seal(bad, b"i", b"a", b"p"), Err(SealError::PublicKey));
        }
    }
}

//! Encryption at rest under the master key: AES-256-GCM, bound to what the secret is for.

use crate::State;
use crate::error::ControlError;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use proctor_model::TenantId;
use zeroize::Zeroizing;

/// What a secret is for: it can't be decrypted as anything else.
pub(crate) fn purpose(tenant: &TenantId, what: &str) -> String {
    format!("{tenant}|{what}")
}

fn cipher(state: &State) -> Result<LessSafeKey, ControlError> {
    let key = UnboundKey::new(&AES_256_GCM, state.master_key.as_slice())
        .map_err(|_| ControlError::Decrypt)?;
    Ok(LessSafeKey::new(key))
}

/// Nonce ‖ ciphertext.
pub(crate) fn encrypt(
    state: &State,
    purpose: &str,
    secret: &[u8],
) -> Result<Vec<u8>, ControlError> {
    let nonce = state.random.array::<NONCE_LEN>()?;
    let mut sealed = secret.to_vec();
    cipher(state)?
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(purpose.as_bytes()),
            &mut sealed,
        )
        .map_err(|_| ControlError::Decrypt)?;
    Ok([nonce.as_slice(), &sealed].concat())
}

/// What was encrypted for this purpose.
pub(crate) fn decrypt(
    state: &State,
    purpose: &str,
    stored: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ControlError> {
    let (nonce, sealed) = stored
        .split_at_checked(NONCE_LEN)
        .ok_or(ControlError::Decrypt)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| ControlError::Decrypt)?;
    let mut sealed = Zeroizing::new(sealed.to_vec());
    let clear = cipher(state)?
        .open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut sealed)
        .map_err(|_| ControlError::Decrypt)?
        .len();
    sealed.truncate(clear);
    Ok(sealed)
}

/// A key of 32 bytes.
pub(crate) fn decrypt_key(
    state: &State,
    purpose: &str,
    stored: &[u8],
) -> Result<[u8; 32], ControlError> {
    let clear = decrypt(state, purpose, stored)?;
    <[u8; 32]>::try_from(clear.as_slice()).map_err(|_| ControlError::Decrypt)
}

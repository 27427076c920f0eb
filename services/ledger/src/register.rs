//! Telling control our public key, so that edges believe our receipts.

use crate::{KEY_FILE, LedgerError};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proctor_model::config::PublicKey;
use proctor_proto::v1;
use proctor_proto::v1::enrolment_client::EnrolmentClient;
use proctor_runtime::{Secret, grpc, keyfile};
use std::path::Path;

/// Registers with control by a join token; returns the platform's public keys.
///
/// # Errors
/// If control can't be reached, refuses the token, or isn't the one that made it.
pub async fn register(
    control: &str,
    join_token: &Secret,
    data_dir: &Path,
) -> Result<Vec<PublicKey>, LedgerError> {
    let signer = keyfile::load_or_create_signer(&data_dir.join(KEY_FILE))?;
    let signing_key = URL_SAFE_NO_PAD
        .decode(signer.public_key().key)
        .unwrap_or_default();
    let request = v1::RegisterLedgerRequest {
        join_token: join_token.expose().to_owned(),
        signing_key,
    };
    let answer = EnrolmentClient::new(grpc::channel(control)?)
        .register_ledger(request)
        .await
        .map_err(|status| LedgerError::Refused(Box::new(status)))?
        .into_inner();
    let keys: Vec<_> = answer
        .platform_keys
        .iter()
        .map(|key| PublicKey {
            kid: proctor_model::signed::key_id(&key.key),
            key: URL_SAFE_NO_PAD.encode(&key.key),
        })
        .collect();
    let fingerprint = join_token
        .expose()
        .rsplit_once('.')
        .map(|(_, fingerprint)| format!("ed_{fingerprint}"));
    let ours = keys
        .first()
        .is_some_and(|key| Some(key.kid.as_str()) == fingerprint.as_deref());
    if ours {
        Ok(keys)
    } else {
        Err(LedgerError::WrongPlatform)
    }
}

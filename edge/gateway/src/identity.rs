//! Who this edge is: its keys, made here at enrolment, and what control said about it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proctor_model::config::{EdgeCertificate, PublicKey};
use proctor_model::signed::{SignedError, Signer, Verifier, key_id};
use proctor_model::{EdgeId, Region};
use proctor_proto::v1;
use proctor_proto::v1::enrolment_client::EnrolmentClient;
use proctor_runtime::seal::Opener;
use proctor_runtime::{Secret, grpc, keyfile};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const SIGNING_KEY: &str = "signing.key";
const SEALING_KEY: &str = "sealing.key";
const ENROLMENT: &str = "edge.json";

/// Enrolling failed, or the identity can't be read.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A key file.
    #[error("a key file")]
    KeyFile(#[from] keyfile::KeyFileError),
    /// A file of the identity.
    #[error("the edge's identity in {file}")]
    Io {
        /// Which.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Never enrolled, or the file was damaged.
    #[error("{0} is no enrolment: enrol the edge with a join token first")]
    NotEnrolled(String),
    /// Control can't be reached at this address.
    #[error("the address of control")]
    Address(#[from] grpc::GrpcError),
    /// Control refused.
    #[error("control refused: {}", .0.message())]
    Refused(Box<tonic::Status>),
    /// The join token is of another installation.
    #[error("the control plane is not the one that made this join token")]
    WrongPlatform,
    /// The certificate does not verify, or is for other keys.
    #[error("the edge's certificate")]
    Certificate(#[from] SignedError),
}

/// What control answered at enrolment. The NATS address holds a credential: the file is for the owner only.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Enrolment {
    edge: EdgeId,
    region: Region,
    certificate: String,
    platform_keys: Vec<PublicKey>,
    nats_url: String,
}

/// An enrolled edge.
pub(crate) struct Identity {
    pub(crate) edge: EdgeId,
    pub(crate) region: Region,
    /// As at enrolment; a newer one comes with the assignment.
    pub(crate) certificate: String,
    pub(crate) signer: Signer,
    pub(crate) opener: Opener,
    pub(crate) platform: Verifier,
    pub(crate) nats_url: Secret,
}

/// Enrols by a one-time join token: makes the keys here, sends their public halves to control, keeps the answer.
///
/// # Errors
/// If control can't be reached, refuses the token, or isn't the one that made it; or if a file can't be written.
pub async fn enrol(
    control: &str,
    join_token: &Secret,
    data_dir: &Path,
) -> Result<EdgeId, IdentityError> {
    std::fs::create_dir_all(data_dir).map_err(io(data_dir))?;
    let signer = keyfile::load_or_create_signer(&data_dir.join(SIGNING_KEY))?;
    let opener = keyfile::load_or_create_opener(&data_dir.join(SEALING_KEY))?;
    let request = v1::EnrolRequest {
        join_token: join_token.expose().to_owned(),
        signing_key: URL_SAFE_NO_PAD
            .decode(signer.public_key().key)
            .unwrap_or_default(),
        sealing_key: opener.public_key().to_vec(),
    };
    let channel = grpc::channel(control)?;
    let answer = EnrolmentClient::new(channel).enrol(request).await;
    let answer = answer
        .map_err(|status| IdentityError::Refused(Box::new(status)))?
        .into_inner();
    let key = |key: &v1::PublicKey| PublicKey {
        kid: key_id(&key.key),
        key: URL_SAFE_NO_PAD.encode(&key.key),
    };
    let platform_keys: Vec<_> = answer.platform_keys.iter().map(key).collect();
    let fingerprint = join_token
        .expose()
        .rsplit_once('.')
        .map(|(_, end)| format!("ed_{end}"));
    if platform_keys.first().map(|key| key.kid.as_str()) != fingerprint.as_deref() {
        return Err(IdentityError::WrongPlatform);
    }
    let certificate: EdgeCertificate =
        Verifier::new(&platform_keys)?.verify(&answer.certificate)?;
    let ours = certificate.signing_key == signer.public_key().key
        && certificate.sealing_key == URL_SAFE_NO_PAD.encode(opener.public_key());
    if !ours {
        return Err(IdentityError::Certificate(SignedError::UnknownKey));
    }
    let enrolment = Enrolment {
        edge: certificate.edge.clone(),
        region: certificate.region,
        certificate: answer.certificate,
        platform_keys,
        nats_url: answer.nats_url,
    };
    save(&data_dir.join(ENROLMENT), &enrolment)?;
    Ok(certificate.edge)
}

fn io(file: &Path) -> impl FnOnce(std::io::Error) -> IdentityError {
    let file = file.display().to_string();
    move |source| IdentityError::Io { file, source }
}

fn save(path: &Path, enrolment: &Enrolment) -> Result<(), IdentityError> {
    let write = || {
        let bytes = serde_json::to_vec_pretty(enrolment)?;
        let new = path.with_extension("json.new");
        let mut file = std::fs::OpenOptions::new();
        let mut file = file
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    write().map_err(io(path))
}

impl Identity {
    pub(crate) fn load(data_dir: &Path) -> Result<Self, IdentityError> {
        let path = data_dir.join(ENROLMENT);
        let not_enrolled = || IdentityError::NotEnrolled(path.display().to_string());
        let bytes = std::fs::read(&path).map_err(|_| not_enrolled())?;
        let enrolment: Enrolment = serde_json::from_slice(&bytes).map_err(|_| not_enrolled())?;
        Ok(Self {
            edge: enrolment.edge,
            region: enrolment.region,
            certificate: enrolment.certificate,
            signer: keyfile::load_or_create_signer(&data_dir.join(SIGNING_KEY))?,
            opener: keyfile::load_or_create_opener(&data_dir.join(SEALING_KEY))?,
            platform: Verifier::new(&enrolment.platform_keys)?,
            nats_url: enrolment.nats_url.into(),
        })
    }

    /// Edge `edge_1` of an installation whose platform has this key.
    #[cfg(test)]
    pub(crate) fn of(platform: &Signer) -> Self {
        Self {
            edge: "edge_1".parse().unwrap(),
            region: "local".parse().unwrap(),
            certificate: String::new(),
            signer: Signer::from_seed(&[3; 32]).unwrap(),
            opener: Opener::from_private_key(&[4; 32]),
            platform: Verifier::new([&platform.public_key()]).unwrap(),
            nats_url: String::new().into(),
        }
    }
}

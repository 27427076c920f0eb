//! TLS of a gRPC client: whom it believes, and who it is.

use super::GrpcError;
use std::path::{Path, PathBuf};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// PEM files of a client. With `cert` and `key` it shows a certificate of its own, for servers that ask for one.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientTlsFiles {
    /// The authority that the servers' certificates must come from; no other is believed.
    pub ca: PathBuf,
    /// Our certificate chain.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
}

/// The files in memory.
#[derive(Clone)]
pub struct ClientTls(ClientTlsConfig);

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The private key is in it.
        f.write_str("ClientTls")
    }
}

impl ClientTls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`GrpcError::File`] if one can't be read, [`GrpcError::HalfIdentity`] if a certificate has no key or a key no
    /// certificate.
    pub fn load(files: &ClientTlsFiles) -> Result<Self, GrpcError> {
        let authority = Certificate::from_pem(read(&files.ca)?);
        let config = ClientTlsConfig::new().ca_certificate(authority);
        let config = match (&files.cert, &files.key) {
            (None, None) => config,
            (Some(cert), Some(key)) => config.identity(Identity::from_pem(read(cert)?, read(key)?)),
            _ => return Err(GrpcError::HalfIdentity),
        };
        Ok(Self(config))
    }

    pub(super) fn config(&self) -> ClientTlsConfig {
        self.0.clone()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, GrpcError> {
    std::fs::read(path).map_err(|source| GrpcError::File {
        path: path.to_owned(),
        source,
    })
}

//! TLS of the counter's listeners and of its connections to other nodes.

use std::net::SocketAddr;
use std::path::PathBuf;
use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

/// PEM files.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// Our certificate chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority that the others' certificates must come from. Between nodes it is needed; on the listener for
    /// edges it is optional, and where it is given, edges need a certificate too.
    pub ca: Option<PathBuf>,
}

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file.
    #[error("{path} can't be read")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Nodes know each other by their authority.
    #[error("the nodes' TLS needs the authority of their certificates (`ca`)")]
    NoAuthority,
    /// What nodes say to each other is as good as the book itself.
    #[error("{0} is not a loopback address: the nodes' listener needs TLS there")]
    Plain(SocketAddr),
    /// The files' content.
    #[error("the TLS files don't fit")]
    Config(#[source] tonic::transport::Error),
}

/// TLS files in memory.
#[derive(Clone)]
pub(crate) struct Tls {
    identity: Identity,
    authority: Option<Certificate>,
}

impl Tls {
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|source| TlsError::File {
                path: path.clone(),
                source,
            })
        };
        Ok(Self {
            identity: Identity::from_pem(read(&files.cert)?, read(&files.key)?),
            authority: files
                .ca
                .as_ref()
                .map(read)
                .transpose()?
                .map(Certificate::from_pem),
        })
    }

    /// For the nodes' listener, if it may be as it is.
    pub(crate) fn of_nodes(
        files: Option<&TlsFiles>,
        listen: SocketAddr,
    ) -> Result<Option<Self>, TlsError> {
        match files {
            Some(files) if files.ca.is_none() => Err(TlsError::NoAuthority),
            Some(files) => Self::load(files).map(Some),
            None if listen.ip().is_loopback() => Ok(None),
            None => Err(TlsError::Plain(listen)),
        }
    }

    pub(crate) fn server(&self) -> ServerTlsConfig {
        let config = ServerTlsConfig::new().identity(self.identity.clone());
        match &self.authority {
            Some(authority) => config.client_ca_root(authority.clone()),
            None => config,
        }
    }

    pub(crate) fn client(&self) -> ClientTlsConfig {
        let config = ClientTlsConfig::new().identity(self.identity.clone());
        match &self.authority {
            Some(authority) => config.ca_certificate(authority.clone()),
            None => config,
        }
    }
}

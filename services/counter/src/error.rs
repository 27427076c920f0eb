//! Why a node can't start, or had to stop.

use crate::caller::CallersError;
use crate::raft::NodeId;
use crate::raft::log::StoreError;
use crate::tls::TlsError;

/// Why a node can't start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum CounterError {
    /// The data directory can't be made.
    #[error("the data directory")]
    DataDir(#[source] std::io::Error),
    /// The log or the snapshot.
    #[error("the log")]
    Store(#[from] StoreError),
    /// The platform's keys.
    #[error("the platform's keys")]
    Keys(#[from] CallersError),
    /// TLS.
    #[error("TLS")]
    Tls(#[from] TlsError),
    /// The listeners.
    #[error("a listener")]
    Listen(#[source] std::io::Error),
    /// The node's settings.
    #[error("{0}")]
    Settings(&'static str),
    /// The node had to stop: its disk failed, or its state is damaged. It starts again from what is whole.
    #[error("the node stopped")]
    Stopped(#[source] Box<openraft::error::Fatal<NodeId>>),
    /// It can't begin a cluster.
    #[error("the cluster can't be made: {0}")]
    Bootstrap(String),
}

impl From<openraft::error::Fatal<NodeId>> for CounterError {
    fn from(fatal: openraft::error::Fatal<NodeId>) -> Self {
        Self::Stopped(Box::new(fatal))
    }
}

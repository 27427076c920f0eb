//! The book as the state machine of a Raft log (openraft).

pub(crate) mod log;
pub(crate) mod machine;
pub(crate) mod network;

use crate::command::{Batch, Reply};
use openraft::storage::LogState;
use openraft::{
    BasicNode, Config, Entry, ErrorSubject, ErrorVerb, SnapshotPolicy, StorageError,
    StorageIOError, TokioRuntime,
};
use std::io::Cursor;
use std::sync::Arc;

/// A node's number in its cluster; at least 1.
pub type NodeId = u64;

openraft::declare_raft_types!(
    /// What the library is to know of us.
    pub(crate) Types:
        D = Arc<Batch>,
        R = Vec<Reply>,
        NodeId = NodeId,
        Node = BasicNode,
        Entry = Entry<Types>,
        SnapshotData = Cursor<Vec<u8>>,
        AsyncRuntime = TokioRuntime,
);

pub(crate) type Raft = openraft::Raft<Types>;
pub(crate) type Storage<T> = Result<T, StorageError<NodeId>>;
pub(crate) type State = LogState<Types>;

/// Milliseconds between signs of life of the leader.
const HEARTBEAT_MS: u64 = 100;
/// Followers wait for the longer one, and for a random time between both: 0.7 to 0.9 s after the last sign of life
/// one of them stands for election.
const ELECTION_MS: (u64, u64) = (250, 450);
/// Milliseconds for a piece of a snapshot, its installation included.
const SNAPSHOT_TIMEOUT_MS: u64 = 20_000;

pub(crate) fn config(snapshot_entries: u64) -> Config {
    Config {
        cluster_name: "proctor-counter".to_owned(),
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: ELECTION_MS.0,
        election_timeout_max: ELECTION_MS.1,
        install_snapshot_timeout: SNAPSHOT_TIMEOUT_MS,
        max_payload_entries: 64,
        replication_lag_threshold: snapshot_entries.saturating_mul(2),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(snapshot_entries),
        snapshot_max_chunk_size: crate::limits::SNAPSHOT_CHUNK_BYTES,
        max_in_snapshot_log_to_keep: snapshot_entries,
        ..Config::default()
    }
}

/// An error of the store, as the library wants it: it stops the node.
pub(crate) fn failure(
    subject: ErrorSubject<NodeId>,
    verb: ErrorVerb,
    error: &(impl std::error::Error + 'static),
) -> StorageError<NodeId> {
    StorageIOError::new(subject, verb, openraft::AnyError::new(error)).into()
}

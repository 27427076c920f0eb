//! Applies committed entries to the book; makes and installs snapshots of it.

use super::log::{Store, StoreError};
use super::{NodeId, Storage, Types, failure};
use crate::book::Book;
use crate::codec;
use crate::command::Reply;
use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::{
    BasicNode, Entry, EntryPayload, ErrorSubject, ErrorVerb, LogId, RaftSnapshotBuilder,
    SnapshotMeta, StoredMembership,
};
use proctor_model::audit::sha256;
use serde::{Deserialize, Serialize};
use std::io::Cursor;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What was applied.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Applied {
    pub(crate) book: Book,
    last: Option<LogId<NodeId>>,
    membership: StoredMembership<NodeId, BasicNode>,
}

impl Applied {
    /// Number of the last applied entry; 0: none.
    pub(crate) fn index(&self) -> u64 {
        self.last.map_or(0, |id| id.index)
    }

    /// SHA-256 of the book's bytes.
    pub(crate) fn digest(&self) -> Result<[u8; 32], codec::CodecError> {
        Ok(sha256(&codec::encode(&self.book)?))
    }
}

/// A snapshot as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    meta: SnapshotMeta<NodeId, BasicNode>,
    #[serde(with = "serde_bytes")]
    applied: Vec<u8>,
}

impl Stored {
    fn into_snapshot(self) -> Snapshot<Types> {
        Snapshot {
            meta: self.meta,
            snapshot: Box::new(Cursor::new(self.applied)),
        }
    }
}

/// The applied state of a node. Clones share it.
#[derive(Clone)]
pub(crate) struct Machine {
    applied: Arc<RwLock<Applied>>,
    /// Number of the last applied entry, for those who wait for what it may bring.
    index: Arc<watch::Sender<u64>>,
    store: Store,
}

impl Machine {
    /// As the newest snapshot says; blocks.
    pub(crate) fn load(store: Store) -> Result<Self, StoreError> {
        let stored: Option<Stored> = store.snapshot()?;
        let applied = match stored {
            Some(stored) => codec::decode(&stored.applied)?,
            None => Applied::default(),
        };
        Ok(Self {
            index: Arc::new(watch::Sender::new(applied.index())),
            applied: Arc::new(RwLock::new(applied)),
            store,
        })
    }

    /// Cancelled when the node's file is closed; see [`Store::released`].
    pub(crate) fn released(&self) -> CancellationToken {
        self.store.released()
    }

    /// Changes whenever something was applied.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.index.subscribe()
    }

    pub(crate) fn applied(&self) -> RwLockReadGuard<'_, Applied> {
        self.applied.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Storage<(Option<LogId<NodeId>>, StoredMembership<NodeId, BasicNode>)> {
        let applied = self.applied();
        Ok((applied.last, applied.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Storage<Vec<Vec<Reply>>>
    where
        I: IntoIterator<Item = Entry<Types>> + Send,
        I::IntoIter: Send,
    {
        let mut guard = self.applied.write().unwrap_or_else(PoisonError::into_inner);
        let applied = &mut *guard;
        let mut replies = Vec::new();
        for entry in entries {
            applied.last = Some(entry.log_id);
            replies.push(match entry.payload {
                EntryPayload::Blank => Vec::new(),
                EntryPayload::Normal(batch) => applied.book.apply(Arc::unwrap_or_clone(batch)),
                EntryPayload::Membership(membership) => {
                    applied.membership = StoredMembership::new(Some(entry.log_id), membership);
                    Vec::new()
                }
            });
        }
        let index = applied.index();
        // Who waits looks at what was applied.
        drop(guard);
        self.index.send_replace(index);
        Ok(replies)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Storage<Box<Cursor<Vec<u8>>>> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<NodeId, BasicNode>,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Storage<()> {
        let failed = |error: StoreError| {
            let subject = ErrorSubject::Snapshot(Some(meta.signature()));
            failure(subject, ErrorVerb::Write, &error)
        };
        let bytes = snapshot.into_inner();
        let applied: Applied = codec::decode(&bytes).map_err(|error| failed(error.into()))?;
        let stored = Stored {
            meta: meta.clone(),
            applied: bytes,
        };
        self.store.put_snapshot(stored).await.map_err(failed)?;
        let index = applied.index();
        *self.applied.write().unwrap_or_else(PoisonError::into_inner) = applied;
        self.index.send_replace(index);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Storage<Option<Snapshot<Types>>> {
        let stored = self
            .store
            .blocking(|store| store.snapshot::<Stored>())
            .await;
        let stored = stored
            .map_err(|error| failure(ErrorSubject::Snapshot(None), ErrorVerb::Read, &error))?;
        Ok(stored.map(Stored::into_snapshot))
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    async fn build_snapshot(&mut self) -> Storage<Snapshot<Types>> {
        let applied = self.applied().clone();
        let last = applied.last;
        let meta = SnapshotMeta {
            last_log_id: last,
            last_membership: applied.membership.clone(),
            snapshot_id: last.map_or_else(
                || "0".to_owned(),
                |id| format!("{}-{}", id.leader_id.term, id.index),
            ),
        };
        let failed =
            |error: StoreError| failure(ErrorSubject::Snapshot(None), ErrorVerb::Write, &error);
        let encoded = self
            .store
            .blocking(move |_| Ok(codec::encode(&applied)?))
            .await;
        let bytes = encoded.map_err(failed)?;
        let stored = Stored {
            meta: meta.clone(),
            applied: bytes.clone(),
        };
        self.store.put_snapshot(stored).await.map_err(failed)?;
        Ok(Stored {
            meta,
            applied: bytes,
        }
        .into_snapshot())
    }
}

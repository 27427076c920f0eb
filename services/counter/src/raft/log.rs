//! The log, the vote and the snapshot of one node, in one redb file.
//!
//! Every write is one transaction, synced before it is acknowledged. Each value carries a checksum: what was altered on
//! disk stops the node, it never becomes state. After an error of the disk the file is not written to again by this
//! process: redb refuses, the library stops, the process ends; the next start recovers to the last whole commit.

use super::{NodeId, State, Storage, Types, failure};
use crate::codec::{CodecError, seal, unseal};
use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{Entry, ErrorSubject, ErrorVerb, LogId, RaftLogReader, Vote};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::{Bound, Deref, RangeBounds};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::{CancellationToken, DropGuard};

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const VOTE: &str = "vote";
const PURGED: &str = "purged";
const SNAPSHOT: &str = "snapshot";
const NODE: &str = "node";

/// Entries that are kept in memory, so that followers who keep up are served without the disk.
const CACHED: usize = 64;
/// Bytes of entries that one message to a follower may carry, roughly.
const PAYLOAD_BYTES_MAX: usize = 4 << 20;

/// Why the store can't do what it should.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file.
    #[error("the counter's store failed")]
    Redb(#[from] Box<redb::Error>),
    /// Its content.
    #[error("the counter's store is damaged")]
    Codec(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another node's.
    #[error("the data directory belongs to node {0}")]
    OtherNode(NodeId),
    /// The task that wrote was lost.
    #[error("a write was lost")]
    Lost,
}

impl From<CodecError> for StoreError {
    fn from(error: CodecError) -> Self {
        Self::Codec(Box::new(error))
    }
}

macro_rules! redb_errors {
    ($($error:ty),+) => { $(impl From<$error> for StoreError {
        fn from(error: $error) -> Self { Self::Redb(Box::new(error.into())) }
    })+ };
}
redb_errors!(
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError
);

struct Cached {
    entry: Entry<Types>,
    bytes: usize,
}

/// The open file; tells when it has been let go.
struct File {
    db: Database,
    // Below `db`: fields are dropped in their order, so the file is closed before anybody hears of it.
    released: DropGuard,
}

impl Deref for File {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.db
    }
}

/// The store of one node. Clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    db: Arc<File>,
    recent: Arc<Mutex<BTreeMap<u64, Cached>>>,
}

impl Store {
    /// Opens or makes the file; blocks.
    pub(crate) fn open(path: &Path, node: NodeId) -> Result<Self, StoreError> {
        let db = Database::create(path)?;
        let released = CancellationToken::new().drop_guard();
        let store = Self {
            db: Arc::new(File { db, released }),
            recent: Arc::default(),
        };
        let tx = store.db.begin_write()?;
        tx.open_table(LOG)?;
        tx.open_table(META)?;
        tx.commit()?;
        match store.meta::<NodeId>(NODE)? {
            None => store.put(NODE, &node)?,
            Some(owner) if owner != node => return Err(StoreError::OtherNode(owner)),
            Some(_) => {}
        }
        Ok(store)
    }

    /// Cancelled when the last of all clones is gone and the file is closed.
    pub(crate) fn released(&self) -> CancellationToken {
        self.db.released.token().clone()
    }

    /// The newest snapshot; blocks.
    pub(crate) fn snapshot<T: DeserializeOwned>(&self) -> Result<Option<T>, StoreError> {
        self.meta(SNAPSHOT)
    }

    /// Replaces the snapshot.
    pub(crate) async fn put_snapshot<T>(&self, snapshot: T) -> Result<(), StoreError>
    where
        T: Serialize + Send + 'static,
    {
        self.blocking(move |store| store.put(SNAPSHOT, &snapshot))
            .await
    }

    /// Runs something that waits for the disk where it holds up nobody.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        done.unwrap_or(Err(StoreError::Lost))
    }

    fn meta<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let table = self.db.begin_read()?.open_table(META)?;
        let Some(found) = table.get(key)? else {
            return Ok(None);
        };
        Ok(Some(unseal(found.value())?))
    }

    fn put<T: Serialize>(&self, key: &str, value: &T) -> Result<(), StoreError> {
        let tx = self.db.begin_write()?;
        tx.open_table(META)?.insert(key, seal(value)?.as_slice())?;
        tx.commit()?;
        Ok(())
    }

    fn insert(&self, entries: &[(u64, Vec<u8>)]) -> Result<(), StoreError> {
        let tx = self.db.begin_write()?;
        {
            let mut log = tx.open_table(LOG)?;
            for (index, bytes) in entries {
                log.insert(*index, bytes.as_slice())?;
            }
        }
        tx.commit()?;
        Ok(())
    }

    fn remove(&self, from: Bound<u64>, to: Bound<u64>) -> Result<(), StoreError> {
        let tx = self.db.begin_write()?;
        tx.open_table(LOG)?.retain_in((from, to), |_, _| false)?;
        tx.commit()?;
        Ok(())
    }

    fn state(&self) -> Result<State, StoreError> {
        let purged: Option<LogId<NodeId>> = self.meta(PURGED)?;
        let table = self.db.begin_read()?.open_table(LOG)?;
        let last = match table.last()? {
            Some((_, bytes)) => Some(unseal::<Entry<Types>>(bytes.value())?.log_id),
            None => purged,
        };
        Ok(State {
            last_purged_log_id: purged,
            last_log_id: last,
        })
    }

    /// Entries from `from` on until the range ends or their bytes are more than `most`; at least one.
    fn entries(
        &self,
        from: u64,
        to: Bound<u64>,
        most: usize,
    ) -> Result<Vec<Entry<Types>>, StoreError> {
        let table = self.db.begin_read()?.open_table(LOG)?;
        let mut found = Vec::new();
        let mut bytes = 0_usize;
        for row in table.range((Bound::Included(from), to))? {
            let (_, value) = row?;
            bytes = bytes.saturating_add(value.value().len());
            if bytes > most && !found.is_empty() {
                break;
            }
            found.push(unseal(value.value())?);
        }
        Ok(found)
    }

    /// As `entries`, if all of them are in memory.
    fn cached(&self, from: u64, to: Bound<u64>, most: usize) -> Option<Vec<Entry<Types>>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.get(&from)?;
        let mut found = Vec::new();
        let mut bytes = 0_usize;
        for cached in recent
            .range((Bound::Included(from), to))
            .map(|(_, cached)| cached)
        {
            bytes = bytes.saturating_add(cached.bytes);
            if bytes > most && !found.is_empty() {
                break;
            }
            found.push(cached.entry.clone());
        }
        Some(found)
    }

    fn cache(&self, entries: Vec<(Entry<Types>, usize)>) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        for (entry, bytes) in entries {
            recent.insert(entry.log_id.index, Cached { entry, bytes });
        }
        while recent.len() > CACHED {
            recent.pop_first();
        }
    }

    fn forget(&self, from: u64) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.split_off(&from);
    }

    async fn read(&self, from: u64, to: Bound<u64>, most: usize) -> Storage<Vec<Entry<Types>>> {
        if let Some(found) = self.cached(from, to, most) {
            return Ok(found);
        }
        let read = self
            .blocking(move |store| store.entries(from, to, most))
            .await;
        read.map_err(|error| failure(ErrorSubject::Logs, ErrorVerb::Read, &error))
    }
}

impl RaftLogReader<Types> for Store {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> Storage<Vec<Entry<Types>>> {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        self.read(from, range.end_bound().cloned(), usize::MAX)
            .await
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Storage<Vec<Entry<Types>>> {
        self.read(start, Bound::Excluded(end), PAYLOAD_BYTES_MAX)
            .await
    }
}

impl RaftLogStorage<Types> for Store {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Storage<State> {
        let state = self.blocking(Self::state).await;
        state.map_err(|error| failure(ErrorSubject::Logs, ErrorVerb::Read, &error))
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<NodeId>) -> Storage<()> {
        let vote = *vote;
        let saved = self.blocking(move |store| store.put(VOTE, &vote)).await;
        saved.map_err(|error| failure(ErrorSubject::Vote, ErrorVerb::Write, &error))
    }

    async fn read_vote(&mut self) -> Storage<Option<Vote<NodeId>>> {
        let vote = self.blocking(|store| store.meta(VOTE)).await;
        vote.map_err(|error| failure(ErrorSubject::Vote, ErrorVerb::Read, &error))
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Storage<()>
    where
        I: IntoIterator<Item = Entry<Types>> + Send,
        I::IntoIter: Send,
    {
        let mut rows = Vec::new();
        let mut cached = Vec::new();
        for entry in entries {
            let bytes = seal(&entry).map_err(|error| {
                failure(ErrorSubject::Log(entry.log_id), ErrorVerb::Write, &error)
            })?;
            cached.push((entry.clone(), bytes.len()));
            rows.push((entry.log_id.index, bytes));
        }
        let written = self.blocking(move |store| store.insert(&rows)).await;
        if let Err(error) = written {
            let error = failure(ErrorSubject::Logs, ErrorVerb::Write, &error);
            callback.log_io_completed(Err(std::io::Error::other(error.to_string())));
            return Err(error);
        }
        self.cache(cached);
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId<NodeId>) -> Storage<()> {
        self.forget(log_id.index);
        let from = Bound::Included(log_id.index);
        let removed = self
            .blocking(move |store| store.remove(from, Bound::Unbounded))
            .await;
        removed.map_err(|error| failure(ErrorSubject::Log(log_id), ErrorVerb::Delete, &error))
    }

    async fn purge(&mut self, log_id: LogId<NodeId>) -> Storage<()> {
        // The mark first: if we stop in between, entries before it are only left over.
        let purged = self.blocking(move |store| {
            store.put(PURGED, &log_id)?;
            store.remove(Bound::Unbounded, Bound::Included(log_id.index))
        });
        let purged = purged.await;
        purged.map_err(|error| failure(ErrorSubject::Log(log_id), ErrorVerb::Delete, &error))
    }
}

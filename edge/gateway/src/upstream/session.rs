//! Sessions at a server of the older revisions: one for each client of ours and what it can be asked, so that no client
//! gets to see another's.

use super::client::Client;
use super::rpc::{self, Era, Incoming};
use super::talk::Talk;
use moka::notification::RemovalCause;
use moka::sync::Cache;
use reqwest::header::HeaderValue;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Sessions at one server; the longest unused one makes room.
const SESSIONS_MAX: u64 = 1_024;
/// A session that is not used for so long is ended.
const SESSION_IDLE: Duration = Duration::from_secs(900);

/// How a server is spoken to.
pub(super) struct Session {
    pub(super) era: Era,
    pub(super) version: HeaderValue,
    pub(super) id: Option<HeaderValue>,
    /// Requests in work, for what the server says on the session's own stream.
    waiting: Waiting,
    /// Cancelled with the session.
    pub(super) over: CancellationToken,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

type Waiting = Arc<Mutex<HashMap<u64, mpsc::Sender<Incoming>>>>;

/// A request in work.
pub(super) struct Waits {
    waiting: Waiting,
    id: u64,
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.id);
    }
}

/// Who is told what a server says outside the stream of a request.
#[derive(Clone)]
pub(super) struct Concerned(Waiting);

impl Concerned {
    /// Who waits for the answer to this request; a word that names none is only for a single one that waits.
    pub(super) fn by(&self, request: Option<u64>) -> Option<mpsc::Sender<Incoming>> {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match request {
            Some(id) => waiting.get(&id).cloned(),
            None if waiting.len() == 1 => waiting.values().next().cloned(),
            None => None,
        }
    }
}

impl Session {
    pub(super) fn modern() -> Self {
        Self {
            era: Era::Modern,
            version: HeaderValue::from_static(rpc::MODERN_VERSION),
            id: None,
            waiting: Waiting::default(),
            over: CancellationToken::new(),
        }
    }

    pub(super) fn legacy(version: HeaderValue, id: Option<HeaderValue>) -> Self {
        Self {
            era: Era::Legacy,
            version,
            id,
            waiting: Waiting::default(),
            over: CancellationToken::new(),
        }
    }

    /// Puts a request on the list of those in work.
    pub(super) fn wait(&self, id: u64, words: mpsc::Sender<Incoming>) -> Waits {
        let waiting = Waiting::clone(&self.waiting);
        waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, words);
        Waits { waiting, id }
    }

    pub(super) fn concerned(&self) -> Concerned {
        Concerned(Waiting::clone(&self.waiting))
    }
}

/// Whose it is, and what they can be asked.
type Key = (Arc<str>, String);

pub(super) struct Sessions {
    held: Cache<Key, Arc<Session>>,
    /// 0: not known. A server of the stateless revision has one for all.
    era: AtomicU8,
    modern: Arc<Session>,
}

const LEGACY: u8 = 1;
const MODERN: u8 = 2;

impl Sessions {
    pub(super) fn new(client: Client, url: String) -> Self {
        let held = Cache::builder()
            .max_capacity(SESSIONS_MAX)
            .time_to_idle(SESSION_IDLE)
            .eviction_listener(move |_: Arc<Key>, session: Arc<Session>, cause| {
                let runtime = tokio::runtime::Handle::try_current();
                if let (Some(id), Ok(runtime)) = (&session.id, runtime)
                    && cause != RemovalCause::Explicit
                {
                    let delete = client.delete(&url).header("mcp-session-id", id.clone());
                    let delete = delete.header("mcp-protocol-version", session.version.clone());
                    // A server that does not hear it ends the session by itself.
                    let client = client.clone();
                    runtime.spawn(async move { drop(client.send(delete).await) });
                }
            })
            .build();
        Self {
            held,
            era: AtomicU8::new(0),
            modern: Arc::new(Session::modern()),
        }
    }

    fn key(talk: &Talk) -> Key {
        let capabilities = serde_json::to_string(&talk.capabilities).unwrap_or_default();
        (Arc::clone(&talk.who), capabilities)
    }

    pub(super) fn get(&self, talk: &Talk) -> Option<Arc<Session>> {
        match self.era.load(Ordering::Acquire) {
            MODERN => Some(Arc::clone(&self.modern)),
            LEGACY => self.held.get(&Self::key(talk)),
            _ => None,
        }
    }

    pub(super) fn is_known_legacy(&self) -> bool {
        self.era.load(Ordering::Acquire) == LEGACY
    }

    pub(super) fn put(&self, talk: &Talk, session: Session) -> Arc<Session> {
        match session.era {
            Era::Modern => {
                self.era.store(MODERN, Ordering::Release);
                Arc::clone(&self.modern)
            }
            Era::Legacy => {
                self.era.store(LEGACY, Ordering::Release);
                let session = Arc::new(session);
                self.held.insert(Self::key(talk), Arc::clone(&session));
                session
            }
        }
    }

    /// The server has forgotten it, and may be another now.
    pub(super) fn forget(&self, session: &Arc<Session>) {
        let gone: Vec<_> = self
            .held
            .iter()
            .filter(|(_, held)| Arc::ptr_eq(held, session))
            .map(|(key, _)| key)
            .collect();
        for key in gone {
            self.held.invalidate(&*key);
        }
        self.era.store(0, Ordering::Release);
    }

    /// Nothing is known of the server any more.
    pub(super) fn doubt(&self) {
        self.era.store(0, Ordering::Release);
    }
}

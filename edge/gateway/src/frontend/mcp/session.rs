//! Sessions of the revisions up to 2025-11-25, each bound to whom it was opened for.

use super::Scope;
use super::stream::{Keep, Stream};
use crate::upstream::{Reply, Watched};
use moka::sync::Cache;
use proctor_model::{AgentId, RevocationId, TenantId};
use serde_json::{Map, Value};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Sessions at once; the longest unused one makes room.
const SESSIONS_MAX: u64 = 100_000;
/// A session that is not used for so long is over.
const SESSION_IDLE: Duration = Duration::from_secs(3600);
/// Streams of a session that can be taken up again.
const STREAMS_MAX: usize = 16;
/// Resources that a session may watch.
pub(super) const WATCHED_MAX: usize = 64;

/// Whom a session is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Owner {
    pub(super) tenant: TenantId,
    pub(super) agent: AgentId,
    /// The root of the token: what is appended to it changes nothing.
    pub(super) root: Option<RevocationId>,
    pub(super) scope: Scope,
}

/// A session.
pub(super) struct Session {
    pub(super) id: Arc<str>,
    pub(super) owner: Owner,
    /// What the client can be asked.
    pub(super) capabilities: Map<String, Value>,
    pub(super) log_level: Mutex<Option<String>>,
    /// Calls in work by their request id, so that the client can cancel them.
    calls: Mutex<HashMap<String, CancellationToken>>,
    /// Questions that the client has not answered yet, by their id.
    questions: Mutex<HashMap<u64, oneshot::Sender<Reply>>>,
    streams: Mutex<VecDeque<(u64, Arc<Stream>)>>,
    /// Of streams and questions.
    next: AtomicU64,
    /// For what belongs to no call; number 0.
    pub(super) general: Arc<Stream>,
    /// Resources that it watches.
    pub(super) watched: Mutex<HashMap<String, Watched>>,
    /// Cancelled when it is over.
    pub(super) over: CancellationToken,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

impl Session {
    pub(super) fn new(id: Arc<str>, owner: Owner, capabilities: Map<String, Value>) -> Self {
        Self {
            id,
            owner,
            capabilities,
            log_level: Mutex::default(),
            calls: Mutex::default(),
            questions: Mutex::default(),
            streams: Mutex::default(),
            next: AtomicU64::new(1),
            general: Stream::new(Keep::ForResuming(0)),
            watched: Mutex::default(),
            over: CancellationToken::new(),
        }
    }

    /// Ends what belongs to it.
    pub(super) fn end(&self) {
        self.over.cancel();
        self.general.finish();
        for cancel in locked(&self.calls).values() {
            cancel.cancel();
        }
    }

    /// A stream for the answer to one request.
    pub(super) fn open_stream(&self) -> Arc<Stream> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let stream = Stream::new(Keep::ForResuming(number));
        let mut streams = locked(&self.streams);
        while streams.len() >= STREAMS_MAX {
            streams.pop_front();
        }
        streams.push_back((number, Arc::clone(&stream)));
        stream
    }

    /// The stream that an event was on, and the event's number.
    pub(super) fn stream_of(&self, event_id: &str) -> Option<(Arc<Stream>, u64)> {
        let (number, after) = event_id.split_once('-')?;
        let (number, after) = (number.parse::<u64>().ok()?, after.parse().ok()?);
        if number == 0 {
            return Some((Arc::clone(&self.general), after));
        }
        let streams = locked(&self.streams);
        let (_, stream) = streams.iter().find(|(known, _)| *known == number)?;
        Some((Arc::clone(stream), after))
    }

    /// A number for a question to the client, whose reply goes to `reply`.
    pub(super) fn ask(&self, reply: oneshot::Sender<Reply>) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut questions = locked(&self.questions);
        // Those that nobody waits for any more.
        questions.retain(|_, reply| !reply.is_closed());
        questions.insert(number, reply);
        number
    }

    /// The client's reply to a question of this session; one that nobody asked goes nowhere.
    pub(super) fn replied(&self, id: &Value, reply: Reply) {
        let asked = id
            .as_u64()
            .and_then(|id| locked(&self.questions).remove(&id));
        if let Some(asked) = asked {
            // The call may be over.
            let _ = asked.send(reply);
        }
    }

    /// Cancels a call.
    pub(super) fn cancel(&self, request: &Value) {
        if let Some(cancel) = locked(&self.calls).get(&request.to_string()) {
            cancel.cancel();
        }
    }
}

/// All sessions.
pub(super) struct Sessions(Cache<Arc<str>, Arc<Session>>);

impl Sessions {
    pub(super) fn new() -> Self {
        Self(
            Cache::builder()
                .max_capacity(SESSIONS_MAX)
                .time_to_idle(SESSION_IDLE)
                .build(),
        )
    }

    pub(super) fn get(&self, id: &str) -> Option<Arc<Session>> {
        self.0.get(id)
    }

    pub(super) fn put(&self, session: Session) {
        self.0.insert(Arc::clone(&session.id), Arc::new(session));
    }

    pub(super) fn end(&self, session: &Session) {
        self.0.invalidate(&session.id);
        session.end();
    }
}

/// A call in the list of its session, for as long as it is in work.
pub(super) struct InWork {
    session: Arc<Session>,
    id: String,
    pub(super) cancel: CancellationToken,
}

impl InWork {
    /// None if a call of this id is in work already.
    pub(super) fn new(session: &Arc<Session>, id: &Value) -> Option<Self> {
        let cancel = CancellationToken::new();
        let id = id.to_string();
        let mut calls = locked(&session.calls);
        if calls.contains_key(&id) {
            return None;
        }
        calls.insert(id.clone(), cancel.clone());
        drop(calls);
        Some(Self {
            session: Arc::clone(session),
            id,
            cancel,
        })
    }
}

impl Drop for InWork {
    fn drop(&mut self) {
        locked(&self.session.calls).remove(&self.id);
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        let owner = Owner {
            tenant: "acme".parse().unwrap(),
            agent: "a".parse().unwrap(),
            root: None,
            scope: Scope::All,
        };
        Session::new("s".into(), owner, Map::new())
    }

    #[tokio::test]
    async fn a_reply_goes_to_its_own_question_once() {
        let session = session();
        let (reply, mut asked) = oneshot::channel();
        let number = session.ask(reply);
        for other in [
            Value::from(number + 1),
            Value::from(number.to_string()),
            Value::Null,
        ] {
            session.replied(&other, Reply::Result(Map::new()));
        }
        assert!(asked.try_recv().is_err());
        session.replied(&number.into(), Reply::Result(Map::new()));
        session.replied(&number.into(), Reply::Error(Map::new()));
        assert!(matches!(asked.try_recv(), Ok(Reply::Result(_))));
    }

    #[test]
    fn streams_are_found_by_their_events_and_bounded() {
        let session = session();
        for _ in 0..100 {
            drop(session.open_stream());
        }
        assert!(locked(&session.streams).len() <= STREAMS_MAX);
        assert!(session.stream_of("100-3").is_some());
        assert!(session.stream_of("0-3").is_some());
        for unknown in ["1-3", "x", "100", "-1", "100-x"] {
            assert!(session.stream_of(unknown).is_none(), "{unknown}");
        }
    }
}

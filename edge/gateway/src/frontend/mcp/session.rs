//! Sessions of the revisions up to 2025-11-25, each bound to whom it was opened for.

use super::known::KnownLists;
use super::owner::Owner;
use super::stream::{Account, Keep, Stream};
use crate::enforce::Caller;
use crate::enforce::Permitted;
use crate::recent::Recent;
use crate::upstream::{Reply, Watched};
use proctor_model::TenantId;
use serde_json::{Map, Value};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Sessions of one tenant at once; the longest unused one makes room.
const SESSIONS_MAX: usize = 8_192;
/// And those of one token, whatever was appended to it.
const OF_ONE_TOKEN_MAX: usize = 1_024;
/// Bytes that the streams of all sessions of a tenant keep for clients that come back; beyond, the longest unused
/// sessions go, so many at a time.
const KEPT_BYTES_MAX: usize = 256 * 1024 * 1024;
const GO_AT_A_TIME: usize = 8;
/// A session that is not used for so long is over.
const SESSION_IDLE: Duration = Duration::from_secs(3600);
/// Streams of a session that can be taken up again.
const STREAMS_MAX: usize = 16;
/// Resources that a session may watch.
pub(super) const WATCHED_MAX: usize = 64;

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
    questions: Mutex<HashMap<u64, Question>>,
    streams: Mutex<VecDeque<OfCall>>,
    /// Of streams and questions.
    next: AtomicU64,
    /// For what belongs to no call; number 0.
    pub(super) general: Arc<Stream>,
    /// What its client knows of its lists.
    pub(super) known: Arc<KnownLists>,
    /// Resources that it watches.
    pub(super) watched: Mutex<HashMap<String, Watched>>,
    /// Cancelled when it is over.
    pub(super) over: CancellationToken,
    /// What all streams of the tenant keep.
    account: Account,
}

/// What the server of a call waits to be told.
struct Question {
    call: Arc<Permitted>,
    reply: oneshot::Sender<Reply>,
}

/// The stream of a call.
struct OfCall {
    number: u64,
    call: Arc<Permitted>,
    stream: Arc<Stream>,
}

/// A stream as a client takes it up.
pub(super) struct Found {
    pub(super) stream: Arc<Stream>,
    /// The number of the last event that the client has.
    pub(super) after: u64,
    /// The call whose stream it is; none if it is the general one.
    pub(super) call: Option<Arc<Permitted>>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

impl Session {
    fn new(id: Arc<str>, owner: Owner, capabilities: Map<String, Value>, account: Account) -> Self {
        Self {
            id,
            owner,
            capabilities,
            log_level: Mutex::default(),
            calls: Mutex::default(),
            questions: Mutex::default(),
            streams: Mutex::default(),
            next: AtomicU64::new(1),
            general: Stream::on(Keep::ForResuming(0), Arc::clone(&account)),
            known: Arc::default(),
            watched: Mutex::default(),
            over: CancellationToken::new(),
            account,
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
    pub(super) fn open_stream(&self, call: Arc<Permitted>) -> Arc<Stream> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let stream = Stream::on(Keep::ForResuming(number), Arc::clone(&self.account));
        let mut streams = locked(&self.streams);
        while streams.len() >= STREAMS_MAX {
            streams.pop_front();
        }
        streams.push_back(OfCall {
            number,
            call,
            stream: Arc::clone(&stream),
        });
        stream
    }

    /// The general stream, for what comes from now on.
    pub(super) fn general_from_now(&self) -> Found {
        Found {
            stream: Arc::clone(&self.general),
            after: self.general.newest(),
            call: None,
        }
    }

    /// The stream that an event was on.
    pub(super) fn stream_of(&self, event_id: &str) -> Option<Found> {
        let (number, after) = event_id.split_once('-')?;
        let (number, after) = (number.parse::<u64>().ok()?, after.parse().ok()?);
        if number == 0 {
            return Some(Found {
                after,
                ..self.general_from_now()
            });
        }
        let streams = locked(&self.streams);
        let known = streams.iter().find(|known| known.number == number)?;
        Some(Found {
            stream: Arc::clone(&known.stream),
            after,
            call: Some(Arc::clone(&known.call)),
        })
    }

    /// A number for a call's question to the client, whose reply goes to `reply`.
    pub(super) fn ask(&self, call: Arc<Permitted>, reply: oneshot::Sender<Reply>) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut questions = locked(&self.questions);
        // Those that nobody waits for any more.
        questions.retain(|_, question| !question.reply.is_closed());
        questions.insert(number, Question { call, reply });
        number
    }

    /// The call that asks this, if the question waits for its reply.
    pub(super) fn asking(&self, id: &Value) -> Option<Arc<Permitted>> {
        let questions = locked(&self.questions);
        let question = questions.get(&id.as_u64()?)?;
        Some(Arc::clone(&question.call))
    }

    /// In whose name servers of the older revisions hold a session for this one. It begins with the token's root, as all of
    /// them do: what one token may hold at a server is bounded.
    pub(super) fn who(&self, caller: &Caller) -> String {
        format!("{}/{}", caller.who(), self.id)
    }

    /// Takes off the list what nobody waits for any more, and says what that is.
    pub(super) fn withdrawn(&self) -> Vec<u64> {
        let mut questions = locked(&self.questions);
        let closed = questions.extract_if(|_, question| question.reply.is_closed());
        closed.map(|(number, _)| number).collect()
    }

    /// The client's reply to a question of this session; one that nobody asked goes nowhere.
    pub(super) fn replied(&self, id: &Value, reply: Reply) {
        let asked = id
            .as_u64()
            .and_then(|id| locked(&self.questions).remove(&id));
        if let Some(asked) = asked {
            // The call may be over.
            let _ = asked.reply.send(reply);
        }
    }

    /// Cancels a call.
    pub(super) fn cancel(&self, request: &Value) {
        if let Some(cancel) = locked(&self.calls).get(&request.to_string()) {
            cancel.cancel();
        }
    }
}

/// All sessions. What one tenant opens costs no other tenant a session.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<TenantId, Arc<Table>>>);

/// Those of one tenant.
struct Table {
    sessions: Mutex<Recent<Arc<str>, Arc<Session>>>,
    account: Account,
}

impl Sessions {
    fn of(&self, tenant: &TenantId) -> Arc<Table> {
        let mut tables = locked(&self.0);
        Arc::clone(tables.entry(tenant.clone()).or_insert_with(|| {
            Arc::new(Table {
                sessions: Mutex::new(Recent::new(SESSION_IDLE)),
                account: Account::default(),
            })
        }))
    }

    pub(super) fn get(&self, tenant: &TenantId, id: &str) -> Option<Arc<Session>> {
        let table = self.of(tenant);
        let mut sessions = locked(&table.sessions);
        sessions.get(id, Instant::now()).map(Arc::clone)
    }

    /// Opens one.
    pub(super) fn open(&self, id: Arc<str>, owner: Owner, capabilities: Map<String, Value>) {
        let table = self.of(&owner.tenant);
        let root = owner.root.clone();
        let account = Arc::clone(&table.account);
        let session = Arc::new(Session::new(Arc::clone(&id), owner, capabilities, account));
        let mut sessions = locked(&table.sessions);
        let of_token = sessions.make_room(OF_ONE_TOKEN_MAX, |_, other| other.owner.root == root);
        let of_tenant = sessions.make_room(SESSIONS_MAX, |_, _| true);
        sessions.put(id, session, Instant::now());
        drop(sessions);
        drop((of_token, of_tenant));
    }

    /// Lets go of the longest unused sessions of a tenant whose streams keep too much.
    pub(super) fn bound(&self, tenant: &TenantId) {
        let table = self.of(tenant);
        for _ in 0..GO_AT_A_TIME {
            if table.account.load(Ordering::Relaxed) <= KEPT_BYTES_MAX {
                return;
            }
            let gone = locked(&table.sessions).make_room(2, |_, _| true);
            drop(gone);
        }
    }

    pub(super) fn end(&self, session: &Session) {
        let table = self.of(&session.owner.tenant);
        let gone = locked(&table.sessions).remove(&session.id);
        session.end();
        drop(gone);
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

    /// Tells the answer, the last that there is on its stream. It is no more in work then: a client that has read the answer may
    /// use the id again at once.
    pub(super) async fn answered(self, stream: &Stream, answer: &Value) {
        drop(self);
        stream.push(answer).await;
        stream.finish();
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
    use super::super::Scope;
    use super::super::owner::User;
    use super::*;

    fn owner(tenant: &str, root: u64) -> Owner {
        Owner {
            tenant: tenant.parse().unwrap(),
            agent: "a".parse().unwrap(),
            root: Some(format!("{root:064x}").parse().unwrap()),
            session: None,
            delegation: Vec::new(),
            intent: None,
            user: User::Is(None),
            scope: Scope::All,
        }
    }

    fn session() -> Session {
        Session::new("s".into(), owner("acme", 0), Map::new(), Account::default())
    }

    #[test]
    fn who_opens_many_sessions_loses_their_own() {
        let sessions = Sessions::default();
        let (acme, other) = ("acme".parse().unwrap(), "other".parse().unwrap());
        sessions.open("theirs".into(), owner("other", 7), Map::new());
        sessions.open("mine".into(), owner("acme", 1), Map::new());
        for n in 0..=OF_ONE_TOKEN_MAX {
            let id: Arc<str> = format!("s{n}").into();
            sessions.open(Arc::clone(&id), owner("acme", 0), Map::new());
            assert!(sessions.get(&acme, &id).is_some(), "the newest is kept");
        }
        assert!(sessions.get(&acme, "s0").is_none());
        assert!(sessions.get(&acme, "mine").is_some(), "another token's");
        for n in 0..SESSIONS_MAX / 2 {
            sessions.open(
                format!("t{n}").into(),
                owner("acme", 10 + u64::try_from(n).unwrap()),
                Map::new(),
            );
        }
        assert!(locked(&sessions.of(&acme).sessions).len() <= SESSIONS_MAX);
        assert!(sessions.get(&other, "theirs").is_some(), "another tenant's");
        assert!(sessions.get(&other, "mine").is_none());
    }

    #[tokio::test]
    async fn what_streams_keep_is_bounded_for_a_tenant() {
        let (sessions, acme) = (Sessions::default(), "acme".parse().unwrap());
        for name in ["a", "b"] {
            sessions.open(name.into(), owner("acme", 0), Map::new());
        }
        let large = Value::from("x".repeat(1_000));
        sessions.get(&acme, "a").unwrap().general.push(&large).await;
        sessions.bound(&acme);
        assert!(sessions.get(&acme, "a").is_some());
        let table = sessions.of(&acme);
        assert!(table.account.load(Ordering::Relaxed) > 1_000);
        sessions.get(&acme, "b").unwrap();
        table.account.fetch_add(KEPT_BYTES_MAX, Ordering::Relaxed);
        sessions.bound(&acme);
        assert!(
            sessions.get(&acme, "a").is_none(),
            "the longest unused goes"
        );
        assert_eq!(table.account.load(Ordering::Relaxed), KEPT_BYTES_MAX);
    }

    #[tokio::test]
    async fn a_reply_goes_to_its_own_question_once() {
        let session = session();
        let (reply, mut asked) = oneshot::channel();
        let number = session.ask(Arc::default(), reply);
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

    #[tokio::test]
    async fn an_id_is_free_before_its_answer_is_read() {
        let (session, id) = (Arc::new(session()), Value::from(7));
        let call = InWork::new(&session, &id).unwrap();
        assert!(InWork::new(&session, &id).is_none(), "it is in work");
        // A client that takes nothing yet, until there is no room for the answer either.
        let stream = Stream::new(Keep::Nothing);
        let client = stream.respond(0).unwrap();
        let answer = Value::from("the answer");
        let mut before = Box::pin(async {
            for _ in 0..1_000 {
                stream.push(&Value::Null).await;
            }
        });
        assert!(futures::poll!(before.as_mut()).is_pending());
        let mut telling = Box::pin(call.answered(&stream, &answer));
        assert!(futures::poll!(telling.as_mut()).is_pending());
        assert!(InWork::new(&session, &id).is_some(), "not told yet");
        drop(client);
        telling.await;
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_taken_back() {
        let session = session();
        let (reply, waits) = oneshot::channel();
        let (other, _still_waits) = oneshot::channel();
        let (number, _) = (
            session.ask(Arc::default(), reply),
            session.ask(Arc::default(), other),
        );
        drop(waits);
        assert_eq!(session.withdrawn(), [number]);
        assert!(session.withdrawn().is_empty(), "once");
    }

    #[test]
    fn streams_are_found_by_their_events_and_bounded() {
        let session = session();
        for _ in 0..100 {
            drop(session.open_stream(Arc::default()));
        }
        assert!(locked(&session.streams).len() <= STREAMS_MAX);
        assert!(session.stream_of("100-3").is_some());
        assert!(session.stream_of("0-3").is_some());
        for unknown in ["1-3", "x", "100", "-1", "100-x"] {
            assert!(session.stream_of(unknown).is_none(), "{unknown}");
        }
    }
}

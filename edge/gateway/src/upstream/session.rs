//! Sessions at a server of the older revisions: one for each client of ours and what it can be asked, so that no client
//! gets to see another's.

use super::client::Client;
use super::rpc::{self, Era, Incoming};
use super::subscribed::Subscribed;
use super::talk::Talk;
use crate::recent::Recent;
use reqwest::header::HeaderValue;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Sessions at one server; the longest unused one makes room.
const SESSIONS_MAX: usize = 1_024;
/// And those of one token, whatever was appended to it.
const OF_ONE_TOKEN_MAX: usize = 256;
/// A session that is not used for so long is ended.
const SESSION_IDLE: Duration = Duration::from_secs(900);

/// How a server is spoken to.
pub(super) struct Session {
    pub(super) era: Era,
    pub(super) version: HeaderValue,
    pub(super) id: Option<HeaderValue>,
    /// Requests in work, for what the server says on the session's own stream.
    waiting: Waiting,
    /// What it is to tell of in it.
    pub(super) subscribed: Subscribed,
    /// The server takes a level for its log lines.
    takes_levels: bool,
    /// The one that it was told last.
    level: Mutex<Option<String>>,
    /// Cancelled with the session.
    pub(super) over: CancellationToken,
    /// Where the server is told that it is over: once nobody has a request in it any more.
    end: Option<(Client, String)>,
    /// The server does not know it any more.
    forgotten: AtomicBool,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.over.cancel();
        if let (Some(id), Some((client, url)), false) =
            (&self.id, &self.end, *self.forgotten.get_mut())
        {
            let delete = client.delete(url).header("mcp-session-id", id.clone());
            client.part(delete.header("mcp-protocol-version", self.version.clone()));
        }
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

    /// Tells all who wait; one that does not take it misses it.
    pub(super) fn each(&self, word: impl Fn() -> Incoming) {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for words in waiting.values() {
            drop(words.try_send(word()));
        }
    }
}

impl Session {
    pub(super) fn modern() -> Self {
        let mut session = Self::legacy(HeaderValue::from_static(rpc::MODERN_VERSION), None);
        session.era = Era::Modern;
        session
    }

    pub(super) fn legacy(version: HeaderValue, id: Option<HeaderValue>) -> Self {
        Self {
            era: Era::Legacy,
            version,
            id,
            waiting: Waiting::default(),
            subscribed: Subscribed::default(),
            takes_levels: false,
            level: Mutex::default(),
            over: CancellationToken::new(),
            end: None,
            forgotten: AtomicBool::new(false),
        }
    }

    /// Has its server told when it is over.
    pub(super) fn ended_by(mut self, client: &Client, url: &str) -> Self {
        self.end = Some((client.clone(), url.to_owned()));
        self
    }

    /// Has its server told from which level on log lines are wanted, if it takes that.
    pub(super) fn with_levels(mut self, takes_levels: bool) -> Self {
        self.takes_levels = takes_levels;
        self
    }

    fn level(&self) -> MutexGuard<'_, Option<String>> {
        self.level.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The level of a talk, if the server does not know it yet.
    pub(super) fn level_to_tell(&self, talk: &Talk) -> Option<String> {
        let wanted = talk.log_level.as_ref().filter(|_| self.takes_levels)?;
        let known = self.level().as_ref() == Some(wanted);
        (!known).then(|| wanted.clone())
    }

    pub(super) fn note_level(&self, level: String) {
        *self.level() = Some(level);
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
    held: Mutex<Recent<Key, Arc<Session>>>,
    /// 0: not known. A server of the stateless revision has one for all.
    era: AtomicU8,
    modern: Arc<Session>,
    /// Such a server has the extension for tasks.
    tasks: AtomicBool,
}

const LEGACY: u8 = 1;
const MODERN: u8 = 2;

impl Sessions {
    pub(super) fn new() -> Self {
        Self {
            held: Mutex::new(Recent::new(SESSION_IDLE)),
            era: AtomicU8::new(0),
            modern: Arc::new(Session::modern()),
            tasks: AtomicBool::new(false),
        }
    }

    /// Whether the server said of itself that it has the extension for tasks.
    pub(super) fn makes_tasks(&self) -> bool {
        self.tasks.load(Ordering::Acquire)
    }

    pub(super) fn note_tasks(&self, has: bool) {
        self.tasks.store(has, Ordering::Release);
    }

    fn key(talk: &Talk) -> Key {
        let capabilities = serde_json::to_string(&talk.capabilities).unwrap_or_default();
        (Arc::clone(&talk.who), capabilities)
    }

    pub(super) fn get(&self, talk: &Talk) -> Option<Arc<Session>> {
        match self.era.load(Ordering::Acquire) {
            MODERN => Some(Arc::clone(&self.modern)),
            LEGACY => self
                .held()
                .get(&Self::key(talk), Instant::now())
                .map(Arc::clone),
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
                self.note_tasks(false);
                let session = Arc::new(session);
                self.keep(Self::key(talk), Arc::clone(&session));
                session
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, Recent<Key, Arc<Session>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a new one. Those that make room for it end when the requests in them have.
    fn keep(&self, key: Key, session: Arc<Session>) {
        let token = |who: &str| who.split('/').next().map(str::to_owned);
        let ours = token(&key.0);
        let mut held = self.held();
        let of_token = held.make_room(OF_ONE_TOKEN_MAX, |(who, _), _| token(who) == ours);
        let of_all = held.make_room(SESSIONS_MAX, |_, _| true);
        held.put(key, session, Instant::now());
        drop(held);
        drop((of_token, of_all));
    }

    /// The server has forgotten it, and may be another now.
    pub(super) fn forget(&self, session: &Arc<Session>) {
        session.forgotten.store(true, Ordering::Release);
        self.held().retain(|held| !Arc::ptr_eq(held, session));
        self.era.store(0, Ordering::Release);
    }

    /// Nothing is known of the server any more: another one may be there, which has none of these sessions. Many say so
    /// otherwise than they should (a 400 for a session that they do not know), so that none of them is tried again.
    pub(super) fn doubt(&self) {
        self.held().retain(|session| {
            session.forgotten.store(true, Ordering::Release);
            false
        });
        self.era.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn legacy(sessions: &Sessions, who: &str) -> Arc<Session> {
        let id = Some(HeaderValue::from_static("s"));
        let session = Session::legacy(HeaderValue::from_static(rpc::LEGACY_VERSION), id);
        sessions.put(&Talk::silent(who), session)
    }

    #[test]
    fn a_new_session_is_kept_and_one_token_has_its_share() {
        let sessions = Sessions::new();
        let first = legacy(&sessions, "other/1");
        for n in 0..OF_ONE_TOKEN_MAX + 10 {
            let who = format!("root/{n}");
            let new = legacy(&sessions, &who);
            let kept = sessions.get(&Talk::silent(&who)).unwrap();
            assert!(Arc::ptr_eq(&new, &kept), "{n}");
            assert!(sessions.get(&Talk::silent("root/0")).is_some(), "in use");
        }
        assert_eq!(sessions.held().len(), OF_ONE_TOKEN_MAX + 1);
        let kept = sessions.get(&Talk::silent("other/1")).unwrap();
        assert!(Arc::ptr_eq(&first, &kept), "another token's");
    }

    #[test]
    fn of_a_server_that_is_another_now_no_session_is_used_again() {
        let sessions = Sessions::new();
        let before = ["root/1", "root/2"].map(|who| legacy(&sessions, who));
        sessions.doubt();
        // The server is known to be of the older revisions again, by who comes first.
        legacy(&sessions, "root/1");
        assert!(sessions.get(&Talk::silent("root/2")).is_none());
        for session in before {
            assert!(session.forgotten.load(Ordering::Acquire), "it is not told");
        }
    }

    #[test]
    fn a_session_in_use_is_not_over_when_it_is_let_go() {
        let sessions = Sessions::new();
        let session = legacy(&sessions, "root/1");
        for n in 0..SESSIONS_MAX {
            legacy(&sessions, &format!("root{n}/1"));
        }
        assert!(sessions.get(&Talk::silent("root/1")).is_none());
        assert!(!session.over.is_cancelled());
        let over = session.over.clone();
        drop(session);
        assert!(over.is_cancelled());
    }
}

//! What each session has read, for value provenance: kept in memory, within a limit per tenant.

use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use proctor_engine::token::VerifiedToken;
use proctor_engine::{CompiledIntent, Tracker};
use proctor_model::{IntentId, RevocationId, SessionId, Timestamp};
use proctor_runtime::Clock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

/// Sightings of all sessions of a tenant that are kept, some 50 bytes each: 200 MB.
const SIGHTINGS_MAX: u64 = 4_000_000;
/// How long a session is kept after its last call.
const IDLE: Duration = Duration::from_secs(2 * 3600);
/// What a session weighs beside its sightings.
const SESSION_WEIGHT: u32 = 64;

/// Whose reading it is. An agent can add a `session` caveat to its token, so that alone must not give it a clean slate:
/// what the intent says comes first, it is signed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Key {
    Declared(SessionId),
    Intent(IntentId),
    Token(RevocationId),
}

pub(crate) type Session = Arc<RwLock<Tracker>>;

/// A tenant's sessions.
pub(crate) struct Sessions {
    cache: Cache<Key, Session>,
    /// Until then (microseconds of the epoch) something may have been read that is not known here any more.
    lost_until: Arc<AtomicI64>,
}

impl Sessions {
    pub(crate) fn new(clock: &Clock) -> Self {
        let lost_until = Arc::new(AtomicI64::new(clock.now().as_micros()));
        let (lost, time) = (Arc::clone(&lost_until), clock.clone());
        let cache = Cache::builder()
            .max_capacity(SIGHTINGS_MAX)
            .weigher(|_, session: &Session| {
                let sightings = session.read().map_or(usize::MAX, |session| session.len());
                u32::try_from(sightings)
                    .unwrap_or(u32::MAX)
                    .saturating_add(SESSION_WEIGHT)
            })
            // By recent use alone: a new session must not be turned away because others are busier.
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(IDLE)
            .eviction_listener(move |_, _, cause| {
                if cause != RemovalCause::Replaced {
                    lost.fetch_max(time.now().as_micros(), Ordering::Relaxed);
                }
            })
            .build();
        Self { cache, lost_until }
    }

    fn key(token: &VerifiedToken, intent: Option<&CompiledIntent>) -> Option<Key> {
        match intent {
            // A sub-agent's reading is its session's: a narrower intent must not give a clean slate either.
            Some(intent) => Some(match &intent.root().intent().declaration.session {
                Some(session) => Key::Declared(session.clone()),
                None => Key::Intent(intent.root().id().clone()),
            }),
            // The root of the token: what is appended changes nothing.
            None => token.revocation_ids().first().cloned().map(Key::Token),
        }
    }

    /// What the session of this token and intent has read.
    pub(crate) fn of(
        &self,
        token: &VerifiedToken,
        intent: Option<&CompiledIntent>,
        digest_key: &[u8; 32],
    ) -> Session {
        let session = Self::key(token, intent);
        let fresh = || {
            let began = intent.map_or(Timestamp::from_secs(0), |intent| {
                intent.root().intent().declared_at
            });
            let incomplete = began.as_micros() <= self.lost_until.load(Ordering::Relaxed);
            let key = proctor_engine::provenance_key(digest_key);
            let mut tracker = Tracker::new(&key, incomplete);
            let vault_key = proctor_engine::vault_key(digest_key, &format!("{session:?}"));
            tracker.vault = proctor_engine::Vault::new(vault_key);
            Arc::new(RwLock::new(tracker))
        };
        match session.clone() {
            Some(key) => self.cache.get_with(key, fresh),
            None => fresh(),
        }
    }

    /// To be called when a session has read more: its weight is another now.
    pub(crate) fn grown(
        &self,
        token: &VerifiedToken,
        intent: Option<&CompiledIntent>,
        session: &Session,
    ) {
        if let Some(key) = Self::key(token, intent) {
            self.cache.insert(key, Arc::clone(session));
        }
    }
}

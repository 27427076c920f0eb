//! What each session has read, for value provenance: kept in memory, within a limit per tenant.

use moka::notification::RemovalCause;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use proctor_engine::token::VerifiedToken;
use proctor_engine::{CompiledIntent, Tracker};
use proctor_model::config::SessionRule;
use proctor_model::{AgentId, IntentId, RevocationId, SessionId, UserId};
use proctor_runtime::{Clock, Random};
use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Sightings of all sessions of a tenant that are kept, some 50 bytes each: 200 MB.
const SIGHTINGS_MAX: u64 = 4_000_000;
/// How long a session is kept after its last call.
const IDLE: Duration = Duration::from_secs(2 * 3600);
/// What a session weighs beside its sightings.
const SESSION_WEIGHT: u32 = 64;
/// After so many more sightings it is weighed again.
const WEIGHED_AGAIN: usize = 64;
/// Declared sessions that were forgotten, so many are remembered as such.
const FORGOTTEN_MAX: u64 = 65_536;
/// For so long.
const FORGOTTEN_FOR: Duration = Duration::from_secs(24 * 3600);

/// Whose reading it is. An agent can add a `session` caveat to its token, so that alone must not give it a clean slate:
/// what the intent says comes first, it is signed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Key {
    /// A name is its agent's and its user's own: another's session of that name is another session.
    Declared {
        agent: AgentId,
        user: Option<UserId>,
        session: SessionId,
    },
    Intent(IntentId),
    Token(RevocationId),
}

pub(crate) type Session = Arc<RwLock<Tracker>>;

/// A tenant's sessions.
pub(crate) struct Sessions {
    cache: Cache<Key, Session>,
    /// Declared sessions that had to make room, or were not used for long: a later intent may be for the same one.
    forgotten: Cache<Key, ()>,
    /// Until then (microseconds of the epoch) something may have been read that is not known here any more.
    lost_until: Arc<AtomicI64>,
    /// For the keys under which values lie encrypted.
    random: Random,
}

impl Sessions {
    pub(crate) fn new(clock: &Clock) -> Self {
        let lost_until = Arc::new(AtomicI64::new(clock.now().as_micros()));
        let (lost, time) = (Arc::clone(&lost_until), clock.clone());
        let forgotten = Cache::builder()
            .max_capacity(FORGOTTEN_MAX)
            .time_to_live(FORGOTTEN_FOR)
            .build();
        let forget = forgotten.clone();
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
            .eviction_listener(move |key: Arc<Key>, _, cause| {
                if cause != RemovalCause::Replaced {
                    lost.fetch_max(time.now().as_micros(), Ordering::Relaxed);
                    if matches!(*key, Key::Declared { .. }) {
                        forget.insert((*key).clone(), ());
                    }
                }
            })
            .build();
        Self {
            cache,
            forgotten,
            lost_until,
            random: Random::system(),
        }
    }

    fn key(token: &VerifiedToken, intent: Option<&CompiledIntent>) -> Option<Key> {
        match intent {
            // A sub-agent's reading is its session's: a narrower intent must not give a clean slate either.
            Some(intent) => {
                let declared = &intent.root().intent().declaration;
                Some(match &declared.session {
                    Some(session) => Key::Declared {
                        agent: declared.agent.clone(),
                        user: declared.user.clone(),
                        session: session.clone(),
                    },
                    None => Key::Intent(intent.root().id().clone()),
                })
            }
            // The root of the token: what is appended changes nothing. A login's next access token goes on where this one ends.
            None => token.root().cloned().map(Key::Token),
        }
    }

    /// What the session of this token and intent has read. Where it may go on at any edge, something may have been read
    /// at another at any time, unless it is the session of a token that was pinned to this one: an intent's session is that
    /// of all tokens with that intent.
    pub(crate) fn of(
        &self,
        token: &VerifiedToken,
        intent: Option<&CompiledIntent>,
        digest_key: &[u8; 32],
        rule: SessionRule,
    ) -> Session {
        let session = self.known(token, intent, digest_key);
        if rule == SessionRule::AnyEdge && !(token.is_pinned() && intent.is_none()) {
            // It may have begun under the other rule.
            let whole = |session: &Session| {
                let session = session.read().unwrap_or_else(PoisonError::into_inner);
                !session.is_incomplete()
            };
            if whole(&session) {
                let mut session = session.write().unwrap_or_else(PoisonError::into_inner);
                session.note_incomplete();
            }
        }
        session
    }

    fn known(
        &self,
        token: &VerifiedToken,
        intent: Option<&CompiledIntent>,
        digest_key: &[u8; 32],
    ) -> Session {
        let session = Self::key(token, intent);
        let fresh = || {
            let began = intent.map_or(token.issued_at(), |intent| {
                intent.root().intent().declared_at
            });
            let lost = began.as_micros() <= self.lost_until.load(Ordering::Relaxed);
            // It may have begun with an earlier intent.
            let forgotten = session
                .as_ref()
                .is_some_and(|key| self.forgotten.contains_key(key));
            let incomplete = lost || forgotten;
            let key = proctor_engine::provenance_key(digest_key);
            let mut tracker = Tracker::new(&key, incomplete);
            let vault_key = proctor_engine::vault_key(digest_key, &format!("{session:?}"));
            // Without random bytes nothing is kept: what would be replaced by a placeholder is redacted.
            if let Ok(seal) = self.random.array() {
                tracker.vault = proctor_engine::Vault::new(vault_key, seal);
            }
            Arc::new(RwLock::new(tracker))
        };
        match session.clone() {
            Some(key) => self.cache.get_with(key, fresh),
            None => fresh(),
        }
    }

    /// To be called when a session has read more, with its sightings before and after: its weight is another now. (By so few
    /// that it makes no odds, as with each of a thousand notes of one call, nothing is done.) One that was forgotten meanwhile stays
    /// so: what came after it is not to be lost, and knows that it is incomplete.
    pub(crate) fn grown(
        &self,
        token: &VerifiedToken,
        intent: Option<&CompiledIntent>,
        session: &Session,
        sightings: &Range<usize>,
    ) {
        if sightings.start / WEIGHED_AGAIN == sightings.end / WEIGHED_AGAIN {
            return;
        }
        if let Some(key) = Self::key(token, intent) {
            self.cache.entry(key).and_compute_with(|known| match known {
                Some(known) if Arc::ptr_eq(known.value(), session) => Op::Put(Arc::clone(session)),
                _ => Op::Nop,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_engine::filter::{Content, Place, Rules};
    use proctor_engine::token::{KeyRing, MintRequest, mint, verify};
    use proctor_model::catalogue::Verb;
    use proctor_model::config::{TokenKey, TokenKeys};
    use proctor_model::content::Direction;
    use proctor_model::intent::{Intent, IntentDeclaration};
    use proctor_model::{Timestamp, ToolRef};
    use serde_json::{Value, json};

    const NOW: i64 = 1_800_000_000;
    const KEY: [u8; 32] = [7; 32];

    fn token(agent: &str) -> VerifiedToken {
        token_with(agent, &[])
    }

    /// `first` stands before the caveats that each token has.
    fn token_with(agent: &str, first: &[&str]) -> VerifiedToken {
        let key = TokenKey {
            kid: "k1".parse().unwrap(),
            key: KEY,
            not_after: None,
        };
        let request = MintRequest {
            tenant: "acme".parse().unwrap(),
            agent: agent.parse().unwrap(),
            caveats: first
                .iter()
                .map(|caveat| (*caveat).to_owned())
                .chain([
                    format!("time < {}", Timestamp::from_secs(NOW + 600)),
                    "tool in bank/*".into(),
                ])
                .map(|caveat| caveat.parse().unwrap())
                .collect(),
        };
        let token = mint(&request, &key, [3; 16], Timestamp::from_secs(NOW)).unwrap();
        let keys = TokenKeys {
            keys: vec![key],
            digest_key: KEY,
            secrets: Vec::new(),
        };
        verify(&token, &KeyRing::new("acme".parse().unwrap(), &keys)).unwrap()
    }

    /// An intent for session `1`, declared so many seconds after the edge was started.
    fn intent(id: &str, agent: &str, user: &Value, after: i64, parent: Option<Intent>) -> Intent {
        let mut declaration: IntentDeclaration = serde_json::from_value(json!({ "agent": agent, "user": user,
            "session": "1", "goal": "do it", "actions": [{ "tool": "bank/pay" }], "expires_in_s": 60 }))
        .unwrap();
        declaration.parent = parent.as_ref().map(|parent| parent.id.clone());
        Intent {
            v: 1,
            id: id.parse().unwrap(),
            tenant: "acme".parse().unwrap(),
            declared_at: Timestamp::from_secs(NOW + after),
            expires_at: Timestamp::from_secs(NOW + after + 60),
            declared_by: "backend".into(),
            declaration,
            parent: parent.map(Box::new),
        }
    }

    fn of(sessions: &Sessions, agent: &str, intent: &Intent) -> Session {
        let intent = CompiledIntent::compile(intent.clone()).unwrap();
        sessions.of(&token(agent), Some(&intent), &KEY, SessionRule::OneEdge)
    }

    #[test]
    fn a_name_is_its_agents_and_its_users_own() {
        let (clock, _hand) = Clock::at(Timestamp::from_secs(NOW));
        let sessions = Sessions::new(&clock);
        let (alice, bob, nobody) = (json!("alice"), json!("bob"), Value::Null);
        let first = intent("int_1", "copilot", &alice, 1, None);
        let session = of(&sessions, "copilot", &first);
        for other in [
            intent("int_2", "copilot", &bob, 1, None),
            intent("int_3", "copilot", &nobody, 1, None),
            intent("int_4", "crawler", &alice, 1, None),
        ] {
            let agent = other.declaration.agent.clone();
            let other = of(&sessions, agent.as_str(), &other);
            assert!(!Arc::ptr_eq(&session, &other));
        }
        // A later intent of the same session, and a sub-agent's narrower one, whoever it says to work for.
        let later = intent("int_5", "copilot", &alice, 9, None);
        let narrower = intent("int_6", "copilot", &bob, 9, Some(first));
        for same in [later, narrower] {
            assert!(Arc::ptr_eq(&session, &of(&sessions, "copilot", &same)));
        }
    }

    #[test]
    fn without_an_intent_the_session_begins_with_its_token() {
        for (started, is_whole) in [(NOW - 5, true), (NOW + 5, false)] {
            let (clock, _hand) = Clock::at(Timestamp::from_secs(started));
            let rule = SessionRule::OneEdge;
            let session = Sessions::new(&clock).of(&token("copilot"), None, &KEY, rule);
            assert_eq!(!session.read().unwrap().is_incomplete(), is_whole);
        }
    }

    #[test]
    fn a_login_goes_on_in_its_session_under_the_next_access_token() {
        let (clock, _hand) = Clock::at(Timestamp::from_secs(NOW - 5));
        let sessions = Sessions::new(&clock);
        let session = |token: &VerifiedToken| {
            let rule = SessionRule::OneEdge;
            sessions.of(token, None, &KEY, rule)
        };
        let line = |digit: &str| -> RevocationId { digit.repeat(64).parse().unwrap() };
        let user = || "alice".parse().unwrap();
        let first = session(&token_with("copilot", &[]).of_login(line("a"), user()));
        // Another root, as another access token has.
        let next = session(&token("crawler").of_login(line("a"), user()));
        assert!(Arc::ptr_eq(&first, &next));
        let other = session(&token("copilot").of_login(line("b"), user()));
        assert!(!Arc::ptr_eq(&first, &other));
        assert!(!Arc::ptr_eq(&first, &session(&token("copilot"))));
    }

    #[test]
    fn a_session_that_may_be_at_any_edge_is_never_whole() {
        let (clock, _hand) = Clock::at(Timestamp::from_secs(NOW));
        let sessions = Sessions::new(&clock);
        let first = intent("int_1", "copilot", &json!("alice"), 1, None);
        let first = CompiledIntent::compile(first).unwrap();
        let is_whole = |token: &VerifiedToken, rule| {
            let session = sessions.of(token, Some(&first), &KEY, rule);
            let session = session.read().unwrap();
            !session.is_incomplete()
        };
        let pinned = token_with("copilot", &["edge = edge_1"]);
        let free = token("copilot");
        assert!(is_whole(&free, SessionRule::OneEdge));
        // Another token of the same session may have been elsewhere.
        assert!(!is_whole(&pinned, SessionRule::AnyEdge));
        assert!(!is_whole(&free, SessionRule::AnyEdge));
    }

    #[test]
    fn what_was_forgotten_does_not_come_back_as_a_clean_slate() {
        let (clock, hand) = Clock::at(Timestamp::from_secs(NOW));
        let sessions = Sessions::new(&clock);
        let user = json!("alice");
        let first = intent("int_1", "copilot", &user, 1, None);
        let before = of(&sessions, "copilot", &first);
        assert!(!before.read().unwrap().is_incomplete());
        hand.advance(Duration::from_secs(10));
        // It has to make room for others while a call of it is under way.
        let compiled = CompiledIntent::compile(first).unwrap();
        let token = token("copilot");
        let key = Sessions::key(&token, Some(&compiled)).unwrap();
        sessions.cache.invalidate(&key);
        hand.advance(Duration::from_secs(10));
        let later = intent("int_2", "copilot", &user, 20, None);
        let after = of(&sessions, "copilot", &later);
        assert!(!Arc::ptr_eq(&before, &after));
        assert!(after.read().unwrap().is_incomplete(), "it began before");
        // The answer of that call comes: what was read meanwhile stays.
        sessions.grown(&token, Some(&compiled), &before, &(0..WEIGHED_AGAIN));
        assert!(Arc::ptr_eq(&after, &of(&sessions, "copilot", &later)));
        sessions.grown(&token, Some(&compiled), &after, &(0..WEIGHED_AGAIN));
        assert!(Arc::ptr_eq(&after, &of(&sessions, "copilot", &later)));
        // Others began after all that was lost.
        let other = intent("int_3", "copilot", &json!("bob"), 20, None);
        let other = of(&sessions, "copilot", &other);
        assert!(!other.read().unwrap().is_incomplete());
    }

    /// What a tool's answer is shown as in a session.
    fn shown(session: &Session, rules: &Rules, tool: &ToolRef, text: &str) -> String {
        let session = session.read().unwrap();
        let content = Content {
            rules,
            place: Place {
                direction: Direction::Inbound,
                tool: Some((tool, Verb::Write)),
            },
            vault: Some(&session.vault),
            roles: None,
        };
        content.treat_text(text).altered.unwrap()
    }

    /// What a tool that may see values gets of a text; none if there is nothing to put back.
    fn put_back(session: &Session, rules: &Rules, tool: &ToolRef, text: &str) -> Option<Value> {
        let session = session.read().unwrap();
        let content = Content {
            rules,
            place: Place {
                direction: Direction::Outbound,
                tool: Some((tool, Verb::Write)),
            },
            vault: Some(&session.vault),
            roles: None,
        };
        let arguments = json!({ "body": text });
        let back = content.put_back(arguments.as_object().unwrap())?;
        Some(back["body"].clone())
    }

    #[test]
    fn what_placeholders_stand_for_is_gone_with_the_session() {
        const TEXT: &str = "write to bob@example.org";
        let (clock, _hand) = Clock::at(Timestamp::from_secs(NOW));
        let sessions = Sessions::new(&clock);
        let rules = json!({
            "rules": [{ "classes": ["personal"], "direction": "inbound", "action": "tokenise" }],
            "reveal": [{ "classes": ["email"], "tools": ["mail/*"] }],
        });
        let rules = Rules::compile(&serde_json::from_value(rules).unwrap()).unwrap();
        let tool: ToolRef = "mail/send".parse().unwrap();
        let first = intent("int_1", "copilot", &json!("alice"), 1, None);
        let session = of(&sessions, "copilot", &first);
        let placeholder = shown(&session, &rules, &tool, TEXT);
        assert!(!placeholder.contains("bob"), "{placeholder}");
        let back = put_back(&session, &rules, &tool, &placeholder);
        assert_eq!(back, Some(json!(TEXT)), "as long as there is the session");

        let compiled = CompiledIntent::compile(first.clone()).unwrap();
        let key = Sessions::key(&token("copilot"), Some(&compiled)).unwrap();
        sessions.cache.invalidate(&key);
        let vault = Arc::downgrade(&session);
        drop(session);
        // The cache lets go of what it held in its own time: nothing else does hold it.
        let started = std::time::Instant::now();
        while vault.upgrade().is_some() {
            assert!(started.elapsed() < Duration::from_secs(20), "it is kept");
            sessions.cache.run_pending_tasks();
            assert!(sessions.cache.get(&key).is_none());
            std::thread::yield_now();
        }

        // The same name again, from the same intent: what it once stood for is not known.
        let again = of(&sessions, "copilot", &first);
        assert!(again.read().unwrap().vault.is_empty());
        assert_eq!(put_back(&again, &rules, &tool, &placeholder), None);
        // Until the value was read once more: it has the same placeholder, whose key comes from the name.
        assert_eq!(shown(&again, &rules, &tool, TEXT), placeholder);
        let back = put_back(&again, &rules, &tool, &placeholder);
        assert_eq!(back, Some(json!(TEXT)));
    }
}

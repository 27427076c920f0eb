//! What this edge knows of the tenants it serves, kept fresh by the feed and read by every decision without waiting.

mod kill;
mod tenants;

use crate::control_time;
use crate::enforce::UnderWay;
use crate::proof::Used;
use crate::sessions::Sessions;
use crate::tasks::Tasks;
use crate::upstream::Wiring;
use arc_swap::ArcSwapOption;
use kill::Switches;
use moka::Expiry;
use moka::sync::Cache;
use proctor_engine::token::KeyRing;
use proctor_engine::{CompiledIntent, CompiledTenant, Freshness, Killed, Revocations};
use proctor_model::config::TokenKeys;
use proctor_model::{IntentId, Reason, RevocationId, TenantId, Timestamp};
use proctor_runtime::Clock;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::watch;

pub(crate) use tenants::{Tenants, TurnedAway};

/// How long after a revoked token is over for certain its revocation is forgotten, in seconds.
const FORGET_AFTER_S: i64 = 60;
/// Intents of one tenant that are kept.
const INTENTS_MAX: u64 = 1_000_000;

/// A configuration version, ready for use.
pub(crate) struct Loaded {
    pub(crate) tenant: CompiledTenant,
    pub(crate) servers: Wiring,
}

/// A version of the token keys.
pub(crate) struct Keys {
    pub(crate) version: u64,
    pub(crate) ring: KeyRing,
    pub(crate) digest_key: [u8; 32],
}

impl Keys {
    pub(crate) fn new(tenant: &TenantId, version: u64, keys: &TokenKeys) -> Self {
        Self {
            version,
            ring: KeyRing::new(tenant.clone(), keys),
            digest_key: keys.digest_key,
        }
    }
}

/// A heartbeat of control.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Heard {
    pub(crate) config_version: u64,
    pub(crate) revocation_seq: u64,
    /// How many of them were alive at `at`.
    pub(crate) revocations: u64,
    /// Versions of the kill switches that have to be here.
    pub(crate) kill_version: u64,
    pub(crate) platform_kill_version: u64,
    pub(crate) at: Timestamp,
    /// On this edge's own monotonic clock.
    pub(crate) received: Duration,
}

#[derive(Default)]
struct News {
    /// The last one whose numbers were reached.
    reached: Option<Heard>,
    /// One whose numbers were not reached yet.
    pending: Option<Heard>,
}

#[derive(Default)]
struct Revoked {
    ids: HashSet<RevocationId>,
    by_number: BTreeMap<u64, (RevocationId, Timestamp)>,
}

/// When an intent goes out of the cache: as it expires.
struct ByExpiry(Clock);

impl Expiry<IntentId, Arc<CompiledIntent>> for ByExpiry {
    fn expire_after_create(
        &self,
        _: &IntentId,
        intent: &Arc<CompiledIntent>,
        _: Instant,
    ) -> Option<Duration> {
        let left = intent.intent().expires_at.micros_since(self.0.now());
        // A minute longer, so that "expired" is said, not "unknown".
        Some(Duration::from_micros(u64::try_from(left).unwrap_or(0)) + Duration::from_secs(60))
    }
}

/// One tenant as this edge knows it.
pub(crate) struct TenantState {
    pub(crate) id: TenantId,
    clock: Clock,
    loaded: ArcSwapOption<Loaded>,
    keys: ArcSwapOption<Keys>,
    intents: Cache<IntentId, Arc<CompiledIntent>>,
    /// What its sessions have read.
    pub(crate) sessions: Sessions,
    revoked: RwLock<Revoked>,
    switches: Mutex<Switches>,
    killed: watch::Sender<Arc<Killed>>,
    news: Mutex<News>,
    unverified: Mutex<Unverified>,
    /// Proofs of possession that were used here.
    pub(crate) proofs: Used,
    /// Calls that became tasks.
    pub(crate) tasks: Tasks,
    /// Its calls that are under way.
    pub(crate) under_way: UnderWay,
    /// When this edge began to serve it, on its monotonic clock.
    since: Duration,
}

/// Refusals of unverified tokens in this second of the monotonic clock.
#[derive(Default)]
struct Unverified {
    second: u64,
    recorded: u32,
}

/// Refusals of unverified tokens that are recorded per second and tenant; anybody can cause them, and the chain must
/// not be theirs to fill. More are counted by a metric.
const UNVERIFIED_PER_SECOND: u32 = 20;
/// How long a tenant is taken to be loading.
const LOADING_MAX: Duration = Duration::from_secs(60);

impl Revocations for TenantState {
    fn is_revoked(&self, id: &RevocationId) -> bool {
        self.revoked
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .ids
            .contains(id)
    }
}

impl TenantState {
    pub(crate) fn new(id: TenantId, clock: Clock) -> Self {
        let intents = Cache::builder()
            .max_capacity(INTENTS_MAX)
            .expire_after(ByExpiry(clock.clone()))
            .build();
        Self {
            id,
            sessions: Sessions::new(&clock),
            since: clock.monotonic(),
            clock,
            loaded: ArcSwapOption::empty(),
            keys: ArcSwapOption::empty(),
            intents,
            revoked: RwLock::default(),
            switches: Mutex::default(),
            killed: watch::Sender::default(),
            news: Mutex::default(),
            unverified: Mutex::default(),
            proofs: Used::default(),
            tasks: Tasks::default(),
            under_way: UnderWay::default(),
        }
    }

    /// Whether one more refusal of an unverified token is to be recorded. While the tenant is still loading no token
    /// can be verified, good ones neither: then all of them are.
    pub(crate) fn records_unverified(&self, reason: Reason) -> bool {
        let now = self.clock.monotonic();
        if reason == Reason::NotReady && now.saturating_sub(self.since) < LOADING_MAX {
            return true;
        }
        let second = now.as_secs();
        let mut unverified = self
            .unverified
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if unverified.second != second {
            *unverified = Unverified {
                second,
                recorded: 0,
            };
        }
        unverified.recorded = unverified.recorded.saturating_add(1);
        unverified.recorded <= UNVERIFIED_PER_SECOND
    }

    pub(crate) fn loaded(&self) -> Option<Arc<Loaded>> {
        self.loaded.load_full()
    }

    pub(crate) fn keys(&self) -> Option<Arc<Keys>> {
        self.keys.load_full()
    }

    pub(crate) fn intent(&self, id: &IntentId) -> Option<Arc<CompiledIntent>> {
        self.intents.get(id)
    }

    pub(crate) fn set_loaded(&self, loaded: Loaded) {
        self.loaded.store(Some(Arc::new(loaded)));
        self.review();
    }

    pub(crate) fn set_keys(&self, keys: Keys) {
        self.keys.store(Some(Arc::new(keys)));
    }

    pub(crate) fn add_intent(&self, intent: CompiledIntent) {
        self.intents.insert(intent.id().clone(), Arc::new(intent));
    }

    pub(crate) fn revoke(&self, number: u64, id: RevocationId, until: Timestamp) {
        let mut revoked = self.revoked.write().unwrap_or_else(PoisonError::into_inner);
        revoked.ids.insert(id.clone());
        revoked.by_number.insert(number, (id, until));
        drop(revoked);
        self.review();
    }

    /// Forgets revocations of tokens whose time was `over` by then. Kept a while longer than they matter: a heartbeat of a
    /// moment ago still counts them.
    pub(crate) fn forget(&self, over: Timestamp) {
        let before = over.plus_secs(-FORGET_AFTER_S);
        let mut revoked = self.revoked.write().unwrap_or_else(PoisonError::into_inner);
        revoked.by_number.retain(|_, (_, until)| before < *until);
        let ids = revoked
            .by_number
            .values()
            .map(|(id, _)| id.clone())
            .collect();
        revoked.ids = ids;
    }

    /// Whether all revocations that a heartbeat counts are here.
    fn has_revocations(&self, heard: &Heard) -> bool {
        let revoked = self.revoked.read().unwrap_or_else(PoisonError::into_inner);
        let counted = revoked.by_number.range(..=heard.revocation_seq);
        let alive = counted.filter(|(_, (_, until))| heard.at < *until).count();
        u64::try_from(alive).is_ok_and(|alive| alive >= heard.revocations)
    }

    pub(crate) fn heard(&self, heard: Heard) {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = news.pending.or(news.reached).map(|last| last.at);
        if latest.is_some_and(|latest| heard.at < latest) {
            return;
        }
        news.pending = Some(heard);
        drop(news);
        self.review();
    }

    /// Whether a heartbeat that was ahead of us is reached now.
    fn review(&self) {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pending) = news.pending else { return };
        let version = self
            .loaded
            .load()
            .as_ref()
            .map_or(0, |loaded| loaded.tenant.version());
        if version >= pending.config_version
            && self.has_revocations(&pending)
            && self.has_kills(&pending)
        {
            news.reached = news.pending.take();
        }
    }

    /// Whether this edge may decide for the tenant.
    pub(crate) fn freshness(&self) -> Freshness {
        let loaded = self.loaded.load();
        let reached = self
            .news
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .reached;
        let (Some(loaded), Some(reached), true) =
            (loaded.as_ref(), reached, self.keys.load().is_some())
        else {
            return Freshness::Loading;
        };
        let most = u64::from(loaded.tenant.settings().max_staleness_s);
        let waited = self.clock.monotonic().saturating_sub(reached.received);
        // Both clocks: a wall clock that is set back must not make old news young.
        let now = self.clock.now();
        let age = now.micros_since(reached.at);
        let most_us = i64::try_from(most.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
        // Nor does a clock that is far behind control's judge whose time is over.
        let behind = control_time::is_behind(now, reached.at);
        if waited <= Duration::from_secs(most) && age <= most_us && !behind {
            Freshness::Fresh
        } else {
            Freshness::Stale
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_model::config::{TenantConfig, TenantSettings};

    pub(super) fn state() -> (TenantState, proctor_runtime::clock::TestClock) {
        let (clock, hand) = Clock::at(Timestamp::from_secs(1_700_000_000));
        (TenantState::new("acme".parse().unwrap(), clock), hand)
    }

    pub(super) fn loaded(version: u64) -> Loaded {
        let config = TenantConfig {
            content: proctor_model::content::ContentRules::default(),
            v: 1,
            tenant: "acme".parse().unwrap(),
            version,
            issued_at: Timestamp::from_secs(0),
            settings: TenantSettings {
                max_staleness_s: 10,
                ..TenantSettings::default()
            },
            agents: Vec::new(),
            servers: Vec::new(),
            policies: Vec::new(),
            key_ids: Vec::new(),
            limits: None,
            prices: None,
            issuers: Vec::new(),
        };
        let tenant = CompiledTenant::compile(&config).unwrap();
        Loaded {
            tenant,
            servers: Wiring::default(),
        }
    }

    pub(super) fn keys() -> Keys {
        let keys = TokenKeys {
            keys: Vec::new(),
            digest_key: [0; 32],
            secrets: Vec::new(),
        };
        Keys::new(&"acme".parse().unwrap(), 1, &keys)
    }

    fn hear(state: &TenantState, config_version: u64, revocation_seq: u64, revocations: u64) {
        hear_kill(state, config_version, revocation_seq, revocations, [0, 0]);
    }

    pub(super) fn hear_kill(
        state: &TenantState,
        config_version: u64,
        revocation_seq: u64,
        revocations: u64,
        [kill_version, platform_kill_version]: [u64; 2],
    ) {
        let (at, received) = (state.clock.now(), state.clock.monotonic());
        state.heard(Heard {
            config_version,
            revocation_seq,
            revocations,
            kill_version,
            platform_kill_version,
            at,
            received,
        });
    }

    fn revoke(state: &TenantState, number: u64) {
        let id = format!("{number:064x}").parse().unwrap();
        state.revoke(number, id, Timestamp::from_secs(1_700_001_000));
    }

    #[test]
    fn a_heartbeat_counts_when_all_before_it_is_here() {
        let (state, hand) = state();
        hear(&state, 2, 3, 3);
        assert_eq!(state.freshness(), Freshness::Loading);
        state.set_keys(keys());
        state.set_loaded(loaded(1));
        revoke(&state, 1);
        revoke(&state, 3);
        assert_eq!(
            state.freshness(),
            Freshness::Loading,
            "an older version and a gap"
        );
        state.set_loaded(loaded(2));
        assert_eq!(
            state.freshness(),
            Freshness::Loading,
            "revocation 2 is missing"
        );
        revoke(&state, 2);
        assert_eq!(state.freshness(), Freshness::Fresh);
        // The next one is ahead of us: the last that was reached counts, for as long as it may.
        hear(&state, 3, 3, 3);
        assert_eq!(state.freshness(), Freshness::Fresh);
        hand.advance(Duration::from_secs(11));
        assert_eq!(state.freshness(), Freshness::Stale);
        state.set_loaded(loaded(3));
        assert_eq!(
            state.freshness(),
            Freshness::Stale,
            "it was heard too long ago"
        );
        hear(&state, 3, 3, 3);
        assert_eq!(state.freshness(), Freshness::Fresh);
    }

    #[test]
    fn strangers_do_not_fill_the_chain() {
        let (state, hand) = state();
        let recorded = |reason, asked: usize| {
            std::iter::repeat_with(|| state.records_unverified(reason))
                .take(asked)
                .filter(|recorded| *recorded)
                .count()
        };
        assert_eq!(recorded(Reason::NotReady, 100), 100, "still loading");
        assert_eq!(recorded(Reason::TokenForged, 100), 20);
        hand.advance(Duration::from_secs(1));
        assert_eq!(recorded(Reason::TokenForged, 100), 20);
        hand.advance(Duration::from_secs(60));
        assert_eq!(recorded(Reason::NotReady, 100), 20);
    }

    #[test]
    fn no_clock_makes_old_news_young() {
        let (state, hand) = state();
        state.set_keys(keys());
        state.set_loaded(loaded(1));
        hear(&state, 1, 0, 0);
        hand.advance(Duration::from_secs(11));
        hand.set_wall(Timestamp::from_secs(1_700_000_000));
        assert_eq!(state.freshness(), Freshness::Stale, "set back");
        hear(&state, 1, 0, 0);
        assert_eq!(state.freshness(), Freshness::Fresh);
        hand.set_wall(Timestamp::from_secs(1_700_000_100));
        assert_eq!(state.freshness(), Freshness::Stale, "set forward");
        hear(&state, 1, 0, 0);
        for (secs, freshness) in [
            (-300, Freshness::Fresh),
            (-301, Freshness::Stale),
            (-3_600, Freshness::Stale),
            (-315_360_000, Freshness::Stale),
            (315_360_000, Freshness::Stale),
            (0, Freshness::Fresh),
        ] {
            hand.set_wall(Timestamp::from_secs(1_700_000_100 + secs));
            assert_eq!(state.freshness(), freshness, "{secs}");
        }
        hand.set_wall(Timestamp::from_secs(1_700_000_200));
        // A played-back heartbeat is older than the last.
        let at = Timestamp::from_secs(1_699_999_000);
        state.heard(Heard {
            config_version: 1,
            revocation_seq: 0,
            revocations: 0,
            kill_version: 0,
            platform_kill_version: 0,
            at,
            received: state.clock.monotonic(),
        });
        assert_eq!(state.freshness(), Freshness::Stale);
    }

    #[test]
    fn a_purged_revocation_is_not_missed_and_a_deleted_one_is() {
        let (state, _hand) = state();
        state.set_keys(keys());
        state.set_loaded(loaded(1));
        revoke(&state, 5);
        revoke(&state, 8);
        hear(&state, 1, 8, 3);
        assert_eq!(
            state.freshness(),
            Freshness::Loading,
            "one that is alive is missing"
        );
        revoke(&state, 7);
        assert_eq!(state.freshness(), Freshness::Fresh);
        let id = format!("{:064x}", 7).parse().unwrap();
        assert!(state.is_revoked(&id));
        state.forget(Timestamp::from_secs(1_700_001_100));
        assert!(!state.is_revoked(&id));
        hear(&state, 1, 8, 0);
        assert_eq!(state.freshness(), Freshness::Fresh);
    }
}

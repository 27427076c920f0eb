//! One key set at an address: fetched when it is first needed, again in the background while it is in use, and at once, but
//! not often, when a token names a key that is not in it.

use super::public_keys;
use crate::world::Tenants;
use arc_swap::ArcSwapOption;
use jsonwebtoken::jwk::Jwk;
use proctor_model::Reason;
use proctor_runtime::Clock;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore};

/// A set older than this is fetched again in the background, so that a key that was withdrawn is not believed for long.
const RENEW: Duration = Duration::from_secs(600);
/// A set older than this is not believed any more: the identity provider could not be asked for all that time.
const LIFE: Duration = Duration::from_secs(3600);
/// Time between two attempts, whoever asks: anybody can make up a key id.
const PAUSE: Duration = Duration::from_secs(10);
/// Logins that wait for one fetch; more are refused.
const WAITING_MAX: usize = 64;

/// A set as it was fetched.
struct Held {
    keys: Vec<Jwk>,
    /// When, on the monotonic clock.
    at: Duration,
}

pub(super) struct Source {
    url: String,
    private_addresses: bool,
    clock: Clock,
    held: ArcSwapOption<Held>,
    /// When it was last tried; held while it is.
    tried: Mutex<Option<Duration>>,
    room: Semaphore,
}

impl Source {
    pub(super) fn new(url: String, private_addresses: bool, clock: Clock) -> Self {
        Self {
            url,
            private_addresses,
            clock,
            held: ArcSwapOption::empty(),
            tried: Mutex::new(None),
            room: Semaphore::new(WAITING_MAX),
        }
    }

    /// What `find` makes of the keys; asks for them anew if that is nothing.
    pub(super) async fn find(
        self: &Arc<Self>,
        tenants: &Arc<Tenants>,
        find: impl Fn(&[Jwk]) -> Vec<Jwk>,
    ) -> Result<Vec<Jwk>, Reason> {
        let found = self.look(&find);
        if let Some(found) = found.filter(|found| !found.is_empty()) {
            if self.age().is_none_or(|age| age > RENEW) && self.is_due() {
                let (source, tenants) = (Arc::clone(self), Arc::clone(tenants));
                tokio::spawn(async move { source.renew(&tenants).await });
            }
            return Ok(found);
        }
        let Ok(_room) = self.room.try_acquire() else {
            return Err(Reason::LoginKeysUnavailable);
        };
        self.renew(tenants).await;
        self.look(&find).ok_or(Reason::LoginKeysUnavailable)
    }

    fn age(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        let held = self.held.load();
        held.as_ref().map(|held| now.saturating_sub(held.at))
    }

    fn look(&self, find: impl Fn(&[Jwk]) -> Vec<Jwk>) -> Option<Vec<Jwk>> {
        self.age().filter(|age| *age <= LIFE)?;
        self.held.load().as_ref().map(|held| find(&held.keys))
    }

    /// Whether nobody fetches it right now, or has just tried.
    fn is_due(&self) -> bool {
        let now = self.clock.monotonic();
        let tried = self.tried.try_lock();
        tried.is_ok_and(|tried| tried.is_none_or(|at| now.saturating_sub(at) >= PAUSE))
    }

    /// Fetches the set, unless that was tried a moment ago. Who comes while it is fetched waits for that.
    async fn renew(&self, tenants: &Tenants) {
        let mut tried = self.tried.lock().await;
        let now = self.clock.monotonic();
        if tried.is_some_and(|at| now.saturating_sub(at) < PAUSE) {
            return;
        }
        *tried = Some(now);
        let fetched = tenants
            .upstreams
            .document(&self.url, self.private_addresses)
            .await;
        let keys = match fetched {
            Ok(body) => public_keys(&serde_json::from_slice(&body).unwrap_or(Value::Null)),
            Err(error) => {
                tracing::warn!(url = %self.url, %error, "the keys of an identity provider can't be had");
                return;
            }
        };
        if keys.is_empty() {
            tracing::warn!(url = %self.url, "there are no keys of an identity provider at this address");
            return;
        }
        self.held.store(Some(Arc::new(Held { keys, at: now })));
    }
}

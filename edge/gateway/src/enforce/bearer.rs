//! A client that logged in at its identity provider and sends the access token itself, as MCP's authorization has it. It is
//! exchanged here as [`exchange`](super::exchange) would, once; the capability token that comes of it never leaves the edge.
//!
//! Which one that is depends on nothing but the access token and its issuer's document: another edge, or this one after a
//! restart, makes the same, and what was revoked stays revoked.

use super::exchange::{Away, Minting};
use super::{Caller, Gateway, Refused, count};
use crate::jws;
use crate::proof::Presented;
use crate::world::{TenantState, Tenants};
use moka::Expiry;
use moka::future::Cache;
use moka::ops::compute::Op;
use proctor_engine::token::{VerifiedToken, login_nonce, verify};
use proctor_model::Reason;
use proctor_model::audit::Effect;
use proctor_model::login::TrustedIssuer;
use proctor_runtime::Clock;
use proctor_runtime::random::{Random, RandomError};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Weight of the logins that are known at once: one for each, and more for each compiled pattern in its capability token.
const WEIGHT_MAX: u64 = 50_000;
const PATTERN_WEIGHT: u32 = 500;

/// Exchanges at once. Each goes on when its client is gone, and nobody is known before it is through.
const EXCHANGES_MAX: usize = 1_024;

/// What stands for an access token: looked up by its hash, under a key of this process.
type Hash = [u8; 32];

/// The access tokens that were shown here and are good, each with the capability token that it stands for.
pub(crate) struct Bearers {
    key: [u8; 32],
    known: Cache<Hash, Arc<Known>>,
    room: Arc<Semaphore>,
}

/// An access token that was exchanged.
struct Known {
    token: Arc<VerifiedToken>,
    issuer: TrustedIssuer,
    /// The newest version of the configuration that was seen to have this issuer as it is.
    config_version: AtomicU64,
    /// The version of the tenant's keys that it was made under.
    keys_version: u64,
}

/// What is known of an access token goes as that ends.
struct ByEnd(Clock);

impl ByEnd {
    fn left(&self, known: &Known) -> Duration {
        let left = known.token.expires_at().micros_since(self.0.now());
        Duration::from_micros(u64::try_from(left).unwrap_or(0))
    }
}

impl Expiry<Hash, Arc<Known>> for ByEnd {
    fn expire_after_create(&self, _: &Hash, known: &Arc<Known>, _: Instant) -> Option<Duration> {
        Some(self.left(known))
    }

    fn expire_after_update(
        &self,
        _: &Hash,
        known: &Arc<Known>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(self.left(known))
    }
}

impl Bearers {
    /// # Errors
    /// Without random bytes.
    pub(crate) fn new(random: &Random, clock: Clock) -> Result<Self, RandomError> {
        let known = Cache::builder()
            .max_capacity(WEIGHT_MAX)
            .weigher(|_, known: &Arc<Known>| {
                let patterns = u32::try_from(known.token.patterns()).unwrap_or(u32::MAX);
                patterns.saturating_mul(PATTERN_WEIGHT).saturating_add(1)
            })
            .expire_after(ByEnd(clock))
            .build();
        Ok(Self {
            key: random.array()?,
            known,
            room: Arc::new(Semaphore::new(EXCHANGES_MAX)),
        })
    }

    /// A place to exchange this access token, if it can be one at all.
    fn enter(&self, access_token: &str) -> Result<OwnedSemaphorePermit, Away> {
        if access_token.len() > jws::BYTES_MAX {
            return Err(Away(None, Reason::LoginTokenInvalid));
        }
        let place = Arc::clone(&self.room).try_acquire_owned();
        place.map_err(|_| Away(None, Reason::Overloaded))
    }

    fn hash(&self, access_token: &str) -> Hash {
        Sha256::new()
            .chain_update(self.key)
            .chain_update(access_token)
            .finalize()
            .into()
    }
}

impl Known {
    /// Its tenant, where that is served, trusts the issuer as it did, and has the keys that it had.
    fn tenant(&self, tenants: &Tenants) -> Option<Arc<TenantState>> {
        let tenant = tenants.get(self.token.tenant())?;
        let (keys, loaded) = (tenant.keys()?, tenant.loaded()?);
        if keys.version != self.keys_version {
            return None;
        }
        let version = loaded.tenant.version();
        if self.config_version.load(Ordering::Relaxed) != version {
            let mut issuers = loaded.tenant.issuers().iter();
            issuers.find(|issuer| *issuer.spec() == self.issuer)?;
            self.config_version.store(version, Ordering::Relaxed);
        }
        Some(tenant)
    }

    fn caller(&self, tenants: &Tenants) -> Option<Caller> {
        Some(Caller {
            tenant: self.tenant(tenants)?,
            token: Arc::clone(&self.token),
        })
    }
}

impl Gateway {
    /// As [`Gateway::authenticate`], where an identity provider's access token may stand for a capability token.
    pub(crate) async fn authenticate_or_log_in(
        self: &Arc<Self>,
        presented: Presented<'_>,
        trace_id: Option<String>,
    ) -> Result<Caller, Refused> {
        let Some(shown) = presented.token.filter(|token| jws::has_its_form(token)) else {
            return self.authenticate(presented, trace_id).await;
        };
        match self.login(shown, trace_id.clone()).await {
            Ok(caller) => self.possessed(caller, &presented, trace_id).await,
            Err(Away(tenant, reason)) => Err(self.turn_away(tenant, reason, trace_id).await),
        }
    }

    async fn login(
        self: &Arc<Self>,
        access_token: &str,
        trace_id: Option<String>,
    ) -> Result<Caller, Away> {
        let hash = self.bearers.hash(access_token);
        if let Some(known) = self.bearers.known.get(&hash).await
            && let Some(caller) = known.caller(&self.tenants)
        {
            return Ok(caller);
        }
        let place = self.bearers.enter(access_token)?;
        let (gateway, access_token) = (Arc::clone(self), access_token.to_owned());
        // To its end, even if this client goes: what is in the chain is known here as well, and exchanged once.
        let exchanged = tokio::spawn(async move {
            let _place = place;
            gateway.log_in(hash, &access_token, trace_id).await
        });
        exchanged.await.unwrap_or(Err(Away(None, Reason::Internal)))
    }

    /// Of several that show the same access token at once, the first exchanges it.
    async fn log_in(
        &self,
        hash: Hash,
        access_token: &str,
        trace_id: Option<String>,
    ) -> Result<Caller, Away> {
        let known = self.bearers.known.entry(hash);
        let known = known.and_try_compute_with(|known| async move {
            match known.and_then(|known| known.value().tenant(&self.tenants)) {
                Some(_) => Ok(Op::Nop),
                None => self.stand_in(access_token, trace_id).await.map(Op::Put),
            }
        });
        let known = known.await?.into_entry();
        let caller = known.and_then(|known| known.value().caller(&self.tenants));
        // It changed again in this very moment.
        caller.ok_or(Away(None, Reason::NotReady))
    }

    /// Makes the capability token that an access token stands for.
    async fn stand_in(
        &self,
        access_token: &str,
        trace_id: Option<String>,
    ) -> Result<Arc<Known>, Away> {
        let admitted = self.login_of(None, access_token).await?;
        let away = |reason| Away(Some(admitted.tenant().id.clone()), reason);
        let issuer = admitted.issuer().map_err(away)?;
        let login = &admitted.login;
        let span = issuer.span(login, self.clock.now()).map_err(away)?;
        let keys = admitted.tenant().keys();
        let keys = keys.ok_or_else(|| away(Reason::NotReady))?;
        let minting = Minting {
            nonce: login_nonce(&keys.digest_key, access_token),
            issued_at: span.begin,
            expires_at: span.end,
            narrowed: None,
            key: login.key.clone(),
        };
        let token = admitted.mint(&keys, minting).map_err(away)?;
        let verified = verify(&token, &keys.ring).map_err(|error| away((&error).into()))?;
        let (now, place) = (self.clock.now(), &self.identity);
        verified
            .check_standing(now, &place.region, &place.edge, &**admitted.tenant())
            .map_err(away)?;
        // Its bare prefix's: an issuer's caveats may change, and what was revoked stays so.
        let id = verified.revocation_ids().first().cloned();
        let recorded = self.record_login(&admitted, id.unwrap_or_else(|| token.id()), trace_id);
        recorded.await.map_err(away)?;
        count(Effect::Allow, None);
        let line = login.line(&issuer.spec().id, &keys.digest_key);
        Ok(Arc::new(Known {
            token: Arc::new(verified.of_login(line, login.user.clone())),
            issuer: issuer.spec().clone(),
            config_version: AtomicU64::new(admitted.config_version()),
            keys_version: keys.version,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(entered: Result<OwnedSemaphorePermit, Away>) -> Option<Reason> {
        entered.err().map(|Away(_, reason)| reason)
    }

    #[test]
    fn only_so_many_access_tokens_are_exchanged_at_once_and_none_that_is_too_long() {
        let bearers = Bearers::new(&Random::system(), Clock::system()).unwrap();
        let long = "x".repeat(jws::BYTES_MAX + 1);
        assert_eq!(
            refused(bearers.enter(&long)),
            Some(Reason::LoginTokenInvalid)
        );
        let places: Vec<_> = (0..EXCHANGES_MAX)
            .map(|_| bearers.enter("a.b.c").ok().unwrap())
            .collect();
        assert_eq!(refused(bearers.enter("a.b.c")), Some(Reason::Overloaded));
        // It is no fault of the token: the client is to come again, not to log in.
        assert_eq!(Reason::Overloaded.http_status(), 503);
        drop(places);
        assert!(bearers.enter("a.b.c").is_ok());
    }
}

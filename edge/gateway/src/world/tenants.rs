//! The tenants of this edge, and whose a token is.

use super::TenantState;
use crate::control_time::ControlTime;
use crate::upstream::Upstreams;
use arc_swap::ArcSwapOption;
use moka::sync::Cache;
use proctor_engine::token::{Token, VerifiedToken, cache_key, verify};
use proctor_model::{Reason, TenantId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Weight of the verified tokens that are kept: one for each, and more for each compiled pattern in it, which may take
/// a quarter of a megabyte.
const TOKENS_WEIGHT_MAX: u64 = 100_000;
const PATTERN_WEIGHT: u32 = 500;
/// How long a verified token is kept after its last use.
const TOKEN_IDLE: Duration = Duration::from_secs(600);

/// All tenants that this edge serves, and the tokens it has verified.
pub(crate) struct Tenants {
    /// None before the first assignment.
    tenants: ArcSwapOption<HashMap<TenantId, Arc<TenantState>>>,
    /// With the version of the keys they were verified under.
    tokens: Cache<[u8; 32], (u64, Arc<VerifiedToken>)>,
    pub(crate) upstreams: Upstreams,
    pub(crate) control_time: ControlTime,
    /// Control's key for what approvers are to see.
    approvals_key: ArcSwapOption<[u8; 32]>,
}

/// Why a token gets nowhere, and whose it claims to be if that tenant is served here.
pub(crate) struct TurnedAway {
    pub(crate) reason: Reason,
    pub(crate) tenant: Option<TenantId>,
}

impl Tenants {
    pub(crate) fn new(upstreams: Upstreams, control_time: ControlTime) -> Self {
        let tokens = Cache::builder()
            .max_capacity(TOKENS_WEIGHT_MAX)
            .weigher(|_, (_, token): &(u64, Arc<VerifiedToken>)| {
                let patterns = u32::try_from(token.patterns()).unwrap_or(u32::MAX);
                patterns.saturating_mul(PATTERN_WEIGHT).saturating_add(1)
            })
            .time_to_idle(TOKEN_IDLE)
            .build();
        Self {
            tenants: ArcSwapOption::empty(),
            tokens,
            upstreams,
            control_time,
            approvals_key: ArcSwapOption::empty(),
        }
    }

    pub(crate) fn get(&self, tenant: &TenantId) -> Option<Arc<TenantState>> {
        self.tenants.load().as_ref()?.get(tenant).cloned()
    }

    /// All that are served; none before the first assignment.
    pub(crate) fn all(&self) -> Vec<Arc<TenantState>> {
        let tenants = self.tenants.load();
        tenants
            .iter()
            .flat_map(|tenants| tenants.values().cloned())
            .collect()
    }

    pub(crate) fn set(&self, tenants: HashMap<TenantId, Arc<TenantState>>) {
        self.tenants.store(Some(Arc::new(tenants)));
    }

    pub(crate) fn approvals_key(&self) -> Option<Arc<[u8; 32]>> {
        self.approvals_key.load_full()
    }

    pub(crate) fn set_approvals_key(&self, key: Option<[u8; 32]>) {
        self.approvals_key.store(key.map(Arc::new));
    }

    /// The verified token of this text, with its tenant. Standing (time, revocation, …) is the engine's to check.
    pub(crate) fn verify(
        &self,
        text: &str,
    ) -> Result<(Arc<TenantState>, Arc<VerifiedToken>), TurnedAway> {
        let key = cache_key(text);
        if let Some((version, token)) = self.tokens.get(&key)
            && let Some(tenant) = self.get(token.tenant())
            && tenant
                .keys
                .load()
                .as_ref()
                .is_some_and(|keys| keys.version == version)
        {
            return Ok((tenant, token));
        }
        let unknown = |reason| TurnedAway {
            reason,
            tenant: None,
        };
        let parsed = Token::parse(text).map_err(|error| unknown((&error).into()))?;
        let foreign = match self.tenants.load().is_some() {
            true => Reason::TenantNotServed,
            false => Reason::NotReady,
        };
        let tenant = self.get(parsed.tenant()).ok_or_else(|| unknown(foreign))?;
        let known = |reason| TurnedAway {
            reason,
            tenant: Some(tenant.id.clone()),
        };
        let keys = tenant.keys().ok_or_else(|| known(Reason::NotReady))?;
        let token = Arc::new(verify(&parsed, &keys.ring).map_err(|error| known((&error).into()))?);
        self.tokens.insert(key, (keys.version, Arc::clone(&token)));
        Ok((tenant, token))
    }
}

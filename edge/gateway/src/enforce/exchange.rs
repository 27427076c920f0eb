//! A login: an identity provider's access token in, a capability token out (RFC 8693). Recorded before it is given.

use super::{Gateway, Refused, count};
use crate::event;
use crate::jws::Jws;
use crate::proof::Presented;
use crate::world::{Keys, Loaded, TenantState};
use futures::future::join_all;
use proctor_engine::token::{Caveat, MintRequest, Token, nonce_of};
use proctor_engine::{CompiledIssuer, Freshness, Login};
use proctor_model::audit::Effect;
use proctor_model::{KeyThumbprint, Reason, RevocationId, TenantId, Timestamp};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Issuers of one tenant that may all say that a token is theirs.
const OF_ONE_TENANT_MAX: usize = 4;

/// What is asked for.
pub(crate) struct ExchangeRequest<'a> {
    /// The access token. Never logged.
    pub(crate) subject_token: &'a str,
    /// The tenant, where it is named.
    pub(crate) tenant: Option<TenantId>,
    /// What the client narrows the token to.
    pub(crate) narrowed: Option<Caveat>,
    /// The request, perhaps with a proof of a key to bind the token to.
    pub(crate) presented: Presented<'a>,
    pub(crate) trace_id: Option<String>,
}

/// A capability token for a login.
pub(crate) struct Exchanged {
    pub(crate) token: String,
    /// Seconds that it lives.
    pub(crate) expires_in: i64,
    /// Whether it is bound to a key.
    pub(crate) bound: bool,
}

/// No, and in whose chain it says so.
pub(super) struct Away(pub(super) Option<TenantId>, pub(super) Reason);

/// A tenant with the issuer whose token it is.
struct Judge {
    tenant: Arc<TenantState>,
    loaded: Arc<Loaded>,
    at: usize,
}

impl Judge {
    fn issuer(&self) -> Result<&CompiledIssuer, Reason> {
        let issuers = self.loaded.tenant.issuers();
        issuers.get(self.at).ok_or(Reason::Internal)
    }
}

/// A login that was verified and judged, and is in no chain yet.
pub(super) struct Admitted {
    judge: Judge,
    pub(super) login: Login,
}

/// What the capability token of a login has beside what its issuer gives.
pub(super) struct Minting {
    pub(super) nonce: [u8; 16],
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) narrowed: Option<Caveat>,
    /// The key that it is bound to.
    pub(super) key: Option<KeyThumbprint>,
}

impl Admitted {
    pub(super) fn tenant(&self) -> &Arc<TenantState> {
        &self.judge.tenant
    }

    pub(super) fn config_version(&self) -> u64 {
        self.judge.loaded.tenant.version()
    }

    pub(super) fn issuer(&self) -> Result<&CompiledIssuer, Reason> {
        self.judge.issuer()
    }

    pub(super) fn mint(&self, keys: &Keys, minting: Minting) -> Result<Token, Reason> {
        let mut caveats = vec![Caveat::Before(minting.expires_at)];
        caveats.extend_from_slice(self.issuer()?.caveats());
        // What pins it to an edge comes first, as in tokens that control mints: what is appended later pins nothing.
        caveats.sort_by_key(|caveat| !matches!(caveat, Caveat::Edge(_)));
        caveats.extend(minting.narrowed);
        caveats.extend(minting.key.map(Caveat::Cnf));
        let request = MintRequest {
            tenant: self.judge.tenant.id.clone(),
            agent: self.login.agent.clone(),
            caveats,
        };
        let minted = keys.ring.mint(&request, minting.nonce, minting.issued_at);
        minted.map_err(|_| Reason::NotReady)
    }
}

impl Gateway {
    /// Exchanges an access token for a capability token.
    pub(crate) async fn exchange(
        &self,
        request: ExchangeRequest<'_>,
    ) -> Result<Exchanged, Refused> {
        let trace_id = request.trace_id.clone();
        match self.exchanged(request).await {
            Ok(exchanged) => {
                count(Effect::Allow, None);
                Ok(exchanged)
            }
            Err(Away(tenant, reason)) => Err(self.turn_away(tenant, reason, trace_id).await),
        }
    }

    async fn exchanged(&self, request: ExchangeRequest<'_>) -> Result<Exchanged, Away> {
        let named = request.tenant.as_ref();
        let admitted = self.login_of(named, request.subject_token).await?;
        let given = match self.key_of(&admitted, &request.presented) {
            Ok(key) => self.give(&admitted, key, &request).await,
            Err(reason) => Err(reason),
        };
        given.map_err(|reason| Away(Some(admitted.tenant().id.clone()), reason))
    }

    /// Whose login an access token is, and that it may be exchanged. `named` is the tenant, where it is named.
    pub(super) async fn login_of(
        &self,
        named: Option<&TenantId>,
        access_token: &str,
    ) -> Result<Admitted, Away> {
        let invalid = || Away(named.cloned(), Reason::LoginTokenInvalid);
        let jws = Jws::read(access_token).ok_or_else(invalid)?;
        let claims = jws.unverified().ok_or_else(invalid)?;
        let judges = self.judges_of(named, &claims)?;
        let (judge, claims) = self.judge_of(named, judges, &jws).await?;
        match self.judged_login(&judge, &jws, &claims) {
            Ok(login) => Ok(Admitted { judge, login }),
            Err(reason) => Err(Away(Some(judge.tenant.id.clone()), reason)),
        }
    }

    fn judged_login(
        &self,
        judge: &Judge,
        jws: &Jws<'_>,
        claims: &Map<String, Value>,
    ) -> Result<Login, Reason> {
        let issuer = judge.issuer()?;
        let login = issuer.judge(jws.typ(), claims, self.clock.now())?;
        self.may_act(judge, &login)?;
        Ok(login)
    }

    /// Whose token it may be, by what it claims so far.
    fn judges_of(
        &self,
        named: Option<&TenantId>,
        claims: &Map<String, Value>,
    ) -> Result<Vec<Judge>, Away> {
        let tenants: Vec<_> = match named {
            Some(tenant) => self.tenants.get(tenant).into_iter().collect(),
            None => self.tenants.all(),
        };
        let mut foreign = None;
        let mut found = Vec::new();
        for tenant in tenants {
            let Some(loaded) = tenant.loaded() else {
                continue;
            };
            let before = found.len();
            for (at, issuer) in loaded.tenant.issuers().iter().enumerate() {
                if found.len().saturating_sub(before) >= OF_ONE_TENANT_MAX {
                    break;
                }
                match (issuer.made(claims), issuer.is_for_us(claims)) {
                    (false, _) => {}
                    (true, false) => foreign = Some(tenant.id.clone()),
                    (true, true) => found.push(Judge {
                        tenant: Arc::clone(&tenant),
                        loaded: Arc::clone(&loaded),
                        at,
                    }),
                }
            }
        }
        match (found.is_empty(), foreign) {
            (false, _) => Ok(found),
            (true, Some(tenant)) => Err(Away(Some(tenant), Reason::LoginWrongAudience)),
            (true, None) => Err(Away(named.cloned(), Reason::LoginIssuerUnknown)),
        }
    }

    /// Whose token it is: the one whose keys signed it. That another tenant says that it trusts the same issuer, by keys of
    /// its own, makes nobody's login ambiguous.
    async fn judge_of(
        &self,
        named: Option<&TenantId>,
        judges: Vec<Judge>,
        jws: &Jws<'_>,
    ) -> Result<(Judge, Map<String, Value>), Away> {
        let alone = judges.len() == 1;
        // All at once: keys that take long to get are waited for once.
        let tried = join_all(judges.into_iter().map(|judge| async move {
            let signed = self.signed(&judge, jws).await;
            (judge, signed)
        }));
        let (mut good, mut last) = (Vec::new(), None);
        for (judge, signed) in tried.await {
            match signed {
                Ok(claims) => good.push((judge, claims)),
                Err(reason) => last = Some(Away(Some(judge.tenant.id.clone()), reason)),
            }
        }
        match (good.pop(), last) {
            (Some(one), _) if good.is_empty() => Ok(one),
            (None, Some(away)) if alone => Err(away),
            // Whether none of several did, or two did, is said to nobody.
            _ => Err(Away(named.cloned(), Reason::LoginIssuerUnknown)),
        }
    }

    /// What the token says, once one of the issuer's keys is seen to have signed it.
    async fn signed(&self, judge: &Judge, jws: &Jws<'_>) -> Result<Map<String, Value>, Reason> {
        let spec = judge.issuer()?.spec();
        let algorithm = jws.algorithm(&spec.algorithms);
        let algorithm = algorithm.ok_or(Reason::LoginTokenInvalid)?;
        let tenant = &judge.tenant.id;
        let keys = self.logins.find(tenant, spec, jws, algorithm).await?;
        let mut verified = keys.iter().filter_map(|key| jws.verify(key, algorithm));
        verified.next().ok_or(Reason::LoginTokenInvalid)
    }

    /// A token for whom no call would be allowed is not given.
    fn may_act(&self, judge: &Judge, login: &Login) -> Result<(), Reason> {
        match judge.tenant.freshness() {
            Freshness::Fresh => {}
            Freshness::Loading => return Err(Reason::NotReady),
            Freshness::Stale => return Err(Reason::StaleConfig),
        }
        judge.tenant.killed().check_agent(&login.agent)?;
        match judge.loaded.tenant.has_active(&login.agent) {
            true => Ok(()),
            false => Err(Reason::AgentDisabled),
        }
    }

    /// The key to bind the token to: that of the proof that came with the request (RFC 9449, section 5). An access token that
    /// is bound to a key itself is exchanged for nobody who has another.
    fn key_of(
        &self,
        admitted: &Admitted,
        presented: &Presented<'_>,
    ) -> Result<Option<KeyThumbprint>, Reason> {
        let required = admitted.issuer()?.spec().proof_required;
        let bound = admitted.login.key.as_ref();
        if presented.proof.is_none() && bound.is_none() && !required {
            return Ok(None);
        }
        let is_right = |key: &KeyThumbprint| bound.is_none_or(|bound| bound == key);
        let proven = self.proven(admitted.tenant(), presented, is_right);
        proven.map(Some)
    }

    async fn give(
        &self,
        admitted: &Admitted,
        key: Option<KeyThumbprint>,
        request: &ExchangeRequest<'_>,
    ) -> Result<Exchanged, Reason> {
        let keys = admitted.tenant().keys().ok_or(Reason::NotReady)?;
        let (now, expires_at) = (self.clock.now(), admitted.login.expires_at);
        let bound = key.is_some();
        let chance = self.random.array().map_err(|_| Reason::Internal)?;
        let minting = Minting {
            nonce: nonce_of(&keys.digest_key, chance, admitted.login.user.as_str()),
            issued_at: now,
            expires_at,
            narrowed: request.narrowed.clone(),
            key,
        };
        let token = admitted.mint(&keys, minting)?;
        let trace_id = request.trace_id.clone();
        self.record_login(admitted, token.id(), trace_id).await?;
        Ok(Exchanged {
            token: token.to_text(),
            expires_in: expires_at.as_secs() - now.as_secs(),
            bound,
        })
    }

    /// A login is in the chain before its capability token is good for anything.
    pub(super) async fn record_login(
        &self,
        admitted: &Admitted,
        token_id: RevocationId,
        trace_id: Option<String>,
    ) -> Result<(), Reason> {
        let stamp = self.stamp(trace_id)?;
        let (tenant, decision_id) = (admitted.tenant().id.clone(), self.decision_id());
        let issuer = &admitted.issuer()?.spec().id;
        let login = &admitted.login;
        let event = event::logged_in(stamp, tenant, decision_id, issuer, login, token_id);
        self.spool.record(Box::new(event)).await?;
        Ok(())
    }
}

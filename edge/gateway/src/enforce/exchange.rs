//! A login: an identity provider's access token in, a capability token out (RFC 8693). Recorded before it is given.

use super::{Gateway, Refused, count};
use crate::event;
use crate::jws::Jws;
use crate::proof::Presented;
use crate::world::{Loaded, TenantState};
use futures::future::join_all;
use proctor_engine::token::{Caveat, MintRequest};
use proctor_engine::{CompiledIssuer, Freshness, Login};
use proctor_model::audit::Effect;
use proctor_model::{KeyThumbprint, Reason, TenantId};
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
struct Away(Option<TenantId>, Reason);

/// A tenant with the issuer whose token it is.
struct Judge {
    tenant: Arc<TenantState>,
    loaded: Arc<Loaded>,
    at: usize,
}

impl Judge {
    fn issuer(&self) -> Option<&CompiledIssuer> {
        self.loaded.tenant.issuers().get(self.at)
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
        let invalid = || Away(request.tenant.clone(), Reason::LoginTokenInvalid);
        let jws = Jws::read(request.subject_token).ok_or_else(invalid)?;
        let claims = jws.unverified().ok_or_else(invalid)?;
        let judges = self.judges_of(request.tenant.as_ref(), &claims)?;
        let (judge, claims) = self.judge_of(request.tenant.as_ref(), judges, &jws).await?;
        let known = |reason| Away(Some(judge.tenant.id.clone()), reason);
        let issuer = judge.issuer().ok_or_else(|| known(Reason::Internal))?;
        let login = issuer
            .judge(jws.typ(), &claims, self.clock.now())
            .map_err(known)?;
        self.may_act(&judge, &login).map_err(known)?;
        let key = self.key_of(&judge, issuer, &request).map_err(known)?;
        self.give(&judge, issuer, &login, key, &request)
            .await
            .map_err(known)
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
        let spec = judge.issuer().ok_or(Reason::Internal)?.spec();
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

    /// The key to bind the token to: that of the proof that came with the request (RFC 9449, section 5).
    fn key_of(
        &self,
        judge: &Judge,
        issuer: &CompiledIssuer,
        request: &ExchangeRequest<'_>,
    ) -> Result<Option<KeyThumbprint>, Reason> {
        let presented = &request.presented;
        match (presented.proof, issuer.spec().proof_required) {
            (None, false) => Ok(None),
            // Whatever key it is: the token is bound to it.
            _ => self.proven(&judge.tenant, presented, |_| true).map(Some),
        }
    }

    async fn give(
        &self,
        judge: &Judge,
        issuer: &CompiledIssuer,
        login: &Login,
        key: Option<KeyThumbprint>,
        request: &ExchangeRequest<'_>,
    ) -> Result<Exchanged, Reason> {
        let tenant = &judge.tenant.id;
        let keys = judge.tenant.keys().ok_or(Reason::NotReady)?;
        let mut caveats = vec![Caveat::Before(login.expires_at)];
        caveats.extend_from_slice(issuer.caveats());
        // What pins it to an edge comes first, as in tokens that control mints: what is appended later pins nothing.
        caveats.sort_by_key(|caveat| !matches!(caveat, Caveat::Edge(_)));
        caveats.extend(request.narrowed.clone());
        let bound = key.is_some();
        caveats.extend(key.map(Caveat::Cnf));
        let stamp = self.stamp(request.trace_id.clone())?;
        let nonce = self.random.array().map_err(|_| Reason::Internal)?;
        let minting = MintRequest {
            tenant: tenant.clone(),
            agent: login.agent.clone(),
            caveats,
        };
        let token = keys
            .ring
            .mint(&minting, nonce, stamp.now)
            .map_err(|_| Reason::NotReady)?;
        let expires_in = login.expires_at.as_secs() - stamp.now.as_secs();
        let id = &issuer.spec().id;
        let decision_id = self.decision_id();
        let event = event::logged_in(stamp, tenant.clone(), decision_id, id, login, token.id());
        self.spool.record(Box::new(event)).await?;
        Ok(Exchanged {
            token: token.to_text(),
            expires_in,
            bound,
        })
    }
}

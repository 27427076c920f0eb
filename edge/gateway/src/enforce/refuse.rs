//! Saying no: recorded first, in the chain of the tenant that it concerns.

use super::{Caller, Gateway, Refused, count};
use crate::event;
use crate::proof::{self, Presented, Scheme};
use crate::world::{Loaded, TenantState};
use proctor_engine::Refusal;
use proctor_model::audit::Effect;
use proctor_model::config::Denials;
use proctor_model::{DecisionId, KeyThumbprint, Reason, TenantId};
use std::sync::Arc;

impl Gateway {
    /// Who sends this token, and shows that it may. A refusal is recorded in the chain of the tenant that the token names,
    /// if it is one of ours; without one there is no chain to write to, and a metric counts it.
    pub(crate) async fn authenticate(
        &self,
        presented: Presented<'_>,
        trace_id: Option<String>,
    ) -> Result<Caller, Refused> {
        let verified = match presented.token {
            Some(text) => self.tenants.verify(text),
            None => Err(crate::world::TurnedAway {
                reason: Reason::TokenMissing,
                tenant: None,
            }),
        };
        match verified {
            Ok((tenant, token)) => {
                let caller = Caller { tenant, token };
                self.possessed(caller, &presented, trace_id).await
            }
            Err(away) => Err(self.turn_away(away.tenant, away.reason, trace_id).await),
        }
    }

    /// A caller whose token is good, if it shows what more it takes.
    pub(super) async fn possessed(
        &self,
        caller: Caller,
        presented: &Presented<'_>,
        trace_id: Option<String>,
    ) -> Result<Caller, Refused> {
        match self.check_possession(&caller, presented) {
            Ok(()) => Ok(caller),
            Err(reason) => Err(self.refuse(&caller, reason, trace_id).await),
        }
    }

    /// A token that is bound to a key comes with a proof of that key, as `Authorization: DPoP`, and never as a mere bearer's
    /// (RFC 9449, section 7); one that is not bound does not pretend to be.
    fn check_possession(&self, caller: &Caller, presented: &Presented<'_>) -> Result<(), Reason> {
        match (caller.token.is_bound(), presented.scheme) {
            (false, Scheme::Bearer) => Ok(()),
            (false, Scheme::Dpop) => Err(Reason::ProofInvalid),
            (true, Scheme::Bearer) => Err(Reason::ProofMissing),
            (true, Scheme::Dpop) => {
                let is_right = |key: &KeyThumbprint| caller.token.is_bound_to(key);
                self.proven(&caller.tenant, presented, is_right).map(drop)
            }
        }
    }

    /// The key that a request proves to have, if it is a right one.
    pub(super) fn proven(
        &self,
        tenant: &TenantState,
        presented: &Presented<'_>,
        is_right: impl Fn(&KeyThumbprint) -> bool,
    ) -> Result<KeyThumbprint, Reason> {
        let now = (self.clock.now(), self.clock.monotonic());
        proof::check(presented, &self.place, &tenant.proofs, now, is_right)
    }

    /// Refuses a request of a known caller before it is a call.
    pub(crate) async fn refuse(
        &self,
        caller: &Caller,
        reason: Reason,
        trace_id: Option<String>,
    ) -> Refused {
        let decision_id = self.decision_id();
        count(Effect::Deny, Some(reason));
        let recorded = match self.stamp(trace_id) {
            Ok(stamp) => {
                let tenant = caller.tenant.id.clone();
                let mut event = event::turned_away(stamp, tenant, decision_id, reason);
                event.agent = Some(caller.token.agent().clone());
                event.token_id = caller.token.id().cloned();
                event.session = caller.token.session().cloned();
                self.spool
                    .record(Box::new(event))
                    .await
                    .map_err(Reason::from)
            }
            Err(reason) => Err(reason),
        };
        let denials = caller
            .tenant
            .loaded()
            .map(|loaded| loaded.tenant.settings().denials)
            .unwrap_or_default();
        self.refused(decision_id, recorded.err().unwrap_or(reason), None, denials)
    }

    pub(crate) async fn turn_away(
        &self,
        tenant: Option<TenantId>,
        reason: Reason,
        trace_id: Option<String>,
    ) -> Refused {
        let decision_id = self.decision_id();
        count(Effect::Deny, Some(reason));
        let tenant = tenant.filter(|id| {
            let records = |tenant: Arc<TenantState>| tenant.records_unverified(reason);
            self.tenants.get(id).is_some_and(records)
        });
        let recorded = match (tenant, self.stamp(trace_id)) {
            (Some(tenant), Ok(stamp)) => {
                let event = event::turned_away(stamp, tenant, decision_id, reason);
                self.spool
                    .record(Box::new(event))
                    .await
                    .map_err(Reason::from)
            }
            (None, Ok(_)) => {
                metrics::counter!("proctor_edge_unrecorded_refusals_total", "reason" => reason.code())
                    .increment(1);
                Ok(())
            }
            (_, Err(reason)) => Err(reason),
        };
        self.refused(
            decision_id,
            recorded.err().unwrap_or(reason),
            None,
            Denials::default(),
        )
    }

    pub(super) async fn record_refusal(
        &self,
        refusal: Refusal,
        loaded: &Loaded,
        trace_id: Option<String>,
    ) -> Refused {
        count(refusal.facts.effect, Some(refusal.reason));
        let recorded = match self.stamp(trace_id) {
            Ok(stamp) => self
                .spool
                .record(Box::new(event::refused(stamp, &refusal)))
                .await
                .map_err(Reason::from),
            Err(reason) => Err(reason),
        };
        let (reason, message) = match recorded {
            Ok(()) => (refusal.reason, Some(refusal.message())),
            Err(reason) => (reason, None),
        };
        let denials = loaded.tenant.settings().denials;
        let tool = refusal.facts.tool.as_ref();
        let tool = tool.filter(|_| reason == Reason::ToolNotInToken);
        Refused {
            lacks: tool.map(|tool| format!("{}/{}", tool.server, tool.name)),
            approval: refusal.facts.approval.filter(|_| reason == refusal.reason),
            ..self.refused(refusal.facts.decision_id, reason, message, denials)
        }
    }

    pub(super) fn refused(
        &self,
        decision_id: DecisionId,
        reason: Reason,
        message: Option<String>,
        denials: Denials,
    ) -> Refused {
        let message = message.unwrap_or_else(|| reason.message().to_owned());
        Refused {
            decision_id,
            reason,
            message,
            denials,
            approval: None,
            retry_after: None,
            lacks: None,
        }
    }
}

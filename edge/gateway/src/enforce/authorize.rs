//! A call from its decision to the disk: decided, funded, its `authorized` event durable; then it is made.

use super::budget;
use super::dialogue::{Exchange, Replied};
use super::judge::Sitting;
use super::{Asked, Caller, Decided, Gateway, Outcome, Permitted, Refused, Wish, count};
use crate::event;
use crate::lease::Funds;
use crate::spool::Recorded;
use crate::world::Loaded;
use proctor_engine::{Decision, Granted, Permit, Purpose, Refusal};
use proctor_model::audit::Effect;
use proctor_model::{ApprovalId, Reason};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A call that is permitted and on disk, or why not and when it may be tried again.
struct Authorized {
    recorded: Result<Recorded, (Refusal, Option<Duration>)>,
    loaded: Arc<Loaded>,
    sitting: Sitting,
    trace_id: Option<String>,
}

impl Authorized {
    /// Whether a ceiling of the intent is in the way.
    fn is_beyond_intent(&self) -> bool {
        let refused = self.recorded.as_ref().err().map(|(refusal, _)| refusal);
        refused.is_some_and(|refusal| {
            let beyond = [Reason::IntentCallsExhausted, Reason::IntentTotalExceeded];
            refusal.facts.effect == Effect::Deny && beyond.contains(&refusal.reason)
        })
    }
}

impl Gateway {
    pub(super) async fn call_through(
        &self,
        caller: &Caller,
        asked: Asked,
        permitted: &Permitted,
        cancel: &CancellationToken,
    ) -> Outcome {
        let granted = &permitted.granted;
        let (talk, purpose) = (asked.talk.clone(), asked.purpose);
        let named = asked.approval.clone();
        let again = self.once_more(caller, &asked);
        let first = self
            .authorized(caller, asked, Wish::Call, named.clone(), granted)
            .await;
        let authorized = match (first, again) {
            (Ok(first), Some(again)) if first.is_beyond_intent() => {
                self.authorized(caller, again, Wish::Know, named, granted)
                    .await
            }
            (first, _) => first,
        };
        let Authorized {
            recorded,
            loaded,
            sitting,
            trace_id,
        } = match authorized {
            Ok(authorized) => authorized,
            Err(refused) => return Outcome::Refused(refused),
        };
        match recorded {
            Ok(recorded) => {
                let exchange = Exchange {
                    recorded,
                    caller,
                    loaded: &loaded,
                    sitting,
                    permitted,
                    purpose,
                    replied: Replied::default(),
                    task: None,
                };
                self.forward_while_admitted(exchange, talk, permitted, cancel)
                    .await
            }
            Err((refusal, retry_after)) => {
                let mut refused = self.record_refusal(refusal, &loaded, trace_id).await;
                refused.retry_after = retry_after;
                Outcome::Refused(refused)
            }
        }
    }

    /// The call over again, where its intent has ceilings that all edges share. What this one holds of a ceiling may do for a
    /// call, and the counter then say that it does not: only with that known is it clear whether the intent wants a person to
    /// be asked, or has another action for it.
    fn once_more(&self, caller: &Caller, asked: &Asked) -> Option<Asked> {
        let intent = caller.token.intent()?;
        let intent = caller.tenant.intent(intent)?;
        let may_differ = asked.purpose == Purpose::Use && self.leases.are_shared();
        (may_differ && intent.has_ceilings()).then(|| Asked {
            approval: asked.approval.clone(),
            ..Asked::plain(
                caller,
                asked.tool.clone(),
                asked.arguments.clone(),
                asked.trace_id.clone(),
            )
        })
    }

    /// Decides, has a person asked where that is what it takes, and what was permitted on disk.
    async fn authorized(
        &self,
        caller: &Caller,
        asked: Asked,
        wish: Wish,
        named: Option<ApprovalId>,
        granted: &OnceLock<Granted>,
    ) -> Result<Authorized, Refused> {
        let purpose = asked.purpose;
        let decided = self.decide(caller, asked, wish).await?;
        let Decided {
            decision,
            loaded,
            sitting,
            trace_id,
        } = self.settle(caller, decided, named).await;
        let recorded = match decision {
            Decision::Refusal(refusal) => Err((*refusal, None)),
            Decision::Permit(permit) => {
                let used = permit.granted().cloned();
                let authorized = self
                    .authorize(caller, &loaded, permit, purpose, trace_id.clone())
                    .await;
                match (&authorized, used) {
                    // Nobody else sets it.
                    (Ok(_), Some(used)) => drop(granted.set(used)),
                    (Err((refusal, _)), Some(used)) => self.release(&refusal.facts, &used).await,
                    (_, None) => {}
                }
                authorized
            }
        };
        Ok(Authorized {
            recorded,
            loaded,
            sitting,
            trace_id,
        })
    }

    /// Reserves what the call needs, and has its event on disk.
    pub(super) async fn authorize(
        &self,
        caller: &Caller,
        loaded: &Loaded,
        permit: Box<Permit>,
        purpose: Purpose,
        trace_id: Option<String>,
    ) -> Result<Recorded, (Refusal, Option<Duration>)> {
        let funds = match self.fund(caller, loaded, &permit, purpose).await {
            Ok(funds) => funds,
            Err(why) => return Err(budget::refuse(*permit, why)),
        };
        let recorded = self.record(permit, funds, trace_id).await;
        recorded.map_err(|refusal| (refusal, None))
    }

    pub(super) async fn record(
        &self,
        permit: Box<Permit>,
        funds: Funds,
        trace_id: Option<String>,
    ) -> Result<Recorded, Refusal> {
        let stamp = match self.stamp(trace_id) {
            Ok(stamp) => stamp,
            Err(reason) => return Err(permit.refuse(reason)),
        };
        let mut event = event::authorized(stamp, permit.facts());
        event.budget = funds.noted();
        event.memory = match self.sign_memory(&permit).await {
            Ok(memory) => memory,
            Err(reason) => return Err(permit.refuse(reason)),
        };
        let memory = event.memory.clone();
        let recorded = self.spool.authorize(permit, funds, Box::new(event)).await;
        if recorded.is_ok() {
            count(Effect::Allow, None);
        } else if let Some(memory) = memory {
            self.memory.forget(&memory.records);
        }
        recorded.map_err(|(permit, why)| permit.refuse(why.into()))
    }
}

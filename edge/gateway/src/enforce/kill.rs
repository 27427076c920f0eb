//! The right to a call has to last as long as the call does. A kill switch, the end of its token, a revocation, an agent that
//! is disabled reach calls that are under way, too: what is still waiting for its tool is cancelled, and what comes back, or
//! is said meanwhile, is not handed on.

use super::dialogue::Exchange;
use super::{Caller, Gateway, Outcome, Permitted};
use crate::upstream::Talk;
use proctor_model::{Reason, ToolRef};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is asked whether the caller of a call is still admitted, as with every long-lived stream. Most calls are over
/// before the first time. (Kill switches are heard of at once.)
const AGAIN: Duration = Duration::from_secs(1);

impl Gateway {
    /// [`Gateway::forward`], until the caller is admitted no more, or somebody stops the agent, the tool, the tenant or the
    /// platform. Its outcome is recorded either way.
    pub(super) async fn forward_while_admitted(
        &self,
        exchange: Exchange<'_>,
        talk: Talk,
        permitted: &Permitted,
        cancel: &CancellationToken,
    ) -> Outcome {
        let (caller, loaded) = (exchange.caller, exchange.loaded);
        permitted.note_session(&exchange.sitting.session);
        if talk.words.is_some() {
            // Nobody else sets it.
            let _ = permitted.topic.set(exchange.recorded.permit().topic());
        }
        let tool = exchange.recorded.permit().tool().clone();
        let decision_id = exchange.recorded.permit().facts().decision_id;
        let stop = cancel.child_token();
        let mut forwarded = Box::pin(self.forward(exchange, talk, &stop));
        let reason: Reason = tokio::select! {
            outcome = &mut forwarded => return outcome,
            reason = self.until_barred(caller, &tool) => reason,
        };
        stop.cancel();
        forwarded.await;
        let denials = loaded.tenant.settings().denials;
        Outcome::Refused(self.refused(decision_id, reason, None, denials))
    }

    /// Waits until the caller is admitted no more, or somebody stops the agent, the tool, the tenant or the platform; gives
    /// the reason.
    pub(super) async fn until_barred(&self, caller: &Caller, tool: &ToolRef) -> Reason {
        tokio::select! {
            biased;
            reason = caller.tenant.until_killed(caller.token.agent(), tool) => reason,
            reason = self.until_turned_away(caller) => reason,
        }
    }

    /// Waits until the caller may not be here any more; gives the reason. That an intent is over is none: the call was made
    /// while it was not.
    async fn until_turned_away(&self, caller: &Caller) -> Reason {
        loop {
            tokio::time::sleep(AGAIN).await;
            if let Err(reason) = self.admitted(caller) {
                return reason;
            }
        }
    }
}

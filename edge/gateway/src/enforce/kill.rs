//! A kill switch reaches calls that are under way, too: what is still waiting for its tool is cancelled, and what comes
//! back is not handed on.

use super::dialogue::Exchange;
use super::{Gateway, Outcome};
use crate::upstream::Talk;
use proctor_model::Reason;
use tokio_util::sync::CancellationToken;

impl Gateway {
    /// [`Gateway::forward`], until somebody stops the agent, the tool, the tenant or the platform. Its outcome is recorded
    /// either way.
    pub(super) async fn forward_unless_killed(
        &self,
        exchange: Exchange<'_>,
        talk: Talk,
        cancel: &CancellationToken,
    ) -> Outcome {
        let (caller, loaded) = (exchange.caller, exchange.loaded);
        let tool = exchange.recorded.permit().tool().clone();
        let decision_id = exchange.recorded.permit().facts().decision_id;
        let stop = cancel.child_token();
        let mut forwarded = Box::pin(self.forward(exchange, talk, &stop));
        let reason: Reason = tokio::select! {
            outcome = &mut forwarded => return outcome,
            reason = caller.tenant.until_killed(caller.token.agent(), &tool) => reason,
        };
        stop.cancel();
        forwarded.await;
        let denials = loaded.tenant.settings().denials;
        Outcome::Refused(self.refused(decision_id, reason, None, denials))
    }
}

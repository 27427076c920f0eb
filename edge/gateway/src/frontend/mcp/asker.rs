//! Questions of a server as the result of a request (MCP 2026-07-28): what waits for the replies is kept here, the server's own
//! state goes to the client, sealed.

use super::held::Pending;
use super::state::Subject;
use super::{Context, Endpoint};
use crate::enforce::{Caller, Outcome, Permitted};
use proctor_model::Reason;
use serde_json::{Map, Value};
use std::sync::Arc;

/// A request that may be answered by a question: whose it is, and what it is.
pub(super) struct Asker {
    caller: Caller,
    subject: Subject,
    trace_id: Option<String>,
}

impl Asker {
    pub(super) fn new(context: &Context<'_>, subject: Subject) -> Self {
        Self {
            caller: context.caller.clone(),
            subject,
            trace_id: context.trace_id.clone(),
        }
    }

    /// The same, with its state sealed if it is a question.
    pub(super) async fn sealed(
        &self,
        endpoint: &Endpoint,
        permitted: &Arc<Permitted>,
        outcome: Outcome,
    ) -> Outcome {
        match outcome {
            Outcome::Question(asked) => {
                let pending = Pending::Counted(Arc::clone(permitted));
                self.question(endpoint, asked, pending).await
            }
            outcome => outcome,
        }
    }

    /// A question, for whose replies this waits. The call has its outcome: that it can't be asked is a refusal by itself, and
    /// recorded as one.
    pub(super) async fn question(
        &self,
        endpoint: &Endpoint,
        mut asked: Map<String, Value>,
        pending: Pending,
    ) -> Outcome {
        match self.kept(endpoint, &mut asked, pending) {
            Ok(state) => {
                asked.insert("requestState".into(), state.into());
                Outcome::Question(asked)
            }
            Err(reason) => {
                let (gateway, trace_id) = (&endpoint.gateway, self.trace_id.clone());
                Outcome::Refused(gateway.refuse(&self.caller, reason, trace_id).await)
            }
        }
    }

    /// Keeps what waits, under a number; gives the sealed state that has it.
    fn kept(
        &self,
        endpoint: &Endpoint,
        asked: &mut Map<String, Value>,
        pending: Pending,
    ) -> Result<String, Reason> {
        let gateway = &endpoint.gateway;
        let state = match asked.remove("requestState") {
            Some(Value::String(state)) => Some(state),
            _ => None,
        };
        let questions = asked.get("inputRequests").and_then(Value::as_object);
        let names = questions.into_iter().flat_map(|questions| questions.keys());
        let names = names.cloned().collect();
        let number = gateway.random.array::<16>();
        let number = number.map_err(|_| Reason::Internal)?;
        let number = u128::from_be_bytes(number);
        let sealed = self
            .subject
            .seal(number, state, names, gateway.clock.now())?;
        // Said openly: to be asked a question whose reply nobody would take helps no client.
        let room = endpoint.held.put(&self.caller.tenant.id, number, pending);
        room.then_some(sealed).ok_or(Reason::Overloaded)
    }
}

//! Answering edges that ask how memory stands: request and reply over NATS, both sides signed.
//!
//! Several ledgers share the questions. A question that nobody may ask, or that can't be answered, gets no answer: the edge
//! then takes the items for unsigned.

use super::state::{States, lineage, states};
use crate::{LedgerError, State};
use async_nats::Subscriber;
use futures::StreamExt;
use proctor_model::limits::{QUESTION_FACTS_MAX, QUESTION_ITEMS_MAX};
use proctor_model::memory::{Ask, MemoryAnswer, MemoryQuestion, SignedQuestion};
use proctor_model::signed::SignedError;
use proctor_runtime::subjects::{self, MEMORY_SPACE};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Ledgers of this group share the questions.
const GROUP: &str = "ledger";
/// Questions that are answered at once; more wait.
const AT_ONCE: usize = 8;
/// How long the start waits for NATS to have the subscription.
const SUBSCRIBED: Duration = Duration::from_secs(2);

/// Questions as they come. The server has the subscription when this returns, if it can be reached: it takes what one
/// connection says in order, so its word on anything later will do.
///
/// # Errors
/// If the client was closed.
pub(crate) async fn questions(nats: &async_nats::Client) -> Result<Subscriber, LedgerError> {
    let questions = nats.queue_subscribe(MEMORY_SPACE, GROUP.into()).await?;
    let ping = nats.request(nats.new_inbox(), Vec::new().into());
    let _nobody = tokio::time::timeout(SUBSCRIBED, ping).await;
    Ok(questions)
}

/// Answers until `shutdown`.
pub(crate) async fn run(
    state: Arc<State>,
    nats: async_nats::Client,
    mut questions: Subscriber,
    shutdown: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let message = tokio::select! {
            () = shutdown.cancelled() => return,
            message = questions.next() => message,
        };
        let (Some(message), Ok(place)) = (message, Arc::clone(&room).acquire_owned().await) else {
            return;
        };
        let (state, nats) = (Arc::clone(&state), nats.clone());
        tokio::spawn(async move {
            answer(&state, &nats, message).await;
            drop(place);
        });
    }
}

async fn answer(state: &State, nats: &async_nats::Client, message: async_nats::Message) {
    let Some(to) = message.reply else { return };
    let question = serde_json::from_slice::<SignedQuestion>(&message.payload)
        .ok()
        .and_then(|signed| signed.open(&state.platform).ok());
    let question = question.filter(|question| {
        let facts: usize = question.items.iter().map(|item| item.facts.len()).sum();
        message.subject.as_str() == subjects::memory(&question.tenant)
            && question.items.len() <= QUESTION_ITEMS_MAX
            && facts <= QUESTION_FACTS_MAX
    });
    let Some(question) = question else {
        tracing::warn!("a question about memory was refused");
        metrics::counter!("proctor_ledger_memory_questions_refused_total").increment(1);
        return;
    };
    let answered = match found(state, &question).await {
        Ok(states) => signed(state, &question, states),
        Err(error) => {
            let cause = std::error::Error::source(&error)
                .map(ToString::to_string)
                .unwrap_or_default();
            tracing::warn!(%error, cause, "a question about memory can't be answered");
            return;
        }
    };
    match answered {
        Ok(text) => {
            // If the edge is gone, nobody waits.
            let _ = nats.publish(to, text.into()).await;
        }
        Err(error) => tracing::error!(%error, "an answer about memory can't be signed"),
    }
}

async fn found(state: &State, question: &MemoryQuestion) -> Result<States, LedgerError> {
    let mut tx = state.store.tenant(&question.tenant).await?;
    match (question.ask, question.items.first()) {
        (Ask::State, _) => states(&mut tx, &question.tenant, &question.items).await,
        (Ask::Lineage, Some(first)) => lineage(&mut tx, &question.tenant, first.item).await,
        (Ask::Lineage, None) => Ok(States::default()),
    }
}

/// The answer, signed; without items if it would be too large: the edge asks for less, then.
fn signed(state: &State, question: &MemoryQuestion, states: States) -> Result<String, SignedError> {
    let mut answer = MemoryAnswer {
        tenant: question.tenant.clone(),
        nonce: question.nonce.clone(),
        items: states.items,
        certificates: states.certificates,
    };
    match state.signer.sign(&answer) {
        Err(SignedError::TooLarge) => {
            answer.items.clear();
            answer.certificates.clear();
            state.signer.sign(&answer)
        }
        signed => signed,
    }
}

//! From NATS into the chains: each event exactly once, in the order of its lane.
//!
//! A message is acknowledged, and a receipt sent, only after the commit. If we crash before the commit, the message
//! comes again; if between commit and receipt, the edge sends again and gets its receipt then.

use crate::store::Position;
use crate::{LedgerError, State, memory};
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, AckKind, Context, Message};
use futures::StreamExt;
use proctor_model::audit::{AuditError, AuditEvent, Batch, EntryHash, Receipt};
use proctor_model::config::{EdgeCertificate, PublicKey};
use proctor_model::signed::Verifier;
use proctor_model::{EdgeId, TenantId};
use proctor_runtime::backoff::Backoff;
use proctor_runtime::subjects::{self, AUDIT_STREAM};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The durable consumer that all ledger processes share.
const CONSUMER: &str = "ledger";
/// How long a message may be worked on before another process gets it.
const ACK_WAIT: Duration = Duration::from_secs(10);
/// Most messages of one fetch: far fewer than can be worked through in `ACK_WAIT`.
const FETCH_MAX: usize = 32;
/// How long a fetch waits for more.
const FETCH_WAIT: Duration = Duration::from_millis(250);
/// How long the server may be silent after that.
const FETCH_PATIENCE: Duration = Duration::from_secs(1);
/// What is missing before a batch may be with another ledger at this moment: so often, and with such pauses, it is
/// tried again before the edge is told to send.
const GAP_DELIVERIES: i64 = 4;
const GAP_PAUSE: Duration = Duration::from_millis(50);
/// How long the end may take, to hand back what was fetched and not begun.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// Why a batch is refused for good.
#[derive(Debug, thiserror::Error)]
enum Rejected {
    #[error("the message is no batch")]
    Json(#[from] serde_json::Error),
    #[error("the certificate")]
    Certificate(#[source] proctor_model::signed::SignedError),
    #[error("the certificate is for another edge or tenant, or the subject is another's")]
    Foreign,
    #[error("the events")]
    Events(#[from] AuditError),
    #[error("the events do not follow from what is committed of their lane: a fork")]
    Fork,
    #[error("the subject is no lane's")]
    Subject(#[from] subjects::SubjectError),
    #[error("the chain can't take it")]
    Refused(#[source] LedgerError),
}

/// What became of a batch.
enum Fate {
    /// Committed up to here (or was before).
    Committed(Position),
    /// It starts later than the lane ends: the edge has to send what is missing.
    Gap(Position),
    Rejected(Rejected),
}

/// Takes batches until `shutdown`.
pub(crate) async fn run(state: Arc<State>, nats: async_nats::Client, shutdown: CancellationToken) {
    let jetstream = jetstream::new(nats.clone());
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    while !shutdown.is_cancelled() {
        let too_late = async {
            shutdown.cancelled().await;
            tokio::time::sleep(STOP_PATIENCE).await;
        };
        let turn = tokio::select! {
            () = too_late => return,
            turn = consume(&state, &nats, &jetstream, &mut backoff) => turn,
        };
        if let Err(error) = turn {
            tracing::warn!(%error, "the audit stream can't be read; trying again");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = backoff.wait() => {}
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn consume(
    state: &State,
    nats: &async_nats::Client,
    jetstream: &Context,
    backoff: &mut Backoff,
) -> Result<(), Failure> {
    subjects::ensure_streams(jetstream, 1).await?;
    let stream = jetstream.get_stream(AUDIT_STREAM).await?;
    let config = pull::Config {
        durable_name: Some(CONSUMER.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        ..pull::Config::default()
    };
    let consumer: PullConsumer = stream.get_or_create_consumer(CONSUMER, config).await?;
    while !state.shutdown.is_cancelled() {
        let mut messages = consumer
            .fetch()
            .max_messages(FETCH_MAX)
            .expires(FETCH_WAIT)
            .messages()
            .await?;
        // The client itself would wait for five seconds more if the server is gone.
        while let Ok(Some(message)) = tokio::time::timeout(FETCH_PATIENCE, messages.next()).await {
            let message = message?;
            if state.shutdown.is_cancelled() {
                // For another ledger, or for us when we are back: at once, not after `ACK_WAIT`.
                message.ack_with(AckKind::Nak(None)).await?;
                continue;
            }
            take(state, nats, message).await?;
            backoff.reset();
        }
        // A consumer that was deleted with its stream only goes quiet: ask for it.
        if !nats_is_well(&stream).await {
            return Err("the audit stream is gone".into());
        }
    }
    Ok(())
}

async fn nats_is_well(stream: &jetstream::stream::Stream) -> bool {
    stream.consumer_info(CONSUMER).await.is_ok()
}

async fn take(state: &State, nats: &async_nats::Client, message: Message) -> Result<(), Failure> {
    let lane = match subjects::audit_lane(message.subject.as_str()) {
        Ok(lane) => lane,
        Err(error) => return refuse(&message, &error.into()).await,
    };
    let at = match settle(state, &lane, &message).await? {
        Fate::Gap(_) if deliveries(&message) <= GAP_DELIVERIES => {
            return message.ack_with(AckKind::Nak(Some(GAP_PAUSE))).await;
        }
        Fate::Committed(at) | Fate::Gap(at) => at,
        Fate::Rejected(why) => return refuse(&message, &why).await,
    };
    message.ack().await?;
    let (tenant, edge) = lane;
    let subject = subjects::receipts(&edge);
    let receipt = Receipt {
        tenant,
        edge,
        edge_seq: at.seq,
        edge_hash: at.hash,
    };
    nats.publish(subject, state.signer.sign(&receipt)?.into())
        .await?;
    state.appended.notify_waiters();
    Ok(())
}

/// How often this message was handed out, this time included.
fn deliveries(message: &Message) -> i64 {
    message.info().map_or(i64::MAX, |info| info.delivered)
}

/// It never comes again; the edge, which gets no receipt, keeps its events.
async fn refuse(message: &Message, why: &Rejected) -> Result<(), Failure> {
    let cause = std::error::Error::source(why)
        .map(ToString::to_string)
        .unwrap_or_default();
    tracing::error!(subject = %message.subject, %why, cause, "a batch was refused");
    metrics::counter!("proctor_ledger_batches_refused_total").increment(1);
    message.ack_with(AckKind::Term).await
}

/// What becomes of a batch, however long the database is away. Trying again here keeps the order of the lanes,
/// which handing the message back would not.
async fn settle(
    state: &State,
    lane: &(TenantId, EdgeId),
    message: &Message,
) -> Result<Fate, Failure> {
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
    loop {
        match append(state, lane, &message.payload).await {
            Ok(fate) => return Ok(fate),
            Err(error) if error.is_about_the_data() => {
                return Ok(Fate::Rejected(Rejected::Refused(error)));
            }
            Err(error) => {
                let cause = std::error::Error::source(&error)
                    .map(ToString::to_string)
                    .unwrap_or_default();
                tracing::warn!(%error, cause, "a batch can't be appended; trying again");
            }
        }
        if state.shutdown.is_cancelled() {
            message.ack_with(AckKind::Nak(None)).await?;
            return Err("stopped before the database was back".into());
        }
        message.ack_with(AckKind::Progress).await?;
        backoff.wait().await;
    }
}

/// The events of a batch, if everything about it is as it should be.
fn open<'b>(
    state: &State,
    lane: &(TenantId, EdgeId),
    batch: &'b Batch,
) -> Result<Vec<(AuditEvent, &'b [u8])>, Rejected> {
    let certificate: EdgeCertificate = state
        .platform
        .verify(&batch.certificate)
        .map_err(Rejected::Certificate)?;
    let key = PublicKey {
        kid: batch.kid.clone(),
        key: certificate.signing_key,
    };
    // Control's own lane is signed with a platform key; nobody else may call itself control.
    let own_lane = batch.edge != EdgeId::control() || state.platform_keys.contains(&key);
    let fits = certificate.edge == batch.edge && certificate.tenants.contains(&batch.tenant);
    if !own_lane || !fits || (&batch.tenant, &batch.edge) != (&lane.0, &lane.1) {
        return Err(Rejected::Foreign);
    }
    let keys = Verifier::new([&key]).map_err(Rejected::Certificate)?;
    Ok(batch.open(&keys)?)
}

async fn append(
    state: &State,
    lane: &(TenantId, EdgeId),
    payload: &[u8],
) -> Result<Fate, LedgerError> {
    let batch: Batch = match serde_json::from_slice(payload) {
        Ok(batch) => batch,
        Err(error) => return Ok(Fate::Rejected(error.into())),
    };
    let events = match open(state, lane, &batch) {
        Ok(events) => events,
        Err(why) => return Ok(Fate::Rejected(why)),
    };
    let mut tx = state.store.tenant(&lane.0).await?;
    let head = tx.lock_head().await?;
    let before = tx.lane(&lane.1).await?;
    let mut fresh = Vec::with_capacity(events.len());
    let mut at = before;
    let mut known = None;
    for (event, bytes) in events {
        if event.edge_seq <= before.seq {
            known = Some((event.edge_seq, EntryHash::of(bytes)));
            continue;
        }
        if event.edge_seq != at.seq.saturating_add(1) {
            return Ok(Fate::Gap(before));
        }
        if event.edge_prev != at.hash {
            return Ok(Fate::Rejected(Rejected::Fork));
        }
        at = Position {
            seq: event.edge_seq,
            hash: EntryHash::of(bytes),
        };
        fresh.push(event);
    }
    // Each event names the one before it: where the last known one is ours, all of them are.
    if let Some((seq, hash)) = known
        && tx.lane_hash(&lane.1, seq, before).await? != Some(hash)
    {
        return Ok(Fate::Rejected(Rejected::Fork));
    }
    if fresh.is_empty() {
        return Ok(Fate::Committed(before));
    }
    tx.append(head, &fresh).await?;
    memory::take(
        &mut tx,
        &lane.0,
        &fresh,
        &batch.certificate,
        &state.platform,
    )
    .await?;
    tx.set_lane(&lane.1, at).await?;
    tx.commit().await?;
    metrics::counter!("proctor_ledger_entries_total")
        .increment(u64::try_from(fresh.len()).unwrap_or(0));
    Ok(Fate::Committed(at))
}

//! From NATS into the chains: each event exactly once, in the order of its lane.
//!
//! A message is acknowledged, and a receipt sent, only after the commit. If we crash before the commit, the message
//! comes again; if between commit and receipt, the edge sends again and gets its receipt then.
//!
//! All ledgers read from one consumer. A chain is written by one of them at a time: what another gets of it, it passes
//! on to that one, which acknowledges it in its stead.

mod append;
mod event;
mod stream;

use crate::{LedgerError, State};
use append::{Fate, Outcome};
pub(crate) use append::{Faults, Own, own_events};
use async_nats::jetstream::{self, AckKind, Context, Message};
use async_nats::{HeaderMap, Subject};
use futures::stream::{BoxStream, select};
use futures::{FutureExt, StreamExt};
use proctor_model::audit::{AuditError, Batch, LaneEvent, LaneHead, Receipt};
use proctor_model::config::{EdgeCertificate, PublicKey};
use proctor_model::signed::Verifier;
use proctor_model::{EdgeId, TenantId};
use proctor_runtime::backoff::Backoff;
use proctor_runtime::lines::Lines;
use proctor_runtime::subjects;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long a message may be worked on before another process gets it.
const ACK_WAIT: Duration = Duration::from_secs(10);
/// Most messages that are worked on at once: far fewer than can be worked through in `ACK_WAIT`.
const CHUNK_MAX: usize = 32;
/// Tenants that are written at once.
const TENANTS_MAX: usize = 4;
/// How long one request for messages stands, and how often the server gives a sign of life meanwhile.
const PULL: Duration = Duration::from_secs(10);
const HEARTBEAT: Duration = Duration::from_secs(1);
/// What is missing before a batch may be on its way from another ledger: so long, and with such pauses, the batch waits
/// for it before the edge is told to send.
const GAP_PATIENCE: Duration = Duration::from_millis(300);
const GAP_PAUSE: Duration = Duration::from_millis(20);
/// Most batches that wait so.
const WAITING_MAX: usize = 128;
/// How long the end may take, to hand back what was fetched and not begun.
const STOP_PATIENCE: Duration = Duration::from_secs(1);
/// How long a ledger may take to say that it has what is passed on to it, and when to try again if it does not.
const HOLDER_PATIENCE: Duration = Duration::from_millis(500);
const HOLDER_PAUSE: Duration = Duration::from_millis(300);
/// How often it is looked whether the stream has lost its end.
const CUT_LOOK: Duration = Duration::from_secs(5);
/// The subject of a batch that was passed on, and where it is acknowledged.
const SUBJECT_HEADER: &str = "Proctor-Subject";
const ACK_HEADER: &str = "Proctor-Ack";

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
    #[error("an event is not one that an edge may record")]
    Event(#[from] event::Ledgers),
    #[error("the chain can't take it")]
    Refused(#[source] LedgerError),
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
            () = shutdown.cancelled() => {}
            () = backoff.wait() => {}
        }
    }
    // Another ledger need not wait for our leases to end.
    let held = std::mem::take(&mut *state.held.lock().unwrap_or_else(PoisonError::into_inner));
    for tenant in held {
        let release = async {
            state
                .store
                .tenant(&tenant)
                .await?
                .release(&state.holder)
                .await
        };
        if let Err(error) = release.await {
            tracing::warn!(%error, "a lease could not be given back; it ends by itself");
            return;
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A message from the stream, or from another ledger.
struct Delivery {
    message: Message,
    /// The subject that it was published on.
    subject: Subject,
    passed_on: bool,
}

async fn consume(
    state: &Arc<State>,
    nats: &async_nats::Client,
    jetstream: &Context,
    backoff: &mut Backoff,
) -> Result<(), Failure> {
    let deliveries = deliveries(state, nats, jetstream).await?;
    let mut chunks = deliveries.ready_chunks(CHUNK_MAX);
    let mut waiting = Vec::new();
    let mut look = tokio::time::interval(CUT_LOOK);
    loop {
        let chunk = tokio::select! {
            () = state.shutdown.cancelled() => break,
            _ = look.tick() => {
                if stream::is_cut(jetstream).await? {
                    return Err("the audit stream lost its end".into());
                }
                continue;
            }
            chunk = chunks.next() => chunk.ok_or("the audit stream is gone")?,
            () = tokio::time::sleep(GAP_PAUSE), if !waiting.is_empty() => Vec::new(),
        };
        let mut taken = Vec::with_capacity(chunk.len());
        for delivery in chunk {
            taken.push(delivery?);
        }
        waiting = take(state, nats, taken, waiting).await?;
        backoff.reset();
    }
    // For another ledger, or for us when we are back: at once, not after `ACK_WAIT`.
    for (_, batch) in waiting {
        batch.delivery.message.ack_with(AckKind::Nak(None)).await?;
    }
    while let Some(Some(chunk)) = chunks.next().now_or_never() {
        for delivery in chunk.into_iter().flatten() {
            delivery.message.ack_with(AckKind::Nak(None)).await?;
        }
    }
    Ok(())
}

async fn deliveries(
    state: &State,
    nats: &async_nats::Client,
    jetstream: &Context,
) -> Result<BoxStream<'static, Result<Delivery, Failure>>, Failure> {
    let fetched = stream::consumer(nats, jetstream)
        .await?
        .stream()
        .max_messages_per_batch(CHUNK_MAX)
        .expires(PULL)
        .heartbeat(HEARTBEAT)
        .messages()
        .await?
        .map(|message| {
            let message = message?;
            Ok(Delivery {
                subject: message.subject.clone(),
                message,
                passed_on: false,
            })
        });
    let (context, client) = (jetstream.clone(), nats.clone());
    let passed = nats.subscribe(subject_of(&state.holder)).await?;
    let passed = passed.filter_map(move |message| {
        let (context, client) = (context.clone(), client.clone());
        async move { Some(Ok(accept(message, context, &client).await?)) }
    });
    Ok(select(fetched, passed).boxed())
}

/// What another ledger passes on: from now on it is ours. `None` if it is no such thing.
async fn accept(
    mut message: async_nats::Message,
    context: Context,
    nats: &async_nats::Client,
) -> Option<Delivery> {
    let headers = message.headers.as_ref()?;
    let subject = Subject::from(headers.get(SUBJECT_HEADER)?.as_str());
    let ack = Subject::from(headers.get(ACK_HEADER)?.as_str());
    let asker = message.reply.replace(ack)?;
    // If that is lost, it comes to us twice.
    let _ = nats.publish(asker, Vec::new().into()).await;
    Some(Delivery {
        message: Message { message, context },
        subject,
        passed_on: true,
    })
}

/// Where a ledger takes what others pass on to it.
fn subject_of(holder: &str) -> String {
    format!("ledgers.{holder}")
}

/// A batch whose signature and inner chain are right.
struct Opened {
    delivery: Delivery,
    edge: EdgeId,
    /// The edge's certificate, which it was signed under.
    certificate: String,
    /// What the edge signed.
    head: LaneHead,
    events: Vec<LaneEvent>,
    came: Instant,
}

/// What is in the message of such a batch.
struct Contents {
    tenant: TenantId,
    edge: EdgeId,
    certificate: String,
    head: LaneHead,
    events: Vec<LaneEvent>,
}

/// Batches that wait for what comes before them.
type Waiting = Vec<(TenantId, Opened)>;

/// Works through some messages, and what waited for them, tenant by tenant; gives what has to wait.
async fn take(
    state: &Arc<State>,
    nats: &async_nats::Client,
    deliveries: Vec<Delivery>,
    waiting: Waiting,
) -> Result<Waiting, Failure> {
    let worker = Arc::clone(state);
    let opened = tokio::task::spawn_blocking(move || {
        let open = |delivery: Delivery| match open(&worker, &delivery) {
            Ok(contents) => {
                let batch = Opened {
                    delivery,
                    edge: contents.edge,
                    certificate: contents.certificate,
                    head: contents.head,
                    events: contents.events,
                    came: Instant::now(),
                };
                Ok((contents.tenant, batch))
            }
            Err(why) => Err(Box::new((delivery, why))),
        };
        deliveries.into_iter().map(open).collect::<Vec<_>>()
    });
    let mut tenants: BTreeMap<TenantId, Vec<Opened>> = BTreeMap::new();
    for (tenant, batch) in waiting {
        tenants.entry(tenant).or_default().push(batch);
    }
    for batch in opened.await? {
        match batch {
            Ok((tenant, batch)) => tenants.entry(tenant).or_default().push(batch),
            Err(refused) => refuse(state, &refused.0, &refused.1).await?,
        }
    }
    let mut turns = futures::stream::iter(tenants)
        .map(|(tenant, batches)| settle(state, nats, tenant, batches))
        .buffer_unordered(TENANTS_MAX);
    let mut waiting = Waiting::new();
    while let Some(turn) = turns.next().await {
        waiting.extend(turn?);
    }
    Ok(waiting)
}

/// What the log got about batches: their edges send them again every few seconds. Those that are refused keep quiet about no chain.
#[derive(Default)]
pub(crate) struct Said {
    refused: Mutex<Lines>,
    given_up: Mutex<Lines>,
}

/// Takes room for a line about a lane or a chain, if there is any.
fn has_room(lines: &Mutex<Lines>, what: &str) -> bool {
    let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    lines.take_about(what, tokio::time::Instant::now())
}

/// It never comes again; the edge, which gets no receipt, keeps its events.
async fn refuse(state: &State, delivery: &Delivery, why: &Rejected) -> Result<(), Failure> {
    if has_room(&state.said.refused, delivery.subject.as_str()) {
        let cause = std::error::Error::source(why)
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(subject = %delivery.subject, %why, cause, "a batch was refused");
    }
    metrics::counter!("proctor_ledger_batches_refused_total").increment(1);
    delivery.message.ack_with(AckKind::Term).await
}

/// What becomes of one tenant's batches, however long the database is away. Trying again here keeps the order of the
/// lanes, which handing the messages back would not.
async fn settle(
    state: &Arc<State>,
    nats: &async_nats::Client,
    tenant: TenantId,
    mut batches: Vec<Opened>,
) -> Result<Waiting, Failure> {
    // Within a lane in order, however they came.
    batches.sort_by(|a, b| (&a.edge, a.first()).cmp(&(&b.edge, b.first())));
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
    loop {
        match append::append(state, &tenant, &batches).await {
            Ok(Outcome::Foreign(holder)) => {
                pass_on(nats, &holder, batches).await?;
                return Ok(Waiting::new());
            }
            Ok(Outcome::Done { fates, size }) => {
                state.hold(&tenant);
                if size.is_some_and(|(size, sealed)| size - sealed >= state.seals.events) {
                    state.ripe.notify_one();
                }
                return answer(state, nats, &tenant, batches, fates).await;
            }
            // What is stored of this chain has to be looked at by a person: the others' don't wait for that.
            Err(error) if error.is_about_the_chain() => {
                return give_up(state, &tenant, batches, &error).await;
            }
            Err(error) if error.is_about_the_data() => {
                return one_by_one(state, nats, tenant, batches, error).await;
            }
            Err(error) => {
                let cause = std::error::Error::source(&error)
                    .map(ToString::to_string)
                    .unwrap_or_default();
                tracing::warn!(%error, cause, "batches can't be appended; trying again");
            }
        }
        for batch in &batches {
            let kind = if state.shutdown.is_cancelled() {
                AckKind::Nak(None)
            } else {
                AckKind::Progress
            };
            batch.delivery.message.ack_with(kind).await?;
        }
        if state.shutdown.is_cancelled() {
            return Err("stopped before the database was back".into());
        }
        backoff.wait().await;
    }
}

/// They don't come again: their edges keep what has no receipt, and send it again every few seconds. Were they put off instead,
/// the batches of one such chain would in a while be all that the server lets one consumer have unacknowledged, and no other
/// chain would get anything any more.
async fn give_up(
    state: &State,
    tenant: &TenantId,
    batches: Vec<Opened>,
    error: &LedgerError,
) -> Result<Waiting, Failure> {
    if has_room(&state.said.given_up, tenant.as_str()) {
        let cause = std::error::Error::source(error)
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(%tenant, %error, cause, batches = batches.len(), "nothing can be appended to a chain");
    }
    metrics::counter!("proctor_ledger_chains_damaged_total").increment(1);
    for batch in batches {
        batch.delivery.message.ack_with(AckKind::Term).await?;
    }
    Ok(Waiting::new())
}

/// One of them can't be taken: which?
async fn one_by_one(
    state: &Arc<State>,
    nats: &async_nats::Client,
    tenant: TenantId,
    batches: Vec<Opened>,
    error: LedgerError,
) -> Result<Waiting, Failure> {
    let mut waiting = Waiting::new();
    if let [batch] = batches.as_slice() {
        refuse(state, &batch.delivery, &Rejected::Refused(error)).await?;
        return Ok(waiting);
    }
    for batch in batches {
        let alone = settle(state, nats, tenant.clone(), vec![batch]);
        waiting.extend(Box::pin(alone).await?);
    }
    Ok(waiting)
}

/// To the ledger that writes this chain. If that one is no longer there, they come again, until its lease is over.
async fn pass_on(
    nats: &async_nats::Client,
    holder: &str,
    batches: Vec<Opened>,
) -> Result<(), Failure> {
    let mut there = true;
    for Opened { delivery, .. } in batches {
        // Twice would be once in a circle.
        there = there && !delivery.passed_on && hand_over(nats, holder, &delivery).await;
        if there {
            metrics::counter!("proctor_ledger_batches_passed_on_total").increment(1);
        } else {
            let later = AckKind::Nak(Some(HOLDER_PAUSE));
            delivery.message.ack_with(later).await?;
        }
    }
    Ok(())
}

/// Whether the holder took it; then it is the one that acknowledges.
async fn hand_over(nats: &async_nats::Client, holder: &str, delivery: &Delivery) -> bool {
    let Some(ack) = &delivery.message.reply else {
        return false;
    };
    let mut headers = HeaderMap::new();
    headers.insert(SUBJECT_HEADER, delivery.subject.as_str());
    headers.insert(ACK_HEADER, ack.as_str());
    let request = async_nats::Request::new()
        .headers(headers)
        .payload(delivery.message.payload.clone())
        .timeout(Some(HOLDER_PATIENCE));
    nats.send_request(subject_of(holder), request).await.is_ok()
}

/// Acknowledges, and tells each edge how far its lane is committed; gives what has to wait.
async fn answer(
    state: &State,
    nats: &async_nats::Client,
    tenant: &TenantId,
    batches: Vec<Opened>,
    fates: Vec<Fate>,
) -> Result<Waiting, Failure> {
    let (mut receipts, mut waiting) = (BTreeMap::new(), Waiting::new());
    for (batch, fate) in batches.into_iter().zip(fates) {
        let at = match fate {
            Fate::Gap(_) if batch.came.elapsed() < GAP_PATIENCE && waiting.len() < WAITING_MAX => {
                waiting.push((tenant.clone(), batch));
                continue;
            }
            Fate::Committed(at) | Fate::Gap(at) => at,
            Fate::Rejected(why) => {
                refuse(state, &batch.delivery, &why).await?;
                continue;
            }
        };
        batch.delivery.message.ack().await?;
        receipts.insert(batch.edge, at);
    }
    for (edge, at) in receipts {
        let subject = subjects::receipts(&edge);
        let receipt = Receipt {
            tenant: tenant.clone(),
            edge,
            edge_seq: at.seq,
            edge_hash: at.hash,
        };
        nats.publish(subject, state.signer.sign(&receipt)?.into())
            .await?;
    }
    state.appended.notify_waiters();
    Ok(waiting)
}

impl Opened {
    /// Number of its first event on the lane.
    fn first(&self) -> u64 {
        self.events.first().map_or(0, |first| first.event.edge_seq)
    }
}

/// The events of a batch, if everything about it is as it should be.
fn open(state: &State, delivery: &Delivery) -> Result<Contents, Rejected> {
    let (tenant, edge) = subjects::audit_lane(delivery.subject.as_str())?;
    let mut batch: Batch = serde_json::from_slice(&delivery.message.payload)?;
    let certificate: EdgeCertificate = state
        .platform
        .verify(&batch.certificate)
        .map_err(Rejected::Certificate)?;
    let key = PublicKey {
        kid: batch.kid.clone(),
        key: certificate.signing_key,
    };
    // Control's own lane is signed with a platform key; nobody else may call itself control, and nobody the ledger.
    let own_lane = batch.edge != EdgeId::control() || state.platform_keys.contains(&key);
    let ours = batch.edge == EdgeId::ledger();
    let fits = certificate.edge == batch.edge && certificate.tenants.contains(&batch.tenant);
    if ours || !own_lane || !fits || (&batch.tenant, &batch.edge) != (&tenant, &edge) {
        return Err(Rejected::Foreign);
    }
    let keys = Verifier::new([&key]).map_err(Rejected::Certificate)?;
    let certificate = std::mem::take(&mut batch.certificate);
    let head = batch.head();
    let events = batch.open(&keys)?;
    for event in &events {
        event::check(&event.event)?;
    }
    Ok(Contents {
        tenant,
        edge,
        certificate,
        head,
        events,
    })
}

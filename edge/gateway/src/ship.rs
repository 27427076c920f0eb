//! From the spool to the ledger: signed batches of each lane to NATS, the ledger's receipts back.
//!
//! NATS is transport and may lose everything: what no receipt covers is sent again.

#[cfg(test)]
mod tests;
mod window;

use crate::feed::Assigned;
use crate::identity::Identity;
use crate::spool::Spool;
use arc_swap::ArcSwap;
use async_nats::connection::State;
use async_nats::jetstream::{self, Context};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use proctor_model::TenantId;
use proctor_model::audit::{Batch, Receipt};
use proctor_model::config::EdgeCertificate;
use proctor_runtime::backoff::Backoff;
use proctor_runtime::lines::Lines;
use proctor_runtime::subjects;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use window::{Window, Windows};

/// How long at most it takes to look for something to send.
const LOOK: Duration = Duration::from_millis(250);
/// What looks longer rests for as long before it looks again: at most half of a core is spent on that.
const LONG_LOOK: Duration = Duration::from_millis(1);
/// So many times a lane is sent again without an answer before the log says so: 14 seconds.
const UNANSWERED: u32 = 3;
/// How often the log says that receipts are refused.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A lane, and the number of the last event of its batch that NATS has taken.
type Attempt = (TenantId, Result<Option<u64>, Failure>);

pub(crate) struct Shipper {
    pub(crate) spool: Spool,
    pub(crate) identity: Arc<Identity>,
    pub(crate) assigned: Arc<ArcSwap<Assigned>>,
    pub(crate) nats: async_nats::Client,
}

impl Shipper {
    /// Ships until `shutdown`.
    pub(crate) async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let receipts = tokio::spawn(Arc::clone(&self).receive(shutdown.clone()));
        let jetstream = jetstream::new(self.nats.clone());
        let (mut windows, mut lines) = (Windows::default(), Lines::default());
        let mut sends = FuturesUnordered::new();
        while !shutdown.is_cancelled() {
            metrics::gauge!("proctor_edge_spool_events").set(f64::from(
                u32::try_from(self.spool.waiting()).unwrap_or(u32::MAX),
            ));
            let began = Instant::now();
            for (tenant, from) in self.due(&mut windows, &mut lines) {
                sends.push(self.attempt(&jetstream, tenant, from));
            }
            // With thousands of lanes a look takes milliseconds, and who writes events waits meanwhile.
            let rest = rest_until(began, Instant::now());
            let mut is_news = false;
            while !shutdown.is_cancelled() && (!is_news || Instant::now() < rest) {
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    // Batches go on while it rests: they move only as this is waited for.
                    Some(attempt) = sends.next() => {
                        done(&mut windows, &mut lines, attempt);
                        is_news = true;
                    }
                    () = self.spool.changed(LOOK), if !is_news => is_news = true,
                    () = tokio::time::sleep_until(rest), if is_news => {}
                }
            }
            while let Some(Some(attempt)) = sends.next().now_or_never() {
                done(&mut windows, &mut lines, attempt);
            }
        }
        if receipts.await.is_err() {
            tracing::error!("the task that takes receipts failed");
        }
    }

    /// The lanes of which a batch is to be sent now, whatever becomes of the others', and where each batch begins.
    fn due(&self, windows: &mut Windows, lines: &mut Lines) -> Vec<(TenantId, u64)> {
        let mut waiting = self.spool.lanes();
        let now = Instant::now();
        windows.look(self.assigned.load().version, &waiting, now);
        let mut due = Vec::new();
        // What is published without a connection fails late.
        if self.nats.connection_state() != State::Connected {
            return due;
        }
        windows.sort(&mut waiting);
        for (tenant, first) in waiting {
            if !windows.may_send(&tenant) {
                continue;
            }
            let window = windows.of(&tenant, first, now);
            let before = window.resent();
            let next = window.open(first, now);
            if window.resent() > before {
                unanswered(&tenant, window, lines);
            }
            if let Some(next) = next.filter(|next| self.spool.has(&tenant, *next)) {
                windows.begin(&tenant);
                due.push((tenant, next));
            }
        }
        due
    }

    async fn attempt(&self, jetstream: &Context, tenant: TenantId, from: u64) -> Attempt {
        let sent = self.publish(jetstream, &tenant, from).await;
        (tenant, sent)
    }

    /// The number of the last event of the batch that NATS has taken; nothing, if none can be read.
    async fn publish(
        &self,
        jetstream: &Context,
        tenant: &TenantId,
        from: u64,
    ) -> Result<Option<u64>, Failure> {
        let certificate = self
            .certificate(tenant)
            .ok_or("no certificate of this edge names the tenant")?;
        let Some(batch) = self.spool.batch(tenant, from).await? else {
            return Ok(None);
        };
        let Identity { edge, signer, .. } = &*self.identity;
        let sealed = Batch::seal(
            tenant.clone(),
            edge.clone(),
            certificate,
            &batch.events,
            batch.last_seq,
            signer,
        )?;
        let payload = serde_json::to_vec(&sealed)?;
        jetstream
            .publish(subjects::audit(tenant, edge), payload.into())
            .await?
            .await?;
        Ok(Some(batch.last_seq))
    }

    fn certificate(&self, tenant: &TenantId) -> Option<String> {
        let assigned: Arc<Assigned> = self.assigned.load_full();
        assigned.certificates.get(tenant).cloned().or_else(|| {
            let first = &self.identity.certificate;
            let known: EdgeCertificate = self.identity.platform.verify(first).ok()?;
            known.tenants.contains(tenant).then(|| first.clone())
        })
    }

    async fn receive(self: Arc<Self>, shutdown: CancellationToken) {
        let subject = subjects::receipts(&self.identity.edge);
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        let mut told = None;
        while !shutdown.is_cancelled() {
            match self.nats.subscribe(subject.clone()).await {
                Ok(mut receipts) => {
                    backoff.reset();
                    loop {
                        tokio::select! {
                            () = shutdown.cancelled() => return,
                            message = receipts.next() => match message {
                                Some(message) => self.receipt(&message.payload, &mut told).await,
                                None => break,
                            },
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "receipts can't be heard; trying again"),
            }
            backoff.wait().await;
        }
    }

    /// Takes a receipt; `told` is when the log last said that one was refused.
    async fn receipt(&self, payload: &[u8], told: &mut Option<Instant>) {
        let assigned = self.assigned.load_full();
        let receipt = std::str::from_utf8(payload)
            .ok()
            .and_then(|text| assigned.ledgers.verify::<Receipt>(text).ok());
        match receipt.filter(|receipt| receipt.edge == self.identity.edge) {
            Some(receipt) => self.spool.settle(receipt).await,
            None => {
                metrics::counter!("proctor_edge_receipts_refused_total").increment(1);
                if told.is_none_or(|at| at.elapsed() >= REFUSED_PAUSE) {
                    *told = Some(Instant::now());
                    tracing::warn!("a receipt that no ledger of ours signed for this edge");
                }
            }
        }
    }
}

/// Until when a look rests.
fn rest_until(began: Instant, ended: Instant) -> Instant {
    let took = ended.duration_since(began);
    if took < LONG_LOOK {
        return ended;
    }
    // Where the whole machine stood still meanwhile, that says nothing of the next look.
    ended.checked_add(took.min(LOOK)).unwrap_or(ended)
}

/// Notes what became of a lane's batch.
fn done(windows: &mut Windows, lines: &mut Lines, (tenant, sent): Attempt) {
    // All of the lane was confirmed meanwhile.
    let Some(window) = windows.done(&tenant) else {
        return;
    };
    let now = Instant::now();
    match sent {
        Ok(Some(last)) => window.sent(last, now),
        // It was confirmed meanwhile, or is damaged, which the spool says.
        Ok(None) => window.put_off(now),
        Err(error) => unsent(&tenant, window, lines, &*error),
    }
}

/// The lane is sent again, as no ledger has answered.
fn unanswered(tenant: &TenantId, window: &mut Window, lines: &mut Lines) {
    metrics::counter!("proctor_edge_lanes_resent_total").increment(1);
    if window.unanswered(UNANSWERED, || lines.take(Instant::now())) {
        tracing::warn!(%tenant, "no ledger has confirmed audit events for a while; they are sent again until one does");
    }
}

fn unsent(
    tenant: &TenantId,
    window: &mut Window,
    lines: &mut Lines,
    error: &(dyn std::error::Error + Send + Sync + 'static),
) {
    metrics::counter!("proctor_edge_batches_unsent_total").increment(1);
    let now = Instant::now();
    if window.failed(now, || lines.take(now)) {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        tracing::warn!(%tenant, %error, cause, "audit events can't be sent; trying again");
    }
}

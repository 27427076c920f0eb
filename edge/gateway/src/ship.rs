//! From the spool to the ledger: signed batches of each lane to NATS, the ledger's receipts back.
//!
//! NATS is transport and may lose everything: what no receipt covers is sent again.

mod window;

use crate::feed::{Assigned, Feed};
use crate::identity::Identity;
use crate::spool::Spool;
use async_nats::jetstream::{self, Context};
use futures::StreamExt;
use proctor_model::TenantId;
use proctor_model::audit::{Batch, Receipt};
use proctor_model::config::EdgeCertificate;
use proctor_runtime::backoff::Backoff;
use proctor_runtime::subjects;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use window::Window;

/// How long at most it takes to look for something to send.
const LOOK: Duration = Duration::from_millis(250);

type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(crate) struct Shipper {
    pub(crate) spool: Spool,
    pub(crate) feed: Arc<Feed>,
    pub(crate) nats: async_nats::Client,
}

impl Shipper {
    /// Ships until `shutdown`.
    pub(crate) async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let receipts = tokio::spawn(Arc::clone(&self).receive(shutdown.clone()));
        let jetstream = jetstream::new(self.nats.clone());
        let mut lanes = HashMap::new();
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        while !shutdown.is_cancelled() {
            metrics::gauge!("proctor_edge_spool_events").set(f64::from(
                u32::try_from(self.spool.waiting()).unwrap_or(u32::MAX),
            ));
            match self.send(&jetstream, &mut lanes).await {
                Ok(true) => backoff.reset(),
                Ok(false) => tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = self.spool.changed(LOOK) => {}
                },
                Err(error) => {
                    tracing::debug!(%error, "audit batches can't be sent; trying again");
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        () = backoff.wait() => {}
                    }
                }
            }
        }
        if receipts.await.is_err() {
            tracing::error!("the task that takes receipts failed");
        }
    }

    /// One batch of each lane that has something; says whether there was anything.
    async fn send(
        &self,
        jetstream: &Context,
        lanes: &mut HashMap<TenantId, Window>,
    ) -> Result<bool, Failure> {
        let waiting = self.spool.lanes();
        lanes.retain(|tenant, _| waiting.iter().any(|(waiting, _)| waiting == tenant));
        let mut any = false;
        for (tenant, first) in waiting {
            let now = Instant::now();
            let window = lanes
                .entry(tenant.clone())
                .or_insert_with(|| Window::new(first, now));
            let Some(next) = window.open(first, now) else {
                continue;
            };
            let Some(certificate) = self.certificate(&tenant) else {
                continue;
            };
            let Some(batch) = self.spool.batch(&tenant, next).await? else {
                continue;
            };
            let Identity { edge, signer, .. } = &*self.feed.identity;
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
                .publish(subjects::audit(&tenant, edge), payload.into())
                .await?
                .await?;
            window.sent(batch.last_seq, now);
            any = true;
        }
        Ok(any)
    }

    fn certificate(&self, tenant: &TenantId) -> Option<String> {
        let assigned: Arc<Assigned> = self.feed.assigned.load_full();
        assigned.certificates.get(tenant).cloned().or_else(|| {
            let first = &self.feed.identity.certificate;
            let known: EdgeCertificate = self.feed.identity.platform.verify(first).ok()?;
            known.tenants.contains(tenant).then(|| first.clone())
        })
    }

    async fn receive(self: Arc<Self>, shutdown: CancellationToken) {
        let subject = subjects::receipts(&self.feed.identity.edge);
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        while !shutdown.is_cancelled() {
            if let Ok(mut receipts) = self.nats.subscribe(subject.clone()).await {
                backoff.reset();
                loop {
                    tokio::select! {
                        () = shutdown.cancelled() => return,
                        message = receipts.next() => match message {
                            Some(message) => self.receipt(&message.payload).await,
                            None => break,
                        },
                    }
                }
            }
            backoff.wait().await;
        }
    }

    async fn receipt(&self, payload: &[u8]) {
        let assigned = self.feed.assigned.load_full();
        let receipt = std::str::from_utf8(payload)
            .ok()
            .and_then(|text| assigned.ledgers.verify::<Receipt>(text).ok());
        match receipt.filter(|receipt| receipt.edge == self.feed.identity.edge) {
            Some(receipt) => self.spool.settle(receipt).await,
            None => tracing::warn!("a receipt that no ledger of ours signed for this edge"),
        }
    }
}

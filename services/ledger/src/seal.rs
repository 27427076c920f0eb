//! Sealing: tiles and a signed checkpoint over what a chain has grown by, every so many events or seconds.
//!
//! One transaction holds the head, extends the stored tiles, compares their root with the one that the appending
//! transactions carried along, and stores the checkpoint. If we crash before the commit, nothing was said; after it,
//! the checkpoint stands. A root that differs means that somebody changed what is stored: then nothing is sealed.
//!
//! The platform's own chain names every tenant's newest checkpoint: a tenant's log that vanishes leaves that behind.

use crate::checkpoint::{Checkpoint, origin};
use crate::ingest::{Own, own_events};
use crate::store::Hold;
use crate::{LedgerError, State, Witness};
use proctor_model::TenantId;
use proctor_model::audit::{EntryHash, EventSeal};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often to look for chains that wait for a seal, at least.
const LOOK: Duration = Duration::from_millis(500);
/// Hashes that are read at a time.
const HASHES_PAGE: i64 = 20_000;

/// When to seal, and what becomes of checkpoints.
#[derive(Clone, Debug)]
pub struct SealSettings {
    /// After so many events …
    pub events: u64,
    /// … or so long, whichever is sooner.
    pub interval: Duration,
    /// Directory that gets each checkpoint as a file of its own.
    pub checkpoint_dir: Option<PathBuf>,
    /// Witnesses that are asked to cosign.
    pub witnesses: Vec<Witness>,
}

impl Default for SealSettings {
    fn default() -> Self {
        Self {
            events: 1_000,
            interval: Duration::from_secs(5),
            checkpoint_dir: None,
            witnesses: Vec::new(),
        }
    }
}

/// Seals until the end, and once more then.
pub(crate) async fn run(state: Arc<State>) {
    let mut named = tokio::time::Instant::now();
    loop {
        let last = state.shutdown.is_cancelled();
        if let Err(error) = turn(&state).await {
            complain(&error, "looking for chains to seal");
        }
        if named.elapsed() >= state.seals.interval {
            named = tokio::time::Instant::now();
            if let Err(error) = name_tenants(&state).await {
                complain(
                    &error,
                    "naming the tenants' checkpoints in the platform's chain",
                );
            }
        }
        if last {
            return;
        }
        tokio::select! {
            () = state.shutdown.cancelled() => {}
            () = state.ripe.notified() => {}
            () = tokio::time::sleep(LOOK.min(state.seals.interval)) => {}
        }
    }
}

fn complain(error: &LedgerError, what: &str) {
    let cause = std::error::Error::source(error)
        .map(ToString::to_string)
        .unwrap_or_default();
    tracing::warn!(%error, cause, what, "sealing failed; trying again");
    metrics::counter!("proctor_ledger_seals_failed_total").increment(1);
}

async fn turn(state: &Arc<State>) -> Result<(), LedgerError> {
    let interval = state.seals.interval.as_secs_f64();
    let waiting = state
        .store
        .waiting(&state.holder, state.seals.events, interval)
        .await?;
    for tenant in waiting {
        match seal(state, &tenant).await {
            Ok(_) => {}
            // The others' chains have nothing to do with it.
            Err(error @ (LedgerError::Root | LedgerError::Damaged)) => {
                tracing::error!(%tenant, %error, "a chain can't be sealed");
                metrics::counter!("proctor_ledger_roots_differ_total").increment(1);
            }
            Err(error) => complain(&error, "a chain"),
        }
    }
    Ok(())
}

/// Seals what there is of a chain. `None` if there is nothing new, or another ledger writes it.
pub(crate) async fn seal(
    state: &State,
    tenant: &TenantId,
) -> Result<Option<Checkpoint>, LedgerError> {
    let mut tx = state.store.tenant(tenant).await?;
    let Hold::Mine(head) = tx.lock_head(&state.holder).await? else {
        return Ok(None);
    };
    if head.size == head.sealed {
        return Ok(None);
    }
    let mut edge = tx.tile_edge(head.sealed).await?;
    while edge.size() < head.size {
        let leaves = tx.hashes(edge.size(), head.size, HASHES_PAGE).await?;
        if leaves.is_empty() {
            return Err(LedgerError::Root);
        }
        let tiles = edge.extend(leaves);
        tx.put_tiles(tiles).await?;
    }
    let root = head.frontier.root();
    if edge.size() != head.size || edge.root() != root {
        return Err(LedgerError::Root);
    }
    let checkpoint = Checkpoint {
        origin: origin(state.deployment.as_str(), tenant.as_str()),
        size: head.size,
        root,
    };
    let now = u64::try_from(state.clock.now().as_secs()).unwrap_or(0);
    // A clock that was set back does not show in the checkpoints.
    let before = tx.newest_checkpoint().await?;
    let time = now.max(before.map_or(0, |before| before.time_s));
    let signers: Vec<_> = state.log_signers().collect();
    let note = checkpoint.sign(&signers, time);
    tx.put_checkpoint(&head, &checkpoint, time, &note).await?;
    tx.commit().await?;
    metrics::counter!("proctor_ledger_seals_total").increment(1);
    Ok(Some(checkpoint))
}

/// Names the tenants' newest checkpoints in the platform's chain.
async fn name_tenants(state: &State) -> Result<(), LedgerError> {
    let newest = state.store.newest_checkpoints().await?;
    if newest.is_empty() {
        return Ok(());
    }
    let platform = TenantId::platform();
    let mut tx = state.store.tenant(&platform).await?;
    let Hold::Mine(head) = tx.lock_head(&state.holder).await? else {
        return Ok(());
    };
    let published = tx.published().await?;
    let news: Vec<_> = newest
        .into_iter()
        .filter(|(tenant, size, _)| published.get(tenant.as_str()).is_none_or(|old| old < size))
        .collect();
    if news.is_empty() {
        return Ok(());
    }
    let mut own = Vec::with_capacity(news.len());
    for (tenant, size, root) in news {
        tx.set_published(&tenant, size).await?;
        own.push(Own::Sealed(EventSeal {
            tenant,
            size,
            root: EntryHash::from_bytes(root),
        }));
    }
    let events = own_events(state, &platform, &mut tx, own).await?;
    let events: Vec<_> = events.iter().collect();
    tx.append(head, &state.holder, &events).await?;
    tx.commit().await
}

//! Bundles of sealed entries, as they are read.

use crate::archive::bundle_header;
use crate::{LedgerError, State};
use proctor_model::TenantId;
use proctor_proto::v1;
use sqlx::types::time::OffsetDateTime;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::Status;

/// Entries that are read at a time, and so the size of a chunk.
const PAGE: i64 = 500;
/// Chunks that may wait for a slow reader.
const CHUNKS: usize = 4;
/// How long an export waits for the witnesses of its checkpoint, beyond the pause in which they are asked.
const WITNESSES_PATIENCE: Duration = Duration::from_secs(3);
/// How often it looks for those that another ledger was given.
const WITNESSES_PAUSE: Duration = Duration::from_millis(500);

type Chunks = mpsc::Receiver<Result<v1::ExportChunk, Status>>;

/// Begins an export of the entries of this time; the chain is sealed before, where that is up to us. Entries that are
/// archived are in the files of their months: the header says where this bundle begins.
pub(super) async fn start(
    state: Arc<State>,
    tenant: TenantId,
    from: Option<OffsetDateTime>,
    to: Option<OffsetDateTime>,
) -> Result<Chunks, Status> {
    // Whatever stands against a seal shows in the export itself: there is no newer checkpoint.
    if let Err(error) = crate::seal::seal(&state, &tenant).await {
        tracing::warn!(%error, %tenant, "no seal before the export");
    }
    witnessed(&state, &tenant).await?;
    let mut tx = state.store.reading(&tenant).await?;
    let Some(newest) = tx.newest_checkpoint().await? else {
        return Err(Status::failed_precondition(
            "nothing of this chain is sealed yet: try again in some seconds",
        ));
    };
    let (first, last) = tx.stretch(newest.size, from, to).await?;
    let stretch = (first, last, newest.size);
    let header = bundle_header(&state.store, &state.deployment, &tenant, &mut tx, stretch).await?;
    let line = header
        .line()
        .map_err(|_| Status::internal("an internal error"))?;
    drop(tx);
    let (sender, receiver) = mpsc::channel(CHUNKS);
    tokio::spawn(async move {
        // Whoever reads has room for the first chunk.
        if sender
            .send(Ok(v1::ExportChunk { data: line }))
            .await
            .is_ok()
            && let Err(error) = entries(&state, &tenant, first, last, &sender).await
        {
            let _ = sender.send(Err(error.into())).await;
        }
    });
    Ok(receiver)
}

/// Waits until each witness has cosigned the newest checkpoint, or has had the time to, or we are to stop. One that has not
/// shows in the bundle itself.
async fn witnessed(state: &State, tenant: &TenantId) -> Result<(), LedgerError> {
    let witnesses = &state.seals.witnesses;
    let until = Instant::now() + state.seals.interval + WITNESSES_PATIENCE;
    while !witnesses.is_empty() && Instant::now() < until {
        // Made before we look: what comes meanwhile wakes it.
        let cosigned = state.cosigned.notified();
        let mut tx = state.store.reading(tenant).await?;
        let size = tx
            .newest_checkpoint()
            .await?
            .map_or(0, |newest| newest.size);
        let mut whole = true;
        for witness in witnesses {
            whole &= tx.cosigned(witness.name()).await? >= size;
        }
        drop(tx);
        if whole {
            break;
        }
        tokio::select! {
            () = state.shutdown.cancelled() => break,
            () = cosigned => {}
            () = tokio::time::sleep(WITNESSES_PAUSE) => {}
        }
    }
    Ok(())
}

async fn entries(
    state: &State,
    tenant: &TenantId,
    first: u64,
    last: u64,
    sender: &mpsc::Sender<Result<v1::ExportChunk, Status>>,
) -> Result<(), LedgerError> {
    let mut after = first.saturating_sub(1);
    while after < last {
        // A transaction for each page: a slow reader holds none open.
        let mut tx = match state.store.reading(tenant).await {
            // It has begun: better late than broken off.
            Err(LedgerError::Busy) if !sender.is_closed() => continue,
            tx => tx?,
        };
        let page = tx.entries(after, PAGE).await?;
        drop(tx);
        let mut data = Vec::new();
        let before = after;
        for entry in page.into_iter().filter(|entry| entry.seq <= last) {
            data.extend_from_slice(&entry.body);
            data.push(b'\n');
            after = entry.seq;
        }
        // Entries that are gone are for the one who verifies to find.
        if after == before || sender.send(Ok(v1::ExportChunk { data })).await.is_err() {
            break;
        }
    }
    Ok(())
}

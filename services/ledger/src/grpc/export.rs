//! Bundles of sealed entries, as they are read.

use crate::archive::bundle_header;
use crate::{LedgerError, State};
use proctor_model::TenantId;
use proctor_proto::v1;
use sqlx::types::time::OffsetDateTime;
use std::sync::Arc;
use tokio::sync::mpsc;
use tonic::Status;

/// Entries that are read at a time, and so the size of a chunk.
const PAGE: i64 = 500;
/// Chunks that may wait for a slow reader.
const CHUNKS: usize = 4;

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
    let mut tx = state.store.tenant(&tenant).await?;
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
        let page = state
            .store
            .tenant(tenant)
            .await?
            .entries(after, PAGE)
            .await?;
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

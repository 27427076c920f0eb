//! What shows to outsiders that an entry is in the log, and that the log only grows.

use super::{PAGE_DEFAULT, PAGE_MAX, wire};
use crate::merkle::Plan;
use crate::store::seals::StoredCheckpoint;
use crate::tile::{Resource, WIDTH};
use crate::{LedgerError, State};
use proctor_model::TenantId;
use proctor_proto::v1;
use tonic::Status;

fn checkpoint(stored: StoredCheckpoint) -> v1::Checkpoint {
    let StoredCheckpoint {
        size,
        root,
        time_s,
        note,
    } = stored;
    v1::Checkpoint {
        size,
        root: root.to_vec(),
        time_s,
        note,
    }
}

pub(super) async fn entry(
    state: &State,
    tenant: &TenantId,
    seq: u64,
) -> Result<v1::EntryResponse, Status> {
    let mut tx = state.store.reading(tenant).await?;
    let Some(entry) = tx.entry(seq).await? else {
        return Err(if seq > 0 && seq <= tx.archived().await? {
            Status::failed_precondition("the entry is archived: it is in the file of its month")
        } else {
            Status::not_found("no such entry")
        });
    };
    let newest = tx.newest_checkpoint().await?;
    let index = seq.saturating_sub(1);
    let plan = newest
        .as_ref()
        .and_then(|newest| Plan::inclusion(index, newest.size));
    let proof = match &plan {
        Some(plan) => tx.proof(plan).await?,
        None => Vec::new(),
    };
    Ok(v1::EntryResponse {
        entry: Some(wire(entry)?),
        checkpoint: newest.filter(|_| plan.is_some()).map(checkpoint),
        proof: proof.iter().map(|hash| hash.to_vec()).collect(),
    })
}

pub(super) async fn checkpoints(
    state: &State,
    tenant: &TenantId,
    request: &v1::CheckpointsRequest,
) -> Result<v1::CheckpointsResponse, Status> {
    let limit = match request.limit {
        0 => PAGE_DEFAULT,
        limit => limit.min(PAGE_MAX),
    };
    let before = match request.before_size {
        0 => u64::MAX,
        before => before,
    };
    let mut tx = state.store.reading(tenant).await?;
    let page = tx.checkpoints(before, i64::from(limit)).await?;
    let full = u32::try_from(page.len()) == Ok(limit);
    let next_before_size = page.last().filter(|_| full).map_or(0, |last| last.size);
    Ok(v1::CheckpointsResponse {
        checkpoints: page.into_iter().map(checkpoint).collect(),
        next_before_size,
    })
}

pub(super) async fn consistency(
    state: &State,
    tenant: &TenantId,
    request: &v1::ConsistencyRequest,
) -> Result<v1::ConsistencyResponse, Status> {
    let mut tx = state.store.reading(tenant).await?;
    let newest = tx
        .newest_checkpoint()
        .await?
        .map_or(0, |newest| newest.size);
    let new_size = match request.new_size {
        0 => newest,
        size => size,
    };
    if new_size > newest {
        return Err(Status::invalid_argument(
            "new_size: larger than the newest checkpoint",
        ));
    }
    let plan = Plan::consistency(request.old_size, new_size)
        .ok_or_else(|| Status::invalid_argument("old_size: larger than the new size"))?;
    let proof = tx.proof(&plan).await?;
    Ok(v1::ConsistencyResponse {
        proof: proof.iter().map(|hash| hash.to_vec()).collect(),
        new_size,
    })
}

pub(super) async fn tile(state: &State, tenant: &TenantId, path: &str) -> Result<Vec<u8>, Status> {
    let none = || Status::not_found("there is no such tile");
    let resource = Resource::parse(path).ok_or_else(none)?;
    let mut tx = state.store.reading(tenant).await?;
    // Only what a checkpoint covers.
    let size = tx
        .newest_checkpoint()
        .await?
        .map_or(0, |newest| newest.size);
    match resource {
        Resource::Tile(id, width) => {
            let covered = size >> (8 * u32::from(id.level));
            if id.index.saturating_mul(WIDTH).saturating_add(width) > covered {
                return Err(none());
            }
            let tile = tx.tile(id).await?.ok_or(LedgerError::Damaged)?;
            let width = usize::try_from(width).map_err(|_| none())?;
            let hashes = tile.hashes.get(..width).ok_or(LedgerError::Damaged)?;
            Ok(hashes.concat())
        }
        Resource::Entries(index, width) => {
            let start = index.saturating_mul(WIDTH);
            if start.saturating_add(width) > size {
                return Err(none());
            }
            let limit = i64::try_from(width).map_err(|_| none())?;
            let entries = tx.entries(start, limit).await?;
            if u64::try_from(entries.len()) != Ok(width) {
                return Err(Status::failed_precondition(
                    "these entries are archived: they are in the file of their month",
                ));
            }
            let mut data = Vec::new();
            for entry in entries {
                let length = u16::try_from(entry.body.len()).map_err(|_| {
                    Status::failed_precondition(
                        "an entry is too long for this format: use the export",
                    )
                })?;
                data.extend_from_slice(&length.to_be_bytes());
                data.extend_from_slice(&entry.body);
            }
            Ok(data)
        }
    }
}

/// The keys of a tenant's log in the form of signed notes.
pub(super) async fn keys(state: &State, tenant: &TenantId) -> Result<Vec<String>, LedgerError> {
    state.store.verifier_keys(&state.deployment, tenant).await
}

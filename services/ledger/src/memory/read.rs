//! Reading memory over gRPC.

use super::state::{items, lineage};
use crate::{LedgerError, State};
use proctor_model::audit::canonical;
use proctor_model::memory::ItemId;
use proctor_model::{TenantId, Timestamp};
use proctor_proto::v1;
use sqlx::types::time::OffsetDateTime;
use tonic::Status;

const PAGE_DEFAULT: u32 = 100;
const PAGE_MAX: u32 = 1_000;

/// A page of items, latest first.
pub(crate) async fn list(
    state: &State,
    tenant: &TenantId,
    request: v1::ListMemoryRequest,
) -> Result<v1::ListMemoryResponse, Status> {
    if request.store.contains('\0') {
        return Err(Status::invalid_argument("store: a character U+0000"));
    }
    let limit = match request.limit {
        0 => PAGE_DEFAULT,
        limit => limit.min(PAGE_MAX),
    };
    let before = cursor(&request.after)?;
    let store = Some(request.store.as_str()).filter(|store| !store.is_empty());
    let mut tx = state.store.reading(tenant).await?;
    let found = items(&mut tx, tenant, store, before, i64::from(limit)).await?;
    let full = u32::try_from(found.len()).is_ok_and(|count| count == limit);
    let next = found.last().filter(|_| full).map(|last| {
        let micros = last.time.unix_timestamp_nanos() / 1000;
        format!("{micros}.{}", last.item)
    });
    let micros = |time: OffsetDateTime| i64::try_from(time.unix_timestamp_nanos() / 1000);
    let item = |item: super::Item| v1::MemoryItem {
        item: item.item.to_string(),
        store: item.store,
        kind: item.kind,
        version: item.version,
        time: Timestamp::from_micros(micros(item.time).unwrap_or(0)).to_string(),
    };
    Ok(v1::ListMemoryResponse {
        items: found.into_iter().map(item).collect(),
        next: next.unwrap_or_default(),
    })
}

/// Where a page ended: microseconds of the epoch, a dot, the item.
fn cursor(text: &str) -> Result<Option<(OffsetDateTime, ItemId)>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let parse = || {
        let (micros, item) = text.split_once('.')?;
        let micros: i64 = micros.parse().ok()?;
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).ok()?;
        Some((time, item.parse().ok()?))
    };
    match parse() {
        Some(before) => Ok(Some(before)),
        None => Err(Status::invalid_argument("after: `next` of the page before")),
    }
}

/// Where an item comes from.
pub(crate) async fn tell(
    state: &State,
    tenant: &TenantId,
    item: &str,
) -> Result<v1::MemoryLineageResponse, Status> {
    let unknown = || Status::not_found("no such memory item");
    let item: ItemId = item.parse().map_err(|_| unknown())?;
    let mut tx = state.store.reading(tenant).await?;
    let told = lineage(&mut tx, tenant, item).await?;
    let found = told
        .items
        .into_iter()
        .next()
        .filter(|item| item.version > 0);
    let found = found.ok_or_else(unknown)?;
    let records = found.records.iter().map(canonical);
    let records = records
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| LedgerError::Damaged)?;
    Ok(v1::MemoryLineageResponse {
        version: found.version,
        head: found.head.to_string(),
        records,
        certificates: told.certificates,
    })
}

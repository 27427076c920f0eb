//! From events of the chain into the tables of memory, in the transaction that appends them.

use crate::store::{TenantTx, signed};
use crate::{LedgerError, State};
use proctor_model::TenantId;
use proctor_model::audit::{AuditEvent, Kind, canonical, sha256};
use proctor_model::catalogue::MemoryChange;
use proctor_model::config::EdgeCertificate;
use proctor_model::memory::{MemoryRecord, RecordHash, SignedRecord};
use sqlx::PgConnection;
use sqlx::types::time::OffsetDateTime;

/// Longest name of a kind of item that is kept, in bytes.
const KIND_BYTES_MAX: usize = 256;

/// Takes what the events of one batch, signed under `certificate`, say of memory. A record that does not verify is left
/// out: its event stands in the chain all the same.
pub(crate) async fn take(
    state: &State,
    tx: &mut TenantTx,
    certificate: &str,
    events: impl Iterator<Item = &AuditEvent>,
) -> Result<(), LedgerError> {
    let mut edge = None;
    for event in events {
        let Some(memory) = &event.memory else {
            continue;
        };
        if !memory.records.is_empty() && edge.is_none() {
            let verified = state.platform.verify::<EdgeCertificate>(certificate);
            edge = Some(verified.map_err(|_| LedgerError::Damaged)?);
            keep_certificate(tx.connection(), &event.tenant, certificate).await?;
        }
        for signed in &memory.records {
            let good = edge.as_ref().and_then(|edge| verified(signed, event, edge));
            let Some(hash) = good else {
                tracing::error!(tenant = %event.tenant, edge = %event.edge, "a memory record does not verify");
                metrics::counter!("proctor_ledger_memory_refused_total").increment(1);
                continue;
            };
            put(tx.connection(), signed, hash, event, certificate).await?;
        }
        if let (Kind::Completed, Some(_), Some(of)) = (event.kind, memory.written, event.of) {
            confirm(tx.connection(), &event.tenant, of.as_uuid()).await?;
        }
    }
    Ok(())
}

fn verified(
    signed: &SignedRecord,
    event: &AuditEvent,
    certificate: &EdgeCertificate,
) -> Option<RecordHash> {
    fits(&signed.record, event).then(|| signed.verify_with(certificate).ok())?
}

/// Whether a record is of the call that this event is of, and one that the tables can hold.
pub(super) fn fits(record: &MemoryRecord, event: &AuditEvent) -> bool {
    event.kind == Kind::Authorized
        && record.tenant == event.tenant
        && record.edge == event.edge
        && Some(record.decision_id) == event.decision_id
        && record.version > 0
        // What a column can't hold would keep the whole batch out.
        && record.kind.len() <= KIND_BYTES_MAX
        && !record.kind.contains('\0')
}

/// The version that all facts below it may be gone as of, until it is known that they are.
pub(super) fn doubt(record: &MemoryRecord) -> u64 {
    match record.change {
        MemoryChange::Set | MemoryChange::Clear => record.version,
        MemoryChange::Add | MemoryChange::Remove => 0,
    }
}

async fn keep_certificate(
    connection: &mut PgConnection,
    tenant: &TenantId,
    certificate: &str,
) -> Result<(), LedgerError> {
    sqlx::query(
        "insert into ledger.memory_certificates (tenant, digest, body) values ($1, $2, $3) on conflict do nothing",
    )
    .bind(tenant.as_str())
    .bind(sha256(certificate.as_bytes()).as_slice())
    .bind(certificate)
    .execute(connection)
    .await?;
    Ok(())
}

async fn put(
    connection: &mut PgConnection,
    signed_record: &SignedRecord,
    hash: RecordHash,
    event: &AuditEvent,
    certificate: &str,
) -> Result<(), LedgerError> {
    let record = &signed_record.record;
    let body = canonical(signed_record).map_err(proctor_model::audit::AuditError::from)?;
    let body = String::from_utf8(body).map_err(|_| LedgerError::Damaged)?;
    sqlx::query(
        "insert into ledger.memory_records (tenant, hash, item, version, edge, certificate, event_id, body)
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing",
    )
    .bind(record.tenant.as_str())
    .bind(hash.as_bytes().as_slice())
    .bind(record.item.as_bytes().as_slice())
    .bind(signed(record.version))
    .bind(record.edge.as_str())
    .bind(sha256(certificate.as_bytes()).as_slice())
    .bind(event.event_id.as_uuid())
    .bind(body)
    .execute(&mut *connection)
    .await?;
    let time =
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(record.time.as_micros()) * 1000);
    sqlx::query(
        "insert into ledger.memory_items as i (tenant, item, store, kind, version, head, time, doubt)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (tenant, item) do update set
             version = greatest(i.version, excluded.version),
             head = case when i.version <= excluded.version then excluded.head else i.head end,
             time = case when i.version <= excluded.version then excluded.time else i.time end,
             doubt = greatest(i.doubt, excluded.doubt)
         where i.version <= excluded.version or i.doubt < excluded.doubt",
    )
    .bind(record.tenant.as_str())
    .bind(record.item.as_bytes().as_slice())
    .bind(record.store.as_str())
    .bind(&record.kind)
    .bind(signed(record.version))
    .bind(hash.as_bytes().as_slice())
    .bind(time.unwrap_or(OffsetDateTime::UNIX_EPOCH))
    .bind(signed(doubt(record)))
    .execute(&mut *connection)
    .await?;
    match record.change {
        MemoryChange::Set | MemoryChange::Add => put_facts(connection, record, hash).await,
        MemoryChange::Remove => doubt_facts(connection, record).await,
        MemoryChange::Clear => Ok(()),
    }
}

fn digests(record: &MemoryRecord) -> Vec<Vec<u8>> {
    let mut facts: Vec<Vec<u8>> = record
        .facts
        .iter()
        .map(|fact| fact.digest.as_bytes().to_vec())
        .collect();
    // One statement may touch a row only once.
    facts.sort_unstable();
    facts.dedup();
    facts
}

async fn put_facts(
    connection: &mut PgConnection,
    record: &MemoryRecord,
    hash: RecordHash,
) -> Result<(), LedgerError> {
    sqlx::query(
        "insert into ledger.memory_facts (tenant, item, fact, version, live, record)
         select $1, $2, fact, $3, true, $4 from unnest($5::bytea[]) as f (fact)
         on conflict (tenant, item, fact)
         do update set version = excluded.version, live = true, record = excluded.record
         where memory_facts.version <= excluded.version",
    )
    .bind(record.tenant.as_str())
    .bind(record.item.as_bytes().as_slice())
    .bind(signed(record.version))
    .bind(hash.as_bytes().as_slice())
    .bind(digests(record))
    .execute(connection)
    .await?;
    Ok(())
}

/// The facts that a write is about to take away.
async fn doubt_facts(
    connection: &mut PgConnection,
    record: &MemoryRecord,
) -> Result<(), LedgerError> {
    sqlx::query(
        "update ledger.memory_facts set doubt = $3
         where tenant = $1 and item = $2 and fact = any($4) and doubt < $3",
    )
    .bind(record.tenant.as_str())
    .bind(record.item.as_bytes().as_slice())
    .bind(signed(record.version))
    .bind(digests(record))
    .execute(connection)
    .await?;
    Ok(())
}

/// The write went well: what it replaces or takes away is gone.
async fn confirm(
    connection: &mut PgConnection,
    tenant: &TenantId,
    event: uuid::Uuid,
) -> Result<(), LedgerError> {
    let bodies: Vec<String> = sqlx::query_scalar(
        "update ledger.memory_records set confirmed = true where tenant = $1 and event_id = $2 and not confirmed
         returning body",
    )
    .bind(tenant.as_str())
    .bind(event)
    .fetch_all(&mut *connection)
    .await?;
    for body in bodies {
        let stored: SignedRecord = serde_json::from_str(&body).map_err(|_| LedgerError::Damaged)?;
        let record = stored.record;
        match record.change {
            MemoryChange::Add => {}
            MemoryChange::Set | MemoryChange::Clear => {
                sqlx::query(
                    "update ledger.memory_items set floor = greatest(floor, $3) where tenant = $1 and item = $2",
                )
                .bind(tenant.as_str())
                .bind(record.item.as_bytes().as_slice())
                .bind(signed(record.version))
                .execute(&mut *connection)
                .await?;
            }
            MemoryChange::Remove => {
                sqlx::query(
                    "update ledger.memory_facts set live = false, version = $3
                     where tenant = $1 and item = $2 and fact = any($4) and version <= $3",
                )
                .bind(tenant.as_str())
                .bind(record.item.as_bytes().as_slice())
                .bind(signed(record.version))
                .bind(digests(&record))
                .execute(&mut *connection)
                .await?;
            }
        }
    }
    Ok(())
}

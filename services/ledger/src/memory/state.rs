//! How items stand, and where they come from.

use crate::LedgerError;
use crate::store::{TenantTx, number, signed};
use proctor_model::TenantId;
use proctor_model::audit::{AuditError, canonical};
use proctor_model::limits::{LINEAGE_BYTES_MAX, LINEAGE_RECORDS_MAX};
use proctor_model::memory::{
    FactDigest, FactState, ItemId, ItemQuestion, ItemState, RecordHash, SignedRecord,
};
use sqlx::postgres::PgRow;
use sqlx::types::time::OffsetDateTime;
use sqlx::{PgConnection, Row};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// States with the certificates of the edges that signed the records in them.
#[derive(Default)]
pub(crate) struct States {
    pub(crate) items: Vec<ItemState>,
    pub(crate) certificates: Vec<String>,
}

/// An item, for lists.
pub(crate) struct Item {
    pub(crate) item: ItemId,
    pub(crate) store: String,
    pub(crate) kind: String,
    pub(crate) version: u64,
    pub(crate) time: OffsetDateTime,
}

fn hash(row: &PgRow, column: &str) -> Result<[u8; 32], LedgerError> {
    <[u8; 32]>::try_from(row.try_get::<Vec<u8>, _>(column)?).map_err(|_| LedgerError::Damaged)
}

/// How the items that are asked about stand.
pub(crate) async fn states(
    tx: &mut TenantTx,
    tenant: &TenantId,
    questions: &[ItemQuestion],
) -> Result<States, LedgerError> {
    let connection = tx.connection();
    let mut known = heads(connection, tenant, questions).await?;
    let facts = facts(connection, tenant, questions).await?;
    let wanted: BTreeSet<RecordHash> = facts.values().flatten().map(|fact| fact.record).collect();
    let (records, certificates) = records(connection, tenant, &wanted).await?;
    let mut states = States {
        items: Vec::with_capacity(questions.len()),
        certificates,
    };
    let mut facts = facts;
    for question in questions {
        let mut state = known.remove(&question.item).unwrap_or(ItemState {
            item: question.item,
            version: 0,
            head: RecordHash::ZERO,
            floor: 0,
            doubt: 0,
            facts: Vec::new(),
            records: Vec::new(),
        });
        state.facts = facts.remove(&question.item).unwrap_or_default();
        for fact in &mut state.facts {
            fact.live &= fact.version >= state.floor;
            // Told only where it matters.
            if !fact.live || fact.version > fact.doubt {
                fact.doubt = 0;
            }
        }
        let live = state.facts.iter().filter(|fact| fact.live);
        let hashes: BTreeSet<RecordHash> = live.map(|fact| fact.record).collect();
        state.records = hashes
            .iter()
            .filter_map(|hash| records.get(hash).cloned())
            .collect();
        states.items.push(state);
    }
    Ok(states)
}

async fn heads(
    connection: &mut PgConnection,
    tenant: &TenantId,
    questions: &[ItemQuestion],
) -> Result<HashMap<ItemId, ItemState>, LedgerError> {
    let items: Vec<Vec<u8>> = questions
        .iter()
        .map(|question| question.item.as_bytes().to_vec())
        .collect();
    let rows = sqlx::query(
        "select item, version, head, floor, doubt from ledger.memory_items where tenant = $1 and item = any($2)",
    )
    .bind(tenant.as_str())
    .bind(items)
    .fetch_all(connection)
    .await?;
    let state = |row: &PgRow| {
        let item = ItemId::from_bytes(hash(row, "item")?);
        let floor = number(row.try_get("floor")?);
        let doubt = number(row.try_get("doubt")?);
        let state = ItemState {
            item,
            version: number(row.try_get("version")?),
            head: RecordHash::from_bytes(hash(row, "head")?),
            floor,
            doubt: if doubt > floor { doubt } else { 0 },
            facts: Vec::new(),
            records: Vec::new(),
        };
        Ok((item, state))
    };
    rows.iter().map(state).collect()
}

async fn facts(
    connection: &mut PgConnection,
    tenant: &TenantId,
    questions: &[ItemQuestion],
) -> Result<HashMap<ItemId, Vec<FactState>>, LedgerError> {
    let (mut items, mut digests) = (Vec::new(), Vec::new());
    for question in questions {
        for fact in &question.facts {
            items.push(question.item.as_bytes().to_vec());
            digests.push(fact.as_bytes().to_vec());
        }
    }
    let rows = sqlx::query(
        "select f.item, f.fact, f.version, f.live, f.record, f.doubt from ledger.memory_facts f
         join (select distinct * from unnest($2::bytea[], $3::bytea[]) as a (item, fact)) asked
             on asked.item = f.item and asked.fact = f.fact
         where f.tenant = $1",
    )
    .bind(tenant.as_str())
    .bind(items)
    .bind(digests)
    .fetch_all(connection)
    .await?;
    let mut facts: HashMap<ItemId, Vec<FactState>> = HashMap::new();
    for row in &rows {
        let item = ItemId::from_bytes(hash(row, "item")?);
        facts.entry(item).or_default().push(FactState {
            digest: FactDigest::from_bytes(hash(row, "fact")?),
            live: row.try_get("live")?,
            version: number(row.try_get("version")?),
            record: RecordHash::from_bytes(hash(row, "record")?),
            doubt: number(row.try_get("doubt")?),
        });
    }
    Ok(facts)
}

type Records = BTreeMap<RecordHash, SignedRecord>;

async fn records(
    connection: &mut PgConnection,
    tenant: &TenantId,
    hashes: &BTreeSet<RecordHash>,
) -> Result<(Records, Vec<String>), LedgerError> {
    let wanted: Vec<Vec<u8>> = hashes.iter().map(|hash| hash.as_bytes().to_vec()).collect();
    let rows = sqlx::query(
        "select hash, body, certificate from ledger.memory_records where tenant = $1 and hash = any($2)",
    )
    .bind(tenant.as_str())
    .bind(wanted)
    .fetch_all(&mut *connection)
    .await?;
    let mut records = Records::new();
    let mut digests: BTreeSet<Vec<u8>> = BTreeSet::new();
    for row in &rows {
        let body: String = row.try_get("body")?;
        let record = serde_json::from_str(&body).map_err(|_| LedgerError::Damaged)?;
        records.insert(RecordHash::from_bytes(hash(row, "hash")?), record);
        digests.insert(row.try_get("certificate")?);
    }
    let certificates = sqlx::query_scalar(
        "select body from ledger.memory_certificates where tenant = $1 and digest = any($2) order by digest",
    )
    .bind(tenant.as_str())
    .bind(digests.into_iter().collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    Ok((records, certificates))
}

/// The records of an item, oldest first, and those that they come from: at most [`LINEAGE_RECORDS_MAX`] and
/// [`LINEAGE_BYTES_MAX`], the latest.
pub(crate) async fn lineage(
    tx: &mut TenantTx,
    tenant: &TenantId,
    item: ItemId,
) -> Result<States, LedgerError> {
    let question = ItemQuestion {
        item,
        facts: Vec::new(),
    };
    let mut states = states(tx, tenant, std::slice::from_ref(&question)).await?;
    let connection = tx.connection();
    let own: Vec<Vec<u8>> = sqlx::query_scalar(
        "select hash from ledger.memory_records where tenant = $1 and item = $2 order by version desc, hash limit $3",
    )
    .bind(tenant.as_str())
    .bind(item.as_bytes().as_slice())
    .bind(signed(u64::try_from(LINEAGE_RECORDS_MAX).unwrap_or(u64::MAX)))
    .fetch_all(&mut *connection)
    .await?;
    let mut wanted = BTreeSet::new();
    for bytes in own {
        let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| LedgerError::Damaged)?;
        wanted.insert(RecordHash::from_bytes(bytes));
    }
    // Step by step up to where it all began, as far as there is room.
    let (mut found, mut certificates) = records(connection, tenant, &wanted).await?;
    loop {
        let parents: BTreeSet<RecordHash> = found
            .values()
            .flat_map(|signed| &signed.record.parents)
            .filter(|parent| !found.contains_key(parent) && wanted.insert(**parent))
            .take(LINEAGE_RECORDS_MAX.saturating_sub(found.len()))
            .copied()
            .collect();
        if parents.is_empty() {
            break;
        }
        let (more, signed_by) = records(connection, tenant, &parents).await?;
        found.extend(more);
        certificates.extend(signed_by);
    }
    certificates.sort_unstable();
    certificates.dedup();
    let mut all: Vec<SignedRecord> = found.into_values().collect();
    all.sort_by_key(|signed| (signed.record.time, signed.record.version));
    if let Some(state) = states.items.first_mut() {
        state.records = latest(all)?;
    }
    states.certificates = certificates;
    Ok(states)
}

/// Of records in order, the last ones that fit one answer.
fn latest(mut records: Vec<SignedRecord>) -> Result<Vec<SignedRecord>, LedgerError> {
    let (mut bytes, mut first) = (0_usize, records.len());
    for record in records.iter().rev() {
        let record = canonical(record).map_err(AuditError::from)?;
        bytes = bytes.saturating_add(record.len());
        if bytes > LINEAGE_BYTES_MAX {
            break;
        }
        first = first.saturating_sub(1);
    }
    Ok(records.split_off(first))
}

/// Items, latest first; `before` is where the page before ended.
pub(crate) async fn items(
    tx: &mut TenantTx,
    tenant: &TenantId,
    store: Option<&str>,
    before: Option<(OffsetDateTime, ItemId)>,
    limit: i64,
) -> Result<Vec<Item>, LedgerError> {
    let (time, item) = before.unzip();
    let rows = sqlx::query(
        "select item, store, kind, version, time from ledger.memory_items
         where tenant = $1 and ($2::text is null or store = $2)
             and ($3::timestamptz is null or (time, item) < ($3, $4::bytea))
         order by time desc, item desc limit $5",
    )
    .bind(tenant.as_str())
    .bind(store)
    .bind(time)
    .bind(item.map(|item| item.as_bytes().to_vec()))
    .bind(limit)
    .fetch_all(tx.connection())
    .await?;
    let item = |row: &PgRow| {
        Ok(Item {
            item: ItemId::from_bytes(hash(row, "item")?),
            store: row.try_get("store")?,
            kind: row.try_get("kind")?,
            version: number(row.try_get("version")?),
            time: row.try_get("time")?,
        })
    };
    rows.iter().map(item).collect()
}

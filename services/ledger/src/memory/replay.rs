//! Whether memory stands as the entries say: they are folded once more, and compared with the tables.
//!
//! Seals protect the chain. The tables of memory are made from it and have no seals of their own, and it is by them that a
//! ledger answers edges: whoever can write to the database could set an item back to a version that was true once. So
//! verifying a chain verifies them, too.
//!
//! Of a chain whose beginning is archived only what its entries still touch is compared, and that it is not behind them.

use super::take::{doubt, fits};
use crate::store::{TenantTx, hash32, number};
use crate::verify::{Finding, FindingKind};
use crate::{LedgerError, State};
use proctor_model::EdgeId;
use proctor_model::audit::{AuditEvent, Entry, Kind};
use proctor_model::catalogue::MemoryChange;
use proctor_model::config::EdgeCertificate;
use proctor_model::ids::EventId;
use proctor_model::memory::{FactDigest, ItemId, MemoryRecord, RecordHash, SignedRecord};
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::collections::HashMap;

/// Rows that are compared at a time.
const PAGE: i64 = 1_000;
/// Most rows of a tenant that are compared, and most writes that wait for their outcome: all of them are kept in mind, some
/// 200 bytes each. Beyond that the tables are not compared, and an alarm says so.
const ROWS_MAX: usize = 500_000;
/// So many rows more than the tables have are kept in mind, so that those few that are missing are named by their entries.
const MISSING_MAX: usize = 10_000;
/// Most findings that are kept: one is enough to distrust the tables.
const FINDINGS_MAX: usize = 100;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Item {
    version: u64,
    head: RecordHash,
    floor: u64,
    doubt: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Placed {
    version: u64,
    live: bool,
    record: RecordHash,
    doubt: u64,
}

/// What stands in a row, and the last entry that touched it.
#[derive(Debug)]
struct At<T> {
    row: T,
    seq: u64,
}

/// A write whose tool has not said yet that it went well.
#[derive(Debug)]
struct Pending {
    item: ItemId,
    version: u64,
    change: MemoryChange,
    /// For [`MemoryChange::Remove`].
    facts: Vec<FactDigest>,
}

/// Memory, from the entries alone.
#[derive(Debug)]
pub(crate) struct Replay {
    certificates: HashMap<EdgeId, Vec<EdgeCertificate>>,
    items: HashMap<ItemId, At<Item>>,
    facts: HashMap<(ItemId, FactDigest), At<Placed>>,
    pending: HashMap<EventId, Vec<Pending>>,
    /// The beginning is archived.
    from_middle: bool,
    /// Most rows that are kept in mind.
    rows_max: usize,
    findings: Vec<Finding>,
    alarms: Vec<Finding>,
    /// It was too much: the first entry that was not taken.
    over: Option<u64>,
}

impl Replay {
    /// At the start of a tenant's chain, or behind its archived beginning.
    pub(crate) async fn start(
        state: &State,
        tx: &mut TenantTx,
        from_middle: bool,
    ) -> Result<Self, LedgerError> {
        let tenant = tx.name().to_owned();
        let texts: Vec<String> =
            sqlx::query_scalar("select body from ledger.memory_certificates where tenant = $1")
                .bind(&tenant)
                .fetch_all(tx.connection())
                .await?;
        let mut certificates: HashMap<EdgeId, Vec<EdgeCertificate>> = HashMap::new();
        for text in texts {
            if let Ok(certificate) = state.platform.verify::<EdgeCertificate>(&text) {
                let edge = certificate.edge.clone();
                certificates.entry(edge).or_default().push(certificate);
            }
        }
        let rows: i64 = sqlx::query_scalar(
            "select (select count(*) from ledger.memory_items where tenant = $1)
                  + (select count(*) from ledger.memory_facts where tenant = $1)",
        )
        .bind(&tenant)
        .fetch_one(tx.connection())
        .await?;
        let rows = usize::try_from(rows).unwrap_or(0);
        let mut replay = Self::new(certificates, from_middle, rows.saturating_add(MISSING_MAX));
        replay.over = (rows > ROWS_MAX).then_some(0);
        Ok(replay)
    }

    fn new(
        certificates: HashMap<EdgeId, Vec<EdgeCertificate>>,
        from_middle: bool,
        rows_max: usize,
    ) -> Self {
        Self {
            certificates,
            items: HashMap::new(),
            facts: HashMap::new(),
            pending: HashMap::new(),
            from_middle,
            rows_max,
            findings: Vec::new(),
            alarms: Vec::new(),
            over: None,
        }
    }

    /// Takes the next entry.
    pub(crate) fn entry(&mut self, entry: &Entry) {
        let Entry { seq, event, .. } = entry;
        if self.over.is_some() {
            return;
        }
        if self.pending.len() > ROWS_MAX {
            self.over = Some(*seq);
        }
        if event.kind.is_outcome() {
            self.ended(*seq, event);
        }
        let records = event.memory.iter().flat_map(|memory| &memory.records);
        for signed in records {
            match self.verified(signed, event) {
                Some(hash) => self.put(*seq, event.event_id, &signed.record, hash),
                None => note(&mut self.alarms, *seq),
            }
        }
    }

    /// The call of some writes is over; whether its tool said that they went well.
    fn ended(&mut self, seq: u64, event: &AuditEvent) {
        let Some(writes) = event.of.and_then(|of| self.pending.remove(&of)) else {
            return;
        };
        let written = event.memory.as_ref().and_then(|memory| memory.written);
        if event.kind == Kind::Completed && written.is_some() {
            for write in writes {
                self.confirm(seq, &write);
            }
        }
    }

    fn verified(&self, signed: &SignedRecord, event: &AuditEvent) -> Option<RecordHash> {
        let certificates = self.certificates.get(&event.edge)?;
        let hash = |certificate| signed.verify_with(certificate).ok();
        fits(&signed.record, event).then(|| certificates.iter().find_map(hash))?
    }

    fn put(&mut self, seq: u64, event: EventId, record: &MemoryRecord, hash: RecordHash) {
        let MemoryRecord {
            item,
            version,
            change,
            ..
        } = *record;
        if self.items.len().saturating_add(self.facts.len()) > self.rows_max {
            // The tables lack that many: that is known by now, and what follows is not worth the memory.
            note(&mut self.findings, seq);
            return;
        }
        let fresh = At {
            row: Item {
                version: 0,
                head: hash,
                floor: 0,
                doubt: 0,
            },
            seq,
        };
        let at = self.items.entry(item).or_insert(fresh);
        if at.row.version <= version {
            (at.row.version, at.row.head, at.seq) = (version, hash, seq);
        }
        if at.row.doubt < doubt(record) {
            (at.row.doubt, at.seq) = (doubt(record), seq);
        }
        let digests = record.facts.iter().map(|fact| fact.digest);
        if matches!(change, MemoryChange::Set | MemoryChange::Add) {
            for digest in digests.clone() {
                let row = Placed {
                    version,
                    live: true,
                    record: hash,
                    doubt: 0,
                };
                let at = self.facts.entry((item, digest));
                let at = at.or_insert(At { row, seq });
                if at.row.version <= version {
                    let doubt = at.row.doubt;
                    let row = Placed { doubt, ..row };
                    *at = At { row, seq };
                }
            }
        }
        if change != MemoryChange::Add {
            let facts = match change {
                MemoryChange::Remove => digests.collect(),
                _ => Vec::new(),
            };
            self.doubt(seq, item, version, &facts);
            self.pending.entry(event).or_default().push(Pending {
                item,
                version,
                change,
                facts,
            });
        }
    }

    /// Some facts are about to be taken away.
    fn doubt(&mut self, seq: u64, item: ItemId, version: u64, facts: &[FactDigest]) {
        for digest in facts {
            let at = self.facts.get_mut(&(item, *digest));
            if let Some(at) = at.filter(|at| at.row.doubt < version) {
                (at.row.doubt, at.seq) = (version, seq);
            }
        }
    }

    fn confirm(&mut self, seq: u64, write: &Pending) {
        match write.change {
            MemoryChange::Add => {}
            MemoryChange::Set | MemoryChange::Clear => {
                if let Some(at) = self.items.get_mut(&write.item) {
                    at.row.floor = at.row.floor.max(write.version);
                    at.seq = seq;
                }
            }
            MemoryChange::Remove => {
                for digest in &write.facts {
                    let at = self.facts.get_mut(&(write.item, *digest));
                    if let Some(at) = at.filter(|at| at.row.version <= write.version) {
                        (at.row.live, at.row.version, at.seq) = (false, write.version, seq);
                    }
                }
            }
        }
    }

    /// Compares with the tables; what is wrong, and records in the chain that nobody verifiably signed.
    pub(crate) async fn compare(
        mut self,
        tx: &mut TenantTx,
    ) -> Result<(Vec<Finding>, Vec<Finding>), LedgerError> {
        if let Some(seq) = self.over {
            let kind = FindingKind::MemoryUncompared;
            return Ok((Vec::new(), vec![Finding { seq, kind }]));
        }
        self.compare_items(tx).await?;
        self.compare_facts(tx).await?;
        let Self {
            items,
            facts,
            mut findings,
            alarms,
            ..
        } = self;
        let missing = items.into_values().map(|at| at.seq);
        for seq in missing.chain(facts.into_values().map(|at| at.seq)) {
            note(&mut findings, seq);
        }
        findings.sort_by_key(|finding| finding.seq);
        Ok((findings, alarms))
    }

    async fn compare_items(&mut self, tx: &mut TenantTx) -> Result<(), LedgerError> {
        let tenant = tx.name().to_owned();
        let mut after: Vec<u8> = Vec::new();
        loop {
            let rows = sqlx::query(
                "select item, version, head, floor, doubt from ledger.memory_items
                 where tenant = $1 and item > $2 order by item limit $3",
            )
            .bind(&tenant)
            .bind(&after)
            .bind(PAGE)
            .fetch_all(tx.connection())
            .await?;
            for row in &rows {
                let item = ItemId::from_bytes(digest(row, "item")?);
                let stored = Item {
                    version: number(row.try_get("version")?),
                    head: RecordHash::from_bytes(digest(row, "head")?),
                    floor: number(row.try_get("floor")?),
                    doubt: number(row.try_get("doubt")?),
                };
                let (replayed, from_middle) = (self.items.remove(&item), self.from_middle);
                self.judge(replayed, |replayed| {
                    // The beginning may have come further than what lanes told late.
                    let same = stored.version == replayed.version && stored.head == replayed.head;
                    let ahead = same || stored.version > replayed.version;
                    let exact = same && stored.floor == replayed.floor;
                    let ahead = from_middle && ahead && stored.floor >= replayed.floor;
                    // More doubt makes nothing believed.
                    let doubted = stored.doubt >= replayed.doubt || replayed.doubt <= stored.floor;
                    doubted && (exact || ahead)
                });
                after = item.as_bytes().to_vec();
            }
            if rows.len() as i64 != PAGE {
                return Ok(());
            }
        }
    }

    async fn compare_facts(&mut self, tx: &mut TenantTx) -> Result<(), LedgerError> {
        let tenant = tx.name().to_owned();
        let (mut item_after, mut fact_after): (Vec<u8>, Vec<u8>) = Default::default();
        loop {
            let rows = sqlx::query(
                "select item, fact, version, live, record, doubt from ledger.memory_facts
                 where tenant = $1 and (item, fact) > ($2, $3) order by item, fact limit $4",
            )
            .bind(&tenant)
            .bind(&item_after)
            .bind(&fact_after)
            .bind(PAGE)
            .fetch_all(tx.connection())
            .await?;
            for row in &rows {
                let key = (
                    ItemId::from_bytes(digest(row, "item")?),
                    FactDigest::from_bytes(digest(row, "fact")?),
                );
                let stored = Placed {
                    version: number(row.try_get("version")?),
                    live: row.try_get("live")?,
                    record: RecordHash::from_bytes(digest(row, "record")?),
                    doubt: number(row.try_get("doubt")?),
                };
                let (replayed, from_middle) = (self.facts.remove(&key), self.from_middle);
                self.judge(replayed, |replayed| {
                    let exact = Placed {
                        doubt: stored.doubt,
                        ..*replayed
                    };
                    let moot = !replayed.live || replayed.version > replayed.doubt;
                    (moot || stored.doubt >= replayed.doubt)
                        && (stored == exact || (from_middle && stored.version > replayed.version))
                });
                (item_after, fact_after) = (key.0.as_bytes().to_vec(), key.1.as_bytes().to_vec());
            }
            if rows.len() as i64 != PAGE {
                return Ok(());
            }
        }
    }

    /// A row, which the entries made or did not make.
    fn judge<T>(&mut self, replayed: Option<At<T>>, is_sound: impl FnOnce(&T) -> bool) {
        match replayed {
            Some(at) if is_sound(&at.row) => {}
            Some(at) => note(&mut self.findings, at.seq),
            None if self.from_middle => {}
            None => note(&mut self.findings, 0),
        }
    }
}

fn note(findings: &mut Vec<Finding>, seq: u64) {
    if findings.len() < FINDINGS_MAX {
        findings.push(Finding {
            seq,
            kind: FindingKind::Memory,
        });
    }
}

fn digest(row: &PgRow, column: &str) -> Result<[u8; 32], LedgerError> {
    Ok(*hash32(row.try_get(column)?)?.as_bytes())
}

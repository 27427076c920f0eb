//! The chains in Postgres. One transaction per tenant appends a run of events under a locked head.
//!
//! Who writes a chain holds a lease on its head, by the database's clock. The lease only spares two ledgers the trouble
//! of getting into each other's way: what guards the chain is that each append reads head and epoch under a lock and
//! moves them by compare-and-swap in the same transaction.

mod readers;
mod rows;
pub(crate) mod seals;
mod stretch;

use crate::LedgerError;
use crate::merkle::Frontier;
use proctor_model::audit::{AuditEvent, Entry, EntryHash, LaneEvent};
use proctor_model::{EdgeId, TenantId};
use proctor_runtime::Secret;
use readers::{Readers, pool_of_readers};
use rows::Rows;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::types::time::Date;
use sqlx::{Executor, PgPool, Postgres, Row, Transaction};
use std::str::FromStr;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

const CONNECTIONS_MAX: u32 = 16;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// A ledger that stops in the middle of a transaction loses it, and with it the lock on the head, after so long.
/// A receipt is a promise: no setting of the server's may make a commit return before it is on disk.
const SESSION: &str = "set role proctor_ledger;
    set synchronous_commit = on;
    set idle_in_transaction_session_timeout = '5s';
    set lock_timeout = '4s'";
/// How long after its last append nobody else takes a chain over, in seconds.
const LEASE_S: f64 = 3.0;
/// Hashes that are read at a time to build a tree anew.
const HASHES_PAGE: i64 = 50_000;

/// The database, as the role that can only append and read.
pub(crate) struct Store {
    /// For what has to go on: appending, sealing, the questions of edges.
    pool: PgPool,
    /// For whoever looks at the chains.
    readers: Readers,
}

/// How far something is committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Position {
    pub(crate) seq: u64,
    pub(crate) hash: EntryHash,
}

impl Position {
    pub(crate) const START: Self = Self {
        seq: 0,
        hash: EntryHash::ZERO,
    };
}

/// The end of a chain, as who writes it has to know it.
pub(crate) struct Head {
    pub(crate) size: u64,
    pub(crate) hash: EntryHash,
    pub(crate) frontier: Frontier,
    pub(crate) month: Date,
    pub(crate) epoch: i64,
    pub(crate) sealed: u64,
}

/// Who may write a chain.
pub(crate) enum Hold {
    /// We.
    Mine(Head),
    /// The ledger of this name.
    Foreign(String),
}

/// An entry as stored.
pub(crate) struct Stored {
    pub(crate) seq: u64,
    pub(crate) hash: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Stored {
    /// Whether the bytes have the hash that was stored with them.
    pub(crate) fn is_whole(&self) -> bool {
        EntryHash::of(&self.body).as_bytes().as_slice() == self.hash.as_slice()
    }
}

/// An entry with its row.
pub(crate) struct StoredRow {
    pub(crate) stored: Stored,
    row: PgRow,
}

impl StoredRow {
    /// Whether the columns that searches go by are what the event says.
    pub(crate) fn is_found_by(&self, event: &AuditEvent) -> bool {
        rows::are_copies(&self.row, event)
    }
}

/// A transaction within one tenant. Rolled back on drop.
pub(crate) struct TenantTx {
    tx: Transaction<'static, Postgres>,
    tenant: TenantId,
    /// Its tenant's part of the readers' connections, until it ends.
    _share: Option<OwnedSemaphorePermit>,
}

pub(crate) fn number(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn hash32(bytes: Vec<u8>) -> Result<EntryHash, LedgerError> {
    let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| LedgerError::Damaged)?;
    Ok(EntryHash::from_bytes(bytes))
}

fn position(row: Option<PgRow>) -> Result<Position, LedgerError> {
    let Some(row) = row else {
        return Ok(Position::START);
    };
    Ok(Position {
        seq: number(row.try_get(0)?),
        hash: hash32(row.try_get(1)?)?,
    })
}

impl Store {
    pub(crate) async fn connect(url: &Secret) -> Result<Self, LedgerError> {
        let options = PgConnectOptions::from_str(url.expose())?;
        let pool = pool(CONNECTIONS_MAX).connect_with(options.clone()).await?;
        let readers = Readers::new(pool_of_readers(options));
        Ok(Self { pool, readers })
    }

    /// Whether Postgres answers, within the time that an append waits for a connection.
    pub(crate) async fn answers(&self) -> bool {
        // A connection that was idle is asked for a sign of life before it is given out.
        self.pool.acquire().await.is_ok()
    }

    /// A transaction that sees all tenants' heads and checkpoints, and nothing else.
    async fn platform(&self) -> Result<Transaction<'static, Postgres>, LedgerError> {
        let mut tx = self.pool.begin().await?;
        seals::whole(&mut tx).await?;
        Ok(tx)
    }

    /// Whether a month (its first day) is over, by the clock that entries are dated with.
    pub(crate) async fn is_over(&self, month: Date) -> Result<bool, LedgerError> {
        let over =
            sqlx::query_scalar("select $1 < date_trunc('month', now() at time zone 'utc')::date")
                .bind(month);
        Ok(over.fetch_one(&self.pool).await?)
    }

    pub(crate) async fn tenant(&self, tenant: &TenantId) -> Result<TenantTx, LedgerError> {
        TenantTx::within(self.pool.begin().await?, tenant, None).await
    }
}

fn pool(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|connection, _| {
            Box::pin(async move { connection.execute(sqlx::raw_sql(SESSION)).await.map(|_| ()) })
        })
}

impl TenantTx {
    async fn within(
        mut tx: Transaction<'static, Postgres>,
        tenant: &TenantId,
        share: Option<OwnedSemaphorePermit>,
    ) -> Result<Self, LedgerError> {
        sqlx::query("select set_config('proctor.tenant', $1, true)")
            .bind(tenant.as_str())
            .execute(&mut *tx)
            .await?;
        Ok(Self {
            tx,
            tenant: tenant.clone(),
            _share: share,
        })
    }

    /// The tenant.
    pub(crate) fn name(&self) -> &str {
        self.tenant.as_str()
    }

    pub(crate) fn connection(&mut self) -> &mut sqlx::PgConnection {
        &mut self.tx
    }

    /// The head, locked until the transaction ends, if `holder` writes this chain or nobody else does at present.
    pub(crate) async fn lock_head(&mut self, holder: &str) -> Result<Hold, LedgerError> {
        let row = match self.locked(holder).await? {
            Some(row) => row,
            None => {
                sqlx::query("insert into ledger.heads (tenant, size, hash) values ($1, 0, $2) on conflict do nothing")
                    .bind(self.tenant.as_str())
                    .bind(EntryHash::ZERO.as_bytes().as_slice())
                    .execute(&mut *self.tx)
                    .await?;
                self.locked(holder).await?.ok_or(LedgerError::HeadMoved)?
            }
        };
        if row.try_get("foreign")? {
            return Ok(Hold::Foreign(row.try_get("holder")?));
        }
        let head = Head {
            size: number(row.try_get("size")?),
            hash: hash32(row.try_get("hash")?)?,
            frontier: Frontier::default(),
            month: row.try_get("month")?,
            epoch: row.try_get("epoch")?,
            sealed: number(row.try_get("sealed")?),
        };
        let frontier = match row.try_get::<Option<Vec<u8>>, _>("frontier")? {
            Some(bytes) => Frontier::from_bytes(head.size, &bytes).ok_or(LedgerError::Damaged)?,
            None => self.tree(head.size).await?,
        };
        Ok(Hold::Mine(Head { frontier, ..head }))
    }

    async fn locked(&mut self, holder: &str) -> Result<Option<PgRow>, LedgerError> {
        let row = sqlx::query(
            "select size, hash, frontier, month, holder, epoch, sealed,
                    holder <> $2 and lease_until > clock_timestamp() as foreign
             from ledger.heads where tenant = $1 for update",
        )
        .bind(self.tenant.as_str())
        .bind(holder)
        .fetch_optional(&mut *self.tx)
        .await?;
        Ok(row)
    }

    /// The tree over the first entries, from their hashes.
    async fn tree(&mut self, size: u64) -> Result<Frontier, LedgerError> {
        let mut tree = Frontier::default();
        while tree.size() < size {
            let page = self.hashes(tree.size(), size, HASHES_PAGE).await?;
            if page.is_empty() {
                return Err(LedgerError::Damaged);
            }
            page.into_iter().for_each(|leaf| tree.push(leaf));
        }
        Ok(tree)
    }

    /// Hashes of the entries behind `after`, up to `to`; at most `limit`. Never with a hole.
    pub(crate) async fn hashes(
        &mut self,
        after: u64,
        to: u64,
        limit: i64,
    ) -> Result<Vec<[u8; 32]>, LedgerError> {
        let rows = sqlx::query("select seq, hash from ledger.entries where tenant = $1 and seq > $2 and seq <= $3 order by seq limit $4")
            .bind(self.tenant.as_str())
            .bind(signed(after))
            .bind(signed(to))
            .bind(limit)
            .fetch_all(&mut *self.tx)
            .await?;
        let mut hashes = Vec::with_capacity(rows.len());
        for (row, expected) in rows.iter().zip(after.saturating_add(1)..) {
            if number(row.try_get("seq")?) != expected {
                return Err(LedgerError::Damaged);
            }
            hashes.push(*hash32(row.try_get("hash")?)?.as_bytes());
        }
        Ok(hashes)
    }

    pub(crate) async fn head(&mut self) -> Result<Position, LedgerError> {
        let row = sqlx::query("select size, hash from ledger.heads where tenant = $1")
            .bind(self.tenant.as_str())
            .fetch_optional(&mut *self.tx)
            .await?;
        position(row)
    }

    pub(crate) async fn lane(&mut self, edge: &EdgeId) -> Result<Position, LedgerError> {
        let row = sqlx::query(
            "select edge_seq, edge_hash from ledger.lanes where tenant = $1 and edge = $2",
        )
        .bind(self.tenant.as_str())
        .bind(edge.as_str())
        .fetch_optional(&mut *self.tx)
        .await?;
        position(row)
    }

    /// Appends events behind `head` and moves it; `holder` writes this chain from now on. Returns the new size.
    pub(crate) async fn append(
        &mut self,
        head: Head,
        holder: &str,
        events: &[&LaneEvent],
    ) -> Result<u64, LedgerError> {
        let mut rows = Rows::default();
        let (mut seq, mut prev, mut tree) = (head.size, head.hash, head.frontier);
        for event in events {
            seq = seq.saturating_add(1);
            let body = event.entry(seq, &prev)?;
            prev = EntryHash::of(&body);
            tree.push(*prev.as_bytes());
            rows.push(&event.event, seq, prev, body);
        }
        let month: Date = sqlx::query_scalar("select ledger.open_month($1)")
            .bind(head.month)
            .fetch_one(&mut *self.tx)
            .await?;
        rows.insert(&self.tenant, month, &mut self.tx).await?;
        let moved = sqlx::query(
            "update ledger.heads set size = $2, hash = $3, frontier = $4, month = $5,
                    epoch = epoch + (holder <> $6)::int, holder = $6,
                    lease_until = clock_timestamp() + make_interval(secs => $7)
             where tenant = $1 and size = $8 and hash = $9 and epoch = $10",
        )
        .bind(self.tenant.as_str())
        .bind(signed(seq))
        .bind(prev.as_bytes().as_slice())
        .bind(tree.to_bytes())
        .bind(month)
        .bind(holder)
        .bind(LEASE_S)
        .bind(signed(head.size))
        .bind(head.hash.as_bytes().as_slice())
        .bind(head.epoch)
        .execute(&mut *self.tx)
        .await?;
        if moved.rows_affected() == 1 {
            Ok(seq)
        } else {
            Err(LedgerError::HeadMoved)
        }
    }

    /// Hash of a committed event of a lane in edge form; `None` if it is not there.
    pub(crate) async fn lane_hash(
        &mut self,
        edge: &EdgeId,
        seq: u64,
    ) -> Result<Option<EntryHash>, LedgerError> {
        let body: Option<Vec<u8>> = sqlx::query_scalar(
            "select body from ledger.entries where tenant = $1 and edge = $2 and edge_seq = $3",
        )
        .bind(self.tenant.as_str())
        .bind(edge.as_str())
        .bind(signed(seq))
        .fetch_optional(&mut *self.tx)
        .await?;
        let Some(body) = body else { return Ok(None) };
        let bytes = Entry::from_canonical(&body)?.event.to_canonical()?;
        Ok(Some(EntryHash::of(&bytes)))
    }

    pub(crate) async fn set_lane(
        &mut self,
        edge: &EdgeId,
        to: Position,
    ) -> Result<(), LedgerError> {
        sqlx::query(
            "insert into ledger.lanes (tenant, edge, edge_seq, edge_hash) values ($1, $2, $3, $4)
             on conflict (tenant, edge) do update set edge_seq = excluded.edge_seq, edge_hash = excluded.edge_hash",
        )
        .bind(self.tenant.as_str())
        .bind(edge.as_str())
        .bind(signed(to.seq))
        .bind(to.hash.as_bytes().as_slice())
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Entries behind `after`, in order.
    pub(crate) async fn entries(
        &mut self,
        after: u64,
        limit: i64,
    ) -> Result<Vec<Stored>, LedgerError> {
        let rows = sqlx::query("select seq, hash, body from ledger.entries where tenant = $1 and seq > $2 order by seq limit $3")
            .bind(self.tenant.as_str())
            .bind(signed(after))
            .bind(limit)
            .fetch_all(&mut *self.tx)
            .await?;
        rows.iter().map(stored).collect()
    }

    /// The same, each with what its row says of it: to be compared with what the entry says.
    pub(crate) async fn rows(
        &mut self,
        after: u64,
        limit: i64,
    ) -> Result<Vec<StoredRow>, LedgerError> {
        let query = format!(
            "select seq, hash, body, {} from ledger.entries where tenant = $1 and seq > $2 order by seq limit $3",
            rows::COPIES
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(self.tenant.as_str())
            .bind(signed(after))
            .bind(limit)
            .fetch_all(&mut *self.tx)
            .await?;
        let row = |row: PgRow| {
            let stored = stored(&row)?;
            Ok(StoredRow { stored, row })
        };
        rows.into_iter().map(row).collect()
    }

    /// One entry; `None` if it is not there.
    pub(crate) async fn entry(&mut self, seq: u64) -> Result<Option<Stored>, LedgerError> {
        let row = sqlx::query(
            "select seq, hash, body from ledger.entries where tenant = $1 and seq = $2",
        )
        .bind(self.tenant.as_str())
        .bind(signed(seq))
        .fetch_optional(&mut *self.tx)
        .await?;
        row.as_ref().map(stored).transpose()
    }

    /// Ends the lease on this chain.
    pub(crate) async fn release(mut self, holder: &str) -> Result<(), LedgerError> {
        sqlx::query(
            "update ledger.heads set lease_until = '-infinity' where tenant = $1 and holder = $2",
        )
        .bind(self.tenant.as_str())
        .bind(holder)
        .execute(&mut *self.tx)
        .await?;
        self.commit().await
    }

    pub(crate) async fn commit(self) -> Result<(), LedgerError> {
        Ok(self.tx.commit().await?)
    }
}

pub(crate) fn stored(row: &PgRow) -> Result<Stored, LedgerError> {
    Ok(Stored {
        seq: number(row.try_get("seq")?),
        hash: row.try_get("hash")?,
        body: row.try_get("body")?,
    })
}

pub(crate) async fn migrate(url: &Secret) -> Result<(), LedgerError> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect(url.expose())
        .await?;
    // Roles are the cluster's: another database of it may be migrated at this moment.
    pool.execute(
        "do $$ begin
             if not exists (select from pg_roles where rolname = 'proctor_ledger') then
                 create role proctor_ledger nologin;
             end if;
         exception when duplicate_object or unique_violation then null;
         end $$",
    )
    .await?;
    pool.execute("create schema if not exists ledger").await?;
    let mut migrator = sqlx::migrate!("../../migrations/ledger");
    migrator.dangerous_set_table_name("ledger._migrations");
    migrator.run(&pool).await?;
    pool.close().await;
    Ok(())
}

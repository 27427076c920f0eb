//! The chains in Postgres. One transaction per tenant appends a run of events under a locked head.

use crate::LedgerError;
use proctor_model::audit::{AuditEvent, Entry, EntryHash};
use proctor_model::{EdgeId, TenantId};
use proctor_runtime::Secret;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::types::time::OffsetDateTime;
use sqlx::{Executor, PgPool, Postgres, Row, Transaction};
use std::str::FromStr;
use std::time::Duration;

const CONNECTIONS_MAX: u32 = 16;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// The database, as the role that can only append and read.
pub(crate) struct Store {
    pool: PgPool,
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

/// An entry as stored.
pub(crate) struct Stored {
    pub(crate) seq: u64,
    pub(crate) hash: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

/// A transaction within one tenant. Rolled back on drop.
pub(crate) struct TenantTx {
    tx: Transaction<'static, Postgres>,
    tenant: TenantId,
}

pub(crate) fn number(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn position(row: Option<PgRow>) -> Result<Position, LedgerError> {
    let Some(row) = row else {
        return Ok(Position::START);
    };
    let hash =
        <[u8; 32]>::try_from(row.try_get::<Vec<u8>, _>(1)?).map_err(|_| LedgerError::Damaged)?;
    Ok(Position {
        seq: number(row.try_get(0)?),
        hash: EntryHash::from_bytes(hash),
    })
}

impl Store {
    pub(crate) async fn connect(url: &Secret) -> Result<Self, LedgerError> {
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    connection
                        .execute("set role proctor_ledger")
                        .await
                        .map(|_| ())
                })
            })
            .connect_with(PgConnectOptions::from_str(url.expose())?)
            .await?;
        Ok(Self { pool })
    }

    pub(crate) async fn tenant(&self, tenant: &TenantId) -> Result<TenantTx, LedgerError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("select set_config('proctor.tenant', $1, true)")
            .bind(tenant.as_str())
            .execute(&mut *tx)
            .await?;
        Ok(TenantTx {
            tx,
            tenant: tenant.clone(),
        })
    }
}

impl TenantTx {
    pub(crate) fn connection(&mut self) -> &mut sqlx::PgConnection {
        &mut self.tx
    }

    /// The head, locked until the transaction ends: one writer at a time owns a chain.
    pub(crate) async fn lock_head(&mut self) -> Result<Position, LedgerError> {
        sqlx::query("insert into ledger.heads (tenant, size, hash) values ($1, 0, $2) on conflict do nothing")
            .bind(self.tenant.as_str())
            .bind(EntryHash::ZERO.as_bytes().as_slice())
            .execute(&mut *self.tx)
            .await?;
        let row = sqlx::query("select size, hash from ledger.heads where tenant = $1 for update")
            .bind(self.tenant.as_str())
            .fetch_optional(&mut *self.tx)
            .await?;
        position(row)
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

    /// Appends events behind `head` and moves it; returns the new head.
    pub(crate) async fn append(
        &mut self,
        head: Position,
        events: &[AuditEvent],
    ) -> Result<Position, LedgerError> {
        let mut rows = Rows::default();
        let mut at = head;
        for event in events {
            let entry = Entry {
                seq: at.seq.saturating_add(1),
                prev: at.hash,
                event: event.clone(),
            };
            let body = entry.to_canonical()?;
            at = Position {
                seq: entry.seq,
                hash: EntryHash::of(&body),
            };
            rows.push(&entry, at.hash, body);
        }
        rows.insert(&self.tenant, &mut self.tx).await?;
        let moved = sqlx::query("update ledger.heads set size = $2, hash = $3 where tenant = $1 and size = $4 and hash = $5")
            .bind(self.tenant.as_str())
            .bind(signed(at.seq))
            .bind(at.hash.as_bytes().as_slice())
            .bind(signed(head.seq))
            .bind(head.hash.as_bytes().as_slice())
            .execute(&mut *self.tx)
            .await?;
        if moved.rows_affected() == 1 {
            Ok(at)
        } else {
            Err(LedgerError::HeadMoved)
        }
    }

    /// Hash of an event of a lane in edge form; `None` if it is not there. `at` is where the lane ends.
    pub(crate) async fn lane_hash(
        &mut self,
        edge: &EdgeId,
        seq: u64,
        at: Position,
    ) -> Result<Option<EntryHash>, LedgerError> {
        if seq == at.seq {
            return Ok(Some(at.hash));
        }
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

/// Columns of a bulk insert.
#[derive(Default)]
struct Rows {
    seq: Vec<i64>,
    hash: Vec<Vec<u8>>,
    body: Vec<Vec<u8>>,
    event_id: Vec<uuid::Uuid>,
    edge: Vec<String>,
    edge_seq: Vec<i64>,
    time: Vec<OffsetDateTime>,
    kind: Vec<&'static str>,
    agent: Vec<Option<String>>,
    user_id: Vec<Option<String>>,
    session: Vec<Option<String>>,
    tool: Vec<Option<String>>,
    effect: Vec<Option<String>>,
    control: Vec<Option<&'static str>>,
    reason: Vec<Option<&'static str>>,
    decision_id: Vec<Option<uuid::Uuid>>,
}

impl Rows {
    fn push(&mut self, entry: &Entry, hash: EntryHash, body: Vec<u8>) {
        let event = &entry.event;
        let effect = event
            .effect
            .and_then(|effect| serde_json::to_value(effect).ok());
        let time =
            OffsetDateTime::from_unix_timestamp_nanos(i128::from(event.time.as_micros()) * 1000);
        self.seq.push(signed(entry.seq));
        self.hash.push(hash.as_bytes().to_vec());
        self.body.push(body);
        self.event_id.push(event.event_id.as_uuid());
        self.edge.push(event.edge.to_string());
        self.edge_seq.push(signed(event.edge_seq));
        self.time.push(time.unwrap_or(OffsetDateTime::UNIX_EPOCH));
        self.kind.push(event.kind.as_str());
        self.agent
            .push(event.agent.as_ref().map(ToString::to_string));
        self.user_id
            .push(event.user.as_ref().map(ToString::to_string));
        self.session
            .push(event.session.as_ref().map(ToString::to_string));
        self.tool.push(
            event
                .tool
                .as_ref()
                .map(|tool| format!("{}/{}", tool.server, tool.name)),
        );
        self.effect
            .push(effect.and_then(|effect| effect.as_str().map(ToOwned::to_owned)));
        self.control
            .push(event.control.map(|control| control.as_str()));
        self.reason.push(event.reason.map(|reason| reason.code()));
        self.decision_id
            .push(event.decision_id.map(|id| id.as_uuid()));
    }

    async fn insert(
        self,
        tenant: &TenantId,
        tx: &mut sqlx::PgConnection,
    ) -> Result<(), LedgerError> {
        sqlx::query(
            "insert into ledger.entries (tenant, seq, hash, body, event_id, edge, edge_seq, time, kind, agent, user_id,
                                         session, tool, effect, control, reason, decision_id)
             select $1, * from unnest($2::bigint[], $3::bytea[], $4::bytea[], $5::uuid[], $6::text[], $7::bigint[],
                 $8::timestamptz[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[],
                 $15::text[], $16::text[], $17::uuid[])",
        )
        .bind(tenant.as_str())
        .bind(self.seq)
        .bind(self.hash)
        .bind(self.body)
        .bind(self.event_id)
        .bind(self.edge)
        .bind(self.edge_seq)
        .bind(self.time)
        .bind(self.kind)
        .bind(self.agent)
        .bind(self.user_id)
        .bind(self.session)
        .bind(self.tool)
        .bind(self.effect)
        .bind(self.control)
        .bind(self.reason)
        .bind(self.decision_id)
        .execute(tx)
        .await?;
        Ok(())
    }
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

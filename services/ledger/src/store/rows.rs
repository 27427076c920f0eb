//! Entries into their table, many at once.
//!
//! `insert … select from unnest`: Postgres takes no `COPY FROM` into a table with row-level security.

use super::signed;
use crate::LedgerError;
use proctor_model::TenantId;
use proctor_model::audit::{AuditEvent, EntryHash};
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::time::{Date, OffsetDateTime};

/// Columns of a bulk insert.
#[derive(Default)]
pub(super) struct Rows {
    seq: Vec<i64>,
    hash: Vec<Vec<u8>>,
    body: Vec<Vec<u8>>,
    event_id: Vec<uuid::Uuid>,
    edge: Vec<String>,
    edge_seq: Vec<i64>,
    time: Vec<OffsetDateTime>,
    kind: Vec<String>,
    agent: Vec<Option<String>>,
    user_id: Vec<Option<String>>,
    session: Vec<Option<String>>,
    tool: Vec<Option<String>>,
    effect: Vec<Option<String>>,
    control: Vec<Option<String>>,
    reason: Vec<Option<String>>,
    decision_id: Vec<Option<uuid::Uuid>>,
}

/// The columns beside an entry's body, as its event has them: what searches go by.
#[derive(PartialEq, Eq)]
struct Copies {
    event_id: uuid::Uuid,
    edge: String,
    edge_seq: i64,
    time: OffsetDateTime,
    kind: String,
    agent: Option<String>,
    user_id: Option<String>,
    session: Option<String>,
    tool: Option<String>,
    effect: Option<String>,
    control: Option<String>,
    reason: Option<String>,
    decision_id: Option<uuid::Uuid>,
}

/// The columns that [`are_copies`] reads.
pub(super) const COPIES: &str = "event_id, edge, edge_seq,
     case when time >= '0001-01-01' and time < '9999-12-31' then time end as time, kind, agent, user_id, session, tool, effect, control, reason, \
     decision_id";

impl Copies {
    fn of(event: &AuditEvent) -> Self {
        let effect = event
            .effect
            .and_then(|effect| serde_json::to_value(effect).ok());
        let time =
            OffsetDateTime::from_unix_timestamp_nanos(i128::from(event.time.as_micros()) * 1000);
        Self {
            event_id: event.event_id.as_uuid(),
            edge: event.edge.to_string(),
            edge_seq: signed(event.edge_seq),
            time: time.unwrap_or(OffsetDateTime::UNIX_EPOCH),
            kind: event.kind.as_str().to_owned(),
            agent: event.agent.as_ref().map(ToString::to_string),
            user_id: event.user.as_ref().map(ToString::to_string),
            session: event.session.as_ref().map(ToString::to_string),
            tool: (event.tool.as_ref()).map(|tool| format!("{}/{}", tool.server, tool.name)),
            effect: effect.and_then(|effect| effect.as_str().map(ToOwned::to_owned)),
            control: event.control.map(|control| control.as_str().to_owned()),
            reason: event.reason.map(|reason| reason.code().to_owned()),
            decision_id: event.decision_id.map(|id| id.as_uuid()),
        }
    }

    fn stored(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            event_id: row.try_get("event_id")?,
            edge: row.try_get("edge")?,
            edge_seq: row.try_get("edge_seq")?,
            time: row.try_get("time")?,
            kind: row.try_get("kind")?,
            agent: row.try_get("agent")?,
            user_id: row.try_get("user_id")?,
            session: row.try_get("session")?,
            tool: row.try_get("tool")?,
            effect: row.try_get("effect")?,
            control: row.try_get("control")?,
            reason: row.try_get("reason")?,
            decision_id: row.try_get("decision_id")?,
        })
    }
}

/// Whether a row's columns are what its event says; one that can't be read is not. Who changes one of them hides an entry
/// from searches.
pub(super) fn are_copies(row: &PgRow, event: &AuditEvent) -> bool {
    Copies::stored(row).is_ok_and(|stored| stored == Copies::of(event))
}

impl Rows {
    pub(super) fn push(&mut self, event: &AuditEvent, seq: u64, hash: EntryHash, body: Vec<u8>) {
        let copies = Copies::of(event);
        self.seq.push(signed(seq));
        self.hash.push(hash.as_bytes().to_vec());
        self.body.push(body);
        self.event_id.push(copies.event_id);
        self.edge.push(copies.edge);
        self.edge_seq.push(copies.edge_seq);
        self.time.push(copies.time);
        self.kind.push(copies.kind);
        self.agent.push(copies.agent);
        self.user_id.push(copies.user_id);
        self.session.push(copies.session);
        self.tool.push(copies.tool);
        self.effect.push(copies.effect);
        self.control.push(copies.control);
        self.reason.push(copies.reason);
        self.decision_id.push(copies.decision_id);
    }

    pub(super) async fn insert(
        self,
        tenant: &TenantId,
        month: Date,
        tx: &mut sqlx::PgConnection,
    ) -> Result<(), LedgerError> {
        sqlx::query(
            "insert into ledger.entries (tenant, month, seq, hash, body, event_id, edge, edge_seq, time, kind, agent, user_id,
                                         session, tool, effect, control, reason, decision_id)
             select $1, $2, * from unnest($3::bigint[], $4::bytea[], $5::bytea[], $6::uuid[], $7::text[], $8::bigint[],
                 $9::timestamptz[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
                 $16::text[], $17::text[], $18::uuid[])",
        )
        .bind(tenant.as_str())
        .bind(month)
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

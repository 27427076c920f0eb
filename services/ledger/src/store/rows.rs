//! Entries into their table, many at once.
//!
//! `insert … select from unnest`: Postgres takes no `COPY FROM` into a table with row-level security.

use super::signed;
use crate::LedgerError;
use proctor_model::TenantId;
use proctor_model::audit::{AuditEvent, EntryHash};
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
    pub(super) fn push(&mut self, event: &AuditEvent, seq: u64, hash: EntryHash, body: Vec<u8>) {
        let effect = event
            .effect
            .and_then(|effect| serde_json::to_value(effect).ok());
        let time =
            OffsetDateTime::from_unix_timestamp_nanos(i128::from(event.time.as_micros()) * 1000);
        self.seq.push(signed(seq));
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

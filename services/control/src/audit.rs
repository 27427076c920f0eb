//! Control's own audit lane: admin events, written in the transaction of the change that they tell of.

use crate::State;
use crate::error::ControlError;
use crate::store::PlatformTx;
use crate::store::tenants::counter;
use async_nats::jetstream::{self, Context};
use futures::StreamExt;
use proctor_model::audit::{AuditEvent, Batch, EntryHash, EventAdmin, Kind, Receipt};
use proctor_model::config::{EdgeCertificate, PublicKey};
use proctor_model::ids::EventId;
use proctor_model::limits::BATCH_EVENTS_MAX;
use proctor_model::signed::Verifier;
use proctor_model::{EdgeId, TenantId};
use proctor_runtime::subjects;
use sqlx::{PgConnection, Row};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a batch may go without a receipt before it is sent again.
const RESEND: Duration = Duration::from_secs(2);

/// Appends an admin event to the lane of this tenant, within the transaction of the change.
pub(crate) async fn record(
    tx: &mut PgConnection,
    state: &State,
    tenant: &TenantId,
    principal: &str,
    action: &str,
    object: &str,
) -> Result<(), ControlError> {
    sqlx::query(
        "insert into control.audit_lane (tenant, edge_seq, edge_hash) values ($1, 0, $2) on conflict do nothing",
    )
    .bind(tenant.as_str())
    .bind(EntryHash::ZERO.as_bytes().as_slice())
    .execute(&mut *tx)
    .await?;
    let head = sqlx::query(
        "select edge_seq, edge_hash from control.audit_lane where tenant = $1 for update",
    )
    .bind(tenant.as_str())
    .fetch_one(&mut *tx)
    .await?;
    let now = state.clock.now();
    let id = EventId::from(state.random.uuid_v7(now)?);
    let mut event = AuditEvent::new(tenant.clone(), EdgeId::control(), id, now, Kind::Admin);
    let seq: i64 = head.try_get::<i64, _>("edge_seq")?.saturating_add(1);
    event.edge_seq = counter(seq);
    event.edge_prev = hash(head.try_get("edge_hash")?);
    event.admin = Some(EventAdmin {
        action: action.to_owned(),
        object: object.to_owned(),
        principal: principal.to_owned(),
    });
    let body = event.to_canonical()?;
    sqlx::query("update control.audit_lane set edge_seq = $2, edge_hash = $3 where tenant = $1")
        .bind(tenant.as_str())
        .bind(seq)
        .bind(EntryHash::of(&body).as_bytes().as_slice())
        .execute(&mut *tx)
        .await?;
    sqlx::query("insert into control.audit_outbox (tenant, edge_seq, body) values ($1, $2, $3)")
        .bind(tenant.as_str())
        .bind(seq)
        .bind(body)
        .execute(tx)
        .await?;
    Ok(())
}

fn hash(bytes: Vec<u8>) -> EntryHash {
    <[u8; 32]>::try_from(bytes).map_or(EntryHash::ZERO, EntryHash::from_bytes)
}

/// Ships the lanes until `shutdown`; what has no receipt is sent again.
pub(crate) async fn run(state: Arc<State>, nats: async_nats::Client, shutdown: CancellationToken) {
    let jetstream = jetstream::new(nats.clone());
    let Ok(mut receipts) = nats.subscribe(subjects::receipts(&EdgeId::control())).await else {
        tracing::error!("cannot subscribe to receipts");
        return;
    };
    let mut tick = tokio::time::interval(RESEND);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = tick.tick() => {
                if let Err(error) = ship(&state, &jetstream).await {
                    tracing::warn!(%error, "admin events could not be shipped; trying again");
                }
            }
            Some(message) = receipts.next() => {
                if let Err(error) = settle(&state, &message.payload).await {
                    tracing::warn!(%error, "a receipt was not accepted");
                }
            }
        }
    }
}

async fn ship(state: &State, jetstream: &Context) -> Result<(), ControlError> {
    let mut tx = state.store.platform().await?;
    let tenants: Vec<String> =
        sqlx::query_scalar("select distinct tenant from control.audit_outbox")
            .fetch_all(&mut *tx)
            .await?;
    for tenant in tenants {
        let tenant: TenantId = tenant.parse()?;
        let batch = batch(state, &mut tx, &tenant).await?;
        let payload = serde_json::to_vec(&batch)?;
        let subject = subjects::audit(&tenant, &EdgeId::control());
        if let Err(error) = jetstream.publish(subject, payload.into()).await {
            tracing::warn!(%error, "admin events could not be published; trying again");
        }
    }
    Ok(())
}

async fn batch(
    state: &State,
    tx: &mut PlatformTx,
    tenant: &TenantId,
) -> Result<Batch, ControlError> {
    let rows = sqlx::query("select edge_seq, body from control.audit_outbox where tenant = $1 order by edge_seq limit $2")
        .bind(tenant.as_str())
        .bind(i64::try_from(BATCH_EVENTS_MAX).unwrap_or(1))
        .fetch_all(&mut **tx)
        .await?;
    let mut bodies: Vec<Vec<u8>> = Vec::with_capacity(rows.len());
    let mut last = 0;
    for row in rows {
        last = counter(row.try_get("edge_seq")?);
        bodies.push(row.try_get("body")?);
    }
    let PublicKey { key, .. } = state.platform_key();
    let certificate = EdgeCertificate {
        edge: EdgeId::control(),
        signing_key: key,
        sealing_key: String::new(),
        region: "control".parse()?,
        tenants: vec![tenant.clone()],
        issued_at: state.clock.now(),
    };
    let certificate = state.signer.sign(&certificate)?;
    Ok(Batch::seal(
        tenant.clone(),
        EdgeId::control(),
        certificate,
        &bodies,
        last,
        &state.signer,
    )?)
}

async fn settle(state: &State, payload: &[u8]) -> Result<(), ControlError> {
    let mut tx = state.store.platform().await?;
    let rows = sqlx::query("select kid, signing_key from control.ledgers")
        .fetch_all(&mut *tx)
        .await?;
    let mut keys = Vec::with_capacity(rows.len());
    for row in rows {
        let key = crate::caller::b64(&row.try_get::<Vec<u8>, _>("signing_key")?);
        keys.push(PublicKey {
            kid: row.try_get::<String, _>("kid")?.parse()?,
            key,
        });
    }
    let receipt: Receipt = Verifier::new(&keys)?.verify(&String::from_utf8_lossy(payload))?;
    if receipt.edge != EdgeId::control() {
        return Ok(());
    }
    sqlx::query("delete from control.audit_outbox where tenant = $1 and edge_seq <= $2")
        .bind(receipt.tenant.as_str())
        .bind(i64::try_from(receipt.edge_seq).unwrap_or(0))
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

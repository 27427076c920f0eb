//! Control's own audit lane: admin events, written in the transaction of the change that they tell of.

use crate::State;
use crate::error::ControlError;
use crate::store::tenants::counter;
use async_nats::jetstream::{self, Context};
use futures::StreamExt;
use proctor_model::audit::{AuditEvent, Batch, EntryHash, EventAdmin, Kind, Receipt};
use proctor_model::config::{EdgeCertificate, PublicKey};
use proctor_model::ids::EventId;
use proctor_model::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX};
use proctor_model::signed::Verifier;
use proctor_model::{EdgeId, TenantId};
use proctor_runtime::backoff::Backoff;
use proctor_runtime::subjects;
use sqlx::{PgConnection, Row};
use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How long an event waits for others before it is shipped.
const TURN: Duration = Duration::from_millis(200);
/// How long a batch may go without a receipt before it is sent again.
const RESEND: Duration = Duration::from_secs(2);
/// Most batches of one tenant in one turn: the others' wait behind them.
const BATCHES_MAX: usize = 8;

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
    event.edge_prev = hash(&head.try_get::<Vec<u8>, _>("edge_hash")?)?;
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

/// Never a default: a lane that goes on from zeros would be a fork.
fn hash(bytes: &[u8]) -> Result<EntryHash, ControlError> {
    let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| ControlError::DamagedHash)?;
    Ok(EntryHash::from_bytes(bytes))
}

/// Ships the lanes until `shutdown`; what has no receipt is sent again.
pub(crate) async fn run(state: Arc<State>, nats: async_nats::Client, shutdown: CancellationToken) {
    let mut shipper = Shipper {
        state,
        jetstream: jetstream::new(nats.clone()),
        sent: HashMap::new(),
    };
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    loop {
        match nats.subscribe(subjects::receipts(&EdgeId::control())).await {
            Ok(receipts) => {
                backoff.reset();
                shipper.ship_until_closed(receipts, &shutdown).await;
            }
            Err(error) => {
                tracing::error!(%error, "cannot subscribe to receipts; trying again");
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = backoff.wait() => {}
        }
    }
}

/// Up to where a lane was sent.
struct Sent {
    seq: u64,
    /// Since when it waits: the last receipt, or the first batch after a pause. Later batches don't count, or a lost
    /// one would never be sent again while there is something new.
    at: Instant,
}

struct Shipper {
    state: Arc<State>,
    jetstream: Context,
    sent: HashMap<TenantId, Sent>,
}

impl Shipper {
    async fn ship_until_closed(
        &mut self,
        mut receipts: async_nats::Subscriber,
        shutdown: &CancellationToken,
    ) {
        let mut tick = tokio::time::interval(TURN);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {
                    if let Err(error) = self.ship().await {
                        tracing::warn!(%error, cause = ?error.source(), "admin events could not be shipped; trying again");
                    }
                }
                message = receipts.next() => {
                    let Some(message) = message else { return };
                    match settle(&self.state, &message.payload).await {
                        Ok(Some(tenant)) => {
                            if let Some(sent) = self.sent.get_mut(&tenant) {
                                sent.at = Instant::now();
                            }
                        }
                        Ok(None) => {}
                        Err(error) => {
                            tracing::error!(%error, cause = ?error.source(), "a receipt was not accepted");
                        }
                    }
                }
            }
        }
    }

    /// Sends what was not sent yet, and again what has waited too long for its receipt.
    async fn ship(&mut self) -> Result<(), ControlError> {
        let mut tx = self.state.store.platform().await?;
        let rows = sqlx::query(
            "select tenant, max(edge_seq) as last from control.audit_outbox group by tenant",
        )
        .fetch_all(&mut *tx)
        .await?;
        drop(tx);
        for row in rows {
            let tenant: TenantId = match row.try_get::<String, _>("tenant")?.parse() {
                Ok(tenant) => tenant,
                Err(error) => {
                    tracing::error!(%error, "a lane of no tenant");
                    continue;
                }
            };
            let last = counter(row.try_get("last")?);
            if let Err(error) = self.ship_lane(&tenant, last).await {
                // The lanes of others still go out.
                tracing::warn!(%tenant, %error, cause = ?error.source(), "admin events could not be shipped; trying again");
            }
        }
        Ok(())
    }

    async fn ship_lane(&mut self, tenant: &TenantId, last: u64) -> Result<(), ControlError> {
        let waiting = self
            .sent
            .get(tenant)
            .filter(|sent| sent.at.elapsed() < RESEND);
        let (mut from, at) = waiting.map_or((0, Instant::now()), |sent| (sent.seq, sent.at));
        let subject = subjects::audit(tenant, &EdgeId::control());
        for _ in 0..BATCHES_MAX {
            if from >= last {
                return Ok(());
            }
            let Some(batch) = batch(&self.state, tenant, from).await? else {
                return Ok(());
            };
            let payload = serde_json::to_vec(&batch)?;
            self.jetstream
                .publish(subject.clone(), payload.into())
                .await
                .map_err(|error| ControlError::Ship(Box::new(error)))?;
            from = batch.edge_seq;
            self.sent.insert(tenant.clone(), Sent { seq: from, at });
        }
        Ok(())
    }
}

/// The events behind `after`, as many as one batch holds; `None` if there is none.
async fn batch(
    state: &State,
    tenant: &TenantId,
    after: u64,
) -> Result<Option<Batch>, ControlError> {
    let mut tx = state.store.platform().await?;
    let rows = sqlx::query("select edge_seq, body from control.audit_outbox where tenant = $1 and edge_seq > $2 order by edge_seq limit $3")
        .bind(tenant.as_str())
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(i64::try_from(BATCH_EVENTS_MAX).unwrap_or(1))
        .fetch_all(&mut *tx)
        .await?;
    drop(tx);
    let mut bodies: Vec<Vec<u8>> = Vec::with_capacity(rows.len());
    let (mut last, mut bytes) = (0, 0usize);
    for row in rows {
        let body: Vec<u8> = row.try_get("body")?;
        bytes = bytes.saturating_add(body.len());
        if bytes > BATCH_BYTES_MAX && !bodies.is_empty() {
            break;
        }
        last = counter(row.try_get("edge_seq")?);
        bodies.push(body);
    }
    if bodies.is_empty() {
        return Ok(None);
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
    Ok(Some(Batch::seal(
        tenant.clone(),
        EdgeId::control(),
        certificate,
        &bodies,
        last,
        &state.signer,
    )?))
}

/// Forgets what the ledger has, if it is what was sent; the tenant that the receipt is for.
async fn settle(state: &State, payload: &[u8]) -> Result<Option<TenantId>, ControlError> {
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
    if receipt.edge != EdgeId::control() || receipt.edge_seq == 0 {
        return Ok(None);
    }
    let seq = i64::try_from(receipt.edge_seq).map_err(|_| ControlError::ForeignReceipt)?;
    let sent: Option<Vec<u8>> = sqlx::query_scalar(
        "select body from control.audit_outbox where tenant = $1 and edge_seq = $2",
    )
    .bind(receipt.tenant.as_str())
    .bind(seq)
    .fetch_optional(&mut *tx)
    .await?;
    let Some(sent) = sent else {
        // An earlier receipt again, or one for what we never made.
        let head: Option<i64> =
            sqlx::query_scalar("select edge_seq from control.audit_lane where tenant = $1")
                .bind(receipt.tenant.as_str())
                .fetch_optional(&mut *tx)
                .await?;
        return if head.is_some_and(|head| seq <= head) {
            Ok(None)
        } else {
            Err(ControlError::ForeignReceipt)
        };
    };
    if EntryHash::of(&sent) != receipt.edge_hash {
        return Err(ControlError::ForeignReceipt);
    }
    sqlx::query("delete from control.audit_outbox where tenant = $1 and edge_seq <= $2")
        .bind(receipt.tenant.as_str())
        .bind(seq)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(Some(receipt.tenant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_hash_is_an_error_and_never_the_beginning_of_a_lane() {
        assert_eq!(hash(&[7; 32]).unwrap(), EntryHash::from_bytes([7; 32]));
        for bytes in [&[][..], &[0; 31], &[0; 33]] {
            assert!(matches!(hash(bytes), Err(ControlError::DamagedHash)));
        }
    }
}

//! Signs what changed and publishes it, in the order of the changes; then heartbeats.
//!
//! The outbox names objects, not documents: the publisher signs their present state, so a row that is published
//! twice (after a crash between publishing and deleting) does no harm. A heartbeat goes out only when the outbox
//! is empty: an edge that has it has everything before it.

use crate::State;
use crate::error::ControlError;
use crate::store::PlatformTx;
use crate::store::tenants::{counter, database_time, load_config, timestamp};
use async_nats::jetstream::{self, Context};
use proctor_model::config::{Heartbeat, Revocation, SealedKeys};
use proctor_model::intent::Intent;
use proctor_model::{EdgeId, TenantId};
use proctor_runtime::backoff::Backoff;
use proctor_runtime::seal::{self, TOKEN_KEYS_INFO, token_keys_aad};
use proctor_runtime::subjects::{
    CONFIG_STREAM, ConfigSubject, Incarnation, ensure_streams, incarnation,
};
use sqlx::Row;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long a change may wait if the wake-up was missed (another control process made it).
const POLL: Duration = Duration::from_millis(500);
const ROWS_MAX: i64 = 100;

#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error("control's data")]
    Control(#[from] ControlError),
    #[error("the streams")]
    Streams(#[from] proctor_runtime::subjects::StreamsError),
    #[error("NATS did not take a message")]
    Publish(#[from] async_nats::jetstream::context::PublishError),
}

impl From<sqlx::Error> for PublishError {
    fn from(error: sqlx::Error) -> Self {
        Self::Control(error.into())
    }
}

struct Publisher {
    state: Arc<State>,
    jetstream: Context,
    /// The stream that everything was published to; another one has to be filled anew.
    filled: Option<Incarnation>,
    last_heartbeat: Option<Instant>,
}

/// Publishes until `shutdown`.
pub(crate) async fn run(state: Arc<State>, nats: async_nats::Client, shutdown: CancellationToken) {
    let mut publisher = Publisher {
        state,
        jetstream: jetstream::new(nats),
        filled: None,
        last_heartbeat: None,
    };
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    loop {
        let pause = match publisher.turn().await {
            Ok(()) => {
                backoff.reset();
                POLL.min(publisher.state.config.heartbeat_interval)
            }
            Err(error) => {
                tracing::warn!(%error, cause = ?std::error::Error::source(&error), "publishing failed; trying again");
                backoff.next_pause()
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = publisher.state.changed.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Publisher {
    async fn turn(&mut self) -> Result<(), PublishError> {
        let present = incarnation(&self.jetstream, CONFIG_STREAM).await?;
        if present.is_none() || present != self.filled {
            ensure_streams(&self.jetstream, 1).await?;
            self.fill().await?;
            self.filled = incarnation(&self.jetstream, CONFIG_STREAM).await?;
        }
        let published = self.drain().await?;
        let due = self
            .last_heartbeat
            .is_none_or(|at| at.elapsed() >= self.state.config.heartbeat_interval);
        if published || due {
            self.heartbeats().await?;
            self.last_heartbeat = Some(Instant::now());
        }
        Ok(())
    }

    /// Publishes everything that is current.
    async fn fill(&mut self) -> Result<(), PublishError> {
        let mut tx = self.state.store.platform().await?;
        let tenants: Vec<String> = sqlx::query_scalar("select tenant from control.tenants")
            .fetch_all(&mut *tx)
            .await?;
        for tenant in tenants {
            let tenant: TenantId = tenant.parse().map_err(ControlError::from)?;
            for (kind, query) in [
                (
                    "revocation",
                    "select seq::text from control.revocations where tenant = $1 and until > $2 order by seq",
                ),
                (
                    "intent",
                    "select id from control.intents where tenant = $1 and expires_at > $2 order by id",
                ),
            ] {
                let objects: Vec<String> = sqlx::query_scalar(query)
                    .bind(tenant.as_str())
                    .bind(database_time(self.state.clock.now()))
                    .fetch_all(&mut *tx)
                    .await?;
                for object in objects {
                    self.publish(&mut tx, &tenant, kind, &object).await?;
                }
            }
            self.publish(&mut tx, &tenant, "keys", "").await?;
            self.publish(&mut tx, &tenant, "config", "").await?;
        }
        let edges: Vec<String> = sqlx::query_scalar("select id from control.edges")
            .fetch_all(&mut *tx)
            .await?;
        for edge in edges {
            self.publish(&mut tx, &TenantId::platform(), "assignment", &edge)
                .await?;
        }
        Ok(())
    }

    /// Publishes what the outbox names; whether there was anything.
    async fn drain(&mut self) -> Result<bool, PublishError> {
        let mut any = false;
        loop {
            let mut tx = self.state.store.platform().await?;
            let rows = sqlx::query("select id, tenant, kind, object from control.outbox order by id limit $1 for update")
                .bind(ROWS_MAX)
                .fetch_all(&mut *tx)
                .await?;
            let Some(last) = rows.last() else {
                return Ok(any);
            };
            let last: i64 = last.try_get("id")?;
            for row in &rows {
                let tenant: TenantId = row
                    .try_get::<String, _>("tenant")?
                    .parse()
                    .map_err(ControlError::from)?;
                let (kind, object): (String, String) =
                    (row.try_get("kind")?, row.try_get("object")?);
                self.publish(&mut tx, &tenant, &kind, &object).await?;
            }
            let ids = rows
                .iter()
                .map(|row| row.try_get("id"))
                .collect::<Result<Vec<i64>, _>>()?;
            tracing::debug!(last, "published");
            sqlx::query("delete from control.outbox where id = any($1)")
                .bind(ids)
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            any = true;
        }
    }

    async fn publish(
        &self,
        tx: &mut PlatformTx,
        tenant: &TenantId,
        kind: &str,
        object: &str,
    ) -> Result<(), PublishError> {
        for (subject, document) in documents(&self.state, tx, tenant, kind, object).await? {
            self.send(&subject, document).await?;
        }
        Ok(())
    }

    async fn send(&self, subject: &ConfigSubject, document: String) -> Result<(), PublishError> {
        self.jetstream
            .publish(subject.to_string(), document.into())
            .await?
            .await?;
        Ok(())
    }

    async fn heartbeats(&self) -> Result<(), PublishError> {
        let mut tx = self.state.store.platform().await?;
        // Counters and emptiness of the outbox are read at one moment: what commits later is of a later heartbeat.
        let rows = sqlx::query(
            "select tenant, config_version, revocation_seq from control.tenants
             where not exists (select from control.outbox where outbox.tenant = tenants.tenant)",
        )
        .fetch_all(&mut *tx)
        .await?;
        drop(tx);
        for row in rows {
            let tenant: TenantId = row
                .try_get::<String, _>("tenant")?
                .parse()
                .map_err(ControlError::from)?;
            let heartbeat = Heartbeat {
                at: self.state.clock.now(),
                config_version: counter(row.try_get("config_version")?),
                revocation_seq: counter(row.try_get("revocation_seq")?),
                tenant: tenant.clone(),
            };
            let document = self
                .state
                .signer
                .sign(&heartbeat)
                .map_err(ControlError::from)?;
            self.send(&ConfigSubject::Heartbeat(tenant), document)
                .await?;
        }
        Ok(())
    }
}

/// The signed documents that an outbox row stands for; none if the object is gone.
async fn documents(
    state: &State,
    tx: &mut PlatformTx,
    tenant: &TenantId,
    kind: &str,
    object: &str,
) -> Result<Vec<(ConfigSubject, String)>, ControlError> {
    let now = state.clock.now();
    Ok(match kind {
        "config" => match load_config(tx, tenant, now).await? {
            Some(config) => vec![(
                ConfigSubject::Config(tenant.clone()),
                state.signer.sign(&config)?,
            )],
            None => Vec::new(),
        },
        "keys" => sealed_keys(state, tx, tenant).await?,
        "intent" => match crate::store::intents::get(tx, tenant.as_str(), object).await? {
            Some(document) => {
                let intent: Intent = serde_json::from_value(document)?;
                vec![(
                    ConfigSubject::Intent(tenant.clone(), intent.id.clone()),
                    state.signer.sign(&intent)?,
                )]
            }
            None => Vec::new(),
        },
        "revocation" => revocation(state, tx, tenant, object)
            .await?
            .into_iter()
            .collect(),
        "assignment" => {
            let edge: EdgeId = object.parse()?;
            match crate::enrol::load_assignment(tx, state, &edge).await? {
                Some(assignment) => vec![(
                    ConfigSubject::Assignment(edge),
                    state.signer.sign(&assignment)?,
                )],
                None => Vec::new(),
            }
        }
        _ => Vec::new(),
    })
}

async fn revocation(
    state: &State,
    tx: &mut PlatformTx,
    tenant: &TenantId,
    seq: &str,
) -> Result<Option<(ConfigSubject, String)>, ControlError> {
    let row = sqlx::query("select * from control.revocations where tenant = $1 and seq::text = $2")
        .bind(tenant.as_str())
        .bind(seq)
        .fetch_optional(&mut **tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let seq = counter(row.try_get("seq")?);
    let revocation = Revocation {
        tenant: tenant.clone(),
        seq,
        revocation_id: row.try_get::<String, _>("revocation_id")?.parse()?,
        revoked_at: timestamp(row.try_get("revoked_at")?),
        until: timestamp(row.try_get("until")?),
    };
    Ok(Some((
        ConfigSubject::Revocation(tenant.clone(), seq),
        state.signer.sign(&revocation)?,
    )))
}

async fn sealed_keys(
    state: &State,
    tx: &mut PlatformTx,
    tenant: &TenantId,
) -> Result<Vec<(ConfigSubject, String)>, ControlError> {
    let now = state.clock.now();
    let Some(keys) = crate::keys::load(tx, state, tenant, now).await? else {
        return Ok(Vec::new());
    };
    let clear = zeroize::Zeroizing::new(serde_json::to_vec(&keys)?);
    let version: i64 =
        sqlx::query_scalar("select keys_version from control.tenants where tenant = $1")
            .bind(tenant.as_str())
            .fetch_one(&mut **tx)
            .await?;
    let edges = sqlx::query("select id, sealing_key from control.edges where $1 = any(tenants)")
        .bind(tenant.as_str())
        .fetch_all(&mut **tx)
        .await?;
    let mut sealed = Vec::with_capacity(edges.len());
    for row in edges {
        let edge: EdgeId = row.try_get::<String, _>("id")?.parse()?;
        let public_key: Vec<u8> = row.try_get("sealing_key")?;
        let bytes = seal::seal(
            &public_key,
            TOKEN_KEYS_INFO,
            &token_keys_aad(tenant, &edge),
            &clear,
        )?;
        let (enc, ciphertext) = bytes.split_at_checked(32).ok_or(ControlError::Decrypt)?;
        let document = SealedKeys {
            tenant: tenant.clone(),
            edge: edge.clone(),
            version: counter(version),
            enc: crate::caller::b64(enc),
            ciphertext: crate::caller::b64(ciphertext),
        };
        sealed.push((
            ConfigSubject::Keys(tenant.clone(), edge),
            state.signer.sign(&document)?,
        ));
    }
    Ok(sealed)
}

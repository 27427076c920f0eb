//! Signs what changed and publishes it, in the order of the changes; then heartbeats.
//!
//! The outbox names objects, not documents: the publisher signs their present state, so a row that is published
//! twice (after a crash between publishing and deleting) does no harm. A heartbeat goes out only when the outbox
//! is empty: an edge that has it has everything before it.
//!
//! One process publishes at a time: each step holds an advisory lock in the transaction that it reads in. Without it,
//! an older state, read by one process, could overwrite the newer one that another has just published.
//!
//! A row that can't be made into a document (an edge with a bad key, a configuration that is too large) is logged and
//! left out: it must not keep others from theirs. Its own edges see a heartbeat that they can't reach, and refuse.
//!
//! What has expired is purged, from Postgres and from the stream, with one exception: the revocation that has the
//! tenant's current number stays for ever. An edge that starts anew learns from it which number it has reached; without
//! it, it could not tell "there was never more" from "I have missed some".

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
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long a change may wait if the wake-up was missed (another control process made it).
const POLL: Duration = Duration::from_millis(500);
const ROWS_MAX: i64 = 100;
/// How long one turn publishes changes before those who have theirs hear that they do.
const DRAIN: Duration = Duration::from_secs(1);
/// Of the outbox, at most so many rows are looked at to find whose turn it is.
const LOOKED_AT_MAX: i64 = 10_000;
/// Time between two purges of what has expired.
const PURGE_INTERVAL: Duration = Duration::from_secs(60);
/// What has expired is kept so long, for edges whose clock is behind ours.
const EXPIRED_KEPT_S: i64 = 300;
/// Key of the advisory lock that the one publishing process holds ("proctor" as a number).
const PUBLISHER_LOCK: i64 = 0x70_72_6f_63_74_6f_72;

#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error("control's data")]
    Control(#[from] ControlError),
    #[error("the streams")]
    Streams(#[from] proctor_runtime::subjects::StreamsError),
    #[error("NATS did not take a message")]
    Publish(#[from] async_nats::jetstream::context::PublishError),
    #[error("NATS did not give its stream")]
    Stream(#[from] async_nats::jetstream::context::GetStreamError),
    #[error("NATS did not purge a subject")]
    Purge(#[from] async_nats::jetstream::stream::PurgeError),
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
    last_purge: Option<Instant>,
}

/// How a turn ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nothing is left to do.
    Whole,
    /// There is more in the outbox.
    Cut,
}

/// What a drain came to.
struct Drained {
    /// Whether anything was published.
    any: bool,
    turn: Turn,
}

/// What is done to a subject of the stream.
enum Change {
    Document(String),
    /// There is nothing there any more.
    Purge,
}

/// Publishes until `shutdown`.
pub(crate) async fn run(state: Arc<State>, nats: async_nats::Client, shutdown: CancellationToken) {
    let mut publisher = Publisher {
        state,
        jetstream: jetstream::new(nats),
        filled: None,
        last_heartbeat: None,
        last_purge: None,
    };
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    loop {
        let pause = match publisher.turn().await {
            Ok(Turn::Whole) => {
                backoff.reset();
                POLL.min(publisher.state.config.heartbeat_interval)
            }
            Ok(Turn::Cut) => Duration::ZERO,
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
    async fn turn(&mut self) -> Result<Turn, PublishError> {
        let present = incarnation(&self.jetstream, CONFIG_STREAM).await?;
        if present.is_none() || present != self.filled {
            // Under the lock: of two that make the same stream at once, nats-server may damage it.
            let Some(tx) = self.locked().await? else {
                return Ok(Turn::Whole);
            };
            ensure_streams(&self.jetstream, 1).await?;
            // Asked before: a stream that is lost and made again while we fill it is not full.
            let present = incarnation(&self.jetstream, CONFIG_STREAM).await?;
            self.fill(tx).await?;
            self.filled = present;
        }
        let Some(Drained { any, turn }) = self.drain().await? else {
            return Ok(Turn::Whole);
        };
        let due = |last: Option<Instant>, interval| last.is_none_or(|at| at.elapsed() >= interval);
        let news = any && turn == Turn::Whole;
        if news || due(self.last_heartbeat, self.state.config.heartbeat_interval) {
            if !self.heartbeats().await? {
                return Ok(Turn::Whole);
            }
            self.last_heartbeat = Some(Instant::now());
        }
        if due(self.last_purge, PURGE_INTERVAL) && self.purge_expired().await? {
            self.last_purge = Some(Instant::now());
        }
        Ok(turn)
    }

    /// A transaction that holds the publisher's lock; `None` while another process has it. It is to be committed even
    /// where it only reads: a dropped one is rolled back some time later, and holds the lock until then.
    async fn locked(&self) -> Result<Option<PlatformTx>, PublishError> {
        let mut tx = self.state.store.platform().await?;
        let locked: bool = sqlx::query_scalar("select pg_try_advisory_xact_lock($1)")
            .bind(PUBLISHER_LOCK)
            .fetch_one(&mut *tx)
            .await?;
        Ok(locked.then_some(tx))
    }

    /// Publishes everything that is current.
    async fn fill(&self, mut tx: PlatformTx) -> Result<(), PublishError> {
        let tenants: Vec<String> = sqlx::query_scalar("select tenant from control.tenants")
            .fetch_all(&mut *tx)
            .await?;
        for tenant in tenants {
            for (kind, query) in [
                (
                    "revocation",
                    "select seq::text from control.revocations where tenant = $1 and (until > $2
                         or seq = (select revocation_seq from control.tenants where tenant = $1)) order by seq",
                ),
                (
                    "intent",
                    "select id from control.intents where tenant = $1 and expires_at > $2 order by id",
                ),
            ] {
                let objects: Vec<String> = sqlx::query_scalar(query)
                    .bind(&tenant)
                    .bind(database_time(self.state.clock.now()))
                    .fetch_all(&mut *tx)
                    .await?;
                for object in objects {
                    self.publish(&mut tx, &tenant, kind, &object).await?;
                }
            }
            self.publish(&mut tx, &tenant, "kill", "").await?;
            self.publish(&mut tx, &tenant, "keys", "").await?;
            self.publish(&mut tx, &tenant, "config", "").await?;
        }
        let platform = TenantId::platform();
        self.publish(&mut tx, platform.as_str(), "kill", "").await?;
        let edges: Vec<String> = sqlx::query_scalar("select id from control.edges")
            .fetch_all(&mut *tx)
            .await?;
        for edge in edges {
            self.publish(&mut tx, platform.as_str(), "assignment", &edge)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Publishes what the outbox names, for a while. `None`: it is another process's turn.
    async fn drain(&mut self) -> Result<Option<Drained>, PublishError> {
        let began = Instant::now();
        let mut any = false;
        loop {
            if began.elapsed() >= DRAIN {
                let turn = Turn::Cut;
                return Ok(Some(Drained { any, turn }));
            }
            let Some(mut tx) = self.locked().await? else {
                return Ok(None);
            };
            let rows = next_rows(&mut tx).await?;
            if rows.is_empty() {
                tx.commit().await?;
                let turn = Turn::Whole;
                return Ok(Some(Drained { any, turn }));
            }
            let mut done = HashSet::new();
            let mut ids: Vec<i64> = Vec::with_capacity(rows.len());
            for row in &rows {
                let (tenant, kind, object): (String, String, String) = (
                    row.try_get("tenant")?,
                    row.try_get("kind")?,
                    row.try_get("object")?,
                );
                // The present state of each object, once, however often it changed.
                if done.insert((tenant.clone(), kind.clone(), object.clone())) {
                    self.publish(&mut tx, &tenant, &kind, &object).await?;
                }
                ids.push(row.try_get("id")?);
            }
            tracing::debug!(rows = ids.len(), "published");
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
        tenant: &str,
        kind: &str,
        object: &str,
    ) -> Result<(), PublishError> {
        let changes = match documents(&self.state, tx, tenant, kind, object).await {
            Ok(changes) => changes,
            Err(error) if error.is_the_databases() => return Err(error.into()),
            Err(error) => {
                let cause = std::error::Error::source(&error)
                    .map(ToString::to_string)
                    .unwrap_or_default();
                tracing::error!(tenant, kind, object, %error, cause, "a document can't be made and is not published");
                metrics::counter!("proctor_control_documents_failed_total").increment(1);
                return Ok(());
            }
        };
        for (subject, change) in changes {
            match change {
                Change::Document(document) => self.send(&subject, document).await?,
                Change::Purge => self.purge(&subject).await?,
            }
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

    async fn purge(&self, subject: &ConfigSubject) -> Result<(), PublishError> {
        let stream = self.jetstream.get_stream_no_info(CONFIG_STREAM).await?;
        stream.purge().filter(subject.to_string()).await?;
        Ok(())
    }

    /// False: it is another process's turn.
    async fn heartbeats(&self) -> Result<bool, PublishError> {
        let Some(mut tx) = self.locked().await? else {
            return Ok(false);
        };
        let now = self.state.clock.now();
        // Counters and emptiness of the outbox are read at one moment: what commits later is of a later heartbeat.
        let rows = sqlx::query(
            "select tenant, config_version, revocation_seq,
                    (select count(*) from control.revocations r where r.tenant = tenants.tenant and r.until > $1) as alive,
                    coalesce((select version from control.kill_versions k where k.tenant = tenants.tenant), 0) as kill,
                    coalesce((select version from control.kill_versions k where k.tenant = $2), 0) as platform_kill
             from control.tenants
             where not exists (select from control.outbox where outbox.tenant in (tenants.tenant, $2))",
        )
        .bind(database_time(now))
        .bind(TenantId::platform().as_str())
        .fetch_all(&mut *tx)
        .await?;
        for row in rows {
            let Ok(tenant) = row.try_get::<String, _>("tenant")?.parse::<TenantId>() else {
                continue;
            };
            let heartbeat = Heartbeat {
                at: now,
                config_version: counter(row.try_get("config_version")?),
                revocation_seq: counter(row.try_get("revocation_seq")?),
                revocations: counter(row.try_get("alive")?),
                kill_version: counter(row.try_get("kill")?),
                platform_kill_version: counter(row.try_get("platform_kill")?),
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
        tx.commit().await?;
        Ok(true)
    }

    /// Forgets revocations and intents that have expired: first in the stream, then in the database, so that what a
    /// crash leaves in between is purged again. False: it is another process's turn.
    async fn purge_expired(&self) -> Result<bool, PublishError> {
        let before = database_time(self.state.clock.now().plus_secs(-EXPIRED_KEPT_S));
        for (expired, delete) in [
            (
                "select tenant, seq::text as object from control.revocations r
                 where until < $1 and seq <> (select revocation_seq from control.tenants t where t.tenant = r.tenant)
                 order by tenant, seq limit $2",
                "delete from control.revocations where tenant = $1 and seq::text = $2",
            ),
            (
                "select tenant, id as object from control.intents where expires_at < $1 order by tenant, id limit $2",
                "delete from control.intents where tenant = $1 and id = $2",
            ),
        ] {
            loop {
                let Some(mut tx) = self.locked().await? else {
                    return Ok(false);
                };
                let rows = sqlx::query(expired)
                    .bind(before)
                    .bind(ROWS_MAX)
                    .fetch_all(&mut *tx)
                    .await?;
                if rows.is_empty() {
                    tx.commit().await?;
                    break;
                }
                for row in rows {
                    let (tenant, object): (String, String) =
                        (row.try_get("tenant")?, row.try_get("object")?);
                    if let Some(subject) = expired_subject(&tenant, &object) {
                        self.purge(&subject).await?;
                    }
                    sqlx::query(delete)
                        .bind(tenant)
                        .bind(object)
                        .execute(&mut *tx)
                        .await?;
                }
                tx.commit().await?;
            }
        }
        Ok(true)
    }
}

/// The rows of the outbox that are published next. What an operator stops or takes back waits behind nothing else: such a
/// document says all of it, whatever came before. Otherwise each tenant has its turn, with its own changes in their order.
async fn next_rows(tx: &mut PlatformTx) -> Result<Vec<sqlx::postgres::PgRow>, PublishError> {
    let rows = sqlx::query(
        "select id, tenant, kind, object from
             (select *, row_number() over (partition by tenant, urgent order by id) as turn from
                 ((select id, tenant, kind, object, true as urgent from control.outbox
                   where kind in ('kill', 'revocation') order by id limit $2)
                  union all
                  (select id, tenant, kind, object, false from control.outbox
                   where kind not in ('kill', 'revocation') order by id limit $2)) as waiting) as turns
         order by urgent desc, turn, id limit $1",
    )
    .bind(ROWS_MAX)
    .bind(LOOKED_AT_MAX)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows)
}

/// Where an expired revocation (a number) or intent (`int_…`) was published.
fn expired_subject(tenant: &str, object: &str) -> Option<ConfigSubject> {
    let tenant: TenantId = tenant.parse().ok()?;
    if let Ok(seq) = object.parse() {
        return Some(ConfigSubject::Revocation(tenant, seq));
    }
    Some(ConfigSubject::Intent(tenant, object.parse().ok()?))
}

/// The signed documents that an outbox row stands for; none if the object is gone.
async fn documents(
    state: &State,
    tx: &mut PlatformTx,
    tenant: &str,
    kind: &str,
    object: &str,
) -> Result<Vec<(ConfigSubject, Change)>, ControlError> {
    let tenant: &TenantId = &tenant.parse()?;
    let document = match kind {
        "keys" => return sealed_keys(state, tx, tenant, object).await,
        "config" => load_config(tx, tenant, state.clock.now())
            .await?
            .map(|config| {
                let subject = ConfigSubject::Config(tenant.clone());
                Ok::<_, ControlError>((subject, state.signer.sign(&config)?))
            })
            .transpose()?,
        "intent" => crate::store::intents::get(tx, tenant.as_str(), object)
            .await?
            .map(|document| {
                let intent: Intent = serde_json::from_value(document)?;
                let subject = ConfigSubject::Intent(tenant.clone(), intent.id.clone());
                Ok::<_, ControlError>((subject, state.signer.sign(&intent)?))
            })
            .transpose()?,
        "revocation" => revocation(state, tx, tenant, object).await?,
        "kill" => crate::kill::load(tx, tenant, state.clock.now())
            .await?
            .map(|switches| {
                let subject = ConfigSubject::Kill(tenant.clone());
                Ok::<_, ControlError>((subject, state.signer.sign(&switches)?))
            })
            .transpose()?,
        "assignment" => {
            let edge: EdgeId = object.parse()?;
            crate::enrol::load_assignment(tx, state, &edge)
                .await?
                .map(|assignment| {
                    let signed = state.signer.sign(&assignment)?;
                    Ok::<_, ControlError>((ConfigSubject::Assignment(edge), signed))
                })
                .transpose()?
        }
        _ => None,
    };
    Ok(document
        .map(|(subject, document)| (subject, Change::Document(document)))
        .into_iter()
        .collect())
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

/// The tenant's keys, sealed to `edge` (empty: to each edge that serves it). For an edge that does not serve the
/// tenant any more, what was sealed to it is purged.
async fn sealed_keys(
    state: &State,
    tx: &mut PlatformTx,
    tenant: &TenantId,
    edge: &str,
) -> Result<Vec<(ConfigSubject, Change)>, ControlError> {
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
    let edges = sqlx::query(
        "select id, sealing_key from control.edges where $1 = any(tenants) and $2 in ('', id)",
    )
    .bind(tenant.as_str())
    .bind(edge)
    .fetch_all(&mut **tx)
    .await?;
    if edges.is_empty() && !edge.is_empty() {
        let subject = ConfigSubject::Keys(tenant.clone(), edge.parse()?);
        return Ok(vec![(subject, Change::Purge)]);
    }
    let mut changes = Vec::with_capacity(edges.len());
    for row in edges {
        let edge: String = row.try_get("id")?;
        let key: Vec<u8> = row.try_get("sealing_key")?;
        match seal_to(state, tenant, &edge, &key, &clear, counter(version)) {
            Ok((subject, document)) => changes.push((subject, Change::Document(document))),
            // The tenant's other edges still get theirs.
            Err(error) => {
                tracing::error!(%tenant, edge, %error, "keys can't be sealed to an edge")
            }
        }
    }
    Ok(changes)
}

fn seal_to(
    state: &State,
    tenant: &TenantId,
    edge: &str,
    public_key: &[u8],
    clear: &[u8],
    version: u64,
) -> Result<(ConfigSubject, String), ControlError> {
    let edge: EdgeId = edge.parse()?;
    let aad = token_keys_aad(tenant, &edge);
    let bytes = seal::seal(public_key, TOKEN_KEYS_INFO, &aad, clear)?;
    let (enc, ciphertext) = bytes.split_at_checked(32).ok_or(ControlError::Decrypt)?;
    let document = SealedKeys {
        tenant: tenant.clone(),
        edge: edge.clone(),
        version,
        enc: crate::caller::b64(enc),
        ciphertext: crate::caller::b64(ciphertext),
    };
    let signed = state.signer.sign(&document)?;
    Ok((ConfigSubject::Keys(tenant.clone(), edge), signed))
}

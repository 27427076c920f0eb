//! The signed documents, built from the present state of what they are about.

use super::Item;
use crate::State;
use crate::caller::b64;
use crate::enrol::EdgeRow;
use crate::error::ControlError;
use crate::store::tenants::{counter, database_time, load_config, timestamp};
use crate::store::intents;
use proctor_model::config::{Assignment, Revocation, SealedKeys};
use proctor_model::ids::IntentId;
use proctor_model::intent::Intent;
use proctor_model::{TenantId, Timestamp};
use proctor_runtime::seal::{self, TOKEN_KEYS_INFO, token_keys_aad};
use proctor_runtime::subjects::ConfigSubject;
use sqlx::{PgConnection, Row};

/// Length of the encapsulated key in front of a sealed message.
const ENCAPSULATED_BYTES: usize = 32;

/// A subject and what is to be its message; `None`: it is to be emptied.
pub(super) type Message = (ConfigSubject, Option<String>);

/// What is to be published of an item: nothing, if it is gone or over.
pub(super) async fn build(tx: &mut PgConnection, state: &State, item: &Item) -> Result<Vec<Message>, ControlError> {
    match item {
        Item::Config(tenant) => config(tx, state, tenant).await,
        Item::Keys(tenant, edge) => keys(tx, state, tenant, edge.as_deref()).await,
        Item::Intent(tenant, id) => intent(tx, state, tenant, id).await,
        Item::Revocation(tenant, seq) => revocation(tx, state, tenant, *seq).await,
        Item::Assignment(edge) => assignment(tx, state, edge).await,
    }
}

async fn config(tx: &mut PgConnection, state: &State, tenant: &TenantId) -> Result<Vec<Message>, ControlError> {
    let Some(config) = load_config(tx, tenant, state.clock.now()).await? else { return Ok(Vec::new()) };
    Ok(vec![(ConfigSubject::Config(tenant.clone()), Some(state.signer.sign(&config)?))])
}

async fn keys(
    tx: &mut PgConnection, state: &State, tenant: &TenantId, only: Option<&str>,
) -> Result<Vec<Message>, ControlError> {
    let version: Option<i64> = sqlx::query_scalar("select keys_version from control.tenants where tenant = $1")
        .bind(tenant.as_str())
        .fetch_optional(&mut *tx)
        .await?;
    let keys = crate::keys::load(tx, state, tenant, state.clock.now()).await?;
    let (Some(version), Some(keys)) = (version, keys) else { return Ok(Vec::new()) };
    let plaintext = zeroize::Zeroizing::new(serde_json::to_vec(&keys)?);
    let rows = sqlx::query("select * from control.edges where $1 = any(tenants) and ($2::text is null or id = $2)")
        .bind(tenant.as_str())
        .bind(only)
        .fetch_all(tx)
        .await?;
    let mut messages = Vec::with_capacity(rows.len());
    for row in &rows {
        let edge = EdgeRow::read(row)?;
        let aad = token_keys_aad(tenant, &edge.id);
        let sealed = seal::seal(&edge.sealing_key, TOKEN_KEYS_INFO, &aad, &plaintext)?;
        let (enc, ciphertext) = sealed.split_at_checked(ENCAPSULATED_BYTES).ok_or(seal::SealError::PublicKey)?;
        let document = SealedKeys {
            tenant: tenant.clone(),
            edge: edge.id.clone(),
            version: counter(version),
            enc: b64(enc),
            ciphertext: b64(ciphertext),
        };
        messages.push((ConfigSubject::Keys(tenant.clone(), edge.id), Some(state.signer.sign(&document)?)));
    }
    if let (Some(edge), true) = (only, messages.is_empty()) {
        // It does not serve this tenant any more.
        messages.push((ConfigSubject::Keys(tenant.clone(), edge.parse()?), None));
    }
    Ok(messages)
}

async fn intent(
    tx: &mut PgConnection, state: &State, tenant: &TenantId, id: &str,
) -> Result<Vec<Message>, ControlError> {
    let Some(document) = intents::get(tx, tenant.as_str(), id).await? else { return Ok(Vec::new()) };
    let intent: Intent = serde_json::from_value(document)?;
    if intent.expires_at <= state.clock.now() {
        return Ok(Vec::new());
    }
    Ok(vec![(ConfigSubject::Intent(tenant.clone(), intent.id.clone()), Some(state.signer.sign(&intent)?))])
}

async fn revocation(
    tx: &mut PgConnection, state: &State, tenant: &TenantId, seq: i64,
) -> Result<Vec<Message>, ControlError> {
    let row =
        sqlx::query("select revocation_id, revoked_at, until from control.revocations where tenant = $1 and seq = $2")
            .bind(tenant.as_str())
            .bind(seq)
            .fetch_optional(tx)
            .await?;
    let Some(row) = row else { return Ok(Vec::new()) };
    let document = Revocation {
        tenant: tenant.clone(),
        seq: counter(seq),
        revocation_id: row.try_get::<String, _>("revocation_id")?.parse()?,
        revoked_at: timestamp(row.try_get("revoked_at")?),
        until: timestamp(row.try_get("until")?),
    };
    Ok(vec![(ConfigSubject::Revocation(tenant.clone(), counter(seq)), Some(state.signer.sign(&document)?))])
}

async fn assignment(tx: &mut PgConnection, state: &State, edge: &str) -> Result<Vec<Message>, ControlError> {
    let row = sqlx::query("select * from control.edges where id = $1").bind(edge).fetch_optional(&mut *tx).await?;
    let Some(row) = row else { return Ok(Vec::new()) };
    let edge = EdgeRow::read(&row)?;
    let document = Assignment {
        edge: edge.id.clone(),
        version: counter(edge.version),
        deployment: state.config.deployment.clone(),
        certificate: edge.certificate(state)?,
        tenants: edge.tenants,
        ledger_keys: crate::audit::ledger_keys(tx).await?,
    };
    Ok(vec![(ConfigSubject::Assignment(edge.id), Some(state.signer.sign(&document)?))])
}

/// All that a new edge would need to know, assignments last.
///
/// A tenant's last revocation is part of it even when it is over: heartbeats name its number.
pub(super) async fn everything(tx: &mut PgConnection, now: Timestamp) -> Result<Vec<Item>, ControlError> {
    let mut items = Vec::new();
    let tenants: Vec<String> =
        sqlx::query_scalar("select tenant from control.tenants order by tenant").fetch_all(&mut *tx).await?;
    for tenant in tenants {
        let tenant: TenantId = tenant.parse()?;
        items.extend([Item::Config(tenant.clone()), Item::Keys(tenant, None)]);
    }
    let rows = sqlx::query("select tenant, id from control.intents where expires_at > $1 order by tenant, id")
        .bind(database_time(now))
        .fetch_all(&mut *tx)
        .await?;
    for row in rows {
        items.push(Item::Intent(row.try_get::<String, _>("tenant")?.parse()?, row.try_get("id")?));
    }
    let rows = sqlx::query(
        "select r.tenant, r.seq from control.revocations r join control.tenants t using (tenant)
         where r.until > $1 or r.seq = t.revocation_seq order by r.tenant, r.seq",
    )
    .bind(database_time(now))
    .fetch_all(&mut *tx)
    .await?;
    for row in rows {
        items.push(Item::Revocation(row.try_get::<String, _>("tenant")?.parse()?, row.try_get("seq")?));
    }
    let edges: Vec<String> = sqlx::query_scalar("select id from control.edges order by id").fetch_all(tx).await?;
    items.extend(edges.into_iter().map(Item::Assignment));
    Ok(items)
}

/// Subjects of what ended after `since` and not later than `now`.
pub(super) async fn over(
    tx: &mut PgConnection, since: Timestamp, now: Timestamp,
) -> Result<Vec<ConfigSubject>, ControlError> {
    let mut subjects = Vec::new();
    let rows = sqlx::query("select tenant, id from control.intents where expires_at > $1 and expires_at <= $2")
        .bind(database_time(since))
        .bind(database_time(now))
        .fetch_all(&mut *tx)
        .await?;
    for row in rows {
        let id: IntentId = row.try_get::<String, _>("id")?.parse()?;
        subjects.push(ConfigSubject::Intent(row.try_get::<String, _>("tenant")?.parse()?, id));
    }
    let rows = sqlx::query(
        "select r.tenant, r.seq from control.revocations r join control.tenants t using (tenant)
         where r.until > $1 and r.until <= $2 and r.seq < t.revocation_seq",
    )
    .bind(database_time(since))
    .bind(database_time(now))
    .fetch_all(tx)
    .await?;
    for row in rows {
        let tenant = row.try_get::<String, _>("tenant")?.parse()?;
        subjects.push(ConfigSubject::Revocation(tenant, counter(row.try_get("seq")?)));
    }
    Ok(subjects)
}

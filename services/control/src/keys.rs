//! Token keys of the tenants: made here, encrypted at rest under the master key, rotated with an overlap.

use crate::State;
use crate::caller::Caller;
use crate::cipher::{decrypt_key, encrypt, purpose};
use crate::error::ControlError;
use crate::store::TenantTx;
use crate::store::tenants::{check_fits, database_time, timestamp};
use proctor_model::config::{TokenKey, TokenKeys};
use proctor_model::principal::Right;
use proctor_model::{TenantId, Timestamp};
use proctor_proto::v1;
use sqlx::{PgConnection, Row};
use tonic::Status;

/// Longest overlap, seconds: the longest life of a token.
const OVERLAP_S_MAX: u32 = 90 * 24 * 3600;

/// A fresh, encrypted key of argument digests.
pub(crate) fn new_digest_key(state: &State, tenant: &TenantId) -> Result<Vec<u8>, ControlError> {
    encrypt(
        state,
        &purpose(tenant, "digest"),
        &state.random.array::<32>()?,
    )
}

/// Makes a new active key.
pub(crate) async fn create(
    tx: &mut TenantTx,
    state: &State,
) -> Result<v1::TokenKeyInfo, ControlError> {
    let tenant = tx.tenant().clone();
    let kid = format!("k_{}", hex::encode(state.random.array::<8>()?));
    let secret = encrypt(state, &purpose(&tenant, &kid), &state.random.array::<32>()?)?;
    sqlx::query("insert into control.token_keys (tenant, kid, secret) values ($1, $2, $3)")
        .bind(tenant.as_str())
        .bind(&kid)
        .bind(secret)
        .execute(&mut **tx)
        .await?;
    tx.keys_changed().await?;
    let created_at = state.clock.now().to_string();
    Ok(v1::TokenKeyInfo {
        kid,
        state: "active".to_owned(),
        created_at,
        not_after: String::new(),
    })
}

pub(crate) async fn rotate(
    state: &State,
    caller: &Caller,
    request: v1::RotateKeyRequest,
) -> Result<v1::TokenKeyInfo, ControlError> {
    let v1::RotateKeyRequest { tenant, overlap_s } = request;
    let tenant = caller.tenant(&tenant, Right::RotateKeys)?;
    if overlap_s > OVERLAP_S_MAX {
        return Err(Status::invalid_argument(format!("overlap_s: at most {OVERLAP_S_MAX}")).into());
    }
    let mut tx = state.store.tenant(&tenant).await?;
    tx.config_changed().await?;
    let until = state.clock.now().plus_secs(overlap_s.into());
    sqlx::query(
        "update control.token_keys set not_after = $2 where tenant = $1 and not_after is null",
    )
    .bind(tenant.as_str())
    .bind(database_time(until))
    .execute(&mut *tx)
    .await?;
    let key = create(&mut tx, state).await?;
    check_fits(&mut tx, state).await?;
    crate::audit::record(&mut tx, state, &tenant, caller.id(), "key.rotate", &key.kid).await?;
    tx.commit().await?;
    state.changed.notify_one();
    Ok(key)
}

pub(crate) async fn list(
    state: &State,
    caller: &Caller,
    tenant: &str,
) -> Result<v1::ListKeysResponse, ControlError> {
    let tenant = caller.tenant(tenant, Right::ReadConfig)?;
    let mut tx = state.store.tenant(&tenant).await?;
    let rows = sqlx::query("select kid, created_at, not_after from control.token_keys where tenant = $1 order by created_at")
        .bind(tenant.as_str())
        .fetch_all(&mut *tx)
        .await?;
    let now = state.clock.now();
    let mut keys = Vec::with_capacity(rows.len());
    for row in rows {
        let not_after = row.try_get::<Option<_>, _>("not_after")?.map(timestamp);
        let standing = match not_after {
            None => "active",
            Some(end) if end > now => "retiring",
            Some(_) => "retired",
        };
        keys.push(v1::TokenKeyInfo {
            kid: row.try_get("kid")?,
            state: standing.to_owned(),
            created_at: timestamp(row.try_get("created_at")?).to_string(),
            not_after: not_after.map(|at| at.to_string()).unwrap_or_default(),
        });
    }
    Ok(v1::ListKeysResponse { keys })
}

/// The key of argument digests, in clear; none if there is no such tenant.
pub(crate) async fn digest_key(
    tx: &mut PgConnection,
    state: &State,
    tenant: &TenantId,
) -> Result<Option<[u8; 32]>, ControlError> {
    let digest_key: Option<Vec<u8>> =
        sqlx::query_scalar("select digest_key from control.tenants where tenant = $1")
            .bind(tenant.as_str())
            .fetch_optional(&mut *tx)
            .await?;
    let decrypted = |key: Vec<u8>| decrypt_key(state, &purpose(tenant, "digest"), &key);
    digest_key.map(decrypted).transpose()
}

/// All keys that verify, in clear: for sealing to an edge and for minting, never for anything else.
pub(crate) async fn load(
    tx: &mut PgConnection,
    state: &State,
    tenant: &TenantId,
    now: Timestamp,
) -> Result<Option<TokenKeys>, ControlError> {
    let Some(digest_key) = digest_key(&mut *tx, state, tenant).await? else {
        return Ok(None);
    };
    let rows = sqlx::query(
        "select kid, secret, not_after from control.token_keys
         where tenant = $1 and (not_after is null or not_after > $2) order by not_after desc nulls first",
    )
    .bind(tenant.as_str())
    .bind(database_time(now))
    .fetch_all(&mut *tx)
    .await?;
    let mut keys = Vec::with_capacity(rows.len());
    for row in rows {
        let kid: String = row.try_get("kid")?;
        keys.push(TokenKey {
            key: decrypt_key(state, &purpose(tenant, &kid), row.try_get("secret")?)?,
            kid: kid.parse()?,
            not_after: row.try_get::<Option<_>, _>("not_after")?.map(timestamp),
        });
    }
    Ok(Some(TokenKeys {
        keys,
        digest_key,
        secrets: crate::secrets::load(tx, state, tenant).await?,
    }))
}

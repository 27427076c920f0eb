//! API keys: SHA-256 at rest.

use super::holders;
use super::tenants::timestamp;
use crate::State;
use crate::caller::b64;
use crate::error::ControlError;
use proctor_model::principal::Role;
use proctor_model::{TenantId, UserId};
use proctor_proto::v1;
use proctor_runtime::Secret;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

/// What an API key begins with.
const PREFIX: &str = "pak_";

/// What a stored key says.
pub(crate) struct Known {
    pub(crate) id: String,
    pub(crate) tenant: TenantId,
    pub(crate) roles: Vec<Role>,
}

pub(crate) fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

fn wire(row: &PgRow) -> Result<v1::ApiKey, ControlError> {
    let holder: Option<String> = row.try_get("holder")?;
    Ok(v1::ApiKey {
        id: row.try_get("id")?,
        tenant: row.try_get("tenant")?,
        name: row.try_get("name")?,
        roles: row.try_get("roles")?,
        created_at: timestamp(row.try_get("created_at")?).to_string(),
        holder: holder.unwrap_or_default(),
    })
}

/// Makes a key; the secret is returned once and stored nowhere.
pub(crate) async fn create(
    tx: &mut PgConnection,
    state: &State,
    tenant: &TenantId,
    name: &str,
    roles: &[Role],
    holder: Option<&UserId>,
) -> Result<(v1::ApiKey, String), ControlError> {
    let secret = format!("{PREFIX}{}", b64(&state.random.array::<32>()?));
    let id = format!("key_{}", state.random.uuid_v7(state.clock.now())?.simple());
    let roles: Vec<_> = roles.iter().map(|role| role.as_str().to_owned()).collect();
    let row = sqlx::query(
        "insert into control.api_keys (tenant, id, name, roles, secret_sha256) values ($1, $2, $3, $4, $5)
         returning *, $6::text as holder",
    )
    .bind(tenant.as_str())
    .bind(&id)
    .bind(name)
    .bind(roles)
    .bind(hash(&secret))
    .bind(holder.map(UserId::as_str))
    .fetch_one(&mut *tx)
    .await?;
    if let Some(holder) = holder {
        holders::note(tx, tenant, &id, holder).await?;
    }
    Ok((wire(&row)?, secret))
}

/// Whose key this is.
pub(crate) async fn find(
    tx: &mut PgConnection,
    secret: &str,
) -> Result<Option<Known>, ControlError> {
    let row =
        sqlx::query("select id, tenant, roles from control.api_keys where secret_sha256 = $1")
            .bind(hash(secret))
            .fetch_optional(tx)
            .await?;
    let known = |row: PgRow| -> Result<Known, ControlError> {
        let roles: Vec<String> = row.try_get("roles")?;
        Ok(Known {
            id: row.try_get("id")?,
            tenant: row.try_get::<String, _>("tenant")?.parse()?,
            roles: parse(&roles)?,
        })
    };
    row.map(known).transpose()
}

pub(crate) async fn list(
    tx: &mut PgConnection,
    tenant: &TenantId,
    after: &str,
    limit: i64,
) -> Result<Vec<v1::ApiKey>, ControlError> {
    let rows = sqlx::query(
        "select k.*, h.holder from control.api_keys k
         left join control.key_holders h on h.tenant = k.tenant and h.key = k.id
         where k.tenant = $1 and k.id > $2 order by k.id limit $3",
    )
    .bind(tenant.as_str())
    .bind(after)
    .bind(limit)
    .fetch_all(tx)
    .await?;
    rows.iter().map(wire).collect()
}

/// The roles of the key that is deleted; `None`: there was no such key.
pub(crate) async fn delete(
    tx: &mut PgConnection,
    tenant: &TenantId,
    id: &str,
) -> Result<Option<Vec<Role>>, ControlError> {
    let deleted: Option<Vec<String>> = sqlx::query_scalar(
        "delete from control.api_keys where tenant = $1 and id = $2 returning roles",
    )
    .bind(tenant.as_str())
    .bind(id)
    .fetch_optional(tx)
    .await?;
    deleted.map(|roles| parse(&roles)).transpose()
}

fn parse(roles: &[String]) -> Result<Vec<Role>, ControlError> {
    Ok(roles
        .iter()
        .map(|role| role.parse())
        .collect::<Result<_, _>>()?)
}

/// The first platform administrator's key, if there is none yet.
pub(crate) async fn bootstrap(state: &State) -> Result<Option<Secret>, ControlError> {
    let mut tx = state.store.platform().await?;
    // Two processes that start at once make one key.
    sqlx::query("lock table control.api_keys in exclusive mode")
        .execute(&mut *tx)
        .await?;
    let platform = TenantId::platform();
    if !list(&mut tx, &platform, "", 1).await?.is_empty() {
        return Ok(None);
    }
    let (key, secret) = create(
        &mut tx,
        state,
        &platform,
        "first administrator",
        &[Role::PlatformAdmin],
        None,
    )
    .await?;
    crate::audit::record(
        &mut tx,
        state,
        &platform,
        "bootstrap",
        "api_key.create",
        &key.id,
    )
    .await?;
    tx.commit().await?;
    Ok(Some(Secret::from(secret)))
}

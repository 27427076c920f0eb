//! Credentials for upstreams, encrypted.

use super::TenantTx;
use super::tenants::timestamp;
use crate::error::ControlError;
use proctor_model::{SecretName, TenantId};
use proctor_proto::v1;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

/// One as it is stored.
pub(crate) struct Stored {
    pub(crate) name: SecretName,
    pub(crate) hosts: Vec<String>,
    pub(crate) value: Vec<u8>,
}

fn wire(row: &PgRow) -> Result<v1::SecretInfo, ControlError> {
    Ok(v1::SecretInfo {
        name: row.try_get("name")?,
        hosts: row.try_get("hosts")?,
        updated_at: timestamp(row.try_get("updated_at")?).to_string(),
        updated_by: row.try_get("updated_by")?,
    })
}

pub(crate) async fn put(
    tx: &mut TenantTx,
    name: &SecretName,
    hosts: &[String],
    value: &[u8],
    by: &str,
) -> Result<v1::SecretInfo, ControlError> {
    let tenant = tx.tenant().clone();
    let row = sqlx::query(
        "insert into control.secrets (tenant, name, hosts, value, updated_by) values ($1, $2, $3, $4, $5)
         on conflict (tenant, name) do update
         set hosts = excluded.hosts, value = excluded.value, updated_by = excluded.updated_by, updated_at = now()
         returning name, hosts, updated_at, updated_by",
    )
    .bind(tenant.as_str())
    .bind(name.as_str())
    .bind(hosts)
    .bind(value)
    .bind(by)
    .fetch_one(&mut **tx)
    .await?;
    wire(&row)
}

pub(crate) async fn count(tx: &mut TenantTx) -> Result<usize, ControlError> {
    let tenant = tx.tenant().clone();
    let count: i64 = sqlx::query_scalar("select count(*) from control.secrets where tenant = $1")
        .bind(tenant.as_str())
        .fetch_one(&mut **tx)
        .await?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

pub(crate) async fn list(
    tx: &mut TenantTx,
    after: &str,
    limit: i64,
) -> Result<Vec<v1::SecretInfo>, ControlError> {
    let tenant = tx.tenant().clone();
    let rows = sqlx::query(
        "select name, hosts, updated_at, updated_by from control.secrets
         where tenant = $1 and name > $2 order by name limit $3",
    )
    .bind(tenant.as_str())
    .bind(after)
    .bind(limit)
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(wire).collect()
}

pub(crate) async fn delete(tx: &mut TenantTx, name: &str) -> Result<bool, ControlError> {
    let tenant = tx.tenant().clone();
    let deleted = sqlx::query("delete from control.secrets where tenant = $1 and name = $2")
        .bind(tenant.as_str())
        .bind(name)
        .execute(&mut **tx)
        .await?;
    Ok(deleted.rows_affected() > 0)
}

pub(crate) async fn all(
    tx: &mut PgConnection,
    tenant: &TenantId,
) -> Result<Vec<Stored>, ControlError> {
    let rows = sqlx::query(
        "select name, hosts, value from control.secrets where tenant = $1 order by name",
    )
    .bind(tenant.as_str())
    .fetch_all(tx)
    .await?;
    let stored = |row: PgRow| -> Result<Stored, ControlError> {
        Ok(Stored {
            name: row.try_get::<String, _>("name")?.parse()?,
            hosts: row.try_get("hosts")?,
            value: row.try_get("value")?,
        })
    };
    rows.into_iter().map(stored).collect()
}

//! Policy versions: draft, active, inactive.

use super::TenantTx;
use super::tenants::timestamp;
use crate::error::ControlError;
use proctor_proto::v1;
use serde_json::Value;
use sqlx::Row;
use sqlx::postgres::PgRow;
use tonic::Status;

fn wire(row: &PgRow) -> Result<v1::PolicyVersion, ControlError> {
    Ok(v1::PolicyVersion {
        tenant: row.try_get("tenant")?,
        id: row.try_get("id")?,
        version: u32::try_from(row.try_get::<i32, _>("version")?).unwrap_or(0),
        document: serde_json::to_vec(&row.try_get::<Value, _>("document")?)?,
        digest: row.try_get("digest")?,
        state: row.try_get("state")?,
        mode: row.try_get("mode")?,
        created_at: timestamp(row.try_get("created_at")?).to_string(),
        created_by: row.try_get("created_by")?,
    })
}

fn number(version: u32) -> i32 {
    i32::try_from(version).unwrap_or(i32::MAX)
}

/// The number that the next version will have.
pub(crate) async fn next_version(tx: &mut TenantTx, id: &str) -> Result<u32, ControlError> {
    let tenant = tx.tenant().clone();
    let last: Option<i32> = sqlx::query_scalar(
        "select max(version) from control.policies where tenant = $1 and id = $2",
    )
    .bind(tenant.as_str())
    .bind(id)
    .fetch_one(&mut **tx)
    .await?;
    Ok(u32::try_from(last.unwrap_or(0))
        .unwrap_or(0)
        .saturating_add(1))
}

pub(crate) async fn insert(
    tx: &mut TenantTx,
    id: &str,
    version: u32,
    document: Value,
    digest: &str,
    created_by: &str,
) -> Result<v1::PolicyVersion, ControlError> {
    let tenant = tx.tenant().clone();
    let row = sqlx::query(
        "insert into control.policies (tenant, id, version, document, digest, created_by)
         values ($1, $2, $3, $4, $5, $6) returning *",
    )
    .bind(tenant.as_str())
    .bind(id)
    .bind(number(version))
    .bind(document)
    .bind(digest)
    .bind(created_by)
    .fetch_one(&mut **tx)
    .await?;
    wire(&row)
}

pub(crate) async fn get(
    tx: &mut TenantTx,
    id: &str,
    version: u32,
) -> Result<v1::PolicyVersion, ControlError> {
    let tenant = tx.tenant().clone();
    let row = sqlx::query(
        "select * from control.policies where tenant = $1 and id = $2 and version = $3",
    )
    .bind(tenant.as_str())
    .bind(id)
    .bind(number(version))
    .fetch_optional(&mut **tx)
    .await?;
    wire(&row.ok_or_else(|| Status::not_found("no such policy version"))?)
}

pub(crate) async fn list(
    tx: &mut TenantTx,
    after: &str,
    limit: i64,
) -> Result<Vec<v1::PolicyVersion>, ControlError> {
    let tenant = tx.tenant().clone();
    // One row per version: a page may end between two versions of a policy.
    let (id, version) = after.split_once('/').unwrap_or((after, "0"));
    let version: i32 = version
        .parse()
        .map_err(|_| Status::invalid_argument("after: `next` of the page before"))?;
    let rows = sqlx::query(
        "select * from control.policies
         where tenant = $1 and (id > $2 or (id = $2 and version < $3)) order by id, version desc limit $4",
    )
    .bind(tenant.as_str())
    .bind(id)
    .bind(version)
    .bind(limit)
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(wire).collect()
}

/// Makes one version the active one; `None`: none.
pub(crate) async fn activate(
    tx: &mut TenantTx,
    id: &str,
    version: Option<(u32, &str)>,
) -> Result<Option<v1::PolicyVersion>, ControlError> {
    let tenant = tx.tenant().clone();
    let ended = sqlx::query(
        "update control.policies set state = 'inactive' where tenant = $1 and id = $2 and state = 'active'",
    )
    .bind(tenant.as_str())
    .bind(id)
    .execute(&mut **tx)
    .await?;
    let active = match version {
        None if ended.rows_affected() == 0 => {
            return Err(Status::not_found("no such active policy").into());
        }
        None => None,
        Some((version, mode)) => {
            let row = sqlx::query(
                "update control.policies set state = 'active', mode = $4
                 where tenant = $1 and id = $2 and version = $3 returning *",
            )
            .bind(tenant.as_str())
            .bind(id)
            .bind(number(version))
            .bind(mode)
            .fetch_optional(&mut **tx)
            .await?;
            Some(wire(&row.ok_or_else(|| {
                Status::not_found("no such policy version")
            })?)?)
        }
    };
    tx.config_changed().await?;
    Ok(active)
}

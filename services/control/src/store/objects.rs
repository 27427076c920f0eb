//! Agents, tool servers, limits, prices, trusted issuers: documents with a version.

use super::TenantTx;
use super::tenants::counter;
use crate::error::ControlError;
use proctor_proto::v1;
use serde_json::Value;
use sqlx::Row;
use sqlx::postgres::PgRow;
use tonic::Status;

/// The kinds of document.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Agent,
    Server,
    Content,
    /// Ceilings: one document of this kind, [`ONLY`].
    Limits,
    /// Prices: one document of this kind, [`ONLY`].
    Prices,
    /// A trusted identity provider.
    Issuer,
}

/// The id of a document that a tenant has only one of.
pub(crate) const ONLY: &str = "tenant";

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Server => "server",
            Self::Content => "content",
            Self::Limits => "limits",
            Self::Prices => "prices",
            Self::Issuer => "issuer",
        }
    }
}

fn wire(row: &PgRow) -> Result<v1::Document, ControlError> {
    Ok(v1::Document {
        tenant: row.try_get("tenant")?,
        id: row.try_get("id")?,
        document: serde_json::to_vec(&row.try_get::<Value, _>("document")?)?,
        version: counter(row.try_get("version")?),
    })
}

async fn version(tx: &mut TenantTx, kind: Kind, id: &str) -> Result<Option<u64>, ControlError> {
    let tenant = tx.tenant().clone();
    let found: Option<i64> = sqlx::query_scalar(
        "select version from control.objects where tenant = $1 and kind = $2 and id = $3 for update",
    )
    .bind(tenant.as_str())
    .bind(kind.as_str())
    .bind(id)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.map(counter))
}

fn check(found: Option<u64>, expected: u64) -> Result<(), Status> {
    if expected == 0 || found == Some(expected) {
        Ok(())
    } else {
        Err(Status::aborted("the object was changed in the meantime"))
    }
}

/// Puts a document in place of whatever was there.
///
/// A new object begins with the tenant's config version, which has grown with every change before: an object that was
/// deleted and made again never has a version that it had in its first life.
pub(crate) async fn put(
    tx: &mut TenantTx,
    kind: Kind,
    id: &str,
    document: Value,
    expected_version: u64,
) -> Result<v1::Document, ControlError> {
    check(version(tx, kind, id).await?, expected_version)?;
    let tenant = tx.tenant().clone();
    tx.config_changed().await?;
    let row = sqlx::query(
        "insert into control.objects (tenant, kind, id, document, version)
         select $1, $2, $3, $4, config_version from control.tenants where tenant = $1
         on conflict (tenant, kind, id) do update
         set document = excluded.document, version = control.objects.version + 1, updated_at = now()
         returning *",
    )
    .bind(tenant.as_str())
    .bind(kind.as_str())
    .bind(id)
    .bind(document)
    .fetch_one(&mut **tx)
    .await?;
    wire(&row)
}

/// Version of the tenant's configuration, with what this transaction has changed.
pub(crate) async fn config_version(tx: &mut TenantTx) -> Result<i64, ControlError> {
    let tenant = tx.tenant().clone();
    let version: i64 =
        sqlx::query_scalar("select config_version from control.tenants where tenant = $1")
            .bind(tenant.as_str())
            .fetch_one(&mut **tx)
            .await?;
    Ok(version)
}

pub(crate) async fn get(
    tx: &mut TenantTx,
    kind: Kind,
    id: &str,
) -> Result<v1::Document, ControlError> {
    let tenant = tx.tenant().clone();
    let row =
        sqlx::query("select * from control.objects where tenant = $1 and kind = $2 and id = $3")
            .bind(tenant.as_str())
            .bind(kind.as_str())
            .bind(id)
            .fetch_optional(&mut **tx)
            .await?;
    wire(&row.ok_or_else(|| Status::not_found(format!("no such {}", kind.as_str())))?)
}

pub(crate) async fn list(
    tx: &mut TenantTx,
    kind: Kind,
    after: &str,
    limit: i64,
) -> Result<Vec<v1::Document>, ControlError> {
    let tenant = tx.tenant().clone();
    let rows = sqlx::query(
        "select * from control.objects where tenant = $1 and kind = $2 and id > $3 order by id limit $4",
    )
    .bind(tenant.as_str())
    .bind(kind.as_str())
    .bind(after)
    .bind(limit)
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(wire).collect()
}

pub(crate) async fn delete(
    tx: &mut TenantTx,
    kind: Kind,
    id: &str,
    expected_version: u64,
) -> Result<(), ControlError> {
    let found = version(tx, kind, id).await?;
    if found.is_none() {
        return Err(Status::not_found(format!("no such {}", kind.as_str())).into());
    }
    check(found, expected_version)?;
    let tenant = tx.tenant().clone();
    sqlx::query("delete from control.objects where tenant = $1 and kind = $2 and id = $3")
        .bind(tenant.as_str())
        .bind(kind.as_str())
        .bind(id)
        .execute(&mut **tx)
        .await?;
    tx.config_changed().await
}

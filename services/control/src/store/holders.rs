//! Who holds an API key: a person, by user id.

use super::TenantTx;
use crate::error::ControlError;
use proctor_model::{TenantId, UserId};
use sqlx::PgConnection;

/// Notes who holds a new key.
pub(crate) async fn note(
    tx: &mut PgConnection,
    tenant: &TenantId,
    key: &str,
    holder: &UserId,
) -> Result<(), ControlError> {
    sqlx::query("insert into control.key_holders (tenant, key, holder) values ($1, $2, $3)")
        .bind(tenant.as_str())
        .bind(key)
        .bind(holder.as_str())
        .execute(tx)
        .await?;
    Ok(())
}

/// The holders of these keys of the tenant or the platform, also of keys that were deleted since; of those that name none,
/// none.
pub(crate) async fn of(tx: &mut TenantTx, keys: &[String]) -> Result<Vec<String>, ControlError> {
    let tenant = tx.tenant().clone();
    let holders = sqlx::query_scalar(
        "select holder from control.key_holders where tenant in ($1, '_platform') and key = any($2)",
    )
    .bind(tenant.as_str())
    .bind(keys)
    .fetch_all(&mut **tx)
    .await?;
    Ok(holders)
}

//! Declared intents: immutable.

use super::tenants::database_time;
use super::{TenantTx, enqueue};
use crate::error::ControlError;
use proctor_model::intent::Intent;
use serde_json::Value;
use sqlx::PgConnection;

pub(crate) async fn insert(tx: &mut TenantTx, intent: &Intent) -> Result<(), ControlError> {
    let tenant = tx.tenant().clone();
    sqlx::query(
        "insert into control.intents (tenant, id, document, expires_at) values ($1, $2, $3, $4)",
    )
    .bind(tenant.as_str())
    .bind(intent.id.as_str())
    .bind(serde_json::to_value(intent)?)
    .bind(database_time(intent.expires_at))
    .execute(&mut **tx)
    .await?;
    enqueue(tx, &tenant, "intent", intent.id.as_str()).await
}

pub(crate) async fn get(
    tx: &mut PgConnection,
    tenant: &str,
    id: &str,
) -> Result<Option<Value>, ControlError> {
    let found =
        sqlx::query_scalar("select document from control.intents where tenant = $1 and id = $2")
            .bind(tenant)
            .bind(id)
            .fetch_optional(tx)
            .await?;
    Ok(found)
}

//! Tenants, and the payload of their signed configuration.

use super::TenantTx;
use crate::State;
use crate::error::ControlError;
use proctor_model::budget::Versioned;
use proctor_model::config::{Agent, Policy, PolicyMode, TenantConfig, TenantSettings};
use proctor_model::content::ContentRules;
use proctor_model::ids::KeyId;
use proctor_model::limits::SIGNED_BYTES_MAX;
use proctor_model::signed::SignedError;
use proctor_model::{TenantId, Timestamp};
use proctor_proto::v1;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::time::OffsetDateTime;
use sqlx::{PgConnection, Row};
use tonic::Status;

/// A time as the documents write it.
pub(crate) fn timestamp(at: OffsetDateTime) -> Timestamp {
    let micros = at.unix_timestamp_nanos() / 1000;
    Timestamp::from_micros(i64::try_from(micros).unwrap_or(0))
}

/// A time as the database stores it.
pub(crate) fn database_time(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.as_micros()) * 1000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A counter that the database keeps as a signed number.
pub(crate) fn counter(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn wire(row: &PgRow) -> Result<v1::Tenant, ControlError> {
    Ok(v1::Tenant {
        tenant: row.try_get("tenant")?,
        display_name: row.try_get("display_name")?,
        settings: serde_json::to_vec(&row.try_get::<Value, _>("settings")?)?,
        config_version: counter(row.try_get("config_version")?),
        created_at: timestamp(row.try_get("created_at")?).to_string(),
    })
}

pub(crate) async fn insert(
    tx: &mut TenantTx,
    display_name: &str,
    settings: &TenantSettings,
    digest_key: &[u8],
) -> Result<(), ControlError> {
    let tenant = tx.tenant().clone();
    sqlx::query("insert into control.tenants (tenant, display_name, settings, digest_key) values ($1, $2, $3, $4)")
        .bind(tenant.as_str())
        .bind(display_name)
        .bind(serde_json::to_value(settings)?)
        .bind(digest_key)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub(crate) async fn update(
    tx: &mut TenantTx,
    display_name: &str,
    settings: &TenantSettings,
    expected_version: u64,
) -> Result<(), ControlError> {
    let tenant = tx.tenant().clone();
    let version: Option<i64> = sqlx::query_scalar(
        "select config_version from control.tenants where tenant = $1 for update",
    )
    .bind(tenant.as_str())
    .fetch_optional(&mut **tx)
    .await?;
    let version = version.ok_or_else(crate::caller::no_such_tenant)?;
    if expected_version != 0 && expected_version != counter(version) {
        return Err(Status::aborted("the tenant was changed in the meantime").into());
    }
    sqlx::query("update control.tenants set display_name = $2, settings = $3 where tenant = $1")
        .bind(tenant.as_str())
        .bind(display_name)
        .bind(serde_json::to_value(settings)?)
        .execute(&mut **tx)
        .await?;
    tx.config_changed().await
}

pub(crate) async fn settings(
    tx: &mut PgConnection,
    tenant: &TenantId,
) -> Result<TenantSettings, ControlError> {
    let found: Option<Value> =
        sqlx::query_scalar("select settings from control.tenants where tenant = $1")
            .bind(tenant.as_str())
            .fetch_optional(tx)
            .await?;
    Ok(serde_json::from_value(
        found.ok_or_else(crate::caller::no_such_tenant)?,
    )?)
}

pub(crate) async fn get(
    tx: &mut PgConnection,
    tenant: &TenantId,
) -> Result<v1::Tenant, ControlError> {
    let row = sqlx::query("select * from control.tenants where tenant = $1")
        .bind(tenant.as_str())
        .fetch_optional(tx)
        .await?;
    wire(&row.ok_or_else(crate::caller::no_such_tenant)?)
}

pub(crate) async fn list(
    tx: &mut PgConnection,
    after: &str,
    limit: i64,
) -> Result<Vec<v1::Tenant>, ControlError> {
    let rows =
        sqlx::query("select * from control.tenants where tenant > $1 order by tenant limit $2")
            .bind(after)
            .bind(limit)
            .fetch_all(tx)
            .await?;
    rows.iter().map(wire).collect()
}

/// The configuration as it stands, for signing; `None` if there is no such tenant.
pub(crate) async fn load_config(
    tx: &mut PgConnection,
    tenant: &TenantId,
    now: Timestamp,
) -> Result<Option<TenantConfig>, ControlError> {
    let row = sqlx::query("select settings, config_version from control.tenants where tenant = $1")
        .bind(tenant.as_str())
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let mut config = TenantConfig {
        v: 1,
        tenant: tenant.clone(),
        version: counter(row.try_get("config_version")?),
        issued_at: now,
        settings: serde_json::from_value(row.try_get("settings")?)?,
        agents: Vec::new(),
        servers: Vec::new(),
        policies: load_policies(tx, tenant).await?,
        key_ids: load_key_ids(tx, tenant, now).await?,
        content: ContentRules::default(),
        limits: None,
        prices: None,
        issuers: Vec::new(),
    };
    let rows = sqlx::query(
        "select kind, document, version from control.objects where tenant = $1 order by kind, id",
    )
    .bind(tenant.as_str())
    .fetch_all(&mut *tx)
    .await?;
    for row in rows {
        let document: Value = row.try_get("document")?;
        let version = counter(row.try_get("version")?);
        match row.try_get::<String, _>("kind")?.as_str() {
            "limits" => {
                config.limits = Some(Versioned {
                    version,
                    document: serde_json::from_value(document)?,
                });
            }
            "prices" => {
                config.prices = Some(Versioned {
                    version,
                    document: serde_json::from_value(document)?,
                });
            }
            "agent" => config
                .agents
                .push(serde_json::from_value::<Agent>(document)?),
            "content" => config.content = serde_json::from_value(document)?,
            "issuer" => config.issuers.push(serde_json::from_value(document)?),
            _ => config.servers.push(serde_json::from_value(document)?),
        }
    }
    Ok(Some(config))
}

/// Refuses a change after which the tenant's configuration could not be published any more. Called in the
/// transaction of the change.
pub(crate) async fn check_fits(tx: &mut TenantTx, state: &State) -> Result<(), ControlError> {
    let tenant = tx.tenant().clone();
    match load_config(tx, &tenant, state.clock.now()).await? {
        Some(config) => fits(state, &config),
        None => Ok(()),
    }
}

/// Refuses a configuration that is too large once it is signed.
pub(crate) fn fits(state: &State, config: &TenantConfig) -> Result<(), ControlError> {
    match state.signer.sign(config) {
        Ok(_) => Ok(()),
        Err(SignedError::TooLarge) => Err(Status::invalid_argument(format!(
            "the tenant's signed configuration would be larger than {SIGNED_BYTES_MAX} bytes"
        ))
        .into()),
        Err(error) => Err(error.into()),
    }
}

async fn load_policies(
    tx: &mut PgConnection,
    tenant: &TenantId,
) -> Result<Vec<Policy>, ControlError> {
    let rows = sqlx::query(
        "select id, version, document, mode from control.policies where tenant = $1 and state = 'active' order by id",
    )
    .bind(tenant.as_str())
    .fetch_all(tx)
    .await?;
    let policy = |row: &PgRow| -> Result<Policy, ControlError> {
        let document: Value = row.try_get("document")?;
        Ok(Policy {
            id: row.try_get::<String, _>("id")?.parse()?,
            version: u32::try_from(row.try_get::<i32, _>("version")?).unwrap_or(0),
            mode: if row.try_get::<String, _>("mode")? == "monitor" {
                PolicyMode::Monitor
            } else {
                PolicyMode::Enforce
            },
            modules: serde_json::from_value(document.get("modules").cloned().unwrap_or_default())?,
            data: document.get("data").cloned().unwrap_or_default(),
        })
    };
    rows.iter().map(policy).collect()
}

async fn load_key_ids(
    tx: &mut PgConnection,
    tenant: &TenantId,
    now: Timestamp,
) -> Result<Vec<KeyId>, ControlError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "select kid from control.token_keys where tenant = $1 and (not_after is null or not_after > $2) order by kid",
    )
    .bind(tenant.as_str())
    .bind(database_time(now))
    .fetch_all(tx)
    .await?;
    Ok(ids.iter().map(|id| id.parse()).collect::<Result<_, _>>()?)
}

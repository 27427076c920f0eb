//! Postgres: tenant rows are reached only through a [`TenantTx`], which exists for one tenant and has told the
//! row-level security so.

pub(crate) mod api_keys;
pub(crate) mod approvals;
pub(crate) mod holders;
pub(crate) mod intents;
pub(crate) mod objects;
pub(crate) mod policies;
pub(crate) mod secrets;
pub(crate) mod tenants;

use crate::error::ControlError;
use proctor_model::TenantId;
use proctor_runtime::Secret;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor, PgConnection, PgPool, Postgres, Transaction};
use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::time::Duration;

/// Most connections of one control process.
const CONNECTIONS_MAX: u32 = 16;
/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest page of a list.
const PAGE_MAX: u32 = 500;
const PAGE_DEFAULT: u32 = 100;

/// The database, as the role that owns nothing.
pub(crate) struct Store {
    pool: PgPool,
}

/// A transaction within one tenant. Rolled back on drop.
pub(crate) struct TenantTx {
    tx: Transaction<'static, Postgres>,
    tenant: TenantId,
}

/// A transaction that sees all tenants: for authentication, the publisher and the platform's own lists.
pub(crate) struct PlatformTx(Transaction<'static, Postgres>);

impl Store {
    pub(crate) async fn connect(url: &Secret) -> Result<Self, ControlError> {
        let options = PgConnectOptions::from_str(url.expose())?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    connection
                        .execute("set role proctor_control")
                        .await
                        .map(|_| ())
                })
            })
            .connect_with(options)
            .await?;
        Ok(Self { pool })
    }

    /// Whether Postgres answers, within the time that a request waits for a connection.
    pub(crate) async fn answers(&self) -> bool {
        // A connection that was idle is asked for a sign of life before it is given out.
        self.pool.acquire().await.is_ok()
    }

    pub(crate) async fn tenant(&self, tenant: &TenantId) -> Result<TenantTx, ControlError> {
        let mut tx = self.pool.begin().await?;
        set_tenant(&mut tx, tenant.as_str()).await?;
        Ok(TenantTx {
            tx,
            tenant: tenant.clone(),
        })
    }

    pub(crate) async fn platform(&self) -> Result<PlatformTx, ControlError> {
        let mut tx = self.pool.begin().await?;
        set_tenant(&mut tx, "*").await?;
        Ok(PlatformTx(tx))
    }
}

async fn set_tenant(tx: &mut PgConnection, tenant: &str) -> Result<(), sqlx::Error> {
    sqlx::query("select set_config('proctor.tenant', $1, true)")
        .bind(tenant)
        .execute(tx)
        .await
        .map(|_| ())
}

impl TenantTx {
    /// The tenant that it is for.
    pub(crate) fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Notes that the tenant's config changed: a new version, to be published.
    pub(crate) async fn config_changed(&mut self) -> Result<(), ControlError> {
        let tenant = self.tenant.clone();
        let changed = sqlx::query(
            "update control.tenants set config_version = config_version + 1 where tenant = $1",
        )
        .bind(tenant.as_str())
        .execute(&mut **self)
        .await?;
        if changed.rows_affected() == 0 {
            return Err(crate::caller::no_such_tenant().into());
        }
        enqueue(self, &tenant, "config", "").await
    }

    /// Notes that what is sealed to the edges changed (token keys, secrets): a new version, to be published.
    pub(crate) async fn keys_changed(&mut self) -> Result<(), ControlError> {
        let tenant = self.tenant.clone();
        let changed = sqlx::query(
            "update control.tenants set keys_version = keys_version + 1 where tenant = $1",
        )
        .bind(tenant.as_str())
        .execute(&mut **self)
        .await?;
        if changed.rows_affected() == 0 {
            return Err(crate::caller::no_such_tenant().into());
        }
        enqueue(self, &tenant, "keys", "").await
    }

    pub(crate) async fn commit(self) -> Result<(), ControlError> {
        Ok(self.tx.commit().await?)
    }
}

impl PlatformTx {
    pub(crate) async fn commit(self) -> Result<(), ControlError> {
        Ok(self.0.commit().await?)
    }
}

impl Deref for TenantTx {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.tx
    }
}

impl DerefMut for TenantTx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.tx
    }
}

impl Deref for PlatformTx {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for PlatformTx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

/// Notes that something is to be published, in the order of the notes.
pub(crate) async fn enqueue(
    tx: &mut PgConnection,
    tenant: &TenantId,
    kind: &str,
    object: &str,
) -> Result<(), ControlError> {
    sqlx::query("insert into control.outbox (tenant, kind, object) values ($1, $2, $3)")
        .bind(tenant.as_str())
        .bind(kind)
        .bind(object)
        .execute(tx)
        .await?;
    Ok(())
}

/// Rows of one page, as the database counts.
pub(crate) fn page(limit: u32) -> i64 {
    i64::from(if limit == 0 {
        PAGE_DEFAULT
    } else {
        limit.min(PAGE_MAX)
    })
}

/// Brings the schema up to date, as its owner.
pub(crate) async fn migrate(url: &Secret) -> Result<(), ControlError> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect(url.expose())
        .await?;
    // Roles are the cluster's: another database of it may be migrated at this moment.
    pool.execute(
        "do $$ begin
             if not exists (select from pg_roles where rolname = 'proctor_control') then
                 create role proctor_control nologin;
             end if;
         exception when duplicate_object or unique_violation then null;
         end $$",
    )
    .await?;
    // Each service keeps its migrations' history in its own schema.
    pool.execute("create schema if not exists control").await?;
    let mut migrator = sqlx::migrate!("../../migrations/control");
    migrator.dangerous_set_table_name("control._migrations");
    migrator.run(&pool).await?;
    pool.close().await;
    Ok(())
}

//! Kill switches: an operator stops the platform, a tenant, an agent or a tool. Each change is a new version of one
//! signed document, published ahead of everything else.

use crate::State;
use crate::caller::Caller;
use crate::error::ControlError;
use crate::store::enqueue;
use crate::store::tenants::{counter, timestamp};
use proctor_model::kill::{KillSwitches, KillTarget};
use proctor_model::limits::KILLS_MAX;
use proctor_model::principal::Right;
use proctor_model::{TenantId, Timestamp};
use proctor_proto::v1;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use tonic::Status;

/// Longest note, in bytes.
const NOTE_BYTES_MAX: usize = 1_000;

fn wire(row: &PgRow) -> Result<v1::KillSwitch, ControlError> {
    Ok(v1::KillSwitch {
        scope: row.try_get("scope")?,
        object: row.try_get("object")?,
        note: row.try_get("note")?,
        set_by: row.try_get("set_by")?,
        set_at: timestamp(row.try_get("set_at")?).to_string(),
    })
}

/// Whose switches are meant (the platform's where no tenant is named), if the caller may turn them.
fn owner(caller: &Caller, tenant: &str, right: Right) -> Result<TenantId, Status> {
    if tenant.is_empty() {
        caller.platform(right)?;
        return Ok(TenantId::platform());
    }
    let tenant = caller.tenant(tenant, right)?;
    match tenant.is_platform() {
        true => Err(crate::caller::no_such_tenant()),
        false => Ok(tenant),
    }
}

fn target(owner: &TenantId, request: &v1::KillRequest) -> Result<KillTarget, Status> {
    let target = KillTarget::parse(&request.scope, &request.object);
    let target = target.map_err(Status::invalid_argument)?;
    if owner.is_platform() == (target == KillTarget::Platform) {
        Ok(target)
    } else {
        Err(Status::invalid_argument(
            "scope: platform for the platform; tenant, agent or tool within a tenant",
        ))
    }
}

pub(crate) async fn engage(
    state: &State,
    caller: &Caller,
    request: v1::KillRequest,
) -> Result<v1::KillSwitch, ControlError> {
    let tenant = owner(caller, &request.tenant, Right::Kill)?;
    let target = target(&tenant, &request)?;
    if request.note.len() > NOTE_BYTES_MAX {
        return Err(
            Status::invalid_argument(format!("note: at most {NOTE_BYTES_MAX} bytes")).into(),
        );
    }
    let mut tx = state.store.tenant(&tenant).await?;
    next_version(&mut tx, &tenant).await?;
    let on: i64 =
        sqlx::query_scalar("select count(*) from control.kill_switches where tenant = $1")
            .bind(tenant.as_str())
            .fetch_one(&mut *tx)
            .await?;
    if counter(on) >= KILLS_MAX as u64 {
        let message = format!("at most {KILLS_MAX} switches: stop the tenant as a whole");
        return Err(Status::resource_exhausted(message).into());
    }
    let row = sqlx::query(
        "insert into control.kill_switches (tenant, scope, object, note, set_by) values ($1, $2, $3, $4, $5)
         on conflict (tenant, scope, object) do update set note = excluded.note returning *",
    )
    .bind(tenant.as_str())
    .bind(target.scope())
    .bind(target.object())
    .bind(&request.note)
    .bind(caller.id())
    .fetch_one(&mut *tx)
    .await?;
    announce(&mut tx, state, caller, &tenant, "kill.engage", &target).await?;
    tx.commit().await?;
    state.changed.notify_one();
    wire(&row)
}

pub(crate) async fn release(
    state: &State,
    caller: &Caller,
    request: v1::KillRequest,
) -> Result<v1::Empty, ControlError> {
    let tenant = owner(caller, &request.tenant, Right::Kill)?;
    let target = target(&tenant, &request)?;
    let mut tx = state.store.tenant(&tenant).await?;
    next_version(&mut tx, &tenant).await?;
    let released = sqlx::query(
        "delete from control.kill_switches where tenant = $1 and scope = $2 and object = $3",
    )
    .bind(tenant.as_str())
    .bind(target.scope())
    .bind(target.object())
    .execute(&mut *tx)
    .await?;
    if released.rows_affected() == 0 {
        return Err(Status::not_found("this switch is not on").into());
    }
    announce(&mut tx, state, caller, &tenant, "kill.release", &target).await?;
    tx.commit().await?;
    state.changed.notify_one();
    Ok(v1::Empty {})
}

pub(crate) async fn list(
    state: &State,
    caller: &Caller,
    request: v1::TenantRequest,
) -> Result<v1::ListKillsResponse, ControlError> {
    let tenant = owner(caller, &request.tenant, Right::ReadConfig)?;
    let mut tx = state.store.tenant(&tenant).await?;
    let rows = sqlx::query("select * from control.kill_switches where tenant = $1 or tenant = $2 order by scope, object")
        .bind(tenant.as_str())
        .bind(TenantId::platform().as_str())
        .fetch_all(&mut *tx)
        .await?;
    let switches = rows.iter().map(wire).collect::<Result<_, _>>()?;
    Ok(v1::ListKillsResponse { switches })
}

/// Holds the row until the end of the transaction: changes of a tenant's switches come one after the other.
async fn next_version(tx: &mut PgConnection, tenant: &TenantId) -> Result<(), ControlError> {
    if !tenant.is_platform() {
        crate::store::tenants::get(&mut *tx, tenant).await?;
    }
    sqlx::query(
        "insert into control.kill_versions (tenant, version) values ($1, 1)
         on conflict (tenant) do update set version = control.kill_versions.version + 1",
    )
    .bind(tenant.as_str())
    .execute(tx)
    .await?;
    Ok(())
}

async fn announce(
    tx: &mut PgConnection,
    state: &State,
    caller: &Caller,
    tenant: &TenantId,
    action: &str,
    target: &KillTarget,
) -> Result<(), ControlError> {
    enqueue(tx, tenant, "kill", "").await?;
    let object = match target.object() {
        object if object.is_empty() => target.scope().to_owned(),
        object => format!("{} {object}", target.scope()),
    };
    crate::audit::record(tx, state, tenant, caller.id(), action, &object).await
}

/// The switches as they stand, for signing; none if they were never touched.
pub(crate) async fn load(
    tx: &mut PgConnection,
    tenant: &TenantId,
    now: Timestamp,
) -> Result<Option<KillSwitches>, ControlError> {
    let version: Option<i64> =
        sqlx::query_scalar("select version from control.kill_versions where tenant = $1")
            .bind(tenant.as_str())
            .fetch_optional(&mut *tx)
            .await?;
    let Some(version) = version else {
        return Ok(None);
    };
    let rows = sqlx::query("select scope, object from control.kill_switches where tenant = $1")
        .bind(tenant.as_str())
        .fetch_all(tx)
        .await?;
    let mut switches = KillSwitches {
        tenant: tenant.clone(),
        version: counter(version),
        at: now,
        everything: false,
        agents: Vec::new(),
        tools: Vec::new(),
    };
    for row in rows {
        let (scope, object): (String, String) = (row.try_get("scope")?, row.try_get("object")?);
        match KillTarget::parse(&scope, &object) {
            Ok(KillTarget::Platform | KillTarget::Tenant) => switches.everything = true,
            Ok(KillTarget::Agent(agent)) => switches.agents.push(agent),
            Ok(KillTarget::Tool(tool)) => switches.tools.push(tool),
            // Whatever it was meant to stop: rather too much than nothing.
            Err(_) => switches.everything = true,
        }
    }
    Ok(Some(switches))
}

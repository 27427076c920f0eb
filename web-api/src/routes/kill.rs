//! `/v1/kill-switch` and `/v1/tenants/{tenant}/kill-switches`: what is stopped at once, on every edge.

use crate::Api;
use crate::auth::Principal;
use crate::body::{Body, Path};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use proctor_proto::v1;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// What to stop.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// `tenant`, `agent` or `tool`
    #[schema(example = "agent")]
    scope: String,
    /// Agent id or `server/tool`; absent for `tenant`
    #[serde(default)]
    #[schema(example = "finance-copilot")]
    object: String,
    /// Why, for people
    #[serde(default)]
    note: String,
}

/// A word to it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Note {
    /// Why, for people
    #[serde(default)]
    note: String,
}

/// A switch that is on.
#[derive(Serialize, ToSchema)]
pub(crate) struct KillSwitch {
    /// `platform`, `tenant`, `agent` or `tool`
    scope: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    object: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
    /// Principal
    set_by: String,
    set_at: String,
}

/// All switches that are on.
#[derive(Serialize, ToSchema)]
pub(crate) struct KillSwitches {
    kill_switches: Vec<KillSwitch>,
}

fn switch(on: v1::KillSwitch) -> KillSwitch {
    KillSwitch {
        scope: on.scope,
        object: on.object,
        note: on.note,
        set_by: on.set_by,
        set_at: on.set_at,
    }
}

fn platform(note: String) -> v1::KillRequest {
    v1::KillRequest {
        tenant: String::new(),
        scope: "platform".to_owned(),
        object: String::new(),
        note,
    }
}

/// An empty tenant would mean the platform.
fn within(tenant: String, target: Target) -> Result<v1::KillRequest, Problem> {
    if tenant.is_empty() {
        return Err(Problem::new(StatusCode::NOT_FOUND, "no such tenant"));
    }
    Ok(v1::KillRequest {
        tenant,
        scope: target.scope,
        object: target.object,
        note: target.note,
    })
}

async fn engaged(
    api: &Api,
    principal: &Principal,
    request: v1::KillRequest,
) -> Result<(StatusCode, Json<KillSwitch>), Problem> {
    let on = api.control(principal)?.engage_kill(request).await?;
    Ok((StatusCode::CREATED, Json(switch(on.into_inner()))))
}

async fn listed(
    api: &Api,
    principal: &Principal,
    tenant: String,
) -> Result<Json<KillSwitches>, Problem> {
    let request = v1::TenantRequest { tenant };
    let listed = api.control(principal)?.list_kills(request).await?;
    let switches = listed.into_inner().switches.into_iter().map(switch);
    Ok(Json(KillSwitches {
        kill_switches: switches.collect(),
    }))
}

/// List what is stopped in a tenant
#[utoipa::path(get, path = "/v1/tenants/{tenant}/kill-switches", tag = "kill-switches", operation_id = "listKillSwitches",
    responses((status = 200, description = "What is stopped, the platform's switch included", body = KillSwitches)))]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
) -> Result<Json<KillSwitches>, Problem> {
    listed(&api, &principal, tenant).await
}

/// Stop a tenant, an agent or a tool
#[utoipa::path(post, path = "/v1/tenants/{tenant}/kill-switches", tag = "kill-switches", operation_id = "engageKillSwitch",
    request_body = Target, responses((status = 201, description = "It is on its way to every edge", body = KillSwitch)))]
pub(crate) async fn engage(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Body(target): Body<Target>,
) -> Result<(StatusCode, Json<KillSwitch>), Problem> {
    engaged(&api, &principal, within(tenant, target)?).await
}

/// Let it go on
#[utoipa::path(post, path = "/v1/tenants/{tenant}/kill-switches/release", tag = "kill-switches", operation_id = "releaseKillSwitch",
    request_body = Target, responses((status = 204, description = "It may go on")))]
pub(crate) async fn release(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Body(target): Body<Target>,
) -> Result<StatusCode, Problem> {
    let request = within(tenant, target)?;
    api.control(&principal)?.release_kill(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether everything is stopped
#[utoipa::path(get, path = "/v1/kill-switch", tag = "kill-switches", operation_id = "getPlatformKillSwitch",
    responses((status = 200, description = "The platform's switch, if it is on", body = KillSwitches)))]
pub(crate) async fn list_platform(
    State(api): State<Arc<Api>>,
    principal: Principal,
) -> Result<Json<KillSwitches>, Problem> {
    listed(&api, &principal, String::new()).await
}

/// Stop every call of every tenant
#[utoipa::path(post, path = "/v1/kill-switch", tag = "kill-switches", operation_id = "engagePlatformKillSwitch",
    request_body = Note, responses((status = 201, description = "It is on its way to every edge", body = KillSwitch)))]
pub(crate) async fn engage_platform(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Body(note): Body<Note>,
) -> Result<(StatusCode, Json<KillSwitch>), Problem> {
    engaged(&api, &principal, platform(note.note)).await
}

/// Let everything go on that is not stopped by a tenant
#[utoipa::path(delete, path = "/v1/kill-switch", tag = "kill-switches", operation_id = "releasePlatformKillSwitch",
    responses((status = 204, description = "It may go on")))]
pub(crate) async fn release_platform(
    State(api): State<Arc<Api>>,
    principal: Principal,
) -> Result<StatusCode, Problem> {
    api.control(&principal)?
        .release_kill(platform(String::new()))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

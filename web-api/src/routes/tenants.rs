//! `/v1/tenants`

use crate::Api;
use crate::auth::Principal;
use crate::body::{Body, Expected, Page, Params, Path, bytes, document, etag, next};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use proctor_proto::v1;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use utoipa::ToSchema;

/// A tenant.
#[derive(Serialize, ToSchema)]
pub(crate) struct Tenant {
    /// Its id
    #[schema(example = "acme")]
    tenant: String,
    /// Name for people
    display_name: String,
    /// `max_staleness_s`, `denials`, `intent`
    #[schema(value_type = Object)]
    settings: Value,
    /// Version of its published configuration
    config_version: u64,
    /// When it was made
    created_at: String,
}

impl Tenant {
    fn read(tenant: v1::Tenant) -> Result<Self, Problem> {
        Ok(Self {
            tenant: tenant.tenant,
            display_name: tenant.display_name,
            settings: document(&tenant.settings)?,
            config_version: tenant.config_version,
            created_at: tenant.created_at,
        })
    }
}

/// A page of tenants.
#[derive(Serialize, ToSchema)]
pub(crate) struct Tenants {
    tenants: Vec<Tenant>,
    /// `after` of the next page
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A tenant to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTenant {
    /// Its id, for good
    #[schema(example = "acme")]
    tenant: String,
    /// Name for people
    #[serde(default)]
    display_name: String,
    /// `max_staleness_s`, `denials`, `intent`; what is missing has its default
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    settings: Option<Value>,
}

/// A tenant's new name and settings.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantChange {
    /// Name for people
    #[serde(default)]
    display_name: String,
    /// `max_staleness_s`, `denials`, `intent`; what is missing has its default
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    settings: Option<Value>,
}

fn settings(settings: Option<Value>) -> Result<Vec<u8>, Problem> {
    settings.as_ref().map_or(Ok(Vec::new()), bytes)
}

/// List tenants
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants", operation_id = "listTenants", params(Page),
    responses((status = 200, description = "A page", body = Tenants)))]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Params(page): Params<Page>,
) -> Result<Json<Tenants>, Problem> {
    let request = v1::ListRequest {
        tenant: String::new(),
        after: page.after,
        limit: page.limit,
    };
    let listed = api
        .control(&principal)?
        .list_tenants(request)
        .await?
        .into_inner();
    let tenants = listed
        .tenants
        .into_iter()
        .map(Tenant::read)
        .collect::<Result<_, _>>()?;
    Ok(Json(Tenants {
        tenants,
        next: next(listed.next),
    }))
}

/// Make a tenant
#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", operation_id = "createTenant", request_body = NewTenant,
    responses((status = 201, description = "It was made", body = Tenant)))]
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Body(new): Body<NewTenant>,
) -> Result<(StatusCode, HeaderMap, Json<Tenant>), Problem> {
    let settings = settings(new.settings)?;
    let request = v1::CreateTenantRequest {
        tenant: new.tenant,
        display_name: new.display_name,
        settings,
    };
    let made = api
        .control(&principal)?
        .create_tenant(request)
        .await?
        .into_inner();
    Ok((
        StatusCode::CREATED,
        etag(made.config_version),
        Json(Tenant::read(made)?),
    ))
}

/// Read a tenant
#[utoipa::path(get, path = "/v1/tenants/{tenant}", tag = "tenants", operation_id = "getTenant",
    responses((status = 200, description = "The tenant; its `ETag` is the configuration's version", body = Tenant)))]
pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
) -> Result<(HeaderMap, Json<Tenant>), Problem> {
    let found = api
        .control(&principal)?
        .get_tenant(v1::TenantRequest { tenant })
        .await?
        .into_inner();
    Ok((etag(found.config_version), Json(Tenant::read(found)?)))
}

/// Change a tenant's name and settings
#[utoipa::path(put, path = "/v1/tenants/{tenant}", tag = "tenants", operation_id = "updateTenant",
    request_body = TenantChange,
    params(("If-Match" = Option<String>, Header, description = "Only if it still has this `ETag`")),
    responses((status = 200, description = "As it is now", body = Tenant)))]
pub(crate) async fn update(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Expected(expected_version): Expected,
    Body(change): Body<TenantChange>,
) -> Result<(HeaderMap, Json<Tenant>), Problem> {
    let settings = settings(change.settings)?;
    let request = v1::UpdateTenantRequest {
        tenant,
        display_name: change.display_name,
        settings,
        expected_version,
    };
    let changed = api
        .control(&principal)?
        .update_tenant(request)
        .await?
        .into_inner();
    Ok((etag(changed.config_version), Json(Tenant::read(changed)?)))
}

//! `/v1/api-keys` and `/v1/tenants/{tenant}/api-keys`

use crate::Api;
use crate::auth::Principal;
use crate::body::{Body, Page, Params, Path, next};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use proctor_proto::v1;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// An API key to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewApiKey {
    /// What it is for
    #[schema(example = "ci")]
    name: String,
    /// What it may do
    #[schema(example = json!(["operator"]))]
    roles: Vec<String>,
    /// The person who holds it, by user id: nobody decides with another key on a call that they asked for or that is made for them
    #[schema(example = "alice@acme.example")]
    #[serde(default)]
    holder: String,
}

/// An API key, without the key.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApiKey {
    id: String,
    name: String,
    roles: Vec<String>,
    created_at: String,
    /// The person who holds it, if it names one
    #[serde(skip_serializing_if = "String::is_empty")]
    holder: String,
}

/// A new API key.
#[derive(Serialize, ToSchema)]
pub(crate) struct MadeApiKey {
    #[serde(flatten)]
    about: ApiKey,
    /// The key. It is stored nowhere
    key: String,
}

/// A page of API keys.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApiKeys {
    api_keys: Vec<ApiKey>,
    /// `after` of the next page
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

fn about(key: v1::ApiKey) -> ApiKey {
    ApiKey {
        id: key.id,
        name: key.name,
        roles: key.roles,
        created_at: key.created_at,
        holder: key.holder,
    }
}

async fn list_of(
    api: &Api,
    principal: &Principal,
    tenant: String,
    page: Page,
) -> Result<Json<ApiKeys>, Problem> {
    let request = v1::ListRequest {
        tenant,
        after: page.after,
        limit: page.limit,
    };
    let listed = api
        .control(principal)?
        .list_api_keys(request)
        .await?
        .into_inner();
    Ok(Json(ApiKeys {
        api_keys: listed.keys.into_iter().map(about).collect(),
        next: next(listed.next),
    }))
}

type Made = Result<(StatusCode, Json<MadeApiKey>), Problem>;

async fn create_in(api: &Api, principal: &Principal, tenant: String, new: NewApiKey) -> Made {
    let request = v1::CreateApiKeyRequest {
        tenant,
        name: new.name,
        roles: new.roles,
        holder: new.holder,
    };
    let made = api
        .control(principal)?
        .create_api_key(request)
        .await?
        .into_inner();
    let about = about(made.key.ok_or_else(Problem::internal)?);
    Ok((
        StatusCode::CREATED,
        Json(MadeApiKey {
            about,
            key: made.secret,
        }),
    ))
}

async fn delete_in(
    api: &Api,
    principal: &Principal,
    tenant: String,
    id: String,
) -> Result<StatusCode, Problem> {
    api.control(principal)?
        .delete_api_key(v1::ObjectRequest {
            tenant,
            id,
            expected_version: 0,
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List a tenant's API keys
#[utoipa::path(get, path = "/v1/tenants/{tenant}/api-keys", tag = "api-keys", operation_id = "listApiKeys",
    params(Page), responses((status = 200, description = "A page", body = ApiKeys)))]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Params(page): Params<Page>,
) -> Result<Json<ApiKeys>, Problem> {
    list_of(&api, &principal, tenant, page).await
}

/// Make an API key for a tenant
#[utoipa::path(post, path = "/v1/tenants/{tenant}/api-keys", tag = "api-keys", operation_id = "createApiKey",
    request_body = NewApiKey, responses((status = 201, description = "Shown once", body = MadeApiKey)))]
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Body(new): Body<NewApiKey>,
) -> Made {
    create_in(&api, &principal, tenant, new).await
}

/// Withdraw a tenant's API key; it stops working within a minute
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/api-keys/{id}", tag = "api-keys", operation_id = "deleteApiKey",
    responses((status = 204, description = "It is withdrawn")))]
pub(crate) async fn delete(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    delete_in(&api, &principal, tenant, id).await
}

/// List the platform's API keys
#[utoipa::path(get, path = "/v1/api-keys", tag = "api-keys", operation_id = "listPlatformApiKeys", params(Page),
    responses((status = 200, description = "A page", body = ApiKeys)))]
pub(crate) async fn list_platform(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Params(page): Params<Page>,
) -> Result<Json<ApiKeys>, Problem> {
    list_of(&api, &principal, String::new(), page).await
}

/// Make an API key for the platform
#[utoipa::path(post, path = "/v1/api-keys", tag = "api-keys", operation_id = "createPlatformApiKey",
    request_body = NewApiKey, responses((status = 201, description = "Shown once", body = MadeApiKey)))]
pub(crate) async fn create_platform(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Body(new): Body<NewApiKey>,
) -> Made {
    create_in(&api, &principal, String::new(), new).await
}

/// Withdraw an API key of the platform; it stops working within a minute
#[utoipa::path(delete, path = "/v1/api-keys/{id}", tag = "api-keys", operation_id = "deletePlatformApiKey",
    responses((status = 204, description = "It is withdrawn")))]
pub(crate) async fn delete_platform(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    delete_in(&api, &principal, String::new(), id).await
}

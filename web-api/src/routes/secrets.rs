//! `/v1/tenants/{tenant}/secrets`

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

/// A credential for tool servers or LLM providers.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSecret {
    /// The hosts (`host` or `host:port`) that it may be sent to
    #[schema(example = json!(["api.crm.example"]))]
    hosts: Vec<String>,
    /// The credential: encrypted at rest, sealed to the tenant's edges, never shown again
    value: String,
}

/// A credential, without it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Secret {
    name: String,
    hosts: Vec<String>,
    updated_at: String,
    /// Who set it
    updated_by: String,
}

/// A page of credentials.
#[derive(Serialize, ToSchema)]
pub(crate) struct Secrets {
    secrets: Vec<Secret>,
    /// `after` of the next page
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

fn secret(info: v1::SecretInfo) -> Secret {
    let v1::SecretInfo {
        name,
        hosts,
        updated_at,
        updated_by,
    } = info;
    Secret {
        name,
        hosts,
        updated_at,
        updated_by,
    }
}

/// List the credentials for upstreams, without them
#[utoipa::path(get, path = "/v1/tenants/{tenant}/secrets", tag = "secrets", operation_id = "listSecrets",
    params(Page), responses((status = 200, description = "A page", body = Secrets)))]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Params(page): Params<Page>,
) -> Result<Json<Secrets>, Problem> {
    let request = v1::ListRequest {
        tenant,
        after: page.after,
        limit: page.limit,
    };
    let listed = api
        .control(&principal)?
        .list_secrets(request)
        .await?
        .into_inner();
    Ok(Json(Secrets {
        secrets: listed.secrets.into_iter().map(secret).collect(),
        next: next(listed.next),
    }))
}

/// Set a credential for upstreams; edges have it within moments
#[utoipa::path(put, path = "/v1/tenants/{tenant}/secrets/{name}", tag = "secrets", operation_id = "putSecret",
    request_body = NewSecret, responses((status = 200, description = "It is set", body = Secret)))]
pub(crate) async fn put(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, name)): Path<(String, String)>,
    Body(new): Body<NewSecret>,
) -> Result<Json<Secret>, Problem> {
    let request = v1::PutSecretRequest {
        tenant,
        name,
        hosts: new.hosts,
        value: new.value,
    };
    let put = api
        .control(&principal)?
        .put_secret(request)
        .await?
        .into_inner();
    Ok(Json(secret(put)))
}

/// Delete a credential for upstreams
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/secrets/{name}", tag = "secrets", operation_id = "deleteSecret",
    responses((status = 204, description = "It is gone")))]
pub(crate) async fn delete(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, name)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let request = v1::ObjectRequest {
        tenant,
        id: name,
        expected_version: 0,
    };
    api.control(&principal)?.delete_secret(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

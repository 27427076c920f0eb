//! `/v1/tenants/{tenant}/policies`

use crate::Api;
use crate::auth::Principal;
use crate::body::{Body, Page, Params, Path, bytes, document, next};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use proctor_proto::v1;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use utoipa::ToSchema;

/// A version of a policy.
#[derive(Serialize, ToSchema)]
pub(crate) struct PolicyVersion {
    /// The policy
    id: String,
    /// Its version, from 1
    version: u32,
    /// `draft`, `active` or `inactive`
    state: String,
    /// `enforce` or `monitor`, where it is active
    mode: String,
    /// SHA-256 of modules and data
    digest: String,
    /// Rego modules and data
    #[schema(value_type = Object)]
    document: Value,
    created_at: String,
    created_by: String,
}

impl PolicyVersion {
    fn read(version: v1::PolicyVersion) -> Result<Self, Problem> {
        // A list leaves the documents out.
        let stored = if version.document.is_empty() {
            Value::Null
        } else {
            document(&version.document)?
        };
        Ok(Self {
            id: version.id,
            version: version.version,
            state: version.state,
            mode: version.mode,
            digest: version.digest,
            document: stored,
            created_at: version.created_at,
            created_by: version.created_by,
        })
    }
}

/// A page of policy versions.
#[derive(Serialize, ToSchema)]
pub(crate) struct Policies {
    policies: Vec<PolicyVersion>,
    /// `after` of the next page
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A Rego module.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Module {
    /// File name, for messages
    #[schema(example = "baseline.rego")]
    name: String,
    /// Rego v1, package `proctor.policy` or below
    source: String,
}

/// A new version of a policy.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPolicy {
    modules: Vec<Module>,
    /// `data.settings` in Rego
    #[serde(default)]
    #[schema(value_type = Object)]
    data: Value,
}

/// How a version is to be active.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Activation {
    /// `enforce`: it binds; `monitor`: it is decided and recorded, and binds nobody
    #[schema(example = "enforce")]
    mode: String,
}

/// List policies and their versions
#[utoipa::path(get, path = "/v1/tenants/{tenant}/policies", tag = "policies", operation_id = "listPolicies",
    params(Page), responses((status = 200, description = "A page", body = Policies)))]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Params(page): Params<Page>,
) -> Result<Json<Policies>, Problem> {
    let request = v1::ListRequest {
        tenant,
        after: page.after,
        limit: page.limit,
    };
    let listed = api
        .control(&principal)?
        .list_policies(request)
        .await?
        .into_inner();
    let policies = listed
        .policies
        .into_iter()
        .map(PolicyVersion::read)
        .collect::<Result<_, _>>()?;
    Ok(Json(Policies {
        policies,
        next: next(listed.next),
    }))
}

/// Add a version of a policy, as a draft
///
/// It is compiled first; what does not compile is refused with the line.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/policies/{id}", tag = "policies", operation_id = "putPolicy",
    request_body = NewPolicy, responses((status = 200, description = "The draft", body = PolicyVersion)))]
pub(crate) async fn put(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, id)): Path<(String, String)>,
    Body(policy): Body<NewPolicy>,
) -> Result<Json<PolicyVersion>, Problem> {
    let document = bytes(&json!({ "modules": policy.modules, "data": policy.data }))?;
    let request = v1::PutDocumentRequest {
        tenant,
        id,
        document,
        expected_version: 0,
    };
    let draft = api
        .control(&principal)?
        .put_policy(request)
        .await?
        .into_inner();
    Ok(Json(PolicyVersion::read(draft)?))
}

/// Read a version of a policy
#[utoipa::path(get, path = "/v1/tenants/{tenant}/policies/{id}/versions/{version}", tag = "policies",
    operation_id = "getPolicyVersion", responses((status = 200, description = "The version", body = PolicyVersion)))]
pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, id, version)): Path<(String, String, u32)>,
) -> Result<Json<PolicyVersion>, Problem> {
    let request = v1::PolicyVersionRequest {
        tenant,
        id,
        version,
    };
    let found = api
        .control(&principal)?
        .get_policy_version(request)
        .await?
        .into_inner();
    Ok(Json(PolicyVersion::read(found)?))
}

/// Make a version the active one; an older one is a roll-back
#[utoipa::path(post, path = "/v1/tenants/{tenant}/policies/{id}/versions/{version}/activate", tag = "policies",
    operation_id = "activatePolicy", request_body = Activation,
    responses((status = 200, description = "The version", body = PolicyVersion)))]
pub(crate) async fn activate(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, id, version)): Path<(String, String, u32)>,
    Body(activation): Body<Activation>,
) -> Result<Json<PolicyVersion>, Problem> {
    let request = v1::ActivatePolicyRequest {
        tenant,
        id,
        version,
        mode: activation.mode,
    };
    let active = api
        .control(&principal)?
        .activate_policy(request)
        .await?
        .into_inner();
    Ok(Json(PolicyVersion::read(active)?))
}

/// Take a policy out of force
#[utoipa::path(post, path = "/v1/tenants/{tenant}/policies/{id}/deactivate", tag = "policies",
    operation_id = "deactivatePolicy", responses((status = 204, description = "No version of it is active")))]
pub(crate) async fn deactivate(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    api.control(&principal)?
        .deactivate_policy(v1::ObjectRequest {
            tenant,
            id,
            expected_version: 0,
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

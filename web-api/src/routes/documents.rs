//! `/v1/tenants/{tenant}/agents` and `/v1/tenants/{tenant}/tool-servers`: documents that are put and read as a whole.

use crate::Api;
use crate::auth::Principal;
use crate::body::{Body, Expected, Page, Params, Path, bytes, document, etag, next};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use proctor_proto::v1;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::ToSchema;

/// A page of agents.
#[derive(Serialize, ToSchema)]
pub(crate) struct Agents {
    #[schema(value_type = Vec<Object>)]
    agents: Vec<Value>,
    /// `after` of the next page
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A page of tool servers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Servers {
    #[schema(value_type = Vec<Object>)]
    tool_servers: Vec<Value>,
    /// `after` of the next page
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Which definition was looked at.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approved {
    /// The tool, or `resource:…`, `template:…`, `prompt:…`
    #[schema(example = "read_file")]
    tool: String,
    /// `digest` of what is shown
    digest: String,
}

type Answer = Result<(HeaderMap, Json<Value>), Problem>;

fn answer(stored: &v1::Document) -> Answer {
    Ok((etag(stored.version), Json(document(&stored.document)?)))
}

/// The request to put a document: its id may be left to the path.
fn put(
    tenant: String,
    id: String,
    mut document: Map<String, Value>,
    expected_version: u64,
) -> Result<v1::PutDocumentRequest, Problem> {
    document.entry("id").or_insert_with(|| id.as_str().into());
    Ok(v1::PutDocumentRequest {
        tenant,
        id,
        document: bytes(&Value::Object(document))?,
        expected_version,
    })
}

fn all(documents: &[v1::Document]) -> Result<Vec<Value>, Problem> {
    documents
        .iter()
        .map(|stored| document(&stored.document))
        .collect()
}

/// List agents
#[utoipa::path(get, path = "/v1/tenants/{tenant}/agents", tag = "agents", operation_id = "listAgents", params(Page),
    responses((status = 200, description = "A page", body = Agents)))]
pub(crate) async fn list_agents(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Params(page): Params<Page>,
) -> Result<Json<Agents>, Problem> {
    let request = v1::ListRequest {
        tenant,
        after: page.after,
        limit: page.limit,
    };
    let listed = api
        .control(&principal)?
        .list_agents(request)
        .await?
        .into_inner();
    Ok(Json(Agents {
        agents: all(&listed.documents)?,
        next: next(listed.next),
    }))
}

/// Read an agent
#[utoipa::path(get, path = "/v1/tenants/{tenant}/agents/{id}", tag = "agents", operation_id = "getAgent",
    responses((status = 200, description = "As it is, with its `ETag`", body = Object)))]
pub(crate) async fn get_agent(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, id)): Path<(String, String)>,
) -> Answer {
    let request = v1::ObjectRequest {
        tenant,
        id,
        expected_version: 0,
    };
    answer(api.control(&principal)?.get_agent(request).await?.get_ref())
}

/// Make or replace an agent
#[utoipa::path(put, path = "/v1/tenants/{tenant}/agents/{id}", tag = "agents", operation_id = "putAgent",
    request_body = Object,
    params(("If-Match" = Option<String>, Header, description = "Only if it still has this `ETag`")),
    responses((status = 200, description = "As it is now, with its `ETag`", body = Object)))]
pub(crate) async fn put_agent(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, id)): Path<(String, String)>,
    Expected(expected): Expected,
    Body(document): Body<Map<String, Value>>,
) -> Answer {
    let request = put(tenant, id, document, expected)?;
    answer(api.control(&principal)?.put_agent(request).await?.get_ref())
}

/// Delete an agent
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/agents/{id}", tag = "agents", operation_id = "deleteAgent",
    params(("If-Match" = Option<String>, Header, description = "Only if it still has this `ETag`")),
    responses((status = 204, description = "It is gone")))]
pub(crate) async fn delete_agent(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, id)): Path<(String, String)>,
    Expected(expected_version): Expected,
) -> Result<StatusCode, Problem> {
    api.control(&principal)?
        .delete_agent(v1::ObjectRequest {
            tenant,
            id,
            expected_version,
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List tool servers
#[utoipa::path(get, path = "/v1/tenants/{tenant}/tool-servers", tag = "tool-servers", operation_id = "listToolServers", params(Page),
    responses((status = 200, description = "A page", body = Servers)))]
pub(crate) async fn list_servers(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Params(page): Params<Page>,
) -> Result<Json<Servers>, Problem> {
    let request = v1::ListRequest {
        tenant,
        after: page.after,
        limit: page.limit,
    };
    let listed = api
        .control(&principal)?
        .list_servers(request)
        .await?
        .into_inner();
    Ok(Json(Servers {
        tool_servers: all(&listed.documents)?,
        next: next(listed.next),
    }))
}

/// Read a tool server
#[utoipa::path(get, path = "/v1/tenants/{tenant}/tool-servers/{id}", tag = "tool-servers", operation_id = "getToolServer",
    responses((status = 200, description = "As it is, with its `ETag`", body = Object)))]
pub(crate) async fn get_server(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, id)): Path<(String, String)>,
) -> Answer {
    let request = v1::ObjectRequest {
        tenant,
        id,
        expected_version: 0,
    };
    answer(
        api.control(&principal)?
            .get_server(request)
            .await?
            .get_ref(),
    )
}

/// Make or replace a tool server
#[utoipa::path(put, path = "/v1/tenants/{tenant}/tool-servers/{id}", tag = "tool-servers", operation_id = "putToolServer",
    request_body = Object,
    params(("If-Match" = Option<String>, Header, description = "Only if it still has this `ETag`")),
    responses((status = 200, description = "As it is now, with its `ETag`", body = Object)))]
pub(crate) async fn put_server(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, id)): Path<(String, String)>,
    Expected(expected): Expected,
    Body(document): Body<Map<String, Value>>,
) -> Answer {
    let request = put(tenant, id, document, expected)?;
    answer(
        api.control(&principal)?
            .put_server(request)
            .await?
            .get_ref(),
    )
}

/// Delete a tool server
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/tool-servers/{id}", tag = "tool-servers", operation_id = "deleteToolServer",
    params(("If-Match" = Option<String>, Header, description = "Only if it still has this `ETag`")),
    responses((status = 204, description = "It is gone")))]
pub(crate) async fn delete_server(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, id)): Path<(String, String)>,
    Expected(expected_version): Expected,
) -> Result<StatusCode, Problem> {
    api.control(&principal)?
        .delete_server(v1::ObjectRequest {
            tenant,
            id,
            expected_version,
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What edges see of a tool server
///
/// How it does for each edge, and every definition that is not as it was approved: `changed`, `new`, `gone`, or `held` (in
/// the catalogue, never approved). A changed one comes with its difference, a JSON Patch (RFC 6902) with what `was` there;
/// `findings` name text that is not seen as it is and text that reads like an order to the model. Until it is approved it
/// is not called.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/tool-servers/{id}/drift", tag = "tool-servers", operation_id = "getToolServerDrift",
    responses((status = 200, description = "What is seen", body = Object)))]
pub(crate) async fn server_drift(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, id)): Path<(String, String)>,
) -> Answer {
    let request = v1::ObjectRequest {
        tenant,
        id,
        expected_version: 0,
    };
    let drift = api.control(&principal)?.server_drift(request).await?;
    answer(drift.get_ref())
}

/// Approve a definition as it is shown now
///
/// Labels stay as they are; a tool that is new gets the default ones (write, untrusted).
#[utoipa::path(post, path = "/v1/tenants/{tenant}/tool-servers/{id}/approve", tag = "tool-servers", operation_id = "approveDefinition",
    request_body = Approved,
    responses((status = 200, description = "The tool server as it is now, with its `ETag`", body = Object)))]
pub(crate) async fn approve_definition(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, id)): Path<(String, String)>,
    Body(approved): Body<Approved>,
) -> Answer {
    let request = v1::ApproveDefinitionRequest {
        tenant,
        id,
        tool: approved.tool,
        digest: approved.digest,
    };
    let put = api.control(&principal)?.approve_definition(request).await?;
    answer(put.get_ref())
}

//! `/v1/tenants/{tenant}/agents` and `/v1/tenants/{tenant}/tool-servers`: documents that are put and read as a whole.

use crate::Api;
use crate::auth::Principal;
use crate::body::{Body, Expected, Page, Params, Path, bytes, document, etag, next};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use proctor_proto::v1;
use serde::Serialize;
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

//! `/v1/edges`

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

/// An enrolled edge.
#[derive(Serialize, ToSchema)]
pub(crate) struct Edge {
    id: String,
    region: String,
    /// Whom it serves
    tenants: Vec<String>,
    enrolled_at: String,
}

/// A page of edges.
#[derive(Serialize, ToSchema)]
pub(crate) struct Edges {
    edges: Vec<Edge>,
    /// `after` of the next page
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Who is to join.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewJoinToken {
    /// `edge` or `ledger`
    #[schema(example = "edge")]
    role: String,
    /// Edges: whom it is to serve
    #[serde(default)]
    tenants: Vec<String>,
    /// Edges: where it stands
    #[serde(default)]
    #[schema(example = "eu-west")]
    region: String,
}

/// A one-time join token.
#[derive(Serialize, ToSchema)]
pub(crate) struct JoinToken {
    /// The token. It is stored nowhere
    join_token: String,
    expires_at: String,
}

/// Whom an edge is to serve.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Assignment {
    #[schema(example = json!(["acme"]))]
    tenants: Vec<String>,
}

fn edge(edge: v1::Edge) -> Edge {
    Edge {
        id: edge.id,
        region: edge.region,
        tenants: edge.tenants,
        enrolled_at: edge.enrolled_at,
    }
}

/// List edges
#[utoipa::path(get, path = "/v1/edges", tag = "edges", operation_id = "listEdges", params(Page),
    responses((status = 200, description = "A page", body = Edges)))]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Params(page): Params<Page>,
) -> Result<Json<Edges>, Problem> {
    let request = v1::ListRequest {
        tenant: String::new(),
        after: page.after,
        limit: page.limit,
    };
    let listed = api
        .control(&principal)?
        .list_edges(request)
        .await?
        .into_inner();
    Ok(Json(Edges {
        edges: listed.edges.into_iter().map(edge).collect(),
        next: next(listed.next),
    }))
}

/// Make a one-time token by which an edge or a ledger joins
#[utoipa::path(post, path = "/v1/edges/join-tokens", tag = "edges", operation_id = "createJoinToken",
    request_body = NewJoinToken, responses((status = 201, description = "Shown once; good for an hour", body = JoinToken)))]
pub(crate) async fn join_token(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Body(new): Body<NewJoinToken>,
) -> Result<(StatusCode, Json<JoinToken>), Problem> {
    let request = v1::CreateJoinTokenRequest {
        role: new.role,
        tenants: new.tenants,
        region: new.region,
    };
    let v1::CreateJoinTokenResponse {
        join_token,
        expires_at,
    } = api
        .control(&principal)?
        .create_join_token(request)
        .await?
        .into_inner();
    Ok((
        StatusCode::CREATED,
        Json(JoinToken {
            join_token,
            expires_at,
        }),
    ))
}

/// Say whom an edge serves
#[utoipa::path(put, path = "/v1/edges/{id}", tag = "edges", operation_id = "assignEdge", request_body = Assignment,
    responses((status = 200, description = "The edge", body = Edge)))]
pub(crate) async fn assign(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(id): Path<String>,
    Body(assignment): Body<Assignment>,
) -> Result<Json<Edge>, Problem> {
    let request = v1::AssignEdgeRequest {
        id,
        tenants: assignment.tenants,
    };
    Ok(Json(edge(
        api.control(&principal)?
            .assign_edge(request)
            .await?
            .into_inner(),
    )))
}

/// Take an edge out of service
#[utoipa::path(delete, path = "/v1/edges/{id}", tag = "edges", operation_id = "removeEdge",
    responses((status = 204, description = "It serves nobody any more")))]
pub(crate) async fn remove(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let request = v1::ObjectRequest {
        tenant: String::new(),
        id,
        expected_version: 0,
    };
    api.control(&principal)?.remove_edge(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

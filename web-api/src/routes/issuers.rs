//! `/v1/tenants/{tenant}/issuers`

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

/// A page of trusted issuers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Issuers {
    #[schema(value_type = Vec<Object>)]
    issuers: Vec<Value>,
    /// `after` of the next page
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

type Answer = Result<(HeaderMap, Json<Value>), Problem>;

fn answer(stored: &v1::Document) -> Answer {
    Ok((etag(stored.version), Json(document(&stored.document)?)))
}

fn object(tenant: String, id: String, expected_version: u64) -> v1::ObjectRequest {
    v1::ObjectRequest {
        tenant,
        id,
        expected_version,
    }
}

/// List trusted issuers
#[utoipa::path(get, path = "/v1/tenants/{tenant}/issuers", tag = "issuers", operation_id = "listIssuers", params(Page),
    responses((status = 200, description = "A page", body = Issuers)))]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Params(page): Params<Page>,
) -> Result<Json<Issuers>, Problem> {
    let request = v1::ListRequest {
        tenant,
        after: page.after,
        limit: page.limit,
    };
    let listed = api.control(&principal)?.list_issuers(request).await?;
    let listed = listed.into_inner();
    let issuers = listed
        .documents
        .iter()
        .map(|stored| document(&stored.document));
    Ok(Json(Issuers {
        issuers: issuers.collect::<Result<_, _>>()?,
        next: next(listed.next),
    }))
}

/// Read a trusted issuer
#[utoipa::path(get, path = "/v1/tenants/{tenant}/issuers/{id}", tag = "issuers", operation_id = "getIssuer",
    responses((status = 200, description = "As it is, with its `ETag`", body = Object)))]
pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, id)): Path<(String, String)>,
) -> Answer {
    let request = object(tenant, id, 0);
    let stored = api.control(&principal)?.get_issuer(request).await?;
    answer(stored.get_ref())
}

/// Trust an identity provider: edges exchange its access tokens for capability tokens
///
/// `issuer` and `audience` as the tokens have them, `algorithms` (`RS256`), `keys` (`{"kind": "fetched", "jwks_uri": …}` or
/// `{"kind": "inline", "jwks": …}`), `user_claim` (`sub`), `scopes` that a token must have, `agent` (`{"kind": "fixed", "id": …}`
/// or `{"kind": "claim", "claim": "azp", "map": {…}}`), `tools` and further `caveats` of the capability token, its longest life
/// `ttl_max_s` (3600), `proof_required` (DPoP), `mcp_bearer` (true): whether a client of MCP may send the access token itself.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/issuers/{id}", tag = "issuers", operation_id = "putIssuer",
    request_body = Object,
    params(("If-Match" = Option<String>, Header, description = "Only if it still has this `ETag`")),
    responses((status = 200, description = "As it is now, with its `ETag`", body = Object)))]
pub(crate) async fn put(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, id)): Path<(String, String)>,
    Expected(expected_version): Expected,
    Body(mut document): Body<Map<String, Value>>,
) -> Answer {
    document.entry("id").or_insert_with(|| id.as_str().into());
    let request = v1::PutDocumentRequest {
        tenant,
        id,
        document: bytes(&Value::Object(document))?,
        expected_version,
    };
    let stored = api.control(&principal)?.put_issuer(request).await?;
    answer(stored.get_ref())
}

/// Trust an identity provider no longer; capability tokens that it gave live on until they expire or are revoked
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/issuers/{id}", tag = "issuers", operation_id = "deleteIssuer",
    params(("If-Match" = Option<String>, Header, description = "Only if it still has this `ETag`")),
    responses((status = 204, description = "It is gone")))]
pub(crate) async fn delete(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, id)): Path<(String, String)>,
    Expected(expected_version): Expected,
) -> Result<StatusCode, Problem> {
    let request = object(tenant, id, expected_version);
    api.control(&principal)?.delete_issuer(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

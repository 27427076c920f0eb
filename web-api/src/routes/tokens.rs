//! `/v1/tenants/{tenant}/tokens`, `…/revocations`, `…/keys`

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

/// A token to be minted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// For whom
    #[schema(example = "finance-copilot")]
    agent: String,
    /// `key operator value`; an expiry and a tool list are required
    #[schema(example = json!(["time < 2030-01-01T00:00:00Z", "tool in bank/*"]))]
    caveats: Vec<String>,
}

/// A minted token. It is stored nowhere.
#[derive(Serialize, ToSchema)]
pub(crate) struct Minted {
    /// The token
    token: String,
    /// Its revocation id
    token_id: String,
    /// The key that it was minted with
    kid: String,
    expires_at: String,
}

/// What to revoke: one of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRevocation {
    /// Revocation id of a token, or of any prefix of one
    #[serde(default)]
    revocation_id: String,
    /// The token itself
    #[serde(default)]
    token: String,
}

/// A revocation: the token and all that derives from it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Revocation {
    revocation_id: String,
    /// Number within the tenant
    seq: u64,
    revoked_at: String,
}

/// A page of revocations.
#[derive(Serialize, ToSchema)]
pub(crate) struct Revocations {
    revocations: Vec<Revocation>,
    /// `after` of the next page
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A token key, without the key.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenKey {
    kid: String,
    /// `active`, `retiring` or `retired`
    state: String,
    created_at: String,
    /// Tokens of it are refused from then on
    #[serde(skip_serializing_if = "String::is_empty")]
    not_after: String,
}

/// A tenant's token keys.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenKeys {
    keys: Vec<TokenKey>,
}

/// How to change keys.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    /// Seconds for which the old key still verifies
    #[schema(example = 3600)]
    overlap_s: u32,
}

fn revocation(revoked: v1::RevokeResponse) -> Revocation {
    Revocation {
        revocation_id: revoked.revocation_id,
        seq: revoked.seq,
        revoked_at: revoked.revoked_at,
    }
}

fn token_key(key: v1::TokenKeyInfo) -> TokenKey {
    TokenKey {
        kid: key.kid,
        state: key.state,
        created_at: key.created_at,
        not_after: key.not_after,
    }
}

/// Mint a token
#[utoipa::path(post, path = "/v1/tenants/{tenant}/tokens", tag = "tokens", operation_id = "mintToken",
    request_body = NewToken, responses((status = 201, description = "Shown once", body = Minted)))]
pub(crate) async fn mint(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Body(new): Body<NewToken>,
) -> Result<(StatusCode, Json<Minted>), Problem> {
    let request = v1::MintTokenRequest {
        tenant,
        agent: new.agent,
        caveats: new.caveats,
    };
    let minted = api
        .control(&principal)?
        .mint_token(request)
        .await?
        .into_inner();
    let v1::MintTokenResponse {
        token,
        token_id,
        kid,
        expires_at,
    } = minted;
    Ok((
        StatusCode::CREATED,
        Json(Minted {
            token,
            token_id,
            kid,
            expires_at,
        }),
    ))
}

/// Revoke a token, with all that derives from it
#[utoipa::path(post, path = "/v1/tenants/{tenant}/revocations", tag = "tokens", operation_id = "revoke",
    request_body = NewRevocation, responses((status = 201, description = "It is revoked", body = Revocation)))]
pub(crate) async fn revoke(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Body(new): Body<NewRevocation>,
) -> Result<(StatusCode, Json<Revocation>), Problem> {
    if new.revocation_id.is_empty() == new.token.is_empty() {
        return Err(Problem::bad_request(
            "the body: exactly one of revocation_id and token",
        ));
    }
    let request = v1::RevokeRequest {
        tenant,
        revocation_id: new.revocation_id,
        token: new.token,
    };
    let revoked = api.control(&principal)?.revoke(request).await?.into_inner();
    Ok((StatusCode::CREATED, Json(revocation(revoked))))
}

/// List revocations
#[utoipa::path(get, path = "/v1/tenants/{tenant}/revocations", tag = "tokens", operation_id = "listRevocations",
    params(Page), responses((status = 200, description = "A page", body = Revocations)))]
pub(crate) async fn list_revocations(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Params(page): Params<Page>,
) -> Result<Json<Revocations>, Problem> {
    let request = v1::ListRequest {
        tenant,
        after: page.after,
        limit: page.limit,
    };
    let listed = api
        .control(&principal)?
        .list_revocations(request)
        .await?
        .into_inner();
    let revocations = listed.revocations.into_iter().map(revocation).collect();
    Ok(Json(Revocations {
        revocations,
        next: next(listed.next),
    }))
}

/// List token keys
#[utoipa::path(get, path = "/v1/tenants/{tenant}/keys", tag = "tokens", operation_id = "listTokenKeys",
    responses((status = 200, description = "All of them, without the keys themselves", body = TokenKeys)))]
pub(crate) async fn list_keys(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
) -> Result<Json<TokenKeys>, Problem> {
    let request = v1::ListRequest {
        tenant,
        after: String::new(),
        limit: 0,
    };
    let listed = api
        .control(&principal)?
        .list_keys(request)
        .await?
        .into_inner();
    Ok(Json(TokenKeys {
        keys: listed.keys.into_iter().map(token_key).collect(),
    }))
}

/// Begin to mint with a new key
#[utoipa::path(post, path = "/v1/tenants/{tenant}/keys/rotate", tag = "tokens", operation_id = "rotateTokenKey",
    request_body = Rotation, responses((status = 201, description = "The new key", body = TokenKey)))]
pub(crate) async fn rotate(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Body(rotation): Body<Rotation>,
) -> Result<(StatusCode, Json<TokenKey>), Problem> {
    let request = v1::RotateKeyRequest {
        tenant,
        overlap_s: rotation.overlap_s,
    };
    let key = api
        .control(&principal)?
        .rotate_key(request)
        .await?
        .into_inner();
    Ok((StatusCode::CREATED, Json(token_key(key))))
}

//! `/v1/tenants/{tenant}/intents`

use crate::Api;
use crate::auth::Principal;
use crate::body::{Body, Path, bytes, document};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use proctor_proto::v1;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::ToSchema;

/// A request in free text.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FreeText {
    /// The agent that is to act
    #[schema(example = "finance-copilot")]
    agent: String,
    /// The request in the user's words
    #[schema(example = "Pay the car rental bill from December")]
    goal: String,
    /// The user it acts for
    #[serde(default)]
    user: String,
    /// The session that it is for
    #[serde(default)]
    session: String,
}

/// Have the tenant's extractor propose a declaration
///
/// Nothing is declared: who agrees with the proposal declares it.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/intents/extract", tag = "intents", operation_id = "extractIntent",
    request_body = FreeText, responses((status = 200, description = "A declaration that would be accepted", body = Object)))]
pub(crate) async fn extract(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Body(text): Body<FreeText>,
) -> Result<Json<Value>, Problem> {
    let request = v1::ExtractIntentRequest {
        tenant,
        agent: text.agent,
        goal: text.goal,
        user: text.user,
        session: text.session,
    };
    let proposed = api.control(&principal)?.extract_intent(request).await?;
    Ok(Json(document(&proposed.into_inner().declaration)?))
}

/// Declare what a user asked for
///
/// `agent`, `goal`, `actions` (each with `tool`, and `args`, `origins`, `max_calls`, `on_violation` where wanted),
/// `expires_in_s`; `user` and `session` where there are any; `parent` for an intent that narrows another.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/intents", tag = "intents", operation_id = "declareIntent",
    request_body = Object, responses((status = 201, description = "The intent, with its id", body = Object)))]
pub(crate) async fn declare(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Body(declaration): Body<Map<String, Value>>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let declaration = bytes(&Value::Object(declaration))?;
    let request = v1::DeclareIntentRequest {
        tenant,
        declaration,
    };
    let declared = api
        .control(&principal)?
        .declare_intent(request)
        .await?
        .into_inner();
    Ok((StatusCode::CREATED, Json(document(&declared.document)?)))
}

/// Read an intent
#[utoipa::path(get, path = "/v1/tenants/{tenant}/intents/{id}", tag = "intents", operation_id = "getIntent",
    responses((status = 200, description = "The intent", body = Object)))]
pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, id)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let request = v1::ObjectRequest {
        tenant,
        id,
        expected_version: 0,
    };
    let found = api
        .control(&principal)?
        .get_intent(request)
        .await?
        .into_inner();
    Ok(Json(document(&found.document)?))
}

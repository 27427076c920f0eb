//! `/v1/tenants/{tenant}/content-rules`

use crate::Api;
use crate::auth::Principal;
use crate::body::{Body, Expected, Path, bytes, document, etag};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use proctor_proto::v1;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::ToSchema;

/// A text, and where it is taken to go.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContentTest {
    /// At most 64 KiB
    #[schema(example = "mail bob@example.org")]
    text: String,
    /// What it is called where it stands: the key of a JSON member
    #[serde(default)]
    key: String,
    /// `outbound` or `inbound`
    #[schema(example = "outbound")]
    direction: String,
    /// `server/tool`
    #[serde(default)]
    tool: String,
    /// The tool's verb; `write` if it is left out
    #[serde(default)]
    verb: String,
    /// Rules to test; those of the tenant if they are left out
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    rules: Option<Map<String, Value>>,
}

/// What would be found and done. Positions are bytes of the text in UTF-8.
#[derive(Serialize, ToSchema)]
pub(crate) struct ContentTested {
    matches: Vec<ContentMatch>,
    /// The strictest action of all matches
    action: String,
    /// The text as it would go on; absent if it would not
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// One match.
#[derive(Serialize, ToSchema)]
pub(crate) struct ContentMatch {
    class: String,
    start: u64,
    end: u64,
    confidence: String,
    action: String,
}

type Answer = Result<(HeaderMap, Json<Value>), Problem>;

fn answer(stored: &v1::Document) -> Answer {
    Ok((etag(stored.version), Json(document(&stored.document)?)))
}

fn request(tenant: String, expected_version: u64) -> v1::ObjectRequest {
    v1::ObjectRequest {
        tenant,
        id: String::new(),
        expected_version,
    }
}

/// Read the content rules
#[utoipa::path(get, path = "/v1/tenants/{tenant}/content-rules", tag = "content-rules", operation_id = "getContentRules",
    responses((status = 200, description = "As they are, with their `ETag`; the standard ones if none were put", body = Object)))]
pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
) -> Answer {
    let stored = api
        .control(&principal)?
        .get_content_rules(request(tenant, 0))
        .await?;
    answer(stored.get_ref())
}

/// Replace the content rules
#[utoipa::path(put, path = "/v1/tenants/{tenant}/content-rules", tag = "content-rules", operation_id = "putContentRules",
    request_body = Object,
    params(("If-Match" = Option<String>, Header, description = "Only if they still have this `ETag`")),
    responses((status = 200, description = "As they are now, with their `ETag`", body = Object)))]
pub(crate) async fn put(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Expected(expected_version): Expected,
    Body(rules): Body<Map<String, Value>>,
) -> Answer {
    let request = v1::PutDocumentRequest {
        tenant,
        id: String::new(),
        document: bytes(&Value::Object(rules))?,
        expected_version,
    };
    let stored = api.control(&principal)?.put_content_rules(request).await?;
    answer(stored.get_ref())
}

/// Go back to the standard content rules
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/content-rules", tag = "content-rules", operation_id = "deleteContentRules",
    params(("If-Match" = Option<String>, Header, description = "Only if they still have this `ETag`")),
    responses((status = 204, description = "They are gone")))]
pub(crate) async fn delete(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Expected(expected_version): Expected,
) -> Result<StatusCode, Problem> {
    api.control(&principal)?
        .delete_content_rules(request(tenant, expected_version))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Test content rules on a text
#[utoipa::path(post, path = "/v1/tenants/{tenant}/content-rules/test", tag = "content-rules", operation_id = "testContentRules",
    request_body = ContentTest, responses((status = 200, description = "What would be found and done", body = ContentTested)))]
pub(crate) async fn test(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Body(test): Body<ContentTest>,
) -> Result<Json<ContentTested>, Problem> {
    let rules = test.rules.map(|rules| bytes(&Value::Object(rules)));
    let request = v1::TestContentRulesRequest {
        tenant,
        text: test.text,
        key: test.key,
        direction: test.direction,
        tool: test.tool,
        verb: test.verb,
        rules: rules.transpose()?.unwrap_or_default(),
    };
    let tested = api
        .control(&principal)?
        .test_content_rules(request)
        .await?
        .into_inner();
    let stopped = matches!(tested.action.as_str(), "block" | "escalate");
    Ok(Json(ContentTested {
        matches: tested.matches.into_iter().map(found).collect(),
        action: tested.action,
        text: (!stopped).then_some(tested.text),
    }))
}

fn found(hit: v1::ContentMatch) -> ContentMatch {
    let v1::ContentMatch {
        class,
        start,
        end,
        confidence,
        action,
    } = hit;
    ContentMatch {
        class,
        start,
        end,
        confidence,
        action,
    }
}

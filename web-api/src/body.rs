//! Reading requests: strict JSON bodies, versions, pages.

use crate::problem::Problem;
use crate::strict;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;
use utoipa::IntoParams;

/// Largest body, in bytes: a policy or a catalogue, which has to fit into one signed document.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Largest body with somebody else's document in it, in bytes: control takes 3 MiB of such a text, which is longer as a
/// string of JSON.
const UPLOAD_BYTES_MAX: usize = 6 * 1024 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A JSON body. Unknown members, double keys and wrong types are refused with a sentence that names them.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        read(request, BODY_BYTES_MAX).await.map(Self)
    }
}

/// A JSON body like [`Body`], in which somebody else's document stands whole.
pub(crate) struct Upload<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Upload<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        read(request, UPLOAD_BYTES_MAX).await.map(Self)
    }
}

async fn read<T: DeserializeOwned>(request: Request, bytes_max: usize) -> Result<T, Problem> {
    let kind = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = kind
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let detail = "the body has to be JSON: 'Content-Type: application/json'";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let read = axum::body::to_bytes(request.into_body(), bytes_max);
    let read = tokio::time::timeout(BODY_TIMEOUT, read).await;
    let bytes = read
        .map_err(|_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long"))?
        .map_err(|_| {
            let detail = format!("the body is larger than {bytes_max} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
        })?;
    let value = strict::parse(&bytes)
        .map_err(|error| Problem::bad_request(format!("the body: {error}")))?;
    if has_nul(&value) {
        return Err(Problem::bad_request(
            "the body: U+0000 is not taken in any text",
        ));
    }
    serde_json::from_value(value)
        .map_err(|error| Problem::bad_request(format!("the body: {error}")))
}

/// Postgres can't store it.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(elements) => elements.iter().any(has_nul),
        Value::Object(members) => members
            .iter()
            .any(|(key, value)| key.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// Query parameters; unknown ones are refused.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(QueryRejection::FailedToDeserializeQueryString(error)) => Err(
                Problem::bad_request(format!("the query: {}", error.body_text())),
            ),
            Err(_) => Err(Problem::bad_request("the query can't be read")),
        }
    }
}

/// What stands in the path. (Named as axum's own, by which the OpenAPI document knows it.)
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(path)) => Ok(Self(path)),
            Err(rejection) => Err(Problem::bad_request(format!(
                "the path: {}",
                rejection.body_text()
            ))),
        }
    }
}

/// Which part of a list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// Objects after this one: `next` of the page before
    #[serde(default)]
    pub(crate) after: String,
    /// At most so many, 1 to 500
    #[serde(default)]
    pub(crate) limit: u32,
}

/// The version that a change is meant for: `If-Match` (RFC 9110, section 13.1.1). 0: whatever it is.
pub(crate) struct Expected(pub(crate) u64);

impl<S: Sync> FromRequestParts<S> for Expected {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else {
            return Ok(Self(0));
        };
        let tag = value.to_str().unwrap_or_default().trim();
        if tag == "*" {
            return Ok(Self(0));
        }
        let number = tag
            .strip_prefix('"')
            .and_then(|tag| tag.strip_suffix('"'))
            .and_then(|tag| tag.parse().ok());
        number
            .filter(|number| *number > 0)
            .map(Self)
            .ok_or_else(|| {
                // Never was the object of such a version.
                Problem::new(
                    StatusCode::PRECONDITION_FAILED,
                    "If-Match: no version of this object has this tag",
                )
            })
    }
}

/// The `ETag` header of a version.
pub(crate) fn etag(version: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(&format!("\"{version}\"")) {
        headers.insert(header::ETAG, value);
    }
    headers
}

/// A document as it is stored.
pub(crate) fn document(bytes: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(bytes).map_err(|_| Problem::internal())
}

/// A document as control takes it.
pub(crate) fn bytes(document: &Value) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(document).map_err(|_| Problem::internal())
}

/// `next` of a page: only a full page has one.
pub(crate) fn next(next: String) -> Option<String> {
    Some(next).filter(|next| !next.is_empty())
}

//! This edge as a protected resource of OAuth: where tokens for it come from (RFC 9728).

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::Arc;
use url::Url;

pub(super) const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
pub(super) const OF_ENDPOINT: &str = "/.well-known/oauth-protected-resource/{*endpoint}";

/// What is said of this edge. Without a public address it is none.
pub(crate) struct Resource {
    public: Option<Url>,
    authorization_servers: Vec<Url>,
}

impl Resource {
    pub(crate) fn new(public: Option<Url>, authorization_servers: Vec<Url>) -> Self {
        Self {
            public,
            authorization_servers,
        }
    }

    fn challenge(&self, path: &str, error: Option<&str>) -> Option<HeaderValue> {
        let mut challenge = "Bearer realm=\"proctor\"".to_owned();
        if let Some(public) = &self.public {
            let metadata = public.join(&format!("{WELL_KNOWN}{path}")).ok()?;
            challenge.push_str(&format!(", resource_metadata=\"{metadata}\""));
        }
        if let Some(error) = error {
            challenge.push_str(&format!(", error=\"{error}\""));
        }
        HeaderValue::from_str(&challenge).ok()
    }

    fn document(&self, path: &str) -> Response {
        let Some(resource) = self
            .public
            .as_ref()
            .and_then(|public| public.join(path).ok())
        else {
            return super::error::plain_status(
                StatusCode::NOT_FOUND,
                "this edge has no public address",
            );
        };
        let servers: Vec<_> = self.authorization_servers.iter().map(Url::as_str).collect();
        let document = json!({
            "resource": resource.as_str(),
            "authorization_servers": servers,
            "bearer_methods_supported": ["header"],
            "resource_name": "Proctor",
        });
        ([(header::CACHE_CONTROL, "max-age=300")], Json(document)).into_response()
    }
}

/// Says with each answer for lack of a token where one comes from: `WWW-Authenticate` (RFC 6750, section 3; RFC 9728,
/// section 5.1).
pub(super) async fn challenge(
    State(resource): State<Arc<Resource>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let presented = request.headers().contains_key(header::AUTHORIZATION);
    let mut response = next.run(request).await;
    if response.status() == StatusCode::UNAUTHORIZED {
        let error = presented.then_some("invalid_token");
        if let Some(challenge) = resource.challenge(&path, error) {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
    }
    response
}

/// The document of the edge as a whole.
pub(super) async fn whole(State(resource): State<Arc<Resource>>) -> Response {
    resource.document("/")
}

/// The document of one endpoint: its path stands behind the well-known one.
pub(super) async fn endpoint(
    State(resource): State<Arc<Resource>>,
    Path(path): Path<String>,
) -> Response {
    // Whichever endpoint is asked for, it is named as itself: a client compares the two.
    let known = path == "v1/mcp"
        || path == "v1/tool-call"
        || path
            .strip_prefix("v1/mcp/")
            .is_some_and(|id| !id.contains('/'));
    match known {
        true => resource.document(&format!("/{path}")),
        false => super::error::plain_status(StatusCode::NOT_FOUND, "there is no such endpoint"),
    }
}

//! What agents talk to. Each frontend turns its protocol into the same few calls on the [`Gateway`].
//!
//! | path | module |
//! |---|---|
//! | `/v1/mcp`, `/v1/mcp/{server}` | `mcp`: both families of revisions |
//! | `/v1/tool-call` | `tool_call` |
//! | `/v1/llm/{provider}/…` | `llm` |
//! | `/v1/token` | `token`: a login through an identity provider |
//! | `/access/v1/evaluation`, `/access/v1/evaluations` | `authzen` |
//! | `/.well-known/oauth-protected-resource/…` | `resource` |

mod authzen;
mod error;
pub(crate) mod listener;
mod llm;
mod mcp;
mod memory;
mod pages;
mod request;
mod resource;
mod token;
mod tool_call;

pub(crate) use llm::provider_error;

use crate::coding::is_encoded;
use crate::config::Face;
use crate::enforce::Gateway;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use pages::Pages;
use resource::Resource;
use std::net::SocketAddr;
use std::sync::Arc;

/// Headers that decide something: twice is one too many, whoever is meant to read which.
const ONCE: [HeaderName; 11] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::HOST,
    HeaderName::from_static("mcp-session-id"),
    HeaderName::from_static("mcp-protocol-version"),
    HeaderName::from_static("mcp-method"),
    HeaderName::from_static("mcp-name"),
    HeaderName::from_static("x-api-key"),
    crate::proof::HEADER,
    HeaderName::from_static("x-proctor-approval"),
];

pub(crate) fn router(gateway: Arc<Gateway>, listen: SocketAddr, face: Face) -> Router {
    let pages = Arc::new(Pages::new(
        listen,
        face.public_url.clone(),
        &face.allowed_origins,
    ));
    let resource = Arc::new(Resource::new(
        face.public_url,
        face.authorization_servers,
        Arc::clone(&gateway.tenants),
    ));
    let mcp = Arc::new(mcp::Endpoint::new(Arc::clone(&gateway)));
    Router::new()
        .route("/v1/tool-call", post(tool_call::call))
        .route(
            "/v1/llm/{provider}/{*path}",
            post(llm::prompt).get(llm::models),
        )
        .route("/v1/token", post(token::exchange))
        .route("/v1/memory/{operation}", post(memory::call))
        .route("/access/v1/evaluation", post(authzen::evaluation))
        .route("/access/v1/evaluations", post(authzen::evaluations))
        .with_state(Arc::clone(&gateway))
        .merge(
            Router::new()
                .route("/v1/mcp", any(mcp::all_servers))
                .route("/v1/mcp/{server}", any(mcp::one_server))
                .with_state(mcp),
        )
        .merge(
            Router::new()
                .route(resource::WELL_KNOWN, get(resource::whole))
                .route(resource::OF_ENDPOINT, get(resource::endpoint))
                .with_state(Arc::clone(&resource)),
        )
        .fallback(async || {
            error::plain_status(StatusCode::NOT_FOUND, "there is nothing at this path")
        })
        .method_not_allowed_fallback(async || {
            error::plain_status(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not take this method",
            )
        })
        .layer(from_fn_with_state(resource, resource::challenge))
        .layer(from_fn(guard))
        .layer(pages.cors())
        .layer(from_fn_with_state(pages, pages::guard))
        // The body is read with our own limit.
        .layer(DefaultBodyLimit::disable())
}

/// What holds for each request, whatever it is for.
async fn guard(request: Request, next: Next) -> Response {
    if let Err(sentence) = well_formed(&request) {
        return turned_away(request, StatusCode::BAD_REQUEST, sentence).await;
    }
    next.run(request).await.into_response()
}

/// A refusal after which nothing more of the connection is read: who stands between may see the end of this request
/// elsewhere than we do.
async fn turned_away(request: Request, status: StatusCode, sentence: &'static str) -> Response {
    request::discard(request.into_body()).await;
    let mut response = error::plain_status(status, sentence);
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

fn well_formed(request: &Request) -> Result<(), &'static str> {
    let headers = request.headers();
    if ONCE
        .iter()
        .any(|name| headers.get_all(name).iter().nth(1).is_some())
    {
        return Err("a header that must be there once is there twice");
    }
    if is_encoded(headers) {
        return Err("an encoded body is not taken: send it as it is");
    }
    if headers.contains_key(header::UPGRADE) || *request.method() == Method::CONNECT {
        return Err("a connection can't be turned into another one here");
    }
    if headers.contains_key(header::TRANSFER_ENCODING)
        && headers.contains_key(header::CONTENT_LENGTH)
    {
        return Err("a length and a transfer encoding at once");
    }
    let path = request.uri().path();
    if path.contains("//")
        || path.contains('%')
        || path.split('/').any(|part| part == "." || part == "..")
    {
        return Err("the path is not in its plain form");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[test]
    fn a_body_that_is_said_to_be_as_it_is_is_taken_and_an_encoded_one_is_not() {
        for (coding, taken) in [
            ("identity", true),
            ("Identity", true),
            ("", true),
            ("gzip", false),
            ("identity, gzip", false),
        ] {
            let request = axum::http::Request::post("/v1/mcp");
            let request = request.header(header::CONTENT_ENCODING, coding);
            let request = request.body(Body::empty()).unwrap();
            assert_eq!(well_formed(&request).is_ok(), taken, "{coding:?}");
        }
    }
}

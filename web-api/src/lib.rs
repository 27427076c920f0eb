//! The admin API: REST and OpenAPI over control's and the ledger's gRPC.
//!
//! It holds no state but a short-lived cache of who an API key is, and no rights of its own: it passes the caller's
//! principal token on, and control and the ledger decide. It must never import another role, and never log a header or
//! a body.
//!
//! Reading order: [`auth`] (who), [`body`] (what comes in), [`problem`] (what goes wrong), [`routes`] (the resources),
//! [`openapi`] (the document).

mod auth;
mod body;
mod openapi;
mod problem;
mod routes;
mod strict;

pub use openapi::document;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use problem::Problem;
use proctor_proto::v1::control_client::ControlClient;
use proctor_proto::v1::ledger_client::LedgerClient;
use proctor_runtime::grpc::{BearerInterceptor, GrpcError, channel};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

/// How the admin API is to run.
#[derive(Clone, Debug)]
pub struct WebApiConfig {
    /// Where operators and applications connect.
    pub listen: SocketAddr,
    /// Control's gRPC listener, `http://host:port`.
    pub control_grpc: String,
    /// The ledger's gRPC listener, `http://host:port`.
    pub ledger_grpc: String,
}

/// The admin API can't start.
#[derive(Debug, thiserror::Error)]
pub enum WebApiError {
    /// An address of control or of the ledger.
    #[error("an address of control or of the ledger")]
    Address(#[from] GrpcError),
    /// The listener.
    #[error("cannot listen on {addr}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A running admin API.
pub struct Handle {
    /// Where it listens.
    pub addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Handle {
    /// Waits until it has ended, after the shutdown token was cancelled.
    pub async fn stopped(self) {
        if self.task.await.is_err() {
            tracing::error!("the admin API's task failed");
        }
    }
}

type Client = InterceptedService<Channel, BearerInterceptor>;

/// What every handler needs.
pub(crate) struct Api {
    control: Channel,
    ledger: Channel,
    /// The ledger's address, for connections that only one follower uses.
    ledger_address: String,
    principals: auth::Principals,
    /// Ends streams that would otherwise never end.
    shutdown: CancellationToken,
}

impl Api {
    fn control(&self, principal: &auth::Principal) -> Result<ControlClient<Client>, Problem> {
        Ok(
            ControlClient::with_interceptor(self.control.clone(), principal.bearer()?)
                .max_decoding_message_size(MESSAGE_BYTES_MAX),
        )
    }

    fn ledger(&self, principal: &auth::Principal) -> Result<LedgerClient<Client>, Problem> {
        Ok(
            LedgerClient::with_interceptor(self.ledger.clone(), principal.bearer()?)
                .max_decoding_message_size(MESSAGE_BYTES_MAX),
        )
    }
}

impl Api {
    /// The ledger over a connection of its own: calls that last as long as somebody listens do not take the places of the
    /// others on the shared one.
    fn ledger_alone(&self, principal: &auth::Principal) -> Result<LedgerClient<Client>, Problem> {
        let channel = channel(&self.ledger_address).map_err(|_| Problem::internal())?;
        Ok(LedgerClient::with_interceptor(channel, principal.bearer()?))
    }
}

/// Largest answer of control or the ledger, in bytes: a page of large documents.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Starts the admin API; it stops when `shutdown` is cancelled.
///
/// # Errors
/// If an address can't be used.
pub async fn start(
    config: WebApiConfig,
    shutdown: CancellationToken,
) -> Result<Handle, WebApiError> {
    let api = Arc::new(Api {
        control: channel(&config.control_grpc)?,
        ledger: channel(&config.ledger_grpc)?,
        ledger_address: config.ledger_grpc.clone(),
        principals: auth::Principals::new(),
        shutdown: shutdown.clone(),
    });
    let failed = |source| WebApiError::Listen {
        addr: config.listen,
        source,
    };
    let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    let task = tokio::spawn(async move {
        let served =
            axum::serve(listener, router(api)).with_graceful_shutdown(shutdown.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(%error, "the admin API's listener stopped");
        }
    });
    Ok(Handle { addr, task })
}

fn router(api: Arc<Api>) -> Router {
    let (router, document) = openapi::parts();
    // Fixed while it runs: written once.
    let document = Arc::new(document);
    router
        .with_state(api)
        .route(
            "/openapi.json",
            axum::routing::get(async move || axum::Json(Arc::clone(&document))),
        )
        .route("/healthz", axum::routing::get(async || "ok\n"))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not take this method",
            )
        })
        // Answers hold tokens and keys that are shown once: nobody keeps them on the way.
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        .layer(CatchPanicLayer::custom(|_| {
            tracing::error!("a handler failed");
            axum::response::IntoResponse::into_response(Problem::internal())
        }))
}

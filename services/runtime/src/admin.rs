//! The admin listener: health, readiness, metrics. Never on the port agents use.
//!
//! `GET /healthz` answers 200 while the process runs. `GET /readyz` answers 200 when every
//! registered part is ready, else 503 with the names of those that are not. `GET /metrics` is
//! Prometheus' text.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State as Connection;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::telemetry::Metrics;

/// How long after an answer of its servers a role asks again.
const LOOK: Duration = Duration::from_secs(1);

/// Which parts of a role are ready. Cheap to clone; all clones share the parts.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, Arc<AtomicBool>>>>);

impl Readiness {
    /// Registers a part, not ready yet. Register all parts before serving: with none, all is ready.
    #[must_use]
    pub fn part(&self, name: &'static str) -> ReadyFlag {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ReadyFlag(Arc::clone(parts.entry(name).or_default()))
    }

    /// Names of the parts that are not ready.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts
            .iter()
            .filter(|(_, ready)| !ready.load(Ordering::Acquire))
            .map(|(name, _)| *name)
            .collect()
    }

    /// Registers the parts `postgres` and `nats`, and has them say until the token is cancelled whether these servers answer.
    /// `postgres` asks over connections of the role's own, and gives up by itself.
    pub fn follow<F>(
        &self,
        postgres: impl Fn() -> F + Send + 'static,
        nats: async_nats::Client,
        shutdown: CancellationToken,
    ) -> JoinHandle<()>
    where
        F: Future<Output = bool> + Send + 'static,
    {
        let (database, bus) = (self.part("postgres"), self.part("nats"));
        tokio::spawn(async move {
            loop {
                bus.set(nats.connection_state() == Connection::Connected);
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    answers = postgres() => database.set(answers),
                }
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        })
    }
}

/// One part's own word on whether it is ready.
#[derive(Debug, Clone)]
pub struct ReadyFlag(Arc<AtomicBool>);

impl ReadyFlag {
    /// It can do its work.
    pub fn ready(&self) {
        self.set(true);
    }

    /// It cannot.
    pub fn not_ready(&self) {
        self.set(false);
    }

    fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }
}

/// The three endpoints.
pub fn router(readiness: Readiness, metrics: Metrics) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(render).with_state(metrics))
}

/// Serves a router until the token is cancelled and the requests under way have been answered.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}

async fn readyz(State(readiness): State<Readiness>) -> (StatusCode, String) {
    let missing = readiness.missing();
    if missing.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {}\n", missing.join(", ")),
        )
    }
}

async fn render(State(metrics): State<Metrics>) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        metrics.render(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nats::{self, NatsSettings};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn fetch(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_is_ready_when_every_part_is() {
        let readiness = Readiness::default();
        let (nats, store) = (readiness.part("nats"), readiness.part("store"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let router = router(readiness, Metrics::detached().unwrap());
        let server = tokio::spawn(serve(listener, router, shutdown.clone()));

        assert!(fetch(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        let answer = fetch(address, "/readyz").await;
        assert!(
            answer.starts_with("HTTP/1.1 503") && answer.contains("not ready: nats, store"),
            "{answer}"
        );
        nats.ready();
        store.ready();
        assert!(fetch(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        nats.not_ready();
        assert!(
            fetch(address, "/readyz")
                .await
                .contains("not ready: nats\n")
        );
        assert!(
            fetch(address, "/metrics")
                .await
                .contains("text/plain; version=0.0.4")
        );
        assert!(fetch(address, "/v1/mcp").await.starts_with("HTTP/1.1 404"));
        shutdown.cancel();
        server.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn servers_that_never_answer_do_not_hold_up_the_end() {
        let nowhere = NatsSettings::from_url("nats://127.0.0.1:1");
        let nats = nats::connect(&nowhere, "test").await.unwrap();
        let (readiness, shutdown) = (Readiness::default(), CancellationToken::new());
        let follows = readiness.follow(std::future::pending, nats, shutdown.clone());
        assert_eq!(readiness.missing(), ["nats", "postgres"]);
        shutdown.cancel();
        follows.await.unwrap();
    }
}

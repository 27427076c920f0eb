//! The listener that agents connect to: bounded in connections, and in time for headers. HTTP/1.1 alone: without TLS
//! there is nothing that could agree on HTTP/2.

use axum::Router;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use nix::sys::resource::{Resource, getrlimit};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Connections at once; more are closed.
const CONNECTIONS_MAX: usize = 16_384;
/// How long the headers of a request may take, and a connection may idle between two.
const HEADERS: Duration = Duration::from_secs(60);
/// Bytes of headers.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// How long requests under way may take when the edge stops.
const DRAIN: Duration = Duration::from_secs(10);

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .timer(TokioTimer::new())
        // Runs from the first moment of a connection, whether anything comes or not.
        .header_read_timeout(HEADERS)
        .max_buf_size(HEADER_BYTES_MAX);
    builder
}

/// Half of the file descriptors that this process may have: the rest is for spool, NATS and tool servers.
fn connections_max() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1_024, |(soft, _)| soft);
    usize::try_from(limit / 2)
        .unwrap_or(CONNECTIONS_MAX)
        .min(CONNECTIONS_MAX)
}

/// Serves until `shutdown`, then waits a while for the requests under way.
pub(crate) async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let builder = builder();
    let room = Arc::new(Semaphore::new(connections_max()));
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                // Where there is no room the connection is closed: nothing was asked yet.
                if let Ok(room) = Arc::clone(&room).try_acquire_owned() {
                    connection(&builder, stream, &router, &graceful, room);
                }
            }
            Err(error) => {
                // Mostly: no file descriptors left. Some connection will end.
                tracing::warn!(%error, "a connection can't be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    if tokio::time::timeout(DRAIN, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests were still under way at the end");
    }
}

fn connection(
    builder: &Builder,
    stream: TcpStream,
    router: &Router,
    graceful: &GracefulShutdown,
    room: OwnedSemaphorePermit,
) {
    // Without it answers wait for acknowledgements; a socket that refuses it is on its way out.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router.clone());
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended badly");
        }
        drop(room);
    });
}

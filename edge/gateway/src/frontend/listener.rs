//! The listener that agents connect to: bounded in connections, in time for headers, in streams and resets.

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
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
/// HTTP/2: requests of one connection at once.
const STREAMS_MAX: u32 = 128;
/// HTTP/2: reset streams that are remembered before the connection is ended (rapid reset).
const RESETS_MAX: usize = 32;
/// HTTP/2: how often a silent peer is asked for a sign of life.
const PING: Duration = Duration::from_secs(20);
/// How long requests under way may take when the edge stops.
const DRAIN: Duration = Duration::from_secs(10);

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .keep_alive_interval(PING);
    builder
}

/// Serves until `shutdown`, then waits a while for the requests under way.
pub(crate) async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let builder = Arc::new(builder());
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
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
    builder: &Arc<Builder<TokioExecutor>>,
    stream: TcpStream,
    router: &Router,
    graceful: &GracefulShutdown,
    room: OwnedSemaphorePermit,
) {
    // Without it answers wait for acknowledgements; a socket that refuses it is on its way out.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router.clone());
    let connection = builder
        .serve_connection(TokioIo::new(stream), service)
        .into_owned();
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended badly");
        }
        drop(room);
    });
}

//! The listener that agents connect to: bounded in connections, all and of each peer, and in time for headers. HTTP/1.1 alone: without TLS
//! there is nothing that could agree on HTTP/2.

use axum::Router;
use hyper::server::conn::http1::Builder;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use proctor_runtime::peers::{Peer, Peers};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Connections at once; more are closed.
const CONNECTIONS_MAX: usize = 16_384;
/// How long a new connection may take to ask anything.
const FIRST: Duration = Duration::from_secs(10);
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

/// Half of the file descriptors that this process may have: the rest is for spool, NATS and tool servers. It takes as many
/// as it may: what shells are given is far too few for a server.
fn connections_max() -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1_024, 1_024));
    let raised = soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    let limit = if raised { hard } else { soft };
    usize::try_from(limit / 2)
        .unwrap_or(CONNECTIONS_MAX)
        .min(CONNECTIONS_MAX)
}

/// Serves until `shutdown`, then waits a while for the requests under way.
pub(crate) async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let builder = builder();
    let most = connections_max();
    let room = Arc::new(Semaphore::new(most));
    // Generous: a proxy that stands before this edge is one peer.
    let peers = Peers::new(most.saturating_sub(most / 4), None);
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                // Where there is no room the connection is closed: nothing was asked yet.
                if let Some(peer) = peers.enter(from.ip(), Instant::now())
                    && let Ok(room) = Arc::clone(&room).try_acquire_owned()
                {
                    connection(&builder, stream, &router, &graceful, (peer, room));
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
    room: (Peer, OwnedSemaphorePermit),
) {
    // Without it answers wait for acknowledgements; a socket that refuses it is on its way out.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router.clone());
    let asked = Arc::new(AtomicBool::new(false));
    let asks = Arc::clone(&asked);
    let service = service_fn(move |request| {
        asks.store(true, Ordering::Relaxed);
        service.call(request)
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = Box::pin(graceful.watch(connection));
    tokio::spawn(async move {
        let ended = match tokio::time::timeout(FIRST, &mut connection).await {
            Ok(ended) => ended,
            // It asked nothing: somebody else may have its place.
            Err(_) if !asked.load(Ordering::Relaxed) => return,
            Err(_) => connection.await,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended badly");
        }
        drop(room);
    });
}

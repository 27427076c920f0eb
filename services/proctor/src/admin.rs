//! The admin listener of a role whose settings name one.

use anyhow::Context;
use proctor_runtime::admin::{self, Readiness};
use proctor_runtime::telemetry::Metrics;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Serves health, readiness and what the role counts from now on, until the token is cancelled. A part of `readiness` has to
/// stand for the role's start already: with none it would be ready.
pub(crate) async fn serve(
    at: Option<SocketAddr>,
    readiness: &Readiness,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let Some(at) = at else {
        return Ok(());
    };
    let listener = TcpListener::bind(at).await;
    let listener = listener.with_context(|| format!("the admin listener on {at}"))?;
    println!("admin on {}", listener.local_addr()?);
    let router = admin::router(readiness.clone(), Metrics::install()?);
    let serving = admin::serve(listener, router, shutdown.clone());
    tokio::spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "the admin listener stopped");
        }
    });
    Ok(())
}

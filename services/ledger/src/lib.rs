//! The audit ledger: one tamper-evident hash chain per tenant, in Postgres.
//!
//! It takes signed batches of events from NATS, checks signature and continuity of their lane, appends each event to
//! its tenant's chain exactly once, and only after the commit tells the edge so with a signed receipt. If it stops at
//! any point, the edge still has what was not receipted and sends it again.
//!
//! It must never change an entry, and never import another role.
//!
//! Reading order: [`verify`] (what a sound chain is), `ingest`, `store`, `memory`, `grpc`.

mod error;
mod grpc;
mod ingest;
mod memory;
mod register;
mod store;
pub mod verify;

pub use error::LedgerError;
pub use register::register;

use proctor_model::config::PublicKey;
use proctor_model::signed::{Signer, Verifier};
use proctor_proto::v1;
use proctor_runtime::nats::NatsSettings;
use proctor_runtime::{Clock, Secret, keyfile};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// File of the signing key in the data directory.
pub(crate) const KEY_FILE: &str = "ledger.key";

/// How the ledger is to run.
#[derive(Debug)]
pub struct LedgerConfig {
    /// Postgres. The role in it must be able to become `proctor_ledger`.
    pub database_url: Secret,
    /// NATS.
    pub nats_url: Secret,
    /// Address of the gRPC listener.
    pub listen: SocketAddr,
    /// Directory of the signing key.
    pub data_dir: PathBuf,
    /// The platform's public keys: they certify edges and sign principal tokens.
    pub platform_keys: Vec<PublicKey>,
}

pub(crate) struct State {
    pub(crate) store: store::Store,
    pub(crate) signer: Signer,
    pub(crate) platform: Verifier,
    pub(crate) platform_keys: Vec<PublicKey>,
    pub(crate) clock: Clock,
    /// Wakes those who follow a chain.
    pub(crate) appended: Notify,
    pub(crate) shutdown: CancellationToken,
}

/// A running ledger.
pub struct Handle {
    /// Where gRPC listens.
    pub grpc_addr: SocketAddr,
    /// The key that its receipts verify with.
    pub public_key: PublicKey,
    tasks: Vec<JoinHandle<()>>,
}

impl Handle {
    /// Waits until all its tasks have ended, after the shutdown token was cancelled.
    pub async fn stopped(self) {
        for task in self.tasks {
            if task.await.is_err() {
                tracing::error!("a task of the ledger failed");
            }
        }
    }
}

/// Brings the schema up to date. Needs the schema's owner.
///
/// # Errors
/// If the database can't be reached, or a migration fails.
pub async fn migrate(database_url: &Secret) -> Result<(), LedgerError> {
    store::migrate(database_url).await
}

/// Starts the ledger; it stops when `shutdown` is cancelled.
///
/// # Errors
/// If the key file, the database, NATS' address or the listener can't be used.
pub async fn start(
    config: LedgerConfig,
    shutdown: CancellationToken,
) -> Result<Handle, LedgerError> {
    let signer = keyfile::load_or_create_signer(&config.data_dir.join(KEY_FILE))?;
    let store = store::Store::connect(&config.database_url).await?;
    let nats =
        proctor_runtime::nats::connect(&NatsSettings::from_url(config.nats_url), "ledger").await?;
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(LedgerError::Listen)?;
    let grpc_addr = listener.local_addr().map_err(LedgerError::Listen)?;
    let public_key = signer.public_key();
    let state = Arc::new(State {
        store,
        signer,
        platform: Verifier::new(&config.platform_keys)?,
        platform_keys: config.platform_keys,
        clock: Clock::system(),
        appended: Notify::new(),
        shutdown: shutdown.clone(),
    });
    let service = grpc::Service::new(Arc::clone(&state))?;
    let router =
        proctor_runtime::grpc::server().add_service(v1::ledger_server::LedgerServer::new(service));
    let stop = shutdown.clone();
    let serve = tokio::spawn(async move {
        if let Err(error) = proctor_runtime::grpc::serve(router, listener, stop).await {
            tracing::error!(%error, "the ledger's gRPC listener stopped");
        }
    });
    let memory = tokio::spawn(memory::run(
        Arc::clone(&state),
        nats.clone(),
        shutdown.clone(),
    ));
    let ingest = tokio::spawn(ingest::run(state, nats, shutdown));
    Ok(Handle {
        grpc_addr,
        public_key,
        tasks: vec![serve, memory, ingest],
    })
}

//! The audit ledger: one tamper-evident hash chain per tenant, in Postgres.
//!
//! It takes signed batches of events from NATS, checks signature and continuity of their lane, appends each event to
//! its tenant's chain exactly once, and only after the commit tells the edge so with a signed receipt. If it stops at
//! any point, the edge still has what was not receipted and sends it again.
//!
//! It must never change an entry, and never import another role.
//!
//! Reading order: [`verify`] (what a sound chain is), [`merkle`], [`checkpoint`], [`bundle`],
//! `ingest`, `store`, `seal`, `memory`, `grpc`.

mod archive;
pub mod bundle;
pub mod checkpoint;
pub mod drill;
mod error;
mod grpc;
mod ingest;
mod memory;
pub mod merkle;
mod notary;
mod register;
mod scan;
mod seal;
mod store;
pub mod tile;
pub mod verify;
pub mod witness;

pub use archive::{ArchiveError, Archived, archive};
pub use error::LedgerError;
pub use notary::Witness;
pub use register::register;
pub use seal::SealSettings;

use proctor_model::config::PublicKey;
use proctor_model::signed::{Signer, Verifier};
use proctor_model::{DeploymentId, TenantId};
use proctor_proto::v1;
use proctor_runtime::admin::Readiness;
use proctor_runtime::nats::NatsSettings;
use proctor_runtime::random::Random;
use proctor_runtime::{Clock, Secret, keyfile};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// File of the signing key in the data directory.
pub(crate) const KEY_FILE: &str = "ledger.key";
/// File of the key before it: while it is there, checkpoints are signed with both.
const PREVIOUS_KEY_FILE: &str = "ledger.previous.key";
/// How long a lane may wait for events that are missing before that goes into the chain: an edge that has them sends
/// them again within seconds.
pub const GAP_PATIENCE: Duration = Duration::from_secs(30);

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
    /// Name of this installation: the origin of its checkpoints begins with it.
    pub deployment: DeploymentId,
    /// When to seal.
    pub seals: SealSettings,
    /// How long a lane may wait for missing events before that goes into the chain: [`GAP_PATIENCE`], but in tests.
    pub gap_patience: Duration,
}

pub(crate) struct State {
    pub(crate) store: store::Store,
    pub(crate) signer: Signer,
    pub(crate) platform: Verifier,
    pub(crate) platform_keys: Vec<PublicKey>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    /// Our name among the ledgers: made anew at each start.
    pub(crate) holder: String,
    pub(crate) deployment: DeploymentId,
    pub(crate) seals: SealSettings,
    pub(crate) gap_patience: Duration,
    /// The key before the present one, while both sign.
    pub(crate) previous: Option<Signer>,
    pub(crate) faults: ingest::Faults,
    pub(crate) said: ingest::Said,
    /// Chains that we have written.
    pub(crate) held: Mutex<HashSet<TenantId>>,
    /// Wakes the sealer.
    pub(crate) ripe: Notify,
    /// Wakes those who follow a chain.
    pub(crate) appended: Notify,
    /// Wakes those who wait for a witness.
    pub(crate) cosigned: Notify,
    pub(crate) shutdown: CancellationToken,
}

impl State {
    /// Notes that we write a chain.
    pub(crate) fn hold(&self, tenant: &TenantId) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.contains(tenant) {
            held.insert(tenant.clone());
        }
    }

    /// Who signs checkpoints.
    pub(crate) fn log_signers(&self) -> impl Iterator<Item = &Signer> {
        std::iter::once(&self.signer).chain(&self.previous)
    }
}

/// A running ledger.
pub struct Handle {
    /// Where gRPC listens.
    pub grpc_addr: SocketAddr,
    /// The key that its receipts verify with.
    pub public_key: PublicKey,
    state: Arc<State>,
    nats: async_nats::Client,
    tasks: Vec<JoinHandle<()>>,
}

impl Handle {
    /// Has `readiness` say, as long as the ledger runs, whether Postgres and NATS answer.
    pub fn report(&mut self, readiness: &Readiness) {
        let state = Arc::clone(&self.state);
        let postgres = move || {
            let state = Arc::clone(&state);
            async move { state.store.answers().await }
        };
        let shutdown = self.state.shutdown.clone();
        let follows = readiness.follow(postgres, self.nats.clone(), shutdown);
        self.tasks.push(follows);
    }

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
    let previous = config.data_dir.join(PREVIOUS_KEY_FILE);
    let previous = if previous.exists() {
        Some(keyfile::load_or_create_signer(&previous)?)
    } else {
        None
    };
    let store = store::Store::connect(&config.database_url).await?;
    for signer in std::iter::once(&signer).chain(&previous) {
        let key = checkpoint::VerifierKey::of("", signer).key;
        store.note_key(&signer.public_key(), &key).await?;
    }
    let random = Random::system();
    let holder = hex::encode(random.array::<8>()?);
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
        random,
        holder,
        deployment: config.deployment,
        seals: config.seals,
        gap_patience: config.gap_patience,
        previous,
        faults: ingest::Faults::default(),
        said: ingest::Said::default(),
        held: Mutex::default(),
        ripe: Notify::new(),
        appended: Notify::new(),
        cosigned: Notify::new(),
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
    let seal = tokio::spawn(seal::run(Arc::clone(&state)));
    let notary = tokio::spawn(notary::run(Arc::clone(&state)));
    let memory = tokio::spawn(memory::run(
        Arc::clone(&state),
        nats.clone(),
        memory::questions(&nats).await?,
        shutdown.clone(),
    ));
    let ingest = tokio::spawn(ingest::run(Arc::clone(&state), nats.clone(), shutdown));
    Ok(Handle {
        grpc_addr,
        public_key,
        state,
        nats,
        tasks: vec![serve, memory, ingest, seal, notary],
    })
}

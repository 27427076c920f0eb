//! The control plane: the truth about tenants, agents, tool servers, keys, intents and policies.
//!
//! Postgres is the truth; what edges need is signed and published to NATS by [`publish`](mod@publish), in order, from
//! an outbox that commits together with each change. Every change is an audit event on control's own lane.
//!
//! It must never see tool traffic, and never import another role.
//!
//! Reading order: `grpc` (the operations), `store` (tenant transactions), `publish`, `keys`, `secrets`, `enrol`, `approvals`, `sightings`,
//! `kill`, `extract`, `audit`.

mod approvals;
mod audit;
mod budgets;
mod caller;
mod cipher;
mod enrol;
mod error;
mod extract;
mod grpc;
mod keys;
mod kill;
mod memory;
mod mint;
mod publish;
mod revoke;
mod secrets;
mod sightings;
mod store;

pub use error::ControlError;

use proctor_model::config::PublicKey;
use proctor_model::ids::DeploymentId;
use proctor_model::signed::Signer;
use proctor_proto::v1;
use proctor_runtime::admin::Readiness;
use proctor_runtime::grpc::ClientTlsFiles;
use proctor_runtime::keyfile::{self, KeyKind};
use proctor_runtime::nats::NatsSettings;
use proctor_runtime::seal::Opener;
use proctor_runtime::{Clock, Random, Secret};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// How control is to run.
#[derive(Debug)]
pub struct ControlConfig {
    /// Postgres. The role in it must be able to become `proctor_control`.
    pub database_url: Secret,
    /// NATS; also given to ledgers that join.
    pub nats_url: Secret,
    /// NATS as edges that join are to reach it: with a user that may do what an edge does and no more
    /// (docs/operate.md). None: `nats_url`.
    pub edge_nats_url: Option<Secret>,
    /// Address of the gRPC listener.
    pub listen: SocketAddr,
    /// Directory of `platform.key` (signs), `master.key` (encrypts at rest) and `sealing.key` (opens what edges seal).
    pub data_dir: PathBuf,
    /// Name of this installation.
    pub deployment: DeploymentId,
    /// Time between two heartbeats of a tenant.
    pub heartbeat_interval: Duration,
    /// Nodes of the counter, `http://host:port`, with `counter_tls` `https://host:port`; none: the installation has no
    /// counter, and no budgets.
    pub counters: Vec<String>,
    /// Whose certificates are believed to be the counter's nodes', and who control is to them; none: no TLS.
    pub counter_tls: Option<ClientTlsFiles>,
}

/// What all parts of control share.
pub(crate) struct State {
    pub(crate) store: store::Store,
    pub(crate) signer: Signer,
    pub(crate) principals: caller::PrincipalKeys,
    pub(crate) master_key: Zeroizing<[u8; 32]>,
    /// Opens what edges seal for approvers.
    pub(crate) opener: Opener,
    /// For extractors of intents.
    pub(crate) http: reqwest::Client,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    /// Wakes the publisher.
    pub(crate) changed: Notify,
    /// The counter, if there is one.
    pub(crate) counter: Option<budgets::Counter>,
    /// Wakes whoever tells the counter of new limits.
    pub(crate) limits_changed: Notify,
    pub(crate) config: ControlConfig,
}

impl State {
    pub(crate) fn platform_key(&self) -> PublicKey {
        self.signer.public_key()
    }
}

/// A running control plane.
pub struct Handle {
    /// Where gRPC listens.
    pub grpc_addr: SocketAddr,
    /// Keys that its signatures verify with.
    pub platform_keys: Vec<PublicKey>,
    state: Arc<State>,
    nats: async_nats::Client,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Handle {
    /// Has `readiness` say, as long as control runs, whether Postgres and NATS answer.
    pub fn report(&mut self, readiness: &Readiness) {
        let state = Arc::clone(&self.state);
        let postgres = move || {
            let state = Arc::clone(&state);
            async move { state.store.answers().await }
        };
        let follows = readiness.follow(postgres, self.nats.clone(), self.shutdown.clone());
        self.tasks.push(follows);
    }

    /// The first platform administrator's API key, if there is no platform key yet. Shown once.
    ///
    /// # Errors
    /// If the database can't be used.
    pub async fn bootstrap_api_key(&self) -> Result<Option<Secret>, ControlError> {
        store::api_keys::bootstrap(&self.state).await
    }

    /// A one-time join token for an edge or a ledger, for who starts them beside control.
    ///
    /// # Errors
    /// If the database can't be used.
    pub async fn join_token(&self, role: enrol::JoinRole) -> Result<Secret, ControlError> {
        let request = enrol::NewJoinToken {
            role,
            tenants: Vec::new(),
            region: "local".to_owned(),
        };
        Ok(enrol::make_join_token(&self.state, &request, "bootstrap")
            .await?
            .0)
    }

    /// Waits until all its tasks have ended, after the shutdown token was cancelled.
    pub async fn stopped(self) {
        for task in self.tasks {
            if task.await.is_err() {
                tracing::error!("a task of control failed");
            }
        }
    }
}

pub use enrol::JoinRole;

/// Brings the schema up to date. Needs the schema's owner.
///
/// # Errors
/// If the database can't be reached, or a migration fails.
pub async fn migrate(database_url: &Secret) -> Result<(), ControlError> {
    store::migrate(database_url).await
}

/// Starts control; it stops when `shutdown` is cancelled.
///
/// # Errors
/// If a key file, the database, NATS' address or the listener can't be used.
pub async fn start(
    config: ControlConfig,
    shutdown: CancellationToken,
) -> Result<Handle, ControlError> {
    let signer = keyfile::load_or_create_signer(&config.data_dir.join("platform.key"))?;
    let seed = keyfile::load_or_create(&config.data_dir.join("platform.key"), KeyKind::Ed25519)?;
    let master_key =
        keyfile::load_or_create(&config.data_dir.join("master.key"), KeyKind::Symmetric)?;
    let opener = keyfile::load_or_create_opener(&config.data_dir.join("sealing.key"))?;
    let store = store::Store::connect(&config.database_url).await?;
    let nats =
        proctor_runtime::nats::connect(&NatsSettings::from_url(config.nats_url.clone()), "control")
            .await?;
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(ControlError::Listen)?;
    let grpc_addr = listener.local_addr().map_err(ControlError::Listen)?;
    let principals = caller::PrincipalKeys::from_seed(&seed)?;
    let counter = budgets::Counter::new(&config.counters, config.counter_tls.as_ref())
        .map_err(ControlError::Counter)?;
    let state = Arc::new(State {
        store,
        signer,
        principals,
        master_key,
        opener,
        http: extract::client()?,
        clock: Clock::system(),
        random: Random::system(),
        changed: Notify::new(),
        counter,
        limits_changed: Notify::new(),
        config,
    });
    let router = proctor_runtime::grpc::server()
        .add_service(v1::control_server::ControlServer::new(grpc::Service(
            Arc::clone(&state),
        )))
        .add_service(v1::enrolment_server::EnrolmentServer::new(
            enrol::EnrolmentService(Arc::clone(&state)),
        ));
    let stop = shutdown.clone();
    let serve = tokio::spawn(async move {
        if let Err(error) = proctor_runtime::grpc::serve(router, listener, stop).await {
            tracing::error!(%error, "control's gRPC listener stopped");
        }
    });
    let publisher = tokio::spawn(publish::run(
        Arc::clone(&state),
        nats.clone(),
        shutdown.clone(),
    ));
    let clerk = tokio::spawn(approvals::run(
        Arc::clone(&state),
        nats.clone(),
        shutdown.clone(),
    ));
    let watcher = tokio::spawn(sightings::run(
        Arc::clone(&state),
        nats.clone(),
        shutdown.clone(),
    ));
    let keeper = tokio::spawn(budgets::keep::run(Arc::clone(&state), shutdown.clone()));
    let alerts = tokio::spawn(budgets::alerts::run(Arc::clone(&state), shutdown.clone()));
    let shipper = tokio::spawn(audit::run(
        Arc::clone(&state),
        nats.clone(),
        shutdown.clone(),
    ));
    let platform_keys = vec![state.platform_key()];
    Ok(Handle {
        grpc_addr,
        platform_keys,
        state,
        nats,
        shutdown,
        tasks: vec![serve, publisher, clerk, watcher, keeper, alerts, shipper],
    })
}

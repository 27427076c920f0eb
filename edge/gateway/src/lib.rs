//! The edge: Proctor's policy enforcement point, inline between agents and the tools they call.
//!
//! It **promises** that no call reaches a tool that was not decided on by `proctor-engine` and whose `authorized` event
//! is not on disk; that what goes to the tool is the decided call, written anew; that anything missing, late or broken
//! is a refusal with a reason; and that an event stays in the spool until the ledger has it in Postgres.
//!
//! It must **never** believe news that control did not sign, take an intent from the agent, or write a value of a call
//! to a log, a metric or an audit event.
//!
//! **Reading order:** [`enforce`] (one request from token to answer), [`frontend`] (what agents talk to), [`upstream`]
//! (tool servers), [`spool`] and [`ship`] (evidence), [`lease`] (budgets), [`world`] and [`feed`] (what is known of tenants),
//! [`login`] and [`jws`] (whose tokens are exchanged), [`proof`] (who may send a token that is bound to a key), [`sessions`] (what their agents have read), [`tasks`] (what they wait for), [`memory`] (what their memory says),
//! [`identity`].

mod coding;
mod config;
mod control_time;
mod counter;
mod enforce;
mod event;
mod feed;
mod frontend;
mod heard;
mod identity;
mod jws;
mod lease;
mod login;
mod memory;
mod proof;
mod recent;
mod seal;
mod sessions;
mod ship;
mod spool;
mod tasks;
mod upstream;
mod wire_header;
mod world;

pub use config::{EdgeConfig, Face};
pub use identity::{IdentityError, enrol};
pub use spool::SpoolError;
pub use upstream::{LIMITED, ListError, Listing, become_limited, list_tools};

use crate::enforce::{Bearers, Gateway, Room};
use proctor_model::EdgeId;
use proctor_runtime::Random;
use proctor_runtime::admin::{self, Readiness, ReadyFlag};
use proctor_runtime::grpc::{ClientTls, GrpcError};
use proctor_runtime::nats::{self, NatsSettings};
use proctor_runtime::telemetry::Metrics;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How often there is housekeeping.
const TICK: Duration = Duration::from_secs(1);

/// The edge can't start.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// Not enrolled, or its identity can't be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// NATS' address.
    #[error("NATS")]
    Nats(#[from] nats::NatsError),
    /// A listener.
    #[error("cannot listen on {addr}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The HTTP client for tool servers.
    #[error("the HTTP client")]
    Client(#[from] reqwest::Error),
    /// The files of `counter_tls`.
    #[error("the counter's TLS")]
    CounterTls(#[source] GrpcError),
    /// No random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

/// A running edge.
pub struct Handle {
    /// Where agents connect.
    pub agent_addr: SocketAddr,
    /// Health, readiness, metrics.
    pub admin_addr: SocketAddr,
    /// Who it is.
    pub edge_id: EdgeId,
    tasks: Vec<JoinHandle<()>>,
}

impl Handle {
    /// Waits until all its tasks have ended, after the shutdown token was cancelled.
    pub async fn stopped(self) {
        for task in self.tasks {
            if task.await.is_err() {
                tracing::error!("a task of the edge failed");
            }
        }
    }
}

async fn listen(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), EdgeError> {
    let failed = |source| EdgeError::Listen { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    Ok((listener, addr))
}

/// Starts an enrolled edge; it stops when `shutdown` is cancelled.
///
/// # Errors
/// If it was never enrolled, the spool is damaged or in use, or an address can't be had.
pub async fn start(
    config: EdgeConfig,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> Result<Handle, EdgeError> {
    let identity = Arc::new(identity::Identity::load(&config.data_dir)?);
    // No call is to wait for what the content filter builds when it first needs it.
    drop(std::thread::spawn(proctor_engine::filter::warm));
    let counter_tls = config.counter_tls.as_ref().map(ClientTls::load);
    let counter_tls = counter_tls.transpose().map_err(EdgeError::CounterTls)?;
    let spool_config = spool::SpoolConfig {
        dir: config.data_dir.join("spool"),
        bytes_max: config.spool_bytes_max,
    };
    let (spool, open) = spool::Spool::open(spool_config, config.clock.clone())?;
    let (agents, agent_addr) = listen(config.agent_listen).await?;
    let (admins, admin_addr) = listen(config.admin_listen).await?;
    let inbox = proctor_runtime::subjects::edge_inbox(&identity.edge);
    let settings = NatsSettings::from_url(identity.nats_url.clone()).with_inbox(inbox);
    let nats = nats::connect(&settings, identity.edge.as_str()).await?;
    let readiness = Readiness::default();
    let (assigned, writable) = (readiness.part("assignment"), readiness.part("spool"));
    let wrapper = config.stdio_wrapper.as_deref();
    let upstreams = upstream::Upstreams::new(wrapper, shutdown.child_token())?;
    let tenants = Arc::new(world::Tenants::new(upstreams, spool.control_time()));
    let whose = Arc::default();
    let memory = memory::Memory::new(
        Arc::clone(&identity),
        Arc::clone(&whose),
        nats.clone(),
        Random::system(),
        config.clock.clone(),
    );
    let feed = feed::Feed::new(
        Arc::clone(&identity),
        Arc::clone(&tenants),
        config.clock.clone(),
        nats.clone(),
        config.data_dir.join("seen"),
        assigned,
        whose,
    );
    let counter = counter::Counter::new(
        Arc::clone(&feed),
        config.clock.clone(),
        Random::system(),
        counter_tls,
    );
    let (leases, wanted) = lease::Leases::new(
        counter,
        spool.clone(),
        config.clock.clone(),
        config.data_dir.join("spool").join("epoch"),
    );
    let gateway = Arc::new(Gateway {
        identity: Arc::clone(&identity),
        tenants: Arc::clone(&tenants),
        spool: spool.clone(),
        nats: nats.clone(),
        leases: Arc::clone(&leases),
        clock: config.clock.clone(),
        random: Random::system(),
        room: Room::new(config.in_flight_max, config.tenant_in_flight_max),
        logins: login::Keys::new(Arc::clone(&tenants), config.clock.clone()),
        bearers: Bearers::new(&Random::system(), config.clock.clone())
            .map_err(|_| EdgeError::Random)?,
        place: proof::Place::new(agent_addr, config.face.public_url.clone()),
        memory,
        stopping: shutdown.clone(),
    });
    if !open.is_empty() {
        tracing::warn!(
            calls = open.len(),
            "calls were under way when the edge stopped: their outcome is unknown"
        );
    }
    gateway
        .close_open_calls(open)
        .await
        .map_err(|_| EdgeError::Random)?;
    let shipper = Arc::new(ship::Shipper {
        spool: spool.clone(),
        identity: Arc::clone(&identity),
        assigned: Arc::clone(&feed.assigned),
        nats: nats.clone(),
    });
    let lookout = {
        let (identity, clock) = (Arc::clone(&identity), config.clock.clone());
        let shutdown = shutdown.clone();
        async move { upstream::lookout(identity, &tenants.upstreams, nats, clock, shutdown).await }
    };
    feed.recall(&shutdown);
    let tasks = vec![
        tokio::spawn(feed.run(shutdown.clone())),
        tokio::spawn(shipper.run(shutdown.clone())),
        tokio::spawn(leases.run(wanted, shutdown.clone())),
        tokio::spawn(lookout),
        tokio::spawn(keep_house(spool, writable, shutdown.clone())),
        tokio::spawn(serve(
            admins,
            admin::router(readiness, metrics),
            shutdown.clone(),
        )),
        tokio::spawn(frontend::listener::serve(
            agents,
            frontend::router(gateway, agent_addr, config.face),
            shutdown,
        )),
    ];
    Ok(Handle {
        agent_addr,
        admin_addr,
        edge_id: identity.edge.clone(),
        tasks,
    })
}

async fn serve(listener: TcpListener, router: axum::Router, shutdown: CancellationToken) {
    if let Err(error) = admin::serve(listener, router, shutdown).await {
        tracing::error!(%error, "a listener of the edge stopped");
    }
}

async fn keep_house(spool: spool::Spool, writable: ReadyFlag, shutdown: CancellationToken) {
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = tick.tick() => {}
        }
        spool.tick().await;
        if spool.is_writable() {
            writable.ready()
        } else {
            writable.not_ready()
        }
    }
}

//! A node from its settings to its listeners.

use crate::admin_service::AdminService;
use crate::caller::Callers;
use crate::command::{Command, Request};
use crate::error::CounterError;
use crate::forward::Forwarder;
use crate::grpc::Service;
use crate::limits::{NODE_MESSAGE_BYTES_MAX, SWEEP_INTERVAL};
use crate::node::Node;
use crate::node_service::NodeService;
use crate::peers::Peers;
use crate::propose::Proposer;
use crate::quorum_clock::QuorumClock;
use crate::raft::log::Store;
use crate::raft::machine::Machine;
use crate::raft::network::Network;
use crate::raft::{NodeId, Raft};
use crate::tls::{Tls, TlsError, TlsFiles};
use openraft::error::Fatal;
use proctor_model::config::PublicKey;
use proctor_proto::v1::counter_admin_server::CounterAdminServer;
use proctor_proto::v1::counter_node_server::CounterNodeServer;
use proctor_proto::v1::counter_server::CounterServer;
use proctor_runtime::Clock;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Router;

/// File of the log and the snapshot in the data directory.
const FILE: &str = "counter.redb";
/// How long a node that ends waits for its file to be closed.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);
/// How often the gauges are set.
const GAUGES_INTERVAL: Duration = Duration::from_secs(1);

/// How a node is to run.
#[derive(Clone, Debug)]
pub struct CounterConfig {
    /// Its number in the cluster, at least 1; never given to another node again.
    pub node: NodeId,
    /// Where edges and operators connect.
    pub listen: SocketAddr,
    /// TLS there; without it, for loopback and private networks.
    pub tls: Option<TlsFiles>,
    /// Where the other nodes connect.
    pub node_listen: SocketAddr,
    /// The nodes' TLS; needed unless `node_listen` is a loopback address.
    pub node_tls: Option<TlsFiles>,
    /// Under which the other nodes reach `node_listen`: `https://host:port`; none: its address.
    pub node_address: Option<String>,
    /// Directory of the log. One node per directory, on a disk of its own.
    pub data_dir: PathBuf,
    /// The platform's public keys: they certify edges and sign principal tokens.
    pub platform_keys: Vec<PublicKey>,
    /// What a node without data does.
    pub bootstrap: Bootstrap,
    /// Log entries after which a snapshot is made, and as many of them are kept behind it; a node that has missed more
    /// gets the snapshot. At least 1; usually [`crate::limits::SNAPSHOT_ENTRIES`].
    pub snapshot_entries: u64,
}

/// What a node without data does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bootstrap {
    /// Waits to be added to a cluster, or to be told to begin one.
    Wait,
    /// Begins a cluster of its own.
    Alone,
}

/// A running node.
pub struct Handle {
    /// Where edges and operators connect.
    pub grpc_addr: SocketAddr,
    /// Where the other nodes connect.
    pub node_addr: SocketAddr,
    raft: Raft,
    released: CancellationToken,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Handle {
    /// Waits until the node has ended, after the shutdown token was cancelled or because it had to, and has let go of
    /// its file: another may be started on it.
    ///
    /// # Errors
    /// [`CounterError::Stopped`] if it had to.
    pub async fn stopped(self) -> Result<(), CounterError> {
        let why = tokio::select! {
            () = self.shutdown.cancelled() => Ok(()),
            fatal = failed(&self.raft) => Err(fatal.into()),
        };
        self.shutdown.cancel();
        if self.raft.shutdown().await.is_err() {
            tracing::error!("a task of the counter failed");
        }
        for task in self.tasks {
            if task.await.is_err() {
                tracing::error!("a task of the counter failed");
            }
        }
        // The library's own tasks that a fault leaves behind end by themselves, a moment later.
        let closed = tokio::time::timeout(CLOSE_PATIENCE, self.released.cancelled()).await;
        if closed.is_err() {
            tracing::error!("the counter's file is still open");
        }
        why
    }
}

/// Waits until the node can't go on.
async fn failed(raft: &Raft) -> Fatal<NodeId> {
    let mut metrics = raft.metrics();
    loop {
        if let Err(fatal) = metrics.borrow_and_update().running_state.clone() {
            return fatal;
        }
        if metrics.changed().await.is_err() {
            return Fatal::Stopped;
        }
    }
}

/// Starts a node; it stops when `shutdown` is cancelled. `clock` is the node's own; see `quorum_clock` for how little
/// that matters.
///
/// # Errors
/// If settings, files or listeners can't be used, or the log is damaged.
pub async fn start(
    config: CounterConfig,
    clock: Clock,
    shutdown: CancellationToken,
) -> Result<Handle, CounterError> {
    if config.node == 0 {
        return Err(CounterError::Settings("node: at least 1"));
    }
    if config.snapshot_entries == 0 {
        return Err(CounterError::Settings("snapshot_entries: at least 1"));
    }
    let node_tls = Tls::of_nodes(config.node_tls.as_ref(), config.node_listen)?;
    let tls = config.tls.as_ref().map(Tls::load).transpose()?;
    let callers = Callers::new(&config.platform_keys)?;
    let listener = bind(config.listen).await?;
    let node_listener = bind(config.node_listen).await?;
    let grpc_addr = listener.local_addr().map_err(CounterError::Listen)?;
    let node_addr = node_listener.local_addr().map_err(CounterError::Listen)?;
    let scheme = if node_tls.is_some() { "https" } else { "http" };
    let address = config
        .node_address
        .clone()
        .unwrap_or_else(|| format!("{scheme}://{node_addr}"));

    let node = open(&config, node_tls.clone(), clock, &shutdown).await?;
    let admin = AdminService {
        node: node.clone(),
        address: address.clone(),
    };
    let nodes = server(node_tls.as_ref())?
        .add_service(
            CounterNodeServer::new(NodeService(node.clone()))
                .max_decoding_message_size(NODE_MESSAGE_BYTES_MAX)
                .max_encoding_message_size(NODE_MESSAGE_BYTES_MAX),
        )
        .add_service(CounterAdminServer::new(admin));
    let service = Service {
        node: node.clone(),
        callers,
    };
    let public = server(tls.as_ref())?.add_service(CounterServer::new(service));
    let tasks = vec![
        serve(nodes, node_listener, shutdown.clone()),
        serve(public, listener, shutdown.clone()),
        tokio::spawn(sweep(node.clone(), shutdown.clone())),
        tokio::spawn(gauges(node.clone(), shutdown.clone())),
    ];
    if config.bootstrap == Bootstrap::Alone {
        begin(&node, &address).await?;
    }
    Ok(Handle {
        grpc_addr,
        node_addr,
        released: node.machine.released(),
        raft: node.raft,
        shutdown,
        tasks,
    })
}

async fn open(
    config: &CounterConfig,
    tls: Option<Tls>,
    clock: Clock,
    shutdown: &CancellationToken,
) -> Result<Node, CounterError> {
    std::fs::create_dir_all(&config.data_dir).map_err(CounterError::DataDir)?;
    let (path, id) = (config.data_dir.join(FILE), config.node);
    let opened = tokio::task::spawn_blocking(move || {
        let store = Store::open(&path, id)?;
        let machine = Machine::load(store.clone())?;
        Ok::<_, crate::raft::log::StoreError>((store, machine))
    });
    let (store, machine) = opened
        .await
        .map_err(|_| crate::raft::log::StoreError::Lost)??;
    let clock = Arc::new(QuorumClock::new(id, clock));
    let peers = Peers::new(tls);
    let network = Network {
        peers: peers.clone(),
        clock: Arc::clone(&clock),
    };
    let settings = Arc::new(crate::raft::config(config.snapshot_entries));
    let raft = Raft::new(id, settings, network, store, machine.clone());
    let raft = raft.await.map_err(CounterError::from)?;
    let proposer = Proposer::start(raft.clone(), Arc::clone(&clock), shutdown.clone());
    let forwarder = Forwarder::start(raft.clone(), peers.clone(), shutdown.clone());
    Ok(Node {
        id,
        raft,
        machine,
        proposer,
        forwarder,
        peers,
        clock,
    })
}

/// A node that has data goes on with it.
async fn begin(node: &Node, address: &str) -> Result<(), CounterError> {
    if node
        .raft
        .is_initialized()
        .await
        .map_err(CounterError::from)?
    {
        return Ok(());
    }
    let begun = node.init(address).await;
    begun.map_err(|status| CounterError::Bootstrap(status.message().to_owned()))
}

async fn bind(at: SocketAddr) -> Result<TcpListener, CounterError> {
    TcpListener::bind(at).await.map_err(CounterError::Listen)
}

fn server(tls: Option<&Tls>) -> Result<tonic::transport::Server, CounterError> {
    let server = proctor_runtime::grpc::server();
    Ok(match tls {
        Some(tls) => server.tls_config(tls.server()).map_err(TlsError::Config)?,
        None => server,
    })
}

fn serve(router: Router, listener: TcpListener, shutdown: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = proctor_runtime::grpc::serve(router, listener, shutdown.clone()).await {
            tracing::error!(%error, "a listener of the counter stopped");
            shutdown.cancel();
        }
    })
}

/// The leader forgets what is over, and by that moves the log's time on where nothing else does.
async fn sweep(node: Node, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(SWEEP_INTERVAL) => {}
        }
        if node.raft.current_leader().await == Some(node.id) {
            // If it fails the next one does it.
            let _ = node
                .proposer
                .propose(Request {
                    id: None,
                    command: Command::Sweep,
                })
                .await;
        }
    }
}

async fn gauges(node: Node, shutdown: CancellationToken) {
    loop {
        let metrics = node.raft.metrics().borrow().clone();
        let applied = metrics.last_applied.map_or(0, |id| id.index);
        let lag = metrics.last_log_index.unwrap_or(0).saturating_sub(applied);
        let leads = u8::from(metrics.current_leader == Some(node.id));
        metrics::gauge!("proctor_counter_leader").set(f64::from(leads));
        metrics::gauge!("proctor_counter_has_leader")
            .set(f64::from(u8::from(metrics.current_leader.is_some())));
        metrics::gauge!("proctor_counter_term").set(metrics.current_term as f64);
        metrics::gauge!("proctor_counter_applied_index").set(applied as f64);
        metrics::gauge!("proctor_counter_log_lag").set(lag as f64);
        let sums = node.machine.applied().book.sums().clone();
        for (meter, sums) in sums {
            let of = |what| metrics::counter!(format!("proctor_counter_units_{what}_total"), "meter" => meter.as_str());
            of("granted").absolute(sums.granted);
            of("spent").absolute(sums.spent);
            of("returned").absolute(sums.returned);
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(GAUGES_INTERVAL) => {}
        }
    }
}

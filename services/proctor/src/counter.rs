//! `proctor counter`: one node of the counter, and the membership of its cluster.

use crate::{admin, role};
use clap::{Args, Subcommand};
use proctor_counter::{Bootstrap, CounterConfig, Operate, TlsFiles};
use proctor_model::config::PublicKey;
use proctor_proto::v1::CounterStatusResponse;
use proctor_runtime::admin::Readiness;
use proctor_runtime::{Clock, shutdown};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Run a node of the counter, which owns the budgets; or manage its cluster
#[derive(Args)]
pub(crate) struct CounterArgs {
    /// The node's settings
    #[arg(long)]
    config: PathBuf,
    /// None: run the node
    #[command(subcommand)]
    command: Option<CounterCommand>,
}

#[derive(Subcommand)]
enum CounterCommand {
    /// How the node and its cluster are
    Status,
    /// Begin a cluster with this node alone: once, on the first node
    Init,
    /// Add a running node to the cluster of this one
    AddNode {
        /// Its number
        node: u64,
        /// Its nodes' listener, `https://host:port`
        address: String,
    },
    /// Take a node out of the cluster of this one
    RemoveNode {
        /// Its number
        node: u64,
    },
}

/// `counter.toml`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CounterFile {
    /// The node's number in its cluster, at least 1; never given to another node again.
    node: u64,
    /// Where edges and operators' services connect.
    listen: SocketAddr,
    /// TLS there; without it keep the listener inside your network.
    tls: Option<TlsFiles>,
    /// Where the other nodes connect.
    node_listen: SocketAddr,
    /// The nodes' TLS, both ways; needed unless `node_listen` is a loopback address.
    node_tls: Option<TlsFiles>,
    /// Under which the other nodes reach `node_listen`: `https://host:port`.
    node_address: Option<String>,
    /// Health, readiness and metrics.
    admin_listen: Option<SocketAddr>,
    /// Directory of the log. One node per directory, on a disk that syncs.
    data_dir: PathBuf,
    /// Control's public keys, as `proctor control` prints them.
    platform_keys: Vec<PublicKey>,
}

pub(crate) async fn run(args: CounterArgs) -> anyhow::Result<()> {
    let Some(command) = args.command else {
        return serve(role::load(&args.config)?).await;
    };
    let file: CounterFile = role::read(&args.config)?;
    let scheme = if file.node_tls.is_some() {
        "https"
    } else {
        "http"
    };
    let address = file
        .node_address
        .unwrap_or_else(|| format!("{scheme}://{}", file.node_listen));
    let operate = Operate::new(address, file.node_tls.as_ref())?;
    let status = match command {
        CounterCommand::Status => operate.status().await?,
        CounterCommand::Init => operate.init().await?,
        CounterCommand::AddNode { node, address } => operate.add_node(node, address).await?,
        CounterCommand::RemoveNode { node } => operate.remove_node(node).await?,
    };
    show(&status);
    Ok(())
}

async fn serve(file: CounterFile) -> anyhow::Result<()> {
    let config = CounterConfig {
        node: file.node,
        listen: file.listen,
        tls: file.tls,
        node_listen: file.node_listen,
        node_tls: file.node_tls,
        node_address: file.node_address,
        data_dir: file.data_dir,
        platform_keys: file.platform_keys,
        snapshot_entries: proctor_counter::limits::SNAPSHOT_ENTRIES,
        bootstrap: Bootstrap::Wait,
    };
    let shutdown = shutdown::on_signals()?;
    let readiness = Readiness::default();
    let started = readiness.part("counter");
    admin::serve(file.admin_listen, &readiness, &shutdown).await?;
    let handle = proctor_counter::start(config, Clock::system(), shutdown).await?;
    started.ready();
    println!("node {} for nodes on {}", file.node, handle.node_addr);
    println!("gRPC on {}", handle.grpc_addr);
    Ok(handle.stopped().await?)
}

fn show(status: &CounterStatusResponse) {
    let CounterStatusResponse {
        node,
        state,
        leader,
        term,
        last_log,
        applied,
        snapshot,
        members,
        at,
        state_digest,
    } = status;
    println!("node {node}: {state}; leader {leader}, term {term}");
    println!("log {last_log}, applied {applied}, snapshot {snapshot}; time {at}");
    println!("state {state_digest}");
    for member in members {
        let voter = if member.voter { "votes" } else { "learns" };
        let lag = member.lag.map(|lag| format!(", {lag} entries behind"));
        println!(
            "  node {} at {}: {voter}{}",
            member.node,
            member.address,
            lag.unwrap_or_default()
        );
    }
}

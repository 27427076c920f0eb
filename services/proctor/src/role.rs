//! One role by itself, as in production: `proctor control --config control.toml`.

use anyhow::Context;
use clap::Args;
use proctor_model::config::PublicKey;
use proctor_runtime::Secret;
use proctor_runtime::telemetry::{TelemetrySettings, init_logging};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Options of every role.
#[derive(Args)]
pub(crate) struct RoleArgs {
    /// The role's settings
    #[arg(long)]
    config: PathBuf,
}

/// Options of a role that joins an installation.
#[derive(Args)]
pub(crate) struct JoinArgs {
    /// The role's settings
    #[arg(long)]
    config: PathBuf,
    /// Join first, with the one-time token in PROCTOR_JOIN_TOKEN, through control at this address; then run
    #[arg(long, value_name = "CONTROL_URL")]
    join: Option<String>,
}

/// `control.toml`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ControlFile {
    /// Postgres, as the owner of the schema (`PROCTOR_DATABASE_URL` wins).
    database_url: Option<Secret>,
    /// NATS; also given to edges and ledgers that join (`PROCTOR_NATS_URL` wins).
    nats_url: Option<Secret>,
    /// Address of the gRPC listener. Keep it inside your network.
    listen: SocketAddr,
    /// Directory of the platform key and the master key. Back it up.
    data_dir: PathBuf,
    /// Name of this installation.
    deployment: String,
    /// Milliseconds between heartbeats.
    #[serde(default = "heartbeat_ms")]
    heartbeat_ms: u64,
    /// Nodes of the counter, `http://host:port`. Without any, tenants have no budgets, and each edge counts the ceilings
    /// of tokens and intents for itself.
    #[serde(default)]
    counters: Vec<String>,
}

fn heartbeat_ms() -> u64 {
    5_000
}

/// Begins logging and reads a role's settings.
pub(crate) fn load<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    init_logging(&TelemetrySettings::default())?;
    read(path)
}

/// Reads settings; unknown ones are errors.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("in {}", path.display()))
}

fn secret(variable: &str, value: Option<Secret>) -> anyhow::Result<Secret> {
    let found = std::env::var(variable).ok().map(Secret::from).or(value);
    found.with_context(|| format!("neither {variable} nor its setting is given"))
}

pub(crate) async fn control(args: RoleArgs) -> anyhow::Result<()> {
    let file: ControlFile = load(&args.config)?;
    let database_url = secret("PROCTOR_DATABASE_URL", file.database_url)?;
    std::fs::create_dir_all(&file.data_dir)?;
    proctor_control::migrate(&database_url)
        .await
        .context("migrating the schema")?;
    let config = proctor_control::ControlConfig {
        database_url,
        nats_url: secret("PROCTOR_NATS_URL", file.nats_url)?,
        listen: file.listen,
        data_dir: file.data_dir,
        deployment: file.deployment.parse()?,
        heartbeat_interval: Duration::from_millis(file.heartbeat_ms),
        counters: file.counters,
    };
    let handle = proctor_control::start(config, proctor_runtime::shutdown::on_signals()?).await?;
    println!("gRPC on {}", handle.grpc_addr);
    println!(
        "platform keys: {}",
        serde_json::to_string(&handle.platform_keys)?
    );
    if let Some(key) = handle.bootstrap_api_key().await? {
        println!("first platform-admin key, shown once: {}", key.expose());
    }
    handle.stopped().await;
    Ok(())
}

/// `ledger.toml`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerFile {
    /// Postgres, as the owner of the schema (`PROCTOR_DATABASE_URL` wins).
    database_url: Option<Secret>,
    /// NATS (`PROCTOR_NATS_URL` wins).
    nats_url: Option<Secret>,
    /// Address of the gRPC listener. Keep it inside your network.
    listen: SocketAddr,
    /// Directory of the signing key.
    data_dir: PathBuf,
    /// Control's public keys, as `proctor control` prints them.
    platform_keys: Vec<PublicKey>,
}

pub(crate) async fn ledger(args: JoinArgs) -> anyhow::Result<()> {
    let file: LedgerFile = load(&args.config)?;
    let database_url = secret("PROCTOR_DATABASE_URL", file.database_url)?;
    std::fs::create_dir_all(&file.data_dir)?;
    if let Some(control) = &args.join {
        let token = secret("PROCTOR_JOIN_TOKEN", None)?;
        proctor_ledger::register(control, &token, &file.data_dir).await?;
    }
    proctor_ledger::migrate(&database_url)
        .await
        .context("migrating the schema")?;
    let config = proctor_ledger::LedgerConfig {
        database_url,
        nats_url: secret("PROCTOR_NATS_URL", file.nats_url)?,
        listen: file.listen,
        data_dir: file.data_dir,
        platform_keys: file.platform_keys,
    };
    let handle = proctor_ledger::start(config, proctor_runtime::shutdown::on_signals()?).await?;
    println!("gRPC on {}", handle.grpc_addr);
    handle.stopped().await;
    Ok(())
}

/// `web-api.toml`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WebApiFile {
    /// Where operators connect.
    listen: SocketAddr,
    /// Control's gRPC listener, `http://host:port`.
    control: String,
    /// The ledger's gRPC listener, `http://host:port`.
    ledger: String,
}

pub(crate) async fn web_api(args: RoleArgs) -> anyhow::Result<()> {
    let file: WebApiFile = load(&args.config)?;
    let config = proctor_web_api::WebApiConfig {
        listen: file.listen,
        control_grpc: file.control,
        ledger_grpc: file.ledger,
    };
    let handle = proctor_web_api::start(config, proctor_runtime::shutdown::on_signals()?).await?;
    println!("admin API on {}", handle.addr);
    handle.stopped().await;
    Ok(())
}

/// `edge.toml`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EdgeFile {
    /// Directory of the identity and the spool. One edge per directory, on a disk of its own.
    data_dir: PathBuf,
    /// Where agents connect.
    listen: SocketAddr,
    /// Health, readiness and metrics: not for agents.
    admin_listen: SocketAddr,
    /// Bytes of events not yet in the ledger beyond which calls are refused.
    spool_bytes_max: Option<u64>,
}

pub(crate) async fn edge(args: JoinArgs) -> anyhow::Result<()> {
    let file: EdgeFile = load(&args.config)?;
    if let Some(control) = &args.join {
        let id = proctor_edge::enrol(
            control,
            &secret("PROCTOR_JOIN_TOKEN", None)?,
            &file.data_dir,
        )
        .await?;
        println!("enrolled as {id}");
    }
    let mut config = proctor_edge::EdgeConfig {
        agent_listen: file.listen,
        admin_listen: file.admin_listen,
        ..proctor_edge::EdgeConfig::new(file.data_dir)
    };
    config.spool_bytes_max = file.spool_bytes_max.unwrap_or(config.spool_bytes_max);
    let metrics = proctor_runtime::telemetry::Metrics::install()?;
    let handle =
        proctor_edge::start(config, metrics, proctor_runtime::shutdown::on_signals()?).await?;
    println!(
        "edge {} for agents on {}, admin on {}",
        handle.edge_id, handle.agent_addr, handle.admin_addr
    );
    handle.stopped().await;
    Ok(())
}

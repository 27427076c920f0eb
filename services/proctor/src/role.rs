//! One role by itself, as in production: `proctor control --config control.toml`.

use anyhow::Context;
use clap::Args;
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
}

fn heartbeat_ms() -> u64 {
    5_000
}

fn load<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    init_logging(&TelemetrySettings::default())?;
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

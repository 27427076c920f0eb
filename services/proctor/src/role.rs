//! One role by itself, as in production: `proctor control --config control.toml`.

use crate::admin;
use anyhow::Context;
use clap::Args;
use proctor_model::config::PublicKey;
use proctor_runtime::Secret;
use proctor_runtime::admin::Readiness;
use proctor_runtime::grpc::ClientTlsFiles;
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
    /// NATS; also given to ledgers that join (`PROCTOR_NATS_URL` wins).
    nats_url: Option<Secret>,
    /// NATS with the user that edges are to have (`PROCTOR_EDGE_NATS_URL` wins). Without it, edges that join get
    /// `nats_url`, and with it all that control may do there: for a machine of one's own only.
    edge_nats_url: Option<Secret>,
    /// Address of the gRPC listener. Keep it inside your network.
    listen: SocketAddr,
    /// Health, readiness and metrics.
    admin_listen: Option<SocketAddr>,
    /// Directory of the platform key and the master key. Back it up.
    data_dir: PathBuf,
    /// Name of this installation.
    deployment: String,
    /// Milliseconds between heartbeats.
    #[serde(default = "heartbeat_ms")]
    heartbeat_ms: u64,
    /// Nodes of the counter, `http://host:port`, or `https://host:port` with `counter_tls`. Without any, tenants have no
    /// budgets, and each edge counts the ceilings of tokens and intents for itself.
    #[serde(default)]
    counters: Vec<String>,
    /// The authority of the counter's nodes; edges have a setting of their own for it.
    counter_tls: Option<ClientTlsFiles>,
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
        edge_nats_url: secret("PROCTOR_EDGE_NATS_URL", file.edge_nats_url).ok(),
        listen: file.listen,
        data_dir: file.data_dir,
        deployment: file.deployment.parse()?,
        heartbeat_interval: Duration::from_millis(file.heartbeat_ms),
        counters: file.counters,
        counter_tls: file.counter_tls,
    };
    let shutdown = proctor_runtime::shutdown::on_signals()?;
    let readiness = Readiness::default();
    let started = readiness.part("control");
    admin::serve(file.admin_listen, &readiness, &shutdown).await?;
    let mut handle = proctor_control::start(config, shutdown).await?;
    handle.report(&readiness);
    started.ready();
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
    /// Health, readiness and metrics.
    admin_listen: Option<SocketAddr>,
    /// Directory of the signing key.
    data_dir: PathBuf,
    /// Control's public keys, as `proctor control` prints them.
    platform_keys: Vec<PublicKey>,
    /// Name of this installation, as in control's settings: checkpoints are of `<deployment>/audit/<tenant>`.
    #[serde(default = "deployment")]
    deployment: String,
    /// Events after which a chain is sealed.
    #[serde(default = "seal_events")]
    seal_events: u64,
    /// Milliseconds after which a chain is sealed, if that is sooner.
    #[serde(default = "seal_ms")]
    seal_ms: u64,
    /// Directory that gets each checkpoint as a file of its own: on storage that can't be rewritten.
    checkpoint_dir: Option<PathBuf>,
    /// Witnesses that are asked to cosign.
    #[serde(default)]
    witnesses: Vec<WitnessEntry>,
}

/// One of `witnesses`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WitnessEntry {
    /// Its address (C2SP tlog-witness), `http://host:port`.
    url: String,
    /// Its key, `NAME+ID+BASE64`.
    key: String,
}

fn deployment() -> String {
    "proctor".into()
}

fn seal_events() -> u64 {
    1_000
}

fn seal_ms() -> u64 {
    5_000
}

pub(crate) async fn ledger(args: JoinArgs) -> anyhow::Result<()> {
    let file: LedgerFile = load(&args.config)?;
    let database_url = secret("PROCTOR_DATABASE_URL", file.database_url.clone())?;
    std::fs::create_dir_all(&file.data_dir)?;
    if let Some(control) = &args.join {
        let token = secret("PROCTOR_JOIN_TOKEN", None)?;
        proctor_ledger::register(control, &token, &file.data_dir).await?;
    }
    proctor_ledger::migrate(&database_url)
        .await
        .context("migrating the schema")?;
    let admin_listen = file.admin_listen;
    let config = ledger_config(file, database_url)?;
    let shutdown = proctor_runtime::shutdown::on_signals()?;
    let readiness = Readiness::default();
    let started = readiness.part("ledger");
    admin::serve(admin_listen, &readiness, &shutdown).await?;
    let mut handle = proctor_ledger::start(config, shutdown).await?;
    handle.report(&readiness);
    started.ready();
    println!("gRPC on {}", handle.grpc_addr);
    println!("checkpoint key {}", handle.public_key.key);
    handle.stopped().await;
    Ok(())
}

/// Moves the entries of months that are over to files.
pub(crate) async fn archive(config: &Path, month: &str, dir: &Path) -> anyhow::Result<()> {
    let file: LedgerFile = load(config)?;
    let database_url = secret("PROCTOR_DATABASE_URL", file.database_url.clone())?;
    let config = ledger_config(file, database_url)?;
    let (year, number) = month.split_once('-').context("--month: YYYY-MM")?;
    let number: u8 = number.parse().context("--month: YYYY-MM")?;
    let month = time::Date::from_calendar_date(
        year.parse().context("--month: YYYY-MM")?,
        time::Month::try_from(number).context("--month: YYYY-MM")?,
        1,
    )?;
    let written = proctor_ledger::archive(&config, month, dir).await?;
    for file in &written {
        println!(
            "{}: entries {} to {} in {}",
            file.tenant,
            file.first,
            file.last,
            file.file.display()
        );
    }
    Ok(())
}

fn ledger_config(
    file: LedgerFile,
    database_url: Secret,
) -> anyhow::Result<proctor_ledger::LedgerConfig> {
    Ok(proctor_ledger::LedgerConfig {
        database_url,
        nats_url: secret("PROCTOR_NATS_URL", file.nats_url)?,
        listen: file.listen,
        data_dir: file.data_dir,
        platform_keys: file.platform_keys,
        deployment: file.deployment.parse()?,
        seals: proctor_ledger::SealSettings {
            events: file.seal_events.max(1),
            interval: Duration::from_millis(file.seal_ms.max(50)),
            checkpoint_dir: file.checkpoint_dir,
            witnesses: file
                .witnesses
                .iter()
                .map(|witness| proctor_ledger::Witness::new(&witness.url, &witness.key))
                .collect::<Result<_, _>>()
                .context("witnesses")?,
        },
        gap_patience: proctor_ledger::GAP_PATIENCE,
    })
}

/// `witness.toml`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WitnessFile {
    /// Address of the HTTP listener.
    listen: SocketAddr,
    /// Directory of the key, and of what was cosigned. If it is lost, so is the witness: make a new one.
    data_dir: PathBuf,
    /// Name under which it cosigns (`witness.example.com/w1`).
    name: String,
    /// Keys of the logs that it watches, `NAME+ID+BASE64`.
    logs: Vec<String>,
}

pub(crate) async fn witness(args: RoleArgs) -> anyhow::Result<()> {
    let file: WitnessFile = load(&args.config)?;
    std::fs::create_dir_all(&file.data_dir)?;
    let witness = proctor_ledger::witness::Watcher::open(&file.data_dir, &file.name, &file.logs)?;
    println!("witness key {}", witness.key());
    let handle = proctor_ledger::witness::start(
        witness,
        file.listen,
        proctor_runtime::shutdown::on_signals()?,
    )
    .await?;
    println!("witness on {}", handle.addr);
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

/// In less room than this a spool has no place for what it keeps beside events.
const SPOOL_BYTES_LEAST: u64 = 1024 * 1024;

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
    /// The address that agents use, where a name or a proxy stands before this edge.
    public_url: Option<String>,
    /// Web pages that may speak to this edge.
    #[serde(default)]
    allowed_origins: Vec<String>,
    /// Who gives tokens for this edge.
    #[serde(default)]
    authorization_servers: Vec<String>,
    /// The authority of the counter's nodes, where control names them with `https://`.
    counter_tls: Option<ClientTlsFiles>,
}

fn face(file: &EdgeFile) -> anyhow::Result<proctor_edge::Face> {
    let web = |member: &str, text: &String| {
        let url = url::Url::parse(text).with_context(|| format!("{member}: {text} is no URL"))?;
        anyhow::ensure!(
            matches!(url.scheme(), "http" | "https"),
            "{member}: {text} is neither http:// nor https://"
        );
        Ok(url)
    };
    let all = |member: &str, texts: &[String]| {
        let urls = texts.iter().map(|text| web(member, text));
        urls.collect::<anyhow::Result<Vec<_>>>()
    };
    all("authorization_servers", &file.authorization_servers)?;
    Ok(proctor_edge::Face {
        public_url: file
            .public_url
            .as_ref()
            .map(|text| web("public_url", text))
            .transpose()?,
        allowed_origins: all("allowed_origins", &file.allowed_origins)?,
        authorization_servers: file.authorization_servers.clone(),
    })
}

/// This program, also where another was put in its place on the disk meanwhile.
pub(crate) const OURSELVES: &str = "/proc/self/exe";

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
        face: face(&file)?,
        counter_tls: file.counter_tls,
        stdio_wrapper: Some(OURSELVES.into()),
        ..proctor_edge::EdgeConfig::new(file.data_dir)
    };
    if let Some(most) = file.spool_bytes_max {
        anyhow::ensure!(
            most >= SPOOL_BYTES_LEAST,
            "spool_bytes_max: at least {SPOOL_BYTES_LEAST}"
        );
        config.spool_bytes_max = most;
    }
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

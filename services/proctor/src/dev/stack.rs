//! What `proctor dev` starts, in the order in which it depends on each other.

use anyhow::{Context, bail};
use proctor_control::{ControlConfig, JoinRole};
use proctor_counter::{Bootstrap, CounterConfig};
use proctor_demo::server::DemoServers;
use proctor_devstack::{Nats, NatsOptions, Postgres, PostgresOptions, Supervision};
use proctor_edge::EdgeConfig;
use proctor_ledger::LedgerConfig;
use proctor_runtime::Secret;
use proctor_runtime::telemetry::Metrics;
use proctor_web_api::WebApiConfig;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const DATABASE: &str = "proctor";
/// Short, so that a stale edge shows quickly.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Where the listeners go.
#[derive(Clone, Copy)]
pub(super) struct Ports {
    edge: u16,
    api: u16,
    edge_admin: u16,
}

impl Ports {
    pub(super) fn new(base: Option<u16>) -> Self {
        match base {
            Some(base) => Self {
                edge: base,
                api: base + 1,
                edge_admin: base + 2,
            },
            None => Self {
                edge: 8080,
                api: 8081,
                edge_admin: 9090,
            },
        }
    }

    /// Says clearly which port is taken, before anything is started.
    pub(super) fn check(self) -> anyhow::Result<()> {
        for (port, role) in [
            (self.edge, "the edge"),
            (self.api, "the admin API"),
            (self.edge_admin, "the edge's admin listener"),
        ] {
            if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                bail!(
                    "port {port} for {role} can't be had ({error}): stop what listens there, \
                     or choose other ports with --port-base N"
                );
            }
        }
        Ok(())
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// An address of the loopback that nobody has right now.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind(local(0))?.local_addr()
}

/// Everything that runs.
pub(super) struct Stack {
    pub(super) admin_key: Secret,
    pub(super) api: SocketAddr,
    pub(super) edge: proctor_edge::Handle,
    pub(super) demo: DemoServers,
    web_api: proctor_web_api::Handle,
    ledger: proctor_ledger::Handle,
    counter: proctor_counter::Handle,
    control: proctor_control::Handle,
    nats: Nats,
    postgres: Postgres,
}

impl Stack {
    pub(super) async fn start(
        dir: &Path,
        ports: Ports,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let dir = &dir.canonicalize()?;
        let postgres = PostgresOptions {
            supervision: Supervision::Restart,
            ..PostgresOptions::new(dir.join("postgres"))
        };
        let nats = NatsOptions {
            supervision: Supervision::Restart,
            ..NatsOptions::new(dir.join("nats"))
        };
        let (postgres, nats) = tokio::try_join!(Postgres::start(postgres), Nats::start(nats))?;
        postgres.create_database(DATABASE).await?;
        let database_url = Secret::from(postgres.url(DATABASE));
        let nats_url = Secret::from(nats.url());
        // Control has to know where the counter will be, and the counter needs control's keys.
        let counter_at = free_address().context("an address for the counter")?;
        let urls = (&nats_url, Secret::from(nats.edge_url()));
        let control = control(dir, &database_url, urls, counter_at, &shutdown)
            .await
            .context("starting control")?;
        let admin_key = admin_key(dir, &control).await?;
        let ledger = ledger(dir, &database_url, nats_url, &control, &shutdown)
            .await
            .context("starting the ledger")?;
        let counter = counter(dir, counter_at, &control, &shutdown)
            .await
            .context("starting the counter")?;
        let web_api = WebApiConfig {
            listen: local(ports.api),
            control_grpc: format!("http://{}", control.grpc_addr),
            ledger_grpc: format!("http://{}", ledger.grpc_addr),
        };
        let web_api = proctor_web_api::start(web_api, shutdown.clone())
            .await
            .context("starting the admin API")?;
        let edge = edge(dir, ports, &control, &shutdown)
            .await
            .context("starting the edge")?;
        let demo = DemoServers::start(local(0), shutdown)
            .await
            .context("starting the demo tool servers")?;
        Ok(Self {
            admin_key,
            api: web_api.addr,
            edge,
            demo,
            web_api,
            ledger,
            counter,
            control,
            nats,
            postgres,
        })
    }

    /// Waits for the roles, then ends the servers.
    pub(super) async fn stopped(self) {
        self.edge.stopped().await;
        self.demo.stopped().await;
        self.web_api.stopped().await;
        self.ledger.stopped().await;
        if let Err(error) = self.counter.stopped().await {
            tracing::error!(%error, "the counter");
        }
        self.control.stopped().await;
        self.nats.stop().await;
        self.postgres.stop().await;
    }
}

async fn control(
    dir: &Path,
    database_url: &Secret,
    (nats_url, edge_nats_url): (&Secret, Secret),
    counter_at: SocketAddr,
    shutdown: &CancellationToken,
) -> anyhow::Result<proctor_control::Handle> {
    proctor_control::migrate(database_url)
        .await
        .context("migrating its schema")?;
    let data_dir = dir.join("control");
    std::fs::create_dir_all(&data_dir)?;
    let config = ControlConfig {
        database_url: database_url.clone(),
        nats_url: nats_url.clone(),
        edge_nats_url: Some(edge_nats_url),
        listen: local(0),
        data_dir,
        deployment: "dev".parse()?,
        heartbeat_interval: HEARTBEAT,
        counters: vec![format!("http://{counter_at}")],
        counter_tls: None,
    };
    Ok(proctor_control::start(config, shutdown.clone()).await?)
}

/// The platform administrator's key: made once, kept for the next start.
async fn admin_key(dir: &Path, control: &proctor_control::Handle) -> anyhow::Result<Secret> {
    let path = dir.join("admin.key");
    if let Some(key) = control.bootstrap_api_key().await? {
        let mut file = std::fs::OpenOptions::new();
        let mut file = file
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(key.expose().as_bytes())?;
        file.sync_all()?;
        return Ok(key);
    }
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "{} is gone but the database has its hash: remove the data directory to start over",
            path.display()
        )
    })?;
    Ok(Secret::from(text))
}

/// One node is a cluster of its own: enough for one machine.
async fn counter(
    dir: &Path,
    listen: SocketAddr,
    control: &proctor_control::Handle,
    shutdown: &CancellationToken,
) -> anyhow::Result<proctor_counter::Handle> {
    let config = CounterConfig {
        node: 1,
        listen,
        tls: None,
        node_listen: local(0),
        node_tls: None,
        node_address: None,
        data_dir: dir.join("counter"),
        platform_keys: control.platform_keys.clone(),
        snapshot_entries: proctor_counter::limits::SNAPSHOT_ENTRIES,
        bootstrap: Bootstrap::Alone,
    };
    let clock = proctor_runtime::Clock::system();
    Ok(proctor_counter::start(config, clock, shutdown.clone()).await?)
}

async fn ledger(
    dir: &Path,
    database_url: &Secret,
    nats_url: Secret,
    control: &proctor_control::Handle,
    shutdown: &CancellationToken,
) -> anyhow::Result<proctor_ledger::Handle> {
    proctor_ledger::migrate(database_url)
        .await
        .context("migrating its schema")?;
    let data_dir = dir.join("ledger");
    std::fs::create_dir_all(&data_dir)?;
    let join = control.join_token(JoinRole::Ledger).await?;
    let platform_keys =
        proctor_ledger::register(&format!("http://{}", control.grpc_addr), &join, &data_dir)
            .await?;
    let config = LedgerConfig {
        database_url: database_url.clone(),
        nats_url,
        listen: local(0),
        data_dir,
        platform_keys,
        deployment: "dev".parse()?,
        seals: proctor_ledger::SealSettings::default(),
        gap_patience: proctor_ledger::GAP_PATIENCE,
    };
    Ok(proctor_ledger::start(config, shutdown.clone()).await?)
}

async fn edge(
    dir: &Path,
    ports: Ports,
    control: &proctor_control::Handle,
    shutdown: &CancellationToken,
) -> anyhow::Result<proctor_edge::Handle> {
    let data_dir = dir.join("edge");
    if !data_dir.join("edge.json").exists() {
        let join = control.join_token(JoinRole::Edge).await?;
        proctor_edge::enrol(&format!("http://{}", control.grpc_addr), &join, &data_dir).await?;
    }
    let config = EdgeConfig {
        agent_listen: local(ports.edge),
        admin_listen: local(ports.edge_admin),
        stdio_wrapper: Some(crate::role::OURSELVES.into()),
        ..EdgeConfig::new(data_dir)
    };
    Ok(proctor_edge::start(config, Metrics::install()?, shutdown.clone()).await?)
}

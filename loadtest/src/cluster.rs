//! A whole installation: private Postgres and NATS, and each role in a process of its own that can be killed.

mod api;
mod power;
mod role;

use crate::netns::relay;
use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
pub use proctor_devstack::free_port;
use proctor_devstack::{Durability, Nats, NatsOptions, Postgres, PostgresOptions};
use reqwest::Method;
pub use role::{Role, proctor_binary};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Command;

/// How long a role may take to say that it is there, and an edge to hear of what it is to allow, on however busy a machine.
const START: Duration = Duration::from_secs(120);
/// How long it may take to end when nothing is asked of it any more. An edge waits longer for streams that a test still reads.
const STOP: Duration = Duration::from_secs(2);

/// How an installation is to differ from the usual.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where all keep their data, if not in the installation's own directory.
    pub data_dir: Option<PathBuf>,
    /// Where the edge keeps its data, if not with the rest.
    pub edge_dir: Option<PathBuf>,
    /// Where Postgres keeps its data, if not with the rest.
    pub postgres_dir: Option<PathBuf>,
    /// Whether Postgres flushes what it commits, as an operator's does: for what measures it, kills it or fails its disk. Else
    /// what it commits outlives its processes alone, which begins and goes on sooner.
    pub durable: bool,
    /// Settings of the tenant.
    pub settings: Value,
    /// Ledgers beyond the first: none or one.
    pub more_ledgers: usize,
    /// Lines for the ledgers' settings.
    pub ledger_settings: String,
    /// Nodes of the counter, `http://…`, for control to know; see [`crate::fleet`].
    pub counters: Vec<String>,
    /// The nodes' TLS towards edges and control, whose addresses are `https://…` then.
    pub counter_tls: Option<crate::fleet::Tls>,
    /// Where NATS and control are to be reached from other name spaces.
    pub reach: Option<IpAddr>,
    /// Files that the edge may have open.
    pub edge_files_max: Option<u64>,
    /// Lines for the edge's settings; `EDGE_PORT` stands for the port that it listens on.
    pub edge_settings: String,
}

/// A running installation with one tenant, `acme`.
pub struct Cluster {
    /// Postgres.
    pub postgres: Postgres,
    /// NATS.
    pub nats: Nats,
    /// Control.
    pub control: Role,
    /// The ledger.
    pub ledger: Role,
    /// The second ledger, if there is one; the admin API reads from the first.
    pub ledger_2: Option<Role>,
    /// The admin API.
    pub web_api: Role,
    /// The edge.
    pub edge: Role,
    /// The edge's agent address, `http://…`.
    pub edge_url: String,
    /// The edge's admin address, `http://…`.
    pub edge_admin_url: String,
    /// Control's admin address, `http://…`.
    pub control_admin_url: String,
    /// The ledger's admin address, `http://…`; the second ledger has none.
    pub ledger_admin_url: String,
    /// The admin API, `http://…`.
    pub api_url: String,
    pub(crate) control_url: String,
    /// The platform's public keys, as a TOML array.
    pub(crate) platform_keys_toml: String,
    /// The platform's public keys, base64url.
    pub platform_keys: Vec<String>,
    admin_key: String,
    edge_id: String,
    edge_dir: PathBuf,
    /// A line for each edge's settings.
    pub(crate) counter_tls: String,
    pub(crate) http: reqwest::Client,
    /// Removed last.
    pub dir: TempDir,
}

impl Cluster {
    /// Starts everything; the tenant has neither tools nor policies yet.
    ///
    /// # Errors
    /// If anything does not start.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let path = dir.path();
        // Servers that run as another user have to get through.
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
        let data = options.data_dir.as_deref().unwrap_or(path);
        let postgres_dir = options.postgres_dir.clone();
        let postgres_dir = postgres_dir.unwrap_or_else(|| data.join("postgres"));
        let postgres = PostgresOptions {
            durability: match options.durable {
                true => Durability::Durable,
                false => Durability::Fast,
            },
            ..PostgresOptions::new(postgres_dir)
        };
        let (postgres, nats) = tokio::try_join!(
            Postgres::start(postgres),
            Nats::start(NatsOptions::new(data.join("nats"))),
        )?;
        postgres.create_database("proctor").await?;
        let (database, mut bus, mut edge_bus) =
            (postgres.url("proctor"), nats.url(), nats.edge_url());
        let ports = [
            free_port()?,
            free_port()?,
            free_port()?,
            free_port()?,
            free_port()?,
        ];
        let [control_port, ledger_port, api_port, edge_port, admin_port] = ports;
        let (control_admin_port, ledger_admin_port) = (free_port()?, free_port()?);
        let own = |name: &str| data.join(name).display().to_string();
        let mut control_url = format!("http://127.0.0.1:{control_port}");
        if let Some(at) = options.reach {
            let port = bus.rsplit(':').next().unwrap_or_default().parse()?;
            let relayed = relay(at, port).await?.to_string();
            for url in [&mut bus, &mut edge_bus] {
                *url = url.replace(&format!("127.0.0.1:{port}"), &relayed);
            }
            control_url = format!("http://{}", relay(at, control_port).await?);
        }
        let counter_tls = options.counter_tls.as_ref();
        let counter_tls = counter_tls.map_or(String::new(), |tls| tls.believed());
        let mut control = Role::new(
            path,
            "control",
            &format!(
                "database_url = {database:?}\nnats_url = {bus:?}\nedge_nats_url = {edge_bus:?}\n\
                 listen = \"127.0.0.1:{control_port}\"\nadmin_listen = \"127.0.0.1:{control_admin_port}\"\n\
                 data_dir = {:?}\ndeployment = \"test\"\nheartbeat_ms = 500\ncounters = {:?}\n{counter_tls}",
                own("control-data"),
                options.counters
            ),
        )?;
        let said = control.start("first platform-admin key", &[], &[]).await?;
        let after = |sign: &str| {
            said.iter()
                .find_map(|line| line.strip_prefix(sign))
                .map(str::trim)
                .map(str::to_owned)
        };
        let admin_key = after("first platform-admin key, shown once: ").context("the first key")?;
        let platform: Value =
            serde_json::from_str(&after("platform keys: ").context("the platform's keys")?)?;
        let public = platform.as_array().into_iter().flatten();
        let public = public.filter_map(|key| key["key"].as_str().map(str::to_owned));
        let public: Vec<String> = public.collect();
        let keys: Vec<String> = platform
            .as_array()
            .into_iter()
            .flatten()
            .map(|key| format!("{{ kid = {}, key = {} }}", key["kid"], key["key"]))
            .collect();
        let ledger_role = |name: &'static str, port: u16, admin: &str| {
            let settings = format!(
                "database_url = {database:?}\nnats_url = {bus:?}\nlisten = \"127.0.0.1:{port}\"\n{admin}\
                 data_dir = {:?}\ndeployment = \"test\"\nplatform_keys = [{}]\n{}",
                own(&format!("{name}-data")),
                keys.join(", "),
                options.ledger_settings,
            );
            Role::new(path, name, &settings)
        };
        let admin = format!("admin_listen = \"127.0.0.1:{ledger_admin_port}\"\n");
        let ledger = ledger_role("ledger", ledger_port, &admin)?;
        let ledger_2 = match options.more_ledgers {
            0 => None,
            _ => Some(ledger_role("ledger-2", free_port()?, "")?),
        };
        let web_api = Role::new(
            path,
            "web-api",
            &format!(
                "listen = \"127.0.0.1:{api_port}\"\ncontrol = \"http://127.0.0.1:{control_port}\"\n\
                 ledger = \"http://127.0.0.1:{ledger_port}\"\n"
            ),
        )?;
        let edge_dir = options
            .edge_dir
            .clone()
            .unwrap_or_else(|| data.join("edge-data"));
        let mut edge = Role::new(
            path,
            "edge",
            &format!(
                "listen = \"127.0.0.1:{edge_port}\"\nadmin_listen = \"127.0.0.1:{admin_port}\"\ndata_dir = {:?}\n{counter_tls}{}",
                edge_dir.display().to_string(),
                options
                    .edge_settings
                    .replace("EDGE_PORT", &edge_port.to_string())
            ),
        )?;
        edge.files_max = options.edge_files_max;
        let mut cluster = Self {
            postgres,
            nats,
            control,
            ledger,
            ledger_2,
            web_api,
            edge,
            edge_url: format!("http://127.0.0.1:{edge_port}"),
            edge_admin_url: format!("http://127.0.0.1:{admin_port}"),
            control_admin_url: format!("http://127.0.0.1:{control_admin_port}"),
            ledger_admin_url: format!("http://127.0.0.1:{ledger_admin_port}"),
            api_url: format!("http://127.0.0.1:{api_port}"),
            control_url,
            platform_keys_toml: format!("[{}]", keys.join(", ")),
            platform_keys: public,
            admin_key,
            edge_id: String::new(),
            edge_dir: edge_dir.clone(),
            counter_tls,
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(Duration::from_secs(30))
                .build()?,
            dir,
        };
        cluster.join(options.settings).await?;
        Ok(cluster)
    }

    async fn join(&mut self, settings: Value) -> anyhow::Result<()> {
        let control = self.control_url.clone();
        self.web_api.start("admin API on", &[], &[]).await?;
        let tenant = json!({ "tenant": "acme", "settings": if settings.is_null() { json!({}) } else { settings } });
        self.api(Method::POST, "/v1/tenants", Some(tenant)).await?;
        let ledger = self.join_token(json!({ "role": "ledger" })).await?;
        let edge = self
            .join_token(json!({ "role": "edge", "tenants": ["acme"], "region": "local" }))
            .await?;
        let join = ["--join", control.as_str()];
        let ledger = [("PROCTOR_JOIN_TOKEN", ledger.as_str())];
        let edge = [("PROCTOR_JOIN_TOKEN", edge.as_str())];
        // Neither needs the other to start.
        let (_, said) = tokio::try_join!(
            self.ledger.start("gRPC on", &join, &ledger),
            self.edge.start("edge ", &join, &edge),
        )?;
        if self.ledger_2.is_some() {
            let token = self.join_token(json!({ "role": "ledger" })).await?;
            if let Some(second) = &mut self.ledger_2 {
                let token = [("PROCTOR_JOIN_TOKEN", token.as_str())];
                second.start("gRPC on", &join, &token).await?;
            }
        }
        let id = said
            .iter()
            .find_map(|line| line.strip_prefix("enrolled as "))
            .context("the edge's id")?;
        id.clone_into(&mut self.edge_id);
        Ok(())
    }

    /// Joins one more edge that serves the tenant; its process, and its agent address.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn another_edge(&self) -> anyhow::Result<(Role, String)> {
        let (port, admin_port) = (free_port()?, free_port()?);
        let data = self.dir.path().join("edge-2-data").display().to_string();
        let mut edge = Role::new(
            self.dir.path(),
            "edge-2",
            &format!(
                "listen = \"127.0.0.1:{port}\"\nadmin_listen = \"127.0.0.1:{admin_port}\"\ndata_dir = {data:?}\n"
            ),
        )?;
        let token = self
            .join_token(json!({ "role": "edge", "tenants": ["acme"], "region": "local" }))
            .await?;
        edge.start(
            "edge ",
            &["--join", &self.control_url],
            &[("PROCTOR_JOIN_TOKEN", &token)],
        )
        .await?;
        Ok((edge, format!("http://127.0.0.1:{port}")))
    }

    pub(crate) async fn join_token(&self, body: Value) -> anyhow::Result<String> {
        let made = self
            .api(Method::POST, "/v1/edges/join-tokens", Some(body))
            .await?;
        Ok(made["join_token"]
            .as_str()
            .context("the join token")?
            .to_owned())
    }

    /// What the database's superuser gets to see who runs this.
    ///
    /// # Errors
    /// If the database refuses it.
    pub async fn psql(&self, command: &str) -> anyhow::Result<String> {
        let url = self.postgres.url("proctor");
        let output = Command::new("psql")
            .args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-d", &url, "-c", command])
            .stdin(Stdio::null())
            .output()
            .await
            .context("psql")?;
        ensure!(
            output.status.success(),
            "psql: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Id of the edge.
    #[must_use]
    pub fn edge_id(&self) -> &str {
        &self.edge_id
    }

    /// Where the edge keeps its spool.
    #[must_use]
    pub fn spool_dir(&self) -> PathBuf {
        self.edge_dir.join("spool")
    }

    /// The platform administrator's API key.
    #[must_use]
    pub fn admin_key(&self) -> &str {
        &self.admin_key
    }

    /// Starts the edge again.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start_edge(&mut self) -> anyhow::Result<()> {
        self.start_edge_with(&[]).await
    }

    /// Starts the edge again, with this environment.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start_edge_with(&mut self, env: &[(&str, &str)]) -> anyhow::Result<()> {
        self.edge.start("edge ", &[], env).await.map(drop)
    }

    /// Starts the ledger again.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start_ledger(&mut self) -> anyhow::Result<()> {
        self.ledger.start("gRPC on", &[], &[]).await.map(drop)
    }

    /// Kills the second ledger.
    ///
    /// # Errors
    /// If there is none, or it does not run.
    pub async fn kill_ledger_2(&mut self) -> anyhow::Result<()> {
        let second = self.ledger_2.as_mut().context("a second ledger")?;
        second.end(Signal::SIGKILL).await
    }

    /// Starts the second ledger again.
    ///
    /// # Errors
    /// If there is none, or it does not come up.
    pub async fn start_ledger_2(&mut self) -> anyhow::Result<()> {
        let second = self.ledger_2.as_mut().context("a second ledger")?;
        second.start("gRPC on", &[], &[]).await.map(drop)
    }

    /// Starts the admin API again.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start_web_api(&mut self) -> anyhow::Result<()> {
        self.web_api.start("admin API on", &[], &[]).await.map(drop)
    }

    /// Starts control again.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start_control(&mut self) -> anyhow::Result<()> {
        self.control
            .start("platform keys", &[], &[])
            .await
            .map(drop)
    }

    /// Ends everything in good order; a role that takes its time for it is killed.
    pub async fn stop(mut self) {
        let roles = [
            &mut self.edge,
            &mut self.web_api,
            &mut self.ledger,
            &mut self.control,
        ];
        for role in roles.into_iter().chain(&mut self.ledger_2) {
            role.finish().await;
        }
        self.nats.stop().await;
        self.postgres.stop().await;
    }
}

//! A private Postgres cluster.

mod cluster;
mod template;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use crate::child::Launch;
use crate::daemon::{Daemon, Server};
use crate::home::Home;
use crate::leftover::{end_leftover, kill_stragglers, processes};
use crate::programs::{Program, find_program};
use crate::{DevstackError, Supervision, ports};

use cluster::Cluster;

/// The superuser of every private cluster.
pub const SUPERUSER: &str = "proctor";

/// The first start may have to recover after a crash.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Fast shutdown, then immediate shutdown, then the axe.
const STOP_LADDER: &[(Signal, Duration)] = &[
    (Signal::SIGINT, Duration::from_secs(30)),
    (Signal::SIGQUIT, Duration::from_secs(5)),
    (Signal::SIGKILL, Duration::from_secs(5)),
];
/// Immediate shutdown leaves no shared memory behind, which SIGKILL would.
const DROP_LADDER: &[(Signal, Duration)] = &[
    (Signal::SIGQUIT, Duration::from_secs(3)),
    (Signal::SIGKILL, Duration::from_secs(1)),
];

/// What a commit promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A committed transaction survives a power failure (Postgres' defaults).
    #[default]
    Durable,
    /// A committed transaction survives the death of every process, not that of the machine:
    /// written to the operating system before the commit returns, but not flushed. For tests, whose clusters are
    /// copies of one, with its password.
    Fast,
}

/// How to run a private cluster.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Directory of the cluster, its password and its log; created where needed.
    pub data_dir: PathBuf,
    /// Loopback port; `None` takes that of last time, or a free one.
    pub port: Option<u16>,
    /// What a commit promises.
    pub durability: Durability,
    /// Whether it is started again when it dies.
    pub supervision: Supervision,
}

impl PostgresOptions {
    /// Durable, unsupervised, on a free port.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            port: None,
            durability: Durability::Durable,
            supervision: Supervision::None,
        }
    }
}

/// A running private cluster: loopback TCP only, SCRAM passwords, no unix socket.
///
/// Ended on drop; [`Postgres::stop`] does it in order.
#[derive(Debug)]
pub struct Postgres {
    daemon: Daemon<PostgresServer>,
    /// Locked as long as the server may run: declared, and so dropped, after it.
    _home: Home,
}

impl Postgres {
    /// Creates the cluster where needed, starts the server, and returns when it accepts a login.
    ///
    /// # Errors
    /// Programs that are missing, a data directory in use or unusable, a server that does not come up.
    pub async fn start(options: PostgresOptions) -> Result<Self, DevstackError> {
        let home = Home::open(&options.data_dir)?;
        let cluster = Cluster::open(&home, options.durability).await?;
        let make = || PostgresServer::new(&home, &cluster, &options);
        let daemon = Daemon::start_on_a_free_port(make, options.supervision).await?;
        home.remember_port(daemon.server().port);
        Ok(Self {
            daemon,
            _home: home,
        })
    }

    /// `postgres://` URL of a database, with the superuser's name and password: never log it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let PostgresServer { port, cluster, .. } = self.daemon.server();
        format!(
            "postgres://{SUPERUSER}:{}@127.0.0.1:{port}/{database}?sslmode=disable",
            cluster.password
        )
    }

    /// The loopback port; stays the same over restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.daemon.server().port
    }

    /// Process id of the postmaster; `None` while it is down.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.daemon.pid()
    }

    /// How often the server was started and became ready.
    #[must_use]
    pub fn starts(&self) -> u64 {
        self.daemon.starts()
    }

    /// The server's log.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.daemon.server().launch.log
    }

    /// Creates a database if it does not exist.
    ///
    /// # Errors
    /// A name outside `[a-z][a-z0-9_]{0,62}`, or a server that is down.
    pub async fn create_database(&self, database: &str) -> Result<(), DevstackError> {
        create_database(&self.daemon.server().login("postgres"), database).await
    }

    /// Runs SQL text (trusted: it is not checked) as superuser in a database.
    ///
    /// # Errors
    /// Whatever Postgres says about it.
    pub async fn execute(&self, database: &str, sql: &str) -> Result<(), DevstackError> {
        run(
            &self.daemon.server().login(database),
            sql,
            "run the statements",
        )
        .await
    }

    /// Waits until it accepts logins again, for example after a supervised restart.
    ///
    /// # Errors
    /// [`DevstackError::NotReady`] after a minute.
    pub async fn wait_ready(&self) -> Result<(), DevstackError> {
        self.daemon.wait_ready().await
    }

    /// Stops it in order (fast shutdown); it stays down until [`Postgres::restart`].
    pub async fn stop(&self) {
        self.daemon.stop().await;
    }

    /// Kills the postmaster with SIGKILL and waits until it is gone. Backends that are busy end what they do.
    pub async fn kill9(&self) {
        self.daemon.kill9().await;
    }

    /// Kills all its processes with SIGKILL, as the end of the machine does.
    pub async fn kill9_all(&self) {
        // The postmaster first: it would see what becomes of the others.
        let postmaster = self.pid();
        for pid in postmaster.into_iter().chain(self.pids()) {
            if let Ok(raw) = i32::try_from(pid) {
                let _ = kill(Pid::from_raw(raw), Signal::SIGKILL);
            }
        }
        self.daemon.kill9().await;
        // What it had just begun.
        let PostgresServer {
            launch, cluster, ..
        } = self.daemon.server();
        kill_stragglers(&launch.program, &cluster.dir);
    }

    /// Stops it as `pg_ctl stop -m immediate` does: at once, so that the next start has to recover.
    pub async fn stop_immediately(&self) {
        self.daemon.end(DROP_LADDER).await;
    }

    /// Process ids of the postmaster and of all its processes.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let PostgresServer {
            launch, cluster, ..
        } = self.daemon.server();
        let pids = processes(&launch.program, &cluster.dir).into_iter();
        pids.filter_map(|pid| u32::try_from(pid.as_raw()).ok())
            .collect()
    }

    /// Stops it if it runs and starts it on the same port.
    ///
    /// # Errors
    /// A server that does not come up.
    pub async fn restart(&self) -> Result<(), DevstackError> {
        self.daemon.restart().await
    }
}

/// The parts of the command line and how to tell that it works.
#[derive(Debug)]
struct PostgresServer {
    launch: Launch,
    cluster: Cluster,
    port: u16,
}

impl PostgresServer {
    fn new(
        home: &Home,
        cluster: &Cluster,
        options: &PostgresOptions,
    ) -> Result<Self, DevstackError> {
        let port = match options.port {
            Some(port) => port,
            None => ports::pick(home.last_port())?,
        };
        let mut args: Vec<OsString> = vec!["-D".into(), cluster.dir.clone().into()];
        let port_setting = format!("port={port}");
        let fixed = [
            port_setting.as_str(),
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "logging_collector=off",
            "log_destination=stderr",
            "log_checkpoints=off",
            "lc_messages=C",
            "timezone=UTC",
            "log_timezone=UTC",
            "max_connections=300",
        ];
        let fast: &[&str] = match options.durability {
            Durability::Durable => &[],
            Durability::Fast => &[
                "fsync=off",
                "wal_level=minimal",
                "max_wal_senders=0",
                "shared_buffers=32MB",
            ],
        };
        for setting in fixed.iter().chain(fast) {
            args.extend(["-c".into(), setting.into()]);
        }
        let launch = Launch {
            name: "postgres",
            program: find_program(Program::Postgres)?,
            args,
            account: cluster.account,
            log: home.log("postgres.log"),
            // Immediate shutdown: quick, safe to recover from, leaves no shared memory behind.
            orphan_signal: "QUIT",
        };
        Ok(Self {
            launch,
            cluster: cluster.clone(),
            port,
        })
    }

    fn login(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(SUPERUSER)
            .password(&self.cluster.password)
            .database(database)
            .ssl_mode(PgSslMode::Disable)
    }
}

impl Server for PostgresServer {
    fn launch(&self) -> &Launch {
        &self.launch
    }

    async fn prepare(&self) -> Result<(), DevstackError> {
        let dir = &self.cluster.dir;
        let pid_file = dir.join("postmaster.pid");
        let patience = Duration::from_secs(5);
        end_leftover(&pid_file, dir.as_os_str(), Signal::SIGQUIT, patience).await;
        kill_stragglers(&self.launch.program, dir);
        Ok(())
    }

    async fn probe(&self) -> Result<(), String> {
        let connection = self
            .login("postgres")
            .connect()
            .await
            .map_err(|error| error.to_string())?;
        let _ = connection.close().await;
        Ok(())
    }

    /// Children of a postmaster that was killed need a moment to be gone.
    fn worth_retrying(&self, log_tail: &str) -> bool {
        log_tail.contains("shared memory block")
    }

    fn stop_ladder(&self) -> &'static [(Signal, Duration)] {
        STOP_LADDER
    }

    fn drop_ladder(&self) -> &'static [(Signal, Duration)] {
        DROP_LADDER
    }

    fn start_timeout(&self) -> Duration {
        START_TIMEOUT
    }

    fn port(&self) -> u16 {
        self.port
    }
}

/// Creates a database on any server if it does not exist.
pub(crate) async fn create_database(
    login: &PgConnectOptions,
    database: &str,
) -> Result<(), DevstackError> {
    let starts_well = database.starts_with(|c: char| c.is_ascii_lowercase());
    let reads_well = database
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !starts_well || !reads_well || database.len() > 63 {
        return Err(DevstackError::BadDatabaseName);
    }
    match run(
        login,
        &format!("create database {database}"),
        "create a database",
    )
    .await
    {
        Err(DevstackError::Sql {
            source: sqlx::Error::Database(error),
            ..
        }) if error.code().as_deref() == Some("42P04") => Ok(()),
        other => other,
    }
}

async fn run(
    login: &PgConnectOptions,
    sql: &str,
    action: &'static str,
) -> Result<(), DevstackError> {
    let failed = |source| DevstackError::Sql { action, source };
    let mut connection: PgConnection = login.connect().await.map_err(failed)?;
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await
        .map_err(failed)?;
    connection.close().await.map_err(failed)
}

/// Drops a database that [`create_database`] made, whoever is connected to it.
pub(crate) async fn drop_database(
    login: &PgConnectOptions,
    database: &str,
) -> Result<(), DevstackError> {
    run(
        login,
        &format!("drop database if exists {database} with (force)"),
        "drop a database",
    )
    .await
}

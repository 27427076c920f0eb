//! A private nats-server with JetStream.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::child::Launch;
use crate::daemon::{Daemon, Server};
use crate::home::{Home, create_dir, remove_dir};
use crate::leftover::end_leftover;
use crate::programs::{Program, find_program};
use crate::secret::{random_password, read_password, write_private};
use crate::{DevstackError, Supervision, ports};

/// The user of every private server that may do everything.
pub const USER: &str = "proctor";
/// The user that may do what an edge does.
const EDGE_USER: &str = "proctor-edge";
/// What that is: the same as operators are given.
const EDGE_PERMISSIONS: &str = include_str!("../../../deploy/nats/edge.conf");

/// A start may have to read back a large store.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_LADDER: &[(Signal, Duration)] = &[
    (Signal::SIGTERM, Duration::from_secs(10)),
    (Signal::SIGKILL, Duration::from_secs(5)),
];
const DROP_LADDER: &[(Signal, Duration)] = &[(Signal::SIGKILL, Duration::from_secs(1))];

/// How to run a private nats-server.
#[derive(Debug, Clone)]
pub struct NatsOptions {
    /// Directory of the configuration, the JetStream store and the log; created where needed.
    pub store_dir: PathBuf,
    /// Loopback port; `None` takes that of last time, or a free one.
    pub port: Option<u16>,
    /// Whether it is started again when it dies.
    pub supervision: Supervision,
}

impl NatsOptions {
    /// Unsupervised, on a free port.
    #[must_use]
    pub fn new(store_dir: impl Into<PathBuf>) -> Self {
        Self {
            store_dir: store_dir.into(),
            port: None,
            supervision: Supervision::None,
        }
    }
}

/// A running private nats-server: loopback only, two users with random passwords, JetStream on.
///
/// Ended on drop; [`Nats::stop`] does it in order.
#[derive(Debug)]
pub struct Nats {
    daemon: Daemon<NatsServer>,
    /// Locked as long as the server may run: declared, and so dropped, after it.
    _home: Home,
}

impl Nats {
    /// Starts the server and returns when it accepts a login and JetStream is on.
    ///
    /// # Errors
    /// A program that is missing, a directory in use or unusable, a server that does not come up.
    pub async fn start(options: NatsOptions) -> Result<Self, DevstackError> {
        let home = Home::open(&options.store_dir)?;
        let make = || NatsServer::new(&home, &options);
        let daemon = Daemon::start_on_a_free_port(make, options.supervision).await?;
        home.remember_port(daemon.server().port);
        Ok(Self {
            daemon,
            _home: home,
        })
    }

    /// `nats://` URL with user and password: never log it.
    ///
    /// async-nats ignores the credentials of a URL; `proctor_runtime::nats::connect` reads them.
    #[must_use]
    pub fn url(&self) -> String {
        let NatsServer { port, password, .. } = self.daemon.server();
        format!("nats://{USER}:{password}@127.0.0.1:{port}")
    }

    /// The same with the user that may only do what an edge does.
    #[must_use]
    pub fn edge_url(&self) -> String {
        let NatsServer {
            port,
            edge_password,
            ..
        } = self.daemon.server();
        format!("nats://{EDGE_USER}:{edge_password}@127.0.0.1:{port}")
    }

    /// The user name and the password by themselves.
    #[must_use]
    pub fn user_and_password(&self) -> (String, String) {
        (USER.to_owned(), self.daemon.server().password.clone())
    }

    /// The loopback port; stays the same over restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.daemon.server().port
    }

    /// Process id; `None` while it is down.
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

    /// Waits until it accepts logins again, for example after a supervised restart.
    ///
    /// # Errors
    /// [`DevstackError::NotReady`] after a minute.
    pub async fn wait_ready(&self) -> Result<(), DevstackError> {
        self.daemon.wait_ready().await
    }

    /// Stops it in order; it stays down until [`Nats::restart`].
    pub async fn stop(&self) {
        self.daemon.stop().await;
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub async fn kill9(&self) {
        self.daemon.kill9().await;
    }

    /// Stops it if it runs and starts it on the same port.
    ///
    /// # Errors
    /// A server that does not come up.
    pub async fn restart(&self) -> Result<(), DevstackError> {
        self.daemon.restart().await
    }

    /// Loses everything the server has stored: kills it, deletes the JetStream store, and starts
    /// it again if it ran before.
    ///
    /// # Errors
    /// A store that cannot be deleted, a server that does not come up.
    pub async fn wipe_store(&self) -> Result<(), DevstackError> {
        self.daemon
            .while_down(|server| remove_dir(&server.store))
            .await
    }
}

struct NatsServer {
    launch: Launch,
    config: PathBuf,
    pid_file: PathBuf,
    store: PathBuf,
    port: u16,
    password: String,
    edge_password: String,
}

impl std::fmt::Debug for NatsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsServer")
            .field("store", &self.store)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl NatsServer {
    fn new(home: &Home, options: &NatsOptions) -> Result<Self, DevstackError> {
        let port = match options.port {
            Some(port) => port,
            None => ports::pick(home.last_port())?,
        };
        let dir = home.dir();
        let (config, pid_file, store) = (
            dir.join("nats.conf"),
            dir.join("nats.pid"),
            dir.join("store"),
        );
        let edge_password = password(dir, "nats.edge.password")?;
        let password = password(dir, "nats.password")?;
        create_dir(&store, 0o700)?;
        let text = config_text(port, (&password, &edge_password), &pid_file, &store);
        write_private(&config, &text)?;
        let launch = Launch {
            name: "nats-server",
            program: find_program(Program::NatsServer)?,
            args: vec!["-c".into(), config.clone().into()],
            account: None,
            log: home.log("nats.log"),
            orphan_signal: "KILL",
        };
        Ok(Self {
            launch,
            config,
            pid_file,
            store,
            port,
            password,
            edge_password,
        })
    }
}

/// Kept over restarts of the owner, so that clients which outlive it can come back.
fn password(dir: &Path, file: &str) -> Result<String, DevstackError> {
    let path = dir.join(file);
    if let Some(password) = read_password(&path)? {
        return Ok(password);
    }
    let password = random_password()?;
    write_private(&path, &password)?;
    Ok(password)
}

fn config_text(
    port: u16,
    (password, edge_password): (&str, &str),
    pid_file: &Path,
    store: &Path,
) -> String {
    format!(
        "# Written at every start by the development stack.\n\
         listen: \"127.0.0.1:{port}\"\n\
         server_name: \"proctor-devstack-{port}\"\n\
         pid_file: {pid_file:?}\n\
         authorization {{ users: [\n\
           {{ user: \"{USER}\", password: \"{password}\" }}\n\
           {{ user: \"{EDGE_USER}\", password: \"{edge_password}\", permissions: {{\n{EDGE_PERMISSIONS}\n}} }}\n\
         ] }}\n\
         jetstream {{ store_dir: {store:?} }}\n"
    )
}

impl Server for NatsServer {
    fn launch(&self) -> &Launch {
        &self.launch
    }

    async fn prepare(&self) -> Result<(), DevstackError> {
        end_leftover(
            &self.pid_file,
            self.config.as_os_str(),
            Signal::SIGTERM,
            Duration::from_secs(5),
        )
        .await;
        create_dir(&self.store, 0o700)
    }

    /// Logs in the way a client does: INFO, CONNECT, PING, PONG.
    async fn probe(&self) -> Result<(), String> {
        let io = |error: std::io::Error| error.to_string();
        let stream = TcpStream::connect(("127.0.0.1", self.port))
            .await
            .map_err(io)?;
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await.map_err(io)?;
        if !line.starts_with("INFO ") || !line.contains("\"jetstream\":true") {
            return Err("no JetStream in its greeting".to_owned());
        }
        let login = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"user\":\"{USER}\",\"pass\":\"{}\"}}\r\nPING\r\n",
            self.password
        );
        stream.write_all(login.as_bytes()).await.map_err(io)?;
        line.clear();
        stream.read_line(&mut line).await.map_err(io)?;
        if line.trim_end() == "PONG" {
            Ok(())
        } else {
            Err(line.trim_end().to_owned())
        }
    }

    fn worth_retrying(&self, _log_tail: &str) -> bool {
        false
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

//! Fresh servers for one test.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;

use crate::postgres::{create_database, drop_database};
use crate::secret::random_password;
use crate::{DevstackError, Durability, Nats, NatsOptions, Postgres, PostgresOptions};

/// Names a running cluster (URL of a superuser, any database) in which each test gets its own
/// database instead of starting a cluster.
pub const POSTGRES_URL_VARIABLE: &str = "PROCTOR_TEST_POSTGRES_URL";
/// Names a running nats-server to be shared by all tests. Streams are shared too, so this suits
/// tests that use subjects of their own.
pub const NATS_URL_VARIABLE: &str = "PROCTOR_TEST_NATS_URL";

/// Directories of tests begin with this, followed by the process id.
const DIR_PREFIX: &str = "proctor-test-";
/// A directory whose process is gone is removed by later tests when it is this old.
const STALE_AFTER: Duration = Duration::from_secs(600);

/// A Postgres database and a nats-server of a test's own; gone when dropped.
#[derive(Debug)]
pub struct TestStack {
    /// The database.
    pub postgres: TestPostgres,
    /// The NATS server.
    pub nats: TestNats,
}

impl TestStack {
    /// Both servers; shared ones where the environment names them.
    ///
    /// # Errors
    /// See [`Postgres::start`] and [`Nats::start`].
    pub async fn start() -> Result<Self, DevstackError> {
        let (postgres, nats) = tokio::try_join!(TestPostgres::start(), TestNats::start())?;
        Ok(Self { postgres, nats })
    }

    /// Both servers, private in any case: for tests that kill them.
    ///
    /// # Errors
    /// See [`Postgres::start`] and [`Nats::start`].
    pub async fn private() -> Result<Self, DevstackError> {
        let (postgres, nats) = tokio::try_join!(TestPostgres::private(), TestNats::private())?;
        Ok(Self { postgres, nats })
    }

    /// URL of the fresh database, as superuser.
    #[must_use]
    pub fn postgres_url(&self) -> &str {
        self.postgres.url()
    }

    /// URL of the NATS server, with credentials.
    #[must_use]
    pub fn nats_url(&self) -> &str {
        self.nats.url()
    }
}

/// A fresh, empty database. Roles are per cluster, and so may be shared with other tests: create
/// them only if they do not exist.
pub struct TestPostgres {
    url: String,
    server: Option<Postgres>,
    _dir: Option<TempDir>,
    /// On a shared cluster: how to get rid of the database.
    _shared: Option<SharedDatabase>,
}

/// A database on a cluster that outlives the test; dropped with the test.
struct SharedDatabase {
    login: PgConnectOptions,
    name: String,
}

impl Drop for SharedDatabase {
    /// In a thread of its own: the test's runtime cannot be waited for here, and may be gone.
    fn drop(&mut self) {
        let (login, name) = (self.login.clone(), std::mem::take(&mut self.name));
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .ok()?;
            runtime.block_on(drop_database(&login, &name)).ok()
        });
        let _ = dropped.join();
    }
}

impl TestPostgres {
    /// A fresh database on the shared cluster the environment names, else on a private one.
    ///
    /// # Errors
    /// See [`Postgres::start`].
    pub async fn start() -> Result<Self, DevstackError> {
        let Ok(url) = std::env::var(POSTGRES_URL_VARIABLE) else {
            return Self::private().await;
        };
        let unusable = |problem| DevstackError::BadEnvironment {
            name: POSTGRES_URL_VARIABLE,
            problem,
        };
        let login =
            PgConnectOptions::from_str(&url).map_err(|_| unusable("not a postgres:// URL"))?;
        let database = fresh_database_name()?;
        create_database(&login, &database).await?;
        let url = with_database(&url, &database).ok_or_else(|| unusable("it names no database"))?;
        Ok(Self {
            url,
            server: None,
            _dir: None,
            _shared: Some(SharedDatabase {
                login,
                name: database,
            }),
        })
    }

    /// A fresh database on a cluster of its own.
    ///
    /// # Errors
    /// See [`Postgres::start`].
    pub async fn private() -> Result<Self, DevstackError> {
        let dir = test_dir("pg")?;
        let options = PostgresOptions {
            durability: Durability::Fast,
            ..PostgresOptions::new(dir.path())
        };
        let server = Postgres::start(options).await?;
        let database = fresh_database_name()?;
        server.create_database(&database).await?;
        Ok(Self {
            url: server.url(&database),
            server: Some(server),
            _dir: Some(dir),
            _shared: None,
        })
    }

    /// URL of the fresh database, as superuser.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The private cluster; `None` where it is shared, and must not be killed.
    #[must_use]
    pub fn server(&self) -> Option<&Postgres> {
        self.server.as_ref()
    }
}

impl std::fmt::Debug for TestPostgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestPostgres")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// A nats-server with an empty store.
pub struct TestNats {
    url: String,
    server: Option<Nats>,
    _dir: Option<TempDir>,
}

impl TestNats {
    /// The shared server the environment names, else a private one.
    ///
    /// # Errors
    /// See [`Nats::start`].
    pub async fn start() -> Result<Self, DevstackError> {
        match std::env::var(NATS_URL_VARIABLE) {
            Ok(url) => Ok(Self {
                url,
                server: None,
                _dir: None,
            }),
            Err(_) => Self::private().await,
        }
    }

    /// A server of its own.
    ///
    /// # Errors
    /// See [`Nats::start`].
    pub async fn private() -> Result<Self, DevstackError> {
        let dir = test_dir("nats")?;
        let server = Nats::start(NatsOptions::new(dir.path())).await?;
        Ok(Self {
            url: server.url(),
            server: Some(server),
            _dir: Some(dir),
        })
    }

    /// URL with credentials.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The private server; `None` where it is shared, and must not be killed.
    #[must_use]
    pub fn server(&self) -> Option<&Nats> {
        self.server.as_ref()
    }
}

impl std::fmt::Debug for TestNats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestNats")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

fn fresh_database_name() -> Result<String, DevstackError> {
    let random = random_password()?;
    Ok(format!("test_{}", random.get(..16).unwrap_or(&random)))
}

/// The same URL with another database: what is between the last `/` of the authority and `?`.
fn with_database(url: &str, database: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_once('/')?;
    let query = path
        .split_once('?')
        .map_or(String::new(), |(_, query)| format!("?{query}"));
    Some(format!("{scheme}://{authority}/{database}{query}"))
}

/// A directory that Postgres' account can reach, removed on drop, and after a killed test by later ones.
fn test_dir(kind: &str) -> Result<TempDir, DevstackError> {
    // Not TMPDIR: it may be long, or closed to the account Postgres runs as.
    let base = Path::new("/tmp");
    sweep(base);
    tempfile::Builder::new()
        .prefix(&format!("{DIR_PREFIX}{}-{kind}-", std::process::id()))
        .tempdir_in(base)
        .map_err(DevstackError::io("create a directory in", base))
}

/// Removes what killed tests of ours left behind.
fn sweep(base: &Path) {
    let me = nix::unistd::geteuid().as_raw();
    for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| {
            name.strip_prefix(DIR_PREFIX)?
                .split('-')
                .next()?
                .parse::<u32>()
                .ok()
        });
        let (Some(pid), Ok(meta)) = (pid, entry.metadata()) else {
            continue;
        };
        let age = meta
            .modified()
            .ok()
            .and_then(|at| SystemTime::now().duration_since(at).ok());
        let gone = !Path::new("/proc").join(pid.to_string()).exists();
        if gone && meta.is_dir() && meta.uid() == me && age.is_some_and(|age| age > STALE_AFTER) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

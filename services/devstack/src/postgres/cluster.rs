//! The files of a cluster: where they are, how they come to be.

use std::fs::Permissions;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::template::Template;
use super::{Durability, SUPERUSER};
use crate::DevstackError;
use crate::account::Account;
use crate::home::{Home, create_dir, remove_dir};
use crate::programs::{Program, find_program};
use crate::secret::{random_password, read_password, write_private};

/// Where clusters live whose own place the unprivileged account cannot reach (root's home).
const ROOT_FALLBACK: &str = "/var/lib/proctor-devstack";

/// The password's place in the data directory, and in a template.
pub(super) const PASSWORD_FILE: &str = "superuser.password";

/// An initialised cluster.
#[derive(Clone)]
pub(crate) struct Cluster {
    /// PGDATA; real path, owned by `account`.
    pub(crate) dir: PathBuf,
    /// Account the server runs as; `None` is ours.
    pub(crate) account: Option<Account>,
    /// Superuser's password: 64 hexadecimal digits.
    pub(crate) password: String,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("dir", &self.dir)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// The cluster of a data directory; made if there is none yet: by `initdb`, or, where it need not outlive the machine,
    /// as a copy of one that `initdb` made before.
    ///
    /// Either works on `cluster.new`; the rename to `cluster` is the last step. A crash before it
    /// leaves a password and no cluster, and the next start begins again.
    pub(crate) async fn open(home: &Home, durability: Durability) -> Result<Self, DevstackError> {
        let account = Account::for_postgres()?;
        let place = Place::of(home, account)?;
        let dir = place.dir.join("cluster");
        let password_file = home.dir().join(PASSWORD_FILE);
        match read_password(&password_file)? {
            Some(password) if dir.is_dir() => {
                return Ok(Self {
                    dir,
                    account,
                    password,
                });
            }
            _ if dir.is_dir() && !place.disposable => {
                return Err(DevstackError::PasswordMissing {
                    dir: home.dir().to_owned(),
                });
            }
            _ => remove_dir(&dir)?,
        }
        let made = place.dir.join("cluster.new");
        let job = Making {
            dir: made.clone(),
            account,
            password_file,
            durability,
        };
        let password = run_blocking(move || job.run()).await?;
        std::fs::rename(&made, &dir).map_err(DevstackError::io("rename", &made))?;
        Ok(Self {
            dir,
            account,
            password,
        })
    }
}

/// A cluster in the making.
struct Making {
    dir: PathBuf,
    account: Option<Account>,
    password_file: PathBuf,
    durability: Durability,
}

impl Making {
    /// Makes it; its superuser's password. That is written first, and the caller renames the cluster last: whoever sees the
    /// cluster has its password.
    fn run(self) -> Result<String, DevstackError> {
        match self.durability {
            Durability::Durable => {
                let password = random_password()?;
                write_private(&self.password_file, &password)?;
                let job = InitDb {
                    dir: self.dir,
                    account: self.account,
                    password: password.clone(),
                    durability: self.durability,
                };
                job.run()?;
                Ok(password)
            }
            Durability::Fast => {
                let template = Template::find()?;
                write_private(&self.password_file, &template.password)?;
                remove_dir(&self.dir)?;
                copy_tree(&template.cluster, &self.dir, self.account)?;
                Ok(template.password)
            }
        }
    }
}

/// The directory that holds `cluster`.
struct Place {
    dir: PathBuf,
    /// It is ours alone and can be emptied when the data directory no longer knows about it.
    disposable: bool,
}

impl Place {
    /// The data directory itself, unless `account` cannot reach it.
    fn of(home: &Home, account: Option<Account>) -> Result<Self, DevstackError> {
        let Some(account) = account.filter(|account| !account.can_traverse(home.dir())) else {
            return Ok(Self {
                dir: home.dir().to_owned(),
                disposable: false,
            });
        };
        let mut hasher = DefaultHasher::new();
        home.dir().hash(&mut hasher);
        let dir = Path::new(ROOT_FALLBACK).join(format!("{:016x}", hasher.finish()));
        create_dir(Path::new(ROOT_FALLBACK), 0o711)?;
        create_dir(&dir, 0o711)?;
        tracing::info!(data_dir = %home.dir().display(), cluster = %dir.display(), uid = account.uid,
            "the account that runs Postgres cannot reach the data directory; the cluster lives elsewhere");
        Ok(Self {
            dir,
            disposable: true,
        })
    }
}

/// One run of `initdb`.
pub(super) struct InitDb {
    pub(super) dir: PathBuf,
    pub(super) account: Option<Account>,
    pub(super) password: String,
    pub(super) durability: Durability,
}

impl InitDb {
    pub(super) fn run(&self) -> Result<(), DevstackError> {
        remove_dir(&self.dir)?;
        create_dir(&self.dir, 0o700)?;
        let password_file = self.dir.with_extension("pw");
        write_private(&password_file, &self.password)?;
        if let Some(account) = self.account {
            account.own(&self.dir)?;
            account.own(&password_file)?;
        }
        let output = self.command(&password_file)?.output();
        let _ = std::fs::remove_file(&password_file);
        let output = output.map_err(DevstackError::io("run initdb for", &self.dir))?;
        if output.status.success() {
            return Ok(());
        }
        Err(DevstackError::HelperFailed {
            program: Program::Initdb.name(),
            status: output.status.to_string(),
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    fn command(&self, password_file: &Path) -> Result<Command, DevstackError> {
        let mut command = Command::new(find_program(Program::Initdb)?);
        command
            .arg("-D")
            .arg(&self.dir)
            .args([
                "-U",
                SUPERUSER,
                "--auth=scram-sha-256",
                "--locale=C",
                "--encoding=UTF8",
            ])
            .arg("--pwfile")
            .arg(password_file)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .current_dir("/")
            .stdin(Stdio::null())
            .process_group(0);
        if self.durability == Durability::Fast {
            // Small write-ahead segments keep a copy of the cluster cheap.
            command.args(["--no-sync", "--wal-segsize=1"]);
        }
        if let Some(account) = self.account {
            command.gid(account.gid).uid(account.uid);
        }
        Ok(command)
    }
}

/// Copies a tree of directories and plain files, private to the account.
pub(super) fn copy_tree(
    from: &Path,
    to: &Path,
    account: Option<Account>,
) -> Result<(), DevstackError> {
    create_dir(to, 0o700)?;
    let entries = std::fs::read_dir(from).map_err(DevstackError::io("list", from))?;
    for entry in entries {
        let entry = entry.map_err(DevstackError::io("list", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_tree(&source, &target, account)?;
        } else {
            std::fs::copy(&source, &target)
                .and_then(|_| std::fs::set_permissions(&target, Permissions::from_mode(0o600)))
                .map_err(DevstackError::io("copy", &source))?;
            if let Some(account) = account {
                account.own(&target)?;
            }
        }
    }
    account.map_or(Ok(()), |account| account.own(to))
}

async fn run_blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, DevstackError> + Send + 'static,
) -> Result<T, DevstackError> {
    match tokio::task::spawn_blocking(job).await {
        Ok(done) => done,
        Err(_) => Err(DevstackError::HelperFailed {
            program: Program::Initdb.name(),
            status: "a cancelled task".to_owned(),
            stderr: String::new(),
        }),
    }
}

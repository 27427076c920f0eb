//! The cluster that those which need not outlive the machine are copies of: `initdb` takes seconds, a copy a few hundredths of one.

use std::fs::OpenOptions;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Durability;
use super::cluster::{InitDb, PASSWORD_FILE, copy_tree};
use crate::DevstackError;
use crate::account::Account;
use crate::home::{create_dir, remove_dir};
use crate::programs::{Program, find_program};
use crate::secret::{random_password, read_password, write_private};

/// A cluster without a home, to be copied.
pub(super) struct Template {
    /// PGDATA.
    pub(super) cluster: PathBuf,
    /// Its superuser's password.
    pub(super) password: String,
}

impl Template {
    /// The one of this machine, made where there is none yet.
    pub(super) fn find() -> Result<Self, DevstackError> {
        let dir = find()?;
        let password = read_password(&dir.join(PASSWORD_FILE))?;
        let password =
            password.ok_or_else(|| DevstackError::PasswordMissing { dir: dir.clone() })?;
        Ok(Self {
            cluster: dir.join("cluster"),
            password,
        })
    }
}

fn find() -> Result<PathBuf, DevstackError> {
    let initdb = find_program(Program::Initdb)?;
    let initdb = initdb
        .canonicalize()
        .map_err(DevstackError::io("resolve", &initdb))?;
    // One template per Postgres installation: its path names the major version.
    let installation: String = initdb
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    let cache = cache()?;
    let template = cache.join(installation);
    if template.is_dir() {
        return Ok(template);
    }
    let path = cache.join("lock");
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(DevstackError::io("open", &path))?;
    lock.lock().map_err(DevstackError::io("lock", &path))?;
    if !template.is_dir() {
        let made = template.with_extension("new");
        remove_dir(&made)?;
        make(&made)?;
        std::fs::rename(&made, &template).map_err(DevstackError::io("rename", &made))?;
    }
    Ok(template)
}

/// `dir` must not exist yet.
fn make(dir: &Path) -> Result<(), DevstackError> {
    let account = Account::for_postgres()?;
    // `initdb` runs where its account can reach; the template then lives where we like.
    let workshop = tempfile::tempdir_in("/tmp").map_err(DevstackError::io(
        "create a directory in",
        Path::new("/tmp"),
    ))?;
    create_dir(workshop.path(), 0o711)?;
    let made = workshop.path().join("cluster");
    let password = random_password()?;
    InitDb {
        dir: made.clone(),
        account,
        password: password.clone(),
        durability: Durability::Fast,
    }
    .run()?;
    create_dir(dir, 0o700)?;
    copy_tree(&made, &dir.join("cluster"), None)?;
    write_private(&dir.join(PASSWORD_FILE), &password)
}

/// In the build directory of the program that runs (the one cargo has tagged), else below `/tmp`,
/// where it must be ours: the servers of all tests start from what is in it.
fn cache() -> Result<PathBuf, DevstackError> {
    let exe = std::env::current_exe().unwrap_or_default();
    let target = exe
        .ancestors()
        .find(|dir| dir.join("CACHEDIR.TAG").is_file());
    if let Some(cache) = target.map(|target| target.join("devstack-templates"))
        && create_dir(&cache, 0o700).is_ok()
    {
        return Ok(cache);
    }
    let me = nix::unistd::geteuid().as_raw();
    let cache = PathBuf::from(format!("/tmp/proctor-devstack-templates-{me}"));
    create_dir(&cache, 0o700)?;
    let owner = std::fs::symlink_metadata(&cache).map_err(DevstackError::io("inspect", &cache))?;
    if owner.is_dir() && owner.uid() == me {
        Ok(cache)
    } else {
        Err(DevstackError::io("trust", &cache)(
            std::io::ErrorKind::PermissionDenied.into(),
        ))
    }
}

//! A server's data directory: held by one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::DevstackError;
use crate::account::real_path;

/// A log larger than this is moved aside before the next start.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// An existing, locked data directory. The kernel frees the lock when the process ends, however
/// it ends, so a lock that is held means a living owner.
#[derive(Debug)]
pub(crate) struct Home {
    dir: PathBuf,
    _lock: File,
}

impl Home {
    /// Creates the directory where needed (mode 0711: others may pass through to what they own
    /// inside, and list nothing) and takes its lock.
    pub(crate) fn open(dir: &Path) -> Result<Self, DevstackError> {
        create_dir(dir, 0o711)?;
        let dir = real_path(dir)?;
        let path = dir.join("lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(DevstackError::io("open", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DevstackError::DirectoryInUse { dir }),
            Err(TryLockError::Error(source)) => Err(DevstackError::Io {
                action: "lock",
                path,
                source,
            }),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The port the server had the last time.
    pub(crate) fn last_port(&self) -> Option<u16> {
        let text = std::fs::read_to_string(self.dir.join("port")).ok()?;
        text.trim().parse().ok()
    }

    /// Remembers the port; that it cannot be kept is no reason to fail.
    pub(crate) fn remember_port(&self, port: u16) {
        if let Err(error) = std::fs::write(self.dir.join("port"), port.to_string()) {
            tracing::debug!(%error, "cannot remember the port");
        }
    }

    /// Path of the server's log; an overlong one is moved aside first.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        let path = self.dir.join(name);
        if std::fs::metadata(&path).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX) {
            let _ = std::fs::rename(&path, path.with_extension("log.old"));
        }
        path
    }
}

/// Creates a directory (and its parents) and sets its mode, also when it exists.
pub(crate) fn create_dir(dir: &Path, mode: u32) -> Result<(), DevstackError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(dir)
        .and_then(|()| std::fs::set_permissions(dir, Permissions::from_mode(mode)))
        .map_err(DevstackError::io("create", dir))
}

/// Removes a directory and all below it; its absence is fine.
pub(crate) fn remove_dir(dir: &Path) -> Result<(), DevstackError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(DevstackError::io("remove", dir)(error))
        }
        _ => Ok(()),
    }
}

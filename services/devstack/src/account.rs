//! The unprivileged account Postgres runs as when we are root.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::{User, geteuid};

use crate::DevstackError;

/// A user and group id to drop to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// `None` when we are not root (run as ourselves); as root, `postgres`, else `nobody`.
    pub(crate) fn for_postgres() -> Result<Option<Self>, DevstackError> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(|user| {
                Some(Self {
                    uid: user.uid.as_raw(),
                    gid: user.gid.as_raw(),
                })
            })
            .ok_or(DevstackError::NoUnprivilegedAccount)
    }

    /// Gives one path to this account.
    pub(crate) fn own(self, path: &Path) -> Result<(), DevstackError> {
        chown(path, Some(self.uid), Some(self.gid))
            .map_err(DevstackError::io("change the owner of", path))
    }

    /// Whether this account can pass through `dir` and everything above it.
    pub(crate) fn can_traverse(self, dir: &Path) -> bool {
        dir.ancestors().all(|ancestor| {
            std::fs::metadata(ancestor).is_ok_and(|meta| {
                let needed = if meta.uid() == self.uid {
                    0o100
                } else if meta.gid() == self.gid {
                    0o010
                } else {
                    0o001
                };
                meta.mode() & needed != 0
            })
        })
    }
}

/// An absolute path without symbolic links; the directory must exist.
pub(crate) fn real_path(dir: &Path) -> Result<PathBuf, DevstackError> {
    dir.canonicalize()
        .map_err(DevstackError::io("resolve", dir))
}

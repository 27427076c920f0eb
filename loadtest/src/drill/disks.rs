//! Disks that are full, slow or broken.

use anyhow::Context;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use tokio::process::{Child, Command};

/// A disk that is soon full: a tmpfs of its own.
pub(super) struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    /// Of so many megabytes.
    pub(super) fn new(megabytes: u32) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let size = format!("size={megabytes}m");
        mount(
            Some("tmpfs"),
            dir.path(),
            Some("tmpfs"),
            MsFlags::empty(),
            Some(size.as_str()),
        )
        .context("mounting a small tmpfs (this drill has to run as root)")?;
        Ok(Self { dir })
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Takes all the room that is left; the file that has it.
    pub(super) fn fill(&self) -> anyhow::Result<PathBuf> {
        let path = self.path().join("ballast");
        let mut ballast = std::fs::File::create(&path)?;
        loop {
            match ballast.write_all(&[0; 4096]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(path),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let path: &Path = self.dir.path();
        // Lazily: a process that is still ending may hold it.
        let _ = umount2(path, MntFlags::MNT_DETACH);
    }
}

/// Whether this process may mount (drills D10 and the ledger's disk).
#[must_use]
pub fn may_mount() -> bool {
    SmallDisk::new(1).is_ok()
}

/// A process whose syncs are meddled with.
pub(super) struct Syncs {
    strace: Child,
}

impl Syncs {
    /// `how` is what strace's `inject` is to do to them.
    pub(super) fn with(pid: Pid, how: &str) -> anyhow::Result<Self> {
        let strace = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-p", &pid.to_string()])
            .args(["-e", "trace=fdatasync,fsync"])
            .arg("-e")
            .arg(format!("inject=fdatasync,fsync:{how}"))
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { strace })
    }

    /// It detaches in good order; killed, it could take the process with it.
    pub(super) async fn let_go(mut self) -> anyhow::Result<()> {
        let id = self.strace.id().and_then(|id| i32::try_from(id).ok());
        let id = id.context("strace runs")?;
        kill(Pid::from_raw(id), Signal::SIGINT)?;
        self.strace.wait().await?;
        Ok(())
    }
}

/// Whether this process may trace others (drills D11 and the slow disk).
#[must_use]
pub fn may_trace() -> bool {
    std::process::Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "true"])
        .status()
        .is_ok_and(|status| status.success())
}

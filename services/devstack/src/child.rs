//! One child process, watched by a thread of its own.
//!
//! The thread exists for two reasons. A child started through `setpriv --pdeathsig` is killed when
//! the *thread* that started it ends, so that thread must live as long as the child; a worker of
//! an async runtime need not. And it reaps the child under a lock, so a signal is never sent to a
//! process id that has been given to someone else.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::sync::watch;

use crate::DevstackError;
use crate::account::Account;
use crate::programs::{Program, find_program};

/// How to start a process.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// Name for logs and the watching thread.
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    /// Account to drop to; `None` keeps ours.
    pub(crate) account: Option<Account>,
    /// Standard output and error are appended here.
    pub(crate) log: PathBuf,
    /// Signal the kernel sends it when we die.
    pub(crate) orphan_signal: &'static str,
}

/// A running, or ended, child process. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Child {
    pid: u32,
    shared: Arc<Shared>,
    ended: watch::Receiver<bool>,
}

#[derive(Debug, Default)]
struct Shared {
    status: Mutex<Option<ExitStatus>>,
    changed: Condvar,
}

impl Shared {
    fn status(&self) -> MutexGuard<'_, Option<ExitStatus>> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Child {
    /// Starts the process in a process group of its own (Ctrl-C on our terminal reaches us alone,
    /// and we stop it in order) with an empty environment.
    pub(crate) fn spawn(launch: &Launch) -> Result<Self, DevstackError> {
        let mut command = command(launch)?;
        let shared = Arc::new(Shared::default());
        let (ended_tx, ended) = watch::channel(false);
        let (started_tx, started) = sync_channel(1);
        let for_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name(format!("keep-{}", launch.name))
            .spawn(move || match command.spawn() {
                Ok(child) => {
                    let _ = started_tx.send(Ok(child.id()));
                    keep(child, &for_thread);
                    ended_tx.send_replace(true);
                }
                Err(error) => {
                    let _ = started_tx.send(Err(error));
                }
            })
            .map_err(DevstackError::io(
                "start a thread to watch",
                &launch.program,
            ))?;
        let pid = started
            .recv()
            .unwrap_or_else(|_| Err(std::io::Error::other("the watching thread ended")))
            .map_err(DevstackError::io("start", &launch.program))?;
        Ok(Self { pid, shared, ended })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended; `None` while it runs.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        *self.shared.status()
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&self) {
        let mut ended = self.ended.clone();
        // An error means that the thread is gone, which it is only after the child.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// Sends a signal, unless it has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        let status = self.shared.status();
        if status.is_none()
            && let Ok(raw) = i32::try_from(self.pid)
        {
            let _ = kill(Pid::from_raw(raw), signal);
        }
    }

    /// Sends each signal in turn and gives it its time to work.
    pub(crate) async fn end(&self, ladder: &[(Signal, Duration)]) {
        for (signal, patience) in ladder {
            self.signal(*signal);
            if tokio::time::timeout(*patience, self.ended()).await.is_ok() {
                return;
            }
        }
    }

    /// The same for where nothing can be awaited.
    pub(crate) fn end_blocking(&self, ladder: &[(Signal, Duration)]) {
        for (signal, patience) in ladder {
            self.signal(*signal);
            if self.wait_blocking(*patience) {
                return;
            }
        }
    }

    fn wait_blocking(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut status = self.shared.status();
        while status.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.changed.wait_timeout(status, left);
            status = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// Waits for the end of the child without reaping it, then reaps it under the lock.
fn keep(mut child: std::process::Child, shared: &Shared) {
    if let Ok(raw) = i32::try_from(child.id()) {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        while waitid(Id::Pid(Pid::from_raw(raw)), flags) == Err(nix::errno::Errno::EINTR) {}
    }
    let mut status = shared.status();
    *status = Some(child.wait().unwrap_or_default());
    drop(status);
    shared.changed.notify_all();
}

fn command(launch: &Launch) -> Result<Command, DevstackError> {
    let mut command = match find_program(Program::Setpriv) {
        Ok(setpriv) => {
            let mut command = Command::new(setpriv);
            command
                .args(["--pdeathsig", launch.orphan_signal, "--"])
                .arg(&launch.program);
            command
        }
        Err(_) => Command::new(&launch.program),
    };
    let log = append(&launch.log)?;
    let log_too = log
        .try_clone()
        .map_err(DevstackError::io("open", &launch.log))?;
    command
        .args(&launch.args)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(log_too)
        .process_group(0);
    if let Some(account) = launch.account {
        command.gid(account.gid).uid(account.uid);
    }
    Ok(command)
}

fn append(path: &Path) -> Result<std::fs::File, DevstackError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(DevstackError::io("open", path))
}

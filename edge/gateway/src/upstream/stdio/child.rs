//! A child that runs: its process, and what is written to it.

use super::LATE_MAX;
use super::waiting::Waiting;
use crate::upstream::rpc::{Era, Failure};
use crate::upstream::subscribed::Subscribed;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, waitid};
use serde_json::Value;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::process::{Child, ChildStdin};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// How long a child may take to end once its input is closed, and again once it is asked to.
const ENDS_WITHIN: Duration = Duration::from_secs(2);
/// How often it is looked at whether it has, where the kernel does not tell.
const LOOK: Duration = Duration::from_millis(20);

/// A child that runs.
pub(super) struct Running {
    pub(super) era: Era,
    /// Whole lines for the one task that writes: a call that is given up must not leave half a line behind.
    pub(super) lines: mpsc::Sender<Vec<u8>>,
    pub(super) waiting: Waiting,
    pub(super) ended: Arc<AtomicBool>,
    /// Requests that timed out since the last answer.
    pub(super) late: Arc<AtomicU32>,
    /// What it is to tell of, if it is one of the older revisions.
    pub(super) subscribed: Subscribed,
    /// There until it is let go of.
    pub(super) child: Mutex<Option<Group>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        let child = child.unwrap_or_else(PoisonError::into_inner).take();
        // Without anybody to see to it, it is killed.
        if let (Some(child), Ok(runtime)) = (child, Handle::try_current()) {
            runtime.spawn(end(child));
        }
    }
}

/// A child with all that it started: it leads a process group of its own. Dropped, all of it is killed.
pub(super) struct Group(pub(super) Child);

impl Drop for Group {
    fn drop(&mut self) {
        kill(&self.0);
    }
}

/// Ends a child that nobody uses any more, as MCP has it: its input is closed by then, and it may end by itself. One that
/// does not is asked to, and what is left of it is killed.
async fn end(child: Group) {
    let id = child.0.id();
    if !ended_within_its_time(id).await {
        signal(&child.0, Signal::SIGTERM);
        ended_within_its_time(id).await;
    }
}

async fn ended_within_its_time(id: Option<u32>) -> bool {
    tokio::time::timeout(ENDS_WITHIN, over(id)).await.is_ok()
}

/// Waits until the process is over. It is not reaped: as long as it is not, the number of its group is nobody else's, and what
/// it left behind can be ended by that number. So nobody may wait for it as one waits for a child; its end is heard of from a
/// descriptor. Of what else is in its group nothing has to be known: it is killed when the process is over, or late.
pub(super) async fn over(id: Option<u32>) {
    if let Ok(told) = told_of(id)
        && told.readable().await.is_ok()
    {
        return;
    }
    // A kernel before 5.3, or a sandbox that does not let us ask: only looking is left.
    while !has_ended(id) {
        tokio::time::sleep(LOOK).await;
    }
}

/// Something that can be read once the process is over, reaped or not.
#[expect(
    deprecated,
    reason = "its successor is unsafe: it has to be promised that the descriptor stays, and an owned one does"
)]
fn told_of(id: Option<u32>) -> io::Result<AsyncFd<OwnedFd>> {
    let pid = pid(id).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}

fn has_ended(id: Option<u32>) -> bool {
    pid(id).is_none_or(|pid| !matches!(looked_at(pid), Ok(None)))
}

/// Whether the process has ended without an error; it is not reaped, either.
fn has_ended_well(id: Option<u32>) -> bool {
    let status = pid(id).and_then(|pid| looked_at(pid).ok().flatten());
    status.and_then(|status| status.exit_status()) == Some(0)
}

/// How the process ended; none while it runs.
fn looked_at(pid: rustix::process::Pid) -> rustix::io::Result<Option<WaitIdStatus>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(pid), options)
}

fn pid(id: Option<u32>) -> Option<rustix::process::Pid> {
    let id = id.and_then(|id| i32::try_from(id).ok());
    id.and_then(rustix::process::Pid::from_raw)
}

impl Running {
    /// Whether it ended by itself and as it should while nobody waited for anything: as one does that is not needed.
    pub(super) fn went_to_rest(&self) -> bool {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let id = child.as_ref().and_then(|child| child.0.id());
        self.waiting.ended_unmissed() && has_ended_well(id)
    }

    /// Takes note of a request that timed out. A child that answers none of them is ended, whoever still holds it.
    pub(super) fn was_late(&self) {
        let late = self.late.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        if late >= LATE_MAX && !self.ended.swap(true, Ordering::AcqRel) {
            tracing::warn!("a stdio tool server answers no more, and is started anew");
            self.kill();
        }
    }

    fn kill(&self) {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(child) = child.as_ref() {
            kill(&child.0);
        }
    }

    pub(super) async fn say(&self, message: &Value) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(message).map_err(|_| Failure::Invalid)?;
        line.push(b'\n');
        self.lines
            .send(line)
            .await
            .map_err(|_| Failure::Unreachable)
    }
}

/// Ends a child with all that it started.
pub(super) fn kill(child: &Child) {
    signal(child, Signal::SIGKILL);
}

fn signal(child: &Child, signal: Signal) {
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(group) = group {
        // It may have ended by itself.
        let _ = killpg(Pid::from_raw(group), signal);
    }
}

/// Writes whole lines until the child is gone or nobody has any more.
pub(super) async fn write(mut stdin: ChildStdin, mut lines: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = lines.recv().await {
        if stdin.write_all(&line).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    /// How long something may take on a slow machine.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn the_end_of_a_child_is_told_and_leaves_its_number_its_own() {
        let mut command = tokio::process::Command::new("cat");
        command.stdin(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let id = child.id();
        let told = told_of(id).expect("the kernel tells");
        let early = tokio::time::timeout(3 * LOOK, told.readable()).await;
        assert!(early.is_err(), "it runs");
        drop(child.stdin.take());
        let end = tokio::time::timeout(PATIENCE, told.readable()).await;
        drop(end.expect("it is told").unwrap());
        // Nothing has waited for it yet, and who comes later is told as well.
        assert!(has_ended(id) && child.id() == id);
        tokio::time::timeout(PATIENCE, over(id)).await.unwrap();
        assert!(child.wait().await.unwrap().success());
    }

    #[tokio::test]
    async fn one_that_is_gone_is_not_waited_for() {
        for id in [None, Some(0), Some(u32::MAX)] {
            tokio::time::timeout(PATIENCE, over(id)).await.unwrap();
        }
    }
}

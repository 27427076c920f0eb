//! A child that runs: its process, and what is written to it.

use super::LATE_MAX;
use super::waiting::Waiting;
use crate::upstream::rpc::{Era, Failure};
use crate::upstream::subscribed::Subscribed;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin};
use tokio::sync::mpsc;

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
    pub(super) child: Mutex<Child>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Running {
    /// Takes note of a request that timed out. A child that answers none of them is ended, whoever still holds it.
    pub(super) fn was_late(&self) {
        let late = self.late.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        if late >= LATE_MAX && !self.ended.swap(true, Ordering::AcqRel) {
            tracing::warn!("a stdio tool server answers no more, and is started anew");
            self.kill();
        }
    }

    /// Ends the child with all that it started: it leads a process group of its own.
    fn kill(&self) {
        kill(&self.child.lock().unwrap_or_else(PoisonError::into_inner));
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

pub(super) fn kill(child: &Child) {
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(group) = group {
        // It may have ended by itself.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
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

//! Calls that wait for a client of 2026-07-28 to come back with its replies: those whose server, of an older revision,
//! holds its stream until then, and those that it only has to be known of that they are counted already.

use crate::enforce::Running;
use crate::upstream::Reply;
use crate::upstream::talk::Word;
use moka::sync::Cache;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::DropGuard;

/// Calls that are held at once; the oldest makes room.
const HELD_MAX: u64 = 4_096;
/// How long one is held.
const HELD: Duration = Duration::from_secs(900);

/// A call whose server waits.
pub(super) struct HeldCall {
    pub(super) running: Running,
    pub(super) said: mpsc::Receiver<Word>,
    /// Where the reply goes.
    pub(super) reply: oneshot::Sender<Reply>,
    /// Given up with the call.
    pub(super) cancel: DropGuard,
}

/// What a state stands for.
pub(super) enum Pending {
    /// The call goes on where it is held.
    Held(Box<HeldCall>),
    /// The request is made anew, and was counted when it was made first.
    Counted,
}

/// All of them, each to be taken once.
pub(super) struct HeldCalls(Cache<u128, Arc<Mutex<Option<Pending>>>>);

impl HeldCalls {
    pub(super) fn new() -> Self {
        Self(
            Cache::builder()
                .max_capacity(HELD_MAX)
                .time_to_live(HELD)
                .build(),
        )
    }

    pub(super) fn put(&self, number: u128, pending: Pending) {
        self.0.insert(number, Arc::new(Mutex::new(Some(pending))));
    }

    /// What a state stands for, the first time.
    pub(super) fn take(&self, number: u128) -> Option<Pending> {
        let held = self.0.remove(&number)?;
        super::session::locked(&held).take()
    }
}

//! Many commands, one log entry: group commit.
//!
//! While the disk syncs one entry, the commands that come in wait and make the next one together. An entry that was
//! proposed may be committed even if we never hear of it (the leader changed): whoever asked asks again with the same
//! request id, and gets the answer of the first time.

use crate::command::{Batch, Command, Reply, Request};
use crate::limits::{BATCH_MAX, BATCHES_MAX, QUEUE_MAX};
use crate::quorum_clock::QuorumClock;
use crate::raft::{NodeId, Raft};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Units of weight (accounts named, roughly 300 bytes each) beyond which an entry is full.
const BATCH_WEIGHT_MAX: usize = 4_096;

/// A command that was not answered here; what became of it is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this node can't commit now")]
pub(crate) struct NotCommitted;

type Waiting = (Request, oneshot::Sender<Result<Reply, NotCommitted>>);

/// The way into the log, on the leader.
#[derive(Clone)]
pub(crate) struct Proposer(mpsc::Sender<Waiting>);

impl Proposer {
    /// Starts the task that makes entries; it ends with `shutdown`.
    pub(crate) fn start(raft: Raft, clock: Arc<QuorumClock>, shutdown: CancellationToken) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = run(raft, clock, receiver) => {}
            }
        });
        Self(sender)
    }

    /// Commits a command and answers with its outcome.
    pub(crate) async fn propose(&self, request: Request) -> Result<Reply, NotCommitted> {
        let (sender, receiver) = oneshot::channel();
        self.0
            .try_send((request, sender))
            .map_err(|_| NotCommitted)?;
        receiver.await.unwrap_or(Err(NotCommitted))
    }
}

async fn run(raft: Raft, clock: Arc<QuorumClock>, mut queue: mpsc::Receiver<Waiting>) {
    let under_way = Arc::new(Semaphore::new(BATCHES_MAX));
    // First the permit, then the commands: what comes in while all are taken makes a larger entry.
    while let Ok(permit) = Arc::clone(&under_way).acquire_owned().await {
        let Some(batch) = gather(&mut queue).await else {
            return;
        };
        let (raft, at) = (raft.clone(), clock.stamp(&voters(&raft)));
        tokio::spawn(async move {
            let (requests, waiting): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            metrics::histogram!("proctor_counter_batch_count").record(waiting.len() as f64);
            let written = raft.client_write(Arc::new(Batch { at, requests })).await;
            drop(permit);
            answer(
                waiting,
                written
                    .map(|written| written.data)
                    .map_err(|_| NotCommitted),
            );
        });
    }
}

/// What waits, as much as goes together; waits itself while there is nothing. None: nothing more will come.
pub(crate) async fn gather<W>(
    queue: &mut mpsc::Receiver<(Request, W)>,
) -> Option<Vec<(Request, W)>> {
    let first = queue.recv().await?;
    let mut weight = weight(&first.0.command);
    let mut batch = vec![first];
    while batch.len() < BATCH_MAX
        && weight < BATCH_WEIGHT_MAX
        && let Ok(next) = queue.try_recv()
    {
        weight = weight.saturating_add(self::weight(&next.0.command));
        batch.push(next);
    }
    Some(batch)
}

fn weight(command: &Command) -> usize {
    let accounts = match command {
        Command::Lease(lease) => lease.wants.len().saturating_add(lease.settle.len()),
        Command::Settle { settle, .. } => settle.len(),
        Command::SetLimits { rules, .. } => rules.len(),
        Command::Open(_) | Command::Adjust { .. } | Command::WriteOff { .. } | Command::Sweep => 0,
    };
    accounts.saturating_add(1)
}

fn voters(raft: &Raft) -> Vec<NodeId> {
    raft.metrics()
        .borrow()
        .membership_config
        .voter_ids()
        .collect()
}

fn answer(
    waiting: Vec<oneshot::Sender<Result<Reply, NotCommitted>>>,
    replies: Result<Vec<Reply>, NotCommitted>,
) {
    let mut replies = replies.map(Vec::into_iter);
    for sender in waiting {
        let reply = match &mut replies {
            Ok(replies) => replies.next().ok_or(NotCommitted),
            Err(error) => Err(*error),
        };
        // Who asked may have gone.
        let _ = sender.send(reply);
    }
}

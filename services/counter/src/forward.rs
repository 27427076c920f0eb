//! Many commands, one message to the leader: what comes in while messages are under way goes with the next.

use crate::codec;
use crate::command::{Reply, Request};
use crate::limits::{COMMAND_TIMEOUT, FORWARDS_MAX, QUEUE_MAX};
use crate::node::{Answer, Question};
use crate::peers::Peers;
use crate::propose::gather;
use crate::raft::{NodeId, Raft};
use proctor_proto::v1;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// A command, and who waits for its answer; none: this leader could not answer.
type Waiting = (Request, oneshot::Sender<Option<Reply>>);

/// The way to the leader, on the other nodes.
#[derive(Clone)]
pub(crate) struct Forwarder(mpsc::Sender<Waiting>);

impl Forwarder {
    /// Starts the task that makes messages; it ends with `shutdown`.
    pub(crate) fn start(raft: Raft, peers: Peers, shutdown: CancellationToken) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = run(raft, peers, receiver) => {}
            }
        });
        Self(sender)
    }

    /// Has the leader commit a command; none: what became of it is unknown, ask again.
    pub(crate) async fn forward(&self, request: Request) -> Option<Reply> {
        let (sender, receiver) = oneshot::channel();
        self.0.try_send((request, sender)).ok()?;
        receiver.await.ok().flatten()
    }
}

async fn run(raft: Raft, peers: Peers, mut queue: mpsc::Receiver<Waiting>) {
    let under_way = Arc::new(Semaphore::new(FORWARDS_MAX));
    while let Ok(permit) = Arc::clone(&under_way).acquire_owned().await {
        let Some(batch) = gather(&mut queue).await else {
            return;
        };
        let (raft, peers) = (raft.clone(), peers.clone());
        tokio::spawn(async move {
            let (requests, waiting): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            let replies = send(&raft, &peers, requests).await.unwrap_or_default();
            drop(permit);
            let replies = replies.into_iter().chain(std::iter::repeat(None));
            for (sender, reply) in waiting.into_iter().zip(replies) {
                // Who asked may have gone.
                let _ = sender.send(reply);
            }
        });
    }
}

/// To whoever leads now. If that changes the message is given up: a leader that was cut off may never answer.
async fn send(raft: &Raft, peers: &Peers, requests: Vec<Request>) -> Option<Vec<Option<Reply>>> {
    let mut metrics = raft.server_metrics();
    let (leader, address) = leader(raft)?;
    let question = Question::Commands(requests);
    let answered = ask(peers, &address, &question);
    let replaced = metrics.wait_for(|now| now.current_leader != Some(leader));
    let answer = tokio::select! {
        answer = answered => answer?,
        _ = replaced => return None,
    };
    match answer {
        Answer::Replies(replies) => Some(replies),
        _ => None,
    }
}

/// Who leads, as far as this node knows, and its address.
pub(crate) fn leader(raft: &Raft) -> Option<(NodeId, String)> {
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow();
    let leader = metrics.current_leader?;
    let node = metrics.membership_config.membership().get_node(&leader)?;
    Some((leader, node.addr.clone()))
}

/// Asks another node.
pub(crate) async fn ask(peers: &Peers, address: &str, question: &Question) -> Option<Answer> {
    let body = codec::encode(question).ok()?;
    let mut request = tonic::Request::new(v1::NodeMessage { body });
    request.set_timeout(COMMAND_TIMEOUT);
    let client = peers.client(address).ok()?;
    let reply = { client }.forward(request).await.ok()?;
    codec::decode(&reply.into_inner().body).ok()
}

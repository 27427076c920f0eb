//! A node's way to the others: the library's messages over gRPC, and what the answers say of the others' clocks.

use super::{NodeId, Types};
use crate::codec::{decode, encode};
use crate::peers::Peers;
use crate::quorum_clock::QuorumClock;
use openraft::error::{
    Infallible, InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{AnyError, BasicNode, LogId, Vote};
use proctor_proto::v1;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status};

/// Pause before a node that could not be reached is tried again.
const UNREACHABLE_PAUSE: Duration = Duration::from_millis(100);
/// How long another node may take over entries. The library waits one heartbeat only, see [`Connection::append`].
const APPEND_TIMEOUT: Duration = Duration::from_secs(3);

/// Makes connections to nodes.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) peers: Peers,
    pub(crate) clock: Arc<QuorumClock>,
}

/// The connection to one node.
pub(crate) struct Connection {
    peer: Peer,
    /// Entries that the other node has not answered yet.
    under_way: Option<UnderWay>,
}

/// Entries on their way to the other node.
struct UnderWay {
    vote: Vote<NodeId>,
    /// The last of them; none: a sign of life.
    last: Option<LogId<NodeId>>,
    answer: AbortOnDropHandle<Appended>,
}

type Appended = Result<AppendEntriesResponse<NodeId>, Failed<Infallible>>;

/// Another node.
#[derive(Clone)]
struct Peer {
    target: NodeId,
    address: String,
    network: Network,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: NodeId, node: &BasicNode) -> Connection {
        Connection {
            peer: Peer {
                target,
                address: node.addr.clone(),
                network: self.clone(),
            },
            under_way: None,
        }
    }
}

type Failed<E> = RPCError<NodeId, BasicNode, RaftError<NodeId, E>>;

#[derive(Clone, Copy)]
enum Method {
    Append,
    Vote,
    Snapshot,
}

impl Peer {
    async fn call<Q: Serialize, A: DeserializeOwned, E: std::error::Error + DeserializeOwned>(
        &self,
        method: Method,
        message: &Q,
        timeout: Duration,
    ) -> Result<A, Failed<E>> {
        let body = encode(message).map_err(|error| NetworkError::new(&error))?;
        let client = self.network.peers.client(&self.address);
        let mut client = client.map_err(|error| Unreachable::new(&error))?;
        let mut request = Request::new(v1::NodeMessage { body });
        request.set_timeout(timeout);
        let sent = async {
            match method {
                Method::Append => client.append(request).await,
                Method::Vote => client.vote(request).await,
                Method::Snapshot => client.snapshot(request).await,
            }
        };
        let answer = tokio::time::timeout(timeout, sent).await;
        let reply = self.reply(answer)?;
        let answer: Result<A, RaftError<NodeId, E>> =
            decode(&reply.body).map_err(|error| NetworkError::new(&error))?;
        answer.map_err(|error| RemoteError::new(self.target, error).into())
    }

    #[expect(clippy::result_large_err, reason = "the library's own error")]
    fn reply<E: std::error::Error>(
        &self,
        answer: Result<Result<Response<v1::NodeReply>, Status>, tokio::time::error::Elapsed>,
    ) -> Result<v1::NodeReply, Failed<E>> {
        let reply = match answer {
            Ok(Ok(reply)) => reply.into_inner(),
            Ok(Err(status)) if status.code() == tonic::Code::Unavailable => {
                return Err(Unreachable::new(&AnyError::error(status.message())).into());
            }
            Ok(Err(status)) => {
                return Err(NetworkError::new(&AnyError::error(status.message())).into());
            }
            Err(late) => return Err(NetworkError::new(&late).into()),
        };
        self.network.clock.heard(self.target, reply.clock_us);
        Ok(reply)
    }
}

impl Connection {
    /// The library drops this future after one heartbeat and then sends the same entries, and newer ones, again. A node
    /// that is only slow must not get them twice, or the slower it is the more it would get to do. So what is under way
    /// stays under way, and the next call waits for it first.
    async fn append(&mut self, rpc: AppendEntriesRequest<Types>) -> Appended {
        if let Some(earlier) = &mut self.under_way {
            let answer = (&mut earlier.answer).await;
            let (vote, last) = (earlier.vote, earlier.last);
            self.under_way = None;
            if let Ok(Ok(AppendEntriesResponse::Success)) = answer
                && vote == rpc.vote
                && let Some(last) = last
                && rpc.entries.iter().any(|entry| entry.log_id == last)
            {
                return Ok(AppendEntriesResponse::PartialSuccess(Some(last)));
            }
        }
        let (peer, vote) = (self.peer.clone(), rpc.vote);
        let last = rpc.entries.last().map(|entry| entry.log_id);
        let answer =
            tokio::spawn(async move { peer.call(Method::Append, &rpc, APPEND_TIMEOUT).await });
        let under_way = self.under_way.insert(UnderWay {
            vote,
            last,
            answer: AbortOnDropHandle::new(answer),
        });
        let answer = (&mut under_way.answer).await;
        self.under_way = None;
        match answer {
            Ok(answer) => answer,
            Err(lost) => Err(NetworkError::new(&lost).into()),
        }
    }
}

impl RaftNetwork<Types> for Connection {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, RPCError<NodeId, BasicNode, RaftError<NodeId>>> {
        self.append(rpc).await
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<Types>,
        option: RPCOption,
    ) -> Result<InstallSnapshotResponse<NodeId>, Failed<InstallSnapshotError>> {
        let ttl = option.hard_ttl();
        self.peer.call(Method::Snapshot, &rpc, ttl).await
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<NodeId>,
        option: RPCOption,
    ) -> Result<VoteResponse<NodeId>, RPCError<NodeId, BasicNode, RaftError<NodeId>>> {
        let ttl = option.hard_ttl();
        self.peer.call(Method::Vote, &rpc, ttl).await
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(UNREACHABLE_PAUSE))
    }
}

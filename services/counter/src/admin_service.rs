//! Membership and state, for operators.

use crate::node::Node;
use crate::raft::NodeId;
use openraft::error::{ClientWriteError, RaftError};
use openraft::{BasicNode, ChangeMembers, ServerState};
use proctor_model::Timestamp;
use proctor_proto::v1;
use proctor_proto::v1::counter_admin_server::CounterAdmin;
use std::collections::{BTreeMap, BTreeSet};
use tonic::{Request, Response, Status};

/// The operators' service on the nodes' listener.
pub(crate) struct AdminService {
    pub(crate) node: Node,
    /// Under which the others reach this node.
    pub(crate) address: String,
}

type Answered = Result<Response<v1::CounterStatusResponse>, Status>;

#[tonic::async_trait]
impl CounterAdmin for AdminService {
    async fn status(&self, _: Request<v1::CounterStatusRequest>) -> Answered {
        self.node.status().await
    }

    async fn init(&self, _: Request<v1::CounterInitRequest>) -> Answered {
        self.node.init(&self.address).await?;
        self.node.status().await
    }

    async fn add_node(&self, request: Request<v1::CounterAddNodeRequest>) -> Answered {
        let v1::CounterAddNodeRequest { node, address } = request.into_inner();
        if node == 0 {
            return Err(Status::invalid_argument("node: at least 1"));
        }
        if self.node.peers.client(&address).is_err() {
            return Err(Status::invalid_argument(
                "address: http://host:port, with TLS https://host:port",
            ));
        }
        let added = self
            .node
            .raft
            .add_learner(node, BasicNode::new(address), true)
            .await;
        added.map_err(refused)?;
        let change = ChangeMembers::AddVoterIds(BTreeSet::from([node]));
        let changed = self.node.raft.change_membership(change, false).await;
        changed.map_err(refused)?;
        self.node.status().await
    }

    async fn remove_node(&self, request: Request<v1::CounterRemoveNodeRequest>) -> Answered {
        let v1::CounterRemoveNodeRequest { node } = request.into_inner();
        let change = ChangeMembers::RemoveVoters(BTreeSet::from([node]));
        let changed = self.node.raft.change_membership(change, false).await;
        changed.map_err(refused)?;
        self.node.status().await
    }
}

fn refused(error: RaftError<NodeId, ClientWriteError<NodeId, BasicNode>>) -> Status {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => {
            let leader = to.leader_node.map(|node| node.addr);
            Status::failed_precondition(match leader {
                Some(address) => format!("this node does not lead; the leader is at {address}"),
                None => "no leader is known".to_owned(),
            })
        }
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => {
            Status::failed_precondition(error.to_string())
        }
        RaftError::Fatal(_) => Status::unavailable("this node has stopped"),
    }
}

impl Node {
    /// Makes a cluster of this node alone.
    pub(crate) async fn init(&self, address: &str) -> Result<(), Status> {
        let alone = BTreeMap::from([(self.id, BasicNode::new(address))]);
        match self.raft.initialize(alone).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(_)) => Err(Status::failed_precondition(
                "this node is in a cluster already",
            )),
            Err(RaftError::Fatal(_)) => Err(Status::unavailable("this node has stopped")),
        }
    }

    async fn status(&self) -> Answered {
        let machine = self.machine.clone();
        let digest = tokio::task::spawn_blocking(move || {
            let applied = machine.applied().clone();
            (applied.digest(), applied.index(), applied.book.now())
        });
        let (digest, applied, at) = digest
            .await
            .map_err(|_| Status::internal("the state can't be read"))?;
        let digest = digest.map_err(|_| Status::internal("the state can't be read"))?;
        let metrics = self.raft.metrics().borrow().clone();
        let index = |id: Option<openraft::LogId<NodeId>>| id.map_or(0, |id| id.index);
        let last_log = metrics.last_log_index.unwrap_or(0);
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        let lag = |node: &NodeId| {
            let matched = metrics.replication.as_ref()?.get(node)?;
            Some(last_log.saturating_sub(index(*matched)))
        };
        let members = membership.nodes().map(|(node, at)| v1::CounterMember {
            node: *node,
            address: at.addr.clone(),
            voter: voters.contains(node),
            lag: lag(node),
        });
        let state = match (&metrics.running_state, metrics.state) {
            (Err(_), _) | (_, ServerState::Shutdown) => "stopped",
            (_, ServerState::Leader) => "leader",
            (_, ServerState::Follower) => "follower",
            (_, ServerState::Candidate) => "candidate",
            (_, ServerState::Learner) => "learner",
        };
        Ok(Response::new(v1::CounterStatusResponse {
            node: self.id,
            state: state.to_owned(),
            leader: metrics.current_leader.unwrap_or(0),
            term: metrics.current_term,
            last_log,
            applied,
            snapshot: index(metrics.snapshot),
            members: members.collect(),
            at: Timestamp::from(at).to_string(),
            state_digest: hex::encode(digest),
        }))
    }
}

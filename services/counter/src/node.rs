//! One node: commands and reads, wherever the leader is.

use crate::account::{AccountKey, Meter, Scope};
use crate::codec;
use crate::command::{AccountInfo, LeaseInfo, Reply, Request};
use crate::limits::COMMAND_TIMEOUT;
use crate::peers::Peers;
use crate::propose::Proposer;
use crate::quorum_clock::QuorumClock;
use crate::raft::machine::{Applied, Machine};
use crate::raft::{NodeId, Raft};
use crate::window::LogTime;
use proctor_model::TenantId;
use proctor_proto::v1;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Pause before a leader is looked for again.
const LEADER_PAUSE: Duration = Duration::from_millis(50);

/// Nobody answered in time: what became of a command is unknown, it may be sent again.
#[derive(Debug, thiserror::Error)]
#[error("the counter has no leader that answers")]
pub(crate) struct Unavailable;

/// What only the leader can answer.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Question {
    Command(Request),
    Usage(UsageQuery),
    Leases(LeasesQuery),
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct UsageQuery {
    pub(crate) tenant: TenantId,
    pub(crate) scope: Option<Scope>,
    pub(crate) id: Option<String>,
    pub(crate) meter: Option<Meter>,
    pub(crate) after: Option<AccountKey>,
    pub(crate) limit: usize,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct LeasesQuery {
    pub(crate) tenant: TenantId,
    pub(crate) edge: Option<String>,
    pub(crate) after: u64,
    pub(crate) limit: usize,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Answer {
    Reply(Reply),
    Usage(UsagePage),
    Leases(LeasesPage),
    /// This node can't: it does not lead, or has lost its followers.
    Not,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct UsagePage {
    pub(crate) accounts: Vec<AccountInfo>,
    pub(crate) more: bool,
    pub(crate) limits_version: u64,
    pub(crate) at: LogTime,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct LeasesPage {
    pub(crate) leases: Vec<LeaseInfo>,
    pub(crate) more: bool,
}

/// A running node. Clones share it.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) raft: Raft,
    pub(crate) machine: Machine,
    pub(crate) proposer: Proposer,
    pub(crate) peers: Peers,
    pub(crate) clock: Arc<QuorumClock>,
}

impl Node {
    /// Asks the leader until it answers or time is up. A command goes into the log perhaps more than once; its request
    /// id sees to it that it is done once.
    pub(crate) async fn ask(&self, question: Question) -> Result<Answer, Unavailable> {
        let deadline = Instant::now() + COMMAND_TIMEOUT;
        loop {
            let tried = tokio::time::timeout_at(deadline, self.try_once(&question)).await;
            match tried {
                Ok(Answer::Not) => {}
                Ok(answer) => return Ok(answer),
                Err(_late) => return Err(Unavailable),
            }
            if Instant::now() + LEADER_PAUSE >= deadline {
                return Err(Unavailable);
            }
            tokio::time::sleep(LEADER_PAUSE).await;
        }
    }

    async fn try_once(&self, question: &Question) -> Answer {
        match self.leader() {
            Some((leader, _)) if leader == self.id => self.lead(question.clone()).await,
            Some((_, address)) => self
                .forward(&address, question)
                .await
                .unwrap_or(Answer::Not),
            None => Answer::Not,
        }
    }

    fn leader(&self) -> Option<(NodeId, String)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let leader = metrics.current_leader?;
        let node = metrics.membership_config.membership().get_node(&leader)?;
        Some((leader, node.addr.clone()))
    }

    async fn forward(&self, address: &str, question: &Question) -> Option<Answer> {
        let body = codec::encode(question).ok()?;
        let mut request = tonic::Request::new(v1::NodeMessage { body });
        request.set_timeout(COMMAND_TIMEOUT);
        let reply = self
            .peers
            .client(address)
            .ok()?
            .forward(request)
            .await
            .ok()?;
        codec::decode(&reply.into_inner().body).ok()
    }

    /// Answers as the leader, if this node is.
    pub(crate) async fn lead(&self, question: Question) -> Answer {
        let query = match question {
            Question::Command(request) => {
                let reply = self.proposer.propose(request).await;
                return reply.map_or(Answer::Not, Answer::Reply);
            }
            Question::Usage(_) | Question::Leases(_)
                if self.raft.ensure_linearizable().await.is_err() =>
            {
                return Answer::Not;
            }
            query => query,
        };
        let applied = self.machine.applied();
        match query {
            Question::Usage(query) => Answer::Usage(usage(&applied, &query)),
            Question::Leases(query) => Answer::Leases(leases(&applied, &query)),
            Question::Command(_) => Answer::Not,
        }
    }
}

fn usage(applied: &Applied, query: &UsageQuery) -> UsagePage {
    let book = &applied.book;
    let matching = |info: &AccountInfo| {
        let account = &info.account;
        query.scope.is_none_or(|scope| scope == account.scope)
            && query.meter.is_none_or(|meter| meter == account.meter)
            && query.id.as_ref().is_none_or(|id| *id == account.id)
    };
    let mut rows = book
        .accounts(&query.tenant, query.after.as_ref())
        .filter(matching);
    UsagePage {
        accounts: rows.by_ref().take(query.limit).collect(),
        more: rows.next().is_some(),
        limits_version: book.limits_version(&query.tenant),
        at: book.now(),
    }
}

fn leases(applied: &Applied, query: &LeasesQuery) -> LeasesPage {
    let of_edge = |info: &LeaseInfo| {
        query
            .edge
            .as_ref()
            .is_none_or(|edge| edge == info.held.edge.as_str())
    };
    let mut rows = applied
        .book
        .leases(&query.tenant, query.after)
        .filter(of_edge);
    LeasesPage {
        leases: rows.by_ref().take(query.limit).collect(),
        more: rows.next().is_some(),
    }
}

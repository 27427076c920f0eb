//! One node: commands and reads, wherever the leader is.

use crate::account::{AccountKey, Meter, Scope};
use crate::command::{AccountInfo, Holder, LeaseInfo, Reply, Request};
use crate::forward::{self, Forwarder};
use crate::limits::{COMMAND_TIMEOUT, LIMITS_WAIT};
use crate::peers::Peers;
use crate::propose::Proposer;
use crate::quorum_clock::QuorumClock;
use crate::raft::machine::{Applied, Machine};
use crate::raft::{NodeId, Raft};
use crate::window::LogTime;
use futures::future::join_all;
use proctor_model::TenantId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Longest pause before a leader is asked again; shorter where this node hears of another one first.
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
    Held(HeldQuery),
    /// Those that came to another node.
    Commands(Vec<Request>),
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
pub(crate) struct HeldQuery {
    pub(crate) holder: Holder,
    pub(crate) after: u64,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Answer {
    Reply(Reply),
    Usage(UsagePage),
    Leases(LeasesPage),
    /// None: another process of the edge has begun.
    Held(Option<LeasesPage>),
    /// This node can't: it does not lead, or has lost its followers.
    Not,
    /// To each command; none: as `Not`.
    Replies(Vec<Option<Reply>>),
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
    pub(crate) forwarder: Forwarder,
    pub(crate) peers: Peers,
    pub(crate) clock: Arc<QuorumClock>,
}

impl Node {
    /// Asks the leader until it answers or time is up. A command goes into the log perhaps more than once; its request
    /// id sees to it that it is done once.
    pub(crate) async fn ask(&self, question: Question) -> Result<Answer, Unavailable> {
        let deadline = Instant::now() + COMMAND_TIMEOUT;
        let mut leads = self.raft.server_metrics();
        loop {
            leads.mark_unchanged();
            let tried = tokio::time::timeout_at(deadline, self.try_once(&question)).await;
            match tried {
                Ok(Answer::Not) => {}
                Ok(answer) => return Ok(answer),
                Err(_late) => return Err(Unavailable),
            }
            if Instant::now() + LEADER_PAUSE >= deadline {
                return Err(Unavailable);
            }
            tokio::select! {
                () = tokio::time::sleep(LEADER_PAUSE) => {}
                Ok(()) = leads.changed() => {}
            }
        }
    }

    /// Waits a while until this node has rules of the tenant that are as new: control is about to tell them.
    pub(crate) async fn wait_for_limits(&self, tenant: &TenantId, version: u64) {
        let mut applied = self.machine.watch();
        let known = applied.wait_for(|_| {
            let applied = self.machine.applied();
            applied.book.limits_version(tenant) >= version
        });
        // In time or not, the book says so.
        let _ = tokio::time::timeout(LIMITS_WAIT, known).await;
    }

    async fn try_once(&self, question: &Question) -> Answer {
        match (forward::leader(&self.raft), question) {
            (Some((leader, _)), _) if leader == self.id => self.lead(question.clone()).await,
            (Some(_), Question::Command(request)) => {
                let reply = self.forwarder.forward(request.clone()).await;
                reply.map_or(Answer::Not, Answer::Reply)
            }
            (Some((_, address)), question) => {
                let answer = forward::ask(&self.peers, &address, question).await;
                answer.unwrap_or(Answer::Not)
            }
            (None, _) => Answer::Not,
        }
    }

    /// Answers as the leader, if this node is.
    pub(crate) async fn lead(&self, question: Question) -> Answer {
        let query = match question {
            Question::Command(request) => {
                let reply = self.proposer.propose(request).await;
                return reply.map_or(Answer::Not, Answer::Reply);
            }
            Question::Commands(requests) => {
                let replies = requests
                    .into_iter()
                    .map(|request| self.proposer.propose(request));
                let replies = join_all(replies).await.into_iter().map(Result::ok);
                return Answer::Replies(replies.collect());
            }
            Question::Usage(_) | Question::Leases(_) | Question::Held(_)
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
            Question::Held(query) => {
                let held = applied.book.held(&query.holder, query.after);
                Answer::Held(held.map(|(leases, more)| LeasesPage { leases, more }))
            }
            Question::Command(_) | Question::Commands(_) => Answer::Not,
        }
    }
}

fn usage(applied: &Applied, query: &UsageQuery) -> UsagePage {
    let book = &applied.book;
    let matching = |info: &AccountInfo| {
        let account = &info.account;
        query.meter.is_none_or(|meter| meter == account.meter)
            && query.id.as_ref().is_none_or(|id| *id == account.id)
    };
    let mut rows = book
        .accounts(&query.tenant, query.scope, query.after.as_ref())
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

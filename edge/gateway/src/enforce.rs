//! One request from token to answer: authenticate, decide, record, forward, check the answer, record the outcome.

mod answer;
mod approval;
mod authorize;
mod bearer;
mod budget;
mod dialogue;
mod direct;
mod exchange;
mod judge;
mod kill;
mod llm;
mod memory;
mod refuse;
mod relay;
mod room;
mod session;
mod task;

pub(crate) use bearer::Bearers;
pub(crate) use exchange::{ExchangeRequest, Exchanged};
pub(crate) use llm::{Completion, Note, Prompted};
use room::Place;
pub(crate) use room::{Room, UnderWay};
pub(crate) use task::{AskedTask, ShownTask, may_be_shown};

use crate::event::{self, Stamp};
use crate::heard::Heard;
use crate::identity::Identity;
use crate::lease::Leases;
use crate::sessions::Session;
use crate::spool::Spool;
use crate::upstream::Talk;
use crate::world::{Loaded, TenantState, Tenants};
use judge::{Noting, Sitting};
use proctor_engine::token::VerifiedToken;
use proctor_engine::{
    ApprovalNote, Call, Continued, Decision, Evaluator, Granted, Purpose, Reads, ToolQuery, Topic,
    Tracker, World,
};
use proctor_model::audit::{AuditEvent, Effect};
use proctor_model::config::Denials;
use proctor_model::content::{ContentClass, ContentFinding};
use proctor_model::{ApprovalId, DecisionId, Reason};
use proctor_runtime::{Clock, Random};
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

/// The enforcement point.
pub(crate) struct Gateway {
    pub(crate) identity: Arc<Identity>,
    pub(crate) tenants: Arc<Tenants>,
    pub(crate) spool: Spool,
    pub(crate) nats: async_nats::Client,
    pub(crate) leases: Arc<Leases>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) room: Room,
    /// Keys of identity providers.
    pub(crate) logins: crate::login::Keys,
    /// Their access tokens that stand for capability tokens here.
    pub(crate) bearers: Bearers,
    /// By which addresses proofs may name this edge.
    pub(crate) place: crate::proof::Place,
    pub(crate) memory: crate::memory::Memory,
    /// The edge ends: requests under way are answered, streams of news are not kept.
    pub(crate) stopping: CancellationToken,
}

/// An agent whose token verified. What it may do is another question.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) tenant: Arc<TenantState>,
    pub(crate) token: Arc<VerifiedToken>,
}

/// No, and why; what the agent is told.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) decision_id: DecisionId,
    pub(crate) reason: Reason,
    pub(crate) message: String,
    pub(crate) denials: Denials,
    /// What the call waits for, if a person has to approve it.
    pub(crate) approval: Option<ApprovalNote>,
    /// When it may help to ask again.
    pub(crate) retry_after: Option<Duration>,
    /// The tool that the capability token would have to cover.
    pub(crate) lacks: Option<String>,
}

/// What came of a call.
pub(crate) enum Outcome {
    /// The tool's result, with the decision noted in its `_meta`.
    Result(Map<String, Value>),
    /// The tool server's JSON-RPC error.
    Error(Map<String, Value>),
    /// The server asks the client before it answers: `{inputRequests, requestState}`.
    Question(Map<String, Value>),
    /// It became a task, or this is what its server says of the task that it became.
    Task(Box<ShownTask>),
    /// It was not made, or its answer is withheld.
    Refused(Refused),
}

/// A call to decide on.
pub(crate) struct Asked {
    pub(crate) tool: ToolQuery,
    pub(crate) arguments: Map<String, Value>,
    pub(crate) purpose: Purpose,
    /// The approval that the agent has for it.
    pub(crate) approval: Option<ApprovalId>,
    /// What was permitted already, where it only goes on after a question of its server.
    pub(crate) goes_on: Option<Arc<Permitted>>,
    /// How its server and the client may talk before the answer.
    pub(crate) talk: Talk,
    pub(crate) trace_id: Option<String>,
}

impl Asked {
    /// A call whose client waits for the answer and hears nothing else.
    pub(crate) fn plain(
        caller: &Caller,
        tool: ToolQuery,
        arguments: Map<String, Value>,
        trace_id: Option<String>,
    ) -> Self {
        Self {
            tool,
            arguments,
            purpose: Purpose::Use,
            approval: None,
            goes_on: None,
            talk: Talk::silent(&caller.who()),
            trace_id,
        }
    }
}

/// What is wanted of a decision.
#[derive(Clone, Copy)]
enum Wish {
    /// To make the call.
    Call,
    /// To know whether it would be allowed.
    Know,
}

/// A call that was decided on.
struct Decided {
    decision: Decision,
    loaded: Arc<Loaded>,
    sitting: Sitting,
    trace_id: Option<String>,
}

/// A call under way.
pub(crate) struct Running {
    pub(crate) outcome: JoinHandle<Outcome>,
    pub(crate) permitted: Arc<Permitted>,
}

/// What there is to know of a call, or of a request about a task, once it is permitted.
#[derive(Default)]
pub(crate) struct Permitted {
    /// What a person's approval was used for, if it took one.
    granted: OnceLock<Granted>,
    /// The session that it is in the history of.
    session: OnceLock<Weak<RwLock<Tracker>>>,
    /// What its server said so far has added to what that session has read.
    said: Mutex<Reads>,
    /// What that was, beside the answer.
    heard: Mutex<Heard>,
    /// Who else may hear of it. There before its server is asked, if anybody hears what that says before it answers.
    topic: OnceLock<Topic>,
}

impl Permitted {
    /// The same call once more, after a question of its server.
    fn goes_on(&self) -> Self {
        let said = *self.said.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            granted: self.granted.clone(),
            session: self.session.clone(),
            said: Mutex::new(said),
            heard: Mutex::new(self.heard_so_far()),
            topic: OnceLock::new(),
        }
    }

    /// What its server said so far: with that it goes on, also as a task.
    fn heard_so_far(&self) -> Heard {
        let heard = self.heard.lock();
        heard.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is to be known when it is decided, in this session, whether it may go on. In another one, be it that the client
    /// came back with another token or that the session was forgotten meanwhile, there is nothing of it.
    fn continued(&self, session: &Session) -> Continued {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        Continued {
            granted: self.granted.get().cloned(),
            said: self.is_in(session).then_some(*said),
        }
    }

    /// Its server has said something more, in this session.
    fn note_said(&self, session: &Session, more: Reads) {
        if self.is_in(session) {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            *said = said.with(more);
        }
    }

    /// It is in the history of this session, from the first round on.
    fn note_session(&self, session: &Session) {
        // Later rounds do not set it.
        let _ = self.session.set(Arc::downgrade(session));
    }

    fn is_in(&self, session: &Session) -> bool {
        let own = self.session.get();
        own.is_some_and(|own| std::ptr::eq(own.as_ptr(), Arc::as_ptr(session)))
    }
}

impl Caller {
    /// In whose name a server of the older revisions holds a session: a token's, whatever is appended to it, and of the
    /// users of an agent that are told apart by the caveat `session` each one's.
    pub(crate) fn who(&self) -> String {
        let root = self.token.root();
        let root = root.map_or("", |root| root.as_str());
        let session = self.token.session().map_or("", |session| session.as_str());
        format!("{root}/{session}")
    }
}

impl Gateway {
    fn stamp(&self, trace_id: Option<String>) -> Result<Stamp, Reason> {
        let now = self.clock.now();
        let event_id = crate::spool::event_id(&self.random, now)?;
        Ok(Stamp {
            edge: self.identity.edge.clone(),
            event_id,
            now,
            trace_id,
        })
    }

    /// An id for a decision. Without randomness there is a nil one: the refusal that follows says so itself.
    pub(crate) fn decision_id(&self) -> DecisionId {
        self.random
            .uuid_v7(self.clock.now())
            .unwrap_or_default()
            .into()
    }

    /// Decides, and records what an agent only wanted to know.
    pub(crate) async fn evaluate(
        &self,
        caller: &Caller,
        asked: Asked,
    ) -> Result<DecisionId, Refused> {
        let Decided {
            decision,
            loaded,
            trace_id,
            ..
        } = self.decide(caller, asked, Wish::Know).await?;
        let denials = loaded.tenant.settings().denials;
        let (facts, reason, message) = match &decision {
            Decision::Permit(permit) => (permit.facts(), None, None),
            Decision::Refusal(refusal) => (
                &refusal.facts,
                Some(refusal.reason),
                Some(refusal.message()),
            ),
        };
        count(facts.effect, reason);
        let recorded = match self.stamp(trace_id) {
            Ok(stamp) => {
                let event = event::evaluated(stamp, facts, reason);
                self.spool
                    .record(Box::new(event))
                    .await
                    .map_err(Reason::from)
            }
            Err(reason) => Err(reason),
        };
        match (recorded, reason) {
            (Ok(()), None) => Ok(facts.decision_id),
            (Ok(()), Some(reason)) => {
                Err(self.refused(facts.decision_id, reason, message, denials))
            }
            (Err(reason), _) => Err(self.refused(facts.decision_id, reason, None, denials)),
        }
    }

    async fn decide(&self, caller: &Caller, asked: Asked, wish: Wish) -> Result<Decided, Refused> {
        let Asked {
            tool,
            arguments,
            purpose,
            goes_on,
            trace_id,
            ..
        } = asked;
        self.know(caller, &tool).await;
        let noting = match (wish, purpose) {
            (Wish::Call, Purpose::Use | Purpose::Complete) => {
                Noting::of(caller.tenant.loaded().as_deref(), &tool)
            }
            // A call that goes on is noted already.
            (Wish::Call, Purpose::Continue) | (Wish::Know, _) => Noting::Nothing,
        };
        let call = Call {
            decision_id: self.decision_id(),
            token: Arc::clone(&caller.token),
            tool,
            purpose,
            arguments,
        };
        let sitting = match self.sit(caller) {
            Ok(sitting) => sitting,
            Err(reason) => return Err(self.refuse(caller, reason, trace_id).await),
        };
        let goes_on = goes_on.filter(|_| purpose == Purpose::Continue);
        let decide = |world: &World<'_>, evaluator: &mut Evaluator| match goes_on {
            Some(permitted) => {
                // With the session at hand, so that nothing is said in between.
                let continued = permitted.continued(&sitting.session);
                proctor_engine::decide_continued(call, continued, world, evaluator)
            }
            None => proctor_engine::decide(call, world, evaluator),
        };
        match self.judge_call(caller, &sitting, noting, decide) {
            Ok((decision, loaded)) => {
                count_content(&decision.facts().content);
                Ok(Decided {
                    decision,
                    loaded,
                    sitting,
                    trace_id,
                })
            }
            Err(reason) => Err(self.refuse(caller, reason, trace_id).await),
        }
    }

    /// Before a decision about a tool, its server has to have been asked lately what it shows.
    pub(crate) async fn know(&self, caller: &Caller, query: &ToolQuery) {
        let Some(loaded) = caller.tenant.loaded() else {
            return;
        };
        if let Ok(tool) = loaded.tenant.catalogue().find(query)
            && caller.token.covers(tool.reference())
            && let Some(server) = loaded.servers.get(&tool.reference().server)
        {
            server.known(tool.reference().name.kind()).await;
        }
    }

    /// One call, whole. It runs to its recorded end even if the caller does not wait for it; dropping the returned
    /// future cancels it.
    pub(crate) async fn call(self: &Arc<Self>, caller: Caller, asked: Asked) -> Outcome {
        let cancel = CancellationToken::new();
        let guard = cancel.clone().drop_guard();
        let outcome = match self.start(caller, asked, cancel).await {
            Ok(running) => self.ended(running).await,
            Err(refused) => Outcome::Refused(refused),
        };
        guard.disarm();
        outcome
    }

    /// Begins a call: it runs to its recorded end by itself, or until it is cancelled.
    pub(crate) async fn start(
        self: &Arc<Self>,
        caller: Caller,
        asked: Asked,
        cancel: CancellationToken,
    ) -> Result<Running, Refused> {
        let place = self.place(&caller, asked.trace_id.as_deref()).await?;
        let gateway = Arc::clone(self);
        let permitted = asked.goes_on.as_deref().map(Permitted::goes_on);
        let permitted = Arc::new(permitted.unwrap_or_default());
        let noted = Arc::clone(&permitted);
        let outcome = tokio::spawn(async move {
            let _place = place;
            gateway.call_through(&caller, asked, &noted, &cancel).await
        });
        Ok(Running { outcome, permitted })
    }

    /// A place for what a caller asks, taken when all of the request is here: a slow sender holds nothing.
    async fn place(&self, caller: &Caller, trace_id: Option<&str>) -> Result<Place, Refused> {
        match self.room.enter(&caller.tenant) {
            Some(place) => Ok(place),
            None => {
                let trace_id = trace_id.map(str::to_owned);
                Err(self.refuse(caller, Reason::Overloaded, trace_id).await)
            }
        }
    }

    /// One request about a task, whole, as [`Gateway::call`] is one call.
    pub(crate) async fn ask_task(self: &Arc<Self>, caller: Caller, asked: AskedTask) -> Outcome {
        let cancel = CancellationToken::new();
        let guard = cancel.clone().drop_guard();
        let outcome = match self.start_task(caller, asked, cancel).await {
            Ok(running) => self.ended(running).await,
            Err(refused) => Outcome::Refused(refused),
        };
        guard.disarm();
        outcome
    }

    /// Begins a request about a task, as a call begins.
    pub(crate) async fn start_task(
        self: &Arc<Self>,
        caller: Caller,
        asked: AskedTask,
        cancel: CancellationToken,
    ) -> Result<Running, Refused> {
        let place = self.place(&caller, asked.trace_id.as_deref()).await?;
        let gateway = Arc::clone(self);
        let permitted = Arc::new(Permitted::default());
        let noted = Arc::clone(&permitted);
        let outcome = tokio::spawn(async move {
            let _place = place;
            gateway.task_through(&caller, asked, &noted, &cancel).await
        });
        Ok(Running { outcome, permitted })
    }

    /// What came of it.
    pub(crate) async fn ended(&self, running: Running) -> Outcome {
        self.outcome(running.outcome.await)
    }

    /// A task that failed is a defect of ours.
    pub(crate) fn outcome(&self, ended: Result<Outcome, JoinError>) -> Outcome {
        ended.unwrap_or_else(|_| {
            let decision_id = self.decision_id();
            Outcome::Refused(self.refused(decision_id, Reason::Internal, None, Denials::default()))
        })
    }

    /// What is missing of calls that were under way when the edge stopped: whether their tools ran is not known.
    pub(crate) async fn close_open_calls(&self, open: Vec<AuditEvent>) -> Result<(), Reason> {
        for mut event in open {
            event.time = self.clock.now();
            event.event_id = crate::spool::event_id(&self.random, event.time)?;
            self.spool.outcome(Box::new(event), Vec::new()).await;
        }
        Ok(())
    }
}

/// What the content filter found, by class; a tenant's own classes are one.
fn count_content(findings: &[ContentFinding]) {
    for finding in findings {
        let class = ContentClass::from_name(&finding.class).map_or("custom", ContentClass::as_str);
        metrics::counter!("proctor_edge_content_matches_total", "class" => class,
            "direction" => finding.direction.as_str(), "action" => finding.action.as_str())
        .increment(finding.count.into());
    }
}

fn count(effect: Effect, reason: Option<Reason>) {
    let effect = match effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
        Effect::Escalate => "escalate",
    };
    let control = reason.map_or("none", |reason| reason.control().as_str());
    metrics::counter!("proctor_edge_decisions_total", "effect" => effect, "control" => control)
        .increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that comes back with its replies hears no more of it than one that stayed.
    #[test]
    fn a_call_that_goes_on_is_told_on_top_of_what_it_was_told() {
        let first = Permitted {
            heard: Mutex::new(Heard::with_rows(40)),
            ..Permitted::default()
        };
        let again = first.goes_on().goes_on();
        assert_eq!(again.heard.lock().unwrap().before(None).rows, 40);
        let new = Permitted::default();
        assert_eq!(new.heard.lock().unwrap().before(None).rows, 0);
    }
}

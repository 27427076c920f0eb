//! Calls that become tasks, and what is asked of them later. Each request is decided, recorded and judged like a call, but
//! for what the call itself has settled: it is not counted again, and no person is asked again.

mod elsewhere;
mod older;
mod support;
mod words;

pub(crate) use support::may_be_shown;

use super::answer::{Ended, note, noted, upstream_error};
use super::dialogue::{Exchange, Replied};
use super::{Caller, Gateway, Outcome, Permitted};
use crate::lease::Funds;
use crate::seal::Seal;
use crate::tasks::{Begun, Family, Owner, Sealed, Task};
use crate::upstream::task::{self, Payload, Request, State, Told, Wish};
use crate::upstream::{Errand, Failure, News, Talk, Watched};
use proctor_engine::{Answer, Channel, Decision, Facts, Findings, Following, Release, follow};
use proctor_model::{Reason, ServerId};
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use words::Words;

/// A request about a task.
pub(crate) struct AskedTask {
    /// The id, as the client gives it.
    pub(crate) id: String,
    pub(crate) request: Request,
    pub(crate) family: Family,
    /// The only server whose tasks are here, if there is one.
    pub(crate) server: Option<ServerId>,
    /// What the client answers to the task's questions.
    pub(crate) replies: Option<Map<String, Value>>,
    /// How server and client may talk meanwhile; in whose name is the task's own.
    pub(crate) talk: Talk,
    pub(crate) trace_id: Option<String>,
}

/// What a server says of a task, judged, with what came with it.
pub(super) struct EndedTask {
    id: String,
    state: Option<State>,
    /// Its message and its `_meta`.
    pub(super) words: Words,
    /// Its result, its error or its questions.
    pub(super) payload: Option<Box<Release>>,
}

/// A task as its client gets to see it.
pub(crate) struct ShownTask {
    /// The client's own id of it.
    pub(crate) id: String,
    /// What was asked of it; nothing if it has just begun.
    pub(crate) request: Option<Request>,
    /// None if the server only says that it has heard.
    pub(crate) state: Option<State>,
    /// `statusMessage` and `_meta`.
    pub(crate) said: Map<String, Value>,
    pub(crate) payload: Option<Payload>,
}

impl EndedTask {
    /// What there is most to say of.
    pub(super) fn main(&self) -> &Release {
        self.payload.as_ref().unwrap_or(&self.words.said)
    }

    /// For audit: of both parts, and of words that were left out.
    pub(super) fn findings(&self) -> Findings {
        match &self.payload {
            None => self.words.findings(),
            Some(payload) => {
                let mut findings = payload.findings().clone();
                self.words.add_to(&mut findings);
                findings
            }
        }
    }

    pub(super) fn shown(self, request: Option<Request>, facts: &Facts) -> ShownTask {
        let noted_said = note(facts, self.main().findings().changes);
        let payload = self.payload.map(|payload| match payload.channel() {
            Channel::Error => Payload::Error(upstream_error(payload.into_body(), facts)),
            Channel::Question => {
                let mut body = payload.into_body();
                let questions = body.get_mut("inputRequests").and_then(Value::as_object_mut);
                Payload::Questions(questions.map(std::mem::take).unwrap_or_default())
            }
            Channel::Result | Channel::Note | Channel::Task => Payload::Result(payload.into_body()),
        });
        ShownTask {
            id: self.id,
            request,
            state: self.state,
            said: noted(self.words.said.into_body(), noted_said),
            payload,
        }
    }
}

/// Whose the tasks of a caller are.
pub(crate) fn owner(caller: &Caller, family: Family) -> Owner {
    let token = &caller.token;
    let intent = token.intent().and_then(|id| caller.tenant.intent(id));
    Owner {
        tenant: caller.tenant.id.clone(),
        agent: token.agent().clone(),
        user: intent.and_then(|intent| intent.user().cloned()),
        session: token.session().cloned(),
        root: token.root().cloned(),
        family,
    }
}

fn family(talk: &Talk) -> Family {
    match talk.takes_results() {
        true => Family::Modern,
        false => Family::Legacy,
    }
}

fn seal(caller: &Caller, owner: &Owner) -> Result<Seal, Reason> {
    let keys = caller.tenant.keys().ok_or(Reason::NotReady)?;
    let key = proctor_engine::token::request_state_key(&keys.digest_key);
    Seal::new(key, &("task", owner))
}

fn invalid() -> Ended {
    Ended::Failed(Failure::Invalid)
}

impl Gateway {
    /// A call became a task: what is said of it is judged, and it is kept under its principal.
    pub(super) async fn begun(
        &self,
        exchange: &Exchange<'_>,
        talk: &Talk,
        answer: Answer,
    ) -> Ended {
        if talk.tasks == Wish::Never {
            return invalid();
        }
        let (bytes, extension) = (answer.bytes, task::is_of_extension(&answer.body));
        let Ok(Told {
            state,
            said,
            payload: None,
        }) = task::read(answer.body)
        else {
            return invalid();
        };
        let words = match self.words(exchange, said, bytes).await {
            Ok(words) => words,
            Err(ended) => return ended,
        };
        match self.keep(exchange, talk, &state, extension) {
            Ok(id) => Ended::Task(Box::new(EndedTask {
                id,
                state: Some(state),
                words,
                payload: None,
            })),
            Err(reason) => Ended::refused(reason),
        }
    }

    fn keep(
        &self,
        exchange: &Exchange<'_>,
        talk: &Talk,
        state: &State,
        extension: bool,
    ) -> Result<String, Reason> {
        let (caller, permit) = (exchange.caller, exchange.recorded.permit());
        let now = self.clock.now();
        let owner = owner(caller, family(talk));
        let deferred = permit.deferred();
        let number = self.random.array::<16>().map(u128::from_be_bytes);
        let number = number.map_err(|_| Reason::Internal)?;
        let kept = (&deferred, talk, state);
        let id = match extension {
            true => elsewhere::sealed(caller, &owner, number, kept, now)?,
            false => seal(caller, &owner)?.close(&Sealed::new(number, &deferred, now))?,
        };
        let bytes = serde_json::to_vec(permit.arguments()).map_or(usize::MAX, |text| text.len());
        let begun = Begun {
            number,
            id: id.clone(),
            deferred,
            who: Arc::clone(&talk.who),
            capabilities: talk.capabilities.clone(),
            extension,
            bytes,
            heard: Arc::new(Mutex::new(exchange.permitted.heard_so_far())),
            state: state.clone(),
        };
        caller.tenant.tasks.put(owner, Task::new(begun, now), now)?;
        Ok(id)
    }

    /// The task of this caller that an id stands for, at the only server whose tasks are here, if there is one.
    ///
    /// # Errors
    /// [`Reason::TaskUnknown`], whether it is another's, over or was never there.
    pub(crate) async fn task_of(
        &self,
        caller: &Caller,
        family: Family,
        server: Option<&ServerId>,
        id: &str,
    ) -> Result<Arc<Task>, Reason> {
        let owner = owner(caller, family);
        let sealed: Option<Sealed> = seal(caller, &owner)?.open(id);
        let now = self.clock.now();
        let task = match (
            caller.tenant.tasks.get(&owner, sealed.as_ref(), now),
            sealed,
        ) {
            (Err(Reason::TaskUnknown), Some(sealed)) => {
                elsewhere::opened(caller, &owner, sealed, id, now).await?
            }
            (found, _) => found?,
        };
        match server {
            Some(server) if server != task.server() => Err(Reason::TaskUnknown),
            _ => Ok(task),
        }
    }

    /// Has a task watched at its server, and what the server tells of it from now on.
    pub(crate) fn task_news(
        &self,
        caller: &Caller,
        task: &Task,
    ) -> Option<(Watched, broadcast::Receiver<News>)> {
        let loaded = caller.tenant.loaded()?;
        let server = loaded.servers.get(task.server())?;
        let news = server.news();
        Some((server.watch_task(&task.upstream_id), news))
    }

    /// Whether its server has agreed to tell when something becomes of it.
    pub(crate) fn is_told_of(&self, caller: &Caller, task: &Task) -> bool {
        let loaded = caller.tenant.loaded();
        let server = loaded.as_ref().and_then(|it| it.servers.get(task.server()));
        server.is_some_and(|server| server.tells_of(&task.upstream_id))
    }

    pub(super) async fn task_through(
        &self,
        caller: &Caller,
        asked: AskedTask,
        permitted: &Permitted,
        cancel: &CancellationToken,
    ) -> Outcome {
        let trace_id = asked.trace_id.clone();
        let task = self.task_of(caller, asked.family, asked.server.as_ref(), &asked.id);
        let task = match task.await {
            Ok(task) => task,
            Err(reason) => return Outcome::Refused(self.refuse(caller, reason, trace_id).await),
        };
        let following = Following {
            decision_id: self.decision_id(),
            token: Arc::clone(&caller.token),
            deferred: &task.deferred,
            request: asked.request.as_str(),
            replies: asked.replies,
        };
        let followed = self.sit(caller).and_then(|sitting| {
            let judged = self.judge_in(caller, &sitting, |world, _| follow(following, world))?;
            Ok((judged, sitting))
        });
        let ((decision, loaded), sitting) = match followed {
            Ok(followed) => followed,
            Err(reason) => return Outcome::Refused(self.refuse(caller, reason, trace_id).await),
        };
        super::count_content(&decision.facts().content);
        let recorded = match decision {
            Decision::Permit(permit) => {
                self.record(permit, Funds::default(), trace_id.clone())
                    .await
            }
            Decision::Refusal(refusal) => Err(*refusal),
        };
        match recorded {
            Ok(recorded) => {
                // Its own session at the server knows the task.
                let talk = Talk {
                    who: Arc::clone(&task.who),
                    capabilities: task.capabilities.clone(),
                    ..asked.talk
                };
                let exchange = Exchange {
                    recorded,
                    caller,
                    loaded: &loaded,
                    sitting,
                    permitted,
                    purpose: proctor_engine::Purpose::Continue,
                    replied: Replied::default(),
                    task: Some((&task, asked.request)),
                };
                self.forward_while_admitted(exchange, talk, permitted, cancel)
                    .await
            }
            Err(refusal) => Outcome::Refused(self.record_refusal(refusal, &loaded, trace_id).await),
        }
    }

    /// Asks the server, and judges what it says.
    pub(super) async fn ask_after(
        &self,
        exchange: &Exchange<'_>,
        task: &Task,
        request: Request,
        talk: Talk,
        cancel: &CancellationToken,
    ) -> Ended {
        if task.extension && !talk.takes_results() {
            let older = older::Older {
                gateway: self,
                exchange,
                task,
                talk: &talk,
                cancel,
            };
            return Box::pin(older.ask(request)).await;
        }
        let errand = Errand::Task(&task.upstream_id, request);
        let mut answer = match self.round(exchange, errand, &talk, cancel).await {
            Ok(answer) => answer,
            Err(failure) => return Ended::Failed(failure),
        };
        match answer.channel {
            // What its server has forgotten is no task any more. To stop one that is over is refused by the same code.
            Channel::Error if request != Request::Cancel && is_unknown(&answer.body) => {
                let owner = owner(exchange.caller, family(&talk));
                exchange.caller.tenant.tasks.forget(&owner, task);
                Ended::refused(Reason::TaskUnknown)
            }
            Channel::Task if answer.body.contains_key("taskId") => {
                let Ok(told) = task::read(answer.body) else {
                    return invalid();
                };
                if told.state.id != task.upstream_id {
                    return invalid();
                }
                task.note(&told.state);
                let bytes = answer.bytes;
                self.told(exchange, task, told, bytes, &talk, cancel).await
            }
            // It has heard: what else it says with that is nothing that was asked for.
            Channel::Task if matches!(request, Request::Update | Request::Cancel) => {
                let said = of_task(Map::new(), answer.bytes);
                match self.judged(exchange, said).await {
                    Ended::Released(said) => Ended::Task(Box::new(EndedTask {
                        id: task.id.clone(),
                        state: None,
                        words: Words::from(said),
                        payload: None,
                    })),
                    ended => ended,
                }
            }
            Channel::Task => invalid(),
            _ => {
                task::unrelate(&mut answer.body);
                self.judged(exchange, answer).await
            }
        }
    }

    /// Judges a state and what comes with it, each by its own way. A server of the older revisions gives its result when it
    /// is asked once more.
    async fn told(
        &self,
        exchange: &Exchange<'_>,
        task: &Task,
        told: Told,
        bytes: u64,
        talk: &Talk,
        cancel: &CancellationToken,
    ) -> Ended {
        let Told {
            state,
            said,
            payload,
        } = told;
        let words = match self.words(exchange, said, bytes).await {
            Ok(words) => words,
            Err(ended) => return ended,
        };
        let payload = match payload {
            Some(payload) => Some(with_channel(payload, bytes)),
            None if talk.takes_results() && state.status.has_result() => {
                let errand = Errand::Task(&task.upstream_id, Request::Result);
                match self.round(exchange, errand, talk, cancel).await {
                    Ok(mut answer) => {
                        task::unrelate(&mut answer.body);
                        Some(answer)
                    }
                    Err(failure) => return Ended::Failed(failure),
                }
            }
            None => None,
        };
        if let Some(questions) = payload
            .as_ref()
            .filter(|one| one.channel == Channel::Question)
            && !talk.can_be_asked_all(&questions.body)
        {
            return invalid();
        }
        let payload = match payload {
            None => None,
            Some(answer) => match self.judged(exchange, answer).await {
                Ended::Released(payload) => Some(payload),
                Ended::Withheld(mut withheld) => {
                    words.add_to(&mut withheld.findings);
                    return Ended::Withheld(withheld);
                }
                ended => return ended,
            },
        };
        Ended::Task(Box::new(EndedTask {
            id: task.id.clone(),
            state: Some(state.with(payload.as_ref().map(|payload| payload.channel()))),
            words,
            payload,
        }))
    }

    /// The caller's tasks as they were last heard of, as far as it may still use their tools. A server's own words are not
    /// among them: they would have to be judged anew.
    pub(crate) fn tasks_of(
        &self,
        caller: &Caller,
        family: Family,
        server: Option<&ServerId>,
    ) -> Result<Vec<Map<String, Value>>, Reason> {
        let (owner, now) = (owner(caller, family), self.clock.now());
        let (visible, _) = self.judge(caller, |world, _| {
            let visible = proctor_engine::visible_tools(&caller.token, world)?;
            let visible = visible.into_iter().map(|tool| tool.reference().clone());
            Ok::<_, Reason>(visible.collect::<Vec<_>>())
        })?;
        let visible = visible?;
        let own = caller.tenant.tasks.of(&owner, now).into_iter();
        let here = own.filter(|task| {
            server.is_none_or(|server| server == task.server())
                && visible.contains(task.deferred.tool())
        });
        Ok(here.map(|task| task.seen().legacy(&task.id)).collect())
    }
}

fn of_task(body: Map<String, Value>, bytes: u64) -> Answer {
    Answer {
        channel: Channel::Task,
        body,
        bytes,
    }
}

fn with_channel(payload: Payload, bytes: u64) -> Answer {
    let (channel, mut body) = match payload {
        Payload::Result(body) => (Channel::Result, body),
        Payload::Error(body) => (Channel::Error, body),
        Payload::Questions(questions) => {
            let body = Map::from_iter([("inputRequests".to_owned(), questions.into())]);
            (Channel::Question, body)
        }
    };
    task::unrelate(&mut body);
    Answer {
        channel,
        body,
        bytes,
    }
}

fn is_unknown(error: &Map<String, Value>) -> bool {
    error.get("code").and_then(Value::as_i64) == Some(-32602)
}

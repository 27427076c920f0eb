//! Clients of 2025-11-25 and tasks of the extension of 2026-07-28. What such a client asks of a task is put together from what its
//! server has: there is no `tasks/result`, a cancelled task is heard of by asking after it, and questions are in its state.

use super::{EndedTask, invalid, is_unknown, owner, with_channel};
use crate::enforce::Gateway;
use crate::enforce::answer::Ended;
use crate::enforce::dialogue::Exchange;
use crate::tasks::{Family, Task};
use crate::upstream::talk::{QUESTIONS_MAX, Said, Word};
use crate::upstream::task::{self, Payload, Request, Status, Told};
use crate::upstream::{Errand, Failure, Talk};
use proctor_engine::{Answer, Channel};
use proctor_model::Reason;
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How soon a server is asked again after it was answered.
const ANSWERED_PAUSE: Duration = Duration::from_millis(250);

/// A request of a client of 2025-11-25 about a task of the extension, and who hears of it.
pub(super) struct Older<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) exchange: &'a Exchange<'a>,
    pub(super) task: &'a Task,
    pub(super) talk: &'a Talk,
    pub(super) cancel: &'a CancellationToken,
}

impl Older<'_> {
    pub(super) async fn ask(&self, request: Request) -> Ended {
        let ended = match request {
            Request::Get => self.state().await,
            Request::Cancel => self.stop().await,
            Request::Result => self.result().await,
            // That revision has no such method.
            Request::Update => Err(invalid()),
        };
        ended.unwrap_or_else(|refused| refused)
    }

    async fn round(&self, errand: Errand<'_>) -> Result<Answer, Ended> {
        let round = (self.gateway).round(self.exchange, errand, self.talk, self.cancel);
        round.await.map_err(Ended::Failed)
    }

    async fn judged(&self, answer: Answer) -> Ended {
        self.gateway.judged(self.exchange, answer).await
    }

    /// What its server says of the task now, with the size of all of it.
    async fn look(&self) -> Result<(Told, u64), Ended> {
        let errand = Errand::Task(&self.task.upstream_id, Request::Get);
        let answer = self.round(errand).await?;
        match answer.channel {
            Channel::Task => {}
            Channel::Error if is_unknown(&answer.body) => {
                let caller = self.exchange.caller;
                let owner = owner(caller, Family::Legacy);
                caller.tenant.tasks.forget(&owner, self.task);
                return Err(Ended::refused(Reason::TaskUnknown));
            }
            _ => return Err(self.judged(answer).await),
        }
        let told = task::read(answer.body).map_err(Ended::Failed)?.for_older();
        if told.state.id != self.task.upstream_id {
            return Err(invalid());
        }
        self.task.note(&told.state);
        Ok((told, answer.bytes))
    }

    /// Its state: in this revision without what came with it.
    async fn state(&self) -> Result<Ended, Ended> {
        let (told, bytes) = self.look().await?;
        let words = self.gateway.words(self.exchange, told.said, bytes);
        Ok(Ended::Task(Box::new(EndedTask {
            id: self.task.id.clone(),
            words: words.await?,
            state: Some(told.state),
            payload: None,
        })))
    }

    /// Its server says that it has heard; what became of the task by that is the answer here.
    async fn stop(&self) -> Result<Ended, Ended> {
        let errand = Errand::Task(&self.task.upstream_id, Request::Cancel);
        let heard = self.round(errand).await?;
        if heard.channel == Channel::Error {
            return Err(self.judged(heard).await);
        }
        self.state().await
    }

    /// Its result, once it is there: no later than the tool's own time limit, in which the time of the client's answers does
    /// not count.
    async fn result(&self) -> Result<Ended, Ended> {
        let tool = self.exchange.recorded.permit().tool();
        let server = self.exchange.loaded.servers.get(&tool.server);
        let mut left = server.map_or(Duration::ZERO, |server| server.limit());
        let (mut asked, mut status) = (HashSet::new(), self.task.seen().status);
        loop {
            let began = Instant::now();
            let (told, bytes) = self.look().await?;
            if told.state.status != status {
                status = told.state.status;
                self.tell(&told).await;
            }
            left = left.saturating_sub(began.elapsed());
            let mut pause = told.state.pause();
            match told.payload {
                Some(Payload::Questions(mut questions)) => {
                    questions.retain(|name, _| asked.insert(name.clone()));
                    if asked.len() > QUESTIONS_MAX {
                        return Err(invalid());
                    }
                    if !questions.is_empty() {
                        self.answer(questions, bytes).await?;
                        pause = ANSWERED_PAUSE;
                    }
                }
                Some(payload) => return Ok(self.judged(with_channel(payload, bytes)).await),
                None if status == Status::Cancelled => return Ok(self.judged(cancelled()).await),
                None if status.is_final() => return Err(invalid()),
                None => {}
            }
            if left.is_zero() {
                return Err(Ended::Failed(Failure::Timeout));
            }
            let pause = pause.min(left);
            tokio::select! {
                () = tokio::time::sleep(pause) => left = left.saturating_sub(pause),
                () = self.cancel.cancelled() => return Err(Ended::Failed(Failure::Cancelled)),
            }
        }
    }

    /// Asks the client what its server asks, and gives that the answers.
    async fn answer(&self, questions: Map<String, Value>, bytes: u64) -> Result<(), Ended> {
        let asks = with_channel(Payload::Questions(questions), bytes);
        let release = match self.judged(asks).await {
            Ended::Released(release) => release,
            ended => return Err(ended),
        };
        if !self.talk.can_be_asked_all(release.body()) {
            return Err(invalid());
        }
        self.gateway.note_reading(self.exchange, &release);
        let body = release.into_body();
        let asking = (self.gateway).ask_all(self.exchange, self.talk, &body, self.cancel);
        let replies = asking.await.ok_or(Ended::Failed(Failure::Cancelled))?;
        if replies.is_empty() {
            return Ok(());
        }
        let errand = Errand::Reply(&self.task.upstream_id, &replies);
        let heard = self.round(errand).await?;
        match heard.channel {
            Channel::Error => Err(self.judged(heard).await),
            _ => Ok(()),
        }
    }

    /// Tells the client who waits that the task is further.
    async fn tell(&self, told: &Told) {
        let Some(client) = &self.talk.words else {
            return;
        };
        let said = (self.gateway).words_told(self.exchange, told.said.clone());
        if let Some(said) = said {
            let mut params = told.state.legacy(&self.task.id);
            params.extend(said);
            let method = task::STATUS.to_owned();
            let note = Word::Note(Said { method, params });
            tokio::select! {
                // A client that is gone hears nothing, and neither does that of a call that is cut short.
                _ = client.send(note) => {}
                () = self.cancel.cancelled() => {}
            }
        }
    }
}

/// The result of a task that was stopped, as that revision has it.
fn cancelled() -> Answer {
    let body = Map::from_iter([
        ("code".to_owned(), Value::from(-32603)),
        ("message".to_owned(), "the task was cancelled".into()),
    ]);
    Answer {
        channel: Channel::Error,
        body,
        bytes: 0,
    }
}

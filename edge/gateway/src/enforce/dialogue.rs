//! What a server and the client of a call say to each other before the answer. All that comes from the server passes
//! [`proctor_engine::respond`], as the answer does; all that goes to it passes [`proctor_engine::reply`].

use super::answer::Ended;
use super::budget;
use super::judge::Sitting;
use super::{Caller, Gateway, Permitted};
use crate::spool::Recorded;
use crate::tasks::Task;
use crate::upstream::talk::{Inputs, REPLY_TIMEOUT, Said, Word, declined, questions};
use crate::upstream::{Errand, Failure, Reply, Talk, task};
use crate::world::Loaded;
use proctor_engine::budget::measure::Used;
use proctor_engine::memory::MemoryView;
use proctor_engine::{Answer, Channel, Purpose};
use proctor_model::Reason;
use proctor_model::content::ContentFinding;
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Rounds of questions that one call may need.
const ROUNDS_MAX: usize = 8;
/// How long one call may take, whatever its server says or asks meanwhile: the longest limit of a server, the time for a
/// person's reply, and some.
const CALL_TIMEOUT: Duration = Duration::from_secs(20 * 60);

/// A call on its way: permitted, recorded, not yet answered.
pub(super) struct Exchange<'a> {
    pub(super) recorded: Recorded,
    pub(super) caller: &'a Caller,
    pub(super) loaded: &'a Loaded,
    /// Where its answer is read.
    pub(super) sitting: Sitting,
    pub(super) permitted: &'a Permitted,
    pub(super) purpose: Purpose,
    /// The task that is asked after, if this is no call.
    pub(super) task: Option<(&'a Task, task::Request)>,
    pub(super) replied: Replied,
}

/// What the content filter found in the client's replies to questions.
#[derive(Default)]
pub(super) struct Replied(Mutex<Vec<ContentFinding>>);

impl Replied {
    fn note(&self, findings: Vec<ContentFinding>) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for found in findings {
            let same = |known: &&mut ContentFinding| {
                (&known.class, known.action) == (&found.class, found.action)
            };
            match noted.iter_mut().find(same) {
                Some(known) => known.count = known.count.saturating_add(found.count),
                None => noted.push(found),
            }
        }
    }

    pub(super) fn take(&self) -> Vec<ContentFinding> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Gateway {
    /// [`Gateway::talk_through`], and no longer than any call may take.
    pub(super) async fn talk_in_time(
        &self,
        exchange: &Exchange<'_>,
        talk: Talk,
        cancel: &CancellationToken,
    ) -> (Ended, Used) {
        let talking = Box::pin(self.talk_through(exchange, talk, cancel));
        let ended = tokio::time::timeout(CALL_TIMEOUT, talking).await;
        ended.unwrap_or_else(|_| {
            let late = Err(Failure::Timeout);
            let used = budget::used(exchange.loaded, exchange.recorded.permit().tool(), &late);
            (Ended::Failed(Failure::Timeout), used)
        })
    }

    /// [`Gateway::ask_after`], and no longer than any call may take.
    pub(super) async fn ask_in_time(
        &self,
        exchange: &Exchange<'_>,
        task: &Task,
        request: task::Request,
        talk: Talk,
        cancel: &CancellationToken,
    ) -> Ended {
        let asking = Box::pin(self.ask_after(exchange, task, request, talk, cancel));
        let ended = tokio::time::timeout(CALL_TIMEOUT, asking).await;
        ended.unwrap_or(Ended::Failed(Failure::Timeout))
    }

    /// Forwards the call, and once more with the client's replies each time the server asks in a result and the client
    /// answers on its stream. Also what the call used, by its last round.
    async fn talk_through(
        &self,
        exchange: &Exchange<'_>,
        mut talk: Talk,
        cancel: &CancellationToken,
    ) -> (Ended, Used) {
        if let Some(own) = Box::pin(self.answer_directly(exchange)).await {
            let ended = match own {
                Ok(answer) => self.judged(exchange, answer).await,
                Err(reason) => Ended::refused(reason),
            };
            return (ended, budget::CALL);
        }
        if let Some(responses) = talk.inputs.as_mut().and_then(|it| it.responses.as_mut()) {
            for reply in responses.values_mut() {
                let body = reply.as_object_mut().map(std::mem::take);
                match self.passed_on(exchange, body.unwrap_or_default()) {
                    Ok(body) => *reply = body.into(),
                    Err(reason) => return (Ended::refused(reason), budget::CALL),
                }
            }
        }
        let mut used = Used::default();
        for _ in 0..ROUNDS_MAX {
            let errand = Errand::Call(exchange.purpose);
            let answer = Box::pin(self.round(exchange, errand, &talk, cancel)).await;
            used = budget::used(exchange.loaded, exchange.recorded.permit().tool(), &answer);
            let answer = match answer {
                Ok(answer) => answer,
                Err(failure) => return (Ended::Failed(failure), used),
            };
            if answer.channel == Channel::Task {
                return (self.begun(exchange, &talk, answer).await, used);
            }
            let asks = answer.channel == Channel::Question;
            let release = match self.judged(exchange, answer).await {
                Ended::Released(release) if asks => release,
                ended => return (ended, used),
            };
            if !can_be_asked(&talk, release.body()) {
                return (Ended::Failed(Failure::Invalid), used);
            }
            if talk.takes_results() {
                return (Ended::Released(release), used);
            }
            self.note_reading(exchange, &release);
            let body = release.into_body();
            let responses = self.ask_all(exchange, &talk, &body, cancel).await;
            let Some(responses) = responses else {
                return (Ended::Failed(Failure::Cancelled), used);
            };
            let state = body.get("requestState").and_then(Value::as_str);
            talk.inputs = Some(Inputs {
                responses: Some(responses),
                state: state.map(str::to_owned),
            });
        }
        (Ended::Failed(Failure::Invalid), used)
    }

    /// A client's reply as it may go to the server.
    pub(super) fn reply(&self, exchange: &Exchange<'_>, reply: Reply) -> Reply {
        let passed = match reply {
            Reply::Result(result) => self.passed_on(exchange, result).map(Reply::Result),
            Reply::Error(mut error) => {
                // What it is and why; whatever else an error may hold is no reply.
                error.retain(|name, value| match name.as_str() {
                    "code" => value.is_i64(),
                    "message" => value.is_string(),
                    _ => false,
                });
                self.passed_on(exchange, error).map(Reply::Error)
            }
        };
        passed.unwrap_or_else(|_| declined(-32603, "this reply is not passed on"))
    }

    /// What of a client's reply may leave: the content rules hold for it as for arguments.
    fn passed_on(
        &self,
        exchange: &Exchange<'_>,
        body: Map<String, Value>,
    ) -> Result<Map<String, Value>, Reason> {
        let tool = exchange.recorded.permit().tool();
        let (passed, findings) = self.judge_under(
            exchange.caller,
            exchange.loaded,
            &exchange.sitting,
            |world, _| {
                let tool = world.tenant.catalogue().get(tool);
                let tool = tool.ok_or(Reason::UnknownTool)?;
                Ok::<_, Reason>(proctor_engine::reply(tool, body, world))
            },
        )??;
        super::count_content(&findings);
        exchange.replied.note(findings);
        if let Err(reason) = &passed {
            metrics::counter!("proctor_edge_replies_withheld_total", "reason" => reason.code())
                .increment(1);
        }
        passed
    }

    /// What of a word may be heard; it goes into the session's memory first.
    pub(super) fn heard(
        &self,
        exchange: &Exchange<'_>,
        channel: Channel,
        mut body: Map<String, Value>,
    ) -> Result<Map<String, Value>, Reason> {
        task::unrelate(&mut body);
        let bytes = serde_json::to_vec(&body).map_or(usize::MAX, |text| text.len());
        let answer = Answer {
            channel,
            body,
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        };
        match self.respond(exchange, answer, &MemoryView::default()) {
            Ended::Released(release) => {
                self.note_reading(exchange, &release);
                Ok(release.into_body())
            }
            Ended::Withheld(withheld) => {
                let reason = withheld.reason;
                metrics::counter!("proctor_edge_words_withheld_total", "reason" => reason.code())
                    .increment(1);
                Err(reason)
            }
            Ended::Failed(failure) => Err(failure.reason()),
            Ended::Streamed(_) | Ended::Task(_) => Err(Reason::Internal),
        }
    }

    /// Asks the client all that a result asks, one after the other.
    pub(super) async fn ask_all(
        &self,
        exchange: &Exchange<'_>,
        talk: &Talk,
        body: &Map<String, Value>,
        cancel: &CancellationToken,
    ) -> Option<Map<String, Value>> {
        let client = talk.words.as_ref()?;
        let mut responses = Map::new();
        for (name, question) in questions(body) {
            let (reply, replied) = oneshot::channel();
            let params = question.get("params").and_then(Value::as_object);
            let mut said = Said {
                method: question.get("method")?.as_str()?.to_owned(),
                params: params.cloned().unwrap_or_default(),
            };
            task::unrelate(&mut said.params);
            without_progress(&mut said.params);
            sent_away(exchange, &talk.who, &said.params);
            if let Some((task, _)) = exchange.task {
                task::relate(&mut said.params, &task.id);
            }
            let asking = async {
                client.send(Word::Question(said, reply)).await.ok()?;
                Some(tokio::time::timeout(REPLY_TIMEOUT, replied).await)
            };
            let replied = tokio::select! {
                replied = asking => replied?,
                () = cancel.cancelled() => return None,
            };
            // A reply that is an error is none: the server asks again, or does without.
            if let Ok(Ok(replied)) = replied
                && let Reply::Result(mut result) = self.reply(exchange, replied)
            {
                // What the client calls the task says nothing to the server.
                task::unrelate(&mut result);
                responses.insert(name.clone(), Value::Object(result));
            }
        }
        Some(responses)
    }
}

/// A client's progress with a question is not passed on: it is not to be asked for it.
pub(super) fn without_progress(params: &mut Map<String, Value>) {
    let meta = params.get_mut("_meta").and_then(Value::as_object_mut);
    if let Some(meta) = meta {
        meta.remove("progressToken");
        if meta.is_empty() {
            params.remove("_meta");
        }
    }
}

/// Notes whom a server sends to a page, so that they alone hear when it says that something was done there.
pub(super) fn sent_away(exchange: &Exchange<'_>, who: &Arc<str>, said: &Map<String, Value>) {
    let server = &exchange.recorded.permit().tool().server;
    if let Some(server) = exchange.loaded.servers.get(server) {
        server.sends_away(who, said);
    }
}

/// Whether the client declared that it can be asked all of this.
fn can_be_asked(talk: &Talk, body: &Map<String, Value>) -> bool {
    talk.words.is_some() && talk.can_be_asked_all(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_client_is_asked_for_no_progress_that_goes_nowhere() {
        for (params, left) in [
            (
                json!({ "a": 1, "_meta": { "progressToken": 5 } }),
                json!({ "a": 1 }),
            ),
            (
                json!({ "_meta": { "progressToken": "x", "y": 2 } }),
                json!({ "_meta": { "y": 2 } }),
            ),
            (json!({ "a": 1 }), json!({ "a": 1 })),
        ] {
            let mut asked = params.as_object().unwrap().clone();
            without_progress(&mut asked);
            assert_eq!(Value::Object(asked), left);
        }
    }
}

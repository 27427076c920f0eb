//! What a server and the client of a call say to each other before the answer. All that comes from the server passes
//! [`proctor_engine::respond`], as the answer does.

use super::answer::Ended;
use super::{Caller, Gateway};
use crate::spool::Recorded;
use crate::tasks::Task;
use crate::upstream::talk::{
    Inputs, REPLY_TIMEOUT, Said, WORDS_WAITING, Word, declined, questions,
};
use crate::upstream::{self, Errand, Failure, Reply, Talk, task};
use crate::world::Loaded;
use proctor_engine::budget::measure::Used;
use proctor_engine::memory::MemoryView;
use proctor_engine::{Answer, Channel, Purpose};
use proctor_model::Reason;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Rounds of questions that one call may need.
const ROUNDS_MAX: usize = 8;

/// A call on its way: permitted, recorded, not yet answered.
pub(super) struct Exchange<'a> {
    pub(super) recorded: Recorded,
    pub(super) caller: &'a Caller,
    pub(super) loaded: &'a Loaded,
    pub(super) purpose: Purpose,
    /// The task that is asked after, if this is no call.
    pub(super) task: Option<(&'a Task, task::Request)>,
}

impl Gateway {
    /// Forwards the call, and once more with the client's replies each time the server asks in a result and the client
    /// answers on its stream. Also what the call used, by its last round.
    pub(super) async fn talk_through(
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
            return (ended, super::budget::CALL);
        }
        let mut used = Used::default();
        for _ in 0..ROUNDS_MAX {
            let errand = Errand::Call(exchange.purpose);
            let answer = Box::pin(self.round(exchange, errand, &talk, cancel)).await;
            used = super::budget::used(exchange.loaded, exchange.recorded.permit().tool(), &answer);
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
            let responses = self.ask_all(&talk, &body, cancel).await;
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

    /// One request to the server, up to its answer.
    pub(super) async fn round(
        &self,
        exchange: &Exchange<'_>,
        errand: Errand<'_>,
        talk: &Talk,
        cancel: &CancellationToken,
    ) -> Result<Answer, Failure> {
        let permit = exchange.recorded.permit();
        let server = exchange.loaded.servers.get(&permit.tool().server);
        let server = server.ok_or(Failure::Unreachable)?;
        let (words, mut said) = mpsc::channel(WORDS_WAITING);
        let inner = Talk {
            words: talk.words.as_ref().map(|_| words),
            ..talk.clone()
        };
        // A large future, and others hold it in theirs.
        let mut calling = Box::pin(upstream::forward(
            &exchange.recorded,
            errand,
            server,
            &inner,
            cancel,
        ));
        let answer = loop {
            tokio::select! {
                biased;
                answer = &mut calling => break answer,
                Some(word) = said.recv() => self.relay(exchange, talk, word, cancel).await,
            }
        };
        // What was said before the answer comes before it.
        while let Ok(word) = said.try_recv() {
            self.relay(exchange, talk, word, cancel).await;
        }
        answer
    }

    /// Passes a word of the server on, if it may be.
    async fn relay(
        &self,
        exchange: &Exchange<'_>,
        talk: &Talk,
        word: Word,
        cancel: &CancellationToken,
    ) {
        let Some(client) = &talk.words else { return };
        match word {
            Word::Note(said) if said.method == task::STATUS => {
                if let Some(said) = self.status(exchange, said.params) {
                    let _ = client.send(Word::Note(said)).await;
                }
            }
            Word::Note(said) => {
                if let Ok(params) = self.heard(exchange, Channel::Note, said.params) {
                    let said = Said {
                        method: said.method,
                        params,
                    };
                    // A client that is gone hears nothing.
                    let _ = client.send(Word::Note(said)).await;
                }
            }
            Word::Question(said, reply) => {
                let asking = self.question(exchange, client, said);
                let replied = tokio::select! {
                    replied = asking => replied,
                    () = cancel.cancelled() => declined(-32603, "the call was cancelled"),
                };
                // The server does not wait any more.
                let _ = reply.send(replied);
            }
        }
    }

    async fn question(
        &self,
        exchange: &Exchange<'_>,
        client: &mpsc::Sender<Word>,
        mut said: Said,
    ) -> Reply {
        task::unrelate(&mut said.params);
        let wrapped = json!({ "inputRequests": { "question": { "method": said.method, "params": said.params } } });
        let Value::Object(wrapped) = wrapped else {
            return declined(-32603, "no question");
        };
        let Ok(mut body) = self.heard(exchange, Channel::Question, wrapped) else {
            return declined(-32603, "this question is not passed on");
        };
        let mut params = body
            .get_mut("inputRequests")
            .and_then(|questions| questions.pointer_mut("/question/params"))
            .and_then(Value::as_object_mut)
            .map(std::mem::take)
            .unwrap_or_default();
        if let Some((task, _)) = exchange.task {
            task::relate(&mut params, &task.id);
        }
        let (reply, replied) = oneshot::channel();
        let question = Word::Question(
            Said {
                method: said.method,
                params,
            },
            reply,
        );
        if client.send(question).await.is_err() {
            return declined(-32603, "nobody is there to answer");
        }
        match tokio::time::timeout(REPLY_TIMEOUT, replied).await {
            Ok(Ok(Reply::Result(mut result))) => {
                // What the client calls the task says nothing to the server.
                task::unrelate(&mut result);
                if let Some((task, _)) = exchange.task {
                    task::relate(&mut result, &task.upstream_id);
                }
                Reply::Result(result)
            }
            Ok(Ok(reply)) => reply,
            _ => declined(-32603, "there was no answer"),
        }
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
    async fn ask_all(
        &self,
        talk: &Talk,
        body: &Map<String, Value>,
        cancel: &CancellationToken,
    ) -> Option<Map<String, Value>> {
        let client = talk.words.as_ref()?;
        let mut responses = Map::new();
        for (name, question) in questions(body) {
            let (reply, replied) = oneshot::channel();
            let said = Said {
                method: question.get("method")?.as_str()?.to_owned(),
                params: question
                    .get("params")
                    .and_then(Value::as_object)
                    .cloned()
                    .unwrap_or_default(),
            };
            client.send(Word::Question(said, reply)).await.ok()?;
            let replied = tokio::select! {
                replied = tokio::time::timeout(REPLY_TIMEOUT, replied) => replied,
                () = cancel.cancelled() => return None,
            };
            // A reply that is an error is none: the server asks again, or does without.
            if let Ok(Ok(Reply::Result(result))) = replied {
                responses.insert(name.clone(), Value::Object(result));
            }
        }
        Some(responses)
    }
}

/// Whether the client declared that it can be asked all of this.
fn can_be_asked(talk: &Talk, body: &Map<String, Value>) -> bool {
    talk.words.is_some() && talk.can_be_asked_all(body)
}

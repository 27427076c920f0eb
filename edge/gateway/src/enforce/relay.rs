//! What a server says before it answers, on its way to the client: asked for, judged and passed on in one task.

use super::Gateway;
use super::dialogue::{Exchange, sent_away, without_progress};
use crate::upstream::talk::{REPLY_TIMEOUT, Said, WORDS_WAITING, Word, declined};
use crate::upstream::{self, Errand, Failure, Reply, Talk, task};
use proctor_engine::{Answer, Channel, Purpose};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// How long a client may take to hear what was said before the answer; what it does not take is dropped.
const HEAR_TIMEOUT: Duration = Duration::from_secs(5);

impl Gateway {
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
        let (words, said) = mpsc::channel(WORDS_WAITING);
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
        let turn = Turn::default();
        // Beside the request, not between its steps: its time runs on while a client is slow to listen.
        let mut relaying = Box::pin(self.relay_all(exchange, talk, (said, &turn), cancel));
        let (answer, all_said) = match in_turns(&mut calling, &mut relaying, &turn).await {
            Some(answer) => (answer, false),
            None => (calling.as_mut().await, true),
        };
        drop(calling);
        drop(inner);
        if !all_said {
            tokio::select! {
                biased;
                // Of a call that is cut short nothing more is heard.
                () = cancel.cancelled() => {}
                // What was said before the answer comes before it.
                _ = tokio::time::timeout(HEAR_TIMEOUT, relaying) => {}
            }
        }
        answer
    }

    /// Passes on what the server says. What it says while that is judged leaves together.
    async fn relay_all(
        &self,
        exchange: &Exchange<'_>,
        talk: &Talk,
        (mut said, turn): (mpsc::Receiver<Word>, &Turn),
        cancel: &CancellationToken,
    ) {
        let Some(client) = &talk.words else { return };
        let (mut judged, mut waited) = (VecDeque::new(), false);
        loop {
            let word = said.try_recv();
            turn.took_something(word.is_ok());
            match word {
                Ok(Word::Note(said)) if judged.len() < WORDS_WAITING => {
                    judged.extend(self.note(exchange, said));
                    waited = false;
                    continue;
                }
                // There may be more: who says it is asked first.
                Err(TryRecvError::Empty)
                    if turn.took.load(Ordering::Relaxed) || judged.is_empty() =>
                {
                    turn.end().await;
                    continue;
                }
                // Or it has come already, and is read by a task that waits for this one.
                Err(TryRecvError::Empty) if !std::mem::replace(&mut waited, true) => {
                    tokio::task::yield_now().await;
                    continue;
                }
                _ => {}
            }
            for note in judged.drain(..) {
                // A client that is gone hears nothing.
                let _ = client.send(Word::Note(note)).await;
            }
            match word {
                Ok(Word::Note(said)) => judged.extend(self.note(exchange, said)),
                Ok(word) => self.relay(exchange, talk, word, cancel).await,
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return,
            }
        }
    }

    /// What the client hears of a note, if it may hear it.
    fn note(&self, exchange: &Exchange<'_>, said: Said) -> Option<Said> {
        if said.method == task::STATUS {
            return self.status(exchange, said.params);
        }
        let params = self.heard(exchange, Channel::Note, said.params).ok()?;
        Some(Said {
            method: said.method,
            params,
        })
    }

    /// Passes a word of the server on that is no note, if it may be.
    async fn relay(
        &self,
        exchange: &Exchange<'_>,
        talk: &Talk,
        word: Word,
        cancel: &CancellationToken,
    ) {
        let Some(client) = &talk.words else { return };
        match word {
            // In the stateless revision a completion has no result that could ask: the server does without.
            Word::Question(_, reply)
                if exchange.purpose == Purpose::Complete && talk.takes_results() =>
            {
                let _ = reply.send(declined(-32601, "a completion asks nothing"));
            }
            Word::Question(said, mut reply) => {
                let asking = self.question(exchange, talk, client, said);
                let replied = tokio::select! {
                    replied = asking => self.reply(exchange, replied),
                    () = cancel.cancelled() => declined(-32603, "the call was cancelled"),
                    // Nobody waits for it any more: the server took it back, or went on without.
                    () = reply.closed() => {
                        let _ = client.send(Word::Withdrawn).await;
                        return;
                    }
                };
                // The server does not wait any more.
                let _ = reply.send(replied);
            }
            // A server's own is found out above, and notes go their own way.
            Word::Withdrawn | Word::Note(_) => {}
        }
    }

    async fn question(
        &self,
        exchange: &Exchange<'_>,
        talk: &Talk,
        client: &mpsc::Sender<Word>,
        mut said: Said,
    ) -> Reply {
        task::unrelate(&mut said.params);
        without_progress(&mut said.params);
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
        sent_away(exchange, &talk.who, &params);
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
}

/// Whose turn it is in a task that both asks a server and passes on what it says.
#[derive(Default)]
struct Turn {
    /// Something was taken from what was said, in this turn.
    took: AtomicBool,
}

impl Turn {
    fn took_something(&self, took: bool) {
        self.took.fetch_or(took, Ordering::Relaxed);
    }

    /// Until the next turn.
    async fn end(&self) {
        let mut ended = false;
        std::future::poll_fn(|_| match std::mem::replace(&mut ended, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }
}

/// Asks, and passes on what is said, in turns for as long as anything is; `None` once nothing more can be said. All that is said
/// comes of the asking, so that nobody has to be woken for it.
async fn in_turns<A>(
    asking: &mut Pin<Box<impl Future<Output = A>>>,
    passing_on: &mut Pin<Box<impl Future<Output = ()>>>,
    turn: &Turn,
) -> Option<A> {
    std::future::poll_fn(|context| {
        loop {
            if let Poll::Ready(answer) = asking.as_mut().poll(context) {
                return Poll::Ready(Some(answer));
            }
            turn.took.store(false, Ordering::Relaxed);
            if passing_on.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            if !turn.took.load(Ordering::Relaxed) {
                return Poll::Pending;
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says five words, in so many turns, and answers.
    async fn speaker(words: mpsc::Sender<u32>, per_turn: u32) -> &'static str {
        for word in 0..5 {
            words.send(word).await.unwrap();
            if word % per_turn == 0 {
                tokio::task::yield_now().await;
            }
        }
        std::future::pending().await
    }

    #[tokio::test]
    async fn what_is_said_is_taken_without_anybody_being_woken() {
        for per_turn in [1, 2, 7] {
            let (words, mut said) = mpsc::channel(2);
            let (turn, mut taken) = (Turn::default(), Vec::new());
            let mut asking = Box::pin(speaker(words, per_turn));
            let mut passing_on = Box::pin(async {
                while taken.len() < 5 {
                    let word = said.try_recv();
                    turn.took_something(word.is_ok());
                    match word {
                        Ok(word) => taken.push(word),
                        Err(_) => turn.end().await,
                    }
                }
            });
            let ended = in_turns(&mut asking, &mut passing_on, &turn);
            let ended = tokio::time::timeout(Duration::from_secs(20), ended).await;
            assert_eq!(ended, Ok(None), "it was woken too late");
            drop(passing_on);
            assert_eq!(taken, [0, 1, 2, 3, 4]);
        }
    }
}

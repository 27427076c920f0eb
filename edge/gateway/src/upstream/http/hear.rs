//! What a server of the older revisions says before an answer: on the stream of the request, or on its session's own.

use super::listen::opened;
use super::{Http, Request, addressed, nobody, pong};
use crate::upstream::Reply;
use crate::upstream::events::Events;
use crate::upstream::rpc::{self, Era, Failure, Incoming};
use crate::upstream::session::{Concerned, Session};
use crate::upstream::talk::{Pauses, QUESTIONS_MAX, Said, Talk, WORDS_WAITING};
use reqwest::RequestBuilder;
use reqwest::header::ACCEPT;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How long a server may take to open a session's own stream before we go on without.
const STREAM_OPENS: Duration = Duration::from_secs(1);

/// A message and its size in bytes; none when the stream is over.
pub(super) type Heard = Result<Option<(Incoming, u64)>, Failure>;

/// The next message of a stream.
pub(super) async fn word(events: &mut Events) -> Heard {
    let Some(event) = events.next().await? else {
        return Ok(None);
    };
    let bytes = u64::try_from(event.data.len()).unwrap_or(u64::MAX);
    Ok(Some((rpc::read(event.data.as_bytes())?, bytes)))
}

/// Asks the client what the server asks on the stream of a request, unless the server takes it back or answers without:
/// then there is no reply. What comes of the stream meanwhile is kept for after it, and only so much of it is read.
pub(super) async fn asked(
    talk: &Talk,
    (question, said): (&Value, Said),
    events: &mut Events,
    request: u64,
    kept: &mut VecDeque<Heard>,
) -> Option<Reply> {
    // It was kept while another question was asked.
    if kept.iter().any(|heard| settles(heard, question, request)) {
        return None;
    }
    let mut asking = std::pin::pin!(talk.ask(said));
    loop {
        // Nothing comes after the end of a stream.
        let goes_on = kept.back().is_none_or(|last| matches!(last, Ok(Some(_))));
        let next = tokio::select! {
            biased;
            reply = &mut asking => return Some(reply),
            next = word(events), if goes_on && kept.len() < WORDS_WAITING => next,
        };
        let settled = settles(&next, question, request);
        kept.push_back(next);
        if settled {
            return None;
        }
    }
}

/// Whether nobody waits for the reply to a question any more: it is taken back, or its request is answered without.
fn settles(heard: &Heard, question: &Value, request: u64) -> bool {
    match heard {
        Ok(Some((Incoming::Withdrawn(id), _))) => id == question,
        Ok(Some((Incoming::Answer(of, _), _))) => *of == request,
        Ok(Some((Incoming::Unreadable(_), _))) => true,
        _ => false,
    }
}

impl Http {
    /// Tells the client what comes outside of the request's own stream, for as long as somebody waits for the answer.
    pub(super) async fn tell_all(
        &self,
        session: &Session,
        request: &Request<'_>,
        mut said: mpsc::Receiver<Incoming>,
        id: u64,
        pauses: Pauses,
    ) {
        let (mut questions, mut kept) = (0_usize, VecDeque::new());
        loop {
            let next = match kept.pop_front() {
                Some(next) => Some(next),
                None => said.recv().await,
            };
            if next.is_some() {
                request.begun();
            }
            match next {
                Some(Incoming::Note(said)) => request.talk.note(said, id).await,
                Some(Incoming::Question(question, asked)) => {
                    questions = questions.saturating_add(1);
                    if questions > QUESTIONS_MAX {
                        continue;
                    }
                    let asking = (&question, asked);
                    let asking = request.talk.ask_while(asking, &mut said, &mut kept);
                    if let Some(reply) = pauses.during(asking).await {
                        // A server that can't be told finds out by itself.
                        let _ = self.say(session, &rpc::reply(&question, reply)).await;
                    }
                }
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Reads a client's session's own stream until the session is over. Returns when the stream is there, so that what
    /// is said on it about the first request is heard; of a server that is slow with it, after a while.
    pub(super) async fn overhear(self: &Arc<Self>, session: &Arc<Session>) {
        if session.id.is_none() || session.era == Era::Modern {
            return;
        }
        let get = self
            .client
            .get(&self.url)
            .header(ACCEPT, "text/event-stream");
        let get = addressed(get, session);
        let (http, over, concerned) = (Arc::clone(self), session.over.clone(), session.concerned());
        let session = Arc::downgrade(session);
        let (there, opened) = oneshot::channel::<()>();
        tokio::spawn(async move {
            tokio::select! {
                // A server without such a stream says all on the streams of its requests.
                _ = http.listen_in(get, &session, &concerned, there) => {}
                () = over.cancelled() => {}
            }
        });
        drop(tokio::time::timeout(STREAM_OPENS, opened).await);
    }

    async fn listen_in(
        &self,
        get: RequestBuilder,
        session: &Weak<Session>,
        concerned: &Concerned,
        there: oneshot::Sender<()>,
    ) -> Result<(), Failure> {
        let mut events = opened(self.client.send(get).await?)?;
        drop(there);
        while let Some(event) = events.next().await? {
            let Some(session) = session.upgrade() else {
                break;
            };
            let Ok(word) = rpc::read(event.data.as_bytes()) else {
                continue;
            };
            self.overheard(&session, concerned, word).await?;
        }
        Ok(())
    }

    async fn overheard(
        &self,
        session: &Session,
        concerned: &Concerned,
        word: Incoming,
    ) -> Result<(), Failure> {
        match word {
            Incoming::News(news) => self.tell(news),
            Incoming::Ping(id) => self.say(session, &pong(&id)).await?,
            Incoming::Question(id, said) => match concerned.by(None) {
                // One that does not take it is asked too much at once.
                Some(words) if words.try_send(Incoming::Question(id.clone(), said)).is_ok() => {}
                _ => self.say(session, &nobody(&id)).await?,
            },
            Incoming::Note(said) => {
                self.tell_status(&said);
                let request = said.params.get("progressToken").and_then(Value::as_u64);
                if let Some(words) = concerned.by(request) {
                    // What a slow client does not take is dropped: the stream is not its own.
                    drop(words.try_send(Incoming::Note(said)));
                }
            }
            // By the question's id each knows whether it is about its own.
            Incoming::Withdrawn(id) => concerned.each(|| Incoming::Withdrawn(id.clone())),
            Incoming::Answer(..) | Incoming::Unreadable(_) | Incoming::Other => {}
        }
        Ok(())
    }
}

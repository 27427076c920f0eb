//! MCP over streamable HTTP, as its client: both families of revisions, JSON and SSE answers.

mod begin;
mod hear;
mod listen;
#[cfg(test)]
mod tests;

use super::breaker::Pass;
use super::client::{Client, failure};
use super::rpc::{self, Era, Failure, Incoming, News};
use super::session::{Session, Sessions};
use super::talk::{Deadline, QUESTIONS_MAX, Talk, WORDS_WAITING};
use super::{Answer, Reply, events};
use hear::{asked, word};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, broadcast, mpsc};

const SESSION_ID: &str = "mcp-session-id";
const VERSION: &str = "mcp-protocol-version";
const BOTH: &str = "application/json, text/event-stream";
/// Largest answer to the requests that we make for ourselves, in bytes.
const OWN_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How often a stream that broke off is taken up again at the same place.
const RESUMES_MAX: usize = 5;
/// How long we wait before, where the server says nothing, at least and at most.
const RETRY: Duration = Duration::from_millis(500);
const RETRY_MIN: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// How long a server may take to take what gets no answer.
const SAY_TIMEOUT: Duration = Duration::from_secs(10);

/// One request to a server.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) params: Map<String, Value>,
    /// What stands in `Mcp-Name`.
    pub(super) name: Option<&'a str>,
    /// `Mcp-Param-*` headers.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) bytes_max: u64,
    /// How long the server may take, the time for its questions not counted.
    pub(super) limit: Duration,
    pub(super) talk: &'a Talk,
    /// Leave to call, which is told when the server says anything.
    pub(super) pass: Option<&'a Pass>,
}

impl<'a> Request<'a> {
    pub(super) fn own(method: &'a str, params: Map<String, Value>, talk: &'a Talk) -> Self {
        Self {
            method,
            params,
            name: None,
            headers: Vec::new(),
            bytes_max: OWN_BYTES_MAX,
            limit: Duration::from_secs(10),
            talk,
            pass: None,
        }
    }

    /// The server is there: it says something, however long its answer takes from here on.
    pub(super) fn begun(&self) {
        if let Some(pass) = self.pass {
            pass.begun();
        }
    }

    /// Whether the server may get it twice.
    fn repeatable(&self) -> bool {
        self.method != "tools/call"
    }
}

/// What went wrong, and whether the server certainly did not do anything.
enum Trouble {
    /// The session is over: it was not looked at.
    SessionLost,
    Failed(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

pub(super) struct Http {
    client: Client,
    url: String,
    sessions: Sessions,
    /// One connects, the others wait for it.
    connecting: Mutex<()>,
    next_id: AtomicU64,
    news: broadcast::Sender<News>,
}

impl Http {
    pub(super) fn new(client: Client, url: String, news: broadcast::Sender<News>) -> Self {
        Self {
            sessions: Sessions::new(),
            client,
            url,
            connecting: Mutex::new(()),
            next_id: AtomicU64::new(1),
            news,
        }
    }

    /// Makes a request, in a session that is opened where there is none. A session that the server has forgotten is
    /// opened anew once: the server refused the request without looking at it.
    pub(super) async fn request(self: &Arc<Self>, request: Request<'_>) -> Result<Answer, Failure> {
        let mut deadline = Deadline::new(request.limit);
        for _ in 0..2 {
            let session = deadline.within(self.session(request.talk)).await??;
            match self.post(&session, &request, &mut deadline).await {
                Ok(answer) => return Ok(answer),
                Err(Trouble::Failed(failure)) => return Err(failure),
                Err(Trouble::SessionLost) => {
                    self.sessions.forget(&session);
                    // A server that did it and then says that it knows no session must not get it twice.
                    if !request.repeatable() {
                        return Err(Failure::SessionLost);
                    }
                }
            }
        }
        Err(Failure::Unreachable)
    }

    /// Whether the server has the extension for tasks.
    pub(super) fn makes_tasks(&self) -> bool {
        self.sessions.makes_tasks()
    }

    /// What was known of the server may not be so any more.
    pub(super) fn doubt(&self) {
        self.sessions.doubt();
    }

    fn tell(&self, news: News) {
        // Nobody listens: nobody misses it.
        let _ = self.news.send(news);
    }

    /// Sends what gets no answer.
    async fn say(&self, session: &Session, message: &Value) -> Result<(), Failure> {
        let request = self.client.post(&self.url).header(ACCEPT, BOTH);
        let request = addressed(request, session).json(message);
        tokio::time::timeout(SAY_TIMEOUT, self.client.send(request))
            .await
            .map_err(|_| Failure::Timeout)?
            .map(drop)
    }

    fn message(&self, session: &Session, request: &Request<'_>, id: u64) -> RequestBuilder {
        let post = addressed(self.client.post(&self.url).header(ACCEPT, BOTH), session);
        let params = request.params.clone();
        let (mut post, params) = match session.era {
            Era::Legacy => (post, rpc::legacy_params(params, request.talk, id)),
            Era::Modern => (
                post.header("mcp-method", request.method),
                rpc::modern_params(params, request.talk, id),
            ),
        };
        if session.era == Era::Modern {
            if let Some(name) = request.name {
                post = post.header("mcp-name", crate::wire_header::written(name));
            }
            for (name, value) in &request.headers {
                post = post.header(name, value);
            }
        }
        post.json(&rpc::request(id, request.method, params))
    }

    async fn post(
        &self,
        session: &Session,
        request: &Request<'_>,
        deadline: &mut Deadline,
    ) -> Result<Answer, Trouble> {
        if let Some(level) = session.level_to_tell(request.talk) {
            let told = Box::pin(self.set_level(session, level));
            deadline.within(told).await?;
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (words, said) = mpsc::channel(WORDS_WAITING);
        let _waits = session.wait(id, words);
        // Beside the exchange, whose time runs on meanwhile.
        let telling = self.tell_all(session, request, said, id, deadline.pauses());
        tokio::select! {
            biased;
            ended = self.exchange(session, request, deadline, id) => ended,
            () = telling => Err(Failure::Broken.into()),
        }
    }

    /// Sends a request and reads its answer.
    async fn exchange(
        &self,
        session: &Session,
        request: &Request<'_>,
        deadline: &mut Deadline,
        id: u64,
    ) -> Result<Answer, Trouble> {
        let sent = self.client.send(self.message(session, request, id));
        let mut unanswered = self.unanswered(session, request, id);
        let response = deadline.within(sent).await??;
        match response.status() {
            status if status.is_success() => request.begun(),
            StatusCode::NOT_FOUND if session.id.is_some() => {
                unanswered.0 = None;
                return Err(Trouble::SessionLost);
            }
            // Some servers answer in JSON-RPC with an HTTP error.
            status if (status.is_client_error() || status.is_server_error()) && json(&response) => {
            }
            _ => return Err(refused(&response).into()),
        }
        let without = refused(&response);
        let answer = self.answer(session, response, id, request, deadline).await;
        // JSON, but no JSON-RPC: whatever stands in front of the server, or it broke down.
        let answer = answer.map_err(|failure| match failure {
            Failure::Invalid => without,
            other => other,
        })?;
        unanswered.0 = None;
        Ok(answer)
    }

    /// A request that is given up is cancelled at its server: in the stateless revision by closing its stream, in the
    /// older ones by saying so.
    fn unanswered(&self, session: &Session, request: &Request<'_>, id: u64) -> Unanswered {
        if session.era == Era::Modern || request.method == "initialize" {
            return Unanswered(None);
        }
        let params = Map::from_iter([("requestId".to_owned(), id.into())]);
        let cancelled = rpc::notification("notifications/cancelled", params);
        let post = self.client.post(&self.url).header(ACCEPT, BOTH);
        Unanswered(Some((
            self.client.clone(),
            addressed(post, session).json(&cancelled),
        )))
    }

    async fn answer(
        &self,
        session: &Session,
        response: Response,
        id: u64,
        request: &Request<'_>,
        deadline: &mut Deadline,
    ) -> Result<Answer, Failure> {
        if response
            .content_length()
            .is_some_and(|length| length > request.bytes_max)
        {
            return Err(Failure::TooLarge);
        }
        if json(&response) {
            return deadline
                .within(one(response, id, request.bytes_max))
                .await?;
        }
        if !content_type(&response).starts_with("text/event-stream") {
            return Err(Failure::Invalid);
        }
        let mut events = events::Events::new(response, request.bytes_max);
        let mut asked = Asked::default();
        let (mut left_at, mut in_vain) = (None, 0_usize);
        loop {
            let ended = self
                .stream(session, &mut events, id, request, deadline, &mut asked)
                .await;
            let broke_off = matches!(ended, Err(Failure::Broken)) && !asked.in_vain;
            if !broke_off || session.era == Era::Modern {
                return ended;
            }
            let last = events.last_id.clone();
            // However often a server lets go of a long call: where something comes of each time, it goes on.
            in_vain = match left_at == last {
                true => in_vain.saturating_add(1),
                false => 0,
            };
            if in_vain >= RESUMES_MAX {
                return ended;
            }
            left_at.clone_from(&last);
            let last = last.ok_or(Failure::Broken)?;
            self.take_up(session, &mut events, last, deadline).await?;
        }
    }

    /// Takes a stream that broke off up again, where it was left.
    async fn take_up(
        &self,
        session: &Session,
        events: &mut events::Events,
        last: String,
        deadline: &mut Deadline,
    ) -> Result<(), Failure> {
        let pause = events.retry.unwrap_or(RETRY).clamp(RETRY_MIN, RETRY_MAX);
        deadline.within(tokio::time::sleep(pause)).await?;
        let get = self
            .client
            .get(&self.url)
            .header(ACCEPT, "text/event-stream");
        let again = addressed(get, session).header("last-event-id", last);
        let again = self.client.send(again);
        let response = deadline.within(again).await?.map_err(under_way)?;
        if !response.status().is_success() {
            return Err(Failure::Broken);
        }
        events.resume(response);
        Ok(())
    }

    /// Reads an event stream up to the answer.
    async fn stream(
        &self,
        session: &Session,
        events: &mut events::Events,
        id: u64,
        request: &Request<'_>,
        deadline: &mut Deadline,
        questions: &mut Asked,
    ) -> Result<Answer, Failure> {
        let mut kept = VecDeque::new();
        loop {
            let next = match kept.pop_front() {
                Some(next) => next,
                None => deadline.within(word(events)).await?,
            };
            let Some((next, bytes)) = next? else {
                return Err(Failure::Broken);
            };
            match next {
                Incoming::Answer(of, reply) if of == id => return Ok(Answer { reply, bytes }),
                // The stream is about one request.
                Incoming::Unreadable(error) => {
                    let reply = Reply::Error(error);
                    return Ok(Answer { reply, bytes });
                }
                Incoming::Ping(question) => {
                    let pong = pong(&question);
                    let said = deadline.within(self.say(session, &pong)).await?;
                    said.map_err(|failure| questions.lost(failure))?;
                }
                Incoming::Question(question, said) => {
                    questions.count = questions.count.saturating_add(1);
                    if questions.count > QUESTIONS_MAX || session.era == Era::Modern {
                        return Err(Failure::Invalid);
                    }
                    let asking = (&question, said);
                    let reply = asked(request.talk, asking, events, id, &mut kept).await;
                    if let Some(reply) = reply {
                        let reply = rpc::reply(&question, reply);
                        let said = deadline.within(self.say(session, &reply)).await?;
                        said.map_err(|failure| questions.lost(failure))?;
                    }
                }
                Incoming::Note(said) => {
                    self.tell_status(&said);
                    deadline.within(request.talk.note(said, id)).await?;
                }
                Incoming::News(news) => self.tell(news),
                Incoming::Answer(..) | Incoming::Withdrawn(_) | Incoming::Other => {}
            }
        }
    }
}

/// A request without an answer: dropped, it tells the server.
struct Unanswered(Option<(Client, RequestBuilder)>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some((client, cancelled)) = self.0.take() {
            client.part(cancelled);
        }
    }
}

/// What a server asked on the streams of one request.
#[derive(Default)]
struct Asked {
    count: usize,
    /// A reply did not get there. The server waits for it: nothing comes of its stream any more.
    in_vain: bool,
}

impl Asked {
    fn lost(&mut self, failure: Failure) -> Failure {
        self.in_vain = true;
        under_way(failure)
    }
}

/// What it comes to if something fails that is sent about a request that the server has: by itself it may say that nothing
/// was sent. What we could not even send is no fault of the server.
fn under_way(failure: Failure) -> Failure {
    match failure {
        Failure::NoCredential | Failure::Unsendable => Failure::Stranded,
        _ => Failure::Broken,
    }
}

/// What a response without an answer comes to.
fn refused(response: &Response) -> Failure {
    match response.status() {
        StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS => Failure::Refused,
        status if status.is_server_error() => Failure::ServerError,
        _ => Failure::Invalid,
    }
}

fn addressed(request: RequestBuilder, session: &Session) -> RequestBuilder {
    let request = request.header(VERSION, session.version.clone());
    match &session.id {
        Some(id) => request.header(SESSION_ID, id.clone()),
        None => request,
    }
}

fn pong(id: &Value) -> Value {
    rpc::reply(id, Reply::Result(Map::new()))
}

fn nobody(id: &Value) -> Value {
    rpc::reply(
        id,
        super::talk::declined(-32601, "this belongs to no request of a client"),
    )
}

/// In small letters: media types are the same in any (RFC 9110, section 8.3.1).
fn content_type(response: &Response) -> String {
    let value = response.headers().get(CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_ascii_lowercase()
}

fn json(response: &Response) -> bool {
    content_type(response).starts_with("application/json")
}

/// Reads one JSON answer, never more than the limit.
async fn one(mut response: Response, id: u64, bytes_max: u64) -> Result<Answer, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        let size = body.len().saturating_add(chunk.len());
        if u64::try_from(size).unwrap_or(u64::MAX) > bytes_max {
            return Err(Failure::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
    match rpc::read(&body)? {
        Incoming::Answer(of, reply) if of == id => Ok(Answer { reply, bytes }),
        Incoming::Unreadable(error) => Ok(Answer {
            reply: Reply::Error(error),
            bytes,
        }),
        _ => Err(Failure::Invalid),
    }
}

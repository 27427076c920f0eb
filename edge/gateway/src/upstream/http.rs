//! MCP over streamable HTTP, as its client: both families of revisions, JSON and SSE answers.

mod hear;
mod listen;

use super::client::{Client, failure};
use super::rpc::{self, Era, Failure, Incoming, News};
use super::session::{Session, Sessions};
use super::talk::{Deadline, QUESTIONS_MAX, Talk, WORDS_WAITING};
use super::{Answer, Reply, events, task};
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
/// How often a stream that broke off is taken up again.
const RESUMES_MAX: usize = 5;
/// How long we wait before, where the server says nothing, and at most.
const RETRY: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// How long a server may take to take what gets no answer.
const SAY_TIMEOUT: Duration = Duration::from_secs(10);

/// The error of a server that does not speak the version of a request (MCP 2026-07-28).
const UNSUPPORTED_VERSION: i64 = -32022;

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

    /// Whether the server has to be asked for each resource that is to be watched.
    pub(super) async fn subscribes(self: &Arc<Self>, talk: &Talk) -> bool {
        matches!(self.session(talk).await, Ok(session) if session.era == Era::Legacy)
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

    async fn session(self: &Arc<Self>, talk: &Talk) -> Result<Arc<Session>, Failure> {
        if let Some(session) = self.sessions.get(talk) {
            return Ok(session);
        }
        let _connecting = self.connecting.lock().await;
        if let Some(session) = self.sessions.get(talk) {
            return Ok(session);
        }
        let session = match self.sessions.is_known_legacy() {
            true => None,
            false => self.discover(talk).await?,
        };
        let session = match session {
            Some(session) => session,
            None => self.initialize(talk).await?,
        };
        let session = self.sessions.put(talk, session);
        if talk.words.is_some() {
            self.overhear(&session).await;
        }
        Ok(session)
    }

    /// Whether the server speaks the stateless revision: anything but a clear yes is a no.
    async fn discover(&self, talk: &Talk) -> Result<Option<Session>, Failure> {
        let session = Session::modern();
        let silent = Talk::silent(&talk.who);
        let request = Request::own("server/discover", Map::new(), &silent);
        let mut deadline = Deadline::new(request.limit);
        // A server that refuses the version and names it as one that it supports is asked once more.
        for _ in 0..2 {
            match self.post(&session, &request, &mut deadline).await {
                Ok(Answer {
                    reply: Reply::Result(result),
                    ..
                }) => {
                    let modern = supports("supportedVersions", &result);
                    let tasks = task::declared(result.get("capabilities"));
                    self.sessions.note_tasks(modern && tasks);
                    return Ok(modern.then_some(session));
                }
                Ok(Answer {
                    reply: Reply::Error(error),
                    ..
                }) if names_ours(&error) => {}
                Err(Trouble::Failed(
                    failure @ (Failure::Unreachable | Failure::Broken | Failure::Timeout),
                )) => return Err(failure),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    async fn initialize(&self, talk: &Talk) -> Result<Session, Failure> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let body = rpc::request(id, "initialize", rpc::initialize_params(&talk.capabilities));
        let post = self.client.post(&self.url).header(ACCEPT, BOTH).json(&body);
        let silent = Talk::silent(&talk.who);
        let request = Request::own("initialize", Map::new(), &silent);
        let mut deadline = Deadline::new(request.limit);
        // Others wait for it, too: whoever is here holds the lock.
        let response = deadline.within(self.client.send(post)).await??;
        if !response.status().is_success() {
            return Err(refused(&response));
        }
        let session_id = response.headers().get(SESSION_ID).cloned();
        let nowhere = Session::legacy(HeaderValue::from_static(rpc::LEGACY_VERSION), None);
        let answer = self
            .answer(&nowhere, response, id, &request, &mut deadline)
            .await?;
        let result = rpc::result(answer)?;
        let version = result
            .get("protocolVersion")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let version = rpc::LEGACY_VERSIONS
            .iter()
            .find(|known| **known == version)
            .ok_or(Failure::Invalid)?;
        let version = HeaderValue::from_static(version);
        let session = Session::legacy(version, session_id).ended_by(&self.client, &self.url);
        let initialized = rpc::notification("notifications/initialized", Map::new());
        self.say(&session, &initialized).await?;
        Ok(session)
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
            status if status.is_success() => {}
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
        let mut questions = 0_usize;
        for _ in 0..RESUMES_MAX {
            let ended = self
                .stream(session, &mut events, id, request, deadline, &mut questions)
                .await;
            match ended {
                Err(Failure::Broken) => {
                    let last = events
                        .last_id
                        .clone()
                        .filter(|_| session.era == Era::Legacy);
                    let last = last.ok_or(Failure::Broken)?;
                    let pause = events.retry.unwrap_or(RETRY).min(RETRY_MAX);
                    deadline.within(tokio::time::sleep(pause)).await?;
                    let get = self
                        .client
                        .get(&self.url)
                        .header(ACCEPT, "text/event-stream");
                    let again = addressed(get, session).header("last-event-id", last);
                    let again = self.client.send(again);
                    let response = deadline.within(again).await??;
                    if !response.status().is_success() {
                        return Err(Failure::Broken);
                    }
                    events.resume(response);
                }
                ended => return ended,
            }
        }
        Err(Failure::Broken)
    }

    /// Reads an event stream up to the answer.
    async fn stream(
        &self,
        session: &Session,
        events: &mut events::Events,
        id: u64,
        request: &Request<'_>,
        deadline: &mut Deadline,
        questions: &mut usize,
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
                Incoming::Ping(question) => {
                    deadline
                        .within(self.say(session, &pong(&question)))
                        .await??
                }
                Incoming::Question(question, said) => {
                    *questions = questions.saturating_add(1);
                    if *questions > QUESTIONS_MAX || session.era == Era::Modern {
                        return Err(Failure::Invalid);
                    }
                    let asking = (&question, said);
                    let reply = asked(request.talk, asking, events, id, &mut kept).await;
                    if let Some(reply) = reply {
                        let reply = rpc::reply(&question, reply);
                        deadline.within(self.say(session, &reply)).await??;
                    }
                }
                Incoming::Note(said) => {
                    self.tell_status(&said);
                    deadline.within(request.talk.note(said, id)).await?;
                }
                Incoming::News(news) => self.tell(news),
                Incoming::Answer(..)
                | Incoming::Unreadable(_)
                | Incoming::Withdrawn(_)
                | Incoming::Other => {}
            }
        }
    }
}

/// Whether the stateless revision is among the versions that this member lists.
fn supports(member: &str, of: &Map<String, Value>) -> bool {
    let versions = of.get(member).and_then(Value::as_array);
    let ours = |version: &Value| version.as_str() == Some(rpc::MODERN_VERSION);
    versions.is_some_and(|versions| versions.iter().any(ours))
}

/// Whether an error says that the version is not supported, and then that it is.
fn names_ours(error: &Map<String, Value>) -> bool {
    let data = error.get("data").and_then(Value::as_object);
    error.get("code").and_then(Value::as_i64) == Some(UNSUPPORTED_VERSION)
        && data.is_some_and(|data| supports("supported", data))
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

/// What a response without an answer comes to.
fn refused(response: &Response) -> Failure {
    match response.status().is_server_error() {
        true => Failure::ServerError,
        false => Failure::Invalid,
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

fn content_type(response: &Response) -> &str {
    response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::super::Vault;
    use super::super::client::{Reach, Spec, builder};
    use super::super::talk::Word;
    use super::*;
    use axum::Json;
    use axum::response::IntoResponse;
    use axum::routing::get;
    use serde_json::json;

    fn http(url: String) -> Arc<Http> {
        let spec = Spec {
            auth: None,
            tls: None,
            reach: Reach::Neighbours,
        };
        let plain = builder(Reach::Neighbours).build().unwrap();
        let client = Client::new(plain, spec, Arc::new(Vault::default()));
        Arc::new(Http::new(client, url, broadcast::channel(1).0))
    }

    /// Opens a session, says one thing after the other on its stream, and never answers a call.
    async fn babbles(Json(request): Json<Value>) -> axum::response::Response {
        let result = match request["method"].as_str() {
            Some("initialize") => json!({ "protocolVersion": "2025-11-25", "capabilities": {} }),
            Some("tools/call") => std::future::pending().await,
            _ => return axum::http::StatusCode::ACCEPTED.into_response(),
        };
        let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result });
        ([(SESSION_ID, "s")], Json(answer)).into_response()
    }

    async fn words() -> axum::response::Response {
        let line = json!({ "jsonrpc": "2.0", "method": "notifications/message",
            "params": { "level": "info", "data": "x" } });
        let event = axum::body::Bytes::from(format!("data: {line}\n\n"));
        let events = futures::stream::unfold(event, |event| async {
            tokio::task::yield_now().await;
            Some((Ok::<_, std::io::Error>(event.clone()), event))
        });
        let body = axum::body::Body::from_stream(events);
        ([("content-type", "text/event-stream")], body).into_response()
    }

    #[tokio::test]
    async fn a_client_that_does_not_listen_gives_the_server_no_time() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = http(format!("http://{}/", listener.local_addr().unwrap()));
        let router = axum::Router::new().route("/", get(words).post(babbles));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let (words, _nobody_takes_them) = mpsc::channel(1);
        let talk = Talk {
            words: Some(words),
            ..Talk::silent("root/")
        };
        http.session(&talk).await.unwrap();
        let mut request = Request::own("tools/call", Map::new(), &talk);
        request.limit = Duration::from_millis(300);
        let answer = Box::pin(http.request(request));
        let answer = tokio::time::timeout(Duration::from_secs(20), answer).await;
        assert_eq!(answer.unwrap().unwrap_err(), Failure::Timeout);
    }

    /// Opens a session; asks something before it answers a call, goes on talking, and takes it back, if the call says so.
    async fn asks(Json(request): Json<Value>) -> axum::response::Response {
        let id = &request["id"];
        let begun = json!({ "protocolVersion": "2025-11-25", "capabilities": {} });
        let messages = match request["method"].as_str() {
            Some("initialize") => vec![json!({ "id": id, "result": begun })],
            Some("tools/call") => {
                let back =
                    json!({ "method": "notifications/cancelled", "params": { "requestId": "q" } });
                let line = json!({ "method": "notifications/message", "params": { "level": "info", "data": "x" } });
                let mut messages = vec![json!({ "id": "q", "method": "roots/list" }), line];
                messages.extend(Some(back).filter(|_| request["params"]["takes_back"] == true));
                messages.push(json!({ "id": id, "result": { "said": "done" } }));
                messages
            }
            _ => return axum::http::StatusCode::ACCEPTED.into_response(),
        };
        let events = messages
            .iter()
            .map(|message| format!("data: {message}\n\n"));
        let events: String = events.collect();
        ([("content-type", "text/event-stream")], events).into_response()
    }

    #[tokio::test]
    async fn a_question_that_is_taken_back_or_answered_without_holds_nothing_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = http(format!("http://{}/", listener.local_addr().unwrap()));
        let router = axum::Router::new().route("/", axum::routing::post(asks));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let (words, mut taken) = mpsc::channel(4);
        let talk = Talk {
            words: Some(words),
            capabilities: Talk::all_askable(),
            ..Talk::silent("root/")
        };
        for takes_back in [true, false] {
            let params = Map::from_iter([("takes_back".to_owned(), takes_back.into())]);
            let answer = http.request(Request::own("tools/call", params, &talk));
            let answer = tokio::time::timeout(Duration::from_secs(20), Box::pin(answer)).await;
            let answer = answer.unwrap().unwrap();
            assert_eq!(rpc::result(answer).unwrap()["said"], "done");
            let Some(Word::Question(_, reply)) = taken.recv().await else {
                panic!("no question")
            };
            assert!(reply.is_closed(), "nobody waits for the reply");
            let mut after = Vec::new();
            while let Ok(word) = taken.try_recv() {
                after.push(word);
            }
            let notes = after.iter().filter(|word| matches!(word, Word::Note(_)));
            assert_eq!(notes.count(), 1, "what it said meanwhile is not lost");
        }
    }

    /// Refuses the version that it names as its own, so many times.
    async fn discovered(refusals: u64) -> Option<Era> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = http(format!("http://{}/", listener.local_addr().unwrap()));
        let asked = Arc::new(AtomicU64::new(0));
        let answer = async move |Json(request): Json<Value>| {
            let id = &request["id"];
            if asked.fetch_add(1, Ordering::Relaxed) >= refusals {
                let result = json!({ "supportedVersions": ["2026-07-28"] });
                return Json(json!({ "jsonrpc": "2.0", "id": id, "result": result }))
                    .into_response();
            }
            let data = json!({ "supported": ["2026-07-28"], "requested": "2026-07-28" });
            let error = json!({ "code": -32022, "message": "no such version", "data": data });
            let body = Json(json!({ "jsonrpc": "2.0", "id": id, "error": error }));
            (StatusCode::BAD_REQUEST, body).into_response()
        };
        let router = axum::Router::new().route("/", axum::routing::post(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let session = http.discover(&Talk::silent("root/")).await.unwrap();
        session.map(|session| session.era)
    }

    #[tokio::test]
    async fn a_server_that_refuses_its_own_version_is_asked_once_more() {
        assert_eq!(discovered(0).await, Some(Era::Modern));
        assert_eq!(discovered(1).await, Some(Era::Modern));
        assert_eq!(discovered(2).await, None);
    }

    /// A server that takes the first request and never answers.
    #[tokio::test]
    async fn a_server_that_does_not_begin_locks_nobody_out() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = http(format!("http://{}/", listener.local_addr().unwrap()));
        // Known to be of the older revisions: it begins with `initialize`.
        http.sessions.put(
            &Talk::silent("other/"),
            Session::legacy(HeaderValue::from_static(rpc::LEGACY_VERSION), None),
        );
        let first = Arc::clone(&http);
        // As the task that listens does, without a limit of its own.
        let first = tokio::spawn(async move { first.session(&Talk::silent("root/")).await.err() });
        let _taken = listener.accept().await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(20), first).await;
        assert_eq!(ended.unwrap().unwrap(), Some(Failure::Timeout));
    }
}

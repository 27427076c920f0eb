//! MCP over streamable HTTP, as its client: both families of revisions, JSON and SSE answers.

use super::rpc::{self, Era, Failure, Incoming};
use super::{Answer, Reply};
use arc_swap::ArcSwapOption;
use futures::StreamExt;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Response, StatusCode};
use serde_json::{Map, Value};
use sse_stream::SseStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;

const SESSION_ID: &str = "mcp-session-id";
const VERSION: &str = "mcp-protocol-version";
/// Questions of a server that are answered in one stream.
const QUESTIONS_MAX: usize = 16;
/// Largest answer to the requests that we make for ourselves, in bytes.
const OWN_BYTES_MAX: u64 = 16 * 1024 * 1024;

struct Session {
    era: Era,
    version: HeaderValue,
    id: Option<HeaderValue>,
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
    client: reqwest::Client,
    url: String,
    session: ArcSwapOption<Session>,
    /// One connects, the others wait for it.
    connecting: Mutex<()>,
    next_id: AtomicU64,
    /// Called when the server says that its tools changed.
    changed: Arc<tokio::sync::Notify>,
}

impl Http {
    pub(super) fn new(
        client: reqwest::Client,
        url: String,
        changed: Arc<tokio::sync::Notify>,
    ) -> Self {
        Self {
            client,
            url,
            session: ArcSwapOption::empty(),
            connecting: Mutex::new(()),
            next_id: AtomicU64::new(1),
            changed,
        }
    }

    /// Makes a request, in a session that is opened where there is none. A session that the server has forgotten is
    /// opened anew once: the server refused the request without looking at it.
    pub(super) async fn request(
        &self,
        method: &str,
        params: &Map<String, Value>,
        bytes_max: u64,
    ) -> Result<Answer, Failure> {
        for _ in 0..2 {
            let session = self.session().await?;
            match self.post(&session, method, params.clone(), bytes_max).await {
                Ok(answer) => return Ok(answer),
                Err(Trouble::Failed(failure)) => return Err(failure),
                Err(Trouble::SessionLost) => {
                    self.forget(&session);
                    // A server that did it and then says that it knows no session must not get it twice.
                    if method == "tools/call" {
                        return Err(Failure::Broken);
                    }
                }
            }
        }
        Err(Failure::Unreachable)
    }

    fn forget(&self, session: &Arc<Session>) {
        let current = self.session.load();
        if current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, session))
        {
            self.session.store(None);
        }
    }

    async fn session(&self) -> Result<Arc<Session>, Failure> {
        if let Some(session) = self.session.load_full() {
            return Ok(session);
        }
        let _connecting = self.connecting.lock().await;
        if let Some(session) = self.session.load_full() {
            return Ok(session);
        }
        let session = Arc::new(match self.discover().await? {
            Some(session) => session,
            None => self.initialize().await?,
        });
        self.session.store(Some(Arc::clone(&session)));
        Ok(session)
    }

    /// Whether the server speaks the stateless revision: anything but a clear yes is a no.
    async fn discover(&self) -> Result<Option<Session>, Failure> {
        let session = Session {
            era: Era::Modern,
            version: HeaderValue::from_static(rpc::MODERN_VERSION),
            id: None,
        };
        match self
            .post(&session, "server/discover", Map::new(), OWN_BYTES_MAX)
            .await
        {
            Ok(Answer {
                reply: Reply::Result(result),
                ..
            }) => {
                let supported = result.get("supportedVersions").and_then(Value::as_array);
                let ours = |version: &Value| version.as_str() == Some(rpc::MODERN_VERSION);
                Ok(supported
                    .is_some_and(|versions| versions.iter().any(ours))
                    .then_some(session))
            }
            Err(Trouble::Failed(
                failure @ (Failure::Unreachable | Failure::Broken | Failure::Timeout),
            )) => Err(failure),
            _ => Ok(None),
        }
    }

    async fn initialize(&self) -> Result<Session, Failure> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let body = rpc::request(id, "initialize", rpc::initialize_params());
        let request = self
            .client
            .post(&self.url)
            .header(ACCEPT, "application/json, text/event-stream")
            .json(&body);
        let response = request.send().await.map_err(failure)?;
        if !response.status().is_success() {
            return Err(Failure::Invalid);
        }
        let session_id = response.headers().get(SESSION_ID).cloned();
        let nowhere = Session {
            era: Era::Legacy,
            version: HeaderValue::from_static(rpc::LEGACY_VERSION),
            id: None,
        };
        let answer = self.answer(&nowhere, response, id, OWN_BYTES_MAX).await?;
        let result = rpc::result(answer)?;
        let version = result
            .get("protocolVersion")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let version = rpc::LEGACY_VERSIONS
            .iter()
            .find(|known| **known == version)
            .ok_or(Failure::Invalid)?;
        let session = Session {
            era: Era::Legacy,
            version: HeaderValue::from_static(version),
            id: session_id,
        };
        self.say(
            &session,
            &rpc::notification("notifications/initialized", Map::new()),
        )
        .await?;
        Ok(session)
    }

    /// Sends what gets no answer.
    async fn say(&self, session: &Session, message: &Value) -> Result<(), Failure> {
        let request = self
            .client
            .post(&self.url)
            .header(ACCEPT, "application/json, text/event-stream");
        self.headers(request, session)
            .json(message)
            .send()
            .await
            .map(drop)
            .map_err(failure)
    }

    fn headers(
        &self,
        request: reqwest::RequestBuilder,
        session: &Session,
    ) -> reqwest::RequestBuilder {
        let request = request.header(VERSION, session.version.clone());
        match &session.id {
            Some(id) => request.header(SESSION_ID, id.clone()),
            None => request,
        }
    }

    async fn post(
        &self,
        session: &Session,
        method: &str,
        params: Map<String, Value>,
        bytes_max: u64,
    ) -> Result<Answer, Trouble> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut request = self
            .client
            .post(&self.url)
            .header(ACCEPT, "application/json, text/event-stream");
        request = self.headers(request, session);
        let params = match session.era {
            Era::Legacy => params,
            Era::Modern => {
                request = request.header("mcp-method", method);
                if let Some(name) = params.get("name").and_then(Value::as_str) {
                    request = request.header("mcp-name", name);
                }
                rpc::modern_params(params)
            }
        };
        let response = request
            .json(&rpc::request(id, method, params))
            .send()
            .await
            .map_err(failure)?;
        match response.status() {
            status if status.is_success() => {}
            StatusCode::NOT_FOUND if session.id.is_some() => return Err(Trouble::SessionLost),
            // Some servers answer in JSON-RPC with an HTTP error.
            status if (status.is_client_error() || status.is_server_error()) && json(&response) => {
            }
            _ => return Err(Failure::Invalid.into()),
        }
        Ok(self.answer(session, response, id, bytes_max).await?)
    }

    async fn answer(
        &self,
        session: &Session,
        response: Response,
        id: u64,
        bytes_max: u64,
    ) -> Result<Answer, Failure> {
        if response
            .content_length()
            .is_some_and(|length| length > bytes_max)
        {
            return Err(Failure::TooLarge);
        }
        if json(&response) {
            return one(response, id, bytes_max).await;
        }
        if !content_type(&response).starts_with("text/event-stream") {
            return Err(Failure::Invalid);
        }
        self.stream(session, response, id, bytes_max).await
    }

    /// Reads an event stream up to the answer.
    async fn stream(
        &self,
        session: &Session,
        response: Response,
        id: u64,
        bytes_max: u64,
    ) -> Result<Answer, Failure> {
        let mut bytes = 0_u64;
        let limited = response.bytes_stream().map(move |chunk| {
            let chunk = chunk.map_err(failure)?;
            bytes = bytes.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
            if bytes > bytes_max {
                Err(Failure::TooLarge)
            } else {
                Ok(chunk)
            }
        });
        // The decoder hides the error of the stream below it: keep it.
        let stopped = Arc::new(std::sync::Mutex::new(Failure::Broken));
        let keep = Arc::clone(&stopped);
        let limited = limited.map(move |chunk| {
            chunk.map_err(|failure| {
                *keep
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner) = failure;
                std::io::Error::other("stopped")
            })
        });
        let mut events = Box::pin(SseStream::from_bytes_stream(limited));
        let mut questions = 0_usize;
        while let Some(event) = events.next().await {
            let stop = || {
                *stopped
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
            };
            let Some(data) = event.map_err(|_| stop())?.data else {
                continue;
            };
            if data.is_empty() {
                continue;
            }
            match rpc::read(data.as_bytes())? {
                Incoming::Answer(of, reply) if of == id => {
                    return Ok(Answer {
                        reply,
                        bytes: u64::try_from(data.len()).unwrap_or(u64::MAX),
                    });
                }
                Incoming::Question(reply) => {
                    questions = questions.saturating_add(1);
                    if questions > QUESTIONS_MAX {
                        return Err(Failure::Invalid);
                    }
                    self.say(session, &reply).await?;
                }
                Incoming::ToolsChanged => self.changed.notify_one(),
                Incoming::Answer(..) | Incoming::Unreadable(_) | Incoming::Other => {}
            }
        }
        Err(Failure::Broken)
    }
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
    while let Some(chunk) = response.chunk().await.map_err(failure)? {
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

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn failure(error: reqwest::Error) -> Failure {
    if error.is_timeout() {
        Failure::Timeout
    } else if error.is_connect() {
        Failure::Unreachable
    } else {
        Failure::Broken
    }
}

//! How it is found out which revisions a server speaks, and sessions of the older ones begin.

use super::{BOTH, Http, Request, SESSION_ID, Trouble, refused};
use crate::upstream::rpc::{self, Failure};
use crate::upstream::session::Session;
use crate::upstream::talk::{Deadline, Talk};
use crate::upstream::{Answer, Reply, task};
use reqwest::header::{ACCEPT, HeaderValue};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The error of a server that does not speak the version of a request (MCP 2026-07-28).
const UNSUPPORTED_VERSION: i64 = -32022;
/// How long a request waits until its server has taken a level for log lines.
const LEVEL_TIMEOUT: Duration = Duration::from_secs(2);

impl Http {
    pub(super) async fn session(self: &Arc<Self>, talk: &Talk) -> Result<Arc<Session>, Failure> {
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
    pub(super) async fn discover(&self, talk: &Talk) -> Result<Option<Session>, Failure> {
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
        let logging = result
            .get("capabilities")
            .and_then(|all| all.get("logging"));
        let session = Session::legacy(version, session_id)
            .ended_by(&self.client, &self.url)
            .with_levels(logging.is_some_and(Value::is_object));
        let initialized = rpc::notification("notifications/initialized", Map::new());
        self.say(&session, &initialized).await?;
        Ok(session)
    }
}

impl Http {
    /// Tells a server of the older revisions from which level on its client wants log lines. What it says below that is not
    /// passed on anyway, so that it is told once, whatever comes of it: no other request waits for that.
    pub(super) async fn set_level(&self, session: &Session, level: String) {
        session.note_level(level.clone());
        let silent = Talk::silent("");
        let params = Map::from_iter([("level".to_owned(), Value::from(level))]);
        let request = Request::own("logging/setLevel", params, &silent);
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut deadline = Deadline::new(LEVEL_TIMEOUT);
        drop(self.exchange(session, &request, &mut deadline, id).await);
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

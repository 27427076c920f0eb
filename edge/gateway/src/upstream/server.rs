//! One tool server of one tenant: how many calls at once, how long, how large; and whether its tools still are what
//! was approved.

pub(crate) use super::rpc::Failure;

use super::http::Http;
use super::stdio::Stdio;
use super::{Answer, rpc};
use proctor_model::catalogue::{ToolDefinition, ToolServer, Upstream};
use proctor_model::{ToolName, ToolRef};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// Calls at once to one server of one tenant.
const CALLS_MAX: usize = 256;
/// How often the definitions are compared with what was approved.
const COMPARE: Duration = Duration::from_secs(15);
/// The same after it failed.
const COMPARE_AGAIN: Duration = Duration::from_secs(2);
/// How long listing the tools may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of all pages of a list together.
const LIST_BYTES_MAX: u64 = 16 * 1024 * 1024;
const LIST_PAGES_MAX: usize = 64;
/// Least time between two lists.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// How long a server that can't be asked is still called by what it showed last.
const UNSEEN_MAX: Duration = Duration::from_secs(60);

enum Transport {
    Http(Http),
    Stdio(Stdio),
}

/// What outlives a change of the catalogue.
struct Link {
    transport: Transport,
    calls: Semaphore,
    changed: Arc<Notify>,
    watched: AtomicBool,
    /// Digests of the tools as the server shows them now; none before it was ever asked.
    shown: RwLock<Option<HashMap<ToolName, String>>>,
    asked: watch::Sender<bool>,
    /// Whether what the server shows is known well enough to call it.
    seen: AtomicBool,
    stop: CancellationToken,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A tool server.
pub(crate) struct Server {
    spec: ToolServer,
    approved: HashMap<ToolName, String>,
    link: Arc<Link>,
}

fn approved(spec: &ToolServer) -> HashMap<ToolName, String> {
    let entries = spec.tools.iter();
    entries
        .map(|entry| (entry.definition.name.clone(), entry.definition.digest()))
        .collect()
}

impl Server {
    pub(super) fn new(spec: ToolServer, client: &reqwest::Client, stop: CancellationToken) -> Self {
        let changed = Arc::new(Notify::new());
        let transport = match &spec.upstream {
            Upstream::McpHttp { url } => {
                Transport::Http(Http::new(client.clone(), url.clone(), Arc::clone(&changed)))
            }
            // Never called: the edge answers by itself.
            Upstream::Memory { .. } => Transport::Http(Http::new(
                client.clone(),
                String::new(),
                Arc::clone(&changed),
            )),
            Upstream::McpStdio { command, args, env } => Transport::Stdio(Stdio::new(
                command.clone(),
                args.clone(),
                env.clone(),
                Arc::clone(&changed),
            )),
        };
        let link = Link {
            transport,
            calls: Semaphore::new(CALLS_MAX),
            changed,
            watched: AtomicBool::new(false),
            shown: RwLock::default(),
            asked: watch::channel(false).0,
            seen: AtomicBool::new(false),
            stop,
        };
        Self {
            approved: approved(&spec),
            spec,
            link: Arc::new(link),
        }
    }

    /// The same server with another catalogue or other limits: connections and children stay.
    pub(super) fn respecified(&self, spec: ToolServer) -> Self {
        Self {
            approved: approved(&spec),
            spec,
            link: Arc::clone(&self.link),
        }
    }

    pub(super) fn spec(&self) -> &ToolServer {
        &self.spec
    }

    /// Whether the server now shows this tool otherwise than it was approved, or not at all.
    pub(crate) fn differs(&self, tool: &ToolName) -> bool {
        let shown = self
            .link
            .shown
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        shown
            .as_ref()
            .is_some_and(|shown| shown.get(tool) != self.approved.get(tool))
    }

    /// Waits until the server was asked once for its tools, so that not even the first call goes to a tool that
    /// changed. If it can't be reached, the call will find that out by itself.
    pub(crate) async fn known(&self) {
        let mut asked = self.link.asked.subscribe();
        if !*asked.borrow_and_update() {
            // Late or in time: the call decides.
            let _ = tokio::time::timeout(LIST_TIMEOUT, asked.changed()).await;
        }
    }

    /// Begins to compare definitions in the background, if nobody does yet.
    pub(super) fn watch(&self) {
        if self.link.watched.swap(true, Ordering::AcqRel) {
            return;
        }
        let (link, server) = (Arc::downgrade(&self.link), self.spec.id.clone());
        let stop = self.link.stop.clone();
        tokio::spawn(async move {
            let mut last_seen = None;
            loop {
                let Some(link) = link.upgrade() else { return };
                let listed = tokio::time::timeout(LIST_TIMEOUT, link.digests()).await;
                let pause = link.compare(listed.unwrap_or(Err(Failure::Timeout)), &mut last_seen);
                if pause == COMPARE_AGAIN {
                    tracing::debug!(%server, "the tools of a server can't be listed");
                }
                link.asked.send_replace(true);
                let changed = Arc::clone(&link.changed);
                drop(link);
                // However often a server says that its tools changed.
                tokio::time::sleep(PAUSE_MIN).await;
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = changed.notified() => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
        });
    }

    /// One call, within all limits.
    pub(super) async fn call(
        &self,
        tool: &ToolRef,
        arguments: &Map<String, Value>,
        bytes_max: u64,
        cancel: &CancellationToken,
    ) -> Result<Answer, Failure> {
        if !self.link.seen.load(Ordering::Acquire) {
            return Err(Failure::Unreachable);
        }
        let _permit = self
            .link
            .calls
            .try_acquire()
            .map_err(|_| Failure::Overloaded)?;
        let mut params = Map::new();
        params.insert("name".into(), tool.name.as_str().into());
        params.insert("arguments".into(), Value::Object(arguments.clone()));
        let limit = Duration::from_millis(self.spec.timeout_ms.into());
        tokio::select! {
            answer = tokio::time::timeout(limit, self.link.request("tools/call", &params, bytes_max)) => {
                answer.unwrap_or(Err(Failure::Timeout))
            }
            () = cancel.cancelled() => Err(Failure::Cancelled),
        }
    }
}

impl Link {
    /// Takes in what a server shows. One that shows nothing can't be compared with what was approved: it is not called,
    /// at once if it refuses to show, after a while if it can't be reached.
    fn compare(
        &self,
        listed: Result<HashMap<ToolName, String>, Failure>,
        last_seen: &mut Option<Instant>,
    ) -> Duration {
        match listed {
            Ok(shown) => {
                *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Some(shown);
                *last_seen = Some(Instant::now());
                self.seen.store(true, Ordering::Release);
                COMPARE
            }
            Err(failure) => {
                let away = matches!(
                    failure,
                    Failure::Unreachable | Failure::Broken | Failure::Timeout
                );
                let lately = last_seen.is_some_and(|seen| seen.elapsed() < UNSEEN_MAX);
                self.seen.store(away && lately, Ordering::Release);
                COMPARE_AGAIN
            }
        }
    }

    async fn request(
        &self,
        method: &str,
        params: &Map<String, Value>,
        bytes_max: u64,
    ) -> Result<Answer, Failure> {
        match &self.transport {
            Transport::Http(http) => http.request(method, params, bytes_max).await,
            Transport::Stdio(stdio) => stdio.request(method, params, bytes_max).await,
        }
    }

    /// Digests of all tools that the server shows. Two definitions under one name are none: nobody can say which of
    /// them a call gets.
    async fn digests(&self) -> Result<HashMap<ToolName, String>, Failure> {
        let (mut shown, mut twice) = (HashMap::new(), HashSet::new());
        for definition in self.list().await? {
            let before = shown.insert(definition.name.clone(), definition.digest());
            twice.extend(before.map(|_| definition.name));
        }
        shown.retain(|name, _| !twice.contains(name));
        Ok(shown)
    }

    /// All tools that the server shows. One that can't be read as a definition is left out.
    async fn list(&self) -> Result<Vec<ToolDefinition>, Failure> {
        let (mut definitions, mut params) = (Vec::new(), Map::new());
        let mut left = LIST_BYTES_MAX;
        for _ in 0..LIST_PAGES_MAX {
            let answer = self.request("tools/list", &params, left).await?;
            left = left.saturating_sub(answer.bytes);
            let page = rpc::result(answer)?;
            let tools = page
                .get("tools")
                .and_then(Value::as_array)
                .ok_or(Failure::Invalid)?;
            definitions.extend(
                tools
                    .iter()
                    .filter_map(|tool| ToolDefinition::from_mcp(tool).ok()),
            );
            match page.get("nextCursor").filter(|cursor| !cursor.is_null()) {
                Some(cursor) => drop(params.insert("cursor".into(), cursor.clone())),
                None => return Ok(definitions),
            }
        }
        Err(Failure::Invalid)
    }
}

/// Asks a server for its tools, once.
pub(super) async fn list(server: &Server) -> Result<Vec<ToolDefinition>, Failure> {
    tokio::time::timeout(LIST_TIMEOUT, server.link.list())
        .await
        .unwrap_or(Err(Failure::Timeout))
}

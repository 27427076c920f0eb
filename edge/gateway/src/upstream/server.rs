//! One tool server of one tenant: how many calls at once, how long, how large; and whether its tools still are what
//! was approved.

mod compare;
mod elicited;
mod listen;
mod listing;
mod transport;

pub(crate) use super::rpc::Failure;
pub(super) use compare::list;
pub(crate) use listen::Watched;
pub use listing::Listing;

use super::api;
use super::breaker::{Breaker, Pass};
use super::http::Request;
use super::rpc::News;
use super::talk::Talk;
use super::{Answer, Dialer, Errand, Vault, ask, task};
use crate::wire_header;
use compare::{COMPARE_AGAIN, Looks, Shown, compare, takes};
use elicited::Elicited;
use http::{HeaderName, HeaderValue};
use listen::{Watching, listen, listen_for_tasks};
use proctor_engine::Permit;
use proctor_model::catalogue::{HttpBinding, ToolServer, Upstream};
use proctor_model::sighting::{Health, LeftOut, SEEN_BYTES_MAX, SEEN_MAX, Seen};
use proctor_model::{EntryKind, ToolName};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, broadcast, watch};
use tokio_util::sync::CancellationToken;
use transport::Transport;

/// Calls at once to one server of one tenant.
const CALLS_MAX: usize = 256;
/// Who we are to a server where we ask for ourselves.
const WATCHER: &str = "";
/// News of a server that may wait for those who listen.
const NEWS_WAITING: usize = 256;

/// Whether an answer that reaches the agent is a fault of the server all the same: an HTTP API's 5xx.
struct Fault(bool);

/// What outlives a change of the catalogue.
struct Link {
    transport: Arc<Transport>,
    calls: Semaphore,
    breaker: Breaker,
    news: broadcast::Sender<News>,
    /// Grows with each change of what the server lists.
    generation: AtomicU64,
    /// How many of our clients watch which of its resources.
    watched_resources: Watching,
    /// The same of its tasks, and which of them it agreed to tell of.
    watched_tasks: Watching,
    told_tasks: watch::Sender<HashSet<Arc<str>>>,
    watched: AtomicBool,
    /// Digests of what was approved last: what differs from it is kept whole.
    approved: RwLock<Arc<HashMap<ToolName, String>>>,
    /// What the server shows now; none before it was ever asked.
    shown: RwLock<Option<HashMap<ToolName, Shown>>>,
    /// What it lists beside.
    left_out: RwLock<Vec<LeftOut>>,
    looks: Looks,
    /// Whether what the server shows is known well enough to call it.
    seen: AtomicBool,
    /// Whom it sent where.
    elicited: Elicited,
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
    approved: Arc<HashMap<ToolName, String>>,
    /// Arguments that go into headers.
    headers: HashMap<ToolName, Vec<(Vec<String>, HeaderName)>>,
    /// The requests that the tools of an HTTP API make.
    bindings: HashMap<ToolName, HttpBinding>,
    link: Arc<Link>,
}

fn approved(spec: &ToolServer) -> HashMap<ToolName, String> {
    let entries = spec.tools.iter();
    entries
        .map(|entry| (entry.definition.name.clone(), entry.definition.digest()))
        .collect()
}

fn headers(spec: &ToolServer) -> HashMap<ToolName, Vec<(Vec<String>, HeaderName)>> {
    let definitions = spec.tools.iter().map(|entry| &entry.definition);
    definitions
        .map(|definition| {
            (
                definition.name.clone(),
                wire_header::declared(&definition.input_schema),
            )
        })
        .filter(|(_, declared)| !declared.is_empty())
        .collect()
}

impl Server {
    pub(super) fn new(
        spec: ToolServer,
        dialer: &Dialer,
        vault: &Arc<Vault>,
        stop: CancellationToken,
    ) -> Self {
        let news = broadcast::channel(NEWS_WAITING).0;
        let transport = Transport::new(&spec.upstream, dialer, vault, &news);
        let approved = Arc::new(approved(&spec));
        let link = Link {
            transport: Arc::new(transport),
            calls: Semaphore::new(CALLS_MAX),
            breaker: Breaker::default(),
            news,
            generation: AtomicU64::new(0),
            watched_resources: watch::channel(HashMap::new()).0,
            watched_tasks: watch::channel(HashMap::new()).0,
            told_tasks: watch::channel(HashSet::new()).0,
            watched: AtomicBool::new(false),
            approved: RwLock::new(Arc::clone(&approved)),
            shown: RwLock::default(),
            left_out: RwLock::default(),
            looks: Looks::default(),
            seen: AtomicBool::new(false),
            elicited: Elicited::default(),
            stop,
        };
        Self {
            approved,
            headers: headers(&spec),
            bindings: api::bindings(&spec),
            spec,
            link: Arc::new(link),
        }
    }

    /// The same server with another catalogue or other limits: connections and children stay.
    pub(super) fn respecified(&self, spec: ToolServer) -> Self {
        let approved = Arc::new(approved(&spec));
        let last = self.link.approved.write();
        *last.unwrap_or_else(PoisonError::into_inner) = Arc::clone(&approved);
        Self {
            approved,
            headers: headers(&spec),
            bindings: api::bindings(&spec),
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
        shown.as_ref().is_some_and(|shown| {
            shown.get(tool).map(|shown| &shown.digest) != self.approved.get(tool)
        })
    }

    /// Which definitions are shown otherwise than they were approved, by name, and how many more than can be told; what
    /// is not shown or not approved is among them. None before the server was asked, or if there is nothing to compare.
    pub(super) fn sighted(&self) -> Option<(Health, Vec<Seen>, u32)> {
        if let Transport::Api(_) = &*self.link.transport {
            let open = self.link.breaker.is_open();
            let health = if open {
                Health::CircuitOpen
            } else {
                Health::Up
            };
            return Some((health, Vec::new(), 0));
        }
        if !self.link.looks.any() {
            return None;
        }
        // One that nobody needs at the moment does as it should.
        let unseen = !self.link.seen.load(Ordering::Acquire) && !self.link.looks.at_rest();
        let health = if unseen {
            Health::Unseen
        } else if self.link.breaker.is_open() {
            Health::CircuitOpen
        } else {
            Health::Up
        };
        let shown = self
            .link
            .shown
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(shown) = shown.as_ref() else {
            return Some((health, Vec::new(), 0));
        };
        let mut names: Vec<&ToolName> = shown.keys().chain(self.approved.keys()).collect();
        names.sort_unstable();
        names.dedup();
        names
            .retain(|name| shown.get(*name).map(|shown| &shown.digest) != self.approved.get(*name));
        let more = names.len().saturating_sub(SEEN_MAX);
        let mut room = SEEN_BYTES_MAX;
        let seen = names.into_iter().take(SEEN_MAX).map(|name| {
            let shown = shown.get(name);
            let definition = shown.and_then(|shown| shown.definition.as_ref());
            let definition = definition.filter(|definition| takes(&mut room, definition));
            Seen {
                name: name.clone(),
                digest: shown.map(|shown| shown.digest.clone()),
                definition: definition.cloned(),
            }
        });
        Some((
            health,
            seen.collect(),
            u32::try_from(more).unwrap_or(u32::MAX),
        ))
    }

    /// What the server lists that can't be approved or called here.
    pub(super) fn left_out(&self) -> Vec<LeftOut> {
        let left_out = self.link.left_out.read();
        left_out.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until what the server shows was looked at lately, so that not even the first call goes to a tool that
    /// changed. If it can't be reached, the call will find that out by itself.
    pub(crate) async fn known(&self, kind: EntryKind) {
        let Link {
            transport,
            looks,
            seen,
            ..
        } = &*self.link;
        // What is not called needs no look.
        let away = looks.any() && !seen.load(Ordering::Acquire) && !looks.at_rest();
        if !away && !matches!(&**transport, Transport::Api(_)) {
            looks.lately(kind, transport).await;
        }
    }

    /// Notes that a client is sent to a page of the server's, by the parameters of the question or error that says so.
    pub(crate) fn sends_away(&self, who: &Arc<str>, said: &Map<String, Value>) {
        self.link.elicited.note(who, said);
    }

    /// Whether the server sent this client away under this name, and the client has not been told yet that it is done.
    pub(crate) fn sent_away(&self, who: &str, elicitation: &str) -> bool {
        self.link.elicited.take(who, elicitation)
    }

    /// Grows with each change of what the server lists.
    pub(crate) fn generation(&self) -> u64 {
        self.link.generation.load(Ordering::Acquire)
    }

    /// What the server tells about itself from now on.
    pub(crate) fn news(&self) -> broadcast::Receiver<News> {
        self.link.news.subscribe()
    }

    /// Watches a resource until the guard is dropped.
    pub(crate) fn watch_resource(&self, uri: &str) -> Watched {
        Watched::new(&self.link.watched_resources, uri)
    }

    /// The same with a task, by the server's own name for it.
    pub(crate) fn watch_task(&self, id: &str) -> Watched {
        Watched::new(&self.link.watched_tasks, id)
    }

    /// How long one answer may take.
    pub(crate) fn limit(&self) -> Duration {
        Duration::from_millis(self.spec.timeout_ms.into())
    }

    /// Names the server by how it is reached, if every edge of its tenant reaches the same one: over HTTP. A child is each
    /// edge's own.
    pub(crate) fn place(&self) -> Option<String> {
        let Upstream::McpHttp { .. } = &self.spec.upstream else {
            return None;
        };
        let address = serde_json::to_vec(&self.spec.upstream).ok()?;
        Some(hex::encode(Sha256::digest(address)))
    }

    /// Whether the server has the extension for tasks of 2026-07-28, as far as it was asked.
    pub(crate) fn makes_tasks(&self) -> bool {
        match &*self.link.transport {
            Transport::Http(http) => http.makes_tasks(),
            Transport::Stdio(stdio) => stdio.makes_tasks(),
            Transport::Api(_) => false,
        }
    }

    /// Whether the server agreed to tell when something becomes of this task.
    pub(crate) fn tells_of(&self, task: &str) -> bool {
        self.link.told_tasks.borrow().contains(task)
    }

    /// Begins to compare definitions in the background, if nobody does yet, and to listen to what the server tells.
    pub(super) fn watch(&self) {
        if self.link.watched.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Transport::Api(_) = &*self.link.transport {
            // What it is was written by the operator: there is nothing that it could show instead.
            self.link.seen.store(true, Ordering::Release);
            return;
        }
        tokio::spawn(kept_up(&self.link, compare));
        tokio::spawn(kept_up(&self.link, listen));
        tokio::spawn(kept_up(&self.link, listen_for_tasks));
    }

    /// One request, within all limits.
    pub(super) async fn run(
        &self,
        permit: &Permit,
        errand: Errand<'_>,
        talk: &Talk,
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
        let pass = self
            .link
            .breaker
            .pass(Instant::now())
            .ok_or(Failure::Open)?;
        let answer = tokio::select! {
            answer = self.ask(permit, errand, talk, &pass) => answer,
            () = cancel.cancelled() => return Err(Failure::Cancelled),
        };
        match &answer {
            Ok((_, Fault(true))) => pass.failed(Instant::now()),
            Err(failure) if failure.is_fault() => pass.failed(Instant::now()),
            // What was never sent says nothing.
            Err(Failure::NoCredential | Failure::Unsendable) => drop(pass),
            _ => pass.answered(),
        }
        answer.map(|(answer, _)| answer)
    }

    async fn ask(
        &self,
        permit: &Permit,
        errand: Errand<'_>,
        talk: &Talk,
        pass: &Pass,
    ) -> Result<(Answer, Fault), Failure> {
        let (tool, arguments) = (&permit.tool().name, permit.arguments());
        let bytes_max = permit.limits().bytes;
        let limit = self.limit();
        let of_task = |id, request: task::Request, replies| Request {
            method: request.method(),
            params: ask::of_task(id, replies),
            name: Some(id),
            headers: Vec::new(),
            bytes_max,
            limit,
            talk,
            pass: Some(pass),
        };
        let purpose = match errand {
            Errand::Call(purpose) => purpose,
            Errand::Task(id, request) => {
                let request = of_task(id, request, permit.replies());
                return Ok((self.link.request(request).await?, Fault(false)));
            }
            Errand::Reply(id, replies) => {
                let request = of_task(id, task::Request::Update, Some(replies));
                return Ok((self.link.request(request).await?, Fault(false)));
            }
        };
        if let Transport::Api(api) = &*self.link.transport {
            let binding = self.bindings.get(tool).ok_or(Failure::Unsendable)?;
            let asked = api.request(binding, arguments, bytes_max, limit).await;
            let (answer, status) = asked?;
            return Ok((answer, Fault(status.is_server_error())));
        }
        let request = Request {
            method: ask::method(purpose, tool.kind()),
            params: ask::params(purpose, tool, arguments),
            name: ask::name(purpose, tool, arguments),
            headers: self.param_headers(tool, arguments),
            bytes_max,
            limit,
            talk,
            pass: Some(pass),
        };
        let answer = self.link.request(request).await?;
        Ok((answer, Fault(false)))
    }

    /// Written anew from what was decided: the client's own headers go nowhere.
    fn param_headers(
        &self,
        tool: &ToolName,
        arguments: &Map<String, Value>,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let declared = self.headers.get(tool).into_iter().flatten();
        declared
            .filter_map(|(path, header)| {
                let said = wire_header::said(path, arguments)?;
                Some((header.clone(), wire_header::written(&said)))
            })
            .collect()
    }
}

/// Runs a task of a server, again if it failed: without it nobody would notice what changes, so that the server is not
/// called before it was compared once more.
fn kept_up<F: Future<Output = ()> + Send + 'static>(
    link: &Arc<Link>,
    task: fn(Weak<Link>, CancellationToken) -> F,
) -> impl Future<Output = ()> + use<F> {
    let (link, stop) = (Arc::downgrade(link), link.stop.clone());
    async move {
        while tokio::spawn(task(Weak::clone(&link), stop.clone()))
            .await
            .is_err()
        {
            let Some(link) = link.upgrade() else { return };
            link.seen.store(false, Ordering::Release);
            drop(link);
            tracing::error!("a task that looks after a tool server failed, and begins again");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(COMPARE_AGAIN) => {}
            }
        }
    }
}

impl Link {
    async fn request(&self, request: Request<'_>) -> Result<Answer, Failure> {
        self.transport.request(request).await
    }
}

#[cfg(test)]
mod tests;

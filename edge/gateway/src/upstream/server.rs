//! One tool server of one tenant: how many calls at once, how long, how large; and whether its tools still are what
//! was approved.

mod listen;

pub(crate) use super::rpc::Failure;
pub(crate) use listen::Watched;

use super::api::{self, Api};
use super::breaker::Breaker;
use super::client::{self, Reach};
use super::http::{Http, Request};
use super::rpc::News;
use super::stdio::Stdio;
use super::talk::Talk;
use super::{Answer, Dialer, Errand, Reply, Vault, ask, rpc, task};
use crate::wire_header;
use http::{HeaderName, HeaderValue};
use listen::{Watching, listen, listen_for_tasks};
use proctor_engine::Permit;
use proctor_model::ToolName;
use proctor_model::catalogue::{HttpBinding, Listed, ToolDefinition, ToolServer, Upstream};
use proctor_model::sighting::{Health, SEEN_BYTES_MAX, SEEN_MAX, Seen};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, broadcast, watch};
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
/// Definitions of one kind that a server may list.
const DEFINITIONS_MAX: usize = 4_096;
/// How long one page of a list may take: less than all of it, so that a server that hangs is seen to.
const PAGE_TIMEOUT: Duration = Duration::from_secs(8);
/// Least time between two lists.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// How long a server that can't be asked is still called by what it showed last.
const UNSEEN_MAX: Duration = Duration::from_secs(60);

/// Who we are to a server where we ask for ourselves.
const WATCHER: &str = "";
/// News of a server that may wait for those who listen.
const NEWS_WAITING: usize = 256;
/// Pauses between attempts to listen to a server.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);

enum Transport {
    Http(Arc<Http>),
    Stdio(Stdio),
    Api(Api),
}

impl Transport {
    fn new(
        upstream: &Upstream,
        dialer: &Dialer,
        vault: &Arc<Vault>,
        news: &broadcast::Sender<News>,
    ) -> Self {
        match upstream {
            Upstream::McpHttp { url, auth, tls } => {
                let spec = client::Spec {
                    auth: auth.clone(),
                    tls: tls.clone(),
                    reach: Reach::Neighbours,
                };
                let client = dialer.client(spec, vault);
                Self::Http(Arc::new(Http::new(client, url.clone(), news.clone())))
            }
            // It speaks no MCP: nothing can be asked of it here.
            Upstream::Llm { .. } => {
                let spec = client::Spec {
                    auth: None,
                    tls: None,
                    reach: Reach::Public,
                };
                Self::Http(Arc::new(Http::new(
                    dialer.client(spec, vault),
                    String::new(),
                    news.clone(),
                )))
            }
            Upstream::McpStdio {
                command,
                args,
                env,
                limits,
            } => Self::Stdio(Stdio::new(
                command.clone(),
                args.clone(),
                env.clone(),
                *limits,
                news.clone(),
            )),
            // Never called: the edge answers by itself.
            Upstream::Memory { .. } => {
                let spec = client::Spec {
                    auth: None,
                    tls: None,
                    reach: Reach::Public,
                };
                Self::Api(Api::new(dialer.client(spec, vault), ""))
            }
            Upstream::Http {
                url,
                auth,
                tls,
                private_addresses,
            } => {
                let reach = match private_addresses {
                    true => Reach::Neighbours,
                    false => Reach::Public,
                };
                let spec = client::Spec {
                    auth: auth.clone(),
                    tls: tls.clone(),
                    reach,
                };
                Self::Api(Api::new(dialer.client(spec, vault), url))
            }
        }
    }

    async fn request(&self, request: Request<'_>) -> Result<Answer, Failure> {
        match self {
            // Boxed: what an exchange over HTTP may come to would otherwise lie in every call's future.
            Self::Http(http) => Box::pin(http.request(request)).await,
            Self::Stdio(stdio) => stdio.request(request).await,
            // It speaks no MCP: its tools are called by their bindings.
            Self::Api(_) => Err(Failure::Unsendable),
        }
    }

    /// Asks a server of the older revisions for what is to be watched, and for no more than that.
    async fn subscribe(
        &self,
        wanted: &HashSet<Arc<str>>,
        subscribed: &mut HashSet<Arc<str>>,
        talk: &Talk,
    ) {
        if wanted == subscribed {
            return;
        }
        let asked_for_each = match self {
            Transport::Http(http) => http.subscribes(talk).await,
            Transport::Stdio(stdio) => stdio.subscribes().await,
            Transport::Api(_) => false,
        };
        if asked_for_each {
            let more = wanted
                .difference(subscribed)
                .map(|uri| ("resources/subscribe", uri));
            let less = subscribed
                .difference(wanted)
                .map(|uri| ("resources/unsubscribe", uri));
            for (method, uri) in more.chain(less) {
                let params = Map::from_iter([("uri".to_owned(), Value::from(&**uri))]);
                // One that it does not take is never told of.
                let _ = self.request(Request::own(method, params, talk)).await;
            }
        }
        subscribed.clone_from(wanted);
    }

    /// Listens until the stream ends, or for good where what the server tells comes on its one stream anyway.
    async fn listen(&self, talk: &Talk, watched: &[Arc<str>]) {
        match self {
            Self::Http(http) => {
                // A server that has no such stream is compared from time to time all the same.
                let _ = http.listen(talk, watched).await;
                tokio::time::sleep(LISTEN_AGAIN).await;
            }
            Self::Stdio(_) | Self::Api(_) => std::future::pending().await,
        }
    }

    /// The same for tasks. Where nothing is told of them on a stream of its own, there is nothing to do.
    async fn listen_for_tasks(
        &self,
        talk: &Talk,
        tasks: &[Arc<str>],
        told: &watch::Sender<HashSet<Arc<str>>>,
    ) {
        match self {
            Self::Http(http) if !tasks.is_empty() => {
                let _ = http.listen_for_tasks(talk, tasks, told).await;
                told.send_replace(HashSet::new());
                tokio::time::sleep(LISTEN_AGAIN).await;
            }
            _ => std::future::pending().await,
        }
    }
}

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
    asked: watch::Sender<bool>,
    /// Whether what the server shows is known well enough to call it.
    seen: AtomicBool,
    stop: CancellationToken,
}

/// What a server shows under a name.
struct Shown {
    digest: String,
    /// For people to look at, where it differs from what was approved and there is room.
    definition: Option<ToolDefinition>,
}

/// Definitions are the same if their digests are.
impl PartialEq for Shown {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
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
            asked: watch::channel(false).0,
            seen: AtomicBool::new(false),
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
        if !*self.link.asked.borrow() {
            return None;
        }
        let health = if !self.link.seen.load(Ordering::Acquire) {
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

    /// Waits until the server was asked once for its tools, so that not even the first call goes to a tool that
    /// changed. If it can't be reached, the call will find that out by itself.
    pub(crate) async fn known(&self) {
        let mut asked = self.link.asked.subscribe();
        if !*asked.borrow_and_update() {
            // Late or in time: the call decides.
            let _ = tokio::time::timeout(LIST_TIMEOUT, asked.changed()).await;
        }
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
            self.link.asked.send_replace(true);
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
            answer = self.ask(permit, errand, talk) => answer,
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

/// Compares definitions until the server is gone.
async fn compare(link: Weak<Link>, stop: CancellationToken) {
    let mut last_seen = None;
    loop {
        let Some(link) = link.upgrade() else { return };
        let mut news = link.news.subscribe();
        let listed = tokio::time::timeout(LIST_TIMEOUT, link.definitions()).await;
        let pause = link.compare(listed.unwrap_or(Err(Failure::Timeout)), &mut last_seen);
        link.asked.send_replace(true);
        drop(link);
        // However often a server says that its lists changed.
        tokio::time::sleep(PAUSE_MIN).await;
        let changed =
            async { while let Ok(News::Updated(_) | News::Task(_)) = news.recv().await {} };
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Link {
    /// Takes in what a server shows. One that shows nothing can't be compared with what was approved: it is not called,
    /// at once if it refuses to show, after a while if it can't be reached.
    fn compare(
        &self,
        listed: Result<HashMap<ToolName, Shown>, Failure>,
        last_seen: &mut Option<Instant>,
    ) -> Duration {
        match listed {
            Ok(shown) => {
                let mut before = self.shown.write().unwrap_or_else(PoisonError::into_inner);
                if before.as_ref() != Some(&shown) {
                    self.generation.fetch_add(1, Ordering::AcqRel);
                }
                *before = Some(shown);
                drop(before);
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
                if let Transport::Http(http) = &*self.transport {
                    http.doubt();
                }
                COMPARE_AGAIN
            }
        }
    }

    async fn request(&self, request: Request<'_>) -> Result<Answer, Failure> {
        self.transport.request(request).await
    }

    /// All that the server shows. Two definitions under one name are none: nobody can say which of them a call gets.
    async fn definitions(&self) -> Result<HashMap<ToolName, Shown>, Failure> {
        let (mut shown, mut twice) = (HashMap::new(), HashSet::new());
        for definition in self.list().await? {
            let name = definition.name.clone();
            let digest = definition.digest();
            let definition = Some(definition);
            let before = shown.insert(name.clone(), Shown { digest, definition });
            twice.extend(before.map(|_| name));
        }
        shown.retain(|name, _| !twice.contains(name));
        self.keep_what_differs(&mut shown);
        Ok(shown)
    }

    /// Of the definitions only those that people may have to look at stay in memory, and no more than can be told.
    fn keep_what_differs(&self, shown: &mut HashMap<ToolName, Shown>) {
        let approved = self.approved.read().unwrap_or_else(PoisonError::into_inner);
        let mut room = SEEN_BYTES_MAX;
        let mut all: Vec<_> = shown.iter_mut().collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        for (name, shown) in all {
            let differs = approved.get(name) != Some(&shown.digest);
            let kept = shown.definition.take().filter(|_| differs);
            shown.definition = kept.filter(|definition| takes(&mut room, definition));
        }
    }

    /// All that the server lists: tools, resources, templates, prompts. What can't be read as a definition is left out.
    async fn list(&self) -> Result<Vec<ToolDefinition>, Failure> {
        let (mut definitions, mut left) = (Vec::new(), LIST_BYTES_MAX);
        for listed in Listed::ALL {
            let listing = self.one_list(listed, &mut left).await;
            match listing {
                Ok(found) => definitions.extend(found),
                // Only tools are always there to be listed; a server without prompts says so with an error.
                Err(Failure::Invalid | Failure::ServerError) if listed != Listed::Tool => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(definitions)
    }

    async fn one_list(
        &self,
        listed: Listed,
        left: &mut u64,
    ) -> Result<Vec<ToolDefinition>, Failure> {
        let talk = Talk::watching(WATCHER);
        let (mut definitions, mut params) = (Vec::new(), Map::new());
        for _ in 0..LIST_PAGES_MAX {
            let mut request = Request::own(listed.method(), params.clone(), &talk);
            request.bytes_max = *left;
            request.limit = PAGE_TIMEOUT;
            let answer = self.request(request).await?;
            *left = left.saturating_sub(answer.bytes);
            let page = match answer.reply {
                // It has none of them.
                Reply::Error(error) if error.get("code") == Some(&Value::from(-32601)) => {
                    return Ok(definitions);
                }
                _ => rpc::result(answer)?,
            };
            let elements = page
                .get(listed.member())
                .and_then(Value::as_array)
                .ok_or(Failure::Invalid)?;
            let read = elements
                .iter()
                .map(|element| ToolDefinition::from_list(listed, element));
            definitions.extend(read.filter_map(Result::ok));
            if definitions.len() > DEFINITIONS_MAX {
                return Err(Failure::TooLarge);
            }
            match page.get("nextCursor").filter(|cursor| !cursor.is_null()) {
                Some(cursor) => drop(params.insert("cursor".into(), cursor.clone())),
                None => return Ok(definitions),
            }
        }
        Err(Failure::Invalid)
    }
}

/// Takes the room that a definition needs, if it is there.
fn takes(room: &mut usize, definition: &ToolDefinition) -> bool {
    let size = serde_json::to_vec(definition).map_or(usize::MAX, |json| json.len());
    let left = room.checked_sub(size);
    *room = left.unwrap_or(*room);
    left.is_some()
}

/// Asks a server for all that it lists, once.
pub(super) async fn list(server: &Server) -> Result<Vec<ToolDefinition>, Failure> {
    tokio::time::timeout(LIST_TIMEOUT, server.link.list())
        .await
        .unwrap_or(Err(Failure::Timeout))
}

#[cfg(test)]
mod tests;

//! Long-lived streams: what changes is told to who may know of it, for as long as they may. Each is authorized anew all the
//! time: a token that expires or is revoked, an agent or tenant that is stopped ends it.

mod said;
mod task;
mod wanted;

use super::about::{About, Hearer, List};
use super::known::{Begins, KnownLists};
use super::lists::Seen;
use super::modern::META_CAPABILITIES;
use super::session::{Session, locked};
use super::stream::{Keep, Stream};
use super::{Context, Scope, ask, lists};
use crate::enforce::{Asked, Caller, Gateway, Permitted};
use crate::tasks::{Family, Task};
use crate::upstream::{self, News, Watched};
use axum::response::Response;
use futures::stream::{SelectAll, StreamExt, select_all};
use proctor_engine::{Killed, ToolQuery, visible_tools};
use proctor_model::catalogue::Listed;
use proctor_model::{EntryKind, Reason, ServerId};
use said::SaidChanged;
use serde_json::{Map, Value, json};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio_stream::wrappers::BroadcastStream;
use wanted::Wanted;

/// How often a stream is authorized anew, and its lists compared.
const AGAIN: Duration = Duration::from_secs(1);
/// Resources that one stream may watch, and tasks.
const WATCHED_MAX: usize = 64;
const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// A stream and who reads it.
struct Follower {
    gateway: Arc<Gateway>,
    caller: Caller,
    scope: Scope,
    stream: Arc<Stream>,
    reader: u64,
    /// Noted in each message (MCP 2026-07-28).
    subscription: Option<Value>,
    /// In whose name servers speak to the client of a session.
    who: Option<String>,
    /// What the client of a session knows of its lists. A client without one is told from now on: it lists anew by itself.
    known: Option<Arc<KnownLists>>,
    seen: Vec<Seen>,
    said: SaidChanged,
}

type Heard = SelectAll<Pin<Box<dyn futures::Stream<Item = (ServerId, News)> + Send>>>;

/// Follows for the general stream of a session, until this client reads it no more. Which one it is the caller has seen to:
/// by the time this runs it may be gone and another may read.
pub(super) async fn session(
    gateway: Arc<Gateway>,
    caller: Caller,
    scope: Scope,
    session: Arc<Session>,
    (reader, begins): (u64, Begins),
) {
    let stream = Arc::clone(&session.general);
    let over = session.over.clone();
    let weak = Arc::downgrade(&session);
    let (who, known) = (session.who(&caller), Arc::clone(&session.known));
    drop(session);
    let mut follower = Follower::new(gateway, caller, scope, (stream, reader), None);
    // What changed while nobody followed is told at once.
    follower.seen = known.of(&follower.caller.token, begins);
    (follower.who, follower.known) = (Some(who), Some(known));
    let wanted = || {
        let session = weak.upgrade()?;
        let uris = locked(&session.watched).keys().cloned().collect();
        Some(Wanted {
            kinds: KINDS.to_vec(),
            uris,
        })
    };
    tokio::select! {
        // Another token of the session's principal may read it still, or this one again.
        ended = follower.run(wanted) => if ended.is_err() {
            follower.stream.dismiss(follower.reader);
        },
        () = over.cancelled() => {}
    }
}

/// Sees to it that a stream of a call that was taken up again is read no longer than its reader may hear of the call, whoever
/// made it and may go on with it.
pub(super) async fn resumed(
    gateway: Arc<Gateway>,
    caller: Caller,
    call: Arc<Permitted>,
    stream: Arc<Stream>,
    reader: u64,
) {
    loop {
        tokio::select! {
            () = stream.left_by(reader) => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
        if let Err(reason) = gateway.may_hear(&caller, &call) {
            stream.dismiss(reader);
            // Recorded as the refusal that it is; there is nobody to be told.
            drop(gateway.refuse(&caller, reason, None).await);
            return;
        }
    }
}

/// `subscriptions/listen`.
pub(super) async fn listen(
    context: &Context<'_>,
    id: &Value,
    params: &Map<String, Value>,
) -> Response {
    if let Err(response) = context.admit(id).await {
        return response;
    }
    let Some(place) = context.endpoint.listeners.enter(&context.caller) else {
        return context.refuse(id, Reason::Overloaded).await;
    };
    let Some(asked) = params.get("notifications").and_then(Value::as_object) else {
        return context.refuse(id, Reason::InvalidParams).await;
    };
    // Who does not take any can't want to be told of them.
    let declared = params
        .get("_meta")
        .and_then(|meta| meta.get(META_CAPABILITIES));
    if asked.contains_key("taskIds") && !upstream::task::declared(declared) {
        return context.refuse_undeclared(id).await;
    }
    let tasks = match asked.get("taskIds") {
        None => Ok(Vec::new()),
        Some(ids) => own_tasks(context, ids).await,
    };
    let tasks = match tasks {
        Ok(tasks) => tasks,
        Err(reason) => return context.refuse(id, reason).await,
    };
    let mut honoured = Map::new();
    if !tasks.is_empty() {
        let ids: Vec<&str> = tasks.iter().map(|task| &*task.id).collect();
        honoured.insert("taskIds".into(), json!(ids));
    }
    let mut wanted = Wanted::default();
    for (name, kind) in [
        ("toolsListChanged", EntryKind::Tool),
        ("promptsListChanged", EntryKind::Prompt),
        ("resourcesListChanged", EntryKind::Resource),
    ] {
        if asked.get(name) == Some(&Value::Bool(true)) {
            honoured.insert(name.into(), true.into());
            wanted.kinds.push(kind);
        }
    }
    let uris = asked.get("resourceSubscriptions").and_then(Value::as_array);
    let uris: Vec<&str> = uris
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if uris.len() > WATCHED_MAX {
        return context.refuse(id, Reason::InvalidParams).await;
    }
    let watched = watch_all(context, &uris).await;
    if !watched.is_empty() {
        let granted: Vec<&String> = watched.iter().map(|(uri, _)| uri).collect();
        honoured.insert("resourceSubscriptions".into(), json!(granted));
    }
    wanted.uris = watched.iter().map(|(uri, _)| uri.clone()).collect();
    let stream = Stream::new(Keep::Nothing);
    let Some(response) = stream.respond(0) else {
        return context.refuse(id, Reason::Internal).await;
    };
    let (gateway, caller) = (
        Arc::clone(&context.endpoint.gateway),
        context.caller.clone(),
    );
    let mut follower = Follower::new(
        gateway,
        caller,
        context.scope.clone(),
        (Arc::clone(&stream), stream.reader()),
        Some(id.clone()),
    );
    let listener = task::Listener::new(context, &stream, id);
    let id = id.clone();
    tokio::spawn(async move {
        let acknowledged = json!({ "notifications": honoured });
        let told = follower
            .tell(
                "notifications/subscriptions/acknowledged",
                acknowledged,
                None,
            )
            .await;
        let ended = match told {
            Err(reason) => Err(reason),
            Ok(()) => tokio::select! {
                ended = follower.run(|| Some(wanted.clone())) => ended,
                // What is asked of a task goes on beside, and no longer than the reader may be here.
                () = listener.run(&tasks) => Ok(()),
            },
        };
        if let Err(reason) = ended {
            let last = over(&id, reason);
            let told = tokio::time::timeout(AGAIN, stream.push(&last)).await;
            // Who does not read is not told, and gets nothing of what waits either.
            if told.is_err() {
                stream.dismiss(follower.reader);
            }
        }
        stream.finish();
        drop((watched, place));
    });
    response
}

/// The tasks that a client wants to be told of: its own. One that `tasks/get` would not find is refused as it would be.
async fn own_tasks(context: &Context<'_>, ids: &Value) -> Result<Vec<Arc<Task>>, Reason> {
    let ids = ids.as_array().filter(|ids| ids.len() <= WATCHED_MAX);
    let gateway = &context.endpoint.gateway;
    let server = context.scope.only_server();
    let mut tasks: Vec<Arc<Task>> = Vec::new();
    for id in ids.ok_or(Reason::InvalidParams)? {
        let id = id.as_str().ok_or(Reason::InvalidParams)?;
        let task = gateway.task_of(&context.caller, Family::Modern, server.as_ref(), id);
        let task = task.await?;
        if tasks.iter().all(|other| other.number != task.number) {
            tasks.push(task);
        }
    }
    Ok(tasks)
}

/// The last message of a stream that may not go on.
fn over(id: &Value, reason: Reason) -> Value {
    let data = json!({ "control": reason.control().as_str(), "reason": reason.code(), "message": reason.message() });
    let error =
        json!({ "code": reason.rpc_code_2026(), "message": reason.message(), "data": data });
    json!({ "jsonrpc": "2.0", "id": id, "error": error })
}

/// To watch a resource is decided on as reading it is; those that may not be watched are left out.
async fn watch_all(context: &Context<'_>, uris: &[&str]) -> Vec<(String, Watched)> {
    let gateway = &context.endpoint.gateway;
    let mut watched = Vec::new();
    for uri in uris {
        let tool = ask::of_kind(context.scope, EntryKind::Resource, uri);
        let arguments = Map::from_iter([("uri".to_owned(), Value::from(*uri))]);
        let asked = Asked::plain(
            &context.caller,
            tool.clone(),
            arguments,
            context.trace_id.clone(),
        );
        if gateway.evaluate(&context.caller, asked).await.is_ok() {
            let guard = gateway.watch_resource(&context.caller, &tool, uri);
            watched.extend(guard.map(|guard| ((*uri).to_owned(), guard)));
        }
    }
    watched
}

impl Gateway {
    /// Has a resource watched at its server.
    pub(super) fn watch_resource(
        &self,
        caller: &Caller,
        tool: &ToolQuery,
        uri: &str,
    ) -> Option<Watched> {
        let loaded = caller.tenant.loaded()?;
        let tool = loaded.tenant.catalogue().find(tool).ok()?;
        let server = loaded.servers.get(&tool.reference().server)?;
        Some(server.watch_resource(uri))
    }
}

impl Follower {
    fn new(
        gateway: Arc<Gateway>,
        caller: Caller,
        scope: Scope,
        (stream, reader): (Arc<Stream>, u64),
        subscription: Option<Value>,
    ) -> Self {
        Self {
            gateway,
            caller,
            scope,
            stream,
            reader,
            subscription,
            who: None,
            known: None,
            seen: Vec::new(),
            said: SaidChanged::default(),
        }
    }

    /// Tells what changes until nobody reads it or the reader may not any more.
    async fn run(&mut self, wanted: impl Fn() -> Option<Wanted>) -> Result<(), Reason> {
        let stream = Arc::clone(&self.stream);
        let mut heard = self.servers();
        let mut version = self.generation();
        self.compare(&wanted().unwrap_or_default()).await?;
        let mut again = tokio::time::interval(AGAIN);
        again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let news = tokio::select! {
                () = stream.left_by(self.reader) => return Ok(()),
                // Nothing is under way here that an edge would have to wait for at its end.
                () = self.gateway.stopping.cancelled() => {
                    stream.dismiss(self.reader);
                    return Ok(());
                }
                Some(news) = heard.next(), if !heard.is_empty() => Some(news),
                _ = again.tick() => None,
            };
            // A server may say so as often as it likes: it is told with the next look.
            if let Some((server, News::Listed(kind))) = news {
                self.said.note(server, kind);
                continue;
            }
            let Some(wanted) = wanted() else {
                return Ok(());
            };
            match news {
                Some((server, news)) => self.news(&wanted, &server, &news).await?,
                None => {
                    self.admit().await?;
                    let now = self.generation();
                    if now != version {
                        version = now;
                        heard = self.servers();
                        self.compare(&wanted).await?;
                    }
                    self.tell_said(&wanted).await?;
                }
            }
        }
    }

    /// Whether the reader may still be here.
    async fn admit(&self) -> Result<(), Reason> {
        match self.gateway.admitted(&self.caller) {
            Ok(()) => Ok(()),
            Err(reason) => {
                // Recorded as the refusal that it is; the stream ends either way.
                let refused = self.gateway.refuse(&self.caller, reason, None).await;
                Err(refused.reason)
            }
        }
    }

    /// Another one when anything may have changed that a list depends on.
    fn generation(&self) -> Generation {
        let Caller { tenant, token } = &self.caller;
        // That it is known says nothing: an intent that is over is kept a while, to be named as such.
        let intent = token.intent().and_then(|id| tenant.intent(id));
        let now = self.gateway.clock.now();
        let in_force = intent.is_some_and(|intent| intent.check_context(token, now).is_ok());
        let definitions = tenant.loaded().map_or(0, |loaded| {
            let servers = loaded.servers.all().map(|(_, server)| server.generation());
            servers.fold(loaded.tenant.version(), u64::wrapping_add)
        });
        Generation {
            definitions,
            in_force,
            killed: tenant.killed(),
        }
    }

    /// What the servers of this scope tell about themselves.
    fn servers(&self) -> Heard {
        let loaded = self.caller.tenant.loaded();
        let servers = loaded.iter().flat_map(|loaded| loaded.servers.all());
        let here = servers.filter(|(id, _)| match &self.scope {
            Scope::All => true,
            Scope::One(server) => server == *id,
        });
        select_all(here.map(|(id, server)| {
            let id = id.clone();
            let news = BroadcastStream::new(server.news());
            // What was missed is found by the next comparison.
            let news = news.filter_map(|news| std::future::ready(news.ok()));
            let news = news.map(move |news| (id.clone(), news));
            Box::pin(news) as Pin<Box<dyn futures::Stream<Item = _> + Send>>
        }))
    }

    /// Tells which of the lists that the reader gets to see are not as they were, as far as that is known.
    async fn compare(&mut self, wanted: &Wanted) -> Result<(), Reason> {
        let judged = self.gateway.judge(&self.caller, |world, _| {
            let visible = visible_tools(&self.caller.token, world).unwrap_or_default();
            let kinds = wanted.kinds.iter().copied();
            let seen = |kind| (kind, lists::seen(&visible, &self.scope, of_kind(kind)));
            kinds.map(seen).collect::<Vec<(EntryKind, Vec<Seen>)>>()
        });
        let now = judged?.0;
        for (kind, seen) in &now {
            if seen.iter().any(|list| self.is_news(list)) {
                let list: List = (*kind, lists::together(seen));
                let mine = self.caller.token.id().cloned();
                let about = About::Changed(mine, list);
                self.tell(changed(*kind), json!({}), Some(about)).await?;
            }
        }
        self.seen = now.into_iter().flat_map(|(_, seen)| seen).collect();
        if let Some(known) = &self.known {
            known.told(&self.caller.token, &self.seen);
        }
        Ok(())
    }

    /// Whether it is known how this list was, and that was otherwise.
    fn is_news(&self, (listed, now): &Seen) -> bool {
        let mut before = self.seen.iter().filter(|(seen, _)| seen == listed);
        before.any(|(_, before)| before != now)
    }

    /// Tells which lists servers said that they changed, however often they did: to who may see anything of the server.
    async fn tell_said(&mut self, wanted: &Wanted) -> Result<(), Reason> {
        let said = self.said.take(&wanted.kinds);
        let may_read = {
            let abouts: Vec<_> = said.iter().map(|(_, about)| Some(about)).collect();
            self.hearer().may_read(&abouts)
        };
        let may_read = may_read.into_iter();
        for ((kind, about), _) in said.into_iter().zip(may_read).filter(|(_, may)| *may) {
            self.tell(changed(kind), json!({}), Some(about)).await?;
        }
        Ok(())
    }

    async fn news(&self, wanted: &Wanted, server: &ServerId, news: &News) -> Result<(), Reason> {
        match news {
            News::Updated(uri) => self.updated(wanted, server, uri).await,
            News::Elicited(id) if self.was_sent(server, id) => {
                let done = json!({ "elicitationId": &**id });
                let about = Some(About::Server(server.clone()));
                self.tell("notifications/elicitation/complete", done, about)
                    .await
            }
            // Of lists is told with the next look; of tasks elsewhere, to those who listen for them.
            News::Listed(_) | News::Task(_) | News::Elicited(_) => Ok(()),
        }
    }

    /// Tells of a resource that changed, by the address that the client watches: what it may read, and in its own words. The
    /// server's may be any text, which no rule has seen.
    async fn updated(&self, wanted: &Wanted, server: &ServerId, uri: &str) -> Result<(), Reason> {
        let Some(watched) = wanted.watched(uri) else {
            return Ok(());
        };
        let about = |uri: &str| About::Resource(server.clone(), uri.to_owned());
        let told = about(watched);
        if !self.may_read(&told) || !self.may_read(&about(uri)) {
            return Ok(());
        }
        let params = json!({ "uri": watched });
        self.tell("notifications/resources/updated", params, Some(told))
            .await
    }

    /// Whether this server sent this client to a page under this name.
    fn was_sent(&self, server: &ServerId, elicitation: &str) -> bool {
        let loaded = self.caller.tenant.loaded();
        let server = loaded
            .as_ref()
            .and_then(|loaded| loaded.servers.get(server));
        let (Some(who), Some(server)) = (&self.who, server) else {
            return false;
        };
        server.sent_away(who, elicitation)
    }

    /// Whether the reader may be told of this now.
    fn may_read(&self, about: &About) -> bool {
        self.hearer().may_read(&[Some(about)]) == [true]
    }

    fn hearer(&self) -> Hearer {
        Hearer::of(&self.gateway, &self.caller, &self.scope)
    }

    /// Writes a message. While a client that is behind holds it up, it is looked at all the same whether the reader may still
    /// be here.
    async fn tell(
        &self,
        method: &str,
        mut params: Value,
        about: Option<About>,
    ) -> Result<(), Reason> {
        if let (Some(id), Some(members)) = (&self.subscription, params.as_object_mut()) {
            members.insert("_meta".into(), json!({ SUBSCRIPTION_ID: id }));
        }
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        let mut telling = std::pin::pin!(self.stream.push_about(&message, about));
        loop {
            tokio::select! {
                biased;
                () = &mut telling => return Ok(()),
                () = tokio::time::sleep(AGAIN) => self.admit().await?,
            }
        }
    }
}

/// What a list depends on, cheap to compare.
struct Generation {
    /// Of the catalogue, and of what the servers show.
    definitions: u64,
    /// Whether there is an intent, and it is not over.
    in_force: bool,
    killed: Arc<Killed>,
}

impl PartialEq for Generation {
    fn eq(&self, other: &Self) -> bool {
        // A change of the switches makes a new list of them.
        (self.definitions, self.in_force) == (other.definitions, other.in_force)
            && Arc::ptr_eq(&self.killed, &other.killed)
    }
}

/// What there are lists of.
pub(super) const KINDS: [EntryKind; 3] = [EntryKind::Tool, EntryKind::Resource, EntryKind::Prompt];

pub(super) fn of_kind(kind: EntryKind) -> &'static [Listed] {
    match kind {
        EntryKind::Tool => &[Listed::Tool],
        EntryKind::Resource => &[Listed::Resource, Listed::Template],
        EntryKind::Prompt => &[Listed::Prompt],
    }
}

fn changed(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Tool => "notifications/tools/list_changed",
        EntryKind::Resource => "notifications/resources/list_changed",
        EntryKind::Prompt => "notifications/prompts/list_changed",
    }
}

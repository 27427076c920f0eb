//! Tasks that a client listens for (MCP 2026-07-28). Whatever a server tells of one is only a reason to ask after it: what the
//! client is told is the answer to a `tasks/get` that was decided, recorded and judged as its own would have been.

use super::SUBSCRIPTION_ID;
use crate::enforce::{AskedTask, Caller, Gateway, Outcome, ShownTask};
use crate::frontend::error::Dialect;
use crate::frontend::mcp::stream::Stream;
use crate::frontend::mcp::task;
use crate::tasks::{Family, Task};
use crate::upstream::News;
use crate::upstream::task::{CHANGED, Request};
use futures::future::join_all;
use proctor_model::{Reason, ServerId};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, broadcast};
use tokio::time::Instant;

/// Tasks of one stream that are asked after at once.
const AT_ONCE: usize = 4;
/// Least time between two questions about one task, however often its server tells of it.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// How long we rely on a server that agreed to tell.
const TOLD: Duration = Duration::from_secs(30);
/// Longest pause after answers that the client may not have.
const REFUSED_PAUSE_MAX: Duration = Duration::from_secs(60);
/// How many of them in a row, once nothing more becomes of the task, are enough.
const REFUSED_MAX: u32 = 8;

/// A client that listens for its tasks.
pub(super) struct Listener {
    gateway: Arc<Gateway>,
    caller: Caller,
    server: Option<ServerId>,
    stream: Arc<Stream>,
    subscription: Value,
    trace_id: Option<String>,
    places: Semaphore,
}

/// What comes of one question.
enum Heard {
    /// Something that may become something else, after this pause.
    On(Duration),
    /// The client may not have it, or there is no answer.
    Refused,
    /// The last of it.
    Over,
}

impl Listener {
    pub(super) fn new(
        context: &super::Context<'_>,
        stream: &Arc<Stream>,
        subscription: &Value,
    ) -> Self {
        Self {
            gateway: Arc::clone(&context.endpoint.gateway),
            caller: context.caller.clone(),
            server: context.scope.only_server(),
            stream: Arc::clone(stream),
            subscription: subscription.clone(),
            trace_id: context.trace_id.clone(),
            places: Semaphore::new(AT_ONCE),
        }
    }

    /// Tells of these tasks as long as it is polled. It does not end by itself: the stream is about other things, too.
    pub(super) async fn run(&self, tasks: &[Arc<Task>]) {
        join_all(tasks.iter().map(|task| self.follow(task))).await;
        std::future::pending().await
    }

    async fn follow(&self, task: &Task) {
        // As long as it is followed, its server is asked to tell of it.
        let (_watched, mut news) = self.gateway.task_news(&self.caller, task).unzip();
        let (mut told, mut refused) = (None, 0_u32);
        loop {
            let asked = Instant::now();
            let pause = match self.ask(task, &mut told).await {
                Heard::On(pause) => {
                    refused = 0;
                    pause
                }
                Heard::Over => return,
                Heard::Refused => {
                    refused = refused.saturating_add(1);
                    if refused >= REFUSED_MAX && task.seen().status.is_final() {
                        return;
                    }
                    let more = 1_u32.checked_shl(refused).unwrap_or(u32::MAX);
                    PAUSE_MIN.saturating_mul(more).min(REFUSED_PAUSE_MAX)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = until_told(&mut news, &task.upstream_id) => {}
            }
            tokio::time::sleep_until(asked + PAUSE_MIN).await;
        }
    }

    /// Asks after a task, and tells the client what is new.
    async fn ask(&self, task: &Task, told: &mut Option<[u8; 32]>) -> Heard {
        let Ok(_place) = self.places.acquire().await else {
            return Heard::Over;
        };
        let asked = AskedTask {
            id: task.id.clone(),
            request: Request::Get,
            family: Family::Modern,
            server: self.server.clone(),
            replies: None,
            talk: task::silent(&self.caller),
            trace_id: self.trace_id.clone(),
        };
        let outcome = self.gateway.ask_task(self.caller.clone(), asked).await;
        match outcome {
            Outcome::Task(shown) => self.tell(task, *shown, told).await,
            Outcome::Refused(refused) if refused.reason == Reason::TaskUnknown => Heard::Over,
            _ => Heard::Refused,
        }
    }

    async fn tell(&self, task: &Task, shown: ShownTask, told: &mut Option<[u8; 32]>) -> Heard {
        let Some(state) = shown.state.clone() else {
            return Heard::Refused;
        };
        let mut params = task::written(Dialect::Modern, shown);
        // It is no result.
        params.remove("resultType");
        let digest = digest(&params);
        if *told != Some(digest) {
            *told = Some(digest);
            note(&mut params, &self.subscription);
            let message = json!({ "jsonrpc": "2.0", "method": CHANGED, "params": params });
            self.stream.push(&message).await;
        }
        if state.status.is_final() {
            return Heard::Over;
        }
        match self.gateway.is_told_of(&self.caller, task) {
            true => Heard::On(state.pause().max(TOLD)),
            false => Heard::On(state.pause()),
        }
    }
}

/// Waits until a server tells of this task, or of more than could be kept.
async fn until_told(news: &mut Option<broadcast::Receiver<News>>, id: &str) {
    while let Some(receiver) = news {
        match receiver.recv().await {
            Ok(News::Task(told)) if *told == *id => return,
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(_)) => return,
            // It is another server now, which is asked from time to time.
            Err(broadcast::error::RecvError::Closed) => *news = None,
        }
    }
    std::future::pending().await
}

/// Of what is told, but for the decision by which it is.
fn digest(params: &Map<String, Value>) -> [u8; 32] {
    let mut said = params.clone();
    if let Some(decision) = said
        .get_mut("_meta")
        .and_then(|meta| meta.get_mut("dev.proctor/decision"))
        .and_then(Value::as_object_mut)
    {
        decision.remove("decision_id");
    }
    Sha256::digest(Value::Object(said).to_string()).into()
}

/// Notes which subscription it is for.
fn note(params: &mut Map<String, Value>, subscription: &Value) {
    match params.get_mut("_meta") {
        Some(Value::Object(meta)) => {
            meta.insert(SUBSCRIPTION_ID.to_owned(), subscription.clone());
        }
        _ => {
            params.insert("_meta".into(), json!({ SUBSCRIPTION_ID: subscription }));
        }
    }
}

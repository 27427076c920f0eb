//! MCP over the standard streams of a child process: started when it is first needed, started anew when it ends.

mod child;
mod hear;
mod limits;
mod lines;
mod listen;
mod waiting;

pub use limits::{LIMITED, become_limited};

use super::Answer;
use super::http::Request;
use super::rpc::{self, Era, Failure, Incoming, News};
use super::subscribed::Subscribed;
use super::talk::{Deadline, QUESTIONS_MAX, Talk, declined};
use super::{Reply, task};
use child::{Group, Running, kill, write};
use hear::Ears;
use proctor_model::catalogue::ChildLimits;
use proctor_runtime::backoff::Backoff;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio as Pipe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::process::Child;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::Instant;
use waiting::{Told, Waiting};

/// Lines that may wait to be written.
const LINES_WAITING: usize = 64;
/// How long a child may take to answer the first request.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Pauses between starts of a child that keeps ending.
const RESTART_MIN: Duration = Duration::from_millis(200);
const RESTART_MAX: Duration = Duration::from_secs(30);
/// A child that ran for so long before it ended does not keep ending.
const STEADY: Duration = Duration::from_secs(30);
/// The same of one that ended as one does that is not needed. A server may be made so that it often does, and is started for
/// the next call; but not for each of many.
const STEADY_AT_REST: Duration = Duration::from_secs(1);

/// Requests in a row that a child let time out before it is ended: it may have stopped to read.
const LATE_MAX: u32 = 4;

/// The program of a child, and what it may use.
pub(super) struct Spec {
    pub(super) command: String,
    pub(super) args: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) limits: ChildLimits,
    /// Our own program, as which the child begins ([`become_limited`]); without it the limits come after the start.
    pub(super) wrapper: Option<Arc<Path>>,
}

pub(super) struct Stdio {
    spec: Spec,
    running: tokio::sync::Mutex<Start>,
    next_id: AtomicU64,
    news: broadcast::Sender<News>,
    /// The child speaks the stateless revision, and has the extension for tasks.
    tasks: AtomicBool,
    /// The last child ended as one does that is not needed, and none was started since.
    at_rest: watch::Sender<bool>,
}

struct Start {
    running: Option<Arc<Running>>,
    backoff: Backoff,
    not_before: Instant,
    /// When the last one was started.
    since: Instant,
}

impl Start {
    /// Lets go of a child that has ended. One that does not keep ending has nothing held against it.
    fn let_go(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        let steady = match running.went_to_rest() {
            true => STEADY_AT_REST,
            false => STEADY,
        };
        if self.since.elapsed() > steady {
            self.backoff.reset();
            self.not_before = Instant::now();
        }
    }
}

impl Stdio {
    pub(super) fn new(spec: Spec, news: broadcast::Sender<News>) -> Self {
        let backoff = Backoff::new(RESTART_MIN, RESTART_MAX);
        let start = Start {
            running: None,
            backoff,
            not_before: Instant::now(),
            since: Instant::now(),
        };
        Self {
            spec,
            running: tokio::sync::Mutex::new(start),
            next_id: AtomicU64::new(1),
            news,
            tasks: AtomicBool::new(false),
            at_rest: watch::channel(false).0,
        }
    }

    /// Whether the child has the extension for tasks.
    pub(super) fn makes_tasks(&self) -> bool {
        self.tasks.load(Ordering::Acquire)
    }

    /// Makes a request to the child, which is started where there is none.
    pub(super) async fn request(&self, request: Request<'_>) -> Result<Answer, Failure> {
        let mut deadline = Deadline::new(request.limit);
        let running = deadline.within(self.running()).await??;
        let answer = self.ask(&running, &request, &mut deadline).await;
        if matches!(answer, Err(Failure::Timeout)) {
            running.was_late();
        }
        let answer = answer?;
        if answer.bytes > request.bytes_max {
            Err(Failure::TooLarge)
        } else {
            Ok(answer)
        }
    }

    async fn running(&self) -> Result<Arc<Running>, Failure> {
        let mut start = self.running.lock().await;
        if let Some(running) = start
            .running
            .as_ref()
            .filter(|running| !running.ended.load(Ordering::Acquire))
        {
            return Ok(Arc::clone(running));
        }
        start.let_go();
        // A child that keeps ending is not started again for each call.
        if Instant::now() < start.not_before {
            return Err(Failure::Unreachable);
        }
        let pause = start.backoff.next_pause();
        start.not_before = Instant::now() + pause;
        // Whatever comes of it: it is needed.
        self.at_rest.send_replace(false);
        let started = tokio::time::timeout(START_TIMEOUT, self.start()).await;
        let running = match started.map_err(|_| Failure::Timeout)? {
            // Nothing was sent but our own greeting.
            Err(Failure::Broken) => return Err(Failure::Unreachable),
            started => started?,
        };
        start.running = Some(Arc::clone(&running));
        start.since = Instant::now();
        Ok(running)
    }

    /// Whether its child ended as one does that is not needed, and none was started since. What it left behind is ended.
    pub(super) async fn rests(&self) -> bool {
        let mut start = self.running.lock().await;
        let running = start.running.as_ref();
        if running.is_some_and(|running| running.went_to_rest()) {
            start.let_go();
            self.at_rest.send_replace(true);
        }
        *self.at_rest.borrow()
    }

    /// Waits while it is so. Nothing is started for that.
    pub(super) async fn woken(&self) {
        if self.rests().await {
            let mut at_rest = self.at_rest.subscribe();
            // Who tells is held by ourselves.
            drop(at_rest.wait_for(|rests| !*rests).await);
        }
    }

    async fn start(&self) -> Result<Arc<Running>, Failure> {
        let mut child = self.spawn()?;
        let stdin = child.stdin.take().ok_or(Failure::Unreachable)?;
        let stdout = child.stdout.take().ok_or(Failure::Unreachable)?;
        let (lines, waiting_lines) = mpsc::channel(LINES_WAITING);
        tokio::spawn(write(stdin, waiting_lines));
        let mut running = Running {
            era: Era::Legacy,
            lines,
            waiting: Waiting::default(),
            ended: Arc::default(),
            late: Arc::default(),
            subscribed: Subscribed::default(),
            child: Mutex::new(Some(Group(child))),
        };
        let (replies, mut replied) = mpsc::channel::<Value>(16);
        let ears = Ears {
            waiting: running.waiting.clone(),
            ended: Arc::clone(&running.ended),
            late: Arc::clone(&running.late),
            news: self.news.clone(),
            replies,
        };
        tokio::spawn(ears.hear(stdout));
        running.era = self.greet(&running).await?;
        let running = Arc::new(running);
        let replying = Arc::downgrade(&running);
        tokio::spawn(async move {
            while let Some(reply) = replied.recv().await {
                let Some(running) = replying.upgrade() else {
                    return;
                };
                if running.say(&reply).await.is_err() {
                    return;
                }
            }
        });
        Ok(running)
    }

    /// Starts the program, within its limits.
    fn spawn(&self) -> Result<Child, Failure> {
        let own = ["PATH", "HOME"].into_iter().filter_map(|name| {
            let value = std::env::var_os(name)?;
            Some((OsString::from(name), value))
        });
        let theirs = self.spec.env.iter();
        let theirs = theirs.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let program = limits::Program {
            command: &self.spec.command,
            args: &self.spec.args,
            env: own.chain(theirs).collect(),
            limits: &self.spec.limits,
        };
        let wrapper = self.spec.wrapper.as_deref();
        let mut command = program.command(wrapper);
        command
            .stdin(Pipe::piped())
            .stdout(Pipe::piped())
            .stderr(Pipe::null());
        // Its own group: a Ctrl-C at our terminal is for us, we end it in our own time.
        command.process_group(0).kill_on_drop(true);
        let child = command.spawn().map_err(|error| {
            tracing::warn!(%error, "a stdio tool server can't be started");
            Failure::Unreachable
        })?;
        if wrapper.is_none() {
            self.limit(&child)?;
        }
        Ok(child)
    }

    /// A child that can't be held to its limits is ended before it was told anything.
    fn limit(&self, child: &Child) -> Result<(), Failure> {
        limits::set(child, &self.spec.limits).map_err(|error| {
            tracing::warn!(%error, "the limits of a stdio tool server can't be set, and it is ended");
            kill(child);
            Failure::Unreachable
        })
    }

    async fn greet(&self, running: &Running) -> Result<Era, Failure> {
        // One child serves all: what it may ask is checked for each request.
        let all = rpc::initialize_params(&Talk::all_askable());
        let silent = Talk::silent("");
        let initialize = Request::own("initialize", all, &silent);
        let mut deadline = Deadline::new(START_TIMEOUT);
        let answer = self.ask(running, &initialize, &mut deadline).await?;
        match answer.reply {
            Reply::Result(result) => {
                let version = result
                    .get("protocolVersion")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                if !rpc::LEGACY_VERSIONS.contains(&version) {
                    return Err(Failure::Invalid);
                }
                let initialized = rpc::notification("notifications/initialized", Map::new());
                running.say(&initialized).await?;
                self.tasks.store(false, Ordering::Release);
                Ok(Era::Legacy)
            }
            Reply::Error(_) => {
                let params = rpc::modern_params(Map::new(), &silent, 0);
                let discover = Request::own("server/discover", params, &silent);
                let answer = self.ask(running, &discover, &mut deadline).await?;
                let discovered = rpc::result(answer)?;
                let tasks = task::declared(discovered.get("capabilities"));
                self.tasks.store(tasks, Ordering::Release);
                Ok(Era::Modern)
            }
        }
    }

    async fn ask(
        &self,
        running: &Running,
        request: &Request<'_>,
        deadline: &mut Deadline,
    ) -> Result<Answer, Failure> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let params = match running.era {
            Era::Legacy => rpc::legacy_params(request.params.clone(), request.talk, id),
            Era::Modern => rpc::modern_params(request.params.clone(), request.talk, id),
        };
        let (mut answered, mut said) = running.waiting.wait(id);
        let mut forget = Forget {
            waiting: running.waiting.clone(),
            id,
            lines: None,
        };
        let asked = rpc::request(id, request.method, params);
        deadline.within(running.say(&asked)).await??;
        forget.lines = Some(running.lines.clone()).filter(|_| request.method != "initialize");
        let (mut questions, mut kept) = (0_usize, VecDeque::new());
        let answer = loop {
            let next = async {
                if let Some(word) = kept.pop_front() {
                    return Ok(word);
                }
                tokio::select! {
                    biased;
                    Some(word) = said.recv() => Ok(word),
                    // It ended, and may have done it.
                    answer = &mut answered => Err(answer.unwrap_or(Err(Failure::Broken))),
                }
            };
            let next = deadline.within(next).await?;
            if next.is_ok() {
                request.begun();
            }
            match next {
                Err(answer) => break answer,
                Ok(Incoming::Note(note)) => deadline.within(request.talk.note(note, id)).await?,
                Ok(Incoming::Question(question, asked)) => {
                    questions = questions.saturating_add(1);
                    let refused = questions > QUESTIONS_MAX || running.era == Era::Modern;
                    let asking = (&question, asked);
                    let reply = match refused {
                        true => Some(declined(-32603, "too many questions")),
                        false => tokio::select! {
                            biased;
                            reply = request.talk.ask_while(asking, &mut said, &mut kept) => reply,
                            // It does without.
                            answer = &mut answered => break answer.unwrap_or(Err(Failure::Broken)),
                        },
                    };
                    if let Some(reply) = reply {
                        let reply = rpc::reply(&question, reply);
                        let said = deadline.within(running.say(&reply)).await?;
                        // Not that nothing was sent: the request was.
                        said.map_err(|_| Failure::Broken)?;
                    }
                }
                Ok(_) => {}
            }
        };
        forget.lines = None;
        answer
    }
}

/// Takes a request off the list when nobody waits for it any more.
struct Forget {
    waiting: Waiting,
    id: u64,
    /// Where to say that the request is given up; none while it is not sent, and once it is answered.
    lines: Option<mpsc::Sender<Vec<u8>>>,
}

impl Drop for Forget {
    fn drop(&mut self) {
        let Some(lines) = &self.lines else {
            self.waiting.forget(self.id);
            return;
        };
        let params = Map::from_iter([("requestId".to_owned(), self.id.into())]);
        let cancelled = rpc::notification("notifications/cancelled", params);
        let told = serde_json::to_vec(&cancelled).is_ok_and(|mut line| {
            line.push(b'\n');
            lines.try_send(line).is_ok()
        });
        let told = match told {
            true => Told::Queued,
            // A child that takes nothing any more has more to worry about.
            false => Told::Not,
        };
        self.waiting.give_up(self.id, told);
    }
}

#[cfg(test)]
mod tests;

//! MCP over the standard streams of a child process: started when it is first needed, started anew when it ends.

mod limits;

use super::http::Request;
use super::rpc::{self, Era, Failure, Incoming, News};
use super::talk::{Deadline, QUESTIONS_MAX, Talk, declined};
use super::{Answer, Reply, task};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use proctor_model::catalogue::ChildLimits;
use proctor_runtime::backoff::Backoff;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::process::Stdio as Pipe;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::Instant;

/// Longest line of a child, in bytes: the largest answer that a server may be allowed, and its envelope. A child that
/// writes a longer one is ended.
const LINE_BYTES_MAX: u64 = 17 * 1024 * 1024;
/// Lines that are no message, after which a child is ended.
const BAD_LINES_MAX: usize = 64;
/// Lines that may wait to be written.
const LINES_WAITING: usize = 64;
/// How long a child may take to answer the first request.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Pauses between starts of a child that keeps ending.
const RESTART_MIN: Duration = Duration::from_millis(200);
const RESTART_MAX: Duration = Duration::from_secs(30);
/// A child that ran for so long before it ended does not keep ending.
const STEADY: Duration = Duration::from_secs(30);

/// Requests in a row that a child let time out before it is ended: it may have stopped to read.
const LATE_MAX: u32 = 4;

/// Words about one request that may wait to be taken. The child's one stream can't be held up for one of those who wait
/// on it: what a slow client does not take is dropped.
const WORDS_WAITING: usize = 256;

/// Who waits for an answer.
struct Waiter {
    answer: oneshot::Sender<Answer>,
    words: mpsc::Sender<Incoming>,
}

type Waiting = Arc<Mutex<HashMap<u64, Waiter>>>;

/// A child that runs.
struct Running {
    era: Era,
    /// Whole lines for the one task that writes: a call that is given up must not leave half a line behind.
    lines: mpsc::Sender<Vec<u8>>,
    waiting: Waiting,
    ended: Arc<std::sync::atomic::AtomicBool>,
    /// Requests that timed out since the last answer.
    late: Arc<AtomicU32>,
    child: Mutex<Child>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Running {
    /// Takes note of a request that timed out. A child that answers none of them is ended, whoever still holds it.
    fn was_late(&self) {
        let late = self.late.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        if late >= LATE_MAX && !self.ended.swap(true, Ordering::AcqRel) {
            tracing::warn!("a stdio tool server answers no more, and is started anew");
            self.kill();
        }
    }

    /// Ends the child with all that it started: it leads a process group of its own.
    fn kill(&self) {
        kill(&self.child.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn kill(child: &Child) {
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(group) = group {
        // It may have ended by itself.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

pub(super) struct Stdio {
    command: String,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    limits: ChildLimits,
    running: tokio::sync::Mutex<Start>,
    next_id: AtomicU64,
    news: broadcast::Sender<News>,
    /// The child speaks the stateless revision, and has the extension for tasks.
    tasks: AtomicBool,
}

struct Start {
    running: Option<Arc<Running>>,
    backoff: Backoff,
    not_before: Instant,
    /// When the last one was started.
    since: Instant,
}

impl Stdio {
    pub(super) fn new(
        command: String,
        args: Vec<String>,
        env: BTreeMap<String, String>,
        limits: ChildLimits,
        news: broadcast::Sender<News>,
    ) -> Self {
        let backoff = Backoff::new(RESTART_MIN, RESTART_MAX);
        let start = Start {
            running: None,
            backoff,
            not_before: Instant::now(),
            since: Instant::now(),
        };
        Self {
            command,
            args,
            env,
            limits,
            running: tokio::sync::Mutex::new(start),
            next_id: AtomicU64::new(1),
            news,
            tasks: AtomicBool::new(false),
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

    /// Whether the child has to be asked for each resource that is to be watched.
    pub(super) async fn subscribes(&self) -> bool {
        matches!(self.running().await, Ok(running) if running.era == Era::Legacy)
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
        if start.running.take().is_some() && start.since.elapsed() > STEADY {
            start.backoff.reset();
        }
        // A child that keeps ending is not started again for each call.
        if Instant::now() < start.not_before {
            return Err(Failure::Unreachable);
        }
        let pause = start.backoff.next_pause();
        start.not_before = Instant::now() + pause;
        let running = tokio::time::timeout(START_TIMEOUT, self.start())
            .await
            .map_err(|_| Failure::Timeout)??;
        start.running = Some(Arc::clone(&running));
        start.since = Instant::now();
        Ok(running)
    }

    async fn start(&self) -> Result<Arc<Running>, Failure> {
        let mut command = Command::new(&self.command);
        command.args(&self.args).env_clear();
        for name in ["PATH", "HOME"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command
            .envs(&self.env)
            .stdin(Pipe::piped())
            .stdout(Pipe::piped())
            .stderr(Pipe::null());
        // Its own group: a Ctrl-C at our terminal is for us, we end it in our own time.
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| {
            tracing::warn!(%error, "a stdio tool server can't be started");
            Failure::Unreachable
        })?;
        self.limit(&child)?;
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
            child: Mutex::new(child),
        };
        let (questions, mut asked) = mpsc::channel::<Value>(16);
        tokio::spawn(read(
            stdout,
            Arc::clone(&running.waiting),
            (Arc::clone(&running.ended), Arc::clone(&running.late)),
            self.news.clone(),
            questions,
        ));
        running.era = self.greet(&running).await?;
        let running = Arc::new(running);
        let answers = Arc::downgrade(&running);
        tokio::spawn(async move {
            while let Some(answer) = asked.recv().await {
                let Some(running) = answers.upgrade() else {
                    return;
                };
                if say(&running, &answer).await.is_err() {
                    return;
                }
            }
        });
        Ok(running)
    }

    /// A child that can't be held to its limits is ended before it was told anything.
    fn limit(&self, child: &Child) -> Result<(), Failure> {
        let id = child.id().ok_or(Failure::Unreachable)?;
        limits::set(id, &self.limits).map_err(|error| {
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
                say(
                    running,
                    &rpc::notification("notifications/initialized", Map::new()),
                )
                .await?;
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
        let (answer, mut answered) = oneshot::channel();
        let (words, mut said) = mpsc::channel(WORDS_WAITING);
        let waiting = Waiting::clone(&running.waiting);
        waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, Waiter { answer, words });
        let mut forget = Forget {
            waiting,
            id,
            lines: Some(running.lines.clone()).filter(|_| request.method != "initialize"),
        };
        let asked = rpc::request(id, request.method, params);
        deadline.within(say(running, &asked)).await??;
        let mut questions = 0_usize;
        let answer = loop {
            let next = async {
                tokio::select! {
                    biased;
                    Some(word) = said.recv() => Ok(word),
                    // It ended, and may have done it.
                    answer = &mut answered => Err(answer.map_err(|_| Failure::Broken)),
                }
            };
            match deadline.within(next).await? {
                Err(answer) => break answer,
                Ok(Incoming::Note(note)) => deadline.within(request.talk.note(note, id)).await?,
                Ok(Incoming::Question(question, asked)) => {
                    questions = questions.saturating_add(1);
                    let reply = match questions > QUESTIONS_MAX || running.era == Era::Modern {
                        true => declined(-32603, "too many questions"),
                        false => request.talk.ask(asked).await,
                    };
                    let reply = rpc::reply(&question, reply);
                    deadline.within(say(running, &reply)).await??;
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
    /// Where to say that the request is given up; none once it is answered.
    lines: Option<mpsc::Sender<Vec<u8>>>,
}

impl Drop for Forget {
    fn drop(&mut self) {
        if let Some(lines) = &self.lines {
            let params = Map::from_iter([("requestId".to_owned(), self.id.into())]);
            let cancelled = rpc::notification("notifications/cancelled", params);
            if let Ok(mut line) = serde_json::to_vec(&cancelled) {
                line.push(b'\n');
                // A child that takes nothing any more has more to worry about.
                let _ = lines.try_send(line);
            }
        }
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.id);
    }
}

async fn say(running: &Running, message: &Value) -> Result<(), Failure> {
    let mut line = serde_json::to_vec(message).map_err(|_| Failure::Invalid)?;
    line.push(b'\n');
    running
        .lines
        .send(line)
        .await
        .map_err(|_| Failure::Unreachable)
}

/// Writes whole lines until the child is gone or nobody has any more.
async fn write(mut stdin: ChildStdin, mut lines: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = lines.recv().await {
        if stdin.write_all(&line).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
}

/// Hands the child's lines to those who wait, until it ends.
async fn read(
    stdout: ChildStdout,
    waiting: Waiting,
    (ended, late): (Arc<std::sync::atomic::AtomicBool>, Arc<AtomicU32>),
    news: broadcast::Sender<News>,
    questions: mpsc::Sender<Value>,
) {
    let mut reader = BufReader::new(stdout);
    let (mut line, mut bad) = (Vec::new(), 0_usize);
    loop {
        line.clear();
        let mut limited = tokio::io::AsyncReadExt::take(&mut reader, LINE_BYTES_MAX);
        match limited.read_until(b'\n', &mut line).await {
            Ok(read) if read > 0 && line.ends_with(b"\n") => {}
            _ => break,
        }
        let bytes = u64::try_from(line.len()).unwrap_or(u64::MAX);
        match rpc::read(&line) {
            Ok(Incoming::Answer(id, reply)) => {
                late.store(0, Ordering::Release);
                let waiter = waiting
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&id);
                if let Some(waiter) = waiter {
                    // Whoever asked may have given up.
                    let _ = waiter.answer.send(Answer { reply, bytes });
                }
            }
            // A child that asks faster than it reads answers gets none.
            Ok(Incoming::Ping(id)) => {
                drop(questions.try_send(rpc::reply(&id, Reply::Result(Map::new()))));
            }
            Ok(Incoming::Question(id, said)) => {
                let asked = concerned(&waiting, None)
                    .map(|words| words.try_send(Incoming::Question(id.clone(), said)).is_ok());
                if asked != Some(true) {
                    let nobody = declined(-32603, "it is not clear which request this belongs to");
                    drop(questions.try_send(rpc::reply(&id, nobody)));
                }
            }
            Ok(Incoming::Note(said)) => {
                if said.method == task::STATUS
                    && let Some(told) = News::of_task(&said.params)
                {
                    // Nobody listens: nobody misses it.
                    let _ = news.send(told);
                }
                let progress = said.params.get("progressToken").and_then(Value::as_u64);
                if let Some(words) = concerned(&waiting, progress) {
                    drop(words.try_send(Incoming::Note(said)));
                }
            }
            Ok(Incoming::News(told)) => drop(news.send(told)),
            Ok(Incoming::Unreadable(_) | Incoming::Other) => {}
            Err(_) if bad >= BAD_LINES_MAX => break,
            Err(_) => {
                bad = bad.saturating_add(1);
                tracing::debug!("a stdio tool server wrote something that is no message");
            }
        }
    }
    ended.store(true, Ordering::Release);
    waiting
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clear();
}

/// Whom a word is for: who waits for the answer to this request. On the one stream of a child a log line or a question
/// names none: it is only passed on where a single request waits.
fn concerned(waiting: &Waiting, request: Option<u64>) -> Option<mpsc::Sender<Incoming>> {
    let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    match request {
        Some(id) => waiting.get(&id).map(|waiter| waiter.words.clone()),
        None if waiting.len() == 1 => waiting.values().next().map(|waiter| waiter.words.clone()),
        None => None,
    }
}

#[cfg(test)]
mod tests;

//! What is said between a request to a tool server and its answer: the server's notes and questions, the client's replies.

use super::Reply;
use super::rpc::{Failure, Incoming};
use super::task::{self, Wish};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Words that may wait to be taken; the server's stream is not read further before one is.
pub(crate) const WORDS_WAITING: usize = 16;
/// How long a question may wait for its reply: a person may have to give it.
pub(crate) const REPLY_TIMEOUT: Duration = Duration::from_secs(600);
/// Questions of a server about one request.
pub(crate) const QUESTIONS_MAX: usize = 16;

/// What a server says or asks.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) method: String,
    pub(crate) params: Map<String, Value>,
}

/// A message of a server before its answer.
pub(crate) enum Word {
    /// Progress, or a line of its log.
    Note(Said),
    /// It waits for the reply.
    Question(Said, oneshot::Sender<Reply>),
    /// It does not wait any more for the reply to a question: the one whose sender is closed.
    Withdrawn,
}

/// Replies to questions that came as a result (MCP 2026-07-28).
#[derive(Clone, Debug, Default)]
pub(crate) struct Inputs {
    pub(crate) responses: Option<Map<String, Value>>,
    /// The server's own state, as it gave it.
    pub(crate) state: Option<String>,
}

/// Where a client answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answers {
    /// As the revisions up to 2025-11-25 do: it is asked by a request on its stream.
    OnItsStream,
    /// As 2026-07-28 does: it makes its request anew, with the replies.
    InANewRequest,
}

/// How a request and its server may talk to each other.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    /// In whose name a server of the older revisions holds a session.
    pub(crate) who: Arc<str>,
    /// What the client can be asked: `sampling`, `elicitation`, `roots` as it declared them.
    pub(crate) capabilities: Map<String, Value>,
    /// The client's token for progress, if it wants to hear of it.
    pub(crate) progress: Option<Value>,
    /// The least level of log lines that the client wants.
    pub(crate) log_level: Option<String>,
    pub(crate) inputs: Option<Inputs>,
    /// Whether the call may become a task.
    pub(crate) tasks: Wish,
    /// Where the client answers questions that come as a result.
    pub(crate) answers: Answers,
    /// Where words go; without it nothing is passed on, and questions are declined.
    pub(crate) words: Option<mpsc::Sender<Word>>,
}

impl Talk {
    /// For requests that nobody listens to.
    pub(crate) fn silent(who: &str) -> Self {
        Self {
            who: who.into(),
            capabilities: Map::new(),
            progress: None,
            log_level: None,
            inputs: None,
            tasks: Wish::Never,
            answers: Answers::OnItsStream,
            words: None,
        }
    }

    /// For the edge's own look at a server: nobody listens, but what the server has for clients that can be asked is to
    /// be seen as well.
    pub(super) fn watching(who: &str) -> Self {
        Self {
            capabilities: Self::all_askable(),
            ..Self::silent(who)
        }
    }

    /// All that any client can be asked.
    pub(super) fn all_askable() -> Map<String, Value> {
        ASKABLE
            .map(|(name, _)| (name.to_owned(), json!({})))
            .into_iter()
            .collect()
    }

    /// Whether questions that come as a result are passed on as one.
    pub(crate) fn takes_results(&self) -> bool {
        self.answers == Answers::InANewRequest
    }

    /// The client's capabilities as a server of the stateless revision is told them.
    pub(super) fn modern_capabilities(&self) -> Map<String, Value> {
        let mut capabilities = self.capabilities.clone();
        if let (Wish::Offered { .. } | Wish::Asked { .. }, Value::Object(tasks)) =
            (self.tasks, task::capability())
        {
            capabilities.extend(tasks);
        }
        capabilities
    }

    /// The `task` member of a call, if a server of the older revisions is asked for one.
    pub(super) fn legacy_task(&self) -> Option<Value> {
        match self.tasks {
            Wish::Never | Wish::Offered { needed: false } => None,
            Wish::Offered { needed: true } | Wish::Asked { ttl_ms: None } => Some(json!({})),
            Wish::Asked { ttl_ms: Some(ttl) } => Some(json!({ "ttl": ttl })),
        }
    }

    /// What of a client's capabilities a server may build on.
    pub(crate) fn askable(declared: Option<&Value>) -> Map<String, Value> {
        let mut askable = Map::new();
        for (name, parts) in ASKABLE {
            let Some(theirs) = declared.and_then(|all| all.get(name)?.as_object()) else {
                continue;
            };
            // Written anew: a declaration is no way for values to a server.
            let known = parts.iter().filter_map(|part| {
                let part_is = match theirs.get(*part)? {
                    Value::Bool(declared) => Value::Bool(*declared),
                    Value::Object(_) => json!({}),
                    _ => return None,
                };
                Some(((*part).to_owned(), part_is))
            });
            askable.insert(name.to_owned(), Value::Object(known.collect()));
        }
        askable
    }

    /// Whether the client may be asked this.
    pub(crate) fn can_be_asked(&self, method: &str) -> bool {
        capability(method).is_some_and(|name| self.capabilities.contains_key(name))
    }

    /// Whether the client may be asked all of a result's questions.
    pub(crate) fn can_be_asked_all(&self, body: &Map<String, Value>) -> bool {
        questions(body).all(|(_, question)| {
            let method = question.get("method").and_then(Value::as_str);
            method.is_some_and(|method| self.can_be_asked(method))
        })
    }

    /// Passes a note on. Of progress only what belongs to this request, under the client's own token.
    pub(super) async fn note(&self, mut said: Said, request: u64) {
        let Some(words) = &self.words else { return };
        if said.method == "notifications/progress" {
            match (&self.progress, said.params.get("progressToken")) {
                (Some(token), Some(theirs)) if *theirs == json!(request) => {
                    said.params.insert("progressToken".into(), token.clone());
                }
                _ => return,
            }
        }
        if said.method == "notifications/message" && !self.wants_log(&said) {
            return;
        }
        // Nobody takes it any more: the request is given up, which is found out elsewhere.
        let _ = words.send(Word::Note(said)).await;
    }

    /// A client of 2026-07-28 that names no level wants no lines; one of the older revisions takes what the server sends.
    fn wants_log(&self, said: &Said) -> bool {
        let level = said
            .params
            .get("level")
            .and_then(Value::as_str)
            .and_then(rank);
        match (&self.log_level, self.answers) {
            (None, answers) => answers == Answers::OnItsStream,
            (Some(least), _) => level >= rank(least),
        }
    }

    /// The least level that a server of the stateless revision is asked for.
    pub(super) fn asked_level(&self) -> Option<&str> {
        match (&self.log_level, self.answers) {
            (Some(level), _) => Some(level),
            (None, Answers::OnItsStream) if self.words.is_some() => Some("info"),
            (None, _) => None,
        }
    }

    /// Asks the client; what it can't be asked is declined.
    pub(super) async fn ask(&self, said: Said) -> Reply {
        let Some(words) = self
            .words
            .as_ref()
            .filter(|_| self.can_be_asked(&said.method))
        else {
            return declined(-32601, "this client offers no such method");
        };
        let (reply, replied) = oneshot::channel();
        if words.send(Word::Question(said, reply)).await.is_err() {
            return declined(-32603, "nobody is there to answer");
        }
        match tokio::time::timeout(REPLY_TIMEOUT, replied).await {
            Ok(Ok(reply)) => reply,
            _ => declined(-32603, "there was no answer"),
        }
    }

    /// The same, for as long as the server does not take the question back: then there is no reply. What else it says
    /// meanwhile is kept for after it.
    pub(super) async fn ask_while(
        &self,
        (question, asked): (&Value, Said),
        said: &mut mpsc::Receiver<Incoming>,
        kept: &mut VecDeque<Incoming>,
    ) -> Option<Reply> {
        let mut asking = std::pin::pin!(self.ask(asked));
        loop {
            tokio::select! {
                biased;
                reply = &mut asking => return Some(reply),
                Some(word) = said.recv(), if kept.len() < WORDS_WAITING => match word {
                    Incoming::Withdrawn(id) if id == *question => return None,
                    word => kept.push_back(word),
                },
            }
        }
    }
}

/// What a result asks, by name.
pub(crate) fn questions(body: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let questions = body.get("inputRequests").and_then(Value::as_object);
    questions.into_iter().flatten()
}

/// What clients can be asked, and the parts of it that they may declare.
const ASKABLE: [(&str, &[&str]); 3] = [
    ("sampling", &["tools", "context"]),
    ("elicitation", &["form", "url"]),
    // Not `listChanged`: a server that hears of a change asks at once, outside any request of the client, where it gets no
    // answer.
    ("roots", &[]),
];

/// Levels of log lines, least first (RFC 5424).
const LEVELS: [&str; 8] = [
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
];

fn rank(level: &str) -> Option<usize> {
    LEVELS.iter().position(|known| *known == level)
}

/// Whether this is a level of log lines.
pub(crate) fn is_level(level: &str) -> bool {
    rank(level).is_some()
}

/// The capability that a client must declare to be asked by this method.
pub(crate) fn capability(method: &str) -> Option<&'static str> {
    match method {
        "sampling/createMessage" => Some("sampling"),
        "elicitation/create" => Some("elicitation"),
        "roots/list" => Some("roots"),
        _ => None,
    }
}

/// No, in JSON-RPC.
pub(crate) fn declined(code: i64, message: &str) -> Reply {
    let mut error = Map::new();
    error.insert("code".into(), code.into());
    error.insert("message".into(), message.into());
    Reply::Error(error)
}

/// Time that a server has left. It runs only while we wait for the server, not while it waits for the client.
pub(super) struct Deadline {
    left: Duration,
    paused: Arc<Mutex<Paused>>,
}

/// Time that is the client's, since it was last asked for.
#[derive(Default)]
struct Paused {
    over: Duration,
    /// Since when somebody waits for the client, and how many do.
    since: Option<Instant>,
    waiting: u32,
}

impl Paused {
    fn take(&mut self) -> Duration {
        let now = Instant::now();
        let running = self.since.map(|since| now - since).unwrap_or_default();
        self.since = self.since.map(|_| now);
        std::mem::take(&mut self.over) + running
    }
}

/// How often it is looked at whether the client still thinks, once the server's time is up.
const CLIENT_THINKS: Duration = Duration::from_millis(50);

impl Deadline {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            left: limit,
            paused: Arc::default(),
        }
    }

    /// What takes its time on the client's account.
    pub(super) fn pauses(&self) -> Pauses {
        Pauses(Arc::clone(&self.paused))
    }

    fn paused(&self) -> (Duration, bool) {
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        (paused.take(), paused.since.is_some())
    }

    pub(super) async fn within<T>(
        &mut self,
        waiting: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        let mut waiting = std::pin::pin!(waiting);
        // Much is there already: it takes no time, and no clock is looked at.
        let ready = poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context)));
        if let Poll::Ready(done) = ready.await {
            return Ok(done);
        }
        let mut wait = self.left;
        loop {
            let started = Instant::now();
            let waited = tokio::time::timeout(wait, &mut waiting).await;
            let (paused, thinking) = self.paused();
            let took = started.elapsed().saturating_sub(paused);
            self.left = self.left.saturating_sub(took);
            match waited {
                Ok(done) => return Ok(done),
                Err(_) if self.left.is_zero() && !thinking => return Err(Failure::Timeout),
                Err(_) if thinking => wait = self.left.max(CLIENT_THINKS),
                Err(_) => wait = self.left,
            }
        }
    }
}

/// Stops a deadline's time.
#[derive(Clone)]
pub(super) struct Pauses(Arc<Mutex<Paused>>);

impl Pauses {
    /// Waits without the deadline's time going on.
    pub(super) async fn during<T>(&self, waiting: impl Future<Output = T>) -> T {
        let _pause = self.begin();
        waiting.await
    }

    fn begin(&self) -> Pause<'_> {
        let mut paused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        paused.waiting += 1;
        paused.since.get_or_insert_with(Instant::now);
        Pause(&self.0)
    }
}

/// The deadline's time goes on when this is dropped.
struct Pause<'a>(&'a Mutex<Paused>);

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        let mut paused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        paused.waiting = paused.waiting.saturating_sub(1);
        if paused.waiting == 0
            && let Some(since) = paused.since.take()
        {
            paused.over += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn progress_goes_to_its_own_request_under_the_clients_token() {
        let (words, mut taken) = mpsc::channel(4);
        let mut talk = Talk::silent("a");
        talk.words = Some(words);
        talk.progress = Some(json!("mine"));
        let progress = |token: Value| Said {
            method: "notifications/progress".into(),
            params: json!({ "progressToken": token, "progress": 1 })
                .as_object()
                .unwrap()
                .clone(),
        };
        for other in [json!(8), json!("7"), json!("mine")] {
            talk.note(progress(other), 7).await;
        }
        talk.note(progress(json!(7)), 7).await;
        drop(talk);
        let Some(Word::Note(said)) = taken.recv().await else {
            panic!("no note")
        };
        assert_eq!(said.params["progressToken"], "mine");
        assert!(taken.recv().await.is_none(), "another request's progress");
    }

    #[tokio::test]
    async fn a_client_is_asked_what_it_declared_alone() {
        let (words, mut taken) = mpsc::channel(4);
        let mut talk = Talk::silent("a");
        talk.words = Some(words);
        talk.capabilities =
            Talk::askable(Some(&json!({ "roots": {}, "sampling": true, "tasks": {} })));
        for method in ["sampling/createMessage", "elicitation/create", "tools/call"] {
            let said = Said {
                method: method.into(),
                params: Map::new(),
            };
            assert!(matches!(talk.ask(said).await, Reply::Error(_)), "{method}");
        }
        let said = Said {
            method: "roots/list".into(),
            params: Map::new(),
        };
        let asked = tokio::spawn(async move { talk.ask(said).await });
        let Some(Word::Question(_, reply)) = taken.recv().await else {
            panic!("no question")
        };
        reply.send(Reply::Result(Map::new())).unwrap();
        assert!(matches!(asked.await.unwrap(), Reply::Result(_)));
    }

    #[tokio::test]
    async fn a_question_that_is_taken_back_is_not_waited_for_and_what_is_said_meanwhile_is_kept() {
        let (words, mut taken) = mpsc::channel(4);
        let mut talk = Talk::silent("a");
        talk.words = Some(words);
        talk.capabilities = Talk::askable(Some(&json!({ "roots": {} })));
        let (says, mut said) = mpsc::channel(4);
        for word in [
            Incoming::Withdrawn(json!("another")),
            Incoming::Other,
            Incoming::Withdrawn(json!("ours")),
        ] {
            assert!(says.try_send(word).is_ok());
        }
        let asked = Said {
            method: "roots/list".into(),
            params: Map::new(),
        };
        let mut kept = VecDeque::new();
        let question = json!("ours");
        let replied = talk.ask_while((&question, asked), &mut said, &mut kept);
        assert!(replied.await.is_none());
        assert_eq!(kept.len(), 2);
        let Some(Word::Question(_, reply)) = taken.recv().await else {
            panic!("no question")
        };
        assert!(reply.is_closed(), "nobody waits");
    }

    #[test]
    fn a_declaration_is_written_anew() {
        let declared = json!({
            "roots": { "listChanged": true, "x": "SECRET" },
            "elicitation": { "form": { "x": "SECRET" }, "url": "SECRET" },
            "sampling": { "SECRET": {}, "tools": {} },
            "SECRET": {},
        });
        let rebuilt = json!({
            "roots": {}, "elicitation": { "form": {} }, "sampling": { "tools": {} },
        });
        assert_eq!(Value::Object(Talk::askable(Some(&declared))), rebuilt);
        assert!(Talk::askable(Some(&json!({ "roots": "SECRET" }))).is_empty());
        assert!(Talk::askable(None).is_empty());
    }

    #[tokio::test]
    async fn a_servers_time_stands_still_while_the_client_thinks() {
        let mut deadline = Deadline::new(Duration::from_millis(200));
        let pauses = deadline.pauses();
        let asking = async {
            pauses
                .during(tokio::time::sleep(Duration::from_millis(600)))
                .await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(deadline.within(asking).await.is_ok());
        let slow = tokio::time::sleep(Duration::from_secs(5));
        assert_eq!(deadline.within(slow).await, Err(Failure::Timeout));
    }
}

//! JSON-RPC messages towards a tool server, and what its answers may be.

use super::talk::{Said, Talk};
use super::{Answer, Reply};
use proctor_model::{EntryKind, Reason};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The revision that is asked for in an `initialize`.
pub(super) const LEGACY_VERSION: &str = "2025-11-25";
/// Revisions that a server may settle on.
pub(super) const LEGACY_VERSIONS: [&str; 4] =
    ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
/// The stateless revision.
pub(super) const MODERN_VERSION: &str = "2026-07-28";

/// Why a tool server gave no usable answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// It could not be reached: nothing was sent.
    Unreachable,
    /// It broke off, or refused in HTTP, after the request was sent.
    Broken,
    /// We could not go on with it, for a reason of our own, after the request was sent.
    Stranded,
    /// A 5xx and no answer, after the request was sent.
    ServerError,
    /// It says that it does not know the session, after it may have done what was asked.
    SessionLost,
    /// It took too long.
    Timeout,
    /// What it sent is no answer.
    Invalid,
    /// A 401 or 429 and no answer: it may have nothing against the request itself.
    Refused,
    /// More than the limit.
    TooLarge,
    /// We gave up because the client did.
    Cancelled,
    /// Too many calls are waiting for this server.
    Overloaded,
    /// It failed again and again: nothing was sent.
    Open,
    /// The credential for it is not here, or is not for that host, or was not taken: nothing was sent.
    NoCredential,
    /// An argument can't stand where the request wants it: nothing was sent.
    Unsendable,
}

impl Failure {
    /// Word for the audit event.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Broken => "broken",
            Self::Stranded => "stranded",
            Self::ServerError => "server_error",
            Self::SessionLost => "session_lost",
            Self::Timeout => "timeout",
            // To whoever called it is the same.
            Self::Invalid | Self::Refused => "invalid",
            Self::TooLarge => "too_large",
            Self::Cancelled => "cancelled",
            Self::Overloaded => "overloaded",
            Self::Open => "circuit_open",
            Self::NoCredential => "no_credential",
            Self::Unsendable => "unsendable",
        }
    }

    /// Whether it is the server's fault. A 4xx never is: it may be ours, or the agent's.
    pub(super) fn is_fault(self) -> bool {
        matches!(
            self,
            Self::Unreachable | Self::Broken | Self::ServerError | Self::Timeout
        )
    }

    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::Unreachable
            | Self::Broken
            | Self::Stranded
            | Self::ServerError
            | Self::SessionLost
            | Self::Cancelled => Reason::UpstreamUnavailable,
            Self::Timeout => Reason::OutputTimeout,
            Self::Invalid | Self::Refused => Reason::OutputInvalid,
            Self::TooLarge => Reason::OutputTooLarge,
            Self::Overloaded => Reason::Overloaded,
            Self::Open => Reason::CircuitOpen,
            Self::NoCredential => Reason::UpstreamCredential,
            Self::Unsendable => Reason::InvalidArguments,
        }
    }
}

/// Which family of revisions a server speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Era {
    /// `initialize`, sessions: up to 2025-11-25.
    Legacy,
    /// Stateless: 2026-07-28.
    Modern,
}

pub(super) fn request(id: u64, method: &str, params: Map<String, Value>) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

pub(super) fn notification(method: &str, params: Map<String, Value>) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params })
}

pub(super) fn client_info() -> Value {
    json!({ "name": "proctor-edge", "version": env!("CARGO_PKG_VERSION") })
}

pub(super) fn initialize_params(capabilities: &Map<String, Value>) -> Map<String, Value> {
    let mut params = Map::new();
    params.insert("protocolVersion".into(), LEGACY_VERSION.into());
    params.insert("capabilities".into(), capabilities.clone().into());
    params.insert("clientInfo".into(), client_info());
    params
}

/// Adds what each request of the stateless revision carries.
pub(super) fn modern_params(
    mut params: Map<String, Value>,
    talk: &Talk,
    id: u64,
) -> Map<String, Value> {
    let mut meta = Map::new();
    meta.insert(
        "io.modelcontextprotocol/protocolVersion".into(),
        MODERN_VERSION.into(),
    );
    meta.insert("io.modelcontextprotocol/clientInfo".into(), client_info());
    meta.insert(
        "io.modelcontextprotocol/clientCapabilities".into(),
        talk.modern_capabilities().into(),
    );
    if let Some(level) = talk.asked_level() {
        meta.insert("io.modelcontextprotocol/logLevel".into(), level.into());
    }
    if talk.progress.is_some() {
        meta.insert("progressToken".into(), id.into());
    }
    params.insert("_meta".into(), meta.into());
    if let Some(inputs) = &talk.inputs {
        let responses = inputs.responses.clone();
        params.extend(responses.map(|responses| ("inputResponses".to_owned(), responses.into())));
        let state = inputs.state.clone();
        params.extend(state.map(|state| ("requestState".to_owned(), state.into())));
    }
    params
}

/// Adds what a request of the older revisions may carry.
pub(super) fn legacy_params(
    mut params: Map<String, Value>,
    talk: &Talk,
    id: u64,
) -> Map<String, Value> {
    if talk.progress.is_some() {
        params.insert("_meta".into(), json!({ "progressToken": id }));
    }
    let task = talk.legacy_task();
    params.extend(task.map(|task| ("task".to_owned(), task)));
    params
}

/// A reply to a server's question.
pub(super) fn reply(id: &Value, reply: Reply) -> Value {
    match reply {
        Reply::Result(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Reply::Error(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error }),
    }
}

/// What a server tells about itself, to whoever it concerns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum News {
    /// The tools, prompts or resources that it lists changed.
    Listed(EntryKind),
    /// The content of a resource.
    Updated(Arc<str>),
    /// The state of a task, by the server's own name for it. What it says of it is not believed: the task is asked after.
    Task(Arc<str>),
    /// A person has done what a page was for that they were sent to, by the server's name for that.
    Elicited(Arc<str>),
}

impl News {
    /// The task that a notification is about.
    pub(super) fn of_task(params: &Map<String, Value>) -> Option<Self> {
        let id = super::task::named(params)?;
        Some(Self::Task(id.into()))
    }
}

/// What a message from a server is to us.
pub(super) enum Incoming {
    /// The answer to our request of this id.
    Answer(u64, Reply),
    /// An error without an id: our request could not be read.
    Unreadable(Map<String, Value>),
    /// It asks whether we are there.
    Ping(Value),
    /// It asks the client something.
    Question(Value, Said),
    /// It says something about a request in work.
    Note(Said),
    /// It says something about itself.
    News(News),
    /// It takes back what it asked, or ends what it was asked to tell of, by the id.
    Withdrawn(Value),
    /// Anything else.
    Other,
}

/// Longest address of a resource that a server may tell of, in bytes: many of them wait to be taken.
const URI_BYTES_MAX: usize = 4 * 1024;
/// Longest name of what a server sends a person to do, in bytes.
const ELICITATION_BYTES_MAX: usize = 256;
/// Most values in one message: text is cheap, a tree of tiny values takes a hundred times its size in memory. Some 200 bytes
/// each where a call is at its highest: 25 MiB.
const NODES_MAX: usize = 128 * 1024;

/// Values in a JSON text, counted before anything is built.
fn nodes(bytes: &[u8]) -> usize {
    let (mut nodes, mut inside, mut escaped) = (1_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b'[' | b'{' | b',' if !inside => nodes = nodes.saturating_add(1),
            _ => {}
        }
    }
    nodes
}

/// Reads one JSON text of an upstream, of bounded size as a tree.
pub(super) fn value(bytes: &[u8]) -> Result<Value, Failure> {
    if nodes(bytes) > NODES_MAX {
        return Err(Failure::TooLarge);
    }
    serde_json::from_slice(bytes).map_err(|_| Failure::Invalid)
}

/// Reads one message. Never the agent's words: an ordinary parser will do, what we pass on is written anew.
pub(super) fn read(bytes: &[u8]) -> Result<Incoming, Failure> {
    let Value::Object(mut message) = value(bytes)? else {
        return Err(Failure::Invalid);
    };
    let params = |message: &mut Map<String, Value>| match message.remove("params") {
        Some(Value::Object(params)) => params,
        _ => Map::new(),
    };
    let (method, id) = (message.remove("method"), message.remove("id"));
    // An error about what could not be read has no id; in JSON-RPC 2.0 that is written as null.
    let id = id.filter(|id| method.is_some() || !id.is_null());
    match (method, id) {
        (Some(Value::String(method)), None) => Ok(notified(method, params(&mut message))),
        (Some(_), None) => Ok(Incoming::Other),
        (Some(Value::String(method)), Some(id)) if method == "ping" => Ok(Incoming::Ping(id)),
        (Some(method), Some(id)) => {
            let method = method.as_str().unwrap_or_default().to_owned();
            let params = params(&mut message);
            Ok(Incoming::Question(id, Said { method, params }))
        }
        (None, Some(id)) => {
            let id = id.as_u64().ok_or(Failure::Invalid)?;
            match (message.remove("result"), message.remove("error")) {
                (Some(Value::Object(result)), None) => {
                    Ok(Incoming::Answer(id, Reply::Result(result)))
                }
                (None, Some(Value::Object(error))) => Ok(Incoming::Answer(id, Reply::Error(error))),
                _ => Err(Failure::Invalid),
            }
        }
        // An error without an id: the request could not be read. It is an answer, if not a good one.
        (None, None) => match message.remove("error") {
            Some(Value::Object(error)) => Ok(Incoming::Unreadable(error)),
            _ => Err(Failure::Invalid),
        },
    }
}

fn notified(method: String, params: Map<String, Value>) -> Incoming {
    match method.as_str() {
        "notifications/tools/list_changed" => Incoming::News(News::Listed(EntryKind::Tool)),
        "notifications/prompts/list_changed" => Incoming::News(News::Listed(EntryKind::Prompt)),
        "notifications/resources/list_changed" => Incoming::News(News::Listed(EntryKind::Resource)),
        "notifications/resources/updated" => match params.get("uri").and_then(Value::as_str) {
            Some(uri) if uri.len() <= URI_BYTES_MAX => Incoming::News(News::Updated(uri.into())),
            _ => Incoming::Other,
        },
        super::task::CHANGED => News::of_task(&params).map_or(Incoming::Other, Incoming::News),
        "notifications/elicitation/complete" => match elicitation(&params) {
            Some(id) => Incoming::News(News::Elicited(id.into())),
            None => Incoming::Other,
        },
        "notifications/cancelled" => match params.get("requestId") {
            Some(id) => Incoming::Withdrawn(id.clone()),
            None => Incoming::Other,
        },
        "notifications/progress" | "notifications/message" | super::task::STATUS => {
            Incoming::Note(Said { method, params })
        }
        _ => Incoming::Other,
    }
}

/// The server's name for what it sends a person to do, of a question or an error of that kind.
pub(super) fn elicitation(params: &Map<String, Value>) -> Option<&str> {
    let id = params.get("elicitationId").and_then(Value::as_str);
    id.filter(|id| id.len() <= ELICITATION_BYTES_MAX)
}

/// What a server of the stateless revision is asked to tell of itself.
pub(super) fn wanted(resources: &[Arc<str>]) -> Value {
    json!({
        "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true,
        "resourceSubscriptions": resources,
    })
}

/// The answer as a result object.
pub(super) fn result(answer: Answer) -> Result<Map<String, Value>, Failure> {
    match answer.reply {
        Reply::Result(result) => Ok(result),
        Reply::Error(_) => Err(Failure::Invalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_an_id_is_one_however_that_is_written() {
        for id in ["", r#""id":null,"#] {
            let text = format!(r#"{{{id}"jsonrpc":"2.0","error":{{"code":-32000}}}}"#);
            let Ok(Incoming::Unreadable(error)) = read(text.as_bytes()) else {
                panic!("{text}")
            };
            assert_eq!(error["code"], -32000);
        }
        // A question has whatever id it has; a result without one answers nothing.
        let question = read(br#"{"id":null,"method":"roots/list"}"#);
        assert!(matches!(question, Ok(Incoming::Question(Value::Null, _))));
        assert!(read(br#"{"id":null,"result":{}}"#).is_err());
    }
}

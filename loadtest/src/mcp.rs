//! A client of MCP by hand, of both families of revisions: what is sent, headers included, is what the test says, and
//! long-lived streams are read message by message.

use anyhow::{Context, bail, ensure};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use std::time::Duration;

/// The stateless revision.
pub const MODERN: &str = "2026-07-28";
/// The newest revision with sessions.
pub const LEGACY: &str = "2025-11-25";

/// A family of revisions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Era {
    /// With sessions, up to 2025-11-25.
    Legacy,
    /// Stateless, 2026-07-28.
    Modern,
}

impl Era {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Legacy, Self::Modern];
}

/// Who asks: an endpoint and a token.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Client {
    /// Of one MCP endpoint of an edge.
    ///
    /// # Errors
    /// If there is no HTTP client.
    pub fn new(url: &str, token: &str) -> anyhow::Result<Self> {
        Ok(Self {
            http: reqwest::Client::builder().no_proxy().build()?,
            url: url.to_owned(),
            token: token.to_owned(),
        })
    }

    fn post(&self) -> RequestBuilder {
        self.http
            .post(&self.url)
            .bearer_auth(&self.token)
            .header("accept", "application/json, text/event-stream")
    }

    /// A request of the stateless revision, its headers and its `_meta` as they have to be, with what more `_meta` is given.
    pub fn modern(&self, method: &str, mut params: Value) -> RequestBuilder {
        let mut request = self
            .post()
            .header("mcp-protocol-version", MODERN)
            .header("mcp-method", method);
        let named = ["name", "uri", "taskId"].map(|member| params[member].as_str());
        if let Some(name) = named.into_iter().flatten().next() {
            request = request.header("mcp-name", name);
        }
        let mut all = meta();
        if let (Some(all), Some(more)) = (all.as_object_mut(), params["_meta"].as_object()) {
            all.extend(more.clone());
        }
        params["_meta"] = all;
        request.json(&json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }))
    }

    /// A message of the older revisions, in a session if there is one.
    pub fn legacy(&self, version: &str, session: Option<&str>, message: &Value) -> RequestBuilder {
        let mut request = self.post().header("mcp-protocol-version", version);
        if let Some(session) = session {
            request = request.header("mcp-session-id", session);
        }
        request.json(message)
    }

    /// Begins a session of a client that can do nothing more; its id, and what the edge says of itself.
    ///
    /// # Errors
    /// If the edge refuses.
    pub async fn initialize(&self, version: &str) -> anyhow::Result<(String, Value)> {
        self.begin(version, json!({})).await
    }

    /// Begins a session of a client that can be asked by forms; its id.
    ///
    /// # Errors
    /// If the edge refuses.
    pub async fn asked(&self) -> anyhow::Result<String> {
        let (session, _) = self.begin(LEGACY, json!({ "elicitation": {} })).await?;
        Ok(session)
    }

    /// A new session's id, in the family that has sessions.
    ///
    /// # Errors
    /// If the edge refuses.
    pub async fn session(&self, era: Era) -> anyhow::Result<Option<String>> {
        Ok(match era {
            Era::Legacy => Some(self.initialize(LEGACY).await?.0),
            Era::Modern => None,
        })
    }

    /// Begins a session of a client with these capabilities; its id, and what the edge says of itself.
    ///
    /// # Errors
    /// If the edge refuses.
    pub async fn begin(
        &self,
        version: &str,
        capabilities: Value,
    ) -> anyhow::Result<(String, Value)> {
        let begin = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": version, "capabilities": capabilities, "clientInfo": { "name": "x", "version": "1" },
        } });
        let response = self.post().json(&begin).send().await?;
        let session = response.headers().get("mcp-session-id").cloned();
        let answer: Value = response.json().await?;
        ensure!(answer["result"].is_object(), "{answer}");
        let session = session.context("a session id")?.to_str()?.to_owned();
        Ok((session, answer["result"].clone()))
    }

    /// Asks in one family or the other; the whole answer.
    ///
    /// # Errors
    /// If there is no JSON in the answer.
    pub async fn ask(&self, era: Era, method: &str, params: Value) -> anyhow::Result<Value> {
        let request = match era {
            Era::Modern => self.modern(method, params),
            Era::Legacy => {
                let (session, _) = self.initialize(LEGACY).await?;
                let message =
                    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
                self.legacy(LEGACY, Some(&session), &message)
            }
        };
        Ok(request.send().await?.json().await?)
    }

    /// Opens the long-lived stream of a family, to be told of changes of the tools: `subscriptions/listen`, or the `GET`
    /// stream of a session of its own.
    ///
    /// # Errors
    /// If the edge refuses.
    pub async fn stream(&self, era: Era) -> anyhow::Result<Stream> {
        match era {
            Era::Modern => {
                let wanted = json!({ "toolsListChanged": true });
                Ok(self.listen(wanted).await?.0)
            }
            Era::Legacy => {
                let (session, _) = self.initialize(LEGACY).await?;
                self.general(&session).await
            }
        }
    }

    /// The same, to be told of changes of all lists and of these resources; and which of them the edge agreed to watch.
    ///
    /// # Errors
    /// If the edge refuses the stream.
    pub async fn watch(&self, era: Era, uris: &[&str]) -> anyhow::Result<(Stream, Vec<String>)> {
        if era == Era::Modern {
            let (stream, agreed) = self
                .listen(json!({
                    "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true,
                    "resourceSubscriptions": uris,
                }))
                .await?;
            let watched = agreed["resourceSubscriptions"].as_array();
            let watched = watched.into_iter().flatten().filter_map(Value::as_str);
            let watched = watched.map(str::to_owned).collect();
            return Ok((stream, watched));
        }
        let (session, _) = self.initialize(LEGACY).await?;
        let stream = self.general(&session).await?;
        let mut watched = Vec::new();
        for uri in uris {
            let answer = self.subscribe(&session, uri).send().await?;
            let answer: Value = answer.json().await?;
            if answer["result"].is_object() {
                watched.push((*uri).to_owned());
            }
        }
        Ok((stream, watched))
    }

    /// `resources/subscribe` of the older revisions, in this session.
    pub fn subscribe(&self, session: &str, uri: &str) -> RequestBuilder {
        let params = json!({ "uri": uri });
        let message =
            json!({ "jsonrpc": "2.0", "id": 7, "method": "resources/subscribe", "params": params });
        self.legacy(LEGACY, Some(session), &message)
    }

    /// `subscriptions/listen`; the stream, and what the edge agreed to tell of.
    async fn listen(&self, wanted: Value) -> anyhow::Result<(Stream, Value)> {
        let wanted = json!({ "notifications": wanted });
        let mut stream = Stream::open(self.modern("subscriptions/listen", wanted)).await?;
        let first = stream.next().await?.context("an acknowledgement")?;
        let acknowledged = "notifications/subscriptions/acknowledged";
        ensure!(first["method"] == acknowledged, "{first}");
        Ok((stream, first["params"]["notifications"].clone()))
    }

    /// The `GET` stream of a session.
    ///
    /// # Errors
    /// If the edge refuses.
    pub async fn general(&self, session: &str) -> anyhow::Result<Stream> {
        Stream::open(self.get(session)).await
    }

    /// Makes a request whose progress is asked for and whose answer comes as a stream: in a session, or of the stateless
    /// revision.
    ///
    /// # Errors
    /// If the answer is no stream.
    pub async fn streamed(
        &self,
        session: Option<&str>,
        method: &str,
        mut params: Value,
    ) -> anyhow::Result<Stream> {
        params["_meta"] = json!({ "progressToken": "p" });
        let request = match session {
            None => self.modern(method, params),
            Some(_) => {
                let message =
                    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
                self.legacy(LEGACY, session, &message)
            }
        };
        Stream::open(request).await
    }

    /// Takes a stream of a session up again after this event.
    ///
    /// # Errors
    /// If the edge refuses.
    pub async fn resume(&self, session: &str, event: &str) -> anyhow::Result<Stream> {
        Stream::open(self.get(session).header("last-event-id", event)).await
    }

    fn get(&self, session: &str) -> RequestBuilder {
        self.http
            .get(&self.url)
            .bearer_auth(&self.token)
            .header("accept", "text/event-stream")
            .header("mcp-protocol-version", LEGACY)
            .header("mcp-session-id", session)
    }
}

/// What each request of the stateless revision says of itself.
#[must_use]
pub fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

/// A long-lived stream.
pub struct Stream {
    response: Response,
    /// Come, and not read yet.
    bytes: Vec<u8>,
}

impl Stream {
    async fn open(request: RequestBuilder) -> anyhow::Result<Self> {
        let response = request.send().await?;
        let kind = response.headers().get("content-type").cloned();
        if kind.is_none_or(|kind| kind != "text/event-stream") {
            bail!("no stream: {}", response.text().await?);
        }
        Ok(Self {
            response,
            bytes: Vec::new(),
        })
    }

    /// The next message; `None` when the stream is over.
    async fn next(&mut self) -> anyhow::Result<Option<Value>> {
        loop {
            let end = self.bytes.windows(2).position(|two| two == b"\n\n");
            let Some(end) = end else {
                match self.response.chunk().await? {
                    Some(chunk) => self.bytes.extend_from_slice(&chunk),
                    None => return Ok(None),
                }
                continue;
            };
            let event: Vec<u8> = self.bytes.drain(..end.saturating_add(2)).collect();
            let event = String::from_utf8(event)?;
            // A greeting and what keeps the connection open have no data.
            if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) {
                return Ok(Some(serde_json::from_str(data)?));
            }
        }
    }

    /// Waits for the next message, whatever it is.
    ///
    /// # Errors
    /// If none comes in time, or the stream ends.
    pub async fn message(&mut self, patience: Duration) -> anyhow::Result<Value> {
        let next = tokio::time::timeout(patience, self.next()).await;
        let next = next.with_context(|| format!("no message within {patience:?}"))?;
        next?.context("the stream is over")
    }

    /// Reads until the stream ends; what came on it.
    ///
    /// # Errors
    /// If it does not end in time.
    pub async fn rest(mut self, patience: Duration) -> anyhow::Result<Vec<Value>> {
        let rest = async {
            let mut rest = Vec::new();
            while let Some(message) = self.next().await? {
                rest.push(message);
            }
            anyhow::Ok(rest)
        };
        let ended = tokio::time::timeout(patience, rest).await;
        ended.with_context(|| format!("the stream goes on after {patience:?}"))?
    }
}

//! An installation with the server of the table behind it, and a client of both families of revisions.

use super::server::{Server, serve};
use super::{BLOCKED, BYTES_MAX};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use futures::StreamExt;
use proctor_loadtest::acme;
use proctor_loadtest::cluster::{Cluster, Options};
use proctor_loadtest::load::AGENT;
use proctor_loadtest::mcp::{Client, Era};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long it is waited for what is told of a task where it is to be kept back.
const TOLD_IN: Duration = Duration::from_secs(3);
/// How long it may take until the edge has seen that something is described otherwise, and until what is told comes.
const SEEN_IN: Duration = Duration::from_secs(60);
/// Shorter runs are not looked into.
const RUN_MIN: usize = 16;

/// What came, and behind it what stands there in base64: as who opens a picture or a file gets to see it.
fn opened(out: &str) -> String {
    let is_of_one = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
    let runs = out.split(|c: char| !is_of_one(c));
    let runs = runs.filter(|run| run.len() >= RUN_MIN);
    let inside = runs.filter_map(|run| STANDARD_NO_PAD.decode(run).ok());
    let mut opened = out.to_owned();
    for bytes in inside {
        opened.push(' ');
        opened.push_str(&String::from_utf8_lossy(&bytes));
    }
    opened
}

/// A family of revisions, on either side of the edge, or one on each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    Modern,
    Legacy,
    /// An older client of a newer server.
    Older,
}

impl Family {
    fn server(self) -> &'static str {
        match self {
            Self::Modern | Self::Older => "modern",
            Self::Legacy => "legacy",
        }
    }

    /// The entry of the catalogue that speaks by a channel.
    pub(crate) fn source(self, channel: &str) -> String {
        let entry = match channel {
            "resource" => "resource:said://by/{plant}",
            "resource blob" => "resource:said://in/{plant}",
            "prompt" | "completion" => "prompt:seen",
            _ => "say",
        };
        format!("{}/{entry}", self.server())
    }
}

pub(crate) struct System {
    cluster: Cluster,
    server: Server,
    /// Where both servers are.
    address: String,
    http: reqwest::Client,
    token: String,
    /// At each of the servers.
    sessions: HashMap<&'static str, String>,
}

impl System {
    pub(crate) async fn start() -> Self {
        let cluster = Cluster::start(Options {
            settings: json!({ "intent": "when_declared" }),
            ..Options::default()
        })
        .await
        .unwrap();
        let server = Server::default();
        "Shown".clone_into(&mut server.description.lock().unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new()
            .route("/{family}", axum::routing::post(serve))
            .with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let address = format!("http://{address}");
        for family in [Family::Modern, Family::Legacy] {
            import(&cluster, family, &address).await;
        }
        configure(&cluster).await;
        let token = mint(&cluster).await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut system = Self {
            cluster,
            server,
            address,
            http,
            token,
            sessions: HashMap::new(),
        };
        for family in [Family::Legacy, Family::Older] {
            let session = system.open(family).await;
            system.sessions.insert(family.server(), session);
        }
        system.settle().await;
        system
    }

    fn client(&self, family: Family) -> Client {
        let url = format!("{}/v1/mcp/{}", self.cluster.edge_url, family.server());
        Client::new(&url, &self.token).unwrap()
    }

    async fn open(&self, family: Family) -> String {
        self.client(family).asked().await.unwrap()
    }

    /// Waits until the tenant's policy and rules are the edge's.
    async fn settle(&self) {
        let started = Instant::now();
        loop {
            let out = self.hear(Family::Modern, "text", "block", BLOCKED).await;
            let large = self
                .hear(Family::Modern, "text", "large", &"y".repeat(BYTES_MAX))
                .await;
            if out.contains("content_blocked") && large.contains("output_too_large") {
                return;
            }
            assert!(started.elapsed() < SEEN_IN, "{out} {large}");
        }
    }

    fn post(&self, family: Family) -> reqwest::RequestBuilder {
        let url = format!("{}/v1/mcp/{}", self.cluster.edge_url, family.server());
        let post = self.http.post(url).bearer_auth(&self.token);
        let post = post.header("accept", "application/json, text/event-stream");
        match self.sessions.get(family.server()) {
            Some(session) if family != Family::Modern => post.header("mcp-session-id", session),
            _ => post,
        }
    }

    /// One request; all that came for it, headers included.
    async fn ask(&self, family: Family, method: &str, params: Value) -> String {
        let response = self.send(family, method, params).await;
        let mut out = format!("{:?} ", response.headers());
        let mut stream = response.bytes_stream();
        while let Some(piece) = stream.next().await {
            out.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
            self.decline(family, &out).await;
        }
        out
    }

    async fn send(&self, family: Family, method: &str, mut params: Value) -> reqwest::Response {
        let mut post = self.post(family);
        params["_meta"] = json!({ "progressToken": "p" });
        if family == Family::Modern {
            params["_meta"] = json!({
                "progressToken": "p",
                "io.modelcontextprotocol/logLevel": "debug",
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {
                    "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} },
                },
            });
            post = post
                .header("mcp-protocol-version", "2026-07-28")
                .header("mcp-method", method);
            let name = ["name", "uri", "taskId"];
            let name = name.iter().find_map(|key| params[*key].as_str());
            post = name
                .into_iter()
                .fold(post, |post, name| post.header("mcp-name", name));
            let region = params["arguments"]["region"].as_str();
            post = region
                .into_iter()
                .fold(post, |post, region| post.header("mcp-param-region", region));
        }
        let body = json!({ "jsonrpc": "2.0", "id": 9, "method": method, "params": params });
        post.json(&body).send().await.unwrap()
    }

    /// Listens until something is told of a task.
    async fn listen(&self, wanted: Value, out: &mut String) {
        let (method, before) = ("subscriptions/listen", out.len());
        let mut stream = self
            .send(Family::Modern, method, wanted)
            .await
            .bytes_stream();
        while let Some(piece) = stream.next().await {
            out.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
            if out[before..].contains("\"notifications/tasks\"") {
                return;
            }
        }
    }

    /// Answers a question on the stream, once it is whole.
    async fn decline(&self, family: Family, out: &str) {
        let question = out
            .split("\n\n")
            .filter_map(|event| event.split_once("data: "))
            .filter_map(|(_, data)| serde_json::from_str::<Value>(data).ok())
            .find(|message| message["method"] == "elicitation/create");
        if let Some(question) = question {
            let reply = json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "action": "decline" } });
            let reply = self.post(family).json(&reply).send();
            assert!(reply.await.unwrap().status().is_success());
        }
    }

    /// What a client hears when the server says this by that channel, files opened.
    pub(crate) async fn hear(
        &self,
        family: Family,
        channel: &str,
        plant: &str,
        text: &str,
    ) -> String {
        opened(&self.receive(family, channel, plant, text).await)
    }

    async fn receive(&self, family: Family, channel: &str, plant: &str, text: &str) -> String {
        let text = text.to_owned();
        self.server
            .plants
            .lock()
            .unwrap()
            .insert(plant.to_owned(), text);
        match channel {
            "resource" => {
                let uri = json!({ "uri": format!("said://by/{plant}") });
                return self.ask(family, "resources/read", uri).await;
            }
            "resource blob" => {
                let uri = json!({ "uri": format!("said://in/{plant}") });
                return self.ask(family, "resources/read", uri).await;
            }
            "prompt" => {
                return self
                    .ask(family, "prompts/get", json!({ "name": plant }))
                    .await;
            }
            "completion" => {
                let params = json!({ "ref": { "type": "ref/prompt", "name": plant }, "argument": { "name": "a", "value": "" } });
                return self.ask(family, "completion/complete", params).await;
            }
            _ => {}
        }
        let mut params =
            json!({ "name": "say", "arguments": { "channel": channel, "plant": plant } });
        let task = channel.starts_with("task");
        if task && family != Family::Modern {
            params["task"] = json!({});
        }
        let mut out = self.ask(family, "tools/call", params).await;
        if task {
            let patience = match plant {
                "block" | "large" => TOLD_IN,
                _ => SEEN_IN,
            };
            self.follow(family, channel, patience, &mut out).await;
        }
        out
    }

    /// All that can be asked of a task.
    async fn follow(&self, family: Family, channel: &str, patience: Duration, out: &mut String) {
        let begun = out.split_once("\"taskId\":\"");
        let Some(id) = begun.and_then(|(_, rest)| rest.split('"').next()) else {
            return;
        };
        if (family, channel) == (Family::Modern, "task notification") {
            let wanted = json!({ "notifications": { "taskIds": [id] } });
            let listening = self.listen(wanted, out);
            // What is kept back does not come: waited for a little longer than it takes. What is to come is waited for.
            drop(tokio::time::timeout(patience, listening).await);
            return;
        }
        let id = json!({ "taskId": id });
        out.push_str(&self.ask(family, "tasks/get", id.clone()).await);
        // What goes on is waited for, where it is the edge that asks its server.
        let over = [
            "task result",
            "task structured",
            "task error",
            "task question",
        ];
        if family == Family::Legacy || (family == Family::Older && over.contains(&channel)) {
            out.push_str(&self.ask(family, "tasks/result", id).await);
        }
        if family != Family::Modern {
            out.push_str(&self.ask(family, "tasks/list", json!({})).await);
        }
    }

    /// Where the edge takes a value to have come from, by the audit event of a call with it.
    pub(crate) async fn origins(&self, family: Family, value: &str) -> Value {
        let out = self.take(family, json!({ "text": value })).await;
        let (_, decision) = out
            .split_once("\"decision_id\":\"")
            .unwrap_or_else(|| panic!("{out}"));
        let decision = decision.split('"').next().unwrap();
        let path = format!("audit/events?decision_id={decision}");
        let started = Instant::now();
        loop {
            let events = self.cluster.acme(Method::GET, &path, None).await.unwrap();
            let entries = events["entries"].as_array().cloned().unwrap_or_default();
            let events = entries.iter().map(|entry| &entry["event"]);
            let mut authorized = events.filter(|event| event["kind"] == "authorized");
            if let Some(event) = authorized.next() {
                return event["origins"]["/text"].clone();
            }
            assert!(
                started.elapsed() < SEEN_IN,
                "{decision} is not in the chain"
            );
        }
    }

    pub(crate) async fn take(&self, family: Family, arguments: Value) -> String {
        let params = json!({ "name": "take", "arguments": arguments });
        self.ask(family, "tools/call", params).await
    }

    pub(crate) async fn list(&self, family: Family) -> String {
        self.ask(family, "tools/list", json!({})).await
    }

    /// All that a server says of what it has.
    async fn lists(&self, family: Family) -> String {
        let mut lists = String::new();
        for method in ["tools/list", "resources/templates/list", "prompts/list"] {
            lists.push_str(&self.ask(family, method, json!({})).await);
        }
        lists
    }

    /// Describes everything so, and approves it. Waits until it is in force, and the lists are as they should be then; on the
    /// way there they are checked, too.
    pub(crate) async fn approve(&self, text: &str, ok: impl Fn(&str) -> bool, never: &str) {
        text.clone_into(&mut self.server.description.lock().unwrap());
        for family in [Family::Modern, Family::Legacy] {
            import(&self.cluster, family, &self.address).await;
        }
        let started = Instant::now();
        for family in [Family::Modern, Family::Legacy] {
            loop {
                let lists = self.lists(family).await;
                assert!(!lists.contains(never), "{family:?}: {lists}");
                // What is held back can't be called.
                let call = json!({ "name": "shown", "arguments": {} });
                let called = self.ask(family, "tools/call", call).await;
                if ok(&lists) && called.contains("taken") {
                    break;
                }
                assert!(started.elapsed() < SEEN_IN, "{family:?}: {called} {lists}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// What a client is told on its long-lived stream when the server says in a call that its tools changed, and why.
    pub(crate) async fn told_of_a_change(&self, family: Family, why: &str) -> String {
        let era = match family {
            Family::Modern => Era::Modern,
            Family::Legacy | Family::Older => Era::Legacy,
        };
        let mut stream = self.client(family).stream(era).await.unwrap();
        self.hear(family, "list changed", "redact", why).await;
        stream.message(SEEN_IN).await.unwrap().to_string()
    }

    /// Describes a tool otherwise, and waits until the edge has seen it.
    pub(crate) async fn describe(&self, text: &str) {
        text.clone_into(&mut self.server.description.lock().unwrap());
        let started = Instant::now();
        for family in [Family::Modern, Family::Legacy] {
            while self.list(family).await.contains("\"shown\"") {
                assert!(started.elapsed() < SEEN_IN, "it is shown still");
            }
        }
    }

    /// Calls that the server has got.
    pub(crate) fn heard(&self) -> Vec<String> {
        let heard = self.server.heard.lock().unwrap();
        let taken = heard.iter().filter(|heard| heard.contains("\"take\""));
        taken.cloned().collect()
    }

    /// All events, once all is settled.
    pub(crate) async fn chain(&self) -> Vec<Value> {
        proctor_loadtest::oracle::settled(&self.cluster, Duration::from_secs(30))
            .await
            .unwrap();
        let (mut chain, mut before) = (Vec::new(), 0_u64);
        loop {
            let path = format!("audit/events?limit=1000&before_seq={before}");
            let page = self.cluster.acme(Method::GET, &path, None).await.unwrap();
            let entries = page["entries"].as_array().unwrap();
            chain.extend(entries.iter().map(|entry| entry["event"].clone()));
            match page["next_before_seq"].as_u64() {
                Some(next) => before = next,
                None => return chain,
            }
        }
    }

    pub(crate) async fn stop(self) {
        self.cluster.stop().await;
    }
}

/// Registers a family's server with all that it lists now.
async fn import(cluster: &Cluster, family: Family, address: &str) {
    let url = format!("{address}/{}", family.server());
    acme::import(cluster, family.server(), &url).await.unwrap();
}

async fn configure(cluster: &Cluster) {
    let source = format!(
        "package proctor.policy\n\ndecision := {{\"effect\": \"allow\", \"reasons\": [], \"limits\": {{\"bytes\": {BYTES_MAX}}}}}\n"
    );
    let policy = json!({ "modules": [{ "name": "allow.rego", "source": source }] });
    let put = cluster
        .acme(Method::PUT, "policies/allow", Some(policy))
        .await
        .unwrap();
    let activate = format!("policies/allow/versions/{}/activate", put["version"]);
    let mode = Some(json!({ "mode": "enforce" }));
    cluster.acme(Method::POST, &activate, mode).await.unwrap();
    let rules = json!({ "rules": [{ "classes": ["github_token"], "direction": "inbound", "action": "block" }] });
    cluster
        .acme(Method::PUT, "content-rules", Some(rules))
        .await
        .unwrap();
    let agent = format!("agents/{AGENT}");
    cluster
        .acme(Method::PUT, &agent, Some(json!({})))
        .await
        .unwrap();
}

async fn mint(cluster: &Cluster) -> String {
    let minted = acme::mint(cluster, 3600, &["tool in modern/*,legacy/*"]).await;
    let token = minted.unwrap();
    let call = json!({ "text": "x" });
    for tool in ["modern/take", "legacy/take"] {
        cluster
            .wait_allowed(&token, AGENT, tool, call.clone())
            .await
            .unwrap();
    }
    token
}

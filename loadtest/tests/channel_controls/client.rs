//! An installation with the server of the table behind it, and a client of both families of revisions.

use super::server::{Server, serve};
use super::{BLOCKED, BYTES_MAX};
use futures::StreamExt;
use proctor_loadtest::cluster::{Cluster, Options, proctor_binary};
use proctor_loadtest::load::{AGENT, in_secs};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long it is waited for what is told of a task.
const TOLD_IN: Duration = Duration::from_secs(3);

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
            "prompt" | "completion" => "prompt:seen",
            _ => "say",
        };
        format!("{}/{entry}", self.server())
    }
}

pub(crate) struct System {
    cluster: Cluster,
    server: Server,
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
        for family in [Family::Modern, Family::Legacy] {
            let (id, url) = (
                family.server(),
                format!("http://{address}/{}", family.server()),
            );
            let mut import = tokio::process::Command::new(proctor_binary().unwrap());
            import
                .args(["server", "import", id, "--url", &url])
                .env("PROCTOR_API_URL", &cluster.api_url)
                .env("PROCTOR_TENANT", "acme")
                .env("PROCTOR_ADMIN_KEY", cluster.admin_key());
            assert!(import.status().await.unwrap().success());
        }
        configure(&cluster).await;
        let token = mint(&cluster).await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut system = Self {
            cluster,
            server,
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

    async fn open(&self, family: Family) -> String {
        let begin = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": { "elicitation": {} }, "clientInfo": { "name": "x", "version": "1" },
        } });
        let request = self.post(family).json(&begin);
        let response = request.send().await.unwrap();
        response.headers()["mcp-session-id"]
            .to_str()
            .unwrap()
            .to_owned()
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
            assert!(started.elapsed().as_secs() < 30, "{out} {large}");
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

    /// What a client hears when the server says this by that channel.
    pub(crate) async fn hear(
        &self,
        family: Family,
        channel: &str,
        plant: &str,
        text: &str,
    ) -> String {
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
            self.follow(family, channel, &mut out).await;
        }
        out
    }

    /// All that can be asked of a task.
    async fn follow(&self, family: Family, channel: &str, out: &mut String) {
        let begun = out.split_once("\"taskId\":\"");
        let Some(id) = begun.and_then(|(_, rest)| rest.split('"').next()) else {
            return;
        };
        if (family, channel) == (Family::Modern, "task notification") {
            let wanted = json!({ "notifications": { "taskIds": [id] } });
            let listening = self.listen(wanted, out);
            // What is kept back does not come: waited for a little longer than it takes.
            drop(tokio::time::timeout(TOLD_IN, listening).await);
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
                started.elapsed().as_secs() < 20,
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

    /// Describes a tool otherwise, and waits until the edge has seen it.
    pub(crate) async fn describe(&self, text: &str) {
        text.clone_into(&mut self.server.description.lock().unwrap());
        let started = Instant::now();
        for family in [Family::Modern, Family::Legacy] {
            while self.list(family).await.contains("\"shown\"") {
                assert!(started.elapsed().as_secs() < 60, "it is shown still");
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
    let time = format!("time < {}", in_secs(3600).unwrap());
    let caveats = [time.as_str(), "tool in modern/*,legacy/*"];
    let body = json!({ "agent": AGENT, "caveats": caveats });
    let minted = cluster
        .acme(Method::POST, "tokens", Some(body))
        .await
        .unwrap();
    let token = minted["token"].as_str().unwrap().to_owned();
    let call = json!({ "text": "x" });
    for tool in ["modern/take", "legacy/take"] {
        cluster
            .wait_allowed(&token, AGENT, tool, call.clone())
            .await
            .unwrap();
    }
    token
}

//! LLM egress: official clients of two providers through the edge against a stand-in provider, and what it got.
//!
//! The clients' part is skipped, and listed as such, only where npm or python3 is absent.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

#[path = "llm/python.rs"]
mod python;

use proctor_devstack::skipped;
use proctor_loadtest::cluster::{Cluster, Options, free_port, proctor_binary};
use proctor_loadtest::load::{allow_all, in_secs};
use proctor_loadtest::provider::{LEAKED, PROVIDER_KEY, Provider};
use python::{fresh, has, here, install, succeeds, venv};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

const AGENT: &str = "client";
const MODELS: [&str; 9] = [
    "echo", "runaway", "caller", "leaky", "broken", "busy", "wrong", "silent", "cut",
];
/// Where a runaway is cut.
const CEILING: u64 = 100;
/// How long news, events and ends may take, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Installs the official clients; false where that is not possible at all.
async fn installed() -> bool {
    if !has("npm") || !has("python3") {
        skipped("npm or python3 is absent");
        return false;
    }
    let stamp = here().join("node_modules/.package-lock.json");
    if !fresh(&stamp, &here().join("package-lock.json")) {
        let mut npm = Command::new("npm");
        let npm = npm.args(["ci", "--no-audit", "--no-fund"]);
        succeeds(npm.current_dir(here())).await;
    }
    install().await;
    true
}

struct System {
    cluster: Cluster,
    provider: Provider,
    http: reqwest::Client,
}

impl System {
    async fn start(pause: Duration) -> Self {
        let cluster = Cluster::start(Options {
            settings: json!({ "intent": "when_declared" }),
            ..Options::default()
        })
        .await
        .unwrap();
        let provider = Provider::start(pause).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let system = Self {
            cluster,
            provider,
            http,
        };
        let host = system.provider.url.strip_prefix("http://").unwrap();
        for name in ["openai-key", "anthropic-key"] {
            let secret = json!({ "hosts": [host, "127.0.0.1"], "value": PROVIDER_KEY });
            let path = format!("secrets/{name}");
            system
                .cluster
                .acme(Method::PUT, &path, Some(secret))
                .await
                .unwrap();
        }
        let url = format!("{}/v1", system.provider.url);
        let ceiling = ["--output-tokens-max", &CEILING.to_string()];
        let anthropic = system.provider.url.clone();
        let nobody = format!("http://127.0.0.1:{}/v1", free_port().unwrap());
        let stands_in = ["--fail-over", "openai/broken", "--fail-over", "openai/echo"];
        for (id, dialect, url, models, more) in [
            ("openai", "openai", &url, &MODELS[..], &ceiling[..]),
            ("anthropic", "anthropic", &anthropic, &MODELS, &ceiling),
            ("free", "openai", &url, &["runaway"], &[]),
            ("down", "openai", &nobody, &["echo"], &stands_in),
        ] {
            system.register(id, dialect, url, models, more).await;
        }
        allow_all(&system.cluster).await.unwrap();
        let agent = format!("agents/{AGENT}");
        system
            .cluster
            .acme(Method::PUT, &agent, Some(json!({})))
            .await
            .unwrap();
        system
    }

    async fn register(&self, id: &str, dialect: &str, url: &str, models: &[&str], more: &[&str]) {
        let mut command = Command::new(proctor_binary().unwrap());
        command.args(["llm", "put", id, "--dialect", dialect, "--url", url]);
        command.args(["--secret", &format!("{dialect}-key"), "--private-addresses"]);
        command.args(more);
        for model in models {
            command.args(["--model", model]);
        }
        command
            .env("PROCTOR_API_URL", &self.cluster.api_url)
            .env("PROCTOR_TENANT", "acme")
            .env("PROCTOR_ADMIN_KEY", self.cluster.admin_key());
        succeeds(&mut command).await;
    }

    async fn token(&self, tools: &str) -> String {
        let caveats = [
            format!("time < {}", in_secs(3600).unwrap()),
            format!("tool in {tools}"),
        ];
        let body = json!({ "agent": AGENT, "caveats": caveats });
        let minted = self.cluster.acme(Method::POST, "tokens", Some(body)).await;
        let token = minted.unwrap()["token"].as_str().unwrap().to_owned();
        let prompt = json!({ "model": "echo", "messages": [{ "role": "user", "content": "x" }] });
        let tool = "llm/openai/echo";
        self.cluster
            .wait_allowed(&token, AGENT, tool, prompt)
            .await
            .unwrap();
        token
    }

    async fn post(&self, token: &str, path: &str, body: &Value) -> Response {
        let url = format!("{}/v1/llm/{path}", self.cluster.edge_url);
        self.http
            .post(url)
            .bearer_auth(token)
            .json(body)
            .send()
            .await
            .unwrap()
    }

    /// The reason of a refusal.
    async fn reason(&self, token: &str, path: &str, body: &Value) -> String {
        let answer: Value = self.post(token, path, body).await.json().await.unwrap();
        let reason = answer["error"]["data"]["reason"].as_str();
        reason.unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Events of the audit chain about models, once the last has arrived.
    async fn events(&self, kind: &str, model: &str) -> Vec<Value> {
        let started = Instant::now();
        loop {
            let page = self
                .cluster
                .acme(Method::GET, "audit/events?limit=500", None)
                .await
                .unwrap();
            let list = page["entries"].as_array().cloned().unwrap_or_default();
            let event = |entry: Value| entry.get("event").cloned().unwrap_or(entry);
            let of = |event: &Value| event["kind"] == kind && event["tool"]["name"] == model;
            let found: Vec<Value> = list.into_iter().map(event).filter(of).collect();
            if !found.is_empty() || started.elapsed() > PATIENCE {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

const TEXT: &str = "good morning, all is well";

fn check_common(who: &str, played: &Value, tokens: [u64; 2]) {
    let whole = json!({ "text": TEXT, "tokens": tokens });
    assert_eq!(played["whole"], whole, "{who}");
    assert_eq!(played["stream"]["text"], TEXT, "{who}");
    assert_eq!(played["stream"]["tokens"], json!(tokens), "{who}");
    let call = json!({ "name": "get_weather", "arguments": { "city": "Utrecht", "contact": "bob@example.org" } });
    assert_eq!(played["tool"], call, "{who}");
    assert_eq!(played["tool_stream"], call, "{who}");
    for leaky in ["leaky", "leaky_stream"] {
        let text = played[leaky].as_str().unwrap();
        assert_eq!(text, "the key is [AWS_KEY], keep it well", "{who}");
    }
    let runaway = &played["runaway"];
    assert_eq!(runaway["reason"], "tokens_exhausted", "{who}: {runaway}");
    assert!(
        runaway["message"]
            .as_str()
            .unwrap()
            .contains("ceiling of tokens"),
        "{who}"
    );
    assert_eq!(runaway["base"], true, "{who}: {runaway}");
    let read = runaway["read"].as_str().unwrap();
    assert_eq!(
        read.matches(" word").count() as u64,
        CEILING,
        "{who}: {read}"
    );
    let unknown = &played["unknown_model"];
    assert_eq!(
        (unknown["type"].as_str(), unknown["status"].as_u64()),
        (Some("PermissionDeniedError"), Some(403)),
        "{who}"
    );
    assert_eq!(unknown["reason"], "unknown_tool", "{who}");
    let forged = &played["forged"];
    assert_eq!(
        (forged["type"].as_str(), forged["status"].as_u64()),
        (Some("AuthenticationError"), Some(401)),
        "{who}"
    );
}

fn check_openai(who: &str, played: &Value) {
    check_common(who, played, [19, 10]);
    assert_eq!(played["stream"]["finish"], "stop", "{who}");
    assert_eq!(
        played["response"],
        json!({ "text": TEXT, "tokens": [36, 87] }),
        "{who}"
    );
    assert_eq!(played["response_stream"]["text"], TEXT, "{who}");
    assert_eq!(
        played["response_stream"]["last"], "response.completed",
        "{who}"
    );
    assert_eq!(played["embeddings"], 2, "{who}");
    let runaway = &played["response_runaway"];
    assert_eq!(runaway["reason"], "tokens_exhausted", "{who}: {runaway}");
    assert_eq!(
        runaway["read"].as_str().unwrap().matches(" word").count() as u64,
        CEILING,
        "{who}"
    );
    let wrong = &played["wrong"];
    assert_eq!(
        (wrong["type"].as_str(), wrong["status"].as_u64()),
        (Some("BadRequestError"), Some(400)),
        "{who}"
    );
    assert_eq!(
        wrong["message"], "Unsupported value: 'temperature'",
        "{who}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn official_clients_chat_stream_call_tools_and_raise_their_own_errors() {
    if !installed().await {
        return;
    }
    let system = System::start(Duration::ZERO).await;
    let token = system.token("llm/*").await;
    let edge = system.cluster.edge_url.clone();
    let mut python = Command::new(venv().join("bin/python"));
    let out = succeeds(python.arg(here().join("client.py")).args([&edge, &token])).await;
    let played: Value = serde_json::from_str(out.trim()).unwrap();
    check_openai("openai, Python", &played["openai"]);
    check_common("anthropic, Python", &played["anthropic"], [25, 15]);
    let python = &played["openai"];
    assert_eq!(python["busy"], TEXT);
    assert_eq!(python["response_stream"]["whole"], TEXT);
    assert_eq!(
        python["response_tool_stream"][0]["arguments"]["city"],
        "Utrecht"
    );
    assert_eq!(
        (
            python["broken"]["type"].as_str(),
            python["broken"]["status"].as_u64()
        ),
        (Some("InternalServerError"), Some(500))
    );
    assert_eq!(
        python["cut"]["reason"], "upstream_unavailable",
        "{}",
        python["cut"]
    );
    assert_eq!(
        python["secret"]["reason"], "content_blocked",
        "{}",
        python["secret"]
    );
    let anthropic = &played["anthropic"];
    assert_eq!(anthropic["stream"]["finish"], "end_turn");
    let mut models = MODELS;
    models.sort_unstable();
    assert_eq!(anthropic["models"], json!(models));
    assert_eq!(python["models"], json!(models));
    assert_eq!(anthropic["beta"], TEXT);
    let refused = &anthropic["beta_refused"];
    assert_eq!(refused["reason"], "invalid_params", "{refused}");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("mcp-client-2025-04-04"), "{refused}");
    let asked = system.provider.asked();
    let betas: Vec<&str> = asked
        .iter()
        .flat_map(|asked| &asked.headers)
        .filter(|(name, _)| name == "anthropic-beta")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(betas, ["effort-2025-11-24"]);
    let mut node = Command::new("node");
    let out = succeeds(node.arg(here().join("client.mjs")).args([&edge, &token])).await;
    check_openai(
        "openai, TypeScript",
        &serde_json::from_str(out.trim()).unwrap(),
    );

    for asked in system.provider.asked() {
        let all = format!(
            "{:?} {}",
            asked.headers,
            String::from_utf8_lossy(&asked.body)
        );
        assert!(
            !all.contains("pct_"),
            "the agent's token went to the provider"
        );
        assert!(!all.contains(LEAKED), "what a rule blocks was sent");
        assert!(asked.json().get("api").is_none());
    }
    assert!(!out.contains(PROVIDER_KEY));
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hears_of_the_models_that_it_may_ask() {
    let system = System::start(Duration::ZERO).await;
    let token = system.token("llm/openai/echo").await;
    let got = async |path: &str| -> (u16, Value) {
        let url = format!("{}/v1/llm/{path}", system.cluster.edge_url);
        let answer = system.http.get(url).bearer_auth(&token).send().await;
        let answer = answer.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    };
    let echo = json!({ "id": "echo", "object": "model", "created": 0, "owned_by": "openai" });
    let list = json!({ "object": "list", "data": [echo] });
    assert_eq!(got("openai/models").await, (200, list));
    for path in ["openai/files", "openai/chat/completions"] {
        let (status, error) = got(path).await;
        let reason = &error["error"]["data"]["reason"];
        assert_eq!(reason, "unknown_method", "{path}: {status} {error}");
    }
    // One that it may ask nothing is to it as one that there is not.
    for path in ["free/v1/models", "anthropic/v1/models", "nobody/models"] {
        let (_, error) = got(path).await;
        let reason = &error["error"]["data"]["reason"];
        assert_eq!(reason, "unknown_tool", "{path}: {error}");
    }
    assert_eq!(system.provider.asked().len(), 0, "no provider is asked");
    system.cluster.stop().await;
}

fn chat(model: &str, content: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": content }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_redacted_is_what_the_provider_gets_byte_for_byte() {
    let system = System::start(Duration::ZERO).await;
    let rules = json!({ "rules": [{ "classes": ["email", "payment_card"], "direction": "outbound", "action": "redact" }] });
    system
        .cluster
        .acme(Method::PUT, "content-rules", Some(rules))
        .await
        .unwrap();
    let token = system.token("llm/*").await;
    let started = Instant::now();
    loop {
        let answer = system
            .post(
                &token,
                "openai/chat/completions",
                &chat("echo", "a@b.example"),
            )
            .await;
        let body: Value = answer.json().await.unwrap();
        if body["choices"][0]["message"]["content"] == "[EMAIL]" {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{body}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let disguises = [
        ("to bob@example.org now", "to [EMAIL] now"),
        (
            r#"{"to": "bob@example.org", "card": 4111111111111111}"#,
            r#"{"to": "[EMAIL]", "card": "[CARD]"}"#,
        ),
        (r#"{"to": "bob\u0040example.org"}"#, r#"{"to": "[EMAIL]"}"#),
        ("x=bob%40example.org&y=1", "x=%5BEMAIL%5D&y=1"),
        ("to \u{ff42}\u{ff4f}\u{ff42}@example.org.", "to [EMAIL]."),
    ];
    for (said, got) in disguises {
        let mut sent = chat("echo", said);
        sent["temperature"] = json!(0.25);
        sent["tools"] = json!([{ "type": "function", "function": { "name": "f", "description": said, "parameters": { "type": "object" } } }]);
        let answer = system.post(&token, "openai/chat/completions", &sent).await;
        assert_eq!(answer.status(), 200);
        assert!(answer.headers().contains_key("x-proctor-decision"));
        let mut expect = chat("echo", got);
        expect["temperature"] = json!(0.25);
        expect["tools"] = json!([{ "type": "function", "function": { "name": "f", "description": got, "parameters": { "type": "object" } } }]);
        // A whole answer is asked to keep to its ceiling.
        expect["max_completion_tokens"] = json!(CEILING);
        let asked = system.provider.asked();
        let body = &asked.last().unwrap().body;
        assert_eq!(String::from_utf8_lossy(body), expect.to_string());
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["choices"][0]["message"]["content"], got);
    }
    let completed = system.events("completed", "openai/echo").await;
    let usage = json!({ "input_tokens": 19, "output_tokens": 10 });
    assert!(
        completed.iter().all(|event| event["usage"] == usage),
        "{completed:?}"
    );
    let text = format!("{:?}", system.events("authorized", "openai/echo").await);
    assert!(
        text.contains("email") && !text.contains("bob"),
        "counts, no values"
    );
    let metrics = reqwest::get(format!("{}/metrics", system.cluster.edge_admin_url))
        .await
        .unwrap();
    let metrics = metrics.text().await.unwrap();
    let counted =
        r#"proctor_edge_content_matches_total{class="email",direction="outbound",action="redact"}"#;
    assert!(metrics.contains(counted), "{metrics}");
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_counted_where_the_provider_is_silent_and_where_it_is_cut() {
    let system = System::start(Duration::ZERO).await;
    let token = system.token("llm/*").await;
    let mut silent = chat("silent", "one two three four five six");
    silent["stream"] = json!(true);
    let answer = system
        .post(&token, "openai/chat/completions", &silent)
        .await
        .text()
        .await
        .unwrap();
    assert!(answer.ends_with("data: [DONE]\n\n"), "{answer}");
    let event = system.events("completed", "openai/silent").await.remove(0);
    assert_eq!(event["usage"]["estimated"], true);
    let output = event["usage"]["output_tokens"].as_u64().unwrap();
    assert!((6..14).contains(&output), "{event}");

    let mut runaway = chat("runaway", "go");
    runaway["stream"] = json!(true);
    let answer = system
        .post(&token, "openai/chat/completions", &runaway)
        .await
        .text()
        .await
        .unwrap();
    assert!(answer.contains("tokens_exhausted"), "{answer}");
    // What a model thinks is in no token that could be cut.
    let sent = system.provider.asked().last().unwrap().json();
    assert_eq!(sent["max_completion_tokens"], CEILING);
    let event = system.events("withheld", "openai/runaway").await.remove(0);
    assert_eq!(
        (&event["reason"], &event["usage"]["output_tokens"]),
        (&json!("tokens_exhausted"), &json!(CEILING))
    );
    // The provider was told by the closed connection: it does not go on.
    let started = Instant::now();
    while system.provider.open() > 0 {
        assert!(started.elapsed() < PATIENCE, "the provider goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_model_stands_in_where_token_and_policies_allow_it() {
    let system = System::start(Duration::ZERO).await;
    let token = system.token("llm/*").await;
    let answer = system
        .post(
            &token,
            "down/chat/completions",
            &chat("echo", "hello there"),
        )
        .await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["x-proctor-model"], "openai/echo");
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "hello there");
    assert_eq!(system.events("failed", "down/echo").await.len(), 1);
    assert_eq!(system.events("authorized", "openai/broken").await.len(), 1);
    assert_eq!(system.events("completed", "openai/echo").await.len(), 1);
    let narrow = system.token("llm/down/*,llm/openai/echo").await;
    let only_down = json!({ "agent": AGENT, "caveats": [format!("time < {}", in_secs(3600).unwrap()), "tool in llm/down/*"] });
    let only_down = system
        .cluster
        .acme(Method::POST, "tokens", Some(only_down))
        .await
        .unwrap();
    let only_down = only_down["token"].as_str().unwrap();
    // `openai/broken` may not be asked: that ends the search.
    for token in [narrow.as_str(), only_down] {
        let reason = system
            .reason(token, "down/chat/completions", &chat("echo", "x"))
            .await;
        assert_eq!(reason, "upstream_unavailable");
    }
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_asked_properly_is_refused() {
    let system = System::start(Duration::ZERO).await;
    let token = system.token("llm/openai/echo").await;
    for (path, body, reason) in [
        (
            "openai/chat/completions",
            chat("leaky", "x"),
            "tool_not_in_token",
        ),
        (
            "openai/chat/completions",
            json!({ "model": "echo" }),
            "invalid_params",
        ),
        (
            "openai/responses",
            json!({ "model": "echo", "input": "x", "previous_response_id": "r" }),
            "invalid_params",
        ),
        (
            "openai/embeddings",
            json!({ "model": "echo", "input": [[1, 2]] }),
            "invalid_params",
        ),
        (
            "openai/responses",
            json!({ "model": "echo", "input": [{ "type": "function_call_output", "call_id": "c",
                "output": [{ "type": "input_image", "image_url": "https://evil.example/?d=x" }] }] }),
            "invalid_params",
        ),
        (
            "openai/chat/completions",
            json!({ "model": "echo", "messages": [{ "role": "user", "content": "x" }], "fallbacks": ["other"] }),
            "invalid_params",
        ),
        ("openai/messages", chat("echo", "x"), "unknown_method"),
        ("openai/files", json!({}), "unknown_method"),
        ("nobody/chat/completions", chat("echo", "x"), "unknown_tool"),
    ] {
        assert_eq!(
            system.reason(&token, path, &body).await,
            reason,
            "{path} {body}"
        );
    }
    let mut foreign = chat("echo", "x");
    foreign["enable_search"] = json!(true);
    let answer = system
        .post(&token, "openai/chat/completions", &foreign)
        .await;
    let answer: Value = answer.json().await.unwrap();
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("(enable_search: "), "{message}");
    let url = format!("{}/v1/llm/openai/chat/completions", system.cluster.edge_url);
    let twice = system
        .http
        .post(&url)
        .bearer_auth(&token)
        .header("x-api-key", "pct_other");
    let twice: Value = twice
        .json(&chat("echo", "x"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(twice["error"]["code"], "invalid_transport");
    let nobody = system
        .http
        .post(&url)
        .json(&chat("echo", "x"))
        .send()
        .await
        .unwrap();
    assert_eq!(nobody.status(), 401);
    // Not by way of MCP either: there is nothing to list, and nothing to call.
    let call = json!({ "tool": "llm/openai/echo", "arguments": chat("echo", "x") });
    let url = format!("{}/v1/tool-call", system.cluster.edge_url);
    let called: Value = system
        .http
        .post(url)
        .bearer_auth(&token)
        .json(&call)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        called["error"]["data"]["reason"], "upstream_unavailable",
        "{called}"
    );
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_switch_ends_a_stream() {
    let system = System::start(Duration::from_millis(20)).await;
    let token = system.token("llm/*").await;
    let mut runaway = chat("runaway", "go");
    runaway["stream"] = json!(true);
    let mut answer = system.post(&token, "free/chat/completions", &runaway).await;
    assert!(answer.chunk().await.unwrap().is_some());
    let kill = json!({ "scope": "tool", "object": "llm/free/runaway", "note": "test" });
    system
        .cluster
        .acme(Method::POST, "kill-switches", Some(kill))
        .await
        .unwrap();
    let mut rest = String::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        rest.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(rest.contains("killed_tool"), "{rest}");
    assert_eq!(system.events("cancelled", "free/runaway").await.len(), 1);
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_makes_the_provider_wait() {
    let system = System::start(Duration::ZERO).await;
    let token = system.token("llm/*").await;
    let mut runaway = chat("runaway", "go");
    runaway["stream"] = json!(true);
    let body = runaway.to_string();
    let address = system
        .cluster
        .edge_url
        .strip_prefix("http://")
        .unwrap()
        .to_owned();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut slow = socket.connect(address.parse().unwrap()).await.unwrap();
    let head = format!(
        "POST /v1/llm/free/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut held = 0;
    let started = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let now = system.provider.pieces();
        if now > 0 && now == held {
            break;
        }
        held = now;
        assert!(
            started.elapsed() < Duration::from_secs(240),
            "{now} pieces and no end"
        );
    }
    println!("the provider waited after {held} pieces");
    // It goes on when somebody reads; what waits in the kernel's buffers comes first. A kernel that was told for long that
    // there is no room asks again only after up to two minutes.
    let mut read = vec![0; 256 * 1024];
    while system.provider.pieces() == held {
        let some = tokio::time::timeout(Duration::from_secs(150), slow.read(&mut read));
        assert!(some.await.unwrap().unwrap() > 0, "the edge has ended it");
    }
    drop(slow);
    assert_eq!(system.events("cancelled", "free/runaway").await.len(), 1);
    system.cluster.stop().await;
}

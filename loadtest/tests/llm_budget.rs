//! A stream that never ends, and budgets that do: it is cut at the token that the account has no more for, says which one
//! that is, and the books have the real figure.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "llm/python.rs"]
mod python;

use proctor_devstack::skipped;
use proctor_loadtest::cluster::{Options, proctor_binary};
use proctor_loadtest::fleet::{Fleet, Victim};
use proctor_loadtest::load::{allow_all, in_secs};
use proctor_loadtest::provider::{PROVIDER_KEY, Provider};
use python::{has, here, install, succeeds, venv};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::process::Command;

const WAIT: Duration = Duration::from_secs(30);
/// Tokens of an agent, micro-units of a session, tokens of the tenant.
const AGENT_TOKENS: u64 = 600;
const SESSION_COST: u64 = 900;
const TENANT_TOKENS: u64 = 2_000;

struct System {
    fleet: Fleet,
    provider: Provider,
    http: reqwest::Client,
}

impl System {
    async fn start(pause: Duration, tenant_tokens: u64, session_cost: u64) -> Self {
        let options = Options {
            settings: json!({ "intent": "when_declared" }),
            ..Options::default()
        };
        let fleet = Fleet::start_with(1, 1, options, None).await.unwrap();
        let provider = Provider::start(pause).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let system = Self {
            fleet,
            provider,
            http,
        };
        let rule = |scope: &str, id: &str, meter: &str, limit: u64| json!({ "scope": scope, "id": id, "meter": meter, "window": "lifetime", "limit": limit });
        let rules = [
            rule("tenant", "", "tokens", tenant_tokens),
            rule("agent", "small", "tokens", AGENT_TOKENS),
            rule("session", "*", "cost", session_cost),
        ];
        let limits = json!({ "rules": rules });
        system.put("budgets/limits", limits).await;
        // An answer's token costs one micro-unit, a prompt nothing.
        let price =
            json!({ "per_million_input_tokens": 0, "per_million_output_tokens": 1_000_000 });
        let prices = json!({ "models": { "runaway": price } });
        system.put("budgets/prices", prices).await;
        let host = system.provider.url.strip_prefix("http://").unwrap();
        let secret = json!({ "hosts": [host, "127.0.0.1"], "value": PROVIDER_KEY });
        system.put("secrets/provider-key", secret).await;
        let mut command = Command::new(proctor_binary().unwrap());
        let url = format!("{}/v1", system.provider.url);
        command.args(["llm", "put", "free", "--dialect", "openai", "--url", &url]);
        command.args(["--secret", "provider-key", "--private-addresses"]);
        command.args(["--model", "runaway", "--model", "echo"]);
        let cluster = &system.fleet.cluster;
        let command = command
            .env("PROCTOR_API_URL", &cluster.api_url)
            .env("PROCTOR_TENANT", "acme")
            .env("PROCTOR_ADMIN_KEY", cluster.admin_key());
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        allow_all(cluster).await.unwrap();
        system
    }

    async fn put(&self, path: &str, body: Value) {
        let put = self.fleet.cluster.acme(Method::PUT, path, Some(body)).await;
        put.unwrap();
    }

    async fn token(&self, agent: &str) -> String {
        let cluster = &self.fleet.cluster;
        self.put(&format!("agents/{agent}"), json!({})).await;
        let until = format!("time < {}", in_secs(3600).unwrap());
        let body = json!({ "agent": agent, "caveats": [until, "tool in llm/*"] });
        let minted = cluster.acme(Method::POST, "tokens", Some(body)).await;
        let token = minted.unwrap()["token"].as_str().unwrap().to_owned();
        let tool = "llm/free/runaway";
        let allowed = cluster.wait_allowed(&token, agent, tool, prompt());
        allowed.await.unwrap();
        token
    }

    async fn ask(&self, token: &str) -> (u16, String) {
        let answer = self.begin(token).await;
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn begin(&self, token: &str) -> reqwest::Response {
        let url = format!(
            "{}/v1/llm/free/chat/completions",
            self.fleet.cluster.edge_url
        );
        let mut body = prompt();
        body["stream"] = json!(true);
        let sent = self.http.post(url).bearer_auth(token).json(&body).send();
        sent.await.unwrap()
    }

    /// Reads a stream as far as this is in it, and hangs up; waits until the edge has noticed.
    async fn read_until(&self, token: &str, body: &Value, mark: &str) {
        let url = format!(
            "{}/v1/llm/free/chat/completions",
            self.fleet.cluster.edge_url
        );
        let sent = self.http.post(url).bearer_auth(token).json(body).send();
        let mut answer = sent.await.unwrap();
        assert_eq!(answer.status(), 200);
        let mut came = String::new();
        while !came.contains(mark) {
            let chunk = answer.chunk().await.unwrap().unwrap();
            came.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        assert!(!came.contains("total_tokens"), "{came}");
        drop(answer);
        let model = format!("free/{}", body["model"].as_str().unwrap());
        let (cluster, started) = (&self.fleet.cluster, Instant::now());
        loop {
            let page = cluster
                .acme(Method::GET, "audit/events?limit=500", None)
                .await;
            let page = page.unwrap();
            let entries = page["entries"].as_array().cloned().unwrap_or_default();
            let event = |entry: Value| entry.get("event").cloned().unwrap_or(entry);
            let mut events = entries.into_iter().map(event);
            // An edge may notice only when there is nothing more to notice.
            let over = |event: &Value| event["kind"] == "cancelled" || event["kind"] == "completed";
            if events.any(|event| over(&event) && event["tool"]["name"] == model.as_str()) {
                return;
            }
            assert!(started.elapsed() < WAIT, "no outcome of {model}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The outcome of an agent's stream, once it is in the chain.
    async fn outcome(&self, agent: &str) -> Value {
        let (cluster, started) = (&self.fleet.cluster, Instant::now());
        loop {
            let path = "audit/events?limit=500&kind=withheld";
            let page = cluster.acme(Method::GET, path, None).await.unwrap();
            let entries = page["entries"].as_array().cloned().unwrap_or_default();
            let event = |entry: Value| entry.get("event").cloned().unwrap_or(entry);
            let mut events = entries.into_iter().map(event);
            if let Some(found) = events.find(|event| event["agent"] == agent) {
                return found;
            }
            assert!(started.elapsed() < WAIT, "no outcome of {agent}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until nothing of a scope's accounts is leased any more; what is spent of them.
    async fn spent(&self, scope: &str) -> Vec<u64> {
        let started = Instant::now();
        loop {
            let accounts = self.fleet.usage(scope).await.unwrap();
            if accounts.iter().all(|account| account["leased"] == 0) {
                let spent = accounts.iter().map(|account| account["spent"].as_u64());
                return spent.map(|spent| spent.unwrap()).collect();
            }
            assert!(started.elapsed() < WAIT, "still leased: {accounts:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn prompt() -> Value {
    json!({ "model": "runaway", "messages": [{ "role": "user", "content": "go" }] })
}

/// The text of a stream, put together.
fn text(stream: &str) -> String {
    let events = stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    let events = events.filter_map(|event| serde_json::from_str::<Value>(event).ok());
    let piece = |event: Value| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned());
    events.filter_map(piece).collect()
}

fn usage(event: &Value) -> [u64; 2] {
    ["input_tokens", "output_tokens"].map(|member| event["usage"][member].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runaway_is_cut_where_the_first_budget_ends() {
    let system = System::start(Duration::ZERO, TENANT_TOKENS, SESSION_COST).await;
    let mut tokens = 0;
    for (agent, account) in [
        ("small", "agent tokens lifetime"),
        ("dear", "session cost lifetime"),
        ("last", "tenant tokens lifetime"),
    ] {
        let token = system.token(agent).await;
        let (status, answer) = system.ask(&token).await;
        assert_eq!(status, 200, "{agent}: {answer}");
        let end = answer.rsplit("data: ").next().unwrap();
        assert!(end.contains("budget_exhausted"), "{agent}: {end}");
        assert!(end.contains(account), "{agent}: {end}");
        let event = system.outcome(agent).await;
        assert_eq!(event["reason"], "budget_exhausted", "{event}");
        let [input, output] = usage(&event);
        tokens += input + output;
        match agent {
            "small" => assert_eq!(input + output, AGENT_TOKENS, "{event}"),
            "dear" => assert_eq!(output, SESSION_COST, "{event}"),
            _ => assert_eq!(tokens, TENANT_TOKENS, "{event}"),
        }
        // Nothing came through that was not counted.
        let words = text(&answer).matches(" word").count();
        assert_eq!(u64::try_from(words).unwrap(), output, "{agent}");
        let (status, answer) = system.ask(&token).await;
        assert_eq!(status, 429, "{agent}: {answer}");
        assert!(answer.contains("budget_exhausted"), "{agent}: {answer}");
    }
    assert_eq!(system.spent("tenant").await, [TENANT_TOKENS]);
    assert_eq!(system.spent("agent").await, [AGENT_TOKENS]);
    assert!(system.spent("session").await.contains(&SESSION_COST));
    // The provider was told by the closed connections: it does not go on.
    let started = Instant::now();
    while system.provider.open() > 0 {
        assert!(started.elapsed() < WAIT, "the provider goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    system.fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_official_client_raises_its_own_error_where_a_budget_cuts() {
    if !has("python3") {
        skipped("python3 is absent");
        return;
    }
    install().await;
    let system = System::start(Duration::ZERO, TENANT_TOKENS, SESSION_COST).await;
    let token = system.token("small").await;
    let mut python = Command::new(venv().join("bin/python"));
    python.arg(here().join("budget.py"));
    let out = succeeds(python.args([&system.fleet.cluster.edge_url, &token])).await;
    let told: Value = serde_json::from_str(out.trim()).unwrap();
    let cut = &told["cut"];
    // The base of its errors: one in a stream has no status of its own.
    assert_eq!(cut["type"], "APIError", "{told}");
    assert_eq!(cut["status"], Value::Null, "{told}");
    assert_eq!(cut["reason"], "budget_exhausted", "{told}");
    let message = cut["message"].as_str().unwrap();
    assert!(message.contains("agent tokens lifetime"), "{told}");
    // The client has read all that was counted.
    let event = system.outcome("small").await;
    let words = cut["read"].as_str().unwrap().matches(" word").count();
    assert_eq!(u64::try_from(words).unwrap(), usage(&event)[1], "{event}");
    let next = &told["next"];
    assert_eq!(next["type"], "RateLimitError", "{told}");
    assert_eq!(next["status"], 429, "{told}");
    assert_eq!(next["reason"], "budget_exhausted", "{told}");
    assert_eq!(next["read"], "", "{told}");
    system.fleet.stop().await;
}

/// An answer's tokens that are had ahead of need, as docs/llm.md says.
const AHEAD: u64 = 256;

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_is_killed_in_the_middle_of_a_stream_charges_it() {
    let far = 100_000;
    let mut system = System::start(Duration::from_millis(1), far, far).await;
    let token = system.token("big").await;
    let before: u64 = system.spent("tenant").await.iter().sum();
    let mut answer = system.begin(&token).await;
    assert_eq!(answer.status(), 200);
    let mut came = String::new();
    while text(&came).matches(" word").count() < 700 {
        let chunk = answer.chunk().await.unwrap().unwrap();
        came.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    system.fleet.kill(Victim::Edge(0)).await.unwrap();
    // What was on its way still comes.
    while let Ok(Some(chunk)) = answer.chunk().await {
        came.push_str(&String::from_utf8_lossy(&chunk));
    }
    let words = u64::try_from(text(&came).matches(" word").count()).unwrap();
    system.fleet.revive(Victim::Edge(0), &[]).await.unwrap();
    let spent: u64 = system.spent("tenant").await.iter().sum::<u64>() - before;
    // Words of which the last had not reached us may have passed, too.
    let most = words + 3 * AHEAD;
    assert!(
        (words..=most).contains(&spent),
        "{words} came, {spent} charged"
    );
    system.fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_pays_for_what_was_made() {
    const ASKED: u64 = 5_000;
    let far = 1_000_000;
    let system = System::start(Duration::from_millis(400), far, far).await;
    let token = system.token("big").await;
    let mut body = prompt();
    body["stream"] = json!(true);
    body["max_tokens"] = json!(ASKED);
    // All of the answer is read, but not what it used: that is heard all the same.
    let before: u64 = system.spent("tenant").await.iter().sum();
    body["model"] = json!("echo");
    system.read_until(&token, &body, "\"stop\"").await;
    let spent = system.spent("tenant").await.iter().sum::<u64>() - before;
    assert_eq!(spent, 19 + 10, "as the provider says");
    // In the middle nobody knows what was thought and made: what was reserved is what it costs.
    body["model"] = json!("runaway");
    system.read_until(&token, &body, "\"role\"").await;
    let settled = system.spent("tenant").await.iter().sum::<u64>() - before - spent;
    assert!((ASKED..ASKED + 100).contains(&settled), "{settled}");
    system.fleet.stop().await;
}

//! Calls that become tasks: whose they are, what is asked of them, and what comes back.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "tasks/edges.rs"]
mod edges;
#[path = "tasks/listen.rs"]
mod listen;
#[path = "tasks/older.rs"]
mod older;
#[path = "tasks/rows.rs"]
mod rows;
#[path = "tasks/server.rs"]
mod server;
#[path = "tasks/teller.rs"]
mod teller;

use proctor_loadtest::cluster::{Cluster, Options, proctor_binary};
use proctor_loadtest::load::{AGENT, allow_all, attenuate, in_secs};
use proctor_loadtest::oracle;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use server::Worker;
use std::time::{Duration, Instant};

const OTHER: &str = "other-agent";
const TASKS: &str = "io.modelcontextprotocol/tasks";

struct System {
    cluster: Cluster,
    worker: Worker,
    http: reqwest::Client,
    /// The edge that is asked.
    url: String,
}

impl System {
    async fn start() -> Self {
        let (worker, url) = Worker::start().await;
        Self {
            worker,
            ..Self::with(&url).await
        }
    }

    /// With the server at this address; the worker is there, too, and nobody calls it.
    async fn with(url: &str) -> Self {
        let options = Options {
            settings: json!({ "intent": "when_declared" }),
            ..Options::default()
        };
        let cluster = Cluster::start(options).await.unwrap();
        let (worker, _) = Worker::start().await;
        let mut import = tokio::process::Command::new(proctor_binary().unwrap());
        import
            .args(["server", "import", "s", "--url", url])
            .env("PROCTOR_API_URL", &cluster.api_url)
            .env("PROCTOR_TENANT", "acme")
            .env("PROCTOR_ADMIN_KEY", cluster.admin_key());
        assert!(import.status().await.unwrap().success());
        allow_all(&cluster).await.unwrap();
        for agent in [AGENT, OTHER] {
            let path = format!("agents/{agent}");
            cluster
                .acme(Method::PUT, &path, Some(json!({})))
                .await
                .unwrap();
        }
        Self {
            url: cluster.edge_url.clone(),
            cluster,
            worker,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    async fn token(&self, agent: &str, more: &[&str]) -> String {
        let time = format!("time < {}", in_secs(3600).unwrap());
        let mut caveats = vec![time.as_str(), "tool in s/*"];
        caveats.extend(more);
        let body = json!({ "agent": agent, "caveats": caveats });
        let minted = self.cluster.acme(Method::POST, "tokens", Some(body)).await;
        let token = minted.unwrap()["token"].as_str().unwrap().to_owned();
        let call = json!({ "kind": "wait" });
        self.cluster
            .wait_allowed(&token, agent, "s/work", call)
            .await
            .unwrap();
        token
    }

    fn post(&self, token: &str, method: &str, mut params: Value) -> reqwest::RequestBuilder {
        let name = params["taskId"].as_str().or(params["name"].as_str());
        let name = name.unwrap_or_default().to_owned();
        if params.get("_meta").is_none() {
            params["_meta"] = meta(&json!({ "elicitation": {}, "extensions": { TASKS: {} } }));
        }
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        let post = self
            .http
            .post(format!("{}/v1/mcp/s", self.url))
            .bearer_auth(token)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method)
            .json(&body);
        match name.is_empty() {
            true => post,
            false => post.header("mcp-name", name),
        }
    }

    async fn ask(&self, token: &str, method: &str, params: Value) -> Value {
        let response = self.post(token, method, params).send().await.unwrap();
        response.json().await.unwrap()
    }

    /// Begins a task; gives its id and the decision of its call.
    async fn begin(&self, token: &str, tool: &str, kind: &str) -> (String, String) {
        let params = json!({ "name": tool, "arguments": { "kind": kind } });
        let begun = self.ask(token, "tools/call", params).await;
        let result = &begun["result"];
        assert_eq!(result["resultType"], "task", "{begun}");
        let decision = &result["_meta"]["dev.proctor/decision"]["decision_id"];
        let text = |value: &Value| {
            value
                .as_str()
                .unwrap_or_else(|| panic!("{begun}"))
                .to_owned()
        };
        (text(&result["taskId"]), text(decision))
    }

    async fn get(&self, token: &str, id: &str) -> Value {
        self.ask(token, "tasks/get", json!({ "taskId": id })).await
    }

    /// Asks until the task is so far; each question is a round trip, so that nothing spins.
    async fn until(&self, token: &str, id: &str, status: &str) -> Value {
        let started = Instant::now();
        loop {
            let got = self.get(token, id).await;
            if got["result"]["status"] == status {
                return got["result"].clone();
            }
            let late = started.elapsed() > Duration::from_secs(60);
            assert!(!late && got["error"].is_null(), "{status}: {got}");
        }
    }

    /// Asks until the tool is stopped no more.
    async fn until_released(&self, token: &str, id: &str) {
        let started = Instant::now();
        while reason(&self.get(token, id).await) == "killed_tool" {
            assert!(started.elapsed() < Duration::from_secs(60));
        }
    }

    /// Asks until the answer is a refusal for this reason.
    async fn until_refused(&self, token: &str, id: &str, wanted: &str) -> reqwest::Response {
        let started = Instant::now();
        loop {
            let params = json!({ "taskId": id });
            let response = self.post(token, "tasks/get", params).send().await.unwrap();
            let (status, headers) = (response.status(), response.headers().clone());
            let got: Value = response.json().await.unwrap();
            if reason(&got) == wanted {
                let mut again = http::Response::new(got.to_string());
                *again.status_mut() = status;
                *again.headers_mut() = headers;
                return again.into();
            }
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "{wanted}: {got}"
            );
        }
    }
}

fn meta(capabilities: &Value) -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    })
}

fn reason(answer: &Value) -> &str {
    answer["error"]["data"]["reason"].as_str().unwrap_or("none")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_its_principals_own() {
    let system = System::start().await;
    // One call: what is asked of a task is none.
    let token = system.token(AGENT, &["calls <= 1"]).await;
    let (id, _) = system.begin(&token, "work", "wait").await;
    let theirs = system.worker.ids.lock().unwrap()[0].clone();
    let working = system.until(&token, &id, "working").await;
    assert_eq!(working["taskId"], *id);
    assert!(
        !working.to_string().contains(&theirs),
        "the server's own id: {working}"
    );

    // Somebody else's, tampered with, the server's own, none: one answer for all.
    let again = system.token(AGENT, &[]).await;
    let other = system.token(OTHER, &[]).await;
    let elsewhere = attenuate(&token, "session = elsewhere").await.unwrap();
    let (foreign, _) = system.begin(&other, "work", "wait").await;
    let mut tampered = id.clone().into_bytes();
    tampered[20] = if tampered[20] == b'A' { b'B' } else { b'A' };
    let tampered = String::from_utf8(tampered).unwrap();
    for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
        let mut answers = Vec::new();
        for (who, id) in [
            (&again, &id),
            (&other, &id),
            (&elsewhere, &id),
            (&token, &foreign),
            (&token, &tampered),
            (&token, &theirs),
            (&token, &format!("{id}A")),
            (&token, &"x".to_owned()),
        ] {
            let mut params = json!({ "taskId": id });
            if method == "tasks/update" {
                params["inputResponses"] = json!({});
            }
            let mut answer = system.ask(who, method, params).await;
            assert_eq!(reason(&answer), "task_unknown", "{method}: {answer}");
            assert_eq!(answer["error"]["code"], -32602);
            answer["error"]["data"]["decision_id"].take();
            answers.push(answer);
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "absent and not yours are told apart");
    }
    // A holder's narrowing that says nothing of whose it is changes nothing.
    let narrowed = attenuate(&token, "verb in read,write").await.unwrap();
    system.until(&narrowed, &id, "working").await;

    let undeclared = json!({ "taskId": id, "_meta": meta(&json!({})) });
    let undeclared = system.ask(&token, "tasks/get", undeclared).await;
    assert_eq!(undeclared["error"]["code"], -32021, "{undeclared}");
    let required = &undeclared["error"]["data"]["requiredCapabilities"];
    assert_eq!(*required, json!({ "extensions": { TASKS: {} } }));
    let other_name = system.post(&token, "tasks/get", json!({ "taskId": id }));
    let other_name = other_name
        .header("mcp-name", "another")
        .send()
        .await
        .unwrap();
    assert_eq!(other_name.status(), StatusCode::BAD_REQUEST);

    // A client that takes none gets none, whatever the server would like.
    let plain =
        json!({ "name": "work", "arguments": { "kind": "wait" }, "_meta": meta(&json!({})) });
    let plain = system.ask(&again, "tools/call", plain).await;
    assert_eq!(plain["result"]["content"][0]["text"], "at once", "{plain}");
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_after_a_task_is_judged_each_time() {
    let system = System::start().await;
    let token = system.token(AGENT, &[]).await;
    let (id, decision) = system.begin(&token, "work", "wait").await;
    let kill = json!({ "scope": "tool", "object": "s/work" });
    let path = "kill-switches";
    system
        .cluster
        .acme(Method::POST, path, Some(kill.clone()))
        .await
        .unwrap();
    system.until_refused(&token, &id, "killed_tool").await;
    // The request that saw it first may have been under way already: then it was cut short. This one begins after.
    system.until_refused(&token, &id, "killed_tool").await;
    let path = "kill-switches/release";
    system
        .cluster
        .acme(Method::POST, path, Some(kill))
        .await
        .unwrap();
    system.until_released(&token, &id).await;
    system.worker.done.send_replace(true);
    let done = system.until(&token, &id, "completed").await;
    assert_eq!(done["result"]["content"][0]["text"], "it is done", "{done}");

    let revoke = json!({ "token": token });
    system
        .cluster
        .acme(Method::POST, "revocations", Some(revoke))
        .await
        .unwrap();
    let refused = system.until_refused(&token, &id, "token_revoked").await;
    // A client gets itself another token where HTTP says so.
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let challenge = refused.headers()["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");

    // Each request is in the chain, under the decision of its call, with an outcome of its own; no words of it.
    oracle::settled(&system.cluster, Duration::from_secs(20))
        .await
        .unwrap();
    let events = oracle::events(&system.cluster).await.unwrap();
    let call = events
        .iter()
        .find(|event| event["decision_id"] == *decision && event["kind"] == "completed");
    assert_eq!(call.unwrap()["upstream"]["status"], "task");
    let count = |kind: &str| {
        let of = |event: &&Value| event["kind"] == kind && event["task"]["of"] == *decision;
        let asked = events.iter().filter(of);
        asked
            .inspect(|event| assert_eq!(event["task"]["request"], "get"))
            .count()
    };
    assert!(count("authorized") >= 2, "{events:?}");
    // One that was under way when its tool was stopped was cut short.
    let outcomes = ["completed", "withheld", "cancelled", "failed", "unknown"].map(count);
    let asked = count("authorized");
    assert_eq!(outcomes.iter().sum::<usize>(), asked, "{outcomes:?}");
    assert!(count("refused") >= 2);
    assert!(!json!(events).to_string().contains("it is done"));
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_a_task_is_judged_as_the_calls_answer() {
    let system = System::start().await;
    let token = system.token(AGENT, &[]).await;
    let (fits, _) = system.begin(&token, "count", "fits").await;
    let fits = system.until(&token, &fits, "completed").await;
    assert_eq!(fits["result"]["structuredContent"]["total"], 3, "{fits}");
    let (misfit, _) = system.begin(&token, "count", "misfit").await;
    system
        .until_refused(&token, &misfit, "output_invalid")
        .await;
    let (fails, _) = system.begin(&token, "work", "fail").await;
    let fails = system.until(&token, &fails, "failed").await;
    assert_eq!(fails["error"]["message"], "it broke", "{fails}");

    // It asks; what is answered goes through the content rules like arguments.
    let (asks, _) = system.begin(&token, "work", "ask").await;
    let asked = system.until(&token, &asks, "input_required").await;
    assert_eq!(
        asked["inputRequests"]["q"]["params"]["message"], "Your name?",
        "{asked}"
    );
    let answer = |name: &str| {
        let reply = json!({ "action": "accept", "content": { "name": name } });
        json!({ "taskId": asks, "inputResponses": { "q": reply } })
    };
    let leak = system
        .ask(&token, "tasks/update", answer("AKIAQWERTYUIOP234567"))
        .await;
    assert_eq!(reason(&leak), "content_blocked", "{leak}");
    assert!(system.worker.answered.lock().unwrap().is_empty());
    let heard = system.ask(&token, "tasks/update", answer("Ann")).await;
    assert_eq!(heard["result"]["resultType"], "complete", "{heard}");
    let done = system.until(&token, &asks, "completed").await;
    assert_eq!(done["result"]["content"][0]["text"], "hello Ann", "{done}");

    let (stopped, _) = system.begin(&token, "work", "wait").await;
    let heard = system
        .ask(&token, "tasks/cancel", json!({ "taskId": stopped }))
        .await;
    assert_eq!(heard["result"]["resultType"], "complete", "{heard}");
    system.until(&token, &stopped, "cancelled").await;
    system.cluster.stop().await;
}

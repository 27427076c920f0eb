//! Clients of 2025-11-25 with the tasks of a server of 2026-07-28.

use super::rows::records;
use super::teller::Teller;
use super::{OTHER, System, reason};
use futures::StreamExt;
use proctor_loadtest::load::AGENT;
use proctor_loadtest::mcp;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SECRET: &str = "AKIAQWERTYUIOP234567";
const RELATED: &str = "io.modelcontextprotocol/related-task";

/// A session of a client.
struct Client<'a> {
    system: &'a System,
    token: String,
    session: String,
    /// What it answers to a question.
    name: &'static str,
}

impl<'a> Client<'a> {
    async fn open(system: &'a System, agent: &str, name: &'static str) -> Self {
        let token = system.token(agent, &[]).await;
        let url = format!("{}/v1/mcp/s", system.cluster.edge_url);
        let session = mcp::Client::new(&url, &token).unwrap().asked().await;
        Self {
            system,
            token,
            session: session.unwrap(),
            name,
        }
    }

    async fn post(&self, message: &Value) -> reqwest::Response {
        let url = format!("{}/v1/mcp/s", self.system.cluster.edge_url);
        let post = self.system.http.post(url).bearer_auth(&self.token);
        let post = post
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-11-25")
            .header("mcp-session-id", &self.session)
            .json(message);
        post.send().await.unwrap()
    }

    /// All messages that come for a request, the answer last. Questions are answered.
    async fn all(&self, method: &str, params: Value) -> Vec<Value> {
        let ask = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        let response = self.post(&ask).await;
        let kind = response.headers()["content-type"].to_str().unwrap();
        if !kind.starts_with("text/event-stream") {
            return vec![response.json().await.unwrap()];
        }
        let (mut pieces, mut text, mut all) = (response.bytes_stream(), String::new(), Vec::new());
        while let Some(piece) = pieces.next().await {
            text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
            while let Some((event, rest)) = text.split_once("\n\n") {
                let data = event.split_once("data: ").map(|(_, data)| data);
                let message = data.and_then(|data| serde_json::from_str::<Value>(data).ok());
                text = rest.to_owned();
                if let Some(message) = message {
                    self.answer(&message).await;
                    all.push(message);
                }
            }
        }
        all
    }

    async fn answer(&self, message: &Value) {
        if message["method"] == "elicitation/create" {
            let result = json!({ "action": "accept", "content": { "name": self.name } });
            let reply = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
            assert!(self.post(&reply).await.status().is_success());
        }
    }

    async fn ask(&self, method: &str, params: Value) -> Value {
        self.all(method, params).await.pop().unwrap()
    }

    async fn begin(&self, tool: &str, kind: &str) -> String {
        let params =
            json!({ "name": tool, "arguments": { "kind": kind }, "task": { "ttl": 60_000 } });
        let begun = self.ask("tools/call", params).await;
        let task = &begun["result"]["task"];
        assert_eq!(task["status"], "working", "{begun}");
        assert!(begun["result"]["resultType"].is_null(), "{begun}");
        task["taskId"].as_str().unwrap().to_owned()
    }

    async fn of(&self, method: &str, id: &str) -> Value {
        self.ask(method, json!({ "taskId": id })).await
    }

    async fn until(&self, id: &str, status: &str) -> Value {
        let started = Instant::now();
        loop {
            let got = self.of("tasks/get", id).await;
            if got["result"]["status"] == status {
                return got["result"].clone();
            }
            let late = started.elapsed() > Duration::from_secs(60);
            assert!(!late && got["error"].is_null(), "{status}: {got}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_client_has_the_tasks_of_a_newer_server() {
    let system = System::start().await;
    let client = Client::open(&system, AGENT, "Ann").await;
    let listed = client.ask("tools/list", json!({})).await;
    for tool in listed["result"]["tools"].as_array().unwrap() {
        assert_eq!(tool["execution"]["taskSupport"], "optional", "{tool}");
    }
    let newer = system.ask(&client.token, "tools/list", json!({})).await;
    let shown = &newer["result"]["tools"][0]["execution"];
    assert!(shown.is_null(), "as its server shows it: {newer}");

    let id = client.begin("work", "wait").await;
    let working = client.until(&id, "working").await;
    assert_eq!(working["taskId"], *id);
    assert!(working["ttlMs"].is_null() && working.get("ttl").is_some());
    let listed = client.ask("tasks/list", json!({})).await;
    assert_eq!(listed["result"]["tasks"][0]["taskId"], *id, "{listed}");
    let theirs = system.worker.ids.lock().unwrap()[0].clone();
    let other = Client::open(&system, OTHER, "Eve").await;
    for (who, id) in [(&other, &id), (&client, &theirs)] {
        for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
            let foreign = who.of(method, id).await;
            assert_eq!(reason(&foreign), "task_unknown", "{method}: {foreign}");
        }
    }

    // It waits for the result, and hears meanwhile how far it is.
    let params = json!({ "taskId": id });
    let waiting = client.all("tasks/result", params);
    let done = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        system.worker.done.send_replace(true);
    };
    let (all, ()) = tokio::join!(waiting, done);
    let status = all
        .iter()
        .find(|one| one["method"] == "notifications/tasks/status");
    let status = &status.unwrap_or_else(|| panic!("{all:?}"))["params"];
    assert_eq!(
        (&status["taskId"], &status["status"]),
        (&json!(id), &json!("completed"))
    );
    let result = &all.last().unwrap()["result"];
    assert_eq!(result["content"][0]["text"], "it is done", "{all:?}");
    assert_eq!(result["_meta"][RELATED]["taskId"], *id, "{all:?}");
    assert!(!json!(all).to_string().contains(&theirs));
    let over = client.until(&id, "completed").await;
    assert!(over["result"].is_null(), "{over}");
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_client_gets_of_a_newer_task_is_judged() {
    let system = System::start().await;
    let client = Client::open(&system, AGENT, "Ann").await;
    let asks = client.begin("work", "ask").await;
    client.until(&asks, "input_required").await;
    let all = client.all("tasks/result", json!({ "taskId": asks })).await;
    let question = all.iter().find(|one| one["method"] == "elicitation/create");
    let question = &question.unwrap_or_else(|| panic!("{all:?}"))["params"];
    assert_eq!(question["message"], "Your name?", "{all:?}");
    assert_eq!(question["_meta"][RELATED]["taskId"], *asks, "{all:?}");
    let result = &all.last().unwrap()["result"];
    assert_eq!(result["content"][0]["text"], "hello Ann", "{all:?}");

    let fails = client.begin("work", "fail").await;
    client.until(&fails, "failed").await;
    let failed = client.of("tasks/result", &fails).await;
    assert_eq!(failed["error"]["message"], "it broke", "{failed}");
    let misfit = client.begin("count", "misfit").await;
    let misfit = client.of("tasks/result", &misfit).await;
    assert_eq!(reason(&misfit), "output_invalid", "{misfit}");

    let stopped = client.begin("work", "wait").await;
    let answer = client.of("tasks/cancel", &stopped).await;
    assert_eq!(answer["result"]["taskId"], *stopped, "{answer}");
    client.until(&stopped, "cancelled").await;
    let over = client.of("tasks/result", &stopped).await;
    assert_eq!(over["error"]["message"], "the task was cancelled", "{over}");

    // What may not leave does not, though the client says it.
    let leaky = Client::open(&system, AGENT, SECRET).await;
    let asks = leaky.begin("work", "ask").await;
    leaky.until(&asks, "input_required").await;
    let asking = leaky.all("tasks/result", json!({ "taskId": asks }));
    drop(tokio::time::timeout(Duration::from_secs(4), asking).await);
    let answered = format!("{:?}", system.worker.answered.lock().unwrap());
    assert!(
        answered.contains("Ann") && !answered.contains(SECRET),
        "{answered}"
    );

    // Somebody stops the tool while the client waits for its result.
    let killed = client.begin("work", "wait").await;
    let params = json!({ "taskId": killed });
    let waiting = client.ask("tasks/result", params);
    let stop = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let kill = json!({ "scope": "tool", "object": "s/work" });
        let stopped = system
            .cluster
            .acme(Method::POST, "kill-switches", Some(kill));
        stopped.await.unwrap();
    };
    let (answer, ()) = tokio::join!(waiting, stop);
    assert_eq!(reason(&answer), "killed_tool", "{answer}");
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_client_hears_how_far_a_task_is_without_words_that_a_policy_denies() {
    let (teller, url) = Teller::start().await;
    let system = System::with(&format!("{url}/modern")).await;
    let token = system.token(AGENT, &[]).await;
    system.limit_rows().await;
    let (first, _) = system.begin(&token, "work", "wait").await;
    system.until_limited(&teller, &token, &first).await;

    let client = Client::open(&system, AGENT, "Ann").await;
    for (number, rows, passes) in [(1, 40, true), (2, 60, false)] {
        let id = client.begin("work", "wait").await;
        let words = records("last", rows);
        let result = json!({ "content": [{ "type": "text", "text": "it is done" }] });
        let end = json!({ "statusMessage": words, "result": result });
        teller.say(number, "completed", &end);
        let all = client.all("tasks/result", json!({ "taskId": id })).await;
        let status = all
            .iter()
            .find(|one| one["method"] == "notifications/tasks/status");
        let status = &status.unwrap_or_else(|| panic!("{all:?}"))["params"];
        assert_eq!(status["taskId"], *id, "{all:?}");
        assert_eq!(status["status"], "completed", "{all:?}");
        let said = status["statusMessage"].as_str();
        assert_eq!(said, passes.then_some(words.as_str()), "{all:?}");
        let result = &all.last().unwrap()["result"];
        assert_eq!(result["content"][0]["text"], "it is done", "{all:?}");
    }
    system.cluster.stop().await;
}

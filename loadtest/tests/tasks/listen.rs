//! Clients that listen for their tasks.

use super::teller::Teller;
use super::{OTHER, System, meta, reason};
use futures::StreamExt;
use proctor_loadtest::load::{AGENT, attenuate};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::{Duration, Instant};

const SECRET: &str = "AKIAQWERTYUIOP234567";
const LATE: Duration = Duration::from_secs(60);

/// A stream of events, read as it comes.
pub(super) struct Heard {
    stream: std::pin::Pin<Box<dyn futures::Stream<Item = reqwest::Result<Vec<u8>>> + Send>>,
    text: String,
    /// All that came.
    all: String,
}

impl Heard {
    /// The next message; none if the stream is over.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.split_once("data: ").map(|(_, data)| data.to_owned());
                self.text = rest.to_owned();
                match data {
                    Some(data) => return Some(serde_json::from_str(&data).unwrap()),
                    None => continue,
                }
            }
            let piece = self.stream.next().await?.ok()?;
            let piece = std::str::from_utf8(&piece).unwrap();
            self.text.push_str(piece);
            self.all.push_str(piece);
        }
    }

    async fn soon(&mut self) -> Value {
        let next = tokio::time::timeout(LATE, self.next()).await;
        next.unwrap_or_else(|_| panic!("nothing came after {}", self.all))
            .unwrap()
    }

    /// What is told of a task, once it is so far.
    pub(super) async fn until(&mut self, id: &str, status: &str) -> Value {
        loop {
            let message = self.soon().await;
            assert_eq!(message["method"], "notifications/tasks", "{message}");
            let params = &message["params"];
            assert_eq!(params["_meta"]["io.modelcontextprotocol/subscriptionId"], 7);
            assert!(params["resultType"].is_null(), "{message}");
            if params["taskId"] == *id && params["status"] == status {
                return params.clone();
            }
        }
    }

    async fn nothing_for(&mut self, time: Duration) {
        if let Ok(message) = tokio::time::timeout(time, self.next()).await {
            panic!("{message:?}");
        }
    }
}

impl System {
    pub(super) async fn listen(&self, token: &str, ids: &[&str]) -> Heard {
        let wanted = json!({ "notifications": { "taskIds": ids } });
        let response = self.post(token, "subscriptions/listen", wanted).send();
        let pieces = response.await.unwrap().bytes_stream();
        let mut heard = Heard {
            stream: Box::pin(pieces.map(|piece| piece.map(|piece| piece.to_vec()))),
            text: String::new(),
            all: String::new(),
        };
        let first = heard.soon().await;
        assert_eq!(
            first["method"], "notifications/subscriptions/acknowledged",
            "{first}"
        );
        assert_eq!(first["params"]["notifications"]["taskIds"], json!(ids));
        heard
    }

    pub(super) async fn kill(&self, path: &str) {
        let kill = json!({ "scope": "tool", "object": "s/work" });
        let killed = self.cluster.acme(Method::POST, path, Some(kill)).await;
        killed.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_for_a_task_is_told_what_asking_after_it_would_tell() {
    // A server that tells nothing: the edge asks.
    let system = System::start().await;
    let token = system.token(AGENT, &["calls <= 4"]).await;
    let (wait, _) = system.begin(&token, "work", "wait").await;
    let (asks, _) = system.begin(&token, "work", "ask").await;
    let (fails, _) = system.begin(&token, "work", "fail").await;
    let (misfit, _) = system.begin(&token, "count", "misfit").await;
    // They come to that by themselves; the first look is to find it.
    system.until(&token, &asks, "input_required").await;
    system.until(&token, &fails, "failed").await;
    system
        .until_refused(&token, &misfit, "output_invalid")
        .await;
    let mut heard = system
        .listen(&token, &[&wait, &asks, &fails, &misfit])
        .await;
    let mut told = std::collections::HashMap::new();
    while told.len() < 3 {
        let message = heard.soon().await;
        let params = &message["params"];
        let id = params["taskId"].as_str().unwrap().to_owned();
        told.insert(id, params.clone());
    }
    assert_eq!(told[&wait]["status"], "working", "{told:?}");
    assert_eq!(told[&fails]["error"]["message"], "it broke", "{told:?}");
    let question = &told[&asks]["inputRequests"]["q"]["params"];
    assert_eq!(question["message"], "Your name?", "{told:?}");
    // What is as it was is not told again, and what asking would not give is not told at all.
    heard.nothing_for(Duration::from_secs(4)).await;
    system.worker.done.send_replace(true);
    let done = heard.until(&wait, "completed").await;
    assert_eq!(done["result"]["content"][0]["text"], "it is done", "{done}");
    let got = system.get(&token, &wait).await;
    assert_eq!(
        got["result"]["result"]["content"],
        done["result"]["content"]
    );
    let theirs = system.worker.ids.lock().unwrap().clone();
    assert!(theirs.iter().all(|id| !heard.all.contains(id)));
    assert!(!heard.all.contains(&misfit) || !heard.all.contains("many"));
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listens_for_what_is_not_his() {
    let system = System::start().await;
    let token = system.token(AGENT, &[]).await;
    let (id, _) = system.begin(&token, "work", "wait").await;
    let theirs = system.worker.ids.lock().unwrap()[0].clone();
    let again = system.token(AGENT, &[]).await;
    let other = system.token(OTHER, &[]).await;
    let elsewhere = attenuate(&token, "session = elsewhere").await.unwrap();
    let mut answers = Vec::new();
    for (who, ids) in [
        (&again, json!([id])),
        (&other, json!([id])),
        (&elsewhere, json!([id])),
        (&token, json!([theirs])),
        (&token, json!([id, "x"])),
        (&token, json!([format!("{id}A")])),
    ] {
        let wanted = json!({ "notifications": { "taskIds": ids } });
        let asking = system.ask(who, "subscriptions/listen", wanted);
        // One that is not refused would go on.
        let answer = tokio::time::timeout(LATE, asking).await;
        let mut answer = answer.unwrap();
        assert_eq!(reason(&answer), "task_unknown", "{answer}");
        assert_eq!(answer["error"]["code"], -32602);
        answer["error"]["data"]["decision_id"].take();
        answers.push(answer);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    for bad in [json!(id), json!([5]), json!(vec!["x"; 65])] {
        let wanted = json!({ "notifications": { "taskIds": bad } });
        let answer = system.ask(&token, "subscriptions/listen", wanted).await;
        assert_eq!(reason(&answer), "invalid_params", "{answer}");
    }
    let wanted = json!({ "notifications": { "taskIds": [id] }, "_meta": meta(&json!({})) });
    let answer = system.ask(&token, "subscriptions/listen", wanted).await;
    assert_eq!(answer["error"]["code"], -32021, "{answer}");
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_for_a_task_is_judged_all_the_time() {
    let system = System::start().await;
    let token = system.token(AGENT, &[]).await;
    let (id, _) = system.begin(&token, "work", "wait").await;
    let mut heard = system.listen(&token, &[&id]).await;
    heard.until(&id, "working").await;
    system.kill("kill-switches").await;
    system.until_refused(&token, &id, "killed_tool").await;
    system.worker.done.send_replace(true);
    heard.nothing_for(Duration::from_secs(6)).await;
    system.kill("kill-switches/release").await;
    heard.until(&id, "completed").await;

    let revoke = json!({ "token": token });
    let revoked = system
        .cluster
        .acme(Method::POST, "revocations", Some(revoke));
    revoked.await.unwrap();
    let last = heard.soon().await;
    assert_eq!(reason(&last), "token_revoked", "{last}");
    let end = tokio::time::timeout(LATE, heard.next()).await;
    assert_eq!(end.unwrap(), None);
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_tells_is_a_reason_to_ask_and_no_more() {
    for family in ["modern", "legacy"] {
        let (teller, url) = Teller::start().await;
        let system = System::with(&format!("{url}/{family}")).await;
        let token = system.token(AGENT, &[]).await;
        let call = json!({ "name": "work", "arguments": {} });
        let mut ids = Vec::new();
        for _ in 0..2 {
            let begun = system.ask(&token, "tools/call", call.clone()).await;
            let id = begun["result"]["taskId"].as_str();
            ids.push(id.unwrap_or_else(|| panic!("{begun}")).to_owned());
        }
        let mut heard = system.listen(&token, &[&ids[0], &ids[1]]).await;
        let mut begun = HashSet::new();
        while begun.len() < 2 {
            let told = heard.soon().await;
            assert_eq!(told["params"]["status"], "working", "{told}");
            begun.insert(told["params"]["taskId"].to_string());
        }
        // The edge asks once more when the server has agreed to tell, and then would not for minutes.
        let mut asked = teller.count("tasks/get");
        let started = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_secs(2)).await;
            match teller.count("tasks/get") {
                same if same == asked => break,
                more => asked = more,
            }
            assert!(started.elapsed() < LATE, "{family}: it asks on and on");
        }
        let done = teller.end(0, "the end of it", heard.until(&ids[0], "completed"));
        let done = done.await;
        assert_eq!(done["result"]["content"][0]["text"], "the end of it");
        assert!(teller.count("tasks/get") <= asked + 2, "{family}");
        let words = format!("beside {SECRET}");
        let done = teller.end(1, &words, heard.until(&ids[1], "completed"));
        let done = done.await.to_string();
        assert!(done.contains("beside") && !done.contains(SECRET), "{done}");
        for kept in ["pushed words", "theirs-", SECRET] {
            assert!(!heard.all.contains(kept), "{family}: {kept}");
        }
        // An edge that stops waits for who still listens.
        drop(heard);
        system.cluster.stop().await;
    }
}

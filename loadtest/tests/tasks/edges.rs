//! Tasks at more than one edge of a tenant.

use super::rows::records;
use super::teller::Teller;
use super::{OTHER, System, reason};
use nix::sys::signal::Signal;
use proctor_loadtest::cluster::Role;
use proctor_loadtest::load::AGENT;
use proctor_loadtest::oracle;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SECRET: &str = "AKIAQWERTYUIOP234567";
/// How long the second edge's events may take to the chain, one of them lost on the way.
const LATE: Duration = Duration::from_secs(90);

/// A system with a second edge.
struct Two {
    system: System,
    second: String,
    edge: Role,
}

impl Two {
    async fn start() -> Self {
        Self::of(System::start().await).await
    }

    async fn of(system: System) -> Self {
        let (edge, second) = system.cluster.another_edge().await.unwrap();
        Self {
            system,
            second,
            edge,
        }
    }

    /// From now on the second is asked.
    async fn turn(&mut self, token: &str) {
        self.system.url.clone_from(&self.second);
        self.system.served(token).await;
    }

    async fn stop(mut self) {
        self.edge.end(Signal::SIGTERM).await.unwrap();
        self.system.cluster.stop().await;
    }
}

impl System {
    /// Begins a task of a call with so many bytes more.
    async fn begin_with(&self, token: &str, more: usize) -> String {
        let arguments = json!({ "kind": "wait", "more": "x".repeat(more) });
        let call = json!({ "name": "work", "arguments": arguments });
        let begun = self.ask(token, "tools/call", call).await;
        let id = begun["result"]["taskId"].as_str();
        id.unwrap_or_else(|| panic!("{begun}")).to_owned()
    }

    /// Waits until this edge serves the holder of this token.
    async fn served(&self, token: &str) {
        let started = Instant::now();
        loop {
            let listed = self.ask(token, "tools/list", json!({})).await;
            let tools = listed["result"]["tools"].as_array();
            if tools.is_some_and(|tools| !tools.is_empty()) {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{listed}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Events of this kind, by what they have of a decision there.
    async fn events(&self, pointer: &str, decision: &str) -> Vec<Value> {
        let events = oracle::events(&self.cluster).await.unwrap().into_iter();
        let of = |event: &Value| {
            event["kind"] == "authorized" && event.pointer(pointer) == Some(&json!(decision))
        };
        events.filter(of).collect()
    }

    /// Questions about the task of this call, once the chain has any: a chain that has settled has all of the first edge, and the
    /// second sends its own when it comes to it.
    async fn asked_for(&self, decision: &str) -> Vec<Value> {
        let started = Instant::now();
        loop {
            let asked = self.events("/task/of", decision).await;
            if !asked.is_empty() {
                return asked;
            }
            assert!(started.elapsed() < LATE, "nothing of the second edge");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_one_edge_is_the_same_at_another() {
    let mut two = Two::start().await;
    let token = two.system.token(AGENT, &["calls <= 3"]).await;
    let other = two.system.token(OTHER, &[]).await;
    let again = two.system.token(AGENT, &[]).await;
    let (wait, decision) = two.system.begin(&token, "work", "wait").await;
    let fits = two.system.begin_with(&token, 2_200).await;
    let long = two.system.begin_with(&token, 8_000).await;
    let theirs = two.system.worker.ids.lock().unwrap().clone();
    let first = two.system.url.clone();
    two.turn(&token).await;
    let system = &mut two.system;
    let working = system.until(&token, &wait, "working").await;
    assert_eq!(working["taskId"], *wait);
    assert!(theirs.iter().all(|id| !working.to_string().contains(id)));
    // It is nobody else's there either.
    let mut tampered = wait.clone().into_bytes();
    tampered[20] = if tampered[20] == b'A' { b'B' } else { b'A' };
    let tampered = String::from_utf8(tampered).unwrap();
    for (who, id) in [
        (&other, &wait),
        (&again, &wait),
        (&token, &tampered),
        (&token, &theirs[0]),
        // What does not fit into a header is only where it was made.
        (&token, &long),
    ] {
        let foreign = system.get(who, id).await;
        assert_eq!(reason(&foreign), "task_unknown", "{foreign}");
    }
    assert!((3_500..=4_096).contains(&fits.len()) && long.len() < 1_000);
    system.until(&token, &fits, "working").await;

    // In the audit chain it is the call that it was.
    let patience = Duration::from_secs(20);
    oracle::settled(&system.cluster, patience).await.unwrap();
    let call = system.events("/decision_id", &decision).await.remove(0);
    for event in system.asked_for(&decision).await {
        for member in ["tool", "agent", "args_digest", "arg_names"] {
            assert_eq!(event[member], call[member], "{member}");
        }
        assert_ne!(event["edge"], call["edge"]);
    }

    // The edge that made it may have been started anew meanwhile.
    system.cluster.edge.end(Signal::SIGTERM).await.unwrap();
    system.cluster.start_edge().await.unwrap();
    system.url = first;
    system.served(&token).await;
    system.until(&token, &wait, "working").await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_control_judges_where_a_task_is_asked_after() {
    let mut two = Two::start().await;
    let token = two.system.token(AGENT, &[]).await;
    let (wait, _) = two.system.begin(&token, "work", "wait").await;
    let (asks, _) = two.system.begin(&token, "work", "ask").await;
    let (misfit, _) = two.system.begin(&token, "count", "misfit").await;
    let (stops, _) = two.system.begin(&token, "work", "wait").await;
    two.turn(&token).await;
    let system = &two.system;
    system
        .until_refused(&token, &misfit, "output_invalid")
        .await;
    let asked = system.until(&token, &asks, "input_required").await;
    let question = &asked["inputRequests"]["q"]["params"]["message"];
    assert_eq!(question, "Your name?", "{asked}");
    let answer = |name: &str| {
        let reply = json!({ "action": "accept", "content": { "name": name } });
        json!({ "taskId": asks, "inputResponses": { "q": reply } })
    };
    let leak = system.ask(&token, "tasks/update", answer(SECRET)).await;
    assert_eq!(reason(&leak), "content_blocked", "{leak}");
    let heard = system.ask(&token, "tasks/update", answer("Ann")).await;
    assert_eq!(heard["result"]["resultType"], "complete", "{heard}");
    let done = system.until(&token, &asks, "completed").await;
    assert_eq!(done["result"]["content"][0]["text"], "hello Ann", "{done}");
    let stop = json!({ "taskId": stops });
    system.ask(&token, "tasks/cancel", stop).await;
    system.until(&token, &stops, "cancelled").await;

    system.kill("kill-switches").await;
    system.until_refused(&token, &wait, "killed_tool").await;
    system.kill("kill-switches/release").await;
    system.until_released(&token, &wait).await;
    let mut heard = system.listen(&token, &[&wait]).await;
    heard.until(&wait, "working").await;
    system.worker.done.send_replace(true);
    heard.until(&wait, "completed").await;
    drop(heard);
    let revoke = json!({ "token": token });
    let revoked = system
        .cluster
        .acme(Method::POST, "revocations", Some(revoke));
    revoked.await.unwrap();
    system.until_refused(&token, &wait, "token_revoked").await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_may_be_known_by_its_session_stays_where_it_is() {
    let (_teller, url) = Teller::start().await;
    let mut two = Two::of(System::with(&format!("{url}/legacy")).await).await;
    let token = two.system.token(AGENT, &[]).await;
    let call = json!({ "name": "work", "arguments": {} });
    let begun = two.system.ask(&token, "tools/call", call).await;
    let id = begun["result"]["taskId"].as_str();
    let id = id.unwrap_or_else(|| panic!("{begun}"));
    two.system.until(&token, id, "working").await;
    two.turn(&token).await;
    let unknown = two.system.get(&token, id).await;
    assert_eq!(reason(&unknown), "task_unknown", "{unknown}");
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_edge_counts_what_is_heard_of_a_task_there() {
    let (teller, url) = Teller::start().await;
    let mut two = Two::of(System::with(&format!("{url}/modern")).await).await;
    two.system.limit_rows().await;
    let token = two.system.token(AGENT, &[]).await;
    let (first, _) = two.system.begin(&token, "work", "wait").await;
    let (id, _) = two.system.begin(&token, "work", "wait").await;
    two.turn(&token).await;
    let system = &two.system;
    system.until_limited(&teller, &token, &first).await;
    for (of, rows, passes) in [("a", 40, true), ("b", 20, false), ("a", 40, true)] {
        let words = records(of, rows);
        teller.say(1, "working", &json!({ "statusMessage": words }));
        let got = system.get(&token, &id).await;
        assert!(got["result"]["status"].is_string(), "{got}");
        let said = got["result"]["statusMessage"].as_str();
        assert_eq!(said, passes.then_some(words.as_str()), "{got}");
    }
    two.stop().await;
}

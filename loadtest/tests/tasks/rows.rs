//! Ceilings on rows of what a client hears of a task, however often it asks.

use super::teller::Teller;
use super::{System, reason};
use proctor_loadtest::load::AGENT;
use proctor_loadtest::oracle;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A ceiling as tenants write one.
const FIFTY: &str = r#"package proctor.policy

import rego.v1

decision := {"effect": "deny", "reasons": ["too_many"]} if { input.phase == "response"; input.result.rows > 50 } else := {"effect": "allow", "reasons": []}
"#;

/// So many records that are nobody else's.
pub(super) fn records(of: &str, rows: usize) -> String {
    let rows = (0..rows).map(|row| json!({ "row": row, "of": of }));
    Value::Array(rows.collect()).to_string()
}

impl System {
    /// From now on no more than fifty rows are passed on.
    pub(super) async fn limit_rows(&self) {
        let policy = json!({ "modules": [{ "name": "fifty.rego", "source": FIFTY }] });
        let put = self
            .cluster
            .acme(Method::PUT, "policies/fifty", Some(policy));
        let version = put.await.unwrap()["version"].clone();
        let activate = format!("policies/fifty/versions/{version}/activate");
        let mode = Some(json!({ "mode": "enforce" }));
        self.cluster
            .acme(Method::POST, &activate, mode)
            .await
            .unwrap();
    }

    /// Asks after a task that says more than that until it is held to it here. It is the teller's first.
    pub(super) async fn until_limited(&self, teller: &Teller, token: &str, id: &str) {
        let words = json!({ "statusMessage": records("many", 60) });
        teller.say(0, "working", &words);
        let started = Instant::now();
        loop {
            let got = self.get(token, id).await;
            let state = &got["result"];
            if state["status"].is_string() && state["statusMessage"].is_null() {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{got}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The outcomes of a kind that looks at the task of a call had.
    async fn looks(&self, call: &str, kind: &str) -> Vec<Value> {
        oracle::settled(&self.cluster, Duration::from_secs(20))
            .await
            .unwrap();
        let path = format!("audit/events?kind={kind}&limit=1000");
        let page = self.cluster.acme(Method::GET, &path, None).await.unwrap();
        let entries = page["entries"].as_array().unwrap().iter();
        let events = entries.map(|entry| entry["event"].clone());
        events
            .filter(|event| event["task"]["of"] == *call)
            .collect()
    }
}

/// What is told of a task beside its state.
fn said(got: &Value) -> Option<&str> {
    assert!(got["result"]["status"].is_string(), "{got}");
    got["result"]["statusMessage"].as_str()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ceiling_is_on_all_that_is_heard_of_a_task() {
    let (teller, url) = Teller::start().await;
    let system = System::with(&format!("{url}/modern")).await;
    let token = system.token(AGENT, &[]).await;
    system.limit_rows().await;
    let (first, _) = system.begin(&token, "work", "wait").await;
    system.until_limited(&teller, &token, &first).await;

    // Its last words are too much; its result is told without them.
    let (id, call) = system.begin(&token, "work", "wait").await;
    let words = records("first", 40);
    teller.say(1, "working", &json!({ "statusMessage": words }));
    let got = system.get(&token, &id).await;
    assert_eq!(said(&got), Some(words.as_str()), "{got}");
    let result = json!({ "content": [{ "type": "text", "text": "it is done" }] });
    let last = records("bob@example.org", 20);
    let end = json!({ "statusMessage": last, "result": result });
    teller.say(1, "completed", &end);
    for _ in 0..2 {
        let got = system.get(&token, &id).await;
        assert_eq!(said(&got), None, "{got}");
        let text = &got["result"]["result"]["content"][0]["text"];
        assert_eq!(text, "it is done", "{got}");
    }
    let many = json!({ "content": [{ "type": "text", "text": records("many", 60) }] });
    let end = json!({ "statusMessage": last, "result": many });
    teller.say(1, "completed", &end);
    let got = system.get(&token, &id).await;
    assert_eq!(reason(&got), "policy_denied", "{got}");

    // The chain says that words were left out, by which policy, and what was in them.
    let told = system.looks(&call, "completed").await;
    let left_out = |look: &&Value| look["verdicts"]["policy"] == "refused";
    let mut denied: Vec<&Value> = told.iter().filter(left_out).collect();
    assert_eq!((told.len(), denied.len()), (3, 2), "{told:?}");
    let withheld = system.looks(&call, "withheld").await;
    assert_eq!(withheld.len(), 1, "{withheld:?}");
    denied.extend(&withheld);
    for look in denied {
        let mut policies = look["policy"].as_array().unwrap().iter();
        let fifty = policies.find(|said| said["id"] == "fifty" && said["effect"] == "deny");
        assert_eq!(fifty.unwrap()["rules"], json!(["too_many"]), "{look}");
        let mut content = look["content"].as_array().unwrap().iter();
        assert!(content.any(|found| found["class"] == "email"), "{look}");
    }

    // Its result is told as often as it is asked for, and is not another fifty rows each time.
    let (id, _) = system.begin(&token, "work", "wait").await;
    for (of, rows, at, passes) in [
        ("a", 40, 1, true),
        ("a", 40, 2, true),
        ("b", 20, 3, false),
        ("b", 10, 4, true),
        ("c", 1, 5, false),
        ("a", 40, 6, true),
    ] {
        let content = json!([{ "type": "text", "text": records(of, rows) }]);
        let result = json!({ "content": content, "_meta": { "at": at } });
        teller.say(2, "completed", &json!({ "result": result }));
        let got = system.get(&token, &id).await;
        match passes {
            true => assert_eq!(got["result"]["result"]["content"], content, "{got}"),
            false => assert_eq!(reason(&got), "policy_denied", "{got}"),
        }
    }

    // What was said when it began counts with what it says then, and is the same again.
    let greeting = records("begun", 40);
    teller.greet(&greeting);
    let (id, _) = system.begin(&token, "work", "wait").await;
    let got = system.get(&token, &id).await;
    assert_eq!(said(&got), Some(greeting.as_str()), "{got}");
    teller.say(
        3,
        "working",
        &json!({ "statusMessage": records("then", 20) }),
    );
    let got = system.get(&token, &id).await;
    assert_eq!(said(&got), None, "{got}");
    system.cluster.stop().await;
}

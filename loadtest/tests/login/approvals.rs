//! Who logged in asks for the call, and does not decide on it.

use crate::system::{AUDIENCE, Answer, PATIENCE, System};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ASK: &str = r#"package proctor.policy

import rego.v1

default decision := {"effect": "allow", "reasons": []}

decision := {"effect": "escalate", "reasons": ["work"]} if input.tool.name == "work"
"#;

async fn ask_for_work(system: &System) {
    let policy = json!({ "modules": [{ "name": "ask.rego", "source": ASK }] });
    let put = system
        .cluster
        .acme(Method::PUT, "policies/ask", Some(policy));
    let version = put.await.unwrap()["version"].clone();
    let path = format!("policies/ask/versions/{version}/activate");
    let mode = Some(json!({ "mode": "enforce" }));
    let activated = system.cluster.acme(Method::POST, &path, mode);
    activated.await.unwrap();
}

/// The approval that a call waits for, once the policy is in force.
async fn escalated(system: &System, authorization: &str) -> String {
    let began = Instant::now();
    loop {
        let answer: Answer = system.mcp(authorization, "worker__work", None).await;
        let id = answer.body.pointer("/error/data/approval_id");
        if let Some(id) = id {
            return id.as_str().unwrap().to_owned();
        }
        assert!(began.elapsed() < PATIENCE, "{}", answer.body);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A key of an approver who is this person.
async fn approver(system: &System, holder: &str) -> String {
    let body = json!({ "name": "approver", "roles": ["approver"], "holder": holder });
    let made = system.cluster.acme(Method::POST, "api-keys", Some(body));
    made.await.unwrap()["key"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_logged_in_does_not_decide_on_what_the_agent_asks_for() {
    let system = System::start().await;
    ask_for_work(&system).await;
    let sign = |more: &Value| system.sign(&system.provider.claims(AUDIENCE, more));
    let given = system.exchange(&sign(&json!({ "jti": "1" })), &[]).await;
    let exchanged = given.body["access_token"].as_str().unwrap().to_owned();
    let shown = sign(&json!({ "jti": "2" }));
    let own = approver(&system, "Alice@acme.example").await;
    let bob = approver(&system, "bob@acme.example").await;
    for token in [exchanged, shown] {
        let id = escalated(&system, &format!("Bearer {token}")).await;
        let path = |verdict| format!("/v1/tenants/acme/approvals/{id}/{verdict}");
        let decide = async |key: &str, verdict| {
            let body = Some(json!({}));
            let path = path(verdict);
            system.cluster.api_as(key, Method::POST, &path, body).await
        };
        for verdict in ["approve", "deny"] {
            let refused = decide(&own, verdict).await.unwrap_err().to_string();
            assert!(refused.contains("logged in"), "{refused}");
        }
        let approved = decide(&bob, "approve").await.unwrap();
        assert_eq!(approved["state"], "approved");
    }
    system.cluster.stop().await;
}

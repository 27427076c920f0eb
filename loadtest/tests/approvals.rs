//! Escalated calls through running edges: a person is asked, and the answer is good for exactly one call.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "approvals/command_line.rs"]
mod command_line;
#[path = "approvals/forgery.rs"]
mod forgery;
#[path = "approvals/mcp.rs"]
mod mcp;
#[path = "approvals/reasons.rs"]
mod reasons;
#[path = "approvals/sub_intents.rs"]
mod sub_intents;
#[path = "approvals/system.rs"]
mod system;

use nix::sys::signal::Signal;
use proctor_loadtest::load::AGENT;
use proctor_loadtest::oracle;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use system::{PATIENCE, System, VALUE, reason};

/// How long what expires is good: long enough to ask and to approve on a slow machine.
const LIFE_S: u64 = 15;

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_call_runs_once_wherever_it_comes_again() {
    let system = System::start(json!({})).await;
    let [first, second] = &system.urls;
    let token = system
        .token(json!({ "user": "alice@acme.example" }), &[])
        .await;
    let arguments = json!({ "id": VALUE, "amount": 500 });
    let id = system.escalate(first, &token, arguments.clone()).await;
    assert_eq!(system.executed(500), 0);
    // Asked again, anywhere, it is the same question.
    assert_eq!(system.escalate(first, &token, arguments.clone()).await, id);
    assert_eq!(system.escalate(second, &token, arguments.clone()).await, id);
    let pending = system
        .call(second, &token, arguments.clone(), Some(&id))
        .await;
    assert_eq!(pending, "approval_pending");

    // Who declared the intent and minted the token may not decide; nor may who has not the right.
    let own = system
        .decide(system.cluster.admin_key(), &id, "approve")
        .await;
    assert!(own.unwrap_err().contains("403"));
    let operator = system.cluster.key("operator").await.unwrap();
    assert!(
        system
            .decide(&operator, &id, "approve")
            .await
            .unwrap_err()
            .contains("403")
    );
    let path = format!("/v1/tenants/acme/approvals/{id}");
    let seen = system
        .cluster
        .api_as(&system.approver, Method::GET, &path, None)
        .await
        .unwrap();
    assert_eq!(seen["arguments"], arguments);
    assert_eq!(seen["state"], "pending");
    assert_eq!(
        seen["question"],
        "worker wants worker/work for alice@acme.example: argument_not_in_intent: /amount: maximum"
    );
    let approved = system
        .decide(&system.approver, &id, "approve")
        .await
        .unwrap();
    assert_eq!(approved["state"], "approved");
    assert!(
        system
            .decide(&system.approver, &id, "approve")
            .await
            .unwrap_err()
            .contains("409")
    );

    // Another call, another token, nothing but the id: no.
    let edited = json!({ "id": VALUE, "amount": 501 });
    assert_eq!(
        system.call(second, &token, edited, Some(&id)).await,
        "approval_mismatch"
    );
    let other = system.token(json!({}), &[]).await;
    assert_eq!(
        system
            .call(first, &other, arguments.clone(), Some(&id))
            .await,
        "approval_mismatch"
    );
    let unknown = system
        .call(first, &token, arguments.clone(), Some("apr_0"))
        .await;
    assert_eq!(unknown, "approval_unknown");
    let bad = system
        .send(first, &token, arguments.clone(), Some("nonsense"))
        .await;
    assert_eq!(reason(&bad), "invalid_params");

    // A hundred at once, on two edges: one.
    let calls =
        (0..100).map(|n| system.answered(&system.urls[n % 2], &token, arguments.clone(), &id));
    let answers = futures::future::join_all(calls).await;
    let allowed = answers.iter().filter(|answer| *answer == "allowed").count();
    assert_eq!(allowed, 1, "{answers:?}");
    assert!(
        answers
            .iter()
            .all(|answer| answer == "allowed" || answer == "approval_used"),
        "{answers:?}"
    );
    assert_eq!(system.executed(500), 1);
    let seen = system
        .cluster
        .api_as(&system.approver, Method::GET, &path, None)
        .await
        .unwrap();
    assert_eq!(
        (&seen["state"], &seen["arguments"]),
        (&json!("used"), &Value::Null)
    );

    // The chain tells all of it, and holds no value. What control and the second edge tell comes by lanes of their own.
    let with_approval = |events: &Value, kind: &str| {
        let entries = events["entries"].as_array().unwrap().iter();
        let event = |event: &&Value| event.get("event").unwrap_or(event)["kind"] == kind;
        entries
            .filter(event)
            .filter(|event| event.to_string().contains(&id))
            .count()
    };
    let told = [
        "\"approval.request\"",
        "\"approval.approve\"",
        "\"approval.use\"",
        "\"approval_used\"",
        "\"approval_mismatch\"",
    ];
    let whole = |events: &Value| {
        let text = events.to_string();
        told.iter().all(|word| text.contains(word)) && with_approval(events, "completed") > 0
    };
    let started = Instant::now();
    loop {
        let events = system.events().await;
        if whole(&events) {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{events}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    oracle::settled(&system.cluster, PATIENCE).await.unwrap();
    let events = system.events().await;
    assert_eq!(with_approval(&events, "authorized"), 1);
    assert_eq!(with_approval(&events, "completed"), 1);
    assert!(!events.to_string().contains(VALUE));
    // Nor does what lies in the database and the streams, once the approval is over.
    let files = [
        system.cluster.dir.path().join("nats"),
        system.cluster.dir.path().join("control.log"),
    ];
    for file in files {
        let found = std::process::Command::new("grep")
            .args(["-r", "-a", "-l", VALUE])
            .arg(&file)
            .output()
            .unwrap();
        assert!(
            found.stdout.is_empty(),
            "{}",
            String::from_utf8_lossy(&found.stdout)
        );
    }
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_between_approval_and_use_counts() {
    let system =
        System::start(json!({ "approvals": { "expires_in_s": 900, "approvers": 2 } })).await;
    let [first, second] = &system.urls;
    let arguments = |n: u64| json!({ "id": "1", "amount": n });
    let another = system.cluster.key("approver").await.unwrap();
    let approve = async |id: &str| {
        let one = system
            .decide(&system.approver, id, "approve")
            .await
            .unwrap();
        assert_eq!(one["state"], "pending", "two are needed");
        assert!(
            system
                .decide(&system.approver, id, "approve")
                .await
                .unwrap_err()
                .contains("409")
        );
        assert_eq!(
            system.decide(&another, id, "approve").await.unwrap()["state"],
            "approved"
        );
    };

    // Denied, also after it was approved.
    let token = system.token(json!({}), &[]).await;
    let id = system.escalate(first, &token, arguments(201)).await;
    approve(&id).await;
    assert_eq!(
        system.decide(&another, &id, "deny").await.unwrap()["state"],
        "denied"
    );
    assert_eq!(
        system.call(second, &token, arguments(201), Some(&id)).await,
        "approval_denied"
    );
    // Nobody is asked the same again for the tenant's time.
    let again = system.call(second, &token, arguments(201), None).await;
    assert_eq!(again, "approval_denied");

    // The token is revoked.
    let id = system.escalate(first, &token, arguments(202)).await;
    approve(&id).await;
    let revoke = Some(json!({ "token": token }));
    system
        .cluster
        .acme(Method::POST, "revocations", revoke)
        .await
        .unwrap();
    assert_eq!(
        system.call(second, &token, arguments(202), Some(&id)).await,
        "token_revoked"
    );

    // The agent is stopped, and goes on.
    let token = system.token(json!({}), &[]).await;
    let id = system.escalate(first, &token, arguments(203)).await;
    approve(&id).await;
    let agent = json!({ "scope": "agent", "object": AGENT });
    system
        .cluster
        .acme(Method::POST, "kill-switches", Some(agent.clone()))
        .await
        .unwrap();
    assert_eq!(
        system.call(second, &token, arguments(203), Some(&id)).await,
        "killed_agent"
    );
    system
        .cluster
        .acme(Method::POST, "kill-switches/release", Some(agent))
        .await
        .unwrap();
    system
        .becomes(second, &token, arguments(1), "allowed")
        .await;

    // The policies are others now.
    let source =
        "package proctor.policy\n\ndecision := {\"effect\": \"allow\", \"reasons\": [\"new\"]}\n";
    let policy = json!({ "modules": [{ "name": "allow.rego", "source": source }] });
    let version = system
        .cluster
        .acme(Method::PUT, "policies/allow", Some(policy))
        .await
        .unwrap();
    let activate = format!("policies/allow/versions/{}/activate", version["version"]);
    system
        .cluster
        .acme(Method::POST, &activate, Some(json!({ "mode": "enforce" })))
        .await
        .unwrap();
    // Once they are in force, the same call is another question.
    let started = Instant::now();
    while system.escalate(second, &token, arguments(203)).await == id {
        assert!(started.elapsed() < PATIENCE);
    }
    let now = system.call(second, &token, arguments(203), Some(&id)).await;
    assert_eq!(now, "approval_mismatch");

    // The intent is over; so is the approval, which does not outlive it.
    let token = system.token(json!({ "expires_in_s": LIFE_S }), &[]).await;
    let id = system.escalate(first, &token, arguments(204)).await;
    approve(&id).await;
    let seen = system.expired(&id).await;
    assert_eq!(seen["arguments"], Value::Null);
    let over = "intent_expired";
    system.becomes(second, &token, arguments(1), over).await;
    assert_eq!(
        system.call(second, &token, arguments(204), Some(&id)).await,
        over
    );

    // Only so many of one agent wait at once.
    let token = system.token(json!({}), &[]).await;
    let mut last = String::new();
    for n in 0..140 {
        last = system.call(first, &token, arguments(1000 + n), None).await;
        if last != "approval_required" {
            break;
        }
    }
    assert_eq!(last, "approval_backlog");
    for amount in [201, 202, 203, 204] {
        assert_eq!(system.executed(amount), 0);
    }
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_to_ask_is_a_refusal_and_old_approvals_expire() {
    let mut system = System::start(json!({ "approvals": { "expires_in_s": LIFE_S } })).await;
    let first = system.urls[0].clone();
    let token = system.token(json!({}), &[]).await;
    let arguments = json!({ "id": "1", "amount": 300 });
    let id = system.escalate(&first, &token, arguments.clone()).await;
    system
        .decide(&system.approver, &id, "approve")
        .await
        .unwrap();
    system.expired(&id).await;
    assert_eq!(
        system
            .call(&first, &token, arguments.clone(), Some(&id))
            .await,
        "approval_expired"
    );
    let next = system.escalate(&first, &token, arguments.clone()).await;
    assert_ne!(next, id);
    assert!(
        system
            .decide(&system.approver, &id, "approve")
            .await
            .unwrap_err()
            .contains("409")
    );
    system.cluster.control.end(Signal::SIGKILL).await.unwrap();
    assert_eq!(
        system.call(&first, &token, arguments.clone(), None).await,
        "approval_unavailable"
    );
    assert_eq!(
        system.call(&first, &token, arguments, Some(&next)).await,
        "approval_unavailable"
    );
    // What needs nobody goes on.
    let plain = json!({ "id": "1", "amount": 3 });
    assert_eq!(system.call(&first, &token, plain, None).await, "allowed");
    assert_eq!(system.executed(300), 0);
    system.stop().await;
}

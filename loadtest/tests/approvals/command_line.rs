//! Approvals from the command line.

use super::system::System;
use proctor_loadtest::cluster::proctor_binary;
use proctor_loadtest::load::AGENT;
use reqwest::Method;
use serde_json::{Value, json};

/// The binary's own words, and whether it was content.
fn run(system: &System, key: &str, token: &str, arguments: &[&str]) -> (bool, String) {
    let output = std::process::Command::new(proctor_binary().unwrap())
        .args(arguments)
        .env("PROCTOR_API_URL", &system.cluster.api_url)
        .env("PROCTOR_EDGE_URL", &system.urls[0])
        .env("PROCTOR_TENANT", "acme")
        .env("PROCTOR_ADMIN_KEY", key)
        .env("PROCTOR_AGENT_TOKEN", token)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn people_work_from_the_command_line() {
    let system = System::start(json!({})).await;
    let token = system.token(json!({}), &[]).await;
    let (approver, admin) = (system.approver.as_str(), system.cluster.admin_key());
    let call = r#"{"id":"1","amount":900}"#;
    let (done, said) = run(&system, admin, &token, &["call", "worker/work", call]);
    assert!(!done && said.contains("--approval apr_"), "{said}");
    let id = said.split_whitespace().last().unwrap().to_owned();
    let (done, said) = run(&system, approver, &token, &["approval", "list"]);
    assert!(
        done && said.contains(&id) && said.contains("worker wants worker/work"),
        "{said}"
    );
    let (done, said) = run(&system, approver, &token, &["approval", "show", &id]);
    assert!(done && said.contains("\"amount\": 900"), "{said}");
    let (done, said) = run(&system, admin, &token, &["approval", "approve", &id]);
    assert!(!done && said.contains("403"), "{said}");
    let approve = ["approval", "approve", &id, "--comment", "it is right"];
    let (done, said) = run(&system, approver, &token, &approve);
    assert!(done && said.contains("is approved"), "{said}");
    let again = ["call", "worker/work", call, "--approval", &id];
    let (done, said) = run(&system, admin, &token, &again);
    assert!(done, "{said}");
    let (done, said) = run(&system, admin, &token, &again);
    assert!(!done && said.contains("approval_used"), "{said}");
    let (done, said) = run(&system, approver, &token, &["approval", "deny", &id]);
    assert!(!done && said.contains("used already"), "{said}");
    let (done, said) = run(&system, approver, &token, &["approval", "list"]);
    assert!(done && !said.contains(&id), "{said}");

    let (done, said) = run(&system, approver, &token, &["kill", "on", "--all"]);
    assert!(!done && said.contains("403"), "{said}");
    let on = ["kill", "on", "--agent", AGENT, "--note", "odd"];
    let (done, said) = run(&system, admin, &token, &on);
    assert!(done && said.contains("stopped: agent worker"), "{said}");
    let plain = json!({ "id": "1", "amount": 1 });
    system
        .becomes(&system.urls[0], &token, plain.clone(), "killed_agent")
        .await;
    let (done, said) = run(&system, admin, &token, &["kill", "list"]);
    assert!(
        done && said.contains("agent worker") && said.contains("odd"),
        "{said}"
    );
    let (done, said) = run(&system, admin, &token, &["kill", "off", "--agent", AGENT]);
    assert!(done, "{said}");
    let (done, said) = run(&system, admin, &token, &["kill", "off", "--agent", AGENT]);
    assert!(!done && said.contains("404"), "{said}");
    system
        .becomes(&system.urls[0], &token, plain, "allowed")
        .await;
    let extract = ["intent", "extract", "--agent", AGENT, "Do the work"];
    let (done, said) = run(&system, admin, &token, &extract);
    assert!(!done && said.contains("no extractor"), "{said}");
    system.stop().await;
}

/// A key names who holds it: Alice does not approve what her agent wants, whichever key she takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_a_holder() {
    let system = System::start(json!({})).await;
    let user = json!({ "user": "alice@acme.example" });
    let token = system.token(user, &[]).await;
    let admin = system.cluster.admin_key();
    let make = |holder: &str| {
        let new = ["key", "create", "--name", "k", "--role", "approver"];
        let (done, said) = run(
            &system,
            admin,
            &token,
            &[&new[..], &["--holder", holder]].concat(),
        );
        assert!(done, "{said}");
        said.trim().to_owned()
    };
    let (alice, bob) = (make("alice@acme.example"), make("bob@acme.example"));
    let (done, said) = run(&system, admin, &token, &["key", "list"]);
    assert!(done && said.contains("alice@acme.example"), "{said}");
    assert!(!said.contains(&alice), "it is shown once");
    let call = json!({ "id": "1", "amount": 900 });
    let id = system.escalate(&system.urls[0], &token, call).await;
    let approve = ["approval", "approve", &id];
    let (done, said) = run(&system, &alice, &token, &approve);
    assert!(!done && said.contains("403"), "{said}");
    let (done, said) = run(&system, &bob, &token, &approve);
    assert!(done && said.contains("is approved"), "{said}");

    let listed = system.cluster.acme(Method::GET, "api-keys", None).await;
    let keys = listed.unwrap()["api_keys"].as_array().unwrap().clone();
    let held = |key: &&Value| key["holder"] == "alice@acme.example";
    let key = keys.iter().find(held).unwrap()["id"].as_str().unwrap();
    let (done, said) = run(&system, admin, &token, &["key", "delete", key]);
    assert!(done && said.contains("is withdrawn"), "{said}");
    system.stop().await;
}

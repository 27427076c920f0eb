//! Escalated calls through running edges: a person is asked, and the answer is good for exactly one call.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::StreamExt;
use nix::sys::signal::Signal;
use proctor_loadtest::cluster::{Cluster, Options, Role, proctor_binary};
use proctor_loadtest::load::{AGENT, allow_all, in_secs, register};
use proctor_loadtest::oracle;
use proctor_loadtest::upstream::Upstream;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A value that may stand nowhere but in the call, the tool server and the approver's own answer.
const VALUE: &str = "order-of-mallory-7731";

struct System {
    cluster: Cluster,
    upstream: Upstream,
    second: Role,
    urls: [String; 2],
    approver: String,
    http: reqwest::Client,
}

impl System {
    async fn start(settings: Value) -> Self {
        let options = Options {
            settings,
            ..Options::default()
        };
        let cluster = Cluster::start(options).await.unwrap();
        let upstream = Upstream::start(Duration::ZERO).await.unwrap();
        cluster
            .acme(Method::PUT, &format!("agents/{AGENT}"), Some(json!({})))
            .await
            .unwrap();
        register(&cluster, &upstream).await.unwrap();
        allow_all(&cluster).await.unwrap();
        let (second, url) = cluster.another_edge().await.unwrap();
        Self {
            urls: [cluster.edge_url.clone(), url],
            approver: cluster.key("approver").await.unwrap(),
            cluster,
            upstream,
            second,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// An intent that asks a person for amounts over 100, and a token for it; `rest` are further members.
    async fn token(&self, rest: Value, caveats: &[String]) -> String {
        let mut declaration = json!({
            "agent": AGENT, "goal": "Do the work", "expires_in_s": 600,
            "actions": [{
                "tool": "worker/work", "args": { "properties": { "amount": { "maximum": 100 } } }, "on_violation": "escalate",
            }],
        });
        let members = declaration.as_object_mut().unwrap();
        members.extend(rest.as_object().unwrap().clone());
        let intent = self
            .cluster
            .acme(Method::POST, "intents", Some(declaration))
            .await
            .unwrap();
        let mut all = vec![
            format!("time < {}", in_secs(600).unwrap()),
            "tool in worker/*".to_owned(),
            format!("intent = {}", intent["id"].as_str().unwrap()),
        ];
        all.extend_from_slice(caveats);
        let body = json!({ "agent": AGENT, "caveats": all });
        let minted = self.cluster.acme(Method::POST, "tokens", Some(body)).await;
        let token = minted.unwrap()["token"].as_str().unwrap().to_owned();
        for url in &self.urls {
            self.becomes(url, &token, json!({ "id": "1", "amount": 1 }), "allowed")
                .await;
        }
        token
    }

    async fn send(
        &self,
        url: &str,
        token: &str,
        arguments: Value,
        approval: Option<&str>,
    ) -> Value {
        let mut body = json!({ "tool": "worker/work", "arguments": arguments });
        if let Some(approval) = approval {
            body["_meta"] = json!({ "dev.proctor/approval": approval });
        }
        let request = self.http.post(format!("{url}/v1/tool-call"));
        let answer = request.bearer_auth(token).json(&body).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// The reason, or `allowed`.
    async fn call(
        &self,
        url: &str,
        token: &str,
        arguments: Value,
        approval: Option<&str>,
    ) -> String {
        let answer = self.send(url, token, arguments, approval).await;
        reason(&answer)
    }

    async fn becomes(&self, url: &str, token: &str, arguments: Value, wanted: &str) {
        let started = Instant::now();
        loop {
            let last = self.call(url, token, arguments.clone(), None).await;
            if last == wanted {
                return;
            }
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "{last}, not {wanted}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes a call that has to be escalated; the approval's id.
    async fn escalate(&self, url: &str, token: &str, arguments: Value) -> String {
        let answer = self.send(url, token, arguments, None).await;
        assert_eq!(reason(&answer), "approval_required", "{answer}");
        let data = &answer["error"]["data"];
        let id = data["approval_id"].as_str().unwrap().to_owned();
        assert_eq!(answer["error"]["code"], -32019);
        assert_eq!(data["control"], "approval");
        assert!(data["expires_at"].is_string());
        assert_eq!(
            data["retry_with"],
            json!({ "_meta": { "dev.proctor/approval": id } })
        );
        id
    }

    async fn decide(&self, key: &str, id: &str, verdict: &str) -> Result<Value, String> {
        let path = format!("/v1/tenants/acme/approvals/{id}/{verdict}");
        let body = Some(json!({ "comment": "looked at it" }));
        let decided = self.cluster.api_as(key, Method::POST, &path, body).await;
        decided.map_err(|error| error.to_string())
    }

    fn executed(&self, amount: u64) -> usize {
        let all = self.upstream.journal.all();
        all.iter()
            .filter(|call| call.arguments["amount"] == amount)
            .count()
    }

    async fn stop(mut self) {
        self.second.end(Signal::SIGTERM).await.unwrap();
        self.cluster.stop().await;
    }
}

fn reason(answer: &Value) -> String {
    let reason = answer["error"]["data"]["reason"].as_str();
    reason.unwrap_or("allowed").to_owned()
}

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
        (0..100).map(|n| system.call(&system.urls[n % 2], &token, arguments.clone(), Some(&id)));
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

    // The chain tells all of it, and holds no value.
    oracle::settled(&system.cluster, Duration::from_secs(20))
        .await
        .unwrap();
    let events = system
        .cluster
        .acme(Method::GET, "audit/events?limit=500", None)
        .await
        .unwrap();
    let text = events.to_string();
    for told in [
        "approval.request",
        "approval.approve",
        "approval.use",
        "approval_used",
        "approval_mismatch",
    ] {
        assert!(text.contains(told), "{told}");
    }
    let with_approval = |kind: &str| {
        let entries = events["entries"].as_array().unwrap().iter();
        let event = |event: &&Value| event.get("event").unwrap_or(event)["kind"] == kind;
        entries
            .filter(event)
            .filter(|event| event.to_string().contains(&id))
            .count()
    };
    assert_eq!(with_approval("authorized"), 1);
    assert_eq!(with_approval("completed"), 1);
    assert!(!text.contains(VALUE));
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
    // Nobody is asked the same again until that approval would have expired.
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
        assert!(started.elapsed() < Duration::from_secs(10));
    }
    let now = system.call(second, &token, arguments(203), Some(&id)).await;
    assert_eq!(now, "approval_mismatch");

    // The intent is over; so is the approval, which does not outlive it.
    let token = system.token(json!({ "expires_in_s": 4 }), &[]).await;
    let id = system.escalate(first, &token, arguments(204)).await;
    approve(&id).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        system.call(second, &token, arguments(204), Some(&id)).await,
        "intent_expired"
    );
    let path = format!("/v1/tenants/acme/approvals/{id}");
    let seen = system
        .cluster
        .api_as(&another, Method::GET, &path, None)
        .await
        .unwrap();
    assert_eq!(
        (&seen["state"], &seen["arguments"]),
        (&json!("expired"), &Value::Null)
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
    let mut system = System::start(json!({ "approvals": { "expires_in_s": 2 } })).await;
    let first = system.urls[0].clone();
    let token = system.token(json!({}), &[]).await;
    let arguments = json!({ "id": "1", "amount": 300 });
    let id = system.escalate(&first, &token, arguments.clone()).await;
    system
        .decide(&system.approver, &id, "approve")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
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

/// A sub-agent's token is its agent's, narrowed to an intent of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_sub_intent_holds_a_sub_agent() {
    let system = System::start(json!({})).await;
    let [first, second] = &system.urls;
    let outer = json!({
        "agent": AGENT, "user": "alice@acme.example", "session": "s-1", "goal": "Do the work", "expires_in_s": 600,
        "actions": [{ "tool": "worker/work", "max_calls": 3 }],
    });
    let outer = system
        .cluster
        .acme(Method::POST, "intents", Some(outer))
        .await
        .unwrap();
    let inner = |rest: Value| {
        let mut declaration = json!({
            "agent": AGENT, "goal": "Do the small work", "expires_in_s": 900, "parent": outer["id"],
            "actions": [{ "tool": "worker/work", "args": { "properties": { "amount": { "maximum": 10 } } }, "max_calls": 2 },
                        { "tool": "worker/danger" }],
        });
        declaration
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        system
            .cluster
            .acme(Method::POST, "intents", Some(declaration))
    };
    for wider in [
        json!({ "agent": "other" }),
        json!({ "session": "s-2" }),
        json!({ "user": "bob" }),
        json!({ "parent": "int_0" }),
    ] {
        assert!(inner(wider).await.unwrap_err().to_string().contains("400"));
    }
    let declared = inner(json!({})).await.unwrap();
    assert_eq!(
        declared["expires_at"], outer["expires_at"],
        "no later than what it narrows"
    );
    assert_eq!(declared["declaration"]["session"], "s-1");
    let caveats = |intent: &Value| {
        vec![
            format!("time < {}", in_secs(600).unwrap()),
            "tool in worker/*".to_owned(),
            "session = s-1".to_owned(),
            format!("intent = {}", intent["id"].as_str().unwrap()),
        ]
    };
    let mut narrowed = caveats(&outer);
    let mint = async |caveats: &[String]| {
        let body = json!({ "agent": AGENT, "caveats": caveats });
        let minted = system
            .cluster
            .acme(Method::POST, "tokens", Some(body))
            .await
            .unwrap();
        minted["token"].as_str().unwrap().to_owned()
    };
    let whole = mint(&narrowed).await;
    narrowed.extend([
        format!("intent = {}", declared["id"].as_str().unwrap()),
        "delegate = helper".to_owned(),
    ]);
    let narrow = mint(&narrowed).await;
    let work = |amount: u64| json!({ "id": "1", "amount": amount });
    system.becomes(first, &narrow, work(5), "allowed").await;
    assert_eq!(
        system.call(first, &narrow, work(11), None).await,
        "argument_not_in_intent"
    );
    assert_eq!(system.call(first, &whole, work(11), None).await, "allowed");
    let danger = json!({ "tool": "worker/danger", "arguments": work(1) });
    let request = system
        .http
        .post(format!("{first}/v1/tool-call"))
        .bearer_auth(&narrow)
        .json(&danger);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(
        reason(&answer),
        "tool_not_in_intent",
        "its own intent has it, the outer one has not"
    );
    // Two of three are used, and both intents count.
    assert_eq!(system.call(first, &narrow, work(5), None).await, "allowed");
    assert_eq!(
        system.call(first, &narrow, work(5), None).await,
        "intent_calls_exhausted"
    );
    assert_eq!(
        system.call(first, &whole, work(5), None).await,
        "intent_calls_exhausted"
    );
    // Back out it does not go.
    narrowed.push(format!("intent = {}", outer["id"].as_str().unwrap()));
    let back = mint(&narrowed).await;
    assert_eq!(
        system.call(second, &back, work(5), None).await,
        "intent_wrong_context"
    );
    system.stop().await;
}

/// The payload of a JWS.
fn signed(message: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(message).ok()?;
    let payload = URL_SAFE_NO_PAD.decode(text.split('.').nth(1)?).ok()?;
    String::from_utf8(payload).ok()
}

/// Somebody with NATS' password reads no value there, approves nothing, and gets nothing through.
#[tokio::test(flavor = "multi_thread")]
async fn nats_is_not_trusted() {
    let system = System::start(json!({})).await;
    let first = &system.urls[0];
    let (user, password) = system.cluster.nats.user_and_password();
    let options = async_nats::ConnectOptions::with_user_and_password(user, password);
    let address = format!("127.0.0.1:{}", system.cluster.nats.port());
    let rogue = options.connect(address).await.unwrap();
    let mut questions = rogue.subscribe("approvals.>").await.unwrap();
    let mut answers = rogue.subscribe("_INBOX.>").await.unwrap();
    rogue.flush().await.unwrap();
    let token = system.token(json!({}), &[]).await;
    let arguments = json!({ "id": VALUE, "amount": 700 });
    let id = system.escalate(first, &token, arguments.clone()).await;
    let question = questions.next().await.unwrap();
    // Other signed documents pass here as well.
    let answer = loop {
        let heard = answers.next().await.unwrap();
        if signed(&heard.payload).is_some_and(|payload| payload.contains("\"outcome\"")) {
            break heard;
        }
    };
    for message in [&question, &answer] {
        let payload = signed(&message.payload).unwrap();
        assert!(
            payload.contains("sha256:") && !payload.contains(VALUE),
            "{payload}"
        );
    }

    // An edge's question, altered, or asked in the name of somebody else, gets no answer.
    let mut altered = question.payload.to_vec();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    let subject = question.subject.to_string();
    let elsewhere = subject.replace("acme", "other");
    let using = subject.replace(".request", ".use");
    for (subject, payload) in [
        (&subject, altered),
        (&elsewhere, question.payload.to_vec()),
        (&using, question.payload.to_vec()),
        (&using, b"{}".to_vec()),
    ] {
        let asked = rogue.request(subject.clone(), payload.into());
        let answered = tokio::time::timeout(Duration::from_millis(500), asked).await;
        assert!(answered.is_err(), "{subject}");
    }

    // Who answers instead of control, with a grant of its own or with what control said before, is not believed.
    let forger = tokio::spawn(async move {
        let grant = r#"{"outcome":"granted"}"#.as_bytes().to_vec();
        let mut lies = [grant, answer.payload.to_vec()].into_iter().cycle();
        while let Some(question) = questions.next().await {
            if let (Some(reply), Some(lie)) = (question.reply, lies.next()) {
                rogue.publish(reply, lie.into()).await.unwrap();
                rogue.flush().await.unwrap();
            }
        }
    });
    for _ in 0..10 {
        let told = system
            .call(first, &token, arguments.clone(), Some(&id))
            .await;
        assert!(
            matches!(told.as_str(), "approval_unavailable" | "approval_pending"),
            "{told}"
        );
    }
    assert_eq!(system.executed(700), 0);
    forger.abort();
    system.stop().await;
}

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

/// One JSON-RPC request in either family of revisions; the answer and its session, if it has one.
async fn rpc(
    system: &System,
    token: &str,
    headers: &[(&str, &str)],
    body: Value,
) -> (Value, Option<String>) {
    let request = system.http.post(format!("{}/v1/mcp", system.urls[0]));
    let mut request = request
        .bearer_auth(token)
        .header("accept", "application/json, text/event-stream");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.json(&body).send().await.unwrap();
    let session = response.headers().get("mcp-session-id");
    let session = session.map(|id| id.to_str().unwrap().to_owned());
    (response.json().await.unwrap_or_default(), session)
}

#[tokio::test(flavor = "multi_thread")]
async fn both_families_of_mcp_take_an_approval() {
    let system = System::start(json!({ "denials": "error" })).await;
    let token = system.token(json!({}), &[]).await;
    let initialize = json!({
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": { "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } },
    });
    let (_, session) = rpc(&system, &token, &[], initialize).await;
    let session = session.unwrap();
    let old = [
        ("mcp-session-id", session.as_str()),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    let new = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "worker__work"),
    ];
    for (headers, code, amount) in [(&old[..], -32019, 801), (&new[..], -31019, 802)] {
        let call = |approval: Option<&Value>| {
            let mut meta = json!({});
            if code == -31019 {
                meta["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
                meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
            }
            if let Some(approval) = approval {
                meta["dev.proctor/approval"] = approval.clone();
            }
            json!({
                "jsonrpc": "2.0", "id": amount, "method": "tools/call",
                "params": { "name": "worker__work", "arguments": { "id": "1", "amount": amount }, "_meta": meta },
            })
        };
        let (waits, _) = rpc(&system, &token, headers, call(None)).await;
        assert_eq!(waits["error"]["code"], code, "{waits}");
        let id = &waits["error"]["data"]["approval_id"];
        system
            .decide(&system.approver, id.as_str().unwrap(), "approve")
            .await
            .unwrap();
        let (done, _) = rpc(&system, &token, headers, call(Some(id))).await;
        assert!(done["result"].is_object(), "{done}");
        let (used, _) = rpc(&system, &token, headers, call(Some(id))).await;
        assert_eq!(used["error"]["data"]["reason"], "approval_used", "{used}");
        assert_eq!(system.executed(amount), 1);
    }
    system.stop().await;
}

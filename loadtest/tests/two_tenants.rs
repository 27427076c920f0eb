//! Two tenants at one edge: what one does to itself is not felt by the other, and what one was given is nothing to it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use proctor_loadtest::cluster::{Cluster, Options};
use proctor_loadtest::load::{AGENT, allow_all_of, in_secs, register};
use proctor_loadtest::upstream::Upstream;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long news may take to the edge.
const NEWS: Duration = Duration::from_secs(60);
/// How long a call may take beside a hostile tenant, on a machine that is busy.
const ANSWER: Duration = Duration::from_secs(5);

struct System {
    cluster: Cluster,
    upstream: Upstream,
    caller: Caller,
    acme: String,
    zoo: String,
}

#[derive(Clone)]
struct Caller {
    http: reqwest::Client,
    url: String,
}

impl Caller {
    async fn send(&self, token: &str, arguments: Value, approval: Option<&str>) -> Value {
        let mut body = json!({ "tool": "worker/work", "arguments": arguments });
        if let Some(approval) = approval {
            body["_meta"] = json!({ "dev.proctor/approval": approval });
        }
        let request = self.http.post(&self.url).timeout(ANSWER);
        let answer = request.bearer_auth(token).json(&body).send().await;
        answer.unwrap().json().await.unwrap()
    }

    /// The reason, or `allowed`.
    async fn call(&self, token: &str, id: &str) -> String {
        reason(
            &self
                .send(token, json!({ "id": id, "amount": 1 }), None)
                .await,
        )
    }
}

fn reason(answer: &Value) -> String {
    match answer["error"]["data"]["reason"].as_str() {
        Some(reason) => reason.to_owned(),
        None if answer["result"].is_object() => "allowed".to_owned(),
        None => panic!("{answer}"),
    }
}

/// An intent that asks a person for amounts over 100, and a token for it.
async fn token(cluster: &Cluster, tenant: &str) -> String {
    let make = async |what: &str, body: Value| {
        let path = format!("/v1/tenants/{tenant}/{what}");
        let made = cluster.api(Method::POST, &path, Some(body)).await;
        made.unwrap()
    };
    let intent = make(
        "intents",
        json!({
            "agent": AGENT, "goal": "Do the work", "expires_in_s": 600,
            "actions": [{
                "tool": "worker/work", "args": { "properties": { "amount": { "maximum": 100 } } }, "on_violation": "escalate",
            }],
        }),
    )
    .await;
    let caveats = [
        format!("time < {}", in_secs(600).unwrap()),
        "tool in worker/*".to_owned(),
        format!("intent = {}", intent["id"].as_str().unwrap()),
    ];
    let minted = make("tokens", json!({ "agent": AGENT, "caveats": caveats })).await;
    minted["token"].as_str().unwrap().to_owned()
}

impl System {
    async fn start() -> Self {
        let cluster = Cluster::start(Options::default()).await.unwrap();
        let upstream = Upstream::start(Duration::ZERO).await.unwrap();
        let put = async |path: &str, body: Value| {
            let done = cluster.api(Method::PUT, path, Some(body)).await;
            done.unwrap();
        };
        let zoo = json!({ "tenant": "zoo" });
        let made = cluster.api(Method::POST, "/v1/tenants", Some(zoo)).await;
        made.unwrap();
        let both = json!({ "tenants": ["acme", "zoo"] });
        put(&format!("/v1/edges/{}", cluster.edge_id()), both).await;
        for tenant in ["acme", "zoo"] {
            put(&format!("/v1/tenants/{tenant}/agents/{AGENT}"), json!({})).await;
            allow_all_of(&cluster, tenant).await.unwrap();
        }
        register(&cluster, &upstream).await.unwrap();
        let server = cluster.acme(Method::GET, "tool-servers/worker", None).await;
        put("/v1/tenants/zoo/tool-servers/worker", server.unwrap()).await;
        let (acme, zoo) = (token(&cluster, "acme").await, token(&cluster, "zoo").await);
        for token in [&acme, &zoo] {
            let question = json!({ "id": "first", "amount": 1 });
            cluster
                .wait_allowed(token, AGENT, "worker/work", question)
                .await
                .unwrap();
        }
        let caller = Caller {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            url: format!("{}/v1/tool-call", cluster.edge_url),
        };
        Self {
            cluster,
            upstream,
            caller,
            acme,
            zoo,
        }
    }

    /// Calls that were done with this id.
    fn executed(&self, id: &str) -> usize {
        let all = self.upstream.journal.all();
        all.iter().filter(|call| call.arguments["id"] == id).count()
    }
}

/// A policy of acme that never ends, by all that can be known of it when it is uploaded.
async fn activate_a_loop(cluster: &Cluster) {
    let source = "package proctor.policy\n\ndecision := {\"effect\": \"allow\", \"reasons\": []} if {\n  \
                  count([1 | some a in data.settings.many; some b in data.settings.many; some c in input.args; a != b]) > 0\n}\n";
    let many: Vec<u32> = (0..2_000).collect();
    let policy =
        json!({ "modules": [{ "name": "p.rego", "source": source }], "data": { "many": many } });
    let made = cluster.acme(Method::PUT, "policies/loop", Some(policy));
    let version = made.await.unwrap()["version"].clone();
    let path = format!("policies/loop/versions/{version}/activate");
    let mode = json!({ "mode": "enforce" });
    cluster.acme(Method::POST, &path, Some(mode)).await.unwrap();
}

/// D21.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_loops_refuses_its_own_tenants_calls_and_keeps_no_other_waiting() {
    let system = System::start().await;
    activate_a_loop(&system.cluster).await;
    let started = Instant::now();
    loop {
        let reason = system.caller.call(&system.acme, "acme").await;
        if reason == "policy_timeout" {
            break;
        }
        assert_eq!(reason, "allowed", "before the policy is known here");
        assert!(started.elapsed() < NEWS, "it is not known at the edge");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let executed = system.executed("acme");
    let stop = Arc::new(AtomicBool::new(false));
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let hostile: Vec<_> = (0..8)
        .map(|_| {
            let (caller, token) = (system.caller.clone(), system.acme.clone());
            let (stop, told) = (Arc::clone(&stop), Arc::clone(&told));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let reason = caller.call(&token, "acme").await;
                    told.lock().unwrap().push(reason);
                }
            })
        })
        .collect();
    for _ in 0..100 {
        assert_eq!(system.caller.call(&system.zoo, "zoo").await, "allowed");
    }
    stop.store(true, Ordering::Relaxed);
    for client in hostile {
        client.await.unwrap();
    }
    let told = told.lock().unwrap().clone();
    assert!(!told.is_empty());
    let others: Vec<&String> = told
        .iter()
        .filter(|told| *told != "policy_timeout")
        .collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(system.executed("acme"), executed, "nothing more was done");
    assert_eq!(system.executed("zoo"), 100);
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_of_one_tenant_is_unknown_to_another() {
    let system = System::start().await;
    let arguments = json!({ "id": "big", "amount": 500 });
    let asked = system
        .caller
        .send(&system.acme, arguments.clone(), None)
        .await;
    assert_eq!(reason(&asked), "approval_required", "{asked}");
    let id = asked["error"]["data"]["approval_id"].as_str().unwrap();
    let approver = system.cluster.key("approver").await.unwrap();
    let path = format!("/v1/tenants/acme/approvals/{id}/approve");
    let comment = json!({ "comment": "looked at it" });
    let approved = system
        .cluster
        .api_as(&approver, Method::POST, &path, Some(comment));
    assert_eq!(approved.await.unwrap()["state"], "approved");
    let foreign = system
        .caller
        .send(&system.zoo, arguments.clone(), Some(id))
        .await;
    assert_eq!(reason(&foreign), "approval_unknown", "{foreign}");
    assert_eq!(system.executed("big"), 0);
    // It is not used up by that either.
    let own = system.caller.send(&system.acme, arguments, Some(id)).await;
    assert_eq!(reason(&own), "allowed", "{own}");
    assert_eq!(system.executed("big"), 1);
    system.cluster.stop().await;
}

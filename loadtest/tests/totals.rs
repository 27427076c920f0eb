//! A total of an intent, spent at two edges at once: together they pass what it says and not a unit more.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use proctor_loadtest::fleet::Fleet;
use proctor_loadtest::load::{AGENT, in_secs, prepare};
use proctor_loadtest::upstream::Upstream;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const TOTAL: u64 = 1_000;
const MILLIONTHS: u64 = 1_000_000;
/// What an edge holds and does not use comes back in some seconds.
const WAIT: Duration = Duration::from_secs(60);
/// The first that fits is spent: all are multiples of the last.
const AMOUNTS: [u64; 3] = [170, 60, 10];

/// A token for an intent that lets the amounts come to [`TOTAL`], and beyond that is `deny` or `escalate`.
async fn token(fleet: &Fleet, beyond: &str) -> String {
    let action =
        json!({ "tool": "worker/work", "totals": { "/amount": TOTAL }, "on_violation": beyond });
    let intent = json!({
        "agent": AGENT, "goal": "Do the work", "expires_in_s": 3600, "actions": [action],
    });
    let intent = fleet.cluster.acme(Method::POST, "intents", Some(intent));
    let intent = intent.await.unwrap();
    let caveats = [
        format!("time < {}", in_secs(3600).unwrap()),
        "tool in worker/work".to_owned(),
        format!("intent = {}", intent["id"].as_str().unwrap()),
    ];
    let body = json!({ "agent": AGENT, "caveats": caveats });
    let minted = fleet.cluster.acme(Method::POST, "tokens", Some(body)).await;
    minted.unwrap()["token"].as_str().unwrap().to_owned()
}

#[derive(Clone)]
struct Payer {
    http: reqwest::Client,
    url: String,
    token: String,
    next: Arc<AtomicU64>,
}

impl Payer {
    /// The reason, or `allowed`.
    async fn pay(&self, amount: u64) -> String {
        let id = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let body = json!({ "tool": "worker/work", "arguments": { "id": id, "amount": amount } });
        let request = self.http.post(format!("{}/v1/tool-call", self.url));
        let answer = request.bearer_auth(&self.token).json(&body).send().await;
        let answer: Value = answer.unwrap().json().await.unwrap();
        match answer["error"]["data"]["reason"].as_str() {
            Some(reason) => reason.to_owned(),
            None if answer["result"].is_object() => "allowed".to_owned(),
            None => panic!("{answer}"),
        }
    }

    async fn pay_until(self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            for amount in AMOUNTS {
                if self.pay(amount).await == "allowed" {
                    break;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn paid(upstream: &Upstream) -> u64 {
    let all = upstream.journal.all();
    let amount = |call: &proctor_loadtest::upstream::Executed| call.arguments["amount"].as_u64();
    all.iter().filter_map(amount).sum()
}

/// What the counter says was spent of the total.
async fn spent(fleet: &Fleet) -> Option<u64> {
    let accounts = fleet.usage("intent").await.unwrap();
    let mut amounts = accounts
        .iter()
        .filter(|account| account["meter"] == "amount");
    let account = amounts.next()?;
    assert!(
        amounts.next().is_none(),
        "one total, one account: {accounts:?}"
    );
    assert_eq!(account["limit"], TOTAL * MILLIONTHS);
    account["spent"].as_u64()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_edges_together_do_not_pass_a_total() {
    let fleet = Fleet::start(1, 2).await.unwrap();
    let upstream = Upstream::start(Duration::from_millis(1)).await.unwrap();
    prepare(&fleet.cluster, &upstream).await.unwrap();
    let token = token(&fleet, "deny").await;
    let next = Arc::new(AtomicU64::new(1));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let payers: Vec<Payer> = fleet
        .edge_urls()
        .into_iter()
        .map(|url| Payer {
            http: http.clone(),
            url,
            token: token.clone(),
            next: Arc::clone(&next),
        })
        .collect();
    assert_eq!(payers.len(), 2);
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..6)
        .map(|client| payers[client % 2].clone().pay_until(Arc::clone(&stop)))
        .map(tokio::spawn)
        .collect();
    let started = Instant::now();
    while paid(&upstream) < TOTAL && started.elapsed() < WAIT {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A while longer: were there more to be had, they would have it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(paid(&upstream), TOTAL);
    for payer in &payers {
        assert_eq!(
            payer.pay(10).await,
            "intent_total_exceeded",
            "{}",
            payer.url
        );
    }
    assert_eq!(paid(&upstream), TOTAL);
    // What the counter was told comes to the same, in millionths.
    let started = Instant::now();
    let mut last = spent(&fleet).await;
    while last != Some(TOTAL * MILLIONTHS) {
        assert!(started.elapsed() < WAIT, "{last:?} was settled");
        tokio::time::sleep(Duration::from_millis(200)).await;
        last = spent(&fleet).await;
    }
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_call_beyond_a_total_is_a_question_where_the_intent_says_so() {
    let fleet = Fleet::start(1, 2).await.unwrap();
    let upstream = Upstream::start(Duration::from_millis(1)).await.unwrap();
    prepare(&fleet.cluster, &upstream).await.unwrap();
    let payer = Payer {
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
        url: fleet.edge_urls().remove(0),
        token: token(&fleet, "escalate").await,
        next: Arc::new(AtomicU64::new(1)),
    };
    // The intent reaches the edge by itself. To ask spends nothing.
    let question = json!({ "id": "first", "amount": 1 });
    let allowed = fleet
        .cluster
        .wait_allowed(&payer.token, AGENT, "worker/work", question);
    allowed.await.unwrap();
    assert_eq!(payer.pay(TOTAL - 10).await, "allowed");
    for amount in [20, 11] {
        assert_eq!(payer.pay(amount).await, "approval_required");
    }
    assert_eq!(payer.pay(10).await, "allowed");
    assert_eq!(payer.pay(1).await, "approval_required");
    assert_eq!(paid(&upstream), TOTAL);
    fleet.stop().await;
}

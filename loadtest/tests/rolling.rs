//! The counter's nodes are restarted one after the other, as an upgrade does it, while agents work at two edges: no call
//! that has budget fails.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it saw"
)]

use proctor_loadtest::budget::authorized;
use proctor_loadtest::callers::{self, Told};
use proctor_loadtest::fleet::{Fleet, Victim};
use proctor_loadtest::load;
use proctor_loadtest::upstream::Upstream;
use reqwest::Method;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const NODES: usize = 3;
const EDGES: usize = 2;
const CLIENTS: usize = 3;
/// More than can be called: whoever is refused was refused for the restart.
const LIMIT: u64 = 1_000_000;
/// A lease lasts 30 s: within that time each edge needs a new one.
const WAIT: Duration = Duration::from_secs(60);

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < WAIT, "{what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Units that the counter has granted so far.
async fn granted(fleet: &Fleet) -> u64 {
    let started = Instant::now();
    loop {
        if let Ok(accounts) = fleet.usage("tenant").await
            && let Some(account) = accounts.first()
            && let Some(units) = account["granted_total"].as_u64()
        {
            return units;
        }
        assert!(started.elapsed() < WAIT, "nobody says what is granted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Each edge does more calls, and the counter grants more units, from now on.
async fn work_goes_on(fleet: &Fleet, told: &[Arc<Told>], what: &str) {
    let before: Vec<u64> = told.iter().map(|told| told.done()).collect();
    until(what, async || {
        let mut edges = told.iter().zip(&before);
        edges.all(|(now, before)| now.done() > before + 100)
    })
    .await;
    let first = granted(fleet).await;
    until(what, async || granted(fleet).await > first).await;
}

/// What could not be done so far, by edge.
fn failures(told: &[Arc<Told>]) -> Vec<[u64; 2]> {
    let of = |told: &Arc<Told>| [told.unavailable(), told.failed()];
    told.iter().map(of).collect()
}

/// Ends a node in good order and starts it again; done when it has all that was committed before it came back.
async fn restart(fleet: &mut Fleet, node: usize, told: &[Arc<Told>]) {
    let led = fleet.leader().await.unwrap() == node;
    let started = Instant::now();
    fleet.end(Victim::Node(node)).await.unwrap();
    work_goes_on(fleet, told, "the other two do not go on").await;
    fleet.revive(Victim::Node(node), &[]).await.unwrap();
    let fleet = &*fleet;
    let mut committed = 0;
    for any in 0..NODES {
        committed = committed.max(fleet.applied(any).await.unwrap());
    }
    // The next one only then: two of three must never lag.
    until("the node does not catch up", async || {
        let applied = fleet.applied(node).await;
        applied.is_ok_and(|applied| applied >= committed)
    })
    .await;
    println!(
        "node {} restarted (led: {led}) in {:?}",
        node + 1,
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_the_counter_fails_no_call() {
    let mut fleet = Fleet::start(NODES, EDGES).await.unwrap();
    let upstream = Upstream::start(Duration::from_millis(1)).await.unwrap();
    let rule = json!({ "scope": "tenant", "meter": "calls", "window": "lifetime", "limit": LIMIT });
    let limits = json!({ "rules": [rule] });
    let put = fleet
        .cluster
        .acme(Method::PUT, "budgets/limits", Some(limits));
    put.await.unwrap();
    // After the limit: an edge that knows the tools knows it.
    let token = load::prepare(&fleet.cluster, &upstream).await.unwrap();
    let stop = CancellationToken::new();
    let told: Vec<Arc<Told>> = (0..EDGES).map(|_| Arc::default()).collect();
    let mut clients = Vec::new();
    for (url, told) in fleet.edge_urls().iter().zip(&told) {
        clients.extend(callers::start(CLIENTS, url, &token, told, &stop).unwrap());
    }
    work_goes_on(&fleet, &told, "not all edges serve").await;
    // The second edge may have been asked before it had heard of the tools.
    let before = failures(&told);

    for node in 0..NODES {
        restart(&mut fleet, node, &told).await;
        work_goes_on(&fleet, &told, "they do not go on together").await;
    }
    stop.cancel();
    for client in clients {
        client.await.unwrap();
    }
    let last: Vec<String> = told.iter().map(|told| told.last_failure()).collect();
    assert_eq!(failures(&told), before, "{last:?}");

    // Each call was charged once: the books say what the chain says, on all nodes.
    until("the books are not settled", async || {
        let accounts = fleet.usage("tenant").await.unwrap();
        let chain = authorized(&fleet).await.unwrap();
        accounts[0]["leased"] == 0 && accounts[0]["spent"] == chain
    })
    .await;
    fleet.agree().await.unwrap();
    fleet.stop().await;
}

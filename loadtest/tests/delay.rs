//! Drill D8, the part with delays: the counter is far away from the edges. Who holds leases does not notice.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it saw"
)]

use proctor_loadtest::budget::authorized;
use proctor_loadtest::callers::{self, Told};
use proctor_loadtest::cluster::Options;
use proctor_loadtest::delay::Delay;
use proctor_loadtest::fleet::Fleet;
use proctor_loadtest::load;
use proctor_loadtest::upstream::Upstream;
use reqwest::Method;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const LIMIT: u64 = 1_000_000;
const WAIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_that_is_far_away_refuses_nobody_who_has_budget() {
    let delay = Delay::default();
    let fleet = Fleet::start_with(3, 2, Options::default(), Some(&delay));
    let fleet = fleet.await.unwrap();
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
    let urls = fleet.edge_urls();
    let told: Vec<Arc<Told>> = urls.iter().map(|_| Arc::default()).collect();
    let mut clients = Vec::new();
    for (url, told) in urls.iter().zip(&told) {
        clients.extend(callers::start(3, url, &token, told, &stop).unwrap());
    }
    for ms in [0, 50, 200, 500] {
        delay.set(ms);
        let before: Vec<u64> = told.iter().map(|told| told.done()).collect();
        let started = Instant::now();
        let went_on = || {
            let mut pairs = told.iter().zip(&before);
            pairs.all(|(now, then)| now.done() > then + 500)
        };
        while !went_on() {
            assert!(started.elapsed() < WAIT, "not all edges go on at {ms} ms");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let refused: Vec<u64> = told.iter().map(|told| told.unavailable()).collect();
        println!(
            "{ms} ms each way: 500 calls on each edge in {:?}, refused {refused:?}",
            started.elapsed()
        );
        assert!(refused.iter().all(|refused| *refused == 0), "{refused:?}");
    }
    stop.cancel();
    for client in clients {
        client.await.unwrap();
    }
    // What nobody uses any more goes back, and the books and the chain say the same.
    let started = Instant::now();
    loop {
        // While the counter elects, it does not say.
        let account = fleet.usage("tenant").await.unwrap_or_default();
        let account = account.first().cloned().unwrap_or_default();
        let (spent, leased) = (&account["spent"], &account["leased"]);
        let chain = authorized(&fleet).await.unwrap();
        if *leased == 0 && *spent == chain {
            break;
        }
        assert!(
            started.elapsed() < WAIT,
            "{spent} spent, {leased} leased, {chain} in the chain"
        );
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    fleet.agree().await.unwrap();
    fleet.stop().await;
}

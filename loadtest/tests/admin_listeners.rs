//! The admin listeners of control and the ledger, as who runs them asks: whether they are ready, and what they count.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use nix::sys::signal::Signal;
use proctor_loadtest::cluster::{Cluster, Options};
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_secs(90);

struct Asked {
    http: reqwest::Client,
    control: String,
    ledger: String,
}

impl Asked {
    fn new(cluster: &Cluster) -> Self {
        Self {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            control: cluster.control_admin_url.clone(),
            ledger: cluster.ledger_admin_url.clone(),
        }
    }

    async fn get(&self, url: &str, path: &str) -> (u16, String) {
        let answer = self.http.get(format!("{url}{path}")).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.text().await.unwrap())
    }

    /// Waits until both are ready, or not for this reason.
    async fn both_become(&self, status: u16, said: &str) {
        for url in [&self.control, &self.ledger] {
            let started = Instant::now();
            loop {
                let answer = self.get(url, "/readyz").await;
                if (answer.0, answer.1.as_str()) == (status, said) {
                    break;
                }
                assert!(started.elapsed() < WAIT, "{url}: {answer:?}, not {said:?}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn control_and_the_ledger_are_ready_while_their_servers_answer() {
    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    let asked = Asked::new(&cluster);
    asked.both_become(200, "ready\n").await;

    cluster.postgres.kill9_all().await;
    asked.both_become(503, "not ready: postgres\n").await;
    for url in [&asked.control, &asked.ledger] {
        let alive = asked.get(url, "/healthz").await;
        assert_eq!(alive, (200, "ok\n".to_owned()), "{url}");
    }
    cluster.postgres.restart().await.unwrap();
    asked.both_become(200, "ready\n").await;

    cluster.nats.kill9().await;
    asked.both_become(503, "not ready: nats\n").await;
    cluster.nats.restart().await.unwrap();
    asked.both_become(200, "ready\n").await;

    // What one counts is not what the other counts.
    let started = Instant::now();
    loop {
        let (status, text) = asked.get(&asked.ledger, "/metrics").await;
        assert_eq!(status, 200);
        if text.contains("\nproctor_ledger_entries_total ") {
            break;
        }
        assert!(started.elapsed() < WAIT, "{text}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (status, text) = asked.get(&asked.control, "/metrics").await;
    assert!(status == 200 && !text.contains("proctor_ledger_"), "{text}");

    // A listener ends with its role.
    cluster.ledger.end(Signal::SIGTERM).await.unwrap();
    let gone = asked.http.get(format!("{}/healthz", asked.ledger));
    assert!(gone.send().await.is_err());
    cluster.stop().await;
}

//! Nodes are stopped, and go on.

use crate::load::Load;
use crate::process::{addresses, leader, three};
use crate::support::*;
use nix::sys::signal::Signal;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// D9: a leader that sleeps and wakes grants nothing on its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_asleep_grants_nothing_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = three(dir.path()).await;
    let operator = Client::operator(&addresses(&nodes), now());
    let limit = 600;
    operator
        .set_limits(1, vec![rule(tenant_account(), limit)])
        .await
        .unwrap();
    let load = Load::new();
    let edges = load.start(&addresses(&nodes), 4, 6, Duration::from_millis(50));
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if let Some(asleep) = leader(&nodes).await {
            nodes[asleep].signal(Signal::SIGSTOP);
            tokio::time::sleep(Duration::from_secs(4)).await;
            nodes[asleep].signal(Signal::SIGCONT);
        }
    }
    for edge in edges {
        edge.await.unwrap();
    }
    assert_eq!(load.spent.load(Ordering::Relaxed), limit);
    load.check(&nodes, limit).await;
}

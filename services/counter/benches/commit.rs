//! Committed commands per second of three nodes on this machine, next to what its disk can sync.
//!
//! `cargo bench -p proctor-counter --bench commit`

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench fails by panicking and says what it measured"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use proctor_counter::{Bootstrap, CounterConfig, start};
use proctor_runtime::{Clock, shutdown};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::*;

const NODE: &str = "PROCTOR_BENCH_COUNTER_NODE";
const EDGES: u8 = 4;
const IN_FLIGHT: usize = 32;
const TURN: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() {
    if let Ok(spec) = std::env::var(NODE) {
        return node(&spec).await;
    }
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let configs: Vec<_> = (1..=3).map(|node| config(node, dir.path())).collect();
    let _nodes: Vec<_> = configs.iter().map(spawn).collect();
    join(&configs).await;
    let addresses: Vec<_> = configs.iter().map(|config| config.listen).collect();
    let operator = Client::operator(&addresses, now());
    operator
        .set_limits(1, vec![rule(tenant_account(), 1 << 50)])
        .await
        .unwrap();
    println!("fsync of 4 kB before: {:.0}/s", syncs(dir.path()));
    let mut took = load(&addresses).await;
    println!("fsync of 4 kB after: {:.0}/s", syncs(dir.path()));
    took.sort();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!(
        "{:.0} commands/s committed on 3 nodes ({EDGES} edges, {IN_FLIGHT} in flight each); p50 {:?}, p99 {:?}, p99.9 {:?}",
        took.len() as f64 / TURN.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(0.999)
    );
    agree(&configs).await;
}

/// A node; it ends with the bench, however that ends.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lease and settle, each a command, through all nodes.
async fn load(addresses: &[SocketAddr]) -> Vec<Duration> {
    let mut tasks = Vec::new();
    for number in 1..=EDGES {
        // Each edge has a node of its own, as behind a balancer.
        let mut order = addresses.to_vec();
        order.rotate_left(usize::from(number) % addresses.len());
        let edge = Arc::new(Client::edge(&order, number, now()).await);
        for _ in 0..IN_FLIGHT {
            let edge = Arc::clone(&edge);
            tasks.push(tokio::spawn(async move {
                let (begin, mut took) = (Instant::now(), Vec::new());
                while begin.elapsed() < TURN {
                    let asked = Instant::now();
                    let granted = edge
                        .lease(vec![want(tenant_account(), 100, 1)])
                        .await
                        .unwrap();
                    took.push(asked.elapsed());
                    let asked = Instant::now();
                    let spend = proctor_proto::v1::Spend {
                        spent: 100,
                        returned: 0,
                        overrun: 0,
                    };
                    edge.settle(granted.lease, vec![spend]).await;
                    took.push(asked.elapsed());
                }
                took
            }));
        }
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all
}

fn syncs(dir: &Path) -> f64 {
    let mut file = std::fs::File::create(dir.join("sync")).unwrap();
    let (begin, mut count) = (Instant::now(), 0.0);
    while begin.elapsed() < Duration::from_secs(2) {
        file.write_all(&[7; 4_096]).unwrap();
        file.sync_data().unwrap();
        count += 1.0;
    }
    count / begin.elapsed().as_secs_f64()
}

fn spawn(config: &CounterConfig) -> Node {
    let spec = format!(
        "{} {} {} {}",
        config.node,
        config.listen,
        config.node_listen,
        config.data_dir.display()
    );
    let mut command = Command::new(std::env::current_exe().unwrap());
    let child = command.env(NODE, spec).stdin(Stdio::null()).spawn();
    Node(child.unwrap())
}

async fn node(spec: &str) {
    let parts: Vec<&str> = spec.splitn(4, ' ').collect();
    let config = CounterConfig {
        node: parts[0].parse().unwrap(),
        listen: parts[1].parse().unwrap(),
        tls: None,
        node_listen: parts[2].parse().unwrap(),
        node_tls: None,
        node_address: None,
        data_dir: parts[3].into(),
        platform_keys: vec![platform().public_key()],
        snapshot_entries: proctor_counter::limits::SNAPSHOT_ENTRIES,
        bootstrap: if parts[0] == "1" {
            Bootstrap::Alone
        } else {
            Bootstrap::Wait
        },
    };
    let handle = start(config, Clock::system(), shutdown::on_signals().unwrap())
        .await
        .unwrap();
    handle.stopped().await.unwrap();
}

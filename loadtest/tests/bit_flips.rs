//! Bits that flip on the disks of NATS and Postgres (drill D12; the edge's are in `drills`, the counter's beside its log):
//! what they hit is found, never served, and what can be had again is.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

use proctor_loadtest::cluster::{Cluster, Options};
use proctor_loadtest::load::{Load, mix, prepare};
use proctor_loadtest::oracle;
use proctor_loadtest::upstream::Upstream;
use reqwest::Method;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const HEAL: Duration = Duration::from_secs(120);
const SEED: u64 = 12;

/// All files below a directory, in order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let (mut found, mut pending) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => pending.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    found
}

fn flip(bytes: &mut [u8], number: u64) {
    let at = usize::try_from(mix(SEED, number)).unwrap() % bytes.len();
    bytes[at] ^= 1 << (mix(SEED, number + 1) % 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_flips_in_the_store_of_nats_is_sent_again() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let upstream = Upstream::start(Duration::from_millis(2)).await.unwrap();
    let token = prepare(&cluster, &upstream).await.unwrap();
    let load = Load::start(&cluster.edge_url, &token, 4, SEED).unwrap();
    for round in 0..3 {
        load.wait_done(100, HEAL).await.unwrap();
        cluster.nats.kill9().await;
        let blocks = files(cluster.dir.path());
        let audit = |path: &&PathBuf| {
            let name = path.to_string_lossy();
            name.contains("/streams/AUDIT/msgs/") && name.ends_with(".blk")
        };
        let blocks: Vec<&PathBuf> = blocks.iter().filter(audit).collect();
        assert!(!blocks.is_empty(), "NATS keeps blocks of the audit stream");
        for (number, path) in (0_u64..).zip(blocks) {
            let mut bytes = std::fs::read(path).unwrap();
            if !bytes.is_empty() {
                flip(&mut bytes, 1_000 * round + 2 * number);
                std::fs::write(path, bytes).unwrap();
            }
        }
        cluster.nats.restart().await.unwrap();
    }
    load.wait_done(100, HEAL).await.unwrap();
    let calls = load.end().await;
    oracle::settled(&cluster, HEAL).await.unwrap();
    let executed = upstream.journal.all();
    oracle::check(&cluster, &calls, &executed).await.unwrap();
    cluster.stop().await;
}

/// Verifies the chain: sound, or not (in words).
async fn verified(cluster: &Cluster) -> Result<(), String> {
    let report: Value = cluster
        .acme(Method::GET, "audit/verify", None)
        .await
        .map_err(|error| error.to_string())?;
    match report["findings"].as_array().is_some_and(Vec::is_empty) {
        true => Ok(()),
        false => Err(report["findings"].to_string()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_flips_in_an_entry_in_postgres_is_found() {
    let options = Options {
        durable: true,
        ..Options::default()
    };
    let cluster = Cluster::start(options).await.unwrap();
    let upstream = Upstream::start(Duration::from_millis(2)).await.unwrap();
    let token = prepare(&cluster, &upstream).await.unwrap();
    let load = Load::start(&cluster.edge_url, &token, 4, SEED).unwrap();
    load.wait_done(200, HEAL).await.unwrap();
    load.end().await;
    oracle::settled(&cluster, HEAL).await.unwrap();

    // The page of an entry that was executed: its trace id stands in its body.
    let entry = "select convert_from(body, 'UTF8') from ledger.entries
        where tenant = 'acme' and kind = 'authorized' order by seq limit 1";
    let body = cluster.psql(entry).await.unwrap();
    let body: Value = serde_json::from_str(body.trim()).unwrap();
    let needle = body["trace_id"].as_str().unwrap().as_bytes().to_vec();
    cluster.psql("checkpoint").await.unwrap();
    cluster.postgres.stop().await;
    let has = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap_or_default();
        let at = bytes.windows(needle.len()).position(|part| part == needle);
        at.map(|at| (path.clone(), at))
    };
    let base = |path: &PathBuf| path.to_string_lossy().contains("/base/");
    let all = files(cluster.dir.path());
    let pages: Vec<(PathBuf, usize)> = all
        .iter()
        .filter(|path| base(path))
        .filter_map(has)
        .collect();
    assert!(!pages.is_empty(), "the entry is on disk");
    let turn = || {
        for (path, at) in &pages {
            let mut bytes = std::fs::read(path).unwrap();
            bytes[*at] ^= 1;
            std::fs::write(path, bytes).unwrap();
        }
    };
    turn();
    cluster.postgres.restart().await.unwrap();
    // It may take connections a moment before the ledger has one.
    let started = Instant::now();
    let wrong = loop {
        match verified(&cluster).await {
            Ok(()) => panic!("the chain is not sound"),
            Err(wrong) if wrong.contains("hash") || started.elapsed() > Duration::from_secs(10) => {
                break wrong;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    println!("found: {wrong}");
    // Back as it was, all is sound: nothing was written on top of it.
    cluster.postgres.stop().await;
    turn();
    cluster.postgres.restart().await.unwrap();
    let started = Instant::now();
    while let Err(wrong) = verified(&cluster).await {
        assert!(started.elapsed() < HEAL, "{wrong}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    cluster.stop().await;
}

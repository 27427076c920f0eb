//! The faults. Each drill runs load, breaks something at instants that the seed chooses, heals, and asks the oracle.

use crate::cluster::{Cluster, Options};
use crate::load::{Load, Told, mix, prepare};
use crate::oracle;
use crate::upstream::Upstream;
use anyhow::{Context, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::Signal;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Clients at once.
const CLIENTS: usize = 8;
/// How long the system may take to serve again after a fault.
const HEAL: Duration = Duration::from_secs(30);
/// How long the chain may take to have everything.
const SETTLE: Duration = Duration::from_secs(40);

/// What is to break.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Drill {
    /// Kill the edge in the middle of requests, and start it again.
    D1,
    /// Kill the ledger, and start it again.
    D2,
    /// Kill NATS; then wipe its store.
    D3,
    /// Kill Postgres, and let it recover.
    D4,
    /// Fill the edge's disk.
    D10,
}

/// What a drill came to.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Calls made.
    pub calls: usize,
    /// Calls that were done.
    pub done: usize,
    /// Calls whose client heard nothing.
    pub unanswered: usize,
}

/// Runs a drill.
///
/// # Errors
/// If anything does not hold that should.
pub async fn run(drill: Drill, seed: u64) -> anyhow::Result<Report> {
    let disk = if drill == Drill::D10 {
        Some(SmallDisk::new()?)
    } else {
        None
    };
    let options = Options {
        edge_dir: disk.as_ref().map(|disk| disk.path().join("edge")),
        ..Options::default()
    };
    let mut cluster = Cluster::start(options).await?;
    let upstream = Upstream::start(Duration::from_millis(2)).await?;
    let token = prepare(&cluster, &upstream).await?;
    let load = Load::start(&cluster.edge_url, &token, CLIENTS, seed)?;
    load.wait_done(50, HEAL).await?;
    let broken = strike(drill, seed, &mut cluster, &load).await;
    // What healed serves again.
    let healed = match &broken {
        Ok(()) => load
            .wait_done(50, HEAL)
            .await
            .context("it does not serve again"),
        Err(_) => Ok(()),
    };
    let calls = load.end().await;
    broken?;
    healed?;
    if drill == Drill::D3 {
        news(&cluster)
            .await
            .context("control's news do not come through again")?;
    }
    oracle::settled(&cluster, SETTLE).await?;
    oracle::check(&cluster, &calls, &upstream.journal.all()).await?;
    if drill == Drill::D10 {
        let full = |told: &Told| matches!(told, Told::Refused { reason, .. } if reason == "audit_unavailable");
        ensure!(
            calls.iter().any(|call| full(&call.told)),
            "the disk never was full"
        );
    }
    let count = |pick: fn(&Told) -> bool| calls.iter().filter(|call| pick(&call.told)).count();
    let report = Report {
        calls: calls.len(),
        done: count(|told| matches!(told, Told::Done { .. })),
        unanswered: count(|told| matches!(told, Told::Nothing)),
    };
    cluster.stop().await;
    Ok(report)
}

/// A new intent reaches the edge: control has found the new stream, and so has the edge.
async fn news(cluster: &Cluster) -> anyhow::Result<()> {
    let token = crate::load::token(cluster, &[]).await?;
    let arguments = serde_json::json!({ "id": "news", "amount": 1 });
    cluster
        .wait_allowed(&token, crate::load::AGENT, "worker/work", arguments)
        .await
}

async fn pause(seed: u64, number: u64, most_ms: u64) {
    tokio::time::sleep(Duration::from_millis(mix(seed, number) % most_ms)).await;
}

async fn strike(drill: Drill, seed: u64, cluster: &mut Cluster, load: &Load) -> anyhow::Result<()> {
    match drill {
        Drill::D1 => {
            for round in 0..5 {
                pause(seed, round, 300).await;
                cluster.edge.end(Signal::SIGKILL).await?;
                cluster.start_edge().await?;
                load.wait_done(120, HEAL).await?;
            }
        }
        Drill::D2 => {
            for round in 0..3 {
                pause(seed, round, 300).await;
                cluster.ledger.end(Signal::SIGKILL).await?;
                // The edge goes on without a ledger.
                load.wait_done(20, HEAL).await?;
                cluster.start_ledger().await?;
            }
        }
        Drill::D3 => {
            pause(seed, 0, 300).await;
            cluster.nats.kill9().await;
            // From what it knows, the edge goes on.
            load.wait_done(20, HEAL).await?;
            cluster.nats.restart().await?;
            pause(seed, 1, 500).await;
            cluster.nats.kill9().await;
            cluster.nats.wipe_store().await?;
            load.wait_done(20, HEAL).await?;
            cluster.nats.restart().await?;
        }
        Drill::D4 => {
            for round in 0..3 {
                pause(seed, round, 300).await;
                cluster.postgres.kill9().await;
                load.wait_done(20, HEAL).await?;
                cluster.postgres.restart().await?;
            }
        }
        Drill::D10 => {
            // Without a ledger nothing is let go of, and the disk fills.
            cluster.ledger.end(Signal::SIGTERM).await?;
            let before = load.done();
            let mut last = before;
            for _ in 0..600 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let now = load.done();
                if now == last && now > before {
                    break;
                }
                last = now;
            }
            pause(seed, 0, 500).await;
            cluster.start_ledger().await?;
        }
    }
    Ok(())
}

/// A disk that is soon full: a tmpfs of its own.
struct SmallDisk {
    dir: tempfile::TempDir,
}

/// Its size.
const DISK: &str = "size=2m";

impl SmallDisk {
    fn new() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        mount(
            Some("tmpfs"),
            dir.path(),
            Some("tmpfs"),
            MsFlags::empty(),
            Some(DISK),
        )
        .context("mounting a small tmpfs (this drill has to run as root)")?;
        Ok(Self { dir })
    }

    fn path(&self) -> PathBuf {
        self.dir.path().to_owned()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let path: &Path = self.dir.path();
        // Lazily: a process that is still ending may hold it.
        let _ = umount2(path, MntFlags::MNT_DETACH);
    }
}

/// Whether this process may mount (drill D10).
#[must_use]
pub fn may_mount() -> bool {
    SmallDisk::new().is_ok()
}

//! The faults. Each drill runs load, breaks something at instants that the seed chooses, heals, and asks the oracle.

mod disks;
mod flips;
mod image;
mod ledgers;

use crate::cluster::{Cluster, Options};
use crate::load::{Call, Load, Told, mix, prepare};
use crate::oracle;
use crate::upstream::Upstream;
use anyhow::{Context, ensure};
use disks::{SmallDisk, Syncs};
pub use disks::{may_mount, may_trace};
use image::ImageDisk;
pub use image::may_loop;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::{Duration, Instant};

/// Size of an edge's disk that is soon full.
const EDGE_DISK_MB: u32 = 2;
/// Size of the disk of Postgres that something else fills.
const POSTGRES_DISK_MB: u32 = 256;
/// Clients at once.
const CLIENTS: usize = 8;
/// How long the system may take to serve again after a fault, on however busy a machine.
const HEAL: Duration = Duration::from_secs(60);
/// How long the chain may take to have everything.
const SETTLE: Duration = Duration::from_secs(40);

/// What is to break.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Drill {
    /// Kill the edge in the middle of requests, and start it again.
    D1,
    /// Two ledgers: kill them at any moment, in the middle of a seal and of an insert, one and both, and start them again.
    D2,
    /// Kill NATS; then wipe its store.
    D3,
    /// Kill Postgres with all its processes, or stop it immediately, and let it recover.
    D4,
    /// Postgres is away for a minute.
    Outage,
    /// Postgres is away for longer than the edge's spool has room.
    FullSpool,
    /// Stop the ledger, the edge and NATS, for half a minute each, and let them go on as if nothing had been.
    D9,
    /// Fill the edge's disk, and start the edge again while it is full.
    D10,
    /// Fill the disk of Postgres.
    LedgerDisk,
    /// The edge's disk fails once: an injected EIO when it syncs.
    D11,
    /// The edge's disk is slow: each sync takes longer by an injected delay.
    SlowDisk,
    /// Bits of the edge's spool flip while it is down.
    D12,
    /// Kill everything at once, and start it again.
    D27,
    /// The same on one disk, of which only what had reached it is left, as after a power cut.
    CrashImage,
}

impl Drill {
    /// Whether the servers and the ledger have no part in it.
    fn strikes_the_edge_alone(self) -> bool {
        matches!(
            self,
            Self::D1 | Self::D10 | Self::D11 | Self::SlowDisk | Self::D12
        )
    }

    /// Kinds of alarms that may be in the chain afterwards.
    fn alarms(self) -> &'static [&'static str] {
        match self {
            // A ledger that stood still for half a minute takes a hole that was about to be filled for one that stays.
            Self::D9 => &["lane_gap"],
            _ => &[],
        }
    }
}

/// What a drill came to.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// How long it took.
    pub took: Duration,
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
    let started = Instant::now();
    let disk = match drill {
        Drill::D10 => Some(SmallDisk::new(EDGE_DISK_MB)?),
        Drill::LedgerDisk => Some(SmallDisk::new(POSTGRES_DISK_MB)?),
        _ => None,
    };
    let mut image = match drill {
        Drill::CrashImage => Some(ImageDisk::new()?),
        _ => None,
    };
    let on_disk = |of: Drill, name: &str| {
        let disk = disk.as_ref().filter(|_| drill == of);
        disk.map(|disk| disk.path().join(name))
    };
    let options = Options {
        data_dir: image.as_ref().map(ImageDisk::path),
        edge_dir: on_disk(Drill::D10, "edge"),
        postgres_dir: on_disk(Drill::LedgerDisk, "postgres"),
        durable: !drill.strikes_the_edge_alone(),
        more_ledgers: usize::from(matches!(drill, Drill::D2 | Drill::D9 | Drill::D27)),
        ledger_settings: match drill {
            // Each batch is followed by a seal, to be hit in.
            Drill::D2 => "seal_events = 50\nseal_ms = 100\n".to_owned(),
            _ => String::new(),
        },
        edge_settings: match drill {
            Drill::FullSpool => format!("spool_bytes_max = {SMALL_SPOOL}\n"),
            _ => String::new(),
        },
        ..Options::default()
    };
    let mut cluster = Cluster::start(options).await?;
    let upstream = Upstream::start(Duration::from_millis(2)).await?;
    let token = prepare(&cluster, &upstream).await?;
    // Two ledgers that seal all the time keep up with few.
    let clients = match drill {
        Drill::D2 => 2,
        _ => CLIENTS,
    };
    let load = Load::start(&cluster.edge_url, &token, clients, seed)?;
    load.wait_done(50, HEAL).await?;
    let broken = match &mut image {
        Some(image) => image::strike(seed, image, &mut cluster, &load).await,
        None => strike(drill, seed, &mut cluster, &load, disk.as_ref()).await,
    };
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
    oracle::settled_but_for(&cluster, SETTLE, drill.alarms()).await?;
    oracle::check(&cluster, &calls, &upstream.journal.all()).await?;
    let full =
        |call: &Call| matches!(&call.told, Told::Refused { reason, .. } if reason == UNRECORDED);
    let refused = calls.iter().any(full);
    match drill {
        Drill::FullSpool | Drill::D10 | Drill::D11 => ensure!(refused, "the spool never failed"),
        // Slow is not broken, and the edge has room for what the ledger has none for.
        Drill::SlowDisk | Drill::LedgerDisk => {
            ensure!(!refused, "calls were refused for want of a record")
        }
        _ => {}
    }
    let count = |pick: fn(&Told) -> bool| calls.iter().filter(|call| pick(&call.told)).count();
    let (done, unanswered) = (
        count(|told| matches!(told, Told::Done { .. })),
        count(|told| matches!(told, Told::Nothing)),
    );
    cluster.stop().await;
    Ok(Report {
        took: started.elapsed(),
        calls: calls.len(),
        done,
        unanswered,
    })
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

async fn strike(
    drill: Drill,
    seed: u64,
    cluster: &mut Cluster,
    load: &Load,
    disk: Option<&SmallDisk>,
) -> anyhow::Result<()> {
    match drill {
        Drill::D1 => {
            for round in 0..5 {
                pause(seed, round, 300).await;
                cluster.edge.end(Signal::SIGKILL).await?;
                cluster.start_edge().await?;
                load.wait_done(120, HEAL).await?;
            }
        }
        Drill::D2 => ledgers::strike(seed, cluster, load).await?,
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
            for round in 0..4 {
                pause(seed, round, 300).await;
                match round % 2 {
                    0 => cluster.postgres.kill9_all().await,
                    _ => cluster.postgres.stop_immediately().await,
                }
                load.wait_done(20, HEAL).await?;
                cluster.postgres.restart().await?;
            }
        }
        Drill::Outage => {
            pause(seed, 0, 300).await;
            cluster.postgres.kill9_all().await;
            let end = tokio::time::Instant::now() + OUTAGE;
            while tokio::time::Instant::now() < end {
                // Calls go on: the spool has room for more than a minute of them.
                load.wait_done(20, HEAL).await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            cluster.postgres.restart().await?;
        }
        Drill::FullSpool => {
            pause(seed, 0, 300).await;
            cluster.postgres.kill9_all().await;
            // As long as there is room, calls go on.
            load.wait_done(50, HEAL).await?;
            all_refused(load).await?;
            cluster.postgres.restart().await?;
        }
        Drill::D9 => {
            pause(seed, 0, 300).await;
            let ledger = cluster.ledger.pid().context("the ledger runs")?;
            let stopped = stop(ledger)?;
            taken_over(cluster, load).await?;
            stopped.go_on().await?;
            pause(seed, 1, 300).await;
            let edge = cluster.edge.pid().context("the edge runs")?;
            stop(edge)?.go_on().await?;
            load.wait_done(20, HEAL).await?;
            let nats = cluster.nats.pid().context("NATS runs")?;
            let stopped = stop(Pid::from_raw(nats.try_into()?))?;
            // From what it knows, the edge goes on.
            load.wait_done(20, HEAL).await?;
            stopped.go_on().await?;
        }
        Drill::D11 => {
            pause(seed, 0, 300).await;
            let pid = cluster.edge.pid().context("the edge runs")?;
            // The first sync after some others fails; those behind it would "succeed".
            let when = 1 + mix(seed, 1) % 20;
            let syncs = Syncs::with(pid, &format!("error=EIO:when={when}"))?;
            load.wait_refused(UNRECORDED, HEAL).await?;
            syncs.let_go().await?;
        }
        Drill::LedgerDisk => {
            let disk = disk.context("the disk of Postgres")?;
            pause(seed, 0, 300).await;
            let ballast = disk.fill()?;
            nothing_committed(cluster).await?;
            load.wait_done(50, HEAL).await?;
            std::fs::remove_file(ballast)?;
            // Where it could write no log it has ended; what is left of it goes on by itself.
            let postgres = &cluster.postgres;
            if postgres.pid().is_none() || postgres.wait_ready().await.is_err() {
                postgres.restart().await?;
            }
        }
        Drill::SlowDisk => {
            pause(seed, 0, 300).await;
            let pid = cluster.edge.pid().context("the edge runs")?;
            let syncs = Syncs::with(pid, &format!("delay_enter={}", SYNC_DELAY.as_micros()))?;
            slowed(load).await?;
            // They go on, however slow each is.
            load.wait_done(100, 4 * HEAL).await?;
            syncs.let_go().await?;
        }
        Drill::D12 => {
            for round in 0..5 {
                pause(seed, round, 300).await;
                cluster.edge.end(Signal::SIGKILL).await?;
                flips::flip(seed, round, cluster).await?;
                load.wait_done(20, HEAL).await?;
            }
        }
        // It strikes by itself.
        Drill::CrashImage => {}
        Drill::D27 => {
            for round in 0..3 {
                pause(seed, round, 500).await;
                cluster.power_cut().await?;
                load.wait_done(20, HEAL).await?;
            }
        }
        Drill::D10 => {
            let disk = disk.context("the edge's disk")?;
            // Without a ledger nothing is let go of, and the disk fills.
            cluster.ledger.end(Signal::SIGTERM).await?;
            all_refused(load).await?;
            pause(seed, 0, 500).await;
            // An edge that is started there comes up: it records nothing, and so lets nothing pass.
            let ballast = disk.fill()?;
            cluster.edge.end(Signal::SIGKILL).await?;
            let before = load.refused(UNRECORDED);
            let start = cluster.start_edge().await;
            start.context("the edge does not start on a full disk")?;
            let refused = async {
                while load.refused(UNRECORDED) == before {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let refused = tokio::time::timeout(HEAL, refused).await;
            refused.context("it does not say that it can't record anything")?;
            all_refused(load).await?;
            // What it holds is sent, and room comes of that.
            cluster.start_ledger().await?;
            load.wait_done(20, HEAL).await?;
            std::fs::remove_file(ballast)?;
        }
    }
    Ok(())
}

/// Why calls are refused that can't be recorded.
const UNRECORDED: &str = "audit_unavailable";
/// Room of a spool that is soon full, in bytes: for some thousand events.
const SMALL_SPOOL: u64 = 4 * 1024 * 1024;
/// How long it may take to fill it.
const FILL: Duration = Duration::from_secs(120);
/// No call is done for so long: none is any more.
const STANDSTILL: Duration = Duration::from_secs(1);

/// Waits until calls are refused because nothing can be recorded, and none is done any more.
async fn all_refused(load: &Load) -> anyhow::Result<()> {
    let all = async {
        load.wait_refused(UNRECORDED, FILL).await?;
        loop {
            let before = (load.done(), load.count());
            tokio::time::sleep(STANDSTILL).await;
            // They are answered, and not with a result.
            if load.done() == before.0 && load.count() > before.1 {
                return anyhow::Ok(());
            }
        }
    };
    tokio::time::timeout(FILL, all)
        .await
        .context("calls go on although there is no room for their events")?
}

/// More events than ever wait when the ledger can commit.
const WAITING: u64 = 5_000;

/// Waits until it is plain that the ledger commits nothing any more.
async fn nothing_committed(cluster: &Cluster) -> anyhow::Result<()> {
    let waiting = async {
        while oracle::spooled(cluster)
            .await
            .is_none_or(|events| events < WAITING)
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(FILL, waiting)
        .await
        .context("the ledger goes on although its disk is full")
}

/// How much longer each sync of a slow disk takes.
const SYNC_DELAY: Duration = Duration::from_millis(300);

/// Waits until calls are as slow as the disk: of so many, each client makes several, one after the other.
async fn slowed(load: &Load) -> anyhow::Result<()> {
    let slow = async {
        loop {
            let before = tokio::time::Instant::now();
            load.wait_done(4 * CLIENTS, HEAL).await?;
            if before.elapsed() >= 3 * SYNC_DELAY {
                return anyhow::Ok(());
            }
        }
    };
    tokio::time::timeout(2 * HEAL, slow)
        .await
        .context("calls do not wait for the disk")?
}

/// A process that stands still.
struct Stopped {
    pid: Pid,
    since: tokio::time::Instant,
}

/// How long it does so.
const STOPPED: Duration = Duration::from_secs(30);

fn stop(pid: Pid) -> anyhow::Result<Stopped> {
    kill(pid, Signal::SIGSTOP)?;
    let since = tokio::time::Instant::now();
    Ok(Stopped { pid, since })
}

impl Stopped {
    /// When its time is over it goes on, and knows nothing of it.
    async fn go_on(&self) -> anyhow::Result<()> {
        tokio::time::sleep_until(self.since + STOPPED).await;
        Ok(kill(self.pid, Signal::SIGCONT)?)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // If the drill failed meanwhile: what stands still can't be ended in good order.
        let _ = kill(self.pid, Signal::SIGCONT);
    }
}

/// How long a drill's outage takes.
const OUTAGE: Duration = Duration::from_secs(60);
/// How long it may take until the other ledger has what the one that is gone left, on a machine that has other work too.
const TAKE_OVER: Duration = Duration::from_secs(60);

/// The other ledger takes the chain over: what the edge has to wait with gets less again.
async fn taken_over(cluster: &Cluster, load: &Load) -> anyhow::Result<()> {
    load.wait_done(20, HEAL).await?;
    let waited = async {
        // Under load it is hardly ever nothing.
        while oracle::spooled(cluster)
            .await
            .is_none_or(|events| events > 300)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TAKE_OVER, waited)
        .await
        .context("the other ledger does not take over")
}

//! D15: clients that connect and say nothing, that send their head or their body a byte at a time, that go away without a
//! word. Good clients beside them hardly notice, and the edge has no more connections than it may.

use super::{PATIENCE, System, Tail, Wire};
use crate::cluster::Options;
use crate::load::mix;
use anyhow::{Context, ensure};
use serde_json::Value;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How much.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Slow clients.
    pub connections: usize,
    /// Files that the edge may have open: half of them connections, three quarters of these of one address.
    pub files_max: Option<u64>,
    /// Calls of each good client, before and during.
    pub calls: usize,
    /// What a machine with other work may add to the good clients' p99.
    pub jitter: Duration,
}

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Good calls before.
    pub quiet: Tail,
    /// Good calls during.
    pub attacked: Tail,
    /// Connections that the edge had when the good ones were done, beyond those that it has anyway.
    pub held: usize,
}

const GOOD: usize = 4;
/// Where the slow ones come from.
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// How long a slow client waits before its next byte.
const DRIP: Duration = Duration::from_millis(500);

/// Runs it.
///
/// # Errors
/// If good clients are not served as they should be, or the edge has more connections than it may.
pub async fn run(plan: Plan, seed: u64) -> anyhow::Result<Report> {
    let system = System::start(Options {
        edge_files_max: plan.files_max,
        ..Options::default()
    })
    .await?;
    let report = attack(&system, plan, seed).await;
    let whole = system.is_whole().await;
    system.cluster.stop().await;
    whole?;
    report
}

async fn attack(system: &System, plan: Plan, seed: u64) -> anyhow::Result<Report> {
    good(system, plan.calls).await?;
    let quiet = good(system, plan.calls).await?;
    let before = open_files(system)?;
    let (stop, held) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let mut slow = JoinSet::new();
    for number in 0..plan.connections {
        let kind = Kind::of(mix(seed, u64::try_from(number)?));
        let client = crawl(
            system.edge,
            kind.text(system),
            stop.clone(),
            Arc::clone(&held),
        );
        slow.spawn(client);
    }
    arrived(plan, &held).await;
    let attacked = good(system, plan.calls).await?;
    // What the clients take for a connection may still wait to be accepted.
    let held = open_files(system)?.saturating_sub(before);
    stop.cancel();
    while slow.join_next().await.is_some() {}
    attacked.judge(quiet, plan.jitter)?;
    if let Some(files_max) = plan.files_max {
        let most = usize::try_from(files_max / 2)?.saturating_mul(3) / 4;
        let most = most.saturating_add(GOOD);
        ensure!(held <= most, "{held} connections, not {most}");
    }
    Ok(Report {
        quiet,
        attacked,
        held,
    })
}

/// Waits until the slow clients are there, or those that get in.
async fn arrived(plan: Plan, held: &AtomicUsize) {
    let (mut last, mut since) = (0, Instant::now());
    while last < plan.connections && since.elapsed() < Duration::from_secs(2) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = held.load(Ordering::SeqCst);
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    /// Says nothing.
    Silent,
    /// Sends its head slowly.
    Head,
    /// Sends its body slowly: a client with a good token.
    Body,
}

impl Kind {
    fn of(number: u64) -> Self {
        match number % 3 {
            0 => Self::Silent,
            1 => Self::Head,
            _ => Self::Body,
        }
    }

    /// What it sends at once, and what it sends byte by byte.
    fn text(self, system: &System) -> (String, String) {
        let whole = system.good("slow", "");
        let split = match self {
            Self::Silent => return (String::new(), String::new()),
            Self::Head => whole.find("\r\n").unwrap_or_default(),
            Self::Body => whole.find("\r\n\r\n").unwrap_or_default().saturating_add(4),
        };
        let (at_once, slowly) = whole.split_at(split);
        // Never to its end: a slow client is not a good one.
        let slowly = slowly.get(..slowly.len().saturating_sub(1));
        (at_once.to_owned(), slowly.unwrap_or_default().to_owned())
    }
}

/// A slow client, until it is sent away.
async fn crawl(
    edge: std::net::SocketAddr,
    (at_once, slowly): (String, String),
    stop: CancellationToken,
    held: Arc<AtomicUsize>,
) -> anyhow::Result<()> {
    let mut stream = Wire::dial(edge, Some(ATTACKER)).await?.0;
    stream.write_all(at_once.as_bytes()).await?;
    // One that is sent away at once was never there.
    let mut byte = [0];
    let refused = tokio::time::timeout(DRIP, stream.read(&mut byte)).await;
    if refused.is_ok() {
        return Ok(());
    }
    held.fetch_add(1, Ordering::SeqCst);
    let (mut reader, mut writer) = stream.split();
    let dripping = async {
        for byte in slowly.bytes() {
            tokio::time::sleep(DRIP).await;
            if writer.write_all(&[byte]).await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        () = dripping => {}
        _ = reader.read(&mut byte) => {}
    }
    held.fetch_sub(1, Ordering::SeqCst);
    Ok(())
}

/// Good clients, each with so many calls, each call on a connection of its own.
pub(super) async fn good(system: &System, count: usize) -> anyhow::Result<Tail> {
    Tail::of(times(system, count).await?)
}

/// How long each of their calls took.
pub(super) async fn times(system: &System, count: usize) -> anyhow::Result<Vec<Duration>> {
    let mut clients = JoinSet::new();
    for _ in 0..GOOD {
        let request = system.good("good", "connection: close\r\n");
        clients.spawn(calls(system.edge, request, count));
    }
    let mut times = Vec::new();
    while let Some(done) = clients.join_next().await {
        times.extend(done??);
    }
    Ok(times)
}

async fn calls(
    edge: std::net::SocketAddr,
    request: String,
    count: usize,
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    for _ in 0..count {
        let wire = Wire::dial(edge, None).await?;
        let answer = wire
            .exchange(request.as_bytes(), PATIENCE, PATIENCE)
            .await?;
        ensure!(answer.statuses == [200], "a good call: {answer:?}");
        let body = answer.text.split("\r\n\r\n").nth(1).context("a body")?;
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        ensure!(body["result"].is_object(), "a good call: {answer:?}");
        times.push(answer.took);
    }
    Ok(times)
}

fn open_files(system: &System) -> anyhow::Result<usize> {
    let pid = system.pid()?;
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

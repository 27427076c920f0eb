//! A budget that many fight over (drill D23): clients and their sub-agents on several edges, while leader, followers and
//! edges are killed. What was authorized, by the audit chain, must be the limit to the unit; what was executed never more.

use crate::clocks::{self, Hand};
use crate::fleet::{Fleet, Victim};
use crate::load::{self, AGENT, attenuate, mix};
use crate::upstream::Upstream;
use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Pause of a client that was told that there is nothing; twice as long each time that it hears so again.
const PAUSE_MS: u64 = 150;
/// How often it doubles at most: many clients that ask in vain would keep the ledger busy with their refusals.
const PAUSE_DOUBLINGS: u32 = 4;
/// How long it may take until all is spent, after the last fault; and how long the chain may stand still behind it.
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
    /// The clocks of the leader and of an edge jump by an hour and by ten years, ahead and behind, or run twice as fast,
    /// while both go on (D13).
    Jump,
    /// For an edge and a node, which leads sooner or later, all time passes twice as fast (D13).
    Fast,
}

impl Fault {
    /// The window of the tenant's limit: what no clock may move on.
    fn window(self) -> &'static str {
        match self {
            Self::Kill | Self::Sleep => "lifetime",
            // Not a day or a month, that might end while this runs.
            Self::Clock | Self::Jump | Self::Fast => "rolling:25920000",
        }
    }
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
            let rule = json!({ "scope": "tenant", "meter": "calls", "window": plan.fault.window(), "limit": plan.limit });
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
    // Its sub-agents draw on the same budget: a child, and a child of the child.
    let child = attenuate(&token, "delegate = helper").await?;
    let grandchild = attenuate(&child, "delegate = helper-of-helper").await?;
    let family = [token, child, grandchild];
    let (tally, stop) = (Arc::new(Tally::default()), CancellationToken::new());
    let urls = fleet.edge_urls();
    let clients: Vec<_> = (0..plan.clients)
        .map(|number| {
            let token = &family[number % family.len()];
            // Each of the family on each edge.
            let url = urls[number / family.len() % urls.len()].as_str();
            let url = format!("{url}/v1/tool-call");
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
    // An edge that is killed between the record and the call, or sleeps there until its client is gone, leaves one that was
    // authorized and not executed.
    ensure!(
        u64::try_from(executed)? == plan.limit || plan.kills > 0,
        "{executed} calls were executed, {} were allowed",
        plan.limit
    );
    Ok(Report {
        authorized,
        executed,
        refused: tally.refused.load(Ordering::Relaxed),
        seconds: started.elapsed().as_secs(),
    })
}

/// Faults, spread over the time in which the budget is spent.
async fn strike(fleet: &mut Fleet, plan: Plan, seed: u64, tally: &Tally) -> anyhow::Result<()> {
    let mut hands = Hands::default();
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
        let length = mix(seed, round + 1_000);
        match plan.fault {
            Fault::Kill => {
                fleet.kill(victim).await?;
                tokio::time::sleep(Duration::from_millis(length % 1_500)).await;
                fleet.revive(victim, &[]).await?;
            }
            Fault::Sleep => {
                // At first an edge, until its leases are over: what it holds then it must not spend.
                let (victim, asleep) = match round {
                    0 => (Victim::Edge(plan.edges - 1), 32_000),
                    _ => (victim, 1_000 + length % 3_000),
                };
                fleet.signal(victim, Signal::SIGSTOP)?;
                tokio::time::sleep(Duration::from_millis(asleep)).await;
                fleet.signal(victim, Signal::SIGCONT)?;
            }
            Fault::Clock => {
                let offset = if length.is_multiple_of(2) {
                    "+1h"
                } else {
                    "-1h"
                };
                fleet.kill(victim).await?;
                fleet.revive(victim, &clocks::off(offset)).await?;
                tokio::time::sleep(Duration::from_secs(2)).await;
                fleet.kill(victim).await?;
                fleet.revive(victim, &[]).await?;
            }
            Fault::Jump => hands.jump(fleet, plan, seed, round).await?,
            Fault::Fast => hurry(fleet, plan, round).await?,
        }
    }
    hands.right().await
}

/// Clocks that can be set while their processes run.
#[derive(Default)]
struct Hands {
    edge: Option<Hand>,
    nodes: Vec<Hand>,
}

impl Hands {
    /// Starts all nodes and one edge anew, each with a clock that can be set.
    async fn take(&mut self, fleet: &mut Fleet, plan: Plan) -> anyhow::Result<()> {
        let dir = fleet.cluster.dir.path().to_owned();
        for node in 0..plan.nodes {
            let hand = Hand::new(&dir, &format!("node-{node}"))?;
            restart(fleet, Victim::Node(node), &hand.env()).await?;
            self.nodes.push(hand);
        }
        let hand = Hand::new(&dir, "edge")?;
        restart(fleet, Victim::Edge(plan.edges - 1), &hand.env()).await?;
        self.edge = Some(hand);
        Ok(())
    }

    /// Sets the edge's wrong and the leader's, each in another way. Whose is wrong already does not come by way of the
    /// right time.
    async fn jump(
        &mut self,
        fleet: &mut Fleet,
        plan: Plan,
        seed: u64,
        round: u64,
    ) -> anyhow::Result<()> {
        if self.nodes.is_empty() {
            self.take(fleet, plan).await?;
        }
        let leader = fleet.leader().await?;
        for (index, node) in self.nodes.iter().enumerate() {
            if index != leader {
                node.set(clocks::RIGHT).await?;
            }
        }
        let both = self.nodes.get(leader).into_iter().chain(&self.edge);
        for (number, hand) in (round..).zip(both) {
            hand.set(clocks::wrong(seed, number)).await?;
        }
        Ok(())
    }

    async fn right(&self) -> anyhow::Result<()> {
        for hand in self.nodes.iter().chain(&self.edge) {
            hand.set(clocks::RIGHT).await?;
        }
        Ok(())
    }
}

async fn restart(fleet: &mut Fleet, victim: Victim, env: &[(&str, &str)]) -> anyhow::Result<()> {
    fleet.kill(victim).await?;
    fleet.revive(victim, env).await?;
    // The next one only when these lead and follow again.
    fleet.leader().await.map(drop)
}

/// At first an edge and a node get a time that passes twice as fast; from then on who leads is killed, until it is that
/// node.
async fn hurry(fleet: &mut Fleet, plan: Plan, round: u64) -> anyhow::Result<()> {
    let leader = fleet.leader().await?;
    match (round, leader) {
        (0, _) => {
            restart(fleet, Victim::Edge(plan.edges - 1), &clocks::fast()).await?;
            restart(fleet, Victim::Node(0), &clocks::fast()).await
        }
        (_, 0) => Ok(()),
        (_, leader) => restart(fleet, Victim::Node(leader), &[]).await,
    }
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
    let (mut moved, mut head) = (Instant::now(), 0);
    let mut last = String::new();
    while moved.elapsed() < SETTLE {
        let now = chain_head(fleet).await?;
        if now != head {
            (moved, head) = (Instant::now(), now);
        }
        match account(fleet, plan, scope).await {
            Ok((spent, leased)) => {
                let chain = authorized(fleet).await?;
                if leased == 0 && spent == plan.limit && chain == plan.limit {
                    return Ok(());
                }
                last = format!("{spent} spent, {leased} leased, {chain} in the chain");
            }
            // The counter may be electing.
            Err(error) if error.to_string().contains("OVERSPENT") => return Err(error),
            Err(error) => last = error.to_string(),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    anyhow::bail!("it did not settle at {}: {last}", plan.limit)
}

/// Number of the chain's last entry.
async fn chain_head(fleet: &Fleet) -> anyhow::Result<u64> {
    let page = fleet
        .cluster
        .acme(Method::GET, "audit/events?limit=1", None);
    page.await?["entries"][0]["seq"]
        .as_u64()
        .context("the last entry's number")
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
    let mut in_vain = 0;
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
            in_vain = 0;
            continue;
        }
        let mut pause = PAUSE_MS;
        if answer["error"]["data"]["control"] == "budget" {
            tally.refused.fetch_add(1, Ordering::Relaxed);
            pause <<= in_vain;
            in_vain = PAUSE_DOUBLINGS.min(in_vain + 1);
        }
        let after = answer["error"]["data"]["retry_after_ms"].as_u64();
        let pause = after.map_or(pause, |after| after.clamp(20, 1_000));
        let pause = Duration::from_millis(pause);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    Ok(())
}

//! The storm: ledgers, edge, NATS and Postgres are killed at random under a steady load of decisions and of forwarded calls,
//! and in the end the chain has each answered decision exactly once, and each call with its outcome, whatever hit whom when.

use crate::bench_ledger::{offline, question};
use crate::cluster::{Cluster, Options};
use crate::load::{Load, mix, prepare};
use crate::oracle;
use crate::upstream::Upstream;
use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Decisions in one request.
const BATCH: usize = 20;
/// Requests that may be unanswered at once: beyond, the clients wait like everybody.
const IN_FLIGHT_MAX: usize = 100;
/// How long a client waits for an answer.
const ANSWER: Duration = Duration::from_secs(5);
/// The longest time that a victim stays dead, and that nothing happens, in milliseconds.
const DEAD_MS: u64 = 700;
const CALM_MS: u64 = 900;
/// Clients whose calls are forwarded.
const CALLERS: usize = 2;
/// How long the chain may take to have everything.
const SETTLE: Duration = Duration::from_secs(180);

/// How hard it blows.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How long.
    pub during: Duration,
    /// Decisions a second.
    pub pace: u32,
    /// Chooses victims and instants.
    pub seed: u64,
}

/// What it came to.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Processes killed.
    pub kills: u64,
    /// Decisions that were answered and have to be in the chain: each is, once.
    pub answered: usize,
    /// Decisions that were refused because nothing could be recorded.
    pub unrecorded: usize,
    /// Decisions whose client heard nothing.
    pub unanswered: usize,
    /// Of these, so many were recorded.
    pub unheard: usize,
    /// Calls that were forwarded, or were to be.
    pub calls: usize,
    /// Entries of the chain.
    pub entries: u64,
    /// How long it took until all was committed, from the end of the load.
    pub settled: Duration,
}

/// What clients were told.
#[derive(Default)]
struct Told {
    /// By its id, the reason (empty: allowed).
    answered: HashMap<String, String>,
    unrecorded: usize,
    unanswered: usize,
}

/// Runs it.
///
/// # Errors
/// If anything does not hold that should.
pub async fn run(plan: Plan) -> anyhow::Result<Report> {
    let mut cluster = Cluster::start(Options {
        settings: json!({ "intent": "when_declared" }),
        more_ledgers: 1,
        durable: true,
        ..Options::default()
    })
    .await?;
    let upstream = Upstream::start(Duration::ZERO).await?;
    let token = prepare(&cluster, &upstream).await?;
    let before: HashSet<String> = decisions(&cluster).await?.into_keys().collect();
    let url = format!("{}/access/v1/evaluations", cluster.edge_url);
    let calls = Load::start(&cluster.edge_url, &token, CALLERS, plan.seed)?;
    let load = tokio::spawn(load(plan, url, token));
    let struck = strike(plan, &mut cluster).await;
    let told = load.await??;
    let calls = calls.end().await;
    let kills = struck?;
    let started = Instant::now();
    oracle::settled(&cluster, SETTLE).await?;
    let settled = started.elapsed();
    oracle::check(&cluster, &calls, &upstream.journal.all()).await?;

    let mut chain = decisions(&cluster).await?;
    if let Some((id, times)) = chain.iter().find(|(_, times)| **times != 1) {
        anyhow::bail!("DUPLICATE: decision {id} is {times} times in the chain");
    }
    chain.retain(|id, _| !before.contains(id));
    let answered = told.answered.iter();
    let lost: Vec<_> = answered
        .filter(|(id, _)| !chain.contains_key(*id))
        .collect();
    ensure!(
        lost.is_empty(),
        "LOST: {} decisions were answered and are not in the chain: {:?}",
        lost.len(),
        lost.iter().take(5).collect::<Vec<_>>()
    );
    let unheard = chain.len() - told.answered.len();
    ensure!(
        unheard <= told.unanswered + told.unrecorded,
        "{unheard} decisions in the chain that nobody asked for"
    );
    let ((entries, _), _) = offline(&cluster).await?;
    cluster.stop().await;
    Ok(Report {
        kills,
        answered: told.answered.len(),
        unrecorded: told.unrecorded,
        unanswered: told.unanswered,
        unheard,
        calls: calls.len(),
        entries,
        settled,
    })
}

/// How often each decision is in the chain: what was judged, and what was refused before it could be. Refused calls, which
/// are known by their trace, are none of them.
async fn decisions(cluster: &Cluster) -> anyhow::Result<HashMap<String, u32>> {
    let mut found = HashMap::new();
    for kind in ["evaluated", "refused"] {
        let mut before = 0_u64;
        loop {
            let path = format!("audit/events?limit=1000&kind={kind}&before_seq={before}");
            let page = cluster.acme(Method::GET, &path, None).await?;
            for entry in page["entries"].as_array().context("the entries")? {
                if entry["event"]["trace_id"].is_string() {
                    continue;
                }
                let id = entry["event"]["decision_id"].as_str();
                let id = id.context("a decision without an id")?;
                *found.entry(id.to_owned()).or_default() += 1;
            }
            match page["next_before_seq"].as_u64() {
                Some(next) => before = next,
                None => break,
            }
        }
    }
    Ok(found)
}

async fn load(plan: Plan, url: String, token: String) -> anyhow::Result<Told> {
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(ANSWER)
        .build()?;
    let body = question(BATCH).to_string();
    let pause = Duration::from_secs(1) * u32::try_from(BATCH)? / plan.pace;
    let mut tick = tokio::time::interval(pause);
    let (until, mut asks, mut told) = (
        Instant::now() + plan.during,
        JoinSet::<Option<Value>>::new(),
        Told::default(),
    );
    while Instant::now() < until {
        tick.tick().await;
        while let Some(answer) = asks.try_join_next() {
            told.note(answer?)?;
        }
        if asks.len() >= IN_FLIGHT_MAX {
            continue;
        }
        let request = http.post(&url).bearer_auth(&token).body(body.clone());
        let request = request.header("content-type", "application/json");
        asks.spawn(async move { request.send().await.ok()?.json().await.ok() });
    }
    while let Some(answer) = asks.join_next().await {
        told.note(answer?)?;
    }
    Ok(told)
}

impl Told {
    fn note(&mut self, answer: Option<Value>) -> anyhow::Result<()> {
        let Some(answer) = answer else {
            self.unanswered += BATCH;
            return Ok(());
        };
        let Some(evaluations) = answer["evaluations"].as_array() else {
            // Refused as a whole, before anything was decided: the edge is not ready yet.
            let reason = answer["error"]["data"]["reason"].as_str();
            ensure!(reason.is_some(), "an answer of no known form: {answer}");
            self.unrecorded += BATCH;
            return Ok(());
        };
        ensure!(evaluations.len() == BATCH, "not all answered: {answer}");
        for evaluation in evaluations {
            let context = &evaluation["context"];
            let id = context["decision_id"].as_str().context("the decision")?;
            match context["reason"].as_str() {
                Some("audit_unavailable" | "overloaded") => self.unrecorded += 1,
                // Allowed, or refused for a reason that is in the chain with it.
                reason => {
                    let reason = reason.unwrap_or_default().to_owned();
                    let before = self.answered.insert(id.to_owned(), reason);
                    ensure!(before.is_none(), "one decision, two answers: {id}");
                }
            }
        }
        Ok(())
    }
}

/// Kills, waits, starts again; returns how often.
async fn strike(plan: Plan, cluster: &mut Cluster) -> anyhow::Result<u64> {
    let until = Instant::now() + plan.during;
    let mut kills = 0;
    let pause = async |number: u64, most: u64| {
        let pause = mix(plan.seed, number) % most;
        tokio::time::sleep(Duration::from_millis(pause)).await;
    };
    while Instant::now() < until {
        let number = kills * 3;
        pause(number, CALM_MS).await;
        match mix(plan.seed, number + 1) % 5 {
            0 => {
                cluster.ledger.end(Signal::SIGKILL).await?;
                pause(number + 2, DEAD_MS).await;
                cluster.start_ledger().await?;
            }
            1 => {
                cluster.kill_ledger_2().await?;
                pause(number + 2, DEAD_MS).await;
                cluster.start_ledger_2().await?;
            }
            2 => {
                cluster.edge.end(Signal::SIGKILL).await?;
                pause(number + 2, DEAD_MS).await;
                cluster.start_edge().await?;
            }
            3 => {
                cluster.nats.kill9().await;
                pause(number + 2, DEAD_MS).await;
                cluster.nats.restart().await?;
            }
            _ => {
                cluster.postgres.kill9_all().await;
                pause(number + 2, DEAD_MS).await;
                cluster.postgres.restart().await?;
            }
        }
        kills += 1;
    }
    Ok(kills)
}

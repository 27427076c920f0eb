//! D14: tool servers that are slow, that hang or break off in the middle of an answer, that send it a byte a second, that
//! answer what is none, too much, or for ever: over HTTP in both families of revisions, as child processes, and as plain HTTP
//! APIs. Each call is refused for the right reason, the edge's memory stays bounded, and calls to another server hardly notice.

mod case;
mod child;
mod socket;

use super::bombs::highest_kb;
use super::{System, Tail, slow};
use crate::acme;
use crate::cluster::Options;
use crate::load::{AGENT, digest};
use crate::oracle;
use anyhow::{Context, ensure};
use case::{Case, Transport};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How much.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Calls of each faulty server, one after the other.
    pub calls: usize,
    /// Good calls of each client in a turn: one turn before, as many as there is time for meanwhile.
    pub good: usize,
    /// Most that the p99 of the good calls may come to meanwhile, in percent of what it was before.
    pub percent: u32,
    /// And what a machine with other work may add to it.
    pub jitter: Duration,
    /// How long a call may take. What is too large has to be seen to be so within it, from all servers at once; whoever
    /// waits is to wait for longer, which is ten seconds.
    pub timeout_ms: u32,
}

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Good calls before.
    pub quiet: Tail,
    /// Good calls to another server meanwhile.
    pub beside: Tail,
    /// Calls that were refused for what their server did, or because it had done so before.
    pub refused: usize,
    /// What the edge's memory had grown by at its highest, in kB.
    pub peak_kb: u32,
}

/// Longer than a call may take: who waits for so long was given up.
const LONG: Duration = Duration::from_secs(10);
/// Most that the edge's memory may grow by all of them at once, in kB: nine answers that are taken up to 4 MiB each and a
/// child's line of 8 MiB, which may be there three times while they are read.
const PEAK_KB_MAX: u32 = 160 * 1024;

/// Runs it.
///
/// # Errors
/// If a call is refused for another reason, or not at all, the edge takes too much memory, others wait, or it is not whole
/// afterwards.
pub async fn run(plan: Plan) -> anyhow::Result<Report> {
    let system = System::start(Options {
        settings: json!({ "intent": "when_declared" }),
        ..Options::default()
    })
    .await?;
    let report = attack(&system, plan).await;
    let whole = system.is_whole().await;
    let settled = oracle::settled(&system.cluster, Duration::from_secs(30)).await;
    system.cluster.stop().await;
    let report = report?;
    whole?;
    settled?;
    ensure!(report.peak_kb < PEAK_KB_MAX, "too much memory: {report:?}");
    report
        .beside
        .judge_within(report.quiet, plan.percent, plan.jitter)
        .with_context(|| format!("{report:?}"))?;
    Ok(report)
}

async fn attack(system: &System, plan: Plan) -> anyhow::Result<Report> {
    let token = serve(system, plan.timeout_ms).await?;
    slow::good(system, plan.good).await?;
    let quiet = slow::good(system, plan.good).await?;
    let before = highest_kb(system.pid()?)?;
    let (turn, turns) = watch::channel(0_usize);
    let mut callers = JoinSet::new();
    for case in Case::all() {
        let client = Client {
            http: reqwest::Client::builder().no_proxy().build()?,
            url: format!("{}/v1/tool-call", system.cluster.edge_url),
            token: token.clone(),
            turns: turns.clone(),
        };
        callers.spawn(async move { client.calls(case, plan.calls).await });
    }
    let calling = tokio::spawn(async move {
        let mut refused = 0_usize;
        while let Some(done) = callers.join_next().await {
            refused = refused.saturating_add(done??);
        }
        anyhow::Ok(refused)
    });
    let mut beside = Vec::new();
    while !calling.is_finished() {
        beside.extend(slow::times(system, plan.good).await?);
        turn.send_modify(|turn| *turn = turn.wrapping_add(1));
    }
    Ok(Report {
        quiet,
        beside: Tail::of(beside)?,
        refused: calling.await??,
        peak_kb: highest_kb(system.pid()?)?.saturating_sub(before),
    })
}

struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
    /// Told of each turn of good calls.
    turns: watch::Receiver<usize>,
}

impl Client {
    /// Calls a faulty server; how often it was refused, and rightly. Good calls go on between two of them: where all are
    /// refused at once, there would be nothing beside which the good ones are made.
    async fn calls(mut self, case: Case, calls: usize) -> anyhow::Result<usize> {
        let mut rightly = 0_usize;
        for number in 0..calls {
            let reason = self.call(case).await?;
            let right = reason == case.reason();
            rightly = rightly.saturating_add(usize::from(right));
            let again = number > 0 && case.is_consequence(&reason);
            ensure!(right || again, "{case:?}, call {number}: {reason}");
            self.turns.changed().await?;
        }
        ensure!(rightly > 0, "{case:?}: none of {calls} calls");
        Ok(calls)
    }

    async fn call(&self, case: Case) -> anyhow::Result<String> {
        let body = json!({ "tool": format!("{}/work", case.name()), "arguments": {} });
        let request = self.http.post(&self.url).bearer_auth(&self.token);
        let answer: Value = request.json(&body).send().await?.json().await?;
        let reason = answer["error"]["data"]["reason"].as_str();
        let reason = reason.with_context(|| format!("{case:?} was not refused"))?;
        Ok(reason.to_owned())
    }
}

fn tool() -> Value {
    json!({ "name": "work", "description": "Works", "inputSchema": { "type": "object" } })
}

/// Starts the servers, one for each case, and registers them; a token for them.
async fn serve(system: &System, timeout_ms: u32) -> anyhow::Result<String> {
    let address = socket::start().await?;
    let cluster = &system.cluster;
    let tool = tool();
    let definition = json!({
        "name": tool["name"], "description": tool["description"], "input_schema": tool["inputSchema"],
    });
    for case in Case::all() {
        let mut entry = json!({ "definition": definition, "definition_digest": digest(&tool) });
        let upstream = match case.transport {
            Transport::Child => child::upstream(case.fault),
            _ => socket::upstream(case, address),
        };
        if case.transport == Transport::Api {
            entry["http"] = json!({ "method": "GET", "path": "/work" });
        }
        let server = json!({ "upstream": upstream, "timeout_ms": timeout_ms, "tools": [entry] });
        let path = format!("tool-servers/{}", case.name());
        cluster.acme(Method::PUT, &path, Some(server)).await?;
    }
    let token = acme::mint(cluster, 3600, &["tool in */*"]).await?;
    for case in Case::all() {
        let tool = format!("{}/work", case.name());
        cluster
            .wait_allowed(&token, AGENT, &tool, json!({}))
            .await?;
    }
    Ok(token)
}

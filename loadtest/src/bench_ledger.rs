//! The ledger's bars: edge, NATS, ledger and Postgres together, everything durable, next to a bare `COPY` in the same run.
//!
//! Load are decisions without a call (AuthZEN), many in one request, so that the clients leave the cores to what is
//! measured. Each decision is one event: through the edge's spool, NATS, the chain, with seals.

use crate::cluster::{Cluster, Options};
use crate::load::AGENT;
use anyhow::{Context, ensure};
use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use time::format_description::well_known::Rfc3339;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// Decisions in one request when it is to be fast.
const BATCH: usize = 64;
/// Clients that ask as fast as they can.
const CLIENTS: usize = 4;
/// Decisions per second when delays are measured, and how many go out at once for that.
const PACE: u32 = 2_000;
const PACE_BATCH: usize = 20;
/// Rows of the bare `COPY`.
const COPY_ROWS: u64 = 200_000;

/// How to measure.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How long at full speed.
    pub sustained: Duration,
    /// How long at [`PACE`].
    pub paced: Duration,
}

/// Measures; returns a table for people.
///
/// # Errors
/// If something does not start, or the chain is not sound in the end.
pub async fn run(plan: Plan) -> anyhow::Result<String> {
    let cluster = Cluster::start(Options {
        settings: json!({ "intent": "when_declared" }),
        durable: true,
        ..Options::default()
    })
    .await?;
    let upstream = crate::upstream::Upstream::start(Duration::ZERO).await?;
    let token = crate::load::prepare(&cluster, &upstream).await?;
    let before = size(&cluster).await?;
    let started = Instant::now();
    let asked = flood(&cluster, &token, plan.sustained).await?;
    let during = size(&cluster).await? - before;
    let window = started.elapsed();
    // What waits in the spool counts only for the time that it takes until it is committed.
    crate::oracle::settled(&cluster, Duration::from_secs(300)).await?;
    let all = size(&cluster).await? - before;
    ensure!(all >= asked, "decided {asked}, in the chain {all}");
    let copy = bare_copy(&cluster).await?;
    let delays = paced(&cluster, &token, plan.paced).await?;
    crate::oracle::settled(&cluster, Duration::from_secs(300)).await?;
    let (export, verify) = offline(&cluster).await?;
    let checkpoints = cluster
        .acme(Method::GET, "audit/checkpoints?limit=1000", None)
        .await?;
    let seals = checkpoints["checkpoints"].as_array().map_or(0, Vec::len);
    cluster.stop().await;
    let rate = per_second(during, window);
    Ok(format!(
        "| | |\n|---|---|\n\
         | decided in {window:.1?} | {asked}, {:.0}/s |\n\
         | committed and receipted in that time | {during}, **{rate:.0}/s** |\n\
         | bare `COPY` of {} rows of the same shape | {:.0}/s |\n\
         | ratio | **{:.2}** |\n\
         | decision to committed entry, seen by a follower, at {PACE}/s | p50 {:.0?}, p99 **{:.0?}**, of {} |\n\
         | export of {} entries | {:.1?} |\n\
         | `proctor audit verify` of it, process start to end | {:.2?}, {:.0}/s |\n\
         | checkpoints | {seals} |\n",
        per_second(asked, window),
        copy.0,
        per_second(copy.0, copy.1),
        rate / per_second(copy.0, copy.1),
        quantile(&delays, 500),
        quantile(&delays, 990),
        delays.len(),
        export.0,
        export.1,
        verify,
        per_second(export.0, verify),
    ))
}

fn per_second(count: u64, elapsed: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / elapsed.as_secs_f64()
}

fn quantile(sorted: &[Duration], per_mille: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get(last * per_mille / 1000)
        .copied()
        .unwrap_or_default()
}

async fn size(cluster: &Cluster) -> anyhow::Result<u64> {
    let head = cluster.acme(Method::GET, "audit/head", None).await?;
    head["size"].as_u64().context("the size of the chain")
}

pub(crate) fn question(count: usize) -> Value {
    let resource = |n: usize| {
        json!({ "resource": { "type": "tool", "id": "worker/work",
                              "properties": { "arguments": { "id": n.to_string(), "amount": 1 } } } })
    };
    json!({
        "subject": { "type": "agent", "id": AGENT }, "action": { "name": "call" },
        "evaluations": (0..count).map(resource).collect::<Vec<_>>(),
    })
}

async fn ask(
    http: &reqwest::Client,
    url: &str,
    token: &str,
    body: &str,
    count: usize,
) -> anyhow::Result<()> {
    let request = http.post(url).bearer_auth(token).body(body.to_owned());
    let answer: Value = request
        .header("content-type", "application/json")
        .send()
        .await?
        .json()
        .await?;
    let allowed = answer["evaluations"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|answer| answer["decision"] == true)
        .count();
    ensure!(allowed == count, "{allowed} of {count}: {answer}");
    Ok(())
}

/// As fast as it goes; how many decisions were answered.
async fn flood(cluster: &Cluster, token: &str, during: Duration) -> anyhow::Result<u64> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let (url, body) = (
        format!("{}/access/v1/evaluations", cluster.edge_url),
        question(BATCH).to_string(),
    );
    let until = Instant::now() + during;
    let client = |_| {
        let (http, url, body, token) = (http.clone(), url.clone(), body.clone(), token.to_owned());
        tokio::spawn(async move {
            let mut asked = 0;
            while Instant::now() < until {
                ask(&http, &url, &token, &body, BATCH).await?;
                asked += u64::try_from(BATCH)?;
            }
            anyhow::Ok(asked)
        })
    };
    let clients: Vec<_> = (0..CLIENTS).map(client).collect();
    let mut asked = 0;
    for client in clients {
        asked += client.await??;
    }
    Ok(asked)
}

/// At an even pace; how long after each decision its entry came to a follower of the chain.
async fn paced(cluster: &Cluster, token: &str, during: Duration) -> anyhow::Result<Vec<Duration>> {
    let after = size(cluster).await?;
    let stop = CancellationToken::new();
    let follower = tokio::spawn(follow(
        format!(
            "{}/v1/tenants/acme/audit/events/stream?after={after}",
            cluster.api_url
        ),
        cluster.admin_key().to_owned(),
        stop.clone(),
    ));
    let http = reqwest::Client::builder().no_proxy().build()?;
    let (url, body) = (
        format!("{}/access/v1/evaluations", cluster.edge_url),
        question(PACE_BATCH).to_string(),
    );
    let mut tick =
        tokio::time::interval(Duration::from_secs(1) * u32::try_from(PACE_BATCH)? / PACE);
    let (until, mut asks) = (Instant::now() + during, tokio::task::JoinSet::new());
    while Instant::now() < until {
        tick.tick().await;
        let (http, url, body, token) = (http.clone(), url.clone(), body.clone(), token.to_owned());
        asks.spawn(async move { ask(&http, &url, &token, &body, PACE_BATCH).await });
    }
    while let Some(asked) = asks.join_next().await {
        asked??;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.cancel();
    let mut delays = follower.await??;
    delays.sort_unstable();
    Ok(delays)
}

/// Delays of the entries that come, by the event's own time.
async fn follow(
    url: String,
    key: String,
    stop: CancellationToken,
) -> anyhow::Result<Vec<Duration>> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let mut body = http
        .get(url)
        .bearer_auth(key)
        .send()
        .await?
        .error_for_status()?
        .bytes_stream();
    let (mut delays, mut text) = (Vec::new(), Vec::new());
    loop {
        let chunk = tokio::select! {
            () = stop.cancelled() => return Ok(delays),
            chunk = body.next() => chunk.context("the stream ended")??,
        };
        let now = time::UtcDateTime::now();
        text.extend_from_slice(&chunk);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            let Some(entry) = line.strip_prefix(b"data:") else {
                continue;
            };
            let entry: Value = serde_json::from_slice(entry)?;
            let at = entry.pointer("/event/time").and_then(Value::as_str);
            let at = time::UtcDateTime::parse(at.context("the time")?, &Rfc3339)?;
            delays.push((now - at).try_into().unwrap_or_default());
        }
    }
}

/// The rows of the chain, copied by `psql` into an empty table with the same columns and indexes.
async fn bare_copy(cluster: &Cluster) -> anyhow::Result<(u64, Duration)> {
    let file = cluster.dir.path().join("rows.bin");
    let rows = format!(
        "\\copy (select * from ledger.entries order by tenant, seq limit {COPY_ROWS}) to '{}' (format binary)",
        file.display()
    );
    cluster.psql(&rows).await?;
    cluster.psql("create table public.bare (like ledger.entries including indexes including constraints)",
    )
    .await?;
    let copy = format!(
        "\\copy public.bare from '{}' (format binary)",
        file.display()
    );
    let started = Instant::now();
    cluster.psql(&copy).await?;
    let elapsed = started.elapsed();
    let count = cluster.psql("select count(*) from public.bare").await?;
    cluster.psql("drop table public.bare").await?;
    Ok((count.trim().parse()?, elapsed))
}

/// Exports the chain and verifies it with the binary: (entries, time to export), time to verify.
pub(crate) async fn offline(cluster: &Cluster) -> anyhow::Result<((u64, Duration), Duration)> {
    let started = Instant::now();
    let bundle = cluster.download("/v1/tenants/acme/audit/export").await?;
    let exported = started.elapsed();
    let entries = u64::try_from(bundle.iter().filter(|byte| **byte == b'\n').count())? - 1;
    let file = cluster.dir.path().join("acme.ndjson");
    std::fs::write(&file, bundle)?;
    let keys = cluster.acme(Method::GET, "audit/keys", None).await?;
    // Each ledger that had the tenant for a while signed with its own.
    let keys = keys["keys"].as_array().context("the log's keys")?;
    let mut verify = Command::new(crate::cluster::proctor_binary()?);
    verify.args(["audit", "verify"]).arg(&file);
    for key in keys.iter().filter_map(Value::as_str) {
        verify.args(["--key", key]);
    }
    let started = Instant::now();
    let verified = verify.output().await?;
    let elapsed = started.elapsed();
    ensure!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stdout)
    );
    Ok(((entries, exported), elapsed))
}

//! What must hold after every drill, once all has healed:
//!
//! 1. *Nothing let through*: what the tool server executed is a part of what was allowed, with exactly those arguments.
//! 2. *Nothing lost*: each call that was executed, or got a verdict, has exactly one record in the chain, by its
//!    decision, and each allowed one exactly one outcome; the chain verifies; no call stays open.
//! 3. *Nothing twice*: no call was executed twice.

use crate::cluster::Cluster;
use crate::load::{Call, Told};
use crate::upstream::Executed;
use anyhow::{Context, bail, ensure};
use reqwest::Method;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

/// Refusals for which no event can be written: the disk is full, or there is no room to take the request in.
const UNRECORDED: [&str; 2] = ["audit_unavailable", "overloaded"];

/// Nobody waits for less. What no ledger has confirmed is sent again after 2, 4, 8 and 16 seconds: on a busy machine a few of
/// those may be needed.
const PATIENCE_MIN: Duration = Duration::from_secs(120);

/// The chain's events of calls, by the trace id of their request.
pub type Chain = HashMap<String, Vec<Value>>;

/// Waits until the chain is sound, without an alarm, and no call is open.
///
/// # Errors
/// If that does not come about in `patience`, which is two minutes at least; says what the last report was.
pub async fn settled(cluster: &Cluster, patience: Duration) -> anyhow::Result<()> {
    settled_but_for(cluster, patience, &[]).await
}

/// The same, where there may be alarms of these kinds.
///
/// # Errors
/// As [`settled`].
pub async fn settled_but_for(
    cluster: &Cluster,
    patience: Duration,
    alarms: &[&str],
) -> anyhow::Result<()> {
    let patience = patience.max(PATIENCE_MIN);
    let (started, mut last) = (Instant::now(), String::new());
    let mut size = None;
    while started.elapsed() < patience {
        tokio::time::sleep(Duration::from_millis(100)).await;
        // A walk through the whole chain is work for the ledger: not while it has other.
        let waiting = spooled(cluster).await;
        if waiting != Some(0) {
            last = format!("events in the edge's spool: {waiting:?}");
            continue;
        }
        match cluster.acme(Method::GET, "audit/verify", None).await {
            Ok(report) => {
                let kinds = |list: &str| -> Option<Vec<String>> {
                    let kinds = report[list].as_array()?.iter();
                    kinds
                        .map(|found| Some(found["kind"].as_str()?.to_owned()))
                        .collect()
                };
                ensure!(
                    kinds("findings").is_some_and(|kinds| kinds.is_empty()),
                    "the chain is not sound: {report}"
                );
                let expected = |kind: &String| alarms.contains(&kind.as_str());
                ensure!(
                    kinds("alarms").is_some_and(|kinds| kinds.iter().all(expected)),
                    "there are alarms in the chain: {report}"
                );
                // Nothing open, nothing on its way.
                let entries = report["entries"].as_u64();
                if report["open_calls"] == 0 && entries == size {
                    return Ok(());
                }
                (size, last) = (entries, report.to_string());
            }
            Err(error) => last = error.to_string(),
        }
    }
    bail!("the chain did not settle: {last}")
}

/// Events in the edge's spool that the ledger does not have.
pub async fn spooled(cluster: &Cluster) -> Option<u64> {
    let url = format!("{}/metrics", cluster.edge_admin_url);
    let answer = cluster.http.get(url).send().await.ok()?;
    let text = answer.text().await.ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("proctor_edge_spool_events "))?;
    line.trim().parse().ok()
}

/// All events of the chain.
///
/// # Errors
/// If the chain can't be read.
pub async fn events(cluster: &Cluster) -> anyhow::Result<Vec<Value>> {
    let mut events = Vec::new();
    each_event(cluster, |event| events.push(event)).await?;
    Ok(events)
}

/// All events of calls.
///
/// # Errors
/// If the chain can't be read.
pub async fn chain(cluster: &Cluster) -> anyhow::Result<Chain> {
    let mut chain = Chain::new();
    each_event(cluster, |event| {
        if let Some(trace) = event["trace_id"].as_str().map(str::to_owned) {
            chain.entry(trace).or_default().push(event);
        }
    })
    .await?;
    Ok(chain)
}

/// Goes through the chain, newest first; of what is not kept nothing stays in memory.
async fn each_event(cluster: &Cluster, mut take: impl FnMut(Value)) -> anyhow::Result<()> {
    let mut before = 0_u64;
    loop {
        let path = format!("audit/events?limit=1000&before_seq={before}");
        let mut page = cluster.acme(Method::GET, &path, None).await?;
        let entries = page["entries"].as_array_mut().context("the entries")?;
        entries
            .iter_mut()
            .for_each(|entry| take(entry["event"].take()));
        match page["next_before_seq"].as_u64() {
            Some(next) => before = next,
            None => return Ok(()),
        }
    }
}

/// Checks the notes of clients and tool server against the chain.
///
/// # Errors
/// The first thing that does not hold.
pub async fn check(cluster: &Cluster, calls: &[Call], executed: &[Executed]) -> anyhow::Result<()> {
    let chain = chain(cluster).await?;
    let by_id: BTreeMap<String, &Call> = calls
        .iter()
        .map(|call| (call.id.to_string(), call))
        .collect();
    let mut seen = HashSet::new();
    for done in executed {
        let id = done.arguments["id"]
            .as_str()
            .context("an execution without an id")?;
        let call = by_id
            .get(id)
            .with_context(|| format!("execution {id} that nobody asked for"))?;
        ensure!(
            call.is_allowed() && done.tool == call.tool,
            "LET THROUGH: {done:?} of {call:?}"
        );
        ensure!(
            done.arguments == call.arguments(),
            "other arguments than asked for: {done:?} of {call:?}"
        );
        ensure!(seen.insert(id.to_owned()), "executed twice: {done:?}");
        let kinds = kinds(&chain, call);
        ensure!(
            kinds.contains(&"authorized"),
            "LOST: {call:?} was executed and is not in the chain: {kinds:?}"
        );
    }
    for call in calls {
        record(&chain, call, seen.contains(&call.id.to_string()))?;
    }
    Ok(())
}

fn kinds<'c>(chain: &'c Chain, call: &Call) -> Vec<&'c str> {
    let events = chain.get(&call.trace_id()).into_iter().flatten();
    events.filter_map(|event| event["kind"].as_str()).collect()
}

fn record(chain: &Chain, call: &Call, executed: bool) -> anyhow::Result<()> {
    let kinds = kinds(chain, call);
    let decisions: HashSet<_> = chain
        .get(&call.trace_id())
        .into_iter()
        .flatten()
        .filter_map(|event| event["decision_id"].as_str())
        .collect();
    let count = |wanted: &[&str]| kinds.iter().filter(|kind| wanted.contains(kind)).count();
    let (authorized, refused) = (count(&["authorized"]), count(&["refused"]));
    let outcomes = count(&["completed", "failed", "cancelled", "withheld", "unknown"]);
    ensure!(
        authorized + refused <= 1,
        "decided more than once: {call:?}: {kinds:?}"
    );
    ensure!(
        authorized == outcomes,
        "LOST: an authorized call without one outcome: {call:?}: {kinds:?}"
    );
    match &call.told {
        Told::Done { decision_id } => {
            ensure!(
                call.is_allowed() && executed,
                "told that it was done, and it was not: {call:?}"
            );
            ensure!(
                authorized == 1 && decisions.contains(decision_id.as_str()),
                "LOST: {call:?}: {kinds:?}"
            );
        }
        Told::Refused {
            decision_id,
            reason,
        } if !UNRECORDED.contains(&reason.as_str()) => {
            let decision_id = decision_id
                .as_deref()
                .context("a refusal without a decision")?;
            ensure!(authorized + refused == 1, "LOST: {call:?}: {kinds:?}");
            ensure!(
                decisions.contains(decision_id),
                "recorded under another decision: {call:?}"
            );
        }
        Told::Refused { .. } => ensure!(
            !executed,
            "told that nothing is recorded, and it was executed: {call:?}"
        ),
        // Either a record, or nothing happened; that it was executed with a record was looked at before.
        Told::Nothing => {}
    }
    Ok(())
}

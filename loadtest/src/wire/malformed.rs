//! D16: good requests of every kind, broken in many ways, over raw sockets. Each is answered or its connection closed;
//! nothing panics, nothing grows, and nothing is done that was not decided.

use super::{Answer, System, Wire};
use crate::bench_mcp::resident_kb;
use crate::cluster::Options;
use crate::load::{AMOUNT_MAX, mix};
use crate::oracle;
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How much.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Malformed inputs.
    pub inputs: usize,
    /// How long an answer may take.
    pub patience: Duration,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Report {
    /// Inputs by the status that they were answered with; 0: closed without an answer.
    pub statuses: BTreeMap<u16, usize>,
    /// The longest that one took.
    pub longest: Duration,
    /// What the edge's memory grew by, in kB.
    pub grown_kb: u32,
}

/// How long nothing has to come until the edge is told that this was all: most inputs are not whole.
const STILL: Duration = Duration::from_millis(150);
/// At once.
const IN_FLIGHT: usize = 64;
/// Most that the edge's memory may grow, in kB.
const GROWN_KB_MAX: u32 = 32 * 1024;

/// Runs it.
///
/// # Errors
/// Says what is not as it has to be, with the input.
pub async fn run(plan: Plan, seed: u64) -> anyhow::Result<Report> {
    let system = System::start(Options::default()).await?;
    let report = all(&system, plan, seed).await;
    let whole = system.is_whole().await;
    system.cluster.stop().await;
    let report = report?;
    whole?;
    Ok(report)
}

async fn all(system: &System, plan: Plan, seed: u64) -> anyhow::Result<Report> {
    let corpus = corpus(system);
    // What the first ones allocate for all does not count.
    let warm = Plan {
        inputs: plan.inputs.min(500),
        ..plan
    };
    feed(system, &corpus, warm, !seed).await?;
    let before = resident_kb(system.pid()?)?;
    let (answers, longest) = feed(system, &corpus, plan, seed).await?;
    let grown_kb = resident_kb(system.pid()?)?.saturating_sub(before);
    ensure!(grown_kb < GROWN_KB_MAX, "it grew by {grown_kb} kB");
    nothing_let_through(system).await?;
    let mut statuses = BTreeMap::new();
    for answer in answers {
        let count: &mut usize = statuses.entry(answer).or_default();
        *count = count.saturating_add(1);
    }
    Ok(Report {
        statuses,
        longest,
        grown_kb,
    })
}

/// Sends all; the statuses, and the longest time.
async fn feed(
    system: &System,
    corpus: &[String],
    plan: Plan,
    seed: u64,
) -> anyhow::Result<(Vec<u16>, Duration)> {
    let room = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut inputs = JoinSet::new();
    for number in 0..plan.inputs {
        let mut dice = Dice(mix(seed, u64::try_from(number)?));
        let input = broken(dice.choose(corpus).context("a corpus")?, &mut dice);
        let (edge, room) = (system.edge, Arc::clone(&room));
        inputs.spawn(async move {
            let _room = room.acquire_owned().await?;
            let answered = Wire::dial(edge, None).await?;
            let answered = answered.exchange(&input, STILL, plan.patience).await;
            let shown = || String::from_utf8_lossy(&input).into_owned();
            let answered =
                answered.with_context(|| format!("seed {seed}, input {number}: {}", shown()))?;
            judge(&answered)
                .with_context(|| format!("seed {seed}, input {number}: {}", shown()))?;
            Ok::<_, anyhow::Error>(answered)
        });
    }
    let (mut statuses, mut longest) = (Vec::new(), Duration::ZERO);
    while let Some(answered) = inputs.join_next().await {
        let answered = answered??;
        statuses.push(answered.statuses.first().copied().unwrap_or_default());
        longest = longest.max(answered.took);
    }
    Ok((statuses, longest))
}

/// A fault of ours is answered only with a decision that is in the record.
fn judge(answer: &Answer) -> anyhow::Result<()> {
    if answer.statuses.iter().any(|status| *status >= 500) {
        ensure!(
            answer.text.contains("\"decision_id\""),
            "a fault without a record: {}",
            answer.text
        );
    }
    Ok(())
}

/// What was executed is within token and intent, each with a record of its own.
async fn nothing_let_through(system: &System) -> anyhow::Result<()> {
    let executed = system.upstream.journal.all();
    for call in &executed {
        let amount = call.arguments["amount"].as_u64();
        ensure!(
            call.tool == "work" && amount.is_some_and(|amount| amount <= AMOUNT_MAX),
            "let through: {call:?}"
        );
    }
    oracle::settled(&system.cluster, Duration::from_secs(120)).await?;
    let events = oracle::events(&system.cluster).await?;
    let allowed = events.iter().filter(|event| event["kind"] == "authorized");
    let allowed = allowed.count();
    ensure!(
        executed.len() <= allowed,
        "{} calls executed, {allowed} allowed",
        executed.len()
    );
    Ok(())
}

/// Good requests of every kind, two of which do something.
fn corpus(system: &System) -> Vec<String> {
    let work = json!({ "id": "m", "amount": 1 });
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}, "progressToken": "p",
    });
    let rpc = |id: Value, method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
    let modern =
        |method: &str| format!("mcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\n");
    let call = json!({ "name": "work", "arguments": work, "_meta": meta });
    let initialize = json!({
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "m", "version": "1" },
    });
    let evaluation = json!({
        "subject": { "type": "agent", "id": "worker" }, "action": { "name": "call" },
        "resource": { "type": "tool", "id": "worker/work", "properties": { "arguments": work } },
    });
    let of_tool = |name: &str| format!("{}mcp-name: {name}\r\n", modern("tools/call"));
    let listen = json!({ "notifications": { "toolsListChanged": "x" }, "_meta": {} });
    [
        (
            "/v1/tool-call",
            String::new(),
            json!({ "tool": "worker/work", "arguments": work }),
        ),
        (
            "/v1/tool-call",
            String::new(),
            json!({ "tool": "worker/danger", "arguments": work }),
        ),
        (
            "/v1/mcp/worker",
            of_tool("work"),
            rpc(json!(1), "tools/call", call.clone()),
        ),
        (
            "/v1/mcp",
            of_tool("worker__work"),
            rpc(json!("a"), "tools/call", call),
        ),
        (
            "/v1/mcp",
            modern("tools/list"),
            rpc(json!(2), "tools/list", json!({ "_meta": meta })),
        ),
        (
            "/v1/mcp",
            modern("subscriptions/listen"),
            rpc(json!(3), "subscriptions/listen", listen),
        ),
        (
            "/v1/mcp",
            String::new(),
            rpc(json!(4), "initialize", initialize),
        ),
        (
            "/v1/mcp",
            String::new(),
            json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        ),
        (
            "/v1/mcp",
            "mcp-session-id: 0190\r\n".to_owned(),
            rpc(json!(5), "tools/list", json!({})),
        ),
        ("/access/v1/evaluation", String::new(), evaluation.clone()),
        (
            "/access/v1/evaluations",
            String::new(),
            json!({ "evaluations": [evaluation] }),
        ),
        (
            "/v1/llm/none/chat/completions",
            String::new(),
            json!({ "model": "m", "messages": [] }),
        ),
        ("/v1/memory/search", String::new(), json!({ "query": "x" })),
        ("/v1/token", String::new(), json!({ "grant_type": "x" })),
    ]
    .into_iter()
    .map(|(path, lines, body)| {
        let body = body.to_string();
        format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\
             accept: application/json, text/event-stream\r\ncontent-type: application/json\r\n\
             {lines}content-length: {}\r\n\r\n{body}",
            system.edge,
            system.token,
            body.len()
        )
    })
    .collect()
}

/// Numbers that a seed makes.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = mix(self.0, 1);
        let most = u64::try_from(most.max(1)).unwrap_or(1);
        usize::try_from(self.0 % most).unwrap_or_default()
    }

    fn choose<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }
}

/// What has been trouble somewhere, for heads and for bodies.
const HEADS: [&str; 22] = [
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    "\r\n ",
    "content-length: 0\r\n",
    "Content-Length: 99999999999999999999\r\n",
    "content-length: -1\r\n",
    "transfer-encoding: chunked\r\n",
    "Transfer-Encoding: identity, chunked\r\n",
    "upgrade: h2c\r\n",
    "expect: 100-continue\r\n",
    "content-encoding: gzip\r\n",
    "authorization: Bearer pct_x\r\n",
    "host: evil.example\r\n",
    "HTTP/1.0",
    "/../",
    "%2f",
    "//",
    "\u{f6}\u{200b}",
];
const BODIES: [&str; 24] = [
    "\0",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "{",
    "[",
    "]",
    "}",
    "\"",
    ",",
    "\"tool\":\"worker/danger\",",
    "\"Tool\":\"worker/danger\",",
    "\"\\u0074ool\":\"worker/danger\",",
    "\"name\":\"danger\",",
    "\"amount\":101,",
    "\"amount\":1e2,",
    "\"AMOUNT\":1,",
    "1e999",
    "-0",
    "9007199254740993",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "null",
    "//",
    "NaN",
];

/// A request that is not whole any more.
fn broken(request: &str, dice: &mut Dice) -> Vec<u8> {
    let (head, body) = request.split_once("\r\n\r\n").unwrap_or((request, ""));
    if dice.below(3) == 0 {
        let mut head = head.as_bytes().to_vec();
        for _ in 0..=dice.below(3) {
            mutate(&mut head, &HEADS, dice);
        }
        head.extend_from_slice(b"\r\n\r\n");
        head.extend_from_slice(body.as_bytes());
        return head;
    }
    let mut broken = body.as_bytes().to_vec();
    for _ in 0..=dice.below(3) {
        mutate(&mut broken, &BODIES, dice);
    }
    // Mostly with its right length, so that the body is what is read.
    let head = match dice.below(8) {
        0 => head.to_owned(),
        _ => head.replace(
            &format!("content-length: {}", body.len()),
            &format!("content-length: {}", broken.len()),
        ),
    };
    let mut whole = head.into_bytes();
    whole.extend_from_slice(b"\r\n\r\n");
    whole.extend_from_slice(&broken);
    whole
}

fn mutate(bytes: &mut Vec<u8>, words: &[&str], dice: &mut Dice) {
    let at = dice.below(bytes.len().saturating_add(1));
    let length = dice.below(40).min(bytes.len().saturating_sub(at));
    let end = at.saturating_add(length);
    match dice.below(7) {
        0 => bytes.truncate(at),
        1 => {
            let piece: Vec<u8> = bytes.get(at..end).unwrap_or_default().to_vec();
            bytes.splice(at..at, piece);
        }
        2 => {
            bytes.drain(at..end);
        }
        3 | 4 => {
            let word = dice.choose(words).copied().unwrap_or_default();
            bytes.splice(at..at, word.bytes());
        }
        _ => {
            for _ in 0..=dice.below(4) {
                let (at, bit) = (dice.below(bytes.len()), dice.below(8));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
        }
    }
}

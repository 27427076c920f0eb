//! What the edge adds to each event of a provider's stream, next to a plain proxy, in turns. Each is a process of its own.
//!
//! An event's delay is the time from when the stand-in provider writes a piece to when the client reads what that piece
//! sets free. The stand-in pauses between pieces, so that each arrival has one piece that caused it: text that waits in the
//! filter for more is not counted as slow, and the longest wait is told in pieces.

use crate::bench;
use crate::cluster::{Cluster, Options};
use crate::load::{allow_all, digest, in_secs};
use crate::provider::{PROVIDER_KEY, Provider};
use anyhow::Context;
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

/// Pause before each piece.
const PAUSE: Duration = Duration::from_millis(2);
const AGENT: &str = "writer";

/// Measures; returns a table for people.
///
/// # Errors
/// If something does not start.
pub async fn run(rounds: usize) -> anyhow::Result<String> {
    let provider = Provider::start(PAUSE).await?;
    let cluster = Cluster::start(Options {
        settings: json!({ "intent": "when_declared" }),
        durable: true,
        ..Options::default()
    })
    .await?;
    let token = prepare(&cluster, &provider).await?;
    let to = provider.url.strip_prefix("http://").context("its host")?;
    let (_proxy, proxy) = bench::own(&["proxy", "--to", to]).await?;
    let proxy = format!("http://{proxy}/v1");
    let edge = format!("{}/v1/llm/stand-in", cluster.edge_url);
    let (mut plain, mut through) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        plain.extend(delays(&provider, &proxy, PROVIDER_KEY).await?);
        through.extend(delays(&provider, &edge, &token).await?);
    }
    cluster.stop().await;
    let (plain, through) = (Quantiles::of(plain)?, Quantiles::of(through)?);
    Ok(format!(
        "{:<14}{:>10}{:>10}{:>10}{:>8}\n{}\n{}\nadded at p50 {:.3} ms, at p99 {:.3} ms\n",
        "",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "events",
        plain.row("plain proxy"),
        through.row("edge"),
        through.p50 - plain.p50,
        through.p99 - plain.p99,
    ))
}

struct Quantiles {
    p50: f64,
    p90: f64,
    p99: f64,
    count: usize,
}

impl Quantiles {
    fn of(mut delays: Vec<Duration>) -> anyhow::Result<Self> {
        delays.sort_unstable();
        let at = |share: usize| {
            let delay = delays.get(delays.len() * share / 100);
            delay
                .map(|delay| delay.as_secs_f64() * 1000.0)
                .context("no event")
        };
        Ok(Self {
            p50: at(50)?,
            p90: at(90)?,
            p99: at(99)?,
            count: delays.len(),
        })
    }

    fn row(&self, name: &str) -> String {
        format!(
            "{name:<14}{:>10.3}{:>10.3}{:>10.3}{:>8}",
            self.p50, self.p90, self.p99, self.count
        )
    }
}

/// One stream: each arrival's delay from the piece before it.
async fn delays(provider: &Provider, base: &str, key: &str) -> anyhow::Result<Vec<Duration>> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let text = "the committee met in the afternoon and went on with its work ".repeat(20);
    let body = json!({ "model": "echo", "stream": true, "messages": [{ "role": "user", "content": text }] });
    let already = provider.written().len();
    let request = http
        .post(format!("{base}/chat/completions"))
        .bearer_auth(key);
    let mut response = request.json(&body).send().await?.error_for_status()?;
    let mut arrivals = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if !chunk.is_empty() {
            arrivals.push(Instant::now());
        }
    }
    let written = provider.written();
    let written = written.get(already..).unwrap_or_default();
    let delay = |arrival: &Instant| {
        let cause = written.iter().rev().find(|at| *at <= arrival)?;
        Some(arrival.duration_since(*cause))
    };
    // The first and the last come with the beginning and the end of the answer.
    let count = arrivals.len().saturating_sub(4);
    Ok(arrivals
        .iter()
        .skip(2)
        .take(count)
        .filter_map(delay)
        .collect())
}

async fn prepare(cluster: &Cluster, provider: &Provider) -> anyhow::Result<String> {
    let host = provider.url.strip_prefix("http://").context("its host")?;
    let secret = json!({ "hosts": [host], "value": PROVIDER_KEY });
    cluster
        .acme(Method::PUT, "secrets/stand-in", Some(secret))
        .await?;
    let definition = json!({ "name": "stand-in/echo", "input_schema": { "type": "object" } });
    let pinned = json!({ "name": "stand-in/echo", "inputSchema": { "type": "object" } });
    let model = json!({ "definition": definition, "definition_digest": digest(&pinned), "verb": "read", "consequential": [], "llm": {} });
    let auth = json!({ "kind": "header", "prefix": "Bearer ", "secret": "stand-in" });
    let provider = json!({ "dialect": "openai", "url": format!("{}/v1", provider.url), "auth": auth, "private_addresses": true });
    let server = json!({ "upstream": { "kind": "llm", "providers": { "stand-in": provider } }, "tools": [model] });
    cluster
        .acme(Method::PUT, "tool-servers/llm", Some(server))
        .await?;
    allow_all(cluster).await?;
    let agent = format!("agents/{AGENT}");
    cluster.acme(Method::PUT, &agent, Some(json!({}))).await?;
    let caveats = json!([format!("time < {}", in_secs(3600)?), "tool in llm/*"]);
    let body = json!({ "agent": AGENT, "caveats": caveats });
    let minted = cluster.acme(Method::POST, "tokens", Some(body)).await?;
    let token = minted["token"].as_str().context("the token")?.to_owned();
    let prompt = json!({ "model": "echo", "messages": [{ "role": "user", "content": "x" }] });
    cluster
        .wait_allowed(&token, AGENT, "llm/stand-in/echo", prompt)
        .await?;
    Ok(token)
}

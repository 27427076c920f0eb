//! Clients that call through the edge, and note what each call was told.

use crate::cluster::{Cluster, proctor_binary};
use crate::upstream::Upstream;
use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use time::format_description::well_known::Rfc3339;
use tokio_util::sync::CancellationToken;

/// The agent of all calls.
pub const AGENT: &str = "worker";
/// The largest amount that the intent allows.
pub const AMOUNT_MAX: u64 = 100;

/// What a client was told about a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// It was done.
    Done {
        /// The decision.
        decision_id: String,
    },
    /// It was refused.
    Refused {
        /// The decision, if there was one.
        decision_id: Option<String>,
        /// Why.
        reason: String,
    },
    /// The connection broke: nobody knows.
    Nothing,
}

/// A call as its client saw it.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its number, also its `id` argument.
    pub id: u64,
    /// The tool.
    pub tool: &'static str,
    /// The amount asked for.
    pub amount: u64,
    /// What came of it.
    pub told: Told,
}

impl Call {
    /// Whether the token and the intent allow it.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.tool == "work" && self.amount <= AMOUNT_MAX
    }

    /// W3C trace id of the request: how its events are found.
    #[must_use]
    pub fn trace_id(&self) -> String {
        trace_id(self.id)
    }

    /// The arguments.
    #[must_use]
    pub fn arguments(&self) -> Value {
        json!({ "id": self.id.to_string(), "amount": self.amount })
    }
}

fn trace_id(id: u64) -> String {
    format!("{:032x}", u128::from(id) + 1)
}

/// Registers the worker's tools, a policy, an intent and a token; returns the token.
///
/// # Errors
/// If the admin API refuses, or the edge does not come to allow a call.
pub async fn prepare(cluster: &Cluster, upstream: &Upstream) -> anyhow::Result<String> {
    cluster
        .acme(Method::PUT, &format!("agents/{AGENT}"), Some(json!({})))
        .await?;
    register(cluster, upstream).await?;
    allow_all(cluster).await?;
    let token = token(cluster, &[]).await?;
    let arguments = json!({ "id": "first", "amount": 1 });
    cluster
        .wait_allowed(&token, AGENT, "worker/work", arguments)
        .await?;
    Ok(token)
}

/// A policy that allows everything: what is under test are the other controls.
///
/// # Errors
/// If the admin API refuses.
pub async fn allow_all(cluster: &Cluster) -> anyhow::Result<()> {
    allow_all_of(cluster, "acme").await
}

/// The same policy for another tenant.
///
/// # Errors
/// If the admin API refuses.
pub async fn allow_all_of(cluster: &Cluster, tenant: &str) -> anyhow::Result<()> {
    let source = "package proctor.policy\n\ndecision := {\"effect\": \"allow\", \"reasons\": []}\n";
    let policy = json!({ "modules": [{ "name": "allow.rego", "source": source }] });
    let path = format!("/v1/tenants/{tenant}/policies/allow");
    let version = cluster.api(Method::PUT, &path, Some(policy)).await?["version"].clone();
    let activate = format!("{path}/versions/{version}/activate");
    let mode = json!({ "mode": "enforce" });
    cluster.api(Method::POST, &activate, Some(mode)).await?;
    Ok(())
}

/// An RFC 3339 time so many seconds from now.
///
/// # Errors
/// If the clock is out of range.
pub fn in_secs(secs: u64) -> anyhow::Result<String> {
    Ok((time::UtcDateTime::now() + Duration::from_secs(secs)).format(&Rfc3339)?)
}

/// Registers the worker with its tools as they are now, all approved.
///
/// # Errors
/// If the admin API refuses.
pub async fn register(cluster: &Cluster, upstream: &Upstream) -> anyhow::Result<()> {
    let entry = |tool: &Value| {
        let definition = json!({
            "name": tool["name"], "description": tool["description"], "input_schema": tool["inputSchema"],
        });
        json!({
            "definition": definition, "definition_digest": digest(tool),
            // The worker's ids say nothing about whom it touches.
            "consequential": [],
        })
    };
    let tools: Vec<Value> = upstream.definitions().iter().map(entry).collect();
    let server = json!({ "upstream": { "kind": "mcp-http", "url": upstream.url }, "tools": tools });
    cluster
        .acme(Method::PUT, "tool-servers/worker", Some(server))
        .await?;
    Ok(())
}

/// `sha256:` and the SHA-256 of a definition as a client sees it, in canonical JSON (RFC 8785).
pub fn digest(value: &Value) -> String {
    use sha2::{Digest, Sha256};
    let bytes = serde_json_canonicalizer::to_vec(value).unwrap_or_default();
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// A token with one caveat more, as its holder makes it: by the command line tool, offline.
///
/// # Errors
/// If the tool refuses.
pub async fn attenuate(token: &str, caveat: &str) -> anyhow::Result<String> {
    let output = tokio::process::Command::new(proctor_binary()?)
        .args(["token", "attenuate", token, "--caveat", caveat])
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "no narrower token: {said}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// An intent and a token bound to it, with more caveats.
///
/// # Errors
/// If the admin API refuses.
pub async fn token(cluster: &Cluster, caveats: &[String]) -> anyhow::Result<String> {
    let intent = json!({
        "agent": AGENT, "goal": "Do the work", "expires_in_s": 3600,
        "actions": [{ "tool": "worker/work", "args": { "properties": { "amount": { "maximum": AMOUNT_MAX } } } }],
    });
    let intent = cluster.acme(Method::POST, "intents", Some(intent)).await?;
    let mut all = vec![
        format!("time < {}", in_secs(3600)?),
        "tool in worker/work".to_owned(),
        format!(
            "intent = {}",
            intent["id"].as_str().context("the intent's id")?
        ),
    ];
    all.extend_from_slice(caveats);
    let minted = cluster
        .acme(
            Method::POST,
            "tokens",
            Some(json!({ "agent": AGENT, "caveats": all })),
        )
        .await?;
    Ok(minted["token"].as_str().context("the token")?.to_owned())
}

/// A load under way.
pub struct Load {
    calls: Arc<Mutex<Vec<Call>>>,
    stop: CancellationToken,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    /// So many clients, each one call after the other, good and bad ones mixed by `seed`.
    ///
    /// # Errors
    /// If there is no HTTP client.
    pub fn start(edge_url: &str, token: &str, clients: usize, seed: u64) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()?;
        let (calls, stop, next) = (
            Arc::default(),
            CancellationToken::new(),
            Arc::new(AtomicU64::new(0)),
        );
        let client = |_| {
            tokio::spawn(client(
                http.clone(),
                format!("{edge_url}/v1/tool-call"),
                token.to_owned(),
                Arc::clone(&calls),
                Arc::clone(&next),
                stop.clone(),
                seed,
            ))
        };
        Ok(Self {
            clients: (0..clients).map(client).collect(),
            calls,
            stop,
        })
    }

    /// Calls that are over.
    #[must_use]
    pub fn count(&self) -> usize {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// What the last call was told.
    fn last(&self) -> Option<Told> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.last().map(|call| call.told.clone())
    }

    /// Calls that were done.
    #[must_use]
    pub fn done(&self) -> usize {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls
            .iter()
            .filter(|call| matches!(call.told, Told::Done { .. }))
            .count()
    }

    /// Calls that were refused for this reason.
    #[must_use]
    pub fn refused(&self, reason: &str) -> usize {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = |call: &&Call| matches!(&call.told, Told::Refused { reason: told, .. } if told == reason);
        calls.iter().filter(refused).count()
    }

    /// Waits until so many more calls were done.
    ///
    /// # Errors
    /// If that takes longer than `patience`.
    pub async fn wait_done(&self, more: usize, patience: Duration) -> anyhow::Result<()> {
        let goal = self.done() + more;
        let waited = tokio::time::timeout(patience, async {
            while self.done() < goal {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.with_context(|| {
            format!(
                "only {} of {goal} calls were done; {} in all; the last one: {:?}",
                self.done(),
                self.count(),
                self.last()
            )
        })
    }

    /// Waits until a call was refused for this reason.
    ///
    /// # Errors
    /// If that takes longer than `patience`.
    pub async fn wait_refused(&self, reason: &str, patience: Duration) -> anyhow::Result<()> {
        let waited = tokio::time::timeout(patience, async {
            while self.refused(reason) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited
            .await
            .with_context(|| format!("no call was refused with {reason}"))
    }

    /// Ends the clients and gives their notes.
    pub async fn end(self) -> Vec<Call> {
        self.stop.cancel();
        for client in self.clients {
            // A client that panicked has no more notes.
            let _ = client.await;
        }
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut calls)
    }
}

/// A small generator, so that a seed gives the same calls: splitmix64.
pub fn mix(seed: u64, number: u64) -> u64 {
    let mut z = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

async fn client(
    http: reqwest::Client,
    url: String,
    token: String,
    calls: Arc<Mutex<Vec<Call>>>,
    next: Arc<AtomicU64>,
    stop: CancellationToken,
    seed: u64,
) {
    while !stop.is_cancelled() {
        let id = next.fetch_add(1, Ordering::Relaxed);
        let random = mix(seed, id);
        let (tool, amount) = match random % 5 {
            0 => ("danger", 1),
            1 => ("work", AMOUNT_MAX + 1 + random % 1000),
            _ => ("work", random % (AMOUNT_MAX + 1)),
        };
        let mut call = Call {
            id,
            tool,
            amount,
            told: Told::Nothing,
        };
        let body = json!({ "tool": format!("worker/{tool}"), "arguments": call.arguments() });
        let request = http
            .post(&url)
            .bearer_auth(&token)
            .header(
                "traceparent",
                format!("00-{}-0000000000000001-00", trace_id(id)),
            )
            .json(&body);
        call.told = tell(request.send().await).await;
        let quiet = matches!(call.told, Told::Nothing);
        calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(call);
        if quiet {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn tell(response: Result<reqwest::Response, reqwest::Error>) -> Told {
    let Ok(response) = response else {
        return Told::Nothing;
    };
    let Ok(body) = response.json::<Value>().await else {
        return Told::Nothing;
    };
    let text = |pointer: &str| {
        body.pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    if let Some(decision_id) = text("/result/_meta/dev.proctor~1decision/decision_id") {
        return Told::Done { decision_id };
    }
    match text("/error/data/reason") {
        Some(reason) => Told::Refused {
            decision_id: text("/error/data/decision_id"),
            reason,
        },
        None => Told::Nothing,
    }
}

//! D20: input that is small to send and large to read, from clients and from tool servers: nesting, numbers, keys, keys
//! that are alike, compressed nothing. The edge refuses each with little time and little memory.

use super::{System, cpu};
use crate::cluster::Options;
use crate::load::{AGENT, digest, in_secs};
use anyhow::{Context, ensure};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use nix::unistd::Pid;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// How much one may cost.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Processor time for each kB.
    pub cpu_per_kb: Duration,
    /// How often each is sent, one after the other.
    pub times: u32,
}

/// What one cost.
#[derive(Clone, Debug)]
pub struct Cost {
    /// Which.
    pub bomb: String,
    /// Its size as it is sent, in kB.
    pub kb: u32,
    /// Processor time for each.
    pub cpu: Duration,
    /// What the edge's memory had grown by at its highest, this one and those before it, in kB.
    pub peak_kb: u32,
    /// What it was refused for, `closed` or `passed`.
    pub reason: String,
}

/// Largest body that the edge takes.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Most that the edge's memory may grow by what a client sends, in kB.
const CLIENT_KB_MAX: u32 = 32 * 1024;
/// And by an answer of a tool server that was registered: it is taken up to the limits of its tool and 131,072 values, and is
/// there several times while it is judged.
const SERVER_KB_MAX: u32 = 96 * 1024;

/// Runs it.
///
/// # Errors
/// Says which was not refused, or cost too much.
pub async fn run(plan: Plan) -> anyhow::Result<Vec<Cost>> {
    let system = System::start(Options {
        settings: json!({ "intent": "when_declared" }),
        ..Options::default()
    })
    .await?;
    let costs = all(&system, plan).await;
    let whole = system.is_whole().await;
    system.cluster.stop().await;
    let costs = costs?;
    whole?;
    for cost in &costs {
        let most = plan.cpu_per_kb.saturating_mul(cost.kb.max(10));
        ensure!(cost.cpu <= most, "too much time: {cost:?}");
    }
    Ok(costs)
}

async fn all(system: &System, plan: Plan) -> anyhow::Result<Vec<Cost>> {
    let bombs = bombs()?;
    let token = serve(system, bombs.clone()).await?;
    let client = Client {
        http: reqwest::Client::builder().no_proxy().build()?,
        url: format!("{}/v1/tool-call", system.cluster.edge_url),
        pid: system.pid()?,
        before: highest_kb(system.pid()?)?,
        plan,
    };
    let mut costs = Vec::new();
    let mut names: Vec<&String> = bombs.keys().collect();
    names.sort();
    // Clients first: what is told is the highest so far, and servers may take more.
    for name in &names {
        let bomb = bombs.get(*name).context("a bomb")?;
        let token = &system.token;
        let mut sent = Sent::from(token, format!("from a client: {name}"));
        sent.encoded = bomb.encoded;
        sent.body = match bomb.encoded {
            true => bomb.bytes.clone(),
            // As the arguments of a call.
            false => {
                let text = std::str::from_utf8(&bomb.bytes)?;
                format!(r#"{{"tool":"worker/work","arguments":{text}}}"#).into()
            }
        };
        let cost = client.cost(sent, bomb.bytes.len()).await?;
        ensure!(cost.peak_kb < CLIENT_KB_MAX, "too much memory: {cost:?}");
        costs.push(cost);
    }
    for name in &names {
        let bomb = bombs.get(*name).context("a bomb")?;
        let call = json!({ "tool": "bomber/drop", "arguments": { "bomb": name } });
        let sent = Sent {
            body: call.to_string().into(),
            ..Sent::from(&token, format!("from a server: {name}"))
        };
        let cost = client.cost(sent, bomb.bytes.len()).await?;
        ensure!(cost.peak_kb < SERVER_KB_MAX, "too much memory: {cost:?}");
        costs.push(cost);
    }
    Ok(costs)
}

struct Sent {
    name: String,
    token: String,
    body: Bytes,
    encoded: bool,
}

impl Sent {
    fn from(token: &str, name: String) -> Self {
        Self {
            name,
            token: token.to_owned(),
            body: Bytes::new(),
            encoded: false,
        }
    }
}

struct Client {
    http: reqwest::Client,
    url: String,
    pid: Pid,
    /// The most memory that the edge had before the first.
    before: u32,
    plan: Plan,
}

impl Client {
    async fn cost(&self, sent: Sent, bytes: usize) -> anyhow::Result<Cost> {
        let mut reason = self.refused(&sent).await?;
        let began = cpu(self.pid)?;
        for _ in 0..self.plan.times {
            reason = self.refused(&sent).await?;
        }
        let took = cpu(self.pid)?.saturating_sub(began);
        Ok(Cost {
            bomb: sent.name,
            kb: u32::try_from(bytes / 1024)?,
            cpu: took / self.plan.times.max(1),
            peak_kb: highest_kb(self.pid)?.saturating_sub(self.before),
            reason,
        })
    }

    /// Sends one; what it is refused for, or that it passed.
    async fn refused(&self, sent: &Sent) -> anyhow::Result<String> {
        let mut request = self
            .http
            .post(&self.url)
            .bearer_auth(&sent.token)
            .header("content-type", "application/json")
            .body(sent.body.clone());
        if sent.encoded {
            request = request.header("content-encoding", "gzip");
        }
        let answer: Value = match request.send().await {
            Ok(answer) => answer.json().await?,
            // Of a body that is too large the edge does not wait for the end: who is still writing may not hear why.
            Err(_) if sent.body.len() > BODY_BYTES_MAX => return Ok("closed".to_owned()),
            Err(error) => return Err(error).context(sent.name.clone()),
        };
        let data = &answer["error"]["data"];
        let reason = data["reason"]
            .as_str()
            .or(answer["error"]["message"].as_str());
        if let Some(reason) = reason {
            return Ok(reason.to_owned());
        }
        // A server's number with many digits is a number, and its long list a list.
        ensure!(
            sent.name.starts_with("from a server"),
            "{} was not refused",
            sent.name
        );
        Ok("passed".to_owned())
    }
}

/// The most memory that a process ever had.
pub(super) fn highest_kb(pid: Pid) -> anyhow::Result<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kb.context("its highest resident set")?.parse()?)
}

#[derive(Clone)]
struct Bomb {
    bytes: Bytes,
    /// With `Content-Encoding: gzip`.
    encoded: bool,
}

fn bombs() -> anyhow::Result<HashMap<String, Bomb>> {
    let nested = 1_000_000;
    let keys = |count: usize, name: fn(usize) -> String| {
        let mut text = String::from("{");
        for number in 0..count {
            let comma = if number == 0 { "" } else { "," };
            // Writing to a string does not fail.
            let _ = write!(text, "{comma}\"{}\":1", name(number));
        }
        text.push('}');
        text
    };
    // Equal under the hash of Java and of many after it: `Aa` and `BB`.
    let alike = |number: usize| {
        let bit = |place: usize| if number >> place & 1 == 0 { "Aa" } else { "BB" };
        (0..17).map(bit).collect::<String>()
    };
    let number = |digits: &str| format!(r#"{{"n":{digits}}}"#);
    let texts = [
        (
            "nesting",
            format!(
                r#"{{"n":{}{}}}"#,
                "[".repeat(nested / 2),
                "]".repeat(nested / 2)
            ),
        ),
        ("open nesting", format!(r#"{{"n":{}"#, "[".repeat(nested))),
        (
            "nested objects",
            format!(r#"{{"n":{}"#, r#"{"a":"#.repeat(nested / 5)),
        ),
        ("a long integer", number(&"9".repeat(nested))),
        (
            "a long fraction",
            number(&format!("0.{}", "1".repeat(nested))),
        ),
        ("a large exponent", number("1e1000000000")),
        ("keys", keys(1_000_000, |number| format!("k{number}"))),
        ("fewer keys", keys(80_000, |number| format!("k{number}"))),
        ("keys that are alike", keys(25_000, alike)),
        ("one key", keys(100_000, |_| "k".to_owned())),
        (
            "keys that begin alike",
            keys(900, |number| format!("{}{number}", "k".repeat(1_000))),
        ),
        (
            "escapes",
            format!(r#"{{"n":"{}\ud800"}}"#, r"\u0041".repeat(150_000)),
        ),
        (
            "fewer empty values",
            format!(r#"{{"n":[{}0]}}"#, "0,".repeat(120_000)),
        ),
        (
            "empty values",
            format!(r#"{{"n":[{}0]}}"#, "0,".repeat(400_000)),
        ),
    ];
    let plain = texts.into_iter().map(|(name, text)| {
        let bytes = Bytes::from(text);
        (
            name.to_owned(),
            Bomb {
                bytes,
                encoded: false,
            },
        )
    });
    let mut bombs: HashMap<String, Bomb> = plain.collect();
    let zeros = std::process::Command::new("sh")
        .args(["-c", "head -c 268435456 /dev/zero | gzip -9"])
        .output()?;
    ensure!(zeros.status.success(), "gzip is absent");
    bombs.insert(
        "compressed".to_owned(),
        Bomb {
            bytes: zeros.stdout.into(),
            encoded: true,
        },
    );
    Ok(bombs)
}

/// A tool server that answers with bombs; a token for it.
async fn serve(system: &System, bombs: HashMap<String, Bomb>) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    let router = Router::new()
        .route("/mcp", axum::routing::post(answer))
        .with_state(Arc::new(bombs));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let tool = tool();
    let definition = json!({
        "name": tool["name"], "description": tool["description"], "input_schema": tool["inputSchema"],
    });
    let entry = json!({ "definition": definition, "definition_digest": digest(&tool) });
    let server = json!({ "upstream": { "kind": "mcp-http", "url": url }, "tools": [entry] });
    let cluster = &system.cluster;
    cluster
        .acme(Method::PUT, "tool-servers/bomber", Some(server))
        .await?;
    let caveats = [
        format!("time < {}", in_secs(3600)?),
        "tool in bomber/*".to_owned(),
    ];
    let asked = json!({ "agent": AGENT, "caveats": caveats });
    let minted = cluster.acme(Method::POST, "tokens", Some(asked)).await?;
    let token = minted["token"].as_str().context("the token")?.to_owned();
    cluster
        .wait_allowed(&token, AGENT, "bomber/drop", json!({ "bomb": "x" }))
        .await?;
    Ok(token)
}

fn tool() -> Value {
    json!({ "name": "drop", "description": "Drops it", "inputSchema": { "type": "object" } })
}

async fn answer(
    State(bombs): State<Arc<HashMap<String, Bomb>>>,
    Json(request): Json<Value>,
) -> Response {
    let id = &request["id"];
    let result = match request["method"].as_str() {
        Some("initialize") => json!({
            "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
            "serverInfo": { "name": "bomber", "version": "1" },
        }),
        Some("tools/list") => json!({ "tools": [tool()] }),
        Some("tools/call") => {
            let name = request["params"]["arguments"]["bomb"].as_str();
            let Some(bomb) = name.and_then(|name| bombs.get(name)) else {
                return axum::http::StatusCode::NOT_FOUND.into_response();
            };
            let mut headers = HeaderMap::new();
            let json = axum::http::HeaderValue::from_static("application/json");
            headers.insert("content-type", json);
            if bomb.encoded {
                let gzip = axum::http::HeaderValue::from_static("gzip");
                headers.insert("content-encoding", gzip);
                return (headers, bomb.bytes.clone()).into_response();
            }
            let bytes = String::from_utf8_lossy(&bomb.bytes);
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[],"structuredContent":{bytes}}}}}"#
            );
            return (headers, body).into_response();
        }
        _ => json!({}),
    };
    Json(json!({ "jsonrpc": "2.0", "id": id, "result": result })).into_response()
}

//! D14: tool servers that are slow, that hang or break off in the middle of an answer, that send it a byte a second, that
//! answer what is none, too much, or for ever. Each call is refused for the right reason, the edge's memory stays bounded,
//! and calls to another server go on meanwhile.

use super::bombs::highest_kb;
use super::{System, Tail, slow};
use crate::cluster::Options;
use crate::load::{AGENT, digest, in_secs};
use crate::oracle;
use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// How much.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Calls of each faulty server, one after the other.
    pub calls: usize,
    /// Good calls of each client in a turn: one turn before, as many as there is time for meanwhile.
    pub good: usize,
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

/// How long a call may take.
const TIMEOUT_MS: u32 = 2_000;
/// Longer than that: who waits for so long was given up.
const LONG: Duration = Duration::from_secs(10);
/// What a server sends that sends too much.
const MUCH: usize = 100 * 1024 * 1024;
const PIECE: usize = 64 * 1024;
/// Most that the edge's memory may grow by all of them at once, in kB. Each answer may have 4 MiB.
const PEAK_KB_MAX: u32 = 64 * 1024;
/// Between two calls of a server that may be refused at once.
const PAUSE: Duration = Duration::from_millis(50);

/// What a server does with a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    Slow,
    /// Stops in the middle of the body.
    Hangs,
    /// A byte a second.
    Drips,
    Resets,
    /// Not even HTTP.
    Noise,
    /// HTTP, and no JSON.
    Garbage,
    /// A large body, and says so.
    Large,
    /// A large body without a length.
    Unmeasured,
    /// Events without end, as fast as they are taken.
    Events,
    /// Signs of life without end.
    Alive,
}

impl Fault {
    const ALL: [Self; 10] = [
        Self::Slow,
        Self::Hangs,
        Self::Drips,
        Self::Resets,
        Self::Noise,
        Self::Garbage,
        Self::Large,
        Self::Unmeasured,
        Self::Events,
        Self::Alive,
    ];

    /// Also the server's id, and its path.
    fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Hangs => "hangs",
            Self::Drips => "drips",
            Self::Resets => "resets",
            Self::Noise => "noise",
            Self::Garbage => "garbage",
            Self::Large => "large",
            Self::Unmeasured => "unmeasured",
            Self::Events => "events",
            Self::Alive => "alive",
        }
    }

    /// What a call is refused for.
    fn reason(self) -> &'static str {
        match self {
            Self::Slow | Self::Hangs | Self::Drips | Self::Alive => "output_timeout",
            Self::Resets | Self::Noise => "upstream_unavailable",
            Self::Garbage => "output_invalid",
            Self::Large | Self::Unmeasured | Self::Events => "output_too_large",
        }
    }

    /// Answers a call, badly.
    async fn play(self, stream: &mut TcpStream) -> std::io::Result<()> {
        const JSON: &str = "content-type: application/json\r\n";
        const EVENTS: &str = "content-type: text/event-stream\r\n";
        match self {
            Self::Slow | Self::Resets => tokio::time::sleep(LONG).await,
            Self::Hangs => {
                begin(stream, &format!("{JSON}content-length: 1000\r\n")).await?;
                stream.write_all(b"{\"jsonrpc\":").await?;
                tokio::time::sleep(LONG).await;
            }
            Self::Drips => {
                begin(stream, &format!("{JSON}content-length: 1000\r\n")).await?;
                repeat(stream, b" ", Duration::from_secs(1), 1_000).await?;
            }
            Self::Noise => stream.write_all(b"\x16\x03\x01 no HTTP\r\n\r\n").await?,
            Self::Garbage => {
                begin(stream, &format!("{JSON}content-length: 8\r\n")).await?;
                stream.write_all(b"{\"id\":\x00\xff").await?;
            }
            Self::Large => {
                begin(stream, &format!("{JSON}content-length: {MUCH}\r\n")).await?;
                repeat(stream, &[b' '; PIECE], Duration::ZERO, MUCH).await?;
            }
            Self::Unmeasured => {
                begin(stream, JSON).await?;
                repeat(stream, &[b' '; PIECE], Duration::ZERO, MUCH).await?;
            }
            Self::Events => {
                begin(stream, EVENTS).await?;
                let params = json!({ "more": "x".repeat(PIECE) });
                let note =
                    json!({ "jsonrpc": "2.0", "method": "notifications/odd", "params": params });
                let event = format!("data: {note}\n\n");
                repeat(stream, event.as_bytes(), Duration::ZERO, usize::MAX).await?;
            }
            Self::Alive => {
                begin(stream, EVENTS).await?;
                let pause = Duration::from_millis(100);
                repeat(stream, b": \n\n", pause, usize::MAX).await?;
            }
        }
        Ok(())
    }
}

async fn begin(stream: &mut TcpStream, lines: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{lines}\r\n");
    stream.write_all(head.as_bytes()).await
}

/// Sends the same again and again, until so many bytes are sent or nobody takes them any more.
async fn repeat(
    stream: &mut TcpStream,
    piece: &[u8],
    pause: Duration,
    bytes: usize,
) -> std::io::Result<()> {
    let mut sent = 0_usize;
    while sent < bytes {
        stream.write_all(piece).await?;
        sent = sent.saturating_add(piece.len());
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

/// Runs it.
///
/// # Errors
/// If a call is refused for another reason, or not at all, the edge takes too much memory, or it is not whole afterwards.
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
    Ok(report)
}

async fn attack(system: &System, plan: Plan) -> anyhow::Result<Report> {
    let token = serve(system).await?;
    slow::good(system, plan.good).await?;
    let quiet = slow::good(system, plan.good).await?;
    let before = highest_kb(system.pid()?)?;
    let mut callers = JoinSet::new();
    for fault in Fault::ALL {
        let client = Client {
            http: reqwest::Client::builder().no_proxy().build()?,
            url: format!("{}/v1/tool-call", system.cluster.edge_url),
            token: token.clone(),
        };
        callers.spawn(async move { client.calls(fault, plan.calls).await });
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
}

impl Client {
    /// Calls a faulty server; how often it was refused, and rightly.
    async fn calls(&self, fault: Fault, calls: usize) -> anyhow::Result<usize> {
        for number in 0..calls {
            let reason = self.call(fault).await?;
            // One that failed again and again is left alone for a while.
            let again = number > 0 && reason == "circuit_open";
            let right = reason == fault.reason() || again;
            ensure!(right, "{fault:?}, call {number}: {reason}");
            tokio::time::sleep(PAUSE).await;
        }
        Ok(calls)
    }

    async fn call(&self, fault: Fault) -> anyhow::Result<String> {
        let body = json!({ "tool": format!("{}/work", fault.name()), "arguments": {} });
        let request = self.http.post(&self.url).bearer_auth(&self.token);
        let answer: Value = request.json(&body).send().await?.json().await?;
        let reason = answer["error"]["data"]["reason"].as_str();
        let reason = reason.with_context(|| format!("{fault:?} was not refused"))?;
        Ok(reason.to_owned())
    }
}

fn tool() -> Value {
    json!({ "name": "work", "description": "Works", "inputSchema": { "type": "object" } })
}

/// Starts the servers, one for each fault, and registers them; a token for them.
async fn serve(system: &System) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Who calls goes away in the middle of most of it.
            tokio::spawn(async move { drop(answer(stream).await) });
        }
    });
    let cluster = &system.cluster;
    let tool = tool();
    let definition = json!({
        "name": tool["name"], "description": tool["description"], "input_schema": tool["inputSchema"],
    });
    let entry = json!({ "definition": definition, "definition_digest": digest(&tool) });
    for fault in Fault::ALL {
        let name = fault.name();
        let upstream = json!({ "kind": "mcp-http", "url": format!("http://{address}/{name}") });
        let server =
            json!({ "upstream": upstream, "timeout_ms": TIMEOUT_MS, "tools": [entry.clone()] });
        let path = format!("tool-servers/{name}");
        cluster.acme(Method::PUT, &path, Some(server)).await?;
    }
    let caveats = [
        format!("time < {}", in_secs(3600)?),
        "tool in */*".to_owned(),
    ];
    let asked = json!({ "agent": AGENT, "caveats": caveats });
    let minted = cluster.acme(Method::POST, "tokens", Some(asked)).await?;
    let token = minted["token"].as_str().context("the token")?.to_owned();
    for fault in Fault::ALL {
        let tool = format!("{}/work", fault.name());
        cluster
            .wait_allowed(&token, AGENT, &tool, json!({}))
            .await?;
    }
    Ok(token)
}

/// Answers one request on a connection: a call with the fault of its path, all else as it should be.
async fn answer(mut stream: TcpStream) -> anyhow::Result<()> {
    let head = head(&mut stream).await?;
    let path = head.split(' ').nth(1).unwrap_or_default();
    let fault = Fault::ALL
        .into_iter()
        .find(|fault| path.strip_prefix('/') == Some(fault.name()))
        .context("a path of ours")?;
    let is_call = field(&head, "mcp-method") == Some("tools/call");
    if is_call && fault == Fault::Resets {
        // A socket that is closed with something unread in it is reset.
        stream.readable().await?;
        return Ok(());
    }
    let length = field(&head, "content-length").context("a length")?;
    let mut body = vec![0; length.parse()?];
    stream.read_exact(&mut body).await?;
    if is_call {
        return Ok(fault.play(&mut stream).await?);
    }
    let request: Value = serde_json::from_slice(&body)?;
    let mut answer = json!({ "jsonrpc": "2.0", "id": request["id"] });
    match request["method"].as_str() {
        Some("server/discover") => {
            answer["result"] = json!({ "supportedVersions": ["2026-07-28"], "capabilities": {} });
        }
        Some("tools/list") => answer["result"] = json!({ "tools": [tool()] }),
        _ => answer["error"] = json!({ "code": -32601, "message": "no such method" }),
    }
    let answer = answer.to_string();
    let length = answer.len();
    let lines = format!("content-type: application/json\r\ncontent-length: {length}\r\n");
    begin(&mut stream, &lines).await?;
    stream.write_all(answer.as_bytes()).await?;
    Ok(())
}

/// The head of a request, and not a byte more.
async fn head(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < PIECE, "a head without end");
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(head)?)
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

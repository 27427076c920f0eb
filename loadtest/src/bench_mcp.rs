//! What MCP costs through the edge: a streamed answer next to a plain streaming proxy, the memory of streams on which
//! nothing happens, and how many connections the edge makes to a tool server for many calls.

mod server;

use crate::bench;
use crate::cluster::{Cluster, Options};
use crate::load::{allow_all, digest, in_secs};
use anyhow::{Context, ensure};
use nix::unistd::Pid;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use server::{Server, tools};
use std::fmt::{Display, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const AGENT: &str = "streamer";
/// Most that a streamed answer may take, as a multiple of the plain proxy's time.
const RATIO_MAX: f64 = 1.3;
/// Most memory for a stream on which nothing happens, in kB.
const IDLE_KB_MAX: f64 = 64.0;
/// Most new connections to the tool server for all calls.
const CONNECTIONS_MAX: usize = 100;
/// Streams of 2026-07-28 that one principal may have.
const LISTEN_MAX: usize = 16;
/// How long streams idle before the edge's memory is read: it authorizes each anew every second.
const IDLE: Duration = Duration::from_secs(5);

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Streamed answers through each of the two.
    pub rounds: usize,
    /// Events of each answer.
    pub events: usize,
    /// Streams that idle, of each kind.
    pub streams: usize,
    /// Calls, one new connection each at worst.
    pub calls: usize,
    /// Calls at once.
    pub in_flight: usize,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Report {
    plan: Plan,
    /// Streams whose server writes as fast as it can.
    pub full_speed: Pair,
    /// Streams whose server pauses for a millisecond after each event.
    pub paced: Pair,
    /// Memory of a `subscriptions/listen`, in kB.
    pub listen_kb: f64,
    /// Memory of a session of 2025-11-25 with its `GET` stream, in kB.
    pub session_kb: f64,
    /// Connections that the edge made for all calls.
    pub connections: usize,
}

/// Medians of the two.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    plain: Duration,
    edge: Duration,
}

impl Pair {
    /// The edge's time as a multiple of the proxy's.
    #[must_use]
    pub fn ratio(self) -> f64 {
        self.edge.as_secs_f64() / self.plain.as_secs_f64()
    }
}

impl Report {
    /// Whether everything is as good as it has to be.
    ///
    /// # Errors
    /// Says what is not.
    pub fn judge(&self) -> anyhow::Result<()> {
        for pair in [self.full_speed, self.paced] {
            ensure!(pair.ratio() <= RATIO_MAX, "a stream takes too long");
        }
        self.judge_resources()
    }

    /// The same for all that does not depend on how the binary was built.
    ///
    /// # Errors
    /// Says what is not.
    pub fn judge_resources(&self) -> anyhow::Result<()> {
        for kb in [self.listen_kb, self.session_kb] {
            ensure!(kb < IDLE_KB_MAX, "{kb:.1} kB for a stream that idles");
        }
        let connections = self.connections;
        ensure!(connections < CONNECTIONS_MAX, "{connections} connections");
        Ok(())
    }
}

impl Display for Report {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        let plan = &self.plan;
        let events = plan.events;
        writeln!(out, "| what | plain proxy | edge | | at most |")?;
        writeln!(out, "|---|---|---|---|---|")?;
        for (how, pair) in [
            ("as fast as it goes", self.full_speed),
            ("1 ms between two", self.paced),
        ] {
            writeln!(
                out,
                "| {events} events, {how} (median of {}) | {:.1?} | {:.1?} | {:.2} | {RATIO_MAX} |",
                plan.rounds,
                pair.plain,
                pair.edge,
                pair.ratio()
            )?;
        }
        for (what, kb) in [
            ("`subscriptions/listen`", self.listen_kb),
            ("session with its `GET` stream", self.session_kb),
        ] {
            let streams = plan.streams;
            writeln!(
                out,
                "| {streams} × {what}, idle | | {kb:.1} kB each | | {IDLE_KB_MAX} kB |"
            )?;
        }
        write!(
            out,
            "| {} calls, {} at once | | {} new connections | | {CONNECTIONS_MAX} |",
            plan.calls, plan.in_flight, self.connections
        )
    }
}

/// Measures.
///
/// # Errors
/// If something does not start, or answers wrongly.
pub async fn run(plan: Plan) -> anyhow::Result<Report> {
    let server = Server::start().await?;
    let to = server.address.to_string();
    let (_proxy, proxy) = bench::own(&["proxy", "--to", &to]).await?;
    let cluster = Cluster::start(Options {
        settings: json!({ "intent": "when_declared" }),
        durable: true,
        ..Options::default()
    })
    .await?;
    let edge = Endpoint {
        http: Client::builder()
            .no_proxy()
            .tcp_nodelay(true)
            .pool_max_idle_per_host(usize::MAX)
            .build()?,
        url: format!("{}/v1/mcp/bench", cluster.edge_url),
        token: prepare(&cluster, &server).await?,
    };
    let plain = Endpoint {
        url: format!("http://{proxy}/mcp"),
        ..edge.clone()
    };
    // First, and the second beside the first: an edge that did much has memory to give that was counted before.
    let pid = cluster.edge.pid().context("the edge runs")?;
    let (listeners, opened) = (
        principals(plan, &cluster, &edge).await?,
        AtomicUsize::new(0),
    );
    let listen = || {
        let at = opened.fetch_add(1, Ordering::Relaxed) / LISTEN_MAX;
        listeners[at].listen()
    };
    let (listen_kb, mut listening) = idle(plan, pid, listen).await?;
    let (session_kb, mut sessions) = idle(plan, pid, || edge.session()).await?;
    are_open(&mut listening).await?;
    are_open(&mut sessions).await?;
    drop((listening, sessions));
    let full_speed = streamed(plan, &plain, &edge, 0).await?;
    let paced = streamed(plan, &plain, &edge, 1).await?;
    let connections = calls(plan, &edge, &server).await?;
    cluster.stop().await;
    Ok(Report {
        plan,
        full_speed,
        paced,
        listen_kb,
        session_kb,
        connections,
    })
}

/// Registers the tools; returns a token for them.
async fn prepare(cluster: &Cluster, server: &Server) -> anyhow::Result<String> {
    let agent = format!("agents/{AGENT}");
    cluster.acme(Method::PUT, &agent, Some(json!({}))).await?;
    let entries = tools().map(|tool| {
        let definition = json!({
            "name": tool["name"], "description": tool["description"], "input_schema": tool["inputSchema"],
        });
        json!({ "definition": definition, "definition_digest": digest(&tool) })
    });
    let upstream = json!({ "kind": "mcp-http", "url": format!("http://{}/mcp", server.address) });
    let registered = json!({ "upstream": upstream, "tools": entries });
    cluster
        .acme(Method::PUT, "tool-servers/bench", Some(registered))
        .await?;
    allow_all(cluster).await?;
    let token = mint(cluster).await?;
    cluster
        .wait_allowed(&token, AGENT, "bench/echo", json!({ "text": "x" }))
        .await?;
    Ok(token)
}

async fn mint(cluster: &Cluster) -> anyhow::Result<String> {
    let caveats = [
        format!("time < {}", in_secs(3600)?),
        "tool in bench/*".to_owned(),
    ];
    let asked = json!({ "agent": AGENT, "caveats": caveats });
    let minted = cluster.acme(Method::POST, "tokens", Some(asked)).await?;
    Ok(minted["token"].as_str().context("the token")?.to_owned())
}

/// The same endpoint under as many tokens as all streams need, with the one that is opened before those that count.
async fn principals(
    plan: Plan,
    cluster: &Cluster,
    edge: &Endpoint,
) -> anyhow::Result<Vec<Endpoint>> {
    let streams = plan.streams.saturating_add(1);
    let mut principals = Vec::new();
    for _ in 0..streams.div_ceil(LISTEN_MAX) {
        principals.push(Endpoint {
            token: mint(cluster).await?,
            ..edge.clone()
        });
    }
    Ok(principals)
}

/// An MCP endpoint, and how it is asked.
#[derive(Clone)]
struct Endpoint {
    http: Client,
    url: String,
    token: String,
}

impl Endpoint {
    /// A request of 2026-07-28.
    async fn ask(&self, method: &str, name: &str, mut params: Value) -> anyhow::Result<Response> {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "bench", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": {},
            "progressToken": 1,
        });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut request = self.request(Method::POST, "2026-07-28").json(&body);
        request = request.header("mcp-method", method);
        if !name.is_empty() {
            request = request.header("mcp-name", name);
        }
        Ok(request.send().await?.error_for_status()?)
    }

    fn request(&self, method: Method, version: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, &self.url)
            .bearer_auth(&self.token)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", version)
    }

    async fn call(&self, tool: &str, arguments: Value) -> anyhow::Result<Response> {
        let params = json!({ "name": tool, "arguments": arguments });
        self.ask("tools/call", tool, params).await
    }

    /// How long it takes until all events of an answer are there.
    async fn stream(&self, events: usize, pause_ms: u64) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let arguments = json!({ "events": events, "pause_ms": pause_ms });
        let answer = self.call("stream", arguments).await?.bytes().await?;
        let took = began.elapsed();
        let text = std::str::from_utf8(&answer)?;
        let came = text.matches("\ndata: {").count();
        ensure!(came == events, "{came} events came");
        ensure!(text.contains("\"done\""), "there was no answer");
        Ok(took)
    }

    /// A stream of 2026-07-28 on which nothing happens; it has said that it is there.
    async fn listen(&self) -> anyhow::Result<Response> {
        let params = json!({ "notifications": { "toolsListChanged": true } });
        let mut stream = self.ask("subscriptions/listen", "", params).await?;
        let first = stream.chunk().await?.context("the stream ended")?;
        ensure!(
            first.windows(12).any(|part| part == b"acknowledged"),
            "no acknowledgement"
        );
        Ok(stream)
    }

    /// The stream of a session of 2025-11-25 on which nothing happens; it has said that it is there.
    async fn session(&self) -> anyhow::Result<Response> {
        let version = "2025-11-25";
        let client = json!({ "name": "bench", "version": "1" });
        let params =
            json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": client });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
        let opened = self.request(Method::POST, version).json(&body);
        let opened = opened.send().await?.error_for_status()?;
        let id = opened.headers().get("mcp-session-id").cloned();
        let id = id.context("a session")?;
        opened.bytes().await?;
        let body = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let told = self.request(Method::POST, version).json(&body);
        let told = told.header("mcp-session-id", &id).send().await?;
        told.error_for_status()?.bytes().await?;
        let get = self.request(Method::GET, version);
        let get = get.header("mcp-session-id", &id).send().await?;
        let mut stream = get.error_for_status()?;
        stream.chunk().await?.context("the stream ended")?;
        Ok(stream)
    }
}

/// The same streams through both, in turns.
async fn streamed(
    plan: Plan,
    plain: &Endpoint,
    edge: &Endpoint,
    pause_ms: u64,
) -> anyhow::Result<Pair> {
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        without.push(plain.stream(plan.events, pause_ms).await?);
        with.push(edge.stream(plan.events, pause_ms).await?);
    }
    Ok(Pair {
        plain: median(without)?,
        edge: median(with)?,
    })
}

fn median(mut times: Vec<Duration>) -> anyhow::Result<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied().context("no round")
}

/// Makes all calls; returns how many connections the edge made for them.
async fn calls(plan: Plan, edge: &Endpoint, server: &Server) -> anyhow::Result<usize> {
    let before = server.connections();
    let next = Arc::new(AtomicUsize::new(0));
    let caller = |_| {
        let (edge, next) = (edge.clone(), Arc::clone(&next));
        tokio::spawn(async move {
            while next.fetch_add(1, Ordering::Relaxed) < plan.calls {
                let answer = edge.call("echo", json!({ "text": "hello" })).await?;
                let answer: Value = answer.json().await?;
                let text = &answer["result"]["content"][0]["text"];
                ensure!(text == "hello", "a wrong answer: {answer}");
            }
            Ok(())
        })
    };
    let callers: Vec<_> = (0..plan.in_flight).map(caller).collect();
    for caller in callers {
        caller.await??;
    }
    Ok(server.connections().saturating_sub(before))
}

/// Opens streams and lets them idle; returns what each takes of the edge's memory, in kB, and the streams.
async fn idle(
    plan: Plan,
    edge: Pid,
    open: impl AsyncFn() -> anyhow::Result<Response>,
) -> anyhow::Result<(f64, Vec<Response>)> {
    // What the first one allocates for all does not count.
    let mut streams = vec![open().await?];
    tokio::time::sleep(IDLE).await;
    let before = resident_kb(edge)?;
    for _ in 0..plan.streams {
        streams.push(open().await?);
    }
    tokio::time::sleep(IDLE).await;
    let grown = resident_kb(edge)?.saturating_sub(before);
    let each = f64::from(grown) / f64::from(u32::try_from(plan.streams)?);
    Ok((each, streams))
}

/// Whether none of the streams has ended.
async fn are_open(streams: &mut [Response]) -> anyhow::Result<()> {
    for stream in streams {
        while let Ok(came) = tokio::time::timeout(Duration::ZERO, stream.chunk()).await {
            came?.context("a stream ended")?;
        }
    }
    Ok(())
}

/// What a process has in memory.
pub(crate) fn resident_kb(pid: Pid) -> anyhow::Result<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kb.context("its resident set")?.parse()?)
}

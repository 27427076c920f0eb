//! Throughput and latency through the edge, next to a plain reverse proxy in the same run.
//!
//! Both stand before the same echo server, both are processes of their own, and they are measured in turns, so that
//! what else the machine does hits both alike. What counts is the ratio.

use crate::cluster::{Cluster, Options, proctor_binary};
use crate::load::{AGENT, allow_all, in_secs};
use anyhow::Context;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use reqwest::Method;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

/// How to measure.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Connections at once.
    pub clients: usize,
    /// How long each turn takes.
    pub turn: Duration,
    /// Turns for each of the two.
    pub rounds: usize,
}

/// One turn.
#[derive(Clone, Debug)]
struct Turn {
    requests: usize,
    elapsed: Duration,
    latencies: Vec<Duration>,
}

impl Turn {
    fn per_second(&self) -> f64 {
        f64::from(u32::try_from(self.requests).unwrap_or(u32::MAX)) / self.elapsed.as_secs_f64()
    }

    fn quantile(&self, per_mille: usize) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies
            .get(last * per_mille / 1000)
            .copied()
            .unwrap_or_default()
    }
}

/// A small MCP server (2025-11-25, without sessions) that gives back what it gets: as little work as possible.
///
/// # Errors
/// If the listener fails.
pub async fn echo(listener: TcpListener) -> std::io::Result<()> {
    use axum::Json;
    use axum::response::IntoResponse;
    let answer = async |Json(request): Json<Value>| {
        let result = match request["method"].as_str() {
            Some("initialize") => json!({
                "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "echo", "version": "1" },
            }),
            Some("tools/list") => json!({ "tools": [tool()] }),
            Some("tools/call") => {
                json!({ "content": [{ "type": "text", "text": request["params"]["arguments"]["text"] }] })
            }
            _ => {
                let error = json!({ "code": -32601, "message": "no such method" });
                return Json(json!({ "jsonrpc": "2.0", "id": request["id"], "error": error }))
                    .into_response();
            }
        };
        Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
    };
    axum::serve(
        listener,
        axum::Router::new().route("/mcp", axum::routing::post(answer)),
    )
    .await
}

fn tool() -> Value {
    json!({
        "name": "echo", "description": "Gives back its text",
        "inputSchema": { "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] },
    })
}

/// A plain reverse proxy: hyper on both sides, pooled connections, nothing looked at.
///
/// # Errors
/// If the listener fails.
pub async fn proxy(listener: TcpListener, to: SocketAddr) -> anyhow::Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<HttpConnector, Incoming> =
        Client::builder(TokioExecutor::new()).build(connector);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let client = client.clone();
        tokio::spawn(async move {
            let service = service_fn(|mut request: Request<Incoming>| {
                let client = client.clone();
                async move {
                    let path = request
                        .uri()
                        .path_and_query()
                        .map_or("/", |path| path.as_str());
                    *request.uri_mut() = format!("http://{to}{path}")
                        .parse::<Uri>()
                        .unwrap_or_default();
                    request.headers_mut().remove("host");
                    let answer: Result<Response<Incoming>, _> = client.request(request).await;
                    answer
                }
            });
            // A client that goes away ends its connection: that is all.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// This command line tool, also where a test runs this.
fn loadtest_binary() -> anyhow::Result<PathBuf> {
    let name = "proctor-loadtest";
    let here = std::env::current_exe()?;
    if here.file_stem().is_some_and(|stem| stem == name) {
        return Ok(here);
    }
    Ok(proctor_binary()?.with_file_name(name))
}

/// A subcommand of this tool in a process of its own; the first line that it prints is its address.
pub(crate) async fn own(arguments: &[&str]) -> anyhow::Result<(Child, SocketAddr)> {
    first_line(Command::new(loadtest_binary()?).args(arguments)).await
}

/// The same for one that stands for other machines: it gets what time the system under test leaves.
pub(crate) async fn elsewhere(arguments: &[&str]) -> anyhow::Result<(Child, SocketAddr)> {
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(loadtest_binary()?);
    first_line(command.args(arguments)).await
}

async fn first_line(command: &mut Command) -> anyhow::Result<(Child, SocketAddr)> {
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let stdout = child.stdout.take().context("its output")?;
    let line = BufReader::new(stdout)
        .lines()
        .next_line()
        .await?
        .context("its address")?;
    Ok((child, line.parse()?))
}

/// Measures; returns a table for people.
///
/// # Errors
/// If something does not start, or answers wrongly.
pub async fn run(plan: Plan) -> anyhow::Result<String> {
    let (_echo, echo) = own(&["echo"]).await?;
    let (_proxy, proxy) = own(&["proxy", "--to", &echo.to_string()]).await?;
    let cluster = Cluster::start(Options {
        settings: json!({ "intent": "when_declared" }),
        durable: true,
        ..Options::default()
    })
    .await?;
    let token = prepare(&cluster, echo).await?;
    let arguments = json!({ "text": "x".repeat(700) });
    let direct = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
                         "params": { "name": "echo", "arguments": arguments } });
    let through = json!({ "tool": "echo/echo", "arguments": arguments });
    let edge = cluster
        .edge_url
        .strip_prefix("http://")
        .context("the edge's address")?
        .parse()?;
    let (mut plain, mut decided) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        plain.push(measure(plan, proxy, "/mcp", None, direct.to_string()).await?);
        decided.push(
            measure(
                plan,
                edge,
                "/v1/tool-call",
                Some(&token),
                through.to_string(),
            )
            .await?,
        );
    }
    crate::oracle::settled(&cluster, Duration::from_secs(120)).await?;
    cluster.stop().await;
    let table = table(plan, &plain, &decided);
    Ok(format!(
        "{table}\nthe audit chain has every call, and is sound"
    ))
}

async fn prepare(cluster: &Cluster, echo: SocketAddr) -> anyhow::Result<String> {
    cluster
        .acme(Method::PUT, &format!("agents/{AGENT}"), Some(json!({})))
        .await?;
    let definition = json!({
        "name": "echo", "description": tool()["description"], "input_schema": tool()["inputSchema"],
    });
    let entry =
        json!({ "definition": definition, "definition_digest": crate::load::digest(&tool()) });
    let server = json!({ "upstream": { "kind": "mcp-http", "url": format!("http://{echo}/mcp") }, "tools": [entry] });
    cluster
        .acme(Method::PUT, "tool-servers/echo", Some(server))
        .await?;
    allow_all(cluster).await?;
    let caveats = [
        format!("time < {}", in_secs(3600)?),
        "tool in echo/*".to_owned(),
    ];
    let minted = cluster
        .acme(
            Method::POST,
            "tokens",
            Some(json!({ "agent": AGENT, "caveats": caveats })),
        )
        .await?;
    let token = minted["token"].as_str().context("the token")?.to_owned();
    cluster
        .wait_allowed(&token, AGENT, "echo/echo", json!({ "text": "x" }))
        .await?;
    Ok(token)
}

async fn measure(
    plan: Plan,
    to: SocketAddr,
    path: &str,
    token: Option<&str>,
    body: String,
) -> anyhow::Result<Turn> {
    let started = Instant::now();
    let client = |_| {
        let (path, token, body) = (
            path.to_owned(),
            token.map(str::to_owned),
            Bytes::from(body.clone()),
        );
        tokio::spawn(client(to, path, token, body, started + plan.turn))
    };
    let clients: Vec<_> = (0..plan.clients).map(client).collect();
    let mut latencies = Vec::new();
    for client in clients {
        latencies.extend(client.await??);
    }
    let elapsed = started.elapsed();
    latencies.sort_unstable();
    Ok(Turn {
        requests: latencies.len(),
        elapsed,
        latencies,
    })
}

/// One connection, one request after the other.
async fn client(
    to: SocketAddr,
    path: String,
    token: Option<String>,
    body: Bytes,
    until: Instant,
) -> anyhow::Result<Vec<Duration>> {
    let stream = tokio::net::TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let mut request = Request::post(&path)
            .header("host", to.to_string())
            .header("content-type", "application/json");
        request = request.header("accept", "application/json, text/event-stream");
        if let Some(token) = &token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let began = Instant::now();
        let answer = sender
            .send_request(request.body(Full::new(body.clone()))?)
            .await?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes();
        latencies.push(began.elapsed());
        anyhow::ensure!(
            status.is_success(),
            "{status}: {}",
            String::from_utf8_lossy(&bytes)
        );
    }
    Ok(latencies)
}

fn table(plan: Plan, plain: &[Turn], decided: &[Turn]) -> String {
    let mut lines = vec![
        format!(
            "{} connections, {} turns of {:?} each, in turns\n",
            plan.clients, plan.rounds, plan.turn
        ),
        "| | requests/s | p50 | p99 |\n|---|---|---|---|".to_owned(),
    ];
    for (name, turns) in [("plain hyper proxy", plain), ("edge, spool on", decided)] {
        lines.extend(turns.iter().map(|turn| {
            let (p50, p99) = (turn.quantile(500), turn.quantile(990));
            format!(
                "| {name} | {:.0} | {p50:.1?} | {p99:.1?} |",
                turn.per_second()
            )
        }));
    }
    let median = |turns: &[Turn], of: fn(&Turn) -> f64| {
        let mut values: Vec<f64> = turns.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let ratio = |of: fn(&Turn) -> f64| median(decided, of) / median(plain, of);
    lines.push(format!(
        "\nedge / proxy, medians: throughput {:.2}, p50 latency {:.2}, p99 latency {:.2}",
        ratio(Turn::per_second),
        ratio(|turn| turn.quantile(500).as_secs_f64()),
        ratio(|turn| turn.quantile(990).as_secs_f64()),
    ));
    lines.join("\n")
}

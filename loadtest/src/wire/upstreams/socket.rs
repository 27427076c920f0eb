//! Faulty tool servers behind a socket: MCP of both families of revisions, and a plain HTTP API.

use super::case::{Case, Fault, Transport};
use super::{LONG, tool};
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a server sends that sends too much.
const MUCH: usize = 100 * 1024 * 1024;
const PIECE: usize = 64 * 1024;

/// Starts all of them at one address, each at the path that is its name.
pub(super) async fn start() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Who calls goes away in the middle of most of it.
            tokio::spawn(async move { drop(answer(stream).await) });
        }
    });
    Ok(address)
}

pub(super) fn upstream(case: Case, address: SocketAddr) -> Value {
    let url = format!("http://{address}/{}", case.name());
    match case.transport {
        Transport::Api => json!({ "kind": "http", "url": url, "private_addresses": true }),
        _ => json!({ "kind": "mcp-http", "url": url }),
    }
}

/// Answers one request on a connection: a call with the fault of its path, all else as it should be.
async fn answer(mut stream: TcpStream) -> anyhow::Result<()> {
    let head = head(&mut stream).await?;
    let mut words = head.split(' ');
    let (verb, path) = (words.next(), words.next().unwrap_or_default());
    let name = path.split('/').nth(1).unwrap_or_default();
    let case = Case::all().find(|case| case.name() == name);
    let case = case.context("a path of ours")?;
    if case.transport == Transport::Api {
        return Ok(play(case.fault, &mut stream).await?);
    }
    if verb != Some("POST") {
        // None has a stream of its own, nor takes one up again.
        return Ok(plain(&mut stream, "405 Method Not Allowed").await?);
    }
    if field(&head, "mcp-method") == Some("tools/call") && case.fault == Fault::Resets {
        // A socket that is closed with something unread in it is reset.
        stream.readable().await?;
        return Ok(());
    }
    let length = field(&head, "content-length").context("a length")?;
    let mut body = vec![0; length.parse()?];
    stream.read_exact(&mut body).await?;
    let request: Value = serde_json::from_slice(&body)?;
    if request["method"] == "tools/call" {
        return Ok(play(case.fault, &mut stream).await?);
    }
    if request["id"].is_null() {
        return Ok(plain(&mut stream, "202 Accepted").await?);
    }
    let answer = as_it_should_be(case.transport, &request).to_string();
    let session = match case.transport {
        Transport::Sessions => "mcp-session-id: s\r\n",
        _ => "",
    };
    let length = answer.len();
    let lines = format!("{session}content-type: application/json\r\ncontent-length: {length}\r\n");
    begin(&mut stream, &lines).await?;
    stream.write_all(answer.as_bytes()).await?;
    Ok(())
}

/// What is no call.
fn as_it_should_be(transport: Transport, request: &Value) -> Value {
    let mut answer = json!({ "jsonrpc": "2.0", "id": request["id"] });
    match (request["method"].as_str(), transport) {
        (Some("server/discover"), Transport::Stateless) => {
            answer["result"] = json!({ "supportedVersions": ["2026-07-28"], "capabilities": {} });
        }
        (Some("initialize"), Transport::Sessions) => {
            answer["result"] = json!({
                "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "x", "version": "1" },
            });
        }
        (Some("tools/list"), _) => answer["result"] = json!({ "tools": [tool()] }),
        _ => answer["error"] = json!({ "code": -32601, "message": "no such method" }),
    }
    answer
}

/// Answers a call, badly.
async fn play(fault: Fault, stream: &mut TcpStream) -> std::io::Result<()> {
    const JSON: &str = "content-type: application/json\r\n";
    const EVENTS: &str = "content-type: text/event-stream\r\n";
    match fault {
        Fault::Slow => tokio::time::sleep(LONG).await,
        Fault::Resets => {}
        Fault::Hangs => {
            begin(stream, &format!("{JSON}content-length: 1000\r\n")).await?;
            stream.write_all(b"{\"jsonrpc\":").await?;
            tokio::time::sleep(LONG).await;
        }
        Fault::Ends => {
            begin(stream, &format!("{JSON}content-length: 1000\r\n")).await?;
            stream.write_all(b"{\"jsonrpc\":").await?;
        }
        Fault::Breaks => {
            begin(stream, EVENTS).await?;
            let note = json!({ "jsonrpc": "2.0", "method": "notifications/odd" });
            let events = format!("id: 1\ndata: {note}\n\nid: 2\nda");
            stream.write_all(events.as_bytes()).await?;
        }
        Fault::Drips => {
            begin(stream, &format!("{JSON}content-length: 1000\r\n")).await?;
            repeat(stream, b" ", Duration::from_secs(1), 1_000).await?;
        }
        Fault::Noise => stream.write_all(b"\x16\x03\x01 no HTTP\r\n\r\n").await?,
        Fault::Garbage => {
            begin(stream, &format!("{JSON}content-length: 8\r\n")).await?;
            stream.write_all(b"{\"id\":\x00\xff").await?;
        }
        Fault::Large => {
            begin(stream, &format!("{JSON}content-length: {MUCH}\r\n")).await?;
            repeat(stream, &[b' '; PIECE], Duration::ZERO, MUCH).await?;
        }
        Fault::Unmeasured => {
            begin(stream, JSON).await?;
            repeat(stream, &[b' '; PIECE], Duration::ZERO, MUCH).await?;
        }
        Fault::Events => {
            begin(stream, EVENTS).await?;
            let params = json!({ "more": "x".repeat(PIECE) });
            let note = json!({ "jsonrpc": "2.0", "method": "notifications/odd", "params": params });
            let event = format!("data: {note}\n\n");
            repeat(stream, event.as_bytes(), Duration::ZERO, usize::MAX).await?;
        }
        Fault::Alive => {
            begin(stream, EVENTS).await?;
            let pause = Duration::from_millis(100);
            repeat(stream, b": \n\n", pause, usize::MAX).await?;
        }
    }
    Ok(())
}

async fn begin(stream: &mut TcpStream, lines: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{lines}\r\n");
    stream.write_all(head.as_bytes()).await
}

/// An answer without a body.
async fn plain(stream: &mut TcpStream, status: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
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

//! What no client library would send, over raw sockets: slow and half-open clients, malformed input, requests within
//! requests, floods of HTTP/2 frames, arguments in odd spellings, and input that is small to send and large to read. And what no
//! server would answer.

pub mod bombs;
pub mod forwarded;
pub mod frames;
pub mod malformed;
pub mod slow;
pub mod smuggle;
pub mod upstreams;

use crate::cluster::{Cluster, Options};
use crate::load::prepare;
use crate::upstream::Upstream;
use anyhow::{Context, ensure};
use nix::unistd::Pid;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// An edge with the worker's tools behind it.
pub struct System {
    /// The installation.
    pub cluster: Cluster,
    /// What the tools did.
    pub upstream: Upstream,
    /// A token for them.
    pub token: String,
    /// The edge's agent address.
    pub edge: SocketAddr,
}

impl System {
    /// Starts everything.
    ///
    /// # Errors
    /// If something does not start.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let cluster = Cluster::start(options).await?;
        let upstream = Upstream::start(Duration::ZERO).await?;
        let token = prepare(&cluster, &upstream).await?;
        let edge = cluster.edge_url.strip_prefix("http://");
        let edge = edge.context("the edge's address")?.parse()?;
        Ok(Self {
            cluster,
            upstream,
            token,
            edge,
        })
    }

    pub(crate) fn pid(&self) -> anyhow::Result<Pid> {
        self.cluster.edge.pid().context("the edge runs")
    }

    /// Whether the edge is whole: it is there, nothing of it panicked, and it does what is asked.
    ///
    /// # Errors
    /// Says what is not.
    pub async fn is_whole(&self) -> anyhow::Result<()> {
        let log = self.cluster.dir.path().join("edge.log");
        let log = std::fs::read_to_string(log).unwrap_or_default();
        ensure!(!log.contains("panicked"), "something panicked: {log}");
        let answer = self.call("whole").await?;
        ensure!(answer.statuses == [200], "it does not serve: {answer:?}");
        Ok(())
    }

    /// What control and the admin API complained about last.
    pub(crate) fn logs(&self) -> String {
        let end = |role: &str| {
            let log = self.cluster.dir.path().join(format!("{role}.log"));
            let log = std::fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(5).collect();
            format!("{role}: {}", lines.join("\n"))
        };
        format!("{}\n{}", end("control"), end("web-api"))
    }

    /// A good call.
    pub(crate) async fn call(&self, id: &str) -> anyhow::Result<Answer> {
        let request = self.good(id, "connection: close\r\n");
        let wire = Wire::dial(self.edge, None).await?;
        wire.exchange(request.as_bytes(), PATIENCE, PATIENCE).await
    }

    /// The text of a good call, with more lines in its head.
    pub(crate) fn good(&self, id: &str, lines: &str) -> String {
        let body = json!({ "tool": "worker/work", "arguments": { "id": id, "amount": 1 } });
        let body = body.to_string();
        let head = self.head(&format!("content-length: {}\r\n{lines}", body.len()));
        format!("{head}{body}")
    }

    /// The head of a call, with these lines in it.
    pub(crate) fn head(&self, lines: &str) -> String {
        format!(
            "POST /v1/tool-call HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\n{lines}\r\n",
            self.edge, self.token
        )
    }

    /// Ids of the calls that were really made.
    pub(crate) fn executed(&self) -> Vec<String> {
        let all = self.upstream.journal.all().into_iter();
        all.map(|call| call.arguments["id"].as_str().unwrap_or("?").to_owned())
            .collect()
    }
}

/// What came back on a connection.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Of each whole answer, in order.
    pub(crate) statuses: Vec<u16>,
    pub(crate) text: String,
    pub(crate) took: Duration,
}

/// How long an answer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A raw connection.
pub(crate) struct Wire(pub(crate) TcpStream);

impl Wire {
    /// Connects, from a loopback address of its own if that is wanted.
    pub(crate) async fn dial(to: SocketAddr, from: Option<Ipv4Addr>) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = from {
            socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
        }
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// Sends bytes and reads what comes until the other side closes. Where nothing comes for so long, it is told that
    /// nothing will be sent any more: a server gives up what it is doing for such a client.
    pub(crate) async fn exchange(
        mut self,
        bytes: &[u8],
        still: Duration,
        patience: Duration,
    ) -> anyhow::Result<Answer> {
        let began = Instant::now();
        // It may close before it has read everything: what it answered counts.
        let _ = self.0.write_all(bytes).await;
        let mut read = Vec::new();
        // When the last byte of an answer came, and when we ended because nothing did.
        let (mut came, mut ended) = (None, None);
        loop {
            ensure!(
                began.elapsed() < patience,
                "neither answered nor closed within {patience:?}: {}",
                String::from_utf8_lossy(&read)
            );
            let mut chunk = [0; 4096];
            match tokio::time::timeout(still, self.0.read(&mut chunk)).await {
                Ok(Ok(0) | Err(_)) => break,
                Ok(Ok(count)) => {
                    read.extend_from_slice(chunk.get(..count).unwrap_or_default());
                    came = Some(began.elapsed());
                }
                Err(_) if ended.is_none() => {
                    let _ = self.0.shutdown().await;
                    ended = Some(Instant::now());
                }
                Err(_) => {}
            }
        }
        let closed = ended.map_or(began, |ended| ended).elapsed();
        let took = came.unwrap_or(closed);
        Ok(Answer {
            statuses: statuses(&read),
            text: String::from_utf8_lossy(&read).into_owned(),
            took,
        })
    }
}

/// The status of each answer.
fn statuses(mut bytes: &[u8]) -> Vec<u16> {
    let mut found = Vec::new();
    while let Some(head_end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(bytes.get(..head_end).unwrap_or_default());
        let Some(status) = head
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.get(2..5)?.parse().ok())
        else {
            break;
        };
        found.push(status);
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| {
            let value = line.strip_prefix("content-length:")?;
            value.trim().parse::<usize>().ok()
        });
        let rest = bytes.get(head_end.saturating_add(4)..).unwrap_or_default();
        let body = match length {
            Some(length) => length,
            None if head.contains("transfer-encoding: chunked") => rest
                .windows(5)
                .position(|five| five == b"0\r\n\r\n")
                .map_or(rest.len(), |end| end.saturating_add(5)),
            None => 0,
        };
        bytes = rest.get(body..).unwrap_or_default();
    }
    found
}

/// Time that a process has used, user and system.
pub(crate) fn cpu(pid: Pid) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Its name may have blanks in it; what follows begins with field 3.
    let after = stat.rsplit(") ").next().context("its fields")?;
    let field = |number: usize| -> anyhow::Result<u64> {
        let field = after.split(' ').nth(number.saturating_sub(3));
        Ok(field.context("a field")?.parse()?)
    };
    let ticks = field(14)?.saturating_add(field(15)?);
    // A hundred a second, on every Linux there is.
    Ok(Duration::from_millis(ticks.saturating_mul(10)))
}

/// The larger ones of some times.
#[derive(Clone, Copy, Debug)]
pub struct Tail {
    /// The median.
    pub p50: Duration,
    /// Of a hundred, one took longer.
    pub p99: Duration,
}

impl Tail {
    pub(crate) fn of(mut times: Vec<Duration>) -> anyhow::Result<Self> {
        times.sort_unstable();
        let at = |share: usize| {
            let last = times.len().saturating_sub(1);
            times.get(last.saturating_mul(share) / 100).copied()
        };
        Ok(Self {
            p50: at(50).context("no time")?,
            p99: at(99).context("no time")?,
        })
    }

    /// Whether it is hardly worse than it was: at most twice as long, and what a machine with other work does to anybody.
    pub(crate) fn judge(self, quiet: Self, jitter: Duration) -> anyhow::Result<()> {
        self.judge_within(quiet, 200, jitter)
    }

    /// The same with another bound, in percent of what it was.
    pub(crate) fn judge_within(
        self,
        quiet: Self,
        percent: u32,
        jitter: Duration,
    ) -> anyhow::Result<()> {
        let most = quiet.p99.saturating_mul(percent) / 100;
        let most = most.saturating_add(jitter);
        ensure!(
            self.p99 <= most,
            "p99 of good clients {:?}, {:?} when it was quiet",
            self.p99,
            quiet.p99
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::statuses;

    #[test]
    fn answers_are_told_apart_by_their_lengths() {
        let two = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(statuses(two), [200, 400]);
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nHTTP/1.1 404 No\r\n\r\n";
        assert_eq!(statuses(chunked), [200, 404]);
        assert_eq!(statuses(b""), [0_u16; 0]);
        assert_eq!(statuses(b"HTTP/1.1 200 OK\r\n"), [0_u16; 0]);
    }
}

//! A provider that fails after it has read a prompt to its end, each time in the way that the model's name says. It speaks
//! HTTP over a bare socket: no server library hangs, or resets a connection, on demand.

use serde_json::{Value, json};
use std::io;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What is in the stream of a model before it fails.
pub(crate) const BEGUN: &str = "these are the words of an answer that never comes to its end";

/// Its models: never answers; resets the connection; resets it within an answer; sends what is no answer; begins a
/// stream and goes silent; begins a stream and resets; answers well, and keeps the connection open for more.
pub(crate) const MODELS: [&str; 7] = [
    "mute", "resets", "half", "garbage", "stalls", "breaks", "sound",
];

#[derive(Default)]
struct Desk {
    /// Models of the prompts that were read to their end.
    arrived: Mutex<Vec<String>>,
    /// `breaks` waits for it: what is on its way when a connection is reset may be lost.
    go_on: Notify,
}

pub(crate) struct Rude {
    pub(crate) url: String,
    desk: Arc<Desk>,
    listening: JoinHandle<()>,
}

impl Drop for Rude {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Rude {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let desk = Arc::<Desk>::default();
        let shared = Arc::clone(&desk);
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self {
            url,
            desk,
            listening,
        }
    }

    /// How many prompts for a model have arrived.
    pub(crate) fn arrived(&self, model: &str) -> usize {
        let arrived = self.desk.arrived.lock().unwrap();
        arrived.iter().filter(|known| *known == model).count()
    }

    /// Lets `breaks` do so.
    pub(crate) fn go_on(&self) {
        self.desk.go_on.notify_one();
    }
}

async fn serve(mut stream: TcpStream, desk: Arc<Desk>) -> io::Result<()> {
    let mut read = Vec::new();
    while let Some(body) = prompt(&mut stream, &mut read).await? {
        let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
        let model = asked["model"].as_str().unwrap_or_default().to_owned();
        desk.arrived.lock().unwrap().push(model.clone());
        match model.as_str() {
            "mute" => return silence(&mut stream).await,
            // Closed with this, a connection is reset.
            "resets" => return stream.set_zero_linger(),
            "half" => {
                let half = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 4096\r\n\r\n{\"id\": \"";
                stream.write_all(half.as_bytes()).await?;
                return stream.set_zero_linger();
            }
            "garbage" => {
                let page =
                    "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello";
                stream.write_all(page.as_bytes()).await?;
            }
            "stalls" => {
                stream.write_all(begun(&model).as_bytes()).await?;
                return silence(&mut stream).await;
            }
            "breaks" => {
                stream.write_all(begun(&model).as_bytes()).await?;
                desk.go_on.notified().await;
                return stream.set_zero_linger();
            }
            _ => stream.write_all(whole(&model).as_bytes()).await?,
        }
    }
    Ok(())
}

/// The body of the next request; none where the client has closed the connection.
async fn prompt(stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    loop {
        if let Some((head, body)) = split(read) {
            let length = length_of(&read[..head]);
            if read.len() >= body + length {
                let rest = read.split_off(body + length);
                let request = std::mem::replace(read, rest);
                return Ok(Some(request[body..].to_vec()));
            }
        }
        if stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    }
}

/// Where the head ends, and where the body begins.
fn split(read: &[u8]) -> Option<(usize, usize)> {
    let at = read.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some((at, at + 4))
}

fn length_of(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    length.map_or(0, |length| length.trim().parse().unwrap())
}

/// Nothing more, until the client hangs up.
async fn silence(stream: &mut TcpStream) -> io::Result<()> {
    let mut nothing = [0; 64];
    while stream.read(&mut nothing).await? > 0 {}
    Ok(())
}

fn whole(model: &str) -> String {
    let message = json!({ "role": "assistant", "content": "all is well", "refusal": null });
    let body = json!({ "id": "chatcmpl-1", "object": "chat.completion", "created": 1_741_569_952, "model": model,
        "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29 } });
    let body = body.to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// The head of a stream and its first events.
fn begun(model: &str) -> String {
    let event = |delta: Value| {
        let event = json!({ "id": "chatcmpl-123", "object": "chat.completion.chunk", "created": 1_694_268_190,
            "model": model, "usage": null,
            "choices": [{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": null }] });
        format!("data: {event}\n\n")
    };
    let role = event(json!({ "role": "assistant", "content": "" }));
    let events = format!("{role}{}", event(json!({ "content": BEGUN })));
    let length = events.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{events}\r\n"
    )
}

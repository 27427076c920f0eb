//! Clients that call one tool again and again, and count what they are told.

use reqwest::Client;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Pause between two calls of a client.
const PAUSE: Duration = Duration::from_millis(10);

/// What the clients of one edge were told.
#[derive(Debug, Default)]
pub struct Told {
    done: AtomicU64,
    unavailable: AtomicU64,
    failed: AtomicU64,
    last_failure: Mutex<String>,
}

impl Told {
    /// Calls that were done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Calls that were refused because no budget could be had.
    #[must_use]
    pub fn unavailable(&self) -> u64 {
        self.unavailable.load(Ordering::Relaxed)
    }

    /// Calls that were refused for anything else, or that nobody answered.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// What the last one of [`Self::failed`] was answered.
    #[must_use]
    pub fn last_failure(&self) -> String {
        let last = self.last_failure.lock();
        last.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note_failure(&self, answer: &Value) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut last = self
            .last_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *last = answer.to_string();
    }
}

/// Starts so many clients of an edge, until `stop`. One panics that is refused without being told when to come again.
///
/// # Errors
/// If there is no HTTP client.
pub fn start(
    clients: usize,
    edge: &str,
    token: &str,
    told: &Arc<Told>,
    stop: &CancellationToken,
) -> reqwest::Result<Vec<JoinHandle<()>>> {
    let http = Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10));
    let http = http.build()?;
    let one = |_| {
        let (url, token) = (format!("{edge}/v1/tool-call"), token.to_owned());
        let (http, told, stop) = (http.clone(), Arc::clone(told), stop.clone());
        tokio::spawn(async move {
            while !stop.is_cancelled() {
                call(&http, &url, &token, &told).await;
                tokio::time::sleep(PAUSE).await;
            }
        })
    };
    Ok((0..clients).map(one).collect())
}

async fn call(http: &Client, url: &str, token: &str, told: &Told) {
    let body = json!({ "tool": "worker/work", "arguments": { "id": "some", "amount": 1 } });
    let sent = http.post(url).bearer_auth(token).json(&body).send().await;
    let answer: Value = match sent {
        Ok(response) => response.json().await.unwrap_or_default(),
        Err(_) => Value::Null,
    };
    let data = &answer["error"]["data"];
    if answer.get("result").is_some() {
        told.done.fetch_add(1, Ordering::Relaxed);
    } else if data["reason"] == "budget_unavailable" {
        assert!(data["retry_after_ms"].is_u64(), "{answer}");
        told.unavailable.fetch_add(1, Ordering::Relaxed);
    } else {
        told.note_failure(&answer);
    }
}

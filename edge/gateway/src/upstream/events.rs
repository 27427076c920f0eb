//! The events of a server's stream, never more than the limit.

use super::client::failure;
use super::rpc::Failure;
use futures::{Stream, StreamExt};
use reqwest::Response;
use sse_stream::{Sse, SseStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

type Decoded = Pin<Box<dyn Stream<Item = Result<Sse, sse_stream::Error>> + Send>>;

/// One event with something in it.
pub(super) struct Event {
    pub(super) data: String,
}

/// A stream of events, over as many connections as it takes.
pub(super) struct Events {
    decoded: Decoded,
    /// The decoder hides the error of the stream below it: kept here.
    stopped: Arc<Mutex<Failure>>,
    bytes: Arc<Mutex<u64>>,
    bytes_max: u64,
    /// Where to go on if it breaks off.
    pub(super) last_id: Option<String>,
    /// How long to wait before.
    pub(super) retry: Option<Duration>,
}

impl Events {
    pub(super) fn new(response: Response, bytes_max: u64) -> Self {
        let (stopped, bytes) = (Arc::new(Mutex::new(Failure::Broken)), Arc::default());
        Self {
            decoded: decode(
                response,
                Arc::clone(&bytes),
                bytes_max,
                Arc::clone(&stopped),
            ),
            stopped,
            bytes,
            bytes_max,
            last_id: None,
            retry: None,
        }
    }

    /// Goes on with another response; what was read so far still counts.
    pub(super) fn resume(&mut self, response: Response) {
        let (bytes, stopped) = (Arc::clone(&self.bytes), Arc::clone(&self.stopped));
        self.decoded = decode(response, bytes, self.bytes_max, stopped);
    }

    /// The next event that has data.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, Failure> {
        while let Some(event) = self.decoded.next().await {
            let stopped = || *self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
            let event = event.map_err(|_| stopped())?;
            if event.id.is_some() {
                self.last_id = event.id;
            }
            if let Some(retry) = event.retry {
                self.retry = Some(Duration::from_millis(retry));
            }
            if let Some(data) = event.data.filter(|data| !data.is_empty()) {
                return Ok(Some(Event { data }));
            }
        }
        Ok(None)
    }
}

fn decode(
    response: Response,
    bytes: Arc<Mutex<u64>>,
    bytes_max: u64,
    stopped: Arc<Mutex<Failure>>,
) -> Decoded {
    let limited = response.bytes_stream().map(move |chunk| {
        let chunk = chunk.map_err(|error| failure(&error));
        let limited = chunk.and_then(|chunk| {
            let mut bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
            *bytes = bytes.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
            if *bytes > bytes_max {
                Err(Failure::TooLarge)
            } else {
                Ok(chunk)
            }
        });
        limited.map_err(|failure| {
            *stopped.lock().unwrap_or_else(PoisonError::into_inner) = failure;
            std::io::Error::other("stopped")
        })
    });
    Box::pin(SseStream::from_bytes_stream(limited))
}

//! The events of a server's stream, never more than the limit: of one that ends with an answer in all its bytes, of one
//! that goes on for ever in each event.

use super::client::failure;
use super::rpc::Failure;
use futures::{Stream, StreamExt};
use reqwest::Response;
use sse_stream::{Sse, SseStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

type Decoded = Pin<Box<dyn Stream<Item = Result<Sse, sse_stream::Error>> + Send>>;

/// Largest event of a stream that goes on for ever, in bytes.
const EVENT_BYTES_MAX: u64 = 1024 * 1024;

/// One event with something in it.
pub(super) struct Event {
    pub(super) data: String,
}

/// A stream of events, over as many connections as it takes.
pub(super) struct Events {
    decoded: Decoded,
    /// The decoder hides the error of the stream below it: kept here.
    stopped: Arc<Mutex<Failure>>,
    bytes: Arc<Mutex<Bytes>>,
    /// Where to go on if it breaks off.
    pub(super) last_id: Option<String>,
    /// How long to wait before.
    pub(super) retry: Option<Duration>,
}

/// What was read.
struct Bytes {
    so_far: u64,
    max: u64,
    /// Begins anew with each event.
    per_event: bool,
    /// How many ends of lines were read since anything else.
    line_ends: u8,
    /// The last byte was a carriage return: a line feed after it ends the same line.
    carriage: bool,
}

impl Bytes {
    /// `false`: more than may be.
    fn take(&mut self, chunk: &[u8]) -> bool {
        if !self.per_event {
            let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            self.so_far = self.so_far.saturating_add(length);
            return self.so_far <= self.max;
        }
        for byte in chunk {
            self.so_far = self.so_far.saturating_add(1);
            let ends = match byte {
                b'\n' if self.carriage => 0,
                b'\r' | b'\n' => 1,
                _ => {
                    self.line_ends = 0;
                    0
                }
            };
            self.carriage = *byte == b'\r';
            self.line_ends = self.line_ends.saturating_add(ends);
            // An empty line ends an event, whatever was in it: a comment that keeps the connection open, too.
            if self.line_ends >= 2 {
                self.so_far = 0;
            }
            if self.so_far > self.max {
                return false;
            }
        }
        true
    }
}

impl Events {
    /// Of a stream that ends.
    pub(super) fn new(response: Response, bytes_max: u64) -> Self {
        Self::limited(response, bytes_max, false)
    }

    /// Of a stream that goes on for ever.
    pub(super) fn endless(response: Response) -> Self {
        Self::limited(response, EVENT_BYTES_MAX, true)
    }

    fn limited(response: Response, max: u64, per_event: bool) -> Self {
        let stopped = Arc::new(Mutex::new(Failure::Broken));
        let bytes = Arc::new(Mutex::new(Bytes {
            so_far: 0,
            max,
            per_event,
            line_ends: 0,
            carriage: false,
        }));
        Self {
            decoded: decode(response, Arc::clone(&bytes), Arc::clone(&stopped)),
            stopped,
            bytes,
            last_id: None,
            retry: None,
        }
    }

    /// Goes on with another response; what was read so far still counts.
    pub(super) fn resume(&mut self, response: Response) {
        let (bytes, stopped) = (Arc::clone(&self.bytes), Arc::clone(&self.stopped));
        self.decoded = decode(response, bytes, stopped);
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
            // Only messages are ours: another type of event is for who knows it.
            if !matches!(event.event.as_deref(), None | Some("" | "message")) {
                continue;
            }
            if let Some(data) = event.data.filter(|data| !data.is_empty()) {
                return Ok(Some(Event { data }));
            }
        }
        Ok(None)
    }
}

fn decode(response: Response, bytes: Arc<Mutex<Bytes>>, stopped: Arc<Mutex<Failure>>) -> Decoded {
    let limited = response.bytes_stream().map(move |chunk| {
        let chunk = chunk.map_err(|error| failure(&error));
        let limited = chunk.and_then(|chunk| {
            let mut bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
            match bytes.take(&chunk) {
                true => Ok(chunk),
                false => Err(Failure::TooLarge),
            }
        });
        limited.map_err(|failure| {
            *stopped.lock().unwrap_or_else(PoisonError::into_inner) = failure;
            std::io::Error::other("stopped")
        })
    });
    Box::pin(SseStream::from_bytes_stream(limited))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(body: &'static [&'static str], max: u64, per_event: bool) -> Events {
        let chunks = body.iter().map(|chunk| Ok::<_, std::io::Error>(*chunk));
        let body = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
        Events::limited(http::Response::new(body).into(), max, per_event)
    }

    async fn all(mut events: Events) -> (Vec<String>, Option<Failure>) {
        let mut data = Vec::new();
        loop {
            match events.next().await {
                Ok(Some(event)) => data.push(event.data),
                Ok(None) => return (data, None),
                Err(failure) => return (data, Some(failure)),
            }
        }
    }

    #[tokio::test]
    async fn each_event_of_an_endless_stream_has_its_limit() {
        let body = &[
            "data: 1\n",
            "\n",
            ": alive\n\n",
            "data: 2\r\n\r\n: a\r\n\r\ndata: 3\n\n",
        ];
        let three = vec!["1".to_owned(), "2".to_owned(), "3".to_owned()];
        assert_eq!(all(events(body, 12, true)).await, (three, None));
        let (_, failure) = all(events(body, 12, false)).await;
        assert_eq!(
            failure,
            Some(Failure::TooLarge),
            "of one that ends, all of it"
        );
        for endless in [
            &["data: 1\n\ndata: 2", "345678901234"],
            &[": 12345678", "9012345"],
        ] {
            let (_, failure) = all(events(endless, 12, true)).await;
            assert_eq!(failure, Some(Failure::TooLarge), "{endless:?}");
        }
    }

    #[tokio::test]
    async fn another_type_of_event_is_no_message() {
        let body =
            &["event: ping\ndata: 0\n\ndata: 1\n\nevent: message\ndata: 2\n\nevent:\ndata: 3\n\n"];
        let (data, failure) = all(events(body, 1_000, false)).await;
        assert_eq!((data.join(","), failure), ("1,2,3".to_owned(), None));
    }
}

//! A stream of server-sent events towards a client: bounded, read no faster than the client reads, and taken up again
//! where the revision has it.

use super::about::{About, Hearer};
use axum::body::{Body, Bytes};
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::Value;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Events that may wait for a client that reads; then whoever writes waits.
const WAITING_MAX: usize = 32;
/// Events that are kept for a client that lost its connection, and their bytes.
const KEPT_MAX: usize = 256;
const KEPT_BYTES_MAX: usize = 1024 * 1024;
/// How often something is sent where nothing happens, so that a client that is gone is noticed.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// It says nothing.
pub(super) const ALIVE: Bytes = Bytes::from_static(b": \n\n");
/// How long whoever writes waits for a client that takes nothing at all.
const STALL_MAX: Duration = Duration::from_secs(60);
/// How long a client waits before it takes a stream up again, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// What a client that comes back may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keep {
    /// Events have ids and are kept: `Last-Event-ID` goes on from there.
    ForResuming(u64),
    /// What was sent is gone.
    Nothing,
}

/// Bytes that several streams keep together.
pub(super) type Account = Arc<AtomicUsize>;

struct Event {
    number: u64,
    /// Where it is not for everybody who may read the stream.
    about: Option<About>,
    text: String,
}

struct Events {
    kept: VecDeque<Event>,
    bytes: usize,
    account: Account,
    last: u64,
    taken: u64,
    attached: bool,
    /// Clients that have read it so far: one that comes back is another.
    readers: u64,
    done: bool,
}

/// A stream, whether a client reads it at the moment or not.
pub(super) struct Stream {
    keep: Keep,
    events: Mutex<Events>,
    /// Told of new events and of the end.
    grown: watch::Sender<()>,
    /// Told of events that were taken, and of clients that come and go.
    taken: watch::Sender<()>,
}

impl Stream {
    pub(super) fn new(keep: Keep) -> Arc<Self> {
        Self::on(keep, Account::default())
    }

    /// One that keeps its events on this account.
    pub(super) fn on(keep: Keep, account: Account) -> Arc<Self> {
        Arc::new(Self {
            keep,
            events: Mutex::new(Events::on(account)),
            grown: watch::channel(()).0,
            taken: watch::channel(()).0,
        })
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a message; waits while a client that reads is behind. One that takes nothing for long is dismissed: nobody who
    /// writes may be held for as long as it likes.
    pub(super) async fn push(&self, message: &Value) {
        self.push_about(message, None).await;
    }

    /// The same, and what it is about: on a stream that several may read, one after the other.
    pub(super) async fn push_about(&self, message: &Value, about: Option<About>) {
        self.push_within(message, about, STALL_MAX).await;
    }

    async fn push_within(&self, message: &Value, about: Option<About>, stall: Duration) {
        let Err(mut event) = self.put(message.to_string(), about) else {
            return;
        };
        let mut taken = self.taken.subscribe();
        loop {
            // Once more before anything is waited for: it may have been taken meanwhile.
            event = match self.put(event.0, event.1) {
                Ok(()) => return,
                Err(event) => event,
            };
            let reader = self.reader();
            match tokio::time::timeout(stall, taken.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) => self.dismiss(reader),
            }
        }
    }

    /// Writes an event, or gives it back while there is no room for it.
    fn put(&self, text: String, about: Option<About>) -> Result<(), (String, Option<About>)> {
        let mut events = self.events();
        let waiting = events.waiting();
        let more = waiting.bytes.saturating_add(text.len());
        let full = waiting.events >= WAITING_MAX || more > KEPT_BYTES_MAX;
        // One always goes through, however large.
        if events.attached && waiting.events > 0 && full {
            return Err((text, about));
        }
        events.last = events.last.saturating_add(1);
        let number = events.last;
        events.bytes = events.bytes.saturating_add(text.len());
        events.account.fetch_add(text.len(), Ordering::Relaxed);
        events.kept.push_back(Event {
            number,
            about,
            text,
        });
        // The newest is always kept: it may be the answer.
        while events.kept.len() > KEPT_MAX
            || (events.bytes > KEPT_BYTES_MAX && events.kept.len() > 1)
        {
            events.forget_oldest();
        }
        drop(events);
        self.grown.send_replace(());
        Ok(())
    }

    /// Number of the newest event.
    pub(super) fn newest(&self) -> u64 {
        self.events().last
    }

    /// Nothing more will come.
    pub(super) fn finish(&self) {
        self.events().done = true;
        self.grown.send_replace(());
    }

    /// Names the client that reads it now.
    pub(super) fn reader(&self) -> u64 {
        self.events().readers
    }

    fn is_read_by(&self, reader: u64) -> bool {
        self.events().are_read_by(reader)
    }

    /// Ends the response of this client: it may not read on. What is kept stays, for who may.
    pub(super) fn dismiss(&self, reader: u64) {
        let mut events = self.events();
        if events.are_read_by(reader) {
            events.attached = false;
        }
        drop(events);
        self.grown.send_replace(());
        self.taken.send_replace(());
    }

    /// Waits until this client reads it no more.
    pub(super) async fn left_by(&self, reader: u64) {
        let mut taken = self.taken.subscribe();
        while self.is_read_by(reader) {
            if taken.changed().await.is_err() {
                return;
            }
        }
    }

    /// The response that reads it, from after this event on; `None` if a client reads it already.
    pub(super) fn respond(self: &Arc<Self>, after: u64) -> Option<Response> {
        Some(response(Body::from_stream(self.read_by(after, None)?)))
    }

    /// The same for a client that may not read everything.
    pub(super) fn respond_to(self: &Arc<Self>, after: u64, hearer: Hearer) -> Option<Response> {
        let read = self.read_by(after, Some(hearer))?;
        Some(response(Body::from_stream(read)))
    }

    fn read_by(self: &Arc<Self>, after: u64, hearer: Option<Hearer>) -> Option<Read> {
        let mut events = self.events();
        if events.attached {
            return None;
        }
        events.attached = true;
        events.readers = events.readers.saturating_add(1);
        let number = events.readers;
        events.taken = after;
        drop(events);
        let reader = Reader {
            stream: Arc::clone(self),
            number,
            grown: self.grown.subscribe(),
            greeted: false,
            hearer,
        };
        Some(Box::pin(stream::unfold(reader, Reader::next)))
    }
}

/// What a client reads.
type Read = Pin<Box<dyn futures::Stream<Item = Result<Bytes, Infallible>> + Send>>;

/// A response that is a stream of events.
pub(super) fn response(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Some proxies hold back what they pass on until there is enough of it.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, body).into_response()
}

impl Events {
    fn on(account: Account) -> Self {
        Self {
            kept: VecDeque::new(),
            bytes: 0,
            account,
            last: 0,
            taken: 0,
            attached: false,
            readers: 0,
            done: false,
        }
    }

    fn are_read_by(&self, reader: u64) -> bool {
        self.attached && self.readers == reader
    }

    fn forget_oldest(&mut self) {
        if let Some(Event { text, .. }) = self.kept.pop_front() {
            self.bytes = self.bytes.saturating_sub(text.len());
            self.account.fetch_sub(text.len(), Ordering::Relaxed);
        }
    }

    /// What the client that reads has not taken yet, oldest first.
    fn untaken(&self) -> impl Iterator<Item = &Event> {
        let taken = self
            .kept
            .partition_point(|event| event.number <= self.taken);
        self.kept.range(taken..)
    }

    fn waiting(&self) -> Waiting {
        self.untaken()
            .fold(Waiting::default(), |sum, event| Waiting {
                events: sum.events.saturating_add(1),
                bytes: sum.bytes.saturating_add(event.text.len()),
            })
    }
}

#[derive(Default)]
struct Waiting {
    events: usize,
    bytes: usize,
}

impl Drop for Events {
    fn drop(&mut self) {
        self.account.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

struct Reader {
    stream: Arc<Stream>,
    /// Which of the stream's readers it is.
    number: u64,
    grown: watch::Receiver<()>,
    greeted: bool,
    /// Who it is, where each event is judged for who reads it.
    hearer: Option<Hearer>,
}

/// What a client takes at once.
struct Taken {
    /// What it may read of it.
    text: String,
    /// Whether there was anything, to be read by it or not.
    any: bool,
    done: bool,
}

impl Reader {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if !std::mem::replace(&mut self.greeted, true)
            && let Keep::ForResuming(stream) = self.stream.keep
        {
            // An id before anything happens: a connection that breaks now is taken up at the start.
            let after = self.stream.events().taken;
            let greeting = format!("id: {stream}-{after}\nretry: {RETRY_MS}\ndata:\n\n");
            return Some((Ok(greeting.into()), self));
        }
        loop {
            self.grown.borrow_and_update();
            let Taken { text, any, done } = self.take()?;
            if any {
                self.stream.taken.send_replace(());
            }
            if !text.is_empty() {
                return Some((Ok(text.into()), self));
            }
            if done {
                return None;
            }
            // There may be more.
            if any {
                continue;
            }
            if tokio::time::timeout(KEEP_ALIVE, self.grown.changed())
                .await
                .is_err()
            {
                return Some((Ok(ALIVE), self));
            }
        }
    }

    /// Events that wait, as text, and only so many at once, as nobody else gets at the stream while they are judged. `None`: it
    /// was dismissed.
    fn take(&self) -> Option<Taken> {
        let mut events = self.stream.events();
        if !events.are_read_by(self.number) {
            return None;
        }
        let abouts: Vec<Option<&About>> = match &self.hearer {
            Some(_) => {
                let waiting = events.untaken().take(WAITING_MAX);
                waiting.map(|event| event.about.as_ref()).collect()
            }
            None => Vec::new(),
        };
        let may_read = self.hearer.as_ref().map(|hearer| hearer.may_read(&abouts));
        let (mut text, mut taken) = (String::new(), events.taken);
        for (
            at,
            Event {
                number,
                text: message,
                ..
            },
        ) in events.untaken().take(WAITING_MAX).enumerate()
        {
            taken = *number;
            let may_read = may_read
                .as_ref()
                .is_none_or(|may| may.get(at) == Some(&true));
            if !may_read {
                continue;
            }
            if let Keep::ForResuming(stream) = self.stream.keep {
                // Writing to a string does not fail.
                let _ = writeln!(text, "id: {stream}-{number}");
            }
            let _ = write!(text, "event: message\ndata: {message}\n\n");
        }
        let any = events.untaken().next().is_some();
        // Where nothing waits the client may have named an event that there never was.
        events.taken = if any { taken } else { events.last };
        if self.stream.keep == Keep::Nothing {
            while events
                .kept
                .front()
                .is_some_and(|event| event.number <= taken)
            {
                events.forget_oldest();
            }
        }
        Some(Taken {
            text,
            any,
            done: events.done && events.taken == events.last,
        })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut events = self.stream.events();
        // If it was dismissed, another one may read by now.
        if events.are_read_by(self.number) {
            events.attached = false;
        }
        drop(events);
        self.stream.taken.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use serde_json::json;

    async fn text(response: Response) -> String {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn many_events_are_taken_some_at_a_time() {
        for keep in [Keep::ForResuming(7), Keep::Nothing] {
            let stream = Stream::new(keep);
            for n in 0..3 * WAITING_MAX {
                stream.push(&json!({ "n": n })).await;
            }
            stream.finish();
            let mut body = stream.respond(0).unwrap().into_body();
            let mut counts = Vec::new();
            while let Some(frame) = body.frame().await {
                let data = frame.unwrap().into_data().unwrap();
                let text = String::from_utf8(data.to_vec()).unwrap();
                counts.push(text.matches("event: message").count());
            }
            counts.retain(|count| *count > 0);
            assert_eq!(counts, [WAITING_MAX; 3], "{keep:?}");
        }
    }

    #[tokio::test]
    async fn a_stream_is_taken_up_where_it_was_left() {
        let stream = Stream::new(Keep::ForResuming(7));
        for n in 1..=3 {
            stream.push(&json!({ "n": n })).await;
        }
        stream.finish();
        let all = text(stream.respond(0).unwrap()).await;
        assert!(
            all.starts_with("id: 7-0\nretry: 1000\ndata:\n\nid: 7-1\n"),
            "{all}"
        );
        let rest = text(stream.respond(2).unwrap()).await;
        assert!(
            !rest.contains("{\"n\":2}") && rest.contains("{\"n\":3}"),
            "{rest}"
        );
    }

    #[tokio::test]
    async fn one_client_reads_at_a_time_and_the_writer_waits_for_it() {
        let stream = Stream::new(Keep::Nothing);
        let response = stream.respond(0).unwrap();
        assert!(stream.respond(0).is_none(), "two readers");
        let writer = Arc::clone(&stream);
        let written = tokio::spawn(async move {
            for n in 0..1_000 {
                writer.push(&json!({ "n": n })).await;
            }
            writer.finish();
        });
        tokio::task::yield_now().await;
        assert!(stream.events().kept.len() <= WAITING_MAX);
        let all = text(response).await;
        written.await.unwrap();
        assert_eq!(all.matches("data:").count(), 1_000);
        assert!(!stream.events().attached);
    }

    #[tokio::test]
    async fn nothing_is_dropped_that_a_client_is_about_to_read() {
        let account = Account::default();
        let stream = Stream::on(Keep::ForResuming(1), Arc::clone(&account));
        let response = stream.respond(0).unwrap();
        let writer = Arc::clone(&stream);
        let large = "x".repeat(KEPT_BYTES_MAX / 3);
        let written = tokio::spawn(async move {
            for n in 0..10 {
                writer.push(&json!({ "n": n, "text": large })).await;
            }
            writer.push(&json!("y".repeat(2 * KEPT_BYTES_MAX))).await;
            writer.finish();
        });
        tokio::task::yield_now().await;
        assert!(stream.events().bytes <= KEPT_BYTES_MAX, "the writer waits");
        let all = text(response).await;
        written.await.unwrap();
        assert_eq!(all.matches("\"n\":").count(), 10);
        assert!(all.contains("yyy"));
        assert_eq!(account.load(Ordering::Relaxed), stream.events().bytes);
        drop(stream);
        assert_eq!(account.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn who_is_dismissed_reads_nothing_more_and_keeps_nobody_out() {
        let stream = Stream::new(Keep::ForResuming(1));
        stream.push(&json!({ "n": 1 })).await;
        let first = stream.respond(0).unwrap();
        let reader = stream.reader();
        stream.dismiss(reader);
        stream.left_by(reader).await;
        let second = stream.respond(0).unwrap();
        // Of one that is gone already nothing is ended.
        stream.dismiss(reader);
        assert!(!text(first).await.contains("{\"n\":1}"));
        assert!(stream.respond(0).is_none(), "the second reads");
        stream.finish();
        assert!(text(second).await.contains("{\"n\":1}"));
    }

    #[tokio::test]
    async fn who_comes_back_does_not_wait_until_its_loss_is_noticed() {
        let stream = Stream::new(Keep::ForResuming(1));
        let lost = stream.respond(0).unwrap();
        assert_eq!(lost.headers()["x-accel-buffering"], "no");
        stream.push(&json!({ "n": 1 })).await;
        stream.dismiss(stream.reader());
        let back = stream.respond(0).unwrap();
        stream.finish();
        assert!(text(back).await.contains("{\"n\":1}"));
        assert!(!text(lost).await.contains("{\"n\":1}"));
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_holds_who_writes_only_so_long() {
        let stream = Stream::new(Keep::ForResuming(1));
        let idle = stream.respond(0).unwrap();
        let reader = stream.reader();
        let writing = async {
            for n in 0..=WAITING_MAX {
                let message = json!({ "n": n });
                stream
                    .push_within(&message, None, Duration::from_millis(50))
                    .await;
            }
        };
        let written = tokio::time::timeout(Duration::from_secs(20), writing).await;
        assert!(written.is_ok(), "it waits for ever");
        // Who follows for it sees it gone, and another may read all of it.
        assert!(!stream.is_read_by(reader));
        stream.finish();
        let all = text(stream.respond(0).unwrap()).await;
        assert_eq!(all.matches("\"n\":").count(), WAITING_MAX + 1);
        assert!(!text(idle).await.contains("\"n\":"));
    }

    #[tokio::test]
    async fn what_nobody_reads_is_bounded_and_the_newest_stays() {
        let stream = Stream::new(Keep::ForResuming(1));
        for n in 0..10_000 {
            stream
                .push(&json!({ "n": n, "text": "x".repeat(1_000) }))
                .await;
        }
        let events = stream.events();
        assert!(events.kept.len() <= KEPT_MAX && events.bytes <= KEPT_BYTES_MAX);
        assert!(events.kept.back().unwrap().text.contains("9999"));
    }
}

//! What a child of the stateless revision tells by itself: it has to be asked to. One of the older revisions is not.

use super::Stdio;
use super::child::Running;
use super::waiting::Waiting;
use crate::upstream::rpc::{self, Era, Failure};
use crate::upstream::talk::Talk;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;

impl Stdio {
    /// Asks the child to tell which of its lists changed and which of these resources, and waits until it does so no
    /// more; what it tells comes on its one stream. Another child has to be asked anew.
    pub(in crate::upstream) async fn listen(
        &self,
        talk: &Talk,
        watched: &[Arc<str>],
    ) -> Result<(), Failure> {
        let running = self.running().await?;
        if running.era == Era::Legacy {
            // It tells by itself.
            drop(running);
            return std::future::pending().await;
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let notifications = rpc::wanted(watched);
        let params = Map::from_iter([("notifications".to_owned(), notifications)]);
        let params = rpc::modern_params(params, talk, id);
        let listening = running.waiting.listen(id);
        let _stops = Stops::new(&running, id);
        running
            .say(&rpc::request(id, "subscriptions/listen", params))
            .await?;
        // Nobody else has to hold it: a child that is let go of is not kept for this.
        drop(running);
        match listening.await {
            Ok(answer) => answer.map(drop),
            // It is gone, or tells no more.
            Err(_) => Ok(()),
        }
    }
}

/// Dropped, it tells the child that nobody listens any more.
struct Stops {
    waiting: Waiting,
    lines: mpsc::WeakSender<Vec<u8>>,
    id: u64,
}

impl Stops {
    fn new(running: &Running, id: u64) -> Self {
        Self {
            waiting: running.waiting.clone(),
            lines: running.lines.downgrade(),
            id,
        }
    }
}

impl Drop for Stops {
    fn drop(&mut self) {
        self.waiting.forget(self.id);
        let params = Map::from_iter([("requestId".to_owned(), Value::from(self.id))]);
        let cancelled = rpc::notification("notifications/cancelled", params);
        if let (Some(lines), Ok(mut line)) = (self.lines.upgrade(), serde_json::to_vec(&cancelled))
        {
            line.push(b'\n');
            // A child that takes nothing any more has more to worry about.
            let _ = lines.try_send(line);
        }
    }
}

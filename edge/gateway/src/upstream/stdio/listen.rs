//! What a child of the stateless revision tells by itself: it has to be asked to. One of the older revisions is not.
//!
//! For its news alone no child is started again that ended because nobody needed it: it has none while it does not run, and
//! what it lists is compared when it is started next. Where a resource is watched, somebody does need it.

use super::Stdio;
use super::child::Running;
use super::waiting::Waiting;
use crate::upstream::rpc::{self, Era, Failure};
use crate::upstream::talk::{Deadline, Talk};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;

impl Stdio {
    /// Asks a child of the older revisions for each resource that is to be watched, and for no more than that. Whether it has
    /// answered all of it.
    pub(in crate::upstream) async fn subscribe(
        &self,
        wanted: &HashSet<Arc<str>>,
        talk: &Talk,
    ) -> bool {
        if wanted.is_empty() && self.rests().await {
            return true;
        }
        let Ok(running) = self.running().await else {
            return false;
        };
        if running.era == Era::Modern {
            return true;
        }
        let mut all = true;
        for change in running.subscribed.changes(wanted) {
            let request = change.request(talk);
            let mut deadline = Deadline::new(request.limit);
            let answer = self.ask(&running, &request, &mut deadline).await;
            all &= running.subscribed.settle(&change, &answer);
        }
        all
    }

    /// Asks the child to tell which of its lists changed and which of these resources, and waits until it does so no
    /// more; what it tells comes on its one stream. Another child has to be asked anew. One of the older revisions is not asked.
    pub(in crate::upstream) async fn listen(
        &self,
        talk: &Talk,
        watched: &[Arc<str>],
    ) -> Result<(), Failure> {
        if watched.is_empty() {
            self.woken().await;
        }
        let running = self.running().await?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        if running.era == Era::Legacy {
            // It tells by itself, until it ends: no answer has this id.
            let ended = Ended(running.waiting.clone(), id);
            let listening = running.waiting.listen(id);
            drop(running);
            drop(listening.await);
            drop(ended);
            return Ok(());
        }
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

/// Waits for the end of a child; dropped, it does so no more.
struct Ended(Waiting, u64);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.forget(self.1);
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

//! What our clients watch at a server, and the streams on which it tells of that.

use super::{Link, WATCHER};
use crate::upstream::talk::Talk;
use crate::upstream::task::Wish;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How many of our clients watch what.
pub(super) type Watching = watch::Sender<HashMap<Arc<str>, usize>>;

/// A resource or a task that is watched.
pub(crate) struct Watched {
    watched: Watching,
    what: Arc<str>,
}

impl Watched {
    pub(super) fn new(watched: &Watching, what: &str) -> Self {
        let what: Arc<str> = what.into();
        watched.send_modify(|watched| {
            let count = watched.entry(Arc::clone(&what)).or_default();
            *count = count.saturating_add(1);
        });
        Self {
            watched: watched.clone(),
            what,
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watched.send_modify(|watched| {
            if let Some(count) = watched.get_mut(&self.what) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    watched.remove(&self.what);
                }
            }
        });
    }
}

/// Listens to what a server tells about itself; anew when the resources that are watched change.
pub(super) async fn listen(link: Weak<Link>, stop: CancellationToken) {
    let talk = Talk::watching(WATCHER);
    loop {
        let Some(link) = link.upgrade() else { return };
        let mut watched = link.watched_resources.subscribe();
        let wanted: HashSet<Arc<str>> = watched.borrow_and_update().keys().cloned().collect();
        let transport = Arc::clone(&link.transport);
        // The server is gone when nobody else holds it.
        drop(link);
        let listed: Vec<_> = wanted.iter().cloned().collect();
        tokio::select! {
            () = stop.cancelled() => return,
            () = transport.listen(&talk, &listed) => {}
            // Beside it, and anew with it: what was asked of a server that was restarted is lost.
            () = transport.subscribe(&wanted, &talk) => {}
            () = others(&mut watched, &wanted) => {}
        }
    }
}

/// Waits until other resources are watched than these: how many watch them is nothing that their server has to hear of, and what
/// it tells while a stream is opened anew is missed.
async fn others(watched: &mut watch::Receiver<HashMap<Arc<str>, usize>>, than: &HashSet<Arc<str>>) {
    while watched.changed().await.is_ok() {
        let now = watched.borrow_and_update();
        if now.len() != than.len() || !now.keys().all(|one| than.contains(one)) {
            return;
        }
    }
}

/// Listens to what a server of the stateless revision tells of tasks, while there are any that somebody watches.
pub(super) async fn listen_for_tasks(link: Weak<Link>, stop: CancellationToken) {
    let talk = Talk {
        tasks: Wish::Offered { needed: false },
        ..Talk::watching(WATCHER)
    };
    loop {
        let Some(link) = link.upgrade() else { return };
        let mut watched = link.watched_tasks.subscribe();
        let tasks: Vec<_> = watched.borrow_and_update().keys().cloned().collect();
        let (transport, told) = (Arc::clone(&link.transport), link.told_tasks.clone());
        // The server is gone when nobody else holds it.
        drop(link);
        tokio::select! {
            () = stop.cancelled() => return,
            () = transport.listen_for_tasks(&talk, &tasks, &told) => {}
            () = more(&mut watched, &tasks) => {}
        }
        // Until it agrees once more, they are asked after.
        told.send_replace(HashSet::new());
    }
}

/// Waits until others are watched than these, or none: what is told of one that nobody watches any more does no harm, and a new
/// stream may miss something.
async fn more(watched: &mut watch::Receiver<HashMap<Arc<str>, usize>>, than: &[Arc<str>]) {
    while watched.changed().await.is_ok() {
        let now = watched.borrow_and_update();
        if now.is_empty() || !now.keys().all(|one| than.contains(one)) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_watches_what_is_watched_already_interrupts_nobody() {
        let watched: Watching = watch::channel(HashMap::new()).0;
        let first = Watched::new(&watched, "docs://a");
        let mut news = watched.subscribe();
        let wanted = HashSet::from([Arc::<str>::from("docs://a")]);
        let mut waits = Box::pin(others(&mut news, &wanted));
        let second = Watched::new(&watched, "docs://a");
        assert!(futures::poll!(waits.as_mut()).is_pending(), "one more");
        drop(first);
        assert!(futures::poll!(waits.as_mut()).is_pending(), "one less");
        let other = Watched::new(&watched, "docs://b");
        assert!(futures::poll!(waits.as_mut()).is_ready(), "another");
        drop(waits);
        drop((second, other));
        let mut waits = Box::pin(others(&mut news, &wanted));
        assert!(futures::poll!(waits.as_mut()).is_ready(), "none");
    }
}

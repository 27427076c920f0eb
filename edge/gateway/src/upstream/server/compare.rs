//! Whether a server still shows what was approved: it is asked for its lists from time to time, and before it is called.

use super::listing::Listing;
use super::transport::Transport;
use super::{Link, Server, WATCHER};
use crate::upstream::Reply;
use crate::upstream::http::Request;
use crate::upstream::rpc::{self, Failure, News};
use crate::upstream::talk::Talk;
use proctor_model::catalogue::{Listed, ToolDefinition};
use proctor_model::sighting::{LEFT_OUT_MAX, LeftOut, SEEN_BYTES_MAX};
use proctor_model::{EntryKind, ToolName};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// How often all that a server lists is compared with what was approved.
const COMPARE: Duration = Duration::from_secs(15);
/// The same after it failed.
pub(super) const COMPARE_AGAIN: Duration = Duration::from_secs(2);
/// How long after its tools were looked at a server is called without a look at them first.
const LOOK_FIRST: Duration = Duration::from_secs(5);
/// And how long without one beside the call: where calls follow each other, none of them waits.
const LOOK_BESIDE: Duration = Duration::from_secs(2);
/// How long a call waits for that look. What is not shown until then was shown lately, or the server is not called at all
/// (`UNSEEN_MAX`).
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long listing the tools may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of all pages of a list together.
const LIST_BYTES_MAX: u64 = 16 * 1024 * 1024;
const LIST_PAGES_MAX: usize = 64;
/// Definitions of one kind that a server may list.
const DEFINITIONS_MAX: usize = 4_096;
/// How long one page of a list may take: less than all of it, so that a server that hangs is seen to.
const PAGE_TIMEOUT: Duration = Duration::from_secs(8);
/// Least time between two lists.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// How long a server that can't be asked is still called by what it showed last.
const UNSEEN_MAX: Duration = Duration::from_secs(60);

/// What a server shows under a name.
pub(super) struct Shown {
    pub(super) digest: String,
    /// For people to look at, where it differs from what was approved and there is room.
    pub(super) definition: Option<ToolDefinition>,
}

/// Definitions are the same if their digests are.
impl PartialEq for Shown {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

/// When a server was looked at.
pub(super) struct Looks {
    /// The end of the last look, whatever came of it; none before the first.
    last: watch::Sender<Option<Instant>>,
    /// Somebody wants another one.
    wanted: Arc<Notify>,
    /// There is none for now: the server has ended because nobody needs it.
    at_rest: AtomicBool,
}

impl Default for Looks {
    fn default() -> Self {
        Self {
            last: watch::channel(None).0,
            wanted: Arc::default(),
            at_rest: AtomicBool::new(false),
        }
    }
}

impl Looks {
    /// Whether there was any.
    pub(super) fn any(&self) -> bool {
        self.last.borrow().is_some()
    }

    /// Whether the server has ended because nobody needs it, and was not looked at since.
    pub(super) fn at_rest(&self) -> bool {
        self.at_rest.load(Ordering::Acquire)
    }

    fn note(&self) {
        self.at_rest.store(false, Ordering::Release);
        self.last.send_replace(Some(Instant::now()));
    }

    /// Waits for a look, where the last is too long ago for a call. Many calls wait for the same one.
    pub(super) async fn lately(&self, kind: EntryKind, transport: &Transport) {
        let last = *self.last.borrow();
        let Some(last) = last else {
            return self.within(LIST_TIMEOUT, |last| last.is_some()).await;
        };
        // What is started now may be another program: for nothing of it is the last look good enough.
        if self.at_rest() {
            self.wanted.notify_one();
            return self.within(LIST_TIMEOUT, |now| *now != Some(last)).await;
        }
        // Tools alone: what else changes is seen a little later.
        if kind != EntryKind::Tool {
            return;
        }
        let age = last.elapsed();
        // A child's one stream does not tell whom a word is for: a look beside a call would take its words away.
        let beside = matches!(transport, Transport::Http(_)) && age > LOOK_BESIDE;
        let first = age > LOOK_FIRST;
        if beside || first {
            self.wanted.notify_one();
        }
        if first {
            let recent = |last: &Option<Instant>| last.is_some_and(|at| at.elapsed() <= LOOK_FIRST);
            self.within(LOOK_TIMEOUT, recent).await;
        }
    }

    async fn within(&self, limit: Duration, enough: impl FnMut(&Option<Instant>) -> bool) {
        let mut last = self.last.subscribe();
        // Late or in time: the call decides.
        drop(tokio::time::timeout(limit, last.wait_for(enough)).await);
    }

    #[cfg(test)]
    pub(super) fn were(&self, ago: Duration) {
        self.last.send_replace(Instant::now().checked_sub(ago));
    }
}

/// What is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    All,
    Tools,
}

impl Look {
    fn lists(self) -> &'static [Listed] {
        match self {
            Self::All => &Listed::ALL,
            Self::Tools => &[Listed::Tool],
        }
    }
}

/// Compares definitions until the server is gone.
pub(super) async fn compare(link: Weak<Link>, stop: CancellationToken) {
    let (mut last_seen, mut look, mut all_at) = (None, Look::All, Instant::now());
    loop {
        if look == Look::All {
            rest(&link, &stop).await;
            if stop.is_cancelled() {
                return;
            }
        }
        let Some(link) = link.upgrade() else { return };
        let mut news = link.news.subscribe();
        let shown = tokio::time::timeout(LIST_TIMEOUT, link.definitions(look)).await;
        let shown = shown.unwrap_or(Err(Failure::Timeout));
        match (look, shown) {
            (Look::Tools, Ok(shown)) => {
                link.take_in(look, shown);
                last_seen = Some(Instant::now());
            }
            // The look at everything, soon, says what is to be made of that.
            (Look::Tools, Err(_)) => all_at = all_at.min(Instant::now() + COMPARE_AGAIN),
            (Look::All, shown) => all_at = Instant::now() + link.compare(shown, &mut last_seen),
        }
        link.looks.note();
        let wanted = Arc::clone(&link.looks.wanted);
        let seen = link.seen.load(Ordering::Acquire);
        drop(link);
        // However often a server says that its lists changed.
        tokio::time::sleep(PAUSE_MIN).await;
        let unchanged = |news: &News| !matches!(news, News::Listed(_));
        let changed = async { while news.recv().await.is_ok_and(|news| unchanged(&news)) {} };
        look = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = changed => Look::All,
            () = tokio::time::sleep_until(all_at.into()) => Look::All,
            () = wanted.notified(), if seen => Look::Tools,
        };
    }
}

/// Waits while a server is at rest, until somebody wants it or has started it.
async fn rest(link: &Weak<Link>, stop: &CancellationToken) {
    let Some(link) = link.upgrade() else { return };
    if !link.goes_to_rest().await {
        return;
    }
    let (transport, wanted) = (Arc::clone(&link.transport), Arc::clone(&link.looks.wanted));
    // The server is gone when nobody else holds it.
    drop(link);
    tokio::select! {
        () = stop.cancelled() => {}
        () = wanted.notified() => {}
        () = transport.woken() => {}
    }
}

impl Link {
    /// Whether it is at rest: all was well with it, nobody watches anything of it, and it has ended by itself. From now on it is
    /// not called before it was looked at once more.
    async fn goes_to_rest(&self) -> bool {
        let watched = !self.watched_resources.borrow().is_empty();
        let well = self.seen.load(Ordering::Acquire);
        let rests = well && !watched && self.transport.rests().await;
        if rests {
            self.looks.at_rest.store(true, Ordering::Release);
            self.seen.store(false, Ordering::Release);
        }
        rests
    }

    /// Takes in what a server shows. One that shows nothing can't be compared with what was approved: it is not called,
    /// at once if it refuses to show, after a while if it can't be reached.
    fn compare(
        &self,
        listed: Result<HashMap<ToolName, Shown>, Failure>,
        last_seen: &mut Option<Instant>,
    ) -> Duration {
        match listed {
            Ok(shown) => {
                self.take_in(Look::All, shown);
                *last_seen = Some(Instant::now());
                self.seen.store(true, Ordering::Release);
                COMPARE
            }
            Err(failure) => {
                // What was seen before it went to rest says nothing of the program that is started now.
                if self.looks.at_rest() {
                    *last_seen = None;
                }
                let away = matches!(
                    failure,
                    Failure::Unreachable | Failure::Broken | Failure::Timeout
                );
                let lately = last_seen.is_some_and(|seen| seen.elapsed() < UNSEEN_MAX);
                let called = away && lately;
                let failed_before = !self.seen.swap(called, Ordering::AcqRel);
                let doubted = is_doubted(failure, lately, failed_before);
                if let (Transport::Http(http), true) = (&*self.transport, doubted) {
                    http.doubt();
                }
                COMPARE_AGAIN
            }
        }
    }

    /// Takes in what was seen; what was not looked at is as it was.
    fn take_in(&self, look: Look, mut shown: HashMap<ToolName, Shown>) {
        let looked_at = shown.len();
        let mut held = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        let same = held.as_mut().is_some_and(|before| {
            if look == Look::Tools {
                shown.extend(before.extract_if(|name, _| name.kind() != EntryKind::Tool));
            }
            let is_same = |(name, before): (&ToolName, &Shown)| shown.get(name) == Some(before);
            before.len() == looked_at && before.iter().all(is_same)
        });
        *held = Some(shown);
        drop(held);
        if !same {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// All that the server shows. Two definitions under one name are none: nobody can say which of them a call gets.
    async fn definitions(&self, look: Look) -> Result<HashMap<ToolName, Shown>, Failure> {
        let (mut shown, mut twice) = (HashMap::new(), HashSet::new());
        let Listing {
            definitions,
            left_out,
        } = self.list(look).await?;
        self.note_left_out(look, left_out);
        for definition in definitions {
            let name = definition.name.clone();
            let digest = definition.digest();
            let definition = Some(definition);
            let before = shown.insert(name.clone(), Shown { digest, definition });
            twice.extend(before.map(|_| name));
        }
        shown.retain(|name, _| !twice.contains(name));
        self.keep_what_differs(&mut shown);
        Ok(shown)
    }

    /// What was not looked at is as it was.
    fn note_left_out(&self, look: Look, left_out: Vec<LeftOut>) {
        let mut held = self
            .left_out
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let methods = look.lists().iter().map(|listed| listed.method());
        let looked_at: Vec<_> = methods.collect();
        held.retain(|known| !looked_at.contains(&known.list.as_str()));
        held.extend(left_out);
        held.truncate(LEFT_OUT_MAX);
    }

    /// Of the definitions only those that people may have to look at stay in memory, and no more than can be told.
    pub(super) fn keep_what_differs(&self, shown: &mut HashMap<ToolName, Shown>) {
        let approved = self.approved.read().unwrap_or_else(PoisonError::into_inner);
        let mut room = SEEN_BYTES_MAX;
        let mut all: Vec<_> = shown.iter_mut().collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        for (name, shown) in all {
            let differs = approved.get(name) != Some(&shown.digest);
            let kept = shown.definition.take().filter(|_| differs);
            shown.definition = kept.filter(|definition| takes(&mut room, definition));
        }
    }

    /// All that the server lists: tools, resources, templates, prompts. What can't be read as a definition is left out.
    async fn list(&self, look: Look) -> Result<Listing, Failure> {
        let (mut all, mut left) = (Listing::default(), LIST_BYTES_MAX);
        for listed in look.lists().iter().copied() {
            let listing = self.one_list(listed, &mut left).await;
            match listing {
                Ok(found) => all.extend(found),
                // Only tools are always there to be listed; a server without prompts says so with an error.
                Err(Failure::Invalid | Failure::Refused | Failure::ServerError)
                    if listed != Listed::Tool => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(all)
    }

    async fn one_list(&self, listed: Listed, left: &mut u64) -> Result<Listing, Failure> {
        let talk = Talk::watching(WATCHER);
        let (mut all, mut params) = (Listing::default(), Map::new());
        for _ in 0..LIST_PAGES_MAX {
            let mut request = Request::own(listed.method(), params.clone(), &talk);
            request.bytes_max = *left;
            request.limit = PAGE_TIMEOUT;
            let answer = self.request(request).await?;
            *left = left.saturating_sub(answer.bytes);
            let page = match answer.reply {
                // It has none of them.
                Reply::Error(error) if error.get("code") == Some(&Value::from(-32601)) => {
                    return Ok(all);
                }
                _ => rpc::result(answer)?,
            };
            let elements = page
                .get(listed.member())
                .and_then(Value::as_array)
                .ok_or(Failure::Invalid)?;
            all.read(listed, elements);
            if all.definitions.len() > DEFINITIONS_MAX {
                return Err(Failure::TooLarge);
            }
            match page.get("nextCursor").filter(|cursor| !cursor.is_null()) {
                Some(cursor) => drop(params.insert("cursor".into(), cursor.clone())),
                None => return Ok(all),
            }
        }
        Err(Failure::Invalid)
    }
}

/// Whether it may be another server now, that has none of our sessions: it says that it does not know ours, as many do with
/// another error than they should, or nothing of it was seen for long. One that can't be reached for a moment, or that has
/// too much to do, may have kept them: if not, it refuses ours.
fn is_doubted(failure: Failure, lately: bool, failed_before: bool) -> bool {
    match failure {
        Failure::SessionLost | Failure::Invalid => true,
        Failure::ServerError => failed_before || !lately,
        _ => !lately,
    }
}

/// Takes the room that a definition needs, if it is there.
pub(super) fn takes(room: &mut usize, definition: &ToolDefinition) -> bool {
    let size = serde_json::to_vec(definition).map_or(usize::MAX, |json| json.len());
    let left = room.checked_sub(size);
    *room = left.unwrap_or(*room);
    left.is_some()
}

/// Asks a server for all that it lists, once.
pub(in crate::upstream) async fn list(server: &Server) -> Result<Listing, Failure> {
    tokio::time::timeout(LIST_TIMEOUT, server.link.list(Look::All))
        .await
        .unwrap_or(Err(Failure::Timeout))
}

#[cfg(test)]
mod tests {
    use super::super::tests::server;
    use super::*;

    #[tokio::test]
    async fn one_that_was_at_rest_is_not_called_by_what_it_showed_before() {
        for (at_rest, called) in [(false, true), (true, false)] {
            let server = server();
            let (link, mut last_seen) = (&server.link, Some(Instant::now()));
            link.seen.store(!at_rest, Ordering::Release);
            link.looks.at_rest.store(at_rest, Ordering::Release);
            // However often it fails from then on.
            for _ in 0..3 {
                link.compare(Err(Failure::Unreachable), &mut last_seen);
                link.looks.note();
                assert_eq!(link.seen.load(Ordering::Acquire), called);
            }
            assert!(!link.looks.at_rest(), "it can't be reached");
            link.compare(Ok(HashMap::new()), &mut last_seen);
            assert!(link.seen.load(Ordering::Acquire));
        }
    }

    #[test]
    fn a_server_that_says_nothing_of_our_sessions_keeps_them() {
        for (failure, at_once, soon) in [
            (Failure::SessionLost, true, true),
            (Failure::Invalid, true, true),
            (Failure::ServerError, false, true),
            (Failure::Refused, false, false),
            (Failure::NoCredential, false, false),
            (Failure::TooLarge, false, false),
            (Failure::Unreachable, false, false),
            (Failure::Timeout, false, false),
        ] {
            assert_eq!(is_doubted(failure, true, false), at_once, "{failure:?}");
            assert_eq!(is_doubted(failure, true, true), soon, "{failure:?}");
            assert!(is_doubted(failure, false, true), "{failure:?}");
        }
    }
}

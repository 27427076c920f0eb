//! Which resources a server of the older revisions was asked to tell of: in one session, or as one child. Another one has to
//! be asked anew.

use super::Answer;
use super::http::Request;
use super::rpc::Failure;
use super::talk::Talk;
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What it was asked for, and has answered.
#[derive(Default)]
pub(super) struct Subscribed(Mutex<HashSet<Arc<str>>>);

/// A resource that it is to tell of from now on, or no more.
pub(super) struct Change {
    uri: Arc<str>,
    wanted: bool,
}

impl Change {
    pub(super) fn request<'a>(&self, talk: &'a Talk) -> Request<'a> {
        let method = match self.wanted {
            true => "resources/subscribe",
            false => "resources/unsubscribe",
        };
        let params = Map::from_iter([("uri".to_owned(), Value::from(&*self.uri))]);
        Request::own(method, params, talk)
    }
}

impl Subscribed {
    fn uris(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it has to be asked so that it tells of these and of no others.
    pub(super) fn changes(&self, wanted: &HashSet<Arc<str>>) -> Vec<Change> {
        let change = |wanted| {
            move |uri: &Arc<str>| Change {
                uri: Arc::clone(uri),
                wanted,
            }
        };
        let uris = self.uris();
        let more = wanted.difference(&uris).map(change(true));
        more.chain(uris.difference(wanted).map(change(false)))
            .collect()
    }

    /// Whether a request for this was answered: it is not made again then. One that it refuses is never told of; one that it
    /// does not answer it may not have got.
    pub(super) fn settle(&self, change: &Change, answer: &Result<Answer, Failure>) -> bool {
        // It may have got one that it answered in no way that can be read.
        let answered = matches!(answer, Ok(_) | Err(Failure::Invalid | Failure::TooLarge));
        let mut uris = self.uris();
        match change.wanted {
            true if !answered => return false,
            true => uris.insert(Arc::clone(&change.uri)),
            // What it tells of without being asked for it does no harm.
            false => uris.remove(&change.uri),
        };
        true
    }

    /// The stream on which it told is over: it may be another now.
    pub(super) fn clear(&self) {
        self.uris().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reply;
    use super::*;

    #[test]
    fn what_was_not_answered_is_asked_for_again() {
        let (subscribed, talk) = (Subscribed::default(), Talk::silent(""));
        let uris = |uris: &[&str]| -> HashSet<Arc<str>> {
            uris.iter().map(|uri| Arc::from(*uri)).collect()
        };
        let asked = |wanted: &HashSet<Arc<str>>| {
            let changes = subscribed.changes(wanted);
            let mut asked: Vec<_> = changes
                .iter()
                .map(|change| {
                    let method = change.request(&talk).method.to_owned();
                    (method, change.uri.to_string())
                })
                .collect();
            asked.sort_unstable();
            (changes, asked)
        };
        let of = |method: &str, uri: &str| (format!("resources/{method}"), uri.to_owned());
        let both = uris(&["a", "b"]);
        let (changes, all) = asked(&both);
        assert_eq!(all, [of("subscribe", "a"), of("subscribe", "b")]);
        for change in &changes {
            let answer = match &*change.uri {
                "a" => Err(Failure::Unreachable),
                _ => Ok(Answer {
                    reply: Reply::Error(Map::new()),
                    bytes: 0,
                }),
            };
            assert_eq!(subscribed.settle(change, &answer), &*change.uri == "b");
        }
        assert_eq!(asked(&both).1, [of("subscribe", "a")]);
        // Nor is it one that was never sent, or that it had no time for.
        for (failure, settled) in [
            (Failure::NoCredential, false),
            (Failure::Overloaded, false),
            (Failure::Refused, false),
            (Failure::ServerError, false),
            (Failure::Invalid, true),
            (Failure::TooLarge, true),
        ] {
            let another = Subscribed::default();
            let change = &another.changes(&uris(&["a"]))[0];
            assert_eq!(another.settle(change, &Err(failure)), settled);
        }
        assert_eq!(asked(&uris(&[])).1, [of("unsubscribe", "b")]);
        subscribed.clear();
        assert_eq!(asked(&both).1.len(), 2, "another one knows of none");
    }
}

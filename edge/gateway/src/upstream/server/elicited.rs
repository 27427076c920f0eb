//! Whom a server sent to a page of its own: the news that something was done there is for that client alone.

use crate::upstream::rpc;
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Clients that are kept in mind; the oldest makes room, and would have to ask by itself.
const KEPT_MAX: usize = 1_024;

/// In whose name, and the server's name for what they were sent to do.
#[derive(Default)]
pub(super) struct Elicited(Mutex<VecDeque<(Arc<str>, Box<str>)>>);

impl Elicited {
    /// Notes what a client was shown, if it sends it to a page.
    pub(super) fn note(&self, who: &Arc<str>, said: &Map<String, Value>) {
        if said.get("mode").and_then(Value::as_str) != Some("url") {
            return;
        }
        let Some(id) = rpc::elicitation(said) else {
            return;
        };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back((Arc::clone(who), id.into()));
    }

    /// Whether this client was sent so, once.
    pub(super) fn take(&self, who: &str, id: &str) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept
            .iter()
            .position(|(owner, known)| **owner == *who && **known == *id);
        at.and_then(|at| kept.remove(at)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_who_was_sent_is_told_and_once() {
        let (elicited, alice) = (Elicited::default(), Arc::from("alice"));
        let note = |said: Value| elicited.note(&alice, said.as_object().unwrap());
        note(json!({ "mode": "url", "elicitationId": "e1", "url": "https://x.example/" }));
        note(json!({ "mode": "form", "elicitationId": "e2" }));
        note(json!({ "mode": "url", "elicitationId": "x".repeat(257) }));
        note(json!({ "mode": "url" }));
        assert!(!elicited.take("bob", "e1"));
        assert!(!elicited.take("alice", "e2"));
        assert!(!elicited.take("alice", &"x".repeat(257)));
        assert!(elicited.take("alice", "e1"));
        assert!(!elicited.take("alice", "e1"), "once");
        for n in 0..2 * KEPT_MAX {
            note(json!({ "mode": "url", "elicitationId": n.to_string() }));
        }
        assert_eq!(elicited.0.lock().unwrap().len(), KEPT_MAX);
    }
}

//! What a message on the general stream of a session is about, and who may read it.
//!
//! Messages are written for who reads the stream at the time, and kept for a client that comes back: the same principal, but
//! perhaps with a token that is narrower, and in a world that is another. So each is judged when it is read, for who reads it.

use super::{Scope, follow, lists};
use crate::enforce::{Caller, Gateway};
use proctor_engine::{Tool, visible_tools};
use proctor_model::{EntryKind, RevocationId, ServerId};
use serde_json::json;
use std::sync::Arc;

/// What has to be known of a message to tell who may read it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum About {
    /// That a list changed which this token shows, and to what. Others may show another list, of which it says nothing.
    Changed(Option<RevocationId>, List),
    /// A resource of this server.
    Resource(ServerId, String),
    /// Something of this server: what it had somebody do, that it says that a list of its own changed.
    Server(ServerId),
}

/// A list of this kind as somebody gets to see it, by its digest.
pub(super) type List = (EntryKind, [u8; 32]);

/// A client that reads.
pub(super) struct Hearer {
    gateway: Arc<Gateway>,
    caller: Caller,
    scope: Scope,
}

impl Hearer {
    pub(super) fn of(gateway: &Arc<Gateway>, caller: &Caller, scope: &Scope) -> Self {
        Self {
            gateway: Arc::clone(gateway),
            caller: caller.clone(),
            scope: scope.clone(),
        }
    }

    /// Which of these messages it may read, as the world is now. One that is about nothing in particular is for everybody.
    pub(super) fn may_read(&self, messages: &[Option<&About>]) -> Vec<bool> {
        if messages.iter().all(Option::is_none) {
            return vec![true; messages.len()];
        }
        let judged = self.gateway.judge(&self.caller, |world, _| {
            // That an intent is over is a change of the lists, and no reason to keep it back.
            let visible = visible_tools(&self.caller.token, world).unwrap_or_default();
            let mut shown = Vec::new();
            let of_lists = |about: &&About| matches!(about, About::Changed(..));
            if messages.iter().flatten().any(of_lists) {
                shown.extend(follow::KINDS.map(|kind| self.list(kind, &visible)));
            }
            let sees = |about: &About| self.sees(about, &visible, &shown);
            messages
                .iter()
                .map(|about| about.is_none_or(sees))
                .collect()
        });
        match judged {
            Ok((may, _)) => may,
            Err(_) => vec![false; messages.len()],
        }
    }

    fn list(&self, kind: EntryKind, visible: &[&Tool]) -> List {
        let seen = lists::seen(visible, &self.scope, follow::of_kind(kind));
        (kind, lists::together(&seen))
    }

    fn sees(&self, about: &About, visible: &[&Tool], shown: &[List]) -> bool {
        let token = &self.caller.token;
        match about {
            // Who sees that very list may know of it: it may be the same client with a token that is new.
            About::Changed(of, list) => {
                (of.is_some() && of.as_ref() == token.id()) || shown.contains(list)
            }
            About::Resource(server, uri) => {
                let arguments = json!({ "uri": uri });
                visible.iter().any(|tool| {
                    let reference = tool.reference();
                    reference.server == *server
                        && reference.name.kind() == EntryKind::Resource
                        && tool
                            .meant(&arguments)
                            .is_some_and(|meant| token.covers(&meant))
                })
            }
            About::Server(server) => visible
                .iter()
                .any(|tool| tool.reference().server == *server),
        }
    }
}

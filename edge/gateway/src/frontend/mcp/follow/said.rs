//! What servers say of their own lists.

use crate::frontend::mcp::about::About;
use proctor_model::{EntryKind, ServerId};
use std::collections::BTreeSet;

/// Which lists servers said that they changed, since that was told last: each is there once, however often it was said.
#[derive(Default)]
pub(super) struct SaidChanged(BTreeSet<(EntryKind, ServerId)>);

impl SaidChanged {
    pub(super) fn note(&mut self, server: ServerId, kind: EntryKind) {
        self.0.insert((kind, server));
    }

    /// Those of these kinds, to be told to who may see anything of the server. From now on nothing was said.
    pub(super) fn take(&mut self, kinds: &[EntryKind]) -> Vec<(EntryKind, About)> {
        let said = std::mem::take(&mut self.0).into_iter();
        said.filter(|(kind, _)| kinds.contains(kind))
            .map(|(kind, server)| (kind, About::Server(server)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_again_and_again_is_told_once() {
        let server = |id: &str| -> ServerId { id.parse().unwrap() };
        let mut said = SaidChanged::default();
        let kinds = [EntryKind::Tool, EntryKind::Prompt];
        assert!(said.take(&kinds).is_empty());
        for _ in 0..1_000 {
            for id in ["a", "b"] {
                said.note(server(id), EntryKind::Prompt);
            }
            said.note(server("a"), EntryKind::Tool);
            said.note(server("a"), EntryKind::Resource);
        }
        let about = |id: &str| About::Server(server(id));
        let told = [
            (EntryKind::Tool, about("a")),
            (EntryKind::Prompt, about("a")),
            (EntryKind::Prompt, about("b")),
        ];
        assert_eq!(said.take(&kinds), told);
        assert!(said.take(&kinds).is_empty());
        // What was not wanted does not come later.
        assert!(said.take(&[EntryKind::Resource]).is_empty());
        said.note(server("a"), EntryKind::Resource);
        assert_eq!(said.take(&[EntryKind::Resource]).len(), 1);
    }
}

//! What a client wants to be told of.

use proctor_model::EntryKind;
use std::collections::HashSet;

/// Lists, and resources by their addresses.
#[derive(Clone, Default)]
pub(super) struct Wanted {
    pub(super) kinds: Vec<EntryKind>,
    pub(super) uris: HashSet<String>,
}

impl Wanted {
    /// Whether a resource is watched, or lies below one that is: servers may tell of a part where all was asked for.
    pub(super) fn watches(&self, uri: &str) -> bool {
        self.uris.contains(uri) || self.uris.iter().any(|watched| lies_below(uri, watched))
    }
}

fn lies_below(uri: &str, watched: &str) -> bool {
    let rest = uri.strip_prefix(watched);
    rest.is_some_and(|rest| watched.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_what_is_watched_is_watched() {
        let wanted = Wanted {
            kinds: Vec::new(),
            uris: HashSet::from(["docs://a/b".to_owned(), "docs://all/".to_owned()]),
        };
        for uri in ["docs://a/b", "docs://a/b/c", "docs://all/x/y"] {
            assert!(wanted.watches(uri), "{uri}");
        }
        for uri in ["docs://a/bc", "docs://a", "docs://al", "other://a/b/c", ""] {
            assert!(!wanted.watches(uri), "{uri}");
        }
    }
}

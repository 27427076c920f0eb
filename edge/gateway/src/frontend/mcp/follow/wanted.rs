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
    /// What is watched of a resource: itself, or the nearest that it lies below, as servers may tell of a part where all was
    /// asked for.
    pub(super) fn watched(&self, uri: &str) -> Option<&str> {
        let watched = self.uris.iter().map(String::as_str);
        watched
            .filter(|watched| *watched == uri || lies_below(uri, watched))
            .max_by_key(|watched| watched.len())
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
    fn a_part_of_what_is_watched_is_told_in_the_words_of_who_watches() {
        let wanted = Wanted {
            kinds: Vec::new(),
            uris: ["docs://a/b", "docs://a/b/c", "docs://all/"]
                .map(str::to_owned)
                .into(),
        };
        for (uri, watched) in [
            ("docs://a/b", "docs://a/b"),
            ("docs://a/b/x", "docs://a/b"),
            ("docs://a/b/c", "docs://a/b/c"),
            ("docs://a/b/c/x", "docs://a/b/c"),
            ("docs://all/x/y", "docs://all/"),
        ] {
            assert_eq!(wanted.watched(uri), Some(watched), "{uri}");
        }
        for uri in ["docs://a/bc", "docs://a", "docs://al", "other://a/b/c", ""] {
            assert_eq!(wanted.watched(uri), None, "{uri}");
        }
    }
}

//! Text parts of a stream that follow each other, and are read as one text.
//!
//! The end of a part may be the beginning of what must not pass, and so waits for what the next part begins with. What comes
//! behind that end (the event that says so, the one that begins the next part) waits with it, so that the agent gets
//! everything in the order in which it came.

use super::Stop;
use crate::filter::Released;
use serde_json::{Map, Value};
use std::collections::VecDeque;

/// A piece of text that may go on, and whether nothing may after it.
#[derive(Default)]
pub(super) struct Passed {
    pub(super) text: String,
    /// Where in it parts end.
    pub(super) ends: Vec<usize>,
    pub(super) stop: Option<Stop>,
}

impl Passed {
    pub(super) fn new(released: Released, stop: Option<Stop>) -> Self {
        Self {
            text: released.text,
            ends: released.ends,
            stop,
        }
    }

    /// The text part by part, from the one on of which some waited.
    fn pieces(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ends = self.ends.iter().copied().chain([self.text.len()]);
        let ranges = starts.zip(ends);
        ranges.map(|(start, end)| self.text.get(start..end).unwrap_or_default())
    }
}

/// Parts whose text has not all gone on. `P`: how the dialect names a part.
#[derive(Debug)]
pub(super) struct Row<P> {
    key: String,
    /// In their order, at least one: the first is the one whose text goes on next, the last the one whose text comes.
    parts: VecDeque<Part<P>>,
    /// No more comes of the last.
    ended: bool,
}

#[derive(Debug)]
struct Part<P> {
    name: P,
    /// Events that go on when its text has.
    behind: Vec<(String, Map<String, Value>)>,
}

/// What goes on.
#[derive(Debug)]
pub(super) enum Next<P> {
    /// Text of a part.
    Text(P, String),
    /// An event.
    Event(String, Map<String, Value>),
}

impl<P: Clone> Row<P> {
    /// One that begins with this part; `key`: what its text is known by in the flow.
    pub(super) fn new(key: String, name: P) -> Self {
        let mut row = Self {
            key,
            parts: VecDeque::new(),
            ended: false,
        };
        row.begin(name);
        row
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The part whose text comes.
    pub(super) fn last(&self) -> Option<&P> {
        self.parts.back().map(|part| &part.name)
    }

    /// Whether no more comes of it.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Another part begins.
    pub(super) fn begin(&mut self, name: P) {
        let behind = Vec::new();
        self.parts.push_back(Part { name, behind });
        self.ended = false;
    }

    /// No more comes of the last part.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// An event that goes on when all text of the last part has.
    pub(super) fn follow(&mut self, name: &str, data: Map<String, Value>) {
        if let Some(last) = self.parts.back_mut() {
            last.behind.push((name.to_owned(), data));
        }
    }

    /// An event about the last part, beside its text: given back if it may go on at once, as the agent knows of that part.
    pub(super) fn beside(
        &mut self,
        name: &str,
        data: Map<String, Value>,
    ) -> Option<Map<String, Value>> {
        let before = self.parts.len().checked_sub(2);
        match before.and_then(|before| self.parts.get_mut(before)) {
            Some(part) => {
                part.behind.push((name.to_owned(), data));
                None
            }
            None => Some(data),
        }
    }

    /// Text goes on, and whatever waits for the ends of parts in it.
    pub(super) fn pass(&mut self, passed: &Passed) -> Vec<Next<P>> {
        let mut next = Vec::new();
        for (at, text) in passed.pieces().enumerate() {
            if at > 0
                && let Some(part) = self.parts.pop_front()
            {
                next.extend(events(part));
            }
            if let Some(part) = self.parts.front().filter(|_| !text.is_empty()) {
                next.push(Next::Text(part.name.clone(), text.to_owned()));
            }
        }
        next
    }

    /// All text has gone on: so does what waits for that.
    pub(super) fn left(self) -> impl Iterator<Item = Next<P>> {
        self.parts.into_iter().flat_map(events)
    }
}

fn events<P>(part: Part<P>) -> impl Iterator<Item = Next<P>> {
    let events = part.behind.into_iter();
    events.map(|(name, data)| Next::Event(name, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(next: impl IntoIterator<Item = Next<u64>>) -> Vec<String> {
        let say = |next| match next {
            Next::Text(part, text) => format!("{part}:{text}"),
            Next::Event(name, _) => name,
        };
        next.into_iter().map(say).collect()
    }

    fn passed(text: &str, ends: &[usize]) -> Passed {
        Passed {
            text: text.to_owned(),
            ends: ends.to_vec(),
            stop: None,
        }
    }

    #[test]
    fn events_wait_for_the_text_before_them() {
        let mut row = Row::new("r".to_owned(), 0);
        assert_eq!(row.beside("cite 0", Map::new()), Some(Map::new()));
        assert_eq!(said(row.pass(&passed("ab", &[]))), ["0:ab"]);
        row.follow("stop 0", Map::new());
        row.end();
        assert!(row.has_ended());
        row.follow("start 1", Map::new());
        row.begin(1);
        assert!(!row.has_ended());
        assert_eq!(row.beside("cite 1", Map::new()), None);
        row.follow("stop 1", Map::new());
        row.end();
        row.begin(2);
        assert_eq!(row.last(), Some(&2));
        assert_eq!(
            said(row.pass(&passed("cde", &[1, 3]))),
            ["0:c", "stop 0", "start 1", "cite 1", "1:de", "stop 1"]
        );
        row.follow("stop 2", Map::new());
        assert_eq!(said(row.pass(&passed("f", &[]))), ["2:f"]);
        assert_eq!(said(row.left()), ["stop 2"]);
    }
}

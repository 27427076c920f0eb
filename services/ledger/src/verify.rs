//! What a sound chain is, checked entry by entry. Pure: the caller brings the stored bytes.

use crate::merkle::{Frontier, Hash};
use proctor_model::EdgeId;
use proctor_model::audit::{Entry, EntryHash, Kind, LaneFault};
use proctor_model::ids::EventId;
use std::collections::{HashMap, HashSet};

/// Something that is wrong with a chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The entry's number, as far as it is known.
    pub seq: u64,
    /// Which rule is broken.
    pub kind: FindingKind,
}

/// A rule of the chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FindingKind {
    /// The stored bytes do not have the stored hash.
    Hash,
    /// The bytes are no canonical entry.
    Form,
    /// `prev` is not the hash of the entry before.
    Link,
    /// A number is missing or there twice.
    Gap,
    /// A number of an edge's lane is missing or there twice.
    LaneGap,
    /// An edge's event does not name the one before it.
    LaneFork,
    /// The chain does not end where its head says.
    Head,
    /// The entries do not have the root that was sealed.
    Root,
    /// The columns that searches go by are not what the entry says.
    Columns,
    /// The tables of memory are not what the entries made of them.
    Memory,
    /// There are too many of them to be compared.
    MemoryUncompared,
}

impl FindingKind {
    /// Stable identifier.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Form => "form",
            Self::Link => "link",
            Self::Gap => "gap",
            Self::LaneGap => "lane_gap",
            Self::LaneFork => "lane_fork",
            Self::Head => "head",
            Self::Root => "root",
            Self::Columns => "columns",
            Self::Memory => "memory",
            Self::MemoryUncompared => "memory_uncompared",
        }
    }

    /// A sentence.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::Hash => "the entry's bytes do not have its stored hash: it was edited",
            Self::Form => "the entry is not a canonical audit entry",
            Self::Link => "the entry does not follow from the one before it",
            Self::Gap => "an entry is missing, or there twice, before this one",
            Self::LaneGap => "an event of this entry's edge is missing, or there twice, before it",
            Self::LaneFork => "the event does not follow from its edge's event before it",
            Self::Head => {
                "the chain does not end where its head says: entries are missing at the end"
            }
            Self::Root => "the entries up to here are not those that were sealed in a checkpoint",
            Self::Columns => {
                "the columns that searches go by are not what the entry says: it was hidden from them, or moved"
            }
            Self::Memory => {
                "memory does not stand as this entry left it: an item was set back or changed (or, as an alarm: its \
                 record was not signed by a certified edge)"
            }
            Self::MemoryUncompared => {
                "there is more memory than is compared with the entries: whether it was set back was not looked at"
            }
        }
    }
}

/// Most findings that are kept: one is enough to distrust a chain.
const FINDINGS_MAX: usize = 100;

/// Walks a chain from its first entry.
#[derive(Debug, Default)]
pub struct Walk {
    seq: u64,
    last: Option<EntryHash>,
    lanes: HashMap<EdgeId, (u64, EntryHash)>,
    open: HashSet<EventId>,
    findings: Vec<Finding>,
    alarms: Vec<Finding>,
    tree: Frontier,
    /// The lanes' beginnings are in an archive.
    from_middle: bool,
}

impl Walk {
    /// At the start of a chain.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Behind an archived beginning, whose tree this is; `last` is the hash of its last entry.
    #[must_use]
    pub fn after(tree: Frontier, last: EntryHash) -> Self {
        Self {
            seq: tree.size(),
            last: Some(last),
            from_middle: tree.size() > 0,
            tree,
            ..Self::default()
        }
    }

    /// Compares the tree so far with a checkpoint of this size.
    pub fn checkpoint(&mut self, root: &Hash) {
        if self.tree.root() != *root {
            self.find(self.seq, FindingKind::Root);
        }
    }

    /// Takes the next stored entry; gives it if it is one.
    pub fn entry(&mut self, seq: u64, stored_hash: &[u8], body: &[u8]) -> Option<Entry> {
        let expected = self.seq.saturating_add(1);
        if seq != expected {
            self.find(seq, FindingKind::Gap);
        }
        self.seq = seq;
        let hash = EntryHash::of(body);
        self.tree.push(*hash.as_bytes());
        if hash.as_bytes() != stored_hash {
            self.find(seq, FindingKind::Hash);
        }
        let before = self.last.replace(hash).unwrap_or(EntryHash::ZERO);
        let Ok(entry) = Entry::from_canonical(body) else {
            self.find(seq, FindingKind::Form);
            return None;
        };
        if entry.seq != seq {
            self.find(seq, FindingKind::Gap);
        }
        if entry.prev != before {
            self.find(seq, FindingKind::Link);
        }
        self.lane(seq, &entry);
        // Only on its own lane it is the ledger that says so.
        let own = entry.event.edge.as_str() == EdgeId::LEDGER;
        if let Some(lane) = entry.event.lane.as_ref().filter(|_| own) {
            let kind = match lane.fault {
                LaneFault::LaneGap => FindingKind::LaneGap,
                LaneFault::LaneFork => FindingKind::LaneFork,
            };
            if self.alarms.len() < FINDINGS_MAX {
                self.alarms.push(Finding { seq, kind });
            }
        }
        match (entry.event.kind, entry.event.of) {
            (Kind::Authorized, _) => {
                self.open.insert(entry.event.event_id);
            }
            (kind, Some(of)) if kind.is_outcome() => {
                self.open.remove(&of);
            }
            _ => {}
        }
        Some(entry)
    }

    /// Notes that an entry's row says another thing than the entry.
    pub fn columns(&mut self, seq: u64) {
        self.find(seq, FindingKind::Columns);
    }

    fn lane(&mut self, seq: u64, entry: &Entry) {
        let event = &entry.event;
        let Ok(bytes) = event.to_canonical() else {
            self.find(seq, FindingKind::Form);
            return;
        };
        let now = (event.edge_seq, EntryHash::of(&bytes));
        let before = self.lanes.insert(event.edge.clone(), now);
        let beginning = (!self.from_middle).then_some((0, EntryHash::ZERO));
        let Some((before, before_hash)) = before.or(beginning) else {
            return;
        };
        if event.edge_seq != before.saturating_add(1) {
            self.find(seq, FindingKind::LaneGap);
        } else if event.edge_prev != before_hash {
            self.find(seq, FindingKind::LaneFork);
        }
    }

    fn find(&mut self, seq: u64, kind: FindingKind) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { seq, kind });
        }
    }

    /// Ends the walk at the head that the chain is said to have.
    #[must_use]
    pub fn end(mut self, size: u64, head: EntryHash) -> Report {
        if self.seq != size || self.last.unwrap_or(EntryHash::ZERO) != head {
            self.find(self.seq, FindingKind::Head);
        }
        let open_calls = u64::try_from(self.open.len()).unwrap_or(u64::MAX);
        Report {
            entries: self.seq,
            head,
            findings: self.findings,
            alarms: self.alarms,
            open_calls,
        }
    }
}

/// What a walk came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Number of the last entry.
    pub entries: u64,
    /// Hash of the head.
    pub head: EntryHash,
    /// What is wrong; nothing: sound.
    pub findings: Vec<Finding>,
    /// Faults of lanes that the ledger wrote into the chain.
    pub alarms: Vec<Finding>,
    /// Authorized calls without an outcome (yet).
    pub open_calls: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_model::Timestamp;
    use proctor_model::audit::AuditEvent;
    use uuid::Uuid;

    type Stored = (u64, [u8; 32], Vec<u8>);

    /// A chain of two edges' events, in turns.
    fn chain(length: u64) -> Vec<Stored> {
        let mut lanes: HashMap<&str, (u64, EntryHash)> = HashMap::new();
        let (mut prev, mut stored) = (EntryHash::ZERO, Vec::new());
        for seq in 1..=length {
            let edge = if seq % 2 == 0 { "edge_a" } else { "edge_b" };
            let id = EventId::from(Uuid::from_u128(seq.into()));
            let at = Timestamp::from_secs(1_700_000_000);
            let mut event = AuditEvent::new(
                "acme".parse().unwrap(),
                edge.parse().unwrap(),
                id,
                at,
                Kind::Refused,
            );
            let (last, hash) = lanes.get(edge).copied().unwrap_or((0, EntryHash::ZERO));
            (event.edge_seq, event.edge_prev) = (last + 1, hash);
            lanes.insert(
                edge,
                (last + 1, EntryHash::of(&event.to_canonical().unwrap())),
            );
            let body = Entry { seq, prev, event }.to_canonical().unwrap();
            prev = EntryHash::of(&body);
            stored.push((seq, *prev.as_bytes(), body));
        }
        stored
    }

    fn report(chain: &[Stored], head: &Stored) -> Vec<FindingKind> {
        let mut walk = Walk::new();
        for (seq, hash, body) in chain {
            walk.entry(*seq, hash, body);
        }
        let report = walk.end(head.0, EntryHash::from_bytes(head.1));
        report
            .findings
            .into_iter()
            .map(|finding| finding.kind)
            .collect()
    }

    #[test]
    fn a_sound_chain_is_sound_and_each_tampering_shows() {
        let sound = chain(10);
        let head = sound[9].clone();
        assert_eq!(report(&sound, &head), []);
        let mut edited = sound.clone();
        edited[4].2 = String::from_utf8(edited[4].2.clone())
            .unwrap()
            .replace("acme", "evil")
            .into_bytes();
        assert_eq!(report(&edited, &head)[0], FindingKind::Hash);
        edited[4].1 = *EntryHash::of(&edited[4].2).as_bytes();
        assert_eq!(report(&edited, &head)[0], FindingKind::Link);
        for index in 0..10 {
            let mut cut = sound.clone();
            cut.remove(index);
            assert!(!report(&cut, &head).is_empty(), "entry {index} deleted");
        }
        let mut swapped = sound.clone();
        swapped.swap(3, 4);
        assert!(report(&swapped, &head).contains(&FindingKind::Link));
        let mut doubled = sound.clone();
        doubled.insert(5, sound[4].clone());
        assert!(report(&doubled, &head).contains(&FindingKind::Gap));
        assert_eq!(report(&sound[..9], &head), [FindingKind::Head]);
        // The whole chain rewritten without one edge's event: links are sound, the lane is not.
        let (mut prev, mut rewritten) = (EntryHash::ZERO, Vec::new());
        for (_, _, body) in sound.iter().filter(|(seq, ..)| *seq != 5) {
            let mut entry = Entry::from_canonical(body).unwrap();
            (entry.seq, entry.prev) = (rewritten.len() as u64 + 1, prev);
            let body = entry.to_canonical().unwrap();
            prev = EntryHash::of(&body);
            rewritten.push((entry.seq, *prev.as_bytes(), body));
        }
        let head = rewritten[8].clone();
        assert_eq!(report(&rewritten, &head), [FindingKind::LaneGap]);
    }
}

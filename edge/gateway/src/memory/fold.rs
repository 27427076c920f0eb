//! What the ledger said of an item and what this edge wrote since, put together.

use proctor_engine::memory::{FactView, ItemView};
use proctor_model::catalogue::{MemoryChange, MemoryTrust};
use proctor_model::memory::{Fact, FactDigest, FactState, ItemState, MemoryRecord, RecordHash};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// The ledger's word on one item.
#[derive(Debug)]
pub(super) struct Known {
    /// When it was asked, on this edge's monotonic clock.
    at: Duration,
    version: u64,
    head: RecordHash,
    floor: u64,
    /// Facts of versions below may have been replaced.
    doubt: u64,
    asked: HashSet<FactDigest>,
    facts: HashMap<FactDigest, Placed>,
}

/// How far an item had come when the ledger said so.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Peak {
    version: u64,
    floor: u64,
    doubt: u64,
}

/// A fact as some version left it.
#[derive(Clone, Copy, Debug)]
struct Placed {
    version: u64,
    view: Option<FactView>,
    /// The last version that may have taken it away.
    doubt: u64,
}

/// One of this edge's own records.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) hash: RecordHash,
    version: u64,
    change: MemoryChange,
    facts: Vec<Fact>,
    exposed: bool,
    /// The tool said that it went well.
    pub(super) confirmed: bool,
}

/// An item as this edge knows it.
pub(super) struct Folded {
    pub(super) view: ItemView,
    pub(super) version: u64,
    pub(super) head: RecordHash,
}

impl Known {
    /// From the ledger's answer; `records` are those whose signature was checked.
    pub(super) fn new(
        at: Duration,
        state: &ItemState,
        asked: &[FactDigest],
        records: &HashMap<RecordHash, &MemoryRecord>,
    ) -> Self {
        let placed = state.facts.iter().filter_map(|fact| {
            let view = match fact.live {
                false => None,
                // What no good record has put is as if it had never been.
                true => Some(view_of(fact, *records.get(&fact.record)?, state)?),
            };
            let placed = Placed {
                version: fact.version,
                view,
                doubt: fact.doubt,
            };
            Some((fact.digest, placed))
        });
        Self {
            at,
            version: state.version,
            head: state.head,
            floor: state.floor,
            doubt: state.doubt,
            asked: asked.iter().copied().collect(),
            facts: placed.collect(),
        }
    }

    /// Whether it is fresh, and all of these facts were asked about.
    pub(super) fn answers(&self, facts: &[FactDigest], now: Duration, fresh: Duration) -> bool {
        now.saturating_sub(self.at) <= fresh && facts.iter().all(|fact| self.asked.contains(fact))
    }

    /// Whether anybody ever wrote it.
    pub(super) fn is_known(&self) -> bool {
        self.version > 0
    }

    /// How far the item has come, if it was so far before.
    pub(super) fn raised(&self, before: Peak) -> Peak {
        Peak {
            version: self.version.max(before.version),
            floor: self.floor.max(before.floor),
            doubt: self.doubt.max(before.doubt),
        }
    }

    /// A doubt that there was once is over when the floor has passed it, not when it is no longer spoken of.
    pub(super) fn doubt_as(&mut self, peak: Peak) {
        self.doubt = self.doubt.max(peak.doubt);
    }

    /// Whether it is as far as that.
    pub(super) fn reaches(&self, peak: Peak) -> bool {
        self.version >= peak.version && self.floor >= peak.floor
    }

    /// One more answer about the same item.
    pub(super) fn join(&mut self, other: Self) {
        // The older of the two says less; facts of it that are gone since are gone from the item, too.
        self.at = self.at.min(other.at);
        if other.version >= self.version {
            (self.version, self.head) = (other.version, other.head);
        }
        self.floor = self.floor.max(other.floor);
        self.doubt = self.doubt.max(other.doubt);
        self.asked.extend(other.asked);
        self.facts.extend(other.facts);
    }
}

fn view_of(stands: &FactState, record: &MemoryRecord, state: &ItemState) -> Option<FactView> {
    let puts = matches!(record.change, MemoryChange::Set | MemoryChange::Add);
    // What stands was put by the version that last touched it.
    let own = record.item == state.item && record.version == stands.version;
    let fact = record
        .facts
        .iter()
        .find(|fact| fact.digest == stands.digest)?;
    (puts && own).then_some(FactView {
        record: stands.record,
        trust: fact.trust,
        proved: fact.proved,
        exposed: record.exposed,
    })
}

impl Own {
    pub(super) fn new(hash: RecordHash, record: &MemoryRecord) -> Self {
        Self {
            hash,
            version: record.version,
            change: record.change,
            facts: record.facts.clone(),
            exposed: record.exposed,
            confirmed: false,
        }
    }

    fn view(&self, fact: &Fact) -> FactView {
        FactView {
            record: self.hash,
            trust: fact.trust,
            proved: fact.proved,
            exposed: self.exposed,
        }
    }
}

impl Placed {
    /// Puts or takes away the fact, unless a later version did already.
    fn replace(&mut self, version: u64, view: Option<FactView>) {
        if self.version <= version {
            (self.version, self.view) = (version, view);
        }
    }
}

/// What may have been replaced or taken away stands, as nobody knows better, but whoever runs the store could have said that
/// a write failed in order to show it once more.
fn doubtful(view: FactView) -> FactView {
    FactView {
        trust: MemoryTrust::Untrusted,
        proved: None,
        ..view
    }
}

/// Puts own records, oldest first, on top of the ledger's word. That it has some of them already changes nothing.
pub(super) fn fold(known: &Known, own: &[Own]) -> Folded {
    let (mut version, mut head) = (known.version, known.head);
    let (mut floor, mut doubt) = (known.floor, known.doubt);
    let mut facts = known.facts.clone();
    for own in own {
        if own.version > version {
            (version, head) = (own.version, own.hash);
        }
        let clears = matches!(own.change, MemoryChange::Set | MemoryChange::Clear);
        if clears {
            doubt = doubt.max(own.version);
        }
        if clears && own.confirmed {
            floor = floor.max(own.version);
        }
        for fact in &own.facts {
            let view = match own.change {
                MemoryChange::Set | MemoryChange::Add => Some(own.view(fact)),
                MemoryChange::Remove if own.confirmed => None,
                MemoryChange::Remove => {
                    if let Some(placed) = facts.get_mut(&fact.digest) {
                        placed.doubt = placed.doubt.max(own.version);
                    }
                    continue;
                }
                MemoryChange::Clear => continue,
            };
            let placed = facts.entry(fact.digest).or_insert(Placed {
                version: own.version,
                view,
                doubt: 0,
            });
            placed.replace(own.version, view);
        }
    }
    let standing = |placed: &Placed| {
        let view = placed.view.filter(|_| placed.version >= floor)?;
        let in_doubt = placed.version < doubt || placed.version <= placed.doubt;
        Some(if in_doubt { doubtful(view) } else { view })
    };
    Folded {
        view: ItemView {
            known: version > 0,
            facts: facts
                .iter()
                .map(|(digest, placed)| (*digest, standing(placed)))
                .collect(),
        },
        version,
        head,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_model::memory::ItemId;

    fn digest(n: u8) -> FactDigest {
        FactDigest::from_bytes([n; 32])
    }

    fn own(version: u64, change: MemoryChange, facts: &[u8], confirmed: bool) -> Own {
        let fact = |n: &u8| Fact {
            digest: digest(*n),
            origins: Vec::new(),
            trust: MemoryTrust::Agent,
            proved: None,
        };
        Own {
            hash: RecordHash::from_bytes([u8::try_from(version).unwrap(); 32]),
            version,
            change,
            facts: facts.iter().map(fact).collect(),
            exposed: false,
            confirmed,
        }
    }

    fn nothing() -> Known {
        let state = ItemState {
            item: ItemId::from_bytes([0; 32]),
            version: 0,
            head: RecordHash::ZERO,
            floor: 0,
            doubt: 0,
            facts: Vec::new(),
            records: Vec::new(),
        };
        Known::new(Duration::ZERO, &state, &[], &HashMap::new())
    }

    /// Which facts stand, and which stood once.
    fn check(known: &Known, own: &[Own], stand: &[u8], past: &[u8]) {
        let folded = fold(known, own);
        for n in 0..10 {
            let expected = match (stand.contains(&n), past.contains(&n)) {
                (true, _) => Some(true),
                (_, true) => Some(false),
                _ => None,
            };
            let found = folded.view.facts.get(&digest(n)).map(Option::is_some);
            assert_eq!(found, expected, "fact {n}");
        }
    }

    #[test]
    fn a_write_replaces_what_was_there_only_when_it_went_well() {
        use MemoryChange::{Add, Clear, Remove, Set};
        let none = nothing();
        assert!(!fold(&none, &[]).view.known);
        check(&none, &[own(1, Set, &[1], false)], &[1], &[]);
        let both = [own(1, Set, &[1], true), own(2, Set, &[2], false)];
        check(&none, &both, &[1, 2], &[]);
        let replaced = [own(1, Set, &[1], true), own(2, Set, &[2], true)];
        check(&none, &replaced, &[2], &[1]);
        // Written once more, it stands once more.
        let again = [
            own(1, Set, &[1], true),
            own(2, Set, &[2], true),
            own(3, Set, &[1], true),
        ];
        check(&none, &again, &[1], &[2]);
        let added = [own(1, Set, &[1], true), own(2, Add, &[2], true)];
        check(&none, &added, &[1, 2], &[]);
        let removed = [own(1, Set, &[1, 2], true), own(2, Remove, &[2], true)];
        check(&none, &removed, &[1], &[2]);
        let unsure = [own(1, Set, &[1, 2], true), own(2, Remove, &[2], false)];
        check(&none, &unsure, &[1, 2], &[]);
        let cleared = [own(1, Set, &[1, 2], true), own(2, Clear, &[], true)];
        check(&none, &cleared, &[], &[1, 2]);
        assert_eq!(fold(&none, &cleared).version, 2);
    }

    /// For what it is worth that a fact stands.
    fn trust(known: &Known, own: &[Own], n: u8) -> Option<MemoryTrust> {
        let folded = fold(known, own);
        let view = folded.view.facts.get(&digest(n)).copied().flatten();
        view.map(|view| view.trust)
    }

    #[test]
    fn what_a_write_may_have_replaced_is_untrusted_until_a_later_one_went_well() {
        use MemoryChange::{Add, Clear, Remove, Set};
        use MemoryTrust::{Agent, Untrusted};
        let none = nothing();
        let first = || own(1, Set, &[1, 2], true);
        for unsure in [own(2, Set, &[2], false), own(2, Clear, &[], false)] {
            let stands = trust(&none, &[own(1, Set, &[1], true), unsure], 1);
            assert_eq!(stands, Some(Untrusted));
        }
        // What it put itself stands as it was signed, and what is written once more.
        let twice = [
            first(),
            own(2, Set, &[2], false),
            own(3, Add, &[1], true),
            own(4, Add, &[3], true),
        ];
        for n in 1..4 {
            assert_eq!(trust(&none, &twice, n), Some(Agent), "fact {n}");
        }
        // One that went well since: gone.
        let gone = [first(), own(2, Set, &[2], false), own(3, Set, &[3], true)];
        assert_eq!(trust(&none, &gone, 1), None);
        // Of what was to be taken away, only that.
        let unsure = [first(), own(2, Remove, &[2], false)];
        assert_eq!(trust(&none, &unsure, 1), Some(Agent));
        assert_eq!(trust(&none, &unsure, 2), Some(Untrusted));
        let again = [
            first(),
            own(2, Remove, &[2], false),
            own(3, Add, &[2], false),
        ];
        assert_eq!(trust(&none, &again, 2), Some(Agent));
    }

    #[test]
    fn a_doubt_that_the_ledger_tells_of_counts_and_is_not_forgotten() {
        let (record, hash) = (record(2), RecordHash::from_bytes([2; 32]));
        let records = HashMap::from([(hash, &record)]);
        let told = |item: u64, fact: u64| {
            let state = ItemState {
                item: record.item,
                version: 3,
                head: hash,
                floor: 0,
                doubt: item,
                facts: vec![FactState {
                    digest: digest(1),
                    live: true,
                    version: 2,
                    record: hash,
                    doubt: fact,
                }],
                records: Vec::new(),
            };
            Known::new(Duration::ZERO, &state, &[digest(1)], &records)
        };
        for (item, fact, expected) in [
            (0, 0, MemoryTrust::Agent),
            (2, 1, MemoryTrust::Agent),
            (3, 0, MemoryTrust::Untrusted),
            (0, 3, MemoryTrust::Untrusted),
        ] {
            assert_eq!(trust(&told(item, fact), &[], 1), Some(expected));
        }
        let mut silent = told(0, 0);
        silent.doubt_as(told(3, 0).raised(Peak::default()));
        assert_eq!(trust(&silent, &[], 1), Some(MemoryTrust::Untrusted));
    }

    #[test]
    fn what_the_ledger_knows_later_wins_over_what_was_written_here_before() {
        let mut known = nothing();
        known.version = 4;
        known.floor = 4;
        check(&known, &[own(3, MemoryChange::Set, &[1], true)], &[], &[1]);
        assert_eq!(
            fold(&known, &[own(3, MemoryChange::Set, &[1], true)]).version,
            4
        );
    }

    #[test]
    fn an_item_never_goes_back() {
        let at = |version, floor| Known {
            version,
            floor,
            ..nothing()
        };
        let peak = at(4, 1).raised(at(3, 2).raised(Peak::default()));
        for (version, floor, good) in [(4, 2, true), (5, 2, true), (3, 2, false), (5, 1, false)] {
            assert_eq!(at(version, floor).reaches(peak), good);
        }
    }

    #[test]
    fn a_fact_stands_only_as_of_the_version_that_put_it() {
        let (record, hash) = (record(2), RecordHash::from_bytes([2; 32]));
        let records = HashMap::from([(hash, &record)]);
        for (version, stands) in [(2, true), (3, false), (1, false)] {
            let state = ItemState {
                item: record.item,
                version: 3,
                head: hash,
                floor: 0,
                doubt: 0,
                facts: vec![FactState {
                    digest: digest(1),
                    live: true,
                    version,
                    record: hash,
                    doubt: 0,
                }],
                records: Vec::new(),
            };
            let known = Known::new(Duration::ZERO, &state, &[digest(1)], &records);
            check(&known, &[], if stands { &[1] } else { &[] }, &[]);
        }
    }

    fn record(version: u64) -> MemoryRecord {
        let own = own(version, MemoryChange::Set, &[1], true);
        serde_json::from_value(serde_json::json!({
            "v": proctor_model::memory::SCHEMA, "tenant": "acme", "store": "notes", "kind": "entity",
            "item": ItemId::from_bytes([7; 32]), "version": version, "prev": RecordHash::ZERO, "change": "set",
            "facts": own.facts, "writer": { "agent": "helper" }, "tool": "notes/set", "exposed": false,
            "time": "2026-01-01T00:00:00Z", "edge": "edge_a", "decision_id": uuid::Uuid::nil(),
        }))
        .unwrap()
    }

    #[test]
    fn a_fact_without_a_good_record_was_never_put() {
        let state = ItemState {
            item: ItemId::from_bytes([0; 32]),
            version: 1,
            head: RecordHash::from_bytes([1; 32]),
            floor: 0,
            doubt: 0,
            facts: vec![FactState {
                digest: digest(1),
                live: true,
                version: 1,
                record: RecordHash::from_bytes([1; 32]),
                doubt: 0,
            }],
            records: Vec::new(),
        };
        let known = Known::new(Duration::ZERO, &state, &[digest(1)], &HashMap::new());
        check(&known, &[], &[], &[]);
        assert!(fold(&known, &[]).view.known);
    }
}

//! Checking a bundle with nothing but trusted keys, and what is known of the log from elsewhere.

use super::fault::{Fault, Finding, finding};
use super::{FORMAT, Header, LINE_BYTES_MAX};
use crate::checkpoint::{self, VerifierKey, origin};
use crate::merkle::{Frontier, Hash, subtrees};
use crate::scan::scan;
use proctor_model::EdgeId;
use proctor_model::audit::{EntryHash, EventSeal};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::BufRead;
use uuid::Uuid;

/// What a log was once, as somebody trustworthy tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    /// Whose log.
    pub tenant: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

/// The tenant whose chain names all others' checkpoints.
const PLATFORM: &str = "_platform";
/// Repeated events that are named one by one.
const DOUBLES_MAX: usize = 100;

/// What whoever verifies knows without the bundle.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Keys of the log: one of them has to have signed each checkpoint. A key without a name counts for any log.
    pub keys: Vec<VerifierKey>,
    /// Witnesses, each of which has to have cosigned the last checkpoint besides.
    pub witnesses: Vec<VerifierKey>,
    /// What logs were once.
    pub known: Vec<Known>,
    /// The same, each compared where the bundle's entries reach to it.
    pub seals: Vec<Known>,
}

impl Trust {
    /// The keys of the log and of the witnesses.
    fn all(&self) -> Vec<VerifierKey> {
        [self.keys.as_slice(), &self.witnesses].concat()
    }

    /// Adds a checkpoint that was kept, or that a witness keeps; the log or a witness has to have signed it.
    ///
    /// # Errors
    /// If it is none, or neither has.
    pub fn remember(&mut self, note: &str) -> Result<(), checkpoint::CheckpointError> {
        let (checkpoint, _) = checkpoint::open(note, &self.all())?;
        let tenant = checkpoint.origin.rsplit('/').next().unwrap_or_default();
        self.known.push(Known {
            tenant: tenant.to_owned(),
            size: checkpoint.size,
            root: checkpoint.root,
        });
        Ok(())
    }
}

/// What a sound bundle holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Whose chain.
    pub tenant: String,
    /// Number of the first entry.
    pub first: u64,
    /// Number of the last entry.
    pub last: u64,
    /// Size of the log.
    pub size: u64,
    /// Root of the log.
    pub root: Hash,
    /// When the last checkpoint was signed, in seconds since 1970, by the latest signer that is trusted.
    pub sealed_s: Option<u64>,
    /// Names under which trusted keys signed the last checkpoint.
    pub signers: Vec<String>,
    /// Authorized calls without an outcome within the stretch.
    pub open_calls: u64,
    /// Faults of lanes that the ledger itself wrote down.
    pub alarms: u64,
    /// Entries whose event is there already, the first hundred. The log is not sound then, and yet what it was sealed as:
    /// an edge can repeat an event, and must not be able to hide what comes after it.
    pub doubles: Vec<Finding>,
    /// (of the platform's chain) What it says of the tenants' logs: the newest of each.
    pub tenants: BTreeMap<String, Known>,
    /// (of the platform's chain) All that it says of them: a log that was cut and grew again contradicts an older one.
    pub seals: Vec<Known>,
}

/// Checks a bundle. The outer error is one of reading; the inner one the first thing that is wrong. A report with
/// [`Report::doubles`] is not one of a sound log either.
///
/// # Errors
/// If the bundle can't be read.
pub fn verify(reader: impl BufRead, trust: &Trust) -> std::io::Result<Result<Report, Finding>> {
    let mut lines = Lines {
        reader,
        buffer: Vec::new(),
    };
    let begun = match lines.next()? {
        Ok(Some(line)) => Walk::begin(line, trust),
        _ => Err(finding(Fault::Header, 0, "there is no header")),
    };
    let mut walk = match begun {
        Ok(walk) => walk,
        Err(wrong) => return Ok(Err(wrong)),
    };
    loop {
        let seq = walk.seq.saturating_add(1);
        match lines.next()? {
            Ok(Some(line)) => {
                if let Err(wrong) = walk.entry(line) {
                    return Ok(Err(wrong));
                }
            }
            Ok(None) => return Ok(walk.end()),
            Err(()) => {
                return Ok(Err(finding(
                    Fault::Form,
                    seq,
                    "a line that does not end, or is too long",
                )));
            }
        }
    }
}

struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// The next line without its end; `Err` if it has none or is too long.
    fn next(&mut self) -> std::io::Result<Result<Option<&[u8]>, ()>> {
        use std::io::Read;
        self.buffer.clear();
        let most = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
        let read = self
            .reader
            .by_ref()
            .take(most)
            .read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(Ok(None));
        }
        Ok(match self.buffer.strip_suffix(b"\n") {
            Some(line) => Ok(Some(line)),
            None => Err(()),
        })
    }
}

/// A root that the tree has to have at some size.
struct Mark {
    size: u64,
    root: Hash,
    fault: Fault,
}

struct Walk {
    header: Header,
    report: Report,
    tree: Frontier,
    right: Vec<Hash>,
    /// By size, the smallest last.
    marks: Vec<Mark>,
    /// The last mark that held.
    held: u64,
    seq: u64,
    before: Option<Hash>,
    lanes: HashMap<String, (u64, Hash)>,
    ids: HashSet<Uuid>,
    open: HashSet<Uuid>,
    edge_form: Vec<u8>,
}

impl Walk {
    fn begin(line: &[u8], trust: &Trust) -> Result<Self, Finding> {
        let wrong = |message: &str| finding(Fault::Header, 0, message);
        let header: Header =
            serde_json::from_slice(line).map_err(|_| wrong("the first line is no header"))?;
        let Header {
            first, last, size, ..
        } = header;
        if header.bundle != FORMAT {
            return Err(wrong("another version of the format"));
        }
        if first == 0 || first > last.saturating_add(1) || last > size || size >= 1 << 62 {
            return Err(wrong("the numbers of the stretch contradict each other"));
        }
        let hashes = |texts: &[String]| -> Option<Vec<Hash>> {
            let hash = |text: &String| text.parse::<EntryHash>().ok().map(|hash| *hash.as_bytes());
            texts.iter().map(hash).collect()
        };
        let left = hashes(&header.left).and_then(|left| Frontier::new(first - 1, left));
        let tree = left.ok_or_else(|| {
            wrong("the hashes before the stretch are not as many as there have to be")
        })?;
        let right = hashes(&header.right).filter(|right| right.len() == subtrees(last, size).len());
        let right = right.ok_or_else(|| {
            wrong("the hashes behind the stretch are not as many as there have to be")
        })?;
        let report = Report {
            tenant: header.tenant.clone(),
            first,
            last,
            size,
            root: [0; 32],
            sealed_s: None,
            signers: Vec::new(),
            open_calls: 0,
            alarms: 0,
            doubles: Vec::new(),
            tenants: BTreeMap::new(),
            seals: Vec::new(),
        };
        let mut walk = Self {
            tree,
            right,
            marks: Vec::new(),
            held: 0,
            seq: first - 1,
            before: (first == 1).then_some([0; 32]),
            lanes: HashMap::new(),
            ids: HashSet::new(),
            open: HashSet::new(),
            edge_form: Vec::new(),
            header,
            report,
        };
        walk.checkpoints(trust)?;
        walk.known(trust)?;
        walk.marks.sort_by_key(|mark| std::cmp::Reverse(mark.size));
        walk.compare()?;
        Ok(walk)
    }

    /// The header's checkpoints: each signed, of this log, rising in size and time; the last one of the whole.
    fn checkpoints(&mut self, trust: &Trust) -> Result<(), Finding> {
        let wrong = |size: u64, message: String| finding(Fault::Checkpoint, size, message);
        let (mut size_before, mut time_before, mut log) = (None, 0, None);
        let (keys, mut cosigners) = (trust.all(), Vec::new());
        for note in std::mem::take(&mut self.header.checkpoints) {
            let (checkpoint, signed) = checkpoint::open(&note, &keys)
                .map_err(|error| wrong(0, format!("a checkpoint: {error}")))?;
            let size = checkpoint.size;
            let of_tenant = checkpoint
                .origin
                .strip_suffix(&origin("", &self.header.tenant))
                .is_some_and(|deployment| !deployment.is_empty());
            if !of_tenant
                || log.get_or_insert_with(|| checkpoint.origin.clone()) != &checkpoint.origin
            {
                return Err(wrong(size, "a checkpoint of another log".into()));
            }
            // A witness only says that the log grew; whose log it is, the log's own key says.
            let of_log = |key: &VerifierKey| {
                key.name == checkpoint.origin && trust.keys.iter().any(|own| own.key == key.key)
            };
            if !signed.logs.iter().any(of_log) {
                return Err(wrong(size, "a checkpoint that the log did not sign".into()));
            }
            let time = signed.time_s().unwrap_or(time_before);
            if size_before.is_some_and(|before| before >= size) || time < time_before {
                return Err(wrong(
                    size,
                    "a checkpoint that does not rise over the one before".into(),
                ));
            }
            (size_before, time_before) = (Some(size), time);
            cosigners = signed.cosigned.iter().map(|(key, _)| key.clone()).collect();
            let known = signed.logs.iter().chain(&cosigners);
            let mut names: Vec<_> = known.map(|key| key.name.clone()).collect();
            names.sort();
            names.dedup();
            (self.report.sealed_s, self.report.signers) = (signed.time_s(), names);
            self.mark(size, checkpoint.root, Fault::Root)?;
        }
        let size = self.header.size;
        if size_before != Some(size) {
            return Err(wrong(
                size,
                "there is no checkpoint of the whole log".into(),
            ));
        }
        let absent = |witness: &&VerifierKey| !cosigners.contains(*witness);
        match trust.witnesses.iter().find(absent) {
            Some(witness) => {
                let message = format!("{} has not cosigned the last checkpoint", witness.name);
                Err(finding(Fault::Witness, size, message))
            }
            None => Ok(()),
        }
    }

    fn known(&mut self, trust: &Trust) -> Result<(), Finding> {
        let tenant = self.header.tenant.clone();
        let of_this = |known: &&Known| known.tenant == tenant;
        let seals = trust.seals.iter().filter(of_this);
        let marks = seals
            .filter(|seal| self.header.reaches(seal.size))
            .map(|seal| Mark {
                size: seal.size,
                root: seal.root,
                fault: Fault::History,
            });
        self.marks.extend(marks.collect::<Vec<_>>());
        for Known { size, root, .. } in trust.known.iter().filter(of_this) {
            if *size > self.header.size {
                let message = format!(
                    "the log has {} entries; it had {size} before: an older state was restored, or the end cut off",
                    self.header.size
                );
                return Err(finding(Fault::Old, self.header.size, message));
            }
            self.mark(*size, *root, Fault::History)?;
        }
        Ok(())
    }

    fn mark(&mut self, size: u64, root: Hash, fault: Fault) -> Result<(), Finding> {
        let Header { first, last, .. } = self.header;
        if !self.header.reaches(size) {
            let message = format!(
                "a checkpoint of size {size} can't be compared with entries {first} to {last}"
            );
            return Err(finding(Fault::Uncovered, size, message));
        }
        self.marks.push(Mark { size, root, fault });
        Ok(())
    }

    /// Compares the tree so far with what it has to be at this size.
    fn compare(&mut self) -> Result<(), Finding> {
        while let Some(mark) = self.marks.pop_if(|mark| mark.size == self.tree.size()) {
            if self.tree.root() != mark.root {
                let from = self.held.max(self.header.first - 1).saturating_add(1);
                let message = match mark.fault {
                    Fault::History => format!(
                        "the first {} entries are not those that they were before: the log was rewritten",
                        mark.size
                    ),
                    _ => format!(
                        "entries {from} to {} are not those that were sealed",
                        mark.size
                    ),
                };
                return Err(finding(mark.fault, mark.size, message));
            }
            self.held = mark.size;
        }
        Ok(())
    }

    fn entry(&mut self, body: &[u8]) -> Result<(), Finding> {
        let seq = self.seq.saturating_add(1);
        if seq > self.header.last {
            return Err(finding(
                Fault::Length,
                seq,
                "more entries than the header says",
            ));
        }
        let mut edge_form = std::mem::take(&mut self.edge_form);
        let Some(entry) = scan(body, &mut edge_form) else {
            return Err(finding(Fault::Form, seq, "this is no audit entry"));
        };
        if entry.tenant != self.header.tenant {
            return Err(finding(Fault::Tenant, seq, "an entry of another tenant"));
        }
        if entry.seq != seq {
            let message = format!(
                "entry {} stands where {seq} has to: entries are missing, doubled or moved",
                entry.seq
            );
            return Err(finding(Fault::Number, seq, message));
        }
        if self.before.is_some_and(|before| before != entry.prev) {
            let message = "it does not follow from the entry before it: one of the two was changed";
            return Err(finding(Fault::Link, seq, message));
        }
        if !self.ids.insert(entry.event_id) && self.report.doubles.len() < DOUBLES_MAX {
            let double = finding(Fault::Double, seq, "an event that is there already");
            self.report.doubles.push(double);
        }
        self.lane(seq, entry.edge, entry.edge_seq, entry.edge_prev, &edge_form)?;
        // What another lane says of seals and lanes is an edge's word.
        let own = entry.edge == EdgeId::LEDGER;
        match (entry.kind, entry.of) {
            ("authorized", _) => {
                self.open.insert(entry.event_id);
            }
            (_, Some(of)) => {
                self.open.remove(&of);
            }
            ("integrity", _) if own => self.report.alarms += 1,
            ("sealed", _) if own && self.header.tenant == PLATFORM => self.sealed(entry.sealed),
            _ => {}
        }
        let hash = *EntryHash::of(body).as_bytes();
        (self.seq, self.before, self.edge_form) = (seq, Some(hash), edge_form);
        self.tree.push(hash);
        self.compare()
    }

    fn lane(
        &mut self,
        seq: u64,
        edge: &str,
        edge_seq: u64,
        edge_prev: Hash,
        edge_form: &[u8],
    ) -> Result<(), Finding> {
        let now = (edge_seq, *EntryHash::of(edge_form).as_bytes());
        let before = match self.lanes.get_mut(edge) {
            Some(lane) => Some(std::mem::replace(lane, now)),
            None => {
                self.lanes.insert(edge.to_owned(), now);
                // Of a chain's middle, the lanes' beginnings are elsewhere.
                (self.header.first == 1).then_some((0, [0; 32]))
            }
        };
        let Some((number, hash)) = before else {
            return Ok(());
        };
        if edge_seq != number.saturating_add(1) {
            let message = format!(
                "event {edge_seq} of edge {edge} comes after its event {number}: events are missing"
            );
            return Err(finding(Fault::LaneGap, seq, message));
        }
        if edge_prev != hash {
            let message =
                format!("event {edge_seq} of edge {edge} does not follow from its event {number}");
            return Err(finding(Fault::LaneFork, seq, message));
        }
        Ok(())
    }

    fn sealed(&mut self, seal: Option<&str>) {
        let Some(seal) = seal.and_then(|seal| serde_json::from_str::<EventSeal>(seal).ok()) else {
            return;
        };
        let tenant = seal.tenant.to_string();
        let known = Known {
            tenant: tenant.clone(),
            size: seal.size,
            root: *seal.root.as_bytes(),
        };
        self.report.seals.push(known.clone());
        self.report.tenants.insert(tenant, known);
    }

    fn end(mut self) -> Result<Report, Finding> {
        let Header { last, size, .. } = self.header;
        if self.seq != last {
            let message = format!("the entries end at {}; there have to be {last}", self.seq);
            return Err(finding(Fault::Length, self.seq, message));
        }
        for (node, hash) in subtrees(last, size).iter().zip(&self.right) {
            if !self.tree.push_subtree(node.level, *hash) {
                return Err(finding(
                    Fault::Header,
                    0,
                    "the hashes behind the stretch do not fit",
                ));
            }
        }
        self.compare()?;
        // All of them are within the stretch or at its end.
        debug_assert!(self.marks.is_empty());
        self.report.root = self.tree.root();
        self.report.open_calls = u64::try_from(self.open.len()).unwrap_or(u64::MAX);
        Ok(self.report)
    }
}

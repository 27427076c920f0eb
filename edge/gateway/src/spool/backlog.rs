//! Which events lie where on disk until the ledger has them.

use super::state::LaneEnd;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use proctor_model::TenantId;
use proctor_model::audit::{EntryHash, Receipt};
use proctor_model::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

#[derive(Clone, Copy, Debug)]
struct Locator {
    segment: u64,
    offset: u64,
    length: u32,
    hash: EntryHash,
}

#[derive(Debug, Default)]
struct Lane {
    /// Number of the first event in `events`.
    first: u64,
    events: VecDeque<Locator>,
}

impl Lane {
    fn end(&self) -> u64 {
        self.first
            .saturating_add(u64::try_from(self.events.len()).unwrap_or(u64::MAX))
    }

    fn at(&self, seq: u64) -> Option<&Locator> {
        self.events
            .get(usize::try_from(seq.checked_sub(self.first)?).ok()?)
    }
}

#[derive(Debug)]
struct Segment {
    file: Arc<File>,
    bytes: u64,
    /// Events of it that the ledger does not have.
    waiting: u64,
}

/// What a receipt came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Settled {
    /// So many events are no longer ours to keep.
    Committed(u64),
    /// The ledger has another event under this number, or more events than we: this spool is not the lane's.
    Forked,
}

/// The events that the ledger has not confirmed.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    lanes: HashMap<TenantId, Lane>,
    segments: BTreeMap<u64, Segment>,
}

/// Some events to be read from disk.
pub(super) struct Extent(Vec<Part>);

/// One of them.
struct Part {
    file: Arc<File>,
    at: Locator,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// All of them, or those before the first that is damaged.
    pub(super) events: Vec<Vec<u8>>,
    /// The segment with an event that is not as it was written.
    pub(super) damaged: Option<u64>,
}

impl Extent {
    /// Reads them. Blocking.
    pub(super) fn read(&self) -> std::io::Result<Read> {
        let mut read = Read::default();
        for part in &self.0 {
            match part.read()? {
                Some(bytes) => read.events.push(bytes),
                None => {
                    read.damaged = Some(part.at.segment);
                    break;
                }
            }
        }
        Ok(read)
    }
}

impl Part {
    /// Its bytes; none if they are not those that were written.
    fn read(&self) -> std::io::Result<Option<Vec<u8>>> {
        if let Some(bytes) = self.read_once()? {
            return Ok(Some(bytes));
        }
        // The disk may be right where the copy of it in memory is wrong: that is let go of. If it can't be, it is read again.
        let offset = i64::try_from(self.at.offset).unwrap_or(0);
        let length = i64::from(self.at.length);
        let _ = posix_fadvise(
            &*self.file,
            offset,
            length,
            PosixFadviseAdvice::POSIX_FADV_DONTNEED,
        );
        self.read_once()
    }

    fn read_once(&self) -> std::io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; usize::try_from(self.at.length).unwrap_or(0)];
        match self.file.read_exact_at(&mut bytes, self.at.offset) {
            Ok(()) => Ok(Some(bytes).filter(|bytes| EntryHash::of(bytes) == self.at.hash)),
            // It became shorter.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Backlog {
    pub(super) fn add_segment(&mut self, number: u64, file: File, bytes: u64) {
        self.segments.insert(
            number,
            Segment {
                file: Arc::new(file),
                bytes,
                waiting: 0,
            },
        );
    }

    pub(super) fn grow(&mut self, number: u64, bytes: u64) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.bytes = segment.bytes.saturating_add(bytes);
        }
    }

    pub(super) fn add(
        &mut self,
        tenant: &TenantId,
        end: LaneEnd,
        segment: u64,
        offset: u64,
        length: usize,
    ) {
        let lane = self.lanes.entry(tenant.clone()).or_default();
        if lane.events.is_empty() {
            lane.first = end.seq;
        }
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        lane.events.push_back(Locator {
            segment,
            offset,
            length,
            hash: end.hash,
        });
        if let Some(segment) = self.segments.get_mut(&segment) {
            segment.waiting = segment.waiting.saturating_add(1);
        }
    }

    /// Drops what lies behind these ends: it was never acknowledged. Whether what is left ends as they say.
    pub(super) fn cut(&mut self, ends: &HashMap<TenantId, LaneEnd>) -> bool {
        let mut fits = true;
        for (tenant, lane) in &mut self.lanes {
            let end = ends.get(tenant).copied().unwrap_or(LaneEnd::START);
            while lane.end() > end.seq.saturating_add(1) {
                let Some(gone) = lane.events.pop_back() else {
                    break;
                };
                if let Some(segment) = self.segments.get_mut(&gone.segment) {
                    segment.waiting = segment.waiting.saturating_sub(1);
                }
            }
            let last = lane.events.back();
            fits &= last.is_none_or(|last| last.hash == end.hash);
        }
        fits
    }

    pub(super) fn settle(&mut self, receipt: &Receipt, end: LaneEnd) -> Settled {
        if receipt.edge_seq > end.seq {
            return Settled::Forked;
        }
        let Some(lane) = self.lanes.get_mut(&receipt.tenant) else {
            return Settled::Committed(0);
        };
        match lane.at(receipt.edge_seq) {
            // All of it is settled already, or the ledger has nothing yet.
            None => return Settled::Committed(0),
            Some(event) if event.hash != receipt.edge_hash => return Settled::Forked,
            Some(_) => {}
        }
        let mut settled = 0;
        while lane.first <= receipt.edge_seq {
            let Some(gone) = lane.events.pop_front() else {
                break;
            };
            lane.first = lane.first.saturating_add(1);
            settled += 1;
            if let Some(segment) = self.segments.get_mut(&gone.segment) {
                segment.waiting = segment.waiting.saturating_sub(1);
            }
        }
        Settled::Committed(settled)
    }

    /// Segments from the oldest on that nothing waits in; the current one is never among them.
    pub(super) fn take_done(&mut self, current: u64) -> Vec<u64> {
        let mut done = Vec::new();
        while let Some(entry) = self.segments.first_entry() {
            if entry.get().waiting > 0 || *entry.key() >= current {
                break;
            }
            done.push(*entry.key());
            entry.remove();
        }
        done
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.bytes).sum()
    }

    /// Events waiting, over all lanes.
    pub(super) fn waiting(&self) -> usize {
        self.lanes.values().map(|lane| lane.events.len()).sum()
    }

    /// Tenants with events to send, with the first number.
    pub(super) fn lanes(&self) -> Vec<(TenantId, u64)> {
        let waiting = self
            .lanes
            .iter()
            .filter(|(_, lane)| !lane.events.is_empty());
        waiting
            .map(|(tenant, lane)| (tenant.clone(), lane.first))
            .collect()
    }

    /// Whether a lane has an event of this number.
    pub(super) fn has(&self, tenant: &TenantId, seq: u64) -> bool {
        self.lanes
            .get(tenant)
            .is_some_and(|lane| lane.at(seq).is_some())
    }

    /// One batch of a lane, from a number on.
    pub(super) fn extent(&self, tenant: &TenantId, from: u64) -> Option<Extent> {
        let lane = self.lanes.get(tenant)?;
        let (mut bytes, mut parts, mut seq) = (0_usize, Vec::new(), from);
        while let Some(event) = lane.at(seq).filter(|_| parts.len() < BATCH_EVENTS_MAX) {
            bytes = bytes.saturating_add(usize::try_from(event.length).unwrap_or(usize::MAX));
            if bytes > BATCH_BYTES_MAX && !parts.is_empty() {
                break;
            }
            let segment = self.segments.get(&event.segment)?;
            parts.push(Part {
                file: Arc::clone(&segment.file),
                at: *event,
            });
            seq = seq.saturating_add(1);
        }
        (!parts.is_empty()).then_some(Extent(parts))
    }
}

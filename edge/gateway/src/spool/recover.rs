//! The start: what the segments add up to, and whether all is there that was promised.

use super::SpoolError;
use super::backlog::Backlog;
use super::disk::Disk;
use super::mark::Synced;
use super::segment::{self, Record};
use super::state::{LaneEnd, State};
use proctor_model::TenantId;
use proctor_model::audit::{AuditEvent, EntryHash};
use std::fs::File;
use std::path::Path;

/// What is there.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub(super) state: State,
    pub(super) backlog: Backlog,
    /// Number of the newest segment that is kept; 0 if there is none.
    pub(super) newest: u64,
}

/// Folds all segments, oldest first. Each begins with a snapshot, which overrules what came before it: records behind
/// it in an older segment were never acknowledged.
pub(super) fn recover(
    disk: &Disk,
    numbers: &[u64],
    synced: Synced,
) -> Result<Recovered, SpoolError> {
    let mut recovered = Recovered::default();
    let mut empty = None;
    for number in numbers {
        let path = segment::path(disk.dir(), *number);
        let contents = segment::read(&path)?;
        // What was promised to be durable has to be there, to the last byte.
        if *number == synced.segment && contents.good < synced.bytes {
            return Err(SpoolError::Corrupt(path));
        }
        let mut records = contents.records.into_iter();
        let Some(Record::Snapshot(snapshot)) = records.next() else {
            // Begun when the machine stopped, or when the disk was full: nothing was ever acknowledged from it.
            if numbers.last() == Some(number) {
                empty = Some(*number);
                continue;
            }
            return Err(SpoolError::Corrupt(path));
        };
        recovered.begin(*number, &path, State::restore(*snapshot))?;
        for record in records {
            recovered.take(*number, &path, record)?;
        }
        if !contents.whole {
            tracing::warn!(path = %path.display(), "the end of a spool segment was not whole; it was never acknowledged");
        }
    }
    if !keeps_promise(numbers, synced, recovered.newest) {
        return Err(SpoolError::Corrupt(segment::path(
            disk.dir(),
            synced.segment,
        )));
    }
    if recovered.newest > 0 {
        // It may end in what a process wrote that was killed before it could sync it. The next segment's snapshot builds on
        // that: it must not be what a power cut takes away.
        segment::sync(disk, recovered.newest)?;
    }
    if let Some(number) = empty {
        segment::remove(disk, number)?;
    }
    Ok(recovered)
}

/// Whether the segment that the mark names is there, or was let go of.
///
/// Segments go from the oldest on, and only when a newer one is durable. Versions that did not sync the mark could come out
/// of a power cut with one that names a segment that was gone by then. It promises nothing of those that are there; each
/// of them was checked by itself and against the next one, as it is when the mark is merely an older one.
fn keeps_promise(numbers: &[u64], synced: Synced, newest: u64) -> bool {
    let gone = numbers
        .first()
        .is_some_and(|oldest| synced.segment < *oldest);
    synced.segment == 0 || (newest > 0 && (gone || numbers.contains(&synced.segment)))
}

impl Recovered {
    /// Goes on with a segment's snapshot.
    fn begin(&mut self, number: u64, path: &Path, state: State) -> Result<(), SpoolError> {
        // What an older segment should hold by this one's word has to be there.
        let whole = |(tenant, end): (&TenantId, &LaneEnd)| self.state.end(tenant).seq >= end.seq;
        let whole = self.newest == 0 || state.lanes.iter().all(whole);
        if !whole || !self.backlog.cut(&state.lanes) {
            return Err(SpoolError::Corrupt(path.to_owned()));
        }
        self.state = state;
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        self.backlog.add_segment(number, file, bytes);
        self.newest = number;
        Ok(())
    }

    /// Takes a record of a segment in.
    fn take(&mut self, number: u64, path: &Path, record: Record) -> Result<(), SpoolError> {
        let corrupt = || SpoolError::Corrupt(path.to_owned());
        let (charges, bytes, offset) = match record {
            Record::Event {
                charges,
                event,
                offset,
            } => (charges, event, offset),
            Record::Charges(tenant, charges) => {
                self.state.counts.add(&tenant, &charges);
                return Ok(());
            }
            Record::Snapshot(_) => return Err(corrupt()),
        };
        let event = AuditEvent::from_canonical(&bytes).map_err(|_| corrupt())?;
        let hash = EntryHash::of(&bytes);
        let before = self.state.end(&event.tenant);
        if event.edge_seq != before.seq.saturating_add(1) || event.edge_prev != before.hash {
            return Err(corrupt());
        }
        let end = LaneEnd {
            seq: event.edge_seq,
            hash,
        };
        let length = bytes.len();
        self.backlog.add(&event.tenant, end, number, offset, length);
        self.state.fold(&event, hash, &charges);
        Ok(())
    }
}

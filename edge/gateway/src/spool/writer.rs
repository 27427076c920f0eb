//! The one thread that writes the spool: takes what waits, writes it, syncs once, and only then answers.

mod stage;

use super::backlog::{Backlog, Settled};
use super::disk::{Disk, DiskFile};
use super::mark::{self, Mark, Synced};
use super::recover::{Recovered, recover};
use super::segment;
use super::state::{Drawn, LaneEnd, State};
use super::{Command, Entry, NotRecorded, Shared, SpoolError, Submission};
use proctor_engine::Charge;
use proctor_model::audit::{AuditEvent, Receipt};
use proctor_model::{Reason, TenantId};
use proctor_runtime::Clock;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;

/// Most submissions that one sync covers.
const GROUP_MAX: usize = 512;
/// A segment is closed when it is larger, in bytes. In a small spool sooner ([`segment_bytes_max`]), …
const SEGMENT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// … but not before it has so many.
const SEGMENT_BYTES_LEAST: u64 = 64 * 1024;
/// Pause between attempts to begin a segment after an I/O error.
const RETRY: Duration = Duration::from_millis(100);

/// What is written but not synced.
struct Staged {
    entry: Staging,
    charges: Vec<Charge>,
    reply: Option<super::Reply>,
}

enum Staging {
    Event {
        event: Box<AuditEvent>,
        end: LaneEnd,
        /// Where its bytes are in the buffer.
        at: usize,
        length: usize,
    },
    Charges(TenantId),
}

impl From<Staged> for Submission {
    fn from(staged: Staged) -> Self {
        Self {
            entry: match staged.entry {
                Staging::Event { event, .. } => Entry::Event(event),
                Staging::Charges(tenant) => Entry::Charges(tenant),
            },
            charges: staged.charges,
            reply: staged.reply,
        }
    }
}

#[derive(Default)]
struct Group {
    buffer: Vec<u8>,
    staged: Vec<Staged>,
    ends: HashMap<TenantId, LaneEnd>,
    drawn: Drawn,
    /// Things that happened and can't be written.
    lost: u64,
}

/// The segment that is written to.
struct Open {
    file: DiskFile,
    mark: Mark,
    bytes: u64,
    /// Size of its snapshot: what it holds beyond counts towards its end.
    snapshot_bytes: u64,
}

pub(super) struct Writer {
    disk: Disk,
    bytes_max: u64,
    clock: Clock,
    shared: Arc<Shared>,
    state: State,
    /// The highest number that a segment has or had.
    last: u64,
    /// The newest segment that is durable and that the mark speaks of: only older ones are let go of.
    current: u64,
    /// None after an I/O error: what the descriptors say about later syncs can't be believed.
    open: Option<Open>,
    /// A segment that was made and is durable, of which the mark does not speak yet; its size.
    begun: Option<(DiskFile, u64)>,
    failed_at: Option<Duration>,
    /// What has happened and could not be written: it goes first when it works again.
    owed: Vec<Submission>,
}

impl Writer {
    /// Reads what there is, and begins a new segment.
    pub(super) fn open(
        disk: Disk,
        bytes_max: u64,
        clock: Clock,
        shared: Arc<Shared>,
    ) -> Result<Self, SpoolError> {
        let numbers = segment::list(disk.dir())?;
        let synced = mark::read(disk.dir()).map_err(|error| match error.kind() {
            ErrorKind::InvalidData => SpoolError::Corrupt(mark::path(disk.dir())),
            _ => SpoolError::Io(error),
        })?;
        let Recovered {
            state,
            backlog,
            newest,
        } = recover(&disk, &numbers, synced)?;
        *shared
            .backlog
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = backlog;
        let mut writer = Self {
            disk,
            bytes_max,
            clock,
            shared,
            state,
            last: numbers.last().copied().unwrap_or(0),
            current: newest,
            begun: None,
            open: None,
            failed_at: None,
            owed: Vec::new(),
        };
        match writer.begin_segment() {
            // No reason to stay away: when what the disk holds has been sent, there is room.
            Err(SpoolError::Io(error)) if is_full(&error) => {
                tracing::error!(%error, "no spool segment can be begun: calls are refused until one can");
                writer.fail();
                Ok(writer)
            }
            begun => begun.map(|()| writer),
        }
    }

    pub(super) fn counts(&self) -> super::Counts {
        self.state.counts.clone()
    }

    pub(super) fn open_calls(&self) -> Vec<AuditEvent> {
        self.state.open()
    }

    /// Until the last sender is gone.
    pub(super) fn run(mut self, mut commands: Receiver<Command>) {
        let mut group = Vec::with_capacity(GROUP_MAX);
        while commands.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
            let mut submissions = std::mem::take(&mut self.owed);
            let (mut over, mut waiting) = (Vec::new(), Vec::new());
            for command in group.drain(..) {
                match command {
                    Command::Record(submission) => submissions.push(submission),
                    Command::Settle(receipt) => self.settle(&receipt),
                    // After the records before it: a late correction would bring a count back.
                    Command::Forget(tenant, keys) => over.push((tenant, keys)),
                    Command::Flush(reply) => waiting.push(reply),
                    Command::Tick => self.keep_house(),
                }
            }
            self.write(submissions);
            for (tenant, keys) in over {
                self.state.counts.remove(&tenant, &keys);
            }
            for reply in waiting {
                // Nobody may wait any more.
                let _ = reply.send(self.owed.is_empty());
            }
        }
    }

    fn keep_house(&self) {
        let over = self.shared.control_time.over(self.clock.now());
        self.state.counts.forget(over);
        if self.open.is_some() {
            segment::keep_reserve(&self.disk);
        }
    }

    fn write(&mut self, submissions: Vec<Submission>) {
        if submissions.is_empty() && self.open.is_some() {
            return;
        }
        if self.ready().is_err() {
            return self.refuse(submissions);
        }
        let group = self.stage(submissions);
        if group.lost > 0 {
            metrics::counter!("proctor_edge_spool_lost_total").increment(group.lost);
            tracing::error!(
                lost = group.lost,
                "outcomes can't be written: their calls stay open until the restart, and are unknown then"
            );
        }
        if group.staged.is_empty() {
            return;
        }
        let started = self.clock.monotonic();
        match self.sync(&group.buffer) {
            Ok(offset) => self.applied(group, offset),
            Err(error) => {
                tracing::error!(%error, "the spool can't be written: calls are refused until it can");
                self.fail();
                self.refuse(group.staged.into_iter().map(Submission::from).collect());
            }
        }
        let took = self.clock.monotonic().saturating_sub(started);
        metrics::histogram!("proctor_edge_spool_sync_seconds").record(took.as_secs_f64());
    }

    /// A segment that can be written to.
    fn ready(&mut self) -> Result<(), SpoolError> {
        if let Some(open) = &self.open
            && open.bytes.saturating_sub(open.snapshot_bytes) < segment_bytes_max(self.bytes_max)
        {
            return Ok(());
        }
        let now = self.clock.monotonic();
        if self
            .failed_at
            .is_some_and(|at| now.saturating_sub(at) < RETRY)
        {
            return Err(SpoolError::Io(ErrorKind::StorageFull.into()));
        }
        let begun = self.begin_segment();
        if let Err(error) = &begun {
            if self.failed_at.is_none() {
                tracing::error!(%error, "no spool segment can be begun: calls are refused until one can");
            }
            self.fail();
        }
        begun
    }

    fn begin_segment(&mut self) -> Result<(), SpoolError> {
        let (file, bytes) = match self.begun.take() {
            Some(begun) => begun,
            None => self.make_segment()?,
        };
        let segment = self.last;
        // Before an older segment is let go of: after a power cut the mark must not name one that is gone.
        let mark = Mark::open(&self.disk).and_then(|mark| {
            mark.begin(Synced { segment, bytes })?;
            Ok(mark)
        });
        let mark = match mark {
            Ok(mark) => mark,
            Err(error) => {
                // The next attempt goes on with it: one more file each time would end in none.
                self.begun = Some((file, bytes));
                return Err(error.into());
            }
        };
        self.current = segment;
        self.open = Some(Open {
            file,
            mark,
            bytes,
            snapshot_bytes: bytes,
        });
        self.failed_at = None;
        self.shared.writable.store(true, Ordering::Release);
        self.drop_done();
        segment::keep_reserve(&self.disk);
        Ok(())
    }

    /// A segment that is durable, and nothing speaks of yet.
    fn make_segment(&mut self) -> Result<(DiskFile, u64), SpoolError> {
        let number = self.last.saturating_add(1);
        let (disk, snapshot) = (&self.disk, self.state.snapshot());
        let (file, bytes) = match segment::create(disk, number, &snapshot) {
            // What the full segment holds can only be let go of when there is a newer one.
            Err(_) if segment::use_reserve(disk) => segment::create(disk, number, &snapshot)?,
            created => created?,
        };
        self.last = number;
        let reader = file.reader()?;
        self.backlog().add_segment(number, reader, bytes);
        Ok((file, bytes))
    }

    fn fail(&mut self) {
        self.open = None;
        self.failed_at = Some(self.clock.monotonic());
        self.shared.writable.store(false, Ordering::Release);
        metrics::counter!("proctor_edge_spool_failures_total").increment(1);
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        let backlog = self.shared.backlog.lock();
        backlog.unwrap_or_else(PoisonError::into_inner)
    }

    /// Who waits is told no; what has happened is owed.
    fn refuse(&mut self, submissions: Vec<Submission>) {
        for mut submission in submissions {
            if let Some(reply) = submission.reply.take() {
                super::answer(reply, Err(NotRecorded::Unavailable));
            }
            if submission.entry.is_owed() {
                self.owed.push(submission);
            }
        }
    }

    /// Writes and syncs; returns where the buffer begins in the file.
    fn sync(&mut self, buffer: &[u8]) -> std::io::Result<u64> {
        let open = self.open.as_mut().ok_or(ErrorKind::NotFound)?;
        open.file.write_at(buffer, open.bytes)?;
        open.file.sync()?;
        let offset = open.bytes;
        open.bytes = offset.saturating_add(u64::try_from(buffer.len()).unwrap_or(u64::MAX));
        open.mark.set(Synced {
            segment: self.current,
            bytes: open.bytes,
        })?;
        Ok(offset)
    }

    fn applied(&mut self, group: Group, offset: u64) {
        let mut backlog = self.backlog();
        backlog.grow(self.current, u64::try_from(group.buffer.len()).unwrap_or(0));
        for staged in &group.staged {
            if let Staging::Event {
                event,
                end,
                at,
                length,
            } = &staged.entry
            {
                let at = offset.saturating_add(u64::try_from(*at).unwrap_or(0));
                backlog.add(&event.tenant, *end, self.current, at, *length);
            }
        }
        drop(backlog);
        for staged in group.staged {
            match &staged.entry {
                Staging::Event { event, end, .. } => {
                    self.state.fold(event, end.hash, &staged.charges);
                }
                Staging::Charges(tenant) => self.state.counts.add(tenant, &staged.charges),
            }
            if let Some(reply) = staged.reply {
                super::answer(reply, Ok(()));
            }
        }
        self.shared.changed.notify_one();
    }

    fn settle(&mut self, receipt: &Receipt) {
        let end = self.state.end(&receipt.tenant);
        let settled = self.backlog().settle(receipt, end);
        match settled {
            Settled::Committed(0) => {}
            Settled::Committed(_) => {
                self.drop_done();
                self.shared.changed.notify_one();
            }
            Settled::Forked => {
                let already = self.shared.forked.swap(true, Ordering::AcqRel);
                if !already {
                    tracing::error!(
                        tenant = %receipt.tenant,
                        "the ledger holds events of this edge that the spool does not: calls are refused. \
                         Enrol this edge anew with an empty data directory"
                    );
                }
            }
        }
    }

    fn drop_done(&self) {
        let done = self.backlog().take_done(self.current);
        for number in done {
            if let Err(error) = segment::remove(&self.disk, number) {
                tracing::warn!(%error, number, "a spool segment that is done with can't be removed");
            }
        }
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

/// The segment that is written to is never let go of: were it all of a spool's room, a spool that was full once would stay
/// full for good.
fn segment_bytes_max(spool_bytes_max: u64) -> u64 {
    (spool_bytes_max / 4).clamp(SEGMENT_BYTES_LEAST, SEGMENT_BYTES_MAX)
}

impl From<NotRecorded> for Reason {
    fn from(why: NotRecorded) -> Self {
        match why {
            NotRecorded::Exhausted(reason) => reason,
            NotRecorded::Unavailable => Self::AuditUnavailable,
        }
    }
}

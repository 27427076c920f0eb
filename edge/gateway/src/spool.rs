//! The spool: the point from which a decision can't be lost any more.
//!
//! Events are appended by one thread, many per `fdatasync`. They stay until the ledger says with a signed receipt
//! that they are committed to Postgres. Counts of calls (`max_calls`, `calls <=`) are drawn in the same write, so that
//! they survive exactly as the event does. After the first I/O error a segment is never written to again: what a later
//! sync on the same descriptor says is not to be believed.
//!
//! Reading order: `disk`, `segment` (the file), `mark` (how much of it was promised), `state` (what the records add up to), `recover` (the
//! start), `backlog`, `writer`.

mod backlog;
mod disk;
mod mark;
mod recover;
mod segment;
mod state;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use state::Counts;

use crate::control_time::ControlTime;
use crate::lease::{Funds, Spent};
use backlog::Backlog;
use disk::Disk;
use proctor_engine::{Charge, CountKey, Permit};
use proctor_model::audit::{AuditEvent, Receipt};
use proctor_model::{EventId, Reason, TenantId};
use proctor_runtime::Clock;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};

/// Submissions that may wait for the writer.
const QUEUE: usize = 8_192;

/// Where the spool is, and how large it may get.
#[derive(Clone, Debug)]
pub(crate) struct SpoolConfig {
    pub(crate) dir: PathBuf,
    /// Bytes on disk beyond which calls are refused until the ledger has caught up. Outcomes are always taken.
    pub(crate) bytes_max: u64,
}

/// The spool can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The directory or a file.
    #[error("the spool's files")]
    Io(#[from] std::io::Error),
    /// Another process has it.
    #[error("the spool in {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// A segment that was acknowledged isn't as it was written.
    #[error("spool segment {} is damaged; it holds evidence: keep it, and enrol this edge anew elsewhere", .0.display())]
    Corrupt(PathBuf),
}

/// An event was not written. Nothing may be forwarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NotRecorded {
    /// A ceiling was reached in the meantime.
    Exhausted(Reason),
    /// The disk, or the ledger is too far behind.
    Unavailable,
}

type Reply = oneshot::Sender<Result<(), NotRecorded>>;

struct Submission {
    entry: Entry,
    charges: Vec<Charge>,
    /// None for outcomes: nobody waits.
    reply: Option<Reply>,
}

/// What is written with charges.
enum Entry {
    Event(Box<AuditEvent>),
    /// Nothing: they are of a call of this tenant that is under way.
    Charges(TenantId),
}

impl Entry {
    /// Whether it says what has happened: it is never refused, and written when the disk works again.
    fn is_owed(&self) -> bool {
        match self {
            Self::Event(event) => event.kind.is_outcome(),
            Self::Charges(_) => true,
        }
    }

    fn tenant(&self) -> &TenantId {
        match self {
            Self::Event(event) => &event.tenant,
            Self::Charges(tenant) => tenant,
        }
    }
}

enum Command {
    Record(Submission),
    Settle(Receipt),
    Forget(TenantId, Vec<CountKey>),
    Flush(oneshot::Sender<bool>),
    Tick,
}

#[derive(Default)]
struct Shared {
    control_time: ControlTime,
    backlog: Mutex<Backlog>,
    changed: Notify,
    writable: AtomicBool,
    forked: AtomicBool,
    /// An event was read that is not as it was written.
    damaged: AtomicBool,
}

/// Leave to forward one call: its `authorized` event is on disk. Made by [`Spool::authorize`] alone, once for each permit, and can't
/// be copied. Forwarding borrows it, as one call may be several requests (its task's, answers to what it asks); it ends with the call,
/// whose outcome is written from it.
#[derive(Debug)]
pub(crate) struct Recorded {
    permit: Box<Permit>,
    event: Box<AuditEvent>,
    spent: Mutex<Spent>,
}

impl Recorded {
    pub(crate) fn permit(&self) -> &Permit {
        &self.permit
    }

    /// What the call has drawn, while it goes on.
    pub(crate) fn spent<T>(&self, look: impl FnOnce(&mut Spent) -> T) -> T {
        look(&mut self.spent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the call has drawn, to be settled with what it really used.
    pub(crate) fn take_spent(&self) -> Spent {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *spent)
    }

    /// What the call writes to memory, as it was signed.
    pub(crate) fn memory(&self) -> &[proctor_model::memory::SignedRecord] {
        self.event
            .memory
            .as_ref()
            .map_or(&[], |memory| &memory.records)
    }

    /// The outcome event that is to follow, to be filled in.
    pub(crate) fn outcome(&self) -> AuditEvent {
        crate::event::outcome_of(&self.event)
    }
}

/// Some consecutive events of a lane.
pub(crate) struct LaneBatch {
    pub(crate) last_seq: u64,
    pub(crate) events: Vec<Vec<u8>>,
}

/// The spool's front: cheap to clone.
#[derive(Clone)]
pub(crate) struct Spool {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    counts: Counts,
    _lock: Arc<std::fs::File>,
}

impl Spool {
    /// Opens the spool, and gives the outcomes that are missing: of calls that were under way when the edge stopped. On a
    /// full disk it opens as well: it gives what it holds, and takes nothing until there is room.
    pub(crate) fn open(
        config: SpoolConfig,
        clock: Clock,
    ) -> Result<(Self, Vec<AuditEvent>), SpoolError> {
        Self::open_on(Disk::new(config.dir), config.bytes_max, clock)
    }

    fn open_on(
        disk: Disk,
        bytes_max: u64,
        clock: Clock,
    ) -> Result<(Self, Vec<AuditEvent>), SpoolError> {
        std::fs::create_dir_all(disk.dir())?;
        let lock = std::fs::File::create(disk.path("lock"))?;
        lock.try_lock()
            .map_err(|_| SpoolError::InUse(disk.dir().to_owned()))?;
        // What should stay 0 is there from the start: nobody can watch what is absent.
        metrics::counter!("proctor_edge_spool_damaged_total").increment(0);
        metrics::counter!("proctor_edge_spool_lost_total").increment(0);
        let shared = Arc::<Shared>::default();
        let writer = writer::Writer::open(disk, bytes_max, clock, Arc::clone(&shared))?;
        let (counts, open) = (writer.counts(), writer.open_calls());
        let (commands, queue) = mpsc::channel(QUEUE);
        std::thread::Builder::new()
            .name("spool".into())
            .spawn(move || writer.run(queue))?;
        Ok((
            Self {
                commands,
                shared,
                counts,
                _lock: Arc::new(lock),
            },
            open,
        ))
    }

    /// To be told what control's heartbeats say: no count is forgotten before its time is over by that clock as well.
    pub(crate) fn control_time(&self) -> ControlTime {
        self.shared.control_time.clone()
    }

    async fn submit(
        &self,
        event: Box<AuditEvent>,
        charges: Vec<Charge>,
    ) -> Result<(), NotRecorded> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Record(Submission {
            entry: Entry::Event(event),
            charges,
            reply: Some(reply),
        });
        // Waiting behind a full queue would only pile up more: refuse.
        self.commands
            .try_send(command)
            .map_err(|_| NotRecorded::Unavailable)?;
        answer.await.unwrap_or(Err(NotRecorded::Unavailable))
    }

    /// Writes an event; when this returns, it is durable.
    pub(crate) async fn record(&self, event: Box<AuditEvent>) -> Result<(), NotRecorded> {
        self.submit(event, Vec::new()).await
    }

    /// Draws what a permit is to be charged and writes its `authorized` event; when this returns, both are durable.
    pub(crate) async fn authorize(
        &self,
        permit: Box<Permit>,
        funds: Funds,
        event: Box<AuditEvent>,
    ) -> Result<Recorded, (Box<Permit>, NotRecorded)> {
        match self.submit(event.clone(), funds.charges()).await {
            Ok(()) => Ok(Recorded {
                permit,
                event,
                spent: Mutex::new(funds.spend()),
            }),
            Err(why) => Err((permit, why)),
        }
    }

    /// Writes an outcome, and corrects what its call was charged. It is never refused; if the disk fails it is kept until it
    /// works again.
    pub(crate) async fn outcome(&self, event: Box<AuditEvent>, charges: Vec<Charge>) {
        let command = Command::Record(Submission {
            entry: Entry::Event(event),
            charges,
            reply: None,
        });
        if self.commands.send(command).await.is_err() {
            tracing::error!("the spool's thread is gone: an outcome stays open until the restart");
        }
    }

    /// Counts what a call took in addition while it goes on. Once this has returned, it is counted, at the latest when the
    /// disk works again; what it returns says whether it is durable now.
    pub(crate) fn charge(
        &self,
        tenant: TenantId,
        charges: Vec<Charge>,
    ) -> Result<impl Future<Output = bool> + use<>, NotRecorded> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Record(Submission {
            entry: Entry::Charges(tenant),
            charges,
            reply: Some(reply),
        });
        let sent = self.commands.try_send(command);
        sent.map_err(|_| NotRecorded::Unavailable)?;
        Ok(async { matches!(answer.await, Ok(Ok(()))) })
    }

    /// Waits until all that was handed in before is durable; whether it is.
    pub(crate) async fn flush(&self) -> bool {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Flush(reply)).await.is_ok() && answer.await.unwrap_or(false)
    }

    /// Forgets counts that the counter has taken over. If a crash comes first, they are offered to it once more.
    pub(crate) async fn forget(&self, tenant: TenantId, keys: Vec<CountKey>) {
        // If the thread is gone, the next start does it.
        let _ = self.commands.send(Command::Forget(tenant, keys)).await;
    }

    /// Takes the ledger's word that a lane is committed up to an event.
    pub(crate) async fn settle(&self, receipt: Receipt) {
        // If the thread is gone, the next start settles.
        let _ = self.commands.send(Command::Settle(receipt)).await;
    }

    /// Housekeeping; also what brings a failed spool back when there are no calls.
    pub(crate) async fn tick(&self) {
        let _ = self.commands.send(Command::Tick).await;
    }

    /// The counts of calls.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Whether events can be written.
    pub(crate) fn is_writable(&self) -> bool {
        let flag = |flag: &AtomicBool| flag.load(Ordering::Acquire);
        flag(&self.shared.writable) && !flag(&self.shared.forked) && !flag(&self.shared.damaged)
    }

    /// Waits until something was written or confirmed, at most so long.
    pub(crate) async fn changed(&self, at_most: Duration) {
        // Late or in time, the caller looks.
        let _ = tokio::time::timeout(at_most, self.shared.changed.notified()).await;
    }

    /// Events that the ledger has not confirmed.
    pub(crate) fn waiting(&self) -> usize {
        self.shared
            .backlog
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .waiting()
    }

    /// Tenants with events to send, with the number of the first.
    pub(crate) fn lanes(&self) -> Vec<(TenantId, u64)> {
        self.shared
            .backlog
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lanes()
    }

    /// Whether a lane has an event of this number to send.
    pub(crate) fn has(&self, tenant: &TenantId, seq: u64) -> bool {
        self.shared
            .backlog
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .has(tenant, seq)
    }

    /// A batch of a lane from a number on; `None` if there is nothing that can be sent.
    pub(crate) async fn batch(
        &self,
        tenant: &TenantId,
        from: u64,
    ) -> std::io::Result<Option<LaneBatch>> {
        let extent = self
            .shared
            .backlog
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extent(tenant, from);
        let Some(extent) = extent else {
            return Ok(None);
        };
        let read = tokio::task::spawn_blocking(move || extent.read()).await??;
        if let Some(segment) = read.damaged {
            self.shared.note_damage(tenant, segment);
        }
        let count = u64::try_from(read.events.len()).unwrap_or(u64::MAX);
        Ok((count > 0).then(|| LaneBatch {
            last_seq: from.saturating_add(count).saturating_sub(1),
            events: read.events,
        }))
    }
}

impl Shared {
    /// The lane goes no further, and no call is made any more whose evidence would come behind it.
    fn note_damage(&self, tenant: &TenantId, segment: u64) {
        let already = self.damaged.swap(true, Ordering::AcqRel);
        if !already {
            metrics::counter!("proctor_edge_spool_damaged_total").increment(1);
            tracing::error!(
                %tenant, segment,
                "a spool segment is damaged: an event in it is not as it was written. It is not sent, and calls are refused. \
                 If it is still so after a restart, the edge does not start: keep the directory, and enrol the edge anew elsewhere"
            );
        }
    }
}

fn answer(reply: Reply, what: Result<(), NotRecorded>) {
    // A client that went away while its event was written is no error: the event stands.
    let _ = reply.send(what);
}

/// The id of an event that is about to be made.
pub(crate) fn event_id(
    random: &proctor_runtime::Random,
    now: proctor_model::Timestamp,
) -> Result<EventId, Reason> {
    random
        .uuid_v7(now)
        .map(EventId::from)
        .map_err(|_| Reason::Internal)
}

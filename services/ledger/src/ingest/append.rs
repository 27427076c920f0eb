//! Some batches of one tenant into its chain, in one transaction.

use super::{Opened, Rejected};
use crate::store::{Head, Hold, Position, TenantTx};
use crate::{LedgerError, State, memory};
use proctor_model::audit::{AuditEvent, EntryHash, EventLane, Kind, LaneEvent, LaneFault};
use proctor_model::ids::EventId;
use proctor_model::{EdgeId, TenantId};
use sqlx::types::time::{Date, OffsetDateTime};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often a lane's faults go into the chain at most: an edge can't fill it with them.
const FAULT_PAUSE: Duration = Duration::from_secs(300);
/// How long before its beginning a month counts as begun: as much as clocks may differ.
const MONTH_EARLY_S: i64 = 3_600;
/// Lanes whose faults are remembered.
const LANES_MAX: usize = 10_000;

/// What became of a batch.
pub(super) enum Fate {
    /// Committed up to here (or was before).
    Committed(Position),
    /// It starts later than the lane ends: the edge has to send what is missing.
    Gap(Position),
    Rejected(Rejected),
}

/// What became of all of them.
pub(super) enum Outcome {
    /// Another ledger writes this chain.
    Foreign(String),
    /// One fate for each batch; the size of the chain now and that of the last seal, if anything was appended.
    Done {
        fates: Vec<Fate>,
        size: Option<(u64, u64)>,
    },
}

/// A lane within the transaction.
struct Lane {
    /// Where it ended before.
    before: Position,
    /// Hashes of what is appended to it now.
    fresh: Vec<EntryHash>,
}

impl Lane {
    fn end(&self) -> Position {
        match self.fresh.last() {
            None => self.before,
            Some(hash) => Position {
                seq: self.before.seq.saturating_add(self.fresh.len() as u64),
                hash: *hash,
            },
        }
    }
}

/// Appends what is new of them; the batches of a lane have to be in order.
pub(super) async fn append(
    state: &State,
    tenant: &TenantId,
    batches: &[Opened],
) -> Result<Outcome, LedgerError> {
    let mut faults = Vec::new();
    let appended = append_and_tell(state, tenant, batches, &mut faults).await;
    if appended.is_err() {
        // None of it is in the chain: the next attempt tells of it.
        state.faults.were_not_told(tenant, &faults);
    }
    appended
}

/// What it tells of lanes in the same transaction is in `faults`.
async fn append_and_tell(
    state: &State,
    tenant: &TenantId,
    batches: &[Opened],
    faults: &mut Vec<EventLane>,
) -> Result<Outcome, LedgerError> {
    let mut tx = state.store.tenant(tenant).await?;
    let head = match tx.lock_head(&state.holder).await? {
        Hold::Mine(head) => head,
        Hold::Foreign(holder) => return Ok(Outcome::Foreign(holder)),
    };
    let mut lanes: HashMap<EdgeId, Lane> = HashMap::new();
    let (mut fates, mut events) = (Vec::with_capacity(batches.len()), Vec::new());
    for batch in batches {
        if !lanes.contains_key(&batch.edge) {
            let before = tx.lane(&batch.edge).await?;
            let fresh = Vec::new();
            lanes.insert(batch.edge.clone(), Lane { before, fresh });
        }
        let Some(lane) = lanes.get_mut(&batch.edge) else {
            continue;
        };
        let fate = join(state, &mut tx, lane, batch, &mut events).await?;
        let fault = match &fate {
            Fate::Gap(_) => Some(LaneFault::LaneGap),
            Fate::Rejected(_) => Some(LaneFault::LaneFork),
            Fate::Committed(_) => None,
        };
        let at = lane.end().seq;
        if state.faults.is_news(state, tenant, &batch.edge, fault, at)
            && let Some(fault) = fault
        {
            faults.push(EventLane {
                edge: batch.edge.clone(),
                fault,
                edge_seq: at,
                // The ledger's word alone would do to get rid of an edge.
                proof: (fault == LaneFault::LaneFork).then(|| Box::new(batch.head.clone())),
            });
        }
        fates.push(fate);
    }
    let size = commit(state, tenant, tx, head, lanes, events, faults).await?;
    Ok(Outcome::Done { fates, size })
}

/// What is new of a batch goes behind its lane and to the events.
async fn join<'b>(
    state: &State,
    tx: &mut TenantTx,
    lane: &mut Lane,
    batch: &'b Opened,
    events: &mut Vec<&'b LaneEvent>,
) -> Result<Fate, LedgerError> {
    let end = lane.end();
    let (mut known, mut fresh, mut at) = (None, Vec::new(), end);
    for lane_event in &batch.events {
        let LaneEvent { event, hash, .. } = lane_event;
        if event.edge_seq <= end.seq {
            known = Some((event.edge_seq, *hash));
            continue;
        }
        if event.edge_seq != at.seq.saturating_add(1) {
            return Ok(Fate::Gap(end));
        }
        if event.edge_prev != at.hash {
            return Ok(Fate::Rejected(Rejected::Fork));
        }
        at = Position {
            seq: event.edge_seq,
            hash: *hash,
        };
        fresh.push(lane_event);
    }
    // Each event names the one before it: where the last known one is ours, all of them are.
    if let Some((seq, hash)) = known {
        let ours = match lane_hash(tx, lane, &batch.edge, seq).await? {
            Some(ours) => ours == hash,
            // Its entry is archived: nothing behind it is new, and the receipt says where the lane really ends.
            None => tx.archived().await? > 0,
        };
        if !ours {
            return Ok(Fate::Rejected(Rejected::Fork));
        }
    }
    let news = fresh.iter().map(|fresh| &fresh.event);
    memory::take(state, tx, &batch.certificate, news).await?;
    lane.fresh.extend(fresh.iter().map(|fresh| fresh.hash));
    events.extend(fresh);
    Ok(Fate::Committed(lane.end()))
}

/// Hash of an event of the lane that is committed, or is about to be.
async fn lane_hash(
    tx: &mut TenantTx,
    lane: &Lane,
    edge: &EdgeId,
    seq: u64,
) -> Result<Option<EntryHash>, LedgerError> {
    let Position { seq: before, hash } = lane.before;
    if seq == before {
        return Ok(Some(hash));
    }
    match seq.checked_sub(before.saturating_add(1)) {
        Some(index) => Ok(usize::try_from(index)
            .ok()
            .and_then(|index| lane.fresh.get(index).copied())),
        None => tx.lane_hash(edge, seq).await,
    }
}

/// Writes it all; the size of the chain and of its last seal, if anything was written.
async fn commit(
    state: &State,
    tenant: &TenantId,
    mut tx: TenantTx,
    head: Head,
    lanes: HashMap<EdgeId, Lane>,
    mut events: Vec<&LaneEvent>,
    faults: &[EventLane],
) -> Result<Option<(u64, u64)>, LedgerError> {
    let count = u64::try_from(events.len()).unwrap_or(0);
    for lane in faults {
        metrics::counter!("proctor_ledger_lane_faults_total", "fault" => lane.fault.as_str())
            .increment(1);
        tracing::error!(%tenant, edge = %lane.edge, fault = lane.fault.as_str(), edge_seq = lane.edge_seq, "a lane is not as it should be");
    }
    let month = head.month.max(this_month(state));
    let ids = events.iter().map(|event| event.event.event_id);
    tx.none_of_old(ids, month).await?;
    let own = faults.iter().map(|lane| Own::Fault(lane.clone()));
    let own = own_events(state, tenant, &mut tx, own.collect()).await?;
    events.extend(&own);
    if events.is_empty() {
        return Ok(None);
    }
    let sealed = head.sealed;
    let size = tx.append(head, &state.holder, &events).await?;
    for (edge, lane) in &lanes {
        if !lane.fresh.is_empty() {
            tx.set_lane(edge, lane.end()).await?;
        }
    }
    tx.commit().await?;
    metrics::counter!("proctor_ledger_entries_total").increment(count);
    Ok(Some((size, sealed)))
}

/// The first day of the month that it is, or is about to be: which one an entry falls into is up to the database's clock.
fn this_month(state: &State) -> Date {
    let soon = state.clock.now().as_secs().saturating_add(MONTH_EARLY_S);
    let now = OffsetDateTime::from_unix_timestamp(soon);
    let today = now.unwrap_or(OffsetDateTime::UNIX_EPOCH).date();
    today.replace_day(1).unwrap_or(today)
}

/// What the ledger itself has to say.
pub(crate) enum Own {
    /// A lane is not as it should be.
    Fault(EventLane),
    /// A tenant's log was sealed.
    Sealed(proctor_model::audit::EventSeal),
}

/// Events on the ledger's own lane of this chain, which are to be appended in the same transaction.
pub(crate) async fn own_events(
    state: &State,
    tenant: &TenantId,
    tx: &mut TenantTx,
    own: Vec<Own>,
) -> Result<Vec<LaneEvent>, LedgerError> {
    if own.is_empty() {
        return Ok(Vec::new());
    }
    let mut at = tx.lane(&EdgeId::ledger()).await?;
    let mut events = Vec::with_capacity(own.len());
    for own in own {
        let now = state.clock.now();
        let id = EventId::from(state.random.uuid_v7(now)?);
        let (kind, lane, sealed) = match own {
            Own::Fault(lane) => (Kind::Integrity, Some(lane), None),
            Own::Sealed(seal) => (Kind::Sealed, None, Some(seal)),
        };
        let mut event = AuditEvent::new(tenant.clone(), EdgeId::ledger(), id, now, kind);
        (event.lane, event.sealed) = (lane, sealed);
        (event.edge_seq, event.edge_prev) = (at.seq.saturating_add(1), at.hash);
        let event = LaneEvent::write(event)?;
        at = Position {
            seq: event.event.edge_seq,
            hash: event.hash,
        };
        events.push(event);
    }
    tx.set_lane(&EdgeId::ledger(), at).await?;
    Ok(events)
}

/// Faults of lanes that were seen, so that each goes into the chain once in a while and not each time.
#[derive(Default)]
pub(crate) struct Faults {
    lanes: Mutex<HashMap<(TenantId, EdgeId), Fault>>,
}

#[derive(Clone, Copy)]
struct Fault {
    fault: LaneFault,
    /// Where the lane ended.
    at: u64,
    /// Since when it is so (monotonic).
    since: Duration,
    told: Told,
}

/// When each fault of a lane last went into the chain (monotonic): one does not keep quiet about the other.
#[derive(Clone, Copy, Default)]
struct Told {
    gap: Option<Duration>,
    fork: Option<Duration>,
}

impl Told {
    fn of(&mut self, fault: LaneFault) -> &mut Option<Duration> {
        match fault {
            LaneFault::LaneGap => &mut self.gap,
            LaneFault::LaneFork => &mut self.fork,
        }
    }

    fn is_nothing(self) -> bool {
        self.gap.or(self.fork).is_none()
    }
}

impl Faults {
    /// Notes how a lane is; says whether its fault is to go into the chain now.
    fn is_news(
        &self,
        state: &State,
        tenant: &TenantId,
        edge: &EdgeId,
        fault: Option<LaneFault>,
        at: u64,
    ) -> bool {
        let now = state.clock.monotonic();
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.clone(), edge.clone());
        let Some(fault) = fault else {
            // It goes on; what was told stays known, so that it is not told anew each time.
            if lanes.get(&key).is_some_and(|known| known.told.is_nothing()) {
                lanes.remove(&key);
            }
            return false;
        };
        if lanes.len() >= LANES_MAX && !lanes.contains_key(&key) {
            lanes.clear();
        }
        let fresh = Fault {
            fault,
            at,
            since: now,
            told: Told::default(),
        };
        let known = lanes.entry(key).or_insert(fresh);
        // A fork in between does not set back for how long a gap has been there.
        if fault == LaneFault::LaneGap && (known.fault, known.at) != (fault, at) {
            let told = known.told;
            *known = Fault { told, ..fresh };
        }
        let waited = now.saturating_sub(known.since);
        let ripe = fault == LaneFault::LaneFork || waited >= state.gap_patience;
        let told = known.told.of(fault);
        let quiet = told.is_none_or(|told| now.saturating_sub(told) >= FAULT_PAUSE);
        if ripe && quiet {
            *told = Some(now);
        }
        ripe && quiet
    }

    /// Takes it back that these are in the chain.
    fn were_not_told(&self, tenant: &TenantId, faults: &[EventLane]) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        for lane in faults {
            if let Some(known) = lanes.get_mut(&(tenant.clone(), lane.edge.clone())) {
                *known.told.of(lane.fault) = None;
            }
        }
    }
}

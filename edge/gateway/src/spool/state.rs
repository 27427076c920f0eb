//! What the spool's records add up to: ends of the lanes, counts of calls, calls without an outcome.

use proctor_engine::{Charge, CountKey, SessionView};
use proctor_model::audit::{AuditEvent, EntryHash, Kind};
use proctor_model::{EventId, Reason, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Most counts of one tenant that are kept at once; beyond, its calls that need a new one are refused.
const COUNTS_MAX: usize = 100_000;

/// The last event of a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct LaneEnd {
    pub(crate) seq: u64,
    pub(crate) hash: EntryHash,
}

impl LaneEnd {
    pub(super) const START: Self = Self {
        seq: 0,
        hash: EntryHash::ZERO,
    };
}

#[derive(Clone, Copy, Debug)]
struct Count {
    calls: u64,
    until: Option<Timestamp>,
}

/// How much was drawn on each token, intent action and lease; shared with those who decide.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts(Arc<RwLock<HashMap<TenantId, HashMap<CountKey, Count>>>>);

/// One tenant's counts.
pub(crate) struct TenantCounts<'a> {
    counts: &'a Counts,
    tenant: &'a TenantId,
}

impl SessionView for TenantCounts<'_> {
    fn calls(&self, key: &CountKey) -> u64 {
        self.counts.get(self.tenant, key)
    }
}

impl Counts {
    pub(crate) fn of<'a>(&'a self, tenant: &'a TenantId) -> TenantCounts<'a> {
        TenantCounts {
            counts: self,
            tenant,
        }
    }

    pub(crate) fn get(&self, tenant: &TenantId, key: &CountKey) -> u64 {
        let counts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        counts
            .get(tenant)
            .and_then(|counts| counts.get(key))
            .map_or(0, |count| count.calls)
    }

    pub(super) fn add(&self, tenant: &TenantId, charges: &[Charge]) {
        let mut counts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let counts = counts.entry(tenant.clone()).or_default();
        for charge in charges {
            let count = counts.entry(charge.key.clone()).or_insert(Count {
                calls: 0,
                until: charge.until,
            });
            count.calls = count
                .calls
                .saturating_add(charge.units)
                .saturating_sub(charge.back);
        }
    }

    /// Forgets counts that are settled elsewhere.
    pub(super) fn remove(&self, tenant: &TenantId, keys: &[CountKey]) {
        let mut counts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = counts.get_mut(tenant) {
            for key in keys {
                counts.remove(key);
            }
        }
    }

    /// Leases of which something is known to be drawn.
    pub(crate) fn leases(&self) -> Vec<(TenantId, u64)> {
        let counts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let of = |(tenant, counts): (&TenantId, &HashMap<CountKey, Count>)| {
            let lease = |key: &CountKey| match key {
                CountKey::Lease(lease) => Some((tenant.clone(), *lease)),
                _ => None,
            };
            counts.keys().filter_map(lease).collect::<Vec<_>>()
        };
        counts.iter().flat_map(of).collect()
    }

    fn is_full(&self, tenant: &TenantId) -> bool {
        let counts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        counts
            .get(tenant)
            .is_some_and(|counts| counts.len() >= COUNTS_MAX)
    }

    /// Drops the counts that nothing can draw on any more: those whose time was `over` by then.
    pub(super) fn forget(&self, over: Timestamp) {
        let mut counts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for counts in counts.values_mut() {
            counts.retain(|_, count| count.until.is_none_or(|until| over < until));
        }
        counts.retain(|_, counts| !counts.is_empty());
    }
}

/// The state at the start of a segment.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Snapshot {
    lanes: Vec<(TenantId, LaneEnd)>,
    counts: Vec<(TenantId, CountKey, u64, Option<Timestamp>)>,
    /// Outcome templates of the calls without an outcome.
    open: Vec<AuditEvent>,
}

/// The state.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) lanes: HashMap<TenantId, LaneEnd>,
    pub(super) counts: Counts,
    /// By the authorized event's id: the outcome event that is still to come, without its lane's part.
    open: HashMap<EventId, Box<AuditEvent>>,
}

/// What a batch that is not written yet adds to the counts, and takes off them.
#[derive(Debug, Default)]
pub(super) struct Drawn(HashMap<(TenantId, CountKey), Pending>);

#[derive(Clone, Copy, Debug, Default)]
struct Pending {
    units: u64,
    back: u64,
}

impl Drawn {
    fn of(&self, tenant: &TenantId, key: &CountKey) -> Pending {
        let pending = self.0.get(&(tenant.clone(), key.clone()));
        pending.copied().unwrap_or_default()
    }

    /// Takes note of a draw, or of what an outcome says: a draw behind it in the batch may be on what it gave back.
    pub(super) fn note(&mut self, tenant: &TenantId, charges: &[Charge]) {
        for charge in charges {
            let key = (tenant.clone(), charge.key.clone());
            let pending = self.0.entry(key).or_default();
            pending.units = pending.units.saturating_add(charge.units);
            pending.back = pending.back.saturating_add(charge.back);
        }
    }

    /// They are not written after all.
    pub(super) fn undo(&mut self, tenant: &TenantId, charges: &[Charge]) {
        for charge in charges {
            if let Some(pending) = self.0.get_mut(&(tenant.clone(), charge.key.clone())) {
                pending.units = pending.units.saturating_sub(charge.units);
                pending.back = pending.back.saturating_sub(charge.back);
            }
        }
    }
}

impl State {
    pub(super) fn snapshot(&self) -> Snapshot {
        let counts = self.counts.0.read().unwrap_or_else(PoisonError::into_inner);
        let counts = counts.iter().flat_map(|(tenant, counts)| {
            counts
                .iter()
                .map(|(key, count)| (tenant.clone(), key.clone(), count.calls, count.until))
        });
        Snapshot {
            lanes: self
                .lanes
                .iter()
                .map(|(tenant, end)| (tenant.clone(), *end))
                .collect(),
            counts: counts.collect(),
            open: self.open.values().map(|event| (**event).clone()).collect(),
        }
    }

    pub(super) fn restore(snapshot: Snapshot) -> Self {
        let mut counts: HashMap<TenantId, HashMap<CountKey, Count>> = HashMap::new();
        for (tenant, key, calls, until) in snapshot.counts {
            counts
                .entry(tenant)
                .or_default()
                .insert(key, Count { calls, until });
        }
        let open = snapshot
            .open
            .into_iter()
            .filter_map(|event| Some((event.of?, Box::new(event))));
        Self {
            lanes: snapshot.lanes.into_iter().collect(),
            counts: Counts(Arc::new(RwLock::new(counts))),
            open: open.collect(),
        }
    }

    /// Takes one durable event in.
    pub(super) fn fold(&mut self, event: &AuditEvent, hash: EntryHash, charges: &[Charge]) {
        self.lanes.insert(
            event.tenant.clone(),
            LaneEnd {
                seq: event.edge_seq,
                hash,
            },
        );
        if !charges.is_empty() {
            self.counts.add(&event.tenant, charges);
        }
        match (event.kind, event.of) {
            (Kind::Authorized, _) => {
                self.open
                    .insert(event.event_id, Box::new(crate::event::outcome_of(event)));
            }
            (kind, Some(of)) if kind.is_outcome() => {
                self.open.remove(&of);
            }
            _ => {}
        }
    }

    pub(super) fn end(&self, tenant: &TenantId) -> LaneEnd {
        self.lanes.get(tenant).copied().unwrap_or(LaneEnd::START)
    }

    /// Draws all charges, or none and says which ceiling is reached.
    pub(super) fn draw(
        &self,
        tenant: &TenantId,
        charges: &[Charge],
        drawn: &mut Drawn,
    ) -> Result<(), Reason> {
        if charges.is_empty() {
            return Ok(());
        }
        for charge in charges {
            let pending = drawn.of(tenant, &charge.key);
            let before = self.counts.get(tenant, &charge.key);
            let after = before
                .saturating_add(pending.units)
                .saturating_sub(pending.back)
                .saturating_add(charge.units);
            if after > charge.most {
                return Err(charge.reason);
            }
            if before == 0 && pending.units == 0 && self.counts.is_full(tenant) {
                return Err(Reason::Overloaded);
            }
        }
        drawn.note(tenant, charges);
        Ok(())
    }

    /// The outcomes that are missing.
    pub(super) fn open(&self) -> Vec<AuditEvent> {
        self.open.values().map(|event| (**event).clone()).collect()
    }
}

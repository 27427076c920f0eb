//! Calls of a tenant that became tasks, each under the principal that made it. Another's are in another drawer: there is no
//! number by which they could be reached.

use crate::heard::{Heard, HeardOf};
use crate::upstream::task::State;
use proctor_engine::{Carried, Deferred};
use proctor_model::{
    AgentId, Reason, RevocationId, ServerId, SessionId, TenantId, Timestamp, UserId,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Tasks of one principal at once: each is listed, and looked for one by one.
const OWN_MAX: usize = 64;
/// Tasks of one tenant at once.
pub(crate) const TASKS_MAX: usize = 10_000;
/// Bytes of the arguments of a tenant's tasks: they are kept for the response policies.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a task is kept, in seconds, whatever its server says.
const LIFE_MAX_S: i64 = 24 * 3600;
/// How long a task is kept after its server may forget it: that it has is the server's to say.
const GRACE_S: i64 = 60;

/// The family of revisions in whose words a task is asked after.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Family {
    /// 2025-11-25.
    Legacy,
    /// The extension of 2026-07-28.
    Modern,
}

/// Whose a task is. What is appended to a token changes nothing, unless it names another session or user.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub(crate) struct Owner {
    pub(crate) tenant: TenantId,
    pub(crate) agent: AgentId,
    pub(crate) user: Option<UserId>,
    pub(crate) session: Option<SessionId>,
    pub(crate) root: Option<RevocationId>,
    pub(crate) family: Family,
}

/// What is sealed in the id that a client holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sealed {
    number: u128,
    /// The decision that its call was made by.
    decision: proctor_model::DecisionId,
    /// Until when, in microseconds of the epoch.
    until: i64,
    /// All that there is of it, for the other edges of its tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    whole: Option<Box<Whole>>,
}

/// A task as another edge has to know it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Whole {
    pub(crate) call: Carried,
    /// What its client can be asked.
    pub(crate) capabilities: Map<String, Value>,
    /// As it began, with the id that its server gave.
    pub(crate) state: State,
    /// Which server that is: another one under the same name knows nothing of it.
    pub(crate) place: String,
}

impl Sealed {
    pub(crate) fn new(number: u128, deferred: &Deferred, now: Timestamp) -> Self {
        Self {
            number,
            decision: deferred.decision_id(),
            until: now.plus_secs(LIFE_MAX_S).as_micros(),
            whole: None,
        }
    }

    pub(crate) fn with(self, whole: Whole) -> Self {
        let whole = Some(Box::new(whole));
        Self { whole, ..self }
    }

    /// What another edge sealed of it, with the number and the time at which it began.
    ///
    /// # Errors
    /// [`Reason::TaskUnknown`] if it is over, or was not for other edges.
    pub(crate) fn whole(self, now: Timestamp) -> Result<(Whole, u128, Timestamp), Reason> {
        let whole = self.whole.filter(|_| now.as_micros() < self.until);
        let begun = Timestamp::from_micros(self.until).plus_secs(-LIFE_MAX_S);
        let whole = *whole.ok_or(Reason::TaskUnknown)?;
        Ok((whole, self.number, begun))
    }
}

/// A call that became a task.
pub(crate) struct Task {
    pub(crate) number: u128,
    /// The id that the client holds.
    pub(crate) id: String,
    /// The id that its server gave: nobody else's business.
    pub(crate) upstream_id: String,
    pub(crate) deferred: Deferred,
    /// In whose name, and with what to be asked, its server was spoken to: its session there knows the task.
    pub(crate) who: Arc<str>,
    pub(crate) capabilities: Map<String, Value>,
    /// It is one of the extension of 2026-07-28, not of the protocol itself.
    pub(crate) extension: bool,
    /// Bytes of its arguments.
    pub(crate) bytes: usize,
    /// What its server has said of it, and of its call, to this edge.
    pub(crate) heard: Arc<Mutex<Heard>>,
    begun: Timestamp,
    seen: Mutex<State>,
}

/// What a task is made of.
pub(crate) struct Begun {
    pub(crate) number: u128,
    pub(crate) id: String,
    pub(crate) deferred: Deferred,
    pub(crate) who: Arc<str>,
    pub(crate) capabilities: Map<String, Value>,
    pub(crate) extension: bool,
    pub(crate) bytes: usize,
    /// What was said of it, and of its call, before.
    pub(crate) heard: Arc<Mutex<Heard>>,
    pub(crate) state: State,
}

impl Task {
    pub(crate) fn new(begun: Begun, now: Timestamp) -> Self {
        let Begun {
            number,
            id,
            deferred,
            who,
            capabilities,
            extension,
            bytes,
            heard,
            state,
        } = begun;
        Self {
            number,
            id,
            upstream_id: state.id.clone(),
            deferred,
            who,
            capabilities,
            extension,
            bytes,
            heard,
            begun: now,
            seen: Mutex::new(state),
        }
    }

    pub(crate) fn server(&self) -> &ServerId {
        &self.deferred.tool().server
    }

    /// As it was when it was last heard of.
    pub(crate) fn seen(&self) -> State {
        self.locked().clone()
    }

    pub(crate) fn note(&self, state: &State) {
        self.locked().clone_from(state);
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        let ttl = self.locked().ttl_ms.map_or(LIFE_MAX_S, |ttl| {
            i64::try_from(ttl / 1000).unwrap_or(LIFE_MAX_S)
        });
        let life = ttl.saturating_add(GRACE_S).min(LIFE_MAX_S);
        self.begun.plus_secs(life) <= now
    }
}

/// All tasks of a tenant.
#[derive(Default)]
pub(crate) struct Tasks(Mutex<Drawers>);

#[derive(Default)]
struct Drawers {
    by_owner: HashMap<Owner, Vec<Arc<Task>>>,
    tasks: usize,
    bytes: usize,
    heard: HeardOf,
}

impl Drawers {
    /// Throws out what is over.
    fn clear(&mut self, now: Timestamp) {
        self.by_owner.retain(|_, own| {
            own.retain(|task| !task.is_over(now));
            !own.is_empty()
        });
        let all = self.by_owner.values().flatten();
        (self.tasks, self.bytes) = all.fold((0, 0), |(tasks, bytes), task| {
            (tasks + 1, bytes + task.bytes)
        });
    }

    fn has_room(&self, owner: &Owner, bytes: usize) -> bool {
        let own = self.by_owner.get(owner).map_or(0, Vec::len);
        own < OWN_MAX && self.tasks < TASKS_MAX && self.bytes.saturating_add(bytes) <= BYTES_MAX
    }
}

impl Tasks {
    fn drawers(&self) -> MutexGuard<'_, Drawers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more may begin.
    pub(crate) fn has_room(&self, owner: &Owner, now: Timestamp) -> bool {
        let mut drawers = self.drawers();
        if !drawers.has_room(owner, 0) {
            drawers.clear(now);
        }
        drawers.has_room(owner, 0)
    }

    /// # Errors
    /// [`Reason::Overloaded`] if there is no room for it.
    pub(crate) fn put(&self, owner: Owner, task: Task, now: Timestamp) -> Result<(), Reason> {
        let mut drawers = self.drawers();
        if !drawers.has_room(&owner, task.bytes) {
            drawers.clear(now);
        }
        if !drawers.has_room(&owner, task.bytes) {
            return Err(Reason::Overloaded);
        }
        drawers.tasks += 1;
        drawers.bytes = drawers.bytes.saturating_add(task.bytes);
        drawers.heard.keep(task.begun, task.number, &task.heard);
        drawers
            .by_owner
            .entry(owner)
            .or_default()
            .push(Arc::new(task));
        Ok(())
    }

    /// What was heard here of a task that is known by its id alone.
    pub(crate) fn heard_of(&self, begun: Timestamp, number: u128) -> Arc<Mutex<Heard>> {
        self.drawers().heard.task(begun, number)
    }

    /// # Errors
    /// [`Reason::TaskUnknown`], whether it is another's, over or was never there.
    pub(crate) fn get(
        &self,
        owner: &Owner,
        sealed: Option<&Sealed>,
        now: Timestamp,
    ) -> Result<Arc<Task>, Reason> {
        let sealed = sealed.filter(|sealed| now.as_micros() < sealed.until);
        let sealed = sealed.ok_or(Reason::TaskUnknown)?;
        let drawers = self.drawers();
        let mut own = drawers.by_owner.get(owner).into_iter().flatten();
        let task = own.find(|task| {
            task.number == sealed.number && task.deferred.decision_id() == sealed.decision
        });
        let task = task.filter(|task| !task.is_over(now));
        task.map(Arc::clone).ok_or(Reason::TaskUnknown)
    }

    /// A principal's own, oldest first.
    pub(crate) fn of(&self, owner: &Owner, now: Timestamp) -> Vec<Arc<Task>> {
        let drawers = self.drawers();
        let own = drawers.by_owner.get(owner).into_iter().flatten();
        own.filter(|task| !task.is_over(now)).cloned().collect()
    }

    /// Its server does not know it any more.
    pub(crate) fn forget(&self, owner: &Owner, gone: &Task) {
        let mut drawers = self.drawers();
        let Some(own) = drawers.by_owner.get_mut(owner) else {
            return;
        };
        let before = own.len();
        own.retain(|task| task.number != gone.number);
        if own.len() < before {
            drawers.tasks = drawers.tasks.saturating_sub(1);
            drawers.bytes = drawers.bytes.saturating_sub(gone.bytes);
        }
    }
}

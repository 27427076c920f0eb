//! A judgement: the world as it is at this moment, and the session that is judged for.

use super::{Caller, Gateway};
use crate::lease::Counted;
use crate::sessions::Session;
use crate::world::Loaded;
use proctor_engine::{CompiledIntent, Decision, Evaluator, Tool, ToolQuery, Tracker, World};
use proctor_model::Reason;
use proctor_model::catalogue::Verb;
use std::cell::RefCell;
use std::sync::{Arc, PoisonError};

thread_local! {
    /// Warm policy machines, one set per worker thread.
    static EVALUATOR: RefCell<Evaluator> = RefCell::new(Evaluator::new());
}

/// The intent and the session that a call was decided under. Its answer may come when the intent is long over: it is read in
/// this session all the same.
#[derive(Clone)]
pub(super) struct Sitting {
    pub(super) intent: Option<Arc<CompiledIntent>>,
    pub(super) session: Session,
}

/// What of a decision goes into the session's history.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Noting {
    /// The call, if it is permitted, before anything else is decided in its session.
    AtOnce,
    /// The call, if it is permitted. Others may be decided at the same time.
    Then,
    /// Nothing: it was only asked about.
    Nothing,
}

impl Noting {
    /// Of a call that is about to be decided: reads wait for nobody, and no guard is about how many of them there are.
    pub(super) fn of(loaded: Option<&Loaded>, query: &ToolQuery) -> Self {
        let tool = loaded.and_then(|loaded| loaded.tenant.catalogue().find(query).ok());
        match tool.map(Tool::verb) {
            Some(Verb::Read) => Self::Then,
            _ => Self::AtOnce,
        }
    }
}

impl Gateway {
    /// The session of a caller, as it is now.
    pub(super) fn sit(&self, caller: &Caller) -> Result<Sitting, Reason> {
        let tenant = &caller.tenant;
        let keys = tenant.keys().ok_or(Reason::NotReady)?;
        let loaded = tenant.loaded().ok_or(Reason::NotReady)?;
        let rule = loaded.tenant.settings().sessions;
        let intent = caller.token.intent().and_then(|id| tenant.intent(id));
        let session = tenant
            .sessions
            .of(&caller.token, intent.as_deref(), &keys.digest_key, rule);
        Ok(Sitting { intent, session })
    }

    /// Judges with the world as it is now.
    pub(crate) fn judge<R>(
        &self,
        caller: &Caller,
        judge: impl FnOnce(&World<'_>, &mut Evaluator) -> R,
    ) -> Result<(R, Arc<Loaded>), Reason> {
        let sitting = self.sit(caller)?;
        self.judge_in(caller, &sitting, judge)
    }

    /// The same, in a session that is at hand.
    pub(super) fn judge_in<R>(
        &self,
        caller: &Caller,
        sitting: &Sitting,
        judge: impl FnOnce(&World<'_>, &mut Evaluator) -> R,
    ) -> Result<(R, Arc<Loaded>), Reason> {
        let loaded = caller.tenant.loaded().ok_or(Reason::NotReady)?;
        let judged = self.timed(|| self.judge_under(caller, &loaded, sitting, judge))?;
        Ok((judged, loaded))
    }

    /// Decides on a call. One that is permitted belongs to its session's history from that moment: of two at once, the second
    /// is decided with the first in it.
    pub(super) fn judge_call(
        &self,
        caller: &Caller,
        sitting: &Sitting,
        noting: Noting,
        decide: impl FnOnce(&World<'_>, &mut Evaluator) -> Decision,
    ) -> Result<(Decision, Arc<Loaded>), Reason> {
        let lock = || {
            let session = sitting.session.write();
            session.unwrap_or_else(PoisonError::into_inner)
        };
        if noting != Noting::AtOnce {
            let (decision, loaded) = self.judge_in(caller, sitting, decide)?;
            if noting == Noting::Then {
                self.note_call(&decision, &loaded, sitting, &mut lock());
            }
            return Ok((decision, loaded));
        }
        let loaded = caller.tenant.loaded().ok_or(Reason::NotReady)?;
        let mut session = lock();
        let intent = sitting.intent.as_deref();
        let decision = self.timed(|| self.judge_with(caller, &loaded, intent, &session, decide))?;
        self.note_call(&decision, &loaded, sitting, &mut session);
        drop(session);
        Ok((decision, loaded))
    }

    fn note_call(
        &self,
        decision: &Decision,
        loaded: &Loaded,
        sitting: &Sitting,
        session: &mut Tracker,
    ) {
        if let Decision::Permit(permit) = decision
            && let Some(tool) = loaded.tenant.catalogue().get(permit.tool())
        {
            let intent = sitting.intent.as_deref();
            session.note_call(tool, permit.arguments(), intent, self.clock.now());
        }
    }

    /// Judges with the world as it is now, but under this configuration and in this session.
    pub(super) fn judge_under<R>(
        &self,
        caller: &Caller,
        loaded: &Loaded,
        sitting: &Sitting,
        judge: impl FnOnce(&World<'_>, &mut Evaluator) -> R,
    ) -> Result<R, Reason> {
        let session = sitting
            .session
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let intent = sitting.intent.as_deref();
        self.judge_with(caller, loaded, intent, &session, judge)
    }

    fn judge_with<R>(
        &self,
        caller: &Caller,
        loaded: &Loaded,
        intent: Option<&CompiledIntent>,
        read: &Tracker,
        judge: impl FnOnce(&World<'_>, &mut Evaluator) -> R,
    ) -> Result<R, Reason> {
        let tenant = &caller.tenant;
        let keys = tenant.keys().ok_or(Reason::NotReady)?;
        let killed = tenant.killed();
        let started = self.clock.monotonic();
        let stopwatch = || {
            let passed = self.clock.monotonic().saturating_sub(started);
            u64::try_from(passed.as_micros()).unwrap_or(u64::MAX)
        };
        let purse = self.leases.shared_purse(&tenant.id);
        let counted = Counted {
            own: self.spool.counts().of(&tenant.id),
            purse: purse.as_deref(),
            now: started,
        };
        let remaining = self.remaining(caller, loaded);
        let world = World {
            tenant: &loaded.tenant,
            now: self.clock.now(),
            edge: &self.identity.edge,
            region: &self.identity.region,
            freshness: tenant.freshness(),
            revocations: &**tenant,
            killed: &killed,
            intent,
            session: &counted,
            remaining: &remaining,
            read,
            live: &loaded.servers,
            memory: None,
            digest_key: &keys.digest_key,
            stopwatch: &stopwatch,
        };
        Ok(EVALUATOR.with_borrow_mut(|evaluator| judge(&world, evaluator)))
    }

    fn timed<R>(&self, judge: impl FnOnce() -> R) -> R {
        let started = self.clock.monotonic();
        let judged = judge();
        metrics::histogram!("proctor_edge_decision_seconds")
            .record(self.clock.monotonic().saturating_sub(started).as_secs_f64());
        judged
    }
}

//! A circuit breaker: a server that fails again and again is left alone for a while, so that calls to it are refused at
//! once and its slots are free.
//!
//! Only faults of the server count (not reached, broken off, too late, a 5xx that is no answer in JSON-RPC), never what it
//! answers; and each tenant's server, or LLM provider, has a breaker of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Faults in a row that open it.
const FAULTS_MAX: u32 = 8;
/// How long it stays open at first; twice as long after each trial that fails.
const OPEN_FIRST: Duration = Duration::from_secs(1);
/// And at most.
const OPEN_MAX: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct Breaker(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    faults: u32,
    open: Option<Open>,
}

#[derive(Clone, Copy)]
struct Open {
    until: Instant,
    lasts: Duration,
    /// One call is out to see whether the server is back.
    trial: bool,
}

/// Leave to call the server. Dropped without a word (the client went away), it says nothing about the server.
pub(super) struct Pass {
    state: Arc<Mutex<State>>,
    trial: AtomicBool,
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Breaker {
    /// None while it is open.
    pub(super) fn pass(&self, now: Instant) -> Option<Pass> {
        let mut state = locked(&self.0);
        let trial = match &mut state.open {
            None => false,
            Some(open) if open.trial || now < open.until => return None,
            Some(open) => {
                open.trial = true;
                true
            }
        };
        drop(state);
        Some(Pass {
            state: Arc::clone(&self.0),
            trial: AtomicBool::new(trial),
        })
    }

    /// Whether calls are refused for what happened before.
    pub(super) fn is_open(&self) -> bool {
        locked(&self.0).open.is_some()
    }
}

impl Pass {
    /// The server answered, whatever it said.
    pub(super) fn answered(self) {
        *locked(&self.state) = State::default();
        self.trial.store(false, Ordering::Release);
    }

    /// The server began an answer that takes a while, or says something before it: it is back, but how the answer ends is
    /// still to be seen.
    pub(super) fn begun(&self) {
        if self.trial.swap(false, Ordering::AcqRel) {
            *locked(&self.state) = State::default();
        }
    }

    /// The server failed.
    pub(super) fn failed(self, now: Instant) {
        let trial = self.trial.swap(false, Ordering::AcqRel);
        let mut state = locked(&self.state);
        state.faults = state.faults.saturating_add(1);
        let lasts = match (trial, state.open) {
            (true, Some(open)) => open.lasts.saturating_mul(2).min(OPEN_MAX),
            // A call from before it opened that comes back late.
            (false, Some(_)) => return,
            (_, None) => OPEN_FIRST,
        };
        if trial || state.faults >= FAULTS_MAX {
            state.open = Some(Open {
                until: now + lasts,
                lasts,
                trial: false,
            });
            metrics::counter!("proctor_edge_upstream_breaker_opened_total").increment(1);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if *self.trial.get_mut()
            && let Some(open) = &mut locked(&self.state).open
        {
            open.trial = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(breaker: &Breaker, now: Instant) {
        for _ in 0..FAULTS_MAX {
            breaker.pass(now).unwrap().failed(now);
        }
    }

    #[test]
    fn it_opens_after_faults_in_a_row_and_closes_after_a_good_trial() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 1..FAULTS_MAX {
            breaker.pass(now).unwrap().failed(now);
        }
        breaker.pass(now).unwrap().answered();
        open(&breaker, now);
        assert!(breaker.pass(now).is_none());
        let later = now + OPEN_FIRST;
        let trial = breaker.pass(later).unwrap();
        assert!(breaker.pass(later).is_none(), "one trial at a time");
        trial.answered();
        assert!(breaker.pass(later).is_some());
    }

    #[test]
    fn a_bad_trial_keeps_it_open_for_longer_and_a_lost_one_says_nothing() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        open(&breaker, now);
        let later = now + OPEN_FIRST;
        drop(breaker.pass(later).unwrap());
        breaker.pass(later).unwrap().failed(later);
        assert!(breaker.pass(later + OPEN_FIRST).is_none());
        assert!(breaker.pass(later + OPEN_FIRST * 2).is_some());
    }

    #[test]
    fn an_answer_that_has_begun_closes_it_and_may_still_fail() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        open(&breaker, now);
        let later = now + OPEN_FIRST;
        let trial = breaker.pass(later).unwrap();
        trial.begun();
        assert!(breaker.pass(later).is_some(), "nobody waits for its end");
        trial.failed(later);
        for _ in 2..FAULTS_MAX {
            let pass = breaker.pass(later).unwrap();
            pass.begun();
            pass.failed(later);
        }
        breaker.pass(later).unwrap().failed(later);
        assert!(
            breaker.pass(later).is_none(),
            "a beginning forgives nothing"
        );
    }

    #[test]
    fn a_late_fault_does_not_prolong_it() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        let late = breaker.pass(now).unwrap();
        open(&breaker, now);
        late.failed(now + Duration::from_millis(900));
        assert!(breaker.pass(now + OPEN_FIRST).is_some());
    }
}

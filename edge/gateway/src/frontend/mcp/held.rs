//! Calls that wait for a client of 2026-07-28 to come back with its replies: those whose server, of an older revision,
//! holds its stream until then, and those that it only has to be known of that they are counted already.

use super::session::locked;
use crate::enforce::{Permitted, Running};
use crate::upstream::Reply;
use crate::upstream::talk::Word;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use proctor_model::TenantId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::DropGuard;

/// Calls of one tenant that are held at once. One more question is refused: none of those that wait is given up for it.
const HELD_MAX: usize = 1_024;
/// Calls of one tenant that are known to be counted; the longest unused is forgotten, and would count once more.
const COUNTED_MAX: u64 = 16_384;
/// How long one is held.
const HELD: Duration = Duration::from_secs(900);

/// A call whose server waits.
pub(super) struct HeldCall {
    pub(super) running: Running,
    pub(super) said: mpsc::Receiver<Word>,
    /// Where the reply goes.
    pub(super) reply: oneshot::Sender<Reply>,
    /// Given up with the call.
    pub(super) cancel: DropGuard,
}

/// What a state stands for.
pub(super) enum Pending {
    /// The call goes on where it is held.
    Held(Box<HeldCall>),
    /// The request is made anew, and was permitted and counted when it was made first.
    Counted(Arc<Permitted>),
}

/// All of them, each to be taken once.
#[derive(Default)]
pub(super) struct HeldCalls(Mutex<HashMap<TenantId, Arc<Table>>>);

/// Those of one tenant.
struct Table {
    held: Mutex<HashMap<u128, (Instant, Box<HeldCall>)>>,
    counted: Cache<u128, Arc<Mutex<Option<Pending>>>>,
}

impl HeldCalls {
    /// Nothing of a tenant keeps anything of another's out.
    fn of(&self, tenant: &TenantId) -> Arc<Table> {
        let mut tables = locked(&self.0);
        Arc::clone(tables.entry(tenant.clone()).or_insert_with(|| {
            Arc::new(Table {
                held: Mutex::default(),
                counted: Cache::builder()
                    .max_capacity(COUNTED_MAX)
                    .eviction_policy(EvictionPolicy::lru())
                    .time_to_live(HELD)
                    .build(),
            })
        }))
    }

    /// `false`: there is no room for one more, and the call is given up.
    pub(super) fn put(&self, tenant: &TenantId, number: u128, pending: Pending) -> bool {
        let table = self.of(tenant);
        match pending {
            Pending::Held(call) => table.hold(number, call, Instant::now()),
            counted @ Pending::Counted(_) => {
                let counted = Arc::new(Mutex::new(Some(counted)));
                table.counted.insert(number, counted);
                true
            }
        }
    }

    /// What a state stands for, the first time.
    pub(super) fn take(&self, tenant: &TenantId, number: u128) -> Option<Pending> {
        let table = self.of(tenant);
        let held = locked(&table.held).remove(&number);
        if let Some((since, call)) = held {
            return (since.elapsed() < HELD).then_some(Pending::Held(call));
        }
        let counted = table.counted.remove(&number)?;
        locked(&counted).take()
    }
}

impl Table {
    fn hold(&self, number: u128, call: Box<HeldCall>, now: Instant) -> bool {
        let mut held = locked(&self.held);
        if held.len() >= HELD_MAX {
            // Those whose client did not come back.
            held.retain(|_, (since, _)| now.saturating_duration_since(*since) < HELD);
        }
        let room = held.len() < HELD_MAX;
        if room {
            held.insert(number, (now, call));
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enforce::Outcome;
    use serde_json::Map;
    use tokio_util::sync::CancellationToken;

    fn call(cancel: &CancellationToken) -> Pending {
        let outcome = tokio::spawn(std::future::ready(Outcome::Result(Map::new())));
        let running = Running {
            outcome,
            permitted: Arc::default(),
        };
        Pending::Held(Box::new(HeldCall {
            running,
            said: mpsc::channel(1).1,
            reply: oneshot::channel().0,
            cancel: cancel.clone().drop_guard(),
        }))
    }

    #[tokio::test]
    async fn no_question_is_given_up_for_another_and_no_tenant_fills_anothers_table() {
        let (held, acme) = (HeldCalls::default(), "acme".parse().unwrap());
        let first = CancellationToken::new();
        assert!(held.put(&acme, 0, call(&first)));
        let cancel = CancellationToken::new();
        for number in 1..HELD_MAX {
            assert!(held.put(&acme, u128::try_from(number).unwrap(), call(&cancel)));
        }
        let last = CancellationToken::new();
        assert!(!held.put(&acme, u128::MAX, call(&last)), "no room");
        assert!(last.is_cancelled() && !first.is_cancelled());
        assert!(held.put(&acme, u128::MAX, Pending::Counted(Arc::default())));
        let other = "other".parse().unwrap();
        assert!(held.put(&other, 0, call(&CancellationToken::new())));
        assert!(held.take(&other, 1).is_none(), "another tenant's");
        assert!(matches!(held.take(&acme, 0), Some(Pending::Held(_))));
        assert!(held.take(&acme, 0).is_none(), "once");
        assert!(held.take(&acme, u128::MAX).is_some() && held.take(&acme, u128::MAX).is_none());
    }
}

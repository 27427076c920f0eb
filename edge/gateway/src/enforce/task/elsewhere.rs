//! Tasks that another edge of the tenant began, or this one before it was started anew: all that there is of them is in the id that
//! the client holds, sealed with the tenant's key to the principal that they are of.

use super::seal;
use crate::enforce::Caller;
use crate::tasks::{Begun, Owner, Sealed, Task, Whole};
use crate::upstream::task::State;
use crate::upstream::{Server, Talk};
use proctor_engine::Deferred;
use proctor_model::{EntryKind, Reason, Timestamp};
use std::sync::Arc;

/// Longest id, in bytes, that tells another edge of a task: it goes into a header. A longer one is good at this edge alone.
const ID_BYTES_MAX: usize = 4 * 1024;

/// The id of a new task of the extension: with all that other edges have to know, where they reach its server and it is not too
/// much. In the older revisions a server may know a task by its session, which each edge has its own.
pub(super) fn sealed(
    caller: &Caller,
    owner: &Owner,
    number: u128,
    (deferred, talk, state): (&Deferred, &Talk, &State),
    now: Timestamp,
) -> Result<String, Reason> {
    let seal = seal(caller, owner)?;
    let own = || Sealed::new(number, deferred, now);
    if let Some(whole) = whole(caller, deferred, talk, state) {
        let id = seal.close(&own().with(whole))?;
        if id.len() <= ID_BYTES_MAX {
            return Ok(id);
        }
    }
    seal.close(&own())
}

fn whole(caller: &Caller, deferred: &Deferred, talk: &Talk, state: &State) -> Option<Whole> {
    Some(Whole {
        call: deferred.carried()?,
        capabilities: talk.capabilities.clone(),
        state: state.clone(),
        place: server(caller, deferred)?.place()?,
    })
}

fn server(caller: &Caller, deferred: &Deferred) -> Option<Arc<Server>> {
    let loaded = caller.tenant.loaded()?;
    loaded.servers.get(&deferred.tool().server).map(Arc::clone)
}

/// The task that an id of another edge stands for.
///
/// # Errors
/// [`Reason::TaskUnknown`] if it is over, was not for other edges, or its server is another here;
/// [`Reason::UpstreamUnavailable`] if that can't be asked.
pub(super) async fn opened(
    caller: &Caller,
    owner: &Owner,
    sealed: Sealed,
    id: &str,
    now: Timestamp,
) -> Result<Arc<Task>, Reason> {
    let keys = caller.tenant.keys().ok_or(Reason::NotReady)?;
    let (whole, number, begun) = sealed.whole(now)?;
    let user = owner.user.clone();
    let deferred = Deferred::restored(whole.call, &caller.token, user, &keys.digest_key);
    let server = server(caller, &deferred).ok_or(Reason::TaskUnknown)?;
    if server.place().as_ref() != Some(&whole.place) {
        return Err(Reason::TaskUnknown);
    }
    // Whether it still is a server that knows tasks by their ids.
    server.known(EntryKind::Tool).await;
    if !server.makes_tasks() {
        return Err(Reason::UpstreamUnavailable);
    }
    let restored = Begun {
        number,
        id: id.to_owned(),
        deferred,
        who: caller.who().into(),
        capabilities: whole.capabilities,
        extension: true,
        bytes: 0,
        heard: caller.tenant.tasks.heard_of(begun, number),
        state: whole.state,
    };
    let task = Task::new(restored, begun);
    match task.is_over(now) {
        true => Err(Reason::TaskUnknown),
        false => Ok(Arc::new(task)),
    }
}

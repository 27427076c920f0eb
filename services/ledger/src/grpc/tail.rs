//! Following a chain: for no longer than the caller's token holds, so many at once for each tenant.

use super::{PAGE_DEFAULT, wire};
use crate::State;
use crate::store::{number, signed};
use proctor_model::TenantId;
use proctor_proto::v1;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::Status;

/// How long a follower waits if it missed the wake-up.
const POLL: Duration = Duration::from_millis(500);
/// Entries that may wait for a slow follower.
const BUFFER: usize = 256;
/// Followers of one tenant's chain at once.
pub(super) const TENANT_MAX: usize = 16;
/// Followers of all chains at once.
const ALL_MAX: usize = 1_024;

type Entries = mpsc::Receiver<Result<v1::Entry, Status>>;

/// Who follows which chain.
#[derive(Default)]
pub(super) struct Tails(Mutex<HashMap<TenantId, usize>>);

/// A follower's place; given back on drop.
pub(super) struct Place {
    tails: Arc<Tails>,
    tenant: TenantId,
}

impl Tails {
    /// A place for one more.
    pub(super) fn place(self: &Arc<Self>, tenant: &TenantId) -> Result<Place, Status> {
        let mut tails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tails.values().sum::<usize>() >= ALL_MAX {
            return Err(Status::resource_exhausted(
                "as many as can follow chains do so already: try again later",
            ));
        }
        let count = tails.entry(tenant.clone()).or_default();
        if *count >= TENANT_MAX {
            return Err(Status::resource_exhausted(format!(
                "{TENANT_MAX} follow this chain already: end one of them"
            )));
        }
        *count += 1;
        Ok(Place {
            tails: Arc::clone(self),
            tenant: tenant.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut tails = self.tails.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = tails.get_mut(&self.tenant) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                tails.remove(&self.tenant);
            }
        }
    }
}

/// The entries behind `after` as they come, for `life`: then whoever still may asks again from where it is.
pub(super) fn start(
    state: Arc<State>,
    tenant: TenantId,
    after: u64,
    life: Duration,
    place: Place,
) -> Entries {
    let (sender, receiver) = mpsc::channel(BUFFER);
    tokio::spawn(async move {
        // Also one that waits for a slow reader ends.
        let _ = tokio::time::timeout(life, follow(&state, &tenant, after, &sender)).await;
        // Whoever sees the end has a place to ask again.
        drop(place);
        drop(sender);
    });
    receiver
}

/// Sends entries as they come, until the follower is gone.
async fn follow(
    state: &State,
    tenant: &TenantId,
    mut after: u64,
    sender: &mpsc::Sender<Result<v1::Entry, Status>>,
) {
    loop {
        let page = async {
            let mut tx = state.store.glancing(tenant).await?;
            tx.entries(after, i64::from(PAGE_DEFAULT)).await
        };
        let entries = match page.await {
            Ok(entries) => entries,
            Err(error) => {
                // If nobody takes the error, nobody is there.
                let _ = sender.send(Err(error.into())).await;
                return;
            }
        };
        let idle = entries.is_empty();
        for entry in entries {
            after = number(signed(entry.seq));
            let entry = wire(entry).map_err(Status::from);
            let is_whole = entry.is_ok();
            if sender.send(entry).await.is_err() || !is_whole {
                return;
            }
        }
        if idle {
            tokio::select! {
                () = state.shutdown.cancelled() => return,
                () = sender.closed() => return,
                () = state.appended.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }
}

//! How many streams of `subscriptions/listen` there are. Such a stream is no call and takes no place of one, lasts as long as
//! its client likes, and is authorized and compared anew each second: so many are enough.

use super::Scope;
use super::owner::Owner;
use super::session::locked;
use crate::enforce::Caller;
use proctor_model::TenantId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Of one principal: a client needs one, and has a few for a moment where connections broke off unnoticed.
const OF_ONE_PRINCIPAL_MAX: usize = 16;
/// With tokens of one root: whoever holds one makes principals as they like, by appending a session.
const OF_ONE_TOKEN_MAX: usize = 256;
/// Of one tenant: 64 MB, at the 64 kB that one may take.
const OF_ONE_TENANT_MAX: usize = 1_024;

/// All of them, by whom they are for.
#[derive(Clone, Default)]
pub(super) struct Listeners(Arc<Mutex<HashMap<TenantId, OfTenant>>>);

type OfTenant = Vec<Arc<Owner>>;

/// One of them, until it is dropped.
pub(super) struct Listening {
    all: Listeners,
    owner: Arc<Owner>,
}

impl Listeners {
    /// None if there are enough: of this caller, of its token or of its tenant.
    pub(super) fn enter(&self, caller: &Caller) -> Option<Listening> {
        let mut all = locked(&self.0);
        let of_tenant = all.entry(caller.tenant.id.clone()).or_default();
        let root = caller.token.root();
        let of_token = of_tenant.iter().filter(|one| one.root.as_ref() == root);
        let own = of_token.clone().filter(|one| one.is(caller, &Scope::All));
        if own.count() >= OF_ONE_PRINCIPAL_MAX
            || of_token.count() >= OF_ONE_TOKEN_MAX
            || of_tenant.len() >= OF_ONE_TENANT_MAX
        {
            return None;
        }
        // At whichever endpoint they listen.
        let owner = Arc::new(Owner::of(caller, &Scope::All));
        of_tenant.push(Arc::clone(&owner));
        Some(Listening {
            all: self.clone(),
            owner,
        })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut all = locked(&self.all.0);
        let Some(of_tenant) = all.get_mut(&self.owner.tenant) else {
            return;
        };
        of_tenant.retain(|one| !Arc::ptr_eq(one, &self.owner));
        if of_tenant.is_empty() {
            all.remove(&self.owner.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::owner::tests::{caller, tenant};
    use super::*;

    #[test]
    fn nobody_takes_what_is_anothers() {
        let (listeners, tenant) = (Listeners::default(), tenant());
        let of = |nonce: u8, session: usize| {
            let session = format!("session = s-{session}");
            caller(&tenant, nonce, &[session.as_str()])
        };
        let principals = OF_ONE_TOKEN_MAX / OF_ONE_PRINCIPAL_MAX;
        let mut all = Vec::new();
        for nonce in 0..4 {
            for session in 0..principals {
                let who = of(nonce, session);
                for _ in 0..OF_ONE_PRINCIPAL_MAX {
                    all.push(listeners.enter(&who).unwrap());
                }
                assert!(listeners.enter(&who).is_none(), "its own share");
            }
            let more = of(nonce, principals);
            assert!(listeners.enter(&more).is_none(), "its token's share");
        }
        assert_eq!(all.len(), OF_ONE_TENANT_MAX);
        assert!(listeners.enter(&of(9, 0)).is_none(), "its tenant's share");
        all.pop();
        assert!(listeners.enter(&of(9, 0)).is_some());
        drop(all);
        assert!(locked(&listeners.0).is_empty());
    }
}

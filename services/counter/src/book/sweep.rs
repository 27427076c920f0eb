//! Forgetting what is over, a little at a time.

use super::Book;
use crate::account::AccountKey;
use crate::command::Client;
use crate::limits::{ANSWERS_IDLE_US, SWEEP_ACCOUNTS, TENANT_ANSWERS_IDLE_US};
use proctor_model::TenantId;
use std::ops::Bound::{Excluded, Unbounded};

impl Book {
    /// Looks at the next accounts, all round in turn. Answers how many were forgotten.
    pub(super) fn sweep(&mut self) -> u64 {
        let now = self.now;
        self.answers
            .retain(|client, kept| now < kept.used_at().plus(idle(client)));
        let mut forgotten = 0_u64;
        for (tenant, key) in self.next_to_sweep() {
            if let Some(tenant) = self.tenants.get_mut(&tenant) {
                let has_rule = tenant.rule(&key).is_some();
                let account = tenant.accounts.get(&key);
                if account.is_some_and(|account| account.is_over(&key, has_rule, now)) {
                    tenant.accounts.remove(&key);
                    forgotten = forgotten.saturating_add(1);
                }
            }
        }
        forgotten
    }

    fn next_to_sweep(&mut self) -> Vec<(TenantId, AccountKey)> {
        let start = self.swept.take();
        let first = start.as_ref().map(|(tenant, _)| tenant.clone());
        let tenants = match &first {
            Some(first) => self.tenants.range(first.clone()..),
            None => self.tenants.range::<TenantId, _>(..),
        };
        let mut next = Vec::new();
        'all: for (tenant, of) in tenants {
            let after = match &start {
                Some((at, key)) if at == tenant => Excluded(key.clone()),
                _ => Unbounded,
            };
            for key in of.accounts.range((after, Unbounded)).map(|(key, _)| key) {
                next.push((tenant.clone(), key.clone()));
                if next.len() >= SWEEP_ACCOUNTS {
                    break 'all;
                }
            }
        }
        // A short round was the last one: the next begins at the start.
        self.swept = next
            .last()
            .filter(|_| next.len() >= SWEEP_ACCOUNTS)
            .cloned();
        next
    }
}

/// How long a client's answers are kept after its last request.
fn idle(client: &Client) -> i64 {
    match client {
        Client::Edge(_) => ANSWERS_IDLE_US,
        Client::Operators(_) => TENANT_ANSWERS_IDLE_US,
    }
}

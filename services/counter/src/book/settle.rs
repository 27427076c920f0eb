//! Settling: the only way on which units come back.

use super::Book;
use crate::account::{Account, Progress};
use crate::command::{Closing, Held, Part, Rejection, Reply, Settlement, Spend};
use proctor_model::{EdgeId, TenantId};

impl Book {
    pub(super) fn settle_one(
        &mut self,
        edge: &EdgeId,
        tenant: &TenantId,
        settlement: &Settlement,
    ) -> Closing {
        let lease = settlement.lease;
        let held = self
            .tenants
            .get(tenant)
            .and_then(|tenant| tenant.leases.get(&lease));
        let Some(held) = held.filter(|held| held.edge == *edge) else {
            return Closing::Gone;
        };
        match advanced(held, &settlement.spends) {
            Some(next) => self.advance(tenant, lease, next),
            None => Closing::Invalid,
        }
    }

    pub(super) fn write_off(&mut self, tenant: &TenantId, lease: u64, spent: &[u64]) -> Reply {
        let Some(info) = self.lease_info(tenant, lease) else {
            return Reply::Rejected(Rejection::NoSuchLease);
        };
        let Some(next) = written_off(&info.held, spent) else {
            return Reply::Rejected(Rejection::Figures);
        };
        self.advance(tenant, lease, next);
        Reply::WrittenOff(info)
    }

    /// Moves a lease to the new totals, and its accounts with it; a lease with nothing out is closed.
    fn advance(&mut self, tenant: &TenantId, lease: u64, next: Vec<Spend>) -> Closing {
        let now = self.now;
        let Some(tenant) = self.tenants.get_mut(tenant) else {
            return Closing::Gone;
        };
        let Some(held) = tenant.leases.get_mut(&lease) else {
            return Closing::Gone;
        };
        for (part, next) in held.parts.iter_mut().zip(next) {
            let progress = progress(part.settled, next);
            part.settled = next;
            if progress == Progress::default() {
                continue;
            }
            // With nothing of it out, the account may have been forgotten. What was spent beyond the grant counts.
            let window = part.account.window;
            let account = tenant.accounts.entry(part.account.clone());
            let account = account.or_insert_with(|| Account::new(window, now));
            account.settle(window, held.granted_at, progress, now);
            let sums = self.sums.entry(part.account.meter).or_default();
            let spent = progress.spent.saturating_add(progress.overrun);
            sums.spent = sums.spent.saturating_add(spent);
            sums.returned = sums.returned.saturating_add(progress.returned);
        }
        if !is_closed(held) {
            return Closing::Open;
        }
        if let Some(held) = tenant.leases.remove(&lease)
            && let Some(edge) = self.edges.get_mut(&held.edge)
        {
            edge.leases.remove(&lease);
        }
        Closing::Closed
    }
}

/// The totals after a settlement, if its figures fit the lease. Totals only grow: an older settlement that comes
/// late says less, and changes nothing.
fn advanced(held: &Held, spends: &[Spend]) -> Option<Vec<Spend>> {
    if spends.len() != held.parts.len() {
        return None;
    }
    let parts = held.parts.iter().zip(spends);
    parts.map(|(part, spend)| grown(part, *spend)).collect()
}

fn grown(part: &Part, spend: Spend) -> Option<Spend> {
    let Some(granted) = part.granted else {
        return Some(part.settled);
    };
    let next = Spend {
        spent: part.settled.spent.max(spend.spent),
        returned: part.settled.returned.max(spend.returned),
        overrun: part.settled.overrun.max(spend.overrun),
    };
    (next.spent.checked_add(next.returned)? <= granted).then_some(next)
}

fn written_off(held: &Held, spent: &[u64]) -> Option<Vec<Spend>> {
    if !spent.is_empty() && spent.len() != held.parts.len() {
        return None;
    }
    let close = |(index, part): (usize, &Part)| {
        let Some(granted) = part.granted else {
            return Some(part.settled);
        };
        let most = granted.checked_sub(part.settled.returned)?;
        let spent = spent.get(index).copied().unwrap_or(most);
        let fits = (part.settled.spent..=most).contains(&spent);
        fits.then(|| Spend {
            spent,
            returned: granted.saturating_sub(spent),
            ..part.settled
        })
    };
    held.parts.iter().enumerate().map(close).collect()
}

fn progress(before: Spend, after: Spend) -> Progress {
    Progress {
        spent: after.spent.saturating_sub(before.spent),
        returned: after.returned.saturating_sub(before.returned),
        overrun: after.overrun.saturating_sub(before.overrun),
    }
}

fn is_closed(held: &Held) -> bool {
    held.parts.iter().all(|part| {
        let settled = part.settled.spent.saturating_add(part.settled.returned);
        part.granted.is_none_or(|granted| settled == granted)
    })
}

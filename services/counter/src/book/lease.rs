//! Granting: several accounts at once, all or nothing.

use super::{Book, Edge, Tenant};
use crate::account::Account;
use crate::command::{Grant, Granted, Held, Lease, Part, Refused, Reply, Room, Spend, Want, Why};
use crate::limits::{ACCOUNTS_MAX, LEASES_MAX, RETRY_MS, TENANT_LEASES_MAX};
use crate::window::LogTime;
use proctor_model::TenantId;

/// What one want would get: the account as it would be after the grant, none where nothing limits it.
struct Offer {
    grant: Grant,
    account: Option<Account>,
}

impl Edge {
    /// Whether it has too many leases out, all together or for this tenant.
    fn has_no_room_for(&self, tenant: &TenantId) -> bool {
        let all = self.leases.len();
        let theirs = || self.leases.values().filter(|of| *of == tenant).count();
        all >= LEASES_MAX || (all >= TENANT_LEASES_MAX && theirs() >= TENANT_LEASES_MAX)
    }
}

impl Book {
    pub(super) fn lease(&mut self, lease: Lease) -> Reply {
        if let Err(rejection) = self.see_certificate(&lease.holder) {
            return Reply::Rejected(rejection);
        }
        let settled = self.settle(&lease.holder, &lease.tenant, &lease.settle);
        let outcome = match self.offers(&lease) {
            Ok(offers) => Ok(self.grant(lease, offers)),
            Err(refused) => Err(refused),
        };
        Reply::Leased { outcome, settled }
    }

    /// What each want would get; nothing is changed.
    fn offers(&self, lease: &Lease) -> Result<Vec<Offer>, Refused> {
        let no = |why, retry_after_ms| {
            let room = Room { left: 0, limit: 0 };
            Err(Refused {
                why,
                want: 0,
                room,
                retry_after_ms,
            })
        };
        if self.is_fenced(&lease.holder) {
            return no(Why::Fenced, 0);
        }
        if let Some(edge) = self.edges.get(&lease.holder.edge)
            && edge.has_no_room_for(&lease.tenant)
        {
            return no(Why::TooMany, RETRY_MS);
        }
        let none = Tenant::default();
        let tenant = self.tenants.get(&lease.tenant).unwrap_or(&none);
        if lease.limits_version > tenant.version {
            return no(Why::LimitsBehind, RETRY_MS);
        }
        // A tenant with too many accounts goes on with those that it has.
        let new = |want: &&Want| !tenant.accounts.contains_key(&want.account);
        let new = lease.wants.iter().filter(new).count();
        if new > 0 && tenant.accounts.len().saturating_add(new) > ACCOUNTS_MAX {
            return no(Why::TooMany, 0);
        }
        let offers = (0..).zip(&lease.wants).map(|(index, want)| {
            tenant.offer(want, self.now).map_err(|refused| Refused {
                want: index,
                ..refused
            })
        });
        offers.collect()
    }

    fn grant(&mut self, lease: Lease, offers: Vec<Offer>) -> Granted {
        let grants = offers.iter().map(|offer| offer.grant).collect();
        let ttl_ms = self.ttl_ms(&lease);
        if offers.iter().all(|offer| offer.account.is_none()) {
            return Granted {
                lease: 0,
                grants,
                ttl_ms,
            };
        }
        self.last_lease = self.last_lease.saturating_add(1);
        let tenant = self.tenants.entry(lease.tenant.clone()).or_default();
        let mut parts = Vec::with_capacity(offers.len());
        for (want, offer) in lease.wants.into_iter().zip(offers) {
            let granted = offer.account.is_some().then_some(offer.grant.units);
            parts.push(Part {
                account: want.account.clone(),
                granted,
                settled: Spend::default(),
            });
            if let Some(account) = offer.account {
                let sums = self.sums.entry(want.account.meter).or_default();
                sums.granted = sums.granted.saturating_add(offer.grant.units);
                tenant.accounts.insert(want.account, account);
            }
        }
        let held = Held {
            edge: lease.holder.edge.clone(),
            epoch: lease.holder.epoch,
            granted_at: self.now,
            expires_at: self.now.plus(i64::from(ttl_ms).saturating_mul(1_000)),
            parts,
        };
        tenant.leases.insert(self.last_lease, held);
        let edge = self.edges.entry(lease.holder.edge).or_default();
        edge.leases.insert(self.last_lease, lease.tenant);
        Granted {
            lease: self.last_lease,
            grants,
            ttl_ms,
        }
    }

    /// Not beyond the calendar window that ends first, nor the ceiling: units of one window aren't spent in the next.
    fn ttl_ms(&self, lease: &Lease) -> u32 {
        let ends = lease.wants.iter().flat_map(|want| {
            let window = want.account.window.span(self.now).map(|(_, end)| end);
            window
                .into_iter()
                .chain(want.ceiling.map(|ceiling| ceiling.over_at))
        });
        let left = ends
            .map(|end| end.ms_from(self.now))
            .min()
            .unwrap_or(u64::MAX);
        u32::try_from(left).unwrap_or(u32::MAX).min(lease.ttl_ms)
    }
}

impl Tenant {
    fn offer(&self, want: &Want, now: LogTime) -> Result<Offer, Refused> {
        let key = &want.account;
        let over = want.ceiling.is_some_and(|ceiling| ceiling.over_at <= now);
        let known = self.accounts.get(key);
        let mut account = known
            .cloned()
            .unwrap_or_else(|| Account::new(key.window, now));
        account.roll(key.window, now);
        if let Some(ceiling) = want.ceiling {
            account.bind(ceiling);
        }
        let Some(limit) = self.limit(key, Some(&account)) else {
            let grant = Grant {
                units: want.wanted,
                of: None,
            };
            return Ok(Offer {
                grant,
                account: None,
            });
        };
        let left = account.left(limit);
        if over || left < want.minimum {
            let (why, retry_after_ms) = if over {
                (Why::CeilingOver, 0)
            } else {
                why(&account, want, limit, now)
            };
            return Err(Refused {
                why,
                want: 0,
                room: Room { left, limit },
                retry_after_ms,
            });
        }
        // Never more than half of what is left, so that small remainders reach many edges.
        let units = want.wanted.min(want.minimum.max(left.div_ceil(2)));
        account.grant(units, now);
        let of = Some(Room {
            left: account.left(limit),
            limit,
        });
        Ok(Offer {
            grant: Grant { units, of },
            account: Some(account),
        })
    }
}

/// Why an account has too little, and after how many milliseconds it may have enough.
fn why(account: &Account, want: &Want, limit: u64, now: LogTime) -> (Why, u64) {
    if want.minimum > limit {
        return (Why::Exhausted, 0);
    }
    let free_at = account.free_at(want.account.window, limit, want.minimum, now);
    let free_in = free_at.map(|at| at.ms_from(now).max(1));
    if want.minimum <= limit.saturating_sub(account.spent()) {
        return (
            Why::HeldElsewhere,
            free_in.map_or(RETRY_MS, |ms| ms.min(RETRY_MS)),
        );
    }
    (Why::Exhausted, free_in.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tenant_leaves_room_for_the_others() {
        let (greedy, other) = ("greedy".parse().unwrap(), "other".parse().unwrap());
        let mut edge = Edge::default();
        edge.leases.extend(
            (0..)
                .take(TENANT_LEASES_MAX - 1)
                .map(|lease| (lease, TenantId::clone(&greedy))),
        );
        assert!(!edge.has_no_room_for(&greedy));
        edge.leases.insert(1 << 40, greedy.clone());
        assert!(edge.has_no_room_for(&greedy) && !edge.has_no_room_for(&other));
        let rest = (1_u64 << 41..).take(LEASES_MAX - TENANT_LEASES_MAX);
        edge.leases
            .extend(rest.map(|lease| (lease, TenantId::clone(&other))));
        assert!(edge.has_no_room_for(&other));
    }
}

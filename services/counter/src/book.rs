//! The book: every tenant's accounts and leases. The state machine of the Raft log.
//!
//! Pure: no I/O, no clock, no randomness; sorted maps only, so that the same log gives the same bytes on each node.

use crate::account::{Account, AccountKey, Meter, Scope};
use crate::answers::Answers;
use crate::command::{
    AccountInfo, Batch, Client, Closing, Command, Held, Holder, LeaseInfo, Rejection, Reply,
    Request, Rule, Settled, Settlement,
};
use crate::limits::{ACCOUNTS_MAX, OPEN_LEASES_MAX};
use crate::window::{LogTime, Window};
use proctor_model::{EdgeId, TenantId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod lease;
mod settle;
mod sweep;

/// All accounts and leases.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Book {
    now: LogTime,
    last_lease: u64,
    tenants: BTreeMap<TenantId, Tenant>,
    edges: BTreeMap<EdgeId, Edge>,
    answers: BTreeMap<Client, Answers>,
    /// Where the next sweep begins.
    swept: Option<(TenantId, AccountKey)>,
    /// Over all tenants, since the first entry.
    #[serde(default)]
    sums: BTreeMap<Meter, Sums>,
}

/// Units of one meter, over all tenants: for those who watch the platform, whom no tenant's figures concern.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Sums {
    /// Granted in leases.
    pub granted: u64,
    /// Settled as spent, overruns included.
    pub spent: u64,
    /// Given back.
    pub returned: u64,
}

/// What the book holds of one tenant.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tenant {
    version: u64,
    rules: BTreeMap<AccountKey, u64>,
    accounts: BTreeMap<AccountKey, Account>,
    leases: BTreeMap<u64, Held>,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
struct Edge {
    epoch: u64,
    certified_at: LogTime,
    leases: BTreeMap<u64, TenantId>,
}

impl Book {
    /// Applies the commands of a log entry, in order.
    pub fn apply(&mut self, batch: Batch) -> Vec<Reply> {
        // A new leader's clock may be behind the old one's: time stands still then, it never goes back.
        self.now = self.now.max(batch.at);
        let answered = batch
            .requests
            .into_iter()
            .map(|request| self.answer(request));
        answered.collect()
    }

    /// The time of the newest entry.
    #[must_use]
    pub fn now(&self) -> LogTime {
        self.now
    }

    /// Units by meter, over all tenants.
    #[must_use]
    pub fn sums(&self) -> &BTreeMap<Meter, Sums> {
        &self.sums
    }

    fn answer(&mut self, request: Request) -> Reply {
        let Some(id) = request.id else {
            return self.run(request.command);
        };
        let known = self.answers.get(&id.client).and_then(|kept| kept.find(&id));
        match known {
            Some(Ok(reply)) => return self.complete(&id.client, reply.clone()),
            Some(Err(rejection)) => return Reply::Rejected(rejection),
            None => {}
        }
        let reply = self.run(request.command);
        let client = id.client.clone();
        self.answers
            .entry(client.clone())
            .or_default()
            .keep(id, reply.clone(), self.now);
        self.complete(&client, reply)
    }

    /// The leases that `Open` lists are not kept with the answer: they are in the book anyway.
    fn complete(&self, client: &Client, reply: Reply) -> Reply {
        match (reply, client) {
            (Reply::Opened { epoch, .. }, Client::Edge(edge)) => {
                let (held, more) = self.held_before(edge, epoch);
                Reply::Opened { epoch, held, more }
            }
            (reply, _) => reply,
        }
    }

    fn run(&mut self, command: Command) -> Reply {
        match command {
            Command::Open(holder) => self.open(holder),
            Command::Lease(lease) => self.lease(lease),
            Command::Settle {
                holder,
                settle,
                tenant,
            } => self.settle_all(&holder, &tenant, &settle),
            Command::SetLimits {
                tenant,
                version,
                rules,
            } => self.set_limits(tenant, version, rules),
            Command::Adjust {
                tenant,
                account,
                units,
                reason: _,
            } => self.adjust(&tenant, account, units),
            Command::WriteOff {
                tenant,
                lease,
                spent,
                reason: _,
            } => self.write_off(&tenant, lease, &spent),
            Command::Sweep => Reply::Swept(self.sweep()),
        }
    }

    fn open(&mut self, holder: Holder) -> Reply {
        if let Err(rejection) = self.see_certificate(&holder) {
            return Reply::Rejected(rejection);
        }
        let edge = self.edges.entry(holder.edge).or_default();
        edge.epoch = edge.epoch.saturating_add(1);
        Reply::Opened {
            epoch: edge.epoch,
            held: Vec::new(),
            more: false,
        }
    }

    /// What processes of the edge before this one left unsettled.
    fn held_before(&self, edge: &EdgeId, epoch: u64) -> (Vec<LeaseInfo>, bool) {
        let held = self.held_after(edge, 0);
        let mut held = held.filter(|info| info.held.epoch < epoch);
        let listed = held.by_ref().take(OPEN_LEASES_MAX).collect();
        (listed, held.next().is_some())
    }

    /// What an edge holds after a lease; none if another of its processes has begun.
    #[must_use]
    pub fn held(&self, holder: &Holder, after: u64) -> Option<(Vec<LeaseInfo>, bool)> {
        if self.is_fenced(holder) {
            return None;
        }
        let mut held = self.held_after(&holder.edge, after);
        let listed = held.by_ref().take(OPEN_LEASES_MAX).collect();
        Some((listed, held.next().is_some()))
    }

    fn held_after(&self, edge: &EdgeId, after: u64) -> impl Iterator<Item = LeaseInfo> {
        let leases = self.edges.get(edge).into_iter();
        let leases = leases.flat_map(move |edge| edge.leases.range(after.saturating_add(1)..));
        leases.filter_map(move |(lease, tenant)| self.lease_info(tenant, *lease))
    }

    /// An edge whose tenants were changed has a newer certificate; the old one is good for nothing then.
    fn see_certificate(&mut self, holder: &Holder) -> Result<(), Rejection> {
        let edge = self.edges.entry(holder.edge.clone()).or_default();
        if holder.certified_at < edge.certified_at {
            return Err(Rejection::StaleCertificate);
        }
        edge.certified_at = holder.certified_at;
        Ok(())
    }

    /// Only the newest process of an edge is heard; one that never opened an epoch (0) is none.
    fn is_fenced(&self, holder: &Holder) -> bool {
        let epoch = self.edges.get(&holder.edge).map_or(0, |edge| edge.epoch);
        holder.epoch == 0 || holder.epoch != epoch
    }

    fn settle_all(&mut self, holder: &Holder, tenant: &TenantId, settle: &[Settlement]) -> Reply {
        if let Err(rejection) = self.see_certificate(holder) {
            return Reply::Rejected(rejection);
        }
        Reply::Settled(self.settle(holder, tenant, settle))
    }

    fn settle(
        &mut self,
        holder: &Holder,
        tenant: &TenantId,
        settle: &[Settlement],
    ) -> Vec<Settled> {
        let fenced = self.is_fenced(holder);
        let mut settled = Vec::with_capacity(settle.len());
        for settlement in settle {
            let state = if fenced {
                Closing::Fenced
            } else {
                self.settle_one(&holder.edge, tenant, settlement)
            };
            settled.push(Settled {
                lease: settlement.lease,
                state,
            });
        }
        settled
    }

    fn set_limits(&mut self, tenant: TenantId, version: u64, rules: Vec<Rule>) -> Reply {
        let tenant = self.tenants.entry(tenant).or_default();
        let taken = version > tenant.version;
        if taken {
            tenant.version = version;
            tenant.rules = rules
                .into_iter()
                .map(|rule| (rule.account, rule.limit))
                .collect();
        }
        Reply::Limits {
            version: tenant.version,
            taken,
        }
    }

    fn adjust(&mut self, tenant: &TenantId, key: AccountKey, units: i64) -> Reply {
        let now = self.now;
        let Some(tenant) = self.tenants.get_mut(tenant) else {
            return Reply::Rejected(Rejection::NoSuchAccount);
        };
        let known = tenant.accounts.get(&key);
        if known.is_none() && tenant.rule(&key).is_none() {
            return Reply::Rejected(Rejection::NoSuchAccount);
        }
        if known.is_none() && tenant.accounts.len() >= ACCOUNTS_MAX {
            return Reply::Rejected(Rejection::TooManyAccounts);
        }
        let mut account = known
            .cloned()
            .unwrap_or_else(|| Account::new(key.window, now));
        if account.adjust(key.window, units, now).is_err() {
            return Reply::Rejected(Rejection::OutOfRange);
        }
        let info = tenant.account_info(&key, &account, now);
        tenant.accounts.insert(key, account);
        Reply::Adjusted(info)
    }

    /// A tenant's accounts of a scope, or all, after a key, as they are now.
    #[must_use]
    pub fn accounts<'b>(
        &'b self,
        tenant: &TenantId,
        scope: Option<Scope>,
        after: Option<&AccountKey>,
    ) -> Box<dyn Iterator<Item = AccountInfo> + 'b> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let Some(tenant) = self.tenants.get(tenant) else {
            return Box::new(std::iter::empty());
        };
        // They are in the order of their scopes.
        let first = scope.map(|scope| AccountKey {
            scope,
            id: String::new(),
            meter: Meter::Calls,
            window: Window::Lifetime,
        });
        let from = match (first, after) {
            (Some(first), Some(after)) if *after < first => Included(first),
            (_, Some(after)) => Excluded(after.clone()),
            (Some(first), None) => Included(first),
            (None, None) => Unbounded,
        };
        let rows = tenant.accounts.range((from, Unbounded));
        let rows = rows.take_while(move |(key, _)| scope.is_none_or(|scope| scope == key.scope));
        Box::new(rows.map(|(key, account)| tenant.account_info(key, account, self.now)))
    }

    /// A tenant's leases after an id.
    pub fn leases<'b>(
        &'b self,
        tenant: &'b TenantId,
        after: u64,
    ) -> impl Iterator<Item = LeaseInfo> + 'b {
        let rows = self.tenants.get(tenant).into_iter();
        let rows = rows.flat_map(move |tenant| tenant.leases.range(after.saturating_add(1)..));
        rows.map(|(lease, held)| LeaseInfo {
            lease: *lease,
            tenant: tenant.clone(),
            held: held.clone(),
        })
    }

    /// The version of a tenant's rules; 0 where it has none.
    #[must_use]
    pub fn limits_version(&self, tenant: &TenantId) -> u64 {
        self.tenants.get(tenant).map_or(0, |tenant| tenant.version)
    }

    fn lease_info(&self, tenant: &TenantId, lease: u64) -> Option<LeaseInfo> {
        let held = self.tenants.get(tenant)?.leases.get(&lease)?.clone();
        Some(LeaseInfo {
            lease,
            tenant: tenant.clone(),
            held,
        })
    }
}

impl Tenant {
    /// The rule for this account: its own, or that for each of its scope.
    fn rule(&self, key: &AccountKey) -> Option<u64> {
        let each = || AccountKey {
            id: "*".to_owned(),
            ..key.clone()
        };
        self.rules
            .get(key)
            .or_else(|| self.rules.get(&each()))
            .copied()
    }

    /// What limits this account: the least of its rule and the ceiling that was said for it.
    fn limit(&self, key: &AccountKey, account: Option<&Account>) -> Option<u64> {
        let ceiling = account
            .and_then(Account::ceiling)
            .map(|ceiling| ceiling.limit);
        self.rule(key).into_iter().chain(ceiling).min()
    }

    fn account_info(&self, key: &AccountKey, account: &Account, now: LogTime) -> AccountInfo {
        let mut rolled = account.clone();
        rolled.roll(key.window, now);
        AccountInfo {
            account: key.clone(),
            spent: rolled.spent(),
            leased: rolled.leased(),
            limit: self.limit(key, Some(account)),
            span: Window::span(key.window, now),
            totals: account.totals(),
        }
    }
}

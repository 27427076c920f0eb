//! More for a call that is under way: a stream uses tokens that nobody could know of when it began.

use super::{Leases, NoBudget, WAIT, Wanted};
use crate::spool::{NotRecorded, Recorded};
use proctor_engine::budget::measure::Used;
use proctor_engine::budget::purse::Purse;
use proctor_model::TenantId;
use std::sync::Arc;

/// A stream goes on with whatever is left.
const MINIMUM: u64 = 1;

/// Why a call can't have as much as it needs to go on.
#[derive(Clone, Debug)]
pub(crate) enum NotGrown {
    /// An account has no more.
    NoBudget(NoBudget),
    /// What it took is in no durable record.
    NotRecorded(NotRecorded),
}

impl Leases {
    /// Has `wanted` held for a call, out of the leases in hand; where they have less than `least`, waits a while for
    /// another. However it ends, what could be had is held, to the last unit of the account; and what the call may use of
    /// it is in a durable record before this returns, so that no crash forgets it.
    pub(crate) async fn grow(
        self: &Arc<Self>,
        tenant: &TenantId,
        recorded: &Recorded,
        least: &Used,
        wanted: &Used,
        limits_version: u64,
    ) -> Result<(), NotGrown> {
        let purse = self.purse(tenant);
        let more = (least, wanted, limits_version);
        let had = self.have_more(tenant, &purse, recorded, more).await;
        self.record_growth(tenant, recorded)
            .await
            .map_err(NotGrown::NotRecorded)?;
        had.map_err(NotGrown::NoBudget)
    }

    async fn have_more(
        self: &Arc<Self>,
        tenant: &TenantId,
        purse: &Purse,
        recorded: &Recorded,
        (least, wanted, limits_version): (&Used, &Used, u64),
    ) -> Result<(), NoBudget> {
        let deadline = self.clock.monotonic().saturating_add(WAIT);
        loop {
            let now = self.clock.monotonic();
            let grown = recorded.spent(|spent| spent.grow(purse, least, wanted, now));
            let low = grown.low.iter().map(|demand| (demand, MINIMUM));
            self.announce(tenant, purse, low, limits_version);
            let Some(demand) = grown.short else {
                return Ok(());
            };
            let wanted = Wanted {
                tenant: tenant.clone(),
                demand,
                minimum: MINIMUM,
                limits_version,
            };
            self.wait_for(wanted, purse, deadline).await?;
        }
    }

    async fn record_growth(
        &self,
        tenant: &TenantId,
        recorded: &Recorded,
    ) -> Result<(), NotRecorded> {
        // Handed over and noted in one step: a stream that ends while it waits corrects what the spool really counts.
        let durable = recorded.spent(|spent| {
            let charges = spent.unrecorded();
            let durable = match charges.is_empty() {
                true => None,
                false => Some(self.spool.charge(tenant.clone(), charges)?),
            };
            spent.note_recorded();
            Ok(durable)
        })?;
        let is_durable = match durable {
            Some(durable) => durable.await,
            None => true,
        };
        is_durable.then_some(()).ok_or(NotRecorded::Unavailable)
    }
}

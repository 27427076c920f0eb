//! More for a call that is under way: a stream uses tokens that nobody could know of when it began.

use super::{Leases, NoBudget, WAIT, Wanted};
use crate::spool::Recorded;
use proctor_engine::budget::measure::Used;
use proctor_model::TenantId;
use std::sync::Arc;

/// A stream goes on with whatever is left.
const MINIMUM: u64 = 1;

impl Leases {
    /// Has `wanted` held for a call, out of the leases in hand; where they have less than `least`, waits a while for
    /// another. However it ends, what could be had is held, to the last unit of the account.
    ///
    /// What a call takes so is in no record before that of its outcome. An edge that is killed while a stream runs forgets
    /// what the stream took beyond its reservation.
    pub(crate) async fn grow(
        self: &Arc<Self>,
        tenant: &TenantId,
        recorded: &Recorded,
        least: &Used,
        wanted: &Used,
        limits_version: u64,
    ) -> Result<(), NoBudget> {
        let purse = self.purse(tenant);
        let deadline = self.clock.monotonic().saturating_add(WAIT);
        loop {
            let now = self.clock.monotonic();
            let grown = recorded.spent(|spent| spent.grow(&purse, least, wanted, now));
            let low = grown.low.iter().map(|demand| (demand, MINIMUM));
            self.announce(tenant, &purse, low, limits_version);
            let Some(demand) = grown.short else {
                return Ok(());
            };
            let wanted = Wanted {
                tenant: tenant.clone(),
                demand,
                minimum: MINIMUM,
                limits_version,
            };
            self.wait_for(wanted, &purse, deadline).await?;
        }
    }
}

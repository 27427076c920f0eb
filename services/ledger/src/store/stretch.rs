//! Which entries a bundle has to hold. Its ends never come from the rows that are to be in it: what somebody deleted must
//! be missing between them, not outside.

use super::{TenantTx, number, signed};
use crate::LedgerError;
use sqlx::types::time::{Date, OffsetDateTime};

impl TenantTx {
    /// The sealed entries from the first one of this time to the last, with the entry before and the one behind them, which
    /// show that there are no others between. Without a time: all that are not archived.
    pub(crate) async fn stretch(
        &mut self,
        size: u64,
        from: Option<OffsetDateTime>,
        to: Option<OffsetDateTime>,
    ) -> Result<(u64, u64), LedgerError> {
        let begin = self.archived().await?.saturating_add(1);
        if from.is_none() && to.is_none() {
            return Ok((begin, size));
        }
        // Where nothing is of that time, it is between the last one before it and the first one behind it.
        let (first, last): (Option<i64>, Option<i64>) = sqlx::query_as(
            "with sealed as not materialized (select seq, time from ledger.entries where tenant = $1 and seq <= $2),
                  inner_ends as (select min(seq) as first, max(seq) as last from sealed
                     where ($3::timestamptz is null or time >= $3) and ($4::timestamptz is null or time < $4)),
                  outer_ends as (select (select max(seq) from sealed where time < $3) as before,
                                        (select min(seq) from sealed where time >= $4) as behind)
             select case when i.first is not null then (select max(seq) from sealed where seq < i.first)
                         when o.before is not null then least(o.before, o.behind) end,
                    case when i.last is not null then (select min(seq) from sealed where seq > i.last)
                         when o.behind is not null then greatest(o.before, o.behind) end
             from inner_ends i, outer_ends o",
        )
        .bind(self.tenant.as_str())
        .bind(signed(size))
        .bind(from)
        .bind(to)
        .fetch_one(&mut *self.tx)
        .await?;
        Ok((first.map_or(begin, number), last.map_or(size, number)))
    }

    /// First and last entry that were appended in a month; `None` if there is none.
    pub(crate) async fn of_month(
        &mut self,
        month: Date,
    ) -> Result<Option<(u64, u64)>, LedgerError> {
        let bounds: (Option<i64>, Option<i64>, Option<i64>) = sqlx::query_as(
            "select (select min(seq) from ledger.entries where tenant = $1 and month = $2),
                    (select min(seq) - 1 from ledger.entries where tenant = $1 and month > $2),
                    (select size from ledger.heads where tenant = $1)",
        )
        .bind(self.tenant.as_str())
        .bind(month)
        .fetch_one(&mut *self.tx)
        .await?;
        let (first, before_next, size) = bounds;
        let ends = first.zip(before_next.or(size));
        Ok(ends.map(|(first, last)| (number(first), number(last))))
    }
}

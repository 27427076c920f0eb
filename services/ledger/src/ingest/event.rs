//! What an edge may not record, whatever it signs.
//!
//! Seals and faults of lanes are the ledger's to tell. And an event's id stands in its chain once: the table's constraint
//! holds within a month, so an id that another month could hold already is looked up there. Ids tell their time. One from
//! the future is taken, for it may be all that there is of a call of an edge whose clock was wrong; who uses that to have
//! an id twice, in two months, is named by whoever verifies.

use crate::LedgerError;
use crate::store::TenantTx;
use proctor_model::audit::{AuditEvent, Kind};
use proctor_model::ids::EventId;
use sqlx::types::time::{Date, OffsetDateTime};
use uuid::Uuid;

/// How far clocks may be apart: an edge's, ours and the database's.
const SLACK_S: i64 = 2 * 24 * 3600;

/// The event says what only the ledger itself says.
#[derive(Debug, thiserror::Error)]
#[error("it says what only the ledger itself says")]
pub(super) struct Ledgers;

/// Whether an edge may record this event.
pub(super) fn check(event: &AuditEvent) -> Result<(), Ledgers> {
    let own_kind = matches!(event.kind, Kind::Integrity | Kind::Sealed);
    if own_kind || event.lane.is_some() || event.sealed.is_some() {
        return Err(Ledgers);
    }
    Ok(())
}

/// When an id was made, in seconds since 1970; `None` if it does not tell.
fn made_at(id: EventId) -> Option<i64> {
    let (seconds, _) = id.as_uuid().get_timestamp()?.to_unix();
    i64::try_from(seconds).ok()
}

/// Ids that a month before this one (its first day) may hold already, and the first such month.
fn old(ids: impl Iterator<Item = EventId>, month: Date) -> Option<(Vec<Uuid>, Date)> {
    let begin = month.midnight().assume_utc().unix_timestamp();
    let (mut old, mut since) = (Vec::new(), month);
    for id in ids {
        let at = made_at(id);
        if at.is_some_and(|at| at >= begin.saturating_add(SLACK_S)) {
            continue;
        }
        let earliest = at.map(|at| at.saturating_sub(SLACK_S));
        let earliest = earliest.and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
        since = since.min(earliest.map_or(Date::MIN, OffsetDateTime::date));
        old.push(id.as_uuid());
    }
    let first_day = since.replace_day(1).unwrap_or(Date::MIN);
    (!old.is_empty()).then_some((old, first_day))
}

impl TenantTx {
    /// Fails if the chain has one of these events already, where the constraint of `month` would not show it.
    pub(super) async fn none_of_old(
        &mut self,
        ids: impl Iterator<Item = EventId>,
        month: Date,
    ) -> Result<(), LedgerError> {
        let Some((ids, since)) = old(ids, month) else {
            return Ok(());
        };
        let there: bool = sqlx::query_scalar(
            "select exists (select from ledger.entries
             where tenant = $1 and event_id = any($2) and month >= $3)",
        )
        .bind(self.name().to_owned())
        .bind(ids)
        // Postgres' dates begin later than ours.
        .bind(since.max(Date::from_ordinal_date(1970, 1).unwrap_or(month)))
        .fetch_one(self.connection())
        .await?;
        if there {
            Err(LedgerError::Double)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_model::Timestamp;
    use uuid::{NoContext, Timestamp as At};

    fn id(at: &str) -> EventId {
        let at: Timestamp = at.parse().unwrap();
        let seconds = u64::try_from(at.as_secs()).unwrap();
        EventId::from(Uuid::new_v7(At::from_unix(NoContext, seconds, 0)))
    }

    #[test]
    fn only_ids_that_another_month_can_hold_are_looked_up() {
        let month = Date::from_ordinal_date(2026, 91).unwrap();
        assert_eq!(month.to_string(), "2026-04-01");
        let of = |ids: &[EventId]| {
            old(ids.iter().copied(), month).map(|(ids, since)| (ids.len(), since.to_string()))
        };
        assert_eq!(
            of(&[id("2026-04-03T00:00:00Z"), id("2026-04-20T00:00:00Z")]),
            None
        );
        let early = [id("2026-04-02T23:00:00Z"), id("2026-04-20T00:00:00Z")];
        assert_eq!(of(&early), Some((1, "2026-03-01".into())));
        assert_eq!(
            of(&[id("2026-02-02T23:00:00Z")]),
            Some((1, "2026-01-01".into()))
        );
        let timeless = EventId::from(Uuid::from_u128(7));
        assert!(
            old([timeless].into_iter(), month).unwrap().1
                < Date::from_ordinal_date(1970, 1).unwrap()
        );
    }

    #[test]
    fn what_only_the_ledger_says_is_refused_and_no_evidence_for_its_time() {
        let now: Timestamp = "2026-04-01T00:00:00Z".parse().unwrap();
        let event = |at: &str, kind| {
            let (tenant, edge) = ("acme".parse().unwrap(), "edge_a".parse().unwrap());
            AuditEvent::new(tenant, edge, id(at), now, kind)
        };
        for at in ["2016-04-01T00:00:00Z", "2036-04-02T00:01:00Z"] {
            assert!(check(&event(at, Kind::Refused)).is_ok());
            for kind in [Kind::Integrity, Kind::Sealed] {
                assert!(check(&event(at, kind)).is_err());
            }
        }
    }
}

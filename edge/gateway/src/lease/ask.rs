//! One lease: how much to ask for, and what the answer means. One request per account at a time; whoever else needs the
//! account waits for the same one.

use super::{Asked, Leases, WAIT, Wanted};
use proctor_engine::budget::Demand;
use proctor_engine::budget::purse::{Account, Grant};
use proctor_model::TenantId;
use proctor_model::budget::{Meter, UNITS_MAX};
use proctor_proto::v1;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// A lease should last for so long at the recent pace.
const AHEAD: Duration = Duration::from_secs(2);
/// How long a lease is asked for.
const TTL_MS: u32 = 30_000;
/// At least so many calls' worth, where there is as much.
const CALLS_MIN: u64 = 4;
/// At most so many calls' worth.
const CALLS_MAX: u64 = 8_192;
/// A spent account is not asked for again for so long, where waiting does not help.
const DRY: Duration = Duration::from_secs(2);
/// The same where others hold units that may come back.
const DRY_HELD: Duration = Duration::from_millis(100);
/// How often the counter is asked whose rules are behind ours. It waits for them before it says so.
const ROUNDS: u32 = 3;

/// When a lease was asked for.
#[derive(Clone, Copy)]
struct At {
    epoch: u64,
    sent: Duration,
}

impl Leases {
    /// Has a lease fetched, or waits for the one that is being fetched. The request itself is never given up: a grant whose
    /// answer nobody reads would stay charged.
    pub(super) async fn ask(self: &Arc<Self>, wanted: Wanted) -> Asked {
        let mut asking = self.begin(wanted);
        let answered = asking.wait_for(Option::is_some).await;
        answered
            .ok()
            .and_then(|asked| *asked)
            .unwrap_or(Asked::Failed)
    }

    pub(super) fn begin(self: &Arc<Self>, wanted: Wanted) -> super::Asking {
        let key = (wanted.tenant.clone(), wanted.demand.account.clone());
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asking) = asking.get(&key) {
            return asking.clone();
        }
        let (answer, receiver) = watch::channel(None);
        asking.insert(key.clone(), receiver.clone());
        drop(asking);
        let leases = Arc::clone(self);
        tokio::spawn(async move {
            let asked = leases.fetch(wanted).await;
            let mut asking = leases.asking.lock().unwrap_or_else(PoisonError::into_inner);
            asking.remove(&key);
            drop(asking);
            // Nobody may be waiting.
            let _ = answer.send(Some(asked));
        });
        receiver
    }

    async fn fetch(&self, wanted: Wanted) -> Asked {
        let Wanted {
            tenant,
            demand,
            minimum,
            limits_version,
        } = wanted;
        let account = self.purse(&tenant).account(&demand.account);
        let units = self.size(&tenant, &account, &demand);
        for _ in 0..ROUNDS {
            let (Some(epoch), Some(request_id)) = (self.opened().await, self.counter.request_id())
            else {
                return Asked::Failed;
            };
            let request = v1::LeaseRequest {
                request_id,
                epoch,
                tenant: tenant.to_string(),
                wants: vec![v1::Want {
                    account: Some((&demand.account).into()),
                    wanted: units,
                    minimum: minimum.min(units),
                    ceiling: demand.ceiling.map(|ceiling| v1::Ceiling {
                        limit: ceiling.most.min(UNITS_MAX),
                        expires_at: ceiling.until.to_string(),
                    }),
                }],
                ttl_ms: TTL_MS,
                limits_version: if demand.ceiling.is_some() {
                    0
                } else {
                    limits_version
                },
                settle: Vec::new(),
            };
            let sent = self.clock.monotonic();
            let outcome = match self.counter.lease(request).await {
                Ok(answer) => answer.outcome,
                Err(status) => {
                    tracing::warn!(%tenant, code = ?status.code(), "the counter refused a lease request");
                    None
                }
            };
            use v1::lease_response::Outcome;
            let asked = match outcome {
                Some(Outcome::Granted(granted)) => {
                    let asked = At { epoch, sent };
                    self.granted(&tenant, &account, &demand, &granted, asked)
                }
                Some(Outcome::Refused(refused)) => self.refused(&account, &refused),
                None => Some(Asked::Failed),
            };
            if let Some(asked) = asked {
                let outcome = match asked {
                    Asked::Granted => "granted",
                    Asked::Dry => "exhausted",
                    Asked::Failed => "failed",
                };
                metrics::counter!("proctor_edge_lease_requests_total", "outcome" => outcome)
                    .increment(1);
                return asked;
            }
        }
        Asked::Failed
    }

    /// The epoch, once the background has opened one.
    async fn opened(&self) -> Option<u64> {
        let mut epochs = self.epoch.subscribe();
        let opened = tokio::time::timeout(WAIT, epochs.wait_for(|epoch| *epoch > 0)).await;
        opened.ok()?.ok().map(|epoch| *epoch)
    }

    /// What lasts for a while at the pace since the last lease; the counter cuts it down where little is left.
    fn size(&self, tenant: &TenantId, account: &Account, demand: &Demand) -> u64 {
        let key = (tenant.clone(), demand.account.clone());
        let (drawn, now) = (account.drawn(), self.clock.monotonic());
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = watched.entry(key).or_default();
        let since = now
            .saturating_sub(seen.asked_at)
            .max(Duration::from_millis(20));
        let used = drawn.saturating_sub(seen.drawn_when_asked);
        let first = seen.asked_at.is_zero();
        (seen.asked_at, seen.drawn_when_asked) = (now, drawn);
        drop(watched);
        // Amounts are as they come, no pace says what the next one is: what is held here for it, others can't have.
        if demand.account.meter == Meter::Amount {
            return demand.units.clamp(1, UNITS_MAX);
        }
        let pace = if first {
            0
        } else {
            let ahead = u128::from(used).saturating_mul(AHEAD.as_millis());
            u64::try_from(ahead / since.as_millis().max(1)).unwrap_or(u64::MAX)
        };
        let (least, most) = (
            demand.units.saturating_mul(CALLS_MIN),
            demand.units.saturating_mul(CALLS_MAX),
        );
        pace.clamp(least, most).clamp(1, UNITS_MAX)
    }

    fn granted(
        &self,
        tenant: &TenantId,
        account: &Account,
        demand: &Demand,
        granted: &v1::Granted,
        asked: At,
    ) -> Option<Asked> {
        let Some(grant) = granted.grants.first() else {
            return Some(Asked::Failed);
        };
        // Fresh from now on: the request may have taken longer than an idle lease is kept.
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched
            .entry((tenant.clone(), demand.account.clone()))
            .or_default()
            .used_at = self.clock.monotonic();
        drop(watched);
        // A tenth less than what was given: clocks differ in their pace, and a unit must not be spent after its lease.
        let ttl = Duration::from_millis(u64::from(granted.ttl_ms).saturating_mul(9) / 10);
        let until = asked.sent.saturating_add(ttl);
        // Held while it is added: what an epoch leaves behind is looked at when the next one begins, and settled as unused
        // where it is not known here.
        let epoch = self.epoch.borrow();
        if *epoch != asked.epoch {
            return Some(Asked::Failed);
        }
        if grant.unlimited {
            account.add(
                Arc::new(Grant::unlimited(granted.lease, until)),
                0,
                UNITS_MAX,
            );
        } else {
            let low_water = match (demand.account.meter, grant.left) {
                (Meter::Amount, _) | (_, 0) => 0,
                _ => (grant.units / 2).max(demand.units),
            };
            let held = Arc::new(Grant::new(granted.lease, grant.units, until));
            account.add(held, low_water, grant.left);
        }
        Some(Asked::Granted)
    }

    fn refused(&self, account: &Account, refused: &v1::Refused) -> Option<Asked> {
        use v1::refused::Why;
        let now = self.clock.monotonic();
        let told = Duration::from_millis(refused.retry_after_ms);
        match refused.why() {
            Why::Exhausted | Why::CeilingOver => {
                // A window may begin anew soon; a limit may be raised at any time.
                let dry = if told.is_zero() { DRY } else { told.min(DRY) };
                // Of a ceiling that is over there is nothing, whatever was not spent.
                let left = match refused.why() {
                    Why::CeilingOver => 0,
                    _ => refused.left,
                };
                account.dry(now.saturating_add(dry), left);
                Some(Asked::Dry)
            }
            Why::HeldElsewhere => {
                let dry = if told.is_zero() {
                    DRY_HELD
                } else {
                    told.min(DRY_HELD)
                };
                account.dry(now.saturating_add(dry), refused.left);
                Some(Asked::Dry)
            }
            Why::LimitsBehind => None,
            Why::Fenced => {
                self.lost_epoch();
                None
            }
            Why::TooMany | Why::Unspecified => Some(Asked::Failed),
        }
    }
}

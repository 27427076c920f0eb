//! In the background: operators are told of budgets that run out.

use super::{Counter, ourselves};
use crate::State;
use crate::error::ControlError;
use proctor_model::TenantId;
use proctor_model::budget::{AccountKey, Scope};
use proctor_proto::v1;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked at what is spent.
const TURN: Duration = Duration::from_secs(2);
/// Percentages of a limit that are told.
const LEVELS: [u64; 3] = [100, 80, 50];
/// Accounts in one page of usage.
const PAGE: u32 = 500;
/// Whose accounts are looked at. Tokens and intents are for one task: to reach their ceiling is no news.
const SCOPES: [Scope; 3] = [Scope::Tenant, Scope::Agent, Scope::Session];
/// Key of the advisory lock that the one process holds that looks for alerts ("budgets" as a number).
const LOCK: i64 = 0x62_75_64_67_65_74_73;

/// Until `shutdown`. On its own: however many accounts there are to look at, new limits are not kept waiting by it.
pub(crate) async fn run(state: Arc<State>, shutdown: CancellationToken) {
    let Some(counter) = &state.counter else {
        return;
    };
    let mut tick = tokio::time::interval(TURN);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = tick.tick() => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            looked = look(&state, counter) => {
                if let Err(error) = looked {
                    tracing::warn!(%error, "budgets can't be looked at; trying again");
                }
            }
        }
    }
}

/// Tells of accounts that have reached a part of their limit, once in each window.
async fn look(state: &State, counter: &Counter) -> Result<(), ControlError> {
    let mut tx = state.store.platform().await?;
    let locked: bool = sqlx::query_scalar("select pg_try_advisory_xact_lock($1)")
        .bind(LOCK)
        .fetch_one(&mut *tx)
        .await?;
    let tenants: Vec<String> = if locked {
        sqlx::query_scalar("select tenant from control.limits_pushed order by tenant")
            .fetch_all(&mut *tx)
            .await?
    } else {
        Vec::new()
    };
    // The lock is held until all is looked at.
    for tenant in tenants {
        let Ok(tenant) = tenant.parse::<TenantId>() else {
            continue;
        };
        let known: HashSet<(String, String, i32)> = sqlx::query_as(
            "select account, window_start, level from control.budget_alerts where tenant = $1",
        )
        .bind(tenant.as_str())
        .fetch_all(&mut *tx)
        .await?
        .into_iter()
        .collect();
        for scope in SCOPES {
            look_at(state, counter, &tenant, scope, &known).await?;
        }
    }
    tx.commit().await
}

/// All accounts of a scope, page by page.
async fn look_at(
    state: &State,
    counter: &Counter,
    tenant: &TenantId,
    scope: Scope,
    known: &HashSet<(String, String, i32)>,
) -> Result<(), ControlError> {
    let mut after = String::new();
    loop {
        let request = v1::UsageRequest {
            tenant: tenant.to_string(),
            scope: v1::Scope::from(scope).into(),
            after,
            limit: PAGE,
            ..v1::UsageRequest::default()
        };
        let page = counter
            .ask(state, &ourselves(), request, async |mut client, request| {
                Ok(client.usage(request).await?.into_inner())
            })
            .await?;
        for account in &page.accounts {
            alert(state, tenant, account, known).await?;
        }
        after = page.next;
        if after.is_empty() {
            return Ok(());
        }
    }
}

/// The part of its limit that an account has reached, percent; 0: none that is told.
fn level(info: &v1::AccountInfo) -> u64 {
    let Some(limit) = info.limit.filter(|limit| *limit > 0) else {
        return 0;
    };
    let spent = u128::from(info.spent) * 100;
    let reached = |level: &u64| spent >= u128::from(limit) * u128::from(*level);
    LEVELS.into_iter().find(reached).unwrap_or(0)
}

async fn alert(
    state: &State,
    tenant: &TenantId,
    info: &v1::AccountInfo,
    known: &HashSet<(String, String, i32)>,
) -> Result<(), ControlError> {
    let Some(Ok(account)) = info.account.as_ref().map(AccountKey::try_from) else {
        return Ok(());
    };
    let (percent, text) = (level(info), account.to_string());
    if percent == 0 {
        // A window that never begins anew: when it is less than half full again, it may be told again.
        if LEVELS
            .iter()
            .any(|level| known.contains(&row(&text, "", *level)))
        {
            forget(state, tenant, &text).await?;
        }
        return Ok(());
    }
    let told = |level| known.contains(&row(&text, &info.window_start, level));
    let passed = passed(percent, told);
    if passed.is_empty() {
        return Ok(());
    }
    tell(state, tenant, &text, &info.window_start, &passed).await
}

/// The levels up to `percent` above the highest that was told, the lowest first: between two looks an account may pass
/// several, and who waits for one of them is to hear of it.
fn passed(percent: u64, told: impl Fn(u64) -> bool) -> Vec<u64> {
    let highest = LEVELS.into_iter().find(|level| told(*level)).unwrap_or(0);
    let rising = LEVELS.into_iter().rev();
    rising
        .filter(|level| *level > highest && *level <= percent)
        .collect()
}

/// One event for each of these levels of an account, all or none.
async fn tell(
    state: &State,
    tenant: &TenantId,
    account: &str,
    window_start: &str,
    levels: &[u64],
) -> Result<(), ControlError> {
    let mut tx = state.store.tenant(tenant).await?;
    for level in levels {
        let raised = sqlx::query(
            "insert into control.budget_alerts (tenant, account, window_start, level) values ($1, $2, $3, $4)
             on conflict do nothing",
        )
        .bind(tenant.as_str())
        .bind(account)
        .bind(window_start)
        .bind(i32::try_from(*level).unwrap_or(100))
        .execute(&mut *tx)
        .await?;
        if raised.rows_affected() == 0 {
            continue;
        }
        let object = format!("{account} {level}%");
        crate::audit::record(&mut tx, state, tenant, "control", "budget.alert", &object).await?;
        metrics::counter!("proctor_control_budget_alerts_total", "level" => level.to_string())
            .increment(1);
    }
    sqlx::query("delete from control.budget_alerts where tenant = $1 and account = $2 and window_start < $3")
        .bind(tenant.as_str())
        .bind(account)
        .bind(window_start)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

fn row(account: &str, window_start: &str, level: u64) -> (String, String, i32) {
    (
        account.to_owned(),
        window_start.to_owned(),
        i32::try_from(level).unwrap_or(100),
    )
}

async fn forget(state: &State, tenant: &TenantId, account: &str) -> Result<(), ControlError> {
    let mut tx = state.store.tenant(tenant).await?;
    sqlx::query(
        "delete from control.budget_alerts where tenant = $1 and account = $2 and window_start = ''",
    )
    .bind(tenant.as_str())
    .bind(account)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_parts_of_the_limit() {
        let at = |spent, limit| {
            level(&v1::AccountInfo {
                spent,
                limit,
                ..v1::AccountInfo::default()
            })
        };
        let reached: Vec<_> = [49, 50, 79, 80, 99, 100, 200]
            .map(|spent| at(spent, Some(100)))
            .to_vec();
        assert_eq!(reached, [0, 50, 50, 80, 80, 100, 100]);
        assert_eq!(at(5, None), 0);
        assert_eq!(at(0, Some(0)), 0, "nothing is allowed, and that is no news");
        assert_eq!(at(u64::MAX, Some(u64::MAX)), 100);
    }

    #[test]
    fn each_level_that_was_passed_is_told_once() {
        let after = |percent, known: &[u64]| passed(percent, |level| known.contains(&level));
        assert_eq!(after(50, &[]), [50]);
        assert_eq!(after(100, &[]), [50, 80, 100], "from nothing to all of it");
        assert_eq!(after(100, &[50]), [80, 100]);
        assert_eq!(after(80, &[50, 80]), [0_u64; 0]);
        // An older version told of the highest alone: what is below it is no news any more.
        assert_eq!(after(100, &[100]), [0_u64; 0]);
        // After a credit: told already.
        assert_eq!(after(50, &[50, 80]), [0_u64; 0]);
    }
}

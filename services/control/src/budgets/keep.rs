//! In the background: the counter is told of new limits.

use super::{Counter, ourselves};
use crate::State;
use crate::error::ControlError;
use crate::store::objects::ONLY;
use crate::store::tenants::counter as number;
use proctor_model::budget::Limits;
use proctor_proto::v1;
use proctor_runtime::backoff::Backoff;
use serde_json::Value;
use sqlx::Row;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long new limits may wait if the wake-up was missed (another control process took them).
const POLL: Duration = Duration::from_millis(500);

/// Until `shutdown`.
pub(crate) async fn run(state: Arc<State>, shutdown: CancellationToken) {
    let Some(counter) = &state.counter else {
        return;
    };
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    let mut everything = true;
    loop {
        let mut pause = POLL;
        match push(&state, counter, everything).await {
            Ok(()) => {
                everything = false;
                backoff.reset();
            }
            Err(error) => {
                tracing::warn!(%error, "the counter does not take limits; trying again");
                pause = backoff.next_pause();
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = state.limits_changed.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Tells the counter the limits that it does not have; at the start all, whatever it was told before: it may have been
/// set up anew.
async fn push(state: &State, counter: &Counter, everything: bool) -> Result<(), ControlError> {
    let mut tx = state.store.platform().await?;
    let rows = sqlx::query(
        "select o.tenant, o.document, o.version from control.objects o
         left join control.limits_pushed p on p.tenant = o.tenant
         where o.kind = 'limits' and o.id = $1 and ($2 or p.version is distinct from o.version)
         order by o.tenant",
    )
    .bind(ONLY)
    .bind(everything)
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    for row in rows {
        let tenant: String = row.try_get("tenant")?;
        let limits: Limits = serde_json::from_value(row.try_get::<Value, _>("document")?)?;
        let version: i64 = row.try_get("version")?;
        let request = v1::SetLimitsRequest {
            request_id: state.random.array::<16>()?.to_vec(),
            tenant: tenant.clone(),
            version: number(version),
            rules: limits.rules.iter().map(Into::into).collect(),
        };
        let taken = counter
            .ask(state, &ourselves(), request, async |mut client, request| {
                Ok(client.set_limits(request).await?.into_inner())
            })
            .await?;
        if taken.version < number(version) {
            tracing::error!(tenant, "the counter keeps older limits");
            continue;
        }
        let mut tx = state.store.platform().await?;
        sqlx::query(
            "insert into control.limits_pushed (tenant, version) values ($1, $2)
             on conflict (tenant) do update set version = excluded.version, pushed_at = now()
             where limits_pushed.version < excluded.version",
        )
        .bind(&tenant)
        .bind(version)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
    }
    Ok(())
}

//! The same call, asked about more than once: by the same token, whatever was appended to it, with the same intent, the same
//! tool and the same arguments. Each appended caveat, sub-agent, session and change of a policy makes another binding of it.

use crate::error::ControlError;
use crate::store::TenantTx;
use crate::store::tenants::{counter, database_time};
use proctor_model::Timestamp;
use proctor_model::approval::ApprovalRequest;
use sqlx::Row;
use sqlx::postgres::PgRow;

/// Lets nobody else of the tenant open, deny or give back one until the end of the transaction: two edges with the same call get
/// the same approval, nobody gets past the limits, and a denial finds all that it ends. It comes before any lock of a row.
pub(crate) async fn one_at_a_time(tx: &mut TenantTx) -> Result<(), ControlError> {
    let tenant = tx.tenant().clone();
    sqlx::query("select pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(format!("approvals|{tenant}"))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The denied approval of this call, until it would have expired: nobody is to be worn down by the same question. It is the
/// same one in another session, and whatever was appended to the token since.
pub(crate) async fn denied(
    tx: &mut TenantTx,
    request: &ApprovalRequest,
    now: Timestamp,
) -> Result<Option<PgRow>, ControlError> {
    let tenant = tx.tenant().clone();
    let row = sqlx::query(
        "select * from control.approvals where tenant = $1 and token_root = $2 and tool = $3 and args_digest = $4
         and intent is not distinct from $5 and state = 'denied' and expires_at > $6
         order by id desc limit 1",
    )
    .bind(tenant.as_str())
    .bind(root(request))
    .bind(request.tool.to_string())
    .bind(&request.args_digest)
    .bind(request.intent.as_ref().map(ToString::to_string))
    .bind(database_time(now))
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row)
}

/// Whose token it is, whatever was appended to it.
pub(super) fn root(request: &ApprovalRequest) -> Option<String> {
    let root = request.root.as_ref().or_else(|| request.token.first());
    root.map(ToString::to_string)
}

/// Live ones of the same call with another binding.
pub(crate) struct Twins {
    /// Of the same session and sub-agents: what was appended to the token since, or a policy, makes the difference.
    pub(crate) own: Vec<String>,
    /// How many there are of others.
    pub(crate) of_others: u64,
}

/// The live ones of the same call with another binding.
pub(crate) async fn twins(
    tx: &mut TenantTx,
    request: &ApprovalRequest,
    now: Timestamp,
) -> Result<Twins, ControlError> {
    let tenant = tx.tenant().clone();
    let row = sqlx::query(
        "select coalesce(array_agg(id order by id) filter (where own), '{}') as own, count(*) filter (where not own) as of_others
         from (
             select id, session is not distinct from $6 and delegation = $7 as own from control.approvals
             where tenant = $1 and token_root = $2 and tool = $3 and args_digest = $4 and intent is not distinct from $5
                 and state in ('pending', 'approved') and expires_at > $8 and binding <> $9
         ) twin",
    )
    .bind(tenant.as_str())
    .bind(root(request))
    .bind(request.tool.to_string())
    .bind(&request.args_digest)
    .bind(request.intent.as_ref().map(ToString::to_string))
    .bind(request.session.as_ref().map(ToString::to_string))
    .bind(&request.delegation)
    .bind(database_time(now))
    .bind(&request.binding)
    .fetch_one(&mut **tx)
    .await?;
    Ok(Twins {
        own: row.try_get("own")?,
        of_others: counter(row.try_get("of_others")?),
    })
}

/// Denies the live ones of the call that was denied with this one; their ids.
pub(crate) async fn deny_twins(
    tx: &mut TenantTx,
    id: &str,
    now: Timestamp,
) -> Result<Vec<String>, ControlError> {
    let tenant = tx.tenant().clone();
    let denied = sqlx::query_scalar(
        "update control.approvals twin set state = 'denied', view = null, ended_at = $3
         from control.approvals this
         where this.tenant = $1 and this.id = $2 and twin.tenant = $1 and twin.id <> $2
             and twin.token_root = this.token_root and twin.tool = this.tool and twin.args_digest = this.args_digest
             and twin.intent is not distinct from this.intent
             and twin.state in ('pending', 'approved') and twin.expires_at > $3
         returning twin.id",
    )
    .bind(tenant.as_str())
    .bind(id)
    .bind(database_time(now))
    .fetch_all(&mut **tx)
    .await?;
    Ok(denied)
}

//! The same call, asked about more than once: by the same token, whatever was appended to it, with the same intent, the same
//! tool and the same arguments. Each appended caveat, sub-agent, session and change of a policy makes another binding of it.

use crate::error::ControlError;
use crate::store::TenantTx;
use crate::store::tenants::{counter, database_time};
use proctor_model::Timestamp;
use proctor_model::approval::{ApprovalRequest, ApprovalSettings};
use sqlx::Row;
use sqlx::postgres::PgRow;

/// Whether `this` and `other` are about the same call. One without a root (of an edge from before it was told) is like no other.
macro_rules! same_call {
    () => {
        "(other.tenant, other.token_root, other.tool, other.args_digest)
             = (this.tenant, this.token_root, this.tool, this.args_digest)
         and other.intent is not distinct from this.intent"
    };
}

/// Whether `other` is a denial of the same call that stands at the time of this parameter.
macro_rules! denies_call {
    ($now:literal) => {
        concat!(
            same_call!(),
            " and other.state = 'denied' and other.expires_at > ",
            $now
        )
    };
}

/// What `other` becomes when it is denied at the time of the first parameter, for the seconds of the second.
macro_rules! becomes_denied {
    ($now:literal, $secs:literal) => {
        concat!(
            "state = 'denied', view = null, ended_at = ",
            $now,
            ", expires_at = greatest(other.expires_at, ",
            $now,
            " + make_interval(secs => ",
            $secs,
            "))"
        )
    };
}

/// The call of a request, for `this`; its tenant, root, tool, arguments and intent are the first five parameters.
macro_rules! requested_call {
    () => {
        "(select $1::text as tenant, $2::text as token_root, $3::text as tool, $4::text as args_digest, $5::text as intent)"
    };
}

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

/// The denied approval of this call, while it stands, the one that stands longest: nobody is to be worn down by the same question.
/// It is the same one in another session, and whatever was appended to the token since.
pub(crate) async fn denied(
    tx: &mut TenantTx,
    request: &ApprovalRequest,
    now: Timestamp,
) -> Result<Option<PgRow>, ControlError> {
    let tenant = tx.tenant().clone();
    let row = sqlx::query(concat!(
        "select other.* from control.approvals other, ",
        requested_call!(),
        " this where ",
        denies_call!("$6"),
        " order by other.expires_at desc, other.id desc limit 1"
    ))
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

/// The token itself, with all that was appended to it.
pub(super) fn token_id(request: &ApprovalRequest) -> String {
    request
        .token
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// Live ones of the same call with another binding.
pub(crate) struct Twins {
    /// Those that wait, of the very token, session and sub-agents: only policies or labels can make the difference, and with those of before nothing
    /// is used any more.
    pub(crate) outgrown: Vec<String>,
    /// How many others there are. Two workers of one token, each with a caveat of its own, ask about the same call again and again, and
    /// would end each other's questions before anybody could decide; and what a person approved is not taken away by a question.
    pub(crate) staying: u64,
}

/// The live ones of the same call with another binding.
pub(crate) async fn twins(
    tx: &mut TenantTx,
    request: &ApprovalRequest,
    now: Timestamp,
) -> Result<Twins, ControlError> {
    let tenant = tx.tenant().clone();
    let row = sqlx::query(concat!(
        "select coalesce(array_agg(id) filter (where outgrown), '{}') as outgrown, count(*) filter (where not outgrown) as staying
         from (
             select other.id, other.state = 'pending' and other.token_id = $8 and other.session is not distinct from $9
                 and other.delegation = $10 as outgrown
             from control.approvals other, ",
        requested_call!(),
        " this where ",
        same_call!(),
        " and other.state in ('pending', 'approved') and other.expires_at > $6 and other.binding <> $7
             order by other.id
         ) twin"
    ))
    .bind(tenant.as_str())
    .bind(root(request))
    .bind(request.tool.to_string())
    .bind(&request.args_digest)
    .bind(request.intent.as_ref().map(ToString::to_string))
    .bind(database_time(now))
    .bind(&request.binding)
    .bind(token_id(request))
    .bind(request.session.as_ref().map(ToString::to_string))
    .bind(&request.delegation)
    .fetch_one(&mut **tx)
    .await?;
    Ok(Twins {
        outgrown: row.try_get("outgrown")?,
        staying: counter(row.try_get("staying")?),
    })
}

/// Denies one, and the live ones of the same call; their ids. It stands for the tenant's whole time from now on, also where the token
/// or the intent of a question would have been over sooner, or is over: whoever has the token can append that.
pub(crate) async fn deny(
    tx: &mut TenantTx,
    id: &str,
    settings: ApprovalSettings,
    now: Timestamp,
) -> Result<Vec<String>, ControlError> {
    let tenant = tx.tenant().clone();
    let mut denied = Vec::new();
    for update in [
        concat!(
            "update control.approvals other set ",
            becomes_denied!("$3", "$4"),
            " where other.tenant = $1 and other.id = $2 returning other.id"
        ),
        concat!(
            "update control.approvals other set ",
            becomes_denied!("$3", "$4"),
            " from control.approvals this
             where this.tenant = $1 and this.id = $2
                 and other.state in ('pending', 'approved') and other.expires_at > $3 and ",
            same_call!(),
            " returning other.id"
        ),
    ] {
        let ids: Vec<String> = sqlx::query_scalar(update)
            .bind(tenant.as_str())
            .bind(id)
            .bind(database_time(now))
            .bind(f64::from(settings.expires_in_s))
            .fetch_all(&mut **tx)
            .await?;
        denied.extend(ids);
    }
    Ok(denied)
}

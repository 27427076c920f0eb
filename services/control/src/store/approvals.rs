//! Approvals: opened by edges, decided by people, used once.
//!
//! `pending` → `approved` → `used` (and back, if nothing came of the use), or `denied`, or `expired`, or `superseded` by another for the same call. A live one
//! (`pending`, `approved`) past its time counts as expired from that moment on, whatever its row still says. What is over without
//! having been used can still become `denied`.

// Its macros say in SQL what the same call is.
#[macro_use]
mod same;

pub(crate) use same::{denied, deny, one_at_a_time, twins};

use super::TenantTx;
use super::tenants::{counter, database_time, timestamp};
use crate::State;
use crate::cipher::{decrypt, encrypt, purpose};
use crate::error::ControlError;
use proctor_model::approval::{ApprovalRelease, ApprovalRequest, ApprovalSettings, ApprovalUse};
use proctor_model::{TenantId, Timestamp};
use proctor_proto::v1;
use sqlx::Row;
use sqlx::postgres::PgRow;

/// All states.
pub(crate) const STATES: [&str; 6] = [
    "pending",
    "approved",
    "denied",
    "used",
    "expired",
    "superseded",
];

fn view_of(tenant: &TenantId, id: &str) -> String {
    purpose(tenant, &format!("approval|{id}"))
}

/// The state that counts at this moment.
pub(crate) fn standing(row: &PgRow, now: Timestamp) -> Result<&'static str, ControlError> {
    let stored: String = row.try_get("state")?;
    let live = matches!(stored.as_str(), "pending" | "approved");
    if live && timestamp(row.try_get("expires_at")?) <= now {
        return Ok("expired");
    }
    let known = STATES.into_iter().find(|state| *state == stored);
    Ok(known.unwrap_or("expired"))
}

fn wire(row: &PgRow, now: Timestamp) -> Result<v1::Approval, ControlError> {
    let text = |column: &str| {
        row.try_get::<Option<String>, _>(column)
            .map(Option::unwrap_or_default)
    };
    Ok(v1::Approval {
        tenant: row.try_get("tenant")?,
        id: row.try_get("id")?,
        state: standing(row, now)?.to_owned(),
        question: row.try_get("question")?,
        view: Vec::new(),
        agent: row.try_get("agent")?,
        delegation: row.try_get("delegation")?,
        user: text("user_id")?,
        session: text("session")?,
        intent: text("intent")?,
        token_id: row.try_get("token_id")?,
        tool: row.try_get("tool")?,
        args_digest: row.try_get("args_digest")?,
        covers: row.try_get("covers")?,
        edge: row.try_get("edge")?,
        decision_id: row.try_get("decision_id")?,
        approvers: u32::try_from(row.try_get::<i32, _>("approvers")?).unwrap_or(u32::MAX),
        votes: Vec::new(),
        created_at: timestamp(row.try_get("created_at")?).to_string(),
        expires_at: timestamp(row.try_get("expires_at")?).to_string(),
        ended_at: row
            .try_get::<Option<_>, _>("ended_at")?
            .map(|at| timestamp(at).to_string())
            .unwrap_or_default(),
    })
}

/// Notes who minted a token.
pub(crate) async fn note_minted(
    tx: &mut TenantTx,
    token_id: &str,
    principal: &str,
    expires_at: Timestamp,
) -> Result<(), ControlError> {
    let tenant = tx.tenant().clone();
    sqlx::query(
        "insert into control.minted_tokens (tenant, token_id, minted_by, expires_at) values ($1, $2, $3, $4)",
    )
    .bind(tenant.as_str())
    .bind(token_id)
    .bind(principal)
    .bind(database_time(expires_at))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The live approval of this very call, locked.
pub(crate) async fn live(
    tx: &mut TenantTx,
    binding: &str,
    now: Timestamp,
) -> Result<Option<PgRow>, ControlError> {
    let tenant = tx.tenant().clone();
    let row = sqlx::query(
        "select * from control.approvals where tenant = $1 and binding = $2 and state in ('pending', 'approved')
         and expires_at > $3 for update",
    )
    .bind(tenant.as_str())
    .bind(binding)
    .bind(database_time(now))
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row)
}

/// Ends these, as their call is asked about anew: the one with this binding, which [`live`] has locked, and those that still wait.
/// Which ones.
pub(crate) async fn supersede(
    tx: &mut TenantTx,
    ids: &[String],
    binding: &str,
    now: Timestamp,
) -> Result<Vec<String>, ControlError> {
    let tenant = tx.tenant().clone();
    let superseded = sqlx::query_scalar(
        "update control.approvals set state = 'superseded', view = null, ended_at = $3
         where tenant = $1 and id = any($2) and (state = 'pending' or binding = $4) returning id",
    )
    .bind(tenant.as_str())
    .bind(ids)
    .bind(database_time(now))
    .bind(binding)
    .fetch_all(&mut **tx)
    .await?;
    Ok(superseded)
}

/// How many calls of this agent, and of the tenant, wait for a person, but for those that are about to give way; approved ones
/// are no burden to anybody, but they take room as well.
pub(crate) async fn waiting(
    tx: &mut TenantTx,
    agent: &str,
    outgrown: &[String],
    now: Timestamp,
) -> Result<(u64, u64), ControlError> {
    let tenant = tx.tenant().clone();
    let row = sqlx::query(
        "select count(*) filter (where agent = $2) as own, count(*) as of_all from control.approvals
         where tenant = $1 and state in ('pending', 'approved') and expires_at > $3 and id <> all($4)",
    )
    .bind(tenant.as_str())
    .bind(agent)
    .bind(database_time(now))
    .bind(outgrown)
    .fetch_one(&mut **tx)
    .await?;
    Ok((
        counter(row.try_get("own")?),
        counter(row.try_get("of_all")?),
    ))
}

/// Who may not decide on it: who declared the intent, or one that it narrows, who minted the token, and who logged in with it.
async fn requesters(
    tx: &mut TenantTx,
    request: &ApprovalRequest,
) -> Result<Vec<String>, ControlError> {
    let tenant = tx.tenant().clone();
    let mut found: Vec<String> = sqlx::query_scalar(
        "select minted_by from control.minted_tokens where tenant = $1 and token_id = any($2)",
    )
    .bind(tenant.as_str())
    .bind(
        request
            .token
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
    )
    .fetch_all(&mut **tx)
    .await?;
    if let Some(intent) = &request.intent
        && let Some(document) = super::intents::get(tx, tenant.as_str(), intent.as_str()).await?
    {
        let mut at = Some(&document);
        while let Some(intent) = at {
            let by = intent.get("declared_by").and_then(|by| by.as_str());
            found.extend(by.map(str::to_owned));
            at = intent.get("parent").filter(|parent| parent.is_object());
        }
    }
    found.extend(request.login.as_ref().map(ToString::to_string));
    found.sort();
    found.dedup();
    Ok(found)
}

/// Opens one. `view` is what an approver is to see, in clear.
pub(crate) async fn open(
    tx: &mut TenantTx,
    state: &State,
    id: &str,
    request: &ApprovalRequest,
    view: &[u8],
    settings: ApprovalSettings,
) -> Result<PgRow, ControlError> {
    let tenant = tx.tenant().clone();
    let now = state.clock.now();
    let expires_at = now
        .plus_secs(settings.expires_in_s.into())
        .min(request.until);
    let view = encrypt(state, &view_of(&tenant, id), view)?;
    let requesters = requesters(tx, request).await?;
    let nonce = request.nonce.as_ref().map(|nonce| nonce.as_slice());
    let row = sqlx::query(
        "insert into control.approvals (tenant, id, binding, covers, question, view, agent, delegation, user_id, session,
            intent, token_id, tool, args_digest, edge, decision_id, requesters, approvers, created_at, expires_at,
            token_root, token_nonce)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
         returning *",
    )
    .bind(tenant.as_str())
    .bind(id)
    .bind(&request.binding)
    .bind(&request.covers)
    .bind(&request.question)
    .bind(view)
    .bind(request.agent.as_str())
    .bind(&request.delegation)
    .bind(request.user.as_ref().map(ToString::to_string))
    .bind(request.session.as_ref().map(ToString::to_string))
    .bind(request.intent.as_ref().map(ToString::to_string))
    .bind(same::token_id(request))
    .bind(request.tool.to_string())
    .bind(&request.args_digest)
    .bind(request.edge.as_str())
    .bind(request.decision_id.to_string())
    .bind(requesters)
    .bind(i32::from(settings.approvers))
    .bind(database_time(now))
    .bind(database_time(expires_at))
    .bind(same::root(request))
    .bind(nonce)
    .fetch_one(&mut **tx)
    .await?;
    Ok(row)
}

/// Uses an approved one up, atomically: of all who try, one gets the row.
pub(crate) async fn use_up(
    tx: &mut TenantTx,
    using: &ApprovalUse,
    now: Timestamp,
) -> Result<Option<PgRow>, ControlError> {
    let tenant = tx.tenant().clone();
    let row = sqlx::query(concat!(
        "update control.approvals this
         set state = 'used', view = null, ended_at = $6, used_edge = $4, used_decision_id = $5
         where tenant = $1 and id = $2 and state = 'approved' and expires_at > $6 and binding = $3 and covers @> $7
             and not exists (select from control.approvals other where ",
        denies_call!("$6"),
        ") returning *"
    ))
    .bind(tenant.as_str())
    .bind(using.approval.as_str())
    .bind(&using.binding)
    .bind(using.edge.as_str())
    .bind(using.decision_id.to_string())
    .bind(database_time(now))
    .bind(&using.covers)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row)
}

/// Takes back that it was used for this decision of this edge, if it still could be used. Another for the same call, asked
/// for meanwhile, stays the only one; and what was denied meanwhile stays so.
pub(crate) async fn release(
    tx: &mut TenantTx,
    released: &ApprovalRelease,
    now: Timestamp,
) -> Result<Option<PgRow>, ControlError> {
    let tenant = tx.tenant().clone();
    let row = sqlx::query(concat!(
        "update control.approvals this
         set state = 'approved', ended_at = null, used_edge = null, used_decision_id = null
         where tenant = $1 and id = $2 and state = 'used' and binding = $3 and used_edge = $4 and used_decision_id = $5
             and expires_at > $6 and not exists (
                 select from control.approvals other
                 where other.tenant = $1 and other.binding = $3 and other.state in ('pending', 'approved')
             ) and not exists (select from control.approvals other where ",
        denies_call!("$6"),
        ") returning *"
    ))
    .bind(tenant.as_str())
    .bind(released.approval.as_str())
    .bind(&released.binding)
    .bind(released.edge.as_str())
    .bind(released.decision_id.to_string())
    .bind(database_time(now))
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row)
}

/// One, locked until the end of the transaction.
pub(crate) async fn lock(tx: &mut TenantTx, id: &str) -> Result<Option<PgRow>, ControlError> {
    let tenant = tx.tenant().clone();
    let row =
        sqlx::query("select * from control.approvals where tenant = $1 and id = $2 for update")
            .bind(tenant.as_str())
            .bind(id)
            .fetch_optional(&mut **tx)
            .await?;
    Ok(row)
}

/// Notes what somebody said. False: they have said so before, with this key or, if both name their holder, with another.
pub(crate) async fn vote(
    tx: &mut TenantTx,
    id: &str,
    principal: &str,
    verdict: &str,
    comment: &str,
    now: Timestamp,
) -> Result<bool, ControlError> {
    let tenant = tx.tenant().clone();
    // Who has approved may still deny; not the reverse, as a denied one is over.
    let voted = sqlx::query(
        "insert into control.approval_votes (tenant, approval, principal, verdict, comment, voted_at)
         select $1, $2, $3, $4, $5, $6
         where $4 <> 'approve' or not exists (
             select from control.approval_votes v
             join control.key_holders theirs on theirs.tenant in ($1, '_platform') and theirs.key = v.principal
             join control.key_holders own on own.tenant in ($1, '_platform') and own.key = $3
                 and lower(own.holder) = lower(theirs.holder)
             where v.tenant = $1 and v.approval = $2 and v.verdict = 'approve' and v.principal <> $3
         )
         on conflict (tenant, approval, principal) do update
         set verdict = excluded.verdict, comment = excluded.comment, voted_at = excluded.voted_at
         where control.approval_votes.verdict <> excluded.verdict",
    )
    .bind(tenant.as_str())
    .bind(id)
    .bind(principal)
    .bind(verdict)
    .bind(comment)
    .bind(database_time(now))
    .execute(&mut **tx)
    .await?;
    Ok(voted.rows_affected() > 0)
}

/// Approves one that waits, once enough have said so.
pub(crate) async fn count_votes(tx: &mut TenantTx, id: &str) -> Result<(), ControlError> {
    let tenant = tx.tenant().clone();
    sqlx::query(
        "update control.approvals set state = 'approved' where tenant = $1 and id = $2 and state = 'pending'
         and approvers <= (
             select count(*) from control.approval_votes where tenant = $1 and approval = $2 and verdict = 'approve'
         )",
    )
    .bind(tenant.as_str())
    .bind(id)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// One with its votes, and with the view while it is live.
pub(crate) async fn get(
    tx: &mut TenantTx,
    state: &State,
    id: &str,
) -> Result<Option<v1::Approval>, ControlError> {
    let tenant = tx.tenant().clone();
    let row = sqlx::query("select * from control.approvals where tenant = $1 and id = $2")
        .bind(tenant.as_str())
        .bind(id)
        .fetch_optional(&mut **tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let mut approval = wire(&row, state.clock.now())?;
    let view: Option<Vec<u8>> = row.try_get("view")?;
    if let Some(view) = view.filter(|_| matches!(approval.state.as_str(), "pending" | "approved")) {
        approval.view = decrypt(state, &view_of(&tenant, id), &view)?.to_vec();
    }
    let votes = sqlx::query(
        "select * from control.approval_votes where tenant = $1 and approval = $2 order by voted_at, principal",
    )
    .bind(tenant.as_str())
    .bind(id)
    .fetch_all(&mut **tx)
    .await?;
    for vote in votes {
        approval.votes.push(v1::ApprovalVote {
            principal: vote.try_get("principal")?,
            verdict: vote.try_get("verdict")?,
            comment: vote.try_get("comment")?,
            voted_at: timestamp(vote.try_get("voted_at")?).to_string(),
        });
    }
    Ok(Some(approval))
}

/// A page, oldest first, without views and votes.
pub(crate) async fn list(
    tx: &mut TenantTx,
    state: &str,
    after: &str,
    limit: i64,
    now: Timestamp,
) -> Result<Vec<v1::Approval>, ControlError> {
    let tenant = tx.tenant().clone();
    let rows = sqlx::query(
        "select * from control.approvals where tenant = $1 and id > $2 and $3 in ('',
             case when state in ('pending', 'approved') and expires_at <= $5 then 'expired' else state end)
         order by id limit $4",
    )
    .bind(tenant.as_str())
    .bind(after)
    .bind(state)
    .bind(limit)
    .bind(database_time(now))
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(|row| wire(row, now)).collect()
}

/// Writes down that live ones are over; their ids.
pub(crate) async fn expire(
    tx: &mut TenantTx,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<String>, ControlError> {
    let tenant = tx.tenant().clone();
    let expired = sqlx::query_scalar(
        "update control.approvals set state = 'expired', view = null, ended_at = expires_at
         where tenant = $1 and id in (
             select id from control.approvals
             where tenant = $1 and state in ('pending', 'approved') and expires_at <= $2
             order by expires_at limit $3 for update skip locked
         ) returning id",
    )
    .bind(tenant.as_str())
    .bind(database_time(now))
    .bind(limit)
    .fetch_all(&mut **tx)
    .await?;
    Ok(expired)
}

//! What approvers do: list what waits, look at one, approve or deny it.

use crate::State;
use crate::caller::Caller;
use crate::error::ControlError;
use crate::store::approvals::{self, STATES};
use crate::store::tenants::settings;
use crate::store::{TenantTx, holders, page};
use proctor_engine::token::is_nonce_of;
use proctor_model::principal::Right;
use proctor_proto::v1;
use sqlx::Row;
use sqlx::postgres::PgRow;
use tonic::Status;

/// Longest comment, in bytes.
const COMMENT_BYTES_MAX: usize = 1_000;

pub(super) async fn list(
    state: &State,
    caller: &Caller,
    request: v1::ListApprovalsRequest,
) -> Result<v1::ListApprovalsResponse, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::DecideApprovals)?;
    if !request.state.is_empty() && !STATES.contains(&request.state.as_str()) {
        let message = format!("state: one of {}", STATES.join(", "));
        return Err(Status::invalid_argument(message).into());
    }
    let mut tx = state.store.tenant(&tenant).await?;
    let now = state.clock.now();
    let approvals = approvals::list(
        &mut tx,
        &request.state,
        &request.after,
        page(request.limit),
        now,
    )
    .await?;
    let next = approvals
        .last()
        .map(|last| last.id.clone())
        .unwrap_or_default();
    Ok(v1::ListApprovalsResponse { approvals, next })
}

pub(super) async fn get(
    state: &State,
    caller: &Caller,
    request: v1::ObjectRequest,
) -> Result<v1::Approval, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::DecideApprovals)?;
    let mut tx = state.store.tenant(&tenant).await?;
    let found = approvals::get(&mut tx, state, &request.id).await?;
    Ok(found.ok_or_else(no_such_approval)?)
}

pub(super) async fn decide(
    state: &State,
    caller: &Caller,
    request: v1::DecideApprovalRequest,
) -> Result<v1::Approval, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::DecideApprovals)?;
    let verdict = match request.verdict.as_str() {
        "approve" => Verdict::Approve,
        "deny" => Verdict::Deny,
        _ => return Err(Status::invalid_argument("verdict: approve or deny").into()),
    };
    if request.comment.len() > COMMENT_BYTES_MAX {
        let message = format!("comment: at most {COMMENT_BYTES_MAX} bytes");
        return Err(Status::invalid_argument(message).into());
    }
    let mut tx = state.store.tenant(&tenant).await?;
    if matches!(verdict, Verdict::Deny) {
        approvals::one_at_a_time(&mut tx).await?;
    }
    let row = approvals::lock(&mut tx, &request.id).await?;
    let row = row.ok_or_else(no_such_approval)?;
    if is_party(&mut tx, state, &row, caller).await? {
        return Err(Status::permission_denied(
            "who declared the intent, minted the token, logged in with it, or is acted for may not decide",
        )
        .into());
    }
    let now = state.clock.now();
    let standing = approvals::standing(&row, now)?;
    let open = match verdict {
        Verdict::Approve => standing == "pending",
        // What nobody has used can still be stopped. That holds for what is over as well: who can make a question brief would else
        // ask it over and over, before anybody can say no.
        Verdict::Deny => !matches!(standing, "denied" | "used"),
    };
    if !open {
        return Err(
            Status::failed_precondition(format!("the approval is {standing} already")).into(),
        );
    }
    let (said, action) = match verdict {
        Verdict::Approve => ("approve", "approval.approve"),
        Verdict::Deny => ("deny", "approval.deny"),
    };
    let id = &request.id;
    if !approvals::vote(&mut tx, id, caller.id(), said, &request.comment, now).await? {
        return Err(Status::already_exists("you have approved it already").into());
    }
    // Who denies a call denies it however often it was asked about.
    let ids = match verdict {
        Verdict::Approve => {
            approvals::count_votes(&mut tx, id).await?;
            vec![id.clone()]
        }
        Verdict::Deny => {
            let settings = settings(&mut tx, &tenant).await?.approvals;
            approvals::deny(&mut tx, id, settings, now).await?
        }
    };
    for id in &ids {
        crate::audit::record(&mut tx, state, &tenant, caller.id(), action, id).await?;
    }
    let decided = approvals::get(&mut tx, state, id).await?;
    tx.commit().await?;
    Ok(decided.ok_or_else(no_such_approval)?)
}

/// Whether the caller asked for the call, or it is made for the caller. A person is the same with each key that names its
/// holder; a key that names none stands for itself alone.
async fn is_party(
    tx: &mut TenantTx,
    state: &State,
    row: &PgRow,
    caller: &Caller,
) -> Result<bool, ControlError> {
    let requesters: Vec<String> = row.try_get("requesters")?;
    let user: Option<String> = row.try_get("user_id")?;
    let own = [caller.id().to_owned()];
    let holders = holders::of(tx, &own).await?;
    let theirs = holders::of(tx, &requesters).await?;
    let mut parties = requesters.iter().chain(&theirs).chain(&user);
    // Two spellings of one address are no two people.
    let is = |one: &String, other: &String| one.eq_ignore_ascii_case(other);
    let is_one = parties.any(|party| own.iter().chain(&holders).any(|one| is(one, party)));
    Ok(is_one || has_logged_in(tx, state, row, &holders).await?)
}

/// Whether the token was given to one of them for a login.
async fn has_logged_in(
    tx: &mut TenantTx,
    state: &State,
    row: &PgRow,
    users: &[String],
) -> Result<bool, ControlError> {
    let nonce: Option<Vec<u8>> = row.try_get("token_nonce")?;
    let Some(nonce) = nonce.and_then(|nonce| nonce.try_into().ok()) else {
        return Ok(false);
    };
    let tenant = tx.tenant().clone();
    let key = crate::keys::digest_key(tx, state, &tenant).await?;
    let named = |key: &[u8; 32]| users.iter().any(|user| is_nonce_of(key, &nonce, user));
    Ok(key.as_ref().is_some_and(named))
}

enum Verdict {
    Approve,
    Deny,
}

fn no_such_approval() -> Status {
    Status::not_found("no such approval")
}

//! `/v1/tenants/{tenant}/approvals`

use crate::Api;
use crate::auth::Principal;
use crate::body::{Body, Params, Path, document, next};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use proctor_proto::v1;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Which approvals.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// `pending`, `approved`, `denied`, `used`, `expired` or `superseded`; absent: all
    #[serde(default)]
    state: String,
    /// Approvals after this one: `next` of the page before
    #[serde(default)]
    after: String,
    /// At most so many, 1 to 500
    #[serde(default)]
    limit: u32,
}

/// What an approver said.
#[derive(Serialize, ToSchema)]
pub(crate) struct Vote {
    /// The approver's principal id
    principal: String,
    /// `approve` or `deny`
    verdict: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    comment: String,
    voted_at: String,
}

/// A call that waits, or waited, for a person.
#[derive(Serialize, ToSchema)]
pub(crate) struct Approval {
    id: String,
    /// `pending`, `approved`, `denied`, `used`, `expired` or `superseded`
    state: String,
    /// What a person is asked
    question: String,
    /// The arguments, secrets masked and long texts cut; only of a single approval, and while it is live
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    arguments: Option<Value>,
    tool: String,
    agent: String,
    /// Sub-agents, outermost first
    delegation: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    session: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    intent: String,
    token_id: String,
    /// Keyed digest of the arguments, as in the audit chain
    args_digest: String,
    /// Identifiers of the reasons that are waved through
    covers: Vec<String>,
    edge: String,
    decision_id: String,
    /// How many have to approve
    approvers: u32,
    votes: Vec<Vote>,
    created_at: String,
    expires_at: String,
    /// When it was denied, used or superseded, or expired
    #[serde(skip_serializing_if = "String::is_empty")]
    ended_at: String,
}

/// A page of approvals, oldest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Approvals {
    approvals: Vec<Approval>,
    /// `after` of the next page
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A word to a decision.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Comment {
    /// Why, for people
    #[serde(default)]
    comment: String,
}

fn approval(found: v1::Approval) -> Result<Approval, Problem> {
    let arguments = (!found.view.is_empty())
        .then(|| document(&found.view))
        .transpose()?;
    let votes = found.votes.into_iter().map(|vote| Vote {
        principal: vote.principal,
        verdict: vote.verdict,
        comment: vote.comment,
        voted_at: vote.voted_at,
    });
    Ok(Approval {
        id: found.id,
        state: found.state,
        question: found.question,
        arguments,
        tool: found.tool,
        agent: found.agent,
        delegation: found.delegation,
        user: found.user,
        session: found.session,
        intent: found.intent,
        token_id: found.token_id,
        args_digest: found.args_digest,
        covers: found.covers,
        edge: found.edge,
        decision_id: found.decision_id,
        approvers: found.approvers,
        votes: votes.collect(),
        created_at: found.created_at,
        expires_at: found.expires_at,
        ended_at: found.ended_at,
    })
}

/// List escalated calls
#[utoipa::path(get, path = "/v1/tenants/{tenant}/approvals", tag = "approvals", operation_id = "listApprovals", params(Filter),
    responses((status = 200, description = "A page", body = Approvals)))]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Params(filter): Params<Filter>,
) -> Result<Json<Approvals>, Problem> {
    let request = v1::ListApprovalsRequest {
        tenant,
        state: filter.state,
        after: filter.after,
        limit: filter.limit,
    };
    let listed = api
        .control(&principal)?
        .list_approvals(request)
        .await?
        .into_inner();
    let approvals = listed.approvals.into_iter().map(approval);
    Ok(Json(Approvals {
        approvals: approvals.collect::<Result<_, _>>()?,
        next: next(listed.next),
    }))
}

/// Read an escalated call, with its arguments as far as a person needs them
#[utoipa::path(get, path = "/v1/tenants/{tenant}/approvals/{id}", tag = "approvals", operation_id = "getApproval",
    responses((status = 200, description = "The approval", body = Approval)))]
pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, id)): Path<(String, String)>,
) -> Result<Json<Approval>, Problem> {
    let request = v1::ObjectRequest {
        tenant,
        id,
        expected_version: 0,
    };
    let found = api.control(&principal)?.get_approval(request).await?;
    Ok(Json(approval(found.into_inner())?))
}

async fn decide(
    api: &Api,
    principal: &Principal,
    (tenant, id): (String, String),
    verdict: &str,
    comment: String,
) -> Result<Json<Approval>, Problem> {
    let request = v1::DecideApprovalRequest {
        tenant,
        id,
        verdict: verdict.to_owned(),
        comment,
    };
    let decided = api.control(principal)?.decide_approval(request).await?;
    Ok(Json(approval(decided.into_inner())?))
}

/// Approve an escalated call
///
/// Not for who declared the intent, minted the token, or is acted for, with whichever key that names its holder.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/approvals/{id}/approve", tag = "approvals", operation_id = "approve",
    request_body = Comment, responses((status = 200, description = "As it is now", body = Approval)))]
pub(crate) async fn approve(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(path): Path<(String, String)>,
    Body(body): Body<Comment>,
) -> Result<Json<Approval>, Problem> {
    decide(&api, &principal, path, "approve", body.comment).await
}

/// Deny an escalated call
///
/// Until it is used: one that was approved can still be denied, and one that is over (`expired`, `superseded`) as well. The same call asks nobody from then on, for the tenant's `expires_in_s`.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/approvals/{id}/deny", tag = "approvals", operation_id = "deny",
    request_body = Comment, responses((status = 200, description = "As it is now", body = Approval)))]
pub(crate) async fn deny(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(path): Path<(String, String)>,
    Body(body): Body<Comment>,
) -> Result<Json<Approval>, Problem> {
    decide(&api, &principal, path, "deny", body.comment).await
}

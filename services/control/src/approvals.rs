//! Answers the edges' questions about approvals, and notes which of them have expired.
//!
//! Questions come over NATS, signed by the edge; an answer is signed with the platform key and belongs to one question of
//! one edge. Postgres decides: of any number of uses of one approval, on any number of edges, one updates the row.

use crate::State;
use crate::error::ControlError;
use crate::store::tenants::{settings, timestamp};
use crate::store::{TenantTx, approvals};
use async_nats::Message;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::StreamExt;
use proctor_engine::limits::{POLICIES_MAX, POLICY_REASONS_MAX};
use proctor_model::approval::{
    ApprovalAnswer, ApprovalOutcome, ApprovalRelease, ApprovalRequest, ApprovalUse,
};
use proctor_model::config::PublicKey;
use proctor_model::limits::{
    APPROVAL_VIEW_BYTES_MAX, APPROVALS_OF_AGENT_MAX, APPROVALS_OF_TENANT_MAX,
};
use proctor_model::signed::{Document, SignedError, Verifier, key_id};
use proctor_model::{EdgeId, Reason, RevocationId, TenantId, Timestamp};
use proctor_runtime::backoff::Backoff;
use proctor_runtime::seal::{APPROVAL_VIEW_INFO, approval_view_aad};
use proctor_runtime::subjects::{self, ApprovalQuestion};
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Questions that are answered at once: each takes a connection to Postgres, of which others need some.
const AT_ONCE: usize = 6;
/// How often it is looked for approvals that have expired.
const SWEEP: Duration = Duration::from_secs(2);
/// Approvals that one statement notes as expired.
const SWEPT_MAX: i64 = 100;
/// Looks between two purges of what is long over.
const PURGE_EVERY: u64 = 1_800;
/// How long a decided approval is kept, in seconds. Its audit events stay.
const KEPT_S: i64 = 30 * 24 * 3600;
/// How far an edge's clock may be from ours, in microseconds.
const SKEW_US_MAX: i64 = 300_000_000;
/// Longest question, in bytes.
const QUESTION_BYTES_MAX: usize = 8 * 1024;
/// Most reasons that one approval covers: all that 16 policies may give, and as many of intents and content rules.
const COVERS_MAX: usize = 512;
const _: () = assert!(POLICIES_MAX * POLICY_REASONS_MAX * 2 <= COVERS_MAX);
/// Most approvals of the same call of one token beside the one that is asked for, waiting, or approved and not used. Who is asked the
/// same over and over says yes in the end.
const SAME_CALL_MAX: u64 = 8;

/// Why a question gets no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    #[error("it is not on a subject of ours")]
    Subject(#[from] subjects::SubjectError),
    #[error("no edge of ours that serves the tenant signed it")]
    Edge,
    #[error("its signature")]
    Signed(#[from] SignedError),
    #[error("it is for somebody else than its subject says, too old, or too large")]
    Foreign,
    #[error("control's data")]
    Control(#[from] ControlError),
}

impl From<sqlx::Error> for Unanswered {
    fn from(error: sqlx::Error) -> Self {
        Self::Control(error.into())
    }
}

/// Answers until `shutdown`.
pub(crate) async fn run(state: Arc<State>, nats: async_nats::Client, shutdown: CancellationToken) {
    let sweeper = tokio::spawn(sweep(Arc::clone(&state), shutdown.clone()));
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    while !shutdown.is_cancelled() {
        // One of several control processes gets each question.
        let subscribed = nats.queue_subscribe(subjects::APPROVALS, "control".into());
        match subscribed.await {
            Ok(questions) => {
                backoff.reset();
                let answers = questions.for_each_concurrent(AT_ONCE, |question| {
                    let (state, nats) = (&state, &nats);
                    async move { respond(state, nats, &question).await }
                });
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = answers => {}
                }
            }
            Err(error) => tracing::error!(%error, "cannot subscribe to the edges' questions"),
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = backoff.wait() => {}
        }
    }
    if sweeper.await.is_err() {
        tracing::error!("the task that notes expired approvals failed");
    }
}

async fn respond(state: &State, nats: &async_nats::Client, question: &Message) {
    let Some(reply) = question.reply.clone() else {
        return;
    };
    match answer(state, question).await {
        Ok(answer) => {
            if let Err(error) = nats.publish(reply, answer.into()).await {
                tracing::warn!(%error, "an answer about an approval could not be sent");
            }
        }
        // The edge refuses the call when nobody answers.
        Err(why) => {
            tracing::warn!(%why, cause = ?why.source(), "a question about an approval is not answered");
            metrics::counter!("proctor_control_questions_refused_total").increment(1);
        }
    }
}

async fn answer(state: &State, question: &Message) -> Result<String, Unanswered> {
    let (tenant, edge, kind) = subjects::approval_question(question.subject.as_str())?;
    let text = std::str::from_utf8(&question.payload).map_err(|_| Unanswered::Foreign)?;
    let answer = match kind {
        ApprovalQuestion::Request => {
            let request: ApprovalRequest = verified(state, &tenant, &edge, text).await?;
            let fits = request.question.len() <= QUESTION_BYTES_MAX
                && (1..=COVERS_MAX).contains(&request.covers.len());
            let ours = request.tenant == tenant && request.edge == edge;
            if !(fits && ours && is_recent(state, request.at)) {
                return Err(Unanswered::Foreign);
            }
            open(state, request).await?
        }
        ApprovalQuestion::Use => {
            let using: ApprovalUse = verified(state, &tenant, &edge, text).await?;
            let fits = (1..=COVERS_MAX).contains(&using.covers.len());
            let ours = using.tenant == tenant && using.edge == edge;
            if !(fits && ours && is_recent(state, using.at)) {
                return Err(Unanswered::Foreign);
            }
            use_up(state, using).await?
        }
        ApprovalQuestion::Release => {
            let released: ApprovalRelease = verified(state, &tenant, &edge, text).await?;
            let ours = released.tenant == tenant && released.edge == edge;
            if !(ours && is_recent(state, released.at)) {
                return Err(Unanswered::Foreign);
            }
            release(state, released).await?
        }
    };
    Ok(state.signer.sign(&answer)?)
}

pub(crate) fn is_recent(state: &State, at: Timestamp) -> bool {
    state.clock.now().micros_since(at).saturating_abs() <= SKEW_US_MAX
}

/// The question, if this edge signed it and serves the tenant.
pub(crate) async fn verified<D: Document>(
    state: &State,
    tenant: &TenantId,
    edge: &EdgeId,
    text: &str,
) -> Result<D, Unanswered> {
    let mut tx = state.store.platform().await?;
    let key: Option<Vec<u8>> = sqlx::query_scalar(
        "select signing_key from control.edges where id = $1 and $2 = any(tenants)",
    )
    .bind(edge.as_str())
    .bind(tenant.as_str())
    .fetch_optional(&mut *tx)
    .await?;
    drop(tx);
    let key = key.ok_or(Unanswered::Edge)?;
    let key = PublicKey {
        kid: key_id(&key),
        key: crate::caller::b64(&key),
    };
    Ok(Verifier::new([&key])?.verify(text)?)
}

/// Opens an approval, or names the live one of the same call, if it covers all that stands in the way now. One that does not
/// gives way to the new one: it can't be used, and the call could never be asked about while it lives. Where no new one is opened
/// it stays as it is: it is good again as soon as no more stands in the way than it covers. So do those that wait under policies of before.
/// Others of the same call with another binding (a session, a sub-agent, a caveat more) stay, but they are few.
async fn open(state: &State, request: ApprovalRequest) -> Result<ApprovalAnswer, Unanswered> {
    let now = state.clock.now();
    let aad = approval_view_aad(&request.tenant, &request.edge, &request.binding);
    let sealed = URL_SAFE_NO_PAD
        .decode(&request.sealed_view)
        .map_err(|_| Unanswered::Foreign)?;
    let view = state
        .opener
        .open(APPROVAL_VIEW_INFO, &aad, &sealed)
        .map_err(|_| Unanswered::Foreign)?;
    if view.len() > APPROVAL_VIEW_BYTES_MAX
        || serde_json::from_slice::<serde::de::IgnoredAny>(&view).is_err()
    {
        return Err(Unanswered::Foreign);
    }
    let mut tx = state.store.tenant(&request.tenant).await?;
    approvals::one_at_a_time(&mut tx).await?;
    let answer = |outcome, row: Option<&PgRow>| {
        said(
            &request.tenant,
            &request.edge,
            request.decision_id,
            &request.binding,
            outcome,
            row,
        )
    };
    let mut outgrown: Vec<String> = Vec::new();
    if let Some(row) = approvals::live(&mut tx, &request.binding, now).await? {
        if covers(&row, &request.covers)? {
            return answer(ApprovalOutcome::Waiting, Some(&row));
        }
        outgrown.push(row.try_get("id")?);
    }
    if let Some(row) = approvals::denied(&mut tx, &request, now).await? {
        let denied = ApprovalOutcome::Refused(Reason::ApprovalDenied);
        return answer(denied, Some(&row));
    }
    let twins = approvals::twins(&mut tx, &request, now).await?;
    outgrown.extend(twins.outgrown);
    // The new one takes the place of those that give way.
    let agent = request.agent.as_str();
    let (own, of_all) = approvals::waiting(&mut tx, agent, &outgrown, now).await?;
    let same = twins.staying >= SAME_CALL_MAX;
    if same || own >= APPROVALS_OF_AGENT_MAX as u64 || of_all >= APPROVALS_OF_TENANT_MAX as u64 {
        return answer(ApprovalOutcome::Refused(Reason::ApprovalBacklog), None);
    }
    // Nothing is changed before this: who is refused changes nothing.
    for id in approvals::supersede(&mut tx, &outgrown, &request.binding, now).await? {
        let (edge, action) = (request.edge.as_str(), "approval.supersede");
        crate::audit::record(&mut tx, state, &request.tenant, edge, action, &id).await?;
    }
    expire(&mut tx, state, now).await?;
    let settings = settings(&mut tx, &request.tenant).await?.approvals;
    let id = state.random.uuid_v7(now).map_err(ControlError::from)?;
    let id = format!("apr_{}", id.simple());
    let row = approvals::open(&mut tx, state, &id, &request, &view, settings).await?;
    crate::audit::record(
        &mut tx,
        state,
        &request.tenant,
        request.edge.as_str(),
        "approval.request",
        &id,
    )
    .await?;
    tx.commit().await?;
    answer(ApprovalOutcome::Waiting, Some(&row))
}

/// Uses an approval up for one decision of one edge.
async fn use_up(state: &State, using: ApprovalUse) -> Result<ApprovalAnswer, Unanswered> {
    let now = state.clock.now();
    let mut tx = state.store.tenant(&using.tenant).await?;
    let answer = |outcome, row: Option<&PgRow>| {
        said(
            &using.tenant,
            &using.edge,
            using.decision_id,
            &using.binding,
            outcome,
            row,
        )
    };
    if let Some(reason) = stopped(&mut tx, &using).await? {
        return answer(ApprovalOutcome::Refused(reason), None);
    }
    if let Some(row) = approvals::use_up(&mut tx, &using, now).await? {
        let (edge, id) = (using.edge.as_str(), using.approval.as_str());
        crate::audit::record(&mut tx, state, &using.tenant, edge, "approval.use", id).await?;
        tx.commit().await?;
        return answer(ApprovalOutcome::Granted, Some(&row));
    }
    let Some(row) = approvals::lock(&mut tx, using.approval.as_str()).await? else {
        return answer(ApprovalOutcome::Refused(Reason::ApprovalUnknown), None);
    };
    let reason = match reason(&row, &using, now)? {
        None => return answer(ApprovalOutcome::Granted, Some(&row)),
        Some(reason) => reason,
    };
    // What another call waits for is none of this one's business.
    let shown = Some(&row).filter(|_| reason != Reason::ApprovalMismatch);
    answer(ApprovalOutcome::Refused(reason), shown)
}

/// Takes a use back: the call was refused before anything was sent.
async fn release(state: &State, released: ApprovalRelease) -> Result<ApprovalAnswer, Unanswered> {
    let ApprovalRelease {
        tenant,
        edge,
        decision_id,
        binding,
        approval,
        at: _,
    } = &released;
    let mut tx = state.store.tenant(tenant).await?;
    approvals::one_at_a_time(&mut tx).await?;
    let row = approvals::release(&mut tx, &released, state.clock.now()).await?;
    let outcome = match row {
        Some(_) => ApprovalOutcome::Waiting,
        None => ApprovalOutcome::Refused(Reason::ApprovalUsed),
    };
    if row.is_some() {
        let (edge, id) = (edge.as_str(), approval.as_str());
        crate::audit::record(&mut tx, state, tenant, edge, "approval.release", id).await?;
        tx.commit().await?;
    }
    said(tenant, edge, *decision_id, binding, outcome, row.as_ref())
}

/// Whether an approval is good for all of these reasons.
fn covers(row: &PgRow, reasons: &[String]) -> Result<bool, ControlError> {
    let covered: Vec<String> = row.try_get("covers")?;
    Ok(reasons.iter().all(|reason| covered.contains(reason)))
}

/// Why an approval can't be used; none if it was used for this very decision, and the answer got lost.
fn reason(
    row: &PgRow,
    using: &ApprovalUse,
    now: Timestamp,
) -> Result<Option<Reason>, ControlError> {
    let same = row.try_get::<String, _>("binding")? == using.binding;
    if !same || !covers(row, &using.covers)? {
        return Ok(Some(Reason::ApprovalMismatch));
    }
    let (edge, decision): (Option<String>, Option<String>) =
        (row.try_get("used_edge")?, row.try_get("used_decision_id")?);
    let here = edge.as_deref() == Some(using.edge.as_str())
        && decision == Some(using.decision_id.to_string());
    Ok(match approvals::standing(row, now)? {
        "used" if here => None,
        "used" => Some(Reason::ApprovalUsed),
        "pending" => Some(Reason::ApprovalPending),
        "denied" => Some(Reason::ApprovalDenied),
        "expired" | "superseded" => Some(Reason::ApprovalExpired),
        // Approved, and yet the update did not find it: it has become so since.
        _ => Some(Reason::ApprovalPending),
    })
}

/// What was revoked or stopped a moment ago counts here, even if the edge has not heard of it yet.
async fn stopped(tx: &mut TenantTx, using: &ApprovalUse) -> Result<Option<Reason>, ControlError> {
    let ids: Vec<String> = using.token.iter().map(RevocationId::to_string).collect();
    let revoked: bool = sqlx::query_scalar(
        "select exists (select from control.revocations where tenant = $1 and revocation_id = any($2))",
    )
    .bind(using.tenant.as_str())
    .bind(ids)
    .fetch_one(&mut **tx)
    .await?;
    if revoked {
        return Ok(Some(Reason::TokenRevoked));
    }
    let scope: Option<String> = sqlx::query_scalar(
        "select scope from control.kill_switches
         where (tenant = $1 and (scope = 'tenant' or (scope = 'agent' and object = $2) or (scope = 'tool' and object = $3)))
            or tenant = '_platform' order by scope limit 1",
    )
    .bind(using.tenant.as_str())
    .bind(using.agent.as_str())
    .bind(using.tool.to_string())
    .fetch_optional(&mut **tx)
    .await?;
    Ok(scope.map(|scope| match scope.as_str() {
        "platform" => Reason::KilledPlatform,
        "agent" => Reason::KilledAgent,
        "tool" => Reason::KilledTool,
        _ => Reason::KilledTenant,
    }))
}

fn said(
    tenant: &TenantId,
    edge: &EdgeId,
    decision_id: proctor_model::DecisionId,
    binding: &str,
    outcome: ApprovalOutcome,
    row: Option<&PgRow>,
) -> Result<ApprovalAnswer, Unanswered> {
    let (mut approval, mut expires_at, mut covers) = (None, None, Vec::new());
    if let Some(row) = row {
        let id: String = row.try_get("id")?;
        approval = Some(id.parse().map_err(ControlError::from)?);
        expires_at = Some(timestamp(row.try_get("expires_at")?));
        covers = row.try_get("covers")?;
    }
    Ok(ApprovalAnswer {
        tenant: tenant.clone(),
        edge: edge.clone(),
        decision_id,
        binding: binding.to_owned(),
        outcome,
        approval,
        expires_at,
        covers,
    })
}

async fn expire(tx: &mut TenantTx, state: &State, now: Timestamp) -> Result<(), ControlError> {
    let tenant = tx.tenant().clone();
    loop {
        let expired = approvals::expire(tx, now, SWEPT_MAX).await?;
        if expired.is_empty() {
            return Ok(());
        }
        for id in expired {
            crate::audit::record(tx, state, &tenant, "control", "approval.expire", &id).await?;
        }
    }
}

/// Notes what has expired, and forgets what is long over, until `shutdown`.
async fn sweep(state: Arc<State>, shutdown: CancellationToken) {
    let mut tick = tokio::time::interval(SWEEP);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looks: u64 = 0;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = tick.tick() => {}
        }
        let purging = looks.is_multiple_of(PURGE_EVERY);
        looks = looks.wrapping_add(1);
        let swept = match sweep_once(&state).await {
            Ok(()) if purging => purge(&state).await,
            swept => swept,
        };
        if let Err(error) = swept {
            tracing::warn!(%error, cause = ?error.source(), "expired approvals could not be noted; trying again");
        }
    }
}

async fn sweep_once(state: &State) -> Result<(), ControlError> {
    let now = state.clock.now();
    let mut tx = state.store.platform().await?;
    let tenants: Vec<String> = sqlx::query_scalar(
        "select distinct tenant from control.approvals where state in ('pending', 'approved') and expires_at <= $1",
    )
    .bind(crate::store::tenants::database_time(now))
    .fetch_all(&mut *tx)
    .await?;
    drop(tx);
    for tenant in tenants {
        let mut tx = state.store.tenant(&tenant.parse()?).await?;
        expire(&mut tx, state, now).await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn purge(state: &State) -> Result<(), ControlError> {
    let before = state.clock.now().plus_secs(-KEPT_S);
    let before = crate::store::tenants::database_time(before);
    let mut tx = state.store.platform().await?;
    for query in [
        "delete from control.approvals where ended_at < $1",
        "delete from control.minted_tokens where expires_at < $1",
    ] {
        sqlx::query(query).bind(before).execute(&mut *tx).await?;
    }
    tx.commit().await
}

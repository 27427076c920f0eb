//! `/v1/tenants/{tenant}/audit`: search, follow, head, verify.

mod follow;

use crate::Api;
use crate::auth::Principal;
use crate::body::{Params, Path};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use proctor_proto::v1;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::convert::Infallible;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// An entry of the chain.
#[derive(Serialize, ToSchema)]
pub(crate) struct Entry {
    /// Its number, from 1
    seq: u64,
    /// SHA-256(0x00 ‖ canonical JSON of `event`), hex
    hash: String,
    /// The event, `seq` and `prev` included (`docs/contracts.md`, section 7)
    #[schema(value_type = Object)]
    event: Value,
}

impl Entry {
    pub(super) fn read(entry: &v1::Entry) -> Result<Self, Problem> {
        let event = crate::body::document(&entry.body)?;
        Ok(Self {
            seq: entry.seq,
            hash: hex::encode(&entry.hash),
            event,
        })
    }
}

/// A page of entries, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Entries {
    entries: Vec<Entry>,
    /// `before_seq` of the next page
    #[serde(skip_serializing_if = "Option::is_none")]
    next_before_seq: Option<u64>,
}

/// Which entries.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
#[derive(Default)]
pub(crate) struct Search {
    /// Entries before this number
    before_seq: u64,
    /// At most so many, 1 to 1,000
    limit: u32,
    agent: String,
    /// `server/tool`
    tool: String,
    /// `authorized`, `refused`, `completed`, …
    kind: String,
    /// `allow`, `deny` or `escalate`
    effect: String,
    control: String,
    reason: String,
    decision_id: String,
    user: String,
    session: String,
    /// From this time on (RFC 3339)
    from: String,
    /// Before this time (RFC 3339)
    to: String,
}

/// Where to begin.
#[derive(Deserialize, IntoParams, Default)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Follow {
    /// Entries after this number; `Last-Event-ID` wins
    after: u64,
}

/// The end of the chain.
#[derive(Serialize, ToSchema)]
pub(crate) struct Head {
    /// Number of entries
    size: u64,
    /// Hash of the last entry, hex
    hash: String,
}

/// Something that is wrong with a chain.
#[derive(Serialize, ToSchema)]
pub(crate) struct Finding {
    /// At which entry
    seq: u64,
    kind: String,
    message: String,
}

/// What a walk over the whole chain came to.
#[derive(Serialize, ToSchema)]
pub(crate) struct Report {
    /// Number of entries
    entries: u64,
    /// Hash of the head, hex
    head_hash: String,
    /// Nothing: the chain is sound
    findings: Vec<Finding>,
    /// Authorized calls without an outcome (yet)
    open_calls: u64,
    /// Faults of edges' lanes (gaps, forks) that the ledger wrote into the chain, and memory records that no certified edge signed
    alarms: Vec<Finding>,
    /// Size of the newest checkpoint
    sealed: u64,
    /// So many entries at the beginning are in archives, and were not looked at here
    archived: u64,
}

/// Search the chain, newest first
#[utoipa::path(get, path = "/v1/tenants/{tenant}/audit/events", tag = "audit", operation_id = "searchAudit",
    params(Search), responses((status = 200, description = "A page", body = Entries)))]
pub(crate) async fn search(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Params(search): Params<Search>,
) -> Result<Json<Entries>, Problem> {
    let request = v1::SearchRequest {
        tenant,
        before_seq: search.before_seq,
        limit: search.limit,
        agent: search.agent,
        tool: search.tool,
        kind: search.kind,
        effect: search.effect,
        control: search.control,
        reason: search.reason,
        decision_id: search.decision_id,
        user: search.user,
        session: search.session,
        from: search.from,
        to: search.to,
    };
    let found = api.ledger(&principal)?.search(request).await?.into_inner();
    let entries = found
        .entries
        .iter()
        .map(Entry::read)
        .collect::<Result<_, _>>()?;
    Ok(Json(Entries {
        entries,
        next_before_seq: Some(found.next_before_seq).filter(|seq| *seq > 0),
    }))
}

/// Follow the chain as server-sent events
///
/// Each event's id is the entry's number; a client that comes back with `Last-Event-ID` misses nothing. At most 16 follow one
/// chain at once. The stream ends soon after its API key is deleted.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/audit/events/stream", tag = "audit", operation_id = "followAudit",
    params(Follow), responses((status = 200, description = "Entries as they come", content_type = "text/event-stream", body = String)))]
pub(crate) async fn stream(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Params(follow): Params<Follow>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let last = match headers.get("last-event-id") {
        None => follow.after,
        Some(id) => {
            let id = id.to_str().ok().and_then(|id| id.parse().ok());
            id.ok_or_else(|| Problem::bad_request("Last-Event-ID: the number of an entry"))?
        }
    };
    let request = v1::TailRequest {
        tenant,
        after_seq: last,
    };
    let events = follow::start(api, principal, request).await?;
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// The end of the chain
#[utoipa::path(get, path = "/v1/tenants/{tenant}/audit/head", tag = "audit", operation_id = "getAuditHead",
    responses((status = 200, description = "Size and hash", body = Head)))]
pub(crate) async fn head(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
) -> Result<Json<Head>, Problem> {
    let head = api
        .ledger(&principal)?
        .head(v1::HeadRequest { tenant })
        .await?
        .into_inner();
    Ok(Json(Head {
        size: head.size,
        hash: hex::encode(head.hash),
    }))
}

/// Verify the whole chain: hashes, links, numbers, lanes
#[utoipa::path(get, path = "/v1/tenants/{tenant}/audit/verify", tag = "audit", operation_id = "verifyAudit",
    responses((status = 200, description = "What was found", body = Report)))]
pub(crate) async fn verify(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
) -> Result<Json<Report>, Problem> {
    let request = v1::VerifyRequest {
        tenant,
        from_seq: 0,
        to_seq: 0,
    };
    let report = api.ledger(&principal)?.verify(request).await?.into_inner();
    let finding = |finding: v1::Finding| Finding {
        seq: finding.seq,
        kind: finding.kind,
        message: finding.message,
    };
    Ok(Json(Report {
        entries: report.entries,
        head_hash: hex::encode(report.head_hash),
        findings: report.findings.into_iter().map(finding).collect(),
        open_calls: report.open_calls,
        alarms: report.alarms.into_iter().map(finding).collect(),
        sealed: report.sealed,
        archived: report.archived,
    }))
}

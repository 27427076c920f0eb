//! `/v1/tenants/{tenant}/audit`: proofs, checkpoints, tiles, export (`docs/audit-format.md`).

use super::audit::Entry;
use crate::Api;
use crate::auth::Principal;
use crate::body::{Params, Path};
use crate::problem::Problem;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use proctor_proto::v1;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// A signed tree head.
#[derive(Serialize, ToSchema)]
pub(crate) struct Checkpoint {
    /// Number of entries
    size: u64,
    /// Root of the tree over them, hex
    root: String,
    /// The time that was signed with it, in seconds since 1970
    time_s: u64,
    /// The signed note (C2SP tlog-checkpoint), cosignatures included
    note: String,
}

impl Checkpoint {
    fn read(checkpoint: v1::Checkpoint) -> Self {
        let v1::Checkpoint {
            size,
            root,
            time_s,
            note,
        } = checkpoint;
        Self {
            size,
            root: hex::encode(root),
            time_s,
            note,
        }
    }
}

/// An entry with the proof that it is in the log.
#[derive(Serialize, ToSchema)]
pub(crate) struct Proved {
    #[serde(flatten)]
    entry: Entry,
    /// The entry's exact bytes, base64: what was hashed
    body: String,
    /// Its number as a leaf of the tree, from 0
    leaf_index: u64,
    /// The newest checkpoint; absent: the entry is not sealed yet
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Checkpoint>,
    /// Inclusion proof (RFC 6962, section 2.1.1), hex
    proof: Vec<String>,
}

/// A page of checkpoints, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Checkpoints {
    checkpoints: Vec<Checkpoint>,
    /// `before_size` of the next page
    #[serde(skip_serializing_if = "Option::is_none")]
    next_before_size: Option<u64>,
}

/// Which checkpoints.
#[derive(Deserialize, IntoParams, Default)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Before {
    /// Checkpoints smaller than this
    before_size: u64,
    /// At most so many, 1 to 1,000
    limit: u32,
}

/// Between which checkpoints.
#[derive(Deserialize, IntoParams, Default)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Between {
    /// Size of the older one
    old_size: u64,
    /// Size of the newer one; 0: the newest
    new_size: u64,
}

/// That one tree is the beginning of another.
#[derive(Serialize, ToSchema)]
pub(crate) struct Consistency {
    /// Size of the older tree
    old_size: u64,
    /// Size of the newer tree
    new_size: u64,
    /// Consistency proof (RFC 6962, section 2.1.2), hex
    proof: Vec<String>,
}

/// The keys of a log.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogKeys {
    /// Verifier keys of signed notes (`NAME+ID+BASE64`), the first one first
    keys: Vec<String>,
}

/// Which entries.
#[derive(Deserialize, IntoParams, Default)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Stretch {
    /// From this time on (RFC 3339)
    from: String,
    /// Before this time (RFC 3339)
    to: String,
}

fn hex_all(hashes: &[Vec<u8>]) -> Vec<String> {
    hashes.iter().map(hex::encode).collect()
}

/// One entry, with the proof that it is in the log
#[utoipa::path(get, path = "/v1/tenants/{tenant}/audit/events/{seq}", tag = "audit", operation_id = "getAuditEntry",
    responses((status = 200, description = "The entry and its proof", body = Proved)))]
pub(crate) async fn entry(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, seq)): Path<(String, u64)>,
) -> Result<Json<Proved>, Problem> {
    use base64::Engine;
    let request = v1::EntryRequest { tenant, seq };
    let found = api.ledger(&principal)?.entry(request).await?.into_inner();
    let entry = found.entry.ok_or_else(Problem::internal)?;
    Ok(Json(Proved {
        body: base64::engine::general_purpose::STANDARD.encode(&entry.body),
        leaf_index: entry.seq.saturating_sub(1),
        entry: Entry::read(&entry)?,
        checkpoint: found.checkpoint.map(Checkpoint::read),
        proof: hex_all(&found.proof),
    }))
}

/// The log's checkpoints, newest first
#[utoipa::path(get, path = "/v1/tenants/{tenant}/audit/checkpoints", tag = "audit", operation_id = "listAuditCheckpoints",
    params(Before), responses((status = 200, description = "A page", body = Checkpoints)))]
pub(crate) async fn checkpoints(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Params(before): Params<Before>,
) -> Result<Json<Checkpoints>, Problem> {
    let request = v1::CheckpointsRequest {
        tenant,
        before_size: before.before_size,
        limit: before.limit,
    };
    let page = api
        .ledger(&principal)?
        .checkpoints(request)
        .await?
        .into_inner();
    Ok(Json(Checkpoints {
        checkpoints: page.checkpoints.into_iter().map(Checkpoint::read).collect(),
        next_before_size: Some(page.next_before_size).filter(|size| *size > 0),
    }))
}

/// The proof that the log at one size is the beginning of the log at another
#[utoipa::path(get, path = "/v1/tenants/{tenant}/audit/consistency", tag = "audit", operation_id = "getAuditConsistency",
    params(Between), responses((status = 200, description = "The proof", body = Consistency)))]
pub(crate) async fn consistency(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Params(between): Params<Between>,
) -> Result<Json<Consistency>, Problem> {
    let request = v1::ConsistencyRequest {
        tenant,
        old_size: between.old_size,
        new_size: between.new_size,
    };
    let found = api
        .ledger(&principal)?
        .consistency(request)
        .await?
        .into_inner();
    Ok(Json(Consistency {
        old_size: between.old_size,
        new_size: found.new_size,
        proof: hex_all(&found.proof),
    }))
}

/// The keys that ever signed the log's checkpoints
///
/// Compare them with what you know from elsewhere: whoever could forge the log could forge this answer.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/audit/keys", tag = "audit", operation_id = "listAuditKeys",
    responses((status = 200, description = "The keys", body = LogKeys)))]
pub(crate) async fn keys(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
) -> Result<Json<LogKeys>, Problem> {
    let request = v1::LogKeysRequest { tenant };
    let found = api.ledger(&principal)?.log_keys(request).await?;
    Ok(Json(LogKeys {
        keys: found.into_inner().keys,
    }))
}

/// A bundle of the sealed entries of some time, to be verified offline
///
/// `proctor audit verify` checks it, and so does `docs/verify_audit.py`.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/audit/export", tag = "audit", operation_id = "exportAudit",
    params(Stretch), responses((status = 200, description = "The bundle", content_type = "application/x-ndjson", body = String)))]
pub(crate) async fn export(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Params(stretch): Params<Stretch>,
) -> Result<Response, Problem> {
    let request = v1::ExportRequest {
        tenant,
        from: stretch.from,
        to: stretch.to,
    };
    let chunks = api.ledger(&principal)?.export(request).await?.into_inner();
    // What breaks off in the middle is a broken body, and a bundle that says itself how long it has to be.
    let body = Body::from_stream(chunks.map(|chunk| chunk.map(|chunk| chunk.data)));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// The newest checkpoint as a signed note (C2SP tlog-tiles: `checkpoint`)
#[utoipa::path(get, path = "/v1/tenants/{tenant}/audit/log/checkpoint", tag = "audit", operation_id = "getAuditCheckpoint",
    responses((status = 200, description = "The note", content_type = "text/plain", body = String)))]
pub(crate) async fn checkpoint(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
) -> Result<Response, Problem> {
    let request = v1::CheckpointsRequest {
        tenant,
        before_size: 0,
        limit: 1,
    };
    let page = api.ledger(&principal)?.checkpoints(request).await?;
    let newest = page.into_inner().checkpoints.into_iter().next();
    let newest = newest.ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "nothing of this chain is sealed yet: try again in some seconds",
        )
    })?;
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((kind, newest.note).into_response())
}

/// A tile of the tree (C2SP tlog-tiles): `<L>/<N>[.p/<W>]`, or `entries/<N>[.p/<W>]`
#[utoipa::path(get, path = "/v1/tenants/{tenant}/audit/log/tile/{*path}", tag = "audit", operation_id = "getAuditTile",
    responses((status = 200, description = "Its bytes", content_type = "application/octet-stream", body = Vec<u8>)))]
pub(crate) async fn tile(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, path)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let request = v1::TileRequest { tenant, path };
    let tile = api.ledger(&principal)?.tile(request).await?.into_inner();
    // A tile of a given width never changes; whom it may be shown to does.
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CACHE_CONTROL, "private, immutable, max-age=604800"),
    ];
    Ok((headers, tile.data).into_response())
}

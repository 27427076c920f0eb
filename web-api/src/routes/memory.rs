//! `/v1/tenants/{tenant}/memory`: items, where they come from, and how they are named.

use crate::Api;
use crate::auth::Principal;
use crate::body::{Body, Params, Path, bytes, document};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use proctor_proto::v1;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Which items.
#[derive(Deserialize, IntoParams, Default)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Listing {
    /// A tool server's id, or `memory/<name>`; empty: any
    store: String,
    /// `next` of the page before
    after: String,
    /// At most so many, 1 to 1,000
    limit: u32,
}

/// A memory item.
#[derive(Serialize, ToSchema)]
pub(crate) struct MemoryItem {
    /// Keyed digest that names it, hex
    item: String,
    store: String,
    kind: String,
    /// Number of its last record
    version: u64,
    /// When that was made
    updated_at: String,
}

/// A page of items, latest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct MemoryItems {
    items: Vec<MemoryItem>,
    /// `after` of the next page
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Where an item comes from: every record verifies by itself with the platform's public key.
#[derive(Serialize, ToSchema)]
pub(crate) struct Lineage {
    item: String,
    /// Number of its last record
    version: u64,
    /// Hash of its last record, hex
    head: String,
    /// Its signed records, and those of other items that they come from, oldest first (`docs/memory.md`)
    #[schema(value_type = Vec<Object>)]
    records: Vec<Value>,
    /// Certificates of the edges that signed them (`proctor.edge-cert+jws`)
    certificates: Vec<String>,
}

/// What an item is called in its store.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ItemName {
    /// A tool server's id, or `memory/<name>`
    store: String,
    /// What kind of item it is, in the catalogue's words; `item` in stores that are not proxied
    kind: String,
    /// The parts of its key: texts and numbers
    #[schema(value_type = Vec<Object>)]
    key: Vec<Value>,
}

/// The keyed digest that names it.
#[derive(Serialize, ToSchema)]
pub(crate) struct NamedItem {
    item: String,
}

/// List memory items, latest first
#[utoipa::path(get, path = "/v1/tenants/{tenant}/memory/items", tag = "memory", operation_id = "listMemory",
    params(Listing), responses((status = 200, description = "A page", body = MemoryItems)))]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Params(listing): Params<Listing>,
) -> Result<Json<MemoryItems>, Problem> {
    let request = v1::ListMemoryRequest {
        tenant,
        store: listing.store,
        after: listing.after,
        limit: listing.limit,
    };
    let found = api.ledger(&principal)?.list_memory(request).await?;
    let found = found.into_inner();
    let item = |item: v1::MemoryItem| MemoryItem {
        item: item.item,
        store: item.store,
        kind: item.kind,
        version: item.version,
        updated_at: item.time,
    };
    Ok(Json(MemoryItems {
        items: found.items.into_iter().map(item).collect(),
        next: Some(found.next).filter(|next| !next.is_empty()),
    }))
}

/// Where a memory item comes from
#[utoipa::path(get, path = "/v1/tenants/{tenant}/memory/items/{item}/lineage", tag = "memory", operation_id = "getMemoryLineage",
    responses((status = 200, description = "Its records", body = Lineage)))]
pub(crate) async fn lineage(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, item)): Path<(String, String)>,
) -> Result<Json<Lineage>, Problem> {
    let request = v1::MemoryLineageRequest {
        tenant,
        item: item.clone(),
    };
    let told = api.ledger(&principal)?.memory_lineage(request).await?;
    let told = told.into_inner();
    let records = told.records.iter().map(|record| document(record));
    Ok(Json(Lineage {
        item,
        version: told.version,
        head: told.head,
        records: records.collect::<Result<_, _>>()?,
        certificates: told.certificates,
    }))
}

/// The digest that names an item with this key
#[utoipa::path(post, path = "/v1/tenants/{tenant}/memory/name", tag = "memory", operation_id = "nameMemoryItem",
    request_body = ItemName, responses((status = 200, description = "Its name", body = NamedItem)))]
pub(crate) async fn name(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Body(name): Body<ItemName>,
) -> Result<Json<NamedItem>, Problem> {
    let request = v1::NameMemoryItemRequest {
        tenant,
        store: name.store,
        kind: name.kind,
        key: bytes(&Value::Array(name.key))?,
    };
    let named = api.control(&principal)?.name_memory_item(request).await?;
    Ok(Json(NamedItem {
        item: named.into_inner().item,
    }))
}

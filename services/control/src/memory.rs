//! Naming memory items: only who holds the tenant's digest key can say which item a key means.

use crate::State;
use crate::caller::Caller;
use crate::error::ControlError;
use proctor_engine::memory::MemoryKey;
use proctor_model::StoreId;
use proctor_model::principal::Right;
use proctor_proto::v1;
use serde_json::Value;
use tonic::Status;

/// Most parts of a key.
const PARTS_MAX: usize = 16;

pub(crate) async fn name(
    state: &State,
    caller: &Caller,
    request: v1::NameMemoryItemRequest,
) -> Result<v1::NameMemoryItemResponse, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::ReadAudit)?;
    let store: StoreId = request
        .store
        .parse()
        .map_err(|_| Status::invalid_argument("store: a tool server's id, or memory/<name>"))?;
    let key: Vec<Value> = serde_json::from_slice(&request.key)
        .ok()
        .filter(|key: &Vec<Value>| (1..=PARTS_MAX).contains(&key.len()))
        .filter(|key| key.iter().all(|part| part.is_string() || part.is_number()))
        .ok_or_else(|| Status::invalid_argument("key: its parts, each a text or a number"))?;
    let mut tx = state.store.tenant(&tenant).await?;
    let keys = crate::keys::load(&mut tx, state, &tenant, state.clock.now()).await?;
    let keys = keys.ok_or_else(crate::caller::no_such_tenant)?;
    let item = MemoryKey::new(&keys.digest_key).item(&store, &request.kind, &key);
    let item = item.ok_or_else(|| Status::invalid_argument("key: it has no canonical form"))?;
    Ok(v1::NameMemoryItemResponse {
        item: item.to_string(),
    })
}

//! Memory tools of stores that are not proxied: the edge answers them by itself.

use super::dialogue::Exchange;
use super::{Caller, Gateway};
use proctor_engine::memory::{DIRECT_KIND, Direct, MemoryKey};
use proctor_engine::{Answer, Channel, Tool};
use proctor_model::Reason;
use proctor_model::memory::SignedRecord;
use serde_json::{Map, Value, json};

impl Gateway {
    /// The answer to a permitted call of such a tool; `None` for all others.
    pub(super) async fn answer_directly(
        &self,
        exchange: &Exchange<'_>,
    ) -> Option<Result<Answer, Reason>> {
        let Exchange {
            recorded,
            caller,
            loaded,
            ..
        } = exchange;
        let tool = loaded.tenant.catalogue().get(recorded.permit().tool())?;
        let arguments = recorded.permit().arguments();
        let structured = match tool.direct()? {
            Direct::Write => written(recorded.memory()),
            Direct::Verify => shown(caller, arguments),
            Direct::Lineage => self.lineage(caller, tool, arguments).await,
        };
        Some(structured.map(|structured| {
            let bytes = u64::try_from(structured.to_string().len()).unwrap_or(u64::MAX);
            let body = json!({ "content": [], "structuredContent": structured });
            Answer {
                channel: Channel::Result,
                body: match body {
                    Value::Object(body) => body,
                    _ => Map::new(),
                },
                bytes,
            }
        }))
    }

    async fn lineage(
        &self,
        caller: &Caller,
        tool: &Tool,
        arguments: &Map<String, Value>,
    ) -> Result<Value, Reason> {
        let keys = caller.tenant.keys().ok_or(Reason::NotReady)?;
        let key = arguments
            .get("key")
            .cloned()
            .ok_or(Reason::InvalidArguments)?;
        let item = MemoryKey::new(&keys.digest_key)
            .item(&tool.store(), DIRECT_KIND, &[key])
            .ok_or(Reason::Internal)?;
        let answer = self.memory.lineage(&caller.tenant.id, item).await?;
        let state = answer.items.into_iter().next();
        let state = state.ok_or(Reason::MemoryUnavailable)?;
        Ok(json!({
            "item": state.item,
            "version": state.version,
            "head": state.head,
            "records": state.records,
            "certificates": answer.certificates,
        }))
    }
}

fn written(records: &[SignedRecord]) -> Result<Value, Reason> {
    let receipt = |signed: &SignedRecord| {
        let hash = signed.record.hash().map_err(|_| Reason::Internal)?;
        Ok(
            json!({ "item": signed.record.item, "version": signed.record.version, "hash": hash, "signed": signed }),
        )
    };
    let records = records
        .iter()
        .map(receipt)
        .collect::<Result<Vec<_>, Reason>>()?;
    Ok(json!({ "records": records }))
}

/// What the caller has read, to be judged as if a store had shown it. An item may carry its record: another tenant's
/// gives it away.
fn shown(caller: &Caller, arguments: &Map<String, Value>) -> Result<Value, Reason> {
    let items = arguments.get("items").and_then(Value::as_array);
    let items = items.ok_or(Reason::InvalidArguments)?;
    let mut shown = Vec::with_capacity(items.len());
    for item in items {
        let carried = item
            .pointer("/record/record/tenant")
            .and_then(Value::as_str);
        if carried.is_some_and(|tenant| tenant != caller.tenant.id.as_str()) {
            return Err(Reason::MemoryForeign);
        }
        shown.push(json!({ "key": item.get("key"), "content": item.get("content") }));
    }
    Ok(json!({ "items": shown }))
}

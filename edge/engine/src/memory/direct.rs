//! The tools of stores that are not proxied: the edge itself answers them, and keeps no content.

use proctor_model::catalogue::CatalogueEntry;
use proctor_model::{ServerId, StoreId};
use serde_json::{Value, json};

/// Most items in one call.
const ITEMS_MAX: usize = 64;

/// What a tool of such a store does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direct {
    /// Signs what the caller is about to store.
    Write,
    /// Says how what the caller has read stands.
    Verify,
    /// Says where an item comes from.
    Lineage,
}

impl Direct {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Write, Self::Verify, Self::Lineage];

    /// The word behind the store's name in the tool's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Verify => "verify",
            Self::Lineage => "lineage",
        }
    }
}

/// The store of this name.
pub(crate) fn store(name: &ServerId) -> Option<StoreId> {
    format!("{}{name}", StoreId::DIRECT).parse().ok()
}

/// What an item is named by: text without control characters, which stores and terminals
/// read in ways of their own.
fn key() -> Value {
    json!({ "type": "string", "minLength": 1, "pattern": r"^[^\x00-\x1f\x7f]+$" })
}

/// The catalogue's entry of one tool of a store.
pub(crate) fn entry(store: &ServerId, direct: Direct) -> Option<CatalogueEntry> {
    let items = json!([{
        "kind": super::DIRECT_KIND, "at": "/items/*", "key": ["/key"],
        "facts": { (super::DIRECT_FIELD): "/content" },
    }]);
    let item = json!({ "type": "object", "required": ["key", "content"], "additionalProperties": false,
        "properties": { "key": key(), "content": {}, "record": { "type": "object" } } });
    let list = json!({ "type": "array", "minItems": 1, "maxItems": ITEMS_MAX, "items": item });
    let (says, properties, labels) = match direct {
        Direct::Write => (
            "Signs items before they are stored",
            json!({ "items": list }),
            json!({ "verb": "write", "memory": "write", "memory_items": items, "consequential": [] }),
        ),
        Direct::Verify => (
            "Says how items that were read stand",
            json!({ "items": list }),
            // What is asked about goes nowhere.
            json!({ "verb": "read", "memory": "read", "memory_items": items, "roles": { "/items": "selector" } }),
        ),
        Direct::Lineage => (
            "Says where an item comes from",
            json!({ "key": key() }),
            // The names of sessions and delegates in it are the writer's own words.
            json!({ "verb": "read", "output": "untrusted", "roles": { "/key": "selector" } }),
        ),
    };
    let required: Vec<&String> = properties.as_object()?.keys().collect();
    let schema = json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties });
    let name = format!("{store}/{}", direct.as_str());
    let mut entry = labels;
    let members = entry.as_object_mut()?;
    members.insert(
        "definition".into(),
        json!({ "name": name, "description": says, "input_schema": schema }),
    );
    let mut entry: CatalogueEntry = serde_json::from_value(Value::Object(members.clone())).ok()?;
    entry.definition_digest = Some(entry.definition.digest());
    Some(entry)
}

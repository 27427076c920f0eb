//! Memory provenance (`docs/memory.md`): what a call is about to write to memory, and how what it reads stands
//! against what was signed.
//!
//! Nothing is looked up here. The gateway asks how the items of an answer stand ([`Found::questions`]) and hands in what
//! it learned ([`MemoryView`]); an item that is missing there is one that nobody signed.
//!
//! Trust never grows: a fact is `verified` only if every value of it was proved when it was written, and what was read from
//! memory proves no more than its record says.
//!
//! Reading order: `locate` (where the items are), `write`, `read`, `direct` (stores that are not proxied).

mod direct;
mod locate;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use direct::Direct;
pub(crate) use direct::{entry as direct_entry, store as direct_store};
pub(crate) use locate::Locators;
pub(crate) use read::META;
pub use read::{Examined, FactView, Found, ItemView, MemoryView, Standing, examine, find, hush};
pub(crate) use write::repeats;
pub(crate) use write::write;
pub use write::{Draft, Writing};

use proctor_model::StoreId;
use proctor_model::memory::{FactDigest, ItemId};
use serde_json::{Value, json};

/// The key under which a tenant's items and facts are named: the same on all of its edges.
#[derive(Clone)]
pub struct MemoryKey([u8; 32]);

impl MemoryKey {
    /// From the tenant's digest key.
    #[must_use]
    pub fn new(digest_key: &[u8; 32]) -> Self {
        Self(crate::token::keyed_digest(digest_key, b"proctor memory"))
    }

    /// The item of a store with this kind and key. `None` if it can't be written as JSON (it always can).
    #[must_use]
    pub fn item(&self, store: &StoreId, kind: &str, key: &[Value]) -> Option<ItemId> {
        let named = json!(["proctor-memory-item-v1", store, kind, key]);
        self.digest(&named).map(ItemId::from_bytes)
    }

    /// The fact of an item with this field and value. As [`item`](Self::item).
    #[must_use]
    pub fn fact(&self, item: &ItemId, field: &str, value: &Value) -> Option<FactDigest> {
        let named = json!(["proctor-memory-fact-v1", item, field, value]);
        self.digest(&named).map(FactDigest::from_bytes)
    }

    fn digest(&self, value: &Value) -> Option<[u8; 32]> {
        let bytes = serde_json_canonicalizer::to_vec(value).ok()?;
        Some(crate::token::keyed_digest(&self.0, &bytes))
    }
}

/// The kind, and the fact's field, of items of a store that is not proxied.
pub const DIRECT_KIND: &str = "item";
/// See [`DIRECT_KIND`].
pub const DIRECT_FIELD: &str = "content";

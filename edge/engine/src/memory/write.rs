//! What a call is about to write: one draft of a record per item, with where its facts came from.

use super::MemoryKey;
use super::locate::{LocatedItem, locate};
use crate::catalogue::Tool;
use crate::provenance::{Passage, Tracker, Written, written};
use proctor_model::catalogue::{MemoryChange, MemoryTrust, MemoryUse};
use proctor_model::limits::{MEMORY_FACTS_MAX, MEMORY_ITEMS_MAX};
use proctor_model::memory::{Fact, ItemId, Proved, RecordHash};
use proctor_model::{Reason, StoreId};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Most origins that a fact names.
const ORIGINS_MAX: usize = 8;

/// Longest name of a member that is taken for a label.
const LABEL_BYTES_MAX: usize = 32;

/// A record to be: the edge adds version, predecessor, time and signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// The store.
    pub store: StoreId,
    /// What kind of item.
    pub kind: String,
    /// The item.
    pub item: ItemId,
    /// What the write does to the facts that were there.
    pub change: MemoryChange,
    /// The facts.
    pub facts: Vec<Fact>,
}

/// What a permitted call writes to memory: each of these has to be signed and durable before the call is forwarded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Writing {
    /// One for each item.
    pub drafts: Vec<Draft>,
    /// Records that the session had read before.
    pub parents: Vec<RecordHash>,
    /// Whether the session had read anything untrusted before (or may have).
    pub exposed: bool,
}

impl Writing {
    /// The least trust of its facts.
    #[must_use]
    pub fn trust(&self) -> Option<MemoryTrust> {
        let facts = self.drafts.iter().flat_map(|draft| &draft.facts);
        facts.map(|fact| fact.trust).min()
    }

    /// Number of its facts with this trust.
    #[must_use]
    pub fn count(&self, trust: MemoryTrust) -> usize {
        let facts = self.drafts.iter().flat_map(|draft| &draft.facts);
        facts.filter(|fact| fact.trust == trust).count()
    }
}

/// What a call writes; `None` for tools that don't write memory.
pub(crate) fn write(
    tool: &Tool,
    arguments: &Value,
    goal: Option<&Passage>,
    session: &Tracker,
    digest_key: &[u8; 32],
) -> Result<Option<Writing>, Reason> {
    if tool.entry().memory != Some(MemoryUse::Write) {
        return Ok(None);
    }
    let members = arguments.as_object().ok_or(Reason::MemoryUnlocated)?;
    let locators = &tool.memory.arguments;
    if locators.is_empty() {
        return Err(Reason::MemoryUnlocated);
    }
    let key = MemoryKey::new(digest_key);
    let store = tool.store();
    let mut drafts: Vec<Draft> = Vec::new();
    let mut facts = 0_usize;
    let located = locate(locators, arguments, members);
    if located.is_empty() && !nothing(locators, arguments) {
        return Err(Reason::MemoryUnlocated);
    }
    for item in located {
        let draft = draft(&key, &store, &item, goal, session)?;
        facts = facts.saturating_add(draft.facts.len());
        let same = |other: &&mut Draft| other.item == draft.item && other.change == draft.change;
        match drafts.iter_mut().find(same) {
            Some(known) => known.facts.extend(draft.facts),
            // Adding or taking away nothing changes nothing.
            None if draft.facts.is_empty()
                && matches!(draft.change, MemoryChange::Add | MemoryChange::Remove) => {}
            None => drafts.push(draft),
        }
        if drafts.len() > MEMORY_ITEMS_MAX || facts > MEMORY_FACTS_MAX {
            return Err(Reason::MemoryTooMany);
        }
    }
    Ok(Some(Writing {
        drafts,
        parents: session.memory_read(),
        exposed: session.is_exposed(),
    }))
}

/// Whether the lists that hold the items are all there and empty: nothing is written, and nothing has to be found.
fn nothing(locators: &[proctor_model::catalogue::MemoryItems], arguments: &Value) -> bool {
    locators.iter().all(|locator| {
        let list = locator.at.strip_suffix("/*");
        let list = list.and_then(|pointer| arguments.pointer(pointer));
        list.and_then(Value::as_array).is_some_and(Vec::is_empty)
    })
}

fn draft(
    key: &MemoryKey,
    store: &StoreId,
    located: &LocatedItem,
    goal: Option<&Passage>,
    session: &Tracker,
) -> Result<Draft, Reason> {
    let item = key
        .item(store, &located.kind, &located.key)
        .ok_or(Reason::MemoryUnlocated)?;
    let mut facts = Vec::with_capacity(located.facts.len());
    for found in &located.facts {
        let digest = key
            .fact(&item, &found.field, &found.value)
            .ok_or(Reason::MemoryUnlocated)?;
        let mut sum = Written::default();
        let values = sum_up(&found.value, goal, session, &mut sum);
        if values == 0 {
            // All that it says is in its key: "Mallory, owns, the bank".
            for part in &located.key {
                sum_up(part, goal, session, &mut sum);
            }
        }
        sum.origins.sort_unstable();
        sum.origins.dedup();
        sum.origins.truncate(ORIGINS_MAX);
        facts.push(Fact {
            digest,
            origins: sum.origins,
            trust: sum.trust,
            proved: Some(sum.proved).filter(|_| sum.trust == MemoryTrust::Verified),
        });
    }
    Ok(Draft {
        store: store.clone(),
        kind: located.kind.clone(),
        item,
        change: located.change,
        facts,
    })
}

/// A fact is worth what the least of its values is. Gives how many there are.
fn sum_up(value: &Value, goal: Option<&Passage>, session: &Tracker, sum: &mut Written) -> usize {
    match value {
        Value::Null => 0,
        Value::Bool(_) => {
            // Nothing to compare with, but a statement all the same: the agent's own.
            sum.proved = Proved::Value;
            sum.trust = sum.trust.min(match session.is_exposed() {
                true => MemoryTrust::Untrusted,
                false => MemoryTrust::Agent,
            });
            1
        }
        Value::String(_) | Value::Number(_) => {
            let one = written(value, goal, session);
            sum.trust = sum.trust.min(one.trust);
            if one.proved == Proved::Value {
                sum.proved = Proved::Value;
            }
            sum.origins.extend(one.origins);
            1
        }
        Value::Array(elements) => {
            let each = elements.iter().map(|e| sum_up(e, goal, session, sum));
            each.fold(0, usize::saturating_add)
        }
        Value::Object(members) => {
            let each = members.iter().map(|(name, member)| {
                // Whoever reads the fact reads its names as well: a label is the agent's own, whatever the value behind
                // it; anything else is content.
                let named = Value::String(name.clone());
                let named = match is_label(name) {
                    true if written(&named, goal, session).trust == MemoryTrust::Verified => 0,
                    true => {
                        sum.proved = Proved::Value;
                        0
                    }
                    false => sum_up(&named, goal, session, sum),
                };
                named.saturating_add(sum_up(member, goal, session, sum))
            });
            each.fold(0, usize::saturating_add)
        }
    }
}

/// Whether a member's name is no more than a label: `iban`, `vendor_name`.
fn is_label(name: &str) -> bool {
    name.len() <= LABEL_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
}

/// Whether all texts of a result stand in the arguments as well: then the store said nothing of its own.
pub(crate) fn repeats(arguments: &Map<String, Value>, result: &Map<String, Value>) -> bool {
    let mut given = HashSet::new();
    for value in arguments.values() {
        texts(value, &mut |text| given.extend([text.to_owned()]));
    }
    let mut own = false;
    let mut look = |text: &str| own |= !given.contains(text);
    if let Some(structured) = result.get("structuredContent") {
        texts(structured, &mut look);
    }
    for block in result
        .get("content")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        match (block.get("type").and_then(Value::as_str), block.get("text")) {
            (Some("text"), Some(Value::String(text))) => {
                match serde_json::from_str::<Value>(text) {
                    Ok(value) => texts(&value, &mut look),
                    Err(_) => look(text),
                }
            }
            _ => look(""),
        }
    }
    !own
}

fn texts(value: &Value, see: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(elements) => elements.iter().for_each(|element| texts(element, see)),
        Value::Object(members) => {
            for (name, member) in members {
                if name.contains(char::is_whitespace) {
                    see(name);
                }
                texts(member, see);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

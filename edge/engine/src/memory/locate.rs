//! Where the items of a call are, by the catalogue's pointers.

use crate::limits::MEMORY_LOCATED_MAX;
use proctor_model::catalogue::{
    CallSide, CatalogueEntry, MemoryChange, MemoryItems, MemoryUse, Role,
};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// A tool's locators, by side.
#[derive(Debug, Default)]
pub(crate) struct Locators {
    pub(super) arguments: Vec<MemoryItems>,
    pub(super) result: Vec<MemoryItems>,
    /// Names of members that the pointers into results have: the operator's words.
    pub(super) names: HashSet<String>,
}

impl Locators {
    pub(crate) fn of(entry: &CatalogueEntry) -> Self {
        let usual = match entry.memory {
            None => return Self::default(),
            Some(MemoryUse::Write) => CallSide::Arguments,
            Some(MemoryUse::Read) => CallSide::Result,
        };
        let on = |side| {
            let meant = |items: &&MemoryItems| items.side.unwrap_or(usual) == side;
            entry.memory_items.iter().filter(meant).cloned().collect()
        };
        let mut locators = Self {
            arguments: on(CallSide::Arguments),
            result: on(CallSide::Result),
            names: HashSet::new(),
        };
        if usual == CallSide::Arguments && locators.arguments.is_empty() {
            locators.arguments = by_role(entry);
        }
        locators.names = names(&locators.result);
        locators
    }
}

/// All steps of pointers but `*`.
fn names(locators: &[MemoryItems]) -> HashSet<String> {
    let pointers = locators.iter().flat_map(|items| {
        let own = items
            .key
            .iter()
            .filter(|pointer| !pointer.starts_with("args:"));
        let facts = items.facts.iter().flat_map(|facts| facts.values());
        std::iter::once(&items.at).chain(own).chain(facts)
    });
    pointers
        .flat_map(|pointer| pointer.split('/').skip(1))
        .filter(|step| *step != "*")
        .map(unescaped)
        .collect()
}

/// The objects that hold an argument of role `memory_key`.
fn by_role(entry: &CatalogueEntry) -> Vec<MemoryItems> {
    let keys = entry
        .roles
        .iter()
        .filter(|(_, role)| **role == Role::MemoryKey);
    keys.filter_map(|(pointer, _)| {
        let (at, name) = pointer.rsplit_once('/')?;
        Some(MemoryItems {
            kind: super::DIRECT_KIND.to_owned(),
            at: at.to_owned(),
            key: vec![format!("/{name}")],
            facts: None,
            change: MemoryChange::Set,
            side: None,
        })
    })
    .collect()
}

/// A fact as it was found.
#[derive(Debug)]
pub(super) struct LocatedFact {
    pub(super) field: String,
    /// Where, from the root.
    pub(super) pointer: String,
    pub(super) value: Value,
}

/// An item as it was found.
#[derive(Debug)]
pub(super) struct LocatedItem {
    pub(super) kind: String,
    pub(super) change: MemoryChange,
    /// Where, from the root.
    pub(super) at: String,
    pub(super) key: Vec<Value>,
    /// Where its key stands, as far as it does below the root.
    pub(super) key_at: Vec<String>,
    pub(super) facts: Vec<LocatedFact>,
}

impl LocatedItem {
    /// Whether it is the member of an object that has its key for a name: `{"Acme": {"name": "Acme", …}}`.
    pub(super) fn is_under_its_key(&self) -> bool {
        let name = self.at.rsplit_once('/').map(|(_, name)| unescaped(name));
        let is_name = |part: &Value| match part {
            Value::String(text) => Some(text.as_str()) == name.as_deref(),
            other => Some(other.to_string()) == name,
        };
        self.key.iter().any(is_name)
    }
}

/// The items below a root. What has no key, or is one too many, is no item: it is found by nobody.
pub(super) fn locate(
    locators: &[MemoryItems],
    root: &Value,
    arguments: &Map<String, Value>,
) -> Vec<LocatedItem> {
    let mut items = Vec::new();
    let mut room = MEMORY_LOCATED_MAX;
    for locator in locators {
        for (at, node) in expand("", root, &locator.at) {
            let Some((key, key_at)) = key_of(locator, &at, node, arguments) else {
                continue;
            };
            let facts = facts_of(locator, &at, node);
            room = match room.checked_sub(facts.len().saturating_add(1)) {
                Some(left) => left,
                None => return items,
            };
            items.push(LocatedItem {
                kind: locator.kind.clone(),
                change: locator.change,
                at,
                key,
                key_at,
                facts,
            });
        }
    }
    items
}

fn key_of(
    locator: &MemoryItems,
    at: &str,
    node: &Value,
    arguments: &Map<String, Value>,
) -> Option<(Vec<Value>, Vec<String>)> {
    let (mut key, mut key_at) = (Vec::new(), Vec::new());
    for pointer in &locator.key {
        let found = match pointer.strip_prefix("args:") {
            Some(pointer) => {
                let (first, rest) = split(pointer)?;
                expand("", arguments.get(&first)?, rest)
            }
            None => {
                let found = expand(at, node, pointer);
                key_at.extend(found.iter().map(|(pointer, _)| pointer.clone()));
                found
            }
        };
        match found.as_slice() {
            [(_, value)] if value.is_string() || value.is_number() => key.push((*value).clone()),
            _ => return None,
        }
    }
    (!key.is_empty()).then_some((key, key_at))
}

fn facts_of(locator: &MemoryItems, at: &str, node: &Value) -> Vec<LocatedFact> {
    let Some(fields) = &locator.facts else {
        return whole(locator, at, node).into_iter().collect();
    };
    let mut facts = Vec::new();
    for (field, pointer) in fields {
        let found = expand(at, node, pointer).into_iter();
        facts.extend(found.map(|(pointer, value)| LocatedFact {
            field: field.clone(),
            pointer,
            value: value.clone(),
        }));
    }
    facts
}

/// All of an item but its key.
fn whole(locator: &MemoryItems, at: &str, node: &Value) -> Option<LocatedFact> {
    if locator.key.iter().any(String::is_empty) {
        return None;
    }
    let mut value = node.clone();
    if let Value::Object(members) = &mut value {
        for pointer in &locator.key {
            if let Some((name, "")) = split(pointer) {
                members.remove(&name);
            }
        }
    }
    Some(LocatedFact {
        field: String::new(),
        pointer: at.to_owned(),
        value,
    })
}

/// The first step of a pointer, and the rest of it.
fn split(pointer: &str) -> Option<(String, &str)> {
    let steps = pointer.strip_prefix('/')?;
    let end = steps.find('/').unwrap_or(steps.len());
    let (first, rest) = steps.split_at_checked(end)?;
    Some((unescaped(first), rest))
}

pub(super) fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

pub(super) fn escaped(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}

/// Everything that a pattern means below a node that stands at `base`.
fn expand<'v>(base: &str, node: &'v Value, pattern: &str) -> Vec<(String, &'v Value)> {
    let mut nodes = vec![(base.to_owned(), node)];
    for step in pattern.split('/').skip(1) {
        let name = unescaped(step);
        let mut below = Vec::new();
        for (path, node) in nodes {
            match node {
                Value::Array(elements) if step == "*" => below.extend(
                    elements
                        .iter()
                        .enumerate()
                        .map(|(index, element)| (format!("{path}/{index}"), element)),
                ),
                Value::Object(members) if step == "*" => below.extend(
                    members
                        .iter()
                        .map(|(key, member)| (format!("{path}/{}", escaped(key)), member)),
                ),
                Value::Array(elements) => {
                    let index = name.parse::<usize>().ok();
                    let element = index.and_then(|index| elements.get(index));
                    below.extend(element.map(|element| (format!("{path}/{name}"), element)));
                }
                Value::Object(members) => {
                    let member = members.get(&name);
                    below.extend(
                        member.map(|member| (format!("{path}/{}", escaped(&name)), member)),
                    );
                }
                _ => {}
            }
        }
        nodes = below;
    }
    nodes
}

//! What is left of an answer once it is judged.

use super::Examined;
use proctor_model::catalogue::{MemoryAction, MemoryRule};
use proctor_model::memory::MemorySummary;
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};

/// What stands where something was left out.
const NOTE: &str = "[left out: memory without the provenance that is needed here]";
/// The member of `_meta` that says how what was read stands.
pub(crate) const META: &str = "dev.proctor/memory";

/// Whether a member of a result says nothing of its own.
fn is_plain(name: &str, value: &Value) -> bool {
    match name {
        "content" | "structuredContent" => true,
        "isError" => value.is_boolean(),
        "resultType" => value == "complete",
        "ttlMs" => value.is_number(),
        "cacheScope" => value == "public" || value == "private",
        _ => false,
    }
}

/// Blocks without a text, where they are passed on: as untrusted content, which was noted.
pub(super) fn kept_strays(
    rule: MemoryRule,
    strays: &[usize],
    result: &Map<String, Value>,
) -> HashMap<usize, Value> {
    if rule.action != MemoryAction::Label {
        return HashMap::new();
    }
    let blocks = result.get("content").and_then(Value::as_array);
    let block = |at: &usize| Some((*at, blocks?.get(*at)?.clone()));
    strays.iter().filter_map(block).collect()
}

/// An error of a memory server is its own words: they are passed on only where everything is.
pub(super) fn examine_error(rule: MemoryRule, result: &mut Map<String, Value>) -> Examined {
    let mut examined = Examined::default();
    if rule.action == MemoryAction::Label {
        examined.exposes = true;
        return examined;
    }
    result.retain(|name, _| name == "isError" || name == "resultType");
    result.insert(
        "content".into(),
        json!([{ "type": "text", "text": "The memory server answered with an error." }]),
    );
    examined.altered = true;
    examined
}

/// The same for a JSON-RPC error: only its code is left.
pub fn hush(rule: MemoryRule, error: &mut Map<String, Value>) -> Examined {
    if rule.action == MemoryAction::Label {
        return Examined {
            exposes: true,
            ..Examined::default()
        };
    }
    error.retain(|name, _| name == "code");
    let message = "the memory server answered with an error";
    error.insert("message".into(), message.into());
    Examined {
        altered: true,
        ..Examined::default()
    }
}

/// A step of a concrete pointer; later elements first, so that leaving one out does not move the next.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Step {
    Index(std::cmp::Reverse<usize>),
    Name(String),
}

pub(super) fn steps(pointer: &str) -> Vec<Step> {
    let step = |step: &str| match step.parse::<usize>() {
        Ok(index) if index.to_string() == step => Step::Index(std::cmp::Reverse(index)),
        _ => Step::Name(step.replace("~1", "/").replace("~0", "~")),
    };
    pointer.split('/').skip(1).map(step).collect()
}

pub(super) fn lies_in_array(pointer: &str, root: &Value) -> bool {
    let parent = pointer.rsplit_once('/').map(|(parent, _)| parent);
    parent.is_some_and(|parent| root.pointer(parent).is_some_and(Value::is_array))
}

/// What is left of a value; `None` if it is to be left out as a whole.
pub(super) fn without(mut root: Value, cut: &BTreeSet<Vec<Step>>) -> Option<Value> {
    if cut.contains(&Vec::new()) {
        return None;
    }
    // Later and deeper first: what is above goes last, or with its parent.
    let mut cut: Vec<&Vec<Step>> = cut.iter().collect();
    cut.sort_by(|a, b| order(a, b));
    for path in cut {
        remove(&mut root, path);
    }
    Some(root)
}

/// Later elements before earlier ones, and what is below before what is above.
fn order(a: &[Step], b: &[Step]) -> std::cmp::Ordering {
    let shared = a.len().min(b.len());
    let (head_a, head_b) = (a.get(..shared), b.get(..shared));
    head_a.cmp(&head_b).then(b.len().cmp(&a.len()))
}

fn remove(node: &mut Value, path: &[Step]) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    let name = match first {
        Step::Index(index) => index.0.to_string(),
        Step::Name(name) => name.clone(),
    };
    match (node, rest.is_empty()) {
        (Value::Array(elements), true) => {
            if let Step::Index(index) = first
                && index.0 < elements.len()
            {
                elements.remove(index.0);
            }
        }
        (Value::Object(members), true) => drop(members.remove(&name)),
        (Value::Array(elements), false) => {
            if let Step::Index(index) = first
                && let Some(element) = elements.get_mut(index.0)
            {
                remove(element, rest);
            }
        }
        (Value::Object(members), false) => {
            if let Some(member) = members.get_mut(&name) {
                remove(member, rest);
            }
        }
        _ => {}
    }
}

pub(super) fn written_out(value: &Value, json: bool) -> String {
    match value {
        Value::String(text) if !json => text.clone(),
        value => serde_json::to_string_pretty(value).unwrap_or_else(|_| NOTE.to_owned()),
    }
}

/// The result with nothing in it but what was judged.
pub(super) fn rebuild(
    result: &mut Map<String, Value>,
    structured: Option<Value>,
    texts: &mut HashMap<usize, Option<String>>,
    mut strays: HashMap<usize, Value>,
) {
    result.retain(|name, value| is_plain(name, value));
    match structured {
        Some(structured) => drop(result.insert("structuredContent".into(), structured)),
        None => drop(result.remove("structuredContent")),
    }
    let Some(Value::Array(blocks)) = result.get_mut("content") else {
        return;
    };
    for (at, block) in blocks.iter_mut().enumerate() {
        if let Some(stray) = strays.remove(&at) {
            *block = stray;
            continue;
        }
        let text = texts.remove(&at).flatten();
        *block = json!({ "type": "text", "text": text.as_deref().unwrap_or(NOTE) });
    }
}

pub(super) fn label(result: &mut Map<String, Value>, summary: &MemorySummary, labels: Vec<Value>) {
    let note = json!({ "summary": summary, "labels": labels });
    match result.get_mut("_meta") {
        Some(Value::Object(meta)) => drop(meta.insert(META.into(), note)),
        _ => drop(result.insert("_meta".into(), json!({ (META): note }))),
    }
}

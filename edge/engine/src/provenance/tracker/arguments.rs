//! What the agent puts into a call: values and names of members, those of JSON texts among them.

use super::document::{TEXTS_MAX, document_in, may_be_document};
use super::scalars_of;
use crate::catalogue::Tool;
use serde_json::{Map, Value};

/// The arguments of a call with the documents that stand in them as texts.
pub(super) struct Arguments<'a> {
    tool: &'a Tool,
    members: &'a Map<String, Value>,
    documents: Vec<Value>,
    /// No text stands deeper in others than is opened here.
    pub(super) opened: bool,
}

impl<'a> Arguments<'a> {
    pub(super) fn new(tool: &'a Tool, members: &'a Map<String, Value>) -> Self {
        let mut documents = Vec::new();
        let mut level = documents_in(members.values());
        for _ in 1..TEXTS_MAX {
            let next = documents_in(&level);
            documents.append(&mut level);
            level = next;
        }
        let mut deepest = Vec::new();
        level.iter().for_each(|v| scalars_of(v, &mut deepest));
        let mut texts = deepest.into_iter().filter_map(Value::as_str);
        let opened = !texts.any(may_be_document);
        documents.append(&mut level);
        Self {
            tool,
            members,
            documents,
            opened,
        }
    }

    /// All texts and numbers.
    pub(super) fn scalars(&self) -> Vec<&Value> {
        let mut scalars = Vec::new();
        let values = self.members.values().chain(&self.documents);
        values.for_each(|value| scalars_of(value, &mut scalars));
        scalars
    }

    /// All names of members, but for the tool's own words for its arguments.
    pub(super) fn names(&self) -> Vec<Value> {
        let plan = &self.tool.plan;
        let own = self.members.keys().filter(|name| !plan.takes(name));
        let mut names: Vec<Value> = own.map(|name| Value::String(name.clone())).collect();
        let values = self.members.values().chain(&self.documents);
        values.for_each(|value| keys_of(value, &mut names));
        names
    }
}

/// The documents that stand as texts in values.
fn documents_in<'v>(values: impl IntoIterator<Item = &'v Value>) -> Vec<Value> {
    let mut scalars = Vec::new();
    for value in values {
        scalars_of(value, &mut scalars);
    }
    let texts = scalars.into_iter().filter_map(Value::as_str);
    texts.filter_map(document_in).collect()
}

/// Names of members at any depth.
fn keys_of(value: &Value, keys: &mut Vec<Value>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|v| keys_of(v, keys)),
        Value::Object(members) => {
            for (key, member) in members {
                keys.push(Value::String(key.clone()));
                keys_of(member, keys);
            }
        }
        _ => {}
    }
}

//! Arguments that are JSON in a text: what stands in them is judged as if it stood there plainly.

use super::{Evidence, Origin, Origins};
use crate::json::{Limits, parse};
use crate::provenance::plan::{Need, Plan};
use serde_json::Value;

/// Most texts in one another that are opened.
const TEXTS_MAX: usize = 4;

/// The arguments of a call with what texts say that are JSON.
pub(super) struct Opened {
    pub(super) arguments: Value,
    /// Pointers to the texts that were opened.
    pub(super) texts: Vec<String>,
}

/// A place among the arguments.
#[derive(Clone, Copy)]
struct At<'p> {
    /// Its steps as rules see them.
    path: &'p [&'p str],
    pointer: &'p str,
    /// Texts around it.
    texts: usize,
}

impl Evidence<'_> {
    /// The arguments as they are judged, if one of them is JSON in a text; but for a text that is proved as it is, and one
    /// that is only good byte for byte.
    pub(super) fn opened(
        &self,
        plan: &Plan,
        origins: &Origins,
        arguments: &Value,
    ) -> Option<Opened> {
        if !has_json(arguments) {
            return None;
        }
        let mut texts = Vec::new();
        let root = At {
            path: &[],
            pointer: "",
            texts: 0,
        };
        let arguments = self.open(plan, origins, arguments, root, &mut texts);
        Some(Opened { arguments, texts })
    }

    fn open(
        &self,
        plan: &Plan,
        origins: &Origins,
        value: &Value,
        at: At<'_>,
        texts: &mut Vec<String>,
    ) -> Value {
        let mut below = |step: &str, name: &str, value: &Value| {
            let path: Vec<&str> = at.path.iter().copied().chain([step]).collect();
            let name = name.replace('~', "~0").replace('/', "~1");
            let pointer = format!("{}/{name}", at.pointer);
            let at = At {
                path: &path,
                pointer: &pointer,
                ..at
            };
            self.open(plan, origins, value, at, texts)
        };
        match value {
            Value::Array(elements) => {
                let elements = elements.iter().enumerate();
                let open =
                    elements.map(|(index, value)| below("*", index.to_string().as_str(), value));
                Value::Array(open.collect())
            }
            Value::Object(members) => {
                let members = members.iter();
                let open = members.map(|(name, value)| {
                    (name.clone(), below(name.as_str(), name.as_str(), value))
                });
                Value::Object(open.collect())
            }
            Value::String(text) if at.texts < TEXTS_MAX => {
                match self.says(plan, origins, text, at.path) {
                    Some(said) => {
                        texts.push(at.pointer.to_owned());
                        let deeper = At {
                            texts: at.texts.saturating_add(1),
                            ..at
                        };
                        self.open(plan, origins, &said, deeper, texts)
                    }
                    None => value.clone(),
                }
            }
            scalar => scalar.clone(),
        }
    }

    /// What a text says that is JSON, where each value in it is to be judged.
    fn says(&self, plan: &Plan, origins: &Origins, text: &str, path: &[&str]) -> Option<Value> {
        let said = parsed(text)?;
        let (need, accepted) = self.rule(plan, origins, path);
        let as_it_is = match need {
            Need::Nothing | Need::Exact => true,
            Need::Proved => self.has_text_origin(text, accepted, path),
            _ => false,
        };
        (!as_it_is && !accepted.contains(&Origin::Any)).then_some(said)
    }
}

/// Whether a text is to be looked at: an object or a list.
fn may_be_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

fn has_json(value: &Value) -> bool {
    match value {
        Value::Array(elements) => elements.iter().any(has_json),
        Value::Object(members) => members.values().any(has_json),
        Value::String(text) => may_be_json(text),
        _ => false,
    }
}

/// The value of a text that is JSON to whatever parser: of any other nobody knows what it says.
fn parsed(text: &str) -> Option<Value> {
    let json = may_be_json(text).then(|| parse(text.trim().as_bytes(), &Limits::default()));
    json.and_then(Result::ok)
}

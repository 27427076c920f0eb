//! Arguments that are JSON in a text: what stands in them is judged as if it stood there plainly.

use super::{Broken, Evidence, Origin, Origins, broken};
use crate::json::{Limits, parse};
use crate::provenance::plan::{Need, Plan};
use crate::provenance::query::Spelled;
use crate::provenance::text::visible;
use serde_json::Value;

/// Most texts in one another that are opened.
const TEXTS_MAX: usize = 4;

/// The arguments of a call with what texts say that are JSON.
pub(super) struct Opened {
    pub(super) arguments: Value,
    /// Pointers to the texts that were opened.
    pub(super) texts: Vec<String>,
    /// Texts that labels lead into, and that can't be read.
    pub(super) broken: Vec<Broken>,
}

/// What was found in the texts so far.
struct Found {
    texts: Vec<String>,
    broken: Vec<Broken>,
    /// How many values may be opened yet, in all texts of the call together.
    left: usize,
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

/// What a text among the arguments is to whoever judges it.
enum Said {
    OneValue,
    Json(Value),
    /// Labels lead into it, and nobody can tell what they would find.
    Unreadable,
}

impl Evidence<'_> {
    /// The arguments as they are judged, if one of them is JSON in a text or labels lead into a text; but for a text that is
    /// proved as it is, and one that is only good byte for byte.
    pub(super) fn opened(
        &self,
        plan: &Plan,
        origins: &Origins,
        arguments: &Value,
    ) -> Option<Opened> {
        if !has_json(arguments) && !has_labelled_text(plan, origins, arguments, &mut Vec::new()) {
            return None;
        }
        let mut found = Found {
            texts: Vec::new(),
            broken: Vec::new(),
            left: Limits::default().nodes_max,
        };
        let root = At {
            path: &[],
            pointer: "",
            texts: 0,
        };
        let arguments = self.open(plan, origins, arguments, root, &mut found);
        Some(Opened {
            arguments,
            texts: found.texts,
            broken: found.broken,
        })
    }

    fn open(
        &self,
        plan: &Plan,
        origins: &Origins,
        value: &Value,
        at: At<'_>,
        found: &mut Found,
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
            self.open(plan, origins, value, at, found)
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
            Value::String(text) => match self.says(plan, origins, text, at, found) {
                Said::Json(said) => {
                    found.texts.push(at.pointer.to_owned());
                    let deeper = At {
                        texts: at.texts.saturating_add(1),
                        ..at
                    };
                    self.open(plan, origins, &said, deeper, found)
                }
                Said::OneValue => value.clone(),
                Said::Unreadable => {
                    let mut unread = broken(at.path, "what it says", None);
                    unread.place.get_or_insert_default().pointer = around(at.pointer, found);
                    found.broken.push(unread);
                    value.clone()
                }
            },
            scalar => scalar.clone(),
        }
    }

    /// What a text says: JSON where each value in it is to be judged.
    fn says(
        &self,
        plan: &Plan,
        origins: &Origins,
        text: &str,
        at: At<'_>,
        found: &mut Found,
    ) -> Said {
        let labelled = is_labelled_below(plan, origins, at.path);
        if !may_be_json(text) && !labelled {
            return Said::OneValue;
        }
        let (need, accepted) = self.rule(plan, origins, at.path);
        let free = need == Need::Nothing || accepted.contains(&Origin::Any);
        let proved = || !free && self.has_text_origin(text, accepted, at.path);
        if matches!(need, Need::Exact | Need::Credential)
            || (free && !labelled)
            || visible(text).trim().is_empty()
        {
            return Said::OneValue;
        }
        let said = (at.texts < TEXTS_MAX)
            .then(|| parsed(text, &mut found.left))
            .flatten();
        let Some(said) = said else {
            return match labelled && !proved() {
                true => Said::Unreadable,
                false => Said::OneValue,
            };
        };
        let as_it_is = match need {
            _ if free => false,
            // Nothing in it could be proved, so nothing would be asked.
            Need::Proved => !names_something(&said) || proved(),
            Need::NotSuspect | Need::NotDictated | Need::GuardedChoice | Need::Guarded => {
                self.is_dictated(text) || proved()
            }
            _ => false,
        };
        match as_it_is {
            true => Said::OneValue,
            false => Said::Json(said),
        }
    }

    /// Whether somebody else may have written the text as a whole: names and booleans in it are no values by themselves.
    fn is_dictated(&self, text: &str) -> bool {
        let whole = Spelled::text(text.to_owned());
        !self.session.knows_all() || self.session.suspect(&self.session.query(&whole)).is_some()
    }
}

/// The argument that holds a place: the outermost text around it, or the place itself.
fn around(pointer: &str, found: &Found) -> String {
    let holds = |text: &&String| {
        let below = pointer.strip_prefix(text.as_str());
        below.is_some_and(|below| below.starts_with('/'))
    };
    let text = found.texts.iter().find(holds);
    text.map_or(pointer, String::as_str).to_owned()
}

/// Whether a label, or what the action says of its origins, asks for proof of something below a place.
fn is_labelled_below(plan: &Plan, origins: &Origins, path: &[&str]) -> bool {
    let weak = |need| {
        matches!(
            need,
            Need::Leads | Need::Links | Need::Nothing | Need::FreeChoice
        )
    };
    let mut rules = plan.rules.iter().filter(|rule| !weak(rule.need));
    let mut declared = origins.0.iter();
    rules.any(|rule| rule.at.leads_below(path)) || declared.any(|(at, _)| at.leads_below(path))
}

/// Whether a text stands where labels go on.
fn has_labelled_text<'v>(
    plan: &Plan,
    origins: &Origins,
    value: &'v Value,
    path: &mut Vec<&'v str>,
) -> bool {
    if !is_labelled_below(plan, origins, path) {
        return false;
    }
    let mut below = |step: &'v str, value: &'v Value| {
        path.push(step);
        let has = has_labelled_text(plan, origins, value, path);
        path.pop();
        has
    };
    match value {
        Value::Array(elements) => elements.iter().any(|element| below("*", element)),
        Value::Object(members) => members.iter().any(|(name, member)| below(name, member)),
        value => value.is_string(),
    }
}

/// Whether there is a text or a number in a value: names, booleans and nothing at all say what is meant as well, but nothing
/// asks where they come from.
pub(super) fn names_something(value: &Value) -> bool {
    match value {
        Value::Array(elements) => elements.iter().any(names_something),
        Value::Object(members) => members.values().any(names_something),
        Value::String(_) | Value::Number(_) => true,
        Value::Bool(_) | Value::Null => false,
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

/// The value of a text that is JSON to whatever parser: of any other nobody knows what it says. `left`: how many keys and
/// elements it may have.
fn parsed(text: &str, left: &mut usize) -> Option<Value> {
    let limits = Limits {
        nodes_max: *left,
        ..Limits::default()
    };
    let said = parse(text.trim().as_bytes(), &limits).ok()?;
    *left = left.saturating_sub(nodes(&said));
    Some(said).filter(|said| said.is_object() || said.is_array())
}

/// The keys and elements of a value, as [`Limits`] count them.
fn nodes(value: &Value) -> usize {
    let below = |sum: usize, value: &Value| sum.saturating_add(1).saturating_add(nodes(value));
    match value {
        Value::Array(elements) => elements.iter().fold(0, below),
        Value::Object(members) => members.values().fold(0, below),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_texts_of_a_call_share_one_budget() {
        let mut left = 4;
        assert_eq!(parsed("[1, 2]", &mut left), Some(json!([1, 2])));
        assert_eq!(left, 2);
        assert_eq!(parsed("[1, 2, 3]", &mut left), None);
        assert_eq!(parsed("{\"a\": 1}", &mut left), Some(json!({"a": 1})));
        assert_eq!(left, 1);
    }

    #[test]
    fn names_and_booleans_say_nothing_that_is_asked_for() {
        for value in [
            json!([null]),
            json!({"match_all": {}}),
            json!({"a": [true]}),
        ] {
            assert!(!names_something(&value), "{value}");
        }
        for value in [json!(["a"]), json!({"a": {"b": 1}}), json!("a")] {
            assert!(names_something(&value), "{value}");
        }
    }
}

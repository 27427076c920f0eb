//! The names by which an intent may speak of what a call read: `file:bill.txt`.

use super::{Reading, Tracker};
use crate::limits::PROVENANCE_NAMES_MAX;
use crate::provenance::plan::Plan;
use crate::provenance::query::Spelled;
use crate::provenance::value::Kind;
use proctor_model::catalogue::Verb;
use serde_json::Value;

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 1_024;

/// Fingerprints of the names of what a call read: of the arguments that name a thing, and of the files at the end of a
/// path. None for a tool that the intent of the call has no action for.
pub(super) fn names_of(tracker: &Tracker, reading: &Reading<'_>) -> Vec<u64> {
    let tool = reading.tool;
    if !reading
        .intent
        .is_some_and(|intent| intent.has_tool(tool.reference()))
    {
        return Vec::new();
    }
    let mut named = Vec::new();
    for (name, value) in reading.arguments {
        naming(&tool.plan, value, &mut vec![name.as_str()], &mut named);
    }
    named.retain(|name| name.len() <= NAME_BYTES_MAX);
    let files = named.iter().filter(|_| tool.verb() == Verb::Read);
    let files = files.filter_map(|path| file(tracker, path));
    let all = named.iter().copied().chain(files);
    all.take(PROVENANCE_NAMES_MAX)
        .map(|name| tracker.keyed.of(Kind::Exact, name))
        .collect()
}

fn naming<'v>(plan: &Plan, value: &'v Value, path: &mut Vec<&'v str>, named: &mut Vec<&'v str>) {
    match value {
        Value::Array(elements) => {
            path.push("*");
            for element in elements {
                naming(plan, element, path, named);
            }
            path.pop();
        }
        Value::Object(members) => {
            for (name, member) in members {
                path.push(name);
                naming(plan, member, path, named);
                path.pop();
            }
        }
        Value::String(text) if plan.names_thing(path) => named.push(text),
        _ => {}
    }
}

/// The last part of a path, unless somebody else may have said where to look: a file of that name is easily put there.
fn file<'p>(tracker: &Tracker, path: &'p str) -> Option<&'p str> {
    let file = path.rsplit(['/', '\\']).next()?;
    if path.contains("://") || file == path || file.is_empty() {
        return None;
    }
    let query = tracker.query(&Spelled::text(path.to_owned()));
    let told = |text: &str| {
        let query = tracker.query(&Spelled::text(text.to_owned()));
        !text.is_empty() && tracker.suspect(&query).is_some()
    };
    let directory = path.strip_suffix(file).unwrap_or_default();
    let bare = directory.trim_end_matches(['/', '\\']);
    let last = bare.rsplit(['/', '\\']).next().unwrap_or_default();
    let own = tracker.suspect(&query).is_none()
        && ![directory, bare, last].into_iter().any(told)
        && tracker.knows_all();
    (own || tracker.proves(&query, false)).then_some(file)
}

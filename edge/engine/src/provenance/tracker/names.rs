//! The names by which an intent may speak of what a call read: `file:bill.txt`.

use super::{Reading, Tracker};
use crate::catalogue::Tool;
use crate::limits::PROVENANCE_NAMES_MAX;
use crate::provenance::plan::{names_writing, singular, words_in, words_of};
use crate::provenance::query::Spelled;
use crate::provenance::value::Kind;
use proctor_model::catalogue::{Listed, Verb};
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
    let named = named_by(reading, &|path| tool.plan.names_thing(path));
    let mut named: Vec<&str> = named.into_iter().filter_map(Value::as_str).collect();
    named.retain(|name| name.len() <= NAME_BYTES_MAX);
    let files = named.iter().filter(|_| tool.verb() == Verb::Read);
    let files = files.filter_map(|path| file(tracker, path));
    let all = named.iter().copied().chain(files);
    all.take(PROVENANCE_NAMES_MAX)
        .map(|name| tracker.keyed.of(Kind::Exact, name))
        .collect()
}

/// What a call asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Records, by the tool's own name: the list that they come in is the tool's.
    Records,
    /// A thing, be it one that needs no name (`get_clipboard`): where the answer is a text, that may be all that somebody wrote.
    Thing,
    /// A file, a page or the like, as its argument says: whoever wrote it has named what is in it.
    Writing,
}

impl Asked {
    pub(super) fn of(reading: &Reading<'_>) -> Self {
        let plan = &reading.tool.plan;
        let any = |names: &dyn Fn(&[&str]) -> bool| !named_by(reading, names).is_empty();
        if any(&|path| {
            path.iter()
                .any(|step| names_writing(step) && !is_paging(step))
        }) {
            return Self::Writing;
        }
        match makes_list(reading.tool) && !any(&|path| plan.names_thing(path)) {
            true => Self::Records,
            false => Self::Thing,
        }
    }
}

/// Words in the names of tools that put a list together.
const LISTING: [&str; 6] = ["browse", "find", "inbox", "list", "query", "search"];
/// Words behind which a name says of what or where its things are.
const PREPOSITIONS: [&str; 8] = ["at", "by", "for", "from", "in", "of", "on", "with"];
/// What looks like many things, and may be the text of one.
const ONE_TEXT: [&str; 4] = ["canva", "content", "detail", "new"];

fn makes_list(tool: &Tool) -> bool {
    let own = tool.entry().definition.listed() == Listed::Tool;
    own && says_list(tool.reference().name.own())
}

/// Whether a tool of this name puts a list together: `search_files`, `get_channels`, `getUsersInChannel`. Somebody else's file,
/// page or mail comes as one element of such a list, and never as the whole of it.
fn says_list(name: &str) -> bool {
    let mut words = words_in(name);
    words.retain(|word| !word.is_empty());
    if words.iter().any(|word| LISTING.contains(&word.as_str())) {
        return true;
    }
    let things = words.iter().map(String::as_str);
    let thing = things
        .take_while(|word| !PREPOSITIONS.contains(word))
        .last();
    let one = thing.and_then(singular);
    one.is_some_and(|one| !ONE_TEXT.contains(&one) && !names_writing(one))
}

/// Whether a document has a list of records in it.
pub(super) fn has_records(document: &Value) -> bool {
    match document {
        Value::Array(elements) => elements.iter().any(Value::is_object),
        Value::Object(members) => members.values().any(has_records),
        _ => false,
    }
}

/// The texts and numbers among the arguments that name a thing.
fn named_by<'v>(reading: &Reading<'v>, names: &dyn Fn(&[&str]) -> bool) -> Vec<&'v Value> {
    let mut named = Vec::new();
    for (name, value) in reading.arguments {
        naming(names, value, &mut vec![name.as_str()], &mut named);
    }
    named
}

fn naming<'v>(
    names: &dyn Fn(&[&str]) -> bool,
    value: &'v Value,
    path: &mut Vec<&'v str>,
    named: &mut Vec<&'v Value>,
) {
    match value {
        Value::Array(elements) => {
            path.push("*");
            for element in elements {
                naming(names, element, path, named);
            }
            path.pop();
        }
        Value::Object(members) => {
            for (name, member) in members {
                path.push(name);
                naming(names, member, path, named);
                path.pop();
            }
        }
        Value::String(_) if names(path) => named.push(value),
        Value::Number(_) if names(path) && !path.iter().any(|step| is_paging(step)) => {
            named.push(value);
        }
        _ => {}
    }
}

/// Words beside `page` in the names of arguments that say where a list goes on.
const PAGING: [&str; 6] = ["cursor", "index", "limit", "number", "size", "token"];

/// Whether an argument of this name says which part of a list is meant: `page`, `page_size`, `pageToken`. It names nothing.
fn is_paging(name: &str) -> bool {
    let words: Vec<String> = words_of(name).collect();
    let page = words.iter().any(|word| word == "page");
    page && (words.len() == 1 || words.iter().any(|word| PAGING.contains(&word.as_str())))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_that_put_a_list_together() {
        for name in [
            "search",
            "search_files",
            "list_tasks",
            "listTasks",
            "inbox",
            "read_inbox",
            "get_unread_emails",
            "get_channels",
            "getUsersInChannel",
            "get_most_recent_transactions",
            "query_page_comments",
        ] {
            assert!(says_list(name), "{name}");
        }
        for name in [
            "get_page_text",
            "get_clipboard",
            "read_latest_mail",
            "read_note",
            "lookup",
            "get_page_contents",
            "get_details",
            "read_files",
            "get_docs",
            "get_text_of_notes",
            "get_status",
            "get_address",
            "get_news",
            "",
        ] {
            assert!(!says_list(name), "{name}");
        }
    }

    #[test]
    fn lists_of_records() {
        for (document, records) in [
            (r#"[{"id": 1}]"#, true),
            (r#"{"files": [{"id": 1}]}"#, true),
            (r#"{"result": {"files": [{"id": 1}], "more": false}}"#, true),
            (r#"{"permission": "owner"}"#, false),
            (r#"{"tags": ["owner"], "of": {}}"#, false),
            (r#"[["owner"]]"#, false),
            ("[]", false),
        ] {
            let parsed = serde_json::from_str(document).unwrap();
            assert_eq!(has_records(&parsed), records, "{document}");
        }
    }
}

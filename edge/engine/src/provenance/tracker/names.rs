//! The names by which an intent may speak of what a call read: `file:bill.txt`.

use super::document::{document_in, texts_of};
use super::{Reading, Tracker};
use crate::catalogue::Tool;
use crate::limits::PROVENANCE_NAMES_MAX;
use crate::provenance::paging::is_paging;
use crate::provenance::plan::{names_writing, singular, words_in};
use crate::provenance::query::Spelled;
use crate::provenance::value::Kind;
use crate::response::is_map_of_records;
use proctor_model::catalogue::{Listed, Verb};
use serde_json::{Map, Value};

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
const LISTING: [&str; 5] = ["browse", "find", "list", "query", "search"];
/// Words before those that make one of a thing behind: of `get_search_result` the result alone comes.
const GETTING: [&str; 10] = [
    "download", "export", "fetch", "get", "load", "open", "read", "retrieve", "show", "view",
];
/// Words behind which a name says of what or where its things are.
const PREPOSITIONS: [&str; 8] = ["at", "by", "for", "from", "in", "of", "on", "with"];
/// What looks like many things, and may be the text of one.
const ONE_TEXT: [&str; 8] = [
    "canva",
    "content",
    "detail",
    "guideline",
    "instruction",
    "minute",
    "new",
    "note",
];

fn makes_list(tool: &Tool) -> bool {
    let own = tool.entry().definition.listed() == Listed::Tool;
    own && says_list(tool.reference().name.own())
}

/// Whether a tool of this name puts a list together: `search_files`, `get_channels`, `getUsersInChannel`. Somebody else's file,
/// page or mail comes as one element of such a list, and never as the whole of it.
fn says_list(name: &str) -> bool {
    let words = words_in(name);
    let words = words.iter().map(String::as_str);
    let words = words.filter(|word| !word.is_empty());
    let said: Vec<&str> = words
        .take_while(|word| !PREPOSITIONS.contains(word))
        .collect();
    let Some((thing, before)) = said.split_last() else {
        return false;
    };
    if *thing == "inbox" || LISTING.contains(thing) {
        return true;
    }
    let one = singular(thing);
    let mut verbs = before.iter();
    let verb = verbs.find(|word| LISTING.contains(word) || GETTING.contains(word));
    // Names of other tools begin with the thing: `list_item_get`. Before many things such a word says which: `list_open_files`.
    let mut behind = said.iter().skip_while(|word| !LISTING.contains(word));
    let gets =
        one.is_none_or(|one| ONE_TEXT.contains(&one)) && behind.any(|word| GETTING.contains(word));
    match verb.filter(|_| !gets) {
        // A note that is found is one.
        Some(&"find") => one.is_some() || *thing == "people",
        Some(verb) if LISTING.contains(verb) => true,
        _ => one.is_some_and(|one| !ONE_TEXT.contains(&one) && !names_writing(one)),
    }
}

/// Where the list is that a tool has put together, among the texts of its result.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Listing {
    /// In none of them: each may be all that somebody wrote. Servers give a list of texts as one block each.
    Nowhere,
    /// In the only one, if it is one.
    Within,
    /// Each of them is a record of it: other servers give a list of records like that.
    Apart,
}

impl Listing {
    pub(super) fn of(asked: Asked, content: Option<&Value>) -> Self {
        if asked != Asked::Records {
            return Self::Nowhere;
        }
        match texts_of(content).nth(1).is_none() {
            true => Self::Within,
            false if are_records(texts_of(content)) => Self::Apart,
            false => Self::Nowhere,
        }
    }

    /// Whether a text that is this document is the list.
    pub(super) fn has(self, document: &Value) -> bool {
        match self {
            Self::Nowhere => false,
            Self::Within => has_records(document),
            Self::Apart => true,
        }
    }
}

/// Whether each of several texts is a record, alike in the name of a member at least.
fn are_records<'t>(texts: impl Iterator<Item = &'t str>) -> bool {
    let documents = (0_usize..).zip(texts);
    let records = documents.map(|(at, text)| Some((at.to_string(), document_in(text)?)));
    let records: Option<Map<String, Value>> = records.collect();
    records.is_some_and(|records| is_map_of_records(&records))
}

/// Whether a document has a list of records in it, or one of them by their names.
fn has_records(document: &Value) -> bool {
    match document {
        Value::Array(elements) => elements.iter().any(Value::is_object),
        Value::Object(members) => is_map_of_records(members) || members.values().any(has_records),
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
            "list_notes",
            "find_files",
            "find_people",
            "get_comments",
            "get_search_results",
            "get_task_list",
            "get_list_of_files",
            "web_search",
            "notion_list_pages",
            "github_search_code",
            "todo_list_get_items",
            "list_open_tasks",
            "list_open_files",
            "list_open_documents",
            "list_download_links",
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
            "get_meeting_notes",
            "getInstructions",
            "find_note",
            "get_list_item",
            "get_search_result",
            "inbox_get_message",
            "list_item_get",
            "search_result_read",
            "todo_list_get_note",
            "todo_list_get_notes",
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
            (r#"{"t1": {"status": "x"}, "t2": {"status": "y"}}"#, true),
            (r#"{"tasks": {"t1": {"id": 1}, "t2": {"id": 2}}}"#, true),
            (r#"{"t1": {"status": "x"}}"#, false),
            (r#"{"of": {"status": "x"}, "by": {"name": "y"}}"#, false),
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

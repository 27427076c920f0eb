//! What each argument of a tool needs by the operator's labels.

use super::choice::{need_of_control, need_of_currency, numbers_of_schema};
use super::paging::{goes_on, is_page_token};
use proctor_model::catalogue::{CatalogueEntry, Listed, Role, Verb};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashSet;

/// What the values of an argument need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Need {
    /// Each comes from an accepted origin.
    Proved,
    /// The same, byte for byte: a word, or what stands in quotation marks in the goal, as a whole.
    Exact,
    /// The same, or a run of whole words of the goal.
    Credential,
    /// None is known from untrusted content alone. What was seen nowhere is the agent's own work (a sum, a time), but for
    /// what leads out in it.
    NotSuspect,
    /// The same, but for what has fewer than three letters or digits: it stands everywhere.
    NotDictated,
    /// It is one word of a closed list by which somebody gets a right: untrusted content has it neither among other words nor in a
    /// field, but for those of other records that say the same of them. A yes or a no by which somebody gets one is in no content,
    /// whoever asked for it: an action has it among its constants, or the session has read nothing untrusted.
    GuardedChoice,
    /// Somebody gets a right by it, and it is of no closed list: as [`Need::NotSuspect`], and untrusted content does not have it among
    /// other words, however short it is. A yes or a no is as one of a closed list.
    Guarded,
    /// It is one word of a closed list, and nobody gets a right by any of them: the operator took the tool with all of them,
    /// and such words (`high`, `weekly`) stand in most mails. What leads out needs proof, should it be none of them.
    FreeChoice,
    /// It is a currency of a closed list: the same, unless the goal or a trusted result says in which one an amount is meant. Then as
    /// [`Need::NotSuspect`]: fifty yen are not fifty dollars.
    ListedCurrency,
    /// Links, e-mail addresses, IBANs, telephone numbers and crypto addresses in it come from an accepted origin.
    Leads,
    /// Links in it do: to fetch one is to send something there.
    Links,
    /// Nothing.
    Nothing,
}

/// A JSON Pointer (RFC 6901) in which `*` stands for any one step; it covers what is below it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pattern {
    pub(super) text: String,
    pub(super) steps: Vec<String>,
}

impl Pattern {
    pub(crate) fn new(pointer: &str) -> Self {
        Self {
            text: pointer.to_owned(),
            steps: pointer.split('/').skip(1).map(unescaped).collect(),
        }
    }

    /// An element of an array may stand where its label's pointer has an index, or nothing at all: `/a/b` is meant as well
    /// where `a` is a list of records.
    pub(crate) fn covers(&self, path: &[&str]) -> bool {
        let mut at = path.iter();
        self.steps.iter().all(|step| {
            let index = is_index(step);
            loop {
                match at.next() {
                    None => return false,
                    Some(&"*") if !index => {}
                    Some(&"*") => return true,
                    Some(at) => return step == "*" || step == at,
                }
            }
        })
    }

    /// Whether it leads to something below a path.
    pub(crate) fn leads_below(&self, path: &[&str]) -> bool {
        let mut steps = self.steps.iter().peekable();
        for at in path {
            if *at == "*" {
                steps.next_if(|step| is_index(step));
            } else if !steps.next().is_some_and(|step| step == "*" || step == at) {
                return false;
            }
        }
        steps.next().is_some()
    }

    /// Whether what stands there is something. An empty target is a violation, never "nothing to check"; so is a missing
    /// one that the tool needs.
    pub(super) fn is_filled_in(&self, required: bool, arguments: &Value) -> bool {
        let mut nodes = vec![arguments];
        let mut missing = false;
        for step in &self.steps {
            // Of several payments, each has its own target.
            missing |= nodes.iter().any(|node| lacks(node, step));
            let mut below = Vec::new();
            for node in nodes {
                one_below(node, step, &mut below);
            }
            nodes = below;
        }
        let empty = |node: &&Value| match node {
            Value::String(text) => text.trim().is_empty(),
            Value::Array(elements) => elements.is_empty(),
            Value::Object(members) => Map::is_empty(members),
            _ => false,
        };
        missing |= nodes.is_empty() || nodes.iter().any(|node| node.is_null());
        !(nodes.iter().any(empty) || (required && missing))
    }
}

/// Whether a step is one of a list's.
pub(super) fn is_index(step: &str) -> bool {
    step == "*" || step.bytes().all(|b| b.is_ascii_digit())
}

/// Longest step of a path, in bytes: whoever writes a document gives its members their names, and each value below is looked up by
/// its whole path.
const STEP_BYTES_MAX: usize = 256;

/// One step more of a JSON Pointer.
pub(super) fn push_step(path: &mut String, step: &str) {
    let step = cut(step);
    path.push('/');
    match memchr::memchr2(b'~', b'/', step.as_bytes()) {
        Some(_) => path.push_str(&step.replace('~', "~0").replace('/', "~1")),
        None => path.push_str(&step),
    }
}

/// Of a step that is too long, its beginning and its end.
fn cut(step: &str) -> Cow<'_, str> {
    if step.len() <= STEP_BYTES_MAX {
        return Cow::Borrowed(step);
    }
    let half = STEP_BYTES_MAX / 2;
    let end = step.ceil_char_boundary(step.len().saturating_sub(half));
    let head = step.get(..step.floor_char_boundary(half));
    let tail = step.get(end..);
    Cow::Owned(format!(
        "{}\u{fffd}{}",
        head.unwrap_or_default(),
        tail.unwrap_or_default()
    ))
}

/// Whether a label's step (`*` for any one) is a path's.
pub(super) fn is_step(label: &str, at: &str) -> bool {
    label == "*" || label == at || {
        label.len() > STEP_BYTES_MAX && {
            let mut path = String::new();
            push_step(&mut path, &unescaped(label));
            path.strip_prefix('/') == Some(at)
        }
    }
}

/// A step as a document has it (RFC 6901, section 4).
fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// What stands one step below; a list on the way may have no step of its own, as in [`Pattern::covers`].
fn one_below<'v>(node: &'v Value, step: &str, found: &mut Vec<&'v Value>) {
    match node {
        Value::Array(elements) if step == "*" => found.extend(elements),
        Value::Array(elements) => match step.parse::<usize>() {
            Ok(index) => found.extend(elements.get(index)),
            Err(_) => elements
                .iter()
                .for_each(|element| one_below(element, step, found)),
        },
        Value::Object(members) if step == "*" => found.extend(members.values()),
        Value::Object(members) => found.extend(members.get(step)),
        _ => {}
    }
}

/// Whether a record, or one of a list of them, does not have the member.
fn lacks(node: &Value, step: &str) -> bool {
    match node {
        Value::Object(members) => step != "*" && !members.contains_key(step),
        Value::Array(elements) if step != "*" && step.parse::<usize>().is_err() => {
            elements.iter().any(|element| lacks(element, step))
        }
        _ => false,
    }
}

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) at: Pattern,
    role: Option<Role>,
    pub(super) need: Need,
    /// Whether a call without it is a violation: there would be nothing to check.
    pub(super) required: bool,
}

/// An argument by which a reader chooses among its records.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) at: Pattern,
    /// What it would need of a tool that does anything else.
    pub(super) need: Need,
    /// Numbers of rows that anybody asks for.
    pub(super) usual: Vec<String>,
}

/// What a tool's arguments need by its labels.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(super) rules: Vec<Rule>,
    pub(super) rest: Need,
    /// Of a tool that reads.
    pub(super) filters: Vec<Filter>,
    /// Arguments that name what is read, by their labels; empty: their names tell.
    naming: Vec<Pattern>,
    /// Names of members that the tool's schema and its labels have: all others are the caller's own words.
    names: HashSet<String>,
    /// Words of what the tool says of itself and of its arguments.
    described: HashSet<String>,
}

/// Words in the names of arguments that say which thing is meant, where no label does.
const NAMING: [&str; 14] = [
    "file", "filename", "filepath", "path", "document", "doc", "url", "uri", "link", "href",
    "page", "webpage", "website", "resource",
];

impl Plan {
    pub(crate) fn of(entry: &CatalogueEntry) -> Self {
        // Its one argument is a part of its approved name.
        if entry.definition.listed() == Listed::Resource {
            return Self {
                rules: Vec::new(),
                rest: Need::Nothing,
                filters: Vec::new(),
                naming: Vec::new(),
                names: HashSet::new(),
                described: HashSet::new(),
            };
        }
        let consequential = entry.consequential.iter().flatten();
        let mut rules: Vec<Rule> = consequential
            .map(|pointer| Rule {
                at: Pattern::new(pointer),
                role: entry.roles.get(pointer).copied(),
                need: match entry.roles.get(pointer) {
                    Some(Role::Credential) => Need::Credential,
                    Some(Role::Command) => Need::Exact,
                    _ => Need::Proved,
                },
                required: matches!(entry.roles.get(pointer), Some(Role::Target | Role::Command)),
            })
            .collect();
        let listed = |pointer: &String| {
            entry
                .consequential
                .iter()
                .flatten()
                .any(|other| other == pointer)
        };
        let roles = entry.roles.iter().filter(|(pointer, _)| !listed(pointer));
        rules.extend(roles.map(|(pointer, role)| Rule {
            at: Pattern::new(pointer),
            role: Some(*role),
            need: match (role, entry.verb) {
                (Role::Control, verb) if verb != Verb::Read => {
                    need_of_control(&Pattern::new(pointer), &entry.definition.input_schema)
                }
                (Role::Currency, verb) if verb != Verb::Read => {
                    need_of_currency(&Pattern::new(pointer), &entry.definition.input_schema)
                }
                (role, verb) => need_of(*role, verb),
            },
            required: matches!(role, Role::Target | Role::Command),
        }));
        let unlabelled = entry.consequential.is_none() && entry.roles.is_empty();
        let rest = match entry.verb {
            Verb::Read => Need::Links,
            _ if unlabelled => Need::Proved,
            _ => Need::Leads,
        };
        let names = |role: &Role| matches!(role, Role::Selector | Role::Target);
        let naming = entry.roles.iter().filter(|(_, role)| names(role));
        Self {
            rules,
            rest,
            filters: filters_of(entry),
            naming: naming.map(|(pointer, _)| Pattern::new(pointer)).collect(),
            names: names_in(entry),
            described: described_in(entry),
        }
    }

    /// Whether the name of a member is a word of the caller's, at a place that a label speaks of (`labelled`) or that none
    /// does. Top-level names are the tool's own, and of a tool that says nothing of its arguments nobody knows.
    pub(super) fn is_own_name(&self, name: &str, path: &[&str], labelled: bool) -> bool {
        let open = labelled || (path.len() > 1 && !self.names.is_empty());
        open && !self.names.contains(name)
    }

    /// The role of the argument at a path, if a label says one.
    pub(super) fn role_at(&self, path: &[&str]) -> Option<Role> {
        let rules = self.rules.iter().filter(|rule| rule.at.covers(path));
        rules.max_by_key(|rule| rule.at.steps.len())?.role
    }

    /// Whether the tool or its labels have an argument of this name: any other may be a value.
    pub(super) fn takes(&self, name: &str) -> bool {
        let labelled = |rule: &Rule| rule.at.steps.first().is_some_and(|step| step == name);
        self.names.contains(name) || self.rules.iter().any(labelled)
    }

    /// Whether the tool's descriptions have a name: for members of a text that is JSON, of which no schema speaks.
    pub(super) fn describes(&self, name: &str) -> bool {
        self.names.contains(name) || self.described.contains(name)
    }

    /// Whether the argument at a path names the thing that a call is about: a word to search for does not.
    pub(super) fn names_thing(&self, path: &[&str]) -> bool {
        match (self.naming.as_slice(), path.first()) {
            ([], Some(name)) => names_writing(name) && !is_page_token(name),
            (naming, _) => naming.iter().any(|at| at.covers(path)),
        }
    }
}

/// Numbers of rows that anybody asks for, beside those of the tool's schema.
const ROUND: [&str; 5] = ["100", "200", "250", "500", "1000"];

/// The arguments by which a tool that reads chooses among its records, by their labels. Which record is meant (`selector`) is
/// none: a reader has to be given some.
fn filters_of(entry: &CatalogueEntry) -> Vec<Filter> {
    let roles = entry.roles.iter().filter(|_| entry.verb == Verb::Read);
    let filters = roles.filter_map(|(pointer, role)| {
        let at = Pattern::new(pointer);
        if at.steps.last().is_some_and(|name| goes_on(name)) {
            return None;
        }
        let schema = &entry.definition.input_schema;
        let mut usual = Vec::new();
        let need = match role {
            Role::Amount => Need::NotSuspect,
            Role::RowLimit => {
                usual = numbers_of_schema(&at, schema);
                usual.extend(ROUND.map(str::to_owned));
                Need::NotDictated
            }
            Role::Control => need_of_control(&at, schema),
            _ => return None,
        };
        Some(Filter { at, need, usual })
    });
    filters.collect()
}

/// Whether an argument of this name asks for something that somebody wrote, such as a file or a page.
pub(super) fn names_writing(name: &str) -> bool {
    words_of(name).any(|word| NAMING.contains(&word.as_str()))
}

/// The names that a tool has for members, at whatever place.
fn names_in(entry: &CatalogueEntry) -> HashSet<String> {
    let mut names = HashSet::new();
    let mut pending = vec![&entry.definition.input_schema];
    while let Some(schema) = pending.pop() {
        match schema {
            Value::Array(schemas) => pending.extend(schemas),
            Value::Object(members) => {
                let properties = members.get("properties").and_then(Value::as_object);
                names.extend(
                    properties
                        .into_iter()
                        .flat_map(|named| named.keys().cloned()),
                );
                pending.extend(members.values());
            }
            _ => {}
        }
    }
    let labels = entry
        .roles
        .keys()
        .chain(entry.consequential.iter().flatten());
    names.extend(labels.flat_map(|pointer| Pattern::new(pointer).steps));
    names
}

/// The words of a tool's descriptions, as they are: names of members are written there.
fn described_in(entry: &CatalogueEntry) -> HashSet<String> {
    let mut words = HashSet::new();
    let mut note = |text: &str| {
        let cut = text.split(|c: char| !c.is_alphanumeric() && !"_-".contains(c));
        words.extend(cut.filter(|word| !word.is_empty()).map(str::to_owned));
    };
    if let Some(description) = &entry.definition.description {
        note(description);
    }
    let mut pending = vec![&entry.definition.input_schema];
    while let Some(schema) = pending.pop() {
        match schema {
            Value::Array(schemas) => pending.extend(schemas),
            Value::Object(members) => {
                let description = members.get("description").and_then(Value::as_str);
                description.into_iter().for_each(&mut note);
                pending.extend(members.values());
            }
            _ => {}
        }
    }
    words
}

/// The words of a name in lower case and in the singular: `file` of `file_path`, `filePath` and `files`.
pub(super) fn words_of(name: &str) -> impl Iterator<Item = String> {
    let words = words_in(name).into_iter();
    words.map(|word| match singular(&word) {
        Some(one) => one.to_owned(),
        None => word,
    })
}

/// The words of a name that are any, as [`words_of`] has them.
pub(super) fn told_of(name: &str) -> Vec<String> {
    words_of(name).filter(|word| !word.is_empty()).collect()
}

/// Whether one of some words is known.
pub(super) fn has_any(words: &[String], known: &[&str]) -> bool {
    words.iter().any(|word| known.contains(&word.as_str()))
}

/// The words of a name in lower case, as they stand there.
pub(super) fn words_in(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut before = ' ';
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase()) {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.push(word);
    words
}

/// The singular of a word that looks like a plural.
pub(super) fn singular(word: &str) -> Option<&str> {
    let one = word.strip_suffix('s')?;
    (!one.ends_with(['s', 'u'])).then_some(one)
}

fn need_of(role: Role, verb: Verb) -> Need {
    match role {
        Role::Target | Role::Tenant | Role::MemoryKey => Need::Proved,
        Role::Credential => Need::Credential,
        Role::Command => Need::Exact,
        // What is looked for, how much of it and in which order changes nothing.
        Role::Selector | Role::Amount | Role::Currency | Role::RowLimit | Role::Control
            if verb == Verb::Read =>
        {
            Need::Links
        }
        Role::Selector => Need::Proved,
        Role::Amount | Role::Currency => Need::NotSuspect,
        Role::RowLimit | Role::Control => Need::NotDictated,
        Role::Content => Need::Leads,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What a reader is asked for needs no more than that nothing is sent by it.
    #[test]
    fn how_much_is_read_is_the_agents_own_affair() {
        let need = |verb: &str, role: &str| {
            let entry = json!({
                "definition": {"name": "list", "input_schema": {"properties": {"x": {"enum": ["open", "public"]}}}},
                "verb": verb, "roles": {"/x": role},
            });
            let plan = Plan::of(&serde_json::from_value(entry).unwrap());
            plan.rules.first().map(|rule| rule.need).unwrap()
        };
        for role in ["selector", "amount", "currency", "row_limit", "control"] {
            assert_eq!(need("read", role), Need::Links, "{role}");
            assert_ne!(need("write", role), Need::Links, "{role}");
        }
        for role in ["target", "tenant", "memory_key"] {
            assert_eq!(need("read", role), Need::Proved, "{role}");
        }
        assert_eq!(need("read", "credential"), Need::Credential);
        assert_eq!(need("read", "command"), Need::Exact);
    }

    /// How much comes back is somebody's choice, where it goes on is not.
    #[test]
    fn what_says_where_a_list_goes_on_is_no_filter() {
        let filters = |name: &str| {
            let entry = json!({
                "definition": {"name": "list", "input_schema": {"type": "object"}},
                "verb": "read", "roles": {format!("/{name}"): "row_limit"},
            });
            let plan = Plan::of(&serde_json::from_value(entry).unwrap());
            plan.filters.len()
        };
        for name in [
            "page",
            "pageNumber",
            "page_index",
            "next_page",
            "cursor",
            "page_token",
            "nextPageToken",
            "start_offset",
        ] {
            assert_eq!(filters(name), 0, "{name}");
        }
        for name in [
            "limit",
            "page_size",
            "pageSize",
            "per_page",
            "results_per_page",
            "page_limit",
            "max_pages",
            "pages",
            "num_pages",
            "numberOfPages",
            "token_limit",
            "page_filter",
        ] {
            assert_eq!(filters(name), 1, "{name}");
        }
    }

    /// A label means the same whether it has a step for a list or not.
    #[test]
    fn the_steps_of_a_path_are_short() {
        let path = |step: &str| {
            let mut path = String::new();
            push_step(&mut path, step);
            path
        };
        assert_eq!(path("a/b"), "/a~1b");
        assert_eq!(path(&"a".repeat(256)).len(), 257);
        let whole = format!("{}is the end", "a".repeat(300));
        assert!(path(&whole).ends_with("aaais the end"));
        for long in [whole, "é".repeat(1_000_000), "/".repeat(300)] {
            let cut = path(&long);
            assert!(cut.len() <= 516, "{cut}");
            let label = long.replace('/', "~1");
            assert!(is_step(&label, &cut[1..]), "a label for it is good");
            assert!(!is_step(&label.replace('a', "b"), "a"));
        }
    }

    #[test]
    fn a_list_on_the_way_needs_no_step() {
        let whole = json!({"payments": [{"to": "a"}, {"to": "b"}]});
        let nested = json!({"payments": [[{"to": "a"}], [{"to": "b"}]]});
        for pointer in ["/payments/*/to", "/payments/to"] {
            let pattern = Pattern::new(pointer);
            assert!(pattern.covers(&["payments", "*", "to"]), "{pointer}");
            assert!(pattern.is_filled_in(true, &whole), "{pointer}");
            for bad in [
                json!({"payments": [{"to": "a"}, {"amount": 1}]}),
                json!({"payments": [{"to": "a"}, {"to": null}]}),
                json!({"payments": []}),
                json!({"payments": [{"amount": 1}]}),
                json!({}),
            ] {
                assert!(!pattern.is_filled_in(true, &bad), "{pointer} {bad}");
                assert!(pattern.is_filled_in(false, &bad), "{pointer} {bad}");
            }
            // Empty is a violation, needed or not.
            let empty = json!({"payments": [{"to": "a"}, {"to": " "}]});
            assert!(!pattern.is_filled_in(false, &empty), "{pointer}");
        }
        let short = Pattern::new("/payments/to");
        assert!(short.covers(&["payments", "*", "*", "to"]));
        assert!(short.is_filled_in(true, &nested));
        let first = Pattern::new("/payments/0/to");
        for path in [&["payments"][..], &["payments", "*"], &[]] {
            for pattern in [&short, &first] {
                assert!(pattern.leads_below(path), "{path:?}");
            }
        }
        for path in [&["payments", "*", "to"][..], &["other"], &["payments", "x"]] {
            assert!(!short.leads_below(path), "{path:?}");
        }
        assert!(first.is_filled_in(true, &json!({"payments": [{"to": "a"}, {}]})));
        assert!(!first.is_filled_in(true, &json!({"payments": [{}, {"to": "a"}]})));
    }
}

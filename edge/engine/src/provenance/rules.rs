//! Which argument needs what proof, from the tool's labels and the intent's own words.

mod reply;

use super::index::{Passage, Query, Spelled};
use super::join::Known;
use super::text::visible;
use super::tracker::Tracker;
use super::value::{Kind, recognise};
use crate::limits::{ORIGINS_MAX, ORIGINS_TEXT_BYTES_MAX, VIEW_LEADS_MAX};
use proctor_model::ToolRef;
use proctor_model::catalogue::{CatalogueEntry, Listed, MemoryTrust, Role, Verb};
use proctor_model::memory::Proved;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What the values of an argument need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Need {
    /// Each comes from an accepted origin.
    Proved,
    /// The same, byte for byte.
    Exact,
    /// None is known from untrusted content alone. What was seen nowhere is the agent's own work (a sum, a time).
    NotSuspect,
    /// The same, but for what has fewer than three letters or digits: it stands everywhere.
    NotDictated,
    /// Links, e-mail addresses, IBANs and telephone numbers in it come from an accepted origin.
    Leads,
    /// Links in it do: to fetch one is to send something there.
    Links,
    /// Nothing.
    Nothing,
}

/// A JSON Pointer (RFC 6901) in which `*` stands for any one step; it covers what is below it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pattern {
    text: String,
    steps: Vec<String>,
}

impl Pattern {
    pub(crate) fn new(pointer: &str) -> Self {
        let step = |step: &str| step.replace("~1", "/").replace("~0", "~");
        Self {
            text: pointer.to_owned(),
            steps: pointer.split('/').skip(1).map(step).collect(),
        }
    }

    /// An element of an array may stand where its label's pointer has an index, or nothing at all: `/a/b` is meant as well
    /// where `a` is a list of records.
    pub(crate) fn covers(&self, path: &[&str]) -> bool {
        let mut at = path.iter();
        self.steps.iter().all(|step| {
            let index = step == "*" || step.bytes().all(|b| b.is_ascii_digit());
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
}

#[derive(Debug)]
struct Rule {
    at: Pattern,
    need: Need,
    /// Whether a call without it is a violation: there would be nothing to check.
    required: bool,
}

/// What a tool's arguments need by its labels.
#[derive(Debug)]
pub(crate) struct Plan {
    rules: Vec<Rule>,
    rest: Need,
}

impl Plan {
    pub(crate) fn of(entry: &CatalogueEntry) -> Self {
        // Its one argument is a part of its approved name.
        if entry.definition.listed() == Listed::Resource {
            return Self {
                rules: Vec::new(),
                rest: Need::Nothing,
            };
        }
        let consequential = entry.consequential.iter().flatten();
        let mut rules: Vec<Rule> = consequential
            .map(|pointer| Rule {
                at: Pattern::new(pointer),
                need: match entry.roles.get(pointer) {
                    Some(Role::Credential | Role::Command) => Need::Exact,
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
            need: need_of(*role, entry.verb),
            required: matches!(role, Role::Target | Role::Command),
        }));
        let unlabelled = entry.consequential.is_none() && entry.roles.is_empty();
        let rest = match entry.verb {
            Verb::Read => Need::Links,
            _ if unlabelled => Need::Proved,
            _ => Need::Leads,
        };
        Self { rules, rest }
    }
}

fn need_of(role: Role, verb: Verb) -> Need {
    match role {
        Role::Target | Role::Tenant | Role::MemoryKey => Need::Proved,
        Role::Credential | Role::Command => Need::Exact,
        Role::Selector if verb == Verb::Read => Need::Links,
        Role::Selector => Need::Proved,
        Role::Amount | Role::Currency => Need::NotSuspect,
        Role::RowLimit | Role::Control => Need::NotDictated,
        Role::Content => Need::Leads,
    }
}

/// An origin that an intent accepts.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Origin {
    Goal,
    Trusted,
    Any,
    /// Memory of this trust or more.
    Memory(MemoryTrust),
    Tool(ToolRef, Option<String>),
    File(String),
    /// Known, but nothing here can prove it (yet).
    Unprovable,
}

impl Origin {
    fn parse(text: &str) -> Self {
        let tool = |text: &str| {
            let (tool, field) = match text.split_once('#') {
                Some((tool, field)) => (tool, Some(field.to_owned())),
                None => (text, None),
            };
            tool.parse().ok().map(|tool| Self::Tool(tool, field))
        };
        match text.split_once(':') {
            Some(("tool", rest)) => tool(rest).unwrap_or(Self::Unprovable),
            Some(("file", name)) => Self::File(name.to_owned()),
            _ => match text {
                "goal" => Self::Goal,
                "trusted" => Self::Trusted,
                "any" => Self::Any,
                "memory:verified" => Self::Memory(MemoryTrust::Verified),
                "memory:agent" => Self::Memory(MemoryTrust::Agent),
                _ => Self::Unprovable,
            },
        }
    }
}

/// The origins that one action of an intent accepts for some arguments.
#[derive(Debug, Default)]
pub(crate) struct Origins(Vec<(Pattern, Vec<Origin>)>);

impl Origins {
    pub(crate) fn new(declared: &BTreeMap<String, Vec<String>>) -> Self {
        let parse = |(pointer, origins): (&String, &Vec<String>)| {
            let origins = origins.iter().map(|text| Origin::parse(text)).collect();
            (Pattern::new(pointer), origins)
        };
        Self(declared.iter().map(parse).collect())
    }
}

/// Which argument has no accepted origin, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Broken {
    /// For people, without any value.
    pub(crate) text: String,
    /// The argument, if it is there.
    pub(crate) place: Option<Place>,
}

/// One argument of a call that an approver has to see.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Place {
    /// Its JSON Pointer.
    pub(crate) pointer: String,
    /// What in it leads out, if that is what the question is about: values.
    pub(crate) leads: Vec<String>,
}

/// All that is broken of a call.
#[derive(Default)]
struct Judged<'v> {
    broken: Vec<Broken>,
    /// The steps to where the walk is, `*` for each index of an array.
    path: Vec<&'v str>,
    /// The index for each step that is one.
    indices: Vec<Option<usize>>,
}

impl<'v> Judged<'v> {
    /// Goes one step down, and up again.
    fn below(&mut self, step: &'v str, index: Option<usize>, walk: impl FnOnce(&mut Self)) {
        self.path.push(step);
        self.indices.push(index);
        walk(self);
        self.path.pop();
        self.indices.pop();
    }

    /// Where the walk is, as a JSON Pointer.
    fn pointer(&self) -> String {
        let steps = self.path.iter().zip(&self.indices);
        let step = |(step, index): (&&str, &Option<usize>)| match index {
            Some(index) => format!("/{index}"),
            None => format!("/{}", step.replace('~', "~0").replace('/', "~1")),
        };
        steps.map(step).collect()
    }

    fn note(&mut self, judged: Result<(), Broken>) {
        if let Err(mut broken) = judged {
            broken.place.get_or_insert_default().pointer = self.pointer();
            self.broken.push(broken);
        }
    }
}

/// What is known about values when a call is decided.
#[derive(Clone, Copy)]
pub(crate) struct Evidence<'a> {
    pub(crate) goal: &'a Passage,
    pub(crate) session: &'a Tracker,
}

const DEFAULT: [Origin; 2] = [Origin::Goal, Origin::Trusted];

impl Evidence<'_> {
    /// Holds each argument against the tool's plan and the action's own origins; returns what does not hold.
    pub(crate) fn check(&self, plan: &Plan, origins: &Origins, arguments: &Value) -> Vec<Broken> {
        let mut judged = Judged::default();
        let declared = origins.0.iter().map(|(at, _)| (at, false));
        let planned = plan.rules.iter().filter_map(|rule| {
            let proved = matches!(rule.need, Need::Proved | Need::Exact);
            proved.then_some((&rule.at, rule.required))
        });
        for (at, required) in declared.chain(planned) {
            judged.broken.extend(present(at, required, arguments).err());
        }
        self.walk(plan, origins, arguments, &mut judged);
        judged.broken
    }

    fn walk<'v>(&self, plan: &Plan, origins: &Origins, value: &'v Value, judged: &mut Judged<'v>) {
        match value {
            Value::Array(elements) => {
                // Below an array all elements are judged alike.
                for (at, element) in elements.iter().enumerate() {
                    let walk = |judged: &mut Judged<'v>| self.walk(plan, origins, element, judged);
                    judged.below("*", Some(at), walk);
                }
            }
            Value::Object(members) => {
                for (key, member) in members {
                    judged.below(key, None, |judged| {
                        judged.note(self.key(plan, origins, key, &judged.path));
                        self.walk(plan, origins, member, judged);
                    });
                }
            }
            scalar => judged.note(self.scalar(plan, origins, scalar, &judged.path)),
        }
    }

    /// The need of what stands at a path, and the origins that satisfy it.
    fn rule<'r>(
        &self,
        plan: &'r Plan,
        origins: &'r Origins,
        path: &[&str],
    ) -> (Need, &'r [Origin]) {
        let planned = plan.rules.iter().filter(|rule| rule.at.covers(path));
        let planned = planned.max_by_key(|rule| rule.at.steps.len());
        let declared = origins.0.iter().filter(|(at, _)| at.covers(path));
        let declared = declared.max_by_key(|(at, _)| at.steps.len());
        match (planned.map(|rule| rule.need), declared) {
            (Some(need @ (Need::Exact | Need::Leads)), Some((_, origins))) => (need, origins),
            (_, Some((_, origins))) => (Need::Proved, origins),
            (Some(need), None) => (need, &DEFAULT),
            (None, None) => (plan.rest, &DEFAULT),
        }
    }

    /// A member's name may be a value as well: what leads out in it needs proof.
    fn key(&self, plan: &Plan, origins: &Origins, key: &str, path: &[&str]) -> Result<(), Broken> {
        match self.rule(plan, origins, path) {
            (Need::Nothing, _) => Ok(()),
            (_, accepted) => self.leads(key, false, accepted, path),
        }
    }

    fn scalar(
        &self,
        plan: &Plan,
        origins: &Origins,
        scalar: &Value,
        path: &[&str],
    ) -> Result<(), Broken> {
        let (need, accepted) = self.rule(plan, origins, path);
        if accepted.contains(&Origin::Any) {
            return Ok(());
        }
        let covered = plan.rules.iter().any(|rule| rule.at.covers(path))
            || origins.0.iter().any(|(at, _)| at.covers(path));
        match (need, scalar) {
            (Need::Nothing, _) => Ok(()),
            // By an operator's or a declarer's word all values at the place are meant; by default, all texts.
            (Need::Proved | Need::Exact, Value::Bool(_)) if covered => {
                Err(broken(path, "its value", None))
            }
            (_, Value::Bool(_) | Value::Null) => Ok(()),
            (Need::Proved, Value::Number(_)) if !covered => Ok(()),
            (Need::Proved, _) => self.proved(scalar, false, accepted, path),
            (Need::Exact, _) => self.proved(scalar, true, accepted, path),
            (Need::NotDictated, _) if stands_everywhere(scalar) => Ok(()),
            (Need::NotSuspect | Need::NotDictated, _) => self.not_suspect(scalar, accepted, path),
            (Need::Leads, Value::String(text)) => self.leads(text, false, accepted, path),
            (Need::Links, Value::String(text)) => self.leads(text, true, accepted, path),
            (Need::Leads | Need::Links, _) => Ok(()),
        }
    }

    fn proved(
        &self,
        scalar: &Value,
        exact: bool,
        accepted: &[Origin],
        path: &[&str],
    ) -> Result<(), Broken> {
        let Some(spelled) = Spelled::of(scalar) else {
            return Err(broken(path, "its value", None));
        };
        if self.has_origin(&spelled, exact, accepted) {
            return Ok(());
        }
        // Put together of parts: good if each of them is.
        if let (Value::String(text), false) = (scalar, exact) {
            let spelled = |part: &str| Spelled::text(part.to_owned());
            let known = Known {
                proved: &|part| self.has_origin(&spelled(part), false, accepted),
                dictated: &|part| {
                    let seen = self.session.suspect(&self.session.query(&spelled(part)));
                    seen.is_some() || self.session.is_incomplete()
                },
            };
            if known.joins(text) {
                return Ok(());
            }
        }
        Err(self.unproved(&spelled, path))
    }

    fn has_origin(&self, scalar: &Spelled, exact: bool, accepted: &[Origin]) -> bool {
        if accepted.contains(&Origin::Goal) && self.goal.has(scalar, exact) {
            return true;
        }
        let query = self.session.query(scalar);
        accepted.iter().any(|origin| match origin {
            Origin::Any => true,
            Origin::Trusted => self.session.proves(&query, exact),
            Origin::Memory(least) => self.session.proved_by_memory(&query, exact, *least),
            Origin::Tool(tool, field) => {
                self.session
                    .proved_by_tool(&query, exact, tool, field.as_deref())
            }
            Origin::File(name) => self.session.proved_by_file(&query, exact, name),
            Origin::Goal | Origin::Unprovable => false,
        })
    }

    fn unproved(&self, scalar: &Spelled, path: &[&str]) -> Broken {
        let seen = self.session.suspect(&self.session.query(scalar));
        broken(path, "its value", seen)
    }

    fn not_suspect(
        &self,
        scalar: &Value,
        accepted: &[Origin],
        path: &[&str],
    ) -> Result<(), Broken> {
        let Some(spelled) = Spelled::of(scalar) else {
            return Ok(());
        };
        if self.has_origin(&spelled, false, accepted) {
            return Ok(());
        }
        match self.session.suspect(&self.session.query(&spelled)) {
            Some(tool) => Err(broken(path, "its value", Some(tool))),
            None if self.session.is_incomplete() => Err(broken(path, "its value", None)),
            None => Ok(()),
        }
    }

    fn leads(
        &self,
        text: &str,
        links_only: bool,
        accepted: &[Origin],
        path: &[&str],
    ) -> Result<(), Broken> {
        let mut first: Option<Broken> = None;
        recognise(&visible(text), &mut |kind, canonical| {
            let link = matches!(kind, Kind::Url | Kind::Name);
            let asked = link || (kind.leads_out() && !links_only);
            if !asked || first.as_ref().is_some_and(|first| first.is_full()) {
                return;
            }
            if let Err(broken) = self.lead(kind, canonical, accepted, path) {
                let leads = &mut first
                    .get_or_insert(broken)
                    .place
                    .get_or_insert_default()
                    .leads;
                leads.push(canonical.to_owned());
            }
        });
        first.map_or(Ok(()), Err)
    }

    fn lead(
        &self,
        kind: Kind,
        canonical: &str,
        accepted: &[Origin],
        path: &[&str],
    ) -> Result<(), Broken> {
        let query = self.session.typed_query(kind.noted(), canonical);
        if kind == Kind::Name && !self.may_be_dictated(canonical, &query) {
            return Ok(());
        }
        let good = accepted.iter().any(|origin| match origin {
            Origin::Any => true,
            Origin::Goal => self.goal.has_typed(kind.noted(), canonical),
            Origin::Trusted => self.session.proves(&query, false),
            Origin::Memory(least) => self.session.proved_by_memory(&query, false, *least),
            Origin::Tool(tool, field) => {
                self.session
                    .proved_by_tool(&query, false, tool, field.as_deref())
            }
            Origin::File(name) => self.session.proved_by_file(&query, false, name),
            Origin::Unprovable => false,
        });
        if good {
            Ok(())
        } else {
            Err(broken(path, kind.name(), self.session.suspect(&query)))
        }
    }
}

impl Evidence<'_> {
    /// Whether somebody else may have written a name that may be a host's: as it is, or a long part of it, put together by the agent.
    fn may_be_dictated(&self, name: &str, query: &Query) -> bool {
        let label = name.split('.').next().unwrap_or_default();
        let seen = |label: &str| {
            let label = Spelled::text(label.to_owned());
            self.session.suspect(&self.session.query(&label)).is_some()
        };
        self.session.is_incomplete()
            || self.session.suspect(query).is_some()
            || (label.len() >= LABEL_TELLING_MIN && seen(label))
    }
}

/// Fewest letters of a label that is suspect because untrusted content has the word: `user` stands everywhere.
const LABEL_TELLING_MIN: usize = 8;

/// For policies: each text and number among the arguments by its JSON Pointer, with where it was seen: `goal`,
/// `trusted`, `memory:verified` and `memory:agent`, `tool:<server/tool>` for untrusted content; empty: nowhere, or a text longer than
/// [`ORIGINS_TEXT_BYTES_MAX`].
pub(crate) fn origins(
    arguments: &Value,
    goal: Option<&Passage>,
    session: &Tracker,
) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    let mut pending = vec![(String::new(), arguments)];
    while let Some((path, value)) = pending.pop() {
        if found.len() >= ORIGINS_MAX {
            break;
        }
        match value {
            Value::Array(elements) => pending.extend(
                elements
                    .iter()
                    .enumerate()
                    .map(|(at, element)| (format!("{path}/{at}"), element)),
            ),
            Value::Object(members) => pending.extend(members.iter().map(|(key, member)| {
                let key = key.replace('~', "~0").replace('/', "~1");
                (format!("{path}/{key}"), member)
            })),
            Value::Null | Value::Bool(_) => {}
            scalar => drop(found.insert(path, origins_of(scalar, goal, session))),
        }
    }
    found
}

fn origins_of(scalar: &Value, goal: Option<&Passage>, session: &Tracker) -> Vec<String> {
    let mut origins = Vec::new();
    if scalar
        .as_str()
        .is_some_and(|text| text.len() > ORIGINS_TEXT_BYTES_MAX)
    {
        return origins;
    }
    let Some(spelled) = Spelled::of(scalar) else {
        return origins;
    };
    if goal.is_some_and(|goal| goal.has(&spelled, false)) {
        origins.push("goal".to_owned());
    }
    let query = session.query(&spelled);
    if session.proves(&query, false) {
        origins.push("trusted".to_owned());
    }
    origins.extend(memory_origin(&query, session));
    if let Some(tool) = session.suspect(&query) {
        origins.push(format!("tool:{tool}"));
    }
    origins
}

fn memory_origin(query: &Query, session: &Tracker) -> Option<String> {
    let proved = |least: &MemoryTrust| session.proved_by_memory(query, false, *least);
    let trust = [MemoryTrust::Verified, MemoryTrust::Agent]
        .into_iter()
        .find(proved)?;
    Some(format!("memory:{}", trust.as_str()))
}

/// What a value that is written to memory is worth, and why.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) origins: Vec<String>,
    pub(crate) trust: MemoryTrust,
    pub(crate) proved: Proved,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            trust: MemoryTrust::Verified,
            proved: Proved::Whole,
        }
    }
}

/// Judges one text or number that is written to memory. Proof is as strict as for an argument; words that nobody
/// else wrote are the agent's own only as long as it has read nothing untrusted that may have dictated them.
pub(crate) fn written(scalar: &Value, goal: Option<&Passage>, session: &Tracker) -> Written {
    let proofs = |value: &Spelled| {
        let goal = goal.is_some_and(|goal| goal.has(value, false));
        let mut origins: Vec<String> = goal.then(|| "goal".to_owned()).into_iter().collect();
        let query = session.query(value);
        if session.proves(&query, false) {
            origins.push("trusted".to_owned());
        }
        if session.proved_by_memory(&query, false, MemoryTrust::Verified) {
            origins.push("memory:verified".to_owned());
        }
        origins
    };
    let spelled = Spelled::of(scalar);
    let whole = spelled.as_ref().map(&proofs).unwrap_or_default();
    if !whole.is_empty() {
        return Written {
            origins: whole,
            ..Written::default()
        };
    }
    let behind = scalar.as_str().and_then(|text| text.split_once(": "));
    let behind = behind.map(|(_, behind)| proofs(&Spelled::text(behind.trim().to_owned())));
    if let Some(origins) = behind.filter(|origins| !origins.is_empty()) {
        return Written {
            origins,
            trust: MemoryTrust::Verified,
            proved: Proved::Value,
        };
    }
    let query = spelled.as_ref().map(|value| session.query(value));
    let own_memory = query
        .as_ref()
        .is_some_and(|query| session.proved_by_memory(query, false, MemoryTrust::Agent));
    let seen = query.as_ref().and_then(|query| session.suspect(query));
    let trust = match (own_memory, seen.is_some(), session.is_exposed()) {
        (true, _, _) | (false, false, false) => MemoryTrust::Agent,
        _ => MemoryTrust::Untrusted,
    };
    let origins = match (own_memory, seen) {
        (true, _) => vec!["memory:agent".to_owned()],
        (false, Some(tool)) => vec![format!("tool:{tool}")],
        (false, None) => Vec::new(),
    };
    Written {
        origins,
        trust,
        proved: Proved::Whole,
    }
}

/// An empty target is a violation, never "nothing to check"; so is a missing one that the tool needs.
fn present(at: &Pattern, required: bool, arguments: &Value) -> Result<(), Broken> {
    let mut nodes = vec![arguments];
    let mut missing = false;
    for step in &at.steps {
        // Of several payments, each has its own target.
        let lacks = |node: &&Value| {
            node.as_object()
                .is_some_and(|members| !members.contains_key(step))
        };
        missing |= step != "*" && nodes.iter().any(lacks);
        nodes = nodes
            .into_iter()
            .flat_map(|node| match (node, step.as_str()) {
                (Value::Array(elements), "*") => elements.iter().collect(),
                (Value::Object(members), "*") => members.values().collect(),
                (Value::Array(elements), index) => {
                    let index = index.parse::<usize>().ok();
                    index.and_then(|at| elements.get(at)).into_iter().collect()
                }
                (Value::Object(members), key) => members.get(key).into_iter().collect(),
                _ => Vec::new(),
            })
            .collect();
    }
    let empty = |node: &&Value| match node {
        Value::String(text) => text.trim().is_empty(),
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => Map::is_empty(members),
        _ => false,
    };
    missing |= nodes.is_empty() || nodes.iter().any(|node| node.is_null());
    if nodes.iter().any(empty) || (required && missing) {
        return Err(Broken {
            text: format!("{} is empty or missing", at.text),
            place: None,
        });
    }
    Ok(())
}

/// `1`, `en`: untrusted content has it sooner or later, whoever means it.
fn stands_everywhere(scalar: &Value) -> bool {
    let few = |text: &str| {
        text.chars()
            .filter(|c| c.is_alphanumeric())
            .nth(2)
            .is_none()
    };
    match scalar {
        Value::String(text) => few(text),
        Value::Number(number) => few(&number.to_string()),
        _ => false,
    }
}

impl Broken {
    /// Enough of its leads are known to tell that they are too many to be shown.
    fn is_full(&self) -> bool {
        let leads = self.place.as_ref().map(|place| place.leads.len());
        leads.is_some_and(|leads| leads > VIEW_LEADS_MAX)
    }
}

/// A step of a pointer as it may be shown: agents write the names of members too, and may put a value there.
fn shown(step: &str) -> &str {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-*".contains(&b);
    let digits = step.bytes().filter(u8::is_ascii_digit).count();
    if step.len() <= 40 && step.bytes().all(plain) && digits < 5 {
        step
    } else {
        "(name)"
    }
}

/// A JSON Pointer with the names in it that may be shown.
#[must_use]
pub fn shown_pointer(pointer: &str) -> String {
    pointer
        .split('/')
        .skip(1)
        .map(|step| format!("/{}", shown(step)))
        .collect()
}

/// The words for people: which argument, and where its value was seen.
fn broken(path: &[&str], what: &str, seen: Option<&ToolRef>) -> Broken {
    let pointer: String = path
        .iter()
        .map(|step| format!("/{}", shown(step)))
        .collect();
    let text = match seen {
        Some(tool) => {
            format!("{pointer}: {what} was only seen in the result of {tool} (untrusted)")
        }
        None => format!("{pointer}: {what} was not seen in the goal or in a trusted result"),
    };
    Broken { text, place: None }
}

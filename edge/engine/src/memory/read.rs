//! What an answer shows of memory, how each part of it stands, and what of it may be passed on.
//!
//! Every channel of the answer is looked at. A text that belongs to no item is worth as little as an item that nobody signed:
//! whoever can write to the store could put it there.

mod rewrite;

use super::MemoryKey;
use super::locate::{LocatedItem, escaped, locate, unescaped};
use crate::catalogue::Tool;
use crate::limits::{JSON_DEPTH_MAX, MEMORY_LABELS_MAX};
use proctor_model::Reason;
use proctor_model::catalogue::{MemoryAction, MemoryRule, MemoryTrust};
use proctor_model::memory::{FactDigest, ItemId, ItemQuestion, MemorySummary, Proved, RecordHash};
use rewrite::{
    Step, examine_error, kept_strays, label, lies_in_array, rebuild, steps, without, written_out,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap, HashSet};

pub(crate) use rewrite::META;
pub use rewrite::hush;

/// A fact that stands as it was signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FactView {
    /// The record that put it.
    pub record: RecordHash,
    /// Its trust.
    pub trust: MemoryTrust,
    /// How far it was proved.
    pub proved: Option<Proved>,
    /// Whether its writer had read anything untrusted before.
    pub exposed: bool,
}

/// How an item stands: its facts, each with its view; none for one that was replaced or taken away.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ItemView {
    /// Whether it has any record at all.
    pub known: bool,
    /// The facts that it has, or had.
    pub facts: HashMap<FactDigest, Option<FactView>>,
}

/// What is known of the items of an answer. An item that is missing is one that nobody signed.
pub type MemoryView = HashMap<ItemId, ItemView>;

/// How something that was read stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// As it was signed.
    Signed(FactView),
    /// Nobody signed it.
    Unsigned,
    /// The item is signed, this fact never was.
    Altered,
    /// It stood once.
    RolledBack,
}

impl Standing {
    /// Name as in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signed(view) => view.trust.as_str(),
            Self::Unsigned => "unsigned",
            Self::Altered => "altered",
            Self::RolledBack => "rolled_back",
        }
    }

    fn reason(self) -> Reason {
        match self {
            Self::Signed(_) => Reason::MemoryUntrusted,
            Self::Unsigned => Reason::MemoryUnsigned,
            Self::Altered => Reason::MemoryAltered,
            Self::RolledBack => Reason::MemoryRolledBack,
        }
    }

    fn passes(self, rule: MemoryRule) -> bool {
        matches!(self, Self::Signed(view) if view.trust >= rule.trust)
    }
}

impl ItemView {
    /// How a fact of it stands.
    #[must_use]
    pub fn standing(&self, fact: &FactDigest) -> Standing {
        match (self.facts.get(fact), self.known) {
            (Some(Some(view)), _) => Standing::Signed(*view),
            (Some(None), _) => Standing::RolledBack,
            (None, true) => Standing::Altered,
            (None, false) => Standing::Unsigned,
        }
    }
}

struct FoundFact {
    digest: FactDigest,
    pointer: String,
    value: Value,
}

struct FoundItem {
    item: ItemId,
    at: String,
    facts: Vec<FoundFact>,
}

/// Where in a result something stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Structured,
    /// The text of a block of `content`, or of the resource in it.
    Block(usize),
}

struct Channel {
    place: Place,
    root: Value,
    /// The text was JSON.
    json: bool,
    items: Vec<FoundItem>,
    /// What belongs to no item.
    outside: Vec<String>,
}

/// The memory that an answer shows.
pub struct Found {
    channels: Vec<Channel>,
    /// Blocks whose text is `structuredContent` once more.
    mirrors: Vec<usize>,
    /// Blocks without a text.
    strays: Vec<usize>,
}

/// Finds the items in the result of a tool that reads memory.
#[must_use]
pub fn find(
    tool: &Tool,
    arguments: &Map<String, Value>,
    result: &Map<String, Value>,
    key: &MemoryKey,
) -> Found {
    let mut found = Found {
        channels: Vec::new(),
        mirrors: Vec::new(),
        strays: Vec::new(),
    };
    let structured = result.get("structuredContent");
    let channel = |place, root: Value, json| Channel::new(place, root, json, tool, arguments, key);
    if let Some(root) = structured {
        found
            .channels
            .push(channel(Place::Structured, root.clone(), true));
    }
    let blocks = result.get("content").and_then(Value::as_array);
    for (at, block) in blocks.into_iter().flatten().enumerate() {
        let Some(text) = text_of(block) else {
            found.strays.push(at);
            continue;
        };
        match serde_json::from_str::<Value>(text).ok() {
            Some(root) if structured == Some(&root) => found.mirrors.push(at),
            Some(root) if root.is_object() || root.is_array() => {
                found.channels.push(channel(Place::Block(at), root, true));
            }
            _ => {
                let root = Value::String(text.to_owned());
                found.channels.push(channel(Place::Block(at), root, false));
            }
        }
    }
    found
}

fn text_of(block: &Value) -> Option<&str> {
    match block.get("type").and_then(Value::as_str) {
        Some("text") => block.get("text")?.as_str(),
        Some("resource") => block.pointer("/resource/text")?.as_str(),
        _ => None,
    }
}

impl Channel {
    fn new(
        place: Place,
        root: Value,
        json: bool,
        tool: &Tool,
        arguments: &Map<String, Value>,
        key: &MemoryKey,
    ) -> Self {
        let located = locate(&tool.memory.result, &root, arguments);
        let outside = outside(&root, &located, &tool.memory.names);
        let store = tool.store();
        let items = located.into_iter().filter_map(|located| {
            let item = key.item(&store, &located.kind, &located.key)?;
            let digested = |fact: super::locate::LocatedFact| {
                Some(FoundFact {
                    digest: key.fact(&item, &fact.field, &fact.value)?,
                    pointer: fact.pointer,
                    value: fact.value,
                })
            };
            let facts = located.facts.into_iter().map(digested);
            Some(FoundItem {
                item,
                at: located.at,
                facts: facts.collect::<Option<_>>()?,
            })
        });
        Self {
            place,
            json,
            items: items.collect(),
            outside,
            root,
        }
    }
}

/// Pointers of what is neither a fact nor part of a key: texts and all other values, and members by whose name a pointer does
/// not know them, with whatever they hold. A name is read by the agent as any text is.
fn outside(root: &Value, located: &[LocatedItem], names: &HashSet<String>) -> Vec<String> {
    let facts = located.iter().flat_map(|item| &item.facts);
    let covered: HashSet<&str> = facts
        .map(|fact| fact.pointer.as_str())
        .chain(
            located
                .iter()
                .flat_map(|item| item.key_at.iter().map(String::as_str)),
        )
        .collect();
    let keyed: HashSet<&str> = located
        .iter()
        .filter(|item| item.is_under_its_key())
        .map(|item| item.at.as_str())
        .collect();
    let mut outside = Vec::new();
    let mut pending = vec![(String::new(), root, 0_usize)];
    while let Some((path, node, depth)) = pending.pop() {
        if covered.contains(path.as_str()) {
            continue;
        }
        let deeper = depth.saturating_add(1);
        match node {
            Value::String(_) | Value::Bool(_) | Value::Number(_) => outside.push(path),
            Value::Array(_) | Value::Object(_) if depth > JSON_DEPTH_MAX => outside.push(path),
            Value::Array(elements) => pending.extend(
                elements
                    .iter()
                    .enumerate()
                    .map(|(at, element)| (format!("{path}/{at}"), element, deeper)),
            ),
            Value::Object(members) => {
                for (name, member) in members {
                    let path = format!("{path}/{}", escaped(name));
                    if names.contains(name) || keyed.contains(path.as_str()) {
                        pending.push((path, member, deeper));
                    } else {
                        outside.push(path);
                    }
                }
            }
            Value::Null => {}
        }
    }
    outside
}

impl Found {
    /// What has to be known of them: each item once, with its facts.
    #[must_use]
    pub fn questions(&self) -> Vec<ItemQuestion> {
        let mut asked: Vec<ItemQuestion> = Vec::new();
        let mut at: HashMap<ItemId, usize> = HashMap::new();
        for item in self.channels.iter().flat_map(|channel| &channel.items) {
            let next = asked.len();
            let at = *at.entry(item.item).or_insert(next);
            if at == next {
                asked.push(ItemQuestion {
                    item: item.item,
                    facts: Vec::new(),
                });
            }
            if let Some(question) = asked.get_mut(at) {
                question
                    .facts
                    .extend(item.facts.iter().map(|fact| fact.digest));
            }
        }
        for question in &mut asked {
            question.facts.sort_unstable();
            question.facts.dedup();
        }
        asked
    }
}

/// A value that memory vouches for.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Believed {
    pub(crate) value: Value,
    pub(crate) trust: MemoryTrust,
    pub(crate) proved: Option<Proved>,
}

/// What became of an answer from memory.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Examined {
    /// In numbers, for audit and policies.
    pub summary: MemorySummary,
    /// Records of what was passed on.
    pub records: Vec<RecordHash>,
    pub(crate) believed: Vec<Believed>,
    /// Whether anything was passed on that may carry untrusted words.
    pub(crate) exposes: bool,
    /// Whether something was left out.
    pub altered: bool,
}

/// Judges an answer from memory and makes of it what may be passed on.
///
/// # Errors
/// The reason for which the whole answer is withheld, and how it stood.
pub fn examine(
    tool: &Tool,
    found: Found,
    view: &MemoryView,
    rule: MemoryRule,
    result: &mut Map<String, Value>,
) -> Result<Examined, (Reason, MemorySummary)> {
    if result.get("isError") == Some(&Value::Bool(true)) {
        return Ok(examine_error(rule, result));
    }
    let mut examiner = Examiner {
        view,
        names: &tool.memory.names,
        rule,
        examined: Examined::default(),
        worst: None,
        labels: Vec::new(),
    };
    let mut cut = Vec::new();
    for channel in &found.channels {
        cut.push(examiner.channel(channel));
    }
    for _ in &found.strays {
        examiner.outside();
    }
    let Examiner {
        mut examined,
        worst,
        labels,
        ..
    } = examiner;
    match (rule.action, worst) {
        (MemoryAction::Refuse, Some(reason)) => return Err((reason, examined.summary)),
        // All of it is passed on, but what was judged and nothing else: what is not seen here exposes nobody.
        (MemoryAction::Label, _) => cut.iter_mut().for_each(BTreeSet::clear),
        _ => {}
    }
    let strays = kept_strays(rule, &found.strays, result);
    let mut structured = result.get("structuredContent").cloned();
    let mut texts = HashMap::new();
    for (channel, cut) in found.channels.into_iter().zip(cut) {
        examined.altered |= !cut.is_empty();
        let json = channel.json;
        let left = without(channel.root, &cut);
        match channel.place {
            Place::Structured => structured = left,
            Place::Block(at) => drop(texts.insert(at, left.map(|left| written_out(&left, json)))),
        }
    }
    // A client would take the answer for broken.
    let fits = |schema: &crate::schema::Schema| {
        let left = structured.as_ref();
        left.is_some_and(|left| schema.fits(left))
    };
    if examined.altered && !tool.output().is_none_or(fits) {
        return Err((worst.unwrap_or(Reason::MemoryUnsigned), examined.summary));
    }
    for at in found.mirrors {
        let text = structured.as_ref().map(|left| written_out(left, true));
        texts.insert(at, text);
    }
    rebuild(result, structured, &mut texts, strays);
    label(result, &examined.summary, labels);
    Ok(examined)
}

struct Examiner<'v> {
    view: &'v MemoryView,
    /// What may be said of where something stands.
    names: &'v HashSet<String>,
    rule: MemoryRule,
    examined: Examined,
    worst: Option<Reason>,
    labels: Vec<Value>,
}

impl Examiner<'_> {
    /// Judges one channel; gives the pointers of what is to be left out.
    fn channel(&mut self, channel: &Channel) -> BTreeSet<Vec<Step>> {
        let mut cut = BTreeSet::new();
        let unknown = ItemView::default();
        for item in &channel.items {
            self.examined.summary.items = self.examined.summary.items.saturating_add(1);
            let view = self.view.get(&item.item).unwrap_or(&unknown);
            let mut stands = false;
            for fact in &item.facts {
                let standing = view.standing(&fact.digest);
                if self.fact(fact, standing) {
                    stands = true;
                } else if lies_in_array(&fact.pointer, &channel.root) && fact.pointer != item.at {
                    cut.insert(steps(&fact.pointer));
                } else {
                    // Half a record would be another one.
                    cut.insert(steps(&item.at));
                }
            }
            if !stands {
                if item.facts.is_empty() {
                    self.failed(Reason::MemoryUnsigned);
                }
                cut.insert(steps(&item.at));
            }
        }
        for pointer in &channel.outside {
            self.outside();
            if self.labels.len() < MEMORY_LABELS_MAX {
                self.labels
                    .push(json!({ "at": shown(pointer, self.names), "standing": "unsigned" }));
            }
            cut.insert(steps(pointer));
        }
        cut
    }

    /// Notes how a fact stands; whether it is passed on.
    fn fact(&mut self, fact: &FoundFact, standing: Standing) -> bool {
        let summary = &mut self.examined.summary;
        let counted = match standing {
            Standing::Signed(view) => match view.trust {
                MemoryTrust::Verified => &mut summary.verified,
                MemoryTrust::Agent => &mut summary.agent,
                MemoryTrust::Untrusted => &mut summary.untrusted,
            },
            Standing::Unsigned => &mut summary.unsigned,
            Standing::Altered => &mut summary.altered,
            Standing::RolledBack => &mut summary.rolled_back,
        };
        *counted = counted.saturating_add(1);
        let passes = standing.passes(self.rule);
        if !passes {
            self.failed(standing.reason());
            summary_dropped(&mut self.examined.summary, self.rule);
        }
        if self.labels.len() < MEMORY_LABELS_MAX {
            self.labels.push(
                json!({ "at": shown(&fact.pointer, self.names), "standing": standing.as_str() }),
            );
        }
        let passed_on = passes || self.rule.action == MemoryAction::Label;
        match standing {
            Standing::Signed(view) if passed_on => {
                self.examined.records.push(view.record);
                let clean = match view.trust {
                    MemoryTrust::Untrusted => false,
                    MemoryTrust::Agent => true,
                    MemoryTrust::Verified => view.proved == Some(Proved::Whole) || !view.exposed,
                };
                self.examined.exposes |= !clean;
                if view.trust > MemoryTrust::Untrusted {
                    self.examined.believed.push(Believed {
                        value: fact.value.clone(),
                        trust: view.trust,
                        proved: view.proved,
                    });
                }
            }
            _ => self.examined.exposes |= passed_on,
        }
        passes
    }

    /// Notes a text, or a block, that belongs to no item.
    fn outside(&mut self) {
        let summary = &mut self.examined.summary;
        summary.unsigned = summary.unsigned.saturating_add(1);
        summary_dropped(summary, self.rule);
        self.examined.exposes |= self.rule.action == MemoryAction::Label;
        self.failed(Reason::MemoryUnsigned);
    }

    /// What is worst says why an answer is refused.
    fn failed(&mut self, reason: Reason) {
        let weight = |reason: &Reason| match reason {
            Reason::MemoryAltered => 3,
            Reason::MemoryRolledBack => 2,
            Reason::MemoryUnsigned => 1,
            _ => 0,
        };
        if self
            .worst
            .as_ref()
            .is_none_or(|worst| weight(worst) < weight(&reason))
        {
            self.worst = Some(reason);
        }
    }
}

/// A pointer, for a label: of names only those that the tool's own pointers have.
fn shown(pointer: &str, names: &HashSet<String>) -> String {
    let step = |step: &str| {
        let is_index = !step.is_empty() && step.bytes().all(|b| b.is_ascii_digit());
        match is_index && step.len() < 5 || names.contains(&unescaped(step)) {
            true => format!("/{step}"),
            false => "/(name)".to_owned(),
        }
    };
    pointer.split('/').skip(1).map(step).collect()
}

fn summary_dropped(summary: &mut MemorySummary, rule: MemoryRule) {
    if rule.action != MemoryAction::Label {
        summary.dropped = summary.dropped.saturating_add(1);
    }
}

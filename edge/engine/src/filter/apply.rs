//! The rules carried out on texts and JSON values.

use super::rewrite::{self, Edit};
use super::rules::{Expected, Place, Rules};
use super::vault::Vault;
use super::{Class, Match};
use proctor_model::Reason;
use proctor_model::catalogue::Role;
use proctor_model::content::{Confidence, ContentAction, ContentFinding};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A tenant's rules at one place: what is done there, and where placeholders come from.
#[derive(Clone, Copy)]
pub struct Content<'a> {
    /// The rules.
    pub rules: &'a Rules,
    /// Where the text goes or comes from.
    pub place: Place<'a>,
    /// Placeholders of the session; without one, what is to be tokenised is redacted.
    pub vault: Option<&'a Vault>,
    /// Roles of a tool's arguments, by JSON Pointer.
    pub roles: Option<&'a BTreeMap<String, Role>>,
}

/// A match as it is explained to people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explained {
    /// Name of the class.
    pub class: String,
    /// What stands in its place where it has no other form (`[EMAIL]`).
    pub label: String,
    /// Where, in bytes.
    pub range: std::ops::Range<usize>,
    /// How sure.
    pub confidence: Confidence,
    /// What the rules do.
    pub action: ContentAction,
}

/// What came of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome<T> {
    /// What was found, per class and action, in order of both; without what is allowed.
    pub findings: Vec<ContentFinding>,
    /// The strictest action that was called for.
    pub strictest: ContentAction,
    /// What goes on in its stead, if anything was altered.
    pub altered: Option<T>,
}

impl<T> Outcome<T> {
    /// Why it may not pass, if it may not.
    #[must_use]
    pub fn refusal(&self) -> Option<Reason> {
        match self.strictest {
            ContentAction::Block => Some(Reason::ContentBlocked),
            ContentAction::Escalate => Some(Reason::ApprovalRequired),
            _ => None,
        }
    }

    /// The classes that stand in the way, for a message: names and counts, no values.
    #[must_use]
    pub fn classes(&self) -> String {
        self.named().collect::<Vec<_>>().join(", ")
    }

    /// The same, each by itself.
    pub(crate) fn named(&self) -> impl Iterator<Item = String> {
        let strict = self
            .findings
            .iter()
            .filter(|finding| finding.action == self.strictest);
        strict.map(|finding| format!("{}: {}", finding.class, finding.count))
    }
}

/// Shortest text that is looked at, in bytes: nothing that is looked for is shorter, but for what a tenant looks for.
const TEXT_LEAST: usize = 4;

impl Content<'_> {
    /// Carries the rules out on a JSON value: keys, texts and numbers at any depth.
    #[must_use]
    pub fn treat(&self, value: &Value) -> Outcome<Value> {
        let mut walk = Walk::new(self);
        let altered = walk.value(value, "");
        walk.outcome(altered)
    }

    /// The same on the members of an object.
    #[must_use]
    pub fn treat_members(&self, members: &Map<String, Value>) -> Outcome<Map<String, Value>> {
        let mut walk = Walk::new(self);
        let altered = walk.members(members);
        walk.outcome(altered)
    }

    /// The same on a text.
    #[must_use]
    pub fn treat_text(&self, text: &str) -> Outcome<String> {
        let mut walk = Walk::new(self);
        let altered = walk.text(text, "");
        walk.outcome(altered)
    }

    /// The same on a text that is called something where it stands.
    #[must_use]
    pub fn treat_named(&self, text: &str, key: &str) -> Outcome<String> {
        let mut walk = Walk::new(self);
        let altered = walk.text(text, key);
        walk.outcome(altered)
    }

    /// Every match in a text, and what the rules do about it: for whoever writes rules.
    #[must_use]
    pub fn explain(&self, text: &str, key: &str) -> Vec<Explained> {
        let filter = self.rules.filter();
        let explain = |hit: Match| Explained {
            class: filter.name(hit.class).to_owned(),
            label: rewrite::label(filter, hit.class),
            action: self.action_of(&hit, text),
            confidence: hit.confidence,
            range: hit.range,
        };
        filter.find(text, key).into_iter().map(explain).collect()
    }

    pub(super) fn action_of(&self, hit: &Match, text: &str) -> ContentAction {
        Walk::new(self).action(hit, text)
    }

    /// A part of a text with the matches in it replaced that have to go.
    pub(super) fn edited_between(
        &self,
        text: &str,
        from: usize,
        to: usize,
        found: &[Match],
    ) -> String {
        let part = text.get(from..to).unwrap_or_default();
        let inside: Vec<Match> = found
            .iter()
            .filter(|hit| hit.range.start >= from && hit.range.end <= to)
            .map(|hit| Match {
                range: hit.range.start.saturating_sub(from)..hit.range.end.saturating_sub(from),
                ..hit.clone()
            })
            .collect();
        Walk::new(self)
            .edited(part, "", &inside)
            .unwrap_or_else(|| part.to_owned())
    }

    /// Puts back what the session's placeholders in a value stand for, as far as the tool may see it.
    #[must_use]
    pub fn put_back(&self, members: &Map<String, Value>) -> Option<Map<String, Value>> {
        let (Some(vault), Some((tool, _))) = (self.vault, self.place.tool) else {
            return None;
        };
        if vault.is_empty() {
            return None;
        }
        let may = |name: &str| {
            self.rules
                .class(name)
                .is_some_and(|class| self.rules.reveals(class, tool))
        };
        let restore = |text: &str| vault.put_back(text, &may);
        map_members(members, &restore)
    }
}

impl Rules {
    /// A value with everything of these classes (names of classes and groups) redacted, whatever the rules say, and how
    /// many matches went; `None` if there is nothing.
    #[must_use]
    pub fn redacted(
        &self,
        value: &Value,
        is_meant: &dyn Fn(&str) -> bool,
        place: Place<'_>,
    ) -> Option<(Value, u64)> {
        let content = Content {
            rules: self,
            place,
            vault: None,
            roles: None,
        };
        let mut walk = Walk::new(&content);
        let meant = |class: Class, confidence: Confidence| {
            let group = match class {
                Class::Known(class) => class.group().as_str(),
                Class::Custom(_) => "custom",
            };
            let named = is_meant(self.filter().name(class)) || is_meant(group) || is_meant("all");
            if named && confidence > Confidence::Low {
                ContentAction::Redact
            } else {
                ContentAction::Allow
            }
        };
        walk.instead = Some(&meant);
        let redacted = walk.value(value, "")?;
        let counts = walk.counts.values().map(|count| u64::from(*count));
        Some((redacted, counts.fold(0, u64::saturating_add)))
    }
}

fn map_members(
    members: &Map<String, Value>,
    map: &dyn Fn(&str) -> Option<String>,
) -> Option<Map<String, Value>> {
    let mut any = false;
    let mut new = Map::new();
    for (key, value) in members {
        let (new_key, changed) = (map(key), map_value(value, map));
        any |= new_key.is_some() || changed.is_some();
        let mut key = new_key.unwrap_or_else(|| key.clone());
        // Two keys may have become one.
        while new.contains_key(&key) {
            key.push('_');
        }
        new.insert(key, changed.unwrap_or_else(|| value.clone()));
    }
    any.then_some(new)
}

fn map_value(value: &Value, map: &dyn Fn(&str) -> Option<String>) -> Option<Value> {
    match value {
        Value::String(text) => map(text).map(Value::String),
        Value::Array(elements) => {
            let changed: Vec<_> = elements
                .iter()
                .map(|element| map_value(element, map))
                .collect();
            merge(elements, changed)
        }
        Value::Object(members) => map_members(members, map).map(Value::Object),
        _ => None,
    }
}

/// The elements with those that changed in their places; `None` if none did.
fn merge(elements: &[Value], changed: Vec<Option<Value>>) -> Option<Value> {
    if changed.iter().all(Option::is_none) {
        return None;
    }
    let pairs = elements.iter().zip(changed);
    Some(
        pairs
            .map(|(element, changed)| changed.unwrap_or_else(|| element.clone()))
            .collect(),
    )
}

type Decide<'d> = dyn Fn(Class, Confidence) -> ContentAction + 'd;

struct Walk<'a> {
    content: &'a Content<'a>,
    instead: Option<&'a Decide<'a>>,
    counts: BTreeMap<(Class, ContentAction), u32>,
    strictest: ContentAction,
    /// Where the walk is, as a JSON Pointer; kept up only where roles ask for it.
    path: String,
    /// Pointers of arguments that are credentials.
    credentials: Vec<&'a str>,
}

/// Members that say what the one called `value` beside them is of.
const NAMES: [&str; 6] = ["name", "Name", "NAME", "key", "Key", "KEY"];

/// What a member's value is called: `{"name": "DB_PASSWORD", "value": …}` says it beside.
fn called<'m>(members: &'m Map<String, Value>, key: &'m str) -> &'m str {
    if !key.eq_ignore_ascii_case("value") {
        return key;
    }
    let name = |member: &&str| members.get(*member).and_then(Value::as_str);
    NAMES.iter().find_map(name).unwrap_or(key)
}

impl<'a> Walk<'a> {
    fn new(content: &'a Content<'a>) -> Self {
        Self {
            content,
            instead: None,
            counts: BTreeMap::new(),
            strictest: ContentAction::Allow,
            path: String::new(),
            credentials: content
                .roles
                .into_iter()
                .flatten()
                .filter(|(_, role)| **role == Role::Credential)
                .map(|(pointer, _)| pointer.as_str())
                .collect(),
        }
    }

    /// Goes one step down, does something there, and comes back.
    fn at<T>(&mut self, step: &str, act: impl FnOnce(&mut Self) -> T) -> T {
        if self.credentials.is_empty() {
            return act(self);
        }
        let length = self.path.len();
        self.path.push('/');
        self.path
            .push_str(&step.replace('~', "~0").replace('/', "~1"));
        let done = act(self);
        self.path.truncate(length);
        done
    }

    fn expected(&self) -> Expected {
        let here = |pointer: &&&str| {
            let mut path = self.path.split('/').skip(1);
            pointer
                .split('/')
                .skip(1)
                .all(|step| path.next().is_some_and(|at| step == "*" || step == at))
        };
        match self.credentials.iter().find(here) {
            Some(_) => Expected::Credential,
            None => Expected::Anything,
        }
    }

    fn outcome<T>(self, altered: Option<T>) -> Outcome<T> {
        let filter = self.content.rules.filter();
        let direction = self.content.place.direction;
        let mut findings: Vec<_> = self
            .counts
            .into_iter()
            .map(|((class, action), count)| ContentFinding {
                class: filter.name(class).to_owned(),
                direction,
                action,
                count,
            })
            .collect();
        findings.sort();
        Outcome {
            findings,
            strictest: self.strictest,
            altered,
        }
    }

    fn value(&mut self, value: &Value, key: &str) -> Option<Value> {
        match value {
            Value::String(text) => self.text(text, key).map(Value::String),
            Value::Number(number) => {
                let text = number.to_string();
                self.text(&text, key).map(Value::String)
            }
            Value::Array(elements) => {
                let changed: Vec<_> = elements
                    .iter()
                    .map(|element| self.at("*", |walk| walk.value(element, key)))
                    .collect();
                merge(elements, changed)
            }
            Value::Object(members) => self.members(members).map(Value::Object),
            Value::Null | Value::Bool(_) => None,
        }
    }

    fn members(&mut self, members: &Map<String, Value>) -> Option<Map<String, Value>> {
        let mut any = false;
        let changed: Vec<_> = members
            .iter()
            .map(|(key, value)| {
                let new_key = self.text(key, "");
                let called = called(members, key);
                let new_value = self.at(key, |walk| walk.value(value, called));
                any |= new_key.is_some() || new_value.is_some();
                (new_key, new_value)
            })
            .collect();
        if !any {
            return None;
        }
        let mut new = Map::new();
        for ((key, value), (new_key, new_value)) in members.iter().zip(changed) {
            let mut key = new_key.unwrap_or_else(|| key.clone());
            // Two keys may have become one.
            while new.contains_key(&key) {
                key.push('_');
            }
            new.insert(key, new_value.unwrap_or_else(|| value.clone()));
        }
        Some(new)
    }

    fn text(&mut self, text: &str, key: &str) -> Option<String> {
        if text.len() < TEXT_LEAST && !self.content.rules.filter().has_own() {
            return None;
        }
        let found = self.content.rules.filter().find(text, key);
        for hit in &found {
            let action = self.action(hit, text);
            if action != ContentAction::Allow {
                self.strictest = self.strictest.max(action);
                let count = self.counts.entry((hit.class, action)).or_default();
                *count = count.saturating_add(1);
            }
        }
        self.edited(text, key, &found)
    }

    fn action(&self, hit: &Match, text: &str) -> ContentAction {
        let own = |vault: &Vault| {
            text.get(hit.range.clone())
                .is_some_and(|value| vault.made(value))
        };
        if self.content.vault.is_some_and(own) {
            return ContentAction::Allow;
        }
        match self.instead {
            Some(decide) => decide(hit.class, hit.confidence),
            None => self.content.rules.action(
                hit.class,
                hit.confidence,
                self.content.place,
                self.expected(),
            ),
        }
    }

    /// The text with what has to go replaced.
    fn edited(&self, text: &str, key: &str, found: &[Match]) -> Option<String> {
        let edits: Vec<_> = found
            .iter()
            .filter_map(|hit| {
                let value = text.get(hit.range.clone())?;
                let with = self.replacement(hit, value, key, self.action(hit, text))?;
                Some(Edit { hit, with })
            })
            .collect();
        if edits.is_empty() {
            return None;
        }
        let mut again = |inside: &str| {
            let found = self.content.rules.filter().find(inside, key);
            self.edited(inside, key, &found).unwrap_or_default()
        };
        Some(rewrite::rewrite(text, &edits, &mut again))
    }

    /// What stands in for a value; `None` if the value stays.
    fn replacement(
        &self,
        hit: &Match,
        value: &str,
        key: &str,
        action: ContentAction,
    ) -> Option<String> {
        let filter = self.content.rules.filter();
        let label = || rewrite::label(filter, hit.class);
        let plain = rewrite::plain(value, hit.carrier);
        match action {
            // What a person agrees to goes out as it is; an answer is withheld as a whole.
            ContentAction::Allow | ContentAction::Count | ContentAction::Escalate => None,
            // Its form can't be kept without breaking the JSON around it.
            ContentAction::Mask | ContentAction::Tokenise
                if rewrite::has_escapes(&plain, hit.carrier) =>
            {
                Some(label())
            }
            ContentAction::Mask => Some(rewrite::mask(&plain)),
            ContentAction::Tokenise => {
                let stands_in = self
                    .content
                    .vault
                    .and_then(|vault| vault.stand_in(filter, hit.class, &plain, key));
                Some(stands_in.unwrap_or_else(label))
            }
            // What is blocked is never forwarded; it goes all the same.
            ContentAction::Redact | ContentAction::Block => Some(label()),
        }
    }
}

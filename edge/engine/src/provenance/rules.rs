//! Which argument needs what proof, from the tool's labels and the intent's own words.

mod dictated;
mod leads;
mod moment;
mod money;
mod neighbours;
mod opened;
mod proof;
mod reply;
mod seen;

use super::constants::Constants;
use super::passage::Passage;
use super::plan::{Need, Pattern, Plan};
use super::query::Spelled;
use super::tracker::Tracker;
use dictated::{has_few_digits, may_give_right, stands_everywhere};
use neighbours::Tail;
use opened::names_something;
use proctor_model::ToolRef;
use proctor_model::catalogue::MemoryTrust;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

pub(crate) use moment::Times;
pub(crate) use seen::{Written, origins, written};

/// An origin that an intent accepts.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Origin {
    Goal,
    /// What the goal's action has among its constants, and no word of the goal itself.
    Constant,
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
    /// The same as a JSON Pointer, with the indices.
    way: String,
    /// Pointers to arguments that are JSON in a text.
    texts: HashSet<&'v str>,
    /// Where in `way` the pointer to the outermost of them ends that the walk is in.
    text: Option<usize>,
    /// What the texts at one place of a list ended with.
    tails: HashMap<Vec<&'v str>, Tail>,
}

impl<'v> Judged<'v> {
    /// Goes one step down, and up again.
    fn below(&mut self, step: &'v str, index: Option<usize>, walk: impl FnOnce(&mut Self)) {
        let (length, text) = (self.way.len(), self.text);
        self.path.push(step);
        let name: Cow<'_, str> = match index {
            Some(index) => Cow::Owned(index.to_string()),
            None if step.contains(['~', '/']) => {
                Cow::Owned(step.replace('~', "~0").replace('/', "~1"))
            }
            None => Cow::Borrowed(step),
        };
        self.way.push('/');
        self.way.push_str(&name);
        if self.text.is_none() && self.texts.contains(self.way.as_str()) {
            self.text = Some(self.way.len());
        }
        walk(self);
        self.path.pop();
        self.way.truncate(length);
        self.text = text;
    }

    /// Which argument the walk is at: in a text that is JSON, the text.
    fn pointer(&self) -> String {
        let end = self.text.unwrap_or(self.way.len());
        self.way.get(..end).unwrap_or_default().to_owned()
    }

    /// Whether the walk is in a text that is JSON.
    fn is_in_text(&self) -> bool {
        self.text.is_some()
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
    /// Those of the action that the call is held against.
    pub(crate) constants: &'a Constants,
    pub(crate) session: &'a Tracker,
    /// Empty for each call.
    pub(crate) times: &'a Times,
}

const DEFAULT: [Origin; 2] = [Origin::Goal, Origin::Trusted];

impl Evidence<'_> {
    /// Holds each argument against the tool's plan and the action's own origins; returns what does not hold.
    pub(crate) fn check(&self, plan: &Plan, origins: &Origins, arguments: &Value) -> Vec<Broken> {
        let opened = self.opened(plan, origins, arguments);
        let arguments = match &opened {
            Some(opened) => &opened.arguments,
            None => arguments,
        };
        let texts = opened.iter().flat_map(|opened| &opened.texts);
        let mut judged = Judged {
            texts: texts.map(String::as_str).collect(),
            ..Judged::default()
        };
        let unread = opened.iter().flat_map(|opened| &opened.broken);
        judged.broken.extend(unread.cloned());
        let declared = origins.0.iter().map(|(at, _)| (at, false));
        let planned = plan.rules.iter().filter_map(|rule| {
            let proved = matches!(rule.need, Need::Proved | Need::Credential | Need::Exact);
            proved.then_some((&rule.at, rule.required))
        });
        for (at, required) in declared.chain(planned) {
            if !at.is_filled_in(required, arguments) {
                let text = format!("{} is empty or missing", at.text);
                judged.broken.push(Broken { text, place: None });
            }
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
                        // In a text no schema says what the names are; the tool's words for people may.
                        let in_text = judged.is_in_text();
                        let described = in_text && plan.describes(key) && names_something(member);
                        if !described {
                            judged.note(self.key(plan, origins, key, in_text, &judged.path));
                        }
                        self.walk(plan, origins, member, judged);
                    });
                }
            }
            scalar => {
                let mut good = self.scalar(plan, origins, scalar, &judged.path);
                if good.is_ok() {
                    let in_text = judged.is_in_text();
                    good = self.named_phone(plan, origins, scalar, in_text, &judged.path);
                }
                judged.note(good);
                if let Value::String(text) = scalar {
                    let joined = self.joined(plan, origins, text, judged);
                    judged.note(joined);
                }
            }
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
            (Some(need @ (Need::Credential | Need::Exact | Need::Leads)), Some((_, origins))) => {
                (need, origins)
            }
            (_, Some((_, origins))) => (Need::Proved, origins),
            (Some(need), None) => (need, &DEFAULT),
            (None, None) => (plan.rest, &DEFAULT),
        }
    }

    /// A member's name may be a value as well: what leads out in it needs proof, and so does the whole name where values do,
    /// unless it is one of the tool's or of the declaration's.
    fn key(
        &self,
        plan: &Plan,
        origins: &Origins,
        key: &str,
        in_text: bool,
        path: &[&str],
    ) -> Result<(), Broken> {
        let (need, accepted) = self.rule(plan, origins, path);
        let named = || accepted.contains(&Origin::Goal) && self.constants.has_name(path, key);
        match need {
            Need::Nothing => Ok(()),
            _ if named() => Ok(()),
            Need::Proved | Need::Credential | Need::Exact
                if is_own_name(plan, origins, key, path) =>
            {
                self.name(key, need != Need::Proved, accepted, path)
            }
            // What a text says is asked for as the text is.
            _ => self.leads(key, in_text && need == Need::Links, accepted, path),
        }
    }

    fn name(
        &self,
        name: &str,
        exact: bool,
        accepted: &[Origin],
        path: &[&str],
    ) -> Result<(), Broken> {
        let name = Spelled::text(name.to_owned());
        if accepted.contains(&Origin::Any) || self.has_origin(&name, exact, accepted, path) {
            return Ok(());
        }
        // A value is not shown, be it in the place of a name.
        let way = path.split_last().map_or(path, |(_, way)| way);
        let shown: Vec<&str> = way.iter().copied().chain([HIDDEN_NAME]).collect();
        let seen = self.session.suspect(&self.session.query(&name));
        Err(broken(&shown, "a name", seen))
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
        let narrowed = self.of_amount(plan, scalar, accepted, path);
        let accepted: &[Origin] = &narrowed;
        let covered = plan.rules.iter().any(|rule| rule.at.covers(path))
            || origins.0.iter().any(|(at, _)| at.covers(path));
        match (need, scalar) {
            (Need::Nothing, _) => Ok(()),
            (
                Need::Proved | Need::NotSuspect | Need::NotDictated | Need::ListedCurrency,
                Value::String(text),
            ) if self.is_known_currency(plan, text, accepted, path) => Ok(()),
            // By an operator's or a declarer's word all values at the place are meant; by default, all texts and long numbers.
            (Need::Proved | Need::Credential | Need::Exact, Value::Bool(flag)) if covered => {
                self.flag(*flag, accepted, path)
            }
            (Need::GuardedChoice | Need::Guarded, Value::Bool(flag))
                if self.session.is_exposed() && may_give_right(path, *flag) =>
            {
                self.flag(*flag, accepted, path)
            }
            (_, Value::Bool(_) | Value::Null) => Ok(()),
            // Which number is an account, nobody says of a tool without labels.
            (Need::Proved, Value::Number(number)) if !covered && has_few_digits(number) => {
                self.not_suspect(scalar, accepted, path)
            }
            (Need::Proved | Need::Credential | Need::Exact, _) => {
                self.proved(scalar, need, accepted, path)
            }
            (Need::NotDictated, _) if stands_everywhere(scalar) => Ok(()),
            (Need::NotSuspect | Need::NotDictated, _) => self.not_suspect(scalar, accepted, path),
            (Need::ListedCurrency, _) if self.names_currency() => {
                self.not_suspect(scalar, accepted, path)
            }
            (Need::GuardedChoice | Need::Guarded, _) => {
                self.not_pressed(scalar, need, accepted, path)
            }
            (Need::Leads | Need::FreeChoice | Need::ListedCurrency, Value::String(text)) => {
                self.leads(text, false, accepted, path)
            }
            (Need::Links, Value::String(text)) => self.leads(text, true, accepted, path),
            (Need::Leads | Need::Links | Need::FreeChoice | Need::ListedCurrency, _) => Ok(()),
        }
    }
}

/// Whether a member's name is a word of the caller's: neither the tool nor the action has it.
fn is_own_name(plan: &Plan, origins: &Origins, name: &str, path: &[&str]) -> bool {
    let mut declared = origins
        .0
        .iter()
        .filter(|(at, _)| at.covers(path))
        .peekable();
    let planned = || plan.rules.iter().any(|rule| rule.at.covers(path));
    let labelled = declared.peek().is_some() || planned();
    plan.is_own_name(name, path, labelled)
        && !declared.any(|(at, _)| at.steps.iter().any(|step| step == name))
}

/// What stands for a step that may not be shown.
const HIDDEN_NAME: &str = "(name)";

/// A step of a pointer as it may be shown: agents write the names of members too, and may put a value there.
fn shown(step: &str) -> &str {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-*".contains(&b);
    let digits = step.bytes().filter(u8::is_ascii_digit).count();
    if step.len() <= 40 && step.bytes().all(plain) && digits < 5 {
        step
    } else {
        HIDDEN_NAME
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_text_that_is_json_the_text_is_meant() {
        let mut judged = Judged {
            texts: HashSet::from(["/a~1b/1", "/a~1b/1/c~0"]),
            ..Judged::default()
        };
        judged.below("a/b", None, |judged| {
            assert!(!judged.is_in_text());
            judged.below("*", Some(1), |judged| {
                judged.below("c~", None, |judged| assert_eq!(judged.pointer(), "/a~1b/1"));
                assert!(judged.is_in_text());
            });
            judged.below("*", Some(11), |judged| {
                assert!(!judged.is_in_text());
                assert_eq!(judged.pointer(), "/a~1b/11");
            });
        });
        assert_eq!(judged.pointer(), "");
    }
}

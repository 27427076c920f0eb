//! What a policy sees: `input`, exactly as contracts.md section 6 lists it, as far as the fields exist by now.
//!
//! The parts that don't change from call to call are built once, with the token, the tool and the intent.

use crate::budget::Remaining;
use crate::catalogue::Tool;
use crate::history::{History, Past};
use crate::memory::Writing;
use crate::token::VerifiedToken;
use crate::world::World;
use proctor_model::ToolRef;
use proctor_model::catalogue::{CatalogueEntry, MemoryTrust};
use proctor_model::content::ContentFinding;
use proctor_model::intent::Intent;
use proctor_model::memory::MemorySummary;
use regorus::Value;
use serde_json::json;
use std::collections::BTreeMap;

/// The call that a policy judges.
pub struct Subject<'a> {
    /// Its token.
    pub token: &'a VerifiedToken,
    /// The tool.
    pub tool: &'a Tool,
    /// The arguments.
    pub arguments: &'a serde_json::Map<String, serde_json::Value>,
    /// Where their values were seen ([`Facts::origins`](crate::Facts)).
    pub origins: &'a BTreeMap<String, Vec<String>>,
    /// What it writes to memory, if it does.
    pub memory: Option<&'a Writing>,
    /// What the content filter found in the arguments.
    pub content: &'a [ContentFinding],
    /// What came back, in the response phase.
    pub result: Option<ResultView<'a>>,
}

/// What a policy sees of an answer: numbers, no values; but of a model's the tool calls that it asks for.
#[derive(Clone, Copy, Debug)]
pub struct ResultView<'a> {
    /// Rows.
    pub rows: u64,
    /// Size, in bytes.
    pub bytes: u64,
    /// Whether it is an error, the tool's or the protocol's.
    pub error: bool,
    /// `{name, arguments}` of each tool call that a model asks for.
    pub tool_calls: Option<&'a [serde_json::Value]>,
    /// How the memory that it shows stands, if its tool reads memory.
    pub memory: Option<MemorySummary>,
}

impl Subject<'_> {
    /// The `input` document. Phases differ in `phase`, `result` and `memory` alone: [`super::phase`] relies on it.
    pub(super) fn input(&self, world: &World<'_>) -> Value {
        self.input_after(world.read.history.policy_view.clone(), world)
    }

    /// The same, where the session is to have done something else than it has.
    pub(super) fn input_after(&self, history: Value, world: &World<'_>) -> Value {
        let intent = world
            .intent
            .filter(|intent| self.token.intent() == Some(intent.id()));
        let text = |text: &str| Value::String(text.into());
        let mut members = BTreeMap::new();
        let mut put = |key: &str, value: Value| {
            members.insert(Value::String(key.into()), value);
        };
        match self.result {
            None => put("phase", text("request")),
            Some(result) => {
                put("phase", text("response"));
                put("result", result.view());
            }
        }
        put("tenant", text(world.tenant.id().as_str()));
        put("region", text(world.region.as_str()));
        put("time", text(&world.now.to_string()));
        put("agent", text(self.token.agent().as_str()));
        if let Some(user) = intent.and_then(|intent| intent.user()) {
            put("user", text(user.as_str()));
        }
        if let Some(session) = self.token.session() {
            put("session", text(session.as_str()));
        }
        let delegation = self.token.delegation().iter();
        put(
            "delegation",
            delegation
                .map(|name| text(name.as_str()))
                .collect::<Vec<_>>()
                .into(),
        );
        put("token", self.token.policy_view.clone());
        put("tool", self.tool.policy_view.clone());
        put("args", convert_object(self.arguments));
        let origins = self.origins.iter().map(|(pointer, origins)| {
            let origins: Vec<Value> = origins.iter().map(|origin| text(origin)).collect();
            (text(pointer), origins.into())
        });
        put("origins", Value::from(origins.collect::<BTreeMap<_, _>>()));
        put("content", content_view(self.content));
        // A tool either writes memory or reads it.
        let read = self.result.and_then(|result| result.memory);
        let memory = self.memory.map(writing_view);
        if let Some(memory) = memory.or_else(|| read.map(reading_view)) {
            put("memory", memory);
        }
        put(
            "history",
            with_incomplete(history, world.read.is_incomplete()),
        );
        put("budget", budget_view(world.remaining));
        if let Some(intent) = intent {
            put("intent", intent.policy_view.clone());
        }
        Value::from(members)
    }
}

impl ResultView<'_> {
    fn view(self) -> Value {
        let numbers = [("rows", self.rows), ("bytes", self.bytes)];
        let mut members: BTreeMap<Value, Value> = numbers
            .into_iter()
            .map(|(name, number)| (Value::String(name.into()), Value::from(number)))
            .collect();
        members.insert(Value::String("error".into()), Value::from(self.error));
        if let Some(calls) = self.tool_calls {
            let calls = Value::from(calls.iter().map(convert).collect::<Vec<_>>());
            members.insert(Value::String("tool_calls".into()), calls);
        }
        Value::from(members)
    }
}

/// `input.content`: how many were found, by class.
pub(crate) fn content_view(findings: &[ContentFinding]) -> Value {
    let mut counts = BTreeMap::<&str, u64>::new();
    for finding in findings {
        let count = counts.entry(&finding.class).or_default();
        *count = count.saturating_add(finding.count.into());
    }
    let counts = counts
        .into_iter()
        .map(|(class, count)| (Value::String(class.into()), Value::from(count)));
    Value::from(counts.collect::<BTreeMap<_, _>>())
}

/// `input.budget`: the least that is left by meter, and each account.
fn budget_view(remaining: &[Remaining]) -> Value {
    let text = |text: &str| Value::String(text.into());
    let units = |units: u64| Value::from(i64::try_from(units).unwrap_or(i64::MAX));
    let mut least = BTreeMap::new();
    let mut accounts = Vec::with_capacity(remaining.len());
    for Remaining {
        account,
        units: left,
    } in remaining
    {
        let least = least.entry(account.meter).or_insert(*left);
        *least = (*least).min(*left);
        accounts.push(Value::from(BTreeMap::from([
            (text("scope"), text(account.scope.as_str())),
            (text("meter"), text(account.meter.as_str())),
            (text("window"), text(&account.window.to_string())),
            (text("remaining"), units(*left)),
        ])));
    }
    let least = least
        .into_iter()
        .map(|(meter, left)| (text(meter.as_str()), units(left)));
    Value::from(BTreeMap::from([
        (
            text("remaining"),
            Value::from(least.collect::<BTreeMap<_, _>>()),
        ),
        (text("accounts"), accounts.into()),
    ]))
}

/// `input.memory` of a call that writes.
fn writing_view(writing: &Writing) -> Value {
    convert(&json!({
        "use": "write",
        "items": writing.drafts.len(),
        "verified": writing.count(MemoryTrust::Verified),
        "agent": writing.count(MemoryTrust::Agent),
        "untrusted": writing.count(MemoryTrust::Untrusted),
        "trust": writing.trust(),
        "exposed": writing.exposed,
    }))
}

/// `input.memory` of an answer from memory.
fn reading_view(read: MemorySummary) -> Value {
    convert(&json!({
        "use": "read",
        "items": read.items,
        "verified": read.verified,
        "agent": read.agent,
        "untrusted": read.untrusted,
        "unsigned": read.unsigned,
        "altered": read.altered,
        "rolled_back": read.rolled_back,
        "foreign": read.foreign,
        "dropped": read.dropped,
    }))
}

/// `input.history`.
pub(crate) fn history_view(history: &History) -> Value {
    let by_verb: serde_json::Map<_, _> = history
        .by_verb
        .iter()
        .map(|(verb, calls)| (verb.as_str().to_owned(), (*calls).into()))
        .collect();
    let last: Vec<_> = history.last.iter().map(past_view).collect();
    let mut view = convert(&json!({
        "calls": history.calls,
        "by_verb": by_verb,
        "untrusted_reads": history.untrusted_reads,
        "rows": history.rows,
    }));
    put(&mut view, "last", last.into());
    view
}

fn past_view(past: &Past) -> Value {
    convert(
        &json!({"server": past.tool.server, "name": past.tool.name, "verb": past.verb, "at": past.at}),
    )
}

/// The latest call, in what policies see of the history.
pub(crate) fn view_call(history: &mut History) {
    let Some(past) = history.last.back() else {
        return;
    };
    let calls = history.by_verb.get(&past.verb).copied().unwrap_or_default();
    let (verb, latest, kept) = (past.verb, past_view(past), history.last.len());
    let view = &mut history.policy_view;
    put(view, "calls", Value::from(history.calls));
    if let Some(by_verb) = member(view, "by_verb") {
        put(by_verb, verb.as_str(), Value::from(calls));
    }
    let before = member(view, "last").and_then(|last| last.as_array().ok());
    let before = before.into_iter().flat_map(|last| last.iter().cloned());
    // One more than are kept, at most: the oldest goes.
    let last: Vec<Value> = before.chain([latest]).collect();
    let gone = last.len().saturating_sub(kept);
    put(
        view,
        "last",
        last.into_iter().skip(gone).collect::<Vec<_>>().into(),
    );
}

/// The counts of what was read, in what policies see of the history.
pub(crate) fn view_reads(history: &mut History) {
    let view = &mut history.policy_view;
    put(
        view,
        "untrusted_reads",
        Value::from(history.untrusted_reads),
    );
    put(view, "rows", Value::from(history.rows));
}

fn member<'v>(object: &'v mut Value, name: &str) -> Option<&'v mut Value> {
    let members = object.as_object_mut().ok()?;
    members.get_mut(&Value::String(name.into()))
}

fn put(object: &mut Value, name: &str, value: Value) {
    if let Ok(members) = object.as_object_mut() {
        members.insert(Value::String(name.into()), value);
    }
}

/// `input.history.incomplete`: whether something may have been done or read before that is not known here.
fn with_incomplete(mut history: Value, incomplete: bool) -> Value {
    put(&mut history, "incomplete", Value::from(incomplete));
    history
}

/// A JSON value as the machine's value. (Its own conversion goes through a deserializer: several times slower.)
fn convert(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::String(text) => Value::String(text.as_str().into()),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Value::from(number),
            (None, Some(number)) => Value::from(number),
            (None, None) => Value::Null,
        },
        serde_json::Value::Array(elements) => {
            Value::from(elements.iter().map(convert).collect::<Vec<_>>())
        }
        serde_json::Value::Object(members) => convert_object(members),
    }
}

fn convert_object(members: &serde_json::Map<String, serde_json::Value>) -> Value {
    Value::from(
        members
            .iter()
            .map(|(key, value)| (Value::String(key.as_str().into()), convert(value)))
            .collect::<BTreeMap<_, _>>(),
    )
}

/// `input.token`.
pub(crate) fn token_view(token: &VerifiedToken) -> Value {
    convert(&json!({
        "id": token.id(),
        "issued_at": token.issued_at(),
        "expires_at": token.expires_at(),
    }))
}

/// `input.tool`.
pub(crate) fn tool_view(tool: &ToolRef, entry: &CatalogueEntry) -> Value {
    convert(&json!({
        "server": tool.server,
        "name": tool.name,
        "verb": entry.verb,
        "roles": entry.roles,
        "consequential": entry.consequential.as_deref().unwrap_or_default(),
        "labels": entry.labels,
        "output": entry.output,
    }))
}

/// `input.intent`.
pub(crate) fn intent_view(intent: &Intent) -> Value {
    let actions: Vec<_> = intent
        .declaration
        .actions
        .iter()
        .map(|action| json!({"tool": action.tool, "max_calls": action.max_calls}))
        .collect();
    convert(&json!({
        "id": intent.id,
        "goal": intent.declaration.goal,
        "actions": actions,
        "declared_by": intent.declared_by,
        "declared_at": intent.declared_at,
        "expires_at": intent.expires_at,
    }))
}

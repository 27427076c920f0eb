//! Chunks of OpenAI's chat completions.

use super::{Ending, Event, Flow, Gate, Step, Stop, object, text_of};
use crate::llm::calls::Takes;
use proctor_model::Reason;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

#[derive(Debug)]
pub(super) struct Chat {
    wants_usage: bool,
    /// Members of a chunk beside its choices, each from the last one that says something there.
    envelope: Map<String, Value>,
    usage: Option<Value>,
    choices: BTreeMap<u64, Choice>,
    finished: bool,
}

#[derive(Debug, Default)]
struct Choice {
    /// Names of its text members that had text.
    texts: Vec<String>,
    /// In the order in which they began, which is how they are numbered for the agent.
    calls: Vec<Call>,
    /// The one call of the older form.
    old_call: Option<Call>,
    finished: bool,
}

/// A tool call that comes in pieces.
#[derive(Debug, Default)]
struct Call {
    /// The provider's number for it, if it gives any.
    place: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    custom: bool,
}

/// Members of a chunk that say how it was made.
const ENVELOPE: [&str; 6] = [
    "id",
    "object",
    "created",
    "model",
    "system_fingerprint",
    "service_tier",
];

impl Chat {
    pub(super) fn new(wants_usage: bool) -> Self {
        Self {
            wants_usage,
            envelope: Map::new(),
            usage: None,
            choices: BTreeMap::new(),
            finished: false,
        }
    }

    pub(super) fn take(&mut self, event: &Event, flow: &mut Flow, gate: &mut Gate<'_, '_>) -> Step {
        if event.data.trim() == "[DONE]" {
            return self.end(flow, gate);
        }
        let mut chunk = object(&event.data)?;
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            let error = flow.value(error, gate)?;
            flow.emit("", &json!({ "error": error }));
            return Ok(Some(Ending::Failed));
        }
        if let Some(usage) = chunk.remove("usage").filter(Value::is_object) {
            let heard = flow.hear(Some(&usage));
            self.usage = Some(usage);
            heard?;
        }
        let choices = chunk.remove("choices");
        let said = |name: &str, value: &Value| ENVELOPE.contains(&name) && !is_blank(value);
        let said = chunk.into_iter().filter(|(name, value)| said(name, value));
        self.envelope.extend(said);
        let Some(Value::Array(choices)) = choices else {
            return Ok(None);
        };
        for choice in choices {
            let Value::Object(choice) = choice else {
                return Err(Reason::OutputInvalid.into());
            };
            self.choice(choice, flow, gate)?;
        }
        flow.accounted = flow.meter.has_output() && self.is_finished();
        Ok(None)
    }

    /// Whether every choice has said why it stopped.
    pub(super) fn is_finished(&self) -> bool {
        self.finished && self.choices.values().all(|choice| choice.finished)
    }

    /// The connection is closed. That is an end where every choice has said why it stopped.
    pub(super) fn hang_up(&mut self, flow: &mut Flow, gate: &mut Gate<'_, '_>) -> Step {
        match self.is_finished() {
            true => self.end(flow, gate),
            false => Err(Reason::UpstreamUnavailable.into()),
        }
    }

    fn end(&mut self, flow: &mut Flow, gate: &mut Gate<'_, '_>) -> Step {
        let open: Vec<u64> = self
            .choices
            .iter()
            .filter(|(_, choice)| !choice.finished)
            .map(|(index, _)| *index)
            .collect();
        for index in open {
            self.finish(index, Map::new(), flow, gate)?;
        }
        flow.judge(gate)?;
        if let Some(usage) = self.usage.take().filter(|_| self.wants_usage) {
            let mut chunk = self.envelope.clone();
            chunk.insert("choices".to_owned(), json!([]));
            chunk.insert("usage".to_owned(), usage);
            flow.emit("", &Value::Object(chunk));
        }
        super::sse::write(&mut flow.out, "", "[DONE]");
        Ok(Some(Ending::Done))
    }

    fn choice(
        &mut self,
        mut choice: Map<String, Value>,
        flow: &mut Flow,
        gate: &mut Gate<'_, '_>,
    ) -> Result<(), Stop> {
        let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
        if self.choices.len() >= super::PARTS_MAX && !self.choices.contains_key(&index) {
            return Err(Reason::OutputTooLarge.into());
        }
        let delta = match choice.remove("delta") {
            Some(Value::Object(delta)) => delta,
            // Something about the choice, and nothing of it (what the provider's own filter says, for one).
            None | Some(Value::Null) if !says_elsewhere(&choice) => Map::new(),
            _ => return Err(Reason::OutputInvalid.into()),
        };
        let mut passed = Map::new();
        for (name, value) in delta.into_iter().filter(|(name, _)| is_member(name)) {
            let state = self.choices.entry(index).or_default();
            match (name.as_str(), value) {
                ("role", role @ Value::String(_)) => {
                    let role = flow.repeated(&role, gate)?;
                    passed.insert(name, role);
                }
                ("tool_calls", Value::Array(deltas)) => gather(state, &deltas, flow, gate)?,
                ("function_call", Value::Object(delta)) => {
                    let call = state.old_call.get_or_insert_default();
                    call.add(&delta, flow, gate)?;
                }
                (_, Value::Null) => drop(passed.insert(name, Value::Null)),
                (_, Value::String(piece)) if piece.is_empty() => {
                    drop(passed.insert(name, piece.into()));
                }
                (_, Value::String(piece)) => {
                    if !state.texts.contains(&name) {
                        state.texts.push(name.clone());
                    }
                    let piece = flow.text(&key(index, &name), &piece, gate)?;
                    if !piece.text.is_empty() {
                        passed.insert(name, piece.text.into());
                    }
                    if let Some(stop) = piece.stop {
                        self.emit(index, passed, Value::Null, flow);
                        return Err(stop);
                    }
                }
                // Pictures, sounds and what nobody here knows.
                _ => {}
            }
        }
        let reason = choice
            .remove("finish_reason")
            .filter(|reason| !reason.is_null());
        match reason {
            Some(reason) => {
                let reason = flow.repeated(&reason, gate)?;
                self.finish(index, passed, flow, gate)?;
                self.emit(index, Map::new(), reason, flow);
            }
            None if passed.is_empty() => {}
            None => self.emit(index, passed, Value::Null, flow),
        }
        Ok(())
    }

    /// No more comes of a choice: what waits of it goes on.
    fn finish(
        &mut self,
        index: u64,
        mut passed: Map<String, Value>,
        flow: &mut Flow,
        gate: &mut Gate<'_, '_>,
    ) -> Result<(), Stop> {
        let state = self.choices.entry(index).or_default();
        state.finished = true;
        let texts = std::mem::take(&mut state.texts);
        let calls = std::mem::take(&mut state.calls);
        let old_call = state.old_call.take();
        self.finished = true;
        let mut stopped = None;
        for name in texts {
            let rest = flow.rest(&key(index, &name), gate)?;
            stopped = stopped.or(rest.stop);
            if !rest.text.is_empty() {
                let before = text_of(&passed, &name);
                let text = format!("{before}{}", rest.text);
                passed.insert(name, text.into());
            }
        }
        if !passed.is_empty() {
            self.emit(index, passed, Value::Null, flow);
        }
        if let Some(stop) = stopped {
            return Err(stop);
        }
        if calls.is_empty() && old_call.is_none() {
            return Ok(());
        }
        for call in calls.iter().chain(&old_call) {
            flow.call(&call.name, &call.arguments, call.takes())?;
        }
        flow.judge(gate)?;
        let mut delta = Map::new();
        let mut written = Vec::new();
        for (place, call) in (0..).zip(&calls) {
            written.push(call.written(place, flow, gate)?);
        }
        if !written.is_empty() {
            delta.insert("tool_calls".to_owned(), Value::Array(written));
        }
        if let Some(call) = &old_call {
            let arguments = flow.arguments(&call.arguments, call.takes(), gate)?;
            let name = flow.repeated(&Value::from(call.name.as_str()), gate)?;
            let call = json!({ "name": name, "arguments": arguments });
            delta.insert("function_call".to_owned(), call);
        }
        self.emit(index, delta, Value::Null, flow);
        Ok(())
    }

    fn emit(&self, index: u64, delta: Map<String, Value>, finish_reason: Value, flow: &mut Flow) {
        let mut chunk = self.envelope.clone();
        let choice = json!({ "index": index, "delta": delta, "finish_reason": finish_reason });
        chunk.insert("choices".to_owned(), Value::Array(vec![choice]));
        flow.emit("", &Value::Object(chunk));
    }
}

/// Whether a member of the envelope says nothing: a chunk about the prompt may have all of them, and none with a value.
fn is_blank(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("") || value.as_u64() == Some(0)
}

/// Whether a choice without a delta has some of the answer where one that comes whole, or one of the older API, has it: that
/// is no chunk, and an answer without it would be another one.
fn says_elsewhere(choice: &Map<String, Value>) -> bool {
    let says = |name: &str| choice.get(name).is_some_and(|value| !is_blank(value));
    says("message") || says("text")
}

/// Whether a member's name is one that a provider gives, and not words of the answer.
fn is_member(name: &str) -> bool {
    name.len() <= 64
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn key(index: u64, name: &str) -> String {
    format!("{index}/{name}")
}

/// Adds pieces of tool calls to what waits.
fn gather(
    choice: &mut Choice,
    deltas: &[Value],
    flow: &mut Flow,
    gate: &Gate<'_, '_>,
) -> Result<(), Stop> {
    for delta in deltas {
        let Some(delta) = delta.as_object() else {
            return Err(Reason::OutputInvalid.into());
        };
        let call = choice.call_of(delta)?;
        let id = text_of(delta, "id");
        if !id.is_empty() && call.id != id {
            // No word of the model's: it is no token of the answer.
            flow.grow(id, gate)?;
            id.clone_into(&mut call.id);
        }
        call.custom |= delta.get("type") == Some(&json!("custom"));
        for part in ["function", "custom"] {
            if let Some(function) = delta.get(part).and_then(Value::as_object) {
                call.add(function, flow, gate)?;
            }
        }
    }
    Ok(())
}

impl Choice {
    /// The call that a piece belongs to. A name begins another one where the piece has an id that is not that of the last
    /// call in its place, or neither an index nor an id: not every provider counts its calls.
    fn call_of(&mut self, delta: &Map<String, Value>) -> Result<&mut Call, Stop> {
        let place = delta.get("index").and_then(Value::as_u64);
        let id = text_of(delta, "id");
        let named = ["function", "custom"].iter().any(|part| {
            let part = delta.get(*part).and_then(Value::as_object);
            part.is_some_and(|part| !text_of(part, "name").is_empty())
        });
        let in_place = |call: &Call| place.is_none() || call.place == place;
        let is_same = |call: &Call| !id.is_empty() && call.id == id && in_place(call);
        let goes_on = |at: &usize| {
            let has_id = self.calls.get(*at).is_some_and(|call| !call.id.is_empty());
            !named || (place.is_some() && (id.is_empty() || !has_id))
        };
        let same = self.calls.iter().rposition(is_same);
        let last = self.calls.iter().rposition(in_place).filter(goes_on);
        let at = match same.or(last) {
            Some(at) => at,
            None if self.calls.len() >= super::PARTS_MAX => {
                return Err(Reason::OutputTooLarge.into());
            }
            None => {
                self.calls.push(Call {
                    place,
                    ..Call::default()
                });
                self.calls.len().saturating_sub(1)
            }
        };
        self.calls.get_mut(at).ok_or(Reason::Internal.into())
    }
}

impl Call {
    fn add(
        &mut self,
        delta: &Map<String, Value>,
        flow: &mut Flow,
        gate: &Gate<'_, '_>,
    ) -> Result<(), Stop> {
        let name = text_of(delta, "name");
        if !name.is_empty() && self.name != name {
            flow.hold(name, gate)?;
            self.name.push_str(name);
        }
        for part in [text_of(delta, "arguments"), text_of(delta, "input")] {
            if !part.is_empty() {
                flow.hold(part, gate)?;
                self.arguments.push_str(part);
            }
        }
        Ok(())
    }

    /// What it is written as is what it is read as.
    fn takes(&self) -> Takes {
        match self.custom {
            true => Takes::Text,
            false => Takes::Parameters,
        }
    }

    fn written(&self, index: u64, flow: &mut Flow, gate: &Gate<'_, '_>) -> Result<Value, Stop> {
        let arguments = flow.arguments(&self.arguments, self.takes(), gate)?;
        let id = flow.repeated(&Value::from(self.id.as_str()), gate)?;
        let name = flow.repeated(&Value::from(self.name.as_str()), gate)?;
        Ok(match self.custom {
            true => json!({ "index": index, "id": id, "type": "custom",
                "custom": { "name": name, "input": arguments } }),
            false => json!({ "index": index, "id": id, "type": "function",
                "function": { "name": name, "arguments": arguments } }),
        })
    }
}

//! Events of OpenAI's responses.

mod texts;

use super::{Ending, Event, Flow, Gate, Step, Stop, object, text_of};
use crate::llm::answer;
use crate::llm::calls::{self, Takes};
use proctor_model::Reason;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use texts::{Kind, Place, Texts, kind_of_annotation, kind_of_event, kind_of_part};

#[derive(Debug, Default)]
pub(super) struct Responses {
    /// Events are numbered anew: some wait, some are added.
    number: u64,
    texts: Texts,
    /// Tool calls that wait, by their place in the output.
    calls: BTreeMap<u64, Call>,
    /// Items that have begun and not ended; none before the first.
    open: Option<usize>,
}

#[derive(Debug)]
struct Call {
    /// The event that adds it.
    added: Map<String, Value>,
    arguments: String,
}

/// Members of an item that are no part of what the model says.
const UNSAID: [&str; 4] = ["id", "call_id", "type", "status"];
/// Shortest text that may be a picture, in bytes: no word is so long.
const PICTURE_BYTES_MIN: usize = 512;

impl Responses {
    pub(super) fn take(&mut self, event: &Event, flow: &mut Flow, gate: &mut Gate<'_, '_>) -> Step {
        if event.data.trim() == "[DONE]" {
            return Err(Reason::OutputInvalid.into());
        }
        let data = object(&event.data)?;
        let kind = text_of(&data, "type").to_owned();
        match kind.as_str() {
            "response.created" | "response.in_progress" | "response.queued" => {
                let data = whole(data, flow, gate)?;
                self.emit(&kind, data, flow);
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                self.last(&kind, data, flow, gate)?;
                let failed = kind == "response.failed";
                return Ok(Some(if failed { Ending::Failed } else { Ending::Done }));
            }
            "error" => {
                let data = flow.value(&Value::Object(data), gate)?;
                let message = data.get("message").cloned();
                let mut data = data.as_object().cloned().unwrap_or_default();
                // Clients raise an error where there is such a member.
                data.entry("error")
                    .or_insert_with(|| json!({ "message": message }));
                self.emit(&kind, data, flow);
                return Ok(Some(Ending::Failed));
            }
            "response.output_item.added" => self.added(data, flow, gate)?,
            "response.output_item.done" => self.done(data, flow, gate)?,
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                let call = self.calls.get_mut(&place(&data)?);
                let call = call.ok_or(Stop::from(Reason::OutputInvalid))?;
                let part = text_of(&data, "delta");
                flow.hold(part, gate)?;
                call.arguments.push_str(part);
            }
            "response.content_part.added"
            | "response.content_part.done"
            | "response.reasoning_summary_part.added"
            | "response.reasoning_summary_part.done" => {
                let done = self.part(&kind, data, flow, gate);
                self.go_on(flow);
                done?;
            }
            "response.output_text.annotation.added" => {
                let data = repeated(data, flow, gate)?;
                let standing = standing(&data, flow, gate)?;
                if let Some(text) = kind_of_annotation(&kind) {
                    self.texts.beside(&Place::new(text, standing), &kind, data);
                }
                self.go_on(flow);
            }
            name => {
                if let Some((text, is_end)) = kind_of_event(name) {
                    let done = self.text(text, is_end, &data, flow, gate);
                    self.go_on(flow);
                    done?;
                } else if is_of_call(name) {
                    self.hold(&data, flow, gate)?;
                }
            }
        }
        Ok(None)
    }

    /// Says why the stream ends, in a form that makes clients raise an error.
    pub(super) fn say(&mut self, error: Value, flow: &mut Flow) {
        let mut data = Map::new();
        data.insert("type".to_owned(), "error".into());
        for name in ["code", "message", "param"] {
            data.insert(
                name.to_owned(),
                error.get(name).cloned().unwrap_or(Value::Null),
            );
        }
        data.insert("error".to_owned(), error);
        self.emit("error", data, flow);
    }

    fn emit(&mut self, kind: &str, mut data: Map<String, Value>, flow: &mut Flow) {
        data.insert("type".to_owned(), kind.into());
        data.insert("sequence_number".to_owned(), self.number.into());
        self.number = self.number.saturating_add(1);
        flow.emit(kind, &Value::Object(data));
    }

    /// What goes on of the texts.
    fn go_on(&mut self, flow: &mut Flow) {
        for (kind, data) in self.texts.drain() {
            self.emit(&kind, data, flow);
        }
    }

    /// A piece of a text, or its end.
    fn text(
        &mut self,
        text: &'static Kind,
        is_end: bool,
        data: &Map<String, Value>,
        flow: &mut Flow,
        gate: &Gate<'_, '_>,
    ) -> Result<(), Stop> {
        let standing = standing(data, flow, gate)?;
        let place = Place::new(text, standing.clone());
        if !is_end {
            return self.texts.push(&place, text_of(data, "delta"), flow, gate);
        }
        let whole = text_of(data, text.member);
        self.texts
            .end(&place, (text_of(data, "type"), standing), whole, flow, gate)
    }

    /// A part of an item begins or ends.
    fn part(
        &mut self,
        kind: &str,
        mut data: Map<String, Value>,
        flow: &mut Flow,
        gate: &Gate<'_, '_>,
    ) -> Result<(), Stop> {
        let output = place(&data)?;
        let mut text = None;
        if let Some(Value::Object(part)) = data.get_mut("part") {
            text = kind_of_part(part).map(|text| (text, taken(part, text.member)));
        }
        let data = repeated(data, flow, gate)?;
        let Some((text, whole)) = text else {
            self.texts.settle(output, flow, gate)?;
            self.texts.pass(kind, data);
            return Ok(());
        };
        let place = Place::new(text, standing(&data, flow, gate)?);
        if kind.ends_with(".done") {
            return self.texts.end(&place, (kind, data), &whole, flow, gate);
        }
        self.texts.begin(&place, Some((kind, data)), flow, gate)?;
        self.texts.push(&place, &whole, flow, gate)
    }

    /// A piece of a call without a name: of a command, of a patch. It counts as it comes, and goes on with the item.
    fn hold(
        &mut self,
        data: &Map<String, Value>,
        flow: &mut Flow,
        gate: &Gate<'_, '_>,
    ) -> Result<(), Stop> {
        let place = data.get("output_index").and_then(Value::as_u64);
        let Some(call) = place.and_then(|place| self.calls.get_mut(&place)) else {
            return Ok(());
        };
        let part = text_of(data, "delta");
        flow.hold(part, gate)?;
        call.arguments.push_str(part);
        Ok(())
    }

    /// Whether no item is open any more.
    pub(super) fn is_between_items(&self) -> bool {
        self.open == Some(0)
    }

    fn added(
        &mut self,
        data: Map<String, Value>,
        flow: &mut Flow,
        gate: &Gate<'_, '_>,
    ) -> Result<(), Stop> {
        self.open = Some(self.open.unwrap_or(0).saturating_add(1));
        let item = data.get("item").and_then(Value::as_object);
        let kind = item.map(|item| text_of(item, "type")).unwrap_or_default();
        if kind.ends_with("_call") {
            if self.calls.len() >= super::PARTS_MAX {
                return Err(Reason::OutputTooLarge.into());
            }
            flow.hold(
                item.map(|item| text_of(item, "name")).unwrap_or_default(),
                gate,
            )?;
            let call = Call {
                arguments: String::new(),
                added: data.clone(),
            };
            self.calls.insert(place(&data)?, call);
            return Ok(());
        }
        let data = repeated(data, flow, gate)?;
        self.emit("response.output_item.added", data, flow);
        Ok(())
    }

    /// An item is whole: a tool call is judged now, and only then begun.
    fn done(
        &mut self,
        data: Map<String, Value>,
        flow: &mut Flow,
        gate: &mut Gate<'_, '_>,
    ) -> Result<(), Stop> {
        let place = place(&data)?;
        self.open = Some(self.open.unwrap_or(0).saturating_sub(1));
        let Some(call) = self.calls.remove(&place) else {
            let unannounced = data.get("item").and_then(calls::of_item);
            if unannounced.is_some() {
                return Err(Reason::OutputInvalid.into());
            }
            let done = self.texts.finish(place, flow, gate);
            self.go_on(flow);
            done?;
            let data = repeated(data, flow, gate)?;
            self.emit("response.output_item.done", data, flow);
            return Ok(());
        };
        let Some(Value::Object(item)) = data.get("item") else {
            return Err(Reason::OutputInvalid.into());
        };
        if text_of(item, "name").is_empty() {
            return self.unnamed(place, &data, call, flow, gate);
        }
        let takes = Takes::of_item(text_of(item, "type"));
        let (event, member) = match takes {
            Takes::Text => ("response.custom_tool_call_input", "input"),
            Takes::Parameters => ("response.function_call_arguments", "arguments"),
        };
        let arguments = match text_of(item, member) {
            "" => call.arguments.clone(),
            whole => whole.to_owned(),
        };
        flow.call(text_of(item, "name"), &arguments, takes)?;
        flow.judge(gate)?;
        let arguments = flow.arguments(&arguments, takes, gate)?;
        let mut item = item.clone();
        item.shift_remove(member);
        let item = flow.repeated(&Value::Object(item), gate)?;
        let mut item = item.as_object().cloned().unwrap_or_default();
        let id = item.get("id").cloned().unwrap_or_default();
        let added = flow.repeated(&Value::Object(call.added), gate)?;
        self.emit(
            "response.output_item.added",
            added.as_object().cloned().unwrap_or_default(),
            flow,
        );
        item.insert(member.to_owned(), arguments.as_str().into());
        let piece = json!({ "item_id": id, "output_index": place, "delta": arguments });
        let all = json!({ "item_id": id, "output_index": place, member: arguments });
        self.emit(
            &format!("{event}.delta"),
            piece.as_object().cloned().unwrap_or_default(),
            flow,
        );
        self.emit(
            &format!("{event}.done"),
            all.as_object().cloned().unwrap_or_default(),
            flow,
        );
        let mut event = standing(&data, flow, gate)?;
        event.insert("item".to_owned(), Value::Object(item));
        self.emit("response.output_item.done", event, flow);
        Ok(())
    }

    /// A call without a name of the agent's (`computer_call`, `shell_call`, `apply_patch_call`): the whole item is what is
    /// asked for. What came in pieces has been counted.
    fn unnamed(
        &mut self,
        place: u64,
        data: &Map<String, Value>,
        call: Call,
        flow: &mut Flow,
        gate: &mut Gate<'_, '_>,
    ) -> Result<(), Stop> {
        let item = data.get("item").cloned().unwrap_or_default();
        let whole = item.to_string();
        let more = whole.floor_char_boundary(call.arguments.len());
        flow.grow(whole.get(more..).unwrap_or_default(), gate)?;
        spend(&item, &mut call.arguments.as_str(), flow)?;
        flow.called(calls::of_item(&item).ok_or(Reason::OutputInvalid)??)?;
        flow.judge(gate)?;
        let item = flow.value(&item, gate)?;
        let added = flow.repeated(&Value::Object(call.added), gate)?;
        self.emit(
            "response.output_item.added",
            added.as_object().cloned().unwrap_or_default(),
            flow,
        );
        let mut event = Map::new();
        event.insert("output_index".to_owned(), place.into());
        event.insert("item".to_owned(), item);
        self.emit("response.output_item.done", event, flow);
        Ok(())
    }

    /// The last event has the whole response once more: judged as one that came whole.
    fn last(
        &mut self,
        kind: &str,
        data: Map<String, Value>,
        flow: &mut Flow,
        gate: &mut Gate<'_, '_>,
    ) -> Result<(), Stop> {
        let response = data.get("response").and_then(Value::as_object);
        let response = response.ok_or(Stop::from(Reason::OutputInvalid))?;
        let heard = flow.hear(response.get("usage"));
        flow.accounted = flow.meter.has_output();
        heard?;
        // Calls that the stream did not have one by one have been seen by nobody yet.
        flow.calls = calls::of_whole(flow.api, response)?;
        flow.judge(gate)?;
        let done = self.texts.finish_all(flow, gate);
        self.go_on(flow);
        done?;
        let data = whole(data, flow, gate)?;
        self.emit(kind, data, flow);
        Ok(())
    }
}

/// An event with the whole response in it, as the rules leave it.
fn whole(
    mut data: Map<String, Value>,
    flow: &mut Flow,
    gate: &Gate<'_, '_>,
) -> Result<Map<String, Value>, Stop> {
    let Some(Value::Object(response)) = data.remove("response") else {
        return Err(Reason::OutputInvalid.into());
    };
    let found = answer::treat(flow.api, &gate.content()?, &response);
    flow.cleared(&found)?;
    let response = found.altered.unwrap_or(response);
    let mut event = Map::new();
    event.insert("response".to_owned(), Value::Object(response));
    Ok(event)
}

/// An event that repeats what has passed, as the rules leave it.
fn repeated(
    data: Map<String, Value>,
    flow: &mut Flow,
    gate: &Gate<'_, '_>,
) -> Result<Map<String, Value>, Stop> {
    let data = flow.repeated(&Value::Object(without_pieces(data)), gate)?;
    Ok(data.as_object().cloned().unwrap_or_default())
}

/// A text that a part has with it: it goes through the filter as its pieces do.
fn taken(part: &mut Map<String, Value>, member: &str) -> String {
    let whole = part.insert(member.to_owned(), "".into());
    let whole = whole.as_ref().and_then(Value::as_str);
    whole.unwrap_or_default().to_owned()
}

/// Probabilities have the text token by token: they don't pass in a stream.
fn without_pieces(mut data: Map<String, Value>) -> Map<String, Value> {
    answer::drop_pieces(&mut data);
    data
}

/// Whether an event has a piece of what a call asks for.
fn is_of_call(name: &str) -> bool {
    name.ends_with(".delta") && name.contains("_call_")
}

/// Counts the tokens of an item that comes whole: of all that it says, but for what has come in pieces, text by text.
fn spend(item: &Value, came: &mut &str, flow: &mut Flow) -> Result<(), Stop> {
    match item {
        Value::String(text) if is_picture(text) => Ok(()),
        Value::String(text) => match came.strip_prefix(text.as_str()) {
            Some(rest) => {
                *came = rest;
                Ok(())
            }
            None => flow.spend(text),
        },
        Value::Array(elements) => elements
            .iter()
            .try_for_each(|element| spend(element, came, flow)),
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| !UNSAID.contains(&name.as_str()))
            .try_for_each(|(_, member)| spend(member, came, flow)),
        _ => Ok(()),
    }
}

/// Whether a text is a picture in base64, of which no letter is a token.
fn is_picture(text: &str) -> bool {
    let data = text.strip_prefix("data:");
    let data = data.and_then(|rest| rest.split_once(";base64,"));
    let data = data.map_or(text, |(_, data)| data);
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte);
    data.len() >= PICTURE_BYTES_MIN && data.bytes().all(is_base64)
}

/// Where in the response an event's text stands. Nothing else of the event passes beside the text.
fn standing(
    data: &Map<String, Value>,
    flow: &mut Flow,
    gate: &Gate<'_, '_>,
) -> Result<Map<String, Value>, Stop> {
    let mut standing = Map::new();
    if let Some(id) = data.get("item_id").filter(|id| id.is_string()) {
        standing.insert("item_id".to_owned(), flow.repeated(id, gate)?);
    }
    for name in ["output_index", "content_index", "summary_index"] {
        if let Some(index) = data.get(name).and_then(Value::as_u64) {
            standing.insert(name.to_owned(), index.into());
        }
    }
    Ok(standing)
}

fn place(data: &Map<String, Value>) -> Result<u64, Stop> {
    let place = data.get("output_index").and_then(Value::as_u64);
    place.ok_or(Reason::OutputInvalid.into())
}

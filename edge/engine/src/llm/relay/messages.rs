//! Events of Anthropic's messages.

use super::{Ending, Event, Flow, Gate, Passed, Step, Stop, object, text_of};
use proctor_model::Reason;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Messages {
    blocks: BTreeMap<u64, Block>,
    /// One has come to its end.
    stopped: bool,
}

/// A content block that has begun.
#[derive(Debug)]
enum Block {
    /// Text of this type of delta, in this member.
    Text(&'static str, &'static str),
    /// A tool call: its first event waits, with the input as far as it came.
    Call {
        start: Map<String, Value>,
        input: String,
    },
    /// Came whole with its first event.
    Whole,
}

impl Messages {
    pub(super) fn take(&mut self, event: &Event, flow: &mut Flow, gate: &mut Gate<'_, '_>) -> Step {
        let mut data = object(&event.data)?;
        let kind = text_of(&data, "type").to_owned();
        match kind.as_str() {
            "message_start" => begin(data, flow, gate)?,
            "content_block_start" => self.start(data, flow, gate)?,
            "content_block_delta" => self.delta(&data, flow, gate)?,
            "content_block_stop" => self.stop(&data, flow, gate)?,
            "message_delta" => {
                let usage = data.remove("usage");
                let heard = flow.hear(usage.as_ref());
                flow.accounted = flow.meter.has_output();
                heard?;
                let mut data = flow.repeated(&Value::Object(data), gate)?;
                if let (Some(usage), Some(members)) = (usage, data.as_object_mut()) {
                    members.insert("usage".to_owned(), usage);
                }
                flow.emit("message_delta", &data);
            }
            "message_stop" => {
                if !self.blocks.is_empty() {
                    return Err(Reason::OutputInvalid.into());
                }
                flow.judge(gate)?;
                flow.emit("message_stop", &json!({ "type": "message_stop" }));
                return Ok(Some(Ending::Done));
            }
            "ping" => flow.emit("ping", &json!({ "type": "ping" })),
            "error" => {
                let data = flow.value(&Value::Object(data), gate)?;
                flow.emit("error", &data);
                return Ok(Some(Ending::Failed));
            }
            // New kinds may come at any time; clients have to do without.
            _ => {}
        }
        Ok(None)
    }

    /// Whether no block is open any more.
    pub(super) fn is_between_blocks(&self) -> bool {
        self.stopped && self.blocks.is_empty()
    }

    fn start(
        &mut self,
        mut data: Map<String, Value>,
        flow: &mut Flow,
        gate: &Gate<'_, '_>,
    ) -> Result<(), Stop> {
        let index = index(&data)?;
        if self.blocks.len() >= super::PARTS_MAX || self.blocks.contains_key(&index) {
            return Err(Reason::OutputInvalid.into());
        }
        let Some(Value::Object(block)) = data.get_mut("content_block") else {
            return Err(Reason::OutputInvalid.into());
        };
        let kind = text_of(block, "type").to_owned();
        let (delta, member) = match kind.as_str() {
            "text" => ("text_delta", "text"),
            "thinking" => ("thinking_delta", "thinking"),
            kind if kind.ends_with("tool_use") => {
                let input = block.insert("input".to_owned(), json!({}));
                let input = input.filter(|input| input.as_object().is_some_and(|o| !o.is_empty()));
                let input = input.map(|input| input.to_string()).unwrap_or_default();
                flow.hold(text_of(block, "name"), gate)?;
                flow.hold(&input, gate)?;
                self.blocks
                    .insert(index, Block::Call { start: data, input });
                return Ok(());
            }
            _ => {
                let data = flow.value(&Value::Object(data), gate)?;
                flow.emit("content_block_start", &data);
                self.blocks.insert(index, Block::Whole);
                return Ok(());
            }
        };
        let begun = block.insert(member.to_owned(), "".into());
        self.blocks.insert(index, Block::Text(delta, member));
        // What stands beside the text: citations, for one.
        let data = flow.value(&Value::Object(data), gate)?;
        flow.emit("content_block_start", &data);
        match begun.as_ref().and_then(Value::as_str) {
            None | Some("") => Ok(()),
            Some(begun) => {
                let passed = flow.text(&key(index, delta), begun, gate)?;
                emit(index, delta, member, passed, flow)
            }
        }
    }

    fn delta(
        &mut self,
        data: &Map<String, Value>,
        flow: &mut Flow,
        gate: &Gate<'_, '_>,
    ) -> Result<(), Stop> {
        let index = index(data)?;
        let Some(delta) = data.get("delta").and_then(Value::as_object) else {
            return Err(Reason::OutputInvalid.into());
        };
        let kind = text_of(delta, "type");
        match (self.blocks.get_mut(&index), kind) {
            (Some(Block::Call { input, .. }), "input_json_delta") => {
                let part = text_of(delta, "partial_json");
                flow.hold(part, gate)?;
                input.push_str(part);
            }
            (Some(Block::Text(known, member)), kind) if *known == kind => {
                let (known, member) = (*known, *member);
                let passed = flow.text(&key(index, known), text_of(delta, member), gate)?;
                emit(index, known, member, passed, flow)?;
            }
            // Nothing but the signature can be read in it, by nobody but the provider.
            (Some(Block::Text("thinking_delta", _)), "signature_delta") => {
                let delta = json!({ "type": kind, "signature": text_of(delta, "signature") });
                flow.emit("content_block_delta", &with(index, &delta));
            }
            (Some(Block::Text("text_delta", _)), "citations_delta") => {
                let delta = flow.value(&Value::Object(delta.clone()), gate)?;
                flow.emit("content_block_delta", &with(index, &delta));
            }
            (None, _) => return Err(Reason::OutputInvalid.into()),
            _ => {}
        }
        Ok(())
    }

    fn stop(
        &mut self,
        data: &Map<String, Value>,
        flow: &mut Flow,
        gate: &mut Gate<'_, '_>,
    ) -> Result<(), Stop> {
        let index = index(data)?;
        self.stopped = true;
        match self.blocks.remove(&index) {
            None => return Err(Reason::OutputInvalid.into()),
            Some(Block::Whole) => {}
            Some(Block::Text(delta, member)) => {
                let rest = flow.rest(&key(index, delta), gate)?;
                emit(index, delta, member, rest, flow)?;
            }
            Some(Block::Call { start, input }) => {
                let block = start.get("content_block").and_then(Value::as_object);
                let name = block
                    .map(|block| text_of(block, "name"))
                    .unwrap_or_default();
                flow.call(name, &input)?;
                flow.judge(gate)?;
                let start = flow.repeated(&Value::Object(start), gate)?;
                let input = flow.arguments(&input, gate)?;
                flow.emit("content_block_start", &start);
                if !input.is_empty() {
                    let delta = json!({ "type": "input_json_delta", "partial_json": input });
                    flow.emit("content_block_delta", &with(index, &delta));
                }
            }
        }
        flow.emit(
            "content_block_stop",
            &json!({ "type": "content_block_stop", "index": index }),
        );
        Ok(())
    }
}

/// The first event: who answers, and the tokens of the prompt. Its content is empty as yet.
fn begin(mut data: Map<String, Value>, flow: &mut Flow, gate: &Gate<'_, '_>) -> Result<(), Stop> {
    let Some(Value::Object(message)) = data.remove("message") else {
        return Err(Reason::OutputInvalid.into());
    };
    flow.hear_first(message.get("usage"));
    let found = super::super::answer::treat(flow.api, &gate.content()?, &message);
    flow.cleared(&found)?;
    let mut message = found.altered.unwrap_or(message);
    message.insert("content".to_owned(), json!([]));
    flow.emit(
        "message_start",
        &json!({ "type": "message_start", "message": message }),
    );
    Ok(())
}

fn emit(
    index: u64,
    delta: &str,
    member: &str,
    passed: Passed,
    flow: &mut Flow,
) -> Result<(), Stop> {
    if !passed.text.is_empty() {
        let mut members = Map::new();
        members.insert("type".to_owned(), delta.into());
        members.insert(member.to_owned(), passed.text.into());
        flow.emit("content_block_delta", &with(index, &Value::Object(members)));
    }
    passed.stop.map_or(Ok(()), Err)
}

fn with(index: u64, delta: &Value) -> Value {
    json!({ "type": "content_block_delta", "index": index, "delta": delta })
}

fn index(data: &Map<String, Value>) -> Result<u64, Stop> {
    let index = data.get("index").and_then(Value::as_u64);
    index.ok_or(Reason::OutputInvalid.into())
}

fn key(index: u64, delta: &str) -> String {
    format!("{index}/{delta}")
}

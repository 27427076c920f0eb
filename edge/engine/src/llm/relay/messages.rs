//! Events of Anthropic's messages.

use super::row::{Next, Passed, Row};
use super::{Ending, Event, Flow, Gate, Step, Stop, object, text_of};
use crate::llm::calls::Takes;
use proctor_model::Reason;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Messages {
    blocks: BTreeMap<u64, Block>,
    /// Blocks of text that follow each other: whoever reads them reads one text.
    row: Option<Row<u64>>,
    /// Rows that have begun.
    rows: usize,
    /// One of the blocks has come to its end.
    stopped: bool,
}

/// A content block that has begun.
#[derive(Debug)]
enum Block {
    /// Text: the last part of the row.
    Text,
    /// What the model thinks, a text of its own.
    Thinking,
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
                let settled = self.settle(flow, gate);
                let usage = data.remove("usage");
                let heard = flow.hear(usage.as_ref());
                flow.accounted = flow.meter.has_output();
                settled.and(heard)?;
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
                self.settle(flow, gate)?;
                flow.judge(gate)?;
                flow.emit("message_stop", &json!({ "type": "message_stop" }));
                return Ok(Some(Ending::Done));
            }
            "ping" => flow.emit("ping", &json!({ "type": "ping" })),
            "error" => {
                self.settle(flow, gate)?;
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

    /// What waits of text blocks that have ended goes on: nothing that comes now is read with them.
    fn settle(&mut self, flow: &mut Flow, gate: &Gate<'_, '_>) -> Result<(), Stop> {
        let Some(mut row) = self.row.take_if(|row| row.has_ended()) else {
            return Ok(());
        };
        let passed = flow.rest(row.key(), gate)?;
        forward(row.pass(&passed), flow);
        if let Some(stop) = passed.stop {
            return Err(stop);
        }
        forward(row.left(), flow);
        Ok(())
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
        if kind != "text" {
            self.settle(flow, gate)?;
        }
        match kind.as_str() {
            "text" => {
                let begun = taken(block, "text");
                self.begin_text(index, data, flow, gate)?;
                self.text(&begun, flow, gate)
            }
            "thinking" => {
                let begun = taken(block, "thinking");
                let data = flow.value(&Value::Object(data), gate)?;
                flow.emit("content_block_start", &data);
                self.blocks.insert(index, Block::Thinking);
                think(index, &begun, flow, gate)
            }
            kind if kind.ends_with("tool_use") => {
                let input = block.insert("input".to_owned(), json!({}));
                let input = input.filter(|input| input.as_object().is_some_and(|o| !o.is_empty()));
                let input = input.map(|input| input.to_string()).unwrap_or_default();
                flow.hold(text_of(block, "name"), gate)?;
                flow.hold(&input, gate)?;
                let call = Block::Call { start: data, input };
                self.blocks.insert(index, call);
                Ok(())
            }
            _ => {
                let data = flow.value(&Value::Object(data), gate)?;
                flow.emit("content_block_start", &data);
                self.blocks.insert(index, Block::Whole);
                Ok(())
            }
        }
    }

    /// A block of text begins, in a row with the one before it if nothing came between.
    fn begin_text(
        &mut self,
        index: u64,
        data: Map<String, Value>,
        flow: &mut Flow,
        gate: &Gate<'_, '_>,
    ) -> Result<(), Stop> {
        // What stands beside the text: citations, for one.
        let data = flow.value(&Value::Object(data), gate)?;
        match &mut self.row {
            // Of two at once nobody knows what is read behind what.
            Some(row) if !row.has_ended() => return Err(Reason::OutputInvalid.into()),
            Some(row) => {
                row.follow("content_block_start", members(data));
                row.begin(index);
                flow.next_part(row.key())?;
            }
            None => {
                self.rows = self.rows.saturating_add(1);
                let key = format!("{}/text", self.rows);
                self.row = Some(Row::new(key, index));
                flow.emit("content_block_start", &data);
            }
        }
        self.blocks.insert(index, Block::Text);
        Ok(())
    }

    /// More of the text block that is open.
    fn text(&mut self, text: &str, flow: &mut Flow, gate: &Gate<'_, '_>) -> Result<(), Stop> {
        if text.is_empty() {
            return Ok(());
        }
        let row = self.row.as_mut().ok_or(Stop::from(Reason::Internal))?;
        let passed = flow.text(row.key(), text, gate)?;
        forward(row.pass(&passed), flow);
        passed.stop.map_or(Ok(()), Err)
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
            (Some(Block::Text), "text_delta") => {
                self.text(text_of(delta, "text"), flow, gate)?;
            }
            (Some(Block::Thinking), "thinking_delta") => {
                think(index, text_of(delta, "thinking"), flow, gate)?;
            }
            // Nothing but the signature can be read in it, by nobody but the provider.
            (Some(Block::Thinking), "signature_delta") => {
                let delta = json!({ "type": kind, "signature": text_of(delta, "signature") });
                flow.emit("content_block_delta", &with(index, &delta));
            }
            (Some(Block::Text), "citations_delta") => {
                let delta = flow.value(&Value::Object(delta.clone()), gate)?;
                let event = members(with(index, &delta));
                let row = self.row.as_mut().ok_or(Stop::from(Reason::Internal))?;
                if let Some(event) = row.beside("content_block_delta", event) {
                    flow.emit("content_block_delta", &Value::Object(event));
                }
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
        let event = json!({ "type": "content_block_stop", "index": index });
        self.stopped = true;
        match self.blocks.remove(&index) {
            None => return Err(Reason::OutputInvalid.into()),
            Some(Block::Whole) => {}
            Some(Block::Text) => {
                if let Some(row) = &mut self.row {
                    row.follow("content_block_stop", members(event));
                    row.end();
                }
                return Ok(());
            }
            Some(Block::Thinking) => {
                let rest = flow.rest(&thoughts(index), gate)?;
                emit(index, rest, flow)?;
            }
            Some(Block::Call { start, input }) => {
                let block = start.get("content_block").and_then(Value::as_object);
                let name = block
                    .map(|block| text_of(block, "name"))
                    .unwrap_or_default();
                flow.call(name, &input, Takes::Parameters)?;
                flow.judge(gate)?;
                let start = flow.repeated(&Value::Object(start), gate)?;
                let input = flow.arguments(&input, Takes::Parameters, gate)?;
                flow.emit("content_block_start", &start);
                if !input.is_empty() {
                    let delta = json!({ "type": "input_json_delta", "partial_json": input });
                    flow.emit("content_block_delta", &with(index, &delta));
                }
            }
        }
        flow.emit("content_block_stop", &event);
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

/// What goes on of a row.
fn forward(next: impl IntoIterator<Item = Next<u64>>, flow: &mut Flow) {
    for next in next {
        match next {
            Next::Text(index, text) => {
                let delta = json!({ "type": "text_delta", "text": text });
                flow.emit("content_block_delta", &with(index, &delta));
            }
            Next::Event(name, data) => flow.emit(&name, &Value::Object(data)),
        }
    }
}

/// More of what the model thinks.
fn think(index: u64, text: &str, flow: &mut Flow, gate: &Gate<'_, '_>) -> Result<(), Stop> {
    if text.is_empty() {
        return Ok(());
    }
    let passed = flow.text(&thoughts(index), text, gate)?;
    emit(index, passed, flow)
}

fn emit(index: u64, passed: Passed, flow: &mut Flow) -> Result<(), Stop> {
    if !passed.text.is_empty() {
        let delta = json!({ "type": "thinking_delta", "thinking": passed.text });
        flow.emit("content_block_delta", &with(index, &delta));
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

/// What the thoughts of a block are known by.
fn thoughts(index: u64) -> String {
    format!("{index}/thinking")
}

/// A text that a block begins with: it goes through the filter as its pieces do.
fn taken(block: &mut Map<String, Value>, member: &str) -> String {
    let begun = block.insert(member.to_owned(), "".into());
    let begun = begun.as_ref().and_then(Value::as_str);
    begun.unwrap_or_default().to_owned()
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

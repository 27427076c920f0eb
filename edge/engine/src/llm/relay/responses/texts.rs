//! The texts of a response: the parts of an item, each of which comes in pieces.
//!
//! The parts of one kind in an item are read as one text, and so are a [`Row`]. Events that repeat a part's text say what
//! has gone on of it, whatever they came with.

use crate::llm::relay::row::{Next, Row};
use crate::llm::relay::{Flow, Gate, Stop, text_of};
use proctor_model::Reason;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A kind of text.
#[derive(Debug)]
pub(super) struct Kind {
    /// The event of a piece.
    delta: &'static str,
    /// The event of its end.
    done: &'static str,
    /// The type of a part that is one.
    part: &'static str,
    /// The member of the part, and of the event of its end, that has it all.
    pub(super) member: &'static str,
}

const KINDS: [Kind; 4] = [
    Kind {
        delta: "response.output_text.delta",
        done: "response.output_text.done",
        part: "output_text",
        member: "text",
    },
    Kind {
        delta: "response.refusal.delta",
        done: "response.refusal.done",
        part: "refusal",
        member: "refusal",
    },
    Kind {
        delta: "response.reasoning_text.delta",
        done: "response.reasoning_text.done",
        part: "reasoning_text",
        member: "text",
    },
    Kind {
        delta: "response.reasoning_summary_text.delta",
        done: "response.reasoning_summary_text.done",
        part: "summary_text",
        member: "text",
    },
];

/// The kind of text that an event has a piece or the end of, and whether it is the end.
pub(super) fn kind_of_event(name: &str) -> Option<(&'static Kind, bool)> {
    let known = |kind: &&Kind| kind.delta == name || kind.done == name;
    let kind = KINDS.iter().find(known)?;
    Some((kind, kind.done == name))
}

/// The kind of text that a part is.
pub(super) fn kind_of_part(part: &Map<String, Value>) -> Option<&'static Kind> {
    let name = text_of(part, "type");
    KINDS.iter().find(|kind| kind.part == name)
}

/// The kind of text that an event annotates.
pub(super) fn kind_of_annotation(name: &str) -> Option<&'static Kind> {
    let stem = name.strip_suffix("annotation.added")?;
    let known = |kind: &&Kind| kind.delta.strip_suffix("delta") == Some(stem);
    KINDS.iter().find(known)
}

/// What a part is known by: its kind, its item's place in the output, its place in the item.
type PartKey = (&'static str, u64, u64);

fn part_key(kind: &'static Kind, data: &Map<String, Value>) -> PartKey {
    let number = |name: &str| data.get(name).and_then(Value::as_u64).unwrap_or(0);
    let index = number("content_index").max(number("summary_index"));
    (kind.delta, number("output_index"), index)
}

/// Which part an event is about.
#[derive(Clone, Debug)]
pub(super) struct Place {
    kind: &'static Kind,
    output: u64,
    index: u64,
    /// Members of an event that say so, for one with more of its text.
    standing: Map<String, Value>,
}

impl Place {
    pub(super) fn new(kind: &'static Kind, standing: Map<String, Value>) -> Self {
        let (_, output, index) = part_key(kind, &standing);
        Self {
            kind,
            output,
            index,
            standing,
        }
    }

    /// What the row of the part is known by. A refusal is no text that goes on in another.
    fn row(&self) -> String {
        let Self { kind, output, .. } = self;
        match kind.member {
            "text" => format!("{}|{output}", kind.delta),
            _ => format!("{}|{output}|{}", kind.delta, self.index),
        }
    }

    fn part(&self) -> PartKey {
        (self.kind.delta, self.output, self.index)
    }
}

/// What has come of a part.
#[derive(Debug, Default)]
struct Said {
    /// Whether anything has.
    any: bool,
    /// What of it has gone on.
    text: String,
}

/// Events that go on.
pub(super) type Events = Vec<(String, Map<String, Value>)>;

/// The texts on their way.
#[derive(Debug, Default)]
pub(super) struct Texts {
    rows: BTreeMap<String, Row<Place>>,
    /// Rows that have begun.
    begun: usize,
    /// By part, until its item is whole.
    said: BTreeMap<PartKey, Said>,
    out: Events,
}

impl Texts {
    /// What goes on now, wherever it was that something failed.
    pub(super) fn drain(&mut self) -> Events {
        std::mem::take(&mut self.out)
    }

    /// A part begins, with this event if there is one.
    pub(super) fn begin(
        &mut self,
        place: &Place,
        event: Option<(&str, Map<String, Value>)>,
        flow: &mut Flow,
        gate: &Gate<'_, '_>,
    ) -> Result<(), Stop> {
        let name = place.row();
        if !self.rows.contains_key(&name) {
            self.settle(place.output, flow, gate)?;
        }
        match self.rows.get_mut(&name) {
            Some(row) => {
                if row.last().is_some_and(|last| last.index >= place.index) {
                    return Err(Reason::OutputInvalid.into());
                }
                if let Some((name, data)) = event {
                    row.follow(name, data);
                }
                row.begin(place.clone());
                flow.next_part(row.key())?;
            }
            None => {
                self.begun = self.begun.saturating_add(1);
                let key = format!("{}|{name}", self.begun);
                self.rows.insert(name, Row::new(key, place.clone()));
                let event = event.map(|(name, data)| (name.to_owned(), data));
                self.out.extend(event);
            }
        }
        self.said.entry(place.part()).or_default();
        Ok(())
    }

    /// More text of a part, which begins with it if it has not yet.
    pub(super) fn push(
        &mut self,
        place: &Place,
        text: &str,
        flow: &mut Flow,
        gate: &Gate<'_, '_>,
    ) -> Result<(), Stop> {
        if !self.is_open(place) {
            self.begin(place, None, flow, gate)?;
        }
        if text.is_empty() {
            return Ok(());
        }
        self.said.entry(place.part()).or_default().any = true;
        let row = self.rows.get_mut(&place.row());
        let row = row.ok_or(Stop::from(Reason::Internal))?;
        let passed = flow.text(row.key(), text, gate)?;
        let next = row.pass(&passed);
        self.forward(next);
        passed.stop.map_or(Ok(()), Err)
    }

    /// An event that ends a part, or comes behind its end. `whole`: all of its text, for a part that came in no pieces.
    pub(super) fn end(
        &mut self,
        place: &Place,
        (name, data): (&str, Map<String, Value>),
        whole: &str,
        flow: &mut Flow,
        gate: &Gate<'_, '_>,
    ) -> Result<(), Stop> {
        let came = self.said.get(&place.part()).map(|said| said.any);
        match (came, self.is_last(place)) {
            (None, _) => self.push(place, whole, flow, gate)?,
            (Some(false), true) if self.is_open(place) => self.push(place, whole, flow, gate)?,
            (Some(_), true) => {}
            (Some(_), false) if self.rows.contains_key(&place.row()) => {
                return Err(Reason::OutputInvalid.into());
            }
            // All of it has gone on.
            (Some(_), false) => {
                self.forward([Next::Event(name.to_owned(), data)]);
                return Ok(());
            }
        }
        if let Some(row) = self.rows.get_mut(&place.row()) {
            row.follow(name, data);
            row.end();
        }
        Ok(())
    }

    /// An event about a part, beside its text.
    pub(super) fn beside(&mut self, place: &Place, name: &str, data: Map<String, Value>) {
        let is_last = self.is_last(place);
        let row = self.rows.get_mut(&place.row()).filter(|_| is_last);
        let now = match row {
            Some(row) => row.beside(name, data),
            None => Some(data),
        };
        self.out.extend(now.map(|data| (name.to_owned(), data)));
    }

    /// An event that is about no text.
    pub(super) fn pass(&mut self, name: &str, data: Map<String, Value>) {
        self.out.push((name.to_owned(), data));
    }

    /// What waits of the ended parts of an item goes on: what comes now is not read with them.
    pub(super) fn settle(
        &mut self,
        output: u64,
        flow: &mut Flow,
        gate: &Gate<'_, '_>,
    ) -> Result<(), Stop> {
        self.close(|row| row.has_ended() && is_of(row, output), flow, gate)
    }

    /// An item is whole.
    pub(super) fn finish(
        &mut self,
        output: u64,
        flow: &mut Flow,
        gate: &Gate<'_, '_>,
    ) -> Result<(), Stop> {
        self.close(|row| is_of(row, output), flow, gate)?;
        self.said.retain(|(_, other, _), _| *other != output);
        Ok(())
    }

    /// All items are.
    pub(super) fn finish_all(&mut self, flow: &mut Flow, gate: &Gate<'_, '_>) -> Result<(), Stop> {
        self.close(|_| true, flow, gate)
    }

    /// Ends the rows that are meant.
    fn close(
        &mut self,
        is_meant: impl Fn(&Row<Place>) -> bool,
        flow: &mut Flow,
        gate: &Gate<'_, '_>,
    ) -> Result<(), Stop> {
        let meant = self.rows.iter().filter(|(_, row)| is_meant(row));
        let names: Vec<String> = meant.map(|(name, _)| name.clone()).collect();
        for name in names {
            let Some(mut row) = self.rows.remove(&name) else {
                continue;
            };
            let passed = flow.rest(row.key(), gate)?;
            self.forward(row.pass(&passed));
            if let Some(stop) = passed.stop {
                return Err(stop);
            }
            self.forward(row.left());
        }
        Ok(())
    }

    /// Whether a part is the last of its row.
    fn is_last(&self, place: &Place) -> bool {
        let last = self.rows.get(&place.row()).and_then(Row::last);
        last.is_some_and(|last| last.index == place.index)
    }

    /// Whether it is its text that comes.
    fn is_open(&self, place: &Place) -> bool {
        let row = self.rows.get(&place.row());
        row.is_some_and(|row| !row.has_ended()) && self.is_last(place)
    }

    /// What goes on of a row.
    fn forward(&mut self, next: impl IntoIterator<Item = Next<Place>>) {
        for next in next {
            match next {
                Next::Text(place, text) => {
                    let said = self.said.entry(place.part()).or_default();
                    said.text.push_str(&text);
                    let mut event = place.standing;
                    event.insert("delta".to_owned(), text.into());
                    self.out.push((place.kind.delta.to_owned(), event));
                }
                Next::Event(name, mut data) => {
                    self.repeat(&name, &mut data);
                    self.out.push((name, data));
                }
            }
        }
    }

    /// Puts what has gone on of a part into an event that repeats it.
    fn repeat(&self, name: &str, data: &mut Map<String, Value>) {
        let part = data.get("part").and_then(Value::as_object);
        let (kind, in_part) = match (kind_of_event(name), part.and_then(kind_of_part)) {
            (Some((kind, _)), _) => (kind, false),
            (None, Some(kind)) if name.ends_with("_part.done") => (kind, true),
            _ => return,
        };
        let said = self.said.get(&part_key(kind, data));
        let text = said.map(|said| said.text.as_str()).unwrap_or_default();
        let members = match in_part {
            true => data.get_mut("part").and_then(Value::as_object_mut),
            false => Some(data),
        };
        if let Some(members) = members {
            members.insert(kind.member.to_owned(), text.into());
        }
    }
}

/// Whether a row is of the item at this place in the output.
fn is_of(row: &Row<Place>, output: u64) -> bool {
    row.last().is_some_and(|last| last.output == output)
}

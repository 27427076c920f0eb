//! What one session has read, and what of it may be believed.
//!
//! Reading order: [`Tracker`], `reader` (one result) with `labels` and `document` (JSON in its texts), `echoes` (what of it the
//! agent itself had said, by the call's `arguments`), `unproved` (what of it the agent itself had written earlier).

mod arguments;
mod document;
mod echoes;
mod labels;
mod names;
mod reader;
mod unproved;

use super::clock::Clock;
use super::fingerprint::Fingerprinter;
use super::index::Index;
use super::note::{Stamps, put_whole};
use super::query::{Query, Spelled};
use super::rows::{of_argument, words_of_name};
use super::text::words;
use super::value::Kind;
use crate::catalogue::Tool;
use crate::filter::Vault;
use crate::history::History;
use crate::intent::CompiledIntent;
use crate::limits::{
    PROVENANCE_MEMORY_MAX, PROVENANCE_NAMED_SOURCES_MAX, PROVENANCE_SOURCES_MAX,
    PROVENANCE_TRUSTED_MAX, PROVENANCE_UNTRUSTED_MAX,
};
use crate::memory::{Direct, Examined, META};
use arguments::Arguments;
use document::Said;
use proctor_model::catalogue::{MemoryTrust, MemoryUse, Trust, Verb};
use proctor_model::limits::MEMORY_PARENTS_MAX;
use proctor_model::memory::{Proved, RecordHash};
use proctor_model::{Timestamp, ToolRef};
use reader::Reader;
use serde_json::{Map, Value};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use unproved::Unproved;

/// Who gave a field its name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Namer {
    /// The tool.
    Tool,
    /// Maybe whoever wrote what was read: a file, a page, a text in another field.
    Anybody,
}

/// Where values come from: one field of the results of one tool, for the same named thing.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Source {
    tool: ToolRef,
    /// The field as a JSON Pointer with `*` for each array index; none for text.
    field: Option<String>,
    /// Fingerprints of what the call named: files, addresses.
    names: Vec<u64>,
    namer: Namer,
    /// What a time stamp is in it.
    stamps: Stamps,
}

impl Source {
    /// Whether an intent that delegates to its tool, or to what the call named, means it.
    fn is_meant(&self) -> bool {
        self.field.as_deref() != Some(OWN_WORDS)
    }

    /// Whether it is a result of this tool, in this field.
    fn is_of(&self, tool: &ToolRef, field: Option<&str>) -> bool {
        self.tool == *tool && field.is_none_or(|field| self.field.as_deref() == Some(field))
    }

    /// The field, if the tool itself named it.
    fn own_field(&self) -> Option<&str> {
        let own = self.namer == Namer::Tool;
        self.field.as_deref().filter(|_| own)
    }
}

/// Sightings with their sources.
#[derive(Debug)]
struct Store {
    index: Index,
    sources: Vec<Arc<Source>>,
    numbers: HashMap<Arc<Source>, u16>,
}

impl Store {
    fn new(most: usize) -> Self {
        Self {
            index: Index::new(most),
            sources: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    /// The number of the newest source, if it is this one: what a server says while it works comes from where it came before.
    fn newest_is(
        &self,
        tool: &ToolRef,
        field: Option<&str>,
        names: &[u64],
        namer: Namer,
    ) -> Option<u16> {
        let newest = self.sources.last()?;
        let same = newest.tool == *tool
            && newest.field.as_deref() == field
            && newest.names == names
            && newest.namer == namer;
        u16::try_from(self.sources.len().checked_sub(1)?)
            .ok()
            .filter(|_| same)
    }

    /// What a time stamp is in what a source has.
    fn stamps(&self, source: u16) -> Stamps {
        let source = self.sources.get(usize::from(source));
        source.map_or(Stamps::Told, |source| source.stamps)
    }

    /// The number of a source. If there is no room for one more, nothing of it can be noted.
    fn source(&mut self, source: Source) -> Option<u16> {
        if let Some(number) = self.numbers.get(&source) {
            return Some(*number);
        }
        if self.sources.len() >= PROVENANCE_NAMED_SOURCES_MAX && !source.names.is_empty() {
            // What was named is known no more, and no delegation to it is good; what is trusted remains so.
            let names = Vec::new();
            return self.source(Source { names, ..source });
        }
        if self.sources.len() >= PROVENANCE_SOURCES_MAX {
            self.index.full = true;
            return None;
        }
        let number = u16::try_from(self.sources.len()).ok()?;
        let source = Arc::new(source);
        self.sources.push(Arc::clone(&source));
        self.numbers.insert(source, number);
        Some(number)
    }
}

/// A result on its way to the agent.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// The tool that was called.
    pub tool: &'a Tool,
    /// The arguments it was called with.
    pub arguments: &'a Map<String, Value>,
    /// The intent of the call, if it had one.
    pub intent: Option<&'a CompiledIntent>,
    /// The result, or the members of a JSON-RPC error.
    pub result: &'a Map<String, Value>,
    /// Its rows ([`crate::response::rows`]).
    pub rows: u64,
    /// Whether it is an error: nothing in one is believed.
    pub error: bool,
    /// What became of it, if the tool reads memory: without that nothing in it is vouched for.
    pub memory: Option<&'a Examined>,
}

/// The values that a session has seen, as keyed fingerprints, within fixed limits
/// ([`PROVENANCE_TRUSTED_MAX`], [`PROVENANCE_UNTRUSTED_MAX`]): untrusted content can't push out what is trusted,
/// and what doesn't fit any more counts as untrusted.
#[derive(Debug)]
pub struct Tracker {
    keyed: Fingerprinter,
    trusted: Store,
    untrusted: Store,
    /// Values that signed memory vouches for; the source is the trust.
    memory: Index,
    /// What the agent wrote without proof.
    unproved: Unproved,
    /// Records that were read, latest last.
    records: VecDeque<RecordHash>,
    incomplete: bool,
    /// Somebody else's picture or file was read: what it says is not known here.
    unread: bool,
    /// Something was read that may have dictated what the agent says from now on.
    exposed: bool,
    /// What the session has done.
    pub history: History,
    /// What stands in for values that the agent does not get to see. Whoever has random bytes opens one.
    pub vault: Vault,
}

impl Tracker {
    /// For a session; `key` must not be known outside the edge. `incomplete`: something may have been read before
    /// this tracker began, so that what was never seen counts as untrusted.
    #[must_use]
    pub fn new(key: &[u8; 16], incomplete: bool) -> Self {
        Self {
            keyed: Fingerprinter::new(key),
            trusted: Store::new(PROVENANCE_TRUSTED_MAX),
            untrusted: Store::new(PROVENANCE_UNTRUSTED_MAX),
            memory: Index::new(PROVENANCE_MEMORY_MAX),
            unproved: Unproved::default(),
            records: VecDeque::new(),
            incomplete,
            unread: false,
            exposed: false,
            history: History::default(),
            vault: Vault::shut(),
        }
    }

    /// Number of sightings held: a measure of memory, some 50 bytes each.
    #[must_use]
    pub fn len(&self) -> usize {
        self.trusted
            .index
            .len()
            .saturating_add(self.untrusted.index.len())
            .saturating_add(self.memory.len())
            .saturating_add(self.unproved.len())
    }

    /// Whether nothing was read yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether something untrusted may be missing here.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.incomplete || self.untrusted.index.full
    }

    /// Whether every untrusted value that the agent may have seen is known here: else what is unknown counts as one.
    pub(super) fn knows_all(&self) -> bool {
        !self.unread && !self.is_incomplete()
    }

    /// From now on something may have been read elsewhere.
    pub fn note_incomplete(&mut self) {
        self.incomplete = true;
    }

    /// A call was permitted, with these arguments. What it writes without proof is not believed when it comes back.
    pub fn note_call(
        &mut self,
        tool: &Tool,
        arguments: &Map<String, Value>,
        intent: Option<&CompiledIntent>,
        at: Timestamp,
    ) {
        self.history.note_call(tool, at);
        // A reader keeps nothing, nor does a model; what memory says of where its facts come from is signed.
        if tool.verb() != Verb::Read && tool.model().is_none() && tool.entry().memory.is_none() {
            let goal = intent.map(CompiledIntent::passage);
            let marks = unproved::marks_of(self, goal, &Arguments::new(tool, arguments));
            self.unproved.note(marks);
        }
    }

    /// Reads a result: every channel that a model gets to see.
    pub fn read(&mut self, reading: &Reading<'_>) {
        let error = is_failed(reading);
        if let Some(examined) = reading.memory {
            self.remember(examined);
        }
        let foreign = self.note(reading);
        let exposes = exposes(reading, error) || (foreign && reading.tool.entry().memory.is_none());
        self.exposed |= exposes;
        self.history
            .note_result(reading.tool, reading.rows, error, exposes);
    }

    /// The values of a result, and nothing else of it: for what the content filter took out of it before the agent
    /// saw it, so that a placeholder has the origin of what it stands for.
    pub fn see(&mut self, reading: &Reading<'_>) {
        self.note(reading);
    }

    /// Notes the values of a result; returns whether somebody else's words are among them.
    fn note(&mut self, reading: &Reading<'_>) -> bool {
        if is_receipt(reading) {
            return false;
        }
        let judged = reading.memory.is_some() && !is_failed(reading);
        let mut reader = Reader::new(self, reading);
        let result = reading.result;
        let structured = result.get("structuredContent");
        let said = structured.map(Said::new);
        if let (Some(structured), Some(said)) = (structured, &said) {
            reader.structured(structured, said, result.get("content"));
        }
        for (key, value) in result {
            match key.as_str() {
                "structuredContent" => {}
                "content" if !reading.error => match value.as_array() {
                    Some(blocks) => blocks
                        .iter()
                        .for_each(|block| reader.block(block, said.as_ref())),
                    None => reader.aside(key, value),
                },
                // What was judged has the edge's note on it in place of any other.
                "_meta" if judged => {
                    let members = value.as_object().into_iter().flatten();
                    for (name, value) in members.filter(|(name, _)| *name != META) {
                        reader.suspect(&Value::String(name.clone()), None);
                        reader.suspect(value, None);
                    }
                }
                _ => reader.suspect(value, None),
            }
        }
        reader.foreign
    }

    /// Takes in what a server said beside its answers, on whatever channel: words, never proof.
    pub fn overhear(&mut self, reading: &Reading<'_>) {
        let mut scalars = Vec::new();
        reading
            .result
            .values()
            .for_each(|value| scalars_of(value, &mut scalars));
        let exposes = scalars.iter().any(|scalar| scalar.is_string());
        self.exposed |= exposes;
        self.history.note_overheard(reading.rows, exposes);
        let mut reader = Reader::of_words(self, reading);
        for value in reading.result.values() {
            reader.suspect(value, None);
        }
    }

    /// Notes what signed memory vouches for.
    fn remember(&mut self, examined: &Examined) {
        for believed in &examined.believed {
            let source = u16::from(believed.trust == MemoryTrust::Verified);
            let mut scalars = Vec::new();
            scalars_of(&believed.value, &mut scalars);
            for scalar in scalars {
                let behind = scalar.as_str().and_then(|text| text.split_once(": "));
                let behind = behind.map(|(_, behind)| Value::String(behind.trim().to_owned()));
                let labelled = believed.proved != Some(Proved::Whole);
                if let Some(behind) = behind.filter(|_| labelled) {
                    put_whole(&mut self.memory, &behind, source, &self.keyed);
                }
                // Of a text of which only the value was proved, the label is the agent's own.
                if believed.proved != Some(Proved::Value) {
                    put_whole(&mut self.memory, scalar, source, &self.keyed);
                }
            }
        }
        for record in &examined.records {
            if self.records.contains(record) {
                continue;
            }
            if self.records.len() >= MEMORY_PARENTS_MAX {
                self.records.pop_front();
            }
            self.records.push_back(*record);
        }
    }

    /// Records that were read, latest last.
    pub(crate) fn memory_read(&self) -> Vec<RecordHash> {
        self.records.iter().copied().collect()
    }

    /// Whether the agent has read anything, or may have, that could have dictated what it says.
    pub(crate) fn is_exposed(&self) -> bool {
        self.exposed || self.is_incomplete()
    }

    /// Whether memory of this trust or more vouches for the value.
    pub(super) fn proved_by_memory(&self, query: &Query, exact: bool, least: MemoryTrust) -> bool {
        let verified = u16::from(true);
        self.memory
            .proofs(query, exact)
            .any(|source| source == verified || least < MemoryTrust::Verified)
    }

    /// Whether a trusted result has the text, byte for byte.
    fn proves_exactly(&self, text: &str) -> bool {
        self.trusted.index.has(self.keyed.of(Kind::Exact, text))
    }

    pub(super) fn proves(&self, query: &Query, exact: bool) -> bool {
        self.trusted.index.proofs(query, exact).next().is_some()
    }

    /// Whether a result of this tool, in this field, proves the value.
    pub(super) fn proved_by_tool(
        &self,
        query: &Query,
        exact: bool,
        tool: &ToolRef,
        field: Option<&str>,
    ) -> bool {
        self.proved_where(query, exact, |source| source.is_of(tool, field))
    }

    /// Whether the result of a call that named this file, or this address, proves the value.
    pub(super) fn proved_by_file(&self, query: &Query, exact: bool, name: &str) -> bool {
        let name = self.keyed.of(Kind::Exact, name);
        self.proved_where(query, exact, |source| source.names.contains(&name))
    }

    fn proved_where(&self, query: &Query, exact: bool, good: impl Fn(&Source) -> bool) -> bool {
        [&self.trusted, &self.untrusted].into_iter().any(|store| {
            let mut proofs = store.index.mentions(query, exact);
            proofs.any(|number| {
                let source = store.sources.get(usize::from(number));
                source.is_some_and(|source| source.is_meant() && good(source.as_ref()))
            })
        })
    }

    /// The untrusted tool that showed the value, if one did.
    pub(super) fn suspect(&self, query: &Query) -> Option<&ToolRef> {
        let number = self.untrusted.index.suspect(query)?;
        let source = self.untrusted.sources.get(usize::from(number))?;
        Some(&source.tool)
    }

    /// The untrusted tool that showed the words of a normal text one after the other, if one did.
    pub(super) fn suspect_words(&self, normal: &str) -> Option<&ToolRef> {
        self.shown_by(self.words_seen(normal)?)
    }

    /// Whether untrusted content has a number as one of rows, or by itself in a field of an argument's name, in whatever spelling;
    /// or in digits, with its thousands apart or not, beside the words of that name.
    pub(super) fn suspect_rows(&self, number: &str, name: &str) -> bool {
        let index = &self.untrusted.index;
        let said = |number: &str| index.has(self.keyed.of(Kind::Rows, number));
        if said(number) || said(&of_argument(name, number)) {
            return true;
        }
        let words = words_of_name(name).into_iter();
        let words = words.map(|(word, reach)| (self.keyed.of(Kind::Word, &word), reach));
        let words: Vec<(u64, u8)> = words.collect();
        let groups = number.as_bytes().rchunks(3).rev();
        let groups: Vec<&str> = groups
            .filter_map(|group| std::str::from_utf8(group).ok())
            .collect();
        let mut written = [number.to_owned(), groups.join(","), groups.join(".")].into_iter();
        written.any(|written| index.has_near(&self.phrase_of(&written), &words))
    }

    /// The untrusted source that has them.
    fn words_seen(&self, normal: &str) -> Option<u16> {
        let index = &self.untrusted.index;
        let phrase = self.phrase_of(normal);
        let known = phrase.iter().all(|(word, _)| index.has(*word));
        known.then(|| index.has_words(&phrase)).flatten()
    }

    fn phrase_of(&self, normal: &str) -> Vec<(u64, u64)> {
        words(normal).map(|word| self.keyed.word(&word)).collect()
    }

    /// The untrusted source that has a time of day, in whatever words, if one has.
    pub(super) fn time_told(&self, clock: Clock) -> Option<u16> {
        let query = self.typed_query(Kind::PartOfDate, &clock.part());
        let behind_date = self.untrusted.index.suspect(&query);
        behind_date.or_else(|| {
            let told = clock.told();
            told.iter().find_map(|told| self.words_seen(told))
        })
    }

    /// The untrusted sources that have a time of day as people write it, whatever stands around it.
    pub(super) fn time_written(&self, clock: Clock) -> Vec<u16> {
        let index = &self.untrusted.index;
        let written = clock.written();
        let mut sources: Vec<u16> = written
            .iter()
            .flat_map(|written| index.phrase(&self.phrase_of(written)).collect::<Vec<_>>())
            .collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    }

    /// The tool that an untrusted source is of.
    pub(super) fn shown_by(&self, source: u16) -> Option<&ToolRef> {
        Some(&self.untrusted.sources.get(usize::from(source))?.tool)
    }

    /// Whether an untrusted source is a result of this tool, in this field.
    pub(super) fn is_of_tool(&self, source: u16, tool: &ToolRef, field: Option<&str>) -> bool {
        let source = self.untrusted.sources.get(usize::from(source));
        source.is_some_and(|source| source.is_meant() && source.is_of(tool, field))
    }

    /// Whether an untrusted source is the result of a call that named this file, or this address.
    pub(super) fn is_of_file(&self, source: u16, name: &str) -> bool {
        let name = self.keyed.of(Kind::Exact, name);
        let source = self.untrusted.sources.get(usize::from(source));
        source.is_some_and(|source| source.is_meant() && source.names.contains(&name))
    }

    /// The untrusted tool that showed the words among others, or by themselves in a field that is not `own`, if one did. A field
    /// that somebody may have named for the sake of it is none.
    pub(super) fn suspect_amid(
        &self,
        query: &Query,
        own: impl Fn(Option<&str>) -> bool,
    ) -> Option<&ToolRef> {
        let sources = &self.untrusted.sources;
        let field = |number: u16| sources.get(usize::from(number))?.own_field();
        // In a list of records the same field has it again and again.
        let mut known = None;
        let own = |number: u16| match known {
            Some((same, own)) if same == number => own,
            _ => known.insert((number, own(field(number)))).1,
        };
        let number = self.untrusted.index.has_amid(query, own)?;
        Some(&sources.get(usize::from(number))?.tool)
    }

    pub(super) fn query(&self, value: &Spelled) -> Query {
        value.query(&self.keyed)
    }

    pub(super) fn typed_query(&self, kind: Kind, canonical: &str) -> Query {
        Query::typed(kind, canonical, &self.keyed)
    }
}

/// The field under which errors are kept, and what the agent itself wrote into the call: an intent that delegates to a
/// tool or a file does not mean these. No JSON Pointer.
const OWN_WORDS: &str = "#";

fn is_failed(reading: &Reading<'_>) -> bool {
    reading.error || reading.result.get("isError") == Some(&Value::Bool(true))
}

/// Whether a result is the edge's own receipt for what it signed. Its digests are nobody's words, but have digits in them
/// that would count as numbers.
fn is_receipt(reading: &Reading<'_>) -> bool {
    reading.tool.direct() == Some(Direct::Write) && !is_failed(reading)
}

/// Whether a result may dictate what the agent says from now on.
fn exposes(reading: &Reading<'_>, error: bool) -> bool {
    let entry = reading.tool.entry();
    match (entry.memory, reading.memory) {
        (Some(MemoryUse::Read), Some(examined)) => examined.exposes,
        (Some(MemoryUse::Read), None) => true,
        // The edge's own answer.
        (Some(MemoryUse::Write), _) if reading.tool.direct().is_some() => error,
        // A store says of a write what was written; anything else in its answer is its own.
        (Some(MemoryUse::Write), _) => {
            error || !crate::memory::repeats(reading.arguments, reading.result)
        }
        (None, _) => error || entry.output == Trust::Untrusted,
    }
}

fn scalars_of<'v>(value: &'v Value, scalars: &mut Vec<&'v Value>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|v| scalars_of(v, scalars)),
        Value::Object(members) => members.values().for_each(|v| scalars_of(v, scalars)),
        Value::Null | Value::Bool(_) => {}
        scalar => scalars.push(scalar),
    }
}

//! What one session has read, and what of it may be believed.

use super::index::{Fingerprinter, Index, Passage, Query, Spelled, put_suspect, put_whole};
use super::text::{Word, normal};
use super::value::Kind;
use crate::catalogue::Tool;
use crate::filter::Vault;
use crate::history::History;
use crate::intent::CompiledIntent;
use crate::limits::{
    PROVENANCE_FIELDS_MAX, PROVENANCE_MEMORY_MAX, PROVENANCE_NAMED_SOURCES_MAX,
    PROVENANCE_NAMES_MAX, PROVENANCE_SOURCES_MAX, PROVENANCE_TEXT_BYTES_MAX,
    PROVENANCE_TRUSTED_MAX, PROVENANCE_UNTRUSTED_MAX,
};
use crate::memory::Examined;
use base64::Engine as _;
use proctor_model::ToolRef;
use proctor_model::catalogue::{MemoryTrust, MemoryUse, Trust, Verb};
use proctor_model::limits::MEMORY_PARENTS_MAX;
use proctor_model::memory::{Proved, RecordHash};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Where values come from: one field of the results of one tool, for the same named thing.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Source {
    tool: ToolRef,
    /// The field as a JSON Pointer with `*` for each array index; none for text.
    field: Option<String>,
    /// Fingerprints of what the call named: files, addresses.
    names: Vec<u64>,
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
    /// Records that were read, latest last.
    records: VecDeque<RecordHash>,
    incomplete: bool,
    /// Something was read that may have dictated what the agent says from now on.
    exposed: bool,
    /// What the session has done.
    pub history: History,
    /// What stands in for values that the agent does not get to see.
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
            records: VecDeque::new(),
            incomplete,
            exposed: false,
            history: History::default(),
            vault: Vault::new(crate::filter::vault_key(&[0; 32], &hex::encode(key))),
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

    /// Reads a result: every channel that a model gets to see.
    pub fn read(&mut self, reading: &Reading<'_>) {
        let error = reading.error || reading.result.get("isError") == Some(&Value::Bool(true));
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
        let mut reader = Reader::new(self, reading);
        let result = reading.result;
        let structured = result.get("structuredContent");
        if let Some(structured) = structured {
            reader.value(structured);
        }
        for (key, value) in result {
            match key.as_str() {
                "structuredContent" => {}
                "content" if !reading.error => match value.as_array() {
                    Some(blocks) => blocks
                        .iter()
                        .for_each(|block| reader.block(block, structured)),
                    None => reader.aside(key, value),
                },
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
        if scalars.iter().any(|scalar| scalar.is_string()) {
            self.exposed = true;
            self.history.note_overheard();
        }
        let mut reader = Reader::new(self, reading);
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
        self.proved_where(query, exact, |source| {
            source.tool == *tool && field.is_none_or(|field| source.field.as_deref() == Some(field))
        })
    }

    /// Whether the result of a call that named this file, or this address, proves the value.
    pub(super) fn proved_by_file(&self, query: &Query, exact: bool, name: &str) -> bool {
        let name = self.keyed.of(Kind::Exact, name);
        self.proved_where(query, exact, |source| source.names.contains(&name))
    }

    fn proved_where(&self, query: &Query, exact: bool, good: impl Fn(&Source) -> bool) -> bool {
        [&self.trusted, &self.untrusted].into_iter().any(|store| {
            let mut proofs = store.index.proofs(query, exact);
            let meant = |source: &Source| source.field.as_deref() != Some(OWN_WORDS);
            proofs.any(|number| {
                let source = store.sources.get(usize::from(number));
                source.is_some_and(|source| meant(source.as_ref()) && good(source.as_ref()))
            })
        })
    }

    /// The untrusted tool that showed the value, if one did.
    pub(super) fn suspect(&self, query: &Query) -> Option<&ToolRef> {
        let number = self.untrusted.index.suspect(query)?;
        let source = self.untrusted.sources.get(usize::from(number))?;
        Some(&source.tool)
    }

    pub(super) fn query(&self, value: &Spelled) -> Query {
        value.query(&self.keyed)
    }

    pub(super) fn typed_query(&self, kind: Kind, canonical: &str) -> Query {
        Query::typed(kind, canonical, &self.keyed)
    }
}

/// The kinds of content blocks that MCP has: their names are nobody's words.
const KINDS: [&str; 5] = ["text", "image", "audio", "resource", "resource_link"];
/// Most words of a line that are held against what the agent wrote.
const PASSAGE_WORDS_MAX: usize = 64;
/// Members of content blocks that hold no words, or (pictures and files) what the tool's own label speaks of.
const TECHNICAL: [&str; 6] = ["mimeType", "annotations", "size", "data", "blob", "_meta"];
/// The field under which errors are kept, and what the agent itself wrote into the call: an intent that delegates to a
/// tool or a file does not mean these. No JSON Pointer.
const OWN_WORDS: &str = "#";

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

/// Goes through one result.
struct Reader<'t, 'r> {
    tracker: &'t mut Tracker,
    tool: &'r Tool,
    trust: Trust,
    /// Nothing of this result is believed, whatever its labels say.
    failed: bool,
    names: Vec<u64>,
    /// Values that the agent itself put into the call without proof: a result that has them launders nothing.
    echoes: HashSet<String>,
    /// The same, word for word: a line or a field that is a run of them is no word of the tool's.
    own: Index,
    /// Something was read that is another's by its label, or that has no label.
    foreign: bool,
    /// Numbers of the sources of this result, by field: in the untrusted store and in the trusted one.
    fields: HashMap<String, [Option<Option<u16>>; 2]>,
    /// Names of members that were noted: in a list of records they come again and again.
    keys: HashSet<String>,
}

impl<'t, 'r> Reader<'t, 'r> {
    fn new(tracker: &'t mut Tracker, reading: &Reading<'r>) -> Self {
        let entry = reading.tool.entry();
        let goal = reading.intent.map(CompiledIntent::passage);
        let mut scalars = Vec::new();
        for value in reading.arguments.values() {
            scalars_of(value, &mut scalars);
        }
        let unproved = |value: &&&Value| !proved(tracker, goal, value);
        let mut keys = Vec::new();
        for value in reading.arguments.values() {
            keys_of(value, &mut keys);
        }
        let mut echoes = HashSet::new();
        let mut own = Index::new(PROVENANCE_UNTRUSTED_MAX);
        let unproved = scalars.iter().filter(unproved).copied();
        for value in unproved.chain(&keys) {
            echoes.extend(echoes_of(value));
            if let Some(text) = value.as_str() {
                let normal = normal(text);
                own.put_words(bare_words(&normal), 0, 0, &tracker.keyed);
            }
        }
        let names = scalars
            .iter()
            .filter_map(|value| value.as_str())
            .flat_map(|text| names_of(text, reading.tool.verb()))
            .take(PROVENANCE_NAMES_MAX)
            .map(|name| tracker.keyed.of(Kind::Exact, name))
            .collect();
        let failed = reading.error || reading.result.get("isError") == Some(&Value::Bool(true));
        // Of memory its records say what is to be believed, not the store's label.
        let memory = entry.memory == Some(MemoryUse::Read);
        let trust = if failed || memory || (entry.reflects && !echoes.is_empty()) {
            Trust::Untrusted
        } else {
            entry.output
        };
        Self {
            tracker,
            tool: reading.tool,
            trust,
            failed,
            names,
            echoes,
            own,
            foreign: false,
            fields: HashMap::new(),
            keys: HashSet::new(),
        }
    }

    /// JSON, by the labels of its fields.
    fn value(&mut self, value: &Value) {
        let mut path = String::new();
        self.walk(value, &mut path, 0);
    }

    fn walk(&mut self, value: &Value, path: &mut String, depth: usize) {
        if depth > crate::limits::JSON_DEPTH_MAX {
            self.tracker.untrusted.index.full = true;
            return;
        }
        let deeper = depth.saturating_add(1);
        let length = path.len();
        match value {
            Value::Array(elements) => {
                path.push_str("/*");
                for element in elements {
                    self.walk(element, path, deeper);
                }
                path.truncate(length);
            }
            Value::Object(members) => {
                for (key, member) in members {
                    path.push('/');
                    path.push_str(&key.replace('~', "~0").replace('/', "~1"));
                    if !self.keys.contains(key) {
                        self.keys.insert(key.clone());
                        self.suspect(&Value::String(key.clone()), None);
                    }
                    self.walk(member, path, deeper);
                    path.truncate(length);
                }
            }
            Value::Null | Value::Bool(_) => {}
            scalar => self.scalar(scalar, path),
        }
    }

    fn scalar(&mut self, scalar: &Value, path: &str) {
        if self.is_echo(scalar) {
            self.suspect(scalar, Some(OWN_WORDS));
        } else if self.trust_of(path) == Trust::Trusted {
            self.believe(scalar, Some(path));
        } else {
            self.foreign |= self.label_of(path) == Trust::Untrusted;
            self.suspect(scalar, Some(path));
        }
    }

    fn is_echo(&self, scalar: &Value) -> bool {
        if self.echoes.is_empty() {
            return false;
        }
        let forms = forms_of(scalar);
        forms.iter().any(|form| self.echoes.contains(form))
            || (scalar.is_string() && forms.first().is_some_and(|normal| self.is_run(normal)))
    }

    /// Whether a text is nothing but a run of words that the agent itself put into the call, whatever stands around it
    /// there.
    fn is_run(&self, normal: &str) -> bool {
        if self.own.len() == 0 {
            return false;
        }
        let print = |word: Word<'_>| self.tracker.keyed.word(&word);
        let words: Vec<(u64, u64)> = bare_words(normal)
            .take(PASSAGE_WORDS_MAX)
            .map(print)
            .collect();
        self.own.has_words(&words).is_some()
    }

    fn trust_of(&self, path: &str) -> Trust {
        let entry = self.tool.entry();
        let memory = entry.memory == Some(MemoryUse::Read);
        if self.failed || memory || (entry.reflects && !self.echoes.is_empty()) {
            return Trust::Untrusted;
        }
        self.label_of(path)
    }

    /// What the operator says of a field.
    fn label_of(&self, path: &str) -> Trust {
        let entry = self.tool.entry();
        let labelled = entry
            .output_fields
            .iter()
            .filter(|(field, _)| covers(field, path))
            .max_by_key(|(field, trust)| (field.split('/').count(), **trust == Trust::Untrusted));
        match labelled {
            Some((_, trust)) => *trust,
            None => entry.output,
        }
    }

    /// Whether the operator's labels set some fields of the tool's results apart as another's.
    fn is_mixed(&self) -> bool {
        let entry = self.tool.entry();
        let mut labels = entry.output_fields.values();
        entry.output == Trust::Untrusted || labels.any(|trust| *trust == Trust::Untrusted)
    }

    /// What stands beside the texts of a result: no label speaks of it.
    fn aside(&mut self, key: &str, value: &Value) {
        let mut scalars = Vec::new();
        scalars_of(value, &mut scalars);
        let technical = TECHNICAL.contains(&key);
        self.foreign |= !technical && scalars.iter().any(|scalar| scalar.is_string());
        self.suspect(value, None);
    }

    /// A block of `content`: its text and that of an embedded resource go by the tool's labels, nothing else does.
    fn block(&mut self, block: &Value, structured: Option<&Value>) {
        let Some(members) = block.as_object() else {
            return self.aside("", block);
        };
        for (key, value) in members {
            match (key.as_str(), value) {
                ("text", Value::String(text)) => self.text(text, structured),
                ("resource", Value::Object(resource)) => {
                    for (key, value) in resource {
                        match (key.as_str(), value) {
                            ("text", Value::String(text)) => self.text(text, structured),
                            _ => self.aside(key, value),
                        }
                    }
                }
                ("type", Value::String(kind)) if KINDS.contains(&kind.as_str()) => {}
                _ => self.aside(key, value),
            }
        }
    }

    fn text(&mut self, text: &str, structured: Option<&Value>) {
        let json = text.trim_start().starts_with(['{', '[']);
        let parsed = json
            .then(|| serde_json::from_str::<Value>(text).ok())
            .flatten();
        match (parsed, structured) {
            // The same once more, as the specification asks for.
            (Some(parsed), Some(structured)) if parsed == *structured => {}
            (Some(parsed), None) => self.value(&parsed),
            (parsed, _) => {
                let plain = parsed.is_none() && structured.is_none();
                if plain && self.trust == Trust::Trusted {
                    self.lines(text);
                } else {
                    // Nothing tells one field from another in it.
                    self.foreign |= self.is_mixed();
                    self.suspect_text(text, None);
                }
            }
        }
    }

    /// Text of a trusted tool: each line, and what stands behind a colon in it, is believed as a whole.
    fn lines(&mut self, text: &str) {
        for line in text.lines() {
            let line = line.trim().trim_start_matches(['-', '*']).trim_start();
            let behind = line.split_once(": ").map(|(_, behind)| behind.trim());
            let parts = behind.into_iter().chain([line]);
            let parts: HashSet<&str> = parts.filter(|part| !part.is_empty()).collect();
            for part in parts {
                let part = Value::String(part.to_owned());
                if self.is_echo(&part) {
                    self.suspect(&part, Some(OWN_WORDS));
                } else {
                    self.believe(&part, None);
                }
            }
        }
    }

    fn believe(&mut self, scalar: &Value, path: Option<&str>) {
        if let Some(source) = self.source(path, Trust::Trusted) {
            let Tracker { keyed, trusted, .. } = &mut *self.tracker;
            put_whole(&mut trusted.index, scalar, source, keyed);
        }
    }

    /// A text, nothing in which is believed.
    fn suspect_text(&mut self, text: &str, path: Option<&str>) {
        if let Some(source) = self.source(path, Trust::Untrusted) {
            let Tracker {
                keyed, untrusted, ..
            } = &mut *self.tracker;
            put_suspect(&mut untrusted.index, text, source, keyed);
        }
    }

    /// Everything below a value, none of it believed.
    fn suspect(&mut self, value: &Value, path: Option<&str>) {
        let Some(source) = self.source(path, Trust::Untrusted) else {
            return;
        };
        let Tracker {
            keyed, untrusted, ..
        } = &mut *self.tracker;
        let mut pending = vec![value];
        while let Some(value) = pending.pop() {
            match value {
                Value::String(text) => put_suspect(&mut untrusted.index, text, source, keyed),
                Value::Number(_) => put_whole(&mut untrusted.index, value, source, keyed),
                Value::Array(elements) => pending.extend(elements),
                Value::Object(members) => {
                    for (key, member) in members {
                        put_suspect(&mut untrusted.index, key, source, keyed);
                        pending.push(member);
                    }
                }
                Value::Null | Value::Bool(_) => {}
            }
        }
    }

    /// The number of the source of a field; fields beyond the limit are the result as a whole.
    fn source(&mut self, path: Option<&str>, trust: Trust) -> Option<u16> {
        let path = if self.failed { Some(OWN_WORDS) } else { path };
        let room = self.fields.len() < PROVENANCE_FIELDS_MAX;
        let field = path.filter(|path| self.fields.contains_key(*path) || room);
        // No pointer but that of the whole document is empty, and that is no field.
        let known = field.unwrap_or_default();
        let at = usize::from(trust == Trust::Trusted);
        let noted = self.fields.get(known).and_then(|numbers| numbers.get(at));
        if let Some(Some(number)) = noted {
            return *number;
        }
        let source = Source {
            tool: self.tool.reference().clone(),
            field: field.map(str::to_owned),
            names: self.names.clone(),
        };
        let store = match trust {
            Trust::Trusted => &mut self.tracker.trusted,
            Trust::Untrusted => &mut self.tracker.untrusted,
        };
        let number = store.source(source);
        let numbers = self.fields.entry(known.to_owned()).or_default();
        if let Some(noted) = numbers.get_mut(at) {
            *noted = Some(number);
        }
        number
    }
}

/// Words of a normal text without any sign between them: a tool that takes `a/b` apart gives back `b`.
fn bare_words(normal: &str) -> impl Iterator<Item = Word<'_>> {
    normal
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| Word { gap: " ", word })
}

fn proved(tracker: &Tracker, goal: Option<&Passage>, value: &Value) -> bool {
    // To the letter: what differs in case only may be another password.
    Spelled::of(value).is_some_and(|value| {
        goal.is_some_and(|goal| goal.has(&value, true))
            || tracker.proves(&tracker.query(&value), true)
    })
}

fn scalars_of<'v>(value: &'v Value, scalars: &mut Vec<&'v Value>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|v| scalars_of(v, scalars)),
        Value::Object(members) => members.values().for_each(|v| scalars_of(v, scalars)),
        Value::Null | Value::Bool(_) => {}
        scalar => scalars.push(scalar),
    }
}

/// Names of members at any depth.
fn keys_of(value: &Value, keys: &mut Vec<Value>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|v| keys_of(v, keys)),
        Value::Object(members) => {
            for (key, member) in members {
                keys.push(Value::String(key.clone()));
                keys_of(member, keys);
            }
        }
        _ => {}
    }
}

/// A scalar in the forms in which it is believed.
fn forms_of(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => {
            let typed = super::value::whole(text).map(|(_, canonical)| canonical);
            std::iter::once(normal(text)).chain(typed).collect()
        }
        Value::Number(number) => super::quantity::canonical_number(&number.to_string())
            .into_iter()
            .collect(),
        _ => Vec::new(),
    }
}

/// What a tool may give back of an argument: itself, the parts of a list in it, and what is recognised in it.
fn echoes_of(value: &Value) -> Vec<String> {
    let mut echoes = forms_of(value);
    if let Value::String(text) = value {
        echoes.extend(text.split([',', ';']).map(normal));
        super::value::recognise(text, &mut |_, canonical| echoes.push(canonical.to_owned()));
    }
    echoes
}

/// The names by which an intent may speak of what a call read: the argument, and for a file also its last part.
fn names_of(argument: &str, verb: Verb) -> impl Iterator<Item = &str> {
    let short = argument.len() <= 1024;
    let file = argument.rsplit(['/', '\\']).next();
    let file = file.filter(|file| {
        verb == Verb::Read && !argument.contains("://") && *file != argument && !file.is_empty()
    });
    std::iter::once(argument).chain(file).filter(move |_| short)
}

/// Whether a label's pointer (`*` for any one step) is the path or an ancestor of it.
fn covers(label: &str, path: &str) -> bool {
    let mut steps = path.split('/').skip(1);
    label
        .split('/')
        .skip(1)
        .all(|step| steps.next().is_some_and(|at| step == "*" || at == step))
}

/// Fewest letters of a chunk that is taken for base64.
pub(super) const BASE64_BYTES_MIN: usize = 8;

/// What a chunk says that is percent- or base64-encoded, one level deep.
pub(super) fn decoded(chunk: &str) -> Option<String> {
    use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
    if chunk.contains('%') {
        let decoded = percent_decoded(chunk)?;
        return (decoded != chunk).then_some(decoded);
    }
    let bare = chunk.trim_end_matches('=');
    let plausible = |b: u8| b.is_ascii_alphanumeric() || b"+/-_".contains(&b);
    if !(BASE64_BYTES_MIN..=PROVENANCE_TEXT_BYTES_MAX).contains(&bare.len())
        || !bare.bytes().all(plausible)
    {
        return None;
    }
    let bytes = BASE64_STANDARD_NO_PAD
        .decode(bare)
        .or_else(|_| BASE64_URL_SAFE_NO_PAD.decode(bare))
        .ok()?;
    let text = String::from_utf8(bytes).ok()?;
    (!text.contains(|c: char| c.is_control() && !c.is_whitespace())).then_some(text)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let digits = || -> Option<u8> {
            let high = char::from(ahead.next()?).to_digit(16)?;
            let low = char::from(ahead.next()?).to_digit(16)?;
            u8::try_from(high.checked_mul(16)?.checked_add(low)?).ok()
        };
        match (byte == b'%').then(digits).flatten() {
            Some(decoded) => {
                bytes.push(decoded);
                rest.nth(1);
            }
            None => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

//! Goes through one result, and notes its values by the labels of its fields.

use super::echoes::Echoes;
use super::names::names_of;
use super::{OWN_WORDS, Reading, Source, Tracker, scalars_of};
use crate::catalogue::Tool;
use crate::limits::PROVENANCE_FIELDS_MAX;
use crate::provenance::decode::embedded;
use crate::provenance::index::{Spelled, put_spelled, put_suspect, put_whole};
use crate::provenance::text::lines;
use proctor_model::catalogue::{MemoryUse, Trust};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// The kinds of content blocks that MCP has: their names are nobody's words.
const KINDS: [&str; 5] = ["text", "image", "audio", "resource", "resource_link"];
/// Members of content blocks that hold no words, or (pictures and files) what the tool's own label speaks of.
const TECHNICAL: [&str; 6] = ["mimeType", "annotations", "size", "data", "blob", "_meta"];
/// Those with a picture, a sound or a file, in base64.
const EMBEDDED: [&str; 2] = ["data", "blob"];
/// Longest text of such a member that may be a value itself, in bytes: a longer one that decodes to a text is base64.
const EMBEDDED_VALUE_BYTES_MAX: usize = 1_024;

/// Goes through one result.
pub(super) struct Reader<'t, 'r> {
    tracker: &'t mut Tracker,
    tool: &'r Tool,
    trust: Trust,
    /// Nothing of this result is believed, whatever its labels say.
    failed: bool,
    names: Vec<u64>,
    echoes: Echoes,
    /// Something was read that is another's by its label, or that has no label.
    pub(super) foreign: bool,
    /// Numbers of the sources of this result, by field: in the untrusted store and in the trusted one.
    fields: HashMap<String, [Option<Option<u16>>; 2]>,
    /// Names of members that were noted: in a list of records they come again and again.
    keys: HashSet<String>,
}

impl<'t, 'r> Reader<'t, 'r> {
    pub(super) fn new(tracker: &'t mut Tracker, reading: &Reading<'r>) -> Self {
        let entry = reading.tool.entry();
        let mut scalars = Vec::new();
        for value in reading.arguments.values() {
            scalars_of(value, &mut scalars);
        }
        let echoes = Echoes::new(tracker, reading, &scalars);
        let names = names_of(tracker, reading);
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
            foreign: false,
            fields: HashMap::new(),
            keys: HashSet::new(),
        }
    }

    /// JSON, by the labels of its fields.
    pub(super) fn value(&mut self, value: &Value) {
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
                    push_step(path, key);
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
        if self.echoes.has(&self.tracker.keyed, scalar) {
            self.suspect(scalar, Some(OWN_WORDS));
        } else if self.trust_of(path) == Trust::Trusted {
            self.believe(scalar, Some(path));
        } else {
            self.foreign |= self.label_of(path) == Trust::Untrusted;
            self.suspect(scalar, Some(path));
        }
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
    pub(super) fn aside(&mut self, key: &str, value: &Value) {
        let mut scalars = Vec::new();
        scalars_of(value, &mut scalars);
        let technical = TECHNICAL.contains(&key);
        self.foreign |= !technical && scalars.iter().any(|scalar| scalar.is_string());
        match value {
            Value::String(encoded) if EMBEDDED.contains(&key) => self.file(encoded),
            value => self.suspect(value, None),
        }
    }

    /// An embedded file. What one says that is no text a model may see, and nothing here does.
    fn file(&mut self, encoded: &str) {
        let text = embedded(encoded);
        self.tracker.unread |= text.is_none() && self.trust == Trust::Untrusted;
        if text.is_none() || encoded.len() <= EMBEDDED_VALUE_BYTES_MAX {
            self.suspect_text(encoded, None);
        }
        if let Some(text) = text {
            self.suspect_text(&text, None);
        }
    }

    /// A block of `content`: its text and that of an embedded resource go by the tool's labels, nothing else does.
    pub(super) fn block(&mut self, block: &Value, structured: Option<&Value>) {
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
        for part in lines(text) {
            let part = Value::String(part.to_owned());
            if self.echoes.has(&self.tracker.keyed, &part) {
                self.suspect(&part, Some(OWN_WORDS));
            } else {
                self.believe(&part, None);
            }
        }
    }

    /// What the agent itself had put there without proof is not believed, nor held against it: it may be its own work.
    fn believe(&mut self, scalar: &Value, path: Option<&str>) {
        let Some(spelled) = Spelled::of(scalar) else {
            return;
        };
        if self.tracker.unproved.has(&spelled, &self.tracker.keyed) {
            return;
        }
        if let Some(source) = self.source(path, Trust::Trusted) {
            let Tracker { keyed, trusted, .. } = &mut *self.tracker;
            put_spelled(&mut trusted.index, &spelled, source, keyed);
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
    pub(super) fn suspect(&mut self, value: &Value, path: Option<&str>) {
        if let Value::String(text) = value {
            return self.suspect_text(text, path);
        }
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
        let at = usize::from(trust == Trust::Trusted);
        // In a list of records the same fields come again and again.
        let noted = self.fields.get(path.unwrap_or_default());
        if let Some(Some(number)) = noted.and_then(|numbers| numbers.get(at)) {
            return *number;
        }
        let room = self.fields.len() < PROVENANCE_FIELDS_MAX;
        let field = path.filter(|path| self.fields.contains_key(*path) || room);
        // No pointer but that of the whole document is empty, and that is no field.
        let known = field.unwrap_or_default();
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

/// One step more of a JSON Pointer.
fn push_step(path: &mut String, step: &str) {
    path.push('/');
    match memchr::memchr2(b'~', b'/', step.as_bytes()) {
        Some(_) => path.push_str(&step.replace('~', "~0").replace('/', "~1")),
        None => path.push_str(step),
    }
}

/// Whether a label's pointer (`*` for any one step) is the path or an ancestor of it.
fn covers(label: &str, path: &str) -> bool {
    let mut steps = path.split('/').skip(1);
    label
        .split('/')
        .skip(1)
        .all(|step| steps.next().is_some_and(|at| step == "*" || at == step))
}

//! Goes through one result, and notes its values by the labels of its fields.

use super::arguments::Arguments;
use super::document::{Said, TEXTS_MAX, document_in, may_be_document, parts_around, texts_of};
use super::echoes::Echoes;
use super::labels::{labelled, sets_apart, sets_apart_below};
use super::names::{Asked, Listing, names_of};
use super::{Namer, OWN_WORDS, Reading, Source, Tracker, is_failed, scalars_of};
use crate::catalogue::Tool;
use crate::intent::CompiledIntent;
use crate::limits::PROVENANCE_FIELDS_MAX;
use crate::provenance::calendar::says_when;
use crate::provenance::choice::names_members;
use crate::provenance::decode::embedded;
use crate::provenance::lines::lines;
use crate::provenance::note::{Stamps, put_below, put_spelled, put_suspect};
use crate::provenance::pair::named_in;
use crate::provenance::part::parts_of;
use crate::provenance::plan::push_step;
use crate::provenance::query::Spelled;
use crate::provenance::rows::NamesRead;
use proctor_model::catalogue::{MemoryUse, Trust, Verb};
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

/// What becomes of what the labels trust; the least belief last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Belief {
    /// It is believed.
    Labelled,
    /// It proves nothing, and is held against nobody: it stands in a text that the agent itself may have written, or
    /// somebody else may have chosen what to look for.
    Withheld,
    /// It is not believed, whatever its labels say.
    Doubted,
}

/// Goes through one result.
pub(super) struct Reader<'t, 'r> {
    tracker: &'t mut Tracker,
    tool: &'r Tool,
    trust: Trust,
    /// An error, which no label speaks of.
    failed: bool,
    /// Of the result, or of the text that is being read.
    belief: Belief,
    names: Vec<u64>,
    listing: Listing,
    /// Who has named the fields of what is being read.
    namer: Namer,
    echoes: Echoes,
    /// Something was read that is another's by its label, or that has no label.
    pub(super) foreign: bool,
    /// Numbers of the sources of this result, by field: in the untrusted store and in the trusted one, and the same of fields that
    /// anybody may have named.
    fields: HashMap<String, [Option<Option<u16>>; 4]>,
    /// Names of members that were noted, in places of others and by the source of each trusted one: in a list of records they
    /// come again and again.
    keys: HashMap<Option<Option<u16>>, HashSet<String>>,
    /// Names on the paths to numbers: in a list the same path comes again and again.
    on_path: NamesRead,
    /// The name that the object which is being read gives what stands in it, and how long the path to that object is.
    called: Option<(usize, String)>,
    /// Where in the path the JSON texts begin that are being read, one in the other.
    texts: Vec<usize>,
    /// What is being read is wrapped: a text of the result has a part of it as a document of its own.
    wrapped: bool,
}

impl<'t, 'r> Reader<'t, 'r> {
    pub(super) fn new(tracker: &'t mut Tracker, reading: &Reading<'r>) -> Self {
        let entry = reading.tool.entry();
        let goal = reading.intent.map(CompiledIntent::passage);
        let arguments = Arguments::new(reading.tool, reading.arguments);
        let echoes = Echoes::new(tracker, goal, &arguments);
        let names = names_of(tracker, reading);
        let asked = Asked::of(reading);
        let failed = is_failed(reading);
        // Of memory its records say what is to be believed, not the store's label.
        let memory = entry.memory == Some(MemoryUse::Read);
        // Of what nobody has opened nobody knows what comes back.
        let reflected = entry.reflects && !echoes.is_empty();
        let doubted = failed || memory || reflected || !arguments.opened;
        // Who says which records come back has chosen what they prove.
        let dictated = || {
            let intent = reading.intent.filter(|_| tracker.is_exposed());
            intent.is_some_and(|intent| {
                intent.is_filter_dictated(reading.tool, reading.arguments, tracker)
            })
        };
        let (trust, belief) = match doubted {
            true => (Trust::Untrusted, Belief::Doubted),
            false if dictated() => (entry.output, Belief::Withheld),
            false => (entry.output, Belief::Labelled),
        };
        Self {
            tracker,
            tool: reading.tool,
            trust,
            failed,
            belief,
            names,
            listing: Listing::of(asked, reading.result.get("content")),
            namer: match asked {
                Asked::Writing => Namer::Anybody,
                Asked::Thing | Asked::Records => Namer::Tool,
            },
            echoes,
            foreign: false,
            fields: HashMap::new(),
            keys: HashMap::new(),
            on_path: NamesRead::default(),
            called: None,
            texts: Vec::new(),
            wrapped: false,
        }
    }

    /// Of what is said beside the answers, nothing of which is believed: what the agent put into the call does not matter.
    pub(super) fn of_words(tracker: &'t mut Tracker, reading: &Reading<'r>) -> Self {
        let names = names_of(tracker, reading);
        Self {
            tracker,
            tool: reading.tool,
            trust: Trust::Untrusted,
            failed: is_failed(reading),
            belief: Belief::Doubted,
            names,
            // Nothing of it stands in a field.
            listing: Listing::Nowhere,
            namer: Namer::Tool,
            echoes: Echoes::none(),
            foreign: false,
            fields: HashMap::new(),
            keys: HashMap::new(),
            on_path: NamesRead::default(),
            called: None,
            texts: Vec::new(),
            wrapped: false,
        }
    }

    /// JSON, by the labels of its fields.
    pub(super) fn value(&mut self, value: &Value) {
        let mut path = String::new();
        self.walk(value, None, &mut path, 0);
    }

    /// `before`: the element before it in a list. Where that is a record with the same names, they were noted with it.
    fn walk(&mut self, value: &Value, before: Option<&Value>, path: &mut String, depth: usize) {
        if depth > crate::limits::JSON_DEPTH_MAX {
            self.tracker.untrusted.index.full = true;
            return;
        }
        let deeper = depth.saturating_add(1);
        let length = path.len();
        match value {
            Value::Array(elements) => {
                path.push_str("/*");
                let mut before = None;
                for element in elements {
                    self.walk(element, before.replace(element), path, deeper);
                }
                path.truncate(length);
            }
            Value::Object(members) => {
                let before = before.and_then(Value::as_object);
                let noted = before.is_some_and(|before| before.keys().eq(members.keys()));
                let own = !noted && self.has_own_names(path);
                let called = named_in(members).map(|name| (length, name.to_owned()));
                let around = std::mem::replace(&mut self.called, called);
                for (key, member) in members {
                    if !noted {
                        self.name(key, own, path);
                    }
                    push_step(path, key);
                    self.walk(member, None, path, deeper);
                    path.truncate(length);
                }
                self.called = around;
            }
            Value::Null | Value::Bool(_) => {}
            scalar => {
                let telling = self.scalar(scalar, path);
                // Whatever the agent may have written there, a field that is set apart in it is another's.
                if telling || sets_apart(self.tool.entry()) {
                    self.text_in(scalar, path, deeper, telling);
                }
            }
        }
    }

    /// Whether names of members at a place are the tool's own words: it is trusted, and nothing below it is set apart as
    /// another's.
    fn has_own_names(&self, path: &str) -> bool {
        let entry = self.tool.entry();
        self.trust_of(path) == Trust::Trusted
            && !self
                .pointers(path)
                .any(|path| sets_apart_below(entry, path))
    }

    /// The name of a member. Among the tool's own words it is a value of the place that it stands in, but for what may be the
    /// name of a field: that says nothing of anybody.
    fn name(&mut self, name: &str, own: bool, path: &str) {
        if own && (self.belief == Belief::Withheld || is_field_name(name)) {
            return;
        }
        let source = own.then(|| self.source(Some(path), Trust::Trusted));
        let noted = self.keys.entry(source).or_default();
        if noted.contains(name) {
            return;
        }
        noted.insert(name.to_owned());
        let name = Value::String(name.to_owned());
        if own {
            self.scalar(&name, path);
        } else {
            self.suspect(&name, None);
        }
    }

    /// Notes a text or a number. Returns whether what stands in it may be another's, or the tool's own: what the agent itself
    /// had put there proves nothing where it would be believed, and is nobody else's word either.
    fn scalar(&mut self, scalar: &Value, path: &str) -> bool {
        let label = self.label_of(path);
        let trusted = label == Trust::Trusted && self.belief != Belief::Doubted;
        if trusted && self.belief == Belief::Withheld {
            return false;
        }
        match (trusted, self.echoes.has(&self.tracker.keyed, scalar)) {
            (true, true) => false,
            (true, false) => self.believe(scalar, Some(path)),
            (false, true) => {
                if !self.is_receipt() || self.was_suspect(scalar) {
                    self.suspect(scalar, Some(OWN_WORDS));
                }
                true
            }
            (false, false) => {
                self.foreign |= label == Trust::Untrusted;
                self.suspect(scalar, Some(path));
                true
            }
        }
    }

    /// Whether the result is what a tool says of something that it did: it tells back what it was told.
    fn is_receipt(&self) -> bool {
        !self.failed && self.tool.verb() != Verb::Read
    }

    /// Whether untrusted content has it already. What the agent had said before anybody else did is its own still when it is
    /// repeated: it could have been used without that.
    fn was_suspect(&self, scalar: &Value) -> bool {
        let query = Spelled::of(scalar).map(|spelled| self.tracker.query(&spelled));
        query.is_none_or(|query| self.tracker.suspect(&query).is_some())
            || !self.tracker.knows_all()
    }

    /// A JSON text in a field is read by the labels of its own fields; where the field is not believed, nothing in it is.
    /// Where it tells nothing, as it is the agent's own, nothing in it is a proof either.
    fn text_in(&mut self, scalar: &Value, path: &mut String, depth: usize, telling: bool) {
        let text = scalar.as_str().filter(|text| may_be_document(text));
        let Some(text) = text else {
            return;
        };
        if self.texts.len() >= TEXTS_MAX {
            return self.unopened(text, path);
        }
        let Some(document) = document_in(text) else {
            return;
        };
        let before = self.belief;
        self.belief = before.max(match (self.trust_of(path), telling) {
            (Trust::Untrusted, _) => Belief::Doubted,
            (Trust::Trusted, false) => Belief::Withheld,
            (Trust::Trusted, true) => Belief::Labelled,
        });
        let namer = std::mem::replace(&mut self.namer, Namer::Anybody);
        self.texts.push(path.len());
        self.walk(&document, None, path, depth);
        self.texts.pop();
        self.namer = namer;
        self.belief = before;
    }

    /// A text below as many others as are opened. Where fields are set apart, one of them may be in it.
    fn unopened(&mut self, text: &str, path: &str) {
        if sets_apart(self.tool.entry()) {
            self.foreign = true;
            self.suspect_text(text, Some(path));
        }
    }

    fn trust_of(&self, path: &str) -> Trust {
        match self.belief {
            Belief::Doubted => Trust::Untrusted,
            Belief::Labelled | Belief::Withheld => self.label_of(path),
        }
    }

    /// What the operator says of a field. In a JSON text his pointers may begin where the text does: what he sets apart there
    /// is not believed either.
    fn label_of(&self, path: &str) -> Trust {
        let entry = self.tool.entry();
        let within = |path: &str| labelled(entry, path) == Some(Trust::Untrusted);
        if self.pointers(path).skip(1).any(within) {
            return Trust::Untrusted;
        }
        labelled(entry, path).unwrap_or(entry.output)
    }

    /// The pointers by which an operator may speak of a place: from the root of the result, from that of each JSON text around
    /// it, and from what a text may have without the wrapping.
    fn pointers<'p>(&self, path: &'p str) -> impl Iterator<Item = &'p str> {
        let texts = self.texts.iter();
        let texts = texts.filter_map(move |begin| path.get(*begin..));
        let parts = self.wrapped.then(|| parts_around(path));
        std::iter::once(path)
            .chain(texts)
            .chain(parts.into_iter().flatten())
    }

    /// Whether the result may have another's words in it, by the operator's labels.
    fn is_mixed(&self) -> bool {
        let entry = self.tool.entry();
        entry.output == Trust::Untrusted || sets_apart(entry)
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
    pub(super) fn block(&mut self, block: &Value, said: Option<&Said<'_>>) {
        let Some(members) = block.as_object() else {
            return self.aside("", block);
        };
        for (key, value) in members {
            match (key.as_str(), value) {
                ("text", Value::String(text)) => self.text(text, said),
                ("resource", Value::Object(resource)) => {
                    for (key, value) in resource {
                        match (key.as_str(), value) {
                            ("text", Value::String(text)) => self.text(text, said),
                            _ => self.aside(key, value),
                        }
                    }
                }
                ("type", Value::String(kind)) if KINDS.contains(&kind.as_str()) => {}
                _ => self.aside(key, value),
            }
        }
    }

    /// A text of a result that has this structured content, or none.
    fn text(&mut self, text: &str, said: Option<&Said<'_>>) {
        let document = document_in(text);
        let own = self.trust == Trust::Trusted && !self.is_mixed();
        // Nothing tells one field from another in plain text.
        let told = document.is_some() || !sets_apart(self.tool.entry());
        match document {
            document if told && said.is_some_and(|said| said.has(text, document.as_ref())) => {}
            Some(document) if own || said.is_none() => self.document(&document),
            None if own => self.lines(text, None),
            _ => {
                self.foreign |= self.is_mixed();
                self.suspect_text(text, None);
            }
        }
    }

    /// A text that is JSON as a whole. It may be all that somebody wrote, unless the tool puts a list together and this is one.
    fn document(&mut self, document: &Value) {
        let namer = self.namer;
        if !self.listing.has(document) {
            self.namer = Namer::Anybody;
        }
        self.value(document);
        self.namer = namer;
    }

    /// Structured content. Where a text has a part of it as a document of its own, an operator's pointers may begin with that
    /// part: what he sets apart there is not believed either.
    pub(super) fn structured(
        &mut self,
        structured: &Value,
        said: &Said<'_>,
        content: Option<&Value>,
    ) {
        let part = |text: &str| document_in(text).is_some_and(|document| said.has_part(&document));
        self.wrapped = sets_apart(self.tool.entry()) && texts_of(content).any(part);
        let namer = self.namer;
        let schema = self.tool.entry().definition.output_schema.as_ref();
        // It was held to that.
        if schema.is_some_and(|schema| names_members(schema, structured)) {
            self.namer = Namer::Tool;
        }
        self.value(structured);
        self.namer = namer;
        self.wrapped = false;
        self.only_text(said, content);
    }

    /// Structured content that is nothing but a text which the result has as a block too: plain text, as some servers wrap it. It
    /// is read as such, by the label of the member that it stands in.
    fn only_text(&mut self, said: &Said<'_>, content: Option<&Value>) {
        let Some((name, text)) = said.only_text() else {
            return;
        };
        let mut texts = texts_of(content);
        let mut path = String::new();
        push_step(&mut path, name);
        let believed = self.trust_of(&path) == Trust::Trusted && !sets_apart(self.tool.entry());
        if believed && texts.any(|block| block == text) && document_in(text).is_none() {
            self.lines(text, Some(&path));
        }
    }

    /// Text of a trusted tool: each line, and what stands behind a colon in it, is believed as a whole.
    fn lines(&mut self, text: &str, path: Option<&str>) {
        if self.belief != Belief::Labelled {
            return;
        }
        for part in lines(text) {
            let part = Value::String(part.to_owned());
            if !self.echoes.has(&self.tracker.keyed, &part) {
                self.believe(&part, path);
            }
        }
    }

    /// What the agent itself had put there without proof is not believed, nor held against it: it may be its own work. Returns
    /// whether it is anything else.
    fn believe(&mut self, scalar: &Value, path: Option<&str>) -> bool {
        let Some(spelled) = Spelled::of(scalar) else {
            return false;
        };
        if self.tracker.unproved.has(&spelled, &self.tracker.keyed) {
            return false;
        }
        let mut told = true;
        for part in parts_of(&spelled) {
            let part = Value::String(part);
            told &= !self.echoes.has(&self.tracker.keyed, &part) && self.believe(&part, path);
        }
        // With a name before it, the agent's own address leads where it led.
        if told && let Some(source) = self.source(path, Trust::Trusted) {
            let Tracker { keyed, trusted, .. } = &mut *self.tracker;
            put_spelled(&mut trusted.index, &spelled, source, keyed);
        }
        true
    }

    /// A text, nothing in which is believed.
    fn suspect_text(&mut self, text: &str, path: Option<&str>) {
        if let Some(source) = self.source(path, Trust::Untrusted) {
            let Tracker {
                keyed, untrusted, ..
            } = &mut *self.tracker;
            let stamps = untrusted.stamps(source);
            let path = path.unwrap_or_default();
            put_suspect(
                &mut untrusted.index,
                text,
                path,
                stamps,
                source,
                keyed,
                &mut self.on_path,
            );
        }
    }

    /// Everything below a value, none of it believed.
    pub(super) fn suspect(&mut self, value: &Value, path: Option<&str>) {
        // Most values are texts, which have nothing below, in objects that say of none how it is called.
        if let (Value::String(text), None) = (value, &self.called) {
            return self.suspect_text(text, path);
        }
        let Some(source) = self.source(path, Trust::Untrusted) else {
            return;
        };
        let path = path.unwrap_or_default();
        let mut path = match &self.called {
            // As if what the object has stood below that name.
            Some((at, name)) if path.starts_with('/') => below(path, *at, name),
            _ => path.to_owned(),
        };
        let Tracker {
            keyed, untrusted, ..
        } = &mut *self.tracker;
        let stamps = untrusted.stamps(source);
        put_below(
            &mut untrusted.index,
            value,
            &mut path,
            stamps,
            source,
            keyed,
            &mut self.on_path,
        );
    }

    /// The number of the source of a field; fields beyond the limit are the result as a whole.
    fn source(&mut self, path: Option<&str>, trust: Trust) -> Option<u16> {
        let path = if self.failed { Some(OWN_WORDS) } else { path };
        let trusted = usize::from(trust == Trust::Trusted);
        let at = trusted | (usize::from(self.namer == Namer::Anybody) << 1);
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
        let store = match trust {
            Trust::Trusted => &mut self.tracker.trusted,
            Trust::Untrusted => &mut self.tracker.untrusted,
        };
        let tool = self.tool.reference();
        let number = match store.newest_is(tool, field, &self.names, self.namer) {
            Some(number) => Some(number),
            None => store.source(Source {
                tool: tool.clone(),
                field: field.map(str::to_owned),
                names: self.names.clone(),
                namer: self.namer,
                stamps: match field {
                    Some(field) if self.namer == Namer::Tool && says_when(field) => {
                        Stamps::Recorded
                    }
                    _ => Stamps::Told,
                },
            }),
        };
        let numbers = self.fields.entry(known.to_owned()).or_default();
        if let Some(noted) = numbers.get_mut(at) {
            *noted = Some(number);
        }
        number
    }
}

/// A path with one more step, where a part of it ends.
fn below(path: &str, at: usize, name: &str) -> String {
    let (above, rest) = path.split_at_checked(at).unwrap_or((path, ""));
    let mut longer = above.to_owned();
    push_step(&mut longer, name);
    longer.push_str(rest);
    longer
}

/// Longest name of a field, in bytes.
const FIELD_NAME_BYTES_MAX: usize = 32;

/// Whether the name of a member is one as schemas give them (`billing_address`, `firstName`), and no value in all likelihood.
fn is_field_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphabetic() || matches!(b, b'_' | b'-');
    name.len() <= FIELD_NAME_BYTES_MAX && name.bytes().all(plain)
}

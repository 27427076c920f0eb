//! Tools from an OpenAPI document (3.0 and 3.1, <https://spec.openapis.org/oas/v3.1.0>).
//!
//! Each operation becomes a tool whose arguments are its parameters, and `body`. What an argument may be where it goes is
//! written into the tool's input schema, so that a value that would leave its place (a slash in a path, a line break in a
//! header) is refused before anything is decided. What an operation answers is written into the output schema, where that is
//! wanted.

mod accept;
mod answer;
mod body;
mod parameter;
mod schema;
mod text;

pub use text::TextError;

use crate::schema::{Schema, SchemaError};
use parameter::Arguments;
use proctor_model::ToolName;
use proctor_model::catalogue::{
    CatalogueEntry, HttpBinding, HttpMethod, ToolDefinition, Trust, Verb,
};
use proctor_model::limits::{CATALOGUE_TOOLS_MAX, SIGNED_BYTES_MAX};
use serde_json::{Map, Value, json};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

/// Largest document, in bytes of its text: with what stands around it, it fits one gRPC message (4 MiB).
pub const DOCUMENT_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Most operations that are looked at, those that are left out included: each may have all of the document behind it.
const OPERATIONS_MAX: usize = 2_048;
/// Most parameters of an operation, those of its path included.
const PARAMETERS_MAX: usize = 1_000;
/// Most of what is left out: a person is to read it.
const LEFT_OUT_MAX: usize = 10_000;
/// What may be copied of a document, in bytes of its texts and [`VALUE_BYTES`] for each value: for operations that are left out,
/// too, each of which may refer to all of it. Many times what tools may have.
const COPIED_MAX: usize = 16 * SIGNED_BYTES_MAX;
/// What a value counts for, beside its text.
const VALUE_BYTES: usize = 8;
/// Room for the output schemas of all tools together, in bytes: less than there is, so that the tenant's other servers have
/// some.
const ANSWERS_BYTES_MAX: usize = SIGNED_BYTES_MAX / 4;
/// Longest address of a server, in bytes.
const ADDRESS_BYTES_MAX: usize = 2_048;

/// A document is no OpenAPI document that can be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenApiError {
    /// Longer than [`DOCUMENT_BYTES_MAX`].
    #[error("the document is larger than {DOCUMENT_BYTES_MAX} bytes")]
    TooLarge,
    /// Neither JSON nor YAML.
    #[error("the document is neither JSON nor YAML")]
    Text(#[source] TextError),
    /// Not 3.0 or 3.1.
    #[error("openapi: 3.0 and 3.1 are known")]
    Version,
    /// No operation at all.
    #[error("the document has no operation that can be a tool")]
    Empty,
    /// More than can be looked at.
    #[error("the document has more than {OPERATIONS_MAX} operations")]
    TooManyOperations,
    /// More than anybody reads.
    #[error("more than {LEFT_OUT_MAX} operations and parameters would be left out")]
    TooMuchLeftOut,
    /// More than a server may have.
    #[error("the document has more than {CATALOGUE_TOOLS_MAX} operations that can be tools")]
    TooManyTools,
    /// More than fits a tenant's configuration. References make them larger than the document.
    #[error("the definitions of the tools are larger than {SIGNED_BYTES_MAX} bytes together")]
    ToolsTooLarge,
    /// More than can be copied. Operations that are no tools refer to it, too.
    #[error("what its operations refer to is larger than {COPIED_MAX} bytes together")]
    TooMuchReferredTo,
    /// Two operations of one name.
    #[error("two operations would both be the tool {0}")]
    Twice(ToolName),
    /// Something about one operation.
    #[error("{operation}: {why}")]
    Operation {
        /// Method and path.
        operation: String,
        /// What.
        why: &'static str,
    },
}

/// A document read: its tools, where it says its server is, and what was left out.
#[derive(Debug)]
pub struct ReadDocument {
    /// The tools, approved as they are.
    pub tools: Vec<CatalogueEntry>,
    /// The first of its `servers`, if that is an absolute address.
    pub server: Option<String>,
    /// Operations that can't be tools (`METHOD /path: why`), parameters that tools do without
    /// (`METHOD /path, parameter name: why`), and answers that nothing is declared of (`METHOD /path, answer: why`).
    pub left_out: Vec<String>,
}

/// Whether tools declare what they answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answers {
    /// They do not, and whatever comes back passes.
    Undeclared,
    /// They do, where the document says it: what comes back otherwise is withheld.
    Declared,
}

const METHODS: [(&str, HttpMethod, Verb); 6] = [
    ("get", HttpMethod::Get, Verb::Read),
    ("head", HttpMethod::Head, Verb::Read),
    ("post", HttpMethod::Post, Verb::Write),
    ("put", HttpMethod::Put, Verb::Write),
    ("patch", HttpMethod::Patch, Verb::Write),
    ("delete", HttpMethod::Delete, Verb::Destructive),
];

/// Reads a document, JSON or YAML, and declares what its tools answer if that is wanted. What it takes is bounded, whatever the
/// document.
///
/// # Errors
/// What is wrong with it; nothing of it is used then.
pub fn read(text: &str, answers: Answers) -> Result<ReadDocument, OpenApiError> {
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(OpenApiError::TooLarge);
    }
    let root = text::parse(text).map_err(OpenApiError::Text)?;
    let version = root.get("openapi").and_then(Value::as_str);
    let version = version.unwrap_or_default();
    if !version.starts_with("3.0") && !version.starts_with("3.1") {
        return Err(OpenApiError::Version);
    }
    let rooms = [Cell::new(COPIED_MAX), Cell::new(COPIED_MAX)];
    let [room, room_of_answers] = &rooms;
    let document = Document {
        root: &root,
        nullable: version.starts_with("3.0"),
        room,
        unsaid: "readOnly",
    };
    let mut reading = Reading::default();
    let paths = root.get("paths").and_then(Value::as_object);
    for (path, item) in paths.into_iter().flatten() {
        reading.path(&document, path, item)?;
    }
    if reading.tools.is_empty() {
        return Err(OpenApiError::Empty);
    }
    if answers == Answers::Declared {
        let of_answers = Document {
            room: room_of_answers,
            unsaid: "writeOnly",
            ..document
        };
        reading.declare_answers(&of_answers)?;
    }
    Ok(ReadDocument {
        tools: reading.tools,
        server: document.server(),
        left_out: reading.left_out,
    })
}

/// What has been read so far.
#[derive(Default)]
struct Reading<'v> {
    tools: Vec<CatalogueEntry>,
    /// The operation of each tool: method and path, and what the document says of it.
    sources: Vec<(String, &'v Value)>,
    names: BTreeSet<ToolName>,
    left_out: Vec<String>,
    operations: usize,
    /// Of the definitions of the tools, and of those that were compiled and can't be used.
    bytes: usize,
}

impl<'v> Reading<'v> {
    fn path(
        &mut self,
        document: &'v Document<'_>,
        path: &str,
        item: &'v Value,
    ) -> Result<(), OpenApiError> {
        let item = match document.resolved(item) {
            Ok(item) => item,
            Err(Unfit::TooMuch) => return Err(OpenApiError::TooMuchReferredTo),
            Err(Unfit::LeaveOut(why) | Unfit::Wrong(why)) => {
                self.count()?;
                return self.leave_out([format!("{path}: {why}")]);
            }
        };
        for (key, method, verb) in METHODS {
            let Some(operation) = item.get(key) else {
                continue;
            };
            self.count()?;
            let named = format!("{} {path}", method.as_str());
            match document.tool(path, item, method, verb, operation) {
                Ok(tool) => match self.unusable(&tool.0)? {
                    Some(why) => self.leave_out([format!("{named}: {why}")])?,
                    None => {
                        self.take(&named, tool)?;
                        self.sources.push((named, operation));
                    }
                },
                Err(Unfit::TooMuch) => return Err(OpenApiError::TooMuchReferredTo),
                Err(Unfit::LeaveOut(why)) => self.leave_out([format!("{named}: {why}")])?,
                Err(Unfit::Wrong(why)) => {
                    return Err(OpenApiError::Operation {
                        operation: named,
                        why,
                    });
                }
            }
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), OpenApiError> {
        self.operations = self.operations.saturating_add(1);
        match self.operations > OPERATIONS_MAX {
            true => Err(OpenApiError::TooManyOperations),
            false => Ok(()),
        }
    }

    /// Why no edge can hold a call to the schema of this tool, if none can: it would be there and never be found. What is compiled
    /// for that takes room, whatever comes of it, as it takes time.
    fn unusable(&mut self, tool: &CatalogueEntry) -> Result<Option<SchemaError>, OpenApiError> {
        let schema = &tool.definition.input_schema;
        let error = match Schema::compile(schema) {
            Err(SchemaError::TooLarge) => return Ok(Some(SchemaError::TooLarge)),
            compiled => compiled.err(),
        };
        self.bytes = self.bytes.saturating_add(schema.to_string().len());
        match self.bytes > SIGNED_BYTES_MAX {
            true => Err(OpenApiError::ToolsTooLarge),
            false => Ok(error),
        }
    }

    fn take(&mut self, named: &str, (tool, without): Tool) -> Result<(), OpenApiError> {
        if self.tools.len() >= CATALOGUE_TOOLS_MAX {
            return Err(OpenApiError::TooManyTools);
        }
        if !self.names.insert(tool.definition.name.clone()) {
            return Err(OpenApiError::Twice(tool.definition.name));
        }
        self.tools.push(tool);
        let without = without
            .iter()
            .map(|(name, why)| format!("{named}, parameter {name}: {why}"));
        self.leave_out(without)
    }

    /// Declares what the tools answer, as far as the document says it and there is room. No tool is left out for that.
    fn declare_answers(&mut self, document: &Document<'_>) -> Result<(), OpenApiError> {
        let left = SIGNED_BYTES_MAX.saturating_sub(self.bytes);
        let mut room = left.min(ANSWERS_BYTES_MAX);
        let mut without = Vec::new();
        for (tool, (named, operation)) in self.tools.iter_mut().zip(&self.sources) {
            match document.answer(tool, operation, &mut room) {
                Ok(schema) => {
                    tool.definition.output_schema = Some(schema);
                    tool.definition_digest = Some(tool.definition.digest());
                }
                Err(why) => without.push(format!("{named}, answer: {why}")),
            }
        }
        self.leave_out(without)
    }

    fn leave_out(&mut self, lines: impl IntoIterator<Item = String>) -> Result<(), OpenApiError> {
        self.left_out.extend(lines);
        match self.left_out.len() > LEFT_OUT_MAX {
            true => Err(OpenApiError::TooMuchLeftOut),
            false => Ok(()),
        }
    }
}

/// Why an operation is no tool.
enum Unfit {
    /// It needs something that is not offered here.
    LeaveOut(&'static str),
    /// The document is not sound.
    Wrong(&'static str),
    /// There is no room left for what it refers to.
    TooMuch,
}

/// A tool, and what it does without: parameters by name, and why.
type Tool = (CatalogueEntry, Vec<(String, &'static str)>);

#[derive(Clone, Copy)]
struct Document<'a> {
    root: &'a Value,
    /// Schemas are OpenAPI 3.0's own dialect.
    nullable: bool,
    /// What may still be copied ([`COPIED_MAX`]).
    room: &'a Cell<usize>,
    /// What marks properties that are not said here: in requests those that only answers have, and the reverse.
    unsaid: &'static str,
}

impl Document<'_> {
    /// Takes the room for a value with a text of so many bytes.
    fn take(&self, bytes: usize) -> Result<(), Unfit> {
        let left = self.room.get().checked_sub(VALUE_BYTES);
        let left = left.and_then(|left| left.checked_sub(bytes));
        self.room.set(left.ok_or(Unfit::TooMuch)?);
        Ok(())
    }

    fn server(&self) -> Option<String> {
        let server = self.root.pointer("/servers/0").and_then(address);
        server.filter(|url| url.starts_with("http"))
    }

    /// Whether an operation is at another server than the document's: a tool calls that one.
    fn is_elsewhere(&self, item: &Value, operation: &Value) -> bool {
        let own = [operation, item].into_iter().find_map(|holder| {
            let servers = holder.get("servers")?.as_array()?;
            (!servers.is_empty()).then_some(servers)
        });
        let ours = self.root.pointer("/servers/0").and_then(address);
        let ours = ours.unwrap_or_default();
        own.is_some_and(|own| {
            own.iter()
                .all(|server| address(server).as_ref() != Some(&ours))
        })
    }

    fn tool(
        &self,
        path: &str,
        item: &Value,
        method: HttpMethod,
        verb: Verb,
        operation: &Value,
    ) -> Result<Tool, Unfit> {
        if self.is_elsewhere(item, operation) {
            return Err(Unfit::LeaveOut("it is at another server than the rest"));
        }
        let mut arguments = Arguments::default();
        for parameter in self.parameters(item, operation)? {
            self.take_parameter(&mut arguments, parameter)?;
        }
        let (body, content_type) = self.take_body(&mut arguments, operation)?.unzip();
        let binding = HttpBinding {
            method,
            path: path.to_owned(),
            parameters: arguments.bound,
            body,
            content_type: content_type.flatten(),
            accept: self.accepted(operation),
        };
        binding
            .check()
            .map_err(|_| Unfit::LeaveOut("its path or parameters can't be bound safely"))?;
        let mut schema = json!({
            "type": "object",
            "properties": arguments.properties,
            "required": arguments.required,
            "additionalProperties": false,
        });
        self.add_definitions(&mut schema)?;
        let text = |key: &str| operation.get(key).and_then(Value::as_str);
        let summary = [text("summary"), text("description")];
        for text in summary.into_iter().flatten() {
            self.take(text.len())?;
        }
        let description: Vec<_> = summary.into_iter().flatten().collect();
        let definition = ToolDefinition {
            name: tool_name(text("operationId"), method, path)?,
            title: text("summary").map(str::to_owned),
            description: Some(description.join("\n\n")).filter(|text| !text.is_empty()),
            input_schema: schema,
            output_schema: None,
            annotations: None,
            other: Map::new(),
        };
        Ok((entry(definition, verb, binding), arguments.without))
    }

    /// The operation's parameters; they overrule those of the path by name and place.
    fn parameters<'v>(
        &'v self,
        item: &'v Value,
        operation: &'v Value,
    ) -> Result<Vec<&'v Value>, Unfit> {
        let mut found: BTreeMap<(String, String), &'v Value> = BTreeMap::new();
        for holder in [item, operation] {
            let list = holder.get("parameters").and_then(Value::as_array);
            for parameter in list.into_iter().flatten() {
                let parameter = self.resolved(parameter)?;
                let text = |key: &str| parameter.get(key).and_then(Value::as_str);
                let (Some(name), Some(place)) = (text("name"), text("in")) else {
                    return Err(Unfit::Wrong("a parameter without name or place"));
                };
                self.take(name.len().saturating_add(place.len()))?;
                found.insert((place.to_owned(), name.to_owned()), parameter);
                if found.len() > PARAMETERS_MAX {
                    return Err(Unfit::Wrong("it has more parameters than a tool may have"));
                }
            }
        }
        Ok(found.into_values().collect())
    }
}

/// Where a server is, its variables as they usually are. One variable does not stand for others, as they could double it
/// over and over.
fn address(server: &Value) -> Option<String> {
    let mut url = server.get("url")?.as_str()?.to_owned();
    if url.len() > ADDRESS_BYTES_MAX {
        return None;
    }
    let variables = server.get("variables").and_then(Value::as_object);
    for (name, variable) in variables.into_iter().flatten() {
        let usual = variable.get("default")?.as_str()?;
        if usual.contains(['{', '}']) || usual.len() > ADDRESS_BYTES_MAX {
            return None;
        }
        url = url.replace(&format!("{{{name}}}"), usual);
        if url.len() > ADDRESS_BYTES_MAX {
            return None;
        }
    }
    Some(url.trim_end_matches('/').to_owned())
}

/// The operation's id, with what a tool's name can't have turned to `_`; else made from method and path.
fn tool_name(id: Option<&str>, method: HttpMethod, path: &str) -> Result<ToolName, Unfit> {
    let text = match id {
        Some(id) => id.to_owned(),
        None => format!("{}{path}", method.as_str().to_ascii_lowercase()),
    };
    let name: String = text
        .chars()
        .map(|char| {
            if char.is_ascii_alphanumeric() || "-.".contains(char) {
                char
            } else {
                '_'
            }
        })
        .collect();
    name.trim_matches('_')
        .parse()
        .map_err(|_| Unfit::Wrong("it can't be given the name of a tool"))
}

fn entry(definition: ToolDefinition, verb: Verb, binding: HttpBinding) -> CatalogueEntry {
    CatalogueEntry {
        definition_digest: Some(definition.digest()),
        approved_by: Some("import".to_owned()),
        verb,
        output: Trust::Untrusted,
        http: Some(binding),
        ..CatalogueEntry::unlabelled(definition)
    }
}

#[cfg(test)]
mod tests;

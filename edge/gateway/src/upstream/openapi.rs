//! Tools from an OpenAPI document (3.0 and 3.1, <https://spec.openapis.org/oas/v3.1.0>).
//!
//! Each operation becomes a tool whose arguments are its parameters, and `body`. What an argument may be where it goes is
//! written into the tool's input schema, so that a value that would leave its place (a slash in a path, a line break in a
//! header) is refused before anything is decided.

mod body;
mod parameter;
mod schema;

use parameter::Arguments;
use proctor_model::ToolName;
use proctor_model::catalogue::{
    CatalogueEntry, HttpBinding, HttpMethod, ToolDefinition, Trust, Verb,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Longest address of a server, in bytes.
const ADDRESS_BYTES_MAX: usize = 2_048;

/// A document is no OpenAPI document that can be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenApiError {
    /// Neither JSON nor YAML.
    #[error("the document is neither JSON nor YAML")]
    Text(#[source] serde_yaml_ng::Error),
    /// Not 3.0 or 3.1.
    #[error("openapi: 3.0 and 3.1 are known")]
    Version,
    /// No operation at all.
    #[error("the document has no operation")]
    Empty,
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
    /// Operations that can't be tools (`METHOD /path: why`), and parameters that tools do without
    /// (`METHOD /path, parameter name: why`).
    pub left_out: Vec<String>,
}

const METHODS: [(&str, HttpMethod, Verb); 6] = [
    ("get", HttpMethod::Get, Verb::Read),
    ("head", HttpMethod::Head, Verb::Read),
    ("post", HttpMethod::Post, Verb::Write),
    ("put", HttpMethod::Put, Verb::Write),
    ("patch", HttpMethod::Patch, Verb::Write),
    ("delete", HttpMethod::Delete, Verb::Destructive),
];

/// Reads a document, JSON or YAML.
///
/// # Errors
/// What is wrong with it; nothing of it is used then.
pub fn read_openapi(text: &str) -> Result<ReadDocument, OpenApiError> {
    let root: Value = serde_yaml_ng::from_str(text).map_err(OpenApiError::Text)?;
    let version = root.get("openapi").and_then(Value::as_str);
    let version = version.unwrap_or_default();
    if !version.starts_with("3.0") && !version.starts_with("3.1") {
        return Err(OpenApiError::Version);
    }
    let document = Document {
        root: &root,
        nullable: version.starts_with("3.0"),
    };
    let mut read = ReadDocument {
        tools: Vec::new(),
        server: document.server(),
        left_out: Vec::new(),
    };
    let paths = root.get("paths").and_then(Value::as_object);
    for (path, item) in paths.into_iter().flatten() {
        let item = match document.resolved(item) {
            Ok(item) => item,
            Err(unfit) => {
                read.left_out.push(format!("{path}: {}", unfit.why()));
                continue;
            }
        };
        for (key, method, verb) in METHODS {
            let Some(operation) = item.get(key) else {
                continue;
            };
            let named = format!("{} {path}", method.as_str());
            match document.tool(path, item, method, verb, operation) {
                Ok((tool, without)) => {
                    read.tools.push(tool);
                    let without = without
                        .iter()
                        .map(|(name, why)| format!("{named}, parameter {name}: {why}"));
                    read.left_out.extend(without);
                }
                Err(Unfit::LeaveOut(why)) => read.left_out.push(format!("{named}: {why}")),
                Err(Unfit::Wrong(why)) => {
                    return Err(OpenApiError::Operation {
                        operation: named,
                        why,
                    });
                }
            }
        }
    }
    if read.tools.is_empty() {
        return Err(OpenApiError::Empty);
    }
    let mut names = BTreeSet::new();
    for tool in &read.tools {
        if !names.insert(tool.definition.name.clone()) {
            return Err(OpenApiError::Twice(tool.definition.name.clone()));
        }
    }
    Ok(read)
}

/// Why an operation is no tool.
enum Unfit {
    /// It needs something that is not offered here.
    LeaveOut(&'static str),
    /// The document is not sound.
    Wrong(&'static str),
}

impl Unfit {
    fn why(&self) -> &'static str {
        let (Self::LeaveOut(why) | Self::Wrong(why)) = *self;
        why
    }
}

/// A tool, and what it does without: parameters by name, and why.
type Tool = (CatalogueEntry, Vec<(String, &'static str)>);

struct Document<'a> {
    root: &'a Value,
    /// Schemas are OpenAPI 3.0's own dialect.
    nullable: bool,
}

impl Document<'_> {
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
                found.insert((place.to_owned(), name.to_owned()), parameter);
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

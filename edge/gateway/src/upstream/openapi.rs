//! Tools from an OpenAPI document (3.0 and 3.1, <https://spec.openapis.org/oas/v3.1.0>).
//!
//! Each operation becomes a tool whose arguments are its parameters, and `body`. What an argument may be where it goes is
//! written into the tool's input schema, so that a value that would leave its place (a slash in a path, a line break in a
//! header) is refused before anything is decided.

mod parameter;

use parameter::{Arguments, form_fence};
use proctor_model::ToolName;
use proctor_model::catalogue::{
    BODY_ARGUMENT, CatalogueEntry, HttpBinding, HttpBody, HttpMethod, ToolDefinition, Trust, Verb,
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

/// Longest chain of references that is followed.
const REFERENCES_MAX: usize = 16;
/// Deepest schema that is taken.
const DEPTH_MAX: usize = 32;

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
        let body = self.take_body(&mut arguments, operation)?;
        let binding = HttpBinding {
            method,
            path: path.to_owned(),
            parameters: arguments.bound,
            body,
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

    fn take_body(
        &self,
        arguments: &mut Arguments,
        operation: &Value,
    ) -> Result<Option<HttpBody>, Unfit> {
        let Some(body) = operation.get("requestBody") else {
            return Ok(None);
        };
        let body = self.resolved(body)?;
        let required = body.get("required") == Some(&Value::Bool(true));
        let content = body.get("content").and_then(Value::as_object);
        let of_kind = |wanted: &str| {
            let kinds = content.into_iter().flatten();
            kinds
                .filter(|(kind, _)| kind.split(';').next().unwrap_or_default().trim() == wanted)
                .map(|(_, media)| media)
                .next()
        };
        let (media, kind) = match (
            of_kind("application/json"),
            of_kind("application/x-www-form-urlencoded"),
        ) {
            (Some(media), _) => (media, HttpBody::Json),
            (None, Some(media)) => (media, HttpBody::Form),
            (None, None) if required => {
                return Err(Unfit::LeaveOut("its body is neither JSON nor a form"));
            }
            (None, None) => return Ok(None),
        };
        let mut schema = match media.get("schema") {
            Some(schema) => self.schema(schema, 0)?,
            None => json!({}),
        };
        if kind == HttpBody::Form {
            if !is_plain_form(media) {
                return Err(Unfit::LeaveOut(
                    "fields of its form are encoded in a way that is not offered",
                ));
            }
            form_fence(&mut schema);
        }
        arguments.properties.insert(BODY_ARGUMENT.into(), schema);
        if required {
            arguments.required.push(BODY_ARGUMENT.into());
        }
        Ok(Some(kind))
    }

    /// What a reference within the document stands for.
    fn resolved<'v>(&'v self, value: &'v Value) -> Result<&'v Value, Unfit> {
        let mut value = value;
        for _ in 0..REFERENCES_MAX {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
                return Ok(value);
            };
            let pointer = reference.strip_prefix('#').ok_or(Unfit::Wrong(
                "a reference out of the document is not followed",
            ))?;
            value = self
                .root
                .pointer(pointer)
                .ok_or(Unfit::Wrong("a reference to nothing"))?;
        }
        Err(Unfit::Wrong("references in a circle"))
    }

    /// A schema as JSON Schema 2020-12, its references turned to `$defs`.
    fn schema(&self, schema: &Value, depth: usize) -> Result<Value, Unfit> {
        if depth > DEPTH_MAX {
            return Err(Unfit::Wrong("a schema that is nested too deeply"));
        }
        let below = |value: &Value| self.schema(value, depth + 1);
        match schema {
            Value::Object(members) => {
                let mut out = Map::new();
                for (key, value) in members {
                    match key.as_str() {
                        "$ref" => {
                            let name = value
                                .as_str()
                                .and_then(|text| text.strip_prefix("#/components/schemas/"))
                                .ok_or(Unfit::Wrong(
                                    "a schema that is not in components/schemas",
                                ))?;
                            out.insert(key.clone(), format!("#/$defs/{name}").into());
                        }
                        // Names in here are the API's own, not keywords.
                        "properties" | "patternProperties" | "$defs" | "dependentSchemas" => {
                            let named = value.as_object().into_iter().flatten();
                            let named: Result<Map<_, _>, _> = named
                                .map(|(name, value)| Ok((name.clone(), below(value)?)))
                                .collect();
                            out.insert(key.clone(), Value::Object(named?));
                        }
                        "enum" | "const" | "default" => {
                            drop(out.insert(key.clone(), value.clone()))
                        }
                        // Examples, and OpenAPI's own words, say nothing about what is valid.
                        "example" | "examples" | "xml" | "externalDocs" | "discriminator" => {}
                        _ => drop(out.insert(key.clone(), below(value)?)),
                    }
                }
                if self.nullable {
                    modernize(&mut out);
                }
                Ok(Value::Object(out))
            }
            Value::Array(items) => items
                .iter()
                .map(below)
                .collect::<Result<_, _>>()
                .map(Value::Array),
            plain => Ok(plain.clone()),
        }
    }

    /// Puts all schemas that are referred to, directly or not, into `$defs`.
    fn add_definitions(&self, schema: &mut Value) -> Result<(), Unfit> {
        let mut wanted = BTreeSet::new();
        references(schema, &mut wanted);
        let mut definitions = Map::new();
        while let Some(name) = wanted.pop_first() {
            if definitions.contains_key(&name) {
                continue;
            }
            let components = self.root.pointer("/components/schemas");
            let found = components
                .and_then(|schemas| schemas.get(name.replace("~1", "/").replace("~0", "~")))
                .ok_or(Unfit::Wrong("a reference to a schema that is not there"))?;
            let definition = self.schema(found, 0)?;
            references(&definition, &mut wanted);
            definitions.insert(name, definition);
        }
        if let (false, Some(members)) = (definitions.is_empty(), schema.as_object_mut()) {
            members.insert("$defs".into(), Value::Object(definitions));
        }
        Ok(())
    }
}

fn references(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(name) = members
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|text| text.strip_prefix("#/$defs/"))
            {
                found.insert(name.to_owned());
            }
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// OpenAPI 3.0's `nullable` and boolean `exclusiveMinimum`, as JSON Schema 2020-12 says it.
fn modernize(schema: &mut Map<String, Value>) {
    if schema.remove("nullable") == Some(Value::Bool(true))
        && let Some(Value::String(kind)) = schema.get("type")
    {
        let kinds = json!([kind, "null"]);
        schema.insert("type".into(), kinds);
        if let Some(Value::Array(values)) = schema.get_mut("enum")
            && !values.contains(&Value::Null)
        {
            values.push(Value::Null);
        }
    }
    for (exclusive, inclusive) in [
        ("exclusiveMinimum", "minimum"),
        ("exclusiveMaximum", "maximum"),
    ] {
        match schema.get(exclusive) {
            Some(Value::Bool(true)) => match schema.remove(inclusive) {
                Some(bound) => drop(schema.insert(exclusive.into(), bound)),
                None => drop(schema.remove(exclusive)),
            },
            Some(Value::Bool(false)) => drop(schema.remove(exclusive)),
            _ => {}
        }
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

/// Whether all fields of a form are written as they are where nothing is said of them.
fn is_plain_form(media: &Value) -> bool {
    let encodings = media.get("encoding").and_then(Value::as_object);
    encodings.into_iter().flatten().all(|(_, encoding)| {
        let usual = |key: &str, usual: Value| encoding.get(key).is_none_or(|said| *said == usual);
        let kind = encoding.get("contentType").and_then(Value::as_str);
        usual("style", "form".into())
            && usual("explode", true.into())
            && kind.is_none_or(|kind| kind.trim().starts_with("text/plain"))
    })
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

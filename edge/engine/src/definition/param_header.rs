//! Arguments that a tool wants in headers of their own (`x-mcp-header`, MCP 2026-07-28): which of its declarations are as
//! the specification wants them. A client must not use a tool with any other.

use serde_json::{Map, Value};
use std::collections::HashMap;

/// The annotation.
const ANNOTATION: &str = "x-mcp-header";
/// What an argument in a header may be.
const TYPES: [&str; 3] = ["string", "integer", "boolean"];
/// Members of a schema that are values, not schemas.
const VALUES: [&str; 5] = ["const", "default", "enum", "examples", ANNOTATION];
/// Members of a schema that name schemas.
const NAMED: [&str; 4] = [
    "$defs",
    "definitions",
    "dependentSchemas",
    "patternProperties",
];

/// What a tool's input schema declares.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ParamHeaders {
    /// Where in the arguments, and the header's name behind `Mcp-Param-`, in small letters.
    pub declared: Vec<(Vec<String>, String)>,
    /// JSON Pointers, into the schema, of declarations that are not as they have to be.
    pub invalid: Vec<String>,
}

impl ParamHeaders {
    /// Reads a tool's input schema.
    #[must_use]
    pub fn of(schema: &Value) -> Self {
        let mut reader = Reader::default();
        reader.schema(schema, "", Some(&mut Vec::new()));
        reader.end()
    }
}

#[derive(Default)]
struct Reader {
    /// By name: who declares it.
    declared: HashMap<String, Vec<Declaration>>,
    invalid: Vec<String>,
}

struct Declaration {
    path: Vec<String>,
    at: String,
}

impl Reader {
    /// `path`: where in the arguments it stands, if it stands at one certain place.
    fn schema(&mut self, schema: &Value, at: &str, mut path: Option<&mut Vec<String>>) {
        let Some(members) = schema.as_object() else {
            return;
        };
        if let Some(annotation) = members.get(ANNOTATION) {
            self.annotation(annotation, members, at, path.as_deref());
        }
        for (name, property) in named(members, "properties") {
            let at = format!("{at}/properties/{}", escaped(name));
            match &mut path {
                Some(path) => {
                    path.push(name.clone());
                    self.schema(property, &at, Some(path));
                    path.pop();
                }
                None => self.schema(property, &at, None),
            }
        }
        for (key, member) in members {
            let at = format!("{at}/{}", escaped(key));
            match member {
                _ if key == "properties" || VALUES.contains(&key.as_str()) => {}
                Value::Object(below) if NAMED.contains(&key.as_str()) => {
                    for (name, schema) in below {
                        self.schema(schema, &format!("{at}/{}", escaped(name)), None);
                    }
                }
                Value::Array(schemas) => {
                    for (index, schema) in schemas.iter().enumerate() {
                        self.schema(schema, &format!("{at}/{index}"), None);
                    }
                }
                schema => self.schema(schema, &at, None),
            }
        }
    }

    fn annotation(
        &mut self,
        annotation: &Value,
        schema: &Map<String, Value>,
        at: &str,
        path: Option<&Vec<String>>,
    ) {
        let at = format!("{at}/{ANNOTATION}");
        let name = annotation.as_str().filter(|name| is_token(name));
        let kind = schema.get("type").and_then(Value::as_str);
        let fits = kind.is_some_and(|kind| TYPES.contains(&kind));
        match (name, path) {
            (Some(name), Some(path)) if fits && !path.is_empty() => {
                let path = path.clone();
                let same = self.declared.entry(name.to_ascii_lowercase()).or_default();
                same.push(Declaration { path, at });
            }
            _ => self.invalid.push(at),
        }
    }

    /// A name that is declared twice says nothing of either.
    fn end(mut self) -> ParamHeaders {
        let mut declared = Vec::new();
        for (name, mut same) in self.declared {
            match (same.pop(), same.is_empty()) {
                (Some(only), true) => declared.push((only.path, name)),
                (last, _) => {
                    same.extend(last);
                    self.invalid.extend(same.into_iter().map(|one| one.at));
                }
            }
        }
        declared.sort();
        self.invalid.sort();
        ParamHeaders {
            declared,
            invalid: self.invalid,
        }
    }
}

fn named<'a>(
    members: &'a Map<String, Value>,
    key: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let named = members.get(key).and_then(Value::as_object);
    named.into_iter().flatten()
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(part)
}

/// RFC 6901, section 3.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_at_any_depth_are_declared() {
        let read = ParamHeaders::of(&json!({ "type": "object", "properties": {
            "region": { "type": "string", "x-mcp-header": "Region" },
            "at": { "properties": { "zone": { "type": "integer", "x-mcp-header": "X-Zone" } } },
            "x-mcp-header": { "type": "string", "default": { "x-mcp-header": "" } },
        } }));
        let path = |path: &[&str]| path.iter().map(ToString::to_string).collect::<Vec<_>>();
        let declared = [
            (path(&["at", "zone"]), "x-zone".to_owned()),
            (path(&["region"]), "region".to_owned()),
        ];
        assert_eq!(read.declared, declared);
        assert_eq!(read.invalid, Vec::<String>::new());
    }

    #[test]
    fn what_is_not_as_it_has_to_be_is_told_and_not_declared() {
        let annotated = |kind: &str, header: Value| json!({ "type": kind, "x-mcp-header": header });
        let alone = [
            annotated("string", json!("")),
            annotated("string", json!(7)),
            annotated("string", json!("My Region")),
            annotated("string", json!("Region:Primary")),
            annotated("string", json!("Région")),
            annotated("string", json!("Region\t1")),
            annotated("string", json!("Region\r\nX-Other: 1")),
            annotated("object", json!("Data")),
            annotated("array", json!("Data")),
            annotated("null", json!("Data")),
            annotated("number", json!("Data")),
            json!({ "x-mcp-header": "Data" }),
            json!({ "type": ["string", "null"], "x-mcp-header": "Data" }),
        ];
        for property in alone {
            let read = ParamHeaders::of(&json!({ "properties": { "a/b": property } }));
            assert_eq!(read.declared, [], "{property}");
            let told = ["/properties/a~1b/x-mcp-header".to_owned()];
            assert_eq!(read.invalid, told, "{property}");
        }
        let text = annotated("string", json!("Region"));
        let elsewhere = [
            json!({ "properties": { "a": { "items": text } } }),
            json!({ "anyOf": [{ "properties": { "a": text } }] }),
            json!({ "$defs": { "a": text } }),
            json!({ "additionalProperties": text }),
            text.clone(),
        ];
        for schema in elsewhere {
            let read = ParamHeaders::of(&schema);
            assert_eq!(
                (read.declared.len(), read.invalid.len()),
                (0, 1),
                "{schema}"
            );
        }
        let twice =
            json!({ "properties": { "a": text, "b": annotated("string", json!("REGION")) } });
        let read = ParamHeaders::of(&twice);
        assert_eq!((read.declared.len(), read.invalid.len()), (0, 2));
    }
}

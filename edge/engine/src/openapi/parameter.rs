//! Parameters of an operation: which of them an argument can stand for, and what it may be there.

use super::{Document, Unfit};
use proctor_model::catalogue::{
    BODY_ARGUMENT, HttpParameter, ListForm, METHOD_FIELDS, ParameterPlace, is_free_header,
    is_method_field,
};
use serde_json::{Map, Value, json};

/// The arguments of a tool as they are collected.
#[derive(Default)]
pub(super) struct Arguments {
    pub(super) properties: Map<String, Value>,
    pub(super) required: Vec<Value>,
    pub(super) bound: Vec<HttpParameter>,
    /// Parameters that the tool does without, and why.
    pub(super) without: Vec<(String, &'static str)>,
}

/// What a parameter takes, as far as it can be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Value,
    List,
    /// An object, or a list of such or of lists.
    Nested,
}

impl Document<'_> {
    pub(super) fn take_parameter(
        &self,
        arguments: &mut Arguments,
        parameter: &Value,
    ) -> Result<(), Unfit> {
        let name = text(parameter, "name");
        // OpenAPI 3.1, section 4.8.12.2.1: these three are not for parameters to describe.
        if text(parameter, "in") == "header" && is_own_header(name) {
            return Ok(());
        }
        let required = parameter.get("required") == Some(&Value::Bool(true));
        let (place, list, schema) = match self.placed(parameter) {
            Ok(placed) => placed,
            Err(Unfit::LeaveOut(why)) if !required => {
                arguments.without.push((name.to_owned(), why));
                return Ok(());
            }
            Err(unfit) => return Err(unfit),
        };
        let mut schema = self.schema(schema, 0)?;
        fence(place, list, &mut schema);
        if let (Some(text), Some(members)) = (
            parameter.get("description").and_then(Value::as_str),
            schema.as_object_mut(),
        ) {
            members.insert("description".into(), text.into());
        }
        let argument = match arguments.properties.contains_key(name) || name == BODY_ARGUMENT {
            true => format!("{name}_{}", text(parameter, "in")),
            false => name.to_owned(),
        };
        if required || place == ParameterPlace::Path {
            arguments.required.push(argument.as_str().into());
        }
        arguments.properties.insert(argument.clone(), schema);
        arguments.bound.push(HttpParameter {
            argument,
            name: name.to_owned(),
            place,
            list,
        });
        Ok(())
    }

    /// Where a parameter goes, how a list is written there, and its schema; or why no argument can stand for it.
    fn placed<'v>(
        &self,
        parameter: &'v Value,
    ) -> Result<(ParameterPlace, ListForm, &'v Value), Unfit> {
        let name = text(parameter, "name");
        let place = match text(parameter, "in") {
            "path" => ParameterPlace::Path,
            "query" if is_method_field(name) => {
                return Err(Unfit::LeaveOut("a method that no argument sets"));
            }
            "query" => ParameterPlace::Query,
            "header" if is_free_header(name) => ParameterPlace::Header,
            "header" => return Err(Unfit::LeaveOut("a header that no argument sets")),
            _ => return Err(Unfit::LeaveOut("a cookie")),
        };
        let Some(schema) = parameter.get("schema") else {
            return Err(Unfit::LeaveOut("a parameter that is no plain value"));
        };
        let shape = self.shape(schema)?;
        if shape == Shape::Nested {
            return Err(Unfit::LeaveOut("an object, or a list of more than values"));
        }
        let style = parameter.get("style").and_then(Value::as_str);
        let list = match (place, style) {
            (ParameterPlace::Path, None | Some("simple")) if shape == Shape::List => {
                return Err(Unfit::LeaveOut("a list in its path"));
            }
            (ParameterPlace::Path | ParameterPlace::Header, None | Some("simple")) => {
                ListForm::Repeated
            }
            (ParameterPlace::Query, None | Some("form")) => {
                match parameter.get("explode") == Some(&Value::Bool(false)) {
                    true => ListForm::Commas,
                    false => ListForm::Repeated,
                }
            }
            _ => return Err(Unfit::LeaveOut("a style that is not offered")),
        };
        Ok((place, list, schema))
    }

    fn shape(&self, schema: &Value) -> Result<Shape, Unfit> {
        let schema = self.resolved(schema)?;
        if is_of(schema, "object") || schema.get("properties").is_some() {
            return Ok(Shape::Nested);
        }
        if !is_of(schema, "array") {
            return Ok(Shape::Value);
        }
        let Some(items) = schema.get("items") else {
            return Ok(Shape::List);
        };
        let items = self.resolved(items)?;
        let nested = ["object", "array"].iter().any(|kind| is_of(items, kind))
            || items.get("properties").is_some();
        Ok(match nested {
            true => Shape::Nested,
            false => Shape::List,
        })
    }
}

/// Whether a schema is of this type, null aside.
pub(super) fn is_of(schema: &Value, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(own)) => own == kind,
        Some(Value::Array(kinds)) => {
            let mut kinds = kinds.iter().filter(|kind| *kind != "null").peekable();
            kinds.peek().is_some() && kinds.all(|own| own == kind)
        }
        _ => false,
    }
}

fn text<'v>(parameter: &'v Value, key: &str) -> &'v str {
    let text = parameter.get(key).and_then(Value::as_str);
    text.unwrap_or_default()
}

/// What a value may be so that it stays where it belongs.
fn fence(place: ParameterPlace, list: ListForm, schema: &mut Value) {
    let fence = match (place, list) {
        // One segment: nothing that a server might take for a way elsewhere, encoded or not.
        (ParameterPlace::Path, _) => json!({ "anyOf": [
            { "type": ["integer", "number", "boolean"] },
            { "type": "string", "pattern": "^[^/\\\\?#%\\u0000-\\u001f\\u007f]+$", "not": { "pattern": "^\\.\\.?(;|$)" } },
        ] }),
        (ParameterPlace::Header, _) => json!({ "anyOf": [
            { "type": ["integer", "number", "boolean"] },
            { "type": "string", "pattern": "^[\\u0021-\\u007e]([\\u0020-\\u007e]*[\\u0021-\\u007e])?$" },
            { "type": "array", "items": { "type": ["string", "integer", "number", "boolean"], "pattern": "^[\\u0021-\\u002b\\u002d-\\u007e]+$" } },
        ] }),
        (ParameterPlace::Query, ListForm::Repeated) => json!({ "anyOf": [
            { "type": ["string", "integer", "number", "boolean", "null"] },
            { "type": "array", "items": { "type": ["string", "integer", "number", "boolean"] } },
        ] }),
        // One element is not to become two.
        (ParameterPlace::Query, ListForm::Commas) => json!({ "anyOf": [
            { "type": ["string", "integer", "number", "boolean", "null"] },
            { "type": "array", "items": { "type": ["string", "integer", "number", "boolean"], "pattern": "^[^,]*$" } },
        ] }),
    };
    enclose(fence, schema);
}

/// What a body may be so that it is written as a form.
pub(super) fn form_fence(schema: &mut Value) {
    let fields = json!({ "anyOf": [
        { "type": ["string", "integer", "number", "boolean", "null"] },
        { "type": "array", "items": { "type": ["string", "integer", "number", "boolean"] } },
    ] });
    enclose(
        json!({ "type": "object", "propertyNames": no_method(), "additionalProperties": fields }),
        schema,
    );
}

/// What a body in JSON may be: it is not said in it that another method is meant.
pub(super) fn json_fence(schema: &mut Value) {
    match schema {
        Value::Object(members) if !members.contains_key("propertyNames") => {
            members.insert("propertyNames".into(), no_method());
        }
        _ => enclose(json!({ "propertyNames": no_method() }), schema),
    }
}

/// The usual writings alone, as a model is to read it; whatever the writing, the edge does not send it.
fn no_method() -> Value {
    json!({ "not": { "enum": METHOD_FIELDS } })
}

fn enclose(fence: Value, schema: &mut Value) {
    let own = std::mem::take(schema);
    *schema = json!({ "allOf": [own, fence] });
}

fn is_own_header(name: &str) -> bool {
    ["accept", "content-type", "authorization"]
        .iter()
        .any(|own| own.eq_ignore_ascii_case(name))
}

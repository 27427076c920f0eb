//! What an operation answers where all is well, as the output schema of its tool.
//!
//! A tool that declares its answers is held to it: what does not fit is withheld, by [`respond`](crate::respond()) and by many
//! clients. So nothing is declared that the document does not say of each answer where all is well.

use super::body::as_json;
use super::parameter::is_of;
use super::{Document, Unfit};
use crate::schema::Schema;
use proctor_model::catalogue::{CatalogueEntry, HttpMethod};
use serde_json::{Value, json};

impl Document<'_> {
    /// The schema of the structured content that is made of an answer, which takes its room; or why there is none.
    pub(super) fn answer(
        &self,
        tool: &CatalogueEntry,
        operation: &Value,
        room: &mut usize,
    ) -> Result<Value, &'static str> {
        let binding = tool.http.as_ref();
        if binding.is_some_and(|binding| binding.method == HttpMethod::Head) {
            return Err("it has no content");
        }
        let schema = self.declared(operation).map_err(|unfit| match unfit {
            Unfit::LeaveOut(why) | Unfit::Wrong(why) => why,
            Unfit::TooMuch => "there is no room left for what it refers to",
        })?;
        let left = room.checked_sub(schema.to_string().len());
        *room = left.ok_or("there is no room left for its schema")?;
        // One that can't be compiled would take no answer at all.
        match Schema::compile(&schema) {
            Ok(_) => Ok(schema),
            Err(_) => Err("nothing can be held to its schema"),
        }
    }

    fn declared(&self, operation: &Value) -> Result<Value, Unfit> {
        let schema = self.media(operation)?.get("schema");
        let schema = self.resolved(schema.ok_or(Unfit::LeaveOut("nothing is said of it"))?)?;
        let own = self.schema(schema, 0)?;
        let mut declared = match own {
            // What is no object becomes the member of one, as that is what structured content is.
            own if is_of(schema, "array") => json!({
                "type": "object", "properties": { "result": own }, "required": ["result"],
            }),
            Value::Object(mut own) if self.is_object(schema)? => {
                own.insert("type".into(), "object".into());
                Value::Object(own)
            }
            _ => return Err(Unfit::LeaveOut("it is neither an object nor a list")),
        };
        self.add_definitions(&mut declared)?;
        Ok(declared)
    }

    /// The one kind of JSON that comes back where all is well.
    fn media<'v>(&'v self, operation: &'v Value) -> Result<&'v Value, Unfit> {
        let responses = operation.get("responses").and_then(Value::as_object);
        let responses = responses.into_iter().flatten();
        let mut good = responses.filter(|(status, _)| status.starts_with('2'));
        let (Some((_, response)), None) = (good.next(), good.next()) else {
            return Err(Unfit::LeaveOut(
                "there is none where all is well, or more than one",
            ));
        };
        let content = self.resolved(response)?.get("content");
        let media = content.and_then(Value::as_object).and_then(as_json);
        let (media, _) = media.ok_or(Unfit::LeaveOut("it is not JSON"))?;
        Ok(media)
    }

    /// Whether all that fits is an object, as the schema says or one that it is made of.
    fn is_object(&self, schema: &Value) -> Result<bool, Unfit> {
        let says = |schema: &Value| is_of(schema, "object") || schema.get("properties").is_some();
        let parts = schema.get("allOf").and_then(Value::as_array);
        for part in parts.into_iter().flatten() {
            if says(self.resolved(part)?) {
                return Ok(true);
            }
        }
        Ok(says(schema))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Answers, ReadDocument, read};
    use super::*;
    use crate::limits::SCHEMA_BYTES_MAX;

    /// A document with an operation `GET` for each of these names, which answers so, and with these schemas.
    fn answering(version: &str, operations: &[(&str, Value)], schemas: &Value) -> ReadDocument {
        let paths: serde_json::Map<String, Value> = operations
            .iter()
            .map(|(name, responses)| {
                let operation = json!({ "operationId": name, "responses": responses });
                (format!("/{name}"), json!({ "get": operation }))
            })
            .collect();
        let document = json!({
            "openapi": version, "paths": paths, "components": { "schemas": schemas },
        });
        let text = document.to_string();
        let plain = read(&text, Answers::Undeclared).unwrap();
        let declares = |tool: &CatalogueEntry| tool.definition.output_schema.is_some();
        assert!(!plain.tools.iter().any(declares), "it was not asked for");
        let read = read(&text, Answers::Declared).unwrap();
        assert_eq!(
            read.tools.len(),
            plain.tools.len(),
            "none is left out for it"
        );
        assert!(read.tools.iter().all(CatalogueEntry::is_approved));
        read
    }

    fn of(kind: &str, schema: &Value) -> Value {
        json!({ "200": { "description": "", "content": { kind: { "schema": schema } } } })
    }

    fn json_of(schema: &Value) -> Value {
        of("application/json; charset=utf-8", schema)
    }

    fn declared(read: &ReadDocument, name: &str) -> Option<Value> {
        let mut tools = read.tools.iter();
        let tool = tools.find(|tool| tool.definition.name.as_str() == name);
        tool.unwrap().definition.output_schema.clone()
    }

    #[test]
    fn an_answer_is_held_to_what_the_document_says_of_it() {
        let pet = json!({
            "type": "object", "required": ["id", "name", "secret"],
            "properties": {
                "id": { "type": "integer", "readOnly": true },
                "name": { "type": "string", "nullable": true },
                "secret": { "type": "string", "writeOnly": true },
                "parent": { "nullable": true, "allOf": [{ "$ref": "#/components/schemas/Pet" }] },
            },
        });
        let refers = json!({ "$ref": "#/components/schemas/Pet" });
        let all = json!({ "allOf": [refers, { "required": ["since"] }] });
        let list = json!({ "type": "array", "items": refers });
        let operations = [
            ("pet", json_of(&refers)),
            ("hal", of("application/hal+json", &refers)),
            ("known", json_of(&all)),
            ("pets", json_of(&list)),
        ];
        let read = answering("3.0.3", &operations, &json!({ "Pet": pet }));
        assert_eq!(read.left_out, [""; 0]);
        let good =
            json!({ "id": 1, "name": null, "parent": { "id": 2, "name": "Rex", "parent": null } });
        let bad = json!({ "id": 1, "name": "Rex", "parent": { "name": "Tom" } });
        let known = json!({ "id": 1, "name": "Rex", "since": 7 });
        // A list is the member of an object, as `upstream` of the edge makes it.
        let pets = |pet: &Value| json!({ "result": [pet] });
        for (name, fits, misfits) in [
            ("pet", &good, &bad),
            ("hal", &good, &json!({ "name": "Rex" })),
            ("known", &known, &good),
            ("pets", &pets(&good), &pets(&bad)),
            ("pets", &pets(&known), &json!([good])),
        ] {
            let schema = declared(&read, name).unwrap();
            assert_eq!(schema["type"], "object", "{name}");
            let schema = Schema::compile(&schema).unwrap();
            assert!(schema.fits(fits), "{name}: {fits}");
            assert!(!schema.fits(misfits), "{name}: {misfits}");
        }
        let pet = declared(&read, "pet").unwrap();
        let properties = pet["properties"].as_object().unwrap();
        assert!(!properties.contains_key("secret"), "{pet}");
    }

    #[test]
    fn of_what_is_not_sure_nothing_is_declared() {
        let object = json!({ "type": "object" });
        let mut deep = object.clone();
        for _ in 0..40 {
            deep = json!({ "properties": { "x": deep } });
        }
        let wide = json!({ "type": "object", "description": "x".repeat(SCHEMA_BYTES_MAX) });
        let ok = json_of(&object)["200"].clone();
        let operations = [
            ("nothing", json!({ "204": { "description": "" } })),
            ("only_errors", json!({ "default": ok })),
            ("several", json!({ "200": ok, "2XX": ok })),
            ("xml", of("application/xml", &object)),
            (
                "unsaid",
                json!({ "200": { "content": { "application/json": {} } } }),
            ),
            ("text", json_of(&json!({ "type": "string" }))),
            (
                "either",
                json_of(&json!({ "oneOf": [object, { "type": "string" }] })),
            ),
            (
                "out",
                json_of(&json!({ "$ref": "https://elsewhere.example/Pet" })),
            ),
            (
                "gone",
                json_of(&json!({ "$ref": "#/components/schemas/Gone" })),
            ),
            ("deep", json_of(&deep)),
            ("wide", json_of(&wide)),
            (
                "pattern",
                json_of(&json!({ "type": "object", "patternProperties": { "(?=a)b": {} } })),
            ),
        ];
        let read = answering("3.1.0", &operations, &json!({}));
        for (name, _) in &operations {
            assert_eq!(declared(&read, name), None, "{name}");
            let said = format!("GET /{name}, answer: ");
            let told = read.left_out.iter().filter(|line| line.starts_with(&said));
            assert_eq!(told.count(), 1, "{name}: {:?}", read.left_out);
        }
        assert_eq!(read.left_out.len(), operations.len());
    }

    #[test]
    fn what_tools_declare_has_less_room_than_there_is() {
        let large = json!({ "type": "object", "description": "x".repeat(100_000) });
        let operations = ["a", "b", "c", "d"].map(|name| (name, json_of(&large)));
        let read = answering("3.1.0", &operations, &json!({}));
        let declare = operations
            .iter()
            .filter(|(name, _)| declared(&read, name).is_some());
        assert_eq!(declare.count(), 2);
        assert_eq!(
            read.left_out,
            ["c", "d"]
                .map(|name| format!("GET /{name}, answer: there is no room left for its schema"))
        );
    }

    #[test]
    fn a_tool_without_content_declares_none() {
        let operation =
            json!({ "operationId": "look", "responses": json_of(&json!({ "type": "object" })) });
        let document = json!({ "openapi": "3.1.0", "paths": { "/a": { "head": operation } } });
        let read = read(&document.to_string(), Answers::Declared).unwrap();
        assert_eq!(declared(&read, "look"), None);
        assert_eq!(read.left_out, ["HEAD /a, answer: it has no content"]);
    }
}

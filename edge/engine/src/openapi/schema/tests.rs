use super::super::{Answers, read};
use super::*;
use crate::schema::Schema;

#[test]
fn a_definitions_name_says_where_it_is_and_no_two_have_the_same() {
    let mut names = BTreeSet::new();
    for pointer in [
        "/components/schemas/Pet",
        "/components/schemas/Pet/properties/id",
        "/components/schemas/a~1b",
        "/components/schemas/ü",
        "/components/responses/Pet",
        "/paths/~1pets~1{id}/get/parameters/0/schema",
        "/a:b",
        "/a/b",
        "/a@3ab",
        "/a",
    ] {
        let name = definition_name(pointer);
        assert_eq!(pointer_of(&name).as_deref(), Some(pointer), "{name}");
        assert!(names.insert(name), "{pointer}");
    }
    assert!(names.contains("Pet"));
    let escaped = pointer("#/paths/~1pets~1%7Bid%7D").ok();
    assert_eq!(escaped.as_deref(), Some("/paths/~1pets~1{id}"));
    for out in ["other.yaml#/Pet", "#Pet", "#", "", "#/%zz", "#/%7"] {
        assert!(matches!(pointer(out), Err(Unfit::LeaveOut(_))), "{out}");
    }
}

/// The schema of what a tool takes, as a document of this version says it of its body, with these schemas.
fn takes(version: &str, body: &Value, schemas: &Value) -> Schema {
    let content = json!({ "application/json": { "schema": body } });
    let operation = json!({ "operationId": "add", "requestBody": { "content": content } });
    let document = json!({
        "openapi": version, "paths": { "/a": { "post": operation } },
        "components": { "schemas": schemas },
    });
    let read = read(&document.to_string(), Answers::Undeclared).unwrap();
    assert!(read.left_out.is_empty(), "{:?}", read.left_out);
    Schema::compile(&read.tools[0].definition.input_schema).unwrap()
}

fn check(takes: &Schema, why: &Value, bodies: &[(Value, bool)]) {
    for (body, fits) in bodies {
        let fit = takes.fits(&json!({ "body": body }));
        assert_eq!(fit, *fits, "{body} for {why}");
    }
}

/// Animals as generators write them: nothing but the property tells them apart. `BaseCat` and `BaseDog` are made of one that
/// says which it is, and `Near` of such a one in turn.
fn animals() -> Value {
    let own = |name: &str| json!({ "petType": { "type": "string" }, name: { "type": "string" } });
    let made_of = |base: &str, name: &str| {
        let base = json!({ "$ref": format!("#/components/schemas/{base}") });
        json!({ "allOf": [base, { "properties": { name: { "type": "string" } } }] })
    };
    json!({
        "Cat": { "type": "object", "required": ["petType"], "properties": own("purrs") },
        "Dog": { "type": "object", "required": ["petType"], "properties": own("barks") },
        "Pet": {
            "type": "object", "required": ["petType"], "properties": own("name"),
            "discriminator": { "propertyName": "petType" },
        },
        "BaseCat": made_of("Pet", "purrs"),
        "BaseDog": made_of("Pet", "barks"),
        "Near": made_of("BaseDog", "herds"),
    })
}

fn one_of(names: &[&str]) -> Value {
    let named = |name: &&str| json!({ "$ref": format!("#/components/schemas/{name}") });
    json!({ "oneOf": names.iter().map(named).collect::<Vec<_>>() })
}

#[test]
fn schemas_that_a_property_tells_apart_need_not_exclude_each_other() {
    let told_apart = |mut schema: Value, others: Value| {
        schema["discriminator"] = json!({ "propertyName": "petType" });
        let others = others.as_object().unwrap().clone();
        schema.as_object_mut().unwrap().extend(others);
        schema
    };
    let (cat, other) = (
        json!({ "petType": "Cat", "name": "x" }),
        json!({ "petType": 7 }),
    );
    let both = || one_of(&["Cat", "Dog"]);
    let named = json!({ "required": ["name"] });
    for version in ["3.0.3", "3.1.0"] {
        for (schema, fits) in [
            (told_apart(both(), json!({})), true),
            (told_apart(both(), json!({ "anyOf": [named] })), true),
            (told_apart(both(), json!({ "allOf": [named] })), true),
            (
                told_apart(both(), json!({ "anyOf": [named], "allOf": [{}] })),
                true,
            ),
            (one_of(&["BaseCat", "BaseDog"]), true),
            (one_of(&["BaseCat", "Near"]), true),
            // Nothing says which is meant.
            (both(), false),
            (one_of(&["BaseCat", "Dog"]), false),
        ] {
            let takes = takes(version, &schema, &animals());
            check(
                &takes,
                &schema,
                &[(cat.clone(), fits), (other.clone(), false)],
            );
            // What stands beside the list holds on.
            let unnamed = json!({ "petType": "Cat" });
            let free = fits && !schema.to_string().contains(r#"["name"]"#);
            check(&takes, &schema, &[(unnamed, free)]);
        }
    }
}

#[test]
fn what_may_be_null_may_be_so_however_it_is_written() {
    let town = json!({ "$ref": "#/components/schemas/Town" });
    let schemas = json!({
        "Town": { "type": "object", "required": ["name"], "properties": { "name": { "type": "string" } } },
    });
    let (good, bad) = (json!({ "name": "Rome" }), json!({ "name": 7 }));
    for mut schema in [
        json!({ "allOf": [town] }),
        json!({ "anyOf": [town, { "type": "integer" }] }),
        json!({ "oneOf": [town, { "type": "integer" }] }),
        json!({ "oneOf": [town], "discriminator": { "propertyName": "kind" } }),
        json!({ "type": "object", "allOf": [town] }),
        json!({ "allOf": [town], "description": "Where", "properties": { "name": { "minLength": 2 } } }),
        town.clone(),
        json!({ "enum": [{ "name": "Rome" }] }),
        json!({ "type": "object", "enum": [{ "name": "Rome" }, null] }),
    ] {
        for (version, nullable, takes_null) in [
            ("3.0.3", true, true),
            ("3.0.3", false, false),
            // Not a word of it there.
            ("3.1.0", true, false),
        ] {
            schema["nullable"] = nullable.into();
            let holder = json!({ "type": "object", "properties": { "at": schema } });
            let takes = takes(version, &holder, &schemas);
            let bodies = [
                (Value::Null, takes_null),
                (good.clone(), true),
                (bad.clone(), false),
            ];
            let bodies = bodies.map(|(at, fits)| (json!({ "at": at }), fits));
            check(&takes, &schema, &bodies);
        }
    }
    let mut named = json!({ "nullable": true, "description": "d", "allOf": [town] });
    modernize(named.as_object_mut().unwrap());
    let wanted = json!({ "description": "d", "anyOf": [{ "allOf": [town] }, { "type": "null" }] });
    assert_eq!(named, wanted, "what it is stays where it is read");
}

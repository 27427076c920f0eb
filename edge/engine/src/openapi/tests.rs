use super::*;
use crate::limits::SCHEMA_BYTES_MAX;
use proctor_model::catalogue::{ACCEPT_MAX, HttpBody, ListForm, METHOD_FIELDS, ParameterPlace};

const ORDERS: &str = include_str!("orders.yaml");

/// What tools answer has tests of its own.
fn read(text: &str) -> Result<ReadDocument, OpenApiError> {
    super::read(text, Answers::Undeclared)
}

fn tool<'a>(read: &'a ReadDocument, name: &str) -> &'a CatalogueEntry {
    let mut named = read.tools.iter();
    let found = named.find(|tool| tool.definition.name.as_str() == name);
    found.unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn what_a_request_could_not_say_is_left_out_with_the_reason() {
    let read = read(ORDERS).unwrap();
    let mut names: Vec<_> = read
        .tools
        .iter()
        .map(|tool| tool.definition.name.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["addOrder", "addReport", "getShared", "listOrders"]);
    let mut left_out = read.left_out.clone();
    left_out.sort_unstable();
    assert_eq!(
        left_out,
        [
            "GET /orders, parameter X-HTTP-Method-Override: a header that no argument sets",
            "GET /orders, parameter X_Request_Id: a header that no argument sets",
            "GET /orders, parameter _method: a method that no argument sets",
            "GET /orders, parameter filter: an object, or a list of more than values",
            "GET /orders, parameter ids: a style that is not offered",
            "GET /orders, parameter session: a cookie",
            "GET /orders, parameter where: a parameter that is no plain value",
            "GET /orders, parameter within: an object, or a list of more than values",
            "GET /orders/search: an object, or a list of more than values",
            "GET /orders/{ids}: a list in its path",
            "GET /orders/{id}/matrix: a style that is not offered",
            "GET /reports: it is at another server than the rest",
            "POST /exports: fields of its form are encoded in a way that is not offered",
        ]
    );
}

#[test]
fn a_list_is_written_as_the_document_says() {
    let read = read(ORDERS).unwrap();
    assert_eq!(
        read.server.as_deref(),
        Some("https://eu.orders.example/v1"),
        "its variables as they usually are"
    );
    let list = tool(&read, "listOrders");
    let bound = &list.http.as_ref().unwrap().parameters;
    let mut bound: Vec<_> = bound
        .iter()
        .map(|parameter| (parameter.name.as_str(), parameter.place, parameter.list))
        .collect();
    bound.sort_unstable_by_key(|(name, ..)| *name);
    assert_eq!(
        bound,
        [
            ("X-Request-Id", ParameterPlace::Header, ListForm::Repeated),
            ("status", ParameterPlace::Query, ListForm::Commas),
            ("tag", ParameterPlace::Query, ListForm::Repeated),
        ]
    );
    // One element is not to become two.
    let status = &list.definition.input_schema["properties"]["status"];
    let items = &status["allOf"][1]["anyOf"][1]["items"];
    assert_eq!(items["pattern"], "^[^,]*$", "{status}");
    let binding = serde_json::to_value(&list.http).unwrap().to_string();
    assert_eq!(
        binding.matches("\"list\"").count(),
        1,
        "the usual is not said"
    );
}

#[test]
fn a_form_has_fields_that_can_be_written() {
    let read = read(ORDERS).unwrap();
    let add = tool(&read, "addOrder");
    assert_eq!(add.http.as_ref().unwrap().body, Some(HttpBody::Form));
    let body = &add.definition.input_schema["properties"]["body"];
    assert_eq!(body["allOf"][0]["required"], json!(["item"]), "{body}");
    assert_eq!(body["allOf"][1]["type"], "object", "{body}");
    let fields = &body["allOf"][1]["additionalProperties"]["anyOf"];
    assert_eq!(fields.as_array().unwrap().len(), 2, "{body}");
    assert_eq!(add.definition.input_schema["required"], json!(["body"]));
}

#[test]
fn a_servers_address_does_not_grow_with_its_variables() {
    let server = |url: &str, usual: &str| {
        let variables = json!({ "a": { "default": usual }, "b": { "default": "x" } });
        address(&json!({ "url": url, "variables": variables }))
    };
    let plain = server("https://{a}.example/{b}/", "eu");
    assert_eq!(plain.as_deref(), Some("https://eu.example/x"));
    assert_eq!(server("https://{a}.example", "{b}{b}"), None);
    let long = "y".repeat(ADDRESS_BYTES_MAX / 2);
    assert_eq!(server("https://{a}{a}.example", &long), None);
    assert!(server("https://{a}.example", &long).is_some());
    assert_eq!(server(&format!("https://{long}{long}"), "eu"), None);
}

/// A document with these paths, each with one operation that is like the others.
fn document(paths: usize, operation: &Value, schemas: &Value) -> String {
    let path = |number| (format!("/p{number}"), json!({ "get": operation }));
    let paths: Map<_, _> = (0..paths).map(path).collect();
    json!({ "openapi": "3.1.0", "paths": paths, "components": { "schemas": schemas } }).to_string()
}

#[test]
fn what_a_document_may_cost_is_bounded() {
    let plain = |paths| read(&document(paths, &json!({}), &json!({})));
    assert_eq!(
        plain(CATALOGUE_TOOLS_MAX).unwrap().tools.len(),
        CATALOGUE_TOOLS_MAX
    );
    let refused = plain(CATALOGUE_TOOLS_MAX + 1).unwrap_err();
    assert!(matches!(refused, OpenApiError::TooManyTools), "{refused}");
    // What is left out is looked at, too.
    let cookie = json!({ "parameters": [{ "name": "c", "in": "cookie", "required": true }] });
    let left_out = |paths| read(&document(paths, &cookie, &json!({}))).unwrap_err();
    let refused = left_out(OPERATIONS_MAX);
    assert!(matches!(refused, OpenApiError::Empty), "{refused}");
    let refused = left_out(OPERATIONS_MAX + 1);
    assert!(
        matches!(refused, OpenApiError::TooManyOperations),
        "{refused}"
    );
    // Each tool has all that it refers to, however often others have it.
    let body = json!({ "schema": { "$ref": "#/components/schemas/Large" } });
    let large = json!({ "requestBody": { "content": { "application/json": body } } });
    let schemas = json!({ "Large": { "description": "x".repeat(100_000) } });
    assert!(read(&document(9, &large, &schemas)).is_ok());
    let refused = read(&document(10, &large, &schemas)).unwrap_err();
    assert!(matches!(refused, OpenApiError::ToolsTooLarge), "{refused}");
    // So have operations that are left out in the end.
    let large = json!({ "description": "x".repeat(100_000) });
    let out = json!({ "$ref": "other.yaml#/Pet" });
    let schema = json!({ "allOf": [large, out] });
    let body = json!({ "content": { "application/json": { "schema": schema } } });
    let schemas = json!({ "Body": body });
    let refers = json!({ "requestBody": { "$ref": "#/components/schemas/Body" } });
    let left_out = |paths| read(&document(paths, &refers, &schemas)).unwrap_err();
    let refused = left_out(100);
    assert!(matches!(refused, OpenApiError::Empty), "{refused}");
    let refused = left_out(200);
    assert!(
        matches!(refused, OpenApiError::TooMuchReferredTo),
        "{refused}"
    );
    // And each name that all of them refer to.
    let cookie = json!({ "name": "c".repeat(100_000), "in": "cookie" });
    let named = json!({ "parameters": [{ "$ref": "#/components/schemas/Cookie" }] });
    let refused = read(&document(200, &named, &json!({ "Cookie": cookie }))).unwrap_err();
    assert!(
        matches!(refused, OpenApiError::TooMuchReferredTo),
        "{refused}"
    );
    let refused = read(&"x".repeat(DOCUMENT_BYTES_MAX + 1)).unwrap_err();
    assert!(matches!(refused, OpenApiError::TooLarge), "{refused}");
}

#[test]
fn a_refusal_says_what_was_wrong_in_the_document() {
    let said = |text: &str| {
        let error = read(text).unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error} {}", cause.unwrap_or_default())
    };
    for (text, says) in [
        ("openapi: 3.1.0\npaths: {\n", "line"),
        (
            "openapi: 3.1.0\nopenapi: 3.1.0\n",
            "\"openapi\" is there twice",
        ),
        ("swagger: '2.0'\n", "3.0 and 3.1"),
        ("openapi: 3.1.0\n", "no operation"),
        (
            "openapi: 3.1.0\npaths: { /a: { get: { parameters: [{ name: x }] } } }\n",
            "GET /a: a parameter without name or place",
        ),
        (
            "openapi: 3.1.0\npaths: { /a: { get: { operationId: x } }, /b: { get: { operationId: x } } }\n",
            "tool x",
        ),
    ] {
        let said = said(text);
        assert!(said.contains(says), "{text}: {said}");
    }
}

/// A document with these operations, each a `POST` at a path of its name.
fn posts(operations: &[(&str, Value)]) -> ReadDocument {
    let paths: Map<String, Value> = operations
        .iter()
        .map(|(name, body)| {
            let operation = json!({ "operationId": name, "requestBody": body });
            (format!("/{name}"), json!({ "post": operation }))
        })
        .collect();
    let pet = json!({
        "type": "object",
        "required": ["id", "name", "owner"],
        "properties": {
            "id": { "type": "integer", "readOnly": true },
            "name": { "type": "string", "minLength": 2 },
            "owner": { "$ref": "#/components/schemas/Owner" },
            "friend": { "$ref": "#/paths/~1all/post/requestBody/content/application~1json/schema" },
        },
    });
    let known = json!({
        "required": ["id", "owner", "since", "name"],
        "allOf": [
            { "$ref": "#/components/schemas/Pet" },
            { "properties": { "since": { "readOnly": true } } },
            { "required": ["id", "name", "since"] },
        ],
    });
    let schemas = json!({
        "Pet": pet, "Known": known, "Owner": { "type": "string", "readOnly": true },
    });
    let document = json!({
        "openapi": "3.1.0", "paths": paths, "components": { "schemas": schemas },
    });
    read(&document.to_string()).unwrap()
}

fn body_of(kind: &str, schema: Value) -> Value {
    json!({ "content": { kind: { "schema": schema } } })
}

#[test]
fn a_body_is_written_as_its_kind_or_its_operation_left_out() {
    let any = || json!({ "type": "object" });
    let read = posts(&[
        ("all", body_of("application/json", any())),
        (
            "patch",
            body_of("application/merge-patch+json; charset=utf-8", any()),
        ),
        ("upload", body_of("multipart/form-data", any())),
        ("raw", body_of("application/octet-stream", any())),
        ("nothing", json!({ "content": {} })),
        ("range", body_of("application/*+json", any())),
        (
            "ranges",
            json!({ "content": { "application/*+json": {}, "application/hal+json": {} } }),
        ),
        ("anything", body_of("*/*", any())),
        (
            "application",
            json!({ "content": { "*/*": {}, "Application/*": { "schema": { "minProperties": 1 } } } }),
        ),
        (
            "form",
            json!({ "content": { "*/*": {}, "application/x-www-form-urlencoded": {} } }),
        ),
        (
            "file",
            body_of("*/*", json!({ "type": "string", "format": "binary" })),
        ),
    ]);
    let sent = |name: &str| {
        let binding = tool(&read, name).http.clone().unwrap();
        (binding.body, binding.content_type)
    };
    assert_eq!(sent("all"), (Some(HttpBody::Json), None));
    let merge_patch = Some("application/merge-patch+json".to_owned());
    assert_eq!(sent("patch"), (Some(HttpBody::Json), merge_patch));
    let hal = Some("application/hal+json".to_owned());
    assert_eq!(sent("ranges"), (Some(HttpBody::Json), hal));
    assert_eq!(sent("anything"), (Some(HttpBody::Json), None));
    assert_eq!(sent("application"), (Some(HttpBody::Json), None));
    let narrower = &tool(&read, "application").definition.input_schema["properties"]["body"];
    assert_eq!(narrower["minProperties"], 1, "{narrower}");
    assert_eq!(sent("form"), (Some(HttpBody::Form), None));
    let mut left_out = read.left_out.clone();
    left_out.sort_unstable();
    let why = "its body is neither JSON nor a form";
    assert_eq!(
        left_out,
        ["file", "nothing", "range", "raw", "upload"].map(|name| format!("POST /{name}: {why}"))
    );
}

#[test]
fn no_body_says_that_another_method_is_meant() {
    let form = "application/x-www-form-urlencoded";
    let any = || json!({ "type": "object" });
    let named = json!({ "propertyNames": { "maxLength": 10 } });
    let needs =
        json!({ "required": ["_method"], "properties": { "_method": { "const": "DELETE" } } });
    let read = posts(&[
        ("all", body_of("application/json", any())),
        ("named", body_of("application/json", named)),
        ("form", body_of(form, any())),
        ("needs", body_of(form, needs)),
    ]);
    for name in ["all", "named", "form"] {
        let schema = Schema::compile(&tool(&read, name).definition.input_schema).unwrap();
        let fits = |field: &str| schema.fits(&json!({ "body": { "a": 1, field: "DELETE" } }));
        assert!(fits("method"), "{name}");
        for field in METHOD_FIELDS {
            assert!(!fits(field), "{name}: {field}");
        }
    }
    let needs = "POST /needs: its body needs a method that no argument sets";
    assert_eq!(read.left_out, [needs]);
}

#[test]
fn references_lead_anywhere_in_the_document_and_not_out_of_it() {
    let refers = |to: &str| body_of("application/json", json!({ "$ref": to }));
    let read = posts(&[
        ("all", refers("#/components/schemas/Pet")),
        ("name", refers("#/components/schemas/Pet/properties/name")),
        ("out", refers("other.yaml#/Pet")),
    ]);
    assert_eq!(
        read.left_out,
        ["POST /out: a reference out of the document is not followed"]
    );
    let definitions = |name: &str| tool(&read, name).definition.input_schema["$defs"].clone();
    let name = &definitions("name")[":components:schemas:Pet:properties:name"];
    assert_eq!(name["minLength"], 2);
    // One that leads to where another stands: all that it needs is there.
    let all = definitions("all");
    let friend = all["Pet"]["properties"]["friend"]["$ref"].as_str().unwrap();
    let friend = &all[friend.strip_prefix("#/$defs/").unwrap()];
    assert_eq!(friend["$ref"], "#/$defs/Pet", "{all}");
}

#[test]
fn what_only_answers_have_is_no_part_of_a_request() {
    let known = json!({ "$ref": "#/components/schemas/Known" });
    let read = posts(&[("all", body_of("application/json", known))]);
    // What is required beside what has it, too.
    let known = &tool(&read, "all").definition.input_schema["$defs"]["Known"];
    assert_eq!(known["required"], json!(["name"]), "{known}");
    assert_eq!(known["allOf"][2]["required"], json!(["name"]), "{known}");
    let pet = &tool(&read, "all").definition.input_schema["$defs"]["Pet"];
    assert_eq!(pet["required"], json!(["name"]), "{pet}");
    let properties = pet["properties"].as_object().unwrap();
    let mut names: Vec<_> = properties.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["friend", "name"], "{pet}");
}

#[test]
fn what_no_edge_could_use_is_left_out_with_the_reason() {
    let old = json!({ "properties": { "name": { "type": "string", "required": true } } });
    let own = "#/paths/~1circle/post/requestBody/content/application~1json/schema";
    let circle =
        json!({ "allOf": [{ "$ref": own }, { "properties": { "x": { "readOnly": true } } }] });
    let deep = (0..25).fold(
        json!({ "type": "string" }),
        |inner, _| json!({ "properties": { "x": inner } }),
    );
    let wide = json!({ "description": "x".repeat(SCHEMA_BYTES_MAX) });
    let read = posts(&[
        ("all", body_of("application/json", old)),
        ("circle", body_of("application/json", circle)),
        ("deep", body_of("application/json", deep)),
        ("wide", body_of("application/json", wide)),
        (
            "wrong",
            body_of("application/json", json!({ "type": "objekt" })),
        ),
    ]);
    let body = &tool(&read, "all").definition.input_schema["properties"]["body"];
    assert_eq!(body["properties"]["name"], json!({ "type": "string" }));
    let mut left_out = read.left_out.clone();
    left_out.sort_unstable();
    let whys = [
        "POST /circle: $ref: within the document only",
        "POST /deep: the schema is larger or deeper",
        "POST /wide: the schema is larger or deeper",
        "POST /wrong: not a valid JSON Schema: at \"/properties/body",
    ];
    assert_eq!(left_out.len(), whys.len(), "{left_out:?}");
    for (said, why) in left_out.iter().zip(whys) {
        assert!(said.starts_with(why), "{said}");
    }
}

/// The kinds of answers that the tool of an operation with these responses asks for.
fn accepted(responses: &Value) -> Vec<String> {
    let operation = json!({ "operationId": "look", "responses": responses });
    let document = json!({
        "openapi": "3.1.0", "paths": { "/a": { "get": operation } },
        "components": { "responses": { "Csv": answering(&["text/csv"]) } },
    });
    let read = read(&document.to_string()).unwrap();
    let binding = tool(&read, "look").http.clone().unwrap();
    assert_eq!(binding.check(), Ok(()));
    binding.accept
}

fn answering(kinds: &[&str]) -> Value {
    let kinds = kinds.iter().map(|kind| ((*kind).to_owned(), json!({})));
    json!({ "content": kinds.collect::<Map<_, _>>() })
}

#[test]
fn what_is_asked_for_is_what_good_answers_are_json_first() {
    let plain = ["text/csv", "application/xml", "application/json"];
    let html = || answering(&["text/html"]);
    let good = accepted(&json!({ "200": answering(&plain), "404": html() }));
    assert_eq!(good, ["application/json", "text/csv", "application/xml"]);
    let own = ["application/x-yaml", "Application/vnd.pets+json; v=1"];
    let all = accepted(&json!({ "2XX": answering(&own), "default": html() }));
    assert_eq!(all, ["application/vnd.pets+json", "application/x-yaml"]);
    let refers = json!({ "$ref": "#/components/responses/Csv" });
    let gone = json!({ "$ref": "#/components/responses/Gone" });
    let referred = accepted(&json!({ "200": refers, "201": gone }));
    assert_eq!(referred, ["text/csv"]);
    let ranges = accepted(&json!({ "200": answering(&["image/*", "application/*"]) }));
    assert_eq!(ranges, ["application/json", "image/*"]);
    let many: Vec<_> = (0..20).map(|number| format!("text/x-{number}")).collect();
    let mut many: Vec<_> = many.iter().map(String::as_str).collect();
    many.push("application/json");
    let named = accepted(&json!({ "200": answering(&many) }));
    assert_eq!(named.len(), ACCEPT_MAX);
    assert_eq!(named[0], "application/json");
}

#[test]
fn nothing_is_said_of_answers_where_json_is_all() {
    let json_alone = json!({
        "200": answering(&["application/json; charset=utf-8"]),
        "201": answering(&["application/json"]),
    });
    for responses in [
        json!({}),
        json!({ "204": {} }),
        json!({ "200": answering(&["*/*"]) }),
        json!({ "200": answering(&["no kind", "text/csv\r\nX-Admin: 1"]) }),
        json_alone,
    ] {
        assert_eq!(accepted(&responses), [""; 0], "{responses}");
    }
}

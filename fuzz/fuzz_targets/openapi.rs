//! OpenAPI documents from any text: read or refused in bounded time; each tool is bound safely, its definition is the approved
//! one that edges can use, and no value that its schema lets through leaves its segment of the path.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proctor_engine::Catalogue;
use proctor_engine::openapi::{self, Answers};
use proctor_engine::schema::Schema;
use proctor_model::catalogue::{ParameterPlace, ToolServer};
use serde_json::{Map, Value, json};

fuzz_target!(|text: &str| {
    let Ok(read) = openapi::read(text, Answers::Declared) else {
        return;
    };
    for tool in &read.tools {
        assert!(tool.is_approved());
        let binding = tool.http.as_ref().expect("the request that it makes");
        assert!(binding.check().is_ok());
    }
    let server: ToolServer = serde_json::from_value(json!({
        "id": "api",
        "upstream": {"kind": "http", "url": "http://127.0.0.1:1"},
    }))
    .expect("a server");
    let catalogue = Catalogue::compile(&[ToolServer {
        tools: read.tools,
        ..server
    }]);
    assert_eq!(catalogue.problems().count(), 0, "each can be called");
    for tool in catalogue.tools() {
        // One that can't be compiled would take no answer at all.
        let declared = tool.entry().definition.output_schema.as_ref();
        assert!(declared.is_none_or(|schema| Schema::compile(schema).is_ok()));
        let binding = tool.entry().http.as_ref().expect("the request");
        let placed = binding.parameters.iter();
        for parameter in placed.filter(|parameter| parameter.place == ParameterPlace::Path) {
            for bad in ["..", "a/b", "a%2fb", "a?b", ""] {
                let arguments = Map::from_iter([(parameter.argument.clone(), bad.into())]);
                assert!(!tool.input().fits(&Value::Object(arguments)), "{bad:?}");
            }
        }
    }
});

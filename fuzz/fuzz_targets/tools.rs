//! Lists of a tool server from any JSON (a line with an element, one with arguments): what is pinned of an element is all that is
//! shown of it, and the catalogue takes or holds back what was approved, in bounded time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proctor_engine::Catalogue;
use proctor_engine::definition::{ParamHeaders, findings};
use proctor_model::catalogue::{CatalogueEntry, Listed, ToolDefinition, ToolServer};
use serde_json::{Value, json};

fuzz_target!(|text: &str| {
    let (element, arguments) = text.split_once('\n').unwrap_or((text, "{}"));
    let Ok(element) = serde_json::from_str::<Value>(element) else {
        return;
    };
    for listed in Listed::ALL {
        let Ok(definition) = ToolDefinition::from_list(listed, &element) else {
            continue;
        };
        assert_eq!(definition.listed(), listed);
        let shown = definition.to_list(definition.name.own());
        let again = ToolDefinition::from_list(listed, &shown).expect("what we show");
        assert_eq!(again, definition);
        assert_eq!(again.digest(), definition.digest());
        let _ = findings(&definition);
        let _ = ParamHeaders::of(&definition.input_schema);
        let server: ToolServer = serde_json::from_value(json!({
            "id": "docs",
            "upstream": {"kind": "mcp-http", "url": "http://127.0.0.1:1/mcp"},
        }))
        .expect("a server");
        let entry = CatalogueEntry {
            definition_digest: Some(definition.digest()),
            ..CatalogueEntry::unlabelled(definition)
        };
        let catalogue = Catalogue::compile(&[ToolServer {
            tools: vec![entry],
            ..server
        }]);
        if let (Some(tool), Ok(arguments)) = (
            catalogue.tools().next(),
            serde_json::from_str::<Value>(arguments),
        ) {
            assert_eq!(
                tool.input().fits(&arguments),
                tool.input().misfit(&arguments).is_none()
            );
            let _ = tool.meant(&arguments);
        }
    }
});

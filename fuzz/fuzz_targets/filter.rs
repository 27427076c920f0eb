//! The content filter on any text, alone and as JSON: no crash, matches in order and inside of the text, and what was
//! redacted is not found again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proctor_engine::filter::{Content, Place, Rules};
use proctor_model::content::{ContentRules, Direction};
use std::sync::LazyLock;

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let rules: ContentRules = serde_json::from_value(serde_json::json!({
        "rules": [{"classes": ["all"], "min_confidence": "low", "action": "redact"}],
        "patterns": [{"name": "case_no", "regex": "\\bC-[0-9]{6}\\b"}],
        "words": [{"name": "projects", "words": ["Blue Heron"]}],
    }))
    .expect("the rules");
    Rules::compile(&rules).expect("rules that compile")
});

fuzz_target!(|text: &str| {
    let content = Content {
        rules: &RULES,
        place: Place {
            direction: Direction::Inbound,
            tool: None,
        },
        vault: None,
        roles: None,
    };
    let mut end = 0;
    for hit in RULES.filter().find(text, "") {
        assert!(hit.range.end <= text.len() && text.is_char_boundary(hit.range.start));
        assert!(
            hit.range.start >= end || hit.range.end == end,
            "matches overlap"
        );
        end = end.max(hit.range.end);
    }
    let _ = content.treat_text(text);
    if let Ok(value) = serde_json::from_str::<serde_json::Value>(text) {
        let _ = content.treat(&value);
    }
});

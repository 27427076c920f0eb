//! A text through the splitter, cut anywhere, into parts too: no crash, a bounded wait, and nothing lost where there is nothing to find.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proctor_engine::filter::{Content, Place, Rules, Splitter};
use proctor_engine::limits::STREAM_HELD_BYTES_MAX;
use proctor_model::content::{ContentRules, Direction};
use std::sync::LazyLock;

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let rules: ContentRules = serde_json::from_value(serde_json::json!({
        "rules": [{"classes": ["all"], "action": "redact"}],
        "patterns": [{"name": "case_no", "regex": "\\bC-[0-9]{6}\\b"}],
    }))
    .expect("the rules");
    Rules::compile(&rules).expect("rules that compile")
});

fuzz_target!(|input: (Vec<u8>, &str)| {
    let (cuts, text) = input;
    let content = Content {
        rules: &RULES,
        place: Place {
            direction: Direction::Inbound,
            tool: None,
        },
        vault: None,
        roles: None,
    };
    let (mut splitter, mut out, mut rest) = (Splitter::default(), String::new(), text);
    for cut in cuts {
        if cut > 127 {
            splitter.next_part();
        }
        let at = rest.floor_char_boundary(usize::from(cut % 128));
        let (piece, more) = rest.split_at(at);
        out.push_str(&splitter.push(piece, &content).text);
        assert!(splitter.held_bytes() <= STREAM_HELD_BYTES_MAX + 256);
        rest = more;
    }
    out.push_str(&splitter.push(rest, &content).text);
    out.push_str(&splitter.finish(&content).text);
    if splitter.findings(&content).is_empty() {
        assert_eq!(out, text, "something was lost");
    }
});

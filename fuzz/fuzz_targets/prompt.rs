//! Requests to providers from any bytes: no crash; what is read is written without what only we know.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proctor_engine::json::{Limits, parse};
use proctor_engine::llm::{Api, Prompt, usage};

fuzz_target!(|bytes: &[u8]| {
    let Ok(serde_json::Value::Object(body)) = parse(bytes, &Limits::prompt()) else {
        return;
    };
    for api in Api::ALL {
        if let Ok(prompt) = Prompt::read(api, body.clone(), false) {
            let sent = prompt.forwarded(&prompt.arguments, "model", Some(9), None);
            assert!(!sent.contains_key("api") && sent["model"] == "model");
            assert!(prompt.is_plain(&sent));
            let _ = usage::of_prompt(&prompt.arguments);
        }
    }
});

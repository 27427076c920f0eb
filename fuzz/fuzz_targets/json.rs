//! Strict JSON from any bytes: what is taken means the same to a lenient parser, and is taken as the same again when it
//! was written anew, also in the canonical form that digests are made of.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proctor_engine::json::{Limits, parse, request_id};
use proctor_model::audit::canonical;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let all = [
        Limits::default(),
        Limits::json_rpc(),
        Limits::prompt(),
        Limits::tool_call(),
    ];
    for limits in all {
        let Ok(value) = parse(bytes, &limits) else {
            continue;
        };
        let lenient: Value = serde_json::from_slice(bytes).expect("strict JSON is JSON");
        assert_eq!(value, lenient);
        let written = serde_json::to_vec(&value).expect("a value can be written");
        assert_eq!(parse(&written, &limits), Ok(value.clone()));
        let form = canonical(&value).expect("a value has a canonical form");
        let again = parse(&form, &limits).expect("the canonical form is strict JSON");
        assert_eq!(canonical(&again).expect("its canonical form"), form);
    }
    if let (Some(id), Ok(lenient)) = (request_id(bytes), serde_json::from_slice::<Value>(bytes)) {
        assert_eq!(lenient["id"], id);
    }
});

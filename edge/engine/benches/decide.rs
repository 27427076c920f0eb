//! One whole decision: token verified before (cached), intent, the standard library's policy; no network.
//!
//! `cargo bench -p proctor-engine --bench decide`. The bar: median of `payment` under 20 µs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a benchmark")]

#[path = "../tests/fixture/scenario.rs"]
mod scenario;

use divan::Bencher;
use proctor_engine::token::{KeyRing, Token, verify};
use proctor_engine::{Call, Decision, Evaluator, ToolQuery, decide, json};
use scenario::{Given, Scenario};
use serde_json::json;

/// The product's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

fn whole(bencher: Bencher<'_, '_>, given: serde_json::Value, tool: &str, args: serde_json::Value) {
    let given: Given = serde_json::from_value(given).unwrap();
    let scenario = Scenario::new(&given);
    let world = scenario.world();
    let mut evaluator = Evaluator::new();
    let call = || -> Call {
        let arguments = args.as_object().unwrap().clone();
        scenario.call(ToolQuery::Any(tool.into()), arguments)
    };
    assert!(matches!(
        decide(call(), &world, &mut evaluator),
        Decision::Permit(_)
    ));
    bencher
        .with_inputs(call)
        .bench_local_values(|call| decide(call, &world, &mut evaluator));
}

/// A read, with an intent that names the file.
#[divan::bench]
fn read(bencher: Bencher<'_, '_>) {
    whole(
        bencher,
        json!({}),
        "files__read_file",
        json!({"path": "bill.txt"}),
    );
}

/// A payment: argument caveats, intent with a schema and an origin, ceiling and approved destinations.
#[divan::bench]
fn payment(bencher: Bencher<'_, '_>) {
    let given = json!({
        "caveats": ["calls <= 20", "arg bank/send_money /amount <= 100", "session = s-1"],
        "policy_data": {
            "financial": {"max_amount": 1000},
            "destinations": {"approved": ["GB29NWBK60161331926819"]},
            "hours": {"from": 8, "to": 21, "days": ["Monday"], "verbs": ["financial"]},
        },
    });
    let args = json!({"amount": 98.7, "recipient": "GB29NWBK60161331926819"});
    whole(bencher, given, "bank__send_money", args);
}

/// Reading and verifying a token with five caveats: what a cache hit saves.
#[divan::bench]
fn token(bencher: Bencher<'_, '_>) {
    let vector: serde_json::Value =
        serde_json::from_str(include_str!("../tests/vectors/01-least.json")).unwrap();
    let text = vector["token"].as_str().unwrap();
    let keys = proctor_model::config::TokenKeys {
        keys: vec![proctor_model::config::TokenKey {
            kid: "k1".parse().unwrap(),
            key: std::array::from_fn(|i| u8::try_from(i).unwrap()),
            not_after: None,
        }],
        digest_key: [0; 32],
        secrets: Vec::new(),
    };
    let ring = KeyRing::new("acme".parse().unwrap(), &keys);
    bencher.bench_local(|| verify(&Token::parse(text).unwrap(), &ring).unwrap());
}

/// Strict parsing of a call of about 900 bytes.
#[divan::bench]
fn parse(bencher: Bencher<'_, '_>) {
    let body = json!({
        "jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": {"name": "mail__send", "arguments": {"to": "bob@partner.example", "body": "x".repeat(600), "n": [1, 2.5, true, null]},
                   "_meta": {"progressToken": "abc", "trace": "0123456789abcdef"}},
    })
    .to_string();
    let limits = json::Limits::json_rpc();
    bencher.bench_local(|| json::parse(body.as_bytes(), &limits).unwrap());
}

//! Reading a result into a session's tracker, and what a decision then pays for the look-ups.
//!
//! `cargo bench -p proctor-engine --bench provenance`. The bars: 100 kB read in under 2 ms, one value looked up in under
//! a microsecond, and a whole decision on a 1 kB call in under 30 µs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a benchmark")]

#[path = "../tests/fixture/scenario.rs"]
mod scenario;

use divan::Bencher;
use proctor_engine::{Decision, Evaluator, Reading, ToolQuery, Tracker, decide};
use scenario::{Given, Scenario};
use serde_json::{Map, Value, json};

fn main() {
    divan::main();
}

fn scenario(read: &Value) -> Scenario {
    let given: Given = serde_json::from_value(json!({
        "intent": {
            "agent": "copilot", "goal": "Pay Acme Rentals 98.70 EUR and tell bob@partner.example", "expires_in_s": 600,
            "actions": [{"tool": "bank/send_money"}, {"tool": "mail/send"}],
        },
        "read": read,
    }))
    .unwrap();
    Scenario::new(&given)
}

/// Mail as people write it: words, and now and then a link, an amount, an address.
fn mail(bytes: usize) -> String {
    let mut text = String::new();
    for line in 0_usize.. {
        if text.len() >= bytes {
            break;
        }
        text += &format!(
            "Dear colleague {line}, the meeting about item {line} is moved to May {} at 10:30, see https://wiki.example/p{line} \
             or ask user{line}@acme.example about the {}.50 EUR that are still due. Kind regards, the office\n",
            line % 28 + 1,
            line * 7 % 1000,
        );
    }
    text.truncate(bytes);
    text
}

fn reads(bencher: Bencher<'_, '_>, result: &Value) {
    let scenario = scenario(&json!([]));
    let tool = scenario
        .tenant
        .catalogue()
        .get(&"mail/inbox".parse().unwrap())
        .unwrap();
    let (arguments, result) = (Map::new(), result.as_object().unwrap());
    bencher
        .with_inputs(|| Tracker::new(&[1; 16], false))
        .bench_local_refs(|tracker| {
            tracker.read(&Reading {
                tool,
                arguments: &arguments,
                intent: scenario.intent.as_ref(),
                result,
                rows: 0,
                error: false,
                memory: None,
            });
        });
}

#[divan::bench]
fn read_100_kb_of_text(bencher: Bencher<'_, '_>) {
    reads(
        bencher,
        &json!({"content": [{"type": "text", "text": mail(100_000)}]}),
    );
}

#[divan::bench]
fn read_100_kb_of_json(bencher: Bencher<'_, '_>) {
    let mails: Vec<Value> = mail(85_000)
        .lines()
        .enumerate()
        .map(|(id, body)| json!({"id": id, "from": format!("user{id}@acme.example"), "body": body}))
        .collect();
    reads(bencher, &json!({"structuredContent": {"result": mails}}));
}

/// A call of 1 kB, all controls on, in a session that has read 100 kB. The baseline is the same in a fresh session.
#[divan::bench(args = ["fresh", "after 100 kB"])]
fn decide_on_1_kb(bencher: Bencher<'_, '_>, session: &str) {
    let read = json!([
        {"tool": "mail/inbox", "text": mail(if session == "fresh" { 1 } else { 100_000 })},
        {"tool": "bank/balance", "structured": {"payees": ["Acme Rentals"]}},
    ]);
    let scenario = scenario(&read);
    let world = scenario.world();
    let mut evaluator = Evaluator::new();
    let body = "The rent is paid and the receipt is on its way to you by mail. ".repeat(15);
    let call = || {
        let arguments = json!({"to": "bob@partner.example", "body": body});
        scenario.call(
            ToolQuery::Any("mail/send".into()),
            arguments.as_object().unwrap().clone(),
        )
    };
    assert!(matches!(
        decide(call(), &world, &mut evaluator),
        Decision::Permit(_)
    ));
    bencher
        .with_inputs(call)
        .bench_local_values(|call| decide(call, &world, &mut evaluator));
}

/// One value, looked up in a session that has read 100 kB: a payee whom a trusted result named.
#[divan::bench(args = ["fresh", "after 100 kB"])]
fn look_up_one_value(bencher: Bencher<'_, '_>, session: &str) {
    let payee = "GB29NWBK60161331926819";
    let read = json!([
        {"tool": "mail/inbox", "text": mail(if session == "fresh" { 1 } else { 100_000 })},
        {"tool": "bank/balance", "structured": {"iban": payee}},
    ]);
    let scenario = scenario(&read);
    let intent = scenario.intent.as_ref().unwrap();
    let tool = scenario
        .tenant
        .catalogue()
        .get(&"bank/send_money".parse().unwrap())
        .unwrap();
    let arguments = json!({"recipient": payee});
    let look_up = || intent.match_call(tool, &arguments, &scenario.counts, &scenario.read);
    assert!(look_up().is_ok());
    bencher.bench_local(look_up);
}

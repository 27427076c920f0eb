//! Reading a result into a session's tracker, and what a decision then pays for the look-ups.
//!
//! `cargo bench -p proctor-engine --bench provenance`. The bars: 100 kB read in under 2 ms, one value looked up in under
//! a microsecond, and a whole decision on a 1 kB call in under 30 µs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a benchmark")]

#[path = "../tests/fixture/scenario.rs"]
mod scenario;

use divan::Bencher;
use proctor_engine::budget::Remaining;
use proctor_engine::provenance::prepared_lookup;
use proctor_engine::{Decision, Evaluator, Reading, ToolQuery, Tracker, World, decide};
use proctor_model::budget::{AccountKey, Meter, Scope, Window};
use scenario::{Given, Scenario};
use serde_json::{Map, Value, json};

/// The product's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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

/// What a session has read before a decision: next to nothing, or 100 kB.
fn read_before(session: &str) -> Value {
    json!([
        {"tool": "mail/inbox", "text": mail(if session == "fresh" { 1 } else { 100_000 })},
        {"tool": "bank/balance", "structured": {"payees": ["Acme Rentals"]}},
    ])
}

/// Decisions on a mail of 1 kB.
fn decides(bencher: Bencher<'_, '_>, scenario: &Scenario, world: &World<'_>) {
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
        decide(call(), world, &mut evaluator),
        Decision::Permit(_)
    ));
    bencher
        .with_inputs(call)
        .bench_local_values(|call| decide(call, world, &mut evaluator));
}

/// A call of 1 kB in a session that has read 100 kB; the baseline is the same in a fresh session. The standard library has no
/// settings, so that most of its rules are left out.
#[divan::bench(args = ["fresh", "after 100 kB"])]
fn decide_on_1_kb(bencher: Bencher<'_, '_>, session: &str) {
    let scenario = scenario(&read_before(session));
    decides(bencher, &scenario, &scenario.world());
}

/// The same with all controls on: ceilings, budgets, all classes of content, the library's rules without settings.
#[divan::bench(args = ["fresh", "after 100 kB"])]
fn decide_all_controls(bencher: Bencher<'_, '_>, session: &str) {
    decides_with(bencher, session, &json!({}));
}

/// And with every setting of the standard library at once, more than any tenant has.
#[divan::bench(args = ["fresh", "after 100 kB"])]
fn decide_all_settings(bencher: Bencher<'_, '_>, session: &str) {
    let settings = json!({
        "destructive": {"allow": ["files/delete_file"]},
        "financial": {"max_amount": 1000},
        "mass": {"max_items": 20},
        "destinations": {"approved": ["@partner.example"]},
        "hours": {"from": 8, "to": 21, "days": ["Monday"], "verbs": ["outbound", "financial"]},
        "rows": {"max": 1000, "tools": {"crm/search": 50}},
        "bytes": {"max": 65_536},
        "redact": {"crm/contact": ["/email"]},
        "origins": {"verbs": ["outbound"], "roles": ["target"]},
        "memory": {"required": [{"verbs": ["financial"], "roles": ["target"], "trust": "verified"}], "write_trust": "agent"},
        "sequence": {"rows_then_outbound": 100_000, "destructive_max": 3, "first_financial": true},
    });
    decides_with(bencher, session, &settings);
}

fn decides_with(bencher: Bencher<'_, '_>, session: &str, settings: &Value) {
    let given: Given = serde_json::from_value(json!({
        "caveats": ["calls <= 20", "cost <= 500000", "session = s-1"],
        "intent": {
            "agent": "copilot", "goal": "Pay Acme Rentals 98.70 EUR and tell bob@partner.example", "expires_in_s": 600,
            "actions": [{"tool": "bank/send_money"}, {"tool": "mail/send", "origins": {"/to": ["goal"]}, "max_calls": 20}],
        },
        "read": read_before(session),
        "content": {"rules": [{"classes": ["all"], "action": "count"}]},
        "policy_data": settings,
    }))
    .unwrap();
    let scenario = Scenario::new(&given);
    let account = |scope, id: &str, meter| Remaining {
        account: AccountKey {
            scope,
            id: id.into(),
            meter,
            window: Window::Day,
        },
        units: 1_000_000,
    };
    let remaining = [
        account(Scope::Tenant, "", Meter::Calls),
        account(Scope::Tenant, "", Meter::Cost),
        account(Scope::Agent, "copilot", Meter::Calls),
        account(Scope::Session, "s-1", Meter::Calls),
    ];
    let world = World {
        remaining: &remaining,
        ..scenario.world()
    };
    decides(bencher, &scenario, &world);
}

const PAYEE: &str = "GB29NWBK60161331926819";

/// A session in which a trusted result named a payee, after 100 kB of other results or none.
fn knows_payee(session: &str) -> Scenario {
    scenario(&json!([
        {"tool": "mail/inbox", "text": mail(if session == "fresh" { 1 } else { 100_000 })},
        {"tool": "bank/balance", "structured": {"iban": PAYEE}},
    ]))
}

/// One value, looked up in a session that has read 100 kB: without making its forms.
#[divan::bench(args = ["fresh", "after 100 kB"])]
fn look_up_alone(bencher: Bencher<'_, '_>, session: &str) {
    let (scenario, payee) = (knows_payee(session), json!(PAYEE));
    let look_up = prepared_lookup(&scenario.read, &payee);
    assert!(look_up());
    bencher.bench_local(look_up);
}

/// All that the intent says of a call with one value: finding its action, making the value's forms, looking them up.
#[divan::bench(args = ["fresh", "after 100 kB"])]
fn match_one_call(bencher: Bencher<'_, '_>, session: &str) {
    let scenario = knows_payee(session);
    let intent = scenario.intent.as_ref().unwrap();
    let tool = scenario
        .tenant
        .catalogue()
        .get(&"bank/send_money".parse().unwrap())
        .unwrap();
    let arguments = json!({"recipient": PAYEE});
    let look_up = || intent.match_call(tool, &arguments, &scenario.counts, &scenario.read);
    assert!(look_up().is_ok());
    bencher.bench_local(look_up);
}

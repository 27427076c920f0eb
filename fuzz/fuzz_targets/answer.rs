//! Answers of tool servers, through a real tenant: no crash on any JSON; rows of other tenants are gone; what is released is
//! released again as it is; and the session can read it.
#![no_main]

#[path = "../../edge/engine/tests/fixture/scenario.rs"]
mod scenario;

use libfuzzer_sys::fuzz_target;
use proctor_engine::{
    Answer, Channel, Decision, Evaluator, Permit, Reading, Response, ToolQuery, Tracker, respond,
};
use scenario::{Given, Scenario};
use serde_json::{Map, Value, json};

const TOOLS: [&str; 4] = ["crm/drops", "crm/contact", "bank/balance", "mail/inbox"];

struct Setting {
    scenario: Scenario,
    permits: Vec<Box<Permit>>,
}

thread_local! {
    static SETTING: Setting = {
        let given: Given = serde_json::from_value(json!({
            "intent": null, "settings": {"intent": "when_declared"},
        }))
        .expect("a setting");
        let scenario = Scenario::new(&given);
        let permit = |tool: &str| {
            let query = ToolQuery::Any(tool.into());
            match scenario.decide(query, Map::new()) {
                Decision::Permit(permit) => permit,
                Decision::Refusal(refusal) => panic!("{}", refusal.message()),
            }
        };
        let permits = TOOLS.into_iter().map(permit).collect();
        Setting { scenario, permits }
    };
}

fn answered(
    setting: &Setting,
    tool: usize,
    channel: Channel,
    body: Map<String, Value>,
) -> Response {
    let bytes = serde_json::to_vec(&body).expect("JSON").len();
    let answer = Answer {
        channel,
        body,
        bytes: u64::try_from(bytes).expect("not that large"),
    };
    let world = setting.scenario.world();
    respond(
        &setting.permits[tool],
        answer,
        &world,
        &mut Evaluator::new(),
    )
}

fn check(setting: &Setting, tool: usize, channel: Channel, body: Map<String, Value>) {
    let Response::Release(release) = answered(setting, tool, channel, body) else {
        return;
    };
    let body = release.body().clone();
    if let Some(Value::Array(rows)) = body
        .get("structuredContent")
        .filter(|_| TOOLS[tool] == "crm/drops" && channel == Channel::Result)
        .and_then(|structured| structured.get("rows"))
    {
        assert!(
            rows.iter().all(|row| row["org"] == "acme"),
            "another tenant's"
        );
    }
    match answered(setting, tool, channel, body.clone()) {
        Response::Release(again) => assert_eq!(again.into_body(), body),
        Response::Withhold(withheld) => panic!("withheld: {:?}", withheld.reason),
    }
    let mut tracker = Tracker::new(&[1; 16], false);
    let reference = TOOLS[tool].parse().expect("a tool");
    tracker.read(&Reading {
        tool: setting
            .scenario
            .tenant
            .catalogue()
            .get(&reference)
            .expect("a tool"),
        arguments: &Map::new(),
        intent: None,
        result: &body,
        rows: release.findings().rows,
        error: channel == Channel::Error,
        memory: None,
    });
}

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (tool, channel, bytes) = input;
    let Ok(Value::Object(body)) = serde_json::from_slice(bytes) else {
        return;
    };
    let channel = Channel::ALL[usize::from(channel) % Channel::ALL.len()];
    SETTING.with(|setting| check(setting, usize::from(tool) % TOOLS.len(), channel, body));
});

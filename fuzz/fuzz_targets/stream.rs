//! Answers of LLM providers, streamed and whole, from any bytes: no crash, and what goes on to the agent is a stream of events
//! again, in which no secret of ours is.
#![no_main]

#[path = "../../edge/engine/tests/fixture/scenario.rs"]
mod scenario;

use libfuzzer_sys::fuzz_target;
use proctor_engine::llm::sse::Reader;
use proctor_engine::llm::{Api, Gate, Prompt, Relay, complete};
use proctor_engine::{Decision, Evaluator, Permit, ToolQuery};
use scenario::{Given, Scenario};
use serde_json::{Value, json};

struct Setting {
    scenario: Scenario,
    prompts: Vec<(Prompt, Box<Permit>)>,
}

fn prompt(scenario: &Scenario, api: Api) -> (Prompt, Box<Permit>) {
    let (tool, body) = match api {
        Api::Responses => ("openai/gpt", json!({"model": "gpt", "input": "hi"})),
        Api::Embeddings => ("openai/gpt", json!({"model": "gpt", "input": ["hi"]})),
        Api::ChatCompletions => (
            "openai/gpt",
            json!({"model": "gpt", "messages": [{"role": "user", "content": "hi"}]}),
        ),
        Api::Messages => (
            "anthropic/claude",
            json!({"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}),
        ),
    };
    let body = body.as_object().expect("an object").clone();
    let prompt = Prompt::read(api, body, false).expect("a prompt");
    let query = ToolQuery::On("llm".parse().expect("an id"), tool.to_owned());
    match scenario.decide(query, prompt.arguments.clone()) {
        Decision::Permit(permit) => (prompt, permit),
        Decision::Refusal(refusal) => panic!("{}", refusal.message()),
    }
}

thread_local! {
    static SETTING: Setting = {
        let given: Given = serde_json::from_value(json!({
            "intent": null, "settings": {"intent": "when_declared"},
        }))
        .expect("a setting");
        let scenario = Scenario::new(&given);
        let prompts = Api::ALL.into_iter().map(|api| prompt(&scenario, api)).collect();
        Setting { scenario, prompts }
    };
}

fn check(setting: &Setting, (prompt, permit): &(Prompt, Box<Permit>), bytes: &[u8]) {
    let (world, mut evaluator) = (setting.scenario.world(), Evaluator::new());
    if let Ok(Value::Object(body)) = serde_json::from_slice(bytes) {
        let size = u64::try_from(bytes.len()).expect("not that large");
        let _ = complete(permit, prompt.api, body, size, &world, &mut evaluator);
    }
    let Ok(events) = Reader::default().push(bytes) else {
        return;
    };
    let mut gate = Gate {
        permit,
        world: &world,
        evaluator: &mut evaluator,
    };
    let mut relay = Relay::new(prompt, permit.limits().tokens);
    let (mut out, mut ended) = (Vec::new(), false);
    for event in &events {
        ended = relay.take(event, &mut gate).is_some();
        out.extend(relay.drain());
        if ended {
            break;
        }
    }
    if !ended {
        relay.hang_up(&mut gate);
        out.extend(relay.drain());
    }
    let _ = relay.usage(permit, ended);
    assert!(Reader::default().push(&out).is_ok(), "no stream of events");
    let text = String::from_utf8(out).expect("a stream of text");
    assert!(
        text.is_empty() || text.ends_with("\n\n"),
        "an event that does not end"
    );
}

fuzz_target!(|input: (u8, &[u8])| {
    let (api, bytes) = input;
    SETTING.with(|setting| {
        let prompt = &setting.prompts[usize::from(api) % setting.prompts.len()];
        check(setting, prompt, bytes);
    });
});

//! Tools that an API knows by their type and the agent runs itself: shells, patches, screens.

use super::*;

/// Calls of such tools of OpenAI's responses that ask for this, and what a policy has to say to find it.
fn items(said: &str) -> [(Value, &'static str); 4] {
    let item = |kind: &str, name: &str, what: Value| {
        let mut item = json!({"type": kind, "id": "i", "call_id": "c", "status": "completed"});
        item[name] = what;
        item
    };
    [
        (
            item(
                "local_shell_call",
                "action",
                json!({"type": "exec", "command": [said, KEY]}),
            ),
            "call.name == \"local_shell_call\"\n    call.arguments.action.command[0] == \"rm\"",
        ),
        (
            item("shell_call", "action", json!({"commands": [said, KEY]})),
            "call.name == \"shell_call\"\n    call.arguments.action.commands[0] == \"rm\"",
        ),
        (
            item(
                "apply_patch_call",
                "operation",
                json!({"type": "create_file", "path": said, "diff": format!("+ {KEY}")}),
            ),
            "call.name == \"apply_patch_call\"\n    call.arguments.operation.path == \"rm\"",
        ),
        (
            item(
                "computer_call",
                "action",
                json!({"type": "type", "text": said, "note": KEY}),
            ),
            "call.name == \"computer_call\"\n    call.arguments.action.text == \"rm\"",
        ),
    ]
}

/// A policy that denies answers with a call of which this can be said.
fn denying(condition: &str) -> String {
    format!(
        "package proctor.policy
default decision := {{\"effect\": \"allow\"}}
decision := {{\"effect\": \"deny\", \"reasons\": [\"not that\"]}} if {{
    input.phase == \"response\"
    some call in input.result.tool_calls
    {condition}
}}
"
    )
}

fn whole(response: Response) -> Result<String, Reason> {
    match response {
        Response::Release(release) => Ok(Value::Object(release.into_body()).to_string()),
        Response::Withhold(withheld) => Err(withheld.reason),
    }
}

#[test]
fn what_is_asked_of_an_own_tool_is_judged_and_filtered() {
    for at in 0..items("").len() {
        let condition = items("")[at].1;
        let scenario = scenario(&[denying(condition).as_str()], json!({}));
        let prompt = prompt(Api::Responses, json!({"stream": true}));
        for (said, passes) in [("rm", false), ("ls", true)] {
            let item = items(said)[at].0.clone();
            let event = |kind: &str| ("", json!({"type": kind, "output_index": 0, "item": item}));
            let last = json!({"type": "response.completed", "response": {"output": [item]}});
            let events = [
                event("response.output_item.added"),
                event("response.output_item.done"),
                ("", last),
            ];
            let (events, ending) = relayed(&scenario, &prompt, &events);
            let streamed: String = events.iter().map(|event| event.data.as_str()).collect();
            let answer = completed(&scenario, Api::Responses, json!({"output": [item]}));
            let answer = whole(answer);
            if passes {
                assert_eq!(ending, Ending::Done, "{item}");
                for got in [streamed, answer.unwrap()] {
                    assert!(got.contains("[AWS_KEY]") && !got.contains(KEY), "{got}");
                }
            } else {
                let denied =
                    matches!(&ending, Ending::Stopped(stop) if stop.reason == Reason::PolicyDenied);
                assert!(denied && streamed.is_empty(), "{ending:?}: {streamed}");
                assert_eq!(answer, Err(Reason::PolicyDenied), "{item}");
            }
        }
    }
}

#[test]
fn what_is_asked_of_an_own_tool_in_messages_is_judged_and_filtered() {
    let condition = "call.name == \"bash\"\n    call.arguments.command == \"rm\"";
    let scenario = scenario(&[denying(condition).as_str()], json!({}));
    let answer = |command: &str| {
        let input = json!({"command": command, "restart": KEY});
        let call = json!({"type": "tool_use", "id": "t", "name": "bash", "input": input});
        let body = json!({"content": [call]});
        whole(completed(&scenario, Api::Messages, body))
    };
    assert_eq!(answer("rm"), Err(Reason::PolicyDenied));
    let passed = answer("ls").unwrap();
    assert!(
        passed.contains("[AWS_KEY]") && !passed.contains(KEY),
        "{passed}"
    );
}

#[test]
fn what_came_of_an_own_tool_is_filtered_in_the_next_prompt() {
    let scenario = scenario(&[], json!({}));
    let said = format!("it is {KEY} , so");
    let outcome = json!({"type": "exit", "exit_code": 0});
    let responses = [
        json!({"type": "local_shell_call_output", "id": "c", "output": said}),
        json!({"type": "shell_call_output", "call_id": "c",
            "output": [{"stdout": said, "stderr": "", "outcome": outcome}]}),
        json!({"type": "apply_patch_call_output", "call_id": "c", "status": "failed", "output": said}),
        json!({"type": "custom_tool_call_output", "call_id": "c", "output": said}),
        // What was asked for, too.
        json!({"type": "shell_call", "call_id": "c", "action": {"commands": [said]}}),
        json!({"type": "apply_patch_call", "call_id": "c", "status": "completed",
            "operation": {"type": "create_file", "path": "a", "diff": said}}),
        json!({"type": "computer_call", "call_id": "c", "action": {"type": "type", "text": said}}),
    ];
    let asked = responses.map(|item| (Api::Responses, json!({"input": [item]})));
    let call = json!({"type": "tool_use", "id": "t", "name": "memory",
        "input": {"command": "create", "path": "/memories/a", "file_text": said}});
    let result = json!({"type": "tool_result", "tool_use_id": "t", "content": said});
    let messages = [("assistant", call), ("user", result)].map(|(role, part)| {
        let message = json!({"role": role, "content": [part]});
        (Api::Messages, json!({"messages": [message]}))
    });
    for (api, body) in asked.into_iter().chain(messages) {
        let prompt = prompt(api, body.clone());
        let refused = reason(decided(&scenario, &prompt));
        assert_eq!(refused, Reason::ContentBlocked, "{body}");
    }
}

/// A patch that comes in these pieces, and the item with all of it.
fn patch(pieces: &[&str]) -> Vec<(&'static str, Value)> {
    let item = |diff: &str| {
        json!({"type": "apply_patch_call", "id": "an id that nobody chose", "call_id": "c",
        "operation": {"type": "update_file", "path": "path", "diff": diff}})
    };
    let event = |kind: &str, name: &str, value: Value| {
        let mut event = json!({"type": kind, "output_index": 0});
        event[name] = value;
        ("", event)
    };
    let piece = |piece: &&str| {
        let kind = "response.apply_patch_call_operation_diff.delta";
        event(kind, "delta", json!(piece))
    };
    let mut events = vec![event("response.output_item.added", "item", item(""))];
    events.extend(pieces.iter().map(piece));
    let whole = item(&pieces.concat());
    events.push(event("response.output_item.done", "item", whole));
    let last = json!({"type": "response.completed", "response": {"output": []}});
    events.push(("", last));
    events
}

#[test]
fn a_patch_is_cut_at_the_piece_that_reaches_its_ceiling() {
    let limit = "package proctor.policy\ndecision := {\"effect\": \"allow\", \"limits\": {\"tokens\": 7}}\n";
    let scenario = scenario(&[limit], json!({}));
    let prompt = prompt(Api::Responses, json!({"stream": true}));
    // Each of its tokens counts once.
    let short = patch(&["one two", " three four"]);
    let (events, ending) = relayed(&scenario, &prompt, &short);
    assert_eq!(ending, Ending::Done);
    let all: String = events.iter().map(|event| event.data.as_str()).collect();
    assert!(all.contains("one two three four"), "{all}");
    let mut endless = patch(&[" one two three"; 50]);
    endless.truncate(20);
    let (events, ending) = relayed(&scenario, &prompt, &endless);
    assert_eq!(ending, Ending::Stopped(Reason::TokensExhausted.into()));
    assert!(events.is_empty(), "{events:?}");
    // What a provider leaves out of the pieces counts with the item.
    let mut silent = patch(&[" one two three"; 50]);
    silent.drain(1..=50);
    let (_, ending) = relayed(&scenario, &prompt, &silent);
    assert_eq!(ending, Ending::Stopped(Reason::TokensExhausted.into()));
}

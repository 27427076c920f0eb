//! Tools that a prompt declares: those that the agent runs are calls to it, whatever the API knows of them; those that the
//! provider runs are out of sight.

use super::shown;
use crate::llm::Api;
use crate::llm::prompt::{Misfit, misfit};
use serde_json::Value;

/// Types of tools that are run by who asks, of OpenAI's responses.
const OWN_OF_RESPONSES: [&str; 5] = [
    "apply_patch",
    "computer",
    "computer_use_preview",
    "local_shell",
    "shell",
];

/// The same of Anthropic's messages, without their dates.
const OWN_OF_MESSAGES: [&str; 4] = ["bash_", "computer_", "memory_", "text_editor_"];

/// None but such as the agent runs itself.
pub(super) fn check(api: Api, tools: Option<&Value>) -> Result<(), Misfit> {
    match tools {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Array(tools)) => tools.iter().try_for_each(|tool| check_one(api, tool)),
        Some(_) => Err(misfit("tools: a list")),
    }
}

/// A tool of the agent's own: the model asks for it, and the agent does what it likes.
fn check_one(api: Api, tool: &Value) -> Result<(), Misfit> {
    let kind = tool.get("type").map(|kind| kind.as_str().unwrap_or("?"));
    let is_own = match kind {
        None => tool.get("name").is_some() || tool.get("function").is_some(),
        Some("function" | "custom") => true,
        // What it is without an environment has changed with time.
        Some("shell") if api == Api::Responses && !is_local(tool) => {
            return Err(misfit(
                "tools: shell: only with the environment {\"type\": \"local\"} (in any other the provider runs it itself)",
            ));
        }
        Some(kind) => is_request(api, kind),
    };
    match (is_own, kind) {
        (true, _) => Ok(()),
        (false, None) => Err(misfit("tools: one that the provider runs itself")),
        (false, Some(kind)) => Err(misfit(format!(
            "tools: {}: one that the provider runs itself, as far as is known here",
            shown(kind)
        ))),
    }
}

/// Whether a tool that the API knows by its type is run by the agent. A list of what is known, as of members of a request.
fn is_request(api: Api, kind: &str) -> bool {
    match api {
        Api::Responses => OWN_OF_RESPONSES.contains(&kind),
        Api::Messages => OWN_OF_MESSAGES.iter().any(|own| {
            let version = kind.strip_prefix(*own);
            let is_date = |date: &str| date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit());
            version.is_some_and(is_date)
        }),
        Api::ChatCompletions | Api::Embeddings => false,
    }
}

/// Whether a shell is the agent's, and no container of the provider's.
fn is_local(tool: &Value) -> bool {
    let environment = tool.get("environment");
    environment.and_then(|environment| environment.get("type")?.as_str()) == Some("local")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn declared(api: Api, tool: &Value) -> Result<(), String> {
        let tools = json!([tool]);
        check(api, Some(&tools)).map_err(|misfit| misfit.detail.into_owned())
    }

    #[test]
    fn tools_that_the_provider_runs_are_refused() {
        for tool in [
            json!({"type": "mcp", "server_url": "http://x"}),
            json!({"type": "web_search"}),
            json!({"type": "web_search_preview"}),
            json!({"type": "file_search", "vector_store_ids": ["v"]}),
            json!({"type": "code_interpreter", "container": {"type": "auto"}}),
            json!({"type": "image_generation"}),
            json!({"type": "tool_search"}),
            json!({"type": "bash_20250124", "name": "bash"}),
            json!({"type": null, "name": "f"}),
            json!({"type": 1}),
            json!({}),
        ] {
            assert!(declared(Api::Responses, &tool).is_err(), "{tool}");
            assert!(declared(Api::ChatCompletions, &tool).is_err(), "{tool}");
        }
        for tool in [
            json!({"type": "web_search_20250305", "name": "web_search"}),
            json!({"type": "web_fetch_20250910", "name": "web_fetch"}),
            json!({"type": "code_execution_20250825", "name": "code_execution"}),
            json!({"type": "bash_code_execution_20250825", "name": "bash"}),
            json!({"type": "tool_search_tool_regex_20251119", "name": "t"}),
            json!({"type": "mcp_toolset", "mcp_server_name": "s"}),
            json!({"type": "advisor_20260301", "name": "advisor"}),
            json!({"type": "bash_", "name": "bash"}),
            json!({"type": "memory_2025081", "name": "memory"}),
            json!({"type": "memory_2025081x", "name": "memory"}),
            json!({"type": "local_shell"}),
        ] {
            assert!(declared(Api::Messages, &tool).is_err(), "{tool}");
        }
        let why = declared(Api::Responses, &json!({"type": "web_search"})).unwrap_err();
        assert!(why.contains("web_search: one that"), "{why}");
        let long = json!({"type": "x".repeat(500)});
        assert!(declared(Api::Responses, &long).unwrap_err().len() < 200);
    }

    #[test]
    fn a_shell_in_the_providers_container_is_refused() {
        let shell = |environment: Value| {
            declared(
                Api::Responses,
                &json!({"type": "shell", "environment": environment}),
            )
        };
        assert_eq!(shell(json!({"type": "local"})), Ok(()));
        let skill = json!({"name": "s", "description": "d", "path": "skills/s"});
        assert_eq!(shell(json!({"type": "local", "skills": [skill]})), Ok(()));
        for hosted in [
            json!({"type": "container_auto", "file_ids": ["f"]}),
            json!({"type": "container_reference", "container_id": "c"}),
            json!({"type": ["local"]}),
            json!("local"),
            json!({}),
            json!(null),
        ] {
            let why = shell(hosted.clone()).unwrap_err();
            assert!(why.contains("environment"), "{hosted}: {why}");
        }
        let bare = json!({"type": "shell"});
        assert!(declared(Api::Responses, &bare).is_err());
        let local = json!({"type": "shell", "environment": {"type": "local"}});
        assert!(declared(Api::ChatCompletions, &local).is_err());
    }

    #[test]
    fn tools_that_the_agent_runs_are_its_own() {
        for tool in [
            json!({"type": "function", "name": "f"}),
            json!({"type": "custom", "name": "g", "format": {"type": "text"}}),
            json!({"type": "local_shell"}),
            json!({"type": "apply_patch"}),
            json!({"type": "computer"}),
            json!({"type": "computer_use_preview", "display_width": 1024, "display_height": 768, "environment": "browser"}),
        ] {
            assert_eq!(declared(Api::Responses, &tool), Ok(()), "{tool}");
        }
        for tool in [
            json!({"name": "f", "input_schema": {}}),
            json!({"type": "custom", "name": "f", "input_schema": {}}),
            json!({"type": "bash_20241022", "name": "bash"}),
            json!({"type": "bash_20250124", "name": "bash"}),
            json!({"type": "text_editor_20250728", "name": "str_replace_based_edit_tool", "max_characters": 9}),
            json!({"type": "memory_20250818", "name": "memory"}),
            json!({"type": "computer_20250124", "name": "computer", "display_width_px": 1024, "display_height_px": 768}),
        ] {
            assert_eq!(declared(Api::Messages, &tool), Ok(()), "{tool}");
        }
        for tool in [
            json!({"type": "function", "function": {"name": "f"}}),
            json!({"type": "custom", "custom": {"name": "g"}}),
        ] {
            assert_eq!(declared(Api::ChatCompletions, &tool), Ok(()), "{tool}");
        }
    }
}

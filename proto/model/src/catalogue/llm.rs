//! LLM providers and their models: `llm/<provider>/<model>` is a tool like any other.

use super::auth::UpstreamAuth;
use crate::ids::{ServerId, ToolName};
use serde::{Deserialize, Serialize};

/// The one server whose tools are models.
pub const LLM_SERVER: &str = "llm";

/// Which API a provider speaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LlmDialect {
    /// Chat completions, responses and embeddings as OpenAI has them.
    Openai,
    /// Messages as Anthropic has them.
    Anthropic,
}

/// An LLM provider of a tenant. Models are named `<provider>/<model>`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LlmProvider {
    /// What it speaks.
    pub dialect: LlmDialect,
    /// The address that its clients take as the base (`https://api.openai.com/v1`, `https://api.anthropic.com`).
    pub url: String,
    /// The credential that goes with each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<UpstreamAuth>,
    /// Whether its address may be in the edge's own network.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private_addresses: bool,
    /// Longest pause within a stream, in milliseconds.
    #[serde(default = "default_idle_timeout_ms")]
    pub idle_timeout_ms: u32,
    /// Whether agents may use tools that the provider runs itself (web search, code, its own MCP client), and what it keeps
    /// of earlier answers: nothing here sees what those do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hosted: bool,
}

fn default_idle_timeout_ms() -> u32 {
    60_000
}

/// What makes a tool a model.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LlmModel {
    /// Its name at the provider; absent: what stands behind the slash in the tool's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Models (`<provider>/<model>`) that are asked instead, in this order, where the one before fails without an answer.
    /// Token, intent and policies have to allow each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fail_over: Vec<ToolName>,
    /// Most tokens of one answer; a stream is cut at the token that reaches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens_max: Option<u64>,
}

impl LlmModel {
    /// The model's name at its provider.
    #[must_use]
    pub fn name_of<'a>(&'a self, tool: &'a ToolName) -> &'a str {
        let own = || tool.as_str().split_once('/').map(|(_, model)| model);
        self.model.as_deref().or_else(own).unwrap_or_default()
    }
}

/// The tool that a model of a provider is. What a tool's name can't have (the colon of `llama3:8b`) is a `_` in it.
#[must_use]
pub fn llm_tool_name(provider: &ServerId, model: &str) -> Option<ToolName> {
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() || "_-./".contains(c) => c,
        _ => '_',
    };
    let model: String = model.chars().map(plain).collect();
    format!("{provider}/{model}")
        .parse()
        .ok()
        .filter(|_| !model.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_have_names_that_tools_can_have() {
        let provider: ServerId = "local".parse().unwrap();
        let tool = llm_tool_name(&provider, "llama3:8b").unwrap();
        assert_eq!(tool.as_str(), "local/llama3_8b");
        assert_eq!(LlmModel::default().name_of(&tool), "llama3_8b");
        let named = LlmModel {
            model: Some("llama3:8b".to_owned()),
            ..LlmModel::default()
        };
        assert_eq!(named.name_of(&tool), "llama3:8b");
        assert_eq!(llm_tool_name(&provider, ""), None);
        assert_eq!(llm_tool_name(&provider, &"x".repeat(200)), None);
    }
}

//! LLM egress: a model of a provider is a tool, a prompt its arguments, a completion its answer.
//!
//! Reading order: `prompt` (what an agent asks, and what goes to the provider), `hosted` and `beta` (what a provider would do by itself),
//! `answer` (a completion that comes whole), `parts` (texts in several parts),
//! `relay` (one that comes as a stream of events, with `sse` to read them), `calls` (the tool calls that a model asks
//! for), `usage` (tokens).

pub mod answer;
mod beta;
mod calls;
mod hosted;
pub(crate) mod parts;
pub mod prompt;
pub mod relay;
pub mod sse;
pub mod usage;

pub use answer::complete;
pub use prompt::{Misfit, Prompt};
pub use relay::{Ending, Gate, Relay, Stop};
pub use usage::Usage;

use proctor_model::catalogue::LlmDialect;

/// What is asked of a provider.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Api {
    /// OpenAI's chat completions.
    ChatCompletions,
    /// OpenAI's responses.
    Responses,
    /// OpenAI's embeddings.
    Embeddings,
    /// Anthropic's messages.
    Messages,
}

impl Api {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::ChatCompletions,
        Self::Responses,
        Self::Embeddings,
        Self::Messages,
    ];

    /// As policies, intents and token caveats see it: the argument `api`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat_completions",
            Self::Responses => "responses",
            Self::Embeddings => "embeddings",
            Self::Messages => "messages",
        }
    }

    /// Which providers have it.
    #[must_use]
    pub fn dialect(self) -> LlmDialect {
        match self {
            Self::ChatCompletions | Self::Responses | Self::Embeddings => LlmDialect::Openai,
            Self::Messages => LlmDialect::Anthropic,
        }
    }

    /// Its path below a provider's base address.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat/completions",
            Self::Responses => "responses",
            Self::Embeddings => "embeddings",
            Self::Messages => "v1/messages",
        }
    }

    /// What a path below `/v1/llm/{provider}/` asks for, with or without a `v1/` of its own.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        let bare = |path: &str| path.strip_prefix("v1/").unwrap_or(path).to_owned();
        let asked = bare(path);
        Self::ALL.into_iter().find(|api| bare(api.path()) == asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_what_they_ask_for() {
        for api in Api::ALL {
            assert_eq!(Api::from_path(api.path()), Some(api));
        }
        assert_eq!(
            Api::from_path("v1/chat/completions"),
            Some(Api::ChatCompletions)
        );
        assert_eq!(Api::from_path("messages"), Some(Api::Messages));
        for none in ["", "v1", "v1/v1/messages", "files", "messages/", "chat"] {
            assert_eq!(Api::from_path(none), None, "{none}");
        }
    }
}

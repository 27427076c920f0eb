//! The operator's commands. They speak the public REST API and the edge's agent-facing API, nothing else.

pub(crate) mod api;
pub(crate) mod approval;
pub(crate) mod audit;
pub(crate) mod budget;
pub(crate) mod call;
mod collection;
pub(crate) mod content;
mod document;
pub(crate) mod intent;
pub(crate) mod issuer;
pub(crate) mod key;
pub(crate) mod kill;
pub(crate) mod llm;
pub(crate) mod memory;
pub(crate) mod policy;
pub(crate) mod secret;
pub(crate) mod server;
pub(crate) mod settings;
pub(crate) mod token;

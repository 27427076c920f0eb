//! A call, parsed and with its token verified, before it is decided.

use crate::catalogue::ToolQuery;
use crate::token::VerifiedToken;
use proctor_model::DecisionId;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What an entry of the catalogue is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Purpose {
    /// To be used: the tool called, the resource read or watched, the prompt filled in.
    #[default]
    Use,
    /// The same, once more: the call was interrupted by a question of its server, and is counted already. Only who knows
    /// that by itself may say so.
    Continue,
    /// To complete an argument that is still being typed: the arguments are not those of a call.
    Complete,
}

/// What an agent asks for. Nobody else's word is in it: the intent comes with the [`World`](crate::World).
#[derive(Clone, Debug)]
pub struct Call {
    /// Names this decision in the answer and in audit.
    pub decision_id: DecisionId,
    /// The agent's verified token.
    pub token: Arc<VerifiedToken>,
    /// The tool, as the agent names it.
    pub tool: ToolQuery,
    /// What for.
    pub purpose: Purpose,
    /// The arguments, from [`json::parse`](crate::json::parse).
    pub arguments: Map<String, Value>,
}

//! A call, parsed and with its token verified, before it is decided.

use crate::catalogue::ToolQuery;
use crate::token::VerifiedToken;
use proctor_model::DecisionId;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What an agent asks for. Nobody else's word is in it: the intent comes with the [`World`](crate::World).
#[derive(Clone, Debug)]
pub struct Call {
    /// Names this decision in the answer and in audit.
    pub decision_id: DecisionId,
    /// The agent's verified token.
    pub token: Arc<VerifiedToken>,
    /// The tool, as the agent names it.
    pub tool: ToolQuery,
    /// The arguments, from [`json::parse`](crate::json::parse).
    pub arguments: Map<String, Value>,
}

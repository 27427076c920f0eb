//! What an edge sees of a tool server: signed by the edge, for operators.
//!
//! An edge compares what a server shows with what was approved, and holds back what differs. Here it tells control what it
//! saw, so that a person can look at the difference and approve it. None of it is configuration: only what an operator
//! approves becomes a part of the catalogue.

use crate::catalogue::ToolDefinition;
use crate::ids::{EdgeId, ServerId, TenantId, ToolName};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Most definitions that one sighting names; the others are told as [`Sighting::more`].
pub const SEEN_MAX: usize = 256;
/// Most bytes of definitions (JSON) that one sighting holds; what is beyond is named by its digest only.
pub const SEEN_BYTES_MAX: usize = 512 * 1024;

/// How a tool server does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It shows what it has, and calls go to it.
    Up,
    /// It has failed again and again: calls are refused for a while.
    CircuitOpen,
    /// It does not show what it has, so nothing of it is called.
    Unseen,
}

/// One thing that a server shows otherwise than it was approved.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Its name.
    pub name: ToolName,
    /// [`ToolDefinition::digest`] of what is shown; none: it is shown no more, or two of this name are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What is shown, if there is room for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<ToolDefinition>,
}

/// What one edge saw of one server.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sighting {
    /// Whose server.
    pub tenant: TenantId,
    /// Who saw it.
    pub edge: EdgeId,
    /// The server.
    pub server: ServerId,
    /// When.
    pub at: Timestamp,
    /// How it does.
    pub health: Health,
    /// What differs from the catalogue, by name.
    pub seen: Vec<Seen>,
    /// How many more differ.
    #[serde(default)]
    pub more: u32,
}

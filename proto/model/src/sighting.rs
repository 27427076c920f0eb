//! What an edge sees of a tool server: signed by the edge, for operators.
//!
//! An edge compares what a server shows with what was approved, and holds back what differs. Here it tells control what it
//! saw, so that a person can look at the difference and approve it. None of it is configuration: only what an operator
//! approves becomes a part of the catalogue.

use crate::catalogue::{DefinitionError, Listed, ToolDefinition};
use crate::ids::{EdgeId, ServerId, TenantId, ToolName};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Most definitions that one sighting names; the others are told as [`Sighting::more`].
pub const SEEN_MAX: usize = 256;
/// Most bytes of definitions (JSON) that one sighting holds; what is beyond is named by its digest only.
pub const SEEN_BYTES_MAX: usize = 512 * 1024;
/// Most things that are named of those that a server lists and that can't be taken into a catalogue.
pub const LEFT_OUT_MAX: usize = 64;
/// Longest name that one of these is told by, in characters; the rest of it is cut.
const LEFT_OUT_NAME_MAX: usize = 128;

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

/// Something that a server lists and of which there is no definition here, so that nobody can approve or call it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// The method that lists it.
    pub list: String,
    /// What its server calls it: any text, or none.
    pub name: String,
    /// Why it is left out, in words of ours.
    pub why: String,
}

impl LeftOut {
    /// An element of a list that is no definition.
    #[must_use]
    pub fn of(listed: Listed, element: &Value, error: &DefinitionError) -> Self {
        let name = element.get(listed.key()).and_then(Value::as_str);
        let name = name.unwrap_or_default().chars();
        Self {
            list: listed.method().to_owned(),
            name: name.take(LEFT_OUT_NAME_MAX).collect(),
            why: error.to_string(),
        }
    }
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
    /// What it lists beside, at most [`LEFT_OUT_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_left_out_is_told_by_its_name_and_for_its_reason() {
        let left_out = |listed, element: Value| {
            let error = ToolDefinition::from_list(listed, &element).unwrap_err();
            LeftOut::of(listed, &element, &error)
        };
        let prompt = left_out(Listed::Prompt, json!({ "name": "Write a review" }));
        assert_eq!(
            (prompt.list.as_str(), prompt.name.as_str()),
            ("prompts/list", "Write a review")
        );
        assert!(prompt.why.contains("tool name"), "{}", prompt.why);
        let long = left_out(Listed::Tool, json!({ "name": "\u{e9}".repeat(1_000) }));
        assert_eq!(long.name.chars().count(), LEFT_OUT_NAME_MAX);
        for nameless in [json!({}), json!(7), json!({ "uri": 5 })] {
            assert_eq!(left_out(Listed::Resource, nameless).name, "");
        }
    }
}

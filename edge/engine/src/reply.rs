//! What a client replies to a question of a tool server. It leaves the tenant as arguments do, so the same content rules
//! hold for it.

use crate::catalogue::Tool;
use crate::decide::at;
use crate::filter::Content;
use crate::world::World;
use proctor_model::Reason;
use proctor_model::content::{ContentFinding, Direction};
use serde_json::{Map, Value};

/// The reply as it may go to the server, or why it may not; either way what the content filter found in it.
pub fn reply(
    tool: &Tool,
    body: Map<String, Value>,
    world: &World<'_>,
) -> (Result<Map<String, Value>, Reason>, Vec<ContentFinding>) {
    let rules = Content {
        // A catalogue gives roles to arguments; a reply has none.
        roles: None,
        ..at(Direction::Outbound, tool, world)
    };
    let found = rules.treat_members(&body);
    let passed = match found.refusal() {
        None => Ok(found.altered.unwrap_or(body)),
        // Nor where a rule asks for a person: the server waits, and the question is over before anybody could say yes.
        Some(_) => Err(Reason::ContentBlocked),
    };
    (passed, found.findings)
}

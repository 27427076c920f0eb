//! What a client replies to a question of a tool server. It leaves the tenant as arguments do, so the same content rules
//! hold for it, and under an intent its values need an origin as those of arguments do.

use crate::catalogue::Tool;
use crate::decide::at;
use crate::filter::Content;
use crate::intent::CompiledIntent;
use crate::step::No;
use crate::world::World;
use proctor_model::Reason;
use proctor_model::content::{ContentFinding, Direction};
use serde_json::{Map, Value};

/// Whether the values of a reply may go to the tool's server, under the intent that the call was made under.
///
/// # Errors
/// [`Reason::OriginNotAccepted`]. Also where the intent asks for a person: the server waits, and the question is over before
/// anybody could say yes.
pub(crate) fn check_origins(
    tool: &Tool,
    body: &Map<String, Value>,
    world: &World<'_>,
) -> Result<(), No> {
    let mut intents = world.intent.into_iter().flat_map(CompiledIntent::lineage);
    intents.try_for_each(|intent| {
        intent
            .check_reply(tool, body, world.read)
            .map_err(|detail| No(Reason::OriginNotAccepted, detail))
    })
}

/// The reply as it may go to the server, or why it may not; either way what the content filter found in it.
pub fn reply(
    tool: &Tool,
    body: Map<String, Value>,
    world: &World<'_>,
) -> (Result<Map<String, Value>, Reason>, Vec<ContentFinding>) {
    let accepted = check_origins(tool, &body, world);
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
    let passed = match accepted {
        Ok(()) => passed,
        Err(No(reason, _)) => Err(reason),
    };
    (passed, found.findings)
}

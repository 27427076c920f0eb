//! What is said of a call, heard with another token than the one that it was made with.
//!
//! Who makes a call hears what its server says before it answers. In a session of the older revisions a stream that broke off
//! is taken up later, and a question is answered by a message of its own: by the same principal, but perhaps with a token
//! that is narrower, and in a world that is another. Both are asked anew. The call was made: whether it would be made again is
//! not the question, nor whether its intent is over by now.

use crate::catalogue::ToolQuery;
use crate::decide::{find, ready, standing};
use crate::decision::Permit;
use crate::intent::CompiledIntent;
use crate::step::No;
use crate::token::VerifiedToken;
use crate::world::World;
use proctor_model::{EntryKind, Reason, ToolRef};
use serde_json::Value;
use std::sync::Arc;

/// What is kept of a call to tell who may hear of it. Its arguments are not.
#[derive(Clone, Debug)]
pub struct Topic {
    tool: ToolRef,
    /// The tool; of a template, the one resource that was asked for.
    meant: ToolRef,
    /// By which the call was made.
    token: Arc<VerifiedToken>,
}

impl Permit {
    /// What it is about.
    #[must_use]
    pub fn topic(&self) -> Topic {
        let tool = self.tool();
        let uri = self.arguments().get("uri").and_then(Value::as_str);
        let uri = uri.filter(|_| tool.name.kind() == EntryKind::Resource);
        let named = uri.and_then(|uri| {
            let name = format!("{}{uri}", EntryKind::Resource.prefix());
            Some(ToolRef {
                server: tool.server.clone(),
                name: name.parse().ok()?,
            })
        });
        Topic {
            tool: tool.clone(),
            meant: named.unwrap_or_else(|| tool.clone()),
            token: self.kept_token(),
        }
    }
}

/// Whether who holds this token may hear what is said of a call, and answer what is asked about it, in the world as it is now.
///
/// # Errors
/// The reason for which they may not.
pub fn may_hear(topic: &Topic, token: &VerifiedToken, world: &World<'_>) -> Result<(), Reason> {
    judge(topic, token, world).map_err(|No(reason, _)| reason)
}

fn judge(topic: &Topic, token: &VerifiedToken, world: &World<'_>) -> Result<(), No> {
    ready(world)?;
    standing(token, world)?;
    let query = ToolQuery::On(topic.tool.server.clone(), topic.tool.name.to_string());
    let tool = find(token, &query, world)?;
    token.check_tool(&topic.meant, tool.verb())?;
    world.killed.check_tool(tool.reference())?;
    // Arguments are held against what they were held against when the call was made, and against nothing else any more.
    if !token.holds_arguments_as(&topic.token, &topic.meant) {
        return Err(Reason::ArgumentNotInToken.into());
    }
    let outside = |intent: &CompiledIntent| {
        token.intent() == Some(intent.id()) && !intent.has_tool(tool.reference())
    };
    match world.intent.is_some_and(outside) {
        true => Err(Reason::ToolNotInIntent.into()),
        false => Ok(()),
    }
}

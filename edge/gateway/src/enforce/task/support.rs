//! Which calls may become tasks.

use super::owner;
use crate::enforce::{Caller, Gateway};
use crate::tasks::Family;
use crate::upstream::Wiring;
use proctor_engine::{Tool, ToolQuery};
use proctor_model::EntryKind;

/// Whether a call may become a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Support {
    /// Nothing of ours is against it, and there is room.
    pub(crate) offered: bool,
    /// The tool's definition says that it can (2025-11-25).
    pub(crate) declared: bool,
    /// It says that it has to.
    pub(crate) needed: bool,
}

impl Gateway {
    /// Whether a call of this tool may become a task. None if it is not for this caller, which is the decision's to say.
    pub(crate) fn task_support(
        &self,
        caller: &Caller,
        query: &ToolQuery,
        family: Family,
    ) -> Option<Support> {
        let loaded = caller.tenant.loaded()?;
        let tool = loaded.tenant.catalogue().find(query).ok()?;
        if !caller.token.covers(tool.reference()) {
            return None;
        }
        // What a tool writes to memory is confirmed by the call's own answer.
        if tool.entry().memory.is_some() {
            return Some(Support::default());
        }
        let owner = owner(caller, family);
        let said = said_support(tool);
        let server = loaded.servers.get(&tool.reference().server);
        // One that has the extension says so of itself, and of no tool.
        let by_extension = said.is_none() && server.is_some_and(|server| server.makes_tasks());
        Some(Support {
            offered: caller.tenant.tasks.has_room(&owner, self.clock.now()),
            declared: by_extension || matches!(said, Some("optional" | "required")),
            needed: said == Some("required"),
        })
    }
}

/// What a tool's definition says of tasks.
fn said_support(tool: &Tool) -> Option<&str> {
    let execution = tool.entry().definition.other.get("execution");
    execution?.get("taskSupport")?.as_str()
}

/// Whether a tool is shown to clients of 2025-11-25 as one that may be run as a task, where its definition says nothing of that.
pub(crate) fn may_be_shown(tool: &Tool, servers: &Wiring) -> bool {
    let server = servers.get(&tool.reference().server);
    said_support(tool).is_none()
        && tool.reference().name.kind() == EntryKind::Tool
        && tool.entry().memory.is_none()
        && server.is_some_and(|server| server.makes_tasks())
}

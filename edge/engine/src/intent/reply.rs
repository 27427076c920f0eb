//! Whether an intent covers what a client replies to a question of a tool's server.

use super::CompiledIntent;
use crate::catalogue::Tool;
use crate::provenance::{Evidence, Times, Tracker};
use serde_json::{Map, Value};

impl CompiledIntent {
    /// Whether an action for the tool accepts the origins of a reply's values. What the intent narrows has to do so as well:
    /// see [`CompiledIntent::lineage`].
    ///
    /// # Errors
    /// Which value has no accepted origin, if there is one.
    pub(crate) fn check_reply(
        &self,
        tool: &Tool,
        reply: &Map<String, Value>,
        read: &Tracker,
    ) -> Result<(), Option<String>> {
        let mut why = None;
        let times = Times::default();
        for action in &self.actions {
            if action.declared.tool != *tool.reference() {
                continue;
            }
            let evidence = Evidence {
                goal: &self.goal,
                constants: &action.constants,
                session: read,
                times: &times,
            };
            match evidence.check_reply(&tool.plan, &action.origins, reply) {
                Ok(()) => return Ok(()),
                Err(broken) => why = Some(broken.text),
            }
        }
        Err(why)
    }
}

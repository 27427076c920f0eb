//! What goes with a client, sealed, so that another edge of its tenant can ask after a task: all that is kept of its call.

use super::Deferred;
use crate::decision::{ApprovalNote, Facts, Redact, ResultLimits, arg_names, args_digest};
use crate::token::VerifiedToken;
use proctor_model::audit::{Effect, EventIntent, EventTool};
use proctor_model::config::PolicyMode;
use proctor_model::{ApprovalId, DecisionId, Timestamp, ToolRef, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A call that became a task, for who holds the tenant's keys. It has the values of the call: nobody else may read it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    decision: DecisionId,
    tool: EventTool,
    arguments: Map<String, Value>,
    bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Redact::is_empty")]
    redact: Redact,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    intent: Option<EventIntent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    approval: Option<(ApprovalId, Timestamp)>,
    #[serde(default)]
    changed: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    origins: BTreeMap<String, Vec<String>>,
}

impl Deferred {
    /// What another edge has to have of it. None if its tool is not known by name, which no call is made without.
    #[must_use]
    pub fn carried(&self) -> Option<Carried> {
        let Self {
            facts,
            arguments,
            limits,
            redact,
            ..
        } = self;
        let approval = facts.approval.as_ref();
        Some(Carried {
            decision: facts.decision_id,
            tool: facts.tool.clone()?,
            arguments: arguments.clone(),
            bytes: limits.bytes,
            rows: limits.rows,
            tokens: limits.tokens,
            redact: redact.clone(),
            intent: facts.intent.clone(),
            approval: approval.map(|approval| (approval.id.clone(), approval.expires_at)),
            changed: facts.changed,
            origins: facts.origins.clone(),
        })
    }

    /// The call as it was kept, for the holder of this token and its user: to them it was sealed.
    #[must_use]
    pub fn restored(
        carried: Carried,
        token: &VerifiedToken,
        user: Option<UserId>,
        digest_key: &[u8; 32],
    ) -> Self {
        let Carried {
            decision,
            tool,
            arguments,
            bytes,
            rows,
            tokens,
            redact,
            intent,
            approval,
            changed,
            origins,
        } = carried;
        let facts = Facts {
            decision_id: decision,
            tenant: token.tenant().clone(),
            effect: Effect::Deny,
            agent: token.agent().clone(),
            user,
            session: token.session().cloned(),
            delegation: Vec::new(),
            token_id: None,
            intent,
            tool: Some(tool.clone()),
            arg_names: arg_names(&arguments),
            args_digest: args_digest(&arguments, digest_key),
            changed,
            origins,
            policies: Vec::new(),
            content: Vec::new(),
            mode: PolicyMode::Enforce,
            approval: approval.map(|(id, expires_at)| ApprovalNote { id, expires_at }),
            task: None,
            config_version: 0,
            steps: Vec::new(),
        };
        Self {
            facts,
            tool: ToolRef {
                server: tool.server,
                name: tool.name,
            },
            arguments,
            limits: ResultLimits {
                bytes,
                rows,
                tokens,
            },
            redact,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_to_be_taken_out_goes_along() {
        let carried = |redact: Value| {
            let mut carried = json!({
                "decision": uuid::Uuid::nil(), "tool": { "server": "crm", "name": "contact", "verb": "read" },
                "arguments": {}, "bytes": 1_000, "changed": false,
            });
            if !redact.is_null() {
                carried["redact"] = redact;
            }
            carried
        };
        for (redact, empty) in [
            (
                json!({ "pointers": ["/email"], "classes": ["iban"] }),
                false,
            ),
            (json!({ "classes": ["iban"] }), false),
            // As edges of before wrote it.
            (Value::Null, true),
        ] {
            let written = carried(redact);
            let read: Carried = serde_json::from_value(written.clone()).unwrap();
            assert_eq!(read.redact.is_empty(), empty);
            assert_eq!(serde_json::to_value(&read).unwrap(), written);
        }
    }
}

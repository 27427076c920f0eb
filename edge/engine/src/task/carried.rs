//! What goes with a client, sealed, so that another edge of its tenant can ask after a task: all that is kept of its call.

use super::Deferred;
use crate::decision::{ApprovalNote, Facts, ResultLimits, arg_names, args_digest};
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
        }
    }
}

//! What an edge and control tell each other about calls that wait for a person.
//!
//! An edge opens an approval for an escalated call, uses it when the identical call comes again, and gives it back if nothing
//! comes of that. These are questions that the edge signs; control's answer is signed with the platform key. None of them holds a value of the call: what an
//! approver has to see is sealed to control.

use crate::ids::{
    AgentId, ApprovalId, DecisionId, EdgeId, IntentId, RevocationId, SessionId, TenantId, ToolRef,
    UserId,
};
use crate::reason::Reason;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// How many people have to approve, and for how long they may think.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalSettings {
    /// Seconds until an approval expires, decided or not.
    pub expires_in_s: u32,
    /// Approvers that are needed: 1 or 2.
    pub approvers: u8,
}

impl Default for ApprovalSettings {
    fn default() -> Self {
        Self {
            expires_in_s: 900,
            approvers: 1,
        }
    }
}

/// Longest life of an approval, in seconds.
pub const APPROVAL_LIFE_S_MAX: u32 = 24 * 3600;

impl ApprovalSettings {
    /// Whether this is what applies without a word.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks what serde does not.
    ///
    /// # Errors
    /// A sentence that begins with the member that is out of range.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=APPROVAL_LIFE_S_MAX).contains(&self.expires_in_s) {
            return Err(format!(
                "approvals.expires_in_s: from 1 to {APPROVAL_LIFE_S_MAX}"
            ));
        }
        if !(1..=2).contains(&self.approvers) {
            return Err("approvals.approvers: 1 or 2".to_owned());
        }
        Ok(())
    }
}

/// Payload of `proctor.approval-request+jws`, signed by an edge: a call waits for a person.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRequest {
    /// The tenant.
    pub tenant: TenantId,
    /// The edge.
    pub edge: EdgeId,
    /// The decision that escalated.
    pub decision_id: DecisionId,
    /// When it was made.
    pub at: Timestamp,
    /// SHA-256 over all that the approval is for: see the engine's `approval`.
    pub binding: String,
    /// What is to be waved through: identifiers of the controls' reasons.
    pub covers: Vec<String>,
    /// The agent.
    pub agent: AgentId,
    /// Sub-agents, outermost first.
    pub delegation: Vec<String>,
    /// The user it acts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// Its session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The intent that it acts under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<IntentId>,
    /// Revocation ids of its token's prefixes.
    pub token: Vec<RevocationId>,
    /// In whose name its sessions are held: the bare token, whatever was appended to it; of a login its line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<RevocationId>,
    /// The token's nonce: that of one that was given for a login says who logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<[u8; 16]>,
    /// Who logged in, where the token stands for an access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<UserId>,
    /// The tool.
    pub tool: ToolRef,
    /// Keyed digest of the arguments.
    pub args_digest: String,
    /// After this the token or the intent is over, and the approval of no use.
    pub until: Timestamp,
    /// The question, for a person. No value of the call.
    pub question: String,
    /// The arguments as a person is to see them: JSON, sealed to control (HPKE), base64url.
    pub sealed_view: String,
}

/// Payload of `proctor.approval-use+jws`, signed by an edge: the approved call is here.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalUse {
    /// The tenant.
    pub tenant: TenantId,
    /// The edge.
    pub edge: EdgeId,
    /// The decision that it is for.
    pub decision_id: DecisionId,
    /// When it was made.
    pub at: Timestamp,
    /// The approval that the agent names.
    pub approval: ApprovalId,
    /// What the call at hand needs approved.
    pub binding: String,
    /// Which reasons stand in its way.
    pub covers: Vec<String>,
    /// The agent.
    pub agent: AgentId,
    /// The tool.
    pub tool: ToolRef,
    /// Revocation ids of its token's prefixes.
    pub token: Vec<RevocationId>,
}

/// Payload of `proctor.approval-release+jws`, signed by an edge: the decision that used the approval up came to nothing before
/// anything was sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRelease {
    /// The tenant.
    pub tenant: TenantId,
    /// The edge.
    pub edge: EdgeId,
    /// The decision that it was used for, by this edge.
    pub decision_id: DecisionId,
    /// When that was over.
    pub at: Timestamp,
    /// The approval.
    pub approval: ApprovalId,
    /// What it is for.
    pub binding: String,
}

/// What control says to each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalOutcome {
    /// It waits for a person, or for the call to come again.
    Waiting,
    /// It is used up, for this one decision.
    Granted,
    /// Neither.
    Refused(Reason),
}

/// Payload of `proctor.approval+jws`, signed by control: the answer to one request, use or release.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalAnswer {
    /// The tenant.
    pub tenant: TenantId,
    /// The edge that asked.
    pub edge: EdgeId,
    /// The decision that it asked for.
    pub decision_id: DecisionId,
    /// What it asked about.
    pub binding: String,
    /// What became of it.
    pub outcome: ApprovalOutcome,
    /// The approval, where there is one of this tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalId>,
    /// When it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What was approved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub covers: Vec<String>,
}

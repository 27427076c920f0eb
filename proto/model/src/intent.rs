//! What the user asked for, as the application declared it (contracts.md, section 4).

use crate::ids::{AgentId, IntentId, SessionId, TenantId, ToolRef, UserId};
use crate::limits::{INTENT_ACTIONS_MAX, INTENT_GOAL_BYTES_MAX, INTENT_LIFE_S_MAX};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use std::collections::BTreeMap;

/// What happens to a call that breaks an action's rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum OnViolation {
    /// Refuse.
    #[default]
    Deny,
    /// Ask a person.
    Escalate,
}

/// One thing that the user's request needs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// The tool.
    pub tool: ToolRef,
    /// JSON Schema 2020-12 over the arguments. Absent: any arguments that fit the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Value>,
    /// Accepted origins (`goal`, `trusted`, `memory:verified`, `memory:agent`, `tool:<server/tool>`, also with `#<pointer>` into its
    /// results, `file:<name>`, `any`) by JSON Pointer into the arguments; `*` in a pointer is any one step. Arguments
    /// that are not here need what their labels in the catalogue say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub origins: BTreeMap<String, Vec<String>>,
    /// Most calls. Absent: no ceiling of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_calls: Option<u32>,
    /// Most that an amount may come to over all calls, in what the amount is in, by JSON Pointer into the arguments; down to
    /// a millionth. The amount has to be there, and a number that is not negative.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub totals: BTreeMap<String, Number>,
    /// Tools that must have answered in this session before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<ToolRef>,
    /// What happens to a call with this tool that is outside.
    #[serde(default)]
    pub on_violation: OnViolation,
}

/// An intent as the application declares it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntentDeclaration {
    /// The agent that is to act.
    pub agent: AgentId,
    /// The user it acts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// The run of the agent that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The request in the user's words.
    pub goal: String,
    /// What it needs. A tool that is in no action is refused.
    pub actions: Vec<Action>,
    /// Life in seconds from the declaration.
    pub expires_in_s: u32,
    /// The intent that this one narrows, for a sub-agent: a call has to fit both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<IntentId>,
}

/// A declaration that can't be accepted; names the member.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IntentError {
    /// No action.
    #[error("actions: at least one action is needed")]
    NoActions,
    /// Too many actions.
    #[error("actions: at most {INTENT_ACTIONS_MAX} actions")]
    TooManyActions,
    /// Expiry out of range.
    #[error("expires_in_s: from 1 to {INTENT_LIFE_S_MAX} seconds")]
    Expiry,
    /// Goal empty or too long.
    #[error("goal: from 1 to {INTENT_GOAL_BYTES_MAX} bytes")]
    Goal,
    /// An origin that isn't one.
    #[error(
        "actions[{0}].origins: a JSON Pointer with a list of goal, trusted, any, memory:verified, memory:agent, tool:<server/tool>[#<pointer>] or file:<name>"
    )]
    Origin(usize),
    /// A tool to come first that no action has.
    #[error("actions[{0}].after: tools of other actions of this intent")]
    After(usize),
    /// A call count of zero.
    #[error("actions[{0}].max_calls: at least 1")]
    MaxCalls(usize),
    /// A total that is none.
    #[error(
        "actions[{0}].totals: a JSON Pointer with a number from 0 to {TOTAL_MAX}, down to a millionth"
    )]
    Total(usize),
}

impl IntentDeclaration {
    /// Checks everything that serde does not. (The schemas in `args` are compiled by the engine.)
    ///
    /// # Errors
    /// The first member that is out of range.
    pub fn check(&self) -> Result<(), IntentError> {
        if self.actions.is_empty() {
            return Err(IntentError::NoActions);
        }
        if self.actions.len() > INTENT_ACTIONS_MAX {
            return Err(IntentError::TooManyActions);
        }
        if !(1..=INTENT_LIFE_S_MAX).contains(&self.expires_in_s) {
            return Err(IntentError::Expiry);
        }
        if !(1..=INTENT_GOAL_BYTES_MAX).contains(&self.goal.len()) {
            return Err(IntentError::Goal);
        }
        for (index, action) in self.actions.iter().enumerate() {
            if action.max_calls == Some(0) {
                return Err(IntentError::MaxCalls(index));
            }
            let summed = |(pointer, most): (&String, &Number)| {
                pointer.starts_with('/') && millionths(most).is_some()
            };
            if !action.totals.iter().all(summed) {
                return Err(IntentError::Total(index));
            }
            let elsewhere = |first: &ToolRef| {
                *first != action.tool && self.actions.iter().any(|other| other.tool == *first)
            };
            if !action.after.iter().all(elsewhere) {
                return Err(IntentError::After(index));
            }
            let known = |origin: &String| {
                matches!(
                    origin.as_str(),
                    "goal" | "trusted" | "any" | "memory:verified" | "memory:agent"
                ) || origin.strip_prefix("tool:").is_some_and(names_tool)
                    || origin
                        .strip_prefix("file:")
                        .is_some_and(|name| !name.is_empty())
            };
            let sound = |(pointer, origins): (&String, &Vec<String>)| {
                pointer.starts_with('/') && !origins.is_empty() && origins.iter().all(known)
            };
            if !action.origins.iter().all(sound) {
                return Err(IntentError::Origin(index));
            }
        }
        Ok(())
    }
}

/// Largest amount that is summed, and largest sum: its millionths are units of an account.
pub const TOTAL_MAX: u64 = 9_000_000_000;

const _: () = assert!(TOTAL_MAX * 1_000_000 <= crate::budget::UNITS_MAX);

/// An amount in millionths, exactly; `None` if it is negative, larger than [`TOTAL_MAX`], or finer than that. It is read as
/// it is written in decimals, so that 0.1 is a tenth and nothing is lost in binary fractions.
#[must_use]
pub fn millionths(amount: &Number) -> Option<u64> {
    let text = amount.to_string();
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text.as_str(), 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    // What is left of the point, then what is right of it: `scale` more decimals than a millionth has, or fewer.
    let written: u128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = exponent
        .checked_sub(i32::try_from(fraction.len()).ok()?)?
        .checked_add(6)?;
    let factor = 10_u128.checked_pow(scale.unsigned_abs());
    let millionths = match (scale >= 0, factor) {
        _ if written == 0 => 0,
        (true, factor) => written.checked_mul(factor?)?,
        (false, Some(factor)) if written.is_multiple_of(factor) => written / factor,
        (false, _) => return None,
    };
    u64::try_from(millionths)
        .ok()
        .filter(|millionths| *millionths <= TOTAL_MAX * 1_000_000)
}

/// `server/tool`, or `server/tool#` and a JSON Pointer into its results, with `*` for any one step.
fn names_tool(text: &str) -> bool {
    let (tool, field) = text.split_once('#').unwrap_or((text, "/"));
    tool.parse::<ToolRef>().is_ok() && field.starts_with('/')
}

/// A declared intent: the payload of a `proctor.intent+jws`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// Format version, 1.
    pub v: u8,
    /// Its id.
    pub id: IntentId,
    /// The tenant.
    pub tenant: TenantId,
    /// When it was declared.
    pub declared_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Who declared it (principal).
    pub declared_by: String,
    /// The declaration.
    pub declaration: IntentDeclaration,
    /// The intent that it narrows, whole: who has this document needs no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Box<Intent>>,
}

impl Intent {
    /// How many intents it narrows, one within the other.
    #[must_use]
    pub fn depth(&self) -> usize {
        let mut depth = 0_usize;
        let mut at = &self.parent;
        while let Some(parent) = at {
            depth = depth.saturating_add(1);
            at = &parent.parent;
        }
        depth
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<u64> {
        millionths(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn amounts_are_read_in_decimals() {
        for (text, expected) in [
            ("0", 0),
            ("0.1", 100_000),
            ("0.000001", 1),
            ("1e3", 1_000_000_000),
            ("1.5e-3", 1_500),
            ("98.70", 98_700_000),
            ("0e400", 0),
            ("9000000000", TOTAL_MAX * 1_000_000),
        ] {
            assert_eq!(read(text), Some(expected), "{text}");
        }
        for text in [
            "-1",
            "-0.5",
            "1e-7",
            "0.0000015",
            "1e10",
            "9000000000.5",
            "9000000001",
            "1e300",
            "18446744073709551615",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_goal_has_room_for_a_conversation() {
        let checked = |bytes: usize| {
            let declaration: IntentDeclaration = serde_json::from_value(serde_json::json!({
                "agent": "copilot", "goal": "x".repeat(bytes), "actions": [{"tool": "mail/send"}], "expires_in_s": 60,
            }))
            .unwrap();
            declaration.check()
        };
        assert_eq!(checked(INTENT_GOAL_BYTES_MAX), Ok(()));
        for bytes in [0, INTENT_GOAL_BYTES_MAX + 1] {
            assert_eq!(checked(bytes), Err(IntentError::Goal));
        }
        assert_eq!(IntentError::Goal.to_string(), "goal: from 1 to 16384 bytes");
    }

    proptest! {
        #[test]
        fn every_number_of_cents_is_exact(cents in 0_u64..10_000_000_000) {
            let text = format!("{}.{:02}", cents / 100, cents % 100);
            prop_assert_eq!(read(&text), Some(cents * 10_000));
        }
    }
}

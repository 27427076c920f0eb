//! The declared intent: what the user asked for, held against each call.
//!
//! Value provenance in this version: an action's explicit `origins` are enforced, as far as they can be proved
//! without tracking results. `any` passes; `goal` passes if every value at that place stands in the
//! declaration's goal, word for word; every other origin can't be proved and is refused
//! ([`Reason::OriginNotAccepted`]). The catalogue's default for consequential arguments is **not** enforced yet.

use crate::schema::{Schema, SchemaError};
use crate::token::VerifiedToken;
use crate::world::{CountKey, SessionView};
use proctor_model::intent::{Action, Intent, IntentError, OnViolation};
use proctor_model::{IntentId, Reason, Timestamp, ToolRef, UserId};
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

/// A declaration that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum IntentProblem {
    /// A member is out of range.
    #[error(transparent)]
    Declaration(#[from] IntentError),
    /// Of a form that this version does not know.
    #[error("intent format {0} is not known")]
    Format(u8),
    /// A schema in `args` does not compile.
    #[error("actions[{index}].args is refused")]
    Args {
        /// Which action.
        index: usize,
        /// Why.
        #[source]
        problem: SchemaError,
    },
}

/// A declared intent with its schemas compiled: what an edge caches.
#[derive(Debug)]
pub struct CompiledIntent {
    intent: Intent,
    actions: Vec<CompiledAction>,
    goal: Vec<String>,
    pub(crate) policy_view: regorus::Value,
}

#[derive(Debug)]
struct CompiledAction {
    declared: Action,
    args: Option<Schema>,
}

/// The action that a call matched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Matched {
    /// Its index in the declaration.
    pub action: u32,
    /// Its `max_calls`, if it has one: the count to draw on, and the most.
    pub ceiling: Option<(CountKey, u32)>,
}

/// Why no action covers a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The reason of the action that came closest.
    pub reason: Reason,
    /// Whether that action asks for a person.
    pub escalate: bool,
    /// Where it failed, without values.
    pub detail: Option<String>,
}

impl CompiledIntent {
    /// Compiles an intent.
    ///
    /// # Errors
    /// If the declaration is out of range, or a schema is not taken.
    pub fn compile(intent: Intent) -> Result<Self, IntentProblem> {
        if intent.v != 1 {
            return Err(IntentProblem::Format(intent.v));
        }
        intent.declaration.check()?;
        let compile = |(index, action): (usize, &Action)| {
            let args = action.args.as_ref().map(Schema::compile).transpose();
            Ok(CompiledAction {
                declared: action.clone(),
                args: args.map_err(|problem| IntentProblem::Args { index, problem })?,
            })
        };
        let actions = intent.declaration.actions.iter().enumerate().map(compile);
        Ok(Self {
            actions: actions.collect::<Result<_, IntentProblem>>()?,
            goal: words(&intent.declaration.goal),
            policy_view: crate::policy::intent_view(&intent),
            intent,
        })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &IntentId {
        &self.intent.id
    }

    /// The intent as it was signed.
    #[must_use]
    pub fn intent(&self) -> &Intent {
        &self.intent
    }

    /// The user it was declared for.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        self.intent.declaration.user.as_ref()
    }

    /// Whether it was declared for this token's tenant, agent and session, and is not over.
    ///
    /// # Errors
    /// [`Reason::IntentUnknown`], [`Reason::IntentWrongContext`], [`Reason::IntentExpired`].
    pub fn check_context(&self, token: &VerifiedToken, now: Timestamp) -> Result<(), Reason> {
        let declared = &self.intent.declaration;
        if token.intent() != Some(&self.intent.id) || *token.tenant() != self.intent.tenant {
            return Err(Reason::IntentUnknown);
        }
        let other_session =
            declared.session.is_some() && declared.session.as_ref() != token.session();
        if declared.agent != *token.agent() || other_session {
            return Err(Reason::IntentWrongContext);
        }
        if now >= self.intent.expires_at {
            return Err(Reason::IntentExpired);
        }
        Ok(())
    }

    /// Whether any action has this tool.
    #[must_use]
    pub fn has_tool(&self, tool: &ToolRef) -> bool {
        self.actions
            .iter()
            .any(|action| action.declared.tool == *tool)
    }

    /// The first action that covers the call.
    ///
    /// # Errors
    /// If none does, why the one that came closest does not.
    pub fn match_call(
        &self,
        tool: &ToolRef,
        arguments: &Value,
        session: &dyn SessionView,
    ) -> Result<Matched, Violation> {
        let mut closest = Violation {
            reason: Reason::ToolNotInIntent,
            escalate: false,
            detail: None,
        };
        for (index, action) in (0_u32..).zip(&self.actions) {
            if action.declared.tool != *tool {
                continue;
            }
            let ceiling = action.declared.max_calls.map(|most| {
                let key = CountKey::Action {
                    intent: self.intent.id.clone(),
                    action: index,
                };
                (key, most)
            });
            match self.check(action, arguments, ceiling.as_ref(), session) {
                Ok(()) => {
                    return Ok(Matched {
                        action: index,
                        ceiling,
                    });
                }
                Err(violation) if rank(violation.reason) > rank(closest.reason) => {
                    closest = violation;
                }
                Err(_) => {}
            }
        }
        Err(closest)
    }

    fn check(
        &self,
        action: &CompiledAction,
        arguments: &Value,
        ceiling: Option<&(CountKey, u32)>,
        session: &dyn SessionView,
    ) -> Result<(), Violation> {
        let violation = |reason, detail| Violation {
            reason,
            escalate: action.declared.on_violation == OnViolation::Escalate,
            detail,
        };
        if let Some(misfit) = action.args.as_ref().and_then(|args| args.misfit(arguments)) {
            return Err(violation(Reason::ArgumentNotInIntent, Some(misfit)));
        }
        for (pointer, origins) in &action.declared.origins {
            let Some(value) = arguments.pointer(pointer) else {
                continue; // Nothing there that could have come from anywhere.
            };
            let proved = |origin: &String| match origin.as_str() {
                "any" => true,
                "goal" => self.stands_in_goal(value),
                _ => false,
            };
            if !origins.iter().any(proved) {
                return Err(violation(Reason::OriginNotAccepted, Some(pointer.clone())));
            }
        }
        match ceiling {
            Some((key, most)) if session.calls(key) >= u64::from(*most) => {
                Err(violation(Reason::IntentCallsExhausted, None))
            }
            _ => Ok(()),
        }
    }

    /// Whether each scalar within the value stands in the goal as a run of whole words.
    fn stands_in_goal(&self, value: &Value) -> bool {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => {
                let text = number.to_string();
                text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
            }
            Value::Array(elements) => return elements.iter().all(|v| self.stands_in_goal(v)),
            Value::Object(members) => return members.values().all(|v| self.stands_in_goal(v)),
            Value::Bool(_) | Value::Null => return false,
        };
        let words = words(&text);
        !words.is_empty() && self.goal.windows(words.len()).any(|run| run == words)
    }
}

/// How far a call came with an action before it failed.
fn rank(reason: Reason) -> u8 {
    match reason {
        Reason::ToolNotInIntent => 0,
        Reason::ArgumentNotInIntent => 1,
        Reason::OriginNotAccepted => 2,
        _ => 3,
    }
}

/// The words of a text: compatibility forms and case folded, split at white space, without the punctuation
/// around them (but with what is inside: `alice@acme.example`, `bill-december-2023.txt`).
fn words(text: &str) -> Vec<String> {
    let around = |c: char| {
        c.is_ascii_punctuation() && !matches!(c, '/' | '@' | '+' | '-') || "“”„‘’«»…€£".contains(c)
    };
    text.nfkc()
        .flat_map(char::to_lowercase)
        .collect::<String>()
        .split_whitespace()
        .map(|word| word.trim_matches(around))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

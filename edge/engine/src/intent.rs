//! The declared intent: what the user asked for, held against each call.
//!
//! An action constrains the arguments by a schema, by where their values come from (see [`crate::provenance`]: the
//! action's own `origins`, else the labels of the tool), and by the number of calls.

mod reply;

use crate::catalogue::Tool;
use crate::provenance::{Broken, Evidence, Origins, Passage, Tracker};
use crate::schema::{Schema, SchemaError};
use crate::token::VerifiedToken;
use crate::world::{CountKey, SessionView};
use proctor_model::intent::{Action, Intent, IntentError, OnViolation, millionths};
use proctor_model::limits::INTENT_DEPTH_MAX;
use proctor_model::{IntentId, Reason, Timestamp, ToolRef, UserId};
use serde_json::Value;

/// A declaration that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum IntentProblem {
    /// A member is out of range.
    #[error(transparent)]
    Declaration(#[from] IntentError),
    /// Of a form that this version does not know.
    #[error("intent format {0} is not known")]
    Format(u8),
    /// It narrows an intent of another tenant or agent, or too many of them.
    #[error("parent: an intent of the same tenant and agent, at most {INTENT_DEPTH_MAX} deep")]
    Parent,
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
    /// What it narrows.
    parent: Option<Box<CompiledIntent>>,
    actions: Vec<CompiledAction>,
    goal: Passage,
    pub(crate) policy_view: regorus::Value,
}

#[derive(Debug)]
struct CompiledAction {
    declared: Action,
    args: Option<Schema>,
    origins: Origins,
}

/// The action that a call matched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Matched {
    /// Its index in the declaration.
    pub action: u32,
    /// What it has to be counted under: its `max_calls` and its `totals`.
    pub counts: Vec<Count>,
}

/// A count that a call draws on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Count {
    /// Which.
    pub key: CountKey,
    /// What this call adds: 1, or an amount in millionths.
    pub units: u64,
    /// Its ceiling.
    pub most: u64,
    /// The reason beyond that.
    pub reason: Reason,
}

/// Why no action covers a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The reason of the action that came closest.
    pub reason: Reason,
    /// Whether that action asks for a person.
    pub escalate: bool,
    /// The counts of that action: a call that a person approves is still one.
    pub counts: Vec<Count>,
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
        let parent = compile_parent(&intent)?;
        let compile = |(index, action): (usize, &Action)| {
            let args = action.args.as_ref().map(Schema::compile).transpose();
            Ok(CompiledAction {
                origins: Origins::new(&action.origins),
                declared: action.clone(),
                args: args.map_err(|problem| IntentProblem::Args { index, problem })?,
            })
        };
        let mut fixed = Vec::new();
        for action in &intent.declaration.actions {
            action
                .args
                .iter()
                .for_each(|args| constants(args, &mut fixed));
        }
        let actions = intent.declaration.actions.iter().enumerate().map(compile);
        Ok(Self {
            actions: actions.collect::<Result<_, IntentProblem>>()?,
            goal: Passage::new(&goal_key(&intent), &intent.declaration.goal, &fixed),
            policy_view: crate::policy::intent_view(&intent),
            parent,
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
        if token.intent() != Some(&self.intent.id) || *token.tenant() != self.intent.tenant {
            return Err(Reason::IntentUnknown);
        }
        if !self.is_narrowed_to(token.intents()) {
            return Err(Reason::IntentWrongContext);
        }
        for intent in self.lineage() {
            let declared = &intent.intent.declaration;
            let other_session =
                declared.session.is_some() && declared.session.as_ref() != token.session();
            if declared.agent != *token.agent() || other_session {
                return Err(Reason::IntentWrongContext);
            }
            if now >= intent.intent.expires_at {
                return Err(Reason::IntentExpired);
            }
        }
        Ok(())
    }

    /// Whether a token that names these intents, one after the other, came down to this one by narrowing alone.
    fn is_narrowed_to(&self, named: &[IntentId]) -> bool {
        let mut ahead = self.lineage();
        named
            .iter()
            .rev()
            .collect::<Vec<_>>()
            .chunk_by(|one, other| one == other)
            .all(|same| ahead.any(|intent| same.first() == Some(&&intent.intent.id)))
    }

    /// This intent and all that it narrows, outwards.
    pub fn lineage(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |intent| intent.parent.as_deref())
    }

    /// The outermost intent that it narrows; itself if it narrows none.
    #[must_use]
    pub fn root(&self) -> &Self {
        self.lineage().last().unwrap_or(self)
    }

    pub(crate) fn passage(&self) -> &Passage {
        &self.goal
    }

    /// Whether any action has this tool, here and in all that it narrows.
    #[must_use]
    pub fn has_tool(&self, tool: &ToolRef) -> bool {
        self.lineage().all(|intent| {
            let mut actions = intent.actions.iter();
            actions.any(|action| action.declared.tool == *tool)
        })
    }

    /// The first action of this intent that covers the call. What it narrows has to cover the call as well: see
    /// [`CompiledIntent::lineage`].
    ///
    /// # Errors
    /// If none does, why the one that came closest does not.
    pub fn match_call(
        &self,
        tool: &Tool,
        arguments: &Value,
        session: &dyn SessionView,
        read: &Tracker,
    ) -> Result<Matched, Violation> {
        let mut closest = Violation {
            reason: Reason::ToolNotInIntent,
            escalate: false,
            counts: Vec::new(),
            detail: None,
        };
        for (index, action) in (0_u32..).zip(&self.actions) {
            if action.declared.tool != *tool.reference() {
                continue;
            }
            let counts = action.counts(&self.intent.id, index, arguments);
            let evidence = Evidence {
                goal: &self.goal,
                session: read,
            };
            match check(action, tool, arguments, evidence, &counts, session) {
                Ok(()) => {
                    return Ok(Matched {
                        action: index,
                        counts,
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
}

impl CompiledAction {
    /// What a call with these arguments draws on. An amount that can't be summed draws nothing: see
    /// [`CompiledAction::unsummable`].
    fn counts(&self, intent: &IntentId, action: u32, arguments: &Value) -> Vec<Count> {
        let calls = self.declared.max_calls.map(|most| Count {
            key: CountKey::Action {
                intent: intent.clone(),
                action,
            },
            units: 1,
            most: most.into(),
            reason: Reason::IntentCallsExhausted,
        });
        let totals = self.declared.totals.iter().filter_map(|(pointer, most)| {
            Some(Count {
                key: CountKey::Total {
                    intent: intent.clone(),
                    action,
                    amount: pointer.clone(),
                },
                units: amount(arguments, pointer)?,
                most: millionths(most).unwrap_or(0),
                reason: Reason::IntentTotalExceeded,
            })
        });
        calls.into_iter().chain(totals).collect()
    }

    /// The first amount of `totals` that is absent or no amount.
    fn unsummable(&self, arguments: &Value) -> Option<&str> {
        let mut pointers = self.declared.totals.keys().map(String::as_str);
        pointers.find(|pointer| amount(arguments, pointer).is_none())
    }
}

fn amount(arguments: &Value, pointer: &str) -> Option<u64> {
    match arguments.pointer(pointer)? {
        Value::Number(amount) => millionths(amount),
        _ => None,
    }
}

fn check(
    action: &CompiledAction,
    tool: &Tool,
    arguments: &Value,
    evidence: Evidence<'_>,
    counts: &[Count],
    session: &dyn SessionView,
) -> Result<(), Violation> {
    let violation = |reason, detail| Violation {
        reason,
        escalate: action.declared.on_violation == OnViolation::Escalate,
        counts: counts.to_vec(),
        detail,
    };
    let answered = &evidence.session.history.answered;
    if !action
        .declared
        .after
        .iter()
        .all(|tool| answered.contains(tool))
    {
        return Err(violation(Reason::OutOfOrder, None));
    }
    if let Some(misfit) = action.args.as_ref().and_then(|args| args.misfit(arguments)) {
        return Err(violation(Reason::ArgumentNotInIntent, Some(misfit)));
    }
    evidence
        .check(&tool.plan, &action.origins, arguments)
        .map_err(|Broken(detail)| violation(Reason::OriginNotAccepted, Some(detail)))?;
    if let Some(pointer) = action.unsummable(arguments) {
        let detail = format!("{}: amount", crate::provenance::shown_pointer(pointer));
        return Err(violation(Reason::ArgumentNotInIntent, Some(detail)));
    }
    let full = |count: &&Count| session.calls(&count.key).saturating_add(count.units) > count.most;
    match counts.iter().find(full) {
        Some(count) => Err(violation(count.reason, None)),
        None => Ok(()),
    }
}

fn compile_parent(intent: &Intent) -> Result<Option<Box<CompiledIntent>>, IntentProblem> {
    if intent.depth() > INTENT_DEPTH_MAX {
        return Err(IntentProblem::Parent);
    }
    let parent = intent.parent.as_deref();
    let declared = parent.map(|parent| &parent.id) == intent.declaration.parent.as_ref();
    let related = parent.is_none_or(|parent| {
        parent.tenant == intent.tenant && parent.declaration.agent == intent.declaration.agent
    });
    if !declared || !related {
        return Err(IntentProblem::Parent);
    }
    let compile = |parent: &Intent| CompiledIntent::compile(parent.clone()).map(Box::new);
    parent.map(compile).transpose()
}

/// How far a call came with an action before it failed.
fn rank(reason: Reason) -> u8 {
    match reason {
        Reason::ToolNotInIntent => 0,
        Reason::OutOfOrder => 1,
        Reason::ArgumentNotInIntent => 2,
        Reason::OriginNotAccepted => 3,
        _ => 4,
    }
}

/// Constants in the schemas of the actions: the intent's own words, as good as the goal's.
fn constants<'s>(schema: &'s Value, found: &mut Vec<&'s Value>) {
    match schema {
        Value::Object(members) => {
            found.extend(members.get("const"));
            found.extend(
                members
                    .get("enum")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten(),
            );
            members.values().for_each(|member| constants(member, found));
        }
        Value::Array(elements) => elements
            .iter()
            .for_each(|element| constants(element, found)),
        _ => {}
    }
}

/// A key for the goal's fingerprints that only who has the whole intent can know.
fn goal_key(intent: &Intent) -> [u8; 16] {
    use sha2::{Digest, Sha256};
    let digest = Sha256::new()
        .chain_update(intent.id.as_str())
        .chain_update([0])
        .chain_update(&intent.declaration.goal)
        .finalize();
    let mut key = [0; 16];
    key.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    key
}

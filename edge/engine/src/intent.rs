//! The declared intent: what the user asked for, held against each call.
//!
//! An action constrains the arguments by a schema, by where their values come from (see [`crate::provenance`]: the
//! action's own `origins`, else the labels of the tool), and by the number of calls.

mod reply;

use crate::catalogue::Tool;
use crate::provenance::{Broken, Constants, Evidence, Origins, Passage, Place, Times, Tracker};
use crate::schema::{Misfit, Schema, SchemaError};
use crate::token::VerifiedToken;
use crate::world::{CountKey, SessionView};
use proctor_model::intent::{Action, Intent, IntentError, OnViolation, millionths};
use proctor_model::limits::INTENT_DEPTH_MAX;
use proctor_model::{IntentId, Reason, Timestamp, ToolRef, UserId};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

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
    constants: Constants,
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

impl Count {
    /// Whether there is no room for it any more.
    pub(crate) fn is_beyond(&self, session: &dyn SessionView) -> bool {
        let counted = session.calls(&self.key).saturating_add(self.units);
        counted > self.most || session.is_short_of(&self.key, self.units)
    }
}

/// Why no action covers a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// What does not hold of the action that came closest, by reason. If it asks for a person, all of it: an approval is
    /// for what was in the question. Else the first.
    pub(crate) problems: Vec<Problem>,
    /// Whether that action asks for a person.
    pub escalate: bool,
    /// The counts of that action: a call that a person approves is still one.
    pub counts: Vec<Count>,
}

impl Violation {
    /// The reason of the action that came closest.
    #[must_use]
    pub fn reason(&self) -> Reason {
        let first = self.problems.first();
        first.map_or(Reason::ToolNotInIntent, |problem| problem.reason)
    }

    /// What an action covers with a person's leave no other action takes away: else a call could go on to a person because
    /// an action was narrowed that refuses it.
    fn closeness(&self) -> (bool, u8) {
        (self.escalate, rank(self.reason()))
    }
}

/// One reason for which an action does not cover a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Problem {
    pub(crate) reason: Reason,
    /// Where it failed, without values.
    pub(crate) detail: Option<String>,
    /// The arguments that it is about.
    pub(crate) places: Vec<Place>,
}

impl Problem {
    fn new(reason: Reason, detail: Option<String>) -> Self {
        Self {
            reason,
            detail,
            places: Vec::new(),
        }
    }
}

impl CompiledIntent {
    /// Whether an action of it, or of what it narrows, says how often or for how much in all.
    #[must_use]
    pub fn has_ceilings(&self) -> bool {
        let counts = |action: &CompiledAction| {
            action.declared.max_calls.is_some() || !action.declared.totals.is_empty()
        };
        self.actions.iter().any(counts) || self.parent.as_deref().is_some_and(Self::has_ceilings)
    }

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
        let key = goal_key(&intent);
        let compile = |(index, action): (usize, &Action)| {
            let args = action.args.as_ref().map(Schema::compile_whole).transpose();
            Ok(CompiledAction {
                constants: Constants::of(&key, action.args.as_ref()),
                origins: Origins::new(&action.origins),
                declared: action.clone(),
                args: args.map_err(|problem| IntentProblem::Args { index, problem })?,
            })
        };
        let actions = intent.declaration.actions.iter().enumerate().map(compile);
        Ok(Self {
            actions: actions.collect::<Result<_, IntentProblem>>()?,
            goal: Passage::new(&key, &intent.declaration.goal),
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

    /// Adds `goal` to the origins of each argument that an action for the tool has as a constant of that argument.
    pub(crate) fn mark_constants(
        &self,
        tool: &ToolRef,
        arguments: &Value,
        origins: &mut BTreeMap<String, Vec<String>>,
    ) {
        for action in &self.actions {
            if action.declared.tool == *tool {
                action.constants.mark(arguments, origins);
            }
        }
    }

    /// Whether any action has this tool, here and in all that it narrows.
    #[must_use]
    pub fn has_tool(&self, tool: &ToolRef) -> bool {
        self.lineage().all(|intent| {
            let mut actions = intent.actions.iter();
            actions.any(|action| action.declared.tool == *tool)
        })
    }

    /// Whether somebody else may have chosen what a call of a reader looks for, by the words of each action that takes the call.
    pub(crate) fn is_filter_dictated(
        &self,
        tool: &Tool,
        arguments: &Map<String, Value>,
        read: &Tracker,
    ) -> bool {
        let times = Times::default();
        let actions = self.actions.iter();
        let actions = actions.filter(|action| action.declared.tool == *tool.reference());
        let (dictated, free): (Vec<&CompiledAction>, Vec<&CompiledAction>) =
            actions.partition(|action| {
                let evidence = self.evidence(action, read, &times);
                evidence.is_filter_dictated(&tool.plan, &action.origins, arguments)
            });
        if dictated.is_empty() {
            return false;
        }
        // The constants and the origins of an action speak of its own calls alone.
        let arguments = Value::Object(arguments.clone());
        let takes = |action: &&CompiledAction| {
            action.takes(tool, &arguments, self.evidence(action, read, &times))
        };
        !free.iter().any(takes)
    }

    /// What is known when a call is held against an action.
    fn evidence<'a>(
        &'a self,
        action: &'a CompiledAction,
        session: &'a Tracker,
        times: &'a Times,
    ) -> Evidence<'a> {
        Evidence {
            goal: &self.goal,
            constants: &action.constants,
            session,
            times,
        }
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
            problems: Vec::new(),
            escalate: false,
            counts: Vec::new(),
        };
        let times = Times::default();
        for (index, action) in (0_u32..).zip(&self.actions) {
            if action.declared.tool != *tool.reference() {
                continue;
            }
            let counts = action.counts(&self.intent.id, index, arguments);
            let evidence = self.evidence(action, read, &times);
            match check(action, tool, arguments, evidence, &counts, session) {
                Ok(()) => {
                    return Ok(Matched {
                        action: index,
                        counts,
                    });
                }
                Err(violation) if violation.closeness() > closest.closeness() => {
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

    /// Whether the action covers a call with these arguments, whatever its counts say.
    fn takes(&self, tool: &Tool, arguments: &Value, evidence: Evidence<'_>) -> bool {
        let answered = &evidence.session.history.answered;
        let in_order = self
            .declared
            .after
            .iter()
            .all(|tool| answered.contains(tool));
        in_order
            && self.args.as_ref().is_none_or(|args| args.fits(arguments))
            && evidence
                .check(&tool.plan, &self.origins, arguments)
                .is_empty()
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
    let escalate = action.declared.on_violation == OnViolation::Escalate;
    let mut problems = problems(action, tool, arguments, evidence, counts, session);
    let problems: Vec<Problem> = match escalate {
        true => problems.collect(),
        false => problems.next().into_iter().collect(),
    };
    if problems.is_empty() {
        return Ok(());
    }
    Err(Violation {
        problems,
        escalate,
        counts: counts.to_vec(),
    })
}

/// What does not hold, one after the other: the next is looked for only if it is asked for.
fn problems<'a>(
    action: &'a CompiledAction,
    tool: &'a Tool,
    arguments: &'a Value,
    evidence: Evidence<'a>,
    counts: &'a [Count],
    session: &'a dyn SessionView,
) -> impl Iterator<Item = Problem> + 'a {
    let answered = &evidence.session.history.answered;
    let after = &action.declared.after;
    let order = move || {
        let early = !after.iter().all(|tool| answered.contains(tool));
        early.then(|| Problem::new(Reason::OutOfOrder, None))
    };
    let shape = move || {
        let misfits = action.args.as_ref()?.misfits(arguments);
        misfit(misfits.take(NAMED_MAX.saturating_add(1)))
    };
    let origins = move || unproved(evidence.check(&tool.plan, &action.origins, arguments));
    let sums = move || {
        let pointer = action.unsummable(arguments)?;
        let detail = format!("{}: amount", crate::provenance::shown_pointer(pointer));
        Some(Problem::new(Reason::ArgumentNotInIntent, Some(detail)))
    };
    let full = move |reason: Reason| {
        let full = |count: &&Count| count.reason == reason && count.is_beyond(session);
        let mut full = counts.iter().filter(full).peekable();
        full.peek()?;
        Some(Problem {
            places: full.filter_map(amount_of).collect(),
            ..Problem::new(reason, None)
        })
    };
    use std::iter::once_with;
    once_with(order)
        .chain(once_with(shape))
        .chain(once_with(origins))
        .chain(once_with(sums))
        .chain(once_with(move || full(Reason::IntentCallsExhausted)))
        .chain(once_with(move || full(Reason::IntentTotalExceeded)))
        .flatten()
}

/// The amount that a total is about.
fn amount_of(count: &Count) -> Option<Place> {
    match &count.key {
        CountKey::Total { amount, .. } => Some(Place {
            pointer: amount.clone(),
            leads: Vec::new(),
        }),
        _ => None,
    }
}

/// Most arguments that a question names.
const NAMED_MAX: usize = 16;

/// All arguments without an accepted origin, as one problem.
fn unproved(broken: Vec<Broken>) -> Option<Problem> {
    let detail = named(broken.iter().map(|broken| broken.text.as_str()))?;
    let places = broken.into_iter().filter_map(|broken| broken.place);
    Some(Problem {
        reason: Reason::OriginNotAccepted,
        detail: Some(detail),
        places: places.collect(),
    })
}

/// All arguments that the action's schema does not take, as one problem.
fn misfit(misfits: impl Iterator<Item = Misfit>) -> Option<Problem> {
    let misfits: Vec<Misfit> = misfits.collect();
    let detail = named(misfits.iter().map(|misfit| misfit.text.as_str()))?;
    let places = misfits.into_iter().map(|misfit| Place {
        pointer: misfit.pointer,
        leads: Vec::new(),
    });
    Some(Problem {
        reason: Reason::ArgumentNotInIntent,
        detail: Some(detail),
        places: places.collect(),
    })
}

/// Each text once, within bounds.
fn named<'t>(all: impl Iterator<Item = &'t str>) -> Option<String> {
    let mut texts: Vec<&str> = Vec::new();
    for text in all {
        if texts.len() >= NAMED_MAX {
            texts.push("and others");
            break;
        }
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    (!texts.is_empty()).then(|| texts.join("; "))
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

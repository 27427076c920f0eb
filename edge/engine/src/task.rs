//! Calls that became tasks: the tool server answers later, and is asked for it by requests of their own.
//!
//! The call was decided, recorded and counted. What is asked here is whether who asks after it may still be here and still
//! use its tool, in the world as it is now; not whether the call would be made again. What comes back is judged by
//! [`respond`](crate::respond()) as the answer of the call that it is.

mod carried;

pub use carried::Carried;

use crate::catalogue::{Tool, ToolQuery};
use crate::decide::{at, current_intent, find, ready, standing};
use crate::decision::{Decision, Facts, Permit, Redact, Refusal, ResultLimits};
use crate::filter::Content;
use crate::step::{No, step};
use crate::token::VerifiedToken;
use crate::world::World;
use proctor_model::audit::{Effect, EventTask};
use proctor_model::config::PolicyMode;
use proctor_model::content::Direction;
use proctor_model::{Control, DecisionId, Reason, ToolRef};
use serde_json::{Map, Value};
use std::sync::Arc;

/// What is kept of a permit whose call became a task: enough to ask after it, not to make it again.
#[derive(Debug)]
pub struct Deferred {
    facts: Facts,
    tool: ToolRef,
    arguments: Map<String, Value>,
    limits: ResultLimits,
    redact: Redact,
}

impl Deferred {
    /// The decision that the call was made by.
    #[must_use]
    pub fn decision_id(&self) -> DecisionId {
        self.facts.decision_id
    }

    /// The tool that was called.
    #[must_use]
    pub fn tool(&self) -> &ToolRef {
        &self.tool
    }
}

impl Permit {
    /// What to keep, now that the call is made and its answer comes later.
    #[must_use]
    pub fn deferred(&self) -> Deferred {
        Deferred {
            facts: self.facts().clone(),
            tool: self.tool().clone(),
            arguments: self.arguments().clone(),
            limits: self.limits(),
            redact: self.redact().clone(),
        }
    }
}

/// A request about a task.
#[derive(Debug)]
pub struct Following<'a> {
    /// Names this decision in the answer and in audit.
    pub decision_id: DecisionId,
    /// The verified token of who asks.
    pub token: Arc<VerifiedToken>,
    /// The call.
    pub deferred: &'a Deferred,
    /// `get`, `result`, `update`, `cancel`, for audit.
    pub request: &'static str,
    /// What the client answers to the task's questions.
    pub replies: Option<Map<String, Value>>,
}

/// Decides on a request about a task. Total: anything missing, late or broken is a refusal with a reason. Nothing is counted,
/// and the obligations of the call's own decision hold for what comes back.
pub fn follow(following: Following<'_>, world: &World<'_>) -> Decision {
    let Following {
        decision_id,
        token,
        deferred,
        request,
        mut replies,
    } = following;
    let mut facts = Facts {
        decision_id,
        effect: Effect::Deny,
        delegation: token.delegation().iter().map(ToString::to_string).collect(),
        token_id: token.id().cloned(),
        policies: Vec::new(),
        content: Vec::new(),
        mode: PolicyMode::Enforce,
        task: Some(EventTask {
            of: deferred.facts.decision_id,
            request: request.to_owned(),
        }),
        config_version: world.tenant.version(),
        steps: Vec::new(),
        ..deferred.facts.clone()
    };
    let outcome = (|| {
        let facts = &mut facts;
        step(facts, world, Control::Unavailable, |_| ready(world))?;
        step(facts, world, Control::Capability, |_| {
            standing(&token, world)
        })?;
        let tool = step(facts, world, Control::Capability, |_| {
            still_may(&token, deferred, world)
        })?;
        step(facts, world, Control::Intent, |_| {
            match current_intent(&token, world)? {
                Some(intent) if !intent.has_tool(&deferred.tool) => {
                    Err(Reason::ToolNotInIntent.into())
                }
                _ => Ok(()),
            }
        })?;
        // What is meant by a reply is what its values say, not what stands in their place.
        put_back(tool, replies.as_mut(), world);
        step(facts, world, Control::Provenance, |_| {
            each_origin(tool, replies.as_ref(), world)
        })?;
        step(facts, world, Control::Content, |facts| {
            answers(tool, replies.as_mut(), facts, world)
        })
    })();
    match outcome {
        Ok(()) => {
            facts.effect = Effect::Allow;
            let (tool, arguments) = (deferred.tool.clone(), deferred.arguments.clone());
            let permit = Permit::new(facts, tool, arguments, Vec::new(), deferred.limits, token);
            let permit = permit.redacting(deferred.redact.clone());
            Decision::Permit(Box::new(permit.replying(replies)))
        }
        Err(No(reason, detail)) => Decision::Refusal(Box::new(Refusal {
            detail,
            ..Refusal::new(facts, reason)
        })),
    }
}

/// Whether the token covers the call as it was made, and its tool is still what it was.
fn still_may<'w>(
    token: &VerifiedToken,
    deferred: &Deferred,
    world: &World<'w>,
) -> Result<&'w Tool, No> {
    let called = &deferred.tool;
    let query = ToolQuery::On(called.server.clone(), called.name.to_string());
    let tool = find(token, &query, world)?;
    token.check_tool(tool.reference(), tool.verb())?;
    world.killed.check_tool(tool.reference())?;
    let arguments = Value::Object(deferred.arguments.clone());
    token.check_arguments(tool.reference(), &arguments)?;
    Ok(tool)
}

/// The content rules for replies: the catalogue's roles are those of arguments.
fn outbound<'a>(tool: &'a Tool, world: &'a World<'_>) -> Content<'a> {
    Content {
        roles: None,
        ..at(Direction::Outbound, tool, world)
    }
}

fn put_back(tool: &Tool, replies: Option<&mut Map<String, Value>>, world: &World<'_>) {
    if let Some(replies) = replies
        && let Some(restored) = outbound(tool, world).put_back(replies)
    {
        *replies = restored;
    }
}

/// Under an intent, the values of each reply have to come from where those of arguments may.
fn each_origin(
    tool: &Tool,
    replies: Option<&Map<String, Value>>,
    world: &World<'_>,
) -> Result<(), No> {
    let replies = replies.into_iter().flat_map(Map::values);
    let mut bodies = replies.filter_map(Value::as_object);
    bodies.try_for_each(|body| crate::reply::check_origins(tool, body, world))
}

/// Carries out the content rules on what a client answers: it goes to the tool server as arguments do.
fn answers(
    tool: &Tool,
    replies: Option<&mut Map<String, Value>>,
    facts: &mut Facts,
    world: &World<'_>,
) -> Result<(), No> {
    let Some(replies) = replies else {
        return Ok(());
    };
    let found = outbound(tool, world).treat_members(replies);
    facts.content.clone_from(&found.findings);
    // Nobody can be asked to approve an answer: what would need that is not passed on.
    if found.refusal().is_some() {
        return Err(No(Reason::ContentBlocked, Some(found.classes())));
    }
    if let Some(altered) = found.altered {
        *replies = altered;
    }
    Ok(())
}

/// Checks what a server says of a task beside its state.
pub(crate) fn check(body: &Map<String, Value>) -> Result<(), Reason> {
    let known = |(name, value): (&String, &Value)| match name.as_str() {
        "statusMessage" => value.is_string(),
        "_meta" => value.is_object(),
        _ => false,
    };
    match body.iter().all(known) {
        true => Ok(()),
        false => Err(Reason::OutputInvalid),
    }
}

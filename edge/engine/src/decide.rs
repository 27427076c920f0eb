//! The pipeline, on one screen.

use crate::call::{Call, Purpose};
use crate::catalogue::{NotFound, Tool};
use crate::decision::{Charge, Decision, Facts, Permit, Refusal, ResultLimits};
use crate::policy::{Evaluator, Judgement, Subject};
use crate::step::{No, step};
use crate::token::VerifiedToken;
use crate::world::{CountKey, Freshness, SessionView, World};
use proctor_model::audit::{Effect, EventTool};
use proctor_model::config::{IntentRule, PolicyMode};
use proctor_model::{Control, Reason};
use serde_json::Value;

/// Decides one call. Total: anything missing, late or broken is a refusal with a reason.
pub fn decide(call: Call, world: &World<'_>, evaluator: &mut Evaluator) -> Decision {
    let counted = Counted;
    let world = &match call.purpose {
        Purpose::Continue => World {
            session: &counted,
            ..*world
        },
        Purpose::Use | Purpose::Complete => *world,
    };
    let mut facts = Facts::of(&call, world.tenant.version(), world.digest_key);
    let mut arguments = Value::Object(call.arguments);
    let token = &*call.token;
    let outcome = (|| {
        let facts = &mut facts;
        step(facts, world, Control::Unavailable, |_| ready(world))?;
        step(facts, world, Control::Capability, |_| {
            standing(token, world)
        })?;
        let tool = step(facts, world, Control::Capability, |facts| {
            let tool = find(token, &call.tool, world)?;
            facts.tool = Some(event_tool(tool));
            let meant = match call.purpose {
                Purpose::Use | Purpose::Continue => {
                    tool.meant(&arguments).ok_or(Reason::InvalidArguments)?
                }
                Purpose::Complete => tool.reference().clone(),
            };
            token.check_tool(&meant, tool.verb())?;
            token.check_arguments(&meant, &arguments)?;
            Ok(tool)
        })?;
        step(facts, world, Control::Protocol, |_| match call.purpose {
            Purpose::Use | Purpose::Continue => fits(tool, &arguments),
            Purpose::Complete => Ok(()),
        })?;
        let mut charges = step(facts, world, Control::Intent, |facts| {
            intent(token, tool, &arguments, world, facts)
        })?;
        let limits = step(facts, world, Control::Policy, |facts| {
            let subject = Subject {
                token,
                tool,
                arguments: &arguments,
                origins: &facts.origins,
            };
            let judgement = evaluator.judge(&subject, world);
            policy(judgement, tool, facts)
        })?;
        step(facts, world, Control::Budget, |_| {
            ceilings(token, world, &mut charges)
        })?;
        if call.purpose == Purpose::Continue {
            charges.clear();
        }
        Ok((tool, charges, limits))
    })();
    match (outcome, arguments.as_object_mut().map(std::mem::take)) {
        (Ok((tool, charges, limits)), Some(arguments)) => {
            facts.effect = Effect::Allow;
            let tool = tool.reference().clone();
            Decision::Permit(Box::new(Permit::new(
                facts, tool, arguments, charges, limits,
            )))
        }
        (Ok(_), None) => Decision::Refusal(Box::new(Refusal::new(facts, Reason::Internal))),
        (Err(No(reason, detail)), _) => {
            if reason == Reason::ApprovalRequired {
                facts.effect = Effect::Escalate;
            }
            Decision::Refusal(Box::new(Refusal {
                facts,
                reason,
                detail,
            }))
        }
    }
}

/// Whether this token may be here at all, whatever it asks: for discovery and for the start of a session.
///
/// # Errors
/// The reason for which it is refused.
pub fn admit(token: &VerifiedToken, world: &World<'_>) -> Result<(), Reason> {
    ready(world)
        .and_then(|()| standing(token, world))
        .map_err(|No(reason, _)| reason)
}

/// The tools that the token and the intent allow: what `tools/list` shows.
///
/// # Errors
/// As [`admit`], and if an intent is needed and missing, unknown or over.
pub fn visible_tools<'w>(
    token: &VerifiedToken,
    world: &World<'w>,
) -> Result<Vec<&'w Tool>, Reason> {
    admit(token, world)?;
    let intent = current_intent(token, world)?;
    let visible = |tool: &&Tool| {
        token.check_tool(tool.reference(), tool.verb()).is_ok()
            && intent.is_none_or(|intent| intent.has_tool(tool.reference()))
            && !world.live.differs(tool.reference())
    };
    Ok(world.tenant.catalogue().tools().filter(visible).collect())
}

fn ready(world: &World<'_>) -> Result<(), No> {
    match world.freshness {
        Freshness::Fresh => Ok(()),
        Freshness::Loading => Err(Reason::NotReady.into()),
        Freshness::Stale => Err(Reason::StaleConfig.into()),
    }
}

fn standing(token: &VerifiedToken, world: &World<'_>) -> Result<(), No> {
    if token.tenant() != world.tenant.id() {
        return Err(Reason::TenantNotServed.into());
    }
    if !world.tenant.has_key(token.kid()) {
        return Err(Reason::TokenUnknownKey.into());
    }
    token.check_standing(world.now, world.region, world.edge, world.revocations)?;
    if world.tenant.has_active(token.agent()) {
        Ok(())
    } else {
        Err(Reason::AgentDisabled.into())
    }
}

/// The tool that is meant. That a definition changed is told only to who may use the tool.
fn find<'w>(
    token: &VerifiedToken,
    query: &crate::ToolQuery,
    world: &World<'w>,
) -> Result<&'w Tool, No> {
    use crate::catalogue::Held;
    match world.tenant.catalogue().find(query) {
        Ok(tool) if world.live.differs(tool.reference()) => {
            token.check_tool(tool.reference(), tool.verb())?;
            Err(Reason::DefinitionChanged.into())
        }
        Ok(tool) => Ok(tool),
        Err(NotFound::Held(reference, Held::Changed)) if token.covers(&reference) => {
            Err(Reason::DefinitionChanged.into())
        }
        Err(NotFound::Held(..)) => Err(Reason::UnknownTool.into()),
        Err(NotFound::Reason(reason)) => Err(reason.into()),
    }
}

fn fits(tool: &Tool, arguments: &Value) -> Result<(), No> {
    match tool.input().misfit(arguments) {
        None => Ok(()),
        misfit => Err(No(Reason::InvalidArguments, misfit)),
    }
}

fn current_intent<'w>(
    token: &VerifiedToken,
    world: &World<'w>,
) -> Result<Option<&'w crate::CompiledIntent>, Reason> {
    match (token.intent(), world.intent) {
        (None, _) => match world.tenant.settings().intent {
            IntentRule::Required => Err(Reason::IntentMissing),
            IntentRule::WhenDeclared => Ok(None),
        },
        (Some(_), None) => Err(Reason::IntentUnknown),
        (Some(_), Some(intent)) => {
            intent.check_context(token, world.now)?;
            Ok(Some(intent))
        }
    }
}

fn intent(
    token: &VerifiedToken,
    tool: &Tool,
    arguments: &Value,
    world: &World<'_>,
    facts: &mut Facts,
) -> Result<Vec<Charge>, No> {
    let intent = current_intent(token, world)?;
    let goal = intent.map(crate::CompiledIntent::passage);
    facts.origins = crate::provenance::origins(arguments, goal, world.read);
    let Some(intent) = intent else {
        return Ok(Vec::new());
    };
    facts.user = intent.user().cloned();
    match intent.match_call(tool, arguments, world.session, world.read) {
        Ok(matched) => {
            if let Some(noted) = &mut facts.intent {
                noted.action = Some(matched.action);
            }
            let charge = matched.ceiling.map(|(key, most)| Charge {
                key,
                until: Some(intent.intent().expires_at),
                most: most.into(),
                reason: Reason::IntentCallsExhausted,
            });
            Ok(charge.into_iter().collect())
        }
        Err(violation) if violation.escalate => {
            let why = violation.reason.code();
            let why = match violation.detail {
                Some(detail) => format!("{why}: {detail}"),
                None => why.to_owned(),
            };
            Err(No(Reason::ApprovalRequired, Some(why)))
        }
        Err(violation) => Err(No(violation.reason, violation.detail)),
    }
}

/// All enforcing policies have to allow. Returns what they say about the answer.
fn policy(judgement: Judgement, tool: &Tool, facts: &mut Facts) -> Result<ResultLimits, No> {
    facts.policies = judgement.events;
    if judgement.monitored {
        facts.mode = PolicyMode::Monitor;
    }
    match judgement.refusal {
        Some((reason, rules)) => Err(No(reason, rules)),
        None => Ok(ResultLimits {
            bytes: judgement
                .bytes_max
                .unwrap_or(u64::MAX)
                .min(tool.result_bytes_max().into()),
            rows: judgement.rows_max,
        }),
    }
}

/// The token's own ceilings; each that has room left becomes one more charge.
fn ceilings(token: &VerifiedToken, world: &World<'_>, charges: &mut Vec<Charge>) -> Result<(), No> {
    for (key, most, until) in token.call_ceilings() {
        if world.session.calls(&key) >= u64::from(most) {
            return Err(Reason::CallsExhausted.into());
        }
        charges.push(Charge {
            key,
            until,
            most: most.into(),
            reason: Reason::CallsExhausted,
        });
    }
    Ok(())
}

fn event_tool(tool: &Tool) -> EventTool {
    EventTool {
        server: tool.reference().server.clone(),
        name: tool.reference().name.clone(),
        verb: Some(tool.verb()),
    }
}

/// What a call that is counted already is held against.
struct Counted;

impl SessionView for Counted {
    fn calls(&self, _: &CountKey) -> u64 {
        0
    }
}

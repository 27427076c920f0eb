//! The pipeline, on one screen.

use crate::approval::{self, Cause, Grant, Granted, Leave};
use crate::call::{Call, Purpose};
use crate::catalogue::{NotFound, Tool};
use crate::decision::{Charge, Decision, Facts, Permit, Redact, Refusal, ResultLimits};
use crate::filter::{Content, Outcome, Place};
use crate::history::Reads;
use crate::intent::Count;
use crate::memory::Writing;
use crate::policy::{Evaluator, Judgement, Subject};
use crate::provenance::shown_pointer;
use crate::response::{each_at, names_tenant, redact_at};
use crate::step::{No, Verdict, step};
use crate::token::VerifiedToken;
use crate::world::{CountKey, Freshness, SessionView, World};
use proctor_model::audit::{Effect, EventTool};
use proctor_model::catalogue::Role;
use proctor_model::config::{IntentRule, PolicyMode};
use proctor_model::content::Direction;
use proctor_model::{Control, Reason};
use serde_json::Value;
use std::sync::Arc;

/// Decides one call. Total: anything missing, late or broken is a refusal with a reason.
pub fn decide(call: Call, world: &World<'_>, evaluator: &mut Evaluator) -> Decision {
    decide_with(call, None, None, world, evaluator)
}

/// Decides one call that a person has approved. Everything is judged anew, by the world as it is now; the grant is good
/// for what it covers and for nothing else.
pub fn decide_granted(
    call: Call,
    grant: Grant,
    world: &World<'_>,
    evaluator: &mut Evaluator,
) -> Decision {
    decide_with(call, Some(Leave::Grant(grant)), None, world, evaluator)
}

/// What is known of a call that was permitted, and whose server asked something since.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Continued {
    /// What a person's approval was used for, if it took one.
    pub granted: Option<Granted>,
    /// What its server said so far has added to what the session has read; none: neither that nor the call is in the
    /// history of this session.
    pub said: Option<Reads>,
}

/// Decides whether a call whose server asked something since it was permitted may go on. Everything is judged anew, but the
/// call does not stand in its own way: it is counted already, policies see the session's history without it and without what
/// its server said, and the approval that was used for it is good for what it covered then.
pub fn decide_continued(
    mut call: Call,
    continued: Continued,
    world: &World<'_>,
    evaluator: &mut Evaluator,
) -> Decision {
    call.purpose = Purpose::Continue;
    let leave = continued.granted.map(Leave::Granted);
    decide_with(call, leave, continued.said, world, evaluator)
}

fn decide_with(
    call: Call,
    leave: Option<Leave>,
    said: Option<Reads>,
    world: &World<'_>,
    evaluator: &mut Evaluator,
) -> Decision {
    let world = &match call.purpose {
        Purpose::Continue => World {
            session: &Counted,
            ..*world
        },
        Purpose::Use | Purpose::Complete => *world,
    };
    let mut facts = Facts::of(&call, world.tenant.version(), world.digest_key);
    let mut arguments = Value::Object(call.arguments);
    let token = &*call.token;
    let mut causes = Vec::new();
    let mut escalation = None;
    let outcome = (|| {
        let facts = &mut facts;
        step(facts, world, Control::Unavailable, |_| ready(world))?;
        step(facts, world, Control::Capability, |_| {
            standing(token, world)
        })?;
        let tool = step(facts, world, Control::Capability, |facts| {
            let tool = find(token, &call.tool, world)?;
            facts.tool = Some(event_tool(tool));
            // First of all: what is meant is what the values say, not what stands in their place.
            if put_back(&mut arguments, tool, world) {
                // An approval is for these values, and what is recorded is what they are.
                facts.note_arguments(&arguments, world.digest_key);
            }
            covered(token, tool, call.purpose, &arguments)?;
            world.killed.check_tool(tool.reference())?;
            Ok(tool)
        })?;
        step(facts, world, Control::Protocol, |_| match call.purpose {
            Purpose::Use | Purpose::Continue => fits(tool, &arguments),
            Purpose::Complete => Ok(()),
        })?;
        step(facts, world, Control::Tenant, |_| {
            within_tenant(tool, &mut arguments, world)
        })?;
        let mut charges = step(facts, world, Control::Intent, |facts| {
            intent(token, tool, &arguments, world, facts, &mut causes)
        })?;
        mark_escalated(facts, !causes.is_empty());
        let before = causes.len();
        let mut writing = memory(token, tool, &arguments, world, facts)?;
        let mut found = content(&arguments, tool, world);
        facts.content.clone_from(&found.findings);
        let obligations = step(facts, world, Control::Policy, |facts| {
            let subject = Subject {
                token,
                tool,
                arguments: arguments.as_object().ok_or(Reason::Internal)?,
                origins: &facts.origins,
                memory: writing.as_ref(),
                content: &facts.content,
                result: None,
            };
            let judgement = match said {
                Some(said) => {
                    let history = world.read.history.view_without(tool, said);
                    evaluator.judge_after(history, &subject, world)
                }
                None => evaluator.judge(&subject, world),
            };
            policy(judgement, tool, world, facts, &mut causes)
        })?;
        mark_escalated(facts, causes.len() > before);
        if obligations.change(tool, &mut arguments, world) {
            // What is forwarded is another call now: all that holds of arguments has to hold of these.
            charges = step(facts, world, Control::Policy, |facts| {
                facts.note_changed(&arguments, world.digest_key);
                let mut again = Vec::new();
                covered(token, tool, call.purpose, &arguments)?;
                let charges = recheck(token, tool, &mut arguments, world, facts, &mut again)?;
                causes.splice(..before, again);
                Ok(charges)
            })?;
            found = content(&arguments, tool, world);
            facts.content.clone_from(&found.findings);
        }
        let (limits, redact) = (obligations.limits, obligations.lasting);
        let before = causes.len();
        step(facts, world, Control::Content, |facts| {
            if clear(found, tool, &mut arguments, &mut causes)? {
                covered(token, tool, call.purpose, &arguments)?;
                facts.note_changed(&arguments, world.digest_key);
            }
            Ok(())
        })?;
        mark_escalated(facts, causes.len() > before);
        if facts.changed {
            // What is signed is what is written.
            writing = memory(token, tool, &arguments, world, facts)?;
        }
        step(facts, world, Control::Budget, |_| {
            ceilings(token, tool, world, &mut charges)
        })?;
        let granted = approval::settle(&causes, leave, token, tool, &arguments, facts, world)
            .map_err(|(reason, asked)| {
                escalation = asked;
                No(reason, why(&causes, reason))
            })?;
        if call.purpose == Purpose::Continue {
            charges.clear();
        }
        Ok((tool, charges, (limits, redact), writing, granted))
    })();
    match (outcome, arguments.as_object_mut().map(std::mem::take)) {
        (Ok((tool, charges, (limits, redact), writing, granted)), Some(arguments)) => {
            facts.effect = Effect::Allow;
            let tool = tool.reference().clone();
            let token = Arc::clone(&call.token);
            let permit = Permit::new(facts, tool, arguments, charges, limits, token);
            let permit = permit.redacting(redact).writing(writing);
            Decision::Permit(Box::new(permit.granted_by(granted)))
        }
        (Ok(_), None) => Decision::Refusal(Box::new(Refusal::new(facts, Reason::Internal))),
        (Err(No(reason, detail)), _) => {
            if escalation.is_some() {
                facts.effect = Effect::Escalate;
            }
            Decision::Refusal(Box::new(Refusal {
                facts,
                reason,
                detail,
                escalation,
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
    // A model is asked in its own words, not by a call of a tool.
    visible(token, world, |tool| tool.model().is_none())
}

/// The models that the token and the intent allow.
///
/// # Errors
/// As [`visible_tools`].
pub fn visible_models<'w>(
    token: &VerifiedToken,
    world: &World<'w>,
) -> Result<Vec<&'w Tool>, Reason> {
    visible(token, world, |tool| tool.model().is_some())
}

fn visible<'w>(
    token: &VerifiedToken,
    world: &World<'w>,
    is_meant: impl Fn(&Tool) -> bool,
) -> Result<Vec<&'w Tool>, Reason> {
    admit(token, world)?;
    let intent = current_intent(token, world)?;
    let visible = |tool: &&Tool| {
        is_meant(tool)
            && token.check_tool(tool.reference(), tool.verb()).is_ok()
            && intent.is_none_or(|intent| intent.has_tool(tool.reference()))
            && !world.live.differs(tool.reference())
            && world.killed.check_tool(tool.reference()).is_ok()
    };
    Ok(world.tenant.catalogue().tools().filter(visible).collect())
}

/// A control that asks for a person has not refused: what comes after it is still judged, and may.
fn mark_escalated(facts: &mut Facts, escalated: bool) {
    if let (true, Some(step)) = (escalated, facts.steps.last_mut()) {
        step.verdict = Verdict::Escalated;
    }
}

fn why(causes: &[Cause], reason: Reason) -> Option<String> {
    let mut texts: Vec<&str> = causes.iter().map(|cause| cause.text.as_str()).collect();
    let unseen = causes.first().is_some_and(|cause| cause.reason == reason);
    texts.extend(unseen.then_some("no person is asked: the arguments are too large to be shown"));
    Some(texts.join("; "))
}

pub(crate) fn ready(world: &World<'_>) -> Result<(), No> {
    match world.freshness {
        Freshness::Fresh => Ok(()),
        Freshness::Loading => Err(Reason::NotReady.into()),
        Freshness::Stale => Err(Reason::StaleConfig.into()),
    }
}

pub(crate) fn standing(token: &VerifiedToken, world: &World<'_>) -> Result<(), No> {
    if token.tenant() != world.tenant.id() {
        return Err(Reason::TenantNotServed.into());
    }
    world.killed.check_agent(token.agent())?;
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
pub(crate) fn find<'w>(
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

/// Whether the token covers what these arguments mean: of a template of resources, the one that they name.
fn covered(
    token: &VerifiedToken,
    tool: &Tool,
    purpose: Purpose,
    arguments: &Value,
) -> Result<(), No> {
    let meant = match purpose {
        Purpose::Use | Purpose::Continue => {
            tool.meant(arguments).ok_or(Reason::InvalidArguments)?
        }
        Purpose::Complete => tool.reference().clone(),
    };
    token.check_tool(&meant, tool.verb())?;
    token.check_arguments(&meant, arguments)?;
    Ok(())
}

fn fits(tool: &Tool, arguments: &Value) -> Result<(), No> {
    match tool.input().misfit(arguments) {
        None => Ok(()),
        misfit => Err(No(Reason::InvalidArguments, misfit)),
    }
}

pub(crate) fn current_intent<'w>(
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

/// The intent, and all that it narrows, have to cover the call; each counts it. Escalations become causes.
fn intent(
    token: &VerifiedToken,
    tool: &Tool,
    arguments: &Value,
    world: &World<'_>,
    facts: &mut Facts,
    causes: &mut Vec<Cause>,
) -> Result<Vec<Charge>, No> {
    let intent = current_intent(token, world)?;
    let goal = intent.map(crate::CompiledIntent::passage);
    facts.origins = crate::provenance::origins(arguments, goal, world.read);
    let Some(intent) = intent else {
        return Ok(Vec::new());
    };
    intent.mark_constants(tool.reference(), arguments, &mut facts.origins);
    facts.user = intent.user().cloned();
    let mut charges = Vec::new();
    for one in intent.lineage() {
        let until = Some(one.intent().expires_at);
        let charge = |count: Count| Charge {
            units: count.units,
            ..Charge::call(count.key, until, count.most, count.reason)
        };
        match one.match_call(tool, arguments, world.session, world.read) {
            Ok(matched) => {
                if let Some(noted) = facts.intent.as_mut().filter(|noted| noted.id == *one.id()) {
                    noted.action = Some(matched.action);
                }
                charges.extend(matched.counts.into_iter().map(charge));
            }
            Err(violation) if violation.escalate => {
                // A person may let it pass the ceiling that it is beyond, yet it counts for those that come after.
                let counts = violation.counts.clone().into_iter();
                let lifted = counts.map(|count| match count.is_beyond(world.session) {
                    true => Count {
                        most: u64::MAX,
                        ..count
                    },
                    false => count,
                });
                charges.extend(lifted.map(charge));
                let problems = violation.problems.into_iter();
                let cause = |problem| Cause::of_intent(one.id(), problem, world.digest_key);
                causes.extend(problems.map(cause));
            }
            Err(violation) => {
                let reason = violation.reason();
                let detail = violation.problems.into_iter().next();
                return Err(No(reason, detail.and_then(|problem| problem.detail)));
            }
        }
    }
    Ok(charges)
}

/// What the call writes to memory, if its tool does.
fn memory(
    token: &VerifiedToken,
    tool: &Tool,
    arguments: &Value,
    world: &World<'_>,
    facts: &mut Facts,
) -> Result<Option<Writing>, No> {
    if tool.entry().memory.is_none() {
        return Ok(None);
    }
    step(facts, world, Control::Provenance, |_| {
        let intent = world
            .intent
            .filter(|intent| token.intent() == Some(intent.id()));
        let goal = intent.map(crate::CompiledIntent::passage);
        crate::memory::write(tool, arguments, goal, world.read, world.digest_key).map_err(No::from)
    })
}

/// What was found of the arguments, found anew.
fn recheck(
    token: &VerifiedToken,
    tool: &Tool,
    arguments: &mut Value,
    world: &World<'_>,
    facts: &mut Facts,
    causes: &mut Vec<Cause>,
) -> Result<Vec<Charge>, No> {
    fits(tool, arguments)?;
    within_tenant(tool, arguments, world)?;
    intent(token, tool, arguments, world, facts, causes)
}

/// Arguments with the role `tenant` name this one.
fn within_tenant(tool: &Tool, arguments: &mut Value, world: &World<'_>) -> Result<(), No> {
    for pointer in tool.arguments_with(Role::Tenant) {
        let mut ours = true;
        each_at(arguments, pointer, &mut |argument| {
            ours &= names_tenant(tool, world.tenant.id(), argument);
        });
        if !ours {
            return Err(No(Reason::OutsideTenant, Some(shown_pointer(pointer))));
        }
    }
    Ok(())
}

/// All enforcing policies have to allow. Returns what they want done.
fn policy(
    judgement: Judgement,
    tool: &Tool,
    world: &World<'_>,
    facts: &mut Facts,
    causes: &mut Vec<Cause>,
) -> Result<Obligations, No> {
    facts.policies = judgement.events;
    if judgement.monitored {
        facts.mode = PolicyMode::Monitor;
    }
    if let Some((reason, rules)) = judgement.refusal {
        if reason != Reason::ApprovalRequired || judgement.asks.is_empty() {
            return Err(No(reason, rules));
        }
        causes.extend(Cause::of_policies(&judgement.asks, world.digest_key));
    }
    let unknown = |class: &String| !world.tenant.content().knows(class);
    if judgement.redact_classes.iter().any(unknown) {
        return Err(Reason::PolicyUnenforceable.into());
    }
    let own = match (tool.model(), judgement.tokens_max) {
        (Some(model), _) => model.output_tokens_max,
        (None, None) => None,
        // Only an answer of a model has tokens to count.
        (None, Some(_)) => return Err(Reason::PolicyUnenforceable.into()),
    };
    Ok(Obligations {
        redact: judgement.redact,
        redact_classes: judgement.redact_classes,
        lasting: judgement.lasting,
        limits: ResultLimits {
            bytes: judgement
                .bytes_max
                .unwrap_or(u64::MAX)
                .min(tool.result_bytes_max().into()),
            rows: judgement.rows_max,
            tokens: own.into_iter().chain(judgement.tokens_max).min(),
        },
    })
}

/// What policies want done with a call, and of its answer.
struct Obligations {
    redact: Vec<String>,
    redact_classes: Vec<String>,
    /// What is to be taken out of the answer as well.
    lasting: Redact,
    limits: ResultLimits,
}

impl Obligations {
    /// Takes out of the arguments what is to be taken out, and lowers a `row_limit` to the ceiling. `true`: they changed.
    fn change(&self, tool: &Tool, arguments: &mut Value, world: &World<'_>) -> bool {
        let redacted = self.redact.iter().map(|at| redact_at(arguments, at));
        let mut changed = redacted.fold(0_u64, u64::saturating_add) > 0;
        if !self.redact_classes.is_empty() {
            let meant = |name: &str| self.redact_classes.iter().any(|class| class == name);
            let (rules, place) = (world.tenant.content(), Place::of(Direction::Outbound, tool));
            if let Some((redacted, _)) = rules.redacted(arguments, &meant, place) {
                *arguments = redacted;
                changed = true;
            }
        }
        if let Some(most) = self.limits.rows {
            for pointer in tool.arguments_with(Role::RowLimit) {
                each_at(arguments, pointer, &mut |limit| {
                    if limit.as_f64().is_some_and(|limit| exceeds(limit, most)) {
                        *limit = most.into();
                        changed = true;
                    }
                });
            }
        }
        changed
    }
}

/// Whether a number of rows that a call asks for is above a ceiling. Row counts are far below where doubles skip integers.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "compared, never used as a count"
)]
fn exceeds(asked: f64, most: u64) -> bool {
    asked > most as f64
}

/// Values in place of the session's placeholders, as far as the tool may see them: what is decided on is what goes out.
/// `true`: there were some.
fn put_back(arguments: &mut Value, tool: &Tool, world: &World<'_>) -> bool {
    let Value::Object(members) = arguments else {
        return false;
    };
    let restored = at(Direction::Outbound, tool, world).put_back(members);
    match restored {
        Some(restored) => {
            *members = restored;
            true
        }
        None => false,
    }
}

/// The tenant's content rules at a tool.
pub(crate) fn at<'a>(direction: Direction, tool: &'a Tool, world: &'a World<'_>) -> Content<'a> {
    Content {
        rules: world.tenant.content(),
        place: Place::of(direction, tool),
        vault: Some(&world.read.vault),
        roles: match direction {
            Direction::Outbound => Some(&tool.entry().roles),
            Direction::Inbound => None,
        },
    }
}

fn content(arguments: &Value, tool: &Tool, world: &World<'_>) -> Outcome<Value> {
    let content = at(Direction::Outbound, tool, world);
    let found = content.treat(arguments);
    match tool.model() {
        Some(_) => crate::llm::parts::treat(&content, arguments, found),
        None => found,
    }
}

/// Carries out what the content rules say: nothing blocked goes on, and what was altered still fits the tool. `true`: the
/// arguments are others now.
fn clear(
    found: Outcome<Value>,
    tool: &Tool,
    arguments: &mut Value,
    causes: &mut Vec<Cause>,
) -> Result<bool, No> {
    match found.refusal() {
        Some(Reason::ApprovalRequired) => causes.extend(found.named().map(|class| Cause {
            keys: vec![format!("content:{class}")],
            text: format!("a content rule asks for a person: {class}"),
            reason: Reason::ContentBlocked,
            places: Vec::new(),
        })),
        Some(reason) => return Err(No(reason, Some(found.classes()))),
        None => {}
    }
    let Some(altered) = found.altered else {
        return Ok(false);
    };
    if tool.input().misfit(&altered).is_some() {
        return Err(Reason::ContentUnfit.into());
    }
    *arguments = altered;
    Ok(true)
}

/// The token's own ceilings; each that has room left becomes one more charge.
fn ceilings(
    token: &VerifiedToken,
    tool: &Tool,
    world: &World<'_>,
    charges: &mut Vec<Charge>,
) -> Result<(), No> {
    let price = world.tenant.budget().tool_price(tool.reference());
    let needed = crate::budget::estimate(tool, price);
    for ceiling in token.ceilings() {
        let (units, reason) = match ceiling.key {
            CountKey::TokenCost(_) => (needed.cost, Reason::CostExhausted),
            _ => (needed.calls, Reason::CallsExhausted),
        };
        let counted = world.session.calls(&ceiling.key).saturating_add(units);
        if counted > ceiling.most || world.session.is_short_of(&ceiling.key, units) {
            return Err(reason.into());
        }
        if units > 0 {
            charges.push(Charge {
                units,
                ..Charge::call(ceiling.key, ceiling.until, ceiling.most, reason)
            });
        }
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

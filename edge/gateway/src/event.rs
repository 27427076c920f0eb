//! Audit events from what was decided and what came of it. No value of a call gets in here.

use proctor_engine::provenance::shown_pointer;
use proctor_engine::{Facts, Login, Refusal};
use proctor_model::audit::{AuditEvent, Effect, EventAdmin, EventVerdict, Kind};
use proctor_model::config::PolicyMode;
use proctor_model::{EdgeId, EventId, IssuerId, Reason, RevocationId, TenantId, Timestamp};

/// What every event of a request has in common.
#[derive(Clone, Debug)]
pub(crate) struct Stamp {
    pub(crate) edge: EdgeId,
    pub(crate) event_id: EventId,
    pub(crate) now: Timestamp,
    pub(crate) trace_id: Option<String>,
}

/// Most arguments whose origins an event has.
const ORIGINS_MAX: usize = 16;

fn with_facts(stamp: Stamp, kind: Kind, facts: &Facts) -> AuditEvent {
    let mut event = AuditEvent::new(
        facts.tenant.clone(),
        stamp.edge,
        stamp.event_id,
        stamp.now,
        kind,
    );
    event.decision_id = Some(facts.decision_id);
    event.effect = Some(facts.effect);
    event.agent = Some(facts.agent.clone());
    event.user.clone_from(&facts.user);
    event.session.clone_from(&facts.session);
    event.delegation.clone_from(&facts.delegation);
    event.token_id.clone_from(&facts.token_id);
    event.intent.clone_from(&facts.intent);
    event.tool.clone_from(&facts.tool);
    event.args_digest.clone_from(&facts.args_digest);
    event.arg_names.clone_from(&facts.arg_names);
    event.origins = facts
        .origins
        .iter()
        .take(ORIGINS_MAX)
        .map(|(pointer, origins)| (shown_pointer(pointer), origins.clone()))
        .collect();
    event.policy.clone_from(&facts.policies);
    event.content.clone_from(&facts.content);
    event.mode = Some(facts.mode).filter(|mode| *mode == PolicyMode::Monitor);
    event.config_version = Some(facts.config_version);
    event.approval_id = facts.approval.as_ref().map(|approval| approval.id.clone());
    event.task.clone_from(&facts.task);
    event.timings_us = facts.timings_us();
    event.verdicts = facts.verdicts();
    event.trace_id = stamp.trace_id;
    event
}

/// A call that is about to be forwarded.
pub(crate) fn authorized(stamp: Stamp, facts: &Facts) -> AuditEvent {
    with_facts(stamp, Kind::Authorized, facts)
}

/// A refused call.
pub(crate) fn refused(stamp: Stamp, refusal: &Refusal) -> AuditEvent {
    let mut event = with_facts(stamp, Kind::Refused, &refusal.facts);
    event.control = Some(refusal.control());
    event.reason = Some(refusal.reason);
    note_refusal(&mut event, refusal.reason);
    event
}

/// What decided may have come after all controls had passed: a lease that is not to be had, a person who is to be asked.
fn note_refusal(event: &mut AuditEvent, reason: Reason) {
    let verdict = match event.effect {
        Some(Effect::Escalate) => EventVerdict::Escalated,
        _ => EventVerdict::Refused,
    };
    let control = reason.control().as_str().to_owned();
    event.verdicts.insert(control, verdict);
}

/// A decision without a call.
pub(crate) fn evaluated(stamp: Stamp, facts: &Facts, reason: Option<Reason>) -> AuditEvent {
    let mut event = with_facts(stamp, Kind::Evaluated, facts);
    event.control = reason.map(Reason::control);
    event.reason = reason;
    if let Some(reason) = reason {
        note_refusal(&mut event, reason);
    }
    event
}

/// A request that was refused before there was a call to decide on.
pub(crate) fn turned_away(
    stamp: Stamp,
    tenant: TenantId,
    decision_id: proctor_model::DecisionId,
    reason: Reason,
) -> AuditEvent {
    let mut event = AuditEvent::new(tenant, stamp.edge, stamp.event_id, stamp.now, Kind::Refused);
    event.decision_id = Some(decision_id);
    event.effect = Some(Effect::Deny);
    event.control = Some(reason.control());
    event.reason = Some(reason);
    event.trace_id = stamp.trace_id;
    event
}

/// A capability token was given for a login.
pub(crate) fn logged_in(
    stamp: Stamp,
    tenant: TenantId,
    decision_id: proctor_model::DecisionId,
    issuer: &IssuerId,
    login: &Login,
    token_id: RevocationId,
) -> AuditEvent {
    let mut event = AuditEvent::new(tenant, stamp.edge, stamp.event_id, stamp.now, Kind::Admin);
    event.decision_id = Some(decision_id);
    event.effect = Some(Effect::Allow);
    event.agent = Some(login.agent.clone());
    event.user = Some(login.user.clone());
    event.admin = Some(EventAdmin {
        action: "token.exchange".to_owned(),
        object: token_id.to_string(),
        principal: format!("{issuer}/{}", login.user),
    });
    event.token_id = Some(token_id);
    event.trace_id = stamp.trace_id;
    event
}

/// The outcome event of an authorized one, with kind `unknown` until somebody knows better; its id and time are the
/// caller's to set.
pub(crate) fn outcome_of(authorized: &AuditEvent) -> AuditEvent {
    let mut event = AuditEvent::new(
        authorized.tenant.clone(),
        authorized.edge.clone(),
        authorized.event_id,
        authorized.time,
        Kind::Unknown,
    );
    event.of = Some(authorized.event_id);
    event.decision_id = authorized.decision_id;
    event.agent.clone_from(&authorized.agent);
    event.user.clone_from(&authorized.user);
    event.session.clone_from(&authorized.session);
    event.delegation.clone_from(&authorized.delegation);
    event.token_id.clone_from(&authorized.token_id);
    event.intent.clone_from(&authorized.intent);
    event.tool.clone_from(&authorized.tool);
    event.approval_id.clone_from(&authorized.approval_id);
    event.task.clone_from(&authorized.task);
    event.trace_id.clone_from(&authorized.trace_id);
    event
}

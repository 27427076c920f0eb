//! Escalated calls: a person is asked, through control; when the identical call comes again, its approval is used up
//! there, and the call is decided anew. If that comes to nothing before anything is sent, it is given back.
//!
//! Nobody waits here for a person: the agent is told what to come back with. What can't be handed over is refused.

use super::judge::Noting;
use super::{Caller, Decided, Gateway};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proctor_engine::approval::Asked;
use proctor_engine::{
    Call, Decision, Escalation, Facts, Grant, Granted, Purpose, Refusal, Ruling, ToolQuery,
};
use proctor_model::approval::{ApprovalRelease, ApprovalRequest, ApprovalUse};
use proctor_model::audit::Effect;
use proctor_model::signed::Document;
use proctor_model::{ApprovalId, Reason};
use proctor_runtime::seal::{APPROVAL_VIEW_INFO, approval_view_aad, seal};
use proctor_runtime::subjects;
use std::sync::Arc;
use std::time::Duration;

/// How long control may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How often it is asked. Control gives the same answer to the same decision: a lost one costs nothing.
const ATTEMPTS: usize = 2;

impl Gateway {
    /// What becomes of a decision that may be an escalation: with a good approval a permit, else a refusal that says what
    /// it waits for, or why it can't.
    pub(super) async fn settle(
        &self,
        caller: &Caller,
        mut decided: Decided,
        named: Option<ApprovalId>,
    ) -> Decided {
        let Decision::Refusal(refusal) = &mut decided.decision else {
            return decided;
        };
        let Some(escalation) = refusal.escalation.take() else {
            return decided;
        };
        let answer = match named {
            Some(approval) => {
                self.use_up(caller, &refusal.facts, &escalation, approval)
                    .await
            }
            None => self.ask(caller, &refusal.facts, &escalation).await,
        };
        let (reason, note) = match answer {
            Ok(Ruling::Granted(grant)) => {
                let facts = refusal.facts.clone();
                return self.decide_granted(caller, facts, *escalation, grant, decided);
            }
            Ok(Ruling::Waiting(note)) => (Reason::ApprovalRequired, Some(note)),
            Ok(Ruling::Refused(reason, note)) => (reason, note),
            Err(reason) => (reason, None),
        };
        refusal.facts.approval = note;
        if reason != refusal.reason {
            refusal.reason = reason;
            refusal.detail = None;
        }
        refusal.facts.effect = match reason {
            Reason::ApprovalRequired | Reason::ApprovalPending => Effect::Escalate,
            _ => Effect::Deny,
        };
        decided
    }

    /// By the world as it is now, which may be another than at the first decision.
    fn decide_granted(
        &self,
        caller: &Caller,
        facts: Facts,
        escalation: Escalation,
        grant: Grant,
        decided: Decided,
    ) -> Decided {
        let tool = escalation.tool();
        let call = Call {
            decision_id: facts.decision_id,
            token: Arc::clone(&caller.token),
            tool: ToolQuery::On(tool.server.clone(), tool.name.to_string()),
            purpose: Purpose::Use,
            arguments: escalation.arguments().clone(),
        };
        let sitting = match self.sit(caller) {
            Ok(sitting) => sitting,
            Err(reason) => return denied(facts, reason, decided),
        };
        let noting = Noting::of(Some(&decided.loaded), &call.tool);
        let judged = self.judge_call(caller, &sitting, noting, |world, evaluator| {
            proctor_engine::decide_granted(call, grant, world, evaluator)
        });
        match judged {
            Ok((decision, loaded)) => Decided {
                decision,
                loaded,
                sitting,
                ..decided
            },
            Err(reason) => denied(facts, reason, decided),
        }
    }

    /// Asks for a person. The same call that already waits gets the approval that it waits for.
    async fn ask(
        &self,
        caller: &Caller,
        facts: &Facts,
        escalation: &Escalation,
    ) -> Result<Ruling, Reason> {
        let unavailable = Reason::ApprovalUnavailable;
        let key = self.tenants.approvals_key().ok_or(unavailable)?;
        let edge = self.identity.edge.clone();
        let view = serde_json::to_vec(escalation.view()).map_err(|_| Reason::Internal)?;
        let aad = approval_view_aad(&facts.tenant, &edge, escalation.binding());
        let sealed = seal(&*key, APPROVAL_VIEW_INFO, &aad, &view).map_err(|_| unavailable)?;
        let request = ApprovalRequest {
            tenant: facts.tenant.clone(),
            edge,
            decision_id: facts.decision_id,
            at: self.clock.now(),
            binding: escalation.binding().to_owned(),
            covers: escalation.covers().to_vec(),
            agent: facts.agent.clone(),
            delegation: facts.delegation.clone(),
            user: facts.user.clone(),
            session: facts.session.clone(),
            intent: facts.intent.as_ref().map(|intent| intent.id.clone()),
            token: caller.token.revocation_ids().to_vec(),
            root: caller.token.root().cloned(),
            nonce: Some(caller.token.nonce()),
            login: caller.token.login_user().cloned(),
            tool: escalation.tool().clone(),
            args_digest: facts.args_digest.clone().unwrap_or_default(),
            until: escalation.until(),
            question: escalation.question().to_owned(),
            sealed_view: URL_SAFE_NO_PAD.encode(sealed),
        };
        let subject = subjects::approval_request(&facts.tenant, &self.identity.edge);
        self.ask_control(subject, &request, facts, escalation.binding())
            .await
    }

    /// Uses an approval up for this decision.
    async fn use_up(
        &self,
        caller: &Caller,
        facts: &Facts,
        escalation: &Escalation,
        approval: ApprovalId,
    ) -> Result<Ruling, Reason> {
        let using = ApprovalUse {
            tenant: facts.tenant.clone(),
            edge: self.identity.edge.clone(),
            decision_id: facts.decision_id,
            at: self.clock.now(),
            approval,
            binding: escalation.binding().to_owned(),
            covers: escalation.covers().to_vec(),
            agent: facts.agent.clone(),
            tool: escalation.tool().clone(),
            token: caller.token.revocation_ids().to_vec(),
        };
        let subject = subjects::approval_use(&facts.tenant, &self.identity.edge);
        self.ask_control(subject, &using, facts, escalation.binding())
            .await
    }

    /// Gives back an approval whose call was refused before anything was sent: no person has to be asked a second time because
    /// the disk was full, or a budget of this minute used up. If control does not hear of it, the approval stays used.
    pub(super) async fn release(&self, facts: &Facts, granted: &Granted) {
        let released = ApprovalRelease {
            tenant: facts.tenant.clone(),
            edge: self.identity.edge.clone(),
            decision_id: facts.decision_id,
            at: self.clock.now(),
            approval: granted.approval().clone(),
            binding: granted.binding().to_owned(),
        };
        let subject = subjects::approval_release(&facts.tenant, &self.identity.edge);
        let answer = self.ask_control(subject, &released, facts, granted.binding());
        if !matches!(answer.await, Ok(Ruling::Waiting(_))) {
            tracing::warn!(
                approval = released.approval.as_str(),
                "an approval whose call was not made is not taken back"
            );
        }
    }

    async fn ask_control<D: Document>(
        &self,
        subject: String,
        question: &D,
        facts: &Facts,
        binding: &str,
    ) -> Result<Ruling, Reason> {
        let question = self.identity.signer.sign(question);
        let question = question.map_err(|_| Reason::ApprovalUnavailable)?;
        let asked = Asked {
            tenant: &facts.tenant,
            edge: &self.identity.edge,
            decision_id: facts.decision_id,
            binding,
        };
        for _ in 0..ATTEMPTS {
            let request = self.nats.request(subject.clone(), question.clone().into());
            let answered = tokio::time::timeout(ANSWER_TIMEOUT, request).await;
            let Ok(Ok(message)) = answered else { continue };
            let read = std::str::from_utf8(&message.payload)
                .map_err(|_| Reason::ApprovalUnavailable)
                .and_then(|text| Ruling::read(text, &self.identity.platform, asked));
            match read {
                Ok(answer) => return Ok(answer),
                Err(reason) => tracing::warn!(
                    reason = reason.code(),
                    "an answer about an approval is not control's"
                ),
            }
        }
        Err(Reason::ApprovalUnavailable)
    }
}

fn denied(facts: Facts, reason: Reason, decided: Decided) -> Decided {
    let mut refusal = Refusal::new(facts, reason);
    refusal.facts.effect = Effect::Deny;
    Decided {
        decision: Decision::Refusal(Box::new(refusal)),
        ..decided
    }
}

//! A prompt, whole: decided and recorded like any call, then answered by the model, or by one that stands in for it.

mod funds;
mod relay;

use super::answer::{End, Ended};
use super::judge::Sitting;
use super::{Asked, Caller, Decided, Gateway, Refused, Wish};
use crate::spool::Recorded;
use crate::upstream::Failure;
use crate::upstream::llm::{Opened, Sent};
use crate::world::Loaded;
use axum::body::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use proctor_engine::llm::{Prompt, Usage};
use proctor_engine::{
    Answer, Channel, Facts, Findings, Purpose, Response, Told, ToolQuery, Withhold,
};
use proctor_model::catalogue::{LLM_SERVER, llm_tool_name};
use proctor_model::config::Denials;
use proctor_model::{ApprovalId, Reason, ServerId, ToolName};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Pieces of a stream that may wait for the agent; then the provider waits.
const PIECES_WAITING: usize = 16;
/// Most models that one prompt is tried with.
const MODELS_MAX: usize = 4;

/// A prompt to decide on.
pub(crate) struct Prompted {
    pub(crate) provider: ServerId,
    pub(crate) prompt: Prompt,
    pub(crate) approval: Option<ApprovalId>,
    pub(crate) trace_id: Option<String>,
}

/// What comes of it.
pub(crate) enum Completion {
    /// The provider's answer, or its word on what is wrong.
    Whole {
        note: Note,
        status: StatusCode,
        body: Map<String, Value>,
        retry_after: Option<HeaderValue>,
    },
    /// Events as they come.
    Stream {
        note: Note,
        pieces: mpsc::Receiver<Bytes>,
    },
    /// It was not asked, or its answer is withheld.
    Refused(Refused),
}

/// The decision, as the agent gets to see it.
pub(crate) struct Note {
    pub(crate) decision_id: String,
    /// The model that answers, as `<provider>/<model>`.
    pub(crate) model: ToolName,
}

impl Note {
    fn of(facts: &Facts, model: &ToolName) -> Self {
        Self {
            decision_id: facts.decision_id.to_string(),
            model: model.clone(),
        }
    }
}

/// One model's turn.
struct Turn<'a> {
    gateway: &'a Gateway,
    caller: &'a Caller,
    loaded: Arc<Loaded>,
    sitting: Sitting,
    recorded: Recorded,
    prompt: &'a Prompt,
    model: ToolName,
    started: Duration,
}

/// Why a turn has no answer.
struct Unanswered {
    failure: Failure,
    /// It was cancelled, as the right to it had ended.
    barred: Option<Reason>,
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            barred: None,
        }
    }
}

/// How a turn that is no stream ends.
enum Answered {
    /// This is it.
    With(Completion),
    /// The provider failed: another may be asked.
    Failed(Completion),
}

impl Gateway {
    /// One prompt. It runs to its recorded end even if the agent does not wait for it; dropping the returned future, or
    /// the stream that it gives, cancels it.
    pub(crate) async fn prompt(self: &Arc<Self>, caller: Caller, prompted: Prompted) -> Completion {
        let Some(place) = self.room.enter(&caller.tenant) else {
            let refused = self.refuse(&caller, Reason::Overloaded, prompted.trace_id);
            return Completion::Refused(refused.await);
        };
        let (begun, begins) = oneshot::channel();
        let cancel = CancellationToken::new();
        let guard = cancel.clone().drop_guard();
        let gateway = Arc::clone(self);
        tokio::spawn(async move {
            let _place = place;
            gateway
                .ask_in_turn(&caller, &prompted, begun, &cancel)
                .await;
        });
        let completion = begins.await.unwrap_or_else(|_| {
            let decision_id = self.decision_id();
            let denials = Denials::default();
            Completion::Refused(self.refused(decision_id, Reason::Internal, None, denials))
        });
        guard.disarm();
        completion
    }

    /// Asks the model that is meant, then those that stand in for it, each by a decision of its own.
    async fn ask_in_turn(
        &self,
        caller: &Caller,
        prompted: &Prompted,
        begun: oneshot::Sender<Completion>,
        cancel: &CancellationToken,
    ) {
        let named = llm_tool_name(&prompted.provider, &prompted.prompt.model);
        let Some(named) = named else {
            let refused = self.refuse(caller, Reason::UnknownTool, prompted.trace_id.clone());
            let _ = begun.send(Completion::Refused(refused.await));
            return;
        };
        let mut models = vec![named];
        let (mut at, mut failed) = (0, None);
        while let Some(model) = models.get(at).cloned() {
            let (turn, opened) = match self.begin(caller, prompted, &model, at, cancel).await {
                Ok(begun) => begun,
                // The agent hears why the model that it asked for fails, not why another may not be asked.
                Err(refused) => {
                    let refused = Completion::Refused(refused);
                    let _ = begun.send(failed.unwrap_or(refused));
                    return;
                }
            };
            if at == 0 {
                models.extend(turn.stand_ins());
            }
            let answered = match opened {
                Ok(Opened::Events(events)) => return turn.stream(events, begun, cancel).await,
                Ok(Opened::Whole {
                    status,
                    headers,
                    body,
                    bytes,
                }) => turn.whole(status, &headers, body, bytes).await,
                Err(unanswered) => turn.fail(unanswered).await,
            };
            match answered {
                Answered::With(completion) => {
                    let _ = begun.send(completion);
                    return;
                }
                Answered::Failed(completion) => failed = failed.or(Some(completion)),
            }
            at = at.saturating_add(1);
        }
        if let Some(failed) = failed {
            // Nobody waits any more: the outcome is recorded all the same.
            let _ = begun.send(failed);
        }
    }

    /// Decides, records, and sends the prompt.
    async fn begin<'a>(
        &'a self,
        caller: &'a Caller,
        prompted: &'a Prompted,
        model: &ToolName,
        at: usize,
        cancel: &CancellationToken,
    ) -> Result<(Turn<'a>, Result<Opened, Unanswered>), Refused> {
        let server: ServerId = match LLM_SERVER.parse() {
            Ok(server) => server,
            Err(_) => return Err(self.refuse(caller, Reason::Internal, None).await),
        };
        let query = ToolQuery::On(server, model.to_string());
        let arguments = prompted.prompt.arguments.clone();
        let asked = Asked::plain(caller, query, arguments, prompted.trace_id.clone());
        let decided = self.decide(caller, asked, Wish::Call).await?;
        // An approval is for the model that it was given for.
        let approval = prompted.approval.clone().filter(|_| at == 0);
        let Decided {
            decision,
            loaded,
            sitting,
            trace_id,
        } = self.settle(caller, decided, approval).await;
        let recorded = match decision {
            proctor_engine::Decision::Refusal(refusal) => Err((*refusal, None)),
            proctor_engine::Decision::Permit(permit) => {
                let trace_id = trace_id.clone();
                self.authorize(caller, &loaded, permit, Purpose::Use, trace_id)
                    .await
            }
        };
        let recorded = match recorded {
            Ok(recorded) => recorded,
            Err((refusal, retry_after)) => {
                let mut refused = self.record_refusal(refusal, &loaded, trace_id).await;
                refused.retry_after = retry_after;
                return Err(refused);
            }
        };
        let turn = Turn {
            gateway: self,
            caller,
            loaded,
            sitting,
            recorded,
            prompt: &prompted.prompt,
            model: model.clone(),
            started: self.clock.monotonic(),
        };
        let opened = turn.open(cancel).await;
        Ok((turn, opened))
    }
}

impl Turn<'_> {
    fn stand_ins(&self) -> Vec<ToolName> {
        let permit = self.recorded.permit();
        let tool = self.loaded.tenant.catalogue().get(permit.tool());
        let models = tool.and_then(|tool| tool.model());
        let models = models
            .map(|model| model.fail_over.clone())
            .unwrap_or_default();
        models.into_iter().take(MODELS_MAX - 1).collect()
    }

    /// Sends the prompt as it was decided, as long as the right to it lasts.
    async fn open(&self, cancel: &CancellationToken) -> Result<Opened, Unanswered> {
        let permit = self.recorded.permit();
        let tool = self.loaded.tenant.catalogue().get(permit.tool());
        let tool = tool.ok_or(Failure::Unreachable)?;
        let model = tool.model().ok_or(Failure::Unreachable)?;
        let (provider, _) = self.model.as_str().split_once('/').unwrap_or_default();
        let provider = self.loaded.servers.providers().get(provider);
        let provider = provider.ok_or(Failure::Unreachable)?;
        if provider.spec().dialect != self.prompt.api.dialect() {
            return Err(Failure::Unsendable.into());
        }
        let name = model.name_of(&self.model);
        let (tokens_max, takes) = (permit.limits().tokens, model.output_tokens_max);
        let body = self
            .prompt
            .forwarded(permit.arguments(), name, tokens_max, takes);
        // It was read for the provider that the agent named.
        let plain = provider.spec().hosted || self.prompt.is_plain(&body);
        if !plain || self.prompt.is_kept_from_thinking(&body) {
            return Err(Failure::Unsendable.into());
        }
        let sent = Sent {
            api: self.prompt.api,
            body,
            streamed: self.prompt.streamed,
            betas: self.prompt.betas.clone(),
            time_limit: Duration::from_millis(tool.timeout_ms().into()),
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Failure::Cancelled.into()),
            reason = self.gateway.until_barred(self.caller, permit.tool()) => Err(Unanswered {
                failure: Failure::Cancelled,
                barred: Some(reason),
            }),
            opened = provider.open(&self.recorded, &sent) => opened.map_err(Unanswered::from),
        }
    }

    /// Nothing came that could be used.
    async fn fail(self, unanswered: Unanswered) -> Answered {
        let Unanswered { failure, barred } = unanswered;
        self.close(&Ended::Failed(failure), None).await;
        let barred = barred.or_else(|| self.killed());
        let reason = barred.unwrap_or_else(|| failure.reason());
        let refused = Completion::Refused(self.refused(reason, None));
        match failure {
            // Before there was an answer: another model may give one, and what this one can't be sent, another may.
            Failure::Unreachable
            | Failure::Broken
            | Failure::Timeout
            | Failure::Overloaded
            | Failure::Open
            | Failure::Unsendable
                if barred.is_none() =>
            {
                Answered::Failed(refused)
            }
            _ => Answered::With(refused),
        }
    }

    /// An answer that came whole.
    async fn whole(
        self,
        status: StatusCode,
        headers: &HeaderMap,
        body: Map<String, Value>,
        bytes: u64,
    ) -> Answered {
        let (ended, usage) = match status.is_success() {
            true => self.complete(body, bytes),
            false => (self.error(body, bytes), None),
        };
        self.close(&ended, usage).await;
        let reason = self.killed();
        let completion = match ended {
            Ended::Released(release) if reason.is_none() => Completion::Whole {
                note: Note::of(self.recorded.permit().facts(), &self.model),
                status,
                body: release.into_body(),
                retry_after: headers.get("retry-after").cloned(),
            },
            Ended::Withheld(withheld) => {
                let message = withheld
                    .detail
                    .map(|detail| format!("{} ({detail})", withheld.reason.message()));
                Completion::Refused(self.refused(
                    reason.unwrap_or(withheld.reason),
                    message.filter(|_| reason.is_none()),
                ))
            }
            _ => Completion::Refused(self.refused(reason.unwrap_or(Reason::Internal), None)),
        };
        // A provider that has too much to do, or is broken, has made nothing that the agent could get twice.
        let failed = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        match failed && reason.is_none() {
            true => Answered::Failed(completion),
            false => Answered::With(completion),
        }
    }

    fn complete(&self, body: Map<String, Value>, bytes: u64) -> (Ended, Option<Usage>) {
        let (gateway, permit) = (self.gateway, self.recorded.permit());
        let findings = Findings::of(&Answer {
            channel: Channel::Result,
            body: Map::new(),
            bytes,
        });
        let api = self.prompt.api;
        let judged = gateway.judge_under(
            self.caller,
            &self.loaded,
            &self.sitting,
            |world, evaluator| {
                proctor_engine::llm::complete(permit, api, body, bytes, world, evaluator)
            },
        );
        match judged {
            Ok(completed) => {
                let usage = Some(completed.usage);
                match completed.response {
                    Response::Release(release) => {
                        super::count_content(&release.findings().content);
                        (Ended::Released(release), usage)
                    }
                    Response::Withhold(withheld) => {
                        super::count_content(&withheld.findings.content);
                        (Ended::Withheld(withheld), usage)
                    }
                }
            }
            Err(reason) => {
                let detail = None;
                let withheld = Withhold {
                    reason,
                    detail,
                    findings,
                };
                (Ended::Withheld(Box::new(withheld)), None)
            }
        }
    }

    /// What the provider says is wrong passes the same judgement as a tool's error.
    fn error(&self, body: Map<String, Value>, bytes: u64) -> Ended {
        let answer = Answer {
            channel: Channel::Error,
            body,
            bytes,
        };
        self.gateway.judge_answer(
            &self.recorded,
            self.caller,
            (&self.loaded, &self.sitting),
            (Told::default(), answer),
            None,
        )
    }

    fn killed(&self) -> Option<Reason> {
        let killed = self.caller.tenant.killed();
        let agent = killed.check_agent(self.caller.token.agent());
        let tool = self.recorded.permit().tool();
        agent.and_then(|()| killed.check_tool(tool)).err()
    }

    fn refused(&self, reason: Reason, message: Option<String>) -> Refused {
        let decision_id = self.recorded.permit().facts().decision_id;
        let denials = self.loaded.tenant.settings().denials;
        self.gateway.refused(decision_id, reason, message, denials)
    }

    /// The second event, and what was used.
    async fn close(&self, ended: &Ended, usage: Option<Usage>) {
        let latency = self.gateway.clock.monotonic().saturating_sub(self.started);
        if let Some(usage) = usage {
            for (direction, tokens) in [
                ("input", usage.input_tokens),
                ("output", usage.output_tokens),
            ] {
                metrics::counter!("proctor_edge_llm_tokens_total", "direction" => direction)
                    .increment(tokens);
            }
        }
        let permit = self.recorded.permit();
        let used = super::budget::used_by_model(&self.loaded, permit, &self.model, usage, ended);
        let settled = self.recorded.take_spent().settle(&used);
        self.gateway
            .record_end(
                &self.recorded,
                self.caller,
                ended,
                End {
                    usage,
                    latency,
                    settled,
                    replied: Vec::new(),
                },
            )
            .await;
    }
}

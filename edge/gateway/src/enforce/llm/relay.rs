//! A stream from a provider to an agent: no faster than the agent reads, judged event by event, recorded at its end.

use super::super::answer::{Ended, Streamed};
use super::funds::Funds;
use super::{Completion, Note, PIECES_WAITING, Turn};
use crate::frontend::provider_error;
use crate::upstream::Failure;
use crate::upstream::llm::Events;
use axum::body::Bytes;
use proctor_engine::llm::sse::{Event, Reader};
use proctor_engine::llm::{Ending, Gate, Relay, Stop};
use proctor_engine::{Answer, Channel, Findings};
use proctor_model::Reason;
use proctor_model::audit::Kind;
use serde_json::Map;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Longest stream.
const STREAM_MAX: Duration = Duration::from_secs(3600);
/// How long an agent may leave what it has of a stream unread. It holds a place and a reservation all the while.
const STALL_MAX: Duration = Duration::from_secs(300);
/// How long the word that a stream is over may wait for an agent that does not read.
const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last of a stream that nobody reads any more is waited for: what it used.
const TAIL_TIMEOUT: Duration = Duration::from_secs(2);
/// Most bytes of it.
const TAIL_BYTES_MAX: usize = 256 * 1024;

/// Why nothing more goes to the agent.
enum Over {
    /// The stream itself says.
    Ended(Ending),
    /// The provider failed.
    Failed(Failure),
    /// The agent is gone.
    Cancelled,
    /// Somebody stopped it, or its caller may not be here any more.
    Barred(Reason),
}

impl Turn<'_> {
    pub(super) async fn stream(
        self,
        mut events: Events,
        begun: oneshot::Sender<Completion>,
        cancel: &CancellationToken,
    ) {
        let (sender, pieces) = mpsc::channel(PIECES_WAITING);
        let note = Note::of(self.recorded.permit().facts(), &self.model);
        let mut relay = Relay::new(self.prompt, self.recorded.permit().limits().tokens);
        let mut reader = Reader::default();
        let over = match begun.send(Completion::Stream { note, pieces }) {
            Err(_) => Over::Cancelled,
            Ok(()) => {
                let tool = self.recorded.permit().tool();
                let barred = self.gateway.until_barred(self.caller, tool);
                tokio::select! {
                    biased;
                    () = cancel.cancelled() => Over::Cancelled,
                    reason = barred => Over::Barred(reason),
                    over = tokio::time::timeout(STREAM_MAX, self.pass(&mut relay, &mut events, &mut reader, &sender)) => {
                        over.unwrap_or(Over::Failed(Failure::Timeout))
                    }
                }
            }
        };
        if matches!(over, Over::Cancelled) && relay.nears_end() {
            let hearing = hear_out(&mut relay, &mut events, &mut reader);
            let _ = tokio::time::timeout(TAIL_TIMEOUT, hearing).await;
        }
        // The provider stops when nobody listens.
        drop(events);
        let stop = stopped(&over);
        if let Some(stop) = &stop {
            let message = stop
                .detail
                .as_ref()
                .map(|detail| format!("{} ({detail})", stop.reason.message()));
            let refused = self.refused(stop.reason, message);
            relay.say(provider_error(self.prompt.api.dialect(), &refused));
            let last_word = sender.send(relay.drain().into());
            let _ = tokio::time::timeout(LAST_WORD_TIMEOUT, last_word).await;
        }
        drop(sender);
        self.end(&relay, &over, stop.map(|stop| stop.reason)).await;
    }

    /// Passes events on until there are no more.
    async fn pass(
        &self,
        relay: &mut Relay,
        events: &mut Events,
        reader: &mut Reader,
        sender: &mpsc::Sender<Bytes>,
    ) -> Over {
        let mut funds = self.funds(relay);
        loop {
            let chunk = tokio::select! {
                chunk = events.next() => chunk,
                () = sender.closed() => return Over::Cancelled,
            };
            let (ending, out) = match chunk {
                Err(failure) => return Over::Failed(failure),
                Ok(None) => {
                    let judged = self.judged(relay, |relay, gate| Some(relay.hang_up(gate)));
                    if let Some(Ending::Stopped(stop)) = &judged.0
                        && stop.reason == Reason::UpstreamUnavailable
                    {
                        events.broke_off();
                    }
                    judged
                }
                Ok(Some(bytes)) => {
                    let Ok(read) = reader.push(&bytes) else {
                        return Over::Failed(Failure::Invalid);
                    };
                    self.take(relay, &mut funds, &read).await
                }
            };
            if !out.is_empty() {
                let read = tokio::time::timeout(STALL_MAX, sender.send(out)).await;
                if !matches!(read, Ok(Ok(()))) {
                    return Over::Cancelled;
                }
            }
            if let Some(ending) = ending {
                return Over::Ended(ending);
            }
        }
    }

    /// Takes events; one by one where it is not sure that the budgets have enough for all of them.
    async fn take(
        &self,
        relay: &mut Relay,
        funds: &mut Funds,
        events: &[Event],
    ) -> (Option<Ending>, Bytes) {
        if funds.cover(relay, events.iter().map(tokens_most).sum()) {
            return self.judged(relay, |relay, gate| {
                events.iter().find_map(|event| relay.take(event, gate))
            });
        }
        let mut out = Vec::new();
        for event in events {
            self.fund(funds, relay, tokens_most(event)).await;
            let (ending, piece) = self.judged(relay, |relay, gate| relay.take(event, gate));
            out.extend_from_slice(&piece);
            if ending.is_some() {
                return (ending, out.into());
            }
        }
        (None, out.into())
    }

    /// Judges with the world as it is at this moment.
    fn judged(
        &self,
        relay: &mut Relay,
        judge: impl FnOnce(&mut Relay, &mut Gate<'_, '_>) -> Option<Ending>,
    ) -> (Option<Ending>, Bytes) {
        let started = self.gateway.clock.monotonic();
        let permit = self.recorded.permit();
        let judged = self.gateway.judge_under(
            self.caller,
            &self.loaded,
            &self.sitting,
            |world, evaluator| {
                let mut gate = Gate {
                    permit,
                    world,
                    evaluator,
                };
                judge(relay, &mut gate)
            },
        );
        let ending = judged.unwrap_or_else(|reason| Some(Ending::Stopped(reason.into())));
        let took = self.gateway.clock.monotonic().saturating_sub(started);
        metrics::histogram!("proctor_edge_llm_event_seconds").record(took.as_secs_f64());
        (ending, relay.drain().into())
    }

    async fn end(&self, relay: &Relay, over: &Over, stopped: Option<Reason>) {
        let (kind, status) = match over {
            Over::Ended(Ending::Done) => (Kind::Completed, "ok"),
            Over::Ended(Ending::Failed) => (Kind::Completed, "rpc_error"),
            Over::Ended(Ending::Stopped(_)) => (Kind::Withheld, "ok"),
            Over::Failed(failure) => (Kind::Unknown, failure.as_str()),
            Over::Cancelled | Over::Barred(_) => (Kind::Cancelled, Failure::Cancelled.as_str()),
        };
        let permit = self.recorded.permit();
        let mut findings = Findings::of(&Answer {
            channel: Channel::Result,
            body: Map::new(),
            bytes: relay.bytes(),
        });
        let (policies, monitored) = relay.policies();
        findings.policies = policies.to_vec();
        findings.monitored = monitored;
        let content =
            self.gateway
                .judge_under(self.caller, &self.loaded, &self.sitting, |world, _| {
                    relay.content(permit, world)
                });
        findings.content = content.unwrap_or_default();
        super::super::count_content(&findings.content);
        let accounted = matches!(over, Over::Ended(Ending::Done)) || relay.is_accounted();
        let ended = Ended::Streamed(Box::new(Streamed {
            kind,
            status,
            reason: stopped,
            findings,
            accounted,
        }));
        self.close(&ended, Some(relay.usage(permit, accounted)))
            .await;
    }
}

/// Listens for what the answer used, to nobody's profit but the budgets'.
async fn hear_out(relay: &mut Relay, events: &mut Events, reader: &mut Reader) {
    let mut bytes = 0_usize;
    while !relay.is_accounted() && bytes <= TAIL_BYTES_MAX {
        let Ok(Some(chunk)) = events.next().await else {
            return;
        };
        bytes = bytes.saturating_add(chunk.len());
        let Ok(read) = reader.push(&chunk) else {
            return;
        };
        read.iter().for_each(|event| relay.overhear(event));
    }
}

/// No event has more tokens than bytes.
fn tokens_most(event: &Event) -> u64 {
    u64::try_from(event.data.len()).unwrap_or(u64::MAX)
}

/// What the agent has to be told, if the stream did not end by itself.
fn stopped(over: &Over) -> Option<Stop> {
    match over {
        Over::Ended(Ending::Stopped(stop)) => Some(stop.clone()),
        Over::Failed(failure) => Some(failure.reason().into()),
        Over::Barred(reason) => Some((*reason).into()),
        Over::Ended(Ending::Done | Ending::Failed) | Over::Cancelled => None,
    }
}

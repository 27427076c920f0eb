//! What came back: judged, recorded, read into the session, worded.

use super::dialogue::{Exchange, sent_away};
use super::judge::Sitting;
use super::task::EndedTask;
use super::{Caller, Gateway, Outcome};
use crate::heard::Word;
use crate::lease::Settled;
use crate::spool::Recorded;
use crate::tasks::Task;
use crate::upstream::{self, Failure, Talk};
use crate::world::Loaded;
use proctor_engine::budget::measure::Used;
use proctor_engine::llm::Usage;
use proctor_engine::memory::MemoryView;
use proctor_engine::{
    Answer, Changes, Channel, ELICITATION_REQUIRED, Facts, Findings, Release, Response, Told,
    Withhold, World, decision,
};
use proctor_model::Reason;
use proctor_model::audit::{AuditEvent, EventResult, EventUpstream, EventUsage, Kind};
use proctor_model::config::PolicyMode;
use proctor_model::content::ContentFinding;
use proctor_model::memory::EventMemory;
use serde_json::{Map, Value, json};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How a forwarded call ended.
pub(super) enum Ended {
    Released(Box<Release>),
    Withheld(Box<Withhold>),
    Failed(Failure),
    Streamed(Box<Streamed>),
    /// A task begun, or what its server says of it.
    Task(Box<EndedTask>),
}

/// A stream of a model that has passed, as far as it did.
pub(super) struct Streamed {
    pub(super) kind: Kind,
    pub(super) status: &'static str,
    pub(super) reason: Option<Reason>,
    pub(super) findings: Findings,
    /// The provider has said what all of it used.
    pub(super) accounted: bool,
}

/// What else there is to say of the end.
pub(super) struct End {
    pub(super) usage: Option<Usage>,
    pub(super) latency: Duration,
    pub(super) settled: Settled,
    /// What the content filter found in the client's replies to questions.
    pub(super) replied: Vec<ContentFinding>,
}

impl Ended {
    /// There is nothing to look at, and a reason.
    pub(super) fn refused(reason: Reason) -> Self {
        let nothing = Answer {
            channel: Channel::Result,
            body: Map::new(),
            bytes: 0,
        };
        Self::Withheld(Box::new(Withhold {
            reason,
            detail: None,
            findings: Findings::of(&nothing),
        }))
    }
}

impl Gateway {
    pub(super) async fn forward(
        &self,
        exchange: Exchange<'_>,
        talk: Talk,
        cancel: &CancellationToken,
    ) -> Outcome {
        let started = self.clock.monotonic();
        let who = Arc::clone(&talk.who);
        let (ended, used) = match exchange.task {
            None => self.talk_in_time(&exchange, talk, cancel).await,
            Some((task, request)) => {
                let asking = Box::pin(self.ask_in_time(&exchange, task, request, talk, cancel));
                (asking.await, Used::default())
            }
        };
        let latency = self.clock.monotonic().saturating_sub(started);
        let settled = exchange.recorded.take_spent().settle(&used);
        let Exchange {
            recorded,
            caller,
            loaded,
            ..
        } = &exchange;
        let end = End {
            usage: None,
            latency,
            settled,
            replied: exchange.replied.take(),
        };
        self.record_end(recorded, caller, &ended, end).await;
        let facts = recorded.permit().facts();
        let (reason, detail) = match ended {
            Ended::Released(release) => {
                self.note_reading(&exchange, &release);
                let outcome = worded(*release, exchange.task.map(|(task, _)| task), facts);
                if let Outcome::Error(error) = &outcome {
                    pages(error).for_each(|page| sent_away(&exchange, &who, page));
                }
                return outcome;
            }
            Ended::Task(ended) => {
                self.note_reading(&exchange, &ended.words.said);
                if let Some(payload) = &ended.payload {
                    self.note_reading(&exchange, payload);
                }
                let request = exchange.task.map(|(_, request)| request);
                return Outcome::Task(Box::new(ended.shown(request, facts)));
            }
            Ended::Withheld(withheld) => (withheld.reason, withheld.detail),
            Ended::Failed(failure) => (failure.reason(), None),
            Ended::Streamed(_) => (Reason::Internal, None),
        };
        let message = detail.map(|detail| format!("{} ({detail})", reason.message()));
        let denials = loaded.tenant.settings().denials;
        Outcome::Refused(self.refused(facts.decision_id, reason, message, denials))
    }

    /// Judges an answer under the configuration that the call was decided under.
    pub(super) async fn judged(&self, exchange: &Exchange<'_>, answer: Answer) -> Ended {
        let memory = self.recall(exchange, &answer).await;
        self.respond(exchange, answer, &memory)
    }

    /// The same, with what is known of the memory in it.
    pub(super) fn respond(
        &self,
        exchange: &Exchange<'_>,
        answer: Answer,
        memory: &MemoryView,
    ) -> Ended {
        let Exchange {
            recorded,
            caller,
            loaded,
            sitting,
            permitted,
            task,
            ..
        } = exchange;
        // What a task says and answers it may say again, and so may a call that becomes one what it says of that.
        let again = task.is_some() || answer.channel == Channel::Task;
        let word = again.then(|| Word::of(&answer));
        // A call has one answer, and with that it is over.
        let noted = again || !answer.channel.answers();
        // Each request about a task is permitted by itself.
        let heard = task.map_or(&permitted.heard, |(task, _)| task.heard.as_ref());
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        let came = (heard.before(word), answer);
        let ended = self.judge_answer(recorded, caller, (loaded, sitting), came, Some(memory));
        if let (true, Ended::Released(release)) = (noted, &ended) {
            heard.note(word, release);
        }
        ended
    }

    /// The same, of whatever was sent.
    pub(super) fn judge_answer(
        &self,
        recorded: &Recorded,
        caller: &Caller,
        (loaded, sitting): (&Loaded, &Sitting),
        (told, answer): (Told, Answer),
        memory: Option<&MemoryView>,
    ) -> Ended {
        let findings = Findings::of(&answer);
        let started = self.clock.monotonic();
        let judged = self.judge_under(caller, loaded, sitting, |world, evaluator| {
            let world = World { memory, ..*world };
            proctor_engine::respond_after(recorded.permit(), told, answer, &world, evaluator)
        });
        metrics::histogram!("proctor_edge_response_seconds")
            .record(self.clock.monotonic().saturating_sub(started).as_secs_f64());
        let content = match &judged {
            Ok(Response::Release(release)) => &release.findings().content,
            Ok(Response::Withhold(withheld)) => &withheld.findings.content,
            Err(_) => &findings.content,
        };
        super::count_content(content);
        match judged {
            Ok(Response::Release(release)) => Ended::Released(release),
            Ok(Response::Withhold(withheld)) => Ended::Withheld(withheld),
            Err(reason) => Ended::Withheld(Box::new(Withhold {
                reason,
                detail: None,
                findings,
            })),
        }
    }

    /// The second event of the call.
    pub(super) async fn record_end(
        &self,
        recorded: &Recorded,
        caller: &Caller,
        ended: &Ended,
        end: End,
    ) {
        let End {
            usage,
            latency,
            mut settled,
            replied,
        } = end;
        let mut event = recorded.outcome();
        event.usage = usage.map(|usage| EventUsage {
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            estimated: usage.estimated,
        });
        event.budget = std::mem::take(&mut settled.noted);
        event.time = self.clock.now();
        describe(&mut event, ended);
        event.content.extend(replied);
        if let Some(written) = self.note_written(recorded, ended) {
            event.memory = Some(written);
        }
        if let (Ended::Released(release), Some(keys)) = (ended, caller.tenant.keys())
            && let Some(result) = &mut event.result
        {
            result.digest = decision::args_digest(release.body(), &keys.digest_key);
        }
        if let (Ended::Task(task), Some(keys), Some(result)) =
            (ended, caller.tenant.keys(), &mut event.result)
        {
            result.digest = decision::args_digest(task.main().body(), &keys.digest_key);
        }
        if let Some(upstream) = &mut event.upstream {
            upstream.latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        }
        match crate::spool::event_id(&self.random, event.time) {
            Ok(id) => event.event_id = id,
            // Without randomness the call stays open until the restart says "unknown".
            Err(_) => tracing::error!("no random bytes for the id of an outcome"),
        }
        if Some(event.event_id) != event.of {
            let corrections = std::mem::take(&mut settled.corrections);
            self.spool.outcome(Box::new(event), corrections).await;
            settled.finish();
        }
    }
}

fn describe(event: &mut AuditEvent, ended: &Ended) {
    let of_task;
    let (status, reason, findings) = match ended {
        Ended::Released(release) => {
            event.kind = Kind::Completed;
            (release.findings().status, None, Some(release.findings()))
        }
        Ended::Withheld(withheld) => {
            event.kind = Kind::Withheld;
            let findings = &withheld.findings;
            (findings.status, Some(withheld.reason), Some(findings))
        }
        Ended::Failed(failure) => {
            event.kind = match failure {
                Failure::Cancelled => Kind::Cancelled,
                Failure::Invalid | Failure::Refused | Failure::TooLarge => Kind::Withheld,
                Failure::Unreachable
                | Failure::Overloaded
                | Failure::Open
                | Failure::NoCredential
                | Failure::Unsendable => Kind::Failed,
                // It was sent: whether the tool did it is not known.
                Failure::Broken
                | Failure::Stranded
                | Failure::ServerError
                | Failure::SessionLost
                | Failure::Timeout => Kind::Unknown,
            };
            let reason = (*failure != Failure::Cancelled).then(|| failure.reason());
            (failure.as_str(), reason, None)
        }
        Ended::Streamed(streamed) => {
            event.kind = streamed.kind;
            (streamed.status, streamed.reason, Some(&streamed.findings))
        }
        Ended::Task(task) => {
            event.kind = Kind::Completed;
            of_task = task.findings();
            (of_task.status, None, Some(&of_task))
        }
    };
    event.reason = reason;
    event.control = reason.map(Reason::control);
    event.upstream = Some(EventUpstream {
        status: status.to_owned(),
        latency_us: 0,
    });
    if let Some(findings) = findings {
        event.result = Some(EventResult {
            digest: None,
            bytes: findings.bytes,
            // As many as can be is not a count: nobody can say how many there are.
            rows: Some(findings.rows).filter(|rows| (1..u64::MAX).contains(rows)),
        });
        event.policy.clone_from(&findings.policies);
        event.mode = findings.monitored.then_some(PolicyMode::Monitor);
        event.content.clone_from(&findings.content);
        event.memory = findings.memory.map(|read| EventMemory {
            read: Some(read),
            ..EventMemory::default()
        });
        event.timings_us = findings.timings_us();
        event.verdicts = findings.verdicts();
    }
}

fn worded(release: Release, task: Option<&Task>, facts: &Facts) -> Outcome {
    let note = note(facts, release.findings().changes);
    match release.channel() {
        // Neither a note nor word of a task is an answer: what says so here is treated as one that says nothing.
        Channel::Result | Channel::Note | Channel::Task => {
            let mut result = noted(release.into_body(), note);
            if let Some(task) = task {
                upstream::task::relate(&mut result, &task.id);
            }
            Outcome::Result(result)
        }
        Channel::Question => Outcome::Question(noted(release.into_body(), note)),
        Channel::Error => Outcome::Error(upstream_error(release.into_body(), facts)),
    }
}

/// The decision as the agent gets to see it, and what was changed on either way.
pub(super) fn note(facts: &Facts, changes: Changes) -> Value {
    let effect = if facts.changed || changes.any() {
        "modify"
    } else {
        "allow"
    };
    let mut note = json!({ "decision_id": facts.decision_id.to_string(), "effect": effect });
    let numbers = [
        ("arguments_changed", u64::from(facts.changed)),
        ("rows_dropped", changes.rows_dropped),
        ("rows_cut", changes.rows_cut),
        ("redacted", changes.redacted),
    ];
    if let Some(members) = note.as_object_mut() {
        let changed = numbers.into_iter().filter(|(_, number)| *number > 0);
        members.extend(changed.map(|(name, number)| (name.to_owned(), number.into())));
    }
    note
}

/// A tool server's JSON-RPC error, so that it can't be taken for one of ours: not our codes, its data under its own key.
pub(super) fn upstream_error(mut error: Map<String, Value>, facts: &Facts) -> Map<String, Value> {
    let code = error.get("code").and_then(Value::as_i64);
    let code =
        code.filter(|code| !(-32019..=-32010).contains(code) && !(-31019..=-31010).contains(code));
    let message = match error.remove("message") {
        Some(Value::String(message)) => message,
        _ => "the tool server answered with an error".to_owned(),
    };
    let mut data = Map::new();
    data.insert("decision_id".into(), facts.decision_id.to_string().into());
    data.extend(
        error
            .remove("data")
            .map(|theirs| ("upstream".to_owned(), theirs)),
    );
    // What the specification gives a code a meaning by, where clients look for it. Pages were judged as a question's.
    if code == Some(ELICITATION_REQUIRED)
        && let Some(Value::Object(theirs)) = data.get_mut("upstream")
        && let Some(pages) = theirs.remove("elicitations")
    {
        data.insert("elicitations".into(), pages);
    }
    // Names of capabilities, nothing else.
    let required = (code == Some(-32021))
        .then(|| data.get("upstream")?.get("requiredCapabilities"))
        .flatten();
    if let Some(required) = required.map(|required| {
        let mut named = Talk::askable(Some(required));
        if let (true, Value::Object(tasks)) = (
            upstream::task::declared(Some(required)),
            upstream::task::capability(),
        ) {
            named.extend(tasks);
        }
        named
    }) {
        data.insert("requiredCapabilities".into(), required.into());
    }
    let mut ours = Map::new();
    ours.insert("code".into(), code.unwrap_or(-32603).into());
    ours.insert("message".into(), message.into());
    ours.insert("data".into(), Value::Object(data));
    ours
}

/// The pages that an error sends a person to.
fn pages(error: &Map<String, Value>) -> impl Iterator<Item = &Map<String, Value>> {
    let data = error.get("data");
    let pages = data.and_then(|data| data.get("elicitations")?.as_array());
    pages.into_iter().flatten().filter_map(Value::as_object)
}

/// The result with the decision in its `_meta`.
pub(super) fn noted(mut result: Map<String, Value>, note: Value) -> Map<String, Value> {
    match result.get_mut("_meta") {
        Some(Value::Object(meta)) => drop(meta.insert("dev.proctor/decision".into(), note)),
        _ => drop(result.insert("_meta".into(), json!({ "dev.proctor/decision": note }))),
    }
    result
}

//! A completion that comes as a stream of events: each is judged, changed and written anew as it passes.
//!
//! Text goes through the content filter's [`Splitter`]: what could be the beginning of a match waits, over the end of a text
//! part too where another follows. A tool call that the model asks for waits until it is whole, as a policy may refuse it.
//! What is not known here does not pass.

mod chat;
mod messages;
mod responses;
mod row;
mod tail;

use super::calls::{self, Takes};
use super::sse::{self, Event};
use super::usage::{Meter, Reached, Told, told};
use super::{Api, Prompt, Usage, parts};
use crate::decision::Permit;
use crate::filter::{Content, Outcome, Splitter};
use crate::policy::{Evaluator, ResultView, Subject};
use crate::world::World;
use proctor_model::Reason;
use proctor_model::audit::EventPolicy;
use proctor_model::content::{ContentAction, ContentFinding, Direction};
use row::Passed;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Most texts and tool calls of one stream that are told apart.
const PARTS_MAX: usize = 256;
/// So many bytes of events may come for a byte of answer: one token's event is some hundred bytes.
const WRAPPING_MAX: u64 = 256;

/// What a stream is judged by: its permit, and the world as it is at this moment.
pub struct Gate<'g, 'w> {
    /// The permit that it was asked for with.
    pub permit: &'g Permit,
    /// The world.
    pub world: &'g World<'w>,
    /// Runs the policies.
    pub evaluator: &'g mut Evaluator,
}

/// Why a stream must end before its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stop {
    /// The reason.
    pub reason: Reason,
    /// More about it: names at most, never values.
    pub detail: Option<String>,
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            detail: None,
        }
    }
}

/// How a stream ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// As it should.
    Done,
    /// The provider said that it failed; the agent has been told.
    Failed,
    /// Here: the agent has to be told.
    Stopped(Stop),
}

/// A stream on its way.
#[derive(Debug)]
pub struct Relay {
    form: Form,
    flow: Flow,
}

#[derive(Debug)]
enum Form {
    Chat(chat::Chat),
    Messages(messages::Messages),
    Responses(responses::Responses),
}

/// What the dialects have in common.
#[derive(Debug)]
struct Flow {
    api: Api,
    out: Vec<u8>,
    texts: BTreeMap<String, Splitter>,
    /// How many parts they have.
    parts: usize,
    meter: Meter,
    /// The provider has said how many tokens the whole answer has.
    accounted: bool,
    /// Why the budgets have no more for it.
    short: Stop,
    /// Bytes of texts and tool calls: the answer.
    bytes: u64,
    /// Bytes of the events that it came in.
    wrapped: u64,
    calls: Vec<Value>,
    content: BTreeMap<(String, ContentAction), u32>,
    policies: Vec<EventPolicy>,
    monitored: bool,
}

type Step = Result<Option<Ending>, Stop>;

impl Relay {
    /// For the answer to a prompt. `tokens_max`: where it is cut.
    #[must_use]
    pub fn new(prompt: &Prompt, tokens_max: Option<u64>) -> Self {
        let form = match prompt.api {
            Api::Messages => Form::Messages(messages::Messages::default()),
            Api::Responses => Form::Responses(responses::Responses::default()),
            Api::ChatCompletions | Api::Embeddings => {
                Form::Chat(chat::Chat::new(prompt.wants_usage))
            }
        };
        Self {
            form,
            flow: Flow {
                api: prompt.api,
                out: Vec::new(),
                texts: BTreeMap::new(),
                parts: 0,
                meter: Meter::new(tokens_max),
                accounted: false,
                short: Reason::BudgetExhausted.into(),
                bytes: 0,
                wrapped: 0,
                calls: Vec::new(),
                content: BTreeMap::new(),
                policies: Vec::new(),
                monitored: false,
            },
        }
    }

    /// The budgets have so many tokens for the answer: there it is cut, for this reason if one is known.
    pub fn fund(&mut self, output_tokens: u64, short: Option<Stop>) {
        self.flow.meter.fund(output_tokens);
        if let Some(short) = short {
            self.flow.short = short;
        }
    }

    /// Tokens of the prompt, if the provider has said so.
    #[must_use]
    pub fn input_tokens(&self) -> Option<u64> {
        self.flow.meter.input()
    }

    /// Tokens of the answer so far.
    #[must_use]
    pub fn output_tokens(&self) -> u64 {
        self.flow.meter.output()
    }

    /// Takes the provider's next event; says so if it was the last.
    pub fn take(&mut self, event: &Event, gate: &mut Gate<'_, '_>) -> Option<Ending> {
        let flow = &mut self.flow;
        flow.wrapped = flow.wrapped.saturating_add(length(&event.data));
        if flow.wrapped > gate.permit.limits().bytes.saturating_mul(WRAPPING_MAX) {
            return Some(Ending::Stopped(Reason::OutputTooLarge.into()));
        }
        let step = match &mut self.form {
            Form::Chat(chat) => chat.take(event, flow, gate),
            Form::Messages(messages) => messages.take(event, flow, gate),
            Form::Responses(responses) => responses.take(event, flow, gate),
        };
        step.unwrap_or_else(|stop| Some(Ending::Stopped(stop)))
    }

    /// What may go to the agent now: whole events.
    #[must_use]
    pub fn drain(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.flow.out)
    }

    /// The provider sends no more, without having said that it is done. Not every provider of chat completions says so.
    pub fn hang_up(&mut self, gate: &mut Gate<'_, '_>) -> Ending {
        let step = match &mut self.form {
            Form::Chat(chat) => chat.hang_up(&mut self.flow, gate),
            Form::Messages(_) | Form::Responses(_) => Err(Reason::UpstreamUnavailable.into()),
        };
        match step {
            Ok(ending) => ending.unwrap_or(Ending::Done),
            Err(stop) => Ending::Stopped(stop),
        }
    }

    /// An event of the dialect that says why a stream ends, for [`Relay::drain`].
    pub fn say(&mut self, error: Value) {
        match &mut self.form {
            Form::Chat(_) => self.flow.emit("", &serde_json::json!({ "error": error })),
            Form::Messages(_) => {
                let event = serde_json::json!({ "type": "error", "error": error });
                self.flow.emit("error", &event);
            }
            Form::Responses(responses) => responses.say(error, &mut self.flow),
        }
    }

    /// Size of the answer's texts and tool calls, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.flow.bytes
    }

    /// What was used so far; `whole`: the stream is done, or the provider has said what all of it used.
    #[must_use]
    pub fn usage(&self, permit: &Permit, whole: bool) -> Usage {
        self.flow.meter.usage(permit.arguments(), whole)
    }

    /// What the content filter found.
    #[must_use]
    pub fn content(&self, permit: &Permit, world: &World<'_>) -> Vec<ContentFinding> {
        self.flow.findings(permit, world)
    }

    /// What each policy said last, and whether one in monitor mode would have stopped it.
    #[must_use]
    pub fn policies(&self) -> (&[EventPolicy], bool) {
        (&self.flow.policies, self.flow.monitored)
    }
}

fn length(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

impl Gate<'_, '_> {
    fn content(&self) -> Result<Content<'_>, Stop> {
        let tool = self.world.tenant.catalogue().get(self.permit.tool());
        let tool = tool.ok_or(Stop::from(Reason::Internal))?;
        Ok(crate::decide::at(Direction::Inbound, tool, self.world))
    }
}

impl Flow {
    fn emit(&mut self, name: &str, data: &Value) {
        sse::write(&mut self.out, name, &data.to_string());
    }

    /// What the provider says of the prompt, before it knows anything of the answer.
    fn hear_first(&mut self, usage: Option<&Value>) {
        let told = usage.map_or_else(Told::default, |usage| told(self.api, usage));
        let output = None;
        self.meter.hear(Told { output, ..told });
    }

    fn hear(&mut self, usage: Option<&Value>) -> Result<(), Stop> {
        let told = usage.map_or_else(Told::default, |usage| told(self.api, usage));
        self.meter.hear(told);
        match self.meter.is_passed() {
            true => Err(Reason::TokensExhausted.into()),
            false => Ok(()),
        }
    }

    /// The next piece of one of the stream's texts.
    fn text(&mut self, key: &str, piece: &str, gate: &Gate<'_, '_>) -> Result<Passed, Stop> {
        let content = gate.content()?;
        self.grow(piece, gate)?;
        let spent = self.meter.spend(piece);
        if !self.texts.contains_key(key) {
            self.one_more_part()?;
        }
        let splitter = self.texts.entry(key.to_owned()).or_default();
        let mut released = splitter.push(spent.piece, &content);
        if spent.reached.is_some() && !released.stop {
            released.append(&splitter.finish(&content));
        }
        let stop = match (released.stop, spent.reached) {
            (true, _) => Some(blocked(&splitter.findings(&content))),
            (false, Some(why)) => Some(self.reached(why)),
            (false, None) => None,
        };
        Ok(Passed::new(released, stop))
    }

    /// What comes of one of the texts from now on is of another part.
    fn next_part(&mut self, key: &str) -> Result<(), Stop> {
        self.one_more_part()?;
        self.texts.entry(key.to_owned()).or_default().next_part();
        Ok(())
    }

    fn one_more_part(&mut self) -> Result<(), Stop> {
        self.parts = self.parts.saturating_add(1);
        match self.parts > PARTS_MAX {
            true => Err(Reason::OutputTooLarge.into()),
            false => Ok(()),
        }
    }

    /// What waits of a text, now that no more comes.
    fn rest(&mut self, key: &str, gate: &Gate<'_, '_>) -> Result<Passed, Stop> {
        let content = gate.content()?;
        let Some(splitter) = self.texts.get_mut(key) else {
            return Ok(Passed::default());
        };
        let released = splitter.finish(&content);
        let stop = released.stop.then(|| blocked(&splitter.findings(&content)));
        Ok(Passed::new(released, stop))
    }

    /// Takes note of a part of a tool call that waits.
    fn hold(&mut self, part: &str, gate: &Gate<'_, '_>) -> Result<(), Stop> {
        self.grow(part, gate)?;
        self.spend(part)
    }

    fn spend(&mut self, part: &str) -> Result<(), Stop> {
        match self.meter.spend(part).reached {
            Some(why) => Err(self.reached(why)),
            None => Ok(()),
        }
    }

    /// Counts a piece of the answer.
    fn grow(&mut self, piece: &str, gate: &Gate<'_, '_>) -> Result<(), Stop> {
        self.bytes = self.bytes.saturating_add(length(piece));
        match self.bytes > gate.permit.limits().bytes {
            true => Err(Reason::OutputTooLarge.into()),
            false => Ok(()),
        }
    }

    fn reached(&self, why: Reached) -> Stop {
        match why {
            Reached::Ceiling => Reason::TokensExhausted.into(),
            Reached::Funds => self.short.clone(),
        }
    }

    /// A value that stands by itself, as the content rules leave it, and counted.
    fn value(&mut self, value: &Value, gate: &Gate<'_, '_>) -> Result<Value, Stop> {
        let content = gate.content()?;
        let found = parts::treat(&content, value, content.treat(value));
        self.note(&found.findings);
        self.cleared(&found)?;
        Ok(found.altered.unwrap_or_else(|| value.clone()))
    }

    /// A value that repeats what has passed: as the rules leave it, not counted again.
    fn repeated(&mut self, value: &Value, gate: &Gate<'_, '_>) -> Result<Value, Stop> {
        let content = gate.content()?;
        let found = parts::treat(&content, value, content.treat(value));
        self.cleared(&found)?;
        Ok(found.altered.unwrap_or_else(|| value.clone()))
    }

    fn cleared<T>(&self, found: &Outcome<T>) -> Result<(), Stop> {
        match found.refusal() {
            None => Ok(()),
            Some(_) => Err(Stop {
                reason: Reason::ContentBlocked,
                detail: Some(found.classes()),
            }),
        }
    }

    /// The arguments of a tool call, as the rules leave them: JSON in a text is looked at as what it says.
    fn arguments(&mut self, text: &str, takes: Takes, gate: &Gate<'_, '_>) -> Result<String, Stop> {
        let parsed = calls::read(text, takes)?.filter(|value| !value.is_string());
        match parsed {
            Some(value) => {
                let found = gate.content()?.treat(&value);
                self.note(&found.findings);
                self.cleared(&found)?;
                Ok(found
                    .altered
                    .map_or_else(|| text.to_owned(), |altered| altered.to_string()))
            }
            None => {
                let value = self.value(&Value::String(text.to_owned()), gate)?;
                Ok(value.as_str().unwrap_or_default().to_owned())
            }
        }
    }

    fn note(&mut self, findings: &[ContentFinding]) {
        for finding in findings {
            let key = (finding.class.clone(), finding.action);
            let count = self.content.entry(key).or_default();
            *count = count.saturating_add(finding.count);
        }
    }

    fn findings(&self, permit: &Permit, world: &World<'_>) -> Vec<ContentFinding> {
        let mut counts = self.content.clone();
        if let Some(tool) = world.tenant.catalogue().get(permit.tool()) {
            let content = crate::decide::at(Direction::Inbound, tool, world);
            for finding in self.texts.values().flat_map(|text| text.findings(&content)) {
                let count = counts.entry((finding.class, finding.action)).or_default();
                *count = count.saturating_add(finding.count);
            }
        }
        let finding = |((class, action), count)| ContentFinding {
            class,
            direction: Direction::Inbound,
            action,
            count,
        };
        counts.into_iter().map(finding).collect()
    }

    /// One more tool call that the model asks for.
    fn call(&mut self, name: &str, arguments: &str, takes: Takes) -> Result<(), Stop> {
        let arguments = Value::String(arguments.to_owned());
        self.called(calls::call(name, &arguments, takes)?)
    }

    /// The same as policies see it.
    fn called(&mut self, call: Value) -> Result<(), Stop> {
        if self.calls.len() >= PARTS_MAX {
            return Err(Reason::OutputTooLarge.into());
        }
        self.calls.push(call);
        Ok(())
    }

    /// Asks the policies about what came so far, before the last of it goes on.
    fn judge(&mut self, gate: &mut Gate<'_, '_>) -> Result<(), Stop> {
        let world = gate.world;
        let content = self.findings(gate.permit, world);
        let tool = world.tenant.catalogue().get(gate.permit.tool());
        let subject = Subject {
            token: gate.permit.token(),
            tool: tool.ok_or(Stop::from(Reason::Internal))?,
            arguments: gate.permit.arguments(),
            origins: &gate.permit.facts().origins,
            memory: None,
            content: &content,
            result: Some(ResultView {
                rows: 0,
                bytes: self.bytes,
                error: false,
                tool_calls: Some(&self.calls),
                memory: None,
            }),
        };
        let judgement = gate.evaluator.judge_answer(&subject, world);
        self.policies = judgement.events;
        self.monitored |= judgement.monitored;
        match judgement.refusal {
            None => {}
            Some((Reason::ApprovalRequired | Reason::PolicyDeferred, detail)) => {
                let reason = Reason::PolicyDenied;
                return Err(Stop { reason, detail });
            }
            Some((reason, detail)) => return Err(Stop { reason, detail }),
        }
        if judgement.bytes_max.is_some_and(|most| self.bytes > most) {
            return Err(Reason::OutputTooLarge.into());
        }
        // What was to be taken out may have gone on already.
        let all = gate.permit.redact();
        match all
            .and(judgement.redact, judgement.redact_classes)
            .is_empty()
        {
            true => Ok(()),
            false => Err(Reason::PolicyUnenforceable.into()),
        }
    }
}

/// What a stream is stopped for: the strictest of what was found.
fn blocked(findings: &[ContentFinding]) -> Stop {
    let strict = findings
        .iter()
        .filter(|f| f.action >= ContentAction::Escalate);
    let named: Vec<_> = strict
        .map(|f| format!("{}: {}", f.class, f.count))
        .collect();
    Stop {
        reason: Reason::ContentBlocked,
        detail: Some(named.join(", ")),
    }
}

/// Reads an event's data.
fn object(data: &str) -> Result<Map<String, Value>, Stop> {
    serde_json::from_str(data).map_err(|_| Reason::OutputInvalid.into())
}

/// A text member of an object.
fn text_of<'v>(members: &'v Map<String, Value>, name: &str) -> &'v str {
    members
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

//! What came back for a permitted call, on one screen: the counterpart of [`mod@crate::decide`].
//!
//! Everything that a tool server sends towards an agent goes through [`respond`](respond()), whatever way it came. A step may
//! refuse, and then the answer is withheld; or it may change the body. What is released is what the session's tracker
//! then reads.

use crate::catalogue::Tool;
use crate::decision::{Permit, Redact};
use crate::filter::Place;
use crate::memory::{self, Examined, MemoryKey, MemoryView};
use crate::policy::{Evaluator, ResultView, Subject};
use crate::response::{Foreign, hold_to_tenant, redact, rows, strip, trim};
use crate::step::{No, Step, Steps, step};
use crate::told::Told;
use crate::world::World;
use proctor_model::audit::{EventPolicy, EventVerdict};
use proctor_model::catalogue::{MemoryAction, MemoryUse};
use proctor_model::content::{ContentFinding, Direction};
use proctor_model::memory::MemorySummary;
use proctor_model::{Control, EntryKind, Reason};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The way by which something came back. A new one is one more variant here: the steps ask what it is where it matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channel {
    /// The `result` of a `tools/call`, `resources/read`, `prompts/get` or `completion/complete`.
    Result,
    /// The members of a JSON-RPC error.
    Error,
    /// The parameters of a notification about the call: progress, a line of a log.
    Note,
    /// What the server asks the client before it answers: `inputRequests`, by name.
    Question,
    /// What the server says of a task, its result not included: `statusMessage` and `_meta`.
    Task,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Result,
        Self::Error,
        Self::Note,
        Self::Question,
        Self::Task,
    ];

    /// Whether it is the answer itself, and not said beside it.
    #[must_use]
    pub fn answers(self) -> bool {
        matches!(self, Self::Result | Self::Error)
    }
}

/// What a tool server sent, not yet looked at.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// How it came.
    pub channel: Channel,
    /// Its members.
    pub body: Map<String, Value>,
    /// Size as it came, in bytes.
    pub bytes: u64,
}

/// Whether the agent gets it.
#[derive(Debug)]
#[must_use]
pub enum Response {
    /// It does.
    Release(Box<Release>),
    /// It does not.
    Withhold(Box<Withhold>),
}

/// An answer that may be passed on. Only [`respond`](respond()) makes one:
///
/// ```compile_fail
/// fn forge(findings: proctor_engine::Findings) -> proctor_engine::Release {
///     proctor_engine::Release { findings }
/// }
/// ```
#[derive(Debug)]
#[must_use]
pub struct Release {
    channel: Channel,
    body: Map<String, Value>,
    findings: Findings,
    /// The body as it was before the content rules altered it.
    original: Option<Map<String, Value>>,
    memory: Option<Examined>,
}

/// An answer that is kept back.
#[derive(Clone, PartialEq, Debug)]
#[must_use]
pub struct Withhold {
    /// The reason.
    pub reason: Reason,
    /// Where it failed: names at most, never values.
    pub detail: Option<String>,
    /// For audit.
    pub findings: Findings,
}

/// What was found in an answer, without any value of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Findings {
    /// How the tool ended: `ok`, `tool_error`, `rpc_error`.
    pub status: &'static str,
    /// Size as it came, in bytes.
    pub bytes: u64,
    /// Rows ([`crate::response::rows`]) of what is passed on.
    pub rows: u64,
    /// How the memory in it stood, if the tool reads memory.
    pub memory: Option<MemorySummary>,
    /// How what is passed on differs from what came.
    pub changes: Changes,
    /// What each policy said.
    pub policies: Vec<EventPolicy>,
    /// Whether a policy in monitor mode would have withheld it.
    pub monitored: bool,
    /// What the content filter found.
    pub content: Vec<ContentFinding>,
    /// The controls that judged, in order.
    pub steps: Vec<Step>,
}

/// How an answer was changed: numbers only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// Rows of other tenants that were left out.
    pub rows_dropped: u64,
    /// Rows beyond a policy's limit that were cut off: of the longest list.
    pub rows_cut: u64,
    /// Values that were replaced.
    pub redacted: u64,
}

impl Changes {
    /// Whether there is any.
    #[must_use]
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}

/// Judges what came back. Total: anything that can't be vouched for is withheld with a reason.
pub fn respond(
    permit: &Permit,
    answer: Answer,
    world: &World<'_>,
    evaluator: &mut Evaluator,
) -> Response {
    respond_after(permit, Told::default(), answer, world, evaluator)
}

/// The same, where the server has said something of the call before: ceilings are on all that it says, the answer apart.
pub fn respond_after(
    permit: &Permit,
    told: Told,
    answer: Answer,
    world: &World<'_>,
    evaluator: &mut Evaluator,
) -> Response {
    let mut findings = Findings::of(&answer);
    let Answer {
        channel, mut body, ..
    } = answer;
    let told = told.before(channel, &body);
    let mut original = None;
    let outcome = (|| {
        let (findings, body) = (&mut findings, &mut body);
        // Before anything of ours is noted in it.
        strip(body);
        let tool = step(findings, world, Control::Output, |_| {
            let tool = world.tenant.catalogue().get(permit.tool());
            let tool = tool.ok_or(Reason::Internal)?;
            shape(tool, channel, body)?;
            Ok(tool)
        })?;
        let memory = match tool.entry().memory {
            Some(MemoryUse::Read) => step(findings, world, Control::Provenance, |findings| {
                remember(permit, tool, channel, body, world, findings).map(Some)
            })?,
            _ => None,
        };
        step(findings, world, Control::Tenant, |findings| {
            within_tenant(tool, world, channel, body, findings)
        })?;
        step(findings, world, Control::Output, |findings| {
            findings.rows = rows(tool, channel, body);
            ceilings(permit, tool, told, findings)
        })?;
        step(findings, world, Control::Content, |findings| {
            original = content(tool, channel, body, world, findings)?;
            Ok(())
        })?;
        let obligations = step(findings, world, Control::Policy, |findings| {
            policy(permit, tool, told, world, evaluator, findings)
        })?;
        step(findings, world, Control::Output, |findings| {
            obligations.meet(tool, told, world, channel, body, findings)
        })?;
        Ok(memory)
    })();
    match outcome {
        Ok(memory) => Response::Release(Box::new(Release {
            channel,
            body,
            findings,
            original,
            memory,
        })),
        Err(No(reason, detail)) => Response::Withhold(Box::new(Withhold {
            reason,
            detail,
            findings,
        })),
    }
}

/// Whether it is an answer at all, and fits the schema that the tool declares.
fn shape(tool: &Tool, channel: Channel, body: &Map<String, Value>) -> Result<(), No> {
    match channel {
        Channel::Note => return Ok(()),
        Channel::Error => return crate::question::check_error(body).map_err(No::from),
        Channel::Question => return crate::question::check(body).map_err(No::from),
        Channel::Task => return crate::task::check(body).map_err(No::from),
        Channel::Result => {}
    }
    // A task is no result: it comes by a channel of its own, to who has asked for one.
    let complete = body.get("resultType").is_none_or(|kind| kind == "complete");
    let member = match tool.reference().name.kind() {
        EntryKind::Tool => body.get("content").is_none_or(Value::is_array),
        EntryKind::Resource => has_list(body, "contents"),
        EntryKind::Prompt => has_list(body, "messages"),
    };
    if !complete || !member {
        return Err(Reason::OutputInvalid.into());
    }
    match (is_error(body), tool.output(), body.get("structuredContent")) {
        (true, ..) | (false, None, _) => Ok(()),
        (false, Some(schema), Some(content)) if schema.fits(content) => Ok(()),
        (false, Some(_), _) => Err(Reason::OutputInvalid.into()),
    }
}

/// What was asked for, or a completion of one of its arguments.
fn has_list(body: &Map<String, Value>, name: &str) -> bool {
    body.get(name).is_some_and(Value::is_array)
        || body.get("completion").is_some_and(Value::is_object)
}

fn within_tenant(
    tool: &Tool,
    world: &World<'_>,
    channel: Channel,
    body: &mut Map<String, Value>,
    findings: &mut Findings,
) -> Result<(), No> {
    match hold_to_tenant(tool, world.tenant.id(), channel, body) {
        Ok(dropped) => {
            findings.changes.rows_dropped = dropped;
            Ok(())
        }
        Err(Foreign) => Err(Reason::OutsideTenant.into()),
    }
}

/// Judges what a memory tool shows by its records, and leaves of it what may be passed on.
fn remember(
    permit: &Permit,
    tool: &Tool,
    channel: Channel,
    body: &mut Map<String, Value>,
    world: &World<'_>,
    findings: &mut Findings,
) -> Result<Examined, No> {
    let rule = tool.entry().memory_rule;
    let rule = rule.unwrap_or(world.tenant.settings().memory);
    match channel {
        Channel::Result => {}
        Channel::Error => return Ok(memory::hush(rule, body)),
        // A memory server's own words, before it answers: nobody signed them.
        Channel::Note | Channel::Question | Channel::Task if rule.action == MemoryAction::Label => {
            return Ok(Examined::default());
        }
        Channel::Note | Channel::Question | Channel::Task => {
            return Err(Reason::MemoryUnsigned.into());
        }
    }
    let key = MemoryKey::new(world.digest_key);
    let found = memory::find(tool, permit.arguments(), body, &key);
    let nothing = MemoryView::default();
    let view = world.memory.unwrap_or(&nothing);
    let examined = memory::examine(tool, found, view, rule, body);
    let (summary, outcome) = match examined {
        Ok(examined) => (examined.summary, Ok(examined)),
        Err((reason, summary)) => (summary, Err(No(reason, None))),
    };
    findings.memory = Some(summary);
    outcome
}

fn ceilings(permit: &Permit, tool: &Tool, told: Told, findings: &Findings) -> Result<(), No> {
    let limits = permit.limits();
    // The server's own limit is one on each message, a policy's is on all of them.
    let all = match limits.bytes < u64::from(tool.result_bytes_max()) {
        true => told.bytes.saturating_add(findings.bytes),
        false => findings.bytes,
    };
    if all > limits.bytes {
        return Err(Reason::OutputTooLarge.into());
    }
    let all = told.rows.saturating_add(findings.rows);
    if limits.rows.is_some_and(|most| all > most) {
        return Err(Reason::OutputTooManyRows.into());
    }
    Ok(())
}

/// Asks the policies once more, now that the answer is there. The call was made: nobody can be asked about it, nothing is
/// to be waited for.
fn policy(
    permit: &Permit,
    tool: &Tool,
    told: Told,
    world: &World<'_>,
    evaluator: &mut Evaluator,
    findings: &mut Findings,
) -> Result<Obligations, No> {
    let subject = Subject {
        token: permit.token(),
        tool,
        arguments: permit.arguments(),
        origins: &permit.facts().origins,
        memory: permit.memory(),
        content: &findings.content,
        result: Some(ResultView {
            rows: told.rows.saturating_add(findings.rows),
            bytes: told.bytes.saturating_add(findings.bytes),
            error: findings.status != "ok",
            tool_calls: None,
            memory: findings.memory,
        }),
    };
    let judgement = evaluator.judge_answer(&subject, world);
    findings.policies = judgement.events;
    findings.monitored = judgement.monitored;
    let redact = (permit.redact()).and(judgement.redact, judgement.redact_classes);
    let unknown = |class: &String| !world.tenant.content().knows(class);
    if redact.classes.iter().any(unknown)
        || (judgement.tokens_max.is_some() && tool.model().is_none())
    {
        return Err(Reason::PolicyUnenforceable.into());
    }
    match judgement.refusal {
        None => Ok(Obligations {
            redact,
            rows_max: judgement.rows_max,
            bytes_max: judgement.bytes_max,
        }),
        Some((Reason::ApprovalRequired | Reason::PolicyDeferred, rules)) => {
            Err(No(Reason::PolicyDenied, rules))
        }
        Some((reason, rules)) => Err(No(reason, rules)),
    }
}

/// What policies want done with an answer.
struct Obligations {
    redact: Redact,
    rows_max: Option<u64>,
    bytes_max: Option<u64>,
}

impl Obligations {
    /// Does it. An answer that can't be made to fit is withheld.
    fn meet(
        &self,
        tool: &Tool,
        told: Told,
        world: &World<'_>,
        channel: Channel,
        body: &mut Map<String, Value>,
        findings: &mut Findings,
    ) -> Result<(), No> {
        let Redact { pointers, classes } = &self.redact;
        if !pointers.is_empty() {
            let redacted = redact(pointers, channel, body);
            let Ok(redacted) = redacted else {
                return Err(Reason::OutputInvalid.into());
            };
            findings.changes.redacted = redacted;
        }
        if !classes.is_empty() {
            let more = redact_classes(classes, tool, world, body);
            findings.changes.redacted = findings.changes.redacted.saturating_add(more);
        }
        let rows_max = self.rows_max.map(|most| most.saturating_sub(told.rows));
        if let Some(most) = rows_max.filter(|most| findings.rows > *most) {
            let before = findings.rows;
            trim(tool, channel, body, most);
            findings.rows = rows(tool, channel, body);
            if findings.rows > most {
                return Err(Reason::OutputTooManyRows.into());
            }
            findings.changes.rows_cut = before.saturating_sub(findings.rows);
        }
        let all = told.bytes.saturating_add(findings.bytes);
        if self.bytes_max.is_some_and(|most| all > most) {
            return Err(Reason::OutputTooLarge.into());
        }
        if findings.changes.any() {
            // A client holds structured content against the same schema.
            shape(tool, channel, body)?;
        }
        Ok(())
    }
}

/// Takes every match of these classes out of an answer; gives how many there were.
pub(crate) fn redact_classes(
    classes: &[String],
    tool: &Tool,
    world: &World<'_>,
    body: &mut Map<String, Value>,
) -> u64 {
    let place = Place::of(Direction::Inbound, tool);
    let value = Value::Object(std::mem::take(body));
    let meant = |name: &str| classes.iter().any(|class| class == name);
    let (value, count) = match world.tenant.content().redacted(&value, &meant, place) {
        Some((redacted, count)) => (redacted, count),
        None => (value, 0),
    };
    if let Value::Object(members) = value {
        *body = members;
    }
    count
}

/// Carries out the content rules, on every member. Returns the body as it was, if it is another one now.
fn content(
    tool: &Tool,
    channel: Channel,
    body: &mut Map<String, Value>,
    world: &World<'_>,
    findings: &mut Findings,
) -> Result<Option<Map<String, Value>>, No> {
    let content = crate::decide::at(Direction::Inbound, tool, world);
    let found = crate::llm::parts::treat_members(&content, body, content.treat_members(body));
    findings.content.clone_from(&found.findings);
    if found.refusal().is_some() {
        return Err(No(Reason::ContentBlocked, Some(found.classes())));
    }
    let Some(altered) = found.altered else {
        return Ok(None);
    };
    shape(tool, channel, &altered).map_err(|_| No::from(Reason::ContentUnfit))?;
    Ok(Some(std::mem::replace(body, altered)))
}

fn is_error(body: &Map<String, Value>) -> bool {
    body.get("isError") == Some(&Value::Bool(true))
}

impl Release {
    /// How it came.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// What the agent gets to see: what its session's tracker has to read.
    #[must_use]
    pub fn body(&self) -> &Map<String, Value> {
        &self.body
    }

    /// The body as it was before the content rules altered it, if they did: the session's tracker has to see it too,
    /// nobody else.
    #[must_use]
    pub fn original(&self) -> Option<&Map<String, Value>> {
        self.original.as_ref()
    }

    /// For audit.
    #[must_use]
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// A completion that was judged as one.
    pub(crate) fn of_model(
        body: Map<String, Value>,
        findings: Findings,
        original: Option<Map<String, Value>>,
    ) -> Self {
        Self {
            channel: Channel::Result,
            body,
            findings,
            original,
            memory: None,
        }
    }

    /// What became of it as memory, if the tool reads memory: the tracker has to know.
    #[must_use]
    pub fn memory(&self) -> Option<&Examined> {
        self.memory.as_ref()
    }

    /// To be passed on.
    #[must_use]
    pub fn into_body(self) -> Map<String, Value> {
        self.body
    }
}

impl Findings {
    /// Rows as a session counts them. Of what can't be vouched for ([`Self::rows`] is more than anything can hold) there are
    /// as many as fit: with the two bytes that the shortest one takes.
    #[must_use]
    pub fn rows_at_most(&self) -> u64 {
        match self.rows {
            u64::MAX => self.bytes / 2,
            rows => rows,
        }
    }

    /// Before anything was judged.
    #[must_use]
    pub fn of(answer: &Answer) -> Self {
        Self {
            status: match answer.channel {
                Channel::Error => "rpc_error",
                Channel::Note => "note",
                Channel::Question => "input_required",
                Channel::Task => "task",
                Channel::Result if is_error(&answer.body) => "tool_error",
                Channel::Result => "ok",
            },
            bytes: answer.bytes,
            rows: 0,
            changes: Changes::default(),
            memory: None,
            policies: Vec::new(),
            monitored: false,
            content: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Microseconds by control, for `timings_us` of the audit event.
    #[must_use]
    pub fn timings_us(&self) -> BTreeMap<String, u64> {
        crate::step::timings_us(&self.steps)
    }

    /// How each control judged, for `verdicts` of the audit event.
    #[must_use]
    pub fn verdicts(&self) -> BTreeMap<String, EventVerdict> {
        crate::step::verdicts(&self.steps)
    }
}

impl Steps for Findings {
    fn steps(&mut self) -> &mut Vec<Step> {
        &mut self.steps
    }
}

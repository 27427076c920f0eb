//! A completion that comes whole: judged like any tool's answer, by what it is.

use super::{Api, Usage, calls, parts, usage};
use crate::catalogue::Tool;
use crate::decision::Permit;
use crate::filter::{Content, Outcome};
use crate::policy::{Evaluator, ResultView, Subject};
use crate::respond::{Answer, Channel, Findings, Release, Response, Withhold, redact_classes};
use crate::response::redact;
use crate::step::{No, step};
use crate::world::World;
use proctor_model::content::Direction;
use proctor_model::{Control, Reason};
use serde_json::{Map, Value};

/// A judged completion, and what it used.
#[derive(Debug)]
pub struct Completed {
    /// Whether the agent gets it.
    pub response: Response,
    /// Its tokens: used, whether it is passed on or not.
    pub usage: Usage,
}

/// Judges a completion. `bytes`: its size as it came. Total, as [`respond`](crate::respond()) is.
#[must_use]
pub fn complete(
    permit: &Permit,
    api: Api,
    mut body: Map<String, Value>,
    bytes: u64,
    world: &World<'_>,
    evaluator: &mut Evaluator,
) -> Completed {
    let mut findings = Findings::of(&Answer {
        channel: Channel::Result,
        body: Map::new(),
        bytes,
    });
    let used = usage::of_whole(api, permit.arguments(), &body);
    let mut original = None;
    let outcome = (|| {
        let (findings, body) = (&mut findings, &mut body);
        let (tool, asked) = step(findings, world, Control::Output, |findings| {
            shape(api, body)?;
            if findings.bytes > permit.limits().bytes {
                return Err(Reason::OutputTooLarge.into());
            }
            let tool = world.tenant.catalogue().get(permit.tool());
            let tool = tool.ok_or(No::from(Reason::Internal))?;
            Ok((tool, calls::of_whole(api, body)?))
        })?;
        step(findings, world, Control::Budget, |_| {
            match permit.limits().tokens {
                Some(most) if used.output_tokens > most => Err(Reason::TokensExhausted.into()),
                _ => Ok(()),
            }
        })?;
        step(findings, world, Control::Content, |findings| {
            let found = treat(
                api,
                &crate::decide::at(Direction::Inbound, tool, world),
                body,
            );
            findings.content.clone_from(&found.findings);
            if found.refusal().is_some() {
                return Err(No(Reason::ContentBlocked, Some(found.classes())));
            }
            if let Some(altered) = found.altered {
                original = Some(std::mem::replace(body, altered));
            }
            Ok(())
        })?;
        step(findings, world, Control::Policy, |findings| {
            let view = ResultView {
                rows: 0,
                bytes,
                error: false,
                tool_calls: Some(&asked),
                memory: None,
            };
            obey(permit, tool, view, world, evaluator, body, findings)
        })
    })();
    let response = match outcome {
        Ok(()) => Response::Release(Box::new(Release::of_model(body, findings, original))),
        Err(No(reason, detail)) => Response::Withhold(Box::new(Withhold {
            reason,
            detail,
            findings,
        })),
    };
    Completed {
        response,
        usage: used,
    }
}

/// Whether it is an answer to what was asked at all.
fn shape(api: Api, body: &Map<String, Value>) -> Result<(), No> {
    let list = |name: &str| body.get(name).is_some_and(Value::is_array);
    let fits = match api {
        Api::ChatCompletions => list("choices"),
        Api::Responses => list("output"),
        Api::Messages => list("content"),
        Api::Embeddings => list("data") && body.get("data").is_some_and(are_vectors),
    };
    match fits {
        true => Ok(()),
        false => Err(Reason::OutputInvalid.into()),
    }
}

/// Whether these are embeddings: numbers, or numbers in base64.
fn are_vectors(data: &Value) -> bool {
    let vector = |value: &Value| match value.get("embedding") {
        Some(Value::Array(numbers)) => numbers.iter().all(Value::is_number),
        Some(Value::String(text)) => text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)),
        _ => false,
    };
    data.as_array().is_some_and(|data| data.iter().all(vector))
}

/// Members that say how a completion was made: numbers that are no telephone's, names of models.
const METADATA: [&str; 12] = [
    "id",
    "object",
    "created",
    "created_at",
    "completed_at",
    "model",
    "usage",
    "service_tier",
    "system_fingerprint",
    "type",
    "role",
    "status",
];

/// Carries out the content rules on a completion.
pub(super) fn treat(
    api: Api,
    content: &Content<'_>,
    body: &Map<String, Value>,
) -> Outcome<Map<String, Value>> {
    let ours = |name: &str| METADATA.contains(&name);
    let holds_vectors = |name: &str| api == Api::Embeddings && name == VECTORS;
    let looked: Map<String, Value> = body
        .iter()
        .filter(|(name, _)| !ours(name))
        .map(|(name, value)| {
            let value = match holds_vectors(name) {
                true => without_vectors(value),
                false => value.clone(),
            };
            (name.clone(), value)
        })
        .collect();
    let mut found = parts::treat_members(content, &looked, content.treat_members(&looked));
    if let Some(altered) = &mut found.altered {
        drop_pieces(altered);
        if api == Api::Embeddings {
            put_vectors(altered, body);
        }
        for (name, value) in body.iter().filter(|(name, _)| ours(name)) {
            altered.insert(name.clone(), value.clone());
        }
    }
    found
}

/// The member of an answer that has the embeddings.
const VECTORS: &str = "data";
/// The member of an embedding that is the vector.
const VECTOR: &str = "embedding";

/// Embeddings with nothing in the place of their vectors: what stands beside those is looked at as anything is.
fn without_vectors(data: &Value) -> Value {
    let bare = |element: &Value| match element {
        Value::Object(members) => {
            let mut members = members.clone();
            members.insert(VECTOR.to_owned(), Value::Null);
            Value::Object(members)
        }
        other => other.clone(),
    };
    data.as_array().into_iter().flatten().map(bare).collect()
}

/// Puts the vectors back to where they were.
fn put_vectors(altered: &mut Map<String, Value>, body: &Map<String, Value>) {
    let list = body.get(VECTORS).and_then(Value::as_array);
    let bare = altered.get_mut(VECTORS).and_then(Value::as_array_mut);
    for (bare, whole) in bare.into_iter().flatten().zip(list.into_iter().flatten()) {
        if let (Some(bare), Some(vector)) = (bare.as_object_mut(), whole.get(VECTOR)) {
            bare.insert(VECTOR.to_owned(), vector.clone());
        }
    }
}

/// Takes probabilities out, at any depth. They repeat the text token by token: where that is altered, they have to go.
pub(super) fn drop_pieces(members: &mut Map<String, Value>) {
    fn below(value: &mut Value) {
        match value {
            Value::Array(elements) => elements.iter_mut().for_each(below),
            Value::Object(members) => drop_pieces(members),
            _ => {}
        }
    }
    members.shift_remove("logprobs");
    members.values_mut().for_each(below);
}

/// Asks the policies about the completion, and does what they want done with it.
fn obey(
    permit: &Permit,
    tool: &Tool,
    view: ResultView<'_>,
    world: &World<'_>,
    evaluator: &mut Evaluator,
    body: &mut Map<String, Value>,
    findings: &mut Findings,
) -> Result<(), No> {
    let subject = Subject {
        token: permit.token(),
        tool,
        arguments: permit.arguments(),
        origins: &permit.facts().origins,
        memory: None,
        content: &findings.content,
        result: Some(view),
    };
    let judgement = evaluator.judge_answer(&subject, world);
    findings.policies = judgement.events;
    findings.monitored = judgement.monitored;
    match judgement.refusal {
        None => {}
        Some((Reason::ApprovalRequired | Reason::PolicyDeferred, rules)) => {
            return Err(No(Reason::PolicyDenied, rules));
        }
        Some((reason, rules)) => return Err(No(reason, rules)),
    }
    let all = (permit.redact()).and(judgement.redact, judgement.redact_classes);
    let unknown = |class: &String| !world.tenant.content().knows(class);
    if all.classes.iter().any(unknown) {
        return Err(Reason::PolicyUnenforceable.into());
    }
    if judgement
        .bytes_max
        .is_some_and(|most| findings.bytes > most)
    {
        return Err(Reason::OutputTooLarge.into());
    }
    if !all.pointers.is_empty() {
        findings.changes.redacted = redacted(&all.pointers, body)?;
    }
    if !all.classes.is_empty() {
        let more = redact_classes(&all.classes, tool, world, body);
        findings.changes.redacted = findings.changes.redacted.saturating_add(more);
    }
    Ok(())
}

/// The completion is one document, and so is each JSON text in it.
fn redacted(pointers: &[String], body: &mut Map<String, Value>) -> Result<u64, No> {
    const DOCUMENT: &str = "structuredContent";
    let mut around = Map::new();
    around.insert(DOCUMENT.to_owned(), Value::Object(std::mem::take(body)));
    let redacted = redact(pointers, Channel::Result, &mut around);
    match (redacted, around.remove(DOCUMENT)) {
        (Ok(redacted), Some(Value::Object(changed))) => {
            *body = changed;
            Ok(redacted)
        }
        _ => Err(Reason::OutputInvalid.into()),
    }
}

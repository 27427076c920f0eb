//! Redaction by JSON Pointer, with `*` for any one step.

use super::documents::{Place, Unvouched, each_document};
use crate::respond::Channel;
use serde_json::{Map, Value};

/// What stands in the place of what was taken out.
const REDACTED: &str = "[redacted]";

/// Replaces what these pointers lead to in each document of an answer; gives the number of values.
pub(crate) fn redact(
    pointers: &[String],
    channel: Channel,
    body: &mut Map<String, Value>,
) -> Result<u64, Unvouched> {
    let mut redacted = 0_u64;
    each_document(channel, body, &mut |document, place| {
        match place {
            Place::Envelope | Place::Table => return false,
            // Only the last of a name is looked at below: the others are taken out whole.
            Place::Readings => {
                redacted = redacted.saturating_add(1);
                return true;
            }
            Place::Document | Place::Part | Place::Several | Place::Mark | Place::Aside => {}
        }
        let count = pointers.iter().map(|pointer| redact_at(document, pointer));
        let count = count.fold(0_u64, u64::saturating_add);
        redacted = redacted.saturating_add(count);
        count > 0
    })?;
    Ok(redacted)
}

/// Replaces what a pointer leads to below a value; gives the number of values that were not redacted before.
pub(crate) fn redact_at(value: &mut Value, pointer: &str) -> u64 {
    let mut redacted = 0_u64;
    each_at(value, pointer, &mut |found| {
        if *found != REDACTED {
            *found = Value::String(REDACTED.to_owned());
            redacted = redacted.saturating_add(1);
        }
    });
    redacted
}

/// Calls `found` with each value that a pointer leads to.
pub(crate) fn each_at(value: &mut Value, pointer: &str, found: &mut dyn FnMut(&mut Value)) {
    let Some(rest) = pointer.strip_prefix('/') else {
        return found(value);
    };
    let (step, rest) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    match value {
        Value::Array(elements) if step == "*" => elements
            .iter_mut()
            .for_each(|element| each_at(element, rest, found)),
        Value::Array(elements) => {
            let element = step.parse().ok().and_then(|at: usize| elements.get_mut(at));
            if let Some(element) = element {
                each_at(element, rest, found);
            }
        }
        Value::Object(members) if step == "*" => members
            .values_mut()
            .for_each(|member| each_at(member, rest, found)),
        Value::Object(members) => {
            if let Some(member) = members.get_mut(&step.replace("~1", "/").replace("~0", "~")) {
                each_at(member, rest, found);
            }
        }
        _ => {}
    }
}

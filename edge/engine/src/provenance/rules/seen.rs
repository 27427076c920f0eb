//! Where values were seen, for policies and for what is written to memory.

use super::money::{currency_code, names_currency};
use crate::limits::{ORIGINS_MAX, ORIGINS_TEXT_BYTES_MAX};
use crate::provenance::passage::Passage;
use crate::provenance::query::{Query, Spelled};
use crate::provenance::tracker::Tracker;
use crate::provenance::value::Kind;
use proctor_model::catalogue::MemoryTrust;
use proctor_model::memory::Proved;
use serde_json::Value;
use std::collections::BTreeMap;

/// For policies: each text and number among the arguments by its JSON Pointer, with where it was seen: `goal`,
/// `trusted`, `memory:verified` and `memory:agent`, `tool:<server/tool>` for untrusted content; empty: nowhere, or a text longer than
/// [`ORIGINS_TEXT_BYTES_MAX`].
pub(crate) fn origins(
    arguments: &Value,
    goal: Option<&Passage>,
    session: &Tracker,
) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    let mut pending = vec![(String::new(), arguments)];
    while let Some((path, value)) = pending.pop() {
        if found.len() >= ORIGINS_MAX {
            break;
        }
        match value {
            Value::Array(elements) => pending.extend(
                elements
                    .iter()
                    .enumerate()
                    .map(|(at, element)| (format!("{path}/{at}"), element)),
            ),
            Value::Object(members) => pending.extend(members.iter().map(|(key, member)| {
                let key = key.replace('~', "~0").replace('/', "~1");
                (format!("{path}/{key}"), member)
            })),
            Value::Null | Value::Bool(_) => {}
            scalar => {
                let mut origins = origins_of(scalar, goal, session);
                if goal.is_some_and(|goal| has_currency(goal, &path, scalar))
                    && origins.iter().all(|origin| origin != "goal")
                {
                    origins.insert(0, "goal".to_owned());
                }
                found.insert(path, origins);
            }
        }
    }
    found
}

/// Whether the goal names the currency that an argument is, by the argument's name.
fn has_currency(goal: &Passage, pointer: &str, scalar: &Value) -> bool {
    let name = pointer
        .rsplit('/')
        .find(|step| step.parse::<usize>().is_err());
    let code = scalar.as_str().and_then(currency_code);
    let code = code.filter(|_| name.is_some_and(names_currency));
    code.is_some_and(|code| goal.has_typed(Kind::Currency, &code))
}

fn origins_of(scalar: &Value, goal: Option<&Passage>, session: &Tracker) -> Vec<String> {
    let mut origins = Vec::new();
    if scalar
        .as_str()
        .is_some_and(|text| text.len() > ORIGINS_TEXT_BYTES_MAX)
    {
        return origins;
    }
    let Some(spelled) = Spelled::of(scalar) else {
        return origins;
    };
    if goal.is_some_and(|goal| goal.has(&spelled, false)) {
        origins.push("goal".to_owned());
    }
    let query = session.query(&spelled);
    if session.proves(&query, false) {
        origins.push("trusted".to_owned());
    }
    origins.extend(memory_origin(&query, session));
    if let Some(tool) = session.suspect(&query) {
        origins.push(format!("tool:{tool}"));
    }
    origins
}

fn memory_origin(query: &Query, session: &Tracker) -> Option<String> {
    let proved = |least: &MemoryTrust| session.proved_by_memory(query, false, *least);
    let trust = [MemoryTrust::Verified, MemoryTrust::Agent]
        .into_iter()
        .find(proved)?;
    Some(format!("memory:{}", trust.as_str()))
}

/// What a value that is written to memory is worth, and why.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) origins: Vec<String>,
    pub(crate) trust: MemoryTrust,
    pub(crate) proved: Proved,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            trust: MemoryTrust::Verified,
            proved: Proved::Whole,
        }
    }
}

/// Judges one text or number that is written to memory. Proof is as strict as for an argument; words that nobody
/// else wrote are the agent's own only as long as it has read nothing untrusted that may have dictated them.
pub(crate) fn written(scalar: &Value, goal: Option<&Passage>, session: &Tracker) -> Written {
    let proofs = |value: &Spelled| {
        let goal = goal.is_some_and(|goal| goal.has(value, false));
        let mut origins: Vec<String> = goal.then(|| "goal".to_owned()).into_iter().collect();
        let query = session.query(value);
        if session.proves(&query, false) {
            origins.push("trusted".to_owned());
        }
        if session.proved_by_memory(&query, false, MemoryTrust::Verified) {
            origins.push("memory:verified".to_owned());
        }
        origins
    };
    let spelled = Spelled::of(scalar);
    let whole = spelled.as_ref().map(&proofs).unwrap_or_default();
    if !whole.is_empty() {
        return Written {
            origins: whole,
            ..Written::default()
        };
    }
    let behind = scalar.as_str().and_then(|text| text.split_once(": "));
    let behind = behind.map(|(_, behind)| proofs(&Spelled::text(behind.trim().to_owned())));
    if let Some(origins) = behind.filter(|origins| !origins.is_empty()) {
        return Written {
            origins,
            trust: MemoryTrust::Verified,
            proved: Proved::Value,
        };
    }
    let query = spelled.as_ref().map(|value| session.query(value));
    let own_memory = query
        .as_ref()
        .is_some_and(|query| session.proved_by_memory(query, false, MemoryTrust::Agent));
    let seen = query.as_ref().and_then(|query| session.suspect(query));
    let trust = match (own_memory, seen.is_some(), session.is_exposed()) {
        (true, _, _) | (false, false, false) => MemoryTrust::Agent,
        _ => MemoryTrust::Untrusted,
    };
    let origins = match (own_memory, seen) {
        (true, _) => vec!["memory:agent".to_owned()],
        (false, Some(tool)) => vec![format!("tool:{tool}")],
        (false, None) => Vec::new(),
    };
    Written {
        origins,
        trust,
        proved: Proved::Whole,
    }
}

//! What a value is compared with, beside its subschemas: its elements with each other.

use super::load::Load;
use serde_json::Value;

/// How many subschemas take as long as looking through a list once for elements that are there twice: each is written anew, and a
/// list that does not fit is copied into what is said of it.
const VISITS_OF_UNIQUE: u64 = 32;
/// How many times longer that takes where lists in lists are without end: the innermost is looked through by each.
const NESTED: u64 = 8;

/// The time that a keyword takes beside what it does with texts, in subschemas.
pub(super) fn visits(keyword: &str, value: &Value) -> u64 {
    match (keyword, value) {
        ("uniqueItems", Value::Bool(true)) => VISITS_OF_UNIQUE,
        _ => 0,
    }
}

/// What looking for elements that are there twice takes in addition where lists in lists are without end.
pub(super) fn nested(times: u64) -> Load {
    let states = times.saturating_mul(NESTED);
    Load {
        weight: states.saturating_mul(VISITS_OF_UNIQUE),
        states,
        ..Load::default()
    }
}

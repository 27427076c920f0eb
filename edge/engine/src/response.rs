//! What can be done with an answer: take out what only the edge says, and with its documents: count rows, trim them, redact
//! fields, hold rows to the tenant.

mod aside;
mod documents;
mod parts;
mod redact;
mod reserved;
mod scope;
mod table;
#[cfg(test)]
mod tests;

use documents::{Place, Unvouched, each_document};
pub(crate) use redact::{each_at, redact, redact_at};
pub(crate) use reserved::strip;
pub(crate) use scope::{Foreign, hold_to_tenant, names_tenant};

use crate::catalogue::Tool;
use crate::limits::JSON_DEPTH_MAX;
use crate::respond::Channel;
use serde_json::{Map, Value};

/// Rows of what came back: the elements of the array that the catalogue's `rows` points to; else, and where nothing is
/// there, of the largest array of objects or arrays anywhere in it, map of records, or table in a text. All documents count
/// alike, whatever channel they came by and whatever text they stand in, as does all else; what has most is the number.
#[must_use]
pub fn rows(tool: &Tool, channel: Channel, body: &mut Map<String, Value>) -> u64 {
    let pointer = tool.entry().rows.as_deref();
    let mut most = 0;
    let seen = each_document(channel, body, &mut |document, place| {
        most = most.max(match place {
            // Each of them was looked at.
            Place::Several => document.as_array().map_or(0, |all| length(all)),
            Place::Readings => all_read(document),
            _ => count(document, pointer),
        });
        false
    });
    match seen {
        Ok(()) => most,
        Err(Unvouched) => u64::MAX,
    }
}

/// Cuts every array, map and table that counts as rows to this many. Whether that was enough, [`rows`] says.
pub(crate) fn trim(tool: &Tool, channel: Channel, body: &mut Map<String, Value>, most: u64) {
    let pointer = tool.entry().rows.as_deref();
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    // What can't be vouched for has too many rows still.
    let _ = each_document(channel, body, &mut |document, place| {
        let at = match place {
            Place::Readings => return true,
            Place::Several => Some(&mut *document),
            _ => pointer.and_then(|pointer| document.pointer_mut(pointer)),
        };
        match at {
            Some(Value::Array(rows)) => cut(rows, most),
            _ => cut_all(document, most, 0),
        }
    });
}

fn cut(rows: &mut Vec<Value>, most: usize) -> bool {
    let longer = rows.len() > most;
    rows.truncate(most);
    longer
}

fn cut_map(members: &mut Map<String, Value>, most: usize) -> bool {
    let longer = members.len() > most;
    let mut seen = 0_usize;
    members.retain(|_, _| {
        seen = seen.saturating_add(1);
        seen <= most
    });
    longer
}

fn cut_all(value: &mut Value, most: usize, depth: usize) -> bool {
    if depth > JSON_DEPTH_MAX {
        return false;
    }
    let deeper = depth.saturating_add(1);
    match value {
        Value::Array(elements) => {
            let changed = is_records(elements) && cut(elements, most);
            let below = elements.iter_mut().map(|e| cut_all(e, most, deeper));
            below.fold(changed, |any, one| any | one)
        }
        Value::Object(members) => {
            let changed = is_map_of_records(members) && cut_map(members, most);
            let below = members.values_mut().map(|m| cut_all(m, most, deeper));
            below.fold(changed, |any, one| any | one)
        }
        _ => false,
    }
}

fn count(value: &Value, pointer: Option<&str>) -> u64 {
    let at = pointer.and_then(|pointer| value.pointer(pointer));
    match at {
        Some(Value::Array(rows)) => length(rows),
        _ => largest(value, 0),
    }
}

/// Rows of a text in which a name is there twice: of each value that is read there, together. A name that is there a thousand
/// times is a list by another name.
fn all_read(values: &Value) -> u64 {
    let values = values.as_array().into_iter().flatten();
    let rows = values.map(|value| widest(value, 0));
    rows.fold(0, u64::saturating_add)
}

/// As [`largest`], but any object is a record, and any list may be the one that the catalogue means: it is not known where in
/// its document a value stood.
fn widest(value: &Value, depth: usize) -> u64 {
    if depth > JSON_DEPTH_MAX {
        return u64::MAX;
    }
    let deeper = depth.saturating_add(1);
    match value {
        Value::Array(elements) => {
            let below = elements.iter().map(|element| widest(element, deeper));
            below.max().unwrap_or(0).max(length(elements))
        }
        Value::Object(members) => {
            let own = if is_map_of_records(members) {
                u64::try_from(members.len()).unwrap_or(u64::MAX)
            } else {
                1
            };
            let below = members.values().map(|member| widest(member, deeper));
            below.max().unwrap_or(0).max(own)
        }
        _ => 0,
    }
}

fn length(rows: &[Value]) -> u64 {
    u64::try_from(rows.len()).unwrap_or(u64::MAX)
}

fn is_records(elements: &[Value]) -> bool {
    elements.iter().any(|e| e.is_object() || e.is_array())
}

/// Records under their names or ids (`{"a1": {"email": …}, "a2": {"email": …}}`): two objects or more and nothing else, which
/// have a member of the same name. Any other object is one record.
pub(crate) fn is_map_of_records(members: &Map<String, Value>) -> bool {
    let Some(Value::Object(first)) = members.values().next() else {
        return false;
    };
    members.len() > 1
        && members.values().all(Value::is_object)
        && first
            .keys()
            .any(|key| members.values().all(|record| record.get(key).is_some()))
}

fn largest(value: &Value, depth: usize) -> u64 {
    if depth > JSON_DEPTH_MAX {
        return u64::MAX; // Nothing below can be vouched for.
    }
    let deeper = depth.saturating_add(1);
    match value {
        Value::Array(elements) => {
            let own = if is_records(elements) {
                length(elements)
            } else {
                0
            };
            let below = elements.iter().map(|element| largest(element, deeper));
            below.max().unwrap_or(0).max(own)
        }
        Value::Object(members) => {
            let own = if is_map_of_records(members) {
                u64::try_from(members.len()).unwrap_or(u64::MAX)
            } else {
                0
            };
            let below = members.values().map(|member| largest(member, deeper));
            below.max().unwrap_or(0).max(own)
        }
        _ => 0,
    }
}

//! Controls that are one word of a closed list: which word it is may be all that a call is about.

use super::plan::{Need, Pattern, words_of};
use serde_json::Value;

/// Words in the names of arguments that give somebody a right, or decide what is done.
const WEIGHTY: [&str; 28] = [
    "access",
    "acl",
    "action",
    "admin",
    "approval",
    "audience",
    "command",
    "decision",
    "grant",
    "method",
    "mode",
    "op",
    "operation",
    "perm",
    "permission",
    "policy",
    "privacy",
    "privilege",
    "public",
    "right",
    "role",
    "scope",
    "security",
    "share",
    "sharing",
    "state",
    "status",
    "visibility",
];
/// Most schemas on the way to what an argument may be.
const DEPTH_MAX: usize = 16;

/// What a control needs.
pub(super) fn need_of_control(at: &Pattern, schema: &Value) -> Need {
    let mut names = at.steps.iter().filter(|step| !is_index(step));
    let weighty = names.next_back().is_some_and(|name| {
        let mut words = words_of(name);
        words.any(|word| WEIGHTY.contains(&word.as_str()))
    });
    match (is_choice(at, schema), weighty) {
        (true, true) => Need::GuardedChoice,
        (true, false) => Need::FreeChoice,
        (false, _) => Need::NotDictated,
    }
}

/// Whether an argument, or each element of one, is one of the words that the tool's schema has for it.
fn is_choice(at: &Pattern, root: &Value) -> bool {
    let mut steps = at.steps.iter();
    let place = steps.try_fold(root, |schema, step| child(root, schema, step, DEPTH_MAX));
    place.is_some_and(|schema| is_closed(root, schema, DEPTH_MAX))
}

fn is_index(step: &str) -> bool {
    step == "*" || step.bytes().all(|b| b.is_ascii_digit())
}

/// The schema of what is one step below; a list on the way may have no step of its own in a label.
fn child<'s>(root: &'s Value, schema: &'s Value, step: &str, depth: usize) -> Option<&'s Value> {
    let depth = depth.checked_sub(1)?;
    let items = schema.get("items").filter(|items| items.is_object());
    let own = match is_index(step) {
        true => items,
        false => schema.get("properties").and_then(|named| named.get(step)),
    };
    let mut same = same_place(root, schema).into_iter();
    own.or_else(|| same.find_map(|schema| child(root, schema, step, depth)))
        .or_else(|| child(root, items?, step, depth))
}

/// Schemas that speak of the same value.
fn same_place<'s>(root: &'s Value, schema: &'s Value) -> Vec<&'s Value> {
    let mut schemas: Vec<&'s Value> = Vec::new();
    schemas.extend(target(root, schema));
    for keyword in ["allOf", "anyOf", "oneOf"] {
        schemas.extend(listed(schema, keyword));
    }
    schemas
}

fn target<'s>(root: &'s Value, schema: &Value) -> Option<&'s Value> {
    let pointer = schema.get("$ref").and_then(Value::as_str)?;
    root.pointer(pointer.strip_prefix('#')?)
}

fn listed<'s>(schema: &'s Value, keyword: &str) -> &'s [Value] {
    let listed = schema.get(keyword).and_then(Value::as_array);
    listed.map(Vec::as_slice).unwrap_or_default()
}

fn is_closed(root: &Value, schema: &Value, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else {
        return false;
    };
    let closed = |schema: &Value| is_closed(root, schema, depth);
    let each = |keyword: &str| {
        let listed = listed(schema, keyword);
        !listed.is_empty() && listed.iter().all(closed)
    };
    ["const", "enum"].iter().any(|keyword| schema.get(keyword).is_some())
        // Nothing at all is no word of somebody's.
        || schema.get("type").is_some_and(|kind| kind == "null")
        || target(root, schema).is_some_and(closed)
        || listed(schema, "allOf").iter().any(closed)
        || each("anyOf")
        || each("oneOf")
        || schema.get("items").is_some_and(closed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn closed_lists_are_found_where_schemas_have_them() {
        let schema = json!({
            "properties": {
                "permission": {"allOf": [{"$ref": "#/$defs/Permission"}], "description": "d"},
                "role": {"anyOf": [{"$ref": "#/$defs/Permission"}, {"type": "null"}], "default": null},
                "scope": {"type": "array", "items": {"enum": ["one", "all"]}},
                "grants": {"type": "array", "items": {"properties": {"access": {"const": "r"}}}},
                "mode": {"type": "string"},
                "level": {"anyOf": [{"enum": ["low"]}, {"type": "string"}]},
                "colour": {"enum": ["red", "blue"]},
                "newStatus": {"enum": ["open", "paid"]},
                "user_access": {"enum": ["none", "all"]},
            },
            "$defs": {"Permission": {"enum": ["r", "rw"]}},
        });
        let need = |pointer: &str| need_of_control(&Pattern::new(pointer), &schema);
        for pointer in [
            "/permission",
            "/newStatus",
            "/user_access",
            "/role",
            "/scope",
            "/scope/*",
            "/grants/*/access",
            "/grants/access",
        ] {
            assert_eq!(need(pointer), Need::GuardedChoice, "{pointer}");
        }
        assert_eq!(need("/colour"), Need::FreeChoice);
        for pointer in ["/mode", "/level", "/access", "/grants"] {
            assert_eq!(need(pointer), Need::NotDictated, "{pointer}");
        }
        let circle = json!({"properties": {"role": {"$ref": "#/properties/role"}}});
        assert_eq!(
            need_of_control(&Pattern::new("/role"), &circle),
            Need::NotDictated
        );
    }
}

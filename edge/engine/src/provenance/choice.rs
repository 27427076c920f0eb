//! Controls that are one word of a closed list, or yes or no: which of them it is may be all that a call is about.

use super::plan::{Need, Pattern, is_index, words_of};
use super::quantity::canonical_number;
use crate::limits::PROVENANCE_REFERENCE_BYTES_MAX;
use crate::schema::nodes;
use serde_json::Value;
use std::cell::Cell;

/// Words in the names of arguments that give somebody a right, or decide what is done. None by which things are merely
/// described (`shipping_method`, the `state` of an address): their values stand in most mails.
const WEIGHTY: [&str; 27] = [
    "access",
    "acl",
    "action",
    "admin",
    "approval",
    "audience",
    "command",
    "decision",
    "grant",
    "mode",
    "op",
    "operation",
    "perm",
    "permission",
    "policy",
    "privacy",
    "private",
    "privilege",
    "public",
    "right",
    "role",
    "scope",
    "security",
    "share",
    "sharing",
    "status",
    "visibility",
];
/// Those of them by which a yes gives somebody a right: `dark_mode` and `approval_required` give nobody any.
const GIVEN_BY_YES: [&str; 11] = [
    "access",
    "acl",
    "admin",
    "grant",
    "perm",
    "permission",
    "privilege",
    "public",
    "share",
    "sharing",
    "visibility",
];
/// And those by which a no does, as it takes a guard away.
const GIVEN_BY_NO: [&str; 4] = ["approval", "privacy", "private", "security"];
/// Words of a list that open something to others, or give them a right, whatever the argument is called.
const OPENING: [&str; 14] = [
    "admin", "all", "anyone", "buy", "delete", "domain", "editor", "everyone", "external", "owner",
    "public", "sell", "write", "writer",
];
/// Words in the names of arguments and of fields that say nothing of which choice is meant.
const COMMON: [&str; 6] = ["current", "is", "level", "new", "target", "updated"];
/// Names of members that hold the word of a choice: `{"status": {"name": "Done"}}`.
const VALUE_NAMES: [&str; 2] = ["name", "value"];
/// Most schemas on the way to what an argument may be, one below the other.
const DEPTH_MAX: usize = 16;
/// Most schemas that are looked at for one argument. Beyond that it is none of a closed list: the stricter need.
const SCHEMAS_MAX: usize = 4096;
/// Schemas that are looked at for each value of a result beside these: one behind a reference, and a few that it may be of.
const SCHEMAS_OF_VALUE: usize = 8;
/// Bytes of a member's name that are looked up in the time of one schema.
const NAME_BYTES_OF_SCHEMA: usize = 64;

/// Whether somebody gets a right by a yes, or by a no, for an argument of this name.
pub(super) fn gives_right(name: &str, flag: bool) -> bool {
    let giving: &[&str] = match flag {
        true => &GIVEN_BY_YES,
        false => &GIVEN_BY_NO,
    };
    words_of(name).any(|word| giving.contains(&word.as_str()))
}

/// Whether an argument and a field of a record, by their names, say the same of a thing: `new_status` and
/// `/tasks/*/status`, also `/tasks/*/status/name`. What else stands in a name is what the record is of (`task_status`), or says
/// something else: a `status_text` is no status.
pub(super) fn is_same_choice(argument: &str, field: &str) -> bool {
    let mut steps = field.rsplit('/').filter(|step| !is_index(step));
    let last = steps.next().unwrap_or_default();
    let name = match VALUE_NAMES.contains(&last) {
        true => steps.next().unwrap_or(last),
        false => last,
    };
    if !name.is_empty() && words_of(argument).eq(words_of(name)) {
        return true;
    }
    let told = |name: &str| -> Vec<String> {
        let words = words_of(name);
        words
            .filter(|word| !COMMON.contains(&word.as_str()))
            .collect()
    };
    let (argument, field) = (told(argument), told(name));
    let (Some((of, before)), Some((same, around))) = (argument.split_last(), field.split_last())
    else {
        return false;
    };
    let record: Vec<String> = steps.flat_map(words_of).collect();
    let mut others = before.iter().chain(around);
    of == same
        && (before == around
            || (WEIGHTY.contains(&of.as_str()) && others.all(|word| record.contains(word))))
}

/// What a control needs.
pub(super) fn need_of_control(at: &Pattern, schema: &Value) -> Need {
    let mut names = at.steps.iter().filter(|step| !is_index(step));
    let weighty = names.next_back().is_some_and(|name| {
        let mut words = words_of(name);
        words.any(|word| WEIGHTY.contains(&word.as_str()))
    });
    let mut opening = false;
    let choice = is_choice(at, schema, &mut opening);
    match (choice, weighty || opening) {
        (true, true) => Need::GuardedChoice,
        (true, false) => Need::FreeChoice,
        (false, true) => Need::Guarded,
        (false, false) => Need::NotDictated,
    }
}

/// What a currency needs.
pub(super) fn need_of_currency(at: &Pattern, schema: &Value) -> Need {
    match is_choice(at, schema, &mut false) {
        true => Need::ListedCurrency,
        false => Need::NotSuspect,
    }
}

/// Whether an argument, or each element of one, is one of the words that the tool's schema has for it; and whether one of
/// them opens something.
fn is_choice(at: &Pattern, root: &Value, opening: &mut bool) -> bool {
    let fuel = Cell::new(SCHEMAS_MAX);
    let looking = Looking { root, fuel: &fuel };
    let place = looking.place(at);
    let opens = Cell::new(false);
    let closed = place.is_some_and(|schema| looking.is_closed(schema, DEPTH_MAX, &opens));
    *opening = opens.get();
    closed
}

/// The numbers that the tool's schema itself has for an argument: what it is without one, and the greatest.
pub(super) fn numbers_of_schema(at: &Pattern, root: &Value) -> Vec<String> {
    let fuel = Cell::new(SCHEMAS_MAX);
    let place = Looking { root, fuel: &fuel }.place(at);
    let schemas = place.into_iter().flat_map(|schema| {
        let same = same_place(root, schema);
        std::iter::once(schema).chain(same)
    });
    let numbers = schemas.flat_map(|schema| [schema.get("default"), schema.get("maximum")]);
    let numbers = numbers.flatten().filter(|number| number.is_number());
    numbers
        .filter_map(|number| canonical_number(&number.to_string()))
        .collect()
}

/// Whether a tool's schema of its results has the names of all members of one, each at its place: it has named them itself,
/// whatever it was asked for.
pub(super) fn names_members(root: &Value, result: &Value) -> bool {
    let looked_at = nodes(result).saturating_mul(SCHEMAS_OF_VALUE);
    let fuel = Cell::new(looked_at.saturating_add(SCHEMAS_MAX));
    Looking { root, fuel: &fuel }.names(root, result, DEPTH_MAX)
}

fn opens(word: &Value) -> bool {
    let word = word.as_str().unwrap_or_default();
    words_of(word).any(|word| OPENING.contains(&word.as_str()))
}

/// Whether a type has so few values that they are a list: yes and no, and nothing at all, which is no word of somebody's.
fn is_few(kind: &Value) -> bool {
    match kind {
        Value::Array(kinds) => !kinds.is_empty() && kinds.iter().all(is_few),
        kind => kind == "null" || kind == "boolean",
    }
}

/// Schemas that speak of the same value, each when it is asked for: a list of them may be long.
fn same_place<'s>(root: &'s Value, schema: &'s Value) -> impl Iterator<Item = &'s Value> {
    let lists = ["allOf", "anyOf", "oneOf"].into_iter();
    let listed = lists.flat_map(move |keyword| listed(schema, keyword));
    target(root, schema).into_iter().chain(listed)
}

fn target<'s>(root: &'s Value, schema: &Value) -> Option<&'s Value> {
    near(root, schema.get("$ref").and_then(Value::as_str)?)
}

/// What a reference leads to. A long one leads nowhere: the stricter need.
pub(super) fn near<'s>(root: &'s Value, reference: &str) -> Option<&'s Value> {
    let is_short = reference.len() <= PROVENANCE_REFERENCE_BYTES_MAX;
    let target = || crate::schema::target(root, reference);
    is_short.then(target).flatten()
}

fn listed<'s>(schema: &'s Value, keyword: &str) -> &'s [Value] {
    let listed = schema.get(keyword).and_then(Value::as_array);
    listed.map(Vec::as_slice).unwrap_or_default()
}

/// A look into a tool's schema. What may be asked of it is bounded: it is somebody else's.
#[derive(Clone, Copy)]
struct Looking<'s, 'f> {
    root: &'s Value,
    fuel: &'f Cell<usize>,
}

impl<'s> Looking<'s, '_> {
    fn burn(self, schemas: usize) -> Option<()> {
        self.fuel.set(self.fuel.get().checked_sub(schemas)?);
        Some(())
    }

    /// What the schema has for a member of this name. One of usual length costs nothing beside what is looked at for its value.
    fn property(self, schema: &'s Value, name: &str) -> Option<&'s Value> {
        let properties = schema.get("properties")?;
        self.burn(name.len().checked_div(NAME_BYTES_OF_SCHEMA)?)?;
        properties.get(name)
    }

    /// The schema of the argument at a pattern.
    fn place(self, at: &Pattern) -> Option<&'s Value> {
        let mut steps = at.steps.iter();
        steps.try_fold(self.root, |schema, step| {
            self.child(schema, step, DEPTH_MAX)
        })
    }

    /// The schema of what is one step below; a list on the way may have no step of its own in a label.
    fn child(self, schema: &'s Value, step: &str, depth: usize) -> Option<&'s Value> {
        let depth = depth.checked_sub(1)?;
        self.burn(1)?;
        let items = schema.get("items").filter(|items| items.is_object());
        let own = match is_index(step) {
            true => items,
            false => self.property(schema, step),
        };
        let mut same = same_place(self.root, schema);
        own.or_else(|| same.find_map(|schema| self.child(schema, step, depth)))
            .or_else(|| self.child(items?, step, depth))
    }

    /// Whether it has the name of each member of a value at its place.
    fn names(self, schema: &'s Value, value: &Value, depth: usize) -> bool {
        // Each value costs for each schema that it is held to: what that takes grows with the result, and no faster.
        if self.burn(1).is_none() {
            return false;
        }
        if !(value.is_object() || value.is_array()) {
            return true;
        }
        let Some(depth) = depth.checked_sub(1) else {
            return false;
        };
        let below = |schema: Option<&'s Value>, value: &Value| {
            schema.is_some_and(|schema| self.names(schema, value, depth))
        };
        let named = match value {
            Value::Array(elements) => {
                let items = schema.get("items");
                elements.iter().all(|element| below(items, element))
            }
            Value::Object(members) => members
                .iter()
                .all(|(name, member)| below(self.property(schema, name), member)),
            _ => true,
        };
        named || same_place(self.root, schema).any(|schema| self.names(schema, value, depth))
    }

    fn is_closed(self, schema: &Value, depth: usize, opening: &Cell<bool>) -> bool {
        let Some(depth) = depth.checked_sub(1).filter(|_| self.burn(1).is_some()) else {
            return false;
        };
        let closed = |schema: &Value| self.is_closed(schema, depth, opening);
        let each = |keyword: &str| {
            let listed = listed(schema, keyword);
            !listed.is_empty() && listed.iter().all(closed)
        };
        let words = listed(schema, "enum").iter().chain(schema.get("const"));
        if words.into_iter().any(opens) {
            opening.set(true);
        }
        ["const", "enum"]
            .iter()
            .any(|keyword| schema.get(keyword).is_some())
            || schema.get("type").is_some_and(is_few)
            || target(self.root, schema).is_some_and(closed)
            || listed(schema, "allOf").iter().any(closed)
            || each("anyOf")
            || each("oneOf")
            || schema.get("items").is_some_and(closed)
    }
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
                "file_permission": {"$ref": "#/$defs/List%5BPermission%5D"},
                "scope": {"type": "array", "items": {"enum": ["one", "all"]}},
                "grants": {"type": "array", "items": {"properties": {"access": {"const": "r"}}}},
                "mode": {"type": "string"},
                "level": {"anyOf": [{"enum": ["low"]}, {"type": "string"}]},
                "kind": {"anyOf": [{"enum": ["anyone"]}, {"type": "string"}]},
                "access_level": {"type": "integer"},
                "colour": {"enum": ["red", "blue"]},
                "type": {"enum": ["user", "anyone"]},
                "newStatus": {"enum": ["open", "paid"]},
                "user_access": {"enum": ["none", "all"]},
                "is_admin": {"type": "boolean"},
                "public": {"type": ["boolean", "null"]},
                "all_day": {"type": "boolean"},
                "shared": {"type": ["boolean", "string"]},
                "shipping_method": {"enum": ["standard", "express"]},
                "state": {"enum": ["NY", "CA"]},
            },
            "$defs": {"Permission": {"enum": ["r", "rw"]}, "List[Permission]": {"enum": ["r", "rw"]}},
        });
        let need = |pointer: &str| need_of_control(&Pattern::new(pointer), &schema);
        for pointer in [
            "/permission",
            "/file_permission",
            "/newStatus",
            "/user_access",
            "/role",
            "/scope",
            "/scope/*",
            "/grants/*/access",
            "/grants/access",
            "/type",
            "/is_admin",
            "/public",
        ] {
            assert_eq!(need(pointer), Need::GuardedChoice, "{pointer}");
        }
        for pointer in ["/colour", "/all_day", "/shipping_method", "/state"] {
            assert_eq!(need(pointer), Need::FreeChoice, "{pointer}");
        }
        // Whatever a mail says may be one of these.
        for pointer in ["/mode", "/access", "/access_level", "/grants", "/kind"] {
            assert_eq!(need(pointer), Need::Guarded, "{pointer}");
        }
        for pointer in ["/level", "/shared", "/title"] {
            assert_eq!(need(pointer), Need::NotDictated, "{pointer}");
        }
        let circle = json!({"properties": {"role": {"$ref": "#/properties/role"}}});
        assert_eq!(
            need_of_control(&Pattern::new("/role"), &circle),
            Need::Guarded
        );
    }

    #[test]
    fn numbers_that_a_schema_has() {
        let schema = json!({
            "properties": {
                "limit": {"type": "integer", "default": 20, "maximum": 500},
                "rows": {"anyOf": [{"type": "integer", "maximum": 750}, {"type": "null"}], "default": null},
                "size": {"$ref": "#/$defs/Size"},
                "open": {"type": "integer"},
            },
            "$defs": {"Size": {"default": 40.0}},
        });
        for (pointer, numbers) in [
            ("/limit", "20 500"),
            ("/rows", "750"),
            ("/size", "40"),
            ("/open", ""),
            ("/other", ""),
        ] {
            let found = numbers_of_schema(&Pattern::new(pointer), &schema);
            assert_eq!(found.join(" "), numbers, "{pointer}");
        }
    }

    #[test]
    fn members_that_a_schema_has() {
        let schema = json!({
            "properties": {
                "tasks": {"type": "array", "items": {"$ref": "#/$defs/Task"}},
                "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/Task"}]},
                "data": {"type": "object"},
                "any": {},
            },
            "$defs": {"Task": {"properties": {"status": {}, "of": {"properties": {"id": {}}}}}},
        });
        for (result, named) in [
            (json!({}), true),
            (json!({"tasks": [], "data": {}, "any": "x"}), true),
            (
                json!({"tasks": [{"status": "done"}, {"of": {"id": 1}}]}),
                true,
            ),
            (json!({"next": {"status": "done"}}), true),
            (json!({"next": null}), true),
            (json!({"status": "done"}), false),
            (json!({"tasks": [{"status": "done"}, {"id": 1}]}), false),
            (json!({"tasks": {"status": "done"}}), false),
            (json!({"data": {"status": "done"}}), false),
            (json!({"any": [{"status": "done"}]}), false),
            (json!([{"status": "done"}]), false),
        ] {
            assert_eq!(names_members(&schema, &result), named, "{result}");
        }
        let long = vec![json!({"status": "done", "of": {"id": 1}}); 3_000];
        assert!(names_members(&schema, &json!({ "tasks": long })));
        let mut other = long;
        other.push(json!({"note": "x"}));
        assert!(!names_members(&schema, &json!({ "tasks": other })));
        let circle = json!({"$ref": "#"});
        assert!(!names_members(&circle, &json!({"status": "done"})));
    }

    /// What branches without end ends, however large the result.
    #[test]
    fn a_large_result_is_held_to_so_many_schemas_only() {
        let level = |next: u32| {
            let reference = json!({ "$ref": format!("#/$defs/A{next}") });
            json!({ "anyOf": vec![reference; 30] })
        };
        let levels = (1..=14).map(|at| (format!("A{at}"), level(at + 1)));
        let mut schema = level(1);
        schema["$defs"] = levels.collect::<serde_json::Map<_, _>>().into();
        let result = json!({ "tasks": vec![json!({"id": 1}); 10_000] });
        assert!(!names_members(&schema, &result));
    }

    /// Nor is a name looked up, or a reference read, for each of many that is as long as a book.
    #[test]
    fn long_names_and_references_count() {
        let lists = json!(vec![json!([1]); 10_000]);
        let row = json!({ "items": {} });
        for (bytes, named) in [(60_000, false), (900, true)] {
            let name = "a".repeat(bytes);
            let reference = json!({ "$ref": format!("#/$defs/{name}") });
            let schema = json!({ "$defs": { name: row }, "items": reference });
            assert_eq!(names_members(&schema, &lists), named, "{bytes}");
        }
        for (bytes, named) in [(300_000, false), (1_000, true)] {
            let name = "a".repeat(bytes);
            let other = json!({ "properties": { "b": {} } });
            let mut all = vec![json!({ "$ref": "#/$defs/other" }); 100];
            all.push(json!({ "properties": { name.as_str(): {} } }));
            let schema = json!({ "$defs": { "other": other }, "anyOf": all });
            let result = json!({ name: 1 });
            assert_eq!(names_members(&schema, &result), named, "{bytes}");
        }
    }

    #[test]
    fn fields_that_say_the_same_of_another_thing() {
        for (argument, field, same) in [
            ("status", "/tasks/*/status", true),
            ("newStatus", "/tasks/*/status", true),
            ("status", "/issues/*/fields/status/name", true),
            ("access_level", "/members/*/access", true),
            ("type", "/permissions/*/type", true),
            ("roles", "/users/*/roles/*", true),
            ("task_status", "/tasks/*/status", true),
            ("status", "/orders/*/order_status", true),
            ("status", "/issue/current_status", true),
            ("level", "/level", true),
            ("status", "/profile/status_text", false),
            ("status", "/profile/custom_status", false),
            ("share", "/files/*/share_note", false),
            ("action", "/meeting/action_items", false),
            ("task_status", "/orders/*/status", false),
            ("level", "/is_new", false),
            ("status", "/mails/*/subject", false),
            ("type", "/mails/*/mime_type", false),
            ("file_permission", "/files/*/file", false),
            ("status", "/name", false),
            ("status", "", false),
            ("status", "#", false),
        ] {
            assert_eq!(is_same_choice(argument, field), same, "{argument} {field}");
        }
    }

    #[test]
    fn a_right_is_given_by_a_yes_or_by_a_no() {
        for (name, yes, no) in [
            ("is_admin", true, false),
            ("public", true, false),
            ("private", false, true),
            ("approval_required", false, true),
            ("securityAlerts", false, true),
            ("dark_mode", false, false),
        ] {
            assert_eq!(gives_right(name, true), yes, "{name}");
            assert_eq!(gives_right(name, false), no, "{name}");
        }
    }

    #[test]
    fn a_schema_that_branches_without_end_is_looked_at_for_a_while_only() {
        let level = |next: u32| {
            let reference = json!({ "$ref": format!("#/$defs/A{next}") });
            json!({ "allOf": vec![reference; 30] })
        };
        let levels = (1..=14).map(|at| (format!("A{at}"), level(at + 1)));
        let mut schema = level(1);
        schema["$defs"] = levels.collect::<serde_json::Map<_, _>>().into();
        schema["properties"] = json!({ "a": { "$ref": "#/$defs/A1" } });
        for pointer in ["/a", "/b"] {
            assert_eq!(
                need_of_control(&Pattern::new(pointer), &schema),
                Need::NotDictated
            );
        }
    }
}

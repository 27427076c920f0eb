//! Where references lead, and what following them costs.

use super::holds::Holds;
use super::load::{Load, Parts, Visits};
use super::pointer::target;
use super::{SchemaError, compared, states, telling};
use crate::limits::{JSON_DEPTH_MAX, SCHEMA_WEIGHT_MAX};
use jsonschema::Draft;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::slice;

/// Most subschemas that one value may be held against at one place, references followed.
const EXPANSION_MAX: u64 = 4_096;
/// Longest way through references and subschemas at one place.
const CIRCLE_MAX: usize = 64;
/// Longest way through references and nesting that is followed.
const WAY_MAX: usize = 512;
/// Most levels of parts in parts: no value has as many.
const LEVELS_MAX: usize = 128;
/// Most steps that finding out what a schema costs may take: real schemas take some hundred thousand.
const STEPS_MAX: u64 = 1 << 22;

/// Keywords whose subschemas apply to the same value, so that a circle through them never ends.
const IN_PLACE: [&str; 9] = [
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "dependencies",
];
/// Keywords whose subschemas apply to elements of an array, each to those that another does not.
const ELEMENTS: [&str; 4] = [
    "items",
    "prefixItems",
    "additionalItems",
    "unevaluatedItems",
];
/// Keywords whose subschemas apply to members of an object that `properties` beside them does not name.
const REST: [&str; 2] = ["additionalProperties", "unevaluatedProperties"];

/// Checks that following `$ref` at one place ends soon, and that holding a value against the schema does: a recursive schema holds
/// each part of a value against itself once at most, and what subschemas without recursion multiply to on the way down, level by
/// level, stays below a bound. Else the cost grows with a power of the value's depth.
///
/// What counts is how often one part of a value is met. Alternatives with different members, or different members of one schema,
/// add nothing to each other, however many there are and whatever they share.
pub(super) struct References<'a> {
    root: &'a Value,
    steps: u64,
    /// By a node's address, and what it is looked at as: whether recursion can be reached from it. None while it is being found out.
    recursive: HashMap<(usize, Holds), Option<bool>>,
    /// By a schema's address: see `weigh`.
    weights: HashMap<usize, Load>,
    /// By the address of what a keyword has: see `own`.
    own: HashMap<usize, (u64, u64)>,
    /// By a schema's address.
    errors: HashMap<usize, u64>,
}

/// The schemas that one place of a value is held against, and how often all together.
#[derive(Default)]
struct Place<'a> {
    schemas: Vec<(&'a Map<String, Value>, Visits)>,
    spent: u64,
    /// Of all that reads a text.
    states: u64,
    errors: u64,
    /// How often it is looked through for elements that are there twice.
    unique: u64,
}

pub(super) fn address(node: &Value) -> usize {
    std::ptr::from_ref(node).addr()
}

impl<'a> References<'a> {
    /// Most subschemas, and states of patterns, that one part of a value is held against. The errors are those of one level of a
    /// recursive schema, of which there are no more than it has, nor than the value has.
    pub(super) fn check(root: &'a Value) -> Result<Load, SchemaError> {
        let mut references = Self {
            root,
            steps: 0,
            recursive: HashMap::new(),
            weights: HashMap::new(),
            own: HashMap::new(),
            errors: HashMap::new(),
        };
        let renames: &[&str] = match is_of_draft_4(root) {
            true => &["$id", "id"],
            false => &["$id"],
        };
        let (mut worst, mut recursive) = (Load::default(), Load::default());
        let mut pending = vec![(root, Holds::Schema)];
        let mut seen = HashSet::new();
        while let Some((node, holds)) = pending.pop() {
            if !seen.insert((address(node), holds)) {
                continue;
            }
            if holds == Holds::Schema {
                let renamed = |key: &&str| node.get(key).is_some_and(Value::is_string);
                if !std::ptr::eq(node, root) && renames.iter().any(renamed) {
                    return Err(SchemaError::Reference); // It would move what '#' means.
                }
                let load = references.weigh(node, 0)?;
                match load.recursive {
                    0 => worst = worst.or(load),
                    _ => recursive = recursive.or(load),
                }
            }
            pending.extend(references.below(node, holds));
        }
        // On each level of a value recursion begins anew what is beside it, and that ends as many levels below as it has: a part
        // meets no more than so many at once.
        let levels_max = u64::try_from(JSON_DEPTH_MAX).unwrap_or(u64::MAX);
        let levels = recursive.levels.min(levels_max);
        Ok(Load {
            errors: worst.errors.max(recursive.errors),
            levels: levels.max(1),
            ..worst.or(recursive.times(levels))
        })
    }

    fn step(&mut self) -> Result<(), SchemaError> {
        self.steps = self.steps.saturating_add(1);
        match self.steps > STEPS_MAX {
            true => Err(SchemaError::Reference),
            false => Ok(()),
        }
    }

    /// What may be schemas right inside of a node, and what it refers to: that is one wherever it stands.
    fn below(&self, node: &'a Value, holds: Holds) -> Vec<(&'a Value, Holds)> {
        let mut below: Vec<_> = match node {
            Value::Array(elements) => {
                let elements = elements.iter();
                elements.map(|inner| (inner, holds.element())).collect()
            }
            Value::Object(members) => {
                let members = members.iter();
                members
                    .map(|(name, inner)| (inner, holds.member(name)))
                    .collect()
            }
            _ => Vec::new(),
        };
        below.retain(|(_, holds)| *holds != Holds::Data);
        if holds == Holds::Schema {
            let reference = node.get("$ref").and_then(Value::as_str);
            let target = reference.and_then(|reference| target(self.root, reference));
            below.extend(target.map(|target| (target, Holds::Schema)));
        }
        below
    }

    /// All that a value is held against at one place by a schema.
    fn follow(
        &mut self,
        schema: &'a Value,
        visits: Visits,
        circle: usize,
        place: &mut Place<'a>,
    ) -> Result<(), SchemaError> {
        self.step()?;
        place.spent = place.spent.saturating_add(visits.all());
        if place.spent > EXPANSION_MAX || circle > CIRCLE_MAX {
            return Err(SchemaError::Reference);
        }
        let errors = self.errors.entry(address(schema));
        let errors = *errors.or_insert_with(|| telling::errors(schema));
        let errors = errors.saturating_mul(visits.all());
        place.errors = place.errors.saturating_add(errors);
        let Value::Object(members) = schema else {
            return Ok(());
        };
        if members.contains_key("$dynamicRef") || members.contains_key("$recursiveRef") {
            return Err(SchemaError::Reference);
        }
        let circle = circle.saturating_add(1);
        let visits = visits.inside(members);
        let (compared, states) = self.own(members);
        let compared = compared.saturating_mul(visits.all());
        place.spent = place.spent.saturating_add(compared);
        let states = states.saturating_mul(visits.all());
        place.states = place.states.saturating_add(states);
        if members.get("uniqueItems") == Some(&Value::Bool(true)) {
            place.unique = place.unique.saturating_add(visits.all());
        }
        if let Some(Value::String(reference)) = members.get("$ref") {
            let target = target(self.root, reference).ok_or(SchemaError::Reference)?;
            self.follow(target, visits, circle, place)?;
        }
        place.schemas.push((members, visits));
        for keyword in IN_PLACE {
            let nested: Vec<&Value> = match members.get(keyword) {
                Some(Value::Array(elements)) => elements.iter().collect(),
                Some(Value::Object(inner)) if keyword.starts_with("depend") => {
                    inner.values().collect()
                }
                Some(inner) => vec![inner],
                None => continue,
            };
            for inner in nested {
                self.follow(inner, visits.in_place(keyword), circle, place)?;
            }
        }
        Ok(())
    }

    /// What a subschema itself compares a value with, in subschemas, and the states of what it holds a text, or the names of
    /// members, against.
    fn own(&mut self, members: &'a Map<String, Value>) -> (u64, u64) {
        let (mut compared, mut states) = (0_u64, 0_u64);
        for keyword in states::KEYWORDS {
            if let Some(value) = members.get(keyword) {
                let known = self.own.entry(address(value)).or_insert_with(|| {
                    let compared = compared::visits(keyword, value);
                    (compared, states::of_keyword(keyword, value))
                });
                compared = compared.saturating_add(known.0);
                states = states.saturating_add(known.1);
            }
        }
        (compared, states)
    }

    /// How often a value, and its parts on the worst way down, are held against something because of this schema. Of subschemas
    /// that lead to recursion nothing is added: they are weighed by themselves.
    fn weigh(&mut self, schema: &'a Value, level: usize) -> Result<Load, SchemaError> {
        if let Some(known) = self.weights.get(&address(schema)) {
            return Ok(*known);
        }
        if level > LEVELS_MAX {
            return Err(SchemaError::Reference);
        }
        let mut place = Place::default();
        self.follow(schema, Visits::ONCE, 0, &mut place)?;
        let mut parts = Parts::default();
        for (members, visits) in place.schemas {
            self.note_elements(members, visits, level, &mut parts)?;
            self.note_members(members, visits, level, &mut parts)?;
        }
        let parts = parts.worst();
        let own = Load {
            recursive: 0,
            weight: place.spent,
            states: place.states,
            errors: place.errors,
            levels: parts.levels.saturating_add(1),
        };
        let nested = match parts.recursive {
            0 => Load::default(),
            _ => compared::nested(place.unique),
        };
        let load = parts.plus(own).plus(nested);
        if load.recursive > 1 || load.weight > SCHEMA_WEIGHT_MAX {
            return Err(SchemaError::Reference);
        }
        self.weights.insert(address(schema), load);
        Ok(load)
    }

    /// What a part is held against because of a subschema that is met so often.
    fn load(&mut self, inner: &'a Value, times: u64, level: usize) -> Result<Load, SchemaError> {
        self.step()?;
        if self.is_recursive(inner, Holds::Schema, 0)? {
            // What looks for unknown members meets it once more on each level: all levels count.
            let levels = if times > 1 { u64::MAX } else { 0 };
            return Ok(Load {
                recursive: 1,
                levels,
                ..Load::default()
            });
        }
        let load = self.weigh(inner, level.saturating_add(1))?;
        Ok(Load {
            recursive: 0,
            ..load.times(times)
        })
    }

    fn note_elements(
        &mut self,
        members: &'a Map<String, Value>,
        visits: Visits,
        level: usize,
        parts: &mut Parts<'a>,
    ) -> Result<(), SchemaError> {
        // An element is for one of the keywords, but where two of them count from the first.
        let join = match members.get("items") {
            Some(Value::Array(_)) => Load::plus,
            _ => Load::or,
        };
        let mut element = Load::default();
        for keyword in ELEMENTS {
            let one_of: &[Value] = match members.get(keyword) {
                Some(Value::Array(each)) => each,
                Some(all) => slice::from_ref(all),
                None => continue,
            };
            let mut worst = Load::default();
            for inner in one_of {
                worst = worst.or(self.load(inner, visits.of_part(keyword), level)?);
            }
            element = join(element, worst);
        }
        if let Some(inner) = members.get("contains") {
            element = element.plus(self.load(inner, visits.of_part("contains"), level)?);
        }
        parts.element(element);
        Ok(())
    }

    fn note_members(
        &mut self,
        members: &'a Map<String, Value>,
        visits: Visits,
        level: usize,
        parts: &mut Parts<'a>,
    ) -> Result<(), SchemaError> {
        let mut rest = Load::default();
        for keyword in REST {
            if let Some(inner) = members.get(keyword) {
                rest = rest.or(self.load(inner, visits.of_part(keyword), level)?);
            }
        }
        parts.any_member(rest);
        if let Some(Value::Object(properties)) = members.get("properties") {
            for (name, inner) in properties {
                let load = self.load(inner, visits.of_part("properties"), level)?;
                parts.member(name, load, rest);
            }
        }
        // One name may match all of them.
        if let Some(Value::Object(patterns)) = members.get("patternProperties") {
            for inner in patterns.values() {
                let load = self.load(inner, visits.of_part("patternProperties"), level)?;
                parts.any_member(load);
            }
        }
        if let Some(inner) = members.get("propertyNames") {
            parts.name(self.load(inner, visits.of_part("propertyNames"), level)?);
        }
        Ok(())
    }

    /// Whether following everything from here comes back to a node on the way.
    fn is_recursive(
        &mut self,
        node: &'a Value,
        holds: Holds,
        way: usize,
    ) -> Result<bool, SchemaError> {
        if way > WAY_MAX {
            return Err(SchemaError::Reference);
        }
        if !(node.is_array() || node.is_object()) {
            return Ok(false);
        }
        let key = (address(node), holds);
        match self.recursive.get(&key) {
            Some(Some(known)) => return Ok(*known),
            Some(None) => return Ok(true),
            None => {}
        }
        self.recursive.insert(key, None);
        let mut found = false;
        for (inner, holds) in self.below(node, holds) {
            found |= self.is_recursive(inner, holds, way.saturating_add(1))?;
        }
        self.recursive.insert(key, Some(found));
        Ok(found)
    }
}

/// Whether a part of it is of draft 4, where `id` does what `$id` does later.
fn is_of_draft_4(schema: &Value) -> bool {
    let is = |uri: &str| Draft::from_schema_uri(uri) == Draft::Draft4;
    match schema {
        Value::Array(elements) => elements.iter().any(is_of_draft_4),
        Value::Object(members) => {
            let said = members.get("$schema").and_then(Value::as_str);
            said.is_some_and(is) || members.values().any(is_of_draft_4)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::limits::SCHEMA_VISITS_MAX;
    use crate::schema::{Schema, SchemaError};
    use serde_json::{Map, Value, json};

    /// A schema whose definitions lead from one to the next, so many levels deep: each is this one, where "next" stands for that.
    fn chain(levels: usize, level: &Value) -> Value {
        let level = level.to_string();
        let filled = |i: usize| {
            let next = json!({ "$ref": format!("#/$defs/d{}", i + 1) });
            let filled = level.replace("\"next\"", &next.to_string());
            let filled: Value = serde_json::from_str(&filled).unwrap();
            (format!("d{i}"), filled)
        };
        let mut definitions: Map<String, Value> = (0..levels).map(filled).collect();
        definitions.insert(format!("d{levels}"), json!({ "type": "object" }));
        json!({ "$defs": definitions, "$ref": "#/$defs/d0" })
    }

    /// So many alternatives, each with a member of its own and a common one.
    fn alternatives(count: usize, own: &Value, common: &Value) -> Value {
        let alternative = |i: usize| {
            let name = format!("own{i}");
            json!({ "properties": { "kind": { "const": i }, name: own, "common": common } })
        };
        json!({ "oneOf": Value::from_iter((0..count).map(alternative)) })
    }

    fn check(schema: &Value, expected: Result<(), SchemaError>) {
        let compiled = Schema::compile(schema).map(|_| ());
        assert_eq!(compiled, expected, "{schema}");
    }

    #[test]
    fn what_multiplies_level_by_level_is_not_taken() {
        let refused = |schema: &Value| check(schema, Err(SchemaError::Reference));
        for level in [
            json!({"properties": {"a": {"allOf": ["next", "next", "next", "next", "next", "next", "next", "next"]}}}),
            json!({"properties": {"a": {"anyOf": ["next", "next"]}}}),
            json!({"allOf": [{"properties": {"a": "next"}}, {"properties": {"a": "next"}}]}),
            json!({"items": {"oneOf": ["next", {"not": "next"}]}}),
            json!({"items": "next", "contains": "next"}),
            json!({"properties": {"a": "next"}, "patternProperties": {"a": "next"}}),
            json!({"patternProperties": {"a": "next", "b": "next"}}),
            json!({"additionalProperties": "next", "anyOf": [{"properties": {"a": "next"}}]}),
            json!({"if": {"properties": {"a": "next"}}, "then": {"properties": {"a": "next"}}}),
            json!({"dependentSchemas": {"a": {"properties": {"a": "next"}}, "b": {"properties": {"a": "next"}}}}),
            // Who looks for what nothing knows of holds the value against all once more.
            json!({"anyOf": [{"properties": {"a": "next"}}], "unevaluatedProperties": false}),
            json!({"contains": "next", "unevaluatedItems": false}),
        ] {
            refused(&chain(28, &level));
        }
        let nested = json!({"anyOf": ["next"], "unevaluatedProperties": false});
        refused(&chain(20, &nested));
        refused(&chain(5, &alternatives(100, &json!(true), &json!("next"))));
        refused(&json!({
            "pattern": "^a",
            "properties": {"c": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}},
        }));
        // One name matches both.
        refused(&json!({"patternProperties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}}));
    }

    #[test]
    fn what_is_shared_and_what_is_chosen_is_taken() {
        let taken = |schema: &Value| check(schema, Ok(()));
        for level in [
            json!({"properties": {"a": "next"}, "required": ["a"]}),
            // However many ways lead to a definition, a value goes one of them.
            json!({"properties": {"a": "next", "b": "next", "c": {"items": "next"}}, "additionalProperties": "next"}),
            json!({"prefixItems": ["next", "next", "next"], "items": "next"}),
            json!({"anyOf": ["next", {"type": "null"}]}),
            json!({"allOf": [{"properties": {"a": "next"}}, {"properties": {"b": "next"}}]}),
        ] {
            taken(&chain(28, &level));
        }
        let (text, next) = (json!({ "type": "string" }), json!("next"));
        let extended =
            json!({"allOf": [{"properties": {"a": "next"}}], "unevaluatedProperties": false});
        taken(&chain(8, &extended));
        taken(&chain(5, &alternatives(100, &next, &text)));
        taken(&chain(3, &alternatives(20, &text, &next)));
        for recursive in [
            // An expression: alternatives that lead back by members of their own.
            json!({"oneOf": [
                {"properties": {"and": {"items": {"$ref": "#"}}}, "required": ["and"]},
                {"properties": {"or": {"items": {"$ref": "#"}}}, "required": ["or"]},
                {"properties": {"not": {"$ref": "#"}}, "required": ["not"]},
                {"properties": {"field": text, "value": {"anyOf": [text, {"type": "number"}]}}, "required": ["field"]},
            ]}),
            json!({"properties": {"self": {"$ref": "#"}}, "additionalProperties": {"$ref": "#"}}),
            json!({"properties": {"all": {"items": {"$ref": "#"}}}, "allOf": [{"properties": {"id": text}}], "unevaluatedProperties": false}),
        ] {
            taken(&recursive);
        }
    }

    #[test]
    fn a_value_is_held_against_a_heavy_schema_if_it_is_not_large() {
        let numbers = json!({ "type": "array", "items": { "type": "integer" } });
        let level = alternatives(20, &json!({ "type": "string" }), &json!("next"));
        let mut heavy = chain(3, &level);
        heavy["$defs"]["d3"] = numbers.clone();
        let heavy = Schema::compile(&heavy).unwrap();
        let light = Schema::compile(&numbers).unwrap();
        let most = usize::try_from(SCHEMA_VISITS_MAX / heavy.weight).unwrap();
        let told = |schema: &Schema, elements: usize| {
            let value = json!(vec![1; elements]);
            let misfits: Vec<_> = schema.misfits(&value).map(|misfit| misfit.text).collect();
            assert_eq!(schema.misfit(&value), misfits.first().cloned());
            assert_eq!(schema.fits(&value), misfits.is_empty());
            misfits
        };
        // The list itself is one, too.
        assert_eq!(told(&heavy, most), ["/: too large for its schema"]);
        assert_eq!(told(&heavy, most - 1), ["/: too much to say where"]);
        assert!(told(&light, most).is_empty());
    }
}

//! `uniqueItems`, in time that grows with the elements. The validator's own hashes them so that many that differ share a hash (lists
//! of lists that are empty, integers near to each other), and it does so before it looks at their types: whoever writes a value
//! could have each element compared with all others.

use jsonschema::{Keyword, ValidationError};
use serde_json::{Map, Number, Value};
use std::collections::HashSet;

/// 2^64: no integer that is written as one is as far from zero.
const INTEGERS_END: f64 = 18_446_744_073_709_551_616.0;

/// The keyword, as the schema has it.
#[derive(Debug)]
pub(super) struct UniqueItems {
    asked: bool,
}

impl UniqueItems {
    pub(super) fn keyword(value: &Value) -> Box<dyn for<'i> Keyword<'i>> {
        Box::new(Self {
            asked: *value == Value::Bool(true),
        })
    }

    fn holds(&self, value: &Value) -> bool {
        !self.asked || value.as_array().is_none_or(|elements| are_unique(elements))
    }
}

impl<'i> Keyword<'i> for UniqueItems {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        match self.holds(instance) {
            true => Ok(()),
            false => Err(ValidationError::custom("not unique")),
        }
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        self.holds(instance)
    }
}

/// A set that is hashed with a key of its own: nobody who writes elements knows which of them meet.
fn are_unique(elements: &[Value]) -> bool {
    if elements.len() < 2 {
        return true;
    }
    let mut seen = HashSet::with_capacity(elements.len());
    elements.iter().all(|element| {
        let mut spelled = Vec::new();
        spell(element, &mut spelled);
        seen.insert(spelled)
    })
}

/// Writes a value so that what is equal in JSON Schema, and nothing else, is the same bytes. Not as RFC 8785 does: there large
/// integers are doubles, and ids that differ become the same.
fn spell(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Null => bytes.push(b'0'),
        Value::Bool(false) => bytes.push(b'f'),
        Value::Bool(true) => bytes.push(b't'),
        Value::Number(number) => spell_number(number, bytes),
        Value::String(text) => spell_text(b's', text, bytes),
        Value::Array(elements) => {
            begin(b'[', elements.len(), bytes);
            for element in elements {
                spell(element, bytes);
            }
        }
        Value::Object(members) => spell_members(members, bytes),
    }
}

/// What follows has a length, so that it ends where it says and not by a sign that could stand in it.
fn begin(kind: u8, length: usize, bytes: &mut Vec<u8>) {
    bytes.push(kind);
    bytes.extend(length.to_le_bytes());
}

fn spell_text(kind: u8, text: &str, bytes: &mut Vec<u8>) {
    begin(kind, text.len(), bytes);
    bytes.extend(text.as_bytes());
}

/// Members have no order.
fn spell_members(members: &Map<String, Value>, bytes: &mut Vec<u8>) {
    begin(b'{', members.len(), bytes);
    let mut members: Vec<_> = members.iter().collect();
    members.sort_unstable_by_key(|(name, _)| *name);
    for (name, member) in members {
        spell_text(b's', name, bytes);
        spell(member, bytes);
    }
}

/// `1` and `1.0` are the same number.
fn spell_number(number: &Number, bytes: &mut Vec<u8>) {
    let float = number.as_f64().filter(|_| number.is_f64());
    let integer = match float {
        None => number.to_string(),
        // Minus zero, too.
        Some(0.0) => "0".to_owned(),
        Some(float) if float.fract() == 0.0 && float.abs() < INTEGERS_END => format!("{float:.0}"),
        Some(float) => {
            bytes.push(b'd');
            bytes.extend(float.to_bits().to_le_bytes());
            return;
        }
    };
    spell_text(b'i', &integer, bytes);
}

#[cfg(test)]
mod tests {
    use crate::schema::{Schema, SchemaError};
    use serde_json::{Value, json};

    const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

    fn check(value: &Value, unique: bool) {
        let schema = json!({ "$schema": DRAFT, "properties": { "a": { "uniqueItems": true } } });
        let schema = Schema::compile(&schema).unwrap();
        let value = json!({ "a": value });
        let expected = (!unique).then_some("/a: uniqueItems");
        assert_eq!(schema.misfit(&value).as_deref(), expected);
        assert_eq!(schema.fits(&value), unique);
        assert_eq!(schema.misfits(&value).count(), usize::from(!unique));
    }

    #[test]
    fn elements_are_the_same_whose_values_are() {
        for (value, unique) in [
            (json!([1, 1.0]), false),
            (json!([0, -0.0]), false),
            (json!([0.5, 5e-1]), false),
            (json!([10_000_000_000_000_000_000_u64, 1e19]), false),
            (json!([[1, [2.0]], [1.0, [2]]]), false),
            (json!([{"a": 1, "b": 2}, {"b": 2, "a": 1}]), false),
            (json!([[{"a": [], "b": {}}], [{"b": {}, "a": []}]]), false),
            (json!(["a", "b", "a"]), false),
            (json!([null, null]), false),
            // Of those the first two, and the last two, are one double.
            (
                json!([9_007_199_254_740_993_u64, 9_007_199_254_740_992_u64]),
                true,
            ),
            (json!([u64::MAX, 18_446_744_073_709_551_616.0]), true),
            (json!([i64::MIN, i64::MIN + 1]), true),
            (json!([1e300, -1e300, 1e301, 1.5, 1]), true),
            (
                json!([0, "0", false, null, "", [], {}, [[]], [{}], "null"]),
                true,
            ),
            (json!([true, 1, "true"]), true),
            (
                json!([["a", "b"], ["a,b"], ["ab"], ["a", ["b"]], [["a"], "b"]]),
                true,
            ),
            (json!([[[], []], [[[]]], [[], [[]]], [[[]], []]]), true),
            (
                json!([{"a": 1}, {"b": 1}, {"a": {"b": 1}}, {"a": 1, "b": 1}, ["a", 1]]),
                true,
            ),
            (json!([]), true),
            (json!([1]), true),
            (json!("aa"), true),
            (json!({"a": 1, "b": 1}), true),
        ] {
            check(&value, unique);
        }
        let not_asked = Schema::compile(&json!({ "uniqueItems": false })).unwrap();
        assert!(not_asked.fits(&json!([1, 1])));
        assert!(Schema::compile(&json!({ "uniqueItems": "yes" })).is_err());
    }

    /// All lists in lists with so many pairs of brackets, in the order of how they are written.
    fn bracketings(pairs: usize) -> Vec<Value> {
        if pairs == 0 {
            return vec![json!([])];
        }
        let mut all = Vec::new();
        for first in 0..pairs {
            let rest = bracketings(pairs - 1 - first);
            for inner in bracketings(first) {
                for rest in &rest {
                    let mut elements = vec![inner.clone()];
                    elements.extend(rest.as_array().unwrap().iter().cloned());
                    all.push(json!(elements));
                }
            }
        }
        all
    }

    /// Compared each with each, these would take a minute.
    #[test]
    fn elements_that_are_alike_take_no_longer() {
        let lists = bracketings(10);
        assert_eq!(lists.len(), 16_796);
        let texts = json!({ "type": "array", "items": { "type": "string" }, "uniqueItems": true });
        let texts = Schema::compile(&texts).unwrap();
        assert_eq!(
            texts.misfit(&json!(lists)).as_deref(),
            Some("/0: type"),
            "types come first"
        );
        check(&json!(lists), true);
        // All of them are the same double.
        let numbers = 9_223_372_036_854_785_025_u64..=9_223_372_036_854_787_071;
        let pairs = numbers.clone().flat_map(|one| {
            let others = numbers.clone().take(42);
            others.map(move |other| json!([one, other]))
        });
        let mut pairs: Vec<Value> = pairs.take(43_690).collect();
        assert_eq!(pairs.len(), 43_690);
        check(&json!(pairs), true);
        pairs.push(json!([
            9_223_372_036_854_785_025_u64,
            9_223_372_036_854_785_026_u64
        ]));
        check(&json!(pairs), false);
    }

    #[test]
    fn a_list_is_looked_through_so_often_only() {
        let each = json!({ "uniqueItems": true });
        let many = |count: usize| json!({ "allOf": vec![each.clone(); count] });
        let refused = Schema::compile(&many(1_340)).err();
        assert_eq!(refused, Some(SchemaError::Reference));
        let too_large = Some("/: too large for its schema");
        let numbers = |count: usize| Value::from_iter(0..count);
        for (times, count, expected) in [
            (1, 50_000, None),
            (100, 10_000, None),
            (100, 50_000, too_large),
        ] {
            let schema = Schema::compile(&many(times)).unwrap();
            assert_eq!(schema.misfit(&numbers(count)).as_deref(), expected);
        }
        // Texts are read as a whole, and in a tree once more by each list above.
        let text = json!(["a".repeat(11_000_000)]);
        let schema = Schema::compile(&many(100)).unwrap();
        assert_eq!(schema.misfit(&text).as_deref(), too_large);
        assert_eq!(schema.misfit(&json!(["a".repeat(1_000_000)])), None);
        let tree =
            |times: usize| json!({ "items": { "$ref": "#" }, "allOf": vec![each.clone(); times] });
        let one = Schema::compile(&tree(1)).unwrap();
        assert_eq!(one.misfit(&numbers(50_000)), None);
        let several = Schema::compile(&tree(8)).unwrap();
        assert_eq!(several.misfit(&numbers(1_000)), None);
        assert_eq!(several.misfit(&numbers(100_000)).as_deref(), too_large);
    }
}

//! How often the parts of a value are held against subschemas.

use serde_json::{Map, Value};
use std::collections::HashMap;

/// How often a subschema is met at one place: by the validator, and by what looks for members and elements that no other
/// subschema knows. That holds the value against the subschemas at its place once more, and does so on each level of them anew.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visits {
    held: u64,
    marked: u64,
}

impl Visits {
    pub(super) const ONCE: Self = Self { held: 1, marked: 0 };

    pub(super) fn all(self) -> u64 {
        self.held.saturating_add(self.marked)
    }

    /// Of what this schema has inside.
    pub(super) fn inside(self, members: &Map<String, Value>) -> Self {
        let unevaluated = ["unevaluatedProperties", "unevaluatedItems"];
        let mut values = unevaluated.iter().filter_map(|name| members.get(*name));
        match values.any(|value| *value != Value::Bool(true)) {
            true => Self {
                marked: self.all(),
                ..self
            },
            false => self,
        }
    }

    /// Of the subschemas of a keyword that are for the same value.
    pub(super) fn in_place(self, keyword: &str) -> Self {
        match keyword {
            "allOf" | "anyOf" | "oneOf" | "if" => Self {
                held: self.all(),
                ..self
            },
            "not" | "dependencies" => Self { marked: 0, ..self },
            _ => self,
        }
    }

    /// Of the subschemas of a keyword that are for a part of the value.
    pub(super) fn of_part(self, keyword: &str) -> u64 {
        match keyword == "contains" || keyword.starts_with("unevaluated") {
            true => self.all(),
            false => self.held,
        }
    }
}

/// What one part of a value is held against.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Load {
    /// Subschemas from which recursion can be reached.
    pub(super) recursive: u64,
    /// The weight of all others, each with what its own parts are held against.
    pub(super) weight: u64,
    /// The states of their patterns, likewise.
    pub(super) states: u64,
    /// The errors that they may make of it, likewise.
    pub(super) errors: u64,
    /// On how many levels they are, from this part down.
    pub(super) levels: u64,
}

impl Load {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            recursive: self.recursive.saturating_add(other.recursive),
            weight: self.weight.saturating_add(other.weight),
            states: self.states.saturating_add(other.states),
            errors: self.errors.saturating_add(other.errors),
            levels: self.levels.max(other.levels),
        }
    }

    fn less(self, other: Self) -> Self {
        Self {
            recursive: self.recursive.saturating_sub(other.recursive),
            weight: self.weight.saturating_sub(other.weight),
            states: self.states.saturating_sub(other.states),
            errors: self.errors.saturating_sub(other.errors),
            levels: self.levels,
        }
    }

    /// Of a part that is one or the other.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            recursive: self.recursive.max(other.recursive),
            weight: self.weight.max(other.weight),
            states: self.states.max(other.states),
            errors: self.errors.max(other.errors),
            levels: self.levels.max(other.levels),
        }
    }

    /// Of what is met so often.
    pub(super) fn times(self, times: u64) -> Self {
        Self {
            recursive: self.recursive,
            weight: self.weight.saturating_mul(times),
            states: self.states.saturating_mul(times),
            errors: self.errors.saturating_mul(times),
            levels: self.levels,
        }
    }
}

/// What each part of the value at one place is held against, by all subschemas there.
///
/// Alternatives that a `const` of a member tells apart add up like any others. The validator chooses by it where one fits, and only
/// for some forms of it. Where none does, it holds the value against the whole of each, to say why (`collect_errors` of its
/// `anyOf` and `oneOf`); without that choice it looks at other members before that one, long texts among them.
#[derive(Default, Debug)]
pub(super) struct Parts<'a> {
    elements: Load,
    /// A member, whatever its name.
    any: Load,
    /// Members by their names: what is for them, and what of `any` is only for others.
    named: HashMap<&'a str, (Load, Load)>,
    /// The name of a member.
    names: Load,
}

impl<'a> Parts<'a> {
    pub(super) fn element(&mut self, load: Load) {
        self.elements = self.elements.plus(load);
    }

    pub(super) fn any_member(&mut self, load: Load) {
        self.any = self.any.plus(load);
    }

    /// A member that its schema knows by its name, so that `rest`, which counts for any, is not for it.
    pub(super) fn member(&mut self, name: &'a str, load: Load, rest: Load) {
        let (own, spared) = self.named.entry(name).or_default();
        *own = own.plus(load);
        *spared = spared.plus(rest);
    }

    pub(super) fn name(&mut self, load: Load) {
        self.names = self.names.plus(load);
    }

    /// What is most for any part.
    pub(super) fn worst(&self) -> Load {
        let named = self.named.values();
        let named = named.map(|(own, spared)| self.any.less(*spared).plus(*own));
        named
            .chain([self.elements, self.any, self.names])
            .fold(Load::default(), Load::or)
    }
}

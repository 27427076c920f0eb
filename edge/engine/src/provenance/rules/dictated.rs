//! Whether untrusted content may have dictated a value that needs no proof.

use super::{Broken, DEFAULT, Evidence, Origin, Origins, broken};
use crate::provenance::choice::{gives_right, is_same_choice};
use crate::provenance::plan::{Filter, Need, Plan};
use crate::provenance::quantity::canonical_number;
use crate::provenance::query::Spelled;
use proctor_model::ToolRef;
use serde_json::{Map, Value};

impl Evidence<'_> {
    /// Untrusted content does not have the value, in whatever spelling, unless it has an accepted origin.
    pub(super) fn not_suspect(
        &self,
        scalar: &Value,
        accepted: &[Origin],
        path: &[&str],
    ) -> Result<(), Broken> {
        let Some(spelled) = Spelled::of(scalar) else {
            return Ok(());
        };
        let known = self.has_origin(&spelled, false, accepted, path);
        if (known && !self.is_dictated_moment(&spelled, accepted, path))
            || self.is_known_time(&spelled, accepted, path)
            || self.is_part_of_date(&spelled, accepted, path)
        {
            return Ok(());
        }
        match self.seen(&spelled) {
            Some(tool) => Err(broken(path, "its value", Some(tool))),
            None if !self.session.knows_all() => Err(broken(path, "its value", None)),
            None => match scalar {
                // A figure is no telephone number.
                Value::String(text) if text.trim().parse::<f64>().is_err() => {
                    self.leads(text, false, accepted, path)
                }
                _ => Ok(()),
            },
        }
    }

    /// The untrusted tool that showed a value, if one did: a time of day in whatever words.
    pub(super) fn seen(&self, value: &Spelled) -> Option<&ToolRef> {
        let suspect = self.session.suspect(&self.session.query(value));
        suspect.or_else(|| self.time_told(value.clock?))
    }

    /// What gives somebody a right. Untrusted content does not have a word of a closed list among other words, nor by itself, unless
    /// that is what a field of the same name says of another thing (which of two letters every field may say). What is more than
    /// words, or of no such list, is held against it in whatever spelling as well, as [`Evidence::not_suspect`] does.
    pub(super) fn not_pressed(
        &self,
        scalar: &Value,
        need: Need,
        accepted: &[Origin],
        path: &[&str],
    ) -> Result<(), Broken> {
        let Some(spelled) = Spelled::of(scalar) else {
            return Ok(());
        };
        let query = self.session.query(&spelled);
        let words = need == Need::GuardedChoice && query.is_words();
        let short = stands_everywhere(scalar);
        if !words {
            self.not_suspect(scalar, accepted, path)?;
        }
        if !(words || short) || self.has_origin(&spelled, false, accepted, path) {
            return Ok(());
        }
        let name = path.iter().rfind(|step| **step != "*");
        let own = |field: Option<&str>| {
            short
                || name
                    .zip(field)
                    .is_some_and(|(name, field)| is_same_choice(name, field))
        };
        match (self.session.suspect_amid(&query, own), scalar) {
            (Some(tool), _) => Err(broken(path, "its value", Some(tool))),
            (None, _) if !self.session.knows_all() => Err(broken(path, "its value", None)),
            (None, Value::String(text)) if words => self.leads(text, false, accepted, path),
            _ => Ok(()),
        }
    }
}

impl Evidence<'_> {
    /// Whether untrusted content may have chosen how much a reader looks for, or of what kind: a filter of it is known from there
    /// alone. One of which the action says where it may come from was judged as that says.
    pub(crate) fn is_filter_dictated(
        &self,
        plan: &Plan,
        origins: &Origins,
        arguments: &Map<String, Value>,
    ) -> bool {
        let mut arguments = arguments.iter();
        arguments.any(|(name, value)| {
            self.has_dictated_filter(plan, origins, value, &mut vec![name.as_str()])
        })
    }

    fn has_dictated_filter<'v>(
        &self,
        plan: &Plan,
        origins: &Origins,
        value: &'v Value,
        path: &mut Vec<&'v str>,
    ) -> bool {
        let mut below = |step: &'v str, value: &'v Value| {
            path.push(step);
            let dictated = self.has_dictated_filter(plan, origins, value, path);
            path.pop();
            dictated
        };
        match value {
            Value::Array(elements) => elements.iter().any(|element| below("*", element)),
            Value::Object(members) => members
                .iter()
                .any(|(name, value)| below(name.as_str(), value)),
            scalar => {
                let filters = plan.filters.iter().filter(|filter| filter.at.covers(path));
                let filter = filters.max_by_key(|filter| filter.at.steps.len());
                let declared = origins.0.iter().any(|(at, _)| at.covers(path));
                let filter = filter.filter(|_| !declared);
                filter.is_some_and(|filter| self.is_dictated_value(scalar, filter, path))
            }
        }
    }

    fn is_dictated_value(&self, scalar: &Value, filter: &Filter, path: &[&str]) -> bool {
        let judged = match filter.need {
            Need::NotDictated if stands_everywhere(scalar) => Ok(()),
            Need::NotDictated | Need::NotSuspect => self.not_suspect(scalar, &DEFAULT, path),
            Need::GuardedChoice | Need::Guarded if !scalar.is_boolean() => {
                self.not_pressed(scalar, filter.need, &DEFAULT, path)
            }
            _ => Ok(()),
        };
        judged.is_err() && !self.is_usual(scalar, filter, path)
    }

    /// Whether a number of rows is one that anybody asks for, and untrusted content does not have it as one of rows: bills are of
    /// `100` as well.
    fn is_usual(&self, scalar: &Value, filter: &Filter, path: &[&str]) -> bool {
        let number = match scalar {
            Value::Number(number) => canonical_number(&number.to_string()),
            Value::String(text) => canonical_number(text.trim()),
            _ => None,
        };
        let Some(number) = number.filter(|number| filter.usual.contains(number)) else {
            return false;
        };
        let name = path.iter().rfind(|step| **step != "*");
        let name = name.copied().unwrap_or_default();
        self.session.knows_all() && !self.session.suspect_rows(&number, name)
    }
}

/// Whether a yes or a no at a place may give somebody a right, by the name of its argument.
pub(super) fn may_give_right(path: &[&str], flag: bool) -> bool {
    let name = path.iter().rfind(|step| **step != "*");
    name.is_some_and(|name| gives_right(name, flag))
}

/// `1`, `en`: untrusted content has it sooner or later, whoever means it.
pub(super) fn stands_everywhere(scalar: &Value) -> bool {
    let few = |text: &str| {
        text.chars()
            .filter(|c| c.is_alphanumeric())
            .nth(2)
            .is_none()
    };
    match scalar {
        Value::String(text) => few(text),
        Value::Number(number) => few(&number.to_string()),
        _ => false,
    }
}

/// Most digits of a number that is no account, no telephone number and no id of somebody, in all likelihood.
const FEW_DIGITS: usize = 3;

pub(super) fn has_few_digits(number: &serde_json::Number) -> bool {
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
    canonical_number(&number.to_string()).is_some_and(|text| digits(&text) <= FEW_DIGITS)
}

//! Currencies, which the goal has signs for, and numbers that are no amounts.

use super::{Evidence, Origin};
use crate::provenance::currency::ANY;
use crate::provenance::plan::{Plan, words_of};
use crate::provenance::quantity::canonical_number;
use crate::provenance::value::Kind;
use proctor_model::catalogue::Role;
use serde_json::Value;
use std::borrow::Cow;

/// Longest code of a currency.
const CODE_BYTES_MAX: usize = 5;

/// What a code is noted as: `USD` is `usd`.
pub(super) fn currency_code(text: &str) -> Option<String> {
    let code = text.len() <= CODE_BYTES_MAX && text.bytes().all(|b| b.is_ascii_alphabetic());
    code.then(|| text.to_ascii_lowercase())
}

/// Whether an argument is for a currency, by its name.
pub(super) fn names_currency(name: &str) -> bool {
    words_of(name).any(|word| word == "currency")
}

/// Whether it is, by its label or by its name.
fn is_currency(plan: &Plan, path: &[&str]) -> bool {
    let name = path.iter().rfind(|step| **step != "*");
    plan.role_at(path) == Some(Role::Currency) || name.is_some_and(|name| names_currency(name))
}

impl Evidence<'_> {
    /// Whether anybody who is believed says in which currency an amount is meant: the goal, or a record that it may be of.
    pub(super) fn names_currency(&self) -> bool {
        let any = || self.session.typed_query(Kind::Currency, ANY);
        self.goal.names_currency() || self.session.proves(&any(), false)
    }

    /// Whether an argument is a currency that an accepted origin has a sign or a word for: `$50` means `USD`.
    pub(super) fn is_known_currency(
        &self,
        plan: &Plan,
        text: &str,
        accepted: &[Origin],
        path: &[&str],
    ) -> bool {
        let known = |code: &String| self.has_typed_origin(Kind::Currency, code, accepted, path);
        let code = currency_code(text).filter(|_| is_currency(plan, path));
        code.as_ref().is_some_and(known)
    }

    /// The origins that an argument accepts. An amount is not proved by the words of the goal if it has the number as the name of
    /// something alone: who speaks of ticket #5000 has not said how much.
    pub(super) fn of_amount<'o>(
        &self,
        plan: &Plan,
        scalar: &Value,
        accepted: &'o [Origin],
        path: &[&str],
    ) -> Cow<'o, [Origin]> {
        let number = || match scalar {
            Value::Number(number) => canonical_number(&number.to_string()),
            Value::String(text) => canonical_number(text.trim()),
            _ => None,
        };
        let named = || number().is_some_and(|number| self.goal.only_names_by(&number));
        if plan.role_at(path) != Some(Role::Amount) || !named() {
            return Cow::Borrowed(accepted);
        }
        let constant = |origin: &Origin| match origin {
            Origin::Goal => Origin::Constant,
            other => other.clone(),
        };
        Cow::Owned(accepted.iter().map(constant).collect())
    }
}

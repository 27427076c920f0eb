//! Budgets: what is metered, where a ceiling holds and for how long, and the documents that operators write about it.

use crate::limits::{LIMIT_RULES_MAX, PRICES_MAX};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// Largest number of units that anything here takes: what a signed 64-bit column and a JSON number of most languages
/// still hold exactly (2^53 - 1).
pub const UNITS_MAX: u64 = (1 << 53) - 1;
/// Longest rolling window, in seconds: a year.
pub const ROLLING_S_MAX: u32 = 366 * 24 * 3600;

/// A text that is none of the words that may stand there.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("not a {what}: {rule}")]
pub struct WordError {
    what: &'static str,
    rule: &'static str,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, { $($(#[$each:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$each])* $variant,)+ }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word for it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl FromStr for $name {
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, WordError> {
                Self::ALL.iter().copied().find(|one| one.as_str() == text).ok_or(WordError { what: $what, rule: $rule })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(
    /// What is counted.
    Meter, "meter", "one of calls, tokens, cost, amount", {
        /// Calls that were authorized.
        Calls = "calls",
        /// Tokens of a language model, as it reported them.
        Tokens = "tokens",
        /// Micro-units of the tenant's currency.
        Cost = "cost",
        /// Millionths of an amount in the arguments, in what that amount is in (`totals` of an intent).
        Amount = "amount",
    }
);

words!(
    /// Whose ceiling it is.
    Scope, "scope", "one of tenant, agent, session, token, intent", {
        /// All of the tenant.
        Tenant = "tenant",
        /// One agent, with all its sub-agents.
        Agent = "agent",
        /// One run of an agent.
        Session = "session",
        /// All tokens that derive from one prefix (`calls <=`, `cost <=`).
        Token = "token",
        /// One action of an intent (`max_calls`, `totals`).
        Intent = "intent",
    }
);

/// For how long what was spent counts. Written `lifetime`, `minute`, `hour`, `day`, `month` (calendar, UTC), or
/// `rolling:<seconds>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Window {
    /// For ever.
    Lifetime,
    /// Until the next full minute.
    Minute,
    /// Until the next full hour.
    Hour,
    /// Until midnight UTC.
    Day,
    /// Until the first of the next month, UTC.
    Month,
    /// For so many seconds from when it was spent.
    Rolling(u32),
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lifetime => f.write_str("lifetime"),
            Self::Minute => f.write_str("minute"),
            Self::Hour => f.write_str("hour"),
            Self::Day => f.write_str("day"),
            Self::Month => f.write_str("month"),
            Self::Rolling(seconds) => write!(f, "rolling:{seconds}"),
        }
    }
}

impl FromStr for Window {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        const WRONG: WordError = WordError {
            what: "window",
            rule: "one of lifetime, minute, hour, day, month, rolling:<seconds> (1 to 31622400)",
        };
        match text {
            "lifetime" => Ok(Self::Lifetime),
            "minute" => Ok(Self::Minute),
            "hour" => Ok(Self::Hour),
            "day" => Ok(Self::Day),
            "month" => Ok(Self::Month),
            _ => {
                let seconds = text.strip_prefix("rolling:").ok_or(WRONG)?;
                let seconds: u32 = seconds.parse().map_err(|_| WRONG)?;
                // One spelling for one window: no sign, no leading zero.
                if (1..=ROLLING_S_MAX).contains(&seconds) && text == format!("rolling:{seconds}") {
                    Ok(Self::Rolling(seconds))
                } else {
                    Err(WRONG)
                }
            }
        }
    }
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One account of a tenant: where units are spent.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountKey {
    /// Whose.
    pub scope: Scope,
    /// Which one: an agent's id, a session's, a token prefix, `<intent>#<action>` (for an amount: `#` and which); empty for
    /// the tenant.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// What is counted.
    pub meter: Meter,
    /// For how long.
    pub window: Window,
}

impl fmt::Display for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            scope,
            id,
            meter,
            window,
        } = self;
        if id.is_empty() {
            write!(f, "{scope} {meter} {window}")
        } else {
            write!(f, "{scope} {id} {meter} {window}")
        }
    }
}

/// A ceiling that an operator set.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitRule {
    /// Whose: tenant, agent or session.
    pub scope: Scope,
    /// Which one; `*` for each that has no rule of its own for this meter and window. Empty for the tenant.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// What is counted.
    pub meter: Meter,
    /// For how long.
    pub window: Window,
    /// Most units. 0 refuses everything.
    pub limit: u64,
}

/// All ceilings of a tenant: the document that operators put.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The rules.
    pub rules: Vec<LimitRule>,
}

/// A document about budgets that can't be accepted; names the member.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum BudgetError {
    #[error("rules: at most {LIMIT_RULES_MAX}")]
    TooManyRules,
    #[error(
        "rules[{0}].scope: tenant, agent or session; tokens and intents carry their own ceilings"
    )]
    Scope(usize),
    #[error("rules[{0}].id: empty for the tenant, else an id or *")]
    Id(usize),
    #[error(
        "rules[{0}].meter: calls, tokens or cost; amounts are limited by the totals of an intent"
    )]
    Meter(usize),
    #[error("rules[{0}].limit: 0 to 9007199254740991")]
    Limit(usize),
    #[error("rules[{0}]: the same scope, id, meter and window as an earlier rule")]
    Double(usize),
    #[error("tools and models: at most {PRICES_MAX} together")]
    TooManyPrices,
    #[error("tools.{0}: a server/tool")]
    Tool(String),
    #[error("{0}: 0 to 9007199254740991")]
    Price(String),
    #[error("currency: three capital letters")]
    Currency,
}

fn is_account_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:@+".contains(&b))
}

impl Limits {
    /// Checks everything that serde does not.
    ///
    /// # Errors
    /// The first rule that is not sound.
    pub fn check(&self) -> Result<(), BudgetError> {
        if self.rules.len() > LIMIT_RULES_MAX {
            return Err(BudgetError::TooManyRules);
        }
        let mut seen = BTreeSet::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let id_fits = match rule.scope {
                Scope::Tenant => rule.id.is_empty(),
                Scope::Agent | Scope::Session => rule.id == "*" || is_account_id(&rule.id),
                Scope::Token | Scope::Intent => return Err(BudgetError::Scope(index)),
            };
            if !id_fits {
                return Err(BudgetError::Id(index));
            }
            if rule.meter == Meter::Amount {
                return Err(BudgetError::Meter(index));
            }
            if rule.limit > UNITS_MAX {
                return Err(BudgetError::Limit(index));
            }
            if !seen.insert((rule.scope, &rule.id, rule.meter, rule.window)) {
                return Err(BudgetError::Double(index));
            }
        }
        Ok(())
    }
}

/// What a tool costs, and what to reserve before it has said what it used.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToolPrice {
    /// Micro-units for each call.
    pub per_call: u64,
    /// Micro-units for a million tokens that it reports (`meters.tokens` in the catalogue).
    pub per_million_tokens: u64,
    /// Tokens to reserve before a call; the real figure is settled after. At least 1 is reserved where tokens are read
    /// from the result.
    pub reserve_tokens: u64,
    /// Micro-units to reserve before a call, where its cost is read from the result.
    pub reserve_cost: u64,
}

/// What a language model costs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelPrice {
    /// Micro-units for a million tokens read.
    pub per_million_input_tokens: u64,
    /// Micro-units for a million tokens written.
    pub per_million_output_tokens: u64,
}

/// Prices of a tenant: the document that operators put.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prices {
    /// The currency that costs are micro-units of (`EUR`), for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub currency: String,
    /// By `server/tool`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tools: BTreeMap<String, ToolPrice>,
    /// By the model's name, as its provider spells it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, ModelPrice>,
}

impl Prices {
    /// Checks everything that serde does not.
    ///
    /// # Errors
    /// The first member that is not sound.
    pub fn check(&self) -> Result<(), BudgetError> {
        let currency = self.currency.as_bytes();
        let letters = currency.iter().all(u8::is_ascii_uppercase);
        if !matches!((currency.len(), letters), (0, _) | (3, true)) {
            return Err(BudgetError::Currency);
        }
        if self.tools.len().saturating_add(self.models.len()) > PRICES_MAX {
            return Err(BudgetError::TooManyPrices);
        }
        for (tool, price) in &self.tools {
            if tool.parse::<crate::ToolRef>().is_err() {
                return Err(BudgetError::Tool(tool.chars().take(200).collect()));
            }
            let all = [
                price.per_call,
                price.per_million_tokens,
                price.reserve_tokens,
                price.reserve_cost,
            ];
            if all.iter().any(|units| *units > UNITS_MAX) {
                return Err(BudgetError::Price(format!("tools.{tool}")));
            }
        }
        for (model, price) in &self.models {
            if price
                .per_million_input_tokens
                .max(price.per_million_output_tokens)
                > UNITS_MAX
            {
                let model: String = model.chars().take(200).collect();
                return Err(BudgetError::Price(format!("models.{model}")));
            }
        }
        Ok(())
    }
}

/// A document with its version, as edges get it in the tenant's configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Versioned<T> {
    /// From 1, one more with each change.
    pub version: u64,
    /// The document.
    pub document: T,
}

/// Micro-units for so many tokens at a price for a million of them, rounded up.
#[must_use]
pub fn cost_of_tokens(tokens: u64, per_million: u64) -> u64 {
    let micros = u128::from(tokens) * u128::from(per_million);
    u64::try_from(micros.div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn windows_have_one_spelling() {
        for text in [
            "lifetime",
            "minute",
            "hour",
            "day",
            "month",
            "rolling:1",
            "rolling:31622400",
        ] {
            assert_eq!(text.parse::<Window>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "week",
            "Day",
            "rolling:",
            "rolling:0",
            "rolling:01",
            "rolling:+1",
            "rolling:-1",
            "rolling:31622401",
            "rolling:1.5",
            "rolling:NaN",
        ] {
            assert!(text.parse::<Window>().is_err(), "{text}");
        }
    }

    fn limits(rule: serde_json::Value) -> Result<(), String> {
        let limits: Limits = serde_json::from_value(json!({ "rules": [rule] }))
            .map_err(|error| error.to_string())?;
        limits.check().map_err(|error| error.to_string())
    }

    #[test]
    fn rules_that_mean_nothing_are_refused() {
        let rule = |key: &str, value: serde_json::Value| {
            let mut rule = json!({ "scope": "agent", "id": "*", "meter": "calls", "window": "day", "limit": 10 });
            rule[key] = value;
            limits(rule)
        };
        assert_eq!(rule("limit", json!(0)), Ok(()), "a limit of nothing is one");
        for (key, value) in [
            ("limit", json!(-1)),
            ("limit", json!(1.5)),
            ("limit", json!("NaN")),
            ("limit", json!(u64::MAX)),
            ("limit", json!(1e300)),
            ("meter", json!("euros")),
            ("window", json!("rolling:0")),
            ("window", json!(0)),
            ("scope", json!("token")),
            ("scope", json!("tenant")),
            ("id", json!("")),
            ("id", json!("a b")),
            ("id", json!("helper*")),
            ("more", json!(1)),
        ] {
            assert!(rule(key, value.clone()).is_err(), "{key} {value}");
        }
    }

    #[test]
    fn an_amount_is_limited_by_intents_alone() {
        let rule = json!({ "scope": "agent", "id": "*", "meter": "amount", "window": "lifetime", "limit": 10 });
        let limits: Limits = serde_json::from_value(json!({ "rules": [rule] })).unwrap();
        assert_eq!(limits.check(), Err(BudgetError::Meter(0)));
    }

    #[test]
    fn a_rule_may_not_be_there_twice() {
        let rule = LimitRule {
            scope: Scope::Tenant,
            id: String::new(),
            meter: Meter::Calls,
            window: Window::Day,
            limit: 1,
        };
        let limits = Limits {
            rules: vec![rule.clone(), LimitRule { limit: 2, ..rule }],
        };
        assert_eq!(limits.check(), Err(BudgetError::Double(1)));
    }

    #[test]
    fn prices_are_checked_and_round_up() {
        assert_eq!(cost_of_tokens(1, 1), 1);
        assert_eq!(cost_of_tokens(1_000_000, 3), 3);
        assert_eq!(cost_of_tokens(u64::MAX, u64::MAX), u64::MAX);
        let prices = |value| {
            serde_json::from_value::<Prices>(value)
                .map_err(drop)
                .and_then(|prices| prices.check().map_err(drop))
        };
        assert_eq!(
            prices(json!({ "currency": "EUR", "tools": { "crm/search": { "per_call": 5 } } })),
            Ok(())
        );
        for bad in [
            json!({ "currency": "euro" }),
            json!({ "tools": { "search": {} } }),
            json!({ "tools": { "crm/search": { "per_call": -5 } } }),
            json!({ "tools": { "crm/search": { "per_call": UNITS_MAX + 1 } } }),
            json!({ "models": { "m": { "per_million_input_tokens": UNITS_MAX + 1 } } }),
        ] {
            assert!(prices(bad.clone()).is_err(), "{bad}");
        }
    }
}

//! Budgets: which accounts a call draws on, and how much of each.
//!
//! The counter owns the accounts; an edge holds leases on them. What a call needs is a function of the tenant's
//! documents, the token, the intent and the tool ([`CompiledBudget::demands`]); whether it can be had is the [`purse`]'s
//! to say, in memory and without waiting. [`measure`] says what a call really used, [`within`] how long a stream may go on
//! with what is held for it.

pub mod measure;
pub mod purse;
mod reserve;
pub mod within;

pub use reserve::estimate;

use crate::decision::Charge;
use crate::intent::CompiledIntent;
use crate::token::VerifiedToken;
use crate::world::CountKey;
use measure::Used;
use proctor_model::budget::{
    AccountKey, LimitRule, Limits, Meter, ModelPrice, Prices, Scope, ToolPrice, Versioned, Window,
    cost_of_tokens,
};
use proctor_model::{Reason, Timestamp, ToolRef};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// What a call needs of one account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Demand {
    /// The account.
    pub account: AccountKey,
    /// Units to reserve before the call.
    pub units: u64,
    /// What the token or the intent itself says about the account; none for the tenant's rules.
    pub ceiling: Option<Ceiling>,
    /// The reason if the account has not as much.
    pub reason: Reason,
}

/// What is left of an account, as far as this edge knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remaining {
    /// The account.
    pub account: AccountKey,
    /// Units that can still be had; what others hold is not among them.
    pub units: u64,
}

/// A ceiling that a token or an intent carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ceiling {
    /// Most units.
    pub most: u64,
    /// From then on nothing can draw on it.
    pub until: Timestamp,
}

/// A tenant's ceilings and prices, compiled once per version of its configuration.
#[derive(Debug, Default)]
pub struct CompiledBudget {
    version: u64,
    groups: Vec<Group>,
    tools: BTreeMap<ToolRef, ToolPrice>,
    models: BTreeMap<String, ModelPrice>,
}

/// How long the counter keeps a ceiling without an end of its own, in seconds from the token's making: a year.
const CEILING_LIFE_S: i64 = 366 * 24 * 3600;

/// The rules of one scope, meter and window.
#[derive(Debug)]
struct Group {
    scope: Scope,
    meter: Meter,
    window: Window,
    /// Whether there is a rule for `*`.
    every: bool,
    ids: BTreeSet<String>,
}

impl CompiledBudget {
    /// Compiles the documents.
    #[must_use]
    pub fn compile(limits: Option<&Versioned<Limits>>, prices: Option<&Versioned<Prices>>) -> Self {
        let mut budget = Self::default();
        if let Some(limits) = limits {
            budget.version = limits.version;
            limits
                .document
                .rules
                .iter()
                .for_each(|rule| budget.add(rule));
        }
        if let Some(prices) = prices {
            let tools = prices.document.tools.iter();
            budget.tools = tools
                .filter_map(|(tool, price)| Some((tool.parse().ok()?, price.clone())))
                .collect();
            budget.models = prices.document.models.clone();
        }
        budget
    }

    fn add(&mut self, rule: &LimitRule) {
        let same = |group: &&mut Group| {
            (group.scope, group.meter, group.window) == (rule.scope, rule.meter, rule.window)
        };
        let group = match self.groups.iter_mut().find(same) {
            Some(group) => group,
            None => {
                self.groups.push(Group {
                    scope: rule.scope,
                    meter: rule.meter,
                    window: rule.window,
                    every: false,
                    ids: BTreeSet::new(),
                });
                let Some(group) = self.groups.last_mut() else {
                    return;
                };
                group
            }
        };
        if rule.id == "*" {
            group.every = true;
        } else {
            group.ids.insert(rule.id.clone());
        }
    }

    /// Version of the rules; 0: the tenant has none.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether no call of this tenant draws on an account by the tenant's rules.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The price of a tool.
    #[must_use]
    pub fn tool_price(&self, tool: &ToolRef) -> Option<&ToolPrice> {
        self.tools.get(tool)
    }

    /// What tokens of a model cost, in micro-units; none if it has no price.
    #[must_use]
    pub fn model_cost(&self, model: &str, input_tokens: u64, output_tokens: u64) -> Option<u64> {
        let price = self.models.get(model)?;
        let input = cost_of_tokens(input_tokens, price.per_million_input_tokens);
        let output = cost_of_tokens(output_tokens, price.per_million_output_tokens);
        Some(input.saturating_add(output))
    }

    /// What a call with so much in it needs of the accounts that the tenant's rules are about. Nothing is needed of an
    /// account whose meter the call does not move.
    #[must_use]
    pub fn demands(
        &self,
        token: &VerifiedToken,
        intent: Option<&CompiledIntent>,
        used: &Used,
    ) -> Vec<Demand> {
        let mut session = None;
        let mut demands = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let units = used.of(group.meter);
            if units == 0 {
                continue;
            }
            let id = match group.scope {
                Scope::Tenant => "",
                Scope::Agent => token.agent().as_str(),
                Scope::Session => session
                    .get_or_insert_with(|| session_id(token, intent))
                    .as_str(),
                Scope::Token | Scope::Intent => continue,
            };
            if group.every || group.ids.contains(id) {
                demands.push(Demand {
                    account: AccountKey {
                        scope: group.scope,
                        id: id.to_owned(),
                        meter: group.meter,
                        window: group.window,
                    },
                    units,
                    ceiling: None,
                    reason: Reason::BudgetExhausted,
                });
            }
        }
        demands
    }
}

/// Whose account a session's ceiling is on. An agent can add a `session` caveat to its token, so that alone must not
/// give it a fresh budget: what the intent says comes first, it is signed; without an intent, the root of the token.
#[must_use]
pub fn session_id(token: &VerifiedToken, intent: Option<&CompiledIntent>) -> String {
    match intent {
        // The first of a chain of intents: narrowing one gives no fresh budget.
        Some(intent) => {
            let root = intent.root();
            match &root.intent().declaration.session {
                Some(session) => session.to_string(),
                None => root.id().to_string(),
            }
        }
        None => token
            .revocation_ids()
            .first()
            .map(ToString::to_string)
            .unwrap_or_default(),
    }
}

/// The account of the counter that stands for a count; none for what each edge keeps for itself.
#[must_use]
pub fn account_of(key: &CountKey) -> Option<AccountKey> {
    let (scope, id, meter) = match key {
        CountKey::Token(prefix) => (Scope::Token, prefix.to_string(), Meter::Calls),
        CountKey::TokenCost(prefix) => (Scope::Token, prefix.to_string(), Meter::Cost),
        CountKey::Action { intent, action } => {
            (Scope::Intent, format!("{intent}#{action}"), Meter::Calls)
        }
        CountKey::Total {
            intent,
            action,
            amount,
        } => {
            // A pointer is longer than an account's id may be, and of other characters.
            let digest = hex::encode(Sha256::digest(amount.as_bytes()));
            let short = digest.get(..32).unwrap_or(&digest);
            let id = format!("{intent}#{action}#{short}");
            (Scope::Intent, id, Meter::Amount)
        }
        CountKey::Lease(_) => return None,
    };
    Some(AccountKey {
        scope,
        id,
        meter,
        window: Window::Lifetime,
    })
}

/// A token's or an intent's own ceiling as a demand on an account of the counter. `spent_here` was counted at this edge
/// before there was a counter. None for what each edge keeps for itself, and for nothing at all (an amount of 0).
#[must_use]
pub fn demand_of(charge: &Charge, token: &VerifiedToken, spent_here: u64) -> Option<Demand> {
    if charge.units == 0 {
        return None;
    }
    Some(Demand {
        account: account_of(&charge.key)?,
        units: charge.units,
        ceiling: Some(Ceiling {
            most: charge.most.saturating_sub(spent_here),
            // Where the ceiling comes before any expiry in the token, the same for all that derive from it: were it the
            // child's own expiry, the account could be forgotten while its siblings are alive.
            until: charge.until.unwrap_or_else(|| {
                let year = token.issued_at().plus_secs(CEILING_LIFE_S);
                year.max(token.expires_at())
            }),
        }),
        reason: charge.reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_model::budget::LimitRule;

    fn rule(scope: Scope, id: &str, meter: Meter, window: Window) -> LimitRule {
        LimitRule {
            scope,
            id: id.into(),
            meter,
            window,
            limit: 10,
        }
    }

    fn compiled(rules: Vec<LimitRule>) -> CompiledBudget {
        let limits = Versioned {
            version: 3,
            document: Limits { rules },
        };
        CompiledBudget::compile(Some(&limits), None)
    }

    #[test]
    fn a_rule_for_one_and_a_rule_for_each_are_one_account() {
        let budget = compiled(vec![
            rule(Scope::Agent, "*", Meter::Calls, Window::Day),
            rule(Scope::Agent, "helper", Meter::Calls, Window::Day),
            rule(Scope::Agent, "other", Meter::Calls, Window::Hour),
            rule(Scope::Tenant, "", Meter::Cost, Window::Month),
        ]);
        assert_eq!(budget.version(), 3);
        assert_eq!(budget.groups.len(), 3);
    }

    #[test]
    fn each_amount_of_an_action_is_an_account_of_its_intent() {
        let total = |action, amount: &str| CountKey::Total {
            intent: format!("int_{}", "i".repeat(124)).parse().unwrap(),
            action,
            amount: amount.into(),
        };
        let account = account_of(&total(3, "/amount")).unwrap();
        assert_eq!(
            (account.scope, account.meter, account.window),
            (Scope::Intent, Meter::Amount, Window::Lifetime)
        );
        // What the counter takes as an id.
        let is_id = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:@+#/".contains(&byte);
        let long = format!("/{}", "x".repeat(9_000));
        for amount in ["/amount", "/lines/0/é", long.as_str()] {
            let id = account_of(&total(u32::MAX, amount)).unwrap().id;
            assert!(id.len() <= 256 && id.bytes().all(is_id), "{id}");
        }
        for other in [total(3, "/fee"), total(4, "/amount")] {
            assert_ne!(account_of(&other).unwrap().id, account.id);
        }
    }

    #[test]
    fn prices_of_models() {
        let mut prices = Prices::default();
        prices.models.insert(
            "m".into(),
            ModelPrice {
                per_million_input_tokens: 3_000_000,
                per_million_output_tokens: 15_000_000,
            },
        );
        let budget = CompiledBudget::compile(
            None,
            Some(&Versioned {
                version: 1,
                document: prices,
            }),
        );
        assert_eq!(budget.model_cost("m", 100, 10), Some(300 + 150));
        assert_eq!(budget.model_cost("other", 100, 10), None);
    }
}

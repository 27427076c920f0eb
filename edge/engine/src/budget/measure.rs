//! What a call really used, by what its result says.

use super::estimate;
use crate::catalogue::Tool;
use proctor_model::budget::{Meter, ToolPrice, UNITS_MAX, cost_of_tokens};
use serde_json::{Map, Value};

/// Units by meter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Used {
    /// Calls.
    pub calls: u64,
    /// Tokens.
    pub tokens: u64,
    /// Micro-units.
    pub cost: u64,
}

impl Used {
    /// The same, each figure cut down to what an account holds ([`UNITS_MAX`]): more can be neither charged nor told
    /// exactly in JSON.
    #[must_use]
    pub fn within_accounts(self) -> Self {
        Self {
            calls: self.calls.min(UNITS_MAX),
            tokens: self.tokens.min(UNITS_MAX),
            cost: self.cost.min(UNITS_MAX),
        }
    }

    /// Units of one meter.
    #[must_use]
    pub fn of(&self, meter: Meter) -> u64 {
        match meter {
            Meter::Calls => self.calls,
            Meter::Tokens => self.tokens,
            Meter::Cost => self.cost,
            // In the arguments: see `settled`.
            Meter::Amount => 0,
        }
    }

    /// What is settled on an account of this meter, of which so much was reserved. An amount is known before the call, and
    /// no answer makes it less.
    #[must_use]
    pub fn settled(&self, meter: Meter, reserved: u64) -> u64 {
        match meter {
            Meter::Amount => reserved,
            Meter::Calls | Meter::Tokens | Meter::Cost => self.of(meter),
        }
    }
}

/// What a call of this tool used. Where the result does not say what it should, what was reserved counts: leaving a
/// figure out must not make a call cheaper.
#[must_use]
pub fn used(tool: &Tool, price: Option<&ToolPrice>, result: &Map<String, Value>) -> Used {
    let reserved = estimate(tool, price);
    let free = ToolPrice::default();
    let price = price.unwrap_or(&free);
    let meters = &tool.entry().meters;
    let told = |meter| {
        let pointer = meters.get(&meter)?;
        at(result, pointer).and_then(units)
    };
    let tokens = match meters.contains_key(&Meter::Tokens) {
        true => told(Meter::Tokens).unwrap_or(reserved.tokens),
        false => 0,
    };
    let cost = match meters.contains_key(&Meter::Cost) {
        true => told(Meter::Cost).unwrap_or(price.reserve_cost.max(1)),
        false => 0,
    };
    Used {
        calls: 1,
        tokens,
        cost: price
            .per_call
            .saturating_add(cost)
            .saturating_add(cost_of_tokens(tokens, price.per_million_tokens)),
    }
    .within_accounts()
}

/// What a call costs by its tool's price, apart from what it says itself.
#[must_use]
pub fn priced(price: Option<&ToolPrice>, tokens: u64) -> u64 {
    price.map_or(0, |price| {
        let tokens = cost_of_tokens(tokens, price.per_million_tokens);
        price.per_call.saturating_add(tokens)
    })
}

/// What a pointer leads to: in `structuredContent`, else in the first text block that is a JSON document and has it.
fn at(result: &Map<String, Value>, pointer: &str) -> Option<Value> {
    if let Some(value) = result
        .get("structuredContent")
        .and_then(|content| content.pointer(pointer))
    {
        return Some(value.clone());
    }
    let blocks = result.get("content")?.as_array()?;
    blocks
        .iter()
        .filter_map(|block| block.get("text")?.as_str())
        .filter(|text| text.trim_start().starts_with(['{', '[']))
        .filter_map(|text| serde_json::from_str::<Value>(text).ok())
        .find_map(|document| document.pointer(pointer).cloned())
}

/// A figure that can be charged: a whole number, or one with a fraction that is rounded up; never negative, never beyond
/// what an account holds.
fn units(value: Value) -> Option<u64> {
    let number = value.as_number()?;
    let units = match number.as_u64() {
        Some(units) => units,
        None => {
            let rounded = number.as_f64().filter(|number| number.is_finite())?.ceil();
            // Printed and read again: no cast that could cut something off.
            format!("{rounded:.0}").parse().ok()?
        }
    };
    (units <= UNITS_MAX).then_some(units)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_model::catalogue::{CatalogueEntry, ToolServer};
    use serde_json::json;

    fn check(meters: Value, price: ToolPrice, result: &Value) -> Used {
        let mut entry: CatalogueEntry = serde_json::from_value(json!({
            "definition": {"name": "ask", "input_schema": {"type": "object"}},
            "meters": meters,
        }))
        .unwrap();
        entry.definition_digest = Some(entry.definition.digest());
        let server: ToolServer = serde_json::from_value(json!({
            "id": "llm", "upstream": {"kind": "mcp-http", "url": "http://127.0.0.1:1/"}, "tools": [entry],
        }))
        .unwrap();
        let catalogue = crate::Catalogue::compile(&[server]);
        let tool = catalogue.get(&"llm/ask".parse().unwrap()).unwrap();
        used(tool, Some(&price), result.as_object().unwrap())
    }

    #[test]
    fn figures_are_read_wherever_they_are() {
        let price = ToolPrice {
            per_call: 7,
            per_million_tokens: 2_000_000,
            reserve_tokens: 500,
            reserve_cost: 900,
        };
        let meters = json!({"tokens": "/usage/total", "cost": "/usage/cost"});
        let full = Used {
            calls: 1,
            tokens: 30,
            cost: 7 + 12 + 60,
        };
        let usage = json!({"usage": {"total": 30, "cost": 11.2}});
        for result in [
            json!({"structuredContent": usage}),
            json!({"content": [{"type": "text", "text": "thinking"}, {"type": "text", "text": usage.to_string()}]}),
        ] {
            assert_eq!(check(meters.clone(), price.clone(), &result), full);
        }
    }

    #[test]
    fn a_figure_that_is_none_costs_what_was_reserved() {
        let price = ToolPrice {
            reserve_tokens: 500,
            ..ToolPrice::default()
        };
        let meters = json!({"tokens": "/total"});
        for figure in [
            json!(null),
            json!(-1),
            json!("12"),
            json!([1]),
            json!(1e300),
            json!(u64::MAX),
            json!({"a": 1}),
        ] {
            let result = json!({"structuredContent": {"total": figure}});
            let used = check(meters.clone(), price.clone(), &result);
            assert_eq!(used.tokens, 500, "{figure}");
        }
        assert_eq!(check(meters, price, &json!({})).tokens, 500);
    }

    #[test]
    fn nothing_costs_more_than_an_account_holds() {
        let price = ToolPrice {
            per_million_tokens: UNITS_MAX,
            per_call: UNITS_MAX,
            ..ToolPrice::default()
        };
        let result = json!({"structuredContent": {"total": UNITS_MAX}});
        let used = check(json!({"tokens": "/total"}), price, &result);
        assert_eq!((used.tokens, used.cost), (UNITS_MAX, UNITS_MAX));
    }

    #[test]
    fn a_tool_without_meters_moves_calls_alone() {
        let used = check(
            json!({}),
            ToolPrice::default(),
            &json!({"structuredContent": {"total": 9}}),
        );
        assert_eq!(
            used,
            Used {
                calls: 1,
                tokens: 0,
                cost: 0
            }
        );
    }
}

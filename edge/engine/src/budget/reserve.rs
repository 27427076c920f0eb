//! What is reserved for a call before it has said what it used.

use super::CompiledBudget;
use super::measure::Used;
use crate::catalogue::Tool;
use crate::llm::usage;
use proctor_model::budget::{Meter, ToolPrice, cost_of_tokens};
use serde_json::{Map, Value};

impl CompiledBudget {
    /// What is to be reserved for a call of this tool with these arguments. A prompt counts with its length, and with the
    /// answer that it asks for.
    #[must_use]
    pub fn reserve_for(&self, tool: &Tool, arguments: &Map<String, Value>) -> Used {
        let price = self.tool_price(tool.reference());
        let least = estimate(tool, price);
        let Some(model) = tool.model() else {
            return least;
        };
        let input = usage::roughly(arguments);
        let asked = ["max_tokens", "max_completion_tokens", "max_output_tokens"]
            .iter()
            .find_map(|name| arguments.get(*name)?.as_u64());
        let most = model.output_tokens_max;
        let output = match (asked, most) {
            (Some(asked), Some(most)) => asked.min(most),
            (asked, most) => asked.or(most).unwrap_or(0),
        };
        let tokens = input.saturating_add(output);
        let by_model = self.model_cost(model.name_of(&tool.reference().name), input, output);
        let cost = super::measure::priced(price, tokens).saturating_add(by_model.unwrap_or(0));
        Used {
            calls: 1,
            tokens: least.tokens.max(tokens),
            cost: least.cost.max(cost),
        }
        .within_accounts()
    }
}

/// What is to be reserved for a call of this tool before it has said what it used.
#[must_use]
pub fn estimate(tool: &Tool, price: Option<&ToolPrice>) -> Used {
    let free = ToolPrice::default();
    let price = price.unwrap_or(&free);
    // A model says what it used whenever it answers.
    let told = |meter| tool.model().is_some() || tool.entry().meters.contains_key(&meter);
    let tokens = if told(Meter::Tokens) {
        price.reserve_tokens.max(1)
    } else {
        0
    };
    let told = if told(Meter::Cost) {
        price.reserve_cost.max(1)
    } else {
        0
    };
    Used {
        calls: 1,
        tokens,
        cost: price
            .per_call
            .saturating_add(told)
            .saturating_add(cost_of_tokens(tokens, price.per_million_tokens)),
    }
    .within_accounts()
}

//! What is reserved for a call before it has said what it used.

use super::CompiledBudget;
use super::measure::Used;
use crate::catalogue::Tool;
use crate::llm::{prompt, usage};
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
        // The model's ceiling is for all answers together, what the agent asks for is for each.
        let asked = prompt::output_asked(arguments);
        let asked = asked.map(|each| each.saturating_mul(prompt::answers(arguments)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_model::catalogue::{CatalogueEntry, ToolServer};
    use serde_json::{Value, json};

    fn reserved(most: Option<u64>, more: Value) -> u64 {
        let mut entry: CatalogueEntry = serde_json::from_value(json!({
            "definition": {"name": "openai/gpt", "input_schema": {"type": "object"}},
            "llm": {"output_tokens_max": most},
        }))
        .unwrap();
        entry.definition_digest = Some(entry.definition.digest());
        let server: ToolServer = serde_json::from_value(json!({
            "id": "llm", "upstream": {"kind": "mcp-http", "url": "http://127.0.0.1:1/"}, "tools": [entry],
        }))
        .unwrap();
        let catalogue = crate::Catalogue::compile(&[server]);
        let tool = catalogue.get(&"llm/openai/gpt".parse().unwrap()).unwrap();
        let mut arguments = Map::new();
        arguments.extend(more.as_object().unwrap().clone());
        CompiledBudget::default()
            .reserve_for(tool, &arguments)
            .tokens
    }

    #[test]
    fn every_answer_that_is_asked_for_counts() {
        let bare = reserved(None, json!({}));
        for (most, asked, output) in [
            (None, json!({"max_tokens": 4_000}), 4_000),
            (None, json!({"max_tokens": 4_000, "n": 100}), 400_000),
            (None, json!({"max_tokens": 4_000, "n": null}), 4_000),
            (Some(9_000), json!({"max_tokens": 4_000, "n": 100}), 9_000),
            (Some(9_000), json!({"n": 2}), 9_000),
            (
                None,
                json!({"max_tokens": 1, "max_completion_tokens": 100_000}),
                100_000,
            ),
            (
                None,
                json!({"max_tokens": 100_000, "max_completion_tokens": 1}),
                100_000,
            ),
        ] {
            assert_eq!(reserved(most, asked.clone()), bare + output, "{asked}");
        }
    }
}

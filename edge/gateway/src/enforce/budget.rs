//! The budget of a call: reserved after the decision, settled after the answer.

use super::answer::Ended;
use super::{Caller, Gateway};
use crate::lease::{Funds, NoBudget};
use crate::upstream::Failure;
use crate::world::Loaded;
use proctor_engine::budget::measure::{self, Used};
use proctor_engine::budget::{self, Remaining};
use proctor_engine::llm::Usage;
use proctor_engine::{Answer, Channel, Permit, Purpose, Refusal, Tool};
use proctor_model::budget::AccountKey;
use proctor_model::{ToolName, ToolRef};
use std::time::Duration;

/// A call, and nothing else.
pub(super) const CALL: Used = Used {
    calls: 1,
    tokens: 0,
    cost: 0,
};

impl Gateway {
    /// Reserves what the call needs, all or nothing.
    pub(super) async fn fund(
        &self,
        caller: &Caller,
        loaded: &Loaded,
        permit: &Permit,
        purpose: Purpose,
    ) -> Result<Funds, NoBudget> {
        let (tenant, token) = (&caller.tenant, &caller.token);
        let limits = loaded.tenant.budget();
        let intent = token.intent().and_then(|id| tenant.intent(id));
        // What is in no catalogue has no meters: it is a call.
        let mut needed = match loaded.tenant.catalogue().get(permit.tool()) {
            Some(tool) => limits.reserve_for(tool, permit.arguments()),
            None => CALL,
        };
        if purpose == Purpose::Continue {
            // It is one call, and counted already; what it goes on to use is not.
            needed.calls = 0;
        }
        let mut demands = limits.demands(token, intent.as_deref(), &needed);
        let mut own = Vec::new();
        let shared = self.leases.are_shared();
        for charge in permit.charges() {
            let here = self.spool.counts().get(&tenant.id, &charge.key);
            // A person may let a call pass a ceiling, the counter would not: that one is counted here.
            let ask = shared && charge.most < u64::MAX;
            match ask
                .then(|| budget::demand_of(charge, token, here))
                .flatten()
            {
                Some(demand) => demands.push(demand),
                None => own.push(charge.clone()),
            }
        }
        if demands.is_empty() {
            return Ok(Funds::new(
                demands,
                budget::purse::Reservation::default(),
                own,
            ));
        }
        let reservation = self
            .leases
            .reserve(&tenant.id, &demands, limits.version())
            .await?;
        Ok(Funds::new(demands, reservation, own))
    }

    /// What is left of the tenant's budgets for this caller, for policies.
    pub(super) fn remaining(&self, caller: &Caller, loaded: &Loaded) -> Vec<Remaining> {
        let limits = loaded.tenant.budget();
        if limits.is_empty() {
            return Vec::new();
        }
        let intent = caller
            .token
            .intent()
            .and_then(|id| caller.tenant.intent(id));
        let any = Used {
            calls: 1,
            tokens: 1,
            cost: 1,
        };
        let demands = limits.demands(&caller.token, intent.as_deref(), &any);
        self.leases.remaining(&caller.tenant.id, &demands)
    }
}

/// The refusal of a call that can't have its budget, and when it may be tried again.
pub(super) fn refuse(permit: Permit, why: NoBudget) -> (Refusal, Option<Duration>) {
    let mut refusal = permit.refuse(why.reason);
    refusal.detail = Some(named(&why.account));
    (refusal, why.retry_after)
}

/// An account, as an agent may hear of it: without whose it is.
pub(super) fn named(account: &AccountKey) -> String {
    format!("{} {} {}", account.scope, account.meter, account.window)
}

/// What a call used. One that never reached its tool used nothing but itself; where the answer does not say, what was
/// reserved counts.
pub(super) fn used(loaded: &Loaded, tool: &ToolRef, answer: &Result<Answer, Failure>) -> Used {
    let price = loaded.tenant.budget().tool_price(tool);
    let reserved = |tool: &Tool| budget::estimate(tool, price);
    let Some(tool) = loaded.tenant.catalogue().get(tool) else {
        return CALL;
    };
    match answer {
        Ok(answer) if answer.channel == Channel::Result => measure::used(tool, price, &answer.body),
        Err(failure) if !was_sent(*failure) => CALL,
        Ok(_) | Err(_) => reserved(tool),
    }
}

/// What a model used. Where its answer does not say, what was reserved counts, and no less where the stream broke off before
/// the provider had said; a prompt that the provider refused was a call.
pub(super) fn used_by_model(
    loaded: &Loaded,
    permit: &Permit,
    model: &ToolName,
    usage: Option<Usage>,
    ended: &Ended,
) -> Used {
    let reserved = reserved(loaded, permit);
    let Some(usage) = usage else {
        return match ended {
            Ended::Failed(failure) if !was_sent(*failure) => CALL,
            Ended::Released(_) => CALL,
            _ => reserved,
        };
    };
    let counted = model_figures(loaded, permit, model, reserved.cost)(
        usage.input_tokens,
        usage.output_tokens,
    );
    match ended {
        // What it thought, and what was on its way, is in no token that was seen here.
        Ended::Streamed(streamed) if !streamed.accounted => Used {
            calls: counted.calls,
            tokens: counted.tokens.max(reserved.tokens),
            cost: counted.cost.max(reserved.cost),
        },
        _ => counted,
    }
}

/// What so many tokens of a prompt, and of a model's answer to it, come to. A model without a price is not free: what was
/// reserved for it counts.
pub(super) fn model_figures<'a>(
    loaded: &'a Loaded,
    permit: &Permit,
    model: &'a ToolName,
    reserved_cost: u64,
) -> impl Fn(u64, u64) -> Used + 'a {
    let limits = loaded.tenant.budget();
    let price = limits.tool_price(permit.tool());
    let tool = loaded.tenant.catalogue().get(permit.tool());
    let spelled = tool.and_then(Tool::model).map(|of| of.name_of(model));
    move |input, output| {
        let tokens = input.saturating_add(output);
        let priced = |name| limits.model_cost(name, input, output);
        let cost = spelled.and_then(priced).or_else(|| priced(model.as_str()));
        let by_tool = measure::priced(price, tokens);
        Used {
            calls: 1,
            tokens,
            cost: match cost {
                Some(cost) => by_tool.saturating_add(cost),
                None => by_tool.max(reserved_cost),
            },
        }
        .within_accounts()
    }
}

/// What was reserved for a call.
pub(super) fn reserved(loaded: &Loaded, permit: &Permit) -> Used {
    let tool = loaded.tenant.catalogue().get(permit.tool());
    let limits = loaded.tenant.budget();
    tool.map_or(CALL, |tool| limits.reserve_for(tool, permit.arguments()))
}

fn was_sent(failure: Failure) -> bool {
    !matches!(
        failure,
        Failure::Unreachable
            | Failure::Overloaded
            | Failure::Open
            | Failure::NoCredential
            | Failure::Unsendable
    )
}

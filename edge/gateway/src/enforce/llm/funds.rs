//! What the budgets have for a stream: its reservation at first, more out of the leases in hand as it goes on, each step in
//! a durable record before anything passes by it. A stream that has no end stops with the token that the first account has
//! no unit for.

use super::super::budget;
use super::Turn;
use crate::lease::NotGrown;
use proctor_engine::budget::measure::Used;
use proctor_engine::budget::within::output_within;
use proctor_engine::llm::{Relay, Stop};
use proctor_model::Reason;
use proctor_model::budget::Meter;

/// Tokens of an answer that are had ahead of need: so the leases are looked at once in so many.
const AHEAD: u64 = 256;

/// How far a stream may go on by what is held for it.
#[derive(Clone, Copy)]
pub(super) struct Funds {
    /// Tokens of the answer.
    output: u64,
    /// Tokens of the prompt that this is by.
    input: u64,
    /// Micro-units that were reserved: they count where the model has no price.
    reserved_cost: u64,
    recorded: Recorded,
}

/// Whether what is taken in addition comes into a durable record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Recorded {
    Durably,
    /// The stream goes no further than by the records before.
    Failed,
}

impl Funds {
    /// Whether so many tokens more are held for, whatever comes.
    pub(super) fn cover(&self, relay: &Relay, more: u64) -> bool {
        self.output == u64::MAX
            || (relay.output_tokens().saturating_add(more) < self.output
                && relay.input_tokens().is_none_or(|input| input == self.input))
    }
}

impl Turn<'_> {
    /// What was reserved.
    pub(super) fn funds(&self, relay: &mut Relay) -> Funds {
        let permit = self.recorded.permit();
        let metered = self.recorded.spent(|spent| {
            let meters = [Meter::Tokens, Meter::Cost];
            let metered = |meter: &Meter| spent.recorded(*meter).is_some();
            meters.iter().any(metered)
        });
        let mut funds = Funds {
            output: u64::MAX,
            input: 0,
            reserved_cost: 0,
            recorded: Recorded::Durably,
        };
        if metered {
            funds.reserved_cost = budget::reserved(&self.loaded, permit).cost;
            funds.input = relay.usage(permit, false).input_tokens;
            self.look(&mut funds, relay, None);
        }
        funds
    }

    /// Has so many tokens more held for, if that can be had.
    pub(super) async fn fund(&self, funds: &mut Funds, relay: &mut Relay, more: u64) {
        if funds.cover(relay, more) || funds.recorded == Recorded::Failed {
            return;
        }
        if let Some(input) = relay.input_tokens() {
            funds.input = input;
        }
        let least = relay.output_tokens().saturating_add(more).saturating_add(1);
        let (least, wanted) = {
            let figures = self.figures(*funds);
            (figures(least), figures(least.saturating_add(AHEAD)))
        };
        let version = self.loaded.tenant.budget().version();
        let (leases, tenant) = (&self.gateway.leases, &self.caller.tenant.id);
        let grown = leases
            .grow(tenant, &self.recorded, &least, &wanted, version)
            .await;
        let short = match grown {
            Ok(()) => None,
            Err(NotGrown::NoBudget(why)) => Some(Stop {
                reason: why.reason,
                detail: Some(budget::named(&why.account)),
            }),
            Err(NotGrown::NotRecorded(why)) => {
                funds.recorded = Recorded::Failed;
                return relay.fund(funds.output, Some(Reason::from(why).into()));
            }
        };
        self.look(funds, relay, short);
    }

    /// Tells the relay how far it may go with what is held now.
    fn look(&self, funds: &mut Funds, relay: &mut Relay, short: Option<Stop>) {
        let [tokens, cost] = self
            .recorded
            .spent(|spent| [Meter::Tokens, Meter::Cost].map(|meter| spent.recorded(meter)));
        let held = |meter| match meter {
            Meter::Tokens => tokens,
            Meter::Cost => cost,
            Meter::Calls | Meter::Amount => None,
        };
        funds.output = output_within(held, self.figures(*funds));
        relay.fund(funds.output, short);
    }

    /// What an answer of so many tokens comes to.
    fn figures(&self, funds: Funds) -> impl Fn(u64) -> Used + '_ {
        let permit = self.recorded.permit();
        let figures = budget::model_figures(&self.loaded, permit, &self.model, funds.reserved_cost);
        let input = funds.input;
        move |output| figures(input, output)
    }
}
